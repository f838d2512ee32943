//! The head of one charter version: what stewards sign.

use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_proto::ledger::v1;

use crate::canonical::{self, CanonicalError, strictly_ascending};
use crate::fields::{closed_enum, fits_and_says};
use crate::ids::{CharterDigest, LogId, MemberName, RootHash};
use crate::signing::VerifyingKey;

/// Longest charter head in bytes. It travels with every receipt, so it is kept well below a frame.
pub const MAX_HEAD_LEN: usize = 256 * 1024;

/// Most stewards of one version.
pub const MAX_STEWARDS: usize = 64;

/// Most certificate authorities of one version.
pub const MAX_AUTHORITIES: usize = 64;

/// Most subject epochs: a new one with each suspension or departure.
pub const MAX_SUBJECT_EPOCHS: usize = 1024;

/// Most heads that one head may follow, and most log branches that it may name.
pub const MAX_BRANCHES: usize = 256;

/// Longest CA certificate in bytes (DER).
pub const MAX_CERTIFICATE_LEN: usize = 8_192;

/// The only format of heads.
pub(super) const FORMAT: u32 = 1;

/// The only scheme of subject tags.
pub(super) const SUBJECT_SCHEME: u32 = 1;

closed_enum! {
    /// Whether real records may be exchanged.
    Environment {
        /// Made-up people only.
        Test = 1,
        /// Real people.
        Production = 2,
    }
}

/// One of those who sign charters together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steward {
    /// From 1, never reused in a federation.
    pub ordinal: u32,
    /// The office that holds the key, never a person. At most 128 bytes.
    pub name: String,
    /// Admitted: canonical and torsion-free.
    pub key: VerifyingKey,
}

/// A certificate authority, and whom it may certify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateAuthority {
    /// SHA-256 of `certificate`.
    pub certificate_sha256: [u8; 32],
    /// DER, at most 8,192 bytes. Its content is judged where TLS is.
    pub certificate: Bytes,
    /// Members of this charter, ascending.
    pub members: Vec<MemberName>,
}

impl CertificateAuthority {
    /// An authority with the digest of its certificate; the names are put in order.
    pub fn new(certificate: Bytes, members: impl IntoIterator<Item = MemberName>) -> Self {
        let members: BTreeSet<MemberName> = members.into_iter().collect();
        let certificate_sha256 = Sha256::digest(&certificate).into();
        Self { certificate_sha256, certificate, members: members.into_iter().collect() }
    }
}

/// The branch of an equivocating log that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBranch {
    /// The log.
    pub log_id: LogId,
    /// Tree size at which the branch is named.
    pub size: u64,
    /// Root hash at that size.
    pub root: RootHash,
}

/// Limits that all members keep. 0 means the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CharterLimits {
    /// As written; see [`CharterLimits::max_format`].
    pub written_max_format: u32,
    /// As written; see [`CharterLimits::max_log_bytes_per_day`].
    pub written_max_log_bytes_per_day: u64,
}

impl CharterLimits {
    /// Highest header format that may be written. Default 1.
    pub fn max_format(&self) -> u32 {
        if self.written_max_format == 0 { 1 } else { self.written_max_format }
    }

    /// How much each log may grow in 24 hours, headers, payloads and details together. Default 1 GiB.
    pub fn max_log_bytes_per_day(&self) -> u64 {
        match self.written_max_log_bytes_per_day {
            0 => 1 << 30,
            written => written,
        }
    }
}

/// One epoch of subject tags: a commitment to its key, never the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectEpoch {
    /// From 1, without gaps.
    pub epoch: u32,
    /// SHA-256 of `"sundbro/v1/subject-key-commitment\n" ‖ epoch u32 BE ‖ key`.
    pub key_commitment: [u8; 32],
}

/// One version of the charter without its member list, which `members_root` commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterHead {
    /// From 1.
    pub version: u64,
    /// The head before; all heads of the version before when this one heals a fork. Empty in version 1. Ascending.
    pub previous: Vec<CharterDigest>,
    /// Ascending by log id.
    pub branches: Vec<LogBranch>,
    /// Whether real records may be exchanged.
    pub environment: Environment,
    /// Who signs the next version, ascending by ordinal.
    pub stewards: Vec<Steward>,
    /// How many of them must sign: more than half.
    pub threshold: u32,
    /// Ascending by certificate digest.
    pub authorities: Vec<CertificateAuthority>,
    /// As written, 0 for the default; see [`Charter::quorums`](super::Charter::quorums).
    pub recovery_quorum: u32,
    /// As written, 0 for the default.
    pub witness_quorum: u32,
    /// Limits that all members keep.
    pub limits: CharterLimits,
    /// Epochs of subject tags: 1, 2, 3.
    pub subject_epochs: Vec<SubjectEpoch>,
    /// How many members there are.
    pub members_count: u64,
    /// RFC 6962 root over the canonical member entries in order of name.
    pub members_root: RootHash,
}

/// Why bytes are not a charter head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// Too long, or not the canonical encoding.
    #[error("the charter head is not canonical")]
    Canonical(#[from] CanonicalError),
    /// A format that this version does not know.
    #[error("the charter head has format {format}, this software reads format 1: upgrade it")]
    Format {
        /// The format.
        format: u32,
    },
    /// Versions start at 1.
    #[error("the charter version is 0")]
    Version,
    /// Version 1 follows nothing, every other one a head or, when it heals a fork, several in order.
    #[error("`previous` must be empty in version 1 and digests of 32 bytes, ascending, in others")]
    Previous,
    /// A branch is malformed, out of order or there twice.
    #[error("the log branches must ascend by log id, each with a root of 32 bytes")]
    Branches,
    /// Neither TEST nor PRODUCTION.
    #[error("the environment is unspecified or unknown")]
    Environment,
    /// Stewards are too many, out of order, there twice, or start at 0.
    #[error("the stewards must ascend by ordinal from 1, at most 64")]
    StewardOrder,
    /// The name of a steward's office is empty, too long, or holds a control character.
    #[error("steward {ordinal} has no valid name")]
    StewardName {
        /// The steward.
        ordinal: u32,
    },
    /// Not 32 bytes, not canonical, or with torsion.
    #[error("steward {ordinal} has a key that cannot be admitted: make a new one")]
    StewardKey {
        /// The steward.
        ordinal: u32,
    },
    /// Two ordinals with one key would let one office count twice.
    #[error("steward {ordinal} has the same key as an earlier one")]
    SameStewardKeyTwice {
        /// The later of the two.
        ordinal: u32,
    },
    /// Fewer than more than half, or more than there are.
    #[error(
        "the threshold is {threshold} of {stewards} stewards: more than half, and not more than all, must sign"
    )]
    Threshold {
        /// As written.
        threshold: u32,
        /// How many stewards there are.
        stewards: usize,
    },
    /// Authorities are too many, out of order, or there twice.
    #[error("the certificate authorities must ascend by digest, at most 64")]
    AuthorityOrder,
    /// The certificate is empty, too long, or has another digest; or the names are malformed or out of order.
    #[error("certificate authority {place} {problem}")]
    Authority {
        /// Its place in the list, from 0.
        place: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// A submessage that says nothing stands there all the same.
    #[error("`limits` is there but empty: leave it out")]
    EmptyLimits,
    /// Subject epochs are not 1, 2, 3, or are too many.
    #[error("the subject epochs must be 1, 2, 3 without gaps, at most 1024")]
    SubjectEpochs,
    /// A scheme that this version does not know, or a commitment that is not 32 bytes.
    #[error("subject epoch {epoch} {problem}")]
    SubjectEpoch {
        /// The epoch.
        epoch: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// The root is not 32 bytes.
    #[error("`members_root` is not 32 bytes")]
    MembersRoot,
}

impl CharterHead {
    /// Reads a head from its canonical bytes and checks every rule that holds for one head alone.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let wire: v1::CharterHead = canonical::decode(bytes, MAX_HEAD_LEN)?;
        let head = Self::from_wire(&wire)?;
        head.validate()?;
        Ok(head)
    }

    /// Its canonical bytes: what stewards sign.
    pub fn to_bytes(&self) -> Bytes {
        canonical::encode(&self.to_wire()).into()
    }

    /// SHA-256 of its canonical bytes. Of version 1 this is the federation id.
    pub fn digest(&self) -> CharterDigest {
        digest_of(&self.to_bytes())
    }

    /// The steward with this ordinal.
    pub fn steward(&self, ordinal: u32) -> Option<&Steward> {
        self.stewards.iter().find(|steward| steward.ordinal == ordinal)
    }

    /// The number of the newest subject epoch; 0 when there is none.
    pub fn newest_subject_epoch(&self) -> u32 {
        self.subject_epochs.last().map_or(0, |epoch| epoch.epoch)
    }

    /// Checks what the types do not: counts, order, thresholds and digests.
    ///
    /// # Errors
    /// Fails with the first rule that is broken.
    pub fn validate(&self) -> Result<(), HeadError> {
        if self.version == 0 {
            return Err(HeadError::Version);
        }
        if (self.version == 1) != self.previous.is_empty()
            || self.previous.len() > MAX_BRANCHES
            || !strictly_ascending(&self.previous)
        {
            return Err(HeadError::Previous);
        }
        if self.branches.len() > MAX_BRANCHES
            || !strictly_ascending(self.branches.iter().map(|branch| branch.log_id))
        {
            return Err(HeadError::Branches);
        }
        self.validate_stewards()?;
        self.validate_authorities()?;
        let counted = (1u32..).zip(&self.subject_epochs).all(|(number, one)| number == one.epoch);
        if !counted || self.subject_epochs.len() > MAX_SUBJECT_EPOCHS {
            return Err(HeadError::SubjectEpochs);
        }
        Ok(())
    }

    fn validate_stewards(&self) -> Result<(), HeadError> {
        let stewards = self.stewards.len();
        let starts_at_zero = self.stewards.first().is_some_and(|steward| steward.ordinal == 0);
        if starts_at_zero
            || stewards > MAX_STEWARDS
            || !strictly_ascending(self.stewards.iter().map(|one| one.ordinal))
        {
            return Err(HeadError::StewardOrder);
        }
        let mut keys = BTreeSet::new();
        for steward in &self.stewards {
            let ordinal = steward.ordinal;
            if !fits_and_says(&steward.name, 128) {
                return Err(HeadError::StewardName { ordinal });
            }
            if !keys.insert(steward.key.as_bytes()) {
                return Err(HeadError::SameStewardKeyTwice { ordinal });
            }
        }
        let threshold = self.threshold as usize;
        if threshold > stewards || threshold * 2 <= stewards {
            return Err(HeadError::Threshold { threshold: self.threshold, stewards });
        }
        Ok(())
    }

    fn validate_authorities(&self) -> Result<(), HeadError> {
        if self.authorities.len() > MAX_AUTHORITIES
            || !strictly_ascending(self.authorities.iter().map(|one| one.certificate_sha256))
        {
            return Err(HeadError::AuthorityOrder);
        }
        for (place, authority) in self.authorities.iter().enumerate() {
            let wrong = |problem| Err(HeadError::Authority { place, problem });
            let len = authority.certificate.len();
            if len == 0 || len > MAX_CERTIFICATE_LEN {
                return wrong("has no certificate, or one longer than 8,192 bytes");
            }
            if authority.certificate_sha256
                != <[u8; 32]>::from(Sha256::digest(&authority.certificate))
            {
                return wrong("has a digest that is not that of its certificate");
            }
            if !strictly_ascending(&authority.members) {
                return wrong("has member names that do not ascend");
            }
        }
        Ok(())
    }
}

/// SHA-256 of a head's bytes. Nothing else of ours is hashed without a purpose in front; a head begins with its format
/// and cannot be a note, a leaf or a node.
pub(crate) fn digest_of(head_bytes: &[u8]) -> CharterDigest {
    CharterDigest::new(Sha256::digest(head_bytes).into())
}
