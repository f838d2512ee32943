//! Tells the peer what changes here: charters first, then subject keys that it lacks, then heads and the tail of our log.
//!
//! The tail of our own log is pushed, so that a record is at every connected member after one frame. Only its author
//! pushes a log: everybody else would push the same bytes once more.

use std::collections::BTreeMap;

use bytes::Bytes;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::LogId;
use sundbro_ledger::payload::Payload;
use sundbro_ledger::tiles::BUNDLE_ENTRIES;
use sundbro_ledger::transaction::{Audience, SignedTransaction};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame, Head, KeyGrant};
use sundbro_store::{BlobKey, BlobKind, CheckpointRow, StoreError};
use tokio::time::{MissedTickBehavior, interval};

use super::holdings::View;
use super::link::{Link, lock};
use super::{SessionEnd, Shared, frames};
use crate::subject::grant;

impl Link {
    /// Announces until the session ends.
    pub(super) async fn announce(&self) -> SessionEnd {
        match self.announce_changes().await {
            Ok(()) => SessionEnd::Stopped,
            Err(end) => end,
        }
    }

    async fn announce_changes(&self) -> Result<(), SessionEnd> {
        let context = &self.shared.context;
        let mut heads = context.hub.watch_heads();
        let mut charter = context.charter.watch();
        let mut subjects = context.subjects.watch();
        let mut rounds = self.shared.own_log.rounds();
        // What was asked before this session began is asked here too.
        rounds.mark_changed();
        let mut repeat = interval(context.settings.heads_interval);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What the peer was told of each log.
        let mut told = BTreeMap::new();
        let mut evidence = self.shared.evidence.subscribe();
        self.send_newest_charter().await?;
        self.grant_keys().await?;
        self.send_evidence().await?;
        loop {
            // What changes seldom goes first, so that what changes always holds up nothing.
            tokio::select! {
                biased;
                Ok(()) = evidence.changed() => self.send_evidence().await?,
                Ok(()) = charter.changed() => self.grant_keys().await?,
                Ok(()) = subjects.changed() => self.grant_keys().await?,
                // The first tick comes at once: after Hello the peer hears of all logs.
                _ = repeat.tick() => {
                    lock(&self.declined).clear();
                    told.clear();
                    self.tell_heads(&mut told, true).await?;
                }
                Ok(()) = rounds.changed() => {
                    let round = *rounds.borrow_and_update();
                    self.ask_start(round).await?;
                }
                Ok(()) = heads.changed() => self.tell_heads(&mut told, false).await?,
                // Every sender is gone: so is the gateway.
                else => return Ok(()),
            }
        }
    }

    /// Gives the peer the head that we follow, if it follows one of that version too: it may be another one.
    async fn send_newest_charter(&self) -> Result<(), SessionEnd> {
        let history = self.shared.context.charter.history();
        if self.peer_charter() < history.in_force() {
            return Ok(());
        }
        for frame in frames::charters(vec![history.current().to_wire()]) {
            self.send_frame(frame).await?;
        }
        Ok(())
    }

    /// Gives the peer the charters that it lacks, heads that stand twice and what heals them among them. Of those no version
    /// that the peer says it follows tells whether it has them, since it may follow one of them: they are given once in a
    /// session.
    pub(super) async fn send_charters(&self) -> Result<(), SessionEnd> {
        let history = self.shared.context.charter.history();
        let theirs = self.peer_charter();
        let lacking: Vec<_> = {
            let mut given = lock(&self.forks_given);
            let not_given = |charter: &&Charter| {
                let version = charter.version();
                // With more signatures it is news again.
                let content = (charter.digest(), charter.signatures().len());
                match version <= history.in_force() && !history.is_about_a_fork(charter) {
                    true => version > theirs,
                    false => given.insert(content),
                }
            };
            history.charters().filter(not_given).map(Charter::to_wire).collect()
        };
        for frame in frames::charters(lacking) {
            self.send_frame(frame).await?;
        }
        self.peer_has_charter(history.in_force());
        Ok(())
    }

    /// Gives the peer, an active member, the subject keys that it lacks and we hold.
    async fn grant_keys(&self) -> Result<(), SessionEnd> {
        let context = &self.shared.context;
        let history = context.charter.history();
        // A key whose epoch the peer's charter does not list yet would be dropped there.
        self.send_charters().await?;
        let Some(sealing) = history.sealing_key(&self.peer) else {
            return Ok(());
        };
        let listed = history.subject_epochs().iter().map(|listed| listed.epoch);
        for epoch in listed {
            let Some(key) = context.subjects.get(epoch) else { continue };
            if !self.peer_epochs().insert(epoch) {
                continue;
            }
            let (federation, key_id) = (history.federation_id(), sealing.key_id);
            let public = sealing.public_key.as_bytes();
            match grant::seal(&key, &federation, epoch, &self.peer, key_id, public) {
                Ok(grant) => {
                    self.send(Kind::KeyGrant(KeyGrant { grant: Some(grant) })).await?;
                    tracing::info!(peer = %self.peer, epoch, "gave a subject key");
                }
                Err(error) => tracing::warn!(peer = %self.peer, epoch, "{error}"),
            }
        }
        Ok(())
    }

    /// Tells the peer about logs that changed since it was told; about all of them when `all`.
    async fn tell_heads(
        &self,
        told: &mut BTreeMap<LogId, u64>,
        all: bool,
    ) -> Result<(), SessionEnd> {
        let view = self.shared.view().await?;
        let tail = self.tail_to_push(&view, told).await?;
        let heads = self.heads_to_tell(&view, told).await?;
        // After reading, before sending: whoever gets a checkpoint has the charter by which we found it good.
        self.send_charters().await?;
        for frame in tail {
            self.send_frame(frame).await?;
        }
        if all || !heads.is_empty() {
            for frame in frames::heads(heads) {
                self.send_frame(frame).await?;
            }
        }
        Ok(())
    }

    /// The heads that the peer was not told yet. That of its own log comes first, so that its first frame answers the
    /// question which every gateway asks at its start.
    async fn heads_to_tell(
        &self,
        view: &View,
        told: &mut BTreeMap<LogId, u64>,
    ) -> Result<Vec<Head>, SessionEnd> {
        let history = self.shared.context.charter.history();
        let (mut own_of_peer, mut others) = (Vec::new(), Vec::new());
        for (log, holding) in view.iter() {
            let Some(owner) = history.member_of_log(log) else { continue };
            let is_peers = owner.member == self.peer;
            let row = match (&holding.status.checkpoint, is_peers) {
                // Its author is told the newest that we have seen, held here or not: it may have lost its end. Of one
                // whose key was ended too, since what it signed once it must not sign again.
                (row, true) => self.newest_seen(*log).await?.or_else(|| row.clone()),
                (row, false) => row.clone().filter(|row| is_shown(&history, log, row)),
            };
            let Some(row) = row else { continue };
            if told.get(log) == Some(&row.size) {
                continue;
            }
            told.insert(*log, row.size);
            let head = Head { log_id: frames::log_bytes(log), checkpoint: row.note };
            if is_peers { own_of_peer.push(head) } else { others.push(head) }
        }
        own_of_peer.append(&mut others);
        Ok(own_of_peer)
    }

    pub(super) async fn newest_seen(
        &self,
        log: LogId,
    ) -> Result<Option<CheckpointRow>, SessionEnd> {
        let row =
            self.shared.blocking(move |shared| shared.context.store.newest_seen(&log)).await?;
        row.map_err(|error| SessionEnd::ours("a checkpoint cannot be read", error))
    }

    /// The end of our own log, if the peer holds all but a part of one bundle.
    async fn tail_to_push(
        &self,
        view: &View,
        told: &mut BTreeMap<LogId, u64>,
    ) -> Result<Vec<Frame>, SessionEnd> {
        let own = self.shared.context.own.log;
        let history = self.shared.context.charter.history();
        let checkpoint = view.get(&own).and_then(|held| held.status.checkpoint.clone());
        let Some(checkpoint) = checkpoint.filter(|row| is_shown(&history, &own, row)) else {
            return Ok(Vec::new());
        };
        let shown = self.heads().get(&own).map(|head| head.size());
        // What we told before counts: the peer's answer may still be on its way. If it did not take it, it fetches.
        let Some(theirs) = told.get(&own).copied().max(shown) else {
            return Ok(Vec::new());
        };
        let size = checkpoint.size;
        let ends_in_bundle = size.saturating_sub(1) / BUNDLE_ENTRIES;
        if theirs >= size || theirs / BUNDLE_ENTRIES != ends_in_bundle {
            return Ok(Vec::new());
        }
        let tail =
            self.shared.blocking(move |shared| shared.tail(&own, theirs, checkpoint)).await?;
        let (chunk, blobs) =
            tail.map_err(|error| SessionEnd::ours("the end of our own log cannot be read", error))?;
        told.insert(own, size);
        let mut pushed = vec![frames::frame(Kind::Chunk(chunk))];
        pushed.extend(frames::payloads(&own, blobs, Vec::new()));
        Ok(pushed)
    }
}

/// Whether a checkpoint may be shown to whoever does not write the log: its key still covers it.
fn is_shown(history: &CharterHistory, log: &LogId, row: &CheckpointRow) -> bool {
    let note = UnverifiedCheckpoint::parse_of(log, &row.note);
    note.is_ok_and(|note| history.checkpoint_key_of(&note).is_some())
}

impl Shared {
    /// The end of a log from `start`, and the blobs that belong to it. Blocking.
    fn tail(
        &self,
        log: &LogId,
        start: u64,
        checkpoint: CheckpointRow,
    ) -> Result<(wire::Chunk, Vec<wire::Blob>), TailError> {
        let chunk = self.context.store.chunk(log, start, checkpoint.size)?;
        let mut blobs = Vec::new();
        for entry in &chunk.entries {
            self.blobs_of(entry, &mut blobs)?;
        }
        let chunk = wire::Chunk { checkpoint: checkpoint.note, ..chunk.to_wire()? };
        Ok((chunk, blobs))
    }

    /// Payload and detail of an entry, as far as they are here and may travel.
    fn blobs_of(&self, entry: &Bytes, blobs: &mut Vec<wire::Blob>) -> Result<(), StoreError> {
        let store = &self.context.store;
        let Ok(entry) = SignedTransaction::from_entry(entry.clone()) else { return Ok(()) };
        let header = entry.header();
        if header.audience != Audience::Federation {
            return Ok(());
        }
        let commitment = header.payload_commitment;
        let Some(payload) = store.blob(&commitment)? else { return Ok(()) };
        let key = BlobKey { position: header.position, kind: BlobKind::Payload, commitment };
        let detail = match Payload::read(header, payload.clone()) {
            Ok(Payload::Registered(registered)) => Some(registered.detail_commitment),
            // Says nothing of a detail, or is void: it travels all the same.
            Ok(_) | Err(_) => None,
        };
        blobs.push(wire::Blob { key: Some(frames::key_to_wire(&key)), bytes: payload });
        let Some(commitment) = detail else { return Ok(()) };
        let Some(bytes) = store.blob(&commitment)? else { return Ok(()) };
        let key = BlobKey { kind: BlobKind::Detail, commitment, ..key };
        blobs.push(wire::Blob { key: Some(frames::key_to_wire(&key)), bytes });
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("the chunk cannot be made")]
    Serve(#[from] sundbro_store::ServeError),
    #[error("the chunk cannot be written")]
    Bundle(#[from] sundbro_ledger::tiles::BundleError),
    #[error("the blobs cannot be read")]
    Store(#[from] StoreError),
}
