//! The outbox: drafts that wait, in order and durably, while our own log may not be signed.
//!
//! A draft's blobs lie where those of entries lie, in `payloads.redb`, under the commitments that its row names: what must
//! be erasable never enters the ledger, and an entry that is made of the draft finds its blobs in their place. The row
//! holds the rest. What a draft changes in the map from sources to records stands beside it, so whoever looks at a source
//! again sees the map as it will be once everything that waits is signed, and no version is drafted twice.
//!
//! A draft leaves in the transaction that appends its entry: a crash neither signs it twice nor loses it.

mod ahead;
mod drain;
mod row;

use redb::ReadableTable;
use sundbro_ledger::ids::Commitment;

use self::ahead::{Ahead, AheadRow};
use self::row::{Tally, WaitingRow};
use crate::blobs::{BlobKind, NewBlob, blob_in};
use crate::database::{ALL_KEYS, SealedRows, misfit, opened, walk};
use crate::error::{InFile as _, PutBlobError, PutOutboxError, StoreError};
use crate::locators::{LocatorChange, source_row_key};
use crate::logs::head_in;
use crate::own::{DraftRefusal, MAX_DRAFTS, OwnDraft, Step, first_look};
use crate::store::Store;
use crate::tables::{BLOBS, OUTBOX, OUTBOX_LOCATORS, StoreFile};

pub use self::drain::JudgedDrafts;

/// How much may wait. Whoever comes when one of them is reached waits at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Drafts.
    pub drafts: u64,
    /// Bytes of their blobs.
    pub bytes: u64,
}

impl OutboxLimits {
    /// What a large hospital writes in a long weekend; its blobs, as documents have them, are a quarter of the bytes.
    pub const DEFAULT: Self = Self { drafts: 65_536, bytes: 256 << 20 };
}

/// How much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxStatus {
    /// Drafts.
    pub drafts: u64,
    /// Bytes of their blobs.
    pub bytes: u64,
    /// When the first of them was put here, in seconds since 1970. `None`: nothing waits, or its row is damaged.
    pub since_unix_seconds: Option<i64>,
}

impl OutboxStatus {
    /// Whether nothing more is taken. A group that begins below a limit goes in whole.
    pub fn is_full(&self, limits: &OutboxLimits) -> bool {
        self.drafts >= limits.drafts || self.bytes >= limits.bytes
    }
}

/// A draft that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its number: drafts are signed in the order of these.
    pub number: u64,
    /// The draft. `None`: its row or one of its blobs is damaged or gone, and only its source can tell it again.
    pub draft: Option<OwnDraft>,
    /// Position of the entry that our log has of it already: it was signed before this store was put back from a copy.
    pub signed_at: Option<u64>,
}

/// The first drafts that wait, as they stand to our log.
#[derive(Debug, Clone, Default)]
pub struct WaitingDrafts {
    /// In their order.
    pub drafts: Vec<Waiting>,
    /// Size of our log when they were read.
    pub size: u64,
}

impl Store {
    /// Puts drafts behind those that wait, durably and in order, and says of each whether it waits now or is refused.
    ///
    /// One whose request or source content is registered already, or waits, changes nothing.
    ///
    /// # Errors
    /// When the outbox or the disk is full, they are too many, or the disk fails; then none of them waits.
    pub fn put_outbox(
        &self,
        drafts: &[OwnDraft],
        unix_seconds: i64,
        limits: &OutboxLimits,
    ) -> Result<Vec<Result<(), DraftRefusal>>, PutOutboxError> {
        if drafts.len() > MAX_DRAFTS {
            return Err(PutOutboxError::TooMany { got: drafts.len(), max: MAX_DRAFTS });
        }
        let write = self.ledger.write()?;
        let status = status_in(&write, &write.table(&OUTBOX)?)?;
        if status.is_full(limits) {
            return Err(PutOutboxError::Full { status, limits: *limits });
        }
        let size = head_in(&write, &self.identity().own_log)?.size();
        let mut tally = Tally::of(&write)?;
        let mut blobs: Vec<NewBlob> = Vec::new();
        let mut outcomes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let locator = match first_look(&Ahead(&write), draft)? {
                Step::Refused(refusal) => {
                    outcomes.push(Err(refusal));
                    continue;
                }
                Step::Replayed(_) => {
                    outcomes.push(Ok(()));
                    continue;
                }
                Step::New(locator) => locator,
            };
            let number = tally.take(draft.blob_bytes());
            let row = WaitingRow::new(draft, size, unix_seconds);
            write.put_sealed(&OUTBOX, &number.to_be_bytes(), &row.to_body())?;
            if let Some(locator) = locator {
                let key = source_row_key(&locator.adapter, &locator.source_key);
                write.put_sealed(
                    &OUTBOX_LOCATORS,
                    &key,
                    &AheadRow { number, locator }.to_body(),
                )?;
            }
            blobs.extend(draft.blobs());
            outcomes.push(Ok(()));
        }
        if blobs.is_empty() {
            return Ok(outcomes);
        }
        self.put_blobs(&blobs).map_err(|error| match error {
            PutBlobError::Store(source) => PutOutboxError::Store(source),
            other => PutOutboxError::Blob(other),
        })?;
        // From here the blobs survive a crash. Nothing names them yet.
        tally.write(&write)?;
        write.commit()?;
        // From here the drafts survive a crash, and are signed whatever becomes of their source.
        Ok(outcomes)
    }

    /// How much waits.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn outbox_status(&self) -> Result<OutboxStatus, StoreError> {
        let view = self.ledger.read()?;
        status_in(&view, &view.table(&OUTBOX)?)
    }

    /// The first drafts that wait, at most `max`.
    ///
    /// # Errors
    /// When the disk fails. What is damaged of a draft is no error: see [`Waiting::draft`].
    pub fn waiting(&self, max: usize) -> Result<WaitingDrafts, StoreError> {
        let view = self.ledger.read()?;
        let mut rows: Vec<(u64, Option<WaitingRow>)> = Vec::new();
        walk(&view.table(&OUTBOX)?, &OUTBOX, ALL_KEYS, |key, value| {
            if rows.len() < max {
                rows.push((number_of(key)?, readable(key, value)?));
            }
            Ok(rows.len() < max)
        })?;
        let size = head_in(&view, &self.identity().own_log)?.size();
        let signed = self.signed(&view, rows.iter().filter_map(|(_, row)| row.as_ref()))?;
        let drafts = rows.into_iter().map(|(number, row)| {
            let signed_at = row.as_ref().and_then(|row| signed.get(&row.commitment).copied());
            let draft = row.map(|row| self.whole(row)).transpose()?.flatten();
            Ok(Waiting { number, draft, signed_at })
        });
        Ok(WaitingDrafts { drafts: drafts.collect::<Result<_, StoreError>>()?, size })
    }

    /// The newest draft that waits for a source item. `None`: none does, or it is damaged.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn waiting_for(
        &self,
        adapter: &str,
        source_key: &[u8],
    ) -> Result<Option<OwnDraft>, StoreError> {
        let view = self.ledger.read()?;
        let key = source_row_key(adapter, source_key);
        let Some(ahead) = AheadRow::in_rows(&view, &key)? else { return Ok(None) };
        let key = ahead.number.to_be_bytes();
        let Some(value) = view.get(&OUTBOX, &key)? else { return Ok(None) };
        Ok(readable(&key, &value)?.map(|row| self.whole(row)).transpose()?.flatten())
    }

    /// A draft with its blobs. `None`: one of them is damaged or gone.
    fn whole(&self, row: WaitingRow) -> Result<Option<OwnDraft>, StoreError> {
        let view = self.payloads.read()?;
        let blobs = view.table(&BLOBS)?;
        let blob = |commitment: &Commitment| match blob_in(&blobs, commitment) {
            Err(StoreError::Damaged(_)) => Ok(None),
            other => other,
        };
        let Some(payload) = blob(&row.commitment)? else { return Ok(None) };
        let detail = match row.detail {
            None => None,
            Some(commitment) => match blob(&commitment)? {
                Some(bytes) => Some((commitment, bytes)),
                None => return Ok(None),
            },
        };
        let WaitingRow { commitment, audience, locator, request, .. } = row;
        let draft = OwnDraft { payload, commitment, audience, detail, locator, request };
        // A blob of the other kind has another commitment.
        let is_payload = BlobKind::Payload.commit(&draft.payload) == draft.commitment;
        Ok(Some(draft).filter(|_| is_payload))
    }
}

impl OwnDraft {
    fn blob_bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.bytes.len() as u64).sum()
    }

    /// The source item that it is about.
    pub fn source(&self) -> Option<(&str, &[u8])> {
        self.locator.as_ref().map(|change| match change {
            LocatorChange::Register(locator) => (&locator.adapter[..], &locator.source_key[..]),
            LocatorChange::Withdraw { adapter, source_key } => (&adapter[..], &source_key[..]),
        })
    }
}

/// Whether the row of a draft has its fields.
pub(crate) fn draft_reads(body: &[u8]) -> bool {
    WaitingRow::from_body(body).is_ok()
}

/// For which draft a locator waits. `None`: its row does not have its fields.
pub(crate) fn ahead_number(body: &[u8]) -> Option<u64> {
    AheadRow::from_body(body).ok().map(|row| row.number)
}

fn status_in(
    rows: &impl SealedRows,
    outbox: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<OutboxStatus, StoreError> {
    let mut since_unix_seconds = None;
    walk(outbox, &OUTBOX, ALL_KEYS, |key, value| {
        since_unix_seconds = readable(key, value)?.map(|row| row.unix_seconds);
        Ok(false)
    })?;
    let drafts = outbox.len().in_file(StoreFile::Ledger)?;
    Ok(OutboxStatus { drafts, bytes: Tally::of(rows)?.bytes, since_unix_seconds })
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| misfit(&OUTBOX, crate::row::RowProblem::Fields))
}

/// A row as it was put here; `None` of one that is damaged, which must not keep those behind it from being signed.
fn readable(key: &[u8], value: &[u8]) -> Result<Option<WaitingRow>, StoreError> {
    match opened(&OUTBOX, key, value) {
        Ok(body) => Ok(WaitingRow::from_body(body).ok()),
        Err(StoreError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
