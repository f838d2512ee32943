//! The development PKI: throw-away CAs, certificates and CRLs for laptops, demos and tests.
//!
//! A federation in production brings its own CA. This crate makes one that obeys the same rules, so that
//! whatever works here works there: ECDSA P-256 keys (gRPC in Python and Node cannot use Ed25519 ones),
//! PKCS#8 PEM that OpenSSL reads, one distinguished name per certificate (with equal names OpenSSL takes a
//! leaf for a self-signed certificate), and the member as a URI SAN `sundbro://<member>`.
//!
//! Nothing here reads the clock: whoever asks brings the [`Validity`], so a test can ask for a certificate
//! that expired yesterday.
//!
//! ```
//! use sundbro_certs::{DevCa, LeafSpec, Validity};
//!
//! let now = "2026-11-22T12:00:00Z".parse()?;
//! let mut ca = DevCa::new("Region H test CA", Validity::days(now, 30)?)?;
//! let leaf = ca.issue(
//!     &LeafSpec::gateway("rigshospitalet.regionh.example", &["localhost", "127.0.0.1"]),
//!     Validity::days(now, 7)?,
//! )?;
//! ca.revoke(leaf.serial(), now);
//! assert!(ca.crl(Validity::days(now, 7)?)?.pem().starts_with("-----BEGIN X509 CRL-----"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ca;
mod files;
mod leaf;
mod validity;

pub use ca::{Crl, DevCa, LoadError, WriteCaError};
pub use files::{WriteError, write_private, write_public};
pub use leaf::{Issued, LeafSpec, Serial};
pub use validity::{Validity, ValidityError};

/// Why a certificate or a CRL was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// X.509 carries names as ASCII; the internationalised form of a host is `xn--…`.
    #[error("`{name}` cannot stand in a certificate: write it in ASCII (hosts: the xn-- form)")]
    Name {
        /// The name that was asked for.
        name: String,
    },
    /// The library that writes certificates refused.
    #[error("the certificate could not be made: check the names and dates that were asked for")]
    Certificate(#[source] rcgen::Error),
    /// What was just written does not parse; the PKI is not usable.
    #[error("the certificate that was made does not parse: report this as a bug")]
    Unreadable,
}
