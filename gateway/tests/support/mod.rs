//! A throw-away PKI, a charter's word on trust, and gateways on loopback.

// Every test binary uses another part of it.
#![allow(dead_code, reason = "shared by several test binaries")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use sundbro_gateway::config::{Endpoint, TlsFiles};
use sundbro_gateway::connections::Connections;
use sundbro_gateway::lobby::Places;
use sundbro_gateway::server::{Deadlines, Door, Listening, serve};
use sundbro_gateway::tls::certificate::fingerprint;
use sundbro_gateway::tls::{FederationTls, Standing, TrustBook};
use sundbro_ledger::ids::MemberName;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Few enough that a test which fills them all stays within the 1,024 open files that many systems allow.
pub const UNKNOWN: Places = Places { all: 256, per_source: 32 };

/// A member's name.
pub fn member(name: &str) -> MemberName {
    MemberName::new(name).expect("a member name")
}

/// A CA and the folder where what it issues is written.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// What a leaf certificate says; change what a test is about.
#[derive(Clone)]
pub struct Leaf {
    pub file: String,
    pub dns: Vec<String>,
    pub uris: Vec<String>,
    pub not_after_year: i32,
    pub not_before_year: i32,
    pub serial: u8,
}

impl Leaf {
    /// A gateway's certificate on loopback, as it should be.
    pub fn of(member: &str) -> Self {
        Self {
            file: member.to_owned(),
            dns: vec!["localhost".to_owned()],
            uris: vec![format!("sundbro://{member}")],
            not_after_year: 2999,
            not_before_year: 2000,
            serial: 1,
        }
    }
}

impl Ca {
    /// A new CA with a name of its own.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("CA");
        Self { issuer, folder: folder.to_owned() }
    }

    /// Its certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes its certificate as PEM.
    pub fn write(&self, file: &str) -> PathBuf {
        put(&self.folder.join(file), self.issuer.pem().as_bytes())
    }

    /// Issues a certificate into `<file>.pem` and `<file>.key`, replacing what was there by renaming.
    pub fn issue(&self, leaf: &Leaf) -> TlsFiles {
        let mut params = CertificateParams::new(leaf.dns.clone()).expect("names");
        for uri in &leaf.uris {
            let uri = Ia5String::try_from(uri.as_str()).expect("a URI");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params.distinguished_name.push(DnType::CommonName, leaf.file.as_str());
        params.not_before = date_time_ymd(leaf.not_before_year, 1, 1);
        params.not_after = date_time_ymd(leaf.not_after_year, 1, 1);
        params.serial_number = Some(SerialNumber::from_slice(&[leaf.serial]));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let pair = KeyPair::generate().expect("key");
        let signed = params.signed_by(&pair, &self.issuer).expect("certificate");
        let certificate = self.folder.join(format!("{}.pem", leaf.file));
        let key = self.folder.join(format!("{}.key", leaf.file));
        put(&key, pair.serialize_pem().as_bytes());
        put(&certificate, signed.pem().as_bytes());
        TlsFiles { certificate, key, crls: Vec::new() }
    }

    /// Writes a revocation list of these serial numbers.
    pub fn revoke(&self, file: &str, serials: &[u8]) -> PathBuf {
        let revoked = |serial: &u8| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("CRL");
        put(&self.folder.join(file), list.pem().expect("PEM").as_bytes())
    }
}

impl Ca {
    /// Turns a revocation list into one of version 3, which does not exist.
    pub fn spoil_version(file: &Path) {
        let list = fs::read(file).expect("read");
        let list = CertificateRevocationListDer::from_pem_slice(&list).expect("a list");
        let mut der = list.to_vec();
        let version = der.windows(3).position(|bytes| bytes == [2, 1, 1]).expect("version 2");
        der[version + 2] = 2;
        put(file, &der);
    }
}

/// Replaces a file by renaming, readable by its owner alone.
pub fn put(path: &Path, contents: &[u8]) -> PathBuf {
    let new = path.with_extension("new");
    fs::write(&new, contents).expect("write");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("mode");
    }
    fs::rename(&new, path).expect("rename");
    path.to_owned()
}

/// A charter, as far as TLS asks it.
#[derive(Debug, Default)]
pub struct Book {
    cas: Mutex<Vec<(CertificateDer<'static>, Vec<MemberName>)>>,
    suspended: Mutex<BTreeMap<MemberName, Standing>>,
}

impl Book {
    /// A charter that lists `ca` for `members`.
    pub fn trusting(ca: &Ca, members: &[&str]) -> Arc<Self> {
        let book = Arc::new(Self::default());
        book.trust(ca, members);
        book
    }

    /// Lists another CA.
    pub fn trust(&self, ca: &Ca, members: &[&str]) {
        let members = members.iter().map(|name| member(name)).collect();
        self.cas.lock().expect("lock").push((ca.certificate(), members));
    }

    /// Takes all CAs away.
    pub fn trust_nobody(&self) {
        self.cas.lock().expect("lock").clear();
    }

    /// Lists a CA certificate that is none.
    pub fn trust_nonsense(&self) {
        let nonsense = CertificateDer::from(vec![0x30; 64]);
        self.cas.lock().expect("lock").push((nonsense, Vec::new()));
    }

    /// Changes where a member stands.
    pub fn set(&self, name: &str, standing: Standing) {
        self.suspended.lock().expect("lock").insert(member(name), standing);
    }
}

impl TrustBook for Book {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        self.cas.lock().expect("lock").iter().map(|(ca, _)| ca.clone()).collect()
    }

    fn may_certify(&self, ca_sha256: &[u8; 32], member: &MemberName) -> bool {
        let cas = self.cas.lock().expect("lock");
        cas.iter().any(|(ca, members)| fingerprint(ca) == *ca_sha256 && members.contains(member))
    }

    fn member_state(&self, member: &MemberName) -> Standing {
        let states = self.suspended.lock().expect("lock");
        states.get(member).copied().unwrap_or(Standing::Active)
    }
}

/// A folder that goes away with the test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

/// TLS of one member's gateway.
pub fn tls(name: &str, files: TlsFiles, book: &Arc<Book>) -> Arc<FederationTls> {
    FederationTls::load(member(name), files, book.clone(), Connections::new()).expect("TLS")
}

/// A listener that is served until it is stopped.
pub struct Running {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Serves `routes` behind `door` on a free port.
    pub async fn start(door: Door, routes: axum::Router) -> Self {
        Self::start_on("127.0.0.1:0", door, routes, |_| {}).await
    }

    /// As [`Self::start`], with a grace period of its own.
    pub async fn start_with(door: Door, routes: axum::Router, grace_period: Duration) -> Self {
        Self::start_on("127.0.0.1:0", door, routes, |it| it.grace_period = grace_period).await
    }

    /// Serves at an address, with `change` made to how.
    pub async fn start_on(
        address: impl tokio::net::ToSocketAddrs,
        door: Door,
        routes: axum::Router,
        change: impl FnOnce(&mut Listening),
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener.local_addr().expect("address");
        let stop = CancellationToken::new();
        let mut listening = Listening {
            door,
            max_connections: 32,
            unknown: UNKNOWN,
            deadlines: Deadlines::default(),
            grace_period: Duration::from_secs(5),
            stop: stop.clone(),
        };
        change(&mut listening);
        let task = tokio::spawn(serve(listener, routes, listening));
        Self { address, stop, task }
    }

    /// Stops, and waits until it has.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }

    /// Where it is dialled.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { host: "localhost".to_owned(), port: self.address.port() }
    }
}

/// Waits until `condition` holds. Yields instead of sleeping; a hung test ends by the limit.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{what}"));
}
