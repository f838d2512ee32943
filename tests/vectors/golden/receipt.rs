//! Vectors of receipts: what each is worth, and forged ones that break one rule.

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use sundbro_ledger::charter::Charter;
use sundbro_ledger::history::Offered;
use sundbro_ledger::receipt::{self, ReceiptParts, assemble};
use sundbro_ledger::retrieval::AcknowledgementStatus;
use sundbro_proto::ledger::v1;

use crate::forged;
use crate::healed;
use crate::json::File;
use crate::retrieval::{REQUESTER, Retrieval, acknowledged, sign};
use crate::world;

fn signed_json(message: &v1::SignedMessage) -> Value {
    json!({
        "message": hex::encode(&message.message),
        "signature": hex::encode(&message.signature),
    })
}

pub(crate) fn charter_json(wire: &v1::Charter) -> Value {
    let signatures = wire.signatures.iter();
    json!({
        "head": hex::encode(&wire.head),
        "signatures": signatures
            .map(|one| json!({ "ordinal": one.ordinal, "signature": hex::encode(&one.signature) }))
            .collect::<Vec<_>>(),
        "members": wire.members.iter().map(hex::encode).collect::<Vec<_>>(),
    })
}

pub(crate) fn all_parts(world: &Retrieval) -> ReceiptParts {
    ReceiptParts {
        request: world.request.to_wire(),
        grant: world.grant.to_wire(),
        completion: Some(world.completion.to_wire()),
        acknowledgement: Some(world.acknowledgement.to_wire()),
        payload_blob: Some(world.story.payload_blob.bytes().clone()),
        detail_blob: Some(world.story.detail_blob.bytes().clone()),
    }
}

pub(crate) fn receipt() -> File {
    let about = "Receipts, put together from the charter and the messages, and what they are worth to their reader; \
                 and receipts that break one rule, signed all the same.";
    let mut file = File::new("receipt", 9, about);
    let world = Retrieval::new();
    let mut revoking = world.history.clone();
    let offered = revoking.offer(world::third_charter(&world.history));
    assert!(matches!(offered, Ok(Offered::Accepted)), "version 3 follows");
    let all = all_parts(&world);
    let bare = ReceiptParts { payload_blob: None, detail_blob: None, ..all.clone() };
    let no_detail = ReceiptParts { detail_blob: None, ..all.clone() };
    let one_sided = ReceiptParts { acknowledgement: None, ..all.clone() };
    let unfinished = ReceiptParts { completion: None, ..one_sided.clone() };
    let refused = ReceiptParts {
        grant: world.refusal.to_wire(),
        payload_blob: None,
        detail_blob: None,
        ..unfinished.clone()
    };
    let mismatch = acknowledged(&world.completion, AcknowledgementStatus::Mismatch);
    let mismatch = sign(mismatch, REQUESTER, &world.federation()).to_wire();
    let disputed = ReceiptParts { acknowledgement: Some(mismatch), ..all.clone() };
    let aborted = world.aborted();
    let mismatch = acknowledged(&aborted, AcknowledgementStatus::Mismatch);
    let mismatch = sign(mismatch, REQUESTER, &world.federation()).to_wire();
    let aborted = ReceiptParts { completion: Some(aborted.to_wire()), ..one_sided.clone() };
    let aborted_twice = ReceiptParts { acknowledgement: Some(mismatch), ..aborted.clone() };
    let mut add = |what: &str, parts: &ReceiptParts, history, federation, expected: &str| {
        let made = assemble(history, parts).expect("a receipt");
        let verdict = receipt::verify(&made, federation).expect("valid");
        assert_eq!(verdict.kind().code(), expected, "{what}");
        let charters: Vec<Value> =
            history.chain().map(|charter: &Charter| charter_json(&charter.to_wire())).collect();
        let blob = |blob: &Option<Bytes>| blob.as_ref().map(hex::encode);
        file.case(
            what,
            json!({
                "federation_id": federation.map(|id| hex::encode(id.as_bytes())),
                "charters": charters,
                "request": signed_json(&parts.request),
                "grant": signed_json(&parts.grant),
                "completion": parts.completion.as_ref().map(signed_json),
                "acknowledgement": parts.acknowledgement.as_ref().map(signed_json),
                "payload_blob": blob(&parts.payload_blob),
                "detail_blob": blob(&parts.detail_blob),
            }),
            json!({ "receipt": hex::encode(made.encode_to_vec()), "verdict": expected }),
        );
    };
    let (history, id) = (&world.history, world.federation());
    for (what, parts, expected) in [
        ("everything is shown", &all, "COMPLETE"),
        ("without the blobs", &bare, "RECORD_NOT_SHOWN"),
        ("without the detail", &no_detail, "RECORD_NOT_SHOWN"),
        ("without the requester's word", &one_sided, "ONE_SIDED"),
        ("without a completion", &unfinished, "ONE_SIDED"),
        ("the two sides disagree", &disputed, "DISPUTED"),
        ("the owner stopped", &aborted, "ABORTED"),
        ("the owner stopped, and the requester says so", &aborted_twice, "ABORTED"),
        ("a refusal", &refused, "REFUSED"),
    ] {
        add(what, parts, history, Some(&id), expected);
    }
    add("for a reader who knows no federation id", &all, history, None, "UNPINNED");
    add("the owner's key was revoked later", &all, &revoking, Some(&id), "KEY_SINCE_REVOKED");
    let healed_history = healed::healed(history);
    add(
        "a charter version stood twice and was healed",
        &all,
        &healed_history,
        Some(&id),
        "COMPLETE",
    );
    forged::refuse_all(&mut file, &world, &revoking);
    healed::refuse_receipts(&mut file, &world);
    file
}
