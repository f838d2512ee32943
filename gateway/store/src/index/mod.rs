//! The index: a fold over verified entries and the blobs that are here; delete it, rebuild it, get the same rows.

mod basis;
mod fold;
mod query;
mod roots;
pub(crate) mod rows;

use sundbro_ledger::evidence::{Evidence, EvidenceEffect};
use sundbro_ledger::history::{CharterHistory, Named};
use sundbro_ledger::ids::{
    Commitment, LeafHash, LogId, MemberName, RecordId, RootHash, SubjectTag,
};
use sundbro_ledger::log::Refusal;
use sundbro_proto::ledger::v1::RecordDetail;

use crate::error::StoreError;

pub(crate) use basis::bind;
pub(crate) use fold::{Late, clear as clear_index, fold_all, fold_into};
pub(crate) use rows::last_event_below;

/// Whose log it is, and how much of it has an effect: the charter history answers, for the evidence too.
pub trait LogOwners {
    /// The member that writes this log, and which of its logs it is, from 1. `None`: no charter here names the log, and
    /// nothing of it is folded yet.
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)>;

    /// The first of a log's first `size` entries that is refused by the charters followed now, though it was verified
    /// once: it and all after it have no effect. `named_at` says what an entry names.
    ///
    /// # Errors
    /// Whatever `named_at` fails with.
    fn first_refused(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError>;

    /// What evidence does to its log, by the charters followed now.
    fn effect(&self, evidence: &Evidence) -> EvidenceEffect;
}

impl LogOwners for CharterHistory {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.member_of_log(log).map(|owner| (owner.member.clone(), owner.epoch))
    }

    fn first_refused(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        CharterHistory::first_refused(self, log, size, named_at)
    }

    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        evidence.effect(self)
    }
}

/// How far a call to [`crate::Store::fold`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoldProgress {
    /// Entries that were folded now.
    pub entries: u64,
    /// Blobs that had been missing and were folded now.
    pub late_blobs: u64,
    /// How many times an entry was judged in its record, each time anew counted.
    pub judged: u64,
    /// Whether everything was folded anew, without what a charter took back.
    pub retracted: bool,
    /// Whether nothing is left to do.
    pub finished: bool,
}

/// What the fold counted in one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexCounts {
    /// Entries folded.
    pub indexed_size: u64,
    /// Blobs for us that are not here.
    pub missing_blobs: u64,
    /// Payloads of a kind that this version does not know.
    pub unknown_payloads: u64,
    /// Valid entries whose payload breaks a rule.
    pub void_payloads: u64,
    /// Payloads that are here and wait for one below them that is not: each may still count, or be void. Nothing is
    /// hidden by them that `missing_blobs` does not tell.
    pub pending_payloads: u64,
}

/// One record, as the index has it.
#[derive(Clone)]
pub struct RecordPointer {
    /// The record; its member is its custodian.
    pub record: RecordId,
    /// Newest version.
    pub version: u32,
    /// Whom it concerns.
    pub subjects: Vec<SubjectTag>,
    /// Where the document stands in its life (number of RecordLifecycle).
    pub lifecycle: i32,
    /// Whether it is withdrawn.
    pub withdrawn: bool,
    /// Why, if it is (number of WithdrawalReason).
    pub withdrawal_reason: i32,
    /// The log that registered it.
    pub log: LogId,
    /// Position of the entry that registered the newest version.
    pub position: u64,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// The author's clock, hours since 1970. Advisory.
    pub recorded_hour: u32,
    /// Commitment of the payload of that entry.
    pub payload: Commitment,
    /// Commitment of the detail.
    pub detail_commitment: Commitment,
    /// The detail. `None` when its blob is not here, or does not describe this version.
    pub detail: Option<RecordDetail>,
    /// A record that supersedes this one.
    pub replaced_by: Option<RecordId>,
}

/// Which records are wanted.
#[derive(Clone, Default)]
pub struct LocateQuery {
    /// Tags of the person, in any epoch: records of all of them.
    pub tags: Vec<SubjectTag>,
    /// Only this class: system and code. Records whose detail is not here are listed all the same.
    pub class: Option<(String, String)>,
    /// Only records whose period ends after this, seconds since 1970.
    pub period_start: Option<i64>,
    /// Only records whose period starts before this.
    pub period_end: Option<i64>,
    /// Only records of this member.
    pub custodian: Option<MemberName>,
    /// Whether withdrawn records are listed too.
    pub show_withdrawn: bool,
    /// At most how many; 1 to 500.
    pub page_size: usize,
    /// Where to go on; empty: at the start.
    pub page_token: Vec<u8>,
}

/// Custodians in order of name, newest registration first within one.
#[derive(Clone, Default)]
pub struct PointerPage {
    /// The pointers.
    pub pointers: Vec<RecordPointer>,
    /// Where to go on. Empty: this was the last page.
    pub next_page_token: Vec<u8>,
}

/// Both roots of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexRoots {
    /// Over the shared rows.
    pub index_root: RootHash,
    /// Over the private rows.
    pub private_root: RootHash,
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The token is not one of ours, or of another query.
    #[error("the page token is not one that this query was given: start again without it")]
    BadPageToken,
    /// Our own disk failed.
    #[error("the index could not be read")]
    Store(#[from] StoreError),
}
