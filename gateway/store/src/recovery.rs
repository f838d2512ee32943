//! Our own log after a loss: entries that others kept come back, and only then is it signed again.
//!
//! Nothing here decides by itself that nothing was lost. The caller has asked the other members; here it is made sure
//! that what the signing gate says was signed is there again, and that the next start of signing has a number that no
//! earlier one had.

use core::sync::atomic::Ordering;

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::log::LogHead;
use sundbro_ledger::transaction::VerifiedTransaction;

use crate::error::{AppendReplicaError, StoreError};
use crate::gate::{SigningGate, SigningStop};
use crate::left::{compare, left_in};
use crate::logs::{CheckpointKind, checkpoint_in, head_in, write_checkpoint, write_entries};
use crate::store::{OwnLog, Sendable, Store};

/// Why our own log is not signed again yet.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Something else than missing entries stops it, or the gate does not lie on what came back.
    #[error(transparent)]
    Stopped(SigningStop),
    /// Our own disk failed.
    #[error("the signing gate could not be compared or written")]
    Store(#[from] StoreError),
}

impl Store {
    /// Takes entries of our own log back that others kept, as [`Store::append_replica`] takes those of other members.
    ///
    /// # Errors
    /// As there; `OwnLog` unless signing is stopped since entries are missing: what we sign ourselves, nobody appends.
    pub(crate) fn append_lost(
        &self,
        entries: &[VerifiedTransaction],
        checkpoint: &VerifiedCheckpoint,
        new_head: &LogHead,
    ) -> Result<(), AppendReplicaError> {
        // Held to the end: nobody can begin to sign meanwhile.
        let own = self.own_for_append()?;
        if !own.stop.as_ref().is_some_and(SigningStop::is_passing) {
            return Err(AppendReplicaError::OwnLog);
        }
        let log = self.identity().own_log;
        self.want_room()?;
        let write = self.ledger.write()?;
        let old = head_in(&write, &log)?;
        let start = entries.first().map_or(old.size(), |entry| entry.header().position);
        if start != old.size() {
            return Err(AppendReplicaError::NotNext { log, committed: old.size(), start });
        }
        write_entries(&write, &old, entries, new_head)?;
        write_checkpoint(&write, checkpoint, new_head.size())?;
        write.commit()?;
        self.of_others_to.store(new_head.size(), Ordering::Release);
        // Others hold them already, so they may be shown before the gate has passed them.
        let row = checkpoint_in(&self.ledger.read()?, &log, CheckpointKind::Committed)?;
        let (size, root) = (new_head.size(), new_head.root());
        self.set_sendable(Sendable { size, root, checkpoint: row });
        drop(own);
        Ok(())
    }

    /// Signs our own log again after what was missing came back: gate and ledger meet, and `stop` is taken off.
    ///
    /// # Errors
    /// [`ResumeError::Stopped`] with what still stands against it.
    pub fn resume_signing(&self) -> Result<(), ResumeError> {
        let mut own = self.own();
        match &own.stop {
            None => return Ok(()),
            Some(stop) if !stop.is_passing() => return Err(ResumeError::Stopped(stop.clone())),
            Some(_) => {}
        }
        let log = self.identity().own_log;
        let head = head_in(&self.ledger.read()?, &log)?;
        if let Some(stop) = compare(&self.ledger, &head, &own.gate)? {
            if !stop.is_passing() {
                own.stop = Some(stop.clone());
            }
            return Err(ResumeError::Stopped(stop));
        }
        self.pass(&mut own, &head)?;
        own.stop = None;
        Ok(())
    }

    /// Gives up what the signing gate says was signed and nobody has: the gate is written from the ledger. For an
    /// operator alone, who answers for it on the record: should the lost end turn up, our log stops everywhere.
    ///
    /// # Errors
    /// [`ResumeError::Stopped`] when something else stands against signing.
    pub fn give_up_lost_end(&self) -> Result<(), ResumeError> {
        let mut own = self.own();
        match &own.stop {
            None => return Ok(()),
            Some(stop) if !stop.is_passing() => return Err(ResumeError::Stopped(stop.clone())),
            Some(_) => {}
        }
        let view = self.ledger.read()?;
        let head = head_in(&view, &self.identity().own_log)?;
        let is_left = left_in(&view, &own.gate)?.is_some();
        drop(view);
        if let Some(stop) = compare(&self.ledger, &head, &own.gate)?.filter(|_| is_left) {
            // It is not lost: the stewards have named a branch, and on it others have signed what would be signed here.
            return Err(ResumeError::Stopped(stop));
        }
        self.pass(&mut own, &head)?;
        own.stop = None;
        Ok(())
    }

    /// Makes our incarnation higher than `known`, durably, before anything is signed under it. Gives the new one.
    ///
    /// A gate that is missing or damaged is not written: one that is put back must not find another in its place.
    ///
    /// # Errors
    /// When the gate cannot be written; then the old one stands.
    pub fn raise_incarnation(&self, known: u32) -> Result<u32, StoreError> {
        let mut own = self.own();
        if own.gate.incarnation > known {
            return Ok(own.gate.incarnation);
        }
        let gate = SigningGate { incarnation: known.saturating_add(1), ..own.gate };
        let keeps_file = own.stop.as_ref().is_none_or(SigningStop::is_passing);
        if keeps_file {
            self.write_gate(&own, gate)?;
        }
        own.gate = gate;
        Ok(gate.incarnation)
    }

    /// Puts the gate at the ledger's head, with a number that none of the entries there has.
    pub(crate) fn pass(&self, own: &mut OwnLog, head: &LogHead) -> Result<(), StoreError> {
        let incarnation = own.gate.incarnation.max(head.incarnation().saturating_add(1));
        let (size, root) = (head.size(), head.root());
        let gate = SigningGate { size, root, incarnation, ..own.gate };
        self.write_gate(own, gate)?;
        own.gate = gate;
        let checkpoint =
            checkpoint_in(&self.ledger.read()?, head.log_id(), CheckpointKind::Committed)?;
        self.set_sendable(Sendable { size, root, checkpoint });
        Ok(())
    }

    fn write_gate(&self, own: &OwnLog, gate: SigningGate) -> Result<(), StoreError> {
        gate.write(&*self.disk, &own.gate_path)
            .map_err(|source| StoreError::Gate { path: own.gate_path.clone(), source })
    }
}
