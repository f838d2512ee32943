//! What local systems reach: health and reflection for all, calls for clients that the configuration names.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sundbro_gateway::caller::LocalClient;
use sundbro_gateway::config::{CertificateMatch, ClientRule, LocalListener, TlsFiles};
use sundbro_gateway::connections::Connections;
use sundbro_gateway::local::base_routes;
use sundbro_gateway::server::Door;
use sundbro_gateway::tls::certificate::fingerprint;
use sundbro_gateway::tls::{LocalTls, provider};
use sundbro_proto::admin::v1::admin_service_client::AdminServiceClient;
use sundbro_proto::admin::v1::{GetStatusRequest, ListOrphansRequest};
use sundbro_proto::gateway::v1::GetRecordRequest;
use sundbro_proto::gateway::v1::records_service_client::RecordsServiceClient;
use sundbro_proto::ledger::v1::PurposeOfUse;
use support::{Ca, Leaf, Running, eventually, folder};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use tonic_types::StatusExt as _;

struct World {
    _folder: TempDir,
    ca: Ca,
    tls: Arc<LocalTls>,
    running: Running,
    reporter: HealthReporter,
}

/// A leaf for a local client, which names no member.
fn client_leaf(name: &str, serial: u8) -> Leaf {
    let dns = vec![format!("{name}.local.example")];
    Leaf { file: name.to_owned(), dns, uris: Vec::new(), serial, ..Leaf::of("unused.example") }
}

fn rule(name: &str, certificate: CertificateMatch, operator: bool) -> ClientRule {
    ClientRule {
        name: name.to_owned(),
        certificate,
        roles: BTreeSet::from(["midwife".to_owned()]),
        units: BTreeSet::from([(
            "urn:oid:1.2.208.176.1.1".to_owned(),
            "301381000016008".to_owned(),
        )]),
        purposes: BTreeSet::from([PurposeOfUse::Treatment]),
        operator,
        auditor: false,
    }
}

impl World {
    async fn new() -> Self {
        Self::with_grace_period(Duration::from_secs(5)).await
    }

    async fn with_grace_period(grace_period: Duration) -> Self {
        let folder = folder();
        let ca = Ca::new(folder.path(), "Local CA");
        let server = Leaf { dns: vec!["localhost".to_owned()], ..client_leaf("server", 9) };
        let mut tls = ca.issue(&server);
        tls.crls.push(ca.revoke("clients.crl", &[]));
        let operator = ca.issue(&client_leaf("operations", 2));
        let operator = CertificateDer::from_pem_file(operator.certificate).expect("certificate");
        let settings = LocalListener {
            listen: "127.0.0.1:0".parse().expect("address"),
            max_connections: 8,
            tls,
            client_cas: vec![ca.write("clients-ca.pem")],
            clients: vec![
                rule("record", CertificateMatch::San("RECORD.local.example".to_owned()), false),
                rule("operations", CertificateMatch::Sha256(fingerprint(&operator)), true),
            ],
        };
        let tls = LocalTls::load(settings, Connections::new()).expect("TLS");
        let (mut routes, reporter) = base_routes().expect("routes");
        let routes = routes.add_service(service::server()).clone().routes().into_axum_router();
        let running = Running::start_with(Door::Local(tls.clone()), routes, grace_period).await;
        Self { _folder: folder, ca, tls, running, reporter }
    }

    /// A channel with the certificate of these files, or none.
    fn channel(&self, files: Option<TlsFiles>) -> Channel {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate()).expect("root");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match files {
            None => builder.with_no_client_auth(),
            Some(files) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(files.certificate).expect("certificate")],
                    PrivateKeyDer::from_pem_file(files.key).expect("key"),
                )
                .expect("pair"),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let address = self.running.address;
        let connect = tower::service_fn(move |_| {
            let connector = connector.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").expect("name");
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_static("https://localhost").connect_with_connector_lazy(connect)
    }

    fn client(&self, name: &str, serial: u8) -> Channel {
        self.channel(Some(self.ca.issue(&client_leaf(name, serial))))
    }

    /// The operator, whose certificate is known by its digest.
    fn operator(&self) -> Channel {
        let folder = self._folder.path();
        let (certificate, key) = (folder.join("operations.pem"), folder.join("operations.key"));
        self.channel(Some(TlsFiles { certificate, key, crls: Vec::new() }))
    }
}

/// An admin service that answers with the client's name, and never to one question.
mod service {
    use sundbro_proto::admin::v1::admin_service_server::{AdminService, AdminServiceServer};
    use sundbro_proto::admin::v1::*;
    use tonic::{Request, Response, Status};

    use super::LocalClient;

    pub struct WhoCalled;

    pub fn server() -> AdminServiceServer<WhoCalled> {
        AdminServiceServer::new(WhoCalled)
    }

    #[tonic::async_trait]
    impl AdminService for WhoCalled {
        async fn get_status(
            &self,
            request: Request<GetStatusRequest>,
        ) -> Result<Response<GetStatusResponse>, Status> {
            let member = LocalClient::of(&request)?.name().to_owned();
            Ok(Response::new(GetStatusResponse { member, ..Default::default() }))
        }

        async fn publish_charter(
            &self,
            _request: Request<PublishCharterRequest>,
        ) -> Result<Response<PublishCharterResponse>, Status> {
            Err(Status::unimplemented("not asked here"))
        }

        async fn list_quarantine(
            &self,
            _request: Request<ListQuarantineRequest>,
        ) -> Result<Response<ListQuarantineResponse>, Status> {
            Err(Status::unimplemented("not asked here"))
        }

        async fn list_orphans(
            &self,
            _request: Request<ListOrphansRequest>,
        ) -> Result<Response<ListOrphansResponse>, Status> {
            std::future::pending().await
        }

        async fn override_quorum(
            &self,
            _request: Request<OverrideQuorumRequest>,
        ) -> Result<Response<OverrideQuorumResponse>, Status> {
            Err(Status::unimplemented("not asked here"))
        }
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("ErrorInfo").reason
}

async fn who(channel: Channel) -> Result<String, Status> {
    let response = AdminServiceClient::new(channel).get_status(GetStatusRequest {}).await?;
    Ok(response.into_inner().member)
}

#[tokio::test]
async fn health_is_open_and_says_not_serving_until_ready() {
    let world = World::new().await;
    let mut client = HealthClient::new(world.channel(None));
    let ask = || HealthCheckRequest { service: "sundbro.gateway.v1.RecordsService".to_owned() };
    assert_eq!(client.check(ask()).await.expect_err("unknown yet").code(), Code::NotFound);
    world.reporter.set_service_status(ask().service, tonic_health::ServingStatus::Serving).await;
    let answer = client.check(ask()).await.expect("health").into_inner();
    assert_eq!(answer.status, i32::from(ServingStatus::Serving));
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let world = World::new().await;
    let channel = world.channel(None);
    let expected = "sundbro.gateway.v1.RecordsService";
    {
        use tonic_reflection::pb::v1::ServerReflectionRequest;
        use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(channel.clone());
        let asked = client.server_reflection_info(tokio_stream::once(ask)).await.expect("v1");
        let answer = asked.into_inner().message().await.expect("stream").expect("answer");
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("not a list");
        };
        assert!(list.service.iter().any(|service| service.name == expected));
    }
    {
        use tonic_reflection::pb::v1alpha::ServerReflectionRequest;
        use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
        let symbol = MessageRequest::FileContainingSymbol(expected.to_owned());
        let ask = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
        let mut client = ServerReflectionClient::new(channel);
        let asked = client.server_reflection_info(tokio_stream::once(ask)).await.expect("v1alpha");
        let answer = asked.into_inner().message().await.expect("stream").expect("answer");
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
            panic!("not a file");
        };
        assert!(!files.file_descriptor_proto.is_empty());
    }
}

#[tokio::test]
async fn calls_need_a_certificate_that_the_configuration_names() {
    let world = World::new().await;
    let status = who(world.channel(None)).await.expect_err("nobody");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "NO_CLIENT_CERTIFICATE")
    );

    let status = who(world.client("somebody", 3)).await.expect_err("unknown");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "UNKNOWN_CLIENT")
    );

    // A service that is not even there is refused before that can be seen.
    let mut client = RecordsServiceClient::new(world.channel(None));
    let status = client.get_record(GetRecordRequest::default()).await.expect_err("nobody");
    assert_eq!(status.code(), Code::Unauthenticated);
    // By a client that is named (its SAN in other letters), it is seen.
    let mut client = RecordsServiceClient::new(world.client("record", 4));
    let status = client.get_record(GetRecordRequest::default()).await.expect_err("not served");
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn admin_calls_need_an_operator() {
    let world = World::new().await;
    let status = who(world.client("record", 4)).await.expect_err("no operator");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "NOT_OPERATOR"));
    assert_eq!(who(world.operator()).await.expect("an operator"), "operations");
}

#[tokio::test]
async fn a_certificate_of_a_strange_ca_ends_the_handshake() {
    let world = World::new().await;
    let strange = Ca::new(world._folder.path(), "Strange CA");
    let files = strange.issue(&client_leaf("record", 4));
    let status = who(world.channel(Some(files))).await.expect_err("refused");
    assert!(DebugChain(&status).to_string().contains("UnknownCA"), "{}", DebugChain(&status));
}

/// A status with all its causes.
struct DebugChain<'a>(&'a Status);

impl std::fmt::Display for DebugChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&sundbro_gateway::status::chain(self.0))
    }
}

#[tokio::test]
async fn a_revoked_client_is_cut_off_and_others_stay() {
    let world = World::new().await;
    let record = world.client("record", 4);
    let operator = world.operator();
    who(record.clone()).await.expect_err("no operator, but connected");
    who(operator.clone()).await.expect("an operator");
    world.ca.revoke("clients.crl", &[4]);
    assert_eq!(world.tls.reload().expect("reload"), 1);
    eventually("it is cut off", || world.tls.connections().count() == 1).await;
    assert_eq!(who(operator).await.expect("stays"), "operations");
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end_within_the_grace_period() {
    let world = World::with_grace_period(Duration::from_millis(1)).await;
    let mut client = AdminServiceClient::new(world.operator());
    let call =
        tokio::spawn(async move { client.list_orphans(ListOrphansRequest::default()).await });
    eventually("connected", || world.tls.connections().count() == 1).await;
    let World { running, tls, .. } = world;
    running.stop().await;
    assert_eq!(tls.connections().count(), 0);
    assert!(call.await.expect("no panic").is_err());
}
