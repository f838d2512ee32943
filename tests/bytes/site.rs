//! A gateway that others reach over mutual TLS, and the line of one peer to it.

use std::sync::Arc;

use sundbro_gateway::client::{Target, channel};
use sundbro_gateway::replication::{FederationEndpoint, ReplicationSettings};
use sundbro_gateway::server::Door;
use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Consistency, Problem};
use sundbro_store::LogState;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Channel;

use crate::line::{Heard, Line, PATIENCE};
use crate::pki::{Book, Ca, Leaf, Running, folder, member, tls};
use crate::script::hello;
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB};

/// What became of a stream after one odd thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on.
    GoesOn,
    /// It ended with this reason.
    Ended(String),
    /// It ended without a word.
    Broken,
    /// It goes on, and the log that it is about does not, for this reason.
    LogHalts(String),
    /// Nothing happened in all the time that there was.
    Silent,
}

impl Outcome {
    pub(crate) fn ended(reason: &str) -> Self {
        Self::Ended(reason.to_owned())
    }
}

/// The GP's gateway, and what others need to call it.
pub(crate) struct Site {
    pub(crate) federation: Federation,
    pub(crate) gp: Gateway,
    folder: tempfile::TempDir,
    ca: Ca,
    book: Arc<Book>,
    server: Running,
}

impl Site {
    pub(crate) async fn new(federation: &Federation) -> Self {
        let folder = folder();
        let ca = Ca::new(folder.path(), "Test CA");
        let book = Book::trusting(&ca, &[GP, HOSPITAL, LAB]);
        let gp = Gateway::with(federation, GP, |settings| ReplicationSettings {
            // What is slow here is the machine.
            reply_timeout: PATIENCE,
            ..settings
        });
        let door = Door::Federation(tls(GP, ca.issue(&Leaf::of(GP)), &book));
        let service = FederationEndpoint::server(gp.replication.clone(), TaskTracker::new());
        let server = Running::start(door, Routes::new(service).into_axum_router()).await;
        Self { federation: federation.clone(), gp, folder, ca, book, server }
    }

    /// A connection of a member.
    pub(crate) fn connect(&self, who: &str) -> Channel {
        assert!(self.folder.path().is_dir());
        let own = tls(who, self.ca.issue(&Leaf::of(who)), &self.book);
        let target = Target { member: member(GP), endpoint: self.server.endpoint(), dial: None };
        channel(own, target).expect("an endpoint")
    }

    /// A stream on which Hello was said.
    pub(crate) async fn greet(&self, channel: &Channel, who: &str) -> Line {
        let mut line = Line::open(channel).await;
        line.send(Kind::Hello(hello(&self.federation, who))).await;
        line
    }

    /// Waits until a stream has either gone on or ended: `goes_on` says that it did.
    ///
    /// Meanwhile everything that the gateway asks is answered by `answer`.
    pub(crate) async fn outcome(
        &self,
        line: &mut Line,
        log: Option<LogId>,
        answer: &(dyn Fn(Kind) -> Vec<Kind> + Sync),
        goes_on: impl Fn(&Gateway, Option<&Kind>) -> bool + Sync,
    ) -> Outcome {
        let wait = async {
            loop {
                let heard = tokio::select! {
                    heard = line.next() => heard,
                    () = self.gp.until(|gp| goes_on(gp, None)) => return Outcome::GoesOn,
                    reason = self.halted(log) => return Outcome::LogHalts(reason),
                };
                match heard {
                    Heard::End => return Outcome::Broken,
                    Heard::Frame(Kind::Problem(problem)) if problem.closing => {
                        return Outcome::Ended(problem.reason);
                    }
                    Heard::Frame(kind) => {
                        if goes_on(&self.gp, Some(&kind)) {
                            return Outcome::GoesOn;
                        }
                        for answer in answer(kind) {
                            line.send(answer).await;
                        }
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or(Outcome::Silent)
    }

    /// Why a log is not followed any more, as soon as it is not.
    async fn halted(&self, log: Option<LogId>) -> String {
        let Some(log) = log else { return std::future::pending().await };
        let reason = |gp: &Gateway| match gp.store.log_status(&log).expect("a status").state {
            LogState::Followed => None,
            LogState::Stopped { reason, .. }
            | LogState::Stalled { reason, .. }
            | LogState::Waiting { reason, .. } => Some(reason),
        };
        self.gp.until(|gp| reason(gp).is_some()).await;
        reason(&self.gp).expect("it was there")
    }

    /// Asks for what nobody holds; the answer shows that everything before was read.
    pub(crate) async fn ping(&self, line: &mut Line) -> Outcome {
        let log_id = vec![0x99; 32];
        let question =
            Consistency { log_id: log_id.clone().into(), old_size: 1, new_size: 2, proof: None };
        line.send(Kind::Consistency(question)).await;
        let pong = |_: &Gateway, kind: Option<&Kind>| matches!(kind, Some(Kind::Problem(Problem { log_id: about, closing: false, .. })) if about[..] == log_id);
        self.outcome(line, None, &|_| Vec::new(), pong).await
    }

    /// Ends a stream, and waits until the gateway has let go of everything that it was doing with it.
    pub(crate) async fn hang_up(&self, line: Line, who: &str) {
        drop(line);
        self.gp.until(|gp| !gp.peers.is_reachable(&member(who))).await;
    }

    /// Ends the server.
    pub(crate) async fn close(self) {
        self.server.stop().await;
    }
}
