//! Reads the wall clock, for what is advisory: recorded hours, audit times, waiting times of files.
//!
//! No rule of the ledger reads a clock; ages in coverage come from a monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00Z; 0 on a clock before that.
pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Hours since 1970-01-01T00:00Z: all that an entry says of its time.
pub fn hour() -> u32 {
    u32::try_from(unix_seconds() / 3600).unwrap_or(u32::MAX)
}

/// Milliseconds since 1970-01-01T00:00Z; 0 on a clock before that.
pub fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
