//! The database file of a running gateway: opened anew by itself after its disk failed.
//!
//! redb takes nothing more from a file that failed once, so a disk that was full or unreachable for a moment would cost
//! a restart. What was committed before is as it was, and the transaction that failed is old or new, as after a crash:
//! that is what the one who opens the file next finds out, whether it is the next process or this one.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{
    Builder, ConcurrencyMode, Database, ReadTransaction, ReadableDatabase, StorageBackend,
    WriteTransaction,
};

use crate::backend::Backend;
use crate::database::{open_result, quietly};
use crate::disk::Disk;
use crate::error::{InFile, OpenError, StoreError};
use crate::tables::StoreFile;

/// A file whose one writer we are.
pub(crate) struct LiveFile {
    disk: Arc<dyn Disk>,
    file: StoreFile,
    path: PathBuf,
    cache_bytes: usize,
    /// Something that was asked of the disk failed since the file was opened.
    failed: Arc<AtomicBool>,
    /// `None`: it failed and could not be opened again yet.
    database: RwLock<Option<Arc<Database>>>,
}

impl LiveFile {
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        file: StoreFile,
        path: &Path,
        cache_bytes: usize,
    ) -> Result<Self, OpenError> {
        let failed = Arc::new(AtomicBool::new(false));
        let database = open_writer(disk.open(path), path, cache_bytes, &failed)?;
        let (disk, path) = (disk.clone(), path.to_owned());
        let database = RwLock::new(Some(Arc::new(database)));
        Ok(Self { disk, file, path, cache_bytes, failed, database })
    }

    /// The file has another name now.
    pub(crate) fn renamed(&mut self, path: &Path) {
        self.path = path.to_owned();
    }

    pub(crate) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.database()?.begin_read().in_file(self.file)
    }

    /// Waits for the write before.
    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.database()?.begin_write().in_file(self.file)
    }

    /// The database, whose lock is not held while anybody waits for a transaction.
    fn database(&self) -> Result<Arc<Database>, StoreError> {
        if !self.failed.load(Ordering::Acquire) {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(database) = database {
                return Ok(database);
            }
        }
        self.open_again()
    }

    fn open_again(&self) -> Result<Arc<Database>, StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            // Somebody else was first.
            Some(database) if !self.failed.load(Ordering::Acquire) => return Ok(database.clone()),
            _ => {}
        }
        // Its locks go with it, once whoever is still in a transaction has ended that.
        drop(quietly(|| drop(database.take())));
        self.failed.store(false, Ordering::Release);
        // One that is gone by now is not made anew: an empty ledger would be signed on from position 0.
        let there = self.disk.open_existing(&self.path);
        let opened = open_writer(there, &self.path, self.cache_bytes, &self.failed);
        let opened = opened.map_err(|source| StoreError::OpenAgain {
            file: self.file,
            source: Box::new(source),
        })?;
        tracing::warn!(file = %self.file, "the disk failed, and the file was opened again");
        Ok(database.insert(Arc::new(opened)).clone())
    }
}

fn open_writer(
    file: io::Result<Box<dyn StorageBackend>>,
    path: &Path,
    cache_bytes: usize,
    failed: &Arc<AtomicBool>,
) -> Result<Database, OpenError> {
    let file = file.map_err(|source| OpenError::Io {
        path: path.to_owned(),
        cure: "the gateway's user must be able to read and write it",
        source,
    })?;
    let opened = quietly(|| {
        Builder::new()
            .set_concurrency_mode(ConcurrencyMode::SingleWriter)
            .set_cache_size(cache_bytes)
            .create_with_backend(Backend { file, failed: failed.clone() })
    });
    open_result(opened, path)
}
