//! What a document says of itself when something else describes it: a label or a patient of its own is not overruled.
//!
//! A DocumentReference may say nothing of how confidential its CDA is, or be about another person by mistake. Whatever is no
//! document that we can read (a scan, a web page) says nothing.

use std::io::{Read, Seek};

use zeroize::Zeroizing;

use super::attachment::Attachment;
use super::metadata::Metadata;
use super::read::{SNIFF_BYTES, is_structured, self_described, today};
use super::settings::DocumentsSettings;
use crate::reason::{QuarantineReason, Refusal};

/// Adds to `metadata` what the document says of its confidentiality.
///
/// # Errors
/// Fails if the document is about somebody else, may not be registered by what it says, or is too large to be asked.
pub(crate) fn heed<F: Read + Seek>(
    metadata: &mut Metadata,
    attachment: &Attachment,
    mut file: F,
    settings: &DocumentsSettings,
) -> Result<(), Refusal> {
    let Some(content) = content(attachment, &mut file, settings)? else { return Ok(()) };
    let own = match self_described(&content, settings) {
        Ok(own) => own.metadata,
        Err(refusal) if is_no_document(refusal.reason(), &content) => return Ok(()),
        Err(refusal) => return Err(refusal),
    };
    if !is_about_the_same(metadata, &own, settings)? {
        let what = "it is about another patient";
        return Err(Refusal::with(QuarantineReason::AttachmentDiffers, what));
    }
    metadata.confidentiality.extend(own.confidentiality);
    Ok(())
}

/// All of it, if it begins like something that describes itself.
fn content<F: Read + Seek>(
    attachment: &Attachment,
    mut file: F,
    settings: &DocumentsSettings,
) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
    let Some(start) = bounded(attachment, &mut file, SNIFF_BYTES)? else { return Ok(None) };
    if !is_structured(&start) {
        return Ok(None);
    }
    let most = settings.parse_limit_bytes;
    let content = bounded(attachment, &mut file, most + 1)?;
    if content.as_ref().is_some_and(|content| content.len() as u64 > most) {
        let what = format!("the document that is described, limit {most} bytes");
        return Err(Refusal::with(QuarantineReason::TooLarge, what));
    }
    Ok(content)
}

/// At most that many bytes; `None` if they are no base64, which is found out when they are measured.
fn bounded<F: Read + Seek>(
    attachment: &Attachment,
    file: F,
    most: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, Refusal> {
    let mut content = Zeroizing::new(Vec::new());
    match attachment.bytes(file)?.take(most).read_to_end(&mut content) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(None),
        Err(_) => Err(QuarantineReason::Unreadable.into()),
    }
}

/// Whether a refusal says that there is nothing to be asked. A document that is broken is no scan: what it would say of
/// itself is not known.
fn is_no_document(reason: QuarantineReason, content: &[u8]) -> bool {
    use QuarantineReason as Reason;
    let mentions = |name: &str| content.windows(name.len()).any(|it| it == name.as_bytes());
    match reason {
        Reason::NotADocument | Reason::NoSidecar => true,
        Reason::BadXml => !mentions("ClinicalDocument"),
        Reason::BadJson => !mentions("resourceType"),
        _ => false,
    }
}

/// Whether both name the same person, as far as the document names one whom we would register.
fn is_about_the_same(
    described: &Metadata,
    own: &Metadata,
    settings: &DocumentsSettings,
) -> Result<bool, Refusal> {
    let subjects = |metadata: &Metadata| {
        let mut copy = Metadata { patient: metadata.patient.clone(), ..Metadata::default() };
        copy.judge_subjects(&settings.identifier_systems, settings.profile, today(settings))
    };
    let own = match subjects(own) {
        Err(refusal) if refusal.reason() == QuarantineReason::NoPatientIdentifier => {
            return Ok(true);
        }
        own => own?,
    };
    let described = subjects(described)?;
    Ok(own.iter().any(|subject| described.contains(subject)))
}
