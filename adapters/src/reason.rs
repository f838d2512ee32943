//! Why an item of a local system is not registered: one code for each reason, and what to do about it.
//!
//! Neither code nor message carries content: they stand in tables and logs that people without access to records read.

use core::fmt;
use std::borrow::Cow;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $message:literal;)*) => {
        /// Why an item is set aside. The rest of the source flows on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum QuarantineReason { $($(#[$doc])* $variant,)* }

        impl QuarantineReason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The constant that tables, logs and metrics show.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What happened and what to do next, without anything from the item.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }
    };
}

reasons! {
    /// It names no patient in any of the source's identifier systems.
    NoPatientIdentifier = "NO_PATIENT_IDENTIFIER",
        "the document has no patient identifier of a system in identifier_systems: add the system to the source's configuration, or the identifier to the document";
    /// A FHIR document whose subject is not one Patient of its file.
    SubjectNotFound = "SUBJECT_NOT_FOUND",
        "the subject does not lead to exactly one Patient in the file: the sending system must put the patient into the document";
    /// A patient identifier breaks the rules of its system.
    BadIdentifier = "BAD_IDENTIFIER",
        "a patient identifier cannot belong to its system: correct it where the document is made";
    /// More identifiers than one record can carry.
    TooManyIdentifiers = "TOO_MANY_IDENTIFIERS",
        "the document has more than 16 patient identifiers of the configured systems: list fewer systems in identifier_systems";
    /// What every member would see names the patient.
    IdentifierInMetadata = "IDENTIFIER_IN_METADATA",
        "a patient identifier stands in a code, a unit or the media type, which every member would see: correct it where the document is made";
    /// Confidentiality R or V: may not be registered for all members.
    NeedsLimitedAudience = "NEEDS_LIMITED_AUDIENCE",
        "the document or a part of it is restricted (R or V) and may only be registered for named members, which this version cannot do yet: nothing to do now";
    /// A confidentiality code that could mean anything.
    UnknownConfidentiality = "UNKNOWN_CONFIDENTIALITY",
        "the confidentiality code is none of U, L, M, N, R, V: correct it where the document is made; until then it is treated as restricted";
    /// Its metadata breaks a rule of the ledger. No adapter says so: the gateway does.
    MetadataRefused = "METADATA_REFUSED",
        "the ledger does not take the metadata of the document: report this as a fault of this program, and describe the file in a sidecar <name>.meta.json";
    /// Well-formed, but no document that this adapter reads.
    NotADocument = "NOT_A_DOCUMENT",
        "the file is neither a FHIR R4 document Bundle or DocumentReference (JSON) nor a CDA R2 document: remove it, or describe it in a sidecar <name>.meta.json";
    /// Its author says that it should not exist.
    EnteredInError = "ENTERED_IN_ERROR",
        "the document says of itself that it was entered in error: it is not registered; remove it from the folder";
    /// A DocumentReference whose place another took.
    ReferenceSuperseded = "REFERENCE_SUPERSEDED",
        "the DocumentReference says that another took its place: it is not registered; remove it from the folder";
    /// A DocumentReference without its document.
    NoAttachment = "NO_ATTACHMENT",
        "the DocumentReference has no document in it: put the document's bytes into attachment.data, into a Binary beside it in one Bundle, or into the file that it names";
    /// More than one document in a file.
    SeveralAttachments = "SEVERAL_ATTACHMENTS",
        "the file describes several documents, and a file is one record: write one DocumentReference with one content for each";
    /// A document that is somewhere else.
    AttachmentElsewhere = "ATTACHMENT_ELSEWHERE",
        "the DocumentReference leads out of its folder, which is not followed: put the document's bytes into it, or a file beside it and its name into attachment.url";
    /// A file that is not there: an earlier version stays registered, for its share may not be mounted.
    AttachmentMissing = "ATTACHMENT_MISSING",
        "the file that the DocumentReference names is not there: put it there, or remove the DocumentReference if its record is to be withdrawn";
    /// A file that something else describes too.
    AttachmentDisputed = "ATTACHMENT_DISPUTED",
        "a sidecar or a second DocumentReference describes the same file, and the stricter one must not lose: leave one of them";
    /// A document that is not what its description says.
    AttachmentDiffers = "ATTACHMENT_DIFFERS",
        "the document is not what its DocumentReference says of it: correct its data, size or hash where it is made";
    /// JSON that does not parse.
    BadJson = "BAD_JSON",
        "the file starts like JSON and does not parse: export it again, or describe it in a sidecar <name>.meta.json";
    /// XML that does not parse.
    BadXml = "BAD_XML",
        "the file starts like XML and does not parse: export it again, or describe it in a sidecar <name>.meta.json";
    /// A document type declaration or an entity of its own.
    DtdRefused = "DTD_REFUSED",
        "the XML has a DOCTYPE or an entity that XML does not define, which could make the reader fetch or expand other content: export it without";
    /// Another encoding than UTF-8.
    EncodingNotUtf8 = "ENCODING_NOT_UTF8",
        "the file is not UTF-8: convert it, or describe it in a sidecar <name>.meta.json";
    /// More bytes than are read into memory.
    TooLarge = "TOO_LARGE",
        "the file is larger than a document that is parsed may be: describe it in a sidecar <name>.meta.json, then its size does not matter";
    /// More elements or deeper nesting than any real document.
    TooComplex = "TOO_COMPLEX",
        "the file has more elements, attributes or nesting than a document may have: export it again, or describe it in a sidecar <name>.meta.json";
    /// No bytes.
    Empty = "EMPTY",
        "the file is empty: it is read as soon as it has content; remove it if nothing writes it";
    /// Neither a known format nor described.
    NoSidecar = "NO_SIDECAR",
        "the file is neither JSON nor XML and nothing describes it: put a sidecar <name>.meta.json beside it";
    /// A sidecar that does not follow its schema.
    BadSidecar = "BAD_SIDECAR",
        "the sidecar does not follow its schema (docs/adapters.md): correct it";
    /// A sidecar that describes nothing.
    SidecarWithoutFile = "SIDECAR_WITHOUT_FILE",
        "the sidecar stands alone: put the file that it describes beside it, or remove the sidecar";
    /// The operating system does not let us read it now.
    Unreadable = "UNREADABLE",
        "the file or folder cannot be read: check owner, permissions and the file system; it is tried again in each pass";
    /// An empty folder below which much is registered.
    FolderEmptied = "FOLDER_EMPTIED",
        "most of the ten or more files that were known below the folder are missing, so they stay registered: mount its share, or remove the folder if they are to be withdrawn";
    /// It changed under our eyes.
    ChangedWhileRead = "CHANGED_WHILE_READ",
        "the file changed while it was read: it is read again when it rests; write elsewhere and rename into the folder";
    /// A name that is not text.
    NameNotUtf8 = "NAME_NOT_UTF8",
        "the file name is not UTF-8: rename it";
    /// A path that is too long or too deep.
    PathTooLong = "PATH_TOO_LONG",
        "the path below the folder is longer than 1024 bytes or deeper than 32 folders: move it up or shorten its names";
    /// A link out of the folder.
    LinkLeavesFolder = "LINK_LEAVES_FOLDER",
        "the link leads out of the folder and is not followed: copy the file into the folder";
    /// A link to nothing.
    LinkBroken = "LINK_BROKEN",
        "the link leads nowhere: remove it";
    /// A socket, pipe or device.
    NotAFile = "NOT_A_FILE",
        "it is neither a file nor a folder: remove it";
}

impl QuarantineReason {
    /// The reason with this [`code`](Self::code).
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// Whether it says nothing about the item's content, so that an earlier version of it stays registered.
    ///
    /// For every other reason the source no longer holds what was registered under this key.
    pub fn is_passing(self) -> bool {
        use QuarantineReason as Q;
        matches!(
            self,
            Q::Unreadable
                | Q::Empty
                | Q::FolderEmptied
                | Q::ChangedWhileRead
                | Q::AttachmentMissing
        )
    }
}

impl fmt::Display for QuarantineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A reason with what is particular to one item: a line, a limit, a resource type. Never content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: QuarantineReason,
    detail: Option<Cow<'static, str>>,
}

impl Refusal {
    pub(crate) fn with(reason: QuarantineReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: Some(detail.into()) }
    }

    /// Which reason.
    pub fn reason(&self) -> QuarantineReason {
        self.reason
    }
}

impl From<QuarantineReason> for Refusal {
    fn from(reason: QuarantineReason) -> Self {
        Self { reason, detail: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.advice())?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_reasons_share_a_code_or_advice() {
        let codes: BTreeSet<_> = QuarantineReason::ALL.iter().map(|reason| reason.code()).collect();
        let advice: BTreeSet<_> =
            QuarantineReason::ALL.iter().map(|reason| reason.advice()).collect();
        assert_eq!(codes.len(), QuarantineReason::ALL.len());
        assert_eq!(advice.len(), QuarantineReason::ALL.len());
    }

    #[test]
    fn every_advice_says_what_to_do_after_a_colon() {
        for reason in QuarantineReason::ALL {
            let (what, remedy) = reason.advice().split_once(": ").unwrap();
            assert!(!what.is_empty() && !remedy.is_empty(), "{reason}");
        }
    }

    #[test]
    fn shows_the_detail_after_the_advice() {
        let refusal = Refusal::with(QuarantineReason::LinkBroken, "line 3");
        assert_eq!(refusal.to_string(), "the link leads nowhere: remove it (line 3)");
    }
}
