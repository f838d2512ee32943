//! The gRPC ends of replication: the service that members call, and the way in which we call theirs.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::{Stream, StreamExt as _};
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::federation_service_client::FederationServiceClient;
use sundbro_proto::federation::v1::federation_service_server::{
    FederationService, FederationServiceServer,
};
use sundbro_proto::federation::v1::{Frame, SynchroniseRequest, SynchroniseResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::dialer::NotReached;
use super::link::lock;
use super::{Dial, MAX_FRAME_BYTES, OUTBOUND_FRAMES, Replication};
use crate::caller::Peer;
use crate::charter_book::CharterBook;
use crate::client::{self, DialError, Target};
use crate::config::Endpoint;
use crate::tls::FederationTls;

/// Longest message: a frame and what stands around it.
const MAX_MESSAGE_BYTES: usize = MAX_FRAME_BYTES + 64;

/// Takes the streams that other members open.
pub struct FederationEndpoint {
    replication: Replication,
    sessions: TaskTracker,
    /// The stream that each member opened last. A new one takes over: the old one may be dead without knowing.
    newest: Mutex<BTreeMap<MemberName, CancellationToken>>,
}

impl FederationEndpoint {
    /// The service, for the federation listener. `sessions` tracks the tasks that it spawns.
    pub fn server(
        replication: Replication,
        sessions: TaskTracker,
    ) -> FederationServiceServer<Self> {
        let endpoint = Self { replication, sessions, newest: Mutex::default() };
        FederationServiceServer::new(endpoint)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}

type Frames<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

#[tonic::async_trait]
impl FederationService for FederationEndpoint {
    type SynchroniseStream = Frames<SynchroniseResponse>;

    async fn synchronise(
        &self,
        request: Request<Streaming<SynchroniseRequest>>,
    ) -> Result<Response<Self::SynchroniseStream>, Status> {
        let peer = Peer::of(&request)?.member().clone();
        let stop = CancellationToken::new();
        if let Some(old) = lock(&self.newest).insert(peer.clone(), stop.clone()) {
            old.cancel();
        }
        let (outbound, frames) = mpsc::channel(OUTBOUND_FRAMES);
        let inbound = request.into_inner();
        let inbound = inbound.map(|message| Ok::<_, Status>(message?.frame.unwrap_or_default()));
        let replication = self.replication.clone();
        self.sessions.spawn(async move {
            replication.session(peer, inbound, outbound, stop).await;
        });
        let answers =
            ReceiverStream::new(frames).map(|frame| Ok(SynchroniseResponse { frame: Some(frame) }));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Opens streams over mutual TLS, to the endpoint that the charter names or to the one that the configuration puts in
/// its place.
pub struct TlsDial {
    tls: Arc<FederationTls>,
    charter: Arc<CharterBook>,
    overrides: BTreeMap<MemberName, Endpoint>,
}

impl TlsDial {
    /// Dials with `tls`; `overrides` are the `[dial]` lines of the configuration.
    pub fn new(
        tls: Arc<FederationTls>,
        charter: Arc<CharterBook>,
        overrides: BTreeMap<MemberName, Endpoint>,
    ) -> Self {
        Self { tls, charter, overrides }
    }

    fn target(&self, peer: &MemberName) -> Result<Target, NotReached> {
        let history = self.charter.history();
        let unknown = || NotReached {
            cause: "NO_ENDPOINT",
            message: format!("the charter names no endpoint of {peer} that can be dialled"),
        };
        let entry = history.current().member(peer).ok_or_else(unknown)?;
        let endpoint = Endpoint::parse(entry.endpoint.as_str()).ok_or_else(unknown)?;
        Ok(Target { member: peer.clone(), endpoint, dial: self.overrides.get(peer).cloned() })
    }
}

impl Dial for TlsDial {
    type Inbound = Frames<Frame>;

    async fn dial(
        &self,
        peer: &MemberName,
        outbound: mpsc::Receiver<Frame>,
    ) -> Result<Self::Inbound, NotReached> {
        let target = self.target(peer)?;
        let channel =
            client::channel(Arc::clone(&self.tls), target).map_err(|error| NotReached {
                cause: "NO_ENDPOINT",
                message: format!("the endpoint of {peer} cannot be dialled: {error}"),
            })?;
        let mut client = FederationServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let frames =
            ReceiverStream::new(outbound).map(|frame| SynchroniseRequest { frame: Some(frame) });
        let response =
            client.synchronise(frames).await.map_err(|status| not_reached(peer, &status))?;
        let inbound = response.into_inner();
        Ok(Box::pin(inbound.map(|message| Ok(message?.frame.unwrap_or_default()))))
    }

    fn signals(&self) -> watch::Receiver<u64> {
        self.tls.changes()
    }
}

fn not_reached(peer: &MemberName, status: &Status) -> NotReached {
    match DialError::in_status(status) {
        Some(error) => NotReached { cause: error.cause.code(), message: error.to_string() },
        None => NotReached {
            cause: "CALL_REFUSED",
            message: format!("{peer} refused the stream with {:?}", status.code()),
        },
    }
}
