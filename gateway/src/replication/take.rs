//! Takes what was fetched or pushed: judges it, commits what is good, and finds out whose fault the rest is.
//!
//! Everything here blocks and runs beside the async tasks.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::chunk::Chunk;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_ledger::log::{InvalidReason, LogHead, Refusal};
use sundbro_ledger::transaction::VerifiedTransaction;
use sundbro_store::{
    AppendReplicaError, BlobKey, BlobKind, LogState, NewBlob, PutBlobError, StoreError,
};
use tokio::time::Instant;

use super::holdings::Holding;
use super::link::lock;
use super::own_log::root_at;
use super::{SessionEnd, Shared, reasons};
use crate::charter_book::state_after;

/// How far chunks were taken.
pub(super) enum Taken {
    /// To their end; the log ends here now.
    All(LogHead),
    /// Up to an entry that stops the log or makes it wait.
    UpTo,
    /// Not at all: they are on another branch of the log than the one that the charter names.
    OffBranch,
}

impl Shared {
    pub(super) async fn head(self: &Arc<Self>, log: LogId) -> Result<LogHead, SessionEnd> {
        let head = self.blocking(move |shared| shared.context.store.log_head(&log)).await?;
        head.map_err(|error| SessionEnd::ours("the end of a log cannot be read", error))
    }

    /// Checks chunks against the owner's checkpoint, then their entries, and commits what is good. Blocking.
    pub(super) fn take_chunks(
        &self,
        old_head: LogHead,
        target: &VerifiedCheckpoint,
        chunks: Vec<Chunk>,
    ) -> Result<Taken, SessionEnd> {
        let log = *old_head.log_id();
        let bad = |why: String| SessionEnd::log_fault(reasons::BAD_CHUNK, &log, why);
        let history = self.context.charter.history();
        let mut head = old_head.clone();
        let mut entries: Vec<VerifiedTransaction> = Vec::new();
        let mut refusal = None;
        let mut fault = None;
        for chunk in chunks {
            let covered = match chunk.check(&head, target) {
                Ok(covered) => covered,
                Err(error) => {
                    fault = Some(bad(error.to_string()));
                    break;
                }
            };
            let verified = covered.verify(&*history);
            entries.extend(verified.entries);
            head = verified.head;
            refusal = verified.refusal;
            if refusal.is_some() {
                break;
            }
        }
        let parted = self.at_parting(&old_head, &mut entries, &mut head)?;
        refusal = parted.or(refusal);
        if !self.is_on_branch(&old_head, &entries)? {
            return Ok(Taken::OffBranch);
        }
        // What was good before the fault was found is kept: it is covered by the owner's checkpoint.
        self.commit(&history, &entries, target, &head, refusal.as_ref())?;
        self.judge_again_after(&history, &log)?;
        if log == self.context.own.log && !entries.is_empty() {
            let came_back = self.own_log.came_back(&self.context.store);
            came_back.map_err(|error| SessionEnd::ours("our own log cannot be compared", error))?;
        }
        match (fault, refusal) {
            (Some(fault), _) => Err(fault),
            (None, Some(_)) => Ok(Taken::UpTo),
            (None, None) => Ok(Taken::All(head)),
        }
    }

    /// Whether entries that reach the branch which the charter names are on it. If not, none is taken, whoever signed them,
    /// and what was taken below may be of the same other branch. Blocking.
    fn is_on_branch(
        &self,
        old_head: &LogHead,
        entries: &[VerifiedTransaction],
    ) -> Result<bool, SessionEnd> {
        let log = old_head.log_id();
        let history = self.context.charter.history();
        let Some(branch) = history.branch_of(log) else { return Ok(true) };
        let mut head = old_head.clone();
        let below = entries.iter().take_while(|entry| entry.header().position < branch.size);
        for entry in below {
            // They followed one another a moment ago.
            let _ = head.append(entry);
        }
        let is_reached = old_head.size() < branch.size && head.size() == branch.size;
        if !is_reached || head.root() == branch.root {
            return Ok(true);
        }
        let left = self.context.charter.leave_other_branch(log);
        let left = left.and_then(|()| self.after_entries());
        left.map_err(|error| SessionEnd::ours("another branch was not dropped", error))?;
        Ok(false)
    }

    /// Why a log stops, if entries go beyond the position where evidence says that its histories part. Blocking.
    ///
    /// They are kept, though they do not count: whoever lacks what lies before the parting is given it under a checkpoint
    /// that covers both. Of our own log they are cut off, since we sign on what we hold.
    fn at_parting(
        &self,
        old_head: &LogHead,
        entries: &mut Vec<VerifiedTransaction>,
        head: &mut LogHead,
    ) -> Result<Option<Refusal>, SessionEnd> {
        let (store, charter) = (&self.context.store, &self.context.charter);
        let parted = store.parted(old_head.log_id(), &**charter);
        let parted = parted.map_err(|error| SessionEnd::ours("evidence cannot be read", error))?;
        let Some((kind, position)) = parted.and_then(|parted| Some((parted.kind, parted.at?)))
        else {
            return Ok(None);
        };
        if head.size() <= position {
            return Ok(None);
        }
        if *old_head.log_id() == self.context.own.log {
            entries.retain(|entry| entry.header().position < position);
            *head = old_head.clone();
            for entry in entries.iter() {
                // They followed one another a moment ago.
                let _ = head.append(entry);
            }
        }
        Ok(Some(Refusal::Invalid { position, reason: InvalidReason::Equivocated(kind) }))
    }

    /// Commits verified entries, and what stopped them, by the charter that judged them. Blocking.
    pub(super) fn commit(
        &self,
        judged_by: &CharterHistory,
        entries: &[VerifiedTransaction],
        target: &VerifiedCheckpoint,
        head: &LogHead,
        refusal: Option<&Refusal>,
    ) -> Result<(), SessionEnd> {
        let store = &self.context.store;
        let log = head.log_id();
        let ours = |error| SessionEnd::ours("entries were not stored", error);
        if !entries.is_empty() {
            match store.append_replica(log, entries, target, head) {
                // From here the entries survive a crash: the next session goes on after them.
                Ok(()) => self.grew_by(log, entries),
                // Stopped meanwhile, by what another session brought; or ours, which came back by another session.
                Err(AppendReplicaError::LogStopped(_) | AppendReplicaError::OwnLog) => {
                    return Ok(());
                }
                Err(error) => return Err(SessionEnd::ours("entries were not stored", error)),
            }
        }
        let state = match refusal {
            None => LogState::Followed,
            Some(refusal) => state_after(refusal),
        };
        self.holdings.judged(log, &state, judged_by.in_force());
        // The store keeps a stop that another session brought meanwhile.
        let before = store.log_status(log).map_err(ours)?.state;
        if before != state {
            self.mark(log, &state).map_err(ours)?;
        } else if entries.is_empty() {
            // Nothing changed, so nobody is woken.
            return Ok(());
        }
        self.after_entries().map_err(ours)
    }

    /// Counts entries and the payloads that they name; details are counted when they come.
    fn grew_by(&self, log: &LogId, entries: &[VerifiedTransaction]) {
        let counted = entries.iter().filter(|it| self.growth.counts(log, it.header().position));
        let bytes = |it: &VerifiedTransaction| {
            it.entry_bytes().len() as u64 + u64::from(it.header().payload_size)
        };
        self.growth.add(*log, counted.map(bytes).sum(), self.daily_limit(), Instant::now());
    }

    /// Counts the details among some blobs: no header names their size.
    fn grew_by_details(&self, log: &LogId, blobs: &[(BlobKey, Bytes)]) {
        let counts =
            |key: &BlobKey| key.kind == BlobKind::Detail && self.growth.counts(log, key.position);
        let counted = blobs.iter().filter(|(key, _)| counts(key));
        let bytes = counted.map(|(_, bytes)| bytes.len() as u64).sum();
        self.growth.add(*log, bytes, self.daily_limit(), Instant::now());
    }

    /// Judges what was just committed by the charter in force, if that is not the one by which it was verified. Either
    /// the new charter's own look at all logs saw the entries, or this one sees the new charter. Blocking.
    pub(super) fn judge_again_after(
        &self,
        judged_by: &CharterHistory,
        log: &LogId,
    ) -> Result<(), SessionEnd> {
        let charter = &self.context.charter;
        if charter.version() == judged_by.in_force() {
            return Ok(());
        }
        let ours = |error| SessionEnd::ours("a log was not judged again", error);
        match charter.judge_log_again(log).map_err(ours)? {
            true => self.after_entries().map_err(ours),
            false => Ok(()),
        }
    }

    /// Stores blobs that were asked for. Blocking.
    pub(super) fn put_blobs(
        &self,
        log: &LogId,
        blobs: &[(BlobKey, Bytes)],
    ) -> Result<(), SessionEnd> {
        let new = |(key, bytes): &(BlobKey, Bytes)| NewBlob {
            kind: key.kind,
            commitment: key.commitment,
            bytes: bytes.clone(),
        };
        match self.context.store.put_blobs(&blobs.iter().map(new).collect::<Vec<_>>()) {
            Ok(()) => self.grew_by_details(log, blobs),
            Err(PutBlobError::Store(error)) => {
                return Err(SessionEnd::ours("blobs were not stored", error));
            }
            Err(error) => {
                return Err(SessionEnd::log_fault(reasons::BAD_BLOB, log, error.to_string()));
            }
        }
        self.after_blobs().map_err(|error| SessionEnd::ours("the index was not folded", error))
    }

    /// Notes a checkpoint that a peer showed; finds out when it contradicts what is held.
    pub(super) async fn saw(
        self: &Arc<Self>,
        checkpoint: VerifiedCheckpoint,
    ) -> Result<(), SessionEnd> {
        let view = self.view().await?;
        let held = view.get(&checkpoint.log_id());
        if held.is_some_and(|held| is_same(held, &checkpoint)) {
            return Ok(());
        }
        let seen = self.blocking(move |shared| shared.note(&checkpoint)).await?;
        seen.map_err(|error| SessionEnd::ours("a checkpoint was not stored", error))
    }

    fn note(&self, checkpoint: &VerifiedCheckpoint) -> Result<(), StoreError> {
        let store = &self.context.store;
        let log = checkpoint.log_id();
        let status = store.log_status(&log)?;
        if checkpoint.size() > status.committed_size {
            return store.note_newest_seen(checkpoint);
        }
        if root_at(store, &log, checkpoint.size())? == *checkpoint.root() {
            // The one that we had may be forgotten: its key was ended, and this one is by another.
            return store.note_newest_seen(checkpoint);
        }
        if self.compare_roots(checkpoint)? {
            return Ok(());
        }
        // The owner signed a tree that is not the beginning of the one that we verified under its signature. That convinces
        // us and nobody else, so we do not stop alone: whoever shows the tree is asked where it parts from ours, and whoever
        // holds it asks us. Either brings the evidence.
        let shown = (checkpoint.size(), *checkpoint.root());
        if lock(&self.contradicting).insert(log, shown) != Some(shown) {
            tracing::warn!(
                ?log,
                size = checkpoint.size(),
                "a checkpoint is not of the history that is held here: whoever shows it is asked where they part"
            );
            self.context.hub.heads_changed();
        }
        Ok(())
    }

    /// Whether a tree that is shown is not the beginning of the one that is held.
    pub(super) fn is_contradicted(&self, shown: &VerifiedCheckpoint) -> bool {
        lock(&self.contradicting).get(&shown.log_id()) == Some(&(shown.size(), *shown.root()))
    }

    /// Whether a checkpoint of a member's log was seen here, or entries are held.
    pub(super) async fn knows_entries_of(
        self: &Arc<Self>,
        member: &MemberName,
    ) -> Result<bool, SessionEnd> {
        let view = self.view().await?;
        let history = self.context.charter.history();
        let is_members =
            |log: &LogId| history.member_of_log(log).is_some_and(|owner| owner.member == *member);
        // Entries stay when every checkpoint over them is forgotten, since its key was ended.
        let has_some =
            |held: &Holding| held.status.newest_seen_size.max(held.status.committed_size) > 0;
        Ok(view.iter().any(|(log, held)| is_members(log) && has_some(held)))
    }
}

fn is_same(held: &Holding, checkpoint: &VerifiedCheckpoint) -> bool {
    let committed = held.status.checkpoint.as_ref();
    committed.is_some_and(|row| row.size == checkpoint.size() && row.root == *checkpoint.root())
}

/// One past the last entry of a chunk.
pub(super) fn end_of(chunk: &Chunk) -> u64 {
    chunk.start.saturating_add(chunk.entries.len() as u64)
}
