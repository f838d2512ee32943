//! Goes through a folder and says what stands there, without opening anything.
//!
//! No link is ever followed: one that stays inside the folder leads to what is seen in its own place anyway, and one
//! that leaves it could publish any file of the machine.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::sidecar;
use crate::item::{Fingerprint, SourceKey};
use crate::reason::{QuarantineReason, Refusal};

/// Deepest folder below the root.
const MAX_FOLDERS: usize = 32;
/// Longest path below the root in bytes. A record id frames its source key with a 16-bit length.
const MAX_KEY_BYTES: usize = 1024;

/// Something that stands in the folder.
pub(crate) enum Seen {
    /// A file that may be a document.
    File(Candidate),
    /// Something that cannot be one.
    Refused {
        /// Its place.
        key: SourceKey,
        /// Its looks, if they could be seen.
        fingerprint: Option<Fingerprint>,
        /// Why.
        refusal: Refusal,
    },
    /// A folder that could not be listed completely: nothing below it may be called gone.
    Blind {
        /// Its place.
        key: SourceKey,
    },
}

/// A file that may be a document.
pub(crate) struct Candidate {
    pub(crate) key: SourceKey,
    pub(crate) path: PathBuf,
    pub(crate) fingerprint: Fingerprint,
    /// When it, or its sidecar, was last written to.
    pub(crate) written_at: SystemTime,
    pub(crate) sidecar: Option<PathBuf>,
}

/// Visits everything below `root`, which is canonical, until `stop` or the visitor says that it is enough.
///
/// # Errors
/// Fails if the root itself cannot be listed.
pub(crate) fn walk(
    root: &Path,
    stop: &dyn Fn() -> bool,
    visit: &mut dyn FnMut(Seen) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut folders = vec![Folder { path: root.to_owned(), key: Vec::new(), depth: 0 }];
    while let Some(folder) = folders.pop() {
        let (names, whole) = match names(&folder.path, stop) {
            Ok(listed) => listed,
            Err(error) if folder.depth == 0 => return Err(error),
            // It was removed since its parent was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => (Vec::new(), false),
        };
        if !whole
            && visit(Seen::Blind { key: SourceKey::from_bytes(folder.key.clone()) }).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let mut below = Vec::new();
        for name in &names {
            // Here and not at the visitor: of a million folders or links it hears nothing.
            if stop() {
                return Ok(ControlFlow::Break(()));
            }
            let seen = match folder.look(root, name, &names) {
                Looked::Seen(seen) => seen,
                Looked::Folder(folder) => {
                    below.push(folder);
                    continue;
                }
                Looked::Nothing => continue,
            };
            if visit(seen).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        folders.extend(below.into_iter().rev());
    }
    Ok(ControlFlow::Continue(()))
}

struct Folder {
    path: PathBuf,
    key: Vec<u8>,
    depth: usize,
}

enum Looked {
    Seen(Seen),
    Folder(Folder),
    Nothing,
}

impl Folder {
    /// What stands under one name; `names` are its neighbours, in order.
    fn look(&self, root: &Path, name: &OsStr, names: &[OsString]) -> Looked {
        let path = self.path.join(name);
        let mut key = self.key.clone();
        if !key.is_empty() {
            key.push(b'/');
        }
        key.extend_from_slice(name.as_encoded_bytes());
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Looked::Nothing,
            Err(_) => return refused(key, None, QuarantineReason::Unreadable),
        };
        let fingerprint = Some(fingerprint(&metadata, 0));
        let Some(text) = name.to_str() else {
            return refused(key, fingerprint, QuarantineReason::NameNotUtf8);
        };
        if is_ignored(text) {
            return Looked::Nothing;
        }
        if key.len() > MAX_KEY_BYTES || (metadata.is_dir() && self.depth == MAX_FOLDERS) {
            key.truncate(MAX_KEY_BYTES);
            return refused(key, fingerprint, QuarantineReason::PathTooLong);
        }
        if metadata.is_symlink() {
            return match path.canonicalize() {
                Ok(target) if target.starts_with(root) => Looked::Nothing,
                Ok(_) => refused(key, fingerprint, QuarantineReason::LinkLeavesFolder),
                Err(_) => refused(key, fingerprint, QuarantineReason::LinkBroken),
            };
        }
        if metadata.is_dir() {
            return Looked::Folder(Folder { path, key, depth: self.depth + 1 });
        }
        if !metadata.is_file() {
            return refused(key, fingerprint, QuarantineReason::NotAFile);
        }
        let has =
            |name: &str| names.binary_search_by(|other| other.as_os_str().cmp(OsStr::new(name)));
        if let Some(described) = text.strip_suffix(sidecar::SUFFIX) {
            return match has(described) {
                Ok(_) => Looked::Nothing,
                Err(_) => refused(key, fingerprint, QuarantineReason::SidecarWithoutFile),
            };
        }
        let sidecar = sidecar_path(&path);
        let described = match fs::symlink_metadata(&sidecar) {
            Ok(described) => Some(described),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => return refused(key, None, QuarantineReason::Unreadable),
        };
        Looked::Seen(Seen::File(candidate(key, path, &metadata, sidecar, described.as_ref())))
    }
}

fn candidate(
    key: Vec<u8>,
    path: PathBuf,
    metadata: &Metadata,
    sidecar: PathBuf,
    described: Option<&Metadata>,
) -> Candidate {
    let written = |metadata: &Metadata| metadata.modified().unwrap_or(UNIX_EPOCH);
    Candidate {
        key: SourceKey::from_bytes(key),
        path,
        fingerprint: fingerprint(metadata, described.map_or(0, companion)),
        written_at: described.map_or(UNIX_EPOCH, written).max(written(metadata)),
        sidecar: described.is_some().then_some(sidecar),
    }
}

fn refused(key: Vec<u8>, fingerprint: Option<Fingerprint>, reason: QuarantineReason) -> Looked {
    let key = SourceKey::from_bytes(key);
    Looked::Seen(Seen::Refused { key, fingerprint, refusal: reason.into() })
}

/// The names in a folder in order, and whether all of them could be read; fewer once `stop` says so.
fn names(folder: &Path, stop: &dyn Fn() -> bool) -> io::Result<(Vec<OsString>, bool)> {
    let mut names = Vec::new();
    let mut whole = true;
    for entry in fs::read_dir(folder)?.take_while(|_| !stop()) {
        match entry {
            Ok(entry) => names.push(entry.file_name()),
            Err(_) => whole = false,
        }
    }
    names.sort_unstable();
    Ok((names, whole))
}

/// Hidden files, and names that programs give to what they are still writing.
fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || [".tmp", ".part", "~"].iter().any(|end| name.ends_with(end))
}

/// Where the sidecar of a file would stand.
pub(crate) fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(sidecar::SUFFIX);
    PathBuf::from(name)
}

/// What a file looks like.
pub(crate) fn fingerprint(metadata: &Metadata, companion: u64) -> Fingerprint {
    let modified_ns = metadata.modified().map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    });
    Fingerprint { size_bytes: metadata.len(), modified_ns, inode: inode(metadata), companion }
}

/// The looks of a sidecar in one number, never 0.
pub(crate) fn companion(sidecar: &Metadata) -> u64 {
    let digest: [u8; 32] = Sha256::digest(fingerprint(sidecar, 0).to_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// Where a key leads, below a canonical root; `None` if it is no key that [`walk`] makes.
pub(crate) fn path_of(root: &Path, key: &SourceKey) -> Option<PathBuf> {
    let text = core::str::from_utf8(key.as_bytes()).ok()?;
    let relative = Path::new(text);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let whole = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    (plain && whole).then(|| root.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_below_the_root_or_nowhere() {
        let root = Path::new("/data");
        let path = |key: &str| path_of(root, &SourceKey::from_bytes(key));
        assert_eq!(path("a/b.xml"), Some(PathBuf::from("/data/a/b.xml")));
        for key in ["", "/etc/passwd", "..", "a/../b", "../x", "a//b", "./a", "a/", "a/."] {
            assert_eq!(path(key), None, "{key}");
        }
        assert_eq!(path_of(root, &SourceKey::from_bytes([0xff])), None);
    }

    #[test]
    fn ignores_hidden_and_unfinished_names() {
        for name in [".DS_Store", ".git", "a.xml.part", "a.tmp", "a.txt~"] {
            assert!(is_ignored(name), "{name}");
        }
        assert!(!is_ignored("a.xml"));
    }
}
