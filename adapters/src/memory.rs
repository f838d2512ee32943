//! What is known of a source, in memory: for tests, tools and the conformance kit. A gateway keeps it in its store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::adapter::{Change, KnownItems};
use crate::item::{DocumentIdDigest, Fingerprint, SourceKey};

/// The items taken so far.
#[derive(Debug, Default)]
pub struct MemoryItems(Mutex<BTreeMap<SourceKey, Known>>);

#[derive(Debug)]
struct Known {
    fingerprint: Option<Fingerprint>,
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
                let known = Known { fingerprint: Some(found.fingerprint), document_id };
                items.insert(found.source_key.clone(), known);
            }
            Change::Gone { source_key } => {
                items.remove(source_key);
            }
            Change::Quarantined(item) if item.reason.is_passing() => {
                // An earlier version stays as it was; a new item is remembered so that its going is noticed.
                items
                    .entry(item.source_key.clone())
                    .or_insert(Known { fingerprint: item.fingerprint, document_id: None });
            }
            Change::Quarantined(item) => {
                let known = Known { fingerprint: item.fingerprint, document_id: None };
                items.insert(item.source_key.clone(), known);
            }
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownItems for MemoryItems {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.items().get(source_key).and_then(|known| known.fingerprint)
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        let items = self.items();
        let mut holders = items.iter().filter(|(_, k)| k.document_id.as_ref() == Some(document_id));
        holders.next().map(|(key, _)| key.clone())
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey)) {
        // The lock is not held while the caller works.
        let keys: Vec<SourceKey> = self.items().keys().cloned().collect();
        keys.into_iter().for_each(visit);
    }
}
