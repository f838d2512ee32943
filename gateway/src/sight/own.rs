//! Metrics of our own side: signing, commits, files, the audit log, and which software runs since when.

use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use sundbro_store::tables::StoreFile;
use sundbro_store::{Store, StoreError};

use super::sheet::{Metric, Sheet, number};
use crate::ingest::Outbox;
use crate::own_reach::OwnReach;
use crate::publisher::SigningState;
use crate::subject::SubjectKeys;

static SIGNING: Metric = Metric::gauge(
    "sundbro_signing_state",
    &["state"],
    "1 for the state of our own log: checking (peers are asked whether it may be signed), behind (what is missing of it is \
     fetched), signing or stopped",
);
static COMMITS: Metric = Metric::histogram(
    "sundbro_own_log_commit_seconds",
    &[],
    "Seconds until a group of our own entries was signed and durable",
);
static REACHED: Metric = Metric::gauge(
    "sundbro_own_log_entries",
    &["state"],
    "Entries of our own log that are accepted here, replicated at another member, witnessed by the quorum",
);
static WAITING: Metric = Metric::gauge(
    "sundbro_outbox_drafts",
    &[],
    "Registrations and withdrawals that were found and wait until our own log may be signed",
);
static WAITING_SINCE: Metric = Metric::gauge(
    "sundbro_outbox_oldest_timestamp_seconds",
    &[],
    "When the first of what waits to be signed was found, in seconds since 1970; 0 while nothing waits",
);
static OUTBOX_FULL: Metric = Metric::gauge(
    "sundbro_outbox_full",
    &[],
    "1 while no more may wait to be signed: what is found waits at its source (OUTBOX_FULL)",
);
static FILES: Metric = Metric::gauge(
    "sundbro_store_file_bytes",
    &["file"],
    "Size of each file of the data folder, and of the signing gate",
);
static FREE: Metric =
    Metric::gauge("sundbro_store_free_bytes", &[], "Bytes free on the disk of the data folder");
static RESERVE: Metric = Metric::gauge(
    "sundbro_store_reserve_bytes",
    &[],
    "With fewer bytes free than this, nothing that grows the store is taken (DISK_FULL)",
);
static AUDIT: Metric =
    Metric::gauge("sundbro_audit_entries", &[], "Entries of the audit log of this gateway");
static INCARNATION: Metric =
    Metric::gauge("sundbro_incarnation", &[], "How often this gateway was started");
static STARTED: Metric = Metric::gauge(
    "sundbro_start_timestamp_seconds",
    &[],
    "When this gateway was started, in seconds since 1970",
);
static BUILD: Metric =
    Metric::gauge("sundbro_build_version", &["version"], "1 for the version that runs");
static EPOCHS: Metric = Metric::gauge(
    "sundbro_subject_epochs_missing",
    &[],
    "Subject epochs of the charter whose key is not here: tags of them are not found",
);

/// All of them.
pub(super) static METRICS: [&Metric; 14] = [
    &SIGNING,
    &COMMITS,
    &REACHED,
    &WAITING,
    &WAITING_SINCE,
    &OUTBOX_FULL,
    &FILES,
    &FREE,
    &RESERVE,
    &AUDIT,
    &INCARNATION,
    &STARTED,
    &BUILD,
    &EPOCHS,
];

const STATES: [&str; 4] = ["checking", "behind", "signing", "stopped"];
const FILES_SHOWN: [StoreFile; 5] =
    [StoreFile::Ledger, StoreFile::Payloads, StoreFile::Index, StoreFile::Audit, StoreFile::Gate];

/// How long commits of our own log take. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CommitTimes(Histogram);

impl Default for CommitTimes {
    fn default() -> Self {
        // From half a millisecond (a quiet disk) to 16 s (a disk that fails).
        Self(Histogram::new(exponential_buckets(0.0005, 2.0, 16)))
    }
}

impl CommitTimes {
    /// A group was signed and durable after this time.
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// Where the numbers come from.
pub(super) struct Own<'a> {
    pub(super) store: &'a Store,
    pub(super) subjects: &'a SubjectKeys,
    /// Epochs of the charter.
    pub(super) epochs: Vec<u32>,
    pub(super) signing: SigningState,
    pub(super) commits: &'a CommitTimes,
    pub(super) reach: OwnReach,
    pub(super) outbox: &'a Outbox,
    pub(super) started_unix_seconds: i64,
}

impl Own<'_> {
    pub(super) fn write(&self, sheet: &mut Sheet) -> Result<(), StoreError> {
        let state = match (&self.signing, self.store.signing_stop()) {
            (SigningState::Stopped(_), _) => "stopped",
            (_, Some(stop)) if !stop.is_passing() => "stopped",
            (SigningState::Behind(_), _) | (_, Some(_)) => "behind",
            (SigningState::Checking, None) => "checking",
            (SigningState::Signing, None) => "signing",
        };
        sheet.gauge(&SIGNING).put_state(&[], &STATES, state);
        sheet.histogram(&COMMITS, &self.commits.0);
        let reached = sheet.gauge(&REACHED);
        reached.put(&["accepted"], number(self.reach.size));
        reached.put(&["replicated"], number(self.reach.replicated_size()));
        reached.put(&["witnessed"], number(self.reach.witnessed_size()));
        let (waiting, full) = self.outbox.status()?;
        sheet.one(&WAITING, number(waiting.drafts));
        let since = waiting.since_unix_seconds.unwrap_or(0);
        sheet.one(&WAITING_SINCE, number(since.unsigned_abs()));
        sheet.one(&OUTBOX_FULL, f64::from(u8::from(full)));
        let files = sheet.gauge(&FILES);
        for file in FILES_SHOWN {
            if let Some(bytes) = self.store.file_bytes(file) {
                files.put(&[file.name()], number(bytes));
            }
        }
        if let Some(room) = self.store.room() {
            sheet.one(&FREE, number(room.free));
            sheet.one(&RESERVE, number(room.reserve));
        }
        sheet.one(&AUDIT, number(self.store.audit_head()?.0));
        sheet.one(&INCARNATION, f64::from(self.store.incarnation()));
        sheet.one(&STARTED, number(self.started_unix_seconds.unsigned_abs()));
        sheet.gauge(&BUILD).put(&[env!("CARGO_PKG_VERSION")], 1.0);
        let held = self.subjects.epochs();
        let missing = self.epochs.iter().filter(|epoch| !held.contains(epoch)).count();
        sheet.one(&EPOCHS, number(missing as u64));
        Ok(())
    }
}
