//! What a file for outsiders proves about the charter: heads and member entries, from the federation id alone.
//!
//! Receipts and evidence carry the same: heads from version 1 on, and of the members concerned their entries with a proof
//! that they stand in a head. Here they are checked, and here the keys of what the file is about are looked up.

mod chain;
mod counts;
mod error;
mod write;

use std::collections::BTreeMap;

use sundbro_proto::ledger::v1;

use self::chain::HeadChain;
pub(crate) use self::counts::check as check_counts;
pub use self::error::BookError;
pub(crate) use self::write::{head_of, judging_version, member_at};
use crate::charter::{check_member, digest_of};
use crate::checkpoint::{Origin, UnverifiedCheckpoint};
use crate::history::{KeyUse, judge_key};
use crate::ids::{FederationId, LogId, MemberName};
use crate::log::KeyVerdict;
use crate::member::{KeyPurpose, MemberEntry, MemberKey};
use crate::merkle::{leaf_hash, proof_from_wire, verify_inclusion};
use crate::retrieval::SignerBook;
use crate::signing::VerifyingKey;

/// Most charter heads in a file. At a kilobyte each, which is little for a head with a CA's certificate, they fill it.
pub const MAX_HEADS: usize = 16_384;

/// Most member entries in a file. A receipt needs the most: of two members, at the versions that four messages and an
/// entry name and now.
pub const MAX_MEMBERS: usize = 16;

/// A key that signed something in a file and was revoked by a newer charter version in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedKey {
    /// Whose.
    pub member: MemberName,
    /// Which.
    pub key_id: u32,
}

/// What a file proves about the charter, from the federation id alone.
#[derive(Debug)]
pub(crate) struct CharterBook {
    federation: FederationId,
    chain: HeadChain,
    entries: BTreeMap<(MemberName, u64), MemberEntry>,
    /// Keys that were valid when they signed and that a newer entry in this file revokes.
    pub(crate) revoked: Vec<RevokedKey>,
}

impl CharterBook {
    /// Checks that the heads follow one another from version 1, each signed, and that the entries stand in them.
    pub(crate) fn read(
        heads: &[v1::ReceiptHead],
        members: &[v1::ReceiptMember],
    ) -> Result<Self, BookError> {
        let first = heads.first().ok_or(BookError::NoHeads)?;
        if heads.len() > MAX_HEADS {
            return Err(BookError::TooMany { what: "charter heads", limit: MAX_HEADS });
        }
        let federation = FederationId::new(*digest_of(&first.head).as_bytes());
        let chain = HeadChain::read(heads, &federation)?;
        let mut book = Self { federation, chain, entries: BTreeMap::new(), revoked: Vec::new() };
        if members.len() > MAX_MEMBERS {
            return Err(BookError::MemberOrder);
        }
        let mut last = None;
        for member in members {
            let entry = book.read_member(member)?;
            let key = (member.charter_version, entry.name.clone());
            if last.is_some_and(|last| last >= key) {
                return Err(BookError::MemberOrder);
            }
            book.check_continues(member.charter_version, &entry)?;
            book.entries.insert((entry.name.clone(), member.charter_version), entry);
            last = Some(key);
        }
        Ok(book)
    }

    /// The newest charter version in the file.
    pub(crate) fn newest_version(&self) -> u64 {
        self.chain.newest_version()
    }

    /// Checks that a member's entry at the newest version is there: without it a file could carry every head and still
    /// keep silent about a key that the newest one revokes.
    pub(crate) fn require_newest(&self, member: &MemberName) -> Result<(), BookError> {
        let version = self.newest_version();
        if self.entries.contains_key(&(member.clone(), version)) {
            return Ok(());
        }
        Err(BookError::NewestEntryMissing { member: member.clone(), version })
    }

    fn read_member(&self, wire: &v1::ReceiptMember) -> Result<MemberEntry, BookError> {
        let version = wire.charter_version;
        let head = self.chain.head(version).ok_or(BookError::MemberNotIncluded { version })?;
        let entry = MemberEntry::parse(&wire.entry)
            .map_err(|source| BookError::Member { version, source: Box::new(source) })?;
        let proof = proof_from_wire(&wire.inclusion_proof)
            .map_err(|_| BookError::MemberNotIncluded { version })?;
        let leaf = leaf_hash(&wire.entry);
        verify_inclusion(&leaf, wire.index, head.members_count, &proof, &head.members_root)
            .map_err(|_| BookError::MemberNotIncluded { version })?;
        Ok(entry)
    }

    /// Holds an entry against the one before it. Stewards who sign a version in which a listed key has another public
    /// half could otherwise make a file that no gateway would have written.
    fn check_continues(&self, version: u64, entry: &MemberEntry) -> Result<(), BookError> {
        let Some(before) = self.entries_of(&entry.name).next() else { return Ok(()) };
        let wrong = |source| BookError::MemberSuccession { version, source: Box::new(source) };
        check_member(before, entry).map_err(wrong)
    }

    /// A member's entries in this file, the newest first.
    fn entries_of(&self, member: &MemberName) -> impl Iterator<Item = &MemberEntry> {
        let range = (member.clone(), 0)..=(member.clone(), u64::MAX);
        self.entries.range(range).rev().map(|(_, entry)| entry)
    }

    fn judge(&mut self, member: &MemberName, version: u64, asked: KeyUse) -> KeyVerdict {
        let judging = self.chain.judging(version);
        let Some(named) = self.entries.get(&(member.clone(), judging)) else {
            return KeyVerdict::Invalid(
                "the file has no entry of the signer at the charter version named",
            );
        };
        let newest = self.entries_of(member).next().unwrap_or(named);
        let judged = match judge_key(named, newest, asked) {
            Ok(judged) => judged,
            Err(reason) => return KeyVerdict::Invalid(reason),
        };
        let (key, since_revoked) = (*judged.key, judged.since_revoked);
        if since_revoked {
            self.note_revoked(member, asked.key_id);
        }
        KeyVerdict::Key(key)
    }

    fn note_revoked(&mut self, member: &MemberName, key_id: u32) {
        let revoked = RevokedKey { member: member.clone(), key_id };
        if !self.revoked.contains(&revoked) {
            self.revoked.push(revoked);
        }
    }

    /// The member and epoch of a log, by the newest entries in this file.
    fn owner_of(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.entries.values().find_map(|entry| {
            let mut epochs = entry.log_epochs.iter().map(|epoch| epoch.epoch);
            let is_it =
                |epoch: &u32| Origin::new(&entry.name, &self.federation, *epoch).log_id() == *log;
            epochs.find(is_it).map(|epoch| (entry.name.clone(), epoch))
        })
    }
}

impl SignerBook for CharterBook {
    fn federation_id(&self) -> FederationId {
        self.federation
    }

    fn service_key(&mut self, member: &MemberName, version: u64, key_id: u32) -> KeyVerdict {
        let purpose = KeyPurpose::Service;
        self.judge(member, version, KeyUse { key_id, purpose, log_epoch: 0, at: version })
    }

    fn transaction_key(&mut self, log: &LogId, version: u64, key_id: u32, at: u64) -> KeyVerdict {
        let Some((member, log_epoch)) = self.owner_of(log) else {
            return KeyVerdict::Invalid("no member in the file has this log");
        };
        let newest = self.entries_of(&member).next();
        let end = newest.and_then(|newest| newest.log_epoch(log_epoch)?.end);
        if end.is_some_and(|end| at >= end.size) {
            return KeyVerdict::Invalid("the log epoch ended before this position");
        }
        let purpose = KeyPurpose::Transaction;
        self.judge(&member, version, KeyUse { key_id, purpose, log_epoch, at })
    }

    fn checkpoint_key(&mut self, checkpoint: &UnverifiedCheckpoint) -> Option<VerifyingKey> {
        let (member, epoch) = self.owner_of(&checkpoint.log_id())?;
        // A checkpoint names no charter version: any entry in the file may admit its key, and the newest one that
        // lists the key says whether it still stands.
        let (key_id, key, by_newest) =
            self.entries_of(&member).enumerate().find_map(|(age, entry)| {
                let mut keys = entry.checkpoint_keys(epoch, checkpoint.size());
                let named =
                    |key: &&MemberKey| key.verifying_key().is_some_and(|key| checkpoint.names(key));
                let key = keys.find(named)?;
                Some((key.key_id, *key.verifying_key()?, age == 0))
            })?;
        if !by_newest {
            self.note_revoked(&member, key_id);
        }
        Some(key)
    }

    fn member_of_log(&self, log: &LogId) -> Option<MemberName> {
        self.owner_of(log).map(|(member, _)| member)
    }
}
