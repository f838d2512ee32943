//! What the command line answers, as types: fields that a test reads, and nothing that it would have to guess.

use serde::Deserialize;

/// One pointer of `record locate` or `record list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Pointer {
    /// `members/<member>/records/<id>`.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Who holds the record.
    pub custodian: String,
    /// Whether it was withdrawn.
    pub withdrawn: bool,
    /// Position of the entry that registers it, in its custodian's log.
    pub position: u64,
    /// The metadata. `None`: its blob is not here yet.
    pub detail: Option<Detail>,
}

/// What a pointer says of its record.
#[derive(Debug, Clone, Deserialize)]
pub struct Detail {
    /// SHA-256 of the content, in hex.
    pub content_sha256: String,
}

impl Pointer {
    /// SHA-256 of the content; empty while the detail is not here.
    pub fn digest(&self) -> &str {
        self.detail.as_ref().map_or("", |detail| &detail.content_sha256)
    }
}

/// How much an answer looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct Coverage {
    /// Whether nothing lacked.
    pub replication_complete: bool,
    /// One sentence.
    pub summary: String,
    /// Version of the charter by which it was judged.
    pub charter_version: u64,
    /// Subject epochs that were searched.
    pub tag_epochs_searched: Vec<u32>,
    /// Subject epochs whose key is not here.
    pub tag_epochs_missing: Vec<u32>,
    /// Each member's log.
    pub logs: Vec<LogCoverage>,
}

impl Coverage {
    /// The log of one member.
    pub fn of(&self, member: &str) -> &LogCoverage {
        let log = self.logs.iter().find(|log| log.member == member);
        log.unwrap_or_else(|| panic!("coverage lists no log of {member}"))
    }
}

/// How much of one log is here.
#[derive(Debug, Clone, Deserialize)]
pub struct LogCoverage {
    /// Whose log.
    pub member: String,
    /// How many entries are here.
    pub committed_size: u64,
    /// How many of them the index has.
    pub indexed_size: u64,
    /// Size of the newest checkpoint that was seen.
    pub newest_checkpoint_size: u64,
    /// Root at `committed_size`, in hex.
    pub root: String,
    /// Whether the member's gateway is reached.
    pub reachable: bool,
    /// Why it is not.
    pub unreachable_cause: String,
    /// Blobs for us that are not here.
    pub missing_blobs: u64,
    /// `LOG_STATE_FOLLOWED`, or what else.
    pub state: String,
    /// Why it is not followed.
    pub state_reason: String,
}

/// The answer of `record locate` and `record list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Pointers {
    /// One for each record.
    pub pointers: Vec<Pointer>,
    /// Only when located.
    pub coverage: Option<Coverage>,
}

/// The answer of `log list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Logs {
    /// Root of the shared index, in hex.
    pub index_root: String,
    /// Each member's log.
    pub logs: Vec<LogCoverage>,
}

/// The answer of `log state`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TransactionState {
    /// Position in the member's own log.
    pub position: u64,
    /// `accepted`, `replicated` or `witnessed`.
    pub state: String,
    /// How many others hold it.
    pub replicated_by: u32,
    /// How many others vouch for it.
    pub witnessed_by: u32,
    /// How many make it witnessed.
    pub witness_quorum: u32,
}

/// The answer of `status`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// How often the gateway was started.
    pub incarnation: u32,
    /// Why nothing is signed; empty: signing goes on.
    pub signing_stopped_reason: String,
    /// What to do about it.
    pub signing_stopped_cure: String,
    /// How much is here.
    pub coverage: Coverage,
    /// The sources.
    pub adapters: Vec<Adapter>,
    /// The last time that every row was looked at. `None`: not once since the start.
    pub scrub: Option<Scrub>,
    /// What was found and is not signed yet.
    pub outbox: Outbox,
}

/// What waits to be signed.
#[derive(Debug, Clone, Deserialize)]
pub struct Outbox {
    /// How many registrations and withdrawals.
    pub waiting: u64,
    /// When the first of them was found.
    pub since_unix_seconds: Option<i64>,
}

/// What a whole scrub found.
#[derive(Debug, Clone, Deserialize)]
pub struct Scrub {
    /// Damaged places, repaired since or not.
    pub findings: u64,
}

/// One source.
#[derive(Debug, Clone, Deserialize)]
pub struct Adapter {
    /// Whether a full scan was taken since the start.
    pub scanned: bool,
    /// Records registered from it.
    pub records: u64,
    /// Items set aside.
    pub quarantined: u64,
}
