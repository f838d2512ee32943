//! What the configuration means: typed, complete, checked before anything is opened.
//!
//! [`Config::load`] reports all problems at once, with file, key, value and remedy. Secrets are paths, never values.
//! Nobody joins the federation and no key changes by editing this file: it says who *we* are and where things lie.

mod file;
mod keys;
mod lines;
mod lists;
mod meaning;
mod problem;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_proto::ledger::v1::PurposeOfUse;

pub use file::File;
pub use keys::{KEYS, Key, Number, Value};
pub use problem::{ConfigError, Problem};
pub use show::Effective;

/// Largest configuration file in bytes; a larger one is not a configuration.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// One gateway's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Our member name.
    pub member: MemberName,
    /// The federation; everything that we verify hangs on it.
    pub federation_id: FederationId,
    /// Folder of the databases.
    pub data_dir: PathBuf,
    /// The signing gate, best on another disk than `data_dir`.
    pub gate_file: PathBuf,
    /// Folder of the signing keys.
    pub keys_dir: PathBuf,
    /// Rules of a country for identifiers, in documents and in searches. `None`: values are taken as they are.
    pub profile: Option<Profile>,
    /// How old the knowledge about a peer may be in a complete answer.
    pub coverage_max_age: Duration,
    /// How long a stopping gateway finishes what it has begun.
    pub shutdown_grace_period: Duration,
    /// How often every row of the databases is read and checked.
    pub scrub_interval: Duration,
    /// How much of the disk of `data_dir` is kept free.
    pub min_free_bytes: u64,
    /// The listener for other members.
    pub federation: FederationListener,
    /// The listener for local systems.
    pub local: LocalListener,
    /// Where we dial a member instead of at its endpoint in the charter. Changes where, never whom we trust.
    pub dial: BTreeMap<MemberName, Endpoint>,
    /// Folders of documents.
    pub documents: Vec<DocumentsSource>,
    /// Folder of policies: who may read what. `None`: nobody is granted anything (deny by default).
    pub policy_dir: Option<PathBuf>,
    /// Where numbers and health are told, by plain HTTP. `None`: nowhere.
    pub sight: Option<SocketAddr>,
    /// Log lines.
    pub log: LogSettings,
}

/// A host and a port to dial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// DNS name or IP address; IPv6 without brackets.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

impl Endpoint {
    /// Parses `host:port`, with an IPv6 address in brackets. `None` when it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
            // Without brackets nobody can tell where an IPv6 address ends.
            None if host.contains(':') => return None,
            None => host.to_owned(),
        };
        rustls_pki_types::ServerName::try_from(host.as_str()).ok()?;
        let port = port.parse().ok().filter(|&port| port != 0)?;
        Some(Self { host, port })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Files of our side of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM chain, our certificate first.
    pub certificate: PathBuf,
    /// PKCS#8 PEM, not readable by everybody.
    pub key: PathBuf,
    /// Revocation lists of the CAs of the other side, PEM or DER. None: nothing is revoked.
    pub crls: Vec<PathBuf>,
}

/// `[federation]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationListener {
    /// Where other members reach us.
    pub listen: SocketAddr,
    /// Connections at once of callers who are known; one more is closed. Unknown callers are counted apart (`lobby`).
    pub max_connections: usize,
    /// How long changes of other members' logs are gathered before our own log vouches for them.
    pub observation_interval: Duration,
    /// Certificate that names our member.
    pub tls: TlsFiles,
}

/// `[local]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalListener {
    /// Where local systems reach us.
    pub listen: SocketAddr,
    /// Connections at once of callers who are known; one more is closed. Unknown callers are counted apart (`lobby`).
    pub max_connections: usize,
    /// Certificate for local systems.
    pub tls: TlsFiles,
    /// PEM files of the CAs of client certificates. None: no client can prove who it is, only health is served.
    pub client_cas: Vec<PathBuf>,
    /// Who may call.
    pub clients: Vec<ClientRule>,
}

/// One local client and what it may state about its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRule {
    /// Its name in logs and audit.
    pub name: String,
    /// Which certificate is this client.
    pub certificate: CertificateMatch,
    /// Roles that it may state.
    pub roles: BTreeSet<String>,
    /// Units that it may state, (system, value).
    pub units: BTreeSet<(String, String)>,
    /// Purposes of use that it may state.
    pub purposes: BTreeSet<PurposeOfUse>,
    /// May call `AdminService`.
    pub operator: bool,
    /// May read the audit log.
    pub auditor: bool,
}

/// How a client's certificate is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateMatch {
    /// SHA-256 of the DER certificate.
    Sha256([u8; 32]),
    /// A DNS name or URI among its subject alternative names; the CA vouches for it.
    San(String),
}

/// One `[[adapters.documents]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentsSource {
    /// Its name; part of every record id that it makes.
    pub name: String,
    /// The folder.
    pub folder: PathBuf,
    /// Identifier systems that become tags; `*` is every system.
    pub identifier_systems: Vec<String>,
    /// Rules of a country. `None`: values are taken as they are.
    pub profile: Option<Profile>,
    /// How long a file must rest before it is read.
    pub settle: Duration,
    /// Whether everything that is missing is withdrawn, even if it is most of what was registered.
    pub allow_emptied: bool,
    /// How often the folder is read through when the file system reports nothing.
    pub poll_interval: Duration,
}

/// A named set of national rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Denmark: CPR, X-eCPR and D-eCPR.
    Dk,
}

impl Profile {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dk => "dk",
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines, in the syntax of tracing's `EnvFilter`.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks the file, and that the files it names are there.
    ///
    /// # Errors
    /// With every problem found; nothing was opened.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(&Self::text(file)?, file, true)
    }

    /// Every value in force, and on which line of the file it stands.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn effective(file: &Path) -> Result<Vec<Effective>, ConfigError> {
        let text = Self::text(file)?;
        Self::parse(&text, file, true).map(|config| show::effective(&config, &text))
    }

    fn text(file: &Path) -> Result<String, ConfigError> {
        let refuse = |what: String, remedy: &str| ConfigError {
            file: file.to_owned(),
            problems: vec![Problem::new("", what, remedy)],
        };
        let remedy = "name an existing file with --config; docs/examples/gateway.toml is a start";
        let length = std::fs::metadata(file)
            .map_err(|error| refuse(format!("cannot be read ({error})"), remedy))?
            .len();
        if length > MAX_FILE_BYTES {
            return Err(refuse(format!("is {length} bytes long"), "it is not a configuration"));
        }
        std::fs::read_to_string(file)
            .map_err(|error| refuse(format!("cannot be read ({error})"), remedy))
    }

    /// Checks `text` as the contents of `file`; with `look` also that the files it names are there.
    ///
    /// # Errors
    /// With every problem found.
    pub fn parse(text: &str, file: &Path, look: bool) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let written: File = problem::read(text, &mut problems);
        let meant = meaning::meaning(&written, file, look, &mut problems);
        let lines = lines::Lines::read(text);
        for problem in &mut problems {
            problem.line = problem.line.or_else(|| lines.near(&problem.key));
        }
        match meant {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError { file: file.to_owned(), problems }),
        }
    }
}

/// Codes of HL7 v3 PurposeOfUse that a client may state, with what they mean.
const PURPOSES: [(&str, PurposeOfUse); 4] = [
    ("TREAT", PurposeOfUse::Treatment),
    ("ETREAT", PurposeOfUse::EmergencyTreatment),
    ("PATRQT", PurposeOfUse::PatientRequest),
    ("HOPERAT", PurposeOfUse::HealthcareOperations),
];

/// The purpose that a code means.
pub(crate) fn purpose(code: &str) -> Option<PurposeOfUse> {
    PURPOSES.iter().find(|(known, _)| *known == code).map(|(_, purpose)| *purpose)
}

/// The code of a purpose. `None`: no client can state it.
fn purpose_code(purpose: PurposeOfUse) -> Option<&'static str> {
    PURPOSES.iter().find(|(_, known)| *known == purpose).map(|(code, _)| *code)
}
