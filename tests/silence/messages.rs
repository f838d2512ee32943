//! `Debug` of every message type, filled with what must not be seen.

use std::collections::BTreeSet;
use std::fmt::Debug;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use sundbro_proto::{DESCRIPTOR_SET, admin, federation, gateway, ledger};

use crate::Tally;
use crate::needles::Searcher;

/// Messages inside messages are filled this far down.
const DEPTH: usize = 4;

/// Reads bytes as one message type and writes it with `{:?}`, and with `{:#?}`.
type Show = fn(&[u8]) -> Result<String, prost::DecodeError>;

fn show<M: Message + Default + Debug>(bytes: &[u8]) -> Result<String, prost::DecodeError> {
    M::decode(bytes).map(|message| format!("{message:?}\n{message:#?}"))
}

macro_rules! types {
    ($($package:ident: $($name:ident)*;)*) => {
        const TYPES: &[(&str, Show)] = &[$($((
            concat!("sundbro.", stringify!($package), ".v1.", stringify!($name)),
            show::<$package::v1::$name>,
        )),*),*];
    };
}

types! {
    ledger:
        TransactionHeader ObjectId RecordVersion SubjectTag Coding Identifier TransactionPayload RecordRegistered
        RecordWithdrawn Observation ObservedHead RecordDetail DetailAudience ClinicalPeriod CharterHead LogBranch Steward CertificateAuthority
        CharterLimits SubjectEpoch MemberEntry RegisterIdentifier MemberKey LogEpoch LogEnd Charter StewardSignature
        MemberCard CardSignature SubjectKeyGrant RetrievalRequest SignedMessage RetrievalGrant RetrievalCompletion
        RetrievalAcknowledgement Receipt ReceiptHead ReceiptMember Evidence TwoEntries TwoCheckpoints TwoTrees TreeSide
        EvidenceFile;
    federation:
        SynchroniseRequest SynchroniseResponse Frame Hello Heads Head Consistency ConsistencyProof Want WantEntries
        WantBlobs BlobKey Chunk Payloads Blob CharterFrame KeyGrant EvidenceFrame Problem Ack StartQuestion StartAnswer
        RetrieveRecordRequest RetrieveRecordResponse AcknowledgeRetrievalRequest AcknowledgeRetrievalResponse;
    gateway:
        Coverage LogCoverage LocateRecordsRequest SubjectIdentifier LocateRecordsResponse RecordPointer EntryReference
        GetRecordRequest GetRecordResponse ListRecordsRequest ListRecordsResponse RetrieveRecordRequest
        RetrieveRecordResponse ContentHeader ListLogsRequest ListLogsResponse Log GetEntryRequest GetEntryResponse
        GetTransactionStateRequest GetTransactionStateResponse ListAuditEntriesRequest ListAuditEntriesResponse AuditEntry;
    admin:
        GetStatusRequest GetStatusResponse AdapterStatus PolicyStatus Ending OwnLogStatus ScrubStatus OutboxStatus
        PublishCharterRequest PublishCharterResponse ListQuarantineRequest ListQuarantineResponse QuarantinedItem
        ListOrphansRequest ListOrphansResponse OverrideQuorumRequest OverrideQuorumResponse;
}

/// Tries every message type, each of its oneofs in every form, with every needle in every field of text and bytes.
pub fn try_all(needles: &[&str], tally: &mut Tally) {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).expect("our own descriptors");
    let described: BTreeSet<String> = pool
        .all_messages()
        .map(|message| message.full_name().to_owned())
        .filter(|name| name.starts_with("sundbro."))
        .collect();
    let listed: BTreeSet<String> = TYPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    tally.check("every message type is tried", described == listed, || {
        format!("{:?}", described.symmetric_difference(&listed).collect::<Vec<_>>())
    });
    for (name, show) in TYPES {
        let message = pool.get_message_by_name(name).expect("listed");
        for needle in needles {
            let searcher = Searcher::new(&[needle]);
            for variant in 0..variants(&message) {
                let filled = fill(&message, needle, variant, DEPTH);
                let shown = show(&filled.encode_to_vec()).expect("what was just encoded");
                let cell = format!("Debug of {name}, form {variant}, {needle}");
                tally.check(&cell, searcher.find(shown.as_bytes()).is_empty(), || shown.clone());
                // Nothing was found because nothing was shown, not because nothing was there.
                let has_text = message
                    .fields()
                    .any(|field| is_text(&field.kind()) && is_in_form(&field, variant));
                let planted = !has_text || !searcher.find(&filled.encode_to_vec()).is_empty();
                tally.check(&format!("{cell}, planted"), planted, || format!("{filled:?}"));
            }
        }
    }
}

/// How many forms a message has: one for each member of its largest oneof.
fn variants(message: &MessageDescriptor) -> usize {
    message.oneofs().map(|oneof| oneof.fields().count()).max().unwrap_or(1)
}

/// Whether a form has a field: of a oneof, one at a time.
fn is_in_form(field: &FieldDescriptor, variant: usize) -> bool {
    field.containing_oneof().is_none_or(|oneof| {
        let position = oneof.fields().position(|other| other == *field).expect("its own");
        position == variant % oneof.fields().count()
    })
}

fn is_text(kind: &Kind) -> bool {
    matches!(kind, Kind::String | Kind::Bytes)
}

fn fill(message: &MessageDescriptor, needle: &str, variant: usize, depth: usize) -> DynamicMessage {
    let mut filled = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if !is_in_form(&field, variant) {
            continue;
        }
        let one = match field.kind() {
            Kind::String => Value::String(needle.to_owned()),
            Kind::Bytes => Value::Bytes(needle.as_bytes().to_vec().into()),
            Kind::Message(inner) if depth > 0 => {
                Value::Message(fill(&inner, needle, variant, depth - 1))
            }
            _ => continue,
        };
        let value = if field.is_list() { Value::List(vec![one.clone(), one]) } else { one };
        filled.set_field(&field, value);
    }
    filled
}
