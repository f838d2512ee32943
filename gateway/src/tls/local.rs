//! TLS towards local systems: TLS 1.2 or 1.3, with a client certificate where one is shown.
//!
//! A connection without one is let in and can ask for health; every other call needs a client that the configuration
//! names, which `local.rs` checks, so that the caller gets a gRPC status with a cure and not a broken handshake.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::certificate::{fingerprint, names_of};
use super::verify::Role;
use super::{End, EndKind, Reload, TlsError, own, pem, provider};
use crate::config::{CertificateMatch, ClientRule, LocalListener};
use crate::connections::{Connections, Open, Registration};

/// The local listener's TLS, reloadable while it runs.
#[derive(Debug)]
pub struct LocalTls {
    settings: LocalListener,
    clients: Vec<Arc<ClientRule>>,
    provider: Arc<CryptoProvider>,
    connections: Arc<Connections>,
    material: ArcSwap<Material>,
    reloading: Mutex<()>,
}

#[derive(Debug)]
struct Material {
    generation: u64,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    server: Arc<ServerConfig>,
    ends: Vec<End>,
}

impl LocalTls {
    /// Loads certificate, key, client CAs and revocation lists.
    ///
    /// # Errors
    /// When a file is unusable or the pair does not fit.
    pub fn load(
        settings: LocalListener,
        connections: Arc<Connections>,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = provider();
        let material = Material::load(0, &settings, &provider)?;
        let clients = settings.clients.iter().cloned().map(Arc::new).collect();
        let material = ArcSwap::from_pointee(material);
        let reloading = Mutex::new(());
        Ok(Arc::new(Self { settings, clients, provider, connections, material, reloading }))
    }

    /// All connections of local systems.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// What ends by itself of what is in use now: our certificate, the revocation lists, the CAs of clients.
    pub fn ends(&self) -> Vec<End> {
        self.material.load().ends.clone()
    }

    /// Takes the files as they are now into use, and closes what would no longer be let in. Returns how many.
    ///
    /// # Errors
    /// When a file is unusable; then everything stays as it was.
    pub fn reload(&self) -> Result<usize, TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.material.load().generation + 1;
        let material = Material::load(generation, &self.settings, &self.provider)?;
        self.material.store(Arc::new(material));
        Ok(self.close_expired())
    }

    /// Closes connections whose certificate is no longer good. Returns how many.
    pub fn close_expired(&self) -> usize {
        self.connections.close_unless(|open| self.still_welcome(open))
    }

    /// The server side for one handshake, and the generation that it belongs to.
    pub(crate) fn server(&self) -> (Arc<ServerConfig>, u64) {
        let material = self.material.load();
        (material.server.clone(), material.generation)
    }

    /// Enters a connection; `None` when its certificate stopped being good during the handshake.
    pub(crate) fn register(
        &self,
        chain: Vec<CertificateDer<'static>>,
        generation: u64,
    ) -> Option<Registration> {
        let open = Open { peer: None, chain, role: Role::Client, standing: None };
        let registration = self.connections.register(open);
        let changed = self.material.load().generation != generation;
        (!changed || self.still_welcome(registration.open())).then_some(registration)
    }

    /// The configured client whose certificate this is. A digest is looked at before a name.
    pub(crate) fn client(&self, certificate: &CertificateDer<'_>) -> Option<Arc<ClientRule>> {
        let digest = fingerprint(certificate);
        let by_digest =
            |rule: &&Arc<ClientRule>| rule.certificate == CertificateMatch::Sha256(digest);
        if let Some(rule) = self.clients.iter().find(by_digest) {
            return Some(rule.clone());
        }
        let names = names_of(certificate).ok()?;
        let by_name = |rule: &&Arc<ClientRule>| match &rule.certificate {
            CertificateMatch::San(san) => names.iter().any(|name| same_name(name, san)),
            CertificateMatch::Sha256(_) => false,
        };
        self.clients.iter().find(by_name).cloned()
    }

    fn still_welcome(&self, open: &Open) -> bool {
        let Some((leaf, intermediates)) = open.chain.split_first() else { return true };
        let material = self.material.load();
        let Some(verifier) = &material.verifier else { return false };
        verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
    }
}

impl Reload for LocalTls {
    fn files(&self) -> Vec<PathBuf> {
        let tls = &self.settings.tls;
        let mut files = BTreeSet::from([tls.certificate.clone(), tls.key.clone()]);
        files.extend(tls.crls.iter().chain(&self.settings.client_cas).cloned());
        files.into_iter().collect()
    }

    fn reload(&self) -> Result<usize, TlsError> {
        Self::reload(self)
    }

    fn close_expired(&self) -> usize {
        Self::close_expired(self)
    }
}

/// DNS names are compared without case (RFC 4343), URIs byte by byte.
fn same_name(name: &str, san: &str) -> bool {
    if san.contains("://") { name == san } else { name.eq_ignore_ascii_case(san) }
}

impl Material {
    fn load(
        generation: u64,
        settings: &LocalListener,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let own = own::load(&settings.tls, provider)?;
        let certificate = &settings.tls.certificate;
        let mut ends: Vec<_> =
            End::of_chain(EndKind::Certificate, certificate, &own.cert).into_iter().collect();
        let verifier = Self::verifier(settings, provider, &mut ends)?;
        let own: Arc<SingleCertAndKey> = Arc::new(own.into());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(TlsError::Settings)?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(own);
        super::federation::never_resume(&mut server);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { generation, verifier, server: Arc::new(server), ends })
    }

    /// `None` without a CA: then no certificate is asked for.
    fn verifier(
        settings: &LocalListener,
        provider: &Arc<CryptoProvider>,
        ends: &mut Vec<End>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let mut roots = RootCertStore::empty();
        for file in &settings.client_cas {
            let chain = pem::chain(file)?;
            ends.extend(End::of_chain(EndKind::Authority, file, &chain));
            for certificate in chain {
                roots.add(certificate).map_err(|error| TlsError::Trust(error.into()))?;
            }
        }
        if roots.is_empty() {
            return Ok(None);
        }
        let crls = pem::crls(&settings.tls.crls)?;
        ends.extend(crls.ends);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .with_crls(crls.lists)
                .allow_unknown_revocation_status()
                .allow_unauthenticated()
                .build()
                .map_err(|error| TlsError::Trust(error.into()))?;
        Ok(Some(verifier))
    }
}
