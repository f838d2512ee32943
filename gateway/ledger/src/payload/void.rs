//! Why a payload or a detail has no effect.

use crate::blob::BlobError;

/// The rule that a payload or a detail breaks. Its entry stays valid.
///
/// [`number`](Self::number) stands in index rows: a number never changes its meaning within a fold version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoidReason {
    /// The blob's length is not the one that the header says.
    #[error("the blob does not have the length that the header says")]
    PayloadSize,
    /// The blob's salt, length or padding.
    #[error("the blob is not framed as it must be")]
    Blob(#[source] BlobError),
    /// The body is not the canonical encoding of a message of its kind.
    #[error("the body is not canonical")]
    NotCanonical,
    /// The body holds no field, several, or one that is no submessage.
    #[error("the body does not say exactly one thing")]
    NotOneKind,
    /// A field has a value that it may not have.
    #[error("field {0}")]
    Field(&'static str),
    /// A record that supersedes itself.
    #[error("the record replaces itself")]
    ReplacesItself,
    /// A detail for everybody of a document that is not for everybody.
    #[error("a restricted document has a detail for all members")]
    RestrictedForAll,
    /// Another member's record.
    #[error("the record belongs to another member than the log")]
    OtherMembersRecord,
    /// Supersedes another member's record.
    #[error("the record that is replaced belongs to another member than the log")]
    ReplacesOtherMembersRecord,
    /// Neither version 1 nor the one after the last.
    #[error("the version does not follow the last one of the record in this log")]
    VersionGap,
    /// Another header audience than version 1 had.
    #[error("the record was registered for another audience")]
    AudienceChanged,
    /// The record was withdrawn before.
    #[error("the record was withdrawn before")]
    AfterWithdrawal,
    /// Withdraws what was never registered in this log.
    #[error("the record was never registered in this log")]
    NotRegistered,
    /// A detail that describes another record or version than the entry beside which it stands.
    #[error("the detail describes another record version")]
    OtherRecordsDetail,
    /// An observation that only some may see.
    #[error("an observation has another header audience than FEDERATION")]
    ObservationNotForAll,
    /// An observation of the log in which it stands.
    #[error("the observation names a head of its own log")]
    ObservesOwnLog,
    /// Another sum of heads than the log's observations come to.
    #[error("the heads after the observation are not those that it commits to")]
    HeadsDoNotFollow,
}

impl VoidReason {
    /// Constant that names the reason.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PayloadSize => "PAYLOAD_SIZE",
            Self::Blob(_) => "BLOB_FRAMING",
            Self::NotCanonical => "BODY_NOT_CANONICAL",
            Self::NotOneKind => "NOT_ONE_KIND",
            Self::Field(_) => "FIELD_VALUE",
            Self::ReplacesItself => "REPLACES_ITSELF",
            Self::RestrictedForAll => "RESTRICTED_FOR_ALL",
            Self::OtherMembersRecord => "OTHER_MEMBERS_RECORD",
            Self::ReplacesOtherMembersRecord => "REPLACES_OTHER_MEMBERS_RECORD",
            Self::VersionGap => "VERSION_GAP",
            Self::AudienceChanged => "AUDIENCE_CHANGED",
            Self::AfterWithdrawal => "AFTER_WITHDRAWAL",
            Self::NotRegistered => "NOT_REGISTERED",
            Self::OtherRecordsDetail => "OTHER_RECORDS_DETAIL",
            Self::ObservationNotForAll => "OBSERVATION_NOT_FOR_ALL",
            Self::ObservesOwnLog => "OBSERVES_OWN_LOG",
            Self::HeadsDoNotFollow => "HEADS_DO_NOT_FOLLOW",
        }
    }

    /// Number of the reason in index rows, from 1.
    pub const fn number(self) -> u8 {
        match self {
            Self::PayloadSize => 1,
            Self::Blob(_) => 2,
            Self::NotCanonical => 3,
            Self::NotOneKind => 4,
            Self::Field(_) => 5,
            Self::ReplacesItself => 6,
            Self::RestrictedForAll => 7,
            Self::OtherMembersRecord => 8,
            Self::ReplacesOtherMembersRecord => 9,
            Self::VersionGap => 10,
            Self::AudienceChanged => 11,
            Self::AfterWithdrawal => 12,
            Self::NotRegistered => 13,
            Self::OtherRecordsDetail => 14,
            Self::ObservationNotForAll => 15,
            Self::ObservesOwnLog => 16,
            Self::HeadsDoNotFollow => 17,
        }
    }
}
