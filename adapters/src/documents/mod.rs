//! Documents in a folder: FHIR R4 document Bundles and DocumentReferences, CDA R2, and any file that a sidecar describes.
//!
//! The source key is the path below the folder, so a renamed file is gone under one key and found under another. A
//! file is read when it has come to rest and again only when its looks change. What cannot be read is quarantined.

mod attachment;
mod attributes;
mod beneath;
mod cda;
mod fhir;
mod gone;
mod held;
mod json;
mod leak;
mod metadata;
mod own_words;
mod pass;
mod pointing;
mod read;
mod reference;
mod resources;
mod settings;
mod sidecar;
mod stream;
mod times;
mod unquoted;
mod walk;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::adapter::{
    Adapter, Content, Emit, Health, KnownItems, OpenError, ScanError, ScanReport,
};
use crate::item::{Fingerprint, ShortDigest, SourceKey};

use beneath::{Identity, Root};
pub use held::{Held, read_held};
use pass::{Pass, Restless};
use pointing::Pointing;
pub use settings::{
    Clock, DEFAULT_PARSE_LIMIT_BYTES, DEFAULT_SETTLE, DocumentsSettings, IdentifierSystems,
    IdentifierSystemsError,
};
/// The adapter of one folder.
pub struct DocumentsAdapter {
    settings: DocumentsSettings,
    /// What had not come to rest when the last pass ended.
    restless: Mutex<Restless>,
    /// Which files describe which others, as the last pass found it that came to its end.
    pointing: Mutex<Arc<Pointing>>,
    /// What passes since then saw that was not registered.
    new: Mutex<HashSet<ShortDigest>>,
    signal: Arc<Notify>,
    watcher: Mutex<Watching>,
}

/// Whether the operating system tells us of changes.
enum Watching {
    NotYet,
    /// Of the folder with this identity: another one may be mounted in its place.
    Yes {
        of: Identity,
        _watcher: RecommendedWatcher,
    },
    Impossible,
}

impl DocumentsAdapter {
    /// An adapter of the folder that the settings name. Touches nothing yet.
    pub fn new(settings: DocumentsSettings) -> Self {
        Self {
            settings,
            restless: Mutex::default(),
            pointing: Mutex::default(),
            new: Mutex::default(),
            signal: Arc::default(),
            watcher: Mutex::new(Watching::NotYet),
        }
    }

    fn restless(&self) -> MutexGuard<'_, Restless> {
        self.restless.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pointing(&self) -> MutexGuard<'_, Arc<Pointing>> {
        self.pointing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_since(&self) -> MutexGuard<'_, HashSet<ShortDigest>> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the operating system once to tell us of changes in a folder. Without it there is still the poll interval.
    fn start_watching(&self, root: &Path, identity: Identity) {
        let mut watching = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match &*watching {
            Watching::NotYet => {}
            Watching::Yes { of, .. } if *of != identity => {}
            Watching::Yes { .. } | Watching::Impossible => return,
        }
        let signal = Arc::clone(&self.signal);
        let notice = move |event: notify::Result<notify::Event>| {
            // Reading is an event too, and it is we who read.
            if !matches!(&event, Ok(event) if is_reading(&event.kind)) {
                signal.notify_one();
            }
        };
        // A link in the folder could lead to all of the machine.
        let config = notify::Config::default().with_follow_symlinks(false);
        let started = RecommendedWatcher::new(notice, config).and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        *watching = match started {
            Ok(watcher) => Watching::Yes { of: identity, _watcher: watcher },
            Err(_) => {
                tracing::warn!(
                    adapter = self.settings.name,
                    "the operating system does not tell of changes in this folder: it is read at the poll interval (on Linux, raise fs.inotify.max_user_watches)"
                );
                Watching::Impossible
            }
        };
    }
}

fn is_reading(kind: &EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) => true,
        _ => false,
    }
}

impl Adapter for DocumentsAdapter {
    fn name(&self) -> &str {
        &self.settings.name
    }

    fn settings_digest(&self) -> [u8; 32] {
        self.settings.digest()
    }

    fn scan(&self, known: &dyn KnownItems, emit: Emit<'_>) -> Result<ScanReport, ScanError> {
        let unavailable =
            |source| ScanError::Unavailable { adapter: self.settings.name.clone(), source };
        let path = self.settings.folder.canonicalize().map_err(unavailable)?;
        let root = Root::open(&path).map_err(unavailable)?;
        // Before the walk, so that nothing changes unseen between the two.
        self.start_watching(&path, root.identity().map_err(unavailable)?);
        let mut pass = Pass::new(self, &root, known, emit);
        let stop = || known.should_stop();
        let end =
            walk::walk(&root, &path, &stop, &mut |seen| pass.take(seen)).map_err(unavailable)?;
        match end {
            ControlFlow::Continue(()) => pass.finish(),
            ControlFlow::Break(()) => Ok(pass.broken_off()),
        }
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        self.signal.notified().boxed()
    }

    fn open<'a>(
        &'a self,
        source_key: &'a SourceKey,
        expected: &'a Fingerprint,
    ) -> BoxFuture<'a, Result<Content, OpenError>> {
        stream::open(self.settings.folder.clone(), source_key.clone(), *expected).boxed()
    }

    fn health(&self) -> Health {
        match std::fs::read_dir(&self.settings.folder) {
            Ok(_) => Health::Ready,
            Err(error) => Health::Unavailable {
                message: format!(
                    "folder {} of source {} cannot be read ({}): is it mounted, and may this user read it?",
                    self.settings.folder.display(),
                    self.settings.name,
                    error.kind(),
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests;
