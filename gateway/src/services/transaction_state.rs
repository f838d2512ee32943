//! `LedgerService.GetTransactionState`: how far one transaction of our own log has come.

use sundbro_ledger::ids::RecordId;
use sundbro_proto::gateway::v1::get_transaction_state_request::Transaction;
use sundbro_proto::gateway::v1::{GetTransactionStateResponse, TransactionState};
use sundbro_store::{Store, StoreError};

use super::BadField;
use crate::own_reach::{OwnReach, OwnReachReader, Reached};
use crate::reason::{self, Reason};
use crate::status::{Culprit, Fault, Retry, Situation};

/// The state of a transaction; of the newest one when none is named.
pub(super) fn state(
    store: &Store,
    reader: &OwnReachReader,
    transaction: Option<Transaction>,
) -> Result<GetTransactionStateResponse, StateError> {
    // Looked up first: what is registered meanwhile can only be farther.
    let position = match transaction {
        Some(Transaction::Record(name)) => Some(position_of(store, &name)?),
        Some(Transaction::Position(position)) => Some(position),
        None => None,
    };
    let reach = reader.read()?;
    let position = position.or_else(|| reach.size.checked_sub(1)).unwrap_or(0);
    let reached = reach.of(position).ok_or(StateError::UnknownEntry(position))?;
    Ok(answer(&reach, position, reached))
}

/// Where the newest version of a record of ours stands.
fn position_of(store: &Store, name: &str) -> Result<u64, StateError> {
    let bad = |_| StateError::Field(BadField::new("record", "is not the name of a record"));
    let record = RecordId::parse(name).map_err(bad)?;
    let pointer = store.record(&record)?;
    let own = pointer.filter(|pointer| pointer.log == store.identity().own_log);
    own.map(|pointer| pointer.position).ok_or_else(|| StateError::NotOurRecord(name.to_owned()))
}

fn answer(reach: &OwnReach, position: u64, reached: Reached) -> GetTransactionStateResponse {
    // Counts of members, which a charter bounds.
    let count = |members: usize| u32::try_from(members).unwrap_or(u32::MAX);
    GetTransactionStateResponse {
        position,
        state: state_to_wire(reached).into(),
        replicated_by: count(reach.replicated_by(position)),
        witnessed_by: count(reach.witnessed_by(position)),
        witness_quorum: count(reach.quorum),
    }
}

fn state_to_wire(reached: Reached) -> TransactionState {
    match reached {
        Reached::Accepted => TransactionState::Accepted,
        Reached::Replicated => TransactionState::Replicated,
        Reached::Witnessed => TransactionState::Witnessed,
    }
}

/// Why the state of a transaction is not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("our own log has no entry {0}")]
    UnknownEntry(u64),
    #[error("our own log registers no record {0}")]
    NotOurRecord(String),
    #[error("the request cannot be read")]
    Field(#[source] BadField),
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

impl Fault for StateError {
    fn culprit(&self) -> Culprit {
        if matches!(self, Self::Store(_)) { Culprit::Us } else { Culprit::Caller }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::UnknownEntry(_) | Self::NotOurRecord(_) => reason::UNKNOWN_ENTRY,
            Self::Field(field) => field.reason(),
            Self::Store(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::UnknownEntry(_) | Self::NotOurRecord(_) => Situation::NotFound,
            Self::Field(field) => field.situation(),
            Self::Store(_) => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownEntry(position) => vec![("position", position.to_string())],
            Self::NotOurRecord(record) => vec![("record", record.clone())],
            Self::Field(field) => field.metadata(),
            Self::Store(_) => Vec::new(),
        }
    }
}
