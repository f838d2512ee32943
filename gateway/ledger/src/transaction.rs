//! The header of a transaction and its entry in the log: strict bytes in, typed fields out, and back.
//!
//! A `SignedTransaction` is well-formed and nothing more. [`LogHead::verify`](crate::log::LogHead::verify) judges it
//! against the log that it claims to continue.

use core::fmt;

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use crate::canonical::{self, CanonicalError, minimal_varint};
use crate::ids::{Commitment, LeafHash, LogId};
use crate::merkle::leaf_hash;
use crate::signing::{SIGNATURE_LEN, Signature};

/// The header format of this version.
pub const HEADER_FORMAT: u32 = 1;
/// Longest header in bytes: about three times what format 1 needs.
pub const MAX_HEADER_LEN: usize = 512;
/// Longest entry in bytes: header and signature.
pub const MAX_ENTRY_LEN: usize = MAX_HEADER_LEN + SIGNATURE_LEN;
/// Longest payload blob in bytes.
pub const MAX_PAYLOAD_SIZE: u32 = 65_536;

/// Who may hold a payload or a detail. Closed: a new value comes with a new header format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Every active member.
    Federation,
    /// Only those whom the blob names.
    Limited,
}

impl Audience {
    fn from_wire(value: i32) -> Option<Self> {
        match v1::Audience::try_from(value) {
            Ok(v1::Audience::Federation) => Some(Self::Federation),
            Ok(v1::Audience::Limited) => Some(Self::Limited),
            Ok(v1::Audience::Unspecified) | Err(_) => None,
        }
    }

    const fn to_wire(self) -> v1::Audience {
        match self {
            Self::Federation => v1::Audience::Federation,
            Self::Limited => v1::Audience::Limited,
        }
    }
}

/// Why bytes are not a header that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// A format from the future: nothing else about the header was judged.
    #[error("the header has format {0}, this version knows format 1: upgrade to read on")]
    UnknownFormat(u32),
    /// Not the canonical encoding of a header.
    #[error("the header is not canonical")]
    NotCanonical(#[from] CanonicalError),
    /// A field has a value that no header may have.
    #[error("header field {0}")]
    Field(&'static str),
}

/// Why bytes are not an entry that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than a header and a signature can be.
    #[error("the entry has {0} bytes, at most 576 are allowed")]
    TooLarge(usize),
    /// Too short to end in a signature.
    #[error("the entry has {0} bytes and so no room for header and signature")]
    TooShort(usize),
    /// The bytes before the signature.
    #[error("the entry's header does not parse")]
    Header(#[from] HeaderError),
}

/// What is signed, linked and never erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Charter version by which the key is judged, from 1.
    pub charter_version: u64,
    /// The log that it belongs to.
    pub log_id: LogId,
    /// Position in the log, from 0.
    pub position: u64,
    /// Leaf hash of the entry before it; [`LeafHash::NONE`] at position 0.
    pub previous_leaf: LeafHash,
    /// The author's TRANSACTION key, from 1.
    pub key_id: u32,
    /// How often the author's gateway had been started, from 1.
    pub incarnation: u32,
    /// Hours since 1970 by the author's clock. No rule reads it.
    pub recorded_hour: u32,
    /// Commitment to the payload blob.
    pub payload_commitment: Commitment,
    /// Length of the payload blob in bytes.
    pub payload_size: u32,
    /// Who may hold the payload.
    pub audience: Audience,
}

impl Header {
    /// Parses a header from its one encoding.
    ///
    /// # Errors
    /// [`HeaderError::UnknownFormat`] when field 1 comes first and holds a higher number, whatever follows: the log
    /// waits. Any other error is for ever: these bytes are no header.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        if let Some(format) = leading_format(bytes)
            && format > HEADER_FORMAT
        {
            return Err(HeaderError::UnknownFormat(format));
        }
        let wire: v1::TransactionHeader = canonical::decode(bytes, MAX_HEADER_LEN)?;
        if wire.format != HEADER_FORMAT {
            return Err(HeaderError::Field("format is missing"));
        }
        let header = Self {
            charter_version: wire.charter_version,
            log_id: digest(&wire.log_id, "log_id is not 32 bytes")?,
            position: wire.position,
            previous_leaf: digest(&wire.previous_leaf, "previous_leaf is not 32 bytes")?,
            key_id: wire.key_id,
            incarnation: wire.incarnation,
            recorded_hour: wire.recorded_hour,
            payload_commitment: digest(
                &wire.payload_commitment,
                "payload_commitment is not 32 bytes",
            )?,
            payload_size: wire.payload_size,
            audience: Audience::from_wire(wire.audience)
                .ok_or(HeaderError::Field("audience is not one that format 1 has"))?,
        };
        header.check_values()?;
        Ok(header)
    }

    /// The bytes that are signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let digest = |bytes: &[u8; 32]| Bytes::copy_from_slice(bytes);
        canonical::encode(&v1::TransactionHeader {
            format: HEADER_FORMAT,
            charter_version: self.charter_version,
            log_id: digest(self.log_id.as_bytes()),
            position: self.position,
            previous_leaf: digest(self.previous_leaf.as_bytes()),
            key_id: self.key_id,
            incarnation: self.incarnation,
            recorded_hour: self.recorded_hour,
            payload_commitment: digest(self.payload_commitment.as_bytes()),
            payload_size: self.payload_size,
            audience: self.audience.to_wire().into(),
        })
    }

    /// The rules that the types do not hold. Checked again before an entry of our own counts, since it was not parsed.
    pub(crate) fn check_values(&self) -> Result<(), HeaderError> {
        let wrong = |what| Err(HeaderError::Field(what));
        if self.charter_version == 0 {
            return wrong("charter_version is 0");
        }
        if self.key_id == 0 {
            return wrong("key_id is 0");
        }
        if self.incarnation == 0 {
            return wrong("incarnation is 0");
        }
        if self.payload_size > MAX_PAYLOAD_SIZE {
            return wrong("payload_size is more than 65,536");
        }
        Ok(())
    }
}

fn digest<'a, D: TryFrom<&'a [u8]>>(
    bytes: &'a [u8],
    problem: &'static str,
) -> Result<D, HeaderError> {
    D::try_from(bytes).map_err(|_| HeaderError::Field(problem))
}

/// The format that a header of any version begins with: the tag of field 1 and a minimal varint of 32 bits.
fn leading_format(bytes: &[u8]) -> Option<u32> {
    let mut varint = bytes.strip_prefix(&[0x08])?;
    minimal_varint(&mut varint)
}

/// What an author hands in for its next entry; the log adds where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    /// Charter version by which the key shall be judged.
    pub charter_version: u64,
    /// The TRANSACTION key that signs.
    pub key_id: u32,
    /// How often this gateway was started.
    pub incarnation: u32,
    /// Hours since 1970.
    pub recorded_hour: u32,
    /// Commitment to the payload blob.
    pub payload_commitment: Commitment,
    /// Its length in bytes.
    pub payload_size: u32,
    /// Who may hold it.
    pub audience: Audience,
}

/// A well-formed entry: header and signature, neither checked against anything yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    header: Header,
    entry: Bytes,
    signature: Signature,
}

impl SignedTransaction {
    /// Parses an entry of a log: the header, then 64 bytes of signature.
    ///
    /// # Errors
    /// As [`Header::parse`]; and when the length leaves no room for both, or is more than both can have.
    pub fn parse(entry: &[u8]) -> Result<Self, EntryError> {
        Self::from_entry(Bytes::copy_from_slice(entry))
    }

    /// [`parse`](Self::parse) without a copy.
    ///
    /// # Errors
    /// As there.
    pub fn from_entry(entry: Bytes) -> Result<Self, EntryError> {
        // First, since nobody knows what else a later format changes.
        if let Some(format) = leading_format(&entry)
            && format > HEADER_FORMAT
        {
            return Err(HeaderError::UnknownFormat(format).into());
        }
        if entry.len() > MAX_ENTRY_LEN {
            return Err(EntryError::TooLarge(entry.len()));
        }
        let Some((header, signature)) = entry.split_last_chunk::<SIGNATURE_LEN>() else {
            return Err(EntryError::TooShort(entry.len()));
        };
        let (header, signature) = (Header::parse(header)?, Signature::new(*signature));
        Ok(Self { header, entry, signature })
    }

    /// Puts a header and its signature together.
    pub(crate) fn new(header: Header, signature: Signature) -> Self {
        let mut entry = header.to_bytes();
        entry.extend_from_slice(signature.as_bytes());
        Self { header, entry: entry.into(), signature }
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The signed bytes.
    pub fn header_bytes(&self) -> &[u8] {
        // An entry is never shorter than its signature.
        &self.entry[..self.entry.len() - SIGNATURE_LEN]
    }

    /// The signature over them.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The entry as it stands in the log.
    pub fn entry_bytes(&self) -> &Bytes {
        &self.entry
    }

    /// Its leaf hash, which names it.
    pub fn leaf(&self) -> LeafHash {
        leaf_hash(&self.entry)
    }
}

impl fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { log_id, position, .. } = &self.header;
        write!(f, "{:?} ({log_id:?} position {position})", self.leaf())
    }
}

/// An entry that [`LogHead::verify`](crate::log::LogHead::verify) found valid. There is no other way to get one.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedTransaction {
    transaction: SignedTransaction,
    leaf: LeafHash,
}

impl VerifiedTransaction {
    /// Only for `log`, after every rule held.
    pub(crate) fn new(transaction: SignedTransaction) -> Self {
        let leaf = transaction.leaf();
        Self { transaction, leaf }
    }

    /// What it says.
    pub fn header(&self) -> &Header {
        self.transaction.header()
    }

    /// The entry as it stands in the log.
    pub fn entry_bytes(&self) -> &Bytes {
        self.transaction.entry_bytes()
    }

    /// Its leaf hash, which names it.
    pub fn leaf(&self) -> LeafHash {
        self.leaf
    }
}

impl fmt::Debug for VerifiedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transaction.fmt(f)
    }
}

#[cfg(test)]
mod tests;
