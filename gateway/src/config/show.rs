//! What a configuration comes to, key by key, and where each value comes from.

use serde_json::{Value, json};
use sundbro_proto::ledger::v1::PurposeOfUse;

use super::lines::Lines;
use super::{CertificateMatch, ClientRule, Config, DocumentsSource, LogFormat, TlsFiles};

/// One value in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Dotted key, with indices: `local.clients[0].roles`.
    pub key: String,
    /// Its value; a path as it is opened. `Null`: none, and its meaning is in the documentation.
    pub value: Value,
    /// The line on which it stands. `None`: it is the default.
    pub line: Option<usize>,
}

/// Every value in force, in the order of the file. No secret is among them: secrets are paths here.
pub(super) fn effective(config: &Config, text: &str) -> Vec<Effective> {
    let lines = Lines::read(text);
    let mut list = List { lines, values: Vec::new() };
    list.put("member", json!(config.member.as_str()));
    list.put("federation_id", json!(config.federation_id.to_string()));
    list.put("data_dir", json!(config.data_dir));
    list.put("gate_file", json!(config.gate_file));
    list.put("profile", json!(config.profile.map(super::Profile::name)));
    list.put("coverage_max_age_ms", millis(config.coverage_max_age));
    list.put("shutdown_grace_period_ms", millis(config.shutdown_grace_period));
    list.put("scrub_interval_ms", millis(config.scrub_interval));
    list.put("store.min_free_bytes", json!(config.min_free_bytes));
    list.put("keys.dir", json!(config.keys_dir));
    list.put("federation.listen", json!(config.federation.listen));
    list.put("federation.max_connections", json!(config.federation.max_connections));
    let interval = millis(config.federation.observation_interval);
    list.put("federation.observation_interval_ms", interval);
    list.tls("federation", &config.federation.tls);
    list.put("local.listen", json!(config.local.listen));
    list.put("local.max_connections", json!(config.local.max_connections));
    list.tls("local", &config.local.tls);
    list.put("local.tls.client_cas", json!(config.local.client_cas));
    for (index, client) in config.local.clients.iter().enumerate() {
        list.client(&format!("local.clients[{index}]"), client);
    }
    for (member, endpoint) in &config.dial {
        list.put(&format!("dial.{member}"), json!(endpoint.to_string()));
    }
    for (index, source) in config.documents.iter().enumerate() {
        list.documents(&format!("adapters.documents[{index}]"), source);
    }
    list.put("policy.dir", json!(config.policy_dir));
    list.put("sight.listen", json!(config.sight));
    let format = match config.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    list.put("log.format", json!(format));
    list.put("log.filter", json!(config.log.filter));
    list.values
}

fn millis(time: std::time::Duration) -> Value {
    json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

struct List {
    lines: Lines,
    values: Vec<Effective>,
}

impl List {
    fn put(&mut self, key: &str, value: Value) {
        self.values.push(Effective { key: key.to_owned(), value, line: self.lines.of(key) });
    }

    fn tls(&mut self, section: &str, files: &TlsFiles) {
        self.put(&format!("{section}.tls.certificate"), json!(files.certificate));
        self.put(&format!("{section}.tls.key"), json!(files.key));
        self.put(&format!("{section}.tls.crls"), json!(files.crls));
    }

    fn client(&mut self, key: &str, client: &ClientRule) {
        self.put(&format!("{key}.name"), json!(client.name));
        match &client.certificate {
            CertificateMatch::Sha256(digest) => {
                self.put(&format!("{key}.certificate_sha256"), json!(hex::encode(digest)));
            }
            CertificateMatch::San(san) => self.put(&format!("{key}.certificate_san"), json!(san)),
        }
        self.put(&format!("{key}.roles"), json!(client.roles));
        let unit = |(system, value): &(String, String)| json!({ "system": system, "value": value });
        self.put(&format!("{key}.units"), client.units.iter().map(unit).collect());
        let code = |purpose: &PurposeOfUse| super::purpose_code(*purpose).map(Value::from);
        self.put(&format!("{key}.purposes"), client.purposes.iter().filter_map(code).collect());
        self.put(&format!("{key}.operator"), json!(client.operator));
        self.put(&format!("{key}.auditor"), json!(client.auditor));
    }

    fn documents(&mut self, key: &str, source: &DocumentsSource) {
        self.put(&format!("{key}.name"), json!(source.name));
        self.put(&format!("{key}.folder"), json!(source.folder));
        self.put(&format!("{key}.identifier_systems"), json!(source.identifier_systems));
        self.put(&format!("{key}.profile"), json!(source.profile.map(super::Profile::name)));
        self.put(&format!("{key}.settle_ms"), millis(source.settle));
        self.put(&format!("{key}.allow_emptied"), json!(source.allow_emptied));
        self.put(&format!("{key}.poll_interval_ms"), millis(source.poll_interval));
    }
}
