//! The rules of the four retrieval messages, each broken once.

mod common;

use common::retrieval::{
    CONTENT, OWNER, REQUESTER, Retrieval, completion_of, grant_of, permission, request, signed,
};
use common::{CHECKPOINT, FOUNDERS, Federation, SERVICE, TRANSACTION, commitment, name};
use prost::Message as _;
use sundbro_ledger::canonical::CanonicalError;
use sundbro_ledger::checkpoint::{Checkpoint, sign_checkpoint};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::ids::RootHash;
use sundbro_ledger::retrieval::{
    CompletionStatus, Decision, Grant, Judging, Message, Permission, PurposeOfUse, Request,
    RetrievalError, Verified, check_registration, verify_acknowledgement, verify_completion,
    verify_grant, verify_request,
};
use sundbro_ledger::signing::Purpose;
use sundbro_proto::ledger::v1;

use Judging::{Live, Recorded};

#[test]
fn the_four_messages_verify_on_both_sides() {
    let federation = Federation::found();
    let history = &federation.history;
    let all = Retrieval::of(&federation);
    for judging in [Live, Recorded] {
        let request = verify_request(&all.request.to_wire(), history, judging).expect("valid");
        assert_eq!(request, all.request);
        let grant = all.grant.to_wire();
        let grant = verify_grant(&grant, &request, history, judging).expect("valid");
        let completion = all.completion.to_wire();
        let completion =
            verify_completion(&completion, &request, &grant, history, judging).expect("valid");
        let answer = all.acknowledgement.to_wire();
        verify_acknowledgement(&answer, &request, &completion, history, judging).expect("valid");
        let permission = grant.body().permission().expect("permitted");
        let (payload, detail) = (&all.registered.payload, &all.registered.detail);
        let shown = check_registration(request.body(), permission, Some(payload), Some(detail));
        assert!(shown.is_ok_and(|shown| shown.record && shown.content));
    }
}

#[test]
fn each_rule_of_a_request_refuses_what_breaks_it() {
    type Change = fn(&mut v1::RetrievalRequest);
    let federation = Federation::found();
    let good = request(&federation.history).to_bytes();
    let changes: [(&str, Change); 22] = [
        ("format 2", |r| r.format = 2),
        ("no charter version", |r| r.charter_version = 0),
        ("no key", |r| r.key_id = 0),
        ("no requester", |r| r.requester.clear()),
        ("an owner that is no name", |r| r.owner = "GP".into()),
        ("an owner that the record does not name", |r| r.owner = "gp.example".into()),
        ("no record", |r| r.record = None),
        ("no record id", |r| r.record.as_mut().expect("record").record = None),
        ("record version 0", |r| r.record.as_mut().expect("record").version = 0),
        ("a short record id", |r| {
            let object = r.record.as_mut().and_then(|record| record.record.as_mut());
            object.expect("id").id = vec![1; 15].into();
        }),
        ("no user", |r| r.user.clear()),
        ("a long user", |r| r.user = "u".repeat(129)),
        ("a user with a line break", |r| r.user = "u\n".into()),
        ("no role", |r| r.role.clear()),
        ("a long role", |r| r.role = "r".repeat(65)),
        ("an empty unit", |r| r.unit = Some(v1::Identifier::default())),
        ("a long unit", |r| r.unit.as_mut().expect("unit").value = "1".repeat(129)),
        ("no purpose", |r| r.purpose = 0),
        ("a negative break-glass reason", |r| r.break_glass_reason = -1),
        ("no assurance", |r| r.assurance = 0),
        ("a short nonce", |r| r.nonce = vec![1; 15].into()),
        ("a time before 1970", |r| r.requested_unix_seconds = -1),
    ];
    for (what, change) in changes {
        let mut wire = v1::RetrievalRequest::decode(good.clone()).expect("a request");
        change(&mut wire);
        assert!(Request::parse(&wire.encode_to_vec()).is_err(), "{what}");
    }
    let unknown = common::with_unknown_field(&good);
    assert!(matches!(Request::parse(&unknown), Err(RetrievalError::Canonical { .. })));
    let mut wire = v1::RetrievalRequest::decode(good.clone()).expect("a request");
    wire.requested_unix_seconds = 0;
    assert!(Request::parse(&wire.encode_to_vec()).is_ok(), "1970 itself");
    // A purpose from the future is kept for the policy, which denies what it does not know.
    let mut wire = v1::RetrievalRequest::decode(good).expect("a request");
    wire.purpose = 77;
    let parsed = Request::parse(&wire.encode_to_vec()).expect("a request");
    assert_eq!(parsed.purpose, PurposeOfUse::Other(77));
}

#[test]
fn debug_never_shows_who_asks() {
    let federation = Federation::found();
    let all = Retrieval::of(&federation);
    // As text, and as a list of bytes.
    for shown in [format!("{:?}", all.request), format!("{:?}", all.parts())] {
        assert!(!shown.contains("4711") && !shown.contains("52, 55, 49, 49"), "{shown}");
    }
    // It does show what is asked of whom.
    assert!(format!("{:?}", all.request).contains("record_version: 1"));
    assert_eq!(all.request.bytes(), &all.request.to_wire().message);
}

#[test]
fn a_message_counts_for_one_signer_purpose_and_federation() {
    let federation = Federation::found();
    let history = &federation.history;
    let body = request(history);
    let bytes = body.to_bytes();
    let by = |who: &str, key_id: u32, purpose, id| {
        let key = &federation.member(who).keys[&key_id];
        let signature = key.sign(purpose, &id, &bytes).as_bytes().to_vec().into();
        let wire = v1::SignedMessage { message: bytes.clone(), signature };
        verify_request(&wire, history, Live).err()
    };
    let id = federation.id();
    let wrong = Some(RetrievalError::Signature { message: "request" });
    assert_eq!(by(REQUESTER, SERVICE, Purpose::Request, id), None);
    assert_eq!(by(OWNER, SERVICE, Purpose::Request, id), wrong);
    assert_eq!(by(REQUESTER, TRANSACTION, Purpose::Request, id), wrong);
    assert_eq!(by(REQUESTER, SERVICE, Purpose::Grant, id), wrong);
    let elsewhere = sundbro_ledger::ids::FederationId::new([1; 32]);
    assert_eq!(by(REQUESTER, SERVICE, Purpose::Request, elsewhere), wrong);
    let short = v1::SignedMessage { message: bytes.clone(), signature: vec![1; 63].into() };
    assert_eq!(verify_request(&short, history, Live).err(), wrong);

    let with = |change: fn(&mut Request)| {
        let mut body = request(history);
        change(&mut body);
        let signed = signed(&federation, federation.member(REQUESTER), body);
        verify_request(&signed.to_wire(), history, Live).err()
    };
    let waiting = RetrievalError::Waiting { message: "request", version: 2 };
    assert_eq!(with(|body| body.charter_version = 2), Some(waiting));
    assert!(matches!(with(|body| body.key_id = TRANSACTION), Some(RetrievalError::Key { .. })));
    assert!(matches!(with(|body| body.key_id = 99), Some(RetrievalError::Key { .. })));
    let stranger = |body: &mut Request| body.requester = name("stranger.example");
    assert!(matches!(with(stranger), Some(RetrievalError::Key { .. })));
}

#[test]
fn a_suspended_member_asks_in_vain_and_its_old_requests_stay_provable() {
    let mut federation = Federation::found();
    let all = Retrieval::of(&federation);
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.suspend(&name(REQUESTER), commitment).expect("a member");
    federation.publish(draft);
    let wire = all.request.to_wire();
    let live = verify_request(&wire, &federation.history, Live);
    assert!(matches!(live, Err(RetrievalError::Key { .. })));
    assert!(verify_request(&wire, &federation.history, Recorded).is_ok());
}

/// What becomes of a grant whose permission a test changes.
fn granted(
    federation: &Federation,
    change: impl FnOnce(&mut Permission),
) -> Result<Verified<Grant>, RetrievalError> {
    let all = Retrieval::of(federation);
    let mut permission = permission(&all.registered);
    change(&mut permission);
    let grant = grant_of(&all.request, Decision::Permitted(Box::new(permission)));
    let grant = signed(federation, federation.member(OWNER), grant);
    verify_grant(&grant.to_wire(), &all.request, &federation.history, Live)
}

#[test]
fn a_grant_proves_its_entry_down_to_the_owners_checkpoint() {
    let federation = Federation::found();
    assert!(granted(&federation, |_| ()).is_ok());

    let no_entry = granted(&federation, |p| p.entry = vec![1; 70].into());
    assert_eq!(no_entry.err(), Some(RetrievalError::Entry));
    let bad_signature = granted(&federation, |p| {
        let mut entry = p.entry.to_vec();
        *entry.last_mut().expect("bytes") ^= 1;
        p.entry = entry.into();
    });
    assert_eq!(bad_signature.err(), Some(RetrievalError::Signature { message: "entry" }));
    let bad_proof = granted(&federation, |p| p.inclusion_proof.clear());
    assert!(matches!(bad_proof, Err(RetrievalError::NotIncluded(_))));

    let note = |who: &str, of: &str, key_id: u32, size| {
        let origin = federation.origin(of);
        let checkpoint = Checkpoint::new(&origin, size, RootHash::new([1; 32]));
        sign_checkpoint(&checkpoint, &federation.member(who).keys[&key_id])
    };
    for (what, note) in [
        ("no note", b"note".to_vec()),
        ("of another log", note(REQUESTER, REQUESTER, CHECKPOINT, 3)),
        ("by another member", note(REQUESTER, OWNER, CHECKPOINT, 3)),
        ("by another key", note(OWNER, OWNER, TRANSACTION, 3)),
    ] {
        let granted = granted(&federation, |p| p.checkpoint = note.into());
        assert!(matches!(granted, Err(RetrievalError::Checkpoint(_))), "{what}");
    }
    for (what, size) in [("of another root", 3), ("that does not cover it", 2)] {
        let note = note(OWNER, OWNER, CHECKPOINT, size);
        let granted = granted(&federation, |p| p.checkpoint = note.into());
        assert!(matches!(granted, Err(RetrievalError::NotIncluded(_))), "{what}");
    }
}

#[test]
fn an_entry_of_another_members_log_grants_nothing() {
    let federation = Federation::found();
    let all = Retrieval::of(&federation);
    let mut elsewhere = request(&federation.history);
    (elsewhere.owner, elsewhere.record.member) = (name(FOUNDERS[0]), name(FOUNDERS[0]));
    let asked = signed(&federation, federation.member(REQUESTER), elsewhere);
    let decision = Decision::Permitted(Box::new(permission(&all.registered)));
    let grant = signed(&federation, federation.member(FOUNDERS[0]), grant_of(&asked, decision));
    let verified = verify_grant(&grant.to_wire(), &asked, &federation.history, Live);
    assert_eq!(verified.err(), Some(RetrievalError::NotTheOwnersLog));
}

#[test]
fn each_rule_of_a_grant_refuses_what_breaks_it() {
    type Change = fn(&mut v1::RetrievalGrant);
    let federation = Federation::found();
    let all = Retrieval::of(&federation);
    let refusal = grant_of(&all.request, Decision::Refused).to_bytes();
    let changes: [(&str, bool, Change); 15] = [
        ("format 2", true, |g| g.format = 2),
        ("no outcome", true, |g| g.outcome = 0),
        ("an outcome from the future", true, |g| g.outcome = 3),
        ("no request", true, |g| g.request_sha256.clear()),
        ("no policy", true, |g| g.policy_sha256.clear()),
        ("no rule", true, |g| g.rule.clear()),
        ("a long rule", true, |g| g.rule = "r".repeat(257)),
        ("no content digest", true, |g| g.expected_sha256.clear()),
        ("a long proof", true, |g| g.inclusion_proof = vec![vec![1; 32].into(); 65]),
        ("a short hash", true, |g| g.inclusion_proof = vec![vec![1; 31].into()]),
        ("no charter version", true, |g| g.charter_version = 0),
        ("a refusal with a rule", false, |g| g.rule = "why".into()),
        ("a refusal with an entry", false, |g| g.entry = vec![1].into()),
        ("a refusal with a size", false, |g| g.expected_size_bytes = 1),
        ("a refusal with a checkpoint", false, |g| g.checkpoint = vec![1].into()),
    ];
    for (what, permitted, change) in changes {
        let good = if permitted { all.grant.bytes().clone() } else { refusal.clone() };
        let mut wire = v1::RetrievalGrant::decode(good).expect("a grant");
        change(&mut wire);
        assert!(Grant::parse(&wire.encode_to_vec()).is_err(), "{what}");
    }
}

#[test]
fn a_grant_may_have_73_728_bytes_and_no_more() {
    let federation = Federation::found();
    let all = Retrieval::of(&federation);
    let mut wire = v1::RetrievalGrant::decode(all.grant.bytes().clone()).expect("a grant");
    let mut padded = |len: usize| {
        // A length of three bytes, whatever it is here.
        wire.checkpoint = vec![1; 70_000].into();
        wire.checkpoint = vec![1; 70_000 + len - wire.encoded_len()].into();
        assert_eq!(wire.encoded_len(), len);
        Grant::parse(&wire.encode_to_vec()).err()
    };
    assert_eq!(padded(73_728), None);
    let too_large = CanonicalError::TooLarge { len: 73_729, max: 73_728 };
    let refused = RetrievalError::Canonical { message: "grant", source: too_large };
    assert_eq!(padded(73_729), Some(refused));
}

#[test]
fn complete_means_what_was_granted() {
    let federation = Federation::found();
    let all = Retrieval::of(&federation);
    let owner = federation.member(OWNER);
    let verified = |bytes_sent, status| {
        let mut completion = completion_of(&all.grant, status);
        completion.bytes_sent = bytes_sent;
        let wire = signed(&federation, owner, completion).to_wire();
        verify_completion(&wire, &all.request, &all.grant, &federation.history, Live).err()
    };
    let whole = CONTENT.len() as u64;
    let contradicts = Some(RetrievalError::CompletionContradictsGrant);
    assert_eq!(verified(whole, CompletionStatus::Complete), None);
    assert_eq!(verified(whole - 1, CompletionStatus::Complete), contradicts);
    assert_eq!(verified(whole - 1, CompletionStatus::Aborted), None);
}

#[test]
fn what_would_not_be_accepted_is_not_signed() {
    let federation = Federation::found();
    let mut body = request(&federation.history);
    body.role.clear();
    let key = &federation.member(REQUESTER).keys[&SERVICE];
    let refused = Verified::sign(body, key, &federation.id());
    assert!(matches!(refused, Err(RetrievalError::Field { message: "request", .. })));
}
