//! Laws of the configuration and of policies: meaning does not depend on spelling.

use std::path::Path;

use sundbro_gateway::config::{Config, Endpoint};
use sundbro_gateway::retrieval::policy::Policy;

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

/// Bytes as `policy.toml`.
pub fn policy(bytes: &[u8]) -> Verdict {
    let Ok(text) = core::str::from_utf8(bytes) else { return Verdict::Refused };
    let read = Policy::parse(text);
    if let Ok(policy) = &read
        && let Some(other) = other_toml(text)
    {
        let other = Policy::parse(&other).expect("the same policy, written differently");
        assert_eq!(rules(policy), rules(&other));
    }
    Verdict::of(&read)
}

/// The rules without the digest of the file.
fn rules(policy: &Policy) -> String {
    let shown = format!("{policy:?}");
    let end = shown.rfind(", sha256: ").expect("a policy ends with its digest");
    shown[..end].to_owned()
}

/// The same TOML as a program writes it.
fn other_toml(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    toml::to_string_pretty(&table).ok()
}
