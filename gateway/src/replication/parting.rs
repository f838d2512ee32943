//! Finds where two signed histories of a log part, and proves it.
//!
//! A peer showed a signed tree that other entries lead to than ours. That a prefix of ours is in it can be asked for every
//! size: it is for all up to the parting, and for none above. So a few questions find the position, and one chunk the
//! entry there. A peer that does not answer is not to blame, and the log stays stalled.

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::chunk::{Chunk, chunk_end};
use sundbro_ledger::evidence::{Evidence, TreeLeaf};
use sundbro_ledger::ids::{LogId, NodeHash, RootHash};
use sundbro_ledger::merkle::{
    MemoryTree, Proof, leaf_hash, prove_inclusion, verify_subtree_consistency,
};
use sundbro_ledger::tiles::BUNDLE_ENTRIES;
use sundbro_store::StoreError;

use super::evidence::signed;
use super::link::Link;
use super::own_log::root_at;
use super::pull_entries::{Shown, read_chunk, want_entries};
use super::question::{Question, Reply};
use super::{SessionEnd, Shared};

/// Most questions for one parting: each halves what is left, and no log has more than 2^63 entries.
const MAX_QUESTIONS: usize = 64;

impl Link {
    /// Asks for the first position at which the target's tree holds another entry than ours, and for that entry, and keeps
    /// what convicts. Says whether it did.
    pub(super) async fn find_parting(
        &self,
        held: u64,
        target: &VerifiedCheckpoint,
        question: &mut Question<'_>,
    ) -> Result<bool, SessionEnd> {
        let log = target.log_id();
        // Ours is the beginning of theirs up to `same`, and is not at `other`.
        let (mut same, mut other) = (0, held);
        for _ in 0..MAX_QUESTIONS {
            if other - same <= 1 {
                break;
            }
            let size = same + (other - same) / 2;
            let root = self.our_root(log, size).await?;
            match self.ask_proof((size, &root), target, question).await? {
                Shown::Continued => same = size,
                Shown::Other => other = size,
                Shown::Withheld | Shown::GivenUp => return Ok(false),
            }
        }
        // The entry that the longer of the two prefixes has and the shorter has not.
        let position = same;
        let start = position - position % BUNDLE_ENTRIES;
        let end = chunk_end(start, target.size());
        question.is_forward();
        if !question.send(want_entries(&log, start, end, target.size())).await? {
            return Ok(false);
        }
        let chunk = loop {
            match question.next().await? {
                Reply::Chunk(chunk) => break read_chunk(&chunk, start)?,
                Reply::Refused(_) => return Ok(false),
                Reply::Proof(_) | Reply::Blobs { .. } => {}
            }
        };
        question.is_forward();
        let target = target.clone();
        let convict = move |shared: &Shared| shared.convict_parting(position, &target, &chunk);
        let convicted = self.shared.blocking(convict).await?;
        convicted.map_err(|error| SessionEnd::ours("evidence was not kept", error))
    }

    async fn our_root(&self, log: LogId, size: u64) -> Result<RootHash, SessionEnd> {
        let root =
            self.shared.blocking(move |shared| root_at(&shared.context.store, &log, size)).await?;
        root.map_err(|error| SessionEnd::ours("the root of a log cannot be read", error))
    }
}

impl Shared {
    /// Makes evidence of the entry at a position and the one that the target's tree holds there. Blocking.
    fn convict_parting(
        &self,
        position: u64,
        target: &VerifiedCheckpoint,
        chunk: &Chunk,
    ) -> Result<bool, StoreError> {
        // Two entries convince without trees, and tell a lost tail from another history.
        if self.compare_entries(chunk)? {
            return Ok(true);
        }
        match self.two_trees(position, target, chunk)? {
            Some(evidence) => self.convict(&evidence),
            None => Ok(false),
        }
    }

    /// That our tree and the target's hold different leaves, whoever signed the entries.
    fn two_trees(
        &self,
        position: u64,
        target: &VerifiedCheckpoint,
        chunk: &Chunk,
    ) -> Result<Option<Evidence>, StoreError> {
        let log = target.log_id();
        let history = self.context.charter.history();
        let Some(row) = self.context.store.checkpoint(&log)? else { return Ok(None) };
        let Some(ours) = self.context.store.entry(&log, position)? else { return Ok(None) };
        let (Some(held), Some(shown)) =
            (signed(&history, &row.note), signed(&history, target.note()))
        else {
            return Ok(None);
        };
        let proof = prove_inclusion(&self.context.store.nodes(&log)?, position, row.size);
        let path = path_in_tree(position, target, chunk);
        let (Ok(proof), Some((leaf, path))) = (proof, path) else { return Ok(None) };
        let held = TreeLeaf { checkpoint: &held.0, key: &held.1, leaf: leaf_hash(&ours), proof };
        let shown = TreeLeaf { checkpoint: &shown.0, key: &shown.1, leaf, proof: path };
        Ok(Evidence::of_trees(position, &held, &shown).ok())
    }
}

/// The leaf at a position of a chunk that holds its tile from the start, and its path to the root: inside the tile, then
/// that of the tile, which is what the chunk proves.
fn path_in_tree(
    position: u64,
    target: &VerifiedCheckpoint,
    chunk: &Chunk,
) -> Option<(sundbro_ledger::ids::LeafHash, Proof)> {
    let tile: MemoryTree = chunk.entries.iter().map(|entry| leaf_hash(entry)).collect();
    let (start, end) = (chunk.start, chunk.start.checked_add(tile.size())?);
    let root = NodeHash::from(tile.root());
    verify_subtree_consistency(start, end, &root, target.size(), target.root(), &chunk.proof)
        .ok()?;
    let place = position.checked_sub(start)?;
    let entry = chunk.entries.get(usize::try_from(place).ok()?)?;
    let mut path = tile.prove_inclusion(place).ok()?;
    path.extend(&chunk.proof);
    Some((leaf_hash(entry), path))
}
