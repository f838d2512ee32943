//! Drafts that wait until our log may be signed: in order, each once, whatever happens to the process and the files.

mod common;

use std::fs;
use std::path::Path;

use common::{HOUR, Member, append, keys, register, says, withdraw};
use sundbro_ledger::ids::ContentDigest;
use sundbro_store::gate::SigningStop;
use sundbro_store::tables::{OUTBOX, OUTBOX_LOCATORS, Table};
use sundbro_store::verify::verify_with;
use sundbro_store::{
    AppendOwnError, DraftRefusal, JudgedDrafts, Locator, LocatorChange, OutboxLimits, OwnAppend,
    OwnDraft, PutOutboxError, Store, WaitingDrafts,
};

const NOW: i64 = 1_700_000_000;

fn hospital() -> Member {
    Member::new("hospital.example", 1)
}

fn locator(n: u8, version: u32) -> Locator {
    Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', n],
        record: [n; 16],
        version,
        generation: 0,
        content: ContentDigest::new([version as u8; 32]),
        size: 100,
        fingerprint: vec![n; 12],
        document_id: None,
        position: 0,
        live: true,
    }
}

/// A version of the item `n`.
fn found(member: &Member, salt: u64, n: u8, version: u32) -> OwnDraft {
    let mut draft = register(member, salt, &says(n, version));
    draft.locator = Some(LocatorChange::Register(locator(n, version)));
    draft
}

fn gone(member: &Member, salt: u64, n: u8) -> OwnDraft {
    let mut draft = withdraw(member, salt, n);
    let (adapter, source_key) = ("documents".to_owned(), vec![b'k', n]);
    draft.locator = Some(LocatorChange::Withdraw { adapter, source_key });
    draft
}

fn put(store: &Store, drafts: &[OwnDraft]) -> Vec<Result<(), DraftRefusal>> {
    store.put_outbox(drafts, NOW, &OutboxLimits::DEFAULT).expect("put")
}

/// As whoever drains it judges them who finds nothing changed.
fn judged(waiting: WaitingDrafts) -> JudgedDrafts {
    let whole =
        |waiting: sundbro_store::Waiting| Some((waiting.number, waiting.draft?, waiting.signed_at));
    let drafts = waiting.drafts.into_iter().filter_map(whole).collect();
    JudgedDrafts { size: waiting.size, drafts }
}

fn try_drain(
    store: &Store,
    member: &Member,
    judged: JudgedDrafts,
) -> Result<OwnAppend, AppendOwnError> {
    store.append_waiting(judged, &member.signer(), HOUR, &keys(&[member]))
}

fn drain(store: &Store, member: &Member) -> OwnAppend {
    try_drain(store, member, judged(store.waiting(100).expect("read"))).expect("signed")
}

fn positions(appended: &OwnAppend) -> Vec<u64> {
    let position =
        |it: &Result<sundbro_store::Accepted, _>| it.as_ref().expect("accepted").position;
    appended.outcomes.iter().map(position).collect()
}

fn is_empty(store: &Store) {
    assert_eq!(store.outbox_status().expect("read"), Default::default());
    assert_eq!(store.locators_ahead("documents", None, 100).expect("read").len(), {
        store.locators("documents", None, 100).expect("read").len()
    });
}

#[test]
fn what_waits_is_signed_in_order_after_a_restart_and_waits_no_more() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    append(&store, &member, vec![found(&member, 0, 0, 1)]);
    // A change of what is registered, something new, its next version, and that it is gone.
    let drafts = [
        found(&member, 1, 0, 2),
        found(&member, 2, 1, 1),
        found(&member, 3, 1, 2),
        gone(&member, 4, 1),
    ];
    assert!(put(&store, &drafts).iter().all(Result::is_ok));
    let status = store.outbox_status().expect("read");
    assert_eq!((status.drafts, status.since_unix_seconds), (4, Some(NOW)));
    assert_eq!(store.log_head(&member.log()).expect("head").size(), 1, "nothing is signed");
    drop(store);

    let store = member.open(folder.path());
    assert_eq!(positions(&drain(&store, &member)), [1, 2, 3, 4]);
    is_empty(&store);
    for (position, draft) in (1..).zip(&drafts) {
        let entry = store.entry(&member.log(), position).expect("read").expect("an entry");
        let entry = sundbro_ledger::transaction::SignedTransaction::from_entry(entry);
        assert_eq!(entry.expect("parses").header().payload_commitment, draft.commitment);
    }
    let there = |n| store.locator("documents", &[b'k', n]).expect("read").expect("a locator");
    assert_eq!((there(0).version, there(0).position, there(0).live), (2, 1, true));
    assert_eq!((there(1).position, there(1).live, there(1).generation), (4, false, 1));
    drop(store);
    let report = verify_with(folder.path(), &keys(&[&member]), None).expect("can be checked");
    assert!(report.is_sound(), "{:#?}", report.damages);
}

#[test]
fn what_waits_counts_as_registered_for_what_comes_after_it() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    append(&store, &member, vec![found(&member, 0, 0, 1), found(&member, 1, 1, 1)]);
    put(&store, &[found(&member, 2, 0, 2), found(&member, 3, 2, 1), gone(&member, 4, 1)]);
    let ahead = |n| store.locator_ahead("documents", &[b'k', n]).expect("read").expect("a row");
    assert_eq!((ahead(0).version, ahead(2).version), (2, 1));
    assert_eq!((ahead(1).live, ahead(1).generation), (false, 1));
    let all = store.locators_ahead("documents", None, 100).expect("read");
    assert_eq!(all.len(), 3, "each item once");
    // Page by page they are the same.
    let mut paged = Vec::new();
    while let Some(locator) = {
        let after = paged.last().map(|it: &Locator| it.source_key.clone());
        store.locators_ahead("documents", after.as_deref(), 1).expect("read").pop()
    } {
        paged.push(locator);
    }
    assert!(paged == all);
    // Nothing is registered for readers yet.
    assert!(store.locator("documents", b"k\x02").expect("read").is_none());

    // The same again is nothing new; a version that waits is not given twice.
    let again = [found(&member, 5, 0, 2), gone(&member, 6, 1)];
    assert_eq!(put(&store, &again), [Ok(()), Ok(())]);
    assert_eq!(store.outbox_status().expect("read").drafts, 3);
    let mut other = found(&member, 7, 2, 1);
    let content = ContentDigest::new([9; 32]);
    other.locator = Some(LocatorChange::Register(Locator { content, ..locator(2, 1) }));
    assert_eq!(put(&store, &[other]), [Err(DraftRefusal::LocatorMoved)]);
    assert_eq!(put(&store, &[found(&member, 8, 2, 2)]), [Ok(())]);
    // What waits for the newest draft of an item outlives an older one's entry.
    let mut first = judged(store.waiting(100).expect("read"));
    first.drafts.truncate(2);
    try_drain(&store, &member, first).expect("signed");
    assert_eq!(ahead(2).version, 2);
    assert_eq!(positions(&drain(&store, &member)), [4, 5]);
    is_empty(&store);
}

#[test]
fn at_a_limit_nothing_more_is_taken_and_room_comes_back() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    let two = OutboxLimits { drafts: 2, ..OutboxLimits::DEFAULT };
    let put = |n: u8, limits| store.put_outbox(&[found(&member, n.into(), n, 1)], NOW, limits);
    put(0, &two).expect("room");
    put(1, &two).expect("room");
    assert!(matches!(put(2, &two), Err(PutOutboxError::Full { .. })));
    let bytes = store.outbox_status().expect("read").bytes;
    assert!(bytes > 0);
    let few = OutboxLimits { bytes, ..OutboxLimits::DEFAULT };
    assert!(matches!(put(2, &few), Err(PutOutboxError::Full { .. })));
    assert!(store.locator_ahead("documents", b"k\x02").expect("read").is_none());
    drain(&store, &member);
    put(2, &two).expect("room again");
}

/// A store that is put back from a copy finds in its outbox what was signed after the copy was made.
#[test]
fn what_was_signed_after_a_copy_was_made_is_not_signed_again() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = member.open(&data);
    put(&store, &[found(&member, 1, 1, 1), found(&member, 2, 1, 2), found(&member, 3, 2, 1)]);
    drop(store);
    copy_folder(&data, &copy);
    let store = member.open(&data);
    let mut first = judged(store.waiting(100).expect("read"));
    first.drafts.truncate(2);
    try_drain(&store, &member, first).expect("signed");

    let old = member.open(&copy);
    let stop = SigningStop::OwnLogBehind { held: 0, known: 2, known_by: "gp.example".to_owned() };
    old.stop_signing(stop);
    common::replicate(&store, &old, &member, &keys(&[&member]));
    old.resume_signing().expect("everything is back");
    let waiting = old.waiting(100).expect("read");
    let signed: Vec<_> = waiting.drafts.iter().map(|it| it.signed_at).collect();
    assert_eq!(signed, [Some(0), Some(1), None]);
    let appended = drain(&old, &member);
    assert_eq!(positions(&appended), [0, 1, 2]);
    assert_eq!(old.log_head(&member.log()).expect("head").size(), 3, "one entry is new");
    let item = old.locator("documents", b"k\x01").expect("read").expect("registered");
    assert_eq!((item.version, item.position), (2, 1));
    assert!(old.blob(&found(&member, 1, 1, 1).commitment).expect("read").is_some());
    is_empty(&old);
}

#[test]
fn drafts_that_were_judged_before_our_log_grew_are_judged_again() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    put(&store, &[found(&member, 1, 1, 1)]);
    let early = judged(store.waiting(100).expect("read"));
    append(&store, &member, vec![found(&member, 2, 2, 1)]);
    let refused = try_drain(&store, &member, early);
    assert!(matches!(refused, Err(AppendOwnError::JudgedBefore { judged: 0, size: 1 })));
    assert_eq!(store.outbox_status().expect("read").drafts, 1);
    drain(&store, &member);
    is_empty(&store);
}

#[test]
fn what_is_dropped_or_made_anew_leaves_no_blob_behind() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    let drafts = [found(&member, 1, 1, 1), found(&member, 2, 2, 1), found(&member, 3, 3, 1)];
    put(&store, &drafts);
    let there = |draft: &OwnDraft| {
        let detail = draft.detail.as_ref().expect("a detail").0;
        let is_here = |it| store.blob(it).expect("read").is_some();
        (is_here(&draft.commitment), is_here(&detail))
    };
    assert_eq!(there(&drafts[0]), (true, true));
    store.drop_waiting(&[0]).expect("dropped");
    assert_eq!(there(&drafts[0]), (false, false));
    assert!(store.locator_ahead("documents", b"k\x01").expect("read").is_none());
    // Another draft in the place of the second, the third as it is.
    let anew = found(&member, 9, 2, 1);
    let mut judged = judged(store.waiting(100).expect("read"));
    judged.drafts[0].1 = anew.clone();
    try_drain(&store, &member, judged).expect("signed");
    assert_eq!((there(&drafts[1]), there(&anew), there(&drafts[2])), {
        ((false, false), (true, true), (true, true))
    });
    is_empty(&store);
}

#[test]
fn a_refused_draft_waits_until_it_is_dropped_and_holds_up_nothing() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    put(&store, &[found(&member, 1, 1, 1), found(&member, 2, 2, 1)]);
    // As when the map was put back from a copy: the item has another record.
    store.put_locator(&Locator { record: [7; 16], ..locator(1, 1) }).expect("written");
    let appended = drain(&store, &member);
    assert_eq!(appended.outcomes[0], Err(DraftRefusal::LocatorMoved));
    assert_eq!(appended.outcomes[1].as_ref().map(|it| it.position), Ok(0));
    assert_eq!(store.outbox_status().expect("read").drafts, 1);
    store.drop_waiting(&[0]).expect("dropped");
    assert_eq!(store.outbox_status().expect("read"), Default::default());
}

/// Flips a bit of every value of a table.
fn flip(data: &Path, table: Table) {
    let db = redb::Database::create(data.join(table.file.name())).expect("database");
    let write = db.begin_write().expect("write");
    let definition: redb::TableDefinition<'_, &[u8], &[u8]> =
        redb::TableDefinition::new(table.name);
    {
        let mut rows = write.open_table(definition).expect("table");
        let all: Vec<(Vec<u8>, Vec<u8>)> = redb::ReadableTable::iter(&rows)
            .expect("rows")
            .map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
            .collect::<Result<_, _>>()
            .expect("rows");
        for (key, mut value) in all {
            let middle = value.len() / 2;
            value[middle] ^= 1;
            rows.insert(&key[..], &value[..]).expect("insert");
        }
    }
    write.commit().expect("commit");
}

#[test]
fn a_damaged_row_is_found_and_holds_up_nothing_that_comes_after() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    put(&store, &[found(&member, 1, 1, 1)]);
    drop(store);
    flip(folder.path(), OUTBOX);
    let report = verify_with(folder.path(), &keys(&[&member]), None).expect("can be checked");
    assert_eq!(report.damages.iter().filter_map(|it| it.table).collect::<Vec<_>>(), ["outbox"]);
    flip(folder.path(), OUTBOX_LOCATORS);

    let store = member.open(folder.path());
    let waiting = store.waiting(10).expect("read");
    assert!(waiting.drafts[0].draft.is_none(), "what was damaged is not signed");
    store.drop_waiting(&[waiting.drafts[0].number]).expect("dropped");
    is_empty(&store);
    put(&store, &[found(&member, 2, 1, 1)]);
    drain(&store, &member);
    is_empty(&store);
}

/// A ledger that was made before there was an outbox opens, and has one.
#[test]
fn a_file_that_lacks_a_table_gets_it_when_it_is_opened() {
    let (member, folder) = (hospital(), tempfile::tempdir().expect("folder"));
    let store = member.open(folder.path());
    append(&store, &member, vec![found(&member, 1, 1, 1)]);
    drop(store);
    let db = redb::Database::create(folder.path().join("ledger.redb")).expect("database");
    let write = db.begin_write().expect("write");
    for table in [OUTBOX, OUTBOX_LOCATORS] {
        let rows: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new(table.name);
        assert!(write.delete_table(rows).expect("deleted"), "{table:?} was there");
    }
    write.commit().expect("commit");
    drop(db);
    let store = member.open(folder.path());
    put(&store, &[found(&member, 2, 1, 2)]);
    assert_eq!(positions(&drain(&store, &member)), [1]);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("folder");
    for file in fs::read_dir(from).expect("folder") {
        let file = file.expect("file");
        fs::copy(file.path(), to.join(file.file_name())).expect("copy");
    }
}
