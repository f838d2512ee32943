//! A charter that stood twice and was healed: by whom, in any order of arrival, and what becomes of entries that named it.

mod common;

use std::collections::BTreeSet;

use common::branches::{Branch, WRITER};
use common::retrieval::Retrieval;
use common::{Federation, TRANSACTION, Unsigned};
use proptest::prelude::*;
use prost::Message as _;
use sundbro_ledger::charter::{Charter, SuccessionError};
use sundbro_ledger::drafting::{Draft, DraftError};
use sundbro_ledger::evidence::{Evidence, assemble_evidence, verify_evidence_file};
use sundbro_ledger::history::{CharterHistory, Named, OfferError, Offered};
use sundbro_ledger::log::{KeyBook, KeyVerdict, Refusal};
use sundbro_ledger::member::{MemberKey, PublicKey};
use sundbro_ledger::receipt::{VerdictKind, assemble, verify};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::transaction::SignedTransaction;
use sundbro_proto::ledger::v1;

/// A head after another one that differs in one limit, signed by these stewards.
fn sibling(federation: &Federation, after: &Charter, limit: u64, signers: &[u32]) -> Charter {
    changed(federation, after, signers, |next| {
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: limit });
    })
}

fn changed(
    federation: &Federation,
    after: &Charter,
    signers: &[u32],
    change: impl FnOnce(&mut Unsigned),
) -> Charter {
    let next = Federation::after(after, change);
    let signers = federation.stewards.iter().filter(|(ordinal, _)| signers.contains(ordinal));
    Charter::from_wire(&next.sign(&federation.id(), signers)).expect("valid by itself")
}

/// The version that heals these heads, as the stewards of the founding sign it.
fn heal(federation: &Federation, heads: &[&Charter], limit: u64, signers: &[u32]) -> Charter {
    let base = federation.history.current();
    let version = heads[0].version() + 1;
    changed(federation, base, signers, |next| {
        next.head.version = version;
        let mut previous: Vec<_> = heads.iter().map(|head| *head.digest().as_bytes()).collect();
        previous.sort_unstable();
        next.head.previous = previous.iter().map(|one| one.to_vec().into()).collect();
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: limit });
    })
}

/// A charter with the signature of one steward alone.
fn signed_by(federation: &Federation, charter: &Charter, ordinal: u32) -> Charter {
    let wire = charter.to_wire();
    let key = &federation.stewards[&ordinal];
    let signature = key.sign(Purpose::Charter, &federation.id(), &wire.head);
    let signature = signature.as_bytes().to_vec().into();
    let signatures = vec![v1::StewardSignature { ordinal, signature }];
    Charter::from_wire(&v1::Charter { signatures, ..wire }).expect("valid by itself")
}

fn offer_all<'a>(history: &mut CharterHistory, charters: impl IntoIterator<Item = &'a Charter>) {
    for charter in charters {
        let _ = history.offer(charter.clone()).expect("all of them are valid");
    }
}

/// Offers all, again and again as gossip does, until nothing changes.
fn settle(start: &CharterHistory, charters: &[Charter]) -> CharterHistory {
    let mut history = start.clone();
    loop {
        let before = history.clone();
        offer_all(&mut history, charters);
        if before == history {
            return history;
        }
    }
}

/// Version 2 twice: steward 3 signed both.
fn forked() -> (Federation, Charter, Charter) {
    let federation = Federation::found();
    let first = federation.history.current().clone();
    let a = sibling(&federation, &first, 2, &[1, 2, 3]);
    let b = sibling(&federation, &first, 22, &[3, 4, 5]);
    (federation, a, b)
}

#[test]
fn a_version_that_names_both_heads_heals_and_both_stay_as_evidence() {
    let (federation, a, b) = forked();
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    let next = sibling(&federation, &healing, 8, &[1, 2, 3]);
    let mut history = federation.history.clone();
    offer_all(&mut history, [&a, &b]);
    assert_eq!(history.offer(next.clone()), Ok(Offered::Unhealed { forked: 2 }));
    assert_eq!(history.offer(healing.clone()), Ok(Offered::Accepted));
    assert_eq!((history.in_force(), history.forked_version()), (3, None));
    assert_eq!((history.at(2), history.judging(2)), (None, Some(&healing)));
    assert_eq!(history.offer(next.clone()), Ok(Offered::Accepted));
    let held: BTreeSet<_> = history.charters().map(Charter::digest).collect();
    assert!([&a, &b, &healing, &next].iter().all(|one| held.contains(&one.digest())));
    assert_eq!(history.fork(), None);
    assert!(history.may_append(2), "a log that named the forked version goes on");
}

#[test]
fn whoever_signed_two_heads_does_not_count() {
    let (federation, a, b) = forked();
    let mut history = federation.history.clone();
    offer_all(&mut history, [&a, &b]);
    // Four may heal: of them more than half is three.
    for too_few in [&[1, 3, 4][..], &[1, 2], &[3, 5]] {
        let healing = heal(&federation, &[&a, &b], 7, too_few);
        assert_eq!(history.clone().offer(healing), Ok(Offered::AwaitsHealers { version: 3 }));
    }
    let by_nobody = heal(&federation, &[&a, &b], 7, &[3]);
    assert_eq!(history.offer(by_nobody), Ok(Offered::Unhealed { forked: 2 }));
    let draft = Draft::heal(&history).expect("a fork").propose().expect("a proposal");
    assert_eq!(draft.signed_twice(), BTreeSet::from([3]));
    let signed = |ordinals: &[u32]| {
        let mut proposal = draft.clone();
        for ordinal in ordinals {
            proposal.sign(&federation.stewards[ordinal]).expect("a steward");
        }
        proposal.finish()
    };
    let too_few = SuccessionError::TooFewHealers { signed: 2, needed: 3, excluded: 1 };
    let too_few = OfferError::Succession { version: 3, source: too_few };
    assert_eq!(signed(&[1, 2, 3]), Err(DraftError::Succession(too_few)));
    let healed = signed(&[1, 2, 5]).expect("three of four");
    assert_eq!(history.offer(healed), Ok(Offered::Accepted));
    assert_eq!(Draft::heal(&history).map(|_| ()), Err(DraftError::NotForked));
}

// The three who sign everything are the threshold of this federation, and do not keep it from going on.
#[test]
fn the_others_heal_what_a_majority_signed_twice() {
    let federation = Federation::found();
    let first = federation.history.current().clone();
    let a = sibling(&federation, &first, 2, &[2, 3, 4]);
    let b = sibling(&federation, &first, 22, &[2, 3, 4]);
    let theirs = heal(&federation, &[&a, &b], 5, &[2, 3, 4]);
    let honest = heal(&federation, &[&a, &b], 6, &[1, 5]);
    let history = settle(&federation.history, &[a, b, theirs, honest.clone()]);
    assert_eq!((history.current(), history.forked_version()), (&honest, None));
}

#[test]
fn a_head_that_is_not_here_is_asked_for() {
    let (federation, a, b) = forked();
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    for one in [&a, &b] {
        let mut history = federation.history.clone();
        assert_eq!(history.offer(healing.clone()), Ok(Offered::Gap { next: 2 }));
        offer_all(&mut history, [one]);
        assert_eq!(history.offer(healing.clone()), Ok(Offered::OtherBranch { fetch: 2 }));
        offer_all(&mut history, [&a, &b]);
        assert_eq!(history.offer(healing.clone()), Ok(Offered::Accepted));
    }
    // It heals two of three heads: the third one is evidence, whenever it turns up.
    let first = federation.history.current();
    let c = sibling(&federation, first, 222, &[1, 4, 5]);
    let mut history = settle(&federation.history, &[a.clone(), b.clone(), healing.clone()]);
    assert!(matches!(history.offer(c.clone()), Ok(Offered::Fork(_))));
    assert_eq!(history.in_force(), 3);
    assert_eq!(history, settle(&federation.history, &[c, b, healing, a]));
}

#[test]
fn a_version_that_heals_stands_twice_like_any_other() {
    let (federation, a, b) = forked();
    let one = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    let other = heal(&federation, &[&a, &b], 77, &[2, 4, 5]);
    let mut history = settle(&federation.history, &[a.clone(), b.clone(), one.clone()]);
    assert!(matches!(history.offer(other.clone()), Ok(Offered::Fork(_))));
    assert_eq!((history.in_force(), history.forked_version()), (1, Some(2)));
    // Stewards 2 and 4 signed both of them, so three may go on.
    let again = heal(&federation, &[&one, &other], 8, &[1, 5]);
    assert_eq!(history.offer(again.clone()), Ok(Offered::Accepted));
    assert_eq!((history.in_force(), history.judging(2)), (4, Some(&again)));
}

// Whoever signs the other head after having healed takes part neither for nor against: what is left may be too few.
#[test]
fn a_steward_who_turns_out_to_have_signed_both_does_not_count_any_more() {
    let (federation, a, b) = forked();
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    let next = sibling(&federation, &healing, 8, &[1, 2, 3]);
    let mut history = settle(&federation.history, &[a, b, healing.clone(), next.clone()]);
    assert_eq!(history.in_force(), 4);
    let first = federation.history.current();
    let b_by_others = sibling(&federation, first, 22, &[1, 2, 5]);
    assert_eq!(history.offer(b_by_others), Ok(Offered::MoreSignatures));
    assert_eq!((history.in_force(), history.forked_version()), (1, Some(2)));
    // Of the two who are left, both have to sign it.
    assert_eq!(history.offer(signed_by(&federation, &healing, 5)), Ok(Offered::Accepted));
    assert_eq!(history.offer(next), Ok(Offered::Accepted));
}

#[test]
fn a_history_is_read_back_from_the_charters_that_it_holds() {
    let (federation, a, b) = forked();
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    let waiting = heal(&federation, &[&a, &b], 9, &[1]);
    let next = sibling(&federation, &healing, 8, &[1, 2, 3]);
    let history = settle(&federation.history, &[a, b, healing, waiting, next]);
    assert_eq!(history.charters().count(), 6);
    let mut again = federation.history.clone();
    offer_all(&mut again, history.charters());
    assert_eq!(again, history);
}

/// What gossip may bring: both heads, one with more signatures; a version on top of one; two that heal, one of them in
/// parts; and a version on top.
fn gossip() -> (Federation, Vec<Charter>) {
    let (federation, a, b) = forked();
    let first = federation.history.current().clone();
    let b_by_others = sibling(&federation, &first, 22, &[1, 2, 5]);
    let on_a = sibling(&federation, &a, 3, &[1, 2, 4]);
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    let healing_by_others = signed_by(&federation, &healing, 5);
    let rival = heal(&federation, &[&a, &b], 77, &[4, 5]);
    let next = sibling(&federation, &healing, 8, &[1, 2, 3]);
    let all = vec![a, b, b_by_others, on_a, healing, healing_by_others, rival, next];
    (federation, all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_a_healed_history_holds_does_not_depend_on_the_order_of_arrival(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        taken in 1_usize..=8,
    ) {
        let (federation, charters) = gossip();
        let mut set: Vec<usize> = order.into_iter().take(taken).collect();
        let shuffled: Vec<Charter> = set.iter().map(|&at| charters[at].clone()).collect();
        set.sort_unstable();
        let sorted: Vec<Charter> = set.iter().map(|&at| charters[at].clone()).collect();
        let (one, other) = (settle(&federation.history, &shuffled), settle(&federation.history, &sorted));
        prop_assert_eq!(one.in_force(), other.in_force());
        prop_assert_eq!(one, other);
    }
}

/// A federation whose version 2 stands twice: one head lists another key of the writer.
fn with_a_new_key() -> (Federation, Charter, Charter, MemberKey) {
    let mut federation = Federation::found();
    let writer = federation.member_mut(WRITER);
    let key_id = writer.add_key_like(TRANSACTION, 2, None);
    let key = writer.entry.keys.last().expect("added").clone();
    assert_eq!(key.key_id, key_id);
    let first = federation.history.current().clone();
    let a = changed(&federation, &first, &[1, 2, 3], |next| list(next, &key));
    let b = sibling(&federation, &first, 22, &[3, 4, 5]);
    (federation, a, b, key)
}

fn list(next: &mut Unsigned, key: &MemberKey) {
    let PublicKey::Ed25519(public) = &key.public_key else { panic!("it signs") };
    let like = next.member(WRITER).keys[0].clone();
    let public_key = public.as_bytes().to_vec().into();
    let listed = v1::MemberKey { key_id: key.key_id, from: key.from, public_key, ..like };
    next.member(WRITER).keys.push(listed);
}

#[test]
fn entries_that_named_a_forked_version_are_judged_by_the_one_that_healed_it() {
    let (mut federation, a, b, key) = with_a_new_key();
    let base = federation.history.clone();
    let mut followed = base.clone();
    offer_all(&mut followed, [&a]);
    federation.history = followed;
    let mut log = Branch::new(&federation);
    log.charter_version = 1;
    log.write(b"ab");
    log.charter_version = 2;
    log.transaction_key = key.key_id;
    log.write(b"cd");
    let id = federation.log(WRITER);
    let named = |position: u64| {
        let entry = SignedTransaction::parse(log.entry(position as usize)).expect("an entry");
        Ok::<_, ()>(Named::from(entry.header()))
    };
    let refused = |history: &CharterHistory| {
        history.first_refused(&id, 4, &mut |at| named(at)).expect("no error")
    };
    let position = |refusal: Option<Refusal>| refusal.map(|it| (it.position(), it.code()));
    let verdict = |history: &CharterHistory| history.transaction_key(&id, 2, key.key_id, 2);
    let forked = settle(&base, &[a.clone(), b.clone()]);
    assert_eq!(position(refused(&forked)), Some((2, "CHARTER_VERSION_MISSING")));
    assert_eq!(verdict(&forked), KeyVerdict::Waiting);

    federation.history = base.clone();
    let heads = [&a, &b];
    let forgets = heal(&federation, &heads, 7, &[1, 2, 4]);
    let history = settle(&base, &[a.clone(), b.clone(), forgets]);
    // It lists no such key: whoever took the entry drops its effect, and whoever comes later never takes it.
    assert_eq!(position(refused(&history)), Some((2, "WRONG_KEY")));
    assert!(matches!(verdict(&history), KeyVerdict::Invalid(_)));

    let keeps = healing_with(&federation, heads, |next| list(next, &key));
    let history = settle(&base, &[a.clone(), b.clone(), keeps]);
    assert_eq!(refused(&history), None);
    assert!(matches!(verdict(&history), KeyVerdict::Key(_)));

    let other = MemberKey {
        public_key: PublicKey::Ed25519(common::key("another").public()),
        ..key.clone()
    };
    let replaces = healing_with(&federation, heads, |next| list(next, &other));
    let history = settle(&base, &[a.clone(), b.clone(), replaces]);
    assert_eq!(position(refused(&history)), Some((2, "WRONG_KEY")));
    assert!(matches!(verdict(&history), KeyVerdict::Invalid(_)));
}

fn healing_with(
    federation: &Federation,
    heads: [&Charter; 2],
    change: impl FnOnce(&mut Unsigned),
) -> Charter {
    let base = federation.history.current();
    changed(federation, base, &[1, 2, 4], |next| {
        next.head.version = 3;
        let mut previous = heads.map(|head| *head.digest().as_bytes());
        previous.sort_unstable();
        next.head.previous = previous.map(|one| one.to_vec().into()).to_vec();
        change(next);
    })
}

#[test]
fn receipts_and_evidence_carry_what_was_healed() {
    let (mut federation, a, b) = forked();
    let before = federation.clone();
    let base = federation.history.clone();
    let heads = [a.digest(), b.digest()];
    let healing = heal(&federation, &[&a, &b], 7, &[1, 2, 4]);
    // Everything was signed by one of the two heads, before anybody knew of the other.
    offer_all(&mut federation.history, [&a]);
    let parts = Retrieval::of(&federation).parts();
    let mut one = Branch::new(&federation);
    let mut other = one.clone();
    one.write(b"a");
    other.write(b"b");
    let evidence = Evidence::of_entries(one.entry(0), other.entry(0)).expect("two entries");
    let history = settle(&base, &[a, b, healing]);
    let receipt = assemble(&history, &parts).expect("a receipt");
    assert_eq!((receipt.heads.len(), receipt.members.len()), (4, 2));
    let verdict = verify(&receipt, Some(&federation.id())).expect("valid");
    assert_eq!((verdict.kind(), verdict.newest_charter_version), (VerdictKind::Complete, 3));
    let file = assemble_evidence(&history, &evidence).expect("convincing");
    assert!(verify_evidence_file(&file.encode_to_vec(), Some(&federation.id())).is_ok());

    let refuse = |what: &str, change: &dyn Fn(&mut v1::Receipt)| {
        let mut receipt = receipt.clone();
        change(&mut receipt);
        assert!(verify(&receipt, Some(&federation.id())).is_err(), "{what}");
    };
    refuse("one of the two left out", &|receipt| drop(receipt.heads.remove(1)));
    refuse("the other one left out", &|receipt| drop(receipt.heads.remove(2)));
    refuse("in another order", &|receipt| receipt.heads.swap(1, 2));
    refuse("one of them twice", &|receipt| receipt.heads.insert(1, receipt.heads[1].clone()));
    let c = sibling(&before, before.history.current(), 222, &[1, 4, 5]);
    let place = [&heads[0], &heads[1]].iter().filter(|digest| ***digest < c.digest()).count();
    let third =
        v1::ReceiptHead { head: c.head_bytes().clone(), signatures: c.to_wire().signatures };
    refuse("with one that nobody healed", &|receipt| {
        receipt.heads.insert(1 + place, third.clone())
    });
    refuse("without what healed them", &|receipt| drop(receipt.heads.pop()));
}
