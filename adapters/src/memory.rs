//! What is known of a source, in memory: for tests, tools and the conformance kit. A gateway keeps it in its store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::adapter::{Change, KnownItems, ScanError, ScanReport};
use crate::item::{DocumentIdDigest, Fingerprint, SourceKey};
use crate::reason::QuarantineReason;

/// The items taken so far.
#[derive(Debug, Default)]
pub struct MemoryItems {
    items: Mutex<BTreeMap<SourceKey, Known>>,
    emptied: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    /// What it looked like when it was registered; `None`: it is not.
    registered: Option<Fingerprint>,
    /// Why it is set aside, and what it looked like then.
    aside: Option<(QuarantineReason, Option<Fingerprint>)>,
    document_id: Option<DocumentIdDigest>,
}

impl MemoryItems {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a change. Taking it twice is the same as once.
    pub fn take(&self, change: &Change) {
        let mut items = self.items();
        match change {
            Change::Found(found) => {
                let document_id = found.document_id.as_ref().map(|id| id.digest());
                let registered = Some(found.fingerprint);
                items.insert(
                    found.source_key.clone(),
                    Known { registered, aside: None, document_id },
                );
            }
            Change::Gone { source_key } => {
                items.remove(source_key);
            }
            Change::Quarantined(item) => {
                let known = items.entry(item.source_key.clone()).or_default();
                if !item.reason.is_passing() {
                    *known = Known::default();
                }
                known.aside = Some((item.reason, item.fingerprint));
            }
        }
    }

    /// Takes the end of a scan that was not told to stop: whether most of the source was missing is what the next one asks.
    pub fn end(&self, scanned: &Result<ScanReport, ScanError>) {
        match scanned {
            Ok(_) => self.emptied.store(false, Ordering::Relaxed),
            Err(ScanError::Emptied { .. }) => self.emptied.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    /// How many items are known.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<SourceKey, Known>> {
        // Every change is one insertion or removal, so a panic elsewhere leaves the map whole.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownItems for MemoryItems {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        let items = self.items();
        let known = items.get(source_key)?;
        known.aside.map_or(known.registered, |(_, looks)| looks)
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.items().get(source_key)?.registered
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        let reason = self.items().get(folder).and_then(|known| Some(known.aside?.0));
        reason == Some(QuarantineReason::FolderEmptied)
    }

    fn was_emptied(&self) -> bool {
        self.emptied.load(Ordering::Relaxed)
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        let items = self.items();
        let mut holders = items.iter().filter(|(_, k)| k.document_id.as_ref() == Some(document_id));
        holders.next().map(|(key, _)| key.clone())
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        // The lock is not held while the caller works.
        let items: Vec<_> =
            self.items().iter().map(|(key, known)| (key.clone(), known.registered)).collect();
        items.into_iter().for_each(|(key, registered)| visit(key, registered));
    }
}
