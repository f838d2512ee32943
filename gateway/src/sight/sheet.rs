//! A metric as it is declared, and the sheet on which a scrape writes its numbers.
//!
//! Each area declares its metrics as constants in one file; a name, a label or a help text stands nowhere else. Label
//! values come from closed sets (members of the charter, adapters and files of the configuration, constants of the
//! code), never from a record or a request.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What a number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up until the gateway ends.
    Counter,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// Its name in Prometheus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; ends in the unit, and of a counter in `_total`.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says; no full stop.
    pub help: &'static str,
}

impl Metric {
    /// Declares a gauge.
    pub(super) const fn gauge(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Gauge, labels, help }
    }

    /// Declares a counter.
    pub(super) const fn counter(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    /// Declares a histogram.
    pub(super) const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram, labels, help }
    }

    /// A row's labels, in the order in which they are declared.
    pub(super) fn labels(&self, values: &[&str]) -> Labels {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        self.labels.iter().zip(values).map(|(name, value)| (*name, (*value).to_owned())).collect()
    }
}

/// Names and values of one row.
pub(super) type Labels = Vec<(&'static str, String)>;
/// Rows that count on between scrapes.
pub(super) type Counters = Family<Labels, Counter>;

/// The numbers of one scrape.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    registry: Registry,
}

impl Sheet {
    /// Starts a gauge; its rows are put into what is returned.
    pub(super) fn gauge(&mut self, metric: &'static Metric) -> Column {
        let rows = Family::default();
        self.registry.register(metric.name, metric.help, rows.clone());
        Column { metric, rows }
    }

    /// A gauge of one number.
    pub(super) fn one(&mut self, metric: &'static Metric, value: f64) {
        let number: Gauge<f64, AtomicU64> = Gauge::default();
        number.set(value);
        self.registry.register(metric.name, metric.help, number);
    }

    /// Counters that live between scrapes. The library adds `_total` to their name.
    pub(super) fn counters(&mut self, metric: &'static Metric, counters: &Counters) {
        let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        self.registry.register(name, metric.help, counters.clone());
    }

    /// A histogram that lives between scrapes.
    pub(super) fn histogram(&mut self, metric: &'static Metric, histogram: &Histogram) {
        self.registry.register(metric.name, metric.help, histogram.clone());
    }

    /// Starts a counter whose rows somebody else counts; put each once.
    pub(super) fn totals(&mut self, metric: &'static Metric) -> Totals {
        let rows = Family::default();
        let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
        self.registry.register(name, metric.help, rows.clone());
        Totals { metric, rows }
    }

    /// The sheet in the OpenMetrics text format.
    pub(super) fn to_open_metrics(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// One gauge, row by row.
pub(super) struct Column {
    metric: &'static Metric,
    rows: Family<Labels, Gauge<f64, AtomicU64>>,
}

impl Column {
    /// Puts one row.
    pub(super) fn put(&self, labels: &[&str], value: f64) {
        self.rows.get_or_create(&self.metric.labels(labels)).set(value);
    }

    /// One row for each of a closed set of states: 1 for the one that is, 0 for the others.
    pub(super) fn put_state(&self, labels: &[&str], states: &[&str], is: &str) {
        for state in states {
            let labels: Vec<&str> = labels.iter().chain([state]).copied().collect();
            self.put(&labels, if *state == is { 1.0 } else { 0.0 });
        }
    }
}

/// One counter, row by row.
pub(super) struct Totals {
    metric: &'static Metric,
    rows: Family<Labels, Counter<f64, AtomicU64>>,
}

impl Totals {
    /// Puts one row.
    pub(super) fn put(&self, labels: &[&str], value: f64) {
        self.rows.get_or_create(&self.metric.labels(labels)).inc_by(value);
    }
}

/// As a number of a gauge: exact up to 2^53, which no count here comes near.
#[expect(clippy::cast_precision_loss, reason = "a metric is a floating-point number")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
