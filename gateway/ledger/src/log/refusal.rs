//! Why a log stops or waits, each reason with a name for operators.

use crate::evidence::Equivocation;
use crate::ids::{LeafHash, LogId};
use crate::transaction::EntryError;

/// Why an entry was not appended. The log's own fault or its future, never the sender's: a valid checkpoint commits to
/// the entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No version of us will ever take it: the log stops here.
    #[error("entry {position} is invalid: the log is followed no further")]
    Invalid {
        /// Its position.
        position: u64,
        /// Which rule it breaks.
        #[source]
        reason: InvalidReason,
    },
    /// We cannot judge it yet: the log waits here.
    #[error("entry {position} cannot be judged yet: the log waits")]
    Waiting {
        /// Its position.
        position: u64,
        /// What is missing.
        #[source]
        reason: WaitingReason,
    },
}

impl Refusal {
    /// Where the log ends for us.
    pub fn position(&self) -> u64 {
        match self {
            Self::Invalid { position, .. } | Self::Waiting { position, .. } => *position,
        }
    }

    /// Constant that names the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { reason, .. } => reason.code(),
            Self::Waiting { reason, .. } => reason.code(),
        }
    }
}

/// Which rule an entry breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReason {
    /// Longer than any entry.
    #[error("the entry has {0} bytes, at most 576 are allowed")]
    TooLarge(usize),
    /// Its bytes are not the one encoding of a header and a signature.
    #[error("the entry is not canonical")]
    NotCanonical(#[source] EntryError),
    /// It names another log.
    #[error("the entry belongs to {0:?}")]
    WrongLog(LogId),
    /// It names another position.
    #[error("the entry says that it stands at position {0}")]
    WrongPosition(u64),
    /// It does not follow the entry before it.
    #[error("the entry follows {claimed:?}, the entry before it is {actual:?}")]
    BadLink {
        /// What it says that it follows.
        claimed: LeafHash,
        /// What stands before it.
        actual: LeafHash,
    },
    /// It goes back to an older charter version.
    #[error("the entry names charter version {claimed}, the one before it named {before}")]
    CharterDecreased {
        /// What it names.
        claimed: u64,
        /// What the entry before it named.
        before: u64,
    },
    /// It goes back to an earlier start of its gateway.
    #[error("the entry names incarnation {claimed}, the one before it named {before}")]
    IncarnationDecreased {
        /// What it names.
        claimed: u32,
        /// What the entry before it named.
        before: u32,
    },
    /// It is signed with an older key than the entry before it.
    #[error("the entry is signed by key {claimed}, the one before it by the newer key {before}")]
    KeyWentBack {
        /// Its key.
        claimed: u32,
        /// The key of the entry before it.
        before: u32,
    },
    /// The charter does not let the key that it names sign here.
    #[error("the key that the entry names does not sign here: {0}")]
    WrongKey(&'static str),
    /// The key that it names did not sign it.
    #[error("the signature does not verify by the key that the entry names")]
    BadSignature,
    /// The log's writer signed two histories that part here, and no charter says which one goes on.
    #[error(
        "the writer signed two histories of the log that part here: see `sundbro log evidence`"
    )]
    Equivocated(Equivocation),
}

impl InvalidReason {
    /// Constant that names the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "TOO_LARGE",
            Self::NotCanonical(_) => "NOT_CANONICAL",
            Self::WrongLog(_) => "WRONG_LOG",
            Self::WrongPosition(_) => "WRONG_POSITION",
            Self::BadLink { .. } => "BAD_LINK",
            Self::CharterDecreased { .. } => "CHARTER_DECREASED",
            Self::IncarnationDecreased { .. } => "INCARNATION_DECREASED",
            Self::KeyWentBack { .. } => "KEY_WENT_BACK",
            Self::WrongKey(_) => "WRONG_KEY",
            Self::BadSignature => "BAD_SIGNATURE",
            Self::Equivocated(kind) => kind.code(),
        }
    }
}

/// What is missing to judge an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitingReason {
    /// A header format from the future.
    #[error("it has header format {0}: upgrade this gateway")]
    UnknownFormat(u32),
    /// A charter version that is not here, or that forked.
    #[error("it names charter version {0}, which is not in force here: fetch it from a peer")]
    CharterVersion(u64),
}

impl WaitingReason {
    /// Constant that names the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat(_) => "UNKNOWN_FORMAT",
            Self::CharterVersion(_) => "CHARTER_VERSION_MISSING",
        }
    }
}
