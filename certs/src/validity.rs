//! From when to when a certificate or a CRL counts.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long before `now` a certificate starts to count, because the clocks of two machines differ.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// A period with a beginning and a later end; X.509 keeps whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Why a period cannot stand in a certificate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValidityError {
    /// A certificate that never counts helps nobody.
    #[error("the period ends at {not_after}, not after its beginning {not_before}: swap them")]
    Backwards {
        /// The beginning that was asked for.
        not_before: Timestamp,
        /// The end that was asked for.
        not_after: Timestamp,
    },
    /// X.509 writes years 1950 to 9999, and this crate none before 1970.
    #[error("a certificate can count from 1970 to 9998: choose dates between them")]
    OutOfRange,
}

impl Validity {
    /// Counts from one hour before `now` until `days` after it.
    pub fn days(now: Timestamp, days: u32) -> Result<Self, ValidityError> {
        let lasts = SignedDuration::from_hours(i64::from(days) * 24);
        let not_before = now.checked_sub(CLOCK_SKEW).map_err(|_| ValidityError::OutOfRange)?;
        let not_after = now.checked_add(lasts).map_err(|_| ValidityError::OutOfRange)?;
        Self::between(not_before, not_after)
    }

    /// Counts from `not_before` to `not_after`, both included: for certificates that have expired or do not
    /// count yet.
    pub fn between(not_before: Timestamp, not_after: Timestamp) -> Result<Self, ValidityError> {
        if not_after.as_second() <= not_before.as_second() {
            return Err(ValidityError::Backwards { not_before, not_after });
        }
        // Years are compared as seconds: 1970-01-01 is 0, 9999-01-01 is the number below.
        const YEAR_9999: i64 = 253_370_764_800;
        if not_before.as_second() < 0 || not_after.as_second() >= YEAR_9999 {
            return Err(ValidityError::OutOfRange);
        }
        Ok(Self { not_before, not_after })
    }

    /// The first second that counts.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last second that counts.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The beginning, as the certificate library counts it.
    pub(crate) fn starts_after_1970(&self) -> Duration {
        after_1970(self.not_before)
    }

    /// The end, as the certificate library counts it.
    pub(crate) fn ends_after_1970(&self) -> Duration {
        after_1970(self.not_after)
    }
}

/// Whole seconds since 1970; 0 for anything earlier, which a [`Validity`] never holds.
pub(crate) fn after_1970(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    #[test]
    fn days_start_an_hour_early() {
        let validity = Validity::days(at("2026-11-22T12:00:00Z"), 1).expect("in range");
        assert_eq!(validity.not_before(), at("2026-11-22T11:00:00Z"));
        assert_eq!(validity.not_after(), at("2026-11-23T12:00:00Z"));
    }

    #[test]
    fn refuses_a_period_that_ends_before_it_begins() {
        let (early, late) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert!(matches!(Validity::between(late, early), Err(ValidityError::Backwards { .. })));
        assert!(matches!(Validity::between(early, early), Err(ValidityError::Backwards { .. })));
    }

    #[test]
    fn refuses_years_that_x509_cannot_write() {
        assert_eq!(
            Validity::days(at("2026-11-22T12:00:00Z"), u32::MAX),
            Err(ValidityError::OutOfRange)
        );
        assert_eq!(Validity::days(at("1969-06-01T00:00:00Z"), 1), Err(ValidityError::OutOfRange));
        assert_eq!(Validity::days(at("9998-12-31T00:00:00Z"), 2), Err(ValidityError::OutOfRange));
    }
}
