//! A whole index in memory: what a store must come to, for tests and for logs that fit.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Effect, Heads, Record, RootHasher, Row};
use crate::ids::{Commitment, LeafHash, LogId, MemberName, RecordId, RootHash};
use crate::payload::{Payload, VoidReason};
use crate::transaction::{Audience, Header};

/// Entries with their payloads, and details, in whatever order they came; rows as if they had come in time.
#[derive(Clone, Default)]
pub struct MemoryIndex {
    entries: BTreeMap<(LogId, u64), Entry>,
    details: BTreeMap<Commitment, Bytes>,
}

#[derive(Clone)]
struct Entry {
    member: MemberName,
    header: Header,
    leaf: LeafHash,
    /// `None`: it is not here.
    payload: Option<Result<Payload, VoidReason>>,
}

impl MemoryIndex {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a verified entry of `member`'s log and the payload blob that it commits to.
    pub fn add(&mut self, member: &MemberName, header: &Header, leaf: LeafHash, blob: Bytes) {
        let payload = Some(Payload::read(header, blob));
        let entry = Entry { member: member.clone(), header: header.clone(), leaf, payload };
        self.entries.insert((header.log_id, header.position), entry);
    }

    /// Adds a verified entry whose payload is not here. When it comes, [`add`](Self::add) takes both.
    pub fn add_without_payload(&mut self, member: &MemberName, header: &Header, leaf: LeafHash) {
        let entry = Entry { member: member.clone(), header: header.clone(), leaf, payload: None };
        self.entries.entry((header.log_id, header.position)).or_insert(entry);
    }

    /// Adds a detail by its commitment.
    pub fn add_detail(&mut self, commitment: Commitment, blob: Bytes) {
        self.details.insert(commitment, blob);
    }

    /// The rows that follow: shared ones for [`Audience::Federation`], private ones for [`Audience::Limited`].
    pub fn rows(&self, audience: Audience) -> Vec<Row> {
        let mut records: BTreeMap<(LogId, RecordId), Record> = BTreeMap::new();
        let mut observed: BTreeMap<LogId, Heads> = BTreeMap::new();
        let mut rows = Vec::new();
        let mut add = |of: Audience, row| {
            if of == audience {
                rows.push(row);
            }
        };
        let mut last_missing = None;
        for ((log, position), entry) in &self.entries {
            let of = entry.header.audience;
            if entry.payload.is_none() && of == Audience::Federation {
                last_missing = Some(log);
            }
            let heads = observed.entry(*log).or_default();
            match entry.fold_into(&mut records, heads, last_missing == Some(log)) {
                Effect::Void(reason) => add(of, Row::void(log, *position, reason)),
                Effect::Unknown { kind } => add(of, Row::unknown(log, *position, kind)),
                Effect::Registered => {
                    if let Some(row) = entry.replaced_row() {
                        add(of, row);
                    }
                }
                Effect::Withdrawn | Effect::Observed | Effect::Pending => {}
            }
        }
        for record in records.values() {
            for row in record.rows() {
                add(record.audience, row);
            }
            if let Some(blob) = self.details.get(&record.detail_commitment) {
                let (of, row) = record.detail_row(blob.clone());
                add(of, row);
            }
        }
        for (observer, heads) in &observed {
            heads.rows(observer).for_each(|row| add(Audience::Federation, row));
        }
        rows.sort();
        rows
    }

    /// Root over the rows of [`rows`](Self::rows).
    pub fn root(&self, audience: Audience) -> RootHash {
        let mut hasher = RootHasher::new();
        for row in self.rows(audience) {
            // Sorted, and no view has two rows of one key.
            let _ = hasher.add(&row);
        }
        hasher.finish()
    }
}

impl Entry {
    fn fold_into(
        &self,
        records: &mut BTreeMap<(LogId, RecordId), Record>,
        heads: &mut Heads,
        missing_below: bool,
    ) -> Effect {
        let payload = match &self.payload {
            None => return Effect::Pending,
            Some(Ok(payload)) => payload,
            Some(Err(reason)) => return Effect::Void(*reason),
        };
        let (member, header) = (&self.member, &self.header);
        if let Payload::Observed(it) = payload {
            return heads.judge(header, it, missing_below);
        }
        let Some(id) = payload.record() else {
            return super::judge(member, header, Some(payload), None, missing_below);
        };
        let key = (header.log_id, id.clone());
        let before = records.remove(&key);
        let (effect, after) =
            Record::apply(before, member, header, self.leaf, payload, missing_below);
        if let Some(record) = after {
            records.insert(key, record);
        }
        effect
    }

    fn replaced_row(&self) -> Option<Row> {
        match &self.payload {
            Some(Ok(Payload::Registered(it))) => it.replaces.as_ref().map(|replaced| {
                Row::replaced(replaced, &self.header.log_id, self.header.position, &it.record)
            }),
            _ => None,
        }
    }
}

impl core::fmt::Debug for MemoryIndex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "index of {} entries", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use Audience::{Federation, Limited};

    use super::*;
    use crate::blob::Blob;
    use crate::fold::View;
    use crate::ids::SubjectTag;
    use crate::payload::{RecordRegistered, RecordVersion};

    const LOG: LogId = LogId::new([1; 32]);
    const OTHER: LogId = LogId::new([2; 32]);

    fn owner() -> MemberName {
        MemberName::new("gp.example").expect("name")
    }

    fn record(id: u8) -> RecordId {
        RecordId { member: owner(), id: [id; 16] }
    }

    fn registered(id: u8, version: u32) -> RecordRegistered {
        RecordRegistered {
            record: record(id),
            version,
            subjects: vec![SubjectTag { scheme: 1, epoch: 1, value: [id; 32] }],
            lifecycle: 1,
            detail_commitment: Commitment::new([id; 32]),
            replaces: None,
        }
    }

    /// The header of an entry that says this, and its blob.
    fn said(log: LogId, at: u64, audience: Audience, it: RecordRegistered) -> (Header, Bytes) {
        let body = Payload::Registered(it).encode().expect("not void");
        let blob = Blob::frame(&[7; 32], &body, audience).expect("fits");
        let header = Header {
            charter_version: 1,
            log_id: log,
            position: at,
            previous_leaf: LeafHash::NONE,
            key_id: 1,
            incarnation: 1,
            recorded_hour: 0,
            payload_commitment: blob.payload_commitment(),
            payload_size: blob.bytes().len() as u32,
            audience,
        };
        (header, blob.bytes().clone())
    }

    /// The views of the rows after one payload that is missing and one that follows nothing.
    fn after_missing(log: LogId, missing: Audience) -> Vec<View> {
        let mut index = MemoryIndex::new();
        let (header, _) = said(log, 0, missing, registered(1, 1));
        index.add_without_payload(&owner(), &header, LeafHash::NONE);
        let (header, blob) = said(LOG, 1, Federation, registered(2, 2));
        index.add(&owner(), &header, LeafHash::NONE, blob);
        index.rows(Federation).iter().map(Row::view).collect()
    }

    #[test]
    fn each_registration_has_its_rows_among_those_of_its_audience() {
        let mut index = MemoryIndex::new();
        let replaces = Some(RecordVersion { record: record(1), version: 1 });
        let second = RecordRegistered { replaces, ..registered(2, 1) };
        let said_all =
            [(Federation, registered(1, 1)), (Federation, second), (Limited, registered(3, 1))];
        for (at, (audience, it)) in (0..).zip(said_all) {
            let (header, blob) = said(LOG, at, audience, it);
            index.add(&owner(), &header, LeafHash::NONE, blob);
        }
        assert_eq!(format!("{index:?}"), "index of 3 entries");
        // No detail, and that is a row too.
        index.add_detail(Commitment::new([2; 32]), Bytes::new());
        let views = |audience| index.rows(audience).iter().map(Row::view).collect::<Vec<_>>();
        use View::{Detail, Record, Replaced, Subject};
        assert_eq!(views(Federation), [Record, Record, Subject, Subject, Replaced, Detail]);
        assert_eq!(views(Limited), [Record, Subject]);
        let replaced = RecordVersion { record: record(1), version: 1 };
        assert_eq!(index.rows(Federation)[4], Row::replaced(&replaced, &LOG, 1, &record(2)));
        assert_ne!(index.root(Federation), MemoryIndex::new().root(Federation));
    }

    #[test]
    fn a_gap_waits_only_for_what_its_own_log_still_owes_everybody() {
        assert_eq!(after_missing(LOG, Federation), []);
        assert_eq!(after_missing(LOG, Limited), [View::Void]);
        assert_eq!(after_missing(OTHER, Federation), [View::Void]);
    }
}
