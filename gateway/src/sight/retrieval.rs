//! Metrics of retrieval: what was served and what was fetched, by outcome, and why not.

use super::sheet::{Counters, Metric, Sheet};
use crate::reason::Reason;

static SERVED: Metric = Metric::counter(
    "sundbro_retrievals_served_total",
    &["outcome"],
    "Requests for our records, by outcome: completed, aborted (not all of it was sent), refused (by policy, or no such \
     record), failed (broke a rule, or its source cannot be read)",
);
static FETCHED: Metric = Metric::counter(
    "sundbro_retrievals_fetched_total",
    &["outcome"],
    "Records that local systems asked for, by outcome: completed, refused (by the owner), failed",
);
static NOT_SERVED: Metric = Metric::counter(
    "sundbro_retrievals_not_served_total",
    &["reason"],
    "Requests for our records that failed or were aborted, by the reason that docs/errors.md explains",
);
static NOT_FETCHED: Metric = Metric::counter(
    "sundbro_retrievals_not_fetched_total",
    &["reason"],
    "Records that local systems asked for and did not get, by the reason that docs/errors.md explains",
);

/// All of them.
pub(super) static METRICS: [&Metric; 4] = [&SERVED, &FETCHED, &NOT_SERVED, &NOT_FETCHED];

/// How a retrieval ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every byte was sent, or arrived.
    Completed,
    /// Not all of it was sent.
    Aborted,
    /// The owner says no, or that there is none.
    Refused,
    /// Something else stood in the way.
    Failed,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Counts one side's retrievals. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RetrievalCounts {
    outcomes: Counters,
    reasons: Counters,
    metrics: (&'static Metric, &'static Metric),
}

impl RetrievalCounts {
    /// Of the owner's side.
    pub fn of_owner() -> Self {
        use Outcome::{Aborted, Completed, Failed, Refused};
        Self::new((&SERVED, &NOT_SERVED), &[Completed, Aborted, Refused, Failed])
    }

    /// Of the requester's side.
    pub fn of_requester() -> Self {
        use Outcome::{Completed, Failed, Refused};
        Self::new((&FETCHED, &NOT_FETCHED), &[Completed, Refused, Failed])
    }

    fn new(metrics: (&'static Metric, &'static Metric), outcomes: &[Outcome]) -> Self {
        let counts = Self { outcomes: Counters::default(), reasons: Counters::default(), metrics };
        for outcome in outcomes {
            // A row that begins at its first event hides that event from `increase()`.
            drop(counts.outcomes.get_or_create(&metrics.0.labels(&[outcome.name()])));
        }
        counts
    }

    /// One ended.
    pub fn ended(&self, outcome: Outcome) {
        self.outcomes.get_or_create(&self.metrics.0.labels(&[outcome.name()])).inc();
    }

    /// One ended without what was asked for. The reason is a constant of `reason.rs`.
    pub fn ended_because(&self, outcome: Outcome, reason: Reason) {
        self.ended(outcome);
        self.reasons.get_or_create(&self.metrics.1.labels(&[reason.code])).inc();
    }

    pub(super) fn write(&self, sheet: &mut Sheet) {
        sheet.counters(self.metrics.0, &self.outcomes);
        sheet.counters(self.metrics.1, &self.reasons);
    }
}
