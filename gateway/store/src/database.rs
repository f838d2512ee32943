//! One redb file: how it is opened, by whom, and the two views through which rows are read and written.
//!
//! Commits are two-phase with quick repair: a crash at any moment leaves the old or the new state, and opening after
//! it takes milliseconds. Single-writer mode lets other processes read beside a running gateway.

use core::cell::Cell;
use core::ops::Range;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use redb::backends::FileBackend;
use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, Durability, ReadOnlyDatabase, ReadOnlyTable,
    ReadTransaction, ReadableDatabase, ReadableTable, StorageError, WriteTransaction,
};

use crate::backend::Backend;
use crate::disk::{Disk, folder_of};
use crate::error::{Damage, InFile, OpenError, StoreError, has_no_space};
use crate::live::LiveFile;
use crate::overlay::Overlay;
use crate::row::{Reader, RowProblem, Writer, seal, unseal};
use crate::tables::{self, SCHEMA_VERSION, StoreFile, Table};

/// Key of the schema version in the meta table of each file.
pub(crate) const META_SCHEMA: &[u8] = &[0];
/// Key of the identity in the meta table of the ledger.
pub(crate) const META_IDENTITY: &[u8] = &[1];
/// Key of what is counted of the outbox in the meta table of the ledger.
pub(crate) const META_OUTBOX: &[u8] = &[2];
/// Key of the branch that our own log left in the meta table of the ledger.
pub(crate) const META_LEFT: &[u8] = &[3];
/// Key of the mark in the meta table of the payloads.
pub(crate) const META_MARK: &[u8] = &[1];
/// Key of what the rows stand on in the meta table of the index.
pub(crate) const META_BASIS: &[u8] = &[1];

/// From the first key to beyond the last: no key of ours is as long.
pub(crate) const ALL_KEYS: Range<&'static [u8]> = Range { start: &[], end: &[0xff; 80] };

type Bytes = &'static [u8];

/// One open file.
pub(crate) struct Db {
    pub(crate) file: StoreFile,
    inner: Inner,
}

enum Inner {
    /// We are its one writer.
    Writer(LiveFile),
    /// Another process may be its writer.
    Reader(ReadOnlyDatabase),
    /// Nobody has it open; changes go to memory and are forgotten.
    Copy(Database),
    /// Ours alone, and gone when it is dropped: nothing in it needs to survive.
    Temporary(Database),
}

impl Db {
    /// Opens or creates a file for writing.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        file: StoreFile,
        cache_bytes: usize,
    ) -> Result<Self, OpenError> {
        let path = dir.join(file.name());
        let io =
            |source| OpenError::Io { path: dir.join(file.name()), cure: "check the disk", source };
        let is_there = || !disk.len(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let mut made = None;
        if !is_there() {
            made = Some(Self::make(disk, &path, file, cache_bytes)?);
        }
        // The draft is locked from its first byte on, so two first starts at once make one file: whoever comes second
        // finds the draft locked, or the file there.
        let made = made.filter(|_| !is_there());
        let db = match made {
            Some((mut db, draft)) => {
                disk.rename(&draft, &path).map_err(io)?;
                if let Inner::Writer(live) = &mut db.inner {
                    live.renamed(&path);
                }
                db
            }
            None => Self::prepared(LiveFile::open(disk, file, &path, cache_bytes)?, file, &path)?,
        };
        // Also of a file that was there: the start that made it may have failed at this very step.
        disk.sync_folder(&folder_of(&path)).map_err(io)?;
        Ok(db)
    }

    /// Makes a new file under another name, which it has until it is whole: redb takes one whose making was cut short for
    /// one that is damaged.
    fn make(
        disk: &Arc<dyn Disk>,
        path: &Path,
        file: StoreFile,
        cache_bytes: usize,
    ) -> Result<(Self, PathBuf), OpenError> {
        let draft = path.with_extension("redb.new");
        let mut opened = LiveFile::open(disk, file, &draft, cache_bytes);
        if matches!(opened, Err(OpenError::Damaged { .. })) {
            // What an earlier start left of it.
            drop(disk.create(&draft).map_err(|source| OpenError::Io {
                path: draft.clone(),
                cure: "the gateway's user must be able to write it",
                source,
            })?);
            opened = LiveFile::open(disk, file, &draft, cache_bytes);
        }
        Ok((Self::prepared(opened?, file, &draft)?, draft))
    }

    /// A file whose tables are there.
    fn prepared(live: LiveFile, file: StoreFile, path: &Path) -> Result<Self, OpenError> {
        let db = Self { file, inner: Inner::Writer(live) };
        quietly(|| db.prepare(path)).unwrap_or_else(|problem| Err(damaged(path, problem)))?;
        Ok(db)
    }

    /// Makes a database of this kind that is gone when it is dropped: to fold into and compare with.
    pub(crate) fn temporary(file: StoreFile) -> Result<Self, OpenError> {
        let path = std::env::temp_dir();
        let io = |source| OpenError::Io {
            path: path.clone(),
            cure: "set TMPDIR to a folder with room",
            source,
        };
        let backend = FileBackend::new(tempfile::tempfile().map_err(io)?)
            .map_err(|error| StoreError::Database { file, source: Box::new(error.into()) })?;
        let database =
            Builder::new().set_cache_size(8 << 20).create_with_backend(backend).in_file(file)?;
        let db = Self { file, inner: Inner::Temporary(database) };
        let write = db.begin()?;
        write.create_tables()?;
        write.commit()?;
        Ok(db)
    }

    /// Opens a file to read, without changing it: beside a running gateway, or a private copy of what one left behind.
    ///
    /// The second value says whether a gateway is running.
    pub(crate) fn open_offline(
        disk: &dyn Disk,
        dir: &Path,
        file: StoreFile,
    ) -> Result<(Self, bool), OpenError> {
        let path = dir.join(file.name());
        let opened = quietly(|| {
            Builder::new().set_cache_size(16 << 20).create_with_backend(private_copy(disk, &path)?)
        });
        let (inner, live) = match opened {
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
                let opened = quietly(|| {
                    Builder::new()
                        .set_concurrency_mode(ConcurrencyMode::SingleWriter)
                        .set_cache_size(16 << 20)
                        .open_read_only_with_backend(existing(disk, &path)?)
                });
                (Inner::Reader(open_result(opened, &path)?), true)
            }
            opened => (Inner::Copy(open_result(opened, &path)?), false),
        };
        let db = Self { file, inner };
        quietly(|| db.check_schema(&path))
            .unwrap_or_else(|problem| Err(damaged(&path, problem)))?;
        Ok((db, live))
    }

    /// Checks redb's own structure: the checksum of every page in use. `None`: a gateway has the file open.
    pub(crate) fn check_structure(&mut self) -> Option<Result<(), String>> {
        let Inner::Copy(database) = &mut self.inner else { return None };
        Some(match quietly(|| database.check_integrity()) {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("redb's own structure is damaged".to_owned()),
            Ok(Err(error)) => Err(format!("redb's own structure is damaged: {error}")),
            Err(problem) => Err(problem),
        })
    }

    fn prepare(&self, path: &Path) -> Result<(), OpenError> {
        let meta = meta_table(self.file);
        let fresh = match self.read()?.get(meta, META_SCHEMA) {
            Ok(value) => value.is_none(),
            Err(StoreError::Database { source, .. })
                if matches!(*source, redb::Error::TableDoesNotExist(_)) =>
            {
                true
            }
            Err(error) => return Err(error.into()),
        };
        if !fresh {
            self.check_schema(path)?;
            if !self.lacks_a_table()? {
                return Ok(());
            }
            // Made by a version that did not know all of them.
        }
        let write = self.begin()?;
        write.create_tables()?;
        write.commit().map_err(OpenError::from)
    }

    fn lacks_a_table(&self) -> Result<bool, StoreError> {
        let view = self.read()?;
        for table in tables::of(self.file) {
            match view.table(table) {
                Ok(_) => {}
                Err(StoreError::Database { source, .. })
                    if matches!(*source, redb::Error::TableDoesNotExist(_)) =>
                {
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn check_schema(&self, path: &Path) -> Result<(), OpenError> {
        let meta = meta_table(self.file);
        let view = match self.read()?.get_sealed(meta, META_SCHEMA) {
            Err(StoreError::Database { source, .. })
                if matches!(*source, redb::Error::TableDoesNotExist(_)) =>
            {
                None
            }
            other => other?,
        };
        let body = view.ok_or_else(|| damaged(path, "it has no schema version".to_owned()))?;
        let found = Reader::new(&body).u32().map_err(|problem| StoreError::row(meta, problem))?;
        if found > SCHEMA_VERSION {
            let path = path.to_owned();
            return Err(OpenError::NewerSchema { path, found, known: SCHEMA_VERSION });
        }
        Ok(())
    }

    /// One moment of the file. Keep it short: pages that it can see are not used again meanwhile.
    pub(crate) fn read(&self) -> Result<ReadView, StoreError> {
        let txn = match &self.inner {
            Inner::Writer(live) => live.begin_read()?,
            Inner::Copy(database) | Inner::Temporary(database) => {
                database.begin_read().in_file(self.file)?
            }
            Inner::Reader(database) => database.begin_read().in_file(self.file)?,
        };
        Ok(ReadView { file: self.file, txn })
    }

    /// Whether nothing can be written to the file.
    pub(crate) fn is_read_only(&self) -> bool {
        !matches!(self.inner, Inner::Writer(_))
    }

    /// The one write of this file; waits for the one before.
    pub(crate) fn write(&self) -> Result<WriteView, StoreError> {
        match &self.inner {
            Inner::Writer(_) => self.begin(),
            _ => Err(StoreError::ReadOnly(self.file)),
        }
    }

    /// As `write`, also into a temporary or private copy.
    pub(crate) fn begin(&self) -> Result<WriteView, StoreError> {
        let txn = match &self.inner {
            Inner::Writer(live) => surviving(live.begin_write()?),
            Inner::Copy(database) => surviving(database.begin_write().in_file(self.file)?),
            Inner::Temporary(database) => {
                let mut txn = database.begin_write().in_file(self.file)?;
                txn.set_durability(Durability::None).in_file(self.file)?;
                txn
            }
            Inner::Reader(_) => return Err(StoreError::ReadOnly(self.file)),
        };
        Ok(WriteView { file: self.file, txn })
    }
}

/// A crash at any moment of its commit leaves the old or the new state, and opening after it takes milliseconds.
fn surviving(mut txn: WriteTransaction) -> WriteTransaction {
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    txn
}

pub(crate) fn meta_table(file: StoreFile) -> &'static Table {
    match file {
        StoreFile::Payloads => &tables::PAYLOADS_META,
        StoreFile::Index => &tables::INDEX_META,
        StoreFile::Audit => &tables::AUDIT_META,
        StoreFile::Ledger | StoreFile::Gate => &tables::LEDGER_META,
    }
}

fn existing(disk: &dyn Disk, path: &Path) -> Result<Backend, DatabaseError> {
    Ok(disk.open_existing(path).map_err(StorageError::from)?.into())
}

fn private_copy(disk: &dyn Disk, path: &Path) -> Result<Overlay, DatabaseError> {
    Ok(Overlay::new(existing(disk, path)?).map_err(StorageError::from)?)
}

fn damaged(path: &Path, problem: String) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), problem }
}

pub(crate) fn open_result<T>(
    opened: Result<Result<T, DatabaseError>, String>,
    path: &Path,
) -> Result<T, OpenError> {
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => {
            Err(OpenError::InUse { path: path.to_owned() })
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(source))))
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
        {
            Err(OpenError::Io {
                path: path.to_owned(),
                cure: "check that it exists and that this user can read it",
                source,
            })
        }
        Ok(Err(DatabaseError::Storage(StorageError::Io(source)))) if has_no_space(&source) => {
            Err(OpenError::Io { path: path.to_owned(), cure: "make room on its disk", source })
        }
        Ok(Err(error)) => Err(damaged(path, error.to_string())),
        Err(problem) => Err(damaged(path, problem)),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic of redb's on a damaged file becomes a sentence instead of a backtrace.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let was = QUIET.replace(true);
    // What `work` leaves behind is a database handle that nobody uses after a panic.
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(was);
    result.map_err(|_| "redb's own structure is damaged and cannot be walked".to_owned())
}

/// Reads rows of one moment.
pub(crate) struct ReadView {
    file: StoreFile,
    txn: ReadTransaction,
}

impl ReadView {
    pub(crate) fn table(&self, table: &Table) -> Result<ReadOnlyTable<Bytes, Bytes>, StoreError> {
        self.txn.open_table(table.rows()).in_file(self.file)
    }

    pub(crate) fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.table(table)?, table, key)
    }

    pub(crate) fn get_sealed(
        &self,
        table: &Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        get_sealed(&self.table(table)?, table, key)
    }
}

/// Writes rows of one transaction.
pub(crate) struct WriteView {
    file: StoreFile,
    txn: WriteTransaction,
}

impl WriteView {
    pub(crate) fn table(&self, table: &Table) -> Result<redb::Table<'_, Bytes, Bytes>, StoreError> {
        self.txn.open_table(table.rows()).in_file(self.file)
    }

    /// From here everything written through this view survives a crash, all of it or none.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        self.txn.commit().in_file(self.file)
    }

    pub(crate) fn create_tables(&self) -> Result<(), StoreError> {
        for table in tables::of(self.file) {
            self.table(table)?;
        }
        let body = Writer::new().u32(SCHEMA_VERSION).done();
        self.put_sealed(meta_table(self.file), META_SCHEMA, &body)
    }

    /// Removes every row of a table.
    pub(crate) fn clear(&self, table: &Table) -> Result<(), StoreError> {
        self.txn.delete_table(table.rows()).in_file(self.file)?;
        self.table(table).map(drop)
    }

    pub(crate) fn get_sealed(
        &self,
        table: &Table,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        get_sealed(&self.table(table)?, table, key)
    }

    pub(crate) fn put_sealed(
        &self,
        table: &Table,
        key: &[u8],
        body: &[u8],
    ) -> Result<(), StoreError> {
        let value = seal(table, key, body);
        self.table(table)?.insert(key, value.as_slice()).in_file(self.file).map(drop)
    }

    pub(crate) fn put(&self, table: &Table, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.table(table)?.insert(key, value).in_file(self.file).map(drop)
    }

    /// Whether the row was there.
    pub(crate) fn remove(&self, table: &Table, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.table(table)?.remove(key).in_file(self.file)?.is_some())
    }
}

/// One value as it is stored.
pub(crate) fn get(
    rows: &impl ReadableTable<Bytes, Bytes>,
    table: &Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(rows.get(key).in_file(table.file)?.map(|guard| guard.value().to_vec()))
}

/// Writes a value as it is stored.
pub(crate) fn insert(
    rows: &mut redb::Table<'_, Bytes, Bytes>,
    table: &Table,
    key: &[u8],
    value: &[u8],
) -> Result<(), StoreError> {
    rows.insert(key, value).in_file(table.file).map(drop)
}

/// The body of one sealed value.
pub(crate) fn get_sealed(
    rows: &impl ReadableTable<Bytes, Bytes>,
    table: &Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(guard) = rows.get(key).in_file(table.file)? else { return Ok(None) };
    let body =
        unseal(table, key, guard.value()).map_err(|problem| StoreError::row(table, problem))?;
    Ok(Some(body.to_vec()))
}

/// Walks rows with keys in `range`, as stored, until `row` says that it has enough.
pub(crate) fn walk(
    rows: &impl ReadableTable<Bytes, Bytes>,
    table: &Table,
    range: Range<&[u8]>,
    mut row: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for item in rows.range::<&[u8]>(range).in_file(table.file)? {
        let (key, value) = item.in_file(table.file)?;
        if !row(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

/// As [`walk`], from the last key to the first.
pub(crate) fn walk_back(
    rows: &impl ReadableTable<Bytes, Bytes>,
    table: &Table,
    range: Range<&[u8]>,
    mut row: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for item in rows.range::<&[u8]>(range).in_file(table.file)?.rev() {
        let (key, value) = item.in_file(table.file)?;
        if !row(key.value(), value.value())? {
            break;
        }
    }
    Ok(())
}

/// The body of a sealed value met on a walk.
pub(crate) fn opened<'a>(
    table: &Table,
    key: &[u8],
    value: &'a [u8],
) -> Result<&'a [u8], StoreError> {
    if key.len() != table.key_len {
        return Err(StoreError::row(table, RowProblem::Fields));
    }
    unseal(table, key, value).map_err(|problem| StoreError::row(table, problem))
}

/// The keys that start with `prefix`: from it to the first key that does not.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // Every byte was 0xff: longer than any key of ours, and greater.
    vec![0xff; 80]
}

/// A row that reads, and says something that cannot be.
pub(crate) fn misfit(table: &Table, problem: RowProblem) -> StoreError {
    StoreError::damaged(Damage::of_table(table, problem))
}

/// Rows of one moment or of one transaction, read by key.
pub(crate) trait SealedRows {
    /// The body of one sealed value.
    fn sealed(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
}

impl SealedRows for ReadView {
    fn sealed(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_sealed(table, key)
    }
}

impl SealedRows for WriteView {
    fn sealed(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_sealed(table, key)
    }
}
