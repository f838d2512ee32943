//! The configuration file exactly as written: every key optional, no key unknown.
//!
//! What it means is decided in the parent module; `docs/configuration.md` documents each key, and a test compares
//! these structs, that page and the example file with each other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Our member name.
    pub member: Option<String>,
    /// The federation that we belong to, 64 hexadecimal digits.
    pub federation_id: Option<String>,
    /// Where the databases lie.
    pub data_dir: Option<PathBuf>,
    /// The signing gate.
    pub gate_file: Option<PathBuf>,
    /// Rules of a country.
    pub profile: Option<String>,
    /// How old the knowledge about a peer may be in a complete answer.
    pub coverage_max_age_ms: Option<i64>,
    /// How long a stopping gateway finishes what it has begun.
    pub shutdown_grace_period_ms: Option<i64>,
    /// How often every row of the databases is read and checked.
    pub scrub_interval_ms: Option<i64>,
    /// The databases' disk.
    pub store: Store,
    /// Signing keys.
    pub keys: Keys,
    /// The listener for other members.
    pub federation: Federation,
    /// The listener for local systems.
    pub local: Local,
    /// Where members are dialled instead of at the endpoint in the charter.
    pub dial: BTreeMap<String, String>,
    /// Sources of records.
    pub adapters: Adapters,
    /// Who may read what.
    pub policy: Policy,
    /// Numbers and health for whoever watches.
    pub sight: Sight,
    /// Log lines.
    pub log: Log,
}

/// `[store]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// How much of the disk is kept free.
    pub min_free_bytes: Option<i64>,
}

/// `[keys]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Folder of key files.
    pub dir: Option<PathBuf>,
}

/// `[federation]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federation {
    /// Address to listen on.
    pub listen: Option<String>,
    /// Connections at once.
    pub max_connections: Option<i64>,
    /// How long changes of other logs are gathered before ours vouches for them.
    pub observation_interval_ms: Option<i64>,
    /// Certificate and key.
    pub tls: FederationTls,
}

/// `[federation.tls]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FederationTls {
    /// PEM chain, our certificate first.
    pub certificate: Option<PathBuf>,
    /// PKCS#8 PEM.
    pub key: Option<PathBuf>,
    /// Revocation lists.
    pub crls: Option<Vec<PathBuf>>,
}

/// `[local]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Local {
    /// Address to listen on.
    pub listen: Option<String>,
    /// Connections at once.
    pub max_connections: Option<i64>,
    /// Certificate, key and whom to believe.
    pub tls: LocalTls,
    /// Who may call, and what each may state.
    pub clients: Vec<LocalClient>,
}

/// `[local.tls]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalTls {
    /// PEM chain.
    pub certificate: Option<PathBuf>,
    /// PKCS#8 PEM.
    pub key: Option<PathBuf>,
    /// CAs of client certificates.
    pub client_cas: Option<Vec<PathBuf>>,
    /// Revocation lists of those CAs.
    pub crls: Option<Vec<PathBuf>>,
}

/// `[[local.clients]]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalClient {
    /// Its name in logs and audit.
    pub name: Option<String>,
    /// Which certificate: its digest.
    pub certificate_sha256: Option<String>,
    /// Which certificate: a name in it.
    pub certificate_san: Option<String>,
    /// Roles that it may state.
    pub roles: Option<Vec<String>>,
    /// Units that it may state.
    pub units: Option<Vec<Unit>>,
    /// Purposes that it may state.
    pub purposes: Option<Vec<String>>,
    /// May call AdminService.
    pub operator: Option<bool>,
    /// May read the audit log.
    pub auditor: Option<bool>,
}

/// One unit of `[[local.clients]]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unit {
    /// Identifier system.
    pub system: Option<String>,
    /// Identifier.
    pub value: Option<String>,
}

/// `[adapters]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adapters {
    /// Folders of documents.
    pub documents: Vec<Documents>,
}

/// `[[adapters.documents]]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// Its name; part of every record id that it makes.
    pub name: Option<String>,
    /// The folder.
    pub folder: Option<PathBuf>,
    /// Identifier systems that become tags.
    pub identifier_systems: Option<Vec<String>>,
    /// Rules of a country, if not those of the whole gateway.
    pub profile: Option<String>,
    /// How long a file must rest before it is read.
    pub settle_ms: Option<i64>,
    /// Whether everything that is missing is withdrawn, even if it is most of what was registered.
    pub allow_emptied: Option<bool>,
    /// How often the folder is read through when the file system reports nothing.
    pub poll_interval_ms: Option<i64>,
}

/// `[policy]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Folder of Cedar policies.
    pub dir: Option<PathBuf>,
}

/// `[sight]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sight {
    /// Address to listen on, by plain HTTP.
    pub listen: Option<String>,
}

/// `[log]`.
#[derive(Debug, Default, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: Option<String>,
    /// Which lines: `info`, `sundbro_gateway=debug`.
    pub filter: Option<String>,
}
