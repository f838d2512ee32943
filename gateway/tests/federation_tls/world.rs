//! A hospital's gateway that serves, its charter's word on trust, and callers of every kind.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sundbro_gateway::caller::Peer;
use sundbro_gateway::client::{Target, probe};
use sundbro_gateway::config::TlsFiles;
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::server::Door;
use sundbro_gateway::tls::{FederationTls, provider};
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::federation::v1::retrieval_service_server::{
    RetrievalService, RetrievalServiceServer,
};
use sundbro_proto::federation::v1::{
    AcknowledgeRetrievalRequest, AcknowledgeRetrievalResponse, RetrieveRecordRequest,
    RetrieveRecordResponse,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::support::{Book, Ca, Leaf, Running, folder, member, tls};

pub const HOSPITAL: &str = "hospital.example";
pub const KOMMUNE: &str = "kommune.example";
pub const CLINIC: &str = "clinic.example";
pub const GP: &str = "gp.example";

/// Answers who called, in a header.
pub struct WhoCalled;

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
pub struct World {
    pub folder: TempDir,
    pub ca: Ca,
    pub book: Arc<Book>,
    pub hospital: Arc<FederationTls>,
    pub running: Running,
}

impl World {
    pub async fn new() -> Self {
        Self::with_hospital(|ca| ca.issue(&Leaf::of(HOSPITAL))).await
    }

    pub async fn with_hospital(files: impl FnOnce(&Ca) -> TlsFiles) -> Self {
        Self::serving(Routes::new(RetrievalServiceServer::new(WhoCalled)), files).await
    }

    pub async fn serving(routes: Routes, files: impl FnOnce(&Ca) -> TlsFiles) -> Self {
        let folder = folder();
        let ca = Ca::new(folder.path(), "Test CA");
        let book = Book::trusting(&ca, &[HOSPITAL, KOMMUNE, CLINIC, GP]);
        let hospital = tls(HOSPITAL, files(&ca), &book);
        let door = Door::Federation(hospital.clone());
        let running = Running::start(door, routes.into_axum_router()).await;
        Self { folder, ca, book, hospital, running }
    }

    pub fn caller(&self, leaf: &Leaf) -> Arc<FederationTls> {
        tls(leaf.uris[0].trim_start_matches("sundbro://"), self.ca.issue(leaf), &self.book)
    }

    pub fn kommune(&self) -> Arc<FederationTls> {
        self.caller(&Leaf::of(KOMMUNE))
    }

    pub fn target(&self) -> Target {
        Target { member: member(HOSPITAL), endpoint: self.running.endpoint(), dial: None }
    }

    pub async fn cause(&self, caller: &FederationTls) -> DialCause {
        probe(caller, &self.target()).await.expect_err("must not get in").cause
    }
}

pub async fn call(channel: &Channel) -> Result<String, Status> {
    let mut client = RetrievalServiceClient::new(channel.clone());
    let response = client.acknowledge_retrieval(AcknowledgeRetrievalRequest::default()).await?;
    let who = response.metadata().get("who-called").expect("header");
    Ok(who.to_str().expect("ASCII").to_owned())
}

/// A caller that does not check itself; returns what the hospital says to it.
pub async fn raw_call(world: &World, files: &TlsFiles) -> String {
    let config = raw_client(world, files, Resumption::disabled());
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let mut stream = TlsConnector::from(config).connect(name, stream).await.expect("our half");
    stream.read_u8().await.expect_err("an alert").to_string()
}

pub fn raw_client(world: &World, files: &TlsFiles, resumption: Resumption) -> Arc<ClientConfig> {
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

/// The caller's side may need a moment to see that its old connection is gone.
pub async fn eventually_served(channel: &Channel) {
    for _ in 0..1_000 {
        if call(channel).await.is_ok() {
            return;
        }
    }
    panic!("not served again");
}

/// The certificate that the hospital shows to a new connection.
pub async fn presented(world: &World) -> CertificateDer<'static> {
    let files = world.ca.issue(&Leaf { file: "looker".to_owned(), ..Leaf::of(KOMMUNE) });
    let config = raw_client(world, &files, Resumption::disabled());
    let stream = TcpStream::connect(world.running.address).await.expect("connect");
    let name = ServerName::try_from("localhost").expect("name");
    let stream = TlsConnector::from(config).connect(name, stream).await.expect("handshake");
    stream.get_ref().1.peer_certificates().expect("chain")[0].clone().into_owned()
}
