//! Reads what the peer sends, and hands each frame to whom it concerns: to the task that asked, to the one that answers,
//! or to what is known about the peer's heads.

use std::sync::atomic::Ordering;

use futures_util::{Stream, StreamExt as _};
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame};
use tokio::sync::mpsc;

use super::link::{Judged, Link};
use super::question::Reply;
use super::registry::{Lane, Source};
use super::serve::Request;
use super::session::kind_of;
use super::tail::Pushed;
use super::{SessionEnd, Shared, frames, reasons};

impl Link {
    /// Reads what the peer sends.
    pub(super) async fn read<S, E>(
        &self,
        inbound: &mut S,
        requests: mpsc::Sender<Request>,
        pushed: mpsc::Sender<Pushed>,
    ) -> SessionEnd
    where
        S: Stream<Item = Result<Frame, E>> + Send + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        loop {
            let taken = match kind_of(inbound.next().await) {
                Ok(kind) => self.take(kind, &requests, &pushed).await,
                Err(end) => Err(end),
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    async fn take(
        &self,
        kind: Kind,
        requests: &mpsc::Sender<Request>,
        pushed: &mpsc::Sender<Pushed>,
    ) -> Result<(), SessionEnd> {
        let ask = |request: Request| {
            requests.try_send(request).map_err(|_| {
                let many = "more questions are open than one session may have";
                SessionEnd::fault(reasons::TOO_MANY_REQUESTS, many)
            })
        };
        match kind {
            Kind::Hello(_) => {
                return Err(SessionEnd::fault(reasons::MALFORMED_FRAME, "a second Hello"));
            }
            Kind::Heads(heads) => self.take_heads(heads).await?,
            Kind::Want(want) => ask(Request::want(want)?)?,
            Kind::Consistency(question) if question.proof.is_none() => {
                ask(Request::consistency(&question)?)?;
            }
            Kind::Consistency(proof) => {
                let log = log_of(&proof.log_id)?;
                self.answer(log, Lane::Entries, Reply::Proof(proof)).await;
            }
            Kind::Chunk(chunk) if chunk.checkpoint.is_empty() => {
                let log = log_of(&chunk.log_id)?;
                self.answer(log, Lane::Entries, Reply::Chunk(chunk)).await;
            }
            // A pushed tail is a favour: while we are busy it is left out, and fetched later.
            Kind::Chunk(chunk) => {
                let (log, note) = (log_of(&chunk.log_id)?, &chunk.checkpoint);
                let Judged::Verified(checkpoint) = self.judge(&log, note)? else { return Ok(()) };
                if let Err(full) = pushed.try_send(Pushed::Chunk(checkpoint, chunk)) {
                    let Pushed::Chunk(checkpoint, _) = full.into_inner() else { return Ok(()) };
                    self.take_checkpoint(checkpoint).await?;
                }
            }
            Kind::Payloads(mut payloads) => {
                let log = log_of(&payloads.log_id)?;
                let wanted = self.take_wanted(log, &mut payloads);
                // Pushed, even if there is nothing in it: that says that the tail has no blobs.
                if wanted.is_none() || !payloads.blobs.is_empty() {
                    let _ = pushed.try_send(Pushed::Payloads(log, payloads));
                }
                if let Some(reply) = wanted {
                    self.answer(log, Lane::Blobs, reply).await;
                }
            }
            Kind::Charter(frame) => self.take_charters(frame).await?,
            Kind::KeyGrant(frame) => self.take_grant(frame).await?,
            Kind::StartQuestion(question) => ask(Request::Start { round: question.round })?,
            Kind::StartAnswer(answer) => self.take_start_answer(answer).await?,
            Kind::Ack(ack) => self.take_ack(&ack)?,
            Kind::Evidence(frame) => self.take_evidence(frame).await?,
            Kind::Problem(problem) => {
                #[cfg(feature = "protocol-2")]
                self.hear_protocol_2(&problem);
                let reason = reasons::known(&problem.reason);
                if problem.closing {
                    return Err(SessionEnd::Told(reason));
                }
                if let Ok(log) = log_of(&problem.log_id) {
                    self.answer(log, Lane::Entries, Reply::Refused(reason)).await;
                } else if reason == reasons::OLDER_START && self.says_first(reason) {
                    tracing::warn!(
                        peer = %self.peer, reason,
                        "the peer knows a later start of this gateway and takes no entries from it"
                    );
                }
            }
        }
        Ok(())
    }

    async fn take_heads(&self, heads: wire::Heads) -> Result<(), SessionEnd> {
        if heads.heads.len() > frames::MAX_HEADS {
            return Err(SessionEnd::fault(
                reasons::MALFORMED_FRAME,
                "more than 256 heads in a frame",
            ));
        }
        let context = &self.shared.context;
        let mut heard_of_itself = false;
        for head in heads.heads {
            let log = log_of(&head.log_id)?;
            let verified = self.take_head(log, head.checkpoint).await?;
            heard_of_itself |= verified && self.source_of(&log) == Source::Author;
            if !verified && self.may_write(&log) {
                self.shows_more.store(true, Ordering::Relaxed);
            }
        }
        // Coverage rests on this, so only what was found good counts, and nothing that a clone says of its log. That a
        // peer shows nothing of its log says that there is nothing, unless it showed something that was not found good.
        // Nor, of a member whose checkpoints may not be shown any more, that it has no entries.
        let history = context.charter.history();
        let has_nothing = !self.is_outdated()
            && !history.has_ended_checkpoint_key(&self.peer)
            && !self.shows_more.load(Ordering::Relaxed)
            && !self.shared.knows_entries_of(&self.peer).await?;
        if has_nothing {
            let its_logs = history.logs().filter(|(_, owner)| owner.member == self.peer);
            its_logs.for_each(|(log, _)| self.shared.growth.saw(*log, 0, true));
        }
        if heard_of_itself || has_nothing {
            context.peers.heads_heard(&self.peer);
        }
        Ok(())
    }

    /// Takes one checkpoint that the peer showed, in Heads or with a tail. Says whether it was found good.
    pub(super) async fn take_head(
        &self,
        log: LogId,
        note: bytes::Bytes,
    ) -> Result<bool, SessionEnd> {
        let checkpoint = match self.judge(&log, &note)? {
            Judged::Verified(checkpoint) => checkpoint,
            // What we have signed once stays signed, whatever became of the key.
            Judged::Ended(checkpoint) if log == self.shared.context.own.log => {
                self.hear_own_log(checkpoint).await?;
                return Ok(false);
            }
            Judged::Aside | Judged::Outdated | Judged::Ended(_) => return Ok(false),
        };
        self.take_checkpoint(checkpoint).await.map(|()| true)
    }

    /// Takes a verified checkpoint that the peer showed.
    pub(super) async fn take_checkpoint(
        &self,
        checkpoint: VerifiedCheckpoint,
    ) -> Result<(), SessionEnd> {
        if checkpoint.log_id() == self.shared.context.own.log {
            self.hear_own_log(checkpoint.clone()).await?;
        } else if self.has_heard_of_branch(&checkpoint.log_id()) {
            self.shared.saw(checkpoint.clone()).await?;
        }
        let (log, by_author) = (checkpoint.log_id(), self.source_of(&checkpoint.log_id()));
        self.shared.growth.saw(log, checkpoint.size(), by_author == Source::Author);
        if by_author == Source::Author {
            self.shared.shown.showed(log, self.greeting.start(), checkpoint.size());
        }
        self.showed(checkpoint);
        Ok(())
    }

    /// Whether the peer has said Hello by a charter that names the branch of a log, if ours does. What it shows before may be
    /// of another one; it is fetched as far as it proves to continue what is here, and tells nothing else.
    fn has_heard_of_branch(&self, log: &LogId) -> bool {
        let history = self.shared.context.charter.history();
        let Some(branch) = history.branch_of(log) else { return true };
        let names = |charter: &&Charter| charter.head().branches.contains(branch);
        let since = history.charters().find(names).map_or(0, Charter::version);
        self.greeting.charter_version >= since
    }

    async fn hear_own_log(&self, known: VerifiedCheckpoint) -> Result<(), SessionEnd> {
        let peer = self.peer.clone();
        let heard =
            move |shared: &Shared| shared.own_log.heard(&shared.context.store, &peer, &known);
        let heard = self.shared.blocking(heard).await?;
        heard.map_err(|error| SessionEnd::ours("our own log cannot be read", error))
    }
}

/// Reads a log id.
pub(super) fn log_of(bytes: &[u8]) -> Result<LogId, SessionEnd> {
    LogId::try_from(bytes)
        .map_err(|_| SessionEnd::fault(reasons::MALFORMED_FRAME, "a log id is not 32 bytes"))
}
