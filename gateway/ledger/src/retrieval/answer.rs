//! What both sides say at the end: what the owner sent, and what the requester received.

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::{
    FORMAT, Grant, HistoryBook, Judging, Message, Request, RetrievalError, SignerBook, Verified,
    broken, check_common,
};
use crate::canonical;
use crate::fields::{array, closed_enum, field};
use crate::history::CharterHistory;
use crate::ids::{ContentDigest, MessageDigest};
use crate::signing::Purpose;

/// Longest completion or acknowledgement in bytes: digests and numbers.
const MAX_ANSWER_LEN: usize = 256;

const COMPLETION: &str = Purpose::Completion.name();
const ACKNOWLEDGEMENT: &str = Purpose::Acknowledgement.name();

closed_enum! {
    /// How a transfer ended at the owner.
    CompletionStatus {
        /// Everything was sent, with the registered size and digest.
        Complete = 1,
        /// It was not: the source failed or differed.
        Aborted = 2,
    }
}

closed_enum! {
    /// What the requester found.
    AcknowledgementStatus {
        /// Size and digest match.
        Matching = 1,
        /// They do not.
        Mismatch = 2,
    }
}

/// The owner's word on what it sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The grant under which it was sent.
    pub grant: MessageDigest,
    /// How many bytes were sent.
    pub bytes_sent: u64,
    /// SHA-256 of the bytes that were sent.
    pub content_sha256: ContentDigest,
    /// Whether that was all.
    pub status: CompletionStatus,
    /// Charter version by which the key is judged.
    pub charter_version: u64,
    /// The owner's SERVICE key.
    pub key_id: u32,
}

/// The requester's word on what it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The completion that it answers.
    pub completion: MessageDigest,
    /// Whether what was received has the size and digest of grant and completion.
    pub status: AcknowledgementStatus,
    /// Charter version by which the key is judged.
    pub charter_version: u64,
    /// The requester's SERVICE key.
    pub key_id: u32,
}

impl Message for Completion {
    const PURPOSE: Purpose = Purpose::Completion;

    fn parse(bytes: &[u8]) -> Result<Self, RetrievalError> {
        let wire: v1::RetrievalCompletion = canonical::decode(bytes, MAX_ANSWER_LEN)
            .map_err(|source| RetrievalError::Canonical { message: COMPLETION, source })?;
        check_common(COMPLETION, wire.format, (wire.charter_version, wire.key_id))?;
        let wrong = |field| broken(COMPLETION, field);
        Ok(Self {
            grant: array(&wire.grant_sha256)
                .map(MessageDigest::new)
                .ok_or(wrong("the digest of the grant is not 32 bytes"))?,
            bytes_sent: wire.bytes_sent,
            content_sha256: array(&wire.content_sha256)
                .map(ContentDigest::new)
                .ok_or(wrong("the digest of the content is not 32 bytes"))?,
            status: CompletionStatus::from_wire(wire.status)
                .ok_or(wrong("the status is unspecified or unknown"))?,
            charter_version: wire.charter_version,
            key_id: wire.key_id,
        })
    }

    fn to_bytes(&self) -> Bytes {
        canonical::encode(&v1::RetrievalCompletion {
            format: FORMAT,
            grant_sha256: field(self.grant.as_bytes()),
            bytes_sent: self.bytes_sent,
            content_sha256: field(self.content_sha256.as_bytes()),
            status: self.status.to_wire(),
            charter_version: self.charter_version,
            key_id: self.key_id,
        })
        .into()
    }

    fn key(&self) -> (u64, u32) {
        (self.charter_version, self.key_id)
    }
}

impl Message for Acknowledgement {
    const PURPOSE: Purpose = Purpose::Acknowledgement;

    fn parse(bytes: &[u8]) -> Result<Self, RetrievalError> {
        let wire: v1::RetrievalAcknowledgement = canonical::decode(bytes, MAX_ANSWER_LEN)
            .map_err(|source| RetrievalError::Canonical { message: ACKNOWLEDGEMENT, source })?;
        check_common(ACKNOWLEDGEMENT, wire.format, (wire.charter_version, wire.key_id))?;
        let wrong = |field| broken(ACKNOWLEDGEMENT, field);
        Ok(Self {
            completion: array(&wire.completion_sha256)
                .map(MessageDigest::new)
                .ok_or(wrong("the digest of the completion is not 32 bytes"))?,
            status: AcknowledgementStatus::from_wire(wire.status)
                .ok_or(wrong("the status is unspecified or unknown"))?,
            charter_version: wire.charter_version,
            key_id: wire.key_id,
        })
    }

    fn to_bytes(&self) -> Bytes {
        canonical::encode(&v1::RetrievalAcknowledgement {
            format: FORMAT,
            completion_sha256: field(self.completion.as_bytes()),
            status: self.status.to_wire(),
            charter_version: self.charter_version,
            key_id: self.key_id,
        })
        .into()
    }

    fn key(&self) -> (u64, u32) {
        (self.charter_version, self.key_id)
    }
}

/// Checks a completion: that the owner signed it, that it answers this grant, and that COMPLETE means what was granted.
///
/// # Errors
/// Fails with the first rule that is broken.
pub fn verify_completion(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    grant: &Verified<Grant>,
    history: &CharterHistory,
    judging: Judging,
) -> Result<Verified<Completion>, RetrievalError> {
    check_completion(wire, request, grant, &mut HistoryBook { history, judging })
}

pub(crate) fn check_completion(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    grant: &Verified<Grant>,
    book: &mut impl SignerBook,
) -> Result<Verified<Completion>, RetrievalError> {
    let Some(permission) = grant.body().permission() else {
        return Err(RetrievalError::AfterRefusal { message: COMPLETION });
    };
    let owner = request.body().owner.clone();
    let completion = Verified::check(wire, |_: &Completion| owner, book)?;
    let said = completion.body();
    if said.grant != grant.digest() {
        return Err(RetrievalError::OtherMessage { message: COMPLETION });
    }
    let as_granted = said.bytes_sent == permission.expected_size_bytes
        && said.content_sha256 == permission.expected_sha256;
    if said.status == CompletionStatus::Complete && !as_granted {
        return Err(RetrievalError::CompletionContradictsGrant);
    }
    Ok(completion)
}

/// Checks an acknowledgement: that the requester signed it and that it answers this completion.
///
/// # Errors
/// Fails with the first rule that is broken.
pub fn verify_acknowledgement(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    completion: &Verified<Completion>,
    history: &CharterHistory,
    judging: Judging,
) -> Result<Verified<Acknowledgement>, RetrievalError> {
    check_acknowledgement(wire, request, completion, &mut HistoryBook { history, judging })
}

pub(crate) fn check_acknowledgement(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    completion: &Verified<Completion>,
    book: &mut impl SignerBook,
) -> Result<Verified<Acknowledgement>, RetrievalError> {
    let requester = request.body().requester.clone();
    let acknowledgement = Verified::check(wire, |_: &Acknowledgement| requester, book)?;
    let said = acknowledgement.body();
    if said.completion != completion.digest() {
        return Err(RetrievalError::OtherMessage { message: ACKNOWLEDGEMENT });
    }
    let aborted = completion.body().status == CompletionStatus::Aborted;
    if aborted && said.status == AcknowledgementStatus::Matching {
        return Err(RetrievalError::AcknowledgementContradictsCompletion);
    }
    Ok(acknowledgement)
}
