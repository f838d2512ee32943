//! Turns what an adapter finds into transactions of our own log, once.
//!
//! Changes come at least once; what is already registered is seen by its locator, and after the loss of the locators by
//! the record id, which follows from the source key. Identifiers become tags here and go no further. What is found while
//! our log may not be signed waits in the outbox, and counts as registered for whatever is found after it.

mod draft;
mod facts;
mod judge;
mod known;
mod notes;
mod outbox;
mod take;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sundbro_adapters::{Adapter, Health, ScanError, ScanReport, rest_after};
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_store::Store;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::draft::DraftError;
use self::known::{Known, SeenItems};
use self::notes::Notes;
pub use self::outbox::{Outbox, sign_what_waits};
use crate::identity::OwnKeys;
use crate::publisher::{PublisherHandle, SigningState};
use crate::sight::adapters::{Scan, ScanCounts};
use crate::subject::keys::SubjectKeys;

/// Changes that wait between a scan and the publisher; a scan that finds more waits.
const QUEUE_CHANGES: usize = 256;
/// Most changes in one group of drafts.
const GROUP_CHANGES: usize = 128;
/// Shortest time between two scans, so that a burst of changes is one scan.
const LEAST_PAUSE: Duration = Duration::from_millis(500);
/// How long an item waits that could not be published, if nothing else wakes us.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long what is found waits at its source for our log to be signed before it goes into the outbox: a start, or a peer
/// that is started again, takes less, and what is signed at once is written once.
const SIGNING_PATIENCE: Duration = Duration::from_secs(5);

/// What all ingests of a gateway share.
#[derive(Clone)]
pub struct IngestContext {
    /// Our name.
    pub member: MemberName,
    /// Our log.
    pub own_log: LogId,
    /// The store.
    pub store: Arc<Store>,
    /// Our keys: record ids are derived with one of them.
    pub keys: Arc<OwnKeys>,
    /// Keys of the subject epochs.
    pub subjects: Arc<SubjectKeys>,
    /// Who appends.
    pub publisher: PublisherHandle,
    /// Where drafts wait while nothing may be appended.
    pub outbox: Outbox,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// What can be asked of one adapter's ingest. Cheap to clone.
#[derive(Clone)]
pub struct IngestHandle {
    adapter: Arc<dyn Adapter>,
    scanned: Arc<AtomicBool>,
    again: Arc<Notify>,
    passes: Arc<watch::Sender<u64>>,
    /// Why the last scan failed.
    failure: Arc<Mutex<Option<String>>>,
    scans: ScanCounts,
}

impl IngestHandle {
    fn new(adapter: Arc<dyn Adapter>) -> Self {
        Self {
            adapter,
            scanned: Arc::new(AtomicBool::new(false)),
            again: Arc::new(Notify::new()),
            passes: Arc::new(watch::Sender::new(0)),
            failure: Arc::default(),
            scans: ScanCounts::default(),
        }
    }

    /// The adapter.
    pub fn adapter(&self) -> &Arc<dyn Adapter> {
        &self.adapter
    }

    /// Whether a complete scan was finished and taken since the start.
    pub fn scanned(&self) -> bool {
        self.scanned.load(Ordering::Acquire)
    }

    /// How its scans went.
    pub fn scans(&self) -> &ScanCounts {
        &self.scans
    }

    /// Looks at the source again now, because something there is not what was registered, and waits for the end of a
    /// pass that began after this.
    pub async fn look_again_and_wait(&self) {
        let mut passes = self.passes.subscribe();
        // A pass that is under way may have gone past the item already: the one after it has not.
        for _ in 0..2 {
            let before = *passes.borrow_and_update();
            self.again.notify_one();
            drop(passes.wait_for(|passes| *passes > before).await);
        }
    }

    /// What is wrong with its source now, if something is. Blocks briefly.
    pub fn trouble(&self) -> Option<String> {
        match self.adapter.health() {
            Health::Ready => self.failure().clone(),
            Health::Unavailable { message } => Some(message),
        }
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the ingest of one adapter.
pub fn spawn(
    context: IngestContext,
    adapter: Arc<dyn Adapter>,
    poll_interval: Duration,
) -> (IngestHandle, tokio::task::JoinHandle<()>) {
    let handle = IngestHandle::new(adapter.clone());
    let ingest = Ingest {
        notes: Notes::open(&context.store, adapter.clone()),
        context,
        adapter,
        poll_interval,
        handle: handle.clone(),
        seen: Arc::new(Mutex::new(SeenItems::default())),
    };
    (handle, tokio::spawn(ingest.run()))
}

struct Ingest {
    context: IngestContext,
    adapter: Arc<dyn Adapter>,
    poll_interval: Duration,
    handle: IngestHandle,
    notes: Notes,
    seen: Arc<Mutex<SeenItems>>,
}

impl Ingest {
    async fn run(self) {
        let stop = self.context.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(self) {
        while let Err(error) = self.remember_what_is_stored().await {
            let error = crate::status::chain(&error);
            tracing::error!(adapter = self.adapter.name(), error, "the source cannot be read yet");
            tokio::time::sleep(RETRY_AFTER).await;
        }
        let mut dropped = self.context.outbox.dropped();
        loop {
            self.until_something_can_be_taken().await;
            let began = Instant::now();
            let pass = self.pass().await;
            self.handle.scans.ended(pass.scan(), began.elapsed());
            let wait = match pass {
                Pass::Done(report) => report.look_again_in.unwrap_or(self.poll_interval),
                Pass::TryAgain | Pass::Failed => RETRY_AFTER,
            };
            let rest = rest_after(began.elapsed(), LEAST_PAUSE, self.poll_interval);
            let rested = tokio::time::sleep(rest);
            let due = async {
                tokio::select! {
                    () = self.adapter.changed() => {}
                    () = tokio::time::sleep(wait.min(self.poll_interval)) => {}
                }
                rested.await;
            };
            tokio::select! {
                () = due => {}
                // Somebody waits for a record: that comes before rest.
                () = self.handle.again.notified() => {}
                // Something that waited was not signed: only its source can tell it again.
                _ = dropped.changed() => self.seen().look_at_all_again(),
            }
        }
    }

    /// What a process before this one left in the tables.
    async fn remember_what_is_stored(&self) -> Result<(), DraftError> {
        let (store, adapter) = (self.context.store.clone(), self.adapter.clone());
        let stored = blocking(move || Ok(SeenItems::load(&store, adapter.name())?)).await?;
        *self.seen() = stored;
        Ok(())
    }

    /// Waits until a subject key is here, and our log may grow or what is found may wait in the outbox.
    async fn until_something_can_be_taken(&self) {
        let patient_until = Instant::now() + SIGNING_PATIENCE;
        let mut state = self.context.publisher.state();
        let mut keys = self.context.subjects.watch();
        loop {
            let signing = *state.borrow_and_update() == SigningState::Signing;
            keys.borrow_and_update();
            if self.context.subjects.newest().is_some()
                && (signing
                    || (Instant::now() >= patient_until && self.context.outbox.has_room().await))
            {
                return;
            }
            // Whichever comes first. The senders live as long as the gateway; should one be gone, the stop signal ends
            // this task.
            tokio::select! {
                _ = state.changed() => {}
                _ = keys.changed() => {}
                // Whoever waits for a record hears that nothing can be registered now.
                () = self.handle.again.notified() => self.handle.passes.send_modify(|passes| *passes += 1),
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
            tracing::debug!(adapter = self.adapter.name(), "waiting for a subject key or to sign");
        }
    }

    /// One scan, with everything that it found taken.
    async fn pass(&self) -> Pass {
        let (changes, mut found) = mpsc::channel(QUEUE_CHANGES);
        let adapter = self.adapter.clone();
        let read_again = !self.notes.was_read_this_way();
        self.seen().read_again(read_again);
        let known = Known {
            store: self.context.store.clone(),
            adapter: adapter.clone(),
            seen: self.seen.clone(),
            notes: self.notes.clone(),
            stop: self.context.stop.clone(),
        };
        let scan = tokio::task::spawn_blocking(move || {
            adapter.scan(&known, &mut |change| match changes.blocking_send(change) {
                Ok(()) => ControlFlow::Continue(()),
                // Whoever takes the changes gave up: what is left is found again in the next pass.
                Err(_) => ControlFlow::Break(()),
            })
        });
        let mut taken = true;
        let mut group = Vec::with_capacity(GROUP_CHANGES);
        while found.recv_many(&mut group, GROUP_CHANGES).await > 0 {
            if !self.take(std::mem::take(&mut group)).await {
                taken = false;
                break;
            }
        }
        drop(found);
        let name = self.adapter.name();
        let scanned = scan.await;
        if let Ok(result) = &scanned {
            *self.handle.failure() = result.as_ref().err().map(ToString::to_string);
        }
        match &scanned {
            Ok(Err(ScanError::Emptied { .. })) => self.notes.note_emptied(true),
            // One that was told to stop did not come to an end.
            Ok(Ok(_)) if taken && !self.context.stop.is_cancelled() => {
                self.notes.note_emptied(false);
            }
            _ => {}
        }
        match scanned {
            Ok(Ok(report)) if taken => {
                if report.complete {
                    if read_again {
                        self.notes.note_how_it_was_read();
                    }
                    if !self.handle.scanned.swap(true, Ordering::AcqRel) {
                        tracing::info!(
                            adapter = name,
                            unchanged = report.unchanged,
                            "first scan finished"
                        );
                    }
                }
                self.handle.passes.send_modify(|passes| *passes += 1);
                Pass::Done(report)
            }
            Ok(Ok(_)) => Pass::TryAgain,
            Ok(Err(error)) => {
                let error = crate::status::chain(&error);
                tracing::warn!(adapter = name, error, "the source could not be read");
                // Whoever waits for a record hears that there is nothing to wait for.
                self.handle.passes.send_modify(|passes| *passes += 1);
                Pass::Failed
            }
            Err(error) => {
                tracing::error!(adapter = name, %error, "the adapter failed: report this as a defect");
                Pass::Failed
            }
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, SeenItems> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pass came to.
enum Pass {
    Done(ScanReport),
    /// Not everything that was found could be taken.
    TryAgain,
    /// The source could not be read.
    Failed,
}

impl Pass {
    fn scan(&self) -> Scan {
        match self {
            Self::Done(_) => Scan::Taken,
            Self::TryAgain => Scan::Again,
            Self::Failed => Scan::Failed,
        }
    }
}

/// Runs a blocking piece of work beside the async tasks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DraftError> + Send + 'static,
) -> Result<T, DraftError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(DraftError::Interrupted),
    }
}

/// All ingests of a gateway, by adapter name.
pub type Ingests = HashMap<String, IngestHandle>;
