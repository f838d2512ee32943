//! Receives one answer: grant, data, completion, each checked before the next is believed.
//!
//! Data goes on to the local client as it comes; only the end says whether it was a document. Grant before the first
//! byte, completion and acknowledgement before the OK: each is durable in our audit log by then.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::ids::ContentDigest;
use sundbro_ledger::receipt::{self, ReceiptParts};
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Completion, CompletionStatus, Grant, Judging,
    Permission, RegistrationError, Request, Verified, check_registration, verify_completion,
    verify_grant,
};
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::ledger::v1::{Receipt, SignedMessage};
use sundbro_store::audit::PendingAcknowledgement;
use sundbro_store::index::RecordPointer;
use tokio::time::timeout;

use super::super::audit::{self, with_message};
use super::super::parts::PartSender;
use super::super::{FRAME_TIMEOUT, MAX_DATA_BYTES, blocking};
use super::{Answer, Received, Requester, RetrieveError, story};
use crate::sight::retrieval::Outcome;

pub(super) struct Receiving {
    requester: Arc<Requester>,
    pointer: RecordPointer,
    request: Verified<Request>,
    to: PartSender<Result<Received, RetrieveError>>,
    received: u64,
    hash: Sha256,
}

impl Receiving {
    pub(super) fn new(
        requester: Arc<Requester>,
        pointer: RecordPointer,
        request: Verified<Request>,
        to: PartSender<Result<Received, RetrieveError>>,
    ) -> Self {
        Self { requester, pointer, request, to, received: 0, hash: Sha256::new() }
    }

    pub(super) async fn run(mut self, mut answer: Answer) {
        let last = match self.receive(&mut answer).await {
            Ok(receipt) => {
                self.requester.counts.ended(Outcome::Completed);
                Ok(Received::Receipt(Box::new(receipt)))
            }
            Err(error) => {
                self.requester.count(&error);
                Err(error)
            }
        };
        // A client that only stalled reads this after everything that waits for it.
        self.to.end(vec![last]);
    }

    async fn receive(&mut self, answer: &mut Answer) -> Result<Receipt, RetrieveError> {
        let grant = match self.grant(answer).await {
            Ok(grant) => grant,
            Err(error) => return Err(self.failed(error).await),
        };
        let Some(permission) = grant.body().permission().cloned() else {
            return Err(self.refused(answer).await);
        };
        self.send(Received::Header {
            size: permission.expected_size_bytes,
            sha256: *permission.expected_sha256.as_bytes(),
            media_type: self.media_type(),
        })
        .await?;
        let (completion, trouble) = match self.content(answer, &permission).await {
            Ok(completion) => (completion, None),
            Err(Cut { completion: Some(completion), error }) => (completion, Some(error)),
            Err(Cut { completion: None, error }) => return Err(self.failed(error).await),
        };
        self.finish(grant, completion, trouble).await
    }

    /// Takes the first part, checks it and makes it durable.
    async fn grant(&self, answer: &mut Answer) -> Result<Verified<Grant>, RetrieveError> {
        let Some(Part::Grant(wire)) = self.part(answer).await? else {
            return Err(self.breach("the first part is no grant"));
        };
        let (requester, request, pointer) =
            (self.requester.clone(), self.request.clone(), self.pointer.clone());
        blocking(move || requester.check_grant(&wire, &request, &pointer)).await?
    }

    /// Passes data on until the completion, and compares both with the grant.
    async fn content(
        &mut self,
        answer: &mut Answer,
        permission: &Permission,
    ) -> Result<SignedMessage, Cut> {
        let size = permission.expected_size_bytes;
        loop {
            match self.part(answer).await.map_err(Cut::from)? {
                Some(Part::Data(data)) => {
                    if data.len() > MAX_DATA_BYTES {
                        return Err(self.breach("a part is longer than 262,144 bytes").into());
                    }
                    self.received = self.received.saturating_add(data.len() as u64);
                    if self.received > size {
                        return Err(self.mismatch().into());
                    }
                    self.hash.update(&data);
                    self.send(Received::Data(data)).await?;
                }
                Some(Part::Completion(wire)) => {
                    let same = self.received == size && self.digest() == permission.expected_sha256;
                    if same {
                        return Ok(wire);
                    }
                    // The owner's next word says why, if it knows.
                    let error = match self.part(answer).await {
                        Err(error @ RetrieveError::Owner(_)) => error,
                        _ => self.mismatch(),
                    };
                    return Err(Cut { completion: Some(wire), error });
                }
                Some(Part::Grant(_)) => return Err(self.breach("a second grant came").into()),
                None => return Err(self.breach("no completion came").into()),
            }
        }
    }

    /// Makes completion and acknowledgement durable, and has the latter sent.
    async fn finish(
        &self,
        grant: Verified<Grant>,
        completion: SignedMessage,
        trouble: Option<RetrieveError>,
    ) -> Result<Receipt, RetrieveError> {
        let (requester, request, pointer) =
            (self.requester.clone(), self.request.clone(), self.pointer.clone());
        let matching = trouble.is_none();
        let receipt =
            blocking(move || requester.finish(&request, &grant, &completion, &pointer, matching))
                .await??;
        // From here completion and acknowledgement survive a crash, so the client may hear OK.
        self.requester.context.acknowledgements.wake();
        match trouble {
            None => Ok(receipt),
            Some(error) => Err(error),
        }
    }

    /// The refusal is in the audit log by now; what follows it is a status.
    async fn refused(&self, answer: &mut Answer) -> RetrieveError {
        match self.part(answer).await {
            Err(error @ RetrieveError::Owner(_)) => error,
            _ => RetrieveError::refused(self.request.body().owner.clone()),
        }
    }

    /// Notes that nothing usable came, and gives the error back; that it could not be noted is worse.
    async fn failed(&self, error: RetrieveError) -> RetrieveError {
        match self.requester.not_received(&self.request).await {
            Ok(()) => error,
            Err(worse) => worse,
        }
    }

    async fn part(&self, answer: &mut Answer) -> Result<Option<Part>, RetrieveError> {
        let owner = &self.request.body().owner;
        match timeout(FRAME_TIMEOUT, answer.next()).await {
            Err(_) => Err(RetrieveError::Silent(owner.clone())),
            Ok(Some(Err(status))) => Err(RetrieveError::of_owner(owner, &status)),
            Ok(Some(Ok(message))) => match message.part {
                Some(part) => Ok(Some(part)),
                None => Err(self.breach("a part is empty")),
            },
            Ok(None) => Ok(None),
        }
    }

    async fn send(&self, part: Received) -> Result<(), RetrieveError> {
        self.to.send(Ok(part)).await.map_err(|_| RetrieveError::ClientGone)
    }

    fn media_type(&self) -> String {
        self.pointer.detail.as_ref().map_or_else(String::new, |detail| detail.media_type.clone())
    }

    fn digest(&self) -> ContentDigest {
        ContentDigest::new(self.hash.clone().finalize().into())
    }

    fn breach(&self, problem: &'static str) -> RetrieveError {
        RetrieveError::Protocol { owner: self.request.body().owner.clone(), problem }
    }

    fn mismatch(&self) -> RetrieveError {
        RetrieveError::DigestMismatch(self.request.body().owner.clone())
    }
}

/// Content that is not a document, and the owner's completion if one came.
struct Cut {
    completion: Option<SignedMessage>,
    error: RetrieveError,
}

impl From<RetrieveError> for Cut {
    fn from(error: RetrieveError) -> Self {
        Self { completion: None, error }
    }
}

impl Requester {
    /// Blocking.
    fn check_grant(
        &self,
        wire: &SignedMessage,
        request: &Verified<Request>,
        pointer: &RecordPointer,
    ) -> Result<Verified<Grant>, RetrieveError> {
        let owner = &request.body().owner;
        let history = self.context.charter.history();
        let grant = verify_grant(wire, request, &history, Judging::Live)
            .map_err(|error| RetrieveError::Answer(owner.clone(), error))?;
        let now = self.now_millis();
        let story = story(request);
        let entry = match grant.body().permission() {
            None => story.decided(audit::REFUSED, now, "", false),
            Some(permission) => {
                self.is_registered(permission, request, pointer)?;
                story.decided(audit::GRANTED, now, &permission.rule, true)
            }
        };
        let entry = with_message(entry, &grant);
        self.context.store.audit_append(&[entry]).map_err(RetrieveError::Audit)?;
        Ok(grant)
    }

    /// Compares what the owner grants with what its log registered, as far as we hold it.
    fn is_registered(
        &self,
        permission: &Permission,
        request: &Verified<Request>,
        pointer: &RecordPointer,
    ) -> Result<(), RetrieveError> {
        let owner = &request.body().owner;
        let transaction = permission.transaction();
        let transaction =
            transaction.map_err(|error| RetrieveError::Answer(owner.clone(), error))?;
        if transaction.leaf() != pointer.leaf {
            return Err(RetrieveError::OtherRegistration(owner.clone()));
        }
        let (payload, detail) = self.blobs(pointer)?;
        let shown =
            check_registration(request.body(), permission, payload.as_ref(), detail.as_ref());
        match shown {
            Ok(_) => Ok(()),
            Err(RegistrationError::OtherContent) => {
                Err(RetrieveError::DigestMismatch(owner.clone()))
            }
            Err(_) => Err(RetrieveError::OtherRegistration(owner.clone())),
        }
    }

    /// The payload's and the detail's blob, as far as they are here; a detail never without its payload.
    fn blobs(
        &self,
        pointer: &RecordPointer,
    ) -> Result<(Option<Bytes>, Option<Bytes>), RetrieveError> {
        let blob = |commitment| self.context.store.blob(commitment).map_err(RetrieveError::Store);
        let Some(payload) = blob(&pointer.payload)? else { return Ok((None, None)) };
        Ok((Some(payload), blob(&pointer.detail_commitment)?))
    }

    /// Blocking.
    fn finish(
        &self,
        request: &Verified<Request>,
        grant: &Verified<Grant>,
        completion: &SignedMessage,
        pointer: &RecordPointer,
        matching: bool,
    ) -> Result<Receipt, RetrieveError> {
        let owner = &request.body().owner;
        let history = self.context.charter.history();
        let completion = verify_completion(completion, request, grant, &history, Judging::Live)
            .map_err(|error| RetrieveError::Answer(owner.clone(), error))?;
        let complete = completion.body().status == CompletionStatus::Complete;
        if matching && !complete {
            return Err(RetrieveError::Protocol {
                owner: owner.clone(),
                problem: "the completion says ABORTED after everything came",
            });
        }
        let acknowledgement = self.acknowledgement(&completion, matching)?;
        let now = self.now_millis();
        let story = story(request);
        let kind = if complete { audit::COMPLETED } else { audit::ABORTED };
        let records = [
            story.message(kind, now, &completion),
            story.message(audit::ACKNOWLEDGED, now, &acknowledgement),
        ];
        let pending = PendingAcknowledgement {
            completion: completion.digest(),
            owner: owner.to_string(),
            message: prost::Message::encode_to_vec(&acknowledgement.to_wire()),
            unix_seconds: now.div_euclid(1000),
        };
        let queued = self.context.store.queue_acknowledgement(&pending, &records);
        queued.map_err(RetrieveError::Audit)?;
        let (payload_blob, detail_blob) = self.blobs(pointer)?;
        let parts = ReceiptParts {
            request: request.to_wire(),
            grant: grant.to_wire(),
            completion: Some(completion.to_wire()),
            acknowledgement: Some(acknowledgement.to_wire()),
            payload_blob,
            detail_blob,
        };
        receipt::assemble(&history, &parts).map_err(RetrieveError::Receipt)
    }

    fn acknowledgement(
        &self,
        completion: &Verified<Completion>,
        matching: bool,
    ) -> Result<Verified<Acknowledgement>, RetrieveError> {
        let status = match matching {
            true => AcknowledgementStatus::Matching,
            false => AcknowledgementStatus::Mismatch,
        };
        let signed = self.context.signer.sign(|charter_version, key_id| Acknowledgement {
            completion: completion.digest(),
            status,
            charter_version,
            key_id,
        });
        Ok(signed?)
    }
}
