//! Synthetic documents of one pregnancy, as the local systems of five organisations would write them.
//!
//! The woman does not exist: her identifier is a national replacement CPR (X-eCPR), whose letters no real CPR has, and
//! she has no name. Three formats on purpose: FHIR R4 document Bundles, CDA R2, and a scan with a sidecar.

use std::path::Path;

use serde_json::json;

/// System of the identifier that all documents carry: the national replacement CPR.
pub const SUBJECT_SYSTEM: &str = "urn:oid:1.2.208.176.1.6.1.1";
/// The identifier: born 2 March 1995, letters where a CPR has digits.
pub const SUBJECT_VALUE: &str = "0203951KX4";

/// In which format a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    FhirBundle,
    Cda,
    SidecarFile,
}

/// One document of the story.
#[derive(Debug, Clone, Copy)]
pub struct StoryDocument {
    /// Name of the file, without folder.
    pub file: &'static str,
    /// What a person reads in the demo's output.
    pub title: &'static str,
    /// Gestational week, for the story.
    pub week: u32,
    format: Format,
    /// LOINC code of the document type.
    class: &'static str,
    /// First day that the document is about.
    date: &'static str,
    /// The unit that wrote it.
    unit: &'static str,
    text: &'static str,
}

/// What the general practice writes.
pub const GENERAL_PRACTICE: &[StoryDocument] = &[
    StoryDocument {
        file: "week-08-referral.json",
        title: "referral to the place of birth",
        week: 8,
        format: Format::FhirBundle,
        class: "57133-1",
        date: "2026-03-02",
        unit: "general-practice",
        text: "First pregnancy consultation; dating scan and nuchal scan wished for.",
    },
    StoryDocument {
        file: "week-25-consultation.json",
        title: "pregnancy consultation",
        week: 25,
        format: Format::FhirBundle,
        class: "57059-8",
        date: "2026-06-29",
        unit: "general-practice",
        text: "Blood pressure and urine normal; fundal height follows the curve.",
    },
];

/// What the hospital's obstetric department and its midwife centre write.
pub const HOSPITAL: &[StoryDocument] = &[
    StoryDocument {
        file: "obstetrics/week-12-ultrasound.xml",
        title: "nuchal and dating scan",
        week: 12,
        format: Format::Cda,
        class: "11525-3",
        date: "20260330",
        unit: "obstetrics",
        text: "One foetus; the due date is moved two days by ultrasound.",
    },
    StoryDocument {
        file: "obstetrics/week-20-ultrasound.xml",
        title: "malformation scan",
        week: 20,
        format: Format::Cda,
        class: "11525-3",
        date: "20260525",
        unit: "obstetrics",
        text: "Anatomy without remarks; placenta on the back wall.",
    },
    StoryDocument {
        file: "midwives/week-16-visit.json",
        title: "first midwife visit",
        week: 16,
        format: Format::FhirBundle,
        class: "57059-8",
        date: "2026-04-27",
        unit: "midwives",
        text: "Heart tones heard; plan for the birth begun.",
    },
    StoryDocument {
        file: "midwives/week-29-visit.json",
        title: "midwife visit",
        week: 29,
        format: Format::FhirBundle,
        class: "57059-8",
        date: "2026-07-27",
        unit: "midwives",
        text: "Symphysis-fundus measure 28 cm; head down.",
    },
];

/// What the laboratory writes.
pub const LABORATORY: &[StoryDocument] = &[
    StoryDocument {
        file: "week-09-blood.xml",
        title: "first blood tests",
        week: 9,
        format: Format::Cda,
        class: "11502-2",
        date: "20260309",
        unit: "biochemistry",
        text: "Blood type, rhesus, haemoglobin: see values.",
    },
    StoryDocument {
        file: "week-28-glucose.pdf",
        title: "glucose tolerance, scanned",
        week: 28,
        format: Format::SidecarFile,
        class: "11502-2",
        date: "2026-07-20",
        unit: "biochemistry",
        text: "Two-hour value within limits.",
    },
];

/// What the municipality's health visitors write.
pub const MUNICIPALITY: &[StoryDocument] = &[StoryDocument {
    file: "week-30-pregnancy-visit.json",
    title: "health visitor's pregnancy visit",
    week: 30,
    format: Format::FhirBundle,
    class: "57059-8",
    date: "2026-08-03",
    unit: "health-visitors",
    text: "Visit at home; support network talked through.",
}];

/// What the hospital that joins late writes.
pub const SECOND_HOSPITAL: &[StoryDocument] = &[StoryDocument {
    file: "week-31-acute.xml",
    title: "acute visit while travelling",
    week: 31,
    format: Format::Cda,
    class: "34111-5",
    date: "20260810",
    unit: "acute-obstetrics",
    text: "Fewer movements felt; cardiotocography normal; sent home.",
}];

/// Writes the documents into `folder`, making it and the folders inside it.
///
/// # Errors
/// Fails when a file cannot be written.
pub fn write_all(folder: &Path, documents: &[StoryDocument]) -> std::io::Result<()> {
    documents.iter().try_for_each(|document| write(folder, document))
}

fn write(folder: &Path, document: &StoryDocument) -> std::io::Result<()> {
    let path = folder.join(document.file);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match document.format {
        Format::FhirBundle => std::fs::write(&path, fhir_bundle(document)),
        Format::Cda => std::fs::write(&path, cda(document)),
        Format::SidecarFile => {
            // The sidecar first: a file without one would be quarantined for a moment.
            let sidecar = folder.join(format!("{}.meta.json", document.file));
            std::fs::write(sidecar, sidecar_json(document))?;
            std::fs::write(&path, format!("%PDF-1.4\n% {}\n%%EOF\n", document.text))
        }
    }
}

/// A stable UUID-shaped id for a document: names are all that differs between runs' documents.
fn document_uuid(document: &StoryDocument) -> String {
    use sha2::Digest as _;
    let digest = hex::encode(sha2::Sha256::digest(document.file.as_bytes()));
    format!(
        "{}-{}-4{}-8{}-{}",
        &digest[..8],
        &digest[8..12],
        &digest[13..16],
        &digest[17..20],
        &digest[20..32]
    )
}

fn fhir_bundle(document: &StoryDocument) -> String {
    let id = document_uuid(document);
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": { "system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{id}") },
        "timestamp": format!("{}T10:00:00+02:00", document.date),
        "entry": [
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": {
                "resourceType": "Composition",
                "status": "final",
                "language": "da-DK",
                "type": { "coding": [{ "system": "http://loinc.org", "code": document.class }] },
                "subject": { "reference": "urn:uuid:00000000-0000-4000-8000-000000000002" },
                "date": format!("{}T10:00:00+02:00", document.date),
                "author": [{ "reference": "urn:uuid:00000000-0000-4000-8000-000000000003" }],
                "title": document.title,
                "confidentiality": "N",
                "custodian": { "reference": "urn:uuid:00000000-0000-4000-8000-000000000003" },
                "event": [{ "period": { "start": document.date, "end": document.date } }],
                "section": [{ "title": document.title, "text": {
                    "status": "generated",
                    "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", document.text)
                } }]
            } },
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000002", "resource": {
                "resourceType": "Patient",
                "identifier": [{ "system": SUBJECT_SYSTEM, "value": SUBJECT_VALUE }]
            } },
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000003", "resource": {
                "resourceType": "Organization",
                "identifier": [{ "system": "urn:oid:1.2.208.176.1.1", "value": document.unit }]
            } }
        ]
    });
    format!("{bundle:#}\n")
}

fn cda(document: &StoryDocument) -> String {
    let id = document_uuid(document);
    let subject_root = SUBJECT_SYSTEM.trim_start_matches("urn:oid:");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="1.2.208.184" extension="{id}"/>
  <code code="{class}" codeSystem="2.16.840.1.113883.6.1"/>
  <title>{title}</title>
  <effectiveTime value="{date}100000+0200"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="da-DK"/>
  <recordTarget><patientRole><id root="{subject_root}" extension="{SUBJECT_VALUE}"/></patientRole></recordTarget>
  <author>
    <time value="{date}100000+0200"/>
    <assignedAuthor>
      <id root="1.2.208.176.1.1" extension="{unit}"/>
      <representedOrganization><id root="1.2.208.176.1.1" extension="{unit}"/></representedOrganization>
    </assignedAuthor>
  </author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="1.2.208.176.1.1" extension="{unit}"/>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <documentationOf><serviceEvent classCode="ACT">
    <effectiveTime><low value="{date}090000+0200"/><high value="{date}100000+0200"/></effectiveTime>
  </serviceEvent></documentationOf>
  <component><structuredBody><component><section>
    <title>{title}</title><text>{text}</text>
  </section></component></structuredBody></component>
</ClinicalDocument>
"#,
        class = document.class,
        title = document.title,
        date = document.date,
        unit = document.unit,
        text = document.text,
    )
}

fn sidecar_json(document: &StoryDocument) -> String {
    let sidecar = json!({
        "document_id": {
            "system": "urn:ietf:rfc:3986",
            "value": format!("urn:uuid:{}", document_uuid(document)),
        },
        "lifecycle": "final",
        "media_type": "application/pdf",
        "class": { "system": "http://loinc.org", "code": document.class },
        "subjects": [{ "system": SUBJECT_SYSTEM, "value": SUBJECT_VALUE }],
        "author_unit": { "system": "urn:oid:1.2.208.176.1.1", "value": document.unit },
        "custodian": { "system": "urn:oid:1.2.208.176.1.1", "value": document.unit },
        "period": { "start": document.date, "end": document.date },
        "confidentiality": "N",
        "language": "da-DK"
    });
    format!("{sidecar:#}\n")
}
