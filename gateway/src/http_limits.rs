//! The limits of HTTP on every connection, ours to others included, and why each is what it is.
//!
//! A caller that is known may take what a retrieval needs; one that is not gets room for a question about health.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

/// Bytes that one stream may have on its way to us: at 100 ms a round trip, 80 MB/s.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes that one connection may have on its way to us.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Largest HTTP/2 frame: one `data` message of a retrieval.
pub(crate) const MAX_FRAME_BYTES: u32 = 256 * 1024;
/// How often an idle connection is asked whether it lives. With [`UNACKNOWLEDGED`](crate::socket::UNACKNOWLEDGED) and a
/// dial, within the 10 seconds in which gateways find each other again after a partition.
pub(crate) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer that. The question waits behind what is on its way already: on a slow line a record is,
/// for longer than a dead line may stay undetected. That one is found by the kernel; this is for a peer whose kernel
/// answers and whose gateway does not.
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long an unknown caller may take. A header block that its sender never ends is cut by it too: HTTP/2 lets no answer
/// pass between its frames.
const UNKNOWN_KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Calls at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// Largest set of headers of one request.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// Streams that were opened and reset before we looked at them; one more ends the connection (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we reset because of what the peer sent; one more ends the connection. 1,024 by default, each of which
/// costs us a frame and the peer next to nothing.
const MAX_LOCAL_RESETS: usize = 64;
/// How long an HTTP/1.1 client may take over the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of an HTTP/1.1 request.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of an HTTP/1.1 request, and of what is read ahead.
const MAX_HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// Calls at once of an unknown caller.
const UNKNOWN_MAX_CONCURRENT_STREAMS: u32 = 8;
/// Bytes that an unknown caller may have on their way to us: all of them together hold 64 MiB of our memory at most.
const UNKNOWN_WINDOW_BYTES: u32 = 64 * 1024;
/// The smallest that HTTP/2 allows.
const UNKNOWN_MAX_FRAME_BYTES: u32 = 16 * 1024;

/// Who is at the other end, as far as limits go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Showed a certificate of a member, or of a client that the configuration names.
    Known,
    /// Did not.
    Unknown,
}

/// How connections of such a caller are served; `http2_only` where HTTP/1.1 is not spoken.
pub(crate) fn builder(caller: Caller, http2_only: bool) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if http2_only { builder.http2_only() } else { builder };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HTTP1_BUFFER_BYTES);
    let known = caller == Caller::Known;
    let choose = |of_known, of_unknown| if known { of_known } else { of_unknown };
    let answer_within = if known { KEEP_ALIVE_TIMEOUT } else { UNKNOWN_KEEP_ALIVE_TIMEOUT };
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(choose(STREAM_WINDOW_BYTES, UNKNOWN_WINDOW_BYTES))
        .initial_connection_window_size(choose(CONNECTION_WINDOW_BYTES, UNKNOWN_WINDOW_BYTES))
        .max_frame_size(choose(MAX_FRAME_BYTES, UNKNOWN_MAX_FRAME_BYTES))
        .max_concurrent_streams(choose(MAX_CONCURRENT_STREAMS, UNKNOWN_MAX_CONCURRENT_STREAMS))
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(answer_within);
    builder
}
