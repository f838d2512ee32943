//! What a later charter takes back: entries that were right when they were appended, by a key that was ended below them.
//!
//! A replica that had such entries before the charter came, and one that had the charter first, must end alike. The one
//! stops at the entry by [`LogHead::verify`](crate::log::LogHead::verify); this finds the same entry for the other.

use super::CharterHistory;
use crate::ids::LogId;
use crate::log::InvalidReason;
use crate::member::KeyPurpose;

/// The first entry of a log that a later charter made invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its position: the log is followed up to here.
    pub position: u64,
    /// The rule that it breaks now.
    pub reason: InvalidReason,
}

impl CharterHistory {
    /// The first of a log's first `size` entries, all verified by an older charter or this one, that no longer holds by
    /// the charter in force: it lies at or above the `to` of the key that signed it, or the end of its log epoch.
    ///
    /// `key_id_at` says which key an entry names. It is asked for about 2·log₂(size) positions for each closed key,
    /// since key ids never decrease in a log.
    ///
    /// # Errors
    /// Whatever `key_id_at` fails with.
    pub fn first_revoked<E>(
        &self,
        log: &LogId,
        size: u64,
        mut key_id_at: impl FnMut(u64) -> Result<u32, E>,
    ) -> Result<Option<Revoked>, E> {
        let Some(owner) = self.member_of_log(log) else { return Ok(None) };
        let Some(member) = self.current().member(&owner.member) else { return Ok(None) };
        let ended = member.log_epoch(owner.epoch).and_then(|epoch| epoch.end);
        let mut first = ended.map(|end| end.size).filter(|end| *end < size);
        let signs_here = |key: &&crate::member::MemberKey| {
            key.purpose == KeyPurpose::Transaction && key.log_epoch == owner.epoch
        };
        for key in member.keys.iter().filter(signs_here) {
            let Some(to) = key.to.filter(|to| *to < first.unwrap_or(size)) else { continue };
            let begin = partition_point(size, |position| Ok(key_id_at(position)? < key.key_id))?;
            let end = partition_point(size, |position| Ok(key_id_at(position)? <= key.key_id))?;
            let revoked = begin.max(to);
            if revoked < end {
                first = Some(first.map_or(revoked, |first| first.min(revoked)));
            }
        }
        let reason = InvalidReason::WrongKey("a later charter version ended the key before this");
        Ok(first.map(|position| Revoked { position, reason }))
    }
}

/// The first position below `size` for which `holds` is false, given that it is true up to there and false from there.
fn partition_point<E>(size: u64, mut holds: impl FnMut(u64) -> Result<bool, E>) -> Result<u64, E> {
    let (mut low, mut high) = (0, size);
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
