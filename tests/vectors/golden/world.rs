//! The made-up federation that the vectors are about: its keys, three members, three charter versions, one log.

use bytes::Bytes;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, CharterLimits, Environment};
use sundbro_ledger::drafting::Draft as CharterDraft;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::{ContentDigest, FederationId, MemberName, RecordId, SubjectTag};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
    RegisterIdentifier,
};
use sundbro_ledger::payload::{Payload, RecordRegistered};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::subject::{SubjectKey, key_commitment, subject_tag};
use sundbro_ledger::transaction::{Audience, Draft, SignedTransaction};
use sundbro_proto::ledger::v1;

pub(crate) const HOSPITAL: &str = "rigshospitalet.regionh.example";
pub(crate) const MUNICIPALITY: &str = "vestby.kommune.example";
pub(crate) const LABORATORY: &str = "blodlab.example";
/// The system of replacement CPR numbers with letters: no living person has one.
pub(crate) const X_ECPR: &str = "urn:oid:1.2.208.176.1.6.1.1";
pub(crate) const X_ECPR_VALUE: &str = "0203951KX4";
/// Key ids of every member: TRANSACTION, CHECKPOINT, SERVICE, SEALING.
pub(crate) const KEY_IDS: [u32; 4] = [1, 2, 3, 4];
/// What the record holds.
pub(crate) const CONTENT: &[u8] = b"<ClinicalDocument/>";
pub(crate) const RECORD_POSITION: u64 = 3;
const AUTHORITY: &[u8] = include_bytes!("authority.der");

/// 32 times the same byte: whoever reads a vector sees which key it is about.
pub(crate) const fn seed(byte: u8) -> [u8; 32] {
    [byte; 32]
}

pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&seed(byte))
}

pub(crate) fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

pub(crate) fn subject_key(epoch: u32) -> SubjectKey {
    SubjectKey::new(seed(0x30 + u8::try_from(epoch).expect("a small number")))
}

/// First of the four seeds of a member.
pub(crate) fn first_seed(member: &str) -> u8 {
    match member {
        HOSPITAL => 0x01,
        MUNICIPALITY => 0x05,
        _ => 0x09,
    }
}

pub(crate) fn x25519_public(secret: &[u8; 32]) -> [u8; 32] {
    use hpke::{Deserializable, Kem, Serializable, kem::X25519HkdfSha256 as X25519};
    let secret = <X25519 as Kem>::PrivateKey::from_bytes(secret).expect("32 bytes");
    X25519::sk_to_pk(&secret).to_bytes().into()
}

pub(crate) fn member(text: &str, display_name: &str, role: MemberRole) -> MemberEntry {
    let first = first_seed(text);
    let signing = |place: u8| PublicKey::Ed25519(key(first + place).public());
    let member_key = |key_id, purpose, public_key, log_epoch, from| MemberKey {
        key_id,
        purpose,
        public_key,
        log_epoch,
        from,
        to: None,
    };
    let sealing = PublicKey::X25519(x25519_public(&seed(first + 3)));
    MemberEntry {
        name: name(text),
        display_name: display_name.to_owned(),
        identifiers: vec![RegisterIdentifier {
            system: "urn:oid:1.2.208.176.1.1".to_owned(),
            value: format!("99{first:014}"),
        }],
        roles: vec![role],
        state: MemberState::Active,
        endpoint: Endpoint::new(&format!("gateway.{text}:7443")).expect("an endpoint"),
        keys: vec![
            member_key(1, KeyPurpose::Transaction, signing(0), 1, 0),
            member_key(2, KeyPurpose::Checkpoint, signing(1), 1, 0),
            member_key(3, KeyPurpose::Service, signing(2), 0, 1),
            member_key(4, KeyPurpose::Sealing, sealing, 0, 1),
        ],
        log_epochs: vec![LogEpoch { epoch: 1, end: None }],
    }
}

pub(crate) fn hospital() -> MemberEntry {
    member(HOSPITAL, "Rigshospitalet", MemberRole::Hospital)
}

pub(crate) fn municipality() -> MemberEntry {
    member(MUNICIPALITY, "Vestby Kommune", MemberRole::Municipality)
}

pub(crate) fn laboratory() -> MemberEntry {
    member(LABORATORY, "Blodlaboratoriet", MemberRole::Laboratory)
}

/// Signing keys of a member, in order of key id.
pub(crate) fn signing_keys(member: &str) -> [SigningKey; 3] {
    let first = first_seed(member);
    [key(first), key(first + 1), key(first + 2)]
}

pub(crate) fn card(entry: &MemberEntry, federation: &FederationId) -> v1::MemberCard {
    make_card(entry, federation, &signing_keys(entry.name.as_str())).expect("a card")
}

/// Version 1: two stewards, hospital and municipality, one subject epoch.
pub(crate) fn first_charter() -> Charter {
    let mut draft = CharterDraft::found(Environment::Test);
    draft.add_steward("Region office", key(0x11).public());
    draft.add_steward("Municipality office", key(0x12).public());
    draft.set_limits(CharterLimits { written_max_format: 1, written_max_log_bytes_per_day: 0 });
    for entry in [hospital(), municipality()] {
        draft.add_member(&card(&entry, &FederationId::FOUNDING)).expect("a founder");
    }
    let certified = [name(HOSPITAL), name(MUNICIPALITY)];
    draft.set_authority(Bytes::from_static(AUTHORITY), certified);
    draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
    let mut proposal = draft.propose().expect("keeps every rule");
    for byte in [0x11, 0x12] {
        proposal.sign(&key(byte)).expect("a steward");
    }
    proposal.finish().expect("signed by all")
}

/// Version 2: a third steward, the laboratory, another subject epoch.
pub(crate) fn second_charter(history: &CharterHistory) -> Charter {
    let mut draft = CharterDraft::next(history).expect("no fork");
    draft.add_steward("Laboratory office", key(0x13).public());
    draft.add_member(&card(&laboratory(), &history.federation_id())).expect("a newcomer");
    draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
    let mut proposal = draft.propose().expect("keeps every rule");
    for byte in [0x11, 0x12, 0x13] {
        proposal.sign(&key(byte)).expect("a steward");
    }
    proposal.finish().expect("signed by all")
}

/// Version 3: the hospital's SERVICE key is revoked back to version 2.
pub(crate) fn third_charter(history: &CharterHistory) -> Charter {
    let mut draft = CharterDraft::next(history).expect("no fork");
    draft.close_key(&name(HOSPITAL), 3, 2).expect("the hospital has it");
    let mut proposal = draft.propose().expect("keeps every rule");
    for byte in [0x11, 0x13] {
        proposal.sign(&key(byte)).expect("a steward");
    }
    proposal.finish().expect("signed by two of three")
}

/// The charter with versions 1 and 2.
pub(crate) fn history() -> CharterHistory {
    let mut history = CharterHistory::found(first_charter()).expect("version 1");
    let second = second_charter(&history);
    assert!(matches!(history.offer(second), Ok(Offered::Accepted)), "version 2 follows");
    history
}

pub(crate) fn record(id: u8) -> RecordId {
    RecordId { member: name(HOSPITAL), id: [id; 16] }
}

pub(crate) fn tag(epoch: u32) -> SubjectTag {
    subject_tag(epoch, &subject_key(epoch), X_ECPR, X_ECPR_VALUE).expect("short")
}

/// The detail of the record that is fetched in the vectors of a retrieval.
pub(crate) fn detail_message() -> v1::RecordDetail {
    use sha2::Digest as _;
    let content = ContentDigest::new(sha2::Sha256::digest(CONTENT).into());
    let coding = |system: &str, code: &str| {
        Some(v1::Coding { system: system.to_owned(), code: code.to_owned() })
    };
    v1::RecordDetail {
        record: Some(record_version(1)),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        class: coding("http://loinc.org", "34108-1"),
        media_type: "application/hl7-cda+xml".to_owned(),
        content_sha256: Bytes::copy_from_slice(content.as_bytes()),
        content_size_bytes: CONTENT.len() as u64,
        stability: v1::Stability::Stable.into(),
        period: Some(v1::ClinicalPeriod {
            start_unix_seconds: Some(1_767_600_000),
            end_unix_seconds: None,
        }),
        author_unit: Some(v1::Identifier {
            system: "urn:oid:1.2.208.176.1.1".to_owned(),
            value: "9900000000000101".to_owned(),
        }),
        facility: coding("urn:oid:2.16.840.1.113883.6.96", "22232009"),
        practice_setting: coding("urn:oid:2.16.840.1.113883.6.96", "408470005"),
        confidentiality: v1::Confidentiality::Normal.into(),
        language: "da-DK".to_owned(),
        episodes: Vec::new(),
    }
}

pub(crate) fn record_version(version: u32) -> v1::RecordVersion {
    let RecordId { member, id } = record(0xa1);
    let record = v1::ObjectId { member: member.to_string(), id: Bytes::copy_from_slice(&id) };
    v1::RecordVersion { record: Some(record), version }
}

/// The hospital's log with the record at [`RECORD_POSITION`].
pub(crate) struct Story {
    pub(crate) entries: Vec<SignedTransaction>,
    pub(crate) head: LogHead,
    pub(crate) payload_blob: Blob,
    pub(crate) detail_blob: Blob,
}

pub(crate) fn detail_blob() -> Blob {
    let body = sundbro_ledger::canonical::encode(&detail_message());
    Blob::frame(&seed(0x52), &body, Audience::Federation).expect("fits")
}

pub(crate) fn registration() -> Payload {
    Payload::Registered(RecordRegistered {
        record: record(0xa1),
        version: 1,
        subjects: vec![tag(2)],
        lifecycle: v1::RecordLifecycle::Final.into(),
        detail_commitment: detail_blob().detail_commitment(),
        replaces: None,
    })
}

pub(crate) fn payload_blob() -> Blob {
    let body = registration().encode().expect("keeps every rule");
    Blob::frame(&seed(0x51), &body, Audience::Federation).expect("fits")
}

/// What an entry of ours says when the blob is all that matters.
pub(crate) fn draft(blob: &Blob, charter_version: u64, recorded_hour: u32) -> Draft {
    Draft {
        charter_version,
        key_id: 1,
        incarnation: 1,
        recorded_hour,
        payload_commitment: blob.payload_commitment(),
        payload_size: u32::try_from(blob.bytes().len()).expect("at most 65,536"),
        audience: Audience::Federation,
    }
}

pub(crate) fn story(history: &CharterHistory) -> Story {
    let owner = history.logs().find(|(_, owner)| owner.member.as_str() == HOSPITAL);
    let mut head = LogHead::new(*owner.expect("the hospital has a log").0);
    let mut entries = Vec::new();
    for position in 0_u8..6 {
        let blob = if u64::from(position) == RECORD_POSITION {
            payload_blob()
        } else {
            Blob::frame(&seed(0x60 + position), &[position], Audience::Federation).expect("fits")
        };
        let version = if position < 2 { 1 } else { 2 };
        let draft = draft(&blob, version, 491_000 + u32::from(position));
        let entry = head.sign_next(draft, &key(0x01), &history.federation_id());
        let verified = head.verify(entry.clone(), history).expect("signed as it must be");
        head.append(&verified).expect("it follows");
        entries.push(entry);
    }
    Story { entries, head, payload_blob: payload_blob(), detail_blob: detail_blob() }
}
