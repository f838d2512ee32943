//! Entries whose effect waits for a payload below them: which they are, and when they are judged again.
//!
//! An observation is, and an entry that seems to skip a version or to withdraw what nobody registered, while a payload
//! that everybody may hold is not here below it. So no pending row lies below the first such payload: when that one comes, those up to
//! the next one are judged again, whichever records they are about.

use std::collections::BTreeSet;

use super::super::super::rows::position_at;
use super::Folding;
use crate::blobs::{BlobKind, wanted_key, wanted_row};
use crate::database::{misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::logs::{entry_key, log_key};
use crate::row::RowProblem;
use crate::tables::{PENDING, WANTED};

impl Folding<'_> {
    /// Whether a payload that everybody may hold is not here below this position.
    pub(super) fn is_missing_below(&self, position: u64) -> bool {
        self.cursor.first_missing.is_some_and(|first| first < position)
    }

    /// Notes that the payload at `position` is not here.
    pub(super) fn note_missing(&mut self, position: u64) {
        let first = self.cursor.first_missing;
        self.cursor.first_missing = Some(first.map_or(position, |first| first.min(position)));
    }

    /// Notes that the payload at `position`, which was not here, has come.
    pub(super) fn note_arrived(&mut self, position: u64) -> Result<(), StoreError> {
        if self.cursor.first_missing != Some(position) {
            return Ok(());
        }
        let mut next = None;
        // What is wanted lies at this position or above: the way is short when payloads come in order.
        let from = wanted_key(&self.log, position, BlobKind::Payload);
        let end = prefix_end(&log_key(&self.log));
        walk(&self.write.table(&WANTED)?, &WANTED, &from[..]..&end[..], |key, value| {
            let wanted = wanted_row(key, value)?;
            if wanted.kind == BlobKind::Payload {
                next = Some(wanted.position);
            }
            Ok(next.is_none())
        })?;
        self.cursor.first_missing = next;
        Ok(())
    }

    pub(super) fn put_pending(&mut self, position: u64, id: &[u8; 16]) -> Result<(), StoreError> {
        self.cursor.pending += 1;
        self.write.put_sealed(&PENDING, &entry_key(&self.log, position), id)
    }

    pub(super) fn remove_pending(&mut self, position: u64) -> Result<(), StoreError> {
        self.cursor.pending = self.cursor.pending.saturating_sub(1);
        self.write.remove(&PENDING, &entry_key(&self.log, position)).map(drop)
    }

    /// Judges again what waited for nothing but payloads that are here by now.
    pub(super) fn judge_pending_again(&mut self) -> Result<(), StoreError> {
        if self.cursor.pending == 0 {
            return Ok(());
        }
        let (mut records, mut observations) = (BTreeSet::new(), Vec::new());
        let from = entry_key(&self.log, 0);
        let end = match self.cursor.first_missing {
            Some(first) => entry_key(&self.log, first).to_vec(),
            None => prefix_end(&log_key(&self.log)),
        };
        walk(&self.write.table(&PENDING)?, &PENDING, &from[..]..&end[..], |key, value| {
            let wrong = || misfit(&PENDING, RowProblem::Fields);
            match opened(&PENDING, key, value)? {
                [] => observations.push(position_at(key, 8).ok_or_else(wrong)?),
                id => drop(records.insert(<[u8; 16]>::try_from(id).map_err(|_| wrong())?)),
            }
            Ok(true)
        })?;
        for id in &records {
            self.judge_again(id)?;
        }
        // Each by the heads after those below it.
        for position in observations {
            self.judge_observation_again(position)?;
        }
        Ok(())
    }
}
