//! Every command of `sundbro` that a page, a message or a comment names exists, with the options shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::repository::{files, text};

/// What `--help` says of one command.
#[derive(Debug, Default)]
struct Help {
    commands: BTreeSet<String>,
    options: BTreeSet<String>,
}

/// The whole tree of commands, by their words after `sundbro`.
fn helps(binary: &Path) -> BTreeMap<Vec<String>, Help> {
    let mut helps = BTreeMap::new();
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        let output = Command::new(binary).args(&path).arg("--help").output().expect("runs");
        assert!(output.status.success(), "sundbro {path:?} --help: {output:?}");
        let help = read_help(&String::from_utf8_lossy(&output.stdout));
        for command in &help.commands {
            let mut deeper = path.clone();
            deeper.push(command.clone());
            waiting.push(deeper);
        }
        helps.insert(path, help);
    }
    helps
}

fn read_help(text: &str) -> Help {
    let mut help = Help::default();
    let mut section = "";
    for line in text.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            section = line;
        } else if section == "Commands:" {
            // Two spaces, the name, its description; continuations stand further in.
            let name = line.strip_prefix("  ").and_then(|rest| rest.split(' ').next());
            help.commands
                .extend(name.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned));
        } else if section == "Options:" {
            let words = line.split([' ', ',', '=']).filter(|word| word.starts_with("--"));
            help.options.extend(words.map(str::to_owned));
        }
    }
    help
}

/// The commands that one file names, each with its place.
fn named(file: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        if file.ends_with(".md") && line.starts_with("```") {
            inside = !inside;
        } else if inside && line.starts_with(['$', '>']) {
            // A line of a session; what follows a pipe, a semicolon or a bracket is another command.
            for part in line.trim_start_matches(['$', '>', ' ']).split(['|', ';', '(', ')', '&']) {
                let part = part.trim_start();
                if part.starts_with("sundbro ") {
                    found.push((at + 1, part.to_owned()));
                }
            }
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            let commands = spans.filter(|span| span.starts_with("sundbro "));
            found.extend(commands.map(|span| (at + 1, span.to_owned())));
        }
    }
    found
}

/// What is wrong with one command, if something is.
fn wrong(helps: &BTreeMap<Vec<String>, Help>, command: &str) -> Option<String> {
    let is_name = |word: &&str| {
        word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-')
    };
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let mut path: Vec<String> = Vec::new();
    for word in words.iter().filter(|word| !word.starts_with("--json")) {
        let help = helps.get(&path)?;
        if help.commands.contains(*word) {
            path.push((*word).to_owned());
        } else if !help.commands.is_empty() && is_name(word) && path != ["verify"] {
            let known: Vec<_> = help.commands.iter().collect();
            return Some(format!("there is no `{word}`, only {known:?}"));
        } else {
            break;
        }
    }
    let help = helps.get(&path)?;
    let options = words.iter().filter(|word| word.starts_with("--"));
    // Written as it is typed, or with a point behind it in a sentence.
    let names = options.map(|word| word.split(['=', ',', '.', ']']).next().unwrap_or_default());
    // Test-only, or hidden from the help because only programs use them.
    let known = |name: &str| {
        help.options.contains(name) || ["--sabotage", "--until-stdin-closes"].contains(&name)
    };
    let unknown: Vec<_> = names.filter(|name| name.len() > 2 && !known(name)).collect();
    (!unknown.is_empty()).then(|| format!("`sundbro {}` has no {unknown:?}", path.join(" ")))
}

#[test]
fn every_command_that_is_named_exists() {
    let (Some(files), Some(binary)) = (files(), sundbro_tests::sundbro()) else { return };
    let helps = helps(&binary);
    let mut seen = 0;
    let mut problems = Vec::new();
    for file in &files {
        let is_ours = [".md", ".rs", ".toml", ".proto"].iter().any(|ending| file.ends_with(ending));
        // This file names some that do not exist.
        if !is_ours || file == "tests/tidy/commands.rs" || file.starts_with("tests/operate/") {
            continue;
        }
        for (line, command) in named(file, &text(file).unwrap_or_default()) {
            seen += 1;
            if let Some(problem) = wrong(&helps, &command) {
                problems.push(format!("{file}:{line}: `{command}`: {problem}"));
            }
        }
    }
    assert!(seen > 60, "only {seen} commands were found: does this test still read the pages?");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_command_is_shown_on_a_page() {
    let (Some(files), Some(binary)) = (files(), sundbro_tests::sundbro()) else { return };
    let pages: Vec<_> = files.iter().filter(|file| file.ends_with(".md")).collect();
    let shown: Vec<String> = pages
        .iter()
        .flat_map(|file| named(file, &text(file).unwrap_or_default()))
        .map(|(_, command)| command)
        .collect();
    let missing: Vec<_> = helps(&binary)
        .into_iter()
        .filter(|(path, help)| help.commands.is_empty() && !path.is_empty())
        .map(|(path, _)| format!("sundbro {}", path.join(" ")))
        .filter(|command| {
            !shown.iter().any(|shown| shown.replace("--json ", "").starts_with(command))
        })
        .collect();
    assert!(missing.is_empty(), "no page shows {missing:?}");
}

#[test]
fn what_does_not_exist_is_found_out() {
    let help = |commands: &[&str], options: &[&str]| Help {
        commands: commands.iter().map(|name| (*name).to_owned()).collect(),
        options: options.iter().map(|name| (*name).to_owned()).collect(),
    };
    let helps = BTreeMap::from([
        (vec![], help(&["log", "run"], &["--json"])),
        (vec!["log".to_owned()], help(&["list"], &["--json"])),
        (vec!["log".to_owned(), "list".to_owned()], help(&[], &["--json", "--client"])),
        (vec!["run".to_owned()], help(&[], &["--json", "--config"])),
    ]);
    for (command, good) in [
        ("sundbro log list", true),
        ("sundbro --json log list --client FILE", true),
        ("sundbro log show", false),
        ("sundbro lag", false),
        ("sundbro run --config=x", true),
        ("sundbro run --client x", false),
        ("sundbro …", true),
    ] {
        assert_eq!(
            wrong(&helps, command).is_none(),
            good,
            "{command}: {:?}",
            wrong(&helps, command)
        );
    }
    let page = "a `sundbro log list` b\n```console\n$ echo | sundbro run --config x & A=$!\nsundbro prints\n```\n";
    let found: Vec<_> = named("a.md", page).into_iter().map(|(_, command)| command).collect();
    assert_eq!(found, ["sundbro log list", "sundbro run --config x "]);
    let read = read_help(
        "x\n\nCommands:\n  log   List\n        more\n  help  Print\n\nOptions:\n  -h, --help  Print\n",
    );
    assert_eq!(read.commands.into_iter().collect::<Vec<_>>(), ["log"]);
    assert!(read.options.contains("--help"));
}
