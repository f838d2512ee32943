//! Every reason that a program can meet is documented with its cause and its cure.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sundbro_gateway::reason;

#[test]
fn docs_errors_lists_every_reason_with_cause_and_cure() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = fs::read_to_string(page).expect("docs/errors.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = reason::ALL
        .iter()
        .map(|reason| format!("| `{}` | {} | {} |", reason.code, reason.cause, reason.cure))
        .collect();
    assert_eq!(rows, expected, "docs/errors.md and reason.rs differ");
}

#[test]
fn reasons_are_unique_constants_that_google_rpc_allows() {
    let codes: BTreeSet<_> = reason::ALL.iter().map(|reason| reason.code).collect();
    assert_eq!(codes.len(), reason::ALL.len());
    for code in codes {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(code.len() <= 63 && code.bytes().all(fits), "{code}");
    }
}
