//! Hands a database file of any disk to redb, which asks for a type of its own.

use core::ops::Bound;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

/// A file as [`Disk`](crate::disk::Disk) opened it.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) file: Box<dyn StorageBackend>,
    /// Set when the disk fails: from then on redb refuses this handle.
    pub(crate) failed: Arc<AtomicBool>,
}

impl From<Box<dyn StorageBackend>> for Backend {
    fn from(file: Box<dyn StorageBackend>) -> Self {
        Self { file, failed: Arc::default() }
    }
}

impl Backend {
    fn noting<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

type Locked<T> = Result<T, BackendError>;

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.noting(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noting(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.noting(self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.noting(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.noting(self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.query_lock_range(start, end)
    }
}
