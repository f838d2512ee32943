//! Accepts connections on a listener that it is given, finds out who calls, and serves gRPC to them.
//!
//! Two doors exist: one for members, where a handshake without a member's certificate fails, and one for local
//! systems. Every request of a connection carries who is at its other end (`Peer` or `LocalClient`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::Instrument as _;

use crate::caller::{LocalClient, Peer};
use crate::connections::{Guarded, Registration, first_word};
use crate::deadline;
use crate::http_limits::{self, Caller};
use crate::lobby::{Lobby, Places, Ticket};
use crate::local;
use crate::socket;
use crate::status::chain;
use crate::tls::Role;
use crate::tls::certificate::member_of;
use crate::tls::{FederationTls, LocalTls};

/// Longest TLS handshake: ten round trips to the other side of the globe and a slow smart card.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once with one member, ours to it included: two gateways need one or two, and a faulty one must
/// not take the places of all others.
pub const MAX_CONNECTIONS_PER_MEMBER: usize = 16;
/// How long a caller that is through the handshake may leave us without a request. Gateways and clients of gRPC connect
/// when they have one; who connects ahead connects again.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
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

/// How long callers may take over what comes before their first request.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// The TLS handshake; on the local door the first byte after it once more.
    pub handshake: Duration,
    /// From there to the first request.
    pub first_request: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, first_request: FIRST_REQUEST_TIMEOUT }
    }
}

/// How one listener is served.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Who may come in.
    pub door: Door,
    /// Connections at once of callers who are known; one more is closed.
    pub max_connections: usize,
    /// Connections at once of those who are not.
    pub unknown: Places,
    /// How long callers may take.
    pub deadlines: Deadlines,
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
    let lobby = Lobby::new(listening.unknown);
    let tasks = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let next = tokio::select! {
            () = listening.stop.cancelled() => break,
            next = listener.accept() => next,
        };
        let (stream, from) = match next {
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
            deadlines: listening.deadlines,
            places: places.clone(),
        };
        // Never waits: whoever comes last gets a place, or a member could not come in behind silent strangers.
        let ticket = lobby.enter(from.ip());
        let abandon = abandon.clone();
        let task = async move {
            tokio::select! {
                () = abandon.cancelled() => {}
                () = connection.run(stream, ticket) => {}
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

/// What one connection is served with.
struct Connection {
    door: Door,
    routes: Router,
    stop: CancellationToken,
    deadlines: Deadlines,
    places: Arc<Semaphore>,
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

impl Guest {
    /// Whether a certificate says who it is. Health and reflection are there for those of whom none does.
    fn is_known(&self) -> bool {
        matches!(self, Self::Peer(_) | Self::Client(_))
    }
}

/// A connection whose other end we have met.
struct Met {
    io: Guarded<TlsStream<TcpStream>>,
    guest: Guest,
}

impl Connection {
    /// Whoever is not known by a certificate stays in the lobby, to be shown out when others need the place.
    async fn run(self, stream: TcpStream, ticket: Ticket) {
        let met = tokio::select! {
            () = ticket.shown_out() => None,
            met = self.meet(stream) => met,
        };
        let Some(met) = met else { return };
        if !met.guest.is_known() {
            tokio::select! {
                () = ticket.shown_out() => {}
                () = self.serve(met) => {}
            }
            return;
        }
        let Ok(_place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!("connection refused: too many are open, see `max_connections`");
            return;
        };
        drop(ticket);
        self.serve(met).await;
    }

    /// Finds out who calls. `None`: nobody whom we would serve.
    async fn meet(&self, stream: TcpStream) -> Option<Met> {
        socket::send_at_once(&stream);
        let (config, generation) = match &self.door {
            Door::Federation(tls) => {
                socket::notice_death(&stream);
                tls.server()
            }
            Door::Local(tls) => tls.server(),
        };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let mut stream = match tokio::time::timeout(self.deadlines.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                // Port scanners and health checks do this all day; a refused peer is told by an alert too.
                tracing::info!(error = chain(&error), "TLS handshake failed");
                return None;
            }
            Err(_) => {
                tracing::info!("TLS handshake took too long");
                return None;
            }
        };
        // A caller that negotiates nothing could be made to speak another protocol than it thinks (RFC 7301 §1).
        if matches!(self.door, Door::Federation(_)) && stream.get_ref().1.alpn_protocol().is_none()
        {
            tracing::info!("connection closed: HTTP/2 was not agreed on");
            return None;
        }
        let (guest, registration) = self.identify(&stream, generation)?;
        let early = self.early(&mut stream).await?;
        Some(Met { io: Guarded::new(stream, early, registration), guest })
    }

    /// On the local door anybody gets through the handshake: who then says nothing does not keep the place.
    /// A member waits for *our* first word instead (see `client`).
    async fn early(&self, stream: &mut TlsStream<TcpStream>) -> Option<Bytes> {
        match self.door {
            Door::Federation(_) => Some(Bytes::new()),
            Door::Local(_) => {
                let word = tokio::time::timeout(self.deadlines.handshake, first_word(stream));
                word.await.ok()?.ok()
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

    async fn serve(self, Met { io, guest }: Met) {
        let caller = if guest.is_known() { Caller::Known } else { Caller::Unknown };
        // Where HTTP/2 alone is spoken, our settings frame goes out before the peer's first byte: it tells the peer that
        // we took its certificate (see `client`).
        let builder = http_limits::builder(caller, matches!(self.door, Door::Federation(_)));
        let routes = self.routes;
        let asked = Arc::new(AtomicBool::new(false));
        let asks = asked.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
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
        let silence = tokio::time::sleep(self.deadlines.first_request);
        tokio::pin!(connection, silence);
        let (mut stopping, mut looked) = (false, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = silence.as_mut(), if !looked => {
                    looked = true;
                    if !asked.load(Ordering::Relaxed) {
                        tracing::info!("connection closed: no request came");
                        return;
                    }
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
