//! `docs/errors.md` lists every reason that a program can meet, with its cause and its cure; and every one is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sundbro_gateway::reason::{self, Reason};

use crate::page::{holds_table, read};

/// Named before anything can come to them, so that nobody else takes the name: what each waits for.
const SET_ASIDE: [(&str, &str); 2] = [
    ("PAYLOAD_ERASED", "the payload `PayloadErased`"),
    ("LOG_STOPPED", "a call that reads entries of a log one by one"),
];

#[test]
fn docs_errors_lists_every_reason_with_cause_and_cure() {
    for (section, reasons) in reason::SECTIONS {
        let row = |it: &Reason| format!("| `{}` | {} | {} |\n", it.code, it.cause, it.cure);
        let rows: String = reasons.iter().map(row).collect();
        let head = "| reason | cause | cure |\n|---|---|---|\n";
        holds_table("errors.md", &format!("## {section}"), &format!("{head}{rows}"));
    }
    // A row that no section has any more would stand in a table that nobody writes.
    let page = read("errors.md");
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, reason::ALL.len(), "docs/errors.md has rows beyond those of reason.rs");
}

#[test]
fn reasons_are_unique_constants_that_google_rpc_allows_with_a_cause_and_a_cure() {
    let codes: BTreeSet<_> = reason::ALL.iter().map(|reason| reason.code).collect();
    assert_eq!(codes.len(), reason::ALL.len());
    for Reason { code, cause, cure } in reason::ALL {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(code.len() <= 63 && code.bytes().all(fits), "{code}");
        for sentence in [cause, cure] {
            assert!(sentence.len() > 10 && sentence.ends_with('.'), "{code}: {sentence}");
        }
    }
}

/// Every Rust file below a folder that is neither a test nor one that only lists reasons.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "reason.rs" {
            found.push(path);
        }
    }
}

#[test]
fn every_reason_comes_from_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["gateway/src", "gateway/store/src", "gateway/ledger/src", "adapters/src"] {
        sources(&root.join(folder), &mut files);
    }
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a source");
    let mut text: String = files.iter().map(read).collect();
    // Quarantine reasons are written where an adapter uses their variant.
    text.push_str(&read(&root.join("adapters/src/reason.rs")));
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii() || !word(c as u8)).collect();
    for Reason { code, .. } in reason::ALL {
        let waits = SET_ASIDE.iter().find(|(set_aside, _)| set_aside == code);
        match waits {
            None => {
                assert!(words.contains(code), "{code}: nothing ends with it: use it or take it out")
            }
            Some((_, what)) => {
                assert!(!words.contains(code), "{code} is used: it no longer waits for {what}");
            }
        }
    }
}
