//! Fetches the blobs that one log lacks from one peer.

use std::collections::BTreeSet;

use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1 as wire;
use sundbro_store::{BlobKey, NewBlob};

use super::frames::{self, MAX_WANTED_BLOBS};
use super::link::{Link, lock};
use super::pull::MISSING_LOOKED_AT;
use super::question::Reply;
use super::registry::{Claim, Lane};
use super::{SessionEnd, Shared, reasons};

impl Link {
    pub(super) async fn pull_blobs(&self, log: LogId, claim: Claim) -> Result<(), SessionEnd> {
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
