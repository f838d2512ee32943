//! Takes what a peer gives us to trust: charters, and the subject keys that the charter commits to.

use sundbro_ledger::charter::CharterHead;
use sundbro_ledger::history::Offered;
use sundbro_proto::federation::v1 as wire;

use super::link::Link;
use super::{SessionEnd, reasons};
use crate::charter_book::OfferCharterError;
use crate::subject::grant::{self, OpenGrantError};

impl Link {
    pub(super) async fn take_charters(&self, frame: wire::CharterFrame) -> Result<(), SessionEnd> {
        for charter in frame.charters {
            let head = charter.head.clone();
            let offered =
                self.shared.blocking(move |shared| shared.context.charter.offer(&charter));
            match offered.await? {
                Ok(Offered::Gap { next }) => {
                    let gap = format!("a charter came before version {next}");
                    return Err(SessionEnd::fault(reasons::BAD_CHARTER, gap));
                }
                Ok(_) => {}
                Err(error @ OfferCharterError::Store(_)) => {
                    return Err(SessionEnd::ours("a charter was not taken", error));
                }
                Err(error) => {
                    return Err(SessionEnd::fault(reasons::BAD_CHARTER, error.to_string()));
                }
            }
            // It parsed a moment ago; what the peer sent, it follows.
            if let Ok(head) = CharterHead::parse(&head) {
                self.peer_has_charter(head.version.min(self.shared.context.charter.version()));
            }
        }
        Ok(())
    }

    pub(super) async fn take_grant(&self, frame: wire::KeyGrant) -> Result<(), SessionEnd> {
        let Some(grant) = frame.grant else {
            return Err(SessionEnd::fault(reasons::MALFORMED_FRAME, "a KeyGrant without a grant"));
        };
        let context = &self.shared.context;
        let epoch = grant.epoch;
        let history = context.charter.history();
        let listed = history.subject_epochs().iter().find(|listed| listed.epoch == epoch);
        let Some(commitment) = listed.map(|listed| listed.key_commitment) else {
            return Ok(());
        };
        // Only now: of epochs that no charter lists there is no end.
        self.peer_epochs().insert(epoch);
        if context.subjects.get(epoch).is_some() {
            return Ok(());
        }
        // The ordinal may be younger than our start: a newcomer starts before the charter lists it.
        let sealing = &context.own.sealing;
        let own = history.current().member(&context.own.member);
        let key_id = own
            .and_then(|entry| {
                entry.keys.iter().rfind(|key| *key.public_key.as_bytes() == sealing.public())
            })
            .map_or(sealing.key_id(), |key| key.key_id);
        let opened = grant::open(
            &grant,
            &sealing.listed_as(key_id),
            &history.federation_id(),
            &context.own.member,
            &commitment,
        );
        let key = match opened {
            Ok(key) => key,
            Err(error @ OpenGrantError::OtherCommitment(_)) => {
                return Err(SessionEnd::fault(reasons::BAD_KEY_GRANT, error.to_string()));
            }
            // Sealed to a key that we have since replaced: another grant will come.
            Err(error) => {
                if self.says_first("a grant that cannot be opened") {
                    tracing::warn!(peer = %self.peer, epoch, "{error}");
                }
                return Ok(());
            }
        };
        let stored = self.shared.blocking(move |shared| shared.context.subjects.insert(epoch, key));
        stored.await?.map_err(|error| SessionEnd::ours("a subject key was not stored", error))?;
        tracing::info!(peer = %self.peer, epoch, "a subject key came");
        Ok(())
    }
}
