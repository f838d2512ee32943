//! Reads a document that is held in memory as one in the folder is read: what is judged is the bytes alone.

use std::io::Cursor;

use sha2::{Digest, Sha256};

use super::attachment::Place;
use super::settings::DocumentsSettings;
use super::{own_words, read};
use crate::item::{Fingerprint, FoundDocument, SourceKey};
use crate::reason::{QuarantineReason, Refusal};

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A document that describes itself, or a FHIR DocumentReference with its document inside.
    Document,
    /// The sidecar of a document that is not looked at.
    Sidecar,
}

/// What a file with these bytes, alone in its folder, would be registered as. Touches no disk, so that anything can be
/// tried on the readers.
///
/// # Errors
/// Fails with the reason for which such a file is quarantined.
pub fn read_held(
    held: Held,
    bytes: &[u8],
    settings: &DocumentsSettings,
) -> Result<FoundDocument, Refusal> {
    let size_bytes = bytes.len() as u64;
    let whole = || (Sha256::digest(bytes).into(), size_bytes);
    let (metadata, measured) = match held {
        Held::Sidecar => (read::described_by(bytes, settings)?, whole()),
        Held::Document => {
            let mut described = read::self_described(bytes, settings)?;
            let measured = match described.attachment {
                None => whole(),
                Some(attachment) => {
                    if let Place::Beside(_) = attachment.place {
                        return Err(QuarantineReason::AttachmentMissing.into());
                    }
                    let holder = || Cursor::new(bytes);
                    own_words::heed(&mut described.metadata, &attachment, holder(), settings)?;
                    let measured = attachment.measure(holder(), &|| false)?;
                    measured.ok_or(QuarantineReason::Unreadable)?
                }
            };
            (described.metadata, measured)
        }
    };
    let fingerprint = Fingerprint { size_bytes, modified_ns: 0, inode: 0, companion: 0 };
    let looks = (SourceKey::from_bytes(*b"held"), fingerprint);
    read::judge(looks, metadata, measured, settings)
}
