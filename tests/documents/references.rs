//! FHIR DocumentReferences: a document inside its description, by itself or in a Bundle with a Binary.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Member, SUBJECT_SYSTEM, SUBJECT_VALUE};
use crate::table::{Bench, Outcome, Tally};
use Outcome::{Quarantined, Registered};

fn reference(attachment: Value) -> Value {
    json!({
        "resourceType": "DocumentReference", "status": "current", "docStatus": "final",
        "masterIdentifier": { "value": "1" },
        "type": { "coding": [{ "system": "http://loinc.org", "code": "34108-1" }] },
        "subject": { "identifier": { "system": SUBJECT_SYSTEM, "value": SUBJECT_VALUE } },
        "content": [{ "attachment": attachment }],
    })
}

fn bundle(kind: &str, resources: &[Value]) -> Value {
    let entries = resources.iter().enumerate();
    let entry = |(at, resource): (usize, &Value)| json!({ "fullUrl": format!("urn:uuid:{at}"), "resource": resource });
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries.map(entry).collect::<Vec<_>>() })
}

fn inline(bytes: &[u8]) -> Value {
    json!({ "contentType": "application/pdf", "data": STANDARD.encode(bytes) })
}

fn changed(mut value: Value, key: &str, to: Value) -> Value {
    value[key] = to;
    value
}

/// Some bytes that are no text.
fn pdf(name: &str) -> Vec<u8> {
    [b"%PDF-1.7\n\xff\xfe", name.as_bytes()].concat()
}

pub fn references(bench: &mut Bench) {
    let label = |code: &str| json!([{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": code }] }]);
    let binary = |bytes: &[u8]| json!({ "resourceType": "Binary", "contentType": "application/pdf", "data": STANDARD.encode(bytes) });
    let by = |url: &str| reference(json!({ "contentType": "application/pdf", "url": url }));
    for (name, expected, make) in [
        (
            "a document in its reference",
            Registered,
            (|bytes| reference(inline(bytes))) as fn(&[u8]) -> Value,
        ),
        ("size and hash that fit", Registered, |bytes| {
            reference(changed(inline(bytes), "size", json!(bytes.len())))
        }),
        ("a size that does not fit", Quarantined("ATTACHMENT_DIFFERS"), |bytes| {
            reference(changed(inline(bytes), "size", json!(bytes.len() + 1)))
        }),
        ("a hash that does not fit", Quarantined("ATTACHMENT_DIFFERS"), |bytes| {
            reference(changed(inline(bytes), "hash", json!(STANDARD.encode([7; 20]))))
        }),
        ("data that are no base64", Quarantined("ATTACHMENT_DIFFERS"), |_| {
            reference(json!({ "data": "%PDF" }))
        }),
        ("no data and no url", Quarantined("NO_ATTACHMENT"), |_| reference(json!({}))),
        ("no content", Quarantined("NO_ATTACHMENT"), |bytes| {
            changed(reference(inline(bytes)), "content", json!([]))
        }),
        ("two contents", Quarantined("SEVERAL_ATTACHMENTS"), |bytes| {
            let one = json!({ "attachment": inline(bytes) });
            changed(reference(inline(bytes)), "content", json!([one, one]))
        }),
        ("superseded", Quarantined("REFERENCE_SUPERSEDED"), |bytes| {
            changed(reference(inline(bytes)), "status", json!("superseded"))
        }),
        ("entered in error", Quarantined("ENTERED_IN_ERROR"), |bytes| {
            changed(reference(inline(bytes)), "status", json!("entered-in-error"))
        }),
        ("nobody", Quarantined("SUBJECT_NOT_FOUND"), |bytes| {
            changed(reference(inline(bytes)), "subject", json!({}))
        }),
        ("a patient elsewhere", Quarantined("SUBJECT_NOT_FOUND"), |bytes| {
            changed(reference(inline(bytes)), "subject", json!({ "reference": "Patient/1" }))
        }),
    ] {
        let bytes = pdf(name);
        bench.put_described(name, expected, "a.json", &make(&bytes).to_string(), &bytes);
    }
    for (code, expected) in [
        ("N", Registered),
        ("R", Quarantined("NEEDS_LIMITED_AUDIENCE")),
        ("x", Quarantined("UNKNOWN_CONFIDENTIALITY")),
    ] {
        let (name, bytes) = (format!("a reference labelled {code}"), pdf(code));
        let text = changed(reference(inline(&bytes)), "securityLabel", label(code)).to_string();
        bench.put_described(&name, expected, "a.json", &text, &bytes);
    }
    for url in [
        "http://127.0.0.1:9/b.pdf",
        "https://a.example/Binary/1",
        "file:///etc/passwd",
        "/etc/passwd",
        "../zz-good.xml",
        "%2e%2e/zz-good.xml",
        "//a.example/b",
    ] {
        let expected = Quarantined("ATTACHMENT_ELSEWHERE");
        bench.put(&format!("a url that leads to {url}"), expected, "a.json", by(url).to_string());
    }
    let none = json!({ "resourceType": "List" });
    for kind in ["transaction", "batch", "collection"] {
        let (name, bytes) = (format!("a {kind} with a Binary"), pdf(kind));
        let text = bundle(kind, &[none.clone(), binary(&bytes), by("urn:uuid:1")]).to_string();
        bench.put_described(&name, Registered, "a.json", &text, &bytes);
    }
    let bytes = pdf("missing");
    for (name, reason, resources) in [
        (
            "a Binary that is not there",
            "ATTACHMENT_ELSEWHERE",
            vec![binary(&bytes), by("urn:uuid:7")],
        ),
        (
            "a Binary without data",
            "NO_ATTACHMENT",
            vec![json!({ "resourceType": "Binary" }), by("urn:uuid:0")],
        ),
        ("a List as the document", "NO_ATTACHMENT", vec![none.clone(), by("urn:uuid:0")]),
        (
            "two references",
            "SEVERAL_ATTACHMENTS",
            vec![binary(&bytes), by("urn:uuid:0"), by("urn:uuid:0")],
        ),
        ("no reference", "NOT_A_DOCUMENT", vec![binary(&bytes)]),
    ] {
        let text = bundle("transaction", &resources).to_string();
        bench.put_described(name, Quarantined(reason), "a.json", &text, &bytes);
    }
    for (name, file) in [("first", "a.pdf"), ("last", "zz.xml")] {
        let name = format!("a file beside its reference, which sorts {name}");
        let (folder, below) = bench.cell_folder(&name);
        std::fs::write(folder.join("m.json"), by(file).to_string()).expect("written");
        std::fs::write(folder.join(file), crate::content::cda(&name)).expect("written");
        // Its bytes are registered once, under the reference, and not by themselves.
        bench.expect(&name, format!("{below}/m.json"), &folder.join(file), Registered);
    }
    bench.put(
        "a file that is not there",
        Quarantined("ATTACHMENT_MISSING"),
        "a.json",
        by("b.pdf").to_string(),
    );
    // As PHP and others write it.
    let bytes = [0xff; 90];
    let text = reference(inline(&bytes)).to_string().replace("//", "\\/\\/");
    bench.put_described("escaped slashes", Registered, "a.json", &text, &bytes);
    let bytes: Vec<u8> = (0..4 << 20).map(|n: u32| n.to_be_bytes()[2]).collect();
    let text = reference(inline(&bytes)).to_string();
    bench.put_described("4 MB inside", Registered, "a.json", &text, &bytes);
    let text = reference(inline(&vec![7; 30 << 20])).to_string();
    bench.put("40 MB of base64", Quarantined("TOO_LARGE"), "a.json", text);
}

/// What comes out is the document, not the JSON around it.
pub fn are_served(tally: &mut Tally, member: &Member) {
    for name in ["a document in its reference", "transaction"] {
        let bytes = pdf(name);
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
        let listed = member.try_list().unwrap_or_default();
        let pointer = listed.iter().find(|pointer| pointer.digest() == digest);
        let served = pointer.map(|pointer| member.retrieve(&pointer.name)) == Some(bytes);
        tally.holds(&format!("{name}: its bytes are served"), served, pointer);
    }
}
