//! Refused, absent, withdrawn: one answer, byte for byte, after the same work; and what grants tell of policy.

use http_body_util::BodyExt as _;
use sundbro_ledger::retrieval::{
    BreakGlassReason, Judging, PurposeOfUse, Request, Verified, verify_grant,
};
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::federation::v1::{RetrieveRecordRequest, RetrieveRecordResponse};
use tower::ServiceExt as _;

use super::super::owner::Owner;
use super::owner::{ask, retrieve_from};
use super::*;
use crate::policy::{DEFAULT_RULE, NO_SUCH_RECORD, defaults};

/// A record that is marked restricted.
const RESTRICTED: [u8; 16] = [8; 16];
/// A record that was withdrawn.
const WITHDRAWN: [u8; 16] = [6; 16];
/// No record.
const ABSENT: [u8; 16] = [9; 16];

/// An HTTP answer as our code gives it to the HTTP library, which adds the date and the encoding of headers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Raw {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    Data(Vec<u8>),
    Trailers(Vec<(String, Vec<u8>)>),
}

fn pairs(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

async fn raw(owner: Arc<Owner>, request: &Verified<Request>) -> Raw {
    let peer = Peer::new(name(KOMMUNE));
    let service = RetrievalServiceServer::with_interceptor(
        RetrievalApi::new(owner),
        move |mut request: tonic::Request<()>| {
            request.extensions_mut().insert(peer.clone());
            Ok(request)
        },
    );
    let message = RetrieveRecordRequest { request: Some(request.to_wire()) }.encode_to_vec();
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    let body = [&[0], &length[..], &message].concat();
    let call = http::Request::post("/sundbro.federation.v1.RetrievalService/RetrieveRecord")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(axum::body::Body::from(body))
        .expect("a request");
    let response = service.oneshot(call).await.expect("infallible");
    let (head, mut body) = response.into_parts();
    let mut frames = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("no error below gRPC");
        frames.push(match frame.into_data() {
            Ok(data) => Frame::Data(data.to_vec()),
            Err(frame) => Frame::Trailers(pairs(frame.trailers_ref().expect("trailers"))),
        });
    }
    Raw { status: head.status.as_u16(), headers: pairs(&head.headers), frames }
}

/// Zeros in place of what must differ: the request's digest, and the signature over a grant that names it.
fn masked(mut raw: Raw, request: &Verified<Request>) -> Raw {
    let Some(Frame::Data(data)) = raw.frames.first_mut() else { panic!("no grant: {raw:?}") };
    let message = RetrieveRecordResponse::decode(&data[5..]).expect("a message");
    let Some(Part::Grant(grant)) = message.part else { panic!("no grant") };
    for part in [request.digest().as_bytes().as_slice(), &grant.signature] {
        let windows = data.windows(part.len()).enumerate();
        let places: Vec<usize> =
            windows.filter(|(_, bytes)| *bytes == part).map(|(at, _)| at).collect();
        let [at] = places[..] else { panic!("stands {} times", places.len()) };
        data[at..at + part.len()].fill(0);
    }
    raw
}

/// A hospital with a record, a restricted one, and one that is withdrawn.
fn world() -> World {
    let world = World::new();
    let restricted = v1::Confidentiality::Restricted;
    world.hospital.append(register_as(RESTRICTED, restricted, 1, &content()));
    world.hospital.append(register_as(WITHDRAWN, v1::Confidentiality::Normal, 1, &content()));
    world.hospital.append(withdrawal(WITHDRAWN));
    world
}

struct Case {
    what: &'static str,
    role: &'static str,
    id: [u8; 16],
    version: u32,
    /// What the owner's audit log says, and nobody else hears.
    rule: &'static str,
}

/// The default policies' rule that forbids.
const FORBIDDEN: &str = "restricted-takes-a-token";

const CASES: [Case; 9] = [
    Case { what: "refused", role: "clerk", id: RECORD, version: 1, rule: DEFAULT_RULE },
    Case { what: "absent", role: "clerk", id: ABSENT, version: 1, rule: DEFAULT_RULE },
    Case { what: "withdrawn", role: "clerk", id: WITHDRAWN, version: 1, rule: DEFAULT_RULE },
    Case { what: "restricted", role: "clerk", id: RESTRICTED, version: 1, rule: FORBIDDEN },
    Case { what: "no such version", role: "clerk", id: RECORD, version: 7, rule: DEFAULT_RULE },
    Case { what: "forbidden", role: "health-visitor", id: RESTRICTED, version: 1, rule: FORBIDDEN },
    Case {
        what: "absent for whom a record is not",
        role: "health-visitor",
        id: ABSENT,
        version: 1,
        rule: NO_SUCH_RECORD,
    },
    Case {
        what: "no such version for whom a record is not",
        role: "health-visitor",
        id: RECORD,
        version: 7,
        rule: NO_SUCH_RECORD,
    },
    Case {
        what: "no such version of what is withdrawn",
        role: "health-visitor",
        id: WITHDRAWN,
        version: 2,
        rule: NO_SUCH_RECORD,
    },
];

#[tokio::test]
async fn refused_absent_and_withdrawn_are_one_answer_byte_for_byte() {
    let world = world();
    let owner = world.owner();
    let mut first: Option<Raw> = None;
    for Case { what, role, id, version, rule } in CASES {
        let request = ask(&world, |request| {
            request.role = role.to_owned();
            request.record.id = id;
            request.record_version = version;
        });
        let (audited, judged) = (world.hospital.audit().len(), world.judged());
        let answer = raw(owner.clone(), &request).await;
        let answer = masked(answer, &request);
        let [Frame::Data(_), Frame::Trailers(trailers)] = &answer.frames[..] else {
            panic!("{what}: a grant and trailers, not {answer:?}");
        };
        let refused = ("grpc-status".to_owned(), b"7".to_vec());
        assert!(trailers.contains(&refused), "{what}: {trailers:?}");
        assert_eq!(first.get_or_insert_with(|| answer.clone()), &answer, "{what}");
        // The same work: one question to the policy, two entries of the audit log.
        assert_eq!(world.judged() - judged, 1, "{what}");
        let entries = world.hospital.audit().split_off(audited);
        let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
        assert_eq!(kinds, ["REQUEST_RECEIVED", "REFUSED"], "{what}");
        assert_eq!((entries[1].rule.as_str(), entries[1].permitted), (rule, false), "{what}");
    }
    assert_eq!(world.source.opened.load(Ordering::SeqCst), 0);
}

/// Only who may read the record hears that it is withdrawn.
#[tokio::test]
async fn who_may_read_a_record_hears_that_it_is_withdrawn() {
    let world = world();
    let request = ask(&world, |request| request.record.id = WITHDRAWN);
    let status = retrieve_from(world.owner(), &request).await.end.expect_err("withdrawn");
    assert_eq!(reason(&status).0, "RECORD_WITHDRAWN");
}

#[tokio::test]
async fn a_grant_tells_rule_and_policy_and_a_refusal_the_policy_alone() {
    let world = world();
    let sha256 = *Policy::defaults().sha256();
    assert_ne!(sha256, *Policy::deny_all().sha256());
    let rules: Vec<String> =
        Policy::defaults().rules().iter().map(|rule| rule.id.clone()).collect();
    assert_eq!(defaults::POLICIES.len(), 2);
    type Asked = (&'static str, Option<BreakGlassReason>, [u8; 16]);
    let glass = Some(BreakGlassReason::VitalInterest);
    let cases: [(Asked, Option<&str>); 4] = [
        (("health-visitor", None, RECORD), Some("treating-staff")),
        (("health-visitor", None, RESTRICTED), None),
        (("doctor", glass, RECORD), Some("break-glass-vital-interest")),
        (("clerk", glass, RECORD), None),
    ];
    for ((role, glass, id), rule) in cases {
        let request = ask(&world, |request| {
            request.role = role.to_owned();
            request.record.id = id;
            if glass.is_some() {
                request.purpose = PurposeOfUse::EmergencyTreatment;
                request.break_glass_reason = glass;
            }
        });
        let answer = retrieve_from(world.owner(), &request).await;
        let wire = answer.grant.expect("a grant");
        let history = world.kommune.charter.history();
        let grant = verify_grant(&wire, &request, &history, Judging::Live).expect("valid");
        assert_eq!(grant.body().policy_sha256, sha256, "{role}");
        let told = grant.body().permission().map(|permission| permission.rule.as_str());
        assert_eq!(told, rule, "{role}");
        assert_eq!(answer.end.is_ok(), rule.is_some(), "{role}");
        // No rule's name is anywhere in a refusal.
        let whole = String::from_utf8_lossy(&wire.message).into_owned();
        let named: Vec<_> = rules.iter().filter(|rule| whole.contains(rule.as_str())).collect();
        assert_eq!(named, rule.iter().collect::<Vec<_>>(), "{role}");
    }
}
