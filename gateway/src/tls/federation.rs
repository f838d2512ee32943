//! TLS between gateways: our identity, the charter's CAs and the revocation lists, swapped as one.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sundbro_ledger::ids::MemberName;
use tokio::sync::watch;

use super::verify::{CalledVerifier, CallerVerifier, PeerJudge, Role};
use super::{End, EndKind, PeerRefusal, Reload, TlsError, TrustBook, own, pem, provider};
use crate::config::TlsFiles;
use crate::connections::{Connections, Open, Registration};

/// Both sides of mutual TLS 1.3 between gateways, reloadable while they run.
#[derive(Debug)]
pub struct FederationTls {
    member: MemberName,
    files: TlsFiles,
    book: Arc<dyn TrustBook>,
    provider: Arc<CryptoProvider>,
    connections: Arc<Connections>,
    material: ArcSwap<Material>,
    /// One reload at a time, so that generations follow each other.
    reloading: Mutex<()>,
    changes: watch::Sender<u64>,
}

/// What handshakes use; replaced whole.
#[derive(Debug)]
struct Material {
    generation: u64,
    own: Arc<SingleCertAndKey>,
    crls: pem::Lists,
    judge: Arc<PeerJudge>,
    server: Arc<ServerConfig>,
}

impl FederationTls {
    /// Loads certificate, key and revocation lists.
    ///
    /// # Errors
    /// When a file is unusable, the pair does not fit, or the certificate does not name `member`.
    pub fn load(
        member: MemberName,
        files: TlsFiles,
        book: Arc<dyn TrustBook>,
        connections: Arc<Connections>,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = provider();
        let own = own::load_member(&files, &member, &provider)?;
        let crls = pem::crls(&files.crls)?;
        let material = Material::new(0, own, crls, book.clone(), &provider)?;
        Ok(Arc::new(Self {
            member,
            files,
            book,
            provider,
            connections,
            material: ArcSwap::from_pointee(material),
            reloading: Mutex::new(()),
            changes: watch::Sender::new(0),
        }))
    }

    /// Our member name.
    pub fn member(&self) -> &MemberName {
        &self.member
    }

    /// All connections to other members, in and out.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Whether a peer that follows the charter as it is now would take our certificate, for both ends of a connection;
    /// `host` is our endpoint's.
    ///
    /// # Errors
    /// With what it would say.
    pub fn judge_own(&self, host: &ServerName<'static>) -> Result<(), rustls::Error> {
        use rustls::client::ResolvesClientCert as _;
        let material = self.material.load();
        let own = material.own.resolve(&[], &[]);
        let Some((leaf, above)) = own.as_ref().and_then(|own| own.cert.split_first()) else {
            return Err(PeerRefusal::Unreadable.into());
        };
        for role in [Role::Server(host.clone()), Role::Client] {
            let now = UnixTime::now();
            let member = Some(&self.member);
            let _ourselves = material.judge.judge(leaf, above, &role, member, now)?;
        }
        Ok(())
    }

    /// What ends by itself of what is in use now: our certificate, the revocation lists, the CAs of the charter.
    pub fn ends(&self) -> Vec<End> {
        use rustls::client::ResolvesClientCert as _;
        let material = self.material.load();
        let own = material.own.resolve(&[], &[]);
        let file = &self.files.certificate;
        let own = own.and_then(|own| End::of_chain(EndKind::Certificate, file, &own.cert));
        let roots = self.book.trusted_roots();
        let roots = roots.iter().filter_map(End::of_authority);
        own.into_iter().chain(material.crls.ends.iter().cloned()).chain(roots).collect()
    }

    /// Counts reloads: a cause that hindered a connection may be gone, so whoever waits to dial should dial.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes the files and the charter as they are now into use, and closes what would no longer be let in.
    ///
    /// Returns how many connections were closed. Reads files: call it where blocking is allowed.
    ///
    /// # Errors
    /// When a file is unusable. Then the files' earlier contents stay in use, but the charter's CAs and members are
    /// taken over all the same: a broken file must not keep a suspended member connected.
    pub fn reload(&self) -> Result<usize, TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.material.load_full();
        let own = own::load_member(&self.files, &self.member, &self.provider);
        let crls = pem::crls(&self.files.crls);
        let (own, own_error) = split(own, || old.own.clone());
        let (crls, crls_error) = split(crls, || old.crls.clone());
        let generation = old.generation + 1;
        let new =
            |crls| Material::new(generation, own.clone(), crls, self.book.clone(), &self.provider);
        // Lists that parse may still be unusable; the charter is taken over with the earlier ones then.
        let (material, unusable) = match new(crls) {
            Ok(material) => (material, None),
            Err(error) => (new(old.crls.clone())?, Some(error)),
        };
        self.material.store(Arc::new(material));
        // From here every handshake uses the new material; what was let in under the old one is judged again.
        let closed = self.connections.close_unless(|open| self.still_welcome(open));
        self.changes.send_replace(generation);
        own_error.or(crls_error).or(unusable).map_or(Ok(closed), Err)
    }

    /// Closes connections whose certificate has expired since the handshake. Returns how many.
    pub fn close_expired(&self) -> usize {
        self.connections.close_unless(|open| self.still_welcome(open))
    }

    /// The server side for one handshake, and the generation that it belongs to.
    pub(crate) fn server(&self) -> (Arc<ServerConfig>, u64) {
        let material = self.material.load();
        (material.server.clone(), material.generation)
    }

    /// The client side for one handshake with `peer`, and the generation that it belongs to.
    pub(crate) fn client(&self, peer: &MemberName) -> Result<(Arc<ClientConfig>, u64), TlsError> {
        let material = self.material.load();
        let verifier = CalledVerifier { judge: material.judge.clone(), expected: peer.clone() };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Settings)?
            // Not dangerous here: the verifier does all that webpki's does, for fewer CAs, and more.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(material.own.clone());
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok((Arc::new(config), material.generation))
    }

    /// Enters a connection whose handshake is done into the registry.
    ///
    /// `None` when trust changed during the handshake and the peer would not get in any more.
    pub(crate) fn register(
        &self,
        peer: &MemberName,
        chain: Vec<CertificateDer<'static>>,
        role: Role,
        generation: u64,
    ) -> Option<Registration> {
        let standing = self.book.member_state(peer);
        let open = Open { peer: Some(peer.clone()), chain, role, standing: Some(standing) };
        let registration = self.connections.register(open);
        // A reload between the handshake and this line did not see the connection: it is judged here. A reload
        // after this line sees it.
        let current = self.material.load().generation;
        if current != generation && !self.still_welcome(registration.open()) {
            return None;
        }
        Some(registration)
    }

    fn still_welcome(&self, open: &Open) -> bool {
        let (Some(peer), Some((leaf, intermediates))) = (&open.peer, open.chain.split_first())
        else {
            return false;
        };
        let judge = self.material.load().judge.clone();
        let judged = judge.judge(leaf, intermediates, &open.role, Some(peer), UnixTime::now());
        let unchanged = open.standing == Some(self.book.member_state(peer));
        if let Err(error) = &judged {
            tracing::info!(%peer, %error, "connection closed: its certificate is no longer accepted");
        } else if !unchanged {
            tracing::info!(%peer, "connection closed: its standing in the charter changed");
        }
        judged.is_ok() && unchanged
    }
}

impl Reload for FederationTls {
    fn files(&self) -> Vec<std::path::PathBuf> {
        let own = [self.files.certificate.clone(), self.files.key.clone()];
        own.into_iter().chain(self.files.crls.iter().cloned()).collect()
    }

    fn reload(&self) -> Result<usize, TlsError> {
        Self::reload(self)
    }

    fn close_expired(&self) -> usize {
        Self::close_expired(self)
    }
}

impl Material {
    fn new(
        generation: u64,
        own: Arc<SingleCertAndKey>,
        crls: pem::Lists,
        book: Arc<dyn TrustBook>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let judge = Arc::new(PeerJudge::new(book, &crls.lists, provider)?);
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Settings)?
            .with_client_cert_verifier(Arc::new(CallerVerifier(judge.clone())))
            .with_cert_resolver(own.clone());
        never_resume(&mut server);
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { generation, own, crls, judge, server: Arc::new(server) })
    }
}

/// A resumed session skips client certificate and revocation checks (RFC 8446 §2.2): none is ever offered.
pub(super) fn never_resume(server: &mut ServerConfig) {
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
}

fn split<T, E>(result: Result<T, E>, fallback: impl FnOnce() -> T) -> (T, Option<E>) {
    match result {
        Ok(value) => (value, None),
        Err(error) => (fallback(), Some(error)),
    }
}
