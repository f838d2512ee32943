//! All charter versions that we follow, and what they say about a key, a log or a member.
//!
//! A [`CharterHistory`] holds versions 1 to n, each valid after the one before. It never chooses between two valid heads
//! of one version: both are kept as evidence, the version before stays in force, and nothing above is followed until
//! a version that names both, signed by those who did not sign both, heals the fork. What it holds depends on what was
//! offered and fits, never on the order in which it came.

mod keys;
mod logs;
mod offering;
mod past;
mod reading;
mod refused;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use self::keys::{KeyUse, judge_key};
use self::logs::logs_of;
pub use self::logs::{LogOwner, SHORT_LOG_ID_LEN};
pub use self::reading::{OfferRead, ReadOfferError};
pub use self::refused::Named;
use self::slots::{Slot, followed, forked_before};
use crate::charter::{
    Charter, CharterHead, Environment, LogBranch, SubjectEpoch, SuccessionError,
    check_head_succession, check_member_succession, check_signers, signed_twice, verify_signatures,
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
    /// It heals a fork, and lacks signatures of those who did not sign two heads: it waits for them. Keep it.
    AwaitsHealers {
        /// Its version.
        version: u64,
    },
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

/// Versions 1 to n of one federation's charter. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharterHistory {
    federation_id: FederationId,
    /// Version v stands at v − 1. The first one is followed.
    slots: Vec<Slot>,
    /// Versions that would heal a fork and lack signatures: at most 16, those with the smallest digests.
    waiting: BTreeMap<CharterDigest, Charter>,
    /// Every log that the version in force knows.
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
        let slots = vec![Slot::Followed(Arc::new(first))];
        Ok(Self { federation_id, slots, waiting: BTreeMap::new(), logs: Arc::new(logs) })
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

    /// The federation: digest of version 1.
    pub fn federation_id(&self) -> FederationId {
        self.federation_id
    }

    /// The charter in force.
    pub fn current(&self) -> &Charter {
        // `found` puts version 1 there and nothing removes it: a second version 1 is another federation.
        followed(&self.slots).next_back().expect("version 1 is followed")
    }

    /// The version in force.
    pub fn in_force(&self) -> u64 {
        self.current().version()
    }

    /// A version that we hold and follow.
    pub fn at(&self, version: u64) -> Option<&Charter> {
        self.slots.get(place_of(version)).and_then(Slot::charter)
    }

    /// The charter by which something that names a version is judged: that version, or of one that stood twice and was
    /// healed the version that healed it. `None`: it is not here, or not healed.
    pub fn judging(&self, version: u64) -> Option<&Charter> {
        self.slots.get(place_of(version)..)?.iter().find_map(Slot::charter)
    }

    /// The versions that are followed, from 1.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Charter> {
        followed(&self.slots)
    }

    /// Every charter held: in order of version and digest those that are followed and those that are evidence, then those
    /// that wait for signatures. Offered in this order they give this history again.
    pub fn charters(&self) -> impl Iterator<Item = &Charter> {
        self.slots.iter().flat_map(Slot::heads).chain(self.waiting.values())
    }

    /// The charters that an outsider needs to follow the one in force: those that are followed, and of each version that
    /// stood twice the heads that the version after it names.
    pub fn chain(&self) -> impl Iterator<Item = &Charter> {
        let forks = self.slots.iter().rev().take_while(|slot| slot.charter().is_none()).count();
        let needed = self.slots.len() - forks;
        (0..needed).flat_map(move |place| {
            let is_followed = matches!(self.slots.get(place), Some(Slot::Followed(_)));
            let heads = self.slots.get(place).into_iter().flat_map(Slot::heads);
            heads.filter(move |one| is_followed || self.is_named_above(place, &one.digest()))
        })
    }

    /// Whether a head of the version above one names this digest.
    fn is_named_above(&self, place: usize, digest: &CharterDigest) -> bool {
        let above = place.checked_add(1).and_then(|above| self.slots.get(above));
        above.into_iter().flat_map(Slot::heads).any(|one| one.head().previous.contains(digest))
    }

    /// Whether a peer may lack a charter whatever version it says it follows: a head of a version that stands, or stood,
    /// twice, or the version that heals one.
    pub fn is_about_a_fork(&self, charter: &Charter) -> bool {
        let place = place_of(charter.version());
        let is_forked = |place: usize| matches!(self.slots.get(place), Some(Slot::Forked(_)));
        is_forked(place) || place.checked_sub(1).is_some_and(is_forked)
    }

    /// The version that stands twice. A log that has named it, or a later one, appends nothing until it is healed.
    pub fn forked_version(&self) -> Option<u64> {
        match self.slots.last() {
            Some(Slot::Forked(_)) => Some(self.in_force().saturating_add(1)),
            _ => None,
        }
    }

    /// The versions that stood twice and were healed, each with the version that healed it.
    pub fn healed_versions(&self) -> impl Iterator<Item = (u64, &Charter)> {
        let versions = (1..).zip(&self.slots);
        versions.filter_map(|(version, slot)| match slot {
            Slot::Followed(_) => None,
            Slot::Forked(_) => Some((version, self.judging(version)?)),
        })
    }

    /// The heads of a version that stood twice, as far as the version above it names them.
    fn healed_heads(&self, version: u64) -> impl Iterator<Item = &Charter> {
        let place = place_of(version);
        let slot = self.slots.get(place).filter(|slot| matches!(slot, Slot::Forked(_)));
        let heads = slot.into_iter().flat_map(Slot::heads);
        heads.filter(move |one| self.is_named_above(place, &one.digest()))
    }

    /// The stewards who signed two of the heads that a version names which heals them.
    pub(crate) fn signed_twice(&self, heals: &CharterHead) -> BTreeSet<u32> {
        signed_twice(heals, &forked_before(self.before(heals.version)))
    }

    /// Whether a log whose last entry names this charter version may append. Not while the version, or one before it,
    /// stands twice: its next entry would have to name one of the two.
    pub fn may_append(&self, last_named_version: u64) -> bool {
        last_named_version <= self.in_force()
    }

    /// Evidence that the stewards signed two heads of one version, and nobody has healed it.
    pub fn fork(&self) -> Option<CharterFork> {
        self.fork_at(self.slots.len().checked_sub(1)?)
    }

    fn fork_at(&self, place: usize) -> Option<CharterFork> {
        let Some(Slot::Forked(fork)) = self.slots.get(place) else { return None };
        let mut heads = fork.heads.values();
        let (a, b) = (heads.next()?.clone(), heads.next()?.clone());
        Some(CharterFork { version: a.version(), a, b })
    }

    /// The heads of the newest version, if it stands more than once and is not healed: what a version that heals it names.
    pub fn unhealed(&self) -> impl Iterator<Item = &Charter> {
        let fork = self.slots.last().filter(|slot| matches!(slot, Slot::Forked(_)));
        fork.into_iter().flat_map(Slot::heads)
    }

    /// The branch of a log that goes on, if the charter in force names one: entries below its size that are not in its tree
    /// are refused for ever.
    pub fn branch_of(&self, log: &LogId) -> Option<&LogBranch> {
        self.current().head().branches.iter().find(|branch| branch.log_id == *log)
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
            Some(history) => (&history.slots[..], &history.federation_id),
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
        let before = history.map_or(&[][..], |history| &history.slots[..]);
        let last = followed(before).next_back().map(Charter::head);
        let forked = forked_before(before);
        check_signers(last, &forked, proposal.head(), proposal.signatures())
            .map_err(|source| OfferError::Succession { version: proposal.version(), source })
    }

    fn next_version(&self) -> u64 {
        self.slots.len() as u64 + 1
    }
}

/// Where a version stands; version 0, which does not exist, nowhere.
fn place_of(version: u64) -> usize {
    usize::try_from(version).ok().and_then(|version| version.checked_sub(1)).unwrap_or(usize::MAX)
}

/// Checks that a charter follows the last of `before`, or heals it, and that enough stewards signed it, and gives its
/// logs.
fn check(
    before: &[Slot],
    federation: &FederationId,
    charter: &Charter,
) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
    let logs = check_unfinished(before, federation, charter)?;
    let last = followed(before).next_back().map(Charter::head);
    match check_signers(last, &forked_before(before), charter.head(), charter.signatures()) {
        Ok(()) => Ok(logs),
        Err(source) => Err(OfferError::Succession { version: charter.version(), source }),
    }
}

/// As [`check`], while signatures may still be missing; those that are there must be right.
fn check_unfinished(
    before: &[Slot],
    federation: &FederationId,
    charter: &Charter,
) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
    let wrong = |source| OfferError::Succession { version: charter.version(), source };
    let last = followed(before).next_back();
    let heads = followed(before).map(|one| (one.head(), one.digest()));
    check_head_succession(heads, &forked_before(before), charter.head()).map_err(wrong)?;
    verify_signatures(
        last.map(Charter::head),
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
