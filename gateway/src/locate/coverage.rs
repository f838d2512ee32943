//! How much an answer looked at: for each log what it was computed from, and what is known to be lacking.
//!
//! Computed before the answer, so that it never claims more than the answer saw. Ages come from a monotonic clock. It
//! says what we do not see, never that something is missing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::MemberEntry;
use sundbro_proto::gateway::v1::{Coverage, LogCoverage, LogState};
use sundbro_store::index::IndexCounts;
use sundbro_store::{LogState as StoredState, LogStatus, Store, StoreError};

use crate::hub::{DAILY_LIMIT, PeerView};
use crate::wire;

/// Most gaps that the sentence for people names; the logs say all of them.
const MAX_GAPS_TOLD: usize = 3;

/// One log, and everything that is known about how current our replica is.
#[derive(Clone)]
pub struct LogView {
    /// Its writer.
    pub member: MemberName,
    /// Which of the writer's log epochs it is.
    pub epoch: u32,
    /// Whether the writer takes part: only then must the log be current.
    pub active: bool,
    /// What is stored.
    pub status: LogStatus,
    /// What is indexed.
    pub counts: IndexCounts,
    /// Its writer's gateway.
    pub peer: Peer,
}

/// What is known about the gateway that writes a log.
#[derive(Clone)]
pub enum Peer {
    /// It is ourselves.
    Ourselves,
    /// It is ourselves, and others may know more of our log than we do; with the reason why nothing is signed.
    OurselvesBehind(&'static str),
    /// Neither tried nor heard of since our start.
    NeverTried,
    /// As the peer table has it.
    Seen(PeerView),
}

/// Which tag epochs an answer searched, against those of the charter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Those of the charter, ascending.
    pub charter: Vec<u32>,
    /// Those whose key is here, ascending.
    pub held: Vec<u32>,
    /// Those that were searched, ascending.
    pub searched: Vec<u32>,
}

/// By what coverage is judged.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How old the knowledge about a peer may be.
    pub max_age: Duration,
    /// Now.
    pub now: Instant,
    /// Charter version in force.
    pub charter_version: u64,
}

/// Why an answer does not cover a log, or an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// The writer's own gateway has told no heads since our start.
    NeverHeard,
    /// It did, too long ago.
    Old(Duration),
    /// A newer checkpoint was seen than what is here.
    Behind(u64),
    /// Others may know more of our own log than we do; with the reason.
    OwnLog(&'static str),
    /// Not everything that is here is in the index yet.
    NotIndexed(u64),
    /// It grew by more than the charter allows in a day, and the rest comes later.
    HeldBack,
    /// The log is followed no further, or waits; with the reason.
    NotFollowed(String),
    /// Blobs for us are not here.
    Blobs(u64),
    /// Payloads are of a kind that we do not know.
    UnknownPayloads(u64),
    /// A tag epoch was not searched.
    Epoch(u32),
}

/// Gathers what is known of every log of the charter. Blocking.
///
/// # Errors
/// When the store cannot be read.
pub fn logs(
    store: &Store,
    history: &CharterHistory,
    peers: &BTreeMap<MemberName, PeerView>,
    own: &MemberName,
) -> Result<Vec<LogView>, StoreError> {
    let mut owners: Vec<_> = history.logs().collect();
    owners.sort_by_key(|(_, owner)| (&owner.member, owner.epoch));
    let view = |(log, owner): (&_, &sundbro_ledger::history::LogOwner)| {
        let entry = history.current().member(&owner.member);
        Ok(LogView {
            member: owner.member.clone(),
            epoch: owner.epoch,
            active: entry.is_some_and(MemberEntry::is_active),
            // Sizes first: what the index counts after that can only be more.
            status: store.log_status(log)?,
            counts: store.index_counts(log)?,
            peer: match peers.get(&owner.member) {
                _ if owner.member == *own => store
                    .signing_stop()
                    .map_or(Peer::Ourselves, |stop| Peer::OurselvesBehind(stop.reason())),
                Some(view) => Peer::Seen(view.clone()),
                None => Peer::NeverTried,
            },
        })
    };
    owners.into_iter().map(view).collect()
}

/// Judges what was gathered.
pub fn coverage(logs: &[LogView], epochs: &Epochs, terms: Terms) -> Coverage {
    let mut gaps: Vec<(Option<&MemberName>, Gap)> = Vec::new();
    for log in logs.iter().filter(|log| log.active) {
        gaps.extend(log.gaps(terms).into_iter().map(|gap| (Some(&log.member), gap)));
    }
    let lacking = |among: &[u32]| -> Vec<u32> {
        epochs.charter.iter().filter(|epoch| !among.contains(epoch)).copied().collect()
    };
    gaps.extend(lacking(&epochs.searched).into_iter().map(|epoch| (None, Gap::Epoch(epoch))));
    Coverage {
        replication_complete: gaps.is_empty(),
        max_age: Some(wire::duration(terms.max_age)),
        logs: logs.iter().map(|log| log.to_wire(terms)).collect(),
        tag_epochs_searched: epochs.searched.clone(),
        tag_epochs_missing: lacking(&epochs.held),
        charter_version: terms.charter_version,
        summary: summary(logs, &gaps),
    }
}

impl LogView {
    /// What an answer from our replica of this log may not have seen.
    pub fn gaps(&self, terms: Terms) -> Vec<Gap> {
        let LogView { status, counts, .. } = self;
        let mut gaps = Vec::new();
        match self.age(terms) {
            None => gaps.push(Gap::NeverHeard),
            Some(age) if age > terms.max_age => gaps.push(Gap::Old(age)),
            Some(_) => {}
        }
        if let Peer::OurselvesBehind(reason) = self.peer {
            gaps.push(Gap::OwnLog(reason));
        }
        if status.newest_seen_size > status.committed_size {
            gaps.push(Gap::Behind(status.newest_seen_size - status.committed_size));
        }
        if self.is_held_back() {
            gaps.push(Gap::HeldBack);
        }
        // What a charter took back has no effect, so the index lacks nothing without it.
        let followed = match status.state {
            StoredState::Stopped { position, .. } | StoredState::Waiting { position, .. } => {
                status.committed_size.min(position)
            }
            _ => status.committed_size,
        };
        if counts.indexed_size < followed {
            gaps.push(Gap::NotIndexed(followed - counts.indexed_size));
        }
        if let (_, Some((reason, _))) = stored(&status.state) {
            gaps.push(Gap::NotFollowed(reason.to_owned()));
        }
        if counts.missing_blobs > 0 {
            gaps.push(Gap::Blobs(counts.missing_blobs));
        }
        if counts.unknown_payloads > 0 {
            gaps.push(Gap::UnknownPayloads(counts.unknown_payloads));
        }
        gaps
    }

    /// The state, and for a log that is not followed the reason and the position.
    pub fn state(&self) -> (LogState, Option<(&str, u64)>) {
        match stored(&self.status.state) {
            (LogState::Followed, None) if self.is_held_back() => {
                (LogState::Waiting, Some((DAILY_LIMIT, self.status.committed_size)))
            }
            other => other,
        }
    }

    /// Whether entries that were seen are not fetched since the log grew too much today.
    fn is_held_back(&self) -> bool {
        let grew = matches!(&self.peer, Peer::Seen(view) if view.held_back);
        grew && self.status.newest_seen_size > self.status.committed_size
    }

    /// Time since the writer's own gateway last told its heads.
    fn age(&self, terms: Terms) -> Option<Duration> {
        match &self.peer {
            Peer::Ourselves | Peer::OurselvesBehind(_) => Some(Duration::ZERO),
            Peer::NeverTried => None,
            Peer::Seen(view) => Some(terms.now.saturating_duration_since(view.heads_at?)),
        }
    }

    fn to_wire(&self, terms: Terms) -> LogCoverage {
        let LogView { status, counts, .. } = self;
        let (reachable, since, cause) = match &self.peer {
            Peer::Ourselves | Peer::OurselvesBehind(_) => (true, None, None),
            Peer::NeverTried => (false, None, None),
            Peer::Seen(view) => {
                // Before its first Hello a peer was never reachable, whatever the row's age.
                let was = view.incarnation > 0 || view.heads_at.is_some();
                (view.reachable, (!view.reachable && was).then_some(view.since), view.cause)
            }
        };
        let (state, stopped) = self.state();
        let (state_reason, state_position) = stopped.unwrap_or_default();
        LogCoverage {
            member: self.member.to_string(),
            log_id: Bytes::copy_from_slice(status.log.as_bytes()),
            committed_size: status.committed_size,
            verified_size: status.committed_size,
            indexed_size: counts.indexed_size,
            root: match status.committed_size {
                0 => Bytes::new(),
                _ => Bytes::copy_from_slice(status.root.as_bytes()),
            },
            newest_checkpoint_size: status.newest_seen_size,
            age: self.age(terms).map(wire::duration),
            reachable,
            unreachable_for: since
                .map(|since| wire::duration(terms.now.saturating_duration_since(since))),
            unreachable_cause: match reachable {
                true => String::new(),
                false => cause.unwrap_or_default().to_owned(),
            },
            missing_blobs: counts.missing_blobs,
            unknown_payloads: counts.unknown_payloads,
            state: state.into(),
            state_reason: state_reason.to_owned(),
            state_position,
        }
    }
}

/// The state as the store has it.
fn stored(state: &StoredState) -> (LogState, Option<(&str, u64)>) {
    match state {
        StoredState::Followed => (LogState::Followed, None),
        StoredState::Stopped { position, reason } => (LogState::Stopped, Some((reason, *position))),
        StoredState::Stalled { position, reason } => (LogState::Stalled, Some((reason, *position))),
        StoredState::Waiting { position, reason } => (LogState::Waiting, Some((reason, *position))),
    }
}

fn summary(logs: &[LogView], gaps: &[(Option<&MemberName>, Gap)]) -> String {
    let count = logs.iter().filter(|log| log.active).count();
    if gaps.is_empty() {
        return format!(
            "Everything that {count} logs of active members have published is in this answer."
        );
    }
    let mut text = String::from("More may have been published than this answer saw: ");
    for (at, (member, gap)) in gaps.iter().take(MAX_GAPS_TOLD).enumerate() {
        let comma = if at == 0 { "" } else { "; " };
        // Writing to a String does not fail.
        let _ = match member {
            Some(member) => write!(text, "{comma}{member}: {gap}"),
            None => write!(text, "{comma}{gap}"),
        };
    }
    if gaps.len() > MAX_GAPS_TOLD {
        let _ = write!(text, "; and {} more", gaps.len() - MAX_GAPS_TOLD);
    }
    text.push('.');
    text
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NeverHeard => f.write_str("its gateway was not heard since this one started"),
            Self::Old(age) => write!(f, "its gateway was last heard {} s ago", age.as_secs()),
            Self::Behind(entries) => write!(f, "{entries} entries are on their way"),
            Self::HeldBack => {
                write!(f, "its log grew by more than the charter allows in a day ({DAILY_LIMIT})")
            }
            Self::OwnLog(reason) => write!(f, "others may know more of our own log ({reason})"),
            Self::NotIndexed(entries) => write!(f, "{entries} entries are being indexed"),
            Self::NotFollowed(reason) => write!(f, "its log is not followed ({reason})"),
            Self::Blobs(blobs) => write!(f, "{blobs} payloads or details are on their way"),
            Self::UnknownPayloads(payloads) => {
                write!(f, "{payloads} payloads are of a kind that a newer version knows")
            }
            Self::Epoch(epoch) => write!(f, "subject epoch {epoch} was not searched"),
        }
    }
}

#[cfg(test)]
mod tests;
