//! Decides which known items are gone, and when so many are that the folder is more likely not what it was.
//!
//! A withdrawal is for ever: what comes back is another record. A share that is not mounted looks like a folder whose
//! files were all removed, so such a look is held until an operator says that it is meant.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::adapter::KnownItems;
use crate::item::{Fingerprint, ShortDigest, SourceKey, short_digest};

/// From this many registered items on, a folder that lost most of them is taken for a share that is not mounted.
pub(crate) const GUARDED: u64 = 10;

/// What a pass saw.
#[derive(Default)]
pub(crate) struct Sight {
    /// Keys that stand there.
    seen: HashSet<ShortDigest>,
    /// Folders below the root.
    folders: HashSet<ShortDigest>,
    /// Folders, and the root, below which something registered stands.
    standing: HashSet<ShortDigest>,
    /// Names of which it could not be seen what stands at them, or below.
    blind: HashSet<SourceKey>,
    /// Keys that another file describes: they are no documents of their own.
    described: HashSet<ShortDigest>,
    /// Keys that were not registered when the pass, or one before it that was broken off, came by.
    new: HashSet<ShortDigest>,
    /// Looks of those of this pass: a file that was renamed has the same ones.
    arrived: HashSet<(u64, i64, u64)>,
}

/// What a file keeps when it is renamed.
fn kept(looks: &Fingerprint) -> (u64, i64, u64) {
    (looks.size_bytes, looks.modified_ns, looks.inode)
}

/// Whether nobody wrote to the file in between, whatever stands beside it. One that was restored has another inode.
pub(crate) fn is_unwritten(one: &Fingerprint, other: &Fingerprint) -> bool {
    (one.size_bytes, one.modified_ns) == (other.size_bytes, other.modified_ns)
}

/// What became of known items that were not seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What is there under another name, and what another file describes: no hold keeps them.
    pub(crate) replaced: Vec<SourceKey>,
    /// What may be withdrawn.
    pub(crate) gone: Vec<SourceKey>,
    /// Folders below which most is missing, and so nothing is gone.
    pub(crate) emptied: Vec<SourceKey>,
    /// Most of what was registered would be withdrawn, so nothing is gone.
    pub(crate) most: Option<Most>,
}

/// What is left of a source that lost most of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Most {
    /// How many items were registered.
    pub(crate) known: u64,
    /// How many of them would stay.
    pub(crate) left: u64,
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
    /// Nothing yet, after passes that were broken off and saw what was new.
    pub(crate) fn since(new: HashSet<ShortDigest>) -> Self {
        Self { new, ..Self::default() }
    }

    /// What was not registered before.
    pub(crate) fn into_new(self) -> HashSet<ShortDigest> {
        self.new
    }

    pub(crate) fn see(&mut self, key: &SourceKey) {
        self.seen.insert(key.short_digest());
    }

    /// A registered item stands there.
    pub(crate) fn see_registered(&mut self, key: &SourceKey) {
        self.see(key);
        let new = |folder: &&[u8]| !self.standing.contains(&short_digest(folder));
        let folders: Vec<_> = [&b""[..]].into_iter().chain(folders_of(key)).filter(new).collect();
        self.standing.extend(folders.into_iter().map(short_digest));
    }

    pub(crate) fn see_folder(&mut self, folder: &SourceKey) {
        self.folders.insert(short_digest(folder.as_bytes()));
    }

    /// A file that another one describes.
    pub(crate) fn see_described(&mut self, key: &SourceKey) {
        self.described.insert(key.short_digest());
    }

    /// A file stands there under a name that was not registered.
    pub(crate) fn arrive(&mut self, key: &SourceKey, looks: &Fingerprint) {
        self.new.insert(key.short_digest());
        self.arrived.insert(kept(looks));
    }

    pub(crate) fn blind(&mut self, at: SourceKey) {
        self.blind.insert(at);
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
        let mut missing = Missing::default();
        let mut unseen: Vec<Unseen> = Vec::new();
        let mut hidden: Vec<SourceKey> = Vec::new();
        let mut count = 0;
        known.for_each(&mut |key, registered| {
            let digest = key.short_digest();
            // What came in this pass may be registered by now, and makes up for nothing that was known before.
            count += u64::from(registered.is_some() && !self.new.contains(&digest));
            if self.seen.contains(&digest) {
                return;
            }
            if self.described.contains(&digest) {
                missing.replaced.push(key);
            } else if self.is_blind_at(&key) {
                hidden.extend(registered.is_some().then_some(key));
            } else if registered.is_some_and(|looks| self.arrived.contains(&kept(&looks))) {
                missing.replaced.push(key);
            } else {
                unseen.push((key, registered));
            }
        });
        if !guarded {
            missing.gone = keys(unseen);
            return missing;
        }
        let removed = self.removed(known, &unseen);
        let is_meant = |key: &SourceKey| is_in_or_below(key, &removed);
        let meant = unseen.iter().filter(|(key, it)| it.is_some() && is_meant(key)).count() as u64;
        let lost = unseen.iter().filter(|(key, it)| it.is_some() && !is_meant(key));
        let lost: Vec<_> = lost.map(|(key, _)| key).collect();
        count = count.saturating_sub(meant);
        let would_go = lost.len() as u64 + refused;
        let is_most = count >= GUARDED && would_go > count / 2;
        // What cannot be seen is not back.
        if is_most || (known.was_emptied() && would_go + hidden.len() as u64 > 0) {
            missing.most = Some(Most { known: count, left: count.saturating_sub(would_go) });
            return missing;
        }
        let held = self.held(known, &lost, &removed);
        missing.emptied = told(&held);
        let held: HashSet<&[u8]> = held.keys().map(Vec::as_slice).collect();
        let veiled: HashSet<&[u8]> = hidden.iter().flat_map(folders_of).collect();
        let stays = |key: &SourceKey| {
            is_in_or_below(key, &held)
                || (veiled.contains(key.as_bytes()) && known.is_withheld(key))
        };
        unseen.retain(|(key, _)| !stays(key));
        // The rows of folders last: they say why the rest may go.
        unseen.sort_by_key(|(_, registered)| registered.is_none());
        missing.gone = keys(unseen);
        missing
    }

    /// Folders that were held and are there no more: the operator's word for all that was known below them. Not where what
    /// they stood in is away as well, or held itself: then a share took them with it.
    fn removed<'u>(&self, known: &dyn KnownItems, unseen: &'u [Unseen]) -> HashSet<&'u [u8]> {
        if known.was_emptied() {
            return HashSet::new();
        }
        let is_removed = |key: &&'u SourceKey| {
            known.is_withheld(key)
                && !self.is_folder(key.as_bytes())
                && self.standing.contains(&short_digest(above(key)))
                && !folders_of(key).any(|it| known.is_withheld(&SourceKey::from_bytes(it.to_vec())))
        };
        let rows = unseen.iter().filter(|(_, registered)| registered.is_none()).map(|(key, _)| key);
        rows.filter(is_removed).map(SourceKey::as_bytes).collect()
    }

    /// Folders that are there, and below which most of what was registered is lost: each may be the place of a share of
    /// its own. One that was held before is held until nothing is lost below it.
    fn held(
        &self,
        known: &dyn KnownItems,
        lost: &[&SourceKey],
        removed: &HashSet<&[u8]>,
    ) -> BTreeMap<Vec<u8>, Below> {
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
            let is_new = self.new.contains(&key.short_digest());
            if registered.is_none() || is_new || is_in_or_below(&key, removed) {
                return;
            }
            for folder in folders_of(&key) {
                if let Some(below) = folders.get_mut(folder) {
                    below.known += 1;
                }
            }
        });
        folders.retain(|folder, below| {
            // Fewer than are lost: what is known could not be read.
            below.known < below.lost
                || (below.known >= GUARDED && below.lost > below.known / 2)
                || was_held(folder)
        });
        folders
    }

    fn is_folder(&self, key: &[u8]) -> bool {
        self.folders.contains(&short_digest(key))
    }

    fn is_blind_at(&self, key: &SourceKey) -> bool {
        !self.blind.is_empty()
            && (self.blind.contains(key)
                || self.blind.contains(&SourceKey::from_bytes(Vec::new()))
                || folders_of(key)
                    .any(|it| self.blind.contains(&SourceKey::from_bytes(it.to_vec()))))
    }
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

/// The folder in which a key stands; the root is empty.
pub(crate) fn above(key: &SourceKey) -> &[u8] {
    folders_of(key).last().unwrap_or_default()
}

/// Every folder above a key, but the root.
pub(crate) fn folders_of(key: &SourceKey) -> impl Iterator<Item = &[u8]> {
    folders_of_bytes(key.as_bytes())
}

fn folders_of_bytes(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.filter_map(|(end, _)| key.get(..end))
}

fn is_in_or_below(key: &SourceKey, folders: &HashSet<&[u8]>) -> bool {
    !folders.is_empty()
        && (folders.contains(key.as_bytes()) || folders_of(key).any(|it| folders.contains(it)))
}
