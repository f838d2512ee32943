//! Tells each log's author how much of it would survive the loss of the author's disk, and hears it of our own.

use std::sync::atomic::Ordering;

use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::Ack;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::StoreError;

use super::link::Link;
use super::receive::log_of;
use super::{SessionEnd, Shared, frames, reasons};

impl Link {
    /// Acknowledges the peer's own logs until the session ends.
    pub(super) async fn acknowledge(&self) -> SessionEnd {
        match self.acknowledge_changes().await {
            Ok(()) => SessionEnd::Stopped,
            Err(end) => end,
        }
    }

    async fn acknowledge_changes(&self) -> Result<(), SessionEnd> {
        let context = &self.shared.context;
        let (mut heads, mut blobs) = (context.hub.watch_heads(), context.hub.watch_blobs());
        let mut told = None;
        loop {
            if let Some((log, size)) = self.durable().await?
                && told.is_none_or(|told| told < size)
            {
                told = Some(size);
                let ack = Ack { log_id: frames::log_bytes(&log), durable_size: size };
                self.send(Kind::Ack(ack)).await?;
            }
            tokio::select! {
                biased;
                Ok(()) = heads.changed() => {}
                Ok(()) = blobs.changed() => {}
                // Every sender is gone: so is the gateway.
                else => return Ok(()),
            }
        }
    }

    /// How much of the log that the peer writes is durable here. `None`: no charter here names one, or the peer is a
    /// clone, which is told nothing about a log that is not its own any more.
    async fn durable(&self) -> Result<Option<(LogId, u64)>, SessionEnd> {
        let history = self.shared.context.charter.history();
        let newest = history
            .logs()
            .filter(|(_, owner)| owner.member == self.peer && !self.is_outdated())
            .max_by_key(|(_, owner)| owner.epoch)
            .map(|(log, _)| *log);
        let Some(log) = newest else { return Ok(None) };
        let size = self.shared.blocking(move |shared| shared.durable_size(&log)).await?;
        let size = size.map_err(|error| SessionEnd::ours("the index cannot be read", error))?;
        Ok(Some((log, size)))
    }

    /// Takes what the peer says of our own log.
    pub(super) fn take_ack(&self, ack: &Ack) -> Result<(), SessionEnd> {
        let malformed = |what| Err(SessionEnd::fault(reasons::MALFORMED_FRAME, what));
        let context = &self.shared.context;
        if log_of(&ack.log_id)? != context.own.log {
            return malformed("an Ack of a log that is not ours");
        }
        if self.acked.fetch_max(ack.durable_size, Ordering::Relaxed) > ack.durable_size {
            return malformed("an Ack of less than before");
        }
        context.peers.acked(&self.peer, ack.durable_size);
        Ok(())
    }
}

impl Shared {
    /// Entries of a log below which nothing is missing here: all that is durable of it. Blocking.
    fn durable_size(&self, log: &LogId) -> Result<u64, StoreError> {
        let store = &self.context.store;
        // In this order: what is missing is known of every entry that was indexed before.
        let indexed = store.index_counts(log)?.indexed_size;
        let missing = store.missing_blobs(log, 1)?;
        Ok(missing.first().map_or(indexed, |first| first.position.min(indexed)))
    }
}
