//! A throw-away certificate authority: issues, revokes, and is written to a folder and read back.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use crate::files::{WriteError, write_private, write_public};
use crate::leaf::{Issued, LeafSpec, Serial};
use crate::validity::after_1970;
use crate::{IssueError, Validity};

/// The CA's own certificate, in the folder of [`DevCa::write`].
const CERTIFICATE_FILE: &str = "ca.pem";
/// The CA's key (0600): whoever reads it can speak for every member that this CA may certify.
const KEY_FILE: &str = "ca.key";
/// The newest CRL; it is also where [`DevCa::load`] learns what was revoked.
const CRL_FILE: &str = "crl.pem";

/// A CA for development and tests. Its key lies unprotected in memory and in a file.
pub struct DevCa {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    issuer: Issuer<'static, KeyPair>,
    revoked: BTreeMap<Serial, Timestamp>,
    /// Rises with each CRL (RFC 5280 §5.2.3), over restarts too.
    crl_number: u64,
}

/// A signed list of revoked certificates.
#[derive(Clone, Debug)]
pub struct Crl {
    der: CertificateRevocationListDer<'static>,
    pem: String,
}

/// Why a CA was not read from its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file is missing or may not be read.
    #[error("{path} could not be read: is this a folder that `sundbro certs dev` wrote?")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path} is not a {expected} of this CA: delete the folder and make a new CA")]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
}

impl DevCa {
    /// Makes a CA with a new P-256 key. `name` becomes its distinguished name: give each CA its own, or a
    /// verifier with several cannot tell them apart.
    pub fn new(name: &str, validity: Validity) -> Result<Self, IssueError> {
        let key = KeyPair::generate().map_err(IssueError::Certificate)?;
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + validity.starts_after_1970();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + validity.ends_after_1970();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Sundbro development PKI");
        params.distinguished_name.push(DnType::CommonName, name);
        // No intermediates: a leaf of a leaf must never verify.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(IssueError::Certificate)?;
        Ok(Self {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            issuer: Issuer::new(params, key),
            revoked: BTreeMap::new(),
            crl_number: 0,
        })
    }

    /// Reads a CA that [`DevCa::write`] wrote, with what it has revoked.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let certificate_pem = read(folder, CERTIFICATE_FILE)?;
        let key_pem = Zeroizing::new(read(folder, KEY_FILE)?);
        let content =
            |file: &str, expected| LoadError::Content { path: folder.join(file), expected };
        let not_a_certificate = || content(CERTIFICATE_FILE, "certificate");
        let key = KeyPair::from_pem(&key_pem).map_err(|_| content(KEY_FILE, "private key"))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| not_a_certificate())?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| not_a_certificate())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(content(KEY_FILE, "private key"));
        }
        let crl_pem = read(folder, CRL_FILE)?;
        let (revoked, crl_number) =
            CertificateRevocationListDer::from_pem_slice(crl_pem.as_bytes())
                .ok()
                .and_then(|crl| revocations(&crl, &parsed))
                .ok_or_else(|| content(CRL_FILE, "revocation list"))?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|_| not_a_certificate())?;
        Ok(Self {
            certificate: certificate.clone(),
            certificate_pem,
            key_pem,
            issuer,
            revoked,
            crl_number,
        })
    }

    /// Writes `ca.pem`, `ca.key` (mode 0600) and `crl.pem` into `folder`, over older ones. The CRL is a new
    /// one, good for `crl_validity`.
    pub fn write(&mut self, folder: &Path, crl_validity: Validity) -> Result<(), WriteCaError> {
        let crl = self.crl(crl_validity)?;
        write_private(&folder.join(KEY_FILE), self.key_pem.as_bytes())?;
        write_public(&folder.join(CRL_FILE), crl.pem.as_bytes())?;
        write_public(&folder.join(CERTIFICATE_FILE), self.certificate_pem.as_bytes())?;
        Ok(())
    }

    /// Issues a certificate with a new P-256 key.
    pub fn issue(&self, spec: &LeafSpec, validity: Validity) -> Result<Issued, IssueError> {
        let key = KeyPair::generate().map_err(IssueError::Certificate)?;
        let certificate = spec
            .params(validity)?
            .signed_by(&key, &self.issuer)
            .map_err(IssueError::Certificate)?;
        Issued::new(&certificate, &key)
    }

    /// Issues the certificate of a member's gateway; see [`LeafSpec::gateway`].
    pub fn issue_gateway(
        &self,
        member: &str,
        hosts: &[impl AsRef<str>],
        validity: Validity,
    ) -> Result<Issued, IssueError> {
        self.issue(&LeafSpec::gateway(member, hosts), validity)
    }

    /// Issues a certificate for a client of a local listener; see [`LeafSpec::client`].
    pub fn issue_client(&self, name: &str, validity: Validity) -> Result<Issued, IssueError> {
        self.issue(&LeafSpec::client(name), validity)
    }

    /// Revokes a certificate as of `at`, from the next CRL on. The first revocation of a serial stays.
    pub fn revoke(&mut self, serial: &Serial, at: Timestamp) {
        self.revoked.entry(serial.clone()).or_insert(at);
    }

    /// Signs a new list of everything revoked, with a number above all earlier ones.
    pub fn crl(&mut self, validity: Validity) -> Result<Crl, IssueError> {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let number = self.crl_number.saturating_add(1);
        let list = CertificateRevocationListParams {
            this_update: epoch + validity.starts_after_1970(),
            next_update: epoch + validity.ends_after_1970(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: self
                .revoked
                .iter()
                .map(|(serial, at)| RevokedCertParams {
                    serial_number: serial.to_rcgen(),
                    revocation_time: epoch + after_1970(*at),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .map_err(IssueError::Certificate)?;
        let pem = list.pem().map_err(IssueError::Certificate)?;
        self.crl_number = number;
        Ok(Crl { der: list.der().clone(), pem })
    }

    /// The CA's own certificate in DER; a charter names it by its SHA-256.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA's own certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }
}

impl fmt::Debug for DevCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCa")
            .field("revoked", &self.revoked.len())
            .field("crl_number", &self.crl_number)
            .finish_non_exhaustive()
    }
}

/// Why a CA was not written to its folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteCaError {
    /// Its CRL was not made.
    #[error("the revocation list could not be made")]
    Crl(#[from] IssueError),
    /// A file was not written.
    #[error(transparent)]
    File(#[from] WriteError),
}

impl Crl {
    /// The list in DER.
    pub fn der(&self) -> &CertificateRevocationListDer<'static> {
        &self.der
    }

    /// The list in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

fn read(folder: &Path, file: &str) -> Result<String, LoadError> {
    let path = folder.join(file);
    std::fs::read_to_string(&path).map_err(|cause| LoadError::Read { path, cause })
}

/// Reads back what a CRL of this CA says, or nothing if it is another's or damaged.
fn revocations(
    crl: &[u8],
    ca: &x509_parser::certificate::X509Certificate<'_>,
) -> Option<(BTreeMap<Serial, Timestamp>, u64)> {
    let (_, list) = x509_parser::parse_x509_crl(crl).ok()?;
    if list.issuer().as_raw() != ca.subject().as_raw() {
        return None;
    }
    let number = u64::try_from(list.crl_number()?).ok()?;
    let revoked = list
        .iter_revoked_certificates()
        .map(|entry| {
            let at = Timestamp::from_second(entry.revocation_date.timestamp()).ok()?;
            Some((Serial::from_der_integer(entry.raw_serial()), at))
        })
        .collect::<Option<_>>()?;
    Some((revoked, number))
}
