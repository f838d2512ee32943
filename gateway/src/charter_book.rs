//! The charter that this gateway follows: read by everybody, changed in one place, durable before it is in force.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use sundbro_ledger::charter::{Charter, CharterError};
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::evidence::{Evidence, EvidenceEffect};
use sundbro_ledger::history::{
    CharterHistory, Named, OfferError, OfferRead, Offered, ProductionRefused, ReadOfferError,
    refuse_production,
};
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::log::{InvalidReason, Refusal};
use sundbro_ledger::member::MemberState;
use sundbro_proto::ledger::v1;
use sundbro_store::index::LogOwners;
use sundbro_store::{CheckpointRow, LogState, LogStatus, Store, StoreError, is_equivocation};
use tokio::sync::watch;

use crate::publisher::fold_all;
use crate::replication::Electorate;
use crate::tls::{Standing, TrustBook};

/// Why the stored charters cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenCharterError {
    /// There is none yet.
    #[error("the store holds no charter: run `sundbro init` with the federation's charter")]
    None,
    /// A stored one is not a charter.
    #[error("a stored charter is damaged: put back a backup of ledger.redb")]
    Damaged(#[source] CharterError),
    /// A stored one does not follow the one before.
    #[error("the stored charters do not follow each other: put back a backup of ledger.redb")]
    Broken(#[source] OfferError),
    /// It is for real people.
    #[error(transparent)]
    Production(#[from] ProductionRefused),
    /// Our own disk failed.
    #[error("the stored charters could not be read")]
    Store(#[from] StoreError),
}

/// Why an offered charter was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferCharterError {
    /// It is no charter: whoever sent it is at fault.
    #[error("this is not a charter")]
    Malformed(#[from] CharterError),
    /// It breaks a rule, or follows another one: whoever sent it is at fault.
    #[error("the charter does not continue the one that we follow")]
    Refused(#[from] OfferError),
    /// It is for real people.
    #[error(transparent)]
    Production(#[from] ProductionRefused),
    /// Our own disk failed.
    #[error("the charter could not be stored")]
    Store(#[from] StoreError),
}

/// The charters that a store holds, for the federation that was named. Changes nothing.
///
/// # Errors
/// [`OpenCharterError`], but for `Production`.
pub fn stored_history(
    store: &Store,
    federation: &FederationId,
) -> Result<CharterHistory, OpenCharterError> {
    let mut stored = store.charters()?.into_iter();
    let first = stored.next().ok_or(OpenCharterError::None)?;
    let first = Charter::from_wire(&first).map_err(OpenCharterError::Damaged)?;
    let mut history = CharterHistory::join(federation, first).map_err(OpenCharterError::Broken)?;
    for charter in stored {
        let charter = Charter::from_wire(&charter).map_err(OpenCharterError::Damaged)?;
        let _ = history.offer(charter).map_err(OpenCharterError::Broken)?;
    }
    Ok(history)
}

/// The charter history of this gateway.
pub struct CharterBook {
    history: ArcSwap<CharterHistory>,
    store: Arc<Store>,
    /// Held while a charter is judged, stored and put in force: one after the other.
    offering: Mutex<()>,
    changed: watch::Sender<u64>,
    left: watch::Sender<u64>,
}

impl From<ReadOfferError> for OfferCharterError {
    fn from(error: ReadOfferError) -> Self {
        match error {
            ReadOfferError::Charter(error) => Self::Malformed(error),
            ReadOfferError::Offer(error) => Self::Refused(error),
        }
    }
}

impl CharterBook {
    /// Follows the charters that the store holds, for the federation that the configuration names. Blocking.
    ///
    /// # Errors
    /// [`OpenCharterError`]; nothing was changed.
    pub fn open(store: Arc<Store>, federation: &FederationId) -> Result<Self, OpenCharterError> {
        let history = stored_history(&store, federation)?;
        refuse_production(history.current())?;
        let book = Self {
            changed: watch::Sender::new(0),
            left: watch::Sender::new(0),
            history: ArcSwap::from_pointee(history),
            store,
            offering: Mutex::new(()),
        };
        // A crash may have come between a charter and what follows from it.
        let forked = book.history().forked_version().is_some();
        book.judge_logs_again(forked)?;
        Ok(book)
    }

    /// All versions, as they are now.
    pub fn history(&self) -> Arc<CharterHistory> {
        self.history.load_full()
    }

    /// The version in force.
    pub fn version(&self) -> u64 {
        self.history.load().in_force()
    }

    /// Where a member stands.
    pub fn standing(&self, member: &MemberName) -> Standing {
        match self.history.load().current().member(member).map(|entry| entry.state) {
            None => Standing::Unknown,
            Some(MemberState::Active) => Standing::Active,
            Some(MemberState::Suspended) => Standing::Suspended,
            Some(MemberState::Left) => Standing::Left,
        }
    }

    /// Whether a member takes part.
    pub fn is_active(&self, member: &MemberName) -> bool {
        self.standing(member) == Standing::Active
    }

    /// Who answers whether `own` may sign its log, and how many of them must.
    pub fn electorate(&self, own: &MemberName) -> Electorate {
        let history = self.history.load();
        let charter = history.current();
        let names = charter.active_members().map(|entry| entry.name.clone());
        let peers = names.filter(|name| name != own).collect();
        Electorate { peers, needed: charter.quorums().recovery as usize }
    }

    /// Hears of every change of what is in force, or of what stands twice; counts them.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Hears of every log of which something was dropped for another branch; counts them.
    pub fn watch_left(&self) -> watch::Receiver<u64> {
        self.left.subscribe()
    }

    /// Judges a charter and, if it is new and valid, stores it and puts it in force. Blocking.
    ///
    /// # Errors
    /// [`OfferCharterError`]; nothing was changed.
    pub fn offer(&self, wire: &v1::Charter) -> Result<Offered, OfferCharterError> {
        let one_at_a_time = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        let mut history = CharterHistory::clone(&self.history.load());
        let charter = match history.read_offer(wire)? {
            OfferRead::Charter(charter) => *charter,
            OfferRead::Settled(offered) => return Ok(offered),
        };
        let (version, digest) = (charter.version(), charter.digest());
        let before = history.in_force();
        let offered = history.offer(charter)?;
        match offered {
            Offered::Accepted
            | Offered::MoreSignatures
            | Offered::Fork(_)
            | Offered::AwaitsHealers { .. } => {}
            _ => return Ok(offered),
        }
        refuse_production(history.current())?;
        // With the signatures that we had, not only those that came.
        // One that is not among them is the seventeenth head of a version, and convinces nobody who is not convinced.
        if let Some(taken) = history.held(&digest) {
            self.store.put_charter(&taken.to_wire())?;
        }
        // From here the charter survives a crash, so whoever acts on it may.
        let takes_back = history.in_force() < before;
        self.history.store(Arc::new(history));
        let judged = self.judge_logs_again(takes_back);
        // Whatever became of that: who is not a member any more must not stay connected for it.
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        tracing::info!(charter_version = version, "a charter was taken");
        drop(one_at_a_time);
        // What was taken back leaves the index now; that may take long, and holds up nobody who brings a charter.
        judged.and_then(|()| fold_all(&self.store, self))?;
        Ok(offered)
    }

    /// Judges every log by the charter in force, as far as it can have changed a verdict. Blocking.
    ///
    /// `takes_back`: a version that was in force is not any more, and with it goes what it stopped.
    fn judge_logs_again(&self, takes_back: bool) -> Result<(), StoreError> {
        for status in self.store.log_states()? {
            let by_charter = InvalidReason::WrongKey("").code();
            match &status.state {
                LogState::Stopped { reason, .. } if takes_back && reason == by_charter => {
                    self.store.follow_again(&status.log)?;
                }
                _ => {}
            }
            self.forget_what_nobody_shows(&status)?;
            match self.judge_log_again(&status.log) {
                Ok(refused) => self.wait_no_longer(&status, refused)?,
                // The rows of one log must not keep the others from being judged, or the gateway from its work.
                Err(error @ StoreError::Damaged(_)) => {
                    let error = crate::status::chain(&error);
                    tracing::error!(log = ?status.log, error, "a log cannot be judged: run `sundbro verify`");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets a checkpoint beyond what is here of a log of which the charter names a branch: it may be of another one, and
    /// then nobody shows it any more, while whoever holds more of this one shows it again.
    fn forget_what_nobody_shows(&self, status: &LogStatus) -> Result<(), StoreError> {
        if self.history.load().branch_of(&status.log).is_none() {
            return Ok(());
        }
        let is_here = |row: &CheckpointRow| row.size <= status.committed_size;
        self.store.forget_newest_seen(&status.log, is_here).map(drop)
    }

    /// Follows a log again whose entries waited here for a version that stood twice, now that it is healed.
    fn wait_no_longer(&self, status: &LogStatus, refused: bool) -> Result<(), StoreError> {
        match status.state {
            LogState::Waiting { position, .. } if position < status.committed_size && !refused => {
                self.store.mark_log(&status.log, &LogState::Followed).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Judges one log by the charter in force: entries that it does not allow stop the log or make it wait, and
    /// checkpoints by a key that has ended are forgotten. Says whether entries were refused. Blocking.
    ///
    /// Whoever appends calls it when the charter changed between judging and appending. The index leaves refused entries
    /// out by itself, at the next fold.
    ///
    /// # Errors
    /// When our own disk fails.
    pub fn judge_log_again(&self, log: &LogId) -> Result<bool, StoreError> {
        let history = self.history.load();
        let may_stay = |row: &CheckpointRow| {
            let note = UnverifiedCheckpoint::parse_of(log, &row.note);
            note.is_ok_and(|note| history.checkpoint_key_of(&note).is_some())
        };
        if self.store.forget_newest_seen(log, may_stay)? {
            tracing::warn!(
                ?log,
                "a checkpoint is not waited for any more: its key has ended below it"
            );
        }
        let state = self.store.log_status(log)?.state;
        let unsure = matches!(&state, LogState::Stopped { reason, .. } if is_equivocation(reason))
            || (*log == self.store.identity().own_log && self.store.is_unsure_of_own_log());
        self.follow_branch(log, &history, unsure)?;
        let refused = self.store.first_refused(log, &**history)?;
        if let Some(state) = self.stop_by_evidence(log, &history)? {
            // The charter may refuse something below; the lower of two stops stays.
            self.mark(log, &state)?;
        }
        let Some(refusal) = refused else { return Ok(false) };
        self.mark(log, &state_after(&refusal))?;
        Ok(true)
    }

    fn mark(&self, log: &LogId, state: &LogState) -> Result<(), StoreError> {
        if self.store.mark_log(log, state)? {
            tracing::error!(?log, ?state, "what was taken is not followed any more");
        }
        Ok(())
    }

    /// Drops what is here of a log above the parting, unless it is known to be on the branch that the charter names. For
    /// whoever found that it holds something else than a peer. Blocking.
    ///
    /// # Errors
    /// When our own disk fails.
    pub fn leave_other_branch(&self, log: &LogId) -> Result<(), StoreError> {
        self.follow_branch(log, &self.history.load(), true)
    }

    /// Goes over to the branch that the charter names, if what is here is another one. What is shorter than the branch may
    /// be its beginning, and is dropped only by whoever is not sure of it.
    fn follow_branch(
        &self,
        log: &LogId,
        history: &CharterHistory,
        unsure: bool,
    ) -> Result<(), StoreError> {
        let Some(branch) = history.branch_of(log) else { return Ok(()) };
        if !unsure && self.store.log_head(log)?.size() < branch.size {
            return Ok(());
        }
        let evidence = self.store.evidence(Some(log))?;
        let settled = evidence.iter().filter(|one| one.is_settled_at(branch.size));
        // What does not convict says nothing of where the histories part.
        let convicts = settled.filter(|one| one.verify(history).is_ok());
        let parting = convicts.filter_map(Evidence::parting).min().unwrap_or(0);
        if self.store.follow_branch(branch, parting)? {
            tracing::warn!(?log, parting, "another branch was dropped: the charter names one");
            self.left.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// How evidence stops a log now; what stopped it before and does not any more lets it go on.
    fn stop_by_evidence(
        &self,
        log: &LogId,
        history: &CharterHistory,
    ) -> Result<Option<LogState>, StoreError> {
        let status = self.store.log_status(log)?;
        let Some(parted) = self.store.parted(log, history)? else {
            self.follow_settled(&status, history)?;
            return Ok(None);
        };
        // What lies below is still fetched, where it is known what does. Our own log is written by us: it stops at once.
        let is_own = *log == self.store.identity().own_log;
        let reached =
            is_own || parted.below.is_some() || parted.position() <= status.committed_size;
        let reason = parted.kind.code().to_owned();
        let state = LogState::Stopped { position: parted.position(), reason };
        Ok(reached.then_some(state))
    }

    /// A log that was stopped for two histories goes on when nothing that is here shows them, or the charter names which.
    fn follow_settled(
        &self,
        status: &LogStatus,
        history: &CharterHistory,
    ) -> Result<(), StoreError> {
        let LogState::Stopped { position, reason } = &status.state else { return Ok(()) };
        let named = history.branch_of(&status.log).is_some_and(|it| it.size >= *position);
        // Without evidence it was stopped by two roots of which only one is signed by a note that is still here.
        let was_shown = !self.store.evidence(Some(&status.log))?.is_empty();
        if is_equivocation(reason) && (named || was_shown) {
            self.store.follow_again(&status.log)?;
        }
        Ok(())
    }

    /// Keeps evidence that convicts, and does what follows from it. Says whether it was new. Blocking.
    ///
    /// # Errors
    /// When our own disk fails.
    pub fn take_evidence(&self, evidence: &Evidence) -> Result<bool, StoreError> {
        let one_at_a_time = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = self.store.put_evidence(evidence, self)?;
        if is_new {
            let (log, kind) = (evidence.log(), evidence.kind().code());
            let parting = evidence.parting();
            tracing::error!(?log, kind, parting, "a member signed two histories of its log");
            self.judge_log_again(&log)?;
        }
        drop(one_at_a_time);
        Ok(is_new)
    }
}

/// What becomes of a log whose next entry, or one that is here, is refused.
pub fn state_after(refusal: &Refusal) -> LogState {
    let (position, reason) = (refusal.position(), refusal.code().to_owned());
    match refusal {
        Refusal::Invalid { .. } => LogState::Stopped { position, reason },
        Refusal::Waiting { .. } => LogState::Waiting { position, reason },
    }
}

impl std::fmt::Debug for CharterBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CharterBook").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl LogOwners for CharterBook {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.history.load().log_owner(log)
    }

    fn first_refused(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        LogOwners::first_refused(&**self.history.load(), log, size, named_at)
    }

    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        evidence.effect(&self.history.load())
    }
}

impl TrustBook for CharterBook {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        let history = self.history.load();
        let authorities = &history.current().head().authorities;
        authorities.iter().map(|one| CertificateDer::from(one.certificate.to_vec())).collect()
    }

    fn may_certify(&self, ca_sha256: &[u8; 32], member: &MemberName) -> bool {
        self.history.load().may_certify(ca_sha256, member)
    }

    fn member_state(&self, member: &MemberName) -> Standing {
        self.standing(member)
    }
}
