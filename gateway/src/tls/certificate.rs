//! Reads from a certificate the names that we go by.

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::ids::MemberName;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::verify::PeerRefusal;

/// What a URI SAN that names a member starts with.
const MEMBER_SCHEME: &str = "sundbro://";

/// SHA-256 of a DER certificate, which is how the charter and the configuration name one.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate.as_ref()).into()
}

/// The member that a gateway's certificate names, by its one URI SAN `sundbro://<member>`.
///
/// Other names may stand beside it: the endpoint's DNS or IP name, or another scheme's URI.
///
/// # Errors
/// When there is none, more than one, or the name is not a member name: two would let one certificate be two members.
pub fn member_of(certificate: &CertificateDer<'_>) -> Result<MemberName, PeerRefusal> {
    let mut members = Vec::new();
    for name in names_of(certificate)? {
        // A URI's scheme is case-insensitive (RFC 3986 §3.1); what we accept is not, so that there is one spelling.
        if let Some(member) = name.strip_prefix(MEMBER_SCHEME) {
            members.push(member.to_owned());
        }
    }
    match members.as_slice() {
        [] => Err(PeerRefusal::NoMember),
        [member] => MemberName::new(member).map_err(|_| PeerRefusal::MalformedMember),
        _ => Err(PeerRefusal::SeveralMembers),
    }
}

/// All DNS names and URIs among the subject alternative names, as written.
///
/// # Errors
/// When the certificate or the extension does not parse.
pub fn names_of(certificate: &CertificateDer<'_>) -> Result<Vec<String>, PeerRefusal> {
    let (rest, parsed) =
        X509Certificate::from_der(certificate.as_ref()).map_err(|_| PeerRefusal::Unreadable)?;
    if !rest.is_empty() {
        return Err(PeerRefusal::Unreadable);
    }
    let names = parsed.subject_alternative_name().map_err(|_| PeerRefusal::Unreadable)?;
    let Some(names) = names else { return Ok(Vec::new()) };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        _ => None,
    };
    Ok(names.value.general_names.iter().filter_map(text).collect())
}
