//! What is already known of a source, as its adapter asks it: from the tables, and from what this process has seen. What
//! waits in the outbox is known as what is registered is.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sundbro_adapters::{
    Adapter, DocumentIdDigest, Fingerprint, FoundDocument, KnownItems, QuarantineReason,
    ShortDigest, SourceKey,
};
use sundbro_store::{Locator, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::notes::Notes;

/// Locators read in one step.
const PAGE: usize = 1024;

/// What is asked of a source's items so often, or in such a way, that tables do not answer it.
#[derive(Default)]
pub(super) struct SeenItems {
    aside: HashMap<SourceKey, Aside>,
    /// While everything is read again: the items that were, in 16 bytes each.
    read: Option<HashSet<ShortDigest>>,
    /// Who holds a document id. A renamed item and its old name hold it together for a moment.
    holders: BTreeSet<(DocumentIdDigest, SourceKey)>,
    /// The document id that an item holds: the way back.
    held: HashMap<SourceKey, DocumentIdDigest>,
}

/// An item in quarantine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Aside {
    /// What it looked like: it is not read again until that changes. `None`: read again in each pass, because the reason
    /// is passing or because this process has not read it yet.
    pub looks: Option<Fingerprint>,
    /// Why; `None`: for a reason that this version does not give.
    pub reason: Option<QuarantineReason>,
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
            let page = store.quarantined_of(adapter, after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.source_key.clone());
            seen.aside.extend(page.into_iter().map(|item| {
                let reason = QuarantineReason::from_code(&item.reason);
                (SourceKey::from_bytes(item.source_key), Aside { looks: None, reason })
            }));
        }
        after = None;
        loop {
            let page = store.locators_ahead(adapter, after.as_deref(), PAGE)?;
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

    pub(super) fn set_aside(&mut self, key: SourceKey, aside: Aside) {
        self.aside.insert(key, aside);
    }

    pub(super) fn aside(&self, key: &SourceKey) -> Option<Aside> {
        self.aside.get(key).copied()
    }

    /// Whatever is in quarantine is looked at again.
    pub(super) fn look_at_all_again(&mut self) {
        self.aside.values_mut().for_each(|aside| aside.looks = None);
    }

    /// A pass begins that reads everything again, but what passes before it have; or one that does not.
    pub(super) fn read_again(&mut self, again: bool) {
        match again {
            true => drop(self.read.get_or_insert_default()),
            false => self.read = None,
        }
    }

    /// An item was read, and what became of it is durable.
    pub(super) fn was_read(&mut self, key: &SourceKey) {
        if let Some(read) = &mut self.read {
            read.insert(key.short_digest());
        }
    }

    /// Whether an item is to be read, however it looks.
    fn is_to_be_read(&self, key: &SourceKey) -> bool {
        self.read.as_ref().is_some_and(|read| !read.contains(&key.short_digest()))
    }

    fn hold(&mut self, id: DocumentIdDigest, key: SourceKey) {
        self.holders.insert((id, key.clone()));
        self.held.insert(key, id);
    }
}

/// The answers to one adapter's questions.
pub(super) struct Known {
    pub store: Arc<Store>,
    pub adapter: Arc<dyn Adapter>,
    pub seen: Arc<Mutex<SeenItems>>,
    pub notes: Notes,
    /// The gateway's.
    pub stop: CancellationToken,
}

impl Known {
    fn seen(&self) -> MutexGuard<'_, SeenItems> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownItems for Known {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        let (aside, is_to_be_read) = {
            let seen = self.seen();
            (seen.aside(source_key), seen.is_to_be_read(source_key))
        };
        if is_to_be_read {
            return None;
        }
        match aside {
            Some(aside) => aside.looks,
            None => self.registered(source_key),
        }
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        looks(&self.store.locator_ahead(self.adapter.name(), source_key.as_bytes()).ok()??)
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        let reason = self.seen().aside(folder).and_then(|aside| aside.reason);
        reason == Some(QuarantineReason::FolderEmptied)
    }

    fn was_emptied(&self) -> bool {
        self.notes.was_emptied()
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

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        let aside: HashSet<SourceKey> = self.seen().aside.keys().cloned().collect();
        for key in &aside {
            visit(key.clone(), self.registered(key));
        }
        let mut after: Option<Vec<u8>> = None;
        // A store that fails answers as though it knew nothing more.
        while let Ok(page) = self.store.locators_ahead(self.adapter.name(), after.as_deref(), PAGE)
        {
            let Some(last) = page.last() else { return };
            after = Some(last.source_key.clone());
            for locator in page.into_iter().filter(|locator| locator.live) {
                let looks = looks(&locator);
                let key = SourceKey::from_bytes(locator.source_key);
                // In quarantine for a passing reason, and registered as it was before.
                if !aside.contains(&key) {
                    visit(key, looks);
                }
            }
        }
    }
}

/// What a live item looked like when it was registered.
fn looks(locator: &Locator) -> Option<Fingerprint> {
    let bytes = <&[u8; Fingerprint::LEN]>::try_from(&locator.fingerprint[..]).ok()?;
    locator.live.then(|| Fingerprint::from_bytes(bytes))
}
