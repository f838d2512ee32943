//! JSON read into a tree that keeps only the members this adapter looks at.
//!
//! A document may be tens of megabytes of narrative and attachments; those never enter the tree. What enters is
//! counted against a budget, so a hostile file costs a bounded amount of memory.

use core::cell::Cell;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::reason::{QuarantineReason, Refusal};

/// Most values kept of one file. A resource keeps about 30, so this is a document of 30,000 resources.
const MAX_VALUES: u32 = 1_000_000;

/// Every member name that any reader here asks for; the rest is skipped without being stored.
const WANTED: &[&str] = &[
    "_confidentiality",
    "attachment",
    "author",
    "code",
    "coding",
    "confidentiality",
    "contained",
    "content",
    "contentType",
    "context",
    "creation",
    "custodian",
    "data",
    "date",
    "docStatus",
    "encounter",
    "end",
    "entry",
    "event",
    "facilityType",
    "fullUrl",
    "hash",
    "id",
    "identifier",
    "language",
    "masterIdentifier",
    "meta",
    "organization",
    "period",
    "practiceSetting",
    "reference",
    "relatesTo",
    "resource",
    "resourceType",
    "security",
    "securityContext",
    "securityLabel",
    "size",
    "sourcePatientInfo",
    "start",
    "status",
    "subject",
    "system",
    "timestamp",
    "type",
    "url",
    "value",
];

/// The member whose value is never stored, only that it is there: a document of tens of megabytes.
const SKIPPED: &str = "data";

/// One JSON value. Text is wiped when dropped: it may be an identifier.
pub(crate) enum Node {
    /// `null`, a boolean, another number, [`SKIPPED`], or nothing there.
    Other,
    /// A whole number that is not negative.
    Number(u64),
    Text(Zeroizing<String>),
    List(Vec<Node>),
    Object(Vec<(&'static str, Node)>),
}

static NOTHING: Node = Node::Other;

impl Node {
    /// The member of that name; [`Node::Other`] if there is none.
    pub(crate) fn get(&self, name: &str) -> &Node {
        match self {
            Node::Object(members) => members
                .iter()
                .find(|(member, _)| *member == name)
                .map_or(&NOTHING, |(_, value)| value),
            _ => &NOTHING,
        }
    }

    /// Whether there is a member of that name, of whatever shape.
    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self, Node::Object(members) if members.iter().any(|(member, _)| *member == name))
    }

    /// Its text, if it is text and not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Its elements. One value where a list belongs is a list of one; nothing is an empty list.
    pub(crate) fn list(&self) -> &[Node] {
        match self {
            Node::List(elements) => elements,
            Node::Other => &[],
            single => core::slice::from_ref(single),
        }
    }
}

/// Reads one JSON text.
pub(crate) fn read(text: &str) -> Result<Node, Refusal> {
    read_from(&mut serde_json::Deserializer::from_str(text))
}

/// Reads one JSON text from wherever it comes.
pub(crate) fn read_from<'de, R: serde_json::de::Read<'de>>(
    deserializer: &mut serde_json::Deserializer<R>,
) -> Result<Node, Refusal> {
    let state = State { budget: Cell::new(MAX_VALUES), twice: Cell::new(false) };
    let result = Seed(&state).deserialize(&mut *deserializer);
    result.and_then(|node| deserializer.end().map(|()| node)).map_err(|error| {
        // The message of the error may quote the file, its position cannot.
        let place = format!("line {}, column {}", error.line(), error.column());
        if state.budget.get() == 0 {
            Refusal::with(
                QuarantineReason::TooComplex,
                format!("more than {MAX_VALUES} values at {place}"),
            )
        } else if state.twice.get() {
            Refusal::with(
                QuarantineReason::BadJson,
                format!("a member stands twice in one object at {place}"),
            )
        } else {
            Refusal::with(QuarantineReason::BadJson, place)
        }
    })
}

struct State {
    budget: Cell<u32>,
    twice: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Seed<'s>(&'s State);

impl Seed<'_> {
    fn spend<E: Error>(self) -> Result<(), E> {
        let left = self.0.budget.get().saturating_sub(1);
        self.0.budget.set(left);
        if left == 0 { Err(E::custom("too many values")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
        self.spend().map(|()| Node::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        self.spend().map(|()| Node::Other)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        self.spend().map(|()| Node::Number(number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        self.spend().map(|()| Node::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.spend().map(|()| Node::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        self.spend().map(|()| Node::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        self.spend()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        self.spend()?;
        let mut object: Vec<(&'static str, Node)> = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let Some(name) = name else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of two patients in one object, two readers could take different ones.
            if object.iter().any(|(other, _)| *other == name) {
                self.0.twice.set(true);
                return Err(A::Error::custom("member twice"));
            }
            let value = if name == SKIPPED {
                members.next_value::<IgnoredAny>().map(|_| Node::Other)?
            } else {
                members.next_value_seed(self)?
            };
            object.push((name, value));
        }
        Ok(Node::Object(object))
    }
}

/// Reads a member name as one of [`WANTED`].
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(WANTED.binary_search(&name).ok().map(|at| WANTED[at]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> QuarantineReason {
        read(text).err().unwrap().reason()
    }

    #[test]
    fn wanted_names_are_in_order() {
        assert!(WANTED.is_sorted());
    }

    #[test]
    fn keeps_wanted_members_and_skips_the_rest() {
        let node = read(r#"{"id":"a","section":[{"id":"b"}],"type":[1,"x"]}"#).ok().unwrap();
        assert_eq!(node.get("id").text(), Some("a"));
        assert!(node.get("section").list().is_empty());
        assert_eq!(node.get("type").list().len(), 2);
        assert_eq!(node.get("type").list()[1].text(), Some("x"));
        assert_eq!(node.get("id").list().len(), 1);
    }

    #[test]
    fn refuses_a_wanted_member_that_stands_twice() {
        let refusal = read(r#"{"id":"a","id":"b"}"#).err().unwrap();
        assert_eq!(refusal.reason(), QuarantineReason::BadJson);
        assert!(refusal.to_string().contains("twice"));
        assert!(read(r#"{"text":1,"text":2}"#).is_ok());
    }

    #[test]
    fn refuses_broken_json_with_its_place() {
        for text in ["{", "{\"id\":}", "[1,]", "{} {}", "", "{\"id\":\"\\ud800\"}"] {
            assert_eq!(reason(text), QuarantineReason::BadJson, "{text}");
        }
        assert!(read("{\n  \"id\": x").err().unwrap().to_string().contains("line 2, column"));
    }

    #[test]
    fn refuses_deep_nesting_without_using_the_stack() {
        assert_eq!(reason(&"[".repeat(1_000_000)), QuarantineReason::BadJson);
        assert_eq!(reason(&"{\"id\":".repeat(1_000_000)), QuarantineReason::BadJson);
        // Inside a skipped member as well.
        assert_eq!(
            reason(&format!("{{\"text\":{}", "[".repeat(1_000_000))),
            QuarantineReason::BadJson
        );
    }

    #[test]
    fn refuses_more_values_than_the_budget() {
        let text = format!("[{}0]", "0,".repeat(MAX_VALUES as usize));
        assert_eq!(reason(&text), QuarantineReason::TooComplex);
    }

    proptest! {
        #[test]
        fn reading_json_never_panics(text in "\\PC{0,60}|[\\[\\]{},:\"id0-9 ]{0,60}") {
            let _ = read(&text);
        }
    }
}
