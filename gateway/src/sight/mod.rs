//! What whoever watches a gateway sees of it: numbers, health, and what ends soon.
//!
//! Numbers are gathered when they are asked for, from what each area holds anyway; nothing here decides anything. No
//! label, line or answer holds anything from a record or a request.

pub mod adapters;
mod doors;
mod ends;
mod listener;
mod logs;
pub mod own;
pub mod retrieval;
pub mod scrub;
mod sheet;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sundbro_ledger::ids::MemberName;
use sundbro_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::sheet::{Kind, Metric};

use self::adapters::Rows;
use self::retrieval::RetrievalCounts;
use self::scrub::ScrubCounts;
use self::sheet::Sheet;
use crate::charter_book::CharterBook;
use crate::hub::PeerTable;
use crate::ingest::{Ingests, Outbox};
use crate::own_reach::OwnReachReader;
use crate::publisher::PublisherHandle;
use crate::scrub::LastScrub;
use crate::subject::SubjectKeys;
use crate::tls::{End, FederationTls, LocalTls};

/// How long rows that were counted one by one are shown before they are counted again.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// Every metric that a gateway can show, area by area.
pub fn catalogue() -> Vec<&'static Metric> {
    let areas: [&[&'static Metric]; 6] = [
        &logs::METRICS,
        &own::METRICS,
        &scrub::METRICS,
        &retrieval::METRICS,
        &adapters::METRICS,
        &doors::METRICS,
    ];
    areas.concat()
}

/// Where everything is seen.
pub struct Sources {
    /// Us.
    pub member: MemberName,
    /// Logs, index, audit log and files.
    pub store: Arc<Store>,
    /// The charter in force.
    pub charter: Arc<CharterBook>,
    /// Keys of subject epochs.
    pub subjects: Arc<SubjectKeys>,
    /// What is known of each peer.
    pub peers: Arc<PeerTable>,
    /// Our own log's writer.
    pub publisher: PublisherHandle,
    /// How far our own log has come.
    pub reach: Arc<OwnReachReader>,
    /// What scrubs found.
    pub scrub: ScrubCounts,
    /// The adapters.
    pub ingests: Arc<Ingests>,
    /// What waits to be signed.
    pub outbox: Outbox,
    /// Retrievals of either side: the owner's, the requester's.
    pub retrievals: [RetrievalCounts; 2],
    /// The listener for members.
    pub federation: Arc<FederationTls>,
    /// The listener for local systems.
    pub local: Arc<LocalTls>,
}

/// Watches a running gateway.
pub struct Sight {
    sources: Sources,
    started: Instant,
    started_unix_seconds: i64,
    ready: AtomicBool,
    rows: Mutex<Option<(Instant, BTreeMap<String, Rows>)>>,
}

impl Sight {
    /// Sees the gateway that is being put together; it is not ready yet.
    pub fn new(sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            sources,
            started: Instant::now(),
            started_unix_seconds: crate::clock::unix_seconds(),
            ready: AtomicBool::new(false),
            rows: Mutex::new(None),
        })
    }

    /// Everything that a gateway needs is up.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Answers on a listener until `stop`; then nothing listens any more, so whoever asks for readiness is refused.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        listener::serve(self, listener, stop).await;
    }

    /// Warns of what ends soon, until `stop`.
    pub async fn warn_of_ends(self: Arc<Self>, stop: CancellationToken) {
        let (federation, local) = (self.sources.federation.clone(), self.sources.local.clone());
        ends::watch(federation, local, stop).await;
    }

    /// What ends by itself, the soonest first.
    pub fn ends(&self) -> Vec<End> {
        let Sources { federation, local, .. } = &self.sources;
        let mut ends: Vec<End> = doors::both(federation, local).map(|(_, end)| end).collect();
        ends.sort();
        ends.dedup();
        ends
    }

    /// The last time that every row of the store was looked at. `None`: not once since our start.
    pub fn last_scrub(&self) -> Option<LastScrub> {
        self.sources.scrub.last()
    }

    /// Whether the gateway can do its work at all, or why not. Blocking.
    fn health(&self) -> Result<(), &'static str> {
        if self.sources.publisher.has_ended() {
            return Err("the publisher has ended: look for its error in the log, and restart");
        }
        match self.sources.store.audit_head() {
            Ok(_) => Ok(()),
            Err(_) => Err("the data folder cannot be read: look at its disk"),
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The numbers of now. Blocking.
    fn scrape(&self) -> Result<String, StoreError> {
        let Sources { member, store, charter, subjects, peers, publisher, .. } = &self.sources;
        let mut sheet = Sheet::default();
        let tls = &*self.sources.federation;
        logs::Logs { member, store, charter, peers, tls, started: self.started }
            .write(&mut sheet)?;
        let history = charter.history();
        own::Own {
            store,
            subjects,
            epochs: history.subject_epochs().iter().map(|epoch| epoch.epoch).collect(),
            signing: publisher.state().borrow().clone(),
            commits: publisher.commits(),
            reach: self.sources.reach.read()?,
            outbox: &self.sources.outbox,
            started_unix_seconds: self.started_unix_seconds,
        }
        .write(&mut sheet)?;
        self.sources.scrub.write(&mut sheet);
        for counts in &self.sources.retrievals {
            counts.write(&mut sheet);
        }
        adapters::write(&self.sources.ingests, &self.rows()?, &mut sheet);
        doors::write(tls, &self.sources.local, &mut sheet);
        Ok(sheet.to_open_metrics())
    }

    /// What takes reading every row to count, at most every [`COUNT_INTERVAL`].
    fn rows(&self) -> Result<BTreeMap<String, Rows>, StoreError> {
        let mut kept = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, rows)) if at.elapsed() < COUNT_INTERVAL => return Ok(rows.clone()),
            _ => {}
        }
        let count = |name: &String| Ok((name.clone(), Rows::count(&self.sources.store, name)?));
        let rows: BTreeMap<_, _> =
            self.sources.ingests.keys().map(count).collect::<Result<_, _>>()?;
        *kept = Some((Instant::now(), rows.clone()));
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_their_kind_says() {
        let all = catalogue();
        let names: BTreeSet<_> = all.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all.len());
        for Metric { name, kind, help, labels } in all {
            assert!(name.starts_with("sundbro_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!help.is_empty() && !help.ends_with('.') && !help.contains('\n'), "{name}");
            assert!(labels.iter().all(|label| label.bytes().all(|it| it.is_ascii_lowercase())));
        }
    }
}
