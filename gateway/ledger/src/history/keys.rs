//! Which key may sign what: by the charter version that the signed message names, then by every later `to`.

use super::{CharterHistory, LogOwner};
use crate::charter::Charter;
use crate::checkpoint::UnverifiedCheckpoint;
use crate::ids::{FederationId, LogId, MemberName};
use crate::log::{KeyBook, KeyVerdict};
use crate::member::{KeyPurpose, MemberEntry, MemberKey};
use crate::signing::VerifyingKey;

/// What is asked of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyUse {
    pub(crate) key_id: u32,
    pub(crate) purpose: KeyPurpose,
    /// 0 for keys that belong to no log.
    pub(crate) log_epoch: u32,
    /// Position, size or charter version, by purpose.
    pub(crate) at: u64,
}

/// Why there is no key, before one was looked at.
#[derive(Debug, Clone, Copy)]
enum NoKey {
    Waiting,
    Invalid(&'static str),
}

impl From<NoKey> for KeyVerdict {
    fn from(no_key: NoKey) -> Self {
        match no_key {
            NoKey::Waiting => Self::Waiting,
            NoKey::Invalid(reason) => Self::Invalid(reason),
        }
    }
}

/// A key that was valid where it signed, by the charter version that the message names.
#[derive(Debug, Clone)]
pub(crate) struct JudgedKey<'a> {
    pub(crate) key: &'a VerifyingKey,
    /// A later version set its `to` so low that it is not valid there any more.
    pub(crate) since_revoked: bool,
}

/// Judges a key by the member's entry at the version named, and then by its newest entry: a listed key stays listed and
/// its `to` only falls, so the newest entry says what all between them say.
pub(crate) fn judge_key<'a>(
    named: &'a MemberEntry,
    newest: &MemberEntry,
    asked: KeyUse,
) -> Result<JudgedKey<'a>, &'static str> {
    let fits = |key: &&MemberKey| key.purpose == asked.purpose && key.log_epoch == asked.log_epoch;
    let listed = named.key(asked.key_id).ok_or("the charter version named lists no such key")?;
    let key = Some(listed).filter(fits).ok_or("the key is for another purpose or log epoch")?;
    if !key.covers(asked.at) {
        return Err("the key is not valid there");
    }
    let later = newest.key(asked.key_id).ok_or("the newest charter lists no such key")?;
    let since_revoked = !later.covers(asked.at);
    match key.verifying_key() {
        Some(key) => Ok(JudgedKey { key, since_revoked }),
        None => Err("the key does not sign"),
    }
}

impl KeyBook for CharterHistory {
    fn federation_id(&self) -> FederationId {
        CharterHistory::federation_id(self)
    }

    fn transaction_key(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict {
        self.judge_transaction_key(log, charter_version, key_id, position)
    }

    fn checkpoint_key_covers(&self, log: &LogId, size: u64, key: &VerifyingKey) -> bool {
        self.checkpoint_keys(log, size).any(|listed| listed == key)
    }
}

impl CharterHistory {
    /// Whose a log is, by the charter in force.
    pub fn member_of_log(&self, log: &LogId) -> Option<&LogOwner> {
        self.logs.get(log)
    }

    /// Every log of the charter in force, whatever the state of its member, in order of id.
    pub fn logs(&self) -> impl Iterator<Item = (&LogId, &LogOwner)> {
        self.logs.iter()
    }

    /// The key that signed an entry: judged by the version that the header names, then by every later `to`.
    pub fn judge_transaction_key(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict {
        let (named, newest, owner) = match self.entries_of_log(log, charter_version) {
            Ok(found) => found,
            Err(no_key) => return no_key.into(),
        };
        let end = newest.log_epoch(owner.epoch).and_then(|epoch| epoch.end);
        if end.is_some_and(|end| position >= end.size) {
            return KeyVerdict::Invalid("the log epoch ended before this position");
        }
        let purpose = KeyPurpose::Transaction;
        let asked = KeyUse { key_id, purpose, log_epoch: owner.epoch, at: position };
        match judge_key(named, newest, asked) {
            Ok(judged)
                if self.was_another_key(&owner.member, charter_version, judged.clone(), key_id) =>
            {
                KeyVerdict::Invalid("a head of the version that stood twice lists another key")
            }
            judged => verdict(judged),
        }
    }

    /// Whether a head of a version that stood twice, and that the version that healed it names, lists another key under
    /// this ordinal. Who verified an entry by that head and who first saw it healed would conclude differently: so it
    /// counts for nobody.
    fn was_another_key(
        &self,
        member: &MemberName,
        version: u64,
        judged: JudgedKey<'_>,
        key_id: u32,
    ) -> bool {
        let other = |charter: &Charter| {
            let listed = charter.member(member).and_then(|entry| entry.key(key_id));
            listed.is_some_and(|key| key.verifying_key() != Some(judged.key))
        };
        self.healed_heads(version).any(other)
    }

    /// The keys that may sign a checkpoint of this size, by the charter in force. Ranges may overlap; the key hash on
    /// the note's signature line decides.
    pub fn checkpoint_keys(&self, log: &LogId, size: u64) -> impl Iterator<Item = &VerifyingKey> {
        let owner = self.logs.get(log).into_iter();
        owner.flat_map(move |owner| checkpoint_keys_by(self.current(), owner, size))
    }

    /// The key whose name stands on a checkpoint, if the charter in force lets it sign that size.
    pub fn checkpoint_key_of(&self, checkpoint: &UnverifiedCheckpoint) -> Option<VerifyingKey> {
        let log = checkpoint.log_id();
        let mut keys = self.checkpoint_keys(&log, checkpoint.size());
        keys.find(|key| checkpoint.names(key)).cloned()
    }

    /// Whether a CHECKPOINT key of a member has an end: checkpoints that it signed may not be shown any more, and that none
    /// is shown does not say that there are no entries.
    pub fn has_ended_checkpoint_key(&self, member: &MemberName) -> bool {
        let ended = |key: &MemberKey| key.purpose == KeyPurpose::Checkpoint && key.to.is_some();
        self.current().member(member).is_some_and(|member| member.keys.iter().any(ended))
    }

    /// The key of a checkpoint that has ended since, by which it can still be told that its log's writer signed it.
    pub fn ended_checkpoint_key_of(
        &self,
        checkpoint: &UnverifiedCheckpoint,
    ) -> Option<VerifyingKey> {
        let owner = self.logs.get(&checkpoint.log_id())?;
        let member = self.current().member(&owner.member)?;
        let size = checkpoint.size();
        let epoch_ended = member.log_epoch(owner.epoch)?.end.is_some_and(|end| end.size < size);
        let ended = |key: &&MemberKey| {
            key.purpose == KeyPurpose::Checkpoint
                && key.log_epoch == owner.epoch
                && (epoch_ended || key.ended_before(size))
        };
        let mut keys = member.keys.iter().filter(ended).filter_map(MemberKey::verifying_key);
        keys.find(|key| checkpoint.names(key)).copied()
    }

    /// The SERVICE key of a message that names a charter version: judged by that version, then by every later `to`.
    pub fn service_key(
        &self,
        member: &MemberName,
        charter_version: u64,
        key_id: u32,
    ) -> KeyVerdict {
        let (named, newest) = match self.entries(member, charter_version) {
            Ok(found) => found,
            Err(no_key) => return no_key.into(),
        };
        let purpose = KeyPurpose::Service;
        let asked = KeyUse { key_id, purpose, log_epoch: 0, at: charter_version };
        verdict(judge_key(named, newest, asked))
    }

    /// As [`service_key`](Self::service_key), for a message that arrives now: the member takes part and the key is
    /// valid by the charter in force too.
    pub fn live_service_key(
        &self,
        member: &MemberName,
        charter_version: u64,
        key_id: u32,
    ) -> KeyVerdict {
        let newest = self.current().member(member);
        if !newest.is_some_and(MemberEntry::is_active) {
            return KeyVerdict::Invalid("the member is not active");
        }
        let covers = |key: &MemberKey| key.covers(self.in_force());
        match self.service_key(member, charter_version, key_id) {
            KeyVerdict::Key(_) if !newest.and_then(|one| one.key(key_id)).is_some_and(covers) => {
                KeyVerdict::Invalid("the key is no longer valid")
            }
            verdict => verdict,
        }
    }

    /// The SEALING key that a subject key for this member is sealed to: the newest one that is valid now. `None` for who
    /// does not take part: a suspension starts a new epoch so that its key stays from that member.
    pub fn sealing_key(&self, member: &MemberName) -> Option<&MemberKey> {
        let keys = &self.current().member(member).filter(|entry| entry.is_active())?.keys;
        let valid =
            |key: &&MemberKey| key.purpose == KeyPurpose::Sealing && key.covers(self.in_force());
        keys.iter().rfind(valid)
    }

    /// The entries of a log's member at the version named and now.
    fn entries_of_log(
        &self,
        log: &LogId,
        charter_version: u64,
    ) -> Result<(&MemberEntry, &MemberEntry, &LogOwner), NoKey> {
        // Whether we can judge comes first: a version that we lack may be the one that lists the log.
        self.check_held(charter_version)?;
        let owner = self.logs.get(log).ok_or(NoKey::Invalid("no member has this log"))?;
        let (named, newest) = self.entries(&owner.member, charter_version)?;
        if named.log_epoch(owner.epoch).is_none() {
            return Err(NoKey::Invalid("the charter version named does not list the log epoch"));
        }
        Ok((named, newest, owner))
    }

    fn entries(
        &self,
        member: &MemberName,
        charter_version: u64,
    ) -> Result<(&MemberEntry, &MemberEntry), NoKey> {
        self.check_held(charter_version)?;
        let named = self.judging(charter_version).and_then(|charter| charter.member(member));
        let named = named.ok_or(NoKey::Invalid("the charter version named has no such member"))?;
        let newest = self.current().member(member).ok_or(NoKey::Invalid("no such member"))?;
        Ok((named, newest))
    }

    fn check_held(&self, charter_version: u64) -> Result<(), NoKey> {
        match charter_version {
            0 => Err(NoKey::Invalid("there is no charter version 0")),
            // Not here yet, or standing twice: what names a forked version waits until it is healed.
            version if version > self.in_force() => Err(NoKey::Waiting),
            _ => Ok(()),
        }
    }
}

/// The keys that one version of the charter lets sign a checkpoint of this size.
pub(super) fn checkpoint_keys_by<'a>(
    charter: &'a Charter,
    owner: &'a LogOwner,
    size: u64,
) -> impl Iterator<Item = &'a VerifyingKey> {
    let member = charter.member(&owner.member).into_iter();
    let keys = member.flat_map(move |member| member.checkpoint_keys(owner.epoch, size));
    keys.filter_map(MemberKey::verifying_key)
}

pub(super) fn verdict(judged: Result<JudgedKey<'_>, &'static str>) -> KeyVerdict {
    match judged {
        Ok(JudgedKey { since_revoked: true, .. }) => {
            KeyVerdict::Invalid("a later charter version ended the key before this")
        }
        Ok(JudgedKey { key, .. }) => KeyVerdict::Key(*key),
        Err(reason) => KeyVerdict::Invalid(reason),
    }
}
