//! The lists of the configuration: local clients, members dialled elsewhere, and sources of records.

use std::collections::{BTreeMap, BTreeSet};

use sundbro_ledger::ids::MemberName;
use sundbro_proto::ledger::v1::PurposeOfUse;

use super::keys;
use super::meaning::Reader;
use super::{CertificateMatch, ClientRule, DocumentsSource, Endpoint, Problem, Profile, file};

/// Most local clients, adapters and dial overrides: far above any real gateway, low enough to read.
const MAX_LIST: usize = 1_000;
/// Longest name, role or identifier system in bytes: what fits the audit entry.
const MAX_TEXT_BYTES: usize = 256;

impl Reader<'_> {
    pub(super) fn clients(&mut self, written: &[file::LocalClient]) -> Vec<ClientRule> {
        self.at_most("local.clients", written.len());
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        for (index, client) in written.iter().enumerate().take(MAX_LIST) {
            let key = |last: &str| format!("local.clients[{index}].{last}");
            let name = self.name(&key("name"), client.name.as_deref(), &mut names);
            let certificate = self.certificate_match(&key("certificate_sha256"), client);
            let purposes = self.purposes(&key("purposes"), client.purposes.as_deref());
            let roles = self.texts(&key("roles"), client.roles.as_deref());
            let units = self.units(&key("units"), client.units.as_deref());
            let (Some(name), Some(certificate)) = (name, certificate) else { continue };
            rules.push(ClientRule {
                name,
                certificate,
                roles,
                units,
                purposes,
                operator: client.operator.unwrap_or(false),
                auditor: client.auditor.unwrap_or(false),
            });
        }
        rules
    }

    fn at_most(&mut self, key: &str, count: usize) {
        if count > MAX_LIST {
            let problem = Problem::new(key, format!("has {count} elements"), "use at most 1,000");
            self.problem(problem);
        }
    }

    fn name(
        &mut self,
        key: &str,
        text: Option<&str>,
        names: &mut BTreeSet<String>,
    ) -> Option<String> {
        let remedy = "give a name of its own, of at most 64 letters, digits, '-' and '_'";
        let Some(text) = text else {
            self.missing(key, remedy);
            return None;
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let good = !text.is_empty() && text.len() <= 64 && text.bytes().all(fits);
        let what = if !good {
            "is not a name"
        } else if !names.insert(text.to_owned()) {
            "is used twice"
        } else {
            return Some(text.to_owned());
        };
        self.problem(Problem::new(key, what, remedy).value(text));
        None
    }

    fn certificate_match(
        &mut self,
        key: &str,
        client: &file::LocalClient,
    ) -> Option<CertificateMatch> {
        let remedy = "give either certificate_sha256 (64 hexadecimal digits of `openssl x509 -fingerprint \
                      -sha256`, colons allowed) or certificate_san";
        match (&client.certificate_sha256, &client.certificate_san) {
            (Some(text), None) => {
                let digits = text.replace(':', "").to_lowercase();
                let mut digest = [0; 32];
                if hex::decode_to_slice(&digits, &mut digest).is_err() {
                    self.problem(Problem::new(key, "is not a SHA-256", remedy).value(text));
                    return None;
                }
                Some(CertificateMatch::Sha256(digest))
            }
            (None, Some(san)) if (1..=MAX_TEXT_BYTES).contains(&san.len()) => {
                Some(CertificateMatch::San(san.clone()))
            }
            (None, Some(_)) => {
                let key = key.replace("certificate_sha256", "certificate_san");
                self.problem(Problem::new(&key, "is empty or too long", remedy));
                None
            }
            (Some(_), Some(_)) => {
                self.problem(Problem::new(key, "stands beside certificate_san", remedy));
                None
            }
            (None, None) => {
                self.missing(key, remedy);
                None
            }
        }
    }

    fn purposes(&mut self, key: &str, codes: Option<&[String]>) -> BTreeSet<PurposeOfUse> {
        let mut purposes = BTreeSet::new();
        for code in codes.unwrap_or_default().iter().take(MAX_LIST) {
            if let Some(purpose) = super::purpose(code) {
                purposes.insert(purpose);
            } else {
                let remedy = "use TREAT, ETREAT, PATRQT or HOPERAT";
                self.problem(Problem::new(key, "is not a purpose of use", remedy).value(code));
            }
        }
        purposes
    }

    fn texts(&mut self, key: &str, texts: Option<&[String]>) -> BTreeSet<String> {
        let texts = texts.unwrap_or_default();
        self.at_most(key, texts.len());
        for text in texts.iter().take(MAX_LIST) {
            if text.is_empty() || text.len() > MAX_TEXT_BYTES {
                self.problem(Problem::new(
                    key,
                    "has an empty or too long element",
                    "use 1 to 256 bytes",
                ));
            }
        }
        texts.iter().take(MAX_LIST).cloned().collect()
    }

    fn units(&mut self, key: &str, units: Option<&[file::Unit]>) -> BTreeSet<(String, String)> {
        let units = units.unwrap_or_default();
        self.at_most(key, units.len());
        let mut meant = BTreeSet::new();
        for unit in units.iter().take(MAX_LIST) {
            match (unit.system.as_deref(), unit.value.as_deref()) {
                (Some(system), Some(value))
                    if (1..=256).contains(&system.len()) && (1..=128).contains(&value.len()) =>
                {
                    meant.insert((system.to_owned(), value.to_owned()));
                }
                _ => {
                    let remedy =
                        "write { system = \"urn:oid:1.2.208.176.1.1\", value = \"<SOR>\" }";
                    self.problem(Problem::new(key, "has a unit without system or value", remedy));
                }
            }
        }
        meant
    }

    pub(super) fn dial(
        &mut self,
        written: &BTreeMap<String, String>,
    ) -> BTreeMap<MemberName, Endpoint> {
        self.at_most("dial", written.len());
        let mut dial = BTreeMap::new();
        for (member, endpoint) in written.iter().take(MAX_LIST) {
            let key = format!("dial.{member}");
            let name = MemberName::new(member);
            if let Err(error) = &name {
                let remedy = "write \"member\" = \"host:port\" with the member's quoted name";
                self.problem(Problem::new(&key, error.to_string(), remedy));
            }
            let target = Endpoint::parse(endpoint);
            if target.is_none() {
                let remedy = "write host:port, an IPv6 address in brackets";
                self.problem(Problem::new(&key, "is not host:port", remedy).value(endpoint));
            }
            if let (Ok(name), Some(target)) = (name, target) {
                dial.insert(name, target);
            }
        }
        dial
    }

    pub(super) fn documents(
        &mut self,
        written: &[file::Documents],
        gateway_profile: Option<Profile>,
    ) -> Vec<DocumentsSource> {
        self.at_most("adapters.documents", written.len());
        let mut names = BTreeSet::new();
        let mut sources = Vec::new();
        for (index, source) in written.iter().enumerate().take(MAX_LIST) {
            let key = |last: &str| format!("adapters.documents[{index}].{last}");
            let name = self.name(&key("name"), source.name.as_deref(), &mut names);
            let folder = self.path(&key("folder"), source.folder.as_deref());
            // That it is there is no condition: a share that is not mounted must not keep the gateway from serving
            // everything else.
            let profile =
                self.profile(&key("profile"), source.profile.as_deref()).or(gateway_profile);
            let systems = self.systems(
                &key("identifier_systems"),
                source.identifier_systems.as_deref(),
                source.profile.is_some() || profile.is_some(),
            );
            let settle = self.millis(&key("settle_ms"), source.settle_ms, keys::SETTLE);
            let poll_interval =
                self.millis(&key("poll_interval_ms"), source.poll_interval_ms, keys::POLL_INTERVAL);
            let (Some(name), Some(folder)) = (name, folder) else { continue };
            let identifier_systems = systems;
            sources.push(DocumentsSource {
                name,
                folder,
                identifier_systems,
                profile,
                settle,
                allow_emptied: source.allow_emptied.unwrap_or(false),
                poll_interval,
            });
        }
        sources
    }

    fn systems(&mut self, key: &str, systems: Option<&[String]>, has_profile: bool) -> Vec<String> {
        let systems = self.texts(key, systems);
        if systems.is_empty() && !has_profile {
            let remedy =
                "name the identifier systems that become tags (\"*\" is every one), or a profile";
            self.missing(key, remedy);
        }
        systems.into_iter().collect()
    }

    pub(super) fn profile(&mut self, key: &str, text: Option<&str>) -> Option<Profile> {
        match text? {
            "dk" => Some(Profile::Dk),
            other => {
                let remedy = "use \"dk\", or leave it out";
                self.problem(Problem::new(key, "is not a profile", remedy).value(other));
                None
            }
        }
    }
}
