//! What the charter in force takes back: entries that an older charter allowed, and that nobody may follow any more.
//!
//! A key is judged by every later `to`, and a version that stands twice is followed by nobody. A replica that had such
//! entries before it learnt of it, and one that learnt of it first, must end alike. The one stops at the entry by
//! [`LogHead::verify`](crate::log::LogHead::verify); this finds the same entry for the other.

use core::cmp::Ordering;

use super::CharterHistory;
use crate::ids::LogId;
use crate::log::{InvalidReason, KeyVerdict, Refusal, WaitingReason};
use crate::member::{KeyPurpose, MemberKey};
use crate::transaction::Header;

/// What an entry names, and by which a charter can take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The charter version by which it was signed.
    pub charter_version: u64,
    /// Its key.
    pub key_id: u32,
}

impl From<&Header> for Named {
    fn from(header: &Header) -> Self {
        Self { charter_version: header.charter_version, key_id: header.key_id }
    }
}

impl CharterHistory {
    /// The first of a log's first `size` entries that does not hold by the charters that are followed now, though all of
    /// them were verified once: it lies at or above the `to` of its key or the end of its log epoch (invalid), or names
    /// a version that is not in force any more (waiting).
    ///
    /// `named_at` is asked for the last entry and for one more for each key that was closed as usual; for about log₂(size)
    /// entries where something is taken back. Neither key ids nor versions ever decrease in a log.
    ///
    /// # Errors
    /// Whatever `named_at` fails with.
    pub fn first_refused<E>(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, E>,
    ) -> Result<Option<Refusal>, E> {
        let Some(last) = size.checked_sub(1) else { return Ok(None) };
        let in_force = self.in_force();
        let mut waits = None;
        if named_at(last)?.charter_version > in_force {
            let holds = &mut |at| Ok(named_at(at)?.charter_version <= in_force);
            let position = partition_point(0, size, holds)?;
            let reason = WaitingReason::CharterVersion(named_at(position)?.charter_version);
            waits = Some(Refusal::Waiting { position, reason });
        }
        // What stands after an entry that waits is judged when that one is.
        let size = waits.as_ref().map_or(size, Refusal::position);
        let revoked = self.first_revoked(log, size, named_at)?;
        let reason = "a later charter version ended the key before this";
        let size = revoked.unwrap_or(size);
        let changed = self.first_changed_by_healing(log, size, named_at)?;
        let refused = changed.or(revoked.map(|position| (position, reason)));
        let invalid = |(position, why)| {
            let reason = InvalidReason::WrongKey(why);
            Refusal::Invalid { position, reason }
        };
        Ok(refused.map(invalid).or(waits))
    }

    /// The first entry that names a version which stood twice and is judged otherwise by the version that healed it. A
    /// replica may have taken it by a head that was followed for a while.
    fn first_changed_by_healing<E>(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, E>,
    ) -> Result<Option<(u64, &'static str)>, E> {
        for (version, _) in self.healed_versions() {
            let below = &mut |at| Ok(named_at(at)?.charter_version < version);
            let mut position = partition_point(0, size, below)?;
            while position < size {
                let named = named_at(position)?;
                if named.charter_version != version {
                    break;
                }
                let verdict = self.judge_transaction_key(log, version, named.key_id, position);
                if let KeyVerdict::Invalid(why) = verdict {
                    return Ok(Some((position, why)));
                }
                // All entries of one key are judged alike from its first one on, up to its `to`, which is looked at above.
                let same = &mut |at| {
                    let next = named_at(at)?;
                    Ok(next.charter_version == version && next.key_id == named.key_id)
                };
                position = partition_point(position, size, same)?;
            }
        }
        Ok(None)
    }

    fn first_revoked<E>(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, E>,
    ) -> Result<Option<u64>, E> {
        let Some(owner) = self.member_of_log(log) else { return Ok(None) };
        let Some(member) = self.current().member(&owner.member) else { return Ok(None) };
        let ended = member.log_epoch(owner.epoch).and_then(|epoch| epoch.end);
        let mut first = ended.map(|end| end.size).filter(|end| *end < size);
        let signs_here = |key: &&MemberKey| {
            key.purpose == KeyPurpose::Transaction && key.log_epoch == owner.epoch
        };
        for key in member.keys.iter().filter(signs_here) {
            let Some(to) = key.to.filter(|to| *to < first.unwrap_or(size)) else { continue };
            // Ids never decrease: what stands at `to` tells of a key that was closed as usual that it took nothing along.
            let revoked = match named_at(to)?.key_id.cmp(&key.key_id) {
                Ordering::Greater => continue,
                Ordering::Equal => to,
                // It began only above its end.
                Ordering::Less => {
                    let older = &mut |at| Ok(named_at(at)?.key_id < key.key_id);
                    let begin = partition_point(to, size, older)?;
                    if begin >= size || named_at(begin)?.key_id > key.key_id {
                        continue;
                    }
                    begin
                }
            };
            first = Some(first.map_or(revoked, |first| first.min(revoked)));
        }
        Ok(first)
    }
}

/// The first position from `low` below `high` for which `holds` is false, given that it is true up to there and false
/// from there; `high` when it is nowhere.
fn partition_point<E>(
    mut low: u64,
    mut high: u64,
    holds: &mut dyn FnMut(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
