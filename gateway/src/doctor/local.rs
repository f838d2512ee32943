//! Examines one gateway: host, clock, config, keys, tls, membership, storage, adapters, peers, log.

use std::path::Path;

use futures_util::StreamExt as _;
use rustls_pki_types::ServerName;
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::{KeyPurpose, MemberEntry, MemberState};
use sundbro_proto::admin::v1::GetStatusResponse;
use sundbro_store::{LogState, StoreError};

use super::{Check, Ground, Peer, Report, examine_peer, host};
use crate::cli::Exit;
use crate::config::{ConfigError, Endpoint};
use crate::identity::OwnKeys;
use crate::policy::Policy;
use crate::status::chain;
use crate::subject::SubjectKeys;
use crate::tls::{End, LocalTls};

/// Days before its end from which something is warned of.
const SOON_DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;
/// Peers examined beside each other: one that does not answer takes half a minute.
const PEERS_AT_ONCE: usize = 16;

/// Examines the gateway of a configuration. `status` is what the running gateway says of itself, if it was asked.
pub async fn examine(file: &Path, status: Option<&GetStatusResponse>) -> Vec<Check> {
    let mut report = Report::default();
    let ground = match Ground::lay(file) {
        Ok(ground) => ground,
        Err(error) => {
            bad_config(&error, &mut report);
            return report.done();
        }
    };
    host::examine(&ground.config, &mut report);
    host::examine_clock(&ground.config, &mut report);
    report.category("config");
    report.good(format!("{} is valid: {}", file.display(), ground.config.member));
    keys(&ground, &mut report);
    tls(&ground, &mut report);
    membership(&ground, &mut report);
    storage(&ground, &mut report);
    adapters(&ground, &mut report);
    peers(&ground, status, &mut report).await;
    log(&ground, status, &mut report);
    report.done()
}

fn bad_config(error: &ConfigError, report: &mut Report) {
    report.category("config");
    for problem in &error.problems {
        let at = match problem.line {
            Some(line) => format!("{}:{line}: ", error.file.display()),
            None => format!("{}: ", error.file.display()),
        };
        let value =
            problem.value.as_ref().map_or_else(String::new, |value| format!(" = {value:?}"));
        let says = format!("{at}`{}`{value} {}", problem.key, problem.what);
        report.failed(Exit::Usage, says, problem.remedy.clone());
    }
    report.not_looked_at("everything else needs a valid configuration");
}

/// Our entry in the charter, if there is one that can be read.
fn own_entry(ground: &Ground) -> Option<MemberEntry> {
    let charter = ground.charter.as_ref().ok()?;
    charter.0.current().member(&ground.config.member).cloned()
}

fn keys(ground: &Ground, report: &mut Report) {
    report.category("keys");
    let folder = &ground.config.keys_dir;
    let keys = match OwnKeys::load(folder) {
        Ok(keys) => keys,
        Err(error) => {
            report.failed(Exit::Usage, chain(&error), "as it says; docs/operate.md, section 12");
            return;
        }
    };
    report.good(format!("all keys of {} can be read, by their owner alone", folder.display()));
    match SubjectKeys::open(folder) {
        Ok(subjects) if subjects.epochs().is_empty() => report.warning(
            "no subject key is here: nothing can be registered or located",
            "an active member's gateway grants it when it is reached; see the peers below",
        ),
        Ok(subjects) => {
            report.good(format!("keys of subject epochs {:?} are here", subjects.epochs()))
        }
        Err(error) => report.failed(Exit::Usage, chain(&error), "put back the file from a backup"),
    }
    let Some(entry) = own_entry(ground) else {
        report.not_looked_at(
            "whether the charter lists these keys: there is no entry of ours to read",
        );
        return;
    };
    let sealing = keys.sealing_public();
    for (purpose, public) in [
        (KeyPurpose::Transaction, *keys.transaction.public().as_bytes()),
        (KeyPurpose::Checkpoint, *keys.checkpoint.public().as_bytes()),
        (KeyPurpose::Service, *keys.service.public().as_bytes()),
        (KeyPurpose::Sealing, sealing),
    ] {
        let mut same = entry
            .keys
            .iter()
            .filter(|key| key.purpose == purpose && *key.public_key.as_bytes() == public);
        match same.next() {
            Some(key) if key.to.is_none() => {}
            Some(_) => report.failed(
                Exit::Denied,
                format!("the charter has ended our {purpose:?} key"),
                "put the newer key into the folder, or have the stewards list one",
            ),
            None => report.failed(
                Exit::Denied,
                format!("the charter does not list our {purpose:?} key"),
                "put back the keys that are on our member card, or have the stewards list these",
            ),
        }
    }
}

fn tls(ground: &Ground, report: &mut Report) {
    report.category("tls");
    match &ground.tls {
        Err(error) => report.failed(Exit::Usage, error.clone(), "as it says"),
        Ok(tls) => {
            report.good("certificate and key towards members fit, and name our member");
            let host = own_entry(ground).and_then(|entry| Endpoint::parse(entry.endpoint.as_str()));
            let name = host.and_then(|host| ServerName::try_from(host.host).ok());
            match name.map(|name| tls.judge_own(&name)) {
                None => report.not_looked_at("whether peers take our certificate: no endpoint of ours is known"),
                Some(Ok(())) => report.good("peers take it: its CA, host name and dates are good"),
                Some(Err(error)) => report.failed(
                    Exit::Usage,
                    format!("peers would refuse our certificate: {error}"),
                    "get one from a CA that the charter lists for us, with the host name of our endpoint",
                ),
            }
            ends(tls.ends(), report);
        }
    }
    match LocalTls::load(ground.config.local.clone(), crate::connections::Connections::new()) {
        Err(error) => report.failed(Exit::Usage, chain(&error), "as it says"),
        Ok(tls) => {
            report.good("certificate and key towards local systems fit");
            ends(tls.ends(), report);
        }
    }
}

fn ends(mut ends: Vec<End>, report: &mut Report) {
    ends.sort();
    let now = crate::clock::unix_seconds();
    for end in ends {
        let (kind, name) = (end.kind.name(), &end.name);
        let days = (end.unix_seconds - now).div_euclid(DAY_SECONDS);
        match days {
            ..0 => report.failed(Exit::Usage, format!("{kind} {name} has ended"), end.kind.cure()),
            0..SOON_DAYS => {
                report.warning(format!("{kind} {name} ends in {days} days"), end.kind.cure());
            }
            _ => {}
        }
    }
}

fn membership(ground: &Ground, report: &mut Report) {
    report.category("membership");
    let charter = match &ground.charter {
        Ok(charter) => charter,
        Err(why) => {
            report.failed(
                Exit::Usage,
                format!("no charter is followed here: {why}"),
                "`sundbro init` with the federation's charters, on a new gateway; otherwise put back a backup",
            );
            return;
        }
    };
    let version = charter.0.in_force();
    if let Some(forked) = charter.0.forked_version() {
        report.failed(
            Exit::Integrity,
            format!("charter version {forked} exists twice"),
            "the stewards must heal the fork; the version before stays in force",
        );
    }
    let member = &ground.config.member;
    match charter.0.current().member(member) {
        None => report.failed(
            Exit::Denied,
            format!("charter version {version} does not list {member}"),
            "give the member card to the stewards; check `member` in the configuration",
        ),
        Some(entry) if entry.state != MemberState::Active => report.failed(
            Exit::Denied,
            format!("charter version {version} lists {member} as {:?}", entry.state),
            "ask the stewards",
        ),
        Some(entry) => report.good(format!(
            "charter version {version} lists {member} as active, at {}",
            entry.endpoint.as_str()
        )),
    }
}

fn storage(ground: &Ground, report: &mut Report) {
    report.category("storage");
    let folder = ground.config.data_dir.display();
    let store = match &ground.store {
        Ok(store) => store,
        Err(error) => {
            report.failed(
                Exit::Integrity,
                format!("{folder} cannot be read: {error}"),
                "`sundbro init` on a new gateway; otherwise put back a backup (docs/operate.md, section 10)",
            );
            return;
        }
    };
    let runs = if store.is_beside_gateway() { "a gateway runs on it" } else { "no gateway runs" };
    report.good(format!("{folder} can be read; {runs}; `sundbro verify` checks every byte"));
    if store.identity() != crate::cli::open_options(&ground.config).identity {
        report.failed(
            Exit::Usage,
            format!("{folder} belongs to another member or federation"),
            "correct data_dir, member or federation_id in the configuration",
        );
        return;
    }
    match store.stop_at_start(&ground.config.gate_file) {
        Ok(None) => report.good("the signing gate and our log say the same"),
        Ok(Some(stop)) => report.failed(Exit::Integrity, stop.to_string(), stop.cure()),
        Err(error) => damaged(&error, report),
    }
}

fn damaged(error: &StoreError, report: &mut Report) {
    report.failed(Exit::Integrity, chain(error), "`sundbro verify` shows what is damaged");
}

fn adapters(ground: &Ground, report: &mut Report) {
    report.category("adapters");
    for source in &ground.config.documents {
        match std::fs::read_dir(&source.folder) {
            Ok(_) => {
                report.good(format!("{}: {} can be read", source.name, source.folder.display()))
            }
            Err(error) => report.failed(
                Exit::Unavailable,
                format!("{}: {} cannot be read: {error}", source.name, source.folder.display()),
                "mount the share, or let the gateway's user read the folder",
            ),
        }
        let Ok(store) = &ground.store else { continue };
        match store.adapter_counts(&source.name) {
            Ok((_, 0)) => {}
            Ok((_, waiting)) => report.warning(
                format!("{}: {waiting} items could not be registered", source.name),
                "`sundbro quarantine list` gives each with its reason and cure",
            ),
            Err(error) => damaged(&error, report),
        }
    }
    match ground.config.policy_dir.as_deref().map(Policy::load) {
        None => report.warning(
            "no policy is configured: nobody is granted anything",
            "name a folder in `policy.dir`; `sundbro init` writes the default policies there",
        ),
        Some(Ok(_)) => report.good("the policy can be read"),
        Some(Err(error)) => report.failed(
            Exit::Usage,
            chain(&error),
            "`sundbro policy check` names each line that is wrong",
        ),
    }
}

async fn peers(ground: &Ground, status: Option<&GetStatusResponse>, report: &mut Report) {
    report.category("peers");
    let Ok(charter) = &ground.charter else {
        report.not_looked_at("peers stand in the charter, which cannot be read");
        return;
    };
    let others: Vec<MemberName> = charter
        .0
        .current()
        .members()
        .values()
        .filter(|entry| entry.is_active() && entry.name != ground.config.member)
        .map(|entry| entry.name.clone())
        .collect();
    if others.is_empty() {
        report.good("there is no other active member");
    }
    let examined = futures_util::stream::iter(others.iter().map(|member| async move {
        (member, examine_peer(&Peer { ground, member, status }).await)
    }));
    // In their order, however long each takes.
    let mut examined = std::pin::pin!(examined.buffered(PEERS_AT_ONCE));
    while let Some((member, checks)) = examined.next().await {
        match checks.iter().find(|check| check.finding.cure().is_some()) {
            None => report.good(format!("{member}: every step is good")),
            Some(first) => {
                let says = format!("{member}: {}: {}", first.category, first.says);
                let cure = first.finding.cure().unwrap_or_default();
                match first.finding {
                    super::Finding::Failed { exit, .. } => report.failed(exit, says, cure),
                    _ => report.warning(says, cure),
                }
            }
        }
    }
}

fn log(ground: &Ground, status: Option<&GetStatusResponse>, report: &mut Report) {
    report.category("log");
    let Ok(store) = &ground.store else {
        report.not_looked_at("the data folder cannot be read");
        return;
    };
    if let Some(status) = status {
        match status.signing_stopped_reason.as_str() {
            "" => report.good("the running gateway signs"),
            reason => report.failed(
                Exit::Integrity,
                format!("the running gateway signs nothing ({reason})"),
                status.signing_stopped_cure.clone(),
            ),
        }
    } else if store.is_beside_gateway() {
        report.not_looked_at(
            "whether the running gateway signs: it was not asked (--client), or does not answer",
        );
    }
    match store.log_status(&store.identity().own_log) {
        Err(error) => damaged(&error, report),
        Ok(own) => match own.state {
            LogState::Followed => {
                report
                    .good(format!("our log holds {} entries and is followed", own.committed_size));
            }
            LogState::Stopped { position, reason } => report.failed(
                Exit::Integrity,
                format!("our log is stopped at {position} ({reason})"),
                "docs/errors.md explains the reason; talk to the stewards",
            ),
            LogState::Stalled { position, reason } | LogState::Waiting { position, reason } => {
                report.warning(
                    format!("our log waits at {position} ({reason})"),
                    "docs/errors.md explains the reason",
                );
            }
        },
    }
}
