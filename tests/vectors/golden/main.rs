//! The golden vectors: every one is made again from its inputs by `sundbro-ledger` and compared with its file.
//!
//! `SUNDBRO_WRITE_VECTORS=1 cargo test -p sundbro-tests --test golden` writes the files. A file that changes after a
//! release is a break of the protocol.

mod bodies;
mod card;
mod charter;
mod evidence;
mod evidence_file;
mod forge;
mod forged;
mod healed;
mod json;
mod log;
mod notes;
mod receipt;
mod retrieval;
mod strict;
mod transaction;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;

use json::File;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Every file.
fn files() -> Vec<File> {
    vec![
        transaction::header(),
        transaction::entry(),
        bodies::blob(),
        bodies::payload(),
        bodies::observation(),
        bodies::detail(),
        bodies::tag(),
        bodies::object_id(),
        notes::checkpoint(),
        log::chunk(),
        log::subtree(),
        charter::charter_head(),
        charter::member_entry(),
        charter::members_root(),
        card::member_card(),
        card::key_grant(),
        retrieval::request(),
        retrieval::grant(),
        retrieval::completion(),
        retrieval::acknowledgement(),
        receipt::receipt(),
        evidence::evidence(),
        evidence_file::evidence_file(),
    ]
}

#[test]
fn the_ledger_makes_every_vector_again() {
    let write = std::env::var_os("SUNDBRO_WRITE_VECTORS").is_some();
    let mut differing = Vec::new();
    for file in files() {
        let path = folder().join(format!("{}.json", file.name));
        let made = file.to_json();
        if write {
            let text = serde_json::to_string_pretty(&made).expect("it is JSON");
            std::fs::write(&path, format!("{text}\n")).expect("the folder can be written");
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if serde_json::from_str::<serde_json::Value>(&text).ok() != Some(made) {
            differing.push(file.name);
        }
    }
    assert!(
        differing.is_empty(),
        "{differing:?} differ from tests/vectors: the bytes of the protocol changed"
    );
    let there = std::fs::read_dir(folder()).expect("the folder is there");
    let there: BTreeSet<String> = there
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .collect();
    let made: BTreeSet<String> = files().iter().map(|file| file.name.to_owned()).collect();
    assert_eq!(there, made, "a file that nothing makes is checked by nobody");
}
