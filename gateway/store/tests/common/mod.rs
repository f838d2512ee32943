//! Members with fixed keys, their stores, and drafts to append: what every test of the store starts from.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod full;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use prost::Message;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::checkpoint::{
    Checkpoint, Origin, UnverifiedCheckpoint, VerifiedCheckpoint, sign_checkpoint,
};
use sundbro_ledger::evidence::{Evidence, EvidenceEffect};
use sundbro_ledger::history::Named;
use sundbro_ledger::ids::{Commitment, FederationId, LogId, MemberName, RootHash, SubjectTag};
use sundbro_ledger::log::{InvalidReason, KeyBook, KeyVerdict, LogHead, Refusal};
use sundbro_ledger::signing::{SigningKey, VerifyingKey};
use sundbro_ledger::transaction::{Audience, Draft};
use sundbro_proto::ledger::v1;
use sundbro_store::index::LogOwners;
use sundbro_store::verify::Trust;
use sundbro_store::{
    AppendOwnError, BlobKind, Identity, NewBlob, OpenOptions, OwnAppend, OwnDraft, OwnSigner,
    Store, StoreError,
};

pub const FEDERATION: FederationId = FederationId::new([0xfe; 32]);
pub const HOUR: u32 = 500_000;

/// A member with its keys; key 1 signs entries and checkpoints for ever.
pub struct Member {
    pub name: MemberName,
    pub origin: Origin,
    transaction: SigningKey,
    checkpoint: SigningKey,
}

impl Member {
    pub fn new(name: &str, seed: u8) -> Self {
        let name = MemberName::new(name).expect("name");
        let origin = Origin::new(&name, &FEDERATION, 1);
        let transaction = SigningKey::from_seed(&[seed; 32]);
        let checkpoint = SigningKey::from_seed(&[seed + 100; 32]);
        Self { name, origin, transaction, checkpoint }
    }

    pub fn log(&self) -> LogId {
        self.origin.log_id()
    }

    pub fn signer(&self) -> OwnSigner<'_> {
        OwnSigner {
            federation_id: FEDERATION,
            origin: self.origin.clone(),
            charter_version: 1,
            key_id: 1,
            transaction_key: &self.transaction,
            checkpoint_key: &self.checkpoint,
        }
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            identity: Identity { federation_id: FEDERATION, own_log: self.log() },
            gate: None,
            cache_bytes: 4 << 20,
            recreate_gate: false,
        }
    }

    pub fn open(&self, dir: &Path) -> Store {
        Store::open(dir, self.options()).expect("store opens")
    }

    /// The key of its checkpoints.
    pub fn checkpoint_key(&self) -> VerifyingKey {
        self.checkpoint.public()
    }

    /// Reads back what another member's checkpoint note says, with this member's key.
    pub fn checkpoint(&self, note: &[u8]) -> VerifiedCheckpoint {
        let parsed = UnverifiedCheckpoint::parse(note).expect("note");
        parsed.verify(&self.checkpoint.public()).expect("signature")
    }
}

impl Member {
    /// Puts one entry of this member's log into a store, with a payload that says nothing that anybody knows.
    pub fn one_entry_in(&self, store: &Store, keys: &Keys) {
        let blob = Blob::frame(&[3; 32], &[0xa2, 0x06, 0x00], Audience::Federation).expect("blob");
        let mut head = LogHead::new(self.log());
        let draft = Draft {
            charter_version: 1,
            key_id: 1,
            incarnation: 1,
            recorded_hour: HOUR,
            payload_commitment: blob.payload_commitment(),
            payload_size: blob.bytes().len() as u32,
            audience: Audience::Federation,
        };
        let signed = head.sign_next(draft, &self.transaction, &FEDERATION);
        let entry = head.verify(signed, keys).expect("valid");
        head.append(&entry).expect("follows");
        let note = Checkpoint::new(&self.origin, 1, head.root());
        let checkpoint = self.checkpoint(&sign_checkpoint(&note, &self.checkpoint));
        store.append_replica(&self.log(), &[entry], &checkpoint, &head).expect("append");
    }
}

impl Member {
    /// That this member signed two trees of one size.
    pub fn two_roots(&self, size: u64) -> Evidence {
        let signed = |root: u8| {
            let note = Checkpoint::new(&self.origin, size, RootHash::new([root; 32]));
            self.checkpoint(&sign_checkpoint(&note, &self.checkpoint))
        };
        let key = self.checkpoint_key();
        Evidence::of_checkpoints((&signed(1), &key), (&signed(2), &key)).expect("two roots")
    }
}

/// Who may sign what, without a charter: TRANSACTION and CHECKPOINT keys, and the size at which the latter end.
pub struct Keys(BTreeMap<LogId, (MemberName, VerifyingKey, VerifyingKey)>, u64);

pub fn keys(members: &[&Member]) -> Keys {
    let entry = |member: &&Member| {
        let keys = (member.transaction.public(), member.checkpoint.public());
        (member.log(), (member.name.clone(), keys.0, keys.1))
    };
    Keys(members.iter().map(entry).collect(), u64::MAX)
}

/// As [`keys`], with checkpoints up to this size only.
pub fn keys_to(members: &[&Member], size: u64) -> Keys {
    Keys(keys(members).0, size)
}

impl KeyBook for Keys {
    fn federation_id(&self) -> FederationId {
        FEDERATION
    }

    fn transaction_key(&self, log: &LogId, version: u64, key_id: u32, _: u64) -> KeyVerdict {
        match self.0.get(log) {
            Some((_, key, _)) if version == 1 && key_id == 1 => KeyVerdict::Key(*key),
            Some(_) if version > 1 => KeyVerdict::Waiting,
            _ => KeyVerdict::Invalid("no such key"),
        }
    }

    fn checkpoint_key_covers(&self, log: &LogId, size: u64, key: &VerifyingKey) -> bool {
        self.0.get(log).is_some_and(|(_, _, listed)| listed == key && size <= self.1)
    }
}

impl LogOwners for Keys {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.0.get(log).map(|(name, _, _)| (name.clone(), 1))
    }

    fn first_refused(
        &self,
        _: &LogId,
        _: u64,
        _: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        Ok(None)
    }

    /// All of it counts.
    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        match (evidence.parting(), evidence.size()) {
            (Some(position), _) => EvidenceEffect::PartsAt(position),
            (None, size) => size.map_or(EvidenceEffect::None, EvidenceEffect::PartsBelow),
        }
    }
}

/// The same, and a charter that names the branch that goes on: no evidence counts.
pub struct Settles<'a>(pub &'a Keys);

impl LogOwners for Settles<'_> {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.0.log_owner(log)
    }

    fn first_refused(
        &self,
        _: &LogId,
        _: u64,
        _: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        Ok(None)
    }

    fn effect(&self, _: &Evidence) -> EvidenceEffect {
        EvidenceEffect::None
    }
}

/// The same, and a charter that takes back every entry from a position on.
pub struct TakesBack<'a>(pub &'a Keys, pub u64);

impl LogOwners for TakesBack<'_> {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.0.log_owner(log)
    }

    fn first_refused(
        &self,
        _: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        let position = self.1;
        if position >= size {
            return Ok(None);
        }
        assert_eq!(named_at(position)?, Named { charter_version: 1, key_id: 1 });
        Ok(Some(Refusal::Invalid { position, reason: InvalidReason::WrongKey("taken back") }))
    }

    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        self.0.effect(evidence)
    }
}

impl Trust for Keys {
    fn transaction_key_then(&self, log: &LogId, version: u64, key_id: u32, at: u64) -> KeyVerdict {
        self.transaction_key(log, version, key_id, at)
    }

    fn checkpoint_key_then(&self, checkpoint: &UnverifiedCheckpoint) -> KeyVerdict {
        let key = self.0.get(&checkpoint.log_id()).map(|(_, _, key)| *key);
        key.map_or(KeyVerdict::Invalid("no such log"), KeyVerdict::Key)
    }
}

pub fn tag(n: u8) -> SubjectTag {
    SubjectTag { scheme: 1, epoch: 1, value: [n; 32] }
}

/// What a test says about one version of a record.
#[derive(Clone)]
pub struct Says {
    pub record: u8,
    pub version: u32,
    pub subjects: Vec<u8>,
    pub replaces: Option<u8>,
    pub class: &'static str,
    pub start: Option<i64>,
}

pub fn says(record: u8, version: u32) -> Says {
    Says { record, version, subjects: vec![1], replaces: None, class: "34133-9", start: None }
}

fn object(member: &MemberName, id: u8) -> v1::ObjectId {
    v1::ObjectId { member: member.to_string(), id: Bytes::from(vec![id; 16]) }
}

fn frame(salt: u64, body: &impl Message) -> Blob {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&salt.to_be_bytes());
    Blob::frame(&bytes, &body.encode_to_vec(), Audience::Federation).expect("blob")
}

/// A draft that registers a version of a record, with its detail.
pub fn register(member: &Member, salt: u64, says: &Says) -> OwnDraft {
    let version =
        |id: u8, version| v1::RecordVersion { record: Some(object(&member.name, id)), version };
    let detail = v1::RecordDetail {
        record: Some(version(says.record, says.version)),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        class: Some(v1::Coding {
            system: "http://loinc.org".to_owned(),
            code: says.class.to_owned(),
        }),
        media_type: "application/fhir+json".to_owned(),
        content_sha256: Bytes::from(vec![says.record; 32]),
        content_size_bytes: 100,
        stability: v1::Stability::Stable.into(),
        period: says.start.map(|start| v1::ClinicalPeriod {
            start_unix_seconds: Some(start),
            end_unix_seconds: Some(start + 1),
        }),
        confidentiality: v1::Confidentiality::Normal.into(),
        ..v1::RecordDetail::default()
    };
    let detail = frame(salt + 1_000_000, &detail);
    let registered = v1::RecordRegistered {
        record: Some(object(&member.name, says.record)),
        version: says.version,
        subjects: says
            .subjects
            .iter()
            .map(|n| v1::SubjectTag { scheme: 1, epoch: 1, value: Bytes::from(vec![*n; 32]) })
            .collect(),
        lifecycle: v1::RecordLifecycle::Final.into(),
        detail_commitment: Bytes::copy_from_slice(detail.detail_commitment().as_bytes()),
        replaces: says.replaces.map(|id| version(id, 1)),
    };
    let body = v1::transaction_payload::Body::RecordRegistered(registered);
    let mut draft = draft_of(salt, body);
    draft.detail = Some((detail.detail_commitment(), detail.bytes().clone()));
    draft
}

pub fn withdraw(member: &Member, salt: u64, record: u8) -> OwnDraft {
    draft_of(
        salt,
        v1::transaction_payload::Body::RecordWithdrawn(v1::RecordWithdrawn {
            record: Some(object(&member.name, record)),
            reason: v1::WithdrawalReason::SourceRemoved.into(),
        }),
    )
}

fn draft_of(salt: u64, body: v1::transaction_payload::Body) -> OwnDraft {
    let blob = frame(salt, &v1::TransactionPayload { body: Some(body) });
    draft_of_blob(&blob)
}

pub fn draft_of_blob(blob: &Blob) -> OwnDraft {
    OwnDraft {
        commitment: blob.payload_commitment(),
        payload: blob.bytes().clone(),
        audience: Audience::Federation,
        detail: None,
        locator: None,
        request: None,
    }
}

pub fn try_append(
    store: &Store,
    member: &Member,
    drafts: Vec<OwnDraft>,
) -> Result<OwnAppend, AppendOwnError> {
    store.append_own(drafts, &member.signer(), HOUR, &keys(&[member]))
}

pub fn append(store: &Store, member: &Member, drafts: Vec<OwnDraft>) -> OwnAppend {
    try_append(store, member, drafts).expect("append")
}

/// Registers `count` records, each about subject 1.
pub fn fill(store: &Store, member: &Member, from: u8, count: u8) {
    let drafts =
        (from..from + count).map(|n| register(member, u64::from(n), &says(n, 1))).collect();
    append(store, member, drafts);
}

/// Copies what `from` has of a log into the replica `to`, chunk by chunk, with the checks of a replica.
pub fn replicate(from: &Store, to: &Store, member: &Member, keys: &Keys) {
    let log = member.log();
    let checkpoint = from.checkpoint(&log).expect("read").expect("checkpoint");
    let checkpoint = member.checkpoint(&checkpoint.note);
    loop {
        let head = to.log_head(&log).expect("head");
        if head.size() >= checkpoint.size() {
            return;
        }
        let chunk = from.chunk(&log, head.size(), checkpoint.size()).expect("chunk");
        let verified = chunk.check(&head, &checkpoint).expect("covered").verify(keys);
        assert_eq!(verified.refusal, None);
        to.append_replica(&log, &verified.entries, &checkpoint, &verified.head).expect("append");
    }
}

/// The blobs of drafts, as another member hands them over.
pub fn blobs(drafts: &[OwnDraft]) -> Vec<NewBlob> {
    let mut blobs = Vec::new();
    for draft in drafts {
        let (commitment, bytes) = (draft.commitment, draft.payload.clone());
        blobs.push(NewBlob { kind: BlobKind::Payload, commitment, bytes });
        if let Some((commitment, bytes)) = draft.detail.clone() {
            blobs.push(NewBlob { kind: BlobKind::Detail, commitment, bytes });
        }
    }
    blobs
}

pub fn no_commitment() -> Commitment {
    Commitment::new([0; 32])
}
