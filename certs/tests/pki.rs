//! What other verifiers make of the development PKI: OpenSSL judges chains, keys, names and CRLs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use sundbro_certs::{DevCa, LeafSpec, LoadError, Validity};

const MEMBER: &str = "rigshospitalet.regionh.example";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// The moment that all these tests take for now.
fn now() -> Timestamp {
    at("2026-11-22T12:00:00Z")
}

fn week() -> Validity {
    Validity::days(now(), 7).expect("in range")
}

fn ca(name: &str) -> DevCa {
    DevCa::new(name, Validity::days(now(), 30).expect("in range")).expect("a CA")
}

/// Runs OpenSSL as of [`now`]; `None`, with the line that the test run counts, where there is none.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output();
    match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(_) => {
            println!("SKIPPED: openssl is not installed");
            None
        }
    }
}

fn verify(folder: &Path, more: &[&str], leaf: &str) -> Option<(bool, String)> {
    let attime = now().as_second().to_string();
    let mut arguments = vec!["verify", "-attime", &attime, "-CAfile", "ca.pem"];
    arguments.extend_from_slice(more);
    arguments.push(leaf);
    openssl(folder, &arguments)
}

#[test]
fn openssl_reads_the_keys_and_verifies_the_chain() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut ca = ca("chain test CA");
    ca.write(folder.path(), week()).expect("written");
    let leaf =
        ca.issue_gateway(MEMBER, &["localhost", "127.0.0.1", "::1"], week()).expect("a leaf");
    leaf.write(folder.path(), "gateway").expect("written");
    ca.issue_client("journal.local", week())
        .expect("a client")
        .write(folder.path(), "client")
        .expect("written");

    let Some((read, text)) =
        openssl(folder.path(), &["pkey", "-in", "gateway.key", "-noout", "-text"])
    else {
        return;
    };
    assert!(read && text.contains("prime256v1"), "{text}");
    let (_, purpose) =
        openssl(folder.path(), &["x509", "-in", "gateway.pem", "-noout", "-text"]).expect("there");
    assert!(purpose.contains(&format!("URI:sundbro://{MEMBER}")), "{purpose}");
    for (purpose, host, leaf) in [
        ("sslserver", "localhost", "gateway.pem"),
        ("sslclient", "localhost", "gateway.pem"),
        ("sslclient", "journal.local", "client.pem"),
    ] {
        let more = ["-x509_strict", "-purpose", purpose, "-verify_hostname", host];
        let (good, text) = verify(folder.path(), &more, leaf).expect("there");
        assert!(good, "{leaf} as {purpose}: {text}");
    }
    let more = ["-x509_strict", "-verify_ip", "::1"];
    let (good, text) = verify(folder.path(), &more, "gateway.pem").expect("there");
    assert!(good, "{text}");
    let (good, _) = verify(folder.path(), &["-purpose", "sslserver"], "client.pem").expect("there");
    assert!(!good, "a client certificate must not serve");
}

#[test]
fn openssl_refuses_what_expired_is_early_revoked_or_misnamed() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut ca = ca("refusal test CA");
    let spec = LeafSpec::gateway(MEMBER, &["localhost"]);
    let period = |from, to| Validity::between(at(from), at(to)).expect("a period");
    let expired = period("2026-11-01T00:00:00Z", "2026-11-21T00:00:00Z");
    let early = period("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z");
    let leaf = |name: &str, validity| {
        let issued = ca.issue(&spec, validity).expect("a leaf");
        issued.write(folder.path(), name).expect("written");
        issued.serial().clone()
    };
    leaf("expired", expired);
    leaf("early", early);
    leaf("good", week());
    let revoked = leaf("revoked", week());
    ca.revoke(&revoked, now());
    ca.write(folder.path(), week()).expect("written");

    let crl = ["-crl_check", "-CRLfile", "crl.pem"];
    let Some((good, text)) = verify(folder.path(), &crl, "good.pem") else { return };
    assert!(good, "{text}");
    for (leaf, more, says) in [
        ("expired.pem", &[][..], "certificate has expired"),
        ("early.pem", &[][..], "certificate is not yet valid"),
        ("revoked.pem", &crl[..], "certificate revoked"),
        ("good.pem", &["-verify_hostname", "elsewhere.example"][..], "hostname mismatch"),
    ] {
        let (good, text) = verify(folder.path(), more, leaf).expect("there");
        assert!(!good && text.contains(says), "{leaf}: {text}");
    }
}

#[test]
fn two_cas_and_their_leaves_have_different_names() {
    let subjects: Vec<_> = ["first CA", "second CA"]
        .into_iter()
        .flat_map(|name| {
            let ca = ca(name);
            let leaf = ca.issue_gateway(MEMBER, &["localhost"], week()).expect("a leaf");
            [ca.certificate().clone(), leaf.certificate().clone()]
        })
        .map(|certificate| {
            let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).expect("parses");
            (parsed.subject().to_string(), parsed.issuer().to_string())
        })
        .collect();
    assert_ne!(subjects[0].0, subjects[2].0);
    for leaf in [&subjects[1], &subjects[3]] {
        assert_ne!(leaf.0, leaf.1, "OpenSSL takes equal names for self-signed");
    }
    assert_eq!(subjects[3].1, subjects[2].0);
}

#[test]
fn variants_carry_another_member_two_or_none() {
    let ca = ca("variant test CA");
    let spec = || LeafSpec::gateway(MEMBER, &["localhost"]);
    let other = "aarhus.kommune.example";
    for (spec, expected) in [
        (spec(), vec![MEMBER]),
        (spec().claiming_member(other), vec![other]),
        (spec().claiming_also(other), vec![MEMBER, other]),
        (spec().without_member(), vec![]),
    ] {
        let leaf = ca.issue(&spec, week()).expect("a leaf");
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf.certificate()).expect("parses");
        let names = parsed.subject_alternative_name().expect("readable").expect("there");
        let uris: Vec<_> = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                x509_parser::extensions::GeneralName::URI(uri) => uri.strip_prefix("sundbro://"),
                _ => None,
            })
            .collect();
        assert_eq!(uris, expected);
    }
}

#[test]
fn a_loaded_ca_remembers_revocations_and_counts_its_crls_on() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut first = ca("reload test CA");
    let serials: Vec<_> = (0..40)
        .map(|_| first.issue_client("c.local", week()).expect("a client").serial().clone())
        .collect();
    serials.iter().for_each(|serial| first.revoke(serial, now()));
    first.write(folder.path(), week()).expect("written");

    let mut second = DevCa::load(folder.path()).expect("loads");
    let one_more = second.issue_client("d.local", week()).expect("a client").serial().clone();
    second.revoke(&one_more, now());
    // A second revocation does not move the first one.
    second.revoke(&serials[0], at("2026-11-25T00:00:00Z"));
    let crl = second.crl(week()).expect("a CRL");
    let (_, list) = x509_parser::parse_x509_crl(crl.der()).expect("parses");
    assert_eq!(list.crl_number().map(ToString::to_string).as_deref(), Some("2"));
    assert_eq!(list.iter_revoked_certificates().count(), 41);
    assert!(
        list.iter_revoked_certificates()
            .all(|entry| entry.revocation_date.timestamp() == now().as_second())
    );
    let (_, ca) = x509_parser::parse_x509_certificate(second.certificate()).expect("parses");
    list.verify_signature(ca.public_key()).expect("signed by this CA");
}

#[test]
fn refuses_a_folder_whose_files_belong_to_two_cas() {
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("temporary folder"));
    ca("one").write(one.path(), week()).expect("written");
    ca("two").write(two.path(), week()).expect("written");
    for file in ["ca.key", "crl.pem"] {
        let mixed = tempfile::tempdir().expect("temporary folder");
        for name in ["ca.pem", "ca.key", "crl.pem"] {
            let from = if name == file { &two } else { &one };
            std::fs::copy(from.path().join(name), mixed.path().join(name)).expect("copied");
        }
        match DevCa::load(mixed.path()) {
            Err(LoadError::Content { path, .. }) => assert!(path.ends_with(file)),
            other => panic!("{file}: {other:?}"),
        }
    }
    std::fs::remove_file(one.path().join("ca.key")).expect("removed");
    assert!(matches!(DevCa::load(one.path()), Err(LoadError::Read { .. })));
}

#[test]
fn keys_are_private_from_the_start_and_debug_shows_none() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut ca = ca("mode test CA");
    // An older, readable file at both names must not pass its mode on.
    for name in ["ca.key", "ca.key.new"] {
        std::fs::write(folder.path().join(name), "old").expect("written");
    }
    ca.write(folder.path(), week()).expect("written");
    let leaf = ca.issue_client("c.local", week()).expect("a client");
    let (_, key) = leaf.write(folder.path(), "client").expect("written");
    for path in [folder.path().join("ca.key"), key] {
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    assert!(!format!("{ca:?} {leaf:?}").contains("PRIVATE"));
}

#[test]
fn refuses_names_that_x509_cannot_carry() {
    let ca = ca("name test CA");
    let error = ca.issue_gateway(MEMBER, &["sygehus-nørre.example"], week()).expect_err("refused");
    assert!(error.to_string().contains("xn--"), "{error}");
}
