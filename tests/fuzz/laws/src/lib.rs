//! What must hold for any bytes: one law for each reader of bytes from outside.
//!
//! A law reads the bytes as they would come from a peer, a client or a file, and panics when something is wrong that no
//! input may bring about: another spelling is taken, a proof holds for what was never in the tree, what was read cannot
//! be written and read again. Refusing is never wrong by itself, so each law says what it did, and whoever replays
//! inputs sees that some were taken.

pub mod charters;
pub mod documents;
pub mod entries;
pub mod evidence;
pub mod frames;
pub mod names;
pub mod notes;
pub mod retrievals;
pub mod seeds;
pub mod settings;
mod story;
pub mod trees;
pub mod world;

/// What a reader did with some bytes. Both are lawful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It read them.
    Taken,
    /// It found something wrong with them.
    Refused,
}

impl Verdict {
    /// `Taken` when there is something.
    pub fn of<T, E>(read: &Result<T, E>) -> Self {
        if read.is_ok() { Self::Taken } else { Self::Refused }
    }

    /// `Taken` when either did.
    pub fn or(self, other: Self) -> Self {
        if self == Self::Taken { self } else { other }
    }
}

/// A reader and its law.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the fuzzing program and of the folder of its inputs.
    pub name: &'static str,
    /// What holds, in a sentence.
    pub law: &'static str,
    /// Most bytes that are tried.
    pub max_len: usize,
    /// Panics when the law is broken.
    pub check: fn(&[u8]) -> Verdict,
}

macro_rules! targets {
    ($($name:literal, $max_len:literal, $check:path, $law:literal;)+) => {
        /// Every target, in the order of `tests/fuzz/README.md`.
        pub const TARGETS: &[Target] =
            &[$(Target { name: $name, law: $law, max_len: $max_len, check: $check },)+];
    };
}

targets! {
    "header", 1_024, entries::header, "a header or entry that is read is written back to the same bytes; only what the author signed verifies";
    "blob", 66_000, entries::blob, "a blob that is read is the one framing of its salt, body and audience";
    "payload", 4_096, entries::payload, "a body that is read is written back to the same bytes";
    "stored", 2_048, entries::stored, "the end of a log that is read from storage is written back to the same bytes";
    "note", 4_096, notes::note, "a note that is read is written back to the same bytes";
    "checkpoint", 4_096, notes::checkpoint, "a checkpoint that verifies says what its owner signed";
    "chunk", 70_000, trees::chunk, "a chunk that is covered holds the entries of the tree, and a bundle has one form";
    "proof", 4_096, trees::proof, "a proof that holds is the one that the tree gives";
    "head", 16_384, charters::head, "a charter head or member entry that is read is written back to the same bytes";
    "charter", 32_768, charters::charter, "a charter that is followed is one that the stewards signed";
    "card", 8_192, charters::card, "a card that is believed has the entry that its member signed";
    "request", 8_192, retrievals::messages, "a message of a retrieval that is read is written back to the same bytes; only the signed one verifies";
    "receipt", 65_536, retrievals::receipt, "a receipt that verifies is canonical and holds what was signed; unpinned it is never more than that";
    "evidence", 65_536, evidence::evidence, "evidence that is read has one encoding, and what convicts was signed twice";
    "frame", 65_536, frames::frame, "a frame that is read is written and read again as the same, and what it carries keeps the other laws";
    "cda", 65_536, documents::cda, "what a CDA document says does not depend on comments or a byte order mark; a refusal shows no number of its content";
    "fhir", 65_536, documents::fhir, "what a Bundle says does not depend on white space or the order of names; a refusal shows no number of its content";
    "sidecar", 16_384, documents::sidecar, "what a sidecar says does not depend on white space or the order of names; a refusal shows no number of its content";
    "gateway_toml", 16_384, settings::gateway, "what a configuration means does not depend on how its TOML is written, and each problem has a remedy";
    "policy", 16_384, settings::policy, "what a file of policies decides does not depend on comments, and only a rule that permits lets a record go";
    "policy_cases", 16_384, settings::policy_cases, "what a table of cases asks does not depend on how its TOML is written, and each question is decided";
    "identifier", 512, names::identifier, "an identifier that was normalised is normalised to itself, and its spellings end as one";
    "name", 1_024, names::name, "a name, id, endpoint or origin that is read is written back as the same text";
}

/// Checks one target's law on some bytes.
///
/// # Panics
/// When the law does not hold, or there is no such target.
pub fn check(name: &str, bytes: &[u8]) -> Verdict {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of that name").check)(bytes)
}
