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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        facts: Facts,
    }

    #[test]
    fn what_is_left_out_is_the_same_in_code_in_a_row_and_on_the_command_line() {
        let said = Facts::new("doctor", "TREAT");
        let row: Facts = toml::from_str("role = \"doctor\"\npurpose = \"TREAT\"").expect("a row");
        let words = ["explain", "--role", "doctor", "--purpose", "TREAT"];
        let line = Line::try_parse_from(words).expect("a line").facts;
        assert_eq!((&row, &line), (&said, &said));
        let (request, resource) = said.judged().expect("known names");
        let people =
            (request.requester.as_str(), request.user.as_str(), resource.custodian.as_str());
        assert_eq!(people, ("requester.example", "user", "custodian.example"));
    }

    #[test]
    fn a_value_that_is_none_is_named_with_those_there_are() {
        let check = |change: fn(&mut Facts), says: &str| {
            let mut facts = Facts::new("doctor", "TREAT");
            change(&mut facts);
            assert_eq!(facts.judged().expect_err(says).to_string(), says);
        };
        check(
            |facts| facts.purpose = "TREET".to_owned(),
            "purpose \"TREET\" is not known: use TREAT, ETREAT, PATRQT, HOPERAT",
        );
        check(
            |facts| facts.member_role = vec!["HOSPITAL".to_owned(), String::new()],
            "member_role \"\" is not known: use GENERAL_PRACTICE, HOSPITAL, LABORATORY, MUNICIPALITY, REGION",
        );
        check(
            |facts| facts.class = Some("57059-8".to_owned()),
            "class \"57059-8\" is not known: write the system, a bar and the code",
        );
    }

    /// The user's name is a person's to whoever can ask the requester, and `Debug` is what reaches a log.
    #[test]
    fn debug_of_a_request_tells_what_was_asked_and_not_for_whom() {
        let facts = Facts { user: "u-4711".to_owned(), ..Facts::new("doctor", "ETREAT") };
        let (request, _) = facts.judged().expect("known names");
        assert_eq!(
            format!("{request:?}"),
            "Request(requester.example as doctor for EmergencyTreatment, Unspecified, ClientAsserted)"
        );
    }
}
