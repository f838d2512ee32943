//! The attributes of one XML element, looked into only as far as they are of use.

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use super::metadata::root_uri;
use crate::reason::{QuarantineReason, Refusal};

/// Longest list of attributes that is looked into; checking it for doubles costs its square.
pub(crate) const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;

/// System of an identifier that is itself a URI (FHIR R4 `Identifier.system`).
const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// Why the walk ends early.
pub(crate) enum Fault {
    /// It is no XML; the caller knows the line.
    Syntax,
    /// It is XML and refused.
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The attributes of one element that are of use, unescaped.
#[derive(Default)]
pub(crate) struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    const WANTED: [&'static str; 7] =
        ["code", "codeSystem", "extension", "nullFlavor", "root", "typeCode", "value"];

    /// Reads those of one element.
    ///
    /// # Errors
    /// Fails if they are no attributes, too many, or hold an entity.
    pub(crate) fn read(element: &BytesStart<'_>) -> Result<Self, Fault> {
        if element.attributes_raw().len() > MAX_ATTRIBUTE_BYTES {
            return Err(Refusal::with(QuarantineReason::TooComplex, "attributes").into());
        }
        let mut found = Vec::new();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| Fault::Syntax)?;
            let Some(name) =
                Self::WANTED.into_iter().find(|wanted| *wanted == attribute.key.as_ref())
            else {
                continue;
            };
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| Refusal::from(QuarantineReason::DtdRefused))?;
            found.push((name, value.into_owned()));
        }
        Ok(Self(found))
    }

    /// The value of that name, if it is not empty.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(other, _)| *other == name)?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_empty())
    }

    /// System and value of an HL7 v3 `II`. A root without extension is itself the identifier.
    pub(crate) fn identifier(mut self) -> Option<(String, String)> {
        if self.take("nullFlavor").is_some() {
            return None;
        }
        let root = root_uri(&self.take("root")?);
        match self.take("extension") {
            Some(extension) => Some((root, extension)),
            None => Some((URI_SYSTEM.to_owned(), root)),
        }
    }
}
