//! What an adapter says of one document: its key, its looks, and the metadata that a reader needs to choose it.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::profile::IdentifierNote;
use crate::subject::LocalSubject;

/// Longest URI of a code or identifier system in bytes (`Coding.system`, `Identifier.system`).
pub const MAX_URI_BYTES: usize = 256;
/// Longest code in bytes (`Coding.code`).
pub const MAX_CODE_BYTES: usize = 64;
/// Longest identifier of an organisation in bytes (`Identifier.value`).
pub const MAX_IDENTIFIER_BYTES: usize = 128;
/// Most subjects of one record (`RecordRegistered.subjects`).
pub const MAX_SUBJECTS: usize = 16;

/// The name of an item within its source: for a folder the path below it, with `/`.
///
/// File names often hold personal numbers, so `Debug` shows nothing, not even a digest (a guess could be tested against
/// it), and there is no `Display`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey(Vec<u8>);

impl SourceKey {
    /// From its bytes, as a locator table keeps them.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes, for the record id and the locator table.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first 16 bytes of its SHA-256: a set of a million keys takes 16 MB however long the names are. Never shown: a
    /// guess could be tested against it.
    pub fn short_digest(&self) -> ShortDigest {
        short_digest(&self.0)
    }

    /// Its text, for an operator's table on this machine. Never for a log or another member.
    pub fn for_operator(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// A key, or a folder of one, in 16 bytes.
pub type ShortDigest = [u8; 16];

pub(crate) fn short_digest(key: &[u8]) -> ShortDigest {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

impl fmt::Debug for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceKey(…)")
    }
}

/// What an item looks like from outside. When it differs, the item is read again; when it does not, it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Length of the content in bytes.
    pub size_bytes: u64,
    /// Time of the last modification, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Number of the file in its file system; 0 where there is none.
    pub inode: u64,
    /// Digest of the looks of what describes the content (a sidecar); 0 without.
    pub companion: u64,
}

impl Fingerprint {
    /// Length of its bytes.
    pub const LEN: usize = 32;

    /// Its fields in order, each big-endian, for a locator table.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.size_bytes.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.modified_ns.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.inode.to_be_bytes());
        bytes[24..].copy_from_slice(&self.companion.to_be_bytes());
        bytes
    }

    /// From the bytes of [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let field = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            word
        };
        Self {
            size_bytes: u64::from_be_bytes(field(0)),
            modified_ns: i64::from_be_bytes(field(8)),
            inode: u64::from_be_bytes(field(16)),
            companion: u64::from_be_bytes(field(24)),
        }
    }
}

/// The id that a document gives itself. It may be traced to a person by who issued it, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentId(String);

/// SHA-256 of a document id: enough to see two files with one id.
pub type DocumentIdDigest = [u8; 32];

impl DocumentId {
    pub(crate) fn new(system: &str, value: &str) -> Self {
        Self(format!("{system}|{value}"))
    }

    /// `system|value`, for an operator's table on this machine.
    pub fn for_operator(&self) -> &str {
        &self.0
    }

    /// What tables keep of it.
    pub fn digest(&self) -> DocumentIdDigest {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentId(…)")
    }
}

/// A code and the system that defines it, within the limits of the ledger's `Coding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coding {
    /// URI of the code system.
    pub system: String,
    /// The code.
    pub code: String,
}

/// An identifier of an organisation or unit, within the limits of the ledger's `Identifier`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// URI of the identifier system.
    pub system: String,
    /// The identifier in it.
    pub value: String,
}

/// The time that a document is about, in seconds since 1970-01-01T00:00Z. At least one end is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClinicalPeriod {
    /// First second. `None`: open.
    pub start_unix_seconds: Option<i64>,
    /// First second after it. `None`: open.
    pub end_unix_seconds: Option<i64>,
}

/// How confidential a document says it is (HL7 v3 Confidentiality; U, L and M count as normal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidentiality {
    /// N.
    Normal,
    /// R.
    Restricted,
    /// V.
    VeryRestricted,
}

/// Where a document stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Not finished.
    Preliminary,
    /// Finished and attested.
    Final,
    /// Changed after it was final.
    Amended,
}

/// A document that a source holds.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundDocument {
    /// Its key in the source.
    pub source_key: SourceKey,
    /// What it looked like when it was read.
    pub fingerprint: Fingerprint,
    /// The id it gives itself. `None` if it has none.
    pub document_id: Option<DocumentId>,
    /// Whom it concerns, 1 to [`MAX_SUBJECTS`], none twice.
    pub subjects: Vec<LocalSubject>,
    /// What kind of document it is. `None` if it does not say.
    pub class: Option<Coding>,
    /// Media type of the content (RFC 6838).
    pub media_type: String,
    /// SHA-256 of the content.
    pub content_sha256: [u8; 32],
    /// Length of the content in bytes.
    pub content_size_bytes: u64,
    /// The time that it is about. `None` if it does not say.
    pub period: Option<ClinicalPeriod>,
    /// The unit in which it was written. `None` if it does not say.
    pub author_unit: Option<Identifier>,
    /// Kind of facility. `None` if it does not say.
    pub facility: Option<Coding>,
    /// Kind of practice. `None` if it does not say.
    pub practice_setting: Option<Coding>,
    /// How confidential it is. An adapter never finds anything but normal as long as nothing else can be registered.
    pub confidentiality: Confidentiality,
    /// Language of the content (RFC 5646). `None` if it does not say.
    pub language: Option<String>,
    /// Who keeps it, as the document says. `None` if it does not say.
    pub custodian: Option<Identifier>,
    /// Where it stands in its life.
    pub lifecycle: Lifecycle,
    /// What was odd about it, in the order it was seen, none twice.
    pub warnings: Vec<FoundWarning>,
}

/// Something odd about a document that is nevertheless registered. Codes only: no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundWarning {
    /// Another item of the source has the same document id; both are registered.
    DuplicateDocumentId,
    /// It has no id of its own.
    NoDocumentId,
    /// It does not say what kind of document it is.
    NoType,
    /// It has no date.
    NoDate,
    /// A time in it does not parse and was left out.
    BadTime,
    /// It does not say how confidential it is; taken as normal.
    NoConfidentiality,
    /// It does not say where it stands in its life; taken as preliminary.
    NoStatus,
    /// A code, identifier or language is longer than the ledger takes, has control characters or is no such thing, and
    /// was left out.
    FieldLeftOut,
    /// One of its patient identifiers is odd.
    Identifier(IdentifierNote),
}

impl FoundWarning {
    /// Every warning, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::DuplicateDocumentId,
        Self::NoDocumentId,
        Self::NoType,
        Self::NoDate,
        Self::BadTime,
        Self::NoConfidentiality,
        Self::NoStatus,
        Self::FieldLeftOut,
        Self::Identifier(IdentifierNote::CheckDigit),
        Self::Identifier(IdentifierNote::RegionUnknown),
        Self::Identifier(IdentifierNote::FutureBirthDate),
        Self::Identifier(IdentifierNote::AgeOver120),
    ];

    /// The constant that logs and tables show.
    pub fn code(self) -> &'static str {
        match self {
            Self::DuplicateDocumentId => "DUPLICATE_DOCUMENT_ID",
            Self::NoDocumentId => "NO_DOCUMENT_ID",
            Self::NoType => "NO_TYPE",
            Self::NoDate => "NO_DATE",
            Self::BadTime => "BAD_TIME",
            Self::NoConfidentiality => "NO_CONFIDENTIALITY",
            Self::NoStatus => "NO_STATUS",
            Self::FieldLeftOut => "FIELD_LEFT_OUT",
            Self::Identifier(note) => note.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_keys_and_document_ids_shows_nothing() {
        let key = SourceKey::from_bytes("in/150390-1AB2.xml");
        let id = DocumentId::new("urn:oid:1.2.3", "150390-1AB2");
        assert_eq!(format!("{key:?} {id:?}"), "SourceKey(…) DocumentId(…)");
        assert_eq!(key.for_operator(), "in/150390-1AB2.xml");
        assert_eq!(id.for_operator(), "urn:oid:1.2.3|150390-1AB2");
    }

    #[test]
    fn fingerprint_comes_back_from_its_bytes() {
        let fingerprint =
            Fingerprint { size_bytes: 1, modified_ns: -2, inode: u64::MAX, companion: 3 };
        let bytes = fingerprint.to_bytes();
        assert_eq!(bytes[..8], [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(Fingerprint::from_bytes(&bytes), fingerprint);
    }
}
