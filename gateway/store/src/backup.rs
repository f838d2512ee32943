//! A copy of a store from one moment, made beside a running gateway, and how its signing gate is put back.
//!
//! The views are taken in the order in which a gateway writes: gate, ledger, payloads. So the gate of a copy is never ahead
//! of its ledger, and no entry in it names a payload that was here and is not in the copy. The index is left out: it is
//! derived anew.

use std::path::{Path, PathBuf};

use sundbro_ledger::ids::{LogId, RootHash};

use crate::database::{ALL_KEYS, Db, META_SCHEMA, ReadView, insert, meta_table, walk};
use crate::disk::OsDisk;
use crate::error::{OpenError, StoreError};
use crate::gate::{ReadGateError, SigningGate};
use crate::logs::{head_in, logs_in};
use crate::store::{Store, root_at};
use crate::tables::{self, StoreFile};

/// Rows copied in one transaction: a few hundred megabytes of memory at most, since a blob has 64 KiB at most.
const ROWS_IN_COMMIT: usize = 4_096;
/// redb's cache while copying.
const CACHE_BYTES: usize = 16 << 20;

/// The files of a copy.
pub const BACKED_UP: [StoreFile; 3] = [StoreFile::Ledger, StoreFile::Payloads, StoreFile::Audit];

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Our own log.
    pub own_log: LogId,
    /// How many entries of it.
    pub size: u64,
    /// Its root at that size.
    pub root: RootHash,
    /// What the signing gate said. `None`: there was none.
    pub gate: Option<SigningGate>,
    /// How many logs.
    pub logs: usize,
    /// How many rows in all files.
    pub rows: u64,
}

/// Why a copy was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackUpError {
    /// The gate is there and says nothing.
    #[error(
        "the signing gate {0} cannot be read, or does not lie on the ledger: run `sundbro verify` first"
    )]
    Gate(PathBuf),
    /// A file of the copy could not be made.
    #[error("the copy cannot be written")]
    Target(#[from] OpenError),
    /// What is to be copied could not be read, or written.
    #[error("the store cannot be copied")]
    Store(#[from] StoreError),
}

/// What became of the signing gate when a copy was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatePutBack {
    /// The one in the copy lies there now.
    Copied,
    /// A newer one lay there and stays: what was signed after the copy is known, and is fetched back before signing.
    KeptNewer {
        /// Up to where it says that our log was signed.
        size: u64,
    },
    /// Neither is there: nothing is signed before an operator has one written anew.
    Missing,
}

/// Why the gate was not put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutBackGateError {
    /// One of the two cannot be read or is that of another log.
    #[error(
        "the signing gate {0} is damaged, or is that of another log: move it away if it is not needed"
    )]
    Unusable(PathBuf),
    /// It could not be written.
    #[error("the signing gate {path} cannot be written")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Store {
    /// Copies ledger, payloads and audit log, as they are at one moment, into a folder that holds none of them; a gateway
    /// may run meanwhile. `gate_file` is the signing gate.
    ///
    /// While it runs, pages that are written anew are not used again, so the files of a busy gateway grow.
    ///
    /// # Errors
    /// [`BackUpError`]; then what lies in `to` is no copy.
    pub fn back_up(&self, gate_file: &Path, to: &Path) -> Result<BackedUp, BackUpError> {
        // Before the ledger: what a gateway signs meanwhile is then in the ledger and not in the gate, as after a crash.
        let found = SigningGate::read(&OsDisk, gate_file)
            .map_err(|_| BackUpError::Gate(gate_file.into()))?;
        let ledger = self.ledger.read()?;
        let payloads = self.payloads.read()?;
        let audit = self.audit.read()?;
        let own_log = self.identity().own_log;
        let head = head_in(&ledger, &own_log)?;
        let facts = BackedUp {
            own_log,
            size: head.size(),
            root: head.root(),
            gate: found,
            logs: logs_in(&ledger)?.len(),
            rows: 0,
        };
        if let Some(gate) = found.filter(|gate| gate.size <= head.size()) {
            // A copy whose gate does not lie on its ledger would be put back to no use.
            if root_at(&ledger, &own_log, gate.size)? != gate.root {
                return Err(BackUpError::Gate(gate_file.into()));
            }
        }
        let mut rows = 0;
        for (file, view) in BACKED_UP.into_iter().zip([&ledger, &payloads, &audit]) {
            rows += copy(view, &Db::open(&OsDisk::shared(), to, file, CACHE_BYTES)?, file)?;
        }
        if let Some(gate) = found {
            let path = to.join(StoreFile::Gate.name());
            gate.write(&OsDisk, &path)
                .map_err(|source| StoreError::Gate { path: path.clone(), source })?;
        }
        Ok(BackedUp { rows, ..facts })
    }
}

/// Copies every row of one moment of a file.
fn copy(from: &ReadView, to: &Db, file: StoreFile) -> Result<u64, StoreError> {
    let mut count = 0;
    for table in tables::of(file) {
        let rows = from.table(table)?;
        let mut from_key: Vec<u8> = Vec::new();
        loop {
            let write = to.write()?;
            let mut last: Option<Vec<u8>> = None;
            let mut taken = 0;
            {
                let mut target = write.table(table)?;
                walk(&rows, table, &from_key[..]..ALL_KEYS.end, |key, value| {
                    if !(table.name == meta_table(file).name && key == META_SCHEMA) {
                        insert(&mut target, table, key, value)?;
                        count += 1;
                    }
                    taken += 1;
                    last = Some(key.to_vec());
                    Ok(taken < ROWS_IN_COMMIT)
                })?;
            }
            write.commit()?;
            let Some(mut next) = last.filter(|_| taken == ROWS_IN_COMMIT) else { break };
            // The first key after the last one that was copied.
            next.push(0);
            from_key = next;
        }
    }
    Ok(count)
}

/// Puts the signing gate of a copy in place, unless a newer one of the same log lies there: an older one would forget what
/// was signed.
///
/// # Errors
/// [`PutBackGateError`]; then nothing was changed.
pub fn put_back_gate(from: &Path, to: &Path) -> Result<GatePutBack, PutBackGateError> {
    let read = |path: &Path| match SigningGate::read(&OsDisk, path) {
        Ok(gate) => Ok(gate),
        Err(ReadGateError::Damaged | ReadGateError::Io(_)) => {
            Err(PutBackGateError::Unusable(path.to_owned()))
        }
    };
    let (copied, there) = (read(from)?, read(to)?);
    match (copied, there) {
        (None, None) => Ok(GatePutBack::Missing),
        (None, Some(there)) => Ok(GatePutBack::KeptNewer { size: there.size }),
        (Some(copied), Some(there)) if copied.log != there.log => {
            Err(PutBackGateError::Unusable(to.to_owned()))
        }
        (Some(copied), Some(there))
            if (there.size, there.incarnation) >= (copied.size, copied.incarnation) =>
        {
            Ok(GatePutBack::KeptNewer { size: there.size })
        }
        (Some(copied), _) => {
            copied
                .write(&OsDisk, to)
                .map_err(|source| PutBackGateError::Write { path: to.to_owned(), source })?;
            Ok(GatePutBack::Copied)
        }
    }
}
