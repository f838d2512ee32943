//! What is held of each log: entries, hashes, heads, checkpoints, and whether it is followed.

mod status;

use core::ops::Range;
use std::collections::BTreeSet;

use bytes::Bytes;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::evidence::Equivocation;
use sundbro_ledger::history::Named;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::log::{InvalidReason, LogHead, Refusal};
use sundbro_ledger::transaction::{SignedTransaction, VerifiedTransaction};

use crate::database::{ALL_KEYS, ReadView, SealedRows, WriteView, misfit, opened, walk};
use crate::error::{AppendReplicaError, Damage, InFile, StoreError};
use crate::evidence::parted_in;
use crate::gate::SigningStop;
use crate::hashes::NewHashes;
use crate::index::LogOwners;
use crate::row::{RowProblem, unversion, version};
use crate::store::Store;
use crate::tables::{CHECKPOINTS, ENTRIES, HASHES, LOG_STATES, LOGS};

pub use self::status::{CheckpointRow, LogState, LogStatus};

/// The reason of a log whose member signed two different trees.
pub const EQUIVOCATION: &str = Equivocation::Equivocation.code();

/// Whether a log stopped for this reason because its member signed two histories.
pub fn is_equivocation(reason: &str) -> bool {
    [Equivocation::Equivocation, Equivocation::LostTail].iter().any(|kind| kind.code() == reason)
}

/// Most entries that one read returns.
pub const MAX_ENTRIES_READ: u64 = 4096;

/// Which of the two checkpoints of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckpointKind {
    /// The newest whose size is committed.
    Committed,
    /// The newest that was seen.
    NewestSeen,
}

/// The first 8 bytes of a log id: what stands for the log in keys.
pub(crate) fn log_key(log: &LogId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *log.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// log ‖ position.
pub(crate) fn entry_key(log: &LogId, position: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&log_key(log));
    key[8..].copy_from_slice(&position.to_be_bytes());
    key
}

pub(crate) fn checkpoint_key(log: &LogId, kind: CheckpointKind) -> [u8; 33] {
    let mut key = [0; 33];
    key[..32].copy_from_slice(log.as_bytes());
    key[32] = u8::from(kind == CheckpointKind::NewestSeen);
    key
}

pub(crate) fn head_in(rows: &impl SealedRows, log: &LogId) -> Result<LogHead, StoreError> {
    let Some(body) = rows.sealed(&LOGS, log.as_bytes())? else { return Ok(LogHead::new(*log)) };
    let head = LogHead::from_bytes(&body).ok().filter(|head| head.log_id() == log);
    head.ok_or_else(|| misfit(&LOGS, RowProblem::Fields))
}

pub(crate) fn checkpoint_in(
    rows: &impl SealedRows,
    log: &LogId,
    kind: CheckpointKind,
) -> Result<Option<CheckpointRow>, StoreError> {
    rows.sealed(&CHECKPOINTS, &checkpoint_key(log, kind))?
        .map(|body| CheckpointRow::from_body(&body).map_err(|it| misfit(&CHECKPOINTS, it)))
        .transpose()
}

/// The first entry of a log that is refused now, though it was verified once.
pub(crate) fn first_refused_in(
    view: &ReadView,
    log: &LogId,
    owners: &dyn LogOwners,
) -> Result<Option<Refusal>, StoreError> {
    let head = head_in(view, log)?;
    let by_charter = owners.first_refused(log, head.size(), &mut |position| {
        // Asked for at every fold, and mostly alone.
        if position + 1 == head.size() {
            return Ok(Named { charter_version: head.charter_version(), key_id: head.key_id() });
        }
        let entry = entry_in(view, log, position)?;
        let entry = entry.and_then(|entry| SignedTransaction::from_entry(entry).ok());
        let damage = || Damage::of_table(&ENTRIES, "the entry is not here, or does not parse");
        let entry = entry.ok_or_else(|| StoreError::damaged(damage().at(*log, position)))?;
        Ok(Named::from(entry.header()))
    })?;
    let parted = parted_in(view, log, owners)?;
    let parted = parted.and_then(|parted| Some((parted.kind, parted.at?)));
    let first = by_charter.as_ref().map_or(head.size(), Refusal::position);
    Ok(match parted {
        Some((kind, position)) if position < first => {
            Some(Refusal::Invalid { position, reason: InvalidReason::Equivocated(kind) })
        }
        _ => by_charter,
    })
}

pub(crate) fn state_in(rows: &impl SealedRows, log: &LogId) -> Result<LogState, StoreError> {
    let Some(body) = rows.sealed(&LOG_STATES, log.as_bytes())? else {
        return Ok(LogState::Followed);
    };
    LogState::from_body(&body).map_err(|problem| misfit(&LOG_STATES, problem))
}

/// Writes entries, their hashes and the head after them: all that grows when a log grows, but the checkpoint.
pub(crate) fn write_entries(
    write: &WriteView,
    old: &LogHead,
    entries: &[VerifiedTransaction],
    new: &LogHead,
) -> Result<(), AppendReplicaError> {
    let log = old.log_id();
    let wrong = |problem| Err(AppendReplicaError::Inconsistent { log: *log, problem });
    let mut head = old.clone();
    let mut hashes = NewHashes::default();
    {
        let mut rows = write.table(&ENTRIES)?;
        for entry in entries {
            let key = entry_key(log, head.size());
            if head.append_with(entry, &mut |node, hash| hashes.add(node, hash)).is_err() {
                return wrong("an entry does not follow the one before it");
            }
            rows.insert(key.as_slice(), version(entry.entry_bytes()).as_slice())
                .in_file(ENTRIES.file)?;
        }
    }
    // All of it: the next entry is judged against link, key, charter version and incarnation, not the tree alone.
    if *new != head {
        return wrong("the head does not follow from the entries");
    }
    hashes.write(&mut write.table(&HASHES)?, &HASHES, &log_key(log))?;
    write.put_sealed(&LOGS, log.as_bytes(), &new.to_bytes())?;
    Ok(())
}

/// Writes the checkpoint that covers the new head.
pub(crate) fn write_checkpoint(
    write: &WriteView,
    checkpoint: &VerifiedCheckpoint,
    committed: u64,
) -> Result<(), StoreError> {
    let log = checkpoint.log_id();
    let row = CheckpointRow::of(checkpoint);
    if row.size == committed {
        let key = checkpoint_key(&log, CheckpointKind::Committed);
        write.put_sealed(&CHECKPOINTS, &key, &row.to_body())?;
    }
    let seen = checkpoint_in(write, &log, CheckpointKind::NewestSeen)?;
    if seen.is_none_or(|seen| seen.size < row.size) {
        let key = checkpoint_key(&log, CheckpointKind::NewestSeen);
        write.put_sealed(&CHECKPOINTS, &key, &row.to_body())?;
    }
    Ok(())
}

fn status_in(view: &ReadView, log: &LogId) -> Result<LogStatus, StoreError> {
    let head = head_in(view, log)?;
    let seen = checkpoint_in(view, log, CheckpointKind::NewestSeen)?;
    Ok(LogStatus {
        log: *log,
        committed_size: head.size(),
        root: head.root(),
        incarnation: head.incarnation(),
        state: state_in(view, log)?,
        newest_seen_size: seen.map_or(0, |row| row.size),
        checkpoint: checkpoint_in(view, log, CheckpointKind::Committed)?,
    })
}

pub(crate) fn entry_in(
    view: &ReadView,
    log: &LogId,
    position: u64,
) -> Result<Option<Bytes>, StoreError> {
    let Some(value) = view.get(&ENTRIES, &entry_key(log, position))? else { return Ok(None) };
    let damage = |problem: RowProblem| Damage::of_table(&ENTRIES, problem).at(*log, position);
    let body = unversion(&value).map_err(|problem| StoreError::damaged(damage(problem)))?;
    Ok(Some(Bytes::copy_from_slice(body)))
}

/// Entries of a log from one moment, without gaps: a row that is gone ends it with an error.
pub(crate) fn entries_in(
    view: &ReadView,
    log: &LogId,
    positions: Range<u64>,
) -> Result<Vec<Bytes>, StoreError> {
    let size = head_in(view, log)?.size();
    let end = positions.end.min(size).min(positions.start.saturating_add(MAX_ENTRIES_READ));
    let mut entries: Vec<Bytes> = Vec::new();
    let damage = |position, problem: String| {
        StoreError::damaged(Damage::of_table(&ENTRIES, problem).at(*log, position))
    };
    let mut next = positions.start;
    let range = &entry_key(log, positions.start)[..]..&entry_key(log, end)[..];
    if positions.start >= end {
        return Ok(entries);
    }
    walk(&view.table(&ENTRIES)?, &ENTRIES, range, |key, value| {
        if key != entry_key(log, next) {
            return Err(damage(next, "the entry is not here".to_owned()));
        }
        let body = unversion(value).map_err(|problem| damage(next, problem.to_string()))?;
        entries.push(Bytes::copy_from_slice(body));
        next += 1;
        Ok(true)
    })?;
    if next == end { Ok(entries) } else { Err(damage(next, "the entry is not here".to_owned())) }
}

/// Every log of which something is here.
pub(crate) fn logs_in(view: &ReadView) -> Result<BTreeSet<LogId>, StoreError> {
    let mut logs = BTreeSet::new();
    for table in [&LOGS, &LOG_STATES, &CHECKPOINTS] {
        walk(&view.table(table)?, table, ALL_KEYS, |key, value| {
            opened(table, key, value)?;
            let log = key.get(..32).and_then(|id| LogId::try_from(id).ok());
            logs.insert(log.ok_or_else(|| misfit(table, RowProblem::Fields))?);
            Ok(true)
        })?;
    }
    Ok(logs)
}

impl Store {
    /// The end of a log here; the head of an empty log when nothing is here.
    ///
    /// Of our own log too, even where the signing gate has not passed it yet: nothing to be sent.
    pub fn log_head(&self, log: &LogId) -> Result<LogHead, StoreError> {
        head_in(&self.ledger.read()?, log)
    }

    /// Every log of which something is here: entries, a checkpoint or a state. By log id.
    ///
    /// Our own log is shown as far as the signing gate has passed it: all of this may be sent.
    pub fn log_states(&self) -> Result<Vec<LogStatus>, StoreError> {
        let view = self.ledger.read()?;
        logs_in(&view)?.iter().map(|log| self.status_in(&view, log)).collect()
    }

    /// One log; the state of an empty, followed log when nothing is here.
    pub fn log_status(&self, log: &LogId) -> Result<LogStatus, StoreError> {
        self.status_in(&self.ledger.read()?, log)
    }

    fn status_in(&self, view: &ReadView, log: &LogId) -> Result<LogStatus, StoreError> {
        let mut status = status_in(view, log)?;
        if let Some(sendable) = self.sendable(log) {
            status.committed_size = sendable.size;
            status.root = sendable.root;
            status.newest_seen_size = status.newest_seen_size.min(sendable.size);
            status.checkpoint = sendable.checkpoint;
        }
        Ok(status)
    }

    /// The newest checkpoint that is wholly committed here, and may be sent.
    pub fn checkpoint(&self, log: &LogId) -> Result<Option<CheckpointRow>, StoreError> {
        if let Some(sendable) = self.sendable(log) {
            return Ok(sendable.checkpoint);
        }
        checkpoint_in(&self.ledger.read()?, log, CheckpointKind::Committed)
    }

    /// The newest checkpoint that was seen, committed or not: what to catch up to.
    pub fn newest_seen(&self, log: &LogId) -> Result<Option<CheckpointRow>, StoreError> {
        checkpoint_in(&self.ledger.read()?, log, CheckpointKind::NewestSeen)
    }

    /// Remembers a checkpoint that is newer than what is committed. An older one changes nothing.
    ///
    /// The caller has checked that it is consistent with what is committed.
    pub fn note_newest_seen(&self, checkpoint: &VerifiedCheckpoint) -> Result<(), StoreError> {
        let seen = self.newest_seen(&checkpoint.log_id())?;
        if seen.is_some_and(|seen| seen.size >= checkpoint.size()) {
            return Ok(());
        }
        let write = self.ledger.write()?;
        let committed = head_in(&write, &checkpoint.log_id())?;
        // An equal size is committed only with an equal root: anything else would be a head that nobody signed.
        let whole = committed.size() == checkpoint.size() && committed.root() == *checkpoint.root();
        write_checkpoint(&write, checkpoint, if whole { committed.size() } else { u64::MAX })?;
        write.commit()
    }

    /// Appends verified entries to our replica, in one transaction with their hashes, the head, and the checkpoint that
    /// covers them.
    ///
    /// `checkpoint` may be larger than what is committed then: a pull takes several chunks.
    ///
    /// # Errors
    /// [`AppendReplicaError::NotNext`] when the replica does not end where the entries start, `LogStopped` when the
    /// log is stopped here or before, `Inconsistent` when the parts do not belong together, `OwnLog` for our own log unless entries of
    /// it were lost.
    pub fn append_replica(
        &self,
        log: &LogId,
        entries: &[VerifiedTransaction],
        checkpoint: &VerifiedCheckpoint,
        new_head: &LogHead,
    ) -> Result<(), AppendReplicaError> {
        let wrong = |problem| Err(AppendReplicaError::Inconsistent { log: *log, problem });
        if checkpoint.log_id() != *log {
            return wrong("the checkpoint is of another log");
        }
        if checkpoint.size() < new_head.size() {
            return wrong("the checkpoint does not cover the entries");
        }
        if checkpoint.size() == new_head.size() && *checkpoint.root() != new_head.root() {
            return wrong("the checkpoint has another root");
        }
        if *log == self.identity().own_log {
            return self.append_lost(entries, checkpoint, new_head);
        }
        self.want_room()?;
        let write = self.ledger.write()?;
        let old = head_in(&write, log)?;
        // What lies before the stop is everybody's, and may come under a checkpoint that goes beyond it.
        if let LogState::Stopped { position, .. } = state_in(&write, log)?
            && old.size() >= position
        {
            return Err(AppendReplicaError::LogStopped(*log));
        }
        let start = entries.first().map_or(old.size(), |entry| entry.header().position);
        if start != old.size() {
            return Err(AppendReplicaError::NotNext { log: *log, committed: old.size(), start });
        }
        write_entries(&write, &old, entries, new_head)?;
        write_checkpoint(&write, checkpoint, new_head.size())?;
        // From here the entries survive a crash; the index catches up from its own cursor.
        write.commit()?;
        Ok(())
    }

    /// Says whether a log is followed. A stopped log stays stopped; it may only stop earlier. Our own log, when it is
    /// stopped, is signed no further, now and after restarts. Gives whether that was new.
    pub fn mark_log(&self, log: &LogId, state: &LogState) -> Result<bool, StoreError> {
        if state_in(&self.ledger.read()?, log)? == *state {
            return Ok(false);
        }
        let write = self.ledger.write()?;
        let held = state_in(&write, log)?;
        let stays = match (&held, state) {
            // Evidence outlasts what a charter says of keys, and what it no longer says.
            (
                LogState::Stopped { position: held, reason },
                LogState::Stopped { position, reason: new },
            ) if is_equivocation(reason) && is_equivocation(new) => held <= position,
            (LogState::Stopped { reason, .. }, _) if is_equivocation(reason) => true,
            (LogState::Stopped { .. }, LogState::Stopped { reason, .. })
                if is_equivocation(reason) =>
            {
                false
            }
            (LogState::Stopped { position: held, .. }, LogState::Stopped { position, .. }) => {
                held <= position
            }
            (LogState::Stopped { .. }, _) => true,
            (held, state) => held == state,
        };
        if stays {
            return Ok(false);
        }
        write.put_sealed(&LOG_STATES, log.as_bytes(), &state.to_body())?;
        write.commit()?;
        if let (true, LogState::Stopped { position, reason }) =
            (*log == self.identity().own_log, state)
        {
            self.stop_signing(SigningStop::of_stopped_log(*position, reason));
        }
        Ok(true)
    }

    /// The first entry here that the charters followed now refuse, though it was verified once.
    ///
    /// # Errors
    /// Fails when the disk does, or when an entry is damaged.
    pub fn first_refused(
        &self,
        log: &LogId,
        owners: &dyn LogOwners,
    ) -> Result<Option<Refusal>, StoreError> {
        first_refused_in(&self.ledger.read()?, log, owners)
    }

    /// A charter that stopped the log is not followed any more, or names the branch of it that goes on: the log is followed.
    pub fn follow_again(&self, log: &LogId) -> Result<(), StoreError> {
        let write = self.ledger.write()?;
        write.put_sealed(&LOG_STATES, log.as_bytes(), &LogState::Followed.to_body())?;
        write.commit()
    }

    /// Forgets the newest checkpoint that was seen of a log, if it may not stay; says whether it went. What is committed
    /// keeps the checkpoint under which it came.
    pub fn forget_newest_seen(
        &self,
        log: &LogId,
        may_stay: impl Fn(&CheckpointRow) -> bool,
    ) -> Result<bool, StoreError> {
        let must_go = |row: Option<CheckpointRow>| row.is_some_and(|row| !may_stay(&row));
        // Looked for before anything is written: hardly ever must it go, and every start asks.
        if !must_go(self.newest_seen(log)?) {
            return Ok(false);
        }
        let write = self.ledger.write()?;
        if !must_go(checkpoint_in(&write, log, CheckpointKind::NewestSeen)?) {
            return Ok(false);
        }
        write.remove(&CHECKPOINTS, &checkpoint_key(log, CheckpointKind::NewestSeen))?;
        write.commit()?;
        Ok(true)
    }

    /// Entries of a log; fewer than asked for when the log ends or after [`MAX_ENTRIES_READ`].
    pub fn entries(&self, log: &LogId, positions: Range<u64>) -> Result<Vec<Bytes>, StoreError> {
        entries_in(&self.ledger.read()?, log, positions)
    }

    /// One entry.
    pub fn entry(&self, log: &LogId, position: u64) -> Result<Option<Bytes>, StoreError> {
        entry_in(&self.ledger.read()?, log, position)
    }
}
