//! What a charter takes back, by the end of a key or by standing twice: who had the entries before, and who comes
//! later, stop at the same one.

mod common;

use common::{CHECKPOINT, FOUNDERS, Federation, SERVICE, TRANSACTION, name};
use proptest::prelude::*;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::{Checkpoint, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::drafting::Draft as CharterDraft;
use sundbro_ledger::history::{CharterHistory, Named, Offered};
use sundbro_ledger::ids::{Commitment, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::transaction::{Audience, Draft, SignedTransaction};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// Charter version 2 with three open TRANSACTION keys, and a log whose entries are signed by them in turn: by the first
/// while version 1 was in force.
fn signed(counts: [u8; 3]) -> (Federation, [u32; 3], Vec<SignedTransaction>) {
    let mut federation = Federation::found();
    let id = federation.id();
    let hospital = federation.member_mut(HOSPITAL);
    let keys = [
        TRANSACTION,
        hospital.add_key_like(TRANSACTION, 0, None),
        hospital.add_key_like(TRANSACTION, 0, None),
    ];
    let card = hospital.card(&id);
    let mut draft = CharterDraft::next(&federation.history).expect("no fork");
    draft.replace_member(&card).expect("a card");
    federation.publish(draft);
    let mut head = LogHead::new(federation.log(HOSPITAL));
    let mut entries = Vec::new();
    for (key_id, count) in keys.into_iter().zip(counts) {
        for _ in 0..count {
            let draft = Draft {
                charter_version: if key_id == TRANSACTION { 1 } else { 2 },
                key_id,
                incarnation: 1,
                recorded_hour: 500_000,
                payload_commitment: Commitment::new([7; 32]),
                payload_size: 64,
                audience: Audience::Federation,
            };
            let entry = head.sign_next(draft, &federation.member(HOSPITAL).keys[&key_id], &id);
            let verified = head.verify(entry.clone(), &federation.history).expect("valid");
            head.append(&verified).expect("next");
            entries.push(entry);
        }
    }
    (federation, keys, entries)
}

/// Where somebody who follows this charter from the start stops or waits, and why.
fn ends_at(
    federation: &Federation,
    entries: &[SignedTransaction],
    history: &CharterHistory,
) -> Option<(u64, &'static str)> {
    let mut head = LogHead::new(federation.log(HOSPITAL));
    for entry in entries {
        match head.verify(entry.clone(), history) {
            Ok(verified) => head.append(&verified).expect("next"),
            Err(refusal) => return Some((refusal.position(), refusal.code())),
        }
    }
    None
}

/// What somebody finds who has all the entries, and at how many of them they looked.
fn finds(
    federation: &Federation,
    entries: &[SignedTransaction],
    history: &CharterHistory,
) -> (Option<(u64, &'static str)>, u32) {
    let mut looked = 0;
    let found =
        history.first_refused(&federation.log(HOSPITAL), entries.len() as u64, &mut |position| {
            looked += 1;
            let place = usize::try_from(position).expect("small");
            entries.get(place).map(|entry| Named::from(entry.header())).ok_or("past the end")
        });
    let found = found.expect("nothing past the end is asked for");
    (found.map(|refusal| (refusal.position(), refusal.code())), looked)
}

/// The hospital's keys end at these positions, and its log epoch at this size.
fn ended(
    federation: &Federation,
    keys: [u32; 3],
    ends: [Option<u64>; 3],
    epoch_end: Option<u64>,
) -> Charter {
    let next = federation.successor(|next| {
        let member = next.member(HOSPITAL);
        for (key_id, to) in keys.into_iter().zip(ends) {
            let key = member.keys.iter_mut().find(|key| key.key_id == key_id).expect("listed");
            key.to = to;
        }
        let end = |size| v1::LogEnd { size, root: vec![1; 32].into() };
        member.log_epochs[0].end = epoch_end.map(end);
    });
    next.expect("valid")
}

fn end() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(1_u64..18)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn who_had_the_entries_ends_where_who_comes_later_does(
        counts in [0_u8..6, 0..6, 0..6],
        ends in [end(), end(), end()],
        epoch_end in prop::option::weighted(0.2, 1_u64..18),
        forked in prop::bool::weighted(0.3),
    ) {
        let (mut federation, keys, entries) = signed(counts);
        prop_assert_eq!(ends_at(&federation, &entries, &federation.history), None);
        prop_assert_eq!(finds(&federation, &entries, &federation.history).0, None);
        if forked {
            // A second version 2, which ends the first key instead.
            let first = federation.history.at(1).expect("version 1");
            let mut other = Federation::after(first, |next| {
                next.member(HOSPITAL).keys[0].to = ends[0];
            });
            other.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: 7 });
            let other = other.sign(&federation.id(), federation.stewards.iter());
            let offered = federation.history.offer(Charter::from_wire(&other).expect("valid"));
            prop_assert!(matches!(offered, Ok(Offered::Fork(_))), "{:?}", offered);
        } else {
            let next = ended(&federation, keys, ends, epoch_end);
            prop_assert_eq!(federation.history.offer(next), Ok(Offered::Accepted));
        }
        let (found, looked) = finds(&federation, &entries, &federation.history);
        prop_assert_eq!(found, ends_at(&federation, &entries, &federation.history));
        prop_assert!(looked <= 2 + 7 * 5, "{} entries for three keys", looked);
    }
}

#[test]
fn routine_closing_takes_nothing_back_and_an_unknown_log_has_nothing() {
    let (mut federation, [first, second, _], entries) = signed([4, 3, 0]);
    let mut draft = CharterDraft::next(&federation.history).expect("no fork");
    // `to` of the old key is the first position that the newer key signed.
    draft.close_key(&name(HOSPITAL), first, 4).expect("a key");
    draft.close_key(&name(HOSPITAL), second, 7).expect("a key");
    federation.publish(draft);
    let history = &federation.history;
    assert_eq!(finds(&federation, &entries, history).0, None);
    assert_eq!(finds(&federation, &[], history), (None, 0));
    let nobodys = sundbro_ledger::ids::LogId::new([9; 32]);
    let named_at = &mut |_| Ok::<_, ()>(Named { charter_version: 1, key_id: 1 });
    assert_eq!(history.first_refused(&nobodys, 7, named_at), Ok(None));
}

#[test]
fn a_key_that_ended_before_it_signed_takes_only_its_own_entries_back() {
    let second_ends = |counts: [u8; 3]| {
        let (mut federation, keys, entries) = signed(counts);
        let end = ended(&federation, keys, [None, Some(2), None], None);
        assert_eq!(federation.history.offer(end), Ok(Offered::Accepted));
        let found = finds(&federation, &entries, &federation.history).0;
        assert_eq!(found, ends_at(&federation, &entries, &federation.history), "{counts:?}");
        found
    };
    assert_eq!(second_ends([4, 0, 0]), None, "it never signed");
    assert_eq!(second_ends([4, 0, 3]), None, "a newer one signed instead");
    assert_eq!(second_ends([4, 1, 3]), Some((4, "WRONG_KEY")));
}

#[test]
fn keys_that_sign_no_entries_of_a_log_cost_it_nothing() {
    let (mut federation, _, entries) = signed([4, 3, 0]);
    let mut draft = CharterDraft::next(&federation.history).expect("no fork");
    draft.close_key(&name(HOSPITAL), CHECKPOINT, 2).expect("a key");
    federation.publish(draft);
    let last_alone = 1;
    assert_eq!(finds(&federation, &entries, &federation.history), (None, last_alone));
}

#[test]
fn a_log_epoch_that_ends_with_the_last_entry_takes_nothing_back() {
    let (mut federation, keys, entries) = signed([4, 3, 0]);
    let end = ended(&federation, keys, [None; 3], Some(7));
    assert_eq!(federation.history.offer(end), Ok(Offered::Accepted));
    assert_eq!(finds(&federation, &entries, &federation.history).0, None);
    let longer = [&entries[..], &entries[6..]].concat();
    assert_eq!(finds(&federation, &longer, &federation.history).0, Some((7, "WRONG_KEY")));
}

#[test]
fn a_checkpoint_key_that_has_ended_is_told_apart_from_one_that_never_was() {
    let federation = Federation::found();
    let ended = |history: &CharterHistory, size, key_id: u32| {
        let origin = federation.origin(HOSPITAL);
        let checkpoint = Checkpoint::new(&origin, size, RootHash::new([1; 32]));
        let note = sign_checkpoint(&checkpoint, &federation.member(HOSPITAL).keys[&key_id]);
        let note = UnverifiedCheckpoint::parse(&note).expect("a note");
        history.ended_checkpoint_key_of(&note).is_some()
    };
    let some_ended = |history: &CharterHistory| history.has_ended_checkpoint_key(&name(HOSPITAL));
    assert!(!ended(&federation.history, 9, CHECKPOINT) && !some_ended(&federation.history));
    let after = |close: &[u32]| {
        let mut draft = CharterDraft::next(&federation.history).expect("no fork");
        for key_id in close {
            draft.close_key(&name(HOSPITAL), *key_id, 5).expect("a key");
        }
        let mut history = federation.history.clone();
        let next = Federation::found().publish(draft);
        assert_eq!(history.offer(next), Ok(Offered::Accepted));
        history
    };
    let history = after(&[CHECKPOINT, TRANSACTION]);
    assert!(!ended(&history, 5, CHECKPOINT) && ended(&history, 6, CHECKPOINT));
    assert!(!ended(&history, 6, TRANSACTION) && !ended(&history, 6, SERVICE));
    assert!(some_ended(&history) && !history.has_ended_checkpoint_key(&name(FOUNDERS[0])));
    assert!(!some_ended(&after(&[TRANSACTION])), "the end of another key says nothing");
    // The end of the log epoch ends its keys too.
    let end = federation.successor(|next| {
        let end = v1::LogEnd { size: 5, root: vec![1; 32].into() };
        next.member(HOSPITAL).log_epochs[0].end = Some(end);
    });
    let mut history = federation.history.clone();
    assert_eq!(history.offer(end.expect("valid")), Ok(Offered::Accepted));
    let at = |size| ended(&history, size, CHECKPOINT);
    assert_eq!([4, 5, 6].map(at), [false, false, true]);
    assert!(!ended(&history, 6, TRANSACTION));
}
