//! What a history concludes: forks in any order of arrival, signatures gathered, and which key signs where.

mod common;

use common::{
    CHECKPOINT, FOUNDERS, Federation, SEALING, SERVICE, TRANSACTION, Unsigned, commitment, key,
    name,
};
use proptest::prelude::*;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::{Checkpoint, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::{CharterHistory, MAX_FORK_HEADS, OfferError, Offered};
use sundbro_ledger::ids::RootHash;
use sundbro_ledger::log::{KeyBook, KeyVerdict};
use sundbro_ledger::member::{KeyPurpose, MemberKey};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// A head that differs from its siblings in one limit, signed by these stewards.
fn sibling(federation: &Federation, after: &Charter, limit: u64, signers: &[u32]) -> Charter {
    let next = Federation::after(after, |next: &mut Unsigned| {
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: limit });
    });
    let signers = federation.stewards.iter().filter(|(ordinal, _)| signers.contains(ordinal));
    Charter::from_wire(&next.sign(&federation.id(), signers)).expect("valid by itself")
}

/// Offers all, again and again as gossip does, until nothing changes.
fn settle(start: &CharterHistory, charters: &[Charter]) -> CharterHistory {
    let mut history = start.clone();
    loop {
        let before = history.clone();
        for charter in charters {
            let _ = history.offer(charter.clone()).expect("all of them are valid");
        }
        if before == history {
            return history;
        }
    }
}

/// Two branches from version 1, one of which goes on, and one head with signatures of others.
fn branches() -> (Federation, Vec<Charter>) {
    let federation = Federation::found();
    let first = federation.history.current().clone();
    let a2 = sibling(&federation, &first, 2, &[1, 2, 3]);
    let a2_by_others = sibling(&federation, &first, 2, &[3, 4, 5]);
    let a3 = sibling(&federation, &a2, 3, &[1, 2, 4]);
    let b3 = sibling(&federation, &a2, 33, &[1, 4, 5]);
    let b2 = sibling(&federation, &first, 22, &[2, 3, 5]);
    (federation, vec![a2, a2_by_others, a3, b3, b2])
}

#[test]
fn two_heads_of_one_version_are_evidence_whichever_came_first() {
    let (federation, charters) = branches();
    let (a, b) = (&charters[0], &charters[4]);
    let mut one = federation.history.clone();
    assert_eq!(one.offer(a.clone()), Ok(Offered::Accepted));
    let Ok(Offered::Fork(evidence)) = one.offer(b.clone()) else { panic!("a fork") };
    let mut other = federation.history.clone();
    assert_eq!(other.offer(b.clone()), Ok(Offered::Accepted));
    let Ok(Offered::Fork(same)) = other.offer(a.clone()) else { panic!("a fork") };
    assert_eq!(one, other);
    assert_eq!(evidence, same);
    assert_eq!(one.fork(), Some(*evidence.clone()));
    assert_eq!((evidence.version, evidence.a.version(), evidence.b.version()), (2, 2, 2));
    assert!(evidence.a.digest() < evidence.b.digest());
    // The version before is in force, and nothing after the fork is followed.
    assert_eq!((one.in_force(), one.forked_version()), (1, Some(2)));
    assert_eq!(one.current(), federation.history.current());
    assert_eq!(one.offer(charters[2].clone()), Ok(Offered::Unhealed { forked: 2 }));
    assert!(Draft::next(&one).is_err(), "nothing is drafted on top of a fork");
}

#[test]
fn a_fork_further_down_takes_back_what_stood_above_it() {
    let (federation, charters) = branches();
    let [a2, _, a3, b3, b2] = &charters[..] else { panic!("five") };
    let mut history = federation.history.clone();
    for charter in [a2, a3] {
        assert_eq!(history.offer(charter.clone()), Ok(Offered::Accepted));
    }
    assert!(matches!(history.offer(b3.clone()), Ok(Offered::Fork(_))));
    assert_eq!((history.in_force(), history.forked_version()), (2, Some(3)));
    assert!(matches!(history.offer(b2.clone()), Ok(Offered::Fork(_))));
    assert_eq!((history.in_force(), history.forked_version()), (1, Some(2)));
}

#[test]
fn a_history_is_read_back_from_the_charters_that_it_holds() {
    let (federation, charters) = branches();
    let history = settle(&federation.history, &charters);
    let mut held = history.charters().cloned();
    let mut again = CharterHistory::join(&federation.id(), held.next().expect("version 1"))
        .expect("the same federation");
    for charter in held {
        let _ = again.offer(charter).expect("valid");
    }
    assert_eq!(again, history);
}

#[test]
fn of_many_heads_of_one_version_the_same_ones_are_kept_in_any_order() {
    let federation = Federation::found();
    let first = federation.history.current();
    let many = u64::try_from(MAX_FORK_HEADS).expect("small") + 4;
    let mut charters: Vec<Charter> =
        (1..=many).map(|limit| sibling(&federation, first, limit, &[1, 2, 3])).collect();
    let upwards = settle(&federation.history, &charters);
    charters.reverse();
    assert_eq!(settle(&federation.history, &charters), upwards);
    assert_eq!(upwards.charters().count(), 1 + MAX_FORK_HEADS);
}

#[test]
fn signatures_of_one_head_are_gathered() {
    let (federation, charters) = branches();
    let [a2, by_others, ..] = &charters[..] else { panic!("five") };
    let mut history = federation.history.clone();
    assert_eq!(history.offer(a2.clone()), Ok(Offered::Accepted));
    assert_eq!(history.offer(a2.clone()), Ok(Offered::Known));
    assert_eq!(history.offer(by_others.clone()), Ok(Offered::MoreSignatures));
    assert_eq!(history.offer(by_others.clone()), Ok(Offered::Known));
    let ordinals: Vec<u32> = history.current().signatures().iter().map(|s| s.ordinal).collect();
    assert_eq!(ordinals, [1, 2, 3, 4, 5]);
}

#[test]
fn a_gap_says_what_to_fetch() {
    let (federation, charters) = branches();
    let mut history = federation.history.clone();
    assert_eq!(history.offer(charters[2].clone()), Ok(Offered::Gap { next: 2 }));
    assert_eq!(history, federation.history);
    assert_eq!(history.at(0), None);
    assert_eq!(history.at(2), None);
}

#[test]
fn what_is_not_valid_changes_nothing() {
    let (federation, charters) = branches();
    let mut history = settle(&federation.history, &charters[..1]);
    let before = history.clone();
    let too_few = sibling(&federation, federation.history.current(), 9, &[1, 2]);
    assert!(matches!(history.offer(too_few), Err(OfferError::Succession { version: 2, .. })));
    assert_eq!(history, before, "two signatures of five are no evidence");
}

#[test]
fn ranges_of_keys_by_purpose() {
    use KeyPurpose::{Checkpoint, Service, Transaction};
    let federation = Federation::found();
    let like = federation.member(HOSPITAL).entry.key(TRANSACTION).expect("a key").clone();
    for (purpose, from, to, at, covers) in [
        (Transaction, 0, None, 0, true),
        (Transaction, 5, None, 4, false),
        (Transaction, 5, None, 5, true),
        (Transaction, 5, None, u64::MAX, true),
        (Transaction, 5, Some(9), 8, true),
        (Transaction, 5, Some(9), 9, false),
        (Transaction, 5, Some(5), 5, false),
        (Transaction, 5, Some(1), 5, false),
        (Checkpoint, 0, None, 0, false),
        (Checkpoint, 0, None, 1, true),
        (Checkpoint, 5, None, 5, false),
        (Checkpoint, 5, None, 6, true),
        (Checkpoint, 5, Some(9), 9, true),
        (Checkpoint, 5, Some(9), 10, false),
        (Service, 2, None, 1, false),
        (Service, 2, None, 2, true),
        (Service, 2, Some(4), 3, true),
        (Service, 2, Some(4), 4, false),
    ] {
        let key = MemberKey { purpose, from, to, ..like.clone() };
        assert_eq!(key.covers(at), covers, "{purpose:?} {from}..{to:?} at {at}");
    }
}

/// Version 2: the hospital has newer keys from position 10 on and closes the old ones there. Version 3: the newer
/// transaction key is revoked from position 12 on.
fn rotated() -> (Federation, u32, u32) {
    let mut federation = Federation::found();
    let id = federation.id();
    let hospital = federation.member_mut(HOSPITAL);
    let transaction = hospital.add_key_like(TRANSACTION, 10, None);
    let checkpoint = hospital.add_key_like(CHECKPOINT, 10, None);
    let card = hospital.card(&id);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.replace_member(&card).expect("a card");
    draft.close_key(&name(HOSPITAL), TRANSACTION, 10).expect("a key");
    draft.close_key(&name(HOSPITAL), CHECKPOINT, 10).expect("a key");
    federation.publish(draft);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.close_key(&name(HOSPITAL), transaction, 12).expect("a key");
    federation.publish(draft);
    (federation, transaction, checkpoint)
}

#[test]
fn a_transaction_key_is_judged_by_the_version_named_and_by_every_later_end() {
    let (federation, newer, newer_checkpoint) = rotated();
    let history = &federation.history;
    let hospital = federation.member(HOSPITAL);
    let key_of = |key_id: u32| KeyVerdict::Key(hospital.keys[&key_id].public());
    let log = federation.log(HOSPITAL);
    for (version, key_id, position, expected) in [
        (0, TRANSACTION, 0, None),
        (1, TRANSACTION, 0, Some(key_of(TRANSACTION))),
        (3, TRANSACTION, 9, Some(key_of(TRANSACTION))),
        // Open in version 1, closed at 10 by version 2.
        (1, TRANSACTION, 10, None),
        (2, TRANSACTION, 10, None),
        // Not listed in version 1, whatever came later.
        (1, newer, 10, None),
        (2, newer, 9, None),
        (2, newer, 10, Some(key_of(newer))),
        (2, newer, 11, Some(key_of(newer))),
        // Revoked by version 3.
        (2, newer, 12, None),
        (3, newer, 12, None),
        (2, 99, 10, None),
        (2, CHECKPOINT, 3, None),
        (2, newer_checkpoint, 11, None),
        (2, SERVICE, 3, None),
        (2, SEALING, 3, None),
        (4, TRANSACTION, 0, Some(KeyVerdict::Waiting)),
        (u64::MAX, TRANSACTION, 0, Some(KeyVerdict::Waiting)),
    ] {
        let verdict = history.transaction_key(&log, version, key_id, position);
        match expected {
            Some(expected) => assert_eq!(verdict, expected, "v{version} key {key_id} {position}"),
            None => assert!(
                matches!(verdict, KeyVerdict::Invalid(_)),
                "v{version} key {key_id} {position}: {verdict:?}"
            ),
        }
    }
    let zero = KeyVerdict::Invalid("there is no charter version 0");
    assert_eq!(history.transaction_key(&log, 0, TRANSACTION, 0), zero);
    let nobodys = sundbro_ledger::ids::LogId::new([9; 32]);
    assert!(matches!(history.transaction_key(&nobodys, 1, 1, 0), KeyVerdict::Invalid(_)));
    assert_eq!(history.transaction_key(&nobodys, 4, 1, 0), KeyVerdict::Waiting);
    assert_eq!(KeyBook::federation_id(history), federation.id());
}

#[test]
fn what_was_taken_is_judged_by_the_version_of_then() {
    let (federation, newer, newer_checkpoint) = rotated();
    let history = &federation.history;
    let hospital = federation.member(HOSPITAL);
    let log = federation.log(HOSPITAL);
    for (version, key_id, position, expected) in [
        // Open in version 1, closed at 10 by version 2; the newer one is revoked from 12 on by version 3.
        (1, TRANSACTION, 10, true),
        (2, TRANSACTION, 10, false),
        (2, newer, 12, true),
        (3, newer, 12, false),
        (3, newer, 11, true),
        (1, newer, 10, false),
        (2, newer, 9, false),
        (2, newer_checkpoint, 11, false),
        // Nothing stands twice, so what is not here was never followed.
        (4, TRANSACTION, 0, false),
        (0, TRANSACTION, 0, false),
    ] {
        let key = hospital.keys[&key_id].public();
        let then = history.transaction_key_then(&log, version, key_id, position);
        let what = format!("v{version} key {key_id} at {position}: {then:?}");
        assert_eq!(then == KeyVerdict::Key(key), expected, "{what}");
        assert_eq!(matches!(then, KeyVerdict::Invalid(_)), !expected, "{what}");
    }
    for (size, key_id, expected) in [
        (10, CHECKPOINT, true),
        (11, CHECKPOINT, true),
        (10, newer_checkpoint, false),
        (11, newer_checkpoint, true),
        (11, TRANSACTION, false),
    ] {
        let checkpoint =
            Checkpoint::new(&federation.origin(HOSPITAL), size, RootHash::new([1; 32]));
        let note = sign_checkpoint(&checkpoint, &hospital.keys[&key_id]);
        let then =
            history.checkpoint_key_then(&UnverifiedCheckpoint::parse(&note).expect("a note"));
        let key = hospital.keys[&key_id].public();
        assert_eq!(then == KeyVerdict::Key(key), expected, "size {size} key {key_id}: {then:?}");
        assert_eq!(matches!(then, KeyVerdict::Invalid(_)), !expected, "nothing stands twice");
    }
}

#[test]
fn entries_that_name_a_forked_version_wait() {
    let (mut federation, charters) = branches();
    let log = federation.log(HOSPITAL);
    let verdict = |history: &CharterHistory, version| {
        matches!(history.transaction_key(&log, version, TRANSACTION, 0), KeyVerdict::Key(_))
    };
    federation.history = settle(&federation.history, &charters[..1]);
    assert!(verdict(&federation.history, 2));
    federation.history = settle(&federation.history, &charters);
    assert!(verdict(&federation.history, 1));
    let waiting = federation.history.transaction_key(&log, 2, TRANSACTION, 0);
    assert_eq!(waiting, KeyVerdict::Waiting);
    let then = |version| federation.history.transaction_key_then(&log, version, TRANSACTION, 0);
    assert_eq!((then(2), then(u64::MAX)), (KeyVerdict::Waiting, KeyVerdict::Waiting));
    assert!(matches!(then(1), KeyVerdict::Key(_)) && matches!(then(0), KeyVerdict::Invalid(_)));
    // A checkpoint by a key that no version lists may be by one that the other head lists.
    let checkpoint = Checkpoint::new(&federation.origin(HOSPITAL), 1, RootHash::new([1; 32]));
    let note = sign_checkpoint(&checkpoint, &common::key("nobody's"));
    let note = UnverifiedCheckpoint::parse(&note).expect("a note");
    assert_eq!(federation.history.checkpoint_key_then(&note), KeyVerdict::Waiting);
    // A log that has named it appends nothing; the others go on under version 1.
    let history = &federation.history;
    assert!(history.may_append(0) && history.may_append(1) && !history.may_append(2));
}

#[test]
fn checkpoint_keys_cover_sizes_and_the_first_one_the_empty_log() {
    let (federation, _, newer) = rotated();
    let history = &federation.history;
    let hospital = federation.member(HOSPITAL);
    let log = federation.log(HOSPITAL);
    for (size, key_id) in
        [(0, CHECKPOINT), (1, CHECKPOINT), (10, CHECKPOINT), (11, newer), (u64::MAX, newer)]
    {
        let keys: Vec<_> = history.checkpoint_keys(&log, size).copied().collect();
        assert_eq!(keys, [hospital.keys[&key_id].public()], "size {size}");
        for (other, key) in &hospital.keys {
            let covers = KeyBook::checkpoint_key_covers(history, &log, size, &key.public());
            assert_eq!(covers, *other == key_id, "size {size} key {other}");
        }
    }
    let note = |size, key_id: u32| {
        let origin = federation.origin(HOSPITAL);
        let checkpoint = Checkpoint::new(&origin, size, RootHash::new([1; 32]));
        let bytes = sign_checkpoint(&checkpoint, &hospital.keys[&key_id]);
        UnverifiedCheckpoint::parse(&bytes).expect("a note")
    };
    let found = |size, key_id| history.checkpoint_key_of(&note(size, key_id)).is_some();
    assert!(found(10, CHECKPOINT) && found(11, newer));
    assert!(!found(11, CHECKPOINT) && !found(10, newer) && !found(11, TRANSACTION));
}

#[test]
fn nothing_counts_past_the_end_of_a_log_epoch() {
    let mut federation = Federation::found();
    let log = federation.log(HOSPITAL);
    let ended = federation.successor(|next| {
        let end = v1::LogEnd { size: 5, root: vec![1; 32].into() };
        next.member(HOSPITAL).log_epochs[0].end = Some(end);
    });
    assert_eq!(federation.history.offer(ended.expect("valid")), Ok(Offered::Accepted));
    let history = &federation.history;
    assert!(matches!(history.transaction_key(&log, 1, TRANSACTION, 4), KeyVerdict::Key(_)));
    assert!(matches!(history.transaction_key(&log, 1, TRANSACTION, 5), KeyVerdict::Invalid(_)));
    // What was taken under version 1 was taken; under version 2 nothing above the end was.
    let then = |version, at| history.transaction_key_then(&log, version, TRANSACTION, at);
    assert!(matches!((then(1, 5), then(2, 4)), (KeyVerdict::Key(_), KeyVerdict::Key(_))));
    assert!(matches!(then(2, 5), KeyVerdict::Invalid(_)));
    assert_eq!(history.checkpoint_keys(&log, 5).count(), 1);
    assert_eq!(history.checkpoint_keys(&log, 6).count(), 0);
    // A receipt has entries and no history: the entry itself says it too.
    let entry = history.current().member(&name(HOSPITAL)).expect("a member");
    assert_eq!([5, 6].map(|size| entry.checkpoint_keys(1, size).count()), [1, 0]);
}

#[test]
fn service_keys_live_and_recorded() {
    let mut federation = Federation::found();
    let id = federation.id();
    let hospital = federation.member_mut(HOSPITAL);
    let newer = hospital.add_key_like(SERVICE, 2, None);
    let card = hospital.card(&id);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.replace_member(&card).expect("a card");
    draft.close_key(&name(HOSPITAL), SERVICE, 2).expect("a key");
    federation.publish(draft);
    let who = name(HOSPITAL);
    let public = |key_id: u32| KeyVerdict::Key(federation.member(HOSPITAL).keys[&key_id].public());
    let (history, member) = (&federation.history, &who);
    // Closed at version 2, the old key still stands under what it signed at version 1; it opens nothing any more.
    assert_eq!(history.service_key(member, 1, SERVICE), public(SERVICE));
    assert!(matches!(history.live_service_key(member, 1, SERVICE), KeyVerdict::Invalid(_)));
    assert!(matches!(history.service_key(member, 2, SERVICE), KeyVerdict::Invalid(_)));
    assert_eq!(history.live_service_key(member, 2, newer), public(newer));
    assert!(matches!(history.live_service_key(member, 1, newer), KeyVerdict::Invalid(_)));
    assert_eq!(history.live_service_key(member, 3, newer), KeyVerdict::Waiting);
    assert!(matches!(history.service_key(member, 2, TRANSACTION), KeyVerdict::Invalid(_)));
    let stranger = name("stranger.example");
    assert!(matches!(history.live_service_key(&stranger, 1, 1), KeyVerdict::Invalid(_)));

    let mut draft = Draft::next(&federation.history).expect("no fork");
    assert_eq!(draft.suspend(&who, commitment).expect("a member"), 2);
    federation.publish(draft);
    let history = &federation.history;
    assert!(matches!(history.live_service_key(&who, 2, newer), KeyVerdict::Invalid(_)));
    assert!(matches!(history.service_key(&who, 2, newer), KeyVerdict::Key(_)));
    assert_eq!(history.newest_subject_epoch(), 2);
    let commitments: Vec<_> =
        history.subject_epochs().iter().map(|epoch| epoch.key_commitment).collect();
    assert_eq!(commitments, [commitment(1), commitment(2)]);
    // Suspension judges no entry.
    let log = federation.log(HOSPITAL);
    assert!(matches!(history.transaction_key(&log, 3, TRANSACTION, 0), KeyVerdict::Key(_)));
    // No subject key is given to who does not take part.
    assert!(history.sealing_key(&who).is_none());
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.reinstate(&who).expect("a member");
    federation.publish(draft);
    let sealing = federation.history.sealing_key(&who).expect("a key");
    assert_eq!(sealing.key_id, SEALING);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_a_history_holds_does_not_depend_on_the_order_of_arrival(
        order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        taken in 1_usize..=5,
    ) {
        let (federation, charters) = branches();
        let mut set: Vec<usize> = order.into_iter().take(taken).collect();
        let shuffled: Vec<Charter> = set.iter().map(|&at| charters[at].clone()).collect();
        set.sort_unstable();
        let sorted: Vec<Charter> = set.iter().map(|&at| charters[at].clone()).collect();
        prop_assert_eq!(
            settle(&federation.history, &shuffled),
            settle(&federation.history, &sorted)
        );
    }

    #[test]
    fn any_valid_successor_is_accepted_and_any_single_signature_removed_is_refused(
        signers in Just(vec![1_u32, 2, 3, 4, 5]).prop_shuffle(),
        added_stewards in 0_usize..3,
        dropped_steward in proptest::option::of(1_u32..=5),
        suspended in proptest::option::of(0_usize..5),
        closed_at in proptest::option::of(1_u64..1000),
        daily_limit in 0_u64..100,
        newcomer in any::<bool>(),
    ) {
        let federation = Federation::found();
        let mut draft = Draft::next(&federation.history).expect("no fork");
        if let Some(ordinal) = dropped_steward {
            draft.remove_steward(ordinal);
        }
        let added: Vec<_> = (0..added_stewards).map(|at| key(&format!("added {at}"))).collect();
        for (at, key) in added.iter().enumerate() {
            draft.add_steward(&format!("Added {at}"), key.public());
        }
        if let Some(at) = suspended {
            draft.suspend(&name(FOUNDERS[at]), commitment).expect("a member");
        }
        if let Some(to) = closed_at {
            draft.close_key(&name(HOSPITAL), TRANSACTION, to).expect("a key");
        }
        if newcomer {
            let member = common::Member::new("late.example");
            draft.add_member(&member.card(&federation.id())).expect("a card");
        }
        draft.set_limits(sundbro_ledger::charter::CharterLimits {
            written_max_format: 0,
            written_max_log_bytes_per_day: daily_limit,
        });
        let mut proposal = draft.propose().expect("a valid draft");
        // Exactly as many as must sign: three of the five before, and whoever is added.
        let of_before = signers.iter().take(3).map(|ordinal| &federation.stewards[ordinal]);
        for key in of_before.chain(&added) {
            proposal.sign(key).expect("a steward");
        }
        let wire = proposal.finish().expect("enough signatures").to_wire();
        let offer = |wire: &v1::Charter| {
            let mut history = federation.history.clone();
            history.offer(Charter::from_wire(wire).expect("valid by itself"))
        };
        prop_assert_eq!(offer(&wire), Ok(Offered::Accepted));
        for at in 0..wire.signatures.len() {
            let mut fewer = wire.clone();
            fewer.signatures.remove(at);
            prop_assert!(
                matches!(offer(&fewer), Err(OfferError::Succession { version: 2, .. })),
                "without signature {}", at
            );
        }
    }
}
