//! Sessions between gateways over streams in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sundbro_gateway::replication::{OUTBOUND_FRAMES, SessionEnd};
use sundbro_proto::federation::v1::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::support::{Gateway, name};

/// How long a session may take to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a session that runs.
pub struct Running {
    pub stop: CancellationToken,
    pub task: JoinHandle<SessionEnd>,
}

impl Running {
    /// How it ended.
    pub async fn end(self) -> SessionEnd {
        tokio::time::timeout(PATIENCE, self.task).await.expect("ends in time").expect("no panic")
    }
}

/// Starts one side of a session.
pub fn session(
    gateway: &Gateway,
    peer: &str,
    inbound: mpsc::Receiver<Frame>,
    outbound: mpsc::Sender<Frame>,
) -> Running {
    let stop = CancellationToken::new();
    let (replication, peer, own_stop) = (gateway.replication.clone(), name(peer), stop.clone());
    let inbound = ReceiverStream::new(inbound).map(Ok::<_, Status>);
    let task =
        tokio::spawn(async move { replication.session(peer, inbound, outbound, own_stop).await });
    Running { stop, task }
}

/// Connects two gateways.
pub fn connect(a: &Gateway, b: &Gateway) -> (Running, Running) {
    let (to_b, from_a) = mpsc::channel(OUTBOUND_FRAMES);
    let (to_a, from_b) = mpsc::channel(OUTBOUND_FRAMES);
    (session(a, b.member.as_str(), from_b, to_b), session(b, a.member.as_str(), from_a, to_a))
}

/// Connects two gateways and counts the frames that `a` sends, by kind.
pub fn connect_counted(
    a: &Gateway,
    b: &Gateway,
) -> (Running, Running, Arc<std::sync::Mutex<BTreeMap<&'static str, usize>>>) {
    let (to_middle, mut from_a) = mpsc::channel::<Frame>(OUTBOUND_FRAMES);
    let (to_b, from_middle) = mpsc::channel(OUTBOUND_FRAMES);
    let (to_a, from_b) = mpsc::channel(OUTBOUND_FRAMES);
    let counts: Arc<std::sync::Mutex<BTreeMap<&'static str, usize>>> = Arc::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Some(frame) = from_a.recv().await {
            *counted.lock().expect("lock").entry(kind_name(&frame)).or_default() += 1;
            if to_b.send(frame).await.is_err() {
                return;
            }
        }
    });
    let running_a = session(a, b.member.as_str(), from_b, to_middle);
    let running_b = session(b, a.member.as_str(), from_middle, to_a);
    (running_a, running_b, counts)
}

pub fn kind_name(frame: &Frame) -> &'static str {
    use sundbro_proto::federation::v1::frame::Kind;
    use sundbro_proto::federation::v1::{Want, want};
    match &frame.kind {
        None => "unknown",
        Some(Kind::Hello(_)) => "hello",
        Some(Kind::Heads(_)) => "heads",
        Some(Kind::Consistency(_)) => "consistency",
        Some(Kind::Want(Want { what: Some(want::What::Blobs(_)) })) => "want_blobs",
        Some(Kind::Want(_)) => "want_entries",
        Some(Kind::Chunk(_)) => "chunk",
        Some(Kind::Payloads(_)) => "payloads",
        Some(Kind::Charter(_)) => "charter",
        Some(Kind::KeyGrant(_)) => "key_grant",
        Some(Kind::Ack(_)) => "ack",
        Some(Kind::Evidence(_)) => "evidence",
        Some(Kind::Problem(_)) => "problem",
        Some(Kind::StartQuestion(_)) => "start_question",
        Some(Kind::StartAnswer(_)) => "start_answer",
    }
}
