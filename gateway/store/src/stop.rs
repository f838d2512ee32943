//! Points at which a test can stop this process and kill it. Without the feature `stop-points` nothing is here.
//!
//! `SUNDBRO_STOP_AT` names the point, `SUNDBRO_STOP_FILE` a file that is written when it is reached, and
//! `SUNDBRO_STOP_SKIP` how many times it is passed first. The process then blocks for ever, holding what it holds, so
//! that the test can end it with SIGKILL in exactly that window.

/// A window between two things that become durable one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopPoint {
    /// The blobs are durable, the entries are not.
    PayloadLedger,
    /// The entries are durable, the signing gate is not.
    LedgerGate,
    /// The signing gate is durable, nothing was sent.
    GateSend,
}

impl StopPoint {
    /// Its name in `SUNDBRO_STOP_AT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PayloadLedger => "payload_ledger",
            Self::LedgerGate => "ledger_gate",
            Self::GateSend => "gate_send",
        }
    }
}

/// Blocks for ever if a test asked for it.
#[cfg(not(feature = "stop-points"))]
#[inline]
pub(crate) fn reached(_: StopPoint) {}

/// Blocks for ever if a test asked for it.
#[cfg(feature = "stop-points")]
pub(crate) fn reached(point: StopPoint) {
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);

    if std::env::var("SUNDBRO_STOP_AT").is_ok_and(|name| name == point.name()) {
        let skip = std::env::var("SUNDBRO_STOP_SKIP").ok().and_then(|text| text.parse().ok());
        if PASSED.fetch_add(1, Ordering::SeqCst) < skip.unwrap_or(0) {
            return;
        }
        if let Some(path) = std::env::var_os("SUNDBRO_STOP_FILE") {
            // A test that waits for the file sees that it never comes; there is nobody else to tell.
            let _ = std::fs::write(path, point.name());
        }
        loop {
            std::thread::park();
        }
    }
}
