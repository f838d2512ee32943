//! The policies in force: parsed, checked against the schema, and asked.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use cedar_policy::{
    Authorizer, Decision as CedarDecision, PolicyId, PolicySet, ValidationMode, Validator,
};
use miette::Diagnostic;

use super::error::{PolicyError, Problem};
use super::folder::{Source, digest, find};
use super::rule::Rule;
use super::{DEFAULT_RULE, Decision, RULE_FAILED, Request, Resource, defaults, entities};

/// Most rules of one gateway.
const MAX_RULES: usize = 1024;

/// Policies that can be asked.
#[derive(Debug)]
pub struct Policy {
    /// In order of file and line: the first of several that decide is the one that is named.
    rules: Vec<Rule>,
    pub(super) cedar: PolicySet,
    sha256: [u8; 32],
    /// What could not be evaluated first: told once for each set, not for each request.
    failed: OnceLock<String>,
}

impl Policy {
    /// The policy of a gateway without one: nothing is permitted.
    pub fn deny_all() -> Self {
        Self::from_checked(Vec::new(), PolicySet::new(), &[])
    }

    /// The default policies.
    pub fn defaults() -> Self {
        Self::parse(&defaults::sources()).expect("the defaults are files here, which a test parses")
    }

    /// Reads and checks a folder.
    ///
    /// # Errors
    /// When it cannot be read, or with everything that is wrong in it.
    pub fn load(dir: &Path) -> Result<Self, PolicyError> {
        let sources = find(dir)?.sources;
        Self::parse(&sources)
            .map_err(|problems| PolicyError::Invalid { dir: dir.to_owned(), problems })
    }

    /// Checks the texts of policies.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn parse(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut read = Reading::default();
        for source in sources {
            read.file(source, &mut problems);
        }
        if read.rules.len() > MAX_RULES {
            let what = format!("there are more than {MAX_RULES} rules");
            problems.push(Problem::new(("", None), what, "join some"));
        }
        // What one file says wrongly would be told again of the whole.
        if problems.is_empty() {
            read.validate(sources, &mut problems);
        }
        problems.sort();
        match problems.is_empty() {
            true => Ok(Self::from_checked(read.rules, read.cedar, sources)),
            false => Err(problems),
        }
    }

    fn from_checked(rules: Vec<Rule>, cedar: PolicySet, sources: &[Source]) -> Self {
        Self { rules, cedar, sha256: digest(sources), failed: OnceLock::new() }
    }

    /// The rules, in order of file and line.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The digest that grants carry: over the schema and the files.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Where a rule stands that could not be evaluated. Requests that meet it are refused.
    pub fn failed(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// Decides. Cedar evaluates every rule, whatever the others said: a refusal takes the same work as a permit.
    pub fn decide(&self, request: &Request, resource: &Resource) -> Decision {
        let question = match entities::question(request, resource) {
            Ok(Some(question)) => question,
            Ok(None) => return self.decision(false, DEFAULT_RULE, NOTHING_PERMITS),
            Err(error) => {
                self.tell_failure(|| error.to_string());
                return self.decision(false, RULE_FAILED, "the request could not be judged");
            }
        };
        let answer =
            Authorizer::new().is_authorized(&question.request, &self.cedar, &question.entities);
        let failed = answer.diagnostics().errors().map(|error| match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
        });
        // Cedar leaves out a rule that fails. It may be one that forbids, so nothing is permitted without it.
        if let Some(rule) = self.first(failed) {
            // Only the rule is told: Cedar's message could quote who asked.
            self.tell_failure(|| rule.place());
            let sentence = format!("rule {} could not be evaluated", rule.id);
            return self.decision(false, RULE_FAILED, &sentence);
        }
        let permit = answer.decision() == CedarDecision::Allow;
        match self.first(answer.diagnostics().reason()) {
            Some(rule) => self.decision(permit, &rule.id, &rule.sentence),
            None => self.decision(false, DEFAULT_RULE, NOTHING_PERMITS),
        }
    }

    fn decision(&self, permit: bool, rule: &str, sentence: &str) -> Decision {
        let (rule, sentence) = (rule.to_owned(), sentence.to_owned());
        Decision { permit, rule, sentence, policy_sha256: self.sha256 }
    }

    /// The first of these in order of file and line: Cedar gives them in none.
    fn first<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Option<&Rule> {
        let named: BTreeSet<&str> = ids.map(AsRef::as_ref).collect();
        self.rules.iter().find(|rule| named.contains(rule.id.as_str()))
    }

    fn tell_failure(&self, what: impl FnOnce() -> String) {
        let mut is_first = false;
        let what = self.failed.get_or_init(|| {
            is_first = true;
            what()
        });
        if is_first {
            let reason = crate::reason::POLICY_RULE_FAILED;
            tracing::error!(%reason, what, "a rule cannot be evaluated: {}", reason.cure);
        }
    }
}

/// The sentence of the default.
const NOTHING_PERMITS: &str = "no rule permits it";

/// What was read so far.
#[derive(Default)]
struct Reading {
    rules: Vec<Rule>,
    cedar: PolicySet,
    places: BTreeMap<String, String>,
}

impl Reading {
    fn file(&mut self, source: &Source, problems: &mut Vec<Problem>) {
        let parsed: PolicySet = match source.text.parse() {
            Ok(parsed) => parsed,
            Err(errors) => {
                let errors: cedar_policy::ParseErrors = errors;
                let cure = "correct it; docs/policy.md shows how a rule is written";
                problems.extend(errors.iter().map(|error| problem_of(error, source, cure)));
                return;
            }
        };
        if parsed.num_of_templates() > 0 {
            let what = "has a template (?principal or ?resource), which nothing fills in";
            problems.push(Problem::new((&source.name, None), what, "write the rule out"));
        }
        // Cedar numbers what it reads, in the order of the file.
        let count = parsed.num_of_policies() + parsed.num_of_templates();
        if count == 0 {
            // An editor empties a file before it fills it, and a disk that was full leaves one empty: a rule that forbids
            // must not be missing then.
            let what = "holds no rule";
            problems.push(Problem::new(
                (&source.name, None),
                what,
                "write one, or remove the file",
            ));
        }
        let policies = (0..count).map(|n| parsed.policy(&PolicyId::new(format!("policy{n}"))));
        for (at, policy) in policies.flatten().enumerate() {
            match Rule::new(policy, source, at + 1) {
                Ok(rule) => self.rule(rule, policy, problems),
                Err(problem) => problems.push(problem),
            }
        }
    }

    fn rule(&mut self, rule: Rule, policy: &cedar_policy::Policy, problems: &mut Vec<Problem>) {
        match self.places.entry(rule.id.clone()) {
            Entry::Occupied(first) => {
                let what = format!("rule {:?} is also at {}", rule.id, first.get());
                let place = (rule.file.as_str(), Some(rule.line));
                problems.push(Problem::new(place, what, "give each rule an id of its own"));
            }
            Entry::Vacant(place) => {
                place.insert(rule.place());
                let named = policy.new_id(PolicyId::new(&rule.id));
                if let Err(error) = self.cedar.add(named) {
                    let place = (rule.file.as_str(), Some(rule.line));
                    problems.push(Problem::new(place, error.to_string(), "correct it"));
                }
                self.rules.push(rule);
            }
        }
    }

    /// Strictly: a rule that could meet a value of another type, or none, is refused here and not found out later.
    fn validate(&self, sources: &[Source], problems: &mut Vec<Problem>) {
        let result = Validator::new(defaults::schema().clone())
            .validate(&self.cedar, ValidationMode::Strict);
        for error in result.validation_errors() {
            let id: &str = error.policy_id().as_ref();
            let rule = self.rules.iter().find(|rule| rule.id == id);
            let source =
                rule.and_then(|rule| sources.iter().find(|source| source.name == rule.file));
            let cure = "write what sundbro.cedarschema allows; docs/policy.md lists it";
            problems.push(match source {
                Some(source) => problem_of(error, source, cure),
                None => Problem::new(("", None), error.to_string(), cure),
            });
        }
    }
}

/// What Cedar says is wrong, with its line.
fn problem_of<E>(error: &E, source: &Source, cure: &str) -> Problem
where
    E: Diagnostic + ?Sized,
{
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let line = offset.and_then(|offset| source.text.get(..offset)).map(|before| {
        // The place itself counts, whether or not its line has begun.
        before.matches('\n').count() + 1
    });
    let help = error.help().map_or_else(String::new, |help| format!(" ({help})"));
    let what = format!("{error}{help}").replace('\n', " ");
    Problem::new((&source.name, line), what, cure)
}
