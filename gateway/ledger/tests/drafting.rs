//! How members enter, and how a charter is drafted, signed by several offices, and published.

mod common;

use common::{FOUNDERS, Federation, Member, SEALING, SERVICE, TRANSACTION, commitment, key, name};
use prost::Message as _;
use sundbro_ledger::card::{
    CardError, is_signed_as_listed, make_card, make_renewal, verify_card, verify_renewal,
};
use sundbro_ledger::charter::{
    CharterError, CharterLimits, Environment, HeadError, SuccessionError,
};
use sundbro_ledger::drafting::{Draft, DraftError, Proposal};
use sundbro_ledger::history::{CharterHistory, OfferError};
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::member::{Endpoint, MemberEntry, MemberState};
use sundbro_ledger::signing::SigningKey;
use sundbro_proto::ledger::v1;

const NEWCOMER: &str = "late.example";

#[test]
fn a_card_is_the_members_own_word_in_one_federation() {
    let federation = FederationId::new([4; 32]);
    let member = Member::new(NEWCOMER);
    let card = member.card(&federation);
    assert_eq!(verify_card(&card, &federation), Ok(member.entry.clone()));
    // Every key but the sealing one, which cannot sign.
    let signed: Vec<u32> = card.signatures.iter().map(|one| one.key_id).collect();
    assert_eq!(signed, [1, 2, 3, 5]);
    let elsewhere = verify_card(&card, &FederationId::FOUNDING);
    assert_eq!(elsewhere, Err(CardError::BadSignature { key_id: 1 }));
}

#[test]
fn each_rule_of_a_card_refuses_what_breaks_it() {
    type Change = fn(&mut v1::MemberCard);
    let federation = FederationId::new([4; 32]);
    let member = Member::new(NEWCOMER);
    let cases: Vec<(&str, Change, CardError)> = vec![
        (
            "a silent key",
            |card| drop(card.signatures.remove(2)),
            CardError::NotSigned { key_id: 3 },
        ),
        ("no signatures", |card| card.signatures.clear(), CardError::NotSigned { key_id: 1 }),
        ("out of order", |card| card.signatures.swap(0, 1), CardError::Order),
        ("twice", |card| card.signatures.insert(0, card.signatures[0].clone()), CardError::Order),
        (
            "by a key that is not listed",
            |card| card.signatures[3].key_id = 9,
            CardError::UnknownKey { key_id: 9 },
        ),
        (
            "by the sealing key",
            |card| card.signatures[3].key_id = SEALING,
            CardError::UnknownKey { key_id: SEALING },
        ),
        (
            "a short signature",
            |card| card.signatures[0].signature.truncate(63),
            CardError::BadSignature { key_id: 1 },
        ),
        (
            "another entry",
            |card| {
                let mut entry = v1::MemberEntry::decode(card.entry.clone()).expect("an entry");
                entry.endpoint = "elsewhere.example:1".into();
                card.entry = entry.encode_to_vec().into();
            },
            CardError::BadSignature { key_id: 1 },
        ),
    ];
    for (what, change, expected) in cases {
        let mut card = member.card(&federation);
        change(&mut card);
        assert_eq!(verify_card(&card, &federation), Err(expected), "{what}");
    }
    let mut card = member.card(&federation);
    card.entry = common::with_unknown_field(&card.entry).into();
    assert!(matches!(verify_card(&card, &federation), Err(CardError::Entry(_))));
    let all_but_one: Vec<SigningKey> = member.keys.values().skip(1).cloned().collect();
    let made = make_card(&member.entry, &federation, &all_but_one);
    assert_eq!(made, Err(CardError::NotSigned { key_id: 1 }));
}

#[test]
fn a_member_that_lost_a_key_is_given_a_new_one_by_a_card_that_the_new_one_signs() {
    let federation = Federation::found();
    let id = federation.id();
    let mut member = Member::new(FOUNDERS[0]);
    let before = member.entry.clone();
    let fresh = member.add_key_like(TRANSACTION, 0, None);
    let entry = member.entry.clone();
    let held = |key_id: u32| member.keys[&key_id].clone();
    // Without the new key nobody can list it; without any old one it can be listed, and does not tell whose it is.
    let made = |keys: &[SigningKey]| make_renewal(&entry, &before, &id, keys);
    assert_eq!(made(&[]), Err(CardError::NotSigned { key_id: fresh }));
    let by_new = made(&[held(fresh)]).expect("signed");
    assert!(verify_card(&by_new, &id).is_err(), "a newcomer signs with every key");
    assert_eq!(verify_renewal(&by_new, &before, &id), Ok(entry.clone()));
    assert!(!is_signed_as_listed(&by_new, &before));
    let by_both = made(&[held(fresh), held(SERVICE)]).expect("signed");
    assert!(is_signed_as_listed(&by_both, &before));
    let mut forged = by_new.clone();
    forged.signatures.clear();
    assert_eq!(verify_renewal(&forged, &before, &id), Err(CardError::NotSigned { key_id: fresh }));
    let mut draft = Draft::next(&federation.history).expect("no fork");
    assert_eq!(draft.replace_member(&by_new), Ok(name(FOUNDERS[0])));
    assert!(draft.members()[&name(FOUNDERS[0])].key(fresh).is_some());
}

#[test]
fn a_member_enters_by_its_card_for_this_federation() {
    let mut federation = Federation::found();
    let newcomer = Member::new(NEWCOMER);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let founding = newcomer.card(&FederationId::FOUNDING);
    assert!(matches!(draft.add_member(&founding), Err(DraftError::Card(_))));
    assert_eq!(draft.add_member(&newcomer.card(&federation.id())), Ok(name(NEWCOMER)));
    let again = draft.add_member(&newcomer.card(&federation.id()));
    assert_eq!(again, Err(DraftError::AlreadyMember { name: name(NEWCOMER) }));
    federation.publish(draft);
    let entry = federation.history.current().member(&name(NEWCOMER));
    assert!(entry.is_some_and(MemberEntry::is_active));

    let mut idle = Member::new("idle.example");
    idle.entry.state = MemberState::Suspended;
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let refused = draft.add_member(&idle.card(&federation.id()));
    assert_eq!(refused, Err(DraftError::NotActive { name: name("idle.example") }));
}

#[test]
fn steps_on_somebody_or_something_that_is_not_there_are_refused() {
    let federation = Federation::found();
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let (stranger, member) = (name("stranger.example"), name(FOUNDERS[0]));
    let missing = DraftError::NoSuchMember { name: stranger.clone() };
    let endpoint = Endpoint::new("x.example:1").expect("an endpoint");
    assert_eq!(draft.suspend(&stranger, commitment), Err(missing.clone()));
    assert_eq!(draft.let_go(&stranger, commitment), Err(missing.clone()));
    assert_eq!(draft.reinstate(&stranger), Err(missing.clone()));
    assert_eq!(draft.set_endpoint(&stranger, endpoint), Err(missing.clone()));
    assert_eq!(draft.close_key(&stranger, SERVICE, 9), Err(missing.clone()));
    let card = Member::new("stranger.example").card(&federation.id());
    assert_eq!(draft.replace_member(&card), Err(missing));
    let no_key = DraftError::NoSuchKey { name: member.clone(), key_id: 99 };
    assert_eq!(draft.close_key(&member, 99, 9), Err(no_key));
    // A refused step starts no subject epoch.
    assert_eq!(draft.head().newest_subject_epoch(), 1);
}

#[test]
fn members_go_and_come_back() {
    let mut federation = Federation::found();
    let member = name(FOUNDERS[1]);
    for (step, state, epoch) in [
        ("suspend", MemberState::Suspended, 2),
        ("reinstate", MemberState::Active, 2),
        ("let go", MemberState::Left, 3),
    ] {
        let mut draft = Draft::next(&federation.history).expect("no fork");
        match step {
            "suspend" => drop(draft.suspend(&member, commitment).expect("a member")),
            "let go" => drop(draft.let_go(&member, commitment).expect("a member")),
            _ => draft.reinstate(&member).expect("a member"),
        }
        federation.publish(draft);
        let entry = federation.history.current().member(&member).expect("listed for ever");
        assert_eq!((entry.state, federation.history.newest_subject_epoch()), (state, epoch));
    }
    // The default quorums follow the four that are left.
    assert_eq!(federation.history.current().quorums().witness, 2);
}

// A suspended member makes a card with a new key; its card says ACTIVE, as cards do. Taking the card reinstated it,
// without a word to the stewards.
#[test]
fn a_new_card_changes_no_state() {
    let mut federation = Federation::found();
    let member = name(FOUNDERS[1]);
    let id = federation.id();
    let newer = federation.member_mut(FOUNDERS[1]).add_key_like(SERVICE, 1, None);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.suspend(&member, commitment).expect("a member");
    federation.publish(draft);

    let replaced = |federation: &mut Federation, card: &v1::MemberCard| {
        let mut draft = Draft::next(&federation.history).expect("no fork");
        assert_eq!(draft.replace_member(card), Ok(member.clone()));
        federation.publish(draft);
        let entry = federation.history.current().member(&member).expect("listed for ever");
        (entry.state, entry.key(newer).is_some())
    };
    let card = federation.member(FOUNDERS[1]).card(&id);
    assert_eq!(replaced(&mut federation, &card), (MemberState::Suspended, true));

    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.reinstate(&member).expect("a member");
    federation.publish(draft);
    let mut idle = federation.member(FOUNDERS[1]).clone();
    idle.entry.state = MemberState::Left;
    assert_eq!(replaced(&mut federation, &idle.card(&id)), (MemberState::Active, true));
}

#[test]
fn a_proposal_travels_and_gathers_signatures() {
    let federation = Federation::found();
    let history = Some(&federation.history);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let endpoint = Endpoint::new("new.example:7443").expect("an endpoint");
    draft.set_endpoint(&name(FOUNDERS[0]), endpoint).expect("a member");
    let at_first = draft.propose().expect("a proposal");
    let sign = |ordinals: &[u32]| {
        let mut copy = Proposal::from_wire(history, &at_first.to_wire()).expect("a proposal");
        for ordinal in ordinals {
            assert_eq!(copy.sign(&federation.stewards[ordinal]), Ok(*ordinal));
        }
        copy
    };
    let mut ours = sign(&[1, 2]);
    assert_eq!(
        ours.clone().finish().expect_err("too few"),
        DraftError::Succession(OfferError::Succession {
            version: 2,
            source: SuccessionError::TooFewSignatures { signed: 2, threshold: 3 },
        })
    );
    let stranger = key("stranger");
    assert_eq!(ours.sign(&stranger), Err(DraftError::NotASteward));
    ours.take_signatures(&sign(&[2, 4]).to_wire()).expect("right signatures");
    assert_eq!(ours.finish().expect("three").signatures().len(), 3);

    let other = Draft::next(&federation.history).and_then(Draft::propose).expect("a proposal");
    let mut ours = sign(&[1]);
    assert_eq!(ours.take_signatures(&other.to_wire()), Err(DraftError::OtherProposal));
    let mut forged = sign(&[1, 2]).to_wire();
    forged.signatures[0].signature = forged.signatures[1].signature.clone();
    assert!(matches!(ours.take_signatures(&forged), Err(DraftError::Succession(_))));
}

#[test]
fn a_draft_that_breaks_a_rule_is_never_proposed() {
    let federation = Federation::found();
    let broken = |change: fn(&mut Draft)| {
        let mut draft = Draft::next(&federation.history).expect("no fork");
        change(&mut draft);
        draft.propose().expect_err("refused")
    };
    let threshold = HeadError::Threshold { threshold: 2, stewards: 5 };
    assert_eq!(
        broken(|draft| draft.set_threshold(2)),
        DraftError::Charter(CharterError::Head(threshold))
    );
    let quorums = CharterError::Quorums { recovery: 1, witness: 1, others: 4 };
    assert_eq!(broken(|draft| draft.set_quorums(1, 1)), DraftError::Charter(quorums));
    let nobody = CharterError::UnknownCertifiedMember { name: name("zz.example") };
    let certify = |draft: &mut Draft| draft.set_authority(vec![1].into(), [name("zz.example")]);
    assert_eq!(broken(certify), DraftError::Charter(nobody));
    let reopened = broken(|draft| {
        draft.close_key(&name(FOUNDERS[0]), SERVICE, 0).expect("a key");
    });
    assert!(matches!(reopened, DraftError::Charter(CharterError::Member { place: 0, .. })));
}

#[test]
fn stewards_come_and_go_under_ordinals_of_their_own() {
    let mut federation = Federation::found();
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.remove_steward(5);
    assert_eq!(draft.head().threshold, 3, "a majority of four");
    federation.publish(draft);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let newcomer = key("steward newcomer");
    assert_eq!(draft.add_steward("Newcomer", newcomer.public()), 6, "5 was used");
    federation.stewards.insert(6, newcomer);
    federation.publish(draft);
    let ordinals: Vec<u32> =
        federation.history.current().head().stewards.iter().map(|one| one.ordinal).collect();
    assert_eq!(ordinals, [1, 2, 3, 4, 6]);
}

#[test]
fn a_draft_changes_what_it_is_told_and_nothing_else() {
    let federation = Federation::found();
    let mut draft = Draft::next(&federation.history).expect("no fork");
    let before = federation.history.current();
    assert_eq!(draft.members(), before.members());
    let limits = CharterLimits { written_max_format: 1, written_max_log_bytes_per_day: 9 };
    draft.set_limits(limits);
    draft.set_environment(Environment::Production);
    let theirs = before.head().authorities[0].certificate_sha256;
    draft.set_authority(vec![0x31; 64].into(), [name(FOUNDERS[0])]);
    draft.set_authority(vec![0x31; 64].into(), [name(FOUNDERS[1])]);
    let [ours] = draft
        .head()
        .authorities
        .iter()
        .filter(|one| one.certificate_sha256 != theirs)
        .collect::<Vec<_>>()[..]
    else {
        panic!("one CA of ours")
    };
    assert_eq!(ours.members, [name(FOUNDERS[1])], "the later list stands");
    let ours = ours.certificate_sha256;
    draft.remove_authority(&theirs);
    let left: Vec<_> = draft.head().authorities.iter().map(|one| one.certificate_sha256).collect();
    assert_eq!(left, [ours]);
    assert_eq!((draft.head().limits, draft.head().environment), (limits, Environment::Production));
    assert_eq!(draft.head().stewards, before.head().stewards);
}

#[test]
fn a_federation_of_one_can_be_founded() {
    let steward = key("only steward");
    let mut draft = Draft::found(Environment::Test);
    draft.add_steward("Office", steward.public());
    draft.add_member(&Member::new(NEWCOMER).card(&FederationId::FOUNDING)).expect("a card");
    let mut proposal = draft.propose().expect("a proposal");
    assert_eq!(proposal.sign(&steward), Ok(1));
    let history = CharterHistory::found(proposal.finish().expect("signed")).expect("founded");
    assert_eq!((history.in_force(), history.logs().count()), (1, 1));
    let (log, owner) = history.logs().next().expect("one log");
    assert_eq!(history.member_of_log(log), Some(owner));
    assert_eq!((&owner.member, owner.epoch), (&name(NEWCOMER), 1));
    assert!(owner.origin.as_str().starts_with("late.example/"));
}
