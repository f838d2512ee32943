//! What is found while our log may not be signed waits in the outbox, and is signed from there, in order, once it may.
//!
//! What waits goes first: as long as anything does, what is found goes behind it. One task signs it. Each draft is judged
//! again right before, and what is refused then is told and looked for at its source again.

use std::collections::HashSet;
use std::sync::Arc;

use sundbro_store::{
    DraftRefusal, JudgedDrafts, OutboxLimits, OutboxStatus, OwnDraft, PutOutboxError, Store,
    StoreError, Waiting,
};
use tokio::sync::{Notify, watch};

use super::draft::{DraftError, Drafting, MapView};
use super::judge::Verdict;
use super::{Ingest, IngestContext, RETRY_AFTER, blocking};
use crate::charter_book::CharterBook;
use crate::publisher::SigningState;

/// Most drafts that are read, judged and signed at once: some megabytes of blobs.
const GROUP_WAITING: usize = 256;

/// The outbox, as all ingests and the task that signs from it share it. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    store: Arc<Store>,
    limits: OutboxLimits,
    put: Arc<Notify>,
    /// How often something was dropped that its source must tell again.
    dropped: Arc<watch::Sender<u64>>,
}

impl Outbox {
    /// That of a store.
    pub fn new(store: Arc<Store>, limits: OutboxLimits) -> Self {
        Self { store, limits, put: Arc::default(), dropped: Arc::new(watch::Sender::new(0)) }
    }

    /// How much waits, and whether no more may. Blocks briefly.
    ///
    /// # Errors
    /// When our own disk fails.
    pub fn status(&self) -> Result<(OutboxStatus, bool), StoreError> {
        let status = self.store.outbox_status()?;
        Ok((status, status.is_full(&self.limits)))
    }

    /// Changes whenever something was dropped that its source must tell again.
    pub(super) fn dropped(&self) -> watch::Receiver<u64> {
        self.dropped.subscribe()
    }

    /// Whether anything waits.
    async fn is_empty(&self) -> Result<bool, DraftError> {
        let outbox = self.clone();
        blocking(move || Ok(outbox.status()?.0.drafts == 0)).await
    }

    /// Whether more may wait.
    pub(super) async fn has_room(&self) -> bool {
        let outbox = self.clone();
        blocking(move || Ok(!outbox.status()?.1)).await.unwrap_or(false)
    }

    async fn put(
        &self,
        drafts: Vec<OwnDraft>,
    ) -> Result<Vec<Result<(), DraftRefusal>>, PutOutboxError> {
        let (store, limits) = (self.store.clone(), self.limits);
        let put = move || store.put_outbox(&drafts, crate::clock::unix_seconds(), &limits);
        let outcomes = tokio::task::spawn_blocking(put).await;
        self.put.notify_one();
        outcomes.unwrap_or(Err(PutOutboxError::Store(StoreError::Poisoned)))
    }
}

impl Ingest {
    /// Has drafts signed, or has them wait until they can be. Says of each whether it is refused; `None`: none of them was
    /// taken, and what they are about waits at its source.
    pub(super) async fn hand_over(
        &self,
        drafts: Vec<OwnDraft>,
    ) -> Option<Vec<Result<(), DraftRefusal>>> {
        let adapter = self.adapter.name();
        match self.sign_now(&drafts).await {
            Ok(Some(outcomes)) => return Some(outcomes),
            Ok(None) => {}
            Err(error) => {
                let error = crate::status::chain(&*error);
                tracing::warn!(adapter, error, "items wait at their source");
                return None;
            }
        }
        let count = drafts.len();
        match self.context.outbox.put(drafts).await {
            Ok(outcomes) => {
                tracing::info!(adapter, drafts = count, "what was found waits to be signed");
                Some(outcomes)
            }
            Err(error) => {
                let error = crate::status::chain(&error);
                tracing::warn!(adapter, error, "items wait at their source");
                None
            }
        }
    }

    /// Signs drafts before which nothing waits. `None`: something does, or our log may not be signed now.
    async fn sign_now(
        &self,
        drafts: &[OwnDraft],
    ) -> Result<Option<Vec<Result<(), DraftRefusal>>>, Box<dyn std::error::Error + Send + Sync>>
    {
        if !self.context.outbox.is_empty().await? {
            return Ok(None);
        }
        match self.context.publisher.publish(drafts.to_vec()).await {
            Ok(outcomes) => {
                Ok(Some(outcomes.into_iter().map(|outcome| outcome.map(drop)).collect()))
            }
            Err(error) if error.is_about_signing() => {
                let error = crate::status::chain(&*error);
                tracing::debug!(adapter = self.adapter.name(), error, "not signed now");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Signs what waits whenever our log may be signed, until the gateway stops.
pub async fn sign_what_waits(context: IngestContext, charter: Arc<CharterBook>) {
    let stop = context.stop.clone();
    let signer = Signer { context, charter };
    tokio::select! {
        () = stop.cancelled() => {}
        () = signer.run() => {}
    }
}

pub(super) struct Signer {
    pub(super) context: IngestContext,
    pub(super) charter: Arc<CharterBook>,
}

/// The first drafts that wait, judged.
#[derive(Default)]
struct Group {
    to_sign: JudgedDrafts,
    /// Numbers of those that our log says already.
    said: Vec<u64>,
    /// Numbers of those that cannot be read any more.
    lost: Vec<u64>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.to_sign.drafts.is_empty() && self.said.is_empty() && self.lost.is_empty()
    }
}

impl Signer {
    async fn run(self) {
        let mut state = self.context.publisher.state();
        let mut complained = None;
        loop {
            let signing = *state.borrow_and_update() == SigningState::Signing;
            if signing {
                match self.round().await {
                    Ok(true) => {
                        complained = None;
                        continue;
                    }
                    Ok(false) => complained = None,
                    Err(error) => complain(&*error, &mut complained),
                }
            }
            // Whichever comes first. The senders live as long as the gateway.
            tokio::select! {
                _ = state.changed() => {}
                () = self.context.outbox.put.notified() => {}
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }

    /// Signs the first of what waits. Whether there may be more.
    pub(super) async fn round(&self) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let (context, charter) = (self.context.clone(), self.charter.clone());
        let group = blocking(move || judged(&context, &charter)).await?;
        if group.is_empty() {
            return Ok(false);
        }
        let Group { to_sign, said, lost } = group;
        self.drop_waiting(said, lost).await?;
        if !to_sign.drafts.is_empty() {
            let mut refused = Vec::new();
            let numbers: Vec<u64> = to_sign.drafts.iter().map(|(number, ..)| *number).collect();
            let outcomes = match self.context.publisher.publish_waiting(to_sign).await {
                Ok(outcomes) => outcomes,
                // Our log grew meanwhile: they are judged once more.
                Err(error) if error.is_judged_before() => return Ok(true),
                Err(error) => return Err(error.into()),
            };
            let signed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            tracing::info!(drafts = signed, "what waited is signed");
            for (number, outcome) in numbers.into_iter().zip(outcomes) {
                if let Err(refusal) = outcome {
                    tracing::error!(number, %refusal, "a draft that waited is refused: its source is looked at again");
                    refused.push(number);
                }
            }
            self.drop_waiting(Vec::new(), refused).await?;
        }
        Ok(true)
    }

    async fn drop_waiting(&self, said: Vec<u64>, lost: Vec<u64>) -> Result<(), DraftError> {
        let look_again = !lost.is_empty();
        let dropped: Vec<u64> = said.into_iter().chain(lost).collect();
        if dropped.is_empty() {
            return Ok(());
        }
        let store = self.context.store.clone();
        blocking(move || Ok(store.drop_waiting(&dropped)?)).await?;
        if look_again {
            self.context.outbox.dropped.send_modify(|times| *times += 1);
        }
        Ok(())
    }
}

/// The first drafts that wait, judged by our log as it is now. Blocking.
///
/// Of one item only the first is taken: the next one follows from what becomes of it.
fn judged(context: &IngestContext, charter: &CharterBook) -> Result<Group, DraftError> {
    let waiting = context.store.waiting(GROUP_WAITING)?;
    let mut group = Group::default();
    if waiting.drafts.is_empty() {
        return Ok(group);
    }
    // What is judged by is derived from all that our log has.
    crate::publisher::fold_all(&context.store, charter)?;
    group.to_sign.size = waiting.size;
    let mut items = HashSet::new();
    for Waiting { number, draft, signed_at } in waiting.drafts {
        let Some(draft) = draft else {
            tracing::error!(
                number,
                "a draft that waited is damaged and not signed: its source is looked at again; check the disk"
            );
            group.lost.push(number);
            continue;
        };
        let item = draft.source().map(|(adapter, key)| (adapter.to_owned(), key.to_vec()));
        if let Some(item) = item
            && !items.insert(item)
        {
            break;
        }
        if signed_at.is_some() {
            group.to_sign.drafts.push((number, draft, signed_at));
            continue;
        }
        match drafting(context, &draft).judge(&draft) {
            Ok(Verdict::Holds) => group.to_sign.drafts.push((number, draft, None)),
            Ok(Verdict::Anew(anew)) => {
                tracing::info!(number, "what waited follows what our log got back meanwhile");
                group.to_sign.drafts.push((number, *anew, None));
            }
            Ok(Verdict::Nothing) => group.said.push(number),
            Ok(Verdict::Unreadable)
            | Err(DraftError::DoesNotFit | DraftError::TooManyGenerations) => {
                tracing::error!(
                    number,
                    "a draft that waited cannot be signed any more: its source is looked at again"
                );
                group.lost.push(number);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(group)
}

fn drafting(context: &IngestContext, draft: &OwnDraft) -> Drafting {
    Drafting {
        member: context.member.clone(),
        own_log: context.own_log,
        adapter: draft.source().map_or_else(String::new, |(adapter, _)| adapter.to_owned()),
        store: context.store.clone(),
        keys: context.keys.clone(),
        subjects: context.subjects.clone(),
        map: MapView::Registered,
    }
}

/// Says why nothing that waits is signed, once for each cause.
fn complain(error: &(dyn std::error::Error + 'static), complained: &mut Option<String>) {
    let cause = crate::status::chain(error);
    if complained.as_ref() != Some(&cause) {
        tracing::warn!(cause, "what waits is not signed yet");
        *complained = Some(cause);
    }
}
