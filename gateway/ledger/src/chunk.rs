//! What a replica takes: entries of one log, first checked as a whole against a checkpoint, then one by one.
//!
//! The two steps have two culprits. Until the entries are covered by a valid checkpoint, anything wrong is the sender's
//! fault and says nothing about the log. After that the log's author has committed to them, and an entry that breaks
//! a rule stops that log wherever it came from.

use bytes::Bytes;
use sundbro_proto::federation::v1;

use crate::checkpoint::VerifiedCheckpoint;
use crate::ids::{LogId, NodeHash};
use crate::log::{KeyBook, LogHead, Refusal};
use crate::merkle::{
    NodeReader, Proof, ProofError, ProveError, leaf_hash, proof_from_wire, proof_to_wire,
    prove_subtree_consistency, verify_subtree_consistency,
};
use crate::tiles::{BUNDLE_ENTRIES, BundleError, TILE_HEIGHT, read_bundle, write_bundle};
use crate::transaction::VerifiedTransaction;

/// Longest bundle in bytes: what fits a frame. Valid entries need less than a sixth of it; the rest is room for entries
/// that are too large, because only a bundle that is covered convicts the log that holds them.
pub const MAX_BUNDLE_LEN: usize = 1 << 20;

/// Why a chunk was not taken. Always the sender's fault, never the log's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The log id is not 32 bytes.
    #[error("the chunk names no log: drop it and use another peer")]
    LogId,
    /// Longer than a frame.
    #[error("the bundle has {0} bytes, at most 1,048,576 are allowed: use another peer")]
    TooLarge(usize),
    /// The bundle is no list of entries.
    #[error("the bundle does not parse: use another peer")]
    Bundle(#[from] BundleError),
    /// The proof is no list of hashes.
    #[error("the proof does not parse: use another peer")]
    Proof(#[source] ProofError),
    /// It is about another log than the head or the checkpoint.
    #[error("the chunk is of {0:?}, which was not asked for: use another peer")]
    WrongLog(LogId),
    /// It does not start where the replica ends.
    #[error("the chunk starts at {start}, the replica ends at {size}: ask again from there")]
    WrongStart {
        /// Where the chunk starts.
        start: u64,
        /// Where the replica ends.
        size: u64,
    },
    /// Its proof is for another tree than the checkpoint's.
    #[error("the chunk is for tree size {found}, the checkpoint for {expected}: ask again")]
    WrongTree {
        /// The chunk's tree size.
        found: u64,
        /// The checkpoint's.
        expected: u64,
    },
    /// It does not end at the next multiple of 256 or at the end of the tree.
    #[error("the chunk has {found} entries, from there it has {expected}: use another peer")]
    WrongCount {
        /// How many entries it has.
        found: usize,
        /// How many it should have.
        expected: u64,
    },
    /// The checkpoint does not cover these entries.
    #[error("the checkpoint does not cover the entries: drop them and use another peer")]
    NotCovered(#[source] ProofError),
}

/// Why a chunk could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakeChunkError<E: core::error::Error + 'static> {
    /// None, or not as many entries as the range has.
    #[error("entries from {start} in a tree of size {tree_size} are not those that were read")]
    Entries {
        /// First position.
        start: u64,
        /// Size of the tree.
        tree_size: u64,
    },
    /// The proof could not be made.
    #[error("the proof of the chunk could not be made")]
    Proof(#[source] ProveError<E>),
}

/// One past the last position of the chunk that starts at `start`: the next multiple of 256, or the end of the tree.
pub fn chunk_end(start: u64, tree_size: u64) -> u64 {
    tile_start(start).saturating_add(BUNDLE_ENTRIES).min(tree_size)
}

fn tile_start(position: u64) -> u64 {
    position - position % BUNDLE_ENTRIES
}

/// Entries of one log as somebody sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The log.
    pub log_id: LogId,
    /// Position of the first entry.
    pub start: u64,
    /// The tree that the proof leads to.
    pub tree_size: u64,
    /// The entries.
    pub entries: Vec<Bytes>,
    /// Subtree consistency proof of [start rounded down to 256, start + entries) in the tree.
    pub proof: Proof,
}

impl Chunk {
    /// Parses a frame. Its `checkpoint`, if there is one, is the caller's to verify first.
    ///
    /// # Errors
    /// [`ChunkError::LogId`], `TooLarge`, `Bundle`, `Proof`.
    pub fn from_wire(wire: &v1::Chunk) -> Result<Self, ChunkError> {
        let log_id = LogId::try_from(&wire.log_id[..]).map_err(|_| ChunkError::LogId)?;
        if wire.bundle.len() > MAX_BUNDLE_LEN {
            return Err(ChunkError::TooLarge(wire.bundle.len()));
        }
        let entries = read_bundle(&wire.bundle, BUNDLE_ENTRIES as usize)?;
        // Slices of the one buffer that the frame came in.
        let entries = entries.into_iter().map(|entry| wire.bundle.slice_ref(entry)).collect();
        let proof = proof_from_wire(&wire.proof).map_err(ChunkError::Proof)?;
        Ok(Self { log_id, start: wire.start, tree_size: wire.tree_size, entries, proof })
    }

    /// The frame, without a checkpoint.
    ///
    /// # Errors
    /// Fails when an entry is longer than 65,535 bytes.
    pub fn to_wire(&self) -> Result<v1::Chunk, BundleError> {
        Ok(v1::Chunk {
            log_id: Bytes::copy_from_slice(self.log_id.as_bytes()),
            start: self.start,
            tree_size: self.tree_size,
            bundle: write_bundle(self.entries.iter().map(|entry| &entry[..]))?.into(),
            proof: proof_to_wire(&self.proof),
            checkpoint: Bytes::new(),
        })
    }

    /// Checks that the entries continue the replica and that the checkpoint covers them.
    ///
    /// # Errors
    /// Any other [`ChunkError`].
    pub fn check(
        self,
        head: &LogHead,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<CoveredChunk, ChunkError> {
        if self.log_id != *head.log_id() || self.log_id != checkpoint.log_id() {
            return Err(ChunkError::WrongLog(self.log_id));
        }
        let (start, size) = (self.start, head.size());
        if start != size {
            return Err(ChunkError::WrongStart { start, size });
        }
        let (found, expected) = (self.tree_size, checkpoint.size());
        if found != expected {
            return Err(ChunkError::WrongTree { found, expected });
        }
        let end = chunk_end(start, self.tree_size);
        let (found, expected) = (self.entries.len(), end.saturating_sub(start));
        if expected == 0 || found as u64 != expected {
            return Err(ChunkError::WrongCount { found, expected });
        }
        // What we hold of the tile stands in our frontier, so the proof also binds these entries to ours.
        let mut tile = head.frontier().tail(TILE_HEIGHT);
        tile.extend(self.entries.iter().map(|entry| leaf_hash(entry)));
        verify_subtree_consistency(
            tile_start(start),
            end,
            &NodeHash::from(tile.root()),
            self.tree_size,
            checkpoint.root(),
            &self.proof,
        )
        .map_err(ChunkError::NotCovered)?;
        Ok(CoveredChunk { head: head.clone(), entries: self.entries })
    }
}

/// Entries that a valid checkpoint commits to, at the places where they stand. From here on the log answers for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredChunk {
    head: LogHead,
    entries: Vec<Bytes>,
}

/// What came of a covered chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChunk {
    /// The valid entries from the start on, to be stored with `head`.
    pub entries: Vec<VerifiedTransaction>,
    /// The head after them.
    pub head: LogHead,
    /// Why the entry after them was not taken. `None`: all were valid.
    pub refusal: Option<Refusal>,
}

impl CoveredChunk {
    /// Judges entry after entry and stops at the first that is not valid; those before it are good and are kept.
    pub fn verify(self, keys: &dyn KeyBook) -> VerifiedChunk {
        let mut head = self.head;
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            match head.verify_entry(entry, keys) {
                Ok(entry) => {
                    // Verified against this very head, so it follows; if not, nothing after it would verify.
                    let _ = head.append(&entry);
                    entries.push(entry);
                }
                Err(refusal) => return VerifiedChunk { entries, head, refusal: Some(refusal) },
            }
        }
        VerifiedChunk { entries, head, refusal: None }
    }
}

/// Makes the chunk that starts at `start`: `entries` are those from there to [`chunk_end`].
///
/// # Errors
/// Fails when the entries are not as many as the range has, or the tree cannot be read.
pub fn make_chunk<R: NodeReader>(
    log_id: LogId,
    start: u64,
    tree_size: u64,
    entries: Vec<Bytes>,
    nodes: &R,
) -> Result<Chunk, MakeChunkError<R::Error>> {
    let end = chunk_end(start, tree_size);
    if entries.is_empty() || end.checked_sub(start) != Some(entries.len() as u64) {
        return Err(MakeChunkError::Entries { start, tree_size });
    }
    let proof = prove_subtree_consistency(nodes, tile_start(start), end, tree_size)
        .map_err(MakeChunkError::Proof)?;
    Ok(Chunk { log_id, start, tree_size, entries, proof })
}

#[cfg(test)]
mod tests;
