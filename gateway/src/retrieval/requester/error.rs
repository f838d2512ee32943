//! Why a local client does not get a record.

use std::time::Duration;

use sundbro_ledger::ids::MemberName;
use sundbro_ledger::receipt::ReceiptError;
use sundbro_ledger::retrieval::RetrievalError;
use sundbro_store::StoreError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::super::Interrupted;
use super::super::channels::NoChannel;
use super::super::signer::SignError;
use crate::caller::CallerError;
use crate::client::DialError;
use crate::reason::{self, Reason};
use crate::status::{Culprit, DOMAIN, Fault, Retry, Situation};

/// When an owner that was not reached may be asked again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a record was not retrieved. What came before it is not a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrieveError {
    /// The client may not state what it states.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// No purpose was stated.
    #[error("the purpose of use is missing: state why the record is asked for")]
    NoPurpose,
    /// Our index has no such record or version.
    #[error("{record} version {version} (0: newest) is not in the index")]
    UnknownRecord {
        /// Resource name.
        record: String,
        /// As asked for.
        version: u32,
    },
    /// What the client states breaks a rule of the signed request, or nothing can be signed.
    #[error("the request could not be signed")]
    Sign(#[from] SignError),
    /// There is no way to the owner.
    #[error("the owner of the record cannot be called")]
    Channel(#[source] NoChannel),
    /// The owner's gateway was not reached.
    #[error("the gateway of {owner} was not reached ({cause})")]
    Unreachable {
        /// The owner.
        owner: MemberName,
        /// Why: a constant such as `CONNECTION_REFUSED`.
        cause: &'static str,
    },
    /// The owner's gateway says nothing.
    #[error("the gateway of {0} did not answer in time: ask again later")]
    Silent(MemberName),
    /// The owner says why there is no record, or no more of it.
    #[error("{}", .0.message)]
    Owner(Box<OwnerSaid>),
    /// The owner's answer is not one.
    #[error("the gateway of {owner} broke the protocol: {problem}")]
    Protocol {
        /// The owner.
        owner: MemberName,
        /// How.
        problem: &'static str,
    },
    /// A signed message of the owner's is not valid.
    #[error("the answer of {0} is not valid")]
    Answer(MemberName, #[source] RetrievalError),
    /// The grant rests on another entry than the one that our replica has.
    #[error("{0} grants the record by another entry than the one that registered it here")]
    OtherRegistration(MemberName),
    /// Size or digest differ from what was registered or granted.
    #[error("what came from {0} does not have the registered size and digest: discard it")]
    DigestMismatch(MemberName),
    /// The local client went away, or takes nothing.
    #[error("the local client went away")]
    ClientGone,
    /// The audit log could not be written.
    #[error("the audit log could not be written: nothing is served")]
    Audit(#[source] StoreError),
    /// The index could not be read.
    #[error("the store could not be read")]
    Store(#[source] StoreError),
    /// The receipt could not be put together; the document itself is whole, but it is not handed over without proof.
    #[error("the receipt could not be put together")]
    Receipt(#[source] ReceiptError),
    /// No nonce could be drawn.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// The gateway is stopping.
    #[error("the retrieval was interrupted")]
    Interrupted(#[from] Interrupted),
}

/// What the owner's status says, in terms that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerSaid {
    reason: Reason,
    situation: Situation,
    message: String,
    metadata: Vec<(&'static str, String)>,
}

impl RetrieveError {
    /// From the status that the owner's gateway ended with, or that stands for not having reached it.
    pub(super) fn of_owner(owner: &MemberName, status: &Status) -> Self {
        if let Some(error) = DialError::in_status(status) {
            return Self::Unreachable { owner: owner.clone(), cause: error.cause.code() };
        }
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let Some(info) = info else { return Self::without_reason(owner, status) };
        let said = |reason, situation, message| {
            let metadata = vec![("owner", owner.to_string())];
            Self::Owner(Box::new(OwnerSaid { reason, situation, message, metadata }))
        };
        let is = |reason: Reason| info.reason == reason.code;
        // Only reasons that mean something to the local client; texts of another gateway are not passed on.
        if is(reason::NOT_AVAILABLE) {
            Self::refused(owner.clone())
        } else if is(reason::RECORD_WITHDRAWN) {
            let message = format!("{owner} has withdrawn the record");
            said(reason::RECORD_WITHDRAWN, Situation::NotFound, message)
        } else if is(reason::SUPERSEDED) {
            Self::superseded(owner, info.metadata.get("current_version"))
        } else if is(reason::DIGEST_MISMATCH) {
            Self::DigestMismatch(owner.clone())
        } else if is(reason::MEMBER_NOT_ACTIVE) {
            let message = format!("{owner} says that it or this member is not active");
            said(reason::MEMBER_NOT_ACTIVE, Situation::NotPermitted, message)
        } else if is(reason::SOURCE_UNAVAILABLE) {
            let message = format!("the local system of {owner} cannot be read now");
            said(reason::SOURCE_UNAVAILABLE, Situation::Unavailable, message)
        } else if is(reason::REQUEST_NOT_FRESH) {
            let message = format!("the clocks of {owner} and this gateway are too far apart");
            said(reason::REQUEST_NOT_FRESH, Situation::Precondition("clock".to_owned()), message)
        } else if is(reason::TOO_MANY_RETRIEVALS) {
            let message = format!("{owner} serves this member as much at once as it may");
            let situation = Situation::LimitReached("retrievals of one member at once");
            said(reason::TOO_MANY_RETRIEVALS, situation, message)
        } else if is(reason::CHARTER_BEHIND) {
            let message = format!("{owner} does not have the charter in force yet");
            said(reason::CHARTER_BEHIND, Situation::Unavailable, message)
        } else {
            Self::without_reason(owner, status)
        }
    }

    /// The owner refuses, or has no such record: PERMISSION_DENIED, which of the two is not told.
    pub(super) fn refused(_owner: MemberName) -> Self {
        Self::Owner(Box::new(OwnerSaid {
            reason: reason::NOT_AVAILABLE,
            situation: Situation::NotAvailable,
            message: reason::NOT_AVAILABLE.cause.to_owned(),
            metadata: Vec::new(),
        }))
    }

    fn superseded(owner: &MemberName, current: Option<&String>) -> Self {
        // A number, or it is not repeated: this text goes to our client under our name.
        let current = current.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let mut metadata = vec![("owner", owner.to_string())];
        metadata.push(("current_version", current.to_string()));
        Self::Owner(Box::new(OwnerSaid {
            reason: reason::SUPERSEDED,
            situation: Situation::Precondition("record".to_owned()),
            message: format!("the record's current version at {owner} is {current}"),
            metadata,
        }))
    }

    fn without_reason(owner: &MemberName, status: &Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                Self::Unreachable { owner: owner.clone(), cause: "CONNECTION_LOST" }
            }
            _ => Self::Protocol { owner: owner.clone(), problem: "it refused a valid request" },
        }
    }
}

impl Fault for RetrieveError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::Caller(error) => error.culprit(),
            Self::NoPurpose | Self::UnknownRecord { .. } | Self::ClientGone => Culprit::Caller,
            Self::Sign(SignError::Refused(_)) => Culprit::Caller,
            Self::Channel(_)
            | Self::Unreachable { .. }
            | Self::Silent(_)
            | Self::Owner(_)
            | Self::Protocol { .. }
            | Self::Answer(..)
            | Self::OtherRegistration(_)
            | Self::DigestMismatch(_) => Culprit::Peer,
            _ => Culprit::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Silent(_) => Retry::After(RETRY_AFTER),
            Self::Owner(said)
                if matches!(
                    said.situation,
                    Situation::Unavailable | Situation::LimitReached(_)
                ) =>
            {
                Retry::After(RETRY_AFTER)
            }
            _ => Retry::Never,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Caller(error) => error.reason(),
            Self::NoPurpose | Self::Sign(SignError::Refused(_)) => reason::INVALID_FIELD,
            Self::Sign(SignError::NotActive(_)) => reason::MEMBER_NOT_ACTIVE,
            Self::UnknownRecord { .. } => reason::UNKNOWN_RECORD,
            Self::Channel(NoChannel::NotActive(_)) => reason::MEMBER_NOT_ACTIVE,
            Self::Channel(_) | Self::Unreachable { .. } | Self::Silent(_) => {
                reason::PEER_UNREACHABLE
            }
            Self::Owner(said) => said.reason,
            Self::Protocol { .. } | Self::Answer(..) | Self::OtherRegistration(_) => {
                reason::BAD_ANSWER
            }
            Self::DigestMismatch(_) => reason::DIGEST_MISMATCH,
            Self::ClientGone => reason::DEADLINE_EXCEEDED,
            Self::Audit(_) => reason::AUDIT_NOT_WRITTEN,
            _ => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::Caller(error) => error.situation(),
            Self::NoPurpose => Situation::InvalidField("purpose".to_owned()),
            Self::Sign(SignError::Refused(_)) => Situation::InvalidField("request".to_owned()),
            Self::Sign(SignError::NotActive(_)) => Situation::Precondition("charter".to_owned()),
            Self::UnknownRecord { .. } => Situation::NotFound,
            Self::Channel(_) | Self::Unreachable { .. } | Self::Silent(_) => Situation::Unavailable,
            Self::Owner(said) => said.situation.clone(),
            Self::Protocol { .. }
            | Self::Answer(..)
            | Self::OtherRegistration(_)
            | Self::DigestMismatch(_) => Situation::DataLoss,
            Self::ClientGone => Situation::DeadlineExceeded,
            _ => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let owned = |owner: &MemberName| ("owner", owner.to_string());
        match self {
            Self::Caller(error) => error.metadata(),
            Self::UnknownRecord { record, version } => {
                vec![("record", record.clone()), ("version", version.to_string())]
            }
            Self::Sign(SignError::Refused(error)) => vec![("problem", error.to_string())],
            Self::Channel(error) => vec![("problem", error.to_string())],
            Self::Unreachable { owner, cause } => {
                vec![owned(owner), ("cause", (*cause).to_owned())]
            }
            Self::Owner(said) => said.metadata.clone(),
            Self::Protocol { owner, problem } => {
                vec![owned(owner), ("problem", (*problem).to_owned())]
            }
            Self::Answer(owner, error) => vec![owned(owner), ("problem", error.to_string())],
            Self::Silent(owner) | Self::OtherRegistration(owner) | Self::DigestMismatch(owner) => {
                vec![owned(owner)]
            }
            _ => Vec::new(),
        }
    }
}
