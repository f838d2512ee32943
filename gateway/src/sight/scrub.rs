//! Metrics of the scrub: what it found, and when it was last through.

use super::sheet::{Counters, Metric, Sheet, number};
use crate::scrub::{LastScrub, Remedy, ScrubState};

static FINDINGS: Metric = Metric::counter(
    "sundbro_scrub_findings_total",
    &["repair"],
    "Damaged places that scrubs of the store saw, each time, by what repairs them: peers and index (it repairs itself), \
     own_log (`sundbro log repair`), backup",
);
static FINISHED: Metric = Metric::gauge(
    "sundbro_scrub_finished_timestamp_seconds",
    &[],
    "When every row of the store had been looked at, in seconds since 1970; 0 before the first time since the start",
);

/// All of them.
pub(super) static METRICS: [&Metric; 2] = [&FINDINGS, &FINISHED];

/// What scrubs found. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ScrubCounts {
    findings: Counters,
    state: ScrubState,
}

impl Default for ScrubCounts {
    fn default() -> Self {
        let findings = Counters::default();
        for remedy in Remedy::ALL {
            // A row that begins at its first event hides that event from `increase()`.
            drop(findings.get_or_create(&FINDINGS.labels(&[remedy.name()])));
        }
        Self { findings, state: ScrubState::default() }
    }
}

impl ScrubCounts {
    /// A damaged place was seen.
    pub fn found(&self, remedy: Remedy) {
        self.findings.get_or_create(&FINDINGS.labels(&[remedy.name()])).inc();
    }

    /// Every row was looked at.
    pub fn finished(&self, last: LastScrub) {
        self.state.finished(last);
    }

    /// The last whole scrub since our start.
    pub fn last(&self) -> Option<LastScrub> {
        self.state.last()
    }

    pub(super) fn write(&self, sheet: &mut Sheet) {
        sheet.counters(&FINDINGS, &self.findings);
        let finished = self.last().map_or(0, |last| last.unix_seconds.unsigned_abs());
        sheet.one(&FINISHED, number(finished));
    }
}
