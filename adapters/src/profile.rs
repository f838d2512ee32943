//! What a region knows about identifiers: which systems it checks, and how it spells them.
//!
//! Everything Danish sits behind [`Profile::Dk`]. A system that the profile does not know is taken as it is: only its
//! name is brought into URI form, because one OID has three spellings in the field.

use core::fmt;
use core::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::dk;
use crate::subject::{LocalSubject, MAX_SYSTEM_BYTES, MAX_VALUE_BYTES};

/// The set of identifier rules that a source uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Profile {
    /// No rule: every system is taken as it is.
    #[default]
    None,
    /// Denmark: CPR, X-eCPR and D-eCPR.
    Dk,
}

/// An identifier that may become a tag, and what was odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The normalised identifier.
    pub subject: LocalSubject,
    /// What somebody should look at; none of it is a reason to refuse.
    pub notes: Vec<IdentifierNote>,
}

/// Something odd about an identifier that is nevertheless taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentifierNote {
    /// The check digit does not fit. CPR numbers without one have been issued since 2007 and are valid.
    CheckDigit,
    /// The number says a birth date after today.
    FutureBirthDate,
    /// The number says an age above 120 years.
    AgeOver120,
    /// A regional replacement number without its region: another region may have issued the same one.
    RegionUnknown,
}

impl IdentifierNote {
    /// The constant that logs and tables show.
    pub fn code(self) -> &'static str {
        match self {
            Self::CheckDigit => "CHECK_DIGIT",
            Self::FutureBirthDate => "FUTURE_BIRTH_DATE",
            Self::AgeOver120 => "AGE_OVER_120",
            Self::RegionUnknown => "REGION_UNKNOWN",
        }
    }

    /// Whether it is worth a WARN. The others are facts about people that are merely rare.
    pub fn is_warning(self) -> bool {
        matches!(self, Self::CheckDigit | Self::RegionUnknown)
    }
}

/// Why an identifier cannot become a tag. The message never holds the identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// No system, or a system longer than [`MAX_SYSTEM_BYTES`].
    #[error("the identifier's system is empty or too long: give its URI, an OID as urn:oid:…")]
    System,
    /// No value, or a value longer than [`MAX_VALUE_BYTES`].
    #[error("the identifier's value is empty or too long")]
    Value,
    /// Not the number of characters that the system has.
    #[error("the identifier does not have the length of its system")]
    Length,
    /// A character where the system has none such.
    #[error("the identifier has characters that its system does not have there")]
    Characters,
    /// The first six digits are no day of the century that the seventh names.
    #[error("the identifier's first six digits are not a date")]
    Date,
}

impl Rejected {
    /// The constant that logs and errors show.
    pub fn code(self) -> &'static str {
        match self {
            Self::System => "IDENTIFIER_SYSTEM",
            Self::Value => "IDENTIFIER_VALUE",
            Self::Length => "IDENTIFIER_LENGTH",
            Self::Characters => "IDENTIFIER_CHARACTERS",
            Self::Date => "IDENTIFIER_DATE",
        }
    }
}

impl Profile {
    /// Checks and normalises an identifier. `today` is only compared with birth dates, for the notes.
    ///
    /// # Errors
    /// Fails if the profile knows the system and the value cannot belong to it, or if a part is empty or too long.
    pub fn accept(self, system: &str, value: &str, today: Date) -> Result<Accepted, Rejected> {
        let system = normalise_system(system);
        if system.is_empty() || system.len() > MAX_SYSTEM_BYTES {
            return Err(Rejected::System);
        }
        if value.is_empty() || value.len() > MAX_VALUE_BYTES {
            return Err(Rejected::Value);
        }
        if self == Self::Dk
            && let Some(kind) = dk::Kind::of_system(&system)
        {
            let (value, notes) = dk::check(kind, value, today)?;
            return Ok(Accepted { subject: LocalSubject::new(system, value), notes });
        }
        Ok(Accepted { subject: LocalSubject::new(system, value.to_owned()), notes: Vec::new() })
    }

    /// The systems that name a person in this profile, as URIs; what `identifier_systems` means when it is left out.
    pub fn systems(self) -> &'static [&'static str] {
        match self {
            Self::None => &[],
            Self::Dk => dk::SYSTEMS,
        }
    }

    /// The time zone that times without an offset are in.
    pub fn time_zone(self) -> TimeZone {
        match self {
            Self::None => TimeZone::UTC,
            // A machine without a time zone database still knows today's rule.
            Self::Dk => TimeZone::get("Europe/Copenhagen")
                .or_else(|_| TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3"))
                .unwrap_or(TimeZone::UTC),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Dk => "dk",
        })
    }
}

/// A profile name that no version of this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no identifier profile of that name: write \"dk\" or \"none\"")]
pub struct UnknownProfile;

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        match text {
            "none" => Ok(Self::None),
            "dk" => Ok(Self::Dk),
            _ => Err(UnknownProfile),
        }
    }
}

/// One spelling for a system: a bare OID and `URN:OID:…` become `urn:oid:…`, everything else stays.
pub fn normalise_system(system: &str) -> String {
    const PREFIX: &str = "urn:oid:";
    let system = system.trim();
    match system.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => {
            format!("{PREFIX}{}", &system[PREFIX.len()..])
        }
        _ if is_oid(system) => format!("{PREFIX}{system}"),
        _ => system.to_owned(),
    }
}

/// Whether a text is an object identifier: at least two arcs of digits.
pub(crate) fn is_oid(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn brings_the_three_spellings_of_an_oid_together() {
        for spelling in ["1.2.208.176.1.2", "urn:oid:1.2.208.176.1.2", " URN:OID:1.2.208.176.1.2"] {
            assert_eq!(normalise_system(spelling), "urn:oid:1.2.208.176.1.2");
        }
        for other in ["http://example.org/mrn", "1", "1..2", "urn:uuid:x"] {
            assert_eq!(normalise_system(other), other);
        }
    }

    #[test]
    fn takes_values_of_unknown_systems_as_they_are() {
        let accepted =
            Profile::Dk.accept("http://hospital.example/mrn", " 12-ab ", date(2026, 1, 1)).unwrap();
        assert_eq!(accepted.subject.expose_for_tag(), ("http://hospital.example/mrn", " 12-ab "));
        assert_eq!(accepted.notes, []);
    }

    #[test]
    fn does_not_check_cpr_without_the_profile() {
        assert!(Profile::None.accept(dk::CPR, "no number", date(2026, 1, 1)).is_ok());
        assert_eq!(
            Profile::Dk.accept(dk::CPR, "no number", date(2026, 1, 1)),
            Err(Rejected::Length)
        );
    }

    #[test]
    fn rejects_empty_and_oversized_parts() {
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        let check = |system: &str, value: &str| {
            Profile::None.accept(system, value, date(2026, 1, 1)).map(|_| ())
        };
        assert_eq!(check("", "v"), Err(Rejected::System));
        assert_eq!(check("  ", "v"), Err(Rejected::System));
        assert_eq!(check(&long, "v"), Err(Rejected::System));
        assert_eq!(check("s", ""), Err(Rejected::Value));
        assert_eq!(check("s", &long), Err(Rejected::Value));
    }

    #[test]
    fn danish_time_has_summer_time() {
        let zone = Profile::Dk.time_zone();
        let winter = zone.to_timestamp(date(2026, 1, 1).at(0, 0, 0, 0)).unwrap();
        let summer = zone.to_timestamp(date(2026, 7, 1).at(0, 0, 0, 0)).unwrap();
        assert_eq!(winter.to_string(), "2025-12-31T23:00:00Z");
        assert_eq!(summer.to_string(), "2026-06-30T22:00:00Z");
    }

    proptest! {
        #[test]
        fn accepting_never_panics(system in "\\PC{0,40}", value in "\\PC{0,40}") {
            let _ = Profile::Dk.accept(&system, &value, date(2026, 1, 1));
            let _ = Profile::Dk.accept(dk::CPR, &value, date(2026, 1, 1));
        }

        #[test]
        fn an_accepted_identifier_is_accepted_again_unchanged(
            digits in "[0-9]{6}-?[0-9]{4}",
            letters in "[0-9]{6}-?[0-9][A-Za-z]{2}[0-9]",
        ) {
            for (system, value) in [(dk::CPR, digits), (dk::X_ECPR, letters)] {
                if let Ok(first) = Profile::Dk.accept(system, &value, date(2026, 1, 1)) {
                    let (system, value) = first.subject.expose_for_tag();
                    let second = Profile::Dk.accept(system, value, date(2026, 1, 1)).unwrap();
                    prop_assert_eq!(&second, &first);
                }
            }
        }
    }
}
