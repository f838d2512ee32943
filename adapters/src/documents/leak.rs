//! A patient's identifier in a field that every member sees: the document waits in quarantine instead.
//!
//! Codes, units and media types are replicated for ever. A system that puts a patient's number into one of them, in a
//! template that was filled in wrongly for example, would publish the person.

use zeroize::Zeroizing;

use super::metadata::Metadata;
use crate::item::{Coding, Identifier};

/// Shorter identifiers (a bed, a running number) stand in codes by chance.
const LEAST_CHARACTERS: usize = 6;

/// Whether one of the document's patient identifiers, however it is hyphenated, stands in what is replicated.
pub(super) fn shows_a_patient(metadata: &Metadata) -> bool {
    let numbers: Vec<Zeroizing<String>> = metadata
        .patient
        .iter()
        .map(|identifier| squeezed(&identifier.value))
        .filter(|number| number.chars().count() >= LEAST_CHARACTERS)
        .collect();
    let shows =
        |text: Zeroizing<String>| numbers.iter().any(|number| text.contains(number.as_str()));
    replicated(metadata).map(squeezed).any(shows)
}

/// Every text of the metadata that goes to other members.
fn replicated(metadata: &Metadata) -> impl Iterator<Item = &str> {
    let pairs = [
        coding(&metadata.class),
        coding(&metadata.facility),
        coding(&metadata.practice_setting),
        unit(&metadata.author_unit),
    ];
    let single = [Some(&*metadata.media_type), metadata.language.as_deref()];
    pairs.into_iter().flatten().flatten().chain(single.into_iter().flatten())
}

fn coding(coding: &Option<Coding>) -> Option<[&str; 2]> {
    coding.as_ref().map(|it| [&*it.system, &*it.code])
}

fn unit(unit: &Option<Identifier>) -> Option<[&str; 2]> {
    unit.as_ref().map(|it| [&*it.system, &*it.value])
}

/// Without what people put between characters, in upper case.
fn squeezed(text: &str) -> Zeroizing<String> {
    let kept = text.chars().filter(|it| it.is_alphanumeric());
    Zeroizing::new(kept.flat_map(char::to_uppercase).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::metadata::RawIdentifier;

    fn with(patient: &str, change: impl FnOnce(&mut Metadata)) -> bool {
        let value = Zeroizing::new(patient.to_owned());
        let patient = vec![RawIdentifier { system: "http://a.example".into(), value }];
        let mut metadata = Metadata { patient, ..Metadata::default() };
        change(&mut metadata);
        shows_a_patient(&metadata)
    }

    #[test]
    fn finds_the_identifier_in_every_replicated_field() {
        let number = "251248-9996";
        let coding =
            |code: &str| Some(Coding { system: "http://loinc.org".into(), code: code.into() });
        let unit = |value: &str| {
            Some(Identifier { system: "http://a.example".into(), value: value.into() })
        };
        assert!(with(number, |it| it.class = coding("X 2512489996 Y")));
        assert!(with(number, |it| it.facility = coding("25.12.48 9996")));
        assert!(with(number, |it| it.practice_setting = coding("251248-9996")));
        assert!(with(number, |it| it.author_unit = unit("unit/2512489996")));
        assert!(with(number, |it| it.media_type = "text/plain; name=2512489996".into()));
        assert!(with("020395-1kx4", |it| it.language = Some("0203951KX4".into())));
        let system = Coding { system: "http://a.example/2512489996".into(), code: "1".into() };
        assert!(with(number, |it| it.class = Some(system)));
    }

    #[test]
    fn lets_through_what_shows_nobody() {
        let coding = Some(Coding { system: "http://loinc.org".into(), code: "57059-8".into() });
        assert!(!with("251248-9996", |it| it.class = coding.clone()));
        // A running number of five characters may well stand in a code.
        assert!(!with("57059", |it| it.class = coding));
    }
}
