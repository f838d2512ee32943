//! Goes over to the branch of an equivocating log that the charter names: what is here of another one is dropped.

use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{Frontier, Node, NodeReader as _, range_hash};
use sundbro_ledger::transaction::SignedTransaction;

use crate::database::{ReadView, WriteView, misfit, walk};
use crate::error::{InFile, StoreError};
use crate::hashes::{LEVEL_STEP, StoredNodes, hash_key, row_hashes};
use crate::index::clear_index;
use crate::logs::{CheckpointKind, checkpoint_key, entry_in, entry_key, head_in, log_key};
use crate::row::{RowProblem, version};
use crate::store::Store;
use crate::tables::{CHECKPOINTS, ENTRIES, HASHES, HASHES_PER_ROW, LOGS, Table};

/// Rows that one transaction of redb is asked to drop at once are gathered first; so many at a time.
const DROPPED_AT_ONCE: usize = 4_096;

impl Store {
    /// Drops what is here of a replica from `parting` on, if it is not, or may not be, the beginning of the branch that goes
    /// on; it is fetched anew. Says whether anything was dropped.
    ///
    /// `parting`: the first position at which the histories differ, 0 where nobody knows. Of our own log, what was signed and
    /// is dropped is never signed again ([`Store::settle`] says when it goes on).
    ///
    /// # Errors
    /// Fails when the disk does, or a row is damaged; nothing was dropped then.
    pub fn follow_branch(&self, branch: &LogBranch, parting: u64) -> Result<bool, StoreError> {
        let log = &branch.log_id;
        // Asked at every start, and hardly ever is there something to drop.
        if !self.may_be_other(branch, parting)? {
            return Ok(false);
        }
        if *log == self.identity().own_log {
            return self.leave_own_branch(branch, parting);
        }
        // The index first, and until the end: a fold between the two would stand on what is gone.
        let index = self.index.begin()?;
        let write = self.ledger.write()?;
        let view = self.ledger.read()?;
        let head = head_in(&view, log)?;
        if !self.may_be_other(branch, parting)? {
            return Ok(false);
        }
        drop_from(&write, &view, &head, parting)?;
        clear_index(&index)?;
        // From here the other branch is gone, and the named one is fetched. A crash before the next line leaves an index that
        // reaches further than the log, which the next fold finds out.
        write.commit()?;
        index.commit()?;
        Ok(true)
    }

    /// Whether something from `parting` on is here that is not known to be on a branch.
    fn may_be_other(&self, branch: &LogBranch, parting: u64) -> Result<bool, StoreError> {
        let view = self.ledger.read()?;
        let head = head_in(&view, &branch.log_id)?;
        Ok(parting < head.size() && !is_on(&view, &head, branch)?)
    }
}

/// Drops what is here of a log from a position on, and its checkpoints; gives the head that is left.
pub(crate) fn drop_from(
    write: &WriteView,
    view: &ReadView,
    head: &LogHead,
    from: u64,
) -> Result<LogHead, StoreError> {
    let log = head.log_id();
    let kept = head_at(view, log, from)?;
    drop_entries(write, view, log, from, head.size())?;
    drop_hashes(write, view, log, from)?;
    for kind in [CheckpointKind::Committed, CheckpointKind::NewestSeen] {
        write.remove(&CHECKPOINTS, &checkpoint_key(log, kind))?;
    }
    write.put_sealed(&LOGS, log.as_bytes(), &kept.to_bytes())?;
    Ok(kept)
}

/// Whether what is here is known to be a branch, or its continuation.
pub(crate) fn is_on(
    view: &ReadView,
    head: &LogHead,
    branch: &LogBranch,
) -> Result<bool, StoreError> {
    if head.size() < branch.size {
        return Ok(false);
    }
    let nodes = StoredNodes::new(view, &HASHES, &log_key(head.log_id()))?;
    Ok(branch.root == range_hash(&nodes, 0, branch.size)?.into())
}

/// The head that the log had at a size.
fn head_at(view: &ReadView, log: &LogId, size: u64) -> Result<LogHead, StoreError> {
    let Some(last) = size.checked_sub(1) else { return Ok(LogHead::new(*log)) };
    let nodes = StoredNodes::new(view, &HASHES, &log_key(log))?;
    let mut frontier = Vec::new();
    let mut start = 0;
    // One complete subtree for each bit of the size, the largest first.
    for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
        let Node { level, index } = Node { level, index: start >> level };
        frontier.push(nodes.node(level, index)?);
        start += 1 << level;
    }
    let frontier = Frontier::from_parts(size, frontier).ok();
    let entry = entry_in(view, log, last)?;
    let entry = entry.and_then(|entry| SignedTransaction::from_entry(entry).ok());
    let head = entry.zip(frontier).and_then(|(entry, frontier)| LogHead::after(&entry, frontier));
    head.ok_or_else(|| misfit(&ENTRIES, RowProblem::Fields))
}

fn drop_entries(
    write: &WriteView,
    view: &ReadView,
    log: &LogId,
    from: u64,
    size: u64,
) -> Result<(), StoreError> {
    remove_all(write, view, &ENTRIES, &entry_key(log, from), &entry_key(log, size))
}

/// Removes rows of a table with keys from one to below another.
fn remove_all(
    write: &WriteView,
    view: &ReadView,
    table: &'static Table,
    from: &[u8],
    to: &[u8],
) -> Result<(), StoreError> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let remove = |keys: &mut Vec<Vec<u8>>| -> Result<(), StoreError> {
        let mut rows = write.table(table)?;
        for key in keys.drain(..) {
            rows.remove(key.as_slice()).in_file(table.file)?;
        }
        Ok(())
    };
    walk(&view.table(table)?, table, from..to, |key, _| {
        keys.push(key.to_vec());
        if keys.len() == DROPPED_AT_ONCE {
            remove(&mut keys)?;
        }
        Ok(true)
    })?;
    remove(&mut keys)
}

/// Cuts each level of the tree to the nodes that are complete at a size.
fn drop_hashes(
    write: &WriteView,
    view: &ReadView,
    log: &LogId,
    size: u64,
) -> Result<(), StoreError> {
    let prefix = log_key(log);
    for level in (0..64_u8).step_by(LEVEL_STEP.into()) {
        let nodes = size >> level;
        let (row, kept) = (nodes / HASHES_PER_ROW, (nodes % HASHES_PER_ROW) as usize);
        let key = hash_key(&prefix, level, row);
        let cut = view.get(&HASHES, &key)?.filter(|_| kept > 0);
        let end = hash_key(&prefix, level + 1, 0);
        remove_all(write, view, &HASHES, &key, &end)?;
        let Some(there) = cut else { continue };
        let hashes = row_hashes(&there).map_err(|problem| StoreError::row(&HASHES, problem))?;
        let kept = hashes.get(..kept).ok_or_else(|| misfit(&HASHES, RowProblem::Fields))?;
        let body: Vec<u8> = kept.iter().flat_map(|hash| *hash.as_bytes()).collect();
        write.put(&HASHES, &key, &version(&body))?;
    }
    Ok(())
}
