//! What two members must have in common: the heads of all logs, and the index that follows from them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::member::Member;
use super::wait::holds_within;

/// log → (size, root), as one member holds them, and the root of its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads {
    /// By member.
    pub logs: BTreeMap<String, (u64, String)>,
    /// Root of the shared index.
    pub index_root: String,
}

/// Waits until all have the same heads, nothing lacks anywhere, and their indexes have one root.
pub fn await_equal(members: &[&Member], within: Duration) -> Heads {
    let mut last = Vec::new();
    let equal = holds_within(within, || {
        last = members.iter().map(|member| member.try_heads()).collect();
        let one = last[0].is_some() && last.iter().all(|heads| *heads == last[0]);
        one && members.iter().all(|member| {
            member.try_status().is_some_and(|status| status.coverage.replication_complete)
        })
    });
    let say = |member: &&Member| {
        let summary = member.try_status().map(|status| status.coverage.summary);
        format!("{}: {summary:?}\n{}", member.name, member.last_lines())
    };
    let words: Vec<String> = if equal { Vec::new() } else { members.iter().map(say).collect() };
    assert!(equal, "not equal within {within:?}: {last:#?}\n{}", words.join("\n"));
    last.swap_remove(0).expect("just compared")
}
