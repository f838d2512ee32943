//! Signed notes (c2sp.org/signed-note): a text, and lines that say who signed it.
//!
//! A note may carry signatures by keys that we do not know, of algorithms that we do not know: they are kept and mean
//! nothing. Parsing is strict, so that a note that parses has exactly one form: what it is written back as.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::signing::{Signature, SigningKey, VerifyingKey};

/// Longest note in bytes.
pub const MAX_NOTE_LEN: usize = 64 << 10;

/// Most signatures in a note; the specification asks for 16 at least.
pub const MAX_NOTE_SIGNATURES: usize = 64;

/// What the key hash and the vkey start with: Ed25519 over the note text. Cosignatures (04) have another one, so that no
/// signature of one kind counts as the other.
const ED25519: u8 = 0x01;

/// How a signature line begins: an em dash and a space.
const SIGNATURE_LINE: &str = "\u{2014} ";

const KEY_HASH_LEN: usize = size_of::<u32>();

/// Why bytes are not a note, or not a note by the key that it had to be signed with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Over the limit.
    #[error("a note of {0} bytes is over the limit of 65,536: use another source")]
    TooLong(usize),
    /// Not UTF-8, or a control character (such as a carriage return) other than the newline.
    #[error("the note is not plain text with newlines: it was changed on its way")]
    NotText,
    /// Text, blank line and signature lines, each ended by a newline, are not all there.
    #[error("the note has no {0}: it is cut short or was changed on its way")]
    Missing(&'static str),
    /// A line after the blank one is not `— name base64` with at least a key hash and a byte.
    #[error("signature line {0} of the note is malformed: it was changed on its way")]
    SignatureLine(usize),
    /// Over the limit.
    #[error("the note has more than 64 signatures: use another source")]
    TooManySignatures,
    /// None of the signatures is by the key.
    #[error("the note is not signed by {0}: another key or another log was expected")]
    NotSigned(String),
    /// The key signs a note once; two lines by it are somebody's attempt to choose between them.
    #[error("the note has two signatures by {0}: use another source")]
    SignedTwice(String),
    /// The signature by the key does not fit the text.
    #[error("the signature by {0} does not verify: the note was changed, or the key hash collides")]
    BadSignature(String),
    /// It begins as the bytes under our other signatures do.
    #[error("a note must not begin with sundbro/: use another text")]
    Reserved,
    /// Empty, or with a space or a plus.
    #[error(
        "the key name is empty or holds a space, a plus or a control character: use another name"
    )]
    KeyName,
    /// Not `name+hash+base64` of an Ed25519 key whose hash is that.
    #[error("not a verifier key of the form name+hash+base64 with an Ed25519 key: copy it again")]
    VerifierKey,
}

/// One signature line: who signed and what. It says nothing until a key that it names has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// First four bytes of a hash over name, algorithm and key: finds the key, proves nothing.
    pub key_hash: u32,
    /// The algorithm's signature.
    pub signature: Vec<u8>,
}

/// A note: a text that ends in a newline, and one signature at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs a text. Signing is deterministic (RFC 8032).
    ///
    /// # Errors
    /// [`NoteError::KeyName`], [`NoteError::Reserved`], and [`NoteError::NotText`] or [`NoteError::Missing`] when the
    /// text holds control characters or has no newline at its end.
    pub fn sign(text: &str, key_name: &str, key: &SigningKey) -> Result<Self, NoteError> {
        check_text(text)?;
        if is_reserved(text) {
            return Err(NoteError::Reserved);
        }
        let verifier = NoteVerifier::new(key_name, key.public())?;
        let signature = NoteSignature {
            key_hash: verifier.key_hash(),
            name: verifier.name,
            signature: key.sign_note_text(text.as_bytes()).as_bytes().to_vec(),
        };
        Ok(Self { text: text.to_owned(), signatures: vec![signature] })
    }

    /// Reads a note, of which nothing is believed yet.
    ///
    /// # Errors
    /// Fails on anything that is not the one form of a note within the limits.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_LEN {
            return Err(NoteError::TooLong(bytes.len()));
        }
        let note = core::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        check_text(note)?;
        // The last blank line separates: the text may have blank lines of its own, signatures cannot.
        let separator = note.rfind("\n\n").ok_or(NoteError::Missing("blank line"))?;
        let (text, lines) = (&note[..=separator], &note[separator + 2..]);
        if lines.is_empty() {
            return Err(NoteError::Missing("signature"));
        }
        let mut signatures = Vec::new();
        for (place, line) in lines.split_terminator('\n').enumerate() {
            if place == MAX_NOTE_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            let signature = NoteSignature::parse(line).ok_or(NoteError::SignatureLine(place))?;
            signatures.push(signature);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The note as bytes: those that it was parsed from.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// The text with its last newline. Do not act on it before [`verify`](Self::verify).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The note with the one signature line that names this key, and no cosignature. `None`: there is no such line, or
    /// more than one.
    pub fn only_signature_of(&self, key_name: &str, key: &VerifyingKey) -> Option<Self> {
        let hash = key_hash(key_name, key);
        let mut lines =
            self.signatures.iter().filter(|line| line.key_hash == hash && line.name == key_name);
        match (lines.next(), lines.next()) {
            (Some(line), None) => {
                Some(Self { text: self.text.clone(), signatures: vec![line.clone()] })
            }
            _ => None,
        }
    }

    /// Checks that the key signed the text, once. Other signatures are ignored, as the specification asks.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`], [`NoteError::SignedTwice`], [`NoteError::BadSignature`].
    pub fn verify(&self, verifier: &NoteVerifier) -> Result<(), NoteError> {
        let key_hash = verifier.key_hash();
        let by_key = |signature: &&NoteSignature| {
            signature.key_hash == key_hash && signature.name == verifier.name
        };
        let mut found = self.signatures.iter().filter(by_key);
        let name = || verifier.name.clone();
        let Some(signature) = found.next() else {
            return Err(NoteError::NotSigned(name()));
        };
        if found.next().is_some() {
            return Err(NoteError::SignedTwice(name()));
        }
        let bad_signature = || NoteError::BadSignature(name());
        let signature =
            Signature::try_from(&signature.signature[..]).map_err(|_| bad_signature())?;
        let verdict = verifier.key.verify_note_text(self.text.as_bytes(), &signature);
        verdict.map_err(|_| bad_signature())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let signature = [&line.key_hash.to_be_bytes()[..], &line.signature].concat();
            writeln!(f, "{SIGNATURE_LINE}{} {}", line.name, STANDARD.encode(signature))?;
        }
        Ok(())
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(SIGNATURE_LINE)?.split_once(' ')?;
        // STANDARD wants the padding and no stray bits: a signature has one form.
        let bytes = STANDARD.decode(base64).ok()?;
        let (key_hash, signature) = bytes.split_first_chunk::<KEY_HASH_LEN>()?;
        let fits = is_key_name(name) && !signature.is_empty();
        fits.then(|| Self {
            name: name.to_owned(),
            key_hash: u32::from_be_bytes(*key_hash),
            signature: signature.to_vec(),
        })
    }
}

/// A named key that notes are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    key: VerifyingKey,
}

impl NoteVerifier {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`].
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, NoteError> {
        if is_key_name(name) {
            Ok(Self { name: name.to_owned(), key })
        } else {
            Err(NoteError::KeyName)
        }
    }

    /// Reads the form that [`vkey`](Self::vkey) gives.
    ///
    /// # Errors
    /// [`NoteError::VerifierKey`].
    pub fn parse_vkey(vkey: &str) -> Result<Self, NoteError> {
        Self::read_vkey(vkey).ok_or(NoteError::VerifierKey)
    }

    fn read_vkey(vkey: &str) -> Option<Self> {
        let (name, rest) = vkey.split_once('+')?;
        // Base64 has plus signs too: only the first two separate.
        let (_, base64) = rest.split_once('+')?;
        let bytes = STANDARD.decode(base64).ok()?;
        let (&[ED25519], key) = bytes.split_first_chunk::<1>()? else {
            return None;
        };
        let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
        let verifier = Self::new(name, key).ok()?;
        // Also compares the hash, its case and its length.
        (verifier.vkey() == vkey).then_some(verifier)
    }

    /// Name of the key; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// First four bytes of SHA-256(name ‖ newline ‖ 01 ‖ key), as a big-endian number.
    pub fn key_hash(&self) -> u32 {
        key_hash(&self.name, &self.key)
    }

    /// The verifier key as other tools take it: `name+hash+base64`.
    pub fn vkey(&self) -> String {
        let key = [&[ED25519][..], &self.key.as_bytes()[..]].concat();
        format!("{}+{:08x}+{}", self.name, self.key_hash(), STANDARD.encode(key))
    }
}

/// Key hash of an Ed25519 key under a name: what the signature lines of its notes begin with.
pub fn key_hash(name: &str, key: &VerifyingKey) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', ED25519]);
    hasher.update(key.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hasher.finalize());
    u32::from_be_bytes([a, b, c, d])
}

/// Whether a key may have this name: not empty, no space of any kind, no plus, no control character.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control())
}

/// Whether a text begins as the bytes under our other signatures do: a note that did could pass for one of those.
pub(crate) fn is_reserved(text: &str) -> bool {
    text.starts_with("sundbro/")
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.contains(|c: char| c < ' ' && c != '\n') {
        return Err(NoteError::NotText);
    }
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::Missing("newline at its end")) }
}
