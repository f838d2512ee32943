//! Scrubbing: a running gateway checks every row that it has, a little at a time, so that damage is found while peers and
//! backups still have what it hit.
//!
//! A step looks at one moment of one file and ends after so many rows; no read outlasts it, so old pages are used again.
//! Every row is held against what guards it: a sealed one against its checksum, an entry against its leaf hash and
//! signature, a hash against those below it, a blob against its commitment, a head and a checkpoint against the root of
//! the stored hashes. What a scrub does not see, and `verify` does: rows of the index, the map of sources and the audit
//! log's lookups that are gone or that nobody wrote, and redb's own page checksums. What is kept in memory is not read
//! from the disk again; most of a large file is not.

mod rows;

use core::fmt;

use redb::ReadableTableMetadata as _;
use sundbro_ledger::ids::{Commitment, LogId};

use crate::database::{ALL_KEYS, Db, quietly, walk};
use crate::error::{Damage, InFile as _, StoreError};
use crate::gate::{ReadGateError, SigningGate};
use crate::store::Store;
use crate::tables::{self, StoreFile, Table};
use crate::verify::Trust;

/// Where a scrub goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubCursor {
    /// Number of the table in [`tables::ALL`].
    table: usize,
    /// The last key that was looked at. Empty: none yet.
    last: Vec<u8>,
}

/// What one step found.
#[derive(Debug)]
pub struct ScrubStep {
    /// How many rows were looked at.
    pub rows: u64,
    /// Every damaged place among them, each with what repairs it.
    pub found: Vec<Finding>,
    /// Where the next step goes on. `None`: everything was looked at once.
    pub next: Option<ScrubCursor>,
}

/// One damaged place and what repairs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The place.
    pub damage: Damage,
    /// What repairs it.
    pub repair: Repair,
    /// The blob, where the place is one.
    pub blob: Option<Commitment>,
}

/// What repairs a damaged place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Another member has it: it is dropped here ([`Store::repair_log`], [`Store::forget_damaged_blobs`]) and fetched.
    FromPeers,
    /// It is derived: the index is rebuilt.
    RebuildIndex,
    /// Only a backup has it.
    FromBackup,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cure = match self.repair {
            Repair::FromPeers => "other members have it",
            Repair::RebuildIndex => "`sundbro index rebuild` makes it anew",
            Repair::FromBackup => "put back a backup",
        };
        write!(f, "{}; {cure}", self.damage)
    }
}

impl Repair {
    /// What repairs a row of this file and table.
    fn of(file: StoreFile, table: Option<&str>) -> Self {
        match (file, table) {
            (StoreFile::Index, _) => Self::RebuildIndex,
            (StoreFile::Payloads, Some("blobs"))
            | (
                StoreFile::Ledger,
                Some("entries" | "hashes" | "logs" | "checkpoints" | "charters" | "evidence"),
            ) => Self::FromPeers,
            _ => Self::FromBackup,
        }
    }
}

impl From<Damage> for Finding {
    fn from(damage: Damage) -> Self {
        let repair = Repair::of(damage.file, damage.table);
        Self { damage, repair, blob: None }
    }
}

impl Store {
    /// Looks at the next rows, about `max_rows` of them, from where the step before ended. `from` absent: from the start.
    ///
    /// Without `trust` no signature is checked.
    ///
    /// # Errors
    /// When the disk fails. Damage is no error but a finding.
    pub fn scrub(
        &self,
        from: Option<&ScrubCursor>,
        max_rows: u64,
        trust: Option<&dyn Trust>,
    ) -> Result<ScrubStep, StoreError> {
        let start = ScrubCursor { table: 0, last: Vec::new() };
        let from = from.cloned().unwrap_or(start);
        let Some(table) = tables::ALL.get(from.table) else { return self.scrub_gate() };
        let next_table = ScrubCursor { table: from.table + 1, last: Vec::new() };
        let mut step = ScrubStep { rows: 0, found: Vec::new(), next: Some(next_table) };
        match quietly(|| scrub_table(self, table_of(from.table), &from, max_rows, trust, &mut step))
        {
            Ok(Ok(())) => {}
            Ok(Err(StoreError::Damaged(damage))) => step.found.push((*damage).into()),
            Ok(Err(error)) => return Err(error),
            // The rest of the table cannot be reached.
            Err(problem) => step.found.push(Damage::of_table(table, problem).into()),
        }
        Ok(step)
    }

    /// How many rows a whole scrub looks at now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn scrub_rows(&self) -> Result<u64, StoreError> {
        let count = |table: &Table| -> Result<u64, StoreError> {
            let rows = self.db(table.file).read()?.table(table)?;
            rows.len().in_file(table.file)
        };
        tables::ALL.iter().try_fold(0, |sum: u64, table| Ok(sum.saturating_add(count(table)?)))
    }

    /// The signing gate, last: it is written after the ledger.
    fn scrub_gate(&self) -> Result<ScrubStep, StoreError> {
        let own = self.own();
        let log = self.identity().own_log;
        let problem = match SigningGate::read(&*self.disk, &own.gate_path) {
            Err(ReadGateError::Damaged) => Some("the signing gate is damaged".to_owned()),
            Err(ReadGateError::Io(source)) => {
                return Err(StoreError::Gate { path: own.gate_path.clone(), source });
            }
            Ok(None) if own.gate.size > 0 => Some("the signing gate is missing".to_owned()),
            Ok(Some(gate)) if gate != own.gate && !self.ledger.is_read_only() => {
                Some("it is not what this gateway wrote last".to_owned())
            }
            Ok(_) => None,
        };
        let damage = problem.map(|it| Damage::of_file(StoreFile::Gate, it).in_log(log));
        Ok(ScrubStep {
            rows: 1,
            found: damage.map(Finding::from).into_iter().collect(),
            next: None,
        })
    }

    pub(crate) fn db(&self, file: StoreFile) -> &Db {
        match file {
            StoreFile::Payloads => &self.payloads,
            StoreFile::Index => &self.index,
            StoreFile::Audit => &self.audit,
            StoreFile::Ledger | StoreFile::Gate => &self.ledger,
        }
    }
}

fn table_of(number: usize) -> &'static Table {
    static TABLES: [Table; tables::ALL.len()] = tables::ALL;
    &TABLES[number]
}

fn scrub_table(
    store: &Store,
    table: &'static Table,
    from: &ScrubCursor,
    max_rows: u64,
    trust: Option<&dyn Trust>,
    step: &mut ScrubStep,
) -> Result<(), StoreError> {
    let view = store.db(table.file).read()?;
    let mut check = rows::Check::new(&view, table, trust, &mut step.found)?;
    let mut last = from.last.clone();
    // No key lies between a key and itself with one byte more.
    let start = if last.is_empty() { Vec::new() } else { [&last[..], &[0]].concat() };
    walk(&view.table(table)?, table, &start[..]..ALL_KEYS.end, |key, value| {
        if step.rows >= max_rows.max(1) {
            step.next = Some(ScrubCursor { table: from.table, last: last.clone() });
            return Ok(false);
        }
        check.row(&last, key, value)?;
        step.rows += 1;
        last = key.to_vec();
        Ok(true)
    })
}

/// A log id as the key of a row names it, whole.
fn log_in(key: &[u8]) -> Option<LogId> {
    key.get(..32).and_then(|id| LogId::try_from(id).ok())
}
