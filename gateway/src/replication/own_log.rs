//! Asks the peers, at every start, what they hold of our own log, and never stops listening.
//!
//! A gateway whose database was put back from a backup does not know what it signed after the backup; its peers do. If
//! one of them knows more, or something else, signing stops: going on would be signing twice.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_ledger::merkle::range_hash;
use sundbro_store::gate::SigningStop;
use sundbro_store::{Store, StoreError};
use tokio::sync::watch;

/// Whether our own log may be signed, as far as the peers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnLogState {
    /// Peers are being asked. Nothing is signed yet.
    Checking,
    /// Nobody who answered knows more than we do.
    Clear {
        /// How many peers answered. None, though some were asked: whoever signs says so with a WARN.
        answered: usize,
        /// How many active peers there are.
        asked: usize,
    },
    /// A peer knows more, or something else. Stays so until a restart.
    Stopped(SigningStop),
}

/// The check of our own log.
#[derive(Debug)]
pub struct OwnLogCheck {
    log: LogId,
    state: watch::Sender<OwnLogState>,
    answered: Mutex<BTreeSet<MemberName>>,
    answers: watch::Sender<u64>,
}

impl OwnLogCheck {
    pub(super) fn new(log: LogId) -> Self {
        Self {
            log,
            state: watch::Sender::new(OwnLogState::Checking),
            answered: Mutex::default(),
            answers: watch::Sender::new(0),
        }
    }

    /// What is known so far; changes once from `Checking`, and at any time to `Stopped`.
    pub fn state(&self) -> watch::Receiver<OwnLogState> {
        self.state.subscribe()
    }

    /// Waits until every peer in `peers` has answered, or `patience` is over.
    pub(super) async fn run(&self, peers: BTreeSet<MemberName>, patience: Duration) {
        let mut answers = self.answers.subscribe();
        let all_answered = async {
            while !peers.is_subset(&self.answered()) {
                // The sender lives in `self`.
                if answers.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, all_answered).await;
        let answered = self.answered().intersection(&peers).count();
        self.state.send_if_modified(|state| {
            let checking = *state == OwnLogState::Checking;
            if checking {
                *state = OwnLogState::Clear { answered, asked: peers.len() };
            }
            checking
        });
    }

    /// A peer has told what it knows of our own log. `None`: nothing. Blocking.
    pub(super) fn heard(
        &self,
        store: &Store,
        peer: &MemberName,
        known: Option<&VerifiedCheckpoint>,
    ) -> Result<(), StoreError> {
        if let Some(known) = known
            && let Some(stop) = compare(store, &self.log, peer, known)?
        {
            self.stop(store, stop);
        }
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.clone());
        self.answers.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    fn stop(&self, store: &Store, stop: SigningStop) {
        if matches!(*self.state.borrow(), OwnLogState::Stopped(_)) {
            return;
        }
        // First of all: the store refuses to sign from here on, whoever asks it.
        store.stop_signing(stop.clone());
        tracing::error!(log = ?self.log, cure = stop.cure(), "{stop}");
        self.state.send_replace(OwnLogState::Stopped(stop));
    }

    fn answered(&self) -> BTreeSet<MemberName> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Compares what a peer knows with what we hold. What we hold is read now, after the peer said it: everything that it
/// can honestly know was durable here before it was sent.
fn compare(
    store: &Store,
    log: &LogId,
    peer: &MemberName,
    known: &VerifiedCheckpoint,
) -> Result<Option<SigningStop>, StoreError> {
    let held = store.log_head(log)?.size();
    if known.size() > held {
        let known_by = peer.to_string();
        return Ok(Some(SigningStop::OwnLogBehind { held, known: known.size(), known_by }));
    }
    if root_at(store, log, known.size())? == *known.root() {
        return Ok(None);
    }
    Ok(Some(SigningStop::OwnLogDiverges { size: known.size(), known_by: peer.to_string() }))
}

/// The root of a log at a size that is held.
pub(super) fn root_at(store: &Store, log: &LogId, size: u64) -> Result<RootHash, StoreError> {
    if size == 0 {
        return Ok(sundbro_ledger::merkle::EMPTY_ROOT);
    }
    Ok(range_hash(&store.nodes(log)?, 0, size)?.into())
}
