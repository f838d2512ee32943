//! All charter versions that we follow, and what they say about a key, a log or a member.
//!
//! A [`CharterHistory`] holds versions 1 to n, each valid after the one before. It never chooses between two valid heads
//! of one version: both are kept as evidence, the version before stays in force, and nothing above is followed until
//! stewards heal the fork. What it holds depends on what was offered and fits, never on the order in which it came.

mod keys;
mod logs;
mod past;
mod reading;
mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use self::keys::{KeyUse, judge_key};
use self::logs::logs_of;
pub use self::logs::{LogOwner, SHORT_LOG_ID_LEN};
pub use self::reading::{OfferRead, ReadOfferError};
pub use self::refused::Named;
use crate::charter::{
    Charter, CharterHead, Environment, SubjectEpoch, SuccessionError, check_head_succession,
    check_member_succession, check_signers, verify_signatures,
};
use crate::ids::{CharterDigest, FederationId, LogId, MemberName};

/// Most heads of one version kept as evidence; of more, those with the smallest digests. Two convince everybody, more
/// are kept because the version that heals the fork names them all.
pub const MAX_FORK_HEADS: usize = 16;

/// Two validly signed heads of one charter version: more than half of the stewards signed each, so some signed both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterFork {
    /// The version that stands twice.
    pub version: u64,
    /// The head with the smaller digest, with its signatures and members.
    pub a: Charter,
    /// The other one.
    pub b: Charter,
}

/// What became of a charter that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Offered {
    /// It is in force from here on.
    Accepted,
    /// We had it, with all these signatures.
    Known,
    /// We had it, but not all of its signatures: keep it.
    MoreSignatures,
    /// Versions before it are missing: fetch them from `next` on, and offer it again.
    Gap {
        /// The first version that we lack.
        next: u64,
    },
    /// It follows another head than the one that we hold. Either it is worthless, or the version before stands twice:
    /// fetch that version from whoever sent this, and offer both again. If it is the one that we hold, the sender is at
    /// fault.
    OtherBranch {
        /// The version to fetch.
        fetch: u64,
    },
    /// It is a second valid head of its version: nothing from that version on is in force. Keep it.
    Fork(Box<CharterFork>),
    /// It follows a version that stands twice: it is not followed until the fork is healed.
    Unhealed {
        /// The version that stands twice.
        forked: u64,
    },
}

/// Why a charter was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The first charter of a history is not version 1.
    #[error("the history of a charter starts with version 1, not {version}")]
    NotFirst {
        /// The version.
        version: u64,
    },
    /// Version 1 of another federation.
    #[error("the charter is of federation {found}, not {expected}")]
    OtherFederation {
        /// Ours.
        expected: FederationId,
        /// Its.
        found: FederationId,
    },
    /// It does not follow our version before it.
    #[error("charter version {version} is not valid")]
    Succession {
        /// The version.
        version: u64,
        /// Why.
        source: SuccessionError,
    },
    /// The ids of two logs begin with the same eight bytes.
    #[error(
        "the logs {a} and {b} have ids that begin alike: start another log epoch for one of them"
    )]
    LogIdsCollide {
        /// One origin.
        a: String,
        /// The other.
        b: String,
    },
    /// A branch is named for a log that no member has.
    #[error("the charter names a branch of log {log}, which no member has")]
    BranchOfUnknownLog {
        /// The log.
        log: LogId,
    },
}

/// Real records are not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the charter says PRODUCTION, and this version refuses it: payload encryption, anchored audit and consents are \
     not there yet; found a TEST federation with made-up people"
)]
pub struct ProductionRefused;

/// Refuses a charter for real people, until payload encryption, audit and consents exist.
///
/// # Errors
/// Fails when the environment is PRODUCTION.
pub fn refuse_production(charter: &Charter) -> Result<(), ProductionRefused> {
    match charter.head().environment {
        Environment::Test => Ok(()),
        Environment::Production => Err(ProductionRefused),
    }
}

/// The heads of the version after the last one in force, when there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForkedVersion {
    /// At least two.
    heads: BTreeMap<CharterDigest, Charter>,
}

/// Versions 1 to n of one federation's charter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterHistory {
    federation_id: FederationId,
    /// Version v stands at v − 1. Never empty.
    versions: Vec<Arc<Charter>>,
    /// Heads of version n + 1.
    fork: Option<Arc<ForkedVersion>>,
    /// Every log that version n knows.
    logs: Arc<BTreeMap<LogId, LogOwner>>,
}

impl CharterHistory {
    /// Starts a history with version 1, signed by every one of its stewards. Its digest is the federation's id; whether
    /// that is the federation that one means, the caller must know from elsewhere.
    ///
    /// # Errors
    /// Fails when it is not version 1, or breaks a rule.
    pub fn found(first: Charter) -> Result<Self, OfferError> {
        if first.version() != 1 {
            return Err(OfferError::NotFirst { version: first.version() });
        }
        let federation_id = FederationId::new(*first.digest().as_bytes());
        let logs = check(&[], &federation_id, &first)?;
        let versions = vec![Arc::new(first)];
        Ok(Self { federation_id, versions, fork: None, logs: Arc::new(logs) })
    }

    /// Starts a history with version 1 of the federation that one means.
    ///
    /// # Errors
    /// As [`found`](Self::found), and when the digest is another one.
    pub fn join(expected: &FederationId, first: Charter) -> Result<Self, OfferError> {
        let found = FederationId::new(*first.digest().as_bytes());
        if first.version() == 1 && found != *expected {
            return Err(OfferError::OtherFederation { expected: *expected, found });
        }
        Self::found(first)
    }

    /// Takes a charter of any version, if it is valid.
    ///
    /// # Errors
    /// Fails, with nothing changed, when it is of another federation or breaks a rule. Whoever sent it is at fault.
    pub fn offer(&mut self, charter: Charter) -> Result<Offered, OfferError> {
        if let Some(settled) = self.settle_by_place(charter.head(), charter.digest())? {
            return Ok(settled);
        }
        let place = place_of(charter.version());
        let before = &self.versions[..place];
        let logs = check(before, &self.federation_id, &charter)?;
        let Some(held) = self.versions.get_mut(place) else {
            return Ok(self.offer_next(charter, logs));
        };
        if held.digest() == charter.digest() {
            let more = Arc::make_mut(held).take_signatures(charter.into_signatures());
            return Ok(if more { Offered::MoreSignatures } else { Offered::Known });
        }
        // From here the version before is in force. Versions above, and a fork among them, follow a head that nobody
        // may follow; whoever heals this fork decides what comes after it.
        let held = Charter::clone(held);
        // Found before anything changes. Nothing collides there: that version was checked when it came.
        let logs = match place.checked_sub(1).and_then(|before| self.versions.get(before)) {
            Some(before) => logs_of(before, &self.federation_id)?,
            None => BTreeMap::new(),
        };
        self.versions.truncate(place);
        self.logs = Arc::new(logs);
        let heads = BTreeMap::from([(held.digest(), held), (charter.digest(), charter)]);
        Ok(self.keep_fork(ForkedVersion { heads }))
    }

    /// What becomes of a charter for where it stands alone, if that settles it.
    fn settle_by_place(
        &self,
        head: &CharterHead,
        digest: CharterDigest,
    ) -> Result<Option<Offered>, OfferError> {
        let version = head.version;
        let next = self.next_version();
        if version > next {
            return Ok(Some(match self.forked_version() {
                Some(forked) => Offered::Unhealed { forked },
                None => Offered::Gap { next },
            }));
        }
        if version == 1 && digest != self.versions[0].digest() {
            let found = FederationId::new(*digest.as_bytes());
            return Err(OfferError::OtherFederation { expected: self.federation_id, found });
        }
        if let (Some(last), [previous]) = (self.before(version).last(), &head.previous[..])
            && *previous != last.digest()
        {
            return Ok(Some(Offered::OtherBranch { fetch: version.saturating_sub(1) }));
        }
        Ok(None)
    }

    /// The versions below one that is at most the next.
    fn before(&self, version: u64) -> &[Arc<Charter>] {
        self.versions.get(..place_of(version)).unwrap_or_default()
    }

    /// A valid charter of the version after the last one in force.
    fn offer_next(&mut self, charter: Charter, logs: BTreeMap<LogId, LogOwner>) -> Offered {
        let Some(fork) = &self.fork else {
            self.versions.push(Arc::new(charter));
            self.logs = Arc::new(logs);
            return Offered::Accepted;
        };
        let mut fork = ForkedVersion::clone(fork);
        if let Some(held) = fork.heads.get_mut(&charter.digest()) {
            if !held.take_signatures(charter.into_signatures()) {
                return Offered::Known;
            }
            self.fork = Some(Arc::new(fork));
            return Offered::MoreSignatures;
        }
        fork.heads.insert(charter.digest(), charter);
        self.keep_fork(fork)
    }

    fn keep_fork(&mut self, mut fork: ForkedVersion) -> Offered {
        while fork.heads.len() > MAX_FORK_HEADS {
            fork.heads.pop_last();
        }
        self.fork = Some(Arc::new(fork));
        match self.fork() {
            Some(evidence) => Offered::Fork(Box::new(evidence)),
            None => Offered::Known,
        }
    }

    /// The federation: digest of version 1.
    pub fn federation_id(&self) -> FederationId {
        self.federation_id
    }

    /// The charter in force.
    pub fn current(&self) -> &Charter {
        // `found` puts version 1 there and nothing removes it: a second version 1 is another federation.
        &self.versions[self.versions.len() - 1]
    }

    /// The version in force.
    pub fn in_force(&self) -> u64 {
        self.current().version()
    }

    /// A version that we hold and follow.
    pub fn at(&self, version: u64) -> Option<&Charter> {
        self.versions.get(place_of(version)).map(Arc::as_ref)
    }

    /// The versions that are followed, from 1.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Charter> + ExactSizeIterator {
        self.versions.iter().map(Arc::as_ref)
    }

    /// Every charter held, in order of version and digest: those that are followed and those that are evidence. Offered
    /// in this order they give this history again.
    pub fn charters(&self) -> impl Iterator<Item = &Charter> {
        self.versions().chain(self.fork.iter().flat_map(|fork| fork.heads.values()))
    }

    /// The version that stands twice. A log that has named it, or a later one, appends nothing until it is healed.
    pub fn forked_version(&self) -> Option<u64> {
        self.fork.as_ref().map(|_| self.next_version())
    }

    /// Whether a log whose last entry names this charter version may append. Not while the version, or one before it,
    /// stands twice: its next entry would have to name one of the two.
    pub fn may_append(&self, last_named_version: u64) -> bool {
        last_named_version <= self.in_force()
    }

    /// Evidence that the stewards signed two heads of one version.
    pub fn fork(&self) -> Option<CharterFork> {
        let mut heads = self.fork.as_ref()?.heads.values();
        let (a, b) = (heads.next()?.clone(), heads.next()?.clone());
        Some(CharterFork { version: a.version(), a, b })
    }

    /// Whether real records may be exchanged.
    pub fn environment(&self) -> Environment {
        self.current().head().environment
    }

    /// The subject epochs in force, from 1.
    pub fn subject_epochs(&self) -> &[SubjectEpoch] {
        &self.current().head().subject_epochs
    }

    /// The newest subject epoch; 0 when there is none yet.
    pub fn newest_subject_epoch(&self) -> u32 {
        self.current().head().newest_subject_epoch()
    }

    /// Whether a CA, by the digest of its certificate, may certify a member for TLS.
    pub fn may_certify(&self, certificate_sha256: &[u8; 32], member: &MemberName) -> bool {
        self.current().may_certify(certificate_sha256, member)
    }

    /// Checks a proposal for the next version, whose signatures may not be enough yet. `None`: for version 1.
    pub(crate) fn check_proposal(
        history: Option<&Self>,
        proposal: &Charter,
    ) -> Result<(), OfferError> {
        let founding = FederationId::new(*proposal.digest().as_bytes());
        let (before, federation) = match history {
            Some(history) => (&history.versions[..], &history.federation_id),
            None => (&[][..], &founding),
        };
        check_unfinished(before, federation, proposal).map(|_| ())
    }

    /// As [`check_proposal`](Self::check_proposal), and that enough stewards signed.
    pub(crate) fn check_finished(
        history: Option<&Self>,
        proposal: &Charter,
    ) -> Result<(), OfferError> {
        Self::check_proposal(history, proposal)?;
        let last = history.map(|history| history.current().head());
        check_signers(last, proposal.head(), proposal.signatures())
            .map_err(|source| OfferError::Succession { version: proposal.version(), source })
    }

    fn next_version(&self) -> u64 {
        self.in_force().saturating_add(1)
    }
}

/// Where a version stands; version 0, which does not exist, nowhere.
fn place_of(version: u64) -> usize {
    usize::try_from(version).ok().and_then(|version| version.checked_sub(1)).unwrap_or(usize::MAX)
}

/// Checks that a charter follows the last of `before` and that enough stewards signed it, and gives its logs.
fn check(
    before: &[Arc<Charter>],
    federation: &FederationId,
    charter: &Charter,
) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
    let logs = check_unfinished(before, federation, charter)?;
    let last = before.last().map(|last| last.head());
    match check_signers(last, charter.head(), charter.signatures()) {
        Ok(()) => Ok(logs),
        Err(source) => Err(OfferError::Succession { version: charter.version(), source }),
    }
}

/// As [`check`], while signatures may still be missing; those that are there must be right.
fn check_unfinished(
    before: &[Arc<Charter>],
    federation: &FederationId,
    charter: &Charter,
) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
    let wrong = |source| OfferError::Succession { version: charter.version(), source };
    let last = before.last();
    let heads = before.iter().map(|one| (one.head(), one.digest()));
    check_head_succession(heads, charter.head()).map_err(wrong)?;
    verify_signatures(
        last.map(|last| last.head()),
        charter.head(),
        charter.head_bytes(),
        charter.signatures(),
        federation,
    )
    .map_err(wrong)?;
    let last = last.map(|last| (last.head(), last.members()));
    check_member_succession(last, (charter.head(), charter.members())).map_err(wrong)?;
    let logs = logs_of(charter, federation)?;
    match charter.head().branches.iter().find(|branch| !logs.contains_key(&branch.log_id)) {
        Some(branch) => Err(OfferError::BranchOfUnknownLog { log: branch.log_id }),
        None => Ok(logs),
    }
}
