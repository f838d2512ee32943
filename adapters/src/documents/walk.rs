//! Goes through a folder and says what stands there, without opening anything.
//!
//! No link is ever followed: one that stays inside the folder leads to what is seen in its own place anyway, and one
//! that leaves it could publish any file of the machine.

use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FileType;
use sha2::{Digest, Sha256};

use super::beneath::{self, Root, sidecar_of};
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
    /// A folder below the root that could be listed.
    Folder {
        /// Its place.
        key: SourceKey,
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
    pub(crate) fingerprint: Fingerprint,
    /// When it, or its sidecar, was last written to.
    pub(crate) written_at: SystemTime,
    pub(crate) sidecar: Option<SourceKey>,
    /// The file that holds the bytes, if this one only describes it; found out by whoever reads it.
    pub(crate) beside: Option<SourceKey>,
    /// Whether another file describes that one too.
    pub(crate) is_shared: bool,
}

/// Visits everything below `root`, whose canonical path is `path`, until `stop` or the visitor says that it is enough.
///
/// # Errors
/// Fails if the root itself cannot be listed.
pub(crate) fn walk(
    root: &Root,
    path: &Path,
    stop: &dyn Fn() -> bool,
    visit: &mut dyn FnMut(Seen) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut folders = vec![Place { key: Vec::new(), depth: 0 }];
    while let Some(place) = folders.pop() {
        let listed = root.folder(&place.key).and_then(|open| {
            let (names, whole) = open.names(stop)?;
            Ok((Folder { place: &place, open, names }, whole))
        });
        let (folder, whole) = match listed {
            Ok((folder, whole)) => (Some(folder), whole),
            Err(error) if place.depth == 0 => return Err(error),
            // It was removed since its parent was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(_) => (None, false),
        };
        if !whole && visit(Seen::Blind { key: SourceKey::from_bytes(place.key.clone()) }).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let Some(folder) = folder else { continue };
        if place.depth > 0 && !stop() {
            let key = SourceKey::from_bytes(place.key.clone());
            if visit(Seen::Folder { key }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let mut below = Vec::new();
        // What describes other files comes before what it describes.
        let (first, then) = (folder.names.iter(), folder.names.iter());
        let first = first.filter(|name| is_json(name.as_bytes()));
        for name in first.chain(then.filter(|name| !is_json(name.as_bytes()))) {
            // Here and not at the visitor: of a million folders or links it hears nothing.
            if stop() {
                return Ok(ControlFlow::Break(()));
            }
            let seen = match folder.look(path, name) {
                Looked::Seen(seen) => seen,
                Looked::Folder(place) => {
                    below.push(place);
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

/// Where a folder stands. It is opened only while it is looked at: a tree may be deeper and wider than a process may
/// hold files open.
struct Place {
    key: Vec<u8>,
    depth: usize,
}

struct Folder<'p> {
    place: &'p Place,
    open: beneath::Folder,
    /// In order.
    names: Vec<OsString>,
}

enum Looked {
    Seen(Seen),
    Folder(Place),
    Nothing,
}

impl Folder<'_> {
    /// What stands under one name.
    fn look(&self, root: &Path, name: &OsStr) -> Looked {
        let mut key = self.place.key.clone();
        if !key.is_empty() {
            key.push(b'/');
        }
        key.extend_from_slice(name.as_bytes());
        let looks = match self.open.looks(name) {
            Ok(looks) => looks,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Looked::Nothing,
            Err(_) => return refused(key, None, QuarantineReason::Unreadable),
        };
        let fingerprint = Some(looks.fingerprint);
        let Some(text) = name.to_str() else {
            return refused(key, fingerprint, QuarantineReason::NameNotUtf8);
        };
        if is_ignored(text) {
            return Looked::Nothing;
        }
        let is_folder = looks.kind == FileType::Directory;
        if key.len() > MAX_KEY_BYTES || (is_folder && self.place.depth == MAX_FOLDERS) {
            key.truncate(MAX_KEY_BYTES);
            return refused(key, fingerprint, QuarantineReason::PathTooLong);
        }
        match looks.kind {
            FileType::Directory => Looked::Folder(Place { key, depth: self.place.depth + 1 }),
            FileType::RegularFile => self.look_at_file(key, text, looks.fingerprint),
            FileType::Symlink => match root.join(OsStr::from_bytes(&key)).canonicalize() {
                Ok(target) if target.starts_with(root) => Looked::Nothing,
                Ok(_) => refused(key, fingerprint, QuarantineReason::LinkLeavesFolder),
                Err(_) => refused(key, fingerprint, QuarantineReason::LinkBroken),
            },
            _ => refused(key, fingerprint, QuarantineReason::NotAFile),
        }
    }

    fn look_at_file(&self, key: Vec<u8>, name: &str, looks: Fingerprint) -> Looked {
        if let Some(described) = name.strip_suffix(sidecar::SUFFIX) {
            let described = OsStr::new(described);
            return match self.names.binary_search_by(|other| other.as_os_str().cmp(described)) {
                Ok(_) => Looked::Nothing,
                Err(_) => refused(key, Some(looks), QuarantineReason::SidecarWithoutFile),
            };
        }
        match self.open.looks(OsStr::new(&format!("{name}{}", sidecar::SUFFIX))) {
            Ok(described) => {
                Looked::Seen(Seen::File(candidate(key, looks, Some(described.fingerprint))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Looked::Seen(Seen::File(candidate(key, looks, None)))
            }
            Err(_) => refused(key, None, QuarantineReason::Unreadable),
        }
    }
}

fn candidate(key: Vec<u8>, looks: Fingerprint, described: Option<Fingerprint>) -> Candidate {
    let key = SourceKey::from_bytes(key);
    let companion = described.map_or(0, |described| companion(&described));
    Candidate {
        fingerprint: Fingerprint { companion, ..looks },
        written_at: described.map_or(UNIX_EPOCH, written_at).max(written_at(looks)),
        sidecar: described.is_some().then(|| sidecar_of(&key)),
        beside: None,
        is_shared: false,
        key,
    }
}

fn refused(key: Vec<u8>, fingerprint: Option<Fingerprint>, reason: QuarantineReason) -> Looked {
    let key = SourceKey::from_bytes(key);
    Looked::Seen(Seen::Refused { key, fingerprint, refusal: reason.into() })
}

/// When a file was written by its server's clock; what is before 1970 was long ago.
pub(crate) fn written_at(looks: Fingerprint) -> SystemTime {
    let since = u64::try_from(looks.modified_ns).map_or(Duration::ZERO, Duration::from_nanos);
    UNIX_EPOCH + since
}

/// Hidden files, and names that programs give to what they are still writing.
pub(crate) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || [".tmp", ".part", "~"].iter().any(|end| name.ends_with(end))
}

/// Whether a file may describe others.
pub(crate) fn is_json(name: &[u8]) -> bool {
    name.last_chunk::<5>().is_some_and(|end| end.eq_ignore_ascii_case(b".json"))
}

/// The looks of a sidecar in one number, never 0.
pub(crate) fn companion(sidecar: &Fingerprint) -> u64 {
    let digest: [u8; 32] = Sha256::digest(sidecar.to_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignores_hidden_and_unfinished_names() {
        for name in [".DS_Store", ".git", "a.xml.part", "a.tmp", "a.txt~"] {
            assert!(is_ignored(name), "{name}");
        }
        assert!(!is_ignored("a.xml"));
    }
}
