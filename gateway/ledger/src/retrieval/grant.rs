//! What the owner decides on a request: a permission with proof of what was registered, or a bare refusal.

use bytes::Bytes;
use sundbro_proto::ledger::v1;

use super::{
    FORMAT, HistoryBook, Judging, Message, Request, RetrievalError, SignerBook, Verified, broken,
    check_common, key_of,
};
use crate::canonical;
use crate::checkpoint::UnverifiedCheckpoint;
use crate::fields::{array, field, fits_and_says};
use crate::history::CharterHistory;
use crate::ids::{ContentDigest, MessageDigest};
use crate::merkle::{Proof, proof_from_wire, proof_to_wire, verify_inclusion};
use crate::signing::Purpose;
use crate::transaction::SignedTransaction;

/// Longest grant in bytes: a note of 64 KiB, a proof, an entry.
const MAX_GRANT_LEN: usize = 72 * 1024;

/// Longest name of a rule in bytes.
const MAX_RULE_LEN: usize = 256;

const GRANT: &str = Purpose::Grant.name();

/// The owner's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The request that it answers.
    pub request: MessageDigest,
    /// SHA-256 of the policy in force.
    pub policy_sha256: [u8; 32],
    /// Charter version by which the key is judged.
    pub charter_version: u64,
    /// The owner's SERVICE key.
    pub key_id: u32,
    /// What the owner decided.
    pub decision: Decision,
}

/// What the owner decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The content follows.
    Permitted(Box<Permission>),
    /// Nothing follows, and why stays in the owner's audit log.
    Refused,
}

/// What the owner lets go, and the proof of what it had registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The rule that permitted. 1 to 256 bytes.
    pub rule: String,
    /// The entry that registered the record version: header and signature.
    pub entry: Bytes,
    /// Of `entry` in the tree of `checkpoint`.
    pub inclusion_proof: Proof,
    /// A note of the owner's log that covers the entry.
    pub checkpoint: Bytes,
    /// Registered length of the content in bytes.
    pub expected_size_bytes: u64,
    /// Registered SHA-256 of the content.
    pub expected_sha256: ContentDigest,
}

impl Message for Grant {
    const PURPOSE: Purpose = Purpose::Grant;

    fn parse(bytes: &[u8]) -> Result<Self, RetrievalError> {
        let wire: v1::RetrievalGrant = canonical::decode(bytes, MAX_GRANT_LEN)
            .map_err(|source| RetrievalError::Canonical { message: GRANT, source })?;
        check_common(GRANT, wire.format, (wire.charter_version, wire.key_id))?;
        let wrong = |field| broken(GRANT, field);
        let decision = match v1::RetrievalOutcome::try_from(wire.outcome) {
            Ok(v1::RetrievalOutcome::Permitted) => permission_from_wire(&wire)?,
            Ok(v1::RetrievalOutcome::Refused) => refusal_from_wire(&wire)?,
            _ => return Err(wrong("the outcome is unspecified or unknown")),
        };
        Ok(Self {
            request: array(&wire.request_sha256)
                .map(MessageDigest::new)
                .ok_or(wrong("the digest of the request is not 32 bytes"))?,
            policy_sha256: array(&wire.policy_sha256)
                .ok_or(wrong("the digest of the policy is not 32 bytes"))?,
            charter_version: wire.charter_version,
            key_id: wire.key_id,
            decision,
        })
    }

    fn to_bytes(&self) -> Bytes {
        let mut wire = v1::RetrievalGrant {
            format: FORMAT,
            request_sha256: field(self.request.as_bytes()),
            outcome: v1::RetrievalOutcome::Refused.into(),
            policy_sha256: field(&self.policy_sha256),
            charter_version: self.charter_version,
            key_id: self.key_id,
            ..Default::default()
        };
        if let Decision::Permitted(permission) = &self.decision {
            wire.outcome = v1::RetrievalOutcome::Permitted.into();
            wire.rule = permission.rule.clone();
            wire.entry = permission.entry.clone();
            wire.inclusion_proof = proof_to_wire(&permission.inclusion_proof);
            wire.checkpoint = permission.checkpoint.clone();
            wire.expected_size_bytes = permission.expected_size_bytes;
            wire.expected_sha256 = field(permission.expected_sha256.as_bytes());
        }
        canonical::encode(&wire).into()
    }

    fn key(&self) -> (u64, u32) {
        (self.charter_version, self.key_id)
    }
}

impl Grant {
    /// The permission; `None` after a refusal.
    pub fn permission(&self) -> Option<&Permission> {
        match &self.decision {
            Decision::Permitted(permission) => Some(permission),
            Decision::Refused => None,
        }
    }
}

impl Permission {
    /// The entry, parsed. Of a [`Verified`] grant its signature and its place in the owner's log are proved.
    ///
    /// # Errors
    /// Fails when it is no entry.
    pub fn transaction(&self) -> Result<SignedTransaction, RetrievalError> {
        SignedTransaction::parse(&self.entry).map_err(|_| RetrievalError::Entry)
    }
}

fn permission_from_wire(wire: &v1::RetrievalGrant) -> Result<Decision, RetrievalError> {
    let wrong = |field| broken(GRANT, field);
    if !fits_and_says(&wire.rule, MAX_RULE_LEN) {
        return Err(wrong("the rule is empty, longer than 256 bytes, or has a control character"));
    }
    Ok(Decision::Permitted(Box::new(Permission {
        rule: wire.rule.clone(),
        entry: wire.entry.clone(),
        inclusion_proof: proof_from_wire(&wire.inclusion_proof)?,
        checkpoint: wire.checkpoint.clone(),
        expected_size_bytes: wire.expected_size_bytes,
        expected_sha256: array(&wire.expected_sha256)
            .map(ContentDigest::new)
            .ok_or(wrong("the digest of the content is not 32 bytes"))?,
    })))
}

/// A refusal says nothing but that it is one: the same for a record that does not exist as for one that is withheld.
fn refusal_from_wire(wire: &v1::RetrievalGrant) -> Result<Decision, RetrievalError> {
    let silent = wire.rule.is_empty()
        && wire.entry.is_empty()
        && wire.inclusion_proof.is_empty()
        && wire.checkpoint.is_empty()
        && wire.expected_size_bytes == 0
        && wire.expected_sha256.is_empty();
    if silent { Ok(Decision::Refused) } else { Err(broken(GRANT, "a refusal says more than that")) }
}

/// Checks a grant or refusal: that the owner signed it, that it answers this request, and for a grant that its entry is
/// signed by the owner's log and stands in the tree of a checkpoint that the log signed.
///
/// That the entry registers the record asked for is shown by its payload; see
/// [`check_registration`](super::check_registration).
///
/// # Errors
/// Fails with the first rule that is broken.
pub fn verify_grant(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    history: &CharterHistory,
    judging: Judging,
) -> Result<Verified<Grant>, RetrievalError> {
    check_grant(wire, request, &mut HistoryBook { history, judging })
}

pub(crate) fn check_grant(
    wire: &v1::SignedMessage,
    request: &Verified<Request>,
    book: &mut impl SignerBook,
) -> Result<Verified<Grant>, RetrievalError> {
    let owner = &request.body().owner;
    let grant = Verified::check(wire, |_: &Grant| owner.clone(), book)?;
    if grant.body().request != request.digest() {
        return Err(RetrievalError::OtherMessage { message: GRANT });
    }
    if let Some(permission) = grant.body().permission() {
        check_entry(permission, request.body(), book)?;
    }
    Ok(grant)
}

/// Checks the entry in a permission down to the checkpoint.
fn check_entry(
    permission: &Permission,
    request: &Request,
    book: &mut impl SignerBook,
) -> Result<(), RetrievalError> {
    let transaction = permission.transaction()?;
    let header = transaction.header();
    let log = header.log_id;
    if book.member_of_log(&log).as_ref() != Some(&request.owner) {
        return Err(RetrievalError::NotTheOwnersLog);
    }
    let version = header.charter_version;
    let key = book.transaction_key(&log, version, header.key_id, header.position);
    key_of(key, "entry", version)?
        .verify(
            Purpose::Transaction,
            &book.federation_id(),
            transaction.header_bytes(),
            transaction.signature(),
        )
        .map_err(|_| RetrievalError::Signature { message: "entry" })?;
    let checkpoint = UnverifiedCheckpoint::parse_of(&log, &permission.checkpoint)?;
    let checkpoint = checkpoint.verify_with(|checkpoint| book.checkpoint_key(checkpoint))?;
    verify_inclusion(
        &transaction.leaf(),
        header.position,
        checkpoint.size(),
        &permission.inclusion_proof,
        checkpoint.root(),
    )?;
    Ok(())
}
