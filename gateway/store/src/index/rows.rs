//! The rows of the index: how a record, an event and a cursor are written.

use sha2::{Digest, Sha256};
use sundbro_ledger::fold::{Heads, Record};
use sundbro_ledger::ids::{
    Commitment, LeafHash, LogId, MemberName, RecordId, RootHash, SubjectTag,
};

use sundbro_ledger::payload::{ObservedHead, RecordVersion};
use sundbro_ledger::transaction::Audience;

use crate::database::{
    ReadView, SealedRows, WriteView, misfit, opened, prefix_end, walk, walk_back,
};
use crate::error::StoreError;
use crate::logs::log_key;
use crate::row::{Reader, RowProblem, Writer};
use crate::tables::{CURSORS, EVENTS, OBSERVED, RECORDS};

/// Stands for no position: trees have at most 2^63 - 1 entries.
const NOTHING_MISSING: u64 = u64::MAX;

/// How far the fold came in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) member: MemberName,
    pub(crate) epoch: u32,
    pub(crate) size: u64,
    pub(crate) missing: u64,
    pub(crate) unknown: u64,
    pub(crate) void: u64,
    pub(crate) pending: u64,
    /// The lowest position whose payload everybody may hold and is not here.
    pub(crate) first_missing: Option<u64>,
}

impl Cursor {
    pub(crate) fn to_body(&self) -> Vec<u8> {
        Writer::new()
            .text(self.member.as_str())
            .u32(self.epoch)
            .u64(self.size)
            .u64(self.missing)
            .u64(self.unknown)
            .u64(self.void)
            .u64(self.pending)
            .u64(self.first_missing.unwrap_or(NOTHING_MISSING))
            .done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let cursor = Self {
            member: MemberName::new(&fields.text()?).map_err(|_| RowProblem::Fields)?,
            epoch: fields.u32()?,
            size: fields.u64()?,
            missing: fields.u64()?,
            unknown: fields.u64()?,
            void: fields.u64()?,
            pending: fields.u64()?,
            first_missing: Some(fields.u64()?).filter(|first| *first != NOTHING_MISSING),
        };
        fields.end().map(|()| cursor)
    }
}

pub(crate) fn cursor_in(rows: &impl SealedRows, log: &LogId) -> Result<Option<Cursor>, StoreError> {
    rows.sealed(&CURSORS, log.as_bytes())?
        .map(|body| Cursor::from_body(&body).map_err(|problem| misfit(&CURSORS, problem)))
        .transpose()
}

/// One entry that says something about a record: enough to judge it again when a blob arrives late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) leaf: LeafHash,
    /// As what it was judged last.
    pub(crate) standing: Standing,
}

/// Whether an event counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It breaks a rule.
    Void = 0,
    /// It has an effect.
    Counts = 1,
    /// It may have one when a payload below it comes.
    Pending = 2,
}

impl Event {
    pub(crate) fn to_body(&self) -> Vec<u8> {
        Writer::new().fixed(self.leaf.as_bytes()).u8(self.standing as u8).done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let leaf = LeafHash::new(fields.array()?);
        let standing = match fields.u8()? {
            0 => Standing::Void,
            1 => Standing::Counts,
            2 => Standing::Pending,
            _ => return Err(RowProblem::Fields),
        };
        fields.end().map(|()| Self { leaf, standing })
    }
}

/// A record as the events before make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordRow {
    pub(crate) version: u32,
    /// Whether its payloads have a limited audience: then its rows are private.
    pub(crate) limited: bool,
    pub(crate) lifecycle: i32,
    /// Number of the WithdrawalReason; 0: it is not withdrawn.
    pub(crate) withdrawn: i32,
    /// Of the entry that registered the newest version.
    pub(crate) position: u64,
    pub(crate) leaf: LeafHash,
    pub(crate) recorded_hour: u32,
    pub(crate) payload: Commitment,
    pub(crate) detail: Commitment,
    pub(crate) subjects: Vec<SubjectTag>,
}

impl RecordRow {
    pub(crate) fn to_body(&self) -> Vec<u8> {
        let mut fields = Writer::new()
            .u32(self.version)
            .u8(u8::from(self.limited))
            .u32(self.lifecycle.cast_unsigned())
            .u32(self.withdrawn.cast_unsigned())
            .u64(self.position)
            .fixed(self.leaf.as_bytes())
            .u32(self.recorded_hour)
            .fixed(self.payload.as_bytes())
            .fixed(self.detail.as_bytes());
        for tag in &self.subjects {
            fields = fields.fixed(&tag_prefix(tag));
        }
        fields.done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let mut row = Self {
            version: fields.u32()?,
            limited: fields.u8()? == 1,
            lifecycle: fields.u32()?.cast_signed(),
            withdrawn: fields.u32()?.cast_signed(),
            position: fields.u64()?,
            leaf: LeafHash::new(fields.array()?),
            recorded_hour: fields.u32()?,
            payload: Commitment::new(fields.array()?),
            detail: Commitment::new(fields.array()?),
            subjects: Vec::new(),
        };
        let tags = fields.rest();
        for tag in tags.chunks(TAG_LEN) {
            let mut fields = Reader::new(tag);
            let tag =
                SubjectTag { scheme: fields.u32()?, epoch: fields.u32()?, value: fields.array()? };
            row.subjects.push(tag);
        }
        Ok(row)
    }
}

impl RecordRow {
    /// The record that the ledger's rules know.
    pub(crate) fn record(&self, log: LogId, record: RecordId) -> Record {
        Record {
            log_id: log,
            newest: RecordVersion { record, version: self.version },
            audience: if self.limited { Audience::Limited } else { Audience::Federation },
            lifecycle: self.lifecycle,
            withdrawn: (self.withdrawn != 0).then_some(self.withdrawn),
            position: self.position,
            leaf: self.leaf,
            detail_commitment: self.detail,
            subjects: self.subjects.clone(),
        }
    }
}

const TAG_LEN: usize = 40;

/// scheme ‖ epoch ‖ value.
pub(crate) fn tag_prefix(tag: &SubjectTag) -> Vec<u8> {
    Writer::new().u32(tag.scheme).u32(tag.epoch).fixed(&tag.value).done()
}

/// tag ‖ log ‖ position.
pub(crate) fn tag_key(tag: &SubjectTag, log: &LogId, position: u64) -> Vec<u8> {
    let mut key = tag_prefix(tag);
    key.extend_from_slice(&crate::logs::entry_key(log, position));
    key
}

/// log ‖ record id.
pub(crate) fn record_key(log: &LogId, record: &[u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&log_key(log));
    key[8..].copy_from_slice(record);
    key
}

/// log ‖ record id ‖ position.
pub(crate) fn event_key(log: &LogId, record: &[u8; 16], position: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..24].copy_from_slice(&record_key(log, record));
    key[24..].copy_from_slice(&position.to_be_bytes());
    key
}

/// The last entry below a position that says something of a record, and counts.
pub(crate) fn last_event_below(
    view: &ReadView,
    log: &LogId,
    record: &[u8; 16],
    position: u64,
) -> Result<Option<u64>, StoreError> {
    let range = &event_key(log, record, 0)[..]..&event_key(log, record, position)[..];
    let mut last = None;
    walk_back(&view.table(&EVENTS)?, &EVENTS, range, |key, value| {
        let event = Event::from_body(opened(&EVENTS, key, value)?);
        let event = event.map_err(|problem| misfit(&EVENTS, problem))?;
        if event.standing == Standing::Counts {
            last = position_at(key, 24);
        }
        Ok(last.is_none())
    })?;
    Ok(last)
}

/// SHA-256 of the superseded record's name ‖ log ‖ position.
pub(crate) fn replaced_key(replaced: &RecordId, log: &LogId, position: u64) -> Vec<u8> {
    let mut key = Sha256::digest(replaced.to_string()).to_vec();
    key.extend_from_slice(&crate::logs::entry_key(log, position));
    key
}

/// What supersedes a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplacedRow {
    pub(crate) limited: bool,
    pub(crate) version: u32,
    pub(crate) by: [u8; 16],
}

impl ReplacedRow {
    pub(crate) fn to_body(self) -> Vec<u8> {
        Writer::new().u8(u8::from(self.limited)).u32(self.version).fixed(&self.by).done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let row = Self { limited: fields.u8()? == 1, version: fields.u32()?, by: fields.array()? };
        fields.end().map(|()| row)
    }
}

/// commitment ‖ log ‖ position ‖ kind.
pub(crate) fn wanted_by_key(commitment: &Commitment, wanted: &[u8; 17]) -> Vec<u8> {
    let mut key = commitment.as_bytes().to_vec();
    key.extend_from_slice(wanted);
    key
}

pub(crate) fn record_in(
    rows: &impl SealedRows,
    log: &LogId,
    record: &[u8; 16],
) -> Result<Option<RecordRow>, StoreError> {
    rows.sealed(&RECORDS, &record_key(log, record))?
        .map(|body| RecordRow::from_body(&body).map_err(|problem| misfit(&RECORDS, problem)))
        .transpose()
}

pub(crate) fn position_at(key: &[u8], from: usize) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(from..from + 8)?.try_into().ok()?))
}

/// observer ‖ observed log.
pub(crate) fn observed_key(observer: &LogId, observed: &LogId) -> [u8; 40] {
    let mut key = [0; 40];
    key[..8].copy_from_slice(&log_key(observer));
    key[8..].copy_from_slice(observed.as_bytes());
    key
}

pub(crate) fn observed_body(head: &ObservedHead) -> Vec<u8> {
    Writer::new().u64(head.size).fixed(head.root.as_bytes()).done()
}

/// The head of a log whose whole id ends a key.
pub(crate) fn observed_row(key: &[u8], body: &[u8]) -> Result<ObservedHead, RowProblem> {
    let log = key.last_chunk().ok_or(RowProblem::Fields)?;
    let mut fields = Reader::new(body);
    let (size, root) = (fields.u64()?, RootHash::new(fields.array()?));
    fields.end().map(|()| ObservedHead { log: LogId::new(*log), size, root })
}

/// All heads for which the owner of a log vouches, as far as the fold came.
pub(crate) fn heads_in(write: &WriteView, observer: &LogId) -> Result<Heads, StoreError> {
    let mut heads = Heads::new();
    let prefix = log_key(observer);
    let range = &prefix[..]..&prefix_end(&prefix)[..];
    walk(&write.table(&OBSERVED)?, &OBSERVED, range, |key, value| {
        let head = observed_row(key, opened(&OBSERVED, key, value)?);
        heads.put(&head.map_err(|problem| misfit(&OBSERVED, problem))?);
        Ok(true)
    })?;
    Ok(heads)
}
