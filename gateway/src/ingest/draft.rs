//! What one item means for our log: a new record, a new version, a withdrawal, or nothing.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_adapters::{FoundDocument, SourceKey};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::canonical::encode;
use sundbro_ledger::ids::{LogId, MemberName, RecordId, SubjectTag};
use sundbro_ledger::object_id::derived_record_id;
use sundbro_ledger::payload::{Detail, Payload};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;
use sundbro_store::index::RecordPointer;
use sundbro_store::{Locator, LocatorChange, OwnDraft, Store, StoreError};

use super::facts::{Facts, Newest};
use crate::identity::OwnKeys;
use crate::subject::keys::SubjectKeys;
use crate::subject::tag::{tag, tag_for_writing};

/// How many withdrawals of one source key are looked through for its present record id, after the locators were lost.
const MAX_GENERATIONS: u32 = 100_000;

/// Why an item became no draft. It is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum DraftError {
    /// Our own disk failed.
    #[error("the store could not be read or written")]
    Store(#[from] StoreError),
    /// The subject key went away.
    #[error("no subject key is here yet: another member grants it when it is reached")]
    NoSubjectKey,
    /// What the item would say is void: everybody would keep it and nobody would show it.
    #[error("the ledger does not take the item's metadata: report this as a defect")]
    DoesNotFit,
    /// One key was withdrawn too often.
    #[error("a source key was withdrawn too often: rename the item")]
    TooManyGenerations,
    /// The operating system gives no randomness.
    #[error("the operating system gives no random bytes: check /dev/urandom")]
    NoRandomness,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Interrupted,
}

/// What an item means.
pub(super) enum Outcome {
    Draft(Box<OwnDraft>),
    Nothing,
}

/// With what drafts are made.
pub(super) struct Drafting {
    pub(super) member: MemberName,
    pub(super) own_log: LogId,
    pub(super) adapter: String,
    pub(super) store: Arc<Store>,
    pub(super) keys: Arc<OwnKeys>,
    pub(super) subjects: Arc<SubjectKeys>,
    pub(super) map: MapView,
}

/// By which state of the map from sources to records is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapView {
    /// As our log has it: for drafts that are about to be signed.
    Registered,
    /// As it will be once everything that waits is signed: for what a scan finds.
    Ahead,
}

/// Under which id and version an item is, or would be, registered.
pub(super) struct Place {
    pub(super) record: RecordId,
    pub(super) generation: u32,
    /// Its newest version, if it is registered and not withdrawn.
    registered: Option<RecordPointer>,
}

impl Drafting {
    /// A document is there.
    pub(super) fn register(&self, found: &FoundDocument) -> Result<Outcome, DraftError> {
        let facts = Facts::of_document(found, self.tags(found)?);
        self.register_facts(&facts, &|tags| self.are_the_same(tags, found))
    }

    /// An item says this; `same_persons` tells of the tags of its newest version whether they name whom it concerns.
    pub(super) fn register_facts(
        &self,
        facts: &Facts,
        same_persons: &dyn Fn(&[SubjectTag]) -> bool,
    ) -> Result<Outcome, DraftError> {
        let key = &facts.source_key;
        let place = self.place(key)?;
        let version = self.next_version(&place, key)?;
        let placed = (place.record.id, place.generation);
        if let Some(newest) = self.newest(&place, key)?
            && newest.says(facts)
            && same_persons(&newest.subjects)
        {
            // Only its looks changed, or the locator was lost: nothing new for the log. One that waits keeps its looks
            // until it is signed.
            if let Some(position) = newest.position {
                let locator = facts.locator(&self.adapter, placed, newest.version, position);
                self.store.put_locator(&locator)?;
            }
            return Ok(Outcome::Nothing);
        }
        let record = wire_id(&place.record);
        let mut detail = facts.detail.clone();
        detail.record = Some(v1::RecordVersion { record: Some(record.clone()), version });
        let detail = Detail::new(detail).map_err(|_| DraftError::DoesNotFit)?;
        let detail = Blob::frame(&salt()?, &detail.encode(), Audience::Federation)
            .map_err(|_| DraftError::DoesNotFit)?;
        let registered = v1::RecordRegistered {
            record: Some(record),
            version,
            subjects: facts.subjects.iter().map(wire_tag).collect(),
            lifecycle: facts.lifecycle,
            detail_commitment: Bytes::copy_from_slice(detail.detail_commitment().as_bytes()),
            replaces: None,
        };
        let body = v1::transaction_payload::Body::RecordRegistered(registered);
        let locator = facts.locator(&self.adapter, placed, version, 0);
        self.draft(body, Some(&detail), LocatorChange::Register(locator))
    }

    /// The source holds nothing under this key any more.
    pub(super) fn withdraw(&self, key: &SourceKey) -> Result<Outcome, DraftError> {
        let located = self.located(key.as_bytes())?;
        let Some(locator) = located.filter(|locator| locator.live) else {
            return Ok(Outcome::Nothing);
        };
        let record = RecordId { member: self.member.clone(), id: locator.record };
        let withdrawn = v1::RecordWithdrawn {
            record: Some(wire_id(&record)),
            reason: v1::WithdrawalReason::SourceRemoved.into(),
        };
        let change = LocatorChange::Withdraw {
            adapter: self.adapter.clone(),
            source_key: key.as_bytes().to_vec(),
        };
        self.draft(v1::transaction_payload::Body::RecordWithdrawn(withdrawn), None, change)
    }

    fn draft(
        &self,
        body: v1::transaction_payload::Body,
        detail: Option<&Blob>,
        locator: LocatorChange,
    ) -> Result<Outcome, DraftError> {
        let payload = encode(&v1::TransactionPayload { body: Some(body) });
        // What is published stays for ever, so it is read first as every replica will read it.
        Payload::parse(&payload).map_err(|_| DraftError::DoesNotFit)?;
        let payload = Blob::frame(&salt()?, &payload, Audience::Federation)
            .map_err(|_| DraftError::DoesNotFit)?;
        Ok(Outcome::Draft(Box::new(OwnDraft {
            commitment: payload.payload_commitment(),
            payload: payload.bytes().clone(),
            audience: Audience::Federation,
            detail: detail.map(|blob| (blob.detail_commitment(), blob.bytes().clone())),
            locator: Some(locator),
            request: None,
        })))
    }

    /// The record that a source key is now: by its locator; without one, by the id that follows from it.
    pub(super) fn place(&self, key: &[u8]) -> Result<Place, DraftError> {
        let known = self.located(key)?;
        if let Some(locator) = known.as_ref().filter(|locator| locator.live) {
            let record = RecordId { member: self.member.clone(), id: locator.record };
            let registered = self.registered(&record)?;
            return Ok(Place { record, generation: locator.generation, registered });
        }
        // A locator that is not live carries the generation. Without one, the ids that our own log withdrew tell it.
        let first = known.map_or(0, |locator| locator.generation);
        for generation in first..first.saturating_add(MAX_GENERATIONS) {
            let id = derived_record_id(&self.keys.object_id, &self.adapter, key, generation)
                .map_err(|_| DraftError::DoesNotFit)?;
            let record = RecordId { member: self.member.clone(), id };
            match self.store.record(&record)? {
                Some(pointer) if pointer.withdrawn => {}
                Some(pointer) => {
                    return Ok(Place { record, generation, registered: self.own(pointer) });
                }
                None => return Ok(Place { record, generation, registered: None }),
            }
        }
        Err(DraftError::TooManyGenerations)
    }

    /// The version that comes next under a place.
    pub(super) fn next_version(&self, place: &Place, key: &[u8]) -> Result<u32, DraftError> {
        // The index may lack what our log holds, as after payloads came back from an older copy: the locator knows too.
        let registered = place.registered.as_ref().map_or(0, |pointer| pointer.version);
        let located = self.located(key)?.filter(|it| it.live && it.record == place.record.id);
        Ok(registered.max(located.map_or(0, |it| it.version)) + 1)
    }

    /// The newest version under a place.
    fn newest(&self, place: &Place, key: &[u8]) -> Result<Option<Newest>, DraftError> {
        if self.map == MapView::Ahead
            && let Some(waiting) = self.store.waiting_for(&self.adapter, key)?
        {
            return Ok(Newest::waiting(&waiting));
        }
        Ok(place.registered.as_ref().map(Newest::registered))
    }

    /// Where an item lies, by the map that decides.
    pub(super) fn located(&self, key: &[u8]) -> Result<Option<Locator>, StoreError> {
        match self.map {
            MapView::Registered => self.store.locator(&self.adapter, key),
            MapView::Ahead => self.store.locator_ahead(&self.adapter, key),
        }
    }

    fn registered(&self, record: &RecordId) -> Result<Option<RecordPointer>, DraftError> {
        let pointer = self.store.record(record)?.filter(|pointer| !pointer.withdrawn);
        Ok(pointer.and_then(|pointer| self.own(pointer)))
    }

    fn own(&self, pointer: RecordPointer) -> Option<RecordPointer> {
        (pointer.log == self.own_log).then_some(pointer)
    }

    fn tags(&self, found: &FoundDocument) -> Result<Vec<SubjectTag>, DraftError> {
        let mut tags = found
            .subjects
            .iter()
            .map(|subject| tag_for_writing(subject, &self.subjects).ok_or(DraftError::NoSubjectKey))
            .collect::<Result<Vec<_>, _>>()?;
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }

    /// Whether these tags name these persons and no others, in whichever epoch they were written.
    ///
    /// Without that epoch's key nobody can tell, and a new version is the lesser harm: a record that stays with the wrong
    /// person hides from the right one.
    fn are_the_same(&self, written: &[SubjectTag], found: &FoundDocument) -> bool {
        let Some(epoch) = written.first().map(|tag| tag.epoch) else { return false };
        let Some(key) = self.subjects.get(epoch) else { return false };
        let mut tags: Vec<_> =
            found.subjects.iter().map(|subject| tag(subject, epoch, &key)).collect();
        tags.sort_unstable();
        tags.dedup();
        tags == written
    }
}

fn wire_id(record: &RecordId) -> v1::ObjectId {
    v1::ObjectId { member: record.member.to_string(), id: Bytes::copy_from_slice(&record.id) }
}

fn wire_tag(tag: &SubjectTag) -> v1::SubjectTag {
    let value = Bytes::copy_from_slice(&tag.value);
    v1::SubjectTag { scheme: tag.scheme, epoch: tag.epoch, value }
}

/// A salt is used once: what a commitment hides must not be guessable.
fn salt() -> Result<[u8; 32], DraftError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| DraftError::NoRandomness)?;
    Ok(salt)
}
