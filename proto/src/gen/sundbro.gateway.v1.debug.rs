// This file is written by sundbro-proto-codegen.
impl ::core::fmt::Debug for Coverage {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Coverage")
            .field("replication_complete", &self.replication_complete)
            .field("max_age", &self.max_age)
            .field("logs", &self.logs)
            .field("tag_epochs_searched", &self.tag_epochs_searched)
            .field("tag_epochs_missing", &self.tag_epochs_missing)
            .field("charter_version", &self.charter_version)
            .field("summary", &crate::withheld::one(&self.summary))
            .finish()
    }
}
impl ::core::fmt::Debug for LogCoverage {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LogCoverage")
            .field("member", &crate::withheld::one(&self.member))
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("committed_size", &self.committed_size)
            .field("verified_size", &self.verified_size)
            .field("indexed_size", &self.indexed_size)
            .field("root", &crate::withheld::one(&self.root))
            .field("newest_checkpoint_size", &self.newest_checkpoint_size)
            .field("age", &self.age)
            .field("reachable", &self.reachable)
            .field("unreachable_for", &self.unreachable_for)
            .field("unreachable_cause", &crate::withheld::one(&self.unreachable_cause))
            .field("missing_blobs", &self.missing_blobs)
            .field("unknown_payloads", &self.unknown_payloads)
            .field("state", &self.state())
            .field("state_reason", &crate::withheld::one(&self.state_reason))
            .field("state_position", &self.state_position)
            .finish()
    }
}
impl ::core::fmt::Debug for locate_records_request::Subject {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Identifier(it) => f.debug_tuple("Identifier").field(&it).finish(),
            Self::Tag(it) => f.debug_tuple("Tag").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for LocateRecordsRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LocateRecordsRequest")
            .field("class", &self.class)
            .field("period_start", &self.period_start)
            .field("period_end", &self.period_end)
            .field("custodian", &crate::withheld::one(&self.custodian))
            .field("show_withdrawn", &self.show_withdrawn)
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .field("subject", &self.subject)
            .finish()
    }
}
impl ::core::fmt::Debug for SubjectIdentifier {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("SubjectIdentifier")
            .field("system", &crate::withheld::one(&self.system))
            .field("value", &crate::withheld::one(&self.value))
            .finish()
    }
}
impl ::core::fmt::Debug for LocateRecordsResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("LocateRecordsResponse")
            .field("pointers", &self.pointers)
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .field("coverage", &self.coverage)
            .finish()
    }
}
impl ::core::fmt::Debug for RecordPointer {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RecordPointer")
            .field("name", &crate::withheld::one(&self.name))
            .field("version", &self.version)
            .field("custodian", &crate::withheld::one(&self.custodian))
            .field("subjects", &self.subjects)
            .field("lifecycle", &self.lifecycle())
            .field("withdrawn", &self.withdrawn)
            .field("detail", &self.detail)
            .field("entry", &self.entry)
            .field("recorded_time", &self.recorded_time)
            .field("replaced_by", &crate::withheld::one(&self.replaced_by))
            .finish()
    }
}
impl ::core::fmt::Debug for EntryReference {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("EntryReference")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("position", &self.position)
            .field("leaf_hash", &crate::withheld::one(&self.leaf_hash))
            .finish()
    }
}
impl ::core::fmt::Debug for GetRecordRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetRecordRequest")
            .field("name", &crate::withheld::one(&self.name))
            .finish()
    }
}
impl ::core::fmt::Debug for GetRecordResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetRecordResponse")
            .field("pointer", &self.pointer)
            .field("coverage", &self.coverage)
            .finish()
    }
}
impl ::core::fmt::Debug for ListRecordsRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListRecordsRequest")
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for ListRecordsResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListRecordsResponse")
            .field("pointers", &self.pointers)
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for RetrieveRecordRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrieveRecordRequest")
            .field("name", &crate::withheld::one(&self.name))
            .field("version", &self.version)
            .field("user", &crate::withheld::one(&self.user))
            .field("role", &crate::withheld::one(&self.role))
            .field("unit", &self.unit)
            .field("purpose", &self.purpose())
            .field("break_glass_reason", &self.break_glass_reason())
            .finish()
    }
}
impl ::core::fmt::Debug for retrieve_record_response::Part {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Header(it) => f.debug_tuple("Header").field(&it).finish(),
            Self::Data(it) => f.debug_tuple("Data").field(&crate::withheld::one(it)).finish(),
            Self::Receipt(it) => f.debug_tuple("Receipt").field(&it).finish(),
        }
    }
}
impl ::core::fmt::Debug for RetrieveRecordResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("RetrieveRecordResponse")
            .field("part", &self.part)
            .finish()
    }
}
impl ::core::fmt::Debug for ContentHeader {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ContentHeader")
            .field("size_bytes", &self.size_bytes)
            .field("sha256", &crate::withheld::one(&self.sha256))
            .field("media_type", &crate::withheld::one(&self.media_type))
            .finish()
    }
}
impl ::core::fmt::Debug for ListLogsRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListLogsRequest")
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for ListLogsResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListLogsResponse")
            .field("logs", &self.logs)
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .field("index_root", &crate::withheld::one(&self.index_root))
            .finish()
    }
}
impl ::core::fmt::Debug for Log {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("Log")
            .field("origin", &crate::withheld::one(&self.origin))
            .field("coverage", &self.coverage)
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .finish()
    }
}
impl ::core::fmt::Debug for GetEntryRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetEntryRequest")
            .field("log_id", &crate::withheld::one(&self.log_id))
            .field("position", &self.position)
            .finish()
    }
}
impl ::core::fmt::Debug for GetEntryResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetEntryResponse")
            .field("entry", &crate::withheld::one(&self.entry))
            .field("inclusion_proof", &crate::withheld::all(&self.inclusion_proof))
            .field("checkpoint", &crate::withheld::one(&self.checkpoint))
            .field("payload_blob", &crate::withheld::one(&self.payload_blob))
            .finish()
    }
}
impl ::core::fmt::Debug for get_transaction_state_request::Transaction {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        match self {
            Self::Position(it) => f.debug_tuple("Position").field(&it).finish(),
            Self::Record(it) => f.debug_tuple("Record").field(&crate::withheld::one(it)).finish(),
        }
    }
}
impl ::core::fmt::Debug for GetTransactionStateRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetTransactionStateRequest")
            .field("transaction", &self.transaction)
            .finish()
    }
}
impl ::core::fmt::Debug for GetTransactionStateResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("GetTransactionStateResponse")
            .field("position", &self.position)
            .field("state", &self.state())
            .field("replicated_by", &self.replicated_by)
            .field("witnessed_by", &self.witnessed_by)
            .field("witness_quorum", &self.witness_quorum)
            .finish()
    }
}
impl ::core::fmt::Debug for ListAuditEntriesRequest {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListAuditEntriesRequest")
            .field("record", &crate::withheld::one(&self.record))
            .field("page_size", &self.page_size)
            .field("page_token", &crate::withheld::one(&self.page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for ListAuditEntriesResponse {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("ListAuditEntriesResponse")
            .field("entries", &self.entries)
            .field("next_page_token", &crate::withheld::one(&self.next_page_token))
            .finish()
    }
}
impl ::core::fmt::Debug for AuditEntry {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.debug_struct("AuditEntry")
            .field("position", &self.position)
            .field("kind", &crate::withheld::one(&self.kind))
            .field("time", &self.time)
            .field("record", &crate::withheld::one(&self.record))
            .field("peer", &crate::withheld::one(&self.peer))
            .field("user", &crate::withheld::one(&self.user))
            .field("role", &crate::withheld::one(&self.role))
            .field("purpose", &crate::withheld::one(&self.purpose))
            .field("rule", &crate::withheld::one(&self.rule))
            .field("permitted", &self.permitted)
            .field("message_sha256", &crate::withheld::one(&self.message_sha256))
            .finish()
    }
}
