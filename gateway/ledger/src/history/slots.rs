//! What stands at each version: one head that is followed, or several, of which none is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::MAX_FORK_HEADS;
use crate::charter::{Charter, ForkedHead};
use crate::ids::CharterDigest;

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    /// It stands once.
    Followed(Arc<Charter>),
    /// It stands more than once. What follows it, if anything does, heals it.
    Forked(Arc<ForkedVersion>),
}

/// The heads of a version that stands more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ForkedVersion {
    /// At least two.
    pub(super) heads: BTreeMap<CharterDigest, Charter>,
}

impl Slot {
    /// The charter that is followed.
    pub(super) fn charter(&self) -> Option<&Charter> {
        match self {
            Self::Followed(charter) => Some(charter),
            Self::Forked(_) => None,
        }
    }

    /// Every head of the version, in order of digest.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Charter> {
        let (one, several) = match self {
            Self::Followed(charter) => (Some(&**charter), None),
            Self::Forked(fork) => (None, Some(fork.heads.values())),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    /// Whether it holds the head with this digest.
    pub(super) fn holds(&self, digest: &CharterDigest) -> bool {
        match self {
            Self::Followed(charter) => charter.digest() == *digest,
            Self::Forked(fork) => fork.heads.contains_key(digest),
        }
    }

    /// The heads that remain. `None`: there is none.
    pub(super) fn of(mut heads: BTreeMap<CharterDigest, Charter>) -> Option<Self> {
        match heads.len() {
            0 => None,
            1 => heads.pop_first().map(|(_, charter)| Self::Followed(Arc::new(charter))),
            _ => Some(Self::Forked(Arc::new(ForkedVersion { heads }))),
        }
    }
}

impl ForkedVersion {
    /// Forgets the heads with the largest digests beyond the limit, but none that a version above names.
    pub(super) fn prune(&mut self, named: &[CharterDigest]) {
        while self.heads.len() > MAX_FORK_HEADS {
            let Some(last) = self.heads.keys().rfind(|digest| !named.contains(digest)) else {
                return;
            };
            let last = *last;
            self.heads.remove(&last);
        }
    }
}

/// The charters of some versions that are followed, in order.
pub(super) fn followed(slots: &[Slot]) -> impl DoubleEndedIterator<Item = &Charter> {
    slots.iter().filter_map(Slot::charter)
}

/// The heads of the last of some versions, if it stands more than once.
pub(super) fn forked_before(slots: &[Slot]) -> Vec<ForkedHead<'_>> {
    let Some(Slot::Forked(fork)) = slots.last() else { return Vec::new() };
    let forked = |charter| ForkedHead {
        head: Charter::head(charter),
        digest: charter.digest(),
        signatures: charter.signatures(),
    };
    fork.heads.values().map(forked).collect()
}
