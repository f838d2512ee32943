//! Which rule decided, and for a refusal which single change of the request would have been permitted.
//!
//! "Nearest" is not guessed from how rules are written: each change is asked of the policy, and what is told was
//! permitted. Changes of two values at once, and codes of classes, are not tried.

use std::collections::BTreeSet;

use super::facts::{ASSURANCES, BadFact, Facts, LEVELS, MEMBER_ROLES, Named, PURPOSES, REASONS};
use super::{Decision, Policy};

/// A decision with what would have changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// Where the rule stands. `None`: no rule decided.
    pub place: Option<String>,
    /// For a refusal: changes of one value that would be permitted.
    pub nearest: Vec<Change>,
}

/// One value said otherwise, and the rule that permits then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The value, by its name on the command line.
    pub option: &'static str,
    /// What it would be. `None`: left out.
    pub value: Option<String>,
    /// The rule that permits then.
    pub rule: String,
}

/// Decides, and tries what would have changed a refusal.
///
/// # Errors
/// When a value is none of those it can be.
pub fn explain(policy: &Policy, facts: &Facts) -> Result<Explanation, BadFact> {
    let decision = decide(policy, facts)?;
    let rule = policy.rules().iter().find(|rule| rule.id == decision.rule);
    let mut nearest = BTreeSet::new();
    if !decision.permit {
        for (option, value, changed) in variations(policy, facts) {
            // What is tried comes from the policies: a name in them may be none that a member can have.
            let Ok(decision) = decide(policy, &changed) else { continue };
            if decision.permit {
                nearest.insert(Change { option, value, rule: decision.rule });
            }
        }
    }
    let place = rule.map(super::Rule::place);
    Ok(Explanation { decision, place, nearest: nearest.into_iter().collect() })
}

fn decide(policy: &Policy, facts: &Facts) -> Result<Decision, BadFact> {
    let (request, resource) = facts.judged()?;
    Ok(policy.decide(&request, &resource))
}

type Variation = (&'static str, Option<String>, Facts);

/// The same request with one value said otherwise: each that a closed list has, or that a rule names.
fn variations(policy: &Policy, facts: &Facts) -> Vec<Variation> {
    let mut all: Vec<Variation> = Vec::new();
    let mut vary = |option, values: Vec<String>, set: fn(&mut Facts, String)| {
        for value in values {
            let mut changed = facts.clone();
            set(&mut changed, value.clone());
            all.push((option, Some(value), changed));
        }
    };
    vary("role", literals(policy, "Role"), |facts, value| facts.role = value);
    vary("purpose", names(&PURPOSES), |facts, value| facts.purpose = value);
    vary("assurance", names(&ASSURANCES), |facts, value| facts.assurance = value);
    vary("break-glass", names(&REASONS), |facts, value| facts.break_glass = Some(value));
    vary("member", literals(policy, "Member"), |facts, value| facts.member = value);
    vary("member-role", names(&MEMBER_ROLES), |facts, value| facts.member_role = vec![value]);
    vary("unit", literals(policy, "Unit"), |facts, value| facts.unit = Some(value));
    vary("confidentiality", names(&LEVELS), |facts, value| facts.confidentiality = value);
    vary("author-unit", literals(policy, "Unit"), |facts, value| facts.author_unit = Some(value));
    if facts.break_glass.is_some() {
        all.push(("break-glass", None, Facts { break_glass: None, ..facts.clone() }));
    }
    all
}

fn names<T: Named>(all: &[T]) -> Vec<String> {
    all.iter().map(|one| one.name().to_owned()).collect()
}

/// What rules name of this kind.
fn literals(policy: &Policy, kind: &str) -> Vec<String> {
    let all = policy.cedar.policies().flat_map(cedar_policy::Policy::entity_literals);
    let of_kind = all.filter(|literal| literal.type_name().basename() == kind);
    let named: BTreeSet<String> =
        of_kind.map(|literal| literal.id().unescaped().to_owned()).collect();
    named.into_iter().collect()
}
