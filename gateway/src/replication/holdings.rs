//! What we hold of every log, read once for every change and shared by all sessions; and what a change is followed by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sundbro_ledger::ids::LogId;
use sundbro_store::{LogState, LogStatus, StoreError};

use super::{SessionEnd, Shared};

/// Entries folded in one step; between steps other writers of the index get their turn.
const FOLD_ENTRIES: usize = 8_192;

/// What we hold of one log.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) status: LogStatus,
    pub(super) missing_blobs: u64,
}

/// Every log of which something is here.
pub(super) type View = Arc<BTreeMap<LogId, Holding>>;

/// A view, and the signals up to which it is true.
struct Cached {
    heads: u64,
    blobs: u64,
    charter: u64,
    view: View,
}

/// The shared view.
pub(super) struct Holdings {
    /// An async lock: whoever comes while the store is read waits for that reading instead of reading again.
    cached: tokio::sync::Mutex<Option<Cached>>,
    /// For a log that waits: the charter version that was in force when it was found to.
    waiting_since: Mutex<BTreeMap<LogId, u64>>,
}

impl Holdings {
    pub(super) fn new() -> Self {
        Self { cached: tokio::sync::Mutex::new(None), waiting_since: Mutex::default() }
    }

    /// Whether a log that waits should be tried again: the charter changed, or it waits since before our start.
    pub(super) fn may_retry(&self, log: &LogId, charter_version: u64) -> bool {
        self.waiting_since().get(log).is_none_or(|since| *since < charter_version)
    }

    /// A log was judged by a charter version, and is in this state. Said at every judgement, not only when the state
    /// changes: a log that waits as before has been tried with this charter, and is not tried again with the same.
    pub(super) fn judged(&self, log: &LogId, state: &LogState, charter_version: u64) {
        let mut waiting = self.waiting_since();
        match state {
            LogState::Waiting { .. } => drop(waiting.insert(*log, charter_version)),
            _ => drop(waiting.remove(log)),
        }
    }

    fn waiting_since(&self) -> std::sync::MutexGuard<'_, BTreeMap<LogId, u64>> {
        self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// What we hold of every log, no older than the last signal.
    pub(super) async fn view(self: &Arc<Self>) -> Result<View, SessionEnd> {
        let hub = &self.context.hub;
        let mut cached = self.holdings.cached.lock().await;
        // Read before the store: a change in between is at worst read twice.
        let heads = *hub.watch_heads().borrow();
        let blobs = *hub.watch_blobs().borrow();
        // A charter that takes a key back stops logs.
        let charter = *self.context.charter.watch().borrow();
        if let Some(cached) = &*cached
            && (cached.heads, cached.blobs, cached.charter) == (heads, blobs, charter)
        {
            return Ok(Arc::clone(&cached.view));
        }
        let view = self.blocking(|shared| shared.read_view()).await?;
        let view =
            Arc::new(view.map_err(|error| SessionEnd::ours("the logs cannot be read", error))?);
        *cached = Some(Cached { heads, blobs, charter, view: Arc::clone(&view) });
        Ok(view)
    }

    fn read_view(&self) -> Result<BTreeMap<LogId, Holding>, StoreError> {
        let store = &self.context.store;
        let mut view = BTreeMap::new();
        for status in store.log_states()? {
            let missing_blobs = store.index_counts(&status.log)?.missing_blobs;
            view.insert(status.log, Holding { status, missing_blobs });
        }
        Ok(view)
    }

    /// Folds what came, then tells everybody. Blocking.
    pub(super) fn after_entries(&self) -> Result<(), StoreError> {
        self.fold()?;
        self.context.hub.heads_changed();
        Ok(())
    }

    /// Folds what came, then tells everybody. Blocking.
    pub(super) fn after_blobs(&self) -> Result<(), StoreError> {
        self.fold()?;
        self.context.hub.blobs_changed();
        Ok(())
    }

    fn fold(&self) -> Result<(), StoreError> {
        while !self.context.store.fold(&*self.context.charter, FOLD_ENTRIES)?.finished {}
        Ok(())
    }

    /// Writes down whether a log is followed. Blocking.
    pub(super) fn mark(&self, log: &LogId, state: &LogState) -> Result<(), StoreError> {
        if !self.context.store.mark_log(log, state)? {
            return Ok(());
        }
        match state {
            LogState::Waiting { position, reason } => {
                tracing::info!(?log, position, reason, "a log waits");
            }
            LogState::Stopped { position, reason } => {
                tracing::error!(?log, position, reason, "a log is followed no further");
            }
            LogState::Stalled { position, reason } => {
                tracing::warn!(?log, position, reason, "a log is stalled");
            }
            LogState::Followed => {}
        }
        Ok(())
    }
}
