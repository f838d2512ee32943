//! Who gets through the federation door and who does not.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use sundbro_gateway::client::{Target, channel, probe};
use sundbro_gateway::config::Endpoint;
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::server::MAX_CONNECTIONS_PER_MEMBER;
use sundbro_gateway::tls::{FederationTls, TlsError, provider};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Book, Ca, Leaf, member, tls};
use crate::world::{CLINIC, HOSPITAL, KOMMUNE, World, call, raw_call, raw_client};

#[tokio::test]
async fn the_right_member_gets_in_and_is_known_by_name() {
    let world = World::new().await;
    let channel = channel(world.kommune(), world.target()).expect("channel");
    assert_eq!(call(&channel).await.expect("served"), KOMMUNE);
    assert_eq!(world.hospital.connections().count_of(&member(KOMMUNE)), 1);
    drop(channel);
    world.running.stop().await;
    assert_eq!(world.hospital.connections().count(), 0);
}

#[tokio::test]
async fn without_a_certificate_nothing_is_served() {
    let world = World::new().await;
    let mut roots = RootCertStore::empty();
    roots.add(world.ca.certificate()).expect("root");
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let mut stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("our half");
    let error = stream.read_u8().await.expect_err("an alert").to_string();
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let world = World::new().await;
    let mut roots = RootCertStore::empty();
    roots.add(world.ca.certificate()).expect("root");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let result = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let error = result.expect_err("refused").to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_on_both_sides() {
    let world = World::new().await;
    let strange = Ca::new(world.folder.path(), "Strange CA");
    // The caller trusts the hospital; the hospital does not trust the caller's CA.
    let caller = tls(KOMMUNE, strange.issue(&Leaf::of(KOMMUNE)), &world.book);
    assert_eq!(world.cause(&caller).await, DialCause::OwnCertificateRefused);
    // The caller's charter lists the strange CA alone.
    let book = Book::trusting(&strange, &[HOSPITAL, KOMMUNE]);
    let caller = tls(KOMMUNE, world.ca.issue(&Leaf::of(KOMMUNE)), &book);
    assert_eq!(world.cause(&caller).await, DialCause::PeerCertificateNotTrusted);
}

#[tokio::test]
async fn a_ca_certifies_only_the_members_that_the_charter_lists_for_it() {
    let world = World::new().await;
    let regional = Ca::new(world.folder.path(), "Regional CA");
    world.book.trust(&regional, &[CLINIC]);
    world.hospital.reload().expect("reload");
    let clinic = tls(CLINIC, regional.issue(&Leaf::of(CLINIC)), &world.book);
    probe(&clinic, &world.target()).await.expect("the clinic gets in");
    // The same CA claims that somebody is the municipality.
    let impostor = tls(KOMMUNE, regional.issue(&Leaf::of(KOMMUNE)), &world.book);
    assert_eq!(world.cause(&impostor).await, DialCause::OwnCertificateRefused);
    // And the other way: the hospital's certificate by a CA that is trusted for the clinic alone.
    let book = Book::trusting(&world.ca, &[CLINIC]);
    let caller = tls(KOMMUNE, world.ca.issue(&Leaf::of(KOMMUNE)), &book);
    assert_eq!(world.cause(&caller).await, DialCause::PeerCertificateNotTrusted);
}

#[tokio::test]
async fn expired_and_future_certificates_are_refused_and_told_apart() {
    let expired = Leaf { not_after_year: 2001, ..Leaf::of(KOMMUNE) };
    let world = World::new().await;
    assert_eq!(world.cause(&world.caller(&expired)).await, DialCause::OwnCertificateRefused);

    let past = |ca: &Ca| ca.issue(&Leaf { not_after_year: 2001, ..Leaf::of(HOSPITAL) });
    let world = World::with_hospital(past).await;
    assert_eq!(world.cause(&world.kommune()).await, DialCause::PeerCertificateExpired);

    let future = |ca: &Ca| ca.issue(&Leaf { not_before_year: 2900, ..Leaf::of(HOSPITAL) });
    let world = World::with_hospital(future).await;
    assert_eq!(world.cause(&world.kommune()).await, DialCause::PeerCertificateNotYetValid);
}

/// An operator is told what the CA that may certify the peer says, and not that the others do not know it.
#[tokio::test]
async fn the_ca_that_may_certify_a_peer_says_what_is_wrong_with_it() {
    let world = World::new().await;
    let regional = Ca::new(world.folder.path(), "Regional CA");
    let mut files = world.ca.issue(&Leaf { serial: 9, ..Leaf::of(KOMMUNE) });
    files.crls.push(world.ca.revoke("ca.crl", &[1]));
    let caller = |book: &Arc<Book>| tls(KOMMUNE, files.clone(), book);
    for [first, second] in [[&world.ca, &regional], [&regional, &world.ca]] {
        let book = Book::trusting(first, &[HOSPITAL]);
        book.trust(second, &[HOSPITAL]);
        assert_eq!(world.cause(&caller(&book)).await, DialCause::PeerCertificateRevoked);
    }
    // What one says that may not certify the peer is no news of it.
    let book = Book::trusting(&world.ca, &[KOMMUNE]);
    book.trust(&regional, &[HOSPITAL]);
    assert_eq!(world.cause(&caller(&book)).await, DialCause::PeerCertificateNotTrusted);
}

#[tokio::test]
async fn a_certificate_for_somebody_else_is_refused() {
    let world = World::new().await;
    let clinic = Target { member: member(CLINIC), ..world.target() };
    let error = probe(&world.kommune(), &clinic).await.expect_err("the hospital answers");
    assert_eq!(error.cause, DialCause::PeerIsAnotherMember);

    let elsewhere = Endpoint { host: "127.0.0.1".to_owned(), ..world.running.endpoint() };
    let target = Target { endpoint: elsewhere.clone(), ..world.target() };
    let error = probe(&world.kommune(), &target).await.expect_err("the certificate says localhost");
    assert_eq!(error.cause, DialCause::PeerNameMismatch);

    // `[dial]` changes where we dial, not which name the certificate must hold.
    let target = Target { dial: Some(elsewhere), ..world.target() };
    probe(&world.kommune(), &target).await.expect("localhost is certified");
}

#[tokio::test]
async fn a_certificate_of_no_or_of_two_members_is_refused() {
    let world = World::new().await;
    for uris in [
        vec!["spiffe://kommune.example".to_owned()],
        vec![format!("sundbro://{KOMMUNE}"), format!("sundbro://{CLINIC}")],
        vec!["sundbro://KOMMUNE.example".to_owned()],
    ] {
        let files = world.ca.issue(&Leaf { uris: uris.clone(), ..Leaf::of(KOMMUNE) });
        // Our own start refuses it …
        let load = FederationTls::load(
            member(KOMMUNE),
            files.clone(),
            world.book.clone(),
            sundbro_gateway::connections::Connections::new(),
        );
        assert!(matches!(load, Err(TlsError::NotOurs { .. })), "{uris:?}");
        // … and so does the hospital, whatever the caller's software is.
        let error = raw_call(&world, &files).await;
        assert!(error.contains("CertificateUnknown"), "{uris:?}: {error}");
    }
}

#[tokio::test]
async fn one_member_cannot_take_the_places_of_all_others() {
    let world = World::new().await;
    let files = world.ca.issue(&Leaf::of(KOMMUNE));
    let config = raw_client(&world, &files, Resumption::disabled());
    let open = async || {
        let stream = TcpStream::connect(world.running.address).await.expect("connect");
        let name = ServerName::try_from("localhost").expect("name");
        TlsConnector::from(config.clone()).connect(name, stream).await.expect("our half")
    };
    let mut kept = Vec::new();
    for _ in 0..MAX_CONNECTIONS_PER_MEMBER {
        let mut stream = open().await;
        stream.read_u8().await.expect("the settings frame");
        kept.push(stream);
    }
    assert!(open().await.read_u8().await.is_err(), "one too many");
    let clinic = world.caller(&Leaf::of(CLINIC));
    probe(&clinic, &world.target()).await.expect("the clinic gets in");
}
