//! How a vector file is written: fields by their `.proto` names, bytes as hex, so that any language can read it.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, Kind, ReflectMessage, Value as Field,
};
use serde_json::{Map, Value, json};

/// One vector file.
pub(crate) struct File {
    pub(crate) name: &'static str,
    about: &'static str,
    section: u32,
    cases: Vec<Value>,
    accepted: Vec<Value>,
    refused: Vec<Value>,
}

impl File {
    /// A file about what `section` of docs/protocol.md describes.
    pub(crate) fn new(name: &'static str, section: u32, about: &'static str) -> Self {
        Self { name, about, section, cases: Vec::new(), accepted: Vec::new(), refused: Vec::new() }
    }

    /// Adds a case: from `input` follows `expected`.
    pub(crate) fn case(&mut self, name: &str, input: Value, expected: Value) {
        self.cases.push(json!({ "name": name, "input": input, "expected": expected }));
    }

    /// Adds bytes that must be taken although we do not write such; `context` is what else their reader is told.
    pub(crate) fn accept(&mut self, name: &str, bytes: &[u8], context: Value) {
        self.accepted.push(told(name, bytes, context));
    }

    /// Adds bytes that must be refused; `context` is what else their reader is told.
    pub(crate) fn refuse(&mut self, name: &str, bytes: &[u8], context: Value) {
        self.refused.push(told(name, bytes, context));
    }

    /// The whole file.
    pub(crate) fn to_json(&self) -> Value {
        let mut file = json!({
            "about": self.about,
            "section": format!("docs/protocol.md section {}", self.section),
            "cases": self.cases,
        });
        for (name, items) in [("accepted", &self.accepted), ("refused", &self.refused)] {
            if !items.is_empty() {
                file[name] = items.clone().into();
            }
        }
        file
    }
}

fn told(name: &str, bytes: &[u8], context: Value) -> Value {
    let mut item = json!({ "name": name, "bytes": hex::encode(bytes) });
    if let (Value::Object(all), Value::Object(more)) = (&mut item, context) {
        all.extend(more);
    }
    item
}

/// A message of `sundbro.ledger.v1` by its fields: bytes in hex, 64-bit integers as decimal strings, enums by name
/// without the prefix; what is absent or default is left out.
pub(crate) fn fields<M: Message>(name: &str, message: &M) -> Value {
    let pool =
        DescriptorPool::decode(sundbro_proto::DESCRIPTOR_SET).expect("descriptors are generated");
    let kind =
        pool.get_message_by_name(&format!("sundbro.ledger.v1.{name}")).expect("a message of ours");
    let bytes = message.encode_to_vec();
    let read = DynamicMessage::decode(kind, &bytes[..]).expect("it was encoded a line above");
    assert_eq!(read.encode_to_vec(), bytes, "two encoders agree on {name}");
    message_to_json(&read)
}

/// [`fields`] of bytes.
pub(crate) fn fields_of<M: Message + Default>(name: &str, bytes: &[u8]) -> Value {
    fields(name, &M::decode(bytes).expect("bytes of that message"))
}

fn message_to_json(message: &DynamicMessage) -> Value {
    let mut all = Map::new();
    for field in message.descriptor().fields() {
        if message.has_field(&field) {
            all.insert(
                field.name().to_owned(),
                field_to_json(&message.get_field(&field), &field.kind()),
            );
        }
    }
    Value::Object(all)
}

fn field_to_json(value: &Field, kind: &Kind) -> Value {
    match value {
        Field::Bool(value) => json!(value),
        Field::U32(value) => json!(value),
        Field::U64(value) => json!(value.to_string()),
        Field::I64(value) => json!(value.to_string()),
        Field::String(value) => json!(value),
        Field::Bytes(value) => json!(hex::encode(value)),
        Field::EnumNumber(number) => enum_to_json(*number, kind.as_enum().expect("an enum")),
        Field::Message(value) => message_to_json(value),
        Field::List(values) => values.iter().map(|value| field_to_json(value, kind)).collect(),
        other => panic!("no message of the ledger has a field like {other:?}"),
    }
}

fn enum_to_json(number: i32, kind: &EnumDescriptor) -> Value {
    let value = kind.get_value(number).expect("a number that is defined");
    let unspecified = kind.get_value(0).expect("every enum has a zero").name().to_owned();
    let prefix = unspecified.strip_suffix("UNSPECIFIED").expect("buf lint asks for it");
    json!(value.name().strip_prefix(prefix).expect("buf lint asks for it"))
}

/// Ways to write a message that begins with format 1 which no reader takes.
pub(crate) fn not_canonical(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let after_format = bytes.strip_prefix(&[0x08, 0x01]).expect("begins with format 1");
    let with = |start: &[u8]| [start, after_format].concat();
    vec![
        ("an unknown field after the last", [bytes, &[0xf8, 0x01, 0x01]].concat()),
        ("the format twice", with(&[0x08, 0x01, 0x08, 0x01])),
        ("the format in two bytes", with(&[0x08, 0x81, 0x00])),
        ("the format after the other fields", [after_format, &[0x08, 0x01]].concat()),
        ("no format", after_format.to_vec()),
        ("format 2", with(&[0x08, 0x02])),
        ("one byte short", bytes[..bytes.len() - 1].to_vec()),
        ("one byte more", [bytes, &[0x00]].concat()),
        ("nothing", Vec::new()),
    ]
}
