//! `sundbro log repair`: finds what a disk damaged in the files of a stopped gateway, and drops what others give back.

use std::path::Path;
use std::sync::Arc;

use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_store::gate::SigningStop;
use sundbro_store::scrub::Finding;
use sundbro_store::verify::Trust;
use sundbro_store::{Store, StoreError};

use crate::charter_book::{CharterBook, stored_history};
use crate::cli::{CliError, Exit, Output, open_options};
use crate::config::Config;
use crate::scrub::{Remedy, Repaired, Repairs, STEP_ROWS};
use crate::status::chain;

/// Looks at every row, and repairs what is damaged, of one member's log or of everything. `dry_run`: only looks.
pub(super) fn repair(
    config: &Path,
    member: Option<&str>,
    dry_run: bool,
    output: Output,
) -> Result<(), CliError> {
    let config = Config::load(config)?;
    let only = member.map(|member| log_named(member, &config)).transpose()?;
    if dry_run {
        return look(&config, only.as_ref(), output);
    }
    let store = Store::open(&config.data_dir, open_options(&config)).map_err(failed)?;
    let store = Arc::new(store);
    let charter = CharterBook::open(store.clone(), &config.federation_id)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let history = charter.history();
    let own_log = store.identity().own_log;
    let found = scrub(&store, &*history, only.as_ref()).map_err(failed)?;
    let mut repairs = Repairs::default();
    for finding in &found {
        repairs.add(finding, Remedy::of(finding, &own_log), true);
    }
    if found.iter().any(|it| Remedy::of(it, &own_log) == Remedy::OwnLog) {
        // Nothing signs here anyway. The gate keeps what was signed, so the next start waits until that is back.
        store.stop_signing(SigningStop::OwnLogDamaged {
            size: store.log_head(&own_log).map_or(0, |head| head.size()),
            problem: "it is being repaired".to_owned(),
        });
    }
    let repaired = match repairs.is_empty() {
        true => Repaired::default(),
        false => repairs.carry_out(&store, &charter, &*history).map_err(failed)?,
    };
    let remaining = scrub(&store, &*history, only.as_ref()).map_err(failed)?;
    let mut lines = lines_of(&found, &own_log);
    lines.extend(done(&repaired, &own_log));
    lines.extend(remaining.iter().map(|it| format!("remains: {it}")));
    if found.is_empty() {
        lines.push("nothing is damaged".to_owned());
    }
    output.print(
        &lines.join("\n"),
        &serde_json::json!({
            "findings": json_of(&found, &own_log), "repaired": repaired_json(&repaired),
            "remaining": json_of(&remaining, &own_log),
        }),
    );
    ended(remaining.len(), "damaged places remain: put back a backup")
}

/// Looks, and changes nothing on the disk.
fn look(config: &Config, only: Option<&LogId>, output: Output) -> Result<(), CliError> {
    let store = Store::open_read_only(&config.data_dir).map_err(failed)?;
    let history = stored_history(&store, &config.federation_id)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let own_log = store.identity().own_log;
    let found = scrub(&store, &history, only).map_err(failed)?;
    let mut lines = lines_of(&found, &own_log);
    if found.is_empty() {
        lines.push("nothing is damaged".to_owned());
    }
    output.print(&lines.join("\n"), &serde_json::json!({ "findings": json_of(&found, &own_log) }));
    ended(found.len(), "damaged places found, nothing was changed")
}

fn ended(places: usize, what: &str) -> Result<(), CliError> {
    match places {
        0 => Ok(()),
        places => Err(CliError::new(Exit::Integrity, format!("{places} {what}"))),
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::new(Exit::Failed, error)
}

fn log_named(member: &str, config: &Config) -> Result<LogId, CliError> {
    let member = MemberName::new(member).map_err(|error| CliError::new(Exit::Usage, error))?;
    Ok(Origin::new(&member, &config.federation_id, 1).log_id())
}

/// Every damaged place, or those of one log.
fn scrub(
    store: &Store,
    trust: &dyn Trust,
    only: Option<&LogId>,
) -> Result<Vec<Finding>, StoreError> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let step = store.scrub(from.as_ref(), STEP_ROWS, Some(trust))?;
        let of_it = |it: &Finding| only.is_none_or(|log| it.damage.log.as_ref() == Some(log));
        found.extend(step.found.into_iter().filter(of_it));
        match step.next {
            Some(next) => from = Some(next),
            None => return Ok(found),
        }
    }
}

fn lines_of(found: &[Finding], own_log: &LogId) -> Vec<String> {
    let line = |it: &Finding| format!("{} ({})", it.damage, Remedy::of(it, own_log).name());
    found.iter().map(line).collect()
}

fn done(repaired: &Repaired, own_log: &LogId) -> Vec<String> {
    let mut lines = Vec::new();
    for (log, left) in &repaired.logs {
        let after = match (left.dropped, log == own_log) {
            (0, _) => "nothing is missing of it",
            (_, false) => "the gateway fetches them when it runs",
            (_, true) => {
                "other members give them back when the gateway runs, and it signs nothing before"
            }
        };
        lines.push(format!(
            "log {log}: {} entries are good, {} dropped: {after}",
            left.kept, left.dropped
        ));
    }
    for (log, error) in &repaired.refused {
        lines.push(format!("log {log} is as it was: {}", chain(error)));
    }
    if repaired.blobs > 0 {
        let blobs = repaired.blobs;
        lines.push(format!("{blobs} payloads dropped: the gateway fetches them when it runs"));
    }
    if repaired.index {
        lines.push("the index was derived anew".to_owned());
    }
    lines
}

fn json_of(found: &[Finding], own_log: &LogId) -> Vec<serde_json::Value> {
    let one = |it: &Finding| {
        serde_json::json!({
            "file": it.damage.file.name(), "table": it.damage.table,
            "log": it.damage.log.map(|log| log.to_string()), "position": it.damage.position,
            "problem": it.damage.problem, "repair": Remedy::of(it, own_log).name(),
        })
    };
    found.iter().map(one).collect()
}

fn repaired_json(repaired: &Repaired) -> serde_json::Value {
    let logs = repaired.logs.iter().map(|(log, left)| {
        serde_json::json!({ "log": log.to_string(), "kept": left.kept, "dropped": left.dropped })
    });
    let refused = repaired
        .refused
        .iter()
        .map(|(log, error)| serde_json::json!({ "log": log.to_string(), "problem": chain(error) }));
    serde_json::json!({
        "logs": logs.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>(),
        "payloads": repaired.blobs, "index": repaired.index,
    })
}
