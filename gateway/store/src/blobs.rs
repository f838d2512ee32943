//! Payloads and details, by commitment.

use bytes::Bytes;
use sundbro_ledger::blob::{detail_commitment, payload_commitment};
use sundbro_ledger::ids::{Commitment, LogId};

use crate::database::{Db, META_MARK, SealedRows, WriteView, misfit, opened, walk};
use crate::error::{Damage, InFile, PutBlobError, StoreError};
use crate::logs::log_key;
use crate::row::{Reader, RowProblem, Writer};
use crate::store::Store;
use crate::tables::{BLOBS, PAYLOADS_META, StoreFile, WANTED};

/// Longest blob in bytes.
pub const MAX_BLOB_LEN: usize = 65_536;

/// A blob in the clear, for test federations. Other formats are for encrypted ones.
const FORMAT_PLAIN: u8 = 1;

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// The payload that a header commits to.
    Payload,
    /// The detail that a payload commits to.
    Detail,
}

impl BlobKind {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Payload => 1,
            Self::Detail => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Payload),
            2 => Some(Self::Detail),
            _ => None,
        }
    }

    /// Commitment to a blob, whatever its padding.
    pub fn commit(self, blob: &[u8]) -> Commitment {
        match self {
            Self::Payload => payload_commitment(blob),
            Self::Detail => detail_commitment(blob),
        }
    }
}

/// Names a blob of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobKey {
    /// Position of the entry that it belongs to.
    pub position: u64,
    /// What it is.
    pub kind: BlobKind,
    /// Its commitment.
    pub commitment: Commitment,
}

/// A blob to store.
#[derive(Clone)]
pub struct NewBlob {
    /// What it is.
    pub kind: BlobKind,
    /// Under what it is stored; checked.
    pub commitment: Commitment,
    /// The blob as it was framed.
    ///
    /// One whose padding breaks the rules is stored all the same: it is what the entry committed to, and the fold
    /// gives it no effect.
    pub bytes: Bytes,
}

impl core::fmt::Debug for NewBlob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {:?}, {} bytes", self.kind, self.commitment, self.bytes.len())
    }
}

/// Which payloads file this is, and how often it was written: what was read from it may be gone from another file and
/// from an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayloadsMark {
    pub(crate) id: [u8; 16],
    pub(crate) writes: u64,
}

impl PayloadsMark {
    /// Of a file that no gateway has opened yet.
    const NONE: Self = Self { id: [0; 16], writes: 0 };

    pub(crate) fn read(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let mark = Self { id: fields.array()?, writes: fields.u64()? };
        fields.end().map(|()| mark)
    }

    pub(crate) fn to_body(self) -> Vec<u8> {
        Writer::new().fixed(&self.id).u64(self.writes).done()
    }

    pub(crate) fn of(rows: &impl SealedRows) -> Result<Self, StoreError> {
        let Some(body) = rows.sealed(&PAYLOADS_META, META_MARK)? else { return Ok(Self::NONE) };
        Self::read(&body).map_err(|problem| misfit(&PAYLOADS_META, problem))
    }

    /// Gives a new file an id of its own.
    pub(crate) fn create(payloads: &Db) -> Result<(), StoreError> {
        if Self::of(&payloads.read()?)? != Self::NONE {
            return Ok(());
        }
        let write = payloads.write()?;
        Self::renew(&write)?;
        write.commit()
    }

    /// Gives the file a new id: something that was in it is not any more.
    pub(crate) fn renew(write: &WriteView) -> Result<(), StoreError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| StoreError::NoRandomness)?;
        write.put_sealed(&PAYLOADS_META, META_MARK, &Self { id, writes: 0 }.to_body())
    }

    fn count_write(write: &WriteView) -> Result<(), StoreError> {
        let before = Self::of(write)?;
        let after = Self { writes: before.writes.saturating_add(1), ..before };
        write.put_sealed(&PAYLOADS_META, META_MARK, &after.to_body())
    }
}

/// Reads a stored value and checks it against the commitment that is its key.
pub(crate) fn read_blob(commitment: &[u8], value: &[u8]) -> Result<(BlobKind, Bytes), String> {
    let (&format, rest) = value.split_first().ok_or("the value is empty")?;
    if format != FORMAT_PLAIN {
        return Err(format!("blob format {format} is not known here"));
    }
    let (&kind, blob) = rest.split_first().ok_or("the value has no kind")?;
    let kind = BlobKind::from_number(kind).ok_or("the value's kind is not known")?;
    if kind.commit(blob).as_bytes()[..] != *commitment {
        return Err("the blob does not have the commitment that is its key".to_owned());
    }
    Ok((kind, Bytes::copy_from_slice(blob)))
}

impl Store {
    /// Stores blobs durably; those that are here already change nothing. Call [`Store::fold`] afterwards.
    ///
    /// # Errors
    /// Fails when a blob is not what it is said to be; then none is stored.
    pub fn put_blobs(&self, blobs: &[NewBlob]) -> Result<(), PutBlobError> {
        for blob in blobs {
            if blob.bytes.len() > MAX_BLOB_LEN {
                return Err(PutBlobError::TooLong(blob.bytes.len()));
            }
            if blob.kind.commit(&blob.bytes) != blob.commitment {
                return Err(PutBlobError::WrongCommitment(blob.commitment));
            }
        }
        if blobs.is_empty() {
            return Ok(());
        }
        self.want_room()?;
        let write = self.payloads.write()?;
        {
            let mut rows = write.table(&BLOBS)?;
            for blob in blobs {
                let mut value = Vec::with_capacity(2 + blob.bytes.len());
                value.extend_from_slice(&[FORMAT_PLAIN, blob.kind.number()]);
                value.extend_from_slice(&blob.bytes);
                rows.insert(&blob.commitment.as_bytes()[..], value.as_slice())
                    .in_file(StoreFile::Payloads)?;
            }
        }
        PayloadsMark::count_write(&write)?;
        // From here the blobs survive a crash.
        write.commit()?;
        self.late.arrived(blobs.iter().map(|blob| blob.commitment));
        Ok(())
    }

    /// A blob.
    ///
    /// # Errors
    /// Fails when what is stored is not what its commitment says: a damaged blob is never given out.
    pub fn blob(&self, commitment: &Commitment) -> Result<Option<Bytes>, StoreError> {
        let view = self.payloads.read()?;
        blob_in(&view.table(&BLOBS)?, commitment)
    }

    /// Blobs of a log that the fold found missing, by position, at most `max`. Up to date after [`Store::fold`].
    pub fn missing_blobs(&self, log: &LogId, max: usize) -> Result<Vec<BlobKey>, StoreError> {
        let mut missing = Vec::new();
        let view = self.index.read()?;
        let prefix = log_key(log);
        let end = crate::database::prefix_end(&prefix);
        walk(&view.table(&WANTED)?, &WANTED, &prefix[..]..&end[..], |key, value| {
            if missing.len() < max {
                missing.push(wanted_row(key, value)?);
            }
            Ok(missing.len() < max)
        })?;
        Ok(missing)
    }
}

/// A blob, checked, from an open table.
pub(crate) fn blob_in(
    rows: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    commitment: &Commitment,
) -> Result<Option<Bytes>, StoreError> {
    let Some(value) = rows.get(&commitment.as_bytes()[..]).in_file(StoreFile::Payloads)? else {
        return Ok(None);
    };
    match read_blob(commitment.as_bytes(), value.value()) {
        Ok((_, blob)) => Ok(Some(blob)),
        Err(problem) => {
            Err(StoreError::damaged(Damage::of_table(&BLOBS, format!("{commitment:?}: {problem}"))))
        }
    }
}

/// A blob of another member's log, as [`blob_in`]; a damaged one counts as missing. Its author has it, and one row of
/// somebody else's must not keep every log from being folded and every page that meets it from being answered.
pub(crate) fn sound_blob_in(
    rows: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    commitment: &Commitment,
) -> Result<Option<Bytes>, StoreError> {
    match blob_in(rows, commitment) {
        Err(StoreError::Damaged(damage)) => {
            tracing::error!(
                %damage,
                "a payload of another member is treated as missing: check the disk; `sundbro index rebuild` has it \
                 fetched again"
            );
            Ok(None)
        }
        other => other,
    }
}

/// log ‖ position ‖ kind.
pub(crate) fn wanted_key(log: &LogId, position: u64, kind: BlobKind) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(&crate::logs::entry_key(log, position));
    key[16] = kind.number();
    key
}

pub(crate) fn wanted_row(key: &[u8], value: &[u8]) -> Result<BlobKey, StoreError> {
    let body = opened(&WANTED, key, value)?;
    let fields = || {
        let position = u64::from_be_bytes(key.get(8..16)?.try_into().ok()?);
        let kind = BlobKind::from_number(*key.get(16)?)?;
        Some(BlobKey { position, kind, commitment: Commitment::try_from(body).ok()? })
    };
    fields().ok_or_else(|| misfit(&WANTED, RowProblem::Fields))
}
