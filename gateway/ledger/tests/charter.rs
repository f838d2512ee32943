//! Every rule between one charter version and the next, broken once: what may change, and who must sign.

mod common;

use common::{FOUNDERS, Federation, SERVICE, TRANSACTION, Unsigned, key, name};
use sundbro_ledger::charter::{Charter, LogBranch, SuccessionError};
use sundbro_ledger::drafting::{Draft, DraftError};
use sundbro_ledger::history::{CharterHistory, OfferError, Offered, refuse_production};
use sundbro_ledger::ids::{FederationId, RootHash};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

fn bytes(len: usize, fill: u8) -> bytes::Bytes {
    vec![fill; len].into()
}

/// What becomes of a successor that `change` made, signed by all five.
fn offered(change: impl FnOnce(&mut Unsigned)) -> Result<Offered, OfferError> {
    let mut federation = Federation::found();
    let charter = federation.successor(change).expect("valid by itself");
    federation.history.offer(charter)
}

fn refused(error: SuccessionError) -> Result<Offered, OfferError> {
    Err(OfferError::Succession { version: 2, source: error })
}

#[test]
fn each_rule_between_versions_refuses_what_breaks_it() {
    type Change = fn(&mut Unsigned);
    let hospital = name(HOSPITAL);
    let key_changed = |key_id| SuccessionError::KeyChanged { name: name(HOSPITAL), key_id };
    let cases: Vec<(&str, Change, SuccessionError)> = vec![
        (
            "a subject epoch taken away",
            |next| next.head.subject_epochs.clear(),
            SuccessionError::SubjectEpochsChanged,
        ),
        (
            "a subject epoch changed",
            |next| next.head.subject_epochs[0].key_commitment = bytes(32, 9),
            SuccessionError::SubjectEpochsChanged,
        ),
        (
            "suspended without a new subject epoch",
            |next| next.member(HOSPITAL).state = 2,
            SuccessionError::NoNewSubjectEpoch { name: hospital.clone() },
        ),
        (
            "left without a new subject epoch",
            |next| next.member(HOSPITAL).state = 3,
            SuccessionError::NoNewSubjectEpoch { name: hospital.clone() },
        ),
        (
            "a member taken off the list",
            |next| {
                next.members.remove(HOSPITAL);
                next.head.authorities[0].members.retain(|name| name != HOSPITAL);
            },
            SuccessionError::MemberMissing { name: hospital.clone() },
        ),
        (
            "a key taken off the list",
            |next| drop(next.member(HOSPITAL).keys.remove(2)),
            key_changed(SERVICE),
        ),
        (
            "a key replaced under its id",
            |next| {
                let other = key("other").public();
                next.member(HOSPITAL).keys[2].public_key =
                    bytes::Bytes::copy_from_slice(other.as_bytes());
            },
            key_changed(SERVICE),
        ),
        (
            "a key that starts later",
            |next| next.member(HOSPITAL).keys[0].from = 1,
            key_changed(TRANSACTION),
        ),
        (
            "a key for another purpose",
            |next| next.member(HOSPITAL).keys[2].purpose = 4,
            key_changed(SERVICE),
        ),
        (
            "a key that is new and covers nothing",
            |next| {
                let keys = &mut next.member(HOSPITAL).keys;
                let public = key("new").public();
                keys.push(v1::MemberKey {
                    key_id: 6,
                    public_key: bytes::Bytes::copy_from_slice(public.as_bytes()),
                    from: 10,
                    to: Some(10),
                    ..keys[0].clone()
                });
            },
            SuccessionError::NewKeyCoversNothing { name: hospital.clone(), key_id: 6 },
        ),
        (
            "a steward's ordinal for another key",
            |next| {
                let other = key("steward Region/other").public();
                next.head.stewards[0].public_key = bytes::Bytes::copy_from_slice(other.as_bytes());
            },
            SuccessionError::StewardOrdinalReused { ordinal: 1 },
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(offered(change), refused(expected), "{what}");
    }
    let other = offered(|next| next.head.previous = vec![bytes(32, 9)]);
    assert_eq!(other, Ok(Offered::OtherBranch { fetch: 1 }));
    // The same changes with what they need are fine.
    assert_eq!(offered(|_| ()), Ok(Offered::Accepted));
    let suspended = offered(|next| {
        next.member(HOSPITAL).state = 2;
        let second = v1::SubjectEpoch { epoch: 2, ..next.head.subject_epochs[0].clone() };
        next.head.subject_epochs.push(second);
    });
    assert_eq!(suspended, Ok(Offered::Accepted));
}

#[test]
fn the_end_of_a_key_is_only_set_or_lowered() {
    for (before, after, valid) in [
        (None, None, true),
        (None, Some(50), true),
        (None, Some(1), true),
        (Some(50), Some(50), true),
        (Some(50), Some(7), true),
        (Some(50), Some(51), false),
        (Some(50), None, false),
    ] {
        let mut federation = Federation::found();
        let set = |to| move |next: &mut Unsigned| next.member(HOSPITAL).keys[0].to = to;
        let second = federation.successor(set(before)).expect("valid by itself");
        assert_eq!(federation.history.offer(second), Ok(Offered::Accepted));
        let third = federation.successor(set(after)).expect("valid by itself");
        let accepted = federation.history.offer(third).is_ok();
        assert_eq!(accepted, valid, "{before:?} then {after:?}");
    }
}

/// Adds a TRANSACTION key under this id.
fn with_key(key_id: u32) -> impl FnOnce(&mut Unsigned) {
    move |next| {
        let keys = &mut next.member(HOSPITAL).keys;
        let public = key(&format!("key {key_id}")).public();
        let public_key = bytes::Bytes::copy_from_slice(public.as_bytes());
        let added = v1::MemberKey { key_id, public_key, ..keys[0].clone() };
        let place = keys.partition_point(|key| key.key_id < key_id);
        keys.insert(place, added);
    }
}

// A log never goes back to a lower key id: had a newer key a lower one, the log would stop for ever at the first entry
// that it signs after an older key.
#[test]
fn a_new_key_has_an_id_above_all_that_were_listed() {
    let mut federation = Federation::found();
    let second = federation.successor(with_key(100)).expect("valid by itself");
    assert_eq!(federation.history.offer(second), Ok(Offered::Accepted), "ids may leave gaps");
    for key_id in [6, 99] {
        let between = federation.successor(with_key(key_id)).expect("valid by itself");
        let source = SuccessionError::NewKeyIdNotAbove { name: name(HOSPITAL), key_id, last: 100 };
        let expected = Err(OfferError::Succession { version: 3, source });
        assert_eq!(federation.history.offer(between), expected, "key {key_id}");
    }
    let above = federation.successor(with_key(101)).expect("valid by itself");
    assert_eq!(federation.history.offer(above), Ok(Offered::Accepted));
}

#[test]
fn log_epochs_only_end_and_follow() {
    let end = |size| Some(v1::LogEnd { size, root: bytes(32, 4) });
    let mut federation = Federation::found();
    let ended = federation.successor(|next| {
        let hospital = next.member(HOSPITAL);
        hospital.log_epochs[0].end = end(9);
        hospital.log_epochs.push(v1::LogEpoch { epoch: 2, end: None });
    });
    assert_eq!(federation.history.offer(ended.expect("valid")), Ok(Offered::Accepted));
    type Change = fn(&mut v1::MemberEntry);
    let changes: [(Change, u32); 3] = [
        (|entry| entry.log_epochs[0].end = Some(v1::LogEnd { size: 8, root: bytes(32, 4) }), 1),
        (|entry| entry.log_epochs[0].end = Some(v1::LogEnd { size: 9, root: bytes(32, 5) }), 1),
        (|entry| entry.log_epochs.truncate(1), 2),
    ];
    for (change, epoch) in changes {
        let charter = federation.successor(|next| change(next.member(HOSPITAL)));
        let error = federation.history.offer(charter.expect("valid by itself"));
        let source = SuccessionError::LogEpochChanged { name: name(HOSPITAL), epoch };
        assert_eq!(error, Err(OfferError::Succession { version: 3, source }));
    }
}

#[test]
fn production_is_for_ever_and_this_version_refuses_it() {
    let mut federation = Federation::found();
    assert_eq!(refuse_production(federation.history.current()), Ok(()));
    let production = federation.successor(|next| next.head.environment = 2).expect("valid");
    assert_eq!(federation.history.offer(production), Ok(Offered::Accepted));
    let reason = refuse_production(federation.history.current()).expect_err("refused");
    assert!(reason.to_string().contains("PRODUCTION"), "{reason}");
    let back = federation.successor(|next| next.head.environment = 1).expect("valid by itself");
    let source = SuccessionError::BackToTest;
    assert_eq!(federation.history.offer(back), Err(OfferError::Succession { version: 3, source }));
}

#[test]
fn a_branch_names_a_log_that_somebody_has() {
    let federation = Federation::found();
    let log = federation.log(HOSPITAL);
    let branch = |log: &[u8]| v1::LogBranch {
        log_id: bytes::Bytes::copy_from_slice(log),
        size: 4,
        root: bytes(32, 1),
    };
    let known = branch(log.as_bytes());
    assert_eq!(offered(|next| next.head.branches = vec![known]), Ok(Offered::Accepted));
    let unknown = branch(&[5; 32]);
    assert!(matches!(
        offered(|next| next.head.branches = vec![unknown]),
        Err(OfferError::BranchOfUnknownLog { .. })
    ));
}

// Were a branch ever exchanged for another, entries that were refused for ever would come back.
#[test]
fn a_branch_that_was_named_stays_named_and_only_grows() {
    let mut federation = Federation::found();
    let log = federation.log(HOSPITAL);
    let branch = |size, root| LogBranch { log_id: log, size, root: RootHash::new([root; 32]) };
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.set_branch(branch(7, 1));
    federation.publish(draft);
    assert_eq!(federation.history.branch_of(&log), Some(&branch(7, 1)));
    let next = |branches: Vec<LogBranch>| {
        let mut draft = Draft::next(&federation.history).expect("no fork");
        branches.into_iter().for_each(|branch| draft.set_branch(branch));
        draft.propose().map(|_| ())
    };
    assert_eq!(next(Vec::new()), Ok(()), "what was named is named again");
    assert_eq!(next(vec![branch(8, 2)]), Ok(()));
    let source = SuccessionError::BranchTakenBack { log };
    let refused = DraftError::Succession(OfferError::Succession { version: 3, source });
    for taken_back in [branch(7, 2), branch(6, 1), branch(0, 1)] {
        assert_eq!(next(vec![taken_back]), Err(refused.clone()));
    }
    let gone = federation.successor(|next| next.head.branches.clear()).expect("valid by itself");
    let source = SuccessionError::BranchTakenBack { log };
    let mut history = federation.history.clone();
    assert_eq!(history.offer(gone), Err(OfferError::Succession { version: 3, source }));
}

#[test]
fn a_threshold_of_the_stewards_before_signs() {
    for signed in 0..=5 {
        let mut federation = Federation::found();
        let signers = federation.stewards.iter().take(signed);
        let wire = federation.next(|_| ()).sign(&federation.id(), signers);
        let charter = Charter::from_wire(&wire).expect("valid by itself");
        let expected = match signed {
            3.. => Ok(Offered::Accepted),
            _ => refused(SuccessionError::TooFewSignatures { signed, threshold: 3 }),
        };
        assert_eq!(federation.history.offer(charter), expected, "{signed} signatures");
    }
}

#[test]
fn signatures_of_strangers_and_wrong_ones_refuse_the_charter() {
    let federation = Federation::found();
    let stranger = key("stranger");
    let offer = |federation_id: &FederationId,
                 extra: Option<(u32, &sundbro_ledger::signing::SigningKey)>| {
        let mut stewards = federation.stewards.clone();
        if let Some((ordinal, key)) = extra {
            stewards.insert(ordinal, key.clone());
        }
        let wire = federation.next(|_| ()).sign(federation_id, &stewards);
        let mut history = federation.history.clone();
        history.offer(Charter::from_wire(&wire).expect("valid by itself"))
    };
    let unknown = SuccessionError::UnknownSteward { ordinal: 6 };
    assert_eq!(offer(&federation.id(), Some((6, &stranger))), refused(unknown));
    let wrong = SuccessionError::BadSignature { ordinal: 2 };
    assert_eq!(offer(&federation.id(), Some((2, &stranger))), refused(wrong));
    let wrong = SuccessionError::BadSignature { ordinal: 1 };
    assert_eq!(offer(&FederationId::FOUNDING, None), refused(wrong), "signed for no federation");
}

#[test]
fn an_added_steward_signs_too_and_an_ordinal_is_never_used_again() {
    let mut federation = Federation::found();
    let newcomer = key("steward newcomer");
    let listed = |next: &mut Unsigned| {
        next.head.stewards.remove(1);
        next.head.stewards.push(v1::Steward {
            ordinal: 6,
            name: "Newcomer".into(),
            public_key: bytes::Bytes::copy_from_slice(newcomer.public().as_bytes()),
        });
    };
    let silent = federation.successor(listed).expect("valid by itself");
    let source = SuccessionError::AddedStewardNotSigned { ordinal: 6 };
    assert_eq!(federation.history.offer(silent), refused(source));

    federation.stewards.insert(6, newcomer.clone());
    let signed = federation.successor(listed).expect("valid by itself");
    assert_eq!(federation.history.offer(signed), Ok(Offered::Accepted));

    // Steward 2 is out. Two versions later its ordinal is still taken, even for the same key.
    let former = federation.stewards.remove(&2).expect("a key");
    let quiet = federation.successor(|_| ()).expect("valid by itself");
    assert_eq!(federation.history.offer(quiet), Ok(Offered::Accepted));
    federation.stewards.insert(2, former.clone());
    let back = federation.successor(|next| {
        next.head.threshold = 4;
        let steward = v1::Steward {
            ordinal: 2,
            name: "Municipality".into(),
            public_key: bytes::Bytes::copy_from_slice(former.public().as_bytes()),
        };
        next.head.stewards.insert(1, steward);
    });
    let source = SuccessionError::StewardOrdinalReused { ordinal: 2 };
    assert_eq!(
        federation.history.offer(back.expect("valid by itself")),
        Err(OfferError::Succession { version: 4, source })
    );
}

#[test]
fn every_steward_signs_the_founding_under_no_federation() {
    let federation = Federation::found();
    let first = federation.history.current();
    let found = |signers: usize, id: &FederationId| {
        let signers = federation.stewards.iter().take(signers);
        let wire = Unsigned::of(first).sign(id, signers);
        CharterHistory::found(Charter::from_wire(&wire).expect("valid by itself"))
    };
    let history = found(5, &FederationId::FOUNDING).expect("a federation");
    assert_eq!(history.federation_id(), federation.id());
    let wrong = |source| Err(OfferError::Succession { version: 1, source });
    assert_eq!(
        found(4, &FederationId::FOUNDING),
        wrong(SuccessionError::AddedStewardNotSigned { ordinal: 5 })
    );
    assert_eq!(found(5, &federation.id()), wrong(SuccessionError::BadSignature { ordinal: 1 }));

    let second = federation.successor(|_| ()).expect("valid");
    assert_eq!(CharterHistory::found(second), Err(OfferError::NotFirst { version: 2 }));
    let expected = FederationId::new([7; 32]);
    assert_eq!(
        CharterHistory::join(&expected, first.clone()),
        Err(OfferError::OtherFederation { expected, found: federation.id() })
    );
}

#[test]
fn a_charter_of_another_federation_is_refused() {
    let mut ours = Federation::found();
    let theirs = Federation::found_by(" elsewhere");
    let offered = ours.history.offer(theirs.history.current().clone());
    assert_eq!(
        offered,
        Err(OfferError::OtherFederation { expected: ours.id(), found: theirs.id() })
    );
    let second = theirs.successor(|_| ()).expect("valid there");
    assert_eq!(ours.history.offer(second), Ok(Offered::OtherBranch { fetch: 1 }));
    assert_eq!(ours.history.in_force(), 1);
}

#[test]
fn authorities_certify_whom_the_charter_says() {
    let federation = Federation::found();
    let ca = federation.history.current().head().authorities[0].certificate_sha256;
    assert!(federation.history.may_certify(&ca, &name(HOSPITAL)));
    assert!(!federation.history.may_certify(&ca, &name("stranger.example")));
    assert!(!federation.history.may_certify(&[0; 32], &name(HOSPITAL)));
}
