//! The one place that decides whether a record may leave: `decide(request, resource)`, deny by default.
//!
//! Behind the seam stands a table of role × purpose from a TOML file. A rule permits or it does not match; nothing
//! forbids, so the order of rules does not matter and the first one by file order is the one that is named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::ids::MemberName;
use sundbro_proto::ledger::v1::{Assurance, BreakGlassReason, PurposeOfUse};

/// Largest policy file in bytes.
const MAX_POLICY_BYTES: u64 = 256 * 1024;
/// Most rules in one policy.
const MAX_RULES: usize = 1024;
/// Longest rule id in bytes: it travels in every grant.
pub const MAX_RULE_ID_BYTES: usize = 64;

/// Who asks, and why: the signed request, as far as policy reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The member that asks.
    pub requester: MemberName,
    /// The user's role.
    pub role: String,
    /// Why.
    pub purpose: PurposeOfUse,
    /// Why the glass is broken. `Unspecified` when it is not.
    pub break_glass: BreakGlassReason,
    /// How the requester knows all this.
    pub assurance: Assurance,
}

/// What is asked for. An absent record is judged too, as a fixed decoy, so that both take the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Class of the document: code system and code. `None` when the source does not say.
    pub class: Option<(String, String)>,
    /// The unit in which it was written.
    pub author_unit: Option<(String, String)>,
}

impl Resource {
    /// Stands for a record that is not here.
    pub fn decoy() -> Self {
        Self { class: None, author_unit: None }
    }
}

/// What was decided, by which rule of which policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the record may leave.
    pub permit: bool,
    /// The rule that permitted; [`DEFAULT_RULE`] when none did.
    pub rule: String,
    /// The decision in a sentence, for the operator and the audit log.
    pub sentence: String,
    /// SHA-256 of the policy file.
    pub policy_sha256: [u8; 32],
}

/// Stands in a decision where no rule permitted.
pub const DEFAULT_RULE: &str = "default-deny";

/// Why a policy file was not taken. The policy before it stays in force; without one nothing is permitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It cannot be read.
    #[error("policy {0} cannot be read: check the path in [policy] and its permissions")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// It is no policy.
    #[error("policy {file} is not valid: {problem}")]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the place, and what to write instead.
        problem: String,
    },
}

/// A policy in force.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
    sha256: [u8; 32],
}

#[derive(Debug, Clone)]
struct Rule {
    id: String,
    sentence: String,
    /// Empty: any member.
    requesters: BTreeSet<MemberName>,
    roles: BTreeSet<String>,
    purposes: Vec<PurposeOfUse>,
    /// Empty: any class, and records that say none.
    classes: BTreeSet<(String, String)>,
    break_glass: bool,
    token_only: bool,
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    rule: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    /// Short name; travels in grants.
    id: String,
    /// Why it permits, for people.
    sentence: String,
    /// Members that it is for; absent: every active member.
    #[serde(default)]
    requesters: Vec<String>,
    /// Roles that it is for. Never empty.
    roles: Vec<String>,
    /// Purposes of use (HL7 v3 codes). Never empty.
    purposes: Vec<String>,
    /// Document classes, `system|code`; absent: every class.
    #[serde(default)]
    classes: Vec<String>,
    /// Only for requests that break the glass.
    #[serde(default)]
    break_glass: bool,
    /// Only when a token was verified.
    #[serde(default)]
    token_verified_only: bool,
}

impl Policy {
    /// The policy of a gateway without one: nothing is permitted.
    pub fn deny_all() -> Self {
        Self { rules: Vec::new(), sha256: Sha256::digest(b"").into() }
    }

    /// Reads and checks a policy file.
    ///
    /// # Errors
    /// When it cannot be read or a rule is not valid.
    pub fn load(file: &Path) -> Result<Self, PolicyError> {
        use std::io::Read as _;
        let unreadable = |error| PolicyError::Unreadable(file.to_owned(), error);
        let mut text = String::new();
        std::fs::File::open(file)
            .map_err(unreadable)?
            .take(MAX_POLICY_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        let malformed = |problem| PolicyError::Malformed { file: file.to_owned(), problem };
        if text.len() as u64 > MAX_POLICY_BYTES {
            return Err(malformed(format!("it is longer than {MAX_POLICY_BYTES} bytes")));
        }
        Self::parse(&text).map_err(malformed)
    }

    /// Checks the text of a policy.
    ///
    /// # Errors
    /// With what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: PolicyFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.rule.len() > MAX_RULES {
            return Err(format!("it has more than {MAX_RULES} rules: join some"));
        }
        let rules = file.rule.into_iter().map(Rule::new).collect::<Result<Vec<_>, _>>()?;
        let ids: BTreeSet<_> = rules.iter().map(|rule| &rule.id).collect();
        if ids.len() != rules.len() {
            return Err("two rules have the same id: give each its own".to_owned());
        }
        Ok(Self { rules, sha256: Sha256::digest(text.as_bytes()).into() })
    }

    /// SHA-256 of the policy file.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Decides. Every rule is looked at, whatever matched before: a refusal takes the same work as a permit.
    pub fn decide(&self, request: &Request, resource: &Resource) -> Decision {
        let mut found = None;
        for rule in &self.rules {
            if rule.matches(request, resource) && found.is_none() {
                found = Some(rule);
            }
        }
        let (permit, rule, sentence) = match found {
            Some(rule) => (true, rule.id.as_str(), rule.sentence.as_str()),
            None => (false, DEFAULT_RULE, "no rule permits this role and purpose"),
        };
        Decision {
            permit,
            rule: rule.to_owned(),
            sentence: sentence.to_owned(),
            policy_sha256: self.sha256,
        }
    }
}

impl Rule {
    fn new(file: RuleFile) -> Result<Self, String> {
        let RuleFile { id, sentence, requesters, roles, purposes, classes, .. } = file;
        let named = |what: &str| format!("rule {id:?}: {what}");
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || id.len() > MAX_RULE_ID_BYTES || !id.bytes().all(fits) {
            return Err(named("an id has 1 to 64 of a-z, 0-9 and hyphen"));
        }
        if id == DEFAULT_RULE {
            return Err(named("this id stands for the absence of a rule"));
        }
        if sentence.trim().is_empty() {
            return Err(named("say in `sentence` why it permits"));
        }
        if roles.is_empty() || purposes.is_empty() {
            return Err(named("name at least one of `roles` and one of `purposes`"));
        }
        let requesters = requesters
            .iter()
            .map(|name| MemberName::new(name))
            .collect::<Result<_, _>>()
            .map_err(|error| named(&format!("`requesters`: {error}")))?;
        let purposes = purposes
            .iter()
            .map(|code| {
                crate::config::purpose(code).ok_or_else(|| {
                    named("`purposes` are TREAT, ETREAT, PATRQT or HOPERAT (HL7 v3 PurposeOfUse)")
                })
            })
            .collect::<Result<_, _>>()?;
        let classes = classes
            .iter()
            .map(|class| match class.split_once('|') {
                Some((system, code)) => Ok((system.to_owned(), code.to_owned())),
                None => Err(named("`classes` are written `system|code`")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            requesters,
            purposes,
            classes,
            roles: roles.into_iter().collect(),
            break_glass: file.break_glass,
            token_only: file.token_verified_only,
            id,
            sentence,
        })
    }

    fn matches(&self, request: &Request, resource: &Resource) -> bool {
        let glass = request.break_glass != BreakGlassReason::Unspecified;
        let requester = self.requesters.is_empty() || self.requesters.contains(&request.requester);
        let role = self.roles.contains(&request.role);
        let purpose = self.purposes.contains(&request.purpose);
        let class = self.classes.is_empty()
            || resource.class.as_ref().is_some_and(|class| self.classes.contains(class));
        let assurance = !self.token_only || request.assurance == Assurance::TokenVerified;
        requester && role && purpose && class && assurance && self.break_glass == glass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[rule]]
        id = "treating-staff"
        sentence = "midwives and health visitors may read for treatment"
        roles = ["midwife", "health-visitor"]
        purposes = ["TREAT"]

        [[rule]]
        id = "lab-for-doctors"
        sentence = "doctors of the hospital may read laboratory reports"
        requesters = ["hospital.example"]
        roles = ["doctor"]
        purposes = ["TREAT"]
        classes = ["http://loinc.org|11502-2"]

        [[rule]]
        id = "emergency"
        sentence = "a doctor may break the glass"
        roles = ["doctor"]
        purposes = ["ETREAT"]
        break_glass = true
    "#;

    fn request(requester: &str, role: &str, purpose: PurposeOfUse) -> Request {
        Request {
            requester: MemberName::new(requester).expect("name"),
            role: role.to_owned(),
            purpose,
            break_glass: BreakGlassReason::Unspecified,
            assurance: Assurance::ClientAsserted,
        }
    }

    fn lab() -> Resource {
        let class = Some(("http://loinc.org".to_owned(), "11502-2".to_owned()));
        Resource { class, author_unit: None }
    }

    #[test]
    fn decides_by_role_purpose_requester_class_and_glass() {
        use PurposeOfUse::{EmergencyTreatment, PatientRequest, Treatment};
        let policy = Policy::parse(TEXT).expect("policy");
        let check = |request: &Request, resource: &Resource, rule: &str| {
            let decision = policy.decide(request, resource);
            assert_eq!(decision.rule, rule, "{request:?}");
            assert_eq!(decision.permit, rule != DEFAULT_RULE);
            assert_eq!(&decision.policy_sha256, policy.sha256());
        };
        let decoy = Resource::decoy();
        check(&request("kommune.example", "midwife", Treatment), &decoy, "treating-staff");
        check(&request("kommune.example", "midwife", PatientRequest), &decoy, DEFAULT_RULE);
        check(&request("kommune.example", "clerk", Treatment), &decoy, DEFAULT_RULE);
        check(&request("hospital.example", "doctor", Treatment), &lab(), "lab-for-doctors");
        check(&request("hospital.example", "doctor", Treatment), &decoy, DEFAULT_RULE);
        check(&request("kommune.example", "doctor", Treatment), &lab(), DEFAULT_RULE);
        let mut emergency = request("kommune.example", "doctor", EmergencyTreatment);
        check(&emergency, &decoy, DEFAULT_RULE);
        emergency.break_glass = BreakGlassReason::VitalInterest;
        check(&emergency, &decoy, "emergency");
    }

    #[test]
    fn without_a_rule_nothing_is_permitted() {
        let decision = Policy::deny_all()
            .decide(&request("a.example", "doctor", PurposeOfUse::Treatment), &lab());
        assert!(!decision.permit);
        assert!(Policy::parse("").expect("empty").rules.is_empty());
    }

    #[test]
    fn says_what_is_wrong_with_a_rule() {
        let check = |from: &str, to: &str, says: &str| {
            let problem = Policy::parse(&TEXT.replacen(from, to, 1)).expect_err(to);
            assert!(problem.contains(says), "{problem}");
        };
        check("\"treating-staff\"", "\"Treating staff\"", "1 to 64 of a-z");
        check("\"lab-for-doctors\"", "\"treating-staff\"", "same id");
        check("\"treating-staff\"", "\"default-deny\"", "absence of a rule");
        check("[\"midwife\", \"health-visitor\"]", "[]", "at least one");
        check("\"TREAT\"", "\"treat\"", "TREAT, ETREAT");
        check("http://loinc.org|", "", "system|code");
        check("roles", "rolls", "unknown field");
        check("hospital.example", "Hospital", "requesters");
    }
}
