//! Takes out of a charter history what a file for outsiders carries of it.

use sundbro_proto::ledger::v1;

use super::BookError;
use crate::charter::{Charter, signatures_to_wire};
use crate::history::CharterHistory;
use crate::ids::MemberName;
use crate::member::MemberEntry;
use crate::merkle::{MemoryTree, leaf_hash, proof_to_wire};

/// A head with its signatures, as a file carries it.
pub(crate) fn head_of(charter: &Charter) -> v1::ReceiptHead {
    v1::ReceiptHead {
        head: charter.head_bytes().clone(),
        signatures: signatures_to_wire(charter.signatures()),
    }
}

/// The version whose entries say what something that names a version is judged by: of one that stood twice the version
/// that healed it.
pub(crate) fn judging_version(history: &CharterHistory, version: u64) -> u64 {
    history.judging(version).map_or(version, Charter::version)
}

/// A member's entry at a version, with the proof that the head commits to it.
pub(crate) fn member_at(
    history: &CharterHistory,
    version: u64,
    name: &MemberName,
) -> Result<v1::ReceiptMember, BookError> {
    let missing = |what| BookError::NotInOurCharter { what, version };
    let charter = history.at(version).ok_or(missing("head"))?;
    let entry = charter.member(name).ok_or(missing("member of that name"))?;
    let mut tree = MemoryTree::new();
    let mut index = 0;
    for member in charter.members().values() {
        if member.name == *name {
            index = tree.size();
        }
        tree.append(leaf_hash(&member.to_bytes()));
    }
    let proof = tree.prove_inclusion(index).map_err(|_| missing("member of that name"))?;
    Ok(v1::ReceiptMember {
        charter_version: version,
        entry: MemberEntry::to_bytes(entry),
        index,
        inclusion_proof: proof_to_wire(&proof),
    })
}
