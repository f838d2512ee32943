//! What the gateway asks of a local system: what is new, what is gone, and the bytes of one record.
//!
//! Changes come at least once and in no order that matters; taking one twice changes nothing. An adapter keeps no
//! state that it cannot lose: what is already registered comes in through [`KnownItems`].

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::item::{DocumentIdDigest, Fingerprint, FoundDocument, SourceKey};
use crate::reason::QuarantineReason;

/// Longest piece of a record's content in bytes (the `data` frame of a retrieval).
pub const MAX_FRAME_BYTES: usize = 256 * 1024;

/// A reader of one local system.
///
/// Every implementation passes [`conformance::check`](crate::conformance::check).
pub trait Adapter: Send + Sync + 'static {
    /// The name that the operator gave it. It goes into the ids of its records, so it never changes.
    fn name(&self) -> &str;

    /// Says how items are read: SHA-256 over the settings and the version of the parsers.
    ///
    /// When it is not what it was, everything is read again: [`KnownItems::fingerprint`] then answers `None` in the
    /// first scan. An item that gives the same metadata again is no new version.
    fn settings_digest(&self) -> [u8; 32];

    /// Goes through the source once and says what differs from what is known. Blocks.
    ///
    /// A broken item is quarantined and the rest flows. What cannot be seen (a folder that cannot be read) is never
    /// called gone. Ends soon after [`KnownItems::should_stop`] says so, in the middle of an item too.
    ///
    /// # Errors
    /// Fails if the source as a whole cannot be trusted to be what it was; then nothing is said to be gone.
    fn scan(&self, known: &dyn KnownItems, emit: Emit<'_>) -> Result<ScanReport, ScanError>;

    /// Ends when something may have changed since the last scan began. May never end: a network share does not notify.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Opens a record's content, if the source still holds what `expected` says.
    ///
    /// # Errors
    /// Fails if it is gone, cannot be read, or is no longer what was registered.
    fn open<'a>(
        &'a self,
        source_key: &'a SourceKey,
        expected: &'a Fingerprint,
    ) -> BoxFuture<'a, Result<Content, OpenError>>;

    /// Whether the local system can be reached now. Blocks briefly.
    fn health(&self) -> Health;
}

/// Takes one change; `Break` ends the scan early (the gateway stops).
pub type Emit<'a> = &'a mut dyn FnMut(Change) -> ControlFlow<()>;

/// What the gateway already knows of a source: the registered items and the quarantined ones.
///
/// A store that fails answers as though it knew nothing: the worst is that an item is read again.
pub trait KnownItems: Send + Sync {
    /// What the item looked like when it was last taken, whether registered or quarantined. `None`: it is to be read.
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint>;

    /// What the item looked like when it was registered, if it is registered now, also when it is to be read again.
    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint>;

    /// Whether it is a folder that is set aside as [`QuarantineReason::FolderEmptied`].
    fn is_withheld(&self, folder: &SourceKey) -> bool;

    /// Whether the last scan that came to its end, in this process or one before it, ended with [`ScanError::Emptied`].
    /// One that failed otherwise, or was told to stop, changes nothing of that.
    fn was_emptied(&self) -> bool;

    /// Another registered item with this document id.
    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey>;

    /// Every known key, in any order, and what [`registered`](Self::registered) says of it.
    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>));

    /// Whether the scan is to end now: asked for each item and between the pieces of a long one, because a scan that finds
    /// nothing new emits nothing and so hears nothing.
    fn should_stop(&self) -> bool {
        false
    }

    /// The cursor of the last complete scan, for systems that have one.
    fn cursor(&self) -> Option<Vec<u8>> {
        None
    }
}

/// One difference between the source and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A document that is new or not what it was.
    Found(Box<FoundDocument>),
    /// The source holds nothing under this key any more.
    Gone {
        /// Which item.
        source_key: SourceKey,
    },
    /// An item that cannot be registered. Unless the reason is passing, an earlier version of it is no longer there.
    Quarantined(Quarantined),
}

impl Change {
    /// Which item it is about.
    pub fn source_key(&self) -> &SourceKey {
        match self {
            Self::Found(found) => &found.source_key,
            Self::Gone { source_key } => source_key,
            Self::Quarantined(quarantined) => &quarantined.source_key,
        }
    }
}

/// An item that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Which item.
    pub source_key: SourceKey,
    /// What it looked like; it is not read again until that changes. `None`: it is tried again in each pass.
    pub fingerprint: Option<Fingerprint>,
    /// Why.
    pub reason: QuarantineReason,
    /// What happened and what to do, for the operator; no content.
    pub message: String,
}

/// What one pass saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// Documents that were new or changed.
    pub found: u64,
    /// Items that were as known.
    pub unchanged: u64,
    /// Items that were set aside in this pass.
    pub quarantined: u64,
    /// Items that are gone.
    pub gone: u64,
    /// Items that are still being written.
    pub unsettled: u64,
    /// Whether the pass saw everything and ended by itself. Only then may missing records be called orphans.
    pub complete: bool,
    /// When to look again at what is still being written. `None` if there is nothing.
    pub look_again_in: Option<Duration>,
    /// Where the next scan goes on, for systems that have a cursor.
    pub cursor: Option<Vec<u8>>,
}

/// Why a source could not be scanned. Nothing was said to be gone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The folder itself cannot be read.
    #[error(
        "source {adapter}: its folder cannot be read: is it mounted, and may this user read it?"
    )]
    Unavailable {
        /// The adapter's name.
        adapter: String,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// Most of what was registered would be withdrawn although nobody changed it: more likely a share that is not mounted,
    /// or a slip in the settings, than a decision.
    #[error(
        "source {adapter}: {left} of {known} registered items would stay, so nothing is withdrawn: mount the share, put the settings right, or set allow_emptied if the others are to be withdrawn"
    )]
    Emptied {
        /// The adapter's name.
        adapter: String,
        /// How many items were registered.
        known: u64,
        /// How many of them would stay.
        left: u64,
    },
}

/// The content of one record.
pub struct Content {
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The bytes in order, in pieces of at most [`MAX_FRAME_BYTES`]. They are the record only if the stream ends
    /// without an error; the caller compares the digest.
    pub stream: BoxStream<'static, Result<Bytes, ReadError>>,
}

impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content").field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// Why a record's content was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The source holds nothing under the key.
    #[error(
        "the source no longer holds the record: it is withdrawn, or held until an operator decides"
    )]
    Gone,
    /// The source holds something else than what was registered.
    #[error("the source holds a newer version of the record: ingest it first")]
    Changed {
        /// What it looks like now.
        current: Fingerprint,
    },
    /// The source cannot be read.
    #[error("the source cannot be read: check permissions and the file system")]
    Unreadable(#[source] std::io::Error),
}

/// Why a record's content ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It changed while it was read: the bytes so far are not the record.
    #[error("the record changed while it was read: discard what came and ask again")]
    Changed,
    /// The source failed.
    #[error("the source failed while the record was read: ask again")]
    Failed(#[source] std::io::Error),
}

/// Whether a local system can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Ready,
    /// It does not.
    Unavailable {
        /// What is wrong and what to do.
        message: String,
    },
}
