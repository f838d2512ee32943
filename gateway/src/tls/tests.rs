//! A connection is judged again after its handshake: when trust changed meanwhile, and when its certificate has run out.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, ServerName};
use sundbro_certs::{DevCa, LeafSpec, Validity};
use sundbro_ledger::ids::MemberName;
use tempfile::TempDir;

use super::certificate::{fingerprint, member_of};
use super::*;
use crate::config::TlsFiles;
use crate::connections::{Connections, Registration};

const HOSPITAL: &str = "hospital.example";
const KOMMUNE: &str = "kommune.example";
const CLINIC: &str = "clinic.example";

/// The second after which each kind of thing here is no good.
const CERTIFICATE_ENDS: i64 = 4_000_000_000;
const LIST_ENDS: i64 = 4_100_000_000;
const CA_ENDS: i64 = 4_200_000_000;

fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

fn until(unix_seconds: i64) -> Validity {
    let at = |seconds| Timestamp::from_second(seconds).expect("a time");
    Validity::between(at(1_000_000_000), at(unix_seconds)).expect("a period")
}

/// One CA for everybody, but for whom it may certify no more.
#[derive(Debug)]
struct Book {
    ca: CertificateDer<'static>,
    not_any_more: Mutex<Vec<MemberName>>,
    suspended: Mutex<Vec<MemberName>>,
}

impl TrustBook for Book {
    fn trusted_roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.ca.clone()]
    }

    fn may_certify(&self, ca_sha256: &[u8; 32], member: &MemberName) -> bool {
        *ca_sha256 == fingerprint(&self.ca)
            && !self.not_any_more.lock().expect("lock").contains(member)
    }

    fn member_state(&self, member: &MemberName) -> Standing {
        match self.suspended.lock().expect("lock").contains(member) {
            true => Standing::Suspended,
            false => Standing::Active,
        }
    }
}

/// The hospital's side of TLS.
struct World {
    folder: TempDir,
    ca: DevCa,
    book: Arc<Book>,
    tls: Arc<FederationTls>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ca = DevCa::new("Test CA", until(CA_ENDS)).expect("a CA");
        ca.write(folder.path(), until(LIST_ENDS)).expect("written");
        let own = ca.issue_gateway(HOSPITAL, &["localhost"], until(CERTIFICATE_ENDS));
        let (certificate, key) = own.expect("issued").write(folder.path(), "own").expect("written");
        let book = Arc::new(Book {
            ca: ca.certificate().clone(),
            not_any_more: Mutex::default(),
            suspended: Mutex::default(),
        });
        let files = TlsFiles { certificate, key, crls: vec![folder.path().join("crl.pem")] };
        let tls = FederationTls::load(name(HOSPITAL), files, book.clone(), Connections::new());
        Self { folder, ca, book, tls: tls.expect("good files") }
    }

    /// What is registered when a handshake of this generation has ended.
    fn arrives(&self, member: &str, ends: i64, generation: u64) -> Option<Registration> {
        let issued = self.ca.issue_gateway(member, &["localhost"], until(ends)).expect("issued");
        let chain = vec![issued.certificate().clone()];
        self.tls.register(&name(member), chain, Role::Client, generation)
    }
}

/// The handshake was judged by what is no longer in force; the reload could not see the connection.
#[test]
fn a_reload_during_a_handshake_is_not_missed() {
    let world = World::new();
    let during = world.tls.server().1;
    world.book.not_any_more.lock().expect("lock").push(name(CLINIC));
    assert_eq!(world.tls.reload().expect("good files"), 0);
    assert_eq!(*world.tls.changes().borrow(), 1);
    assert!(world.arrives(CLINIC, CERTIFICATE_ENDS, during).is_none());
    assert_eq!(world.tls.connections().count(), 0);
    // Whoever the change is not about is not sent away by it.
    let kommune = world.arrives(KOMMUNE, CERTIFICATE_ENDS, during).expect("let in");
    let after = world.tls.server().1;
    let another = world.arrives(KOMMUNE, CERTIFICATE_ENDS, after).expect("let in");
    assert_eq!(world.tls.connections().count(), 2);
    drop((kommune, another));
}

#[test]
fn what_has_run_out_is_closed_and_nothing_else() {
    let world = World::new();
    let now = world.tls.server().1;
    // Good at the handshake, which lies days back.
    let run_out = [KOMMUNE, CLINIC].map(|it| world.arrives(it, 1_700_000_000, now));
    let good = world.arrives(KOMMUNE, CERTIFICATE_ENDS, now);
    assert_eq!(world.tls.connections().count(), 3);
    let reload: &dyn Reload = &*world.tls;
    assert_eq!(reload.close_expired(), 2);
    assert_eq!(world.tls.close_expired(), 0, "each is closed once");
    // The same look finds whose standing changed.
    world.book.suspended.lock().expect("lock").push(name(KOMMUNE));
    assert_eq!(world.tls.close_expired(), 1);
    drop((run_out, good));
}

/// Counts what is logged on this thread.
#[derive(Clone, Default)]
struct Logged(Arc<AtomicUsize>);

impl tracing::Subscriber for Logged {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("sundbro")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_line_is_logged_of_each_that_is_closed_and_of_no_other() {
    let world = World::new();
    let now = world.tls.server().1;
    let kept = world.arrives(CLINIC, CERTIFICATE_ENDS, now);
    let closed = world.arrives(KOMMUNE, CERTIFICATE_ENDS, now);
    let logged = Logged::default();
    let _guard = tracing::subscriber::set_default(logged.clone());
    assert_eq!(world.tls.close_expired(), 0);
    assert_eq!(logged.0.load(Ordering::SeqCst), 0);
    world.book.suspended.lock().expect("lock").push(name(KOMMUNE));
    assert_eq!(world.tls.close_expired(), 1);
    assert_eq!(logged.0.load(Ordering::SeqCst), 1);
    drop((kept, closed));
}

#[test]
fn each_end_is_told_with_its_last_second() {
    let world = World::new();
    let folder = world.folder.path();
    let ca = hex::encode(&fingerprint(world.ca.certificate())[..8]);
    let expected = [
        (CERTIFICATE_ENDS, EndKind::Certificate, folder.join("own.pem").display().to_string()),
        (LIST_ENDS, EndKind::RevocationList, folder.join("crl.pem").display().to_string()),
        (CA_ENDS, EndKind::Authority, ca),
    ];
    let ends = world.tls.ends().into_iter().map(|end| (end.unix_seconds, end.kind, end.name));
    assert_eq!(ends.collect::<Vec<_>>(), expected);
    // A chain is no better than what ends first in it.
    let soon = world.ca.issue_gateway(HOSPITAL, &["localhost"], until(3_900_000_000));
    let chain = [world.ca.certificate().clone(), soon.expect("issued").certificate().clone()];
    let end = End::of_chain(EndKind::Certificate, Path::new("own.pem"), &chain);
    assert_eq!(end.map(|end| end.unix_seconds), Some(3_900_000_000));
}

#[test]
fn each_kind_of_end_has_a_name_and_a_cure_of_its_own() {
    let names = EndKind::ALL.map(EndKind::name);
    assert_eq!(names, ["certificate", "revocation_list", "ca"]);
    let replaced =
        ["new certificate from its CA", "new list from its CA", "the stewards must list"];
    for (kind, says) in EndKind::ALL.into_iter().zip(replaced) {
        assert!(kind.cure().contains(says), "{kind:?}: {}", kind.cure());
    }
}

#[test]
fn our_own_certificate_is_judged_as_a_peer_would() {
    let world = World::new();
    let host = |text: &'static str| ServerName::try_from(text).expect("a name");
    assert_eq!(world.tls.judge_own(&host("localhost")), Ok(()));
    assert!(world.tls.judge_own(&host("elsewhere.example")).is_err());
    world.book.not_any_more.lock().expect("lock").push(name(HOSPITAL));
    let refused = world.tls.judge_own(&host("localhost")).expect_err("its CA may not");
    let expected = PeerRefusal::CaMayNotCertify { member: name(HOSPITAL) };
    // Errors of the TLS library that hold one of ours are never equal.
    assert_eq!(format!("{refused:?}"), format!("{:?}", rustls::Error::from(expected)));
}

#[test]
fn a_certificate_of_no_member_is_told_from_one_of_several() {
    let ca = DevCa::new("Test CA", until(CA_ENDS)).expect("a CA");
    let check = |spec: LeafSpec, expected: Result<MemberName, PeerRefusal>| {
        let issued = ca.issue(&spec, until(CERTIFICATE_ENDS)).expect("issued");
        assert_eq!(member_of(issued.certificate()), expected, "{spec:?}");
    };
    let kommune = LeafSpec::gateway(KOMMUNE, &["localhost"]);
    check(kommune.clone(), Ok(name(KOMMUNE)));
    check(kommune.clone().without_member(), Err(PeerRefusal::NoMember));
    check(LeafSpec::client(KOMMUNE), Err(PeerRefusal::NoMember));
    check(kommune.claiming_also(CLINIC), Err(PeerRefusal::SeveralMembers));
}
