//! Why bytes are no evidence, and why evidence does not convict anybody here and now.

use crate::canonical::CanonicalError;
use crate::checkpoint::CheckpointError;
use crate::ids::{IdError, LogId};
use crate::merkle::ProofError;
use crate::transaction::EntryError;

/// Why bytes are not evidence of anything, whoever's keys may have signed them. Whoever sent them is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Too long, or not the one encoding.
    #[error("the evidence is not canonical")]
    Canonical(#[from] CanonicalError),
    /// A format that this version does not know.
    #[error("the evidence has format {format}, this software reads format 1: upgrade it")]
    Format {
        /// The format.
        format: u32,
    },
    /// It names no contradiction, or a side of it is absent.
    #[error("the evidence shows no contradiction: it has to hold two sides")]
    NoContradiction,
    /// One of the two entries.
    #[error("an entry in the evidence does not parse")]
    Entry(#[from] EntryError),
    /// One of the two checkpoints.
    #[error("a checkpoint in the evidence does not parse")]
    Checkpoint(#[from] CheckpointError),
    /// A signature line beside that of the log: with cosignatures one contradiction would have many encodings.
    #[error("a checkpoint in the evidence must carry one signature line and no other")]
    SignatureLines,
    /// The leaf hash is not 32 bytes.
    #[error("a leaf hash in the evidence is not 32 bytes")]
    LeafHash(#[from] IdError),
    /// The sides are of two logs.
    #[error("the evidence is of the logs {a} and {b}: both sides must be of one")]
    TwoLogs {
        /// One log.
        a: LogId,
        /// The other.
        b: LogId,
    },
    /// The sides do not speak of one position or size.
    #[error("the evidence is of {a} and {b}: both sides must be of one position or size")]
    TwoPlaces {
        /// Position or size of one side.
        a: u64,
        /// Of the other.
        b: u64,
    },
    /// Both sides say the same, so nothing contradicts.
    #[error(
        "both sides of the evidence say the same: one statement signed twice contradicts nothing"
    )]
    Same,
    /// The sides are not in ascending order.
    #[error("the sides of the evidence must stand in ascending order")]
    Order,
    /// The leaf is not in the tree.
    #[error("a leaf in the evidence is not in the tree of its checkpoint")]
    Proof(#[from] ProofError),
}

/// Why well-formed evidence convicts nobody by the charter that is followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnprovenError {
    /// The charter may be too old to know the log.
    #[error("no member has log {0}: fetch the newest charter")]
    UnknownLog(LogId),
    /// An entry names a charter version that is not here, or that stands twice.
    #[error(
        "an entry in the evidence names charter version {0}, which is not in force here: fetch it"
    )]
    Waiting(u64),
    /// The charter does not let the key sign there, or has ended it below: whoever stole it can sign anything.
    #[error("a key in the evidence does not sign there by our charter: {0}")]
    Key(&'static str),
    /// A signature does not hold under the key that should have made it. Whoever made the evidence is at fault.
    #[error("a signature in the evidence does not verify: it proves nothing")]
    Signature,
}

impl UnprovenError {
    /// Whether whoever brought the evidence is at fault: no charter, older or newer, makes it convincing.
    pub fn is_forged(&self) -> bool {
        matches!(self, Self::Signature)
    }
}
