//! The one place that decides whether a record may leave: `decide(request, resource)`, deny by default.
//!
//! Behind the seam stands Cedar (cedarpolicy.com): rules in files of a folder, each with a name and a sentence, judged by
//! the schema of this version. `docs/policy.md` says how to write one. Membership is checked before anything comes here.

mod book;
pub mod defaults;
mod entities;
mod error;
pub mod explain;
pub mod facts;
mod folder;
mod lint;
mod rule;
mod set;
pub mod table;
#[cfg(test)]
mod tests;
mod watch;

use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::MemberRole;
use sundbro_proto::ledger::v1::{Assurance, BreakGlassReason, Confidentiality, PurposeOfUse};

pub use book::{PolicyBook, PolicyState, Refreshed};
pub use error::{PolicyError, Problem};
pub use folder::{Found, Source, find};
pub use lint::{Warning, lint};
pub use rule::{Effect, Rule};
pub use set::Policy;
pub use watch::watch;

/// Longest rule id in bytes: it travels in every grant.
pub const MAX_RULE_ID_BYTES: usize = 64;
/// Stands in a decision where no rule permitted.
pub const DEFAULT_RULE: &str = "default-deny";
/// Stands in a decision where a rule could not be evaluated. Nothing is permitted then: it may have been one that forbids.
pub const RULE_FAILED: &str = "rule-failed";
/// Stands for a rule where the record does not exist: nothing permitted it, whatever the policy says.
pub const NO_SUCH_RECORD: &str = "no-such-record";
/// How the id of a rule that lets the glass be broken begins, and of no other.
pub const BREAK_GLASS_PREFIX: &str = "break-glass-";

/// Who asks, and why: the signed request, as far as policy reads it, and what the charter says of the requester.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The member that asks. Active: that was checked before.
    pub requester: MemberName,
    /// What kind of organisation it is, by the charter in force.
    pub requester_roles: Vec<MemberRole>,
    /// The user, as the requester's systems name them.
    pub user: String,
    /// The user's role.
    pub role: String,
    /// The user's unit, (system, value). `None`: none is known.
    pub unit: Option<(String, String)>,
    /// Why. `Unspecified`: for something that this version does not know, which no rule permits.
    pub purpose: PurposeOfUse,
    /// Why the glass is broken. `Unspecified` when it is not.
    pub break_glass: BreakGlassReason,
    /// How the requester knows all this.
    pub assurance: Assurance,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user is left out: it names a person to whoever can ask the requester.
        write!(f, "Request({} as {} for {:?}", self.requester, self.role, self.purpose)?;
        write!(f, ", {:?}, {:?})", self.break_glass, self.assurance)
    }
}

/// What is asked for. An absent record is judged too, as a fixed decoy, so that both take the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Who answers for it.
    pub custodian: MemberName,
    /// How confidential it is. Whatever this version does not know counts as very restricted.
    pub confidentiality: Confidentiality,
    /// Class of the document: code system and code. `None` when the source does not say.
    pub class: Option<(String, String)>,
    /// The unit in which it was written, (system, value). `None` when the source does not say.
    pub author_unit: Option<(String, String)>,
}

impl Resource {
    /// Stands for a record that is not here. It has everything that a record can have, so that rules which look at it
    /// have as much to look at.
    pub fn decoy(custodian: MemberName) -> Self {
        let nothing = || Some(("urn:decoy".to_owned(), "0".to_owned()));
        let confidentiality = Confidentiality::Normal;
        Self { custodian, confidentiality, class: nothing(), author_unit: nothing() }
    }
}

/// What was decided, by which rule of which policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether the record may leave.
    pub permit: bool,
    /// The rule that decided; [`DEFAULT_RULE`] when none did, [`RULE_FAILED`] when one could not be evaluated.
    pub rule: String,
    /// The decision in a sentence, for the operator.
    pub sentence: String,
    /// The policy: SHA-256 over its schema and files.
    pub policy_sha256: [u8; 32],
}
