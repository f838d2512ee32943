//! Warns in the log before something ends by itself: once at 30, 7 and 1 days, and when it has ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::doors;
use crate::tls::{End, FederationTls, LocalTls};

/// Days before the end at which an operator is told.
const DAYS: [i64; 4] = [30, 7, 1, 0];
/// How often ends are looked at: often enough for the last day, rarely enough to cost nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(600);
const DAY_SECONDS: i64 = 86_400;

/// Remembers what was warned of. What was renewed has another end, and is warned of anew.
#[derive(Debug, Default)]
pub(super) struct Warned(BTreeSet<(End, i64)>);

impl Warned {
    /// What is to be told now: each thing with the tightest of [`DAYS`] that it has reached, if that is new.
    pub(super) fn due(
        &mut self,
        ends: impl IntoIterator<Item = End>,
        unix_seconds: i64,
    ) -> Vec<(End, i64)> {
        let mut due = Vec::new();
        for end in ends {
            let left = end.unix_seconds.saturating_sub(unix_seconds);
            let reached = DAYS.into_iter().rfind(|days| left <= days * DAY_SECONDS);
            if let Some(days) = reached
                && self.0.insert((end.clone(), days))
            {
                due.push((end, days));
            }
        }
        due
    }
}

/// Looks until `stop`. Run it as a task of its own.
pub(super) async fn watch(
    federation: Arc<FederationTls>,
    local: Arc<LocalTls>,
    stop: CancellationToken,
) {
    let mut warned = Warned::default();
    let mut changes = federation.changes();
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
            // The sender lives as long as `federation`.
            _ = changes.changed() => {}
        }
        let ends: BTreeSet<End> = doors::both(&federation, &local).map(|(_, end)| end).collect();
        for (end, days) in warned.due(ends, crate::clock::unix_seconds()) {
            tell(&end, days);
        }
    }
}

fn tell(end: &End, days: i64) {
    let (kind, name, cure) = (end.kind.name(), end.name.as_str(), end.kind.cure());
    if days == 0 {
        tracing::error!(kind, name, cure, "has ended");
    } else {
        tracing::warn!(kind, name, days, cure, "ends within days");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::EndKind;

    fn end(unix_seconds: i64) -> End {
        End { unix_seconds, kind: EndKind::Certificate, name: "tls/federation.pem".to_owned() }
    }

    #[test]
    fn each_threshold_is_told_once_and_a_renewal_begins_anew() {
        let mut warned = Warned::default();
        let last = 1_000 * DAY_SECONDS;
        let mut days_told = |at: i64, last: i64| -> Vec<i64> {
            warned.due([end(last)], at).into_iter().map(|(_, days)| days).collect()
        };
        assert_eq!(days_told(last - 31 * DAY_SECONDS, last), [0_i64; 0]);
        assert_eq!(days_told(last - 30 * DAY_SECONDS, last), [30]);
        assert_eq!(days_told(last - 29 * DAY_SECONDS, last), [0_i64; 0]);
        assert_eq!(days_told(last - 7 * DAY_SECONDS, last), [7]);
        assert_eq!(days_told(last - 3_600, last), [1]);
        assert_eq!(days_told(last, last), [0]);
        assert_eq!(days_told(last + DAY_SECONDS, last), [0_i64; 0]);
        let renewed = last + 40 * DAY_SECONDS;
        assert_eq!(days_told(last, renewed), [0_i64; 0]);
        assert_eq!(days_told(renewed - 6 * DAY_SECONDS, renewed), [7], "not 30 as well");
    }
}
