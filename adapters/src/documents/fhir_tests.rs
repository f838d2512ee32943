//! What is read from a FHIR document Bundle, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const CONFIDENTIALITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// A document that says everything, of a made-up woman with a replacement number.
fn document() -> Value {
    json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:1"},
        "timestamp": "2026-03-03T08:00:00Z",
        "entry": [
            {"fullUrl": "http://gp.example/fhir/Composition/c", "resource": {
                "resourceType": "Composition", "id": "c", "status": "final",
                "language": "da", "confidentiality": "N",
                "type": {"coding": [{"system": "http://loinc.org", "code": "57059-8"}]},
                "subject": {"reference": "Patient/p"},
                "date": "2026-03-02T10:00:00+01:00",
                "author": [{"reference": "Practitioner/x"}, {"reference": "PractitionerRole/r"}],
                "attester": [{"mode": ["personal"]}],
                "custodian": {"reference": "Organization/o"},
                "event": [{"period": {"start": "2026-03-01", "end": "2026-03-02"}}]
            }},
            {"fullUrl": "http://gp.example/fhir/Patient/p", "resource": {
                "resourceType": "Patient", "id": "p",
                "meta": {"security": [{"system": CONFIDENTIALITY_SYSTEM, "code": "R"}]},
                "identifier": [
                    {"system": "urn:oid:1.2.208.176.1.6.1.1", "value": "150390-1AB2"},
                    {"value": "no system"}
                ]
            }},
            {"fullUrl": "http://gp.example/fhir/PractitionerRole/r", "resource": {
                "resourceType": "PractitionerRole", "id": "r",
                "organization": {"reference": "Organization/o"}
            }},
            {"fullUrl": "http://gp.example/fhir/Organization/o", "resource": {
                "resourceType": "Organization", "id": "o",
                "identifier": [{"system": "urn:oid:1.2.208.176.1.1", "value": "12345678901"}]
            }},
            {"fullUrl": "http://gp.example/fhir/Practitioner/x", "resource": {
                "resourceType": "Practitioner", "id": "x",
                "identifier": [{"system": "https://autregweb.sst.dk", "value": "BCDFG"}]
            }}
        ]
    })
}

fn read_value(value: &Value) -> Result<Metadata, Refusal> {
    read(&value.to_string(), &TimeZone::UTC).map(|read| read.metadata)
}

fn with(change: impl FnOnce(&mut Value)) -> Result<Metadata, Refusal> {
    let mut value = document();
    change(&mut value);
    read_value(&value)
}

fn reason(result: Result<Metadata, Refusal>) -> QuarantineReason {
    result.err().unwrap().reason()
}

#[test]
fn reads_everything_a_document_says() {
    let metadata = read_value(&document()).ok().unwrap();
    assert_eq!(metadata.document_id.unwrap().for_operator(), "urn:ietf:rfc:3986|urn:uuid:1");
    assert_eq!(metadata.lifecycle, Some(Lifecycle::Final));
    assert_eq!(metadata.class.unwrap().code, "57059-8");
    assert_eq!(metadata.language.as_deref(), Some("da"));
    assert_eq!(metadata.patient.len(), 1);
    assert_eq!(metadata.patient[0].value.as_str(), "150390-1AB2");
    assert_eq!(metadata.author_unit.as_ref().unwrap().value, "12345678901");
    assert_eq!(metadata.custodian, metadata.author_unit);
    assert_eq!(metadata.confidentiality, ["N"]);
    let period = metadata.period.unwrap();
    assert_eq!(period.end_unix_seconds.unwrap() - period.start_unix_seconds.unwrap(), 2 * 86_400);
    assert_eq!(metadata.warnings, []);
}

#[test]
fn names_what_a_file_is_that_is_no_document() {
    for (value, expected) in [
        (json!({"resourceType": "Patient"}), "a FHIR Patient by itself"),
        (json!({"resourceType": "Bundle", "type": "searchset"}), "a Bundle of type searchset"),
        (json!({"resourceType": "Bundle"}), "a Bundle without a type"),
        (json!({"resourceType": "Bundle", "type": "document"}), "first entry is no Composition"),
        (json!({"a": 1}), "JSON without a resourceType"),
        (json!([]), "JSON without a resourceType"),
        (json!({"resourceType": "150390-1AB2"}), "a FHIR resource of an unknown type"),
    ] {
        let refusal = read_value(&value).err().unwrap();
        assert_eq!(refusal.reason(), QuarantineReason::NotADocument);
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
}

#[test]
fn follows_references_as_bundles_write_them() {
    let takes = |subject: &str, full_url: &str| {
        with(|value| {
            value["entry"][0]["resource"]["subject"]["reference"] = subject.into();
            value["entry"][1]["fullUrl"] = full_url.into();
        })
        .map(|metadata| metadata.patient.len())
        .map_err(|refusal| refusal.reason())
    };
    let urn = "urn:uuid:6b1f9f40-0000-4000-8000-000000000001";
    assert_eq!(takes(urn, urn), Ok(1));
    assert_eq!(takes("Patient/p", "http://gp.example/fhir/Patient/p"), Ok(1));
    assert_eq!(takes("Patient/p/_history/3", "http://gp.example/fhir/Patient/p"), Ok(1));
    assert_eq!(takes("Patient/p", urn), Ok(1), "by type and id");
    for subject in ["Patient/q", "Practitioner/x", "#p", "http://other.example/Patient/p", "p"] {
        assert_eq!(
            takes(subject, "http://gp.example/fhir/Patient/p"),
            Err(QuarantineReason::SubjectNotFound),
            "{subject}"
        );
    }
}

#[test]
fn never_chooses_between_two_patients() {
    let twice = with(|value| {
        let patient = value["entry"][1].clone();
        value["entry"].as_array_mut().unwrap().push(patient);
    });
    assert_eq!(reason(twice), QuarantineReason::SubjectNotFound);
    let none = with(|value| value["entry"][0]["resource"]["subject"] = Value::Null);
    assert_eq!(reason(none), QuarantineReason::SubjectNotFound);
}

#[test]
fn takes_contained_patients_and_logical_references() {
    let contained = with(|value| {
        let mut patient = value["entry"][1]["resource"].clone();
        patient["id"] = "inside".into();
        value["entry"][0]["resource"]["contained"] = json!([patient]);
        value["entry"][0]["resource"]["subject"] = json!({"reference": "#inside"});
    });
    assert_eq!(contained.ok().unwrap().patient.len(), 1);
    let logical = with(|value| {
        value["entry"][0]["resource"]["subject"] =
            json!({"identifier": {"system": "http://mrn.example", "value": "7"}});
    });
    assert_eq!(logical.ok().unwrap().patient[0].system, "http://mrn.example");
}

#[test]
fn collects_the_labels_of_all_entries_but_the_patient() {
    let label = json!({"security": [{"system": CONFIDENTIALITY_SYSTEM, "code": "V"}]});
    for place in ["/entry/0/resource", "/entry/4/resource", ""] {
        let metadata = with(|value| {
            value.pointer_mut(place).unwrap()["meta"] = label.clone();
        });
        assert!(metadata.ok().unwrap().confidentiality.contains(&"V".into()), "{place}");
    }
}

#[test]
fn a_confidentiality_that_cannot_be_read_is_not_taken_as_normal() {
    for shape in [json!(7), json!(["N"]), json!({}), json!("")] {
        let metadata = with(|value| value["entry"][0]["resource"]["confidentiality"] = shape);
        assert_eq!(metadata.ok().unwrap().confidentiality, [""]);
    }
    for (label, expected) in [
        (json!({"code": "R"}), vec!["N", "R"]),
        (json!({"system": CONFIDENTIALITY_SYSTEM}), vec!["N", ""]),
        (json!({"code": 7}), vec!["N", ""]),
        (json!({"display": "restricted"}), vec!["N", ""]),
        (json!({"system": "http://other.example", "code": "R"}), vec!["N", "R"]),
        (json!({"system": "http://other.example", "code": "HTEST"}), vec!["N"]),
        (json!({"code": "HTEST"}), vec!["N"]),
    ] {
        let metadata = with(|value| value["meta"] = json!({"security": [label]}));
        assert_eq!(metadata.ok().unwrap().confidentiality, expected);
    }
}

/// R once passed where its system was spelt in another way than ours, and the document was published to everybody.
#[test]
fn a_restriction_counts_however_its_system_is_spelt() {
    for system in [
        "https://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|2.0.0",
        "https://hl7.org/fhir/v3/Confidentiality/",
        "URN:OID:2.16.840.1.113883.5.25",
        "2.16.840.1.113883.5.25",
    ] {
        let label = |code| json!({"security": [{"system": system, "code": code}]});
        let metadata = with(|value| value["meta"] = label("R"));
        assert_eq!(metadata.ok().unwrap().confidentiality, ["N", "R"], "{system}");
        // A code that nobody knows is one of this system, too.
        let metadata = with(|value| value["meta"] = label("X"));
        assert_eq!(metadata.ok().unwrap().confidentiality, ["N", "X"], "{system}");
    }
}

#[test]
fn labels_count_inside_contained_and_nested_resources() {
    let label = json!({"security": [{"system": CONFIDENTIALITY_SYSTEM, "code": "V"}]});
    let inside = json!([{"resourceType": "Observation", "id": "i", "meta": label}]);
    for entry in [0, 1, 4] {
        let metadata =
            with(|value| value["entry"][entry]["resource"]["contained"] = inside.clone());
        assert_eq!(metadata.ok().unwrap().confidentiality, ["N", "V"], "{entry}");
    }
    let nested =
        json!({"resource": {"resourceType": "Bundle", "entry": [{"resource": inside[0]}]}});
    let metadata = with(|value| value["entry"].as_array_mut().unwrap().push(nested));
    assert_eq!(metadata.ok().unwrap().confidentiality, ["N", "V"]);
}

#[test]
fn a_confidentiality_that_is_masked_is_not_taken_as_normal() {
    let metadata = with(|value| {
        let composition = value["entry"][0]["resource"].as_object_mut().unwrap();
        composition.remove("confidentiality");
        let masked = json!({"extension": [{"valueCode": "masked"}]});
        composition.insert("_confidentiality".into(), masked);
    });
    assert_eq!(metadata.ok().unwrap().confidentiality, [""]);
}

/// Each of these references once cost a search through all entries: a file of this size held its folder for hours.
#[test]
fn references_that_lead_nowhere_cost_no_search_through_all_entries() {
    const MANY: usize = 60_000;
    let metadata = with(|value| {
        let authors = (0..MANY).map(|n| match n % 3 {
            0 => json!({"reference": format!("Organization/x{n}")}),
            1 => json!({"reference": format!("urn:uuid:{n}")}),
            _ => json!({"reference": format!("#{n}")}),
        });
        let composition = &mut value["entry"][0]["resource"];
        composition["author"] = authors.collect();
        composition["contained"] = (0..10_000).map(|n| json!({"id": format!("c{n}")})).collect();
        let entries = value["entry"].as_array_mut().unwrap();
        entries.extend((0..MANY).map(|n| json!({"fullUrl": format!("urn:other:{n}")})));
    });
    assert_eq!(metadata.ok().unwrap().author_unit, None);
}

#[test]
fn many_authors_of_one_unit_without_an_identifier_cost_no_square() {
    const MANY: usize = 60_000;
    let metadata = with(|value| {
        let author = json!({"reference": "Organization/o"});
        value["entry"][0]["resource"]["author"] = vec![author; MANY].into();
        value["entry"][3]["resource"]["identifier"] = vec![json!({"value": "1"}); MANY].into();
    });
    assert_eq!(metadata.ok().unwrap().author_unit, None);
}

#[test]
fn warns_of_what_is_missing_and_goes_on() {
    let metadata = with(|value| {
        let composition = value["entry"][0]["resource"].as_object_mut().unwrap();
        for name in ["date", "type", "status", "event", "author", "custodian", "language"] {
            composition.remove(name);
        }
    })
    .ok()
    .unwrap();
    assert_eq!(metadata.warnings, [FoundWarning::NoType, FoundWarning::NoDate]);
    assert_eq!(metadata.lifecycle, None);
    assert_eq!(metadata.period.unwrap().start_unix_seconds, Some(1_772_524_800), "timestamp");
    assert_eq!((metadata.author_unit, metadata.custodian, metadata.language), (None, None, None));
}

#[test]
fn prefers_event_to_encounter_to_date() {
    let encounter = json!({"fullUrl": "http://gp.example/fhir/Encounter/e", "resource": {
        "resourceType": "Encounter", "id": "e", "period": {"start": "2026-02-01"}}});
    let metadata = with(|value| {
        value["entry"].as_array_mut().unwrap().push(encounter);
        let composition = value["entry"][0]["resource"].as_object_mut().unwrap();
        composition.insert("encounter".into(), json!({"reference": "Encounter/e"}));
        composition.remove("event");
    });
    let period = metadata.ok().unwrap().period.unwrap();
    assert_eq!((period.start_unix_seconds, period.end_unix_seconds), (Some(1_769_904_000), None));
    let date = with(|value| {
        value["entry"][0]["resource"]["event"] = json!([{"period": {"start": "soon"}}]);
    })
    .ok()
    .unwrap();
    assert_eq!(date.period.unwrap().start_unix_seconds, Some(1_772_442_000));
    assert_eq!(date.warnings, [FoundWarning::BadTime]);
}

#[test]
fn refuses_what_was_entered_in_error() {
    let result = with(|value| {
        value["entry"][0]["resource"]["status"] = "entered-in-error".into();
    });
    assert_eq!(reason(result), QuarantineReason::EnteredInError);
}

proptest! {
    #[test]
    fn reading_a_mangled_document_never_panics(at in 0usize..2000, with in "\\PC{0,3}") {
        let mut text: Vec<char> = document().to_string().chars().collect();
        let at = at % text.len();
        text.splice(at..at + 1, with.chars());
        let _ = read(&text.into_iter().collect::<String>(), &TimeZone::UTC);
    }

    #[test]
    fn members_of_any_shape_never_panic(
        pointer in prop::sample::select(vec![
            "", "/entry", "/entry/0", "/entry/0/resource/subject", "/entry/0/resource/author",
            "/entry/0/resource/type", "/entry/0/resource/event", "/entry/1/resource/identifier",
            "/entry/0/fullUrl", "/identifier", "/entry/0/resource/date",
        ]),
        shape in prop::sample::select(vec![
            json!(null), json!(1), json!("x"), json!([]), json!({}), json!([[]]), json!([{"x": {}}]),
        ]),
    ) {
        let _ = with(|value| *value.pointer_mut(pointer).unwrap() = shape);
    }
}
