//! A whole Merkle tree in memory: for the members of a charter and for tests, not for logs.

use super::{
    Frontier, NodeReader, Proof, ProveError, prove_consistency, prove_inclusion, range_hash,
};
use crate::ids::{LeafHash, NodeHash, RootHash};

/// A node that the tree does not have, or not yet complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no complete node {index} at level {level}")]
pub struct NoSuchNode {
    /// Height of the node.
    pub level: u8,
    /// Its place among the nodes of its level.
    pub index: u64,
}

/// Every complete node of a tree, by level and index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTree {
    frontier: Frontier,
    levels: Vec<Vec<NodeHash>>,
}

impl MemoryTree {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry.
    pub fn append(&mut self, leaf: LeafHash) {
        let levels = &mut self.levels;
        self.frontier.append_with(leaf, &mut |node, hash| {
            // The nodes of a level come in order and a level's first one after the level below it has two, so each
            // hash goes to the end of its level.
            let level = usize::from(node.level);
            if level == levels.len() {
                levels.push(Vec::new());
            }
            levels[level].push(hash);
        });
    }

    /// Entries in the tree.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the tree.
    pub fn root(&self) -> RootHash {
        self.frontier.root()
    }

    /// Root that the tree had at `size`.
    ///
    /// # Errors
    /// Fails when it never was that large.
    pub fn root_at(&self, size: u64) -> Result<RootHash, NoSuchNode> {
        range_hash(self, 0, size).map(RootHash::from)
    }

    /// Proves that the entry at `index` is in the tree.
    ///
    /// # Errors
    /// Fails when the tree does not reach it.
    pub fn prove_inclusion(&self, index: u64) -> Result<Proof, ProveError<NoSuchNode>> {
        prove_inclusion(self, index, self.size())
    }

    /// Proves that the tree of size `old` is the beginning of this one.
    ///
    /// # Errors
    /// Fails when `old` is 0 or larger than the tree.
    pub fn prove_consistency(&self, old: u64) -> Result<Proof, ProveError<NoSuchNode>> {
        prove_consistency(self, old, self.size())
    }
}

impl NodeReader for MemoryTree {
    type Error = NoSuchNode;

    fn node(&self, level: u8, index: u64) -> Result<NodeHash, NoSuchNode> {
        let at = usize::try_from(index).ok();
        let hashes = self.levels.get(usize::from(level));
        let hash = at.and_then(|at| hashes?.get(at));
        hash.copied().ok_or(NoSuchNode { level, index })
    }
}

impl Extend<LeafHash> for MemoryTree {
    fn extend<I: IntoIterator<Item = LeafHash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.append(leaf);
        }
    }
}

impl FromIterator<LeafHash> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = LeafHash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        tree.extend(leaves);
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::super::EMPTY_ROOT;
    use super::*;

    #[test]
    fn answers_only_for_complete_nodes() {
        let tree: MemoryTree = (0..3).map(|byte| LeafHash::new([byte; 32])).collect();
        assert_eq!(tree.node(0, 2), Ok(NodeHash::new([2; 32])));
        assert!(tree.node(1, 0).is_ok());
        for (level, index) in [(0, 3), (1, 1), (2, 0), (64, 0), (0, u64::MAX)] {
            assert_eq!(tree.node(level, index), Err(NoSuchNode { level, index }));
        }
    }

    #[test]
    fn knows_the_roots_that_it_had_and_no_others() {
        let mut tree = MemoryTree::new();
        let mut roots = vec![tree.root()];
        for byte in 0..9 {
            tree.append(LeafHash::new([byte; 32]));
            roots.push(tree.root());
        }
        assert_eq!(roots[0], EMPTY_ROOT);
        for (size, root) in (0..).zip(roots) {
            assert_eq!(tree.root_at(size), Ok(root));
        }
        assert!(tree.root_at(10).is_err());
        assert!(tree.prove_inclusion(9).is_err());
        assert!(tree.prove_consistency(0).is_err());
        assert!(tree.prove_consistency(10).is_err());
    }
}
