//! Record pointers, from the index to the local API.

use bytes::Bytes;
use sundbro_proto::gateway::v1::{EntryReference, RecordPointer};
use sundbro_proto::ledger::v1;
use sundbro_store::index;

/// A pointer as local systems read it.
pub fn pointer(pointer: &index::RecordPointer) -> RecordPointer {
    RecordPointer {
        name: pointer.record.resource_name(),
        version: pointer.version,
        custodian: pointer.record.member.to_string(),
        subjects: pointer.subjects.iter().map(subject_tag).collect(),
        lifecycle: pointer.lifecycle,
        withdrawn: pointer.withdrawn,
        detail: pointer.detail.clone(),
        entry: Some(EntryReference {
            log_id: Bytes::copy_from_slice(pointer.log.as_bytes()),
            position: pointer.position,
            leaf_hash: Bytes::copy_from_slice(pointer.leaf.as_bytes()),
        }),
        recorded_time: Some(super::timestamp_seconds(i64::from(pointer.recorded_hour) * 3600)),
        replaced_by: pointer.replaced_by.as_ref().map_or_else(String::new, |by| by.resource_name()),
    }
}

fn subject_tag(tag: &sundbro_ledger::ids::SubjectTag) -> v1::SubjectTag {
    v1::SubjectTag {
        scheme: tag.scheme,
        epoch: tag.epoch,
        value: Bytes::copy_from_slice(&tag.value),
    }
}
