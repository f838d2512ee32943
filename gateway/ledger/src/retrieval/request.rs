//! What a requester asks of a record's owner.

use core::fmt;

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::{
    FORMAT, HistoryBook, Judging, Message, RetrievalError, SignerBook, Verified, broken,
    check_common,
};
use crate::canonical;
use crate::fields::{array, closed_enum, field, fits_and_says, open_enum};
use crate::history::CharterHistory;
use crate::ids::{MemberName, RecordId};
use crate::signing::Purpose;

/// Longest request in bytes: names, codes and 128 bytes of user.
const MAX_REQUEST_LEN: usize = 4_096;

const REQUEST: &str = Purpose::Request.name();

open_enum! {
    /// Why a record is asked for (HL7 v3 PurposeOfUse). What a policy does not know it denies.
    PurposeOfUse {
        /// TREAT: treatment and care of the person.
        Treatment = 1,
        /// ETREAT: emergency treatment; breaks the glass.
        EmergencyTreatment = 2,
        /// PATRQT: the person asked for it.
        PatientRequest = 3,
        /// HOPERAT: supply of aids and other operation of health services.
        HealthcareOperations = 4,
    }
}

open_enum! {
    /// Why the glass is broken.
    BreakGlassReason {
        /// Danger to life or lasting harm to the person.
        VitalInterest = 1,
        /// Danger to others.
        OthersVitalInterest = 2,
    }
}

closed_enum! {
    /// How the requester knows user, role, unit and purpose.
    Assurance {
        /// The local client said so, and its certificate may state it.
        ClientAsserted = 1,
        /// A verified token said so.
        TokenVerified = 2,
    }
}

/// A unit of an organisation, by an identifier of a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// URI of the register; OIDs as `urn:oid:…`. At most 256 bytes.
    pub system: String,
    /// The identifier in it. At most 128 bytes.
    pub value: String,
}

/// What a requester asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The member that asks.
    pub requester: MemberName,
    /// The member that holds the record, which is the one that its id names.
    pub owner: MemberName,
    /// The record.
    pub record: RecordId,
    /// Its version, from 1.
    pub record_version: u32,
    /// Charter version by which the key is judged.
    pub charter_version: u64,
    /// The requester's SERVICE key.
    pub key_id: u32,
    /// Who asks. Opaque, 1 to 128 bytes, never a person's identifier.
    pub user: String,
    /// The user's role, a code. 1 to 64 bytes.
    pub role: String,
    /// The user's unit. `None`: none is known.
    pub unit: Option<Unit>,
    /// Why.
    pub purpose: PurposeOfUse,
    /// Why the glass is broken. `None`: it is not.
    pub break_glass_reason: Option<BreakGlassReason>,
    /// How the requester knows all this.
    pub assurance: Assurance,
    /// Random, never used before by this requester.
    pub nonce: [u8; 16],
    /// When, by the requester's clock. Not negative.
    pub requested_unix_seconds: i64,
}

impl Message for Request {
    const PURPOSE: Purpose = Purpose::Request;

    fn parse(bytes: &[u8]) -> Result<Self, RetrievalError> {
        let wire: v1::RetrievalRequest = canonical::decode(bytes, MAX_REQUEST_LEN)
            .map_err(|source| RetrievalError::Canonical { message: REQUEST, source })?;
        check_common(REQUEST, wire.format, (wire.charter_version, wire.key_id))?;
        let request = Self::from_wire(wire)?;
        request.validate()?;
        Ok(request)
    }

    fn to_bytes(&self) -> Bytes {
        let unit = self.unit.as_ref();
        canonical::encode(&v1::RetrievalRequest {
            format: FORMAT,
            requester: self.requester.to_string(),
            owner: self.owner.to_string(),
            record: Some(v1::RecordVersion {
                record: Some(v1::ObjectId {
                    member: self.record.member.to_string(),
                    id: field(&self.record.id),
                }),
                version: self.record_version,
            }),
            charter_version: self.charter_version,
            key_id: self.key_id,
            user: self.user.clone(),
            role: self.role.clone(),
            unit: unit.map(|unit| v1::Identifier {
                system: unit.system.clone(),
                value: unit.value.clone(),
            }),
            purpose: self.purpose.to_wire(),
            break_glass_reason: self.break_glass_reason.map_or(0, BreakGlassReason::to_wire),
            assurance: self.assurance.to_wire(),
            nonce: field(&self.nonce),
            requested_unix_seconds: self.requested_unix_seconds,
        })
        .into()
    }

    fn key(&self) -> (u64, u32) {
        (self.charter_version, self.key_id)
    }
}

impl Request {
    fn from_wire(wire: v1::RetrievalRequest) -> Result<Self, RetrievalError> {
        let wrong = |field| broken(REQUEST, field);
        let name = |text: &str, field| MemberName::new(text).map_err(|_| wrong(field));
        let version = wire.record.ok_or(wrong("the record is missing"))?;
        let object = version.record.ok_or(wrong("the record id is missing"))?;
        let id = array(&object.id).ok_or(wrong("the record id is not 16 bytes"))?;
        let record = RecordId { member: name(&object.member, "the record id has no member")?, id };
        let break_glass_reason = match wire.break_glass_reason {
            0 => None,
            number => Some(
                BreakGlassReason::from_wire(number)
                    .ok_or(wrong("the break-glass reason is none"))?,
            ),
        };
        Ok(Self {
            requester: name(&wire.requester, "the requester is no member name")?,
            owner: name(&wire.owner, "the owner is no member name")?,
            record,
            record_version: version.version,
            charter_version: wire.charter_version,
            key_id: wire.key_id,
            user: wire.user,
            role: wire.role,
            unit: wire.unit.map(|unit| Unit { system: unit.system, value: unit.value }),
            purpose: PurposeOfUse::from_wire(wire.purpose)
                .ok_or(wrong("the purpose of use is unspecified"))?,
            break_glass_reason,
            assurance: Assurance::from_wire(wire.assurance)
                .ok_or(wrong("the assurance is unspecified or unknown"))?,
            nonce: array(&wire.nonce).ok_or(wrong("the nonce is not 16 bytes"))?,
            requested_unix_seconds: wire.requested_unix_seconds,
        })
    }

    fn validate(&self) -> Result<(), RetrievalError> {
        let wrong = |field| Err(broken(REQUEST, field));
        if self.record.member != self.owner {
            return wrong("the owner is not the member that the record id names");
        }
        if self.record_version == 0 {
            return wrong("the record version is 0");
        }
        if !fits_and_says(&self.user, 128) {
            return wrong("the user is empty, longer than 128 bytes, or holds a control character");
        }
        if !fits_and_says(&self.role, 64) {
            return wrong("the role is empty, longer than 64 bytes, or holds a control character");
        }
        let unit_fits =
            |unit: &Unit| fits_and_says(&unit.system, 256) && fits_and_says(&unit.value, 128);
        if !self.unit.as_ref().is_none_or(unit_fits) {
            return wrong("the unit needs a system of 1 to 256 bytes and a value of 1 to 128");
        }
        if self.requested_unix_seconds < 0 {
            return wrong("the time is before 1970");
        }
        Ok(())
    }
}

impl fmt::Debug for Request {
    /// Shows what is asked of whom, and not who asks: the user stands in audit logs only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("requester", &self.requester)
            .field("record", &self.record)
            .field("record_version", &self.record_version)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// Checks a request: its rules, its key by the charter, its signature. That the TLS peer is the requester and that the
/// nonce is new, the gateway checks.
///
/// # Errors
/// Fails with the first rule that is broken.
pub fn verify_request(
    wire: &v1::SignedMessage,
    history: &CharterHistory,
    judging: Judging,
) -> Result<Verified<Request>, RetrievalError> {
    check_request(wire, &mut HistoryBook { history, judging })
}

pub(crate) fn check_request(
    wire: &v1::SignedMessage,
    book: &mut impl SignerBook,
) -> Result<Verified<Request>, RetrievalError> {
    Verified::check(wire, |request: &Request| request.requester.clone(), book)
}
