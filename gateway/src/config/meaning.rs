//! From what is written to what is meant; every rule that a value breaks is noted, none stops the reading.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sundbro_ledger::ids::{FederationId, MemberName};

use super::keys::{self, Number};
use super::problem::resolve;
use super::{
    Config, FederationListener, LocalListener, LogFormat, LogSettings, Problem, TlsFiles, file,
};

/// Converts the file. `None` only when `problems` is not empty.
pub(super) fn meaning(
    written: &file::File,
    path: &Path,
    look: bool,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader { base, look, problems };
    let member = reader.member(written.member.as_deref());
    let federation_id = reader.federation_id(written.federation_id.as_deref());
    let data_dir = reader.path("data_dir", written.data_dir.as_deref());
    let inside = |name: &str| data_dir.as_deref().map(|dir| dir.join(name));
    let gate_file =
        reader.optional_path(written.gate_file.as_deref()).or_else(|| inside("signing.gate"));
    let keys_dir = reader.optional_path(written.keys.dir.as_deref()).or_else(|| inside("keys"));
    let profile = reader.profile("profile", written.profile.as_deref());
    let coverage_max_age =
        reader.millis("coverage_max_age_ms", written.coverage_max_age_ms, keys::COVERAGE_MAX_AGE);
    let shutdown_grace_period = reader.millis(
        "shutdown_grace_period_ms",
        written.shutdown_grace_period_ms,
        keys::SHUTDOWN_GRACE_PERIOD,
    );
    let scrub_interval =
        reader.millis("scrub_interval_ms", written.scrub_interval_ms, keys::SCRUB_INTERVAL);
    let min_free = written.store.min_free_bytes;
    let min_free_bytes = reader.integer("store.min_free_bytes", min_free, keys::MIN_FREE);
    let federation = reader.federation(&written.federation);
    let local = reader.local(&written.local);
    let dial = reader.dial(&written.dial);
    let documents = reader.documents(&written.adapters.documents, profile);
    // Not looked for: `sundbro init` writes it, and what is in it is checked where it is read.
    let policy_dir = reader.optional_path(written.policy.dir.as_deref());
    let sight = written.sight.listen.as_deref();
    let sight = sight.and_then(|listen| reader.listen("sight.listen", Some(listen)));
    let log = reader.log(&written.log);
    Some(Config {
        file: path.to_owned(),
        member: member?,
        federation_id: federation_id?,
        data_dir: data_dir.clone()?,
        gate_file: gate_file?,
        keys_dir: keys_dir?,
        profile,
        coverage_max_age,
        shutdown_grace_period,
        scrub_interval,
        min_free_bytes: min_free_bytes.unsigned_abs(),
        federation: federation?,
        local: local?,
        dial,
        documents,
        policy_dir,
        sight,
        log,
    })
}

/// Collects problems while it reads.
pub(super) struct Reader<'a> {
    base: PathBuf,
    look: bool,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes that a key is missing, unless its value was already found unreadable.
    pub(super) fn missing(&mut self, key: &str, remedy: &str) {
        if !self.problems.iter().any(|problem| problem.key == key) {
            self.problem(Problem::new(key, "is missing", remedy));
        }
    }

    fn member(&mut self, text: Option<&str>) -> Option<MemberName> {
        let remedy = "give the name under which the charter lists this organisation";
        let Some(text) = text else {
            self.missing("member", remedy);
            return None;
        };
        MemberName::new(text)
            .map_err(|error| {
                self.problem(Problem::new("member", error.to_string(), remedy).value(text));
            })
            .ok()
    }

    fn federation_id(&mut self, text: Option<&str>) -> Option<FederationId> {
        let remedy = "copy the 64 digits that `sundbro charter show` prints, and compare them with your \
                      federation by another channel than this file's";
        let Some(text) = text else {
            self.missing("federation_id", remedy);
            return None;
        };
        match FederationId::from_hex(text) {
            Ok(id) if id != FederationId::FOUNDING => Some(id),
            Ok(_) => {
                self.problem(Problem::new("federation_id", "is all zeros", remedy));
                None
            }
            Err(error) => {
                self.problem(Problem::new("federation_id", error.to_string(), remedy).value(text));
                None
            }
        }
    }

    pub(super) fn path(&mut self, key: &str, path: Option<&Path>) -> Option<PathBuf> {
        if path.is_none_or(|path| path.as_os_str().is_empty()) {
            self.missing(key, "give a path; a relative one starts at the folder of this file");
        }
        self.optional_path(path)
    }

    fn optional_path(&self, path: Option<&Path>) -> Option<PathBuf> {
        path.filter(|path| !path.as_os_str().is_empty()).map(|path| resolve(&self.base, path))
    }

    pub(super) fn exists(&mut self, key: &str, path: &Path, remedy: &str) {
        if !self.look {
            return;
        }
        if let Err(error) = fs::metadata(path) {
            let what = format!("cannot be read ({error})");
            self.problem(Problem::new(key, what, remedy).value(path.display()));
        }
    }

    /// A private key that everybody on the machine can read is no secret: refused, not warned about.
    fn key_file(&mut self, key: &str, path: &Path) {
        self.exists(
            key,
            path,
            "put the PKCS#8 PEM key there, readable by the gateway's user alone",
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let readable = |metadata: fs::Metadata| metadata.permissions().mode() & 0o007 != 0;
            if self.look && fs::metadata(path).is_ok_and(readable) {
                let remedy = format!(
                    "chmod o= {0}, and renew the key if others use this machine",
                    path.display()
                );
                let problem = Problem::new(key, "can be read or changed by every user", remedy);
                self.problem(problem.value(path.display()));
            }
        }
    }

    fn integer(&mut self, key: &str, value: Option<i64>, number: Number) -> i64 {
        let value = value.unwrap_or(number.default);
        if !(number.least..=number.most).contains(&value) {
            let remedy = format!("use {} to {}", number.least, number.most);
            self.problem(Problem::new(key, "is out of range", remedy).value(value));
            return number.default;
        }
        value
    }

    pub(super) fn millis(&mut self, key: &str, value: Option<i64>, number: Number) -> Duration {
        Duration::from_millis(self.integer(key, value, number).unsigned_abs())
    }

    fn connections(&mut self, key: &str, value: Option<i64>, number: Number) -> usize {
        usize::try_from(self.integer(key, value, number)).unwrap_or(1)
    }

    fn listen(&mut self, key: &str, text: Option<&str>) -> Option<SocketAddr> {
        let remedy = "give an IP address and a port, such as 0.0.0.0:7443";
        let Some(text) = text else {
            self.missing(key, remedy);
            return None;
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problem(Problem::new(key, "is not an address to listen on", remedy).value(text));
        }
        parsed
    }

    fn tls(
        &mut self,
        section: &str,
        certificate: Option<&Path>,
        key: Option<&Path>,
        crls: Option<&[PathBuf]>,
    ) -> Option<TlsFiles> {
        let name = |last: &str| format!("{section}.tls.{last}");
        let certificate = self.path(&name("certificate"), certificate);
        if let Some(path) = &certificate {
            self.exists(&name("certificate"), path, "put the PEM certificate chain there");
        }
        let key = self.path(&name("key"), key);
        if let Some(path) = &key {
            self.key_file(&name("key"), path);
        }
        let crls = self.files(&name("crls"), crls, "put the CA's revocation list there");
        Some(TlsFiles { certificate: certificate?, key: key?, crls })
    }

    fn files(&mut self, key: &str, paths: Option<&[PathBuf]>, remedy: &str) -> Vec<PathBuf> {
        let paths: Vec<_> =
            paths.unwrap_or_default().iter().map(|path| resolve(&self.base, path)).collect();
        for path in &paths {
            self.exists(key, path, remedy);
        }
        paths
    }

    fn federation(&mut self, written: &file::Federation) -> Option<FederationListener> {
        let listen = self.listen("federation.listen", written.listen.as_deref());
        let max_connections = self.connections(
            "federation.max_connections",
            written.max_connections,
            keys::FEDERATION_MAX_CONNECTIONS,
        );
        let observation_interval = self.millis(
            "federation.observation_interval_ms",
            written.observation_interval_ms,
            keys::OBSERVATION_INTERVAL,
        );
        let tls = self.tls(
            "federation",
            written.tls.certificate.as_deref(),
            written.tls.key.as_deref(),
            written.tls.crls.as_deref(),
        );
        Some(FederationListener {
            listen: listen?,
            max_connections,
            observation_interval,
            tls: tls?,
        })
    }

    fn local(&mut self, written: &file::Local) -> Option<LocalListener> {
        let listen = self.listen("local.listen", written.listen.as_deref());
        let max_connections = self.connections(
            "local.max_connections",
            written.max_connections,
            keys::LOCAL_MAX_CONNECTIONS,
        );
        let tls = self.tls(
            "local",
            written.tls.certificate.as_deref(),
            written.tls.key.as_deref(),
            written.tls.crls.as_deref(),
        );
        let client_cas = self.files(
            "local.tls.client_cas",
            written.tls.client_cas.as_deref(),
            "put the PEM certificate of the CA of your clients there",
        );
        if client_cas.is_empty() && !written.clients.is_empty() {
            self.missing("local.tls.client_cas", "name the CA that certifies [[local.clients]]");
        }
        let clients = self.clients(&written.clients);
        Some(LocalListener { listen: listen?, max_connections, tls: tls?, client_cas, clients })
    }

    fn log(&mut self, written: &file::Log) -> LogSettings {
        let format = match written.format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let problem = Problem::new("log.format", "is not a format", "use text or json");
                self.problem(problem.value(other));
                LogFormat::Text
            }
        };
        let filter = written.filter.clone().unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            let remedy = "write a level, or target=level separated by commas";
            self.problem(Problem::new("log.filter", error.to_string(), remedy).value(&filter));
        }
        LogSettings { format, filter }
    }
}
