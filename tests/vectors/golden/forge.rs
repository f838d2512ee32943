//! Makes receipts that break one rule, everything else in them signed and proved as it must be.

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::{Checkpoint, Origin, sign_checkpoint};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::{FederationId, RootHash};
use sundbro_ledger::member::{LogEnd, LogEpoch};
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, proof_to_wire};
use sundbro_ledger::receipt::assemble;
use sundbro_ledger::signing::Purpose;
use sundbro_proto::ledger::v1;

use crate::receipt::all_parts;
use crate::retrieval::{OWNER, REQUESTER, Retrieval};
use crate::world::{HOSPITAL, LABORATORY, RECORD_POSITION, card, hospital, key, name, seed};

/// Seeds of the hospital's keys of a log, and of the three stewards.
pub(crate) const TRANSACTION: u8 = 0x01;
pub(crate) const CHECKPOINT: u8 = 0x02;
const STEWARDS: [u8; 3] = [0x11, 0x12, 0x13];

/// A receipt in its parts. An empty digest is filled in when it is signed, so that a message names the one before.
#[derive(Clone)]
pub(crate) struct Forge {
    /// Heads, members and blobs; its messages are those below, once signed.
    pub(crate) receipt: v1::Receipt,
    pub(crate) request: v1::RetrievalRequest,
    pub(crate) grant: v1::RetrievalGrant,
    pub(crate) completion: Option<v1::RetrievalCompletion>,
    pub(crate) acknowledgement: Option<v1::RetrievalAcknowledgement>,
    /// Seeds of those who sign the four.
    pub(crate) signers: [u8; 4],
    /// The entries of the log that the grant is about, and the member that it is of.
    pub(crate) entries: Vec<Bytes>,
    /// What the reader knows.
    pub(crate) known: FederationId,
    federation: FederationId,
}

impl Forge {
    /// All is right.
    pub(crate) fn new(world: &Retrieval) -> Self {
        let federation = world.federation();
        let receipt = assemble(&world.history, &all_parts(world)).expect("a receipt");
        let mut completion = v1::RetrievalCompletion::decode(world.completion.bytes().clone())
            .expect("a completion");
        completion.grant_sha256.clear();
        let mut grant = v1::RetrievalGrant::decode(world.grant.bytes().clone()).expect("a grant");
        grant.request_sha256.clear();
        let mut acknowledgement =
            v1::RetrievalAcknowledgement::decode(world.acknowledgement.bytes().clone())
                .expect("an acknowledgement");
        acknowledgement.completion_sha256.clear();
        Self {
            receipt,
            request: v1::RetrievalRequest::decode(world.request.bytes().clone())
                .expect("a request"),
            grant,
            completion: Some(completion),
            acknowledgement: Some(acknowledgement),
            signers: [REQUESTER, OWNER, OWNER, REQUESTER],
            entries: world.story.entries.iter().map(|one| one.entry_bytes().clone()).collect(),
            known: federation,
            federation,
        }
    }

    /// The receipt, with all messages signed.
    pub(crate) fn sign(mut self) -> v1::Receipt {
        let [requester, owner, sender, receiver] = self.signers;
        let before = self.signed(Purpose::Request, requester, &self.request);
        fill(&mut self.grant.request_sha256, &before);
        self.receipt.request = Some(before);
        let before = self.signed(Purpose::Grant, owner, &self.grant);
        if let Some(completion) = &mut self.completion {
            fill(&mut completion.grant_sha256, &before);
        }
        self.receipt.grant = Some(before);
        let completion =
            self.completion.as_ref().map(|one| self.signed(Purpose::Completion, sender, one));
        if let Some(acknowledgement) = &mut self.acknowledgement {
            fill(&mut acknowledgement.completion_sha256, &completion.clone().unwrap_or_default());
        }
        self.receipt.completion = completion;
        let acknowledgement = self.acknowledgement.as_ref();
        self.receipt.acknowledgement =
            acknowledgement.map(|one| self.signed(Purpose::Acknowledgement, receiver, one));
        self.receipt
    }

    fn signed(&self, purpose: Purpose, by: u8, message: &impl prost::Message) -> v1::SignedMessage {
        let message = Bytes::from(message.encode_to_vec());
        let signature = key(by).sign(purpose, &self.federation, &message);
        v1::SignedMessage { message, signature: signature.as_bytes().to_vec().into() }
    }

    /// Turns the grant into a refusal.
    pub(crate) fn refuse(&mut self) {
        self.grant = v1::RetrievalGrant {
            format: 1,
            outcome: v1::RetrievalOutcome::Refused.into(),
            policy_sha256: self.grant.policy_sha256.clone(),
            charter_version: self.grant.charter_version,
            key_id: self.grant.key_id,
            ..Default::default()
        };
    }

    /// Puts another header under the entry of the record, signed by this seed, and proves it by another checkpoint.
    pub(crate) fn resign_entry(&mut self, by: u8, change: impl FnOnce(&mut v1::TransactionHeader)) {
        let place = usize::try_from(RECORD_POSITION).expect("small");
        let entry = &self.entries[place];
        let mut header = v1::TransactionHeader::decode(entry.slice(..entry.len() - 64))
            .expect("an entry is a header and a signature");
        change(&mut header);
        let header = header.encode_to_vec();
        let signature = key(by).sign(Purpose::Transaction, &self.federation, &header);
        self.entries[place] = [&header[..], signature.as_bytes()].concat().into();
        self.prove(HOSPITAL, 1, CHECKPOINT, 6);
    }

    /// Puts another payload under the entry of the record.
    pub(crate) fn commit_to(&mut self, blob: &sundbro_ledger::blob::Blob) {
        let commitment = blob.payload_commitment().as_bytes().to_vec();
        let size = u32::try_from(blob.bytes().len()).expect("at most 65,536");
        self.resign_entry(TRANSACTION, |header| {
            header.payload_commitment = commitment.into();
            header.payload_size = size;
        });
        self.receipt.payload_blob = blob.bytes().clone();
    }

    /// Fills in the entry of the record, its proof, and a checkpoint of some log over the first entries.
    pub(crate) fn prove(&mut self, member: &str, epoch: u32, by: u8, size: usize) {
        let leaves = self.entries[..size].iter().map(|entry| leaf_hash(entry));
        let tree: MemoryTree = leaves.collect();
        let place = usize::try_from(RECORD_POSITION).expect("small");
        self.grant.entry = self.entries[place].clone();
        let proof = tree.prove_inclusion(RECORD_POSITION).unwrap_or_default();
        self.grant.inclusion_proof = proof_to_wire(&proof);
        self.checkpoint(member, epoch, by, size, tree.root());
    }

    pub(crate) fn checkpoint(
        &mut self,
        member: &str,
        epoch: u32,
        by: u8,
        size: usize,
        root: RootHash,
    ) {
        let origin = Origin::new(&name(member), &self.federation, epoch);
        let checkpoint = Checkpoint::new(&origin, size as u64, root);
        self.grant.checkpoint = sign_checkpoint(&checkpoint, &key(by)).into();
    }

    /// Changes the newest head, and lets all three stewards sign it.
    pub(crate) fn resign_head(&mut self, change: impl FnOnce(&mut v1::CharterHead)) {
        let newest = self.receipt.heads.last_mut().expect("there are two");
        let mut head = v1::CharterHead::decode(newest.head.clone()).expect("a head");
        change(&mut head);
        newest.head = head.encode_to_vec().into();
        for (one, steward) in newest.signatures.iter_mut().zip(STEWARDS) {
            let signature = key(steward).sign(Purpose::Charter, &self.federation, &newest.head);
            one.signature = signature.as_bytes().to_vec().into();
        }
    }

    /// Adds a newer version, with the entries of both members in it.
    pub(crate) fn add_version(&mut self, charter: &Charter) {
        let wire = charter.to_wire();
        self.receipt.heads.push(v1::ReceiptHead { head: wire.head, signatures: wire.signatures });
        for member in [&self.request.owner, &self.request.requester] {
            self.receipt.members.push(shown(charter, member));
        }
    }

    /// Puts the same registration into the laboratory's log, signed with its keys.
    pub(crate) fn of_another_member(&mut self, world: &Retrieval) {
        let mut logs = world.history.logs();
        let owner = logs.find(|(_, owner)| owner.member.as_str() == LABORATORY);
        let log_id = owner.expect("the laboratory has a log").0.as_bytes().to_vec();
        self.resign_entry(0x09, |header| header.log_id = log_id.into());
        self.prove(LABORATORY, 1, 0x0a, 6);
        self.receipt.members.insert(0, shown(world.history.current(), LABORATORY));
    }
}

fn fill(digest: &mut Bytes, before: &v1::SignedMessage) {
    if digest.is_empty() {
        *digest = Sha256::digest(&before.message).to_vec().into();
    }
}

/// A member's entry as a charter version lists it, with its proof.
fn shown(charter: &Charter, member: &str) -> v1::ReceiptMember {
    let entries: Vec<Bytes> = charter.members().values().map(|one| one.to_bytes()).collect();
    let tree: MemoryTree = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let place = charter.members().keys().position(|one| one.as_str() == member);
    let place = place.expect("a member");
    let proof = tree.prove_inclusion(place as u64).expect("it is in the tree");
    v1::ReceiptMember {
        charter_version: charter.version(),
        entry: entries[place].clone(),
        index: place as u64,
        inclusion_proof: proof_to_wire(&proof),
    }
}

/// Version 3 ends the hospital's log before the record's position.
pub(crate) fn ended(history: &CharterHistory) -> CharterHistory {
    let mut entry = hospital();
    let end = LogEnd { size: RECORD_POSITION, root: RootHash::new(seed(0x76)) };
    entry.log_epochs =
        vec![LogEpoch { epoch: 1, end: Some(end) }, LogEpoch { epoch: 2, end: None }];
    let mut draft = Draft::next(history).expect("no fork");
    draft.replace_member(&card(&entry, &history.federation_id())).expect("a member");
    let mut proposal = draft.propose().expect("keeps every rule");
    for byte in [0x11, 0x13] {
        proposal.sign(&key(byte)).expect("a steward");
    }
    let mut ended = history.clone();
    let offered = ended.offer(proposal.finish().expect("signed by two of three"));
    assert!(matches!(offered, Ok(Offered::Accepted)), "version 3 follows");
    ended
}
