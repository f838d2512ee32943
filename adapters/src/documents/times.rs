//! Times as documents write them: a point with the precision it was written in, which is a span of seconds.
//!
//! `2026-03` is the whole of March, so it begins with its first second and ends with the first of April. A time
//! without an offset is in the source's own zone.

use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::item::ClinicalPeriod;

/// Seconds `[start, end)` since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl From<Stretch> for ClinicalPeriod {
    fn from(stretch: Stretch) -> Self {
        Self { start_unix_seconds: Some(stretch.start), end_unix_seconds: Some(stretch.end) }
    }
}

/// The period between two written times; `None` if neither is there or they are the wrong way round.
pub(crate) fn period(low: Option<Stretch>, high: Option<Stretch>) -> Option<ClinicalPeriod> {
    let start = low.map(|low| low.start);
    let end = high.map(|high| high.end);
    match (start, end) {
        (None, None) => None,
        (Some(start), Some(end)) if start >= end => None,
        _ => Some(ClinicalPeriod { start_unix_seconds: start, end_unix_seconds: end }),
    }
}

/// FHIR `dateTime`, `date` and `instant`: `YYYY[-MM[-DD[Thh:mm[:ss[.f]][Z|±hh:mm]]]]`.
pub(crate) fn fhir(text: &str, zone: &TimeZone) -> Option<Stretch> {
    let mut cursor = Cursor(text.as_bytes());
    let mut written = Written { year: cursor.digits(4)?, ..Written::default() };
    if cursor.eat(b'-') {
        written.month = Some(cursor.digits(2)?);
        if cursor.eat(b'-') {
            written.day = Some(cursor.digits(2)?);
            if cursor.eat(b'T') {
                written.hour = Some(cursor.digits(2)?);
                cursor.eat(b':').then_some(())?;
                written.minute = Some(cursor.digits(2)?);
                if cursor.eat(b':') {
                    written.second = Some(cursor.digits(2)?);
                    cursor.fraction()?;
                }
                written.offset = if cursor.eat(b'Z') { Some(0) } else { cursor.offset(true)? };
            }
        }
    }
    cursor.at_end().then(|| written.stretch(zone))?
}

/// HL7 v3 `TS`: `YYYY[MM[DD[HH[MM[SS[.f]]]]]][±ZZzz]`.
pub(crate) fn hl7(text: &str, zone: &TimeZone) -> Option<Stretch> {
    let mut cursor = Cursor(text.as_bytes());
    let mut written = Written { year: cursor.digits(4)?, ..Written::default() };
    for field in [
        &mut written.month,
        &mut written.day,
        &mut written.hour,
        &mut written.minute,
        &mut written.second,
    ] {
        if !cursor.at_digit() {
            break;
        }
        *field = Some(cursor.digits(2)?);
    }
    cursor.fraction()?;
    written.offset = cursor.offset(false)?;
    cursor.at_end().then(|| written.stretch(zone))?
}

/// The fields that were written; the rest is the precision.
#[derive(Default)]
struct Written {
    year: i16,
    month: Option<i16>,
    day: Option<i16>,
    hour: Option<i16>,
    minute: Option<i16>,
    second: Option<i16>,
    offset: Option<i32>,
}

impl Written {
    fn stretch(&self, zone: &TimeZone) -> Option<Stretch> {
        let part = |value: Option<i16>, least: i16| i8::try_from(value.unwrap_or(least)).ok();
        let start = DateTime::new(
            self.year,
            part(self.month, 1)?,
            part(self.day, 1)?,
            part(self.hour, 0)?,
            part(self.minute, 0)?,
            part(self.second, 0)?,
            0,
        )
        .ok()?;
        let unit = match self {
            Self { second: Some(_), .. } => 1.second(),
            Self { minute: Some(_), .. } => 1.minute(),
            Self { hour: Some(_), .. } => 1.hour(),
            Self { day: Some(_), .. } => 1.day(),
            Self { month: Some(_), .. } => 1.month(),
            _ => 1.year(),
        };
        let end = start.checked_add(unit).ok()?;
        let seconds = |time: DateTime| match self.offset {
            Some(offset) => {
                Offset::from_seconds(offset).ok()?.to_timestamp(time).ok().map(|t| t.as_second())
            }
            None => zone.to_timestamp(time).ok().map(|t| t.as_second()),
        };
        Some(Stretch { start: seconds(start)?, end: seconds(end)? })
            .filter(|stretch| stretch.start < stretch.end)
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn at_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn digits(&mut self, count: usize) -> Option<i16> {
        let (field, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        field.iter().try_fold(0, |value: i16, byte| {
            byte.is_ascii_digit().then(|| value * 10 + i16::from(byte - b'0'))
        })
    }

    /// Skips `.` and its digits; a dot without digits is no number.
    fn fraction(&mut self) -> Option<()> {
        if self.eat(b'.') {
            self.at_digit().then_some(())?;
            while self.at_digit() {
                self.0 = &self.0[1..];
            }
        }
        Some(())
    }

    /// Seconds east of UTC; `Some(None)` if no sign follows.
    fn offset(&mut self, colon: bool) -> Option<Option<i32>> {
        let sign = match self.0.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        self.0 = &self.0[1..];
        let hours = i32::from(self.digits(2)?);
        if colon {
            self.eat(b':').then_some(())?;
        }
        let minutes = i32::from(self.digits(2)?);
        (hours <= 14 && minutes < 60).then_some(Some(sign * (hours * 3600 + minutes * 60)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::profile::Profile;

    fn shown(stretch: Option<Stretch>) -> String {
        let instant = |second| Timestamp::from_second(second).unwrap();
        stretch
            .map(|s| format!("{} {}", instant(s.start), instant(s.end)))
            .unwrap_or_else(|| "none".into())
    }

    #[test]
    fn reads_fhir_times_in_their_precision() {
        for (text, expected) in [
            ("2026", "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z"),
            ("2026-12", "2026-12-01T00:00:00Z 2027-01-01T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z 2024-03-01T00:00:00Z"),
            ("2026-03-02T10:15:30Z", "2026-03-02T10:15:30Z 2026-03-02T10:15:31Z"),
            ("2026-03-02T10:15:30.999+02:00", "2026-03-02T08:15:30Z 2026-03-02T08:15:31Z"),
            ("2026-03-02T10:15Z", "2026-03-02T10:15:00Z 2026-03-02T10:16:00Z"),
        ] {
            assert_eq!(shown(fhir(text, &TimeZone::UTC)), expected, "{text}");
        }
    }

    #[test]
    fn reads_hl7_times_in_their_precision() {
        for (text, expected) in [
            ("2000", "2000-01-01T00:00:00Z 2001-01-01T00:00:00Z"),
            ("20000407", "2000-04-07T00:00:00Z 2000-04-08T00:00:00Z"),
            ("2000040714", "2000-04-07T14:00:00Z 2000-04-07T15:00:00Z"),
            ("201308151030-0800", "2013-08-15T18:30:00Z 2013-08-15T18:31:00Z"),
            ("20130815103045.123+0200", "2013-08-15T08:30:45Z 2013-08-15T08:30:46Z"),
        ] {
            assert_eq!(shown(hl7(text, &TimeZone::UTC)), expected, "{text}");
        }
    }

    #[test]
    fn reads_times_without_offset_in_the_zone_of_the_source() {
        let zone = Profile::Dk.time_zone();
        assert_eq!(shown(hl7("20260701", &zone)), "2026-06-30T22:00:00Z 2026-07-01T22:00:00Z");
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in ["", "20", "2026-13", "2026-02-30", "2026-1-1", "2026-01-01T", "2026Z", "æ026"]
        {
            assert_eq!(fhir(text, &TimeZone::UTC), None, "{text}");
        }
        for text in ["", "20", "202613", "20260230", "2026-08:00", "2026.", "20260101+99", "x"] {
            assert_eq!(hl7(text, &TimeZone::UTC), None, "{text}");
        }
    }

    #[test]
    fn a_period_needs_an_end_and_the_right_order() {
        let early = Some(Stretch { start: 1, end: 2 });
        let late = Some(Stretch { start: 8, end: 9 });
        assert_eq!(period(None, None), None);
        assert_eq!(period(late, early), None);
        assert_eq!(period(early, late).unwrap().end_unix_seconds, Some(9));
        assert_eq!(period(early, None).unwrap().end_unix_seconds, None);
    }

    proptest! {
        #[test]
        fn reading_a_time_never_panics(text in "[0-9TZ:.+\\-]{0,30}|\\PC{0,20}") {
            let zone = Profile::Dk.time_zone();
            for stretch in [fhir(&text, &zone), hl7(&text, &zone)].into_iter().flatten() {
                prop_assert!(stretch.start < stretch.end);
            }
        }
    }
}
