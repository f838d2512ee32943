//! Finds the repository and the files in it that are ours to keep tidy.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the repository")
        .to_owned()
}

/// Every tracked file, and every new one that git would not ignore, relative to [`root`].
///
/// `None`, with the line that the test run counts, in an unpacked archive without git.
pub(crate) fn files() -> Option<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        println!("SKIPPED: not a git work tree, so which files are ours cannot be told");
        return None;
    };
    let names = String::from_utf8(output.stdout).expect("file names here are UTF-8");
    let mut files: Vec<_> = names.split_terminator('\0').map(str::to_owned).collect();
    // A file that was deleted but not yet staged is still listed.
    files.retain(|file| root().join(file).is_file());
    assert!(files.len() > 20, "git lists only {} files", files.len());
    Some(files)
}

/// The text of a file; nothing for binary ones.
pub(crate) fn text(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).expect("listed a moment ago")).ok()
}

/// Written by a program, or by people elsewhere: nobody here edits it by hand.
pub(crate) fn is_foreign(file: &str) -> bool {
    file.starts_with("proto/src/gen/")
        || file.starts_with("tests/vectors/")
        || file.starts_with("tests/fuzz/corpora/")
        || file.starts_with("LICENSE")
        || file.ends_with(".lock")
        || file.ends_with("go.sum")
}
