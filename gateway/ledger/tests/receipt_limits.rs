//! Every limit and end of a receipt: what is exactly as large is read, one more is refused.

mod common;

use common::Federation;
use common::retrieval::{OWNER, Retrieval};
use prost::Message as _;
use sundbro_ledger::book::BookError;
use sundbro_ledger::receipt::{
    MAX_RECEIPT_HEADS, MAX_RECEIPT_LEN, ReceiptError, VerdictKind, assemble, verify,
};
use sundbro_ledger::retrieval::RetrievalError;
use sundbro_proto::ledger::v1;

#[test]
fn a_receipt_may_have_as_many_heads_as_a_file_and_no_more() {
    let with = |count| {
        let heads = vec![v1::ReceiptHead::default(); count];
        verify(&v1::Receipt { format: 1, heads, ..v1::Receipt::default() }, None)
    };
    let at_limit = with(MAX_RECEIPT_HEADS);
    assert!(
        matches!(at_limit, Err(ReceiptError::Book(BookError::Head { version: 1, .. }))),
        "{at_limit:?}"
    );
    let too_many = BookError::TooMany { what: "charter heads", limit: MAX_RECEIPT_HEADS };
    assert_eq!(with(MAX_RECEIPT_HEADS + 1), Err(ReceiptError::Book(too_many)));
}

#[test]
fn a_receipt_may_have_16_member_entries_and_no_more() {
    let federation = Federation::found();
    let parts = Retrieval::of(&federation).parts();
    let good = assemble(&federation.history, &parts).expect("a receipt");
    // Too many are refused before the first is read.
    let with = |count| {
        let members = vec![v1::ReceiptMember::default(); count];
        verify(&v1::Receipt { members, ..good.clone() }, None)
    };
    assert_eq!(with(16), Err(ReceiptError::Book(BookError::MemberNotIncluded { version: 0 })));
    for too_many in [17, 18] {
        assert_eq!(with(too_many), Err(ReceiptError::Book(BookError::MemberOrder)));
    }
}

#[test]
fn no_receipt_is_made_that_is_longer_than_one_may_be() {
    let federation = Federation::found();
    let mut parts = Retrieval::of(&federation).parts();
    (parts.payload_blob, parts.detail_blob) = (None, None);
    let before = assemble(&federation.history, &parts).expect("a receipt").encoded_len();
    let mut of_length = |len: usize| {
        // A tag and a length of four bytes, and then the blob.
        parts.payload_blob = Some(vec![0; len - before - 5].into());
        assemble(&federation.history, &parts).err()
    };
    let at_limit = of_length(MAX_RECEIPT_LEN);
    assert!(matches!(at_limit, Some(ReceiptError::Registration(_))), "{at_limit:?}");
    for too_long in [MAX_RECEIPT_LEN + 1, MAX_RECEIPT_LEN + 2] {
        assert_eq!(of_length(too_long), Some(ReceiptError::TooLong));
    }
}

#[test]
fn an_entry_at_or_above_the_end_of_its_log_is_refused() {
    let ended_at = |size| {
        let mut federation = Federation::found();
        let parts = Retrieval::of(&federation).parts();
        let next = federation.successor(|next| {
            let end = v1::LogEnd { size, root: vec![1; 32].into() };
            next.member(OWNER).log_epochs[0].end = Some(end);
        });
        let next = next.expect("valid by itself");
        let _ = federation.history.offer(next).expect("a valid successor");
        let receipt = assemble(&federation.history, &parts)?;
        verify(&receipt, Some(&federation.id())).map(|verdict| verdict.kind())
    };
    // It stands at position 2 of three.
    assert_eq!(ended_at(3), Ok(VerdictKind::Complete));
    assert!(matches!(ended_at(2), Err(ReceiptError::Retrieval(RetrievalError::Key { .. }))));
}
