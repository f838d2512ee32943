//! Puts evidence together from what was held and what was shown, in the order in which it is encoded.

use bytes::Bytes;
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::evidence::Contradiction as Wire;

use super::{Evidence, EvidenceError, FORMAT};
use crate::canonical;
use crate::checkpoint::VerifiedCheckpoint;
use crate::ids::LeafHash;
use crate::merkle::{Proof, proof_to_wire};
use crate::note::SignedNote;
use crate::signing::VerifyingKey;

impl Evidence {
    /// Of two entries of one log and position, in any order.
    ///
    /// # Errors
    /// Fails when they are no entries, of two places, or the same.
    pub fn of_entries(one: &Bytes, other: &Bytes) -> Result<Self, EvidenceError> {
        let [a, b] = in_order([one.clone(), other.clone()]);
        Self::make(Wire::TwoEntries(v1::TwoEntries { a, b }))
    }

    /// Of two checkpoints of one log and size, in any order, each with the key that signed it.
    ///
    /// # Errors
    /// Fails when they are of two places, or have the same root.
    pub fn of_checkpoints(
        (one, by_one): (&VerifiedCheckpoint, &VerifyingKey),
        (other, by_other): (&VerifiedCheckpoint, &VerifyingKey),
    ) -> Result<Self, EvidenceError> {
        let notes = [alone(one, by_one)?, alone(other, by_other)?];
        let [a, b] = in_order(notes);
        Self::make(Wire::TwoCheckpoints(v1::TwoCheckpoints { a, b }))
    }

    /// Of two trees that hold different leaves at a position, in any order.
    ///
    /// # Errors
    /// Fails when they are of two logs, hold the same leaf, or a proof does not hold.
    pub fn of_trees(
        position: u64,
        one: &TreeLeaf<'_>,
        other: &TreeLeaf<'_>,
    ) -> Result<Self, EvidenceError> {
        let (a, b) = if one.leaf <= other.leaf { (one, other) } else { (other, one) };
        let (a, b) = (Some(a.to_wire()?), Some(b.to_wire()?));
        Self::make(Wire::TwoTrees(v1::TwoTrees { position, a, b }))
    }

    fn make(contradiction: Wire) -> Result<Self, EvidenceError> {
        let wire = v1::Evidence { format: FORMAT, contradiction: Some(contradiction) };
        // Read back: what is made is what a stranger would take.
        Self::parse(&canonical::encode(&wire))
    }
}

/// A leaf that a signed tree holds, as somebody showed it.
#[derive(Debug, Clone)]
pub struct TreeLeaf<'a> {
    /// The tree.
    pub checkpoint: &'a VerifiedCheckpoint,
    /// The key that signed it.
    pub key: &'a VerifyingKey,
    /// The leaf.
    pub leaf: LeafHash,
    /// Inclusion proof of the leaf in the tree.
    pub proof: Proof,
}

impl TreeLeaf<'_> {
    fn to_wire(&self) -> Result<v1::TreeSide, EvidenceError> {
        Ok(v1::TreeSide {
            checkpoint: alone(self.checkpoint, self.key)?,
            leaf_hash: Bytes::copy_from_slice(self.leaf.as_bytes()),
            inclusion_proof: proof_to_wire(&self.proof),
        })
    }
}

/// The note of a checkpoint with the one signature line of its log's key.
fn alone(checkpoint: &VerifiedCheckpoint, key: &VerifyingKey) -> Result<Bytes, EvidenceError> {
    let note =
        SignedNote::parse(checkpoint.note()).map_err(crate::checkpoint::CheckpointError::from)?;
    let line = note.only_signature_of(checkpoint.origin(), key);
    Ok(line.ok_or(EvidenceError::SignatureLines)?.to_bytes().into())
}

fn in_order([one, other]: [Bytes; 2]) -> [Bytes; 2] {
    if one <= other { [one, other] } else { [other, one] }
}
