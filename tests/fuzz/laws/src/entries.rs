//! Laws of what stands in a log: headers, entries, blobs, bodies, and the stored end of a log.

use bytes::Bytes;
use sundbro_ledger::blob::{Blob, SALT_LEN};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::payload::{Detail, KINDS, Payload};
use sundbro_ledger::transaction::{
    Audience, EntryError, HEADER_FORMAT, Header, HeaderError, MAX_ENTRY_LEN, MAX_HEADER_LEN,
    SignedTransaction,
};

use crate::Verdict;
use crate::world::{ENTRIES, world};

/// Bytes as a header, and as an entry of the hospital's log.
pub fn header(bytes: &[u8]) -> Verdict {
    let read = Header::parse(bytes);
    match &read {
        Ok(header) => {
            assert_eq!(header.to_bytes(), bytes, "a header has one encoding");
            assert!(bytes.len() <= MAX_HEADER_LEN);
        }
        Err(HeaderError::UnknownFormat(format)) => {
            // The one error that makes a log wait instead of stopping it: nothing but the format may bring it about.
            assert!(*format > HEADER_FORMAT && bytes.first() == Some(&0x08));
        }
        Err(_) => {}
    }
    Verdict::of(&read).or(entry(bytes))
}

fn entry(bytes: &[u8]) -> Verdict {
    let read = SignedTransaction::parse(bytes);
    match &read {
        Ok(signed) => {
            let parts = [signed.header_bytes(), signed.signature().as_bytes()].concat();
            assert_eq!(parts, bytes, "an entry is header and signature and nothing else");
            assert_eq!(signed.header().to_bytes(), signed.header_bytes());
            assert!(bytes.len() <= MAX_ENTRY_LEN);
            only_the_signed_one_verifies(signed);
        }
        Err(EntryError::Header(HeaderError::UnknownFormat(_))) => {
            assert_eq!(bytes.first(), Some(&0x08));
        }
        Err(_) => {}
    }
    Verdict::of(&read)
}

fn only_the_signed_one_verifies(signed: &SignedTransaction) {
    let world = world();
    let position = signed.header().position;
    let Some(place) = usize::try_from(position).ok().filter(|_| position < ENTRIES) else { return };
    let verified = world.heads[place].verify(signed.clone(), &world.history);
    if verified.is_ok() {
        assert_eq!(signed.entry_bytes(), &world.entries[place], "its author signed another entry");
    }
}

/// The first byte says for whom; the others as a blob, and its body as a payload and as a detail.
pub fn blob(bytes: &[u8]) -> Verdict {
    let Some((choice, bytes)) = bytes.split_first() else { return Verdict::Refused };
    let audience = if choice & 1 == 0 { Audience::Federation } else { Audience::Limited };
    let blob = Blob::parse(Bytes::copy_from_slice(bytes), audience);
    if let Ok(blob) = &blob {
        let salt = bytes.first_chunk::<SALT_LEN>().expect("a blob begins with a salt");
        let framed = Blob::frame(salt, blob.body(), audience).expect("it was framed before");
        assert_eq!(&framed.bytes()[..], bytes, "a body is framed in one way");
        assert_ne!(blob.payload_commitment().as_bytes(), blob.detail_commitment().as_bytes());
        payload(blob.body());
    }
    if let Ok(detail) = Detail::read(Bytes::copy_from_slice(bytes)) {
        let same = Blob::parse(Bytes::copy_from_slice(bytes), detail.audience().kind());
        assert!(same.is_ok_and(|blob| blob.body() == detail.encode()), "padded for its audience");
    }
    Verdict::of(&blob)
}

/// Bytes as the body of a payload, and as that of a detail.
pub fn payload(bytes: &[u8]) -> Verdict {
    let payload = Payload::parse(bytes);
    match &payload {
        Ok(Payload::Unknown { kind }) => assert!(!KINDS.contains(kind), "kind {kind} is known"),
        Ok(known) => assert_eq!(known.encode().as_deref(), Ok(bytes), "a body has one encoding"),
        Err(_) => {}
    }
    let detail = Detail::parse(bytes);
    if let Ok(detail) = &detail {
        assert_eq!(detail.encode(), bytes, "a detail has one encoding");
    }
    Verdict::of(&payload).or(Verdict::of(&detail))
}

/// Bytes as the stored end of a log.
pub fn stored(bytes: &[u8]) -> Verdict {
    let head = LogHead::from_bytes(bytes);
    if let Ok(head) = &head {
        assert_eq!(head.to_bytes(), bytes, "the end of a log has one form");
        // Whatever is stored, asking for its root ends.
        let _ = head.root();
    }
    Verdict::of(&head)
}
