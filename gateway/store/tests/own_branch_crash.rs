//! The power goes while our own branch is left: what is there at the next start is our log as it was, or without that
//! branch and with the row that says what was signed of it; never one that could be signed from the parting on.

mod common;

use std::path::Path;

use common::full::fold;
use common::{Keys, Member, append, keys, register, says, try_append};
use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::ids::{ContentDigest, RootHash};
use sundbro_store::testing::{Fault, MemoryDisk, Unsynced};
use sundbro_store::verify::verify_on;
use sundbro_store::{Locator, LocatorChange, OwnDraft, RequestKey, Store};

const PARTING: u64 = 5;
const SIGNED: u64 = 12;

fn dir() -> &'static Path {
    Path::new("/store")
}

fn draft(owner: &Member, n: u8) -> OwnDraft {
    let mut draft = register(owner, u64::from(n), &says(n, 1));
    draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
    draft.locator = Some(LocatorChange::Register(Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', n],
        record: [n; 16],
        version: 1,
        generation: 0,
        content: ContentDigest::new([n; 32]),
        size: 100,
        fingerprint: vec![n; 12],
        document_id: None,
        position: 0,
        live: true,
    }));
    draft
}

fn open(disk: &MemoryDisk, owner: &Member) -> Store {
    Store::open_on(disk.shared(), dir(), owner.options()).expect("opens")
}

/// A store that was in use and closed.
fn used(owner: &Member, keys: &Keys) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = open(&disk, owner);
    (0..SIGNED as u8).for_each(|n| drop(append(&store, owner, vec![draft(owner, n)])));
    fold(&store, keys);
    drop(store);
    disk.after_power_cut(Unsynced::Kept)
}

#[test]
fn a_power_cut_while_our_branch_is_left_leaves_it_or_the_row_that_says_so() {
    let owner = Member::new("hospital.example", 1);
    let keys = keys(&[&owner]);
    let base = used(&owner, &keys);
    let branch = LogBranch { log_id: owner.log(), size: 9, root: RootHash::new([7; 32]) };
    let operations = {
        let disk = base.after_power_cut(Unsynced::Kept);
        let store = open(&disk, &owner);
        let start = disk.operations();
        assert!(store.follow_branch(&branch, PARTING).expect("left"));
        start..disk.operations()
    };
    let (mut old, mut new) = (0, 0);
    for operation in operations {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn(operation)] {
            let disk = base.after_power_cut(Unsynced::Kept);
            let store = open(&disk, &owner);
            disk.fail_at(operation, Fault::PowerCut);
            let _ = store.follow_branch(&branch, PARTING);
            drop(store);
            let left = disk.after_power_cut(unsynced);
            let report = verify_on(left.shared(), dir(), &keys, None).expect("checked");
            let wrong = report.damages.iter().filter(|it| it.file.name() == "ledger.redb");
            assert_eq!(wrong.count(), 0, "{operation} {unsynced:?}: {:#?}", report.damages);
            let store = open(&left, &owner);
            match store.log_head(&owner.log()).expect("head").size() {
                SIGNED => {
                    assert_eq!(store.signing_stop(), None, "{operation} {unsynced:?}");
                    old += 1;
                }
                PARTING => new += 1,
                other => panic!("{operation} {unsynced:?}: {other} entries"),
            }
            // The charter says so at every start.
            let _ = store.follow_branch(&branch, PARTING).expect("left");
            assert_eq!(store.log_head(&owner.log()).expect("head").size(), PARTING);
            assert!(store.signing_stop().is_some_and(|stop| stop.reason() == "OWN_LOG_BEHIND"));
            assert!(try_append(&store, &owner, vec![draft(&owner, 50)]).is_err());
            assert!(store.resume_signing().is_err(), "{operation} {unsynced:?}");
            assert_eq!(
                store.locator("documents", &[b'k', 4]).expect("read").map(|it| it.position),
                Some(4)
            );
            assert_eq!(store.locator("documents", &[b'k', 5]).expect("read"), None);
            fold(&store, &keys);
            assert_eq!(store.index_counts(&owner.log()).expect("counts").indexed_size, PARTING);
        }
    }
    assert!(old > 0 && new > 0, "{old} times it was as before, {new} times it was left");
}
