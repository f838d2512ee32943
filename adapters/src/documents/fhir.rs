//! Reads the metadata of a FHIR R4 document Bundle (JSON).
//!
//! Read leniently: members that this adapter does not use may have any shape (an R5 `attester.mode`, a missing date).
//! Not lenient where a guess could name the wrong person: the patient is what `Composition.subject` leads to, or none.

use core::hash::Hash;
use std::collections::HashMap;

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::json::{self, Node};
use super::metadata::{Metadata, RawIdentifier};
use super::times;
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

/// Reads one file.
///
/// # Errors
/// Fails if it is no JSON, no document Bundle, or does not lead to its patient.
pub(crate) fn read(text: &str, zone: &TimeZone) -> Result<Metadata, Refusal> {
    let bundle = json::read(text)?;
    let bundle = Bundle::new(&bundle)?;
    let composition = bundle.composition;
    let mut metadata =
        Metadata { media_type: "application/fhir+json".into(), ..Metadata::default() };
    metadata.document_id = document_id(&bundle);
    metadata.lifecycle = lifecycle(composition)?;
    metadata.patient = patient(&bundle)?;
    metadata.class = class(composition, &mut metadata);
    metadata.confidentiality = confidentiality(&bundle);
    metadata.period = period(&bundle, zone, &mut metadata);
    let language = composition.get("language").text().or(bundle.root.get("language").text());
    metadata.language = language.and_then(|tag| metadata.language_tag(tag));
    let custodian = composition.get("custodian");
    metadata.custodian = bundle.organisation(custodian, &mut metadata);
    metadata.author_unit = composition
        .get("author")
        .list()
        .iter()
        .take(MAX_AUTHORS)
        .find_map(|author| bundle.organisation(author, &mut metadata));
    Ok(metadata)
}

/// A Bundle whose first entry is a Composition.
///
/// References are looked up in maps: a search through the entries for each reference would cost a hostile Bundle's
/// square.
struct Bundle<'n> {
    root: &'n Node,
    entries: &'n [Node],
    composition: &'n Node,
    by_full_url: Only<'n, &'n str>,
    by_type_and_id: Only<'n, (&'n str, &'n str)>,
    contained: Only<'n, &'n str>,
}

/// The one resource of each name; `None` if there are more, because choosing would be guessing.
type Only<'n, K> = HashMap<K, Option<&'n Node>>;

/// Collects what has a name.
fn only<'n, K: Eq + Hash>(named: impl Iterator<Item = Option<(K, &'n Node)>>) -> Only<'n, K> {
    let mut only = HashMap::new();
    for (name, resource) in named.flatten() {
        only.entry(name).and_modify(|other| *other = None).or_insert(Some(resource));
    }
    only
}

impl<'n> Bundle<'n> {
    fn new(root: &'n Node) -> Result<Self, Refusal> {
        let not = |what: String| Err(Refusal::with(QuarantineReason::NotADocument, what));
        let Some(kind) = root.get("resourceType").text() else {
            return not("JSON without a resourceType".into());
        };
        if kind != "Bundle" {
            return not(format!("a FHIR {} by itself", word(kind)));
        }
        match root.get("type").text() {
            Some("document") => {}
            Some(other) => return not(format!("a Bundle of type {}", word(other))),
            None => return not("a Bundle without a type".into()),
        }
        let entries = root.get("entry").list();
        let composition = entries.first().map(|first| first.get("resource"));
        let composition = match composition {
            Some(composition) if is_a(composition, "Composition") => composition,
            _ => return not("a document Bundle whose first entry is no Composition".into()),
        };
        let full_url =
            |entry: &'n Node| Some((entry.get("fullUrl").text()?, entry.get("resource")));
        let id = |resource: &'n Node| Some((resource.get("id").text()?, resource));
        let type_and_id = |entry: &'n Node| {
            let (id, resource) = id(entry.get("resource"))?;
            Some(((resource.get("resourceType").text()?, id), resource))
        };
        Ok(Self {
            root,
            entries,
            composition,
            by_full_url: only(entries.iter().map(full_url)),
            by_type_and_id: only(entries.iter().map(type_and_id)),
            contained: only(composition.get("contained").list().iter().map(id)),
        })
    }

    /// What a reference of the Composition leads to (FHIR R4 "Resolving references in Bundles"); `None` if that is not
    /// exactly one resource.
    fn resolve(&self, reference: &str) -> Option<&'n Node> {
        let reference = reference.split("/_history/").next().unwrap_or(reference);
        if let Some(id) = reference.strip_prefix('#') {
            return self.contained.get(id).copied().flatten();
        }
        if reference.contains(':') {
            return self.by_full_url.get(reference).copied().flatten();
        }
        let base = self
            .entries
            .first()
            .and_then(|first| first.get("fullUrl").text())
            .and_then(|url| url.rsplitn(3, '/').nth(2));
        let absolute = base.map(|base| format!("{base}/{reference}"));
        let found = absolute.and_then(|url| self.by_full_url.get(url.as_str()).copied().flatten());
        // Bundles whose fullUrls do not fit their references are common; type and id must then be unambiguous.
        found.or_else(|| self.by_type_and_id.get(&reference.rsplit_once('/')?).copied().flatten())
    }

    /// The organisation behind a reference: itself, or the one that a PractitionerRole acts for. Never a person.
    fn organisation(&self, reference: &Node, metadata: &mut Metadata) -> Option<Identifier> {
        let target = reference.get("reference").text().and_then(|url| self.resolve(url));
        match target {
            Some(role) if is_a(role, "PractitionerRole") => {
                let organisation = role.get("organization");
                let target = organisation.get("reference").text().and_then(|url| self.resolve(url));
                target
                    .filter(|target| is_a(target, "Organization"))
                    .and_then(|target| first_identifier(target, metadata))
                    .or_else(|| first_identifier(organisation, metadata))
            }
            Some(organisation) if is_a(organisation, "Organization") => {
                first_identifier(organisation, metadata)
            }
            Some(_) => None,
            None => {
                let kind = reference.get("type").text();
                let named = kind == Some("Organization")
                    || reference
                        .get("reference")
                        .text()
                        .is_some_and(|url| url.rsplit('/').nth(1) == Some("Organization"));
                named.then(|| first_identifier(reference, metadata)).flatten()
            }
        }
    }
}

fn is_a(resource: &Node, kind: &str) -> bool {
    resource.get("resourceType").text() == Some(kind)
}

/// A name out of the file that may be shown: letters only, as every FHIR type is.
fn word(name: &str) -> &str {
    let shown = name.len() <= 40 && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    if shown { name } else { "resource of an unknown type" }
}

fn first_identifier(holder: &Node, metadata: &mut Metadata) -> Option<Identifier> {
    holder.get("identifier").list().iter().find_map(|identifier| {
        let (system, value) = (identifier.get("system").text()?, identifier.get("value").text()?);
        metadata.organisation(system, value)
    })
}

fn document_id(bundle: &Bundle<'_>) -> Option<DocumentId> {
    let own = bundle.root.get("identifier").list().iter();
    let composition = bundle.composition.get("identifier").list().iter();
    own.chain(composition).find_map(|identifier| {
        let value = identifier.get("value").text()?;
        Some(DocumentId::new(identifier.get("system").text().unwrap_or(""), value))
    })
}

fn lifecycle(composition: &Node) -> Result<Option<Lifecycle>, Refusal> {
    match composition.get("status").text() {
        Some("preliminary") => Ok(Some(Lifecycle::Preliminary)),
        Some("final") => Ok(Some(Lifecycle::Final)),
        Some("amended") => Ok(Some(Lifecycle::Amended)),
        Some("entered-in-error") => Err(QuarantineReason::EnteredInError.into()),
        _ => Ok(None),
    }
}

/// The identifiers of the Patient that the document is about, and those in the reference itself.
fn patient(bundle: &Bundle<'_>) -> Result<Vec<RawIdentifier>, Refusal> {
    let subject = match bundle.composition.get("subject").list() {
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
    Ok(of_patient
        .iter()
        .chain(subject.get("identifier").list())
        .filter_map(|identifier| {
            Some(RawIdentifier {
                system: identifier.get("system").text()?.to_owned(),
                value: Zeroizing::new(identifier.get("value").text()?.to_owned()),
            })
        })
        .collect())
}

fn class(composition: &Node, metadata: &mut Metadata) -> Option<Coding> {
    let coded = composition
        .get("type")
        .get("coding")
        .list()
        .iter()
        .find_map(|coding| Some((coding.get("system").text()?, coding.get("code").text()?)));
    match coded {
        Some((system, code)) => metadata.coding(system, code),
        None => {
            metadata.warn(FoundWarning::NoType);
            None
        }
    }
}

/// All confidentiality codes: of the Composition, and the security labels of the Bundle and of every resource in it,
/// however deep, but a Patient: its label protects name and address, neither of which is ever registered.
///
/// What may be a confidentiality and cannot be read is the code `""`, which nothing lets pass.
fn confidentiality(bundle: &Bundle<'_>) -> Vec<String> {
    let composition = bundle.composition;
    let mut codes = Vec::new();
    // An extension in place of the value says that there is one and that it is masked or unknown.
    if composition.has("confidentiality") || composition.has("_confidentiality") {
        codes.push(composition.get("confidentiality").text().unwrap_or("").to_owned());
    }
    collect_labels(bundle.root, &mut codes);
    codes
}

/// The labels of a resource and of those inside it. As deep as JSON is read at most.
fn collect_labels(resource: &Node, codes: &mut Vec<String>) {
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
fn confidentiality_of(label: &Node) -> Option<String> {
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
    bundle: &Bundle<'_>,
    zone: &TimeZone,
    metadata: &mut Metadata,
) -> Option<crate::item::ClinicalPeriod> {
    let composition = bundle.composition;
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
