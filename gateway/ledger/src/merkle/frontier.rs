//! The right edge of one Merkle tree: all that is needed to append to it and to know its root.
//!
//! A tree of size *n* is a row of complete subtrees, one for each bit set in *n*, largest first. Their roots are the
//! frontier: at most 63 hashes, whatever the size. Appending merges from the right, as adding one does with carries.

use super::{EMPTY_ROOT, MAX_TREE_SIZE, node_hash};
use crate::ids::{LeafHash, NodeHash, RootHash};

/// Names a complete subtree: the entries from `index << level` up to `(index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Its height; 0 is a leaf.
    pub level: u8,
    /// Its place among the nodes of its level, from 0.
    pub index: u64,
}

/// Hashes that are not the frontier of a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontierError {
    /// One hash for each bit set in the size.
    #[error("a frontier of size {size} has {expected} hashes, not {found}: read it again")]
    Count {
        /// Entries that the tree is said to have.
        size: u64,
        /// How many hashes that takes.
        expected: usize,
        /// How many there were.
        found: usize,
    },
    /// Beyond 2^63 - 1.
    #[error("size {0} is larger than any tree: read the frontier again")]
    TooLarge(u64),
}

/// The compact range [0, size) of a tree: grows it and knows its root.
///
/// Holds one hash for each bit set in `size`, that of the largest subtree first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    nodes: Vec<NodeHash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// From what [`size`](Self::size) and [`nodes`](Self::nodes) gave.
    ///
    /// # Errors
    /// Fails when there are more or fewer hashes than the size asks for, or the size is beyond 2^63 - 1. Whether the
    /// hashes are right shows only in [`root`](Self::root).
    pub fn from_parts(size: u64, nodes: Vec<NodeHash>) -> Result<Self, FrontierError> {
        if size > MAX_TREE_SIZE {
            return Err(FrontierError::TooLarge(size));
        }
        let (expected, found) = (size.count_ones() as usize, nodes.len());
        if found != expected {
            return Err(FrontierError::Count { size, expected, found });
        }
        Ok(Self { size, nodes })
    }

    /// Entries in the tree: the position of the next one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, left to right, that of the largest subtree first.
    pub fn nodes(&self) -> &[NodeHash] {
        &self.nodes
    }

    /// Appends an entry.
    pub fn append(&mut self, leaf: LeafHash) {
        self.append_with(leaf, &mut |_, _| ());
    }

    /// Appends an entry and reports every node that this completes, the leaf first, then upwards.
    ///
    /// Over the life of a tree each complete node is reported exactly once, and the nodes of a level in order: a store
    /// that writes them down can answer any [`NodeReader`](super::NodeReader) question.
    pub fn append_with(&mut self, leaf: LeafHash, completed: &mut impl FnMut(Node, NodeHash)) {
        let mut node = Node { level: 0, index: self.size };
        let mut hash = NodeHash::from(leaf);
        completed(node, hash);
        // An odd index has its sibling to the left, and that is the frontier's last hash.
        while node.index & 1 == 1
            && let Some(left) = self.nodes.pop()
        {
            hash = node_hash(&left, &hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            completed(node, hash);
        }
        self.nodes.push(hash);
        // No overflow: `from_parts` starts below 2^63, and nobody appends another 2^63 entries.
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> RootHash {
        let mut right_to_left = self.nodes.iter().rev();
        let Some(last) = right_to_left.next() else {
            return EMPTY_ROOT;
        };
        right_to_left.fold(*last, |right, left| node_hash(left, &right)).into()
    }

    /// The entries after the last multiple of 2^`height`, as a tree of their own.
    ///
    /// Appending the entries that follow gives the hash of the subtree [size rounded down, new size): with height 8,
    /// what a chunk of a tile is checked by when the replica ends inside that tile.
    pub fn tail(&self, height: u8) -> Self {
        let size = match 1_u64.checked_shl(height.into()) {
            Some(width) => self.size & (width - 1),
            None => self.size,
        };
        let whole = self.nodes.len().saturating_sub(size.count_ones() as usize);
        Self { size, nodes: self.nodes[whole..].to_vec() }
    }
}

impl Extend<LeafHash> for Frontier {
    fn extend<I: IntoIterator<Item = LeafHash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.append(leaf);
        }
    }
}

impl FromIterator<LeafHash> for Frontier {
    fn from_iter<I: IntoIterator<Item = LeafHash>>(leaves: I) -> Self {
        let mut frontier = Self::new();
        frontier.extend(leaves);
        frontier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(byte: u8) -> LeafHash {
        LeafHash::new([byte; 32])
    }

    #[test]
    fn refuses_parts_that_do_not_fit_the_size() {
        let hash = NodeHash::new([1; 32]);
        let count = |size, expected, found| FrontierError::Count { size, expected, found };
        assert_eq!(Frontier::from_parts(5, vec![hash]), Err(count(5, 2, 1)));
        assert_eq!(Frontier::from_parts(0, vec![hash]), Err(count(0, 0, 1)));
        assert_eq!(Frontier::from_parts(4, Vec::new()), Err(count(4, 1, 0)));
        let beyond = MAX_TREE_SIZE + 1;
        assert_eq!(Frontier::from_parts(beyond, vec![hash]), Err(FrontierError::TooLarge(beyond)));
        assert!(Frontier::from_parts(MAX_TREE_SIZE, vec![hash; 63]).is_ok());
    }

    #[test]
    fn the_largest_tree_still_takes_an_entry() {
        let mut frontier =
            Frontier::from_parts(MAX_TREE_SIZE, vec![NodeHash::new([1; 32]); 63]).expect("parts");
        frontier.append(leaf(2));
        assert_eq!((frontier.size(), frontier.nodes().len()), (1 << 63, 1));
    }

    #[test]
    fn reports_each_completed_node_once_and_bottom_up() {
        let mut frontier = Frontier::new();
        let mut seen = Vec::new();
        for byte in 0..4 {
            frontier.append_with(leaf(byte), &mut |node, _| seen.push((node.level, node.index)));
        }
        assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1), (2, 0)]);
    }

    #[test]
    fn the_tail_is_the_tree_of_the_last_entries() {
        let all: Frontier = (0..13).map(leaf).collect();
        for (height, first) in
            [(0, 13), (1, 12), (2, 12), (3, 8), (4, 0), (63, 0), (64, 0), (255, 0)]
        {
            assert_eq!(all.tail(height), (first..13).map(leaf).collect(), "height {height}");
        }
        assert_eq!(Frontier::new().tail(8), Frontier::new());
    }
}
