//! Keeps one session with every active member: dials, waits, dials again.
//!
//! Of two members the one whose name sorts first dials; the other one only after it was not reached for a while, or
//! right after its own start, since it wants to know what peers hold of its log before it signs. Pauses between tries
//! grow, have jitter, and end at once when something changed that may have been the cause.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::Stream;
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::{OUTBOUND_FRAMES, ReplicationSettings, Shared, session};

/// Why a peer was not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotReached {
    /// Constant for status and metrics.
    pub cause: &'static str,
    /// For people.
    pub message: String,
}

/// Opens streams to other members.
pub trait Dial: Send + Sync + 'static {
    /// Frames of the peer.
    type Inbound: Stream<Item = Result<Frame, Status>> + Send + Unpin + 'static;

    /// Opens a stream to the gateway of `peer`, whose certificate must name it. What is put into `outbound` is sent.
    ///
    /// # Errors
    /// With the cause, when the stream was not opened.
    fn dial(
        &self,
        peer: &MemberName,
        outbound: mpsc::Receiver<Frame>,
    ) -> impl Future<Output = Result<Self::Inbound, NotReached>> + Send;

    /// Hears of what may make a peer reachable: a new certificate, a new key.
    fn signals(&self) -> watch::Receiver<u64>;
}

/// Dials the active members until the gateway stops, and lets its sessions end.
pub(super) async fn run<D: Dial>(shared: &Arc<Shared>, dial: Arc<D>) {
    let tracker = TaskTracker::new();
    let stop = &shared.context.stop;
    let mut charter = shared.context.charter.watch();
    // Never emptied: a member that was suspended may come back, and its task waits for that.
    let mut kept = BTreeSet::new();
    loop {
        charter.mark_unchanged();
        for peer in shared.other_active_members() {
            if kept.insert(peer.clone()) {
                tracker.spawn(keep(Arc::clone(shared), Arc::clone(&dial), peer));
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = charter.changed() => if changed.is_err() { break },
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// Keeps a session with one peer.
async fn keep<D: Dial>(shared: Arc<Shared>, dial: Arc<D>, peer: MemberName) {
    let settings = &shared.context.settings;
    let stop = &shared.context.stop;
    let mut signals = dial.signals();
    let mut charter = shared.context.charter.watch();
    let mut backoff = Backoff::new(settings);
    let mut first = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = wait_for_turn(&shared, &peer, first) => {}
        }
        first = false;
        signals.mark_unchanged();
        charter.mark_unchanged();
        let began = Instant::now();
        dial_once(&shared, &*dial, &peer).await;
        if began.elapsed() > settings.backoff_cap {
            backoff.reset();
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(backoff.next()) => {}
            Ok(()) = signals.changed() => backoff.reset(),
            Ok(()) = charter.changed() => backoff.reset(),
        }
    }
}

/// Dials, and stays until the session is over: it ends by itself when the gateway stops or the charter says so, after
/// telling the peer.
async fn dial_once<D: Dial>(shared: &Arc<Shared>, dial: &D, peer: &MemberName) {
    let (outbound, frames) = mpsc::channel(OUTBOUND_FRAMES);
    let dialled = tokio::select! {
        () = shared.context.stop.cancelled() => return,
        dialled = dial.dial(peer, frames) => dialled,
    };
    match dialled {
        Ok(inbound) => {
            session::run(shared, peer.clone(), inbound, outbound, CancellationToken::new()).await;
        }
        Err(error) => {
            let before = shared.context.peers.view(peer).and_then(|view| view.cause);
            if before != Some(error.cause) {
                tracing::warn!(%peer, cause = error.cause, "{error}");
            }
            shared.context.peers.not_reached(peer, error.cause);
        }
    }
}

/// Waits until it is us who should dial.
async fn wait_for_turn(shared: &Shared, peer: &MemberName, first: bool) {
    let context = &shared.context;
    let we_dial = context.own.member < *peer;
    let mut changes = context.peers.watch();
    let mut charter = context.charter.watch();
    let began = Instant::now();
    loop {
        changes.mark_unchanged();
        charter.mark_unchanged();
        if !context.charter.is_active(peer) {
            // Whoever does not take part may call us, to learn the charter.
            let _ = charter.changed().await;
            continue;
        }
        let view = context.peers.view(peer);
        if view.as_ref().is_some_and(|view| view.reachable) {
            // An error would say that the table is gone, which this task keeps alive.
            let _ = changes.changed().await;
            continue;
        }
        if first || we_dial {
            return;
        }
        let since = view.map_or(began, |view| view.since);
        let left = context.settings.dial_patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(left) => {}
            _ = changes.changed() => {}
        }
    }
}

/// Pauses that double up to a cap, each shortened by up to half at random: gateways that lost the same peer at once do
/// not all come back at once.
struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    fn new(settings: &ReplicationSettings) -> Self {
        let first = settings.backoff_first;
        Self { first, cap: settings.backoff_cap, next: first }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.cap);
        // Without randomness the pause is whole: still correct, only less polite.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        pause.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(&ReplicationSettings::default());
        let mut whole = Duration::from_millis(100);
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} for {whole:?}");
            whole = (whole * 2).min(Duration::from_secs(5));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }
}
