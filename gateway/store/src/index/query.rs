//! Answers from the index: records by tag, by name and by log.

use bytes::Bytes;
use sundbro_ledger::fold::judge_detail;
use sundbro_ledger::ids::{LogId, MemberName, RecordId};
use sundbro_ledger::payload::{Detail, ObservedHead, RecordVersion};
use sundbro_proto::ledger::v1::RecordDetail;

use super::rows::{
    Cursor, RecordRow, ReplacedRow, cursor_in, observed_key, observed_row, position_at, record_in,
    replaced_key, tag_key,
};
use super::{IndexCounts, LocateQuery, PointerPage, QueryError, RecordPointer};
use crate::blobs::{blob_in, sound_blob_in};
use crate::database::{ALL_KEYS, ReadView, SealedRows as _, misfit, opened, walk, walk_back};
use crate::error::StoreError;
use crate::locators::is_located;
use crate::logs::{entry_key, log_key};
use crate::row::{RowProblem, digest_of};
use crate::store::Store;
use crate::tables::{BLOBS, CURSORS, NEWEST, OBSERVED, REPLACED, TAGS, Table};

/// Most pointers on one page.
const MAX_PAGE: usize = 500;

/// One log of the index, in the order of answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct IndexedLog {
    member: MemberName,
    /// Newest epoch first.
    epoch: core::cmp::Reverse<u32>,
    log: LogId,
}

/// One moment of index and blobs.
struct Views {
    index: ReadView,
    blobs: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    own: LogId,
}

impl Store {
    /// What the fold counted in one log.
    pub fn index_counts(&self, log: &LogId) -> Result<IndexCounts, StoreError> {
        let cursor = cursor_in(&self.index.read()?, log)?;
        Ok(cursor.map_or_else(IndexCounts::default, |cursor| IndexCounts {
            indexed_size: cursor.size,
            missing_blobs: cursor.missing,
            unknown_payloads: cursor.unknown,
            void_payloads: cursor.void,
            pending_payloads: cursor.pending,
        }))
    }

    /// The head of the log `observed` for which the owner of the log `observer` vouches by now. `None`: it never did.
    pub fn observed_head(
        &self,
        observer: &LogId,
        observed: &LogId,
    ) -> Result<Option<ObservedHead>, StoreError> {
        let key = observed_key(observer, observed);
        let Some(body) = self.index.read()?.sealed(&OBSERVED, &key)? else { return Ok(None) };
        observed_row(&key, &body).map(Some).map_err(|problem| misfit(&OBSERVED, problem))
    }

    /// Records by tag: custodians in order of name, newest registration first within one.
    ///
    /// # Errors
    /// [`QueryError::BadPageToken`] when the token is not one that this query was given.
    pub fn locate(&self, query: &LocateQuery) -> Result<PointerPage, QueryError> {
        let views = self.views()?;
        let mark = query.mark();
        let mut page = PointerPage::default();
        let mut from = Token::read(&query.page_token, &mark)?;
        for at in indexed_logs(&views.index)? {
            if query.custodian.as_ref().is_some_and(|custodian| *custodian != at.member) {
                continue;
            }
            let mut before = u64::MAX;
            match &from {
                Some(token) if token.log != log_key(&at.log) => continue,
                Some(token) => before = token.position,
                None => {}
            }
            from = None;
            while let Some((position, id)) = newest_tagged(&views.index, query, &at.log, before)? {
                before = position;
                let Some(pointer) = views.pointer(&at, id)? else { continue };
                if !query.wants(&pointer) {
                    continue;
                }
                if page.pointers.len() == query.page_size.clamp(1, MAX_PAGE) {
                    // The token names the last one shown, so that what is registered meanwhile shifts nothing.
                    page.next_page_token = page.last_token(&mark);
                    return Ok(page);
                }
                page.pointers.push(pointer);
            }
        }
        if from.is_some() {
            return Err(QueryError::BadPageToken);
        }
        Ok(page)
    }

    /// One record.
    pub fn record(&self, record: &RecordId) -> Result<Option<RecordPointer>, StoreError> {
        let views = self.views()?;
        for at in indexed_logs(&views.index)? {
            if at.member == record.member
                && let Some(pointer) = views.pointer(&at, record.id)?
            {
                return Ok(Some(pointer));
            }
        }
        Ok(None)
    }

    /// Records of one log, newest registration first, live and withdrawn.
    ///
    /// # Errors
    /// [`QueryError::BadPageToken`] when the token is not one of this list.
    pub fn records_of(
        &self,
        log: &LogId,
        page_size: usize,
        page_token: &[u8],
    ) -> Result<PointerPage, QueryError> {
        let views = self.views()?;
        let mut page = PointerPage::default();
        let Some(at) = indexed_logs(&views.index)?.into_iter().find(|at| at.log == *log) else {
            return Ok(page);
        };
        let mark = mark_of(&[b"records", log.as_bytes()]);
        let mut before = Token::read(page_token, &mark)?.map_or(u64::MAX, |token| token.position);
        while let Some((position, id)) = newest_in(&views.index, log, before)? {
            before = position;
            if page.pointers.len() == page_size.clamp(1, MAX_PAGE) {
                page.next_page_token = page.last_token(&mark);
                break;
            }
            let pointer = views.pointer(&at, id)?;
            page.pointers.push(pointer.ok_or_else(|| misfit(&NEWEST, RowProblem::Fields))?);
        }
        Ok(page)
    }

    /// How many records of one log are live, and how many withdrawn.
    pub fn record_counts(&self, log: &LogId) -> Result<(u64, u64), StoreError> {
        let view = self.index.read()?;
        let (mut live, mut withdrawn, mut before) = (0, 0, u64::MAX);
        while let Some((position, id)) = newest_in(&view, log, before)? {
            before = position;
            match record_in(&view, log, &id)? {
                Some(row) if row.withdrawn == 0 => live += 1,
                _ => withdrawn += 1,
            }
        }
        Ok((live, withdrawn))
    }

    /// Own live records that no live locator derives, newest first, at most `max`.
    ///
    /// Meaningful once every adapter has finished a full scan.
    pub fn orphans(&self, max: usize) -> Result<Vec<RecordId>, StoreError> {
        let (index, ledger) = (self.index.read()?, self.ledger.read()?);
        let log = self.identity().own_log;
        let Some(cursor) = cursor_in(&index, &log)? else { return Ok(Vec::new()) };
        let mut orphans = Vec::new();
        let mut before = u64::MAX;
        while orphans.len() < max
            && let Some((position, id)) = newest_in(&index, &log, before)?
        {
            before = position;
            let live = record_in(&index, &log, &id)?.is_some_and(|row| row.withdrawn == 0);
            if live && !is_located(&ledger, &id)? {
                orphans.push(RecordId { member: cursor.member.clone(), id });
            }
        }
        Ok(orphans)
    }

    fn views(&self) -> Result<Views, StoreError> {
        let blobs = self.payloads.read()?.table(&BLOBS)?;
        Ok(Views { index: self.index.read()?, blobs, own: self.identity().own_log })
    }
}

fn indexed_logs(view: &ReadView) -> Result<Vec<IndexedLog>, StoreError> {
    let mut logs = Vec::new();
    walk(&view.table(&CURSORS)?, &CURSORS, ALL_KEYS, |key, value| {
        let cursor = Cursor::from_body(opened(&CURSORS, key, value)?);
        let cursor = cursor.map_err(|problem| misfit(&CURSORS, problem))?;
        let log = LogId::try_from(key).map_err(|_| misfit(&CURSORS, RowProblem::Fields))?;
        logs.push(IndexedLog {
            member: cursor.member,
            epoch: core::cmp::Reverse(cursor.epoch),
            log,
        });
        Ok(true)
    })?;
    logs.sort_unstable();
    Ok(logs)
}

/// The newest record below `before` that has one of the tags.
fn newest_tagged(
    view: &ReadView,
    query: &LocateQuery,
    log: &LogId,
    before: u64,
) -> Result<Option<(u64, [u8; 16])>, StoreError> {
    let mut newest = None;
    for tag in &query.tags {
        let (first, end) = (tag_key(tag, log, 0), tag_key(tag, log, before));
        newest = newest.max(last_in(view, &TAGS, &first, &end)?);
    }
    Ok(newest)
}

fn newest_in(
    view: &ReadView,
    log: &LogId,
    before: u64,
) -> Result<Option<(u64, [u8; 16])>, StoreError> {
    last_in(view, &NEWEST, &entry_key(log, 0), &entry_key(log, before))
}

/// The last row of a range whose keys end with a position and whose values end with a record id.
fn last_in(
    view: &ReadView,
    table: &Table,
    first: &[u8],
    end: &[u8],
) -> Result<Option<(u64, [u8; 16])>, StoreError> {
    let mut found = None;
    walk_back(&view.table(table)?, table, first..end, |key, value| {
        let body = opened(table, key, value)?;
        let row = position_at(key, table.key_len - 8).zip(body.last_chunk().copied());
        found = Some(row.ok_or_else(|| misfit(table, RowProblem::Fields))?);
        Ok(false)
    })?;
    Ok(found)
}

impl Views {
    fn pointer(&self, at: &IndexedLog, id: [u8; 16]) -> Result<Option<RecordPointer>, StoreError> {
        let Some(row) = record_in(&self.index, &at.log, &id)? else { return Ok(None) };
        let record = RecordId { member: at.member.clone(), id };
        let read = if at.log == self.own { blob_in } else { sound_blob_in };
        let detail = read(&self.blobs, &row.detail)?;
        Ok(Some(RecordPointer {
            detail: detail.and_then(|blob| detail_of(blob, &record, row.version)),
            replaced_by: self.replaced_by(at, &record)?,
            ..pointer_of(row, at.log, record)
        }))
    }

    /// The newest record of the same custodian that says it supersedes this one.
    fn replaced_by(
        &self,
        at: &IndexedLog,
        record: &RecordId,
    ) -> Result<Option<RecordId>, StoreError> {
        let (first, end) =
            (replaced_key(record, &at.log, 0), replaced_key(record, &at.log, u64::MAX));
        let mut by = None;
        walk_back(&self.index.table(&REPLACED)?, &REPLACED, &first[..]..&end[..], |key, value| {
            let row = ReplacedRow::from_body(opened(&REPLACED, key, value)?);
            let id = row.map_err(|problem| misfit(&REPLACED, problem))?.by;
            by = Some(RecordId { member: at.member.clone(), id });
            Ok(false)
        })?;
        Ok(by)
    }
}

fn pointer_of(row: RecordRow, log: LogId, record: RecordId) -> RecordPointer {
    RecordPointer {
        record,
        version: row.version,
        subjects: row.subjects,
        lifecycle: row.lifecycle,
        withdrawn: row.withdrawn != 0,
        withdrawal_reason: row.withdrawn,
        log,
        position: row.position,
        leaf: row.leaf,
        recorded_hour: row.recorded_hour,
        payload: row.payload,
        detail_commitment: row.detail,
        detail: None,
        replaced_by: None,
    }
}

/// A detail that stands beside another record or version is refused.
fn detail_of(blob: Bytes, record: &RecordId, version: u32) -> Option<RecordDetail> {
    let described = RecordVersion { record: record.clone(), version };
    judge_detail(&described, blob).ok().map(Detail::into_message)
}

impl LocateQuery {
    fn wants(&self, pointer: &RecordPointer) -> bool {
        if pointer.withdrawn && !self.show_withdrawn {
            return false;
        }
        // Nothing is hidden because its detail is not here: that would read as "there is none".
        let Some(detail) = &pointer.detail else { return true };
        let class = match (&self.class, &detail.class) {
            (Some((system, code)), Some(class)) => class.system == *system && class.code == *code,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let period = detail.period.as_ref();
        let ends = period.and_then(|period| period.end_unix_seconds);
        let starts = period.and_then(|period| period.start_unix_seconds);
        let ends_after = |start| ends.is_none_or(|end| end > start);
        let starts_before = |end| starts.is_none_or(|start| start < end);
        class
            && self.period_start.is_none_or(ends_after)
            && self.period_end.is_none_or(starts_before)
    }

    /// Ties a page token to its query: all that decides which rows there are, not how many are shown.
    fn mark(&self) -> [u8; 8] {
        let tags: Vec<Vec<u8>> = self.tags.iter().map(super::rows::tag_prefix).collect();
        let number =
            |value: Option<i64>| value.map_or_else(Vec::new, |it| it.to_be_bytes().to_vec());
        let (class_system, class_code) = self.class.clone().unwrap_or_default();
        mark_of(&[
            b"locate",
            &tags.concat(),
            class_system.as_bytes(),
            class_code.as_bytes(),
            &number(self.period_start),
            &number(self.period_end),
            self.custodian.as_ref().map_or("", |custodian| custodian.as_str()).as_bytes(),
            &[u8::from(self.show_withdrawn)],
        ])
    }
}

fn mark_of(parts: &[&[u8]]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = digest_of(parts);
    [a, b, c, d, e, f, g, h]
}

/// Where a page ended.
struct Token {
    log: [u8; 8],
    position: u64,
}

impl Token {
    fn read(bytes: &[u8], mark: &[u8; 8]) -> Result<Option<Self>, QueryError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let read = || {
            let (found, rest) = bytes.split_first_chunk::<8>()?;
            let (log, rest) = rest.split_first_chunk::<8>()?;
            let position = u64::from_be_bytes(rest.try_into().ok()?);
            (found == mark).then_some(Self { log: *log, position })
        };
        read().map(Some).ok_or(QueryError::BadPageToken)
    }
}

impl PointerPage {
    fn last_token(&self, mark: &[u8; 8]) -> Vec<u8> {
        self.pointers.last().map_or_else(Vec::new, |last| {
            [&mark[..], &log_key(&last.log), &last.position.to_be_bytes()].concat()
        })
    }
}

impl core::fmt::Debug for RecordPointer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} version {}", self.record, self.version)
    }
}

impl core::fmt::Debug for PointerPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(&self.pointers).finish()
    }
}

// Only the types of its fields; tags are pseudonyms of people and are printed short.
impl core::fmt::Debug for LocateQuery {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LocateQuery").field("tags", &self.tags).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sundbro_ledger::ids::SubjectTag;

    use super::*;

    fn query() -> LocateQuery {
        let tag = SubjectTag { scheme: 1, epoch: 1, value: [9; 32] };
        LocateQuery { tags: vec![tag], page_size: 10, ..LocateQuery::default() }
    }

    #[test]
    fn a_page_token_belongs_to_its_query() {
        let token = [&query().mark()[..], &[1; 8], &7u64.to_be_bytes()].concat();
        let read = Token::read(&token, &query().mark()).expect("its own").expect("not empty");
        assert_eq!(read.position, 7);
        let other = LocateQuery { show_withdrawn: true, ..query() };
        assert!(Token::read(&token, &other.mark()).is_err());
        assert!(Token::read(&token[..23], &query().mark()).is_err());
        let larger = LocateQuery { page_size: 100, ..query() };
        assert!(Token::read(&token, &larger.mark()).is_ok(), "the size of a page may change");
    }
}
