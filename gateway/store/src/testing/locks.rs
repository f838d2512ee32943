//! Range locks of one file, as the operating system keeps them for each handle: what excludes a second gateway.

use core::ops::Bound;

pub(super) type Range = (Bound<u64>, Bound<u64>);

/// Who holds what.
#[derive(Clone, Default)]
pub(super) struct Locks(Vec<Lock>);

#[derive(Clone)]
struct Lock {
    handle: u64,
    range: Range,
    shared: bool,
}

impl Locks {
    /// Whether the handle holds it now.
    pub(super) fn take(&mut self, handle: u64, range: Range, shared: bool) -> bool {
        if self.conflicts(handle, range, shared) {
            return false;
        }
        self.release(handle, range);
        self.0.push(Lock { handle, range, shared });
        true
    }

    /// Whether somebody else holds what excludes a lock over this range.
    pub(super) fn would_wait(&mut self, handle: u64, range: Range) -> bool {
        self.conflicts(handle, range, false)
    }

    fn conflicts(&self, handle: u64, range: Range, shared: bool) -> bool {
        self.0.iter().any(|lock| {
            lock.handle != handle && !(lock.shared && shared) && overlap(lock.range, range)
        })
    }

    pub(super) fn release(&mut self, handle: u64, range: Range) {
        self.0.retain(|lock| lock.handle != handle || lock.range != range);
    }

    pub(super) fn release_all(&mut self, handle: u64) {
        self.0.retain(|lock| lock.handle != handle);
    }
}

/// First byte, and the first byte after.
fn ends((start, end): Range) -> (u64, u64) {
    let start = match start {
        Bound::Unbounded => 0,
        Bound::Included(start) => start,
        Bound::Excluded(start) => start.saturating_add(1),
    };
    let end = match end {
        Bound::Unbounded => u64::MAX,
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => end,
    };
    (start, end)
}

fn overlap(a: Range, b: Range) -> bool {
    let ((a, a_end), (b, b_end)) = (ends(a), ends(b));
    a < b_end && b < a_end
}
