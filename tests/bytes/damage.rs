//! Everything that is done to every field of every message, read off the descriptors.

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::record::{LENGTH_DELIMITED, Record, VARINT, Value, read, varint, write};

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// Not there.
    Missing,
    /// There, with the value that says nothing: 0, empty.
    Default,
    /// The last byte is gone.
    Shorter,
    /// One byte more.
    Longer,
    /// 70,000 bytes.
    Huge,
    /// A text with a control character.
    Control,
    /// A text that is not UTF-8.
    NotText,
    /// The largest number that the type holds.
    Max,
    /// The number, and a bit more than its type holds.
    TooWide,
    /// A negative number.
    Negative,
    /// A number that no version of the enum has yet.
    UnknownNumber,
    /// A singular field twice, the same.
    Twice,
    /// An element of a list twice.
    Again,
    /// A list from its end.
    Reversed,
    /// 20,000 elements.
    Many,
    /// A packed list with one number to each tag.
    Unpacked,
    /// The tag in more bytes than it takes.
    LongTag,
    /// The length in more bytes than it takes.
    LongLength,
    /// The number in more bytes than it takes.
    LongVarint,
    /// After all other fields, or before them.
    OutOfOrder,
    /// Of another wire type.
    WrongType,
    /// A length that leads past the end.
    CutShort,
    /// A length of 4 GiB.
    LengthBomb,
    /// A field that no version has yet, at the end.
    UnknownField,
    /// A zero byte at the end.
    TrailingZero,
}

use Damage as D;

impl Damage {
    /// Whether a parser that forgives reads the same message.
    pub(crate) fn keeps_meaning(self) -> bool {
        matches!(
            self,
            D::Twice
                | D::Unpacked
                | D::LongTag
                | D::LongLength
                | D::LongVarint
                | D::OutOfOrder
                | D::TooWide
                | D::UnknownField
        )
    }

    /// Whether no parser reads it.
    pub(crate) fn is_no_protobuf(self) -> bool {
        matches!(self, D::WrongType | D::CutShort | D::LengthBomb | D::TrailingZero | D::NotText)
    }
}

/// A message with one thing wrong.
pub(crate) struct Damaged {
    /// Message type and field, or the message type alone.
    pub(crate) at: (String, String),
    /// Where it lies, from the outermost message.
    pub(crate) path: String,
    pub(crate) damage: Damage,
    pub(crate) bytes: Vec<u8>,
}

/// Every damage to every field that is there, in the message and in each of its submessages.
pub(crate) fn all(kind: &MessageDescriptor, good: &[u8]) -> Vec<Damaged> {
    let mut found = Vec::new();
    descend(kind, good, kind.name(), &|bytes| bytes, &mut found);
    found
}

type Around<'a> = &'a dyn Fn(Vec<u8>) -> Vec<u8>;

fn descend(
    kind: &MessageDescriptor,
    good: &[u8],
    path: &str,
    around: Around<'_>,
    found: &mut Vec<Damaged>,
) {
    let records = read(good);
    let damaged = |field: &str, damage, bytes: Vec<u8>| {
        let (at, path) = ((kind.name().to_owned(), field.to_owned()), format!("{path}.{field}"));
        Damaged { at, path, damage, bytes: around(bytes) }
    };
    let ending = |more: &[u8]| [good, more].concat();
    let unknown = [&varint(4_000 << 3)[..], &[1]].concat();
    found.push(damaged("", D::UnknownField, ending(&unknown)));
    found.push(damaged("", D::TrailingZero, ending(&[0])));
    for field in kind.fields() {
        let places: Vec<_> =
            (0..records.len()).filter(|&at| records[at].number == field.number()).collect();
        // Of a list the element that says most: in it every field can be put wrong.
        let says = |at: &usize| match &records[*at].value {
            Value::Bytes(bytes) if matches!(field.kind(), Kind::Message(_)) => read(bytes).len(),
            _ => 0,
        };
        let Some(first) = places.iter().copied().rev().max_by_key(says) else { continue };
        for (damage, bytes) in field_damages(&field, &records, &places) {
            found.push(damaged(field.name(), damage, bytes));
        }
        let (Kind::Message(inner), Value::Bytes(bytes)) = (field.kind(), &records[first].value)
        else {
            continue;
        };
        let put_back = |damaged: Vec<u8>| {
            let mut records = records.clone();
            records[first].value = Value::Bytes(damaged);
            around(write(&records))
        };
        let path = format!("{path}.{}", field.name());
        descend(&inner, bytes, &path, &put_back, found);
    }
}

/// What can be done to one field, with the bytes of the whole message after it.
fn field_damages(
    field: &FieldDescriptor,
    records: &[Record],
    places: &[usize],
) -> Vec<(Damage, Vec<u8>)> {
    let first = places[0];
    let record = &records[first];
    let is_list = field.cardinality() == Cardinality::Repeated;
    let with = |replacement: Vec<Record>| {
        let before = records[..first].iter().cloned();
        let after = records[first + 1..].iter().cloned();
        write(&before.chain(replacement).chain(after).collect::<Vec<_>>())
    };
    let raw =
        |bytes: Vec<u8>| with(vec![Record { number: record.number, value: Value::Raw(bytes) }]);
    let value = |value: Value| with(vec![Record { value, ..record.clone() }]);
    let others =
        || records.iter().enumerate().filter(|(at, _)| !places.contains(at)).map(|(_, one)| one);
    let listed = |all: Vec<Record>| {
        // The list where it stood, in another form.
        let mut out: Vec<Record> = others().cloned().collect();
        let at = records[..first].iter().filter(|one| one.number != record.number).count();
        out.splice(at..at, all);
        write(&out)
    };
    let mut found = vec![
        (D::Missing, write(&others().cloned().collect::<Vec<_>>())),
        (D::LongTag, raw(record.spelled(1, 0, 0))),
        (D::WrongType, raw(wrong_type(record))),
        (if is_list { D::Again } else { D::Twice }, with(vec![record.clone(), record.clone()])),
    ];
    if others().next().is_some() {
        let mine: Vec<_> = places.iter().map(|&at| records[at].clone()).collect();
        let last = places.contains(&(records.len() - 1));
        let rest: Vec<_> = others().cloned().collect();
        let moved = if last { [mine, rest].concat() } else { [rest, mine].concat() };
        found.push((D::OutOfOrder, write(&moved)));
    }
    match &record.value {
        Value::Varint(_) => found.push((D::LongVarint, raw(record.spelled(0, 0, 1)))),
        Value::Bytes(bytes) => {
            found.push((D::LongLength, raw(record.spelled(0, 1, 0))));
            // Where it is the last thing, or nothing after it could be read either.
            let mut cut = records[..first].to_vec();
            cut.push(record.clone());
            let mut cut = write(&cut);
            cut.pop();
            if !bytes.is_empty() {
                found.push((D::CutShort, cut));
            }
            let bomb = [
                varint(u64::from(record.number) << 3 | u64::from(LENGTH_DELIMITED)),
                varint(u64::from(u32::MAX)),
            ];
            found.push((D::LengthBomb, [write(&records[..first]), bomb.concat()].concat()));
        }
        Value::Raw(_) => {}
    }
    if is_list {
        if places.len() > 1 {
            let reversed = places.iter().rev().map(|&at| records[at].clone()).collect();
            found.push((D::Reversed, listed(reversed)));
        }
        if !is_packed(field) {
            let many = Value::Raw(record.spelled(0, 0, 0).repeat(20_000));
            found.push((D::Many, listed(vec![Record { number: record.number, value: many }])));
        }
    } else if !matches!(field.kind(), Kind::Message(_)) && !field.supports_presence() {
        let empty = match record.value {
            Value::Varint(_) => Value::Varint(0),
            _ => Value::Bytes(Vec::new()),
        };
        found.push((D::Default, value(empty)));
    }
    found.extend(value_damages(field, record, &value, &with));
    found
}

fn is_packed(field: &FieldDescriptor) -> bool {
    field.is_list() && matches!(field.kind(), Kind::Enum(_) | Kind::Uint32 | Kind::Uint64)
}

/// What can be done to a value of one type.
fn value_damages(
    field: &FieldDescriptor,
    record: &Record,
    value: &dyn Fn(Value) -> Vec<u8>,
    with: &dyn Fn(Vec<Record>) -> Vec<u8>,
) -> Vec<(Damage, Vec<u8>)> {
    let bytes = |bytes: &[u8]| value(Value::Bytes(bytes.to_vec()));
    let number = |number: u64| value(Value::Varint(number));
    let wide = match record.value {
        Value::Varint(number) => number | 1 << 32,
        _ => 0,
    };
    match (field.kind(), &record.value) {
        (_, Value::Bytes(packed)) if is_packed(field) => {
            let mut rest = &packed[..];
            let mut numbers = Vec::new();
            while let Ok(number) = prost::encoding::decode_varint(&mut rest) {
                numbers.push(number);
            }
            let unpacked = numbers.iter().map(|number| Record::varint(record.number, *number));
            let reversed: Vec<u8> = numbers.iter().rev().flat_map(|one| varint(*one)).collect();
            let unknown = [&packed[..], &varint(99)].concat();
            let mut found = vec![
                (D::Unpacked, with(unpacked.collect())),
                (D::Reversed, bytes(&reversed)),
                (D::Many, bytes(&packed.repeat(20_000))),
            ];
            if matches!(field.kind(), Kind::Enum(_)) {
                found.push((D::UnknownNumber, bytes(&unknown)));
            }
            found
        }
        (Kind::Bytes, Value::Bytes(good)) => vec![
            (D::Shorter, bytes(&good[..good.len() - 1])),
            (D::Longer, bytes(&[&good[..], &[0]].concat())),
            (D::Huge, bytes(&good.iter().copied().cycle().take(70_000).collect::<Vec<_>>())),
        ],
        (Kind::String, Value::Bytes(good)) => vec![
            (D::Huge, bytes(&good.iter().copied().cycle().take(70_000).collect::<Vec<_>>())),
            (D::Control, bytes(&[&good[..], b"\x07"].concat())),
            (D::NotText, bytes(&[&good[..], &[0xff]].concat())),
        ],
        (Kind::Uint32, _) => {
            vec![(D::Max, number(u64::from(u32::MAX))), (D::TooWide, number(wide))]
        }
        (Kind::Uint64, _) => vec![(D::Max, number(u64::MAX))],
        (Kind::Int64, _) => {
            vec![(D::Max, number(i64::MAX as u64)), (D::Negative, number(u64::MAX))]
        }
        (Kind::Bool, _) => vec![(D::TooWide, number(2))],
        (Kind::Enum(_), Value::Varint(_)) => {
            vec![(D::UnknownNumber, number(99)), (D::TooWide, number(wide))]
        }
        (Kind::Message(_), _) => vec![(D::Default, bytes(&[]))],
        _ => Vec::new(),
    }
}

fn wrong_type(record: &Record) -> Vec<u8> {
    let (kind, rest) = match record.value {
        Value::Varint(_) => (LENGTH_DELIMITED, vec![1, b'x']),
        _ => (VARINT, vec![1]),
    };
    [varint(u64::from(record.number) << 3 | u64::from(kind)), rest].concat()
}
