//! Blobs: the detached bytes that a header or a payload commits to, salted and padded.
//!
//! `salt 32 B ‖ body length u32 BE ‖ body ‖ zeros`. The salt keeps a guessable body from being guessed by its
//! commitment, and dies with the blob; the padding keeps the length from telling what the body is.

use core::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::ids::Commitment;
use crate::transaction::{Audience, MAX_PAYLOAD_SIZE};

/// Longest blob in bytes.
pub const MAX_BLOB_LEN: usize = MAX_PAYLOAD_SIZE as usize;
/// Bytes before the body: salt and length.
pub const BLOB_PREFIX_LEN: usize = SALT_LEN + 4;
/// Longest body in bytes.
pub const MAX_BODY_LEN: usize = MAX_BLOB_LEN - BLOB_PREFIX_LEN;
/// Length of a salt in bytes.
pub const SALT_LEN: usize = 32;
/// A blob for the federation is as long as the next multiple of this.
pub const FEDERATION_STEP: usize = 64;
/// A blob for named members has the smallest of these lengths that fits: coarse, since few are to know what it is.
pub const LIMITED_LENGTHS: [usize; 4] = [512, 2_048, 8_192, MAX_BLOB_LEN];

/// Why bytes are not a blob, or a body does not fit one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The body is longer than a blob can hold.
    #[error("the body has {0} bytes, at most 65,500 fit a blob")]
    BodyTooLong(usize),
    /// Longer than any blob.
    #[error("the blob has {0} bytes, at most 65,536 are allowed")]
    TooLong(usize),
    /// Shorter than salt and length.
    #[error("the blob has {0} bytes and so no room for salt and length")]
    TooShort(usize),
    /// The length leads past the end.
    #[error("the body of the blob ends after the blob")]
    BodyPastEnd,
    /// Something else than zeros after the body.
    #[error("the padding of the blob is not zeros")]
    Padding,
    /// Not the one length that a body of this length gets for this audience.
    #[error("the blob has {found} bytes, its audience and body make it {expected}")]
    PaddedLength {
        /// How long it is.
        found: usize,
        /// How long it would be.
        expected: usize,
    },
}

/// A blob whose salt, length and zeros are as they must be.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    bytes: Bytes,
    body_len: usize,
}

impl Blob {
    /// Frames a body. The caller draws the salt and uses it once.
    ///
    /// # Errors
    /// [`BlobError::BodyTooLong`].
    pub fn frame(
        salt: &[u8; SALT_LEN],
        body: &[u8],
        audience: Audience,
    ) -> Result<Self, BlobError> {
        let too_long = BlobError::BodyTooLong(body.len());
        let padded = padded_len(body.len(), audience).ok_or(too_long)?;
        let body_len = u32::try_from(body.len()).map_err(|_| too_long)?;
        let mut bytes = Vec::with_capacity(padded);
        bytes.extend_from_slice(salt);
        bytes.extend_from_slice(&body_len.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(padded, 0);
        Ok(Self { bytes: bytes.into(), body_len: body.len() })
    }

    /// Parses a blob for an audience.
    ///
    /// # Errors
    /// Fails when the body leads past the end, the padding is not zeros, or the length is not the one that this body
    /// gets for this audience: a longer one would say something.
    pub fn parse(bytes: Bytes, audience: Audience) -> Result<Self, BlobError> {
        let blob = Self::parse_any(bytes)?;
        blob.check_length(audience)?;
        Ok(blob)
    }

    /// Parses a blob whose audience stands in its body. [`check_length`](Self::check_length) has to follow.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), except for the length.
    pub fn parse_any(bytes: Bytes) -> Result<Self, BlobError> {
        if bytes.len() > MAX_BLOB_LEN {
            return Err(BlobError::TooLong(bytes.len()));
        }
        let after_salt = bytes.get(SALT_LEN..).and_then(|rest| rest.split_first_chunk::<4>());
        let (len, rest) = after_salt.ok_or(BlobError::TooShort(bytes.len()))?;
        let body_len =
            usize::try_from(u32::from_be_bytes(*len)).map_err(|_| BlobError::BodyPastEnd)?;
        let zeros = rest.get(body_len..).ok_or(BlobError::BodyPastEnd)?;
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(BlobError::Padding);
        }
        Ok(Self { bytes, body_len })
    }

    /// Whether the length is the one that this body gets for this audience.
    ///
    /// # Errors
    /// [`BlobError::PaddedLength`].
    pub fn check_length(&self, audience: Audience) -> Result<(), BlobError> {
        let expected = padded_len(self.body_len, audience).unwrap_or(MAX_BLOB_LEN);
        let found = self.bytes.len();
        if found == expected { Ok(()) } else { Err(BlobError::PaddedLength { found, expected }) }
    }

    /// The whole blob.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body, without salt and padding.
    pub fn body(&self) -> &[u8] {
        // Both ends were checked when it was made.
        &self.bytes[BLOB_PREFIX_LEN..BLOB_PREFIX_LEN + self.body_len]
    }

    /// What a header commits to.
    pub fn payload_commitment(&self) -> Commitment {
        payload_commitment(&self.bytes)
    }

    /// What a `RecordRegistered` commits to.
    pub fn detail_commitment(&self) -> Commitment {
        detail_commitment(&self.bytes)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither body nor salt: the salt makes a guess at the body checkable.
        write!(f, "blob of {} bytes", self.bytes.len())
    }
}

/// Length of the blob that holds a body of `body_len` bytes. `None`: none can.
fn padded_len(body_len: usize, audience: Audience) -> Option<usize> {
    let len = body_len.checked_add(BLOB_PREFIX_LEN).filter(|&len| len <= MAX_BLOB_LEN)?;
    match audience {
        Audience::Federation => Some(len.next_multiple_of(FEDERATION_STEP)),
        Audience::Limited => LIMITED_LENGTHS.into_iter().find(|&padded| len <= padded),
    }
}

/// Commitment of a payload: SHA-256(`"sundbro/v1/payload\n"` ‖ blob). Differs from that of the same bytes as a detail.
pub fn payload_commitment(blob: &[u8]) -> Commitment {
    commitment(b"sundbro/v1/payload\n", blob)
}

/// Commitment of a detail: SHA-256(`"sundbro/v1/detail\n"` ‖ blob).
pub fn detail_commitment(blob: &[u8]) -> Commitment {
    commitment(b"sundbro/v1/detail\n", blob)
}

fn commitment(purpose: &[u8], blob: &[u8]) -> Commitment {
    Commitment::new(Sha256::new().chain_update(purpose).chain_update(blob).finalize().into())
}

#[cfg(test)]
mod tests {
    use Audience::{Federation, Limited};

    use super::*;

    const SALT: [u8; SALT_LEN] = [7; SALT_LEN];

    fn framed(body_len: usize, audience: Audience) -> usize {
        Blob::frame(&SALT, &vec![1; body_len], audience).expect("fits").bytes().len()
    }

    #[test]
    fn pads_to_the_smallest_length_that_fits() {
        for (body, federation, limited) in [
            (0, 64, 512),
            (28, 64, 512),
            (29, 128, 512),
            (476, 512, 512),
            (477, 576, 2_048),
            (2_012, 2_048, 2_048),
            (2_013, 2_112, 8_192),
            (8_157, 8_256, 65_536),
            (MAX_BODY_LEN, 65_536, 65_536),
        ] {
            assert_eq!((framed(body, Federation), framed(body, Limited)), (federation, limited));
        }
        let long = vec![1; MAX_BODY_LEN + 1];
        assert_eq!(Blob::frame(&SALT, &long, Limited), Err(BlobError::BodyTooLong(long.len())));
    }

    #[test]
    fn a_blob_is_salt_length_body_and_zeros() {
        let blob = Blob::frame(&SALT, b"body", Federation).expect("fits");
        let expected = [&SALT[..], &[0, 0, 0, 4], b"body", &[0; 24]].concat();
        assert_eq!(blob.bytes(), &expected);
        let parsed = Blob::parse(blob.bytes().clone(), Federation).expect("parses");
        assert_eq!((parsed.body(), &parsed), (&b"body"[..], &blob));
        assert_ne!(blob.payload_commitment(), blob.detail_commitment());
    }

    #[test]
    fn refuses_other_padding() {
        let good = Blob::frame(&SALT, b"body", Federation).expect("fits").bytes().to_vec();
        let parse = |bytes: Vec<u8>| Blob::parse(bytes.into(), Federation).map(|_| ());
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            bytes
        };
        assert_eq!(parse(with(63, 1)), Err(BlobError::Padding));
        assert_eq!(parse(with(40, 1)), Err(BlobError::Padding));
        assert_eq!(parse(with(35, 3)), Err(BlobError::Padding), "a body shorter than it is");
        assert_eq!(parse(with(35, 28)), Ok(()), "a body may end in zeros");
        assert_eq!(parse(with(35, 29)), Err(BlobError::BodyPastEnd));
        assert_eq!(parse(with(32, 0xff)), Err(BlobError::BodyPastEnd));
        assert_eq!(parse(good[..35].to_vec()), Err(BlobError::TooShort(35)));
        assert_eq!(parse(Vec::new()), Err(BlobError::TooShort(0)));
        let largest = Blob::frame(&SALT, &vec![1; MAX_BODY_LEN], Federation).expect("fits");
        assert_eq!(parse(largest.bytes().to_vec()), Ok(()));
        assert_eq!(parse(vec![0; MAX_BLOB_LEN + 1]), Err(BlobError::TooLong(MAX_BLOB_LEN + 1)));
        for found in [63, 65, 128, 512] {
            let mut bytes = good.clone();
            bytes.resize(found, 0);
            assert_eq!(parse(bytes), Err(BlobError::PaddedLength { found, expected: 64 }));
        }
    }

    #[test]
    fn each_audience_has_lengths_of_its_own() {
        let blob = Blob::frame(&SALT, b"body", Limited).expect("fits");
        assert_eq!(blob.check_length(Limited), Ok(()));
        let wrong = BlobError::PaddedLength { found: 512, expected: 64 };
        assert_eq!(blob.check_length(Federation), Err(wrong));
    }

    #[test]
    fn debug_shows_neither_salt_nor_body() {
        let blob = Blob::frame(&SALT, b"body", Federation).expect("fits");
        assert_eq!(format!("{blob:?}"), "blob of 64 bytes");
    }
}
