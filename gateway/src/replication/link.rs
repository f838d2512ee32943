//! What the tasks of one session share: the way out to the peer, what the peer told, and who waits for which answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sundbro_ledger::checkpoint::{UnverifiedCheckpoint, VerifiedCheckpoint};
use sundbro_ledger::ids::{CharterDigest, EvidenceDigest, LogId, MemberName};
use sundbro_proto::federation::v1::Frame;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::BlobKey;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::aside::Aside;
use super::greeting::Greeting;
use super::question::Route;
use super::registry::{Lane, Source};
use super::{SessionEnd, Shared, frames, reasons};

/// How long the last frame of a peer that hears no more is waited for.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// What the peer told about a checkpoint.
pub(super) enum Judged {
    /// It verifies.
    Verified(VerifiedCheckpoint),
    /// It can be judged once our charter is newer.
    Aside,
    /// It was signed with a key that our newer charter does not list: the peer will learn.
    Outdated,
    /// The author signed it, with a key that was ended below it since.
    Ended(VerifiedCheckpoint),
}

/// One session with one peer, after both Hellos.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: MemberName,
    pub(super) greeting: Greeting,
    /// The number of our start under which we said Hello.
    said_incarnation: u32,
    /// What was logged once on the peer's word, and is not logged again: a peer writes no log of ours at will.
    said: Mutex<BTreeSet<&'static str>>,
    /// The peer showed a head that may be of its own log, and that was not found good.
    pub(super) shows_more: AtomicBool,
    /// How much of our own log the peer has said is durable there, in this session.
    pub(super) acked: AtomicU64,
    /// More can be fetched from this peer than is fetched at once.
    pub(super) crowded: AtomicBool,
    out: mpsc::Sender<Frame>,
    peer_charter: AtomicU64,
    peer_epochs: Mutex<BTreeSet<u32>>,
    /// Charters above the version in force that the peer was given: their digests, and how many signatures they had.
    pub(super) forks_given: Mutex<BTreeSet<(CharterDigest, usize)>>,
    /// Evidence that the peer was given, or gave.
    pub(super) evidence_given: Mutex<BTreeSet<EvidenceDigest>>,
    heads: Mutex<BTreeMap<LogId, VerifiedCheckpoint>>,
    heads_changed: watch::Sender<u64>,
    aside: Mutex<Aside>,
    pub(super) routes: Mutex<BTreeMap<(LogId, Lane), Route>>,
    /// Logs whose claim was given up, and until when.
    pub(super) gave_way: Mutex<BTreeMap<(LogId, Lane), Instant>>,
    /// Blobs that the peer said it does not hold; asked for again when heads are repeated.
    pub(super) declined: Mutex<BTreeMap<LogId, BTreeSet<BlobKey>>>,
    /// The newest tree of each log that the peer could not prove to continue ours, or of which it gave no entries. It is
    /// asked again when it shows a newer one.
    pub(super) unproven: Mutex<BTreeMap<LogId, u64>>,
}

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        peer: MemberName,
        greeting: Greeting,
        said_incarnation: u32,
        out: mpsc::Sender<Frame>,
    ) -> Self {
        Self {
            said_incarnation,
            peer_charter: AtomicU64::new(greeting.charter_version),
            peer_epochs: Mutex::new(greeting.subject_epochs.clone()),
            shared,
            peer,
            greeting,
            said: Mutex::default(),
            shows_more: AtomicBool::new(false),
            acked: AtomicU64::new(0),
            crowded: AtomicBool::new(false),
            out,
            forks_given: Mutex::default(),
            evidence_given: Mutex::default(),
            heads: Mutex::default(),
            heads_changed: watch::Sender::new(0),
            aside: Mutex::default(),
            routes: Mutex::default(),
            gave_way: Mutex::default(),
            declined: Mutex::default(),
            unproven: Mutex::default(),
        }
    }

    /// Sends a frame; waits while the peer is slow.
    pub(super) async fn send(&self, kind: Kind) -> Result<(), SessionEnd> {
        self.send_frame(frames::frame(kind)).await
    }

    /// Sends a frame; waits while the peer is slow.
    pub(super) async fn send_frame(&self, frame: Frame) -> Result<(), SessionEnd> {
        if self.out.send(frame).await.is_err() {
            // The peer hears no more, but its last word may still be on the way: whoever reads ends the session.
            sleep(LAST_WORD_PATIENCE).await;
            return Err(SessionEnd::Closed);
        }
        Ok(())
    }

    /// Whether something is to be logged for the first time in this session.
    pub(super) fn says_first(&self, what: &'static str) -> bool {
        lock(&self.said).insert(what)
    }

    /// Newest charter version that the peer is known to follow.
    pub(super) fn peer_charter(&self) -> u64 {
        self.peer_charter.load(Ordering::Relaxed)
    }

    /// The peer has this charter version: it said so, or we gave it.
    pub(super) fn peer_has_charter(&self, version: u64) {
        self.peer_charter.fetch_max(version, Ordering::Relaxed);
        self.shared.context.peers.charter_heard(&self.peer, self.peer_charter());
    }

    /// Subject epochs whose key the peer has: it said so, or we gave it.
    pub(super) fn peer_epochs(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        lock(&self.peer_epochs)
    }

    /// The checkpoints that the peer showed last, verified.
    pub(super) fn heads(&self) -> MutexGuard<'_, BTreeMap<LogId, VerifiedCheckpoint>> {
        lock(&self.heads)
    }

    /// Hears of new ones.
    pub(super) fn watch_heads(&self) -> watch::Receiver<u64> {
        self.heads_changed.subscribe()
    }

    /// Remembers what the peer showed.
    pub(super) fn showed(&self, checkpoint: VerifiedCheckpoint) {
        let (log, size) = (checkpoint.log_id(), checkpoint.size());
        // A smaller one than it could not prove is of another history: the peer has left what it held.
        lock(&self.unproven).retain(|held, unproven| *held != log || *unproven <= size);
        self.heads().insert(log, checkpoint);
        self.heads_changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Judges a checkpoint that the peer sent.
    ///
    /// Signed by a key that our charter lacks, it is set aside until our charter is as new as the peer's; only then is
    /// it the peer's fault. Signed by a key that has ended since, it tells only its author something, and is nobody's fault.
    pub(super) fn judge(&self, log: &LogId, note: &Bytes) -> Result<Judged, SessionEnd> {
        let bad = |why: String| SessionEnd::log_fault(reasons::BAD_CHECKPOINT, log, why);
        let unverified = UnverifiedCheckpoint::parse_of(log, note)
            .map_err(|error| bad(format!("the checkpoint is malformed: {error}")))?;
        let history = self.shared.context.charter.history();
        let Some(key) = history.checkpoint_key_of(&unverified) else {
            if let Some(key) = history.ended_checkpoint_key_of(&unverified) {
                let verified = unverified
                    .verify(&key)
                    .map_err(|error| bad(format!("the checkpoint does not verify: {error}")))?;
                return Ok(Judged::Ended(verified));
            }
            let (ours, theirs) = (history.in_force(), self.peer_charter());
            return match theirs.cmp(&ours) {
                std::cmp::Ordering::Greater => {
                    lock(&self.aside).keep(&history.federation_id(), &unverified, note);
                    Ok(Judged::Aside)
                }
                std::cmp::Ordering::Less => Ok(Judged::Outdated),
                std::cmp::Ordering::Equal => Err(bad(
                    "the checkpoint is signed with a key that the charter does not list".into(),
                )),
            };
        };
        let verified = unverified
            .verify(&key)
            .map_err(|error| bad(format!("the checkpoint does not verify: {error}")))?;
        Ok(Judged::Verified(verified))
    }

    /// The checkpoints that were set aside, to be judged again.
    pub(super) fn take_aside(&self) -> impl Iterator<Item = (LogId, Bytes)> + use<> {
        lock(&self.aside).take()
    }

    /// What the peer is to a log that is fetched from it.
    pub(super) fn source_of(&self, log: &LogId) -> Source {
        if self.is_author(log) && !self.is_outdated() { Source::Author } else { Source::Relay }
    }

    /// Whether we answer for a later start of the peer's gateway, or for its twin: nothing of its own log is taken from it.
    pub(super) fn is_outdated(&self) -> bool {
        let newest = self.shared.starts().get(&self.peer).copied();
        newest.is_some_and(|newest| newest != self.greeting.start())
    }

    /// Ends the session once our start has another number than the one under which it began.
    pub(super) async fn until_renumbered(&self) -> SessionEnd {
        let mut number = self.shared.own_log.incarnation();
        // The sender lives as long as the gateway.
        let _ = number.wait_for(|number| *number != self.said_incarnation).await;
        SessionEnd::Renumbered
    }

    /// Whether a log is the peer's, as far as our charter tells: it may not list the peer's newest log yet.
    pub(super) fn may_write(&self, log: &LogId) -> bool {
        let history = self.shared.context.charter.history();
        history.member_of_log(log).is_none_or(|owner| owner.member == self.peer)
    }

    /// Whether the peer writes a log.
    pub(super) fn is_author(&self, log: &LogId) -> bool {
        let history = self.shared.context.charter.history();
        history.member_of_log(log).is_some_and(|owner| owner.member == self.peer)
    }
}

/// Locks what is only ever changed by single assignments: it is whole even after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
