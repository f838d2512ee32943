//! Laws of the messages of a retrieval, and of receipts.

use prost::Message as _;
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::receipt::{MAX_RECEIPT_LEN, VerdictKind, verify_bytes};
use sundbro_ledger::retrieval::{
    Acknowledgement, Completion, Grant, Judging, Message, Request, verify_acknowledgement,
    verify_completion, verify_grant, verify_request,
};
use sundbro_proto::ledger::v1;

use crate::Verdict;
use crate::world::world;

/// Bytes as each of the four messages, and as each of them signed.
pub fn messages(bytes: &[u8]) -> Verdict {
    let plain = one_encoding::<Request>(bytes)
        .or(one_encoding::<Grant>(bytes))
        .or(one_encoding::<Completion>(bytes))
        .or(one_encoding::<Acknowledgement>(bytes));
    match v1::SignedMessage::decode(bytes) {
        Ok(signed) => plain.or(signed_message(&signed)),
        Err(_) => plain,
    }
}

fn one_encoding<T: Message>(bytes: &[u8]) -> Verdict {
    let message = T::parse(bytes);
    if let Ok(message) = &message {
        assert_eq!(message.to_bytes(), bytes, "a message has one encoding");
    }
    Verdict::of(&message)
}

/// The law of a message that comes signed: in each place of the story only the one that was signed for it verifies.
fn signed_message(signed: &v1::SignedMessage) -> Verdict {
    let world = world();
    let (history, judging) = (&world.history, Judging::Recorded);
    let (request, grant, completion) = (&world.request, &world.grant, &world.completion);
    let verdicts = [
        verify_request(signed, history, judging).is_ok(),
        verify_grant(signed, request, history, judging).is_ok(),
        verify_completion(signed, request, grant, history, judging).is_ok(),
        verify_acknowledgement(signed, request, completion, history, judging).is_ok(),
    ];
    let [asked, permit, completed, acknowledged, refusal] = world.messages();
    let may = [
        *signed == asked,
        [permit, refusal].contains(signed),
        *signed == completed,
        *signed == acknowledged,
    ];
    assert_eq!(verdicts, may, "what was signed verifies in its place, and nothing else anywhere");
    if may.contains(&true) { Verdict::Taken } else { Verdict::Refused }
}

/// Bytes as a receipt.
pub fn receipt(bytes: &[u8]) -> Verdict {
    let world = world();
    let id = world.history.federation_id();
    let pinned = verify_bytes(bytes, Some(&id));
    assert!(verify_bytes(bytes, Some(&FederationId::FOUNDING)).is_err(), "of another federation");
    match verify_bytes(bytes, None) {
        Ok(verdict) => {
            assert_eq!(verdict.kind(), VerdictKind::Unpinned, "a forged one verifies by itself");
            assert_eq!(pinned.is_ok(), verdict.federation == id);
        }
        Err(_) => assert!(pinned.is_err(), "knowing the federation makes nothing right"),
    }
    if let Ok(verdict) = &pinned {
        assert!(bytes.len() <= MAX_RECEIPT_LEN);
        let receipt = v1::Receipt::decode(bytes).expect("it was read before");
        assert_eq!(receipt.encode_to_vec(), bytes, "a receipt has one encoding");
        assert_ne!(verdict.kind(), VerdictKind::Unpinned);
        let [request, grant, completion, acknowledgement, refusal] = world.messages();
        assert_eq!(receipt.request, Some(request));
        assert!(receipt.grant.is_some_and(|held| held == grant || held == refusal));
        assert!(receipt.completion.is_none_or(|held| held == completion));
        assert!(receipt.acknowledgement.is_none_or(|held| held == acknowledgement));
        let [payload, detail] = world.blobs.each_ref().map(|blob| blob.bytes());
        assert!(receipt.payload_blob.is_empty() || receipt.payload_blob == *payload);
        assert!(receipt.detail_blob.is_empty() || receipt.detail_blob == *detail);
    }
    Verdict::of(&pinned)
}
