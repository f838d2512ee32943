//! What is read from a DocumentReference, and what is refused.

use serde_json::{Value, json};

use super::*;
use crate::documents::fhir;

const LABEL: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// A description that says everything, of a made-up woman with a replacement number.
fn reference() -> Value {
    json!({
        "resourceType": "DocumentReference", "status": "current", "docStatus": "final",
        "contained": [
            {"resourceType": "Patient", "id": "p", "identifier": [
                {"system": "urn:oid:1.2.208.176.1.6.1.1", "value": "150390-1AB2"}]},
            {"resourceType": "Organization", "id": "o", "identifier": [
                {"system": "urn:oid:1.2.208.176.1.1", "value": "12345678901"}]}
        ],
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        "identifier": [{"value": "other"}],
        "type": {"coding": [{"system": "http://loinc.org", "code": "34108-1"}]},
        "subject": {"reference": "#p"}, "date": "2026-03-03", "language": "en",
        "author": [{"reference": "#x"}, {"reference": "#o"}], "custodian": {"reference": "#o"},
        "securityLabel": [{"coding": [{"system": LABEL, "code": "N"}]}],
        "content": [{"attachment": {
            "contentType": "application/pdf", "language": "da", "data": "JVBERg==", "size": 4,
            "hash": "", "creation": "2026-03-02"}}],
        "context": {
            "period": {"start": "2026-03-01", "end": "2026-03-01"},
            "facilityType": {"coding": [{"system": "http://a.example", "code": "f"}]},
            "practiceSetting": {"coding": [{"system": "http://a.example", "code": "s"}]}
        }
    })
}

/// The same in a Bundle, with the bytes in a Binary.
fn submission() -> Value {
    let mut reference = reference();
    let attachment = reference["content"][0]["attachment"].as_object_mut().unwrap();
    attachment.remove("data");
    attachment.insert("url".into(), json!("urn:uuid:b"));
    json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"fullUrl": "urn:uuid:l", "resource": {"resourceType": "List"}},
        {"fullUrl": "urn:uuid:b", "resource": {
            "resourceType": "Binary", "contentType": "application/pdf", "data": "JVBERg=="}},
        {"fullUrl": "urn:uuid:r", "resource": reference}
    ]})
}

fn read(value: &Value) -> Result<Metadata, QuarantineReason> {
    let read = fhir::read(&value.to_string(), &TimeZone::UTC);
    read.map(|read| read.metadata).map_err(|refusal| refusal.reason())
}

fn with(at: &str, value: Value) -> Result<Metadata, QuarantineReason> {
    let mut reference = reference();
    match at.rsplit_once('/') {
        Some((holder, name)) => reference.pointer_mut(holder).unwrap()[name] = value,
        None => unreachable!(),
    }
    read(&reference)
}

#[test]
fn reads_everything_that_a_reference_says() {
    for value in [reference(), submission()] {
        let metadata = read(&value).unwrap();
        assert_eq!(metadata.patient[0].value.as_str(), "150390-1AB2");
        assert_eq!(metadata.document_id.unwrap().for_operator(), "urn:ietf:rfc:3986|urn:oid:1.2.3");
        assert_eq!(metadata.class.unwrap().code, "34108-1");
        assert_eq!(metadata.media_type, "application/pdf");
        assert_eq!(metadata.lifecycle, Some(Lifecycle::Final));
        assert_eq!(metadata.confidentiality, ["N"]);
        assert_eq!(metadata.language.as_deref(), Some("da"));
        let period = metadata.period.unwrap();
        assert_eq!(period.start_unix_seconds, Some(1_772_323_200));
        assert_eq!(period.end_unix_seconds, Some(1_772_323_200 + 86_400));
        assert_eq!(metadata.author_unit.unwrap().value, "12345678901");
        assert_eq!(metadata.custodian.unwrap().value, "12345678901");
        assert_eq!(metadata.facility.unwrap().code, "f");
        assert_eq!(metadata.practice_setting.unwrap().code, "s");
        assert_eq!(metadata.warnings, []);
    }
}

#[test]
fn refuses_with_a_reason_what_is_no_one_document() {
    use QuarantineReason as R;
    let attachment = |value: Value| with("/content", json!([{ "attachment": value }]));
    for (found, expected) in [
        (with("/status", json!("superseded")), R::ReferenceSuperseded),
        (with("/status", json!("entered-in-error")), R::EnteredInError),
        (with("/docStatus", json!("entered-in-error")), R::EnteredInError),
        (with("/content", json!([])), R::NoAttachment),
        (with("/content", json!([{}, {}])), R::SeveralAttachments),
        (attachment(json!({})), R::NoAttachment),
        (attachment(json!({"url": "http://a.example/b.pdf"})), R::AttachmentElsewhere),
        (attachment(json!({"url": "file:///etc/passwd"})), R::AttachmentElsewhere),
        (attachment(json!({"url": "../b.pdf"})), R::AttachmentElsewhere),
        (attachment(json!({"url": "#p"})), R::NoAttachment),
        (attachment(json!({"data": "", "hash": "AAAA"})), R::AttachmentDiffers),
        (attachment(json!({"data": "", "size": "4"})), R::AttachmentDiffers),
        (with("/subject", json!({"reference": "Patient/1"})), R::SubjectNotFound),
        (with("/subject", json!({"reference": "#o"})), R::SubjectNotFound),
    ] {
        assert_eq!(found.err(), Some(expected));
    }
    let mut two = submission();
    let entry = two["entry"][2].clone();
    two["entry"].as_array_mut().unwrap().push(entry);
    assert_eq!(read(&two).err(), Some(R::SeveralAttachments));
    let mut none = submission();
    none["entry"].as_array_mut().unwrap().truncate(2);
    assert_eq!(read(&none).err(), Some(R::NotADocument));
    let mut empty = submission();
    empty["entry"][1]["resource"].as_object_mut().unwrap().remove("data");
    assert_eq!(read(&empty).err(), Some(R::NoAttachment));
}

#[test]
fn a_url_leads_to_a_file_in_the_same_folder_or_below_and_nowhere_else() {
    for (url, path) in [("b.pdf", "b.pdf"), ("a/b%20c.pdf", "a/b c.pdf"), ("Binary/1", "Binary/1")]
    {
        assert_eq!(beside(url).as_deref(), Some(path));
    }
    for url in [
        "",
        "/b",
        "../b",
        "a/../b",
        "./b",
        "a//b",
        "a/",
        "%2e%2e/b",
        "a%2f..%2fb",
        "%2fb",
        "a\\b",
        "c:b",
        "b?x",
        "b#x",
        "//a.example/b",
        "http://a.example/b",
        "file:///b",
        "b.json",
        "B.JSON",
        ".hidden",
        "b.tmp",
        "%00",
        "%0a",
        "%ff",
        "%",
        "%2",
        "b.meta.json",
    ] {
        assert_eq!(beside(url), None, "{url}");
    }
}

#[test]
fn the_highest_label_anywhere_counts_and_one_that_cannot_be_read_is_none_that_lets_pass() {
    let codes = |value: Result<Metadata, _>| value.unwrap().confidentiality;
    let label = |code: &str| json!([{"coding": [{"system": LABEL, "code": code}]}]);
    assert_eq!(codes(with("/securityLabel", label("V"))), ["V"]);
    assert_eq!(codes(with("/securityLabel", json!([{"text": "secret"}]))), [""]);
    assert_eq!(codes(with("/securityLabel", json!([]))), [""; 0]);
    let meta = json!({"security": [{"system": LABEL, "code": "R"}]});
    assert_eq!(codes(with("/meta", meta.clone())), ["N", "R"]);
    let mut submission = submission();
    submission["entry"][1]["resource"]["meta"] = meta;
    assert_eq!(codes(read(&submission)), ["N", "R"]);
    submission["entry"][1]["resource"]["securityContext"] = json!({"reference": "Patient/far"});
    assert_eq!(codes(read(&submission)), ["N", "", "R"]);
}

#[test]
fn what_is_missing_is_taken_from_the_next_place_or_warned_of() {
    let taken = with("/subject", json!({"identifier": {"system": "urn:x", "value": "1"}})).unwrap();
    assert_eq!(taken.patient.len(), 1);
    let mut context = reference()["context"].clone();
    context["sourcePatientInfo"] = json!({"reference": "#p"});
    let mut value = reference();
    value["context"] = context;
    value["subject"] = json!({"identifier": {"system": "urn:x", "value": "1"}});
    assert_eq!(read(&value).unwrap().patient.len(), 2);
    let replaced = {
        let mut value = reference();
        value.as_object_mut().unwrap().remove("docStatus");
        value["relatesTo"] = json!([{"code": "replaces"}]);
        read(&value).unwrap()
    };
    assert_eq!(replaced.lifecycle, Some(Lifecycle::Amended));
    let unnamed = with("/content", json!([{"attachment": {"data": "AA=="}}])).unwrap();
    assert_eq!(unnamed.media_type, UNKNOWN_BYTES);
    assert_eq!(unnamed.warnings, [FoundWarning::FieldLeftOut]);
    assert_eq!(unnamed.language.as_deref(), Some("en"));
}
