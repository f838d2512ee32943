//! Counts what a file for outsiders holds before anything of it is decoded.
//!
//! An empty element takes two bytes in a file and many times as much in memory, so a length alone bounds nothing: sixteen
//! megabytes of them would take half a gigabyte. Here the bytes are walked and nothing is kept.

use super::{BookError, MAX_HEADS, MAX_MEMBERS};
use crate::charter::MAX_SIGNATURES;
use crate::merkle::MAX_PROOF_HASHES;
use crate::signing::SIGNATURE_LEN;

/// Field numbers of `Receipt` and `EvidenceFile`, of `ReceiptHead` and `ReceiptMember`.
const HEADS: u64 = 2;
const MEMBERS: u64 = 3;
const SIGNATURES_OF_A_HEAD: u64 = 2;
const PROOF_OF_A_MEMBER: u64 = 4;

/// Refuses a file that holds more of something than it may.
pub(crate) fn check(file: &[u8]) -> Result<(), BookError> {
    let mut heads = Count::up_to(MAX_HEADS, "charter heads");
    let mut members = Count::up_to(MAX_MEMBERS, "member entries");
    for field in Fields(file) {
        match field? {
            (HEADS, head) => {
                heads.one_more()?;
                check_head(head)?;
            }
            (MEMBERS, member) => {
                members.one_more()?;
                check_member(member)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_head(head: &[u8]) -> Result<(), BookError> {
    let mut signatures = Count::up_to(MAX_SIGNATURES, "signatures of one head");
    for field in Fields(head) {
        if let (SIGNATURES_OF_A_HEAD, signature) = field? {
            signatures.one_more()?;
            // Short ones could still be two million in all.
            if signature.len() < SIGNATURE_LEN {
                return Err(BookError::NotAFile);
            }
        }
    }
    Ok(())
}

fn check_member(member: &[u8]) -> Result<(), BookError> {
    let mut hashes = Count::up_to(MAX_PROOF_HASHES, "hashes in one proof");
    for field in Fields(member) {
        if let (PROOF_OF_A_MEMBER, _) = field? {
            hashes.one_more()?;
        }
    }
    Ok(())
}

struct Count {
    left: usize,
    limit: usize,
    what: &'static str,
}

impl Count {
    fn up_to(limit: usize, what: &'static str) -> Self {
        Self { left: limit, limit, what }
    }

    fn one_more(&mut self) -> Result<(), BookError> {
        let too_many = BookError::TooMany { what: self.what, limit: self.limit };
        self.left = self.left.checked_sub(1).ok_or(too_many)?;
        Ok(())
    }
}

/// The length-delimited fields of a message, in the order in which they stand; all others are stepped over.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, &'a [u8]), BookError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            match self.step() {
                Some(None) => {}
                Some(Some(field)) => return Some(Ok(field)),
                None => {
                    self.0 = &[];
                    return Some(Err(BookError::NotAFile));
                }
            }
        }
        None
    }
}

impl<'a> Fields<'a> {
    /// Takes one field off the front. `None`: it is none.
    fn step(&mut self) -> Option<Option<(u64, &'a [u8])>> {
        let tag = self.varint()?;
        let len = match tag & 7 {
            0 => {
                self.varint()?;
                return Some(None);
            }
            1 => 8,
            2 => usize::try_from(self.varint()?).ok()?,
            5 => 4,
            // Groups, which no message of ours has.
            _ => return None,
        };
        let (value, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some((tag & 7 == 2).then_some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..10 {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // Bits beyond the 64th fall away: the decoder refuses such a number.
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(field: &[u8], times: usize) -> Vec<u8> {
        field.repeat(times)
    }

    /// A length-delimited field whose number and length fit into a byte and three.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let len = value.len();
        let len = [(len & 0x7f) as u8 | 0x80, ((len >> 7) & 0x7f) as u8 | 0x80, (len >> 14) as u8];
        [&[number << 3 | 2], &len[..], value].concat()
    }

    #[test]
    fn counts_heads_signatures_members_and_hashes() {
        let signature = field(2, &[1; 68]);
        for (what, one, limit) in
            [("charter heads", field(2, &[]), MAX_HEADS), ("member entries", field(3, &[]), 16)]
        {
            assert_eq!(check(&many(&one, limit)), Ok(()), "{what}");
            let too_many = Err(BookError::TooMany { what, limit });
            assert_eq!(check(&many(&one, limit + 1)), too_many);
        }
        for (what, outer, one, limit) in [
            ("signatures of one head", 2, signature, 128),
            ("hashes in one proof", 3, field(4, &[]), 64),
        ] {
            let inside = |times| field(outer, &many(&one, times));
            assert_eq!(check(&[inside(limit), inside(limit)].concat()), Ok(()), "{what}");
            let too_many = Err(BookError::TooMany { what, limit });
            assert_eq!(check(&[inside(limit), inside(limit + 1)].concat()), too_many);
        }
        let signed = |len: usize| check(&field(2, &field(2, &vec![1; len])));
        assert_eq!(signed(SIGNATURE_LEN), Ok(()));
        for too_short in [0, SIGNATURE_LEN - 1] {
            assert_eq!(signed(too_short), Err(BookError::NotAFile));
        }
    }

    #[test]
    fn steps_over_other_fields_and_refuses_what_is_no_message() {
        let mixed = [&[0x08, 1][..], &[0x79], &[0; 8], &[0x7d], &[0; 4], &field(9, &[7; 300])];
        assert_eq!(check(&mixed.concat()), Ok(()));
        for (what, bytes) in [
            ("a length past the end", &[0x12, 2, 0][..]),
            ("a length past all memory", &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            ("a varint without an end", &[0x80; 11]),
            ("a tag alone", &[0x08]),
            ("eight bytes that are seven", &[0x79, 0, 0, 0, 0, 0, 0, 0]),
            ("a group", &[0x13, 0x14]),
            ("inside a head", &[0x12, 1, 0x08]),
        ] {
            assert_eq!(check(bytes), Err(BookError::NotAFile), "{what}");
        }
    }
}
