//! How values are written: big-endian fields, a version first, and a checksum last where nothing else guards them.

use sha2::{Digest, Sha256};

use crate::tables::{Table, VALUE_VERSION};

/// Length of the checksum that ends a sealed value.
pub(crate) const SEAL_LEN: usize = 8;

/// Why a value is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowProblem {
    #[error("the value's version is not 1")]
    Version,
    #[error("the value does not match its checksum")]
    Checksum,
    #[error("the value does not have the fields that it should have")]
    Fields,
}

fn checksum(table: &Table, key: &[u8], value: &[u8]) -> [u8; SEAL_LEN] {
    let mut hash = Sha256::new();
    // Lengths first, so that no other split of the same bytes has the same checksum.
    for part in [table.file.name().as_bytes(), table.name.as_bytes(), key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(value);
    let mut out = [0; SEAL_LEN];
    out.copy_from_slice(&hash.finalize()[..SEAL_LEN]);
    out
}

/// version ‖ body ‖ checksum over table, key, version and body.
pub(crate) fn seal(table: &Table, key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + body.len() + SEAL_LEN);
    value.push(VALUE_VERSION);
    value.extend_from_slice(body);
    let sum = checksum(table, key, &value);
    value.extend_from_slice(&sum);
    value
}

/// The body of a sealed value.
pub(crate) fn unseal<'a>(
    table: &Table,
    key: &[u8],
    value: &'a [u8],
) -> Result<&'a [u8], RowProblem> {
    let Some(end) = value.len().checked_sub(SEAL_LEN) else { return Err(RowProblem::Checksum) };
    let (sealed, sum) = value.split_at(end);
    if checksum(table, key, sealed) != sum {
        return Err(RowProblem::Checksum);
    }
    unversion(sealed)
}

/// version ‖ body, for values that the log itself guards.
pub(crate) fn version(body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + body.len());
    value.push(VALUE_VERSION);
    value.extend_from_slice(body);
    value
}

/// The body of a versioned value.
pub(crate) fn unversion(value: &[u8]) -> Result<&[u8], RowProblem> {
    match value.split_first() {
        Some((&VALUE_VERSION, body)) => Ok(body),
        _ => Err(RowProblem::Version),
    }
}

/// Writes fields one after the other.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn fixed(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// u32 length, then the bytes.
    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        // Nothing that is stored comes near 4 GiB: blobs, notes and messages have limits of their own.
        let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(len).fixed(&value[..len as usize])
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields one after the other; whatever does not fit is a [`RowProblem::Fields`].
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn fixed(&mut self, len: usize) -> Result<&'a [u8], RowProblem> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(RowProblem::Fields)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowProblem> {
        self.fixed(N)?.try_into().map_err(|_| RowProblem::Fields)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, RowProblem> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, RowProblem> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, RowProblem> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, RowProblem> {
        self.array().map(i64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], RowProblem> {
        let len = self.u32()? as usize;
        self.fixed(len)
    }

    pub(crate) fn text(&mut self) -> Result<String, RowProblem> {
        let bytes = self.bytes()?;
        core::str::from_utf8(bytes).map(str::to_owned).map_err(|_| RowProblem::Fields)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Everything was read.
    pub(crate) fn end(self) -> Result<(), RowProblem> {
        if self.0.is_empty() { Ok(()) } else { Err(RowProblem::Fields) }
    }
}

/// SHA-256 of `parts`, each with its length before it.
pub(crate) fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::{LOCATED, LOCATORS};

    #[test]
    fn every_flipped_bit_of_a_sealed_value_is_found() {
        let value = seal(&LOCATED, b"key", b"what was written");
        assert_eq!(unseal(&LOCATED, b"key", &value), Ok(&b"what was written"[..]));
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(&LOCATED, b"key", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_sealed_value_belongs_to_its_table_and_key() {
        let value = seal(&LOCATED, b"key", b"value");
        assert_eq!(unseal(&LOCATED, b"other", &value), Err(RowProblem::Checksum));
        assert_eq!(unseal(&LOCATORS, b"key", &value), Err(RowProblem::Checksum));
    }

    #[test]
    fn a_reader_takes_no_length_on_trust() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(reader.bytes(), Err(RowProblem::Fields));
    }
}
