//! A document that stands inside another file, as base64 in JSON: found without reading the file into memory, decoded as
//! it is streamed.

use core::cell::Cell;
use core::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use jiff::tz::TimeZone;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::fhir;
use super::json::{self, Node};
use super::read::PIECE_BYTES;
use super::unquoted::Unquoted;
use crate::reason::{QuarantineReason, Refusal};

/// Where the bytes of a document stand, and what they must be.
pub(crate) struct Attachment {
    pub(crate) place: Place,
    pub(crate) check: Check,
}

/// Where the bytes of a document stand.
pub(crate) enum Place {
    /// In the JSON file, from the top of the text to the string.
    Inside(Vec<Step>),
    /// In a file of its own: its path from the folder of the JSON file, downwards.
    Beside(String),
}

/// One step into a JSON text.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Member(&'static str),
    /// The first is also what stands where a list belongs.
    Element(usize),
}

/// What the description says of the bytes.
#[derive(Default)]
pub(crate) struct Check {
    size: Option<u64>,
    hash: Option<Hash>,
}

enum Hash {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Check {
    /// FHIR R4 `Attachment.size` and `hash`: the SHA-1 in base64. Some write it in hex, and some a SHA-256.
    pub(crate) fn read(described: &Node) -> Result<Self, Refusal> {
        let differs = |what| Refusal::with(QuarantineReason::AttachmentDiffers, what);
        let size = match described.get("size") {
            Node::Number(size) => Some(*size),
            _ if described.has("size") => return Err(differs("its size is no number")),
            _ => None,
        };
        let Some(text) = described.get("hash").text() else { return Ok(Self { size, hash: None }) };
        let bytes = hex(text).or_else(|| STANDARD.decode(text).ok()).unwrap_or_default();
        let hash = match (<[u8; 20]>::try_from(&bytes[..]), <[u8; 32]>::try_from(&bytes[..])) {
            (Ok(sha1), _) => Hash::Sha1(sha1),
            (_, Ok(sha256)) => Hash::Sha256(sha256),
            _ => return Err(differs("its hash is neither SHA-1 nor SHA-256")),
        };
        Ok(Self { size, hash: Some(hash) })
    }
}

/// Bytes from hex digits of either case; a digest is no valid base64 of the same length.
fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    if matches!(text.len(), 40 | 64) { bytes.collect() } else { None }
}

impl Attachment {
    /// The bytes from the first one on. `file` is the JSON file, or the one beside it.
    pub(crate) fn bytes<'f, F: Read + Seek + 'f>(
        &self,
        mut file: F,
    ) -> Result<Box<dyn Read + 'f>, Refusal> {
        let unreadable = |_| Refusal::from(QuarantineReason::Unreadable);
        match &self.place {
            Place::Inside(path) => {
                let range = find(&mut file, path).map_err(unreadable)?;
                let range = range.ok_or(QuarantineReason::NoAttachment)?;
                Ok(Box::new(decoded(file, range).map_err(unreadable)?))
            }
            Place::Beside(_) => {
                file.rewind().map_err(unreadable)?;
                Ok(Box::new(file))
            }
        }
    }

    /// Digest and size of the bytes, which must be what the description says. `file` is the JSON file, or the one beside
    /// it. `None`: told to stop.
    pub(crate) fn measure<F: Read + Seek>(
        &self,
        mut file: F,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<([u8; 32], u64)>, Refusal> {
        let differs = |what| Refusal::with(QuarantineReason::AttachmentDiffers, what);
        let mut bytes = self.bytes(&mut file)?;
        let (mut sha1, mut sha256, mut size) = (Sha1::new(), Sha256::new(), 0_u64);
        let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
        loop {
            if stop() {
                return Ok(None);
            }
            let count = match bytes.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(differs("its data is no base64"));
                }
                Err(_) => return Err(QuarantineReason::Unreadable.into()),
            };
            sha1.update(&piece[..count]);
            sha256.update(&piece[..count]);
            size += count as u64;
        }
        let (sha1, sha256): ([u8; 20], [u8; 32]) =
            (sha1.finalize().into(), sha256.finalize().into());
        if self.check.size.is_some_and(|given| given != size) {
            return Err(differs("it has another size"));
        }
        match self.check.hash {
            Some(Hash::Sha1(given)) if given != sha1 => Err(differs("it has another hash")),
            Some(Hash::Sha256(given)) if given != sha256 => Err(differs("it has another hash")),
            _ if size == 0 => Err(QuarantineReason::NoAttachment.into()),
            _ => Ok(Some((sha256, size))),
        }
    }
}

/// Where the document of a file that no sidecar describes stands, if it is not the file itself.
///
/// # Errors
/// Fails if the file cannot be read, or describes no document.
pub(crate) fn place(file: &File) -> io::Result<Option<Place>> {
    if !describes_another(file)? {
        return Ok(None);
    }
    let changed = |_: Refusal| io::Error::from(io::ErrorKind::InvalidData);
    let mut json = serde_json::Deserializer::from_reader(reader(file)?.1);
    let root = json::read_from(&mut json).map_err(changed)?;
    let read = fhir::read_tree(&root, &TimeZone::UTC).map_err(changed)?;
    Ok(read.attachment.map(|attachment| attachment.place))
}

/// The bytes of a document inside a file.
pub(crate) fn inside(file: &File, path: &[Step]) -> io::Result<Box<dyn Read + Send>> {
    let range = find(file, path)?.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Box::new(decoded(file.try_clone()?, range)?))
}

/// From the first character on that is no byte order mark, and where that is.
fn reader<F: Read + Seek>(mut file: F) -> io::Result<(u64, BufReader<F>)> {
    file.seek(SeekFrom::Start(0))?;
    let mut mark = [0; 3];
    let skip = match file.read_exact(&mut mark) {
        Ok(()) if mark == *b"\xef\xbb\xbf" => 3,
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(skip))?;
    Ok((skip, BufReader::new(file)))
}

/// Whether a file is JSON whose document stands inside it: told by the first members, so that a document Bundle of any
/// size is not read to its end.
fn describes_another(file: &File) -> io::Result<bool> {
    let (_, mut reader) = reader(file)?;
    let mut first = [0];
    while reader.read(&mut first)? == 1 && b" \t\r\n".contains(&first[0]) {}
    if first[0] != b'{' {
        return Ok(false);
    }
    let kind = Kind::default();
    let mut json = serde_json::Deserializer::from_reader(io::Read::chain(&b"{"[..], reader));
    // It ends with an error as soon as enough is known.
    drop(json.deserialize_map(&kind));
    let (resource, bundle) = (kind.resource.take(), kind.bundle.take());
    Ok(resource == "DocumentReference" || (resource == "Bundle" && bundle != "document"))
}

/// The two members that tell what a FHIR file is.
#[derive(Default)]
struct Kind {
    resource: Cell<String>,
    bundle: Cell<String>,
}

impl<'de> Visitor<'de> for &Kind {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let (mut has_resource, mut has_type) = (false, false);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "resourceType" => {
                    let resource: String = members.next_value()?;
                    has_type |= resource != "Bundle";
                    self.resource.set(resource);
                    has_resource = true;
                }
                "type" if !has_type => {
                    self.bundle.set(members.next_value_seed(Word)?);
                    has_type = true;
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
            if has_resource && has_type {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// Reads a text; anything else is passed over and is the empty one.
struct Word;

impl<'de> DeserializeSeed<'de> for Word {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Word {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<String, A::Error> {
        IgnoredAny.visit_map(members).map(|_| String::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<String, A::Error> {
        IgnoredAny.visit_seq(elements).map(|_| String::new())
    }
}

/// Where in a file the string at a path stands, with its quotes and perhaps space before them.
fn find<F: Read + Seek>(file: F, path: &[Step]) -> io::Result<Option<(u64, u64)>> {
    let (skipped, reader) = reader(file)?;
    let count = Cell::new(skipped);
    let counted = Counted { reader, count: &count };
    let found = Cell::new(None);
    let seek = Seeking { path, count: &count, found: &found };
    match seek.deserialize(&mut serde_json::Deserializer::from_reader(counted)) {
        Err(error) if error.is_io() => Err(error.into()),
        _ => Ok(found.get()),
    }
}

/// Counts what was taken from it: JSON is read byte by byte, so that is where the reading stands.
struct Counted<'c, R> {
    reader: R,
    count: &'c Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Goes along a path and passes over everything else without storing it.
#[derive(Clone, Copy)]
struct Seeking<'a> {
    path: &'a [Step],
    count: &'a Cell<u64>,
    found: &'a Cell<Option<(u64, u64)>>,
}

impl<'de> DeserializeSeed<'de> for Seeking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if !self.path.is_empty() {
            return deserializer.deserialize_any(self);
        }
        // After a member's colon nothing is looked at ahead, and after a string's last quote neither.
        let start = self.count.get();
        deserializer.deserialize_ignored_any(IgnoredAny)?;
        self.found.set(Some((start, self.count.get())));
        Ok(())
    }
}

impl<'de> Visitor<'de> for Seeking<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the path leads through")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let path = match self.path {
            [Step::Element(0), rest @ ..] => rest,
            path => path,
        };
        while let Some(name) = members.next_key::<String>()? {
            match path {
                [Step::Member(wanted), rest @ ..] if *wanted == name => {
                    members.next_value_seed(Self { path: rest, ..self })?;
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let [Step::Element(wanted), rest @ ..] = self.path else {
            return Err(A::Error::custom("a list"));
        };
        let mut at = 0;
        loop {
            let more = if at == *wanted {
                elements.next_element_seed(Self { path: rest, ..self })?.is_some()
            } else {
                elements.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            at += 1;
        }
    }
}

/// The bytes that a base64 string at a place of a file stands for.
fn decoded<F: Read + Seek>(
    mut file: F,
    (start, end): (u64, u64),
) -> io::Result<impl Read + use<F>> {
    file.seek(SeekFrom::Start(start))?;
    let string = BufReader::new(file.take(end.saturating_sub(start)));
    Ok(DecoderReader::new(Unquoted::new(string), &STANDARD))
}

#[cfg(test)]
#[path = "attachment_tests.rs"]
mod tests;
