//! One gateway that runs, a federation in which members stand differently, and what requests are made of.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sundbro_certs::DevCa;
use sundbro_gateway::identity::OwnKeys;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::{FederationId, LogId, MemberName, MessageDigest, RecordId};
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Assurance, Message, PurposeOfUse, Request, Verified,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_proto::ledger::v1::SignedMessage;

use super::certificates::now;
use super::harness::{Federation, eventually};
use super::identities::{self, Identity};
use super::rules::Door;

/// Members by their place: whose gateway is asked, and who asks.
pub const GATEWAY: usize = 0;
pub const ACTIVE: usize = 1;
pub const OTHER: usize = 2;
pub const SUSPENDED: usize = 3;
pub const LEFT: usize = 4;
/// A name that no member has.
pub const NOBODY: &str = "privatklinikken.example";

/// Names in the certificates of local clients.
pub const CARE_RECORD: &str = "care-record.local.example";
pub const OPERATIONS: &str = "operations.local.example";
pub const OPERATOR: &str = "operator.local.example";
pub const AUDITOR: &str = "auditor.local.example";

/// Further clients, beside the harness's two.
const MORE_CLIENTS: &str = r#"
[[local.clients]]
name = "operator"
certificate_san = "operator.local.example"
operator = true

[[local.clients]]
name = "auditor"
certificate_san = "auditor.local.example"
auditor = true
"#;

/// The ordinal that `sundbro member init` gives to a SERVICE key.
const SERVICE_KEY: u32 = 3;

/// What the cells are tried on.
pub struct World {
    federation: Federation,
    /// Everybody who knocks.
    pub identities: Vec<Identity>,
    /// The charter in force.
    pub charter_version: u64,
    /// A record of the gateway that is asked.
    pub record: RecordId,
    /// The completion of a retrieval by the active member.
    pub completion: MessageDigest,
    service_keys: Vec<SigningKey>,
    nonces: AtomicU64,
}

impl World {
    /// Founds five members, starts the gateway of one, and lets one be suspended and one leave.
    pub fn new() -> Self {
        let mut federation = Federation::found(5);
        let mut ca = DevCa::load(&federation.pki()).expect("the stewards' CA");
        let mut limited = DevCa::new("A CA for one member", now()).expect("a CA");
        let identities = identities::all(&federation, &mut ca, &limited);
        ca.write(&federation.pki(), now()).expect("a revocation list");
        let gateway = &federation.members[GATEWAY];
        let list = gateway.folder.join("tls/crl.pem");
        fs::copy(federation.pki().join("crl.pem"), list).expect("a revocation list");
        gateway.configure(MORE_CLIENTS);
        federation.at(GATEWAY).start();
        // Alone it signs only because somebody answers for it.
        federation.members[GATEWAY]
            .sundbro(&["log", "override", "--reason", "rehearsal", "--client", "operations.toml"])
            .good();
        let document = federation.members[GATEWAY].write_document();
        federation.members[GATEWAY].await_registered(&[document]);
        let listed = federation.members[GATEWAY].try_list().expect("the gateway answers");
        let record = RecordId::parse(&listed[0].name).expect("a record");

        let folder = federation.pki().join("limited");
        fs::create_dir_all(&folder).expect("a folder");
        limited.write(&folder, now()).expect("a CA");
        let name = |index: usize| federation.members[index].name.clone();
        let authority = format!("{}={}", folder.join("ca.pem").display(), name(SUSPENDED));
        let (suspended, left) = (name(SUSPENDED), name(LEFT));
        federation.amend_with_epoch(&["--suspend", &suspended, "--ca", &authority], GATEWAY);
        let charter_version = federation.amend_with_epoch(&["--let-go", &left], GATEWAY);
        let load = |folder: &std::path::Path| OwnKeys::load(&folder.join("keys")).expect("keys");
        let service_keys =
            federation.members.iter().map(|member| load(&member.folder).service).collect();
        let nonces = AtomicU64::new(1);
        let completion = MessageDigest::new([0; 32]);
        Self { federation, identities, charter_version, record, completion, service_keys, nonces }
    }

    /// The identity of this name at the door where it stands first.
    pub fn identity(&self, name: &str) -> &Identity {
        self.identities.iter().find(|it| it.name == name).expect("one of the identities")
    }

    /// Where a door is.
    pub fn address(&self, door: Door) -> SocketAddr {
        let gateway = &self.federation.members[GATEWAY];
        let text = match door {
            Door::Federation => &gateway.federation_address,
            Door::Local => &gateway.local_address,
        };
        text.parse().expect("an address")
    }

    /// A member's name.
    pub fn name(&self, index: usize) -> MemberName {
        MemberName::new(&self.federation.members[index].name).expect("a name")
    }

    /// The federation.
    pub fn federation_id(&self) -> FederationId {
        let bytes = hex::decode(&self.federation.id).expect("hexadecimal digits");
        FederationId::try_from(&bytes[..]).expect("32 bytes")
    }

    /// The log of the gateway that is asked.
    pub fn log(&self) -> LogId {
        Origin::new(&self.name(GATEWAY), &self.federation_id(), 1).log_id()
    }

    /// The charter in force, encoded.
    pub fn charter(&self) -> Bytes {
        fs::read(self.federation.charter(self.charter_version)).expect("a charter").into()
    }

    /// A request of a member that would be granted, with a nonce that was never used.
    pub fn request(&self, requester: usize) -> Request {
        let mut nonce = [0x4e; 16];
        nonce[..8].copy_from_slice(&self.nonces.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Request {
            requester: self.name(requester),
            owner: self.name(GATEWAY),
            record: self.record.clone(),
            record_version: 1,
            charter_version: self.charter_version,
            key_id: SERVICE_KEY,
            user: "u-4711".to_owned(),
            role: "doctor".to_owned(),
            unit: None,
            purpose: PurposeOfUse::Treatment,
            break_glass_reason: None,
            assurance: Assurance::ClientAsserted,
            nonce,
            requested_unix_seconds: jiff::Timestamp::now().as_second(),
        }
    }

    /// An acknowledgement of a completion.
    pub fn acknowledgement(&self, completion: MessageDigest) -> Acknowledgement {
        Acknowledgement {
            completion,
            status: AcknowledgementStatus::Matching,
            charter_version: self.charter_version,
            key_id: SERVICE_KEY,
        }
    }

    /// Signs with the SERVICE key of a member.
    pub fn sign<T: Message>(&self, message: T, member: usize) -> SignedMessage {
        let signed = Verified::sign(message, &self.service_keys[member], &self.federation_id());
        signed.expect("a message that keeps every rule").to_wire()
    }

    /// The stewards suspend the member whose gateway is asked.
    pub fn suspend_the_gateway(&mut self) {
        self.charter_version = self.federation.suspend(GATEWAY, GATEWAY);
        let version = self.charter_version;
        let gateway = &self.federation.members[GATEWAY];
        eventually("the gateway follows the charter", || {
            let status = gateway.try_status()?;
            (status.coverage.charter_version == version).then_some(())
        });
    }

    /// No cell made the gateway panic, and it still answers.
    pub fn nothing_went_wrong_inside(&self) {
        let gateway = &self.federation.members[GATEWAY];
        assert!(!gateway.has_logged(&["panicked"]), "it panicked:\n{}", gateway.last_lines());
        assert!(gateway.try_status().is_some(), "it answers:\n{}", gateway.last_lines());
    }
}
