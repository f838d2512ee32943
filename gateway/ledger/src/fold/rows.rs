//! The logical rows of the index, byte by byte, and the root over them.

use sha2::{Digest as _, Sha256};

use super::{FOLD_VERSION, Record};
use crate::ids::{LogId, RecordId, RootHash, SubjectTag};
use crate::payload::{Detail, ObservedHead, RecordVersion, VoidReason};

/// What a row is about. Its number is the row's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum View {
    /// A record of a log.
    Record = 1,
    /// A person whom a record concerns.
    Subject = 2,
    /// A record that another one supersedes.
    Replaced = 3,
    /// The detail of a record.
    Detail = 4,
    /// An entry whose payload has no effect.
    Void = 5,
    /// An entry whose payload is of a kind from the future.
    Unknown = 6,
    /// A head of one log for which another log's member vouches.
    Observed = 7,
}

/// One logical row.
///
/// | view | key | value |
/// |---|---|---|
/// | 1 record | log 8, id 16 | version u32, lifecycle u32, withdrawal reason u32 or 0, position u64, leaf 32, detail commitment 32 |
/// | 2 subject | scheme u32, epoch u32, tag 32, log 8, position u64 | id 16 |
/// | 3 replaced | SHA-256 of the text form of the superseded record 32, log 8, position u64 | superseded version u32, id 16 of the record that supersedes it |
/// | 4 detail | log 8, id 16 | 1 and the body, or 0 and the number of the void reason |
/// | 5 void | log 8, position u64 | number of the reason |
/// | 6 unknown | log 8, position u64 | field number u32 |
/// | 7 observed | log 8, id of the observed log 32 | size u64, root 32 |
///
/// Numbers are big-endian, `log` is the beginning of the log id, `id` the 16 bytes of a record of the log's owner.
/// Views 1, 2 and 4 have rows for the newest version, view 3 for every registration with an effect, view 7 for the heads
/// after the newest observation with one; the observed log's id is whole there, for nobody refuses collisions of logs that
/// no charter names. A row is `view u8 ‖ u16 key length ‖ key ‖ value`; rows are ordered by view and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    view: View,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Row {
    fn new(view: View, key: &[&[u8]], value: &[&[u8]]) -> Self {
        Self { view, key: key.concat(), value: value.concat() }
    }

    /// A row as a store keeps it: `key` and `value` as the table above has them for `view`.
    pub fn from_parts(view: View, key: &[u8], value: &[u8]) -> Self {
        Self::new(view, &[key], &[value])
    }

    pub(super) fn record(it: &Record) -> Self {
        let value: [&[u8]; 6] = [
            &it.newest.version.to_be_bytes(),
            &it.lifecycle.to_be_bytes(),
            &it.withdrawn.unwrap_or(0).to_be_bytes(),
            &it.position.to_be_bytes(),
            it.leaf.as_bytes(),
            it.detail_commitment.as_bytes(),
        ];
        Self::new(View::Record, &[short(&it.log_id), &it.id().id], &value)
    }

    pub(super) fn subject(tag: &SubjectTag, log: &LogId, position: u64, record: &RecordId) -> Self {
        let key: [&[u8]; 5] = [
            &tag.scheme.to_be_bytes(),
            &tag.epoch.to_be_bytes(),
            &tag.value,
            short(log),
            &position.to_be_bytes(),
        ];
        Self::new(View::Subject, &key, &[&record.id])
    }

    /// A record that the registration of `by` at `position` supersedes.
    pub fn replaced(replaced: &RecordVersion, log: &LogId, position: u64, by: &RecordId) -> Self {
        let name = Sha256::digest(replaced.record.to_string());
        let key: [&[u8]; 3] = [&name, short(log), &position.to_be_bytes()];
        Self::new(View::Replaced, &key, &[&replaced.version.to_be_bytes(), &by.id])
    }

    pub(super) fn detail(of: &Record, detail: &Detail) -> Self {
        Self::new(View::Detail, &[short(&of.log_id), &of.id().id], &[&[1], &detail.encode()])
    }

    pub(super) fn void_detail(of: &Record, reason: VoidReason) -> Self {
        Self::new(View::Detail, &[short(&of.log_id), &of.id().id], &[&[0, reason.number()]])
    }

    /// An entry whose payload has no effect.
    pub fn void(log: &LogId, position: u64, reason: VoidReason) -> Self {
        let key: [&[u8]; 2] = [short(log), &position.to_be_bytes()];
        Self::new(View::Void, &key, &[&[reason.number()]])
    }

    /// An entry whose payload is of a kind from the future.
    pub fn unknown(log: &LogId, position: u64, kind: u32) -> Self {
        let key: [&[u8]; 2] = [short(log), &position.to_be_bytes()];
        Self::new(View::Unknown, &key, &[&kind.to_be_bytes()])
    }

    /// A head for which the owner of the log `observer` vouches.
    pub fn observed(observer: &LogId, head: &ObservedHead) -> Self {
        let key: [&[u8]; 2] = [short(observer), head.log.as_bytes()];
        Self::new(View::Observed, &key, &[&head.size.to_be_bytes(), head.root.as_bytes()])
    }

    /// What it is about.
    pub fn view(&self) -> View {
        self.view
    }

    /// Its key, unique within the view.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// `view u8 ‖ u16 BE key length ‖ key ‖ value`.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Keys have at most 56 bytes, see above.
        let key_len = self.key.len() as u16;
        [&[self.view as u8][..], &key_len.to_be_bytes(), &self.key, &self.value].concat()
    }
}

/// The beginning of a log id that stands for it in keys; the charter refuses collisions.
fn short(log: &LogId) -> &[u8] {
    &log.as_bytes()[..8]
}

/// A row that does not come after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("index rows are out of order: rebuild the index")]
pub struct RowOrderError;

/// Computes an index root: SHA-256(fold version u32 BE ‖ for each row in order: u32 BE length ‖ row).
#[derive(Clone)]
pub struct RootHasher {
    hash: Sha256,
    last: Option<(View, Vec<u8>)>,
}

impl RootHasher {
    /// Before the first row.
    pub fn new() -> Self {
        Self { hash: Sha256::new().chain_update(FOLD_VERSION.to_be_bytes()), last: None }
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// Fails when it does not come after the row before it: such a root would compare with nobody's.
    pub fn add(&mut self, row: &Row) -> Result<(), RowOrderError> {
        let place = (row.view, row.key.clone());
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(RowOrderError);
        }
        self.last = Some(place);
        let bytes = row.to_bytes();
        // A body is at most 65,500 bytes.
        self.hash.update((bytes.len() as u32).to_be_bytes());
        self.hash.update(&bytes);
        Ok(())
    }

    /// The root over all rows that were added.
    pub fn finish(self) -> RootHash {
        RootHash::new(self.hash.finalize().into())
    }
}

impl Default for RootHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for RootHasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RootHasher(…)")
    }
}
