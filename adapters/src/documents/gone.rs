//! Decides which known items are gone, and when so many are that the folder is more likely not what it was.
//!
//! A withdrawal is for ever: what comes back is another record. A share that is not mounted looks like a folder whose
//! files were all removed, so such a look is held until an operator says that it is meant.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sha2::{Digest, Sha256};

use crate::adapter::KnownItems;
use crate::item::{Fingerprint, SourceKey};

/// From this many registered items on, a folder that lost most of them is taken for a share that is not mounted.
pub(crate) const GUARDED: u64 = 10;

/// A key in 16 bytes: a million of them are 16 MB however long the names are.
type ShortDigest = [u8; 16];

/// What a pass saw.
#[derive(Default)]
pub(crate) struct Sight {
    /// Keys that stand there.
    seen: HashSet<ShortDigest>,
    /// Folders below the root.
    folders: HashSet<ShortDigest>,
    /// Names of which it could not be seen what stands at them, or below.
    blind: Vec<SourceKey>,
    /// Keys that were not registered before.
    new: HashSet<ShortDigest>,
    /// Looks of those: a file that was renamed has the same ones.
    arrived: HashSet<(u64, i64, u64)>,
}

/// What a file keeps when it is renamed.
fn kept(looks: &Fingerprint) -> (u64, i64, u64) {
    (looks.size_bytes, looks.modified_ns, looks.inode)
}

/// Whether the file itself is the same, whatever stands beside it.
pub(crate) fn is_same_file(one: &Fingerprint, other: &Fingerprint) -> bool {
    kept(one) == kept(other)
}

/// What became of known items that were not seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// They are gone, but for those below folders that are held.
    Gone {
        /// What may be withdrawn.
        keys: Vec<SourceKey>,
        /// Folders below which most is missing, and so nothing is gone.
        emptied: Vec<SourceKey>,
    },
    /// Most of what was registered would be withdrawn.
    Most {
        /// How many items were registered.
        known: u64,
        /// How many of them would stay.
        left: u64,
    },
}

/// A known item that was not seen, and what it looked like if it is registered.
type Unseen = (SourceKey, Option<Fingerprint>);

/// How many registered items stood below a folder, and how many of them are lost.
#[derive(Default, Clone, Copy)]
struct Below {
    known: u64,
    lost: u64,
}

impl Sight {
    pub(crate) fn see(&mut self, key: &SourceKey) {
        self.seen.insert(short_digest(key.as_bytes()));
    }

    pub(crate) fn see_folder(&mut self, folder: &SourceKey) {
        self.folders.insert(short_digest(folder.as_bytes()));
    }

    /// A file stands there under a name that was not registered.
    pub(crate) fn arrive(&mut self, key: &SourceKey, looks: &Fingerprint) {
        self.new.insert(short_digest(key.as_bytes()));
        self.arrived.insert(kept(looks));
    }

    pub(crate) fn blind(&mut self, at: SourceKey) {
        self.blind.push(at);
    }

    /// Whether everything could be seen.
    pub(crate) fn is_whole(&self) -> bool {
        self.blind.is_empty()
    }

    /// What of the known items is missing; `guarded` is false where the operator wants everything withdrawn.
    ///
    /// While most was missing before, nothing goes until all of it is back: a share that is restored comes file by file.
    /// `refused` items stand there unchanged and would be withdrawn because they are read in another way.
    pub(crate) fn missing(&self, known: &dyn KnownItems, guarded: bool, refused: u64) -> Missing {
        let mut unseen: Vec<Unseen> = Vec::new();
        let mut count = 0;
        known.for_each(&mut |key, registered| {
            let digest = short_digest(key.as_bytes());
            // What came in this pass may be registered by now, and makes up for nothing that was known before.
            count += u64::from(registered.is_some() && !self.new.contains(&digest));
            if !self.seen.contains(&digest) && !self.is_blind_at(&key) {
                unseen.push((key, registered));
            }
        });
        if !guarded {
            return Missing::Gone { keys: keys(unseen), emptied: Vec::new() };
        }
        // A folder that was held and is there no more: the operator's word for all that was known below it.
        let is_removed = |(key, registered): &&Unseen| {
            registered.is_none() && known.is_withheld(key) && !self.is_folder(key.as_bytes())
        };
        let removed: Vec<_> = unseen.iter().filter(is_removed).map(|(key, _)| key).collect();
        let is_meant = |key: &SourceKey| removed.iter().any(|folder| is_below(key, folder));
        let meant = unseen.iter().filter(|(key, it)| it.is_some() && is_meant(key)).count() as u64;
        count = count.saturating_sub(meant);
        let lost = |(key, registered): &&Unseen| {
            registered.is_some_and(|looks| !self.has_moved(&looks)) && !is_meant(key)
        };
        let lost: Vec<_> = unseen.iter().filter(lost).map(|(key, _)| key).collect();
        let would_go = lost.len() as u64 + refused;
        if count >= GUARDED && (would_go > count / 2 || (known.was_emptied() && would_go > 0)) {
            return Missing::Most { known: count, left: count.saturating_sub(would_go) };
        }
        let held = self.held(known, &lost);
        let (held, emptied) = (all(&held), told(&held));
        unseen.retain(|(key, registered)| {
            // A file that is there under another name is registered under that one.
            registered.is_some_and(|looks| self.has_moved(&looks))
                || !(held.contains(key.as_bytes())
                    || folders_of(key).any(|folder| held.contains(folder)))
        });
        Missing::Gone { keys: keys(unseen), emptied }
    }

    /// Folders that are there, and below which most of what was registered is lost: each may be the place of a share of
    /// its own. One that was held before is held until nothing is lost below it.
    fn held(&self, known: &dyn KnownItems, lost: &[&SourceKey]) -> BTreeMap<Vec<u8>, Below> {
        let mut folders: BTreeMap<Vec<u8>, Below> = BTreeMap::new();
        for folder in lost.iter().flat_map(|key| folders_of(key)) {
            if let Some(below) = folders.get_mut(folder) {
                below.lost += 1;
            } else if self.is_folder(folder) {
                folders.insert(folder.to_vec(), Below { known: 0, lost: 1 });
            }
        }
        let was_held = |folder: &[u8]| known.is_withheld(&SourceKey::from_bytes(folder.to_vec()));
        folders.retain(|folder, below| below.lost > GUARDED / 2 || was_held(folder));
        if folders.is_empty() {
            return folders;
        }
        known.for_each(&mut |key, registered| {
            if registered.is_none() || self.new.contains(&short_digest(key.as_bytes())) {
                return;
            }
            for folder in folders_of(&key) {
                if let Some(below) = folders.get_mut(folder) {
                    below.known += 1;
                }
            }
        });
        folders.retain(|folder, below| {
            (below.known >= GUARDED && below.lost > below.known / 2) || was_held(folder)
        });
        folders
    }

    fn is_folder(&self, key: &[u8]) -> bool {
        self.folders.contains(&short_digest(key))
    }

    fn has_moved(&self, looks: &Fingerprint) -> bool {
        self.arrived.contains(&kept(looks))
    }

    fn is_blind_at(&self, key: &SourceKey) -> bool {
        self.blind.iter().any(|at| at == key || is_below(key, at))
    }
}

fn all(held: &BTreeMap<Vec<u8>, Below>) -> BTreeSet<&[u8]> {
    held.keys().map(Vec::as_slice).collect()
}

/// The folders that the operator hears of: not one all of whose losses are those of a folder in it.
fn told(held: &BTreeMap<Vec<u8>, Below>) -> Vec<SourceKey> {
    let mut explained = BTreeSet::new();
    for (folder, below) in held {
        let above = folders_of_bytes(folder);
        explained.extend(above.filter(|it| held.get(*it).is_some_and(|it| it.lost == below.lost)));
    }
    let told = held.keys().filter(|folder| !explained.contains(folder.as_slice()));
    told.map(|folder| SourceKey::from_bytes(folder.clone())).collect()
}

fn keys(unseen: Vec<Unseen>) -> Vec<SourceKey> {
    unseen.into_iter().map(|(key, _)| key).collect()
}

/// Every folder above a key, but the root.
fn folders_of(key: &SourceKey) -> impl Iterator<Item = &[u8]> {
    folders_of_bytes(key.as_bytes())
}

fn folders_of_bytes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| key.get(..end))
}

fn short_digest(key: &[u8]) -> ShortDigest {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

fn is_below(key: &SourceKey, folder: &SourceKey) -> bool {
    let folder = folder.as_bytes();
    folder.is_empty()
        || key.as_bytes().strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}
