//! Laws of the Merkle tree, the frontier and the entry bundles.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use sundbro_ledger::ids::{LeafHash, NodeHash, RootHash};
use sundbro_ledger::merkle::{
    EMPTY_ROOT, Frontier, MAX_TREE_SIZE, MemoryTree, NodeReader, ProofError, is_subtree, leaf_hash,
    node_hash, proof_from_wire, proof_to_wire, prove_consistency, prove_inclusion,
    prove_subtree_consistency, prove_subtree_inclusion, range_hash, verify_consistency,
    verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
use sundbro_ledger::tiles::{read_bundle, tiles_of, write_bundle};

const LARGEST: u64 = 600;

/// The leaves 0, 1, 2… of one tree of the largest size. Every smaller tree is its beginning.
static LEAVES: LazyLock<Vec<LeafHash>> =
    LazyLock::new(|| (0..LARGEST).map(|entry| leaf_hash(&entry.to_be_bytes())).collect());

static TREE: LazyLock<MemoryTree> = LazyLock::new(|| LEAVES.iter().copied().collect());

fn root_at(size: u64) -> RootHash {
    TREE.root_at(size).expect("not beyond the largest size")
}

/// MTH of RFC 6962 §2.1 as it is written there, sharing nothing with the crate but the two hashes.
fn naive_root(leaves: &[LeafHash]) -> RootHash {
    fn subtree(leaves: &[LeafHash]) -> NodeHash {
        if let [leaf] = leaves {
            return (*leaf).into();
        }
        let mut split = 1;
        while split * 2 < leaves.len() {
            split *= 2;
        }
        node_hash(&subtree(&leaves[..split]), &subtree(&leaves[split..]))
    }
    if leaves.is_empty() { EMPTY_ROOT } else { subtree(leaves).into() }
}

/// A range that starts at a multiple of its width, in a tree of `size`.
fn subtree_and_size() -> impl Strategy<Value = (u64, u64, u64)> {
    (1..=LARGEST).prop_flat_map(|size| {
        let start = (0..size, 0_u32..10).prop_map(|(start, level)| start >> level << level);
        start.prop_flat_map(move |start| {
            let width = if start == 0 { size } else { 1 << start.trailing_zeros() };
            (start + 1..=size.min(start + width)).prop_map(move |end| (start, end, size))
        })
    })
}

fn flip(hashes: &mut [NodeHash], bit: Index) {
    let bit = bit.index(hashes.len() * 256);
    let (place, bit) = (bit / 256, bit % 256);
    let mut bytes = *hashes[place].as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    hashes[place] = NodeHash::new(bytes);
}

#[test]
fn frontier_memory_tree_and_the_definition_agree_at_every_size() {
    let mut frontier = Frontier::new();
    for size in 0..=LEAVES.len() {
        let root = naive_root(&LEAVES[..size]);
        assert_eq!(frontier.root(), root, "frontier at {size}");
        assert_eq!(root_at(size as u64), root, "tree at {size}");
        let parts = Frontier::from_parts(frontier.size(), frontier.nodes().to_vec());
        assert_eq!(parts.as_ref(), Ok(&frontier), "parts at {size}");
        if let Some(leaf) = LEAVES.get(size) {
            frontier.append(*leaf);
        }
    }
}

/// A tree whose entries are all the same: a node is known by its level, so it can be as large as a tree may be.
struct Uniform;

impl NodeReader for Uniform {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, _: u64) -> Result<NodeHash, Self::Error> {
        let leaf = NodeHash::from(leaf_hash(b"entry"));
        Ok((0..level).fold(leaf, |below, _| node_hash(&below, &below)))
    }
}

// 63 was the limit, and a consistency proof in a tree of depth 63 has 64 hashes: honest peers would have refused one
// another's proofs.
#[test]
fn the_longest_proofs_of_the_largest_trees_are_taken() {
    let root = |size| RootHash::from(range_hash(&Uniform, 0, size).expect("never fails"));
    for (old, new, hashes) in [
        (3, (1 << 62) + 1, 64),
        (3, MAX_TREE_SIZE, 64),
        ((1 << 62) - 1, MAX_TREE_SIZE, 64),
        ((1 << 62) + 1, MAX_TREE_SIZE, 64),
        (1 << 62, MAX_TREE_SIZE, 1),
    ] {
        let proof = prove_consistency(&Uniform, old, new).expect("both sizes are there");
        assert_eq!(proof.len(), hashes, "{old} {new}");
        assert_eq!(verify_consistency(old, &root(old), new, &root(new), &proof), Ok(()));
        assert_eq!(proof_from_wire(&proof_to_wire(&proof)), Ok(proof));
    }
    let proof = prove_inclusion(&Uniform, 0, MAX_TREE_SIZE).expect("it is there");
    assert_eq!(proof.len(), 63);
    let leaf = leaf_hash(b"entry");
    assert_eq!(verify_inclusion(&leaf, 0, MAX_TREE_SIZE, &proof, &root(MAX_TREE_SIZE)), Ok(()));
}

#[test]
fn every_smaller_tree_is_consistent_and_no_other_root_is() {
    let roots: Vec<RootHash> = (0..=130).map(root_at).collect();
    for new in 1..roots.len() {
        for old in 1..=new {
            let (old_size, new_size) = (old as u64, new as u64);
            let proof = prove_consistency(&*TREE, old_size, new_size).expect("proof");
            let verify = |old_root, new_root| {
                verify_consistency(old_size, old_root, new_size, new_root, &proof)
            };
            assert_eq!(verify(&roots[old], &roots[new]), Ok(()), "{old} {new}");
            let other = &roots[old - 1];
            assert!(verify(other, &roots[new]).is_err(), "{old} {new}");
            assert!(verify(&roots[old], other).is_err(), "{old} {new}");
        }
    }
}

#[test]
fn every_chunk_of_a_log_has_a_proof_at_every_size() {
    for size in (1..=LARGEST).step_by(7).chain([255, 256, 257, 511, 512, 513]) {
        let root = root_at(size);
        for tile in (0..size).step_by(256) {
            let full = size.min(tile + 256);
            for end in [tile + 1, tile + (full - tile).div_ceil(2), full] {
                let proof = prove_subtree_consistency(&*TREE, tile, end, size).expect("proof");
                // What a replica does: grow the tile it has by the entries that came.
                let held = tile + (end - tile) / 3;
                let replica: Frontier = LEAVES[..held as usize].iter().copied().collect();
                let mut chunk = replica.tail(8);
                chunk.extend(LEAVES[held as usize..end as usize].iter().copied());
                let hash = NodeHash::from(chunk.root());
                assert_eq!(hash, range_hash(&*TREE, tile, end).expect("range"));
                let verdict = verify_subtree_consistency(tile, end, &hash, size, &root, &proof);
                assert_eq!(verdict, Ok(()), "[{tile}, {end}) of {size}");
            }
        }
    }
}

#[test]
fn ranges_that_are_no_subtrees_have_no_proofs() {
    let tree: MemoryTree = LEAVES[..20].iter().copied().collect();
    for start in 0..20 {
        for end in start..=20 {
            let proof = prove_subtree_consistency(&tree, start, end, 20);
            assert_eq!(proof.is_ok(), start < end && is_subtree(start, end), "[{start}, {end})");
            assert!(prove_subtree_consistency(&tree, start, end, end.saturating_sub(1)).is_err());
        }
    }
    for (start, end) in (0..20).flat_map(|start| (start..=20).map(move |end| (start, end))) {
        for index in 0..=20 {
            let inside = is_subtree(start, end) && (start..end).contains(&index);
            let proof = prove_subtree_inclusion(&tree, index, start, end);
            assert_eq!(proof.is_ok(), inside, "{index} in [{start}, {end})");
        }
    }
    assert!(prove_inclusion(&tree, 20, 20).is_err());
    assert!(prove_inclusion(&tree, 0, 0).is_err());
    assert!(prove_inclusion(&tree, 0, 21).is_err(), "the tree is not that large");
    assert!(prove_inclusion(&tree, u64::MAX, u64::MAX).is_err());
}

#[test]
fn completed_nodes_are_the_hashes_of_their_ranges() {
    for level in 0..10_u8 {
        for index in 0..LARGEST >> level {
            let range = (index << level) as usize..((index + 1) << level) as usize;
            let hash = RootHash::from(TREE.node(level, index).expect("complete"));
            assert_eq!(hash, naive_root(&LEAVES[range]), "node {index} of level {level}");
        }
    }
}

proptest! {
    // A fixed seed: the same cases on every machine and every day.
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(6962),
        ..ProptestConfig::default()
    })]

    #[test]
    fn appending_then_proving_always_verifies(size in 1..=LARGEST, place: Index) {
        let index = place.index(size as usize);
        let proof = prove_inclusion(&*TREE, index as u64, size).expect("proof");
        let verify = |place: usize| {
            verify_inclusion(&LEAVES[index], place as u64, size, &proof, &root_at(size))
        };
        prop_assert_eq!(verify(index), Ok(()));
        prop_assert_eq!(verify((index + 1) % size as usize).is_ok(), size == 1);
    }

    #[test]
    fn any_flipped_bit_of_an_inclusion_proof_fails(
        size in 2..=LARGEST,
        place: Index,
        bit: Index,
    ) {
        let index = place.index(size as usize);
        let mut proof = prove_inclusion(&*TREE, index as u64, size).expect("proof");
        flip(&mut proof, bit);
        let verdict = verify_inclusion(&LEAVES[index], index as u64, size, &proof, &root_at(size));
        prop_assert_eq!(verdict, Err(ProofError::RootMismatch));
    }

    #[test]
    fn every_tree_is_the_beginning_of_every_later_one(
        new in 1..=LARGEST,
        old: Index,
        bit: Index,
    ) {
        let old = old.index(new as usize) as u64 + 1;
        let old_root = root_at(old);
        let mut proof = prove_consistency(&*TREE, old, new).expect("proof");
        let verify = |proof: &[NodeHash]| {
            verify_consistency(old, &old_root, new, &root_at(new), proof)
        };
        prop_assert_eq!(verify(&proof), Ok(()));
        if old < new {
            flip(&mut proof, bit);
            prop_assert_eq!(verify(&proof), Err(ProofError::RootMismatch));
            proof.pop();
            prop_assert_eq!(verify(&proof), Err(ProofError::WrongLength(proof.len())));
        }
        // A good proof from another beginning says so, unless that beginning is one node, which a proof leaves out.
        let proof = prove_consistency(&*TREE, old, new).expect("proof");
        let other = verify_consistency(old, &RootHash::new([0; 32]), new, &root_at(new), &proof);
        let is_node = old.is_power_of_two() || old == new;
        let expected = if is_node { ProofError::RootMismatch } else { ProofError::OtherSubtree };
        prop_assert_eq!(other, Err(expected));
    }

    #[test]
    fn every_subtree_is_part_of_its_tree((start, end, size) in subtree_and_size(), bit: Index) {
        let hash = NodeHash::from(naive_root(&LEAVES[start as usize..end as usize]));
        prop_assert_eq!(range_hash(&*TREE, start, end).expect("range"), hash);
        let mut proof = prove_subtree_consistency(&*TREE, start, end, size).expect("proof");
        let verify = |hash: NodeHash, proof: &[NodeHash]| {
            verify_subtree_consistency(start, end, &hash, size, &root_at(size), proof)
        };
        prop_assert_eq!(verify(hash, &proof), Ok(()));
        prop_assert!(verify(NodeHash::new([0; 32]), &proof).is_err());
        if !proof.is_empty() {
            flip(&mut proof, bit);
            prop_assert_eq!(verify(hash, &proof), Err(ProofError::RootMismatch));
        }
    }

    #[test]
    fn every_entry_is_part_of_its_subtree((start, end, _) in subtree_and_size(), place: Index) {
        let hash = range_hash(&*TREE, start, end).expect("range");
        let index = start + place.index((end - start) as usize) as u64;
        let proof = prove_subtree_inclusion(&*TREE, index, start, end).expect("proof");
        let leaf = &LEAVES[index as usize];
        prop_assert_eq!(verify_subtree_inclusion(leaf, index, start, end, &proof, &hash), Ok(()));
    }

    #[test]
    fn proofs_made_of_noise_neither_panic_nor_pass(
        numbers: [u64; 3],
        hashes in prop::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let [start, end, size] = numbers;
        let proof: Vec<NodeHash> = hashes.into_iter().map(NodeHash::new).collect();
        let (hash, root) = (NodeHash::new([2; 32]), RootHash::new([1; 32]));
        let leaf = LeafHash::new([3; 32]);
        prop_assert!(verify_inclusion(&leaf, start, size, &proof, &root).is_err());
        prop_assert!(verify_subtree_inclusion(&leaf, size, start, end, &proof, &hash).is_err());
        prop_assert!(verify_subtree_consistency(start, end, &hash, size, &root, &proof).is_err());
        prop_assert!(verify_subtree_consistency(0, end, &hash, size, &root, &proof).is_err());
        prop_assert!(verify_consistency(start, &hash.into(), end, &root, &proof).is_err());
    }

    #[test]
    fn bundles_read_back_what_was_written(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..20),
    ) {
        let bundle = write_bundle(entries.iter().map(Vec::as_slice)).expect("short entries");
        let read = read_bundle(&bundle, entries.len()).expect("a bundle");
        prop_assert_eq!(&read, &entries);
        if let Some(fewer) = entries.len().checked_sub(1) {
            prop_assert!(read_bundle(&bundle, fewer).is_err());
        }
    }

    #[test]
    fn what_reads_as_a_bundle_is_written_back_the_same(
        lengths in prop::collection::vec(0..4_u8, 0..40),
    ) {
        // Small numbers: every other byte is likely to be read as the low half of a length.
        if let Ok(entries) = read_bundle(&lengths, 256) {
            prop_assert_eq!(write_bundle(entries).expect("short entries"), lengths);
        }
    }

    #[test]
    fn tiles_hold_every_complete_node_of_their_levels_once(size in 0..1_u64 << 18) {
        for level in 0..8_u8 {
            let tiles = tiles_of(size).filter(|tile| tile.level == level);
            let hashes: u64 = tiles.map(|tile| u64::from(tile.width)).sum();
            prop_assert_eq!(hashes, size >> (8 * level));
        }
    }
}
