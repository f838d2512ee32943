//! Messages in which every field says something, and how each is read.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sundbro_gateway::subject::grant;
use sundbro_laws::evidence::{files, samples};
use sundbro_laws::world::{CLINIC, HOSPITAL, key, name, sealing, subject_key, world};
use sundbro_ledger::card::verify_card;
use sundbro_ledger::charter::{Charter, CharterHead};
use sundbro_ledger::evidence::{Evidence, verify_evidence_file};
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::member::MemberEntry;
use sundbro_ledger::payload::{Detail, Payload};
use sundbro_ledger::receipt::verify_bytes;
use sundbro_ledger::retrieval::{
    Acknowledgement, Completion, Grant, Judging, Message, Request, verify_acknowledgement,
    verify_completion, verify_grant, verify_request,
};
use sundbro_ledger::subject::key_commitment;
use sundbro_ledger::transaction::{Header, HeaderError};
use sundbro_proto::ledger::v1;

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    Refused,
    /// The log waits for a later format.
    Waits,
    /// A kind from the future: kept, without effect.
    Unknown,
}

/// A message, and its reader.
pub(crate) struct Whole {
    /// Its type.
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether other bytes of the same meaning are refused.
    pub(crate) is_strict: bool,
    pub(crate) read: fn(&[u8]) -> Verdict,
}

fn verdict<T, E>(read: Result<T, E>) -> Verdict {
    if read.is_ok() { Verdict::Taken } else { Verdict::Refused }
}

fn header(bytes: &[u8]) -> Verdict {
    match Header::parse(bytes) {
        Err(HeaderError::UnknownFormat(_)) => Verdict::Waits,
        read => verdict(read),
    }
}

fn payload(bytes: &[u8]) -> Verdict {
    match Payload::parse(bytes) {
        Ok(Payload::Unknown { .. }) => Verdict::Unknown,
        read => verdict(read),
    }
}

/// As signed by whoever should have signed it: only what it says can be wrong.
fn sign<T: Message>(bytes: &[u8], by: &str) -> v1::SignedMessage {
    let signature = key(by, 3).sign(T::PURPOSE, &world().history.federation_id(), bytes);
    let signature = signature.as_bytes().to_vec().into();
    v1::SignedMessage { message: bytes.to_vec().into(), signature }
}

fn request_in_place(bytes: &[u8]) -> Verdict {
    verdict(verify_request(&sign::<Request>(bytes, CLINIC), &world().history, Judging::Recorded))
}

fn grant_in_place(bytes: &[u8]) -> Verdict {
    let (signed, world) = (sign::<Grant>(bytes, HOSPITAL), world());
    verdict(verify_grant(&signed, &world.request, &world.history, Judging::Recorded))
}

fn completion_in_place(bytes: &[u8]) -> Verdict {
    let (signed, world) = (sign::<Completion>(bytes, HOSPITAL), world());
    let (history, judging) = (&world.history, Judging::Recorded);
    verdict(verify_completion(&signed, &world.request, &world.grant, history, judging))
}

fn acknowledgement_in_place(bytes: &[u8]) -> Verdict {
    let (signed, world) = (sign::<Acknowledgement>(bytes, CLINIC), world());
    let (history, judging) = (&world.history, Judging::Recorded);
    verdict(verify_acknowledgement(&signed, &world.request, &world.completion, history, judging))
}

fn receipt(bytes: &[u8]) -> Verdict {
    verdict(verify_bytes(bytes, Some(&world().history.federation_id())))
}

fn evidence(bytes: &[u8]) -> Verdict {
    let Ok(evidence) = Evidence::parse(bytes) else { return Verdict::Refused };
    verdict(evidence.verify(&world().history))
}

fn evidence_file(bytes: &[u8]) -> Verdict {
    verdict(verify_evidence_file(bytes, Some(&world().history.federation_id())))
}

/// A charter whose version 1 makes a federation.
fn charter(bytes: &[u8]) -> Verdict {
    let Ok(wire) = v1::Charter::decode(bytes) else { return Verdict::Refused };
    let Ok(charter) = Charter::from_wire(&wire) else { return Verdict::Refused };
    verdict(CharterHistory::join(&world().history.federation_id(), charter))
}

fn card(bytes: &[u8]) -> Verdict {
    let Ok(card) = v1::MemberCard::decode(bytes) else { return Verdict::Refused };
    verdict(verify_card(&card, &world().history.federation_id()))
}

fn key_grant(bytes: &[u8]) -> Verdict {
    let Ok(grant) = v1::SubjectKeyGrant::decode(bytes) else { return Verdict::Refused };
    let commitment = key_commitment(grant.epoch, &subject_key(1));
    let id = world().history.federation_id();
    verdict(grant::open(&grant, &sealing(CLINIC), &id, &name(CLINIC), &commitment))
}

fn signed(bytes: &[u8]) -> Verdict {
    let Ok(signed) = v1::SignedMessage::decode(bytes) else { return Verdict::Refused };
    verdict(verify_request(&signed, &world().history, Judging::Recorded))
}

fn strict(name: &'static str, bytes: impl Into<Vec<u8>>, read: fn(&[u8]) -> Verdict) -> Whole {
    Whole { name, bytes: bytes.into(), is_strict: true, read }
}

fn lenient(name: &'static str, message: &impl prost::Message, read: fn(&[u8]) -> Verdict) -> Whole {
    Whole { name, bytes: message.encode_to_vec(), is_strict: false, read }
}

/// Every message of `sundbro.ledger.v1` that is read by itself.
pub(crate) fn all() -> Vec<Whole> {
    let world = world();
    let entry = &world.entries[2];
    let [_, grant, completion, acknowledgement, _] = world.messages();
    let detail = |audience| {
        strict("RecordDetail", self::detail(audience).encode_to_vec(), |bytes| {
            verdict(Detail::parse(bytes))
        })
    };
    let everybody = v1::DetailAudience { all: true, members: Vec::new() };
    let named = v1::DetailAudience { all: false, members: vec![CLINIC.into(), HOSPITAL.into()] };
    let contradictions = samples().iter().map(|one| strict("Evidence", one.to_bytes(), evidence));
    let files = files().into_iter().map(|one| strict("EvidenceFile", one, evidence_file));
    let mut all = vec![
        strict("TransactionHeader", &entry[..entry.len() - 64], header),
        strict("TransactionPayload", registered().encode_to_vec(), payload),
        strict("TransactionPayload", withdrawn().encode_to_vec(), payload),
        strict("TransactionPayload", observed().encode_to_vec(), payload),
        detail(everybody),
        detail(named),
        strict("CharterHead", head().encode_to_vec(), |bytes| verdict(CharterHead::parse(bytes))),
        strict("MemberEntry", member().encode_to_vec(), |bytes| verdict(MemberEntry::parse(bytes))),
        strict("RetrievalRequest", request().encode_to_vec(), request_in_place),
        strict("RetrievalGrant", grant.message, grant_in_place),
        strict("RetrievalCompletion", completion.message, completion_in_place),
        strict("RetrievalAcknowledgement", acknowledgement.message, acknowledgement_in_place),
        strict("Receipt", world.receipts[0].encode_to_vec(), receipt),
        lenient("Charter", &world.history.at(1).expect("version 1").to_wire(), charter),
        lenient("MemberCard", &world.card, card),
        lenient("SubjectKeyGrant", &world.key_grant, key_grant),
        lenient("SignedMessage", &world.messages()[0], signed),
    ];
    all.extend(contradictions.chain(files));
    all
}

fn object(id: u8) -> v1::ObjectId {
    v1::ObjectId { member: HOSPITAL.into(), id: vec![id; 16].into() }
}

fn version(id: u8) -> v1::RecordVersion {
    v1::RecordVersion { record: Some(object(id)), version: 1 }
}

fn registered() -> v1::TransactionPayload {
    let tag = |value| v1::SubjectTag { scheme: 1, epoch: 1, value: vec![value; 32].into() };
    let registered = v1::RecordRegistered {
        record: Some(object(1)),
        version: 2,
        subjects: vec![tag(1), tag(2)],
        lifecycle: 2,
        detail_commitment: vec![3; 32].into(),
        replaces: Some(version(2)),
    };
    let body = Some(v1::transaction_payload::Body::RecordRegistered(registered));
    v1::TransactionPayload { body }
}

fn withdrawn() -> v1::TransactionPayload {
    let withdrawn = v1::RecordWithdrawn { record: Some(object(1)), reason: 1 };
    let body = Some(v1::transaction_payload::Body::RecordWithdrawn(withdrawn));
    v1::TransactionPayload { body }
}

fn observed() -> v1::TransactionPayload {
    let head =
        |log| v1::ObservedHead { log_id: vec![log; 32].into(), size: 4, root: vec![5; 32].into() };
    let observation = v1::Observation {
        heads_root: vec![6; 32].into(),
        heads_count: 2,
        changed: vec![head(1), head(2)],
    };
    let body = Some(v1::transaction_payload::Body::Observation(observation));
    v1::TransactionPayload { body }
}

fn detail(audience: v1::DetailAudience) -> v1::RecordDetail {
    let coding =
        |code: &str| Some(v1::Coding { system: "http://loinc.org".into(), code: code.into() });
    v1::RecordDetail {
        record: Some(version(1)),
        audience: Some(audience),
        class: coding("34108-1"),
        media_type: "application/pdf".into(),
        content_sha256: vec![4; 32].into(),
        content_size_bytes: 7,
        stability: 1,
        period: Some(v1::ClinicalPeriod { start_unix_seconds: Some(1), end_unix_seconds: Some(2) }),
        author_unit: Some(v1::Identifier { system: "urn:oid:1.2".into(), value: "678".into() }),
        facility: coding("f"),
        practice_setting: coding("p"),
        confidentiality: 1,
        language: "da-DK".into(),
        episodes: vec![object(1), object(2)],
    }
}

fn head() -> v1::CharterHead {
    let good = world().history.at(2).expect("version 2").head_bytes();
    let mut head = v1::CharterHead::decode(&good[..]).expect("ours");
    let branch =
        |log| v1::LogBranch { log_id: vec![log; 32].into(), size: 4, root: vec![5; 32].into() };
    head.branches = vec![branch(1), branch(2)];
    let mut steward = head.stewards[0].clone();
    steward.ordinal += 1;
    steward.public_key = key("steward", 2).public().as_bytes().to_vec().into();
    head.stewards.push(steward);
    head.threshold = 2;
    let mut authorities = head.authorities.clone();
    authorities[0].certificate = vec![0x31; 64].into();
    authorities[0].certificate_sha256 = Sha256::digest([0x31; 64]).to_vec().into();
    head.authorities.append(&mut authorities);
    head.authorities.sort_by(|a, b| a.certificate_sha256.cmp(&b.certificate_sha256));
    head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: 1 << 30 });
    let mut epoch = head.subject_epochs[0].clone();
    epoch.epoch = 2;
    head.subject_epochs.push(epoch);
    head
}

fn member() -> v1::MemberEntry {
    let mut entry = v1::MemberEntry::decode(&world().card.entry[..]).expect("ours");
    let identifier =
        |value: &str| v1::RegisterIdentifier { system: "urn:oid:1.2".into(), value: value.into() };
    entry.identifiers = vec![identifier("1"), identifier("2")];
    entry.roles = vec![1, 2];
    entry.keys[0].from = 3;
    entry.keys[0].to = Some(9);
    let ended = v1::LogEnd { size: 9, root: vec![6; 32].into() };
    entry.log_epochs[0].end = Some(ended);
    entry.log_epochs.push(v1::LogEpoch { epoch: 2, end: None });
    entry
}

fn request() -> v1::RetrievalRequest {
    let good = &world().messages()[0].message;
    let mut request = v1::RetrievalRequest::decode(&good[..]).expect("ours");
    request.purpose = 2;
    request.break_glass_reason = 1;
    request
}
