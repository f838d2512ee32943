//! The one place where an error becomes a gRPC status, with google.rpc details that programs can match.
//!
//! An error answers three questions through [`Fault`]: whose fault, may a retry help, and its reason. Its
//! [`Situation`] decides code and details, so that one kind of trouble looks the same in every service.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::reason::{self, Reason};

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "sundbro.gateway";

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// Whoever called us.
    Caller,
    /// Another member's gateway.
    Peer,
    /// A system of our own organisation.
    LocalSystem,
    /// This gateway.
    Us,
}

/// Whether asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: the same request fails again.
    Never,
    /// Yes, after this long.
    After(Duration),
    /// Yes, once the log was fetched from this position.
    AfterFetching(u64),
}

/// What kind of trouble it is; decides the gRPC code and the details beside `ErrorInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Situation {
    /// Bytes or a field do not parse: INVALID_ARGUMENT with the field's path.
    InvalidField(String),
    /// No or unknown certificate: UNAUTHENTICATED.
    Unauthenticated,
    /// The caller may not do this, and may know why: PERMISSION_DENIED.
    NotPermitted,
    /// Policy says no, or there is nothing; the caller must not learn which: PERMISSION_DENIED, always the same bytes.
    NotAvailable,
    /// The caller may read the pointer, but it is not held, or erased: NOT_FOUND.
    NotFound,
    /// Broken chain, stopped log, stale checkpoint, superseded version: FAILED_PRECONDITION naming this subject.
    Precondition(String),
    /// Same idempotency key, other content: ALREADY_EXISTS, with type and name of the resource.
    AlreadyExists(&'static str, String),
    /// A quota, batch or payload limit: RESOURCE_EXHAUSTED naming the limit.
    LimitReached(&'static str),
    /// A local system or a peer is down: UNAVAILABLE.
    Unavailable,
    /// The caller's deadline passed: DEADLINE_EXCEEDED.
    DeadlineExceeded,
    /// Bytes do not have the registered digest: DATA_LOSS.
    DataLoss,
    /// Our fault: INTERNAL; the cause stays in our log.
    OurFault,
}

/// What every error that reaches a caller answers.
pub trait Fault: std::error::Error {
    /// Whose fault.
    fn culprit(&self) -> Culprit;

    /// May a retry help.
    fn retry(&self) -> Retry;

    /// The constant that programs match.
    fn reason(&self) -> Reason;

    /// What kind of trouble.
    fn situation(&self) -> Situation;

    /// Every variable part of the message, by name. Never a person's identifier.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// The status for an error, which is logged here if it is ours.
pub fn of(fault: &dyn Fault) -> Status {
    let situation = fault.situation();
    match situation {
        Situation::NotAvailable => return not_available(),
        Situation::OurFault => return internal(fault),
        _ => {}
    }
    let code = code(&situation);
    let mut details = ErrorDetails::new();
    let metadata = fault.metadata().into_iter().map(|(name, value)| (name.to_owned(), value));
    error_info(&mut details, fault.reason(), metadata.collect());
    let message = fault.to_string();
    match situation {
        Situation::InvalidField(path) => {
            details.add_bad_request_violation(path, &message);
        }
        Situation::Precondition(subject) => {
            details.add_precondition_failure_violation(fault.reason().code, subject, &message);
        }
        Situation::AlreadyExists(kind, name) => {
            details.set_resource_info(kind, name, "", &message);
        }
        Situation::LimitReached(limit) => {
            details.add_quota_failure_violation(limit, &message);
        }
        _ => {}
    }
    if let Retry::After(delay) = fault.retry() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(code, message, details)
}

/// PERMISSION_DENIED that says neither "no such record" nor "not for you": the same bytes for both.
pub fn not_available() -> Status {
    let mut details = ErrorDetails::new();
    // One metadata entry: a map of several has no fixed order, and the bytes would differ from call to call.
    error_info(&mut details, reason::NOT_AVAILABLE, HashMap::new());
    Status::with_error_details(Code::PermissionDenied, reason::NOT_AVAILABLE.cause, details)
}

fn code(situation: &Situation) -> Code {
    match situation {
        Situation::InvalidField(_) => Code::InvalidArgument,
        Situation::Unauthenticated => Code::Unauthenticated,
        Situation::NotPermitted | Situation::NotAvailable => Code::PermissionDenied,
        Situation::NotFound => Code::NotFound,
        Situation::Precondition(_) => Code::FailedPrecondition,
        Situation::AlreadyExists(..) => Code::AlreadyExists,
        Situation::LimitReached(_) => Code::ResourceExhausted,
        Situation::Unavailable => Code::Unavailable,
        Situation::DeadlineExceeded => Code::DeadlineExceeded,
        Situation::DataLoss => Code::DataLoss,
        Situation::OurFault => Code::Internal,
    }
}

fn error_info(details: &mut ErrorDetails, reason: Reason, mut metadata: HashMap<String, String>) {
    metadata.insert("cure".to_owned(), reason.cure.to_owned());
    details.set_error_info(reason.code, DOMAIN, metadata);
}

/// INTERNAL with a request id and nothing else; the chain of causes goes to our log under the same id.
fn internal(fault: &dyn Fault) -> Status {
    let request_id = new_request_id();
    let reason = fault.reason();
    tracing::error!(request_id, reason = reason.code, error = chain(fault), "request failed");
    let mut details = ErrorDetails::new();
    error_info(&mut details, reason::INTERNAL, HashMap::new());
    details.set_request_info(&request_id, "");
    let message = format!("internal error: the gateway's log has it under request id {request_id}");
    Status::with_error_details(Code::Internal, message, details)
}

/// 16 hexadecimal digits, for finding a line in a log; nothing hangs on its being secret.
fn new_request_id() -> String {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        return "unknown".to_owned();
    }
    hex::encode(bytes)
}

/// An error and its causes on one line. `Display` of an error never prints its source, so nothing comes twice.
pub fn chain(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("entry {position} does not follow: fetch again")]
    struct Example {
        position: u64,
        situation: Situation,
        retry: Retry,
        #[source]
        source: std::io::Error,
    }

    impl Fault for Example {
        fn culprit(&self) -> Culprit {
            Culprit::Peer
        }
        fn retry(&self) -> Retry {
            self.retry
        }
        fn reason(&self) -> Reason {
            reason::BROKEN_CHAIN
        }
        fn situation(&self) -> Situation {
            self.situation.clone()
        }
        fn metadata(&self) -> Vec<(&'static str, String)> {
            vec![("position", self.position.to_string())]
        }
    }

    fn example(situation: Situation) -> Status {
        let source = std::io::Error::other("secret inside");
        of(&Example { position: 7, situation, retry: Retry::After(Duration::from_secs(2)), source })
    }

    #[test]
    fn every_error_carries_reason_domain_metadata_and_cure() {
        let status = example(Situation::Precondition("log".into()));
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_error_details();
        let info = details.error_info().expect("ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("BROKEN_CHAIN", DOMAIN));
        assert_eq!(info.metadata.get("position").map(String::as_str), Some("7"));
        assert_eq!(info.metadata.get("cure").map(String::as_str), Some(reason::BROKEN_CHAIN.cure));
        assert!(details.precondition_failure().is_some());
        let delay = details.retry_info().expect("RetryInfo").retry_delay;
        assert_eq!(delay, Some(Duration::from_secs(2)));
    }

    #[test]
    fn situations_become_the_codes_of_the_table() {
        let check = |situation, code| assert_eq!(example(situation).code(), code);
        check(Situation::InvalidField("a.b".into()), Code::InvalidArgument);
        check(Situation::Unauthenticated, Code::Unauthenticated);
        check(Situation::NotPermitted, Code::PermissionDenied);
        check(Situation::NotFound, Code::NotFound);
        check(Situation::AlreadyExists("record", "x".into()), Code::AlreadyExists);
        check(Situation::LimitReached("batch"), Code::ResourceExhausted);
        check(Situation::Unavailable, Code::Unavailable);
        check(Situation::DataLoss, Code::DataLoss);
    }

    #[test]
    fn refused_and_absent_are_the_same_bytes() {
        let first = example(Situation::NotAvailable);
        let second = not_available();
        assert_eq!(first.code(), Code::PermissionDenied);
        assert_eq!((first.message(), first.details()), (second.message(), second.details()));
        assert!(!first.message().contains('7'));
    }

    #[test]
    fn our_fault_tells_a_request_id_and_no_inner_detail() {
        let status = example(Situation::OurFault);
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("entry") && !status.message().contains("secret"));
        let details = status.get_error_details();
        let id = &details.request_info().expect("RequestInfo").request_id;
        assert!(status.message().contains(id.as_str()) && id.len() == 16);
        assert!(!String::from_utf8_lossy(status.details()).contains("secret"));
    }

    #[test]
    fn a_chain_prints_each_cause_once() {
        let source = std::io::Error::other("disk full");
        let error =
            Example { position: 7, situation: Situation::OurFault, retry: Retry::Never, source };
        assert_eq!(chain(&error), "entry 7 does not follow: fetch again: disk full");
    }
}
