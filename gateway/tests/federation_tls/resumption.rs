//! No session is resumed, whoever offers one: a resumed one would skip certificate and revocation checks.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{HandshakeKind, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sundbro_gateway::client::{Target, probe};
use sundbro_gateway::config::Endpoint;
use sundbro_gateway::tls::provider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Book, Ca, Leaf, folder, member, tls};
use crate::world::{HOSPITAL, KOMMUNE, World, raw_client};

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
