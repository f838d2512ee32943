//! A small federation for tests: its charter, everybody's keys, and records to register.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_gateway::subject::grant::SealingKey;
use sundbro_ledger::blob::{Blob, detail_commitment};
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::{Charter, Environment};
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;
use sundbro_store::OwnDraft;

pub const GP: &str = "gp.example";
pub const HOSPITAL: &str = "hospital.example";
pub const LAB: &str = "lab.example";

pub const TRANSACTION: u32 = 1;
pub const CHECKPOINT: u32 = 2;
pub const SEALING: u32 = 3;

pub fn name(text: &str) -> MemberName {
    MemberName::new(text).expect("a member name")
}

fn digest(what: &str) -> [u8; 32] {
    Sha256::digest(what).into()
}

/// A member's key, from its name: tests are the same every time.
pub fn key(member: &str, key_id: u32) -> SigningKey {
    SigningKey::from_seed(&digest(&format!("{member}/{key_id}")))
}

pub fn sealing(member: &str) -> SealingKey {
    SealingKey::new(SEALING, &digest(&format!("{member}/sealing")))
}

pub fn subject_key(epoch: u32) -> SubjectKey {
    SubjectKey::new(digest(&format!("subject {epoch}")))
}

fn entry(member: &str) -> MemberEntry {
    let ed25519 = |key_id| PublicKey::Ed25519(key(member, key_id).public());
    let listed = [
        (TRANSACTION, KeyPurpose::Transaction, ed25519(TRANSACTION), 1),
        (CHECKPOINT, KeyPurpose::Checkpoint, ed25519(CHECKPOINT), 1),
        (SEALING, KeyPurpose::Sealing, PublicKey::X25519(sealing(member).public()), 0),
    ];
    let keys = listed.map(|(key_id, purpose, public_key, log_epoch)| MemberKey {
        key_id,
        purpose,
        public_key,
        log_epoch,
        from: 0,
        to: None,
    });
    MemberEntry {
        name: name(member),
        display_name: member.to_owned(),
        identifiers: Vec::new(),
        roles: vec![MemberRole::Hospital],
        state: MemberState::Active,
        endpoint: Endpoint::new(&format!("{member}:7443")).expect("an endpoint"),
        keys: keys.into(),
        log_epochs: vec![LogEpoch { epoch: 1, end: None }],
    }
}

/// The charter as everybody has it, and the stewards' keys.
#[derive(Clone)]
pub struct Federation {
    stewards: Vec<SigningKey>,
    pub history: CharterHistory,
}

impl Federation {
    /// GP, hospital and laboratory; one steward; one subject epoch.
    pub fn found() -> Self {
        Self::of(&[GP, HOSPITAL, LAB])
    }

    /// As [`Federation::found`], of other members.
    pub fn of(members: &[&str]) -> Self {
        Self::governed_by(1, members)
    }

    /// As [`Federation::of`], with several stewards, more than half of whom sign each version.
    pub fn governed_by(stewards: u32, members: &[&str]) -> Self {
        Self::settled(stewards, members, |_| {})
    }

    /// As [`Federation::governed_by`], with whatever else the first charter says.
    pub fn settled(stewards: u32, members: &[&str], also: impl FnOnce(&mut Draft)) -> Self {
        let stewards: Vec<_> = (1..=stewards).map(|ordinal| key("steward", ordinal)).collect();
        let mut draft = Draft::found(Environment::Test);
        for steward in &stewards {
            draft.add_steward("Region", steward.public());
        }
        for member in members {
            let keys = [key(member, TRANSACTION), key(member, CHECKPOINT)];
            let card = make_card(&entry(member), &FederationId::FOUNDING, &keys).expect("a card");
            draft.add_member(&card).expect("a founder");
        }
        draft.set_authority(vec![0x30; 64].into(), members.iter().map(|member| name(member)));
        draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
        also(&mut draft);
        let mut proposal = draft.propose().expect("a proposal");
        for steward in &stewards {
            proposal.sign(steward).expect("a steward");
        }
        let first = proposal.finish().expect("version 1");
        Self { stewards, history: CharterHistory::found(first).expect("a federation") }
    }

    pub fn id(&self) -> FederationId {
        self.history.federation_id()
    }

    pub fn origin(&self, member: &str) -> Origin {
        Origin::new(&name(member), &self.id(), 1)
    }

    pub fn log(&self, member: &str) -> LogId {
        self.origin(member).log_id()
    }

    /// The next version, signed and followed by the federation; gateways learn it by themselves.
    pub fn publish(&mut self, change: impl FnOnce(&mut Draft)) -> Charter {
        let all: Vec<usize> = (0..self.stewards.len()).collect();
        self.publish_by(&all, change)
    }

    /// As [`Federation::publish`], signed by some of the stewards, counted from 0.
    pub fn publish_by(&mut self, by: &[usize], change: impl FnOnce(&mut Draft)) -> Charter {
        let mut draft = Draft::next(&self.history).expect("a draft");
        change(&mut draft);
        let charter = self.sign(draft, by);
        let _ = self.history.offer(charter.clone()).expect("a valid successor");
        charter
    }

    /// A draft, finished by some of the stewards.
    pub fn sign(&self, draft: Draft, by: &[usize]) -> Charter {
        let mut proposal = draft.propose().expect("a proposal");
        for steward in by {
            proposal.sign(&self.stewards[*steward]).expect("a steward");
        }
        proposal.finish().expect("signed")
    }
}

/// The id, within its member, of the record that [`draft`] registers.
pub fn record_id(member: &MemberName, number: u64) -> [u8; 16] {
    let digest = digest(&format!("{member} record {number}"));
    core::array::from_fn(|at| digest[at])
}

/// A registration with a detail; the same number gives the same bytes.
pub fn draft(member: &MemberName, number: u64) -> OwnDraft {
    let record = v1::ObjectId {
        member: member.to_string(),
        id: Bytes::copy_from_slice(&record_id(member, number)),
    };
    let detail = v1::RecordDetail {
        record: Some(v1::RecordVersion { record: Some(record.clone()), version: 1 }),
        audience: Some(v1::DetailAudience { all: true, ..Default::default() }),
        media_type: "application/fhir+json".into(),
        content_sha256: Bytes::copy_from_slice(&digest("content")),
        content_size_bytes: 7,
        ..Default::default()
    };
    let detail = frame_blob(&detail, &format!("{member} detail {number}"));
    let tag = v1::SubjectTag {
        scheme: 1,
        epoch: 1,
        value: Bytes::copy_from_slice(&digest(&format!("person {}", number % 7))),
    };
    let registered = v1::RecordRegistered {
        record: Some(record),
        version: 1,
        subjects: vec![tag],
        lifecycle: 1,
        detail_commitment: Bytes::copy_from_slice(detail_commitment(detail.bytes()).as_bytes()),
        ..Default::default()
    };
    let payload = v1::TransactionPayload {
        body: Some(v1::transaction_payload::Body::RecordRegistered(registered)),
    };
    let payload = frame_blob(&payload, &format!("{member} payload {number}"));
    OwnDraft {
        commitment: payload.payload_commitment(),
        payload: payload.bytes().clone(),
        audience: Audience::Federation,
        detail: Some((detail.detail_commitment(), detail.bytes().clone())),
        locator: None,
        request: None,
    }
}

fn frame_blob(message: &impl prost::Message, salt: &str) -> Blob {
    Blob::frame(&digest(salt), &message.encode_to_vec(), Audience::Federation).expect("a blob")
}
