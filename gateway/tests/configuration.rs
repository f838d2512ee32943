//! The configuration: good files mean what they say, bad ones are refused with every problem at once, and each key is
//! documented and stands in the example.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sundbro_gateway::config::{Config, ConfigError, Endpoint};
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

#[test]
fn every_problem_with_a_key_of_the_file_has_its_line() {
    let text = "member = 'Hospital'\n\n[federation]\nlisten = 'everywhere'\n\n[[local.clients]]\nname = 'a b'\n";
    let error = parse(text).expect_err("must be refused");
    let line = |key: &str| error.problems.iter().find(|it| it.key == key).and_then(|it| it.line);
    for (key, expected) in [
        ("member", Some(1)),
        ("federation.listen", Some(4)),
        // Where it should stand.
        ("federation.tls.certificate", Some(3)),
        ("local.clients[0].name", Some(7)),
        ("local.clients[0].certificate_sha256", Some(6)),
        ("data_dir", None),
    ] {
        assert_eq!(line(key), expected, "{key}: {error}");
    }
    for problem in &error.problems {
        assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{problem:?}");
    }
}

/// A folder with the example and every file that it names.
fn example_home() -> (tempfile::TempDir, PathBuf) {
    let folder = folder();
    let file = folder.path().join("gateway.toml");
    let text = example()
        .replace("/srv/documents/obstetrics", "documents")
        .replace("/var/lib/sundbro-gate/", "")
        .replace("/var/lib/sundbro", "data")
        .replace("/etc/sundbro/keys", "keys");
    fs::write(&file, text).expect("write");
    fs::create_dir_all(folder.path().join("documents")).expect("a folder");
    fs::create_dir_all(folder.path().join("tls")).expect("a folder");
    for name in ["federation.pem", "federation.key", "federation-ca.crl", "local.pem", "local.key"]
    {
        support::put(&folder.path().join("tls").join(name), b"x");
    }
    for name in ["tls/clients-ca.pem", "tls/clients-ca.crl", "policy.toml"] {
        support::put(&folder.path().join(name), b"x");
    }
    (folder, file)
}

#[test]
fn each_value_in_force_is_shown_with_where_it_comes_from() {
    let (folder, file) = example_home();
    let text = fs::read_to_string(&file).expect("read");
    let values = Config::effective(&file).expect("the example is valid");
    // Every key of the example is there, with the line on which it stands.
    let generic = |key: &str| {
        let no_index: String = key.chars().filter(|it| !it.is_ascii_digit()).collect();
        match key.starts_with("dial.") {
            true => "dial.<member>".to_owned(),
            // Digits of names stay: only those between brackets are an index.
            false if key.contains('[') => no_index.replace("certificate_sha", "certificate_sha256"),
            false => key.to_owned(),
        }
    };
    let shown: BTreeSet<_> = values.iter().map(|value| generic(&value.key)).collect();
    for key in sundbro_gateway::config::KEYS {
        let name = key.name.split(".units[]").next().unwrap_or_default();
        let units = "local.clients[].units";
        let name = if key.name.starts_with(units) { units } else { name };
        assert!(shown.contains(name), "{name} is not shown: {shown:?}");
    }
    let mut from_file = 0;
    for value in &values {
        let Some(line) = value.line else { continue };
        let last = value.key.rsplit('.').next().unwrap_or_default();
        let written = text.lines().nth(line - 1).unwrap_or_default();
        let named = written.contains(last) || value.key.starts_with("dial.");
        assert!(named, "{} is not on line {line}: {written}", value.key);
        from_file += 1;
    }
    assert!(from_file > 25, "only {from_file} come from the file");
    // What is left out is the default.
    fs::write(&file, text.replace("coverage_max_age_ms = 60000\n", "")).expect("write");
    let values = Config::effective(&file).expect("valid");
    let age = values.iter().find(|value| value.key == "coverage_max_age_ms").expect("shown");
    assert_eq!((age.value.as_u64(), age.line), (Some(60_000), None));
    let sundbro = env!("CARGO_BIN_EXE_sundbro");
    let show = Command::new(sundbro)
        .args(["config", "show", "--origin", "gateway.toml"])
        .current_dir(folder.path())
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(said.contains("coverage_max_age_ms = 60000   # default\n"), "{said}");
    assert!(said.contains("log.format = \"json\"   # gateway.toml:"), "{said}");
    assert!(!show.stderr.starts_with(b"error") && show.status.success());
}
