//! Readers of local systems: what they know of the federation is nothing.
//!
//! An [`Adapter`] says what a local system holds, what changed and what is gone, and opens one record as a stream. It
//! knows FHIR, CDA and files; it knows no log, no member and no key. Personal identifiers leave it in one type,
//! [`LocalSubject`], which the gateway turns into tags.
//!
//! ```
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//! use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
//! use sundbro_adapters::{Adapter, Change, MemoryItems, Profile};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("note.txt"), "no sidecar beside it")?;
//!
//! let systems = IdentifierSystems::from_list(&["dk".into()], Profile::Dk)?;
//! let mut settings = DocumentsSettings::new("letters", folder.path(), systems, Profile::Dk);
//! settings.settle = std::time::Duration::ZERO;
//! let adapter: Arc<dyn Adapter> = Arc::new(DocumentsAdapter::new(settings));
//!
//! let known = MemoryItems::new();
//! let report = adapter.scan(&known, &mut |change| {
//!     if let Change::Quarantined(item) = &change {
//!         println!("{}: {}", item.reason, item.message);
//!     }
//!     known.take(&change);
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!((report.found, report.quarantined, report.complete), (0, 1, true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod adapter;
pub mod conformance;
pub mod dk;
pub mod documents;
pub mod item;
pub mod memory;
pub mod profile;
pub mod reason;
pub mod subject;
pub mod watch;

pub use adapter::{
    Adapter, Change, Content, Emit, Health, KnownItems, MAX_FRAME_BYTES, OpenError, Quarantined,
    ReadError, ScanError, ScanReport,
};
pub use item::{
    ClinicalPeriod, Coding, Confidentiality, DocumentId, DocumentIdDigest, Fingerprint,
    FoundDocument, FoundWarning, Identifier, Lifecycle, ShortDigest, SourceKey,
};
pub use memory::MemoryItems;
pub use profile::{Accepted, IdentifierNote, Profile, Rejected, UnknownProfile};
pub use reason::{QuarantineReason, Refusal};
pub use subject::LocalSubject;
pub use watch::{SourceEvent, WatchError, WatchOptions, rest_after, watch};
