//! The configuration with which a gateway of these tests starts.

use super::member::Member;

/// Name in the certificate of the one local system.
pub const CARE_RECORD: &str = "care-record.local.example";
/// Name in the certificate of the operator's.
pub const OPERATIONS: &str = "operations.local.example";

/// What is in force where a test counts the entries of logs: longer than any of them runs.
const SELDOM: &str = "observation_interval_ms = 300000";
/// As often as a gateway may.
const OFTEN: &str = "observation_interval_ms = 1000";

/// The configuration with which a member vouches for the logs of others as soon as it may.
pub fn observing(configuration: &str) -> String {
    assert!(configuration.contains(SELDOM), "written by `configuration`");
    configuration.replace(SELDOM, OFTEN)
}

/// `gateway.toml` of a member.
pub fn configuration(member: &Member, federation: &str) -> String {
    format!(
        r#"member = "{name}"
federation_id = "{federation}"
data_dir = "data"
gate_file = "signing.gate"
profile = "dk"
shutdown_grace_period_ms = 2000

[keys]
dir = "keys"

[federation]
listen = "{federation_address}"
{SELDOM}

[federation.tls]
certificate = "tls/federation.pem"
key = "tls/federation.key"
crls = ["tls/crl.pem"]

[local]
listen = "{local_address}"

[local.tls]
certificate = "tls/local.pem"
key = "tls/local.key"
client_cas = ["tls/ca.pem"]
crls = ["tls/crl.pem"]

[[local.clients]]
name = "care-record"
certificate_san = "{CARE_RECORD}"
roles = ["doctor", "clerk"]
purposes = ["TREAT"]

[[local.clients]]
name = "operations"
certificate_san = "{OPERATIONS}"
operator = true
auditor = true

[policy]
dir = "policy"

[log]
format = "json"

[[adapters.documents]]
name = "documents"
folder = "documents"
settle_ms = 0
poll_interval_ms = 1000
identifier_systems = ["urn:oid:1.2.208.176.1.2", "urn:oid:1.2.208.176.1.6.1.1"]
"#,
        name = member.name,
        federation_address = member.federation_address,
        local_address = member.local_address,
    )
}
