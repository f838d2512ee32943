//! One gateway process on a disk in memory: the real store, replication, publisher and witness, on the simulated thread.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sundbro_gateway::charter_book::{CharterBook, OpenCharterError};
use sundbro_gateway::hub::{Hub, PeerTable};
use sundbro_gateway::identity::OwnKeys;
use sundbro_gateway::publisher::{self, PublisherContext, PublisherHandle};
use sundbro_gateway::replication::{
    OwnIdentity, Replication, ReplicationContext, ReplicationSettings, StoreWork,
};
use sundbro_gateway::subject::SubjectKeys;
use sundbro_gateway::witness;
use sundbro_gateway::world::World;
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_ledger::object_id::IdKey;
use sundbro_store::testing::{Dice, MemoryDisk};
use sundbro_store::{Identity, OpenError, OpenOptions, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::executor::{Executor, Owner};
use crate::founders::{CHECKPOINT, Federation, TRANSACTION, key, name, sealing};

/// Where the files lie on each disk.
pub const FOLDER: &str = "/data";
/// How often a member vouches for others.
const OBSERVES: Duration = Duration::from_secs(3);
/// redb's cache for each file.
const CACHE_BYTES: usize = 1 << 18;

/// One gateway process.
pub struct Process {
    pub number: Owner,
    /// Which member it is of, as a place in the list of members.
    pub member: usize,
    pub name: MemberName,
    pub log: LogId,
    pub disk: MemoryDisk,
    pub store: Arc<Store>,
    pub charter: Arc<CharterBook>,
    pub replication: Replication,
    pub publisher: PublisherHandle,
    /// Changes when some log here has.
    pub heads: RefCell<watch::Receiver<u64>>,
    /// How much time its disk had taken when it was last looked at.
    pub disk_time: RefCell<Duration>,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the store does not open")]
    Store(#[source] OpenError),
    #[error("the charters are not followed")]
    Charter(#[source] OpenCharterError),
    #[error("the index does not follow")]
    Index(#[source] StoreError),
}

/// Opens the store that lies on the disk.
pub fn open(federation: &Federation, member: &str, disk: &MemoryDisk) -> Result<Store, OpenError> {
    let options = OpenOptions {
        identity: Identity { federation_id: federation.id(), own_log: federation.log(member) },
        gate: None,
        cache_bytes: CACHE_BYTES,
        recreate_gate: false,
    };
    Store::open_on(disk.shared(), Path::new(FOLDER), options)
}

/// Starts a member's gateway on a disk. The tasks are those of `number`.
pub fn start(
    executor: &Executor,
    federation: &Federation,
    keys_folder: &Path,
    (member, member_name): (usize, &str),
    number: Owner,
    disk: MemoryDisk,
) -> Result<Rc<Process>, StartError> {
    let store = Arc::new(open(federation, member_name, &disk).map_err(StartError::Store)?);
    let open_book = || CharterBook::open(Arc::clone(&store), &federation.id());
    let charter = match open_book() {
        Err(OpenCharterError::None) => {
            let founding = &federation.history.charters().next().expect("a charter").to_wire();
            let put = store.put_charter(founding).map_err(OpenCharterError::Store);
            put.and_then(|_| open_book())
        }
        opened => opened,
    };
    let charter = Arc::new(charter.map_err(StartError::Charter)?);
    // As a gateway does before it listens.
    publisher::fold_all(&store, &charter).map_err(StartError::Index)?;
    let hub = Arc::new(Hub::new());
    let log = federation.log(member_name);
    let mut instance_id = [0; 16];
    instance_id[..4].copy_from_slice(&number.to_be_bytes());
    let replication = Replication::new(ReplicationContext {
        store: Arc::clone(&store),
        charter: Arc::clone(&charter),
        hub: Arc::clone(&hub),
        peers: Arc::new(PeerTable::new()),
        subjects: Arc::new(SubjectKeys::open(keys_folder).expect("no keys")),
        own: OwnIdentity {
            member: name(member_name),
            log,
            instance_id,
            sealing: sealing(member_name),
        },
        settings: ReplicationSettings { store_work: StoreWork::Here, ..Default::default() },
        stop: CancellationToken::new(),
    });
    let (publisher, publishing) = publisher::prepare(PublisherContext {
        member: name(member_name),
        federation_id: federation.id(),
        origin: federation.origin(member_name),
        keys: Arc::new(keys(member_name)),
        store: Arc::clone(&store),
        charter: Arc::clone(&charter),
        hub: Arc::clone(&hub),
        own_log: Arc::clone(replication.own_log()),
        shown: Arc::clone(replication.shown()),
        world: World { hour: || 500_000, salt: || Ok(salts::next()) },
    });
    let stop = CancellationToken::new();
    executor.spawn(number, "publisher", publishing);
    let own_log = Arc::clone(replication.own_log());
    executor.spawn(
        number,
        "follow",
        publisher::follow_own_log(own_log, publisher.clone(), stop.clone()),
    );
    executor.spawn(
        number,
        "witness",
        witness::run(Arc::clone(&hub), publisher.clone(), OBSERVES, stop),
    );
    let asking = replication.clone();
    executor.spawn(number, "own log check", async move { asking.check_own_log().await });
    Ok(Rc::new(Process {
        number,
        member,
        name: name(member_name),
        log,
        store,
        charter,
        replication,
        publisher,
        heads: RefCell::new(hub.watch_heads()),
        disk_time: RefCell::new(disk.passed()),
        disk,
    }))
}

fn keys(member: &str) -> OwnKeys {
    OwnKeys {
        transaction: key(member, TRANSACTION),
        checkpoint: key(member, CHECKPOINT),
        service: key(member, 9),
        sealing: Zeroizing::new([0; 32]),
        object_id: IdKey::new([0; 32]),
    }
}

/// What nobody could guess, were it not for the seed.
pub mod salts {
    use super::*;

    thread_local! {
        static SALTS: RefCell<Dice> = RefCell::new(Dice::new(0));
    }

    /// From here on, on this thread.
    pub fn begin(seed: u64) {
        SALTS.set(Dice::new(seed));
    }

    pub(super) fn next() -> [u8; 32] {
        SALTS.with_borrow_mut(|dice| core::array::from_fn(|_| dice.roll(256) as u8))
    }
}
