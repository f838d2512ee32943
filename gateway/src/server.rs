//! Accepts connections on a listener that it is given, finds out who calls, and serves gRPC to them.
//!
//! Two doors exist: one for members, where a handshake without a member's certificate fails, and one for local
//! systems. Every request of a connection carries who is at its other end (`Peer` or `LocalClient`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::Instrument as _;

use crate::caller::{LocalClient, Peer};
use crate::connections::{Guarded, Registration, first_word};
use crate::deadline;
use crate::local;
use crate::status::chain;
use crate::tls::Role;
use crate::tls::certificate::member_of;
use crate::tls::{FederationTls, LocalTls};

/// Longest TLS handshake: ten round trips to the other side of the globe and a slow smart card.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once with one member, ours to it included: two gateways need one or two, and a faulty one must
/// not take the places of all others.
pub const MAX_CONNECTIONS_PER_MEMBER: usize = 16;
/// Bytes that one stream may have on its way to us: at 100 ms a round trip, 80 MB/s.
pub const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes that one connection may have on its way to us.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Largest HTTP/2 frame: one `data` message of a retrieval.
pub const MAX_FRAME_BYTES: u32 = 256 * 1024;
/// Calls at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// Largest set of headers of one request.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How often an idle connection is asked whether it lives. With the timeout and a dial, well under the 10 seconds
/// within which gateways find each other again after a partition.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer that.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause after the operating system refuses to accept (no file descriptors): a loop without one would take a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who may come in.
#[derive(Debug, Clone)]
pub enum Door {
    /// Gateways of members, by mutual TLS 1.3.
    Federation(Arc<FederationTls>),
    /// Systems of our own organisation.
    Local(Arc<LocalTls>),
}

/// How one listener is served.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Who may come in.
    pub door: Door,
    /// Connections at once, handshakes included; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long connections finish what they have begun after `stop`.
    pub grace_period: Duration,
    /// Ends accepting, then lets connections finish.
    pub stop: CancellationToken,
}

/// Serves `routes` on `listener` until `stop`, then until every connection ended or the grace period is over.
///
/// `routes` come from [`tonic::service::Routes::into_axum_router`]; on the local door, what each caller may reach
/// is checked here (see `local::guard`), so that no service can forget to.
pub async fn serve(listener: TcpListener, routes: Router, listening: Listening) {
    let routes = match listening.door {
        Door::Federation(_) => routes,
        Door::Local(_) => local::guard(routes),
    };
    let routes = deadline::honour(routes);
    let places = Arc::new(Semaphore::new(listening.max_connections));
    let tasks = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let next = tokio::select! {
            () = listening.stop.cancelled() => break,
            next = accept(&listener, &places) => next,
        };
        let (stream, from, place) = match next {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection: check the limit of open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            door: listening.door.clone(),
            routes: routes.clone(),
            stop: listening.stop.clone(),
        };
        let abandon = abandon.clone();
        let task = async move {
            let _place = place;
            tokio::select! {
                () = abandon.cancelled() => {}
                () = connection.run(stream) => {}
            }
        };
        tasks.spawn(task.instrument(tracing::info_span!("connection", %from)));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(listening.grace_period, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "grace period over: open connections are cut");
        abandon.cancel();
        tasks.wait().await;
    }
}

/// A place first, then a connection: what we cannot serve stays in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

/// What one connection is served with.
struct Connection {
    door: Door,
    routes: Router,
    stop: CancellationToken,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
enum Guest {
    Peer(Peer),
    Client(LocalClient),
    /// A good certificate that the configuration names nobody for.
    UnknownClient,
    /// No certificate.
    Nobody,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot turn off Nagle's algorithm");
        }
        let (config, generation) = match &self.door {
            Door::Federation(tls) => tls.server(),
            Door::Local(tls) => tls.server(),
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let mut stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                // Port scanners and health checks do this all day; a refused peer is told by an alert too.
                tracing::info!(error = chain(&error), "TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::info!("TLS handshake took too long");
                return;
            }
        };
        let Some((guest, registration)) = self.identify(&stream, generation) else { return };
        let Some(early) = self.early(&mut stream).await else { return };
        self.serve(Guarded::new(stream, early, registration), guest).await;
    }

    /// On the local door anybody gets through the handshake: who then says nothing does not keep the place.
    /// A member waits for *our* first word instead (see `client`).
    async fn early(&self, stream: &mut TlsStream<TcpStream>) -> Option<Bytes> {
        match self.door {
            Door::Federation(_) => Some(Bytes::new()),
            Door::Local(_) => {
                tokio::time::timeout(HANDSHAKE_TIMEOUT, first_word(stream)).await.ok()?.ok()
            }
        }
    }

    /// Reads from the finished handshake who it was with. `None`: trust changed meanwhile.
    fn identify(
        &self,
        stream: &TlsStream<TcpStream>,
        generation: u64,
    ) -> Option<(Guest, Registration)> {
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<CertificateDer<'static>> =
            certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
        match &self.door {
            Door::Federation(tls) => {
                // The verifier saw exactly this certificate; an error here would be our own defect.
                let member = member_of(chain.first()?).ok()?;
                if tls.connections().count_of(&member) >= MAX_CONNECTIONS_PER_MEMBER {
                    tracing::warn!(peer = %member, "connection refused: the member has too many");
                    return None;
                }
                let registration = tls.register(&member, chain, Role::Client, generation)?;
                Some((Guest::Peer(Peer::new(member)), registration))
            }
            Door::Local(tls) => {
                let guest = match chain.first().map(|certificate| tls.client(certificate)) {
                    None => Guest::Nobody,
                    Some(None) => Guest::UnknownClient,
                    Some(Some(rule)) => Guest::Client(LocalClient::new(rule)),
                };
                Some((guest, tls.register(chain, generation)?))
            }
        }
    }

    async fn serve(self, io: Guarded<TlsStream<TcpStream>>, guest: Guest) {
        let builder = builder(&self.door);
        let routes = self.routes;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            match &guest {
                Guest::Peer(peer) => {
                    request.extensions_mut().insert(peer.clone());
                }
                Guest::Client(client) => {
                    request.extensions_mut().insert(client.clone());
                }
                Guest::UnknownClient => {
                    request.extensions_mut().insert(local::UnknownClient);
                }
                Guest::Nobody => {}
            }
            // An axum router is always ready.
            routes.clone().call(request)
        });
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn builder(door: &Door) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match door {
        // Our settings frame then goes out before the peer's first byte: it tells the peer that we took its
        // certificate (see `client`).
        Door::Federation(_) => builder.http2_only(),
        Door::Local(_) => builder,
    };
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}
