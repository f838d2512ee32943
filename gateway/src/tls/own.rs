//! Our own certificate and key.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use sundbro_ledger::ids::MemberName;

use super::{TlsError, certificate, pem};
use crate::config::TlsFiles;

/// Reads the pair and checks that it is one, of a kind that every gRPC client can use.
pub(super) fn load(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = pem::chain(&files.certificate)?;
    let key = pem::key(&files.key)?;
    let pair =
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::WrongKey {
            key: files.key.clone(),
            certificate: files.certificate.clone(),
            source,
        })?;
    if pair.key.algorithm() == SignatureAlgorithm::ED25519 {
        return Err(TlsError::Ed25519Key { key: files.key.clone() });
    }
    Ok(pair)
}

/// As [`load`], and the certificate must name `member`: with another one no peer would let us in.
pub(super) fn load_member(
    files: &TlsFiles,
    member: &MemberName,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, TlsError> {
    let pair = load(files, provider)?;
    let refuse = |source| TlsError::NotOurs {
        certificate: files.certificate.clone(),
        member: member.clone(),
        source,
    };
    let first = pair.cert.first().ok_or_else(|| refuse(super::PeerRefusal::Unreadable))?;
    let found = certificate::member_of(first).map_err(refuse)?;
    if found != *member {
        return Err(refuse(super::PeerRefusal::OtherMember { found, expected: member.clone() }));
    }
    Ok(Arc::new(pair.into()))
}
