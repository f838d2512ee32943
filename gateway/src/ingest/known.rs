//! What is already known of a source, as its adapter asks it: from the locators, and from what this process has seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_adapters::{
    Adapter, DocumentIdDigest, Fingerprint, FoundDocument, KnownItems, Quarantined, SourceKey,
};
use sundbro_store::Store;

/// Locators read in one step.
const PAGE: usize = 1024;

/// What this process has seen of a source and tables do not keep.
#[derive(Default)]
pub(super) struct SeenItems {
    /// Items that are set aside, and what they looked like: not read again until that changes.
    aside: HashMap<SourceKey, Fingerprint>,
    /// Who holds a document id.
    holders: HashMap<DocumentIdDigest, SourceKey>,
}

impl SeenItems {
    pub(super) fn remember(&mut self, found: &FoundDocument) {
        self.aside.remove(&found.source_key);
        if let Some(id) = &found.document_id {
            self.holders.entry(id.digest()).or_insert_with(|| found.source_key.clone());
        }
    }

    pub(super) fn forget(&mut self, key: &SourceKey) {
        self.aside.remove(key);
        self.holders.retain(|_, holder| holder != key);
    }

    pub(super) fn set_aside(&mut self, item: &Quarantined) {
        match item.fingerprint {
            Some(fingerprint) => self.aside.insert(item.source_key.clone(), fingerprint),
            None => self.aside.remove(&item.source_key),
        };
    }
}

/// The answers to one adapter's questions.
pub(super) struct Known {
    store: Arc<Store>,
    adapter: Arc<dyn Adapter>,
    seen: Arc<Mutex<SeenItems>>,
    /// Everything is read again: it was last read in another way.
    read_again: bool,
}

impl Known {
    pub(super) fn new(
        store: Arc<Store>,
        adapter: Arc<dyn Adapter>,
        seen: Arc<Mutex<SeenItems>>,
        read_again: bool,
    ) -> Self {
        Self { store, adapter, seen, read_again }
    }

    fn seen(&self) -> MutexGuard<'_, SeenItems> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownItems for Known {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        if self.read_again {
            return None;
        }
        if let Some(aside) = self.seen().aside.get(source_key) {
            return Some(*aside);
        }
        let locator = self.store.locator(self.adapter.name(), source_key.as_bytes()).ok()??;
        let bytes = <&[u8; Fingerprint::LEN]>::try_from(&locator.fingerprint[..]).ok()?;
        locator.live.then(|| Fingerprint::from_bytes(bytes))
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        self.seen().holders.get(document_id).cloned()
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey)) {
        let aside: Vec<SourceKey> = self.seen().aside.keys().cloned().collect();
        aside.into_iter().for_each(&mut *visit);
        let mut after: Option<Vec<u8>> = None;
        // A store that fails answers as though it knew nothing more.
        while let Ok(page) = self.store.locators(self.adapter.name(), after.as_deref(), PAGE) {
            let Some(last) = page.last() else { return };
            after = Some(last.source_key.clone());
            for locator in page.into_iter().filter(|locator| locator.live) {
                visit(SourceKey::from_bytes(locator.source_key));
            }
        }
    }
}
