//! The audit log: appended durably or not at all, found by record and by message, a tree of its own.

mod common;

use common::Member;
use common::full::audit;
use sundbro_ledger::ids::{MessageDigest, RecordId};
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, prove_inclusion, verify_inclusion};
use sundbro_store::Store;
use sundbro_store::audit::{Nonce, PendingAcknowledgement, message_digest};

fn member() -> Member {
    Member::new("hospital.example", 1)
}

#[test]
fn entries_are_found_newest_first_and_by_record_and_message() {
    let folder = tempfile::tempdir().expect("folder");
    let store = member().open(folder.path());
    assert_eq!(store.audit_append(&[audit(0), audit(1)]).expect("append"), 0);
    assert_eq!(store.audit_append(&[audit(2), audit(3), audit(4)]).expect("append"), 2);
    drop(store);
    let store = member().open(folder.path());
    let positions = |record: Option<&RecordId>, before, max| {
        let entries = store.audit_entries(record, before, max).expect("entries");
        entries.iter().map(|(position, _)| *position).collect::<Vec<_>>()
    };
    assert_eq!(positions(None, None, 3), [4, 3, 2]);
    assert_eq!(positions(None, Some(2), 3), [1, 0]);
    assert!(positions(None, None, 0).is_empty());
    let record = RecordId::parse(&audit(1).record).expect("record");
    assert_eq!(positions(Some(&record), None, 10), [4, 1]);
    assert_eq!(positions(Some(&record), Some(4), 10), [1]);
    let digest = MessageDigest::new(message_digest(&[3; 100]));
    let (position, entry) = store.audit_by_message(&digest).expect("read").expect("there");
    assert_eq!((position, entry), (3, audit(3)));
    let unknown = MessageDigest::new([9; 32]);
    assert!(store.audit_by_message(&unknown).expect("read").is_none());
}

#[test]
fn its_root_is_that_of_its_entries() {
    let folder = tempfile::tempdir().expect("folder");
    let store = member().open(folder.path());
    let mut tree = MemoryTree::new();
    for n in 0..40u8 {
        store.audit_append(&[audit(n)]).expect("append");
        tree.append(leaf_hash(&audit(n).to_bytes()));
        assert_eq!(store.audit_head().expect("head"), (u64::from(n) + 1, tree.root()));
    }
    let nodes = store.audit_nodes().expect("nodes");
    let leaf = leaf_hash(&audit(17).to_bytes());
    let proof = prove_inclusion(&nodes, 17, 40).expect("proof");
    verify_inclusion(&leaf, 17, 40, &proof, &tree.root()).expect("included");
}

#[test]
fn a_nonce_is_good_once_over_restarts_and_a_second_use_writes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let once = |store: &Store, requester: &str, nonce: u8, time| {
        store.audit_append_once(requester, &[nonce; 16], time, &[audit(nonce)]).expect("append")
    };
    let store = member().open(folder.path());
    assert_eq!(once(&store, "gp.example", 1, 100), Nonce::Fresh);
    assert_eq!(once(&store, "gp.example", 1, 100), Nonce::Used);
    drop(store);
    let store = member().open(folder.path());
    assert_eq!(once(&store, "gp.example", 1, 100), Nonce::Used);
    assert_eq!(once(&store, "lab.example", 1, 200), Nonce::Fresh, "each requester has its own");
    assert_eq!(store.audit_head().expect("head").0, 2);
    assert_eq!(store.forget_nonces(200).expect("forget"), 1);
    assert_eq!(once(&store, "lab.example", 1, 200), Nonce::Used);
}

#[test]
fn acknowledgements_wait_until_their_owner_has_them() {
    let folder = tempfile::tempdir().expect("folder");
    let store = member().open(folder.path());
    let pending = |n| PendingAcknowledgement {
        completion: MessageDigest::new([n; 32]),
        owner: "gp.example".to_owned(),
        message: vec![n],
        unix_seconds: 5,
    };
    store.queue_acknowledgement(&pending(1), &[audit(1)]).expect("queue");
    store.queue_acknowledgement(&pending(1), &[audit(1)]).expect("again");
    store.queue_acknowledgement(&pending(2), &[audit(2)]).expect("queue");
    assert_eq!(store.audit_head().expect("head").0, 2, "idempotent by completion");
    drop(store);
    let store = member().open(folder.path());
    assert!(store.pending_acknowledgements(10).expect("list") == [pending(1), pending(2)]);
    let after = |n| store.pending_acknowledgements_after(Some(&MessageDigest::new([n; 32])), 10);
    assert!(after(0).expect("list") == [pending(1), pending(2)]);
    assert!(after(1).expect("list") == [pending(2)]);
    assert!(after(2).expect("list").is_empty());
    store.acknowledgement_done(&MessageDigest::new([1; 32])).expect("done");
    assert!(store.pending_acknowledgements(10).expect("list") == [pending(2)]);
}

#[test]
fn a_log_that_cannot_be_written_says_so() {
    let folder = tempfile::tempdir().expect("folder");
    drop(member().open(folder.path()));
    let reader = Store::open_read_only(folder.path()).expect("open");
    assert!(reader.audit_append(&[audit(1)]).is_err());
    assert!(reader.audit_append_once("gp.example", &[1; 16], 1, &[audit(1)]).is_err());
}
