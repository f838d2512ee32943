//! Counts what only an operator looks at: why items of an adapter wait in quarantine, and how large the files are.

use std::collections::BTreeMap;

use crate::database::{misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::locators::{Quarantined, adapter_prefix};
use crate::store::Store;
use crate::tables::{QUARANTINE, StoreFile};

impl Store {
    /// How many items of an adapter are in quarantine, by reason. Reads each of them.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn quarantine_reasons(&self, adapter: &str) -> Result<BTreeMap<String, u64>, StoreError> {
        let prefix = adapter_prefix(adapter);
        let end = prefix_end(&prefix);
        let mut reasons = BTreeMap::new();
        let view = self.ledger.read()?;
        walk(&view.table(&QUARANTINE)?, &QUARANTINE, &prefix[..]..&end[..], |key, value| {
            let item = Quarantined::from_body(opened(&QUARANTINE, key, value)?);
            let item = item.map_err(|problem| misfit(&QUARANTINE, problem))?;
            *reasons.entry(item.reason).or_insert(0) += 1;
            Ok(true)
        })?;
        Ok(reasons)
    }

    /// How many bytes a file has on disk. `None`: it cannot be looked at.
    pub fn file_bytes(&self, file: StoreFile) -> Option<u64> {
        let path = match file {
            StoreFile::Gate => self.own().gate_path.clone(),
            _ => self.dir().join(file.name()),
        };
        self.disk.len(&path).ok()
    }
}
