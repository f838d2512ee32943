//! Writes `Debug` for every message: numbers, enums and lengths, never text or bytes.
//!
//! A message from outside may hold an identifier, a record or a key in any field of text or bytes, also in one where
//! nobody expects it. `{:?}` ends in log lines, in panics and in the output of tests; so it shows none of them.

use std::fmt::Write as _;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// The full names of all messages of our packages, with a dot in front.
pub fn messages(descriptors: &FileDescriptorSet) -> Vec<String> {
    let ours = descriptors.file.iter().filter(|file| file.package().starts_with("sundbro."));
    ours.flat_map(|file| {
        let package = file.package().to_owned();
        file.message_type.iter().map(move |message| format!(".{package}.{}", message.name()))
    })
    .collect()
}

/// The Rust that goes beside what is generated for `package`.
///
/// # Panics
/// When a message is of a shape that no message of ours has: nested, or with a map.
pub fn package(descriptors: &FileDescriptorSet, package: &str) -> String {
    let mut out = String::from("// This file is written by sundbro-proto-codegen.\n");
    for file in descriptors.file.iter().filter(|file| file.package() == package) {
        for message in &file.message_type {
            assert!(
                message.nested_type.is_empty(),
                "{}: no nested messages, no maps",
                message.name()
            );
            assert!(message.enum_type.is_empty(), "{}: no nested enums", message.name());
            write_message(&mut out, message).expect("a string takes everything");
        }
    }
    out
}

fn write_message(out: &mut String, message: &DescriptorProto) -> std::fmt::Result {
    let name = message.name();
    let mut fields = String::new();
    for field in message.field.iter().filter(|field| real_oneof(field).is_none()) {
        let ident = field.name();
        writeln!(
            fields,
            "            .field(\"{ident}\", &{})",
            shown(field, &format!("self.{ident}"))
        )?;
    }
    for (index, oneof) in message.oneof_decl.iter().enumerate() {
        let inside = |field: &&FieldDescriptorProto| real_oneof(field) == Some(index);
        let variants: Vec<_> = message.field.iter().filter(inside).collect();
        if !variants.is_empty() {
            writeln!(fields, "            .field(\"{0}\", &self.{0})", oneof.name())?;
            write_oneof(out, name, oneof.name(), &variants)?;
        }
    }
    writeln!(
        out,
        "impl ::core::fmt::Debug for {name} {{
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
        f.debug_struct(\"{name}\")
{fields}            .finish()
    }}
}}"
    )
}

fn write_oneof(
    out: &mut String,
    message: &str,
    name: &str,
    variants: &[&FieldDescriptorProto],
) -> std::fmt::Result {
    let path = format!("{}::{}", snake(message), camel(name));
    let mut arms = String::new();
    for field in variants {
        let variant = camel(field.name());
        writeln!(
            arms,
            "            Self::{variant}(it) => f.debug_tuple(\"{variant}\").field(&{}).finish(),",
            shown_in_oneof(field)
        )?;
    }
    writeln!(
        out,
        "impl ::core::fmt::Debug for {path} {{
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{
        match self {{
{arms}        }}
    }}
}}"
    )
}

/// The oneof that a field stands in; the one that stands for `optional` is none.
fn real_oneof(field: &FieldDescriptorProto) -> Option<usize> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    usize::try_from(index).ok()
}

fn is_withheld(field: &FieldDescriptorProto) -> bool {
    matches!(field.r#type(), Type::String | Type::Bytes)
}

fn shown(field: &FieldDescriptorProto, place: &str) -> String {
    let many = field.label() == Label::Repeated;
    match (is_withheld(field), many, field.proto3_optional()) {
        (true, true, _) => format!("crate::withheld::all(&{place})"),
        (true, false, true) => format!("{place}.as_ref().map(|it| crate::withheld::one(it))"),
        (true, false, false) => format!("crate::withheld::one(&{place})"),
        (false, false, false) if field.r#type() == Type::Enum => format!("{place}()"),
        (false, ..) => place.to_owned(),
    }
}

fn shown_in_oneof(field: &FieldDescriptorProto) -> String {
    if is_withheld(field) { "crate::withheld::one(it)".to_owned() } else { "it".to_owned() }
}

/// `one_thing` as `OneThing`, as prost does for names without digits.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

/// `OneThing` as `one_thing`, as prost does for names without digits.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
