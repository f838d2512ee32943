//! Cells of the RPCs that carry a signed message: replayed, meant for another, changed, signed by another.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::ids::MessageDigest;
use sundbro_ledger::retrieval::Request;
use sundbro_proto::federation::v1::RetrieveRecordResponse;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::ledger::v1::SignedMessage;
use tonic::Code;

use super::cells::Cells;
use super::requests::{signed_acknowledgement, signed_request};
use super::rules::{RULES, Rule, Signed, named};
use super::wire::{Line, Outcome};
use super::world::{ACTIVE, OTHER, World};

/// Seconds by which two clocks may differ, and a moment more.
const TOO_FAR: i64 = 330;

/// The active member retrieves a record; the digest of the completion.
pub async fn completed(world: &World) -> MessageDigest {
    let rule = named("sundbro.federation.v1.RetrievalService/RetrieveRecord");
    let identity = world.identity("an active member");
    let mut line = Line::new(world.address(rule.door), identity);
    let got = line.call(world, rule, identity, false).await;
    assert_eq!(got, Outcome::Served);
    let part = |bytes: &Bytes| RetrieveRecordResponse::decode(bytes.clone()).expect("a part").part;
    let last = line.messages.last().and_then(part);
    let Some(Part::Completion(completion)) = last else { panic!("no completion: {last:?}") };
    MessageDigest::new(Sha256::digest(&completion.message).into())
}

/// Every RPC whose rule says that it is signed. A rule that says so and has no cells here fails.
pub async fn try_all(world: &World, cells: &mut Cells) {
    for rule in RULES {
        match rule.signed {
            Signed::Once => requests(world, rule, cells).await,
            Signed::Repeatable => acknowledgements(world, rule, cells).await,
            Signed::No(reason) => assert!(reason.len() > 20, "{}: say why", rule.rpc),
        }
    }
}

/// One attempt: who sends it, what it is about, the bytes, and what must come of it.
type Attempt = (&'static str, &'static str, Bytes, Outcome);

async fn try_each(world: &World, rule: &Rule, attempts: Vec<Attempt>, cells: &mut Cells) {
    for (who, what, bytes, wanted) in attempts {
        let identity = world.identity(who);
        let mut line = Line::new(world.address(rule.door), identity);
        let got = line.send(rule, bytes, false).await;
        cells.record(rule.rpc, &format!("{who}: {what}"), &wanted, &got);
    }
}

async fn requests(world: &World, rule: &Rule, cells: &mut Cells) {
    let (member, other) = ("an active member", "a member with the words of another");
    let of = |change: &dyn Fn(&mut Request)| {
        let mut request = world.request(ACTIVE);
        change(&mut request);
        request
    };
    let signed = |change: &dyn Fn(&mut Request)| signed_request(world.sign(of(change), ACTIVE));
    let at = |seconds: i64| signed(&|request| request.requested_unix_seconds += seconds);
    let used = signed(&|_| {});
    let altered = || {
        let mut message = world.sign(of(&|_| {}), ACTIVE);
        // The role is in there in plain bytes: a clerk's request becomes another's.
        let mut bytes = message.message.to_vec();
        let place = bytes.windows(6).position(|it| it == b"doctor").expect("the role");
        bytes[place] = b'D';
        message.message = bytes.into();
        signed_request(message)
    };
    let no = Outcome::refused;
    let attempts = vec![
        (member, "the first time", used.clone(), Outcome::Served),
        (member, "replayed", used.clone(), no(Code::AlreadyExists, "NONCE_USED")),
        (other, "replayed by another", used, no(Code::PermissionDenied, "NOT_THE_REQUESTER")),
        (
            member,
            "the same nonce with another content",
            {
                let nonce = of(&|_| {}).nonce;
                let first = signed(&|request| request.nonce = nonce);
                let mut line = Line::new(world.address(rule.door), world.identity(member));
                assert_eq!(line.send(rule, first, false).await, Outcome::Served);
                signed(&|request| {
                    request.nonce = nonce;
                    request.user = "u-4712".to_owned();
                })
            },
            no(Code::AlreadyExists, "NONCE_USED"),
        ),
        (
            member,
            "for another owner",
            signed(&|request| {
                request.owner = world.name(OTHER);
                request.record.member = world.name(OTHER);
            }),
            no(Code::InvalidArgument, "OTHER_OWNER"),
        ),
        (
            member,
            "signed with the key of another member",
            signed_request(world.sign(of(&|_| {}), OTHER)),
            no(Code::InvalidArgument, "INVALID_FIELD"),
        ),
        (
            member,
            "changed after it was signed",
            altered(),
            no(Code::InvalidArgument, "INVALID_FIELD"),
        ),
        (
            member,
            "without signature",
            signed_request(SignedMessage {
                signature: Bytes::new(),
                ..world.sign(of(&|_| {}), ACTIVE)
            }),
            no(Code::InvalidArgument, "INVALID_FIELD"),
        ),
        (member, "absent", Bytes::new(), no(Code::InvalidArgument, "INVALID_FIELD")),
        (member, "too old", at(-TOO_FAR), no(Code::FailedPrecondition, "REQUEST_NOT_FRESH")),
        (member, "of the future", at(TOO_FAR), no(Code::FailedPrecondition, "REQUEST_NOT_FRESH")),
        (
            member,
            "by a charter that nobody has",
            signed(&|request| request.charter_version += 1),
            no(Code::Unavailable, "CHARTER_BEHIND"),
        ),
        (
            member,
            "by a key that the charter does not list",
            signed(&|request| request.key_id = 99),
            no(Code::InvalidArgument, "INVALID_FIELD"),
        ),
        (
            member,
            "for a role that no rule permits",
            signed(&|request| request.role = "clerk".to_owned()),
            no(Code::PermissionDenied, "NOT_AVAILABLE"),
        ),
    ];
    try_each(world, rule, attempts, cells).await;
}

async fn acknowledgements(world: &World, rule: &Rule, cells: &mut Cells) {
    let (member, other) = ("an active member", "a member with the words of another");
    let said = || world.acknowledgement(world.completion);
    let nowhere = || world.acknowledgement(MessageDigest::new([0x5a; 32]));
    let good = signed_acknowledgement(world.sign(said(), ACTIVE));
    let no = Outcome::refused;
    let attempts = vec![
        (member, "the first time", good.clone(), Outcome::Served),
        (member, "again, which changes nothing", good, Outcome::Served),
        (
            member,
            "of what another owner completed",
            signed_acknowledgement(world.sign(nowhere(), ACTIVE)),
            no(Code::NotFound, "UNKNOWN_COMPLETION"),
        ),
        (
            other,
            "of a retrieval by another, signed by itself",
            signed_acknowledgement(world.sign(said(), OTHER)),
            no(Code::NotFound, "UNKNOWN_COMPLETION"),
        ),
        (
            member,
            "signed with the key of another member",
            signed_acknowledgement(world.sign(said(), OTHER)),
            no(Code::InvalidArgument, "INVALID_FIELD"),
        ),
        (member, "absent", Bytes::new(), no(Code::InvalidArgument, "INVALID_FIELD")),
    ];
    try_each(world, rule, attempts, cells).await;
}
