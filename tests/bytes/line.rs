//! One stream to a gateway's replication service, byte by byte: HTTP/2 and TLS are honest, everything in them is not.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Frame, SynchroniseRequest, SynchroniseResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service as _, ServiceExt as _};

/// Longer than any deadline of the gateway on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Compression flag and length.
const PREFIX_LEN: usize = 5;

/// What a gateway said.
#[derive(Debug)]
pub(crate) enum Heard {
    Frame(Kind),
    /// The stream is over.
    End,
}

pub(crate) struct Line {
    out: mpsc::Sender<Result<hyper::body::Frame<Bytes>, Infallible>>,
    body: Body,
    buffer: BytesMut,
}

impl Line {
    /// Calls `Synchronise`, without a word yet.
    pub(crate) async fn open(channel: &Channel) -> Self {
        let (out, frames) = mpsc::channel(64);
        let body = Body::new(StreamBody::new(ReceiverStream::new(frames)));
        let request = http::Request::post("/sundbro.federation.v1.FederationService/Synchronise")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .expect("a request");
        let mut channel = channel.clone();
        let ready = channel.ready().await.expect("the gateway is there");
        let response = ready.call(request).await.expect("the gateway answers");
        Self { out, body: response.into_body(), buffer: BytesMut::new() }
    }

    /// Bytes as they are, with whatever prefix the test gave them. Says whether the gateway still reads.
    pub(crate) async fn raw(&mut self, bytes: impl Into<Bytes>) -> bool {
        self.out.send(Ok(hyper::body::Frame::data(bytes.into()))).await.is_ok()
    }

    /// One gRPC message.
    pub(crate) async fn message(&mut self, message: &[u8]) -> bool {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        self.raw([&[0], &length[..], message].concat()).await
    }

    pub(crate) async fn send(&mut self, kind: Kind) -> bool {
        self.message(&framed(kind)).await
    }

    /// The next thing that the gateway says. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(message) = self.take_message() {
                let frame = SynchroniseResponse::decode(&message[..]).expect("a gateway is honest");
                let Frame { kind } = frame.frame.expect("with a frame");
                return Heard::Frame(kind.expect("of a kind"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) | None => return Heard::End,
            }
        }
    }

    fn take_message(&mut self) -> Option<Bytes> {
        let length = self.buffer.get(1..PREFIX_LEN)?.try_into().expect("four bytes");
        let length = usize::try_from(u32::from_be_bytes(length)).expect("short");
        if self.buffer.len() < PREFIX_LEN + length {
            return None;
        }
        self.buffer.advance(PREFIX_LEN);
        Some(self.buffer.split_to(length).freeze())
    }
}

/// The message that carries a frame.
pub(crate) fn framed(kind: Kind) -> Vec<u8> {
    SynchroniseRequest { frame: Some(Frame { kind: Some(kind) }) }.encode_to_vec()
}
