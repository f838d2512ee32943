//! Our own observations: which heads of other logs are new, and the entries that vouch for them.
//!
//! What is here of other logs is read inside the transaction in which the entries are signed, so they never vouch for a head
//! that this store does not hold. An observation answers entries of other kinds only: those that answer nothing but each
//! other would go on for ever.

mod own;
mod reach;

use sundbro_ledger::blob::Blob;
use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::log::{KeyBook, LogHead};
use sundbro_ledger::payload::{MAX_CHANGED_HEADS, ObservedHead, Payload};
use sundbro_ledger::transaction::Audience;

use self::reach::Reach;
use crate::database::WriteView;
use crate::error::{AppendOwnError, StoreError};
use crate::index::LogOwners;
use crate::own::{Drafting, OwnAppend, OwnDraft, OwnSigner};
use crate::store::Store;

pub(crate) use self::own::{Watch, check_own};

/// What an observation is made with, besides what is stored.
pub struct Observing<'a> {
    /// Whose each log is, and how much of it the charters let count.
    pub owners: &'a dyn LogOwners,
    /// The largest size that may be observed of a log. `None`: all that is here. What was observed before stays.
    pub limit: &'a dyn Fn(&LogId) -> Option<u64>,
    /// 32 random bytes, anew for each blob.
    pub salt: &'a mut dyn FnMut() -> Result<[u8; 32], StoreError>,
}

/// What came of looking for something to vouch for.
pub struct Looked {
    /// What was appended. `None`: nothing was.
    pub appended: Option<OwnAppend>,
    /// A log holds entries whose payloads are not here yet: they count from the next look on, whatever they are.
    pub again: bool,
}

impl Store {
    /// Appends observations of every head that is new since our last one to our own log, as one group; none when no log grew
    /// by anything but observations.
    ///
    /// # Errors
    /// As [`Store::append_own`]; and when a payload of our own log is not here, so that nobody can tell what our next
    /// observation follows.
    pub fn observe(
        &self,
        observing: &mut Observing<'_>,
        signer: &OwnSigner<'_>,
        recorded_hour: u32,
        keys: &dyn KeyBook,
    ) -> Result<Looked, AppendOwnError> {
        // Taken out: whatever fails on the way, the next call reads anew what is durable.
        let watch = self.take_watch();
        let mut drafting = ObservationDrafts { store: self, observing, watch };
        let appended = self.append_made(&mut drafting, signer, recorded_hour, keys)?;
        let again = drafting.watch.as_ref().is_some_and(Watch::waits);
        self.put_watch(drafting.watch);
        let appended = Some(appended).filter(|appended| appended.checkpoint.is_some());
        Ok(Looked { appended, again })
    }
}

/// Observations as the drafts of one append.
struct ObservationDrafts<'a, 'b> {
    store: &'a Store,
    observing: &'a mut Observing<'b>,
    watch: Option<Watch>,
}

impl Drafting for ObservationDrafts<'_, '_> {
    fn drafts(&mut self, _: &WriteView) -> Result<Vec<OwnDraft>, AppendOwnError> {
        // The write that is open has the file for itself: what is committed stays what it is until it ends.
        let (ledger, payloads) = (self.store.ledger.read()?, self.store.payloads.read()?);
        let own_log = self.store.identity().own_log;
        let mut watch = Watch::open(&ledger, &payloads, own_log, self.watch.take())?;
        let reach = Reach { ledger: &ledger, payloads: &payloads, observing: self.observing };
        let changed = reach.changed(&own_log, &mut watch)?;
        let mut drafts = Vec::new();
        for changed in changed.chunks(MAX_CHANGED_HEADS) {
            let observation = watch.heads.observe(changed.to_vec());
            drafts.push(draft(&Payload::Observed(observation), &(self.observing.salt)()?)?);
            watch.unwritten.extend_from_slice(changed);
        }
        self.watch = Some(watch);
        Ok(drafts)
    }

    fn written(&mut self, write: &WriteView, head: &LogHead) -> Result<(), StoreError> {
        match &mut self.watch {
            Some(watch) => watch.write(write, head),
            None => Ok(()),
        }
    }
}

fn draft(payload: &Payload, salt: &[u8; 32]) -> Result<OwnDraft, AppendOwnError> {
    let invalid = |problem: String| AppendOwnError::OwnEntryInvalid(problem);
    let body = payload.encode().map_err(|reason| invalid(reason.to_string()))?;
    let blob = Blob::frame(salt, &body, Audience::Federation)
        .map_err(|error| invalid(error.to_string()))?;
    Ok(OwnDraft {
        commitment: blob.payload_commitment(),
        payload: blob.bytes().clone(),
        audience: Audience::Federation,
        detail: None,
        locator: None,
        request: None,
    })
}

/// A log up to some size: what identifies it there.
pub(crate) type Upto = (u64, RootHash);

/// Whether a head is the one that was observed.
fn is_observed(heads: &Heads, head: &ObservedHead) -> bool {
    heads.get(&head.log).as_ref() == Some(head)
}
