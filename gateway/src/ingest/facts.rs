//! What an item says, as far as our log takes it: read off a document, or off a draft that was made of one and waits.

use bytes::Bytes;
use sundbro_adapters::{self as item, FoundDocument};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::ids::{ContentDigest, SubjectTag};
use sundbro_ledger::payload::{Detail, Payload};
use sundbro_proto::ledger::v1;
use sundbro_store::index::RecordPointer;
use sundbro_store::{Locator, LocatorChange, OwnDraft};

/// What one version of a record will say, whichever record and version that is.
pub(super) struct Facts {
    /// The item.
    pub(super) source_key: Vec<u8>,
    /// Whom it concerns, in order.
    pub(super) subjects: Vec<SubjectTag>,
    /// Without record and version.
    pub(super) detail: v1::RecordDetail,
    /// Number of RecordLifecycle.
    pub(super) lifecycle: i32,
    content: ContentDigest,
    size: u64,
    fingerprint: Vec<u8>,
    document_id: Option<[u8; 32]>,
}

/// The newest version of a record.
pub(super) struct Newest {
    pub(super) version: u32,
    /// Where it is registered. `None`: it waits in the outbox.
    pub(super) position: Option<u64>,
    /// Whom it concerns, in order.
    pub(super) subjects: Vec<SubjectTag>,
    detail: Option<v1::RecordDetail>,
    lifecycle: i32,
}

impl Facts {
    /// What a document says, of the persons with these tags.
    pub(super) fn of_document(found: &FoundDocument, subjects: Vec<SubjectTag>) -> Self {
        Self {
            source_key: found.source_key.as_bytes().to_vec(),
            subjects,
            detail: detail(found),
            lifecycle: lifecycle(found).into(),
            content: ContentDigest::new(found.content_sha256),
            size: found.content_size_bytes,
            fingerprint: found.fingerprint.to_bytes().to_vec(),
            document_id: found.document_id.as_ref().map(|id| id.digest()),
        }
    }

    /// What a draft registers. `None`: it registers nothing, or this version of the software does not read it.
    pub(super) fn of_draft(draft: &OwnDraft) -> Option<Self> {
        let Some(LocatorChange::Register(locator)) = &draft.locator else { return None };
        let Payload::Registered(says) = payload_of(draft)? else { return None };
        let (_, detail) = draft.detail.as_ref()?;
        let detail = Blob::parse_any(detail.clone()).ok()?;
        let mut detail = Detail::parse(detail.body()).ok()?.into_message();
        detail.record = None;
        Some(Self {
            source_key: locator.source_key.clone(),
            subjects: says.subjects,
            detail,
            lifecycle: says.lifecycle,
            content: locator.content,
            size: locator.size,
            fingerprint: locator.fingerprint.clone(),
            document_id: locator.document_id,
        })
    }

    /// Where the item lies, once it is this version of this record.
    pub(super) fn locator(
        &self,
        adapter: &str,
        (record, generation): ([u8; 16], u32),
        version: u32,
        position: u64,
    ) -> Locator {
        Locator {
            adapter: adapter.to_owned(),
            source_key: self.source_key.clone(),
            record,
            version,
            generation,
            content: self.content,
            size: self.size,
            fingerprint: self.fingerprint.clone(),
            document_id: self.document_id,
            position,
            live: true,
        }
    }
}

impl Newest {
    /// One that is registered.
    pub(super) fn registered(pointer: &RecordPointer) -> Self {
        Self {
            version: pointer.version,
            position: Some(pointer.position),
            subjects: pointer.subjects.clone(),
            detail: pointer.detail.clone(),
            lifecycle: pointer.lifecycle,
        }
    }

    /// One that waits.
    pub(super) fn waiting(draft: &OwnDraft) -> Option<Self> {
        let Some(LocatorChange::Register(locator)) = &draft.locator else { return None };
        let Facts { subjects, detail, lifecycle, .. } = Facts::of_draft(draft)?;
        let detail = Some(detail);
        Some(Self { version: locator.version, position: None, subjects, detail, lifecycle })
    }

    /// Whether it already says all of this, but for the persons. Tags of an older epoch are renewed only with a new version
    /// of the document: a renewal alone would tell everybody which records are one person's.
    pub(super) fn says(&self, facts: &Facts) -> bool {
        let Some(detail) = &self.detail else { return false };
        let mut detail = detail.clone();
        detail.record = None;
        detail == facts.detail && self.lifecycle == facts.lifecycle
    }
}

/// What the payload of a draft says. `None`: this version of the software does not read it.
pub(super) fn payload_of(draft: &OwnDraft) -> Option<Payload> {
    let blob = Blob::parse_any(draft.payload.clone()).ok()?;
    Payload::parse(blob.body()).ok()
}

fn detail(found: &FoundDocument) -> v1::RecordDetail {
    let coding = |coding: &item::Coding| v1::Coding {
        system: coding.system.clone(),
        code: coding.code.clone(),
    };
    let confidentiality = match found.confidentiality {
        item::Confidentiality::Normal => v1::Confidentiality::Normal,
        item::Confidentiality::Restricted => v1::Confidentiality::Restricted,
        item::Confidentiality::VeryRestricted => v1::Confidentiality::VeryRestricted,
    };
    v1::RecordDetail {
        record: None,
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        class: found.class.as_ref().map(coding),
        media_type: found.media_type.clone(),
        content_sha256: Bytes::copy_from_slice(&found.content_sha256),
        content_size_bytes: found.content_size_bytes,
        stability: v1::Stability::Stable.into(),
        period: found.period.map(|period| v1::ClinicalPeriod {
            start_unix_seconds: period.start_unix_seconds,
            end_unix_seconds: period.end_unix_seconds,
        }),
        author_unit: found
            .author_unit
            .as_ref()
            .map(|unit| v1::Identifier { system: unit.system.clone(), value: unit.value.clone() }),
        facility: found.facility.as_ref().map(coding),
        practice_setting: found.practice_setting.as_ref().map(coding),
        confidentiality: confidentiality.into(),
        language: found.language.clone().unwrap_or_default(),
        episodes: Vec::new(),
    }
}

fn lifecycle(found: &FoundDocument) -> v1::RecordLifecycle {
    match found.lifecycle {
        item::Lifecycle::Preliminary => v1::RecordLifecycle::Preliminary,
        item::Lifecycle::Final => v1::RecordLifecycle::Final,
        item::Lifecycle::Amended => v1::RecordLifecycle::Amended,
    }
}
