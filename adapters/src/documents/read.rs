//! Reads one file: opens it without following links, brings out its metadata, and makes sure that it held still.

use std::fs::File;
use std::io::{self, Read};

use jiff::Timestamp;
use jiff::civil::Date;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::attachment::{Attachment, Place};
use super::beneath::{self, Root};
use super::metadata::{Metadata, replicated_media_type};
use super::settings::DocumentsSettings;
use super::walk::{self, Candidate};
use super::{cda, fhir, leak, own_words, pointing, sidecar};
use crate::item::{Fingerprint, FoundDocument, FoundWarning, Lifecycle, SourceKey};
use crate::reason::{QuarantineReason, Refusal};

/// Size of the pieces in which content is hashed.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;
/// How far into a file that is too large to be parsed its format is looked for.
pub(crate) const SNIFF_BYTES: u64 = 4096;

/// Why there is nothing to register.
pub(crate) enum NotRead {
    /// The file cannot be registered.
    Refused(Refusal),
    /// The reader was told to stop.
    Stopped,
}

impl<R: Into<Refusal>> From<R> for NotRead {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

/// Reads a file that has come to rest, until `stop` says that it is enough.
///
/// # Errors
/// Fails with the reason for which it cannot be registered.
pub(crate) fn read(
    root: &Root,
    candidate: &Candidate,
    settings: &DocumentsSettings,
    stop: &dyn Fn() -> bool,
) -> Result<FoundDocument, NotRead> {
    let (mut file, looks) = root.file(&candidate.key).map_err(|_| QuarantineReason::Unreadable)?;
    let expected = Fingerprint { companion: 0, ..candidate.fingerprint };
    if looks != expected {
        return Err(QuarantineReason::ChangedWhileRead.into());
    }
    if looks.size_bytes == 0 {
        return Err(QuarantineReason::Empty.into());
    }
    let (metadata, content) = match &candidate.sidecar {
        Some(key) => {
            let described = described(root, key, settings)?;
            let sha256 = hash(&mut file, looks.size_bytes, stop)?;
            (described, (sha256, looks.size_bytes))
        }
        None => parsed(root, candidate, &mut file, looks.size_bytes, settings, stop)?,
    };
    let companion_now = match &candidate.sidecar {
        Some(key) => root.looks(key).map_or(0, |now| walk::companion(&now.fingerprint)),
        None => 0,
    };
    let companion_now = match &candidate.beside {
        Some(key) => pointing::companion(root, key, candidate.is_shared),
        None => companion_now,
    };
    if beneath::looks_now(&file).ok() != Some(expected)
        || companion_now != candidate.fingerprint.companion
    {
        return Err(QuarantineReason::ChangedWhileRead.into());
    }
    let looks = (candidate.key.clone(), candidate.fingerprint);
    Ok(judge(looks, metadata, content, settings)?)
}

/// Digest and size of a document's bytes.
pub(crate) type Measured = ([u8; 32], u64);

/// Metadata of a file that describes itself, and what its document's bytes are.
fn parsed(
    root: &Root,
    candidate: &Candidate,
    file: &mut File,
    size_bytes: u64,
    settings: &DocumentsSettings,
    stop: &dyn Fn() -> bool,
) -> Result<(Metadata, Measured), NotRead> {
    if size_bytes > settings.parse_limit_bytes {
        let start = bounded(file, SNIFF_BYTES)?;
        return Err(match sniff(&start) {
            Format::Other => NotRead::from(QuarantineReason::NoSidecar),
            _ => {
                let limit = format!("limit {} bytes", settings.parse_limit_bytes);
                Refusal::with(QuarantineReason::TooLarge, limit).into()
            }
        });
    }
    let content = bounded(file, size_bytes)?;
    let fhir::Read { mut metadata, attachment } = self_described(&content, settings)?;
    let Some(attachment) = attachment else {
        return Ok((metadata, (Sha256::digest(&content).into(), size_bytes)));
    };
    drop(content);
    let beside = match opened_beside(root, candidate, &attachment) {
        // What the description says of itself counts, also while its document is away.
        Err(refusal) if refusal.reason() == QuarantineReason::AttachmentMissing => {
            let looks = (candidate.key.clone(), candidate.fingerprint);
            judge(looks, metadata, ([0; 32], 0), settings)?;
            return Err(refusal.into());
        }
        beside => beside?,
    };
    let holder: &File = beside.as_ref().unwrap_or(file);
    let measured = attachment.measure(holder, stop)?.ok_or(NotRead::Stopped)?;
    own_words::heed(&mut metadata, &attachment, holder, settings)?;
    Ok((metadata, measured))
}

/// What content that describes a document says, itself or another.
///
/// # Errors
/// Fails with the reason for which it cannot be registered.
pub(crate) fn self_described(
    content: &[u8],
    settings: &DocumentsSettings,
) -> Result<fhir::Read, Refusal> {
    let zone = &settings.time_zone;
    match sniff(content) {
        Format::Xml => {
            Ok(fhir::Read { metadata: cda::read(text(content)?, zone)?, attachment: None })
        }
        Format::Json => fhir::read(text(content)?, zone),
        Format::Utf16 => Err(QuarantineReason::EncodingNotUtf8.into()),
        Format::Other => Err(QuarantineReason::NoSidecar.into()),
    }
}

/// The file beside a description that holds the bytes; `None`: they are inside the description.
fn opened_beside(
    root: &Root,
    candidate: &Candidate,
    attachment: &Attachment,
) -> Result<Option<File>, Refusal> {
    let Place::Beside(path) = &attachment.place else { return Ok(None) };
    let disputed = |what| Refusal::with(QuarantineReason::AttachmentDisputed, what);
    let key = beneath::beside(&candidate.key, path);
    match &candidate.beside {
        Some(beside) if *beside == key => {}
        Some(_) => return Err(QuarantineReason::ChangedWhileRead.into()),
        None => {
            let what = "its own name does not end with .json";
            return Err(Refusal::with(QuarantineReason::AttachmentElsewhere, what));
        }
    }
    // Two descriptions could say two things, and the stricter one must not lose.
    if pointing::has_sidecar(root, &key) {
        return Err(disputed("a sidecar describes it"));
    }
    if candidate.is_shared {
        return Err(disputed("another file describes it too"));
    }
    match root.file(&key) {
        Ok((beside, _)) => Ok(Some(beside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(QuarantineReason::AttachmentMissing.into())
        }
        Err(_) => Err(QuarantineReason::Unreadable.into()),
    }
}

/// Metadata of a file that a sidecar describes.
fn described(
    root: &Root,
    key: &SourceKey,
    settings: &DocumentsSettings,
) -> Result<Metadata, Refusal> {
    let (mut file, looks) = match root.file(key) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(unusable("it is no plain file"));
        }
        Err(_) => return Err(QuarantineReason::Unreadable.into()),
    };
    if looks.size_bytes > sidecar::MAX_BYTES {
        return Err(unusable("it is larger than 64 KiB"));
    }
    described_by(&bounded(&mut file, looks.size_bytes)?, settings)
}

/// Metadata that the content of a sidecar gives.
///
/// # Errors
/// Fails with the reason for which nothing can be registered with it.
pub(crate) fn described_by(
    content: &[u8],
    settings: &DocumentsSettings,
) -> Result<Metadata, Refusal> {
    let text = text(content).map_err(|_| unusable("it is not UTF-8"))?;
    sidecar::read(text, &settings.time_zone)
}

fn unusable(what: &'static str) -> Refusal {
    Refusal::with(QuarantineReason::BadSidecar, what)
}

/// At most that many bytes. The buffer is wiped when dropped.
fn bounded(file: &mut File, most: u64) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    // Reserved at once: a buffer that grows would leave copies behind that nothing wipes.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(0)));
    file.take(most).read_to_end(&mut content).map_err(|_| QuarantineReason::Unreadable)?;
    Ok(content)
}

fn text(content: &[u8]) -> Result<&str, Refusal> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    core::str::from_utf8(content).map_err(|_| QuarantineReason::EncodingNotUtf8.into())
}

/// SHA-256 of a file of any size, which must have the size that was seen.
fn hash(file: &mut File, size_bytes: u64, stop: &dyn Fn() -> bool) -> Result<[u8; 32], NotRead> {
    let mut hasher = Sha256::new();
    let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
    let mut total = 0_u64;
    loop {
        // A described file has any size, so hours may pass here.
        if stop() {
            return Err(NotRead::Stopped);
        }
        let count = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(QuarantineReason::Unreadable.into()),
        };
        hasher.update(&piece[..count]);
        total += count as u64;
        if total > size_bytes {
            break;
        }
    }
    if total == size_bytes {
        Ok(hasher.finalize().into())
    } else {
        Err(QuarantineReason::ChangedWhileRead.into())
    }
}

/// What a file looks like by its first character.
#[derive(Debug, PartialEq, Eq)]
enum Format {
    Json,
    Xml,
    Utf16,
    Other,
}

/// Whether content begins like something that may describe itself.
pub(crate) fn is_structured(content: &[u8]) -> bool {
    // Blanks alone tell nothing yet.
    sniff(content) != Format::Other || content.trim_ascii().is_empty()
}

/// By content and not by name: exports often have no useful ending.
fn sniff(content: &[u8]) -> Format {
    match content {
        [0xff, 0xfe, b'<' | b'{', 0, ..]
        | [0xfe, 0xff, 0, b'<' | b'{', ..]
        | [b'<' | b'{', 0, ..]
        | [0, b'<' | b'{', ..] => return Format::Utf16,
        _ => {}
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    match content.iter().find(|byte| !b" \t\r\n".contains(byte)) {
        Some(b'{') => Format::Json,
        Some(b'<') => Format::Xml,
        _ => Format::Other,
    }
}

/// Applies the source's settings to what a file says.
///
/// # Errors
/// Fails with the reason for which it cannot be registered.
pub(crate) fn judge(
    (source_key, fingerprint): (SourceKey, Fingerprint),
    mut metadata: Metadata,
    (content_sha256, content_size_bytes): Measured,
    settings: &DocumentsSettings,
) -> Result<FoundDocument, Refusal> {
    if leak::shows_a_patient(&metadata) {
        return Err(QuarantineReason::IdentifierInMetadata.into());
    }
    let confidentiality = metadata.judge_confidentiality()?;
    let today = today(settings);
    let subjects =
        metadata.judge_subjects(&settings.identifier_systems, settings.profile, today)?;
    if metadata.document_id.is_none() {
        metadata.warn(FoundWarning::NoDocumentId);
    }
    if metadata.lifecycle.is_none() {
        metadata.warn(FoundWarning::NoStatus);
    }
    Ok(FoundDocument {
        source_key,
        fingerprint,
        document_id: metadata.document_id,
        subjects,
        class: metadata.class,
        media_type: replicated_media_type(&metadata.media_type),
        content_sha256,
        content_size_bytes,
        period: metadata.period,
        author_unit: metadata.author_unit,
        facility: metadata.facility,
        practice_setting: metadata.practice_setting,
        confidentiality,
        language: metadata.language,
        custodian: metadata.custodian,
        lifecycle: metadata.lifecycle.unwrap_or(Lifecycle::Preliminary),
        warnings: metadata.warnings,
    })
}

pub(crate) fn today(settings: &DocumentsSettings) -> Date {
    let now = Timestamp::try_from(settings.clock.now()).unwrap_or(Timestamp::UNIX_EPOCH);
    now.to_zoned(settings.time_zone.clone()).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_formats_by_their_first_character() {
        assert_eq!(sniff(b" \r\n\t{"), Format::Json);
        assert_eq!(sniff(b"\xef\xbb\xbf<?xml"), Format::Xml);
        assert_eq!(sniff(b"\xff\xfe<\0?\0"), Format::Utf16);
        assert_eq!(sniff(b"\xfe\xff\0{"), Format::Utf16);
        assert_eq!(sniff(b"<\0?\0"), Format::Utf16);
        assert_eq!(sniff(b"\0{\0 "), Format::Utf16);
        for other in [&b""[..], b"%PDF", b"[1]", b"   ", b"\xff\xd8"] {
            assert_eq!(sniff(other), Format::Other);
        }
    }
}
