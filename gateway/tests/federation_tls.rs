//! Who gets through the federation door, who does not, what each learns, and what a change of trust closes.

mod support;

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sundbro_gateway::caller::Peer;
use sundbro_gateway::client::{DialError, Target, channel, probe};
use sundbro_gateway::config::{Endpoint, TlsFiles};
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::server::{Door, MAX_CONNECTIONS_PER_MEMBER};
use sundbro_gateway::tls::{FederationTls, Standing, TlsError, provider, watch_files};
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::federation::v1::retrieval_service_server::{
    RetrievalService, RetrievalServiceServer,
};
use sundbro_proto::federation::v1::{
    AcknowledgeRetrievalRequest, AcknowledgeRetrievalResponse, RetrieveRecordRequest,
    RetrieveRecordResponse,
};
use support::{Book, Ca, Leaf, Running, eventually, folder, member, tls};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

const HOSPITAL: &str = "hospital.example";
const KOMMUNE: &str = "kommune.example";
const CLINIC: &str = "clinic.example";

/// Answers who called, in a header.
struct WhoCalled;

#[tonic::async_trait]
impl RetrievalService for WhoCalled {
    type RetrieveRecordStream = tokio_stream::Empty<Result<RetrieveRecordResponse, Status>>;

    async fn retrieve_record(
        &self,
        _request: Request<RetrieveRecordRequest>,
    ) -> Result<Response<Self::RetrieveRecordStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn acknowledge_retrieval(
        &self,
        request: Request<AcknowledgeRetrievalRequest>,
    ) -> Result<Response<AcknowledgeRetrievalResponse>, Status> {
        let peer = Peer::of(&request)?.member().to_string();
        let mut response = Response::new(AcknowledgeRetrievalResponse::default());
        response.metadata_mut().insert("who-called", peer.parse().expect("ASCII"));
        Ok(response)
    }
}

/// A hospital's gateway that serves, and all that a caller needs.
struct World {
    folder: TempDir,
    ca: Ca,
    book: Arc<Book>,
    hospital: Arc<FederationTls>,
    running: Running,
}

impl World {
    async fn new() -> Self {
        Self::with_hospital(|ca| ca.issue(&Leaf::of(HOSPITAL))).await
    }

    async fn with_hospital(files: impl FnOnce(&Ca) -> TlsFiles) -> Self {
        let folder = folder();
        let ca = Ca::new(folder.path(), "Test CA");
        let book = Book::trusting(&ca, &[HOSPITAL, KOMMUNE, CLINIC]);
        let hospital = tls(HOSPITAL, files(&ca), &book);
        let routes = Routes::new(RetrievalServiceServer::new(WhoCalled)).into_axum_router();
        let running = Running::start(Door::Federation(hospital.clone()), routes).await;
        Self { folder, ca, book, hospital, running }
    }

    fn caller(&self, leaf: &Leaf) -> Arc<FederationTls> {
        tls(leaf.uris[0].trim_start_matches("sundbro://"), self.ca.issue(leaf), &self.book)
    }

    fn kommune(&self) -> Arc<FederationTls> {
        self.caller(&Leaf::of(KOMMUNE))
    }

    fn target(&self) -> Target {
        Target { member: member(HOSPITAL), endpoint: self.running.endpoint(), dial: None }
    }

    async fn cause(&self, caller: &FederationTls) -> DialCause {
        probe(caller, &self.target()).await.expect_err("must not get in").cause
    }
}

async fn call(channel: &Channel) -> Result<String, Status> {
    let mut client = RetrievalServiceClient::new(channel.clone());
    let response = client.acknowledge_retrieval(AcknowledgeRetrievalRequest::default()).await?;
    let who = response.metadata().get("who-called").expect("header");
    Ok(who.to_str().expect("ASCII").to_owned())
}

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

/// A caller that does not check itself; returns what the hospital says to it.
async fn raw_call(world: &World, files: &TlsFiles) -> String {
    let config = raw_client(world, files, Resumption::disabled());
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await.expect("our half");
    stream.read_u8().await.expect_err("an alert").to_string()
}

fn raw_client(world: &World, files: &TlsFiles, resumption: Resumption) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(world.ca.certificate()).expect("root");
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("key");
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .expect("pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = resumption;
    Arc::new(config)
}

#[tokio::test]
async fn our_server_offers_no_session_to_resume() {
    let world = World::new().await;
    let files = world.ca.issue(&Leaf::of(KOMMUNE));
    let config = raw_client(&world, &files, Resumption::in_memory_sessions(8));
    for _ in 0..3 {
        let stream = TcpStream::connect(world.running.address).await.expect("connect");
        let name = ServerName::try_from("localhost").expect("name");
        let connector = TlsConnector::from(config.clone());
        let mut stream = connector.connect(name, stream).await.expect("handshake");
        // Tickets would come before the settings frame.
        stream.read_u8().await.expect("the settings frame");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
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

#[tokio::test]
async fn our_client_resumes_no_session_that_it_is_offered() {
    let folder = folder();
    let ca = Ca::new(folder.path(), "Test CA");
    let book = Book::trusting(&ca, &[HOSPITAL, KOMMUNE]);
    let files = ca.issue(&Leaf::of(HOSPITAL));
    let chain = vec![CertificateDer::from_pem_file(&files.certificate).expect("certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("key");
    // A peer of other software, which offers tickets.
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let endpoint = Endpoint { host: "localhost".to_owned(), port };
    let target = Target { member: member(HOSPITAL), endpoint, dial: None };
    let caller = tls(KOMMUNE, ca.issue(&Leaf::of(KOMMUNE)), &book);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = async {
        for _ in 0..3 {
            let (stream, _) = listener.accept().await.expect("accept");
            let mut stream = acceptor.accept(stream).await.expect("handshake");
            stream.write_all(b"settings").await.expect("first word");
            stream.flush().await.expect("first word");
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        }
    };
    let client = async {
        for _ in 0..3 {
            probe(&caller, &target).await.expect("connected");
        }
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn revocation_closes_the_revoked_peer_and_nobody_else() {
    let mut list = None;
    let world = World::with_hospital(|ca| {
        list = Some(ca.revoke("ca.crl", &[]));
        let mut files = ca.issue(&Leaf { serial: 9, ..Leaf::of(HOSPITAL) });
        files.crls.extend(list.clone());
        files
    })
    .await;
    let kommune = world.kommune();
    let kommune_channel = channel(kommune.clone(), world.target()).expect("channel");
    let clinic = world.caller(&Leaf { serial: 2, ..Leaf::of(CLINIC) });
    let clinic_channel = channel(clinic.clone(), world.target()).expect("channel");
    call(&kommune_channel).await.expect("served");
    call(&clinic_channel).await.expect("served");

    world.ca.revoke("ca.crl", &[1]);
    assert_eq!(world.hospital.reload().expect("reload"), 1);

    eventually("the revoked connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    // The clinic's connection is the same one still.
    assert_eq!(world.hospital.connections().count_of(&member(CLINIC)), 1);
    assert_eq!(call(&clinic_channel).await.expect("still served"), CLINIC);
    assert_eq!(world.hospital.connections().count_of(&member(CLINIC)), 1);
    // The revoked peer does not come back, and learns why.
    eventually("the peer notices", || kommune.connections().count() == 0).await;
    let status = call(&kommune_channel).await.expect_err("revoked");
    let error = DialError::in_status(&status).expect("a dial error");
    assert_eq!(error.cause, DialCause::OwnCertificateRefused);
}

#[tokio::test]
async fn a_list_that_cannot_be_used_keeps_no_suspended_member_connected() {
    let mut list = None;
    let world = World::with_hospital(|ca| {
        list = Some(ca.revoke("ca.crl", &[7]));
        let mut files = ca.issue(&Leaf { serial: 9, ..Leaf::of(HOSPITAL) });
        files.crls.extend(list.clone());
        files
    })
    .await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    let clinic = channel(world.caller(&Leaf::of(CLINIC)), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    call(&clinic).await.expect("served");
    // It reads as a list, of a version that no verifier takes; and the charter names a CA that is none.
    Ca::spoil_version(&list.expect("a list"));
    world.book.trust_nonsense();
    world.book.set(KOMMUNE, Standing::Suspended);
    assert!(matches!(world.hospital.reload(), Err(TlsError::Trust(_))));
    eventually("the suspended member's connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    assert_eq!(call(&clinic).await.expect("still served"), CLINIC);
    // What the earlier list revokes stays revoked.
    let revoked = world.caller(&Leaf { serial: 7, ..Leaf::of(CLINIC) });
    let revoked = channel(revoked, world.target()).expect("channel");
    call(&revoked).await.expect_err("revoked");
}

#[tokio::test]
async fn a_caller_sees_that_the_server_is_revoked_and_hangs_up() {
    let world = World::new().await;
    let mut files = world.ca.issue(&Leaf { serial: 9, ..Leaf::of(KOMMUNE) });
    files.crls.push(world.ca.revoke("ca.crl", &[]));
    let kommune = tls(KOMMUNE, files, &world.book);
    let channel = channel(kommune.clone(), world.target()).expect("channel");
    call(&channel).await.expect("served");
    world.ca.revoke("ca.crl", &[1]);
    assert_eq!(kommune.reload().expect("reload"), 1);
    eventually("the connection ends", || kommune.connections().count() == 0).await;
    let status = call(&channel).await.expect_err("revoked");
    let error = DialError::in_status(&status).expect("a dial error");
    assert_eq!(error.cause, DialCause::PeerCertificateRevoked);
}

#[tokio::test]
async fn a_change_of_standing_or_trust_closes_that_members_connections() {
    let world = World::new().await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    let clinic = channel(world.caller(&Leaf::of(CLINIC)), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    call(&clinic).await.expect("served");

    world.book.set(KOMMUNE, Standing::Suspended);
    assert_eq!(world.hospital.reload().expect("reload"), 1);
    eventually("the suspended member's connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    assert_eq!(call(&clinic).await.expect("still served"), CLINIC);
    // TLS lets it in again: it must learn the charter that suspends it.
    eventually_served(&kommune).await;

    world.book.trust_nobody();
    assert_eq!(world.hospital.reload().expect("reload"), 2);
    eventually("every connection ends", || world.hospital.connections().count() == 0).await;
}

/// The caller's side may need a moment to see that its old connection is gone.
async fn eventually_served(channel: &Channel) {
    for _ in 0..1_000 {
        if call(channel).await.is_ok() {
            return;
        }
    }
    panic!("not served again");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_restart_and_closes_nothing() {
    let world = World::new().await;
    let kommune = world.kommune();
    let first = channel(kommune.clone(), world.target()).expect("channel");
    call(&first).await.expect("served");
    let before = presented(&world).await;

    // A half-done renewal: key and certificate do not fit. What was there stays in use.
    std::fs::write(world.folder.path().join(format!("{HOSPITAL}.key")), "").expect("write");
    assert!(matches!(world.hospital.reload(), Err(TlsError::Malformed { .. })));
    assert_eq!(presented(&world).await, before);

    world.ca.issue(&Leaf { serial: 7, ..Leaf::of(HOSPITAL) });
    assert_eq!(world.hospital.reload().expect("reload"), 0);
    assert_ne!(presented(&world).await, before);
    call(&first).await.expect("the old connection goes on");
    assert_eq!(kommune.connections().count(), 1);
}

/// The certificate that the hospital shows to a new connection.
async fn presented(world: &World) -> CertificateDer<'static> {
    let files = world.ca.issue(&Leaf { file: "looker".to_owned(), ..Leaf::of(KOMMUNE) });
    let config = raw_client(world, &files, Resumption::disabled());
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let stream = TlsConnector::from(config).connect(name, stream).await.expect("handshake");
    stream.get_ref().1.peer_certificates().expect("chain")[0].clone().into_owned()
}

#[tokio::test]
async fn a_broken_file_does_not_keep_a_suspended_member_connected() {
    let world = World::new().await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    std::fs::write(world.folder.path().join(format!("{HOSPITAL}.pem")), "nonsense").expect("write");
    world.book.set(KOMMUNE, Standing::Left);
    assert!(world.hospital.reload().is_err());
    eventually("the connection ends", || world.hospital.connections().count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_noticed() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let mut changes = world.hospital.changes();
    let watching = tokio::spawn(watch_files(world.hospital.clone(), stop.clone()));
    let before = presented(&world).await;
    let noticed = async {
        loop {
            // Again and again, since the watch may not have begun with the first.
            world.ca.issue(&Leaf { serial: 7, ..Leaf::of(HOSPITAL) });
            let soon = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
            if soon.is_ok() && presented(&world).await != before {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("noticed");
    stop.cancel();
    watching.await.expect("ends");
}

#[tokio::test]
async fn what_hinders_a_dial_is_told_apart() {
    let world = World::new().await;
    let caller = world.kommune();
    let at = |host: &str, port| Target {
        dial: Some(Endpoint { host: host.to_owned(), port }),
        ..world.target()
    };
    let error = probe(&caller, &at("no-such-host.invalid", 1)).await.expect_err("no such name");
    assert_eq!(error.cause, DialCause::NameNotResolved);

    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    drop(listener);
    let error = probe(&caller, &at("127.0.0.1", port)).await.expect_err("nobody listens");
    assert_eq!(error.cause, DialCause::ConnectionRefused);
    assert!(error.to_string().contains("CONNECTION_REFUSED"), "{error}");

    assert_eq!(
        answered_with(&caller, at, b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        DialCause::ProtocolMismatch
    );
    assert_eq!(answered_with(&caller, at, b"").await, DialCause::HandshakeInterrupted);
}

/// Dials something that reads a little, says `answer` and hangs up.
async fn answered_with(
    caller: &FederationTls,
    at: impl Fn(&str, u16) -> Target,
    answer: &[u8],
) -> DialCause {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let target = at("127.0.0.1", listener.local_addr().expect("address").port());
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut hello = [0; 4_096];
        let _ = stream.read(&mut hello).await.expect("hello");
        stream.write_all(answer).await.expect("answer");
        stream.shutdown().await.expect("shutdown");
    };
    let (_, result) = tokio::join!(server, probe(caller, &target));
    result.expect_err("not a gateway").cause
}

#[tokio::test]
async fn a_channel_finds_a_gateway_that_comes_back() {
    let world = World::new().await;
    let channel = channel(world.kommune(), world.target()).expect("channel");
    call(&channel).await.expect("served");
    let address = world.running.address;
    world.running.stop().await;
    let status = eventually_fails(&channel).await;
    assert_eq!(status.code(), tonic::Code::Unavailable);
    let cause = DialError::in_status(&status).expect("a dial error").cause;
    assert_eq!(cause, DialCause::ConnectionRefused);

    let listener = TcpListener::bind(address).await.expect("the same port");
    let routes = Routes::new(RetrievalServiceServer::new(WhoCalled)).into_axum_router();
    let listening = sundbro_gateway::server::Listening {
        door: Door::Federation(world.hospital.clone()),
        max_connections: 4,
        grace_period: Duration::ZERO,
        stop: CancellationToken::new(),
    };
    tokio::spawn(sundbro_gateway::server::serve(listener, routes, listening));
    eventually_served(&channel).await;
}

async fn eventually_fails(channel: &Channel) -> Status {
    for _ in 0..1_000 {
        if let Err(status) = call(channel).await
            && DialError::in_status(&status).is_some()
        {
            return status;
        }
    }
    panic!("still served");
}
