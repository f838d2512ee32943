//! One thread appends to our own log: it groups what waits, signs, and tells the hub.
//!
//! Whoever publishes hands over drafts and waits for the answer; the channel is bounded, so a flood waits at its source.
//! Nothing is appended before enough other members have answered that our log may be signed, while signing is stopped, or
//! while the charter does not list us as active: submissions then fail with the reason, and wait in the outbox.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::member::{KeyPurpose, MemberEntry, MemberState};
use sundbro_ledger::signing::VerifyingKey;
use sundbro_store::gate::SigningStop;
use sundbro_store::{
    Accepted, AppendOwnError, DraftRefusal, JudgedDrafts, Observing, OwnAppend, OwnDraft,
    OwnSigner, Store, StoreError,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::charter_book::CharterBook;
use crate::hub::Hub;
use crate::identity::OwnKeys;
use crate::replication::{NoQuorum, OwnLogCheck, OwnLogState, Shown};
use crate::sight::own::CommitTimes;
use crate::world::World;

/// Jobs that wait; each holds one caller's drafts.
const QUEUE_JOBS: usize = 64;
/// Most drafts joined into one group commit: one database transaction, one checkpoint.
const GROUP_DRAFTS: usize = 1024;

/// How long other members may take to answer before a commit. Longer than any round trip; what is handed over waits
/// meanwhile, and is taken up again when enough of them answer.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(4);

/// Whether our own log grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningState {
    /// Other members are being asked whether it may.
    Checking,
    /// Entries of it are missing here and are being fetched from other members.
    Behind(SigningStop),
    /// It does.
    Signing,
    /// It does not, until an operator has acted.
    Stopped(SigningStop),
}

/// Why drafts were not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Too few other members have answered that our log may be signed.
    #[error(
        "nothing is published yet: {0}; what was found waits and is published when enough of them are reached"
    )]
    NoQuorum(NoQuorum),
    /// Signing is stopped.
    #[error("nothing is published: {0}; {cure}", cure = .0.cure())]
    Stopped(SigningStop),
    /// The charter does not list us as active, or does not list our keys.
    #[error("nothing is published: {0}")]
    NotEntitled(String),
    /// The charter version that our log named stands twice.
    #[error("nothing is published: charter version {0} exists twice, stewards must heal it first")]
    CharterForked(u64),
    /// The store refused.
    #[error("nothing is published: the store refused")]
    Store(#[from] AppendOwnError),
    /// The gateway is stopping.
    #[error("the gateway is stopping: publish again when it runs")]
    Stopping,
}

impl PublishError {
    /// Whether our log may not be signed now, while the disk is well: what was to be appended can wait on it.
    pub fn is_about_signing(&self) -> bool {
        match self {
            Self::NoQuorum(_)
            | Self::Stopped(_)
            | Self::NotEntitled(_)
            | Self::CharterForked(_) => true,
            Self::Store(error) => !matches!(error, AppendOwnError::Store(_)),
            Self::Stopping => false,
        }
    }

    /// Whether our log grew since the drafts of the outbox were judged.
    pub fn is_judged_before(&self) -> bool {
        matches!(self, Self::Store(AppendOwnError::JudgedBefore { .. }))
    }
}

/// What the publisher works with.
pub struct PublisherContext {
    /// Our name.
    pub member: MemberName,
    /// The federation.
    pub federation_id: FederationId,
    /// The origin of our log.
    pub origin: Origin,
    /// Our keys.
    pub keys: Arc<OwnKeys>,
    /// The store.
    pub store: Arc<Store>,
    /// The charter in force.
    pub charter: Arc<CharterBook>,
    /// Who is told.
    pub hub: Arc<Hub>,
    /// What other members know of our own log.
    pub own_log: Arc<OwnLogCheck>,
    /// How far their logs may be witnessed.
    pub shown: Arc<Shown>,
    /// The time, and what nobody can guess.
    pub world: World,
}

/// For each draft, in order, what became of it; or why nothing was appended.
pub type Published = Result<Vec<Result<Accepted, DraftRefusal>>, Arc<PublishError>>;

/// For each draft that waited, in order, what became of it; or why none was appended.
pub type PublishedWaiting = Result<Vec<Result<Accepted, DraftRefusal>>, PublishError>;

/// What was vouched for.
#[derive(Clone, Copy, Debug)]
pub struct Vouched {
    /// How many observations were appended; none when there was nothing to vouch for.
    pub observations: usize,
    /// There may be more, once payloads are here or have been waited for: it is worth another look.
    pub again: bool,
}

/// What was vouched for, or why nothing was.
pub type Observed = Result<Vouched, PublishError>;

struct Job {
    drafts: Vec<OwnDraft>,
    answer: oneshot::Sender<Published>,
}

enum Asked {
    Publish(Job),
    PublishWaiting(JudgedDrafts, oneshot::Sender<PublishedWaiting>),
    Observe(oneshot::Sender<Observed>),
}

/// Hands drafts to the publisher. Cheap to clone.
#[derive(Clone)]
pub struct PublisherHandle {
    jobs: mpsc::Sender<Asked>,
    state: Arc<watch::Sender<SigningState>>,
    commits: CommitTimes,
}

impl PublisherHandle {
    /// Appends drafts to our own log, in order, and waits until they are durable.
    ///
    /// # Errors
    /// When nothing was appended; the same for every draft.
    pub async fn publish(&self, drafts: Vec<OwnDraft>) -> Published {
        let (answer, answered) = oneshot::channel();
        let stopping = || Arc::new(PublishError::Stopping);
        let job = Asked::Publish(Job { drafts, answer });
        self.jobs.send(job).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    /// Appends drafts that waited in the outbox, from which they then are gone, and waits until that is durable.
    ///
    /// # Errors
    /// When nothing was appended; all of them go on waiting.
    pub async fn publish_waiting(&self, judged: JudgedDrafts) -> PublishedWaiting {
        let (answer, answered) = oneshot::channel();
        let asked = Asked::PublishWaiting(judged, answer);
        self.jobs.send(asked).await.map_err(|_| PublishError::Stopping)?;
        answered.await.map_err(|_| PublishError::Stopping)?
    }

    /// Vouches for what is new in other members' logs, as far as that is worth an entry, and waits until it is durable.
    ///
    /// # Errors
    /// When nothing was appended though something is new.
    pub async fn observe(&self) -> Observed {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Asked::Observe(answer)).await.map_err(|_| PublishError::Stopping)?;
        answered.await.map_err(|_| PublishError::Stopping)?
    }

    /// Whether our own log grows, and later changes of it.
    pub fn state(&self) -> watch::Receiver<SigningState> {
        self.state.subscribe()
    }

    /// How long commits take.
    pub fn commits(&self) -> &CommitTimes {
        &self.commits
    }

    /// Whether the thread has ended, though nobody told it to: it panicked.
    pub fn has_ended(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Whether our own log may grow by what other members know. Once it is stopped it stays so, unless the charter has named
    /// which of two histories goes on: then they are asked again.
    pub fn follow(&self, state: &OwnLogState) {
        let next = match state {
            OwnLogState::Asking => SigningState::Checking,
            OwnLogState::Behind(stop) => SigningState::Behind(stop.clone()),
            OwnLogState::Clear { .. } => SigningState::Signing,
            OwnLogState::Stopped(stop) => return self.stop(stop.clone()),
        };
        self.state.send_if_modified(|state| {
            let stays = matches!(state, SigningState::Stopped(stop) if !stop.may_be_settled());
            let differs = !stays && *state != next;
            if differs {
                *state = next;
            }
            differs
        });
    }

    /// Nothing is signed from here on. The first reason stays.
    pub fn stop(&self, stop: SigningStop) {
        self.state.send_if_modified(|state| {
            let first = !matches!(state, SigningState::Stopped(_));
            if first {
                tracing::error!(reason = stop.reason(), cure = stop.cure(), "{stop}");
                *state = SigningState::Stopped(stop);
            }
            first
        });
    }
}

/// Lets the publisher sign while other members' answers allow it.
pub async fn follow_own_log(
    own_log: Arc<OwnLogCheck>,
    publisher: PublisherHandle,
    stop: CancellationToken,
) {
    let mut state = own_log.state();
    loop {
        let now = state.borrow_and_update().clone();
        if let OwnLogState::Clear { answered, asked } = now {
            tracing::info!(answered, asked, "our own log may be signed");
        }
        publisher.follow(&now);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

/// Starts the thread; `runtime` is where the sessions run by which other members are asked. It ends when every handle is
/// dropped and what was handed over is answered.
///
/// # Errors
/// When the operating system gives no thread.
pub fn spawn(
    context: PublisherContext,
    runtime: tokio::runtime::Handle,
) -> std::io::Result<(PublisherHandle, thread::JoinHandle<()>)> {
    let (handle, work) = prepare(context);
    let thread = thread::Builder::new()
        .name("publisher".to_owned())
        .spawn(move || runtime.block_on(work))?;
    Ok((handle, thread))
}

/// The publisher and what it does. That blocks while it commits, so it wants a thread of its own.
pub fn prepare(context: PublisherContext) -> (PublisherHandle, impl Future<Output = ()> + Send) {
    let (jobs, waiting) = mpsc::channel(QUEUE_JOBS);
    let state = match context.store.signing_stop() {
        Some(stop) => {
            tracing::error!(reason = stop.reason(), cure = stop.cure(), "{stop}");
            if stop.is_passing() { SigningState::Behind(stop) } else { SigningState::Stopped(stop) }
        }
        None => SigningState::Checking,
    };
    let state = Arc::new(watch::Sender::new(state));
    let commits = CommitTimes::default();
    let handle = PublisherHandle { jobs, state: state.clone(), commits: commits.clone() };
    (handle, run(context, waiting, state, commits))
}

async fn run(
    context: PublisherContext,
    mut waiting: mpsc::Receiver<Asked>,
    state: Arc<watch::Sender<SigningState>>,
    commits: CommitTimes,
) {
    while let Some(first) = waiting.recv().await {
        let (mut count, mut jobs, mut observers) = (0, Vec::new(), Vec::new());
        let mut waited = Vec::new();
        let mut next = Some(first);
        while let Some(asked) = next {
            match asked {
                Asked::Observe(answer) => observers.push(answer),
                Asked::PublishWaiting(judged, answer) => waited.push((judged, answer)),
                Asked::Publish(job) => {
                    count += job.drafts.len();
                    jobs.push(job);
                }
            }
            // No timer: while one group is being made durable, the next one gathers.
            next = if count < GROUP_DRAFTS { waiting.try_recv().ok() } else { None };
        }
        if !jobs.is_empty() {
            answer(&context, jobs, &state, &commits).await;
        }
        for (judged, answer) in waited {
            let now = state.borrow().clone();
            let published = append_waiting(&context, judged, &now, &commits).await;
            if let Err(error) = &published {
                stop_for(error, &state);
            }
            drop(answer.send(published));
        }
        for answer in observers {
            let now = state.borrow().clone();
            drop(answer.send(observe(&context, &now, &commits).await));
        }
    }
}

/// Observes the heads that are here, as far as our answers to their authors allow.
async fn observe(
    context: &PublisherContext,
    state: &SigningState,
    commits: &CommitTimes,
) -> Observed {
    let mut again = false;
    let appended = sign(context, state, commits, |signer, hour, history| {
        let mut salt = context.world.salt;
        let limit = |log: &LogId| context.shown.limit(&context.store, log);
        let mut observing = Observing { owners: history, limit: &limit, salt: &mut salt };
        let looked = context.store.observe(&mut observing, signer, hour, history)?;
        again = looked.again;
        Ok(looked.appended)
    })
    .await?;
    let observations = appended.map_or(0, |appended| appended.outcomes.len());
    Ok(Vouched { observations, again })
}

async fn answer(
    context: &PublisherContext,
    jobs: Vec<Job>,
    state: &watch::Sender<SigningState>,
    commits: &CommitTimes,
) {
    let sizes: Vec<usize> = jobs.iter().map(|job| job.drafts.len()).collect();
    let (drafts, answers): (Vec<_>, Vec<_>) =
        jobs.into_iter().map(|job| (job.drafts, job.answer)).unzip();
    let drafts: Vec<OwnDraft> = drafts.into_iter().flatten().collect();
    // A caller that went away asked in vain; what it asked for is done all the same.
    // A copy: whoever changes the state must not wait for a commit, and a commit may find out that it has to change.
    let now = state.borrow().clone();
    match append(context, drafts, &now, commits).await {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (size, answer) in sizes.into_iter().zip(answers) {
                drop(answer.send(Ok(outcomes.by_ref().take(size).collect())));
            }
        }
        Err(error) => {
            stop_for(&error, state);
            let error = Arc::new(error);
            for answer in answers {
                drop(answer.send(Err(error.clone())));
            }
        }
    }
}

/// What the store found out by itself, such as a bit that turned over in our log, is said wherever signing is asked after.
fn stop_for(error: &PublishError, state: &watch::Sender<SigningState>) {
    let PublishError::Store(AppendOwnError::Stopped(stop)) = error else { return };
    state.send_if_modified(|state| {
        let news = !stop.is_passing() && !matches!(state, SigningState::Stopped(_));
        if news {
            tracing::error!(reason = stop.reason(), cure = stop.cure(), "{stop}");
            *state = SigningState::Stopped(stop.clone());
        }
        news
    });
}

async fn append(
    context: &PublisherContext,
    drafts: Vec<OwnDraft>,
    state: &SigningState,
    commits: &CommitTimes,
) -> Result<Vec<Result<Accepted, DraftRefusal>>, PublishError> {
    let appended = sign(context, state, commits, |signer, hour, history| {
        context.store.append_own(drafts, signer, hour, history).map(Some)
    })
    .await?;
    Ok(appended.map_or_else(Vec::new, |appended| appended.outcomes))
}

async fn append_waiting(
    context: &PublisherContext,
    judged: JudgedDrafts,
    state: &SigningState,
    commits: &CommitTimes,
) -> PublishedWaiting {
    let appended = sign(context, state, commits, |signer, hour, history| {
        context.store.append_waiting(judged, signer, hour, history).map(Some)
    })
    .await?;
    Ok(appended.map_or_else(Vec::new, |appended| appended.outcomes))
}

/// Lets the store append with our keys, if we are entitled to; then index and peers follow. `None`: nothing was appended.
async fn sign(
    context: &PublisherContext,
    state: &SigningState,
    commits: &CommitTimes,
    append: impl FnOnce(
        &OwnSigner<'_>,
        u32,
        &CharterHistory,
    ) -> Result<Option<OwnAppend>, AppendOwnError>,
) -> Result<Option<OwnAppend>, PublishError> {
    match state {
        SigningState::Checking => {
            let electorate = context.charter.electorate(&context.member);
            return Err(PublishError::NoQuorum(context.own_log.standing(&electorate)));
        }
        SigningState::Behind(stop) | SigningState::Stopped(stop) => {
            return Err(PublishError::Stopped(stop.clone()));
        }
        SigningState::Signing => {}
    }
    let history = context.charter.history();
    let charter = history.current();
    let version = charter.version();
    let entry = charter.member(&context.member).ok_or_else(|| {
        PublishError::NotEntitled(format!("charter version {version} does not list this member"))
    })?;
    if entry.state != MemberState::Active {
        return Err(PublishError::NotEntitled(format!(
            "charter version {version} does not list this member as active (MEMBER_NOT_ACTIVE)"
        )));
    }
    let head = context.store.log_head(&context.origin.log_id()).map_err(AppendOwnError::from)?;
    if let Some(forked) = history.forked_version()
        && head.charter_version() >= forked
    {
        return Err(PublishError::CharterForked(forked));
    }
    let size = head.size();
    let signer = OwnSigner {
        federation_id: context.federation_id,
        origin: context.origin.clone(),
        charter_version: version,
        key_id: key_id(entry, KeyPurpose::Transaction, &context.keys.transaction.public(), size)?,
        transaction_key: &context.keys.transaction,
        checkpoint_key: &context.keys.checkpoint,
    };
    // The smallest checkpoint that comes of this; the store judges the one that does.
    key_id(entry, KeyPurpose::Checkpoint, &context.keys.checkpoint.public(), size + 1)?;
    // A machine that stood still may have been replaced meanwhile, so the others are asked each time: whoever answers
    // takes nothing from a start before this one, and shows what it knows of our log.
    let electorate = context.charter.electorate(&context.member);
    let confirmed = context.own_log.confirm(&electorate, CONFIRM_PATIENCE);
    confirmed.await.map_err(PublishError::NoQuorum)?;
    let began = std::time::Instant::now();
    let Some(appended) = append(&signer, (context.world.hour)(), &history)? else {
        return Ok(None);
    };
    commits.took(began.elapsed());
    // From here the entries survive a crash; the index follows, and only then are peers and readers told.
    if context.charter.version() != version {
        // It changed while we signed: what we signed by the one before is judged by the new one too.
        let judged = context.charter.judge_log_again(&context.origin.log_id());
        let _refused = judged.map_err(AppendOwnError::from)?;
    }
    if let Err(error) = fold_all(&context.store, &context.charter) {
        tracing::error!(error = %error, "the index does not follow our own log: `sundbro index rebuild`");
    }
    context.hub.heads_changed();
    Ok(Some(appended))
}

/// Most entries folded in one transaction of the index.
const FOLD_ENTRIES: usize = 32 * 1024;

/// Lets the index follow everything that is stored. Blocking.
///
/// # Errors
/// When our own disk fails.
pub fn fold_all(store: &Store, charter: &CharterBook) -> Result<(), StoreError> {
    while !store.fold(charter, FOLD_ENTRIES)?.finished {}
    Ok(())
}

/// The ordinal that the charter gives to one of our keys, if it may sign at this position (TRANSACTION), size
/// (CHECKPOINT) or charter version (others).
fn key_id(
    entry: &MemberEntry,
    purpose: KeyPurpose,
    public: &VerifyingKey,
    at: u64,
) -> Result<u32, PublishError> {
    let listed = entry
        .keys
        .iter()
        .find(|key| key.purpose == purpose && key.public_key.as_bytes() == public.as_bytes())
        .ok_or_else(|| {
            PublishError::NotEntitled(format!(
                "the charter does not list the {purpose:?} key of our keys folder: put back the right keys, or have \
                 the stewards list it"
            ))
        })?;
    if listed.covers(at) {
        return Ok(listed.key_id);
    }
    Err(PublishError::NotEntitled(format!(
        "by the charter the {purpose:?} key of our keys folder does not sign at {at}: put the newer key into the \
         folder, or have the stewards list one"
    )))
}
