//! Puts a receipt together from a gateway's charter and audit log.

use core::fmt;
use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use sundbro_proto::ledger::v1;

use super::{FORMAT, MAX_RECEIPT_LEN, ReceiptError, verify};
use crate::book::{head_of, judging_version, member_at};
use crate::history::CharterHistory;
use crate::ids::MemberName;
use crate::retrieval::{Acknowledgement, Completion, Grant, Message, Request};

/// What a receipt is made of, beside the charter. Everything as it was signed.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptParts {
    /// The signed request.
    pub request: v1::SignedMessage,
    /// The signed grant or refusal.
    pub grant: v1::SignedMessage,
    /// The signed completion.
    pub completion: Option<v1::SignedMessage>,
    /// The signed acknowledgement.
    pub acknowledgement: Option<v1::SignedMessage>,
    /// The payload's blob, if it shall be shown.
    pub payload_blob: Option<Bytes>,
    /// The detail's blob, if it shall be shown.
    pub detail_blob: Option<Bytes>,
}

impl fmt::Debug for ReceiptParts {
    /// Shows which parts are there, and never the request: its bytes say who asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptParts")
            .field("completion", &self.completion.is_some())
            .field("acknowledgement", &self.acknowledgement.is_some())
            .field("payload_blob", &self.payload_blob.is_some())
            .field("detail_blob", &self.detail_blob.is_some())
            .finish_non_exhaustive()
    }
}

/// Makes a receipt, and checks it as its reader will. It carries the heads up to the one in force, so that it shows the
/// revocations that we know of.
///
/// # Errors
/// Fails when a part does not verify, or our charter lacks a version that one names.
pub fn assemble(
    history: &CharterHistory,
    parts: &ReceiptParts,
) -> Result<v1::Receipt, ReceiptError> {
    let request = Request::parse(&parts.request.message)?;
    let grant = Grant::parse(&parts.grant.message)?;
    let mut of_requester = BTreeSet::from([request.charter_version, history.in_force()]);
    let mut of_owner = BTreeSet::from([grant.charter_version, history.in_force()]);
    if let Some(permission) = grant.permission() {
        of_owner.insert(permission.transaction()?.header().charter_version);
    }
    if let Some(completion) = &parts.completion {
        of_owner.insert(Completion::parse(&completion.message)?.charter_version);
    }
    if let Some(acknowledgement) = &parts.acknowledgement {
        of_requester.insert(Acknowledgement::parse(&acknowledgement.message)?.charter_version);
    }
    let judging = |version| judging_version(history, version);
    let of_requester =
        of_requester.into_iter().map(|version| (judging(version), &request.requester));
    let of_owner = of_owner.into_iter().map(|version| (judging(version), &request.owner));
    // In order of version and name; a member that asks itself stands once.
    let wanted: BTreeSet<(u64, &MemberName)> = of_requester.chain(of_owner).collect();
    let members = wanted.into_iter().map(|(version, name)| member_at(history, version, name));
    let receipt = v1::Receipt {
        format: FORMAT,
        heads: history.chain().map(head_of).collect(),
        members: members.collect::<Result<_, _>>()?,
        request: Some(parts.request.clone()),
        grant: Some(parts.grant.clone()),
        completion: parts.completion.clone(),
        acknowledgement: parts.acknowledgement.clone(),
        payload_blob: parts.payload_blob.clone().unwrap_or_default(),
        detail_blob: parts.detail_blob.clone().unwrap_or_default(),
    };
    if receipt.encoded_len() > MAX_RECEIPT_LEN {
        return Err(ReceiptError::TooLong);
    }
    verify(&receipt, Some(&history.federation_id()))?;
    Ok(receipt)
}
