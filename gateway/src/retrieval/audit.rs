//! What the audit log says of a retrieval, on either side. Written before anything is served; who cannot write it does
//! not serve.

use sundbro_ledger::retrieval::{Message, Request, Verified};
use sundbro_proto::ledger::v1;
use sundbro_store::audit::AuditRecord;

use crate::wire;

/// A request of ours left.
pub const REQUEST_SENT: &str = "REQUEST_SENT";
/// A request of a member, or of our own, arrived and was judged.
pub const REQUEST_RECEIVED: &str = "REQUEST_RECEIVED";
/// The record may leave.
pub const GRANTED: &str = "GRANTED";
/// It may not, or there is none.
pub const REFUSED: &str = "REFUSED";
/// Everything was sent.
pub const COMPLETED: &str = "COMPLETED";
/// Not everything was sent, or it was not what was registered.
pub const ABORTED: &str = "ABORTED";
/// What the requester says it received.
pub const ACKNOWLEDGED: &str = "ACKNOWLEDGED";
/// The owner gave no answer that could be used, or the local client went away.
pub const NOT_RECEIVED: &str = "NOT_RECEIVED";

/// One retrieval, as its audit entries name it.
#[derive(Clone)]
pub struct Story {
    base: AuditRecord,
}

impl Story {
    /// What was asked, and who the other member is.
    pub fn new(request: &Request, peer: &sundbro_ledger::ids::MemberName) -> Self {
        let unit = request.unit.as_ref();
        Self {
            base: AuditRecord {
                record: request.record.to_string(),
                peer: peer.to_string(),
                user: request.user.clone(),
                role: request.role.clone(),
                unit: unit
                    .map_or_else(String::new, |unit| format!("{}|{}", unit.system, unit.value)),
                purpose: wire::purpose_name(request.purpose),
                ..AuditRecord::default()
            },
        }
    }

    /// Something that happened, without a signed message.
    pub fn event(&self, kind: &str, unix_millis: i64) -> AuditRecord {
        AuditRecord { kind: kind.to_owned(), unix_millis, ..self.base.clone() }
    }

    /// A decision, with the rule that made it.
    pub fn decided(
        &self,
        kind: &str,
        unix_millis: i64,
        rule: &str,
        permitted: bool,
    ) -> AuditRecord {
        AuditRecord { rule: rule.to_owned(), permitted, ..self.event(kind, unix_millis) }
    }

    /// A signed message that was sent or received.
    pub fn message<T: Message>(
        &self,
        kind: &str,
        unix_millis: i64,
        message: &Verified<T>,
    ) -> AuditRecord {
        with_message(self.event(kind, unix_millis), message)
    }
}

/// The entry, keeping a signed message.
pub fn with_message<T: Message>(entry: AuditRecord, message: &Verified<T>) -> AuditRecord {
    let wire = message.to_wire();
    AuditRecord {
        message: wire.message.to_vec(),
        signature: wire.signature.to_vec(),
        message_sha256: *message.digest().as_bytes(),
        ..entry
    }
}

/// The signed message that an entry keeps. `None`: it keeps none.
pub fn kept_message(entry: &AuditRecord) -> Option<v1::SignedMessage> {
    (!entry.message.is_empty()).then(|| v1::SignedMessage {
        message: entry.message.clone().into(),
        signature: entry.signature.clone().into(),
    })
}
