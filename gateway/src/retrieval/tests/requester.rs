//! What the local client receives, what it never receives, and that acknowledgements arrive in the end.

use std::sync::Arc;

use sundbro_ledger::ids::MessageDigest;
use sundbro_ledger::receipt::{self, VerdictKind};
use sundbro_ledger::retrieval::Unit;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalService;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::federation::v1::{
    AcknowledgeRetrievalRequest, AcknowledgeRetrievalResponse, RetrieveRecordRequest,
    RetrieveRecordResponse,
};
use sundbro_store::audit::PendingAcknowledgement;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::super::acknowledge::send_all;
use super::super::requester::{Ask, Received, RetrieveError};
use super::*;
use crate::hub::PeerHello;
use crate::status;

fn ask() -> Ask {
    Ask {
        record: record(RECORD),
        version: 0,
        user: "user-1".to_owned(),
        role: "health-visitor".to_owned(),
        unit: Some(Unit { system: "urn:oid:1.2.208.176.1.1".to_owned(), value: "4711".to_owned() }),
        purpose: v1::PurposeOfUse::Treatment,
        break_glass: v1::BreakGlassReason::Unspecified,
    }
}

struct Fetched {
    data: Vec<u8>,
    end: Result<v1::Receipt, Status>,
}

async fn fetch(requester: &Arc<Requester>, ask: Ask) -> Fetched {
    let mut data = Vec::new();
    let failed = |error: &RetrieveError| status::of(error);
    let mut stream = match requester.retrieve(&client(), ask).await {
        Ok(stream) => stream,
        Err(error) => return Fetched { data, end: Err(failed(&error)) },
    };
    while let Some(part) = stream.next().await {
        match part {
            Ok(Received::Header { size, .. }) => assert_eq!(size, 600_000),
            Ok(Received::Data(bytes)) => data.extend_from_slice(&bytes),
            Ok(Received::Receipt(receipt)) => return Fetched { data, end: Ok(*receipt) },
            Err(error) => return Fetched { data, end: Err(failed(&error)) },
        }
    }
    panic!("a stream ends with a receipt or an error")
}

/// Code and reason.
fn outcome(fetched: &Fetched) -> (Code, String) {
    let status = fetched.end.as_ref().expect_err("an error");
    (status.code(), reason(status).0)
}

#[tokio::test]
async fn a_record_comes_with_a_receipt_that_verifies_offline() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert_eq!(fetched.data, content());
    let receipt = fetched.end.expect("a receipt");
    let id = world.kommune.charter.history().federation_id();
    let verdict = receipt::verify(&receipt, Some(&id)).expect("valid");
    assert_eq!(verdict.kind(), VerdictKind::Complete);
    assert_eq!(verdict.request.user, "user-1");
    // Another federation's readers do not accept it.
    let other = FederationId::new([1; 32]);
    assert!(receipt::verify(&receipt, Some(&other)).is_err());

    let expected = ["REQUEST_SENT", "GRANTED", "COMPLETED", "ACKNOWLEDGED"];
    assert_eq!(world.kommune.audit_kinds(), expected);
    let entry = &world.kommune.audit()[0];
    assert_eq!((entry.peer.as_str(), entry.user.as_str()), (HOSPITAL, "user-1"));
    assert_eq!(entry.unit, "urn:oid:1.2.208.176.1.1|4711");
}

#[tokio::test]
async fn a_client_states_only_what_the_configuration_lets_it_state() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.kommune, &line);
    let check = async |change: fn(&mut Ask), field: &str| {
        let mut ask = ask();
        change(&mut ask);
        let fetched = fetch(&requester, ask).await;
        assert_eq!(outcome(&fetched), (Code::PermissionDenied, "MAY_NOT_STATE".to_owned()));
        let metadata = reason(fetched.end.as_ref().expect_err("refused")).1;
        assert_eq!(metadata.get("field").map(String::as_str), Some(field));
    };
    check(|ask| ask.role = "doctor".to_owned(), "role").await;
    check(|ask| ask.unit = Some(Unit { system: "x".to_owned(), value: "4711".to_owned() }), "unit")
        .await;
    check(|ask| ask.purpose = v1::PurposeOfUse::EmergencyTreatment, "purpose").await;
    check(|ask| ask.purpose = v1::PurposeOfUse::Unspecified, "purpose").await;
    assert!(world.kommune.audit().is_empty() && world.hospital.audit().is_empty());
}

#[tokio::test]
async fn a_user_that_the_signed_request_cannot_name_is_the_clients_mistake() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.kommune, &line);
    let fetched = fetch(&requester, Ask { user: String::new(), ..ask() }).await;
    assert_eq!(outcome(&fetched), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
}

#[tokio::test]
async fn a_refusal_is_permission_denied_and_stands_in_both_audit_logs() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.kommune, &line);
    let fetched = fetch(&requester, Ask { role: "clerk".to_owned(), ..ask() }).await;
    assert_eq!(outcome(&fetched), (Code::PermissionDenied, "NOT_AVAILABLE".to_owned()));
    assert_eq!(world.kommune.audit_kinds(), ["REQUEST_SENT", "REFUSED"]);
    assert_eq!(world.hospital.audit_kinds(), ["REQUEST_RECEIVED", "REFUSED"]);
    // The rule stays with the owner.
    assert_eq!(world.kommune.audit()[1].rule, "");
}

#[tokio::test]
async fn what_the_index_does_not_have_is_not_asked_for() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.kommune, &line);
    let unknown = (Code::NotFound, "UNKNOWN_RECORD".to_owned());
    let fetched = fetch(&requester, Ask { record: record([9; 16]), ..ask() }).await;
    assert_eq!(outcome(&fetched), unknown);
    assert_eq!(outcome(&fetch(&requester, Ask { version: 2, ..ask() }).await), unknown);
    assert!(world.hospital.audit().is_empty());
}

#[tokio::test]
async fn what_the_owner_says_reaches_the_client_in_our_words() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.kommune, &line);
    // The municipality has not replicated these yet.
    world.register_next();
    let fetched = fetch(&requester, ask()).await;
    assert_eq!(outcome(&fetched), (Code::FailedPrecondition, "SUPERSEDED".to_owned()));
    let metadata = reason(fetched.end.as_ref().expect_err("superseded")).1;
    assert_eq!(metadata.get("current_version").map(String::as_str), Some("2"));
    world.withdraw();
    let withdrawn = (Code::NotFound, "RECORD_WITHDRAWN".to_owned());
    assert_eq!(outcome(&fetch(&requester, ask()).await), withdrawn);
    assert_eq!(world.kommune.audit_kinds()[1], "NOT_RECEIVED");
}

#[tokio::test]
async fn a_peer_that_is_down_is_unavailable_with_the_cause() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    line.cut();
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert_eq!(outcome(&fetched), (Code::Unavailable, "PEER_UNREACHABLE".to_owned()));
    let metadata = reason(fetched.end.as_ref().expect_err("down")).1;
    assert_eq!(metadata.get("cause").map(String::as_str), Some("CONNECTION_REFUSED"));
    assert_eq!(world.kommune.audit_kinds(), ["REQUEST_SENT", "NOT_RECEIVED"]);
}

#[tokio::test]
async fn bytes_that_the_owner_aborts_are_data_loss_and_acknowledged_as_such() {
    let world = World::new();
    world.set_mode(Mode::OtherBytes);
    let line = Line::to(world.owner(), KOMMUNE);
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert_eq!(outcome(&fetched), (Code::DataLoss, "DIGEST_MISMATCH".to_owned()));
    let expected = ["REQUEST_SENT", "GRANTED", "ABORTED", "ACKNOWLEDGED"];
    assert_eq!(world.kommune.audit_kinds(), expected);
}

/// A client that stalled once read half a stream and then OK, because the end had waited in vain for room.
#[tokio::test]
async fn a_client_that_stalls_still_reads_how_it_ended() {
    for (mode, expected) in [(Mode::Whole, None), (Mode::OtherBytes, Some("DIGEST_MISMATCH"))] {
        let world = World::new();
        world.set_mode(mode);
        let line = Line::to(world.owner(), KOMMUNE);
        let requester = world.requester_of(&world.kommune, &line);
        let mut stream = requester.retrieve(&client(), ask()).await.expect("a stream");
        // Until nobody sends any more, as after the patience of whoever waited for room.
        while Arc::strong_count(&requester) > 1 {
            tokio::task::yield_now().await;
        }
        let mut last = None;
        while let Some(part) = stream.next().await {
            last = Some(part);
        }
        match last.expect("parts") {
            Ok(part) => assert!(expected.is_none() && matches!(part, Received::Receipt(_))),
            Err(error) => assert_eq!(Some(reason(&status::of(&error)).0.as_str()), expected),
        }
    }
}

#[tokio::test]
async fn nothing_is_asked_when_our_audit_log_cannot_be_written() {
    let mut world = World::new();
    let kommune = std::mem::replace(&mut world.kommune, Site::new(KOMMUNE, &found()));
    world.kommune = kommune.reopen_read_only();
    let line = Line::to(world.owner(), KOMMUNE);
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert_eq!(outcome(&fetched).0, Code::Internal);
    assert!(fetched.data.is_empty() && world.hospital.audit().is_empty());
}

#[tokio::test]
async fn our_own_records_go_through_the_same_policy_and_give_a_receipt() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let requester = world.requester_of(&world.hospital, &line);
    let fetched = fetch(&requester, ask()).await;
    assert_eq!(fetched.data, content());
    let id = world.hospital.charter.history().federation_id();
    let verdict = receipt::verify(&fetched.end.expect("a receipt"), Some(&id)).expect("valid");
    assert_eq!(verdict.kind(), VerdictKind::Complete);
    let refused = fetch(&requester, Ask { role: "clerk".to_owned(), ..ask() }).await;
    assert_eq!(outcome(&refused), (Code::PermissionDenied, "NOT_AVAILABLE".to_owned()));
    // What we owe ourselves is answered too.
    let context = world.acknowledge_context(&world.hospital, &line);
    assert!(!send_all(&context).await);
    assert!(world.hospital.store.pending_acknowledgements(10).expect("read").is_empty());
}

#[test]
fn an_acknowledgement_is_repeated_after_a_restart_until_it_is_answered() {
    let mut world = World::new();
    process(async {
        let line = Line::to(world.owner(), KOMMUNE);
        let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
        assert!(fetched.end.is_ok());
        let line = Line::to(world.owner(), KOMMUNE);
        line.cut();
        let context = world.acknowledge_context(&world.kommune, &line);
        assert!(send_all(&context).await);
    });
    assert!(!world.hospital.audit_kinds().contains(&"ACKNOWLEDGED".to_owned()));

    let kommune = std::mem::replace(&mut world.kommune, Site::new(KOMMUNE, &found()));
    world.kommune = kommune.restart();
    process(async {
        let line = Line::to(world.owner(), KOMMUNE);
        let context = world.acknowledge_context(&world.kommune, &line);
        assert!(!send_all(&context).await);
    });
    assert!(world.kommune.store.pending_acknowledgements(10).expect("read").is_empty());
    assert_eq!(world.hospital.audit_kinds().last().map(String::as_str), Some("ACKNOWLEDGED"));
}

/// The sender itself: wakes when something is queued, and again when a peer comes back.
#[tokio::test]
async fn the_sender_sends_what_waits_and_hears_of_peers_that_come_back() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert!(fetched.end.is_ok());
    let line = Line::to(world.owner(), KOMMUNE);
    line.cut();
    let peers = Arc::new(crate::hub::PeerTable::new());
    let context = AcknowledgeContext {
        peers: peers.clone(),
        ..world.acknowledge_context(&world.kommune, &line)
    };
    let stop = CancellationToken::new();
    let sender = tokio::spawn(super::super::acknowledge::run(context, stop.clone()));
    line.heal();
    let hello = PeerHello { software: String::new(), incarnation: 1, charter_version: 1 };
    let _session = peers.opened(&name(HOSPITAL), hello);
    while !world.hospital.audit_kinds().contains(&"ACKNOWLEDGED".to_owned()) {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    sender.await.expect("ended");
}

/// One owner that never answers a call, and the hospital.
struct Hanging(Arc<Line>);

impl PeerChannels for Hanging {
    fn channel(&self, member: &MemberName) -> Result<Channel, NoChannel> {
        if member.as_str() == HOSPITAL {
            return Ok(self.0.channel());
        }
        let never = tower::service_fn(|_: http::Uri| {
            std::future::pending::<Result<TokioIo<DuplexStream>, std::io::Error>>()
        });
        Ok(TonicEndpoint::from_static("http://in.memory").connect_with_connector_lazy(never))
    }
}

/// Owners were called one after the other, and one that hung kept everybody else's acknowledgements for 30 s a call.
#[tokio::test]
async fn an_owner_that_hangs_holds_up_nobody_elses_acknowledgements() {
    let world = World::new();
    let line = Line::to(world.owner(), KOMMUNE);
    let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
    assert!(fetched.end.is_ok());
    // More than a page of them, and before the hospital's, since the queue is in order of completion.
    for number in 0..300_u16 {
        let mut completion = [0; 32];
        completion[30..].copy_from_slice(&number.to_be_bytes());
        let owed = PendingAcknowledgement {
            completion: MessageDigest::new(completion),
            owner: "hanging.example".to_owned(),
            message: Vec::new(),
            unix_seconds: 1,
        };
        world.kommune.store.queue_acknowledgement(&owed, &[]).expect("queued");
    }
    let context = AcknowledgeContext {
        channels: Arc::new(Hanging(line.clone())),
        ..world.acknowledge_context(&world.kommune, &line)
    };
    let sender = tokio::spawn(super::super::acknowledge::run(context, CancellationToken::new()));
    let answered = async {
        while !world.hospital.audit_kinds().contains(&"ACKNOWLEDGED".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(20);
    tokio::time::timeout(patience, answered).await.expect("before the other call is given up");
    sender.abort();
}

/// An owner that answers with whatever parts a test gives it.
#[derive(Clone)]
struct Liar(Arc<dyn Fn(v1::SignedMessage) -> Vec<Part> + Send + Sync>);

#[tonic::async_trait]
impl RetrievalService for Liar {
    type RetrieveRecordStream = ReceiverStream<Result<RetrieveRecordResponse, Status>>;

    async fn retrieve_record(
        &self,
        request: Request<RetrieveRecordRequest>,
    ) -> Result<Response<Self::RetrieveRecordStream>, Status> {
        let parts = (self.0)(request.into_inner().request.unwrap_or_default());
        let (to, stream) = mpsc::channel(parts.len().max(1));
        for part in parts {
            to.try_send(Ok(RetrieveRecordResponse { part: Some(part) })).expect("room");
        }
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn acknowledge_retrieval(
        &self,
        _: Request<AcknowledgeRetrievalRequest>,
    ) -> Result<Response<AcknowledgeRetrievalResponse>, Status> {
        Ok(Response::new(AcknowledgeRetrievalResponse::default()))
    }
}

#[tokio::test]
async fn an_owner_that_breaks_the_protocol_is_not_believed() {
    let garbage = || v1::SignedMessage { message: vec![1].into(), signature: vec![2; 64].into() };
    let cases: [(&str, Vec<Part>); 4] = [
        ("nothing", vec![]),
        ("data first", vec![Part::Data(content()[..10].to_vec().into())]),
        ("a completion first", vec![Part::Completion(garbage())]),
        ("a grant that is none", vec![Part::Grant(garbage())]),
    ];
    for (what, parts) in cases {
        let world = World::new();
        let liar = Liar(Arc::new(move |_| parts.clone()));
        let line = Line::to_service(RetrievalServiceServer::new(liar));
        let fetched = fetch(&world.requester_of(&world.kommune, &line), ask()).await;
        assert_eq!(outcome(&fetched), (Code::DataLoss, "BAD_ANSWER".to_owned()), "{what}");
        assert!(fetched.data.is_empty(), "{what}");
        assert_eq!(world.kommune.audit_kinds(), ["REQUEST_SENT", "NOT_RECEIVED"], "{what}");
    }
}
