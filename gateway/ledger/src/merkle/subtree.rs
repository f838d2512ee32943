//! Checks proofs about subtrees [start, end) of a tree (draft-ietf-plants-merkle-tree-certs, "Subtrees").
//!
//! A subtree need not be complete: it is any range that starts at a multiple of its size rounded up to a power of two.
//! So a tile of 256 entries has a proof of its own at every size of the log, and chunks can be checked one by one.

use super::proof::{ProofError, check_length, check_root};
use super::{EMPTY_ROOT, node_hash, verify_inclusion};
use crate::ids::{LeafHash, NodeHash, RootHash};

/// Whether [start, end) is a subtree of every tree that reaches `end`.
pub const fn is_subtree(start: u64, end: u64) -> bool {
    if start > end {
        return false;
    }
    match (end - start).checked_next_power_of_two() {
        Some(width) => start.is_multiple_of(width),
        // Beyond 2^63 entries the width is 2^64, and only 0 is a multiple of it.
        None => start == 0,
    }
}

/// Checks that entry `index` of the subtree [start, end) with hash `subtree` has the hash `leaf`.
///
/// # Errors
/// Any [`ProofError`] but `FromEmpty`.
pub fn verify_subtree_inclusion(
    leaf: &LeafHash,
    index: u64,
    start: u64,
    end: u64,
    proof: &[NodeHash],
    subtree: &NodeHash,
) -> Result<(), ProofError> {
    if !is_subtree(start, end) {
        return Err(ProofError::NotASubtree { start, end });
    }
    let Some(place) = index.checked_sub(start) else {
        return Err(ProofError::Outside { start: index, end: start, size: end });
    };
    verify_inclusion(leaf, place, end - start, proof, &(*subtree).into())
}

/// Checks that the subtree [start, end) with hash `subtree` is part of the tree (`size`, `root`).
///
/// With start 0 this is consistency, with end = start + 1 inclusion. The empty range has the hash of nothing, takes the
/// empty proof, and says nothing about the tree.
///
/// # Errors
/// Any [`ProofError`] but `FromEmpty`.
pub fn verify_subtree_consistency(
    start: u64,
    end: u64,
    subtree: &NodeHash,
    size: u64,
    root: &RootHash,
    proof: &[NodeHash],
) -> Result<(), ProofError> {
    check_length(proof.len())?;
    if !is_subtree(start, end) {
        return Err(ProofError::NotASubtree { start, end });
    }
    if end > size {
        return Err(ProofError::Outside { start, end, size });
    }
    let wrong_length = ProofError::WrongLength(proof.len());
    if start == end {
        return if proof.is_empty() {
            check_root(*subtree, &EMPTY_ROOT)
        } else {
            Err(wrong_length)
        };
    }

    // Paths of the subtree's first and last entry and of the tree's last entry, as indexes on the level reached.
    let mut paths = Paths { first: start, last: end - 1, edge: size - 1 };
    paths.climb_to_first_shared_node();
    let (seed, rest) = if paths.first == paths.last {
        // The subtree is a node of the tree: its hash is known, and the proof leaves it out.
        (subtree, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let (mut in_subtree, mut in_tree) = (*seed, *seed);
    for sibling in rest {
        if paths.edge == 0 {
            return Err(wrong_length);
        }
        if paths.last & 1 == 1 || paths.last == paths.edge {
            if paths.first < paths.last {
                in_subtree = node_hash(sibling, &in_subtree);
            }
            in_tree = node_hash(sibling, &in_tree);
            // `last` is odd, or equals `edge`, which is not 0: so this is below 64.
            paths.climb(paths.last.trailing_zeros());
        } else {
            in_tree = node_hash(&in_tree, sibling);
        }
        paths.climb(1);
    }
    if paths.edge != 0 {
        return Err(wrong_length);
    }
    check_root(in_tree, root)?;
    check_root(in_subtree, &(*subtree).into()).map_err(|_| ProofError::OtherSubtree)
}

struct Paths {
    first: u64,
    last: u64,
    edge: u64,
}

impl Paths {
    fn climb(&mut self, levels: u32) {
        self.first >>= levels;
        self.last >>= levels;
        self.edge >>= levels;
    }

    /// Climbs to the lowest node at the subtree's right end that subtree and tree have in common.
    fn climb_to_first_shared_node(&mut self) {
        // Where first and last meet, the subtree is one node.
        let meet = u64::BITS - (self.first ^ self.last).leading_zeros();
        let levels =
            if self.last == self.edge { meet } else { meet.min(self.last.trailing_ones()) };
        // 64 only from first 0 to last ≥ 2^63: there all three paths end at the root.
        if levels == u64::BITS {
            *self = Self { first: 0, last: 0, edge: 0 };
        } else {
            self.climb(levels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtree_starts_at_a_multiple_of_its_width() {
        for (start, end) in [(0, 0), (7, 7), (0, 1), (4, 7), (8, 13), (256, 257), (256, 512)] {
            assert!(is_subtree(start, end), "{start} {end}");
        }
        for (start, end) in [(1, 0), (1, 3), (2, 5), (2, 6), (1, 15), (128, 257)] {
            assert!(!is_subtree(start, end), "{start} {end}");
        }
        assert!(is_subtree(0, u64::MAX));
        assert!(is_subtree(1 << 63, u64::MAX));
        assert!(!is_subtree(1, (1 << 63) + 2));
        assert!(!is_subtree(1, u64::MAX));
    }

    #[test]
    fn says_what_is_wrong() {
        let (hash, root) = (NodeHash::new([1; 32]), RootHash::new([1; 32]));
        let check = |start, end, size, proof: &[NodeHash]| {
            verify_subtree_consistency(start, end, &hash, size, &root, proof)
        };
        assert_eq!(check(0, 1, 1, &[]), Ok(()));
        assert_eq!(check(1, 3, 4, &[]), Err(ProofError::NotASubtree { start: 1, end: 3 }));
        let outside = ProofError::Outside { start: 4, end: 8, size: 7 };
        assert_eq!(check(4, 8, 7, &[]), Err(outside));
        assert_eq!(check(0, 3, 4, &[]), Err(ProofError::WrongLength(0)));
        assert_eq!(check(0, 3, 4, &[hash; 9]), Err(ProofError::WrongLength(9)));
        assert_eq!(check(5, 5, 5, &[]), Err(ProofError::RootMismatch));
        assert_eq!(check(0, u64::MAX, u64::MAX, &[]), Ok(()));
        assert_eq!(check(0, u64::MAX - 1, u64::MAX, &[]), Err(ProofError::WrongLength(0)));
        let leaf = LeafHash::new([1; 32]);
        let before = ProofError::Outside { start: 3, end: 4, size: 8 };
        assert_eq!(verify_subtree_inclusion(&leaf, 3, 4, 8, &[], &hash), Err(before));
    }
}
