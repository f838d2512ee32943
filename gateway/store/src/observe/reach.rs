//! Which heads of other logs may be observed, and whether one of them is worth an observation.

use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::payload::{ObservedHead, Payload};
use sundbro_ledger::transaction::{Audience, SignedTransaction};

use super::own::Watch;
use super::{Observing, Upto, is_observed};
use crate::blobs::sound_blob_in;
use crate::database::ReadView;
use crate::error::StoreError;
use crate::logs::{LogState, entries_in, first_refused_in, head_in, logs_in, state_in};
use crate::store::root_at;
use crate::tables::BLOBS;

/// What a log holds since the head that was observed.
enum Since {
    Observations,
    Others,
    /// Observations, and from this position on entries whose payload is not here.
    Unread(u64),
}

/// One moment of the store, and the rules of what may be observed in it.
pub(super) struct Reach<'a, 'b> {
    pub(super) ledger: &'a ReadView,
    pub(super) payloads: &'a ReadView,
    pub(super) observing: &'a Observing<'b>,
}

impl Reach<'_, '_> {
    /// Every head that is not the one observed, in order of log id; none when no log grew by anything but observations.
    pub(super) fn changed(
        &self,
        own: &LogId,
        watch: &mut Watch,
    ) -> Result<Vec<ObservedHead>, StoreError> {
        let mut changed = Vec::new();
        let mut worth_it = false;
        for log in logs_in(self.ledger)? {
            if log == *own {
                continue;
            }
            let head = match self.head_of(&log, &watch.heads) {
                Ok(head) => head,
                // One log's damage must not keep the others from being vouched for.
                Err(StoreError::Damaged(damage)) => {
                    tracing::error!(%damage, "a log is not observed: run `sundbro verify`");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(head) = head.filter(|head| !is_observed(&watch.heads, head)) else { continue };
            if !worth_it && !self.is_quiet(&head, watch)? {
                worth_it = true;
            }
            changed.push(head);
        }
        if worth_it {
            watch.quiet.clear();
            watch.unread.clear();
            return Ok(changed);
        }
        Ok(Vec::new())
    }

    /// The head of a log that may be observed. `None`: there is none.
    fn head_of(&self, log: &LogId, observed: &Heads) -> Result<Option<ObservedHead>, StoreError> {
        if self.observing.owners.log_owner(log).is_none() {
            return Ok(None);
        }
        let head = head_in(self.ledger, log)?;
        let stop = match state_in(self.ledger, log)? {
            LogState::Stopped { position, .. } => position,
            _ => u64::MAX,
        };
        let refused = first_refused_in(self.ledger, log, self.observing.owners)?;
        let refused = refused.map_or(u64::MAX, |refusal| refusal.position());
        let counts = head.size().min(stop).min(refused);
        let limit = (self.observing.limit)(log).unwrap_or(u64::MAX);
        // A limit keeps us from vouching for more. Only a stop or a charter takes back what we vouched for.
        let before = observed.get(log).map_or(0, |head| head.size);
        let size = counts.min(limit.max(before));
        let root = if size == head.size() { head.root() } else { self.root_at(log, size)? };
        Ok((size > 0).then_some(ObservedHead { log: *log, size, root }))
    }

    /// Whether a log holds nothing but observations since the head that was observed. Payloads come after their entries:
    /// one that is not here is waited for once.
    fn is_quiet(&self, head: &ObservedHead, watch: &mut Watch) -> Result<bool, StoreError> {
        let log = &head.log;
        let mut from = 0;
        if let Some(observed) = watch.heads.get(log) {
            if !self.goes_on(log, (observed.size, observed.root), head)? {
                return Ok(false);
            }
            from = observed.size;
        }
        if let Some(upto) = watch.quiet.get(log)
            && upto.0 > from
            && self.goes_on(log, *upto, head)?
        {
            from = upto.0;
        }
        let since = self.since(log, from, head.size)?;
        let waited_for = watch.unread.remove(log);
        match since {
            Since::Others => return Ok(false),
            Since::Observations => drop(watch.quiet.insert(*log, (head.size, head.root))),
            Since::Unread(position) if waited_for == Some(position) => return Ok(false),
            Since::Unread(position) => drop(watch.unread.insert(*log, position)),
        }
        Ok(true)
    }

    /// Whether the log at this head has that beginning.
    fn goes_on(
        &self,
        log: &LogId,
        (size, root): Upto,
        head: &ObservedHead,
    ) -> Result<bool, StoreError> {
        Ok(size <= head.size && self.root_at(log, size)? == root)
    }

    fn since(&self, log: &LogId, from: u64, end: u64) -> Result<Since, StoreError> {
        let mut unread = None;
        let blobs = self.payloads.table(&BLOBS)?;
        let mut next = from;
        while next < end {
            let entries = entries_in(self.ledger, log, next..end)?;
            for (position, entry) in (next..).zip(&entries) {
                let Ok(parsed) = SignedTransaction::parse(entry) else { return Ok(Since::Others) };
                let header = parsed.header();
                // A limited observation is void, and its payload may never come.
                if header.audience != Audience::Federation {
                    return Ok(Since::Others);
                }
                let Some(blob) = sound_blob_in(&blobs, &header.payload_commitment)? else {
                    unread = unread.or(Some(position));
                    continue;
                };
                if !matches!(Payload::read(header, blob), Ok(Payload::Observed(_))) {
                    return Ok(Since::Others);
                }
            }
            next += entries.len() as u64;
        }
        Ok(unread.map_or(Since::Observations, Since::Unread))
    }

    fn root_at(&self, log: &LogId, size: u64) -> Result<RootHash, StoreError> {
        root_at(self.ledger, log, size)
    }
}
