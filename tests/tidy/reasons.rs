//! Every constant that an operator can meet in status, coverage, audit or a verdict stands in `docs/errors.md`.

use crate::repository::text;

/// Where such constants are written. Those of gRPC errors are compared row by row in `gateway/tests/pages/errors.rs`.
const SOURCES: [&str; 6] = [
    "gateway/ledger/src/log/refusal.rs",
    "gateway/ledger/src/receipt/mod.rs",
    "gateway/store/src/gate.rs",
    "gateway/src/replication/reasons.rs",
    "gateway/src/replication/pull_entries.rs",
    "gateway/src/retrieval/audit.rs",
];

/// String literals that are constants by their form.
fn constants(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').skip(1).step_by(2).filter(|literal| {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        literal.len() >= 5 && literal.bytes().all(fits)
    })
}

#[test]
fn every_constant_that_status_shows_is_explained() {
    let page = text("docs/errors.md").expect("the page is there");
    let mut missing = Vec::new();
    for source in SOURCES {
        let text = text(source).expect("the source is there: if it moved, follow it here");
        let found: Vec<_> = constants(&text).collect();
        assert!(!found.is_empty(), "{source} holds no constant any more: follow them here");
        missing.extend(
            found
                .into_iter()
                // What a program prints when a peer says something that it does not know.
                .filter(|code| *code != "UNKNOWN_PROBLEM" && !page.contains(&format!("`{code}`")))
                .map(|code| format!("{source}: {code}")),
        );
    }
    assert!(missing.is_empty(), "docs/errors.md does not explain {missing:?}");
}
