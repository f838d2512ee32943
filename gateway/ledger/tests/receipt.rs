//! What a receipt proves, and that nothing in it can be changed.

mod common;

use bytes::Bytes;
use common::retrieval::{
    CONTENT, OWNER, REQUESTER, Retrieval, acknowledgement_of, completion_of, grant_of, permission,
    record, register, request, signed,
};
use common::{CHECKPOINT, Federation, ROOT, SERVICE, TRANSACTION, key, name};
use prost::Message as _;
use sundbro_ledger::book::BookError;
use sundbro_ledger::charter::{Charter, SuccessionError};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::ids::{FederationId, RecordId};
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, proof_to_wire};
use sundbro_ledger::receipt::{
    MAX_RECEIPT_HEADS, Outcome, ReceiptError, ReceiptParts, Verdict, VerdictKind, assemble, verify,
    verify_bytes,
};
use sundbro_ledger::retrieval::{
    AcknowledgementStatus, CompletionStatus, Decision, RegistrationError, RetrievalError,
};
use sundbro_proto::ledger::v1;

/// A federation with a second charter version, so that a receipt has a chain of heads to check.
fn federation() -> Federation {
    let mut federation = Federation::found();
    let draft = Draft::next(&federation.history).expect("no fork");
    federation.publish(draft);
    federation
}

fn receipt_of(federation: &Federation) -> v1::Receipt {
    let parts = Retrieval::of(federation).parts();
    assemble(&federation.history, &parts).expect("a receipt")
}

fn verdict(federation: &Federation, parts: &ReceiptParts) -> Result<Verdict, ReceiptError> {
    let receipt = assemble(&federation.history, parts)?;
    verify_bytes(&receipt.encode_to_vec(), Some(&federation.id()))
}

#[test]
fn a_whole_receipt_proves_everything_from_the_federation_id() {
    let federation = federation();
    let receipt = receipt_of(&federation);
    assert_eq!((receipt.heads.len(), receipt.members.len()), (2, 2));
    let parts = format!("{:?}", Retrieval::of(&federation).parts());
    assert!(parts.contains("completion: true") && !parts.contains("request"), "{parts}");
    let verdict = verify(&receipt, Some(&federation.id())).expect("valid");
    assert_eq!(verdict.kind(), VerdictKind::Complete);
    assert_eq!(verdict.kind().code(), "COMPLETE");
    assert_eq!(
        (&verdict.request.owner, &verdict.request.requester),
        (&name(OWNER), &name(REQUESTER))
    );
    assert_eq!((verdict.request.record, verdict.newest_charter_version), (record(), 2));
    assert!(verdict.pinned && verdict.shown.record && verdict.shown.content);
}

#[test]
fn the_verdict_says_what_is_missing() {
    type Change = fn(&mut ReceiptParts);
    let federation = federation();
    let cases: Vec<(Change, VerdictKind, Outcome)> = vec![
        (|_| (), VerdictKind::Complete, Outcome::Complete),
        (|parts| parts.acknowledgement = None, VerdictKind::OneSided, Outcome::OneSided),
        (
            |parts| (parts.completion, parts.acknowledgement) = (None, None),
            VerdictKind::OneSided,
            Outcome::Unfinished,
        ),
        (|parts| parts.detail_blob = None, VerdictKind::RecordNotShown, Outcome::Complete),
        (
            |parts| (parts.payload_blob, parts.detail_blob) = (None, None),
            VerdictKind::RecordNotShown,
            Outcome::Complete,
        ),
    ];
    for (at, (change, kind, outcome)) in cases.into_iter().enumerate() {
        let mut parts = Retrieval::of(&federation).parts();
        change(&mut parts);
        let verdict = verdict(&federation, &parts).expect("valid");
        assert_eq!((verdict.kind(), verdict.outcome), (kind, outcome), "case {at}");
    }
}

#[test]
fn a_refusal_and_its_request_are_the_whole_receipt() {
    let federation = federation();
    let retrieval = Retrieval::of(&federation);
    let refusal = grant_of(&retrieval.request, Decision::Refused);
    let refusal = signed(&federation, federation.member(OWNER), refusal);
    let mut parts = ReceiptParts {
        grant: refusal.to_wire(),
        completion: None,
        acknowledgement: None,
        payload_blob: None,
        detail_blob: None,
        ..retrieval.parts()
    };
    let refused = verdict(&federation, &parts).expect("valid");
    assert_eq!((refused.kind(), refused.completion), (VerdictKind::Refused, None));

    parts.payload_blob = Some(retrieval.registered.payload.clone());
    assert!(matches!(verdict(&federation, &parts), Err(ReceiptError::Unexpected(_))));
    parts.payload_blob = None;
    parts.completion = Some(retrieval.completion.to_wire());
    let error = RetrievalError::AfterRefusal { message: "completion" };
    assert_eq!(verdict(&federation, &parts), Err(ReceiptError::Retrieval(error)));
}

#[test]
fn an_aborted_and_a_disputed_transfer_say_so() {
    let federation = federation();
    let (owner, requester) = (federation.member(OWNER), federation.member(REQUESTER));
    let retrieval = Retrieval::of(&federation);
    let mismatch = acknowledgement_of(&retrieval.completion, AcknowledgementStatus::Mismatch);
    let mismatch = signed(&federation, requester, mismatch).to_wire();
    let parts = ReceiptParts { acknowledgement: Some(mismatch), ..retrieval.parts() };
    assert_eq!(verdict(&federation, &parts).expect("valid").kind(), VerdictKind::Disputed);

    let mut aborted = completion_of(&retrieval.grant, CompletionStatus::Aborted);
    aborted.bytes_sent = 3;
    let aborted = signed(&federation, owner, aborted);
    let mut parts = ReceiptParts {
        completion: Some(aborted.to_wire()),
        acknowledgement: None,
        ..retrieval.parts()
    };
    assert_eq!(verdict(&federation, &parts).expect("valid").kind(), VerdictKind::Aborted);
    let matching = acknowledgement_of(&aborted, AcknowledgementStatus::Matching);
    parts.acknowledgement = Some(signed(&federation, requester, matching).to_wire());
    assert_eq!(
        verdict(&federation, &parts),
        Err(RetrievalError::AcknowledgementContradictsCompletion.into())
    );
}

#[test]
fn a_forged_federation_is_perfect_in_itself_and_refused_by_its_id() {
    let ours = federation();
    let forged = Federation::found_by(" forged");
    let receipt = receipt_of(&forged);
    let alone = verify(&receipt, Some(&forged.id())).expect("perfect in itself");
    assert_eq!(alone.kind(), VerdictKind::Complete);
    assert_eq!(
        verify(&receipt, Some(&ours.id())),
        Err(ReceiptError::OtherFederation { expected: ours.id(), found: forged.id() })
    );
    let unpinned = verify(&receipt, None).expect("readable");
    assert_eq!((unpinned.kind(), unpinned.federation), (VerdictKind::Unpinned, forged.id()));
    assert_eq!(unpinned.kind().code(), "UNPINNED");
}

#[test]
fn a_key_that_was_revoked_since_is_told() {
    // A SERVICE key of the owner, its TRANSACTION key at the entry's position, its CHECKPOINT key below the size.
    for (key_id, to) in [(SERVICE, 1), (TRANSACTION, 2), (CHECKPOINT, 2)] {
        let mut federation = federation();
        let parts = Retrieval::of(&federation).parts();
        let mut draft = Draft::next(&federation.history).expect("no fork");
        draft.close_key(&name(OWNER), key_id, to).expect("a key");
        federation.publish(draft);
        let revoked = verdict(&federation, &parts).expect("valid when it was signed");
        assert_eq!(revoked.kind(), VerdictKind::KeySinceRevoked, "key {key_id}");
        let of: Vec<_> = revoked.revoked.iter().map(|one| (&one.member, one.key_id)).collect();
        assert_eq!(of, [(&name(OWNER), key_id)]);
    }
    // Closed in routine, after what it signed: nothing to tell.
    let mut federation = federation();
    let parts = Retrieval::of(&federation).parts();
    let mut draft = Draft::next(&federation.history).expect("no fork");
    for (key_id, to) in [(SERVICE, 3), (TRANSACTION, 3), (CHECKPOINT, 3)] {
        draft.close_key(&name(OWNER), key_id, to).expect("a key");
    }
    federation.publish(draft);
    let closed = verdict(&federation, &parts).expect("valid");
    assert_eq!(closed.kind(), VerdictKind::Complete);
}

/// A member's entry as a charter version lists it, with its proof.
fn shown(charter: &Charter, member: &str) -> v1::ReceiptMember {
    let mut tree = MemoryTree::new();
    charter.members().values().for_each(|one| tree.append(leaf_hash(&one.to_bytes())));
    let index = charter.members().keys().position(|one| *one == name(member)).expect("a member");
    let proof = tree.prove_inclusion(index as u64).expect("it is in the tree");
    v1::ReceiptMember {
        charter_version: charter.version(),
        entry: charter.members()[&name(member)].to_bytes(),
        index: index as u64,
        inclusion_proof: proof_to_wire(&proof),
    }
}

// Heads alone do not show what a version did to its members. Stewards who sign a version that gives a listed key other
// bytes, or takes its end away, make a charter that no gateway follows; a receipt that carries it was taken all the same.
#[test]
fn two_entries_of_one_member_are_held_against_each_other() {
    type Change = fn(&mut v1::MemberEntry);
    let changes: [(&str, Change, Option<u32>); 4] = [
        ("nothing", |_| (), None),
        (
            "another public key",
            |e| e.keys[2].public_key = key("other").public().as_bytes().to_vec().into(),
            Some(SERVICE),
        ),
        ("a key taken off", |e| drop(e.keys.remove(4)), Some(ROOT)),
        ("an end raised", |e| e.keys[0].to = Some(90), Some(TRANSACTION)),
    ];
    let mut federation = federation();
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.close_key(&name(OWNER), TRANSACTION, 50).expect("a key");
    federation.publish(draft);
    for (what, change, key_id) in changes {
        let mut receipt = receipt_of(&federation);
        let next = federation.successor(|next| change(next.member(OWNER)));
        let next = next.expect("valid by itself");
        let wire = next.to_wire();
        receipt.heads.push(v1::ReceiptHead { head: wire.head, signatures: wire.signatures });
        receipt.members.extend([shown(&next, OWNER), shown(&next, REQUESTER)]);
        let expected = key_id.map(|key_id| {
            let source = SuccessionError::KeyChanged { name: name(OWNER), key_id };
            ReceiptError::Book(BookError::MemberSuccession { version: 4, source: Box::new(source) })
        });
        assert_eq!(verify(&receipt, Some(&federation.id())).err(), expected, "{what}");
    }
}

/// Every place in a receipt whose bytes somebody signed, or that are a proof about such bytes.
fn signed_parts(receipt: &mut v1::Receipt) -> Vec<(String, &mut Bytes)> {
    let v1::Receipt {
        heads,
        members,
        request,
        grant,
        completion,
        acknowledgement,
        payload_blob,
        detail_blob,
        ..
    } = receipt;
    let mut parts = Vec::new();
    for (at, head) in heads.iter_mut().enumerate() {
        parts.push((format!("head {at}"), &mut head.head));
        for one in &mut head.signatures {
            parts.push((format!("signature {} of head {at}", one.ordinal), &mut one.signature));
        }
    }
    for (at, member) in members.iter_mut().enumerate() {
        parts.push((format!("member {at}"), &mut member.entry));
        for hash in &mut member.inclusion_proof {
            parts.push((format!("proof of member {at}"), hash));
        }
    }
    for (what, message) in [
        ("request", request),
        ("grant", grant),
        ("completion", completion),
        ("acknowledgement", acknowledgement),
    ] {
        let message = message.as_mut().expect("all four are there");
        parts.push((what.into(), &mut message.message));
        parts.push((format!("signature of the {what}"), &mut message.signature));
    }
    parts.push(("payload blob".into(), payload_blob));
    parts.push(("detail blob".into(), detail_blob));
    parts
}

#[test]
fn every_byte_flip_of_a_receipts_signed_parts_is_refused() {
    let federation = federation();
    let id = federation.id();
    let good = receipt_of(&federation);
    verify(&good, Some(&id)).expect("valid before a flip");
    let places = signed_parts(&mut good.clone()).len();
    let mut flips = 0;
    for place in 0..places {
        let len = signed_parts(&mut good.clone())[place].1.len();
        for at in 0..len {
            let mut receipt = good.clone();
            let (what, part) = signed_parts(&mut receipt).swap_remove(place);
            let mut bytes = part.to_vec();
            bytes[at] ^= 1 << (at % 8);
            *part = bytes.into();
            assert!(verify(&receipt, Some(&id)).is_err(), "{what}, byte {at}");
            flips += 1;
        }
    }
    assert!(flips > 4_000, "{flips} flips: the parts are all there");
}

#[test]
fn parts_cannot_be_swapped_dropped_or_doubled() {
    type Change = fn(&mut v1::Receipt);
    let federation = federation();
    let good = receipt_of(&federation);
    let changes: [(&str, Change); 14] = [
        ("format 2", |receipt| receipt.format = 2),
        ("no heads", |receipt| receipt.heads.clear()),
        ("first head missing", |receipt| drop(receipt.heads.remove(0))),
        ("last head missing", |receipt| drop(receipt.heads.pop())),
        ("heads swapped", |receipt| receipt.heads.swap(0, 1)),
        ("too few signatures", |receipt| receipt.heads[1].signatures.truncate(2)),
        ("members swapped", |receipt| receipt.members.swap(0, 1)),
        ("a member twice", |receipt| receipt.members.push(receipt.members[1].clone())),
        ("a member missing", |receipt| drop(receipt.members.pop())),
        ("another place", |receipt| receipt.members[0].index += 1),
        ("another version", |receipt| receipt.members[0].charter_version = 1),
        ("no request", |receipt| receipt.request = None),
        ("no grant", |receipt| receipt.grant = None),
        ("an acknowledgement alone", |receipt| receipt.completion = None),
    ];
    for (what, change) in changes {
        let mut receipt = good.clone();
        change(&mut receipt);
        assert!(verify(&receipt, Some(&federation.id())).is_err(), "{what}");
    }
    let mut detail_alone = good.clone();
    detail_alone.payload_blob.clear();
    let expected = Err(ReceiptError::Registration(RegistrationError::DetailAlone));
    assert_eq!(verify(&detail_alone, Some(&federation.id())), expected);
    assert_eq!(verify_bytes(&[0xff; 40], None), Err(ReceiptError::NotAReceipt));
    assert_eq!(verify_bytes(&vec![0; (16 << 20) + 1], None), Err(ReceiptError::TooLong));
    let founding = Some(&FederationId::FOUNDING);
    assert!(matches!(verify(&good, founding), Err(ReceiptError::OtherFederation { .. })));
}

// Two bytes of a file became fifty in memory, before the first of them was judged.
#[test]
fn a_file_of_empty_heads_is_refused_before_it_is_decoded() {
    let empty_heads = [0x12, 0].repeat(8 << 20);
    let too_many = BookError::TooMany { what: "charter heads", limit: MAX_RECEIPT_HEADS };
    let too_many = ReceiptError::Book(too_many);
    assert_eq!(verify_bytes(&empty_heads, None), Err(too_many.clone()));
    let heads = vec![v1::ReceiptHead::default(); MAX_RECEIPT_HEADS + 1];
    let receipt = v1::Receipt { format: 1, heads, ..v1::Receipt::default() };
    assert_eq!(verify(&receipt, None), Err(too_many));
}

// The heads of a receipt commit to a version that revokes a key, and the entries that say so were simply left out: the
// receipt was taken for COMPLETE.
#[test]
fn entries_that_tell_of_a_revocation_cannot_be_left_out() {
    for (revoked, key_id) in [(OWNER, SERVICE), (OWNER, TRANSACTION), (REQUESTER, SERVICE)] {
        let mut federation = federation();
        let parts = Retrieval::of(&federation).parts();
        let mut draft = Draft::next(&federation.history).expect("no fork");
        draft.close_key(&name(revoked), key_id, 1).expect("a key");
        federation.publish(draft);
        let whole = assemble(&federation.history, &parts).expect("a receipt");
        let told = verify(&whole, Some(&federation.id())).expect("valid when it was signed");
        assert_eq!(told.kind(), VerdictKind::KeySinceRevoked, "key {key_id} of {revoked}");
        assert_eq!(whole.members.len(), 4, "both members at versions 2 and 3");

        for (left_out, member) in [(2, OWNER), (3, REQUESTER)] {
            let mut receipt = whole.clone();
            receipt.members.remove(left_out);
            let missing = BookError::NewestEntryMissing { member: name(member), version: 3 };
            let missing = ReceiptError::Book(missing);
            assert_eq!(verify(&receipt, Some(&federation.id())), Err(missing));
            assert!(verify(&receipt, None).is_err(), "nor for a reader who knows no federation");
        }
        let mut receipt = whole;
        receipt.members.truncate(2);
        assert!(verify(&receipt, Some(&federation.id())).is_err(), "key {key_id} of {revoked}");
    }
}

// A blob under a tag that no reader knows was a receipt without that blob, and with another verdict.
#[test]
fn a_receipt_has_one_encoding() {
    let federation = federation();
    let id = federation.id();
    let good = receipt_of(&federation).encode_to_vec();
    assert_eq!(verify_bytes(&good, Some(&id)).expect("valid").kind(), VerdictKind::Complete);
    let detail = receipt_of(&federation).detail_blob;
    let place = good.len() - detail.len() - 3;
    assert_eq!(good[place], 0x4a, "the tag of detail_blob, before a length of two bytes");
    let mut other_tag = good.clone();
    other_tag[place] = 0x6a;
    let twice = [&good[..], &good[place..]].concat();
    let unknown = [&good[..], &[0xf8, 0x07, 1]].concat();
    for bytes in [other_tag, twice, unknown] {
        assert_eq!(verify_bytes(&bytes, Some(&id)), Err(ReceiptError::NotCanonical));
    }
    let later = v1::Receipt { format: 2, ..receipt_of(&federation) }.encode_to_vec();
    let later = [&later[..], &[0xf8, 0x07, 1]].concat();
    assert_eq!(verify_bytes(&later, Some(&id)), Err(ReceiptError::Format { format: 2 }));
}

#[test]
fn messages_of_two_retrievals_do_not_mix() {
    let federation = federation();
    let (owner, requester) = (federation.member(OWNER), federation.member(REQUESTER));
    let one = Retrieval::of(&federation);
    let mut again = request(&federation.history);
    again.nonce = [6; 16];
    let request = signed(&federation, requester, again);
    let decision = Decision::Permitted(Box::new(permission(&one.registered)));
    let grant = signed(&federation, owner, grant_of(&request, decision));
    let completion = completion_of(&grant, CompletionStatus::Complete);
    let completion = signed(&federation, owner, completion);
    let other = |message| Err(ReceiptError::Retrieval(RetrievalError::OtherMessage { message }));

    let parts = ReceiptParts { request: request.to_wire(), ..one.parts() };
    assert_eq!(verdict(&federation, &parts), other("grant"));
    let parts = ReceiptParts { request: request.to_wire(), grant: grant.to_wire(), ..one.parts() };
    assert_eq!(verdict(&federation, &parts), other("completion"));
    let parts = ReceiptParts {
        request: request.to_wire(),
        grant: grant.to_wire(),
        completion: Some(completion.to_wire()),
        ..one.parts()
    };
    assert_eq!(verdict(&federation, &parts), other("acknowledgement"));
}

#[test]
fn an_owner_that_shows_another_registration_is_found_out() {
    let federation = federation();
    let owner = federation.member(OWNER);
    let retrieval = Retrieval::of(&federation);
    // Validly registered, validly granted, and not what was asked for.
    let another = RecordId { id: [0xcd; 16], ..record() };
    for registered in [register(&federation, &another, 1), register(&federation, &record(), 2)] {
        let decision = Decision::Permitted(Box::new(permission(&registered)));
        let grant = signed(&federation, owner, grant_of(&retrieval.request, decision));
        let parts = ReceiptParts {
            grant: grant.to_wire(),
            completion: None,
            acknowledgement: None,
            payload_blob: Some(registered.payload.clone()),
            detail_blob: None,
            ..retrieval.parts()
        };
        let expected = Err(ReceiptError::Registration(RegistrationError::OtherRecord));
        assert_eq!(verdict(&federation, &parts), expected);
    }
    // Another size than the registered one.
    let mut promise = permission(&retrieval.registered);
    promise.expected_size_bytes = CONTENT.len() as u64 + 1;
    let grant = grant_of(&retrieval.request, Decision::Permitted(Box::new(promise)));
    let grant = signed(&federation, owner, grant);
    let parts = ReceiptParts {
        grant: grant.to_wire(),
        completion: None,
        acknowledgement: None,
        ..retrieval.parts()
    };
    let expected = Err(ReceiptError::Registration(RegistrationError::OtherContent));
    assert_eq!(verdict(&federation, &parts), expected);
}
