//! Evidence that a member signed two histories: made from what a peer shows, taken from whoever brings it, given to all.
//!
//! Who brings it need not be trusted, and whom it convicts need not agree.

use bytes::Bytes;
use sundbro_ledger::checkpoint::{UnverifiedCheckpoint, VerifiedCheckpoint};
use sundbro_ledger::chunk::Chunk;
use sundbro_ledger::evidence::Evidence;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::signing::VerifyingKey;
use sundbro_proto::federation::v1::EvidenceFrame;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::StoreError;

use super::link::{Link, lock};
use super::take::end_of;
use super::{SessionEnd, Shared, reasons};

impl Link {
    /// Gives the peer the evidence that it was not given in this session and did not give itself. What convicts nobody by
    /// our charter is kept back: the peer could take it for a forgery.
    pub(super) async fn send_evidence(&self) -> Result<(), SessionEnd> {
        let held = self.shared.blocking(|shared| shared.convincing_evidence()).await?;
        let held = held.map_err(|error| SessionEnd::ours("evidence cannot be read", error))?;
        for evidence in held {
            if !lock(&self.evidence_given).insert(evidence.digest()) {
                continue;
            }
            self.send(Kind::Evidence(EvidenceFrame { evidence: evidence.to_bytes() })).await?;
        }
        Ok(())
    }

    /// Takes evidence that the peer brings.
    pub(super) async fn take_evidence(&self, frame: EvidenceFrame) -> Result<(), SessionEnd> {
        let bad = |why: String| SessionEnd::fault(reasons::BAD_EVIDENCE, why);
        let evidence = Evidence::parse(&frame.evidence).map_err(|error| bad(error.to_string()))?;
        lock(&self.evidence_given).insert(evidence.digest());
        match evidence.verify(&self.shared.context.charter.history()) {
            Ok(_) => {}
            Err(error) if error.is_forged() => return Err(bad(error.to_string())),
            // By another charter it may convict: whoever has one keeps it.
            Err(error) => {
                tracing::debug!(peer = %self.peer, log = ?evidence.log(), "{error}");
                return Ok(());
            }
        }
        let taken = self.shared.blocking(move |shared| shared.keep_evidence(&evidence)).await?;
        taken.map_err(|error| SessionEnd::ours("evidence was not kept", error))
    }
}

impl Shared {
    fn convincing_evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        let history = self.context.charter.history();
        let mut held = self.context.store.evidence(None)?;
        held.retain(|one| one.verify(&history).is_ok());
        Ok(held)
    }

    /// Keeps evidence that convicts, does what follows from it, and tells all peers. Blocking.
    pub(super) fn keep_evidence(&self, evidence: &Evidence) -> Result<(), StoreError> {
        if !self.context.charter.take_evidence(evidence)? {
            return Ok(());
        }
        self.evidence.send_modify(|count| *count = count.wrapping_add(1));
        self.after_entries()
    }

    /// Keeps what was made of two statements, if it convicts; says whether it does. Blocking.
    pub(super) fn convict(&self, evidence: &Evidence) -> Result<bool, StoreError> {
        if evidence.verify(&self.context.charter.history()).is_err() {
            return Ok(false);
        }
        self.keep_evidence(evidence)?;
        // What we hold is not what was shown. If the charter says which goes on, ours may be the other one.
        self.context.charter.leave_other_branch(&evidence.log())?;
        if evidence.log() == self.context.own.log {
            self.settle_own_log()?;
        }
        self.after_entries().map(|()| true)
    }

    /// Holds a checkpoint against the one that is committed here: two roots of one size, both signed, convict. Says whether
    /// they did. Blocking.
    pub(super) fn compare_roots(&self, shown: &VerifiedCheckpoint) -> Result<bool, StoreError> {
        let history = self.context.charter.history();
        let Some(held) = self.context.store.checkpoint(&shown.log_id())? else { return Ok(false) };
        if held.size != shown.size() || held.root == *shown.root() {
            return Ok(false);
        }
        let (Some(held), Some(shown)) =
            (signed(&history, &held.note), signed(&history, shown.note()))
        else {
            return Ok(false);
        };
        let evidence = Evidence::of_checkpoints((&held.0, &held.1), (&shown.0, &shown.1));
        evidence.map_or(Ok(false), |evidence| self.convict(&evidence))
    }

    /// Holds the entries of a chunk against those that are here at the same positions: two that are signed convict. Says
    /// whether any did. Blocking.
    pub(super) fn compare_entries(&self, shown: &Chunk) -> Result<bool, StoreError> {
        let held = self.context.store.entries(&shown.log_id, shown.start..end_of(shown))?;
        let differ = |(held, shown): &(&Bytes, &Bytes)| held != shown;
        // What follows a difference differs too, by its link: the first one is where the histories part.
        match held.iter().zip(&shown.entries).find(differ) {
            Some((held, shown)) => match Evidence::of_entries(held, shown) {
                Ok(evidence) => self.convict(&evidence),
                Err(_) => Ok(false),
            },
            None => Ok(false),
        }
    }
}

/// A note and the key of the charter in force that signed it.
pub(super) fn signed(
    history: &CharterHistory,
    note: &[u8],
) -> Option<(VerifiedCheckpoint, VerifyingKey)> {
    let note = UnverifiedCheckpoint::parse(note).ok()?;
    let key = history.checkpoint_key_of(&note)?;
    Some((note.verify(&key).ok()?, key))
}
