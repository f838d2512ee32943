//! `sundbro log evidence`: what is held against the writers of logs, and a file of it for outsiders.

use std::path::Path;

use prost::Message as _;
use sundbro_ledger::evidence::{Evidence, EvidenceEffect, assemble_evidence};
use sundbro_ledger::history::CharterHistory;

use super::{DataArgs, log_of};
use crate::charter_book::stored_history;
use crate::cli::files::write_new;
use crate::cli::{CliError, Exit, Output};
use crate::status::chain;

/// Lists the evidence that is held, with what it does by the charter in the store, and writes the one that counts most.
pub(super) fn list(
    member: Option<&str>,
    out: Option<&Path>,
    data: &DataArgs,
    output: Output,
) -> Result<(), CliError> {
    let (store, federation) = data.open()?;
    let charter = stored_history(&store, &federation)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let log = member.map(|member| log_of(member, &federation)).transpose()?.map(|(_, log)| log);
    let mut held =
        store.evidence(log.as_ref()).map_err(|error| CliError::new(Exit::Failed, error))?;
    held.sort_by_key(|one| (one.log(), one.parting().unwrap_or(u64::MAX), one.digest()));
    let shown: Vec<Shown> = held.iter().map(|one| Shown::of(one, &charter)).collect();
    if let Some(file) = out {
        write(&held, &charter, file)?;
    }
    let lines: Vec<String> = shown.iter().map(Shown::line).collect();
    let text = match lines.is_empty() {
        true => "nothing is held against anybody".to_owned(),
        false => lines.join("\n"),
    };
    let json = serde_json::json!({
        "evidence": shown.iter().map(Shown::json).collect::<Vec<_>>(), "file": out,
    });
    output.print(&text, &json);
    Ok(())
}

fn write(held: &[Evidence], charter: &CharterHistory, file: &Path) -> Result<(), CliError> {
    let convicts = |one: &&Evidence| one.verify(charter).is_ok();
    let none = || CliError::new(Exit::NotFound, "no evidence is held that convicts this member");
    let evidence = held.iter().find(convicts).ok_or_else(none)?;
    let assembled = assemble_evidence(charter, evidence)
        .map_err(|error| CliError::new(Exit::Integrity, chain(&error)))?;
    write_new(file, &assembled.encode_to_vec())
}

/// One piece of evidence, and what it does.
struct Shown {
    digest: String,
    log: String,
    member: String,
    kind: &'static str,
    position: Option<u64>,
    state: String,
    counts: bool,
}

impl Shown {
    fn of(evidence: &Evidence, charter: &CharterHistory) -> Self {
        let owner = charter.member_of_log(&evidence.log());
        let effect = evidence.effect(charter);
        let state = match (effect, evidence.verify(charter)) {
            (EvidenceEffect::PartsAt(position), _) => format!("nothing from {position} on counts"),
            (EvidenceEffect::PartsBelow(size), _) => {
                format!("the log stops: it parts below {size}")
            }
            (EvidenceEffect::None, Ok(_)) => "settled: the charter names a branch".to_owned(),
            (EvidenceEffect::None, Err(error)) => error.to_string(),
        };
        Self {
            digest: evidence.digest().to_string(),
            log: evidence.log().to_string(),
            member: owner.map_or_else(|| "?".to_owned(), |owner| owner.member.to_string()),
            kind: evidence.kind().code(),
            position: evidence.parting(),
            state,
            counts: effect != EvidenceEffect::None,
        }
    }

    fn line(&self) -> String {
        let Self { member, kind, digest, state, .. } = self;
        format!("{member}  {kind}  {digest}  {state}")
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "evidence": self.digest, "log_id": self.log, "member": self.member, "kind": self.kind,
            "position": self.position, "counts": self.counts, "state": self.state,
        })
    }
}
