//! A private copy of a database file that costs no disk: reads come from the file, writes stay in memory.
//!
//! redb opens a file for reading only if its last writer closed it. After a crash somebody has to open it for writing
//! so that it is repaired; an offline tool must not, since it may run as another user, on a read-only disk, or on
//! evidence. Here the repair happens in the copy, and the file stays as it was found.

use core::ops::Bound;
use std::collections::BTreeMap;
use std::sync::Mutex;

use redb::{BackendError, StorageBackend};

use crate::backend::Backend;

const PAGE: u64 = 4096;

/// Copy-on-write over a file, by pages of 4 KiB.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: Backend,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    len: u64,
    /// Bytes of the file from here on are not shown: it was cut shorter once.
    file_len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(crate) fn new(file: Backend) -> std::io::Result<Self> {
        let len = StorageBackend::len(&file)?;
        let changes = Changes { len, file_len: len, pages: BTreeMap::new() };
        Ok(Self { file, changes: Mutex::new(changes) })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Changes) -> std::io::Result<T>) -> std::io::Result<T> {
        match self.changes.lock() {
            Ok(mut changes) => work(&mut changes),
            Err(_) => Err(std::io::Error::other("an earlier access to this copy failed")),
        }
    }

    /// One page as it stands in the file, zeros beyond its end.
    fn original(&self, page: u64, file_len: u64) -> std::io::Result<Box<[u8]>> {
        let mut bytes = vec![0; PAGE as usize].into_boxed_slice();
        let start = page.saturating_mul(PAGE);
        let there = file_len.saturating_sub(start).min(PAGE) as usize;
        if there > 0 {
            self.file.read(start, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> std::io::Result<u64> {
        self.with(|changes| Ok(changes.len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.with(|changes| {
            let end = offset.checked_add(out.len() as u64);
            if end.is_none_or(|end| end > changes.len) {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let mut at = offset;
            let mut out = out;
            while !out.is_empty() {
                let inside = (at % PAGE) as usize;
                let take = out.len().min(PAGE as usize - inside);
                let (now, rest) = out.split_at_mut(take);
                if let Some(page) = changes.pages.get(&(at / PAGE)) {
                    now.copy_from_slice(&page[inside..inside + take]);
                } else {
                    let there = changes.file_len.saturating_sub(at).min(take as u64) as usize;
                    self.file.read(at, &mut now[..there])?;
                    now[there..].fill(0);
                }
                at += take as u64;
                out = rest;
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.with(|changes| {
            if len < changes.len {
                changes.file_len = changes.file_len.min(len);
                changes.pages.split_off(&len.div_ceil(PAGE));
                if let Some(page) = changes.pages.get_mut(&(len / PAGE)) {
                    page[(len % PAGE) as usize..].fill(0);
                }
            }
            changes.len = len;
            Ok(())
        })
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.with(|changes| {
            let mut at = offset;
            let mut data = data;
            while !data.is_empty() {
                let inside = (at % PAGE) as usize;
                let take = data.len().min(PAGE as usize - inside);
                let (now, rest) = data.split_at(take);
                let number = at / PAGE;
                let mut page = match changes.pages.remove(&number) {
                    Some(page) => page,
                    None => self.original(number, changes.file_len)?,
                };
                page[inside..inside + take].copy_from_slice(now);
                changes.pages.insert(number, page);
                at += take as u64;
                data = rest;
            }
            Ok(())
        })
    }

    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }

    // The locks are those of the file, so that a running gateway is noticed and none starts meanwhile.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::disk::{Disk, OsDisk};

    #[test]
    fn writes_are_read_back_and_never_reach_the_file() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        let original: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&original).expect("write");
        let backend = OsDisk.open_existing(file.path()).expect("open");
        let copy = Overlay::new(backend.into()).expect("copy");

        copy.write(4090, &[0xff; 20]).expect("write across pages");
        let mut seen = vec![0; 10_000];
        copy.read(0, &mut seen).expect("read");
        let mut wanted = original.clone();
        wanted[4090..4110].fill(0xff);
        assert_eq!(seen, wanted);

        copy.set_len(5000).expect("cut");
        copy.set_len(10_000).expect("grow");
        copy.read(0, &mut seen).expect("read");
        wanted[5000..].fill(0);
        assert_eq!(seen, wanted, "what was cut off does not come back");
        assert!(copy.read(9_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(file.path()).expect("file"), original);
    }
}
