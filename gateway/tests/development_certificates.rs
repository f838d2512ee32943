//! `sundbro certs`: what it writes is what a gateway takes, and what it revokes is revoked.

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sundbro_gateway::client::{Target, probe};
use sundbro_gateway::config::TlsFiles;
use sundbro_gateway::connections::Connections;
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::server::Door;
use sundbro_gateway::tls::{FederationTls, Standing, TrustBook};
use sundbro_ledger::ids::MemberName;
use support::{Running, folder, member};

/// A charter that trusts one CA for everybody.
#[derive(Debug)]
struct OneCa(CertificateDer<'static>);

impl TrustBook for OneCa {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.0.clone()]
    }

    fn may_certify(&self, _ca_sha256: &[u8; 32], _member: &MemberName) -> bool {
        true
    }

    fn member_state(&self, _member: &MemberName) -> Standing {
        Standing::Active
    }
}

fn sundbro(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sundbro")).args(args).output().expect("runs")
}

fn dev(folder: &Path, name: &str) {
    let output = sundbro(&["certs", "dev", folder.to_str().expect("UTF-8"), "--member", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn load(folder: &Path, name: &str) -> Arc<FederationTls> {
    let home = folder.join(name);
    let files = TlsFiles {
        certificate: home.join("federation.pem"),
        key: home.join("federation.key"),
        crls: vec![folder.join("crl.pem")],
    };
    let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("CA");
    let book = Arc::new(OneCa(ca));
    FederationTls::load(member(name), files, book, Connections::new()).expect("TLS")
}

#[tokio::test]
async fn two_members_of_one_development_ca_reach_each_other_until_one_is_revoked() {
    let folder = folder();
    dev(folder.path(), "gp.example");
    dev(folder.path(), "hospital.example");
    let (gp, hospital) =
        (load(folder.path(), "gp.example"), load(folder.path(), "hospital.example"));
    let running = Running::start(Door::Federation(hospital.clone()), axum::Router::new()).await;
    let target =
        Target { member: member("hospital.example"), endpoint: running.endpoint(), dial: None };
    probe(&gp, &target).await.expect("reached");

    let certificate = folder.path().join("gp.example/federation.pem");
    let folder = folder.path().to_str().expect("UTF-8");
    let output =
        sundbro(&["--json", "certs", "revoke", folder, certificate.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    hospital.reload().expect("reload");
    let error = probe(&gp, &target).await.expect_err("revoked");
    assert_eq!(error.cause, DialCause::OwnCertificateRefused);
}

#[test]
fn a_name_that_is_no_member_name_is_a_usage_error() {
    let folder = folder();
    let path = folder.path().to_str().expect("UTF-8");
    let output = sundbro(&["certs", "dev", path, "--member", "Hospital"]);
    assert_eq!(output.status.code(), Some(2));
    let output = sundbro(&["certs", "dev", path, "--member", "a.example", "--client", "../x.y"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("ca.key").exists(), "nothing was written");
    let output = sundbro(&["certs", "revoke", path, "nowhere.pem"]);
    assert_eq!(output.status.code(), Some(1), "there is no CA");
    dev(folder.path(), "a.example");
    let output = sundbro(&["certs", "revoke", path, "nowhere.pem"]);
    assert_eq!(output.status.code(), Some(3), "there is no such certificate");
}
