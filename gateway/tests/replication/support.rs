//! A small federation for tests: everybody's keys, and real stores in temporary folders.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_gateway::charter_book::CharterBook;
use sundbro_gateway::hub::{Hub, PeerTable};
use sundbro_gateway::replication::{
    OwnIdentity, Replication, ReplicationContext, ReplicationSettings,
};
use sundbro_gateway::subject::SubjectKeys;
use sundbro_gateway::subject::grant::SealingKey;
use sundbro_ledger::blob::{Blob, detail_commitment};
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, Environment};
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;
use sundbro_store::tables::StoreFile;
use sundbro_store::{Identity, Observing, OpenOptions, OwnDraft, OwnSigner, Store};
use tokio_util::sync::CancellationToken;

pub use crate::streams::{Running, connect, connect_counted, kind_name, session};

pub const GP: &str = "gp.example";
pub const HOSPITAL: &str = "hospital.example";
pub const LAB: &str = "lab.example";

pub const TRANSACTION: u32 = 1;
pub const CHECKPOINT: u32 = 2;
pub const SEALING: u32 = 3;

/// How long a test waits for something that should happen at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

fn digest(what: &str) -> [u8; 32] {
    Sha256::digest(what).into()
}

/// A member's key, from its name: tests are the same every time.
pub fn key(member: &str, key_id: u32) -> SigningKey {
    SigningKey::from_seed(&digest(&format!("{member}/{key_id}")))
}

fn sealing(member: &str) -> SealingKey {
    SealingKey::new(SEALING, &digest(&format!("{member}/sealing")))
}

pub fn subject_key(epoch: u32) -> SubjectKey {
    SubjectKey::new(digest(&format!("subject {epoch}")))
}

fn entry(member: &str) -> MemberEntry {
    let ed25519 = |key_id| PublicKey::Ed25519(key(member, key_id).public());
    let listed = [
        (TRANSACTION, KeyPurpose::Transaction, ed25519(TRANSACTION), 1),
        (CHECKPOINT, KeyPurpose::Checkpoint, ed25519(CHECKPOINT), 1),
        (SEALING, KeyPurpose::Sealing, PublicKey::X25519(sealing(member).public()), 0),
    ];
    let keys = listed.map(|(key_id, purpose, public_key, log_epoch)| MemberKey {
        key_id,
        purpose,
        public_key,
        log_epoch,
        from: 0,
        to: None,
    });
    MemberEntry {
        name: name(member),
        display_name: member.to_owned(),
        identifiers: Vec::new(),
        roles: vec![MemberRole::Hospital],
        state: MemberState::Active,
        endpoint: Endpoint::new(&format!("{member}:7443")).expect("an endpoint"),
        keys: keys.into(),
        log_epochs: vec![LogEpoch { epoch: 1, end: None }],
    }
}

/// The charter as everybody has it, and the stewards' keys.
#[derive(Clone)]
pub struct Federation {
    stewards: Vec<SigningKey>,
    pub history: CharterHistory,
}

impl Federation {
    /// GP, hospital and laboratory; one steward; one subject epoch.
    pub fn found() -> Self {
        Self::of(&[GP, HOSPITAL, LAB])
    }

    /// As [`Federation::found`], of other members.
    pub fn of(members: &[&str]) -> Self {
        Self::governed_by(1, members)
    }

    /// As [`Federation::of`], with several stewards, more than half of whom sign each version.
    pub fn governed_by(stewards: u32, members: &[&str]) -> Self {
        let stewards: Vec<_> = (1..=stewards).map(|ordinal| key("steward", ordinal)).collect();
        let mut draft = Draft::found(Environment::Test);
        for steward in &stewards {
            draft.add_steward("Region", steward.public());
        }
        for member in members {
            let keys = [key(member, TRANSACTION), key(member, CHECKPOINT)];
            let card = make_card(&entry(member), &FederationId::FOUNDING, &keys).expect("a card");
            draft.add_member(&card).expect("a founder");
        }
        draft.set_authority(vec![0x30; 64].into(), members.iter().map(|member| name(member)));
        draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
        let mut proposal = draft.propose().expect("a proposal");
        for steward in &stewards {
            proposal.sign(steward).expect("a steward");
        }
        let first = proposal.finish().expect("version 1");
        Self { stewards, history: CharterHistory::found(first).expect("a federation") }
    }

    pub fn id(&self) -> FederationId {
        self.history.federation_id()
    }

    pub fn origin(&self, member: &str) -> Origin {
        Origin::new(&name(member), &self.id(), 1)
    }

    pub fn log(&self, member: &str) -> LogId {
        self.origin(member).log_id()
    }

    /// The next version, signed and followed by the federation; gateways learn it by themselves.
    pub fn publish(&mut self, change: impl FnOnce(&mut Draft)) -> Charter {
        let all: Vec<usize> = (0..self.stewards.len()).collect();
        self.publish_by(&all, change)
    }

    /// As [`Federation::publish`], signed by some of the stewards, counted from 0.
    pub fn publish_by(&mut self, by: &[usize], change: impl FnOnce(&mut Draft)) -> Charter {
        let mut draft = Draft::next(&self.history).expect("a draft");
        change(&mut draft);
        let charter = self.sign(draft, by);
        let _ = self.history.offer(charter.clone()).expect("a valid successor");
        charter
    }

    /// A draft, finished by some of the stewards.
    pub fn sign(&self, draft: Draft, by: &[usize]) -> Charter {
        let mut proposal = draft.propose().expect("a proposal");
        for steward in by {
            proposal.sign(&self.stewards[*steward]).expect("a steward");
        }
        proposal.finish().expect("signed")
    }
}

/// One member's gateway, as far as replication needs it.
pub struct Gateway {
    pub member: MemberName,
    pub log: LogId,
    pub store: Arc<Store>,
    pub charter: Arc<CharterBook>,
    pub hub: Arc<Hub>,
    pub peers: Arc<PeerTable>,
    pub subjects: Arc<SubjectKeys>,
    pub replication: Replication,
    federation_id: FederationId,
    origin: Origin,
    folder: tempfile::TempDir,
}

impl Gateway {
    pub fn new(federation: &Federation, member: &str) -> Self {
        Self::with(federation, member, |settings| settings)
    }

    pub fn with(
        federation: &Federation,
        member: &str,
        settings: impl FnOnce(ReplicationSettings) -> ReplicationSettings,
    ) -> Self {
        Self::at(federation, member, tempfile::tempdir().expect("a folder"), settings)
    }

    /// The gateway of a member over the files in `folder`: after a restart, a restore, or a copy of its machine.
    pub fn at(
        federation: &Federation,
        member: &str,
        folder: tempfile::TempDir,
        settings: impl FnOnce(ReplicationSettings) -> ReplicationSettings,
    ) -> Self {
        let log = federation.log(member);
        let options = OpenOptions {
            identity: Identity { federation_id: federation.id(), own_log: log },
            gate: None,
            cache_bytes: 1 << 20,
            recreate_gate: false,
        };
        let store = Arc::new(Store::open(folder.path(), options).expect("a store"));
        for charter in federation.history.charters() {
            store.put_charter(&charter.to_wire()).expect("stored");
        }
        let charter = CharterBook::open(Arc::clone(&store), &federation.id()).expect("a charter");
        let subjects = SubjectKeys::open(folder.path()).expect("subject keys");
        let (charter, subjects) = (Arc::new(charter), Arc::new(subjects));
        let (hub, peers) = (Arc::new(Hub::new()), Arc::new(PeerTable::new()));
        let own = OwnIdentity {
            member: name(member),
            log,
            instance_id: new_instance(),
            sealing: sealing(member),
        };
        let replication = Replication::new(ReplicationContext {
            store: Arc::clone(&store),
            charter: Arc::clone(&charter),
            hub: Arc::clone(&hub),
            peers: Arc::clone(&peers),
            subjects: Arc::clone(&subjects),
            own,
            settings: settings(ReplicationSettings::default()),
            stop: CancellationToken::new(),
        });
        Self {
            member: name(member),
            log,
            store,
            charter,
            hub,
            peers,
            subjects,
            replication,
            federation_id: federation.id(),
            origin: federation.origin(member),
            folder,
        }
    }

    /// Registers `count` records in our own log, each with a detail.
    pub fn publish(&self, count: u64) {
        let start = self.size(&self.log);
        let numbers: Vec<u64> = (start..start + count).collect();
        for group in numbers.chunks(4_096) {
            self.append(group.iter().map(|number| draft(&self.member, *number)).collect());
        }
    }

    /// Appends drafts to our own log.
    pub fn append(&self, drafts: Vec<OwnDraft>) {
        let history = self.charter.history();
        let append =
            self.signed(|signer| self.store.append_own(drafts, signer, 500_000, &*history));
        assert!(append.expect("an append").outcomes.iter().all(Result::is_ok));
        self.follow_store();
    }

    /// Vouches for what is new in other logs; says whether anything is.
    pub fn observe(&self) -> bool {
        let history = self.charter.history();
        let mut salt = 0_u8;
        let mut salts = || {
            salt += 1;
            Ok([salt; 32])
        };
        let limit = |log: &LogId| self.replication.shown().limit(&self.store, log);
        let mut observing = Observing { owners: &*self.charter, limit: &limit, salt: &mut salts };
        let observed = self
            .signed(|signer| self.store.observe(&mut observing, signer, 500_000, &*history))
            .expect("observes");
        self.follow_store();
        observed.is_some()
    }

    fn signed<T>(&self, work: impl FnOnce(&OwnSigner<'_>) -> T) -> T {
        work(&OwnSigner {
            federation_id: self.federation_id,
            origin: self.origin.clone(),
            charter_version: self.charter.version(),
            key_id: TRANSACTION,
            transaction_key: &key(self.member.as_str(), TRANSACTION),
            checkpoint_key: &key(self.member.as_str(), CHECKPOINT),
        })
    }

    /// Lets the index follow, and tells everybody.
    fn follow_store(&self) {
        while !self.store.fold(&*self.charter, 8_192).expect("folds").finished {}
        self.hub.heads_changed();
    }

    /// Follows a charter that the stewards published, as an operator would.
    pub fn follow(&self, charter: &Charter) {
        let offered = self.charter.offer(&charter.to_wire()).expect("a valid charter");
        assert_eq!(offered, Offered::Accepted);
    }

    /// How many entries of a log are here.
    pub fn size(&self, log: &LogId) -> u64 {
        self.store.log_status(log).expect("a status").committed_size
    }

    /// Waits until a log has this size here and nothing of it is missing.
    pub async fn holds(&self, log: &LogId, size: u64) {
        self.until(|gateway| {
            let counts = gateway.store.index_counts(log).expect("counts");
            gateway.size(log) == size && counts.indexed_size == size && counts.missing_blobs == 0
        })
        .await;
    }

    /// Waits until something holds, looking again whenever something changed.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut heads = self.hub.watch_heads();
        let mut blobs = self.hub.watch_blobs();
        let mut charter = self.charter.watch();
        let mut subjects = self.subjects.watch();
        let mut peers = self.peers.watch();
        let wait = async {
            while !holds(self) {
                tokio::select! {
                    _ = heads.changed() => {}
                    _ = blobs.changed() => {}
                    _ = charter.changed() => {}
                    _ = subjects.changed() => {}
                    _ = peers.changed() => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it happened in time");
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A copy of some of its files, as they are now.
    pub fn copy(&self, files: &[StoreFile]) -> tempfile::TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        for file in files {
            let name = file.name();
            std::fs::copy(self.folder().join(name), copy.path().join(name)).expect("copied");
        }
        copy
    }
}

/// Another one for every gateway that a test starts, as in the field.
fn new_instance() -> [u8; 16] {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let mut instance = [7; 16];
    instance[..8].copy_from_slice(&STARTED.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    instance
}

/// A registration with a detail; the same number gives the same bytes.
pub fn draft(member: &MemberName, number: u64) -> OwnDraft {
    let record = v1::ObjectId {
        member: member.to_string(),
        id: Bytes::copy_from_slice(&digest(&format!("{member} record {number}"))[..16]),
    };
    let detail = v1::RecordDetail {
        record: Some(v1::RecordVersion { record: Some(record.clone()), version: 1 }),
        audience: Some(v1::DetailAudience { all: true, ..Default::default() }),
        media_type: "application/fhir+json".into(),
        content_sha256: Bytes::copy_from_slice(&digest("content")),
        content_size_bytes: 7,
        ..Default::default()
    };
    let detail = frame_blob(&detail, &format!("{member} detail {number}"));
    let tag = v1::SubjectTag {
        scheme: 1,
        epoch: 1,
        value: Bytes::copy_from_slice(&digest(&format!("person {}", number % 7))),
    };
    let registered = v1::RecordRegistered {
        record: Some(record),
        version: 1,
        subjects: vec![tag],
        lifecycle: 1,
        detail_commitment: Bytes::copy_from_slice(detail_commitment(detail.bytes()).as_bytes()),
        ..Default::default()
    };
    let payload = v1::TransactionPayload {
        body: Some(v1::transaction_payload::Body::RecordRegistered(registered)),
    };
    let payload = frame_blob(&payload, &format!("{member} payload {number}"));
    OwnDraft {
        commitment: payload.payload_commitment(),
        payload: payload.bytes().clone(),
        audience: Audience::Federation,
        detail: Some((detail.detail_commitment(), detail.bytes().clone())),
        locator: None,
        request: None,
    }
}

fn frame_blob(message: &impl prost::Message, salt: &str) -> Blob {
    Blob::frame(&digest(salt), &message.encode_to_vec(), Audience::Federation).expect("a blob")
}
