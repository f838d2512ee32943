//! The right edge of our own log, read back: before anything is signed on it, and before what was written is sent.
//!
//! The head that the next entry is signed on is a row like any other, and the hashes and the entry that it stands for
//! are rows beside it. If a bit of one of them turned over, the next checkpoint would contradict the last one, and that
//! cannot be taken back. So all of them are read and must say the same as the signing gate, which is another file.
//!
//! What reading back shows: that the pages lead from the file's root to these bytes, whether they come from the disk or
//! are kept in memory since they were last read or written. What it does not: that a page which is kept in memory is the
//! same on the disk, and that the disk still has it after a power cut. The first is found when the page is read anew, at
//! the latest by the first look after a start, when nothing is kept; the second is what syncs are for.

use sundbro_ledger::ids::{NodeHash, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{NodeReader, leaf_hash, range_hash};
use sundbro_ledger::transaction::VerifiedTransaction;

use crate::database::{Db, ReadView, quietly};
use crate::error::StoreError;
use crate::gate::{SigningGate, SigningStop};
use crate::hashes::StoredNodes;
use crate::logs::{entry_in, log_key};
use crate::tables::HASHES;

/// Why nothing may be signed on this head. `None`: entry, hashes, head and gate say the same.
///
/// # Errors
/// When the disk fails; what can be read and is wrong is no error.
pub(crate) fn damage(
    ledger: &Db,
    head: &LogHead,
    gate: &SigningGate,
) -> Result<Option<SigningStop>, StoreError> {
    judged(head, quietly(|| look(&ledger.read()?, head, gate)))
}

/// As [`damage`], for entries that were written just now: they are what was signed, byte by byte.
///
/// # Errors
/// As [`damage`].
pub(crate) fn damage_of_written(
    ledger: &Db,
    head: &LogHead,
    gate: &SigningGate,
    entries: &[VerifiedTransaction],
) -> Result<Option<SigningStop>, StoreError> {
    judged(
        head,
        quietly(|| {
            let view = ledger.read()?;
            for entry in entries {
                let there = entry_in(&view, head.log_id(), entry.header().position)?;
                if there.as_ref() != Some(entry.entry_bytes()) {
                    return Ok(Some("an entry is not there as it was written"));
                }
            }
            look(&view, head, gate)
        }),
    )
}

type Look = Result<Option<&'static str>, StoreError>;

fn judged(head: &LogHead, look: Result<Look, String>) -> Result<Option<SigningStop>, StoreError> {
    let problem = match look {
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(problem))) => problem.to_owned(),
        Ok(Err(StoreError::Damaged(damage))) => damage.to_string(),
        Ok(Err(error)) => return Err(error),
        Err(problem) => problem,
    };
    Ok(Some(SigningStop::OwnLogDamaged { size: head.size(), problem }))
}

fn look(view: &ReadView, head: &LogHead, gate: &SigningGate) -> Look {
    let Some(last) = head.size().checked_sub(1) else { return Ok(None) };
    let entry = entry_in(view, head.log_id(), last)?;
    if entry.map(|entry| leaf_hash(&entry)) != Some(head.previous_leaf()) {
        return Ok(Some("the last entry is not the one that the head names"));
    }
    let nodes = StoredNodes::new(view, &HASHES, &log_key(head.log_id()))?;
    if nodes.node(0, last)? != NodeHash::from(head.previous_leaf()) {
        return Ok(Some("the tree has another hash for the last entry"));
    }
    if RootHash::from(range_hash(&nodes, 0, head.size())?) != head.root() {
        return Ok(Some("the stored hashes give another root than the head"));
    }
    if gate.size <= head.size() && RootHash::from(range_hash(&nodes, 0, gate.size)?) != gate.root {
        return Ok(Some("the stored hashes give another root than the signing gate"));
    }
    Ok(None)
}
