//! What is allowed in a policy and hardly meant: found by asking it, not by how it is written.

use std::collections::BTreeMap;

use cedar_policy::{ValidationMode, Validator};

use super::facts::{ASSURANCES, Facts, LEVELS, MEMBER_ROLES, Named as _, PURPOSES, REASONS};
use super::folder::Found;
use super::rule::Effect;
use super::{Policy, RULE_FAILED, defaults};

/// Something that an operator should look at. The policies are taken all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// File and line, or the file. Empty: the whole.
    pub place: String,
    /// What is odd, and what to do.
    pub what: String,
}

/// Every oddity of a policy and of the folder that it came from.
pub fn lint(policy: &Policy, found: &Found) -> Vec<Warning> {
    let mut warnings = in_folder(found);
    if !policy.rules().iter().any(|rule| rule.effect == Effect::Permit) {
        let what = "no rule permits anything: nobody is granted anything".to_owned();
        warnings.push(Warning { place: String::new(), what });
    }
    warnings.extend(too_generous(policy));
    warnings.extend(said_by_cedar(policy));
    warnings.sort();
    warnings
}

fn in_folder(found: &Found) -> Vec<Warning> {
    let unread = found.unread.iter().map(|name| Warning {
        place: name.clone(),
        what: "is not read: policies end in .cedar".to_owned(),
    });
    let schema = found.other_schema.iter().map(|name| Warning {
        place: name.clone(),
        what: "is not the schema of this version, by which policies are judged: write it again"
            .to_owned(),
    });
    unread.chain(schema).collect()
}

/// A role that no rule can mean: whoever lets it in lets everybody in.
const STRANGER: &str = "a role that nobody has";

/// Rules that permit a stranger something: role and member do not matter to them.
fn too_generous(policy: &Policy) -> Vec<Warning> {
    let questions = strangers();
    let mut permitted: BTreeMap<String, usize> = BTreeMap::new();
    for stranger in &questions {
        let (request, resource) = stranger.judged().expect("made of names that are known");
        let decision = policy.decide(&request, &resource);
        if decision.rule == RULE_FAILED {
            let what = format!("{}: nothing is permitted where that happens", decision.sentence);
            return vec![Warning { place: String::new(), what }];
        }
        if decision.permit {
            *permitted.entry(decision.rule).or_default() += 1;
        }
    }
    let warn = |(id, count): (String, usize)| {
        let rule = policy.rules().iter().find(|rule| rule.id == id)?;
        let what = match count == questions.len() / 2 {
            true => {
                format!("rule {id:?} permits everything to everybody: say to whom and for what")
            }
            false => format!("rule {id:?} permits roles that it does not name: name them"),
        };
        Some(Warning { place: rule.place(), what })
    };
    permitted.into_iter().filter_map(warn).collect()
}

/// A stranger's requests: one half in the ordinary way and one that breaks the glass.
fn strangers() -> Vec<Facts> {
    let mut all = Vec::new();
    for reason in [None, Some(0), None, Some(1)] {
        for purpose in PURPOSES {
            for assurance in ASSURANCES {
                for level in LEVELS {
                    for kind in MEMBER_ROLES {
                        all.push(Facts {
                            break_glass: reason.map(|at: usize| REASONS[at].name().to_owned()),
                            assurance: assurance.name().to_owned(),
                            confidentiality: level.name().to_owned(),
                            member_role: vec![kind.name().to_owned()],
                            ..Facts::new(STRANGER, purpose.name())
                        });
                    }
                }
            }
        }
    }
    all
}

fn said_by_cedar(policy: &Policy) -> Vec<Warning> {
    let result =
        Validator::new(defaults::schema().clone()).validate(&policy.cedar, ValidationMode::Strict);
    let warn = |warning: &cedar_policy::ValidationWarning| {
        let id: &str = warning.policy_id().as_ref();
        let rule = policy.rules().iter().find(|rule| rule.id == id);
        let place = rule.map_or_else(String::new, super::Rule::place);
        Warning { place, what: warning.to_string() }
    };
    result.validation_warnings().map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Source;

    fn warnings(text: &str) -> Vec<String> {
        let source = Source { name: "a.cedar".to_owned(), text: text.to_owned() };
        let sources: Vec<_> = (!text.is_empty()).then_some(source).into_iter().collect();
        let policy = Policy::parse(&sources).expect("valid");
        let warnings = lint(&policy, &Found::default());
        warnings.into_iter().map(|warning| format!("{} {}", warning.place, warning.what)).collect()
    }

    fn rule(id: &str, action: &str, when: &str) -> String {
        format!(
            "@id({id:?}) @says(\"for a test\")\n\
             permit (principal, action == Action::{action:?}, resource) when {{ {when} }};\n"
        )
    }

    #[test]
    fn the_defaults_are_not_odd() {
        assert_eq!(lint(&Policy::defaults(), &Found::default()), Vec::new());
    }

    #[test]
    fn tells_who_lets_everybody_in() {
        let everything = "a.cedar:1 rule \"open\" permits everything to everybody";
        let check = |text: &str, says: &str| {
            let warnings = warnings(text);
            assert!(warnings.iter().any(|warning| warning.starts_with(says)), "{warnings:?}");
        };
        check(&rule("open", "read", "true"), everything);
        check(&rule("open", "read", "1 < 2 || principal in Role::\"doctor\""), everything);
        check(
            &rule("break-glass-open", "break-glass", "true"),
            "a.cedar:1 rule \"break-glass-open\" permits everything to everybody",
        );
        let unnamed = "a.cedar:1 rule \"treating\" permits roles that it does not name";
        check(&rule("treating", "read", "context.purpose == Purpose::\"TREAT\""), unnamed);
        check(&rule("treating", "read", "principal in MemberRole::\"HOSPITAL\""), unnamed);
        check(
            &rule("treating", "read", "context.assurance == Assurance::\"TOKEN_VERIFIED\""),
            unnamed,
        );
        check(
            &rule("treating", "read", "resource.confidentiality == Confidentiality::\"V\""),
            unnamed,
        );
        check("", " no rule permits anything");
        // What can never be is Cedar's to tell.
        check(&rule("never", "read", "principal in Role::\"doctor\" && false"), "a.cedar:1 ");
        assert_eq!(warnings(&rule("fine", "read", "principal in Role::\"doctor\"")), [""; 0]);
    }

    #[test]
    fn tells_what_in_the_folder_is_not_read() {
        let found = Found {
            sources: Vec::new(),
            other_schema: Some("old.cedarschema".to_owned()),
            unread: vec!["rules.txt".to_owned()],
        };
        let places: Vec<_> =
            lint(&Policy::defaults(), &found).into_iter().map(|warning| warning.place).collect();
        assert_eq!(places, ["old.cedarschema", "rules.txt"]);
    }
}
