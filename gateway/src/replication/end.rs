//! Why a session ends, whose fault that is, and what the peer is told about it.

use std::error::Error;

use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::Problem;

use super::{frames, reasons};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// This gateway stops, or a newer session with the same peer takes over.
    #[error("the session was given up here")]
    Stopped,
    /// The number of our start was taken: we say Hello under a higher one.
    #[error("this gateway says Hello again, as a later start")]
    Renumbered,
    /// The peer ended the stream without a word.
    #[error("the peer ended the stream")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The peer ended the stream and said why.
    #[error("the peer ended the stream with {0}")]
    Told(&'static str),
    /// The peer does not take part, by our charter.
    #[error("the peer is not an active member")]
    PeerNotActive,
    /// We do not take part, by our charter.
    #[error("this member is not active in the charter: nothing is replicated until it is again")]
    WeAreNotActive,
    /// The peer broke a rule.
    #[error("{message}")]
    PeerFault {
        /// Constant for programs.
        reason: &'static str,
        /// For people.
        message: String,
        /// The log that it is about.
        log: Option<LogId>,
    },
    /// Something here failed.
    #[error("{0}")]
    OurFault(&'static str, #[source] Box<dyn Error + Send + Sync>),
}

impl SessionEnd {
    /// The peer broke a rule of the stream.
    pub(super) fn fault(reason: &'static str, message: impl Into<String>) -> Self {
        Self::PeerFault { reason, message: message.into(), log: None }
    }

    /// The peer broke a rule about one log.
    pub(super) fn log_fault(reason: &'static str, log: &LogId, message: impl Into<String>) -> Self {
        Self::PeerFault { reason, message: message.into(), log: Some(*log) }
    }

    /// Something here failed.
    pub(super) fn ours(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self::OurFault(what, Box::new(source))
    }

    /// A constant for status, metrics and [`PeerView::cause`](crate::hub::PeerView::cause).
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Stopped | Self::Renumbered => reasons::GOING_AWAY,
            Self::Closed => "CLOSED",
            Self::Broken(_) => "CONNECTION_BROKEN",
            Self::Told(reason) | Self::PeerFault { reason, .. } => reason,
            Self::PeerNotActive | Self::WeAreNotActive => reasons::MEMBER_NOT_ACTIVE,
            Self::OurFault(..) => reasons::INTERNAL,
        }
    }

    /// What the peer is told as the last frame. `None` when it knows, or cannot hear it.
    pub fn problem(&self) -> Option<Problem> {
        let message = match self {
            Self::Closed | Self::Broken(_) | Self::Told(_) => return None,
            Self::Stopped | Self::Renumbered => "this gateway ends the session: call again",
            Self::PeerNotActive => {
                "the charter in force does not list the caller as an active member: \
                 ask the federation's stewards"
            }
            Self::WeAreNotActive => "this gateway's member is not active in the charter in force",
            Self::PeerFault { reason, message, log } => {
                return Some(frames::problem(reason, message, log.as_ref(), true));
            }
            Self::OurFault(..) => "something failed in this gateway: call again later",
        };
        Some(frames::problem(self.cause(), message, None, true))
    }
}
