//! The fold: verified entries and the blobs that are here, in; rows of the index, out.
//!
//! What a record is depends on the entries of its log in order, not on when their blobs came: a blob that arrives late
//! makes its record be judged again from its first entry, so the rows are those that it would have had in time.

mod log;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sundbro_ledger::ids::{Commitment, LogId, MemberName};

use self::log::Folding;
use super::rows::{Cursor, cursor_in, position_at};
use super::{FoldProgress, IndexRoots, LogOwners, basis, roots};
use crate::blobs::{BlobKind, sound_blob_in};
use crate::database::{ALL_KEYS, Db, ReadView, WriteView, misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::logs::{entries_in, first_refused_in, head_in, log_key};
use crate::row::RowProblem;
use crate::store::Store;
use crate::tables::{BLOBS, CURSORS, INDEX_META, LOGS, StoreFile, WANTED, WANTED_BY};

/// Entries that one transaction of a rebuild folds.
const REBUILD_ENTRIES: usize = 32_768;

type Rows = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Commitments that came since the last fold.
pub(crate) struct Late {
    state: Mutex<LateState>,
}

struct LateState {
    arrived: VecDeque<Commitment>,
    /// A crash, or a fold that failed, may have lost what arrived: look through everything that is wanted once.
    look_through: bool,
}

impl Late {
    pub(crate) fn new() -> Self {
        let state = LateState { arrived: VecDeque::new(), look_through: true };
        Self { state: Mutex::new(state) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut LateState) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Blobs are durable now.
    pub(crate) fn arrived(&self, commitments: impl Iterator<Item = Commitment>) {
        self.with(|state| state.arrived.extend(commitments));
    }

    fn look_through_again(&self) {
        self.with(|state| state.look_through = true);
    }
}

impl Store {
    /// Folds new entries (about `max_entries`) and blobs that arrived late. Call it after every append and
    /// `put_blobs`, until it says that it is finished.
    ///
    /// # Errors
    /// Fails when the disk does, or when a row is damaged; the index is then as it was.
    pub fn fold(
        &self,
        owners: &dyn LogOwners,
        max_entries: usize,
    ) -> Result<FoldProgress, StoreError> {
        let sources = Sources { ledger: &self.ledger, payloads: &self.payloads };
        fold_or_look_again(&self.index, &sources, owners, &self.late, max_entries)
    }

    /// Deletes the derived rows and folds everything anew.
    ///
    /// # Errors
    /// Fails when the disk does. The next start, or the next fold, goes on from where it came.
    pub fn rebuild_index(&self, owners: &dyn LogOwners) -> Result<IndexRoots, StoreError> {
        let write = self.index.write()?;
        clear(&write)?;
        write.commit()?;
        while !self.fold(owners, REBUILD_ENTRIES)?.finished {}
        self.index_roots()
    }

    /// Roots over the logical rows: equal on all honest members with equal logs and charter, and no shared blob missing.
    pub fn index_roots(&self) -> Result<IndexRoots, StoreError> {
        roots::of(&self.index, &self.payloads, &self.identity().own_log)
    }
}

/// Folds everything into an empty index: what `verify` compares with.
pub(crate) fn fold_all(
    index: &Db,
    ledger: &Db,
    payloads: &Db,
    owners: &dyn LogOwners,
) -> Result<(), StoreError> {
    while !fold_into(index, ledger, payloads, owners, &Late::new())?.finished {}
    Ok(())
}

/// One step of a fold outside of a store.
pub(crate) fn fold_into(
    index: &Db,
    ledger: &Db,
    payloads: &Db,
    owners: &dyn LogOwners,
    late: &Late,
) -> Result<FoldProgress, StoreError> {
    fold_or_look_again(index, &Sources { ledger, payloads }, owners, late, REBUILD_ENTRIES)
}

struct Sources<'a> {
    ledger: &'a Db,
    payloads: &'a Db,
}

fn fold_or_look_again(
    index: &Db,
    sources: &Sources<'_>,
    owners: &dyn LogOwners,
    late: &Late,
    max_entries: usize,
) -> Result<FoldProgress, StoreError> {
    let mut result = fold_once(index, sources, owners, late, max_entries, false);
    if let Err(StoreError::Damaged(damage)) = &result
        && damage.table == Some(BLOBS.name)
    {
        // A payload that was folded is damaged since. Anew, one of another member counts as missing, and is fetched; of
        // ours it is damage as before.
        tracing::error!(%damage, "the index is folded anew: check the disk");
        result = fold_once(index, sources, owners, late, max_entries, true);
    }
    if result.is_err() {
        late.look_through_again();
    }
    result
}

fn fold_once(
    index: &Db,
    sources: &Sources<'_>,
    owners: &dyn LogOwners,
    late: &Late,
    max_entries: usize,
    anew: bool,
) -> Result<FoldProgress, StoreError> {
    let write = index.begin()?;
    // The queue is emptied before the view of the blobs is taken: what arrives between is in both, never in neither.
    let look_through = late.with(|state| core::mem::take(&mut state.look_through));
    let mut arrived: Vec<Commitment> = late.with(|state| {
        let take = state.arrived.len().min(max_entries.max(1));
        state.arrived.drain(..take).collect()
    });
    let ledger = sources.ledger.read()?;
    let payloads = sources.payloads.read()?;
    let blobs = payloads.table(&BLOBS)?;
    if look_through {
        arrived.extend(wanted_and_here(&write, &blobs)?);
    }
    let logs = known_logs(&write, &ledger, owners)?;
    let mut progress = FoldProgress { finished: true, ..FoldProgress::default() };
    let mut left = max_entries.max(1) as u64;
    if anew || has_too_much(&write, &logs)? {
        // What was taken back leaves in one step: nobody reads an index from which other things are gone as well.
        clear(&write)?;
        arrived.clear();
        progress.retracted = true;
        left = u64::MAX;
    }
    let wanted = wanted_for(&write, &arrived)?;
    for known in logs.values() {
        let Some(wanted) = wanted.get(&log_key(&known.log)) else { continue };
        let owner = known.owner.clone();
        let mut folding = Folding::new(&write, &ledger, &blobs, known.log, owner)?;
        for ((position, kind), commitment) in wanted {
            folding.late(*position, BlobKind::from_number(*kind), commitment)?;
        }
        folding.judge_what_changed()?;
        progress.judged += folding.done()?;
        progress.late_blobs += wanted.len() as u64;
    }
    for known in logs.values() {
        let size = known.followed;
        let mut next = cursor_in(&write, &known.log)?.map_or(0, |cursor| cursor.size);
        while next < size && left > 0 {
            let owner = known.owner.clone();
            let mut folding = Folding::new(&write, &ledger, &blobs, known.log, owner)?;
            let until = size.min(next.saturating_add(left));
            let entries = entries_in(&ledger, &known.log, next..until)?;
            for (position, entry) in (next..).zip(&entries) {
                folding.entry(position, entry)?;
            }
            progress.judged += folding.done()?;
            let folded = entries.len() as u64;
            (next, left) = (next + folded, left.saturating_sub(folded));
            progress.entries += folded;
        }
        progress.finished &= next >= size;
    }
    progress.finished &= late.with(|state| state.arrived.is_empty());
    if progress.retracted || progress.entries + progress.late_blobs > 0 {
        basis::note(&write, &payloads)?;
        // From here cursors and rows agree: a crash repeats no entry and skips none.
        write.commit()?;
    }
    Ok(progress)
}

/// A log, whose it is, and how many of its entries have an effect.
struct KnownLog {
    log: LogId,
    owner: (MemberName, u32),
    followed: u64,
}

/// By what stands for them in keys.
type KnownLogs = BTreeMap<[u8; 8], KnownLog>;

/// Logs with entries here that a charter names.
fn known_logs(
    write: &WriteView,
    ledger: &ReadView,
    owners: &dyn LogOwners,
) -> Result<KnownLogs, StoreError> {
    let mut logs = BTreeMap::new();
    walk(&ledger.table(&LOGS)?, &LOGS, ALL_KEYS, |key, value| {
        opened(&LOGS, key, value)?;
        let log = LogId::try_from(key).map_err(|_| misfit(&LOGS, RowProblem::Fields))?;
        if let Some(owner) = owners.log_owner(&log) {
            let size = head_in(ledger, &log)?.size();
            let followed = match first_refused_in(ledger, &log, owners) {
                Ok(refused) => refused.map_or(size, |refusal| refusal.position()),
                // A row of one log must not keep the others from being folded: this one stays where it is.
                Err(StoreError::Damaged(damage)) => {
                    tracing::error!(%damage, "a log is indexed no further: run `sundbro verify`");
                    cursor_in(write, &log)?.map_or(0, |cursor| cursor.size)
                }
                Err(error) => return Err(error),
            };
            logs.insert(log_key(&log), KnownLog { log, owner, followed });
        }
        Ok(true)
    })?;
    Ok(logs)
}

/// Whether more of a log was folded than has an effect: a charter took back what another one had allowed.
fn has_too_much(write: &WriteView, logs: &KnownLogs) -> Result<bool, StoreError> {
    let mut too_much = false;
    walk(&write.table(&CURSORS)?, &CURSORS, ALL_KEYS, |key, value| {
        let cursor = Cursor::from_body(opened(&CURSORS, key, value)?)
            .map_err(|problem| misfit(&CURSORS, problem))?;
        let log = LogId::try_from(key).map_err(|_| misfit(&CURSORS, RowProblem::Fields))?;
        // A log that no charter names any more has no effect at all.
        let followed = logs.get(&log_key(&log)).map_or(0, |known| known.followed);
        too_much |= cursor.size > followed;
        Ok(!too_much)
    })?;
    Ok(too_much)
}

/// Deletes every derived row.
pub(crate) fn clear(write: &WriteView) -> Result<(), StoreError> {
    for table in crate::tables::of(StoreFile::Index) {
        if table.name != INDEX_META.name {
            write.clear(table)?;
        }
    }
    Ok(())
}

/// Every wanted blob that is here after all.
fn wanted_and_here(write: &WriteView, blobs: &Rows) -> Result<Vec<Commitment>, StoreError> {
    let mut here = Vec::new();
    walk(&write.table(&WANTED)?, &WANTED, ALL_KEYS, |key, value| {
        let wanted = crate::blobs::wanted_row(key, value)?;
        if sound_blob_in(blobs, &wanted.commitment)?.is_some() {
            here.push(wanted.commitment);
        }
        Ok(true)
    })?;
    Ok(here)
}

/// For what blobs were wanted: by log, position and kind.
type WantedFor = BTreeMap<[u8; 8], BTreeMap<(u64, u8), Commitment>>;

/// In the order of the entries, whatever order the blobs came in.
fn wanted_for(write: &WriteView, arrived: &[Commitment]) -> Result<WantedFor, StoreError> {
    let mut wanted = WantedFor::new();
    let table = write.table(&WANTED_BY)?;
    for commitment in arrived {
        let prefix = &commitment.as_bytes()[..];
        let range = prefix..&prefix_end(prefix)[..];
        walk(&table, &WANTED_BY, range, |key, value| {
            opened(&WANTED_BY, key, value)?;
            let key = &key[32..];
            let row = key.first_chunk().zip(position_at(key, 8)).zip(key.get(16));
            let ((log, position), kind) =
                row.ok_or_else(|| misfit(&WANTED_BY, RowProblem::Fields))?;
            wanted.entry(*log).or_default().insert((position, *kind), *commitment);
            Ok(true)
        })?;
    }
    Ok(wanted)
}
