//! What the answers to a question come to when our own disk does not do its part.

use std::collections::BTreeSet;

use sundbro_ledger::ids::FederationId;
use sundbro_store::{Identity, OpenOptions};

use super::*;

const LOG: LogId = LogId::new([1; 32]);

// Whoever asks again at once would ask without end, and nothing else would run on that thread.
#[test]
fn a_number_of_starts_that_cannot_be_written_waits_for_another_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = OpenOptions {
        identity: Identity { federation_id: FederationId::new([2; 32]), own_log: LOG },
        gate: None,
        cache_bytes: 1 << 20,
        recreate_gate: false,
    };
    let store = Store::open(folder.path(), options).expect("a store");
    let check = OwnLogCheck::new(LOG, &store);
    let lab = MemberName::new("lab.example").expect("a name");
    let electorate = Electorate { peers: BTreeSet::from([lab.clone()]), needed: 1 };
    let (before, round) = (store.incarnation(), check.ask());
    let answer = Answer { round, incarnation: before + 8, is_ours: false };
    check.has_answered(&lab, answer, check.knowledge());

    let in_the_way = folder.path().join("signing.gate.new");
    std::fs::create_dir(&in_the_way).expect("a folder where the gate is written");
    assert!(!check.judge(&store, &electorate, round, false));
    assert_eq!((store.incarnation(), check.known().raises), (before, 0));

    std::fs::remove_dir(&in_the_way).expect("removed");
    assert!(check.judge(&store, &electorate, round, false));
    assert_eq!((store.incarnation(), *check.incarnation().borrow()), (before + 9, before + 9));
}

// The peer may have shown another history, and that was forgotten with the rest between the two.
#[test]
fn an_answer_does_not_count_when_what_its_peer_showed_was_forgotten_meanwhile() {
    let check = OwnLogCheck {
        log: LOG,
        state: watch::Sender::new(OwnLogState::Asking),
        rounds: watch::Sender::new(1),
        incarnation: watch::Sender::new(1),
        known: Mutex::default(),
        comparing: Mutex::default(),
        answers: watch::Sender::new(0),
    };
    let lab = MemberName::new("lab.example").expect("a name");
    let electorate = Electorate { peers: BTreeSet::from([lab.clone()]), needed: 1 };
    let answer = Answer { round: 1, incarnation: 1, is_ours: true };
    let knowledge = check.knowledge();
    *check.known() = Known { forgotten: knowledge + 1, ..Known::default() };
    check.has_answered(&lab, answer, knowledge);
    assert_eq!(check.standing(&electorate).answered, 0);
    check.has_answered(&lab, answer, check.knowledge());
    assert_eq!(check.standing(&electorate).answered, 1);
}
