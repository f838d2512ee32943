//! What is known of one log as a whole: whether it is followed, how far it is here, and its checkpoints; and their rows.

use bytes::Bytes;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::{LogId, RootHash};

use crate::row::{Reader, RowProblem, Writer};

/// Whether a log is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// It is.
    Followed,
    /// It holds something invalid under a valid checkpoint; nothing from `position` on is taken.
    Stopped {
        /// First position that is not taken. Below the committed size where what showed it came later.
        position: u64,
        /// A constant such as `BAD_SIGNATURE`.
        reason: String,
    },
    /// Its owner withholds the proof that a newer checkpoint continues what we hold.
    Stalled {
        /// How much is held.
        position: u64,
        /// A constant.
        reason: String,
    },
    /// It needs a charter version or format that is not here yet.
    Waiting {
        /// First position that waits.
        position: u64,
        /// A constant.
        reason: String,
    },
}

impl LogState {
    pub(super) fn to_body(&self) -> Vec<u8> {
        let (state, position, reason) = match self {
            Self::Followed => (1, 0, ""),
            Self::Stopped { position, reason } => (2, *position, reason.as_str()),
            Self::Stalled { position, reason } => (3, *position, reason.as_str()),
            Self::Waiting { position, reason } => (4, *position, reason.as_str()),
        };
        Writer::new().u8(state).u64(position).text(reason).done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let (state, position, reason) = (fields.u8()?, fields.u64()?, fields.text()?);
        fields.end()?;
        match state {
            1 => Ok(Self::Followed),
            2 => Ok(Self::Stopped { position, reason }),
            3 => Ok(Self::Stalled { position, reason }),
            4 => Ok(Self::Waiting { position, reason }),
            _ => Err(RowProblem::Fields),
        }
    }
}

/// A stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// Tree size.
    pub size: u64,
    /// Root at that size.
    pub root: RootHash,
    /// The signed note.
    pub note: Bytes,
}

impl CheckpointRow {
    pub(super) fn of(checkpoint: &VerifiedCheckpoint) -> Self {
        Self { size: checkpoint.size(), root: *checkpoint.root(), note: checkpoint.note().clone() }
    }

    pub(crate) fn to_body(&self) -> Vec<u8> {
        Writer::new().u64(self.size).fixed(self.root.as_bytes()).bytes(&self.note).done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let size = fields.u64()?;
        let root = RootHash::new(fields.array()?);
        let note = Bytes::copy_from_slice(fields.bytes()?);
        fields.end()?;
        Ok(Self { size, root, note })
    }
}

/// What is held of one log.
#[derive(Debug, Clone)]
pub struct LogStatus {
    /// The log.
    pub log: LogId,
    /// How many entries are stored, each verified.
    pub committed_size: u64,
    /// Root at that size.
    pub root: RootHash,
    /// Highest incarnation in it.
    pub incarnation: u32,
    /// Whether it is followed.
    pub state: LogState,
    /// Size of the newest checkpoint that was seen.
    pub newest_seen_size: u64,
    /// Newest signed checkpoint whose size is committed. `None` until there is one.
    pub checkpoint: Option<CheckpointRow>,
}
