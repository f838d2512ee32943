//! Questions to the peer that are open, and the way of each answer to the task that asked.

use std::collections::BTreeSet;
use std::time::Duration;

use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1 as wire;
use sundbro_store::{BlobKey, NewBlob};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::link::{Link, lock};
use super::registry::Lane;
use super::{SessionEnd, frames, reasons};

/// Answers that wait for the task that asked. Beyond that the peer is read no further, which slows it down.
const WAITING_REPLIES: usize = 8;

/// What a task that asked gets back.
pub(super) enum Reply {
    /// Part of an answer to Want entries.
    Chunk(wire::Chunk),
    /// A consistency proof, with the sizes that it is for.
    Proof(wire::Consistency),
    /// Blobs that were asked for and had not come yet, and those that the peer does not hold.
    Blobs { blobs: Vec<NewBlob>, missing: Vec<BlobKey> },
    /// The peer cannot answer.
    Refused(&'static str),
}

/// The way to the task that asked.
pub(super) struct Route {
    answer: mpsc::Sender<Reply>,
    /// Blobs that were asked for and have not come yet.
    wanted: BTreeSet<BlobKey>,
}

impl Link {
    /// Opens the way for answers about the entries of a log.
    pub(super) fn ask_entries(&self, log: LogId) -> Question<'_> {
        self.ask(log, Lane::Entries, BTreeSet::new())
    }

    /// Opens the way for some blobs of a log.
    pub(super) fn ask_blobs(&self, log: LogId, wanted: BTreeSet<BlobKey>) -> Question<'_> {
        self.ask(log, Lane::Blobs, wanted)
    }

    fn ask(&self, log: LogId, lane: Lane, wanted: BTreeSet<BlobKey>) -> Question<'_> {
        let (answer, answers) = mpsc::channel(WAITING_REPLIES);
        lock(&self.routes).insert((log, lane), Route { answer, wanted });
        Question { link: self, key: (log, lane), answers }
    }

    /// Hands an answer to whoever asked. One that nobody waits for any more is dropped.
    pub(super) async fn answer(&self, log: LogId, lane: Lane, reply: Reply) {
        let answer = lock(&self.routes).get(&(log, lane)).map(|route| route.answer.clone());
        if let Some(answer) = answer {
            // An error says that the task has just given up.
            let _ = answer.send(reply).await;
        }
    }

    /// Takes off a frame of blobs what was asked for. The rest was pushed: an author sends the blobs of what it publishes
    /// on the stream on which it answers, and nothing in a frame tells the two apart but the names in it.
    pub(super) fn take_wanted(&self, log: LogId, payloads: &mut wire::Payloads) -> Option<Reply> {
        let mut routes = lock(&self.routes);
        let wanted = &mut routes.get_mut(&(log, Lane::Blobs))?.wanted;
        let mut was_wanted =
            |key: &wire::BlobKey| frames::key_from_wire(key).filter(|key| wanted.remove(key));
        let (mut blobs, mut missing) = (Vec::new(), Vec::new());
        payloads.blobs.retain(|blob| match blob.key.as_ref().and_then(&mut was_wanted) {
            Some(BlobKey { kind, commitment, .. }) => {
                blobs.push(NewBlob { kind, commitment, bytes: blob.bytes.clone() });
                false
            }
            None => true,
        });
        missing.extend(payloads.missing.drain(..).filter_map(|key| was_wanted(&key)));
        let is_answer = !blobs.is_empty() || !missing.is_empty();
        is_answer.then_some(Reply::Blobs { blobs, missing })
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
