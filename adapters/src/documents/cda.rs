//! Reads the metadata of a CDA R2 document (XML).
//!
//! One pass of events over text in memory, no tree. DOCTYPE and entities are refused, so nothing is fetched and nothing
//! expands. The whole file is read even though the header stands first: a document that breaks off in its body must not
//! be registered, and a section may be more confidential than its document.

use jiff::tz::TimeZone;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;
use zeroize::Zeroizing;

use super::attributes::{Attributes, Fault};
use super::metadata::{Metadata, RawIdentifier, code_system_uri};
use super::times::{self, Stretch};
use crate::item::{Coding, DocumentId, FoundWarning, Identifier, Lifecycle};
use crate::reason::{QuarantineReason, Refusal};

/// Deepest nesting. Real documents stay below 40.
const MAX_DEPTH: usize = 128;
/// Most elements: a file of the largest size that is parsed, with an element in every 33 bytes.
const MAX_ELEMENTS: u32 = 1_000_000;

/// The HL7 v3 code system of `confidentialityCode`.
const CONFIDENTIALITY_SYSTEM: &str = "2.16.840.1.113883.5.25";
const HL7: Namespace<'static> = Namespace("urn:hl7-org:v3");
/// The service event that holds the time a document is about (MedCom CDA header, DK).
const CONTENT_TIME_TEMPLATE: &str = "1.2.208.184.10.1.11";

/// The elements whose place matters; every other one is `""` on the path.
const KNOWN: &[&str] = &[
    "ClinicalDocument",
    "assignedAuthor",
    "assignedCustodian",
    "author",
    "code",
    "componentOf",
    "confidentialityCode",
    "custodian",
    "documentationOf",
    "effectiveTime",
    "encompassingEncounter",
    "healthCareFacility",
    "high",
    "id",
    "languageCode",
    "location",
    "low",
    "patientRole",
    "recordTarget",
    "relatedDocument",
    "representedCustodianOrganization",
    "representedOrganization",
    "serviceEvent",
    "templateId",
];

/// Reads one file.
///
/// # Errors
/// Fails if it is no well-formed XML, has a DTD or entities, is no CDA document, or exceeds the limits.
pub(crate) fn read(text: &str, zone: &TimeZone) -> Result<Metadata, Refusal> {
    let mut reader = NsReader::from_str(text);
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = true;
    let mut walk = Walk::new(zone);
    loop {
        let (namespace, event) = match reader.read_resolved_event() {
            Ok(read) => read,
            Err(quick_xml::Error::Namespace(_)) => return Err(too_complex("namespaces")),
            // The message of the error may quote the file, its line cannot.
            Err(_) => return Err(bad_xml(text, reader.error_position())),
        };
        let taken = match event {
            Event::Start(element) => walk.start(namespace == ResolveResult::Bound(HL7), &element),
            Event::End(_) => walk.end(),
            Event::Text(content) => walk.text(content.trim().is_empty()),
            Event::CData(_) => walk.text(false),
            Event::GeneralRef(reference) => {
                if !is_predefined(&reference) {
                    return Err(QuarantineReason::DtdRefused.into());
                }
                walk.text(false)
            }
            Event::DocType(_) => return Err(QuarantineReason::DtdRefused.into()),
            Event::Decl(declaration) => match declaration.encoding() {
                None => Ok(()),
                Some(Ok(name)) if is_utf8(&name) => Ok(()),
                Some(Ok(_)) => return Err(QuarantineReason::EncodingNotUtf8.into()),
                Some(Err(_)) => Err(Fault::Syntax),
            },
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::PI(_) => Ok(()),
        };
        match taken {
            Ok(()) => {}
            Err(Fault::Syntax) => return Err(bad_xml(text, reader.buffer_position())),
            Err(Fault::Refused(refusal)) => return Err(refusal),
        }
    }
    if !walk.closed {
        return Err(bad_xml(text, reader.buffer_position()));
    }
    Ok(walk.finish())
}

fn is_utf8(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn is_predefined(reference: &BytesRef<'_>) -> bool {
    matches!(reference.resolve_char_ref(), Ok(Some(_)))
        || matches!(&**reference, "amp" | "lt" | "gt" | "quot" | "apos")
}

fn bad_xml(text: &str, position: u64) -> Refusal {
    let position = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    let line = 1 + text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count();
    Refusal::with(QuarantineReason::BadXml, format!("line {line}"))
}

fn too_complex(what: &'static str) -> Refusal {
    Refusal::with(QuarantineReason::TooComplex, what)
}

/// A service event or encounter while it is open.
#[derive(Default)]
struct Service {
    is_content_time: bool,
    low: Option<Stretch>,
    high: Option<Stretch>,
}

/// What has been seen so far.
struct Walk<'z> {
    zone: &'z TimeZone,
    path: Vec<&'static str>,
    elements: u32,
    closed: bool,
    metadata: Metadata,
    document_time: Option<Stretch>,
    service: Service,
    services: Service,
    content_time: Option<Service>,
    encounter: Service,
}

impl<'z> Walk<'z> {
    fn new(zone: &'z TimeZone) -> Self {
        let metadata = Metadata {
            media_type: "text/xml".into(),
            // The CDA header has no status: a document that is handed on is finished.
            lifecycle: Some(Lifecycle::Final),
            ..Metadata::default()
        };
        Self {
            zone,
            path: Vec::new(),
            elements: 0,
            closed: false,
            metadata,
            document_time: None,
            service: Service::default(),
            services: Service::default(),
            content_time: None,
            encounter: Service::default(),
        }
    }

    fn start(&mut self, is_hl7: bool, element: &BytesStart<'_>) -> Result<(), Fault> {
        if self.closed {
            return Err(Fault::Syntax);
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(too_complex("elements").into());
        }
        if self.path.len() == MAX_DEPTH {
            return Err(too_complex("depth").into());
        }
        let local = element.local_name();
        let name = match KNOWN.binary_search(&local.as_ref()) {
            Ok(at) if is_hl7 => KNOWN[at],
            _ => "",
        };
        if self.path.is_empty() && name != "ClinicalDocument" {
            let root: &str = local.as_ref();
            let shown = root.len() <= 40 && root.bytes().all(|byte| byte.is_ascii_alphabetic());
            let root = if shown { root } else { "of another name" };
            let what =
                format!("XML whose root is {root}, not a ClinicalDocument of urn:hl7-org:v3");
            return Err(Refusal::with(QuarantineReason::NotADocument, what).into());
        }
        self.path.push(name);
        if name.is_empty() {
            return Ok(());
        }
        let path = core::mem::take(&mut self.path);
        let taken = self.known(&path, element);
        self.path = path;
        taken
    }

    fn end(&mut self) -> Result<(), Fault> {
        if let ["ClinicalDocument", "documentationOf", "serviceEvent"] = self.path[..] {
            let service = core::mem::take(&mut self.service);
            if service.is_content_time {
                self.content_time = Some(service);
            } else if times::period(self.services.low, self.services.high).is_none() {
                self.services = service;
            }
        }
        self.path.pop().ok_or(Fault::Syntax)?;
        self.closed = self.path.is_empty();
        Ok(())
    }

    /// Text may stand anywhere inside the root and nowhere outside.
    fn text(&self, is_blank: bool) -> Result<(), Fault> {
        if self.path.is_empty() && !is_blank { Err(Fault::Syntax) } else { Ok(()) }
    }

    /// Takes what an element at a known place says.
    fn known(&mut self, path: &[&str], element: &BytesStart<'_>) -> Result<(), Fault> {
        if path.last() == Some(&"confidentialityCode") {
            self.metadata.confidentiality.push(confidentiality(element)?);
            return Ok(());
        }
        let [_, place @ ..] = path else { return Ok(()) };
        match place {
            ["id"] => {
                let own = Attributes::read(element)?.identifier();
                self.metadata.document_id = own.map(|(s, v)| DocumentId::new(&s, &v));
            }
            ["code"] => self.metadata.class = self.coding(element)?,
            ["effectiveTime"] => self.document_time = self.time(element)?,
            ["languageCode"] => {
                if let Some(tag) = Attributes::read(element)?.take("code") {
                    self.metadata.language = self.metadata.language_tag(&tag);
                }
            }
            ["recordTarget", "patientRole", "id"] => {
                if let Some((system, value)) = Attributes::read(element)?.identifier() {
                    let value = Zeroizing::new(value);
                    self.metadata.patient.push(RawIdentifier { system, value });
                }
            }
            ["author", "assignedAuthor", "representedOrganization", "id"] => {
                let unit = self.organisation(element)?;
                self.metadata.author_unit = self.metadata.author_unit.take().or(unit);
            }
            ["custodian", "assignedCustodian", "representedCustodianOrganization", "id"] => {
                let custodian = self.organisation(element)?;
                self.metadata.custodian = self.metadata.custodian.take().or(custodian);
            }
            ["relatedDocument"] => {
                let kind = Attributes::read(element)?.take("typeCode");
                if kind.as_deref() == Some("RPLC") {
                    self.metadata.lifecycle = Some(Lifecycle::Amended);
                }
            }
            ["documentationOf", "serviceEvent", "templateId"] => {
                let root = Attributes::read(element)?.take("root");
                self.service.is_content_time |= root.as_deref() == Some(CONTENT_TIME_TEMPLATE);
            }
            ["documentationOf", "serviceEvent", "effectiveTime", end @ ..] => {
                let (bound, time) = (bound(end), self.time(element)?);
                self.service.put(bound, time);
            }
            ["componentOf", "encompassingEncounter", "effectiveTime", end @ ..] => {
                let (bound, time) = (bound(end), self.time(element)?);
                self.encounter.put(bound, time);
            }
            ["componentOf", "encompassingEncounter", "location", "healthCareFacility", "code"] => {
                self.metadata.facility = self.coding(element)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn coding(&mut self, element: &BytesStart<'_>) -> Result<Option<Coding>, Fault> {
        let mut attributes = Attributes::read(element)?;
        Ok(match (attributes.take("codeSystem"), attributes.take("code")) {
            (Some(system), Some(code)) => self.metadata.coding(&code_system_uri(&system), &code),
            _ => None,
        })
    }

    fn organisation(&mut self, element: &BytesStart<'_>) -> Result<Option<Identifier>, Fault> {
        let identifier = Attributes::read(element)?.identifier();
        Ok(identifier.and_then(|(system, value)| self.metadata.organisation(&system, &value)))
    }

    fn time(&mut self, element: &BytesStart<'_>) -> Result<Option<Stretch>, Fault> {
        let written = Attributes::read(element)?.take("value");
        let time = written.as_deref().and_then(|text| times::hl7(text, self.zone));
        if written.is_some() && time.is_none() {
            self.metadata.warn(FoundWarning::BadTime);
        }
        Ok(time)
    }

    fn finish(mut self) -> Metadata {
        let periods = [self.content_time.as_ref(), Some(&self.services), Some(&self.encounter)];
        let about = periods.into_iter().flatten().find_map(|s| times::period(s.low, s.high));
        self.metadata.period = about.or(self.document_time.map(Into::into));
        if self.document_time.is_none() {
            self.metadata.warn(FoundWarning::NoDate);
        }
        if self.metadata.class.is_none() {
            self.metadata.warn(FoundWarning::NoType);
        }
        self.metadata
    }
}

/// The code that an element states. A masked or missing one, and one of another system that is not R or V, is the code
/// `""`, which nothing lets pass: it stands there because somebody had something to say.
fn confidentiality(element: &BytesStart<'_>) -> Result<String, Fault> {
    let mut attributes = Attributes::read(element)?;
    let masked = attributes.take("nullFlavor").is_some();
    let of_v3 = attributes.take("codeSystem").is_none_or(|system| system == CONFIDENTIALITY_SYSTEM);
    let code = attributes.take("code").unwrap_or_default();
    let usable = !masked && (of_v3 || matches!(code.as_str(), "R" | "V"));
    Ok(if usable { code } else { String::new() })
}

/// Which end of an interval an element states.
enum Bound {
    Both,
    Low,
    High,
    Neither,
}

fn bound(end: &[&str]) -> Bound {
    match end {
        [] => Bound::Both,
        ["low"] => Bound::Low,
        ["high"] => Bound::High,
        _ => Bound::Neither,
    }
}

impl Service {
    fn put(&mut self, bound: Bound, time: Option<Stretch>) {
        match bound {
            Bound::Both => (self.low, self.high) = (time, time),
            Bound::Low => self.low = time,
            Bound::High => self.high = time,
            Bound::Neither => {}
        }
    }
}

#[cfg(test)]
#[path = "cda_tests.rs"]
mod tests;
