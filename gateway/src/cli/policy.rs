//! `sundbro policy`: checks policies, explains one decision, and tests a table of them; no gateway is asked.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{CliError, Exit, Output};
use crate::config::Config;
use crate::policy::explain::{Change, Explanation, explain};
use crate::policy::facts::Facts;
use crate::policy::table::{self, Case};
use crate::policy::{Policy as Policies, Warning, find, lint};

/// Largest table of cases in bytes.
const MAX_TABLE_BYTES: u64 = 1024 * 1024;

/// `sundbro policy`.
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check policies against the schema, and tell what is odd.
    Check {
        /// The folder of policies. Left out: the one that the configuration names.
        dir: Option<PathBuf>,
        #[command(flatten)]
        configured: Configured,
    },
    /// Say which rule decides a request, and for a refusal what would have been permitted. Exits 4 for a refusal.
    Explain {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        facts: Box<Facts>,
    },
    /// Decide every case of a table and compare with what the table expects.
    Test {
        /// The table: TOML, `[[case]]`, with `expect` and what `explain` takes, hyphens written as underscores.
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
struct Configured {
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Of {
    /// The folder of policies. Left out: the one that the configuration names.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    configured: Configured,
}

impl Policy {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::Check { dir, configured } => check(&configured.dir(dir)?, output),
            Action::Explain { of, facts } => {
                let dir = of.configured.dir(of.policy)?;
                explain_one(&Policies::load(&dir)?, &facts, output)
            }
            Action::Test { file, of } => {
                let dir = of.configured.dir(of.policy)?;
                test(&Policies::load(&dir)?, &file, output)
            }
        }
    }
}

impl Configured {
    /// The folder that was named, or the configured one.
    fn dir(&self, named: Option<PathBuf>) -> Result<PathBuf, CliError> {
        let none = "the configuration names no policy folder: nobody is granted anything; name one in [policy], or here";
        match named {
            Some(dir) => Ok(dir),
            None => {
                let config = Config::load(&self.config)?;
                config.policy_dir.ok_or_else(|| CliError::new(Exit::Usage, none))
            }
        }
    }
}

fn check(dir: &Path, output: Output) -> Result<(), CliError> {
    let policy = Policies::load(dir)?;
    let found = find(dir)?;
    let warnings = lint(&policy, &found);
    let sha256 = hex::encode(policy.sha256());
    let (rules, files) = (policy.rules().len(), found.sources.len());
    let mut text = format!("{}: {rules} rules in {files} files are valid", dir.display());
    for rule in policy.rules() {
        text.push_str(&format!("\n  {} ({}): {}", rule.id, rule.place(), rule.sentence));
    }
    for Warning { place, what } in &warnings {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        text.push_str(&format!("\nwarning: {place}{what}"));
    }
    text.push_str(&format!("\npolicy SHA-256 {sha256}"));
    let json = serde_json::json!({
        "dir": dir,
        "valid": true,
        "sha256": sha256,
        "rules": policy.rules().iter().map(|rule| serde_json::json!({
            "id": rule.id, "says": rule.sentence, "effect": rule.effect.to_string(),
            "file": rule.file, "line": rule.line,
        })).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(|warning| serde_json::json!({
            "place": warning.place, "what": warning.what,
        })).collect::<Vec<_>>(),
    });
    output.print(&text, &json);
    Ok(())
}

fn explain_one(policy: &Policies, facts: &Facts, output: Output) -> Result<(), CliError> {
    let explained = explain(policy, facts).map_err(|error| CliError::new(Exit::Usage, error))?;
    let Explanation { decision, place, nearest } = &explained;
    let verdict = if decision.permit { "PERMIT" } else { "DENY" };
    let place = place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
    let mut text = format!("{verdict} by {}{place}: {}", decision.rule, decision.sentence);
    for change in nearest {
        text.push_str(&format!("\n  {}", change_line(change)));
    }
    let sha256 = hex::encode(decision.policy_sha256);
    text.push_str(&format!("\npolicy SHA-256 {sha256}"));
    let json = serde_json::json!({
        "permit": decision.permit, "rule": decision.rule, "says": decision.sentence,
        "place": explained.place, "policy_sha256": sha256,
        "nearest": nearest.iter().map(|change| serde_json::json!({
            "option": change.option, "value": change.value, "rule": change.rule,
        })).collect::<Vec<_>>(),
    });
    output.print(&text, &json);
    match decision.permit {
        true => Ok(()),
        false => Err(CliError::new(Exit::Denied, "the policy refuses this request")),
    }
}

fn change_line(Change { option, value, rule }: &Change) -> String {
    match value {
        Some(value) => format!("with --{option} {value:?}: permitted by {rule}"),
        None => format!("without --{option}: permitted by {rule}"),
    }
}

fn test(policy: &Policies, file: &Path, output: Output) -> Result<(), CliError> {
    let cases = read_table(file)?;
    let mut failed = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let (decision, as_expected) = case.run(policy);
        if !as_expected {
            let verdict = if decision.permit { "permit" } else { "deny" };
            failed.push((at + 1, &case.expect, verdict, decision.rule));
        }
    }
    let mut text: String = failed
        .iter()
        .map(|(case, expect, verdict, rule)| {
            format!("case {case}: expected {expect}, got {verdict} by {rule}\n")
        })
        .collect();
    let (count, wrong) = (cases.len(), failed.len());
    text.push_str(&format!("{count} cases: {} as expected, {wrong} not", count - wrong));
    let json = serde_json::json!({
        "cases": count, "policy_sha256": hex::encode(policy.sha256()),
        "unexpected": failed.iter().map(|(case, expect, verdict, rule)| serde_json::json!({
            "case": case, "expect": expect, "decision": verdict, "rule": rule,
        })).collect::<Vec<_>>(),
    });
    output.print(&text, &json);
    match failed.is_empty() {
        true => Ok(()),
        false => Err(CliError::new(Exit::Failed, "the policy decides otherwise than the table")),
    }
}

fn read_table(file: &Path) -> Result<Vec<Case>, CliError> {
    let wrong = |what: String| CliError::new(Exit::Usage, format!("{}: {what}", file.display()));
    let length = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if length > MAX_TABLE_BYTES {
        return Err(wrong(format!("is longer than {MAX_TABLE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    table::parse(&text).map_err(|error| wrong(crate::status::chain(&error)))
}
