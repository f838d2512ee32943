//! What the charter says about trust, as far as TLS needs it.

use std::fmt;

use rustls_pki_types::CertificateDer;
use sundbro_ledger::ids::MemberName;

/// Where a member stands in the charter in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Takes part.
    Active,
    /// Gets charters and the Problem `MEMBER_NOT_ACTIVE`, nothing else.
    Suspended,
    /// As suspended, for good.
    Left,
    /// The charter does not list it.
    Unknown,
}

/// The charter's word on CAs and members. Asked anew at every handshake and every reload.
pub trait TrustBook: Send + Sync + fmt::Debug {
    /// The DER certificates of all CAs of the charter in force.
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>>;

    /// Whether the CA with this SHA-256 of its DER certificate may certify `member`.
    fn may_certify(&self, ca_sha256: &[u8; 32], member: &MemberName) -> bool;

    /// Where `member` stands. Whether a connection is *made* does not depend on it, since a suspended member must
    /// still learn the charter that says so; a change closes the member's open connections.
    fn member_state(&self, member: &MemberName) -> Standing;
}
