//! The local API: what local systems and operators call. Generated types stop here and in `wire`.

pub mod admin;
pub mod audit;
pub mod ledger;
mod override_quorum;
mod page;
pub mod records;
mod transaction_state;

use crate::reason::{self, Reason};
use crate::retrieval::{Interrupted, blocking};
use crate::status::{self, Culprit, Fault, Retry, Situation};

/// A field of a request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct BadField {
    field: &'static str,
    problem: &'static str,
}

impl BadField {
    pub(crate) fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}

impl Fault for BadField {
    fn culprit(&self) -> Culprit {
        Culprit::Caller
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        reason::INVALID_FIELD
    }

    fn situation(&self) -> Situation {
        Situation::InvalidField(self.field.to_owned())
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("field", self.field.to_owned()), ("problem", self.problem.to_owned())]
    }
}

impl Fault for Interrupted {
    fn culprit(&self) -> Culprit {
        Culprit::Us
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        reason::INTERNAL
    }

    fn situation(&self) -> Situation {
        Situation::OurFault
    }
}

/// Our own disk failed.
#[derive(Debug, thiserror::Error)]
#[error("the store could not be read")]
pub(crate) struct StoreFailed(#[source] pub(crate) sundbro_store::StoreError);

impl Fault for StoreFailed {
    fn culprit(&self) -> Culprit {
        Culprit::Us
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        reason::INTERNAL
    }

    fn situation(&self) -> Situation {
        Situation::OurFault
    }
}

/// Runs what reads the store, and turns its error into a status.
pub(crate) async fn answer<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, tonic::Status>
where
    T: Send + 'static,
    E: Fault + Send + 'static,
{
    let done = blocking(work).await.map_err(|error| status::of(&error))?;
    done.map_err(|error| status::of(&error))
}
