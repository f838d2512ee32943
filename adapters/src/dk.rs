//! Danish person numbers: CPR, and the replacement numbers X-eCPR (national) and D-eCPR (regional).
//!
//! Rejected are wrong lengths, wrong characters and impossible dates. The check digit never rejects: numbers without
//! it have been issued since October 2007 and are fully valid.

use jiff::civil::Date;

use crate::profile::{IdentifierNote, Rejected};

/// CPR, the civil registration number: ten digits.
pub const CPR: &str = "urn:oid:1.2.208.176.1.2";
/// X-eCPR, the national replacement number: six digits, 1 or 7, two letters, a digit.
pub const X_ECPR: &str = "urn:oid:1.2.208.176.1.6.1.1";
/// D-eCPR, the regional replacement number, without its region: six digits, 0, 5 or 6, two letters, a digit.
pub const D_ECPR: &str = "urn:oid:1.2.208.176.1.6.1.3";

/// Every Danish system: CPR, X-eCPR, D-eCPR, and D-eCPR of each region (Sjælland, Nordjylland, Midtjylland, Syddanmark,
/// Hovedstaden). Two regions may issue one D-eCPR to two people, so the region stays in the system.
pub const SYSTEMS: &[&str] = &[
    CPR,
    X_ECPR,
    D_ECPR,
    "urn:oid:1.2.208.176.1.6.1.3.177",
    "urn:oid:1.2.208.176.1.6.1.3.179",
    "urn:oid:1.2.208.176.1.6.1.3.181",
    "urn:oid:1.2.208.176.1.6.1.3.183",
    "urn:oid:1.2.208.176.1.6.1.3.187",
];

/// Weights of the modulus-11 check of a CPR number.
const WEIGHTS: [u32; 10] = [4, 3, 2, 7, 6, 5, 4, 3, 2, 1];

/// Which of the three numbers a system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Cpr,
    XEcpr,
    DEcpr { region_known: bool },
}

impl Kind {
    pub(crate) fn of_system(system: &str) -> Option<Self> {
        match system {
            CPR => Some(Self::Cpr),
            X_ECPR => Some(Self::XEcpr),
            D_ECPR => Some(Self::DEcpr { region_known: false }),
            other if SYSTEMS.contains(&other) => Some(Self::DEcpr { region_known: true }),
            _ => None,
        }
    }

    fn has_shape(self, number: &[u8; 10]) -> bool {
        let [.., seventh, eighth, ninth, tenth] = *number;
        number[..6].iter().chain([&seventh, &tenth]).all(u8::is_ascii_digit)
            && match self {
                Self::Cpr => eighth.is_ascii_digit() && ninth.is_ascii_digit(),
                Self::XEcpr => matches!(seventh, b'1' | b'7') && both_letters(eighth, ninth),
                Self::DEcpr { .. } => {
                    matches!(seventh, b'0' | b'5' | b'6') && both_letters(eighth, ninth)
                }
            }
    }
}

fn both_letters(eighth: u8, ninth: u8) -> bool {
    eighth.is_ascii_uppercase() && ninth.is_ascii_uppercase()
}

/// The number without its hyphen and in upper case, and what is odd about it.
pub(crate) fn check(
    kind: Kind,
    value: &str,
    today: Date,
) -> Result<(String, Vec<IdentifierNote>), Rejected> {
    let number = normalise(value)?;
    if !kind.has_shape(&number) {
        return Err(Rejected::Characters);
    }
    let born = birth_date(&number).ok_or(Rejected::Date)?;
    let mut notes = Vec::new();
    if kind == Kind::Cpr && !check_digit_fits(&number) {
        notes.push(IdentifierNote::CheckDigit);
    }
    if kind == (Kind::DEcpr { region_known: false }) {
        notes.push(IdentifierNote::RegionUnknown);
    }
    if born > today {
        notes.push(IdentifierNote::FutureBirthDate);
    } else if today.year() - born.year() > 120 {
        notes.push(IdentifierNote::AgeOver120);
    }
    let number = number.iter().map(|byte| char::from(*byte)).collect();
    Ok((number, notes))
}

/// Ten ASCII characters: blanks at the ends and the hyphen after the date gone, letters in upper case.
fn normalise(value: &str) -> Result<[u8; 10], Rejected> {
    let bytes = value.trim().as_bytes();
    let mut number = [0; 10];
    match bytes.len() {
        10 => number.copy_from_slice(bytes),
        11 if bytes[6] == b'-' => {
            number[..6].copy_from_slice(&bytes[..6]);
            number[6..].copy_from_slice(&bytes[7..]);
        }
        _ => return Err(Rejected::Length),
    }
    number.make_ascii_uppercase();
    Ok(number)
}

/// The day in the first six digits; the seventh tells the century.
fn birth_date(number: &[u8; 10]) -> Option<Date> {
    let digit = |at: usize| i16::from(number[at] - b'0');
    let (day, month) = (digit(0) * 10 + digit(1), digit(2) * 10 + digit(3));
    let year_of_century = digit(4) * 10 + digit(5);
    let century = match (number[6], year_of_century) {
        (b'0'..=b'3', _) => 1900,
        (b'4' | b'9', 0..=36) => 2000,
        (b'4' | b'9', _) => 1900,
        (_, 0..=57) => 2000,
        _ => 1800,
    };
    Date::new(century + year_of_century, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn check_digit_fits(number: &[u8; 10]) -> bool {
    let sum: u32 =
        number.iter().zip(WEIGHTS).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
    sum.is_multiple_of(11)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const TODAY: Date = date(2026, 6, 1);

    fn accepts(system: &str, value: &str, normalised: &str, notes: &[IdentifierNote]) {
        let kind = Kind::of_system(system).unwrap();
        let (number, found) = check(kind, value, TODAY).unwrap();
        assert_eq!(number, normalised);
        assert_eq!(found, notes);
    }

    fn rejects(system: &str, value: &str, why: Rejected) {
        assert_eq!(check(Kind::of_system(system).unwrap(), value, TODAY), Err(why));
    }

    #[test]
    fn takes_hyphen_and_blanks_out_of_a_cpr_number() {
        // A published test person.
        for spelling in ["0201919990", "020191-9990", " 020191-9990\n"] {
            accepts(CPR, spelling, "0201919990", &[IdentifierNote::CheckDigit]);
        }
    }

    #[test]
    fn checks_the_check_digit_but_never_rejects_for_it() {
        // No day 0 exists, so these can belong to nobody: 9·6 + 1·1 = 55, a multiple of 11.
        assert!(check_digit_fits(b"0000900001"));
        assert!(!check_digit_fits(b"0000900002"));
    }

    #[test]
    fn raises_letters_of_replacement_numbers() {
        accepts(X_ECPR, "150390-1ab2", "1503901AB2", &[]);
        accepts(X_ECPR, "1503027xy9", "1503027XY9", &[]);
        accepts(D_ECPR, "1503900ab2", "1503900AB2", &[IdentifierNote::RegionUnknown]);
        for region in ["177", "179", "181", "183", "187"] {
            accepts(&format!("{D_ECPR}.{region}"), "1503025AB2", "1503025AB2", &[]);
        }
    }

    #[test]
    fn knows_no_other_region() {
        assert_eq!(Kind::of_system("urn:oid:1.2.208.176.1.6.1.3.178"), None);
        assert_eq!(Kind::of_system("urn:oid:1.2.208.176.1.1"), None);
    }

    #[test]
    fn rejects_wrong_lengths() {
        for value in
            ["", "020191999", "02019199901", "0201-919990", "020191--9990", "020191-AB9012"]
        {
            rejects(CPR, value, Rejected::Length);
        }
    }

    #[test]
    fn rejects_characters_of_another_number() {
        rejects(CPR, "020191AB90", Rejected::Characters);
        rejects(CPR, "0201æ1990", Rejected::Characters);
        rejects(X_ECPR, "0201919990", Rejected::Characters);
        rejects(X_ECPR, "1503900AB2", Rejected::Characters);
        rejects(D_ECPR, "1503901AB2", Rejected::Characters);
        rejects(D_ECPR, "1503900ABC", Rejected::Characters);
    }

    #[test]
    fn rejects_impossible_days() {
        for value in ["3002919990", "0013919990", "0000000000", "3104910000", "2902910000"] {
            rejects(CPR, value, Rejected::Date);
        }
    }

    #[test]
    fn reads_the_century_from_the_seventh_digit() {
        let year = |yy: &str, seventh: &str| {
            let number: Vec<u8> = format!("0101{yy}{seventh}AB0").into_bytes();
            birth_date(&number.try_into().unwrap()).unwrap().year()
        };
        for seventh in ["0", "1", "2", "3"] {
            assert_eq!((year("00", seventh), year("99", seventh)), (1900, 1999));
        }
        for seventh in ["4", "9"] {
            assert_eq!((year("36", seventh), year("37", seventh)), (2036, 1937));
        }
        for seventh in ["5", "6", "7", "8"] {
            assert_eq!((year("57", seventh), year("58", seventh)), (2057, 1858));
        }
    }

    #[test]
    fn knows_leap_days_of_each_century() {
        // 2000 was a leap year, 1900 was not.
        assert!(birth_date(b"2902004AB0").is_some());
        assert!(birth_date(b"2902000AB0").is_none());
        assert!(birth_date(b"2902960AB0").is_some());
    }

    #[test]
    fn notes_unlikely_ages() {
        accepts(X_ECPR, "0101577AB2", "0101577AB2", &[IdentifierNote::FutureBirthDate]);
        accepts(X_ECPR, "0101587AB2", "0101587AB2", &[IdentifierNote::AgeOver120]);
    }
}
