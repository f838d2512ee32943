//! Sends acknowledgements to owners until each is answered, over restarts and outages.
//!
//! The queue is a table of the audit log's file: an acknowledgement is in it from the moment at which the local client
//! may hear OK, and leaves it when its owner has answered. An owner that cannot be reached holds up nobody else's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::AcknowledgeRetrievalRequest;
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::ledger::v1::SignedMessage;
use sundbro_store::audit::PendingAcknowledgement;
use sundbro_store::{Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::channels::PeerChannels;
use super::owner::Owner;
use super::{FRAME_TIMEOUT, blocking};
use crate::status::{self, chain};

/// Most acknowledgements read at once: 4 MiB of messages.
const MAX_PENDING_READ: usize = 10_000;
/// First pause after an owner did not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause: owners that come back also wake the queue.
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
    /// Hears of peers that come and go (`PeerTable::watch`), which wakes the sender too.
    pub peers: watch::Receiver<u64>,
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
pub async fn run(mut context: AcknowledgeContext, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    loop {
        let left = tokio::select! {
            () = stop.cancelled() => return,
            left = send_all(&context) => left,
        };
        let left = left.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "queued acknowledgements cannot be read");
            true
        });
        let woken = tokio::select! {
            () = stop.cancelled() => return,
            () = context.acknowledgements.0.notified() => true,
            changed = context.peers.changed(), if left => changed.is_ok(),
            () = tokio::time::sleep(pause), if left => false,
        };
        pause = if woken || !left { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// One round. Says whether something is left.
pub(super) async fn send_all(context: &AcknowledgeContext) -> Result<bool, StoreError> {
    let store = context.store.clone();
    let Ok(pending) = blocking(move || store.pending_acknowledgements(MAX_PENDING_READ)).await
    else {
        return Ok(true);
    };
    let mut silent = BTreeSet::new();
    for one in pending? {
        if silent.contains(&one.owner) {
            continue;
        }
        match send(context, &one).await {
            Answered::Taken => {}
            Answered::Refused(status) => {
                // Asking again would not help; both audit logs keep what each side has.
                tracing::warn!(peer = one.owner, code = %status.code(), "an acknowledgement was refused");
            }
            Answered::Later(cause) => {
                tracing::debug!(peer = one.owner, cause, "an acknowledgement waits");
                silent.insert(one.owner);
                continue;
            }
        }
        let (store, completion) = (context.store.clone(), one.completion);
        if let Ok(done) = blocking(move || store.acknowledgement_done(&completion)).await {
            done?;
        }
    }
    Ok(!silent.is_empty())
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
