//! Evidence of equivocation: two things signed by one log's writer, of which an honest one signs only one.
//!
//! [`Evidence`] is well-formed and nothing more: of one log, both sides in order, every proof leading to its root. Whether
//! it convicts is [`Evidence::verify`]'s to say, by the charter, each time that it is asked: a key that is ended later takes
//! what lies at or above its end out of the evidence too. So whoever stole a key cannot stop a log with it for good.

mod error;
mod file;
mod make;
mod verify;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::evidence::Contradiction as Wire;

pub use self::error::{EvidenceError, UnprovenError};
pub use self::file::{
    EvidenceFileError, EvidenceVerdict, MAX_EVIDENCE_FILE_LEN, assemble_evidence,
    verify_evidence_file,
};
pub use self::make::TreeLeaf;
pub use self::verify::{Equivocation, EvidenceEffect, VerifiedEvidence};
use crate::canonical;
use crate::checkpoint::UnverifiedCheckpoint;
use crate::ids::{EvidenceDigest, LeafHash, LogId};
use crate::merkle::{Proof, proof_from_wire, verify_inclusion};
use crate::transaction::SignedTransaction;

/// Longest evidence in bytes: two notes of the longest kind with a proof each.
pub const MAX_EVIDENCE_LEN: usize = 160 << 10;

/// The only format of evidence and of its files.
const FORMAT: u32 = 1;

/// Stands before the bytes that the digest is over. Nothing else of ours is hashed under this name.
const DIGEST_PURPOSE: &[u8] = b"sundbro/v1/evidence\n";

/// What one signed tree holds at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeSide {
    /// The signed tree.
    pub checkpoint: UnverifiedCheckpoint,
    /// The entry's leaf hash.
    pub leaf: LeafHash,
    /// That it is in the tree.
    pub proof: Proof,
}

/// Two statements of one log that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contradiction {
    /// Two entries of one position. They prove where the histories part even where no tree is signed.
    Entries(Box<[SignedTransaction; 2]>),
    /// Two roots of one size. They do not tell from which position on the trees differ.
    Checkpoints(Box<[UnverifiedCheckpoint; 2]>),
    /// Two trees that hold different entries at a position.
    Trees {
        /// The position.
        position: u64,
        /// The trees.
        sides: Box<[TreeSide; 2]>,
    },
}

/// Well-formed evidence, judged by no charter yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    log: LogId,
    contradiction: Contradiction,
    bytes: Bytes,
}

impl Evidence {
    /// Reads evidence from its one encoding, and checks all that can be checked without a key.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let wire: v1::Evidence = canonical::decode(bytes, MAX_EVIDENCE_LEN)?;
        if wire.format != FORMAT {
            return Err(EvidenceError::Format { format: wire.format });
        }
        let (log, contradiction) = match wire.contradiction.ok_or(EvidenceError::NoContradiction)? {
            Wire::TwoEntries(two) => read_entries(&two)?,
            Wire::TwoCheckpoints(two) => read_checkpoints(&two)?,
            Wire::TwoTrees(two) => read_trees(&two)?,
        };
        Ok(Self { log, contradiction, bytes: Bytes::copy_from_slice(bytes) })
    }

    /// Its one encoding.
    pub fn to_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// SHA-256 of `"sundbro/v1/evidence\n" ‖ bytes`, which names it.
    pub fn digest(&self) -> EvidenceDigest {
        let digest = Sha256::new().chain_update(DIGEST_PURPOSE).chain_update(&self.bytes);
        EvidenceDigest::new(digest.finalize().into())
    }

    /// The log.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// What contradicts what.
    pub fn contradiction(&self) -> &Contradiction {
        &self.contradiction
    }

    /// The first position at which the two histories are known to differ. `None`: two roots of one size do not say.
    pub fn parting(&self) -> Option<u64> {
        match &self.contradiction {
            Contradiction::Entries(entries) => Some(entries[0].header().position),
            Contradiction::Checkpoints(_) => None,
            Contradiction::Trees { position, .. } => Some(*position),
        }
    }

    /// The size at which the roots differ, where that is all that is known.
    pub fn size(&self) -> Option<u64> {
        match &self.contradiction {
            Contradiction::Checkpoints(two) => Some(two[0].size()),
            Contradiction::Entries(_) | Contradiction::Trees { .. } => None,
        }
    }

    /// Whether a branch named with this size settles it: it says which of the two histories goes on.
    pub fn is_settled_at(&self, size: u64) -> bool {
        match (self.parting(), self.size()) {
            (Some(position), _) => position < size,
            (None, Some(at)) => at <= size,
            (None, None) => false,
        }
    }
}

fn read_entries(two: &v1::TwoEntries) -> Result<(LogId, Contradiction), EvidenceError> {
    check_order(&two.a, &two.b)?;
    let a = SignedTransaction::from_entry(two.a.clone())?;
    let b = SignedTransaction::from_entry(two.b.clone())?;
    let log = same_log(a.header().log_id, b.header().log_id)?;
    same_place(a.header().position, b.header().position)?;
    Ok((log, Contradiction::Entries(Box::new([a, b]))))
}

fn read_checkpoints(two: &v1::TwoCheckpoints) -> Result<(LogId, Contradiction), EvidenceError> {
    check_order(&two.a, &two.b)?;
    let (a, b) = (read_checkpoint(&two.a)?, read_checkpoint(&two.b)?);
    let log = same_log(a.log_id(), b.log_id())?;
    same_place(a.size(), b.size())?;
    // Extension lines may differ where the trees do not: that is no equivocation.
    if a.root() == b.root() {
        return Err(EvidenceError::Same);
    }
    Ok((log, Contradiction::Checkpoints(Box::new([a, b]))))
}

fn read_trees(two: &v1::TwoTrees) -> Result<(LogId, Contradiction), EvidenceError> {
    let side = |side: &Option<v1::TreeSide>| {
        let side = side.as_ref().ok_or(EvidenceError::NoContradiction)?;
        read_side(side, two.position)
    };
    let (a, b) = (side(&two.a)?, side(&two.b)?);
    let log = same_log(a.checkpoint.log_id(), b.checkpoint.log_id())?;
    check_order(a.leaf.as_bytes(), b.leaf.as_bytes())?;
    Ok((log, Contradiction::Trees { position: two.position, sides: Box::new([a, b]) }))
}

fn read_side(side: &v1::TreeSide, position: u64) -> Result<TreeSide, EvidenceError> {
    let checkpoint = read_checkpoint(&side.checkpoint)?;
    let leaf = LeafHash::try_from(&side.leaf_hash[..])?;
    let proof = proof_from_wire(&side.inclusion_proof)?;
    verify_inclusion(&leaf, position, checkpoint.size(), &proof, checkpoint.root())?;
    Ok(TreeSide { checkpoint, leaf, proof })
}

fn read_checkpoint(note: &[u8]) -> Result<UnverifiedCheckpoint, EvidenceError> {
    let checkpoint = UnverifiedCheckpoint::parse(note)?;
    match checkpoint.note().signatures() {
        [line] if line.name == checkpoint.origin() => Ok(checkpoint),
        _ => Err(EvidenceError::SignatureLines),
    }
}

fn same_log(a: LogId, b: LogId) -> Result<LogId, EvidenceError> {
    if a == b { Ok(a) } else { Err(EvidenceError::TwoLogs { a, b }) }
}

fn same_place(a: u64, b: u64) -> Result<(), EvidenceError> {
    if a == b { Ok(()) } else { Err(EvidenceError::TwoPlaces { a, b }) }
}

fn check_order(a: &[u8], b: &[u8]) -> Result<(), EvidenceError> {
    match a.cmp(b) {
        core::cmp::Ordering::Less => Ok(()),
        core::cmp::Ordering::Equal => Err(EvidenceError::Same),
        core::cmp::Ordering::Greater => Err(EvidenceError::Order),
    }
}
