//! Our own log when something does not fit or fails: nothing is signed that peers would drop us for, no entry names a
//! blob that is nowhere, and nothing is acknowledged that may not be sent.

mod common;

use common::full::fold;
use common::{Member, append, fill, keys, keys_to, register, says, try_append, withdraw};
use sundbro_ledger::ids::ContentDigest;
use sundbro_store::{
    AppendOwnError, Locator, LocatorChange, OpenOptions, OwnDraft, RequestKey, Store, StoreError,
};

fn hospital() -> Member {
    Member::new("hospital.example", 1)
}

#[test]
fn nothing_is_appended_beyond_the_size_at_which_the_charter_ends_the_checkpoint_key() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let ends_at_3 = keys_to(&[&member], 3);
    let append = |salt: u64, count: u64| {
        let drafts = (salt..salt + count).map(|n| register(&member, n, &says(n as u8, 1)));
        store.append_own(drafts.collect(), &member.signer(), 1, &ends_at_3)
    };
    let size = || store.log_head(&member.log()).expect("head").size();
    append(1, 2).expect("covered");
    let refused = append(10, 2);
    assert!(matches!(refused, Err(AppendOwnError::CheckpointKey { size: 4 })), "{refused:?}");
    assert_eq!((size(), append(20, 1).expect("covered").head.size()), (2, 3));
    assert!(append(30, 1).is_err());
    assert_eq!(store.log_status(&member.log()).expect("status").committed_size, 3);
    fill(&store, &member, 40, 1);
}

/// Registers a version of what lies at one place of the source.
fn put(member: &Member, salt: u64, record: u8, version: u32, generation: u32) -> OwnDraft {
    let mut draft = register(member, salt, &says(record, version));
    draft.locator = Some(LocatorChange::Register(Locator {
        adapter: "documents".to_owned(),
        source_key: b"k".to_vec(),
        record: [record; 16],
        version,
        generation,
        content: ContentDigest::new([salt as u8; 32]),
        size: 10,
        fingerprint: vec![1],
        document_id: None,
        position: 0,
        live: true,
    }));
    draft
}

fn gone(member: &Member, salt: u64, record: u8) -> OwnDraft {
    let mut draft = withdraw(member, salt, record);
    let (adapter, source_key) = ("documents".to_owned(), b"k".to_vec());
    draft.locator = Some(LocatorChange::Withdraw { adapter, source_key });
    draft
}

#[test]
fn blobs_of_a_draft_that_only_an_earlier_one_of_its_group_makes_new_are_stored() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let group = |store: &Store, drafts: Vec<OwnDraft>| {
        let done = append(store, &member, drafts.clone());
        for (draft, outcome) in drafts.iter().zip(done.outcomes) {
            assert!(!outcome.expect("accepted").replayed);
            let here = |commitment| store.blob(commitment).expect("read").is_some();
            assert!(here(&draft.commitment));
            assert!(draft.detail.as_ref().is_none_or(|(detail, _)| here(detail)));
        }
    };
    group(&store, vec![put(&member, 1, 1, 1, 0)]);
    group(&store, vec![put(&member, 2, 1, 2, 0), put(&member, 3, 1, 3, 0)]);
    group(&store, vec![gone(&member, 4, 1), put(&member, 5, 2, 1, 1)]);
    group(&store, vec![gone(&member, 6, 2)]);
    // Alone it would be the withdrawal that is there already.
    group(&store, vec![put(&member, 7, 3, 1, 2), gone(&member, 8, 3)]);
    fold(&store, &keys(&[&member]));
    assert_eq!(store.index_counts(&member.log()).expect("counts").missing_blobs, 0);
}

#[test]
fn while_the_gate_cannot_be_written_nothing_more_is_signed_and_nothing_acknowledged() {
    let (folder, disk) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let member = hospital();
    let gates = disk.path().join("gates");
    std::fs::create_dir(&gates).expect("folder");
    let options = OpenOptions { gate: Some(gates.join("signing.gate")), ..member.options() };
    let store = Store::open(folder.path(), options.clone()).expect("open");
    let ask = |n: u8| {
        let mut draft = register(&member, u64::from(n), &says(n, 1));
        draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
        try_append(&store, &member, vec![draft])
    };
    let size = || store.log_head(&member.log()).expect("head").size();
    std::fs::remove_dir_all(&gates).expect("the disk is gone");
    // The first is durable and not sent; what comes after it, new or repeated, finds that out first.
    for n in [1, 2, 1] {
        let refused = ask(n);
        assert!(
            matches!(refused, Err(AppendOwnError::Store(StoreError::Gate { .. }))),
            "{refused:?}"
        );
        assert_eq!(
            (size(), store.log_status(&member.log()).expect("status").committed_size),
            (1, 0)
        );
    }

    std::fs::create_dir(&gates).expect("the disk is back");
    let again = ask(1).expect("there").outcomes.remove(0).expect("accepted");
    assert!(again.replayed && again.position == 0);
    let status = store.log_status(&member.log()).expect("status");
    assert_eq!(status.committed_size, 1);
    assert_eq!(status.checkpoint.expect("it may be sent").size, 1);
    store.chunk(&member.log(), 0, 1).expect("it may be sent");
    drop(store);
    let store = Store::open(folder.path(), options).expect("open");
    assert!(store.signing_stop().is_none());
}
