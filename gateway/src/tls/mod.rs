//! Who is at the other end of a connection, decided before a byte of ours is read.
//!
//! Between gateways: mutual TLS 1.3, a chain to a CA that may certify that member, no revoked certificate, exactly
//! one URI SAN `sundbro://<member>`. No session is ever resumed, since a resumed one skips all of that; material is
//! reloaded without restart, and a connection whose peer would no longer get in is closed.

pub mod certificate;
mod ends;
mod federation;
mod local;
mod own;
mod pem;
#[cfg(test)]
mod tests;
mod trust;
mod verify;
mod watch;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use ends::{End, EndKind};
pub use federation::FederationTls;
pub use local::LocalTls;
pub use trust::{Standing, TrustBook};
pub use verify::PeerRefusal;
pub(crate) use verify::Role;
pub use watch::{Reload, watch_files};

use crate::reason::{self, Reason};
use crate::status::{Culprit, Fault, Retry, Situation};

/// The cryptography of every TLS connection: aws-lc-rs, with its post-quantum key exchange first.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Draws the first random bytes, so that a machine without entropy fails at the start and not in a handshake.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn draw_first_random() -> Result<(), TlsError> {
    provider().secure_random.fill(&mut [0; 32]).map_err(|_| TlsError::NoRandomness)
}

/// Why TLS material was not taken into use. The material before it stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file} cannot be read: check that it exists and that the gateway's user may read it")]
    Unreadable {
        /// The file.
        file: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{file} holds no {expected}: {cure}")]
    Malformed {
        /// The file.
        file: std::path::PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// The key is not the certificate's.
    #[error("{key} is not the key of {certificate}: put the pair in place together")]
    WrongKey {
        /// The key file.
        key: std::path::PathBuf,
        /// The certificate file.
        certificate: std::path::PathBuf,
        /// What the TLS library says.
        #[source]
        source: rustls::Error,
    },
    /// gRPC clients in Python and Node cannot use such a key.
    #[error(
        "{key} is an Ed25519 key, which gRPC in Python and Node cannot use: make an ECDSA P-256 key"
    )]
    Ed25519Key {
        /// The key file.
        key: std::path::PathBuf,
    },
    /// The certificate does not name us.
    #[error(
        "{certificate} does not certify {member}: it needs exactly one URI SAN sundbro://{member}"
    )]
    NotOurs {
        /// The certificate file.
        certificate: std::path::PathBuf,
        /// Our member name.
        member: sundbro_ledger::ids::MemberName,
        /// What it says instead.
        #[source]
        source: PeerRefusal,
    },
    /// A revocation list, or a CA certificate of local clients, cannot be used.
    #[error(
        "a trusted CA certificate or revocation list cannot be used: check each with `openssl`"
    )]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The TLS library refuses the settings.
    #[error("the TLS library refuses its settings: report this as a defect")]
    Settings(#[source] rustls::Error),
    /// No randomness.
    #[error(
        "the operating system gives no random bytes: check /dev/urandom and the container's seccomp profile"
    )]
    NoRandomness,
}

impl Fault for TlsError {
    fn culprit(&self) -> Culprit {
        Culprit::Us
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }

    fn reason(&self) -> Reason {
        reason::TLS_MATERIAL_UNUSABLE
    }

    fn situation(&self) -> Situation {
        Situation::OurFault
    }
}
