//! One pass over a folder: compares what stands there with what is known and says the difference.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::beneath::Root;
use super::gone::{Most, Sight, above, folders_of, is_unwritten};
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

/// What has not come to rest: what it looked like (`None`: it was not there), and since when.
pub(crate) type Restless = HashMap<SourceKey, (Option<Fingerprint>, SystemTime)>;

/// One pass over the folder.
pub(crate) struct Pass<'a> {
    adapter: &'a DocumentsAdapter,
    root: &'a Root,
    known: &'a dyn KnownItems,
    emit: Emit<'a>,
    report: ScanReport,
    now: SystemTime,
    sight: Sight,
    /// Registered items that nobody changed and that the settings refuse: decided about with all that is missing.
    refused: Vec<(SourceKey, Fingerprint, Refusal)>,
    /// Files that describe others, to be read when it is known who else describes those.
    describing: Vec<(Candidate, Option<Fingerprint>)>,
    /// Folders, or the root, in which a file is half written that may describe others there or below.
    unclear: HashSet<Vec<u8>>,
    /// Who has which document id, of the documents read in this pass.
    holders: HashMap<DocumentIdDigest, SourceKey>,
    restless: Restless,
    /// Which files describe others, now and in the pass before.
    pointing: Pointing,
    pointed: Arc<Pointing>,
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
            sight: Sight::since(adapter.new_since().clone()),
            refused: Vec::new(),
            describing: Vec::new(),
            unclear: HashSet::new(),
            holders: HashMap::new(),
            restless: HashMap::new(),
            pointing: Pointing::of_a_pass(),
            pointed: adapter.pointing().clone(),
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
                self.unreadable(key)
            }
            Seen::Folder { key } => {
                self.sight.see_folder(&key);
                ControlFlow::Continue(())
            }
            Seen::Refused { key, fingerprint, refusal } => {
                self.sight.see(&key);
                if refusal.reason() == QuarantineReason::Unreadable {
                    // It may be a folder: a share that hangs stands there and tells nothing.
                    self.sight.blind(key.clone());
                    return self.unreadable(key);
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
            self.sight.see_described(&candidate.key);
            return ControlFlow::Continue(());
        }
        let known = self.known.fingerprint(&candidate.key);
        let registered = self.known.registered(&candidate.key);
        if registered.is_some() {
            self.sight.see_registered(&candidate.key);
        } else {
            self.sight.see(&candidate.key);
            self.sight.arrive(&candidate.key, &candidate.fingerprint);
        }
        let most = self.adapter.settings.parse_limit_bytes;
        self.pointing.complete(self.root, &self.pointed, &mut candidate, known, most);
        if known == Some(candidate.fingerprint) {
            self.report.unchanged += 1;
            return ControlFlow::Continue(());
        }
        let was_described = self.pointed.describes(&candidate);
        if self.is_restless(&candidate, known.is_some() || was_described) {
            // What it describes may be missing in it only for now.
            self.pointing.keep(&self.pointed, &candidate.key);
            if self.pointing.is_unclear(self.root, &self.pointed, &candidate, most) {
                self.unclear.insert(above(&candidate.key).to_vec());
            }
            return ControlFlow::Continue(());
        }
        if registered.is_none() && candidate.sidecar.is_none() && self.may_be_described(&candidate)
        {
            self.look_again(self.adapter.settings.settle);
            return ControlFlow::Continue(());
        }
        if candidate.beside.is_some() {
            self.describing.push((candidate, registered));
            return ControlFlow::Continue(());
        }
        self.read(&candidate, registered)
    }

    /// Whether something half written may describe it.
    fn may_be_described(&self, candidate: &Candidate) -> bool {
        let above = core::iter::once(&b""[..]).chain(folders_of(&candidate.key));
        !self.unclear.is_empty() && above.into_iter().any(|folder| self.unclear.contains(folder))
    }

    fn read(&mut self, candidate: &Candidate, registered: Option<Fingerprint>) -> ControlFlow<()> {
        let stop = || self.known.should_stop();
        match read::read(self.root, candidate, &self.adapter.settings, &stop) {
            Ok(found) => self.found(found),
            Err(NotRead::Stopped) => ControlFlow::Break(()),
            Err(NotRead::Refused(refusal)) => self.refuse(candidate, registered, refusal),
        }
    }

    fn refuse(
        &mut self,
        candidate: &Candidate,
        registered: Option<Fingerprint>,
        mut refusal: Refusal,
    ) -> ControlFlow<()> {
        let (key, looks) = (candidate.key.clone(), candidate.fingerprint);
        match refusal.reason() {
            // The description says something else now, and what it says counts.
            QuarantineReason::AttachmentMissing
                if registered.is_some_and(|before| !is_unwritten(&before, &looks)) =>
            {
                refusal = QuarantineReason::NoAttachment.into();
            }
            reason
                if registered.is_some_and(|before| {
                    is_unwritten(&before, &looks) && is_of_the_surroundings(reason, &before)
                }) =>
            {
                self.refused.push((key, looks, refusal));
                return ControlFlow::Continue(());
            }
            _ => {}
        }
        // What says nothing of how the item looks is tried again in each pass.
        let looks = match refusal.reason() {
            QuarantineReason::Unreadable | QuarantineReason::ChangedWhileRead => None,
            _ => Some(looks),
        };
        self.quarantine(key, looks, refusal)
    }

    /// Whether a file still has to come to rest.
    ///
    /// Its server's clock may differ from ours by hours, so it counts only for what it calls old and what nobody knows yet: a
    /// folder of a million old files is read in one pass.
    fn is_restless(&mut self, candidate: &Candidate, is_known: bool) -> bool {
        let age = self.now.duration_since(candidate.written_at).unwrap_or(Duration::ZERO);
        let is_old = !is_known && age >= LONG_AGO && self.before(&candidate.key).is_none();
        !is_old && self.is_to_wait(&candidate.key, Some(candidate.fingerprint))
    }

    /// Whether a name has to be waited for: it has come to rest when it looked the same, or was not there, for long enough
    /// by our clock.
    fn is_to_wait(&mut self, key: &SourceKey, looks: Option<Fingerprint>) -> bool {
        let settle = self.adapter.settings.settle;
        let since = match self.before(key) {
            // Our own clock may have been set back.
            Some((before, since)) if before == looks => since.min(self.now),
            _ => self.now,
        };
        let rested = self.now.duration_since(since).unwrap_or(Duration::ZERO);
        if rested >= settle {
            return false;
        }
        self.restless.insert(key.clone(), (looks, since));
        self.look_again(settle - rested);
        true
    }

    /// Something cannot be taken before this time has passed.
    fn look_again(&mut self, wait: Duration) {
        self.report.unsettled += 1;
        let soonest = self.report.look_again_in.map_or(wait, |other| other.min(wait));
        self.report.look_again_in = Some(soonest);
    }

    /// What a name looked like in the pass before, if it was restless then.
    fn before(&self, key: &SourceKey) -> Option<(Option<Fingerprint>, SystemTime)> {
        self.adapter.restless().get(key).copied()
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

    /// What cannot be read now. A folder that is held stays so: its row must say why.
    fn unreadable(&mut self, key: SourceKey) -> ControlFlow<()> {
        if self.known.is_withheld(&key) {
            return ControlFlow::Continue(());
        }
        self.quarantine(key, None, QuarantineReason::Unreadable.into())
    }

    /// What was seen until the pass was told to end.
    pub(crate) fn broken_off(self) -> ScanReport {
        // What it registered was not known before, also for the pass that comes to its end.
        *self.adapter.new_since() = self.sight.into_new();
        self.report
    }

    /// Says what is gone: everything known that was not seen, except where we could not look.
    pub(crate) fn finish(mut self) -> Result<ScanReport, ScanError> {
        for (mut candidate, registered) in core::mem::take(&mut self.describing) {
            self.pointing.judge_shared(&mut candidate);
            if self.read(&candidate, registered).is_break() {
                return Ok(self.broken_off());
            }
        }
        // The last folder may have been listed in part.
        if self.known.should_stop() {
            return Ok(self.broken_off());
        }
        *self.adapter.pointing() = Arc::new(core::mem::take(&mut self.pointing));
        self.adapter.new_since().clear();
        let guarded = !self.adapter.settings.allow_emptied;
        let mut missing = self.sight.missing(self.known, guarded, self.refused.len() as u64);
        // A program that saves by removing and writing anew takes the file away for a moment.
        missing.gone.retain(|key| !self.is_to_wait(key, None));
        // Whatever becomes of the rest, files come to rest.
        *self.adapter.restless() = core::mem::take(&mut self.restless);
        if self.gone(missing.replaced).is_break() {
            return Ok(self.cut_short());
        }
        if let Some(Most { known, left }) = missing.most {
            let adapter = self.adapter.settings.name.clone();
            return Err(ScanError::Emptied { adapter, known, left });
        }
        self.report.complete =
            self.sight.is_whole() && missing.emptied.is_empty() && self.report.unsettled == 0;
        for source_key in missing.emptied {
            let reason = QuarantineReason::FolderEmptied;
            if self.quarantine(source_key, None, reason.into()).is_break() {
                return Ok(self.cut_short());
            }
        }
        for (key, fingerprint, refusal) in core::mem::take(&mut self.refused) {
            if self.quarantine(key, Some(fingerprint), refusal).is_break() {
                return Ok(self.cut_short());
            }
        }
        if self.gone(missing.gone).is_break() {
            return Ok(self.cut_short());
        }
        Ok(self.report)
    }

    fn gone(&mut self, keys: Vec<SourceKey>) -> ControlFlow<()> {
        for source_key in keys {
            self.report.gone += 1;
            (self.emit)(Change::Gone { source_key })?;
        }
        ControlFlow::Continue(())
    }

    fn cut_short(mut self) -> ScanReport {
        self.report.complete = false;
        self.report
    }
}

/// Whether an item that nobody wrote to may be refused for this because the source is read in another way than before, or
/// because a sidecar is away that it had. That it is restricted is never one of them.
fn is_of_the_surroundings(reason: QuarantineReason, before: &Fingerprint) -> bool {
    use QuarantineReason as Q;
    match reason {
        Q::NoPatientIdentifier | Q::TooManyIdentifiers | Q::BadIdentifier | Q::TooLarge => true,
        Q::NoSidecar => before.companion != 0,
        _ => false,
    }
}
