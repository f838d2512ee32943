//! The values that bodies are made of: ids, codes, texts, numbers of enums.

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::{RecordVersion, VoidReason};
use crate::ids::{MemberName, RecordId};

/// Longest URI of a code or identifier system in bytes.
pub const MAX_SYSTEM_LEN: usize = 256;
/// Longest code in bytes.
pub const MAX_CODE_LEN: usize = 64;
/// Longest identifier of a unit in bytes.
pub const MAX_IDENTIFIER_LEN: usize = 128;
/// Longest media type in bytes (RFC 6838 §4.2: 127 for each half; no registered one comes near).
pub const MAX_MEDIA_TYPE_LEN: usize = 127;
/// Longest language tag in bytes (RFC 5646 §4.4.1).
pub const MAX_LANGUAGE_LEN: usize = 35;

pub(super) fn object_id(
    wire: Option<&v1::ObjectId>,
    problem: &'static str,
) -> Result<RecordId, VoidReason> {
    let wrong = || VoidReason::Field(problem);
    let wire = wire.ok_or_else(wrong)?;
    let member = MemberName::new(&wire.member).map_err(|_| wrong())?;
    let id = wire.id[..].try_into().map_err(|_| wrong())?;
    Ok(RecordId { member, id })
}

pub(super) fn object_id_to_wire(record: &RecordId) -> v1::ObjectId {
    v1::ObjectId {
        member: record.member.as_str().to_owned(),
        id: Bytes::copy_from_slice(&record.id),
    }
}

pub(super) fn record_version(
    wire: Option<&v1::RecordVersion>,
    problem: &'static str,
) -> Result<RecordVersion, VoidReason> {
    let wire = wire.filter(|wire| wire.version != 0).ok_or(VoidReason::Field(problem))?;
    let record = object_id(wire.record.as_ref(), problem)?;
    Ok(RecordVersion { record, version: wire.version })
}

/// The number of an enum that may grow: any but unspecified and the negative ones.
pub(super) fn open_enum(number: i32, problem: &'static str) -> Result<i32, VoidReason> {
    if number > 0 { Ok(number) } else { Err(VoidReason::Field(problem)) }
}

/// The value of an enum that never grows: one that this version knows, and not unspecified.
pub(super) fn closed_enum<E: TryFrom<i32>>(
    number: i32,
    problem: &'static str,
) -> Result<E, VoidReason> {
    let value = open_enum(number, problem)?;
    E::try_from(value).map_err(|_| VoidReason::Field(problem))
}

pub(super) fn coding(wire: Option<&v1::Coding>, problem: &'static str) -> Result<(), VoidReason> {
    match wire {
        None => Ok(()),
        Some(wire) => {
            text(&wire.system, MAX_SYSTEM_LEN, problem)?;
            text(&wire.code, MAX_CODE_LEN, problem)
        }
    }
}

pub(super) fn identifier(
    wire: Option<&v1::Identifier>,
    problem: &'static str,
) -> Result<(), VoidReason> {
    match wire {
        None => Ok(()),
        Some(wire) => {
            text(&wire.system, MAX_SYSTEM_LEN, problem)?;
            text(&wire.value, MAX_IDENTIFIER_LEN, problem)
        }
    }
}

/// A text that is there, fits, and can be printed on one line.
pub(super) fn text(text: &str, max_len: usize, problem: &'static str) -> Result<(), VoidReason> {
    let fits = !text.is_empty() && text.len() <= max_len && !text.contains(char::is_control);
    if fits { Ok(()) } else { Err(VoidReason::Field(problem)) }
}
