//! The owner's side: judges a signed request, and streams the record if policy permits it.
//!
//! Refused and unknown take the same steps and give the same bytes. Request and grant are durable in the audit log before
//! the first byte of the record leaves, the completion before it is sent. Content goes from the adapter to the wire and
//! is never kept.

mod acknowledged;
mod error;
mod judge;
mod look_up;
mod sources;
mod transfer;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use sundbro_ledger::ids::MemberName;
use sundbro_ledger::retrieval::{Grant, Request, Verified};
use sundbro_proto::federation::v1::RetrieveRecordResponse;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::ledger::v1::SignedMessage;
use sundbro_store::Store;
use sundbro_store::audit::{AuditRecord, Nonce};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

pub use error::{AcknowledgeError, ServeError};
pub use sources::{SourceSet, Sources};
pub use turns::MAX_RETRIEVALS_PER_MEMBER;

use self::judge::{Judged, Permitted};
use self::turns::{Turn, Turns};
use super::audit::{self, Story};
use super::parts::{PartSender, PartStream, parts};
use super::signer::ServiceSigner;
use super::{Interrupted, NowMillis, blocking};
use crate::charter_book::CharterBook;
use crate::policy::PolicyBook;
use crate::sight::retrieval::{Outcome, RetrievalCounts};
use crate::status::{self, Fault as _};

/// How long nonces are remembered: far longer than a request is fresh, so that a clock that is set back does not make
/// a used one good again.
const NONCES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often old nonces are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// What the owner's side works with.
pub struct OwnerContext {
    /// Signs grants and completions; names us.
    pub signer: Arc<ServiceSigner>,
    /// Our log, locators and audit log.
    pub store: Arc<Store>,
    /// The charter in force.
    pub charter: Arc<CharterBook>,
    /// Who may read what.
    pub policy: Arc<PolicyBook>,
    /// The local systems.
    pub sources: Arc<dyn Sources>,
    /// The wall clock.
    pub now_millis: NowMillis,
}

/// One record on its way: a grant, data, a completion; or a status.
pub type RecordStream = PartStream<Result<RetrieveRecordResponse, Status>>;

/// Serves our records.
pub struct Owner {
    context: OwnerContext,
    transfers: TaskTracker,
    turns: Arc<Turns>,
    counts: RetrievalCounts,
}

impl Owner {
    /// Nothing runs before the first request.
    pub fn new(context: OwnerContext) -> Arc<Self> {
        Arc::new(Self {
            context,
            transfers: TaskTracker::new(),
            turns: Turns::new(MAX_RETRIEVALS_PER_MEMBER),
            counts: RetrievalCounts::of_owner(),
        })
    }

    /// Judges the request of `peer`, the member at the other end of the connection, and answers it.
    ///
    /// # Errors
    /// When there is nothing to stream. A refusal is no error here: it is a stream of one grant and a status.
    pub async fn retrieve(
        self: &Arc<Self>,
        peer: &MemberName,
        request: SignedMessage,
    ) -> Result<RecordStream, ServeError> {
        let answer = self.answer(peer, request).await;
        if let Err(error) = &answer {
            self.counts.ended_because(Outcome::Failed, error.reason());
        }
        answer
    }

    async fn answer(
        self: &Arc<Self>,
        peer: &MemberName,
        request: SignedMessage,
    ) -> Result<RecordStream, ServeError> {
        let turn = self.turn_of(peer)?;
        let (owner, peer) = (self.clone(), peer.clone());
        // In a task of its own: a caller that goes away now must not leave a grant behind that has no end, nor get its turn
        // back while its work goes on.
        let answering = self.transfers.spawn(async move {
            let judging = owner.clone();
            match blocking(move || judging.judge(&peer, &request)).await?? {
                Judged::Refused { grant } => {
                    owner.counts.ended(Outcome::Refused);
                    Ok(refusal(&grant))
                }
                Judged::Permitted(permitted) => owner.serve(*permitted, turn).await,
            }
        });
        answering.await.map_err(|_| Interrupted)?
    }

    /// Our own systems are not counted: their own connections are their limit.
    fn turn_of(&self, peer: &MemberName) -> Result<Option<Arc<Turn>>, ServeError> {
        if peer == self.member() {
            return Ok(None);
        }
        let turn = self.turns.take(peer).ok_or(ServeError::TooMany(MAX_RETRIEVALS_PER_MEMBER))?;
        Ok(Some(Arc::new(turn)))
    }

    /// How requests ended.
    pub fn counts(&self) -> &RetrievalCounts {
        &self.counts
    }

    /// Takes the requester's acknowledgement. The same one again changes nothing. It takes a turn: it costs as much to
    /// judge as a request.
    ///
    /// # Errors
    /// [`AcknowledgeError`]; nothing was written.
    pub async fn acknowledge(
        self: &Arc<Self>,
        peer: &MemberName,
        acknowledgement: SignedMessage,
    ) -> Result<(), AcknowledgeError> {
        let turn = self.turn_of(peer).map_err(|_| AcknowledgeError::TooMany)?;
        let (owner, peer) = (self.clone(), peer.clone());
        let recording = move || {
            let _turn = turn;
            owner.record_acknowledgement(&peer, &acknowledgement)
        };
        blocking(recording).await?
    }

    /// Forgets old nonces now and then, until `stop`; then waits for transfers that have begun.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(FORGET_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            let owner = self.clone();
            let forgotten = blocking(move || {
                let kept = i64::try_from(NONCES_KEPT.as_secs()).unwrap_or(i64::MAX);
                owner.context.store.forget_nonces((owner.now_millis() / 1000).saturating_sub(kept))
            });
            if let Ok(Err(error)) = forgotten.await {
                tracing::warn!(error = status::chain(&error), "old nonces are not forgotten");
            }
        }
        self.transfers.close();
        self.transfers.wait().await;
    }

    /// Opens the source, makes the grant durable, and starts the transfer. Never dropped half-way: see `answer`.
    async fn serve(
        self: &Arc<Self>,
        mut permitted: Permitted,
        turn: Option<Arc<Turn>>,
    ) -> Result<RecordStream, ServeError> {
        let opened = self.open(&mut permitted).await;
        let (to, stream) = record_stream();
        // Source and reader each hold the turn: a record that waits to be read takes memory when it is all sent.
        let stream = stream.keeping(turn.clone());
        let owner = self.clone();
        let granting = move || match opened {
            Ok(content) => Ok((owner.grant(&permitted)?, permitted, content)),
            Err(error) => owner.not_served(&permitted, error),
        };
        let (grant, permitted, content) = blocking(granting).await??;
        // From here request and grant survive a crash, so data may leave.
        let transfer = transfer::Transfer::new(self.clone(), permitted, grant, to);
        self.transfers.spawn(async move {
            let _turn = turn;
            transfer.run(content).await;
        });
        Ok(stream)
    }

    /// Makes entries durable together with the request's nonce. They are written once, or not at all.
    fn audit_once(
        &self,
        request: &Verified<Request>,
        records: &[AuditRecord],
    ) -> Result<(), ServeError> {
        let body = request.body();
        let written = self.context.store.audit_append_once(
            body.requester.as_str(),
            &body.nonce,
            body.requested_unix_seconds,
            records,
        );
        match written.map_err(ServeError::Audit)? {
            Nonce::Fresh => Ok(()),
            Nonce::Used => Err(ServeError::NonceUsed),
        }
    }

    /// Writes that a permitted record could not be served, and gives back why.
    fn not_served<T>(&self, permitted: &Permitted, error: ServeError) -> Result<T, ServeError> {
        let now = self.now_millis();
        let story = &permitted.story;
        let received = story.message(audit::REQUEST_RECEIVED, now, &permitted.request);
        let kind = error.reason().code;
        let ended = story.decided(kind, now, &permitted.decision.rule, true);
        self.audit_once(&permitted.request, &[received, ended])?;
        Err(error)
    }

    fn story(&self, request: &Request) -> Story {
        Story::new(request, &request.requester)
    }

    fn member(&self) -> &MemberName {
        self.context.signer.member()
    }

    fn now_millis(&self) -> i64 {
        (self.context.now_millis)()
    }
}

/// What is sent to it becomes the answer.
fn record_stream() -> (PartSender<Result<RetrieveRecordResponse, Status>>, RecordStream) {
    parts(|| Err(status::of(&ServeError::from(Interrupted))))
}

fn refusal(grant: &Verified<Grant>) -> RecordStream {
    let (to, stream) = record_stream();
    let grant = RetrieveRecordResponse { part: Some(Part::Grant(grant.to_wire())) };
    to.end(vec![Ok(grant), Err(status::not_available())]);
    stream
}
