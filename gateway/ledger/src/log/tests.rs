//! Each rule of the chain, broken once.

use super::*;
use crate::ids::Commitment;
use crate::signing::Signature;
use crate::transaction::Audience;

const FEDERATION: FederationId = FederationId::new([9; 32]);
const LOG: LogId = LogId::new([1; 32]);

/// Keys 1 and 2, each from the seed of its number, from charter version 1 to 5.
struct FixedKeys;

impl KeyBook for FixedKeys {
    fn federation_id(&self) -> FederationId {
        FEDERATION
    }

    fn transaction_key(&self, log: &LogId, version: u64, key_id: u32, _: u64) -> KeyVerdict {
        match (version, key_id) {
            _ if *log != LOG => KeyVerdict::Invalid("no such log"),
            (6.., _) => KeyVerdict::Waiting,
            (_, 1 | 2) => KeyVerdict::Key(key(key_id).public()),
            _ => KeyVerdict::Invalid("no such key"),
        }
    }
}

fn key(key_id: u32) -> SigningKey {
    SigningKey::from_seed(&[key_id as u8; 32])
}

fn draft() -> Draft {
    Draft {
        charter_version: 3,
        key_id: 2,
        incarnation: 7,
        recorded_hour: 490_000,
        payload_commitment: Commitment::new([6; 32]),
        payload_size: 256,
        audience: Audience::Federation,
    }
}

/// A head after two entries.
fn head() -> LogHead {
    let mut head = LogHead::new(LOG);
    for _ in 0..2 {
        let entry = head.sign_next(draft(), &key(2), &FEDERATION);
        let entry = head.verify(entry, &FixedKeys).expect("valid");
        head.append(&entry).expect("follows");
    }
    head
}

/// The verdict on a third entry whose header was changed before it was signed.
fn verdict(change: impl FnOnce(&mut Header)) -> Result<VerifiedTransaction, Refusal> {
    let head = head();
    let mut header = head.sign_next(draft(), &key(2), &FEDERATION).header().clone();
    change(&mut header);
    let signature = key(header.key_id).sign(Purpose::Transaction, &FEDERATION, &header.to_bytes());
    let entry = SignedTransaction::new(header, signature);
    head.verify_entry(entry.entry_bytes().clone(), &FixedKeys)
}

fn invalid(change: impl FnOnce(&mut Header)) -> &'static str {
    match verdict(change) {
        Err(Refusal::Invalid { position: 2, reason }) => reason.code(),
        other => panic!("not invalid at 2: {other:?}"),
    }
}

#[test]
fn what_follows_is_taken() {
    let entry = verdict(|_| ()).expect("valid");
    assert_eq!(entry.header().position, 2);
    let mut head = head();
    assert_eq!(head.append(&entry), Ok(()));
    assert_eq!((head.size(), head.previous_leaf()), (3, entry.leaf()));
    // Higher numbers are fine where lower ones are not.
    assert!(verdict(|header| (header.charter_version, header.incarnation) = (5, 8)).is_ok());
}

#[test]
fn refuses_what_does_not_follow() {
    assert_eq!(invalid(|header| header.log_id = LogId::new([2; 32])), "WRONG_LOG");
    assert_eq!(invalid(|header| header.position = 1), "WRONG_POSITION");
    assert_eq!(invalid(|header| header.position = 3), "WRONG_POSITION");
    assert_eq!(invalid(|header| header.previous_leaf = LeafHash::NONE), "BAD_LINK");
    assert_eq!(invalid(|header| header.charter_version = 2), "CHARTER_DECREASED");
    assert_eq!(invalid(|header| header.incarnation = 6), "INCARNATION_DECREASED");
    assert_eq!(invalid(|header| header.key_id = 1), "KEY_WENT_BACK");
}

#[test]
fn refuses_keys_that_the_charter_does_not_let_sign() {
    assert_eq!(invalid(|header| header.key_id = 3), "WRONG_KEY");
}

#[test]
fn refuses_headers_that_are_not_canonical() {
    assert_eq!(invalid(|header| header.charter_version = 0), "NOT_CANONICAL");
    assert_eq!(invalid(|header| header.payload_size = 65_537), "NOT_CANONICAL");
}

#[test]
fn an_entry_of_our_own_obeys_the_header_rules_too() {
    let head = head();
    let entry = head.sign_next(Draft { payload_size: 65_537, ..draft() }, &key(2), &FEDERATION);
    let refusal = head.verify(entry, &FixedKeys).expect_err("refused");
    assert_eq!(refusal.code(), "NOT_CANONICAL");
}

#[test]
fn refuses_signatures_of_another_key_federation_or_purpose() {
    let head = head();
    let header = head.sign_next(draft(), &key(2), &FEDERATION).header().clone();
    let bytes = header.to_bytes();
    for signature in [
        key(1).sign(Purpose::Transaction, &FEDERATION, &bytes),
        key(2).sign(Purpose::Transaction, &FederationId::FOUNDING, &bytes),
        key(2).sign(Purpose::Grant, &FEDERATION, &bytes),
        key(2).sign_note_text(&bytes),
        Signature::new([0; 64]),
    ] {
        let entry = SignedTransaction::new(header.clone(), signature);
        let refusal = head.verify(entry, &FixedKeys).expect_err("refused");
        let reason = InvalidReason::BadSignature;
        assert_eq!(refusal, Refusal::Invalid { position: 2, reason });
    }
}

#[test]
fn waits_for_a_charter_version_but_not_when_the_entry_is_invalid_anyway() {
    let reason = WaitingReason::CharterVersion(6);
    let waits = Err(Refusal::Waiting { position: 2, reason });
    assert_eq!(verdict(|header| header.charter_version = 6), waits);
    let both = invalid(|header| (header.charter_version, header.position) = (6, 9));
    assert_eq!(both, "WRONG_POSITION");
}

#[test]
fn waits_for_a_format_from_the_future_and_refuses_other_bytes() {
    let judge = |entry: &[u8]| {
        head().verify_entry(Bytes::copy_from_slice(entry), &FixedKeys).expect_err("refused")
    };
    let reason = WaitingReason::UnknownFormat(2);
    assert_eq!(judge(&[0x08, 2, 0xff]), Refusal::Waiting { position: 2, reason });
    assert_eq!(judge(&[]).code(), "NOT_CANONICAL");
    assert_eq!(judge(&[0x09; 577]).code(), "TOO_LARGE");
}

#[test]
fn a_verified_entry_is_appended_only_where_it_was_verified() {
    let entry = verdict(|_| ()).expect("valid");
    let mut empty = LogHead::new(LOG);
    assert_eq!(empty.append(&entry), Err(DoesNotFollow { size: 0 }));
    assert_eq!(empty, LogHead::new(LOG));
    // A log with another entry at position 1 has the same size and another history.
    let mut branch = LogHead::new(LOG);
    for incarnation in [7, 8] {
        let signed = branch.sign_next(Draft { incarnation, ..draft() }, &key(2), &FEDERATION);
        let signed = branch.verify(signed, &FixedKeys).expect("valid");
        branch.append(&signed).expect("follows");
    }
    assert_eq!(branch.append(&entry), Err(DoesNotFollow { size: 2 }));
}

#[test]
fn a_head_reads_back_what_it_writes_and_nothing_else() {
    for head in [LogHead::new(LOG), head()] {
        let bytes = head.to_bytes();
        assert_eq!(LogHead::from_bytes(&bytes), Ok(head));
        for wrong in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat(), &[]] {
            assert_eq!(LogHead::from_bytes(wrong), Err(HeadError));
        }
        let other_version = [&[2], &bytes[1..]].concat();
        assert_eq!(LogHead::from_bytes(&other_version), Err(HeadError));
        let one_hash_more = [&bytes[..], &[0; 32]].concat();
        assert_eq!(LogHead::from_bytes(&one_hash_more), Err(HeadError));
    }
}

/// The first entry of a log, taken by the log's own empty head.
fn first_of(log: LogId) -> VerifiedTransaction {
    let entry = LogHead::new(log).sign_next(draft(), &key(2), &FEDERATION);
    VerifiedTransaction::new(entry)
}

#[test]
fn takes_no_verified_entry_of_another_log_place_or_history() {
    let wrong = |head: &LogHead, entry: &VerifiedTransaction| {
        let mut after = head.clone();
        let size = head.size();
        assert_eq!(after.append(entry), Err(DoesNotFollow { size }));
        assert_eq!(after, *head, "nothing changes");
    };
    // Two empty logs have the same position and the same previous leaf: none.
    let (empty, others) = (LogHead::new(LOG), LogId::new([2; 32]));
    wrong(&empty, &first_of(others));
    assert_eq!(empty.clone().append(&first_of(LOG)), Ok(()));
    wrong(&head(), &first_of(LOG));
    // The same log and position, after another history.
    let mut branch = empty.clone();
    for hour in 0..2 {
        let other = Draft { recorded_hour: hour, ..draft() };
        let entry = branch.sign_next(other, &key(2), &FEDERATION);
        let entry = branch.verify(entry, &FixedKeys).expect("valid");
        branch.append(&entry).expect("follows");
    }
    let third = branch.sign_next(draft(), &key(2), &FEDERATION);
    wrong(&head(), &branch.verify(third, &FixedKeys).expect("valid"));
}

#[test]
fn a_head_says_what_the_last_entry_named() {
    let (empty, head) = (LogHead::new(LOG), head());
    assert_eq!((empty.charter_version(), empty.key_id(), empty.incarnation()), (0, 0, 0));
    assert_eq!((head.charter_version(), head.key_id(), head.incarnation()), (3, 2, 7));
    assert!(format!("{head:?}").contains(" size 2 "), "{head:?}");
    let entry = verdict(|_| ()).expect("valid");
    assert!(format!("{entry:?}").ends_with("position 2)"), "{entry:?}");
}

#[test]
fn the_largest_head_is_read_back() {
    // A frontier has a hash for each bit of its size, and 2^63 - 1 is the size with the most.
    let stored = |size: u64, hashes: usize| {
        let mut bytes = LogHead::new(LOG).to_bytes();
        bytes.truncate(bytes.len() - 8);
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(&vec![5; 32 * hashes]);
        LogHead::from_bytes(&bytes).map(|head| head.to_bytes() == bytes)
    };
    assert_eq!(stored(u64::MAX >> 1, 63), Ok(true));
    assert_eq!(stored(u64::MAX, 64), Err(HeadError));
    assert_eq!(stored(u64::MAX >> 1, 64), Err(HeadError));
}

#[test]
fn a_book_without_checkpoint_keys_covers_nothing() {
    assert!(!FixedKeys.checkpoint_key_covers(&LOG, 0, &key(1).public()));
}

#[test]
fn what_waits_says_what_it_waits_for() {
    let version = verdict(|header| header.charter_version = 6).expect_err("waits");
    assert_eq!((version.position(), version.code()), (2, "CHARTER_VERSION_MISSING"));
    let future = head().verify_entry(Bytes::from_static(&[8, 2]), &FixedKeys).expect_err("waits");
    assert_eq!((future.position(), future.code()), (2, "UNKNOWN_FORMAT"));
}
