//! What the blobs beside a grant show: that its entry registers the record asked for, with the content expected.
//!
//! Whether the registration counts in its log (versions without gaps, no withdrawal) depends on the entries before it;
//! that is the index's to know, and nothing that one entry can show.

use bytes::Bytes;

use super::{Permission, Request, RetrievalError};
use crate::blob::{detail_commitment, payload_commitment};
use crate::payload::{Detail, Payload};

/// What the blobs at hand show about a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationShown {
    /// The payload shows that the entry registers the record version asked for.
    pub record: bool,
    /// The detail shows that size and digest in the grant are the registered ones.
    pub content: bool,
}

/// Why blobs contradict a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The grant's entry cannot be read.
    #[error("the grant holds no entry")]
    Entry(#[from] RetrievalError),
    /// A blob is malformed, or not the one that is committed to.
    #[error("the {0} blob is not the one that the entry commits to")]
    OtherBlob(&'static str),
    /// The payload says something else, or nothing that counts.
    #[error("the entry of the grant does not register a record")]
    NotARegistration,
    /// Another record, or another version of it.
    #[error("the entry of the grant registers another record version than the one asked for")]
    OtherRecord,
    /// The detail is not readable, or describes another record version.
    #[error("the detail describes another record version than the one asked for")]
    OtherDetail,
    /// The grant promises something else than what is registered.
    #[error("size or digest in the grant are not the registered ones")]
    OtherContent,
    /// A detail without the payload that commits to it shows nothing.
    #[error("a detail blob is there without the payload blob that commits to it")]
    DetailAlone,
}

/// Checks the blobs at hand against a permission whose entry was verified. What is absent is not shown, which is no
/// error: blobs may be erased, and a receipt can be handed on without them.
///
/// # Errors
/// Fails when a blob is there and says otherwise.
pub fn check_registration(
    request: &Request,
    permission: &Permission,
    payload_blob: Option<&Bytes>,
    detail_blob: Option<&Bytes>,
) -> Result<RegistrationShown, RegistrationError> {
    let transaction = permission.transaction()?;
    let header = transaction.header();
    let Some(payload_blob) = payload_blob else {
        return match detail_blob {
            None => Ok(RegistrationShown { record: false, content: false }),
            Some(_) => Err(RegistrationError::DetailAlone),
        };
    };
    if payload_commitment(payload_blob) != header.payload_commitment {
        return Err(RegistrationError::OtherBlob("payload"));
    }
    let Ok(Payload::Registered(registered)) = Payload::read(header, payload_blob.clone()) else {
        return Err(RegistrationError::NotARegistration);
    };
    let asked = (&request.record, request.record_version);
    if (&registered.record, registered.version) != asked {
        return Err(RegistrationError::OtherRecord);
    }
    let Some(detail_blob) = detail_blob else {
        return Ok(RegistrationShown { record: true, content: false });
    };
    if detail_commitment(detail_blob) != registered.detail_commitment {
        return Err(RegistrationError::OtherBlob("detail"));
    }
    let detail = Detail::read(detail_blob.clone()).map_err(|_| RegistrationError::OtherDetail)?;
    if (&detail.record().record, detail.record().version) != asked {
        return Err(RegistrationError::OtherDetail);
    }
    let content = (detail.content_size_bytes(), detail.content_sha256());
    if content != (permission.expected_size_bytes, permission.expected_sha256) {
        return Err(RegistrationError::OtherContent);
    }
    Ok(RegistrationShown { record: true, content: true })
}
