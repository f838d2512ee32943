//! What stands in a leaf certificate, and what comes back when one is issued.

use std::fmt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::files::{WriteError, write_private, write_public};
use crate::{IssueError, Validity};

/// The scheme of the URI SAN that names a member.
const MEMBER_SCHEME: &str = "sundbro://";

/// What a leaf certificate says, before a CA signs it.
///
/// The constructors give what a federation accepts; the `without_…` and `claiming_…` methods give what it
/// must refuse, for tests.
#[derive(Clone, Debug)]
pub struct LeafSpec {
    common_name: String,
    hosts: Vec<String>,
    uris: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
}

impl LeafSpec {
    /// A member's gateway, on both ends of a connection: its hosts, the URI SAN `sundbro://<member>`, and
    /// the usages server and client.
    ///
    /// A host is a DNS name or an IP address without a port.
    pub fn gateway(member: &str, hosts: &[impl AsRef<str>]) -> Self {
        Self {
            common_name: format!("{member} gateway"),
            hosts: hosts.iter().map(|host| host.as_ref().to_owned()).collect(),
            uris: vec![format!("{MEMBER_SCHEME}{member}")],
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    /// A listener for local systems: hosts and the usage server; no member, for it speaks for none.
    pub fn server(name: &str, hosts: &[impl AsRef<str>]) -> Self {
        Self {
            common_name: name.to_owned(),
            hosts: hosts.iter().map(|host| host.as_ref().to_owned()).collect(),
            uris: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }

    /// A client of the local listener. The name stands as common name and as DNS SAN; the gateway's
    /// configuration maps the certificate to roles.
    pub fn client(name: &str) -> Self {
        Self {
            common_name: name.to_owned(),
            hosts: vec![name.to_owned()],
            uris: Vec::new(),
            usages: vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
    }

    /// The same certificate for another member: what a thief of one member's CA account would ask for.
    pub fn claiming_member(mut self, member: &str) -> Self {
        self.uris = vec![format!("{MEMBER_SCHEME}{member}")];
        self
    }

    /// The same certificate with one more member: a connection may speak for exactly one.
    pub fn claiming_also(mut self, member: &str) -> Self {
        self.uris.push(format!("{MEMBER_SCHEME}{member}"));
        self
    }

    /// The same certificate without any URI SAN.
    pub fn without_member(mut self) -> Self {
        self.uris.clear();
        self
    }

    pub(crate) fn params(&self, validity: Validity) -> Result<CertificateParams, IssueError> {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + validity.starts_after_1970();
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + validity.ends_after_1970();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = self.usages.clone();
        params.use_authority_key_identifier_extension = true;
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        for host in &self.hosts {
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(ascii(host)?),
            });
        }
        for uri in &self.uris {
            params.subject_alt_names.push(SanType::URI(ascii(uri)?));
        }
        Ok(params)
    }
}

/// A certificate with its key, both as PEM.
#[derive(Clone)]
pub struct Issued {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    serial: Serial,
}

impl Issued {
    pub(crate) fn new(
        certificate: &rcgen::Certificate,
        key: &rcgen::KeyPair,
    ) -> Result<Self, IssueError> {
        Ok(Self {
            serial: Serial::of(certificate.der())?,
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PKCS#8 PEM. Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// What to revoke it by.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Writes `<stem>.pem` and `<stem>.key` (mode 0600) into `folder`, over older ones, and returns both
    /// paths. The key comes first: a reader that sees the new certificate finds its key.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<(PathBuf, PathBuf), WriteError> {
        let key = folder.join(format!("{stem}.key"));
        let certificate = folder.join(format!("{stem}.pem"));
        write_private(&key, self.key_pem.as_bytes())?;
        write_public(&certificate, self.certificate_pem.as_bytes())?;
        Ok((certificate, key))
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// The serial number of a certificate: big-endian, as it stands in the DER, unique within its CA.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// Reads the serial number of any certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IssueError> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| IssueError::Unreadable)?;
        Ok(Self::from_der_integer(parsed.raw_serial()))
    }

    /// A DER integer starts with a zero byte when its highest bit is set; that byte is not part of the number.
    pub(crate) fn from_der_integer(bytes: &[u8]) -> Self {
        match bytes {
            [0, rest @ ..] if !rest.is_empty() => Self(rest.to_vec()),
            _ => Self(bytes.to_vec()),
        }
    }

    pub(crate) fn to_rcgen(&self) -> rcgen::SerialNumber {
        rcgen::SerialNumber::from_slice(&self.0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial:{self}")
    }
}

fn ascii(name: &str) -> Result<rcgen::string::Ia5String, IssueError> {
    name.try_into().map_err(|_| IssueError::Name { name: name.to_owned() })
}
