//! How a command reaches a gateway's local listener: address, certificates, and one gRPC channel.
//!
//! The four things stand in a small TOML file (`--client`, or SUNDBRO_CLIENT), so that no command needs four flags.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};

use super::{CliError, Exit};
use crate::config::Endpoint;
use crate::status::chain;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Which gateway a command talks to.
#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// File that names the gateway and our certificate: `address`, `ca`, `certificate`, `key`.
    #[arg(long, env = "SUNDBRO_CLIENT", value_name = "FILE", default_value = "client.toml")]
    client: PathBuf,
}

/// The client file. Relative paths are relative to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientFile {
    /// `host:port` of the gateway's local listener; the host stands in its certificate.
    pub address: String,
    /// PEM of the CA of the gateway's local certificate.
    pub ca: PathBuf,
    /// PEM chain of our client certificate.
    pub certificate: PathBuf,
    /// PKCS#8 PEM of its key.
    pub key: PathBuf,
}

impl ClientArgs {
    /// A channel to the gateway. Connects at its first call.
    pub(super) fn channel(&self) -> Result<Channel, CliError> {
        channel(&self.client)
    }
}

/// A channel to the gateway that a client file names.
pub fn channel(file: &Path) -> Result<Channel, CliError> {
    let usage = |what: String| CliError::new(Exit::Usage, what);
    let text = std::fs::read_to_string(file).map_err(|error| {
        usage(format!(
            "client file {} cannot be read ({error}): name one with --client",
            file.display()
        ))
    })?;
    let client: ClientFile = toml::from_str(&text)
        .map_err(|error| usage(format!("client file {}: {}", file.display(), error.message())))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let endpoint = Endpoint::parse(&client.address).ok_or_else(|| {
        usage(format!("client file {}: address is not host:port", file.display()))
    })?;
    let tls = tls_config(&client, folder).map_err(|(path, problem)| {
        usage(format!("{}: {problem}; it is named in {}", path.display(), file.display()))
    })?;
    let connector = Connector { tls: Arc::new(tls), address: Arc::new(endpoint.clone()) };
    TonicEndpoint::from_shared(format!("https://{endpoint}"))
        .map(|endpoint| endpoint.timeout(RESPONSE_TIMEOUT).connect_with_connector_lazy(connector))
        .map_err(|error| usage(chain(&error)))
}

fn tls_config(
    client: &ClientFile,
    folder: &Path,
) -> Result<rustls::ClientConfig, (PathBuf, String)> {
    let at = |path: &Path| folder.join(path);
    let fail = |path: &Path, error: &dyn std::error::Error| (at(path), chain(error));
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, (PathBuf, String)> {
        CertificateDer::pem_file_iter(at(path))
            .and_then(Iterator::collect)
            .map_err(|error| fail(path, &error))
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(&client.ca)? {
        roots.add(authority).map_err(|error| fail(&client.ca, &error))?;
    }
    let key = PrivateKeyDer::from_pem_file(at(&client.key)).map_err(|e| fail(&client.key, &e))?;
    let mut config = rustls::ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| fail(&client.ca, &error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&client.certificate)?, key)
        .map_err(|error| fail(&client.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Opens connections for tonic; whatever URI tonic asks for, it dials its one address.
#[derive(Clone)]
struct Connector {
    tls: Arc<rustls::ClientConfig>,
    address: Arc<Endpoint>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let Self { tls, address } = self.clone();
        Box::pin(async move {
            let dial = async {
                let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
                TlsConnector::from(tls).connect(name, stream).await.map(TokioIo::new)
            };
            tokio::time::timeout(CONNECT_TIMEOUT, dial)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// What a failed call means for whoever typed the command.
pub(super) fn call_failed(status: &tonic::Status) -> CliError {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    let known = reason
        .as_deref()
        .and_then(|code| crate::reason::ALL.iter().find(|reason| reason.code == code));
    let text = match (known, reason) {
        (Some(known), _) => format!("{} ({}): {}", status.message(), known.code, known.cure),
        (None, Some(code)) => format!("{} ({code})", status.message()),
        (None, None) if std::error::Error::source(status).is_some() => {
            format!("the gateway was not reached: {}", chain(status))
        }
        (None, None) => status.message().to_owned(),
    };
    let error = CliError::new(Exit::of_grpc(status.code()), text);
    match known {
        Some(known) => error.reason(*known),
        None => error,
    }
}

/// Runs one command's calls to their end, on this thread.
pub(super) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, error))?
        .block_on(future)
}
