//! One pass over a folder: compares what stands there with what is known and says the difference.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::beneath::Root;
use super::read::NotRead;
use super::walk::{Candidate, Seen};
use super::{DocumentsAdapter, read};
use crate::adapter::{Change, Emit, KnownItems, Quarantined, ScanError, ScanReport};
use crate::item::{DocumentIdDigest, Fingerprint, FoundDocument, FoundWarning, SourceKey};
use crate::reason::{QuarantineReason, Refusal};

/// From this many known items on, an empty folder is taken for a share that is not mounted.
pub(crate) const EMPTIED_GUARD: u64 = 10;

/// One pass over the folder.
pub(crate) struct Pass<'a> {
    adapter: &'a DocumentsAdapter,
    root: &'a Root,
    known: &'a dyn KnownItems,
    emit: Emit<'a>,
    report: ScanReport,
    now: SystemTime,
    /// Keys that stand there, as digests: a million of them are 16 MB however long their names.
    seen: HashSet<[u8; 16]>,
    /// Folders whose content could not be seen.
    blind: Vec<SourceKey>,
    /// Who has which document id, of the documents read in this pass.
    holders: HashMap<DocumentIdDigest, SourceKey>,
    restless: HashMap<SourceKey, (Fingerprint, SystemTime)>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        adapter: &'a DocumentsAdapter,
        root: &'a Root,
        known: &'a dyn KnownItems,
        emit: Emit<'a>,
    ) -> Self {
        Self {
            adapter,
            root,
            known,
            emit,
            report: ScanReport::default(),
            now: adapter.settings.clock.now(),
            seen: HashSet::new(),
            blind: Vec::new(),
            holders: HashMap::new(),
            restless: HashMap::new(),
        }
    }

    /// Takes one thing that stands in the folder.
    pub(crate) fn take(&mut self, seen: Seen) -> ControlFlow<()> {
        match seen {
            Seen::Blind { key } => {
                self.blind.push(key.clone());
                if key.as_bytes().is_empty() {
                    return ControlFlow::Continue(());
                }
                self.see(&key);
                self.quarantine(key, None, QuarantineReason::Unreadable.into())
            }
            Seen::Refused { key, fingerprint, refusal } => {
                self.see(&key);
                if fingerprint.is_some() && self.known.fingerprint(&key) == fingerprint {
                    self.report.unchanged += 1;
                    return ControlFlow::Continue(());
                }
                self.quarantine(key, fingerprint, refusal)
            }
            Seen::File(candidate) => self.file(&candidate),
        }
    }

    fn file(&mut self, candidate: &Candidate) -> ControlFlow<()> {
        self.see(&candidate.key);
        if self.known.fingerprint(&candidate.key) == Some(candidate.fingerprint) {
            self.report.unchanged += 1;
            return ControlFlow::Continue(());
        }
        if let Some(wait) = self.rests_in(candidate) {
            self.report.unsettled += 1;
            let soonest = self.report.look_again_in.map_or(wait, |other| other.min(wait));
            self.report.look_again_in = Some(soonest);
            return ControlFlow::Continue(());
        }
        let stop = || self.known.should_stop();
        match read::read(self.root, candidate, &self.adapter.settings, &stop) {
            Ok(found) => self.found(found),
            Err(NotRead::Stopped) => ControlFlow::Break(()),
            Err(NotRead::Refused(refusal)) => {
                // What says nothing about the content is tried again in each pass.
                let tried = !refusal.reason().is_passing();
                let fingerprint = tried.then_some(candidate.fingerprint);
                self.quarantine(candidate.key.clone(), fingerprint, refusal)
            }
        }
    }

    /// How long to wait until a file has come to rest; `None` if it has.
    ///
    /// It has when it was last written long enough ago by the file server's clock, or has looked the same long enough
    /// by ours: the two clocks may differ by hours.
    fn rests_in(&mut self, candidate: &Candidate) -> Option<Duration> {
        let settle = self.adapter.settings.settle;
        if settle.is_zero() {
            return None;
        }
        let by_server = self.now.duration_since(candidate.written_at).unwrap_or(Duration::ZERO);
        let before = {
            let restless = self.adapter.restless.lock().unwrap_or_else(PoisonError::into_inner);
            restless.get(&candidate.key).copied()
        };
        let since = match before {
            Some((looks, since)) if looks == candidate.fingerprint => since,
            _ => self.now,
        };
        let by_us = self.now.duration_since(since).unwrap_or(Duration::ZERO);
        let rested = by_server.max(by_us);
        if rested >= settle {
            return None;
        }
        self.restless.insert(candidate.key.clone(), (candidate.fingerprint, since));
        Some(settle - rested)
    }

    fn found(&mut self, mut found: FoundDocument) -> ControlFlow<()> {
        if let Some(id) = &found.document_id {
            let id = id.digest();
            let key = &found.source_key;
            let in_this_pass = self.holders.get(&id).filter(|holder| *holder != key).is_some();
            let registered = self.known.holder_of(&id).filter(|holder| holder != key);
            // A file that was renamed has its own id.
            let still_there = registered.is_some_and(|holder| self.root.looks(&holder).is_ok());
            if in_this_pass || still_there {
                tracing::warn!(
                    adapter = self.adapter.settings.name,
                    reason = FoundWarning::DuplicateDocumentId.code(),
                    "two files of this folder have one document id; both are registered: if one is a copy, remove it"
                );
                found.warnings.push(FoundWarning::DuplicateDocumentId);
            }
            self.holders.insert(id, key.clone());
        }
        self.report.found += 1;
        (self.emit)(Change::Found(Box::new(found)))
    }

    fn quarantine(
        &mut self,
        source_key: SourceKey,
        fingerprint: Option<Fingerprint>,
        refusal: Refusal,
    ) -> ControlFlow<()> {
        self.report.quarantined += 1;
        (self.emit)(Change::Quarantined(Quarantined {
            source_key,
            fingerprint,
            reason: refusal.reason(),
            message: refusal.to_string(),
        }))
    }

    fn see(&mut self, key: &SourceKey) {
        self.seen.insert(short_digest(key));
    }

    /// What was seen until the pass was told to end.
    pub(crate) fn broken_off(self) -> ScanReport {
        self.report
    }

    /// Says what is gone: everything known that was not seen, except where we could not look.
    pub(crate) fn finish(mut self) -> Result<ScanReport, ScanError> {
        // The last folder may have been listed in part.
        if self.known.should_stop() {
            return Ok(self.report);
        }
        let mut known = 0;
        let mut gone = Vec::new();
        let (seen, blind) = (&self.seen, &self.blind);
        self.known.for_each(&mut |key| {
            known += 1;
            if !seen.contains(&short_digest(&key)) && !blind.iter().any(|b| is_below(&key, b)) {
                gone.push(key);
            }
        });
        if self.seen.is_empty() && known >= EMPTIED_GUARD && !self.adapter.settings.allow_emptied {
            return Err(ScanError::Emptied { adapter: self.adapter.settings.name.clone(), known });
        }
        for source_key in gone {
            self.report.gone += 1;
            if (self.emit)(Change::Gone { source_key }).is_break() {
                return Ok(self.report);
            }
        }
        let mut restless = self.adapter.restless.lock().unwrap_or_else(PoisonError::into_inner);
        *restless = self.restless;
        self.report.complete = self.blind.is_empty() && self.report.unsettled == 0;
        Ok(self.report)
    }
}

fn short_digest(key: &SourceKey) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

fn is_below(key: &SourceKey, folder: &SourceKey) -> bool {
    let folder = folder.as_bytes();
    folder.is_empty()
        || key.as_bytes().strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}
