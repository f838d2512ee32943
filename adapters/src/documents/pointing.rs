//! Files that describe others beside them: a DocumentReference whose bytes are a file of its own.
//!
//! The file that holds the bytes is no document of its own, and its looks are part of those of its description. Which file
//! that is stands inside the description, so it is remembered for as long as that looks the same.

use std::collections::{HashMap, HashSet};

use super::attachment::{self, Place};
use super::beneath::{self, Root};
use super::walk::{self, Candidate};
use crate::item::{Fingerprint, SourceKey};

/// The companion of a description whose document is not there. Not 0, which says that a file describes no other.
const ABSENT: u64 = 1;

/// The looks of a described file in one number, never 0.
pub(crate) fn companion(looks: Option<&Fingerprint>) -> u64 {
    looks.map_or(ABSENT, walk::companion)
}

/// Who describes whom.
#[derive(Default)]
pub(crate) struct Pointing {
    /// By the file that describes: what it looked like, and what it describes.
    to: HashMap<SourceKey, (Fingerprint, SourceKey)>,
    described: HashSet<SourceKey>,
}

impl Pointing {
    /// Whether another file that was seen before describes this one.
    pub(crate) fn describes(&self, candidate: &Candidate) -> bool {
        candidate.sidecar.is_none() && self.described.contains(&candidate.key)
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
        let name = core::str::from_utf8(candidate.key.as_bytes()).unwrap_or_default();
        if candidate.sidecar.is_some() || !walk::is_json(name) {
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
        self.described.insert(to.clone());
        self.to.insert(candidate.key.clone(), (candidate.fingerprint, to.clone()));
        let looks = root.looks(&to).ok().map(|looks| looks.fingerprint);
        candidate.fingerprint.companion = companion(looks.as_ref());
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
