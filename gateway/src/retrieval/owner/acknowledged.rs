//! Takes an acknowledgement: only of a completion that our own audit log has, from the member that it was for.

use sundbro_ledger::ids::{MemberName, MessageDigest};
use sundbro_ledger::retrieval::{
    Acknowledgement, AcknowledgementStatus, Completion, Grant, Judging, Message, Request,
    RetrievalError, Verified, verify_acknowledgement, verify_completion, verify_grant,
    verify_request,
};
use sundbro_proto::ledger::v1::SignedMessage;

use super::super::audit;
use super::Owner;
use super::error::AcknowledgeError;

/// What our audit log has of one retrieval.
struct OnRecord {
    request: Verified<Request>,
    completion: Verified<Completion>,
}

impl Owner {
    /// Blocking.
    pub(super) fn record_acknowledgement(
        &self,
        peer: &MemberName,
        wire: &SignedMessage,
    ) -> Result<(), AcknowledgeError> {
        if !self.context.charter.is_active(peer) {
            return Err(AcknowledgeError::NotActive(peer.clone()));
        }
        let said = Acknowledgement::parse(&wire.message).map_err(AcknowledgeError::Message)?;
        let on_record = self.on_record(&said.completion)?;
        let on_record = on_record.filter(|found| found.request.body().requester == *peer);
        let OnRecord { request, completion } = on_record.ok_or(AcknowledgeError::Unknown)?;
        let history = self.context.charter.history();
        // One that is repeated after months names an older charter version than the one in force.
        let acknowledgement =
            verify_acknowledgement(wire, &request, &completion, &history, Judging::Recorded)
                .map_err(AcknowledgeError::Message)?;
        let store = &self.context.store;
        if store.audit_by_message(&acknowledgement.digest())?.is_some() {
            return Ok(());
        }
        if acknowledgement.body().status == AcknowledgementStatus::Mismatch {
            let record = request.body().record.to_string();
            tracing::warn!(%peer, record, "a requester says that it received other bytes than we sent");
        }
        let story = self.story(request.body());
        let entry = story.message(audit::ACKNOWLEDGED, self.now_millis(), &acknowledgement);
        store.audit_append(&[entry])?;
        Ok(())
    }

    /// Follows the digests in our audit log back from a completion to its request, and checks each link again.
    fn on_record(&self, completion: &MessageDigest) -> Result<Option<OnRecord>, AcknowledgeError> {
        let history = self.context.charter.history();
        let Some(completion) = self.kept(completion)? else { return Ok(None) };
        let Ok(said) = Completion::parse(&completion.message) else { return Ok(None) };
        let Some(grant) = self.kept(&said.grant)? else { return Ok(None) };
        let Ok(said) = Grant::parse(&grant.message) else { return Ok(None) };
        let Some(request) = self.kept(&said.request)? else { return Ok(None) };
        let chain = || -> Result<OnRecord, RetrievalError> {
            let request = verify_request(&request, &history, Judging::Recorded)?;
            let grant = verify_grant(&grant, &request, &history, Judging::Recorded)?;
            let completion =
                verify_completion(&completion, &request, &grant, &history, Judging::Recorded)?;
            Ok(OnRecord { request, completion })
        };
        let on_record = chain().map_err(AcknowledgeError::OnRecord)?;
        // A completion that another member sent to us is not ours to have acknowledged.
        Ok(Some(on_record).filter(|found| found.request.body().owner == *self.member()))
    }

    fn kept(&self, digest: &MessageDigest) -> Result<Option<SignedMessage>, AcknowledgeError> {
        let entry = self.context.store.audit_by_message(digest)?;
        Ok(entry.and_then(|(_, entry)| audit::kept_message(&entry)))
    }
}
