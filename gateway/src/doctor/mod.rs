//! Finds out what is wrong with a gateway, or with the way to a peer, and says what to do.
//!
//! It works from the configuration and the data folder, beside a running gateway or without one, and changes nothing. What
//! a look needs that is itself broken is not looked at, and the report says so.

mod ground;
mod host;
mod local;
mod peer;

pub use ground::Ground;
pub use local::examine;
pub use peer::{Peer, STEPS, examine_peer};

use crate::cli::Exit;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it belongs to: a category of the machine, or a step on the way to a peer.
    pub category: &'static str,
    /// What was found.
    pub says: String,
    /// Whether it is good.
    pub finding: Finding,
}

/// Whether something is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is.
    Good,
    /// It works, and should be looked after.
    Warning {
        /// What to do.
        cure: String,
    },
    /// It is broken.
    Failed {
        /// What to do.
        cure: String,
        /// How a command that finds this first ends.
        exit: Exit,
    },
    /// It was not looked at, because something that it needs is broken.
    NotLookedAt,
}

impl Finding {
    /// Its name for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning { .. } => "warning",
            Self::Failed { .. } => "failed",
            Self::NotLookedAt => "not_looked_at",
        }
    }

    /// What to do. `None`: nothing.
    pub fn cure(&self) -> Option<&str> {
        match self {
            Self::Warning { cure } | Self::Failed { cure, .. } => Some(cure),
            Self::Good | Self::NotLookedAt => None,
        }
    }
}

/// Collects checks of one category after the other.
#[derive(Debug, Default)]
pub(crate) struct Report {
    category: &'static str,
    checks: Vec<Check>,
}

impl Report {
    pub(crate) fn category(&mut self, category: &'static str) {
        self.category = category;
    }

    pub(crate) fn good(&mut self, says: impl Into<String>) {
        self.put(says, Finding::Good);
    }

    pub(crate) fn warning(&mut self, says: impl Into<String>, cure: impl Into<String>) {
        self.put(says, Finding::Warning { cure: cure.into() });
    }

    pub(crate) fn failed(&mut self, exit: Exit, says: impl Into<String>, cure: impl Into<String>) {
        self.put(says, Finding::Failed { cure: cure.into(), exit });
    }

    pub(crate) fn not_looked_at(&mut self, why: impl Into<String>) {
        self.put(why, Finding::NotLookedAt);
    }

    pub(crate) fn done(self) -> Vec<Check> {
        self.checks
    }

    fn put(&mut self, says: impl Into<String>, finding: Finding) {
        self.checks.push(Check { category: self.category, says: says.into(), finding });
    }
}
