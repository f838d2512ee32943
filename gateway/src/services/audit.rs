//! `AuditService`: who looked, from this member's audit log. For auditors alone.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_ledger::ids::RecordId;
use sundbro_proto::gateway::v1::audit_service_server::AuditService;
use sundbro_proto::gateway::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};
use sundbro_store::Store;
use sundbro_store::audit::AuditRecord;
use tonic::{Request, Response, Status};

use super::{BadField, StoreFailed, answer, page};
use crate::caller::{CallerError, LocalClient};
use crate::{status, wire};

/// Answers `AuditService`.
pub struct AuditApi {
    store: Arc<Store>,
}

impl AuditApi {
    /// Reads this store's audit log.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let client = LocalClient::of(&request)?;
        if !client.is_auditor() {
            let error = CallerError::NotAuditor { client: client.name().to_owned() };
            return Err(status::of(&error));
        }
        let asked = Asked::new(&request.into_inner()).map_err(|error| status::of(&error))?;
        let (store, size) = (self.store.clone(), asked.size);
        let read = move || store.audit_entries(asked.record.as_ref(), asked.before, asked.size);
        let entries = answer(move || read().map_err(StoreFailed)).await?;
        let next = entries.last().filter(|(position, _)| entries.len() == size && *position > 0);
        Ok(Response::new(ListAuditEntriesResponse {
            next_page_token: next
                .map_or_else(String::new, |(position, _)| page::token(&position.to_be_bytes())),
            entries: entries
                .into_iter()
                .map(|(position, entry)| entry_to_wire(position, entry))
                .collect(),
        }))
    }
}

struct Asked {
    record: Option<RecordId>,
    before: Option<u64>,
    size: usize,
}

impl Asked {
    fn new(request: &ListAuditEntriesRequest) -> Result<Self, BadField> {
        let wrong = |_| BadField::new("record", "is not members/<member>/records/<id>");
        let record = match request.record.as_str() {
            "" => None,
            name => Some(RecordId::parse(name).map_err(wrong)?),
        };
        let before = match &page::parse(&request.page_token)?[..] {
            [] => None,
            bytes => {
                let wrong = |_| BadField::new("page_token", "is not one that an answer gave");
                Some(u64::from_be_bytes(bytes.try_into().map_err(wrong)?))
            }
        };
        Ok(Self { record, before, size: page::size(request.page_size, 50, 500)? })
    }
}

fn entry_to_wire(position: u64, entry: AuditRecord) -> AuditEntry {
    let record = match entry.record.is_empty() {
        true => String::new(),
        false => format!("members/{}", entry.record),
    };
    AuditEntry {
        position,
        kind: entry.kind,
        time: Some(wire::timestamp_millis(entry.unix_millis)),
        record,
        peer: entry.peer,
        user: entry.user,
        role: entry.role,
        purpose: entry.purpose,
        rule: entry.rule,
        permitted: entry.permitted,
        message_sha256: match entry.message_sha256 {
            none if none == [0; 32] => Bytes::new(),
            digest => Bytes::copy_from_slice(&digest),
        },
    }
}
