//! `sundbro status`, `quarantine`, `orphans` and `audit`: what an operator sees of a running gateway.

use clap::{Args, Subcommand};
use sundbro_proto::admin::v1 as api;
use sundbro_proto::admin::v1::admin_service_client::AdminServiceClient;
use sundbro_proto::gateway::v1::audit_service_client::AuditServiceClient;
use sundbro_proto::gateway::v1::{AuditEntry, ListAuditEntriesRequest};

use super::connect::{ClientArgs, block_on, call_failed};
use super::record::{coverage_json, coverage_lines};
use super::{CliError, Output};

const DAY_SECONDS: i64 = 86_400;
/// What ends within this time is shown; of the rest, what ends next.
const SOON_SECONDS: i64 = 30 * DAY_SECONDS;

/// `sundbro status`.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    client: ClientArgs,
}

impl Status {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        block_on(status(self.client, output))
    }
}

async fn status(client: ClientArgs, output: Output) -> Result<(), CliError> {
    let mut client = AdminServiceClient::new(client.channel()?);
    let answer = client.get_status(api::GetStatusRequest {}).await;
    let status = answer.map_err(|status| call_failed(&status))?.into_inner();
    let coverage = status.coverage.clone().unwrap_or_default();
    let signing = match status.signing_stopped_reason.as_str() {
        "" => "signing: yes".to_owned(),
        reason => format!("signing: stopped ({reason}): {}", status.signing_stopped_cure),
    };
    let mut text = format!(
        "member       {}\nfederation   {}\ncharter      version {}\nsoftware     {}, started {} times\n{signing}\n{}",
        status.member,
        hex::encode(&status.federation_id),
        coverage.charter_version,
        status.software,
        status.incarnation,
        coverage_lines(&coverage),
    );
    text.push_str(&own_log_line(status.own_log.as_ref()));
    text.push_str(&outbox_line(status.outbox.as_ref()));
    text.push_str(&policy_line(status.policy.as_ref()));
    text.push_str(&scrub_line(status.scrub.as_ref()));
    for adapter in &status.adapters {
        let health = if adapter.healthy { "reads" } else { adapter.cause.as_str() };
        let scan = if adapter.scanned { "" } else { ", first scan not finished" };
        text.push_str(&format!(
            "adapter {}: {} records, {} in quarantine, {health}{scan}\n",
            adapter.name, adapter.records, adapter.quarantined
        ));
    }
    text.push_str(&endings_text(&status.endings, jiff::Timestamp::now().as_second()));
    let json = serde_json::json!({
        "member": status.member,
        "federation_id": hex::encode(&status.federation_id),
        "software": status.software,
        "incarnation": status.incarnation,
        "signing_stopped_reason": status.signing_stopped_reason,
        "signing_stopped_cure": status.signing_stopped_cure,
        "coverage": coverage_json(&coverage),
        "own_log": status.own_log.as_ref().map(|own| serde_json::json!({
            "size": own.size, "replicated_size": own.replicated_size,
            "witnessed_size": own.witnessed_size, "witness_quorum": own.witness_quorum,
        })),
        "outbox": status.outbox.as_ref().map(|outbox| serde_json::json!({
            "waiting": outbox.waiting, "full": outbox.full,
            "since_unix_seconds": outbox.since.as_ref().map(|time| time.seconds),
        })),
        "policy": status.policy.as_ref().map(|policy| serde_json::json!({
            "sha256": hex::encode(&policy.sha256), "rules": policy.rules,
            "trouble_reason": policy.trouble_reason, "trouble": policy.trouble,
        })),
        "scrub": status.scrub.as_ref().map(|scrub| serde_json::json!({
            "finish_unix_seconds": scrubbed_at(scrub), "findings": scrub.findings,
        })),
        "adapters": status.adapters.iter().map(|adapter| serde_json::json!({
            "name": adapter.name, "healthy": adapter.healthy, "cause": adapter.cause,
            "records": adapter.records, "quarantined": adapter.quarantined,
            "scanned": adapter.scanned,
        })).collect::<Vec<_>>(),
        "endings": status.endings.iter().map(|ending| serde_json::json!({
            "kind": kind_name(ending), "name": ending.name, "end_unix_seconds": end_of(ending),
        })).collect::<Vec<_>>(),
    });
    output.print(text.trim_end(), &json);
    Ok(())
}

fn own_log_line(own: Option<&api::OwnLogStatus>) -> String {
    let Some(own) = own else { return String::new() };
    format!(
        "own log: {} entries, {} replicated, {} witnessed\n",
        own.size, own.replicated_size, own.witnessed_size
    )
}

/// What waits to be signed, if anything does.
fn outbox_line(outbox: Option<&api::OutboxStatus>) -> String {
    let Some(outbox) = outbox.filter(|outbox| outbox.waiting > 0) else { return String::new() };
    let since = outbox.since.as_ref().and_then(|it| jiff::Timestamp::from_second(it.seconds).ok());
    let since = since.map_or_else(String::new, |time| format!(" since {time}"));
    let full =
        if outbox.full { "; it is full (OUTBOX_FULL): more waits at its source" } else { "" };
    format!("outbox: {} found and not signed yet{since}{full}\n", outbox.waiting)
}

fn policy_line(policy: Option<&api::PolicyStatus>) -> String {
    let Some(policy) = policy else { return String::new() };
    let line = format!("policy: {} rules, SHA-256 {}\n", policy.rules, hex::encode(&policy.sha256));
    match policy.trouble_reason.as_str() {
        "" => line,
        reason => format!("{line}policy trouble ({reason}): {}\n", policy.trouble),
    }
}

fn scrub_line(scrub: Option<&api::ScrubStatus>) -> String {
    let Some(scrub) = scrub else {
        return "scrub: not finished yet since the start\n".to_owned();
    };
    let when = jiff::Timestamp::from_second(scrubbed_at(scrub));
    let when = when.map_or_else(|_| "at no time".to_owned(), |time| time.to_string());
    format!("scrub: finished {when}, {} damaged places found\n", scrub.findings)
}

fn scrubbed_at(scrub: &api::ScrubStatus) -> i64 {
    scrub.finish_time.as_ref().map_or(0, |time| time.seconds)
}

/// What ends within a month, or what ends next.
fn endings_text(endings: &[api::Ending], now: i64) -> String {
    let soon = |ending: &&api::Ending| end_of(ending) < now + SOON_SECONDS;
    let told = endings.iter().filter(soon).count().max(1);
    endings.iter().take(told).map(|ending| ending_line(ending, now)).collect()
}

fn ending_line(ending: &api::Ending, now: i64) -> String {
    let end = end_of(ending);
    let day = jiff::Timestamp::from_second(end).map_or_else(
        |_| "at no date that can be shown".to_owned(),
        |end| end.strftime("%Y-%m-%d").to_string(),
    );
    let (kind, name) = (kind_name(ending), &ending.name);
    match end - now {
        left if left < 0 => format!("{kind} {name}: has ended on {day}\n"),
        left => format!("{kind} {name}: ends on {day}, in {} days\n", left / DAY_SECONDS),
    }
}

fn end_of(ending: &api::Ending) -> i64 {
    ending.end_time.as_ref().map_or(0, |time| time.seconds)
}

fn kind_name(ending: &api::Ending) -> &'static str {
    match ending.kind() {
        api::EndingKind::Certificate => "certificate",
        api::EndingKind::RevocationList => "revocation list",
        api::EndingKind::Ca => "CA",
        api::EndingKind::Unspecified => "something",
    }
}

/// `sundbro quarantine`.
#[derive(Debug, Args)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    action: QuarantineAction,
}

#[derive(Debug, Subcommand)]
enum QuarantineAction {
    /// List source items that could not be registered, each with its reason and what to do.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
}

impl Quarantine {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let QuarantineAction::List { client } = self.action;
        block_on(quarantine(client, output))
    }
}

async fn quarantine(client: ClientArgs, output: Output) -> Result<(), CliError> {
    let mut client = AdminServiceClient::new(client.channel()?);
    let mut items = Vec::new();
    let mut request = api::ListQuarantineRequest::default();
    loop {
        let answer = client.list_quarantine(request.clone()).await;
        let answer = answer.map_err(|status| call_failed(&status))?.into_inner();
        items.extend(answer.items);
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    let lines: Vec<String> = items
        .iter()
        .map(|item| {
            let key = printable(&item.source_key);
            format!("{} {key}: {}: {}", item.adapter, item.reason, item.message)
        })
        .collect();
    let text =
        if lines.is_empty() { "nothing is in quarantine".to_owned() } else { lines.join("\n") };
    let json = serde_json::json!({
        "items": items.iter().map(|item| serde_json::json!({
            "adapter": item.adapter, "source_key": item.source_key, "reason": item.reason,
            "message": item.message,
        })).collect::<Vec<_>>(),
    });
    output.print(&text, &json);
    Ok(())
}

/// A file name as it may be printed: whoever can put a file into a folder must not write on an operator's terminal.
fn printable(name: &str) -> String {
    let turns_text = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    name.chars().fold(String::with_capacity(name.len()), |mut shown, c| {
        if c.is_control() || turns_text(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// `sundbro orphans`.
#[derive(Debug, Args)]
pub(super) struct Orphans {
    #[command(flatten)]
    client: ClientArgs,
}

impl Orphans {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        block_on(orphans(self.client, output))
    }
}

async fn orphans(client: ClientArgs, output: Output) -> Result<(), CliError> {
    let mut client = AdminServiceClient::new(client.channel()?);
    let mut records = Vec::new();
    let mut request = api::ListOrphansRequest::default();
    let finished = loop {
        let answer = client.list_orphans(request.clone()).await;
        let answer = answer.map_err(|status| call_failed(&status))?.into_inner();
        records.extend(answer.records);
        if answer.next_page_token.is_empty() {
            break answer.scans_finished;
        }
        request.page_token = answer.next_page_token;
    };
    let text = match (finished, records.is_empty()) {
        (false, _) => "the first scans are not finished: ask again later".to_owned(),
        (true, true) => "every own live record has its source".to_owned(),
        (true, false) => records.join("\n"),
    };
    let json = serde_json::json!({ "records": records, "scans_finished": finished });
    output.print(&text, &json);
    Ok(())
}

/// `sundbro audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: AuditAction,
}

#[derive(Debug, Subcommand)]
enum AuditAction {
    /// List who asked for what, newest first.
    List {
        #[command(flatten)]
        client: ClientArgs,
        /// Only entries about this record.
        #[arg(long)]
        record: Option<String>,
        /// At most how many.
        #[arg(long, default_value_t = 50)]
        max: i32,
    },
}

impl Audit {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let AuditAction::List { client, record, max } = self.action;
        block_on(audit(client, record, max, output))
    }
}

async fn audit(
    client: ClientArgs,
    record: Option<String>,
    max: i32,
    output: Output,
) -> Result<(), CliError> {
    let mut client = AuditServiceClient::new(client.channel()?);
    let record = record.map_or(String::new(), |name| match name.strip_prefix("members/") {
        Some(_) => name,
        None => format!("members/{name}"),
    });
    let request = ListAuditEntriesRequest { record, page_size: max, ..Default::default() };
    let answer = client.list_audit_entries(request).await.map_err(|status| call_failed(&status))?;
    let entries = answer.into_inner().entries;
    let text: Vec<String> = entries.iter().map(audit_line).collect();
    let json = serde_json::json!({
        "entries": entries.iter().map(|entry| serde_json::json!({
            "position": entry.position, "kind": entry.kind, "record": entry.record,
            "time_unix_seconds": entry.time.as_ref().map(|time| time.seconds),
            "peer": entry.peer, "user": entry.user, "role": entry.role,
            "purpose": entry.purpose, "rule": entry.rule, "permitted": entry.permitted,
            "message_sha256": hex::encode(&entry.message_sha256),
        })).collect::<Vec<_>>(),
    });
    output.print(&text.join("\n"), &json);
    Ok(())
}

fn audit_line(entry: &AuditEntry) -> String {
    let time = entry
        .time
        .as_ref()
        .and_then(|time| jiff::Timestamp::from_second(time.seconds).ok())
        .map_or_else(|| "-".to_owned(), |time| time.to_string());
    format!(
        "{time}  {:<16} {}  {} as {} for {}  {}  {}",
        entry.kind, entry.peer, entry.user, entry.role, entry.purpose, entry.rule, entry.record
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_writes_nothing_on_a_terminal() {
        assert_eq!(printable("æ 1.xml"), "æ 1.xml");
        assert_eq!(printable("a\n\u{1b}[2Jb\u{202e}lmx.c"), "a\\u{a}\\u{1b}[2Jb\\u{202e}lmx.c");
    }
}
