//! Each rule about a header and an entry, broken once.

use super::*;

fn header() -> Header {
    Header {
        charter_version: 3,
        log_id: LogId::new([1; 32]),
        position: 300,
        previous_leaf: LeafHash::new([2; 32]),
        key_id: 4,
        incarnation: 5,
        recorded_hour: 490_000,
        payload_commitment: Commitment::new([6; 32]),
        payload_size: 256,
        audience: Audience::Federation,
    }
}

fn wire() -> v1::TransactionHeader {
    canonical::decode(&header().to_bytes(), MAX_HEADER_LEN).expect("canonical")
}

fn refused(change: impl FnOnce(&mut v1::TransactionHeader)) -> HeaderError {
    let mut wire = wire();
    change(&mut wire);
    Header::parse(&canonical::encode(&wire)).expect_err("refused")
}

#[test]
fn a_header_reads_back_what_it_writes() {
    for audience in [Audience::Federation, Audience::Limited] {
        let header = Header { audience, ..header() };
        assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }
    let first = Header { position: 0, previous_leaf: LeafHash::NONE, ..header() };
    assert_eq!(Header::parse(&first.to_bytes()), Ok(first));
    let largest = Header { payload_size: MAX_PAYLOAD_SIZE, ..header() };
    assert_eq!(Header::parse(&largest.to_bytes()), Ok(largest));
}

#[test]
fn refuses_digests_of_another_length() {
    let short = || Bytes::from_static(&[1; 31]);
    for (name, error) in [
        ("log_id", refused(|wire| wire.log_id = short())),
        ("previous_leaf", refused(|wire| wire.previous_leaf = Bytes::new())),
        ("payload_commitment", refused(|wire| wire.payload_commitment = short())),
    ] {
        assert!(matches!(error, HeaderError::Field(what) if what.starts_with(name)), "{name}");
    }
}

#[test]
fn refuses_zeros_an_unknown_audience_and_a_payload_that_is_too_large() {
    for (name, error) in [
        ("charter_version", refused(|wire| wire.charter_version = 0)),
        ("key_id", refused(|wire| wire.key_id = 0)),
        ("incarnation", refused(|wire| wire.incarnation = 0)),
        ("payload_size", refused(|wire| wire.payload_size = MAX_PAYLOAD_SIZE + 1)),
        ("audience", refused(|wire| wire.audience = 0)),
        ("audience", refused(|wire| wire.audience = 3)),
        ("audience", refused(|wire| wire.audience = -1)),
        ("format", refused(|wire| wire.format = 0)),
    ] {
        assert!(matches!(error, HeaderError::Field(what) if what.starts_with(name)), "{name}");
    }
}

#[test]
fn tells_a_format_from_the_future_apart_whatever_follows_it() {
    assert_eq!(refused(|wire| wire.format = 2), HeaderError::UnknownFormat(2));
    assert_eq!(refused(|wire| wire.format = u32::MAX), HeaderError::UnknownFormat(u32::MAX));
    let strange = [&[0x08, 0xac, 0x02][..], &[0xff; 700]].concat();
    assert_eq!(Header::parse(&strange), Err(HeaderError::UnknownFormat(300)));
    let waits = Err(HeaderError::UnknownFormat(300).into());
    assert_eq!(SignedTransaction::parse(&strange), waits);
    assert_eq!(SignedTransaction::parse(&strange[..3]), waits);
    // Not a format: a varint longer than needed, one of more than 32 bits, or another field first.
    for bytes in [&[0x08, 0x82, 0x00][..], &[0x08, 0xff, 0xff, 0xff, 0xff, 0x7f], &[0x10, 2]] {
        assert!(
            matches!(Header::parse(bytes), Err(e) if !matches!(e, HeaderError::UnknownFormat(_)))
        );
    }
}

#[test]
fn refuses_unknown_fields_and_too_many_bytes() {
    let mut unknown = header().to_bytes();
    unknown.extend([0x60, 1]);
    let not_canonical = HeaderError::NotCanonical(CanonicalError::NotCanonical);
    assert_eq!(Header::parse(&unknown), Err(not_canonical));
    let mut long = header().to_bytes();
    long.resize(MAX_HEADER_LEN + 1, 0);
    let too_large = CanonicalError::TooLarge { len: 513, max: MAX_HEADER_LEN };
    assert_eq!(Header::parse(&long), Err(HeaderError::NotCanonical(too_large)));
}

#[test]
fn an_entry_is_header_and_signature_and_nothing_else() {
    let transaction = SignedTransaction::new(header(), Signature::new([7; 64]));
    let entry = transaction.entry_bytes();
    assert_eq!(entry.len(), header().to_bytes().len() + 64);
    assert_eq!(SignedTransaction::parse(entry).as_ref(), Ok(&transaction));
    assert_eq!(transaction.header_bytes(), header().to_bytes());
    assert_eq!(transaction.leaf(), leaf_hash(entry));

    let one_more = [entry, &[0][..]].concat();
    assert!(matches!(SignedTransaction::parse(&one_more), Err(EntryError::Header(_))));
    assert_eq!(SignedTransaction::parse(&[9; 63]), Err(EntryError::TooShort(63)));
    assert!(matches!(SignedTransaction::parse(&[9; 64]), Err(EntryError::Header(_))));
    let padded = |len: usize| {
        let mut long = entry.to_vec();
        long.resize(len, 0);
        SignedTransaction::parse(&long)
    };
    assert_eq!(MAX_ENTRY_LEN, 512 + 64);
    assert!(matches!(padded(MAX_ENTRY_LEN), Err(EntryError::Header(_))));
    assert_eq!(padded(MAX_ENTRY_LEN + 1), Err(EntryError::TooLarge(MAX_ENTRY_LEN + 1)));
    let shown = format!("{transaction:?}");
    assert!(shown.ends_with("position 300)"), "{shown}");
}
