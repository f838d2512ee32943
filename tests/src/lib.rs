//! Tests that span crates live in the folders beside this file, one test program each.
//!
//! `tests/README.md` says what each of them shows and how to run it.

use std::path::PathBuf;

/// The binary `sundbro` that the same build made; `cargo test --workspace` makes it.
///
/// `None`, with the line that the test run counts, where it was not built.
pub fn sundbro() -> Option<PathBuf> {
    // <target>/<profile>/deps/<this test>
    let folder = std::env::current_exe().ok()?.parent()?.parent()?.to_owned();
    let binary = folder.join("sundbro");
    if binary.is_file() {
        return Some(binary);
    }
    println!("SKIPPED: {} is not built: cargo build --bin sundbro", binary.display());
    None
}
