//! Files that describe others beside them: a DocumentReference whose bytes are a file of its own.
//!
//! The file that holds the bytes is no document of its own, and its looks are part of those of its description. Which file
//! that is stands inside the description, so it is remembered for as long as that looks the same.

use std::collections::{HashMap, HashSet};
use std::io;

use super::attachment::{self, Place};
use super::beneath::{self, Root, sidecar_of};
use super::walk::{self, Candidate};
use crate::item::{Fingerprint, SourceKey};

/// The companion of a description whose document is not there. Not 0, which says that a file describes no other.
const ABSENT: u64 = 1;

/// That of one whose document something else describes as well, so that it may not stand.
const OVERRULED: u64 = 2;

/// The looks of a described file in one number, never 0.
pub(crate) fn companion(root: &Root, to: &SourceKey, is_shared: bool) -> u64 {
    // A sidecar may come at any time and say that the document is restricted.
    if is_shared || has_sidecar(root, to) {
        return OVERRULED;
    }
    root.looks(to).map_or(ABSENT, |looks| walk::companion(&looks.fingerprint))
}

/// Whether a sidecar may stand beside a file: one that cannot be looked at could say that it is restricted.
pub(crate) fn has_sidecar(root: &Root, of: &SourceKey) -> bool {
    !matches!(root.looks(&sidecar_of(of)), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Who describes whom.
#[derive(Default)]
pub(crate) struct Pointing {
    /// Whether a pass made it; before the first one nobody knows who described whom.
    is_known: bool,
    /// Files that were half written when the first pass came, and are still: what they describe is not known.
    unclear: HashSet<SourceKey>,
    /// By the file that describes: what it looked like, and what it describes.
    to: HashMap<SourceKey, (Fingerprint, SourceKey)>,
    /// How many describe a file.
    described: HashMap<SourceKey, usize>,
}

impl Pointing {
    /// What a pass begins with.
    pub(crate) fn of_a_pass() -> Self {
        Self { is_known: true, ..Self::default() }
    }

    /// Whether more than one file describes this one; tells the candidate.
    pub(crate) fn judge_shared(&self, candidate: &mut Candidate) {
        let Some(to) = &candidate.beside else { return };
        if self.described.get(to).is_some_and(|describers| *describers > 1) {
            candidate.is_shared = true;
            candidate.fingerprint.companion = OVERRULED;
        }
    }

    /// Whether what a file beside or below it is, is not known: this one may describe it, and is half written.
    pub(crate) fn is_unclear(
        &mut self,
        root: &Root,
        before: &Self,
        candidate: &Candidate,
        most: u64,
    ) -> bool {
        let key = &candidate.key;
        if candidate.sidecar.is_some() || candidate.beside.is_some() || self.to.contains_key(key) {
            return false;
        }
        let unclear = walk::is_json(key.as_bytes())
            && (!before.is_known || before.unclear.contains(key))
            && candidate.fingerprint.size_bytes <= most
            && root.file(key).is_ok_and(|(file, _)| attachment::place(&file).is_err());
        if unclear {
            self.unclear.insert(key.clone());
        }
        unclear
    }

    /// Whether another file that was seen before describes this one.
    pub(crate) fn describes(&self, candidate: &Candidate) -> bool {
        candidate.sidecar.is_none() && self.described.contains_key(&candidate.key)
    }

    /// Goes by what a file that is still being written described before: what it described is no document of its own
    /// meanwhile.
    pub(crate) fn keep(&mut self, before: &Self, key: &SourceKey) {
        if self.to.contains_key(key) {
            return;
        }
        if let Some((looks, to)) = before.to.get(key) {
            *self.described.entry(to.clone()).or_default() += 1;
            // With the looks of then, so that it is asked again in the next pass.
            self.to.insert(key.clone(), (*looks, to.clone()));
        }
    }

    /// Completes a candidate that describes another file: its looks and its age are those of both.
    ///
    /// `before` is what the last pass found, `known` what the candidate looked like when it was taken;
    /// descriptions have `most` bytes.
    pub(crate) fn complete(
        &mut self,
        root: &Root,
        before: &Self,
        candidate: &mut Candidate,
        known: Option<Fingerprint>,
        most: u64,
    ) {
        if candidate.sidecar.is_some() || !walk::is_json(candidate.key.as_bytes()) {
            return;
        }
        let remembered = before.to.get(&candidate.key);
        let remembered = remembered.filter(|(looks, _)| *looks == candidate.fingerprint);
        let to = match remembered {
            Some((_, to)) => Some(to.clone()),
            // Taken as it is, without a companion: it describes no other file.
            None if known == Some(candidate.fingerprint) => None,
            None => described_by(root, &candidate.key, most),
        };
        let Some(to) = to else { return };
        let describers = self.described.entry(to.clone()).or_default();
        *describers += 1;
        // Whoever came first in this pass is told by the next one.
        let before = before.described.get(&to).copied().unwrap_or_default();
        candidate.is_shared = *describers > 1 || before > 1;
        self.to.insert(candidate.key.clone(), (candidate.fingerprint, to.clone()));
        let looks = root.looks(&to).ok().map(|looks| looks.fingerprint);
        candidate.fingerprint.companion = companion(root, &to, candidate.is_shared);
        let written_at = looks.map_or(candidate.written_at, walk::written_at);
        candidate.written_at = candidate.written_at.max(written_at);
        candidate.beside = Some(to);
    }
}

/// The file that a file describes, if it does. One that is not whole yet describes none.
///
/// No file of more than `most` bytes is read, as none of that size is registered: what it says could have any length.
pub(crate) fn described_by(root: &Root, key: &SourceKey, most: u64) -> Option<SourceKey> {
    let (file, looks) = root.file(key).ok()?;
    if looks.size_bytes > most {
        return None;
    }
    match attachment::place(&file) {
        Ok(Some(Place::Beside(path))) => Some(beneath::beside(key, &path)),
        _ => None,
    }
}
