//! Opens what lies below a folder, one name at a time and never through a link.
//!
//! A path is looked up anew by each call that gets it, so between a check and the call a folder on the way can be
//! swapped for a link to anywhere. Here each step starts from the open folder before it: nothing outside can be reached.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, statat};

use super::sidecar;
use crate::item::{Fingerprint, SourceKey};

/// How a file is opened: a pipe in its place must not hold us up, and a link in its place must not be followed.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder of a source, held open: what happens to its path afterwards changes nothing.
pub(crate) struct Root(OwnedFd);

/// Which folder it is, whatever its path: device and number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// What stands under a name.
pub(crate) struct Looks {
    pub(crate) kind: FileType,
    /// Without a companion.
    pub(crate) fingerprint: Fingerprint,
}

impl Root {
    /// Opens the folder that the operator named; links in its own path are the operator's.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(folder, flags, Mode::empty())?))
    }

    /// Which folder it is.
    pub(crate) fn identity(&self) -> io::Result<Identity> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok(Identity(stat.st_dev, stat.st_ino))
    }

    /// A folder below the root by its key; the root itself by the empty one.
    ///
    /// # Errors
    /// Fails if it is not there, is behind or is a link, or may not be read.
    pub(crate) fn folder(&self, key: &[u8]) -> io::Result<Folder> {
        let mut at = openat(&self.0, c".", FOLDER, Mode::empty())?;
        for name in key.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = openat(&at, plain(name)?, FOLDER, Mode::empty())?;
        }
        Ok(Folder(at))
    }

    /// Opens a plain file and says what it looks like.
    ///
    /// # Errors
    /// `NotFound` if it is not there, is no plain file, or is behind a link; otherwise if it may not be read.
    pub(crate) fn file(&self, key: &SourceKey) -> io::Result<(File, Fingerprint)> {
        let (folder, name) = self.place(key)?;
        // Looked at first: opening a device can do something to it.
        if folder.looks(name)?.kind != FileType::RegularFile {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = openat(&folder.0, name, FILE, Mode::empty()).map_err(without_links)?;
        let looks = looks(&rustix::fs::fstat(&file)?);
        if looks.kind != FileType::RegularFile {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((File::from(file), looks.fingerprint))
    }

    /// What stands under a key, itself and not what it leads to.
    pub(crate) fn looks(&self, key: &SourceKey) -> io::Result<Looks> {
        let (folder, name) = self.place(key)?;
        folder.looks(name)
    }

    fn place<'k>(&self, key: &'k SourceKey) -> io::Result<(Folder, &'k OsStr)> {
        let key = key.as_bytes();
        let at = key.iter().rposition(|byte| *byte == b'/');
        let (folder, name) = at.map_or((&b""[..], key), |at| (&key[..at], &key[at + 1..]));
        // No key that a walk makes has an empty part; one that does leads nowhere.
        if at.is_some() && folder.split(|byte| *byte == b'/').any(<[u8]>::is_empty) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((self.folder(folder).map_err(gone_if_no_folder)?, plain(name)?))
    }
}

/// An open folder.
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// The names in it in order, and whether all of them could be read; fewer once `stop` says so.
    pub(crate) fn names(&self, stop: &dyn Fn() -> bool) -> io::Result<(Vec<OsString>, bool)> {
        let mut names = Vec::new();
        let mut whole = true;
        for entry in Dir::read_from(&self.0)?.take_while(|_| !stop()) {
            match entry {
                Ok(entry) => {
                    let name = OsStr::from_bytes(entry.file_name().to_bytes());
                    if name != "." && name != ".." {
                        names.push(name.to_owned());
                    }
                }
                Err(_) => whole = false,
            }
        }
        names.sort_unstable();
        Ok((names, whole))
    }

    /// What stands under a name in it.
    pub(crate) fn looks(&self, name: &OsStr) -> io::Result<Looks> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(looks(&stat)),
            // No file system here has such a name, so nothing stands under it.
            Err(rustix::io::Errno::NAMETOOLONG) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// One name, which leads neither up nor further down.
fn plain(name: &[u8]) -> io::Result<&OsStr> {
    match name {
        b"" | b"." | b".." => Err(io::ErrorKind::NotFound.into()),
        name if name.contains(&b'/') => Err(io::ErrorKind::NotFound.into()),
        name => Ok(OsStr::from_bytes(name)),
    }
}

/// A link where the file was is as good as no file.
fn without_links(error: rustix::io::Errno) -> io::Error {
    match error {
        rustix::io::Errno::LOOP | rustix::io::Errno::MLINK => io::ErrorKind::NotFound.into(),
        // No device behind a pipe or socket that took the file's place.
        rustix::io::Errno::NXIO => io::ErrorKind::NotFound.into(),
        other => other.into(),
    }
}

/// A file or a link where a folder of the path was: nothing is under that key.
fn gone_if_no_folder(error: io::Error) -> io::Error {
    match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::MLINK | rustix::io::Errno::NOTDIR) => {
            io::ErrorKind::NotFound.into()
        }
        _ => error,
    }
}

/// What the operating system says of a file.
fn looks(stat: &Stat) -> Looks {
    let nanos = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
    let modified_ns = i64::try_from(nanos).unwrap_or(if nanos > 0 { i64::MAX } else { i64::MIN });
    let fingerprint = Fingerprint {
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ns,
        inode: stat.st_ino,
        companion: 0,
    };
    Looks { kind: FileType::from_raw_mode(stat.st_mode), fingerprint }
}

/// What an open file looks like now.
pub(crate) fn looks_now(file: &File) -> io::Result<Fingerprint> {
    Ok(looks(&rustix::fs::fstat(file)?).fingerprint)
}

/// What stands at a path from the folder of a file.
pub(crate) fn beside(key: &SourceKey, path: &str) -> SourceKey {
    let key = key.as_bytes();
    let folder = key.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    SourceKey::from_bytes([&key[..folder], path.as_bytes()].concat())
}

/// Where the sidecar of a file would stand.
pub(crate) fn sidecar_of(key: &SourceKey) -> SourceKey {
    SourceKey::from_bytes([key.as_bytes(), sidecar::SUFFIX.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn reach(root: &Root, key: &str) -> io::Result<(File, Fingerprint)> {
        root.file(&SourceKey::from_bytes(key))
    }

    #[test]
    fn keys_lead_below_the_root_or_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("in/a")).unwrap();
        fs::write(folder.path().join("out"), "secret").unwrap();
        fs::write(folder.path().join("in/a/b"), "text").unwrap();
        symlink("../a", folder.path().join("in/link")).unwrap();
        symlink("b", folder.path().join("in/a/c")).unwrap();
        let root = Root::open(&folder.path().join("in")).unwrap();
        assert!(reach(&root, "a/b").is_ok());
        for key in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../out",
            "a/../a/b",
            "a//b",
            "./a/b",
            "a/",
            "a/.",
            "a",
            "a/b/c",
            "link/b",
            "a/c",
            "/a/b",
        ] {
            let error = reach(&root, key).err().unwrap_or_else(|| panic!("{key} leads somewhere"));
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{key}");
        }
    }

    /// Between the look at a folder and the opening of a file in it, the folder became a link to another place.
    #[test]
    fn what_took_the_place_of_a_folder_is_not_entered() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        for place in [&inside.join("a"), &outside] {
            fs::create_dir_all(place).unwrap();
            fs::write(place.join("b"), "same length").unwrap();
        }
        let root = Root::open(&inside).unwrap();
        assert!(root.folder(b"a").is_ok());
        fs::rename(inside.join("a"), inside.join("moved")).unwrap();
        symlink(&outside, inside.join("a")).unwrap();
        assert!(root.folder(b"a").is_err());
        assert_eq!(reach(&root, "a/b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(root.looks(&SourceKey::from_bytes("a/b")).is_err());
        // The root is held: its path may lead elsewhere by now.
        fs::rename(&inside, folder.path().join("elsewhere")).unwrap();
        symlink(&outside, &inside).unwrap();
        assert_eq!(reach(&root, "b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(reach(&root, "moved/b").is_ok());
    }

    #[test]
    fn a_pipe_is_neither_opened_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        rustix::fs::mknodat(&root.0, "pipe", FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(reach(&root, "pipe").unwrap_err().kind(), io::ErrorKind::NotFound);
        // Also where the look before it still saw a file.
        assert!(openat(&root.0, "pipe", FILE, Mode::empty()).is_ok(), "it does not block");
    }
}
