//! Receipts: everything that an outsider needs, beside the federation id, to check one retrieval.
//!
//! [`assemble()`] puts one together from a gateway's charter and audit log; [`verify`] checks it offline, without
//! trusting whoever wrote it. Why an id has to come from elsewhere: a forged federation is perfect in itself.
//!
//! A receipt shows a revoked key only if it carries a charter version that revokes it, and of the newest version that it
//! carries it must show both members. Whoever hands on an old receipt can leave newer versions out. Its time is proved by inclusion in an anchored audit log, not by the receipt.

mod assemble;

use bytes::Bytes;
use prost::Message as _;
use sundbro_proto::ledger::v1;

pub use self::assemble::{ReceiptParts, assemble};
use crate::book::{BookError, CharterBook, check_counts};
pub use crate::book::{MAX_HEADS as MAX_RECEIPT_HEADS, RevokedKey};
use crate::ids::FederationId;
use crate::retrieval::{
    Acknowledgement, AcknowledgementStatus, Completion, CompletionStatus, Grant, RegistrationError,
    RegistrationShown, Request, RetrievalError, Verified, check_acknowledgement, check_completion,
    check_grant, check_registration, check_request,
};

/// Longest receipt in bytes: thousands of charter heads of a usual size.
pub const MAX_RECEIPT_LEN: usize = 16 << 20;

/// The only format of receipts.
const FORMAT: u32 = 1;

/// Why a file is not a receipt of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// More than 16 MiB.
    #[error("the receipt is longer than 16 MiB")]
    TooLong,
    /// Not protobuf.
    #[error("the file is not a receipt")]
    NotAReceipt,
    /// Another encoding than the one that we write: fields that no reader sees, or parts in another order.
    #[error("the receipt is not in the one encoding that receipts have: it was changed on its way")]
    NotCanonical,
    /// A format that this version does not know.
    #[error("the receipt has format {format}, this software reads format 1: upgrade it")]
    Format {
        /// The format.
        format: u32,
    },
    /// The charter heads or member entries in it break a rule.
    #[error("the charter in the receipt does not hold")]
    Book(#[from] BookError),
    /// The receipt is of another federation than the one expected. Perfect in itself, and worth nothing.
    #[error("the receipt is of federation {found}, not {expected}: it proves nothing here")]
    OtherFederation {
        /// The one expected.
        expected: FederationId,
        /// The one found.
        found: FederationId,
    },
    /// One of the messages that must be there is not.
    #[error("the receipt has no {0}")]
    Missing(&'static str),
    /// Something follows a refusal, an absent completion, or a message that should not be there.
    #[error("the receipt has a {0}, which must not be there")]
    Unexpected(&'static str),
    /// A message breaks a rule.
    #[error("a message in the receipt is not valid")]
    Retrieval(#[from] RetrievalError),
    /// A blob contradicts the grant.
    #[error("the blobs in the receipt contradict it")]
    Registration(#[from] RegistrationError),
}

/// How a retrieval ended, by the messages in its receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both sides say that the registered bytes were sent and received.
    Complete,
    /// The owner says that it sent them; the requester's word is not there.
    OneSided,
    /// The owner says that it did not send them all.
    Aborted,
    /// The owner says that it sent them, the requester that it received something else.
    Disputed,
    /// The owner refused.
    Refused,
    /// The owner granted; there is no completion.
    Unfinished,
}

/// The one word that says what a receipt is worth. The worst that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictKind {
    /// No federation id was expected: it may be of a forged federation.
    Unpinned,
    /// A key that signed was revoked since: without another proof of time, whoever has the key could have made this.
    KeySinceRevoked,
    /// The owner refused. Nothing is missing.
    Refused,
    /// The transfer did not end, or the two sides disagree, or the requester's word is missing.
    OneSided,
    /// The owner stopped, or said so.
    Aborted,
    /// The two sides disagree.
    Disputed,
    /// All is signed, and the blobs that show which record it was are not there.
    RecordNotShown,
    /// All is signed and shown.
    Complete,
}

impl VerdictKind {
    /// Constant that names the verdict.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unpinned => "UNPINNED",
            Self::KeySinceRevoked => "KEY_SINCE_REVOKED",
            Self::Refused => "REFUSED",
            Self::OneSided => "ONE_SIDED",
            Self::Aborted => "ABORTED",
            Self::Disputed => "DISPUTED",
            Self::RecordNotShown => "RECORD_NOT_SHOWN",
            Self::Complete => "COMPLETE",
        }
    }
}

/// What a valid receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The federation that it is of.
    pub federation: FederationId,
    /// Whether the caller expected that federation.
    pub pinned: bool,
    /// The newest charter version in it.
    pub newest_charter_version: u64,
    /// How the retrieval ended.
    pub outcome: Outcome,
    /// Who asked whom for what, when and why.
    pub request: Request,
    /// What the owner decided.
    pub grant: Grant,
    /// What the owner says that it sent.
    pub completion: Option<Completion>,
    /// What the requester says that it received.
    pub acknowledgement: Option<Acknowledgement>,
    /// What the blobs show. After a refusal there is nothing to show.
    pub shown: RegistrationShown,
    /// Keys revoked since, as far as the receipt itself shows.
    pub revoked: Vec<RevokedKey>,
}

impl Verdict {
    /// The worst that holds.
    pub fn kind(&self) -> VerdictKind {
        if !self.pinned {
            return VerdictKind::Unpinned;
        }
        if !self.revoked.is_empty() {
            return VerdictKind::KeySinceRevoked;
        }
        match self.outcome {
            Outcome::Refused => VerdictKind::Refused,
            Outcome::OneSided | Outcome::Unfinished => VerdictKind::OneSided,
            Outcome::Aborted => VerdictKind::Aborted,
            Outcome::Disputed => VerdictKind::Disputed,
            Outcome::Complete if self.shown.record && self.shown.content => VerdictKind::Complete,
            Outcome::Complete => VerdictKind::RecordNotShown,
        }
    }
}

/// Checks a receipt file.
///
/// # Errors
/// As [`verify`], and when it is too long, holds too much, or is no receipt.
pub fn verify_bytes(
    bytes: &[u8],
    expected: Option<&FederationId>,
) -> Result<Verdict, ReceiptError> {
    if bytes.len() > MAX_RECEIPT_LEN {
        return Err(ReceiptError::TooLong);
    }
    check_counts(bytes).map_err(|error| match error {
        BookError::NotAFile => ReceiptError::NotAReceipt,
        error => error.into(),
    })?;
    let receipt = v1::Receipt::decode(bytes).map_err(|_| ReceiptError::NotAReceipt)?;
    // A later format may have fields that we do not know, and says so by its number.
    if receipt.format == FORMAT && receipt.encode_to_vec() != bytes {
        return Err(ReceiptError::NotCanonical);
    }
    verify(&receipt, expected)
}

/// Checks a receipt from the federation id alone: heads, their signatures, member entries, messages, entry, checkpoint,
/// and the blobs that are there. Without an expected id everything is checked against the id found, and the verdict is
/// [`VerdictKind::Unpinned`].
///
/// # Errors
/// Fails with the first thing that does not hold.
pub fn verify(
    receipt: &v1::Receipt,
    expected: Option<&FederationId>,
) -> Result<Verdict, ReceiptError> {
    if receipt.format != FORMAT {
        return Err(ReceiptError::Format { format: receipt.format });
    }
    let mut book = CharterBook::read(&receipt.heads, &receipt.members)?;
    let found = crate::retrieval::SignerBook::federation_id(&book);
    if let Some(expected) = expected
        && *expected != found
    {
        return Err(ReceiptError::OtherFederation { expected: *expected, found });
    }
    let request = receipt.request.as_ref().ok_or(ReceiptError::Missing("request"))?;
    let request = check_request(request, &mut book)?;
    book.require_newest(&request.body().requester)?;
    book.require_newest(&request.body().owner)?;
    let grant = receipt.grant.as_ref().ok_or(ReceiptError::Missing("grant"))?;
    let grant = check_grant(grant, &request, &mut book)?;
    let shown = check_blobs(receipt, &request, &grant)?;
    let (completion, acknowledgement) = check_answers(receipt, &request, &grant, &mut book)?;
    let outcome = outcome(&grant, completion.as_ref(), acknowledgement.as_ref());
    Ok(Verdict {
        federation: found,
        pinned: expected.is_some(),
        newest_charter_version: book.newest_version(),
        outcome,
        request: request.body().clone(),
        grant: grant.body().clone(),
        completion: completion.map(|message| message.body().clone()),
        acknowledgement: acknowledgement.map(|message| message.body().clone()),
        shown,
        revoked: book.revoked,
    })
}

fn check_blobs(
    receipt: &v1::Receipt,
    request: &Verified<Request>,
    grant: &Verified<Grant>,
) -> Result<RegistrationShown, ReceiptError> {
    let there = |blob: &'_ Bytes| !blob.is_empty();
    let payload = Some(&receipt.payload_blob).filter(|blob| there(blob));
    let detail = Some(&receipt.detail_blob).filter(|blob| there(blob));
    match grant.body().permission() {
        Some(permission) => Ok(check_registration(request.body(), permission, payload, detail)?),
        // A refusal names no entry, so a blob beside it could be anybody's.
        None if payload.is_some() || detail.is_some() => {
            Err(ReceiptError::Unexpected("blob beside a refusal"))
        }
        None => Ok(RegistrationShown { record: false, content: false }),
    }
}

type Answers = (Option<Verified<Completion>>, Option<Verified<Acknowledgement>>);

fn check_answers(
    receipt: &v1::Receipt,
    request: &Verified<Request>,
    grant: &Verified<Grant>,
    book: &mut CharterBook,
) -> Result<Answers, ReceiptError> {
    let Some(completion) = &receipt.completion else {
        return match receipt.acknowledgement {
            None => Ok((None, None)),
            Some(_) => Err(ReceiptError::Unexpected("acknowledgement without a completion")),
        };
    };
    let completion = check_completion(completion, request, grant, book)?;
    let acknowledgement = match &receipt.acknowledgement {
        Some(wire) => Some(check_acknowledgement(wire, request, &completion, book)?),
        None => None,
    };
    Ok((Some(completion), acknowledgement))
}

fn outcome(
    grant: &Verified<Grant>,
    completion: Option<&Verified<Completion>>,
    acknowledgement: Option<&Verified<Acknowledgement>>,
) -> Outcome {
    if grant.body().permission().is_none() {
        return Outcome::Refused;
    }
    let Some(completion) = completion else { return Outcome::Unfinished };
    let acknowledged = acknowledgement.map(|message| message.body().status);
    match (completion.body().status, acknowledged) {
        (CompletionStatus::Aborted, _) => Outcome::Aborted,
        (CompletionStatus::Complete, None) => Outcome::OneSided,
        (CompletionStatus::Complete, Some(AcknowledgementStatus::Matching)) => Outcome::Complete,
        (CompletionStatus::Complete, Some(AcknowledgementStatus::Mismatch)) => Outcome::Disputed,
    }
}
