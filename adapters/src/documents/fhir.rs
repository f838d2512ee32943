//! Reads the metadata of a FHIR R4 document (JSON): of a document Bundle itself, or of what describes one.
//!
//! Read leniently: members that this adapter does not use may have any shape (an R5 `attester.mode`, a missing date).
//! Not lenient where a guess could name the wrong person: the patient is what `Composition.subject` leads to, or none.

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::attachment::Attachment;
use super::json::{self, Node};
use super::metadata::{Metadata, RawIdentifier};
use super::resources::{Resources, is_a};
use super::{reference, times};
use crate::item::{Coding, DocumentId, FoundWarning, Identifier, Lifecycle};
use crate::reason::{QuarantineReason, Refusal};

/// The v3 Confidentiality code system under its names in all releases, without scheme and in lower case.
const CONFIDENTIALITY_SYSTEMS: [&str; 3] = [
    "terminology.hl7.org/codesystem/v3-confidentiality",
    "hl7.org/fhir/v3/confidentiality",
    "2.16.840.1.113883.5.25",
];

/// Most authors that are asked for their unit: each may lead to the same organisation of a million identifiers.
const MAX_AUTHORS: usize = 256;

/// What is read from one file.
pub(crate) struct Read {
    pub(crate) metadata: Metadata,
    /// Where the document's bytes are, if they are not the file itself.
    pub(crate) attachment: Option<Attachment>,
}

/// Reads one file.
///
/// # Errors
/// Fails if it is no JSON, no document, or does not lead to its patient.
pub(crate) fn read(text: &str, zone: &TimeZone) -> Result<Read, Refusal> {
    read_tree(&json::read(text)?, zone)
}

/// As [`read`], of a file that was parsed.
///
/// # Errors
/// As there.
pub(crate) fn read_tree(root: &Node, zone: &TimeZone) -> Result<Read, Refusal> {
    let Some(kind) = root.get("resourceType").text() else {
        return Err(not_one("JSON without a resourceType".into()));
    };
    match (kind, root.get("type").text()) {
        ("DocumentReference", _) => reference::read(&Resources::of_one(root), zone),
        ("Bundle", Some("document")) => {
            let metadata = composed(&document(root)?, zone)?;
            Ok(Read { metadata, attachment: None })
        }
        ("Bundle", Some("transaction" | "batch" | "collection")) => {
            reference::read(&reference::only_one(root)?, zone)
        }
        ("Bundle", Some(other)) => Err(not_one(format!("a Bundle of type {}", word(other)))),
        ("Bundle", None) => Err(not_one("a Bundle without a type".into())),
        (other, _) => Err(not_one(format!("a FHIR {} by itself", word(other)))),
    }
}

/// The metadata of a document Bundle.
fn composed(bundle: &Resources<'_>, zone: &TimeZone) -> Result<Metadata, Refusal> {
    let composition = bundle.focus;
    let mut metadata =
        Metadata { media_type: "application/fhir+json".into(), ..Metadata::default() };
    metadata.document_id = document_id(bundle);
    metadata.lifecycle = lifecycle(composition.get("status"))?;
    metadata.patient = patient(bundle)?;
    metadata.class = class(composition, &mut metadata);
    metadata.confidentiality = confidentiality(bundle);
    metadata.period = period(bundle, zone, &mut metadata);
    let language = composition.get("language").text().or(bundle.root.get("language").text());
    metadata.language = language.and_then(|tag| metadata.language_tag(tag));
    metadata.custodian = bundle.organisation(composition.get("custodian"), &mut metadata);
    metadata.author_unit = author_unit(bundle, &mut metadata);
    Ok(metadata)
}

/// The unit in which it was written.
pub(crate) fn author_unit(
    resources: &Resources<'_>,
    metadata: &mut Metadata,
) -> Option<Identifier> {
    let authors = resources.focus.get("author").list().iter().take(MAX_AUTHORS);
    authors.into_iter().find_map(|author| resources.organisation(author, metadata))
}

/// The Composition with which a document Bundle begins.
fn document(root: &Node) -> Result<Resources<'_>, Refusal> {
    match root.get("entry").list().first() {
        Some(first) if is_a(first.get("resource"), "Composition") => {
            Ok(Resources::of_bundle(root, first))
        }
        _ => Err(not_one("a document Bundle whose first entry is no Composition".into())),
    }
}

fn not_one(what: String) -> Refusal {
    Refusal::with(QuarantineReason::NotADocument, what)
}

/// A name out of the file that may be shown: letters only, as every FHIR type is.
fn word(name: &str) -> &str {
    let shown = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    if shown { name } else { "resource of an unknown type" }
}

fn document_id(bundle: &Resources<'_>) -> Option<DocumentId> {
    first_id([bundle.root.get("identifier"), bundle.focus.get("identifier")])
}

/// The first identifier that has a value.
pub(crate) fn first_id<'n>(named: impl IntoIterator<Item = &'n Node>) -> Option<DocumentId> {
    named.into_iter().flat_map(Node::list).find_map(|identifier| {
        let value = identifier.get("value").text()?;
        Some(DocumentId::new(identifier.get("system").text().unwrap_or(""), value))
    })
}

/// Where it stands in its life (`Composition.status`, `DocumentReference.docStatus`).
pub(crate) fn lifecycle(status: &Node) -> Result<Option<Lifecycle>, Refusal> {
    match status.text() {
        Some("preliminary") => Ok(Some(Lifecycle::Preliminary)),
        Some("final") => Ok(Some(Lifecycle::Final)),
        Some("amended") => Ok(Some(Lifecycle::Amended)),
        Some("entered-in-error") => Err(QuarantineReason::EnteredInError.into()),
        _ => Ok(None),
    }
}

/// The identifiers of the Patient that the document is about, and those in the reference itself.
pub(crate) fn patient(bundle: &Resources<'_>) -> Result<Vec<RawIdentifier>, Refusal> {
    let subject = match bundle.focus.get("subject").list() {
        [subject] => subject,
        _ => return Err(QuarantineReason::SubjectNotFound.into()),
    };
    let target = subject.get("reference").text().map(|url| bundle.resolve(url));
    let patient = match target {
        Some(Some(patient)) if is_a(patient, "Patient") => Some(patient),
        Some(_) => return Err(QuarantineReason::SubjectNotFound.into()),
        None if subject.get("identifier").list().is_empty() => {
            return Err(QuarantineReason::SubjectNotFound.into());
        }
        None => None,
    };
    let of_patient = patient.map_or(&[] as &[Node], |patient| patient.get("identifier").list());
    let all = of_patient.iter().chain(subject.get("identifier").list());
    Ok(all.filter_map(raw_identifier).collect())
}

/// An identifier of a person, if it has a system and a value.
pub(crate) fn raw_identifier(identifier: &Node) -> Option<RawIdentifier> {
    Some(RawIdentifier {
        system: identifier.get("system").text()?.to_owned(),
        value: Zeroizing::new(identifier.get("value").text()?.to_owned()),
    })
}

/// What kind of document it is.
pub(crate) fn class(resource: &Node, metadata: &mut Metadata) -> Option<Coding> {
    match first_coding(resource.get("type")) {
        Some((system, code)) => metadata.coding(system, code),
        None => {
            metadata.warn(FoundWarning::NoType);
            None
        }
    }
}

/// System and code of the first coding that has both.
pub(crate) fn first_coding(concept: &Node) -> Option<(&str, &str)> {
    let mut codings = concept.get("coding").list().iter();
    codings.find_map(|coding| Some((coding.get("system").text()?, coding.get("code").text()?)))
}

/// All confidentiality codes: of the Composition, and the security labels of the Bundle and of every resource in it,
/// however deep, but a Patient: its label protects name and address, neither of which is ever registered.
///
/// What may be a confidentiality and cannot be read is the code `""`, which nothing lets pass.
fn confidentiality(bundle: &Resources<'_>) -> Vec<String> {
    let composition = bundle.focus;
    let mut codes = Vec::new();
    // An extension in place of the value says that there is one and that it is masked or unknown.
    if composition.has("confidentiality") || composition.has("_confidentiality") {
        codes.push(composition.get("confidentiality").text().unwrap_or("").to_owned());
    }
    collect_labels(bundle.root, &mut codes);
    codes
}

/// The labels of a resource and of those inside it. As deep as JSON is read at most.
pub(crate) fn collect_labels(resource: &Node, codes: &mut Vec<String>) {
    if !is_a(resource, "Patient") {
        let labels = resource.get("meta").get("security").list();
        codes.extend(labels.iter().filter_map(confidentiality_of));
    }
    for inside in resource.get("contained").list() {
        collect_labels(inside, codes);
    }
    for entry in resource.get("entry").list() {
        collect_labels(entry.get("resource"), codes);
    }
}

/// The confidentiality that a security label states; `None` if it is about something else.
pub(crate) fn confidentiality_of(label: &Node) -> Option<String> {
    let code = label.get("code").text().unwrap_or("");
    let of_v3 = match label.get("system").text() {
        Some(system) => is_confidentiality_system(system),
        // It could be anything: nothing that can be read makes it harmless.
        None => code.is_empty(),
    };
    // Whoever writes R or V under a name of their own means what the standard means, or something worse.
    let restricted = matches!(code.trim(), "R" | "r" | "V" | "v");
    (of_v3 || restricted).then(|| code.to_owned())
}

/// Under any of its names, as `http` or `https`, with or without a version (FHIR R4 `canonical`).
fn is_confidentiality_system(system: &str) -> bool {
    let system = system.split('|').next().unwrap_or("").trim().to_ascii_lowercase();
    let bare = ["http://", "https://", "urn:oid:"].iter().find_map(|s| system.strip_prefix(s));
    CONFIDENTIALITY_SYSTEMS.contains(&bare.unwrap_or(&system).trim_end_matches('/'))
}

/// The time that the document is about: of its events, else of the encounter, else its own date.
fn period(
    bundle: &Resources<'_>,
    zone: &TimeZone,
    metadata: &mut Metadata,
) -> Option<crate::item::ClinicalPeriod> {
    let composition = bundle.focus;
    let date = composition.get("date").text();
    if date.is_none() {
        metadata.warn(FoundWarning::NoDate);
    }
    let mut time = |text: Option<&str>| {
        let stretch = text.and_then(|text| times::fhir(text, zone));
        if text.is_some() && stretch.is_none() {
            metadata.warn(FoundWarning::BadTime);
        }
        stretch
    };
    let encounter = composition.get("encounter").get("reference").text();
    let encounter = encounter.and_then(|url| bundle.resolve(url));
    let events = composition.get("event").list().iter();
    for holder in events.chain(encounter) {
        let written = holder.get("period");
        let low = time(written.get("start").text());
        let high = time(written.get("end").text());
        if let Some(period) = times::period(low, high) {
            return Some(period);
        }
    }
    let timestamp = bundle.root.get("timestamp").text();
    time(date).or_else(|| time(timestamp)).map(Into::into)
}

#[cfg(test)]
#[path = "fhir_tests.rs"]
mod tests;
