//! One pass over a folder: compares what stands there with what is known and says the difference.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::beneath::Root;
use super::gone::{Missing, Sight};
use super::pointing::Pointing;
use super::read::NotRead;
use super::walk::{Candidate, Seen};
use super::{DocumentsAdapter, read};
use crate::adapter::{Change, Emit, KnownItems, Quarantined, ScanError, ScanReport};
use crate::item::{DocumentIdDigest, Fingerprint, FoundDocument, FoundWarning, SourceKey};
use crate::reason::{QuarantineReason, Refusal};

/// What was written this long ago by its server's clock is at rest, however wrong that clock is set. Less would trust a
/// clock that is behind: there a file that is being written looks old.
const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

/// One pass over the folder.
pub(crate) struct Pass<'a> {
    adapter: &'a DocumentsAdapter,
    root: &'a Root,
    known: &'a dyn KnownItems,
    emit: Emit<'a>,
    report: ScanReport,
    now: SystemTime,
    sight: Sight,
    /// Known items whose document beside them is missing: decided about with all that is.
    bereft: Vec<(SourceKey, Fingerprint, Refusal)>,
    /// Who has which document id, of the documents read in this pass.
    holders: HashMap<DocumentIdDigest, SourceKey>,
    restless: HashMap<SourceKey, (Fingerprint, SystemTime)>,
    /// Which files describe others, now and in the pass before.
    pointing: Pointing,
    pointed: Pointing,
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
            sight: Sight::default(),
            bereft: Vec::new(),
            holders: HashMap::new(),
            restless: HashMap::new(),
            pointing: Pointing::default(),
            pointed: core::mem::take(
                &mut *adapter.pointing.lock().unwrap_or_else(PoisonError::into_inner),
            ),
        }
    }

    /// Takes one thing that stands in the folder.
    pub(crate) fn take(&mut self, seen: Seen) -> ControlFlow<()> {
        match seen {
            Seen::Blind { key } => {
                self.sight.blind(key.clone());
                if key.as_bytes().is_empty() {
                    return ControlFlow::Continue(());
                }
                self.sight.see(&key);
                self.quarantine(key, None, QuarantineReason::Unreadable.into())
            }
            Seen::Empty { key } => {
                self.sight.see_empty(&key);
                ControlFlow::Continue(())
            }
            Seen::Refused { key, fingerprint, refusal } => {
                self.sight.see(&key);
                if refusal.reason() == QuarantineReason::Unreadable {
                    // It may be a folder: a share that hangs stands there and tells nothing.
                    self.sight.blind(key.clone());
                }
                if fingerprint.is_some() && self.known.fingerprint(&key) == fingerprint {
                    self.report.unchanged += 1;
                    return ControlFlow::Continue(());
                }
                self.quarantine(key, fingerprint, refusal)
            }
            Seen::File(candidate) => self.file(candidate),
        }
    }

    fn file(&mut self, mut candidate: Candidate) -> ControlFlow<()> {
        if self.pointing.describes(&candidate) {
            return ControlFlow::Continue(());
        }
        self.sight.see(&candidate.key);
        let known = self.known.fingerprint(&candidate.key);
        if known.is_none() {
            self.sight.arrive(&candidate.key, &candidate.fingerprint);
        }
        let most = self.adapter.settings.parse_limit_bytes;
        self.pointing.complete(self.root, &self.pointed, &mut candidate, known, most);
        let candidate = &candidate;
        if known == Some(candidate.fingerprint) {
            self.report.unchanged += 1;
            return ControlFlow::Continue(());
        }
        if let Some(wait) = self.rests_in(candidate, known.is_some()) {
            self.report.unsettled += 1;
            let soonest = self.report.look_again_in.map_or(wait, |other| other.min(wait));
            self.report.look_again_in = Some(soonest);
            return ControlFlow::Continue(());
        }
        let stop = || self.known.should_stop();
        match read::read(self.root, candidate, &self.adapter.settings, &stop) {
            Ok(found) => self.found(found),
            Err(NotRead::Stopped) => ControlFlow::Break(()),
            Err(NotRead::Refused(refusal))
                if known.is_some() && refusal.reason() == QuarantineReason::AttachmentMissing =>
            {
                self.bereft.push((candidate.key.clone(), candidate.fingerprint, refusal));
                ControlFlow::Continue(())
            }
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
    /// It has when it looked the same for long enough by our clock. The file server's may differ by hours, so it counts
    /// only for what it calls old and what nobody knows yet: a folder of a million old files is read in one pass.
    fn rests_in(&mut self, candidate: &Candidate, is_known: bool) -> Option<Duration> {
        let settle = self.adapter.settings.settle;
        let age = self.now.duration_since(candidate.written_at).unwrap_or(Duration::ZERO);
        if settle.is_zero() || (!is_known && age >= LONG_AGO) {
            return None;
        }
        let before = {
            let restless = self.adapter.restless.lock().unwrap_or_else(PoisonError::into_inner);
            restless.get(&candidate.key).copied()
        };
        let since = match before {
            // Our own clock may have been set back.
            Some((looks, since)) if looks == candidate.fingerprint => since.min(self.now),
            _ => self.now,
        };
        let rested = self.now.duration_since(since).unwrap_or(Duration::ZERO);
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
        // Whatever becomes of the rest, files come to rest.
        let restless = core::mem::take(&mut self.restless);
        *self.adapter.restless.lock().unwrap_or_else(PoisonError::into_inner) = restless;
        let pointing = core::mem::take(&mut self.pointing);
        *self.adapter.pointing.lock().unwrap_or_else(PoisonError::into_inner) = pointing;
        let guarded = !self.adapter.settings.allow_emptied;
        let held = self.adapter.held.load(Ordering::Relaxed);
        let missing = self.sight.missing(self.known, guarded, held, self.bereft.len());
        self.adapter.held.store(matches!(missing, Missing::Most { .. }), Ordering::Relaxed);
        let (gone, emptied) = match missing {
            Missing::Gone { keys, emptied } => (keys, emptied),
            Missing::Most { known, left } => {
                let adapter = self.adapter.settings.name.clone();
                return Err(ScanError::Emptied { adapter, known, left });
            }
        };
        self.report.complete =
            self.sight.is_whole() && emptied.is_empty() && self.report.unsettled == 0;
        for source_key in emptied {
            let reason = QuarantineReason::FolderEmptied;
            if self.quarantine(source_key, None, reason.into()).is_break() {
                return Ok(self.cut_short());
            }
        }
        for (key, fingerprint, refusal) in core::mem::take(&mut self.bereft) {
            if self.quarantine(key, Some(fingerprint), refusal).is_break() {
                return Ok(self.cut_short());
            }
        }
        for source_key in gone {
            self.report.gone += 1;
            if (self.emit)(Change::Gone { source_key }).is_break() {
                return Ok(self.cut_short());
            }
        }
        Ok(self.report)
    }

    fn cut_short(mut self) -> ScanReport {
        self.report.complete = false;
        self.report
    }
}
