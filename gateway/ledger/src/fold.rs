//! What payloads do to the index: who may say what about a record, and which rows follow from it.
//!
//! Nothing here depends on when a blob arrived. A record is judged by the entries of its log that name it, in order of
//! position, and by nothing else; so a blob that comes late makes one record be judged again, from its first entry, and
//! the rows are those that it would have had in time.
//!
//! As long as a payload for everybody is not here, nobody can say whom it names. What lies above it in the log and could
//! hang on it is pending, not void; so the last such payload to come makes those be judged again, whomever they name.
//!
//! Observations are judged in order of position, each by the heads after those before it: no earlier than every payload for
//! everybody below is here.
//!
//! Shared rows follow from FEDERATION payloads and details for all, private rows from the others. A private payload
//! never changes a shared row: those who do not hold it must come to the same rows.

mod memory;
mod observed;
mod rows;

use bytes::Bytes;

pub use memory::MemoryIndex;
pub use observed::Heads;
pub use rows::{RootHasher, Row, RowOrderError, View};

use crate::ids::{Commitment, LeafHash, LogId, MemberName, RecordId, SubjectTag};
use crate::payload::{
    Detail, Payload, RecordRegistered, RecordVersion, RecordWithdrawn, VoidReason,
};
use crate::transaction::{Audience, Header};

/// Version of these rules and rows. Part of every index root, so that two versions never compare theirs by mistake.
///
/// It rises with every change of what an entry does, also when a kind of payload becomes known that was not: an index
/// that was folded under another version is folded anew.
pub const FOLD_VERSION: u32 = 2;

/// What an entry does to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A record exists, or has a new version.
    Registered,
    /// A record is withdrawn.
    Withdrawn,
    /// Its author vouches for heads of other logs.
    Observed,
    /// Nothing: the payload breaks a rule.
    Void(VoidReason),
    /// Nothing yet: a kind from the future.
    Unknown {
        /// Its field number.
        kind: u32,
    },
    /// Nothing yet: the payload is not here, or one below it that may be what it lacks: the version, registration or
    /// observation before it.
    Pending,
}

/// A record, as far as the next entry about it is judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordState {
    /// Newest version, which is how many there are.
    pub versions: u32,
    /// Header audience of all of them.
    pub audience: Audience,
    /// Whether it is withdrawn.
    pub withdrawn: bool,
}

/// Judges what an entry says about a record, by what the log said before.
///
/// `member` is the log's owner and `state` the record of that id in this log. `payload` is `None` when it is not here;
/// one that does not parse is void for the reason that [`Payload::read`] gave. `missing_below` says that a payload of
/// header audience FEDERATION at a lower position of the log is not here. A limited one that is withheld does not count:
/// it changes no shared row, and whoever does not get it would wait for ever.
///
/// An observation is about no record: [`Heads::judge`] does it, which knows the heads before it. Here it is pending.
pub fn judge(
    member: &MemberName,
    header: &Header,
    payload: Option<&Payload>,
    state: Option<&RecordState>,
    missing_below: bool,
) -> Effect {
    // To the shared rows a record that only some may know does not exist, not even in what it would make void.
    let state = state.filter(|state| {
        header.audience == Audience::Limited || state.audience == Audience::Federation
    });
    let judged = match payload {
        None | Some(Payload::Observed(_)) => return Effect::Pending,
        Some(Payload::Unknown { kind }) => return Effect::Unknown { kind: *kind },
        Some(Payload::Registered(it)) => {
            judge_registered(member, header, it, state).map(|()| Effect::Registered)
        }
        Some(Payload::Withdrawn(it)) => {
            judge_withdrawn(member, header, it, state).map(|()| Effect::Withdrawn)
        }
    };
    match judged {
        Ok(effect) => effect,
        // What more of the log can mend. Every other rule stays broken, whatever the missing payload says.
        Err(VoidReason::VersionGap | VoidReason::NotRegistered) if missing_below => Effect::Pending,
        Err(reason) => Effect::Void(reason),
    }
}

fn judge_registered(
    member: &MemberName,
    header: &Header,
    it: &RecordRegistered,
    state: Option<&RecordState>,
) -> Result<(), VoidReason> {
    if it.record.member != *member {
        return Err(VoidReason::OtherMembersRecord);
    }
    // Every object has one writer: nobody supersedes what another member answers for.
    if it.replaces.as_ref().is_some_and(|replaced| replaced.record.member != *member) {
        return Err(VoidReason::ReplacesOtherMembersRecord);
    }
    let next = match state {
        None => Some(1),
        Some(state) => {
            check_goes_on(header, state)?;
            state.versions.checked_add(1)
        }
    };
    if next == Some(it.version) { Ok(()) } else { Err(VoidReason::VersionGap) }
}

fn judge_withdrawn(
    member: &MemberName,
    header: &Header,
    it: &RecordWithdrawn,
    state: Option<&RecordState>,
) -> Result<(), VoidReason> {
    if it.record.member != *member {
        return Err(VoidReason::OtherMembersRecord);
    }
    check_goes_on(header, state.ok_or(VoidReason::NotRegistered)?)
}

fn check_goes_on(header: &Header, state: &RecordState) -> Result<(), VoidReason> {
    if state.audience != header.audience {
        return Err(VoidReason::AudienceChanged);
    }
    if state.withdrawn { Err(VoidReason::AfterWithdrawal) } else { Ok(()) }
}

/// Judges the detail that stands beside a registration. The caller has compared the commitment.
///
/// # Errors
/// Says why the detail is void; the registration is not.
pub fn judge_detail(record: &RecordVersion, blob: Bytes) -> Result<Detail, VoidReason> {
    let detail = Detail::read(blob)?;
    if detail.record() == record { Ok(detail) } else { Err(VoidReason::OtherRecordsDetail) }
}

/// A record as the entries of one log make it. Its rows are those of the newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The log.
    pub log_id: LogId,
    /// Its id and newest version.
    pub newest: RecordVersion,
    /// Who may hold its payloads.
    pub audience: Audience,
    /// Number of `RecordLifecycle`.
    pub lifecycle: i32,
    /// Number of `WithdrawalReason`; `None`: it is not withdrawn.
    pub withdrawn: Option<i32>,
    /// Position of the entry that registered the newest version.
    pub position: u64,
    /// Leaf hash of that entry.
    pub leaf: LeafHash,
    /// Commitment of the newest version's detail.
    pub detail_commitment: Commitment,
    /// Whom the newest version concerns.
    pub subjects: Vec<SubjectTag>,
}

impl Record {
    /// By what the next entry about it is judged.
    pub fn state(&self) -> RecordState {
        RecordState {
            versions: self.newest.version,
            audience: self.audience,
            withdrawn: self.withdrawn.is_some(),
        }
    }

    /// Judges an entry and gives the record after it.
    ///
    /// `before` is the record that the entries before it made, if any did; it is given back when the entry has no
    /// effect. `missing_below` is that of [`judge`].
    pub fn apply(
        before: Option<Self>,
        member: &MemberName,
        header: &Header,
        leaf: LeafHash,
        payload: &Payload,
        missing_below: bool,
    ) -> (Effect, Option<Self>) {
        let state = before.as_ref().map(Self::state);
        let effect = judge(member, header, Some(payload), state.as_ref(), missing_below);
        let after = match (effect, payload, before) {
            (Effect::Registered, Payload::Registered(it), _) => Some(Self {
                log_id: header.log_id,
                newest: RecordVersion { record: it.record.clone(), version: it.version },
                audience: header.audience,
                lifecycle: it.lifecycle,
                withdrawn: None,
                position: header.position,
                leaf,
                detail_commitment: it.detail_commitment,
                subjects: it.subjects.clone(),
            }),
            (Effect::Withdrawn, Payload::Withdrawn(it), Some(record)) => {
                Some(Self { withdrawn: Some(it.reason), ..record })
            }
            (_, _, before) => before,
        };
        (effect, after)
    }

    /// Its id.
    pub fn id(&self) -> &RecordId {
        &self.newest.record
    }

    /// Its rows, without those of its detail and of what it replaces: private if its audience is limited.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = vec![Row::record(self)];
        let subject = |tag| Row::subject(tag, &self.log_id, self.position, self.id());
        rows.extend(self.subjects.iter().map(subject));
        rows
    }

    /// The row of its newest version's detail, and among whose rows it counts.
    ///
    /// A void detail does not say who may know it, so it counts among those of its record.
    pub fn detail_row(&self, detail: Bytes) -> (Audience, Row) {
        match judge_detail(&self.newest, detail) {
            Ok(detail) => {
                let named = detail.audience().kind() == Audience::Limited;
                let audience = if named { Audience::Limited } else { self.audience };
                (audience, Row::detail(self, &detail))
            }
            Err(reason) => (self.audience, Row::void_detail(self, reason)),
        }
    }
}

#[cfg(test)]
mod tests;
