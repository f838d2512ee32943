//! How the federation of the demo is founded: with the commands that an operator would type.

use std::io;
use std::path::{Path, PathBuf};

use super::layout::{Layout, ORGANISATIONS};
use super::process::{Ended, run, run_with_input};
use super::{documents, layout};
use crate::cli::connect::ClientFile;

/// What a step claims and does not find.
pub type Problem = String;

/// The stewards: two offices that both must sign.
const STEWARDS: [&str; 2] = ["regional-board", "municipal-board"];

fn io_problem(what: &str) -> impl Fn(io::Error) -> Problem {
    move |error| format!("{what}: {error}")
}

/// Runs a command that must succeed.
pub fn must(folder: &Path, arguments: &[&str]) -> Result<Ended, Problem> {
    let ended = run(folder, arguments).map_err(io_problem("the binary cannot be started"))?;
    succeeded(ended, arguments)
}

fn succeeded(ended: Ended, arguments: &[&str]) -> Result<Ended, Problem> {
    if ended.code == 0 {
        return Ok(ended);
    }
    let command = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    Err(format!("`sundbro {command}` exited {}: {}", ended.code, ended.stderr.trim()))
}

/// Makes an organisation's folder, certificates, documents, keys and card.
pub fn prepare(layout: &Layout, who: usize, federation: Option<&str>) -> Result<(), Problem> {
    let organisation = &ORGANISATIONS[who];
    let folder = layout.folder(who);
    let making = io_problem("a folder of the demo cannot be written");
    std::fs::create_dir_all(folder.join("tls")).map_err(&making)?;
    let pki = layout.stewards().join("pki");
    let pki_text = pki.display().to_string();
    must(
        layout.root(),
        &[
            "certs",
            "dev",
            &pki_text,
            "--member",
            organisation.name,
            "--client",
            "care-record.local.example",
            "--client",
            "operations.local.example",
        ],
    )?;
    copy_tls(&pki, organisation.name, &folder.join("tls")).map_err(&making)?;
    for client in ["care-record", "operations"] {
        let file = ClientFile {
            address: layout.local_address(who),
            ca: "tls/ca.pem".into(),
            certificate: format!("tls/{client}.local.example.pem").into(),
            key: format!("tls/{client}.local.example.key").into(),
        };
        let text = toml::to_string(&file).map_err(|error| error.to_string())?;
        std::fs::write(folder.join(format!("{client}.toml")), text).map_err(&making)?;
    }
    for (source, story) in organisation.sources {
        documents::write_all(&layout.documents(who, source), story).map_err(&making)?;
    }
    let endpoint = layout.federation_address(who);
    let mut arguments = vec![
        "member",
        "init",
        "--name",
        organisation.name,
        "--display-name",
        organisation.title,
        "--role",
        organisation.role,
        "--endpoint",
        &endpoint,
        "--keys",
        "keys",
        "--card",
        "member.card",
    ];
    if let Some(federation) = federation {
        arguments.extend(["--federation", federation, "--charter-version", "2"]);
    }
    must(&folder, &arguments).map(drop)
}

fn copy_tls(pki: &Path, member: &str, target: &Path) -> io::Result<()> {
    for name in ["ca.pem", "crl.pem"] {
        std::fs::copy(pki.join(name), target.join(name))?;
    }
    for entry in std::fs::read_dir(pki.join(member))? {
        let entry = entry?;
        std::fs::copy(entry.path(), target.join(entry.file_name()))?;
    }
    Ok(())
}

fn charter_file(layout: &Layout, version: u64) -> PathBuf {
    layout.charters().join(format!("{version:04}.charter"))
}

fn authority(layout: &Layout, members: &[usize]) -> String {
    let names: Vec<&str> = members.iter().map(|&who| ORGANISATIONS[who].name).collect();
    format!("{}={}", layout.stewards().join("pki/ca.pem").display(), names.join(","))
}

/// The two stewards found the federation of the first four; its id is returned.
pub fn found(layout: &Layout) -> Result<String, Problem> {
    let stewards = layout.stewards();
    let making = io_problem("a folder of the demo cannot be written");
    std::fs::create_dir_all(&stewards).map_err(&making)?;
    std::fs::create_dir_all(layout.charters()).map_err(&making)?;
    for who in 0..layout::LATE {
        prepare(layout, who, None)?;
    }
    let proposal = charter_file(layout, 1).display().to_string();
    let mut arguments = vec!["charter".to_owned(), "found".to_owned()];
    for office in STEWARDS {
        let key = must(&stewards, &["charter", "steward-key", &format!("{office}.pem")])?;
        arguments.extend(["--steward".to_owned(), format!("{office}={}", key.stdout.trim())]);
    }
    for who in 0..layout::LATE {
        let card = layout.folder(who).join("member.card").display().to_string();
        arguments.extend(["--card".to_owned(), card]);
    }
    arguments.extend(["--ca".to_owned(), authority(layout, &[0, 1, 2, 3])]);
    // The hospital's operator proposes, so its gateway holds the subject key first and grants it to the others.
    let subject_key = layout.folder(layout::HOSPITAL).join("keys/subject-epoch-1.key");
    let subject_key = subject_key.display().to_string();
    arguments.extend(["--subject-key".to_owned(), subject_key]);
    arguments.extend(["--out".to_owned(), proposal.clone()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    must(&stewards, &arguments)?;
    for office in STEWARDS {
        must(&stewards, &["charter", "sign", &proposal, "--key", &format!("{office}.pem")])?;
    }
    let shown = must(&stewards, &["--json", "charter", "show", &proposal])?.json();
    let id = shown["digest"].as_str().unwrap_or_default().to_owned();
    let charters = layout.charters().display().to_string();
    must(&stewards, &["charter", "verify", &charters, "--federation", &id])?;
    for who in 0..layout::LATE {
        init(layout, who, &id, None)?;
    }
    Ok(id)
}

/// `sundbro init`: the gateway's folder gets its configuration and the charters; the id is typed, as by a person.
pub fn init(
    layout: &Layout,
    who: usize,
    federation: &str,
    real_documents: Option<&Path>,
) -> Result<(), Problem> {
    let folder = layout.folder(who);
    let text = layout.configuration(who, federation, real_documents);
    std::fs::write(folder.join("gateway.toml"), text)
        .map_err(io_problem("the configuration cannot be written"))?;
    let charters = layout.charters().display().to_string();
    let arguments = ["init", "--config", "gateway.toml", "--charter", &charters];
    let typed = format!("{federation}\n");
    let ended = run_with_input(&folder, &arguments, &typed)
        .map_err(io_problem("the binary cannot be started"))?;
    succeeded(ended, &arguments).map(drop)
}

/// The stewards take the late member in; the hospital's gateway gets the new charter, and from it everybody.
pub fn admit_late(layout: &Layout, federation: &str) -> Result<(), Problem> {
    prepare(layout, layout::LATE, Some(federation))?;
    let stewards = layout.stewards();
    let charters = layout.charters().display().to_string();
    let proposal = stewards.join("next.charter").display().to_string();
    let card = layout.folder(layout::LATE).join("member.card").display().to_string();
    let authority = authority(layout, &[0, 1, 2, 3, 4]);
    must(
        &stewards,
        &[
            "charter",
            "propose",
            "--history",
            &charters,
            "--add",
            &card,
            "--ca",
            &authority,
            "--out",
            &proposal,
        ],
    )?;
    for office in STEWARDS {
        let key = format!("{office}.pem");
        must(&stewards, &["charter", "sign", &proposal, "--history", &charters, "--key", &key])?;
    }
    let second = charter_file(layout, 2);
    std::fs::rename(&proposal, &second).map_err(io_problem("the charter cannot be moved"))?;
    let second = second.display().to_string();
    let hospital = layout.folder(layout::HOSPITAL);
    must(&hospital, &["charter", "publish", &second, "--client", "operations.toml"])?;
    init(layout, layout::LATE, federation, None)
}
