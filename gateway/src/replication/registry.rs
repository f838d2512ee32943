//! Sees to it that one session at a time fetches one log, since two would fetch the same bytes; and that nobody keeps a
//! log from those who would be quicker, or from its author.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_ledger::ids::LogId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What is fetched of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Entries, with the proofs for them.
    Entries,
    /// Payloads and details.
    Blobs,
}

/// From whom a log is fetched. The author comes first: whoever else shows a log may have an interest in its standing
/// still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// From a peer that holds a copy.
    Relay,
    /// From the member that writes it.
    Author,
}

/// What is being fetched right now, over all sessions.
#[derive(Debug)]
pub(super) struct PullRegistry {
    claimed: Mutex<BTreeMap<(LogId, Lane), Waiting>>,
    released: watch::Sender<u64>,
}

/// The best source that somebody else has for what is being fetched.
type Waiting = watch::Sender<Option<Source>>;

impl PullRegistry {
    pub(super) fn new() -> Self {
        Self { claimed: Mutex::default(), released: watch::Sender::new(0) }
    }

    /// Claims one lane of a log until the claim is dropped. `None`: another session has it; it hears that somebody
    /// waits, and [`watch_released`](Self::watch_released) tells when it is free.
    pub(super) fn claim(self: &Arc<Self>, log: LogId, lane: Lane, source: Source) -> Option<Claim> {
        let mut claimed = self.claimed();
        if let Some(waiting) = claimed.get(&(log, lane)) {
            waiting.send_if_modified(|waiting| {
                let better = Some(source) > *waiting;
                if better {
                    *waiting = Some(source);
                }
                better
            });
            return None;
        }
        Some(self.insert(&mut claimed, log, lane, source))
    }

    /// As [`claim`](Self::claim), by somebody who does not wait.
    pub(super) fn claim_if_free(
        self: &Arc<Self>,
        log: LogId,
        lane: Lane,
        source: Source,
    ) -> Option<Claim> {
        let mut claimed = self.claimed();
        let free = !claimed.contains_key(&(log, lane));
        free.then(|| self.insert(&mut claimed, log, lane, source))
    }

    fn insert(
        self: &Arc<Self>,
        claimed: &mut BTreeMap<(LogId, Lane), Waiting>,
        log: LogId,
        lane: Lane,
        source: Source,
    ) -> Claim {
        let (waiting, waits) = watch::channel(None);
        claimed.insert((log, lane), waiting);
        Claim { registry: Arc::clone(self), log, lane, source, waits }
    }

    /// Hears of claims that were given up.
    pub(super) fn watch_released(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeMap<(LogId, Lane), Waiting>> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to fetch one lane of a log. Moved into the blocking call that commits, so that it lasts as long as that
/// call even if the session is gone.
#[derive(Debug)]
pub(super) struct Claim {
    registry: Arc<PullRegistry>,
    log: LogId,
    lane: Lane,
    source: Source,
    waits: watch::Receiver<Option<Source>>,
}

impl Claim {
    pub(super) fn log(&self) -> LogId {
        self.log
    }

    /// Waits until the claim should be given up: at once when the author waits behind somebody else's copy; from
    /// `slow_at` on when anybody waits.
    pub(super) async fn is_owed(&self, slow_at: Instant) {
        let better = |waiting: &Option<Source>| *waiting > Some(self.source);
        let (mut at_once, mut if_slow) = (self.waits.clone(), self.waits.clone());
        let slow = async {
            sleep_until(slow_at).await;
            if_slow.wait_for(Option::is_some).await.is_ok()
        };
        // The registry keeps the other end for as long as the claim lives.
        tokio::select! {
            biased;
            _ = at_once.wait_for(better) => {}
            _ = slow => {}
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry.claimed().remove(&(self.log, self.lane));
        self.registry.released.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    const LOG: LogId = LogId::new([1; 32]);

    #[test]
    fn one_claim_at_a_time_and_others_hear_when_it_is_free() {
        let registry = Arc::new(PullRegistry::new());
        let mut released = registry.watch_released();
        let claim = registry.claim(LOG, Lane::Entries, Source::Relay).expect("free");
        assert!(registry.claim(LOG, Lane::Entries, Source::Author).is_none());
        assert!(registry.claim_if_free(LOG, Lane::Entries, Source::Author).is_none());
        assert!(registry.claim(LOG, Lane::Blobs, Source::Relay).is_some(), "another lane");
        released.mark_unchanged();
        drop(claim);
        assert!(released.has_changed().expect("lives"));
        assert!(registry.claim(LOG, Lane::Entries, Source::Relay).is_some());
    }

    #[tokio::test]
    async fn a_claim_is_owed_to_the_author_at_once_and_to_others_when_it_is_slow() {
        let registry = Arc::new(PullRegistry::new());
        let claim = registry.claim(LOG, Lane::Entries, Source::Relay).expect("free");
        let now = Instant::now();
        let later = now + Duration::from_secs(3_600);
        assert!(claim.is_owed(now).now_or_never().is_none(), "nobody waits");
        assert!(registry.claim(LOG, Lane::Entries, Source::Relay).is_none());
        assert!(claim.is_owed(later).now_or_never().is_none(), "it is not slow");
        claim.is_owed(now).await;
        assert!(registry.claim(LOG, Lane::Entries, Source::Author).is_none());
        assert!(claim.is_owed(later).now_or_never().is_some(), "the author comes first");
    }
}
