//! Gateways over real stores in temporary folders, as far as replication needs them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sundbro_gateway::charter_book::CharterBook;
use sundbro_gateway::hub::{Hub, PeerTable};
use sundbro_gateway::replication::{
    OwnIdentity, Replication, ReplicationContext, ReplicationSettings,
};
use sundbro_gateway::subject::SubjectKeys;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::history::Offered;
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_store::tables::StoreFile;
use sundbro_store::{Identity, Observing, OpenOptions, OwnDraft, OwnSigner, Store};
use tokio_util::sync::CancellationToken;

pub use crate::founders::{
    CHECKPOINT, Federation, GP, HOSPITAL, LAB, TRANSACTION, draft, key, name, sealing, subject_key,
};
pub use crate::streams::{Running, connect, connect_counted, kind_name, session};

/// How long a test waits for something that should happen at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
        observed.appended.is_some()
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
