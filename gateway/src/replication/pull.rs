//! Chooses what to fetch of what the peer has and we lack, and fetches a few logs at once, in turns: a log that waits
//! gets its turn after a bounded part of every other, however long they are.
//!
//! The resume point is the committed size; nothing else is remembered between sessions.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::LogId;
use sundbro_store::{LogState, LogStatus, is_equivocation};

use super::SessionEnd;
use super::holdings::View;
use super::link::{Link, lock};
use super::registry::{Claim, Lane};
use crate::hub::DAILY_LIMIT;

/// Logs fetched at once in one session: enough that one which is slow to come does not leave the stream idle, few enough
/// that what is under way stays small.
const MAX_PULLS: usize = 4;
/// Missing blobs looked through for some that this peer has not declined.
pub(super) const MISSING_LOOKED_AT: usize = 4_096;

/// Something that can be fetched from this peer.
enum Job {
    Entries(Box<VerifiedCheckpoint>),
    /// Of a tree that is no longer than ours and not its beginning: where the two part.
    Parting(Box<VerifiedCheckpoint>),
    Blobs(LogId),
}

impl Job {
    fn key(&self) -> (LogId, Lane) {
        match self {
            Self::Entries(target) | Self::Parting(target) => (target.log_id(), Lane::Entries),
            Self::Blobs(log) => (*log, Lane::Blobs),
        }
    }
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
        let mut left = context.charter.watch_left();
        let mut own_log = self.shared.own_log.state();
        let mut branches = self.branches();
        let mut running = FuturesUnordered::new();
        // Whose turn it was last: the next one is whoever comes after it.
        let mut last = None;
        loop {
            for changes in [&mut shown, &mut released, &mut heads, &mut blobs] {
                changes.mark_unchanged();
            }
            own_log.mark_unchanged();
            charter.mark_unchanged();
            left.mark_unchanged();
            let now = self.branches();
            if core::mem::replace(&mut branches, now) != now {
                // What was no continuation of ours may be one now.
                lock(&self.unproven).clear();
            }
            let jobs = in_turn(self.jobs(&self.shared.view().await?), last);
            let mut jobs = jobs.into_iter().peekable();
            while let Some(job) = jobs.next_if(|_| running.len() < MAX_PULLS) {
                let (log, lane) = job.key();
                let source = self.source_of(&log);
                if let Some(claim) = self.shared.registry.claim(log, lane, source) {
                    last = Some((log, lane));
                    running.push(self.run_job(job, claim));
                }
            }
            // Whoever is being fetched makes room after its turn.
            self.crowded.store(jobs.peek().is_some(), Ordering::Relaxed);
            tokio::select! {
                biased;
                Some(done) = running.next() => done?,
                Ok(()) = shown.changed() => {}
                Ok(()) = released.changed() => {}
                Ok(()) = heads.changed() => {}
                Ok(()) = blobs.changed() => {}
                Ok(()) = charter.changed() => {}
                Ok(()) = left.changed() => {}
                Ok(()) = own_log.changed() => {}
                () = self.until_its_turn_comes() => {}
                () = self.shared.until_a_log_may_grow() => {}
                else => return Ok(()),
            }
        }
    }

    /// Changes when a charter may have named another branch of a log than we hold, and when one was left.
    pub(super) fn branches(&self) -> (u64, u64) {
        let charter = &self.shared.context.charter;
        (*charter.watch().borrow(), *charter.watch_left().borrow())
    }

    /// What this peer could give us now.
    fn jobs(&self, view: &View) -> Vec<Job> {
        let context = &self.shared.context;
        let charter = context.charter.version();
        let mut jobs = Vec::new();
        for (log, target) in self.heads().iter() {
            let held = view.get(log);
            let committed = held.map_or(0, |held| held.status.committed_size);
            let unproven = lock(&self.unproven).get(log).is_some_and(|size| target.size() <= *size);
            let followed = match held.map(|held| &held.status.state) {
                None | Some(LogState::Followed | LogState::Stalled { .. }) => true,
                // What lies before the stop is everybody's.
                Some(LogState::Stopped { position, .. }) => committed < *position,
                Some(LogState::Waiting { .. }) => self.shared.holdings.may_retry(log, charter),
            };
            // What we sign ourselves nobody gives us, unless its end was lost here.
            let is_own = *log == context.own.log;
            let barred = is_own && !self.shared.own_log.is_behind();
            let barred = barred || (self.is_outdated() && self.is_author(log));
            // An answer that nobody needs any more is still read to its end: two answers on one stream cannot be told
            // apart.
            let barred = barred || self.is_asked(*log, Lane::Entries);
            let barred = barred || self.gives_way((*log, Lane::Entries));
            if target.size() > committed
                && followed
                && !unproven
                && !barred
                && self.may_grow(log, committed)
            {
                jobs.push(Job::Entries(Box::new(target.clone())));
            } else if !unproven
                && !barred
                && !is_own
                && (self.shared.is_contradicted(target)
                    || held.is_some_and(|held| parts_somewhere(&held.status, target)))
            {
                jobs.push(Job::Parting(Box::new(target.clone())));
            }
        }
        for (log, held) in view.iter() {
            let declined = lock(&self.declined).get(log).map_or(0, BTreeSet::len);
            let lacks = held.missing_blobs > declined as u64 && declined < MISSING_LOOKED_AT;
            let free = !self.is_asked(*log, Lane::Blobs) && !self.gives_way((*log, Lane::Blobs));
            if lacks && free {
                jobs.push(Job::Blobs(*log));
            }
        }
        jobs
    }

    /// Whether more of a log may be fetched today; tells everybody whether it is held back.
    fn may_grow(&self, log: &LogId, committed: u64) -> bool {
        let may = self.shared.room(log, committed) > 0;
        let history = self.shared.context.charter.history();
        if let Some(owner) = history.member_of_log(log)
            && self.shared.context.peers.held_back(&owner.member, !may)
            && !may
        {
            tracing::warn!(
                ?log, member = %owner.member, reason = DAILY_LIMIT,
                "a log grew by more than the charter allows in a day: the rest is fetched as the day goes on"
            );
        }
        may
    }

    /// Whether a log waits for its turn in this session.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    async fn run_job(&self, job: Job, claim: Claim) -> Result<(), SessionEnd> {
        match job {
            Job::Entries(target) => self.pull_entries(*target, claim).await,
            Job::Parting(target) => self.pull_parting(*target, claim).await,
            Job::Blobs(log) => self.pull_blobs(log, claim).await,
        }
    }
}

/// Whether a log is stopped by two roots of the size that is here, of which the peer shows the other, and nobody knows yet
/// where below it the histories part: until then nothing is taken out of the index.
fn parts_somewhere(held: &LogStatus, shown: &VerifiedCheckpoint) -> bool {
    let is_other = held.committed_size == shown.size() && held.root != *shown.root();
    let LogState::Stopped { position, reason } = &held.state else { return false };
    is_other && is_equivocation(reason) && *position >= shown.size()
}

/// Jobs from the one on that comes after `last`, around to it.
fn in_turn(mut jobs: Vec<Job>, last: Option<(LogId, Lane)>) -> Vec<Job> {
    jobs.sort_unstable_by_key(Job::key);
    let first = jobs.partition_point(|job| Some(job.key()) <= last);
    jobs.rotate_left(first);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_a_turn_before_anybody_gets_a_second() {
        let logs: Vec<LogId> = (0..6).map(|number| LogId::new([number; 32])).collect();
        let jobs = || logs.iter().rev().map(|log| Job::Blobs(*log)).collect::<Vec<_>>();
        let mut last = None;
        let mut turns = Vec::new();
        for _ in 0..2 * logs.len() {
            let next = in_turn(jobs(), last).swap_remove(0);
            last = Some(next.key());
            turns.push(next.key().0);
        }
        assert_eq!(turns, [logs.clone(), logs].concat());
    }
}
