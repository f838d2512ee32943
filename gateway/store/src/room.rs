//! How much of the disk is kept back: what grows the store is refused before the disk is full, and goes on by itself once
//! there is room.
//!
//! A file that cannot grow fails in the middle of a commit, and the audit log on the same disk fails with it: then nothing
//! is served. So own entries, replicas and payloads are refused while less than the reserve is free. What must go on uses
//! the reserve: the audit log, without which nothing is served; charters and states of logs, which say what is valid; the
//! index, which follows what is stored already.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::error::StoreError;
use crate::store::Store;

/// How many bytes are kept free unless [`Store::set_reserve`] says otherwise: some days of audit entries, and room for the
/// copies of pages that a commit makes.
pub const RESERVE_BYTES: u64 = 64 << 20;

/// What is kept back now.
pub(crate) struct Reserve(AtomicU64);

impl Default for Reserve {
    fn default() -> Self {
        Self(AtomicU64::new(RESERVE_BYTES))
    }
}

/// How full the disk of the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many bytes are free for the gateway's user.
    pub free: u64,
    /// How many of them are kept back.
    pub reserve: u64,
}

impl Room {
    /// Whether what grows the store is refused.
    pub fn is_full(&self) -> bool {
        self.free < self.reserve
    }
}

impl Store {
    /// Keeps this many bytes free from now on. 0: nothing is kept back.
    pub fn set_reserve(&self, bytes: u64) {
        self.reserve.0.store(bytes, Ordering::Relaxed);
    }

    /// How full the disk is. `None`: it does not say.
    pub fn room(&self) -> Option<Room> {
        // One question to the operating system takes a microsecond, and the commit that follows a thousand of them; so
        // nothing is remembered, and room that somebody makes is seen at once.
        let free = self.disk.free_bytes(self.dir()).ok()?;
        Some(Room { free, reserve: self.reserve.0.load(Ordering::Relaxed) })
    }

    /// Refuses what grows the store while the disk is full. A disk that does not say how full it is refuses by itself.
    pub(crate) fn want_room(&self) -> Result<(), StoreError> {
        match self.room() {
            Some(Room { free, reserve }) if free < reserve => {
                Err(StoreError::DiskFull { path: self.dir().to_owned(), free, reserve })
            }
            _ => Ok(()),
        }
    }
}
