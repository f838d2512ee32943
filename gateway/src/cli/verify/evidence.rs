//! `sundbro verify evidence`: what a file of evidence proves, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use sundbro_ledger::evidence::{Contradiction, Evidence, EvidenceVerdict, verify_evidence_file};
use sundbro_ledger::ids::FederationId;

use super::super::log::unpinned;
use super::super::{CliError, Exit, Output, files};
use crate::status::chain;

/// Checks a file offline. Convincing evidence ends with 0: the file is good, whatever it says of the member.
pub(super) fn verify(
    file: &Path,
    expected: Option<&FederationId>,
    output: Output,
) -> Result<(), CliError> {
    let bytes = files::read(file)?;
    let verdict = verify_evidence_file(&bytes, expected).map_err(|error| {
        let what = format!("{} proves nothing: {}", file.display(), chain(&error));
        CliError::new(Exit::Integrity, what)
    })?;
    if !verdict.pinned {
        return Err(unpinned(&verdict.federation.to_string()));
    }
    output.print(text(&verdict).trim_end(), &json(&verdict));
    Ok(())
}

fn text(verdict: &EvidenceVerdict) -> String {
    let verified = &verdict.verified;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}: {} signed two histories", verified.kind.code(), verified.member);
    let _ = writeln!(text, "log       {}", verified.log);
    let _ = match verified.parting {
        Some(position) => writeln!(text, "position  {position}"),
        None => writeln!(text, "position  not known: two roots of one size do not tell"),
    };
    for (side, key) in sides(&verdict.evidence).iter().zip(&verified.keys) {
        let _ = writeln!(text, "signed    {} by key {}", side.what, hex::encode(key.as_bytes()));
    }
    text
}

fn json(verdict: &EvidenceVerdict) -> serde_json::Value {
    let verified = &verdict.verified;
    let sides = sides(&verdict.evidence);
    let signed = sides.iter().zip(&verified.keys).map(|(side, key)| {
        serde_json::json!({
            "what": side.kind, "hash": side.hash, "size": side.size,
            "incarnation": side.incarnation, "key_id": side.key_id,
            "public_key": hex::encode(key.as_bytes()),
        })
    });
    serde_json::json!({
        "verdict": verified.kind.code(),
        "federation_id": verdict.federation.to_string(),
        "charter_version": verdict.newest_charter_version,
        "evidence": verdict.evidence.digest().to_string(),
        "member": verified.member.as_str(),
        "log_id": verified.log.to_string(),
        "position": verified.parting,
        "size": verdict.evidence.size(),
        "signed": signed.collect::<Vec<_>>(),
    })
}

/// One of the two statements.
struct Side {
    what: String,
    kind: &'static str,
    hash: String,
    size: Option<u64>,
    incarnation: Option<u32>,
    key_id: Option<u32>,
}

fn sides(evidence: &Evidence) -> Vec<Side> {
    match evidence.contradiction() {
        Contradiction::Entries(two) => two.iter().map(entry).collect(),
        Contradiction::Checkpoints(two) => two
            .iter()
            .map(|one| {
                tree(
                    format!("root {} of size {}", one.root(), one.size()),
                    one.size(),
                    one.root().to_string(),
                )
            })
            .collect(),
        Contradiction::Trees { sides, .. } => sides
            .iter()
            .map(|side| {
                let size = side.checkpoint.size();
                tree(
                    format!("entry {} in its tree of size {size}", side.leaf),
                    size,
                    side.leaf.to_string(),
                )
            })
            .collect(),
    }
}

fn entry(entry: &sundbro_ledger::transaction::SignedTransaction) -> Side {
    let (leaf, header) = (entry.leaf(), entry.header());
    let (key_id, incarnation) = (header.key_id, header.incarnation);
    Side {
        what: format!("entry {leaf}, in start {incarnation} of its gateway, key {key_id},"),
        kind: "entry",
        hash: leaf.to_string(),
        size: None,
        incarnation: Some(incarnation),
        key_id: Some(key_id),
    }
}

fn tree(what: String, size: u64, hash: String) -> Side {
    Side { what, kind: "tree", hash, size: Some(size), incarnation: None, key_id: None }
}
