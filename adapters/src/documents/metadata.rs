//! What the three readers bring out of a file, before the source's settings have judged it.

use jiff::civil::Date;
use zeroize::Zeroizing;

use crate::item::{
    ClinicalPeriod, Coding, Confidentiality, DocumentId, FoundWarning, Identifier, Lifecycle,
    MAX_CODE_BYTES, MAX_IDENTIFIER_BYTES, MAX_SUBJECTS, MAX_URI_BYTES,
};
use crate::profile::{Profile, is_oid, normalise_system};
use crate::reason::{QuarantineReason, Refusal};
use crate::subject::LocalSubject;

use super::settings::IdentifierSystems;

/// A patient identifier as the file has it.
#[derive(Clone)]
pub(crate) struct RawIdentifier {
    pub(crate) system: String,
    pub(crate) value: Zeroizing<String>,
}

/// A file's metadata as the file has it.
#[derive(Default)]
pub(crate) struct Metadata {
    pub(crate) document_id: Option<DocumentId>,
    pub(crate) patient: Vec<RawIdentifier>,
    pub(crate) class: Option<Coding>,
    pub(crate) media_type: String,
    pub(crate) period: Option<ClinicalPeriod>,
    pub(crate) author_unit: Option<Identifier>,
    pub(crate) facility: Option<Coding>,
    pub(crate) practice_setting: Option<Coding>,
    pub(crate) confidentiality: Vec<String>,
    pub(crate) language: Option<String>,
    pub(crate) custodian: Option<Identifier>,
    pub(crate) lifecycle: Option<Lifecycle>,
    pub(crate) warnings: Vec<FoundWarning>,
}

impl Metadata {
    /// Adds a warning once.
    pub(crate) fn warn(&mut self, warning: FoundWarning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Keeps a code if the ledger can take it. One with a space in it is free text (HL7 v3 `cs` allows none), and free
    /// text may name anybody.
    pub(crate) fn coding(&mut self, system: &str, code: &str) -> Option<Coding> {
        let fits = is_line(system, MAX_URI_BYTES)
            && is_line(code, MAX_CODE_BYTES)
            && !code.contains(char::is_whitespace);
        self.kept(fits.then(|| Coding { system: system.to_owned(), code: code.to_owned() }))
    }

    /// Keeps an organisation's identifier if the ledger can take it.
    pub(crate) fn organisation(&mut self, system: &str, value: &str) -> Option<Identifier> {
        let system = normalise_system(system);
        let fits = is_line(&system, MAX_URI_BYTES) && is_line(value, MAX_IDENTIFIER_BYTES);
        self.kept(fits.then(|| Identifier { system, value: value.to_owned() }))
    }

    /// Keeps a language tag if it looks like one (RFC 5646).
    pub(crate) fn language_tag(&mut self, tag: &str) -> Option<String> {
        self.kept(is_language_tag(tag).then(|| tag.to_owned()))
    }

    fn kept<T>(&mut self, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.warn(FoundWarning::FieldLeftOut);
        }
        value
    }

    /// Judges the confidentiality: the highest of all codes in the file counts.
    ///
    /// # Errors
    /// Fails on R, V and every code that is not of the v3 Confidentiality hierarchy.
    pub(crate) fn judge_confidentiality(&mut self) -> Result<Confidentiality, Refusal> {
        if self.confidentiality.is_empty() {
            self.warn(FoundWarning::NoConfidentiality);
        }
        for code in &self.confidentiality {
            match code.as_str() {
                "U" | "L" | "M" | "N" => {}
                "R" => {
                    return Err(Refusal::with(QuarantineReason::NeedsLimitedAudience, "code R"));
                }
                "V" => {
                    return Err(Refusal::with(QuarantineReason::NeedsLimitedAudience, "code V"));
                }
                _ => return Err(QuarantineReason::UnknownConfidentiality.into()),
            }
        }
        Ok(Confidentiality::Normal)
    }

    /// The patient identifiers that become subjects.
    ///
    /// # Errors
    /// Fails if none is of the wanted systems, one of them breaks the profile's rules, or there are too many.
    pub(crate) fn judge_subjects(
        &mut self,
        systems: &IdentifierSystems,
        profile: Profile,
        today: Date,
    ) -> Result<Vec<LocalSubject>, Refusal> {
        let mut subjects: Vec<LocalSubject> = Vec::new();
        let identifiers = core::mem::take(&mut self.patient);
        for identifier in &identifiers {
            if !systems.contains(&normalise_system(&identifier.system)) {
                continue;
            }
            let accepted = profile
                .accept(&identifier.system, &identifier.value, today)
                .map_err(|why| Refusal::with(QuarantineReason::BadIdentifier, why.code()))?;
            for note in accepted.notes {
                self.warn(FoundWarning::Identifier(note));
            }
            if !subjects.contains(&accepted.subject) {
                if subjects.len() == MAX_SUBJECTS {
                    return Err(QuarantineReason::TooManyIdentifiers.into());
                }
                subjects.push(accepted.subject);
            }
        }
        if subjects.is_empty() {
            let detail = format!("{} identifiers of other systems", identifiers.len());
            return Err(Refusal::with(QuarantineReason::NoPatientIdentifier, detail));
        }
        Ok(subjects)
    }
}

/// A text that is there, fits, and can be printed on one line: the ledger takes no other.
fn is_line(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && !text.contains(char::is_control)
}

/// `type/subtype` with parameters, in the characters of RFC 6838 and at most 127 bytes.
pub(crate) fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or("").trim_end();
    let is_name = |name: &str| {
        name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    text.len() <= 127
        && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && essence.split_once('/').is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}

/// The media type as every member sees it: parameters that a reader needs, and never the name of a file or a person.
pub(crate) fn replicated_media_type(text: &str) -> String {
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_owned();
    let kept = parts.filter(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            ["charset", "transfer-syntax", "version"].contains(&name.to_ascii_lowercase().as_str())
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        })
    });
    kept.fold(essence, |all, parameter| format!("{all}; {parameter}"))
}

fn is_language_tag(tag: &str) -> bool {
    tag.len() <= 35
        && tag.split('-').enumerate().all(|(at, part)| {
            (1..=8).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_alphanumeric())
                && (at > 0 || (part.len() >= 2 && part.bytes().all(|b| b.is_ascii_alphabetic())))
        })
}

/// The URI of an HL7 v3 root: `urn:oid:` or `urn:uuid:`; anything else stays as it is.
pub(crate) fn root_uri(root: &str) -> String {
    let uuid = root.len() == 36
        && root.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_oid(root) {
        format!("urn:oid:{root}")
    } else if uuid {
        format!("urn:uuid:{}", root.to_ascii_lowercase())
    } else {
        root.to_owned()
    }
}

/// The URI of an HL7 v3 code system, so that one code has one spelling whether it came from CDA or FHIR
/// (FHIR R4 "Using Codes", canonical URIs of external code systems).
pub(crate) fn code_system_uri(oid: &str) -> String {
    match oid {
        "2.16.840.1.113883.6.1" => "http://loinc.org".into(),
        "2.16.840.1.113883.6.96" => "http://snomed.info/sct".into(),
        other => root_uri(other),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::dk;

    fn patient(identifiers: &[(&str, &str)]) -> Metadata {
        let patient = identifiers
            .iter()
            .map(|(system, value)| RawIdentifier {
                system: (*system).into(),
                value: Zeroizing::new((*value).into()),
            })
            .collect();
        Metadata { patient, ..Metadata::default() }
    }

    fn judged(metadata: &mut Metadata, systems: &[&str]) -> Result<usize, QuarantineReason> {
        let systems: Vec<String> = systems.iter().map(|s| (*s).to_owned()).collect();
        let systems = IdentifierSystems::from_list(&systems, Profile::Dk).unwrap();
        metadata
            .judge_subjects(&systems, Profile::Dk, date(2026, 1, 1))
            .map(|subjects| subjects.len())
            .map_err(|refusal| refusal.reason())
    }

    #[test]
    fn takes_identifiers_of_listed_systems_only() {
        let given = [(dk::X_ECPR, "150390-1AB2"), ("http://hospital.example/mrn", "77")];
        assert_eq!(judged(&mut patient(&given), &["dk"]), Ok(1));
        assert_eq!(judged(&mut patient(&given), &["*"]), Ok(2));
        assert_eq!(
            judged(&mut patient(&given), &["http://other.example"]),
            Err(QuarantineReason::NoPatientIdentifier)
        );
        assert_eq!(judged(&mut patient(&[]), &["*"]), Err(QuarantineReason::NoPatientIdentifier));
    }

    #[test]
    fn sees_two_spellings_as_one_subject() {
        let given = [(dk::X_ECPR, "150390-1ab2"), ("1.2.208.176.1.6.1.1", "1503901AB2")];
        assert_eq!(judged(&mut patient(&given), &["dk"]), Ok(1));
    }

    #[test]
    fn refuses_a_broken_identifier_of_a_listed_system_without_showing_it() {
        let mut metadata = patient(&[(dk::CPR, "999999-AB12")]);
        assert_eq!(judged(&mut metadata, &["dk"]), Err(QuarantineReason::BadIdentifier));
        let systems = IdentifierSystems::from_list(&["dk".into()], Profile::Dk).unwrap();
        let refusal = patient(&[(dk::CPR, "999999-AB12")])
            .judge_subjects(&systems, Profile::Dk, date(2026, 1, 1))
            .unwrap_err();
        assert!(!refusal.to_string().contains("9999"), "{refusal}");
        // Not listed, not judged.
        let mut other = patient(&[(dk::CPR, "999999-AB12"), ("http://a.example", "1")]);
        assert_eq!(judged(&mut other, &["http://a.example"]), Ok(1));
    }

    #[test]
    fn refuses_more_subjects_than_a_record_carries() {
        let values: Vec<String> = (0..=MAX_SUBJECTS).map(|n| n.to_string()).collect();
        let given: Vec<_> = values.iter().map(|v| ("http://a.example", v.as_str())).collect();
        assert_eq!(judged(&mut patient(&given[..MAX_SUBJECTS]), &["*"]), Ok(MAX_SUBJECTS));
        assert_eq!(judged(&mut patient(&given), &["*"]), Err(QuarantineReason::TooManyIdentifiers));
    }

    #[test]
    fn the_highest_confidentiality_counts() {
        let judge = |codes: &[&str]| {
            let confidentiality = codes.iter().map(|code| (*code).to_owned()).collect();
            let mut metadata = Metadata { confidentiality, ..Metadata::default() };
            let judged = metadata.judge_confidentiality().map_err(|refusal| refusal.reason());
            (judged, metadata.warnings)
        };
        let normal = Ok(Confidentiality::Normal);
        assert_eq!(judge(&["N", "L"]), (normal, vec![]));
        assert_eq!(
            judge(&[]),
            (Ok(Confidentiality::Normal), vec![FoundWarning::NoConfidentiality])
        );
        for restricted in ["R", "V"] {
            assert_eq!(judge(&["N", restricted]).0, Err(QuarantineReason::NeedsLimitedAudience));
        }
        assert_eq!(judge(&["n"]).0, Err(QuarantineReason::UnknownConfidentiality));
    }

    #[test]
    fn leaves_out_what_the_ledger_cannot_take() {
        let mut metadata = Metadata::default();
        assert_eq!(metadata.coding("http://loinc.org", &"9".repeat(65)), None);
        assert_eq!(metadata.coding("http://loinc.org", "57059\n8"), None);
        assert_eq!(metadata.coding("http://loinc.org", "scan of A-1"), None);
        assert_eq!(metadata.coding("http://loinc.org\u{85}", "57059-8"), None);
        assert_eq!(metadata.organisation("http://a.example", "12\t34"), None);
        assert_eq!(metadata.warnings, [FoundWarning::FieldLeftOut]);
        assert_eq!(metadata.language_tag("da-DK").as_deref(), Some("da-DK"));
        for bad in ["", "d", "da_DK", "12", "da--DK"] {
            assert_eq!(metadata.language_tag(bad), None, "{bad}");
        }
    }

    #[test]
    fn gives_one_spelling_to_roots_and_code_systems() {
        assert_eq!(root_uri("1.2.3"), "urn:oid:1.2.3");
        assert_eq!(
            root_uri("9E11848B-0E37-4BC6-92CF-153B0917CD22"),
            "urn:uuid:9e11848b-0e37-4bc6-92cf-153b0917cd22"
        );
        assert_eq!(root_uri("LOCAL"), "LOCAL");
        assert_eq!(code_system_uri("2.16.840.1.113883.6.1"), "http://loinc.org");
        assert_eq!(code_system_uri("1.2.208.176.2.4"), "urn:oid:1.2.208.176.2.4");
    }

    #[test]
    fn replicates_only_parameters_that_name_nobody() {
        let given = "text/plain; charset=utf-8; name=\"A-1.txt\";version=1.0";
        assert_eq!(replicated_media_type(given), "text/plain; charset=utf-8; version=1.0");
        assert_eq!(replicated_media_type("application/pdf"), "application/pdf");
    }

    #[test]
    fn takes_media_types_with_parameters() {
        assert!(is_media_type("text/plain; charset=utf-8"));
        for bad in ["", "/", "a/", "a b/c", "text", &format!("a/{}", "b".repeat(126))] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }
}
