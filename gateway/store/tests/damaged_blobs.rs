//! What the disk damaged: another member's blob counts as missing until it comes again, a row of its log holds up no other
//! log, and a blob of our own stays an error.

mod common;

use std::path::Path;

use common::full::fold;
use common::{Member, TakesBack, append, blobs, fill, keys, register, replicate, says, tag};
use redb::{Database, ReadableTable, TableDefinition};
use sundbro_ledger::ids::Commitment;
use sundbro_store::StoreError;
use sundbro_store::index::{LocateQuery, QueryError};
use sundbro_store::verify::verify_with;

fn damage(dir: &Path, blob: &Commitment) {
    damage_row(&dir.join("payloads.redb"), "blobs", blob.as_bytes());
}

fn damage_row(file: &Path, table: &str, key: &[u8]) {
    let rows: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    let database = Database::open(file).expect("open");
    let write = database.begin_write().expect("write");
    let mut table = write.open_table(rows).expect("table");
    let mut value = table.get(key).expect("get").expect("row").value().to_vec();
    value[1] ^= 1;
    table.insert(key, &value[..]).expect("insert");
    drop(table);
    write.commit().expect("commit");
}

fn query() -> LocateQuery {
    LocateQuery { tags: vec![tag(1)], page_size: 50, ..LocateQuery::default() }
}

#[test]
fn a_damaged_blob_of_another_member_is_missing_until_it_comes_again() {
    let (folder, ours) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let from = writer.open(ours.path());
    let drafts: Vec<_> = (1..4).map(|n| register(&writer, n.into(), &says(n, 1))).collect();
    append(&from, &writer, drafts.clone());
    let store = reader.open(folder.path());
    fill(&store, &reader, 10, 2);
    replicate(&from, &store, &writer, &keys);
    store.put_blobs(&blobs(&drafts)).expect("blobs");
    fold(&store, &keys);
    let roots = store.index_roots().expect("roots");
    drop(store);
    let detail = drafts[0].detail.as_ref().expect("a detail").0;
    damage(folder.path(), &detail);
    damage(folder.path(), &drafts[1].commitment);
    assert!(!verify_with(folder.path(), &keys, None).expect("checked").is_sound());

    let store = reader.open(folder.path());
    let page = store.locate(&query()).expect("the page is answered");
    assert_eq!(page.pointers.len(), 5);
    let without = page.pointers.iter().filter(|it| it.detail.is_none()).map(|it| it.record.id[0]);
    assert_eq!(without.collect::<Vec<_>>(), [1]);
    assert!(store.blob(&detail).is_err(), "it is never given out");
    store.rebuild_index(&keys).expect("other logs, and what is left of this one");
    assert_eq!(store.locate(&query()).expect("locate").pointers.len(), 4);
    let missing = store.missing_blobs(&writer.log(), 10).expect("missing");
    let missing: Vec<_> = missing.iter().map(|it| it.commitment).collect();
    assert_eq!(missing, [detail, drafts[1].commitment]);

    store.put_blobs(&blobs(&drafts[..2])).expect("from a peer");
    fold(&store, &keys);
    assert_eq!(store.index_roots().expect("roots"), roots);
    drop(store);
    let report = verify_with(folder.path(), &keys, None).expect("checked");
    assert!(report.is_sound(), "{:#?}", report.damages);
}

#[test]
fn a_payload_that_was_damaged_after_it_was_folded_keeps_no_later_one_from_being_folded() {
    let (folder, ours) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let from = writer.open(ours.path());
    let drafts = [1, 2, 3].map(|version| register(&writer, version.into(), &says(1, version)));
    append(&from, &writer, drafts.to_vec());
    let store = reader.open(folder.path());
    replicate(&from, &store, &writer, &keys);
    for draft in [0, 2] {
        store.put_blobs(&blobs(&drafts[draft..=draft])).expect("the first and the third");
        fold(&store, &keys);
    }
    drop(store);
    damage(folder.path(), &drafts[0].commitment);
    let store = reader.open(folder.path());
    // The second comes before a version that was folded, so the record is judged again from its first version on.
    store.put_blobs(&blobs(&drafts[1..2])).expect("the second");
    fold(&store, &keys);
    let missing = store.missing_blobs(&writer.log(), 10).expect("missing");
    assert_eq!(missing.iter().map(|it| it.commitment).collect::<Vec<_>>(), [drafts[0].commitment]);
    store.put_blobs(&blobs(&drafts[..1])).expect("the first again");
    fold(&store, &keys);
    let page = store.locate(&query()).expect("answered");
    assert_eq!(page.pointers.iter().map(|it| it.version).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_damaged_entry_of_another_member_keeps_no_other_log_from_being_folded() {
    let (folder, ours) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let from = writer.open(ours.path());
    fill(&from, &writer, 1, 3);
    let store = reader.open(folder.path());
    replicate(&from, &store, &writer, &keys);
    fold(&store, &keys);
    drop(store);
    let key = [&writer.log().as_bytes()[..8], &1_u64.to_be_bytes()].concat();
    damage_row(&folder.path().join("ledger.redb"), "entries", &key);
    let store = reader.open(folder.path());
    fill(&store, &reader, 10, 1);
    // A charter by which entry 1 must be looked at.
    let progress = store.fold(&TakesBack(&keys, 1), 100).expect("our own log is folded");
    assert!(!progress.retracted && progress.finished);
    let size = |log| store.index_counts(&log).expect("counts").indexed_size;
    assert_eq!((size(writer.log()), size(reader.log())), (3, 1));
}

#[test]
fn a_damaged_blob_of_our_own_stays_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let member = Member::new("hospital.example", 1);
    let keys = keys(&[&member]);
    let store = member.open(folder.path());
    let draft = register(&member, 1, &says(1, 1));
    append(&store, &member, vec![draft.clone()]);
    fold(&store, &keys);
    drop(store);
    damage(folder.path(), &draft.detail.expect("a detail").0);
    let store = member.open(folder.path());
    let page = store.locate(&query()).map(|page| page.pointers.len());
    assert!(matches!(page, Err(QueryError::Store(StoreError::Damaged(_)))), "{page:?}");
    assert!(matches!(store.rebuild_index(&keys), Err(StoreError::Damaged(_))));
}
