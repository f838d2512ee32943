//! Metrics of adapters: whether each source can be read, how its scans go, and what waits in quarantine and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use sundbro_adapters::QuarantineReason;
use sundbro_store::{Store, StoreError};

use super::sheet::{Metric, Sheet, number};
use crate::ingest::Ingests;

static HEALTHY: Metric =
    Metric::gauge("sundbro_adapter_healthy", &["adapter"], "1 while the source can be read");
static SCANNED: Metric = Metric::gauge(
    "sundbro_adapter_scanned",
    &["adapter"],
    "1 once a complete scan was taken since the start",
);
static RECORDS: Metric =
    Metric::gauge("sundbro_adapter_records", &["adapter"], "Live records of the source");
static QUARANTINED: Metric = Metric::gauge(
    "sundbro_adapter_quarantined_items",
    &["adapter", "reason"],
    "Items of the source that could not be registered, by reason; `all` is their sum",
);
static SCANS: Metric = Metric::counter(
    "sundbro_adapter_scans_total",
    &["adapter", "outcome"],
    "Scans of the source: taken, again (something could not be taken yet) or failed (it could not be read)",
);
static SCAN_SECONDS: Metric = Metric::counter(
    "sundbro_adapter_scan_seconds_total",
    &["adapter"],
    "Seconds that scans of the source took, with everything they found registered",
);
static LAST: Metric = Metric::gauge(
    "sundbro_adapter_last_scan_timestamp_seconds",
    &["adapter"],
    "When all that a scan found was last taken, in seconds since 1970; 0 when none was since the start",
);

/// All of them.
pub(super) static METRICS: [&Metric; 7] =
    [&HEALTHY, &SCANNED, &RECORDS, &QUARANTINED, &SCANS, &SCAN_SECONDS, &LAST];

/// The row that sums the reasons. No reason is written in lower case.
const ALL: &str = "all";

/// What became of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// Everything it found was taken.
    Taken,
    /// Not everything; it is repeated.
    Again,
    /// The source could not be read.
    Failed,
}

impl Scan {
    const ALL: [Self; 3] = [Self::Taken, Self::Again, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Again => "again",
            Self::Failed => "failed",
        }
    }
}

/// Counts the scans of one adapter. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ScanCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    scans: [AtomicU64; 3],
    millis: AtomicU64,
    last_unix_seconds: AtomicI64,
}

impl ScanCounts {
    /// A scan ended after this time.
    pub fn ended(&self, scan: Scan, took: Duration) {
        if let Some(count) = self.0.scans.get(scan as usize) {
            count.fetch_add(1, Relaxed);
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.0.millis.fetch_add(millis, Relaxed);
        if scan == Scan::Taken {
            self.0.last_unix_seconds.store(crate::clock::unix_seconds(), Relaxed);
        }
    }
}

/// What is counted by reading every row, which takes a while where there are millions.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    records: u64,
    quarantined: BTreeMap<String, u64>,
}

impl Rows {
    /// Reads them. Blocking.
    pub(super) fn count(store: &Store, adapter: &str) -> Result<Self, StoreError> {
        let (records, _) = store.adapter_counts(adapter)?;
        Ok(Self { records, quarantined: store.quarantine_reasons(adapter)? })
    }
}

/// Writes what is known of every adapter.
pub(super) fn write(ingests: &Ingests, rows: &BTreeMap<String, Rows>, sheet: &mut Sheet) {
    let (healthy, scanned) = (sheet.gauge(&HEALTHY), sheet.gauge(&SCANNED));
    let (records, quarantined) = (sheet.gauge(&RECORDS), sheet.gauge(&QUARANTINED));
    let (scans, seconds) = (sheet.totals(&SCANS), sheet.totals(&SCAN_SECONDS));
    let last = sheet.gauge(&LAST);
    for (name, ingest) in ingests {
        let label = [name.as_str()];
        healthy.put(&label, f64::from(u8::from(ingest.trouble().is_none())));
        scanned.put(&label, f64::from(u8::from(ingest.scanned())));
        let rows = rows.get(name).cloned().unwrap_or_default();
        records.put(&label, number(rows.records));
        quarantined.put(&[name, ALL], number(rows.quarantined.values().sum()));
        // It is alerted of, so it is there before it happens.
        let mut reasons = BTreeMap::from([(QuarantineReason::FolderEmptied.code().to_owned(), 0)]);
        reasons.extend(rows.quarantined);
        for (reason, count) in &reasons {
            quarantined.put(&[name, reason], number(*count));
        }
        let counts = &ingest.scans().0;
        for (scan, count) in Scan::ALL.iter().zip(&counts.scans) {
            scans.put(&[name, scan.name()], number(count.load(Relaxed)));
        }
        seconds.put(&label, number(counts.millis.load(Relaxed)) / 1000.0);
        let taken = counts.last_unix_seconds.load(Relaxed);
        last.put(&label, number(taken.unsigned_abs()));
    }
}
