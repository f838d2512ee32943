//! Sundbro's redb files: ledger, payloads, index and audit, and the signing gate beside them.
//!
//! Everything here is blocking; a caller with an async runtime gives each file's writes a thread of their own. A
//! [`Store`] is shared by reference: reads run beside each other and beside the one write of each file.
//!
//! What is in which table stands in [`tables`]. Data flows one way: blobs, then entries with their checkpoint, then the
//! signing gate, then the wire; the index is derived from what is durable and can be deleted.

pub mod audit;
mod backend;
pub mod backup;
mod blobs;
mod branches;
mod charters;
mod counts;
mod database;
pub mod disk;
mod edge;
mod error;
mod evidence;
mod export;
pub mod gate;
mod hashes;
pub mod index;
mod left;
mod live;
mod locators;
mod logs;
mod observe;
mod outbox;
mod overlay;
mod own;
mod recovery;
mod repair;
mod room;
mod row;
pub mod scrub;
mod serve;
mod starts;
pub mod stop;
mod store;
pub mod tables;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verify;

pub use blobs::{BlobKey, BlobKind, MAX_BLOB_LEN, NewBlob};
pub use error::{
    AppendOwnError, AppendReplicaError, Damage, ExportError, OpenError, PutBlobError,
    PutOutboxError, RepairError, ServeError, StoreError, VerifyError,
};
pub use evidence::{MAX_EVIDENCE_PER_LOG, Parted};
pub use hashes::StoredNodes;
pub use left::Settled;
pub use locators::{Locator, LocatorChange, Quarantined};
pub use logs::{
    CheckpointRow, EQUIVOCATION, LogState, LogStatus, MAX_ENTRIES_READ, is_equivocation,
};
pub use observe::{Looked, Observing};
pub use outbox::{JudgedDrafts, OutboxLimits, OutboxStatus, Waiting, WaitingDrafts};
pub use own::{Accepted, DraftRefusal, MAX_DRAFTS, OwnAppend, OwnDraft, OwnSigner, RequestKey};
pub use recovery::ResumeError;
pub use repair::RepairedLog;
pub use room::{RESERVE_BYTES, Room};
pub use starts::{Start, StartVerdict};
pub use store::{Identity, OpenOptions, Store};
