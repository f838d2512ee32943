//! Why a request was not served, or an acknowledgement not taken.

use std::time::Duration;

use sundbro_ledger::ids::MemberName;
use sundbro_ledger::retrieval::RetrievalError;
use sundbro_store::StoreError;

use super::super::Interrupted;
use super::super::signer::SignError;
use crate::reason::{self, Reason};
use crate::status::{Culprit, Fault, Retry, Situation};

/// When a source that failed, or a charter that is on its way, may be asked for again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why the owner streams nothing, or stopped streaming.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Requester or owner does not take part.
    #[error("{0} is not active in the charter in force: ask the federation's stewards")]
    NotActive(MemberName),
    /// The request is not valid.
    #[error("the request is not valid")]
    Request(#[source] RetrievalError),
    /// The request is somebody else's.
    #[error("the request was signed by another member than the one that sends it")]
    NotTheRequester,
    /// The request is for somebody else.
    #[error("the request is for {0}: send it there")]
    OtherOwner(MemberName),
    /// It was made too long ago, or later than now.
    #[error(
        "the request was made at {requested}, here it is {now} (seconds since 1970): ask again, and compare the clocks"
    )]
    NotFresh {
        /// Our clock.
        now: i64,
        /// Its time.
        requested: i64,
    },
    /// The request was sent before.
    #[error("the nonce of the request was used before: make a new request")]
    NonceUsed,
    /// The requester has too many retrievals under way.
    #[error(
        "this member has {0} retrievals under way here, the most at once: wait until some have ended"
    )]
    TooMany(usize),
    /// The record is withdrawn; said only after policy permitted.
    #[error("the record is withdrawn")]
    Withdrawn,
    /// The source holds another version; said only after policy permitted.
    #[error("the record's current version is {current}: ask for that")]
    Superseded {
        /// The newest version registered.
        current: u32,
    },
    /// The local system cannot be read, or its map was lost.
    #[error("the local system that holds the record cannot be read now: ask again later")]
    SourceUnavailable,
    /// The bytes are not those that were registered.
    #[error("the source does not hold the bytes that were registered: discard what came")]
    DigestMismatch,
    /// The requester went away, or took nothing for the time of one frame.
    #[error("the requester took nothing for too long: discard what came and ask again")]
    NotTaken,
    /// The audit log could not be written.
    #[error("the audit log could not be written: nothing is served")]
    Audit(#[source] StoreError),
    /// Our own disk failed.
    #[error("the store could not be read")]
    Store(#[source] StoreError),
    /// The proof of registration could not be made.
    #[error("the proof of the record's registration could not be made: run `sundbro verify`")]
    Proof(#[source] sundbro_store::ServeError),
    /// The entry or its checkpoint is not there.
    #[error(
        "the entry that registered the record, or its checkpoint, is not here: run `sundbro verify`"
    )]
    NoProof,
    /// Nothing could be signed.
    #[error("the answer could not be signed")]
    Sign(#[from] SignError),
    /// The gateway is stopping.
    #[error("the answer was interrupted")]
    Interrupted(#[from] Interrupted),
}

impl Fault for ServeError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::SourceUnavailable | Self::DigestMismatch => Culprit::LocalSystem,
            Self::Audit(_)
            | Self::Store(_)
            | Self::Proof(_)
            | Self::NoProof
            | Self::Sign(_)
            | Self::Interrupted(_) => Culprit::Us,
            _ => Culprit::Caller,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::SourceUnavailable
            | Self::TooMany(_)
            | Self::Request(RetrievalError::Waiting { .. }) => Retry::After(RETRY_AFTER),
            _ => Retry::Never,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NotActive(_) => reason::MEMBER_NOT_ACTIVE,
            Self::Request(RetrievalError::Waiting { .. }) => reason::CHARTER_BEHIND,
            Self::Request(_) => reason::INVALID_FIELD,
            Self::NotTheRequester => reason::NOT_THE_REQUESTER,
            Self::OtherOwner(_) => reason::OTHER_OWNER,
            Self::NotFresh { .. } => reason::REQUEST_NOT_FRESH,
            Self::NonceUsed => reason::NONCE_USED,
            Self::TooMany(_) => reason::TOO_MANY_RETRIEVALS,
            Self::Withdrawn => reason::RECORD_WITHDRAWN,
            Self::Superseded { .. } => reason::SUPERSEDED,
            Self::SourceUnavailable => reason::SOURCE_UNAVAILABLE,
            Self::DigestMismatch => reason::DIGEST_MISMATCH,
            Self::NotTaken => reason::DEADLINE_EXCEEDED,
            Self::Audit(_) => reason::AUDIT_NOT_WRITTEN,
            Self::Store(_)
            | Self::Proof(_)
            | Self::NoProof
            | Self::Sign(_)
            | Self::Interrupted(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::Request(RetrievalError::Waiting { .. }) | Self::SourceUnavailable => {
                Situation::Unavailable
            }
            Self::Request(_) => Situation::InvalidField("request".to_owned()),
            Self::OtherOwner(_) => Situation::InvalidField("request.owner".to_owned()),
            Self::NotActive(_) | Self::NotTheRequester => Situation::NotPermitted,
            Self::NotFresh { .. } => Situation::Precondition("request".to_owned()),
            Self::NonceUsed => Situation::AlreadyExists("request", "nonce".to_owned()),
            Self::TooMany(_) => Situation::LimitReached("retrievals of one member at once"),
            Self::Withdrawn => Situation::NotFound,
            Self::Superseded { .. } => Situation::Precondition("record".to_owned()),
            Self::DigestMismatch => Situation::DataLoss,
            Self::NotTaken => Situation::DeadlineExceeded,
            Self::Audit(_)
            | Self::Store(_)
            | Self::Proof(_)
            | Self::NoProof
            | Self::Sign(_)
            | Self::Interrupted(_) => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotActive(member) => vec![("member", member.to_string())],
            Self::Request(error) => vec![("problem", error.to_string())],
            Self::OtherOwner(owner) => vec![("owner", owner.to_string())],
            Self::NotFresh { now, requested } => {
                vec![("now", now.to_string()), ("requested", requested.to_string())]
            }
            Self::TooMany(limit) => vec![("limit", limit.to_string())],
            Self::Superseded { current } => vec![("current_version", current.to_string())],
            _ => Vec::new(),
        }
    }
}

/// Why an acknowledgement was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcknowledgeError {
    /// The requester does not take part now.
    #[error("{0} is not active in the charter in force: ask the federation's stewards")]
    NotActive(MemberName),
    /// It is not valid.
    #[error("the acknowledgement is not valid")]
    Message(#[source] RetrievalError),
    /// The member has too many retrievals and acknowledgements under way.
    #[error("this member has too many retrievals under way here: wait until some have ended")]
    TooMany,
    /// Our audit log has no such completion for this member.
    #[error("no retrieval of this completion digest is on record here")]
    Unknown,
    /// What our audit log has does not verify.
    #[error("what the audit log has of this retrieval does not verify")]
    OnRecord(#[source] RetrievalError),
    /// The audit log could not be read or written.
    #[error("the audit log could not be read or written")]
    Audit(#[from] StoreError),
    /// The gateway is stopping.
    #[error("the acknowledgement was interrupted")]
    Interrupted(#[from] Interrupted),
}

impl Fault for AcknowledgeError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::NotActive(_) | Self::Message(_) | Self::Unknown | Self::TooMany => {
                Culprit::Caller
            }
            _ => Culprit::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::TooMany | Self::Message(RetrievalError::Waiting { .. }) => {
                Retry::After(RETRY_AFTER)
            }
            _ => Retry::Never,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Message(RetrievalError::Waiting { .. }) => reason::CHARTER_BEHIND,
            Self::Message(_) => reason::INVALID_FIELD,
            Self::NotActive(_) => reason::MEMBER_NOT_ACTIVE,
            Self::TooMany => reason::TOO_MANY_RETRIEVALS,
            Self::Unknown => reason::UNKNOWN_COMPLETION,
            Self::Audit(_) => reason::AUDIT_NOT_WRITTEN,
            Self::OnRecord(_) | Self::Interrupted(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::Message(RetrievalError::Waiting { .. }) => Situation::Unavailable,
            Self::Message(_) => Situation::InvalidField("acknowledgement".to_owned()),
            Self::NotActive(_) => Situation::NotPermitted,
            Self::TooMany => Situation::LimitReached("retrievals of one member at once"),
            Self::Unknown => Situation::NotFound,
            _ => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotActive(member) => vec![("member", member.to_string())],
            Self::Message(error) => vec![("problem", error.to_string())],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::retrieval::tests::reason as told;
    use crate::status;

    fn member() -> MemberName {
        MemberName::new("kommune.example").expect("a name")
    }

    fn waiting() -> RetrievalError {
        RetrievalError::Waiting { message: "the message", version: 7 }
    }

    fn invalid() -> RetrievalError {
        RetrievalError::Signature { message: "the message" }
    }

    /// Whose fault, whether asking again may help, the code, and every variable part of the message as metadata.
    fn check(
        error: &impl Fault,
        whose: Culprit,
        again: bool,
        code: Code,
        metadata: &[(&str, &str)],
    ) {
        assert_eq!(error.culprit(), whose, "{error}");
        let retry = if again { Retry::After(RETRY_AFTER) } else { Retry::Never };
        assert_eq!(error.retry(), retry, "{error}");
        let status = status::of(error);
        assert_eq!(status.code(), code, "{error}");
        let (reason, mut found) = told(&status);
        assert_eq!(reason, error.reason().code, "{error}");
        assert!(found.remove("cure").is_some(), "{error}");
        let found: Vec<_> =
            found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(found, metadata, "{error}");
    }

    #[test]
    fn each_reason_not_to_serve_tells_whose_it_is_and_what_about_it() {
        use Culprit::{Caller, LocalSystem, Us};
        let name = [("member", "kommune.example")];
        check(&ServeError::NotActive(member()), Caller, false, Code::PermissionDenied, &name);
        let problem = invalid().to_string();
        let problem = [("problem", problem.as_str())];
        let error = ServeError::Request(invalid());
        check(&error, Caller, false, Code::InvalidArgument, &problem);
        let problem = waiting().to_string();
        let problem = [("problem", problem.as_str())];
        check(&ServeError::Request(waiting()), Caller, true, Code::Unavailable, &problem);
        let owner = [("owner", "kommune.example")];
        check(&ServeError::OtherOwner(member()), Caller, false, Code::InvalidArgument, &owner);
        let times = [("now", "12"), ("requested", "-3")];
        let error = ServeError::NotFresh { now: 12, requested: -3 };
        check(&error, Caller, false, Code::FailedPrecondition, &times);
        let limit = [("limit", "64")];
        check(&ServeError::TooMany(64), Caller, true, Code::ResourceExhausted, &limit);
        let current = [("current_version", "5")];
        let error = ServeError::Superseded { current: 5 };
        check(&error, Caller, false, Code::FailedPrecondition, &current);
        check(&ServeError::SourceUnavailable, LocalSystem, true, Code::Unavailable, &[]);
        check(&ServeError::DigestMismatch, LocalSystem, false, Code::DataLoss, &[]);
        for ours in [ServeError::NoProof, ServeError::Interrupted(Interrupted)] {
            check(&ours, Us, false, Code::Internal, &[]);
        }
    }

    #[test]
    fn each_reason_not_to_take_an_acknowledgement_does_too() {
        use Culprit::{Caller, Us};
        let name = [("member", "kommune.example")];
        check(&AcknowledgeError::NotActive(member()), Caller, false, Code::PermissionDenied, &name);
        let problem = invalid().to_string();
        let problem = [("problem", problem.as_str())];
        let error = AcknowledgeError::Message(invalid());
        check(&error, Caller, false, Code::InvalidArgument, &problem);
        let problem = waiting().to_string();
        let problem = [("problem", problem.as_str())];
        check(&AcknowledgeError::Message(waiting()), Caller, true, Code::Unavailable, &problem);
        check(&AcknowledgeError::TooMany, Caller, true, Code::ResourceExhausted, &[]);
        check(&AcknowledgeError::Unknown, Caller, false, Code::NotFound, &[]);
        check(&AcknowledgeError::OnRecord(invalid()), Us, false, Code::Internal, &[]);
        check(&AcknowledgeError::Interrupted(Interrupted), Us, false, Code::Internal, &[]);
    }
}
