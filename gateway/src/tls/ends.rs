//! What ends by itself: certificates, revocation lists and CAs, each with the second after which it is no good.

use std::path::PathBuf;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What kind of thing ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndKind {
    /// A certificate of ours, or one that stands above it in our chain.
    Certificate,
    /// A revocation list: after it, a new one should have come.
    RevocationList,
    /// A CA, of the charter or of local clients.
    Authority,
}

impl EndKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Certificate, Self::RevocationList, Self::Authority];

    /// Its name in metrics and log lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::RevocationList => "revocation_list",
            Self::Authority => "ca",
        }
    }

    /// What an operator does about it.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Certificate => {
                "get a new certificate from its CA and replace the file; no restart is needed"
            }
            Self::RevocationList => {
                "fetch a new list from its CA and replace the file; no restart is needed"
            }
            Self::Authority => {
                "the CA needs a new certificate: for one of the charter, the stewards must list it"
            }
        }
    }
}

/// One thing that ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// Its last second, in seconds since 1970.
    pub unix_seconds: i64,
    /// What it is.
    pub kind: EndKind,
    /// Its file; of a CA of the charter, the first 16 hexadecimal digits of its SHA-256.
    pub name: String,
}

impl End {
    /// The soonest end in a chain that lies in a file. `None`: none of it can be read.
    pub(super) fn of_chain(
        kind: EndKind,
        file: &std::path::Path,
        chain: &[CertificateDer<'_>],
    ) -> Option<Self> {
        let unix_seconds = chain.iter().filter_map(not_after).min()?;
        Some(Self { unix_seconds, kind, name: file.display().to_string() })
    }

    /// The end of a CA of the charter. `None`: it cannot be read.
    pub(super) fn of_authority(certificate: &CertificateDer<'_>) -> Option<Self> {
        let digest = super::certificate::fingerprint(certificate);
        let name = hex::encode(&digest[..8]);
        Some(Self { unix_seconds: not_after(certificate)?, kind: EndKind::Authority, name })
    }

    /// When a list should have been replaced.
    pub(super) fn of_list(file: PathBuf, unix_seconds: i64) -> Self {
        let name = file.display().to_string();
        Self { unix_seconds, kind: EndKind::RevocationList, name }
    }
}

/// The last second of a certificate, in seconds since 1970.
fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate.as_ref()).ok()?;
    Some(parsed.validity().not_after.timestamp())
}
