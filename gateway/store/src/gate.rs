//! The signing gate: up to where we have signed, in a file outside the database.
//!
//! A database that was put back from a backup does not know what was signed after the backup; the gate does. It is
//! written after the entries are durable and before anything is sent, so it is never ahead of a database that lost
//! nothing. It may lie on another disk.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sundbro_ledger::ids::{LogId, RootHash};

use crate::disk::{Disk, folder_of};
use crate::logs::is_equivocation;

const MAGIC: &[u8; 16] = b"sundbro/gate/v1\n";
const BODY_LEN: usize = 16 + 32 + 8 + 32 + 4;
const FILE_LEN: usize = BODY_LEN + 32;

/// Up to where our own log was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningGate {
    /// Our log.
    pub log: LogId,
    /// Its size when the gate was written.
    pub size: u64,
    /// Its root at that size.
    pub root: RootHash,
    /// How often the gateway was started.
    pub incarnation: u32,
}

/// Why nothing is signed. SERVICE signing goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningStop {
    /// The database holds less than we have signed.
    #[error(
        "signing is stopped: {known_by} knows {known} entries of our log, the database holds {held}"
    )]
    OwnLogBehind {
        /// How many entries are here.
        held: u64,
        /// How many were signed.
        known: u64,
        /// Who says so: `the signing gate`, or a member's name.
        known_by: String,
    },
    /// The database holds something else than what we have signed.
    #[error(
        "signing is stopped: at size {size} our log here has another root than {known_by} knows"
    )]
    OwnLogDiverges {
        /// The size at which they differ.
        size: u64,
        /// Who says so.
        known_by: String,
    },
    /// The rows on which the next entry would be signed contradict each other.
    #[error("signing is stopped: our log is damaged at its end, size {size}: {problem}")]
    OwnLogDamaged {
        /// The size on which nothing is signed.
        size: u64,
        /// What does not fit.
        problem: String,
    },
    /// The gate is gone though the log is not empty.
    #[error("signing is stopped: the signing gate {0} is missing though our log has entries")]
    GateMissing(PathBuf),
    /// The gate is not what was written.
    #[error("signing is stopped: the signing gate {0} is damaged")]
    GateDamaged(PathBuf),
    /// The gate is that of another log.
    #[error("signing is stopped: the signing gate {0} belongs to another log")]
    GateOfOtherLog(PathBuf),
    /// The charter ended the key of entries that were published: they and all after them are invalid.
    #[error("signing is stopped: the charter revokes the key of entry {position} of our log")]
    OwnLogRevoked {
        /// The first entry that is invalid now.
        position: u64,
    },
    /// A later start of this gateway is known to other members: this one has had its turn.
    #[error(
        "signing is stopped: {known_by} knows start {known} of this gateway, this one is start {ours}"
    )]
    LaterStart {
        /// Our incarnation.
        ours: u32,
        /// The highest that is known.
        known: u32,
        /// Who says so: a member's name.
        known_by: String,
    },
}

impl SigningStop {
    /// The constant that status and metrics show.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::OwnLogBehind { .. } => "OWN_LOG_BEHIND",
            Self::OwnLogDiverges { .. } => "OWN_LOG_DIVERGES",
            Self::OwnLogDamaged { .. } => "OWN_LOG_DAMAGED",
            Self::GateMissing(_) => "SIGNING_GATE_MISSING",
            Self::GateDamaged(_) => "SIGNING_GATE_DAMAGED",
            Self::GateOfOtherLog(_) => "SIGNING_GATE_OF_OTHER_LOG",
            Self::OwnLogRevoked { .. } => "OWN_LOG_REVOKED",
            Self::LaterStart { .. } => "LATER_START",
        }
    }

    /// What an operator does about it.
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::OwnLogBehind { .. } => {
                "wait: what is missing is fetched from the members that hold it; if none of them does, put back the \
                 newest copy of ledger.redb and payloads.redb, or give the lost end up with `sundbro log override`"
            }
            Self::OwnLogDiverges { .. } => {
                "find out which copy of ledger.redb was in use: two of them signed; once the stewards have named the history \
                 that goes on, this gateway follows it and signs again by itself"
            }
            Self::OwnLogDamaged { .. } => {
                "stop the gateway, check the disk and run `sundbro log repair`, which names the rows: other members give \
                 back what it drops; if it cannot, put back the newest copy of ledger.redb and payloads.redb"
            }
            Self::GateMissing(_) | Self::GateDamaged(_) => {
                "put back signing.gate; if it is lost for good, start again with the gate recreated, \
                 once all other members were reachable and none knew a longer log"
            }
            Self::GateOfOtherLog(_) => "point the configuration at the signing gate of this log",
            Self::OwnLogRevoked { .. } => {
                "talk to the stewards: no member follows this log past that entry, and it goes on only in a new log epoch"
            }
            Self::LaterStart { .. } => {
                "two machines run with these keys, or one was copied: stop all but the one that shall go on, and start \
                 that one again"
            }
        }
    }

    /// Why a log of ours that is stopped, for this reason and from this position on, is not signed.
    pub(crate) fn of_stopped_log(position: u64, reason: &str) -> Self {
        if is_equivocation(reason) {
            let known_by = "the evidence that is here".to_owned();
            return Self::OwnLogDiverges { size: position.saturating_add(1), known_by };
        }
        Self::OwnLogRevoked { position }
    }

    /// Whether the charter can end it, by naming which of two histories goes on.
    pub const fn may_be_settled(&self) -> bool {
        matches!(self, Self::OwnLogDiverges { .. })
    }

    /// Whether it ends by itself, once what is missing was fetched from other members.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::OwnLogBehind { .. })
    }
}

/// Why the gate was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadGateError {
    #[error("the signing gate is damaged")]
    Damaged,
    #[error("the signing gate could not be read")]
    Io(#[source] io::Error),
}

impl SigningGate {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.log.as_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(self.root.as_bytes());
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(BODY_LEN)?;
        if sum != Sha256::digest(body).as_slice() {
            return None;
        }
        let (magic, body) = body.split_at(16);
        let (log, body) = body.split_at(32);
        let (size, body) = body.split_at(8);
        let (root, incarnation) = body.split_at(32);
        if magic != MAGIC {
            return None;
        }
        Some(Self {
            log: LogId::try_from(log).ok()?,
            size: u64::from_be_bytes(size.try_into().ok()?),
            root: RootHash::try_from(root).ok()?,
            incarnation: u32::from_be_bytes(incarnation.try_into().ok()?),
        })
    }

    /// Reads the gate; `None` when there is no file.
    pub(crate) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Self>, ReadGateError> {
        match disk.read(path, FILE_LEN as u64 + 1) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some).ok_or(ReadGateError::Damaged),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadGateError::Io(error)),
        }
    }

    /// Puts the gate in place of the one before. From here it survives a crash, whole.
    pub(crate) fn write(self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let mut file = disk.create(&temporary)?;
        file.write_all(&self.to_bytes())?;
        file.sync()?;
        drop(file);
        disk.rename(&temporary, path)?;
        disk.sync_folder(&folder_of(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    fn gate() -> SigningGate {
        SigningGate {
            log: LogId::new([1; 32]),
            size: 7,
            root: RootHash::new([2; 32]),
            incarnation: 3,
        }
    }

    #[test]
    fn reads_back_what_it_wrote_and_knows_when_it_is_absent() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("signing.gate");
        assert_eq!(SigningGate::read(&OsDisk, &path).expect("absent"), None);
        gate().write(&OsDisk, &path).expect("write");
        let newer = SigningGate { size: 8, ..gate() };
        newer.write(&OsDisk, &path).expect("write again");
        assert_eq!(SigningGate::read(&OsDisk, &path).expect("read"), Some(newer));
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_is_damage() {
        let bytes = gate().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SigningGate::from_bytes(&flipped), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(SigningGate::from_bytes(&bytes[..len]), None, "length {len}");
        }
        assert_eq!(SigningGate::from_bytes(&[&bytes[..], &[0]].concat()), None);
    }
}
