//! What is already known of a source, as its adapter asks it: from the tables, and from what this process has seen.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_adapters::{
    Adapter, DocumentIdDigest, Fingerprint, FoundDocument, KnownItems, SourceKey,
};
use sundbro_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

/// Locators read in one step.
const PAGE: usize = 1024;

/// What is asked of a source's items so often, or in such a way, that tables do not answer it.
#[derive(Default)]
pub(super) struct SeenItems {
    /// Items that are in quarantine, and what they looked like: not read again until that changes. `None`: read again
    /// in each pass, because the reason is passing or because this process has not read them yet.
    aside: HashMap<SourceKey, Option<Fingerprint>>,
    /// Who holds a document id. A renamed item and its old name hold it together for a moment.
    holders: BTreeSet<(DocumentIdDigest, SourceKey)>,
    /// The document id that an item holds: the way back.
    held: HashMap<SourceKey, DocumentIdDigest>,
}

impl SeenItems {
    /// What the tables have of one adapter's items. Blocking.
    ///
    /// # Errors
    /// When our own disk fails.
    pub(super) fn load(store: &Store, adapter: &str) -> Result<Self, StoreError> {
        let mut seen = Self::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.quarantined_keys(adapter, after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.aside.extend(page.into_iter().map(|key| (SourceKey::from_bytes(key), None)));
        }
        after = None;
        loop {
            let page = store.locators(adapter, after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { return Ok(seen) };
            after = Some(last.source_key.clone());
            for locator in page.into_iter().filter(|locator| locator.live) {
                if let Some(id) = locator.document_id {
                    seen.hold(id, SourceKey::from_bytes(locator.source_key));
                }
            }
        }
    }

    pub(super) fn remember(&mut self, found: &FoundDocument) {
        self.forget(&found.source_key);
        if let Some(id) = &found.document_id {
            self.hold(id.digest(), found.source_key.clone());
        }
    }

    pub(super) fn forget(&mut self, key: &SourceKey) {
        self.aside.remove(key);
        if let Some(id) = self.held.remove(key) {
            self.holders.remove(&(id, key.clone()));
        }
    }

    pub(super) fn set_aside(&mut self, key: SourceKey, looks: Option<Fingerprint>) {
        self.aside.insert(key, looks);
    }

    fn hold(&mut self, id: DocumentIdDigest, key: SourceKey) {
        self.holders.insert((id, key.clone()));
        self.held.insert(key, id);
    }
}

/// The answers to one adapter's questions.
pub(super) struct Known {
    store: Arc<Store>,
    adapter: Arc<dyn Adapter>,
    seen: Arc<Mutex<SeenItems>>,
    /// The gateway's.
    stop: CancellationToken,
    /// Everything is read again: it was last read in another way.
    read_again: bool,
}

impl Known {
    pub(super) fn new(
        store: Arc<Store>,
        adapter: Arc<dyn Adapter>,
        seen: Arc<Mutex<SeenItems>>,
        stop: CancellationToken,
        read_again: bool,
    ) -> Self {
        Self { store, adapter, seen, stop, read_again }
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
            return *aside;
        }
        let locator = self.store.locator(self.adapter.name(), source_key.as_bytes()).ok()??;
        let bytes = <&[u8; Fingerprint::LEN]>::try_from(&locator.fingerprint[..]).ok()?;
        locator.live.then(|| Fingerprint::from_bytes(bytes))
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        let seen = self.seen();
        let from = (*document_id, SourceKey::from_bytes(Vec::new()));
        let (id, holder) = seen.holders.range(from..).next()?;
        (id == document_id).then(|| holder.clone())
    }

    fn should_stop(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey)) {
        let aside: HashSet<SourceKey> = self.seen().aside.keys().cloned().collect();
        aside.iter().cloned().for_each(&mut *visit);
        let mut after: Option<Vec<u8>> = None;
        // A store that fails answers as though it knew nothing more.
        while let Ok(page) = self.store.locators(self.adapter.name(), after.as_deref(), PAGE) {
            let Some(last) = page.last() else { return };
            after = Some(last.source_key.clone());
            for locator in page.into_iter().filter(|locator| locator.live) {
                let key = SourceKey::from_bytes(locator.source_key);
                // In quarantine for a passing reason, and registered as it was before.
                if !aside.contains(&key) {
                    visit(key);
                }
            }
        }
    }
}
