//! Holds every law against every input that is kept: what fuzzing began with, what it found, and the golden vectors.
//!
//! `SUNDBRO_WRITE_CORPORA=1 cargo test -p sundbro-tests --test fuzz_replay` writes the inputs that the laws begin with.
//! Others come from `tests/fuzz/run`; one that broke a law stays for ever, under a name that begins with `broke-`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sundbro_laws::seeds::seeds;
use sundbro_laws::{TARGETS, Target, Verdict};

/// What all kept inputs may take together.
const MAX_KEPT_FILES: usize = 300;
const MAX_KEPT_BYTES: u64 = 1 << 20;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn corpus(target: &Target) -> PathBuf {
    folder().join("corpora").join(target.name)
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Checks inputs and says how many the reader took, and how many not.
fn hold(target: &Target, inputs: impl IntoIterator<Item = (String, Vec<u8>)>) -> (usize, usize) {
    let (mut taken, mut refused) = (0, 0);
    for (name, bytes) in inputs {
        // A law that does not hold panics; which input it was is said before.
        let verdict = std::panic::catch_unwind(|| (target.check)(&bytes));
        match verdict {
            Ok(Verdict::Taken) => taken += 1,
            Ok(Verdict::Refused) => refused += 1,
            Err(_) => panic!("{}: {name} breaks the law: {}", target.name, target.law),
        }
    }
    (taken, refused)
}

fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus(target);
    let read = |name: String| {
        let bytes = std::fs::read(folder.join(&name)).expect("listed a moment ago");
        (name, bytes)
    };
    names_in(&folder).into_iter().map(read).collect()
}

#[test]
fn every_law_holds_for_every_kept_input() {
    if std::env::var_os("SUNDBRO_WRITE_CORPORA").is_some() {
        write_seeds();
    }
    for target in TARGETS {
        let (taken, refused) = hold(target, kept(target));
        // A reader that takes everything, or nothing, shows nothing.
        assert!(taken > 0 && refused > 0, "{}: {taken} taken, {refused} refused", target.name);
    }
}

fn write_seeds() {
    for target in TARGETS {
        let folder = corpus(target);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        for old in names_in(&folder).into_iter().filter(|name| name.starts_with("seed-")) {
            std::fs::remove_file(folder.join(old)).expect("a seed of before");
        }
        for (number, bytes) in seeds(target.name).into_iter().enumerate() {
            let file = folder.join(format!("seed-{number:02}"));
            std::fs::write(file, bytes).expect("the folder can be written");
        }
    }
}

#[test]
fn the_kept_seeds_are_those_of_today() {
    for target in TARGETS {
        let seeds = seeds(target.name);
        let (taken, _) = hold(target, seeds.iter().cloned().map(|seed| ("a seed".into(), seed)));
        assert!(taken > 0, "{}: no seed is good", target.name);
        let kept: Vec<_> = kept(target)
            .into_iter()
            .filter_map(|(name, bytes)| name.starts_with("seed-").then_some(bytes))
            .collect();
        // A grant of a key is sealed with fresh randomness.
        let fresh = |bytes: &[u8]| target.name == "frame" && bytes.first() == Some(&0x42);
        let settled = |seeds: Vec<Vec<u8>>| -> Vec<_> {
            seeds.into_iter().filter(|bytes| !fresh(bytes)).collect()
        };
        let same = settled(kept) == settled(seeds);
        assert!(same, "{}: write them again with SUNDBRO_WRITE_CORPORA=1", target.name);
    }
}

#[test]
fn every_law_holds_for_every_golden_vector() {
    for (file, target) in [
        ("header", "header"),
        ("entry", "header"),
        ("payload", "payload"),
        ("detail", "payload"),
        ("checkpoint", "checkpoint"),
        ("checkpoint", "note"),
        ("chunk", "chunk"),
        ("charter_head", "head"),
        ("member_entry", "head"),
        ("member_card", "card"),
        ("request", "request"),
        ("grant", "request"),
        ("completion", "request"),
        ("acknowledgement", "request"),
        ("receipt", "receipt"),
    ] {
        let target = TARGETS.iter().find(|one| one.name == target).expect("a target");
        let inputs = vectors(file);
        assert!(inputs.len() > 2, "{file}.json holds no bytes");
        hold(target, inputs);
    }
}

/// All bytes in a file of golden vectors: what is expected, accepted and refused.
fn vectors(file: &str) -> Vec<(String, Vec<u8>)> {
    let path = folder().with_file_name("vectors").join(format!("{file}.json"));
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    let file: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let lists = ["cases", "accepted", "refused"].map(|list| file[list].as_array());
    let items = lists.into_iter().flatten().flatten();
    items
        .filter_map(|item| {
            let bytes = item["bytes"].as_str().or_else(|| {
                let expected = item["expected"].as_object()?;
                ["bytes", "entry", "body", "note", "receipt", "card", "chunk"]
                    .iter()
                    .find_map(|name| expected.get(*name)?.as_str())
            })?;
            let bytes = hex::decode(bytes).unwrap_or_else(|_| bytes.as_bytes().to_vec());
            Some((item["name"].to_string(), bytes))
        })
        .collect()
}

#[test]
fn every_target_has_its_program_its_row_and_its_folder() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets have one name");
    let programs = names_in(&folder().join("targets"));
    let programs: BTreeSet<_> =
        programs.iter().filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    assert_eq!(programs, names, "a program for each law, and a law for each program");
    assert_eq!(names_in(&folder().join("corpora")), names, "a folder of inputs for each law");
    let page = std::fs::read_to_string(folder().join("README.md")).expect("the page is there");
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).expect("it is there");
    for target in TARGETS {
        let row = format!("| `{}` | {} |", target.name, target.law);
        assert!(page.contains(&row), "tests/fuzz/README.md lacks the row `{row}`");
        let name = format!("name = \"{}\"", target.name);
        assert!(manifest.contains(&name), "tests/fuzz/Cargo.toml lacks `{name}`");
    }
}

#[test]
fn what_is_kept_is_small() {
    let files: Vec<_> = TARGETS.iter().flat_map(kept).collect();
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert!(
        files.len() <= MAX_KEPT_FILES && bytes <= MAX_KEPT_BYTES,
        "{} files, {bytes} bytes",
        files.len()
    );
}
