//! Reads and writes the one encoding of a signed message.
//!
//! What does not encode back to the same bytes is refused: so two different byte strings never mean the same message,
//! no field can hide where a reader of another version would see it, and a digest names exactly one meaning.

use core::cmp::Ordering;

use prost::Message;

/// Why bytes are not the canonical encoding of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// More bytes than any valid message of this kind has; nothing was parsed.
    #[error("the message has {len} bytes, at most {max} are allowed")]
    TooLarge {
        /// How many there are.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// Not protobuf, or a field has another type.
    #[error("the bytes are not a message of this kind")]
    NotProtobuf,
    /// Fields out of order, unknown, repeated or written as defaults, or a varint longer than needed.
    #[error("the message encodes back to other bytes: it is not canonical")]
    NotCanonical,
}

/// Decodes a message whose bytes are its canonical encoding and at most `max_len` long.
///
/// Canonical: fields ascending, minimal varints, defaults omitted, scalars packed, nothing unknown, no singular field
/// twice, in submessages too. The order of repeated elements is each message's own rule ([`strictly_ascending`]).
///
/// # Errors
/// Fails when the bytes are too many, do not parse, or differ from what the parsed message encodes to.
pub fn decode<M: Message + Default>(bytes: &[u8], max_len: usize) -> Result<M, CanonicalError> {
    if bytes.len() > max_len {
        return Err(CanonicalError::TooLarge { len: bytes.len(), max: max_len });
    }
    let message = M::decode(bytes).map_err(|_| CanonicalError::NotProtobuf)?;
    // Whatever the parser forgave (order, long varints, unknown or repeated fields) is missing or moved here.
    if message.encode_to_vec() != bytes {
        return Err(CanonicalError::NotCanonical);
    }
    Ok(message)
}

/// The canonical encoding of a message: prost writes fields ascending, minimal and without defaults.
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

/// Whether each key is greater than the one before, so that none stands twice.
pub fn strictly_ascending<K: PartialOrd>(keys: impl IntoIterator<Item = K>) -> bool {
    let mut keys = keys.into_iter();
    let Some(mut last) = keys.next() else { return true };
    for key in keys {
        // Keys that cannot be compared count as disorder.
        if last.partial_cmp(&key) != Some(Ordering::Less) {
            return false;
        }
        last = key;
    }
    true
}

/// Takes a varint of 32 bits off the front, if it is there and as short as it can be.
pub(crate) fn minimal_varint(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u64;
    for place in 0..5 {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let minimal = byte != 0 || place == 0;
            return if minimal { u32::try_from(value).ok() } else { None };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use sundbro_proto::ledger::v1::{Coding, MemberEntry, RecordDetail, TransactionHeader};

    use super::*;

    fn refused(bytes: &[u8]) -> CanonicalError {
        decode::<TransactionHeader>(bytes, 64).expect_err("not canonical")
    }

    #[test]
    fn reads_back_what_it_writes() {
        let header = TransactionHeader { format: 1, position: 300, ..Default::default() };
        let bytes = encode(&header);
        assert_eq!(bytes, [0x08, 1, 0x20, 0xac, 0x02]);
        assert_eq!(decode::<TransactionHeader>(&bytes, 5), Ok(header));
    }

    #[test]
    fn refuses_more_bytes_than_allowed_before_parsing() {
        assert_eq!(refused(&[0xff; 65]), CanonicalError::TooLarge { len: 65, max: 64 });
    }

    #[test]
    fn refuses_what_a_lenient_parser_forgives() {
        for (what, bytes) in [
            ("fields out of order", &[0x20, 7, 0x08, 1][..]),
            ("a varint longer than needed", &[0x08, 0x81, 0x00]),
            ("a default that is written", &[0x08, 0]),
            ("an unknown field", &[0x08, 1, 0x78, 1]),
            ("a singular field twice", &[0x08, 2, 0x08, 1]),
            ("more than 32 bits in a u32", &[0x08, 0x81, 0x80, 0x80, 0x80, 0x10]),
            ("an empty bytes field", &[0x1a, 0]),
            ("a tag longer than needed", &[0x88, 0x00, 1]),
        ] {
            assert_eq!(refused(bytes), CanonicalError::NotCanonical, "{what}");
        }
        assert_eq!(refused(&[0x08]), CanonicalError::NotProtobuf);
        assert_eq!(refused(&[0x0a, 1, 1]), CanonicalError::NotProtobuf);
    }

    #[test]
    fn refuses_disorder_inside_a_submessage_and_unpacked_scalars() {
        let coding = Coding { system: "s".into(), code: "c".into() };
        let detail = RecordDetail { class: Some(coding), ..Default::default() };
        assert_eq!(encode(&detail), [0x1a, 6, 0x0a, 1, b's', 0x12, 1, b'c']);
        let swapped = [0x1a, 6, 0x12, 1, b'c', 0x0a, 1, b's'];
        assert_eq!(decode::<RecordDetail>(&swapped, 64), Err(CanonicalError::NotCanonical));

        let packed = MemberEntry { roles: vec![1, 2], ..Default::default() };
        assert_eq!(encode(&packed), [0x22, 2, 1, 2]);
        let unpacked = [0x20, 1, 0x20, 2];
        assert_eq!(decode::<MemberEntry>(&unpacked, 64), Err(CanonicalError::NotCanonical));
    }

    #[test]
    fn ascending_means_ordered_and_none_twice() {
        assert!(strictly_ascending::<u8>([]));
        assert!(strictly_ascending([3]));
        assert!(strictly_ascending([1, 2, 9]));
        assert!(!strictly_ascending([1, 1]));
        assert!(!strictly_ascending([2, 1]));
        assert!(!strictly_ascending([f32::NAN, 1.0]));
    }
}
