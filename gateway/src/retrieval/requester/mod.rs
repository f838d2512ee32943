//! The requester's side: states who asks, fetches the record from its owner, and checks every byte and signature.
//!
//! Our own records come the same way, through our own owner's side, so policy and receipts are the same for them. The
//! local client hears OK only after completion and acknowledgement are durable in our audit log.

mod error;
mod receive;

use std::sync::Arc;

use bytes::Bytes;
use sundbro_ledger::ids::{MemberName, RecordId};
use sundbro_ledger::retrieval::{Assurance, Request, Unit, Verified};
use sundbro_proto::federation::v1::RetrieveRecordRequest;
use sundbro_proto::federation::v1::RetrieveRecordResponse as OwnerPart;
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::ledger::v1;
use sundbro_store::Store;
use sundbro_store::index::RecordPointer;
use tokio::time::timeout;
use tonic::{Status, Streaming};

pub use error::RetrieveError;

use super::acknowledge::Acknowledgements;
use super::audit::{self, Story};
use super::channels::PeerChannels;
use super::owner::{Owner, RecordStream};
use super::parts::{PartStream, parts};
use super::signer::ServiceSigner;
use super::{FRAME_TIMEOUT, Interrupted, NowMillis, blocking};
use crate::caller::LocalClient;
use crate::charter_book::CharterBook;
use crate::sight::retrieval::{Outcome, RetrievalCounts};
use crate::status::{self, Fault as _};
use crate::wire;

/// What the requester's side works with.
pub struct RequesterContext {
    /// Signs requests and acknowledgements; names us.
    pub signer: Arc<ServiceSigner>,
    /// Index and audit log.
    pub store: Arc<Store>,
    /// The charter in force.
    pub charter: Arc<CharterBook>,
    /// Where other members' gateways are called.
    pub channels: Arc<dyn PeerChannels>,
    /// Serves our own records.
    pub owner: Arc<Owner>,
    /// Sends acknowledgements.
    pub acknowledgements: Acknowledgements,
    /// The wall clock.
    pub now_millis: NowMillis,
}

/// What a local client asks for, and what it states about its user.
#[derive(Clone)]
pub struct Ask {
    /// The record.
    pub record: RecordId,
    /// Its version. 0: the newest that our index knows.
    pub version: u32,
    /// Who asks; opaque.
    pub user: String,
    /// The user's role.
    pub role: String,
    /// The user's unit. `None`: none is known.
    pub unit: Option<Unit>,
    /// Why.
    pub purpose: v1::PurposeOfUse,
    /// Why the glass is broken.
    pub break_glass: v1::BreakGlassReason,
}

/// One part of what the local client receives.
#[derive(Debug)]
pub enum Received {
    /// First: what is to come, from the owner's grant.
    Header {
        /// Registered length in bytes.
        size: u64,
        /// Registered SHA-256.
        sha256: [u8; 32],
        /// Media type. Empty when the detail is not here.
        media_type: String,
    },
    /// Then: content.
    Data(Bytes),
    /// Last: what proves it.
    Receipt(Box<v1::Receipt>),
}

/// A record on its way to a local client. It is a document only if the stream ends without an error; the last item is
/// the receipt or the error.
pub type ReceivedStream = PartStream<Result<Received, RetrieveError>>;

/// Fetches records for local clients.
pub struct Requester {
    context: RequesterContext,
    counts: RetrievalCounts,
}

/// Where the owner's answer comes from.
enum Answer {
    Peer(Box<Streaming<OwnerPart>>),
    Ourselves(RecordStream),
}

impl Requester {
    /// Nothing runs before the first request.
    pub fn new(context: RequesterContext) -> Arc<Self> {
        Arc::new(Self { context, counts: RetrievalCounts::of_requester() })
    }

    /// Asks the owner for a record, in the name of a local client's user.
    ///
    /// # Errors
    /// [`RetrieveError`] when nothing can be streamed; later ones come in the stream.
    pub async fn retrieve(
        self: &Arc<Self>,
        client: &LocalClient,
        ask: Ask,
    ) -> Result<ReceivedStream, RetrieveError> {
        let answer = self.begin(client, ask).await;
        if let Err(error) = &answer {
            self.count(error);
        }
        answer
    }

    /// How retrievals ended.
    pub fn counts(&self) -> &RetrievalCounts {
        &self.counts
    }

    fn count(&self, error: &RetrieveError) {
        let outcome = match error.reason() {
            crate::reason::NOT_AVAILABLE => Outcome::Refused,
            _ => Outcome::Failed,
        };
        self.counts.ended_because(outcome, error.reason());
    }

    async fn begin(
        self: &Arc<Self>,
        client: &LocalClient,
        ask: Ask,
    ) -> Result<ReceivedStream, RetrieveError> {
        let unit = ask.unit.as_ref().map(|unit| (unit.system.as_str(), unit.value.as_str()));
        client.may_state(&ask.role, unit, ask.purpose)?;
        let requester = self.clone();
        let (pointer, request) = blocking(move || {
            let pointer = requester.look_up(&ask)?;
            let version = if ask.version == 0 { pointer.version } else { ask.version };
            let request = requester.request(&ask, version)?;
            Ok::<_, RetrieveError>((pointer, request))
        })
        .await??;
        // From here the request survives a crash, so it may be sent.
        let answer = match self.call(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.not_received(&request).await?;
                return Err(error);
            }
        };
        let (to, stream) = parts(|| Err(RetrieveError::Interrupted(Interrupted)));
        tokio::spawn(receive::Receiving::new(self.clone(), pointer, request, to).run(answer));
        Ok(stream)
    }

    /// The newest pointer, if there ever was the version asked for. Every active member may read pointers, so absence is
    /// told; that a version is superseded is the owner's to say.
    fn look_up(&self, ask: &Ask) -> Result<RecordPointer, RetrieveError> {
        let found = self.context.store.record(&ask.record).map_err(RetrieveError::Store)?;
        found.filter(|newest| ask.version <= newest.version).ok_or_else(|| {
            RetrieveError::UnknownRecord {
                record: ask.record.resource_name(),
                version: ask.version,
            }
        })
    }

    /// Signs the request and makes it durable in the audit log.
    fn request(&self, ask: &Ask, version: u32) -> Result<Verified<Request>, RetrieveError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| RetrieveError::NoRandomness)?;
        let purpose = wire::purpose_to_ledger(ask.purpose).ok_or(RetrieveError::NoPurpose)?;
        let now = self.now_millis();
        let request = self.context.signer.sign(|charter_version, key_id| Request {
            requester: self.member().clone(),
            owner: ask.record.member.clone(),
            record: ask.record.clone(),
            record_version: version,
            charter_version,
            key_id,
            user: ask.user.clone(),
            role: ask.role.clone(),
            unit: ask.unit.clone(),
            purpose,
            break_glass_reason: wire::break_glass_to_ledger(ask.break_glass),
            assurance: Assurance::ClientAsserted,
            nonce,
            requested_unix_seconds: now.div_euclid(1000),
        })?;
        let entry = story(&request).message(audit::REQUEST_SENT, now, &request);
        self.context.store.audit_append(&[entry]).map_err(RetrieveError::Audit)?;
        Ok(request)
    }

    async fn call(&self, request: &Verified<Request>) -> Result<Answer, RetrieveError> {
        let owner = &request.body().owner;
        if owner == self.member() {
            let answer = self.context.owner.retrieve(owner, request.to_wire()).await;
            let answer =
                answer.map_err(|error| RetrieveError::of_owner(owner, &status::of(&error)));
            return answer.map(Answer::Ourselves);
        }
        let channel = self.context.channels.channel(owner).map_err(RetrieveError::Channel)?;
        let mut client = RetrievalServiceClient::new(channel);
        let message = RetrieveRecordRequest { request: Some(request.to_wire()) };
        match timeout(FRAME_TIMEOUT, client.retrieve_record(message)).await {
            Ok(Ok(response)) => Ok(Answer::Peer(Box::new(response.into_inner()))),
            Ok(Err(status)) => Err(RetrieveError::of_owner(owner, &status)),
            Err(_) => Err(RetrieveError::Silent(owner.clone())),
        }
    }

    /// Notes in the audit log that nothing came.
    async fn not_received(
        self: &Arc<Self>,
        request: &Verified<Request>,
    ) -> Result<(), RetrieveError> {
        let (requester, story) = (self.clone(), story(request));
        let write = move || {
            let entry = story.event(audit::NOT_RECEIVED, requester.now_millis());
            requester.context.store.audit_append(&[entry]).map_err(RetrieveError::Audit)
        };
        blocking(write).await?.map(|_| ())
    }

    fn member(&self) -> &MemberName {
        self.context.signer.member()
    }

    fn now_millis(&self) -> i64 {
        (self.context.now_millis)()
    }
}

fn story(request: &Verified<Request>) -> Story {
    Story::new(request.body(), &request.body().owner)
}

impl Answer {
    /// The next part; `None` when the owner ended with OK.
    async fn next(&mut self) -> Option<Result<OwnerPart, Status>> {
        use tokio_stream::StreamExt as _;
        match self {
            Self::Peer(stream) => stream.message().await.transpose(),
            Self::Ourselves(stream) => stream.next().await,
        }
    }
}
