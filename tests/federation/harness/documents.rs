//! Documents as local systems write them: FHIR document Bundles, CDA, and scans with a sidecar, of one made-up person.

use std::fs;
use std::path::Path;

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The national replacement CPR, whose letters no real CPR has.
pub const SUBJECT_SYSTEM: &str = "urn:oid:1.2.208.176.1.6.1.1";
/// The one person of these tests, who does not exist.
pub const SUBJECT_VALUE: &str = "0203951KX4";

/// One document of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name in the member's folder.
    pub file: String,
    /// Its bytes, as a retrieval must give them back.
    pub content: Vec<u8>,
    sidecar: Option<String>,
}

impl Document {
    /// The document with this number; the three formats take turns. Every number gives other bytes.
    pub fn numbered(owner: &str, number: usize) -> Self {
        match number % 3 {
            0 => Self::plain(format!("visit-{number:05}.json"), fhir_bundle(owner, number)),
            1 => Self::plain(format!("scan-{number:05}.xml"), cda(owner, number)),
            _ => Self {
                file: format!("letter-{number:05}.pdf"),
                content: format!("%PDF-1.4\n% letter {number} of {owner}\n%%EOF\n").into_bytes(),
                sidecar: Some(sidecar(owner, number)),
            },
        }
    }

    /// A scan of that size.
    pub fn scan(owner: &str, number: usize, size_bytes: usize) -> Self {
        let mut content = format!("%PDF-1.4\n% scan {number} of {owner}\n").into_bytes();
        content.resize(size_bytes, b'%');
        let file = format!("scan-{number:05}.pdf");
        Self { file, content, sidecar: Some(sidecar(owner, number)) }
    }

    fn plain(file: String, text: String) -> Self {
        Self { file, content: text.into_bytes(), sidecar: None }
    }

    /// SHA-256 of the content, as pointers carry it.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.content))
    }

    /// Puts it into `folder` whole: it is written beside it and renamed, as a careful system does.
    pub fn write(&self, folder: &Path, scratch: &Path) {
        let put = |file: &str, bytes: &[u8]| {
            let draft = scratch.join(file);
            fs::write(&draft, bytes).expect("the document is written");
            fs::rename(draft, folder.join(file)).expect("the document is put in place");
        };
        // The sidecar first: a file without one would be set aside for a moment.
        if let Some(sidecar) = &self.sidecar {
            put(&format!("{}.meta.json", self.file), sidecar.as_bytes());
        }
        put(&self.file, &self.content);
    }

    /// Takes it out of `folder`.
    pub fn remove(&self, folder: &Path) {
        fs::remove_file(folder.join(&self.file)).expect("the document was there");
        if self.sidecar.is_some() {
            let sidecar = folder.join(format!("{}.meta.json", self.file));
            fs::remove_file(sidecar).expect("the sidecar was there");
        }
    }
}

fn uuid(owner: &str, number: usize) -> String {
    let digest = hex::encode(Sha256::digest(format!("{owner}/{number}")));
    let (a, b, c, d, e) =
        (&digest[..8], &digest[8..12], &digest[13..16], &digest[17..20], &digest[20..32]);
    format!("{a}-{b}-4{c}-8{d}-{e}")
}

fn fhir_bundle(owner: &str, number: usize) -> String {
    let (composition, patient, unit) =
        (uuid("composition", number), uuid("patient", 0), uuid(owner, 0));
    let text = format!("Visit {number} at {owner}: blood pressure normal.");
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": {
            "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", uuid(owner, number)),
        },
        "timestamp": "2026-04-27T10:00:00+02:00",
        "entry": [
            { "fullUrl": format!("urn:uuid:{composition}"), "resource": {
                "resourceType": "Composition",
                "status": "final",
                "language": "da-DK",
                "type": { "coding": [{ "system": "http://loinc.org", "code": "57059-8" }] },
                "subject": { "reference": format!("urn:uuid:{patient}") },
                "date": "2026-04-27T10:00:00+02:00",
                "author": [{ "reference": format!("urn:uuid:{unit}") }],
                "title": "visit",
                "confidentiality": "N",
                "custodian": { "reference": format!("urn:uuid:{unit}") },
                "event": [{ "period": { "start": "2026-04-27", "end": "2026-04-27" } }],
                "section": [{ "title": "visit", "text": {
                    "status": "generated",
                    "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div>"),
                } }],
            } },
            { "fullUrl": format!("urn:uuid:{patient}"), "resource": {
                "resourceType": "Patient",
                "identifier": [{ "system": SUBJECT_SYSTEM, "value": SUBJECT_VALUE }],
            } },
            { "fullUrl": format!("urn:uuid:{unit}"), "resource": {
                "resourceType": "Organization",
                "identifier": [{ "system": "urn:oid:1.2.208.176.1.1", "value": "midwives" }],
            } },
        ],
    });
    format!("{bundle:#}\n")
}

fn cda(owner: &str, number: usize) -> String {
    let id = uuid(owner, number);
    let root = SUBJECT_SYSTEM.trim_start_matches("urn:oid:");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="1.2.208.184" extension="{id}"/>
  <code code="11525-3" codeSystem="2.16.840.1.113883.6.1"/>
  <title>scan</title>
  <effectiveTime value="20260330100000+0200"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="da-DK"/>
  <recordTarget><patientRole><id root="{root}" extension="{SUBJECT_VALUE}"/></patientRole></recordTarget>
  <author>
    <time value="20260330100000+0200"/>
    <assignedAuthor>
      <id root="1.2.208.176.1.1" extension="obstetrics"/>
      <representedOrganization><id root="1.2.208.176.1.1" extension="obstetrics"/></representedOrganization>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="1.2.208.176.1.1" extension="obstetrics"/>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <documentationOf><serviceEvent classCode="ACT">
    <effectiveTime><low value="20260330090000+0200"/><high value="20260330100000+0200"/></effectiveTime>
  </serviceEvent></documentationOf>
  <component><structuredBody><component><section>
    <title>scan</title><text>Scan {number} at {owner}: without remarks.</text>
  </section></component></structuredBody></component>
</ClinicalDocument>
"#
    )
}

fn sidecar(owner: &str, number: usize) -> String {
    let unit = json!({ "system": "urn:oid:1.2.208.176.1.1", "value": "biochemistry" });
    let sidecar = json!({
        "document_id": {
            "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{}", uuid(owner, number)),
        },
        "lifecycle": "final",
        "media_type": "application/pdf",
        "class": { "system": "http://loinc.org", "code": "11502-2" },
        "subjects": [{ "system": SUBJECT_SYSTEM, "value": SUBJECT_VALUE }],
        "author_unit": unit,
        "custodian": unit,
        "period": { "start": "2026-03-09", "end": "2026-03-09" },
        "confidentiality": "N",
        "language": "da-DK",
    });
    format!("{sidecar:#}\n")
}
