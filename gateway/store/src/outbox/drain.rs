//! How drafts leave the outbox: as entries, in the transaction that appends them, or dropped by whoever judged them.

use core::sync::atomic::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sundbro_ledger::ids::{Commitment, LogId};
use sundbro_ledger::log::{KeyBook, LogHead};
use sundbro_ledger::transaction::SignedTransaction;

use super::ahead::AheadRow;
use super::row::{Tally, WaitingRow};
use super::{number_of, readable};
use crate::database::{ALL_KEYS, ReadView, WriteView, opened, walk};
use crate::error::{AppendOwnError, Damage, InFile as _, StoreError};
use crate::locators::{LocatorChange, source_row_key};
use crate::logs::{MAX_ENTRIES_READ, entries_in, head_in};
use crate::own::{Accepted, DraftRefusal, Drafting, OwnAppend, OwnDraft, OwnSigner};
use crate::store::Store;
use crate::tables::{BLOBS, ENTRIES, OUTBOX, OUTBOX_LOCATORS, StoreFile};

/// Drafts of the outbox that were looked at while our log had one size, and are to be signed on it.
#[derive(Debug, Clone, Default)]
pub struct JudgedDrafts {
    /// Size of our log, from [`WaitingDrafts::size`](super::WaitingDrafts::size).
    pub size: u64,
    /// Each with its number and, if our log has it already, where; in the order of the numbers. A draft may be another
    /// one than the one that waits: one that was made anew from what that one says.
    pub drafts: Vec<(u64, OwnDraft, Option<u64>)>,
}

/// What [`Store::append_waiting`] works with, as the drafts of one append.
struct Leaving {
    judged: JudgedDrafts,
    log: LogId,
    /// Blobs of drafts that were made anew: no entry will name them.
    unnamed: Vec<Commitment>,
}

impl Drafting for Leaving {
    fn drafts(&mut self, write: &WriteView) -> Result<Vec<OwnDraft>, AppendOwnError> {
        let size = head_in(write, &self.log)?.size();
        if size != self.judged.size {
            return Err(AppendOwnError::JudgedBefore { judged: self.judged.size, size });
        }
        Ok(self.judged.drafts.iter().map(|(_, draft, _)| draft.clone()).collect())
    }

    fn signed_at(&self, index: usize) -> Option<u64> {
        self.judged.drafts.get(index).and_then(|(_, _, signed_at)| *signed_at)
    }

    fn written(&mut self, _: &WriteView, _: &LogHead) -> Result<(), StoreError> {
        Ok(())
    }

    fn settled(
        &mut self,
        write: &WriteView,
        outcomes: &[Result<Accepted, DraftRefusal>],
    ) -> Result<bool, StoreError> {
        let (mut numbers, mut named) = (Vec::new(), BTreeSet::new());
        for ((number, draft, signed_at), outcome) in self.judged.drafts.iter().zip(outcomes) {
            let Ok(accepted) = outcome else { continue };
            numbers.push(*number);
            if !accepted.replayed || signed_at.is_some() {
                named.insert(draft.commitment);
            }
        }
        let removed = remove(write, &numbers)?;
        let others = removed.iter().filter(|row| !named.contains(&row.commitment));
        self.unnamed = others.flat_map(WaitingRow::commitments).collect();
        Ok(!numbers.is_empty())
    }
}

impl Store {
    /// Appends drafts that waited, as [`Store::append_own`] appends others; those that are entries now wait no more, by the
    /// same transaction. A refused one goes on waiting until it is dropped.
    ///
    /// # Errors
    /// As there; [`AppendOwnError::JudgedBefore`] when our log has grown since they were judged.
    pub fn append_waiting(
        &self,
        judged: JudgedDrafts,
        signer: &OwnSigner<'_>,
        recorded_hour: u32,
        keys: &dyn KeyBook,
    ) -> Result<OwnAppend, AppendOwnError> {
        let mut leaving = Leaving { judged, log: self.identity().own_log, unnamed: Vec::new() };
        let appended = self.append_made(&mut leaving, signer, recorded_hour, keys)?;
        // A crash before this leaves blobs that nobody is shown, since nothing names them.
        self.forget_blobs(&leaving.unnamed)?;
        Ok(appended)
    }

    /// Removes drafts that will not be signed, and their blobs unless our log has them already.
    ///
    /// # Errors
    /// When the disk fails; then those that still wait can be dropped again.
    pub fn drop_waiting(&self, numbers: &[u64]) -> Result<(), StoreError> {
        let view = self.ledger.read()?;
        let mut rows = Vec::new();
        for number in numbers {
            let key = number.to_be_bytes();
            if let Some(value) = view.get(&OUTBOX, &key)? {
                rows.extend(readable(&key, &value)?);
            }
        }
        let signed = self.signed(&view, rows.iter())?;
        drop(view);
        let unsigned = rows.iter().filter(|row| !signed.contains_key(&row.commitment));
        // First: a row whose blobs are gone is dropped again, and blobs without a row are found by nobody.
        self.forget_blobs(&unsigned.flat_map(WaitingRow::commitments).collect::<Vec<_>>())?;
        let write = self.ledger.write()?;
        remove(&write, numbers)?;
        write.commit()
    }

    /// Which of these drafts our log has already, and where. Their commitments are salted, so none has two drafts.
    ///
    /// What this start signed is none of them: they leave in the transaction that appends their entries.
    pub(super) fn signed<'a>(
        &self,
        view: &ReadView,
        rows: impl Iterator<Item = &'a WaitingRow> + Clone,
    ) -> Result<BTreeMap<Commitment, u64>, StoreError> {
        let commitments: BTreeSet<Commitment> = rows.clone().map(|row| row.commitment).collect();
        let Some(mut next) = rows.map(|row| row.size).min() else { return Ok(BTreeMap::new()) };
        let log = self.identity().own_log;
        let size = head_in(view, &log)?.size().min(self.of_others_to.load(Ordering::Acquire));
        let mut signed = BTreeMap::new();
        while next < size {
            let end = size.min(next.saturating_add(MAX_ENTRIES_READ));
            for (position, entry) in (next..).zip(entries_in(view, &log, next..end)?) {
                let entry = SignedTransaction::from_entry(entry).map_err(|problem| {
                    StoreError::damaged(Damage::of_table(&ENTRIES, problem).at(log, position))
                })?;
                let commitment = entry.header().payload_commitment;
                if commitments.contains(&commitment) {
                    signed.insert(commitment, position);
                }
            }
            next = end;
        }
        Ok(signed)
    }

    /// Removes blobs that no entry names. No row of the index was made of them, so it stays as it is.
    fn forget_blobs(&self, blobs: &[Commitment]) -> Result<(), StoreError> {
        if blobs.is_empty() {
            return Ok(());
        }
        let write = self.payloads.write()?;
        for blob in blobs {
            write.remove(&BLOBS, blob.as_bytes())?;
        }
        write.commit()
    }
}

/// Removes rows, and the locators that waited for them. Gives those that were as they were written.
fn remove(write: &WriteView, numbers: &[u64]) -> Result<Vec<WaitingRow>, StoreError> {
    let mut tally = Tally::of(write)?;
    let mut removed = Vec::new();
    let mut damaged = BTreeSet::new();
    for number in numbers {
        let key = number.to_be_bytes();
        let row = match write.table(&OUTBOX)?.remove(&key[..]).in_file(StoreFile::Ledger)? {
            Some(value) => readable(&key, value.value())?,
            None => continue,
        };
        match row {
            Some(row) => {
                tally.bytes = tally.bytes.saturating_sub(row.bytes);
                if let Some(change) = &row.locator {
                    remove_ahead(write, &source_of(change), *number)?;
                }
                removed.push(row);
            }
            None => drop(damaged.insert(*number)),
        }
    }
    if !damaged.is_empty() {
        for key in ahead_of(write, &damaged)? {
            write.remove(&OUTBOX_LOCATORS, &key)?;
        }
    }
    if is_empty(write)? {
        // What damaged rows counted went with them.
        tally.bytes = 0;
    }
    tally.write(write)?;
    Ok(removed)
}

/// The locator that waits for this draft is registered now, or never will be; one that waits for a later draft stays.
fn remove_ahead(write: &WriteView, key: &[u8], number: u64) -> Result<(), StoreError> {
    let stays = match AheadRow::in_rows(write, key) {
        Ok(row) => row.is_none_or(|row| row.number != number),
        Err(StoreError::Damaged(_)) => false,
        Err(error) => return Err(error),
    };
    if stays { Ok(()) } else { write.remove(&OUTBOX_LOCATORS, key).map(drop) }
}

/// The keys of the locators that wait for drafts whose rows do not say so any more.
fn ahead_of(write: &WriteView, numbers: &BTreeSet<u64>) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    walk(&write.table(&OUTBOX_LOCATORS)?, &OUTBOX_LOCATORS, ALL_KEYS, |key, value| {
        let row = opened(&OUTBOX_LOCATORS, key, value).ok();
        let row = row.and_then(|body| AheadRow::from_body(body).ok());
        if row.is_none_or(|row| numbers.contains(&row.number)) {
            keys.push(key.to_vec());
        }
        Ok(true)
    })?;
    Ok(keys)
}

fn is_empty(write: &WriteView) -> Result<bool, StoreError> {
    let mut first = None;
    walk(&write.table(&OUTBOX)?, &OUTBOX, ALL_KEYS, |key, _| {
        first = Some(number_of(key)?);
        Ok(false)
    })?;
    Ok(first.is_none())
}

fn source_of(change: &LocatorChange) -> Vec<u8> {
    match change {
        LocatorChange::Register(it) => source_row_key(&it.adapter, &it.source_key),
        LocatorChange::Withdraw { adapter, source_key } => source_row_key(adapter, source_key),
    }
}
