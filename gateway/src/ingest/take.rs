//! Takes what a scan found: drafts, publication, quarantine.

use sundbro_adapters::{
    self as item, Change, FoundDocument, FoundWarning, QuarantineReason, Refusal, SourceKey,
};
use sundbro_store::{DraftRefusal, OwnDraft, Quarantined};

use super::draft::{DraftError, Drafting, MapView, Outcome};
use super::known::Aside;
use super::{Ingest, blocking};

impl Ingest {
    /// Takes a group of changes. False when nothing could be taken and the pass must be repeated.
    pub(super) async fn take(&self, changes: Vec<Change>) -> bool {
        let mut drafts = Vec::new();
        let mut about: Vec<Published> = Vec::new();
        for change in changes {
            match self.draft(change).await {
                Ok(Some((draft, done))) => {
                    drafts.push(draft);
                    about.push(done);
                }
                Ok(None) => {}
                Err(error) => {
                    let error = crate::status::chain(&error);
                    tracing::warn!(
                        adapter = self.adapter.name(),
                        error,
                        "an item is tried again later"
                    );
                    return false;
                }
            }
        }
        if drafts.is_empty() {
            return true;
        }
        let Some(outcomes) = self.hand_over(drafts).await else { return false };
        let mut all = true;
        for (outcome, done) in outcomes.into_iter().zip(about) {
            match outcome {
                // What waits in the outbox is as durable as an entry.
                Ok(()) => self.settle(done).await,
                // Its locator moved between draft and append: the next pass drafts it anew.
                Err(DraftRefusal::LocatorMoved) => all = false,
                Err(refusal) => {
                    let error = crate::status::chain(&refusal);
                    tracing::error!(adapter = self.adapter.name(), error, "a draft was refused");
                    all = false;
                }
            }
        }
        all
    }

    /// What a change means for our log: a draft, or nothing.
    async fn draft(&self, change: Change) -> Result<Option<(OwnDraft, Published)>, DraftError> {
        let drafting = self.drafting();
        match change {
            Change::Found(found) => {
                self.warn(&found);
                let key = found.source_key.clone();
                self.seen().remember(&found);
                let looks = found.fingerprint;
                match blocking(move || drafting.register(&found)).await {
                    Ok(outcome) => Ok(self.drafted(outcome, key).await),
                    // One item that nobody could read holds up none of the others.
                    Err(DraftError::DoesNotFit) => {
                        let refusal = Refusal::from(QuarantineReason::MetadataRefused);
                        let item = item::Quarantined {
                            source_key: key,
                            fingerprint: Some(looks),
                            reason: refusal.reason(),
                            message: refusal.to_string(),
                        };
                        self.set_aside(self.drafting(), item).await
                    }
                    Err(error) => Err(error),
                }
            }
            Change::Gone { source_key } => {
                let key = source_key.clone();
                self.seen().forget(&key);
                let outcome = blocking(move || drafting.withdraw(&source_key)).await?;
                Ok(self.drafted(outcome, key).await)
            }
            Change::Quarantined(item) => self.set_aside(drafting, item).await,
        }
    }

    /// Quarantines an item, and withdraws what was registered under its key unless the reason is passing.
    async fn set_aside(
        &self,
        drafting: Drafting,
        item: item::Quarantined,
    ) -> Result<Option<(OwnDraft, Published)>, DraftError> {
        let key = item.source_key.clone();
        let aside = Aside { looks: item.fingerprint, reason: Some(item.reason) };
        // What is told in each pass is written once, and keeps the time of its first.
        if item.reason.is_passing() && self.seen().aside(&key) == Some(aside) {
            return Ok(None);
        }
        self.quarantine(&key, item.reason.code(), &item.message).await?;
        let done = Published { source_key: key.clone(), then: Then::SetAside(aside) };
        if !item.reason.is_passing()
            && let Outcome::Draft(draft) = blocking(move || drafting.withdraw(&key)).await?
        {
            return Ok(Some((*draft, done)));
        }
        self.settle(done).await;
        Ok(None)
    }

    fn drafting(&self) -> Drafting {
        Drafting {
            member: self.context.member.clone(),
            own_log: self.context.own_log,
            adapter: self.adapter.name().to_owned(),
            store: self.context.store.clone(),
            keys: self.context.keys.clone(),
            subjects: self.context.subjects.clone(),
            map: MapView::Ahead,
        }
    }

    async fn drafted(&self, outcome: Outcome, key: SourceKey) -> Option<(OwnDraft, Published)> {
        let done = Published { source_key: key, then: Then::Release };
        match outcome {
            Outcome::Draft(draft) => Some((*draft, done)),
            Outcome::Nothing => {
                self.settle(done).await;
                None
            }
        }
    }

    async fn settle(&self, done: Published) {
        // Only now: an item whose record is still to be withdrawn must be told again.
        self.seen().was_read(&done.source_key);
        if let Then::SetAside(aside) = done.then {
            return self.seen().set_aside(done.source_key, aside);
        }
        let (store, name) = (self.context.store.clone(), self.adapter.name().to_owned());
        let released =
            blocking(move || Ok(store.release(&name, done.source_key.as_bytes())?)).await;
        if let Err(error) = released {
            let error = crate::status::chain(&error);
            tracing::warn!(
                adapter = self.adapter.name(),
                error,
                "an item stays listed in quarantine"
            );
        }
    }

    async fn quarantine(
        &self,
        key: &SourceKey,
        reason: &str,
        message: &str,
    ) -> Result<(), DraftError> {
        let item = Quarantined {
            adapter: self.adapter.name().to_owned(),
            source_key: key.as_bytes().to_vec(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            unix_seconds: crate::clock::unix_seconds(),
        };
        tracing::warn!(adapter = self.adapter.name(), reason, "an item is in quarantine");
        let store = self.context.store.clone();
        blocking(move || Ok(store.quarantine(&item)?)).await
    }

    fn warn(&self, found: &FoundDocument) {
        for warning in &found.warnings {
            let code = warning.code();
            match warning {
                FoundWarning::DuplicateDocumentId => {
                    tracing::warn!(
                        adapter = self.adapter.name(),
                        warning = code,
                        "two items have one document id: both are registered"
                    );
                }
                _ => tracing::info!(adapter = self.adapter.name(), warning = code, "odd document"),
            }
        }
    }
}

/// What is left to do once a draft is durable.
struct Published {
    source_key: SourceKey,
    then: Then,
}

enum Then {
    /// The item leaves quarantine.
    Release,
    /// The item is in quarantine, and is read again when it looks different.
    SetAside(Aside),
}
