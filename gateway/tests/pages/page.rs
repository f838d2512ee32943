//! A page with a part that the code writes: compared by default, written anew with `SUNDBRO_WRITE_DOCS=1`.

use std::fs;
use std::path::{Path, PathBuf};

/// A file under `docs/`.
pub fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path)
}

/// The text of a page.
pub fn read(path: &str) -> String {
    fs::read_to_string(docs(path)).expect("the page is there")
}

/// Compares the first table after `heading` with `table`, or writes it there.
pub fn holds_table(path: &str, heading: &str, table: &str) {
    let text = read(path);
    let (before, found, after) =
        table_after(&text, heading).unwrap_or_else(|| panic!("{path}: no table after `{heading}`"));
    if found == table {
        return;
    }
    assert!(
        std::env::var_os("SUNDBRO_WRITE_DOCS").is_some(),
        "{path}, `{heading}`: the table and the code differ: change the code, then \
         `SUNDBRO_WRITE_DOCS=1 cargo test -p sundbro-gateway --test pages` writes the table\n\
         the page has:\n{found}\nthe code says:\n{table}"
    );
    fs::write(docs(path), format!("{before}{table}{after}")).expect("the page is written");
}

/// What stands before the table, the table, and what stands after it.
fn table_after<'a>(text: &'a str, heading: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let line = format!("{heading}\n");
    let heading = text.match_indices(&line).find(|(at, _)| *at == 0 || text[..*at].ends_with('\n'));
    let (at, found) = heading?;
    let from = at + found.len();
    // A table of another section is none of this one.
    let section = &text[from..];
    let section = section.split_once("\n#").map_or(section, |(mine, _)| mine);
    let start = from
        + section.find("\n|").map_or_else(|| usize::from(section.starts_with('|')), |it| it + 1);
    let rows = text[start..].lines().take_while(|line| line.starts_with('|'));
    let length: usize = rows.map(|line| line.len() + 1).sum();
    (length > 0).then(|| (&text[..start], &text[start..start + length], &text[start + length..]))
}

#[test]
fn a_table_is_found_in_its_section_and_nowhere_else() {
    let text = "# a\n\nwords\n\n| 1 |\n| 2 |\n\nmore\n## b\n\n## c\n\n| 3 |\n";
    let (before, after) = ("# a\n\nwords\n\n", "\nmore\n## b\n\n## c\n\n| 3 |\n");
    assert_eq!(table_after(text, "# a"), Some((before, "| 1 |\n| 2 |\n", after)));
    assert_eq!(table_after(text, "## b"), None);
    assert_eq!(table_after(text, "## c").map(|it| it.1), Some("| 3 |\n"));
    assert_eq!(table_after(text, "## d"), None);
}
