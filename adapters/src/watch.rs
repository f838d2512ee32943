//! Drives an adapter: a scan, then waiting until something changed or the poll interval is over, then a scan again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::adapter::{Adapter, Change, KnownItems, ScanError, ScanReport};
use crate::item::{DocumentIdDigest, Fingerprint, SourceKey};

/// A scan takes at most a fifth of the time, as long as four times its length is less than the poll interval: in a folder
/// where something is written every second, the walk over all its files must not become a full-time job.
const REST_PER_SCAN: u32 = 4;

/// How long to rest after a scan, whatever changes meanwhile: a multiple of what it took, but at least `least`, so that
/// a burst of changes is one scan, and at most `most`, so that one long scan does not blind us for hours.
pub fn rest_after(took: Duration, least: Duration, most: Duration) -> Duration {
    took.saturating_mul(REST_PER_SCAN).min(most).max(least)
}

/// How an adapter is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// Longest time between two scans. Network shares do not notify: for them this is the only trigger.
    pub poll_interval: Duration,
    /// Shortest time between two scans, so that a burst of changes is one scan.
    pub least_pause: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { poll_interval: Duration::from_secs(60), least_pause: Duration::from_millis(500) }
    }
}

/// What comes out of a source, in order.
#[derive(Debug)]
pub enum SourceEvent {
    /// A difference.
    Change(Box<Change>),
    /// A scan ended; every change that it saw came before.
    Scanned(Result<ScanReport, ScanError>),
}

/// Why watching ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The adapter panicked; that is a mistake in it.
    #[error(
        "source {adapter}: the scan broke off, which is a fault of this program: restart it and report the fault"
    )]
    Broken {
        /// The adapter's name.
        adapter: String,
    },
}

/// Scans, tells what it found, waits, and begins again, until `stop` or until nobody takes the events.
///
/// A full channel holds the scan: the gateway reads no faster than it registers. The receiver is dropped on stopping,
/// so that a scan that waits for room ends too.
///
/// # Errors
/// Fails if the adapter panics. A scan that fails is an event, not an error: it is tried again.
pub async fn watch(
    adapter: Arc<dyn Adapter>,
    known: Arc<dyn KnownItems>,
    events: mpsc::Sender<SourceEvent>,
    options: WatchOptions,
    stop: CancellationToken,
) -> Result<(), WatchError> {
    loop {
        let began = Instant::now();
        let result = {
            let scanned = Arc::clone(&adapter);
            let known = Until { known: Arc::clone(&known), stop: stop.clone() };
            let (events, stop) = (events.clone(), stop.clone());
            tokio::task::spawn_blocking(move || {
                scanned.scan(&known, &mut |change| {
                    let change = SourceEvent::Change(Box::new(change));
                    if stop.is_cancelled() || events.blocking_send(change).is_err() {
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })
            })
            .await
            .map_err(|_| WatchError::Broken { adapter: adapter.name().to_owned() })?
        };
        let took = began.elapsed();
        let look_again_in = result.as_ref().ok().and_then(|report| report.look_again_in);
        let pause = rest_after(took, options.least_pause, options.poll_interval);
        let wait = look_again_in.unwrap_or(options.poll_interval).min(options.poll_interval);
        let sent = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            sent = events.send(SourceEvent::Scanned(result)) => sent,
        };
        if sent.is_err() {
            return Ok(());
        }
        let earliest = Instant::now() + pause;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = events.closed() => return Ok(()),
            () = adapter.changed() => {}
            () = sleep(wait) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep_until(earliest) => {}
        }
    }
}

/// What is known, until a scan is to end.
struct Until {
    known: Arc<dyn KnownItems>,
    stop: CancellationToken,
}

impl KnownItems for Until {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.known.fingerprint(source_key)
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.known.registered(source_key)
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        self.known.is_withheld(folder)
    }

    fn was_emptied(&self) -> bool {
        self.known.was_emptied()
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        self.known.holder_of(document_id)
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        self.known.for_each(visit);
    }

    fn should_stop(&self) -> bool {
        self.stop.is_cancelled() || self.known.should_stop()
    }

    fn cursor(&self) -> Option<Vec<u8>> {
        self.known.cursor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
    use crate::memory::MemoryItems;
    use crate::profile::Profile;

    #[tokio::test]
    async fn tells_what_is_there_and_what_comes_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "text").unwrap();
        put("first.txt");
        let mut settings =
            DocumentsSettings::new("a", folder.path(), IdentifierSystems::All, Profile::None);
        settings.settle = Duration::ZERO;
        let adapter = Arc::new(DocumentsAdapter::new(settings));
        let known = Arc::new(MemoryItems::new());
        let (sender, mut events) = mpsc::channel(1);
        let stop = CancellationToken::new();
        // Short, because the test must also pass where the operating system does not notify.
        let poll = Duration::from_millis(20);
        let options = WatchOptions { poll_interval: poll, least_pause: Duration::ZERO };
        let task = tokio::spawn(watch(adapter, known.clone(), sender, options, stop.clone()));

        let mut told = 0;
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Change(change) => {
                    known.take(&change);
                    told += 1;
                }
                SourceEvent::Scanned(report) => {
                    assert!(report.unwrap().complete);
                    match told {
                        1 => put("second.txt"),
                        2 => stop.cancel(),
                        _ => {}
                    }
                }
            }
        }
        assert_eq!(told, 2, "each file once");
        task.await.unwrap().unwrap();
    }

    #[test]
    fn rests_four_times_as_long_as_it_worked_within_bounds() {
        let seconds = Duration::from_secs;
        let rest = |took| rest_after(took, seconds(1), seconds(30));
        assert_eq!(rest(Duration::ZERO), seconds(1));
        assert_eq!(rest(seconds(2)), seconds(8));
        assert_eq!(rest(seconds(3600)), seconds(30));
        assert_eq!(rest(Duration::MAX), seconds(30));
    }

    #[tokio::test]
    async fn a_scan_that_fails_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let later = folder.path().join("later");
        let settings = DocumentsSettings::new("a", &later, IdentifierSystems::All, Profile::None);
        let adapter = Arc::new(DocumentsAdapter::new(settings));
        let (sender, mut events) = mpsc::channel(1);
        let poll = Duration::from_millis(5);
        let options = WatchOptions { poll_interval: poll, least_pause: Duration::ZERO };
        let known = Arc::new(MemoryItems::new());
        let task = tokio::spawn(watch(adapter, known, sender, options, CancellationToken::new()));
        let Some(SourceEvent::Scanned(Err(ScanError::Unavailable { .. }))) = events.recv().await
        else {
            panic!("the folder is not there");
        };
        std::fs::create_dir(&later).unwrap();
        while let Some(SourceEvent::Scanned(result)) = events.recv().await {
            if result.is_ok() {
                break;
            }
        }
        drop(events);
        task.await.unwrap().unwrap();
    }
}
