//! What must stand nowhere, in every form in which a program may write it down.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The published test person whose documents lie in the folders. Her number stands in no file name.
pub const IN_CONTENT: [&str; 5] = [
    "2512489996",
    "251248-9996",
    "Nancy Ann Test",
    "Berggren",
    "Hjertelyd h\u{f8}rt; blodtryk og urin uden bem\u{e6}rkninger.",
];
/// Numbers that are none, as somebody mistyped them: who typed them meant a person all the same.
pub const MISTYPED: [&str; 2] = ["3113489996", "25124899960"];
/// The published test person after whom somebody has named files.
pub const IN_FILE_NAMES: [&str; 2] = ["0201919990", "020191-9990"];

/// A form of one of the needles.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// The needle as a person writes it.
    pub needle: String,
    /// Name of the form.
    pub form: &'static str,
    /// What stands in the file.
    pub bytes: Vec<u8>,
}

/// Looks for many patterns at once.
#[derive(Debug)]
pub struct Searcher {
    patterns: Vec<Pattern>,
    automaton: AhoCorasick,
}

impl Searcher {
    /// Looks for all forms of `needles`.
    pub fn new(needles: &[&str]) -> Self {
        let all: BTreeSet<Pattern> = needles.iter().flat_map(|needle| forms(needle)).collect();
        let patterns: Vec<Pattern> = all.into_iter().collect();
        let automaton =
            AhoCorasick::new(patterns.iter().map(|it| &it.bytes)).expect("few patterns");
        Self { patterns, automaton }
    }

    /// Everything it looks for.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The patterns that stand in `bytes`, each with its first place.
    pub fn find(&self, bytes: &[u8]) -> Vec<(&Pattern, usize)> {
        let mut found: Vec<(&Pattern, usize)> = Vec::new();
        for hit in self.automaton.find_overlapping_iter(bytes) {
            let pattern = &self.patterns[hit.pattern().as_usize()];
            if !found.iter().any(|(known, _)| *known == pattern) {
                found.push((pattern, hit.start()));
            }
        }
        found
    }
}

/// Every form of one needle.
fn forms(needle: &str) -> Vec<Pattern> {
    let mut forms = Vec::new();
    let mut add = |form, bytes: Vec<u8>| {
        forms.push(Pattern { needle: needle.to_owned(), form, bytes });
    };
    let utf8 = needle.as_bytes();
    add("plain", utf8.to_vec());
    add("lower case", needle.to_lowercase().into_bytes());
    add("upper case", needle.to_uppercase().into_bytes());
    // Every character of ours stands in Latin-1.
    add(
        "Latin-1",
        needle.chars().map(|it| u8::try_from(u32::from(it)).expect("Latin-1")).collect(),
    );
    add("UTF-16 LE", needle.encode_utf16().flat_map(u16::to_le_bytes).collect());
    add("UTF-16 BE", needle.encode_utf16().flat_map(u16::to_be_bytes).collect());
    add("hex", hex::encode(utf8).into_bytes());
    add("HEX", hex::encode_upper(utf8).into_bytes());
    add("spaced hex", joined(utf8, " ", |byte| format!("{byte:02x}")));
    add("bytes in Debug", joined(utf8, ", ", |byte| byte.to_string()));
    add("escaped in Debug", utf8.escape_ascii().to_string().into_bytes());
    add("URL, all", joined(utf8, "", |byte| format!("%{byte:02X}")));
    add("URL, all lower", joined(utf8, "", |byte| format!("%{byte:02x}")));
    add("URL", url(utf8, "%20"));
    add("form", url(utf8, "+"));
    add("JSON", joined_units(needle));
    for shift in 0..3 {
        add("base64", base64_inside(&STANDARD_NO_PAD, utf8, shift));
        add("base64url", base64_inside(&URL_SAFE_NO_PAD, utf8, shift));
    }
    forms
}

fn joined(bytes: &[u8], between: &str, write: impl Fn(u8) -> String) -> Vec<u8> {
    bytes.iter().map(|byte| write(*byte)).collect::<Vec<_>>().join(between).into_bytes()
}

fn joined_units(text: &str) -> Vec<u8> {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>().into_bytes()
}

fn url(bytes: &[u8], space: &str) -> Vec<u8> {
    let write = |byte: &u8| match byte {
        b' ' => space.to_owned(),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(*byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(write).collect::<String>().into_bytes()
}

/// The part of the encoding that is the same whatever stands before and behind, `shift` bytes into a group of three.
fn base64_inside(engine: &impl base64::Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let shifted = [&vec![0; shift][..], bytes].concat();
    let text = engine.encode(&shifted);
    let first = (shift * 8).div_ceil(6);
    let last = shifted.len() * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}

#[test]
fn a_pattern_of_base64_stands_in_what_is_encoded_around_it() {
    let searcher = Searcher::new(&["2512489996"]);
    for before in ["", "a", "ab", "abc"] {
        for behind in ["", "x", "xy"] {
            let text = STANDARD_NO_PAD.encode(format!("{before}2512489996{behind}"));
            let found = searcher.find(text.as_bytes());
            assert!(found.iter().any(|(it, _)| it.form == "base64"), "{before}…{behind}: {text}");
        }
    }
    assert!(searcher.find(b"251248999 6").is_empty());
}
