//! How much of each log is fetched in a day: no more than the charter lets a log grow, so that a member that floods its
//! log slows that log down and nobody else's.
//!
//! Nothing is judged by it: an entry that comes later is as valid as one that came at once. What was there when the
//! log's author was first heard is history and is not counted, or whoever joins late would wait for years. What is
//! counted wears off evenly, by a monotonic clock; after a restart it begins at nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sundbro_ledger::ids::LogId;
use tokio::time::{Instant, sleep_until};

use super::Shared;

/// Once a log was held back, it is fetched again when this part of a day's growth is free: not for every byte that wears
/// off.
const RESUME_SHARE: u64 = 24;

/// Of all logs, what they grew by since their authors were first heard.
#[derive(Debug)]
pub(super) struct Growth {
    logs: Mutex<BTreeMap<LogId, Grown>>,
    /// The charter's limit is for this long.
    period: Duration,
}

#[derive(Debug, Default)]
struct Grown {
    /// Entries before this are history.
    history: u64,
    author_heard: bool,
    /// What is counted, as of `at`.
    bytes: u64,
    at: Option<Instant>,
    held_back: bool,
}

impl Growth {
    pub(super) fn new(period: Duration) -> Self {
        Self { logs: Mutex::default(), period }
    }

    /// A verified head of a log came, from its author or from somebody else.
    pub(super) fn saw(&self, log: LogId, size: u64, by_author: bool) {
        let mut logs = self.logs();
        let grown = logs.entry(log).or_default();
        if !grown.author_heard {
            grown.history = grown.history.max(size);
            grown.author_heard = by_author;
        }
    }

    /// Whether an entry of a log counts.
    pub(super) fn counts(&self, log: &LogId, position: u64) -> bool {
        self.logs().get(log).is_some_and(|grown| grown.author_heard && position >= grown.history)
    }

    /// Bytes that count were stored.
    pub(super) fn add(&self, log: LogId, bytes: u64, limit: u64, now: Instant) {
        let mut logs = self.logs();
        let grown = logs.entry(log).or_default();
        grown.wear_off(limit, self.period, now);
        grown.bytes = grown.bytes.saturating_add(bytes);
    }

    /// How many more bytes of a log, from `position` on, may be fetched now. 0: the log is held back.
    pub(super) fn room(&self, log: &LogId, position: u64, limit: u64, now: Instant) -> u64 {
        let mut logs = self.logs();
        let Some(grown) = logs.get_mut(log) else { return u64::MAX };
        if !grown.author_heard || position < grown.history {
            return u64::MAX;
        }
        grown.wear_off(limit, self.period, now);
        let room = limit.saturating_sub(grown.bytes);
        grown.held_back = match grown.held_back {
            true => room < (limit / RESUME_SHARE).max(1),
            false => room == 0,
        };
        if grown.held_back { 0 } else { room }
    }

    /// When the next log that is held back may go on. `None`: none is. One that nobody asks for any more stays held back
    /// for ever, and its time is past.
    pub(super) fn resumes_at(&self, limit: u64, now: Instant) -> Option<Instant> {
        let logs = self.logs();
        let held_back = logs.values().filter(|grown| grown.held_back);
        let times = held_back.filter_map(|grown| grown.resumes_at(limit, self.period));
        times.filter(|at| *at > now).min()
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<LogId, Grown>> {
        // Each change is a few assignments.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Waits until a log that is held back may go on; for ever if none is.
    pub(super) async fn until_a_log_may_grow(&self) {
        match self.growth.resumes_at(self.daily_limit(), Instant::now()) {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

impl Grown {
    /// Takes off what has worn off since the last look.
    fn wear_off(&mut self, limit: u64, period: Duration, now: Instant) {
        let since = now.saturating_duration_since(self.at.unwrap_or(now));
        let worn = u128::from(limit) * since.as_micros() / period.as_micros().max(1);
        // Time that took off no whole byte stays on the clock.
        if worn > 0 || self.at.is_none() {
            self.bytes = self.bytes.saturating_sub(u64::try_from(worn).unwrap_or(u64::MAX));
            self.at = Some(now);
        }
    }

    fn resumes_at(&self, limit: u64, period: Duration) -> Option<Instant> {
        let free = limit.saturating_sub((limit / RESUME_SHARE).max(1));
        let over = self.bytes.saturating_sub(free);
        // Rounded up, so that whoever wakes then finds it so.
        let wait = (u128::from(over) * period.as_micros()).div_ceil(u128::from(limit.max(1)));
        // A limit of a byte and a flood of years: whoever waits looks again in a period.
        let wait = Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX)).min(period);
        Some(self.at? + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId::new([1; 32]);
    const DAY: Duration = Duration::from_secs(86_400);
    const LIMIT: u64 = 2_400;

    /// A log whose author was heard with 10 entries.
    fn heard() -> (Growth, Instant) {
        let growth = Growth::new(DAY);
        growth.saw(LOG, 10, true);
        (growth, Instant::now())
    }

    #[test]
    fn history_is_not_counted() {
        let growth = Growth::new(DAY);
        let now = Instant::now();
        // Others told of it first, of an older state and of a newer one.
        growth.saw(LOG, 4, false);
        growth.saw(LOG, 12, false);
        assert_eq!(growth.room(&LOG, 500, LIMIT, now), u64::MAX, "its author was not heard");
        growth.saw(LOG, 10, true);
        growth.saw(LOG, 90, true);
        assert!(!growth.counts(&LOG, 11) && growth.counts(&LOG, 12));
        growth.add(LOG, 2 * LIMIT, LIMIT, now);
        assert_eq!(growth.room(&LOG, 11, LIMIT, now), u64::MAX);
        assert_eq!(growth.room(&LOG, 12, LIMIT, now), 0);
        let other = LogId::new([2; 32]);
        assert_eq!(growth.room(&other, 12, LIMIT, now), u64::MAX, "another log");
    }

    #[test]
    fn a_log_is_held_back_until_a_part_of_a_day_has_worn_off() {
        let (growth, now) = heard();
        growth.add(LOG, LIMIT - 1, LIMIT, now);
        assert_eq!(growth.room(&LOG, 10, LIMIT, now), 1);
        growth.add(LOG, 1, LIMIT, now);
        assert_eq!(growth.room(&LOG, 10, LIMIT, now), 0);
        let hour = DAY / 24;
        let at = growth.resumes_at(LIMIT, now).expect("held back");
        assert!(at >= now + hour && at < now + hour + Duration::from_secs(1));
        assert_eq!(growth.room(&LOG, 10, LIMIT, now + hour / 2), 0, "not for every byte");
        assert_eq!(growth.room(&LOG, 10, LIMIT, at), LIMIT / 24);
        assert_eq!(growth.resumes_at(LIMIT, now), None);
        assert_eq!(growth.room(&LOG, 10, LIMIT, at + DAY), LIMIT, "and no more than a day's");
        // One that nobody asks for any more does not hide when another goes on.
        let other = LogId::new([2; 32]);
        growth.saw(other, 0, true);
        growth.add(other, LIMIT, LIMIT, now);
        assert_eq!(growth.room(&other, 0, LIMIT, now), 0);
        let later = at + 2 * DAY;
        growth.add(LOG, 2 * LIMIT, LIMIT, later);
        assert_eq!(growth.room(&LOG, 10, LIMIT, later), 0);
        assert!(growth.resumes_at(LIMIT, later).is_some_and(|at| at > later));
    }

    #[test]
    fn what_was_too_much_is_paid_back_and_a_higher_limit_holds_at_once() {
        let (growth, now) = heard();
        growth.add(LOG, 3 * LIMIT, LIMIT, now);
        assert_eq!(growth.room(&LOG, 10, LIMIT, now + DAY), 0);
        assert!(
            growth
                .resumes_at(LIMIT, now)
                .is_some_and(|at| at <= now + 2 * DAY + Duration::from_secs(1))
        );
        assert_eq!(growth.room(&LOG, 10, LIMIT, now + 3 * DAY), LIMIT);
        growth.add(LOG, LIMIT, LIMIT, now + 3 * DAY);
        assert_eq!(growth.room(&LOG, 10, LIMIT, now + 3 * DAY), 0);
        assert_eq!(growth.room(&LOG, 10, 2 * LIMIT, now + 3 * DAY), LIMIT);
    }
}
