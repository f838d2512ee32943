//! One retrieval in the made-up federation: what each side signed, and the receipts of it.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use sundbro_ledger::blob::Blob;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::ContentDigest;
use sundbro_ledger::merkle::MemoryTree;
use sundbro_ledger::receipt::{ReceiptParts, assemble};
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Assurance, Completion, CompletionStatus, Decision,
    Grant, Message, Permission, PurposeOfUse, Request, Unit, Verified,
};
use sundbro_proto::ledger::v1;

use crate::world::{
    CLINIC, CONTENT, ENTRIES, HOSPITAL, RECORD_POSITION, key, name, note_at, record,
};

/// One retrieval: what each side signed.
pub(crate) struct Retrieval {
    pub(crate) request: Verified<Request>,
    pub(crate) grant: Verified<Grant>,
    pub(crate) refusal: Verified<Grant>,
    pub(crate) completion: Verified<Completion>,
    pub(crate) acknowledgement: Verified<Acknowledgement>,
}

impl Retrieval {
    pub(crate) fn of(
        history: &CharterHistory,
        origin: &Origin,
        entries: &[Bytes],
        tree: &MemoryTree,
    ) -> Self {
        fn sign<T: Message>(body: T, by: &str, history: &CharterHistory) -> Verified<T> {
            Verified::sign(body, &key(by, 3), &history.federation_id()).expect("a good message")
        }
        let request = Request {
            requester: name(CLINIC),
            owner: name(HOSPITAL),
            record: record(),
            record_version: 1,
            charter_version: 2,
            key_id: 3,
            user: "u-1".into(),
            role: "midwife".into(),
            unit: Some(Unit { system: "urn:oid:1.2.208.176.1.1".into(), value: "678".into() }),
            purpose: PurposeOfUse::Treatment,
            break_glass_reason: None,
            assurance: Assurance::ClientAsserted,
            nonce: [5; 16],
            requested_unix_seconds: 1_764_000_000,
        };
        let request = sign(request, CLINIC, history);
        let content = ContentDigest::new(Sha256::digest(CONTENT).into());
        let place = usize::try_from(RECORD_POSITION).expect("small");
        let permission = Permission {
            rule: "treatment".into(),
            entry: entries[place].clone(),
            inclusion_proof: tree.prove_inclusion(RECORD_POSITION).expect("in the tree"),
            checkpoint: note_at(origin, tree, ENTRIES),
            expected_size_bytes: CONTENT.len() as u64,
            expected_sha256: content,
        };
        let decided = |decision| Grant {
            request: request.digest(),
            policy_sha256: [3; 32],
            charter_version: 2,
            key_id: 3,
            decision,
        };
        let refusal = sign(decided(Decision::Refused), HOSPITAL, history);
        let permit = Decision::Permitted(Box::new(permission));
        let grant = sign(decided(permit), HOSPITAL, history);
        let completion = Completion {
            grant: grant.digest(),
            bytes_sent: CONTENT.len() as u64,
            content_sha256: content,
            status: CompletionStatus::Complete,
            charter_version: 2,
            key_id: 3,
        };
        let completion = sign(completion, HOSPITAL, history);
        let acknowledgement = Acknowledgement {
            completion: completion.digest(),
            status: AcknowledgementStatus::Matching,
            charter_version: 2,
            key_id: 3,
        };
        let acknowledgement = sign(acknowledgement, CLINIC, history);
        Self { request, grant, refusal, completion, acknowledgement }
    }

    pub(crate) fn receipts(&self, history: &CharterHistory, blobs: &[Blob; 2]) -> Vec<v1::Receipt> {
        let whole = ReceiptParts {
            request: self.request.to_wire(),
            grant: self.grant.to_wire(),
            completion: Some(self.completion.to_wire()),
            acknowledgement: Some(self.acknowledgement.to_wire()),
            payload_blob: Some(blobs[0].bytes().clone()),
            detail_blob: Some(blobs[1].bytes().clone()),
        };
        let unanswered = ReceiptParts { acknowledgement: None, detail_blob: None, ..whole.clone() };
        let refused = ReceiptParts {
            grant: self.refusal.to_wire(),
            completion: None,
            acknowledgement: None,
            payload_blob: None,
            detail_blob: None,
            ..whole.clone()
        };
        let parts = [whole, unanswered, refused];
        parts.iter().map(|parts| assemble(history, parts).expect("a receipt")).collect()
    }
}
