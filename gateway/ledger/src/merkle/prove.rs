//! Makes the proofs that the checks accept, from whatever stores the nodes of a tree.
//!
//! Only complete nodes are read; the hash of a right edge that is not complete is computed from them. Each proof reads
//! a number of nodes in the order of the square of the tree's height at most.

use super::subtree::is_subtree;
use super::{EMPTY_ROOT, Proof, node_hash, split_point};
use crate::ids::NodeHash;

/// Answers for the complete nodes of one tree.
pub trait NodeReader {
    /// Why a node could not be read.
    type Error: core::error::Error + 'static;

    /// Hash of the complete subtree from `index << level` up to `(index + 1) << level`; level 0 are the leaf hashes.
    ///
    /// # Errors
    /// Fails when the tree does not reach that far, or cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<NodeHash, Self::Error>;
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn node(&self, level: u8, index: u64) -> Result<NodeHash, Self::Error> {
        (**self).node(level, index)
    }
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError<E: core::error::Error + 'static> {
    /// Nothing to prove: empty, outside of the tree, or not a subtree.
    #[error(
        "entries {start} to {end} of a tree of size {size} have no proof: ask for another range"
    )]
    NoSuchRange {
        /// First entry.
        start: u64,
        /// One past the last entry.
        end: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A node could not be read.
    #[error("a node of the tree could not be read")]
    Read(#[source] E),
}

/// Hash of the tree over the entries [start, end): `MTH(D[start:end])` of RFC 6962.
///
/// Reads a logarithmic number of nodes when the range is a subtree (see [`is_subtree`]), up to one for each entry
/// otherwise. Of the empty range it is the hash of nothing.
///
/// # Errors
/// Passes on the reader's.
pub fn range_hash<R: NodeReader>(reader: &R, start: u64, end: u64) -> Result<NodeHash, R::Error> {
    if start >= end {
        return Ok(EMPTY_ROOT.into());
    }
    let entries = end - start;
    if entries.is_power_of_two() && start.is_multiple_of(entries) {
        // A power of two below 2^64 has at most 63 trailing zeros.
        let level = entries.trailing_zeros() as u8;
        return reader.node(level, start >> level);
    }
    let middle = start + split_point(entries);
    let left = range_hash(reader, start, middle)?;
    let right = range_hash(reader, middle, end)?;
    Ok(node_hash(&left, &right))
}

/// Proves that the entry at `index` is in the tree of `size`: `PATH(index, D[size])` of RFC 6962 §2.1.1.
///
/// # Errors
/// [`ProveError::NoSuchRange`] when the tree does not reach the entry, and the reader's.
pub fn prove_inclusion<R: NodeReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Proof, ProveError<R::Error>> {
    prove_subtree_inclusion(reader, index, 0, size)
}

/// Proves that the tree of size `old` is the beginning of the tree of size `new`: `PROOF(old, D[new])` of
/// RFC 6962 §2.1.2.
///
/// # Errors
/// [`ProveError::NoSuchRange`] when `old` is 0 or larger than `new`, and the reader's.
pub fn prove_consistency<R: NodeReader>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Proof, ProveError<R::Error>> {
    prove_subtree_consistency(reader, 0, old, new)
}

/// Proves that the entry at `index` is in the subtree [start, end).
///
/// # Errors
/// [`ProveError::NoSuchRange`] when it is not, or the range is not a subtree, and the reader's.
pub fn prove_subtree_inclusion<R: NodeReader>(
    reader: &R,
    index: u64,
    start: u64,
    end: u64,
) -> Result<Proof, ProveError<R::Error>> {
    if !is_subtree(start, end) || index < start || index >= end {
        let end_of_entry = index.saturating_add(1);
        return Err(ProveError::NoSuchRange { start: index, end: end_of_entry, size: end });
    }
    Prover { reader, from: index, to: index + 1, proof: Proof::new() }.run(start, end)
}

/// Proves that the subtree [start, end) is part of the tree of `size`:
/// `SUBTREE_PROOF(start, end, D[size])`.
///
/// # Errors
/// [`ProveError::NoSuchRange`] when the range is empty, not a subtree or outside of the tree, and the reader's.
pub fn prove_subtree_consistency<R: NodeReader>(
    reader: &R,
    start: u64,
    end: u64,
    size: u64,
) -> Result<Proof, ProveError<R::Error>> {
    if !is_subtree(start, end) || start == end || end > size {
        return Err(ProveError::NoSuchRange { start, end, size });
    }
    Prover { reader, from: start, to: end, proof: Proof::new() }.run(0, size)
}

/// SUBTREE_SUBPROOF of the draft with positions counted from the start of the log, not of each subtree.
struct Prover<'a, R> {
    reader: &'a R,
    from: u64,
    to: u64,
    proof: Proof,
}

impl<R: NodeReader> Prover<'_, R> {
    fn run(mut self, start: u64, end: u64) -> Result<Proof, ProveError<R::Error>> {
        self.descend(start, end, true).map_err(ProveError::Read)?;
        Ok(self.proof)
    }

    /// `known`: the verifier has the hash of [from, to) already, so that it need not be in the proof.
    fn descend(&mut self, start: u64, end: u64, known: bool) -> Result<(), R::Error> {
        if self.from == start && self.to == end {
            if !known {
                self.proof.push(range_hash(self.reader, start, end)?);
            }
            return Ok(());
        }
        let middle = start + split_point(end - start);
        let sibling = if self.to <= middle {
            self.descend(start, middle, known)?;
            (middle, end)
        } else if self.from >= middle {
            self.descend(middle, end, known)?;
            (start, middle)
        } else {
            // It straddles the middle, which means that it starts where this node starts: its left half is this
            // node's left half, and only its right half goes on.
            self.from = middle;
            self.descend(middle, end, false)?;
            (start, middle)
        };
        self.proof.push(range_hash(self.reader, sibling.0, sibling.1)?);
        Ok(())
    }
}
