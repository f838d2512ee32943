//! Our own log: what is appended is signed once, survives, and is never appended twice.

mod common;

use common::{Member, append, fill, keys, register, replicate, says, try_append, withdraw};
use sundbro_ledger::ids::{ContentDigest, LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, verify_inclusion};
use sundbro_store::gate::SigningStop;
use sundbro_store::{
    AppendOwnError, DraftRefusal, EQUIVOCATION, Locator, LocatorChange, LogState, OpenError,
    OpenOptions, RequestKey, ServeError, Store,
};

fn hospital() -> Member {
    Member::new("hospital.example", 1)
}

fn locator(record: u8, version: u32, content: u8) -> Locator {
    Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', record],
        record: [record; 16],
        version,
        generation: 0,
        content: ContentDigest::new([content; 32]),
        size: 10,
        fingerprint: vec![1],
        document_id: None,
        position: 0,
        live: true,
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart_with_a_checkpoint_that_covers_it() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 5);
    let appended = append(&store, &member, vec![register(&member, 50, &says(50, 1))]);
    assert_eq!(appended.head.size(), 6);
    drop(store);

    let store = member.open(folder.path());
    let log = member.log();
    assert_eq!(store.log_head(&log).expect("head"), appended.head);
    let checkpoint = store.checkpoint(&log).expect("read").expect("checkpoint");
    assert_eq!((checkpoint.size, checkpoint.root), (6, appended.head.root()));
    let verified = member.checkpoint(&checkpoint.note);
    assert_eq!(verified.size(), 6);
    let entries = store.entries(&log, 0..100).expect("entries");
    assert_eq!(entries.len(), 6);
    let tree: MemoryTree = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(tree.root(), checkpoint.root);
    for (index, entry) in (0..).zip(&entries) {
        let proof = store.inclusion_proof(&log, index, 6).expect("proof");
        verify_inclusion(&leaf_hash(entry), index, 6, &proof, &checkpoint.root).expect("included");
    }
}

#[test]
fn proofs_are_those_of_the_tree_at_every_size() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let log = member.log();
    for group in [1u64, 2, 3, 10, 17, 40] {
        let start = store.log_head(&log).expect("head").size();
        let drafts = (0..group).map(|n| register(&member, start + n, &says((start + n) as u8, 1)));
        append(&store, &member, drafts.collect());
    }
    let entries = store.entries(&log, 0..100).expect("entries");
    let mut tree = MemoryTree::new();
    for (size, entry) in (1..).zip(&entries) {
        tree.append(leaf_hash(entry));
        for index in [0, size / 2, size - 1] {
            let proof = store.inclusion_proof(&log, index, size).expect("proof");
            assert_eq!(proof, tree.prove_inclusion(index).expect("proof"), "{index} in {size}");
        }
        for old in [1, size.div_ceil(2), size] {
            let proof = store.consistency_proof(&log, old, size).expect("proof");
            assert_eq!(proof, tree.prove_consistency(old).expect("proof"), "{old} to {size}");
        }
    }
    let size = entries.len() as u64;
    assert!(matches!(
        store.consistency_proof(&log, 1, size + 1),
        Err(ServeError::NotHere { committed, .. }) if committed == size
    ));
    assert!(matches!(store.inclusion_proof(&log, 9, 9), Err(ServeError::BadRange { .. })));
    assert!(matches!(store.chunk(&log, size, size), Err(ServeError::BadRange { .. })));
}

#[test]
fn a_request_that_comes_again_is_answered_with_its_entry() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let request = |id: &[u8], content| Some(RequestKey { id: id.to_vec(), content: [content; 32] });
    let draft = |salt, request| {
        let mut draft = register(&member, salt, &says(1, 1));
        draft.request = request;
        draft
    };
    let first = append(&store, &member, vec![draft(1, request(b"a", 1))]);
    let again = append(
        &store,
        &member,
        vec![
            draft(2, request(b"a", 1)),
            draft(3, request(b"a", 2)),
            draft(4, request(b"b", 1)),
            draft(5, request(b"b", 1)),
        ],
    );
    let accepted = first.outcomes[0].clone().expect("accepted");
    let replayed = again.outcomes[0].clone().expect("replayed");
    assert_eq!((replayed.position, replayed.leaf), (accepted.position, accepted.leaf));
    assert!(replayed.replayed && !accepted.replayed);
    assert_eq!(again.outcomes[1], Err(DraftRefusal::RequestIdReused));
    let (third, fourth) = (again.outcomes[2].clone(), again.outcomes[3].clone());
    assert_eq!(third.expect("new").leaf, fourth.clone().expect("same").leaf);
    assert!(fourth.expect("same").replayed, "also within one group");
    assert_eq!(again.head.size(), 2);
    drop(store);
    let store = member.open(folder.path());
    let last = append(&store, &member, vec![draft(6, request(b"a", 1))]);
    assert!(last.outcomes[0].clone().expect("replayed").replayed);
    assert!(last.checkpoint.is_none() && last.head.size() == 2);
}

#[test]
fn a_source_item_is_registered_once_for_each_content_and_withdrawn_once() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let put = |salt, locator: Locator| {
        let mut draft = register(&member, salt, &says(locator.record[0], locator.version));
        draft.locator = Some(LocatorChange::Register(locator));
        draft
    };
    let gone = |salt| {
        let mut draft = withdraw(&member, salt, 1);
        let (adapter, source_key) = ("documents".to_owned(), vec![b'k', 1]);
        draft.locator = Some(LocatorChange::Withdraw { adapter, source_key });
        draft
    };
    append(&store, &member, vec![put(1, locator(1, 1, 7))]);
    let same = append(&store, &member, vec![put(2, locator(1, 1, 7))]);
    assert!(same.outcomes[0].clone().expect("there").replayed);
    let other = append(&store, &member, vec![put(3, locator(1, 1, 8))]);
    assert_eq!(other.outcomes[0], Err(DraftRefusal::LocatorMoved));
    let next = append(&store, &member, vec![put(4, locator(1, 2, 8))]);
    assert_eq!(next.outcomes[0].clone().expect("version 2").position, 1);

    let found = store.locator("documents", &[b'k', 1]).expect("read").expect("there");
    assert_eq!((found.version, found.position, found.live), (2, 1, true));
    assert_eq!(store.locator_of(&[1; 16]).expect("read").expect("there"), found);
    append(&store, &member, vec![gone(5)]);
    assert!(append(&store, &member, vec![gone(6)]).outcomes[0].clone().expect("gone").replayed);
    let found = store.locator("documents", &[b'k', 1]).expect("read").expect("kept");
    assert_eq!((found.live, found.generation), (false, 1));
    assert_eq!(store.adapter_counts("documents").expect("counts"), (0, 0));

    // The same path again is another record: its id comes from the generation.
    let mut again = locator(1, 1, 9);
    (again.record, again.generation) = ([9; 16], 1);
    let mut draft = register(&member, 7, &says(9, 1));
    draft.locator = Some(LocatorChange::Register(again));
    append(&store, &member, vec![draft]).outcomes[0].clone().expect("registered anew");
    assert!(store.locator_of(&[1; 16]).expect("read").is_none());
    assert_eq!(store.log_head(&member.log()).expect("head").size(), 4);
}

#[test]
fn a_draft_with_other_blobs_than_it_names_is_refused_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let mut wrong = register(&member, 1, &says(1, 1));
    wrong.commitment = common::no_commitment();
    let done = append(&store, &member, vec![wrong, register(&member, 2, &says(2, 1))]);
    assert_eq!(done.outcomes[0], Err(DraftRefusal::WrongCommitment));
    assert!(done.outcomes[1].is_ok() && done.head.size() == 1);
}

#[test]
fn nothing_is_appended_that_replicas_would_refuse() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    let stranger = Member::new("hospital.example", 2);
    let drafts = vec![register(&member, 1, &says(1, 1))];
    let refused = store.append_own(drafts, &stranger.signer(), 1, &keys(&[&member]));
    assert!(matches!(refused, Err(AppendOwnError::OwnEntryInvalid(_))));
    assert_eq!(store.log_head(&member.log()).expect("head").size(), 0);
    fill(&store, &member, 1, 1);
}

fn stop_of(store: &Store) -> &'static str {
    store.signing_stop().map_or("", |stop| stop.reason())
}

#[test]
fn the_incarnation_rises_at_every_start_and_entries_carry_it() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    for start in 1..4 {
        let store = member.open(folder.path());
        assert_eq!(store.incarnation(), start);
        fill(&store, &member, start as u8, 1);
        assert_eq!(store.log_head(&member.log()).expect("head").incarnation(), start);
    }
}

#[test]
fn a_gate_behind_the_database_is_the_crash_between_them_and_signing_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 3);
    let gate = std::fs::read(folder.path().join("signing.gate")).expect("gate");
    fill(&store, &member, 10, 3);
    drop(store);
    std::fs::write(folder.path().join("signing.gate"), gate).expect("older gate");

    let store = member.open(folder.path());
    assert_eq!(stop_of(&store), "");
    assert_eq!(store.checkpoint(&member.log()).expect("read").expect("checkpoint").size, 6);
    fill(&store, &member, 20, 1);
}

#[test]
fn a_gate_ahead_of_the_database_stops_signing_until_the_database_is_back() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 3);
    drop(store);
    let backup = std::fs::read(folder.path().join("ledger.redb")).expect("backup");
    let store = member.open(folder.path());
    fill(&store, &member, 10, 3);
    drop(store);
    let newest = std::fs::read(folder.path().join("ledger.redb")).expect("newest");
    std::fs::write(folder.path().join("ledger.redb"), backup).expect("restore");

    for start in 3..5 {
        let store = member.open(folder.path());
        assert_eq!(stop_of(&store), "OWN_LOG_BEHIND");
        assert_eq!(store.incarnation(), start, "it rises all the same");
        let refused = try_append(&store, &member, vec![register(&member, 99, &says(99, 1))]);
        assert!(matches!(
            refused,
            Err(AppendOwnError::Stopped(SigningStop::OwnLogBehind { held: 3, known: 6, .. }))
        ));
    }
    std::fs::write(folder.path().join("ledger.redb"), newest).expect("cure");
    let store = member.open(folder.path());
    assert_eq!(stop_of(&store), "");
    fill(&store, &member, 20, 1);
    assert_eq!(store.log_head(&member.log()).expect("head").size(), 7);
}

#[test]
fn a_database_that_went_another_way_stops_signing() {
    let folder = tempfile::tempdir().expect("folder");
    let other = tempfile::tempdir().expect("folder");
    let member = hospital();
    fill(&member.open(folder.path()), &member, 1, 3);
    fill(&member.open(other.path()), &member, 50, 5);
    let gate = folder.path().join("signing.gate");
    std::fs::copy(gate, other.path().join("signing.gate")).expect("copy");
    let store = member.open(other.path());
    assert_eq!(stop_of(&store), "OWN_LOG_DIVERGES");
}

#[test]
fn a_missing_or_damaged_gate_stops_signing_until_an_operator_recreates_it() {
    let folder = tempfile::tempdir().expect("folder");
    let gate = folder.path().join("signing.gate");
    let member = hospital();
    fill(&member.open(folder.path()), &member, 1, 3);
    let bytes = std::fs::read(&gate).expect("gate");
    for (content, reason) in
        [(None, "SIGNING_GATE_MISSING"), (Some(&bytes[1..]), "SIGNING_GATE_DAMAGED")]
    {
        std::fs::remove_file(&gate).expect("remove");
        if let Some(content) = content {
            std::fs::write(&gate, content).expect("write");
        }
        let store = member.open(folder.path());
        assert_eq!(stop_of(&store), reason);
        assert_eq!(std::fs::read(&gate).ok().as_deref(), content, "it is not touched");
        assert!(!store.signing_stop().expect("stopped").cure().is_empty());
        drop(store);
        let options = OpenOptions { recreate_gate: true, ..member.options() };
        let store = Store::open(folder.path(), options).expect("open");
        assert_eq!(stop_of(&store), "");
        assert!(store.incarnation() > 1);
    }
    let other = Member::new("other.example", 9);
    let elsewhere = tempfile::tempdir().expect("folder");
    drop(other.open(elsewhere.path()));
    std::fs::copy(elsewhere.path().join("signing.gate"), &gate).expect("copy");
    assert_eq!(stop_of(&member.open(folder.path())), "SIGNING_GATE_OF_OTHER_LOG");
}

#[test]
fn other_members_can_stop_signing() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 3);
    let root = store.own_root_at(2).expect("read").expect("root");
    let entries = store.entries(&member.log(), 0..2).expect("entries");
    let tree: MemoryTree = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(root, tree.root());
    assert_eq!(store.own_root_at(4).expect("read"), None);
    let known_by = "municipality.example".to_owned();
    store.stop_signing(SigningStop::OwnLogBehind { held: 3, known: 9, known_by });
    let refused = try_append(&store, &member, vec![register(&member, 9, &says(9, 1))]);
    assert!(matches!(refused, Err(AppendOwnError::Stopped(_))));
}

#[test]
fn an_own_log_that_is_stopped_is_signed_no_further_now_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 3);
    let state = LogState::Stopped { position: 2, reason: "WRONG_KEY".to_owned() };
    store.mark_log(&member.log(), &state).expect("mark");
    drop(store);
    let store = member.open(folder.path());
    assert_eq!(stop_of(&store), "OWN_LOG_REVOKED");
    assert!(store.signing_stop().expect("stopped").cure().contains("stewards"));
    let refused = try_append(&store, &member, vec![register(&member, 9, &says(9, 1))]);
    assert!(matches!(refused, Err(AppendOwnError::Stopped(_))));
    // It stays stopped there whatever is said later, unless it stops earlier.
    let stop = |position| LogState::Stopped { position, reason: "WRONG_KEY".to_owned() };
    for (state, after) in [(LogState::Followed, 2), (stop(3), 2), (stop(1), 1)] {
        store.mark_log(&member.log(), &state).expect("mark");
        assert_eq!(store.log_status(&member.log()).expect("status").state, stop(after));
    }
    // Evidence outlasts it, wherever it was found.
    let fork = LogState::Stopped { position: 3, reason: EQUIVOCATION.to_owned() };
    for state in [&fork, &stop(0), &LogState::Followed] {
        store.mark_log(&member.log(), state).expect("mark");
        assert_eq!(store.log_status(&member.log()).expect("status").state, fork);
    }
    // What stands there is still shown to others: it is the evidence.
    assert_eq!(store.log_status(&member.log()).expect("status").committed_size, 3);
}

#[test]
fn a_store_is_opened_once_and_read_beside_and_by_its_owner_only() {
    let folder = tempfile::tempdir().expect("folder");
    let member = hospital();
    let store = member.open(folder.path());
    fill(&store, &member, 1, 3);
    let again = Store::open(folder.path(), member.options()).err();
    assert!(matches!(again, Some(OpenError::InUse { .. })), "{again:?}");
    let reader = Store::open_read_only(folder.path()).expect("beside");
    assert_eq!(reader.log_head(&member.log()).expect("head").size(), 3);
    fill(&store, &member, 10, 1);
    assert_eq!(reader.log_head(&member.log()).expect("head").size(), 4, "it follows");
    let refused = try_append(&reader, &member, vec![register(&member, 9, &says(9, 1))]);
    assert!(matches!(refused, Err(AppendOwnError::Store(_))));
    drop((reader, store));

    let other = Member::new("other.example", 9);
    let refused = Store::open(folder.path(), other.options()).err();
    assert!(matches!(refused, Some(OpenError::OtherIdentity { .. })), "{refused:?}");
    let reader = Store::open_read_only(folder.path()).expect("after");
    assert_eq!(reader.identity().own_log, member.log());
    let blocked = Store::open(folder.path(), member.options()).err();
    assert!(matches!(blocked, Some(OpenError::InUse { .. })), "{blocked:?}");
}

#[test]
fn a_replica_takes_chunks_in_order_and_nothing_that_does_not_follow() {
    let (ours, theirs) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let (member, reader) = (hospital(), Member::new("gp.example", 2));
    let keys = keys(&[&member, &reader]);
    let (from, to) = (member.open(ours.path()), reader.open(theirs.path()));
    let log = member.log();
    let drafts = |range: core::ops::Range<u64>| {
        range.map(|n| register(&member, n, &says(n as u8, 1 + (n / 256) as u32))).collect()
    };
    append(&from, &member, drafts(0..300));
    replicate(&from, &to, &member, &keys);
    let status = to.log_status(&log).expect("status");
    assert_eq!((status.committed_size, status.newest_seen_size), (300, 300));
    assert_eq!(status.checkpoint, from.checkpoint(&log).expect("read"));

    append(&from, &member, drafts(300..310));
    let checkpoint = from.checkpoint(&log).expect("read").expect("checkpoint");
    let checkpoint = member.checkpoint(&checkpoint.note);
    to.note_newest_seen(&checkpoint).expect("note");
    assert_eq!(to.log_status(&log).expect("status").newest_seen_size, 310);
    assert_eq!(to.checkpoint(&log).expect("read").expect("old").size, 300);
    let head = to.log_head(&log).expect("head");
    let chunk = from.chunk(&log, 300, 310).expect("chunk");
    let verified = chunk.check(&head, &checkpoint).expect("covered").verify(&keys);
    let mut entries = verified.entries;
    let refused = to.append_replica(&log, &entries[1..], &checkpoint, &verified.head);
    assert!(refused.is_err(), "a gap");
    let refused = to.append_replica(&log, &entries[..9], &checkpoint, &verified.head);
    assert!(refused.is_err(), "another head");
    let mut forged = verified.head.to_bytes();
    // The incarnation: version 1, log 32, previous leaf 32, charter version 8, key id 4, then it.
    forged[80] ^= 1;
    let forged = LogHead::from_bytes(&forged).expect("a head");
    assert_eq!(forged.frontier(), verified.head.frontier());
    let refused = to.append_replica(&log, &entries, &checkpoint, &forged);
    assert!(refused.is_err(), "another head with the same tree");
    to.append_replica(&log, &entries, &checkpoint, &verified.head).expect("in order");
    let refused = to.append_replica(&log, &entries, &checkpoint, &verified.head);
    assert!(refused.is_err(), "twice");
    entries.clear();

    to.mark_log(&log, &LogState::Stopped { position: 310, reason: "X".to_owned() }).expect("mark");
    let refused = to.append_replica(&log, &entries, &checkpoint, &verified.head);
    assert!(matches!(refused, Err(sundbro_store::AppendReplicaError::LogStopped(_))));
    drop(to);
    let to = reader.open(theirs.path());
    let status = to.log_status(&log).expect("status");
    assert!(matches!(status.state, LogState::Stopped { position: 310, .. }));
    assert_eq!(to.log_states().expect("all").len(), 1);
    let unknown = to.log_status(&LogId::new([9; 32])).expect("empty");
    assert_eq!((unknown.committed_size, unknown.newest_seen_size), (0, 0));
    assert_ne!(unknown.root, RootHash::new([0; 32]));
}
