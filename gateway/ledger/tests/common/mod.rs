//! A federation of five in memory, for tests: everybody's keys, and charters signed by whomever a test wants.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod branches;
pub mod retrieval;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message as _;
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, CharterError, Environment, members_root};
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
    RegisterIdentifier,
};
use sundbro_ledger::signing::{Purpose, SigningKey};
use sundbro_proto::ledger::v1;

pub const TRANSACTION: u32 = 1;
pub const CHECKPOINT: u32 = 2;
pub const SERVICE: u32 = 3;
pub const SEALING: u32 = 4;
pub const ROOT: u32 = 5;

/// The founders, in order of name.
pub const FOUNDERS: [&str; 5] = [
    "bispebjerg.regionh.example",
    "havnens-laeger.example",
    "laboratoriet.regionh.example",
    "rigshospitalet.regionh.example",
    "sundby.kommune.example",
];

pub fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

/// A key from a name, so that tests are the same every time.
pub fn key(what: &str) -> SigningKey {
    use sha2::Digest as _;
    SigningKey::from_seed(&sha2::Sha256::digest(what).into())
}

/// A commitment to some subject key.
pub fn commitment(epoch: u32) -> [u8; 32] {
    [u8::try_from(epoch).expect("a small epoch"); 32]
}

/// Adds a field that no reader knows: valid protobuf, not canonical.
pub fn with_unknown_field(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0xf8, 0x07, 1]].concat()
}

/// A member with its private keys.
#[derive(Clone)]
pub struct Member {
    pub entry: MemberEntry,
    pub keys: BTreeMap<u32, SigningKey>,
}

impl Member {
    pub fn new(text: &str) -> Self {
        let mut keys = BTreeMap::new();
        let mut listed = Vec::new();
        for (key_id, purpose, log_epoch) in [
            (TRANSACTION, KeyPurpose::Transaction, 1),
            (CHECKPOINT, KeyPurpose::Checkpoint, 1),
            (SERVICE, KeyPurpose::Service, 0),
            (SEALING, KeyPurpose::Sealing, 0),
            (ROOT, KeyPurpose::Root, 0),
        ] {
            let private = key(&format!("{text}/{key_id}"));
            let public_key = match purpose {
                KeyPurpose::Sealing => PublicKey::X25519(x25519(key_id)),
                _ => PublicKey::Ed25519(private.public()),
            };
            listed.push(MemberKey { key_id, purpose, public_key, log_epoch, from: 0, to: None });
            keys.insert(key_id, private);
        }
        let entry = MemberEntry {
            name: name(text),
            display_name: format!("Test: {text}"),
            identifiers: vec![RegisterIdentifier {
                system: "urn:oid:1.2.208.176.1.1".into(),
                value: "12345".into(),
            }],
            roles: vec![MemberRole::Hospital],
            state: MemberState::Active,
            endpoint: Endpoint::new(&format!("gateway.{text}:7443")).expect("an endpoint"),
            keys: listed,
            log_epochs: vec![LogEpoch { epoch: 1, end: None }],
        };
        Self { entry, keys }
    }

    pub fn card(&self, federation: &FederationId) -> v1::MemberCard {
        let keys: Vec<SigningKey> = self.keys.values().cloned().collect();
        make_card(&self.entry, federation, &keys).expect("a card")
    }

    /// Adds a key of the same purpose as an existing one, and gives its id.
    pub fn add_key_like(&mut self, like: u32, from: u64, to: Option<u64>) -> u32 {
        let key_id = self.entry.keys.last().expect("keys").key_id + 1;
        let private = key(&format!("{}/{key_id}", self.entry.name));
        let mut added = self.entry.key(like).expect("a key").clone();
        added.public_key = PublicKey::Ed25519(private.public());
        (added.key_id, added.from, added.to) = (key_id, from, to);
        self.entry.keys.push(added);
        self.keys.insert(key_id, private);
        key_id
    }
}

fn x25519(seed: u32) -> [u8; 32] {
    let mut scalar = [9; 32];
    scalar[..4].copy_from_slice(&seed.to_be_bytes());
    curve25519_dalek::MontgomeryPoint::mul_base_clamped(scalar).0
}

/// What [`Federation::found`] gives copies of.
static FOUNDED: LazyLock<Federation> = LazyLock::new(|| Federation::found_by(""));

/// A federation: its stewards' keys by ordinal, its members, and the charter as everybody has it.
#[derive(Clone)]
pub struct Federation {
    pub stewards: BTreeMap<u32, SigningKey>,
    pub members: BTreeMap<MemberName, Member>,
    pub history: CharterHistory,
}

/// A charter on the wire, before it is signed.
pub struct Unsigned {
    pub head: v1::CharterHead,
    pub members: BTreeMap<String, v1::MemberEntry>,
}

impl Unsigned {
    pub fn of(charter: &Charter) -> Self {
        let decode = |entry: &MemberEntry| {
            let wire = v1::MemberEntry::decode(entry.to_bytes()).expect("an entry");
            (entry.name.to_string(), wire)
        };
        Self {
            head: v1::CharterHead::decode(charter.head_bytes().clone()).expect("a head"),
            members: charter.members().values().map(decode).collect(),
        }
    }

    pub fn member(&mut self, name: &str) -> &mut v1::MemberEntry {
        self.members.get_mut(name).expect("a member")
    }

    /// Fills in count and root, and signs with these stewards.
    pub fn sign<'a>(
        mut self,
        federation: &FederationId,
        signers: impl IntoIterator<Item = (&'a u32, &'a SigningKey)>,
    ) -> v1::Charter {
        let members: Vec<bytes::Bytes> =
            self.members.values().map(|one| one.encode_to_vec().into()).collect();
        let (count, root) = members_root(&members);
        self.head.members_count = count;
        self.head.members_root = root.as_bytes().to_vec().into();
        let head = self.head.encode_to_vec();
        let sign = |(ordinal, key): (&u32, &SigningKey)| v1::StewardSignature {
            ordinal: *ordinal,
            signature: key.sign(Purpose::Charter, federation, &head).as_bytes().to_vec().into(),
        };
        let signatures = signers.into_iter().map(sign).collect();
        v1::Charter { head: head.into(), signatures, members }
    }
}

impl Federation {
    /// Five members, five stewards of whom three must sign, one CA that may certify everybody, one subject epoch.
    pub fn found() -> Self {
        FOUNDED.clone()
    }

    /// As [`found`](Self::found), with other stewards for each salt: another federation with the same members.
    pub fn found_by(salt: &str) -> Self {
        let mut draft = Draft::found(Environment::Test);
        let mut stewards = BTreeMap::new();
        for office in ["Region", "Municipality", "Practice", "Laboratory", "Hospital"] {
            let key = key(&format!("steward {office}{salt}"));
            stewards.insert(draft.add_steward(office, key.public()), key);
        }
        let members: BTreeMap<MemberName, Member> =
            FOUNDERS.iter().map(|text| (name(text), Member::new(text))).collect();
        for member in members.values() {
            draft.add_member(&member.card(&FederationId::FOUNDING)).expect("a founder");
        }
        draft.set_authority(vec![0x30; 64].into(), members.keys().cloned());
        draft.add_subject_epoch(commitment);
        let mut proposal = draft.propose().expect("a proposal");
        for key in stewards.values() {
            proposal.sign(key).expect("a steward");
        }
        let first = proposal.finish().expect("version 1");
        let history = CharterHistory::found(first).expect("a federation");
        Self { stewards, members, history }
    }

    pub fn id(&self) -> FederationId {
        self.history.federation_id()
    }

    pub fn member(&self, text: &str) -> &Member {
        &self.members[&name(text)]
    }

    pub fn member_mut(&mut self, text: &str) -> &mut Member {
        self.members.get_mut(&name(text)).expect("a member")
    }

    pub fn origin(&self, text: &str) -> Origin {
        Origin::new(&name(text), &self.id(), 1)
    }

    pub fn log(&self, text: &str) -> LogId {
        self.origin(text).log_id()
    }

    /// Signs a draft with all stewards and follows it.
    pub fn publish(&mut self, draft: Draft) -> Charter {
        let mut proposal = draft.propose().expect("a proposal");
        for key in self.stewards.values() {
            // A steward who is not one any more has nothing to sign.
            let _ = proposal.sign(key);
        }
        let charter = proposal.finish().expect("enough signatures");
        let offered = self.history.offer(charter.clone()).expect("a valid successor");
        assert_eq!(offered, sundbro_ledger::history::Offered::Accepted);
        charter
    }

    /// The next version with whatever a test changes, unsigned.
    pub fn next(&self, change: impl FnOnce(&mut Unsigned)) -> Unsigned {
        Self::after(self.history.current(), change)
    }

    pub fn after(charter: &Charter, change: impl FnOnce(&mut Unsigned)) -> Unsigned {
        let mut next = Unsigned::of(charter);
        next.head.version += 1;
        next.head.previous = vec![charter.digest().as_bytes().to_vec().into()];
        change(&mut next);
        next
    }

    /// The next version, signed by all stewards of the founding.
    pub fn successor(&self, change: impl FnOnce(&mut Unsigned)) -> Result<Charter, CharterError> {
        Charter::from_wire(&self.next(change).sign(&self.id(), &self.stewards))
    }
}
