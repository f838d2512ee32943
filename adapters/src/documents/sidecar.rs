//! Reads a sidecar: the metadata of a file that cannot say it itself, in `<name>.meta.json`.
//!
//! Written by hand or by a script for this program alone, so it is read strictly: an unknown key is a typing error that
//! would otherwise hide, say, a confidentiality.

use jiff::tz::TimeZone;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::metadata::{Metadata, RawIdentifier, is_media_type};
use super::times;
use crate::item::{DocumentId, Lifecycle};
use crate::reason::{QuarantineReason, Refusal};

/// What a sidecar's name ends in, after the whole name of the file that it describes.
pub(crate) const SUFFIX: &str = ".meta.json";

/// Longest sidecar in bytes. A full one is below 2 KiB.
pub(crate) const MAX_BYTES: u64 = 64 * 1024;

/// The keys that must be there.
const REQUIRED: [&str; 4] = ["subjects", "media_type", "confidentiality", "lifecycle"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    subjects: Vec<WrittenIdentifier>,
    media_type: String,
    confidentiality: String,
    lifecycle: WrittenLifecycle,
    document_id: Option<WrittenIdentifier>,
    class: Option<WrittenCoding>,
    period: Option<WrittenPeriod>,
    author_unit: Option<WrittenIdentifier>,
    facility: Option<WrittenCoding>,
    practice_setting: Option<WrittenCoding>,
    language: Option<String>,
    custodian: Option<WrittenIdentifier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenIdentifier {
    system: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCoding {
    system: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPeriod {
    start: Option<String>,
    end: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenLifecycle {
    Preliminary,
    Final,
    Amended,
    EnteredInError,
}

/// Reads one sidecar.
///
/// # Errors
/// Fails on anything that the schema does not know, and on values that the ledger cannot take.
pub(crate) fn read(text: &str, zone: &TimeZone) -> Result<Metadata, Refusal> {
    let written: Written = serde_json::from_str(text).map_err(|error| fault(&error))?;
    let lifecycle = match written.lifecycle {
        WrittenLifecycle::Preliminary => Lifecycle::Preliminary,
        WrittenLifecycle::Final => Lifecycle::Final,
        WrittenLifecycle::Amended => Lifecycle::Amended,
        WrittenLifecycle::EnteredInError => return Err(QuarantineReason::EnteredInError.into()),
    };
    let mut metadata = Metadata {
        lifecycle: Some(lifecycle),
        confidentiality: vec![written.confidentiality],
        patient: written.subjects.into_iter().map(Into::into).collect(),
        ..Metadata::default()
    };
    if !is_media_type(&written.media_type) {
        return Err(bad("media_type"));
    }
    metadata.media_type = written.media_type;
    metadata.document_id = written.document_id.map(|id| DocumentId::new(&id.system, &id.value));
    let mut coding = |name, coding: Option<WrittenCoding>| match coding {
        None => Ok(None),
        Some(c) => metadata.coding(&c.system, &c.code).map(Some).ok_or_else(|| bad(name)),
    };
    let class = coding("class", written.class)?;
    let facility = coding("facility", written.facility)?;
    let practice_setting = coding("practice_setting", written.practice_setting)?;
    let mut organisation = |name, identifier: Option<WrittenIdentifier>| match identifier {
        None => Ok(None),
        Some(i) => metadata.organisation(&i.system, &i.value).map(Some).ok_or_else(|| bad(name)),
    };
    let author_unit = organisation("author_unit", written.author_unit)?;
    let custodian = organisation("custodian", written.custodian)?;
    if let Some(tag) = &written.language {
        metadata.language = Some(metadata.language_tag(tag).ok_or_else(|| bad("language"))?);
    }
    if let Some(period) = written.period {
        let end = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => times::fhir(&text, zone).map(Some).ok_or_else(|| bad("period")),
        };
        let (low, high) = (end(period.start)?, end(period.end)?);
        metadata.period = Some(times::period(low, high).ok_or_else(|| bad("period"))?);
    }
    Ok(Metadata { class, facility, practice_setting, author_unit, custodian, ..metadata })
}

impl From<WrittenIdentifier> for RawIdentifier {
    fn from(written: WrittenIdentifier) -> Self {
        Self { system: written.system, value: Zeroizing::new(written.value) }
    }
}

fn bad(key: &'static str) -> Refusal {
    Refusal::with(QuarantineReason::BadSidecar, format!("the value of {key} is not usable"))
}

/// What is wrong and where. The message of the error may quote the file, so only what we know ourselves is repeated.
fn fault(error: &serde_json::Error) -> Refusal {
    let message = error.to_string();
    let missing =
        REQUIRED.into_iter().find(|key| message.starts_with(&format!("missing field `{key}`")));
    let what = match missing {
        Some(key) => format!("the key {key} is missing"),
        None if message.starts_with("missing field") => "a key is missing".to_owned(),
        None if message.starts_with("unknown field") => "a key is not known".to_owned(),
        None if message.starts_with("unknown variant") => "a value is not known".to_owned(),
        None if message.starts_with("duplicate field") => "a key stands twice".to_owned(),
        None if error.is_data() => "a value is of the wrong kind".to_owned(),
        None => "it is not JSON".to_owned(),
    };
    let place = format!("{what}: line {}, column {}", error.line(), error.column());
    Refusal::with(QuarantineReason::BadSidecar, place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn full() -> Value {
        json!({
            "subjects": [{"system": "urn:oid:1.2.208.176.1.6.1.1", "value": "150390-1AB2"}],
            "media_type": "application/pdf",
            "confidentiality": "N",
            "lifecycle": "final",
            "document_id": {"system": "http://scans.example", "value": "17"},
            "class": {"system": "http://loinc.org", "code": "57059-8"},
            "period": {"start": "2026-03-02", "end": "2026-03-02"},
            "author_unit": {"system": "1.2.208.176.1.1", "value": "12345678901"},
            "facility": {"system": "http://a.example", "code": "f"},
            "practice_setting": {"system": "http://a.example", "code": "p"},
            "language": "da",
            "custodian": {"system": "1.2.208.176.1.1", "value": "98765432109"}
        })
    }

    fn with(key: &str, value: Value) -> Result<Metadata, Refusal> {
        let mut sidecar = full();
        sidecar[key] = value;
        read(&sidecar.to_string(), &TimeZone::UTC)
    }

    #[test]
    fn reads_every_key() {
        let metadata = read(&full().to_string(), &TimeZone::UTC).ok().unwrap();
        assert_eq!(metadata.patient[0].value.as_str(), "150390-1AB2");
        assert_eq!(metadata.media_type, "application/pdf");
        assert_eq!(metadata.confidentiality, ["N"]);
        assert_eq!(metadata.lifecycle, Some(Lifecycle::Final));
        assert_eq!(metadata.document_id.unwrap().for_operator(), "http://scans.example|17");
        assert_eq!(metadata.class.unwrap().code, "57059-8");
        assert_eq!(metadata.period.unwrap().start_unix_seconds, Some(1_772_409_600));
        assert_eq!(metadata.author_unit.unwrap().system, "urn:oid:1.2.208.176.1.1");
        assert_eq!(metadata.facility.unwrap().code, "f");
        assert_eq!(metadata.practice_setting.unwrap().code, "p");
        assert_eq!(metadata.language.as_deref(), Some("da"));
        assert_eq!(metadata.custodian.unwrap().value, "98765432109");
        assert_eq!(metadata.warnings, []);
    }

    #[test]
    fn demands_the_required_keys_and_no_others() {
        for key in full().as_object().unwrap().keys() {
            let mut sidecar = full();
            sidecar.as_object_mut().unwrap().remove(key);
            let result = read(&sidecar.to_string(), &TimeZone::UTC);
            assert_eq!(result.is_err(), REQUIRED.contains(&key.as_str()), "{key}");
            if let Err(refusal) = result {
                assert!(refusal.to_string().contains(&format!("the key {key} is missing")));
            }
        }
    }

    #[test]
    fn refuses_values_that_mean_nothing_without_repeating_them() {
        for (key, value) in [
            ("media_type", json!("secret")),
            ("media_type", json!("a/b\u{0}secret")),
            ("language", json!("secret_secret")),
            ("class", json!({"system": "", "code": "secret"})),
            ("class", json!({"system": "a", "code": "secret", "display": "secret"})),
            ("author_unit", json!({"system": "a", "value": ""})),
            ("period", json!({"start": "secret"})),
            ("period", json!({})),
            ("period", json!({"start": "2026-02", "end": "2026-01"})),
            ("lifecycle", json!("secret")),
            ("secret", json!(1)),
            ("subjects", json!("secret")),
            ("subjects", json!([{"system": "a"}])),
        ] {
            let refusal = with(key, value).err().unwrap();
            assert_eq!(refusal.reason(), QuarantineReason::BadSidecar, "{key}");
            assert!(!refusal.to_string().contains("secret"), "{refusal}");
        }
        let error = with("lifecycle", json!("entered-in-error")).err().unwrap();
        assert_eq!(error.reason(), QuarantineReason::EnteredInError);
    }

    proptest! {
        #[test]
        fn reading_a_sidecar_never_panics(at in 0usize..600, with in "\\PC{0,3}") {
            let mut text: Vec<char> = full().to_string().chars().collect();
            let at = at % text.len();
            text.splice(at..at + 1, with.chars());
            let _ = read(&text.into_iter().collect::<String>(), &TimeZone::UTC);
        }
    }
}
