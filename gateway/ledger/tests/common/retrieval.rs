//! One retrieval in memory: the owner registers a record, the requester asks, both sign.

use bytes::Bytes;
use prost::Message as _;
use sha2::Digest as _;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::checkpoint::{Checkpoint, sign_checkpoint};
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{ContentDigest, RecordId};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::MemoryTree;
use sundbro_ledger::receipt::ReceiptParts;
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Assurance, Completion, CompletionStatus, Decision,
    Grant, Permission, PurposeOfUse, Request, Unit, Verified,
};
use sundbro_ledger::transaction::{Audience, Draft};
use sundbro_proto::ledger::v1;

use super::{CHECKPOINT, FOUNDERS, Federation, Member, SERVICE, TRANSACTION, name};

pub const OWNER: &str = FOUNDERS[3];
pub const REQUESTER: &str = FOUNDERS[4];
pub const CONTENT: &[u8] = b"<ClinicalDocument/>";

/// The blobs of a registration, and where it stands.
#[derive(Clone)]
pub struct Registered {
    pub record: RecordId,
    pub payload: Bytes,
    pub detail: Bytes,
    pub entry: Bytes,
    pub proof: Vec<sundbro_ledger::ids::NodeHash>,
    pub checkpoint: Bytes,
}

pub fn record() -> RecordId {
    RecordId { member: name(OWNER), id: [0xab; 16] }
}

fn version_of(record: &RecordId, version: u32) -> v1::RecordVersion {
    v1::RecordVersion {
        record: Some(v1::ObjectId {
            member: record.member.to_string(),
            id: record.id.to_vec().into(),
        }),
        version,
    }
}

fn frame(salt: u8, body: &[u8]) -> Blob {
    Blob::frame(&[salt; 32], body, Audience::Federation).expect("a small body")
}

/// Registers a record of the owner at position 2 of three, under the charter version in force.
pub fn register(federation: &Federation, record: &RecordId, version: u32) -> Registered {
    let detail = v1::RecordDetail {
        record: Some(version_of(record, version)),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        media_type: "application/xml".into(),
        content_sha256: sha2::Sha256::digest(CONTENT).to_vec().into(),
        content_size_bytes: CONTENT.len() as u64,
        stability: 1,
        confidentiality: 1,
        ..Default::default()
    };
    let detail = frame(2, &detail.encode_to_vec());
    let tag = v1::SubjectTag { scheme: 1, epoch: 1, value: vec![7; 32].into() };
    let object = version_of(record, version);
    let registered = v1::RecordRegistered {
        record: object.record,
        version,
        subjects: vec![tag],
        lifecycle: 2,
        detail_commitment: detail.detail_commitment().as_bytes().to_vec().into(),
        replaces: None,
    };
    let body = v1::TransactionPayload {
        body: Some(v1::transaction_payload::Body::RecordRegistered(registered)),
    };
    let payload = frame(1, &body.encode_to_vec());
    let (entry, proof, checkpoint) = append(federation, &payload);
    Registered {
        record: record.clone(),
        payload: payload.bytes().clone(),
        detail: detail.bytes().clone(),
        entry,
        proof,
        checkpoint,
    }
}

/// The payload stands between two others in the owner's log.
fn append(
    federation: &Federation,
    payload: &Blob,
) -> (Bytes, Vec<sundbro_ledger::ids::NodeHash>, Bytes) {
    let owner = federation.member(OWNER);
    let origin = federation.origin(OWNER);
    let mut head = LogHead::new(origin.log_id());
    let mut tree = MemoryTree::new();
    let mut found = Bytes::new();
    for (at, blob) in [&frame(8, b"a"), &frame(9, b"b"), payload].into_iter().enumerate() {
        let draft = Draft {
            charter_version: federation.history.in_force(),
            key_id: TRANSACTION,
            incarnation: 1,
            recorded_hour: 490_000,
            payload_commitment: blob.payload_commitment(),
            payload_size: u32::try_from(blob.bytes().len()).expect("small"),
            audience: Audience::Federation,
        };
        let signed = head.sign_next(draft, &owner.keys[&TRANSACTION], &federation.id());
        let verified = head.verify(signed, &federation.history).expect("a valid entry");
        head.append(&verified).expect("it follows");
        tree.append(verified.leaf());
        if at == 2 {
            found = verified.entry_bytes().clone();
        }
    }
    let checkpoint = Checkpoint::new(&origin, head.size(), head.root());
    let note = sign_checkpoint(&checkpoint, &owner.keys[&CHECKPOINT]);
    (found, tree.prove_inclusion(2).expect("a proof"), note.into())
}

/// A message that somebody signs with its SERVICE key.
pub fn signed<T: sundbro_ledger::retrieval::Message>(
    federation: &Federation,
    by: &Member,
    body: T,
) -> Verified<T> {
    Verified::sign(body, &by.keys[&SERVICE], &federation.id()).expect("a good message")
}

pub fn request(history: &CharterHistory) -> Request {
    Request {
        requester: name(REQUESTER),
        owner: name(OWNER),
        record: record(),
        record_version: 1,
        charter_version: history.in_force(),
        key_id: SERVICE,
        user: "u-4711".into(),
        role: "health-visitor".into(),
        unit: Some(Unit { system: "urn:oid:1.2.208.176.1.1".into(), value: "678".into() }),
        purpose: PurposeOfUse::Treatment,
        break_glass_reason: None,
        assurance: Assurance::ClientAsserted,
        nonce: [5; 16],
        requested_unix_seconds: 1_764_000_000,
    }
}

/// The four messages, in force, and what they are about.
pub struct Retrieval {
    pub registered: Registered,
    pub request: Verified<Request>,
    pub grant: Verified<Grant>,
    pub completion: Verified<Completion>,
    pub acknowledgement: Verified<Acknowledgement>,
}

pub fn permission(registered: &Registered) -> Permission {
    Permission {
        rule: "treatment-of-own-patients".into(),
        entry: registered.entry.clone(),
        inclusion_proof: registered.proof.clone(),
        checkpoint: registered.checkpoint.clone(),
        expected_size_bytes: CONTENT.len() as u64,
        expected_sha256: ContentDigest::new(sha2::Sha256::digest(CONTENT).into()),
    }
}

pub fn grant_of(request: &Verified<Request>, decision: Decision) -> Grant {
    Grant {
        request: request.digest(),
        policy_sha256: [3; 32],
        charter_version: request.body().charter_version,
        key_id: SERVICE,
        decision,
    }
}

pub fn completion_of(grant: &Verified<Grant>, status: CompletionStatus) -> Completion {
    Completion {
        grant: grant.digest(),
        bytes_sent: CONTENT.len() as u64,
        content_sha256: ContentDigest::new(sha2::Sha256::digest(CONTENT).into()),
        status,
        charter_version: grant.body().charter_version,
        key_id: SERVICE,
    }
}

pub fn acknowledgement_of(
    completion: &Verified<Completion>,
    status: AcknowledgementStatus,
) -> Acknowledgement {
    Acknowledgement {
        completion: completion.digest(),
        status,
        charter_version: completion.body().charter_version,
        key_id: SERVICE,
    }
}

impl Retrieval {
    pub fn of(federation: &Federation) -> Self {
        let (owner, requester) = (federation.member(OWNER), federation.member(REQUESTER));
        let registered = register(federation, &record(), 1);
        let request = signed(federation, requester, request(&federation.history));
        let decision = Decision::Permitted(Box::new(permission(&registered)));
        let grant = signed(federation, owner, grant_of(&request, decision));
        let completion = completion_of(&grant, CompletionStatus::Complete);
        let completion = signed(federation, owner, completion);
        let status = AcknowledgementStatus::Matching;
        let acknowledgement = acknowledgement_of(&completion, status);
        let acknowledgement = signed(federation, requester, acknowledgement);
        Self { registered, request, grant, completion, acknowledgement }
    }

    pub fn parts(&self) -> ReceiptParts {
        ReceiptParts {
            request: self.request.to_wire(),
            grant: self.grant.to_wire(),
            completion: Some(self.completion.to_wire()),
            acknowledgement: Some(self.acknowledgement.to_wire()),
            payload_blob: Some(self.registered.payload.clone()),
            detail_blob: Some(self.registered.detail.clone()),
        }
    }
}
