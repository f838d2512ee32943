//! What a row of the outbox holds, and how many there have been.

use sundbro_ledger::ids::Commitment;
use sundbro_ledger::transaction::Audience;

use crate::database::{META_OUTBOX, SealedRows, WriteView, misfit};
use crate::error::StoreError;
use crate::locators::{Locator, LocatorChange};
use crate::own::{OwnDraft, RequestKey};
use crate::row::{Reader, RowProblem, Writer};
use crate::tables::LEDGER_META;

/// No change of the map.
const NO_CHANGE: u8 = 0;
/// A registration, then its locator.
const REGISTER: u8 = 1;
/// A withdrawal, then adapter and source key.
const WITHDRAW: u8 = 2;

/// A draft without its blobs.
pub(crate) struct WaitingRow {
    /// When it was put here, in seconds since 1970.
    pub(super) unix_seconds: i64,
    /// Size of our log then: an entry of it would stand there or later.
    pub(super) size: u64,
    /// Bytes of its blobs.
    pub(super) bytes: u64,
    pub(super) audience: Audience,
    pub(super) commitment: Commitment,
    pub(super) detail: Option<Commitment>,
    pub(super) locator: Option<LocatorChange>,
    pub(super) request: Option<RequestKey>,
}

impl WaitingRow {
    pub(super) fn new(draft: &OwnDraft, size: u64, unix_seconds: i64) -> Self {
        Self {
            unix_seconds,
            size,
            bytes: draft.blob_bytes(),
            audience: draft.audience,
            commitment: draft.commitment,
            detail: draft.detail.as_ref().map(|(commitment, _)| *commitment),
            locator: draft.locator.clone(),
            request: draft.request.clone(),
        }
    }

    /// Its blobs.
    pub(super) fn commitments(&self) -> impl Iterator<Item = Commitment> {
        core::iter::once(self.commitment).chain(self.detail)
    }

    pub(super) fn to_body(&self) -> Vec<u8> {
        let detail = self.detail.as_ref().map_or(&[][..], |commitment| &commitment.as_bytes()[..]);
        let fields = Writer::new()
            .i64(self.unix_seconds)
            .u64(self.size)
            .u64(self.bytes)
            .u8(number_of(self.audience))
            .fixed(self.commitment.as_bytes())
            .bytes(detail);
        let fields = match &self.locator {
            None => fields.u8(NO_CHANGE),
            Some(LocatorChange::Register(locator)) => fields.u8(REGISTER).bytes(&locator.to_body()),
            Some(LocatorChange::Withdraw { adapter, source_key }) => {
                fields.u8(WITHDRAW).text(adapter).bytes(source_key)
            }
        };
        match &self.request {
            None => fields.bytes(&[]).fixed(&[0; 32]),
            Some(request) => fields.bytes(&request.id).fixed(&request.content),
        }
        .done()
    }

    pub(super) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let row = Self {
            unix_seconds: fields.i64()?,
            size: fields.u64()?,
            bytes: fields.u64()?,
            audience: audience(fields.u8()?)?,
            commitment: Commitment::new(fields.array()?),
            detail: match fields.bytes()? {
                [] => None,
                commitment => {
                    Some(Commitment::try_from(commitment).map_err(|_| RowProblem::Fields)?)
                }
            },
            locator: match fields.u8()? {
                NO_CHANGE => None,
                REGISTER => Some(LocatorChange::Register(Locator::from_body(fields.bytes()?)?)),
                WITHDRAW => Some(LocatorChange::Withdraw {
                    adapter: fields.text()?,
                    source_key: fields.bytes()?.to_vec(),
                }),
                _ => return Err(RowProblem::Fields),
            },
            request: match (fields.bytes()?, fields.array()?) {
                ([], _) => None,
                (id, content) => Some(RequestKey { id: id.to_vec(), content }),
            },
        };
        fields.end().map(|()| row)
    }
}

/// The number that the next draft gets, and how many bytes wait.
pub(super) struct Tally {
    pub(super) next: u64,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn of(rows: &impl SealedRows) -> Result<Self, StoreError> {
        let Some(body) = rows.sealed(&LEDGER_META, META_OUTBOX)? else {
            return Ok(Self { next: 0, bytes: 0 });
        };
        let read = || -> Result<Self, RowProblem> {
            let mut fields = Reader::new(&body);
            let tally = Self { next: fields.u64()?, bytes: fields.u64()? };
            fields.end().map(|()| tally)
        };
        read().map_err(|problem| misfit(&LEDGER_META, problem))
    }

    /// The number of one more draft.
    pub(super) fn take(&mut self, bytes: u64) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        number
    }

    pub(super) fn write(&self, write: &WriteView) -> Result<(), StoreError> {
        let body = Writer::new().u64(self.next).u64(self.bytes).done();
        write.put_sealed(&LEDGER_META, META_OUTBOX, &body)
    }
}

fn number_of(audience: Audience) -> u8 {
    match audience {
        Audience::Federation => 1,
        Audience::Limited => 2,
    }
}

fn audience(number: u8) -> Result<Audience, RowProblem> {
    match number {
        1 => Ok(Audience::Federation),
        2 => Ok(Audience::Limited),
        _ => Err(RowProblem::Fields),
    }
}
