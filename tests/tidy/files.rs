//! What every file of the repository looks like.

use crate::repository::{files, is_foreign, root, text};

/// Near this many lines a file has a second idea in it.
const MAX_LINES: usize = 800;

#[test]
fn the_first_line_of_every_rust_file_says_its_idea() {
    let Some(files) = files() else { return };
    let silent: Vec<_> = files
        .iter()
        .filter(|file| file.ends_with(".rs") && !is_foreign(file))
        .filter(|file| {
            let text = text(file).unwrap_or_default();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("//! ").is_none_or(|idea| idea.len() <= 10)
        })
        .collect();
    assert!(silent.is_empty(), "first line is not `//! <one idea>`: {silent:?}");
}

#[test]
fn no_file_has_grown_a_second_idea() {
    let Some(files) = files() else { return };
    let long: Vec<_> = files
        .iter()
        .filter(|file| !is_foreign(file))
        .filter_map(|file| Some((file, text(file)?.lines().count())))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}

#[test]
fn no_file_says_what_belongs_on_one_desk_only() {
    // Written in two halves, or this file would be the first to fail.
    let words = [
        (concat!("TO", "DO"), "finish it, or write down the limit where its user reads it"),
        (concat!("FIX", "ME"), "fix it"),
        (concat!("/ro", "ot/"), "a path of one machine"),
        (concat!("/ho", "me/"), "a path of one machine"),
        (concat!("/Us", "ers/"), "a path of one machine"),
        (concat!("/wo", "rk/"), "a path of one machine"),
        (concat!("<<<<", "<<< "), "an unfinished merge"),
    ];
    let Some(files) = files() else { return };
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !is_foreign(file)) {
        let Some(text) = text(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for (word, cure) in words {
                if line.contains(word) {
                    found.push(format!("{file}:{}: `{word}`: {cure}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn text_ends_with_one_newline_and_carries_no_carriage_returns() {
    let Some(files) = files() else { return };
    let wrong: Vec<_> = files
        .iter()
        .filter(|file| !is_foreign(file))
        .filter(|file| {
            text(file).is_some_and(|text| {
                !text.is_empty()
                    && (!text.ends_with('\n') || text.ends_with("\n\n") || text.contains('\r'))
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_link_between_our_pages_leads_somewhere() {
    let Some(files) = files() else { return };
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text = text(file).unwrap_or_default();
        let folder = root().join(file).parent().map(ToOwned::to_owned).unwrap_or_default();
        // Every second piece between backticks is code; what stands between `](` and `)` in the others is a link.
        let prose: String = text.split('`').step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0.split('#').next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !elsewhere && !folder.join(target).exists() {
                broken.push(format!("{file}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
