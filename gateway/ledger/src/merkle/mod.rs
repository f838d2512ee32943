//! The Merkle tree under every log, the members' root and the audit log: RFC 6962 with SHA-256.
//!
//! A tree is known by its size and root. [`Frontier`] grows one, [`verify_inclusion`] and its siblings check what others
//! claim about one, [`prove_inclusion`] and its siblings make those claims from a [`NodeReader`]. Sizes and proofs come
//! from outside: nothing here overflows on any `u64`, and no proof is longer than [`MAX_PROOF_HASHES`].

mod frontier;
mod memory;
mod proof;
mod prove;
mod subtree;

pub use frontier::{Frontier, FrontierError, Node};
pub use memory::{MemoryTree, NoSuchNode};
pub use proof::{
    MAX_PROOF_HASHES, Proof, ProofError, proof_from_wire, proof_to_wire, verify_consistency,
    verify_inclusion,
};
pub use prove::{
    NodeReader, ProveError, prove_consistency, prove_inclusion, prove_subtree_consistency,
    prove_subtree_inclusion, range_hash,
};
pub use subtree::{is_subtree, verify_subtree_consistency, verify_subtree_inclusion};

use sha2::{Digest, Sha256};

use crate::ids::{DIGEST_LEN, LeafHash, NodeHash, RootHash};

/// Largest tree size that is read from outside: 2^63 - 1, what fits the signed 64 bits of other implementations.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// Root of the tree without entries: SHA-256 of nothing (RFC 6962 §2.1).
pub const EMPTY_ROOT: RootHash = RootHash::new([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

// The first byte keeps a leaf from ever being read as a node: without it an "entry" of 64 bytes that are two hashes
// would have the same root as the two entries.
const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// Hash of an entry: SHA-256(00 ‖ entry), RFC 6962 §2.1.
pub fn leaf_hash(entry: &[u8]) -> LeafHash {
    let mut hasher = Sha256::new();
    hasher.update([LEAF_PREFIX]);
    hasher.update(entry);
    LeafHash::new(hasher.finalize().into())
}

/// Hash of an inner node: SHA-256(01 ‖ left ‖ right), RFC 6962 §2.1.
pub fn node_hash(left: &NodeHash, right: &NodeHash) -> NodeHash {
    let mut block = [NODE_PREFIX; 1 + 2 * DIGEST_LEN];
    block[1..=DIGEST_LEN].copy_from_slice(left.as_bytes());
    block[1 + DIGEST_LEN..].copy_from_slice(right.as_bytes());
    NodeHash::new(Sha256::digest(block).into())
}

/// Where a tree of `entries` ≥ 2 splits: the largest power of two below it (RFC 6962 §2.1, *k*).
fn split_point(entries: u64) -> u64 {
    debug_assert!(entries >= 2, "a tree of fewer than two entries does not split");
    1 << (entries - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(EMPTY_ROOT.as_bytes()[..], Sha256::digest(b"")[..]);
    }

    #[test]
    fn a_leaf_and_a_node_of_the_same_bytes_differ() {
        let (left, right) = (NodeHash::new([1; 32]), NodeHash::new([2; 32]));
        let joined = [*left.as_bytes(), *right.as_bytes()].concat();
        assert_ne!(NodeHash::from(leaf_hash(&joined)), node_hash(&left, &right));
        let by_hand = Sha256::digest([&[1][..], &joined].concat());
        assert_eq!(node_hash(&left, &right).as_bytes()[..], by_hand[..]);
    }

    #[test]
    fn splits_below_the_size() {
        for (entries, split) in [(2, 1), (3, 2), (4, 2), (5, 4), (256, 128), (257, 256)] {
            assert_eq!(split_point(entries), split, "{entries}");
        }
        assert_eq!(split_point(u64::MAX), 1 << 63);
    }
}
