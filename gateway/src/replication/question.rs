//! Questions to the peer that are open, and the way of each answer to the task that asked.

use std::time::Duration;

use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1 as wire;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::{Link, lock};
use super::registry::Lane;
use super::{SessionEnd, reasons};

/// Answers that wait for the task that asked. Beyond that the peer is read no further, which slows it down.
const WAITING_REPLIES: usize = 8;

/// What a task that asked gets back.
pub(super) enum Reply {
    /// Part of an answer to Want entries.
    Chunk(wire::Chunk),
    /// A consistency proof, with the sizes that it is for.
    Proof(wire::Consistency),
    /// Part of an answer to Want blobs.
    Payloads(wire::Payloads),
    /// The peer cannot answer.
    Refused(&'static str),
}

impl Link {
    /// Opens the way for answers about one lane of a log.
    pub(super) fn ask(&self, log: LogId, lane: Lane) -> Question<'_> {
        let (answer, answers) = mpsc::channel(WAITING_REPLIES);
        lock(&self.routes).insert((log, lane), answer);
        Question { link: self, key: (log, lane), answers }
    }

    /// Hands an answer to whoever asked. One that nobody waits for any more is dropped.
    pub(super) async fn answer(&self, log: LogId, lane: Lane, reply: Reply) {
        let route = lock(&self.routes).get(&(log, lane)).cloned();
        if let Some(route) = route {
            // An error says that the task has just given up.
            let _ = route.send(reply).await;
        }
    }

    /// Whether a task waits for answers about one lane of a log.
    pub(super) fn is_asked(&self, log: LogId, lane: Lane) -> bool {
        lock(&self.routes).contains_key(&(log, lane))
    }
}

/// A question to the peer that is open.
pub(super) struct Question<'a> {
    link: &'a Link,
    key: (LogId, Lane),
    answers: mpsc::Receiver<Reply>,
}

impl Question<'_> {
    /// The next answer.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Reply, SessionEnd> {
        match timeout(patience, self.answers.recv()).await {
            Ok(Some(reply)) => Ok(reply),
            // `link` holds the sender for as long as the question is open.
            Ok(None) => Err(SessionEnd::Stopped),
            Err(_) => {
                let late = "no answer came in time";
                Err(SessionEnd::log_fault(reasons::PEER_SILENT, &self.key.0, late))
            }
        }
    }

    /// An answer that is here already.
    pub(super) fn ready(&mut self) -> Option<Reply> {
        self.answers.try_recv().ok()
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.link.routes).remove(&self.key);
    }
}
