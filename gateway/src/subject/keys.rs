//! The subject keys that we hold, one file for each epoch.
//!
//! A file `subject-epoch-<N>.key` holds 64 lower-case hexadecimal digits and a newline, readable by its owner alone.
//! Losing one costs nothing while another member holds it: it comes back by a key grant.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sundbro_ledger::charter::SubjectEpoch;
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Most epochs that a charter can list, and so most keys that we hold.
pub const MAX_EPOCHS: usize = 1024;

/// Length of a key file: 64 digits and a newline.
const FILE_LEN: usize = 65;

/// Why the keys of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectKeysError {
    /// A file or the folder cannot be read or written.
    #[error("{path} cannot be {action}: check that the gateway's user may")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read a key.
    #[error("{0} can be read by others: run `chmod 600` on it")]
    ReadableByOthers(PathBuf),
    /// It holds something else.
    #[error(
        "{0} holds no subject key: 64 lower-case hexadecimal digits and a newline belong there"
    )]
    Malformed(PathBuf),
    /// More files than a charter has epochs.
    #[error("{0} holds more than 1,024 subject keys")]
    TooMany(PathBuf),
}

type Keys = BTreeMap<u32, Arc<SubjectKey>>;

/// What the charter commits to: epochs, ascending, each with the commitment to its key.
type Listed = BTreeMap<u32, [u8; 32]>;

/// The subject keys that we hold and may use: those that the charter commits to. Shared; a key that arrives is there for
/// everybody at once.
///
/// A tag by any other key is one that nobody else finds: a key whose epoch the charter does not list yet waits, one that
/// does not fit is replaced by the first that does.
pub struct SubjectKeys {
    dir: PathBuf,
    /// Fitting ones alone, once a charter is followed.
    keys: ArcSwap<Keys>,
    /// All of them, and what the charter lists. Held while a file is written: several members grant one key in the same
    /// moment.
    held: Mutex<Held>,
    changed: watch::Sender<u64>,
}

struct Held {
    keys: Keys,
    /// `None` until a charter is followed: then every key counts.
    listed: Option<Listed>,
}

impl Held {
    fn fits(&self, epoch: u32, key: &SubjectKey) -> bool {
        let Some(listed) = &self.listed else { return true };
        listed.get(&epoch).is_some_and(|listed| *listed == key_commitment(epoch, key))
    }

    fn usable(&self) -> Keys {
        let fitting = self.keys.iter().filter(|(epoch, key)| self.fits(**epoch, key));
        fitting.map(|(epoch, key)| (*epoch, Arc::clone(key))).collect()
    }
}

impl SubjectKeys {
    /// Reads the keys in `dir`; other files there are left alone.
    ///
    /// # Errors
    /// [`SubjectKeysError`]: a key file that others may read, or that holds something else, is refused.
    pub fn open(dir: &Path) -> Result<Self, SubjectKeysError> {
        let keys = read_keys(dir)?;
        Ok(Self {
            dir: dir.into(),
            keys: ArcSwap::from_pointee(keys.clone()),
            held: Mutex::new(Held { keys, listed: None }),
            changed: watch::Sender::new(0),
        })
    }

    /// Uses the keys of these epochs from here on, and no others. A key file that came meanwhile, as from
    /// `sundbro charter propose --subject-key`, is read. Blocking.
    ///
    /// # Errors
    /// As [`open`](Self::open), for a file that came; the keys that were there are used all the same.
    pub fn follow(&self, epochs: &[SubjectEpoch]) -> Result<(), SubjectKeysError> {
        let mut held = self.held();
        held.listed = Some(epochs.iter().map(|one| (one.epoch, one.key_commitment)).collect());
        let lacking = epochs.iter().any(|epoch| !held.keys.contains_key(&epoch.epoch));
        let found = if lacking { read_keys(&self.dir) } else { Ok(Keys::new()) };
        let (found, failed) = match found {
            Ok(found) => (found, None),
            Err(error) => (Keys::new(), Some(error)),
        };
        for (epoch, key) in found {
            held.keys.entry(epoch).or_insert(key);
        }
        for (epoch, key) in &held.keys {
            if epochs.iter().any(|listed| listed.epoch == *epoch) && !held.fits(*epoch, key) {
                let file = file_name(*epoch);
                tracing::error!(
                    file,
                    "this is not the subject key that the charter commits to: waiting for a grant"
                );
            }
        }
        self.show(&held);
        failed.map_or(Ok(()), Err)
    }

    /// The key of one epoch.
    pub fn get(&self, epoch: u32) -> Option<Arc<SubjectKey>> {
        self.keys.load().get(&epoch).cloned()
    }

    /// The newest epoch whose key is here, and that key.
    pub fn newest(&self) -> Option<(u32, Arc<SubjectKey>)> {
        self.keys.load().last_key_value().map(|(epoch, key)| (*epoch, Arc::clone(key)))
    }

    /// Every key that is here, oldest epoch first.
    pub fn all(&self) -> Vec<(u32, Arc<SubjectKey>)> {
        self.keys.load().iter().map(|(epoch, key)| (*epoch, Arc::clone(key))).collect()
    }

    /// The epochs whose key is here, ascending.
    pub fn epochs(&self) -> Vec<u32> {
        self.keys.load().keys().copied().collect()
    }

    /// Hears of keys that arrive.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a key that was compared with the charter's commitment. Durable when this returns; the first key of an
    /// epoch that fits stays, one that does not is kept under another name. Blocking.
    ///
    /// # Errors
    /// Fails when the file cannot be written; then the key is not held.
    pub fn insert(&self, epoch: u32, key: SubjectKey) -> Result<(), SubjectKeysError> {
        let mut held = self.held();
        if let Some(first) = held.keys.get(&epoch) {
            if first.expose() == key.expose() || held.fits(epoch, first) {
                return Ok(());
            }
            set_aside(&self.dir, epoch)?;
        }
        write_key(&self.dir, epoch, &key)?;
        held.keys.insert(epoch, Arc::new(key));
        self.show(&held);
        Ok(())
    }

    fn show(&self, held: &Held) {
        let usable = held.usable();
        let same = self.keys.load().keys().eq(usable.keys());
        self.keys.store(Arc::new(usable));
        if !same {
            self.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A thread that panicked left the map as it was, or with one more whole key.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads every key file of a folder.
fn read_keys(dir: &Path) -> Result<Keys, SubjectKeysError> {
    let failed = |source| SubjectKeysError::Io { action: "listed", path: dir.into(), source };
    let mut keys = Keys::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(epoch) = name.to_str().and_then(epoch_of_file) else { continue };
        if keys.len() == MAX_EPOCHS {
            return Err(SubjectKeysError::TooMany(dir.into()));
        }
        keys.insert(epoch, Arc::new(read_key(&entry.path())?));
    }
    Ok(keys)
}

/// Keeps a key that the charter does not commit to, out of the way of the one that it does.
fn set_aside(dir: &Path, epoch: u32) -> Result<(), SubjectKeysError> {
    let path = dir.join(file_name(epoch));
    let failed = |source| SubjectKeysError::Io { action: "renamed", path: path.clone(), source };
    match fs::rename(&path, dir.join(format!("{}.not-in-charter", file_name(epoch)))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// The name of an epoch's key file.
pub fn file_name(epoch: u32) -> String {
    format!("subject-epoch-{epoch}.key")
}

/// Writes the key of an epoch into `dir`, durably, readable by its owner alone.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn write_key(dir: &Path, epoch: u32, key: &SubjectKey) -> Result<(), SubjectKeysError> {
    let path = dir.join(file_name(epoch));
    let failed = |source| SubjectKeysError::Io { action: "written", path: path.clone(), source };
    let temporary = dir.join(format!("{}.new", file_name(epoch)));
    let mut text = Zeroizing::new(hex::encode(key.expose()));
    text.push('\n');
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    drop(file);
    fs::rename(&temporary, &path).map_err(failed)?;
    // From here the key survives a crash: its name is durable too.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn epoch_of_file(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("subject-epoch-")?.strip_suffix(".key")?;
    let epoch: u32 = digits.parse().ok()?;
    // One spelling for each epoch: no sign, no leading zero, and epochs count from 1.
    (epoch > 0 && epoch.to_string() == digits).then_some(epoch)
}

fn read_key(path: &Path) -> Result<SubjectKey, SubjectKeysError> {
    let failed = |source| SubjectKeysError::Io { action: "read", path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    refuse_readable_by_others(&file, path)?;
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_LEN + 1));
    file.take(FILE_LEN as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    let malformed = || SubjectKeysError::Malformed(path.into());
    let digits = text.strip_suffix(b"\n").ok_or_else(malformed)?;
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(malformed());
    }
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, &mut *bytes).map_err(|_| malformed())?;
    Ok(SubjectKey::new(*bytes))
}

#[cfg(unix)]
fn refuse_readable_by_others(file: &File, path: &Path) -> Result<(), SubjectKeysError> {
    use std::os::unix::fs::MetadataExt as _;
    let failed = |source| SubjectKeysError::Io { action: "read", path: path.into(), source };
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(SubjectKeysError::ReadableByOthers(path.into())) }
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_file: &File, _path: &Path) -> Result<(), SubjectKeysError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_arrive_are_there_at_once_and_after_a_restart() {
        let dir = tempfile::tempdir().expect("folder");
        let keys = SubjectKeys::open(dir.path()).expect("empty");
        assert!(keys.newest().is_none());
        let mut changes = keys.watch();
        keys.insert(2, SubjectKey::new([2; 32])).expect("writes");
        keys.insert(1, SubjectKey::new([1; 32])).expect("writes");
        keys.insert(1, SubjectKey::new([9; 32])).expect("the first one stays");
        assert!(changes.has_changed().expect("lives"));
        changes.mark_unchanged();
        for keys in [keys, SubjectKeys::open(dir.path()).expect("reopens")] {
            assert_eq!(keys.epochs(), [1, 2]);
            assert_eq!(
                keys.newest().map(|(epoch, key)| (epoch, *key.expose())),
                Some((2, [2; 32]))
            );
            assert_eq!(keys.get(1).map(|key| *key.expose()), Some([1; 32]));
        }
    }

    #[test]
    fn a_key_that_many_members_grant_at_once_is_taken_once() {
        let dir = tempfile::tempdir().expect("folder");
        let keys = SubjectKeys::open(dir.path()).expect("empty");
        // As after a start, when every session brings the same key: each wrote the file under one name and renamed it.
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    keys.insert(1, SubjectKey::new([1; 32])).expect("no session ends for it")
                });
            }
        });
        assert_eq!(keys.get(1).map(|key| *key.expose()), Some([1; 32]));
    }

    fn listed(keys: &[(u32, u8)]) -> Vec<SubjectEpoch> {
        let epoch = |(epoch, key): &(u32, u8)| SubjectEpoch {
            epoch: *epoch,
            key_commitment: key_commitment(*epoch, &SubjectKey::new([*key; 32])),
        };
        keys.iter().map(epoch).collect()
    }

    #[test]
    fn only_keys_that_the_charter_commits_to_are_used() {
        let dir = tempfile::tempdir().expect("folder");
        for epoch in [1, 2] {
            write_key(dir.path(), epoch, &SubjectKey::new([9; 32])).expect("writes");
        }
        let keys = SubjectKeys::open(dir.path()).expect("opens");
        assert_eq!(keys.epochs(), [1, 2], "no charter is followed yet");
        // Epoch 2 is another proposal's, or not in force yet.
        keys.follow(&listed(&[(1, 9)])).expect("follows");
        assert_eq!(keys.newest().map(|(epoch, _)| epoch), Some(1));
        assert!(keys.get(2).is_none());
        keys.follow(&listed(&[(1, 9), (2, 7)])).expect("follows");
        assert_eq!(keys.epochs(), [1], "a key that does not fit is not used");
        keys.insert(2, SubjectKey::new([7; 32])).expect("granted");
        let key = |keys: &SubjectKeys, epoch| keys.get(epoch).map(|key| key.expose()[0]);
        assert_eq!((key(&keys, 1), key(&keys, 2)), (Some(9), Some(7)));
        let aside = dir.path().join("subject-epoch-2.key.not-in-charter");
        assert_eq!(read_key(&aside).map(|key| key.expose()[0]).ok(), Some(9), "nothing is lost");
        assert_eq!(SubjectKeys::open(dir.path()).expect("reopens").epochs(), [1, 2]);
        // A key file that is put there while the gateway runs is found when its epoch comes.
        write_key(dir.path(), 3, &SubjectKey::new([3; 32])).expect("writes");
        let mut changes = keys.watch();
        keys.follow(&listed(&[(1, 9), (2, 7), (3, 3)])).expect("follows");
        assert_eq!(key(&keys, 3), Some(3));
        assert!(changes.has_changed().expect("lives"));
        changes.mark_unchanged();
        keys.follow(&listed(&[(1, 9), (2, 7), (3, 3)])).expect("follows");
        assert!(!changes.has_changed().expect("lives"));
    }

    #[test]
    fn only_one_spelling_names_an_epoch() {
        assert_eq!(epoch_of_file(&file_name(17)), Some(17));
        for other in ["subject-epoch-0.key", "subject-epoch-01.key", "subject-epoch-+1.key", "x"] {
            assert_eq!(epoch_of_file(other), None, "{other}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn refuses_a_key_that_others_may_read_and_one_that_is_cut_short() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("folder");
        write_key(dir.path(), 1, &SubjectKey::new([1; 32])).expect("writes");
        let path = dir.path().join(file_name(1));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(
            SubjectKeys::open(dir.path()),
            Err(SubjectKeysError::ReadableByOthers(_))
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(&path, "0101\n").expect("write");
        assert!(matches!(SubjectKeys::open(dir.path()), Err(SubjectKeysError::Malformed(_))));
    }
}
