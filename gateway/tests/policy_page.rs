//! `docs/policy.md`: its rules are valid, it names everything that a rule can speak of, and its table holds.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sundbro_gateway::policy::defaults::{self, SCHEMA};
use sundbro_gateway::policy::{Policy, Source};

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md");
    fs::read_to_string(page).expect("docs/policy.md")
}

/// The blocks of this kind, with the file name that each gives after `file=`.
fn blocks(page: &str, kind: &str) -> Vec<(String, String)> {
    let fence = format!("```{kind} file=");
    let blocks = page.split(&fence as &str).skip(1);
    let block = |block: &str| {
        let (name, rest) = block.split_once('\n')?;
        let (text, _) = rest.split_once("```")?;
        Some((name.to_owned(), text.to_owned()))
    };
    blocks.filter_map(block).collect()
}

fn sundbro(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sundbro"));
    command.args(args).current_dir(folder).env_remove("SUNDBRO_CONFIG").output().expect("runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The folder that the page describes, and the table beside it.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    defaults::write(&folder.path().join("policy")).expect("written");
    let page = page();
    for kind in ["cedar", "toml"] {
        for (name, text) in blocks(&page, kind) {
            fs::write(folder.path().join(name), text).expect("written");
        }
    }
    folder
}

#[test]
fn each_rule_on_the_page_is_valid_by_itself() {
    let rules = blocks(&page(), "cedar");
    assert!(rules.len() >= 4, "the page shows {} files", rules.len());
    for (name, text) in rules {
        let policy = Policy::parse(&[Source { name: name.clone(), text }]);
        let policy = policy.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert!(!policy.rules().is_empty(), "{name} has no rule");
    }
}

#[test]
fn the_page_names_everything_that_the_schema_has() {
    let page = page();
    let mut missing = Vec::new();
    let mut found = 0;
    let code = SCHEMA.lines().filter(|line| !line.trim_start().starts_with("//"));
    for word in
        code.flat_map(|line| line.split(|it: char| !it.is_alphanumeric() && it != '_' && it != '-'))
    {
        let keyword = ["entity", "enum", "in", "type", "action", "appliesTo", "String"]
            .contains(&word)
            || ["principal", "resource", "context", ""].contains(&word);
        if !keyword {
            found += 1;
            if !page.contains(word) {
                missing.push(word.to_owned());
            }
        }
    }
    assert!(found > 30 && missing.is_empty(), "docs/policy.md does not name {missing:?}");
}

#[test]
fn the_commands_of_the_page_say_what_it_says() {
    let folder = written();
    let folder = folder.path();
    let check = sundbro(&["policy", "check", "policy"], folder);
    let said = text(&check);
    assert_eq!(check.status.code(), Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
    let tested = sundbro(&["policy", "test", "cases.toml", "--policy", "policy"], folder);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested));
    assert!(text(&tested).ends_with(" as expected, 0 not\n"), "{}", text(&tested));

    // A table can fail, and a typing error in it is none that passes.
    let table = fs::read_to_string(folder.join("cases.toml")).expect("read");
    let run = |table: String| {
        fs::write(folder.join("other.toml"), table).expect("written");
        let output =
            sundbro(&["policy", "test", "other.toml", "--policy", "policy", "--json"], folder);
        (output.status.code(), text(&output))
    };
    let (code, said) = run(table.replacen("expect = \"permit\"", "expect = \"deny\"", 1));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"decision\":\"permit\""), "{said}");
    let (code, said) = run(table.replacen("role =", "roll =", 1));
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(
        run("[[case]]\nexpect = \"deny\"\nrole = \"x\"\npurpose = \"X\"".to_owned()).0,
        Some(2)
    );
    assert_eq!(run(String::new()).0, Some(2));
}

#[test]
fn explain_tells_the_rule_and_what_would_have_been_permitted() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    defaults::write(&folder.join("policy")).expect("written");
    let explain = |more: &[&str]| {
        let args = [&["policy", "explain", "--policy", "policy", "--json"], more].concat();
        let output = sundbro(&args, folder);
        let json: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        (output.status.code(), json)
    };
    let (code, permit) = explain(&["--role", "midwife", "--purpose", "TREAT"]);
    assert_eq!((code, &permit["rule"]), (Some(0), &"treating-staff".into()));
    assert_eq!(permit["place"], "treatment.cedar:3");
    let sha256 = hex::encode(Policy::defaults().sha256());
    assert_eq!(permit["policy_sha256"], sha256);
    let (code, deny) = explain(&["--role", "clerk", "--purpose", "TREAT"]);
    assert_eq!(
        (code, &deny["rule"], &deny["place"]),
        (Some(4), &"default-deny".into(), &serde_json::Value::Null)
    );
    let options: Vec<_> = deny["nearest"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| change["value"].clone())
        .collect();
    assert_eq!(options, ["doctor", "health-visitor", "midwife"]);
    // Every change that it tells is one that the policy permits.
    for change in deny["nearest"].as_array().expect("a list") {
        let value = change["value"].as_str().expect("a role");
        let (code, permit) = explain(&["--role", value, "--purpose", "TREAT"]);
        assert_eq!((code, &permit["rule"]), (Some(0), &change["rule"]));
    }
    let (code, glass) =
        explain(&["--role", "doctor", "--purpose", "TREAT", "--break-glass", "VITAL_INTEREST"]);
    assert_eq!(code, Some(4));
    let told: Vec<_> = glass["nearest"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| (change["option"].clone(), change["value"].clone()))
        .collect();
    assert_eq!(
        told,
        [("break-glass".into(), serde_json::Value::Null), ("purpose".into(), "ETREAT".into())]
    );
    let (code, token) =
        explain(&["--role", "doctor", "--purpose", "TREAT", "--confidentiality", "R"]);
    assert_eq!((code, &token["rule"]), (Some(4), &"restricted-takes-a-token".into()));
    let unknown = sundbro(
        &["policy", "explain", "--policy", "policy", "--role", "x", "--purpose", "FUN"],
        folder,
    );
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown).contains("use TREAT, ETREAT, PATRQT, HOPERAT"), "{}", text(&unknown));
}

#[test]
fn check_refuses_with_file_and_line_and_warns_of_what_lets_everybody_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let dir = folder.join("policy");
    defaults::write(&dir).expect("written");
    let rule = "@id(\"open\")\n@says(\"for a test\")\npermit (principal, action == Action::\"read\", resource);\n";
    fs::write(dir.join("open.cedar"), rule).expect("written");
    let open = sundbro(&["policy", "check", "policy"], folder);
    assert_eq!(open.status.code(), Some(0));
    assert!(
        text(&open).contains("warning: open.cedar:1: rule \"open\" permits"),
        "{}",
        text(&open)
    );
    fs::write(dir.join("open.cedar"), rule.replace("resource)", "resource) when { context.x }"))
        .expect("written");
    let wrong = sundbro(&["policy", "check", "policy", "--json"], folder);
    assert_eq!(wrong.status.code(), Some(2));
    let said = text(&wrong);
    assert!(said.contains("open.cedar:3: ") && said.contains("POLICY_INVALID"), "{said}");
    let absent = sundbro(&["policy", "check", "nowhere"], folder);
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent).contains("there is no policy folder nowhere"), "{}", text(&absent));
}
