//! Reads the metadata of a FHIR R4 document Bundle (JSON).
//!
//! Read leniently: members that this adapter does not use may have any shape (an R5 `attester.mode`, a missing date).
//! Not lenient where a guess could name the wrong person: the patient is what `Composition.subject` leads to, or none.

use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::json::{self, Node};
use super::metadata::{Metadata, RawIdentifier};
use super::times;
use crate::item::{Coding, DocumentId, FoundWarning, Identifier, Lifecycle};
use crate::reason::{QuarantineReason, Refusal};

const CONFIDENTIALITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// The same code system under its names in older releases.
const CONFIDENTIALITY_SYSTEMS: [&str; 4] = [
    CONFIDENTIALITY_SYSTEM,
    "http://hl7.org/fhir/v3/Confidentiality",
    "urn:oid:2.16.840.1.113883.5.25",
    "2.16.840.1.113883.5.25",
];

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
        .find_map(|author| bundle.organisation(author, &mut metadata));
    Ok(metadata)
}

/// A Bundle whose first entry is a Composition.
struct Bundle<'n> {
    root: &'n Node,
    entries: &'n [Node],
    composition: &'n Node,
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
        match composition {
            Some(composition) if is_a(composition, "Composition") => {
                Ok(Self { root, entries, composition })
            }
            _ => not("a document Bundle whose first entry is no Composition".into()),
        }
    }

    /// What a reference of the Composition leads to (FHIR R4 "Resolving references in Bundles"); `None` if that is not
    /// exactly one resource.
    fn resolve(&self, reference: &str) -> Option<&'n Node> {
        let reference = reference.split("/_history/").next().unwrap_or(reference);
        if let Some(id) = reference.strip_prefix('#') {
            let contained = self.composition.get("contained").list().iter();
            return only(contained.filter(|resource| resource.get("id").text() == Some(id)));
        }
        if reference.contains(':') {
            return self.by_full_url(reference);
        }
        let base = self
            .entries
            .first()
            .and_then(|first| first.get("fullUrl").text())
            .and_then(|url| url.rsplitn(3, '/').nth(2));
        if let Some(found) = base.and_then(|base| self.by_full_url(&format!("{base}/{reference}")))
        {
            return Some(found);
        }
        // Bundles whose fullUrls do not fit their references are common; type and id must then be unambiguous.
        let (kind, id) = reference.rsplit_once('/')?;
        only(
            self.resources()
                .filter(|resource| is_a(resource, kind) && resource.get("id").text() == Some(id)),
        )
    }

    fn by_full_url(&self, url: &str) -> Option<&'n Node> {
        let entries = self.entries.iter();
        only(entries.filter(|entry| entry.get("fullUrl").text() == Some(url)))
            .map(|entry| entry.get("resource"))
    }

    fn resources(&self) -> impl Iterator<Item = &'n Node> {
        self.entries.iter().map(|entry| entry.get("resource"))
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

/// The one element of an iterator; `None` if there are more, because choosing would be guessing.
fn only<T>(mut elements: impl Iterator<Item = T>) -> Option<T> {
    let first = elements.next()?;
    elements.next().is_none().then_some(first)
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

/// All confidentiality codes: of the Composition, of the Bundle, and the security labels of every entry but the
/// Patient, whose label protects name and address, neither of which is ever registered.
///
/// What may be a confidentiality and cannot be read is the code `""`, which nothing lets pass.
fn confidentiality(bundle: &Bundle<'_>) -> Vec<String> {
    let composition = bundle.composition;
    let own = composition
        .has("confidentiality")
        .then(|| composition.get("confidentiality").text().unwrap_or("").to_owned());
    let labelled = core::iter::once(bundle.root)
        .chain(bundle.resources().filter(|resource| !is_a(resource, "Patient")))
        .flat_map(|resource| resource.get("meta").get("security").list());
    let labels = labelled.filter_map(|label| {
        let code = label.get("code").text().unwrap_or("");
        match label.get("system").text() {
            Some(system) if CONFIDENTIALITY_SYSTEMS.contains(&system) => Some(code.to_owned()),
            None if matches!(code, "R" | "V") => Some(code.to_owned()),
            _ => None,
        }
    });
    own.into_iter().chain(labels).collect()
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
