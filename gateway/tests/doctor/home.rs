//! A member's home as `sundbro init` leaves it, in a federation of two; and its peer, played by the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use http::HeaderValue;
use sundbro_gateway::config::TlsFiles;
use sundbro_gateway::server::Door;
use sundbro_gateway::tls::FederationTls;
use sundbro_proto::federation::v1::federation_service_server::{
    FederationService, FederationServiceServer,
};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Frame, Hello, SynchroniseRequest, SynchroniseResponse};
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Book, Ca, Leaf, Running, folder, put, tls};

pub const US: &str = "hospital.example";
pub const PEER: &str = "kommune.example";

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    #[allow(dead_code, reason = "shown by Debug when a test fails")]
    pub stderr: String,
}

/// A folder with configuration, keys, certificates and data of [`US`].
pub struct Home {
    folder: TempDir,
    pub ca: Ca,
    pub federation: String,
}

impl Home {
    /// Two stewards found a federation; we are set up in it, and nothing runs.
    pub fn new() -> Self {
        let folder = folder();
        let ca = Ca::new(folder.path(), "ca");
        ca.write("ca.pem");
        let mut home = Self { folder, ca, federation: String::new() };
        for (member, leaf) in [(US, "federation"), (US, "local")] {
            home.ca.issue(&Leaf { file: leaf.to_owned(), ..Leaf::of(member) });
        }
        for member in [US, PEER] {
            let (keys, card) = (format!("{member}-keys"), format!("{member}.card"));
            home.good(&[
                "member",
                "init",
                "--name",
                member,
                "--display-name",
                member,
                "--role",
                "hospital",
                "--endpoint",
                "localhost:1",
                "--keys",
                &keys,
                "--card",
                &card,
            ]);
        }
        home.found();
        fs::create_dir(home.path("documents")).expect("a folder");
        home.configure("localhost:1");
        let id = home.federation.clone();
        home.good(&["init", "--charter", "charters", "--federation", &id]);
        home
    }

    fn found(&mut self) {
        fs::create_dir(self.path("charters")).expect("a folder");
        let mut offices = Vec::new();
        for office in ["north", "south"] {
            let public = self.good(&["charter", "steward-key", &format!("{office}.pem")]);
            offices.push(format!("{office}={}", public.trim()));
        }
        let authority = format!("ca.pem={US},{PEER}");
        let (us, peer) = (format!("{US}.card"), format!("{PEER}.card"));
        let key = format!("{US}-keys/subject-epoch-1.key");
        self.good(&[
            "charter",
            "found",
            "--steward",
            &offices[0],
            "--steward",
            &offices[1],
            "--card",
            &us,
            "--card",
            &peer,
            "--ca",
            &authority,
            "--subject-key",
            &key,
            "--out",
            "charters/0001.charter",
        ]);
        for office in ["north.pem", "south.pem"] {
            self.good(&["charter", "sign", "charters/0001.charter", "--key", office]);
        }
        let shown = self.good(&["--json", "charter", "show", "charters/0001.charter"]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        self.federation = shown["digest"].as_str().expect("a digest").to_owned();
    }

    /// A charter that suspends a member, as another file.
    pub fn suspend(&self, member: &str) -> PathBuf {
        self.good(&[
            "charter",
            "propose",
            "--history",
            "charters",
            "--suspend",
            member,
            "--subject-key",
            "next.key",
            "--out",
            "0002.charter",
        ]);
        for office in ["north.pem", "south.pem"] {
            self.good(&[
                "charter",
                "sign",
                "0002.charter",
                "--history",
                "charters",
                "--key",
                office,
            ]);
        }
        self.path("0002.charter")
    }

    /// Writes the configuration, with the peer dialled here.
    pub fn configure(&self, dial: &str) {
        let text = format!(
            r#"member = "{US}"
federation_id = "{id}"
data_dir = "data"
gate_file = "signing.gate"
profile = "dk"

[keys]
dir = "{US}-keys"

[federation]
listen = "127.0.0.1:0"
tls = {{ certificate = "federation.pem", key = "federation.key" }}

[local]
listen = "127.0.0.1:0"
tls = {{ certificate = "local.pem", key = "local.key" }}

[dial]
"{PEER}" = "{dial}"

[[adapters.documents]]
name = "letters"
folder = "documents"

[policy]
dir = "policy"
"#,
            id = self.federation
        );
        fs::write(self.path("gateway.toml"), text).expect("written");
        fs::create_dir_all(self.path("policy")).expect("a folder");
        let policy =
            "@id(\"a\")\n@says(\"b\")\npermit (principal, action == Action::\"read\", resource);\n";
        fs::write(self.path("policy/a.cedar"), policy).expect("written");
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Runs a command in the folder.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.end(Command::new(env!("CARGO_BIN_EXE_sundbro")).args(arguments))
    }

    /// Runs a command that may have only so many files open.
    pub fn run_with_open_files(&self, limit: u32, arguments: &[&str]) -> Ended {
        let script = format!("ulimit -S -n {limit} && exec \"$0\" \"$@\"");
        let binary = env!("CARGO_BIN_EXE_sundbro");
        self.end(Command::new("sh").args(["-c", &script, binary]).args(arguments))
    }

    fn end(&self, command: &mut Command) -> Ended {
        let output = command
            .current_dir(self.folder.path())
            .env_remove("SUNDBRO_CLIENT")
            .env_remove("SUNDBRO_CONFIG")
            .output()
            .expect("runs");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn good(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.stdout
    }

    /// The peer's files, or those of whoever stands in its place.
    pub fn issue(&self, leaf: &Leaf) -> TlsFiles {
        self.ca.issue(leaf)
    }

    /// TLS of the peer's side with these files; it trusts our CA.
    pub fn peer_tls(&self, name: &str, files: TlsFiles) -> (Arc<FederationTls>, Arc<Book>) {
        let book = Book::trusting(&self.ca, &[US, PEER]);
        (tls(name, files, &book), book)
    }

    /// What a peer's Hello says that is as it should be.
    pub fn hello(&self) -> Hello {
        Hello {
            protocol_min: 1,
            protocol_max: 1,
            software: "sundbro/0.0.1".to_owned(),
            member: PEER.to_owned(),
            federation_id: hex::decode(&self.federation).expect("digits").into(),
            incarnation: 1,
            instance_id: vec![7; 16].into(),
            charter_version: 1,
            subject_epochs: vec![1],
        }
    }
}

/// Says its Hello to whoever opens a stream, and waits.
struct SaysHello(Hello);

#[tonic::async_trait]
impl FederationService for SaysHello {
    type SynchroniseStream = std::pin::Pin<
        Box<dyn futures_util::Stream<Item = Result<SynchroniseResponse, Status>> + Send>,
    >;

    async fn synchronise(
        &self,
        _request: Request<Streaming<SynchroniseRequest>>,
    ) -> Result<Response<Self::SynchroniseStream>, Status> {
        use futures_util::StreamExt as _;
        let frame = Some(Frame { kind: Some(Kind::Hello(self.0.clone())) });
        let first = futures_util::stream::iter([Ok(SynchroniseResponse { frame })]);
        Ok(Response::new(Box::pin(first.chain(futures_util::stream::pending()))))
    }
}

/// A peer that says Hello; with `date`, its answers carry that date.
pub async fn serve_peer(
    tls: Arc<FederationTls>,
    hello: Hello,
    date: Option<&'static str>,
) -> Running {
    let routes: Router =
        Routes::new(FederationServiceServer::new(SaysHello(hello))).into_axum_router();
    let routes = match date {
        None => routes,
        Some(date) => routes.layer(axum::middleware::map_response(
            move |mut response: axum::response::Response| async move {
                response.headers_mut().insert(http::header::DATE, HeaderValue::from_static(date));
                response
            },
        )),
    };
    Running::start(Door::Federation(tls), routes).await
}

/// Copies a folder of files.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        put(&to.join(entry.file_name()), &bytes);
    }
}
