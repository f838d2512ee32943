//! One session with one peer, from Hello to the last Problem. Both sides do the same, whoever dialled.
//!
//! Six tasks share a [`Link`]: one reads and never waits for the peer to read, so that two slow gateways cannot wait
//! for each other; one answers what the peer asks; one announces what changes here; one fetches what the peer has and
//! we lack; one takes the entries that the peer pushes; one acknowledges what is durable here. The first that ends, ends
//! the session.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Frame, Hello};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::greeting::{self, Greeting};
use super::link::Link;
use super::serve::MAX_REQUESTS;
use super::tail::PUSHED_FRAMES;
use super::{SessionEnd, Shared, frames, reasons};
use crate::hub::PeerHello;

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
        biased;
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
    let said = *shared.own_log.incarnation().borrow();
    let greeting = match greet(shared, peer, said, inbound, out).await {
        Ok(greeting) => greeting,
        Err(end) => return end,
    };
    let hello = PeerHello {
        software: greeting.software.clone(),
        incarnation: greeting.incarnation,
        charter_version: greeting.charter_version,
    };
    tracing::info!(%peer, software = greeting.software, protocol = greeting.protocol, "a session began");
    let link = Link::new(Arc::clone(shared), peer.clone(), greeting, said, out.clone());
    if let Err(end) = link.settle_charters(inbound).await {
        return end;
    }
    let mut open = shared.context.peers.opened(peer, hello);
    if let Err(end) = link.answer_for_start().await {
        open.ends_because(end.cause());
        return end;
    }
    #[cfg(feature = "protocol-2")]
    if let Some(frame) = link.frame_of_protocol_2()
        && let Err(end) = link.send_frame(frame).await
    {
        return end;
    }
    let (ask, asked) = mpsc::channel(MAX_REQUESTS);
    let (push, pushed) = mpsc::channel(PUSHED_FRAMES);
    let end = tokio::select! {
        biased;
        end = link.read(inbound, ask, push) => end,
        end = link.serve(asked) => end,
        end = link.announce() => end,
        end = link.pull() => end,
        end = link.take_pushed(pushed) => end,
        end = link.acknowledge() => end,
        end = link.follow_charter() => end,
        end = link.until_renumbered() => end,
    };
    open.ends_because(end.cause());
    end
}

/// Says Hello and hears the peer's.
async fn greet<S, E>(
    shared: &Shared,
    peer: &MemberName,
    incarnation: u32,
    inbound: &mut S,
    out: &mpsc::Sender<Frame>,
) -> Result<Greeting, SessionEnd>
where
    S: Stream<Item = Result<Frame, E>> + Send + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    let context = &shared.context;
    let federation = context.charter.history().federation_id();
    let spoken = greeting::spoken();
    let hello = Hello {
        protocol_min: *spoken.start(),
        protocol_max: *spoken.end(),
        software: greeting::SOFTWARE.to_owned(),
        member: context.own.member.to_string(),
        federation_id: federation.as_bytes().to_vec().into(),
        incarnation,
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
    greeting::judge(&hello, &context.own.member, peer, &federation, &spoken)
        .map_err(|error| SessionEnd::fault(error.reason(), error.to_string()))
}

/// What a frame says, or why there is none.
pub(super) fn kind_of<E>(frame: Option<Result<Frame, E>>) -> Result<Kind, SessionEnd>
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
}
