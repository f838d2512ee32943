//! A disk in memory, for tests: it counts what is asked of it, fails where it is told to, and forgets at a power cut what
//! was not synced.
//!
//! What it models: bytes that were written and not synced are lost, kept or torn, each write apart; a name is durable
//! once its folder was synced; a sync that fails may have lost for good what it was to write, as on Linux. What it does
//! not: bytes that change by themselves where nobody wrote (a test flips them), and sectors that were never written by
//! us but go with one that was.

mod file;
mod locks;
mod power;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{Builder, Database, DatabaseError, StorageBackend};

use self::file::{FileId, MemoryFile, OpenFile};
use self::power::NameChange;
pub use self::power::{Dice, Unsynced};
use crate::backend::Backend;
use crate::disk::{Disk, NewFile};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing. A sync that fails so has lost what it was to write, and no later one writes it.
    FailBefore,
    /// It fails though it was done.
    FailAfter,
    /// The power goes: what the operation was to write may or may not be there, and nothing after it happens.
    PowerCut,
}

/// One kind of operation; reads are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Bytes of a file.
    Write,
    /// The length of a database file.
    SetLen,
    /// What was written to a file becomes durable.
    Sync,
    /// A new file, or an empty one in place of an old one.
    Create,
    /// A file gets another name.
    Rename,
    /// The names in a folder become durable.
    SyncFolder,
}

/// What a lying disk never syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgets {
    /// Database files.
    Databases,
    /// Files that are written once and renamed.
    NewFiles,
    /// The names in a folder.
    Folders,
}

/// What the disk does wrong all the time, until it is told otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Of what it says that it is durable, and forgets it. For negative controls: no software survives it.
    pub forgets: Option<Forgets>,
    /// Nothing can be written: EROFS.
    pub read_only: bool,
    /// Nothing can be read from database files: EIO.
    pub reads_fail: bool,
    /// How many bytes its files may take; a write of more is ENOSPC. `None`: as many as they want.
    pub capacity: Option<u64>,
    /// How long a sync takes, by [`MemoryDisk::passed`]: nobody waits.
    pub sync_takes: Duration,
}

#[derive(Default)]
struct State {
    /// The names as everybody sees them, and as they are after a power cut.
    names: BTreeMap<PathBuf, FileId>,
    durable_names: BTreeMap<PathBuf, FileId>,
    name_changes: Vec<NameChange>,
    files: BTreeMap<FileId, MemoryFile>,
    handles: u64,
    operations: Vec<(Operation, PathBuf)>,
    fault: Option<(u64, Fault)>,
    habits: Habits,
    passed: Duration,
    /// The power is off.
    off: bool,
}

impl core::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a disk in memory after {} operations", self.operations())
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same disk as something to open a store on.
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations were asked of it.
    pub fn operations(&self) -> u64 {
        self.state().operations.len() as u64
    }

    /// The operation of this number and the file that it was about.
    pub fn operation(&self, number: u64) -> Option<(Operation, PathBuf)> {
        self.state().operations.get(usize::try_from(number).ok()?).cloned()
    }

    /// Lets the operation of this number, counted from 0 since the disk was made, go wrong.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.state().fault = Some((number, fault));
    }

    /// Whether the fault that was asked for has happened.
    pub fn has_failed(&self) -> bool {
        self.state().fault.is_none()
    }

    /// What it does wrong from now on.
    pub fn set_habits(&self, habits: Habits) {
        self.state().habits = habits;
    }

    /// Whether it forgets what it says that it is durable.
    pub fn lies(&self) -> bool {
        self.state().habits.forgets.is_some()
    }

    /// How long its operations took.
    pub fn passed(&self) -> Duration {
        self.state().passed
    }

    /// Bytes of a file as they are seen now. `None`: there is no such file.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.files.get(state.names.get(path)?)?.seen.bytes())
    }

    /// A copy of a database file as redb opens it, repaired where it must be: what a store's rows are, whatever the store
    /// says. `None`: there is no such file.
    pub fn database(&self, path: &Path) -> Option<Result<Database, DatabaseError>> {
        let copy = self.after_power_cut(Unsynced::Kept);
        let file = copy.open_existing(path).ok()?;
        Some(Builder::new().create_with_backend(Backend::from(file)))
    }

    /// Turns one bit of a file over, on the disk and under every handle.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn flip(&self, path: &Path, bit: u64) {
        let mut state = self.state();
        let id = *state.names.get(path).expect("the file is there");
        state.files.get_mut(&id).expect("a name leads to a file").flip(bit);
    }

    /// How many bytes its files take.
    pub fn used(&self) -> u64 {
        self.state().used()
    }
}

impl State {
    fn used(&self) -> u64 {
        self.files.values().map(|file| file.seen.allocated()).sum()
    }

    /// Counts an operation and lets it go wrong if it must; `work` is what it does when it does not.
    fn operate<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        work: impl FnOnce(&mut Self, Option<Fault>) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        let number = self.operations.len() as u64;
        self.operations.push((operation, path.to_owned()));
        if self.habits.read_only {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        let fault = self.fault.take_if(|(at, _)| *at == number).map(|(_, fault)| fault);
        match fault {
            None => work(self, None),
            Some(Fault::FailBefore) => {
                if operation == Operation::Sync {
                    work(self, fault)?;
                }
                Err(io::Error::other("the disk failed"))
            }
            Some(Fault::FailAfter) => {
                work(self, fault)?;
                Err(io::Error::other("the disk failed"))
            }
            Some(Fault::PowerCut) => {
                // What it was to write is among the bytes that may be lost.
                if !matches!(operation, Operation::Sync | Operation::SyncFolder) {
                    work(self, fault)?;
                }
                self.off = true;
                Err(io::Error::other("the power is off"))
            }
        }
    }

    /// Makes an empty file of this name, unless one is there and may stay as it is.
    fn create(&mut self, path: &Path, keep: bool) -> FileId {
        if let Some(id) = self.names.get(path) {
            if let Some(file) = self.files.get_mut(id).filter(|_| !keep) {
                file.set_len(0);
            }
            return *id;
        }
        let id = FileId(self.files.len() as u64);
        self.files.insert(id, MemoryFile::default());
        self.names.insert(path.to_owned(), id);
        self.name_changes.push(NameChange::Create { path: path.to_owned(), id });
        id
    }

    fn file(&mut self, id: FileId) -> io::Result<&mut MemoryFile> {
        self.files.get_mut(&id).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn write(&mut self, id: FileId, offset: u64, data: &[u8]) -> io::Result<()> {
        let grows = self.file(id)?.seen.growth(offset, data.len());
        if self.habits.capacity.is_some_and(|capacity| self.used() + grows > capacity) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.file(id)?.write(offset, data);
        Ok(())
    }

    fn sync(&mut self, id: FileId, fault: Option<Fault>, of: Forgets) -> io::Result<()> {
        self.passed += self.habits.sync_takes;
        let lies = self.habits.forgets == Some(of);
        let file = self.file(id)?;
        match fault {
            Some(Fault::FailBefore) => file.give_up(),
            _ if lies => {}
            _ => file.sync(),
        }
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state();
        if !state.names.contains_key(path) {
            state.operate(Operation::Create, path, |state, _| Ok(state.create(path, true)))?;
        }
        drop(state);
        self.open_existing(path)
    }

    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let mut state = self.state();
        let id = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        state.handles += 1;
        let handle = state.handles;
        Ok(Box::new(OpenFile { disk: self.clone(), path: path.to_owned(), id, handle }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let id = self
            .state()
            .operate(Operation::Create, path, |state, _| Ok(state.create(path, false)))?;
        Ok(Box::new(Draft { disk: self.clone(), path: path.to_owned(), id, len: 0 }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.state().operate(Operation::Rename, to, |state, _| {
            let id = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), id);
            let (from, to) = (from.to_owned(), to.to_owned());
            state.name_changes.push(NameChange::Rename { from, to, id });
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().operate(Operation::SyncFolder, folder, |state, fault| {
            let lies = state.habits.forgets == Some(Forgets::Folders);
            if fault != Some(Fault::FailBefore) && !lies {
                state.sync_names(folder);
            }
            Ok(())
        })
    }

    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = self.contents(path).ok_or(ErrorKind::NotFound)?;
        bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let state = self.state();
        let file = state.names.get(path).and_then(|id| state.files.get(id));
        Ok(file.ok_or(ErrorKind::NotFound)?.seen.len)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let state = self.state();
        let capacity = state.habits.capacity.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(state.used()))
    }
}

/// A file that is being written from its beginning.
struct Draft {
    disk: MemoryDisk,
    path: PathBuf,
    id: FileId,
    len: u64,
}

impl Write for Draft {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let (id, offset) = (self.id, self.len);
        self.disk
            .state()
            .operate(Operation::Write, &self.path, |state, _| state.write(id, offset, data))?;
        self.len += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for Draft {
    fn sync(&mut self) -> io::Result<()> {
        let id = self.id;
        self.disk.state().operate(Operation::Sync, &self.path, |state, fault| {
            state.sync(id, fault, Forgets::NewFiles)
        })
    }
}
