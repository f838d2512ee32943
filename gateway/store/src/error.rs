//! What goes wrong in a store, one enum for each operation that a caller can react to.

use core::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sundbro_ledger::ids::{FederationId, LogId};

use crate::row::RowProblem;
use crate::tables::{StoreFile, Table};

/// One damaged place: what `verify` lists and what a read that stumbles over it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: StoreFile,
    /// The table. `None`: the file's own structure.
    pub table: Option<&'static str>,
    /// The log, where the row belongs to one.
    pub log: Option<LogId>,
    /// The position in that log, or in the audit log.
    pub position: Option<u64>,
    /// What is wrong, for people. Holds no content of the row.
    pub problem: String,
}

impl Damage {
    pub(crate) fn of_file(file: StoreFile, problem: impl Into<String>) -> Self {
        Self { file, table: None, log: None, position: None, problem: problem.into() }
    }

    pub(crate) fn of_table(table: &Table, problem: impl fmt::Display) -> Self {
        Self {
            file: table.file,
            table: Some(table.name),
            log: None,
            position: None,
            problem: problem.to_string(),
        }
    }

    pub(crate) fn at(mut self, log: LogId, position: u64) -> Self {
        self.log = Some(log);
        self.position = Some(position);
        self
    }

    pub(crate) fn in_log(mut self, log: LogId) -> Self {
        self.log = Some(log);
        self
    }

    pub(crate) fn at_position(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(table) = self.table {
            write!(f, ", table {table}")?;
        }
        if let Some(log) = self.log {
            write!(f, ", log {log}")?;
        }
        if let Some(position) = self.position {
            write!(f, ", position {position}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Why a file of the store could not be read or written. Our own disk is at fault, never a caller or a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// redb or the disk failed.
    #[error("{file} could not be read or written: check the disk; `sundbro verify` says more")]
    Database {
        /// The file.
        file: StoreFile,
        /// What redb says.
        #[source]
        source: Box<redb::Error>,
    },
    /// The disk failed, and the file could not be opened again yet.
    #[error(
        "{file} failed and cannot be opened again: check the disk; it is tried again at every use"
    )]
    OpenAgain {
        /// The file.
        file: StoreFile,
        /// Why.
        #[source]
        source: Box<OpenError>,
    },
    /// A row is not what was written.
    #[error("damaged: {0}: stop the gateway and run `sundbro verify`")]
    Damaged(Box<Damage>),
    /// So little of the disk is free that nothing may grow; see [`Store::set_reserve`](crate::Store::set_reserve).
    #[error(
        "{path} has {free} bytes left and {reserve} are kept back: make room; writing then goes on by itself"
    )]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
        /// How many bytes are free.
        free: u64,
        /// How many are kept back.
        reserve: u64,
    },
    /// The disk has no byte left for what is written.
    #[error(
        "{file} cannot be written, its disk is full: make room; writing then goes on by itself"
    )]
    NoSpace {
        /// The file.
        file: StoreFile,
        /// What the disk says.
        #[source]
        source: std::io::Error,
    },
    /// The store was opened to read.
    #[error("{0} was opened to read only")]
    ReadOnly(StoreFile),
    /// The signing gate could not be written.
    #[error("the signing gate {path} could not be written: nothing more is signed until it can")]
    Gate {
        /// Where it lies.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A new file needs an id that no other has.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// Another thread failed while it held the own log; only a restart is safe.
    #[error("an earlier append failed halfway: restart the gateway")]
    Poisoned,
}

impl StoreError {
    pub(crate) fn row(table: &Table, problem: RowProblem) -> Self {
        Self::Damaged(Box::new(Damage::of_table(table, problem)))
    }

    pub(crate) fn damaged(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// Whether a disk refused for want of room, its own or that which this user may use.
pub(crate) fn has_no_space(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Turns redb's many errors into one that names the file.
pub(crate) trait InFile<T> {
    fn in_file(self, file: StoreFile) -> Result<T, StoreError>;
}

impl<T, E: Into<redb::Error>> InFile<T> for Result<T, E> {
    fn in_file(self, file: StoreFile) -> Result<T, StoreError> {
        self.map_err(|error| match error.into() {
            redb::Error::Io(source) if has_no_space(&source) => {
                StoreError::NoSpace { file, source }
            }
            error => StoreError::Database { file, source: Box::new(error) },
        })
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or a file cannot be used.
    #[error("{path} cannot be opened: {cure}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What to do.
        cure: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the file open for writing.
    #[error(
        "{path} is in use: another gateway, or a verification, has it open; stop that one first"
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version.
    #[error(
        "{path} has schema version {found}, this software knows {known}: \
         install the version that wrote it, or a newer one"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that we know.
        known: u32,
    },
    /// The folder belongs to another federation or another log.
    #[error(
        "{path} belongs to {found}, the configuration says {expected}: give each its own folder"
    )]
    OtherIdentity {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: String,
        /// What the caller says.
        expected: String,
    },
    /// The file is damaged.
    #[error("{path} is damaged: {problem}; put back a backup, or delete it if it is index.redb")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The disk has no byte left for what every start writes.
    #[error(
        "{path} cannot be opened, its disk is full: nothing was lost; make room there and start again"
    )]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
        /// What could not be written.
        #[source]
        source: Box<OpenError>,
    },
    /// The store could be opened and not be read.
    #[error("the store could not be read")]
    Store(#[source] StoreError),
}

impl OpenError {
    /// Says of a start that a full disk ended what to do about that, whatever it was about to write.
    pub(crate) fn or_disk_full(self, path: &Path) -> Self {
        let is_full = match &self {
            Self::Io { source, .. } => has_no_space(source),
            Self::Store(error) => matches!(error, StoreError::NoSpace { .. }),
            _ => false,
        };
        if !is_full {
            return self;
        }
        Self::DiskFull { path: path.to_owned(), source: Box::new(self) }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why nothing was appended to our own log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendOwnError {
    /// Signing is stopped.
    #[error("{0}")]
    Stopped(crate::gate::SigningStop),
    /// What we signed does not verify, so it was not appended.
    #[error("our own entry does not verify: {0}; the configured keys are not those of the charter")]
    OwnEntryInvalid(String),
    /// The CHECKPOINT key may not sign this size: every peer would drop us over the checkpoint.
    #[error(
        "the charter does not let our CHECKPOINT key sign size {size} of our log: \
         put the key into the keys folder that does, or have the stewards list one"
    )]
    CheckpointKey {
        /// The size that the log would have had.
        size: u64,
    },
    /// Too many drafts in one append.
    #[error("{got} drafts in one append, at most {max}")]
    TooMany {
        /// How many came.
        got: usize,
        /// How many may come.
        max: usize,
    },
    /// Our log grew since somebody looked whether these drafts still follow from it.
    #[error("the drafts were judged at size {judged} of our log, which has {size} entries now")]
    JudgedBefore {
        /// Its size then.
        judged: u64,
        /// Its size now.
        size: u64,
    },
    /// Our own disk failed.
    #[error("the own log could not be written")]
    Store(#[from] StoreError),
}

/// Why nothing was appended to our replica of a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendReplicaError {
    /// The replica grew meanwhile, or the caller skipped something.
    #[error(
        "the replica of log {log} ends at {committed}, these entries start at {start}: go on from {committed}"
    )]
    NotNext {
        /// The log.
        log: LogId,
        /// How many entries are here.
        committed: u64,
        /// Where the caller's start.
        start: u64,
    },
    /// Entries, checkpoint and head are not of one log and one size.
    #[error("entries of log {log} were handed in with something else: {problem}")]
    Inconsistent {
        /// The log.
        log: LogId,
        /// What does not fit.
        problem: &'static str,
    },
    /// The log was stopped before.
    #[error("log {0} is stopped: nothing more is taken")]
    LogStopped(LogId),
    /// It is our own log, and nothing of it is missing.
    #[error(
        "our own log is written here alone: nothing of it is taken from others unless its end was lost"
    )]
    OwnLog,
    /// Our own disk failed.
    #[error("the replica could not be written")]
    Store(#[from] StoreError),
}

/// Why a blob was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutBlobError {
    /// It is not what the entry committed to.
    #[error("a blob does not have the commitment {0} under which it came")]
    WrongCommitment(sundbro_ledger::ids::Commitment),
    /// It is longer than any blob.
    #[error("a blob of {0} bytes is longer than 65,536")]
    TooLong(usize),
    /// Our own disk failed.
    #[error("blobs could not be written")]
    Store(#[from] StoreError),
}

/// Why drafts were not put into the outbox. None of them waits there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutOutboxError {
    /// As many wait as may.
    #[error(
        "OUTBOX_FULL: {} drafts ({} bytes) wait to be signed, {} ({} bytes) may: what is found waits at its source; `sundbro \
         status` says what keeps our log from being signed",
        .status.drafts, .status.bytes, .limits.drafts, .limits.bytes
    )]
    Full {
        /// What waits.
        status: crate::outbox::OutboxStatus,
        /// What may.
        limits: crate::outbox::OutboxLimits,
    },
    /// Too many drafts at once.
    #[error("{got} drafts at once, at most {max}")]
    TooMany {
        /// How many came.
        got: usize,
        /// How many may come.
        max: usize,
    },
    /// A blob is not what the draft says.
    #[error("a blob of a draft cannot be kept")]
    Blob(#[source] PutBlobError),
    /// Our own disk failed.
    #[error("the outbox could not be written")]
    Store(#[from] StoreError),
}

/// Why a log was not repaired. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// It is our own, and signing goes on.
    #[error("our own log is repaired only while nothing is signed")]
    StillSigning,
    /// An entry is what was stored, and is refused: no fault of the disk, so nothing is dropped for it.
    #[error(
        "entry {position} of log {log} is what was stored and is not accepted, so nothing is dropped: {problem}"
    )]
    CannotJudge {
        /// The log.
        log: LogId,
        /// The entry.
        position: u64,
        /// Why it is refused.
        problem: String,
    },
    /// Our own disk failed.
    #[error("the log could not be read or written")]
    Store(#[from] StoreError),
}

/// Why a proof or a chunk cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The range is not within what is committed here.
    #[error("log {log} holds {committed} entries here, {wanted} were asked for")]
    NotHere {
        /// The log.
        log: LogId,
        /// How many entries are here.
        committed: u64,
        /// What was asked for.
        wanted: u64,
    },
    /// Start and end, or old and new, are the wrong way round.
    #[error("the range {start} to {end} is empty or reversed")]
    BadRange {
        /// Start.
        start: u64,
        /// End.
        end: u64,
    },
    /// Our own disk failed.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
}

/// Why a store could not be verified at all; damage is not an error but a finding.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file is missing or cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store belongs to another federation.
    #[error("{path} belongs to federation {found}, expected {expected}")]
    OtherFederation {
        /// The folder.
        path: PathBuf,
        /// What it says.
        found: FederationId,
        /// What was pinned.
        expected: FederationId,
    },
}

/// Why a log was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target exists and holds something.
    #[error("{0} is not empty: name a folder that does not exist yet")]
    NotEmpty(PathBuf),
    /// There is no checkpoint, so nothing that an outsider could check.
    #[error("log {0} has no checkpoint here yet")]
    NoCheckpoint(LogId),
    /// The target cannot be written.
    #[error("{path} cannot be written")]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log could not be read.
    #[error("the log could not be read")]
    Serve(#[from] ServeError),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Serve(ServeError::Store(error))
    }
}
