//! One connection of one identity, and calls on it as bytes: what came back is an [`Outcome`].

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::StreamExt as _;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sundbro_proto::federation::v1::SynchroniseResponse;
use sundbro_proto::federation::v1::frame::Kind;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::identities::Identity;
use super::rules::{Reads, Rule};
use super::world::World;

/// How long an answer may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The handshake was refused.
    Alert(AlertDescription),
    /// The answer came.
    Served,
    /// A status, with the reason of its ErrorInfo; empty: it has none.
    Refused(Code, String),
    /// A Problem that ended replication, after frames of these kinds and no other.
    Problem {
        /// The kinds, each once, in the order in which they came first.
        after: String,
        /// Its reason.
        reason: String,
    },
    /// Something that no rule expects.
    Else(String),
}

impl Outcome {
    /// A status with a reason.
    pub fn refused(code: Code, reason: &str) -> Self {
        Self::Refused(code, reason.to_owned())
    }

    /// A Problem after frames of these kinds.
    pub fn problem(after: &str, reason: &str) -> Self {
        Self::Problem { after: after.to_owned(), reason: reason.to_owned() }
    }

    /// Whether it is a refusal in the handshake.
    pub fn is_alert(&self) -> bool {
        matches!(self, Self::Alert(_))
    }

    /// What a status says.
    pub fn of(status: &Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        match status.code() {
            // Ours have a reason: without one, the connection broke.
            Code::Unknown | Code::Unavailable if reason.is_empty() => {
                Self::Else(format!("{status:?}"))
            }
            code => Self::Refused(code, reason),
        }
    }
}

/// A connection of one identity, made when it is needed and again after it was refused.
pub struct Line {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    channel: Option<Channel>,
    /// The messages of the last answer that was read to its end.
    pub messages: Vec<Bytes>,
}

impl Line {
    /// Nothing is dialled yet.
    pub fn new(address: SocketAddr, identity: &Identity) -> Self {
        Self { address, tls: client(identity), channel: None, messages: Vec::new() }
    }

    /// Calls what the rule is about, with the request that would be served.
    pub async fn call(
        &mut self,
        world: &World,
        rule: &Rule,
        identity: &Identity,
        alert_expected: bool,
    ) -> Outcome {
        self.send(rule, (rule.ask)(world, identity), alert_expected).await
    }

    /// Calls with these bytes as the request.
    pub async fn send(&mut self, rule: &Rule, request: Bytes, alert_expected: bool) -> Outcome {
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => match self.open(alert_expected).await {
                Ok(channel) => self.channel.insert(channel).clone(),
                Err(outcome) => return outcome,
            },
        };
        self.messages.clear();
        let answer = timeout(PATIENCE, call(channel, rule, request, &mut self.messages)).await;
        answer.unwrap_or_else(|_| Outcome::Else("no answer in time".to_owned()))
    }

    /// In TLS 1.3 the client's side is done before the server has judged its certificate. Where an alert is expected, it
    /// is waited for before anything is written: else the server, closing, would answer what came meanwhile with a
    /// reset, which can swallow the alert.
    async fn open(&self, alert_expected: bool) -> Result<Channel, Outcome> {
        let stream = TcpStream::connect(self.address).await.expect("the gateway listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let secured = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        let mut stream = secured.map_err(|error| refusal(&error))?;
        if alert_expected {
            return Err(match timeout(PATIENCE, stream.read_u8()).await {
                Ok(Ok(_)) => Outcome::Else("let in: it speaks HTTP/2".to_owned()),
                Ok(Err(error)) => refusal(&error),
                Err(_) => Outcome::Else("let in: it waits for a request".to_owned()),
            });
        }
        over(stream).await.map_err(|error| Outcome::Else(format!("no HTTP/2: {error}")))
    }
}

fn refusal(error: &std::io::Error) -> Outcome {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => Outcome::Alert(*alert),
        _ => Outcome::Else(format!("no alert: {error}")),
    }
}

/// gRPC over a stream that is open already.
async fn over(stream: TlsStream<TcpStream>) -> Result<Channel, tonic::transport::Error> {
    let slot = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = slot.lock().expect("not poisoned").take().map(TokioIo::new);
        // One identity, one connection: when it breaks, the test must see it.
        std::future::ready(stream.ok_or_else(|| std::io::Error::other("the connection broke")))
    });
    Endpoint::from_static("https://localhost").connect_with_connector(connector).await
}

async fn call(channel: Channel, rule: &Rule, request: Bytes, kept: &mut Vec<Bytes>) -> Outcome {
    let mut grpc = Grpc::new(channel);
    if let Err(error) = grpc.ready().await {
        return Outcome::Else(format!("not ready: {error}"));
    }
    let path = format!("/{}", rule.rpc).parse().expect("a path");
    let first = tokio_stream::once(request);
    // Replication's stream must not end with its first frame; a server of one request waits for its end.
    let answer = if rule.reads == Reads::Frames {
        let requests = first.chain(futures_util::stream::pending());
        grpc.streaming(tonic::Request::new(requests), path, Raw).await
    } else {
        grpc.streaming(tonic::Request::new(first), path, Raw).await
    };
    let read = match answer {
        Ok(answer) => read(rule.reads, answer.into_inner(), kept).await,
        Err(status) => Err(status),
    };
    read.unwrap_or_else(|status| Outcome::of(&status))
}

async fn read(
    reads: Reads,
    mut answer: Streaming<Bytes>,
    kept: &mut Vec<Bytes>,
) -> Result<Outcome, Status> {
    match reads {
        Reads::Whole => {
            while let Some(message) = answer.message().await? {
                kept.push(message);
            }
            Ok(Outcome::Served)
        }
        Reads::First => Ok(match answer.message().await? {
            Some(_) => Outcome::Served,
            None => Outcome::Else("the stream ended without a message".to_owned()),
        }),
        Reads::Frames => read_frames(answer).await,
    }
}

/// Heads are for active members alone; who is none sees the stream end with a Problem.
async fn read_frames(mut answer: Streaming<Bytes>) -> Result<Outcome, Status> {
    let mut kinds: Vec<&'static str> = Vec::new();
    while let Some(bytes) = answer.message().await? {
        let frame = SynchroniseResponse::decode(bytes).ok().and_then(|answer| answer.frame);
        let kind = match frame.and_then(|frame| frame.kind) {
            // Which of these comes first is chance; whoever is not an active member gets none of them.
            Some(Kind::Heads(_) | Kind::Ack(_) | Kind::StartQuestion(_)) => {
                return Ok(Outcome::Served);
            }
            Some(Kind::Problem(problem)) => {
                let rest = answer.message().await?;
                let after = kinds.join(" ");
                return Ok(match rest {
                    None => Outcome::Problem { after, reason: problem.reason },
                    Some(_) => Outcome::Else(format!("frames after {}", problem.reason)),
                });
            }
            Some(Kind::Hello(_)) => "Hello",
            Some(Kind::Charter(_)) => "Charter",
            Some(Kind::KeyGrant(_)) => "KeyGrant",
            other => return Ok(Outcome::Else(format!("a frame {other:?} after {kinds:?}"))),
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(Outcome::Else(format!("the stream ended after {kinds:?}")))
}

/// TLS of a client that shows what it is told to and takes every server: what is tested is the server.
fn client(identity: &Identity) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer(provider)));
    let mut config = match &identity.credentials {
        None => builder.with_no_client_auth(),
        Some(shown) => builder
            .with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())
            .expect("certificate and key fit"),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Messages as bytes.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
