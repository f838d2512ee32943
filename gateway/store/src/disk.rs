//! What the store asks of a disk, and the disk of the operating system.
//!
//! Whatever a store reads and writes in its folder passes here, so that a test can put a disk in its place that fails,
//! fills up, or forgets at a power cut what was not synced. A step that a power cut may fall behind is a call of its own.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::FileBackend;

/// Files by their paths.
///
/// Nothing is durable before it is synced: bytes by their file, a name by its folder.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a folder, and those above it, if they are not there.
    ///
    /// # Errors
    /// When the disk fails.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a database file for its writer; one that is not there is made, for its owner alone to read and write.
    ///
    /// # Errors
    /// When the disk fails, or this user may not write the file.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>>;

    /// Opens a database file that is there, to read it and to lock it.
    ///
    /// # Errors
    /// When the disk fails, the file is not there, or this user may not read it.
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>>;

    /// Makes an empty file, for its owner alone, in the place of what has this name.
    ///
    /// # Errors
    /// When the disk fails.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Gives a file another name; what had that name is gone, and no moment is without either.
    ///
    /// # Errors
    /// When the disk fails.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable: a rename or a new file is lost with the power until then.
    ///
    /// # Errors
    /// When the disk fails.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// A small file whole, or its first `max` bytes.
    ///
    /// # Errors
    /// When the disk fails, or the file is not there.
    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>>;

    /// How long a file is, in bytes.
    ///
    /// # Errors
    /// When the disk fails, or the file is not there.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// How many bytes this user may still write on the disk of a folder.
    ///
    /// # Errors
    /// When the disk does not say.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// A file that is being written; it has its bytes for good after [`NewFile::sync`].
pub trait NewFile: Write + Send {
    /// Makes what was written durable, but not the file's name.
    ///
    /// # Errors
    /// When the disk fails.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl OsDisk {
    pub(crate) fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for OsDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        backend(private(&mut options).open(path)?)
    }

    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn StorageBackend>> {
        // A lock that excludes a running gateway needs a file that could be written; it is not. On a disk that cannot
        // be written no gateway runs either.
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        backend(file.or_else(|_| File::open(path))?)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        Ok(Box::new(private(&mut options).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn read(&self, path: &Path, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    #[cfg(unix)]
    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    #[cfg(not(unix))]
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

fn backend(file: File) -> io::Result<Box<dyn StorageBackend>> {
    Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
}

/// What is made is for its owner alone.
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// The folder in which a file has its name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("folder");
        let (database, file) = (folder.path().join("a"), folder.path().join("b"));
        drop(OsDisk.open(&database).expect("open"));
        drop(OsDisk.create(&file).expect("create"));
        for path in [database, file] {
            let mode = fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(OsDisk.free_bytes(folder.path()).is_ok_and(|free| free > 0));
    }

    #[test]
    fn the_folder_of_a_bare_name_is_the_one_that_we_are_in() {
        assert_eq!(folder_of(Path::new("signing.gate")), Path::new("."));
        assert_eq!(folder_of(Path::new("/data/signing.gate")), Path::new("/data"));
    }
}
