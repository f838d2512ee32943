//! Retrieval between a hospital that owns a record and a municipality that asks for it: real stores, charter and gRPC
//! over memory, a fake local system and a clock that stands still.

mod keeping;
mod line;
mod owner;
mod refusal;
mod requester;
mod source;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sundbro_adapters::adapter::Adapter;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, Environment};
use sundbro_ledger::checkpoint::{Origin, UnverifiedCheckpoint};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{ContentDigest, FederationId, LogId, MemberName, RecordId};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::transaction::Audience;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalServiceServer;
use sundbro_proto::ledger::v1;
use sundbro_store::audit::AuditRecord;
use sundbro_store::{
    Identity, Locator, LocatorChange, NewBlob, OpenOptions, OwnDraft, OwnSigner, Store,
};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};

pub(super) use self::line::Line;
use self::source::FINGERPRINT;
pub(super) use self::source::{FakeSource, Mode};
use super::NowMillis;
use super::acknowledge::{AcknowledgeContext, Acknowledgements};
use super::channels::{NoChannel, PeerChannels};
use super::owner::{Owner, OwnerContext, SourceSet};
use super::requester::{Requester, RequesterContext};
use super::service::RetrievalApi;
use super::signer::ServiceSigner;
use crate::caller::{LocalClient, Peer};
use crate::charter_book::CharterBook;
use crate::config::{CertificateMatch, ClientRule};
use crate::policy::{Policy, PolicyBook};

pub(super) const HOSPITAL: &str = "hospital.example";
pub(super) const KOMMUNE: &str = "kommune.example";
/// The record that the hospital registers.
pub(super) const RECORD: [u8; 16] = [7; 16];
/// A Monday in 2026, in milliseconds.
const NOW: i64 = 1_790_000_000_000;

/// What the record says: more than one frame of it.
pub(super) fn content() -> Vec<u8> {
    (0..600_000_u32).map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[2]).collect()
}

pub(super) fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("name")
}

pub(super) fn record(id: [u8; 16]) -> RecordId {
    RecordId { member: name(HOSPITAL), id }
}

/// A member's private keys: 1 signs entries, 2 checkpoints, 3 what retrieval exchanges.
struct Keys(MemberName);

impl Keys {
    fn key(&self, id: u32) -> SigningKey {
        SigningKey::from_seed(&Sha256::digest(format!("{}/{id}", self.0)).into())
    }

    fn entry(&self) -> MemberEntry {
        let listed = |(id, purpose, log_epoch)| MemberKey {
            key_id: id,
            purpose,
            public_key: PublicKey::Ed25519(self.key(id).public()),
            log_epoch,
            from: 0,
            to: None,
        };
        let purposes = [
            (1, KeyPurpose::Transaction, 1),
            (2, KeyPurpose::Checkpoint, 1),
            (3, KeyPurpose::Service, 0),
        ];
        MemberEntry {
            name: self.0.clone(),
            display_name: format!("Test: {}", self.0),
            identifiers: Vec::new(),
            roles: vec![MemberRole::Hospital],
            state: MemberState::Active,
            endpoint: Endpoint::new(&format!("gateway.{}:7443", self.0)).expect("endpoint"),
            keys: purposes.into_iter().map(listed).collect(),
            log_epochs: vec![LogEpoch { epoch: 1, end: None }],
        }
    }
}

fn steward() -> SigningKey {
    SigningKey::from_seed(&[0x51; 32])
}

fn found() -> Charter {
    let mut draft = Draft::found(Environment::Test);
    draft.add_steward("Region", steward().public());
    for member in [HOSPITAL, KOMMUNE] {
        let keys = Keys(name(member));
        let all = [1, 2, 3].map(|id| keys.key(id));
        let card = make_card(&keys.entry(), &FederationId::FOUNDING, &all).expect("card");
        draft.add_member(&card).expect("founder");
    }
    draft.set_authority(vec![0x30; 64].into(), [name(HOSPITAL), name(KOMMUNE)]);
    draft.add_subject_epoch(|_| [1; 32]);
    let mut proposal = draft.propose().expect("proposal");
    proposal.sign(&steward()).expect("steward");
    proposal.finish().expect("version 1")
}

/// One member's gateway, as far as retrieval needs it.
pub(super) struct Site {
    keys: Keys,
    log: LogId,
    folder: TempDir,
    pub(super) store: Arc<Store>,
    pub(super) charter: Arc<CharterBook>,
    pub(super) signer: Arc<ServiceSigner>,
}

impl Site {
    fn new(member: &str, charter: &Charter) -> Self {
        let keys = Keys(name(member));
        let federation_id = FederationId::new(*charter.digest().as_bytes());
        let log = Origin::new(&keys.0, &federation_id, 1).log_id();
        let folder = tempfile::tempdir().expect("folder");
        let store = Arc::new(open(&folder, federation_id, log));
        store.put_charter(&charter.to_wire()).expect("charter");
        let charter = Arc::new(CharterBook::open(store.clone(), &federation_id).expect("charter"));
        let signer = signer_of(&keys, &charter);
        Self { keys, log, folder, store, charter, signer }
    }

    pub(super) fn member(&self) -> &MemberName {
        &self.keys.0
    }

    fn federation_id(&self) -> FederationId {
        self.charter.history().federation_id()
    }

    /// Ends the process that had the store, and starts another one that may only read it.
    pub(super) fn reopen_read_only(self) -> Self {
        let Self { keys, log, folder, store, charter, signer } = self;
        drop((store, charter, signer));
        let store = Arc::new(Store::open_read_only(folder.path()).expect("store"));
        let charter = open_charter(&store);
        let signer = signer_of(&keys, &charter);
        Self { keys, log, folder, store, charter, signer }
    }

    /// Ends the process that had the store, and starts another one.
    pub(super) fn restart(self) -> Self {
        let federation_id = self.federation_id();
        let Self { keys, log, folder, store, charter, signer } = self;
        drop((store, charter, signer));
        let store = Arc::new(open(&folder, federation_id, log));
        let charter = open_charter(&store);
        let signer = signer_of(&keys, &charter);
        Self { keys, log, folder, store, charter, signer }
    }

    fn append(&self, draft: OwnDraft) {
        let history = self.charter.history();
        let (transaction, checkpoint) = (self.keys.key(1), self.keys.key(2));
        let signer = OwnSigner {
            federation_id: self.federation_id(),
            origin: Origin::new(&self.keys.0, &self.federation_id(), 1),
            charter_version: history.in_force(),
            key_id: 1,
            transaction_key: &transaction,
            checkpoint_key: &checkpoint,
        };
        let appended = self.store.append_own(vec![draft], &signer, 497_222, &*history);
        appended.expect("append").outcomes.remove(0).expect("accepted");
        self.fold();
    }

    fn fold(&self) {
        while !self.store.fold(&*self.charter, 1000).expect("fold").finished {}
    }

    /// Takes everything that another member has of its own log.
    pub(super) fn replicate(&self, from: &Self) {
        let history = self.charter.history();
        let note = from.store.checkpoint(&from.log).expect("read").expect("checkpoint").note;
        let note = UnverifiedCheckpoint::parse(&note).expect("note");
        let checkpoint = note.verify(&from.keys.key(2).public()).expect("signature");
        let head = self.store.log_head(&from.log).expect("head");
        let chunk = from.store.chunk(&from.log, head.size(), checkpoint.size()).expect("chunk");
        let verified = chunk.check(&head, &checkpoint).expect("covered").verify(&*history);
        assert_eq!(verified.refusal, None);
        let (entries, head) = (&verified.entries, &verified.head);
        self.store.append_replica(&from.log, entries, &checkpoint, head).expect("append");
        self.fold();
        // Payloads first; the details are known once they are folded.
        for _ in 0..2 {
            for key in self.store.missing_blobs(&from.log, 100).expect("missing") {
                let bytes = from.store.blob(&key.commitment).expect("read").expect("blob");
                let blob = NewBlob { kind: key.kind, commitment: key.commitment, bytes };
                self.store.put_blobs(&[blob]).expect("blob");
            }
            self.fold();
        }
    }

    /// The kinds of all audit entries, oldest first.
    pub(super) fn audit_kinds(&self) -> Vec<String> {
        self.audit().into_iter().map(|entry| entry.kind).collect()
    }

    pub(super) fn audit(&self) -> Vec<AuditRecord> {
        let entries = self.store.audit_entries(None, None, 100).expect("audit");
        entries.into_iter().rev().map(|(_, entry)| entry).collect()
    }
}

fn open(folder: &TempDir, federation_id: FederationId, own_log: LogId) -> Store {
    let options = OpenOptions {
        identity: Identity { federation_id, own_log },
        gate: None,
        cache_bytes: 4 << 20,
        recreate_gate: false,
    };
    Store::open(folder.path(), options).expect("store")
}

fn open_charter(store: &Arc<Store>) -> Arc<CharterBook> {
    let first = Charter::from_wire(&store.charters().expect("read")[0]).expect("charter");
    let id = CharterHistory::found(first).expect("history").federation_id();
    Arc::new(CharterBook::open(store.clone(), &id).expect("charter"))
}

fn signer_of(keys: &Keys, charter: &Arc<CharterBook>) -> Arc<ServiceSigner> {
    let federation_id = charter.history().federation_id();
    let signer = ServiceSigner::new(keys.0.clone(), federation_id, keys.key(3), charter.clone());
    Arc::new(signer)
}

fn object(id: [u8; 16]) -> v1::ObjectId {
    v1::ObjectId { member: HOSPITAL.to_owned(), id: Bytes::copy_from_slice(&id) }
}

fn frame(salt: u8, body: &[u8]) -> Blob {
    Blob::frame(&[salt; 32], body, Audience::Federation).expect("blob")
}

fn draft(salt: u8, body: v1::transaction_payload::Body) -> OwnDraft {
    let blob = frame(salt, &v1::TransactionPayload { body: Some(body) }.encode_to_vec());
    OwnDraft {
        commitment: blob.payload_commitment(),
        payload: blob.bytes().clone(),
        audience: Audience::Federation,
        detail: None,
        locator: None,
        request: None,
    }
}

/// Registers a version of the record with these bytes.
fn register(version: u32, bytes: &[u8]) -> OwnDraft {
    register_as(RECORD, v1::Confidentiality::Normal, version, bytes)
}

/// Registers a version of a record.
fn register_as(
    id: [u8; 16],
    confidentiality: v1::Confidentiality,
    version: u32,
    bytes: &[u8],
) -> OwnDraft {
    let record = v1::RecordVersion { record: Some(object(id)), version };
    let digest = <[u8; 32]>::from(Sha256::digest(bytes));
    let detail = v1::RecordDetail {
        record: Some(record),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        media_type: "application/fhir+json".to_owned(),
        content_sha256: Bytes::copy_from_slice(&digest),
        content_size_bytes: bytes.len() as u64,
        stability: v1::Stability::Stable.into(),
        confidentiality: confidentiality.into(),
        ..Default::default()
    };
    let salt = id[0].wrapping_mul(8).wrapping_add(u8::try_from(version).expect("small"));
    let detail = frame(128 ^ salt, &detail.encode_to_vec());
    let registered = v1::RecordRegistered {
        record: Some(object(id)),
        version,
        subjects: vec![v1::SubjectTag { scheme: 1, epoch: 1, value: vec![3; 32].into() }],
        lifecycle: v1::RecordLifecycle::Final.into(),
        detail_commitment: Bytes::copy_from_slice(detail.detail_commitment().as_bytes()),
        replaces: None,
    };
    let body = v1::transaction_payload::Body::RecordRegistered(registered);
    OwnDraft {
        detail: Some((detail.detail_commitment(), detail.bytes().clone())),
        locator: Some(LocatorChange::Register(Locator {
            adapter: "documents".to_owned(),
            source_key: source_key(id),
            record: id,
            version,
            generation: 0,
            content: ContentDigest::new(digest),
            size: bytes.len() as u64,
            fingerprint: FINGERPRINT.to_bytes().to_vec(),
            document_id: None,
            position: 0,
            live: true,
        })),
        ..draft(salt, body)
    }
}

/// The file that a record comes from.
fn source_key(id: [u8; 16]) -> Vec<u8> {
    format!("letter-{}.json", id[0]).into_bytes()
}

fn withdrawal(id: [u8; 16]) -> OwnDraft {
    let withdrawn = v1::RecordWithdrawn {
        record: Some(object(id)),
        reason: v1::WithdrawalReason::SourceRemoved.into(),
    };
    let (adapter, source_key) = ("documents".to_owned(), source_key(id));
    OwnDraft {
        locator: Some(LocatorChange::Withdraw { adapter, source_key }),
        ..draft(200 + id[0], v1::transaction_payload::Body::RecordWithdrawn(withdrawn))
    }
}

/// The life of one process: whatever runs when it ends is gone, and with it every handle of a store.
pub(super) fn process(life: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("runtime").block_on(life);
}

/// Two members, one record, one source, one clock.
pub(super) struct World {
    pub(super) hospital: Site,
    pub(super) kommune: Site,
    pub(super) source: Arc<FakeSource>,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) ingested: Arc<AtomicUsize>,
    policy: Arc<PolicyBook>,
}

impl World {
    /// The hospital has registered the record, the municipality has replicated that.
    pub(super) fn new() -> Self {
        let charter = found();
        let world = Self {
            hospital: Site::new(HOSPITAL, &charter),
            kommune: Site::new(KOMMUNE, &charter),
            source: Arc::new(FakeSource {
                mode: Mutex::new(Mode::Whole),
                opened: AtomicUsize::new(0),
            }),
            clock: Arc::new(AtomicI64::new(NOW)),
            ingested: Arc::new(AtomicUsize::new(0)),
            policy: PolicyBook::fixed(Policy::defaults()),
        };
        world.hospital.append(register(1, &content()));
        world.kommune.replicate(&world.hospital);
        world
    }

    pub(super) fn register_next(&self) {
        self.hospital.append(register(2, b"changed"));
    }

    pub(super) fn withdraw(&self) {
        self.hospital.append(withdrawal(RECORD));
    }

    /// The next charter version suspends this member, everywhere.
    pub(super) fn suspend(&self, member: &str) {
        let mut draft = Draft::next(&self.hospital.charter.history()).expect("no fork");
        draft.suspend(&name(member), |_| [2; 32]).expect("a member");
        let mut proposal = draft.propose().expect("proposal");
        proposal.sign(&steward()).expect("steward");
        let charter = proposal.finish().expect("signed").to_wire();
        for site in [&self.hospital, &self.kommune] {
            let _ = site.charter.offer(&charter).expect("taken");
        }
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        *self.source.mode.lock().expect("lock") = mode;
    }

    /// How often the policy was asked.
    fn judged(&self) -> usize {
        self.policy.asked.load(Ordering::SeqCst)
    }

    fn now(&self) -> NowMillis {
        let clock = self.clock.clone();
        Arc::new(move || clock.load(Ordering::SeqCst))
    }

    /// The owner's side of a site. Its ingest counts, and does what a test wants.
    pub(super) fn owner_of(
        &self,
        site: &Site,
        ingest: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Owner> {
        let ingested = self.ingested.clone();
        let ingest = move |_: &str| -> BoxFuture<'static, ()> {
            ingested.fetch_add(1, Ordering::SeqCst);
            ingest();
            std::future::ready(()).boxed()
        };
        let source: Arc<dyn Adapter> = self.source.clone();
        Owner::new(OwnerContext {
            signer: site.signer.clone(),
            store: site.store.clone(),
            charter: site.charter.clone(),
            policy: self.policy.clone(),
            sources: Arc::new(SourceSet::new([source], Box::new(ingest))),
            now_millis: self.now(),
        })
    }

    pub(super) fn owner(&self) -> Arc<Owner> {
        self.owner_of(&self.hospital, || {})
    }

    /// The requester's side of a site, calling the hospital through `line`.
    pub(super) fn requester_of(&self, site: &Site, line: &Arc<Line>) -> Arc<Requester> {
        Requester::new(RequesterContext {
            signer: site.signer.clone(),
            store: site.store.clone(),
            charter: site.charter.clone(),
            channels: line.clone(),
            owner: self.owner_of(site, || {}),
            acknowledgements: Acknowledgements::new(),
            now_millis: self.now(),
        })
    }

    pub(super) fn acknowledge_context(&self, site: &Site, line: &Arc<Line>) -> AcknowledgeContext {
        AcknowledgeContext {
            member: site.member().clone(),
            store: site.store.clone(),
            channels: line.clone(),
            owner: self.owner_of(site, || {}),
            acknowledgements: Acknowledgements::new(),
            peers: Arc::new(crate::hub::PeerTable::new()),
        }
    }
}

/// A local system whose certificate may state one role, unit and purpose.
pub(super) fn client() -> LocalClient {
    LocalClient::new(Arc::new(ClientRule {
        name: "ehr".to_owned(),
        certificate: CertificateMatch::Sha256([0; 32]),
        roles: BTreeSet::from(["health-visitor".to_owned(), "clerk".to_owned()]),
        units: BTreeSet::from([("urn:oid:1.2.208.176.1.1".to_owned(), "4711".to_owned())]),
        purposes: BTreeSet::from([v1::PurposeOfUse::Treatment]),
        operator: false,
        auditor: false,
    }))
}

/// The reason in a status, and its metadata.
pub(super) fn reason(status: &tonic::Status) -> (String, BTreeMap<String, String>) {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info();
    let metadata = info.map(|info| info.metadata.clone().into_iter().collect());
    (info.map_or_else(String::new, |info| info.reason.clone()), metadata.unwrap_or_default())
}
