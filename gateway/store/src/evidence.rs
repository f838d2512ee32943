//! Evidence that a log's writer signed two histories: kept, and asked what it does to the log each time.
//!
//! What counts is never stored: a charter may end the key that signed one side, or name the branch that goes on.

use sundbro_ledger::evidence::{Equivocation, Evidence, EvidenceEffect};
use sundbro_ledger::ids::LogId;

use crate::database::{ReadView, misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::index::LogOwners;
use crate::row::RowProblem;
use crate::store::Store;
use crate::tables::EVIDENCE;

/// Most evidence that is kept of one log. One convinces everybody; of more, what convicts stays before what does not, and
/// then what parts lowest.
pub const MAX_EVIDENCE_PER_LOG: usize = 16;

/// Where a log's histories part, by all evidence that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parted {
    /// What the evidence with the lowest position shows.
    pub kind: Equivocation,
    /// The lowest position at which the histories are known to differ: nothing counts from there on.
    pub at: Option<u64>,
    /// The lowest size below which they differ at an unknown position.
    pub below: Option<u64>,
}

impl Parted {
    /// The first position that is not followed, as far as it is known.
    pub fn position(&self) -> u64 {
        self.at.unwrap_or(u64::MAX).min(self.below.unwrap_or(u64::MAX))
    }
}

fn evidence_key(evidence: &Evidence) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(evidence.log().as_bytes());
    key[32..].copy_from_slice(evidence.digest().as_bytes());
    key
}

/// What is kept of one log, or of all, in order of digest.
fn evidence_in(
    rows: &impl redb::ReadableTable<&'static [u8], &'static [u8]>,
    log: Option<&LogId>,
) -> Result<Vec<Evidence>, StoreError> {
    let prefix = log.map_or(&[][..], |log| log.as_bytes());
    let mut all = Vec::new();
    walk(rows, &EVIDENCE, prefix..&prefix_end(prefix)[..], |key, value| {
        let evidence = Evidence::parse(opened(&EVIDENCE, key, value)?).ok();
        let evidence = evidence.filter(|one| evidence_key(one) == key);
        all.push(evidence.ok_or_else(|| misfit(&EVIDENCE, RowProblem::Fields))?);
        Ok(true)
    })?;
    Ok(all)
}

/// Where the histories of a log part, by the evidence that is here.
pub(crate) fn parted_in(
    view: &ReadView,
    log: &LogId,
    owners: &dyn LogOwners,
) -> Result<Option<Parted>, StoreError> {
    let mut lowest: Option<(u64, Equivocation)> = None;
    let (mut at, mut below) = (None, None);
    for evidence in evidence_in(&view.table(&EVIDENCE)?, Some(log))? {
        let (place, position) = match owners.effect(&evidence) {
            EvidenceEffect::None => continue,
            EvidenceEffect::PartsAt(position) => (&mut at, position),
            EvidenceEffect::PartsBelow(size) => (&mut below, size),
        };
        *place = Some(place.map_or(position, |held: u64| held.min(position)));
        if lowest.is_none_or(|(held, _)| position < held) {
            lowest = Some((position, evidence.kind()));
        }
    }
    Ok(lowest.map(|(_, kind)| Parted { kind, at, below }))
}

impl Store {
    /// Keeps evidence that convicts by the charter in force; says whether it is new. What does not convict any more, or
    /// parts higher than the rest, makes room.
    ///
    /// # Errors
    /// Fails when the disk does, or a row is damaged.
    pub fn put_evidence(
        &self,
        evidence: &Evidence,
        owners: &dyn LogOwners,
    ) -> Result<bool, StoreError> {
        let log = evidence.log();
        let write = self.ledger.write()?;
        let mut all = evidence_in(&write.table(&EVIDENCE)?, Some(&log))?;
        if all.contains(evidence) {
            return Ok(false);
        }
        all.push(evidence.clone());
        // The same sixteen stay on every gateway, whichever came first.
        all.sort_by_cached_key(|one| {
            let convicts = owners.effect(one) != EvidenceEffect::None;
            (!convicts, one.parting().unwrap_or(u64::MAX), one.digest())
        });
        let gone = all.split_off(all.len().min(MAX_EVIDENCE_PER_LOG));
        if gone.contains(evidence) {
            return Ok(false);
        }
        for one in &gone {
            write.remove(&EVIDENCE, &evidence_key(one))?;
        }
        write.put_sealed(&EVIDENCE, &evidence_key(evidence), &evidence.to_bytes())?;
        // From here it survives a crash: whoever asks for it gets it.
        write.commit()?;
        Ok(true)
    }

    /// The evidence that is here about one log, or about all, whether it counts or not.
    ///
    /// # Errors
    /// Fails when the disk does, or a row is damaged.
    pub fn evidence(&self, log: Option<&LogId>) -> Result<Vec<Evidence>, StoreError> {
        evidence_in(&self.ledger.read()?.table(&EVIDENCE)?, log)
    }

    /// Where the histories of a log part, by the evidence that is here and counts. `None`: it has one history.
    ///
    /// # Errors
    /// Fails when the disk does, or a row is damaged.
    pub fn parted(
        &self,
        log: &LogId,
        owners: &dyn LogOwners,
    ) -> Result<Option<Parted>, StoreError> {
        parted_in(&self.ledger.read()?, log, owners)
    }
}
