//! A wire to one gateway, over memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::retrieval_service_server::RetrievalServiceServer;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint as TonicEndpoint, Server};

use super::super::channels::{NoChannel, PeerChannels};
use super::super::owner::Owner;
use super::super::service::RetrievalApi;
use super::{HOSPITAL, name};
use crate::caller::Peer;
use crate::client::DialError;
use crate::dial_cause::DialCause;

/// A wire to one gateway, as if `caller` had shown its certificate. Can be cut.
pub(in crate::retrieval) struct Line {
    up: Arc<AtomicBool>,
    channel: Channel,
}

impl Line {
    pub(in crate::retrieval) fn cut(&self) {
        self.up.store(false, Ordering::SeqCst);
    }

    pub(in crate::retrieval) fn heal(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    pub(in crate::retrieval) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// To this owner's service.
    pub(in crate::retrieval) fn to(owner: Arc<Owner>, caller: &str) -> Arc<Self> {
        let peer = Peer::new(name(caller));
        let service = RetrievalServiceServer::with_interceptor(
            RetrievalApi::new(owner),
            move |mut request: tonic::Request<()>| {
                request.extensions_mut().insert(peer.clone());
                Ok(request)
            },
        );
        Self::to_service(service)
    }

    pub(in crate::retrieval) fn to_service<S>(service: S) -> Arc<Self>
    where
        S: tower_service::Service<
                http::Request<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        let (dialled, accepted) = mpsc::unbounded_channel::<DuplexStream>();
        let incoming = UnboundedReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        let up = Arc::new(AtomicBool::new(true));
        let is_up = up.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let (dialled, up) = (dialled.clone(), is_up.load(Ordering::SeqCst));
            async move {
                if !up {
                    return Err(refused());
                }
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                dialled.send(theirs).map_err(|_| refused())?;
                Ok(TokioIo::new(ours))
            }
        });
        let endpoint = TonicEndpoint::from_static("http://in.memory");
        Arc::new(Self { up, channel: endpoint.connect_with_connector_lazy(connector) })
    }
}

fn refused() -> DialError {
    DialError {
        member: name(HOSPITAL),
        address: crate::config::Endpoint::parse("localhost:1").expect("endpoint"),
        cause: DialCause::ConnectionRefused,
        source: std::io::ErrorKind::ConnectionRefused.into(),
    }
}

impl PeerChannels for Line {
    fn channel(&self, _: &MemberName) -> Result<Channel, NoChannel> {
        Ok(self.channel.clone())
    }
}
