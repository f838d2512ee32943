//! The local systems behind our records, by the name of their adapter.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sundbro_adapters::adapter::Adapter;

/// Finds adapters, and has their sources looked at again.
pub trait Sources: Send + Sync {
    /// The adapter of this name. `None`: the configuration no longer has it.
    fn adapter(&self, name: &str) -> Option<Arc<dyn Adapter>>;

    /// Registers what changed in the adapter's source; ends when that is done. Called when a record is not what was
    /// registered; the caller waits no longer than it has to.
    fn ingest(&self, adapter: &str) -> BoxFuture<'_, ()>;
}

/// Has the sources of one adapter looked at again: what [`SourceSet`] calls.
pub type IngestNow = Box<dyn Fn(&str) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fixed set of adapters.
pub struct SourceSet {
    adapters: BTreeMap<String, Arc<dyn Adapter>>,
    ingest: IngestNow,
}

impl SourceSet {
    /// The adapters of the configuration, and who ingests for them.
    pub fn new(adapters: impl IntoIterator<Item = Arc<dyn Adapter>>, ingest: IngestNow) -> Self {
        let named = |adapter: Arc<dyn Adapter>| (adapter.name().to_owned(), adapter);
        Self { adapters: adapters.into_iter().map(named).collect(), ingest }
    }
}

impl Sources for SourceSet {
    fn adapter(&self, name: &str) -> Option<Arc<dyn Adapter>> {
        self.adapters.get(name).cloned()
    }

    fn ingest(&self, adapter: &str) -> BoxFuture<'_, ()> {
        (self.ingest)(adapter)
    }
}
