//! Every table of every redb file, in one place: what a key is, what a value is, and what notices a flipped bit.
//!
//! Keys are fixed-width and big-endian, so that byte order is the order of the numbers in them. The first byte of every
//! value is the version of its layout, [`VALUE_VERSION`] today. `log` in a key stands for the first 8 bytes of a log id
//! (the charter refuses members whose logs collide there); lengths are in bytes.
//!
//! A value is guarded in one of two ways. A [`Guard::Sealed`] value ends with the first 8 bytes of SHA-256 over table,
//! key and value (see `row`). A [`Guard::Hashed`] value is found out by what the log itself says: an entry by its leaf
//! hash and signature, a tree hash by the root in the checkpoint, a blob by the commitment that is its key.

use core::fmt;

use redb::TableDefinition;

/// Version of the layout of values; the first byte of each.
pub const VALUE_VERSION: u8 = 1;

/// Version of the set of tables in each file. A file with a newer one is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// How many tree hashes one row of a hash table holds: a complete subtree of four levels.
pub const HASHES_PER_ROW: u64 = 16;

/// One of the files of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreFile {
    /// Entries, hashes, checkpoints, charters, locators: never lost.
    Ledger,
    /// Blobs, each erasable for good.
    Payloads,
    /// Everything derived; deletable.
    Index,
    /// The audit log; fails closed.
    Audit,
    /// The signing gate, which is no redb file.
    Gate,
}

impl StoreFile {
    /// The redb files.
    pub const DATABASES: [Self; 4] = [Self::Ledger, Self::Payloads, Self::Index, Self::Audit];

    /// Its name inside the store's folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger.redb",
            Self::Payloads => "payloads.redb",
            Self::Index => "index.redb",
            Self::Audit => "audit.redb",
            Self::Gate => "signing.gate",
        }
    }
}

impl fmt::Display for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What notices a flipped bit in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// A checksum at its end.
    Sealed,
    /// The hashes and signatures of the log, or the commitment that is its key.
    Hashed,
}

/// Keys and values of all tables are plain bytes: redb's own encodings of tuples and options may change with redb.
pub(crate) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// One table.
#[derive(Clone, Copy)]
pub struct Table {
    /// Its name inside the file.
    pub name: &'static str,
    /// The file that it lies in.
    pub file: StoreFile,
    /// Length of its keys in bytes.
    pub key_len: usize,
    /// What notices a flipped bit.
    pub guard: Guard,
}

impl Table {
    const fn new(file: StoreFile, name: &'static str, key_len: usize, guard: Guard) -> Self {
        Self { name, file, key_len, guard }
    }

    pub(crate) const fn rows(&self) -> Rows {
        TableDefinition::new(self.name)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.file, self.name)
    }
}

use Guard::{Hashed, Sealed};
use StoreFile::{Audit, Index, Ledger, Payloads};

// ---- ledger.redb ---------------------------------------------------------------------------------------------------

/// `0` → schema version u32. `1` → identity: federation id 32, own log id 32. `2` → number u64 of the next draft of the
/// outbox, bytes u64 of the blobs of those that wait. `3` → the branch that our own log left: size u64 and root 32 that were
/// signed of it, then of the branch that the charter named; moot once the signing gate was written since.
pub const LEDGER_META: Table = Table::new(Ledger, "meta", 1, Sealed);
/// log id 32 → [`sundbro_ledger`]'s `LogHead` bytes: what the next entry is judged against.
pub const LOGS: Table = Table::new(Ledger, "logs", 32, Sealed);
/// log id 32 → state u8, position u64, reason.
pub const LOG_STATES: Table = Table::new(Ledger, "log_states", 32, Sealed);
/// log 8, position u64 → the entry: header and signature.
pub const ENTRIES: Table = Table::new(Ledger, "entries", 16, Hashed);
/// log 8, level u8 (0, 4, 8, …), row u64 → up to 16 hashes of complete subtrees of 2^level entries.
pub const HASHES: Table = Table::new(Ledger, "hashes", 17, Hashed);
/// log id 32, kind u8 (0 committed, 1 newest seen) → the signed note.
pub const CHECKPOINTS: Table = Table::new(Ledger, "checkpoints", 33, Sealed);
/// charter version u64, head digest 32 → the Charter message. Two rows of one version are evidence.
pub const CHARTERS: Table = Table::new(Ledger, "charters", 40, Sealed);
/// log id 32, digest of the evidence 32 → the evidence. At most 16 of a log.
pub const EVIDENCE: Table = Table::new(Ledger, "evidence", 64, Sealed);
/// SHA-256 of a request id, 32 → digest of what was asked 32, position u64.
pub const REQUESTS: Table = Table::new(Ledger, "requests", 32, Sealed);
/// log id 32 → the newest start of its author's gateway that we answer for: incarnation u32, instance id 16, size u64
/// of the log here when it was taken on.
pub const STARTS: Table = Table::new(Ledger, "starts", 32, Sealed);
/// SHA-256 of the adapter's name ..8, SHA-256 of the source key 32 → a locator.
pub const LOCATORS: Table = Table::new(Ledger, "locators", 40, Sealed);
/// record id 16 → the key of its locator 40.
pub const LOCATED: Table = Table::new(Ledger, "located", 16, Sealed);
/// As `locators` → a source item that could not be registered, and why.
pub const QUARANTINE: Table = Table::new(Ledger, "quarantine", 40, Sealed);

/// number u64 → a draft that waits until our log may be signed, without its blobs.
pub const OUTBOX: Table = Table::new(Ledger, "outbox", 8, Sealed);
/// As `locators` → number u64 of the newest draft that waits for the item, and the locator as that draft makes it.
pub const OUTBOX_LOCATORS: Table = Table::new(Ledger, "outbox_locators", 40, Sealed);

/// log id 32 → size u64 and root 32 that our own observations say of it; of our own log: up to where that was reckoned.
pub const OWN_OBSERVED: Table = Table::new(Ledger, "own_observed", 32, Sealed);

// ---- payloads.redb -------------------------------------------------------------------------------------------------

/// `0` → schema version u32. `1` → random id of the file 16, how often blobs were written to it u64.
pub const PAYLOADS_META: Table = Table::new(Payloads, "meta", 1, Sealed);
/// commitment 32 → format u8 (1 plain; others are for encryption), kind u8 (1 payload, 2 detail), blob.
pub const BLOBS: Table = Table::new(Payloads, "blobs", 32, Hashed);

// ---- index.redb ----------------------------------------------------------------------------------------------------

/// `0` → schema version u32. `1` → what the rows stand on: fold version u32, then as `1` of the payloads' `meta`.
pub const INDEX_META: Table = Table::new(Index, "meta", 1, Sealed);
/// log id 32 → how far the fold came, and what it counted.
pub const CURSORS: Table = Table::new(Index, "cursors", 32, Sealed);
/// log 8, position u64, kind u8 → commitment 32 of a blob that is not here.
pub const WANTED: Table = Table::new(Index, "wanted", 17, Sealed);
/// commitment 32, log 8, position u64, kind u8 → nothing: `wanted` by commitment.
pub const WANTED_BY: Table = Table::new(Index, "wanted_by", 49, Sealed);
/// log 8, record id 16, position u64 → what the entry there says about the record.
pub const EVENTS: Table = Table::new(Index, "events", 32, Sealed);
/// log 8, record id 16 → the record as the events before make it.
pub const RECORDS: Table = Table::new(Index, "records", 24, Sealed);
/// scheme u32, epoch u32, tag value 32, log 8, position u64 → limited u8, record id 16 whose newest version stands
/// there.
pub const TAGS: Table = Table::new(Index, "tags", 56, Sealed);
/// log 8, position u64 → record id 16 whose newest version stands there.
pub const NEWEST: Table = Table::new(Index, "newest", 16, Sealed);
/// SHA-256 of the superseded record's name 32, log 8, position u64 → limited u8, superseded version u32, record id 16
/// that supersedes it.
pub const REPLACED: Table = Table::new(Index, "replaced", 48, Sealed);
/// log 8, position u64 → limited u8, number of the rule u8 that the payload there breaks.
pub const VOIDS: Table = Table::new(Index, "voids", 16, Sealed);
/// log 8, position u64 → record id 16 about which the entry there says what a payload missing below it may make good; or
/// nothing: an observation, which waits for it too.
pub const PENDING: Table = Table::new(Index, "pending", 16, Sealed);
/// log 8, position u64 → limited u8, kind u32 of the payload there, which this version does not know.
pub const UNKNOWNS: Table = Table::new(Index, "unknowns", 16, Sealed);

/// log 8, id of another log 32 → size u64 and root 32 of that log for which the owner of the first vouches.
pub const OBSERVED: Table = Table::new(Index, "observed", 40, Sealed);

// ---- audit.redb ----------------------------------------------------------------------------------------------------

/// `0` → schema version u32.
pub const AUDIT_META: Table = Table::new(Audit, "meta", 1, Sealed);
/// `0` → the frontier: size u64, then its hashes.
pub const AUDIT_HEAD: Table = Table::new(Audit, "head", 1, Sealed);
/// position u64 → the audit entry.
pub const AUDIT_ENTRIES: Table = Table::new(Audit, "entries", 8, Hashed);
/// level u8, row u64 → up to 16 hashes, as in `hashes` of the ledger.
pub const AUDIT_HASHES: Table = Table::new(Audit, "hashes", 9, Hashed);
/// SHA-256 of the record's name 32, position u64 → nothing.
pub const AUDIT_RECORDS: Table = Table::new(Audit, "by_record", 40, Sealed);
/// SHA-256 of the signed message 32 → position u64 of the entry that keeps it.
pub const AUDIT_MESSAGES: Table = Table::new(Audit, "by_message", 32, Sealed);
/// SHA-256 of requester and nonce, 32 → when it was asked, i64.
pub const NONCES: Table = Table::new(Audit, "nonces", 32, Sealed);
/// digest of the completion 32 → the acknowledgement that its owner has not confirmed yet.
pub const ACKNOWLEDGEMENTS: Table = Table::new(Audit, "acknowledgements", 32, Sealed);

/// All tables.
pub const ALL: [Table; 39] = [
    LEDGER_META,
    LOGS,
    LOG_STATES,
    ENTRIES,
    HASHES,
    CHECKPOINTS,
    CHARTERS,
    EVIDENCE,
    REQUESTS,
    STARTS,
    LOCATORS,
    LOCATED,
    QUARANTINE,
    OUTBOX,
    OUTBOX_LOCATORS,
    OWN_OBSERVED,
    PAYLOADS_META,
    BLOBS,
    INDEX_META,
    CURSORS,
    WANTED,
    WANTED_BY,
    EVENTS,
    RECORDS,
    TAGS,
    NEWEST,
    REPLACED,
    VOIDS,
    PENDING,
    UNKNOWNS,
    OBSERVED,
    AUDIT_META,
    AUDIT_HEAD,
    AUDIT_ENTRIES,
    AUDIT_HASHES,
    AUDIT_RECORDS,
    AUDIT_MESSAGES,
    NONCES,
    ACKNOWLEDGEMENTS,
];

/// The tables of one file.
pub fn of(file: StoreFile) -> impl Iterator<Item = &'static Table> {
    static TABLES: [Table; 39] = ALL;
    TABLES.iter().filter(move |table| table.file == file)
}
