//! One session with one peer, from Hello to the last Problem. Both sides do the same, whoever dialled.
//!
//! Five tasks share a [`Link`]: one reads and never waits for the peer to read, so that two slow gateways cannot wait
//! for each other; one answers what the peer asks; one announces what changes here; one fetches what the peer has and
//! we lack; one takes the entries that the peer pushes. The first that ends, ends the session.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use sundbro_ledger::charter::CharterHead;
use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::history::Offered;
use sundbro_ledger::ids::{LogId, MemberName};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame, Hello};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::greeting::{self, Greeting};
use super::link::{Judged, Link, Reply};
use super::registry::Lane;
use super::serve::{MAX_REQUESTS, Request};
use super::tail::{PUSHED_FRAMES, Pushed};
use super::{SessionEnd, Shared, frames, reasons};
use crate::charter_book::OfferCharterError;
use crate::hub::PeerHello;
use crate::subject::grant::{self, OpenGrantError};

/// How long the last frame, which says why the session ends, may wait for the peer.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs a session until it ends.
pub(super) async fn run<S, E>(
    shared: &Arc<Shared>,
    peer: MemberName,
    mut inbound: S,
    out: mpsc::Sender<Frame>,
    stop: CancellationToken,
) -> SessionEnd
where
    S: Stream<Item = Result<Frame, E>> + Send + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let end = tokio::select! {
        end = speak(shared, &peer, &mut inbound, &out) => end,
        () = stop.cancelled() => SessionEnd::Stopped,
        () = shared.context.stop.cancelled() => SessionEnd::Stopped,
    };
    if let Some(problem) = end.problem() {
        // A peer that does not read is not waited for; it sees the stream end.
        let farewell = out.send(frames::frame(Kind::Problem(problem)));
        let _ = timeout(FAREWELL_TIMEOUT, farewell).await;
    }
    // Also where it ended before both sides had settled: status names the cause.
    shared.context.peers.not_reached(&peer, end.cause());
    match &end {
        SessionEnd::PeerFault { reason, message, log } => {
            tracing::warn!(%peer, reason, ?log, "dropped the peer: {message}");
        }
        SessionEnd::OurFault(what, source) => {
            tracing::error!(%peer, cause = &**source as &dyn std::error::Error, "{what}");
        }
        end => tracing::info!(%peer, cause = end.cause(), "a session ended"),
    }
    end
}

async fn speak<S, E>(
    shared: &Arc<Shared>,
    peer: &MemberName,
    inbound: &mut S,
    out: &mpsc::Sender<Frame>,
) -> SessionEnd
where
    S: Stream<Item = Result<Frame, E>> + Send + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let greeting = match greet(shared, peer, inbound, out).await {
        Ok(greeting) => greeting,
        Err(end) => return end,
    };
    let hello = PeerHello {
        software: greeting.software.clone(),
        incarnation: greeting.incarnation,
        instance_id: greeting.instance_id,
        charter_version: greeting.charter_version,
    };
    tracing::info!(%peer, software = greeting.software, protocol = greeting.protocol, "a session began");
    let mut link = Link::new(Arc::clone(shared), peer.clone(), greeting, out.clone());
    if let Err(end) = link.settle_charters(inbound).await {
        return end;
    }
    let mut open = shared.context.peers.opened(peer, hello);
    if open.is_clone() {
        tracing::error!(%peer, "the peer is an older start or a clone of its gateway: its log is not taken from it");
        link.is_clone = true;
        if let Err(end) = link.tell_older_start().await {
            open.ends_because(end.cause());
            return end;
        }
    }
    let (ask, asked) = mpsc::channel(MAX_REQUESTS);
    let (push, pushed) = mpsc::channel(PUSHED_FRAMES);
    let end = tokio::select! {
        end = link.read(inbound, ask, push) => end,
        end = link.serve(asked) => end,
        end = link.announce() => end,
        end = link.pull() => end,
        end = link.take_pushed(pushed) => end,
        end = link.follow_charter() => end,
    };
    open.ends_because(end.cause());
    end
}

/// Says Hello and hears the peer's.
async fn greet<S, E>(
    shared: &Shared,
    peer: &MemberName,
    inbound: &mut S,
    out: &mpsc::Sender<Frame>,
) -> Result<Greeting, SessionEnd>
where
    S: Stream<Item = Result<Frame, E>> + Send + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let context = &shared.context;
    let federation = context.charter.history().federation_id();
    let hello = Hello {
        protocol_min: greeting::PROTOCOL_MIN,
        protocol_max: greeting::PROTOCOL_MAX,
        software: greeting::SOFTWARE.to_owned(),
        member: context.own.member.to_string(),
        federation_id: federation.as_bytes().to_vec().into(),
        incarnation: context.own.incarnation,
        instance_id: context.own.instance_id.to_vec().into(),
        charter_version: context.charter.version(),
        subject_epochs: context.subjects.epochs(),
    };
    out.send(frames::frame(Kind::Hello(hello))).await.map_err(|_| SessionEnd::Closed)?;
    let first = match timeout(context.settings.hello_timeout, inbound.next()).await {
        Ok(frame) => kind_of(frame)?,
        Err(_) => return Err(SessionEnd::fault(reasons::PEER_SILENT, "no Hello came in time")),
    };
    let hello = match first {
        Kind::Hello(hello) => hello,
        Kind::Problem(problem) => return Err(SessionEnd::Told(reasons::known(&problem.reason))),
        _ => {
            return Err(SessionEnd::fault(
                reasons::MALFORMED_FRAME,
                "the first frame is not Hello",
            ));
        }
    };
    greeting::judge(&hello, &context.own.member, peer, &federation)
        .map_err(|error| SessionEnd::fault(error.reason(), error.to_string()))
}

/// What a frame says, or why there is none.
fn kind_of<E>(frame: Option<Result<Frame, E>>) -> Result<Kind, SessionEnd>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match frame {
        None => Err(SessionEnd::Closed),
        Some(Err(error)) => Err(SessionEnd::Broken(Box::new(error))),
        Some(Ok(Frame { kind: Some(kind) })) => Ok(kind),
        Some(Ok(Frame { kind: None })) => Err(SessionEnd::fault(
            reasons::UNKNOWN_FRAME,
            "a frame of a kind that protocol 1 lacks",
        )),
    }
}

impl Link {
    /// Brings both sides to one charter before anything else, and goes no further with whoever is not active.
    async fn settle_charters<S, E>(&self, inbound: &mut S) -> Result<(), SessionEnd>
    where
        S: Stream<Item = Result<Frame, E>> + Send + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        let context = &self.shared.context;
        self.send_charters().await?;
        let both_active = || self.check_standing();
        if both_active().is_ok() {
            return Ok(());
        }
        // A peer with a newer charter may bring the version in which both are active.
        let newer = async {
            while context.charter.version() < self.greeting.charter_version {
                match kind_of(inbound.next().await)? {
                    Kind::Charter(frame) => self.take_charters(frame).await?,
                    Kind::Problem(problem) if problem.closing => {
                        return Err(SessionEnd::Told(reasons::known(&problem.reason)));
                    }
                    // The peer does not know yet what we know of it, or of us.
                    _ => {}
                }
            }
            Ok(())
        };
        match timeout(context.settings.charter_timeout, newer).await {
            Ok(settled) => settled?,
            Err(_) => {
                let late = "the charter that Hello announced did not come in time";
                return Err(SessionEnd::fault(reasons::PEER_SILENT, late));
            }
        }
        both_active()
    }

    /// Tells the peer that a later start of it is known. It cannot see that by itself: to it, nothing is missing.
    async fn tell_older_start(&self) -> Result<(), SessionEnd> {
        let known = self.shared.context.peers.view(&self.peer).map_or(0, |view| view.incarnation);
        let message = format!(
            "start {known} of this member's gateway is known here: nothing of its log is taken from an older start or \
             a second one"
        );
        self.send(Kind::Problem(frames::problem(reasons::OLDER_START, &message, None, false))).await
    }

    /// Fails when either side is not an active member by the charter in force here.
    fn check_standing(&self) -> Result<(), SessionEnd> {
        let context = &self.shared.context;
        if !context.charter.is_active(&context.own.member) {
            return Err(SessionEnd::WeAreNotActive);
        }
        if !context.charter.is_active(&self.peer) {
            return Err(SessionEnd::PeerNotActive);
        }
        Ok(())
    }

    /// Ends the session when the charter says so; judges again what was set aside.
    async fn follow_charter(&self) -> SessionEnd {
        let mut changes = self.shared.context.charter.watch();
        loop {
            if let Err(end) = self.check_standing() {
                // The peer must learn the charter that says so.
                return self.send_charters().await.err().unwrap_or(end);
            }
            for (log, note) in self.take_aside() {
                if let Err(end) = self.take_head(log, note).await {
                    return end;
                }
            }
            if changes.changed().await.is_err() {
                return SessionEnd::Stopped;
            }
        }
    }

    /// Reads what the peer sends.
    async fn read<S, E>(
        &self,
        inbound: &mut S,
        requests: mpsc::Sender<Request>,
        pushed: mpsc::Sender<Pushed>,
    ) -> SessionEnd
    where
        S: Stream<Item = Result<Frame, E>> + Send + Unpin,
        E: std::error::Error + Send + Sync + 'static,
    {
        loop {
            let taken = match kind_of(inbound.next().await) {
                Ok(kind) => self.take(kind, &requests, &pushed).await,
                Err(end) => Err(end),
            };
            if let Err(end) = taken {
                return end;
            }
        }
    }

    async fn take(
        &self,
        kind: Kind,
        requests: &mpsc::Sender<Request>,
        pushed: &mpsc::Sender<Pushed>,
    ) -> Result<(), SessionEnd> {
        let ask = |request: Request| {
            requests.try_send(request).map_err(|_| {
                let many = "more questions are open than one session may have";
                SessionEnd::fault(reasons::TOO_MANY_REQUESTS, many)
            })
        };
        match kind {
            Kind::Hello(_) => {
                return Err(SessionEnd::fault(reasons::MALFORMED_FRAME, "a second Hello"));
            }
            Kind::Heads(heads) => self.take_heads(heads).await?,
            Kind::Want(want) => ask(Request::want(want)?)?,
            Kind::Consistency(question) if question.proof.is_none() => {
                ask(Request::consistency(&question)?)?;
            }
            Kind::Consistency(proof) => {
                let log = log_of(&proof.log_id)?;
                self.answer(log, Lane::Entries, Reply::Proof(proof)).await;
            }
            Kind::Chunk(chunk) if chunk.checkpoint.is_empty() => {
                let log = log_of(&chunk.log_id)?;
                self.answer(log, Lane::Entries, Reply::Chunk(chunk)).await;
            }
            // A pushed tail is a favour: while we are busy it is left out, and fetched later.
            Kind::Chunk(chunk) => {
                let (log, note) = (log_of(&chunk.log_id)?, &chunk.checkpoint);
                let Judged::Verified(checkpoint) = self.judge(&log, note)? else { return Ok(()) };
                if let Err(full) = pushed.try_send(Pushed::Chunk(checkpoint, chunk)) {
                    let Pushed::Chunk(checkpoint, _) = full.into_inner() else { return Ok(()) };
                    self.take_checkpoint(checkpoint).await?;
                }
            }
            Kind::Payloads(payloads) => {
                let log = log_of(&payloads.log_id)?;
                if self.is_asked(log, Lane::Blobs) {
                    self.answer(log, Lane::Blobs, Reply::Payloads(payloads)).await;
                } else {
                    let _ = pushed.try_send(Pushed::Payloads(log, payloads));
                }
            }
            Kind::Charter(frame) => self.take_charters(frame).await?,
            Kind::KeyGrant(frame) => self.take_grant(frame).await?,
            Kind::Problem(problem) => {
                let reason = reasons::known(&problem.reason);
                if problem.closing {
                    return Err(SessionEnd::Told(reason));
                }
                if let Ok(log) = log_of(&problem.log_id) {
                    self.answer(log, Lane::Entries, Reply::Refused(reason)).await;
                } else if reason == reasons::OLDER_START {
                    tracing::error!(
                        peer = %self.peer, reason,
                        "the peer knows a later start of this gateway and takes no entries from it: start it again; if \
                         this is said again, two machines run with these keys, and one of them must be stopped"
                    );
                }
            }
        }
        Ok(())
    }

    async fn take_heads(&self, heads: wire::Heads) -> Result<(), SessionEnd> {
        if heads.heads.len() > frames::MAX_HEADS {
            return Err(SessionEnd::fault(
                reasons::MALFORMED_FRAME,
                "more than 256 heads in a frame",
            ));
        }
        let context = &self.shared.context;
        let mut of_itself = false;
        let mut of_us = false;
        for head in heads.heads {
            let log = log_of(&head.log_id)?;
            of_itself |= self.is_author(&log);
            of_us |= log == context.own.log;
            self.take_head(log, head.checkpoint).await?;
        }
        if !of_us {
            // The frame with our own log comes first: its absence says that the peer holds nothing of it.
            self.hear_own_log(None).await?;
        }
        if of_itself || !self.shared.knows_entries_of(&self.peer).await? {
            context.peers.heads_heard(&self.peer);
        }
        Ok(())
    }

    /// Takes one checkpoint that the peer showed, in Heads or with a tail.
    async fn take_head(&self, log: LogId, note: bytes::Bytes) -> Result<(), SessionEnd> {
        let checkpoint = match self.judge(&log, &note)? {
            Judged::Verified(checkpoint) => checkpoint,
            Judged::Aside | Judged::Outdated => return Ok(()),
        };
        self.take_checkpoint(checkpoint).await
    }

    /// Takes a verified checkpoint that the peer showed.
    pub(super) async fn take_checkpoint(
        &self,
        checkpoint: VerifiedCheckpoint,
    ) -> Result<(), SessionEnd> {
        if checkpoint.log_id() == self.shared.context.own.log {
            self.hear_own_log(Some(checkpoint.clone())).await?;
        } else {
            self.shared.saw(checkpoint.clone()).await?;
        }
        self.showed(checkpoint);
        Ok(())
    }

    async fn hear_own_log(&self, known: Option<VerifiedCheckpoint>) -> Result<(), SessionEnd> {
        let peer = self.peer.clone();
        let heard = move |shared: &Shared| {
            shared.own_log.heard(&shared.context.store, &peer, known.as_ref())
        };
        let heard = self.shared.blocking(heard).await?;
        heard.map_err(|error| SessionEnd::ours("our own log cannot be read", error))
    }

    async fn take_charters(&self, frame: wire::CharterFrame) -> Result<(), SessionEnd> {
        for charter in frame.charters {
            let head = charter.head.clone();
            let offered =
                self.shared.blocking(move |shared| shared.context.charter.offer(&charter));
            match offered.await? {
                Ok(Offered::Gap { next }) => {
                    let gap = format!("a charter came before version {next}");
                    return Err(SessionEnd::fault(reasons::BAD_CHARTER, gap));
                }
                Ok(_) => {}
                Err(error @ OfferCharterError::Store(_)) => {
                    return Err(SessionEnd::ours("a charter was not taken", error));
                }
                Err(error) => {
                    return Err(SessionEnd::fault(reasons::BAD_CHARTER, error.to_string()));
                }
            }
            // It parsed a moment ago; what the peer sent, it follows.
            if let Ok(head) = CharterHead::parse(&head) {
                self.peer_has_charter(head.version.min(self.shared.context.charter.version()));
            }
        }
        Ok(())
    }

    async fn take_grant(&self, frame: wire::KeyGrant) -> Result<(), SessionEnd> {
        let Some(grant) = frame.grant else {
            return Err(SessionEnd::fault(reasons::MALFORMED_FRAME, "a KeyGrant without a grant"));
        };
        let context = &self.shared.context;
        let epoch = grant.epoch;
        self.peer_epochs().insert(epoch);
        if context.subjects.get(epoch).is_some() {
            return Ok(());
        }
        let history = context.charter.history();
        let listed = history.subject_epochs().iter().find(|listed| listed.epoch == epoch);
        let Some(commitment) = listed.map(|listed| listed.key_commitment) else {
            return Ok(());
        };
        // The ordinal may be younger than our start: a newcomer starts before the charter lists it.
        let sealing = &context.own.sealing;
        let own = history.current().member(&context.own.member);
        let key_id = own
            .and_then(|entry| {
                entry.keys.iter().rfind(|key| *key.public_key.as_bytes() == sealing.public())
            })
            .map_or(sealing.key_id(), |key| key.key_id);
        let opened = grant::open(
            &grant,
            &sealing.listed_as(key_id),
            &history.federation_id(),
            &context.own.member,
            &commitment,
        );
        let key = match opened {
            Ok(key) => key,
            Err(error @ OpenGrantError::OtherCommitment(_)) => {
                return Err(SessionEnd::fault(reasons::BAD_KEY_GRANT, error.to_string()));
            }
            // Sealed to a key that we have since replaced: another grant will come.
            Err(error) => {
                tracing::warn!(peer = %self.peer, epoch, "{error}");
                return Ok(());
            }
        };
        let stored = self.shared.blocking(move |shared| shared.context.subjects.insert(epoch, key));
        stored.await?.map_err(|error| SessionEnd::ours("a subject key was not stored", error))?;
        tracing::info!(peer = %self.peer, epoch, "a subject key came");
        Ok(())
    }
}

/// Reads a log id.
pub(super) fn log_of(bytes: &[u8]) -> Result<LogId, SessionEnd> {
    LogId::try_from(bytes)
        .map_err(|_| SessionEnd::fault(reasons::MALFORMED_FRAME, "a log id is not 32 bytes"))
}
