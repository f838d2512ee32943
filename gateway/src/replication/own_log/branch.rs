//! Our own log when the charter has named which of two histories of it goes on.
//!
//! Then a stop for the other history ends without a restart, and is followed by what follows a start: a higher number, and
//! every peer asked anew. Whoever still shows another history stops nothing from then on, for it may not have heard the
//! charter yet; but its answers count for nothing until it shows ours. So what a quorum witnessed is never signed again: of
//! any set of peers that suffices, one has witnessed it, and that one does not count.

use std::collections::BTreeMap;

use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_store::gate::SigningStop;
use sundbro_store::{ResumeError, Settled, Store, StoreError};

use super::{Known, OwnLogCheck, OwnLogState, PoisonError, differs, root_at};

/// What peers have shown of our log.
#[derive(Debug, Default)]
pub(super) struct ShownByPeers {
    /// Of each, the largest tree that is not here yet.
    beyond: BTreeMap<MemberName, (u64, RootHash)>,
    /// Who shows another history than the one that the charter named.
    elsewhere: BTreeMap<MemberName, u64>,
}

impl ShownByPeers {
    /// A peer has shown more than is here.
    pub(super) fn is_beyond(&mut self, peer: &MemberName, size: u64, root: RootHash) {
        let held = self.beyond.entry(peer.clone()).or_insert((size, root));
        if held.0 < size {
            *held = (size, root);
        }
    }

    /// A peer has shown a beginning of what is here, which is all that it knows if `is_all`.
    fn agrees(&mut self, peer: &MemberName, size: u64, is_all: bool) {
        if self.beyond.get(peer).is_some_and(|(shown, _)| is_all || *shown <= size) {
            self.beyond.remove(peer);
        }
        if self.elsewhere.remove(peer).is_some() {
            tracing::info!(%peer, "the peer has gone over to the branch of our log that the charter names");
        }
    }

    /// A peer has shown another history.
    fn is_elsewhere(&mut self, peer: &MemberName, size: u64) {
        self.beyond.remove(peer);
        if self.elsewhere.insert(peer.clone(), size).is_none() {
            tracing::warn!(
                %peer, size,
                "the peer holds another history of our log than the one that the charter names: its answers do not count"
            );
        }
    }

    /// Whether what a peer shows counts: it is no other history.
    fn counts(&self, peer: &MemberName) -> bool {
        !self.elsewhere.contains_key(peer)
    }

    /// Whether what a peer answers counts: all that it has shown is here. What is not may be another history.
    pub(super) fn is_held(&self, peer: &MemberName) -> bool {
        self.counts(peer) && !self.beyond.contains_key(peer)
    }

    /// What was shown and must be here by now, or is another history.
    fn reached(&self, size: u64) -> Vec<(MemberName, u64, RootHash)> {
        let reached = self.beyond.iter().filter(|(_, (shown, _))| *shown <= size);
        reached.map(|(peer, (shown, root))| (peer.clone(), *shown, *root)).collect()
    }

    /// Whether somebody has shown more than this.
    fn exceeds(&self, size: u64) -> bool {
        self.beyond.values().any(|(shown, _)| *shown > size)
    }

    /// An operator answers for it that nobody gives back what was shown.
    pub(super) fn give_up(&mut self) {
        self.beyond.clear();
    }
}

impl OwnLogCheck {
    /// Holds what a peer showed of a size that is here against what is here. Blocking; the caller compares alone.
    pub(super) fn compare(
        &self,
        store: &Store,
        peer: &MemberName,
        (size, root): (u64, RootHash),
    ) -> Result<(), StoreError> {
        if root_at(store, &self.log, size)? == root {
            let mut known = self.known();
            // Once a branch is named, a peer forgets what it only saw of another one; else it may just have lost some, and
            // what it has shown was signed.
            let is_settled = known.settled.is_some();
            known.shown.agrees(peer, size, is_settled);
            drop(known);
            return if is_settled { self.resume(store) } else { Ok(()) };
        }
        self.is_other(store, size, peer)
    }

    /// A peer shows again what it has shown before. Where a branch was named since, it is held against that. Blocking.
    pub(in crate::replication) fn recalled(
        &self,
        store: &Store,
        peer: &MemberName,
        known: &VerifiedCheckpoint,
        is_unproven: bool,
    ) -> Result<(), StoreError> {
        let _comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_settled() {
            return Ok(());
        }
        if known.size() <= store.log_head(&self.log)?.size() {
            return self.compare(store, peer, (known.size(), *known.root()));
        }
        if is_unproven {
            // It was found to be no continuation of what is here.
            return self.is_other(store, known.size(), peer);
        }
        // What was known of it may have been about another branch of ours, and is found out anew.
        self.is_beyond(store, peer, known)
    }

    /// Our own log here is not the beginning of the one that a peer holds. Blocking.
    pub(in crate::replication) fn diverges(
        &self,
        store: &Store,
        size: u64,
        peer: &MemberName,
    ) -> Result<(), StoreError> {
        let _comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_other(store, size, peer)
    }

    fn is_other(&self, store: &Store, size: u64, peer: &MemberName) -> Result<(), StoreError> {
        let mut known = self.known();
        if known.settled.is_none() {
            drop(known);
            let known_by = peer.to_string();
            self.stop(store, SigningStop::OwnLogDiverges { size, known_by });
            return Ok(());
        }
        known.shown.is_elsewhere(peer, size);
        known.answers.forget(peer);
        drop(known);
        // It may have been waited for.
        self.resume(store)
    }

    /// Whether the charter has named a branch of our log, on which it is, or will be.
    pub(in crate::replication) fn is_settled(&self) -> bool {
        self.known().settled.is_some()
    }

    /// Whether what a peer shows counts: it shows no other history than the one that the charter named.
    pub(in crate::replication) fn counts(&self, peer: &MemberName) -> bool {
        self.known().shown.counts(peer)
    }

    /// Signs again if everything is here that peers and the signing gate know of. Blocking.
    pub(super) fn resume(&self, store: &Store) -> Result<(), StoreError> {
        let size = store.log_head(&self.log)?.size();
        if self.known().shown.exceeds(size) || store.signing_stop().is_none() {
            return Ok(());
        }
        match store.resume_signing() {
            Ok(()) => {
                tracing::warn!(log = ?self.log, size, "what was missing of our own log came back");
                self.incarnation.send_if_modified(|number| differs(number, store.incarnation()));
                self.state.send_if_modified(|state| {
                    let behind = matches!(state, OwnLogState::Behind(_));
                    if behind {
                        *state = OwnLogState::Asking;
                    }
                    behind
                });
            }
            // The gate, or the charter, knows more than any peer has shown so far.
            Err(ResumeError::Stopped(stop)) if stop.is_passing() => {}
            Err(ResumeError::Stopped(stop)) => self.stop(store, stop),
            Err(ResumeError::Store(error)) => return Err(error),
        }
        Ok(())
    }

    /// What is here by now of what peers have shown is held against it. Blocking; the caller compares alone.
    pub(super) fn compare_reached(&self, store: &Store) -> Result<(), StoreError> {
        let size = store.log_head(&self.log)?.size();
        let reached = self.known().shown.reached(size);
        for (peer, shown, root) in reached {
            self.compare(store, &peer, (shown, root))?;
        }
        Ok(())
    }

    /// Looks whether the branch of our log that the charter names ends a stop, or has to be fetched. Blocking.
    ///
    /// # Errors
    /// When our own disk fails.
    pub(in crate::replication) fn settle(
        &self,
        store: &Store,
        branch: &LogBranch,
    ) -> Result<(), StoreError> {
        let _comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        let named = (branch.size, branch.root);
        let is_fetched = matches!(*self.state.borrow(), OwnLogState::Behind(_));
        if is_fetched && self.known().settled == Some(named) {
            // Whoever brings it says when it is here.
            return Ok(());
        }
        let state = match store.settle(branch)? {
            Settled::Unchanged => {
                let is_stopped = matches!(*self.state.borrow(), OwnLogState::Stopped(_));
                if !is_stopped && is_on(store, &self.log, branch)? {
                    self.known().settled = Some(named);
                }
                return Ok(());
            }
            Settled::GoesOn => {
                tracing::warn!(log = ?self.log, "our own log goes on: the charter names our branch");
                OwnLogState::Asking
            }
            Settled::Behind(stop) => {
                tracing::warn!(log = ?self.log, cure = stop.cure(), "our own log goes on elsewhere: {stop}");
                OwnLogState::Behind(stop)
            }
        };
        let asked_from = *self.rounds.borrow() + 1;
        let mut known = self.known();
        let forgotten = known.forgotten + 1;
        *known = Known { settled: Some(named), asked_from, forgotten, ..Known::default() };
        drop(known);
        self.incarnation.send_if_modified(|number| differs(number, store.incarnation()));
        // Also where it said so already: whoever followed a stop that was found elsewhere hears that it is over.
        self.state.send_replace(state);
        Ok(())
    }
}

/// Whether what is here is a branch, or its continuation.
fn is_on(store: &Store, log: &LogId, branch: &LogBranch) -> Result<bool, StoreError> {
    Ok(store.log_head(log)?.size() >= branch.size
        && root_at(store, log, branch.size)? == branch.root)
}
