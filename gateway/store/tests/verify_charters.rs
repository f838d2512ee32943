//! Verification after the charter changed: what was taken by an older version is sound, and a flipped bit in it is
//! found all the same.

mod common;
#[path = "../../ledger/tests/common/mod.rs"]
mod federation;

use std::path::Path;

use common::{HOUR, register, says};
use federation::{CHECKPOINT, FOUNDERS, Federation, TRANSACTION, name};
use redb::{Database, ReadableDatabase, TableDefinition};
use sundbro_ledger::charter::Charter;
use sundbro_ledger::drafting::Draft;
use sundbro_proto::ledger::v1;
use sundbro_store::tables::StoreFile;
use sundbro_store::verify::{Report, verify_dir};
use sundbro_store::{Identity, LogState, OpenOptions, OwnSigner, Store};

const HOSPITAL: &str = FOUNDERS[3];
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

fn open(dir: &Path, federation: &Federation) -> Store {
    let own_log = federation.log(HOSPITAL);
    let identity = Identity { federation_id: federation.id(), own_log };
    let options = OpenOptions { identity, gate: None, cache_bytes: 4 << 20, recreate_gate: false };
    Store::open(dir, options).expect("open")
}

/// Appends entries that name the charter in force, signed by these keys.
fn append(store: &Store, federation: &Federation, (entry, checkpoint): (u32, u32), count: u8) {
    let history = &federation.history;
    let keys = &federation.member(HOSPITAL).keys;
    let signer = OwnSigner {
        federation_id: federation.id(),
        origin: federation.origin(HOSPITAL),
        charter_version: history.in_force(),
        key_id: entry,
        transaction_key: &keys[&entry],
        checkpoint_key: &keys[&checkpoint],
    };
    // Drafts take nothing from a member but its name.
    let author = common::Member::new(HOSPITAL, 1);
    let from = store.log_head(&federation.log(HOSPITAL)).expect("head").size() as u8;
    let drafts = (from..from + count).map(|n| register(&author, n.into(), &says(n, 1)));
    store.append_own(drafts.collect(), &signer, HOUR, history).expect("append");
}

fn put(store: &Store, charter: &Charter) {
    store.put_charter(&charter.to_wire()).expect("put");
}

fn verify(dir: &Path, federation: &Federation) -> Report {
    verify_dir(dir, &federation.id(), None).expect("can be checked")
}

fn fold(store: &Store, federation: &Federation) {
    while !store.fold(&federation.history, 100).expect("fold").finished {}
}

/// Flips one bit in each byte of each entry, one after the other; each is named by its position.
fn every_flip_of_an_entry_is_found(dir: &Path, federation: &Federation, positions: &[u64]) {
    let path = dir.join(StoreFile::Ledger.name());
    let original = std::fs::read(&path).expect("file");
    for position in positions {
        let mut key = federation.log(HOSPITAL).as_bytes()[..8].to_vec();
        key.extend_from_slice(&position.to_be_bytes());
        let database = Database::open(&path).expect("open");
        let table = database.begin_read().expect("read").open_table(ENTRIES).expect("table");
        let value = table.get(&key[..]).expect("get").expect("row").value().to_vec();
        drop((table, database));
        for at in (0..value.len()).step_by(5) {
            let mut flipped = value.clone();
            flipped[at] ^= 1 << (at % 8);
            let database = Database::open(&path).expect("open");
            let write = database.begin_write().expect("write");
            let mut table = write.open_table(ENTRIES).expect("table");
            table.insert(&key[..], &flipped[..]).expect("insert");
            drop(table);
            write.commit().expect("commit");
            drop(database);
            let report = verify(dir, federation);
            let named = report
                .damages
                .iter()
                .any(|it| (it.table, it.position) == (Some("entries"), Some(*position)));
            assert!(named, "byte {at} of entry {position}: {:#?}", report.damages);
            std::fs::write(&path, &original).expect("put back");
        }
    }
}

#[test]
fn a_log_whose_keys_were_revoked_below_what_is_held_is_sound() {
    let folder = tempfile::tempdir().expect("folder");
    let mut federation = Federation::found();
    let store = open(folder.path(), &federation);
    put(&store, federation.history.current());
    append(&store, &federation, (TRANSACTION, CHECKPOINT), 5);
    fold(&store, &federation);

    let mut draft = Draft::next(&federation.history).expect("no fork");
    for key in [TRANSACTION, CHECKPOINT] {
        draft.close_key(&name(HOSPITAL), key, 3).expect("a key");
    }
    put(&store, &federation.publish(draft));
    let report = verify(folder.path(), &federation);
    assert!(report.is_sound(), "before the log is marked: {:#?}", report.damages);
    let log = federation.log(HOSPITAL);
    let state = LogState::Stopped { position: 3, reason: "WRONG_KEY".to_owned() };
    store.mark_log(&log, &state).expect("mark");
    fold(&store, &federation);
    drop(store);
    let report = verify(folder.path(), &federation);
    assert!(report.is_sound(), "{:#?}", report.damages);
    assert_eq!(report.logs[&log], 5, "each signature was checked");
    every_flip_of_an_entry_is_found(folder.path(), &federation, &[2, 3, 4]);
}

#[test]
fn a_log_that_names_a_version_that_stands_twice_is_sound_and_one_that_is_not_here_is_not() {
    let folder = tempfile::tempdir().expect("folder");
    let mut federation = Federation::found();
    let first = federation.history.current().clone();
    let store = open(folder.path(), &federation);
    put(&store, &first);
    append(&store, &federation, (TRANSACTION, CHECKPOINT), 2);
    let id = federation.id();
    let hospital = federation.member_mut(HOSPITAL);
    let newer =
        (hospital.add_key_like(TRANSACTION, 2, None), hospital.add_key_like(CHECKPOINT, 2, None));
    let card = hospital.card(&id);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.replace_member(&card).expect("a card");
    let second = federation.publish(draft);
    append(&store, &federation, newer, 3);
    fold(&store, &federation);
    let report = verify(folder.path(), &federation);
    let named = |position| report.damages.iter().any(|it| it.position == Some(position));
    assert!(named(2) && !named(1), "version 2 is not in the store: {:#?}", report.damages);

    put(&store, &second);
    let sibling = Federation::after(&first, |next| {
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: 7 });
    });
    let sibling = sibling.sign(&federation.id(), federation.stewards.iter().take(3));
    put(&store, &Charter::from_wire(&sibling).expect("valid by itself"));
    drop(store);
    let report = verify(folder.path(), &federation);
    assert!(report.is_sound(), "{:#?}", report.damages);
    assert_eq!(report.logs[&federation.log(HOSPITAL)], 2, "the others wait for the stewards");
    every_flip_of_an_entry_is_found(folder.path(), &federation, &[1, 2, 4]);
}
