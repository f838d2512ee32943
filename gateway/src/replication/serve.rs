//! Answers what the peer asks: entries, blobs, proofs. One part of each answer in turn, so that a long log does not keep
//! a short one waiting.

use std::collections::VecDeque;

use sundbro_ledger::chunk::chunk_end;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::merkle::proof_to_wire;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Consistency, ConsistencyProof, want};
use sundbro_store::{BlobKey, BlobKind, ServeError, StoreError};
use tokio::sync::mpsc;

use super::link::Link;
use super::receive::log_of;
use super::{SessionEnd, Shared, frames, reasons};

/// Most questions of one session that are open at once. An honest peer has at most two for each of the logs that it
/// fetches at once.
pub(super) const MAX_REQUESTS: usize = 32;

/// A question of the peer, parsed.
pub(super) enum Request {
    /// Entries from `next` on up to the chunk that reaches `end`, in the tree of `tree_size`.
    Entries { log: LogId, next: u64, end: u64, tree_size: u64 },
    /// Blobs.
    Blobs { log: LogId, keys: Vec<BlobKey> },
    /// A consistency proof.
    Proof { log: LogId, old: u64, new: u64 },
    /// Which start of the peer's gateway we answer for.
    Start { round: u64 },
}

impl Request {
    pub(super) fn want(want: wire::Want) -> Result<Self, SessionEnd> {
        let malformed = |what| SessionEnd::fault(reasons::MALFORMED_FRAME, what);
        match want.what {
            Some(want::What::Entries(entries)) => {
                if entries.start >= entries.tree_size {
                    return Err(malformed("Want starts at or after the end of its tree"));
                }
                let wire::WantEntries { start: next, tree_size, .. } = entries;
                let end = if entries.end == 0 { tree_size } else { entries.end };
                if end <= next || end > tree_size {
                    return Err(malformed("Want ends before its start or after its tree"));
                }
                Ok(Self::Entries { log: log_of(&entries.log_id)?, next, end, tree_size })
            }
            Some(want::What::Blobs(blobs)) => {
                if blobs.keys.len() > frames::MAX_WANTED_BLOBS {
                    return Err(malformed("more than 256 blobs are wanted at once"));
                }
                let keys: Option<Vec<_>> = blobs.keys.iter().map(frames::key_from_wire).collect();
                let keys = keys.ok_or_else(|| malformed("the name of a blob is malformed"))?;
                Ok(Self::Blobs { log: log_of(&blobs.log_id)?, keys })
            }
            None => Err(malformed("a Want of a kind that protocol 1 lacks")),
        }
    }

    pub(super) fn consistency(question: &Consistency) -> Result<Self, SessionEnd> {
        let (old, new) = (question.old_size, question.new_size);
        if old == 0 || old > new {
            let what = "a consistency proof is asked for sizes that have none";
            return Err(SessionEnd::fault(reasons::MALFORMED_FRAME, what));
        }
        Ok(Self::Proof { log: log_of(&question.log_id)?, old, new })
    }
}

/// What is left to answer after one part.
enum Next {
    Nothing,
    Later(Request),
}

impl Link {
    /// Answers until the session ends.
    pub(super) async fn serve(&self, mut asked: mpsc::Receiver<Request>) -> SessionEnd {
        let mut open: VecDeque<Request> = VecDeque::new();
        loop {
            if open.is_empty() {
                match asked.recv().await {
                    Some(request) => open.push_back(request),
                    None => return SessionEnd::Closed,
                }
            }
            while let Ok(request) = asked.try_recv() {
                open.push_back(request);
            }
            if open.len() > MAX_REQUESTS {
                let many = "more questions are open than one session may have";
                return SessionEnd::fault(reasons::TOO_MANY_REQUESTS, many);
            }
            let Some(request) = open.pop_front() else { continue };
            match self.answer_part(request).await {
                Ok(Next::Later(request)) => open.push_back(request),
                Ok(Next::Nothing) => {}
                Err(end) => return end,
            }
        }
    }

    async fn answer_part(&self, request: Request) -> Result<Next, SessionEnd> {
        match request {
            Request::Entries { log, next, end, tree_size } => {
                self.answer_entries(log, next, end, tree_size).await
            }
            Request::Blobs { log, keys } => self.answer_blobs(log, keys).await,
            Request::Proof { log, old, new } => self.answer_proof(log, old, new).await,
            Request::Start { round } => self.answer_start(round).await.map(|()| Next::Nothing),
        }
    }

    async fn answer_entries(
        &self,
        log: LogId,
        next: u64,
        end: u64,
        tree_size: u64,
    ) -> Result<Next, SessionEnd> {
        let chunk = move |shared: &Shared| shared.context.store.chunk(&log, next, tree_size);
        let chunk = match self.shared.blocking(chunk).await? {
            Ok(chunk) => chunk,
            Err(error) => return self.cannot(log, error).await,
        };
        let next = chunk_end(next, tree_size);
        let chunk = chunk
            .to_wire()
            .map_err(|error| SessionEnd::ours("an entry is too long for a bundle", error))?;
        self.send(Kind::Chunk(chunk)).await?;
        if next < end {
            return Ok(Next::Later(Request::Entries { log, next, end, tree_size }));
        }
        Ok(Next::Nothing)
    }

    async fn answer_proof(&self, log: LogId, old: u64, new: u64) -> Result<Next, SessionEnd> {
        let proof = move |shared: &Shared| shared.context.store.consistency_proof(&log, old, new);
        let proof = match self.shared.blocking(proof).await? {
            Ok(proof) => proof,
            Err(error) => return self.cannot(log, error).await,
        };
        let proof = Some(ConsistencyProof { hashes: proof_to_wire(&proof) });
        let log_id = frames::log_bytes(&log);
        let answer = Consistency { log_id, old_size: old, new_size: new, proof };
        self.send(Kind::Consistency(answer)).await?;
        Ok(Next::Nothing)
    }

    /// Sends as many blobs as fit into a frame.
    async fn answer_blobs(&self, log: LogId, mut keys: Vec<BlobKey>) -> Result<Next, SessionEnd> {
        let read = move |shared: &Shared| shared.read_blobs(&mut keys).map(|found| (found, keys));
        let (found, rest) = self
            .shared
            .blocking(read)
            .await?
            .map_err(|error| SessionEnd::ours("blobs cannot be read", error))?;
        for frame in frames::payloads(&log, found.blobs, found.missing) {
            self.send_frame(frame).await?;
        }
        if rest.is_empty() {
            return Ok(Next::Nothing);
        }
        Ok(Next::Later(Request::Blobs { log, keys: rest }))
    }

    async fn cannot(&self, log: LogId, error: ServeError) -> Result<Next, SessionEnd> {
        match error {
            ServeError::Store(error) => Err(SessionEnd::ours("a log cannot be read", error)),
            error => {
                let problem =
                    frames::problem(reasons::NOT_HELD, &error.to_string(), Some(&log), false);
                self.send(Kind::Problem(problem)).await?;
                Ok(Next::Nothing)
            }
        }
    }
}

/// Blobs for one frame, and those that are not here.
struct Found {
    blobs: Vec<wire::Blob>,
    missing: Vec<BlobKey>,
}

impl Shared {
    /// Takes keys off the front until a frame is full. Blocking.
    fn read_blobs(&self, keys: &mut Vec<BlobKey>) -> Result<Found, StoreError> {
        let mut found = Found { blobs: Vec::new(), missing: Vec::new() };
        let (mut bytes, mut taken) = (0, 0);
        for key in keys.iter() {
            taken += 1;
            match self.readable_blob(key)? {
                Some(blob) => {
                    bytes += blob.len();
                    let key = Some(frames::key_to_wire(key));
                    found.blobs.push(wire::Blob { key, bytes: blob });
                }
                None => found.missing.push(*key),
            }
            if bytes + sundbro_ledger::blob::MAX_BLOB_LEN > frames::MAX_FRAME_BYTES / 2 {
                break;
            }
        }
        keys.drain(..taken);
        Ok(found)
    }

    /// A blob that everybody may have. There are no others yet: nothing writes LIMITED payloads or named audiences.
    fn readable_blob(&self, key: &BlobKey) -> Result<Option<bytes::Bytes>, StoreError> {
        match key.kind {
            BlobKind::Payload | BlobKind::Detail => {
                match self.context.store.blob(&key.commitment) {
                    // Whoever asks gets it from somebody else; an error would end the session, again and again.
                    Err(StoreError::Damaged(damage)) => {
                        tracing::error!(%damage, "a blob is not given on: run `sundbro verify`");
                        Ok(None)
                    }
                    blob => blob,
                }
            }
        }
    }
}
