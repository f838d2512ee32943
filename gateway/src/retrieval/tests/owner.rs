//! What the owner serves, what it does not, and what its audit log says by then.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sundbro_ledger::ids::RecordId;
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Assurance, CompletionStatus, Grant, Judging,
    PurposeOfUse, Request, Verified, verify_completion, verify_grant,
};
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::federation::v1::{AcknowledgeRetrievalRequest, RetrieveRecordRequest};
use sundbro_proto::ledger::v1::SignedMessage;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::super::owner::Owner;
use super::*;

/// A request of the municipality, changed as a test wants.
pub(super) fn ask(world: &World, change: impl FnOnce(&mut Request)) -> Verified<Request> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).expect("random");
    let make = |charter_version, key_id| {
        let mut request = Request {
            requester: name(KOMMUNE),
            owner: name(HOSPITAL),
            record: record(RECORD),
            record_version: 1,
            charter_version,
            key_id,
            user: "user-1".to_owned(),
            role: "health-visitor".to_owned(),
            unit: None,
            purpose: PurposeOfUse::Treatment,
            break_glass_reason: None,
            assurance: Assurance::ClientAsserted,
            nonce,
            requested_unix_seconds: NOW / 1000,
        };
        change(&mut request);
        request
    };
    world.kommune.signer.sign(make).expect("signed")
}

/// What a test changes in a request.
type Change = Box<dyn FnOnce(&mut Request)>;

/// Everything that came, and how it ended.
pub(super) struct Answer {
    pub(super) grant: Option<SignedMessage>,
    pub(super) data: Vec<u8>,
    completion: Option<SignedMessage>,
    pub(super) end: Result<(), Status>,
}

async fn retrieve(line: &Line, request: SignedMessage) -> Answer {
    let mut answer = Answer { grant: None, data: Vec::new(), completion: None, end: Ok(()) };
    let mut client = RetrievalServiceClient::new(line.channel());
    let message = RetrieveRecordRequest { request: Some(request) };
    let mut stream = match client.retrieve_record(message).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Answer { end: Err(status), ..answer },
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => match message.part.expect("a part") {
                Part::Grant(grant) => answer.grant = Some(grant),
                Part::Data(data) => {
                    assert!(data.len() <= 262_144);
                    answer.data.extend_from_slice(&data);
                }
                Part::Completion(completion) => answer.completion = Some(completion),
            },
            Ok(None) => return answer,
            Err(status) => return Answer { end: Err(status), ..answer },
        }
    }
}

pub(super) async fn retrieve_from(owner: Arc<Owner>, request: &Verified<Request>) -> Answer {
    retrieve(&Line::to(owner, KOMMUNE), request.to_wire()).await
}

/// Waits until the owner sends nothing any more: for the end of every transfer, or of its patience with the reader.
async fn idle(owner: Arc<Owner>) {
    let stopped = CancellationToken::new();
    stopped.cancel();
    owner.run(stopped).await;
}

/// Code and reason of an answer that brought no record.
pub(super) async fn refused(owner: Arc<Owner>, request: &Verified<Request>) -> (Code, String) {
    let answer = retrieve_from(owner, request).await;
    assert!(answer.grant.is_none() && answer.data.is_empty() && answer.completion.is_none());
    let status = answer.end.expect_err("refused");
    (status.code(), reason(&status).0)
}

#[tokio::test]
async fn a_permitted_record_comes_whole_with_grant_and_completion() {
    let world = World::new();
    let request = ask(&world, |_| {});
    let answer = retrieve_from(world.owner(), &request).await;
    assert!(answer.end.is_ok());
    assert_eq!(answer.data, content());

    let history = world.kommune.charter.history();
    let grant = verify_grant(&answer.grant.expect("grant"), &request, &history, Judging::Live);
    let grant = grant.expect("valid");
    let permission = grant.body().permission().expect("permitted");
    assert_eq!(permission.rule, "treating-staff");
    assert_eq!(permission.expected_size_bytes, 600_000);
    let completion = answer.completion.expect("completion");
    let completion = verify_completion(&completion, &request, &grant, &history, Judging::Live);
    assert_eq!(completion.expect("valid").body().status, CompletionStatus::Complete);

    assert_eq!(world.hospital.audit_kinds(), ["REQUEST_RECEIVED", "GRANTED", "COMPLETED"]);
    let audit = world.hospital.audit();
    assert_eq!((audit[1].rule.as_str(), audit[1].permitted), ("treating-staff", true));
    assert_eq!((audit[0].peer.as_str(), audit[0].role.as_str()), (KOMMUNE, "health-visitor"));
    assert_eq!(audit[0].purpose, "PURPOSE_OF_USE_TREATMENT");
}

#[tokio::test]
async fn refused_and_unknown_are_the_same_bytes() {
    let world = World::new();
    let owner = world.owner();
    let unknown =
        |request: &mut Request| request.record = RecordId { id: [9; 16], ..record(RECORD) };
    let cases: [(&str, Change, &str); 4] = [
        ("refused", Box::new(|request| request.role = "clerk".to_owned()), "default-deny"),
        ("unknown, and the policy permits", Box::new(unknown), "no-such-record"),
        (
            "a version that never was",
            Box::new(|request| request.record_version = 2),
            "no-such-record",
        ),
        (
            "unknown, and the policy refuses",
            Box::new(|request| {
                request.role = "clerk".to_owned();
                request.record.id = [9; 16];
            }),
            "default-deny",
        ),
    ];
    let mut shapes = Vec::new();
    for (what, change, rule) in cases {
        let request = ask(&world, change);
        let answer = retrieve_from(owner.clone(), &request).await;
        assert!(answer.data.is_empty() && answer.completion.is_none(), "{what}");
        let history = world.kommune.charter.history();
        let grant = answer.grant.expect("a refusing grant");
        let grant = verify_grant(&grant, &request, &history, Judging::Live).expect("valid");
        let status = answer.end.expect_err(what);
        assert_eq!(status.code(), Code::PermissionDenied, "{what}");
        let entry = world.hospital.audit().pop().expect("audit");
        assert_eq!((entry.kind.as_str(), entry.rule.as_str()), ("REFUSED", rule), "{what}");
        // All that may differ is the digest of the request that each one answers.
        let zero = sundbro_ledger::ids::MessageDigest::new([0; 32]);
        let body = Grant { request: zero, ..grant.body().clone() };
        shapes.push((body, status.message().to_owned(), status.details().to_vec()));
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]));
    assert_eq!(world.source.opened.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_counts_once_for_its_peer_its_owner_and_its_time() {
    let world = World::new();
    let owner = world.owner();
    let seconds = NOW / 1000;

    let request = ask(&world, |_| {});
    let other = Line::to(owner.clone(), HOSPITAL);
    let status = retrieve(&other, request.to_wire()).await.end.expect_err("another peer");
    assert_eq!(
        (status.code(), reason(&status).0.as_str()),
        (Code::PermissionDenied, "NOT_THE_REQUESTER")
    );

    let elsewhere = ask(&world, |request| {
        request.owner = name(KOMMUNE);
        request.record.member = name(KOMMUNE);
    });
    let other_owner = (Code::InvalidArgument, "OTHER_OWNER".to_owned());
    assert_eq!(refused(owner.clone(), &elsewhere).await, other_owner);

    let not_fresh = (Code::FailedPrecondition, "REQUEST_NOT_FRESH".to_owned());
    for (at, fresh) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let request = ask(&world, |request| request.requested_unix_seconds = seconds + at);
        if fresh {
            assert!(retrieve_from(owner.clone(), &request).await.end.is_ok(), "{at}");
        } else {
            assert_eq!(refused(owner.clone(), &request).await, not_fresh, "{at}");
        }
    }

    assert!(retrieve_from(owner.clone(), &request).await.end.is_ok());
    let used = (Code::AlreadyExists, "NONCE_USED".to_owned());
    assert_eq!(refused(owner.clone(), &request).await, used);
    // A refused request is used up as well.
    let request = ask(&world, |request| request.role = "clerk".to_owned());
    assert!(retrieve_from(owner.clone(), &request).await.grant.is_some());
    assert_eq!(refused(owner.clone(), &request).await, used);

    let mut forged = request.to_wire();
    forged.signature = vec![1; 64].into();
    let status = retrieve(&Line::to(owner, KOMMUNE), forged).await.end.expect_err("forged");
    assert_eq!(
        (status.code(), reason(&status).0.as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
}

#[test]
fn a_nonce_stays_used_after_a_restart() {
    let mut world = World::new();
    let request = ask(&world, |_| {});
    process(async { assert!(retrieve_from(world.owner(), &request).await.end.is_ok()) });
    let hospital = std::mem::replace(&mut world.hospital, Site::new(HOSPITAL, &found()));
    world.hospital = hospital.restart();
    let used = (Code::AlreadyExists, "NONCE_USED".to_owned());
    process(async { assert_eq!(refused(world.owner(), &request).await, used) });
}

#[tokio::test]
async fn who_is_suspended_is_not_served_and_does_not_serve() {
    let inactive = (Code::PermissionDenied, "MEMBER_NOT_ACTIVE".to_owned());
    for member in [KOMMUNE, HOSPITAL] {
        let world = World::new();
        let request = ask(&world, |_| {});
        world.suspend(member);
        assert_eq!(refused(world.owner(), &request).await, inactive, "{member}");
    }
}

#[tokio::test]
async fn withdrawn_and_superseded_are_told_only_to_whom_policy_permits() {
    let world = World::new();
    world.register_next();
    let answer = retrieve_from(world.owner(), &ask(&world, |_| {})).await;
    let status = answer.end.expect_err("superseded");
    let (code, metadata) = reason(&status);
    assert_eq!((status.code(), code.as_str()), (Code::FailedPrecondition, "SUPERSEDED"));
    assert_eq!(metadata.get("current_version").map(String::as_str), Some("2"));
    world.withdraw();
    let withdrawn = (Code::NotFound, "RECORD_WITHDRAWN".to_owned());
    assert_eq!(refused(world.owner(), &ask(&world, |_| {})).await, withdrawn);
    let clerk = ask(&world, |request| request.role = "clerk".to_owned());
    let status = retrieve_from(world.owner(), &clerk).await.end.expect_err("refused");
    assert_eq!(reason(&status).0, "NOT_AVAILABLE");
    let kinds = world.hospital.audit_kinds();
    let expected =
        ["SUPERSEDED", "REQUEST_RECEIVED", "RECORD_WITHDRAWN", "REQUEST_RECEIVED", "REFUSED"];
    assert_eq!(kinds[1..], expected);
}

#[tokio::test]
async fn a_source_that_changed_is_ingested_before_the_answer() {
    let world = Arc::new(World::new());
    world.set_mode(Mode::ChangedOnOpen);
    let registering = world.clone();
    let owner = world.owner_of(&world.hospital, move || registering.register_next());
    let answer = retrieve_from(owner, &ask(&world, |_| {})).await;
    let status = answer.end.expect_err("superseded");
    let (code, metadata) = reason(&status);
    assert_eq!((status.code(), code.as_str()), (Code::FailedPrecondition, "SUPERSEDED"));
    assert_eq!(metadata.get("current_version").map(String::as_str), Some("2"));
    assert!(answer.grant.is_none() && answer.data.is_empty());
    assert_eq!(world.ingested.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_source_that_was_only_touched_opens_after_it_was_read_again() {
    let world = World::new();
    world.set_mode(Mode::ChangedOnOpen);
    let source = world.source.clone();
    let owner =
        world.owner_of(&world.hospital, move || *source.mode.lock().expect("lock") = Mode::Whole);
    let answer = retrieve_from(owner, &ask(&world, |_| {})).await;
    assert!(answer.end.is_ok());
    assert_eq!(answer.data, content());
}

/// Whoever asked may go away at any byte; what they were sent stands in the owner's audit log all the same.
#[tokio::test]
async fn a_client_that_goes_away_leaves_an_aborted_completion() {
    let world = World::new();
    world.set_mode(Mode::InSmallPieces);
    let request = ask(&world, |_| {});
    let line = Line::to(world.owner(), KOMMUNE);
    let mut client = RetrievalServiceClient::new(line.channel());
    let message = RetrieveRecordRequest { request: Some(request.to_wire()) };
    let mut stream = client.retrieve_record(message).await.expect("permitted").into_inner();
    let mut next = async || stream.message().await.expect("goes on").expect("a part").part;
    assert!(matches!(next().await, Some(Part::Grant(_))));
    assert!(matches!(next().await, Some(Part::Data(_))));
    drop(stream);
    let aborted = async {
        while world.hospital.audit_kinds() != ["REQUEST_RECEIVED", "GRANTED", "ABORTED"] {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, aborted).await.expect("before the owner gives up waiting");
}

#[tokio::test]
async fn other_bytes_than_registered_end_in_data_loss_and_an_aborted_completion() {
    for (mode, code, expected) in [
        (Mode::OtherBytes, Code::DataLoss, "DIGEST_MISMATCH"),
        (Mode::ChangedWhileRead, Code::DataLoss, "DIGEST_MISMATCH"),
        (Mode::Longer, Code::DataLoss, "DIGEST_MISMATCH"),
        (Mode::Fails, Code::Unavailable, "SOURCE_UNAVAILABLE"),
    ] {
        let world = World::new();
        world.set_mode(mode);
        let request = ask(&world, |_| {});
        let answer = retrieve_from(world.owner(), &request).await;
        let status = answer.end.expect_err("not a document");
        assert_eq!((status.code(), reason(&status).0.as_str()), (code, expected), "{mode:?}");
        assert_eq!(world.hospital.audit_kinds(), ["REQUEST_RECEIVED", "GRANTED", "ABORTED"]);
        let history = world.kommune.charter.history();
        let grant = verify_grant(&answer.grant.expect("grant"), &request, &history, Judging::Live);
        let completion = verify_completion(
            &answer.completion.expect("completion"),
            &request,
            &grant.expect("valid"),
            &history,
            Judging::Live,
        )
        .expect("valid");
        assert_eq!(completion.body().status, CompletionStatus::Aborted);
        assert_eq!(completion.body().bytes_sent, answer.data.len() as u64);
    }
}

/// The wire ends with OK when the stream does, so a requester that stalled must still find the end in it.
#[tokio::test]
async fn a_requester_that_stalls_still_reads_how_it_ended() {
    for (mode, expected) in [(Mode::Whole, None), (Mode::OtherBytes, Some("DIGEST_MISMATCH"))] {
        let world = World::new();
        world.set_mode(mode);
        let request = ask(&world, |_| {});
        let owner = world.owner();
        let stream = owner.retrieve(&name(KOMMUNE), request.to_wire()).await;
        idle(owner).await;
        let mut parts: Vec<_> = stream.expect("a stream").collect().await;
        match parts.pop().expect("parts") {
            Ok(last) => {
                assert!(expected.is_none() && matches!(last.part, Some(Part::Completion(_))));
            }
            Err(status) => assert_eq!(Some(reason(&status).0.as_str()), expected),
        }
    }
}

/// A caller that goes away while its grant is written leaves an end in the audit log all the same.
#[tokio::test]
async fn a_grant_that_nobody_waits_for_any_more_still_has_an_end() {
    let world = World::new();
    let owner = world.owner();
    let request = ask(&world, |_| {});
    let (peer, granted) = (name(KOMMUNE), || world.hospital.audit_kinds().len() > 1);
    let mut call = Box::pin(owner.retrieve(&peer, request.to_wire()));
    // One step at a time, up to the moment when the grant is durable and the caller has not heard of it.
    while !granted() {
        assert!((&mut call).now_or_never().is_none(), "the call waits for the grant");
        tokio::task::yield_now().await;
    }
    drop(call);
    idle(owner).await;
    let kinds = world.hospital.audit_kinds();
    assert_eq!(kinds[..2], ["REQUEST_RECEIVED", "GRANTED"]);
    // A record this short may have left as a whole before it is seen that nobody is there.
    let end = kinds.get(2).map(String::as_str);
    assert!(matches!(end, Some("ABORTED" | "COMPLETED")), "{kinds:?}");
}

#[tokio::test]
async fn nothing_is_served_when_the_audit_log_cannot_be_written() {
    let mut world = World::new();
    let (fine, refusable) =
        (ask(&world, |_| {}), ask(&world, |request| request.role = "clerk".to_owned()));
    let hospital = std::mem::replace(&mut world.hospital, Site::new(HOSPITAL, &found()));
    world.hospital = hospital.reopen_read_only();
    for request in [fine, refusable] {
        let answer = retrieve_from(world.owner(), &request).await;
        assert!(answer.grant.is_none() && answer.data.is_empty());
        assert_eq!(answer.end.expect_err("nothing").code(), Code::Internal);
    }
}

#[tokio::test]
async fn an_acknowledgement_is_taken_once_from_whom_the_record_was_for() {
    let world = World::new();
    let owner = world.owner();
    let request = ask(&world, |_| {});
    let answer = retrieve_from(owner.clone(), &request).await;
    let history = world.kommune.charter.history();
    let grant = verify_grant(&answer.grant.expect("grant"), &request, &history, Judging::Live);
    let completion = answer.completion.expect("completion");
    let completion =
        verify_completion(&completion, &request, &grant.expect("valid"), &history, Judging::Live)
            .expect("valid");
    let make = |completion| {
        world.kommune.signer.sign(|charter_version, key_id| Acknowledgement {
            completion,
            status: AcknowledgementStatus::Matching,
            charter_version,
            key_id,
        })
    };
    let send = async |caller: &str, message: SignedMessage| {
        let mut client = RetrievalServiceClient::new(Line::to(owner.clone(), caller).channel());
        let message = AcknowledgeRetrievalRequest { acknowledgement: Some(message) };
        let answer = client.acknowledge_retrieval(message).await;
        answer.map(|_| ()).map_err(|status| (status.code(), reason(&status).0))
    };
    let unknown = Err((Code::NotFound, "UNKNOWN_COMPLETION".to_owned()));
    let good = make(completion.digest()).expect("signed").to_wire();
    assert_eq!(send(HOSPITAL, good.clone()).await, unknown);
    let nowhere = make(sundbro_ledger::ids::MessageDigest::new([1; 32])).expect("signed");
    assert_eq!(send(KOMMUNE, nowhere.to_wire()).await, unknown);
    // The digest of another message of the same retrieval is not one of a completion.
    let request_digest = make(request.digest()).expect("signed");
    assert_eq!(send(KOMMUNE, request_digest.to_wire()).await, unknown);
    let forged = SignedMessage { signature: vec![1; 64].into(), ..good.clone() };
    let invalid = Err((Code::InvalidArgument, "INVALID_FIELD".to_owned()));
    assert_eq!(send(KOMMUNE, forged).await, invalid);
    for _ in 0..2 {
        assert_eq!(send(KOMMUNE, good.clone()).await, Ok(()));
    }
    let acknowledged = |entry: &AuditRecord| entry.kind == "ACKNOWLEDGED";
    assert_eq!(world.hospital.audit().iter().filter(|entry| acknowledged(entry)).count(), 1);
}
