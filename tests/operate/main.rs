//! The pages are true: every command that `docs/operate.md` and the runbooks show is run, in order, and must print what the
//! page says.
//!
//! A page is a Bash session. Which blocks run, and what the test puts in place of the page's ports, the page itself says.

mod page;
mod session;

use std::path::Path;

use page::{Page, Step};
use session::Session;

/// The page's ports, which the test replaces by free ones.
const PORTS: [&str; 6] = ["7443", "7444", "7445", "8443", "8444", "8445"];

/// Heading of the operator's page before which two members run and have published.
const AFTER_SETUP: &str = "\n## 7 ";

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("repository").join(name);
    std::fs::read_to_string(path).expect("the page is there")
}

#[test]
fn every_command_of_the_operators_page_does_what_the_page_says() {
    let Some(binary) = sundbro_tests::sundbro() else { return };
    let text = read("docs/operate.md");
    let page = Page::parse(&text).expect("the page has the form that it describes");
    let commands = page.steps.iter().filter(|step| matches!(step, Step::Command(_))).count();
    // An empty page would pass; this one has a story to tell.
    assert!(commands > 40, "the page shows only {commands} commands");
    for port in PORTS {
        assert!(text.contains(port), "the page no longer uses port {port}");
    }
    let session = Session::new(&binary).expect("a folder and free ports");
    if let Err(problem) = session.run(&page) {
        let kept = session.keep();
        panic!("docs/operate.md: {problem}\nfolders and logs are kept in {}", kept.display());
    }
}

/// Runs a runbook in the federation that the operator's page sets up.
fn runbook(name: &str) {
    let Some(binary) = sundbro_tests::sundbro() else { return };
    let operate = read("docs/operate.md");
    let (setup, _) = operate.split_once(AFTER_SETUP).expect("the page has this heading");
    let mut page = Page::parse(setup).expect("the page has the form that it describes");
    let runbook = Page::parse(&read(&format!("docs/runbooks/{name}.md"))).expect("a page");
    assert!(runbook.steps.len() > 3, "the runbook shows only {} steps", runbook.steps.len());
    page.steps.extend(runbook.steps);
    let session = Session::new(&binary).expect("a folder and free ports");
    if let Err(problem) = session.run(&page) {
        let kept = session.keep();
        panic!(
            "docs/runbooks/{name}.md: {problem}\nfolders and logs are kept in {}",
            kept.display()
        );
    }
}

#[test]
fn the_runbook_for_restoring_holds() {
    runbook("restore");
}

#[test]
fn the_runbook_for_a_lost_key_holds() {
    runbook("key-loss");
}

#[test]
fn the_runbook_for_shutting_a_member_out_holds() {
    runbook("expulsion");
}

#[test]
fn the_runbook_for_a_member_that_signed_twice_holds() {
    runbook("equivocation");
}

#[test]
fn the_runbook_for_a_full_disk_holds() {
    runbook("disk-full");
}

#[test]
fn every_runbook_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("repository");
    let own = include_str!("main.rs");
    for entry in std::fs::read_dir(folder.join("docs/runbooks")).expect("runbooks") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(own.contains(&format!("runbook(\"{name}\")")), "nothing runs {name}.md");
    }
}

#[test]
fn a_page_whose_output_differs_is_found_out() {
    let Some(binary) = sundbro_tests::sundbro() else { return };
    let check = |text: &str, expected: &str| {
        let page = Page::parse(text).expect("parses");
        let session = Session::new(&binary).expect("session").impatient();
        let problem = session.run(&page).expect_err(text);
        assert!(problem.contains(expected), "{problem}");
    };
    check("```console\n$ echo one\ntwo\n```\n", "line 2: `echo one`: did not print `two`");
    check("```console\n$ true\n$ false\n```\n", "line 3: `false`: ended with 1");
    check("```console\n$ printf 'b\\na\\n'\na\nb\n```\n", "did not print `b`");
    check("```console\n$ sundbro no-such-command\n```\n", "ended with 2");
    check("```console eventually\n$ echo one\ntwo\n```\n", "did not print `two`");
}

#[test]
fn a_page_is_one_session_with_files_and_a_wildcard() {
    let Some(binary) = sundbro_tests::sundbro() else { return };
    let text = "```text file=a/b.txt\nport 7443\n```\n\n```console\n$ cd a; NAME=$(cat b.txt)\n```\n\n\
                ```console\n$ echo \"$NAME\" \\\n>   and more\nport … more\n$ sundbro --version\nsundbro …\n```\n\n\
                ```sh\nfalse\n```\n";
    let page = Page::parse(text).expect("parses");
    let session = Session::new(&binary).expect("session");
    session.run(&page).expect("holds");
    let written = std::fs::read_to_string(session.folder().join("a/b.txt")).expect("written");
    assert!(written.starts_with("port ") && !written.contains("7443"), "{written}");
}

#[test]
fn a_page_in_another_form_is_refused() {
    for (text, problem) in [
        ("```console\n$ true\n", "line 1: the block is not closed"),
        ("```console\nout\n```\n", "line 2: output without a command"),
        ("```console later\n$ true\n```\n", "line 1: `later`"),
    ] {
        assert!(Page::parse(text).expect_err(text).contains(problem), "{text}");
    }
}
