//! Checks inclusion and consistency proofs (RFC 6962 §2.1, by the algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2).
//!
//! A proof is a claim by a stranger. Its length is limited before anything is computed, and each check ends after at
//! most as many steps as the proof has hashes.

use bytes::Bytes;

use super::{EMPTY_ROOT, node_hash, verify_subtree_consistency};
use crate::ids::{DIGEST_LEN, LeafHash, NodeHash, RootHash};

/// The hashes of a proof, lowest first.
pub type Proof = Vec<NodeHash>;

/// Most hashes in a proof: what the largest tree needs. Inclusion in 2^63 - 1 entries takes up to 63; a proof about a
/// subtree that is no node of the tree begins with one hash more.
pub const MAX_PROOF_HASHES: usize = 64;

/// Why a proof does not show what it was brought for. Always the fault of whoever made it, or of what it was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The entry or the smaller tree is not inside the larger one.
    #[error("entries {start} to {end} are not in a tree of size {size}: ask for another proof")]
    Outside {
        /// First entry.
        start: u64,
        /// One past the last entry.
        end: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The range does not start at a multiple of its size rounded up to a power of two.
    #[error("entries {start} to {end} are not a subtree: ask for an aligned range")]
    NotASubtree {
        /// First entry.
        start: u64,
        /// One past the last entry.
        end: u64,
    },
    /// From the empty tree every tree follows, so a proof from it says nothing.
    #[error(
        "a proof from the empty tree to size {size} says nothing: ask for one from size 1 or more"
    )]
    FromEmpty {
        /// Size of the larger tree.
        size: u64,
    },
    /// Over the limit, whatever the sizes.
    #[error("a proof of {0} hashes is over the limit of 64: use another peer")]
    TooLong(usize),
    /// A hash on the wire that is not 32 bytes.
    #[error("hash {0} of the proof is not 32 bytes: use another peer")]
    HashLength(usize),
    /// More or fewer hashes than sizes and position ask for.
    #[error("a proof of {0} hashes does not fit these sizes: use another peer")]
    WrongLength(usize),
    /// The hashes lead to another root.
    #[error("the proof leads to another root: use another peer, or the log has two histories")]
    RootMismatch,
    /// The hashes lead to this root, and from another subtree than the one given: whoever made the proof made it well,
    /// and whoever signed the root holds other entries there. Where the subtree is one node of the tree, a proof does not
    /// contain it, and this cannot be told from `RootMismatch`.
    #[error("the tree has other entries there: its log has two histories")]
    OtherSubtree,
}

/// Reads the hashes of a proof from a message.
///
/// # Errors
/// [`ProofError::TooLong`], before anything is copied; [`ProofError::HashLength`].
pub fn proof_from_wire(hashes: &[Bytes]) -> Result<Proof, ProofError> {
    check_length(hashes.len())?;
    let parse = |(place, hash): (usize, &Bytes)| {
        NodeHash::try_from(&hash[..]).map_err(|_| ProofError::HashLength(place))
    };
    hashes.iter().enumerate().map(parse).collect()
}

/// The hashes of a proof for a message.
pub fn proof_to_wire(proof: &Proof) -> Vec<Bytes> {
    // One buffer for all: each hash is a view into it.
    let mut all = Vec::with_capacity(proof.len() * DIGEST_LEN);
    for hash in proof {
        all.extend_from_slice(hash.as_bytes());
    }
    let all = Bytes::from(all);
    (0..proof.len()).map(|at| all.slice(at * DIGEST_LEN..(at + 1) * DIGEST_LEN)).collect()
}

/// Checks that the entry at `index` of the tree (`size`, `root`) has the hash `leaf`.
///
/// # Errors
/// Any [`ProofError`] but `NotASubtree` and `FromEmpty`.
pub fn verify_inclusion(
    leaf: &LeafHash,
    index: u64,
    size: u64,
    proof: &[NodeHash],
    root: &RootHash,
) -> Result<(), ProofError> {
    check_length(proof.len())?;
    if index >= size {
        return Err(ProofError::Outside { start: index, end: index.saturating_add(1), size });
    }
    let wrong_length = ProofError::WrongLength(proof.len());
    // Path of the entry and path of the last entry, both as indexes on the level that has been reached.
    let (mut path, mut edge) = (index, size - 1);
    let mut hash = NodeHash::from(*leaf);
    for sibling in proof {
        if edge == 0 {
            return Err(wrong_length);
        }
        if path & 1 == 1 || path == edge {
            hash = node_hash(sibling, &hash);
            // On the right edge there may be no sibling for some levels: the node rises unchanged. `path` is not 0
            // here, for then it equals `edge`, which is not 0.
            let rises = path.trailing_zeros();
            path >>= rises;
            edge >>= rises;
        } else {
            hash = node_hash(&hash, sibling);
        }
        path >>= 1;
        edge >>= 1;
    }
    if edge != 0 {
        return Err(wrong_length);
    }
    check_root(hash, root)
}

/// Checks that the tree (`old_size`, `old_root`) is the beginning of (`new_size`, `new_root`).
///
/// Equal sizes take the empty proof and equal roots. A proof from the empty tree to a larger one is refused: it would
/// hold for any root, so whoever starts from nothing has nothing to check yet.
///
/// # Errors
/// Any [`ProofError`] but `NotASubtree`.
pub fn verify_consistency(
    old_size: u64,
    old_root: &RootHash,
    new_size: u64,
    new_root: &RootHash,
    proof: &[NodeHash],
) -> Result<(), ProofError> {
    if old_size == 0 && new_size > 0 {
        return Err(ProofError::FromEmpty { size: new_size });
    }
    if new_size == 0 && old_size == 0 && *new_root != EMPTY_ROOT {
        return Err(ProofError::RootMismatch);
    }
    // SUBTREE_PROOF(0, m, D_n) is RFC 6962's PROOF(m, D_n).
    verify_subtree_consistency(0, old_size, &(*old_root).into(), new_size, new_root, proof)
}

pub(super) fn check_length(hashes: usize) -> Result<(), ProofError> {
    if hashes > MAX_PROOF_HASHES { Err(ProofError::TooLong(hashes)) } else { Ok(()) }
}

pub(super) fn check_root(found: NodeHash, root: &RootHash) -> Result<(), ProofError> {
    // Hashes of public data: nothing is secret, so the comparison need not take constant time.
    if RootHash::from(found) == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: NodeHash = NodeHash::new([1; 32]);
    const LEAF: LeafHash = LeafHash::new([1; 32]);
    const ROOT: RootHash = RootHash::new([2; 32]);

    #[test]
    fn refuses_a_proof_over_the_limit_whatever_the_sizes() {
        let long = vec![ANY; MAX_PROOF_HASHES + 1];
        let refused = Err(ProofError::TooLong(65));
        assert_eq!(verify_inclusion(&LEAF, 0, u64::MAX, &long, &ROOT), refused);
        assert_eq!(verify_consistency(1, &ROOT, u64::MAX, &ROOT, &long), refused);
        assert_eq!(verify_subtree_consistency(0, 1, &ANY, u64::MAX, &ROOT, &long), refused);
        let wire = vec![Bytes::from_static(&[0; 32]); 65];
        assert_eq!(proof_from_wire(&wire), Err(ProofError::TooLong(65)));
    }

    #[test]
    fn refuses_hashes_of_another_length_on_the_wire() {
        let wire = [Bytes::from_static(&[0; 32]), Bytes::from_static(&[0; 31])];
        assert_eq!(proof_from_wire(&wire), Err(ProofError::HashLength(1)));
        let proof = vec![ANY, NodeHash::new([3; 32])];
        assert_eq!(proof_from_wire(&proof_to_wire(&proof)), Ok(proof));
    }

    #[test]
    fn extremes_neither_overflow_nor_pass() {
        let extremes =
            [0, 1, 2, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
        for a in extremes {
            for b in extremes {
                for hashes in [0, 1, 62, 63, 64] {
                    let proof = vec![ANY; hashes];
                    let other = RootHash::new([3; 32]);
                    assert!(verify_inclusion(&LEAF, a, b, &proof, &ROOT).is_err(), "{a} {b}");
                    assert!(verify_consistency(a, &ROOT, b, &other, &proof).is_err(), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let root = RootHash::new([1; 32]);
        assert_eq!(verify_inclusion(&LEAF, 0, 1, &[], &root), Ok(()));
        assert_eq!(verify_inclusion(&LEAF, 0, 1, &[], &ROOT), Err(ProofError::RootMismatch));
        assert_eq!(verify_inclusion(&LEAF, 0, 1, &[ANY], &root), Err(ProofError::WrongLength(1)));
        assert_eq!(verify_inclusion(&LEAF, 0, 2, &[], &root), Err(ProofError::WrongLength(0)));
        let outside = ProofError::Outside { start: 1, end: 2, size: 1 };
        assert_eq!(verify_inclusion(&LEAF, 1, 1, &[], &root), Err(outside));
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 0, &EMPTY_ROOT, &[]), Ok(()));
        // There is one empty tree.
        for (old, new) in [(EMPTY_ROOT, ROOT), (ROOT, EMPTY_ROOT), (ROOT, ROOT)] {
            let refused = Err(ProofError::RootMismatch);
            assert_eq!(verify_consistency(0, &old, 0, &new, &[]), refused);
        }
        let emptied = ProofError::Outside { start: 0, end: 1, size: 0 };
        assert_eq!(verify_consistency(1, &root, 0, &root, &[]), Err(emptied));
        let from_empty = Err(ProofError::FromEmpty { size: 1 });
        assert_eq!(verify_consistency(0, &EMPTY_ROOT, 1, &root, &[]), from_empty);
        let shrunk = ProofError::Outside { start: 0, end: 2, size: 1 };
        assert_eq!(verify_consistency(2, &root, 1, &root, &[]), Err(shrunk));
    }
}
