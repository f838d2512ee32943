//! Questions to the peer that are open, and the way of each answer to the task that asked.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::{self as wire, Frame};
use sundbro_store::BlobKey;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::link::{Link, lock};
use super::registry::{Claim, Lane};
use super::{SessionEnd, frames, reasons};

/// Answers that wait for the task that asked. Beyond that the peer is read no further, which slows it down.
const WAITING_REPLIES: usize = 8;

/// A session that gave a claim up takes it no sooner than after this: whoever it is owed to comes first, and two that both
/// try at once would give it to each other without end. Long beside a switch of tasks, short beside a round trip.
const GIVES_WAY_FOR: Duration = Duration::from_millis(50);

/// What a task that asked gets back.
pub(super) enum Reply {
    /// Part of an answer to Want entries.
    Chunk(wire::Chunk),
    /// A consistency proof, with the sizes that it is for.
    Proof(wire::Consistency),
    /// Blobs that were asked for and had not come yet, and those that the peer does not hold.
    Blobs { blobs: Vec<(BlobKey, Bytes)>, missing: Vec<BlobKey> },
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
    /// Whether a log is left to somebody else for the moment.
    pub(super) fn gives_way(&self, key: (LogId, Lane)) -> bool {
        lock(&self.gave_way).get(&key).is_some_and(|until| Instant::now() < *until)
    }

    /// Waits until a log that was left to somebody else is not any more; for ever if there is none.
    pub(super) async fn until_its_turn_comes(&self) {
        let next = {
            let mut gave_way = lock(&self.gave_way);
            let now = Instant::now();
            gave_way.retain(|_, until| now < *until);
            gave_way.values().min().copied()
        };
        match next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// Opens the way for answers about the entries of a log.
    pub(super) fn ask_entries(&self, claim: Claim) -> Question<'_> {
        self.ask(claim, Lane::Entries, BTreeSet::new())
    }

    /// Opens the way for some blobs of a log.
    pub(super) fn ask_blobs(&self, claim: Claim, wanted: BTreeSet<BlobKey>) -> Question<'_> {
        self.ask(claim, Lane::Blobs, wanted)
    }

    fn ask(&self, claim: Claim, lane: Lane, wanted: BTreeSet<BlobKey>) -> Question<'_> {
        let (answer, answers) = mpsc::channel(WAITING_REPLIES);
        let key = (claim.log(), lane);
        lock(&self.routes).insert(key, Route { answer, wanted });
        Question { link: self, key, answers, claim: Some(claim), forward_at: Instant::now() }
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
            Some(key) => {
                blobs.push((key, blob.bytes.clone()));
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

/// A question to the peer that is open, and the claim under which it was asked.
///
/// The claim is kept while the answer comes forward. When it is owed to somebody else it is given up, and the answer is
/// still read to its end: it is on its way already.
pub(super) struct Question<'a> {
    link: &'a Link,
    key: (LogId, Lane),
    answers: mpsc::Receiver<Reply>,
    claim: Option<Claim>,
    /// When the answer last came forward.
    forward_at: Instant,
}

impl Question<'_> {
    /// Sends a frame of the question. `false`: it was not sent, since the claim was given up before the peer read it.
    pub(super) async fn send(&mut self, frame: Frame) -> Result<bool, SessionEnd> {
        tokio::select! {
            biased;
            sent = self.link.send_frame(frame) => return sent.map(|()| true),
            () = is_owed(self.claim.as_ref(), self.slow_at()) => {}
            () = sleep_until(self.deadline()) => return Err(self.silent("the peer does not read")),
        }
        self.give_way();
        Ok(false)
    }

    /// The next frame of the answer. What brings the answer forward is followed by [`is_forward`](Self::is_forward);
    /// whatever else comes wins the peer no time.
    pub(super) async fn next(&mut self) -> Result<Reply, SessionEnd> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(self.deadline()) => {
                    return Err(self.silent("no answer came in time"));
                }
                () = is_owed(self.claim.as_ref(), self.slow_at()) => self.give_way(),
                // The link holds the sender for as long as the question is open.
                reply = self.answers.recv() => return reply.ok_or(SessionEnd::Stopped),
            }
        }
    }

    /// Gives the claim up to whoever it is owed to.
    fn give_way(&mut self) {
        lock(&self.link.gave_way).insert(self.key, Instant::now() + GIVES_WAY_FOR);
        self.claim = None;
    }

    /// An answer that is here already.
    pub(super) fn ready(&mut self) -> Option<Reply> {
        self.answers.try_recv().ok()
    }

    /// The answer came forward, and we are ready for more: the peer's time begins again.
    pub(super) fn is_forward(&mut self) {
        self.forward_at = Instant::now();
    }

    /// The claim, to be moved along with what it covers. `None`: it was given up.
    pub(super) fn take_claim(&mut self) -> Option<Claim> {
        self.claim.take()
    }

    /// Gives back a claim that was taken.
    pub(super) fn keep_claim(&mut self, claim: Option<Claim>) {
        self.claim = claim;
    }

    /// Whether the claim is still ours.
    pub(super) fn is_claimed(&self) -> bool {
        self.claim.is_some()
    }

    fn slow_at(&self) -> Instant {
        self.forward_at + self.link.shared.context.settings.slow_reply
    }

    fn deadline(&self) -> Instant {
        self.forward_at + self.link.shared.context.settings.reply_timeout
    }

    fn silent(&self, what: &str) -> SessionEnd {
        SessionEnd::log_fault(reasons::PEER_SILENT, &self.key.0, what)
    }
}

/// Waits until a claim should be given up; for ever if there is none.
async fn is_owed(claim: Option<&Claim>, slow_at: Instant) {
    match claim {
        Some(claim) => claim.is_owed(slow_at).await,
        None => std::future::pending().await,
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        lock(&self.link.routes).remove(&self.key);
    }
}
