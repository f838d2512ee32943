//! Sees to it that one session at a time fetches one log: two would fetch the same bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_ledger::ids::LogId;
use tokio::sync::watch;

/// What is fetched of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// Entries, with the proofs for them.
    Entries,
    /// Payloads and details.
    Blobs,
}

/// What is being fetched right now, over all sessions.
#[derive(Debug)]
pub(super) struct PullRegistry {
    claimed: Mutex<BTreeSet<(LogId, Lane)>>,
    released: watch::Sender<u64>,
}

impl PullRegistry {
    pub(super) fn new() -> Self {
        Self { claimed: Mutex::default(), released: watch::Sender::new(0) }
    }

    /// Claims one lane of a log until the claim is dropped. `None`: another session has it.
    pub(super) fn claim(self: &Arc<Self>, log: LogId, lane: Lane) -> Option<Claim> {
        let fresh = self.claimed().insert((log, lane));
        fresh.then(|| Claim { registry: Arc::clone(self), log, lane })
    }

    /// Hears of claims that were given up.
    pub(super) fn watch_released(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }

    fn claimed(&self) -> MutexGuard<'_, BTreeSet<(LogId, Lane)>> {
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
}

impl Claim {
    pub(super) fn log(&self) -> LogId {
        self.log
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
    use super::*;

    #[test]
    fn one_claim_at_a_time_and_others_hear_when_it_is_free() {
        let registry = Arc::new(PullRegistry::new());
        let log = LogId::new([1; 32]);
        let mut released = registry.watch_released();
        let claim = registry.claim(log, Lane::Entries).expect("free");
        assert!(registry.claim(log, Lane::Entries).is_none());
        assert!(registry.claim(log, Lane::Blobs).is_some(), "another lane");
        released.mark_unchanged();
        drop(claim);
        assert!(released.has_changed().expect("lives"));
        assert!(registry.claim(log, Lane::Entries).is_some());
    }
}
