//! `LedgerService`: the replicated logs, single entries with their proof, and how far our own have come.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::merkle::proof_to_wire;
use sundbro_ledger::transaction::SignedTransaction;
use sundbro_proto::gateway::v1::ledger_service_server::LedgerService;
use sundbro_proto::gateway::v1::{
    GetEntryRequest, GetEntryResponse, GetTransactionStateRequest, GetTransactionStateResponse,
    ListLogsRequest, ListLogsResponse, Log,
};
use sundbro_store::{ServeError, StoreError};
use tonic::{Request, Response, Status};

use super::transaction_state::state;
use super::{BadField, answer, page};
use crate::locate::Finder;
use crate::own_reach::OwnReachReader;
use crate::reason::{self, Reason};
use crate::status::{self, Culprit, Fault, Retry, Situation};

/// Answers `LedgerService`.
pub struct LedgerApi {
    finder: Arc<Finder>,
    reach: Arc<OwnReachReader>,
}

impl LedgerApi {
    /// Reads what these read.
    pub fn new(finder: Arc<Finder>, reach: Arc<OwnReachReader>) -> Self {
        Self { finder, reach }
    }
}

#[tonic::async_trait]
impl LedgerService for LedgerApi {
    async fn list_logs(
        &self,
        request: Request<ListLogsRequest>,
    ) -> Result<Response<ListLogsResponse>, Status> {
        let request = request.into_inner();
        let bad = |error: BadField| status::of(&error);
        let size = page::size(request.page_size, 100, 1000).map_err(bad)?;
        let after = page::parse(&request.page_token).map_err(bad)?;
        let finder = self.finder.clone();
        answer(move || list(&finder, size, &after)).await.map(Response::new)
    }

    async fn get_entry(
        &self,
        request: Request<GetEntryRequest>,
    ) -> Result<Response<GetEntryResponse>, Status> {
        let GetEntryRequest { log_id, position } = request.into_inner();
        let wrong = |_| status::of(&BadField::new("log_id", "is not 32 bytes"));
        let log = LogId::try_from(&log_id[..]).map_err(wrong)?;
        let finder = self.finder.clone();
        answer(move || entry(&finder, &log, position)).await.map(Response::new)
    }

    async fn get_transaction_state(
        &self,
        request: Request<GetTransactionStateRequest>,
    ) -> Result<Response<GetTransactionStateResponse>, Status> {
        let transaction = request.into_inner().transaction;
        let (finder, reach) = (self.finder.clone(), self.reach.clone());
        answer(move || state(finder.store(), &reach, transaction)).await.map(Response::new)
    }
}

/// Logs in order of member and epoch; the token is the origin of the last one shown.
fn list(finder: &Finder, size: usize, after: &[u8]) -> Result<ListLogsResponse, LedgerError> {
    let history = finder.charter().history();
    let coverage = finder.coverage()?;
    let place = |owner: &sundbro_ledger::history::LogOwner| (owner.member.clone(), owner.epoch);
    let mut coverages: BTreeMap<_, _> =
        coverage.logs.into_iter().map(|log| (log.log_id.clone(), log)).collect();
    let mut owners: Vec<_> = history.logs().collect();
    owners.sort_by_key(|(_, owner)| place(owner));
    let from = match after {
        [] => 0,
        after => {
            let known =
                owners.iter().position(|(_, owner)| owner.origin.as_str().as_bytes() == after);
            known.ok_or(LedgerError::BadPageToken)? + 1
        }
    };
    let mut logs = Vec::new();
    for (log, owner) in owners.iter().skip(from).take(size) {
        let checkpoint = finder.store().checkpoint(log)?;
        logs.push(Log {
            origin: owner.origin.as_str().to_owned(),
            coverage: coverages.remove(&log.as_bytes()[..]),
            checkpoint: checkpoint.map_or_else(Bytes::new, |row| row.note),
        });
    }
    let more = owners.len() > from.saturating_add(size);
    let last = logs.last().filter(|_| more);
    Ok(ListLogsResponse {
        next_page_token: last.map_or_else(String::new, |log| page::token(log.origin.as_bytes())),
        index_root: Bytes::copy_from_slice(finder.store().index_roots()?.index_root.as_bytes()),
        logs,
    })
}

fn entry(finder: &Finder, log: &LogId, position: u64) -> Result<GetEntryResponse, LedgerError> {
    let unknown = || LedgerError::UnknownEntry { log: *log, position };
    if finder.charter().history().member_of_log(log).is_none() {
        return Err(LedgerError::UnknownLog(*log));
    }
    let store = finder.store();
    let checkpoint =
        store.checkpoint(log)?.filter(|row| row.size > position).ok_or_else(unknown)?;
    let entry = store.entry(log, position)?.ok_or_else(unknown)?;
    let proof = store.inclusion_proof(log, position, checkpoint.size)?;
    let transaction = SignedTransaction::parse(&entry).ok();
    let payload = match transaction {
        Some(transaction) => store.blob(&transaction.header().payload_commitment)?,
        None => None,
    };
    Ok(GetEntryResponse {
        entry,
        inclusion_proof: proof_to_wire(&proof),
        checkpoint: checkpoint.note,
        payload_blob: payload.unwrap_or_default(),
    })
}

/// Why logs or an entry are not shown.
#[derive(Debug, thiserror::Error)]
enum LedgerError {
    #[error("the page token is not one that an answer gave: start again without it")]
    BadPageToken,
    #[error("no member has a log {0}")]
    UnknownLog(LogId),
    #[error("entry {position} of log {log} is not here under a checkpoint")]
    UnknownEntry { log: LogId, position: u64 },
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the proof could not be made")]
    Proof(#[from] ServeError),
}

impl Fault for LedgerError {
    fn culprit(&self) -> Culprit {
        match self {
            Self::Store(_) | Self::Proof(_) => Culprit::Us,
            _ => Culprit::Caller,
        }
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::BadPageToken => reason::INVALID_FIELD,
            Self::UnknownLog(_) => reason::UNKNOWN_LOG,
            Self::UnknownEntry { .. } => reason::UNKNOWN_ENTRY,
            Self::Store(_) | Self::Proof(_) => reason::INTERNAL,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::BadPageToken => Situation::InvalidField("page_token".to_owned()),
            Self::UnknownLog(_) | Self::UnknownEntry { .. } => Situation::NotFound,
            Self::Store(_) | Self::Proof(_) => Situation::OurFault,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::UnknownLog(log) => vec![("log", log.to_string())],
            Self::UnknownEntry { log, position } => {
                vec![("log", log.to_string()), ("position", position.to_string())]
            }
            _ => Vec::new(),
        }
    }
}
