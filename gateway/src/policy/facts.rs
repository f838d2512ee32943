//! One request written down by hand: on the command line, or as a row of a table of cases.

use serde::Deserialize;
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::MemberRole;
use sundbro_proto::ledger::v1::{Assurance, BreakGlassReason, Confidentiality, PurposeOfUse};

use super::entities;
use super::{Request, Resource};

/// Who asks for what, and why. Only role and purpose must be said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The user's role.
    #[arg(long)]
    pub role: String,
    /// Why: TREAT, ETREAT, PATRQT or HOPERAT.
    #[arg(long)]
    pub purpose: String,
    /// The member that asks.
    #[arg(long, default_value = "requester.example")]
    #[serde(default = "requester")]
    pub member: String,
    /// What kind of organisation it is: GENERAL_PRACTICE, HOSPITAL, LABORATORY, MUNICIPALITY, REGION. Several times.
    #[arg(long, value_name = "KIND")]
    #[serde(default)]
    pub member_role: Vec<String>,
    /// The user, as that member's systems name them.
    #[arg(long, default_value = "user")]
    #[serde(default = "user")]
    pub user: String,
    /// The user's unit.
    #[arg(long, value_name = "SYSTEM|VALUE")]
    pub unit: Option<String>,
    /// The glass is broken, and why: VITAL_INTEREST or OTHERS_VITAL_INTEREST.
    #[arg(long, value_name = "REASON")]
    pub break_glass: Option<String>,
    /// How the requester knows: CLIENT_ASSERTED or TOKEN_VERIFIED.
    #[arg(long, default_value = "CLIENT_ASSERTED")]
    #[serde(default = "assurance")]
    pub assurance: String,
    /// The member that answers for the record.
    #[arg(long, value_name = "MEMBER", default_value = "custodian.example")]
    #[serde(default = "custodian")]
    pub custodian: String,
    /// How confidential it is: N, R or V.
    #[arg(long, value_name = "LEVEL", default_value = "N")]
    #[serde(default = "confidentiality")]
    pub confidentiality: String,
    /// What kind of document it is. Left out: the source does not say.
    #[arg(long, value_name = "SYSTEM|CODE")]
    pub class: Option<String>,
    /// The unit in which it was written. Left out: the source does not say.
    #[arg(long, value_name = "SYSTEM|VALUE")]
    pub author_unit: Option<String>,
}

fn requester() -> String {
    "requester.example".to_owned()
}

fn user() -> String {
    "user".to_owned()
}

fn assurance() -> String {
    "CLIENT_ASSERTED".to_owned()
}

fn custodian() -> String {
    "custodian.example".to_owned()
}

fn confidentiality() -> String {
    "N".to_owned()
}

/// A value that is none of those it can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value:?} is not known: {cure}")]
pub struct BadFact {
    field: &'static str,
    value: String,
    cure: String,
}

impl Facts {
    /// Role and purpose; everything else as when it is left out.
    pub fn new(role: &str, purpose: &str) -> Self {
        Self {
            role: role.to_owned(),
            purpose: purpose.to_owned(),
            member: requester(),
            member_role: Vec::new(),
            user: user(),
            unit: None,
            break_glass: None,
            assurance: assurance(),
            custodian: custodian(),
            confidentiality: confidentiality(),
            class: None,
            author_unit: None,
        }
    }

    /// What is judged.
    ///
    /// # Errors
    /// When a value is none of those it can be.
    pub fn judged(&self) -> Result<(Request, Resource), BadFact> {
        let member_roles = self.member_role.iter();
        let request = Request {
            requester: name("member", &self.member)?,
            requester_roles: member_roles
                .map(|kind| one_of("member_role", kind, &MEMBER_ROLES))
                .collect::<Result<_, _>>()?,
            user: self.user.clone(),
            role: self.role.clone(),
            unit: pair("unit", self.unit.as_deref())?,
            purpose: one_of("purpose", &self.purpose, &PURPOSES)?,
            break_glass: match &self.break_glass {
                Some(reason) => one_of("break_glass", reason, &REASONS)?,
                None => BreakGlassReason::Unspecified,
            },
            assurance: one_of("assurance", &self.assurance, &ASSURANCES)?,
        };
        let resource = Resource {
            custodian: name("custodian", &self.custodian)?,
            confidentiality: one_of("confidentiality", &self.confidentiality, &LEVELS)?,
            class: pair("class", self.class.as_deref())?,
            author_unit: pair("author_unit", self.author_unit.as_deref())?,
        };
        Ok((request, resource))
    }
}

/// Something that policies have a name for.
pub(super) trait Named: Copy + 'static {
    /// Its name in policies.
    fn name(self) -> &'static str;
}

macro_rules! named {
    ($($kind:ty: $name:expr;)*) => {
        $(impl Named for $kind {
            fn name(self) -> &'static str {
                $name(self)
            }
        })*
    };
}

named! {
    PurposeOfUse: |it| entities::purpose(it).unwrap_or_default();
    Assurance: |it| entities::assurance(it).unwrap_or_default();
    BreakGlassReason: |it| entities::break_glass(it).unwrap_or_default();
    Confidentiality: entities::confidentiality;
    MemberRole: |it| entities::member_role(it).unwrap_or_default();
}

/// Every purpose that policies can name.
pub(super) const PURPOSES: [PurposeOfUse; 4] = [
    PurposeOfUse::Treatment,
    PurposeOfUse::EmergencyTreatment,
    PurposeOfUse::PatientRequest,
    PurposeOfUse::HealthcareOperations,
];
/// Every assurance.
pub(super) const ASSURANCES: [Assurance; 2] = [Assurance::ClientAsserted, Assurance::TokenVerified];
/// Every reason to break the glass.
pub(super) const REASONS: [BreakGlassReason; 2] =
    [BreakGlassReason::VitalInterest, BreakGlassReason::OthersVitalInterest];
/// Every level of confidentiality.
pub(super) const LEVELS: [Confidentiality; 3] =
    [Confidentiality::Normal, Confidentiality::Restricted, Confidentiality::VeryRestricted];
/// Every kind of organisation.
pub(super) const MEMBER_ROLES: [MemberRole; 5] = [
    MemberRole::GeneralPractice,
    MemberRole::Hospital,
    MemberRole::Laboratory,
    MemberRole::Municipality,
    MemberRole::Region,
];

fn one_of<T: Named>(field: &'static str, value: &str, all: &[T]) -> Result<T, BadFact> {
    all.iter().copied().find(|one| one.name() == value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| one.name()).collect();
        BadFact { field, value: value.to_owned(), cure: format!("use {}", names.join(", ")) }
    })
}

fn name(field: &'static str, value: &str) -> Result<MemberName, BadFact> {
    MemberName::new(value).map_err(|error| BadFact {
        field,
        value: value.to_owned(),
        cure: error.to_string(),
    })
}

fn pair(field: &'static str, value: Option<&str>) -> Result<Option<(String, String)>, BadFact> {
    let Some(value) = value else { return Ok(None) };
    // Systems are URIs, in which a bar stands for nothing.
    match value.split_once('|') {
        Some((system, code)) => Ok(Some((system.to_owned(), code.to_owned()))),
        None => {
            let cure = "write the system, a bar and the code".to_owned();
            Err(BadFact { field, value: value.to_owned(), cure })
        }
    }
}
