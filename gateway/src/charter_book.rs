//! The charter that this gateway follows: read by everybody, changed in one place, durable before it is in force.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls_pki_types::CertificateDer;
use sundbro_ledger::charter::{Charter, CharterError};
use sundbro_ledger::history::{
    CharterHistory, OfferError, Offered, ProductionRefused, Revoked, refuse_production,
};
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::member::MemberState;
use sundbro_proto::ledger::v1;
use sundbro_store::index::LogOwners;
use sundbro_store::{LogState, Store, StoreError};
use tokio::sync::watch;

use crate::publisher::fold_all;
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

/// The charter history of this gateway.
pub struct CharterBook {
    history: ArcSwap<CharterHistory>,
    store: Arc<Store>,
    /// Held while a charter is judged, stored and put in force: one after the other.
    offering: Mutex<()>,
    changed: watch::Sender<u64>,
}

impl CharterBook {
    /// Follows the charters that the store holds, for the federation that the configuration names. Blocking.
    ///
    /// # Errors
    /// [`OpenCharterError`]; nothing was changed.
    pub fn open(store: Arc<Store>, federation: &FederationId) -> Result<Self, OpenCharterError> {
        let mut stored = store.charters()?.into_iter();
        let first = stored.next().ok_or(OpenCharterError::None)?;
        let first = Charter::from_wire(&first).map_err(OpenCharterError::Damaged)?;
        let mut history =
            CharterHistory::join(federation, first).map_err(OpenCharterError::Broken)?;
        for charter in stored {
            let charter = Charter::from_wire(&charter).map_err(OpenCharterError::Damaged)?;
            let _ = history.offer(charter).map_err(OpenCharterError::Broken)?;
        }
        refuse_production(history.current())?;
        let book = Self {
            changed: watch::Sender::new(history.in_force()),
            history: ArcSwap::from_pointee(history),
            store,
            offering: Mutex::new(()),
        };
        // A crash may have come between a charter and what follows from it.
        book.judge_logs_again()?;
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

    /// Hears of every change of what is in force, or of what stands twice.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Judges a charter and, if it is new and valid, stores it and puts it in force. Blocking.
    ///
    /// # Errors
    /// [`OfferCharterError`]; nothing was changed.
    pub fn offer(&self, wire: &v1::Charter) -> Result<Offered, OfferCharterError> {
        let charter = Charter::from_wire(wire)?;
        let _one_at_a_time = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        let mut history = CharterHistory::clone(&self.history.load());
        let version = charter.version();
        let offered = history.offer(charter)?;
        match offered {
            Offered::Known | Offered::Gap { .. } | Offered::Unhealed { .. } => return Ok(offered),
            _ => refuse_production(history.current())?,
        }
        self.store.put_charter(wire)?;
        // From here the charter survives a crash, so whoever acts on it may.
        self.history.store(Arc::new(history));
        if self.judge_logs_again()? {
            fold_all(&self.store, self)?;
        }
        self.changed.send_replace(version);
        tracing::info!(charter_version = version, "a charter was taken");
        Ok(offered)
    }

    /// Judges every log by the charter in force, as far as a later `to` of a key can have changed the verdict; says
    /// whether one was stopped, and the index must be folded. Blocking.
    fn judge_logs_again(&self) -> Result<bool, StoreError> {
        let mut stopped = false;
        for status in self.store.log_states()? {
            stopped |= self.judge_log_again(&status.log)?;
        }
        Ok(stopped)
    }

    /// As [`judge_logs_again`](Self::judge_logs_again), for one log. Whoever appends calls it when the charter changed
    /// between judging and appending.
    ///
    /// # Errors
    /// When our own disk fails.
    pub fn judge_log_again(&self, log: &LogId) -> Result<bool, StoreError> {
        let Some(revoked) = self.store.first_revoked(log, &self.history.load())? else {
            return Ok(false);
        };
        let Revoked { position, reason } = revoked;
        let held = self.store.log_status(log)?.state;
        if matches!(held, LogState::Stopped { position: held, .. } if held <= position) {
            return Ok(false);
        }
        tracing::error!(?log, position, reason = reason.code(), "{reason}: the log is followed no further");
        let state = LogState::Stopped { position, reason: reason.code().to_owned() };
        self.store.mark_log(log, &state)?;
        Ok(true)
    }
}

impl std::fmt::Debug for CharterBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CharterBook").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl LogOwners for CharterBook {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.history.load().member_of_log(log).map(|owner| (owner.member.clone(), owner.epoch))
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
