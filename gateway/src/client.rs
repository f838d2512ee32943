//! Dials the gateways of other members: one gRPC channel for each peer, over our own TLS connector.
//!
//! A channel connects when it is used, reconnects by itself, and takes the TLS material of the moment each time. A
//! dial counts as successful only when the peer has shown that it took our certificate.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName};
use sundbro_ledger::ids::MemberName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};

use crate::config::Endpoint;
use crate::connections::{Guarded, first_word};
use crate::dial_cause::DialCause;
use crate::http_limits::{
    CONNECTION_WINDOW_BYTES, KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MAX_FRAME_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::reason::Reason;
use crate::socket;
use crate::status::{Culprit, Fault, Retry, Situation};
use crate::tls::FederationTls;
use crate::tls::Role;

/// How long DNS may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one address may take to connect: one lost SYN and its repetition.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most addresses tried in one dial.
const MAX_ADDRESSES: usize = 4;
/// How long handshake and the peer's first word may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the head of an answer may take; a stream may then go on.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// When a failed dial may be repeated at the soonest.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whom to dial, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The member that must answer.
    pub member: MemberName,
    /// Its endpoint in the charter: the host must stand in its certificate.
    pub endpoint: Endpoint,
    /// Where the connection really goes (`[dial]`). `None`: to `endpoint`.
    pub dial: Option<Endpoint>,
}

impl Target {
    /// The address that is dialled.
    pub fn address(&self) -> &Endpoint {
        self.dial.as_ref().unwrap_or(&self.endpoint)
    }
}

/// Why a peer was not reached.
#[derive(Debug, thiserror::Error)]
#[error("{member} at {address} was not reached ({}): {}", cause.code(), cause.cure())]
pub struct DialError {
    /// The member.
    pub member: MemberName,
    /// Where it was dialled.
    pub address: Endpoint,
    /// Which of the causes.
    pub cause: DialCause,
    /// What the system or the TLS library says.
    #[source]
    pub source: io::Error,
}

impl DialError {
    /// The dial error inside the status of a call that failed because its channel did not connect.
    pub fn in_status(status: &tonic::Status) -> Option<&Self> {
        let mut error = std::error::Error::source(status);
        while let Some(current) = error {
            if let Some(found) = current.downcast_ref::<Self>() {
                return Some(found);
            }
            error = current.source();
        }
        None
    }
}

impl Fault for DialError {
    fn culprit(&self) -> Culprit {
        match self.cause {
            DialCause::OwnCertificateRefused => Culprit::Us,
            _ => Culprit::Peer,
        }
    }

    fn retry(&self) -> Retry {
        Retry::After(RETRY_AFTER)
    }

    fn reason(&self) -> Reason {
        self.cause.reason()
    }

    fn situation(&self) -> Situation {
        Situation::Unavailable
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("peer", self.member.to_string()), ("address", self.address.to_string())]
    }
}

/// A channel to `target`. Connects at its first call, and again whenever it lost its connection.
///
/// A call that fails because there is no connection has a [`DialError`] in its status ([`DialError::in_status`]).
///
/// # Errors
/// When the endpoint's host is not one; the charter's rules make that impossible for a charter's endpoint.
pub fn channel(
    tls: Arc<FederationTls>,
    target: Target,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = TonicEndpoint::from_shared(format!("https://{}", target.endpoint))?
        .timeout(RESPONSE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        // Without these a channel stays on a partitioned connection for ever.
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(Connector { tls, target: Arc::new(target) }))
}

/// Dials `target` and hangs up: tells whether a call would get through, and if not why.
///
/// # Errors
/// With the cause.
pub async fn probe(tls: &FederationTls, target: &Target) -> Result<(), DialError> {
    dial(tls, target).await.map(drop)
}

/// Opens a connection of which the peer has shown that it accepts us.
async fn dial(
    tls: &FederationTls,
    target: &Target,
) -> Result<Guarded<TlsStream<TcpStream>>, DialError> {
    let fail = |(cause, source)| DialError {
        member: target.member.clone(),
        address: target.address().clone(),
        cause,
        source,
    };
    let stream = connect(target.address()).await.map_err(fail)?;
    socket::send_at_once(&stream);
    socket::notice_death(&stream);
    let secure = secure(tls, target, stream);
    timeout(HANDSHAKE_TIMEOUT, secure)
        .await
        .unwrap_or_else(|_| Err((DialCause::HandshakeInterrupted, io::ErrorKind::TimedOut.into())))
        .map_err(fail)
}

/// The cause, and what the system or the TLS library says.
pub(crate) type Failure = (DialCause, io::Error);

pub(crate) async fn connect(address: &Endpoint) -> Result<TcpStream, Failure> {
    let mut failure = (DialCause::NameNotResolved, io::Error::other("the name has no address"));
    for address in resolve(address).await?.into_iter().take(MAX_ADDRESSES) {
        failure = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => (DialCause::of_connect(&error), error),
            Err(_) => (DialCause::ConnectionTimedOut, io::ErrorKind::TimedOut.into()),
        };
    }
    Err(failure)
}

pub(crate) async fn resolve(address: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    match timeout(RESOLVE_TIMEOUT, lookup).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err((DialCause::NameNotResolved, error)),
        Err(_) => Err((DialCause::NameNotResolved, io::ErrorKind::TimedOut.into())),
    }
}

async fn secure(
    tls: &FederationTls,
    target: &Target,
    stream: TcpStream,
) -> Result<Guarded<TlsStream<TcpStream>>, Failure> {
    let ours = |error| (DialCause::HandshakeInterrupted, error);
    let name = ServerName::try_from(target.endpoint.host.clone())
        .map_err(|error| ours(io::Error::other(error)))?;
    let (config, generation) =
        tls.client(&target.member).map_err(|error| ours(io::Error::other(error)))?;
    let connecting = TlsConnector::from(config).connect(name.clone(), stream);
    let mut stream = connecting.await.map_err(|error| (DialCause::of_handshake(&error), error))?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err((DialCause::ProtocolMismatch, io::Error::other("HTTP/2 was not agreed on")));
    }
    // In TLS 1.3 our side is done before the peer has looked at our certificate. Its first word (an HTTP/2 settings
    // frame) or an alert says what it thought of it; without waiting, a refusal would look like a lost connection.
    let early =
        first_word(&mut stream).await.map_err(|error| (DialCause::of_handshake(&error), error))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<CertificateDer<'static>> =
        certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    let registration = tls
        .register(&target.member, chain, Role::Server(name), generation)
        .ok_or_else(|| ours(io::Error::other("trust changed during the handshake")))?;
    Ok(Guarded::new(stream, early, registration))
}

/// Opens connections for tonic; whatever URI tonic asks for, it dials its one target.
#[derive(Debug, Clone)]
struct Connector {
    tls: Arc<FederationTls>,
    target: Arc<Target>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Guarded<TlsStream<TcpStream>>>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let Self { tls, target } = self.clone();
        Box::pin(async move { dial(&tls, &target).await.map(TokioIo::new) })
    }
}
