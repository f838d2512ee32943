//! One log in the fold: what each of its entries makes of a record, and what a payload that comes late changes.

mod observed;
mod pending;

use std::collections::BTreeSet;

use bytes::Bytes;
use sundbro_ledger::fold::{Effect, Heads, RecordState, judge};
use sundbro_ledger::ids::{Commitment, LeafHash, LogId, MemberName};
use sundbro_ledger::payload::{Payload, VoidReason};
use sundbro_ledger::transaction::{Audience, Header, SignedTransaction};

use super::super::rows::{
    Cursor, Event, RecordRow, ReplacedRow, Standing, cursor_in, event_key, position_at, record_in,
    record_key, replaced_key, tag_key, wanted_by_key,
};
use super::Rows;
use crate::blobs::{BlobKind, blob_in, sound_blob_in, wanted_key};
use crate::database::{ReadView, WriteView, misfit, opened, prefix_end, walk};
use crate::error::{Damage, StoreError};
use crate::logs::{entry_in, entry_key};
use crate::row::{RowProblem, Writer};
use crate::store::Identity;
use crate::tables::{
    CURSORS, EVENTS, NEWEST, RECORDS, REPLACED, TAGS, UNKNOWNS, VOIDS, WANTED, WANTED_BY,
};

/// The fold of one log.
pub(super) struct Folding<'a> {
    write: &'a WriteView,
    ledger: &'a ReadView,
    blobs: &'a Rows,
    log: LogId,
    is_own: bool,
    cursor: Cursor,
    /// The heads after its last observation, once one was met.
    heads: Option<Heads>,
    /// Records that are to be judged again, once for all that came late.
    changed: BTreeSet<[u8; 16]>,
    /// How many entries were judged.
    judged: u64,
}

/// A payload that is here, with the entry that commits to it.
struct Said {
    header: Header,
    leaf: LeafHash,
    payload: Result<Payload, VoidReason>,
}

/// What an entry makes of a record.
enum Judged {
    Counts(RecordRow),
    Void(VoidReason),
    /// Nothing yet: a payload below may be what it lacks.
    Pending,
}

impl Judged {
    fn standing(&self) -> Standing {
        match self {
            Self::Counts(_) => Standing::Counts,
            Self::Void(_) => Standing::Void,
            Self::Pending => Standing::Pending,
        }
    }
}

impl<'a> Folding<'a> {
    pub(super) fn new(
        write: &'a WriteView,
        ledger: &'a ReadView,
        blobs: &'a Rows,
        log: LogId,
        (member, epoch): (MemberName, u32),
    ) -> Result<Self, StoreError> {
        let fresh = Cursor {
            member,
            epoch,
            size: 0,
            missing: 0,
            unknown: 0,
            void: 0,
            pending: 0,
            first_missing: None,
        };
        let cursor = cursor_in(write, &log)?.unwrap_or(fresh);
        let is_own = Identity::read(ledger)?.is_some_and(|identity| identity.own_log == log);
        let changed = BTreeSet::new();
        Ok(Self { write, ledger, blobs, log, is_own, cursor, heads: None, changed, judged: 0 })
    }

    /// Writes how far it came; says how many entries were judged.
    pub(super) fn done(self) -> Result<u64, StoreError> {
        self.write.put_sealed(&CURSORS, self.log.as_bytes(), &self.cursor.to_body())?;
        Ok(self.judged)
    }

    /// A blob of this log. Nobody hands over ours again, so a damaged one of ours is never taken for missing.
    fn blob(&self, commitment: &Commitment) -> Result<Option<Bytes>, StoreError> {
        if self.is_own {
            blob_in(self.blobs, commitment)
        } else {
            sound_blob_in(self.blobs, commitment)
        }
    }

    /// Folds the entry after the last one folded.
    pub(super) fn entry(&mut self, position: u64, entry: &Bytes) -> Result<(), StoreError> {
        self.cursor.size = position + 1;
        let (header, leaf) = self.header(position, entry)?;
        let Some(blob) = self.blob(&header.payload_commitment)? else {
            // A limited payload that is withheld is none of ours to miss; its author's manifest says which are.
            if header.audience == Audience::Federation {
                self.want(position, BlobKind::Payload, &header.payload_commitment)?;
            }
            return Ok(());
        };
        let said = Said { payload: Payload::read(&header, blob), header, leaf };
        self.take(position, &said, false)
    }

    /// Folds an entry whose payload came after it, or only notes that its detail came. What it changes of records is
    /// judged by [`judge_what_changed`](Self::judge_what_changed).
    pub(super) fn late(
        &mut self,
        position: u64,
        kind: Option<BlobKind>,
        commitment: &Commitment,
    ) -> Result<(), StoreError> {
        let kind = kind.ok_or_else(|| misfit(&WANTED_BY, RowProblem::Fields))?;
        let Some(blob) = self.blob(commitment)? else { return Ok(()) };
        self.unwant(position, kind, commitment)?;
        if kind == BlobKind::Payload {
            let entry = entry_in(self.ledger, &self.log, position)?;
            let entry = entry.ok_or_else(|| misfit(&WANTED_BY, RowProblem::Fields))?;
            let (header, leaf) = self.header(position, &entry)?;
            let said = Said { payload: Payload::read(&header, blob), header, leaf };
            self.take(position, &said, true)?;
        }
        Ok(())
    }

    /// Judges records of which entries came late, and what waited for payloads that are here by now.
    pub(super) fn judge_what_changed(&mut self) -> Result<(), StoreError> {
        for id in core::mem::take(&mut self.changed) {
            self.judge_again(&id)?;
        }
        self.judge_pending_again()
    }

    fn header(&self, position: u64, entry: &Bytes) -> Result<(Header, LeafHash), StoreError> {
        // It was verified when it was appended: what does not parse now is damage, not a fault of the log.
        let parsed = SignedTransaction::parse(entry).map_err(|_| {
            let damage = Damage::of_table(&crate::tables::ENTRIES, "the entry does not parse");
            StoreError::damaged(damage.at(self.log, position))
        })?;
        Ok((parsed.header().clone(), parsed.leaf()))
    }

    /// Gives the payload of the entry at `position` its effect.
    fn take(&mut self, position: u64, said: &Said, late: bool) -> Result<(), StoreError> {
        let limited = said.header.audience == Audience::Limited;
        let payload = match &said.payload {
            Ok(payload) => payload,
            Err(reason) => return self.put_void(position, limited, *reason),
        };
        if let Payload::Registered(registered) = payload
            && self.blob(&registered.detail_commitment)?.is_none()
        {
            self.want(position, BlobKind::Detail, &registered.detail_commitment)?;
        }
        let record = match payload {
            Payload::Registered(it) => &it.record,
            Payload::Withdrawn(it) => &it.record,
            Payload::Observed(it) => return self.take_observation(&said.header, it, late),
            Payload::Unknown { kind } => return self.put_unknown(position, limited, *kind),
        };
        if record.member != self.cursor.member {
            return self.put_void(position, limited, VoidReason::OtherMembersRecord);
        }
        if late
            && (self.changed.contains(&record.id) || self.has_event_after(&record.id, position)?)
        {
            // Neither void nor pending so far: judging it again is what finds that out.
            let event = Event { leaf: said.leaf, standing: Standing::Counts };
            self.changed.insert(record.id);
            return self.put_event(&record.id, position, &event);
        }
        let before = record_in(self.write, &self.log, &record.id)?;
        let judged = self.judge(said, before.as_ref());
        self.settle(&record.id, position, said, &judged)?;
        match judged {
            Judged::Counts(after) => self.replace(&record.id, before.as_ref(), Some(&after)),
            Judged::Void(_) | Judged::Pending => Ok(()),
        }
    }

    /// Whether a later entry of a record was folded: what that one makes of the record may change.
    fn has_event_after(&self, id: &[u8; 16], position: u64) -> Result<bool, StoreError> {
        let mut found = false;
        let (from, prefix) = (event_key(&self.log, id, position), record_key(&self.log, id));
        let range = &from[..]..&prefix_end(&prefix)[..];
        walk(&self.write.table(&EVENTS)?, &EVENTS, range, |_, _| {
            found = true;
            Ok(false)
        })?;
        Ok(found)
    }

    /// The record after this entry.
    fn judge(&self, said: &Said, before: Option<&RecordRow>) -> Judged {
        let audience = |limited| if limited { Audience::Limited } else { Audience::Federation };
        let state = before.map(|row| RecordState {
            versions: row.version,
            audience: audience(row.limited),
            withdrawn: row.withdrawn != 0,
        });
        let payload = match &said.payload {
            Ok(payload) => payload,
            Err(reason) => return Judged::Void(*reason),
        };
        let header = &said.header;
        let missing_below = self.is_missing_below(header.position);
        let member = &self.cursor.member;
        let effect = judge(member, header, Some(payload), state.as_ref(), missing_below);
        match (effect, payload, before) {
            (Effect::Registered, Payload::Registered(it), _) => Judged::Counts(RecordRow {
                version: it.version,
                limited: said.header.audience == Audience::Limited,
                lifecycle: it.lifecycle,
                withdrawn: 0,
                position: said.header.position,
                leaf: said.leaf,
                recorded_hour: said.header.recorded_hour,
                payload: said.header.payload_commitment,
                detail: it.detail_commitment,
                subjects: it.subjects.clone(),
            }),
            (Effect::Withdrawn, Payload::Withdrawn(it), Some(row)) => {
                Judged::Counts(RecordRow { withdrawn: it.reason, ..row.clone() })
            }
            (Effect::Pending, ..) => Judged::Pending,
            (Effect::Void(reason), ..) => Judged::Void(reason),
            // The payload is here, known, and about a record: nothing else can come of it.
            _ => Judged::Void(VoidReason::NotRegistered),
        }
    }

    /// Writes what was found about one event: that it counts, with what it supersedes, why it is void, or that it waits.
    fn settle(
        &mut self,
        id: &[u8; 16],
        position: u64,
        said: &Said,
        judged: &Judged,
    ) -> Result<(), StoreError> {
        self.judged += 1;
        let limited = said.header.audience == Audience::Limited;
        let event = Event { leaf: said.leaf, standing: judged.standing() };
        self.put_event(id, position, &event)?;
        match judged {
            Judged::Counts(_) => {}
            Judged::Void(reason) => return self.put_void(position, limited, *reason),
            Judged::Pending => return self.put_pending(position, id),
        }
        if let Ok(Payload::Registered(it)) = &said.payload
            && let Some(replaced) = &it.replaces
        {
            let key = replaced_key(&replaced.record, &self.log, position);
            let row = ReplacedRow { limited, version: replaced.version, by: *id };
            self.write.put_sealed(&REPLACED, &key, &row.to_body())?;
        }
        Ok(())
    }

    /// Takes back what `settle` wrote.
    fn unsettle(&mut self, position: u64, said: &Said, event: &Event) -> Result<(), StoreError> {
        match event.standing {
            Standing::Counts => {}
            Standing::Void => {
                self.cursor.void = self.cursor.void.saturating_sub(1);
                self.write.remove(&VOIDS, &entry_key(&self.log, position))?;
            }
            Standing::Pending => self.remove_pending(position)?,
        }
        if let Ok(Payload::Registered(it)) = &said.payload
            && let Some(replaced) = &it.replaces
        {
            let key = replaced_key(&replaced.record, &self.log, position);
            self.write.remove(&REPLACED, &key)?;
        }
        Ok(())
    }

    /// Judges a record from its first entry, as if every blob that is here had come in time.
    fn judge_again(&mut self, id: &[u8; 16]) -> Result<(), StoreError> {
        let mut events = Vec::new();
        let prefix = record_key(&self.log, id);
        let range = &prefix[..]..&prefix_end(&prefix)[..];
        walk(&self.write.table(&EVENTS)?, &EVENTS, range, |key, value| {
            let event = Event::from_body(opened(&EVENTS, key, value)?).ok();
            let event = position_at(key, 24).zip(event);
            events.push(event.ok_or_else(|| misfit(&EVENTS, RowProblem::Fields))?);
            Ok(true)
        })?;
        let before = record_in(self.write, &self.log, id)?;
        self.replace(id, before.as_ref(), None)?;
        let mut now: Option<RecordRow> = None;
        for (position, event) in events {
            let said = self.said(position)?;
            self.unsettle(position, &said, &event)?;
            let judged = self.judge(&said, now.as_ref());
            self.settle(id, position, &said, &judged)?;
            if let Judged::Counts(after) = judged {
                now = Some(after);
            }
        }
        self.replace(id, None, now.as_ref())
    }

    /// The entry at `position` with its payload, which is here: an event says so.
    fn said(&self, position: u64) -> Result<Said, StoreError> {
        let gone = || misfit(&EVENTS, RowProblem::Fields);
        let entry = entry_in(self.ledger, &self.log, position)?.ok_or_else(gone)?;
        let (header, leaf) = self.header(position, &entry)?;
        let blob = blob_in(self.blobs, &header.payload_commitment)?.ok_or_else(gone)?;
        Ok(Said { payload: Payload::read(&header, blob), header, leaf })
    }

    /// Puts the rows that follow from `after` in place of those that follow from `before`.
    fn replace(
        &self,
        id: &[u8; 16],
        before: Option<&RecordRow>,
        after: Option<&RecordRow>,
    ) -> Result<(), StoreError> {
        if let Some(row) = before {
            for tag in &row.subjects {
                self.write.remove(&TAGS, &tag_key(tag, &self.log, row.position))?;
            }
            self.write.remove(&NEWEST, &entry_key(&self.log, row.position))?;
            self.write.remove(&RECORDS, &record_key(&self.log, id))?;
        }
        if let Some(row) = after {
            for tag in &row.subjects {
                let body = Writer::new().u8(u8::from(row.limited)).fixed(id).done();
                self.write.put_sealed(&TAGS, &tag_key(tag, &self.log, row.position), &body)?;
            }
            self.write.put_sealed(&NEWEST, &entry_key(&self.log, row.position), id)?;
            self.write.put_sealed(&RECORDS, &record_key(&self.log, id), &row.to_body())?;
        }
        Ok(())
    }

    fn put_event(&self, id: &[u8; 16], position: u64, event: &Event) -> Result<(), StoreError> {
        self.write.put_sealed(&EVENTS, &event_key(&self.log, id, position), &event.to_body())
    }

    fn put_void(
        &mut self,
        position: u64,
        limited: bool,
        reason: VoidReason,
    ) -> Result<(), StoreError> {
        self.cursor.void += 1;
        let body = [u8::from(limited), reason.number()];
        self.write.put_sealed(&VOIDS, &entry_key(&self.log, position), &body)
    }

    fn put_unknown(&mut self, position: u64, limited: bool, kind: u32) -> Result<(), StoreError> {
        self.cursor.unknown += 1;
        let body = Writer::new().u8(u8::from(limited)).u32(kind).done();
        self.write.put_sealed(&UNKNOWNS, &entry_key(&self.log, position), &body)
    }

    fn want(&mut self, position: u64, kind: BlobKind, it: &Commitment) -> Result<(), StoreError> {
        let key = wanted_key(&self.log, position, kind);
        self.write.put_sealed(&WANTED, &key, it.as_bytes())?;
        self.write.put_sealed(&WANTED_BY, &wanted_by_key(it, &key), &[])?;
        self.cursor.missing += 1;
        if kind == BlobKind::Payload {
            self.note_missing(position);
        }
        Ok(())
    }

    fn unwant(&mut self, position: u64, kind: BlobKind, it: &Commitment) -> Result<(), StoreError> {
        let key = wanted_key(&self.log, position, kind);
        self.write.remove(&WANTED_BY, &wanted_by_key(it, &key))?;
        if self.write.remove(&WANTED, &key)? {
            self.cursor.missing = self.cursor.missing.saturating_sub(1);
        }
        if kind == BlobKind::Payload {
            self.note_arrived(position)?;
        }
        Ok(())
    }
}
