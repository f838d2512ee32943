//! What our own observations come to: kept in the ledger beside the entries, and brought up to them when it is behind.
//!
//! The rows say up to which size of our log they were reckoned. Entries that came since by another way (a log that was
//! fetched back) are reckoned in, and rows that are of another log than ours are reckoned anew from its first entry: an
//! observation that does not follow would be void everywhere.

use core::ops::Range;
use std::collections::BTreeMap;

use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::EMPTY_ROOT;
use sundbro_ledger::payload::{ObservedHead, Payload};
use sundbro_ledger::transaction::{Audience, SignedTransaction};

use super::Upto;
use crate::blobs::blob_in;
use crate::database::{ALL_KEYS, Db, ReadView, WriteView, misfit, opened, walk};
use crate::error::{Damage, StoreError};
use crate::index::rows::{observed_body, observed_row};
use crate::logs::{entries_in, head_in};
use crate::store::{Identity, root_at};
use crate::tables::{BLOBS, ENTRIES, OWN_OBSERVED};

/// What is kept in memory from one observation to the next, so that each entry is looked at once.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The heads after our last observation.
    pub(super) heads: Heads,
    /// Up to where our own log was reckoned in.
    through: Upto,
    /// Heads of this append, not in the rows yet.
    pub(super) unwritten: Vec<ObservedHead>,
    /// The rows are of another log, or lack observations of ours that came back: they are written anew.
    rows_differ: bool,
    /// Up to where other logs hold nothing but observations since the head that we observed.
    pub(super) quiet: BTreeMap<LogId, Upto>,
    /// The first entry of a log whose payload was not here when it was looked at last.
    pub(super) unread: BTreeMap<LogId, u64>,
}

impl Watch {
    fn new() -> Self {
        Self {
            heads: Heads::new(),
            through: (0, EMPTY_ROOT),
            unwritten: Vec::new(),
            rows_differ: false,
            quiet: BTreeMap::new(),
            unread: BTreeMap::new(),
        }
    }

    /// Whether a payload is waited for that may be worth an observation.
    pub(super) fn waits(&self) -> bool {
        !self.unread.is_empty()
    }

    /// What our own observations come to, up to the end of our log: from what is in memory on, else from the rows.
    pub(super) fn open(
        ledger: &ReadView,
        payloads: &ReadView,
        own: LogId,
        kept: Option<Self>,
    ) -> Result<Self, StoreError> {
        let head = head_in(ledger, &own)?;
        let mut watch = match kept {
            Some(watch) => watch,
            None => Self::read(ledger, &own)?,
        };
        let (size, root) = watch.through;
        if size > head.size() || root_at(ledger, &own, size)? != root {
            tracing::warn!(log = ?own, "our own log is not the one that was observed from: it is read again");
            watch = Self { rows_differ: true, ..Self::new() };
        }
        let new = watch.through.0..head.size();
        let before = watch.heads.clone();
        if let Some(position) = add_up(ledger, payloads, &own, &mut watch.heads, new)? {
            let damage = Damage::of_table(&BLOBS, "the payload of an entry of ours is not here");
            return Err(StoreError::damaged(damage.at(own, position)));
        }
        watch.rows_differ |= watch.heads != before;
        watch.through = (head.size(), head.root());
        Ok(watch)
    }

    /// As the rows have it: that of our own log says up to where the others were reckoned.
    fn read(ledger: &ReadView, own: &LogId) -> Result<Self, StoreError> {
        let mut watch = Self::new();
        walk(&ledger.table(&OWN_OBSERVED)?, &OWN_OBSERVED, ALL_KEYS, |key, value| {
            let row = observed_row(key, opened(&OWN_OBSERVED, key, value)?);
            let row = row.map_err(|problem| misfit(&OWN_OBSERVED, problem))?;
            if row.log == *own {
                watch.through = (row.size, row.root);
            } else {
                watch.heads.put(&row);
            }
            Ok(true)
        })?;
        Ok(watch)
    }

    /// Writes what this append changed, in the transaction of its entries.
    pub(super) fn write(&mut self, write: &WriteView, head: &LogHead) -> Result<(), StoreError> {
        if std::mem::take(&mut self.rows_differ) {
            write.clear(&OWN_OBSERVED)?;
            // With the heads of this append, which were observed already.
            self.unwritten = self.heads.iter().collect();
        }
        for head in self.unwritten.drain(..) {
            write.put_sealed(&OWN_OBSERVED, head.log.as_bytes(), &observed_body(&head))?;
        }
        self.through = (head.size(), head.root());
        let own = ObservedHead { log: *head.log_id(), size: head.size(), root: head.root() };
        write.put_sealed(&OWN_OBSERVED, own.log.as_bytes(), &observed_body(&own))
    }
}

/// Reckons the observations among these entries of our own log in. `Some`: the payload of the entry there is not here, and
/// nothing from it on was.
fn add_up(
    ledger: &ReadView,
    payloads: &ReadView,
    own: &LogId,
    heads: &mut Heads,
    positions: Range<u64>,
) -> Result<Option<u64>, StoreError> {
    let blobs = payloads.table(&BLOBS)?;
    let mut next = positions.start;
    while next < positions.end {
        let entries = entries_in(ledger, own, next..positions.end)?;
        for entry in &entries {
            let parsed = SignedTransaction::parse(entry).map_err(|_| {
                let damage = Damage::of_table(&ENTRIES, "the entry does not parse");
                StoreError::damaged(damage.at(*own, next))
            })?;
            let header = parsed.header();
            // A limited observation is void, whatever it says.
            if header.audience == Audience::Federation {
                let Some(blob) = blob_in(&blobs, &header.payload_commitment)? else {
                    return Ok(Some(next));
                };
                if let Ok(Payload::Observed(it)) = Payload::read(header, blob) {
                    heads.judge(header, &it, false);
                }
            }
            next += 1;
        }
    }
    Ok(None)
}

/// Checks the rows against the entries from which they were reckoned. Gives what is wrong with them.
pub(crate) fn check_own(ledger: &Db, payloads: &Db) -> Result<Option<&'static str>, StoreError> {
    let (ledger, payloads) = (ledger.read()?, payloads.read()?);
    let Some(Identity { own_log, .. }) = Identity::read(&ledger)? else { return Ok(None) };
    let kept = Watch::read(&ledger, &own_log)?;
    let (size, root): (u64, RootHash) = kept.through;
    if size > head_in(&ledger, &own_log)?.size() || root_at(&ledger, &own_log, size)? != root {
        return Ok(Some("the rows were reckoned from another log than ours"));
    }
    let mut heads = Heads::new();
    let missing = add_up(&ledger, &payloads, &own_log, &mut heads, 0..size)?;
    // A payload that is gone is named with the payloads.
    let differ = missing.is_none() && heads != kept.heads;
    Ok(differ.then_some("the rows are not what our own observations come to"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::META_IDENTITY;
    use crate::disk::OsDisk;
    use crate::row::Writer;
    use crate::tables::{LEDGER_META, StoreFile};

    const OWN: LogId = LogId::new([1; 32]);

    /// What the check says of a ledger without entries whose rows are these.
    fn check(rows: &[ObservedHead]) -> Option<&'static str> {
        let folder = tempfile::tempdir().expect("folder");
        let open = |file| Db::open(&OsDisk::shared(), folder.path(), file, 1 << 20).expect("opens");
        let (ledger, payloads) = (open(StoreFile::Ledger), open(StoreFile::Payloads));
        let write = ledger.write().expect("write");
        let identity = Writer::new().fixed(&[9; 32]).fixed(OWN.as_bytes()).done();
        write.put_sealed(&LEDGER_META, META_IDENTITY, &identity).expect("identity");
        for row in rows {
            let body = observed_body(row);
            write.put_sealed(&OWN_OBSERVED, row.log.as_bytes(), &body).expect("row");
        }
        write.commit().expect("commit");
        check_own(&ledger, &payloads).expect("reads")
    }

    #[test]
    fn rows_that_no_entry_of_ours_stands_behind_are_found() {
        assert_eq!(check(&[]), None);
        let nothing = ObservedHead { log: OWN, size: 0, root: EMPTY_ROOT };
        assert_eq!(check(&[nothing]), None);
        let invented = ObservedHead { log: LogId::new([2; 32]), ..nothing };
        let differ = "the rows are not what our own observations come to";
        assert_eq!(check(&[nothing, invented]), Some(differ));
        let other = "the rows were reckoned from another log than ours";
        assert_eq!(check(&[ObservedHead { size: 1, ..nothing }]), Some(other));
        assert_eq!(check(&[ObservedHead { root: RootHash::new([0; 32]), ..nothing }]), Some(other));
    }
}
