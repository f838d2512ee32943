//! The layers of ARCHITECTURE.md, read off `cargo tree`: an arrow that points the other way fails here.

use std::collections::BTreeSet;
use std::process::Command;

use crate::repository::{files, root, text};

/// The crates that a crate builds into its users, all features on.
fn reaches(package: &str, edges: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--package", package, "--edges", edges, "--all-features"])
        .args(["--prefix", "none", "--format", "{p}", "--offline", "--locked"])
        .output()
        .expect("cargo runs these tests, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: BTreeSet<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.remove(package), "cargo tree does not show {package} itself: {names:?}");
    names
}

/// Fails if `package` reaches a crate of ours that is not in `ours`, or any in `never`.
fn check(package: &str, ours: &[&str], never: &[&str]) {
    let reached = reaches(package, "normal");
    let of_ours: Vec<_> =
        reached.iter().filter(|name| name.starts_with("sundbro-")).map(String::as_str).collect();
    assert_eq!(of_ours, ours, "{package} may use exactly these crates of ours");
    let forbidden: Vec<_> = never.iter().filter(|name| reached.contains(**name)).collect();
    assert!(
        forbidden.is_empty(),
        "{package} reaches {forbidden:?}; see `cargo tree -p {package} -e normal -i NAME`"
    );
}

#[test]
fn the_ledger_has_no_input_output_clock_randomness_or_async() {
    check(
        "sundbro-ledger",
        &["sundbro-proto"],
        &[
            "tokio",
            "tonic",
            "hyper",
            "redb",
            "rustls",
            "serde",
            "serde_core",
            "serde_json",
            "getrandom",
            "rand",
            "rand_core",
            "jiff",
            "tracing",
            "tempfile",
        ],
    );
}

#[test]
fn the_store_knows_tables_and_no_peers() {
    check(
        "sundbro-store",
        &["sundbro-ledger", "sundbro-proto"],
        &["tokio", "tonic", "hyper", "rustls", "serde_json"],
    );
}

#[test]
fn the_adapters_know_nothing_of_the_federation() {
    check("sundbro-adapters", &[], &["tonic", "prost", "redb", "rustls", "ed25519-dalek"]);
}

#[test]
fn messages_without_services_need_no_grpc() {
    let messages = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .current_dir(root())
        .args(["tree", "-p", "sundbro-proto", "-e", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--offline", "--locked"])
        .output()
        .expect("cargo runs these tests, so it can be run");
    let text = String::from_utf8_lossy(&messages.stdout);
    assert!(text.contains("prost v"), "{text}");
    assert!(!text.contains("tonic v") && !text.contains("tokio v"), "{text}");
    check("sundbro-proto", &[], &["redb"]);
}

#[test]
fn the_development_pki_stands_alone() {
    check("sundbro-certs", &[], &["tokio", "tonic", "redb"]);
}

#[test]
fn one_tls_library_is_built() {
    let reached = reaches("sundbro-gateway", "normal,build");
    for name in ["ring", "openssl", "openssl-sys", "native-tls", "protoc-bin-vendored"] {
        assert!(
            !reached.contains(name),
            "sundbro-gateway builds {name}: see deny.toml for why not"
        );
    }
    // The other checks would pass on an empty list; these are what the gateway cannot do without.
    for name in ["tokio", "tonic", "redb", "rustls", "sundbro-ledger", "sundbro-adapters"] {
        assert!(reached.contains(name), "cargo tree no longer shows {name}");
    }
}

#[test]
fn the_ledger_names_no_disk_socket_thread_or_clock() {
    // cargo tree cannot see the standard library; clippy.toml sees calls, and lets the ledger's tests read vectors.
    let banned = [
        "std::fs",
        "std::net",
        "std::thread",
        "std::process",
        "std::env",
        "SystemTime",
        "Instant::",
    ];
    let Some(files) = files() else { return };
    let sources: Vec<_> = files
        .iter()
        .filter(|file| file.starts_with("gateway/ledger/src/") && file.ends_with(".rs"))
        .collect();
    assert!(!sources.is_empty());
    for file in sources {
        let text = text(file).unwrap_or_default();
        for word in banned {
            assert!(
                !text.contains(word),
                "{file} names {word}: bring what it gives in from the caller"
            );
        }
    }
}
