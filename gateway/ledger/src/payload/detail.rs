//! The detail of one record version: what a reader needs to choose it.

use core::fmt;

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::values::{
    MAX_LANGUAGE_LEN, MAX_MEDIA_TYPE_LEN, closed_enum, coding, identifier, object_id,
    record_version, text,
};
use super::{RecordVersion, VoidReason};
use crate::blob::{Blob, MAX_BODY_LEN};
use crate::canonical::{self, strictly_ascending};
use crate::ids::{ContentDigest, MemberName};
use crate::transaction::Audience;

/// Most members that a detail names.
pub const MAX_DETAIL_MEMBERS: usize = 256;
/// Most care pathways of one record.
pub const MAX_EPISODES: usize = 16;

/// Who may hold a detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetailAudience {
    /// Every active member.
    All,
    /// These, ascending, at least one.
    Members(Vec<MemberName>),
}

impl DetailAudience {
    /// By which lengths its blob is padded, and with which rows it is counted.
    pub fn kind(&self) -> Audience {
        match self {
            Self::All => Audience::Federation,
            Self::Members(_) => Audience::Limited,
        }
    }
}

/// A detail that keeps every rule of its message.
#[derive(Clone, PartialEq)]
pub struct Detail {
    record: RecordVersion,
    audience: DetailAudience,
    content_sha256: ContentDigest,
    message: v1::RecordDetail,
}

impl Detail {
    /// Parses the blob that a `RecordRegistered` commits to. The caller has compared the commitment.
    ///
    /// # Errors
    /// Says why the detail is void.
    pub fn read(blob: Bytes) -> Result<Self, VoidReason> {
        // The audience that decides the padding stands inside.
        let blob = Blob::parse_any(blob).map_err(VoidReason::Blob)?;
        let detail = Self::parse(blob.body())?;
        blob.check_length(detail.audience.kind()).map_err(VoidReason::Blob)?;
        Ok(detail)
    }

    /// Parses a body.
    ///
    /// # Errors
    /// Says why the detail is void.
    pub fn parse(body: &[u8]) -> Result<Self, VoidReason> {
        let message =
            canonical::decode(body, MAX_BODY_LEN).map_err(|_| VoidReason::NotCanonical)?;
        Self::new(message)
    }

    /// From a message.
    ///
    /// # Errors
    /// Says why the detail would be void.
    pub fn new(message: v1::RecordDetail) -> Result<Self, VoidReason> {
        let wrong = VoidReason::Field;
        let record = record_version(message.record.as_ref(), "record")?;
        let audience = message.audience.as_ref().ok_or(wrong("audience is missing"))?;
        let audience = self::audience(audience)?;
        let content_sha256 = ContentDigest::try_from(&message.content_sha256[..])
            .map_err(|_| wrong("content_sha256 is not 32 bytes"))?;
        coding(message.class.as_ref(), "class")?;
        media_type(&message.media_type)?;
        closed_enum::<v1::Stability>(message.stability, "stability")?;
        period(message.period.as_ref())?;
        identifier(message.author_unit.as_ref(), "author_unit")?;
        coding(message.facility.as_ref(), "facility")?;
        coding(message.practice_setting.as_ref(), "practice_setting")?;
        language(&message.language)?;
        episodes(&message.episodes)?;
        let normal = v1::Confidentiality::Normal;
        if closed_enum::<v1::Confidentiality>(message.confidentiality, "confidentiality")? != normal
            && audience == DetailAudience::All
        {
            return Err(VoidReason::RestrictedForAll);
        }
        Ok(Self { record, audience, content_sha256, message })
    }

    /// The body that says this.
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(&self.message)
    }

    /// The record version that it describes.
    pub fn record(&self) -> &RecordVersion {
        &self.record
    }

    /// Who may hold it.
    pub fn audience(&self) -> &DetailAudience {
        &self.audience
    }

    /// SHA-256 of the record's content.
    pub fn content_sha256(&self) -> ContentDigest {
        self.content_sha256
    }

    /// Length of the record's content in bytes.
    pub fn content_size_bytes(&self) -> u64 {
        self.message.content_size_bytes
    }

    /// All of it.
    pub fn message(&self) -> &v1::RecordDetail {
        &self.message
    }

    /// All of it, to keep.
    pub fn into_message(self) -> v1::RecordDetail {
        self.message
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No class and no period: what kind of document somebody has is theirs.
        write!(f, "detail of {:?} version {}", self.record.record, self.record.version)
    }
}

fn audience(wire: &v1::DetailAudience) -> Result<DetailAudience, VoidReason> {
    let wrong = |problem| Err(VoidReason::Field(problem));
    match (wire.all, wire.members.as_slice()) {
        (true, []) => Ok(DetailAudience::All),
        (false, names @ [_, ..]) => {
            if names.len() > MAX_DETAIL_MEMBERS {
                return wrong("audience names more than 256 members");
            }
            let names: Result<Vec<_>, _> = names.iter().map(|name| MemberName::new(name)).collect();
            let Ok(names) = names else { return wrong("audience holds what is no member name") };
            if !strictly_ascending(&names) {
                return wrong("audience does not ascend");
            }
            Ok(DetailAudience::Members(names))
        }
        _ => wrong("audience is not exactly one of all and members"),
    }
}

fn media_type(media_type: &str) -> Result<(), VoidReason> {
    let problem = "media_type";
    text(media_type, MAX_MEDIA_TYPE_LEN, problem)?;
    let (kind, rest) = media_type.split_once('/').ok_or(VoidReason::Field(problem))?;
    let fits = !kind.is_empty() && !rest.is_empty() && media_type.is_ascii();
    if fits { Ok(()) } else { Err(VoidReason::Field(problem)) }
}

fn period(wire: Option<&v1::ClinicalPeriod>) -> Result<(), VoidReason> {
    let Some(period) = wire else { return Ok(()) };
    match (period.start_unix_seconds, period.end_unix_seconds) {
        (None, None) => Err(VoidReason::Field("period has neither start nor end")),
        (Some(start), Some(end)) if start >= end => {
            Err(VoidReason::Field("period does not end after it starts"))
        }
        _ => Ok(()),
    }
}

fn language(language: &str) -> Result<(), VoidReason> {
    let in_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let fits = language.len() <= MAX_LANGUAGE_LEN && language.bytes().all(in_tag);
    if fits { Ok(()) } else { Err(VoidReason::Field("language")) }
}

fn episodes(wire: &[v1::ObjectId]) -> Result<(), VoidReason> {
    if wire.len() > MAX_EPISODES {
        return Err(VoidReason::Field("episodes are more than 16"));
    }
    let ids = wire.iter().map(|id| object_id(Some(id), "episodes"));
    let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
    if strictly_ascending(&ids) { Ok(()) } else { Err(VoidReason::Field("episodes do not ascend")) }
}
