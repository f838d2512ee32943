//! Laws of the readers of local documents: what is read depends on what is said and not on how it is written, and what
//! is refused is not shown.

use std::sync::OnceLock;

use sundbro_adapters::documents::Clock;
use sundbro_adapters::documents::{DocumentsSettings, Held, IdentifierSystems, read_held};
use sundbro_adapters::{FoundDocument, Profile, Refusal};

use crate::Verdict;

/// More digits in a row than any line number or limit has that a refusal may name: those of a person's number.
const DIGITS_OF_CONTENT: usize = 6;

fn settings() -> &'static DocumentsSettings {
    static SETTINGS: OnceLock<DocumentsSettings> = OnceLock::new();
    SETTINGS.get_or_init(|| {
        let mut settings = DocumentsSettings::new("held", ".", IdentifierSystems::All, Profile::Dk);
        // The laws are the same on every day.
        let day = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_764_000_000);
        settings.clock = Clock::new(move || day);
        settings
    })
}

/// What a document says, without what depends on its bytes.
fn meaning(held: Held, bytes: &[u8]) -> Result<FoundDocument, Refusal> {
    let mut found = read_held(held, bytes, settings())?;
    found.content_sha256 = [0; 32];
    found.content_size_bytes = 0;
    found.fingerprint.size_bytes = 0;
    Ok(found)
}

fn law(held: Held, bytes: &[u8], rewritten: impl Fn(&str) -> Option<String>) -> Verdict {
    let read = meaning(held, bytes);
    match &read {
        Ok(found) => {
            sound(found);
            let text = core::str::from_utf8(bytes).expect("only UTF-8 is read");
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            for other in [Some(format!("\u{feff}{text}")), rewritten(text)].into_iter().flatten() {
                assert_eq!(meaning(held, other.as_bytes()), read, "written differently: {other}");
            }
        }
        Err(refusal) => shows_nothing(&format!("{refusal:?}")),
    }
    Verdict::of(&read)
}

/// What is registered can be registered: the ledger takes every field.
fn sound(found: &FoundDocument) {
    assert!((1..=16).contains(&found.subjects.len()), "somebody is concerned");
    assert!(!found.media_type.is_empty() && found.media_type.len() <= 127);
    let codes = [&found.class, &found.facility, &found.practice_setting];
    for coding in codes.into_iter().flatten() {
        let fits = !coding.system.is_empty() && coding.system.len() <= 256;
        assert!(fits && !coding.code.is_empty() && coding.code.len() <= 64, "{coding:?}");
    }
    if let Some(period) = &found.period
        && let (Some(start), Some(end)) = (period.start_unix_seconds, period.end_unix_seconds)
    {
        assert!(start < end, "{period:?}");
    }
    for subject in &found.subjects {
        assert_eq!(format!("{subject:?}"), "LocalSubject(…)");
    }
}

fn shows_nothing(refusal: &str) {
    let longest = refusal.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    assert!(longest.unwrap_or(0) < DIGITS_OF_CONTENT, "a number of the content: {refusal}");
    assert!(refusal.len() <= 256 && !refusal.chars().any(char::is_control), "{refusal}");
}

/// Bytes as a CDA document.
pub fn cda(bytes: &[u8]) -> Verdict {
    law(Held::Document, bytes, |text| text.contains('<').then(|| format!("{text}<!-- end -->")))
}

/// Bytes as a FHIR Bundle.
pub fn fhir(bytes: &[u8]) -> Verdict {
    law(Held::Document, bytes, other_json)
}

/// Bytes as a sidecar.
pub fn sidecar(bytes: &[u8]) -> Verdict {
    law(Held::Sidecar, bytes, other_json)
}

/// The same JSON with its names in another order and more white space.
fn other_json(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    serde_json::to_string_pretty(&value).ok()
}
