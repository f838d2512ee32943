//! How a record leaves its owner and reaches a requester, with proof for both sides (request, grant, completion,
//! acknowledgement).
//!
//! Both sides write what they are about to do into their audit log first; when it cannot be written, nothing is served.
//! Content streams through and is never kept.

pub mod acknowledge;
pub mod audit;
pub mod channels;
pub mod owner;
pub mod parts;
pub mod requester;
pub mod service;
pub mod signer;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

/// The wall clock in milliseconds since 1970, given by whoever builds a context: tests have their own.
pub type NowMillis = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How far the clocks of requester and owner may be apart: a request outside is refused, however it is signed.
pub const REQUEST_WINDOW: Duration = Duration::from_secs(300);

/// Most content bytes in one message: one HTTP/2 frame.
pub const MAX_DATA_BYTES: usize = 256 * 1024;

/// Messages between the source and the wire: with frames of 256 KiB at most 1 MiB of a record in memory.
pub(crate) const PARTS_IN_FLIGHT: usize = 4;

/// How long a source, an owner or a reader may keep us waiting for one frame.
pub(crate) const FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs something that reads or writes the store, off the threads that serve connections.
///
/// # Errors
/// Only when it panicked or the runtime is shutting down.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Interrupted> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Interrupted)
}

/// Work on the store did not end: the gateway is stopping, or has a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("work on the store was interrupted: the gateway is stopping")]
pub struct Interrupted;
