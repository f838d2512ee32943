//! Request and resource as Cedar sees them: who is in what, what a record is, what the question is.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request as CedarRequest,
    RestrictedExpression,
};
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::MemberRole;
use sundbro_proto::ledger::v1::{Assurance, BreakGlassReason, Confidentiality, PurposeOfUse};

use super::defaults::schema;
use super::{Request, Resource};

/// What Cedar is asked.
pub(super) struct Question {
    pub(super) request: CedarRequest,
    pub(super) entities: Entities,
}

/// A request does not fit the schema: a defect of ours, which denies. Cedar's own message could quote who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request does not fit the policy schema")]
pub(super) struct Misfit;

fn misfit<E>(_: E) -> Misfit {
    Misfit
}

/// The question. `None`: it is for something that no policy can speak of yet, so nothing permits it.
pub(super) fn question(request: &Request, resource: &Resource) -> Result<Option<Question>, Misfit> {
    let Some(purpose) = purpose(request.purpose) else { return Ok(None) };
    let Some(assurance) = assurance(request.assurance) else { return Ok(None) };
    let mut context = vec![
        ("purpose".to_owned(), reference("Purpose", purpose)),
        ("assurance".to_owned(), reference("Assurance", assurance)),
    ];
    let action = match break_glass(request.break_glass) {
        None => "read",
        Some(reason) => {
            context.push(("reason".to_owned(), reference("BreakGlassReason", reason)));
            "break-glass"
        }
    };
    let user = uid("User", &format!("{}|{}", request.requester, request.user));
    let record = uid("Record", "asked-for");
    let entities = [
        Entity::new_no_attrs(user.clone(), groups(request)),
        member(&request.requester, &request.requester_roles),
        Entity::new(record.clone(), attributes(resource)?, HashSet::new()).map_err(misfit)?,
    ];
    let context = Context::from_pairs(context).map_err(misfit)?;
    let action = uid("Action", action);
    Ok(Some(Question {
        request: CedarRequest::new(user, action, record, context, Some(schema()))
            .map_err(misfit)?,
        entities: Entities::from_entities(entities, Some(schema())).map_err(misfit)?,
    }))
}

/// What the user is in.
fn groups(request: &Request) -> HashSet<EntityUid> {
    let unit = request.unit.as_ref().map(unit);
    let always = [uid("Role", &request.role), uid("Member", request.requester.as_str())];
    always.into_iter().chain(unit).collect()
}

fn member(name: &MemberName, roles: &[MemberRole]) -> Entity {
    // What kinds a later version adds no policy of this one can name.
    let kinds = roles.iter().copied().filter_map(member_role);
    let kinds = kinds.map(|kind| uid("MemberRole", kind)).collect();
    Entity::new_no_attrs(uid("Member", name.as_str()), kinds)
}

fn attributes(resource: &Resource) -> Result<HashMap<String, RestrictedExpression>, Misfit> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let confidentiality = confidentiality(resource.confidentiality);
    let mut attributes = HashMap::from([
        ("custodian".to_owned(), reference("Member", resource.custodian.as_str())),
        ("confidentiality".to_owned(), reference("Confidentiality", confidentiality)),
    ]);
    if let Some((system, code)) = &resource.class {
        let coding = [("system".to_owned(), text(system)), ("code".to_owned(), text(code))];
        let coding = RestrictedExpression::new_record(coding).map_err(misfit)?;
        attributes.insert("class".to_owned(), coding);
    }
    if let Some(author_unit) = &resource.author_unit {
        let author_unit = RestrictedExpression::new_entity_uid(unit(author_unit));
        attributes.insert("author_unit".to_owned(), author_unit);
    }
    Ok(attributes)
}

fn unit((system, value): &(String, String)) -> EntityUid {
    uid("Unit", &format!("{system}|{value}"))
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let kind: EntityTypeName = kind.parse().expect("the kinds in this file are Cedar names");
    EntityUid::from_type_name_and_id(kind, EntityId::new(id))
}

fn reference(kind: &str, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid(kind, id))
}

/// HL7 v3 PurposeOfUse. `None`: a purpose of a later version.
pub(super) fn purpose(purpose: PurposeOfUse) -> Option<&'static str> {
    Some(match purpose {
        PurposeOfUse::Unspecified => return None,
        PurposeOfUse::Treatment => "TREAT",
        PurposeOfUse::EmergencyTreatment => "ETREAT",
        PurposeOfUse::PatientRequest => "PATRQT",
        PurposeOfUse::HealthcareOperations => "HOPERAT",
    })
}

pub(super) fn assurance(assurance: Assurance) -> Option<&'static str> {
    Some(match assurance {
        Assurance::Unspecified => return None,
        Assurance::ClientAsserted => "CLIENT_ASSERTED",
        Assurance::TokenVerified => "TOKEN_VERIFIED",
    })
}

/// `None`: the glass is not broken.
pub(super) fn break_glass(reason: BreakGlassReason) -> Option<&'static str> {
    Some(match reason {
        BreakGlassReason::Unspecified => return None,
        BreakGlassReason::VitalInterest => "VITAL_INTEREST",
        BreakGlassReason::OthersVitalInterest => "OTHERS_VITAL_INTEREST",
    })
}

/// HL7 v3 Confidentiality. What nobody says is protected most.
pub(super) fn confidentiality(confidentiality: Confidentiality) -> &'static str {
    match confidentiality {
        Confidentiality::Normal => "N",
        Confidentiality::Restricted => "R",
        Confidentiality::VeryRestricted | Confidentiality::Unspecified => "V",
    }
}

/// `None`: a kind of a later version.
pub(super) fn member_role(role: MemberRole) -> Option<&'static str> {
    Some(match role {
        MemberRole::GeneralPractice => "GENERAL_PRACTICE",
        MemberRole::Hospital => "HOSPITAL",
        MemberRole::Laboratory => "LABORATORY",
        MemberRole::Municipality => "MUNICIPALITY",
        MemberRole::Region => "REGION",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::{Policy, Source};

    #[test]
    fn a_rule_sees_every_kind_of_organisation() {
        let kinds = ["GENERAL_PRACTICE", "HOSPITAL", "LABORATORY", "MUNICIPALITY", "REGION"];
        for named in kinds {
            let text = format!(
                "@id(\"it\") @says(\"for a test\")\n\
                 permit (principal in MemberRole::{named:?}, action == Action::\"read\", resource);"
            );
            let source = Source { name: "a.cedar".to_owned(), text };
            let policy = Policy::parse(&[source]).expect("valid");
            for kind in kinds {
                let member_role = vec![kind.to_owned()];
                let facts = Facts { member_role, ..Facts::new("nurse", "TREAT") };
                let (request, resource) = facts.judged().expect("known names");
                let permit = policy.decide(&request, &resource).permit;
                assert_eq!(permit, kind == named, "{kind} and {named}");
            }
        }
    }
}
