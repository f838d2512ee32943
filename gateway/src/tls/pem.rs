//! Reads certificates, keys and revocation lists from files, within limits.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};
use zeroize::Zeroizing;

use super::{End, TlsError};

/// Largest certificate or key file in bytes; a chain of ten certificates is 20 KiB.
const MAX_PEM_BYTES: u64 = 1024 * 1024;
/// Largest revocation list in bytes; a national CA's is a few megabytes.
const MAX_CRL_BYTES: u64 = 64 * 1024 * 1024;

/// A PEM chain, at least one certificate.
pub(super) fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(file, MAX_PEM_BYTES)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(malformed(file, "certificate", "write PEM, our certificate first")),
    }
}

/// A private key: PKCS#8 (version 1 or 2), SEC 1 or PKCS#1.
pub(super) fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = Zeroizing::new(read(file, MAX_PEM_BYTES)?);
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| malformed(file, "private key", "write PKCS#8 PEM without a pass phrase"))
}

/// Revocation lists as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    /// The newest first: of two lists of one CA the library looks at the first alone.
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
    /// When each should be replaced. One that does not say is not among them.
    pub(super) ends: Vec<End>,
}

/// Revocation lists, PEM or DER.
pub(super) fn crls(files: &[PathBuf]) -> Result<Lists, TlsError> {
    let (mut lists, mut ends) = (Vec::new(), Vec::new());
    for file in files {
        let bytes = read(file, MAX_CRL_BYTES)?;
        let expected = "revocation list";
        let cure = "write an X.509 CRL as PEM or DER";
        let found: Vec<CertificateRevocationListDer<'static>> = if bytes.starts_with(b"-----") {
            CertificateRevocationListDer::pem_slice_iter(&bytes)
                .collect::<Result<_, _>>()
                .map_err(|_| malformed(file, expected, cure))?
        } else {
            vec![bytes.into()]
        };
        if found.is_empty() {
            return Err(malformed(file, expected, cure));
        }
        for list in found {
            let times = times(file, &list).ok_or_else(|| malformed(file, expected, cure))?;
            ends.extend(times.next.map(|next| End::of_list(file.clone(), next)));
            lists.push((times.issued, list));
        }
    }
    lists.sort_by_key(|(issued, _)| std::cmp::Reverse(*issued));
    Ok(Lists { lists: lists.into_iter().map(|(_, list)| list).collect(), ends })
}

/// In seconds since 1970.
struct Times {
    issued: i64,
    next: Option<i64>,
}

/// When a list was issued and when it is to be replaced. Warns about one that should have been replaced by now.
///
/// An overdue list is still used: what it revokes stays revoked, and a CA that is late must not stop care.
fn times(file: &Path, list: &CertificateRevocationListDer<'_>) -> Option<Times> {
    let (_, parsed) = CertificateRevocationList::from_der(list.as_ref()).ok()?;
    let now = i64::try_from(rustls_pki_types::UnixTime::now().as_secs()).unwrap_or(i64::MAX);
    let next = parsed.next_update().map(|next| next.timestamp());
    if next.is_some_and(|next| next < now) {
        tracing::warn!(file = %file.display(), "revocation list is overdue: fetch a new one from its CA");
    }
    Some(Times { issued: parsed.last_update().timestamp(), next })
}

fn read(file: &Path, limit: u64) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(unreadable)?;
    opened.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(malformed(file, "certificate, key or list of a usual size", "check the path"));
    }
    Ok(bytes)
}

fn malformed(file: &Path, expected: &'static str, cure: &'static str) -> TlsError {
    TlsError::Malformed { file: file.to_owned(), expected, cure }
}
