//! Fetches the entries of one log from one peer: the proof that its tree continues ours, then chunks.
//!
//! A chunk is checked against a checkpoint of the log's owner before any entry in it is looked at: what fails there is
//! the sender's fault, what fails after is the log's.

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::chunk::Chunk;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{ProofError, proof_from_wire, verify_consistency};
use sundbro_ledger::tiles::BUNDLE_ENTRIES;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Consistency, Frame, Want, WantEntries, want};
use sundbro_store::{LogState, StoreError};

use super::link::{Link, lock};
use super::question::{Question, Reply};
use super::receive::log_of;
use super::registry::Claim;
use super::take::{Taken, end_of};
use super::{SessionEnd, Shared, frames, reasons};

/// Chunks committed in one transaction: 4,096 entries, so that catching up costs few flushes of the disk.
const CHUNKS_IN_COMMIT: usize = 16;
/// What an entry with its blobs usually comes to: decides how many are asked for at once when few may still come today.
const USUAL_ENTRY_BYTES: u64 = 1_024;

/// What the answer to a question for a proof shows.
pub(super) enum Shown {
    /// The tree is the beginning of the newer one.
    Continued,
    /// The newer one begins with something else.
    Other,
    /// The peer gives no proof.
    Withheld,
    /// The log is fetched from somebody else by now.
    GivenUp,
}

/// Whether a newer tree continues ours.
enum Continued {
    Proven,
    /// The peer could not show it.
    Unproven,
    /// The log is fetched from somebody else by now.
    GivenUp,
}

impl Link {
    pub(super) async fn pull_entries(
        &self,
        target: VerifiedCheckpoint,
        claim: Claim,
    ) -> Result<(), SessionEnd> {
        let log = claim.log();
        let branches = self.branches();
        let mut head = self.shared.head(log).await?;
        if head.size() >= target.size() {
            return Ok(());
        }
        let mut question = self.ask_entries(claim);
        if head.size() > 0 {
            match self.is_continued(&head, &target, &mut question).await? {
                Continued::Proven => {}
                Continued::Unproven => {
                    // A charter that came meanwhile may have made it the branch that goes on, and ours may be left.
                    if self.branches() == branches {
                        lock(&self.unproven).insert(log, target.size());
                    }
                    return Ok(());
                }
                Continued::GivenUp => return Ok(()),
            }
        }
        let mut next = head.size();
        while next < target.size() && question.is_claimed() {
            // Of its own will a log goes on only as far as it may grow today.
            let room = self.shared.room(&log, next);
            if room == 0 {
                return Ok(());
            }
            let end = self.turn_end(next, target.size(), room);
            // How long we took for the turn before is not the peer's fault.
            question.is_forward();
            if !question.send(want_entries(&log, next, end, target.size())).await? {
                return Ok(());
            }
            match self.take_turn(&mut question, head, next, end, &target).await? {
                Some(new_head) => (next, head) = (end, new_head),
                None => return Ok(()),
            }
            if self.is_crowded() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks where a tree that is no longer than ours, and not its beginning, parts from it: the roots do not tell.
    pub(super) async fn pull_parting(
        &self,
        target: VerifiedCheckpoint,
        claim: Claim,
    ) -> Result<(), SessionEnd> {
        let branches = self.branches();
        let mut question = self.ask_entries(claim);
        let size = target.size();
        let found = self.find_parting(size, &target, &mut question).await?;
        tracing::debug!(peer = %self.peer, log = ?target.log_id(), size, found, "two histories");
        // It is not asked again, unless somebody else's turn came between: whoever could show it has, or does not.
        if (found || question.is_claimed()) && self.branches() == branches {
            lock(&self.unproven).insert(target.log_id(), size);
        }
        Ok(())
    }

    /// Where a turn ends that begins at `next`: with a bundle, or with the tree. It is shorter when there is less room.
    fn turn_end(&self, next: u64, tree_size: u64, room: u64) -> u64 {
        let fit = room / (BUNDLE_ENTRIES * USUAL_ENTRY_BYTES);
        let bundles = self.shared.context.settings.turn_bundles.min(fit).max(1);
        let turn = bundles.saturating_mul(BUNDLE_ENTRIES);
        (next - next % BUNDLE_ENTRIES).saturating_add(turn).min(tree_size)
    }

    /// Takes the answer to one question for entries. The log's end after it; `None` when it is not fetched further.
    async fn take_turn(
        &self,
        question: &mut Question<'_>,
        mut head: LogHead,
        mut next: u64,
        end: u64,
        target: &VerifiedCheckpoint,
    ) -> Result<Option<LogHead>, SessionEnd> {
        while next < end {
            let Some((chunks, came_to)) = self.next_chunks(question, next, end).await? else {
                // It showed a head of which it does not hold the entries any more: it is not asked for them again.
                lock(&self.unproven).insert(target.log_id(), target.size());
                self.own_log_is_withheld(target).await?;
                return Ok(None);
            };
            next = came_to;
            // After a refusal, or when somebody else fetches the log by now, the rest of the answer is read and dropped:
            // it is on its way already.
            let Some(held) = question.take_claim() else { continue };
            let take = {
                let (head, target) = (head.clone(), target.clone());
                // The claim goes along: it lasts as long as the commit, even if this session ends meanwhile.
                move |shared: &Shared| (shared.take_chunks(head, &target, chunks), held)
            };
            let (taken, held) = self.shared.blocking(take).await?;
            match taken? {
                Taken::All(new_head) => {
                    head = new_head;
                    question.keep_claim(Some(held));
                }
                Taken::UpTo => drop(held),
                Taken::OffBranch => {
                    // Until it shows a newer tree, or the charter changes, there is nothing here to fetch.
                    lock(&self.unproven).insert(target.log_id(), target.size());
                    drop(held);
                    if target.log_id() == self.shared.context.own.log {
                        self.own_log_is_other(target.size()).await?;
                    }
                }
            }
        }
        Ok(question.is_claimed().then_some(head))
    }

    /// Asks for the proof that the target continues what we hold. If it continues something else, finds out what.
    async fn is_continued(
        &self,
        head: &LogHead,
        target: &VerifiedCheckpoint,
        question: &mut Question<'_>,
    ) -> Result<Continued, SessionEnd> {
        match self.ask_proof((head.size(), &head.root()), target, question).await? {
            Shown::Continued => return Ok(Continued::Proven),
            Shown::Withheld => {
                self.own_log_is_withheld(target).await?;
                return Ok(Continued::Unproven);
            }
            Shown::GivenUp => return Ok(Continued::GivenUp),
            Shown::Other => {}
        }
        let is_own = *head.log_id() == self.shared.context.own.log;
        if is_own {
            if self.shared.head(*head.log_id()).await?.root() != head.root() {
                // Ours was left for another branch meanwhile: what was compared is not here any more.
                return Ok(Continued::GivenUp);
            }
            // What we hold was signed here, and what the peer holds too: two databases have signed.
            self.own_log_is_other(head.size()).await?;
        }
        let is_found = self.find_parting(head.size(), target, question).await?;
        if is_own {
            // The charter may have said already which of the two goes on.
            let settled = self.shared.blocking(Shared::settle_own_log).await?;
            settled.map_err(|error| SessionEnd::ours("our own log cannot be compared", error))?;
            // Ours was left, so what the peer shows is looked at again.
            if self.shared.own_log.is_behind() && self.shared.own_log.counts(&self.peer) {
                return Ok(Continued::GivenUp);
            }
        } else if !is_found && !question.is_claimed() {
            return Ok(Continued::GivenUp);
        } else if !is_found {
            // Nobody is blamed here: the log stalls, and any peer may prove otherwise.
            self.stalls(*head.log_id(), head.size()).await?;
        }
        Ok(Continued::Unproven)
    }

    /// The peer has shown a tree of our own log and does not give it. If the charter has named a branch, it may have left the
    /// other one since, and nobody holds that any more.
    async fn own_log_is_withheld(&self, target: &VerifiedCheckpoint) -> Result<(), SessionEnd> {
        let own_log = &self.shared.own_log;
        if target.log_id() == self.shared.context.own.log && own_log.is_settled() {
            self.own_log_is_other(target.size()).await?;
        }
        Ok(())
    }

    /// Our own log is not the beginning of the one that the peer holds.
    async fn own_log_is_other(&self, size: u64) -> Result<(), SessionEnd> {
        let peer = self.peer.clone();
        let diverges =
            move |shared: &Shared| shared.own_log.diverges(&shared.context.store, size, &peer);
        let compared = self.shared.blocking(diverges).await?;
        compared.map_err(|error| SessionEnd::ours("our own log cannot be compared", error))
    }

    /// Asks for the proof that a tree is the beginning of the target.
    pub(super) async fn ask_proof(
        &self,
        (old_size, old_root): (u64, &RootHash),
        target: &VerifiedCheckpoint,
        question: &mut Question<'_>,
    ) -> Result<Shown, SessionEnd> {
        let (log, new_size) = (target.log_id(), target.size());
        let ask = Consistency { log_id: frames::log_bytes(&log), old_size, new_size, proof: None };
        if !question.send(frames::frame(Kind::Consistency(ask))).await? {
            return Ok(Shown::GivenUp);
        }
        let bad = |why: String| SessionEnd::log_fault(reasons::BAD_PROOF, &log, why);
        let hashes = loop {
            match question.next().await? {
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
                    return Ok(Shown::Withheld);
                }
                Reply::Proof(_) => return Err(bad("a proof came that was not asked for".into())),
                // Left over from an answer that we gave up.
                Reply::Chunk(_) | Reply::Blobs { .. } => {}
            }
        };
        question.is_forward();
        if !question.is_claimed() {
            return Ok(Shown::GivenUp);
        }
        let proof = proof_from_wire(&hashes).map_err(|error| bad(error.to_string()))?;
        match verify_consistency(old_size, old_root, new_size, target.root(), &proof) {
            Ok(()) => Ok(Shown::Continued),
            // The peer's tree is the one that the owner signed; ours, which the owner signed too, is not its beginning.
            Err(ProofError::OtherSubtree) => Ok(Shown::Other),
            // The same, or a wrong proof: of a tree that is one node of the newer one, a proof does not tell.
            Err(ProofError::RootMismatch) if old_size.is_power_of_two() => Ok(Shown::Other),
            Err(error) => Err(bad(error.to_string())),
        }
    }

    async fn stalls(&self, log: LogId, position: u64) -> Result<(), SessionEnd> {
        let stalled = LogState::Stalled { position, reason: "UNPROVEN_CHECKPOINT".into() };
        let mark = move |shared: &Shared| {
            if shared.context.store.log_status(&log)?.state != stalled {
                shared.mark(&log, &stalled)?;
                shared.context.hub.heads_changed();
            }
            Ok::<_, StoreError>(())
        };
        let marked = self.shared.blocking(mark).await?;
        marked.map_err(|error| SessionEnd::ours("a log's state cannot be written", error))
    }

    /// The next chunks of the answer, in order, and where they end. `None`: the peer cannot go on.
    async fn next_chunks(
        &self,
        question: &mut Question<'_>,
        mut next: u64,
        end: u64,
    ) -> Result<Option<(Vec<Chunk>, u64)>, SessionEnd> {
        let mut chunks = Vec::new();
        question.is_forward();
        let mut reply = question.next().await?;
        loop {
            match reply {
                Reply::Chunk(chunk) => {
                    let chunk = read_chunk(&chunk, next)?;
                    next = end_of(&chunk);
                    chunks.push(chunk);
                    // What comes after it is no part of this answer.
                    if next >= end {
                        break;
                    }
                }
                Reply::Refused(reason) => {
                    tracing::debug!(peer = %self.peer, reason, "the peer gives no entries");
                    return Ok((!chunks.is_empty()).then_some((chunks, next)));
                }
                // It answers nothing: what came before it is not kept waiting for more.
                Reply::Proof(_) | Reply::Blobs { .. } if !chunks.is_empty() => break,
                Reply::Proof(_) | Reply::Blobs { .. } => {}
            }
            // While nothing has come, every frame is waited for within the peer's time, also one that is here already.
            reply = match chunks.len() {
                0 => question.next().await?,
                CHUNKS_IN_COMMIT.. => break,
                _ => match question.ready() {
                    Some(ready) => ready,
                    None => break,
                },
            };
        }
        Ok(Some((chunks, next)))
    }
}

pub(super) fn want_entries(log: &LogId, start: u64, end: u64, tree_size: u64) -> Frame {
    let wanted = WantEntries { log_id: frames::log_bytes(log), start, tree_size, end };
    frames::frame(Kind::Want(Want { what: Some(want::What::Entries(wanted)) }))
}

pub(super) fn read_chunk(chunk: &wire::Chunk, next: u64) -> Result<Chunk, SessionEnd> {
    let log = log_of(&chunk.log_id)?;
    let bad = |why: String| SessionEnd::log_fault(reasons::BAD_CHUNK, &log, why);
    let chunk = Chunk::from_wire(chunk).map_err(|error| bad(error.to_string()))?;
    if chunk.start != next {
        return Err(bad(format!("a chunk starts at {}, {next} is next", chunk.start)));
    }
    if chunk.entries.is_empty() {
        return Err(bad("a chunk without entries".into()));
    }
    Ok(chunk)
}
