//! The two roots: over the logical rows of the ledger's fold, in their order, never over tables.
//!
//! The keys of our tables happen to be those of the logical rows. That may change; the rows may not.

use std::collections::BTreeMap;

use sundbro_ledger::fold::{Record, RootHasher, Row, View};
use sundbro_ledger::ids::{LogId, MemberName, RecordId};
use sundbro_ledger::transaction::Audience;

use super::IndexRoots;
use super::rows::{Cursor, RecordRow};
use crate::blobs::{blob_in, sound_blob_in};
use crate::database::{ALL_KEYS, Db, ReadView, misfit, opened, walk};
use crate::error::StoreError;
use crate::logs::log_key;
use crate::row::RowProblem;
use crate::tables::{BLOBS, CURSORS, OBSERVED, RECORDS, REPLACED, TAGS, Table, UNKNOWNS, VOIDS};

/// Full ids and owners of the logs that stand for 8 bytes in keys.
type Logs = BTreeMap<[u8; 8], (LogId, MemberName)>;

/// Both roots, filled side by side.
#[derive(Default)]
struct Both {
    shared: RootHasher,
    private: RootHasher,
}

impl Both {
    fn add(&mut self, table: &Table, of: Audience, row: &Row) -> Result<(), StoreError> {
        let hasher = match of {
            Audience::Federation => &mut self.shared,
            Audience::Limited => &mut self.private,
        };
        hasher.add(row).map_err(|_| misfit(table, RowProblem::Fields))
    }
}

/// Roots of one moment of the index: views in the order of their numbers, rows in the order of their keys.
pub(super) fn of(index: &Db, payloads: &Db, own: &LogId) -> Result<IndexRoots, StoreError> {
    let view = index.read()?;
    let logs = logs(&view)?;
    let blobs = payloads.read()?.table(&BLOBS)?;
    let mut both = Both::default();
    records(&view, &logs, |record| {
        // The record's own row is the first of its rows; the others are those of the tags below.
        record.rows().first().map_or(Ok(()), |row| both.add(&RECORDS, record.audience, row))
    })?;
    flagged(&view, &TAGS, View::Subject, &mut both)?;
    flagged(&view, &REPLACED, View::Replaced, &mut both)?;
    records(&view, &logs, |record| {
        let read = if record.log_id == *own { blob_in } else { sound_blob_in };
        let Some(blob) = read(&blobs, &record.detail_commitment)? else { return Ok(()) };
        let (of, row) = record.detail_row(blob);
        both.add(&RECORDS, of, &row)
    })?;
    flagged(&view, &VOIDS, View::Void, &mut both)?;
    flagged(&view, &UNKNOWNS, View::Unknown, &mut both)?;
    observed(&view, &mut both)?;
    Ok(IndexRoots { index_root: both.shared.finish(), private_root: both.private.finish() })
}

fn logs(view: &ReadView) -> Result<Logs, StoreError> {
    let mut logs = Logs::new();
    walk(&view.table(&CURSORS)?, &CURSORS, ALL_KEYS, |key, value| {
        let cursor = Cursor::from_body(opened(&CURSORS, key, value)?);
        let cursor = cursor.map_err(|problem| misfit(&CURSORS, problem))?;
        let log = LogId::try_from(key).map_err(|_| misfit(&CURSORS, RowProblem::Fields))?;
        logs.insert(log_key(&log), (log, cursor.member));
        Ok(true)
    })?;
    Ok(logs)
}

/// Every record, in the order of the keys of view 1, which is also that of view 4.
fn records(
    view: &ReadView,
    logs: &Logs,
    mut each: impl FnMut(&Record) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    walk(&view.table(&RECORDS)?, &RECORDS, ALL_KEYS, |key, value| {
        let row = RecordRow::from_body(opened(&RECORDS, key, value)?);
        let row = row.map_err(|problem| misfit(&RECORDS, problem))?;
        let owner = key.first_chunk().and_then(|log| logs.get(log)).zip(key.last_chunk());
        let ((log, member), id) = owner.ok_or_else(|| misfit(&RECORDS, RowProblem::Fields))?;
        each(&row.record(*log, RecordId { member: member.clone(), id: *id }))?;
        Ok(true)
    })
}

/// Rows whose table has the keys of their view, and its values after a byte that says whether they are private.
fn flagged(view: &ReadView, table: &Table, of: View, both: &mut Both) -> Result<(), StoreError> {
    walk(&view.table(table)?, table, ALL_KEYS, |key, value| {
        let (audience, value) = match opened(table, key, value)?.split_first() {
            Some((0, value)) => (Audience::Federation, value),
            Some((1, value)) => (Audience::Limited, value),
            _ => return Err(misfit(table, RowProblem::Fields)),
        };
        both.add(table, audience, &Row::from_parts(of, key, value))?;
        Ok(true)
    })
}

/// Every head that a member vouches for: all shared, for an observation is for everybody.
fn observed(view: &ReadView, both: &mut Both) -> Result<(), StoreError> {
    walk(&view.table(&OBSERVED)?, &OBSERVED, ALL_KEYS, |key, value| {
        let body = opened(&OBSERVED, key, value)?;
        both.add(&OBSERVED, Audience::Federation, &Row::from_parts(View::Observed, key, body))?;
        Ok(true)
    })
}
