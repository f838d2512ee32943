//! Takes the entries that a log's author pushes, so that a live log needs no question and no answer.
//!
//! A favour, never a duty: whatever does not fit exactly is left out and fetched as usual.

use std::time::Duration;

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::chunk::Chunk;
use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1 as wire;
use sundbro_store::{BlobKey, BlobKind, LogState};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::registry::{Claim, Lane, Source};
use super::take::end_of;
use super::{SessionEnd, Shared, frames, reasons};

/// Pushed frames that wait to be taken. More are left out.
pub(super) const PUSHED_FRAMES: usize = 8;
/// How long the blobs of a tail are waited for before they are asked for: they were sent right behind it.
const BLOBS_PATIENCE: Duration = Duration::from_secs(1);
/// Missing blobs among which pushed ones are looked for.
const MISSING_LOOKED_AT: usize = 4_096;

/// A frame that nobody asked for.
pub(super) enum Pushed {
    /// The end of a log, and the checkpoint that covers it.
    Chunk(VerifiedCheckpoint, wire::Chunk),
    /// Blobs that go with it.
    Payloads(LogId, wire::Payloads),
}

impl Link {
    /// Takes what is pushed until the session ends.
    pub(super) async fn take_pushed(&self, mut pushed: mpsc::Receiver<Pushed>) -> SessionEnd {
        // While the blobs of a tail are on their way nobody asks for them. What else comes does not make that longer.
        let mut blobs_come: Option<(Claim, Instant)> = None;
        loop {
            if blobs_come.as_ref().is_some_and(|(_, until)| Instant::now() >= *until) {
                blobs_come = None;
            }
            let frame = match &blobs_come {
                None => pushed.recv().await,
                Some((_, until)) => match timeout_at(*until, pushed.recv()).await {
                    Ok(frame) => frame,
                    Err(_) => {
                        blobs_come = None;
                        continue;
                    }
                },
            };
            let taken = match frame {
                None => return SessionEnd::Closed,
                Some(Pushed::Chunk(checkpoint, chunk)) => {
                    let log = checkpoint.log_id();
                    if blobs_come.as_ref().is_none_or(|(claim, _)| claim.log() != log) {
                        blobs_come = self.claim_tail(log, Lane::Blobs).map(|claim| {
                            let until = Instant::now() + BLOBS_PATIENCE;
                            (claim, until)
                        });
                    }
                    self.take_tail(checkpoint, chunk).await
                }
                Some(Pushed::Payloads(log, payloads)) => {
                    let taken = self.take_tail_blobs(log, payloads).await;
                    if matches!(taken, Ok(true)) {
                        blobs_come = None;
                    }
                    taken.map(drop)
                }
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    async fn take_tail(
        &self,
        checkpoint: VerifiedCheckpoint,
        chunk: wire::Chunk,
    ) -> Result<(), SessionEnd> {
        let log = checkpoint.log_id();
        let claim = self.claim_tail(log, Lane::Entries);
        let target = checkpoint.clone();
        let take = move |shared: &Shared| shared.take_tail(&target, &chunk, claim);
        self.shared.blocking(take).await??;
        // Taken or not, it is the newest that the peer has: if we are behind it, it is fetched.
        self.take_checkpoint(checkpoint).await
    }

    /// Claims what a tail brings, if the peer may push that log and nobody fetches it.
    fn claim_tail(&self, log: LogId, lane: Lane) -> Option<Claim> {
        let source = self.source_of(&log);
        let is_authors = source == Source::Author;
        is_authors.then(|| self.shared.registry.claim_if_free(log, lane, source)).flatten()
    }

    /// Takes pushed blobs; says whether nothing of the log is missing now.
    async fn take_tail_blobs(
        &self,
        log: LogId,
        payloads: wire::Payloads,
    ) -> Result<bool, SessionEnd> {
        let put = move |shared: &Shared| shared.put_wanted(&log, payloads);
        self.shared.blocking(put).await?
    }
}

impl Shared {
    /// Takes a pushed tail if it continues exactly what we hold and nobody else fetches the log; compares it with what we
    /// hold of the same positions. Blocking.
    fn take_tail(
        &self,
        target: &VerifiedCheckpoint,
        chunk: &wire::Chunk,
        claim: Option<Claim>,
    ) -> Result<(), SessionEnd> {
        let store = &self.context.store;
        let log = target.log_id();
        let ours = |error| SessionEnd::ours("the end of a log cannot be read", error);
        let bad = |why: String| SessionEnd::log_fault(reasons::BAD_CHUNK, &log, why);
        let chunk = Chunk::from_wire(chunk).map_err(|error| bad(error.to_string()))?;
        let status = store.log_status(&log).map_err(ours)?;
        let head = store.log_head(&log).map_err(ours)?;
        // To be compared an entry need not be fetched by us.
        if chunk.start < head.size() {
            let compared = self.compare_entries(&chunk);
            return compared.map(drop).map_err(ours);
        }
        let fits = claim.is_some() && chunk.start == head.size();
        let fits = fits && end_of(&chunk) == target.size();
        let fits = fits && self.room(&log, head.size()) > 0;
        // Of a log with two histories only what lies below their parting is taken, and that is fetched.
        let parted = store.parted(&log, &*self.context.charter).map_err(ours)?;
        let fits = fits && parted.is_none();
        if !fits || !matches!(status.state, LogState::Followed) {
            return Ok(());
        }
        // The author pushed it: if its own checkpoint does not cover it, the author is at fault.
        let covered = chunk.check(&head, target).map_err(|error| bad(error.to_string()))?;
        let history = self.context.charter.history();
        let verified = covered.verify(&*history);
        // The proof spoke of the last bundle alone, and what stands before it may be another history than ours. Only a
        // checkpoint that was shown to continue our copy may stop a log: whatever is odd here is fetched, with proofs.
        if verified.refusal.is_some() || verified.head.root() != *target.root() {
            return Ok(());
        }
        self.commit(&history, &verified.entries, target, &verified.head, None)?;
        self.judge_again_after(&history, &log)
    }

    /// Stores those of some pushed blobs that are missing here. Blocking.
    fn put_wanted(&self, log: &LogId, payloads: wire::Payloads) -> Result<bool, SessionEnd> {
        let mut pushed: Vec<(BlobKey, bytes::Bytes)> = payloads
            .blobs
            .into_iter()
            .take(frames::MAX_WANTED_BLOBS)
            .filter_map(|blob| {
                Some((blob.key.as_ref().and_then(frames::key_from_wire)?, blob.bytes))
            })
            .collect();
        // A detail is known to be missing only once its payload is here.
        for kind in [BlobKind::Payload, BlobKind::Detail] {
            let missing = self.context.store.missing_blobs(log, MISSING_LOOKED_AT);
            let missing = missing
                .map_err(|error| SessionEnd::ours("missing blobs cannot be listed", error))?;
            let wanted = pushed.extract_if(.., |(key, _)| {
                key.kind == kind && missing.binary_search_by(|one| one.cmp(key)).is_ok()
            });
            let blobs: Vec<_> = wanted.collect();
            if !blobs.is_empty() {
                self.put_blobs(log, &blobs)?;
            }
        }
        let left = self.context.store.missing_blobs(log, 1);
        let left =
            left.map_err(|error| SessionEnd::ours("missing blobs cannot be listed", error))?;
        Ok(left.is_empty())
    }
}
