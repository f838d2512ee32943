//! The tree's checks against the RFC 6962 and subtree vectors of transparency-dev/merkle, those that must fail included.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "a test reads its vectors and says when they are not here"
)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sundbro_ledger::ids::{LeafHash, NodeHash, RootHash};
use sundbro_ledger::merkle::{
    ProofError, proof_from_wire, verify_consistency, verify_inclusion, verify_subtree_consistency,
    verify_subtree_inclusion,
};

#[test]
fn inclusion_proofs_hold_and_fail_as_they_must() {
    run("inclusion", 98, 6, |case, proof| {
        verify_inclusion(
            &LeafHash::new(case.hash("leafHash")),
            case.number("leafIdx"),
            case.number("treeSize"),
            proof,
            &RootHash::new(case.hash("root")),
        )
    });
}

#[test]
fn consistency_proofs_hold_and_fail_as_they_must() {
    run("consistency", 98, 6, |case, proof| {
        verify_consistency(
            case.number("size1"),
            &RootHash::new(case.hash("root1")),
            case.number("size2"),
            &RootHash::new(case.hash("root2")),
            proof,
        )
    });
}

#[test]
fn subtree_inclusion_proofs_hold_and_fail_as_they_must() {
    run("subtreeinclusion", 204, 12, |case, proof| {
        verify_subtree_inclusion(
            &LeafHash::new(case.hash("leafHash")),
            case.number("leafIdx"),
            case.number("start"),
            case.number("end"),
            proof,
            &NodeHash::new(case.hash("root")),
        )
    });
}

#[test]
fn subtree_consistency_proofs_hold_and_fail_as_they_must() {
    run("subtreeconsistency", 118, 12, |case, proof| {
        verify_subtree_consistency(
            case.number("start"),
            case.number("end"),
            &NodeHash::new(case.hash("root1")),
            case.number("size"),
            &RootHash::new(case.hash("root2")),
            proof,
        )
    });
}

/// Runs every case of a kind, and fails unless there are `total` of them and `holding` that must pass.
fn run(
    kind: &str,
    total: usize,
    holding: usize,
    verify: impl Fn(&Case, &[NodeHash]) -> Result<(), ProofError>,
) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !root.is_dir() {
        println!("SKIPPED: ../shared/vectors is not here");
        return;
    }
    let mut files = Vec::new();
    collect(&root.join("rfc6962-merkle/testdata").join(kind), &mut files);
    let mut held = 0;
    for file in &files {
        let text = fs::read(file).expect("vector");
        let case = Case(serde_json::from_slice(&text).expect("JSON"));
        let refused = case.0["wantErr"].as_bool().expect("wantErr");
        let as_sent: Vec<Bytes> = case.proof().into_iter().map(Bytes::from).collect();
        let outcome = proof_from_wire(&as_sent).and_then(|proof| verify(&case, &proof));
        assert_eq!(outcome.is_err(), refused, "{}: {outcome:?}", file.display());
        // A hash of another length never gets past the wire; stretched to 32 bytes it must not get past the check.
        let stretched: Vec<NodeHash> =
            case.proof().iter().map(|hash| NodeHash::new(stretch(false, hash))).collect();
        let outcome = verify(&case, &stretched);
        assert_eq!(outcome.is_err(), refused, "stretched {}: {outcome:?}", file.display());
        held += usize::from(!refused);
    }
    assert_eq!((files.len(), held), (total, holding), "{kind}: cases, and those that must pass");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
}

struct Case(Value);

impl Case {
    fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().expect("a number")
    }

    fn hash(&self, field: &str) -> [u8; 32] {
        stretch(field == "leafHash", &decode(&self.0[field]))
    }

    fn proof(&self) -> Vec<Vec<u8>> {
        let Some(hashes) = self.0["proof"].as_array() else {
            assert!(self.0["proof"].is_null(), "a proof is a list or null");
            return Vec::new();
        };
        hashes.iter().map(decode).collect()
    }
}

fn decode(value: &Value) -> Vec<u8> {
    value.as_str().map(|text| STANDARD.decode(text).expect("base64")).unwrap_or_default()
}

/// Our hashes are 32 bytes by type. Other lengths in the vectors ("don't care") become 32 bytes that keep equal what was
/// equal and different what was different; a leaf of another length is refused, so it becomes equal to nothing.
fn stretch(leaf: bool, bytes: &[u8]) -> [u8; 32] {
    let stretched = || Sha256::digest([&[u8::from(leaf)], bytes].concat()).into();
    bytes.try_into().unwrap_or_else(|_| stretched())
}
