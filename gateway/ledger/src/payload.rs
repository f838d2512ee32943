//! What a transaction says: the typed bodies of payloads, and every rule about a value that a payload alone can break.
//!
//! Rules that need the log (versions without gaps, one audience, nothing after a withdrawal, heads that follow) are in
//! [`fold`](crate::fold).
//! A payload that breaks a rule is *void*: the entry stays valid, the payload is kept and shown, and has no effect.

mod detail;
mod observation;
mod values;
mod void;

use bytes::Bytes;
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::transaction_payload::Body;

pub use detail::{Detail, DetailAudience, MAX_DETAIL_MEMBERS, MAX_EPISODES};
pub use observation::{MAX_CHANGED_HEADS, Observation, ObservedHead};
pub use values::{
    MAX_CODE_LEN, MAX_IDENTIFIER_LEN, MAX_LANGUAGE_LEN, MAX_MEDIA_TYPE_LEN, MAX_SYSTEM_LEN,
};
pub use void::VoidReason;

use crate::blob::{Blob, MAX_BODY_LEN};
use crate::canonical::{self, minimal_varint, strictly_ascending};
use crate::ids::{Commitment, RecordId, SubjectTag};
use crate::transaction::Header;
use values::{object_id, object_id_to_wire, open_enum, record_version};

/// Most persons whom one record concerns.
pub const MAX_SUBJECTS: usize = 16;

/// The kinds that this version knows: field numbers of `TransactionPayload`.
pub const KINDS: [u32; 3] = [1, 2, 80];

/// One version of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordVersion {
    /// The record.
    pub record: RecordId,
    /// Its version, from 1.
    pub version: u32,
}

/// Says that a version of a record exists and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRegistered {
    /// The record.
    pub record: RecordId,
    /// Its version, from 1.
    pub version: u32,
    /// Whom it concerns, ascending, none twice, 1 to [`MAX_SUBJECTS`].
    pub subjects: Vec<SubjectTag>,
    /// Number of `RecordLifecycle`, from 1; one that this version does not know is kept as it is.
    pub lifecycle: i32,
    /// Commitment of the detail.
    pub detail_commitment: Commitment,
    /// Another record that this one supersedes.
    pub replaces: Option<RecordVersion>,
}

/// Takes a record back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWithdrawn {
    /// The record, with all its versions.
    pub record: RecordId,
    /// Number of `WithdrawalReason`, from 1; one that this version does not know is kept as it is.
    pub reason: i32,
}

/// What a transaction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A record exists, or has a new version.
    Registered(RecordRegistered),
    /// A record is no longer offered.
    Withdrawn(RecordWithdrawn),
    /// The member has verified heads of other logs.
    Observed(Observation),
    /// A kind from the future: kept, passed on, no effect yet.
    Unknown {
        /// Its field number.
        kind: u32,
    },
}

impl Payload {
    /// Parses the blob that a header commits to. The caller has compared the commitment.
    ///
    /// # Errors
    /// Says why the payload is void.
    pub fn read(header: &Header, blob: Bytes) -> Result<Self, VoidReason> {
        if blob.len() as u64 != u64::from(header.payload_size) {
            return Err(VoidReason::PayloadSize);
        }
        let blob = Blob::parse(blob, header.audience).map_err(VoidReason::Blob)?;
        Self::parse(blob.body())
    }

    /// Parses a body: exactly one field, whose number is its kind.
    ///
    /// # Errors
    /// Says why the payload is void.
    pub fn parse(body: &[u8]) -> Result<Self, VoidReason> {
        if body.len() > MAX_BODY_LEN {
            return Err(VoidReason::NotCanonical);
        }
        let kind = only_field(body).ok_or(VoidReason::NotOneKind)?;
        if !KINDS.contains(&kind) {
            return Ok(Self::Unknown { kind });
        }
        let wire: v1::TransactionPayload =
            canonical::decode(body, MAX_BODY_LEN).map_err(|_| VoidReason::NotCanonical)?;
        match wire.body {
            Some(Body::RecordRegistered(wire)) => registered(&wire).map(Self::Registered),
            Some(Body::RecordWithdrawn(wire)) => withdrawn(&wire).map(Self::Withdrawn),
            Some(Body::Observation(wire)) => Observation::from_wire(&wire).map(Self::Observed),
            None => Err(VoidReason::NotOneKind),
        }
    }

    /// The body that says this.
    ///
    /// # Errors
    /// Says why it would be void: nothing that is void is ever written. A kind from the future is never written.
    pub fn encode(&self) -> Result<Vec<u8>, VoidReason> {
        let body = match self {
            Self::Registered(it) => Body::RecordRegistered(registered_to_wire(it)),
            Self::Withdrawn(it) => Body::RecordWithdrawn(v1::RecordWithdrawn {
                record: Some(object_id_to_wire(&it.record)),
                reason: it.reason,
            }),
            Self::Observed(it) => Body::Observation(it.to_wire()),
            Self::Unknown { .. } => return Err(VoidReason::NotOneKind),
        };
        let bytes = canonical::encode(&v1::TransactionPayload { body: Some(body) });
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// The record that it is about, if it is about one.
    pub fn record(&self) -> Option<&RecordId> {
        match self {
            Self::Registered(it) => Some(&it.record),
            Self::Withdrawn(it) => Some(&it.record),
            Self::Observed(_) | Self::Unknown { .. } => None,
        }
    }
}

/// Number of the body's only field, a submessage that fills the body. `None`: anything else.
///
/// Asks for the shape alone, so that a kind from the future is told from one that is malformed.
fn only_field(body: &[u8]) -> Option<u32> {
    let mut rest = body;
    let tag = minimal_varint(&mut rest)?;
    let len = minimal_varint(&mut rest)?;
    let number = tag >> 3;
    // A submessage is wire type 2.
    let fills = tag & 7 == 2 && usize::try_from(len) == Ok(rest.len());
    (fills && number != 0).then_some(number)
}

fn registered(wire: &v1::RecordRegistered) -> Result<RecordRegistered, VoidReason> {
    let wrong = |field| Err(VoidReason::Field(field));
    let record = object_id(wire.record.as_ref(), "record")?;
    if wire.version == 0 {
        return wrong("version is 0");
    }
    if wire.subjects.is_empty() || wire.subjects.len() > MAX_SUBJECTS {
        return wrong("subjects are not 1 to 16");
    }
    let subjects: Vec<_> = wire.subjects.iter().map(subject).collect::<Result<_, _>>()?;
    if !strictly_ascending(&subjects) {
        return wrong("subjects do not ascend");
    }
    let replaces = match &wire.replaces {
        None => None,
        Some(replaced) => {
            let replaced = record_version(Some(replaced), "replaces")?;
            if replaced.record == record {
                return Err(VoidReason::ReplacesItself);
            }
            Some(replaced)
        }
    };
    Ok(RecordRegistered {
        record,
        version: wire.version,
        subjects,
        lifecycle: open_enum(wire.lifecycle, "lifecycle")?,
        detail_commitment: Commitment::try_from(&wire.detail_commitment[..])
            .map_err(|_| VoidReason::Field("detail_commitment is not 32 bytes"))?,
        replaces,
    })
}

fn subject(wire: &v1::SubjectTag) -> Result<SubjectTag, VoidReason> {
    let value = wire.value[..].try_into();
    let value = value.map_err(|_| VoidReason::Field("a subject's value is not 32 bytes"))?;
    if wire.scheme == 0 || wire.epoch == 0 {
        return Err(VoidReason::Field("a subject's scheme or epoch is 0"));
    }
    Ok(SubjectTag { scheme: wire.scheme, epoch: wire.epoch, value })
}

fn withdrawn(wire: &v1::RecordWithdrawn) -> Result<RecordWithdrawn, VoidReason> {
    Ok(RecordWithdrawn {
        record: object_id(wire.record.as_ref(), "record")?,
        reason: open_enum(wire.reason, "reason")?,
    })
}

fn registered_to_wire(it: &RecordRegistered) -> v1::RecordRegistered {
    let subject = |tag: &SubjectTag| v1::SubjectTag {
        scheme: tag.scheme,
        epoch: tag.epoch,
        value: Bytes::copy_from_slice(&tag.value),
    };
    v1::RecordRegistered {
        record: Some(object_id_to_wire(&it.record)),
        version: it.version,
        subjects: it.subjects.iter().map(subject).collect(),
        lifecycle: it.lifecycle,
        detail_commitment: Bytes::copy_from_slice(it.detail_commitment.as_bytes()),
        replaces: it.replaces.as_ref().map(|replaced| v1::RecordVersion {
            record: Some(object_id_to_wire(&replaced.record)),
            version: replaced.version,
        }),
    }
}

#[cfg(test)]
mod tests;
