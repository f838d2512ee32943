//! What the charter said of a key when something was taken, whatever a later version says.
//!
//! A replica keeps what it took before a key was ended: as evidence, and without effect from there on. Whether it still
//! is what was taken is asked of the version under which it was, so an end that comes later makes nothing damaged.

use super::CharterHistory;
use super::keys::{KeyUse, checkpoint_keys_by, judge_key, verdict};
use crate::checkpoint::UnverifiedCheckpoint;
use crate::ids::LogId;
use crate::log::KeyVerdict;
use crate::member::KeyPurpose;

impl CharterHistory {
    /// The key that signed an entry, by the version that its header names and no later one.
    ///
    /// `Waiting` only while that version, or one before it, stands twice: it was followed once, and may be again.
    pub fn transaction_key_then(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict {
        let Some(charter) = self.judging(charter_version) else {
            return match self.forked_version() {
                Some(forked) if forked <= charter_version => KeyVerdict::Waiting,
                _ => KeyVerdict::Invalid("the charter version that the entry names is not here"),
            };
        };
        let Some(owner) = self.member_of_log(log) else {
            return KeyVerdict::Invalid("no member has this log");
        };
        let found = charter.member(&owner.member).and_then(|member| {
            let epoch = member.log_epoch(owner.epoch)?;
            Some((member, epoch.end))
        });
        let Some((member, end)) = found else {
            return KeyVerdict::Invalid("the charter version named does not list the log epoch");
        };
        if end.is_some_and(|end| position >= end.size) {
            return KeyVerdict::Invalid("the log epoch ended before this position");
        }
        let purpose = KeyPurpose::Transaction;
        let asked = KeyUse { key_id, purpose, log_epoch: owner.epoch, at: position };
        verdict(judge_key(member, member, asked))
    }

    /// The key whose name stands on a checkpoint, if any version that we follow lets it sign that size.
    ///
    /// `Waiting` where none does and a version stands twice: one of its heads may.
    pub fn checkpoint_key_then(&self, checkpoint: &UnverifiedCheckpoint) -> KeyVerdict {
        let owner = self.member_of_log(&checkpoint.log_id());
        let key = owner.and_then(|owner| {
            // From the newest on: nearly every checkpoint was signed under it.
            self.versions().rev().find_map(|charter| {
                let mut keys = checkpoint_keys_by(charter, owner, checkpoint.size());
                keys.find(|key| checkpoint.names(key))
            })
        });
        match key {
            Some(key) => KeyVerdict::Key(*key),
            None if self.forked_version().is_some() => KeyVerdict::Waiting,
            None => KeyVerdict::Invalid("no key of the charter may have signed the checkpoint"),
        }
    }
}
