//! Judges a request: is it the peer's, fresh and valid, is there such a record, and what does policy say.
//!
//! An absent record goes every step that a present one goes, with a decoy in its place, up to a refusal of the same
//! bytes.

use std::time::Duration;

use sundbro_adapters::adapter::{Content, OpenError};
use sundbro_adapters::item::{Fingerprint, SourceKey};
use sundbro_ledger::ids::{ContentDigest, MemberName};
use sundbro_ledger::retrieval::{
    Assurance, Decision as GrantDecision, Grant, Judging, Permission, Request, Verified,
    verify_request,
};
use sundbro_proto::ledger::v1::{self, SignedMessage};
use sundbro_store::Locator;
use sundbro_store::index::RecordPointer;
use tokio::time::timeout;

use super::super::audit::{self, Story, with_message};
use super::super::{FRAME_TIMEOUT, REQUEST_WINDOW, blocking};
use super::look_up::{Found, look_up};
use super::{Owner, ServeError};
use crate::policy::{self, Decision};
use crate::wire;

/// How long a requester waits until a source that changed has been read again.
const INGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a request.
pub(super) enum Judged {
    /// It is refused, durably.
    Refused {
        /// The refusal.
        grant: Verified<Grant>,
    },
    /// Policy permits it. Nothing is durable yet.
    Permitted(Box<Permitted>),
}

/// A request that policy permits, for a record that we have registered.
pub(super) struct Permitted {
    pub(super) request: Verified<Request>,
    pub(super) story: Story,
    pub(super) decision: Decision,
    /// The newest version. The one asked for, or a later one.
    pub(super) pointer: RecordPointer,
    locator: Option<Locator>,
}

impl Permitted {
    /// Size and digest that were registered. `None`: the detail is not here.
    pub(super) fn expected(&self) -> Option<(u64, ContentDigest)> {
        let detail = self.pointer.detail.as_ref()?;
        let sha256 = ContentDigest::try_from(&detail.content_sha256[..]).ok()?;
        Some((detail.content_size_bytes, sha256))
    }
}

impl Owner {
    /// Blocking.
    pub(super) fn judge(
        &self,
        peer: &MemberName,
        wire: &SignedMessage,
    ) -> Result<Judged, ServeError> {
        let request = self.check(peer, wire)?;
        let found =
            look_up(&self.context.store, &request.body().record, request.body().record_version)?;
        let resource = match &found.pointer {
            Some(pointer) => resource(pointer),
            None => policy::Resource::decoy(self.member().clone()),
        };
        let mut decision = self.context.policy.decide(&self.asked(request.body()), &resource);
        let story = self.story(request.body());
        if let Found { pointer: Some(pointer), locator } = found {
            if decision.permit {
                let permitted = Permitted { request, story, decision, pointer, locator };
                return Ok(Judged::Permitted(Box::new(permitted)));
            }
        } else if decision.permit {
            // The policy would have permitted the decoy. What is not there is refused all the same.
            decision = Decision { rule: policy::NO_SUCH_RECORD.to_owned(), ..decision };
        }
        let grant = self.context.signer.sign(|charter_version, key_id| Grant {
            request: request.digest(),
            policy_sha256: decision.policy_sha256,
            charter_version,
            key_id,
            decision: GrantDecision::Refused,
        })?;
        let now = self.now_millis();
        let refused = story.decided(audit::REFUSED, now, &decision.rule, false);
        let received = story.message(audit::REQUEST_RECEIVED, now, &request);
        self.audit_once(&request, &[received, with_message(refused, &grant)])?;
        Ok(Judged::Refused { grant })
    }

    /// Whose request it is, and whether it is for us and for now.
    fn check(
        &self,
        peer: &MemberName,
        wire: &SignedMessage,
    ) -> Result<Verified<Request>, ServeError> {
        let history = self.context.charter.history();
        for member in [self.member(), peer] {
            if !self.context.charter.is_active(member) {
                return Err(ServeError::NotActive(member.clone()));
            }
        }
        let request = verify_request(wire, &history, Judging::Live).map_err(ServeError::Request)?;
        let body = request.body();
        if body.requester != *peer {
            return Err(ServeError::NotTheRequester);
        }
        if body.owner != *self.member() {
            return Err(ServeError::OtherOwner(body.owner.clone()));
        }
        let now = self.now_millis().div_euclid(1000);
        if now.abs_diff(body.requested_unix_seconds) > REQUEST_WINDOW.as_secs() {
            return Err(ServeError::NotFresh { now, requested: body.requested_unix_seconds });
        }
        Ok(request)
    }

    /// What policy reads of a request. Whatever a later version defines and we do not know is not permitted.
    fn asked(&self, request: &Request) -> policy::Request {
        let glass = wire::break_glass_from_ledger(request.break_glass_reason);
        let purpose = match glass {
            Ok(_) => wire::purpose_from_ledger(request.purpose),
            Err(_) => v1::PurposeOfUse::Unspecified,
        };
        let history = self.context.charter.history();
        let requester = history.current().member(&request.requester);
        policy::Request {
            requester: request.requester.clone(),
            requester_roles: requester.map(|member| member.roles.clone()).unwrap_or_default(),
            user: request.user.clone(),
            role: request.role.clone(),
            unit: request.unit.as_ref().map(|unit| (unit.system.clone(), unit.value.clone())),
            purpose,
            break_glass: glass.unwrap_or(v1::BreakGlassReason::Unspecified),
            assurance: match request.assurance {
                Assurance::ClientAsserted => v1::Assurance::ClientAsserted,
                Assurance::TokenVerified => v1::Assurance::TokenVerified,
            },
        }
    }

    /// Opens the content of a permitted record, if the source still holds what was registered.
    ///
    /// A source that changed is ingested first; then the answer names the version that is current by then.
    pub(super) async fn open(
        self: &std::sync::Arc<Self>,
        permitted: &mut Permitted,
    ) -> Result<Content, ServeError> {
        if let Some(content) = self.try_open(permitted).await? {
            return Ok(content);
        }
        let adapter = permitted.locator.as_ref().map(|locator| locator.adapter.clone());
        if let Some(adapter) = adapter {
            // Whether it ended in time or not, what the index says next is the answer.
            drop(timeout(INGEST_TIMEOUT, self.context.sources.ingest(&adapter)).await);
        }
        let (owner, record) = (self.clone(), permitted.request.body().record.clone());
        let version = permitted.request.body().record_version;
        let found = blocking(move || look_up(&owner.context.store, &record, version)).await??;
        if let Some(newest) = found.pointer {
            permitted.pointer = newest;
        }
        permitted.locator = found.locator;
        // A file that was only touched has a new fingerprint and the same content: it opens now.
        self.try_open(permitted).await?.ok_or(ServeError::SourceUnavailable)
    }

    /// `None`: the source holds something else than what was registered.
    async fn try_open(&self, permitted: &Permitted) -> Result<Option<Content>, ServeError> {
        let Permitted { request, pointer, locator, .. } = permitted;
        if pointer.withdrawn {
            return Err(ServeError::Withdrawn);
        }
        if pointer.version != request.body().record_version {
            return Err(ServeError::Superseded { current: pointer.version });
        }
        let locator = locator.as_ref().filter(|locator| {
            locator.live
                && locator.version == pointer.version
                && permitted.expected() == Some((locator.size, locator.content))
        });
        let locator = locator.ok_or(ServeError::SourceUnavailable)?;
        let adapter = self.context.sources.adapter(&locator.adapter);
        let adapter = adapter.ok_or(ServeError::SourceUnavailable)?;
        let expected =
            locator.fingerprint[..].try_into().map_err(|_| ServeError::SourceUnavailable)?;
        let expected = Fingerprint::from_bytes(expected);
        let source_key = SourceKey::from_bytes(locator.source_key.clone());
        match timeout(FRAME_TIMEOUT, adapter.open(&source_key, &expected)).await {
            Ok(Ok(content)) => Ok(Some(content)),
            Ok(Err(OpenError::Changed { .. } | OpenError::Gone)) => Ok(None),
            Ok(Err(error)) => {
                let error = crate::status::chain(&error);
                tracing::warn!(adapter = locator.adapter, error, "a record cannot be opened");
                Err(ServeError::SourceUnavailable)
            }
            Err(_) => Err(ServeError::SourceUnavailable),
        }
    }

    /// Signs the grant and makes it durable with the request. Blocking.
    pub(super) fn grant(&self, permitted: &Permitted) -> Result<Verified<Grant>, ServeError> {
        let permission = self.permission(permitted)?;
        let grant = self.context.signer.sign(|charter_version, key_id| Grant {
            request: permitted.request.digest(),
            policy_sha256: permitted.decision.policy_sha256,
            charter_version,
            key_id,
            decision: GrantDecision::Permitted(Box::new(permission)),
        })?;
        let now = self.now_millis();
        let story = &permitted.story;
        let received = story.message(audit::REQUEST_RECEIVED, now, &permitted.request);
        let granted = story.decided(audit::GRANTED, now, &permitted.decision.rule, true);
        self.audit_once(&permitted.request, &[received, with_message(granted, &grant)])?;
        Ok(grant)
    }

    /// The proof of what was registered.
    fn permission(&self, permitted: &Permitted) -> Result<Permission, ServeError> {
        let store = &self.context.store;
        let RecordPointer { log, position, .. } = &permitted.pointer;
        let (size, sha256) = permitted.expected().ok_or(ServeError::SourceUnavailable)?;
        // Entries and the checkpoint that covers them are one transaction: both are here, or the disk is damaged.
        let entry = store.entry(log, *position).map_err(ServeError::Store)?;
        let checkpoint = store.checkpoint(log).map_err(ServeError::Store)?;
        let (entry, checkpoint) = entry.zip(checkpoint).ok_or(ServeError::NoProof)?;
        let proof = store.inclusion_proof(log, *position, checkpoint.size);
        Ok(Permission {
            rule: permitted.decision.rule.clone(),
            entry,
            inclusion_proof: proof.map_err(ServeError::Proof)?,
            checkpoint: checkpoint.note,
            expected_size_bytes: size,
            expected_sha256: sha256,
        })
    }
}

/// A record as policy sees it. One whose detail is not here is very restricted.
fn resource(pointer: &RecordPointer) -> policy::Resource {
    let detail = pointer.detail.as_ref();
    let class = detail.and_then(|detail| detail.class.as_ref());
    let unit = detail.and_then(|detail| detail.author_unit.as_ref());
    policy::Resource {
        custodian: pointer.record.member.clone(),
        confidentiality: detail
            .map_or(v1::Confidentiality::Unspecified, |detail| detail.confidentiality()),
        class: class.map(|class| (class.system.clone(), class.code.clone())),
        author_unit: unit.map(|unit| (unit.system.clone(), unit.value.clone())),
    }
}
