//! Between the generated messages of the local API and what the gateway means by them.

pub mod pointer;

use std::time::Duration;

use sundbro_ledger::retrieval::{BreakGlassReason, PurposeOfUse};
use sundbro_proto::ledger::v1;

/// A purpose as signed, in the terms of policy and configuration. One that this version does not know is unspecified,
/// which no rule permits.
pub fn purpose_from_ledger(purpose: PurposeOfUse) -> v1::PurposeOfUse {
    match purpose {
        PurposeOfUse::Treatment => v1::PurposeOfUse::Treatment,
        PurposeOfUse::EmergencyTreatment => v1::PurposeOfUse::EmergencyTreatment,
        PurposeOfUse::PatientRequest => v1::PurposeOfUse::PatientRequest,
        PurposeOfUse::HealthcareOperations => v1::PurposeOfUse::HealthcareOperations,
        _ => v1::PurposeOfUse::Unspecified,
    }
}

/// A purpose to be signed. `None`: it is unspecified.
pub fn purpose_to_ledger(purpose: v1::PurposeOfUse) -> Option<PurposeOfUse> {
    Some(match purpose {
        v1::PurposeOfUse::Unspecified => return None,
        v1::PurposeOfUse::Treatment => PurposeOfUse::Treatment,
        v1::PurposeOfUse::EmergencyTreatment => PurposeOfUse::EmergencyTreatment,
        v1::PurposeOfUse::PatientRequest => PurposeOfUse::PatientRequest,
        v1::PurposeOfUse::HealthcareOperations => PurposeOfUse::HealthcareOperations,
    })
}

/// The name of a purpose in audit entries.
pub fn purpose_name(purpose: PurposeOfUse) -> String {
    match purpose {
        PurposeOfUse::Other(number) => format!("PURPOSE_OF_USE_{number}"),
        known => purpose_from_ledger(known).as_str_name().to_owned(),
    }
}

/// A break-glass reason to be signed. `None`: the glass is not broken.
pub fn break_glass_to_ledger(reason: v1::BreakGlassReason) -> Option<BreakGlassReason> {
    match reason {
        v1::BreakGlassReason::Unspecified => None,
        v1::BreakGlassReason::VitalInterest => Some(BreakGlassReason::VitalInterest),
        v1::BreakGlassReason::OthersVitalInterest => Some(BreakGlassReason::OthersVitalInterest),
    }
}

/// A break-glass reason as signed. `Err`: one that this version does not know.
pub fn break_glass_from_ledger(
    reason: Option<BreakGlassReason>,
) -> Result<v1::BreakGlassReason, UnknownReason> {
    match reason {
        None => Ok(v1::BreakGlassReason::Unspecified),
        Some(BreakGlassReason::VitalInterest) => Ok(v1::BreakGlassReason::VitalInterest),
        Some(BreakGlassReason::OthersVitalInterest) => {
            Ok(v1::BreakGlassReason::OthersVitalInterest)
        }
        Some(_) => Err(UnknownReason),
    }
}

/// A break-glass reason of a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownReason;

/// A length of time; one that is too long for the message becomes the longest.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A time in milliseconds since 1970.
pub fn timestamp_millis(unix_millis: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: unix_millis.div_euclid(1000),
        nanos: i32::try_from(unix_millis.rem_euclid(1000) * 1_000_000).unwrap_or(0),
    }
}

/// A time in seconds since 1970.
pub fn timestamp_seconds(unix_seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: unix_seconds, nanos: 0 }
}
