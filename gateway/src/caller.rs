//! Who calls: what a handshake proved, put into every request of its connection.

use std::sync::Arc;

use sundbro_ledger::ids::MemberName;
use sundbro_proto::ledger::v1::PurposeOfUse;

use crate::config::ClientRule;
use crate::reason::{self, Reason};
use crate::status::{self, Culprit, Fault, Retry, Situation};

/// The member at the other end of a federation connection.
///
/// Its certificate is good and a CA of the charter may certify it; whether it is an *active* member is asked of the
/// charter at each use, since that can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    member: MemberName,
}

impl Peer {
    pub(crate) fn new(member: MemberName) -> Self {
        Self { member }
    }

    /// Its member name, as its certificate says.
    pub fn member(&self) -> &MemberName {
        &self.member
    }

    /// The peer that sent this request.
    ///
    /// # Errors
    /// Only on a service that does not stand behind the federation listener.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, tonic::Status> {
        request.extensions().get().ok_or_else(|| status::of(&CallerError::NoCertificate))
    }
}

/// The local system at the other end, and what the configuration lets it state about its users.
#[derive(Debug, Clone)]
pub struct LocalClient {
    rule: Arc<ClientRule>,
}

impl LocalClient {
    pub(crate) fn new(rule: Arc<ClientRule>) -> Self {
        Self { rule }
    }

    /// The client that sent this request.
    ///
    /// # Errors
    /// When it showed no certificate that the configuration names.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, tonic::Status> {
        request.extensions().get().ok_or_else(|| status::of(&CallerError::NoCertificate))
    }

    /// Its name in the configuration, for logs and audit.
    pub fn name(&self) -> &str {
        &self.rule.name
    }

    /// Whether it may call `AdminService`.
    pub fn is_operator(&self) -> bool {
        self.rule.operator
    }

    /// Whether it may read the audit log.
    pub fn is_auditor(&self) -> bool {
        self.rule.auditor
    }

    /// Checks what the client states about its user.
    ///
    /// # Errors
    /// Names the first of role, unit (system, value; `None`: none is stated) and purpose that the configuration does not let it state.
    pub fn may_state(
        &self,
        role: &str,
        unit: Option<(&str, &str)>,
        purpose: PurposeOfUse,
    ) -> Result<(), CallerError> {
        let refuse = |field| CallerError::MayNotState { client: self.rule.name.clone(), field };
        if !self.rule.roles.contains(role) {
            return Err(refuse("role"));
        }
        let stated = |unit| {
            self.rule.units.iter().any(|(system, value)| (system.as_str(), value.as_str()) == unit)
        };
        // Who states no unit claims to speak for none.
        if !unit.is_none_or(stated) {
            return Err(refuse("unit"));
        }
        if !self.rule.purposes.contains(&purpose) {
            return Err(refuse("purpose"));
        }
        Ok(())
    }
}

/// Why a caller is not served, whatever it asks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallerError {
    /// No certificate was shown.
    #[error("no client certificate: connect with one that [[local.clients]] names")]
    NoCertificate,
    /// A good certificate of nobody in particular.
    #[error("the client certificate is of nobody that [[local.clients]] names: add it there")]
    UnknownClient,
    /// The call is for operators.
    #[error(
        "{client} is no operator: set `operator = true` for it in [[local.clients]] if it should be"
    )]
    NotOperator {
        /// The client's name.
        client: String,
    },
    /// The call is for auditors.
    #[error(
        "{client} is no auditor: set `auditor = true` for it in [[local.clients]] if it should be"
    )]
    NotAuditor {
        /// The client's name.
        client: String,
    },
    /// The statement is not this client's to make.
    #[error("{client} may not state this {field}: allow it in [[local.clients]] if it should")]
    MayNotState {
        /// The client's name.
        client: String,
        /// `role`, `unit` or `purpose`.
        field: &'static str,
    },
}

impl Fault for CallerError {
    fn culprit(&self) -> Culprit {
        Culprit::Caller
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        match self {
            Self::NoCertificate => reason::NO_CLIENT_CERTIFICATE,
            Self::UnknownClient => reason::UNKNOWN_CLIENT,
            Self::NotOperator { .. } => reason::NOT_OPERATOR,
            Self::NotAuditor { .. } => reason::NOT_AUDITOR,
            Self::MayNotState { .. } => reason::MAY_NOT_STATE,
        }
    }

    fn situation(&self) -> Situation {
        match self {
            Self::NoCertificate | Self::UnknownClient => Situation::Unauthenticated,
            Self::NotOperator { .. } | Self::NotAuditor { .. } | Self::MayNotState { .. } => {
                Situation::NotPermitted
            }
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NoCertificate | Self::UnknownClient => Vec::new(),
            Self::NotOperator { client } | Self::NotAuditor { client } => {
                vec![("client", client.clone())]
            }
            Self::MayNotState { client, field } => {
                vec![("client", client.clone()), ("field", (*field).to_owned())]
            }
        }
    }
}
