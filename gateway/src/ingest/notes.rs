//! What an ingest leaves for a process after it: how its source was last read, and whether most of it was missing.
//!
//! Each is a small file in the data folder. Without the first, everything is read once more; without the second a source
//! that is partly back would be judged as it stands, so that one is durable before the next look.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};
use sundbro_adapters::Adapter;
use sundbro_store::Store;

/// The notes of one adapter's ingest. Cheap to clone.
#[derive(Clone)]
pub(super) struct Notes {
    adapter: Arc<dyn Adapter>,
    /// Their files without the end of the name.
    stem: PathBuf,
    emptied: Arc<AtomicBool>,
}

impl Notes {
    /// Reads what a process before this one left.
    pub(super) fn open(store: &Store, adapter: Arc<dyn Adapter>) -> Self {
        // The name may hold anything; its digest is a file name everywhere.
        let name = hex::encode(&Sha256::digest(adapter.name().as_bytes())[..8]);
        let stem = store.dir().join(format!("adapter-{name}"));
        let emptied = stem.with_extension("emptied").exists();
        Self { adapter, stem, emptied: Arc::new(AtomicBool::new(emptied)) }
    }

    /// Whether the source was last read with the same settings and parsers. A lost note costs one reading.
    pub(super) fn was_read_this_way(&self) -> bool {
        let digest = hex::encode(self.adapter.settings_digest());
        std::fs::read_to_string(self.stem.with_extension("settings"))
            .is_ok_and(|note| note.trim() == digest)
    }

    pub(super) fn note_how_it_was_read(&self) {
        let digest = hex::encode(self.adapter.settings_digest());
        if let Err(error) = std::fs::write(self.stem.with_extension("settings"), digest) {
            let adapter = self.adapter.name();
            tracing::warn!(adapter, %error, "everything is read again at the next start");
        }
    }

    /// Whether most of the source was missing when it was last looked through.
    pub(super) fn was_emptied(&self) -> bool {
        self.emptied.load(Ordering::Acquire)
    }

    pub(super) fn note_emptied(&self, emptied: bool) {
        if self.emptied.swap(emptied, Ordering::AcqRel) == emptied {
            return;
        }
        let note = self.stem.with_extension("emptied");
        let done = if emptied {
            File::create(&note).and_then(|file| file.sync_all())
        } else {
            std::fs::remove_file(&note)
        };
        let folder =
            self.stem.parent().map_or(Ok(()), |dir| File::open(dir).and_then(|dir| dir.sync_all()));
        if let Err(error) = done.and(folder) {
            let adapter = self.adapter.name();
            tracing::warn!(adapter, %error, "whether most of the source is missing is not remembered over a start");
        }
    }
}
