//! A steward signs two heads of one charter version; the others heal it with the command line, and nobody else can.

mod harness;

use std::fs;
use std::path::Path;

use harness::{Ended, run};

const MEMBER: &str = "hospital-nord.example";
const STEWARDS: [&str; 3] = ["regional-board", "municipal-board", "laboratory-board"];

fn ends(folder: &Path, code: i32, arguments: &[&str]) -> Ended {
    let ended = run(folder, arguments, "");
    assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    ended
}

/// Three stewards found a federation of one member; version 1 lies in `charters`.
fn found(folder: &Path) -> String {
    fs::create_dir(folder.join("charters")).expect("a folder");
    ends(folder, 0, &["certs", "dev", "pki", "--member", MEMBER]);
    let member =
        ["member", "init", "--name", MEMBER, "--display-name", MEMBER, "--role", "hospital"];
    let files = ["--endpoint", "localhost:7443", "--keys", "keys", "--card", "member.card"];
    ends(folder, 0, &[&member[..], &files].concat());
    let (ca, out) = (format!("pki/ca.pem={MEMBER}"), "charters/0001.charter");
    let mut arguments = vec!["charter", "found", "--card", "member.card", "--ca", &ca];
    arguments.extend(["--subject-key", "keys/subject-epoch-1.key", "--out", out]);
    let stewards = STEWARDS.map(|office| {
        let made = ends(folder, 0, &["charter", "steward-key", &format!("{office}.pem")]);
        format!("{office}={}", made.stdout.trim())
    });
    stewards.iter().for_each(|steward| arguments.extend(["--steward", steward]));
    ends(folder, 0, &arguments);
    for office in STEWARDS {
        ends(folder, 0, &["charter", "sign", out, "--key", &format!("{office}.pem")]);
    }
    let shown = ends(folder, 0, &["--json", "charter", "show", out]).json();
    shown["digest"].as_str().expect("a digest").to_owned()
}

/// A steward signs a proposal; the code that this ends with.
fn sign(folder: &Path, proposal: &str, office: &str) -> i32 {
    let key = format!("{office}.pem");
    run(folder, &["charter", "sign", proposal, "--history", "charters", "--key", &key], "").code
}

/// Version 2 with this endpoint, signed by two, of whom the first has forgotten what it signed before.
fn head(folder: &Path, port: u16, signers: [&str; 2]) -> String {
    let out = format!("to-{port}.charter");
    let endpoint = format!("{MEMBER}=localhost:{port}");
    let propose = ["charter", "propose", "--history", "charters", "--endpoint", &endpoint];
    ends(folder, 0, &[&propose[..], &["--out", &out]].concat());
    drop(fs::remove_file(folder.join(format!("{}.signed", signers[0]))));
    for office in signers {
        assert_eq!(sign(folder, &out, office), 0, "{office} signs {out}");
    }
    out
}

#[test]
fn the_stewards_who_signed_once_heal_what_another_signed_twice() {
    let folder = tempfile::Builder::new().prefix("sundbro-test-").tempdir().expect("a folder");
    let folder = folder.path();
    let federation = found(folder);
    let one = head(folder, 7444, [STEWARDS[0], STEWARDS[1]]);
    let other = head(folder, 7445, [STEWARDS[0], STEWARDS[2]]);
    let heal = ["charter", "propose", "--history", "charters", "--heal", "--out", "heal.charter"];
    let ended = ends(folder, 2, &heal);
    assert!(ended.stderr.contains("nothing to heal"), "{}", ended.stderr);
    for head in [&one, &other] {
        fs::rename(folder.join(head), folder.join("charters").join(head)).expect("kept");
    }

    // Nothing follows a version that stands twice, but what heals it.
    let verify = ["charter", "verify", "charters", "--federation", &federation];
    let ended = ends(folder, 6, &verify);
    assert!(ended.stderr.contains("propose --heal"), "{}", ended.stderr);
    ends(folder, 6, &["charter", "propose", "--history", "charters", "--out", "next.charter"]);
    ends(folder, 0, &heal);
    drop(fs::remove_file(folder.join(format!("{}.signed", STEWARDS[0]))));
    // One of the two who may is not more than half of them, and whoever signed twice counts for nothing.
    assert_eq!(sign(folder, "heal.charter", STEWARDS[0]), 0);
    assert_eq!(sign(folder, "heal.charter", STEWARDS[1]), 0);
    let placed = folder.join("charters/heal.charter");
    fs::copy(folder.join("heal.charter"), &placed).expect("copied");
    let ended = ends(folder, 6, &verify);
    let too_few = "is not signed by enough of those who may";
    assert!(ended.stderr.contains(too_few), "{}", ended.stderr);
    fs::remove_file(&placed).expect("removed");
    assert_eq!(sign(folder, "heal.charter", STEWARDS[2]), 0);
    fs::rename(folder.join("heal.charter"), placed).expect("kept");
    let ended = ends(folder, 0, &verify);
    assert!(ended.stdout.contains("versions 1 to 3"), "{}", ended.stdout);
}
