//! What a log gives away: nodes of its tree, proofs, and chunks.

use sundbro_ledger::chunk::{Chunk, MakeChunkError, chunk_end, make_chunk};
use sundbro_ledger::ids::LogId;
use sundbro_ledger::merkle::{Proof, ProveError, prove_consistency, prove_inclusion};

use crate::database::ReadView;
use crate::error::{ServeError, StoreError};
use crate::hashes::StoredNodes;
use crate::logs::{entries_in, head_in, log_key};
use crate::store::Store;
use crate::tables::HASHES;

fn proved(made: Result<Proof, ProveError<StoreError>>) -> Result<Proof, ServeError> {
    made.map_err(|error| match error {
        ProveError::Read(source) => ServeError::Store(source),
        ProveError::NoSuchRange { start, end, .. } => ServeError::BadRange { start, end },
        _ => ServeError::BadRange { start: 0, end: 0 },
    })
}

impl Store {
    /// A view of the ledger, if the log reaches `wanted` in it and may be shown so far.
    pub(crate) fn reaching(&self, log: &LogId, wanted: u64) -> Result<ReadView, ServeError> {
        let view = self.ledger.read()?;
        let committed = match self.sendable(log) {
            Some(sendable) => sendable.size,
            None => head_in(&view, log)?.size(),
        };
        if wanted > committed {
            return Err(ServeError::NotHere { log: *log, committed, wanted });
        }
        Ok(view)
    }

    /// Nodes of one log. Keep it no longer than one proof: a long read makes the file grow.
    pub fn nodes(&self, log: &LogId) -> Result<StoredNodes, StoreError> {
        StoredNodes::new(&self.ledger.read()?, &HASHES, &log_key(log))
    }

    /// Proof that the tree of `old` is the beginning of the tree of `new` (RFC 6962 §2.1.2).
    pub fn consistency_proof(&self, log: &LogId, old: u64, new: u64) -> Result<Proof, ServeError> {
        if old > new {
            return Err(ServeError::BadRange { start: old, end: new });
        }
        let view = self.reaching(log, new)?;
        proved(prove_consistency(&StoredNodes::new(&view, &HASHES, &log_key(log))?, old, new))
    }

    /// Proof that the entry at `index` stands in the tree of `size` (RFC 6962 §2.1.1).
    pub fn inclusion_proof(&self, log: &LogId, index: u64, size: u64) -> Result<Proof, ServeError> {
        if index >= size {
            return Err(ServeError::BadRange { start: index, end: size });
        }
        let view = self.reaching(log, size)?;
        proved(prove_inclusion(&StoredNodes::new(&view, &HASHES, &log_key(log))?, index, size))
    }

    /// Entries from `start` to the next multiple of 256 or `tree_size`, with the proof of the subtree that starts at
    /// the multiple of 256 before them.
    pub fn chunk(&self, log: &LogId, start: u64, tree_size: u64) -> Result<Chunk, ServeError> {
        if start >= tree_size {
            return Err(ServeError::BadRange { start, end: tree_size });
        }
        let view = self.reaching(log, tree_size)?;
        let entries = entries_in(&view, log, start..chunk_end(start, tree_size))?;
        let nodes = StoredNodes::new(&view, &HASHES, &log_key(log))?;
        make_chunk(*log, start, tree_size, entries, &nodes).map_err(|error| match error {
            MakeChunkError::Proof(ProveError::Read(source)) => ServeError::Store(source),
            _ => ServeError::BadRange { start, end: tree_size },
        })
    }
}
