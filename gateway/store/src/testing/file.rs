//! One file of the disk in memory: its bytes as they are seen, as they are durable, and what lies between.

use core::ops::Bound;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use redb::{BackendError, StorageBackend};

use super::locks::{Locks, Range};
use super::{Forgets, MemoryDisk, Operation};

/// Bytes that are kept together; what was never written takes no room.
const PAGE: u64 = 4096;

type Page = [u8; PAGE as usize];

/// Names a file whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u64);

/// The bytes of a file at one moment; a copy costs as much as its list of pages.
#[derive(Clone, Default)]
pub(super) struct Image {
    pub(super) len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Image {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    /// Fills `out`; what nobody wrote is zeros.
    fn read(&self, offset: u64, out: &mut [u8]) {
        for (page, inside, part) in parts(offset, out.len()) {
            let out = &mut out[part.clone()];
            match self.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[inside..inside + part.len()]),
                None => out.fill(0),
            }
        }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        for (page, inside, part) in parts(offset, data.len()) {
            let bytes = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE as usize]));
            Arc::make_mut(bytes)[inside..inside + part.len()].copy_from_slice(&data[part]);
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            if let Some(page) = self.pages.get_mut(&(len / PAGE)) {
                Arc::make_mut(page)[(len % PAGE) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    /// How many bytes of disk it takes.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// How many more it would take after a write.
    pub(super) fn growth(&self, offset: u64, len: usize) -> u64 {
        parts(offset, len).filter(|(page, ..)| !self.pages.contains_key(page)).count() as u64 * PAGE
    }
}

/// The pages that a range of bytes lies in: page, offset in it, and which part of the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, core::ops::Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = (at % PAGE) as usize;
        let take = (PAGE as usize - inside).min(len - done);
        let part = done..done + take;
        done += take;
        (take > 0).then_some((at / PAGE, inside, part))
    })
}

/// Something that is seen and not durable yet.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, data: Arc<[u8]> },
    SetLen(u64),
}

impl Change {
    pub(super) fn apply(&self, image: &mut Image) {
        match self {
            Self::Write { offset, data } => image.write(*offset, data),
            Self::SetLen(len) => image.set_len(*len),
        }
    }
}

/// A file, whatever it is called.
#[derive(Clone, Default)]
pub(super) struct MemoryFile {
    pub(super) seen: Image,
    pub(super) durable: Image,
    /// In the order in which they were made; `true`: a sync that failed has lost it.
    pub(super) changes: Vec<(Change, bool)>,
    locks: Locks,
}

impl MemoryFile {
    /// A file that has these bytes for good, and that nobody has open.
    pub(super) fn durable(image: Image) -> Self {
        Self { seen: image.clone(), durable: image, ..Self::default() }
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.change(Change::Write { offset, data: data.into() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::SetLen(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push((change, false));
    }

    pub(super) fn sync(&mut self) {
        for (change, _) in self.changes.extract_if(.., |(_, lost)| !*lost) {
            change.apply(&mut self.durable);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.changes.iter_mut().for_each(|(_, lost)| *lost = true);
    }

    pub(super) fn flip(&mut self, bit: u64) {
        for image in [&mut self.seen, &mut self.durable] {
            let mut byte = [0];
            image.read(bit / 8, &mut byte);
            image.write(bit / 8, &[byte[0] ^ (1 << (bit % 8))]);
        }
    }
}

/// A database file as redb has it open.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) disk: MemoryDisk,
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) handle: u64,
}

impl OpenFile {
    fn locks<T>(&self, work: impl FnOnce(&mut Locks, u64) -> T) -> Result<T, BackendError> {
        let mut state = self.disk.state();
        let file = state.file(self.id).map_err(BackendError::Io)?;
        Ok(work(&mut file.locks, self.handle))
    }

    /// The tests that use this disk have one thread for each file, so whoever waited would wait for ever.
    fn lock_now(&self, range: Range, shared: bool) -> Result<(), BackendError> {
        if self.locks(|locks, handle| locks.take(handle, range, shared))? {
            Ok(())
        } else {
            Err(BackendError::Io(ErrorKind::WouldBlock.into()))
        }
    }
}

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().file(self.id)?.seen.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.off || state.habits.reads_fail {
            return Err(io::Error::other("the disk cannot be read"));
        }
        let file = state.file(self.id)?;
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > file.seen.len) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.seen.read(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.state().operate(Operation::SetLen, &self.path, |state, _| {
            state.file(self.id)?.set_len(len);
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(Operation::Sync, &self.path, |state, fault| {
            state.sync(self.id, fault, Forgets::Databases)
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate(Operation::Write, &self.path, |state, _| state.write(self.id, offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.locks(Locks::release_all).map_err(io::Error::other)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks(|locks, handle| locks.take(handle, (start, end), false))
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.locks(|locks, handle| locks.take(handle, (start, end), true))
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock_now((start, end), false)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.lock_now((start, end), true)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks(|locks, handle| locks.release(handle, (start, end)))
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks(|locks, handle| locks.would_wait(handle, (start, end)))
    }
}
