//! The rules by which one log goes on: what the next entry must follow, and who may sign it.
//!
//! A log's head is all of the log that the next entry is judged against. The verdict is a function of head, entry and
//! charter: no clock, no configuration, no order of arrival.

mod refusal;

use core::fmt;

use bytes::Bytes;

pub use refusal::{InvalidReason, Refusal, WaitingReason};

use crate::ids::{FederationId, LeafHash, LogId, NodeHash, RootHash};
use crate::merkle::{Frontier, Node};
use crate::signing::{Purpose, SigningKey, VerifyingKey};
use crate::transaction::{
    Draft, EntryError, Header, HeaderError, SignedTransaction, VerifiedTransaction,
};

/// First byte of a stored head.
const HEAD_VERSION: u8 = 1;

/// What a charter says of the key that a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyVerdict {
    /// This key, at this position.
    Key(VerifyingKey),
    /// The charter version is not here, or forked.
    Waiting,
    /// No such key, another purpose, or a position outside its range.
    Invalid(&'static str),
}

/// Answers which key signs where. The history of a charter implements it.
pub trait KeyBook {
    /// The federation under whose id everything is signed.
    fn federation_id(&self) -> FederationId;

    /// The TRANSACTION key `key_id` of the log's member, judged by `charter_version` and every later `to`.
    fn transaction_key(
        &self,
        log: &LogId,
        charter_version: u64,
        key_id: u32,
        position: u64,
    ) -> KeyVerdict;

    /// Whether `key` may sign a checkpoint of this size of the log: what every peer asks before it takes our entries.
    ///
    /// A book that lists no CHECKPOINT keys covers nothing: it can judge entries, and nobody publishes by it.
    fn checkpoint_key_covers(&self, _log: &LogId, _size: u64, _key: &VerifyingKey) -> bool {
        false
    }
}

/// A verified entry that does not continue this head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the entry was verified for another place, this log goes on at {size}: verify it again")]
pub struct DoesNotFollow {
    /// Position that comes next.
    pub size: u64,
}

/// Stored bytes that are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored head of the log is damaged: rebuild it from the entries")]
pub struct HeadError;

/// The end of one log: what the next entry is judged against.
///
/// An entry that was not verified cannot be appended:
/// ```compile_fail,E0308
/// # use sundbro_ledger::{log::LogHead, transaction::SignedTransaction};
/// fn append(head: &mut LogHead, entry: SignedTransaction) {
///     let _ = head.append(&entry);
/// }
/// ```
/// and only [`verify`](Self::verify) makes one that can:
/// ```
/// # use sundbro_ledger::{log::{KeyBook, LogHead, Refusal}, transaction::SignedTransaction};
/// fn append(head: &mut LogHead, entry: SignedTransaction, keys: &dyn KeyBook) -> Result<(), Refusal> {
///     let entry = head.verify(entry, keys)?;
///     assert!(head.append(&entry).is_ok());
///     Ok(())
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct LogHead {
    log_id: LogId,
    frontier: Frontier,
    previous_leaf: LeafHash,
    charter_version: u64,
    key_id: u32,
    incarnation: u32,
}

impl LogHead {
    /// The head of a log without entries.
    pub fn new(log_id: LogId) -> Self {
        Self {
            log_id,
            frontier: Frontier::new(),
            previous_leaf: LeafHash::NONE,
            charter_version: 0,
            key_id: 0,
            incarnation: 0,
        }
    }

    /// The head after the last of some entries, each verified before, whose tree has this frontier. `None`: the entry is not
    /// the last one of that tree.
    pub fn after(last: &SignedTransaction, frontier: Frontier) -> Option<Self> {
        let Header { log_id, position, charter_version, key_id, incarnation, .. } = *last.header();
        let is_last = frontier.size() == position.checked_add(1)?;
        let previous_leaf = last.leaf();
        let head = Self { log_id, frontier, previous_leaf, charter_version, key_id, incarnation };
        is_last.then_some(head)
    }

    /// Which log.
    pub fn log_id(&self) -> &LogId {
        &self.log_id
    }

    /// Number of entries, which is the position of the next.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the tree over all entries.
    pub fn root(&self) -> RootHash {
        self.frontier.root()
    }

    /// The right edge of the tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Leaf hash of the last entry; [`LeafHash::NONE`] when there is none.
    pub fn previous_leaf(&self) -> LeafHash {
        self.previous_leaf
    }

    /// Charter version that the last entry names; 0 when there is none.
    pub fn charter_version(&self) -> u64 {
        self.charter_version
    }

    /// Key of the last entry; 0 when there is none.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// Incarnation of the last entry; 0 when there is none.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Signs the entry that comes next. It counts as little as any other until it is verified.
    pub fn sign_next(
        &self,
        draft: Draft,
        key: &SigningKey,
        federation: &FederationId,
    ) -> SignedTransaction {
        let header = Header {
            charter_version: draft.charter_version,
            log_id: self.log_id,
            position: self.size(),
            previous_leaf: self.previous_leaf,
            key_id: draft.key_id,
            incarnation: draft.incarnation,
            recorded_hour: draft.recorded_hour,
            payload_commitment: draft.payload_commitment,
            payload_size: draft.payload_size,
            audience: draft.audience,
        };
        let signature = key.sign(Purpose::Transaction, federation, &header.to_bytes());
        SignedTransaction::new(header, signature)
    }

    /// Judges the bytes that stand at the next position.
    ///
    /// # Errors
    /// As [`verify`](Self::verify); bytes that are no entry are invalid, a format from the future waits.
    pub fn verify_entry(
        &self,
        entry: Bytes,
        keys: &dyn KeyBook,
    ) -> Result<VerifiedTransaction, Refusal> {
        match SignedTransaction::from_entry(entry) {
            Ok(transaction) => self.verify(transaction, keys),
            Err(EntryError::Header(HeaderError::UnknownFormat(format))) => {
                Err(self.waiting(WaitingReason::UnknownFormat(format)))
            }
            Err(EntryError::TooLarge(len)) => Err(self.invalid(InvalidReason::TooLarge(len))),
            Err(error) => Err(self.invalid(InvalidReason::NotCanonical(error))),
        }
    }

    /// Judges the entry that shall come next.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] when it breaks a rule, [`Refusal::Waiting`] when the charter version that it names is not
    /// here.
    pub fn verify(
        &self,
        transaction: SignedTransaction,
        keys: &dyn KeyBook,
    ) -> Result<VerifiedTransaction, Refusal> {
        let header = transaction.header();
        // What the log alone decides comes before what waits for a charter: waiting never hides an invalid entry.
        self.check_place(header).map_err(|reason| self.invalid(reason))?;
        let Header { charter_version, key_id, position, .. } = *header;
        let key = match keys.transaction_key(&self.log_id, charter_version, key_id, position) {
            KeyVerdict::Key(key) => key,
            KeyVerdict::Waiting => {
                return Err(self.waiting(WaitingReason::CharterVersion(charter_version)));
            }
            KeyVerdict::Invalid(why) => return Err(self.invalid(InvalidReason::WrongKey(why))),
        };
        key.verify(
            Purpose::Transaction,
            &keys.federation_id(),
            transaction.header_bytes(),
            transaction.signature(),
        )
        .map_err(|_| self.invalid(InvalidReason::BadSignature))?;
        Ok(VerifiedTransaction::new(transaction))
    }

    fn check_place(&self, header: &Header) -> Result<(), InvalidReason> {
        header.check_values().map_err(|error| InvalidReason::NotCanonical(error.into()))?;
        if header.log_id != self.log_id {
            return Err(InvalidReason::WrongLog(header.log_id));
        }
        if header.position != self.size() {
            return Err(InvalidReason::WrongPosition(header.position));
        }
        let (claimed, actual) = (header.previous_leaf, self.previous_leaf);
        if claimed != actual {
            return Err(InvalidReason::BadLink { claimed, actual });
        }
        let (claimed, before) = (header.charter_version, self.charter_version);
        if claimed < before {
            return Err(InvalidReason::CharterDecreased { claimed, before });
        }
        let (claimed, before) = (header.incarnation, self.incarnation);
        if claimed < before {
            return Err(InvalidReason::IncarnationDecreased { claimed, before });
        }
        // Key ids ascend per member, so a lower one is an older key, which may be the stolen one.
        let (claimed, before) = (header.key_id, self.key_id);
        if claimed < before {
            return Err(InvalidReason::KeyWentBack { claimed, before });
        }
        Ok(())
    }

    fn invalid(&self, reason: InvalidReason) -> Refusal {
        Refusal::Invalid { position: self.size(), reason }
    }

    fn waiting(&self, reason: WaitingReason) -> Refusal {
        Refusal::Waiting { position: self.size(), reason }
    }

    /// Appends a verified entry.
    ///
    /// # Errors
    /// Fails, and changes nothing, when the entry was verified against another head.
    pub fn append(&mut self, entry: &VerifiedTransaction) -> Result<(), DoesNotFollow> {
        self.append_with(entry, &mut |_, _| ())
    }

    /// [`append`](Self::append), and reports every node of the tree that the entry completes, its leaf first.
    ///
    /// # Errors
    /// As there.
    pub fn append_with(
        &mut self,
        entry: &VerifiedTransaction,
        completed: &mut impl FnMut(Node, NodeHash),
    ) -> Result<(), DoesNotFollow> {
        let header = entry.header();
        // The previous leaf stands for the whole history, so this is the very head that the entry was verified for.
        let follows = header.log_id == self.log_id
            && header.position == self.size()
            && header.previous_leaf == self.previous_leaf;
        if !follows {
            return Err(DoesNotFollow { size: self.size() });
        }
        self.frontier.append_with(entry.leaf(), completed);
        self.previous_leaf = entry.leaf();
        self.charter_version = header.charter_version;
        self.key_id = header.key_id;
        self.incarnation = header.incarnation;
        Ok(())
    }

    /// For storage: version u8 = 1 ‖ log id 32 ‖ previous leaf 32 ‖ charter version u64 ‖ key id u32 ‖ incarnation u32 ‖
    /// size u64 ‖ frontier hashes, all big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![HEAD_VERSION];
        bytes.extend_from_slice(self.log_id.as_bytes());
        bytes.extend_from_slice(self.previous_leaf.as_bytes());
        bytes.extend_from_slice(&self.charter_version.to_be_bytes());
        bytes.extend_from_slice(&self.key_id.to_be_bytes());
        bytes.extend_from_slice(&self.incarnation.to_be_bytes());
        bytes.extend_from_slice(&self.size().to_be_bytes());
        for node in self.frontier.nodes() {
            bytes.extend_from_slice(node.as_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// Fails on another version or length, or a frontier that does not fit the size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let mut rest = bytes;
        if take(&mut rest)? != [HEAD_VERSION] {
            return Err(HeadError);
        }
        let log_id = LogId::new(take(&mut rest)?);
        let previous_leaf = LeafHash::new(take(&mut rest)?);
        let charter_version = u64::from_be_bytes(take(&mut rest)?);
        let key_id = u32::from_be_bytes(take(&mut rest)?);
        let incarnation = u32::from_be_bytes(take(&mut rest)?);
        let size = u64::from_be_bytes(take(&mut rest)?);
        let (hashes, odd) = rest.as_chunks::<32>();
        // 63 hashes are the most that a frontier has, so a long value costs nothing.
        if !odd.is_empty() || hashes.len() > 63 {
            return Err(HeadError);
        }
        let nodes = hashes.iter().copied().map(NodeHash::new).collect();
        let frontier = Frontier::from_parts(size, nodes).map_err(|_| HeadError)?;
        Ok(Self { log_id, frontier, previous_leaf, charter_version, key_id, incarnation })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], HeadError> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(HeadError)?;
    *rest = after;
    Ok(*taken)
}

impl fmt::Debug for LogHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} size {} {:?}", self.log_id, self.size(), self.root())
    }
}

#[cfg(test)]
mod tests;
