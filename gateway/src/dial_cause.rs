//! Why a peer's gateway was not reached, told apart so that an operator knows whom to call.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsFailure};

use crate::reason::{self, Reason};
use crate::tls::PeerRefusal;

/// The cause of a failed dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DialCause {
    /// The host name does not resolve.
    NameNotResolved,
    /// The machine answers, nothing listens on the port.
    ConnectionRefused,
    /// No answer from the address.
    ConnectionTimedOut,
    /// The connection was closed or silent in the middle of the handshake.
    HandshakeInterrupted,
    /// What answers speaks something else.
    ProtocolMismatch,
    /// The peer's certificate has expired.
    PeerCertificateExpired,
    /// The peer's certificate begins in the future.
    PeerCertificateNotYetValid,
    /// The peer's certificate is on a revocation list.
    PeerCertificateRevoked,
    /// No CA that may certify the peer did.
    PeerCertificateNotTrusted,
    /// The certificate names another member, or none.
    PeerIsAnotherMember,
    /// The certificate does not hold the endpoint's host name.
    PeerNameMismatch,
    /// The peer refuses our certificate.
    OwnCertificateRefused,
}

impl DialCause {
    /// Constant, cause and cure.
    pub fn reason(self) -> Reason {
        match self {
            Self::NameNotResolved => reason::NAME_NOT_RESOLVED,
            Self::ConnectionRefused => reason::CONNECTION_REFUSED,
            Self::ConnectionTimedOut => reason::CONNECTION_TIMED_OUT,
            Self::HandshakeInterrupted => reason::HANDSHAKE_INTERRUPTED,
            Self::ProtocolMismatch => reason::PROTOCOL_MISMATCH,
            Self::PeerCertificateExpired => reason::PEER_CERTIFICATE_EXPIRED,
            Self::PeerCertificateNotYetValid => reason::PEER_CERTIFICATE_NOT_YET_VALID,
            Self::PeerCertificateRevoked => reason::PEER_CERTIFICATE_REVOKED,
            Self::PeerCertificateNotTrusted => reason::PEER_CERTIFICATE_NOT_TRUSTED,
            Self::PeerIsAnotherMember => reason::PEER_IS_ANOTHER_MEMBER,
            Self::PeerNameMismatch => reason::PEER_NAME_MISMATCH,
            Self::OwnCertificateRefused => reason::OWN_CERTIFICATE_REFUSED,
        }
    }

    /// The constant.
    pub fn code(self) -> &'static str {
        self.reason().code
    }

    /// What to do.
    pub fn cure(self) -> &'static str {
        self.reason().cure
    }

    /// Why TCP did not connect.
    pub(crate) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                Self::ConnectionRefused
            }
            _ => Self::ConnectionTimedOut,
        }
    }

    /// Why TLS did not come up, or ended before the peer's first word.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFailure>());
        match inner {
            Some(TlsFailure::InvalidCertificate(error)) => Self::of_certificate(error),
            Some(TlsFailure::AlertReceived(alert)) => Self::of_alert(*alert),
            Some(_) => Self::ProtocolMismatch,
            None => Self::HandshakeInterrupted,
        }
    }

    /// Why we refused the peer.
    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::PeerCertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::PeerCertificateNotYetValid
            }
            CertificateError::Revoked => Self::PeerCertificateRevoked,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::PeerNameMismatch
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<PeerRefusal>() {
                Some(PeerRefusal::CaMayNotCertify { .. } | PeerRefusal::Unreadable) | None => {
                    Self::PeerCertificateNotTrusted
                }
                Some(_) => Self::PeerIsAnotherMember,
            },
            _ => Self::PeerCertificateNotTrusted,
        }
    }

    /// Why the peer refused us.
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => Self::OwnCertificateRefused,
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => {
                Self::HandshakeInterrupted
            }
            _ => Self::ProtocolMismatch,
        }
    }
}
