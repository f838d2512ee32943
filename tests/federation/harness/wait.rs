//! Waiting for something to be so, with a limit: the one place where a test lets time pass.

use std::time::{Duration, Instant};

/// How long anything may take that usually takes a second or two. Generous: what is tested is that it happens, and the
/// machine may be busy with something else. Where a promise names a time, the test names it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at that costs a process to look at.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// How often a file's time is looked at: often enough to fall between two commits.
const LOOK_CLOSELY: Duration = Duration::from_micros(200);

/// Looks until it is so; fails the test with `what` when it is not within [`PATIENCE`].
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until(PATIENCE, LOOK_EVERY, look).unwrap_or_else(|| panic!("within {PATIENCE:?}: {what}"))
}

/// Whether it becomes so within a time.
pub fn holds_within(limit: Duration, mut look: impl FnMut() -> bool) -> bool {
    until(limit, LOOK_EVERY, || look().then_some(())).is_some()
}

/// As [`holds_within`], looking less often: where many are looked at, looking is most of the work.
pub fn holds_within_looking(
    limit: Duration,
    every: Duration,
    mut look: impl FnMut() -> bool,
) -> bool {
    until(limit, every, || look().then_some(())).is_some()
}

/// As [`holds_within`], looking as often as the machine allows.
pub fn hurried(limit: Duration, mut look: impl FnMut() -> bool) -> bool {
    until(limit, LOOK_CLOSELY, || look().then_some(())).is_some()
}

fn until<T>(limit: Duration, every: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(every);
    }
}
