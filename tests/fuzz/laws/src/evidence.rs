//! Evidence of equivocation: what convicts is what the member signed, and a file of it is no wider than a gateway.

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use sundbro_ledger::checkpoint::{UnverifiedCheckpoint, VerifiedCheckpoint};
use sundbro_ledger::evidence::{Evidence, TreeLeaf, assemble_evidence, verify_evidence_file};
use sundbro_ledger::ids::Commitment;
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, prove_inclusion};
use sundbro_ledger::transaction::{Draft, SignedTransaction};

use crate::Verdict;
use crate::world::{HOSPITAL, key, note_at, world};

/// Where the hospital's two histories part.
const PARTING: u64 = 5;

/// One of each kind, of the hospital's log and of another history of it that the hospital signed too.
pub fn samples() -> &'static [Evidence; 3] {
    static SAMPLES: OnceLock<[Evidence; 3]> = OnceLock::new();
    SAMPLES.get_or_init(make)
}

/// The file of each sample.
pub fn files() -> Vec<Vec<u8>> {
    let file = |one: &Evidence| assemble_evidence(&world().history, one).expect("it convicts");
    samples().iter().map(|one| file(one).encode_to_vec()).collect()
}

fn make() -> [Evidence; 3] {
    let world = world();
    let place = usize::try_from(PARTING).expect("small");
    let there = SignedTransaction::parse(&world.entries[place]).expect("an entry").header().clone();
    let draft = Draft {
        charter_version: there.charter_version,
        key_id: there.key_id,
        incarnation: there.incarnation,
        recorded_hour: there.recorded_hour,
        payload_commitment: Commitment::new([9; 32]),
        payload_size: there.payload_size,
        audience: there.audience,
    };
    let id = world.history.federation_id();
    let other = world.heads[place].sign_next(draft, &key(HOSPITAL, 1), &id);
    let mut tree: MemoryTree = world.entries[..place].iter().map(|one| leaf_hash(one)).collect();
    tree.append(other.leaf());
    let signer = key(HOSPITAL, 2).public();
    let verified = |note: Bytes| -> VerifiedCheckpoint {
        UnverifiedCheckpoint::parse(&note).expect("a note").verify(&signer).expect("signed")
    };
    let ours = verified(world.checkpoint(PARTING + 1));
    let theirs = verified(note_at(&world.origin, &tree, PARTING + 1));
    let leaf = |tree: &MemoryTree, checkpoint, leaf| TreeLeaf {
        checkpoint,
        key: &signer,
        leaf,
        proof: prove_inclusion(tree, PARTING, PARTING + 1).expect("in it"),
    };
    let one = leaf(&world.tree, &ours, leaf_hash(&world.entries[place]));
    let two = leaf(&tree, &theirs, other.leaf());
    [
        Evidence::of_entries(&world.entries[place], other.entry_bytes()).expect("two entries"),
        Evidence::of_checkpoints((&ours, &signer), (&theirs, &signer)).expect("two roots"),
        Evidence::of_trees(PARTING, &one, &two).expect("two trees"),
    ]
}

/// Evidence that convicts is about the one place that was signed twice.
fn is_true(evidence: &Evidence) -> bool {
    evidence.parting().is_none_or(|position| position == PARTING)
        && evidence.size().is_none_or(|size| size == PARTING + 1)
}

/// Evidence that is read has one encoding, and what convicts was signed twice.
pub fn evidence(bytes: &[u8]) -> Verdict {
    let read = Evidence::parse(bytes);
    if let Ok(evidence) = &read {
        assert_eq!(evidence.to_bytes(), bytes, "it has one encoding");
        if evidence.verify(&world().history).is_ok() {
            assert!(is_true(evidence), "convicted by what nobody signed");
        }
    }
    let file = verify_evidence_file(bytes, Some(&world().history.federation_id()));
    if let Ok(verdict) = &file {
        assert!(is_true(&verdict.evidence), "convicted by what nobody signed");
    }
    Verdict::of(&read).or(Verdict::of(&file))
}
