//! An operator answers for signing without a quorum: first on the record, then in force.

use sundbro_proto::admin::v1::OverrideReason;
use sundbro_store::audit::AuditRecord;
use sundbro_store::gate::SigningStop;
use sundbro_store::{ResumeError, Store, StoreError};

use super::BadField;
use super::admin::Operations;
use crate::publisher::SigningState;
use crate::reason::{self, Reason};
use crate::status::{Culprit, Fault, Retry, Situation};

/// Kind of the audit entry that says who signed without a quorum, and why.
pub const QUORUM_OVERRIDDEN: &str = "QUORUM_OVERRIDDEN";

/// Why signing was not begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum OverrideError {
    /// Something that no operator can override.
    #[error("{0}: {cure}", cure = .0.cure())]
    Stopped(SigningStop),
    /// Our own disk failed: what cannot be recorded is not done.
    #[error("the override could not be recorded")]
    Store(#[from] StoreError),
}

impl From<ResumeError> for OverrideError {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Stopped(stop) => Self::Stopped(stop),
            ResumeError::Store(error) => Self::Store(error),
        }
    }
}

/// The constant that the audit entry keeps.
pub(super) fn reason_name(reason: OverrideReason) -> Result<&'static str, BadField> {
    match reason {
        OverrideReason::Unspecified => Err(BadField::new("reason", "must be named")),
        OverrideReason::OthersLost => Ok("OTHERS_LOST"),
        OverrideReason::EndLost => Ok("END_LOST"),
        OverrideReason::Rehearsal => Ok("REHEARSAL"),
    }
}

/// Records who answers for it, then signs. Gives the size of our log. Blocking.
pub(super) fn override_quorum(
    store: &Store,
    operations: &dyn Operations,
    client: &str,
    reason: &'static str,
) -> Result<u64, OverrideError> {
    // What nobody can override is not recorded as overridden.
    if let SigningState::Stopped(stop) = operations.signing() {
        return Err(OverrideError::Stopped(stop));
    }
    let size = store.log_head(&store.identity().own_log)?.size();
    store.audit_append(&[AuditRecord {
        kind: QUORUM_OVERRIDDEN.to_owned(),
        unix_millis: crate::clock::unix_millis(),
        user: client.to_owned(),
        purpose: reason.to_owned(),
        permitted: true,
        ..AuditRecord::default()
    }])?;
    operations.override_quorum()?;
    tracing::error!(client, reason, size, "an operator signs our own log without a quorum");
    Ok(size)
}

impl Fault for OverrideError {
    fn culprit(&self) -> Culprit {
        Culprit::Us
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Stopped(_) => reason::SIGNING_STOPPED,
            Self::Store(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::Stopped(_) => Situation::Precondition("signing".to_owned()),
            Self::Store(_) => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Stopped(stop) => vec![("stopped_reason", stop.reason().to_owned())],
            Self::Store(_) => Vec::new(),
        }
    }
}
