//! Fetches the blobs that one log lacks from one peer.

use std::collections::BTreeSet;

use sundbro_ledger::ids::LogId;
use sundbro_store::BlobKey;

use super::frames::{self, MAX_WANTED_BLOBS};
use super::link::{Link, lock};
use super::pull::MISSING_LOOKED_AT;
use super::question::Reply;
use super::registry::Claim;
use super::{SessionEnd, Shared};

impl Link {
    pub(super) async fn pull_blobs(&self, log: LogId, claim: Claim) -> Result<(), SessionEnd> {
        let missing =
            move |shared: &Shared| shared.context.store.missing_blobs(&log, MISSING_LOOKED_AT);
        let missing = self.shared.blocking(missing).await?;
        let missing =
            missing.map_err(|error| SessionEnd::ours("missing blobs cannot be listed", error))?;
        let wanted: BTreeSet<BlobKey> = {
            let declined = lock(&self.declined);
            let declined = declined.get(&log);
            let fresh = |key: &BlobKey| declined.is_none_or(|declined| !declined.contains(key));
            missing.into_iter().filter(fresh).take(MAX_WANTED_BLOBS).collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = wanted.iter().copied().collect();
        let mut question = self.ask_blobs(claim, wanted);
        if !question.send(frames::want_blobs(&log, &keys)).await? {
            return Ok(());
        }
        let mut left = keys.len();
        while left > 0 {
            let Reply::Blobs { blobs, missing } = question.next().await? else { continue };
            left = left.saturating_sub(blobs.len() + missing.len());
            lock(&self.declined).entry(log).or_default().extend(missing);
            if !blobs.is_empty() {
                // Also without the claim: a blob is right or wrong by itself, whoever else asks for it by now.
                let claim = question.take_claim();
                let put = move |shared: &Shared| (shared.put_blobs(&log, &blobs), claim);
                let (put, held) = self.shared.blocking(put).await?;
                put?;
                question.keep_claim(held);
            }
            question.is_forward();
        }
        Ok(())
    }
}
