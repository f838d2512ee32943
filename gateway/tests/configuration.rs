//! The configuration: good files mean what they say, bad ones are refused with every problem at once, and each key is
//! documented and stands in the example.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sundbro_gateway::config::{Config, ConfigError, Endpoint, File};
use sundbro_ledger::ids::MemberName;
use support::folder;

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

fn example() -> String {
    fs::read_to_string(docs("examples/gateway.toml")).expect("the example")
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/sundbro/gateway.toml"), false)
}

/// Key and complaint of every problem.
fn problems(text: &str) -> Vec<(String, String)> {
    let error = parse(text).expect_err("must be refused");
    error.problems.into_iter().map(|problem| (problem.key, problem.what)).collect()
}

const MINIMAL: &str = r#"
    member = "gp.example"
    federation_id = "6d0c6d4b6a1c3f6b2b1d8b1a9f3ef8e8a1f4a0c1e2d3b4a5968778695a4b3c2d"
    data_dir = "data"
    [federation]
    listen = "127.0.0.1:0"
    tls = { certificate = "f.pem", key = "f.key" }
    [local]
    listen = "127.0.0.1:0"
    tls = { certificate = "l.pem", key = "l.key" }
"#;

#[test]
fn the_example_means_what_it_says() {
    let config = parse(&example()).expect("the example is valid");
    assert_eq!(config.member.as_str(), "rigshospitalet.regionh.example");
    assert_eq!(config.federation.tls.key, Path::new("/etc/sundbro/tls/federation.key"));
    assert_eq!(config.local.clients.len(), 2);
    assert!(config.local.clients[1].operator && !config.local.clients[0].operator);
    let kommune = MemberName::new("kommune.example").expect("name");
    let there = Endpoint { host: "10.20.0.7".to_owned(), port: 7443 };
    assert_eq!(config.dial.get(&kommune), Some(&there));
}

#[test]
fn a_minimal_file_gets_every_default() {
    let config = parse(MINIMAL).expect("valid");
    assert_eq!(config.gate_file, Path::new("/etc/sundbro/data/signing.gate"));
    assert_eq!(config.keys_dir, Path::new("/etc/sundbro/data/keys"));
    assert_eq!(config.coverage_max_age.as_secs(), 60);
    assert_eq!(config.policy_dir, None);
    assert!(config.documents.is_empty() && config.dial.is_empty());
}

#[test]
fn all_problems_are_reported_at_once_with_key_line_and_remedy() {
    let text = r#"
member = "Hospital"
federation_id = 7
colour = "blue"
coverage_max_age_ms = 1

[federation]
listen = "everywhere"
tls = { certificate = "f.pem", kay = "f.key" }

[[local.clients]]
name = "epr"
roles = ["midwife", 3]
purposes = ["CURIOSITY"]

[dial]
"kommune.example" = "kommune"

[[adapters.documents]]
name = "a b"
folder = "in"
profile = "se"

[log]
format = "xml"
"#;
    let error = parse(text).expect_err("must be refused");
    let keys: BTreeSet<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    for key in [
        "member",
        "federation_id",
        "colour",
        "coverage_max_age_ms",
        "data_dir",
        "federation.listen",
        "federation.tls.kay",
        "federation.tls.key",
        "local.listen",
        "local.tls.certificate",
        "local.tls.key",
        "local.tls.client_cas",
        "local.clients[0].roles",
        "local.clients[0].certificate_sha256",
        "local.clients[0].purposes",
        "dial.kommune.example",
        "adapters.documents[0].name",
        "adapters.documents[0].profile",
        "log.format",
    ] {
        assert!(keys.contains(key), "{key} is missing among {keys:?}");
    }
    assert_eq!(keys.len(), 19, "{keys:?}");
    assert!(error.problems.iter().all(|problem| !problem.remedy.is_empty()));
    let colour = error.problems.iter().find(|problem| problem.key == "colour").expect("colour");
    assert_eq!(colour.line, Some(4));
    assert!(error.to_string().starts_with("/etc/sundbro/gateway.toml has "));
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let error = parse("member = 'gp.example'\n= 1\n").expect_err("must be refused");
    assert_eq!((error.problems[0].line, error.problems[0].key.as_str()), (Some(2), ""));
}

#[test]
fn names_are_unique_and_a_client_is_told_in_one_way() {
    let clients = |second: &str| {
        let first = "name = 'a'\ncertificate_san = 'a.example'";
        let cas = MINIMAL.replace("\"l.key\" }", "\"l.key\", client_cas = [\"ca.pem\"] }");
        format!("{cas}\n[[local.clients]]\n{first}\n[[local.clients]]\n{second}")
    };
    parse(&clients("name = 'b'\ncertificate_san = 'b.example'")).expect("valid");
    let found = problems(&clients("name = 'a'\ncertificate_san = 'b.example'"));
    assert_eq!(found, [("local.clients[1].name".to_owned(), "is used twice".to_owned())]);
    let digest = "ab".repeat(32);
    let both =
        format!("name = 'b'\ncertificate_san = 'b.example'\ncertificate_sha256 = '{digest}'");
    assert_eq!(problems(&clients(&both))[0].0, "local.clients[1].certificate_sha256");
    let colons = "AB:".repeat(31) + "AB";
    parse(&clients(&format!("name = 'b'\ncertificate_sha256 = '{colons}'"))).expect("valid");
}

#[test]
fn endpoints_are_host_and_port() {
    let check = |text, expected: Option<(&str, u16)>| {
        let expected = expected.map(|(host, port)| Endpoint { host: host.to_owned(), port });
        assert_eq!(Endpoint::parse(text), expected, "{text}");
    };
    check("gw.example:7443", Some(("gw.example", 7443)));
    check("[2001:db8::1]:7443", Some(("2001:db8::1", 7443)));
    check("10.0.0.1:1", Some(("10.0.0.1", 1)));
    for bad in ["gw.example", "gw.example:0", ":1", "gw.example:65536", "[::1:1", "a b:1", "::1:1"]
    {
        check(bad, None);
    }
    let shown = Endpoint { host: "2001:db8::1".to_owned(), port: 7443 }.to_string();
    assert_eq!(shown, "[2001:db8::1]:7443");
}

#[test]
#[cfg(unix)]
fn a_key_that_everybody_can_read_is_refused_and_so_is_a_missing_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, MINIMAL).expect("write");
    for name in ["f.pem", "f.key", "l.pem", "l.key"] {
        support::put(&folder.path().join(name), b"x");
    }
    Config::load(&file).expect("valid");
    let key = folder.path().join("f.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("mode");
    fs::remove_file(folder.path().join("l.pem")).expect("remove");
    let error = Config::load(&file).expect_err("must be refused");
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["federation.tls.key", "local.tls.certificate"]);
}

#[test]
fn the_command_line_exits_2_on_a_bad_configuration_and_0_on_a_good_one() {
    let folder = folder();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, "colour = 'blue'").expect("write");
    let check = |file: &Path| {
        let sundbro = env!("CARGO_BIN_EXE_sundbro");
        Command::new(sundbro).args(["config", "check"]).arg(file).output().expect("runs")
    };
    let output = check(&file);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("`colour`") && text.contains("`member` is missing"), "{text}");
    for name in ["f.pem", "f.key", "l.pem", "l.key"] {
        support::put(&folder.path().join(name), b"x");
    }
    fs::write(&file, MINIMAL).expect("write");
    assert_eq!(check(&file).status.code(), Some(0));
}

/// Every key that the structs have, as the documentation writes it; lists of tables end in `[]`.
fn keys_of(value: &serde_json::Value, prefix: &str, keys: &mut BTreeSet<(String, bool)>) {
    match value {
        // Free keys: members that are dialled elsewhere.
        serde_json::Value::Object(_) if prefix == "dial" => {
            keys.insert(("dial.<member>".to_owned(), true));
        }
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let path =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                keys_of(value, &path, keys);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            for item in items {
                keys_of(item, &format!("{prefix}[]"), keys);
            }
        }
        value => {
            keys.insert((prefix.to_owned(), !value.is_null()));
        }
    }
}

#[test]
fn every_key_is_in_the_example_and_in_the_documentation() {
    let file: File = toml::from_str(&example()).expect("the example");
    let mut found = BTreeSet::new();
    keys_of(&serde_json::to_value(&file).expect("JSON"), "", &mut found);
    let set: BTreeSet<_> =
        found.iter().filter(|(_, set)| *set).map(|(key, _)| key.clone()).collect();
    // A list of tables that one client leaves out stands in another, by its elements' keys.
    let is_table = |key: &String| set.iter().any(|set| set.starts_with(&format!("{key}[]")));
    let all: BTreeSet<_> =
        found.iter().map(|(key, _)| key.clone()).filter(|key| !is_table(key)).collect();
    assert_eq!(all, set, "the example leaves keys out");

    let page = fs::read_to_string(docs("configuration.md")).expect("docs/configuration.md");
    let mut documented = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "key, meaning, default and range, power: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        let power = cells[3].trim_end_matches('|').trim();
        assert!(["forge", "read", "stop"].iter().any(|word| power.starts_with(word)), "{line}");
        documented.insert(cells[0].trim_matches('`').to_owned());
    }
    assert_eq!(documented, all, "docs/configuration.md and the structs differ");
}
