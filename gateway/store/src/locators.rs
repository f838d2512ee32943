//! Which source item is which record: local, never replicated, and what could not be registered.

use sha2::{Digest, Sha256};
use sundbro_ledger::ids::ContentDigest;

use crate::database::{SealedRows, WriteView, misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::own::DraftRefusal;
use crate::row::{Reader, RowProblem, Writer};
use crate::store::Store;
use crate::tables::{LOCATED, LOCATORS, QUARANTINE};

/// Where the content of one own record lies.
#[derive(Clone, PartialEq, Eq)]
pub struct Locator {
    /// The adapter that found it.
    pub adapter: String,
    /// The item in the source.
    pub source_key: Vec<u8>,
    /// The record's 16 bytes; its member is us.
    pub record: [u8; 16],
    /// Newest version registered.
    pub version: u32,
    /// How often this source key was withdrawn before.
    pub generation: u32,
    /// SHA-256 of the content of that version.
    pub content: ContentDigest,
    /// Its length in bytes.
    pub size: u64,
    /// What the adapter compares before it serves: size, mtime, inode or ETag, in its own form.
    pub fingerprint: Vec<u8>,
    /// SHA-256 of the id that the document gives itself: enough to see that two items have one. `None` if it has none.
    pub document_id: Option<[u8; 32]>,
    /// Position of the entry that registered the version, or that withdrew it.
    pub position: u64,
    /// Whether the source holds it. A withdrawn one is kept: it carries the generation.
    pub live: bool,
}

/// What a draft changes in the map, in the same transaction as its entry.
#[derive(Clone, PartialEq, Eq)]
pub enum LocatorChange {
    /// The draft registers this version of the item; `position` is filled in. If the map already has this version with
    /// this content, nothing is appended; if it has a newer one or another record, the draft is refused.
    Register(Locator),
    /// The draft withdraws the record of this item: it is not live any more and the generation rises.
    Withdraw {
        /// The adapter.
        adapter: String,
        /// The item.
        source_key: Vec<u8>,
    },
}

/// A source item that could not be registered.
#[derive(Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The adapter.
    pub adapter: String,
    /// The item.
    pub source_key: Vec<u8>,
    /// Why: a constant such as `NO_PATIENT_IDENTIFIER`.
    pub reason: String,
    /// What happened and what to do. Carries no content of the item.
    pub message: String,
    /// When it was last tried, in seconds since 1970.
    pub unix_seconds: i64,
}

/// What a locator change does to a draft.
pub(crate) enum Applied {
    /// The draft goes on, and this row is to be written with its position.
    Go(Locator),
    /// The map shows that the draft is an entry already, at this position.
    Done(u64),
    /// The draft was made from a row that is not there any more.
    Refused(DraftRefusal),
}

impl core::fmt::Debug for Locator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Source keys are paths and row ids of a hospital: they stay in the table.
        write!(f, "locator of {}, version {}", hex::encode(&self.record[..4]), self.version)
    }
}

impl Locator {
    pub(crate) fn to_body(&self) -> Vec<u8> {
        Writer::new()
            .text(&self.adapter)
            .bytes(&self.source_key)
            .fixed(&self.record)
            .u32(self.version)
            .u32(self.generation)
            .fixed(self.content.as_bytes())
            .u64(self.size)
            .bytes(&self.fingerprint)
            .bytes(self.document_id.as_ref().map_or(&[], |digest| &digest[..]))
            .u64(self.position)
            .u8(u8::from(self.live))
            .done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let locator = Self {
            adapter: fields.text()?,
            source_key: fields.bytes()?.to_vec(),
            record: fields.array()?,
            version: fields.u32()?,
            generation: fields.u32()?,
            content: ContentDigest::new(fields.array()?),
            size: fields.u64()?,
            fingerprint: fields.bytes()?.to_vec(),
            document_id: match fields.bytes()? {
                [] => None,
                digest => Some(digest.try_into().map_err(|_| RowProblem::Fields)?),
            },
            position: fields.u64()?,
            live: fields.u8()? == 1,
        };
        fields.end().map(|()| locator)
    }
}

impl Quarantined {
    fn to_body(&self) -> Vec<u8> {
        Writer::new()
            .text(&self.adapter)
            .bytes(&self.source_key)
            .text(&self.reason)
            .text(&self.message)
            .i64(self.unix_seconds)
            .done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let item = Self {
            adapter: fields.text()?,
            source_key: fields.bytes()?.to_vec(),
            reason: fields.text()?,
            message: fields.text()?,
            unix_seconds: fields.i64()?,
        };
        fields.end().map(|()| item)
    }
}

/// Names of adapters and source keys have any length; keys have one.
pub(crate) fn source_row_key(adapter: &str, source_key: &[u8]) -> Vec<u8> {
    let mut key = adapter_prefix(adapter);
    key.extend_from_slice(&Sha256::digest(source_key));
    key
}

pub(crate) fn adapter_prefix(adapter: &str) -> Vec<u8> {
    Sha256::digest(adapter.as_bytes())[..8].to_vec()
}

pub(crate) fn locator_in(
    rows: &impl SealedRows,
    key: &[u8],
) -> Result<Option<Locator>, StoreError> {
    rows.sealed(&LOCATORS, key)?
        .map(|body| Locator::from_body(&body).map_err(|problem| misfit(&LOCATORS, problem)))
        .transpose()
}

/// What `change` means for the draft that carries it, given the map as it is in this transaction.
pub(crate) fn apply(rows: &impl SealedRows, change: &LocatorChange) -> Result<Applied, StoreError> {
    match change {
        LocatorChange::Register(new) => {
            let key = source_row_key(&new.adapter, &new.source_key);
            let Some(now) = locator_in(rows, &key)? else { return Ok(Applied::Go(new.clone())) };
            let same = now.record == new.record && now.live;
            if same && now.version == new.version && now.content == new.content {
                return Ok(Applied::Done(now.position));
            }
            let next = same && now.version.checked_add(1) == Some(new.version);
            let again = !now.live && now.generation == new.generation && now.record != new.record;
            Ok(if next || again {
                Applied::Go(new.clone())
            } else {
                Applied::Refused(DraftRefusal::LocatorMoved)
            })
        }
        LocatorChange::Withdraw { adapter, source_key } => {
            Ok(match locator_in(rows, &source_row_key(adapter, source_key))? {
                Some(now) if now.live => {
                    let generation = now.generation.saturating_add(1);
                    Applied::Go(Locator { live: false, generation, ..now })
                }
                Some(now) => Applied::Done(now.position),
                None => Applied::Refused(DraftRefusal::LocatorMoved),
            })
        }
    }
}

/// Writes a locator, and who finds it by record.
pub(crate) fn write_locator(write: &WriteView, locator: &Locator) -> Result<(), StoreError> {
    let key = source_row_key(&locator.adapter, &locator.source_key);
    if let Some(before) = locator_in(write, &key)?
        && before.record != locator.record
    {
        write.remove(&LOCATED, &before.record)?;
    }
    write.put_sealed(&LOCATORS, &key, &locator.to_body())?;
    write.put_sealed(&LOCATED, &locator.record, &key)
}

/// Forgets a locator, and who finds it by record: its item is one that was never registered.
pub(crate) fn forget_locator(write: &WriteView, locator: &Locator) -> Result<(), StoreError> {
    write.remove(&LOCATORS, &source_row_key(&locator.adapter, &locator.source_key))?;
    write.remove(&LOCATED, &locator.record).map(drop)
}

/// Whether a source still holds this own record.
pub(crate) fn is_located(rows: &impl SealedRows, record: &[u8; 16]) -> Result<bool, StoreError> {
    let Some(key) = rows.sealed(&LOCATED, record)? else { return Ok(false) };
    Ok(locator_in(rows, &key)?.is_some_and(|row| row.live && row.record == *record))
}

impl Store {
    /// The locator of a source item, live or not.
    pub fn locator(&self, adapter: &str, key: &[u8]) -> Result<Option<Locator>, StoreError> {
        locator_in(&self.ledger.read()?, &source_row_key(adapter, key))
    }

    /// The locator of an own record.
    pub fn locator_of(&self, record: &[u8; 16]) -> Result<Option<Locator>, StoreError> {
        let view = self.ledger.read()?;
        let Some(key) = view.sealed(&LOCATED, record)? else { return Ok(None) };
        Ok(locator_in(&view, &key)?.filter(|locator| locator.record == *record))
    }

    /// Locators of one adapter, live or not, in a fixed order after the one with the source key `after`, at most `max`.
    pub fn locators(
        &self,
        adapter: &str,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Locator>, StoreError> {
        let prefix = adapter_prefix(adapter);
        let start = after.map_or_else(|| prefix.clone(), |key| source_row_key(adapter, key));
        let mut locators = Vec::new();
        let view = self.ledger.read()?;
        let range = &start[..]..&prefix_end(&prefix)[..];
        walk(&view.table(&LOCATORS)?, &LOCATORS, range, |key, value| {
            let body = opened(&LOCATORS, key, value)?;
            if after.is_none() || key != start {
                locators.push(Locator::from_body(body).map_err(|it| misfit(&LOCATORS, it))?);
            }
            Ok(locators.len() < max)
        })?;
        Ok(locators)
    }

    /// Writes a locator without an entry: relearnt after its loss, or with a new fingerprint of the same content.
    pub fn put_locator(&self, locator: &Locator) -> Result<(), StoreError> {
        let write = self.ledger.write()?;
        write_locator(&write, locator)?;
        write.commit()
    }

    /// How many live locators an adapter has, and how many items in quarantine.
    pub fn adapter_counts(&self, adapter: &str) -> Result<(u64, u64), StoreError> {
        let view = self.ledger.read()?;
        let prefix = adapter_prefix(adapter);
        let end = prefix_end(&prefix);
        let (mut live, mut quarantined) = (0, 0);
        walk(&view.table(&LOCATORS)?, &LOCATORS, &prefix[..]..&end[..], |key, value| {
            let body = opened(&LOCATORS, key, value)?;
            live += u64::from(Locator::from_body(body).map_err(|it| misfit(&LOCATORS, it))?.live);
            Ok(true)
        })?;
        walk(&view.table(&QUARANTINE)?, &QUARANTINE, &prefix[..]..&end[..], |_, _| {
            quarantined += 1;
            Ok(true)
        })?;
        Ok((live, quarantined))
    }

    /// Quarantines an item, or says anew why it still is.
    pub fn quarantine(&self, item: &Quarantined) -> Result<(), StoreError> {
        let key = source_row_key(&item.adapter, &item.source_key);
        let write = self.ledger.write()?;
        write.put_sealed(&QUARANTINE, &key, &item.to_body())?;
        write.commit()
    }

    /// The item was registered, or is gone. Says whether it was in quarantine.
    pub fn release(&self, adapter: &str, source_key: &[u8]) -> Result<bool, StoreError> {
        let key = source_row_key(adapter, source_key);
        if self.ledger.read()?.get(&QUARANTINE, &key)?.is_none() {
            return Ok(false);
        }
        let write = self.ledger.write()?;
        let was = write.remove(&QUARANTINE, &key)?;
        write.commit().map(|()| was)
    }

    /// One adapter's items in quarantine, in a fixed order after the item with the source key `after`, at
    /// most `max`.
    pub fn quarantined_of(
        &self,
        adapter: &str,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        let prefix = adapter_prefix(adapter);
        let start = after.map_or_else(|| prefix.clone(), |key| source_row_key(adapter, key));
        let mut items = Vec::new();
        let view = self.ledger.read()?;
        let range = &start[..]..&prefix_end(&prefix)[..];
        walk(&view.table(&QUARANTINE)?, &QUARANTINE, range, |key, value| {
            let body = opened(&QUARANTINE, key, value)?;
            if after.is_none() || key != start {
                let item = Quarantined::from_body(body).map_err(|it| misfit(&QUARANTINE, it))?;
                items.push(item);
            }
            Ok(items.len() < max)
        })?;
        Ok(items)
    }

    /// Items in quarantine in a fixed order from `page_token` on (empty: from the start), at most `max`, and the token
    /// to go on with; empty: that was all.
    pub fn quarantined(
        &self,
        page_token: &[u8],
        max: usize,
    ) -> Result<(Vec<Quarantined>, Vec<u8>), StoreError> {
        let mut items = Vec::new();
        let mut next = Vec::new();
        let view = self.ledger.read()?;
        let range = page_token..&[0xff; 80][..];
        walk(&view.table(&QUARANTINE)?, &QUARANTINE, range, |key, value| {
            if items.len() == max {
                next = key.to_vec();
                return Ok(false);
            }
            let item = Quarantined::from_body(opened(&QUARANTINE, key, value)?);
            items.push(item.map_err(|problem| misfit(&QUARANTINE, problem))?);
            Ok(true)
        })?;
        Ok((items, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locator_reads_back_and_its_debug_hides_the_source() {
        let locator = Locator {
            adapter: "documents".to_owned(),
            source_key: b"ward/letter.xml".to_vec(),
            record: [7; 16],
            version: 2,
            generation: 1,
            content: ContentDigest::new([3; 32]),
            size: 99,
            fingerprint: vec![1, 2, 3],
            document_id: Some([4; 32]),
            position: 5,
            live: true,
        };
        assert_eq!(Locator::from_body(&locator.to_body()), Ok(locator.clone()));
        let nameless = Locator { document_id: None, ..locator.clone() };
        assert_eq!(Locator::from_body(&nameless.to_body()), Ok(nameless));
        assert!(!format!("{locator:?}").contains("letter"));
    }
}
