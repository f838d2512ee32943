//! Why the charter heads and member entries in a file for outsiders prove nothing.

use crate::charter::{HeadError, SuccessionError};
use crate::ids::MemberName;
use crate::member::MemberError;

/// Why heads and member entries in a file do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BookError {
    /// Not protobuf.
    #[error("the file is not a message: it was cut or changed on its way")]
    NotAFile,
    /// There is no charter head.
    #[error("there are no charter heads: they go from version 1 to the newest one used")]
    NoHeads,
    /// A head breaks a rule.
    #[error("charter head {version} breaks a rule")]
    Head {
        /// Its version.
        version: u64,
        /// Which rule.
        source: Box<HeadError>,
    },
    /// The signatures of a head are malformed.
    #[error("the signatures of charter head {version} must ascend, none twice, each 64 bytes")]
    HeadSignatures {
        /// Its version.
        version: u64,
    },
    /// A head does not follow the one before, or is not signed by those who must.
    #[error("charter head {version} does not follow the one before")]
    Succession {
        /// Its version.
        version: u64,
        /// Why.
        source: Box<SuccessionError>,
    },
    /// A version stands more than once, and its heads do not ascend, are more than 16, or are not those that the version
    /// after it names.
    #[error(
        "charter version {version} stands more than once: its heads must ascend, at most 16, and the version after it \
         must name each of them"
    )]
    ForkedHeads {
        /// The version.
        version: u64,
    },
    /// Entries are out of order, there twice, or too many.
    #[error("the members must ascend by version and name, none twice, at most 16")]
    MemberOrder,
    /// A member entry breaks a rule.
    #[error("a member entry at charter version {version} breaks a rule")]
    Member {
        /// The charter version.
        version: u64,
        /// Which rule.
        source: Box<MemberError>,
    },
    /// An entry does not stand in the charter version that it claims, or the file lacks that version.
    #[error("a member entry is not in charter version {version}")]
    MemberNotIncluded {
        /// The version.
        version: u64,
    },
    /// Two entries of one member contradict each other: keys or log epochs changed as no charter lets them.
    #[error("the member entry at charter version {version} does not continue the one before it")]
    MemberSuccession {
        /// The charter version of the later one.
        version: u64,
        /// Why.
        source: Box<SuccessionError>,
    },
    /// An entry of a member concerned is left out that would tell of revoked keys.
    #[error("the file lacks the entry of {member} at its newest charter version, {version}")]
    NewestEntryMissing {
        /// Whose.
        member: MemberName,
        /// The newest charter version in the file.
        version: u64,
    },
    /// A part cannot be found in the charter that we hold.
    #[error("our charter has no {what} at version {version}: fetch the newest charter")]
    NotInOurCharter {
        /// What is missing.
        what: &'static str,
        /// The version.
        version: u64,
    },
    /// More of something than may be in it.
    #[error("there are more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
}
