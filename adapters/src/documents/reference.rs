//! Reads the metadata of a FHIR R4 DocumentReference: a document's description, with the document inside it.
//!
//! By itself, or in a Bundle with the Binary that holds the bytes, as IHE MHD submits it. MHD's minimal metadata are what
//! is asked for: status, one content, and a patient whom the file itself names.

use jiff::tz::TimeZone;

use super::attachment::{Attachment, Check, Place, Step};
use super::fhir::{
    Read, author_unit, class, collect_labels, confidentiality_of, first_coding, first_id,
    lifecycle, patient, raw_identifier,
};
use super::json::Node;
use super::metadata::{Metadata, is_media_type};
use super::resources::{Resources, is_a};
use super::times;
use super::walk::{is_ignored, is_json};
use crate::item::{ClinicalPeriod, Coding, FoundWarning, Lifecycle};
use crate::reason::{QuarantineReason, Refusal};

/// What bytes are when nobody says.
const UNKNOWN_BYTES: &str = "application/octet-stream";

/// The one DocumentReference of a Bundle.
///
/// # Errors
/// Fails if there is none, or if there are several: a file is one record.
pub(crate) fn only_one(root: &Node) -> Result<Resources<'_>, Refusal> {
    let mut found = root
        .get("entry")
        .list()
        .iter()
        .filter(|entry| is_a(entry.get("resource"), "DocumentReference"));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(Resources::of_bundle(root, entry)),
        (None, _) => {
            let what = "a Bundle that is no document and has no DocumentReference";
            Err(Refusal::with(QuarantineReason::NotADocument, what))
        }
        (Some(_), Some(_)) => {
            Err(Refusal::with(QuarantineReason::SeveralAttachments, "DocumentReferences"))
        }
    }
}

/// Reads one DocumentReference.
///
/// # Errors
/// Fails if it is not in force, does not lead to its patient, or does not have exactly one attachment in the file.
pub(crate) fn read(resources: &Resources<'_>, zone: &TimeZone) -> Result<Read, Refusal> {
    let reference = resources.focus;
    match reference.get("status").text() {
        Some("entered-in-error") => return Err(QuarantineReason::EnteredInError.into()),
        Some("superseded") => return Err(QuarantineReason::ReferenceSuperseded.into()),
        _ => {}
    }
    let content = match reference.get("content").list() {
        [content] => content,
        [] => return Err(QuarantineReason::NoAttachment.into()),
        _ => return Err(Refusal::with(QuarantineReason::SeveralAttachments, "contents")),
    };
    let described = content.get("attachment");
    let (attachment, binary) = attachment(resources, described)?;
    let mut metadata = Metadata {
        document_id: first_id([reference.get("masterIdentifier"), reference.get("identifier")]),
        lifecycle: lifecycle(reference.get("docStatus"))?.or(replaces(reference)),
        patient: patient(resources)?,
        confidentiality: confidentiality(resources, binary),
        ..Metadata::default()
    };
    metadata.patient.extend(source_patient(resources));
    let media_type = described.get("contentType").text();
    let media_type = media_type.or(binary.and_then(|binary| binary.get("contentType").text()));
    metadata.media_type = match media_type.filter(|text| is_media_type(text)) {
        Some(text) => text.to_owned(),
        None => {
            metadata.warn(FoundWarning::FieldLeftOut);
            UNKNOWN_BYTES.to_owned()
        }
    };
    let context = reference.get("context");
    metadata.class = class(reference, &mut metadata);
    metadata.facility = coding(context.get("facilityType"), &mut metadata);
    metadata.practice_setting = coding(context.get("practiceSetting"), &mut metadata);
    metadata.period = period(reference, described, zone, &mut metadata);
    let language = described.get("language").text().or(reference.get("language").text());
    metadata.language = language.and_then(|tag| metadata.language_tag(tag));
    metadata.custodian = resources.organisation(reference.get("custodian"), &mut metadata);
    metadata.author_unit = author_unit(resources, &mut metadata);
    Ok(Read { metadata, attachment: Some(attachment) })
}

/// Where the bytes are, and the Binary that holds them if they are not in the DocumentReference itself.
fn attachment<'n>(
    resources: &Resources<'n>,
    described: &Node,
) -> Result<(Attachment, Option<&'n Node>), Refusal> {
    let check = Check::read(described)?;
    let at = |resource: &Node| {
        let of_entry = |entry: &Node| core::ptr::eq(entry.get("resource"), resource);
        match resources.entries.iter().position(of_entry) {
            Some(at) => vec![Step::Member("entry"), Step::Element(at), Step::Member("resource")],
            None => Vec::new(),
        }
    };
    if described.has("data") {
        let mut path = at(resources.focus);
        path.extend([Step::Member("content"), Step::Element(0)]);
        path.extend([Step::Member("attachment"), Step::Member("data")]);
        return Ok((Attachment { place: Place::Inside(path), check }, None));
    }
    let Some(url) = described.get("url").text() else {
        return Err(QuarantineReason::NoAttachment.into());
    };
    match resources.resolve(url) {
        Some(binary) if is_a(binary, "Binary") && binary.has("data") && !url.starts_with('#') => {
            let mut path = at(binary);
            path.push(Step::Member("data"));
            Ok((Attachment { place: Place::Inside(path), check }, Some(binary)))
        }
        Some(_) => Err(QuarantineReason::NoAttachment.into()),
        // A submission says where its bytes are; only who writes files means files.
        None if resources.entries.is_empty() => {
            let path = beside(url).ok_or(QuarantineReason::AttachmentElsewhere)?;
            Ok((Attachment { place: Place::Beside(path), check }, None))
        }
        None => Err(QuarantineReason::AttachmentElsewhere.into()),
    }
}

/// The path that a relative url means, if it leads to a file in the same folder or below: one above could be read before
/// it is known that a reference describes it.
fn beside(url: &str) -> Option<String> {
    let bad = |byte: u8| byte.is_ascii_control() || b":?#\\".contains(&byte);
    let path = unescaped(url).filter(|_| !url.bytes().any(bad))?;
    let plain = |name: &str| !name.is_empty() && !is_ignored(name);
    // What stands in a JSON file describes itself.
    let whole =
        path.split('/').all(plain) && !is_json(path.as_bytes()) && !path.contains(char::is_control);
    whole.then_some(path)
}

/// Without the escapes of a URL (RFC 3986 section 2.1).
fn unescaped(url: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => u8::try_from(digit(rest.next())? << 4 | digit(rest.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A document that takes another's place was changed after that one was final (`relatesTo.code`), as in CDA.
fn replaces(reference: &Node) -> Option<Lifecycle> {
    let mut relations = reference.get("relatesTo").list().iter();
    let replaces = relations.any(|relation| relation.get("code").text() == Some("replaces"));
    replaces.then_some(Lifecycle::Amended)
}

/// The identifiers of the patient as the source knew it: by definition the same patient as the subject.
fn source_patient(resources: &Resources<'_>) -> Vec<super::metadata::RawIdentifier> {
    let source = resources.focus.get("context").get("sourcePatientInfo");
    let patient = source.get("reference").text().and_then(|url| resources.resolve(url));
    let patient = patient.filter(|patient| is_a(patient, "Patient"));
    let of_patient = patient.map_or(&[][..], |patient| patient.get("identifier").list());
    of_patient.iter().chain(source.get("identifier").list()).filter_map(raw_identifier).collect()
}

/// The security labels of the reference, and those of the file's resources.
///
/// A label without a code says that there is one and that it is unknown: the code `""`, which nothing lets pass.
fn confidentiality(resources: &Resources<'_>, binary: Option<&Node>) -> Vec<String> {
    let mut codes = Vec::new();
    for label in resources.focus.get("securityLabel").list() {
        match label.get("coding").list() {
            [] => codes.push(String::new()),
            codings => codes.extend(codings.iter().filter_map(confidentiality_of)),
        }
    }
    // The Binary stands for another resource by which it is protected (R4 `Binary.securityContext`): that one is read too.
    let context = binary.and_then(|it| it.get("securityContext").get("reference").text());
    if context.is_some_and(|url| resources.resolve(url).is_none()) {
        codes.push(String::new());
    }
    collect_labels(resources.root, &mut codes);
    codes
}

fn coding(concept: &Node, metadata: &mut Metadata) -> Option<Coding> {
    let (system, code) = first_coding(concept)?;
    metadata.coding(system, code)
}

/// The time of the service, else when the attachment was made, else when it was described.
fn period(
    reference: &Node,
    described: &Node,
    zone: &TimeZone,
    metadata: &mut Metadata,
) -> Option<ClinicalPeriod> {
    let mut time = |written: &Node| {
        let stretch = written.text().and_then(|text| times::fhir(text, zone));
        if written.text().is_some() && stretch.is_none() {
            metadata.warn(FoundWarning::BadTime);
        }
        stretch
    };
    let service = reference.get("context").get("period");
    let (low, high) = (time(service.get("start")), time(service.get("end")));
    let (created, made) = (time(described.get("creation")), time(reference.get("date")));
    let point = created.or(made);
    if low.or(high).or(point).is_none() {
        metadata.warn(FoundWarning::NoDate);
    }
    times::period(low, high).or(point.map(Into::into))
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
