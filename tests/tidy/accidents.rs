//! Every accident of `docs/reliability.md` names tests that exist.

use std::collections::BTreeSet;

use crate::repository::{files, text};

#[test]
fn every_accident_names_a_test_that_exists() {
    let Some(files) = files() else { return };
    let page = text("docs/reliability.md").expect("the page is there");
    let rows =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| accident"));
    let sources: Vec<String> = files
        .into_iter()
        .filter(|path| path.ends_with(".rs") && path.contains("tests/"))
        .filter_map(|path| text(&path))
        .collect();
    let mut named = BTreeSet::new();
    for row in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let tests: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "nothing shows this row: {row}");
        named.extend(tests.into_iter().map(str::to_owned));
    }
    assert!(named.len() > 20, "the page names only {} tests", named.len());
    let is_there = |name: &&String| {
        let function = format!("fn {name}()");
        !sources.iter().any(|source| source.contains(&function))
    };
    let missing: Vec<_> = named.iter().filter(is_there).collect();
    assert!(missing.is_empty(), "docs/reliability.md names tests that are not there: {missing:?}");
}
