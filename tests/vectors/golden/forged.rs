//! Receipts that their reader refuses, each with the step of docs/protocol.md §9 that refuses it.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::book::BookError;
use sundbro_ledger::canonical;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, RootHash};
use sundbro_ledger::payload::{Payload, RecordRegistered, RecordWithdrawn};
use sundbro_ledger::receipt::{ReceiptError, verify_bytes};
use sundbro_ledger::retrieval::RetrievalError;
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;

use crate::forge::{CHECKPOINT, Forge, TRANSACTION, ended};
use crate::json::File;
use crate::retrieval::Retrieval;
use crate::world::{self, HOSPITAL, MUNICIPALITY, key, record, seed};

/// One thing made wrong in a receipt that is right.
type Change = fn(&mut Forge);

/// Adds every one, after the ledger refused it in that step.
pub(crate) fn refuse_all(file: &mut File, world: &Retrieval, revoking: &CharterHistory) {
    let mut refuse = |name: &str, step: u32, known: &FederationId, bytes: &[u8]| {
        let refused = verify_bytes(bytes, Some(known)).expect_err(name);
        assert_eq!(step_of(&refused), step, "{name}: {refused:?}");
        let federation_id = hex::encode(known.as_bytes());
        file.refuse(name, bytes, json!({ "federation_id": federation_id, "step": step }));
    };
    let right = Forge::new(world);
    let bytes = right.clone().sign().encode_to_vec();
    verify_bytes(&bytes, Some(&right.known)).expect("all is right");
    refuse("an unknown field at the end", 0, &right.known, &[&bytes[..], &[0xf8, 1, 1]].concat());
    refuse("one byte short", 0, &right.known, &bytes[..bytes.len() - 1]);

    let mut later = right.clone();
    later.add_version(revoking.current());
    let ended = ended(&world.history);
    let lists: [&[(&str, Change)]; 5] = [&FORM, &CHARTER, &MESSAGES, &ENTRY, &BLOBS];
    for (step, changes) in (0..).zip(lists) {
        for (name, change) in changes {
            let mut forge = right.clone();
            change(&mut forge);
            let known = forge.known;
            refuse(name, step, &known, &forge.sign().encode_to_vec());
        }
    }
    for (name, step, change) in AFTER_A_REVOCATION {
        let mut forge = later.clone();
        change(&mut forge);
        let known = forge.known;
        refuse(name, step, &known, &forge.sign().encode_to_vec());
    }
    let mut forge = right.clone();
    forge.add_version(ended.current());
    let name = "an entry at or above the end that its log epoch has in a later version";
    refuse(name, 3, &right.known, &forge.sign().encode_to_vec());
    let mut forge = right.clone();
    forge.of_another_member(world);
    refuse("an entry in the log of another member", 3, &right.known, &forge.sign().encode_to_vec());
}

/// The step of the page that a reason belongs to; 0 is what the message shows by itself.
fn step_of(error: &ReceiptError) -> u32 {
    match error {
        ReceiptError::NotAReceipt
        | ReceiptError::NotCanonical
        | ReceiptError::Format { .. }
        | ReceiptError::Book(BookError::NoHeads)
        | ReceiptError::Missing(_) => 0,
        ReceiptError::Unexpected(_) | ReceiptError::Book(BookError::NewestEntryMissing { .. }) => 2,
        ReceiptError::Retrieval(error) => match error {
            RetrievalError::Key { message: "entry", .. }
            | RetrievalError::Signature { message: "entry" }
            | RetrievalError::NotTheOwnersLog
            | RetrievalError::Entry
            | RetrievalError::NotIncluded(_)
            | RetrievalError::Checkpoint(_) => 3,
            _ => 2,
        },
        ReceiptError::Registration(_) => 4,
        _ => 1,
    }
}

const FORM: [(&str, Change); 2] = [
    ("format 2", |forge| forge.receipt.format = 2),
    ("no heads", |forge| forge.receipt.heads.clear()),
];

const CHARTER: [(&str, Change); 19] = [
    ("another federation than the one known", |forge| {
        forge.known = FederationId::new(seed(0xf1));
    }),
    ("heads from version 2", |forge| drop(forge.receipt.heads.remove(0))),
    ("a head that follows another", |forge| {
        forge.resign_head(|head| head.previous[0] = Bytes::from(vec![0x99; 32]));
    }),
    ("a head that follows two", |forge| {
        forge.resign_head(|head| head.previous.push(Bytes::from(vec![0xff; 32])));
    }),
    ("a head of a version after the next", |forge| forge.resign_head(|head| head.version = 3)),
    ("a head that changes a subject epoch", |forge| {
        forge.resign_head(|head| head.subject_epochs[0].key_commitment = vec![0x99; 32].into());
    }),
    ("a head that takes subject epochs off", |forge| {
        forge.resign_head(|head| head.subject_epochs.clear());
    }),
    ("a steward with another key under its ordinal", |forge| {
        let other = key(0x14).public().as_bytes().to_vec();
        forge.resign_head(|head| head.stewards[1].public_key = other.into());
    }),
    ("a head that breaks a rule by itself", |forge| forge.resign_head(|head| head.threshold = 1)),
    ("a head signed by fewer than the threshold", |forge| {
        drop(forge.receipt.heads[1].signatures.remove(0));
    }),
    ("a head that an added steward did not sign", |forge| {
        drop(forge.receipt.heads[1].signatures.pop());
    }),
    ("a head signed by somebody who is no steward", |forge| {
        let mut stranger = forge.receipt.heads[1].signatures[2].clone();
        stranger.ordinal = 4;
        forge.receipt.heads[1].signatures.push(stranger);
    }),
    ("a head with the signature of another steward", |forge| {
        let signatures = &mut forge.receipt.heads[1].signatures;
        signatures[0].signature = signatures[1].signature.clone();
    }),
    ("signatures of a head out of order", |forge| forge.receipt.heads[1].signatures.swap(0, 1)),
    ("an entry with another index", |forge| forge.receipt.members[0].index += 1),
    ("an entry with the proof of another", |forge| {
        forge.receipt.members[0].inclusion_proof = forge.receipt.members[1].inclusion_proof.clone();
    }),
    ("an entry of a version that the receipt lacks", |forge| {
        forge.receipt.members[1].charter_version = 3;
    }),
    ("entries out of order", |forge| forge.receipt.members.swap(0, 1)),
    ("an entry twice", |forge| {
        let again = forge.receipt.members[1].clone();
        forge.receipt.members.push(again);
    }),
];

const MESSAGES: [(&str, Change); 22] = [
    ("a request without a user", |forge| forge.request.user.clear()),
    ("a request by another key than it names", |forge| forge.signers[0] = 0x06),
    ("a request that names a TRANSACTION key", |forge| {
        (forge.request.key_id, forge.signers[0]) = (1, 0x05);
    }),
    ("a request that names a key that is not listed", |forge| forge.request.key_id = 9),
    ("a request at a version of which the requester's entry is not there", |forge| {
        forge.request.charter_version = 1;
    }),
    ("a request at a version that the receipt lacks", |forge| forge.request.charter_version = 3),
    ("a grant of another request", |forge| forge.grant.request_sha256 = vec![0x99; 32].into()),
    ("a grant by the requester", |forge| forge.signers[1] = 0x07),
    ("a grant by the owner's TRANSACTION key", |forge| {
        (forge.grant.key_id, forge.signers[1]) = (1, TRANSACTION);
    }),
    ("a grant at a version of which the owner's entry is not there", |forge| {
        forge.grant.charter_version = 1;
    }),
    ("a completion of another grant", |forge| {
        completion(forge).grant_sha256 = vec![0x99; 32].into();
    }),
    ("a completion by the requester", |forge| forge.signers[2] = 0x07),
    ("a completion by the owner's CHECKPOINT key", |forge| {
        completion(forge).key_id = 2;
        forge.signers[2] = CHECKPOINT;
    }),
    ("COMPLETE with another size", |forge| completion(forge).bytes_sent += 1),
    ("COMPLETE with another digest", |forge| {
        completion(forge).content_sha256 = vec![0x99; 32].into();
    }),
    ("a completion after a refusal", |forge| {
        forge.refuse();
        forge.acknowledgement = None;
        forge.receipt.payload_blob.clear();
        forge.receipt.detail_blob.clear();
    }),
    ("a payload's blob after a refusal", |forge| {
        forge.refuse();
        (forge.completion, forge.acknowledgement) = (None, None);
        forge.receipt.detail_blob.clear();
    }),
    ("an acknowledgement of another completion", |forge| {
        acknowledgement(forge).completion_sha256 = vec![0x99; 32].into();
    }),
    ("an acknowledgement by the owner", |forge| forge.signers[3] = 0x03),
    ("an acknowledgement at a version of which the requester's entry is not there", |forge| {
        acknowledgement(forge).charter_version = 1;
    }),
    ("an acknowledgement without a completion", |forge| forge.completion = None),
    ("MATCHING after ABORTED", |forge| {
        completion(forge).status = v1::CompletionStatus::Aborted.into();
    }),
];

const ENTRY: [(&str, Change); 14] = [
    ("an entry signed by another key than it names", |forge| {
        forge.resign_entry(CHECKPOINT, |_| ());
    }),
    ("an entry that names a SERVICE key", |forge| {
        forge.resign_entry(0x03, |header| header.key_id = 3);
    }),
    ("an entry that names a key that is not listed", |forge| {
        forge.resign_entry(TRANSACTION, |header| header.key_id = 9);
    }),
    ("an entry at a version of which the owner's entry is not there", |forge| {
        forge.resign_entry(TRANSACTION, |header| header.charter_version = 1);
    }),
    ("an entry in a log of nobody", |forge| {
        forge.resign_entry(TRANSACTION, |header| header.log_id = vec![0x99; 32].into());
    }),
    ("an entry that breaks a rule by itself", |forge| {
        forge.resign_entry(TRANSACTION, |header| header.incarnation = 0);
    }),
    ("the proof of another entry", |forge| forge.grant.inclusion_proof.swap(0, 1)),
    ("a proof that is too short", |forge| drop(forge.grant.inclusion_proof.pop())),
    ("a checkpoint of a tree that ends before the entry", |forge| {
        forge.prove(HOSPITAL, 1, CHECKPOINT, 3);
    }),
    ("a checkpoint with another root", |forge| {
        forge.checkpoint(HOSPITAL, 1, CHECKPOINT, 6, RootHash::new(seed(0x99)));
    }),
    ("a checkpoint of another epoch", |forge| forge.prove(HOSPITAL, 2, CHECKPOINT, 6)),
    ("a checkpoint of another member's log", |forge| forge.prove(MUNICIPALITY, 1, 0x06, 6)),
    ("a checkpoint signed with the TRANSACTION key", |forge| {
        forge.prove(HOSPITAL, 1, TRANSACTION, 6);
    }),
    ("a checkpoint with a wrong signature", |forge| {
        let other = forge.clone();
        forge.checkpoint(HOSPITAL, 1, CHECKPOINT, 5, RootHash::new(seed(0x99)));
        let wrong = last_line(&forge.grant.checkpoint).to_vec();
        let note = &other.grant.checkpoint;
        let text = &note[..note.len() - last_line(note).len()];
        forge.grant.checkpoint = [text, &wrong].concat().into();
    }),
];

const BLOBS: [(&str, Change); 8] = [
    ("another payload", |forge| {
        let blob = Blob::frame(&seed(0x53), &body_of(1), Audience::Federation).expect("fits");
        forge.receipt.payload_blob = blob.bytes().clone();
    }),
    ("a payload of another length than in the header", |forge| {
        forge.resign_entry(TRANSACTION, |header| header.payload_size += 64);
    }),
    ("a payload that registers another version", |forge| {
        let blob = Blob::frame(&seed(0x51), &body_of(2), Audience::Federation).expect("fits");
        forge.commit_to(&blob);
    }),
    ("a payload that withdraws the record", |forge| {
        let reason = v1::WithdrawalReason::SourceRemoved.into();
        let body = Payload::Withdrawn(RecordWithdrawn { record: record(0xa1), reason }).encode();
        let body = body.expect("keeps every rule");
        let blob = Blob::frame(&seed(0x51), &body, Audience::Federation).expect("fits");
        forge.commit_to(&blob);
        forge.receipt.detail_blob.clear();
    }),
    ("another detail", |forge| {
        let body = canonical::encode(&world::detail_message());
        let blob = Blob::frame(&seed(0x53), &body, Audience::Federation).expect("fits");
        forge.receipt.detail_blob = blob.bytes().clone();
    }),
    ("a detail of another record version", |forge| {
        let record = Some(world::record_version(2));
        let detail = v1::RecordDetail { record, ..world::detail_message() };
        let body = canonical::encode(&detail);
        let detail = Blob::frame(&seed(0x52), &body, Audience::Federation).expect("fits");
        let Payload::Registered(registered) = world::registration() else { return };
        let detail_commitment = detail.detail_commitment();
        let registered = RecordRegistered { detail_commitment, ..registered };
        let body = Payload::Registered(registered).encode().expect("keeps every rule");
        let blob = Blob::frame(&seed(0x51), &body, Audience::Federation).expect("fits");
        forge.commit_to(&blob);
        forge.receipt.detail_blob = detail.bytes().clone();
    }),
    ("a detail of another size than the grant expects", |forge| {
        forge.grant.expected_size_bytes += 1;
        completion(forge).bytes_sent += 1;
    }),
    ("a detail without the payload", |forge| forge.receipt.payload_blob.clear()),
];

/// From a receipt with a third head, which revokes the owner's SERVICE key, and both entries of that version.
const AFTER_A_REVOCATION: [(&str, u32, Change); 5] = [
    ("the owner's entry at the newest version is left out", 2, |forge| {
        drop(forge.receipt.members.remove(2));
    }),
    ("the requester's entry at the newest version is left out", 2, |forge| {
        drop(forge.receipt.members.remove(3));
    }),
    ("both entries at the newest version are left out", 2, |forge| {
        forge.receipt.members.truncate(2);
    }),
    ("a head in the middle is left out", 1, |forge| drop(forge.receipt.heads.remove(1))),
    ("a grant at a version at which its key has ended", 2, |forge| {
        forge.grant.charter_version = 3;
    }),
];

fn completion(forge: &mut Forge) -> &mut v1::RetrievalCompletion {
    forge.completion.as_mut().expect("there is one")
}

fn acknowledgement(forge: &mut Forge) -> &mut v1::RetrievalAcknowledgement {
    forge.acknowledgement.as_mut().expect("there is one")
}

/// The one signature line of a note.
fn last_line(note: &[u8]) -> &[u8] {
    let end = note.windows(2).position(|two| two == b"\n\n").expect("a note has a blank line");
    &note[end + 2..]
}

fn body_of(version: u32) -> Vec<u8> {
    let Payload::Registered(registered) = world::registration() else { return Vec::new() };
    let registered = RecordRegistered { version, ..registered };
    Payload::Registered(registered).encode().expect("keeps every rule")
}
