//! Checks every byte of a store against what signed, hashed or sealed it, and names each damaged place.
//!
//! Rows are checked first, so that damage has a table and a position; redb's own page checksums after them, so that
//! damage that no row shows is found too. Nothing changes on disk, and a crashed gateway's files need no repair first.

mod derived;
mod ledger;
pub(crate) mod log;
mod outbox;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, LogId};
use sundbro_ledger::log::{KeyBook, KeyVerdict};

use crate::charters::charters_in;
use crate::database::{Db, opened, quietly};
use crate::disk::{Disk, OsDisk};
use crate::error::{Damage, InFile, OpenError, StoreError, VerifyError};
use crate::index::LogOwners;
use crate::logs::log_key;
use crate::store::Identity;
use crate::tables::{self, Guard, StoreFile, Table};

/// Most damaged places that a report lists; a file in ruins has millions.
pub const MAX_DAMAGES: usize = 1000;

/// Which keys signed what: the history of the federation's charter.
///
/// A key that ended after something was taken makes it void, not damaged, so both are judged by what was said then.
pub trait Trust: KeyBook + LogOwners {
    /// The TRANSACTION key of an entry by the charter version that it names alone. `Waiting`: that version stands twice.
    fn transaction_key_then(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict;

    /// The key that some charter version lets have signed this checkpoint. `Waiting`: one that stands twice may.
    fn checkpoint_key_then(&self, checkpoint: &UnverifiedCheckpoint) -> KeyVerdict;
}

impl Trust for CharterHistory {
    fn transaction_key_then(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict {
        CharterHistory::transaction_key_then(self, log, charter_version, key_id, position)
    }

    fn checkpoint_key_then(&self, checkpoint: &UnverifiedCheckpoint) -> KeyVerdict {
        CharterHistory::checkpoint_key_then(self, checkpoint)
    }
}

/// What was checked, and what is damaged.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rows checked, by file and table.
    pub rows: BTreeMap<(StoreFile, &'static str), u64>,
    /// Entries whose signature was checked, by log.
    pub logs: BTreeMap<LogId, u64>,
    /// Whether a gateway had a file open meanwhile: redb's own page checksums, and the index as a whole, were not
    /// checked then.
    pub live: bool,
    /// Every damaged place, at most [`MAX_DAMAGES`]. Empty: all is as it was written.
    pub damages: Vec<Damage>,
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty()
    }

    fn found(&mut self, damage: Damage) {
        if self.damages.len() < MAX_DAMAGES && !self.damages.contains(&damage) {
            self.damages.push(damage);
        }
    }

    /// A read that stumbled: over damage that it names, or over a page that redb cannot follow.
    fn stumbled(&mut self, table: &Table, error: StoreError) {
        self.found(match error {
            StoreError::Damaged(damage) => *damage,
            other => Damage::of_table(table, format!("cannot be read: {}", chain(&other))),
        });
    }

    /// Runs one part of the check; a panic of redb's on a page that is no page becomes damage of `table`.
    fn part(&mut self, table: &Table, work: impl FnOnce(&mut Self) -> Result<(), StoreError>) {
        match quietly(|| work(self)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.stumbled(table, error),
            Err(problem) => self.found(Damage::of_table(table, problem)),
        }
    }

    fn is_damaged(&self, file: StoreFile) -> bool {
        self.damages.iter().any(|damage| damage.file == file)
    }
}

fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The files of one store, as far as they open.
struct Files {
    disk: Arc<dyn Disk>,
    open: BTreeMap<StoreFile, Db>,
    /// Full ids of the logs that stand for 8 bytes in keys.
    logs: BTreeMap<[u8; 8], LogId>,
}

impl Files {
    fn get(&self, file: StoreFile) -> Option<&Db> {
        self.open.get(&file)
    }
}

/// Checks the store in `dir` against the charter in it, whose federation must be `expected`.
///
/// `gate`: where the signing gate lies, if not in `dir`.
///
/// # Errors
/// Fails when the store cannot be checked at all: it is not there, or belongs to another federation. Damage is no
/// error but a finding.
pub fn verify_dir(
    dir: &Path,
    expected: &FederationId,
    gate: Option<&Path>,
) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let files = open(OsDisk::shared(), dir, &mut report)?;
    refuse_other_federation(dir, &files, expected)?;
    let history = history(&files, expected, &mut report);
    let trust = history.as_ref().map(|history| history as &dyn Trust);
    Ok(check(dir, files, trust, gate, report))
}

/// As [`verify_dir`], with keys from elsewhere; charters in the store are checked as rows only.
///
/// # Errors
/// As [`verify_dir`].
pub fn verify_with(
    dir: &Path,
    trust: &dyn Trust,
    gate: Option<&Path>,
) -> Result<Report, VerifyError> {
    verify_on(OsDisk::shared(), dir, trust, gate)
}

/// As [`verify_with`], on a disk of the caller's.
///
/// # Errors
/// As [`verify_dir`].
pub fn verify_on(
    disk: Arc<dyn Disk>,
    dir: &Path,
    trust: &dyn Trust,
    gate: Option<&Path>,
) -> Result<Report, VerifyError> {
    let mut report = Report::default();
    let files = open(disk, dir, &mut report)?;
    refuse_other_federation(dir, &files, &trust.federation_id())?;
    Ok(check(dir, files, Some(trust), gate, report))
}

fn check(
    dir: &Path,
    mut files: Files,
    trust: Option<&dyn Trust>,
    gate: Option<&Path>,
    mut report: Report,
) -> Report {
    for file in StoreFile::DATABASES {
        if let Some(db) = files.get(file) {
            rows(db, &files, &mut report);
        }
    }
    let gate = gate.map_or_else(|| dir.join(StoreFile::Gate.name()), Path::to_owned);
    ledger::check(&files, trust, &gate, &mut report);
    derived::check_blobs(&files, &mut report);
    derived::check_audit(&files, &mut report);
    for (file, db) in &mut files.open {
        if let Some(Err(problem)) = db.check_structure() {
            report.found(Damage::of_file(*file, problem));
        }
    }
    derived::check_own_observed(&files, &mut report);
    derived::check_index(&files, trust, &mut report);
    report.damages.sort_by_key(|damage| (damage.file, damage.log, damage.position));
    report
}

fn open(disk: Arc<dyn Disk>, dir: &Path, report: &mut Report) -> Result<Files, VerifyError> {
    let mut files = Files { disk, open: BTreeMap::new(), logs: BTreeMap::new() };
    for file in StoreFile::DATABASES {
        match Db::open_offline(&*files.disk, dir, file) {
            Ok((db, live)) => {
                report.live |= live;
                files.open.insert(file, db);
            }
            Err(OpenError::Damaged { problem, .. }) => {
                report.found(Damage::of_file(file, problem));
            }
            Err(OpenError::Store(StoreError::Damaged(damage))) => report.found(*damage),
            Err(OpenError::Store(error)) => report.found(Damage::of_file(file, chain(&error))),
            // A store without its ledger is none; the index may be deleted at any time.
            Err(OpenError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && file != StoreFile::Ledger =>
            {
                if file != StoreFile::Index {
                    report.found(Damage::of_file(file, "the file is missing"));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(db) = files.open.get(&StoreFile::Ledger) {
        let mut logs = BTreeMap::new();
        report.part(&tables::LOGS, |_| {
            for log in crate::logs::logs_in(&db.read()?)? {
                logs.insert(log_key(&log), log);
            }
            Ok(())
        });
        files.logs = logs;
    }
    Ok(files)
}

fn refuse_other_federation(
    dir: &Path,
    files: &Files,
    expected: &FederationId,
) -> Result<(), VerifyError> {
    let identity = files.get(StoreFile::Ledger).and_then(|db| {
        quietly(|| db.read().and_then(|view| Identity::read(&view)).ok().flatten()).ok().flatten()
    });
    match identity {
        Some(found) if found.federation_id != *expected => Err(VerifyError::OtherFederation {
            path: dir.to_owned(),
            found: found.federation_id,
            expected: *expected,
        }),
        // None: the row is damaged, and named with the others.
        _ => Ok(()),
    }
}

/// The charter history in the store; every charter in it is checked on the way.
fn history(files: &Files, expected: &FederationId, report: &mut Report) -> Option<CharterHistory> {
    let db = files.get(StoreFile::Ledger)?;
    let mut history: Option<CharterHistory> = None;
    report.part(&tables::CHARTERS, |report| {
        for wire in charters_in(&db.read()?)? {
            let wrong = |problem: String| Damage::of_table(&tables::CHARTERS, problem);
            let charter = match Charter::from_wire(&wire) {
                Ok(charter) => charter,
                Err(error) => {
                    report.found(wrong(format!("a charter breaks a rule: {error}")));
                    continue;
                }
            };
            let version = charter.version();
            let offered = match &mut history {
                None => CharterHistory::join(expected, charter).map(|first| history = Some(first)),
                Some(history) => history.offer(charter).map(drop),
            };
            if let Err(error) = offered {
                report.found(wrong(format!("charter version {version} is not valid: {error}")));
            }
        }
        Ok(())
    });
    if history.is_none() && !files.logs.is_empty() && !report.is_damaged(StoreFile::Ledger) {
        let problem = "there is no valid charter, so no signature can be checked";
        report.found(Damage::of_table(&tables::CHARTERS, problem));
    }
    history
}

/// Keys and checksums of every row of a file.
fn rows(db: &Db, files: &Files, report: &mut Report) {
    for table in tables::of(db.file) {
        let mut count = 0;
        report.part(table, |report| {
            let view = db.read()?;
            let rows = match view.table(table) {
                Ok(rows) => rows,
                Err(error) => {
                    report.stumbled(table, error);
                    return Ok(());
                }
            };
            for row in redb::ReadableTable::iter(&rows).in_file(table.file)? {
                let (key, value) = row.in_file(table.file)?;
                count += 1;
                let (key, value) = (key.value(), value.value());
                if key.len() != table.key_len {
                    report.found(Damage::of_table(table, "a key has another length"));
                } else if table.guard == Guard::Sealed
                    && let Err(StoreError::Damaged(damage)) = opened(table, key, value)
                {
                    report.found(place(files, table, key, *damage));
                }
            }
            Ok(())
        });
        report.rows.insert((table.file, table.name), count);
    }
}

/// Adds log and position to a damage, where the key of its row tells them.
fn place(files: &Files, table: &Table, key: &[u8], mut damage: Damage) -> Damage {
    let (log, position) = match table.name {
        "logs" | "log_states" | "checkpoints" | "cursors" | "own_observed" | "evidence" => {
            (key.get(..32).and_then(|id| LogId::try_from(id).ok()), None)
        }
        "wanted" | "newest" | "voids" | "pending" | "unknowns" => {
            (log_at(files, key, 0), position_at(key, 8))
        }
        "wanted_by" => (log_at(files, key, 32), position_at(key, 40)),
        "tags" => (log_at(files, key, 40), position_at(key, 48)),
        "replaced" => (log_at(files, key, 32), position_at(key, 40)),
        "records" | "observed" => (log_at(files, key, 0), None),
        "events" => (log_at(files, key, 0), position_at(key, 24)),
        "by_record" => (None, position_at(key, 32)),
        _ => (None, None),
    };
    damage.log = damage.log.or(log);
    damage.position = damage.position.or(position);
    damage
}

fn log_at(files: &Files, key: &[u8], from: usize) -> Option<LogId> {
    files.logs.get(key.get(from..from + 8)?).copied()
}

fn position_at(key: &[u8], from: usize) -> Option<u64> {
    crate::index::rows::position_at(key, from)
}
