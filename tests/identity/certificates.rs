//! Certificates of every kind, good and bad, made in this process.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sundbro_certs::{DevCa, Issued, LeafSpec, Validity};

/// What a client shows in a handshake, and the key to it.
pub struct Credentials {
    /// Its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Reads `<stem>.pem` and `<stem>.key`.
    pub fn read(folder: &Path, stem: &str) -> Self {
        let certificate = CertificateDer::from_pem_file(folder.join(format!("{stem}.pem")));
        let key = PrivateKeyDer::from_pem_file(folder.join(format!("{stem}.key")));
        Self { chain: vec![certificate.expect("a certificate")], key: key.expect("a key") }
    }

    /// What a CA issued.
    pub fn of(issued: &Issued) -> Self {
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).expect("a key");
        Self { chain: vec![issued.certificate().clone()], key }
    }
}

/// A CA that issues what it is asked to.
pub fn issue(ca: &DevCa, spec: &LeafSpec) -> Issued {
    ca.issue(spec, now()).expect("a certificate")
}

/// Good now.
pub fn now() -> Validity {
    Validity::days(Timestamp::now(), 30).expect("a period")
}

/// Over since an hour ago.
pub fn past() -> Validity {
    around(-48, -1)
}

/// From in two days on: beyond every clock that is a little off.
pub fn future() -> Validity {
    around(48, 96)
}

fn around(from: i64, to: i64) -> Validity {
    let at = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
    Validity::between(at(from), at(to)).expect("a period")
}

/// A certificate that somebody issued with the key of a certificate that is no CA's.
pub fn issued_by_a_leaf(ca: &DevCa, member: &str, claimed: &str) -> Credentials {
    let parent = issue(ca, &LeafSpec::gateway(member, &["localhost"]));
    let key = KeyPair::from_pem(parent.key_pem()).expect("a key");
    let issuer = Issuer::from_ca_cert_der(parent.certificate(), key).expect("an issuer");
    let (params, key) = params(claimed);
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let chain = vec![certificate.der().clone(), parent.certificate().clone()];
    Credentials { chain, key: private(&key) }
}

/// A certificate that vouches for itself.
pub fn self_signed(member: &str) -> Credentials {
    let (params, key) = params(member);
    let certificate = params.self_signed(&key).expect("a certificate");
    Credentials { chain: vec![certificate.der().clone()], key: private(&key) }
}

fn params(member: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    let uri = Ia5String::try_from(format!("sundbro://{member}")).expect("ASCII");
    params.subject_alt_names.push(SanType::URI(uri));
    params.distinguished_name.push(DnType::CommonName, "a gateway of its own making");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params, KeyPair::generate().expect("a key"))
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
