//! Laws of proofs and chunks: what holds is what the tree itself would give.

use prost::Message as _;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::chunk::{Chunk, chunk_end};
use sundbro_ledger::ids::{LeafHash, NodeHash, RootHash};
use sundbro_ledger::merkle::{
    MAX_PROOF_HASHES, Proof, leaf_hash, proof_from_wire, proof_to_wire, prove_consistency,
    prove_inclusion, prove_subtree_consistency, range_hash, verify_consistency, verify_inclusion,
    verify_subtree_consistency,
};
use sundbro_ledger::tiles::{BUNDLE_ENTRIES, read_bundle, write_bundle};
use sundbro_proto::federation::v1 as wire;

use crate::Verdict;
use crate::world::{ENTRIES, World, world};

/// Bytes as a bundle, and as a Chunk that continues a replica of the hospital's log.
pub fn chunk(bytes: &[u8]) -> Verdict {
    if let Ok(entries) = read_bundle(bytes, BUNDLE_ENTRIES as usize) {
        let written = write_bundle(entries.iter().copied()).expect("none is longer than it was");
        assert_eq!(written, bytes, "a bundle has one form");
    }
    match wire::Chunk::decode(bytes) {
        Ok(chunk) => chunk_frame(&chunk),
        Err(_) => Verdict::Refused,
    }
}

/// The law of a chunk that was read from a frame.
pub(crate) fn chunk_frame(frame: &wire::Chunk) -> Verdict {
    let Ok(chunk) = Chunk::from_wire(frame) else { return Verdict::Refused };
    let again = chunk.to_wire().expect("no entry is longer than it was");
    assert_eq!((&again.bundle, &again.proof), (&frame.bundle, &frame.proof));
    assert!(chunk.entries.len() as u64 <= BUNDLE_ENTRIES);
    let world = world();
    let place = usize::try_from(chunk.start).ok();
    let Some(head) = place.and_then(|place| world.heads.get(place)) else {
        return Verdict::Refused;
    };
    if chunk.tree_size == 0 || chunk.tree_size > ENTRIES {
        return Verdict::Refused;
    }
    let note = UnverifiedCheckpoint::parse(&world.checkpoint(chunk.tree_size)).expect("ours");
    let key = world.history.checkpoint_key_of(&note).expect("listed");
    let checkpoint = note.verify(&key).expect("signed");
    let (start, end) = (chunk.start, chunk_end(chunk.start, chunk.tree_size));
    let covered = chunk.check(head, &checkpoint);
    let verdict = Verdict::of(&covered);
    if let Ok(covered) = covered {
        let verified = covered.verify(&world.history);
        assert!(verified.refusal.is_none(), "what the owner signed is good");
        let taken: Vec<_> = verified.entries.iter().map(|entry| entry.entry_bytes()).collect();
        let there: Vec<_> = (start..end).map(|at| &world.entries[place_of(at)]).collect();
        assert_eq!(taken, there, "a checkpoint covers what its log holds and nothing else");
        assert_eq!(verified.head, world.heads[place_of(end)]);
    }
    verdict
}

fn place_of(position: u64) -> usize {
    usize::try_from(position).expect("the log is short")
}

/// What a proof is about: `kind u8 ‖ size u16 ‖ a u16 ‖ b u16`, then changes to the tree's own proof, each
/// `place u8 ‖ what u8 ‖ byte u8`.
struct Claim {
    kind: u8,
    size: u64,
    a: u64,
    b: u64,
}

impl Claim {
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[kind, s1, s0, a1, a0, b1, b0], changes) = bytes.split_first_chunk()?;
        let number = |high, low| u64::from(u16::from_be_bytes([high, low])) % (ENTRIES + 1);
        let claim =
            Self { kind: kind % 3, size: number(s1, s0), a: number(a1, a0), b: number(b1, b0) };
        Some((claim, changes))
    }

    /// Whether it is about no entry at all: that is always so, and takes no hash.
    fn is_empty(&self) -> bool {
        match self.kind {
            0 => false,
            1 => self.size == 0 && self.a == 0,
            _ => self.a == self.b && self.b <= self.size,
        }
    }

    /// The proof that the tree gives, if there is one.
    fn prove(&self, world: &World) -> Option<Proof> {
        if self.is_empty() {
            return Some(Proof::new());
        }
        let tree = &world.tree;
        match self.kind {
            0 => prove_inclusion(tree, self.a, self.size).ok(),
            1 => prove_consistency(tree, self.a, self.size).ok(),
            _ => prove_subtree_consistency(tree, self.a, self.b, self.size).ok(),
        }
    }

    /// Whether a proof shows it, of a tree with this root.
    fn holds(&self, world: &World, proof: &[NodeHash], root: &RootHash) -> bool {
        let tree = &world.tree;
        match self.kind {
            0 => {
                let leaf = world.entries.get(place_of(self.a)).map(|entry| leaf_hash(entry));
                let leaf = leaf.unwrap_or(LeafHash::NONE);
                verify_inclusion(&leaf, self.a, self.size, proof, root).is_ok()
            }
            1 => {
                let old = tree.root_at(self.a).expect("a size of the tree");
                verify_consistency(self.a, &old, self.size, root, proof).is_ok()
            }
            _ if self.a > self.b => {
                let none = NodeHash::new([0; 32]);
                verify_subtree_consistency(self.a, self.b, &none, self.size, root, proof).is_ok()
            }
            _ => {
                let subtree = range_hash(tree, self.a, self.b).expect("inside the tree");
                verify_subtree_consistency(self.a, self.b, &subtree, self.size, root, proof).is_ok()
            }
        }
    }
}

/// Bytes as a claim about the tree, and changes to the proof that it gives for it.
pub fn proof(bytes: &[u8]) -> Verdict {
    let Some((claim, changes)) = Claim::read(bytes) else { return Verdict::Refused };
    let world = world();
    let honest = claim.prove(world);
    let proof = changed(honest.clone().unwrap_or_default(), changes);
    let wire = proof_to_wire(&proof);
    match proof_from_wire(&wire) {
        Ok(read) => assert_eq!(read, proof),
        Err(_) => assert!(proof.len() > MAX_PROOF_HASHES),
    }
    let root = world.tree.root_at(claim.size).expect("a size of the tree");
    let holds = claim.holds(world, &proof, &root);
    if holds {
        assert_eq!(Some(&proof), honest.as_ref(), "a tree gives one proof of one thing");
        let mut other = *root.as_bytes();
        other[changes.len() % 32] ^= 1;
        let other = RootHash::new(other);
        if !claim.is_empty() {
            assert!(!claim.holds(world, &proof, &other), "it holds for another root");
        }
    } else {
        assert_ne!(Some(&proof), honest.as_ref(), "the tree's own proof does not hold");
    }
    if holds { Verdict::Taken } else { Verdict::Refused }
}

fn changed(mut proof: Proof, changes: &[u8]) -> Proof {
    for change in changes.as_chunks::<3>().0 {
        let [place, what, byte] = *change;
        let place = usize::from(place) % (proof.len() + 1);
        match what % 4 {
            0 => proof.insert(place, NodeHash::new([byte; 32])),
            1 if place < proof.len() => drop(proof.remove(place)),
            2 if place < proof.len() => {
                let mut hash = *proof[place].as_bytes();
                hash[usize::from(byte) % 32] ^= 1 << (what >> 5);
                proof[place] = NodeHash::new(hash);
            }
            3 if place < proof.len() => {
                let other = usize::from(byte) % proof.len();
                proof.swap(place, other);
            }
            _ => {}
        }
    }
    proof
}
