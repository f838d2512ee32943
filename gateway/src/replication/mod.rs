//! Keeps every member's log here, and gives ours to every member.
//!
//! Of two members one dials; on the stream both sides do the same. Heads are pushed when they change; whoever is behind
//! asks for the proof that the newer tree continues what it holds, then for chunks, from whichever peer has them. What a
//! peer sends is checked first against a checkpoint that the log's owner signed: if that fails, the sender is dropped
//! and the log goes on from another peer; only what a valid checkpoint commits to can stop a log, and only that one.

mod ack;
mod announce;
mod aside;
mod dialer;
mod end;
mod evidence;
mod frames;
mod given;
mod greeting;
mod growth;
mod holdings;
mod link;
mod own_log;
mod parting;
#[cfg(feature = "protocol-2")]
mod protocol_2;
mod pull;
mod pull_blobs;
mod pull_entries;
mod question;
mod quorum;
pub mod reasons;
mod receive;
mod registry;
mod serve;
mod service;
mod session;
mod start;
mod tail;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_proto::federation::v1::Frame;
use sundbro_store::{Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::charter_book::CharterBook;
use crate::hub::{Hub, PeerTable};
use crate::subject::SubjectKeys;
use crate::subject::grant::SealingKey;

pub use dialer::{Dial, NotReached};
pub use end::SessionEnd;
pub use frames::MAX_FRAME_BYTES;
pub use greeting::{
    Greeting, GreetingError, PROTOCOL_MAX, PROTOCOL_MIN, SOFTWARE, judge as judge_hello,
    spoken as spoken_protocols,
};
pub use own_log::{OwnLogCheck, OwnLogState};
pub use quorum::{Electorate, NoQuorum};
pub use service::{FederationEndpoint, TlsDial};
pub use start::Shown;

/// Most frames that wait to be sent on one stream.
pub const OUTBOUND_FRAMES: usize = 16;

/// What a peer that does not read can make us hold: the frames that wait, and one that is being handed over. What has
/// left the process is bounded by the windows that the peer opens.
pub const MAX_UNREAD_BYTES: usize = (OUTBOUND_FRAMES + 1) * MAX_FRAME_BYTES;

/// Who we are.
pub struct OwnIdentity {
    /// Our member name.
    pub member: MemberName,
    /// Our own log.
    pub log: LogId,
    /// Random at every start.
    pub instance_id: [u8; 16],
    /// Opens the subject keys that others give us.
    pub sealing: SealingKey,
}

/// How long replication waits for what.
#[derive(Debug, Clone)]
pub struct ReplicationSettings {
    /// Unchanged heads are repeated this often; the protocol asks for at most 15 s.
    pub heads_interval: Duration,
    /// A peer says Hello within this, or is dropped.
    pub hello_timeout: Duration,
    /// A peer brings an answer forward within this, or is dropped; frames that answer nothing do not count. Longer than
    /// any disk and round trip, shorter than an operator's patience.
    pub reply_timeout: Duration,
    /// A peer that takes longer than this to go on leaves the log to another peer that has it too, if one is connected.
    pub slow_reply: Duration,
    /// Bundles of 256 entries asked for at once. A log that waits for its turn waits no longer than these take, and of
    /// what was asked for and is not wanted any more no more is on its way; enough of them that the round trip between
    /// two turns costs little.
    pub turn_bundles: u64,
    /// What the charter lets a log grow, it may grow in this time: 24 hours, but where a test cannot wait.
    pub growth_period: Duration,
    /// How long a charter that the peer announced is waited for.
    pub charter_timeout: Duration,
    /// How long every peer is waited for at the start, though fewer are enough for our own log to be signed.
    pub own_log_patience: Duration,
    /// Peers that have not answered whether we may sign are asked again this often.
    pub ask_again: Duration,
    /// The member whose name sorts last dials too when it was not reached for this long.
    pub dial_patience: Duration,
    /// First pause between two tries to reach a peer; doubled up to `backoff_cap`, jittered.
    pub backoff_first: Duration,
    /// Longest pause between two tries.
    pub backoff_cap: Duration,
    /// Where work on the store is done.
    pub store_work: StoreWork,
}

/// Where work on the store is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreWork {
    /// On threads that may block, so that a slow disk holds up nobody else.
    Beside,
    /// Where it is asked for: a simulated federation has one thread, so that it runs the same way each time.
    Here,
}

impl Default for ReplicationSettings {
    fn default() -> Self {
        Self {
            heads_interval: Duration::from_secs(15),
            hello_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(30),
            slow_reply: Duration::from_secs(3),
            turn_bundles: 64,
            growth_period: Duration::from_secs(86_400),
            charter_timeout: Duration::from_secs(10),
            own_log_patience: Duration::from_secs(5),
            ask_again: Duration::from_secs(1),
            dial_patience: Duration::from_secs(5),
            backoff_first: Duration::from_millis(100),
            backoff_cap: Duration::from_secs(5),
            store_work: StoreWork::Beside,
        }
    }
}

/// What replication works with.
pub struct ReplicationContext {
    /// Our files.
    pub store: Arc<Store>,
    /// The charter.
    pub charter: Arc<CharterBook>,
    /// Where changes are heard of.
    pub hub: Arc<Hub>,
    /// What is known about peers.
    pub peers: Arc<PeerTable>,
    /// Subject keys.
    pub subjects: Arc<SubjectKeys>,
    /// Who we are.
    pub own: OwnIdentity,
    /// How long to wait for what.
    pub settings: ReplicationSettings,
    /// Ends every session.
    pub stop: CancellationToken,
}

/// What all sessions share.
pub(crate) struct Shared {
    context: ReplicationContext,
    holdings: holdings::Holdings,
    registry: Arc<registry::PullRegistry>,
    growth: growth::Growth,
    own_log: Arc<OwnLogCheck>,
    starts: start::Starts,
    shown: Arc<Shown>,
    /// Of each log the tree that was last shown and is not the beginning of ours.
    contradicting: Mutex<BTreeMap<LogId, (u64, RootHash)>>,
    /// Counts the evidence that came while we run.
    evidence: watch::Sender<u64>,
}

/// Replication with all peers. Cheap to clone.
#[derive(Clone)]
pub struct Replication {
    shared: Arc<Shared>,
}

impl Replication {
    /// Replication that nobody has called yet.
    pub fn new(context: ReplicationContext) -> Self {
        let own_log = OwnLogCheck::new(context.own.log, &context.store);
        let shared = Shared {
            holdings: holdings::Holdings::new(),
            registry: Arc::new(registry::PullRegistry::new()),
            growth: growth::Growth::new(context.settings.growth_period),
            own_log: Arc::new(own_log),
            starts: start::Starts::default(),
            shown: Arc::default(),
            contradicting: Mutex::default(),
            evidence: watch::Sender::new(0),
            context,
        };
        // Before anybody calls: a start may find a branch that was named before it.
        if let Err(error) = shared.settle_own_log() {
            let error = crate::status::chain(&error);
            tracing::error!(
                error,
                "our own log cannot be compared with the branch that the charter names"
            );
        }
        Self { shared: Arc::new(shared) }
    }

    /// What the peers know of our own log: nothing is signed while this is not `Clear`.
    pub fn own_log(&self) -> &Arc<OwnLogCheck> {
        &self.shared.own_log
    }

    /// How far each log may be witnessed.
    pub fn shown(&self) -> &Arc<Shown> {
        &self.shared.shown
    }

    /// Runs one session until it ends: frames of the peer come in, ours go out.
    ///
    /// `peer` is the member that the peer's certificate names. `stop` ends this session alone.
    pub async fn session<S, E>(
        &self,
        peer: MemberName,
        inbound: S,
        outbound: mpsc::Sender<Frame>,
        stop: CancellationToken,
    ) -> SessionEnd
    where
        S: futures_util::Stream<Item = Result<Frame, E>> + Send + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        session::run(&self.shared, peer, inbound, outbound, stop).await
    }

    /// Keeps a session with every active member, and checks our own log. Runs until stopped.
    pub async fn run<D: Dial>(&self, dial: D) {
        tokio::select! {
            () = self.check_own_log() => {}
            () = dialer::run(&self.shared, Arc::new(dial)) => {}
        }
    }

    /// Asks the connected peers whether our own log may be signed, until they say so and whenever they may not any more.
    /// Runs for ever.
    pub async fn check_own_log(&self) {
        let settings = &self.shared.context.settings;
        let (patience, again) = (settings.own_log_patience, settings.ask_again);
        let electorate = || self.shared.electorate();
        tokio::select! {
            () = self.shared.own_log.run(&self.shared.context.store, electorate, patience, again) => {}
            () = self.shared.follow_named_branch() => {}
        }
    }
}

impl Shared {
    /// Every active member but us.
    fn other_active_members(&self) -> BTreeSet<MemberName> {
        self.electorate().peers
    }

    /// Goes over to the branch of our own log that the charter names, whenever it names one, or another one turns up after
    /// it did. Runs for ever.
    async fn follow_named_branch(self: &Arc<Self>) {
        let mut charters = self.context.charter.watch();
        let mut evidence = self.evidence.subscribe();
        let mut own_log = self.own_log.state();
        loop {
            charters.borrow_and_update();
            evidence.borrow_and_update();
            own_log.borrow_and_update();
            if let Ok(Err(error)) = self.blocking(Self::settle_own_log).await {
                let error = crate::status::chain(&error);
                tracing::error!(
                    error,
                    "our own log cannot go over to the branch that the charter names"
                );
            }
            // The senders live as long as we do.
            tokio::select! {
                _ = charters.changed() => {}
                _ = evidence.changed() => {}
                _ = own_log.changed() => {}
            }
        }
    }

    /// Leaves our own branch if the charter names another one, and ends what stopped our log for it. Blocking.
    fn settle_own_log(&self) -> Result<(), StoreError> {
        let history = self.context.charter.history();
        let log = &self.context.own.log;
        let Some(branch) = history.branch_of(log) else { return Ok(()) };
        self.context.charter.judge_log_again(log)?;
        self.own_log.settle(&self.context.store, branch)
    }

    /// Who answers whether we may sign.
    fn electorate(&self) -> Electorate {
        self.context.charter.electorate(&self.context.own.member)
    }

    /// How many more bytes of a log, from a position on, may be fetched now.
    fn room(&self, log: &LogId, position: u64) -> u64 {
        self.growth.room(log, position, self.daily_limit(), tokio::time::Instant::now())
    }

    /// How many bytes a log may grow in a day.
    fn daily_limit(&self) -> u64 {
        self.context.charter.history().current().head().limits.max_log_bytes_per_day()
    }

    /// Runs what blocks beside the async tasks, where nothing else is set. A panic there is a defect here.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, SessionEnd> {
        if self.context.settings.store_work == StoreWork::Here {
            return Ok(work(self));
        }
        let shared = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|error| SessionEnd::ours("work on the store did not end", error))
    }
}
