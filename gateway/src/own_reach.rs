//! How far our own log has come: what is accepted here, replicated to a peer, witnessed by the charter's quorum.
//!
//! Accepted survives a crash, replicated the loss of our disk, witnessed whoever would rewrite our log. What counts is what
//! other *active* members say: that they hold it, in this process's memory since our start; and that they vouch for it, in
//! their own logs, for ever. The only active member of a federation has nobody to say so, and nothing of it is ever more
//! than accepted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_ledger::payload::ObservedHead;
use sundbro_store::{Store, StoreError};

use crate::charter_book::CharterBook;
use crate::hub::PeerTable;

/// The farthest state that a transaction has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Durable here, and past the signing gate.
    Accepted,
    /// Another active member says that it holds it durably.
    Replicated,
    /// The charter's quorum of other active members vouches for it.
    Witnessed,
}

/// What other active members say of our own log, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnReach {
    /// How much of it may be sent.
    pub size: u64,
    /// How many members make an entry witnessed. 0: there is no other active member.
    pub quorum: usize,
    /// Sizes that others hold durably, the largest first.
    replicated: Vec<u64>,
    /// Sizes for which others vouch, the largest first.
    witnessed: Vec<u64>,
}

impl OwnReach {
    /// `replicated` and `witnessed`: one size for each other active member that says one. More than we hold counts for
    /// nothing.
    pub fn new(size: u64, quorum: usize, replicated: Vec<u64>, witnessed: Vec<u64>) -> Self {
        let sorted = |mut sizes: Vec<u64>| {
            sizes.retain(|said| *said <= size);
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes
        };
        Self { size, quorum, replicated: sorted(replicated), witnessed: sorted(witnessed) }
    }

    /// How many members hold the entry there durably.
    pub fn replicated_by(&self, position: u64) -> usize {
        self.replicated.iter().take_while(|size| **size > position).count()
    }

    /// How many members vouch for the entry there.
    pub fn witnessed_by(&self, position: u64) -> usize {
        self.witnessed.iter().take_while(|size| **size > position).count()
    }

    /// Every entry below this is held by some other member.
    pub fn replicated_size(&self) -> u64 {
        self.replicated.first().copied().unwrap_or(0)
    }

    /// For every entry below this a quorum vouches.
    pub fn witnessed_size(&self) -> u64 {
        let last_needed = self.quorum.checked_sub(1);
        last_needed.and_then(|at| self.witnessed.get(at)).copied().unwrap_or(0)
    }

    /// How far the entry at a position has come. `None`: there is none.
    pub fn of(&self, position: u64) -> Option<Reached> {
        if position >= self.size {
            return None;
        }
        Some(if position < self.witnessed_size() {
            Reached::Witnessed
        } else if position < self.replicated_size() {
            Reached::Replicated
        } else {
            Reached::Accepted
        })
    }
}

/// Reads how far our own log has come.
pub struct OwnReachReader {
    member: MemberName,
    store: Arc<Store>,
    charter: Arc<CharterBook>,
    peers: Arc<PeerTable>,
    /// Trees that somebody vouches for and we do not have, each warned of once.
    warned: Mutex<BTreeSet<(LogId, u64, RootHash)>>,
}

impl OwnReachReader {
    /// Of `member`'s log, which is the store's own.
    pub fn new(
        member: MemberName,
        store: Arc<Store>,
        charter: Arc<CharterBook>,
        peers: Arc<PeerTable>,
    ) -> Self {
        Self { member, store, charter, peers, warned: Mutex::default() }
    }

    /// What holds now. Blocking.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self) -> Result<OwnReach, StoreError> {
        let own = self.store.identity().own_log;
        let history = self.charter.history();
        let charter = history.current();
        let (mut replicated, mut witnessed) = (Vec::new(), Vec::new());
        for entry in charter.active_members().filter(|entry| entry.name != self.member) {
            replicated.extend(self.peers.view(&entry.name).map(|view| view.acked_size));
            if let Some((log, head)) = self.vouched(&history, &entry.name, &own)?
                && self.is_ours(&entry.name, &log, &head)?
            {
                witnessed.push(head.size);
            }
        }
        // Last: what others say of an entry they say after it could be sent.
        let size = self.store.log_status(&own)?.committed_size;
        // As many members as a charter lists fit any address space.
        let quorum = usize::try_from(charter.quorums().witness).unwrap_or(usize::MAX);
        Ok(OwnReach::new(size, quorum, replicated, witnessed))
    }

    /// The head of our log for which a member vouches, in the newest of its logs that does.
    fn vouched(
        &self,
        history: &CharterHistory,
        member: &MemberName,
        own: &LogId,
    ) -> Result<Option<(LogId, ObservedHead)>, StoreError> {
        let mut logs: Vec<_> =
            history.logs().filter(|(_, owner)| owner.member == *member).collect();
        logs.sort_by_key(|(_, owner)| core::cmp::Reverse(owner.epoch));
        for (log, _) in logs {
            if let Some(head) = self.store.observed_head(log, own)? {
                return Ok(Some((*log, head)));
            }
        }
        Ok(None)
    }

    /// Whether a member vouches for what we have: else its word counts for nothing, and somebody must look at it.
    fn is_ours(
        &self,
        member: &MemberName,
        log: &LogId,
        head: &ObservedHead,
    ) -> Result<bool, StoreError> {
        if self.store.own_root_at(head.size)? == Some(head.root) {
            return Ok(true);
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert((*log, head.size, head.root)) {
            tracing::warn!(
                reason = "OBSERVED_OTHERWISE", peer = %member, size = head.size,
                "another member vouches for a tree of our own log that is not ours: compare both with `sundbro log export`"
            );
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_makes_witnessed_and_one_peer_replicated() {
        let reach = OwnReach::new(10, 2, vec![4, 9, 0], vec![3, 6, 10]);
        assert_eq!((reach.replicated_size(), reach.witnessed_size()), (9, 6));
        assert_eq!(
            (reach.replicated_by(3), reach.replicated_by(4), reach.replicated_by(9)),
            (2, 1, 0)
        );
        assert_eq!(
            (reach.witnessed_by(2), reach.witnessed_by(3), reach.witnessed_by(9)),
            (3, 2, 1)
        );
        assert_eq!(reach.of(5), Some(Reached::Witnessed));
        assert_eq!(reach.of(6), Some(Reached::Replicated));
        assert_eq!(reach.of(9), Some(Reached::Accepted), "one of two vouches for it");
        assert_eq!(reach.of(10), None);
    }

    #[test]
    fn who_is_alone_has_nothing_more_than_accepted() {
        let reach = OwnReach::new(3, 0, Vec::new(), Vec::new());
        assert_eq!((reach.replicated_size(), reach.witnessed_size()), (0, 0));
        assert_eq!(reach.of(0), Some(Reached::Accepted));
    }

    #[test]
    fn what_we_do_not_have_nobody_can_hold() {
        let reach = OwnReach::new(3, 1, vec![4], vec![7]);
        assert_eq!((reach.replicated_size(), reach.witnessed_size()), (0, 0));
    }
}
