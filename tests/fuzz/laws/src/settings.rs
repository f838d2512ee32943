//! Laws of the configuration and of policies: meaning does not depend on spelling.

use std::path::Path;
use std::sync::OnceLock;

use sundbro_gateway::config::{Config, Endpoint};
use sundbro_gateway::policy::table::{self, Case};
use sundbro_gateway::policy::{Decision, Effect, MAX_RULE_ID_BYTES, Policy, Source};

use crate::Verdict;

/// Bytes as `gateway.toml`.
pub fn gateway(bytes: &[u8]) -> Verdict {
    let Ok(text) = core::str::from_utf8(bytes) else { return Verdict::Refused };
    let file = Path::new("gateway.toml");
    let read = Config::parse(text, file, false);
    match &read {
        Ok(config) => {
            if let Some(other) = other_toml(text) {
                assert_eq!(
                    Config::parse(&other, file, false).ok().as_ref(),
                    Some(config),
                    "{other}"
                );
            }
            for endpoint in config.dial.values() {
                assert_eq!(Endpoint::parse(&endpoint.to_string()).as_ref(), Some(endpoint));
            }
        }
        Err(error) => {
            assert!(!error.problems.is_empty(), "refused without a reason");
            let unhelpful = error.problems.iter().find(|problem| problem.remedy.is_empty());
            assert!(unhelpful.is_none(), "{unhelpful:?}");
        }
    }
    Verdict::of(&read)
}

/// Bytes as a file of policies.
pub fn policy(bytes: &[u8]) -> Verdict {
    let Ok(text) = core::str::from_utf8(bytes) else { return Verdict::Refused };
    let read = rules(text.to_owned());
    match &read {
        Ok(policy) => {
            let other = rules(format!("// permit (principal, action, resource);\n\n{text}\n// }}"));
            let other = other.expect("the same policy, with comments");
            for case in cases() {
                let decided = decide(policy, case);
                assert_eq!(decided, decide(&other, case), "{case:?}");
                may_stand(policy, &decided);
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let unhelpful = problems.iter().find(|problem| problem.cure.is_empty());
            assert!(unhelpful.is_none(), "{unhelpful:?}");
        }
    }
    Verdict::of(&read)
}

fn rules(text: String) -> Result<Policy, Vec<sundbro_gateway::policy::Problem>> {
    Policy::parse(&[Source { name: "rules.cedar".into(), text }])
}

/// Without the digest, which is that of the file's bytes.
fn decide(policy: &Policy, case: &Case) -> Decision {
    Decision { policy_sha256: [0; 32], ..case.run(policy).0 }
}

/// A rule's id stands in signed messages, and permits only where a rule does.
fn may_stand(policy: &Policy, decided: &Decision) {
    assert!(!decided.rule.is_empty() && decided.rule.len() <= MAX_RULE_ID_BYTES);
    assert!(decided.rule.bytes().all(|byte| byte.is_ascii_graphic()), "{decided:?}");
    assert!(!decided.sentence.contains(char::is_control), "{decided:?}");
    let rule = policy.rules().iter().find(|rule| rule.id == decided.rule);
    if decided.permit {
        assert_eq!(rule.map(|rule| rule.effect), Some(Effect::Permit), "{decided:?}");
    }
}

/// The questions that the default policies are tested with.
fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    let table = include_str!("../../../../gateway/policy/cases.toml");
    CASES.get_or_init(|| table::parse(table).expect("ours"))
}

/// Bytes as a table of cases for `sundbro policy test`.
pub fn policy_cases(bytes: &[u8]) -> Verdict {
    static DEFAULTS: OnceLock<Policy> = OnceLock::new();
    let Ok(text) = core::str::from_utf8(bytes) else { return Verdict::Refused };
    let read = table::parse(text);
    if let Ok(cases) = &read {
        if let Some(other) = other_toml(text) {
            let other = table::parse(&other).expect("the same table, written differently");
            assert_eq!(*cases, other);
        }
        let policy = DEFAULTS.get_or_init(Policy::defaults);
        for case in cases {
            may_stand(policy, &decide(policy, case));
        }
        assert_eq!(policy.failed(), None, "a default rule cannot be evaluated");
    }
    Verdict::of(&read)
}

/// The same TOML as a program writes it.
fn other_toml(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    toml::to_string_pretty(&table).ok()
}
