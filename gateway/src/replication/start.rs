//! Which start of a peer's gateway we answer for, and the questions by which each side learns it of the other.
//!
//! A peer asks before it signs; what we answer binds us. From then on nothing of its log is taken from an earlier start,
//! and none from another instance of the same number, so that of a gateway and its copy only one goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_proto::federation::v1 as wire;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::{Start, StartVerdict, Store, StoreError};

use super::link::{Link, lock};
use super::quorum::Answer;
use super::{SessionEnd, Shared, frames, reasons};

/// The newest start of each peer's gateway that has called since our own start, or that we answered for before it.
pub(super) type Starts = Mutex<BTreeMap<MemberName, Start>>;

/// How far each log may be witnessed: what its author's newest start has shown itself, beside what was here when we first
/// answered for that start.
///
/// Our answer says how much of its log we know. Were we to witness more of it, brought by others and signed by an earlier
/// start, that start would have been witnessed where the newest one, which asked us, may sign again.
#[derive(Debug, Default)]
pub struct Shown(Mutex<BTreeMap<LogId, (Start, u64)>>);

impl Shown {
    /// A start has shown this size of its log, and we have verified it.
    pub(super) fn showed(&self, log: LogId, start: Start, size: u64) {
        let mut shown = lock(&self.0);
        let held = shown.entry(log).or_insert((start, size));
        *held = if held.0 == start { (start, held.1.max(size)) } else { (start, size) };
    }

    /// The largest size of a log that may be witnessed. `None`: any, since we have answered for no start of its author.
    pub fn limit(&self, store: &Store, log: &LogId) -> Option<u64> {
        match store.answered_for(log) {
            Ok(None) => None,
            Ok(Some((start, size))) => {
                let shown = lock(&self.0).get(log).copied();
                let shown = shown.filter(|(by, _)| *by == start).map_or(0, |(_, size)| size);
                Some(size.max(shown))
            }
            // Whoever cannot read what it promised witnesses nothing new.
            Err(_) => Some(0),
        }
    }
}

impl Shared {
    pub(super) fn starts(&self) -> MutexGuard<'_, BTreeMap<MemberName, Start>> {
        lock(&self.starts)
    }

    /// The log that a member writes now. `None`: the charter lists none yet.
    fn present_log_of(&self, member: &MemberName) -> Option<LogId> {
        let history = self.context.charter.history();
        let logs = history.logs().filter(|(_, owner)| owner.member == *member);
        logs.max_by_key(|(_, owner)| owner.epoch).map(|(log, _)| *log)
    }

    /// Answers for a start from here on, unless a later one is known. Blocking.
    fn answer_for(&self, peer: &MemberName, start: Start) -> Result<(), StoreError> {
        let newest = match self.present_log_of(peer) {
            None => start,
            Some(log) => match self.context.store.answer_for(&log, &start)? {
                StartVerdict::Newest => start,
                // Where only its entries tell, there is no instance of which anybody knows.
                StartVerdict::Outdated { known } => {
                    let held = self.context.store.answered_for(&log)?;
                    held.map(|(held, _)| held)
                        .filter(|held| held.incarnation >= known)
                        .unwrap_or(Start { incarnation: known, instance_id: [0; 16] })
                }
            },
        };
        let mut starts = self.starts();
        // Sessions of two starts may come here at once, and the later start stays.
        if starts.get(peer).is_none_or(|held| held.incarnation < newest.incarnation) {
            starts.insert(peer.clone(), newest);
        }
        Ok(())
    }
}

impl Link {
    /// Answers for the start that said Hello, durably and before the peer is told anything of its log; tells it if a later
    /// one is known, since it cannot see that by itself.
    pub(super) async fn answer_for_start(&self) -> Result<(), SessionEnd> {
        let (peer, start) = (self.peer.clone(), self.greeting.start());
        let answered = move |shared: &Shared| shared.answer_for(&peer, start);
        let answered = self.shared.blocking(answered).await?;
        answered.map_err(|error| SessionEnd::ours("a start was not answered for", error))?;
        if !self.is_outdated() {
            return Ok(());
        }
        let known = self.newest_start().incarnation;
        tracing::error!(
            peer = %self.peer, known, calls = start.incarnation,
            "the peer is an older start or a copy of its gateway: its log is not taken from it"
        );
        let message = format!(
            "start {known} of this member's gateway is known here: nothing of its log is taken from an older start or \
             a second one"
        );
        self.send(Kind::Problem(frames::problem(reasons::OLDER_START, &message, None, false))).await
    }

    fn newest_start(&self) -> Start {
        self.shared.starts().get(&self.peer).copied().unwrap_or(self.greeting.start())
    }

    /// Asks the peer whether we may sign.
    pub(super) async fn ask_start(&self, round: u64) -> Result<(), SessionEnd> {
        if round == 0 {
            return Ok(());
        }
        self.send(Kind::StartQuestion(wire::StartQuestion { round })).await
    }

    /// Tells the peer for which start of it we answer, and what we know of its log.
    pub(super) async fn answer_start(&self, round: u64) -> Result<(), SessionEnd> {
        // Before its log is read: what is read after a promise was given is at least what was here when it was.
        let (newest, is_yours) = (self.newest_start(), !self.is_outdated());
        let checkpoint = match self.shared.present_log_of(&self.peer) {
            Some(log) => self.newest_seen(log).await?.map_or_else(Bytes::new, |row| row.note),
            None => Bytes::new(),
        };
        let incarnation = newest.incarnation;
        let answer = wire::StartAnswer { round, incarnation, is_yours, checkpoint };
        self.send(Kind::StartAnswer(answer)).await
    }

    /// The peer still shows what it has shown of our log. Since then the charter may have named a branch, and this one tells
    /// whether what it answers counts.
    async fn recall_own_log(&self, known: VerifiedCheckpoint) -> Result<(), SessionEnd> {
        let peer = self.peer.clone();
        let unproven = lock(&self.unproven).get(&known.log_id()).copied();
        let is_unproven = unproven.is_some_and(|size| known.size() <= size);
        let recalled = move |shared: &Shared| {
            shared.own_log.recalled(&shared.context.store, &peer, &known, is_unproven)
        };
        let recalled = self.shared.blocking(recalled).await?;
        recalled.map_err(|error| SessionEnd::ours("our own log cannot be read", error))
    }

    /// The peer says for which start of us it answers.
    pub(super) async fn take_start_answer(
        &self,
        answer: wire::StartAnswer,
    ) -> Result<(), SessionEnd> {
        let own = self.shared.context.own.log;
        let check = &self.shared.own_log;
        let knowledge = check.knowledge();
        // What it shows of our log comes first: an answer counts only together with that.
        if !answer.checkpoint.is_empty() {
            let known = self.heads().get(&own).cloned();
            match known.filter(|it| *it.note() == answer.checkpoint) {
                None => drop(self.take_head(own, answer.checkpoint).await?),
                Some(known) => self.recall_own_log(known).await?,
            }
        }
        // Nobody answers what was not asked yet.
        if answer.round > *check.rounds().borrow() {
            return Ok(());
        }
        let wire::StartAnswer { round, incarnation, is_yours, .. } = answer;
        check.has_answered(&self.peer, Answer { round, incarnation, is_ours: is_yours }, knowledge);
        Ok(())
    }
}
