//! What the rows of the index stand on: the rules of the fold, and the payloads file that it read, up to which write.
//!
//! With other rules, another payloads file or an older copy of it, rows are wrong though none is damaged: the index says
//! that a blob is here which is gone, and nobody asks a peer for it. Such rows are deleted and folded anew.

use sundbro_ledger::fold::FOLD_VERSION;

use crate::blobs::PayloadsMark;
use crate::database::{Db, META_BASIS, ReadView, SealedRows, WriteView, misfit};
use crate::error::StoreError;
use crate::row::{Reader, RowProblem, Writer};
use crate::tables::INDEX_META;

/// Under what the rows of the index were folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Basis {
    fold_version: u32,
    payloads: PayloadsMark,
}

impl Basis {
    fn of(payloads: PayloadsMark) -> Self {
        Self { fold_version: FOLD_VERSION, payloads }
    }

    fn read(rows: &impl SealedRows) -> Result<Option<Self>, StoreError> {
        let Some(body) = rows.sealed(&INDEX_META, META_BASIS)? else { return Ok(None) };
        let read = |body| -> Result<Self, RowProblem> {
            let mut fields = Reader::new(body);
            let fold_version = fields.u32()?;
            let payloads = PayloadsMark::read(fields.rest())?;
            Ok(Self { fold_version, payloads })
        };
        read(&body).map(Some).map_err(|problem| misfit(&INDEX_META, problem))
    }

    fn write(self, write: &WriteView) -> Result<(), StoreError> {
        let body = Writer::new().u32(self.fold_version).fixed(&self.payloads.to_body()).done();
        write.put_sealed(&INDEX_META, META_BASIS, &body)
    }

    /// Whether rows that stand on this can stand on `now`: by the same rules, and no blob that was here went away.
    fn carries(&self, now: &Self) -> bool {
        self.fold_version == now.fold_version
            && self.payloads.id == now.payloads.id
            && self.payloads.writes <= now.payloads.writes
    }
}

/// Deletes the derived rows if they stand on something else than what is here now. Whether it did; a fold writes them
/// anew.
pub(crate) fn bind(index: &Db, payloads: &Db) -> Result<bool, StoreError> {
    let now = Basis::of(PayloadsMark::of(&payloads.read()?)?);
    let before = Basis::read(&index.read()?)?;
    if before.is_some_and(|before| before.carries(&now)) {
        return Ok(false);
    }
    let write = index.begin()?;
    super::fold::clear(&write)?;
    now.write(&write)?;
    // From here the index is empty and says on what it will stand.
    write.commit()?;
    Ok(before.is_some())
}

/// Notes, in the transaction of a fold, which blobs it saw.
pub(super) fn note(write: &WriteView, payloads: &ReadView) -> Result<(), StoreError> {
    let now = Basis::of(PayloadsMark::of(payloads)?);
    if Basis::read(write)? == Some(now) { Ok(()) } else { now.write(write) }
}
