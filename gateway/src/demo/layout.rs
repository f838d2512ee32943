//! The five organisations of the demo, and the folder that each of them gets.

use std::io;
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::documents::{self, StoryDocument};

/// One organisation of the demo.
#[derive(Debug, Clone, Copy)]
pub struct Organisation {
    /// Member name.
    pub name: &'static str,
    /// What the story calls it.
    pub title: &'static str,
    /// `--role` of `sundbro member init`.
    pub role: &'static str,
    /// Its folders of documents: adapter name and what is in it at the start.
    pub sources: &'static [(&'static str, &'static [StoryDocument])],
}

/// The hospital that is there from the start.
pub const HOSPITAL: usize = 1;
/// The municipality whose health visitor looks.
pub const MUNICIPALITY: usize = 3;
/// The hospital that joins late.
pub const LATE: usize = 4;

/// All of them; the last one joins late.
pub const ORGANISATIONS: [Organisation; 5] = [
    Organisation {
        name: "laegehuset.example",
        title: "the GP practice",
        role: "general-practice",
        sources: &[("journal", documents::GENERAL_PRACTICE)],
    },
    Organisation {
        name: "hospital-nord.example",
        title: "Hospital Nord (obstetrics and midwives)",
        role: "hospital",
        sources: &[("documents", documents::HOSPITAL)],
    },
    Organisation {
        name: "laboratoriet.example",
        title: "the laboratory",
        role: "laboratory",
        sources: &[("answers", documents::LABORATORY)],
    },
    Organisation {
        name: "kommunen.example",
        title: "the municipality (health visitors)",
        role: "municipality",
        sources: &[("visits", documents::MUNICIPALITY)],
    },
    Organisation {
        name: "hospital-syd.example",
        title: "Hospital Syd",
        role: "hospital",
        sources: &[("documents", documents::SECOND_HOSPITAL)],
    },
];

impl Organisation {
    /// How many documents its folders hold at the start.
    pub fn documents(&self) -> usize {
        self.sources.iter().map(|(_, documents)| documents.len()).sum()
    }
}

/// Where the demo lives on disk and on loopback.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    federation_ports: [u16; 5],
    local_ports: [u16; 5],
}

impl Layout {
    /// Takes `root`, which must be empty or absent, and ten free ports.
    ///
    /// # Errors
    /// When the folder cannot be made or is in use, or ports run out.
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        if std::fs::read_dir(root)?.next().is_some() {
            let what = format!("{} is not empty: name another folder with --dir", root.display());
            return Err(io::Error::other(what));
        }
        let ports = free_ports()?;
        let [a, b, c, d, e, f, g, h, i, j] = ports;
        Ok(Self {
            root: root.canonicalize()?,
            federation_ports: [a, b, c, d, e],
            local_ports: [f, g, h, i, j],
        })
    }

    /// The demo's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An organisation's folder.
    pub fn folder(&self, who: usize) -> PathBuf {
        self.root.join(ORGANISATIONS[who].name)
    }

    /// Where its gateway listens for other members.
    pub fn federation_address(&self, who: usize) -> String {
        format!("127.0.0.1:{}", self.federation_ports[who])
    }

    /// Where its gateway listens for local systems.
    pub fn local_address(&self, who: usize) -> String {
        format!("127.0.0.1:{}", self.local_ports[who])
    }

    /// A folder of its documents.
    pub fn documents(&self, who: usize, source: &str) -> PathBuf {
        self.folder(who).join("documents").join(source)
    }

    /// Folder of the finished charters.
    pub fn charters(&self) -> PathBuf {
        self.root.join("charters")
    }

    /// Folder of the stewards' keys and the development PKI.
    pub fn stewards(&self) -> PathBuf {
        self.root.join("stewards")
    }

    /// The configuration of an organisation's gateway.
    pub fn configuration(
        &self,
        who: usize,
        federation_id: &str,
        real_documents: Option<&Path>,
    ) -> String {
        let Organisation { name, sources, .. } = ORGANISATIONS[who];
        let mut text = format!(
            r#"# Written by `sundbro demo`.
member = "{name}"
federation_id = "{federation_id}"
data_dir = "data"
gate_file = "signing.gate"
profile = "dk"
coverage_max_age_ms = 3000

[keys]
dir = "keys"

[federation]
listen = "{federation}"

[federation.tls]
certificate = "tls/federation.pem"
key = "tls/federation.key"
crls = ["tls/crl.pem"]

[local]
listen = "{local}"

[local.tls]
certificate = "tls/local.pem"
key = "tls/local.key"
client_cas = ["tls/ca.pem"]
crls = ["tls/crl.pem"]

# The care record system: states roles, sees pointers, fetches records.
[[local.clients]]
name = "care-record"
certificate_san = "care-record.local.example"
roles = ["midwife", "doctor", "health-visitor", "clerk"]
purposes = ["TREAT"]

# Whoever runs the gateway.
[[local.clients]]
name = "operations"
certificate_san = "operations.local.example"
operator = true
auditor = true

[policy]
dir = "policy"

[log]
format = "json"
"#,
            federation = self.federation_address(who),
            local = self.local_address(who),
        );
        for (source, _) in sources {
            text.push_str(&format!(
                "\n[[adapters.documents]]\nname = \"{source}\"\nfolder = \"documents/{source}\"\nsettle_ms = 200\n\
                 identifier_systems = [\"urn:oid:1.2.208.176.1.2\", \"urn:oid:1.2.208.176.1.6.1.1\"]\n\
                 poll_interval_ms = 1000\n"
            ));
        }
        if let Some(folder) = real_documents {
            text.push_str(&format!(
                "\n[[adapters.documents]]\nname = \"real\"\nfolder = {folder:?}\n\
                 identifier_systems = [\"*\"]\npoll_interval_ms = 1000\n",
                folder = folder.display().to_string()
            ));
        }
        text
    }
}

/// First and last port that the demo takes: below those that operating systems give to callers. One of theirs could be
/// the caller's end of some connection just when the gateway wants to listen there.
const PORTS: RangeInclusive<u16> = 20_000..=31_999;

/// Ten ports that nobody listens on. Demos that start at once begin at different ones.
fn free_ports() -> io::Result<[u16; 10]> {
    let count = u32::from(PORTS.end() - PORTS.start()) + 1;
    let first = std::process::id().wrapping_mul(20) % count;
    // Held all at once, so that no port is handed out twice.
    let mut listeners = Vec::new();
    for offset in 0..count {
        let port = PORTS.start() + ((first + offset) % count) as u16;
        listeners.extend(TcpListener::bind(("127.0.0.1", port)));
        if listeners.len() == 10 {
            break;
        }
    }
    let mut ports = [0; 10];
    for (index, port) in ports.iter_mut().enumerate() {
        let none = || io::Error::other("no ten ports of 127.0.0.1 from 20000 to 31999 are free");
        *port = listeners.get(index).ok_or_else(none)?.local_addr()?.port();
    }
    Ok(ports)
}
