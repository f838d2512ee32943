//! Fetches what the peer has and we lack: entries with their proofs, and blobs.
//!
//! The resume point is the committed size; nothing else is remembered between sessions. A chunk is checked against a
//! checkpoint of the log's owner before any entry in it is looked at: what fails there is the sender's fault, what fails
//! after is the log's.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::chunk::Chunk;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{proof_from_wire, verify_consistency};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Consistency, Want, WantEntries, want};
use sundbro_store::{BlobKey, LogState, NewBlob, StoreError};

use super::frames::{self, MAX_WANTED_BLOBS};
use super::holdings::View;
use super::link::{Link, Question, Reply, lock};
use super::registry::{Claim, Lane};
use super::take::{Taken, end_of};
use super::{SessionEnd, Shared, reasons};

/// Logs fetched at once in one session: enough that a long one does not keep others waiting, few enough that what is
/// under way stays small.
const MAX_PULLS: usize = 4;
/// Chunks committed in one transaction: 4,096 entries, so that catching up costs few flushes of the disk.
const CHUNKS_IN_COMMIT: usize = 16;
/// Missing blobs looked through for some that this peer has not declined.
const MISSING_LOOKED_AT: usize = 4_096;

/// Something that can be fetched from this peer.
enum Job {
    Entries(Box<VerifiedCheckpoint>),
    Blobs(LogId),
}

impl Link {
    /// Fetches until the session ends.
    pub(super) async fn pull(&self) -> SessionEnd {
        match self.pull_all().await {
            Ok(()) => SessionEnd::Stopped,
            Err(end) => end,
        }
    }

    async fn pull_all(&self) -> Result<(), SessionEnd> {
        let context = &self.shared.context;
        let mut shown = self.watch_heads();
        let mut released = self.shared.registry.watch_released();
        let mut heads = context.hub.watch_heads();
        let mut blobs = context.hub.watch_blobs();
        let mut charter = context.charter.watch();
        let mut running = FuturesUnordered::new();
        loop {
            for changes in [&mut shown, &mut released, &mut heads, &mut blobs] {
                changes.mark_unchanged();
            }
            charter.mark_unchanged();
            for job in self.jobs(&self.shared.view().await?) {
                if running.len() >= MAX_PULLS {
                    break;
                }
                let (log, lane) = match &job {
                    Job::Entries(target) => (target.log_id(), Lane::Entries),
                    Job::Blobs(log) => (*log, Lane::Blobs),
                };
                if let Some(claim) = self.shared.registry.claim(log, lane) {
                    running.push(self.run_job(job, claim));
                }
            }
            tokio::select! {
                Some(done) = running.next() => done?,
                Ok(()) = shown.changed() => {}
                Ok(()) = released.changed() => {}
                Ok(()) = heads.changed() => {}
                Ok(()) = blobs.changed() => {}
                Ok(()) = charter.changed() => {}
                else => return Ok(()),
            }
        }
    }

    /// What this peer could give us now.
    fn jobs(&self, view: &View) -> Vec<Job> {
        let context = &self.shared.context;
        let charter = context.charter.version();
        let mut jobs = Vec::new();
        for (log, target) in self.heads().iter() {
            let held = view.get(log);
            let committed = held.map_or(0, |held| held.status.committed_size);
            let unproven = lock(&self.unproven).get(log) == Some(&target.size());
            let followed = match held.map(|held| &held.status.state) {
                None | Some(LogState::Followed | LogState::Stalled { .. }) => true,
                Some(LogState::Stopped { .. }) => false,
                Some(LogState::Waiting { .. }) => self.shared.holdings.may_retry(log, charter),
            };
            let barred = *log == context.own.log || (self.is_clone && self.is_author(log));
            if target.size() > committed && followed && !unproven && !barred {
                jobs.push(Job::Entries(Box::new(target.clone())));
            }
        }
        for (log, held) in view.iter() {
            let declined = lock(&self.declined).get(log).map_or(0, BTreeSet::len);
            if held.missing_blobs > declined as u64 && declined < MISSING_LOOKED_AT {
                jobs.push(Job::Blobs(*log));
            }
        }
        jobs
    }

    async fn run_job(&self, job: Job, claim: Claim) -> Result<(), SessionEnd> {
        match job {
            Job::Entries(target) => self.pull_entries(*target, claim).await,
            Job::Blobs(log) => self.pull_blobs(log, claim).await,
        }
    }

    // ---- entries --------------------------------------------------------------------------------------------------

    async fn pull_entries(
        &self,
        target: VerifiedCheckpoint,
        claim: Claim,
    ) -> Result<(), SessionEnd> {
        let log = claim.log();
        let mut head = self.shared.head(log).await?;
        if head.size() >= target.size() {
            return Ok(());
        }
        let mut question = self.ask(log, Lane::Entries);
        if head.size() > 0 && !self.is_continued(&head, &target, &mut question).await? {
            lock(&self.unproven).insert(log, target.size());
            return Ok(());
        }
        let (log_id, start, tree_size) = (frames::log_bytes(&log), head.size(), target.size());
        let what = want::What::Entries(WantEntries { log_id, start, tree_size });
        self.send(Kind::Want(Want { what: Some(what) })).await?;
        let mut claim = Some(claim);
        let mut next = start;
        while next < tree_size {
            let (chunks, end) = match self.next_chunks(&mut question, next).await? {
                Some(chunks) => chunks,
                // It showed a head of which it does not hold the entries any more: it is not asked for them again.
                None => {
                    lock(&self.unproven).insert(log, tree_size);
                    break;
                }
            };
            next = end;
            // After a refusal the rest of the answer is read and dropped: it is on its way already.
            let Some(held) = claim.take() else { continue };
            let take = {
                let (head, target) = (head.clone(), target.clone());
                // The claim goes along: it lasts as long as the commit, even if this session ends meanwhile.
                move |shared: &Shared| (shared.take_chunks(head, &target, chunks), held)
            };
            let (taken, held) = self.shared.blocking(take).await?;
            match taken? {
                Taken::All(new_head) => {
                    head = new_head;
                    claim = Some(held);
                }
                Taken::UpTo => drop(held),
            }
        }
        Ok(())
    }

    /// Asks for the proof that the target continues what we hold.
    async fn is_continued(
        &self,
        head: &LogHead,
        target: &VerifiedCheckpoint,
        question: &mut Question<'_>,
    ) -> Result<bool, SessionEnd> {
        let log = *head.log_id();
        let (old_size, new_size) = (head.size(), target.size());
        let ask = Consistency { log_id: frames::log_bytes(&log), old_size, new_size, proof: None };
        self.send(Kind::Consistency(ask)).await?;
        let bad = |why: String| SessionEnd::log_fault(reasons::BAD_PROOF, &log, why);
        let patience = self.shared.context.settings.reply_timeout;
        let hashes = loop {
            match question.next(patience).await? {
                Reply::Proof(Consistency {
                    old_size: old,
                    new_size: new,
                    proof: Some(proof),
                    ..
                }) if (old, new) == (old_size, new_size) => {
                    break proof.hashes;
                }
                Reply::Refused(reason) => {
                    tracing::debug!(peer = %self.peer, ?log, reason, "the peer gives no proof");
                    return Ok(false);
                }
                Reply::Proof(_) => return Err(bad("a proof came that was not asked for".into())),
                // Left over from an answer that we gave up.
                Reply::Chunk(_) | Reply::Payloads(_) => {}
            }
        };
        let proof = proof_from_wire(&hashes).map_err(|error| bad(error.to_string()))?;
        let root = target.root();
        if verify_consistency(old_size, &head.root(), new_size, root, &proof).is_ok() {
            return Ok(true);
        }
        // Either the peer gave a wrong proof, or the owner signed two histories and there is no right one. Only the
        // owner's signatures could tell, so nobody is blamed: the log stalls, and any peer may prove otherwise.
        let stalled =
            LogState::Stalled { position: old_size, reason: "UNPROVEN_CHECKPOINT".into() };
        let marked = self.shared.blocking(move |shared| {
            shared.mark(&log, &stalled)?;
            shared.context.hub.heads_changed();
            Ok::<_, StoreError>(())
        });
        marked
            .await?
            .map_err(|error| SessionEnd::ours("a log's state cannot be written", error))?;
        Ok(false)
    }

    /// The next chunks of the answer, in order, and where they end. `None`: the peer cannot go on.
    async fn next_chunks(
        &self,
        question: &mut Question<'_>,
        mut next: u64,
    ) -> Result<Option<(Vec<Chunk>, u64)>, SessionEnd> {
        let mut chunks = Vec::new();
        let mut reply = question.next(self.shared.context.settings.reply_timeout).await?;
        loop {
            match reply {
                Reply::Chunk(chunk) => {
                    let chunk = read_chunk(&chunk, next)?;
                    next = end_of(&chunk);
                    chunks.push(chunk);
                }
                Reply::Refused(reason) => {
                    tracing::debug!(peer = %self.peer, reason, "the peer gives no entries");
                    return Ok((!chunks.is_empty()).then_some((chunks, next)));
                }
                Reply::Proof(_) | Reply::Payloads(_) => {}
            }
            if chunks.len() >= CHUNKS_IN_COMMIT {
                break;
            }
            match question.ready() {
                Some(ready) => reply = ready,
                None if chunks.is_empty() => {
                    reply = question.next(self.shared.context.settings.reply_timeout).await?;
                }
                None => break,
            }
        }
        Ok(Some((chunks, next)))
    }

    // ---- blobs ----------------------------------------------------------------------------------------------------

    async fn pull_blobs(&self, log: LogId, claim: Claim) -> Result<(), SessionEnd> {
        let missing =
            move |shared: &Shared| shared.context.store.missing_blobs(&log, MISSING_LOOKED_AT);
        let missing = self.shared.blocking(missing).await?;
        let missing =
            missing.map_err(|error| SessionEnd::ours("missing blobs cannot be listed", error))?;
        let mut wanted: BTreeSet<BlobKey> = {
            let declined = lock(&self.declined);
            let declined = declined.get(&log);
            let fresh = |key: &BlobKey| declined.is_none_or(|declined| !declined.contains(key));
            missing.into_iter().filter(fresh).take(MAX_WANTED_BLOBS).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let mut question = self.ask(log, Lane::Blobs);
        let keys: Vec<_> = wanted.iter().copied().collect();
        self.send_frame(frames::want_blobs(&log, &keys)).await?;
        let mut claim = claim;
        while !wanted.is_empty() {
            let patience = self.shared.context.settings.reply_timeout;
            let Reply::Payloads(payloads) = question.next(patience).await? else { continue };
            let blobs = answered(&log, payloads, &mut wanted, |key| {
                lock(&self.declined).entry(log).or_default().insert(key);
            })?;
            if !blobs.is_empty() {
                let put = move |shared: &Shared| (shared.put_blobs(&log, &blobs), claim);
                let (put, held) = self.shared.blocking(put).await?;
                put?;
                claim = held;
            }
        }
        Ok(())
    }
}

/// What a frame of the answer brought, taken off what is wanted.
fn answered(
    log: &LogId,
    payloads: wire::Payloads,
    wanted: &mut BTreeSet<BlobKey>,
    mut decline: impl FnMut(BlobKey),
) -> Result<Vec<NewBlob>, SessionEnd> {
    let unwanted =
        || SessionEnd::log_fault(reasons::BAD_BLOB, log, "a blob came that was not asked for");
    let mut blobs = Vec::new();
    for blob in payloads.blobs {
        let key = blob.key.as_ref().and_then(frames::key_from_wire).ok_or_else(unwanted)?;
        if !wanted.remove(&key) {
            return Err(unwanted());
        }
        blobs.push(NewBlob { kind: key.kind, commitment: key.commitment, bytes: blob.bytes });
    }
    for key in payloads.missing {
        let key = frames::key_from_wire(&key).ok_or_else(unwanted)?;
        if !wanted.remove(&key) {
            return Err(unwanted());
        }
        decline(key);
    }
    Ok(blobs)
}

fn read_chunk(chunk: &wire::Chunk, next: u64) -> Result<Chunk, SessionEnd> {
    let log = super::session::log_of(&chunk.log_id)?;
    let bad = |why: String| SessionEnd::log_fault(reasons::BAD_CHUNK, &log, why);
    let chunk = Chunk::from_wire(chunk).map_err(|error| bad(error.to_string()))?;
    if chunk.start != next {
        return Err(bad(format!("a chunk starts at {}, {next} is next", chunk.start)));
    }
    Ok(chunk)
}
