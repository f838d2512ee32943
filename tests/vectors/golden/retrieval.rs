//! Vectors of the four signed messages of a retrieval.

use bytes::Bytes;
use serde_json::json;
use sundbro_ledger::canonical;
use sundbro_ledger::checkpoint::{Checkpoint, Origin, sign_checkpoint};
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{ContentDigest, FederationId};
use sundbro_ledger::merkle::MemoryTree;
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Assurance, BreakGlassReason, Completion,
    CompletionStatus, Decision, Grant, Message, Permission, PurposeOfUse, Request, Unit, Verified,
};
use sundbro_proto::ledger::v1;

use crate::json::{File, fields_of, not_canonical};
use crate::world::{
    self, CONTENT, HOSPITAL, MUNICIPALITY, RECORD_POSITION, key, name, record, seed,
};

/// Seeds of the two SERVICE keys.
pub(crate) const REQUESTER: u8 = 0x07;
pub(crate) const OWNER: u8 = 0x03;

/// Messages of one retrieval, each about the one before.
pub(crate) struct Retrieval {
    pub(crate) history: CharterHistory,
    pub(crate) story: world::Story,
    pub(crate) request: Verified<Request>,
    pub(crate) grant: Verified<Grant>,
    pub(crate) refusal: Verified<Grant>,
    pub(crate) completion: Verified<Completion>,
    pub(crate) acknowledgement: Verified<Acknowledgement>,
}

impl Retrieval {
    pub(crate) fn new() -> Self {
        let history = world::history();
        let federation = history.federation_id();
        let story = world::story(&history);
        let request = sign(requested(), REQUESTER, &federation);
        let decided = |decision| Grant {
            request: request.digest(),
            policy_sha256: seed(0x77),
            charter_version: 2,
            key_id: 3,
            decision,
        };
        let permission = permission(&story, &federation);
        let content = permission.expected_sha256;
        let permitted = Decision::Permitted(Box::new(permission));
        let grant = sign(decided(permitted), OWNER, &federation);
        let refusal = sign(decided(Decision::Refused), OWNER, &federation);
        let completion = sign(completed(&grant, content), OWNER, &federation);
        let acknowledgement = sign(
            acknowledged(&completion, AcknowledgementStatus::Matching),
            REQUESTER,
            &federation,
        );
        Self { history, story, request, grant, refusal, completion, acknowledgement }
    }

    pub(crate) fn federation(&self) -> FederationId {
        self.history.federation_id()
    }

    pub(crate) fn aborted(&self) -> Verified<Completion> {
        let aborted = Completion {
            bytes_sent: 0,
            content_sha256: ContentDigest::new(seed(0x7a)),
            status: CompletionStatus::Aborted,
            ..self.completion.body().clone()
        };
        sign(aborted, OWNER, &self.federation())
    }
}

pub(crate) fn sign<T: Message>(message: T, byte: u8, federation: &FederationId) -> Verified<T> {
    Verified::sign(message, &key(byte), federation).expect("keeps every rule")
}

fn requested() -> Request {
    Request {
        requester: name(MUNICIPALITY),
        owner: name(HOSPITAL),
        record: record(0xa1),
        record_version: 1,
        charter_version: 2,
        key_id: 3,
        user: "vb-4711".to_owned(),
        role: "health-visitor".to_owned(),
        unit: Some(Unit {
            system: "urn:oid:1.2.208.176.1.1".to_owned(),
            value: "9900000000000505".to_owned(),
        }),
        purpose: PurposeOfUse::Treatment,
        break_glass_reason: None,
        assurance: Assurance::ClientAsserted,
        nonce: [0x78; 16],
        requested_unix_seconds: 1_767_700_000,
    }
}

fn permission(story: &world::Story, federation: &FederationId) -> Permission {
    use sha2::Digest as _;
    let tree: MemoryTree = story.entries.iter().map(|entry| entry.leaf()).collect();
    let origin = Origin::new(&name(HOSPITAL), federation, 1);
    let checkpoint = Checkpoint::new(&origin, story.head.size(), story.head.root());
    let place = usize::try_from(RECORD_POSITION).expect("small");
    Permission {
        rule: "treatment-health-visitor".to_owned(),
        entry: story.entries[place].entry_bytes().clone(),
        inclusion_proof: tree.prove_inclusion(RECORD_POSITION).expect("in the tree"),
        checkpoint: sign_checkpoint(&checkpoint, &key(0x02)).into(),
        expected_size_bytes: CONTENT.len() as u64,
        expected_sha256: ContentDigest::new(sha2::Sha256::digest(CONTENT).into()),
    }
}

fn completed(grant: &Verified<Grant>, content_sha256: ContentDigest) -> Completion {
    Completion {
        grant: grant.digest(),
        bytes_sent: CONTENT.len() as u64,
        content_sha256,
        status: CompletionStatus::Complete,
        charter_version: 2,
        key_id: 3,
    }
}

pub(crate) fn acknowledged(
    completion: &Verified<Completion>,
    status: AcknowledgementStatus,
) -> Acknowledgement {
    Acknowledgement { completion: completion.digest(), status, charter_version: 2, key_id: 3 }
}

fn case_of<T: Message, W: prost::Message + Default>(
    file: &mut File,
    what: &str,
    kind: &str,
    message: &Verified<T>,
    byte: u8,
    federation: &FederationId,
) {
    T::parse(message.bytes()).expect("reads back");
    file.case(
        what,
        json!({
            "message": fields_of::<W>(kind, message.bytes()),
            "federation_id": hex::encode(federation.as_bytes()),
            "seed": hex::encode(seed(byte)),
        }),
        json!({
            "message": hex::encode(message.bytes()),
            "digest": hex::encode(message.digest().as_bytes()),
            "public_key": hex::encode(key(byte).public().as_bytes()),
            "signature": hex::encode(&message.to_wire().signature),
        }),
    );
}

/// One thing made wrong in a message.
type Change<W> = fn(&mut W);

fn refuse_all<T: Message, W: prost::Message + Default + Clone>(
    file: &mut File,
    good: &Bytes,
    changes: &[(&str, Change<W>)],
) {
    let wire: W = canonical::decode(good, 1 << 17).expect("canonical");
    let changed = changes.iter().map(|(name, change)| {
        let mut wire = wire.clone();
        change(&mut wire);
        (*name, canonical::encode(&wire))
    });
    for (name, bytes) in not_canonical(good).into_iter().chain(changed) {
        assert!(T::parse(&bytes).is_err(), "{name}");
        file.refuse(name, &bytes, json!({}));
    }
}

pub(crate) fn request() -> File {
    let mut file = File::new("request", 9, "What a requester asks of an owner.");
    let world = Retrieval::new();
    let broken_glass = Request {
        unit: None,
        purpose: PurposeOfUse::EmergencyTreatment,
        break_glass_reason: Some(BreakGlassReason::VitalInterest),
        assurance: Assurance::TokenVerified,
        nonce: [0x79; 16],
        ..requested()
    };
    let federation = world.federation();
    let broken_glass = sign(broken_glass, REQUESTER, &federation);
    for (what, request) in [("treatment", &world.request), ("glass broken, no unit", &broken_glass)]
    {
        case_of::<_, v1::RetrievalRequest>(
            &mut file,
            what,
            "RetrievalRequest",
            request,
            REQUESTER,
            &federation,
        );
    }
    refuse_all::<Request, v1::RetrievalRequest>(
        &mut file,
        world.request.bytes(),
        &[
            ("another owner than the record's", |wire| wire.owner = MUNICIPALITY.to_owned()),
            ("no record", |wire| wire.record = None),
            ("record version 0", |wire| wire.record.as_mut().expect("there").version = 0),
            ("charter_version 0", |wire| wire.charter_version = 0),
            ("key_id 0", |wire| wire.key_id = 0),
            ("no user", |wire| wire.user.clear()),
            ("a role with a newline", |wire| wire.role = "nurse\n".to_owned()),
            ("a unit without a value", |wire| wire.unit.as_mut().expect("there").value.clear()),
            ("no purpose", |wire| wire.purpose = 0),
            ("assurance 3", |wire| wire.assurance = 3),
            ("a nonce of 15 bytes", |wire| wire.nonce = wire.nonce.slice(1..)),
            ("a time before 1970", |wire| wire.requested_unix_seconds = -1),
        ],
    );
    file
}

pub(crate) fn grant() -> File {
    let mut file =
        File::new("grant", 9, "What an owner answers: a permit with its proof, or a bare refusal.");
    let world = Retrieval::new();
    let federation = world.federation();
    for (what, grant) in [("permit", &world.grant), ("refusal", &world.refusal)] {
        case_of::<_, v1::RetrievalGrant>(
            &mut file,
            what,
            "RetrievalGrant",
            grant,
            OWNER,
            &federation,
        );
    }
    refuse_all::<Grant, v1::RetrievalGrant>(
        &mut file,
        world.refusal.bytes(),
        &[
            ("a refusal that names a rule", |wire| wire.rule = "no".to_owned()),
            ("a refusal with a checkpoint", |wire| wire.checkpoint = Bytes::from_static(b"x")),
            ("a refusal with a proof", |wire| {
                wire.inclusion_proof.push(Bytes::from(vec![0; 32]));
            }),
            ("a refusal with a size", |wire| wire.expected_size_bytes = 1),
            ("outcome 3", |wire| wire.outcome = 3),
            ("a permit without a rule and proof", |wire| wire.outcome = 1),
            ("a policy digest of 31 bytes", |wire| {
                wire.policy_sha256 = wire.policy_sha256.slice(1..);
            }),
        ],
    );
    file
}

pub(crate) fn completion() -> File {
    let mut file = File::new("completion", 9, "What an owner says that it sent.");
    let world = Retrieval::new();
    let federation = world.federation();
    let aborted = world.aborted();
    for (what, completion) in [("complete", &world.completion), ("aborted", &aborted)] {
        case_of::<_, v1::RetrievalCompletion>(
            &mut file,
            what,
            "RetrievalCompletion",
            completion,
            OWNER,
            &federation,
        );
    }
    refuse_all::<Completion, v1::RetrievalCompletion>(
        &mut file,
        world.completion.bytes(),
        &[
            ("no status", |wire| wire.status = 0),
            ("no content digest", |wire| wire.content_sha256.clear()),
        ],
    );
    file
}

pub(crate) fn acknowledgement() -> File {
    let mut file = File::new("acknowledgement", 9, "What a requester says that it received.");
    let world = Retrieval::new();
    let federation = world.federation();
    let mismatch = acknowledged(&world.completion, AcknowledgementStatus::Mismatch);
    let mismatch = sign(mismatch, REQUESTER, &federation);
    for (what, one) in [("matching", &world.acknowledgement), ("mismatch", &mismatch)] {
        case_of::<_, v1::RetrievalAcknowledgement>(
            &mut file,
            what,
            "RetrievalAcknowledgement",
            one,
            REQUESTER,
            &federation,
        );
    }
    refuse_all::<Acknowledgement, v1::RetrievalAcknowledgement>(
        &mut file,
        world.acknowledgement.bytes(),
        &[
            ("status 3", |wire| wire.status = 3),
            ("no completion digest", |wire| wire.completion_sha256.clear()),
        ],
    );
    file
}
