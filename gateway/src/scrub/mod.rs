//! Scrubs the store of a running gateway: every row once in an interval, a few at a time, and what is damaged is repaired
//! where other members or the rows beside it make that possible.
//!
//! What is found is told once, counted each time it is seen, and fetched again by replication like anything that is
//! missing. Our own log is not touched while it is signed, and what only a backup holds is only told.

mod remedy;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sundbro_ledger::ids::LogId;
use sundbro_store::scrub::{Finding, ScrubCursor, ScrubStep};
use sundbro_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

pub use self::remedy::{Remedy, Repaired, Repairs};
use crate::charter_book::CharterBook;
use crate::hub::Hub;
use crate::sight::scrub::ScrubCounts;

/// Rows that one step looks at: some 20 ms for entries, whose signatures are checked; no read lasts longer.
pub const STEP_ROWS: u64 = 512;
/// Longest pause between two steps: a small store is done within minutes, however long the interval.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long is waited after the disk failed before the scrub goes on.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Findings that are remembered as told. More are told again in the next scrub: the disk is lost then anyway.
const MAX_TOLD: usize = 1_024;

/// With what it works.
pub struct ScrubContext {
    /// What is scrubbed.
    pub store: Arc<Store>,
    /// Whose signatures are good.
    pub charter: Arc<CharterBook>,
    /// Who hears that something is to be fetched.
    pub hub: Arc<Hub>,
    /// What is shown of it.
    pub counts: ScrubCounts,
    /// The whole store once in this time.
    pub interval: Duration,
    /// When it ends.
    pub stop: CancellationToken,
}

/// What the last whole scrub found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastScrub {
    /// When it was finished.
    pub unix_seconds: i64,
    /// How many damaged places it found, repaired since or not.
    pub findings: u64,
}

/// The last whole scrub, for whoever shows it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ScrubState(Arc<Mutex<Option<LastScrub>>>);

impl ScrubState {
    /// The last whole scrub since our start.
    pub fn last(&self) -> Option<LastScrub> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is finished.
    pub fn finished(&self, last: LastScrub) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// Scrubs until stopped.
pub async fn run(context: ScrubContext) {
    let context = Arc::new(context);
    let mut told = Told::default();
    while !context.stop.is_cancelled() {
        let began = Instant::now();
        if whole(&context, &mut told).await.is_none() {
            return;
        }
        if !pause(&context, context.interval.saturating_sub(began.elapsed())).await {
            return;
        }
    }
}

/// One whole scrub. `None`: the gateway stops.
async fn whole(context: &Arc<ScrubContext>, told: &mut Told) -> Option<()> {
    let began = Instant::now();
    let rows = blocking(context, |it| it.store.scrub_rows()).await?.unwrap_or(0);
    let (mut looked_at, mut findings, mut from) = (0, 0, None::<ScrubCursor>);
    let mut tried = BTreeSet::new();
    told.begin();
    loop {
        let cursor = from.clone();
        let step = blocking(context, move |it| {
            let history = it.charter.history();
            it.store.scrub(cursor.as_ref(), STEP_ROWS, Some(&*history))
        });
        let step = match step.await? {
            Ok(step) => step,
            Err(error) => {
                let error = crate::status::chain(&error);
                tracing::error!(error, "the store cannot be scrubbed: check the disk");
                pause(context, AFTER_FAILURE).await.then_some(())?;
                continue;
            }
        };
        findings += step.found.len() as u64;
        looked_at += step.rows;
        take(context, &step, told, &mut tried).await?;
        let Some(next) = step.next else { break };
        from = Some(next);
        if step.rows > 0 {
            let left = context.interval.saturating_sub(began.elapsed());
            let wait = pause_for(left, step.rows, rows.saturating_sub(looked_at));
            pause(context, wait).await.then_some(())?;
        }
    }
    let last = LastScrub { unix_seconds: crate::clock::unix_seconds(), findings };
    context.counts.finished(last);
    tracing::info!(rows = looked_at, findings, "the store was scrubbed");
    Some(())
}

/// How long the next step waits so that the rows that are left are spread over the time that is left.
fn pause_for(left: Duration, step_rows: u64, rows_left: u64) -> Duration {
    let steps = u32::try_from(rows_left / step_rows.max(1)).unwrap_or(u32::MAX);
    (left / steps.max(1)).min(LONGEST_PAUSE)
}

/// Tells what a step found, and repairs what can be. `None`: the gateway stops.
async fn take(
    context: &Arc<ScrubContext>,
    step: &ScrubStep,
    told: &mut Told,
    tried: &mut BTreeSet<LogId>,
) -> Option<()> {
    let own_log = context.store.identity().own_log;
    let mut repairs = Repairs::default();
    for finding in &step.found {
        let remedy = Remedy::of(finding, &own_log);
        context.counts.found(remedy);
        if told.is_new(finding) {
            tell(finding, remedy);
        }
        repairs.add(finding, remedy, false);
    }
    // What a repair did not help is not repaired again at each of its rows.
    repairs.without_tried(tried);
    if repairs.is_empty() {
        return Some(());
    }
    let repaired = blocking(context, move |it| {
        let history = it.charter.history();
        repairs.carry_out(&it.store, &it.charter, &*history)
    });
    match repaired.await? {
        Ok(repaired) => tell_repaired(&repaired),
        Err(error) => {
            let error = crate::status::chain(&error);
            tracing::error!(error, "a repair failed: check the disk");
        }
    }
    // Replication looks again at what is missing, whatever came of it.
    context.hub.heads_changed();
    context.hub.blobs_changed();
    Some(())
}

fn tell(finding: &Finding, remedy: Remedy) {
    let damage = &finding.damage;
    tracing::error!(
        file = %damage.file, table = damage.table, log = damage.log.as_ref().map(tracing::field::debug),
        position = damage.position, problem = damage.problem, repair = remedy.name(),
        cure = remedy.cure(), "a row is damaged"
    );
}

fn tell_repaired(repaired: &Repaired) {
    for (log, left) in &repaired.logs {
        tracing::warn!(
            ?log,
            kept = left.kept,
            dropped = left.dropped,
            "a damaged log is fetched again from here"
        );
    }
    for (log, error) in &repaired.refused {
        let error = crate::status::chain(error);
        tracing::error!(?log, error, "a damaged log is not repaired");
    }
    if repaired.blobs > 0 {
        tracing::warn!(blobs = repaired.blobs, "damaged payloads are fetched again");
    }
    if repaired.index {
        tracing::warn!("the index was derived anew");
    }
}

/// Findings that were told, so that each is told once for as long as it stands.
#[derive(Debug, Default)]
struct Told {
    before: BTreeSet<String>,
    now: BTreeSet<String>,
}

impl Told {
    /// A scrub begins: what it does not find again is forgotten at the next.
    fn begin(&mut self) {
        self.before = core::mem::take(&mut self.now);
    }

    fn is_new(&mut self, finding: &Finding) -> bool {
        let words = finding.to_string();
        let known = self.before.contains(&words);
        if self.now.len() >= MAX_TOLD {
            return !known && !self.now.contains(&words);
        }
        self.now.insert(words) && !known
    }
}

/// Runs work that blocks. `None`: the gateway stops, or the work panicked and has said so.
async fn blocking<T: Send + 'static>(
    context: &Arc<ScrubContext>,
    work: impl FnOnce(&ScrubContext) -> Result<T, StoreError> + Send + 'static,
) -> Option<Result<T, StoreError>> {
    if context.stop.is_cancelled() {
        return None;
    }
    let context = Arc::clone(context);
    tokio::task::spawn_blocking(move || work(&context)).await.ok()
}

/// Whether the gateway goes on after it.
async fn pause(context: &ScrubContext, time: Duration) -> bool {
    tokio::select! {
        () = context.stop.cancelled() => false,
        () = tokio::time::sleep(time) => true,
    }
}

#[cfg(test)]
mod tests {
    use sundbro_store::Damage;
    use sundbro_store::scrub::Repair;
    use sundbro_store::tables::StoreFile;

    use super::*;

    fn finding(file: StoreFile, log: Option<LogId>, position: u64, repair: Repair) -> Finding {
        let damage = Damage {
            file,
            table: Some("entries"),
            log,
            position: Some(position),
            problem: "it is another".to_owned(),
        };
        Finding { damage, repair, blob: None }
    }

    #[test]
    fn rows_are_spread_over_the_interval_and_a_small_store_does_not_wait_for_its_end() {
        let day = Duration::from_secs(86_400);
        assert_eq!(pause_for(day, STEP_ROWS, 100_000), LONGEST_PAUSE);
        assert_eq!(
            pause_for(Duration::from_secs(100), 512, 512 * 1_000),
            Duration::from_millis(100)
        );
        assert_eq!(pause_for(Duration::ZERO, 512, 512), Duration::ZERO, "late: it goes on at once");
        assert_eq!(pause_for(day, 0, 0), LONGEST_PAUSE);
    }

    #[test]
    fn our_own_log_is_told_and_not_touched_while_it_is_signed() {
        let (own, other) = (LogId::new([1; 32]), LogId::new([2; 32]));
        let mut repairs = Repairs::default();
        for (log, remedy) in
            [(Some(own), Remedy::OwnLog), (Some(other), Remedy::Peers), (None, Remedy::Backup)]
        {
            let found = finding(StoreFile::Ledger, log, 3, Repair::FromPeers);
            assert_eq!(Remedy::of(&found, &own), remedy);
            if remedy != Remedy::Peers {
                repairs.add(&found, remedy, false);
            }
        }
        assert!(repairs.is_empty());
        let index = finding(StoreFile::Index, None, 3, Repair::RebuildIndex);
        repairs.add(&index, Remedy::of(&index, &own), false);
        assert!(!repairs.is_empty());
    }

    #[test]
    fn a_log_is_repaired_once_in_a_scrub() {
        let log = LogId::new([2; 32]);
        let mut tried = BTreeSet::new();
        for (round, is_empty) in [false, true].into_iter().enumerate() {
            let mut repairs = Repairs::default();
            let found = finding(StoreFile::Ledger, Some(log), round as u64, Repair::FromPeers);
            repairs.add(&found, Remedy::Peers, false);
            repairs.without_tried(&mut tried);
            assert_eq!(repairs.is_empty(), is_empty);
        }
    }

    #[test]
    fn what_stands_is_told_once_and_what_comes_back_is_told_again() {
        let found = finding(StoreFile::Audit, None, 3, Repair::FromBackup);
        let mut told = Told::default();
        let mut scrub = |finds: bool| {
            told.begin();
            finds && told.is_new(&found)
        };
        assert_eq!([true, true, false, true].map(&mut scrub), [true, false, false, true]);
    }
}
