//! Searches what the gateways wrote, and shows for every form that it would have been found.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Tally;
use crate::life::Lived;
use crate::needles::Searcher;

/// What lies in a member's folder and was not written by its gateway: the documents themselves, and what a user has
/// fetched of them.
const NOT_WRITTEN: [&str; 2] = ["documents", "scratch"];
/// Where the name of a file must be kept, so that the file can be opened: the owner's own database.
const KEEPS_LOCATORS: &str = "ledger.redb";

/// Searches everything.
pub fn search(lived: &Lived, everywhere: &Searcher, in_file_names: &Searcher, tally: &mut Tally) {
    let mut files = Vec::new();
    for folder in &lived.folders {
        collect(folder, true, &mut files);
    }
    for what in ["gateway.log", "ledger.redb", "payloads.redb", "index.redb", "audit.redb"] {
        let count = files.iter().filter(|(path, _)| path.ends_with(what)).count();
        tally.check(&format!("{what} of five gateways"), count == lived.folders.len(), || {
            format!("{count}")
        });
    }
    for (path, bytes) in &files {
        let name = path.display();
        look(&format!("{name}: person in a document"), everywhere, bytes, tally);
        if !path.ends_with(KEEPS_LOCATORS) {
            look(&format!("{name}: person in a file name"), in_file_names, bytes, tally);
        }
    }
    for (command, text) in &lived.printed {
        look(&format!("what `{command}` printed"), everywhere, text.as_bytes(), tally);
        // Operators need the name of the file that they are told about.
        if command != "quarantine" {
            look(
                &format!("what `{command}` printed, file names"),
                in_file_names,
                text.as_bytes(),
                tally,
            );
        }
    }
    plant(&files, everywhere, tally);
}

fn look(cell: &str, searcher: &Searcher, bytes: &[u8], tally: &mut Tally) {
    let found = searcher.find(bytes);
    tally.check(cell, found.is_empty(), || {
        let tell = |(pattern, at): &(&crate::needles::Pattern, usize)| {
            let (from, to) = (at.saturating_sub(150), bytes.len().min(at + 80));
            let around = String::from_utf8_lossy(&bytes[from..to]).into_owned();
            format!("{:?} as {} at {at}: …{around}…", pattern.needle, pattern.form)
        };
        found.iter().map(tell).collect::<Vec<_>>().join("\n    ")
    });
}

/// Puts each form into the middle of one file of each kind: a search that finds nothing must be able to find it.
fn plant(files: &[(PathBuf, Vec<u8>)], searcher: &Searcher, tally: &mut Tally) {
    for kind in ["log", "redb", "card", "gate"] {
        let of_kind = |path: &Path| path.extension().is_some_and(|it| it == kind);
        let (path, bytes) = files.iter().find(|(path, _)| of_kind(path)).expect("one of each kind");
        for pattern in searcher.patterns() {
            let (before, behind) = bytes.split_at(bytes.len() / 2);
            let planted = [before, &pattern.bytes, behind].concat();
            let found = searcher.find(&planted).iter().any(|(it, _)| *it == pattern);
            let cell = format!("{:?} as {} in {}", pattern.needle, pattern.form, path.display());
            tally.check(&cell, found, || "planted and not found".to_owned());
        }
    }
}

fn collect(folder: &Path, top: bool, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if top && NOT_WRITTEN.iter().any(|it| name == *it) {
            continue;
        }
        let path = entry.path();
        if entry.file_type().expect("a type").is_dir() {
            collect(&path, false, files);
        } else {
            let bytes = fs::read(&path).expect("readable");
            files.push((path, bytes));
        }
    }
}
