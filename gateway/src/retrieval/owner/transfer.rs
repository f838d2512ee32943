//! Streams one permitted record: grant, data straight from the adapter, completion.
//!
//! Size and digest are taken while it streams. The completion is durable in the audit log before it is sent; an
//! unfinished transfer leaves one that says ABORTED.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use sundbro_adapters::adapter::{Content, ReadError};
use sundbro_ledger::ids::ContentDigest;
use sundbro_ledger::retrieval::{Completion, CompletionStatus, Grant, Verified};
use sundbro_proto::federation::v1::RetrieveRecordResponse;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use tokio::time::timeout;
use tonic::Status;

use super::super::parts::PartSender;
use super::super::{FRAME_TIMEOUT, MAX_DATA_BYTES, audit, blocking};
use super::judge::Permitted;
use super::{Owner, ServeError};
use crate::sight::retrieval::Outcome;
use crate::status::{self, Fault as _};

pub(super) struct Transfer {
    owner: Arc<Owner>,
    permitted: Permitted,
    grant: Verified<Grant>,
    to: PartSender<Result<RetrieveRecordResponse, Status>>,
    sent: u64,
    hash: Sha256,
}

impl Transfer {
    pub(super) fn new(
        owner: Arc<Owner>,
        permitted: Permitted,
        grant: Verified<Grant>,
        to: PartSender<Result<RetrieveRecordResponse, Status>>,
    ) -> Self {
        Self { owner, permitted, grant, to, sent: 0, hash: Sha256::new() }
    }

    pub(super) async fn run(mut self, content: Content) {
        let cut = self.copy(content).await.err();
        let counts = self.owner.counts.clone();
        match &cut {
            None => counts.ended(Outcome::Completed),
            Some(error) => counts.ended_because(Outcome::Aborted, error.reason()),
        }
        let status = match cut {
            None => CompletionStatus::Complete,
            Some(_) => CompletionStatus::Aborted,
        };
        let completed = blocking(move || (self.complete(status), self.to)).await;
        // Work that was interrupted took the sender with it: the stream says that it broke off.
        let Ok((completion, to)) = completed else { return };
        match (completion, cut) {
            // What is not in the audit log is not said.
            (Err(error), _) => to.end(vec![Err(status::of(&error))]),
            (Ok(completion), None) => to.end(vec![Ok(said(&completion))]),
            // A requester that stalled reads this too when it comes back.
            (Ok(completion), Some(error)) => {
                to.end(vec![Ok(said(&completion)), Err(status::of(&error))]);
            }
        }
    }

    /// Sends grant and data. Ends without an error only if every byte was sent and all were what was registered.
    async fn copy(&mut self, mut content: Content) -> Result<(), ServeError> {
        self.send(Part::Grant(self.grant.to_wire())).await?;
        let Some((size, sha256)) = self.permitted.expected() else {
            return Err(ServeError::SourceUnavailable);
        };
        loop {
            let next = timeout(FRAME_TIMEOUT, content.stream.next()).await;
            let next = next.map_err(|_| ServeError::SourceUnavailable)?;
            let mut piece = match next {
                None => break,
                Some(Ok(piece)) => piece,
                Some(Err(ReadError::Changed)) => {
                    return Err(ServeError::DigestMismatch);
                }
                Some(Err(_)) => return Err(ServeError::SourceUnavailable),
            };
            // Never more than was registered: what comes after it is not the record.
            if self.sent.saturating_add(piece.len() as u64) > size {
                return Err(ServeError::DigestMismatch);
            }
            while !piece.is_empty() {
                let frame = piece.split_to(piece.len().min(MAX_DATA_BYTES));
                self.send_data(frame).await?;
            }
        }
        let same = self.sent == size && digest(&self.hash) == sha256;
        if same { Ok(()) } else { Err(ServeError::DigestMismatch) }
    }

    async fn send_data(&mut self, frame: Bytes) -> Result<(), ServeError> {
        self.send(Part::Data(frame.clone())).await?;
        self.sent += frame.len() as u64;
        self.hash.update(&frame);
        Ok(())
    }

    async fn send(&self, part: Part) -> Result<(), ServeError> {
        let sent = self.to.send(Ok(RetrieveRecordResponse { part: Some(part) })).await;
        sent.map_err(|_| ServeError::NotTaken)
    }

    /// Signs the completion and makes it durable. Blocking.
    fn complete(&self, status: CompletionStatus) -> Result<Verified<Completion>, ServeError> {
        let completion = self.owner.context.signer.sign(|charter_version, key_id| Completion {
            grant: self.grant.digest(),
            bytes_sent: self.sent,
            content_sha256: digest(&self.hash),
            status,
            charter_version,
            key_id,
        })?;
        let kind = match status {
            CompletionStatus::Complete => audit::COMPLETED,
            CompletionStatus::Aborted => audit::ABORTED,
        };
        let record = self.permitted.story.message(kind, self.owner.now_millis(), &completion);
        self.owner.context.store.audit_append(&[record]).map_err(ServeError::Audit)?;
        Ok(completion)
    }
}

fn said(completion: &Verified<Completion>) -> RetrieveRecordResponse {
    RetrieveRecordResponse { part: Some(Part::Completion(completion.to_wire())) }
}

fn digest(hash: &Sha256) -> ContentDigest {
    ContentDigest::new(hash.clone().finalize().into())
}
