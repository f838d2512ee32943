//! The audit log: who looked, when and why; a Merkle log of its own that fails closed.

use std::ops::Range;

use sha2::{Digest, Sha256};
use sundbro_ledger::ids::{MessageDigest, NodeHash, RecordId, RootHash};
use sundbro_ledger::merkle::{Frontier, leaf_hash};

use crate::database::{ALL_KEYS, SealedRows, WriteView, misfit, opened, walk, walk_back};
use crate::error::{Damage, InFile, StoreError};
use crate::hashes::{NewHashes, StoredNodes};
use crate::row::{Reader, RowProblem, Writer, digest_of, unversion, version};
use crate::store::Store;
use crate::tables::{
    ACKNOWLEDGEMENTS, AUDIT_ENTRIES, AUDIT_HASHES, AUDIT_HEAD, AUDIT_MESSAGES, AUDIT_RECORDS,
    NONCES,
};

/// One audit entry.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AuditRecord {
    /// What happened: a constant such as `REQUEST_RECEIVED`, `GRANTED`, `REFUSED`, `COMPLETED`, `ACKNOWLEDGED`.
    pub kind: String,
    /// When, in milliseconds since 1970, by this gateway's clock.
    pub unix_millis: i64,
    /// The record, in text form. Empty where none is meant.
    pub record: String,
    /// The other member.
    pub peer: String,
    /// Who asked, as the requester named them.
    pub user: String,
    /// In which role.
    pub role: String,
    /// In which unit: system and value.
    pub unit: String,
    /// Why: the name of a PurposeOfUse.
    pub purpose: String,
    /// The rule that decided. Empty where none did.
    pub rule: String,
    /// Whether it was permitted.
    pub permitted: bool,
    /// The signed message that this entry keeps: the canonical message itself. May be empty.
    pub message: Vec<u8>,
    /// Its signature. May be empty.
    pub signature: Vec<u8>,
    /// SHA-256 of the message; zeros where there is none.
    pub message_sha256: [u8; 32],
}

/// An acknowledgement that the owner has not confirmed yet.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingAcknowledgement {
    /// Digest of the completion that it answers.
    pub completion: MessageDigest,
    /// The owner's name.
    pub owner: String,
    /// The signed message, encoded.
    pub message: Vec<u8>,
    /// When it was queued, in seconds since 1970.
    pub unix_seconds: i64,
}

/// Whether a nonce was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce {
    /// It was, and is now remembered.
    Fresh,
    /// It was used before.
    Used,
}

/// Format of an audit entry; its first byte.
const ENTRY_FORMAT: u8 = 1;

/// Key of the one row of `head`.
pub(crate) const HEAD_KEY: &[u8] = &[0];

impl AuditRecord {
    /// The entry: what is hashed and kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        Writer::new()
            .u8(ENTRY_FORMAT)
            .i64(self.unix_millis)
            .text(&self.kind)
            .text(&self.record)
            .text(&self.peer)
            .text(&self.user)
            .text(&self.role)
            .text(&self.unit)
            .text(&self.purpose)
            .text(&self.rule)
            .u8(u8::from(self.permitted))
            .bytes(&self.message)
            .bytes(&self.signature)
            .fixed(&self.message_sha256)
            .done()
    }

    pub(crate) fn from_bytes(entry: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(entry);
        if fields.u8()? != ENTRY_FORMAT {
            return Err(RowProblem::Version);
        }
        let record = Self {
            unix_millis: fields.i64()?,
            kind: fields.text()?,
            record: fields.text()?,
            peer: fields.text()?,
            user: fields.text()?,
            role: fields.text()?,
            unit: fields.text()?,
            purpose: fields.text()?,
            rule: fields.text()?,
            permitted: fields.u8()? == 1,
            message: fields.bytes()?.to_vec(),
            signature: fields.bytes()?.to_vec(),
            message_sha256: fields.array()?,
        };
        fields.end().map(|()| record)
    }
}

impl core::fmt::Debug for AuditRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Who looked at what belongs to the log itself, not to a line that is printed by the way.
        write!(f, "audit record {}", self.kind)
    }
}

impl PendingAcknowledgement {
    fn to_body(&self) -> Vec<u8> {
        Writer::new().text(&self.owner).bytes(&self.message).i64(self.unix_seconds).done()
    }

    pub(crate) fn from_row(key: &[u8], body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let pending = Self {
            completion: MessageDigest::try_from(key).map_err(|_| RowProblem::Fields)?,
            owner: fields.text()?,
            message: fields.bytes()?.to_vec(),
            unix_seconds: fields.i64()?,
        };
        fields.end().map(|()| pending)
    }
}

pub(crate) fn frontier_in(rows: &impl SealedRows) -> Result<Frontier, StoreError> {
    let Some(body) = rows.sealed(&AUDIT_HEAD, HEAD_KEY)? else { return Ok(Frontier::new()) };
    let read = || {
        let mut fields = Reader::new(&body);
        let size = fields.u64().ok()?;
        let nodes = fields.rest().chunks(32).map(NodeHash::try_from).collect::<Result<_, _>>();
        Frontier::from_parts(size, nodes.ok()?).ok()
    };
    read().ok_or_else(|| misfit(&AUDIT_HEAD, RowProblem::Fields))
}

/// The key of the rows that find entries by record.
pub(crate) fn record_row_key(record: &str, position: u64) -> Vec<u8> {
    let mut key = digest_of(&[record.as_bytes()]).to_vec();
    key.extend_from_slice(&position.to_be_bytes());
    key
}

fn append(write: &WriteView, records: &[AuditRecord]) -> Result<u64, StoreError> {
    let mut frontier = frontier_in(write)?;
    let start = frontier.size();
    let mut hashes = NewHashes::default();
    for (position, record) in (start..).zip(records) {
        let entry = record.to_bytes();
        write.put(&AUDIT_ENTRIES, &position.to_be_bytes(), &version(&entry))?;
        frontier.append_with(leaf_hash(&entry), &mut |node, hash| hashes.add(node, hash));
        if !record.record.is_empty() {
            write.put_sealed(&AUDIT_RECORDS, &record_row_key(&record.record, position), &[])?;
        }
        if record.message_sha256 != [0; 32] {
            let body = position.to_be_bytes();
            write.put_sealed(&AUDIT_MESSAGES, &record.message_sha256, &body)?;
        }
    }
    hashes.write(&mut write.table(&AUDIT_HASHES)?, &AUDIT_HASHES, &[])?;
    let mut head = Writer::new().u64(frontier.size());
    for node in frontier.nodes() {
        head = head.fixed(node.as_bytes());
    }
    write.put_sealed(&AUDIT_HEAD, HEAD_KEY, &head.done())?;
    Ok(start)
}

fn entry_of(position: u64, value: &[u8]) -> Result<AuditRecord, StoreError> {
    unversion(value).and_then(AuditRecord::from_bytes).map_err(|problem| {
        StoreError::damaged(Damage::of_table(&AUDIT_ENTRIES, problem).at_position(position))
    })
}

fn position_of(table: &crate::tables::Table, bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into().map_err(|_| misfit(table, RowProblem::Fields))?;
    Ok(u64::from_be_bytes(bytes))
}

impl Store {
    /// Appends entries durably, in one transaction; returns the position of the first.
    ///
    /// # Errors
    /// Fails when the disk does: then nothing may be served.
    pub fn audit_append(&self, records: &[AuditRecord]) -> Result<u64, StoreError> {
        let write = self.audit.write()?;
        let start = append(&write, records)?;
        // From here the entries survive a crash, and what they permit may be served.
        write.commit().map(|()| start)
    }

    /// Appends entries and, in the same transaction, remembers the nonce; appends nothing when it was used before.
    ///
    /// # Errors
    /// Fails when the disk does: then nothing may be served.
    pub fn audit_append_once(
        &self,
        requester: &str,
        nonce: &[u8],
        requested_unix_seconds: i64,
        records: &[AuditRecord],
    ) -> Result<Nonce, StoreError> {
        let key = digest_of(&[requester.as_bytes(), nonce]);
        let write = self.audit.write()?;
        if write.get_sealed(&NONCES, &key)?.is_some() {
            return Ok(Nonce::Used);
        }
        write.put_sealed(&NONCES, &key, &requested_unix_seconds.to_be_bytes())?;
        append(&write, records)?;
        write.commit().map(|()| Nonce::Fresh)
    }

    /// Forgets nonces of requests made before this: such requests are refused for their age. Says how many.
    pub fn forget_nonces(&self, before_unix_seconds: i64) -> Result<u64, StoreError> {
        let mut old = Vec::new();
        let view = self.audit.read()?;
        walk(&view.table(&NONCES)?, &NONCES, ALL_KEYS, |key, value| {
            let asked = opened(&NONCES, key, value)?.try_into();
            let asked = asked.map_err(|_| misfit(&NONCES, RowProblem::Fields))?;
            if i64::from_be_bytes(asked) < before_unix_seconds {
                old.push(key.to_vec());
            }
            Ok(true)
        })?;
        drop(view);
        if old.is_empty() {
            return Ok(0);
        }
        let write = self.audit.write()?;
        for key in &old {
            write.remove(&NONCES, key)?;
        }
        write.commit().map(|()| old.len() as u64)
    }

    /// Entries newest first, before position `before`, at most `max`; only those about one record if it is named.
    pub fn audit_entries(
        &self,
        record: Option<&RecordId>,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<(u64, AuditRecord)>, StoreError> {
        let view = self.audit.read()?;
        let end = before.unwrap_or(u64::MAX);
        let entries = view.table(&AUDIT_ENTRIES)?;
        let mut found = Vec::new();
        if max == 0 {
            return Ok(found);
        }
        let Some(record) = record else {
            let range = &[][..]..&end.to_be_bytes()[..];
            walk_back(&entries, &AUDIT_ENTRIES, range, |key, value| {
                let position = position_of(&AUDIT_ENTRIES, key)?;
                found.push((position, entry_of(position, value)?));
                Ok(found.len() < max)
            })?;
            return Ok(found);
        };
        let name = record.to_string();
        let (first, last) = (record_row_key(&name, 0), record_row_key(&name, end));
        let rows = view.table(&AUDIT_RECORDS)?;
        walk_back(&rows, &AUDIT_RECORDS, &first[..]..&last[..], |key, value| {
            opened(&AUDIT_RECORDS, key, value)?;
            let position = position_of(&AUDIT_RECORDS, &key[32..])?;
            let value = entries.get(&key[32..]).in_file(AUDIT_ENTRIES.file)?;
            let value = value.ok_or_else(|| {
                let damage = Damage::of_table(&AUDIT_ENTRIES, "the entry is not here");
                StoreError::damaged(damage.at_position(position))
            })?;
            found.push((position, entry_of(position, value.value())?));
            Ok(found.len() < max)
        })?;
        Ok(found)
    }

    /// The entry that keeps a signed message.
    pub fn audit_by_message(
        &self,
        message: &MessageDigest,
    ) -> Result<Option<(u64, AuditRecord)>, StoreError> {
        let view = self.audit.read()?;
        let Some(body) = view.sealed(&AUDIT_MESSAGES, message.as_bytes())? else { return Ok(None) };
        let position = position_of(&AUDIT_MESSAGES, &body)?;
        let value = view.get(&AUDIT_ENTRIES, &body)?.unwrap_or_default();
        Ok(Some((position, entry_of(position, &value)?)))
    }

    /// Size and root of the audit log.
    pub fn audit_head(&self) -> Result<(u64, RootHash), StoreError> {
        let frontier = frontier_in(&self.audit.read()?)?;
        Ok((frontier.size(), frontier.root()))
    }

    /// Nodes of the audit log's tree.
    pub fn audit_nodes(&self) -> Result<StoredNodes, StoreError> {
        StoredNodes::new(&self.audit.read()?, &AUDIT_HASHES, &[])
    }

    /// Queues an acknowledgement, with its audit entries in the same transaction. Idempotent by completion.
    pub fn queue_acknowledgement(
        &self,
        pending: &PendingAcknowledgement,
        records: &[AuditRecord],
    ) -> Result<(), StoreError> {
        let write = self.audit.write()?;
        let key = pending.completion.as_bytes();
        if write.get_sealed(&ACKNOWLEDGEMENTS, key)?.is_some() {
            return Ok(());
        }
        write.put_sealed(&ACKNOWLEDGEMENTS, key, &pending.to_body())?;
        append(&write, records)?;
        write.commit()
    }

    /// Acknowledgements that no owner has confirmed, at most `max`.
    pub fn pending_acknowledgements(
        &self,
        max: usize,
    ) -> Result<Vec<PendingAcknowledgement>, StoreError> {
        self.pending_acknowledgements_after(None, max)
    }

    /// As [`pending_acknowledgements`](Self::pending_acknowledgements), in order of completion, from the one after `last`
    /// on: whoever reads all of them reads page by page.
    pub fn pending_acknowledgements_after(
        &self,
        last: Option<&MessageDigest>,
        max: usize,
    ) -> Result<Vec<PendingAcknowledgement>, StoreError> {
        let mut pending = Vec::new();
        let view = self.audit.read()?;
        let rows = view.table(&ACKNOWLEDGEMENTS)?;
        // No key lies between a key and itself with one byte more.
        let after = last.map(|last| [last.as_bytes(), &[0][..]].concat());
        let range = Range { start: after.as_deref().unwrap_or_default(), ..ALL_KEYS };
        walk(&rows, &ACKNOWLEDGEMENTS, range, |key, value| {
            if pending.len() < max {
                let body = opened(&ACKNOWLEDGEMENTS, key, value)?;
                let row = PendingAcknowledgement::from_row(key, body);
                pending.push(row.map_err(|problem| misfit(&ACKNOWLEDGEMENTS, problem))?);
            }
            Ok(pending.len() < max)
        })?;
        Ok(pending)
    }

    /// The owner has confirmed it.
    pub fn acknowledgement_done(&self, completion: &MessageDigest) -> Result<(), StoreError> {
        let write = self.audit.write()?;
        write.remove(&ACKNOWLEDGEMENTS, completion.as_bytes())?;
        write.commit()
    }
}

/// SHA-256 of a signed message, as audit entries keep it.
pub fn message_digest(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}
