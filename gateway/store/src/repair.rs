//! The store's half of a repair: what is damaged and what others have is dropped here, so that it is fetched again.
//!
//! One file is written in one transaction, and what is derived from it follows: a ledger that became shorter is noticed
//! by the next fold, which takes the index back; payloads from which one went get a new id in the same transaction, so
//! that an index which still says that it is here is derived anew, at the latest by the next start.

use sundbro_ledger::ids::{Commitment, LogId, NodeHash};
use sundbro_ledger::log::{LogHead, Refusal};
use sundbro_ledger::merkle::{NodeReader, leaf_hash};
use sundbro_ledger::transaction::VerifiedTransaction;

use crate::blobs::{PayloadsMark, read_blob};
use crate::database::{ReadView, WriteView, get, prefix_end, walk};
use crate::error::{Damage, RepairError, StoreError};
use crate::hashes::{NewHashes, StoredNodes};
use crate::index::bind;
use crate::logs::{CheckpointKind, checkpoint_in, checkpoint_key, entry_in, entry_key, log_key};
use crate::store::{Sendable, Store};
use crate::tables::{BLOBS, CHECKPOINTS, ENTRIES, HASHES, LOGS};
use crate::verify::Trust;
use crate::verify::log::Then;

/// Entries whose hashes are gathered before they are written.
const HASHED_AT_ONCE: u64 = 4096;

/// What a repair left of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairedLog {
    /// How many entries are here, each verified again.
    pub kept: u64,
    /// How many rows of entries were dropped.
    pub dropped: u64,
}

impl Store {
    /// Verifies a log again from its first entry, drops everything from the first damaged one on, and makes head and
    /// hashes anew from the entries that stay. Replication fetches the rest.
    ///
    /// Of our own log only while nothing is signed. The signing gate stays as it is, and so do request ids and locators:
    /// they are right again when the entries are back. Call [`Store::fold`] afterwards.
    ///
    /// # Errors
    /// Fails when the disk does, when signing goes on, and when an entry is what was stored and yet not what `trust`
    /// accepts: that is no fault of a disk. The log is then as it was.
    pub fn repair_log(&self, log: &LogId, trust: &dyn Trust) -> Result<RepairedLog, RepairError> {
        let is_own = *log == self.identity().own_log;
        let own = self.own_for_append()?;
        if is_own && own.stop.is_none() {
            return Err(RepairError::StillSigning);
        }
        let write = self.ledger.write()?;
        let view = self.ledger.read()?;
        clear_hashes(&write, log)?;
        let head = keep_sound(&write, &view, log, trust)?;
        let dropped = drop_entries(&write, log, head.size())?;
        write.put_sealed(&LOGS, log.as_bytes(), &head.to_bytes())?;
        let committed = fit_checkpoint(&write, &head)?;
        // From here the log is shorter and whole; the index takes back what it folded beyond it.
        write.commit()?;
        if is_own {
            let checkpoint = if committed {
                checkpoint_in(&self.ledger.read()?, log, CheckpointKind::Committed)?
            } else {
                None
            };
            self.set_sendable(Sendable { size: head.size(), root: head.root(), checkpoint });
        }
        drop(own);
        Ok(RepairedLog { kept: head.size(), dropped })
    }

    /// Removes those of these blobs that are not what their commitments say, so that they are asked for again; says how
    /// many. Call [`Store::fold`] afterwards: the index is derived anew.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn forget_damaged_blobs(&self, blobs: &[Commitment]) -> Result<u64, StoreError> {
        let write = self.payloads.write()?;
        let mut removed = 0;
        for blob in blobs {
            let value = get(&write.table(&BLOBS)?, &BLOBS, blob.as_bytes())?;
            if value.is_some_and(|value| read_blob(blob.as_bytes(), &value).is_err()) {
                write.remove(&BLOBS, blob.as_bytes())?;
                removed += 1;
            }
        }
        if removed == 0 {
            return Ok(0);
        }
        PayloadsMark::renew(&write)?;
        // From here they are gone, and an index that says otherwise stands on another file.
        write.commit()?;
        bind(&self.index, &self.payloads)?;
        Ok(removed)
    }
}

fn clear_hashes(write: &WriteView, log: &LogId) -> Result<(), StoreError> {
    let prefix = log_key(log);
    let mut keys = Vec::new();
    walk(&write.table(&HASHES)?, &HASHES, &prefix[..]..&prefix_end(&prefix)[..], |key, _| {
        keys.push(key.to_vec());
        Ok(true)
    })?;
    keys.iter().try_for_each(|key| write.remove(&HASHES, key).map(drop))
}

/// The head after the last entry before the first damaged one; the hashes of those before it are written.
fn keep_sound(
    write: &WriteView,
    view: &ReadView,
    log: &LogId,
    trust: &dyn Trust,
) -> Result<LogHead, RepairError> {
    let mut head = LogHead::new(*log);
    let mut hashes = NewHashes::default();
    while let Some(entry) = sound_entry(view, &head, trust)? {
        let appended = head.append_with(&entry, &mut |node, hash| hashes.add(node, hash));
        appended.map_err(|error| RepairError::CannotJudge {
            log: *log,
            position: head.size(),
            problem: error.to_string(),
        })?;
        if head.size().is_multiple_of(HASHED_AT_ONCE) {
            let gathered = core::mem::take(&mut hashes);
            gathered.write(&mut write.table(&HASHES)?, &HASHES, &log_key(log))?;
        }
    }
    hashes.write(&mut write.table(&HASHES)?, &HASHES, &log_key(log))?;
    Ok(head)
}

/// The next entry. `None`: there is none, or it is damaged.
fn sound_entry(
    view: &ReadView,
    head: &LogHead,
    trust: &dyn Trust,
) -> Result<Option<VerifiedTransaction>, RepairError> {
    let (log, position) = (head.log_id(), head.size());
    let entry = match entry_in(view, log, position) {
        Ok(Some(entry)) => entry,
        Ok(None) | Err(StoreError::Damaged(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let leaf = NodeHash::from(leaf_hash(&entry));
    let refusal = match head.verify_entry(entry, &Then(trust)) {
        Ok(entry) => return Ok(Some(entry)),
        Err(refusal) => refusal,
    };
    let stored = StoredNodes::new(view, &HASHES, &log_key(log))?.node(0, position).ok();
    if matches!(refusal, Refusal::Invalid { .. }) && stored != Some(leaf) {
        return Ok(None);
    }
    let problem = refusal.to_string();
    Err(RepairError::CannotJudge { log: *log, position, problem })
}

fn drop_entries(write: &WriteView, log: &LogId, from: u64) -> Result<u64, StoreError> {
    let end = prefix_end(&log_key(log));
    let mut keys = Vec::new();
    let range = &entry_key(log, from)[..]..&end[..];
    walk(&write.table(&ENTRIES)?, &ENTRIES, range, |key, _| {
        keys.push(key.to_vec());
        Ok(true)
    })?;
    keys.iter().try_for_each(|key| write.remove(&ENTRIES, key).map(drop))?;
    Ok(keys.len() as u64)
}

/// Forgets the checkpoint of what is not all here any more; says whether there is one still. The newest that was seen
/// stays, if it can be read: it is what to catch up to.
fn fit_checkpoint(write: &WriteView, head: &LogHead) -> Result<bool, StoreError> {
    let log = head.log_id();
    let mut committed = false;
    for kind in [CheckpointKind::Committed, CheckpointKind::NewestSeen] {
        let stays = match checkpoint_in(write, log, kind) {
            Ok(None) => continue,
            Ok(Some(row)) if row.size == head.size() && row.root != head.root() => {
                let problem = "the entries have another root than their checkpoint";
                return Err(StoreError::damaged(
                    Damage::of_table(&CHECKPOINTS, problem).in_log(*log),
                ));
            }
            Ok(Some(row)) => kind == CheckpointKind::NewestSeen || row.size <= head.size(),
            Err(StoreError::Damaged(_)) => false,
            Err(error) => return Err(error),
        };
        if !stays {
            write.remove(&CHECKPOINTS, &checkpoint_key(log, kind))?;
        } else if kind == CheckpointKind::Committed {
            committed = true;
        }
    }
    Ok(committed)
}
