//! A message as its fields lie in it, one record after the other, so that a test can put any of them wrong.

use prost::encoding::{decode_varint, encode_varint};

/// Wire types of protobuf that our messages use.
pub(crate) const VARINT: u8 = 0;
pub(crate) const LENGTH_DELIMITED: u8 = 2;

/// One field as it is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) number: u32,
    pub(crate) value: Value,
}

/// What stands after the tag.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Varint(u64),
    Bytes(Vec<u8>),
    /// Tag and all, spelled by the test.
    Raw(Vec<u8>),
}

impl Record {
    pub(crate) fn varint(number: u32, value: u64) -> Self {
        Self { number, value: Value::Varint(value) }
    }

    fn tag(&self) -> Vec<u8> {
        let kind = match self.value {
            Value::Varint(_) => VARINT,
            Value::Bytes(_) | Value::Raw(_) => LENGTH_DELIMITED,
        };
        varint(u64::from(self.number) << 3 | u64::from(kind))
    }

    /// Tag, length and value, each spelled with as many bytes more than it takes.
    pub(crate) fn spelled(&self, tag: usize, length: usize, value: usize) -> Vec<u8> {
        let mut out = long(self.tag(), tag);
        match &self.value {
            Value::Varint(number) => out.extend(long(varint(*number), value)),
            Value::Bytes(bytes) => {
                out.extend(long(varint(bytes.len() as u64), length));
                out.extend(bytes);
            }
            Value::Raw(raw) => return raw.clone(),
        }
        out
    }
}

pub(crate) fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(value, &mut out);
    out
}

/// The same number in more bytes.
fn long(mut varint: Vec<u8>, more: usize) -> Vec<u8> {
    for _ in 0..more {
        *varint.last_mut().expect("never empty") |= 0x80;
        varint.push(0);
    }
    varint
}

/// The records of a message that our own encoder wrote.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let tag = decode_varint(&mut bytes).expect("a tag");
        let number = u32::try_from(tag >> 3).expect("a field number");
        let value = match (tag & 7) as u8 {
            VARINT => Value::Varint(decode_varint(&mut bytes).expect("a number")),
            LENGTH_DELIMITED => {
                let length = decode_varint(&mut bytes).expect("a length");
                let (value, rest) = bytes.split_at(usize::try_from(length).expect("small"));
                bytes = rest;
                Value::Bytes(value.to_vec())
            }
            other => panic!("our messages have no wire type {other}"),
        };
        records.push(Record { number, value });
    }
    records
}

pub(crate) fn write(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(|record| record.spelled(0, 0, 0)).collect()
}
