//! Decides which known items are gone, and when so many are that the folder is more likely not what it was.
//!
//! A withdrawal is for ever: what comes back is another record. A share that is not mounted looks like a folder whose
//! files were all removed, so such a look is held until an operator says that it is meant.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use crate::adapter::KnownItems;
use crate::item::{Fingerprint, SourceKey};

/// From this many known items on, a folder that lost most of them is taken for a share that is not mounted.
pub(crate) const GUARDED: u64 = 10;

/// A key in 16 bytes: a million of them are 16 MB however long the names are.
pub(crate) type ShortDigest = [u8; 16];

/// What a pass saw.
#[derive(Default)]
pub(crate) struct Sight {
    /// Keys that stand there.
    seen: HashSet<ShortDigest>,
    /// Folders below the root in which nothing stands.
    empty: HashSet<ShortDigest>,
    /// Names of which it could not be seen what stands at them, or below.
    blind: Vec<SourceKey>,
    /// Keys that were not known before.
    new: HashSet<ShortDigest>,
    /// Looks of the files there: one that was renamed has the same ones.
    arrived: HashSet<(u64, i64, u64)>,
}

/// What a file keeps when it is renamed.
fn kept(looks: &Fingerprint) -> (u64, i64, u64) {
    (looks.size_bytes, looks.modified_ns, looks.inode)
}

/// What became of known items that were not seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// They are gone, but for those below empty folders.
    Gone {
        /// What may be withdrawn.
        keys: Vec<SourceKey>,
        /// Empty folders below which much was known.
        emptied: Vec<SourceKey>,
    },
    /// Most of what was known is not there.
    Most {
        /// How many items were known.
        known: u64,
        /// How many of them are still there and whole.
        left: u64,
    },
}

impl Sight {
    pub(crate) fn see(&mut self, key: &SourceKey) {
        self.seen.insert(short_digest(key.as_bytes()));
    }

    pub(crate) fn see_empty(&mut self, folder: &SourceKey) {
        self.empty.insert(short_digest(folder.as_bytes()));
    }

    /// A file stands there under a name that was not known.
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

    /// What of the known items is missing; `guarded` is false where the operator wants everything withdrawn. While most
    /// was missing before (`held`), nothing goes until all of it is back: a share that is restored comes file by file.
    /// `bereft` items stand there and would be withdrawn for what is missing beside them.
    pub(crate) fn missing(
        &self,
        known: &dyn KnownItems,
        guarded: bool,
        held: bool,
        bereft: usize,
    ) -> Missing {
        let mut count = 0;
        let mut gone = Vec::new();
        known.for_each(&mut |key| {
            let digest = short_digest(key.as_bytes());
            // What came in this pass is known by now, and makes up for nothing that was known before.
            count += u64::from(!self.new.contains(&digest));
            if !self.seen.contains(&digest) && !self.is_blind_at(&key) {
                gone.push(key);
            }
        });
        if guarded && count >= GUARDED {
            // A renamed folder takes nothing away: its files stand under other names.
            let moved = |key: &&SourceKey| {
                known.fingerprint(key).is_some_and(|looks| self.arrived.contains(&kept(&looks)))
            };
            let moved = gone.iter().filter(moved).count();
            let lost = (gone.len() - moved + bereft) as u64;
            if lost > count / 2 || (held && lost > 0) {
                return Missing::Most { known: count, left: count - lost };
            }
        }
        let emptied = if guarded { self.emptied(&gone) } else { Vec::new() };
        // An empty folder that is held is itself an item in quarantine, and not gone either.
        gone.retain(|key| !emptied.iter().any(|folder| folder == key || is_below(key, folder)));
        Missing::Gone { keys: gone, emptied }
    }

    /// Empty folders below which much is missing: each may be the place of a share of its own.
    fn emptied(&self, gone: &[SourceKey]) -> Vec<SourceKey> {
        let mut below: BTreeMap<&[u8], u64> = BTreeMap::new();
        for key in gone {
            let key = key.as_bytes();
            let ends = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let folders = ends.map(|(end, _)| &key[..end]);
            // An empty folder has none below it, so there is at most one.
            for folder in folders.filter(|it| self.empty.contains(&short_digest(it))) {
                *below.entry(folder).or_default() += 1;
            }
        }
        let much = below.into_iter().filter(|(_, count)| *count >= GUARDED);
        much.map(|(folder, _)| SourceKey::from_bytes(folder)).collect()
    }

    fn is_blind_at(&self, key: &SourceKey) -> bool {
        self.blind.iter().any(|at| at == key || is_below(key, at))
    }
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
