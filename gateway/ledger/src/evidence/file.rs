//! A file of evidence: with the charter heads and the member's entries, so that a federation id is all one needs.

use std::collections::BTreeSet;

use prost::Message as _;
use sundbro_proto::ledger::v1;

use super::{Contradiction, Evidence, EvidenceError, FORMAT, UnprovenError, VerifiedEvidence};
use crate::book::{BookError, CharterBook, check_counts, head_of, judging_version, member_at};
use crate::history::CharterHistory;
use crate::ids::FederationId;
use crate::retrieval::SignerBook as _;

/// Longest file of evidence in bytes: as a receipt, which carries the same heads.
pub const MAX_EVIDENCE_FILE_LEN: usize = 16 << 20;

/// Why a file of evidence proves nothing, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceFileError {
    /// More than 16 MiB.
    #[error("the file of evidence is longer than 16 MiB")]
    TooLong,
    /// Not protobuf.
    #[error("the file is no evidence")]
    NotAFile,
    /// Another encoding than the one that is written.
    #[error("the file is not in the one encoding that evidence has: it was changed on its way")]
    NotCanonical,
    /// A format that this version does not know.
    #[error("the file of evidence has format {format}, this software reads format 1: upgrade it")]
    Format {
        /// The format.
        format: u32,
    },
    /// The charter heads or member entries in it break a rule.
    #[error("the charter in the file of evidence does not hold")]
    Book(#[from] BookError),
    /// The file is of another federation than the one expected. Perfect in itself, and worth nothing.
    #[error("the evidence is of federation {found}, not {expected}: it proves nothing here")]
    OtherFederation {
        /// The one expected.
        expected: FederationId,
        /// The one found.
        found: FederationId,
    },
    /// What it holds is no evidence.
    #[error("what the file holds is no evidence")]
    Evidence(#[from] EvidenceError),
    /// It does not convict.
    #[error("the evidence convicts nobody")]
    Unproven(#[from] UnprovenError),
}

/// What a valid file of evidence proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceVerdict {
    /// The federation that it is of.
    pub federation: FederationId,
    /// Whether the caller expected that federation. If not, it may be a forged one.
    pub pinned: bool,
    /// The newest charter version in it.
    pub newest_charter_version: u64,
    /// The two statements.
    pub evidence: Evidence,
    /// Whom they convict of what.
    pub verified: VerifiedEvidence,
}

/// Puts evidence beside what an outsider needs to check it, and checks it as its reader will. It carries the heads up to
/// the one in force, so that it shows the ends of keys that we know of.
///
/// # Errors
/// Fails when the evidence does not convict by our charter, or the file would be too long.
pub fn assemble_evidence(
    history: &CharterHistory,
    evidence: &Evidence,
) -> Result<v1::EvidenceFile, EvidenceFileError> {
    let member = evidence.verify(history)?.member;
    let mut versions = BTreeSet::from([history.in_force()]);
    if let Contradiction::Entries(two) = evidence.contradiction() {
        let named = two.iter().map(|entry| entry.header().charter_version);
        versions.extend(named.map(|version| judging_version(history, version)));
    }
    let members = versions.into_iter().map(|version| member_at(history, version, &member));
    let file = v1::EvidenceFile {
        format: FORMAT,
        heads: history.chain().map(head_of).collect(),
        members: members.collect::<Result<_, _>>()?,
        evidence: evidence.to_bytes(),
    };
    verify_evidence_file(&file.encode_to_vec(), Some(&history.federation_id()))?;
    Ok(file)
}

/// Checks a file of evidence from the federation id alone. Without an expected id everything is checked against the id
/// found, and the verdict is not pinned.
///
/// # Errors
/// Fails with the first thing that does not hold.
pub fn verify_evidence_file(
    bytes: &[u8],
    expected: Option<&FederationId>,
) -> Result<EvidenceVerdict, EvidenceFileError> {
    let file = read(bytes)?;
    let mut book = CharterBook::read(&file.heads, &file.members)?;
    let federation = book.federation_id();
    if let Some(expected) = expected.filter(|expected| **expected != federation) {
        return Err(EvidenceFileError::OtherFederation { expected: *expected, found: federation });
    }
    let evidence = Evidence::parse(&file.evidence)?;
    let verified = evidence.verify_by(&mut book)?;
    book.require_newest(&verified.member)?;
    if !book.revoked.is_empty() {
        // As a gateway judges it: whoever stole a key can sign anything at or above its end.
        return Err(UnprovenError::Key("a newer charter version ended the key before this").into());
    }
    let newest_charter_version = book.newest_version();
    let pinned = expected.is_some();
    Ok(EvidenceVerdict { federation, pinned, newest_charter_version, evidence, verified })
}

fn read(bytes: &[u8]) -> Result<v1::EvidenceFile, EvidenceFileError> {
    if bytes.len() > MAX_EVIDENCE_FILE_LEN {
        return Err(EvidenceFileError::TooLong);
    }
    check_counts(bytes).map_err(|error| match error {
        BookError::NotAFile => EvidenceFileError::NotAFile,
        error => error.into(),
    })?;
    let file = v1::EvidenceFile::decode(bytes).map_err(|_| EvidenceFileError::NotAFile)?;
    if file.format != FORMAT {
        return Err(EvidenceFileError::Format { format: file.format });
    }
    match file.encode_to_vec() == bytes {
        true => Ok(file),
        false => Err(EvidenceFileError::NotCanonical),
    }
}
