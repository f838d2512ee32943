//! Every key of the configuration: what it means, its default and range, and what whoever can change it could do.
//!
//! `docs/configuration.md` is written from this table, numbers are judged by it, and a test compares it with `file.rs`.

use sundbro_store::RESERVE_BYTES;

/// A number with its default and its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Without a word in the file.
    pub default: i64,
    /// Smallest.
    pub least: i64,
    /// Largest.
    pub most: i64,
}

/// What may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(Number),
    /// Default and range in words.
    Text(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Dotted; `[]` stands behind a list.
    pub name: &'static str,
    /// What it means, its unit included.
    pub meaning: &'static str,
    /// Default and range.
    pub value: Value,
    /// What whoever can change it, and nothing else, could do: forge, read or only stop.
    pub power: &'static str,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(Number { default, least, most }) => {
                write!(f, "{default}; {least} to {most}")
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// `coverage_max_age_ms`.
pub(super) const COVERAGE_MAX_AGE: Number =
    Number { default: 60_000, least: 1_000, most: 86_400_000 };
/// `shutdown_grace_period_ms`.
pub(super) const SHUTDOWN_GRACE_PERIOD: Number =
    Number { default: 10_000, least: 0, most: 600_000 };
/// `scrub_interval_ms`. A day finds damage long before the backups that precede it are gone.
pub(super) const SCRUB_INTERVAL: Number =
    Number { default: 86_400_000, least: 60_000, most: 2_592_000_000 };
/// `store.min_free_bytes`. The least is room for the pages that a commit copies, and for the audit log of an hour; the most
/// is larger than any disk.
pub(super) const MIN_FREE: Number =
    Number { default: RESERVE_BYTES.cast_signed(), least: 4 << 20, most: 1 << 50 };
/// `federation.max_connections`.
pub(super) const FEDERATION_MAX_CONNECTIONS: Number =
    Number { default: 1_024, least: 1, most: 100_000 };
/// `federation.observation_interval_ms`.
pub(super) const OBSERVATION_INTERVAL: Number =
    Number { default: 5_000, least: 1_000, most: 300_000 };
/// `local.max_connections`.
pub(super) const LOCAL_MAX_CONNECTIONS: Number = Number { default: 1_024, least: 1, most: 100_000 };
/// `adapters.documents[].settle_ms`.
pub(super) const SETTLE: Number = Number { default: 2_000, least: 0, most: 3_600_000 };
/// `adapters.documents[].poll_interval_ms`.
pub(super) const POLL_INTERVAL: Number = Number { default: 30_000, least: 100, most: 86_400_000 };

/// All keys, in the order of the file.
pub const KEYS: &[Key] = &[
    Key {
        name: "member",
        meaning: "Our member name, as the charter lists us.",
        value: Value::Text("required; a domain name in lower case"),
        power: "stop: the certificate must name the same member",
    },
    Key {
        name: "federation_id",
        meaning: "The federation that we belong to: SHA-256 of version 1 of its charter. Everything that is verified hangs on it, so compare it with your federation by another channel.",
        value: Value::Text("required; 64 hexadecimal digits"),
        power: "forge: another federation's charter would be believed here",
    },
    Key {
        name: "data_dir",
        meaning: "Folder of the databases.",
        value: Value::Text("required"),
        power: "forge: put other databases in our place",
    },
    Key {
        name: "gate_file",
        meaning: "The signing gate: which tree was signed last. Another disk than `data_dir` protects against signing twice after a restore.",
        value: Value::Text("`data_dir`/signing.gate"),
        power: "stop; with an old database beside it, forge a second history of our own log",
    },
    Key {
        name: "profile",
        meaning: "Rules of a country for identifiers, in documents and in searches: `dk` (CPR, X-eCPR, D-eCPR).",
        value: Value::Text("none: values are taken as they are"),
        power: "stop: tags and searches that do not meet those of others",
    },
    Key {
        name: "coverage_max_age_ms",
        meaning: "How old, in milliseconds, the knowledge about a peer may be in an answer that says `replication_complete`. Our own heads are repeated every third of it, at most every 15 s: members that ask for fresher knowledge than others give see their answers as incomplete.",
        value: Value::Number(COVERAGE_MAX_AGE),
        power: "stop: answers claim less, or claim to be complete on older knowledge",
    },
    Key {
        name: "shutdown_grace_period_ms",
        meaning: "How long, in milliseconds, a stopping gateway finishes what it has begun before it cuts connections.",
        value: Value::Number(SHUTDOWN_GRACE_PERIOD),
        power: "stop",
    },
    Key {
        name: "scrub_interval_ms",
        meaning: "How often, in milliseconds, every row of the databases is read and held against what guards it. What a disk damaged is fetched from peers or derived anew by itself, and told where neither helps.",
        value: Value::Number(SCRUB_INTERVAL),
        power: "stop: damage is found late, when nobody holds what it hit any more, or the disk is read all the time",
    },
    Key {
        name: "store.min_free_bytes",
        meaning: "How many bytes of the disk of `data_dir` are kept free. With less, nothing is registered and nothing is taken from peers (`DISK_FULL`), reading, serving and the audit log go on, and everything does once there is room.",
        value: Value::Number(MIN_FREE),
        power: "stop: nothing is registered, or nothing is served any more once the disk is full",
    },
    Key {
        name: "keys.dir",
        meaning: "Folder of our signing and sealing keys, and of the subject keys.",
        value: Value::Text("`data_dir`/keys"),
        power: "stop: other keys are not in the charter",
    },
    Key {
        name: "federation.listen",
        meaning: "IP address and port for other members' gateways.",
        value: Value::Text("required"),
        power: "stop",
    },
    Key {
        name: "federation.max_connections",
        meaning: "Connections of members at once; one more is closed. Callers who have not shown a certificate yet are counted apart: 1,024, of which 256 from one address; the one that waits longest makes room.",
        value: Value::Number(FEDERATION_MAX_CONNECTIONS),
        power: "stop",
    },
    Key {
        name: "federation.observation_interval_ms",
        meaning: "How long, in milliseconds, changes of other members' logs are gathered before our own log vouches for them in one observation. Others see what they published as witnessed that much later.",
        value: Value::Number(OBSERVATION_INTERVAL),
        power: "stop: our log grows by more, or others wait longer for a witness",
    },
    Key {
        name: "federation.tls.certificate",
        meaning: "PEM chain, our certificate first. It holds the endpoint's DNS or IP name and exactly one URI SAN `sundbro://<member>`; for both ends of a connection (client and server authentication).",
        value: Value::Text("required"),
        power: "stop: peers check it against the charter",
    },
    Key {
        name: "federation.tls.key",
        meaning: "Its key: PKCS#8 PEM, ECDSA P-256, not readable by every user.",
        value: Value::Text("required"),
        power: "stop; who can *read* the file can act as us towards peers, but sign nothing",
    },
    Key {
        name: "federation.tls.crls",
        meaning: "Revocation lists of the CAs of the charter, PEM or DER. A CA without a list revokes nothing; an overdue list is used with a warning.",
        value: Value::Text("none"),
        power: "read: a revoked peer would stay connected",
    },
    Key {
        name: "local.listen",
        meaning: "IP address and port for the organisation's own systems.",
        value: Value::Text("required"),
        power: "stop",
    },
    Key {
        name: "local.max_connections",
        meaning: "Connections of local systems that `[[local.clients]]` names, at once; one more is closed. Others, such as health checks, are counted apart: 1,024, of which 256 from one address; the one that waits longest makes room.",
        value: Value::Number(LOCAL_MAX_CONNECTIONS),
        power: "stop",
    },
    Key {
        name: "local.tls.certificate",
        meaning: "PEM chain for local systems, our certificate first.",
        value: Value::Text("required"),
        power: "stop: local systems check it",
    },
    Key {
        name: "local.tls.key",
        meaning: "Its key: PKCS#8 PEM, ECDSA P-256, not readable by every user.",
        value: Value::Text("required"),
        power: "stop; who can *read* the file can act as this gateway towards local systems",
    },
    Key {
        name: "local.tls.client_cas",
        meaning: "PEM certificates of the CAs of client certificates. None: only health and reflection are served.",
        value: Value::Text("none"),
        power: "read and forge: certify itself as any client that is told by `certificate_san`",
    },
    Key {
        name: "local.tls.crls",
        meaning: "Revocation lists of those CAs, PEM or DER.",
        value: Value::Text("none"),
        power: "read: a revoked client would stay connected",
    },
    Key {
        name: "local.clients[].name",
        meaning: "The client's name in logs and audit, used once.",
        value: Value::Text("required; 1 to 64 letters, digits, `-`, `_`"),
        power: "forge: audit entries name another client",
    },
    Key {
        name: "local.clients[].certificate_sha256",
        meaning: "Which certificate is this client: its SHA-256, colons allowed.",
        value: Value::Text("this or `certificate_san`"),
        power: "read and forge: become this client",
    },
    Key {
        name: "local.clients[].certificate_san",
        meaning: "Which certificate is this client: a DNS name or URI in it.",
        value: Value::Text("this or `certificate_sha256`; 1 to 256 bytes"),
        power: "read and forge: become this client",
    },
    Key {
        name: "local.clients[].roles",
        meaning: "Roles of users that it may state.",
        value: Value::Text("none; at most 1000"),
        power: "read: state a role that owners let in",
    },
    Key {
        name: "local.clients[].units[].system",
        meaning: "Identifier system of a unit that it may state, as a URI.",
        value: Value::Text("required in a unit; 1 to 256 bytes"),
        power: "read: state a unit that owners let in",
    },
    Key {
        name: "local.clients[].units[].value",
        meaning: "The unit's identifier in that system.",
        value: Value::Text("required in a unit; 1 to 128 bytes"),
        power: "read: state a unit that owners let in",
    },
    Key {
        name: "local.clients[].purposes",
        meaning: "Purposes of use that it may state: `TREAT`, `ETREAT` (breaks the glass), `PATRQT`, `HOPERAT`.",
        value: Value::Text("none"),
        power: "read: state a purpose that owners let in",
    },
    Key {
        name: "local.clients[].operator",
        meaning: "Whether it may call `AdminService`.",
        value: Value::Text("false"),
        power: "stop; hand over charters, which stewards must have signed all the same",
    },
    Key {
        name: "local.clients[].auditor",
        meaning: "Whether it may read the audit log.",
        value: Value::Text("false"),
        power: "read: who asked for what",
    },
    Key {
        name: "dial.<member>",
        meaning: "Where we dial a member instead of at its endpoint in the charter (`\"member\" = \"host:port\"`). The certificate must hold the name in the charter all the same.",
        value: Value::Text("the charter's endpoint; host and port"),
        power: "stop: whoever answers must be the member",
    },
    Key {
        name: "adapters.documents[].name",
        meaning: "The source's name. Part of every record id that it makes: a new name makes new records.",
        value: Value::Text("required; 1 to 64 letters, digits, `-`, `_`; used once"),
        power: "stop: records are registered again under other ids",
    },
    Key {
        name: "adapters.documents[].folder",
        meaning: "The folder whose documents are registered, with its subfolders.",
        value: Value::Text("required"),
        power: "forge and read: register and serve other files in our name",
    },
    Key {
        name: "adapters.documents[].identifier_systems",
        meaning: "Identifier systems whose identifiers become subject tags; `*` is every system.",
        value: Value::Text("those of the profile; required without one"),
        power: "forge: tag records with other identifiers in the documents",
    },
    Key {
        name: "adapters.documents[].profile",
        meaning: "Rules of a country for identifiers in this folder.",
        value: Value::Text("`profile`"),
        power: "stop: tags that do not meet those of others",
    },
    Key {
        name: "adapters.documents[].settle_ms",
        meaning: "How long, in milliseconds, a file must rest before it is read.",
        value: Value::Number(SETTLE),
        power: "stop: with 0, half-written files are read and quarantined",
    },
    Key {
        name: "adapters.documents[].allow_emptied",
        meaning: "Whether everything that is missing is withdrawn, even if it is most of what was registered. Otherwise that is taken for a share that is not mounted.",
        value: Value::Text("false"),
        power: "stop: withdraw all of its records",
    },
    Key {
        name: "adapters.documents[].poll_interval_ms",
        meaning: "How often, in milliseconds, the folder is read through when the file system reports nothing (network drives).",
        value: Value::Number(POLL_INTERVAL),
        power: "stop: changes are seen late",
    },
    Key {
        name: "policy.dir",
        meaning: "Folder of Cedar policies: who may read what ([policy.md](policy.md)). Taken into use when it changes; `sundbro init` writes the default policies there if it is absent.",
        value: Value::Text("none: nobody is granted anything"),
        power: "read: grant everything to everybody",
    },
    Key {
        name: "sight.listen",
        meaning: "IP address and port where `/metrics`, `/healthz` and `/readyz` are told, by plain HTTP and to everybody who reaches it: counts, member names and file names, no record and no person.",
        value: Value::Text("none: they are told nowhere"),
        power: "read: how much is exchanged with whom, and when",
    },
    Key {
        name: "log.format",
        meaning: "How a log line looks: `text` for people, `json` for programs.",
        value: Value::Text("text"),
        power: "stop: nothing but how lines look",
    },
    Key {
        name: "log.filter",
        meaning: "Which log lines: a level, or `target=level` separated by commas. No level shows personal identifiers or payloads.",
        value: Value::Text("info"),
        power: "stop: hide warnings",
    },
];
