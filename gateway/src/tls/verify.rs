//! Judges the certificate of a peer gateway: which member it names, and whether a CA that may say so says so.
//!
//! The chain, the times, the key usage and the revocation lists are webpki's work; one webpki verifier is kept for
//! each CA, since webpki does not say which CA it found and the charter trusts each for certain members only.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use sundbro_ledger::ids::MemberName;

use super::certificate::{fingerprint, member_of};
use super::{TlsError, TrustBook};

/// Why a certificate that may be perfect in itself does not get a gateway in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerRefusal {
    /// Not a certificate that we can read.
    #[error("the certificate cannot be read: issue it anew")]
    Unreadable,
    /// It names no member.
    #[error("the certificate names no member: issue it with one URI SAN sundbro://<member>")]
    NoMember,
    /// It names more than one.
    #[error("the certificate names several members: issue one certificate for each")]
    SeveralMembers,
    /// It names something that is not a member name.
    #[error("the certificate's URI SAN sundbro://… is not a member name: issue it anew")]
    MalformedMember,
    /// It names a member, but not the one that was called.
    #[error(
        "the certificate is of {found}, not of {expected}: check the endpoint in the charter and [dial]"
    )]
    OtherMember {
        /// Who answered.
        found: MemberName,
        /// Who was called.
        expected: MemberName,
    },
    /// Its CA is trusted, but not for this member.
    #[error(
        "its CA may not certify {member}: get a certificate from a CA that the charter lists for it"
    )]
    CaMayNotCertify {
        /// The member that it names.
        member: MemberName,
    },
}

impl From<PeerRefusal> for Error {
    fn from(refusal: PeerRefusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// One CA of the charter, with a verifier that trusts nothing else.
#[derive(Debug)]
struct Anchor {
    sha256: [u8; 32],
    of_clients: Arc<dyn ClientCertVerifier>,
    of_servers: Arc<WebPkiServerVerifier>,
}

/// How the peer is connected, which decides what its certificate must be good for.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// It called us.
    Client,
    /// We called it by this name.
    Server(ServerName<'static>),
}

/// Judges certificates by the charter and the revocation lists as they were when it was built.
#[derive(Debug)]
pub(crate) struct PeerJudge {
    anchors: Vec<Anchor>,
    book: Arc<dyn TrustBook>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerJudge {
    /// Builds one verifier for each CA. A CA that cannot be used certifies nobody; the others are no worse for it.
    ///
    /// # Errors
    /// When a revocation list cannot be used.
    pub(super) fn new(
        book: Arc<dyn TrustBook>,
        crls: &[CertificateRevocationListDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut anchors = Vec::new();
        for root in book.trusted_roots() {
            let sha256 = fingerprint(&root);
            let mut roots = RootCertStore::empty();
            if let Err(error) = roots.add(root) {
                let ca = hex::encode(&sha256[..8]);
                tracing::error!(ca, %error, "a CA certificate of the charter cannot be used: it certifies nobody");
                continue;
            }
            anchors.push(Anchor::new(sha256, Arc::new(roots), crls, provider)?);
        }
        Ok(Self { anchors, book, algorithms: provider.signature_verification_algorithms })
    }

    /// The member at the other end, if its certificate lets it in.
    pub(crate) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: &Role,
        expected: Option<&MemberName>,
        now: UnixTime,
    ) -> Result<MemberName, Error> {
        let member = member_of(leaf)?;
        if let Some(expected) = expected.filter(|expected| **expected != member) {
            return Err(
                PeerRefusal::OtherMember { found: member, expected: expected.clone() }.into()
            );
        }
        let mut telling = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for anchor in &self.anchors {
            let may_certify = self.book.may_certify(&anchor.sha256, &member);
            match anchor.check(leaf, intermediates, role, now) {
                Ok(()) if may_certify => return Ok(member),
                Ok(()) => telling = PeerRefusal::CaMayNotCertify { member: member.clone() }.into(),
                // "Expired" by the right CA tells more than "unknown" by all the others.
                Err(error) if may_certify && !is_unknown_issuer(&error) => telling = error,
                Err(_) => {}
            }
        }
        Err(telling)
    }
}

fn is_unknown_issuer(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

impl Anchor {
    fn new(
        sha256: [u8; 32],
        roots: Arc<RootCertStore>,
        crls: &[CertificateRevocationListDer<'static>],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        // A CA without a list here revokes nothing: demanding one of each would let a missing file stop care.
        let of_clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
                .with_crls(crls.iter().cloned())
                .allow_unknown_revocation_status()
                .build()
                .map_err(|error| TlsError::Trust(error.into()))?;
        let of_servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .with_crls(crls.iter().cloned())
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| TlsError::Trust(error.into()))?;
        Ok(Self { sha256, of_clients, of_servers })
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: &Role,
        now: UnixTime,
    ) -> Result<(), Error> {
        match role {
            Role::Client => {
                self.of_clients.verify_client_cert(leaf, intermediates, now)?;
            }
            Role::Server(name) => {
                self.of_servers.verify_server_cert(leaf, intermediates, name, &[], now)?;
            }
        }
        Ok(())
    }
}

/// [`PeerJudge`] where rustls asks about a gateway that called us.
#[derive(Debug)]
pub(super) struct CallerVerifier(pub(super) Arc<PeerJudge>);

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A gateway has one certificate and needs no hint; ours would tell strangers whom we trust.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.judge(end_entity, intermediates, &Role::Client, None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}

/// [`PeerJudge`] where rustls asks about the gateway that we called.
#[derive(Debug)]
pub(super) struct CalledVerifier {
    /// Whoever judges.
    pub(super) judge: Arc<PeerJudge>,
    /// Whom we called.
    pub(super) expected: MemberName,
}

impl ServerCertVerifier for CalledVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let role = Role::Server(server_name.to_owned());
        self.judge.judge(end_entity, intermediates, &role, Some(&self.expected), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.judge.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.algorithms.supported_schemes()
    }
}

/// Never reached, since neither side offers TLS 1.2; an error and not a panic, should that change.
fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken between gateways".to_owned())
}
