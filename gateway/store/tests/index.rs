//! The index: the same rows whatever order blobs come in, the same roots after a rebuild, and pages that hold still.

mod common;

use common::{
    Keys, Member, Says, TakesBack, append, blobs, draft_of_blob, keys, register, replicate, says,
    tag, withdraw,
};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::fold::MemoryIndex;
use sundbro_ledger::ids::RecordId;
use sundbro_ledger::transaction::{Audience, SignedTransaction};
use sundbro_store::index::{FoldProgress, IndexRoots, LocateQuery, QueryError};
use sundbro_store::{BlobKind, Locator, NewBlob, OwnDraft, Store};

fn fold(store: &Store, keys: &Keys) {
    while !store.fold(keys, 7).expect("fold").finished {}
}

/// A fold that had nothing to do.
fn finished() -> FoldProgress {
    FoldProgress { finished: true, ..FoldProgress::default() }
}

fn query() -> LocateQuery {
    LocateQuery { tags: vec![tag(1)], page_size: 50, ..LocateQuery::default() }
}

/// Record ids of an answer, in its order, by their first byte.
fn found(store: &Store, query: &LocateQuery) -> Vec<u8> {
    let page = store.locate(query).expect("locate");
    assert!(page.next_page_token.is_empty());
    page.pointers.iter().map(|pointer| pointer.record.id[0]).collect()
}

fn record(member: &Member, id: u8) -> RecordId {
    RecordId { member: member.name.clone(), id: [id; 16] }
}

struct Two {
    _folders: (tempfile::TempDir, tempfile::TempDir),
    writer: Member,
    ours: Store,
    theirs: Store,
    keys: Keys,
}

fn two() -> Two {
    let folders = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let (ours, theirs) = (writer.open(folders.0.path()), reader.open(folders.1.path()));
    Two { _folders: folders, writer, ours, theirs, keys }
}

/// Registrations, a new version with other subjects, a withdrawal, a supersession, void ones, one from the future.
fn story(member: &Member) -> Vec<OwnDraft> {
    let mut second = says(2, 2);
    second.subjects = vec![1, 5];
    let mut third = says(3, 1);
    third.replaces = Some(2);
    let future = Blob::frame(&[9; 32], &[0xa2, 0x06, 0x00], Audience::Federation).expect("blob");
    let misframed = {
        let body = Blob::frame(&[8; 32], b"x", Audience::Federation).expect("blob");
        let mut bytes = body.bytes().to_vec();
        bytes.extend_from_slice(&[0; 64]);
        let bytes = bytes::Bytes::from(bytes);
        let commitment = BlobKind::Payload.commit(&bytes);
        OwnDraft { payload: bytes, commitment, ..draft_of_blob(&body) }
    };
    vec![
        register(member, 1, &says(1, 1)),
        register(member, 2, &says(2, 1)),
        register(member, 3, &second),
        withdraw(member, 4, 1),
        register(member, 5, &says(1, 2)),
        register(member, 6, &third),
        register(member, 7, &says(4, 3)),
        draft_of_blob(&future),
        misframed,
        register(member, 8, &Says { subjects: vec![7], ..says(6, 1) }),
    ]
}

#[test]
fn a_log_that_is_taken_back_from_an_entry_on_has_the_rows_of_one_that_ended_there() {
    let two = two();
    let Two { writer, ours, theirs, keys, .. } = &two;
    let story = story(writer);
    append(ours, writer, story.iter().take(4).cloned().collect());
    replicate(ours, theirs, writer, keys);
    theirs.put_blobs(&blobs(&story[..4])).expect("blobs");
    fold(theirs, keys);
    let then = theirs.index_roots().expect("roots");
    append(ours, writer, story.into_iter().skip(4).collect());
    fold(ours, keys);
    let whole = ours.index_roots().expect("roots");
    assert_ne!(whole, then);

    let progress = ours.fold(&TakesBack(keys, 4), 1).expect("fold");
    assert!(progress.retracted && progress.finished, "in one step: {progress:?}");
    assert_eq!(ours.index_roots().expect("roots"), then);
    assert_eq!(ours.index_counts(&writer.log()).expect("counts").indexed_size, 4);
    assert_eq!(ours.rebuild_index(&TakesBack(keys, 4)).expect("rebuild"), then);
    assert_eq!(ours.fold(&TakesBack(keys, 4), 1).expect("fold"), finished());
    assert!(ours.fold(&TakesBack(keys, 0), 1).expect("fold").retracted);
    assert_eq!(found(ours, &query()), []);
    // A charter that is not followed any more gives back what it took.
    fold(ours, keys);
    assert_eq!(ours.index_roots().expect("roots"), whole);
    // One that does not name the log at all leaves nothing of it.
    let nobody = common::keys(&[]);
    assert!(ours.fold(&nobody, 1).expect("fold").retracted);
    assert_eq!(found(ours, &query()), []);
    assert_eq!(ours.fold(&nobody, 1).expect("fold"), finished());
}

#[test]
fn locate_shows_what_each_log_says() {
    let Two { writer, ours, theirs, keys, .. } = &two();
    let drafts = story(writer);
    append(ours, writer, drafts.clone());
    fold(ours, keys);
    replicate(ours, theirs, writer, keys);
    theirs.put_blobs(&blobs(&drafts)).expect("blobs");
    fold(theirs, keys);
    for store in [ours, theirs] {
        assert_eq!(found(store, &query()), [3, 2], "withdrawn ones are left out");
        let all = LocateQuery { show_withdrawn: true, ..query() };
        assert_eq!(found(store, &all), [3, 2, 1]);
        assert_eq!(found(store, &LocateQuery { tags: vec![tag(5)], ..query() }), [2]);
        assert_eq!(found(store, &LocateQuery { tags: vec![tag(7)], ..query() }), [6]);
        assert_eq!(found(store, &LocateQuery { tags: vec![tag(5), tag(1)], ..query() }), [3, 2]);
        let second = store.record(&record(writer, 2)).expect("read").expect("there");
        assert_eq!((second.version, second.position, second.withdrawn), (2, 2, false));
        assert_eq!(second.replaced_by, Some(record(writer, 3)));
        assert_eq!(second.subjects, [tag(1), tag(5)]);
        assert_eq!(second.detail.expect("detail").content_size_bytes, 100);
        let first = store.record(&record(writer, 1)).expect("read").expect("there");
        assert_eq!((first.version, first.withdrawn, first.withdrawal_reason), (1, true, 1));
        assert!(store.record(&record(writer, 4)).expect("read").is_none(), "version 3 first");
        let counts = store.index_counts(&writer.log()).expect("counts");
        assert_eq!((counts.indexed_size, counts.missing_blobs), (10, 0));
        assert_eq!((counts.unknown_payloads, counts.void_payloads), (1, 3));
        assert_eq!(store.record_counts(&writer.log()).expect("counts"), (3, 1));
    }
    let roots = ours.index_roots().expect("roots");
    assert_eq!(roots, theirs.index_roots().expect("roots"));
    assert_eq!(roots, by_the_ledger(ours, writer, &drafts));
}

/// The roots that the ledger's own index in memory comes to, of the entries and blobs that a store holds.
fn by_the_ledger(store: &Store, writer: &Member, drafts: &[OwnDraft]) -> IndexRoots {
    let mut index = MemoryIndex::new();
    for entry in store.entries(&writer.log(), 0..100).expect("entries") {
        let entry = SignedTransaction::parse(&entry).expect("entry");
        let header = entry.header();
        match store.blob(&header.payload_commitment).expect("read") {
            Some(blob) => index.add(&writer.name, header, entry.leaf(), blob),
            None => index.add_without_payload(&writer.name, header, entry.leaf()),
        }
    }
    for (commitment, _) in drafts.iter().filter_map(|draft| draft.detail.as_ref()) {
        if let Some(blob) = store.blob(commitment).expect("read") {
            index.add_detail(*commitment, blob);
        }
    }
    IndexRoots {
        index_root: index.root(Audience::Federation),
        private_root: index.root(Audience::Limited),
    }
}

#[test]
fn blobs_that_come_late_in_any_order_leave_the_same_rows() {
    let two = two();
    let (writer, keys) = (&two.writer, &two.keys);
    let drafts = story(writer);
    append(&two.ours, writer, drafts.clone());
    fold(&two.ours, keys);
    let expected = two.ours.index_roots().expect("roots");
    let blobs = blobs(&drafts);
    for seed in 0..12usize {
        let folder = tempfile::tempdir().expect("folder");
        let reader = Member::new("gp.example", 2);
        let store = reader.open(folder.path());
        replicate(&two.ours, &store, writer, keys);
        let mut left: Vec<NewBlob> = blobs.clone();
        let mut step = seed;
        while !left.is_empty() {
            if step.is_multiple_of(3) {
                fold(&store, keys);
                let roots = store.index_roots().expect("roots");
                assert_eq!(roots, by_the_ledger(&store, writer, &drafts), "seed {seed}");
            }
            step = (step * 31 + 7) % 1009;
            store.put_blobs(&[left.swap_remove(step % left.len())]).expect("put");
        }
        fold(&store, keys);
        assert_eq!(store.index_roots().expect("roots"), expected, "seed {seed}");
        let counts = store.index_counts(&writer.log()).expect("counts");
        assert_eq!((counts.missing_blobs, counts.void_payloads), (0, 3), "seed {seed}");
        assert_eq!(counts.pending_payloads, 0, "seed {seed}");
        assert!(store.missing_blobs(&writer.log(), 100).expect("missing").is_empty());
        assert_eq!(store.rebuild_index(keys).expect("rebuild"), expected);
    }
}

// Each of n versions whose payloads all came late was judged together with all before it, or all after it where they came
// from the newest to the oldest, n²/2 times in all: a record of many versions held up the index of everything else.
#[test]
fn many_versions_that_all_come_late_leave_the_same_record() {
    let Two { writer, ours, theirs, keys, .. } = &two();
    let versions = 800;
    let drafts: Vec<_> =
        (1..=versions).map(|version| register(writer, version.into(), &says(1, version))).collect();
    append(ours, writer, drafts.clone());
    replicate(ours, theirs, writer, keys);
    fold(theirs, keys);
    // The newest first, in several bundles.
    let newest_first: Vec<_> = blobs(&drafts).into_iter().rev().collect();
    let mut judged = 0;
    for bundle in newest_first.chunks(200) {
        theirs.put_blobs(bundle).expect("late");
        loop {
            let progress = theirs.fold(keys, 8_192).expect("fold");
            judged += progress.judged;
            if progress.finished {
                break;
            }
        }
    }
    // Eight bundles of a hundred payloads and details. One that comes before others makes their versions be judged again,
    // once for all that is in it.
    assert_eq!(judged, (1..=8).map(|bundles| bundles * 100).sum());
    let record = theirs.record(&record(writer, 1)).expect("read").expect("there");
    assert_eq!(record.version, versions);
    let roots = theirs.index_roots().expect("roots");
    assert_eq!(roots, theirs.rebuild_index(keys).expect("rebuild"));
}

/// Payloads here that are void, and that wait.
fn void_and_pending(store: &Store, writer: &Member) -> (u64, u64) {
    let counts = store.index_counts(&writer.log()).expect("counts");
    (counts.void_payloads, counts.pending_payloads)
}

// One payload that is on its way made everything that builds on it look as if its author had broken a rule.
#[test]
fn what_a_missing_payload_may_make_good_is_pending_and_not_void() {
    let Two { writer, ours, theirs, keys, .. } = &two();
    let mut drafts = vec![
        register(writer, 1, &says(1, 1)),
        register(writer, 2, &says(2, 1)),
        register(writer, 3, &says(1, 2)),
        withdraw(writer, 4, 2),
        register(writer, 5, &says(3, 2)),
        register(writer, 6, &says(5, 1)),
    ];
    drafts.push(register(writer, 7, &Says { replaces: Some(1), ..says(6, 2) }));
    append(ours, writer, drafts.clone());
    replicate(ours, theirs, writer, keys);
    theirs.put_blobs(&blobs(&drafts[2..])).expect("all but two registrations");
    let step = |expected: (u64, u64), records: &[u8]| {
        fold(theirs, keys);
        assert_eq!(void_and_pending(theirs, writer), expected);
        assert_eq!(found(theirs, &query()), records);
        let roots = theirs.index_roots().expect("roots");
        assert_eq!(roots, by_the_ledger(theirs, writer, &drafts));
    };
    step((0, 4), &[5]);
    // It makes its own record good. The others, above it and not about it, wait on for the one below it.
    theirs.put_blobs(&blobs(&drafts[1..2])).expect("the second");
    step((0, 3), &[5]);
    assert!(theirs.record(&record(writer, 2)).expect("read").expect("there").withdrawn);
    // Now nothing is missing: who skipped a version did so, whatever record the last payload is about.
    theirs.put_blobs(&blobs(&drafts[..1])).expect("the first");
    step((2, 0), &[5, 1]);
    assert_eq!(theirs.index_roots().expect("roots"), {
        fold(ours, keys);
        ours.index_roots().expect("roots")
    });
}

#[test]
fn a_late_payload_that_says_nothing_frees_those_that_waited_for_it() {
    let Two { writer, ours, theirs, keys, .. } = &two();
    let future = Blob::frame(&[9; 32], &[0xa2, 0x06, 0x00], Audience::Federation).expect("blob");
    let broken = Blob::frame(&[8; 32], b"x", Audience::Federation).expect("blob");
    let drafts = vec![
        draft_of_blob(&future),
        register(writer, 1, &says(1, 2)),
        draft_of_blob(&broken),
        withdraw(writer, 2, 2),
    ];
    append(ours, writer, drafts.clone());
    replicate(ours, theirs, writer, keys);
    let rest: Vec<_> = drafts.iter().skip(1).step_by(2).cloned().collect();
    theirs.put_blobs(&blobs(&rest)).expect("what builds on nothing");
    fold(theirs, keys);
    assert_eq!(void_and_pending(theirs, writer), (0, 2));
    theirs.put_blobs(&blobs(&drafts[..1])).expect("the one from the future");
    fold(theirs, keys);
    assert_eq!(void_and_pending(theirs, writer), (1, 1));
    theirs.put_blobs(&blobs(&drafts[2..3])).expect("the broken one");
    fold(theirs, keys);
    assert_eq!(void_and_pending(theirs, writer), (3, 0));
}

#[test]
fn missing_blobs_are_listed_until_they_come_details_once_the_payload_is_here() {
    let Two { writer, ours, theirs, keys, .. } = &two();
    let drafts = vec![register(writer, 1, &says(1, 1)), register(writer, 2, &says(2, 1))];
    append(ours, writer, drafts.clone());
    replicate(ours, theirs, writer, keys);
    fold(theirs, keys);
    let missing = theirs.missing_blobs(&writer.log(), 10).expect("missing");
    let kinds: Vec<_> = missing.iter().map(|key| (key.position, key.kind)).collect();
    assert_eq!(kinds, [(0, BlobKind::Payload), (1, BlobKind::Payload)]);
    assert_eq!(missing[1].commitment, drafts[1].commitment);
    assert_eq!(theirs.missing_blobs(&writer.log(), 1).expect("missing").len(), 1);
    assert!(found(theirs, &query()).is_empty());

    let all = blobs(&drafts);
    theirs.put_blobs(&all[..1]).expect("the first payload");
    fold(theirs, keys);
    let missing = theirs.missing_blobs(&writer.log(), 10).expect("missing");
    let kinds: Vec<_> = missing.iter().map(|key| (key.position, key.kind)).collect();
    assert_eq!(kinds, [(0, BlobKind::Detail), (1, BlobKind::Payload)]);
    assert_eq!(theirs.index_counts(&writer.log()).expect("counts").missing_blobs, 2);
    let pointer = theirs.record(&record(writer, 1)).expect("read").expect("there");
    assert!(pointer.detail.is_none());
    let other_class = LocateQuery { class: Some(("x".to_owned(), "y".to_owned())), ..query() };
    assert_eq!(
        found(theirs, &other_class),
        [1],
        "nothing is hidden because its detail is not here"
    );

    theirs.put_blobs(&all[1..]).expect("the rest");
    fold(theirs, keys);
    assert!(theirs.missing_blobs(&writer.log(), 10).expect("missing").is_empty());
    assert!(found(theirs, &other_class).is_empty());
}

#[test]
fn blobs_are_checked_by_their_commitment() {
    let Two { writer, theirs, .. } = &two();
    let draft = register(writer, 1, &says(1, 1));
    let mut wrong = blobs(&[draft]);
    wrong[0].kind = BlobKind::Detail;
    assert!(theirs.put_blobs(&wrong).is_err());
    assert!(theirs.blob(&wrong[1].commitment).expect("read").is_none(), "none of the group");
    let long = bytes::Bytes::from(vec![0; 65_537]);
    let commitment = BlobKind::Payload.commit(&long);
    let long = NewBlob { kind: BlobKind::Payload, commitment, bytes: long };
    assert!(theirs.put_blobs(&[long]).is_err());
}

#[test]
fn a_blob_stored_before_a_crash_is_folded_after_it() {
    let Two { writer, ours, keys, .. } = &two();
    let drafts = vec![register(writer, 1, &says(1, 1))];
    append(ours, writer, drafts.clone());
    let folder = tempfile::tempdir().expect("folder");
    let reader = Member::new("gp.example", 2);
    let store = reader.open(folder.path());
    replicate(ours, &store, writer, keys);
    fold(&store, keys);
    store.put_blobs(&blobs(&drafts)).expect("put");
    drop(store);
    let store = reader.open(folder.path());
    fold(&store, keys);
    assert_eq!(found(&store, &query()), [1]);
}

#[test]
fn filters_are_by_class_period_and_custodian() {
    let Two { writer, ours, keys, .. } = &two();
    let dated = |record, start| Says { start: Some(start), ..says(record, 1) };
    let drafts = vec![
        register(writer, 1, &dated(1, 100)),
        register(writer, 2, &dated(2, 200)),
        register(writer, 3, &Says { class: "11503-0", ..says(3, 1) }),
    ];
    append(ours, writer, drafts);
    fold(ours, keys);
    let loinc = |code: &str| Some(("http://loinc.org".to_owned(), code.to_owned()));
    assert_eq!(found(ours, &LocateQuery { class: loinc("11503-0"), ..query() }), [3]);
    assert_eq!(found(ours, &LocateQuery { period_start: Some(100), ..query() }), [3, 2, 1]);
    assert_eq!(found(ours, &LocateQuery { period_start: Some(101), ..query() }), [3, 2]);
    assert_eq!(found(ours, &LocateQuery { period_end: Some(200), ..query() }), [3, 1]);
    let custodian = |name| LocateQuery {
        custodian: Some(sundbro_ledger::ids::MemberName::new(name).expect("name")),
        ..query()
    };
    assert_eq!(found(ours, &custodian("hospital.example")), [3, 2, 1]);
    assert!(found(ours, &custodian("gp.example")).is_empty());
}

#[test]
fn pages_hold_still_while_records_are_registered() {
    let two = two();
    let (a, b) = (&two.writer, Member::new("gp.example", 2));
    let keys = &two.keys;
    append(&two.ours, a, (1..=5).map(|n| register(a, u64::from(n), &says(n, 1))).collect());
    append(&two.theirs, &b, (11..=15).map(|n| register(&b, u64::from(n), &says(n, 1))).collect());
    replicate(&two.theirs, &two.ours, &b, keys);
    let drafts: Vec<_> = (11..=15).map(|n| register(&b, u64::from(n), &says(n, 1))).collect();
    two.ours.put_blobs(&blobs(&drafts)).expect("blobs");
    fold(&two.ours, keys);

    let mut query = LocateQuery { page_size: 3, ..query() };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = two.ours.locate(&query).expect("page");
        seen.extend(page.pointers.iter().map(|pointer| pointer.record.id[0]));
        pages += 1;
        // Registered while somebody reads: newest first, so it would stand before the first page.
        append(&two.ours, a, vec![register(a, 100 + pages, &says(100 + pages as u8, 1))]);
        fold(&two.ours, keys);
        if page.next_page_token.is_empty() {
            break;
        }
        query.page_token = page.next_page_token;
    }
    // Custodians in order of name; what came meanwhile in the second log is on its later pages.
    assert_eq!(seen[..5], [15, 14, 13, 12, 11]);
    let mut rest = seen[5..].to_vec();
    rest.retain(|id| *id <= 5);
    assert_eq!(rest, [5, 4, 3, 2, 1]);
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), seen.len());

    query.custodian = Some(a.name.clone());
    assert!(matches!(two.ours.locate(&query), Err(QueryError::BadPageToken)));
    let list = two.ours.records_of(&a.log(), 4, &[]).expect("list");
    assert_eq!(list.pointers.len(), 4);
    let next = two.ours.records_of(&a.log(), 100, &list.next_page_token).expect("list");
    assert_eq!(next.pointers.last().map(|it| it.record.id[0]), Some(1));
    assert!(two.ours.records_of(&b.log(), 4, &list.next_page_token).is_err());
}

#[test]
fn orphans_are_own_live_records_that_no_locator_derives() {
    let Two { writer, ours, keys, .. } = &two();
    let drafts = (1..=3).map(|n| register(writer, u64::from(n), &says(n, 1))).collect();
    append(ours, writer, drafts);
    append(ours, writer, vec![withdraw(writer, 9, 3)]);
    fold(ours, keys);
    let names = |store: &Store| {
        let orphans = store.orphans(10).expect("orphans");
        orphans.iter().map(|record| record.id[0]).collect::<Vec<_>>()
    };
    assert_eq!(names(ours), [2, 1]);
    let locator = Locator {
        adapter: "documents".to_owned(),
        source_key: b"k".to_vec(),
        record: [2; 16],
        version: 1,
        generation: 0,
        content: sundbro_ledger::ids::ContentDigest::new([2; 32]),
        size: 1,
        fingerprint: Vec::new(),
        document_id: None,
        position: 1,
        live: true,
    };
    ours.put_locator(&locator).expect("put");
    assert_eq!(names(ours), [1]);
    let listed = ours.locators("documents", None, 10).expect("list");
    assert_eq!(listed.as_slice(), std::slice::from_ref(&locator));
    assert!(ours.locators("documents", Some(b"k"), 10).expect("list").is_empty());
    ours.put_locator(&Locator { live: false, ..locator }).expect("put");
    assert_eq!(names(ours), [2, 1]);
}

#[test]
fn roots_of_an_empty_index_are_those_of_no_rows() {
    let Two { ours, theirs, keys, .. } = &two();
    fold(ours, keys);
    let IndexRoots { index_root, private_root } = ours.index_roots().expect("roots");
    assert_eq!(theirs.index_roots().expect("roots").index_root, index_root);
    assert_eq!(theirs.rebuild_index(keys).expect("rebuild").private_root, private_root);
}
