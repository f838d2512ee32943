//! How sockets are set: nothing waits to be sent, and a dead line between gateways is given up.

use std::time::Duration;

use tokio::net::TcpStream;

/// How long what was sent may stay unacknowledged by the peer's kernel (RFC 5482). Counted from the last progress, so a
/// line may be as slow as it is, and a gateway as busy. Linux only; elsewhere HTTP/2's keepalive finds a dead line, later.
pub(crate) const UNACKNOWLEDGED: Duration = Duration::from_secs(4);

/// Sends what is written at once.
pub(crate) fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off Nagle's algorithm");
    }
}

/// Gives the line up when it is dead.
pub(crate) fn notice_death(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
        tracing::debug!(%error, "a dead line will be found late");
    }
}
