//! Sends acknowledgements to owners until each is answered, over restarts and outages.
//!
//! The queue is a table of the audit log's file: an acknowledgement is in it from the moment at which the local client
//! may hear OK, and leaves it when its owner has answered. Each owner is
//! called by itself, so one that cannot be reached or does not answer holds up nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::AcknowledgeRetrievalRequest;
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::ledger::v1::SignedMessage;
use sundbro_store::audit::PendingAcknowledgement;
use sundbro_store::{Store, StoreError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::channels::PeerChannels;
use super::owner::Owner;
use super::{FRAME_TIMEOUT, blocking};
use crate::hub::PeerTable;
use crate::status::{self, chain};

/// Acknowledgements read at once: 100 KiB of messages.
const PAGE_ROWS: usize = 256;
/// Most acknowledgements of one owner that are held to be sent.
const MAX_PART: usize = 256;
/// Most owners that are called at once: so many may hang before another one waits.
const MAX_OWNERS_AT_ONCE: usize = 32;
/// First pause after an owner did not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause: an owner that comes back is tried at once.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Says that something was queued. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Acknowledgements(Arc<Notify>);

impl Acknowledgements {
    /// A queue that nobody works on yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something is in the queue.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// What the sender works with.
pub struct AcknowledgeContext {
    /// Us: what we owe ourselves goes there directly.
    pub member: MemberName,
    /// Holds the queue.
    pub store: Arc<Store>,
    /// Where owners are called.
    pub channels: Arc<dyn PeerChannels>,
    /// Our own owner's side.
    pub owner: Arc<Owner>,
    /// Wakes the sender.
    pub acknowledgements: Acknowledgements,
    /// Tells which owners come back.
    pub peers: Arc<PeerTable>,
}

/// Whether an owner answered.
enum Answered {
    /// It did: the acknowledgement is on record there.
    Taken,
    /// It did: it will never take this one.
    Refused(Status),
    /// It did not, or cannot now.
    Later(String),
}

/// Sends what is queued, at the start and whenever something is added, until `stop`.
pub async fn run(context: AcknowledgeContext, stop: CancellationToken) {
    let mut peers = context.peers.watch();
    let mut sender = Sender::new(&context);
    loop {
        peers.mark_unchanged();
        if sender.is_due() {
            sender.begin().await;
        }
        let next_try = sender.next_try();
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.acknowledgements.0.notified() => sender.look_again = true,
            // An error would say that the table is gone, which the context keeps alive.
            _ = peers.changed() => {}
            () = sleep_until(next_try) => {}
            Some(ended) = sender.running.next() => sender.ended(ended),
        }
    }
}

/// One round: everything that can be sent now. Says whether something is left.
#[cfg(test)]
pub(super) async fn send_all(context: &AcknowledgeContext) -> bool {
    let mut sender = Sender::new(context);
    while sender.look_again {
        sender.begin().await;
        while let Some(ended) = sender.running.next().await {
            sender.ended(ended);
        }
    }
    !sender.silent.is_empty() || sender.read_again_at.is_some()
}

/// What is under way, and which owners are not asked for a while.
struct Sender<'a> {
    context: &'a AcknowledgeContext,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    busy: BTreeSet<String>,
    silent: BTreeMap<String, Silent>,
    /// The queue may hold what can be sent now.
    look_again: bool,
    /// The queue could not be read, and is tried again then.
    read_again_at: Option<Instant>,
}

/// An owner that did not answer.
struct Silent {
    try_at: Instant,
    pause: Duration,
    /// Whether a session with it was open then: if so, another one must open before it is tried early.
    was_reachable: bool,
}

/// An owner's part of the queue was sent, as far as it answered.
struct Ended {
    owner: String,
    answers: bool,
}

impl<'a> Sender<'a> {
    fn new(context: &'a AcknowledgeContext) -> Self {
        Self {
            context,
            running: FuturesUnordered::new(),
            busy: BTreeSet::new(),
            silent: BTreeMap::new(),
            look_again: true,
            read_again_at: None,
        }
    }

    /// Whether the queue should be read. A peer that tells something new about itself is no reason; one that comes back
    /// is, for its own part alone.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        for (owner, silent) in &mut self.silent {
            let reachable =
                MemberName::new(owner).is_ok_and(|owner| self.context.peers.is_reachable(&owner));
            if reachable && !silent.was_reachable {
                (silent.try_at, silent.pause) = (now, FIRST_PAUSE);
            }
            silent.was_reachable = reachable;
        }
        self.look_again || self.next_try() <= now
    }

    /// When something is tried again at the latest.
    fn next_try(&self) -> Instant {
        let longest = Instant::now() + LONGEST_PAUSE;
        if self.is_full() {
            // Whoever ends first makes room.
            return longest;
        }
        let tries = self.silent.iter().filter(|(owner, _)| !self.busy.contains(*owner));
        let tries = tries.map(|(_, silent)| silent.try_at).chain(self.read_again_at);
        tries.min().unwrap_or(longest)
    }

    fn is_full(&self) -> bool {
        self.busy.len() >= MAX_OWNERS_AT_ONCE
    }

    /// Reads the queue, and begins with every owner that is neither busy nor silent.
    async fn begin(&mut self) {
        let now = Instant::now();
        (self.look_again, self.read_again_at) = (false, None);
        let waits = self.silent.iter().filter(|(_, silent)| silent.try_at > now);
        let skipped: BTreeSet<String> =
            waits.map(|(owner, _)| owner).chain(&self.busy).cloned().collect();
        let places = MAX_OWNERS_AT_ONCE.saturating_sub(self.busy.len());
        let store = self.context.store.clone();
        let read = match blocking(move || read_queue(&store, &skipped, places)).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "queued acknowledgements cannot be read");
                return self.read_later(now);
            }
            // The gateway stops.
            Err(_) => return self.read_later(now),
        };
        self.silent.retain(|owner, _| read.owners.contains(owner));
        for (owner, pending) in read.due {
            self.busy.insert(owner.clone());
            self.running.push(send_to(self.context, owner, pending).boxed());
        }
    }

    /// The queue could not be read: a disk that fails is not asked again at once.
    fn read_later(&mut self, now: Instant) {
        self.read_again_at = Some(now + LONGEST_PAUSE);
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { owner, answers } = ended;
        // Its place is free, or of its own part there may be more.
        self.look_again |= answers || self.is_full();
        self.busy.remove(&owner);
        if answers {
            self.silent.remove(&owner);
            return;
        }
        let last = self.silent.get(&owner).map(|silent| silent.pause);
        let pause = last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        let was_reachable =
            MemberName::new(&owner).is_ok_and(|owner| self.context.peers.is_reachable(&owner));
        let try_at = Instant::now() + pause;
        self.silent.insert(owner, Silent { try_at, pause, was_reachable });
    }
}

/// What the queue holds.
struct Queue {
    /// Every owner to whom something is owed.
    owners: BTreeSet<String>,
    /// What is sent now, by owner.
    due: BTreeMap<String, Vec<PendingAcknowledgement>>,
}

/// Reads the whole queue, page by page, and keeps a part of it for each of as many owners as have a place. Blocking.
fn read_queue(
    store: &Store,
    skipped: &BTreeSet<String>,
    places: usize,
) -> Result<Queue, StoreError> {
    let mut queue = Queue { owners: BTreeSet::new(), due: BTreeMap::new() };
    let mut last = None;
    loop {
        let page = store.pending_acknowledgements_after(last.as_ref(), PAGE_ROWS)?;
        let Some(end) = page.last() else { return Ok(queue) };
        last = Some(end.completion);
        for row in page {
            queue.owners.insert(row.owner.clone());
            let has_place = queue.due.len() < places || queue.due.contains_key(&row.owner);
            if skipped.contains(&row.owner) || !has_place {
                continue;
            }
            let part = queue.due.entry(row.owner.clone()).or_default();
            if part.len() < MAX_PART {
                part.push(row);
            }
        }
    }
}

/// Sends one owner's part, until it does not answer.
async fn send_to(
    context: &AcknowledgeContext,
    owner: String,
    pending: Vec<PendingAcknowledgement>,
) -> Ended {
    for one in pending {
        match send(context, &one).await {
            Answered::Taken => {}
            Answered::Refused(status) => {
                // Asking again would not help; both audit logs keep what each side has.
                tracing::warn!(peer = owner, code = %status.code(), "an acknowledgement was refused");
            }
            Answered::Later(cause) => {
                tracing::debug!(peer = owner, cause, "an acknowledgement waits");
                return Ended { owner, answers: false };
            }
        }
        let (store, completion) = (context.store.clone(), one.completion);
        let done = blocking(move || store.acknowledgement_done(&completion)).await;
        if let Ok(Err(error)) = &done {
            tracing::error!(error = chain(error), "an answered acknowledgement stays in the queue");
        }
        if !matches!(done, Ok(Ok(()))) {
            return Ended { owner, answers: false };
        }
    }
    Ended { owner, answers: true }
}

async fn send(context: &AcknowledgeContext, pending: &PendingAcknowledgement) -> Answered {
    let malformed = |_| Status::new(Code::Internal, "the queued acknowledgement cannot be read");
    let message = match SignedMessage::decode(&pending.message[..]).map_err(malformed) {
        Ok(message) => message,
        Err(status) => return Answered::Refused(status),
    };
    let Ok(owner) = MemberName::new(&pending.owner) else {
        return Answered::Refused(Status::new(
            Code::Internal,
            "the queued owner is no member name",
        ));
    };
    if owner == context.member {
        let taken = context.owner.acknowledge(&owner, message).await;
        return answered(taken.map_err(|error| status::of(&error)));
    }
    let channel = match context.channels.channel(&owner) {
        Ok(channel) => channel,
        Err(error) => return Answered::Later(chain(&error)),
    };
    let mut client = RetrievalServiceClient::new(channel);
    let request = AcknowledgeRetrievalRequest { acknowledgement: Some(message) };
    match timeout(FRAME_TIMEOUT, client.acknowledge_retrieval(request)).await {
        Ok(answer) => answered(answer.map(|_| ())),
        Err(_) => Answered::Later("no answer in time".to_owned()),
    }
}

fn answered(answer: Result<(), Status>) -> Answered {
    match answer {
        Ok(()) => Answered::Taken,
        Err(status) => match status.code() {
            // What the owner says of the acknowledgement itself; everything else may pass.
            Code::InvalidArgument | Code::NotFound => Answered::Refused(status),
            _ => Answered::Later(chain(&status)),
        },
    }
}

#[cfg(test)]
mod tests;
