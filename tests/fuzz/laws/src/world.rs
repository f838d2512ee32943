//! The made-up federation that the laws are about: what was signed in it, and so what may verify.

use std::sync::OnceLock;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_gateway::subject::grant::{self, SealingKey};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, Environment};
use sundbro_ledger::checkpoint::{Checkpoint, Origin, sign_checkpoint};
use sundbro_ledger::drafting::Draft as CharterDraft;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, MemberName, RecordId, SubjectTag};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
};
use sundbro_ledger::merkle::MemoryTree;
use sundbro_ledger::payload::{Detail, Payload, RecordRegistered};
use sundbro_ledger::retrieval::{Acknowledgement, Completion, Grant, Request, Verified};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use sundbro_ledger::transaction::{Audience, Draft};
use sundbro_proto::ledger::v1;

use crate::story::Retrieval;

/// Who keeps the log.
pub const HOSPITAL: &str = "hospital.example";
/// Who asks.
pub const CLINIC: &str = "clinic.example";
/// Entries in the log: more than one bundle.
pub const ENTRIES: u64 = 300;
/// Where the record is registered.
pub const RECORD_POSITION: u64 = 2;
pub(crate) const CONTENT: &[u8] = b"<ClinicalDocument/>";
const KEYS: [(u32, KeyPurpose, u32); 3] =
    [(1, KeyPurpose::Transaction, 1), (2, KeyPurpose::Checkpoint, 1), (3, KeyPurpose::Service, 0)];
const SEALING: u32 = 4;

/// Everything that was signed.
pub struct World {
    /// Versions 1 and 2 of the charter.
    pub history: CharterHistory,
    /// Version 3, which nobody has yet.
    pub third: Charter,
    /// The hospital's log.
    pub origin: Origin,
    /// Its entries.
    pub entries: Vec<Bytes>,
    /// Its tree.
    pub tree: MemoryTree,
    /// Its end at each size.
    pub heads: Vec<LogHead>,
    /// The payload and the detail of the record.
    pub blobs: [Blob; 2],
    /// The card of a newcomer.
    pub card: v1::MemberCard,
    /// The request, and its answers.
    pub request: Verified<Request>,
    /// The permit.
    pub grant: Verified<Grant>,
    /// A refusal of the same request.
    pub refusal: Verified<Grant>,
    /// The completion of the permit.
    pub completion: Verified<Completion>,
    /// The acknowledgement of the completion.
    pub acknowledgement: Verified<Acknowledgement>,
    /// A whole receipt, one without an answer, one of the refusal.
    pub receipts: Vec<v1::Receipt>,
    /// The subject key of epoch 1, sealed to the clinic.
    pub key_grant: v1::SubjectKeyGrant,
}

/// The one world: made once, the same every time.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::make)
}

fn digest(of: &str) -> [u8; 32] {
    Sha256::digest(of).into()
}

/// A member's name.
pub fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

/// A member's key.
pub fn key(member: &str, key_id: u32) -> SigningKey {
    SigningKey::from_seed(&digest(&format!("{member}/{key_id}")))
}

/// What a member opens grants with.
pub fn sealing(member: &str) -> SealingKey {
    SealingKey::new(SEALING, &digest(&format!("{member}/sealing")))
}

/// The key of a subject epoch.
pub fn subject_key(epoch: u32) -> SubjectKey {
    SubjectKey::new(digest(&format!("subject {epoch}")))
}

/// A member's entry.
pub fn entry(member: &str) -> MemberEntry {
    let listed = |key_id, purpose, public_key, log_epoch| MemberKey {
        key_id,
        purpose,
        public_key,
        log_epoch,
        from: 0,
        to: None,
    };
    let signing = KEYS.map(|(key_id, purpose, epoch)| {
        listed(key_id, purpose, PublicKey::Ed25519(key(member, key_id).public()), epoch)
    });
    let sealing = PublicKey::X25519(sealing(member).public());
    let sealing = listed(SEALING, KeyPurpose::Sealing, sealing, 0);
    MemberEntry {
        name: name(member),
        display_name: member.to_owned(),
        identifiers: Vec::new(),
        roles: vec![MemberRole::Hospital],
        state: MemberState::Active,
        endpoint: Endpoint::new(&format!("{member}:7443")).expect("an endpoint"),
        keys: signing.into_iter().chain([sealing]).collect(),
        log_epochs: vec![LogEpoch { epoch: 1, end: None }],
    }
}

fn card(member: &str, federation: &FederationId) -> v1::MemberCard {
    let keys = KEYS.map(|(key_id, ..)| key(member, key_id));
    make_card(&entry(member), federation, &keys).expect("a card")
}

fn found() -> CharterHistory {
    let mut draft = CharterDraft::found(Environment::Test);
    draft.add_steward("Region office", key("steward", 1).public());
    for member in [HOSPITAL, CLINIC] {
        draft.add_member(&card(member, &FederationId::FOUNDING)).expect("a founder");
    }
    draft.set_authority(vec![0x30; 64].into(), [HOSPITAL, CLINIC].map(name));
    draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
    let mut proposal = draft.propose().expect("keeps every rule");
    proposal.sign(&key("steward", 1)).expect("a steward");
    CharterHistory::found(proposal.finish().expect("signed")).expect("a federation")
}

fn next(history: &CharterHistory, change: impl FnOnce(&mut CharterDraft)) -> Charter {
    let mut draft = CharterDraft::next(history).expect("no fork");
    change(&mut draft);
    let mut proposal = draft.propose().expect("keeps every rule");
    proposal.sign(&key("steward", 1)).expect("a steward");
    proposal.finish().expect("signed")
}

pub(crate) fn record() -> RecordId {
    RecordId { member: name(HOSPITAL), id: [0xa1; 16] }
}

/// The record's detail and registration, framed.
fn blobs() -> [Blob; 2] {
    let object = v1::ObjectId { member: HOSPITAL.to_owned(), id: vec![0xa1; 16].into() };
    let detail = Detail::new(v1::RecordDetail {
        record: Some(v1::RecordVersion { record: Some(object), version: 1 }),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        class: Some(v1::Coding { system: "http://loinc.org".into(), code: "34108-1".into() }),
        media_type: "application/hl7-cda+xml".into(),
        content_sha256: Bytes::copy_from_slice(&Sha256::digest(CONTENT)),
        content_size_bytes: CONTENT.len() as u64,
        stability: 1,
        confidentiality: 1,
        language: "da-DK".into(),
        ..Default::default()
    });
    let frame = |salt, body: &[u8]| Blob::frame(&[salt; 32], body, Audience::Federation);
    let detail = frame(2, &detail.expect("keeps every rule").encode()).expect("small");
    let registered = Payload::Registered(RecordRegistered {
        record: record(),
        version: 1,
        subjects: vec![SubjectTag { scheme: 1, epoch: 1, value: [7; 32] }],
        lifecycle: v1::RecordLifecycle::Final.into(),
        detail_commitment: detail.detail_commitment(),
        replaces: None,
    });
    let payload = frame(1, &registered.encode().expect("keeps every rule")).expect("small");
    [payload, detail]
}

impl World {
    fn make() -> Self {
        let mut history = found();
        let second = next(&history, |draft| draft.set_quorums(1, 1));
        let _ = history.offer(second).expect("follows");
        let card = card("laboratory.example", &history.federation_id());
        let third = next(&history, |draft| {
            draft.set_quorums(0, 0);
            draft.add_member(&card).expect("a newcomer");
        });
        let blobs = blobs();
        let origin = Origin::new(&name(HOSPITAL), &history.federation_id(), 1);
        let (entries, tree, heads) = write_log(&history, &origin, &blobs[0]);
        let story = Retrieval::of(&history, &origin, &entries, &tree);
        let receipts = story.receipts(&history, &blobs);
        let Retrieval { request, grant, refusal, completion, acknowledgement } = story;
        let clinic = name(CLINIC);
        let public = sealing(CLINIC).public();
        let id = history.federation_id();
        let key_grant = grant::seal(&subject_key(1), &id, 1, &clinic, SEALING, &public);
        Self {
            history,
            third,
            origin,
            entries,
            tree,
            heads,
            blobs,
            card,
            request,
            grant,
            refusal,
            completion,
            acknowledgement,
            receipts,
            key_grant: key_grant.expect("a good key"),
        }
    }

    /// The checkpoint that the hospital signed at a size.
    pub fn checkpoint(&self, size: u64) -> Bytes {
        note_at(&self.origin, &self.tree, size)
    }

    /// What a log's key signs: the four messages as they travel, in order, the refusal last.
    pub fn messages(&self) -> [v1::SignedMessage; 5] {
        [
            self.request.to_wire(),
            self.grant.to_wire(),
            self.completion.to_wire(),
            self.acknowledgement.to_wire(),
            self.refusal.to_wire(),
        ]
    }
}

pub(crate) fn note_at(origin: &Origin, tree: &MemoryTree, size: u64) -> Bytes {
    let root = tree.root_at(size).expect("a size of the log");
    sign_checkpoint(&Checkpoint::new(origin, size, root), &key(HOSPITAL, 2)).into()
}

fn write_log(
    history: &CharterHistory,
    origin: &Origin,
    payload: &Blob,
) -> (Vec<Bytes>, MemoryTree, Vec<LogHead>) {
    let mut head = LogHead::new(origin.log_id());
    let (mut entries, mut tree, mut heads) = (Vec::new(), MemoryTree::new(), vec![head.clone()]);
    for position in 0..ENTRIES {
        let (commitment, size) = match position {
            RECORD_POSITION => (payload.payload_commitment(), payload.bytes().len()),
            _ => (sundbro_ledger::blob::payload_commitment(&position.to_be_bytes()), 64),
        };
        let draft = Draft {
            charter_version: if position < 2 { 1 } else { 2 },
            key_id: 1,
            incarnation: 1,
            recorded_hour: 491_000,
            payload_commitment: commitment,
            payload_size: u32::try_from(size).expect("small"),
            audience: Audience::Federation,
        };
        let signed = head.sign_next(draft, &key(HOSPITAL, 1), &history.federation_id());
        let verified = head.verify(signed, history).expect("signed as it must be");
        head.append(&verified).expect("follows");
        tree.append(verified.leaf());
        entries.push(verified.entry_bytes().clone());
        heads.push(head.clone());
    }
    (entries, tree, heads)
}
