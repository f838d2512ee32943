//! The two text formats: OpenMetrics as the library writes it, and the older Prometheus format made of it.
//!
//! They differ in three things for what we write: a counter is described under its name with `_total`, units have no
//! line, and the end is not marked.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A format that a scraper asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `application/openmetrics-text`.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Prometheus,
}

impl Format {
    /// What an `Accept` header asks for: Prometheus itself names OpenMetrics, people and older tools do not.
    pub(super) fn of(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// For `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The sheet in this format.
    pub(super) fn of_open_metrics(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => prometheus(&text),
        }
    }
}

fn prometheus(text: &str) -> String {
    let counters: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut older = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let described = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what @ ("HELP" | "TYPE")), Some(name), Some(rest)) => {
                Some((what, name, rest)).filter(|(_, name, _)| counters.contains(name))
            }
            (Some("#"), Some("UNIT" | "EOF"), _, _) => continue,
            _ => None,
        };
        // Writing to a String does not fail.
        let _ = match described {
            Some((what, name, rest)) => writeln!(older, "# {what} {name}_total {rest}"),
            None => writeln!(older, "{line}"),
        };
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_under_its_whole_name_and_the_end_is_not_marked() {
        let open = "# HELP a_b Says it.\n# TYPE a_b counter\n# UNIT a_b b\na_b_total{x=\"# HELP\"} 1\n\
                    # HELP c Gauge of a_b.\n# TYPE c gauge\nc 2.0\n# EOF\n";
        let older = "# HELP a_b_total Says it.\n# TYPE a_b_total counter\na_b_total{x=\"# HELP\"} 1\n\
                     # HELP c Gauge of a_b.\n# TYPE c gauge\nc 2.0\n";
        assert_eq!(Format::Prometheus.of_open_metrics(open.to_owned()), older);
        assert_eq!(Format::OpenMetrics.of_open_metrics(open.to_owned()), open);
    }

    #[test]
    fn who_names_open_metrics_gets_it() {
        let asks =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::of(Some(asks)), Format::OpenMetrics);
        assert_eq!(Format::of(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::of(None), Format::Prometheus);
    }
}
