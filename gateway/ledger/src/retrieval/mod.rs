//! The four signed messages of one retrieval: request, grant or refusal, completion, acknowledgement.
//!
//! Each names the one before by digest. A [`Verified`] message is one whose bytes, signature, key and place in that
//! chain were judged; there is no other way to get one than to sign it or to verify it.

mod answer;
mod grant;
mod registration;
mod request;

use core::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_proto::ledger::v1;

pub use self::answer::{
    Acknowledgement, AcknowledgementStatus, Completion, CompletionStatus, verify_acknowledgement,
    verify_completion,
};
pub(crate) use self::answer::{check_acknowledgement, check_completion};
pub(crate) use self::grant::check_grant;
pub use self::grant::{Decision, Grant, Permission, verify_grant};
pub use self::registration::{RegistrationError, RegistrationShown, check_registration};
pub(crate) use self::request::check_request;
pub use self::request::{Assurance, BreakGlassReason, PurposeOfUse, Request, Unit, verify_request};
use crate::canonical::CanonicalError;
use crate::checkpoint::{CheckpointError, UnverifiedCheckpoint};
use crate::fields::field;
use crate::history::CharterHistory;
use crate::ids::{FederationId, LogId, MemberName, MessageDigest};
use crate::log::KeyVerdict;
use crate::merkle::ProofError;
use crate::signing::{Purpose, Signature, SigningKey, VerifyingKey};

/// The only format of retrieval messages.
pub(crate) const FORMAT: u32 = 1;

/// Why a retrieval message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetrievalError {
    /// Too long, or not the canonical encoding.
    #[error("the {message} is not canonical")]
    Canonical {
        /// Which message.
        message: &'static str,
        /// Why.
        source: CanonicalError,
    },
    /// A field breaks a rule.
    #[error("the {message} breaks a rule: {field}")]
    Field {
        /// Which message.
        message: &'static str,
        /// The field, and what it must be.
        field: &'static str,
    },
    /// We do not have the charter version that a message names, or it stands twice: fetch charters and try again.
    #[error("charter version {version} of the {message} is not here yet: fetch the newest charter")]
    Waiting {
        /// Which message.
        message: &'static str,
        /// The version.
        version: u64,
    },
    /// The key may not sign this.
    #[error("the key of the {message} may not sign it: {reason}")]
    Key {
        /// Which message.
        message: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// The signature does not verify.
    #[error("the signature of the {message} is wrong")]
    Signature {
        /// Which message.
        message: &'static str,
    },
    /// A message answers another one than ours.
    #[error("the {message} answers another message than the one before it")]
    OtherMessage {
        /// Which message.
        message: &'static str,
    },
    /// The entry in a grant stands in the log of another member than the owner.
    #[error("the entry of the grant does not stand in a log of the record's owner")]
    NotTheOwnersLog,
    /// The entry in a grant is not one.
    #[error("the entry of the grant cannot be read")]
    Entry,
    /// The entry is not in the tree of the checkpoint.
    #[error("the entry of the grant is not in the tree of its checkpoint")]
    NotIncluded(#[from] ProofError),
    /// The checkpoint is of another log, or not signed by it.
    #[error("the checkpoint of the grant is not one of the owner's log")]
    Checkpoint(#[from] CheckpointError),
    /// A completion says that all was sent, with another size or digest than the grant.
    #[error("the completion says COMPLETE but has another size or digest than the grant")]
    CompletionContradictsGrant,
    /// An acknowledgement says that all matches, after a completion that says that it does not.
    #[error("the acknowledgement says MATCHING after a completion that says ABORTED")]
    AcknowledgementContradictsCompletion,
    /// Something follows a refusal.
    #[error("the {message} follows a refusal, which nothing follows")]
    AfterRefusal {
        /// Which message.
        message: &'static str,
    },
}

/// One kind of retrieval message.
pub trait Message: Sized {
    /// What it is signed for.
    const PURPOSE: Purpose;

    /// Reads it from its canonical bytes and checks every rule that holds for it alone.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    fn parse(bytes: &[u8]) -> Result<Self, RetrievalError>;

    /// Its canonical bytes.
    fn to_bytes(&self) -> Bytes;

    /// The charter version and the SERVICE key that it says it is signed under.
    fn key(&self) -> (u64, u32);
}

/// By when the key of a message is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judging {
    /// A message that arrives now: the member takes part and the key is valid by the charter in force too.
    Live,
    /// A message that was signed earlier, such as an acknowledgement that is sent again: by the version that it names,
    /// then by every later `to`.
    Recorded,
}

/// A message that is canonical, signed with the right key, and answers the one before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    body: T,
    bytes: Bytes,
    signature: Signature,
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    /// Shows what the body shows, and never the bytes: those of a request say who asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.body).finish()
    }
}

impl<T: Message> Verified<T> {
    /// Signs a message of ours.
    ///
    /// # Errors
    /// Fails when it breaks a rule.
    pub fn sign(
        body: T,
        key: &SigningKey,
        federation: &FederationId,
    ) -> Result<Self, RetrievalError> {
        let bytes = body.to_bytes();
        // What we would not accept we do not sign.
        let body = T::parse(&bytes)?;
        let signature = key.sign(T::PURPOSE, federation, &bytes);
        Ok(Self { body, bytes, signature })
    }

    /// What it says.
    pub fn body(&self) -> &T {
        &self.body
    }

    /// Its bytes, as signed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of its bytes: what the next message names.
    pub fn digest(&self) -> MessageDigest {
        MessageDigest::new(Sha256::digest(&self.bytes).into())
    }

    /// As it travels.
    pub fn to_wire(&self) -> v1::SignedMessage {
        v1::SignedMessage {
            message: self.bytes.clone(),
            signature: field(self.signature.as_bytes()),
        }
    }

    /// Reads a message and checks its signature; its place in the chain is the caller's to check.
    pub(crate) fn check(
        wire: &v1::SignedMessage,
        signer: impl FnOnce(&T) -> MemberName,
        book: &mut impl SignerBook,
    ) -> Result<Self, RetrievalError> {
        let message = T::PURPOSE.name();
        let body = T::parse(&wire.message)?;
        let signature = Signature::try_from(&wire.signature[..]);
        let signature = signature.map_err(|_| RetrievalError::Signature { message })?;
        let (version, key_id) = body.key();
        let key = book.service_key(&signer(&body), version, key_id);
        key_of(key, message, version)?
            .verify(T::PURPOSE, &book.federation_id(), &wire.message, &signature)
            .map_err(|_| RetrievalError::Signature { message })?;
        Ok(Self { body, bytes: wire.message.clone(), signature })
    }
}

/// Where keys are looked up: a gateway's charter history, or the heads and entries in a receipt.
pub(crate) trait SignerBook {
    fn federation_id(&self) -> FederationId;
    fn service_key(&mut self, member: &MemberName, version: u64, key_id: u32) -> KeyVerdict;
    fn transaction_key(&mut self, log: &LogId, version: u64, key_id: u32, at: u64) -> KeyVerdict;
    fn checkpoint_key(&mut self, checkpoint: &UnverifiedCheckpoint) -> Option<VerifyingKey>;
    /// The member that writes a log.
    fn member_of_log(&self, log: &LogId) -> Option<MemberName>;
}

/// A gateway's own view.
pub(crate) struct HistoryBook<'a> {
    pub(crate) history: &'a CharterHistory,
    pub(crate) judging: Judging,
}

impl SignerBook for HistoryBook<'_> {
    fn federation_id(&self) -> FederationId {
        self.history.federation_id()
    }

    fn service_key(&mut self, member: &MemberName, version: u64, key_id: u32) -> KeyVerdict {
        match self.judging {
            Judging::Live => self.history.live_service_key(member, version, key_id),
            Judging::Recorded => self.history.service_key(member, version, key_id),
        }
    }

    fn transaction_key(&mut self, log: &LogId, version: u64, key_id: u32, at: u64) -> KeyVerdict {
        self.history.judge_transaction_key(log, version, key_id, at)
    }

    fn checkpoint_key(&mut self, checkpoint: &UnverifiedCheckpoint) -> Option<VerifyingKey> {
        self.history.checkpoint_key_of(checkpoint)
    }

    fn member_of_log(&self, log: &LogId) -> Option<MemberName> {
        self.history.member_of_log(log).map(|owner| owner.member.clone())
    }
}

/// The key that a verdict gives, or why there is none.
pub(crate) fn key_of(
    verdict: KeyVerdict,
    message: &'static str,
    version: u64,
) -> Result<VerifyingKey, RetrievalError> {
    match verdict {
        KeyVerdict::Key(key) => Ok(key),
        KeyVerdict::Waiting => Err(RetrievalError::Waiting { message, version }),
        KeyVerdict::Invalid(reason) => Err(RetrievalError::Key { message, reason }),
    }
}

/// The error for a field of a message.
pub(crate) fn broken(message: &'static str, field: &'static str) -> RetrievalError {
    RetrievalError::Field { message, field }
}

/// The rules that the four messages share.
pub(crate) fn check_common(
    message: &'static str,
    format: u32,
    (charter_version, key_id): (u64, u32),
) -> Result<(), RetrievalError> {
    if format != FORMAT {
        return Err(broken(message, "the format is not 1: upgrade this software"));
    }
    if charter_version == 0 {
        return Err(broken(message, "the charter version is 0"));
    }
    if key_id == 0 {
        return Err(broken(message, "the key id is 0"));
    }
    Ok(())
}
