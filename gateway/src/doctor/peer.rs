//! Examines the way to one peer, step by step, and stops at the first that is broken.
//!
//! The first steps are dialled anew each time. What only an open stream tells is asked of our own running gateway, since
//! a second stream would end the first; without one, a stream is opened, heard and closed before anything is settled, so
//! that the peer takes it for nothing.

use std::time::Duration;

use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::MemberState;
use sundbro_proto::admin::v1::GetStatusResponse;
use sundbro_proto::federation::v1::federation_service_client::FederationServiceClient;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::retrieval_service_client::RetrievalServiceClient;
use sundbro_proto::federation::v1::{AcknowledgeRetrievalRequest, SynchroniseRequest};
use sundbro_proto::gateway::v1::LogCoverage;
use sundbro_store::{LogState, is_equivocation};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{Check, Ground, Report};
use crate::cli::Exit;
use crate::client::{self, DialError, Target};
use crate::config::Endpoint;
use crate::dial_cause::DialCause;
use crate::replication::{judge_hello, reasons, spoken_protocols};
use crate::retrieval::REQUEST_WINDOW;
use crate::status::chain;

/// The steps, in the order in which they are taken.
pub const STEPS: [&str; 10] = [
    "name",
    "tcp",
    "tls",
    "chain",
    "san",
    "own certificate",
    "membership",
    "clock",
    "protocol",
    "heads",
];

/// How long one answer of the peer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds between the clocks that are worth a word.
const SKEW_WARNING: u64 = 30;

/// Whom to examine, and with what.
pub struct Peer<'a> {
    /// Our side.
    pub ground: &'a Ground,
    /// The peer.
    pub member: &'a MemberName,
    /// What our running gateway says of itself. `None`: none was asked.
    pub status: Option<&'a GetStatusResponse>,
}

/// A step that is broken: what was found, what to do, and how a command ends that finds it.
struct Broken {
    says: String,
    cure: String,
    exit: Exit,
}

impl Broken {
    fn new(exit: Exit, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { says: says.into(), cure: cure.into(), exit }
    }

    fn of_dial(cause: DialCause, says: &str) -> Self {
        let reason = cause.reason();
        Self::new(
            Exit::Unavailable,
            format!("{} ({}): {says}", reason.cause, reason.code),
            reason.cure,
        )
    }
}

/// Examines the way to a peer. Steps after a broken one are not looked at.
pub async fn examine_peer(peer: &Peer<'_>) -> Vec<Check> {
    let mut report = Report::default();
    let broken = peer.walk(&mut report).await.err();
    let last = report.category;
    if let Some(Broken { says, cure, exit }) = broken {
        report.failed(exit, says, cure);
        for step in STEPS.into_iter().skip_while(|step| *step != last).skip(1) {
            report.category(step);
            report.not_looked_at("a step before it is broken");
        }
    }
    report.done()
}

impl Peer<'_> {
    async fn walk(&self, report: &mut Report) -> Result<(), Broken> {
        report.category("name");
        let target = self.target()?;
        let tls = self.ground.tls.as_ref().map_err(|error| {
            Broken::new(Exit::Usage, error.clone(), "`sundbro doctor` shows what is wrong here")
        })?;
        self.reach(&target, report).await?;
        let dialled = client::probe(tls, &target).await;
        self.handshake(dialled, report)?;
        report.category("membership");
        self.membership(report)?;
        let channel = client::channel(tls.clone(), target).map_err(|error| {
            Broken::new(Exit::Unavailable, error.to_string(), "correct the endpoint in the charter")
        })?;
        report.category("clock");
        clock(channel.clone(), report).await?;
        report.category("protocol");
        self.protocol(channel, report).await?;
        report.category("heads");
        self.heads(report)
    }

    /// Where the charter and `[dial]` say that it is.
    fn target(&self) -> Result<Target, Broken> {
        let cure = "`sundbro init` with the federation's charters; `sundbro doctor` shows more";
        let charter = self.ground.charter.as_ref();
        let charter = charter.map_err(|why| {
            Broken::new(Exit::Usage, format!("no charter is followed here: {why}"), cure)
        })?;
        let entry = charter.0.current().member(self.member).ok_or_else(|| {
            let says = format!("the charter lists no member {}", self.member);
            Broken::new(
                Exit::NotFound,
                says,
                "`sundbro status` lists the members; check the spelling",
            )
        })?;
        let endpoint = Endpoint::parse(entry.endpoint.as_str()).ok_or_else(|| {
            let says = format!("its endpoint {} cannot be dialled", entry.endpoint.as_str());
            Broken::new(Exit::Unavailable, says, "the stewards must correct it in the charter")
        })?;
        let dial = self.ground.config.dial.get(self.member).cloned();
        Ok(Target { member: self.member.clone(), endpoint, dial })
    }

    async fn reach(&self, target: &Target, report: &mut Report) -> Result<(), Broken> {
        let address = target.address();
        let addresses = client::resolve(address)
            .await
            .map_err(|(cause, error)| Broken::of_dial(cause, &format!("{address}: {error}")))?;
        let Some(first) = addresses.first() else {
            return Err(Broken::of_dial(DialCause::NameNotResolved, &address.to_string()));
        };
        let by = if target.dial.is_some() { " ([dial])" } else { "" };
        report.good(format!("{}{by} is {}", address.host, first.ip()));
        report.category("tcp");
        let connected = client::connect(address).await;
        connected
            .map_err(|(cause, error)| Broken::of_dial(cause, &format!("{address}: {error}")))?;
        report.good(format!("{address} answers"));
        Ok(())
    }

    /// What the handshake got through, and where it ended.
    fn handshake(&self, dialled: Result<(), DialError>, report: &mut Report) -> Result<(), Broken> {
        let (cause, error) = match dialled {
            Ok(()) => (None, String::new()),
            Err(error) => (Some(error.cause), chain(&error.source)),
        };
        for (step, says) in [
            ("tls", "TLS 1.3 and HTTP/2 are spoken"),
            ("chain", "its certificate is good, and of a CA that may certify it"),
            ("san", "the certificate holds its member name and host name"),
            ("own certificate", "it takes ours"),
        ] {
            report.category(step);
            match cause.filter(|cause| step_of(*cause) == step) {
                Some(cause) => return Err(Broken::of_dial(cause, &error)),
                None => report.good(says),
            }
        }
        match cause {
            None => Ok(()),
            // It was there a moment ago.
            Some(cause) => Err(Broken::of_dial(cause, &error)),
        }
    }

    fn membership(&self, report: &mut Report) -> Result<(), Broken> {
        let Ok(charter) = &self.ground.charter else { return Ok(()) };
        let version = charter.0.in_force();
        for member in [self.member, &self.ground.config.member] {
            let state = charter.0.current().member(member).map(|entry| entry.state);
            if state != Some(MemberState::Active) {
                let reason = crate::reason::MEMBER_NOT_ACTIVE;
                let says =
                    format!("charter version {version} lists {member} as {state:?} ({reason})");
                let says = says.replace("Some(", "").replace(") (", " (").replace("None", "nobody");
                return Err(Broken::new(Exit::Denied, says, reason.cure));
            }
        }
        if self.cause() == Some(reasons::MEMBER_NOT_ACTIVE) {
            let reason = crate::reason::MEMBER_NOT_ACTIVE;
            let says =
                format!("it says that one of us is not active ({reason}): its charter is another");
            return Err(Broken::new(Exit::Denied, says, reason.cure));
        }
        report.good(format!("both are active in charter version {version}"));
        Ok(())
    }

    /// What our running gateway says of the peer's log.
    fn told(&self) -> Option<&LogCoverage> {
        let logs = &self.status?.coverage.as_ref()?.logs;
        logs.iter().rfind(|log| log.member == self.member.as_str())
    }

    /// Why our running gateway does not reach it. `None`: it does, or none runs.
    fn cause(&self) -> Option<&str> {
        let told = self.told().filter(|told| !told.reachable)?;
        Some(told.unreachable_cause.as_str())
    }

    async fn protocol(&self, channel: Channel, report: &mut Report) -> Result<(), Broken> {
        if let Some(told) = self.told() {
            if told.reachable {
                report.good("our gateway has a session with it");
                return Ok(());
            }
            return Err(session_broken(told.unreachable_cause.as_str()));
        }
        if self.ground.store.as_ref().is_ok_and(|store| store.is_beside_gateway()) {
            report.not_looked_at(
                "our gateway runs, and a second stream would end its session: name its client file with --client",
            );
            return Ok(());
        }
        let hello = hello(channel).await?;
        let federation = &self.ground.config.federation_id;
        let own = &self.ground.config.member;
        let judged = judge_hello(&hello, own, self.member, federation, &spoken_protocols());
        let greeting = judged.map_err(|error| {
            let says = format!("{error} ({})", error.reason());
            Broken::new(Exit::Failed, says, cure_of(error.reason()))
        })?;
        report.good(format!(
            "protocol {}, {}, charter version {}",
            greeting.protocol, greeting.software, greeting.charter_version
        ));
        Ok(())
    }

    /// What is known of the peer's own log.
    fn heads(&self, report: &mut Report) -> Result<(), Broken> {
        let (Ok(charter), Ok(store)) = (&self.ground.charter, &self.ground.store) else {
            return Ok(());
        };
        let mut newest = None;
        for (log, owner) in charter.0.logs().filter(|(_, owner)| owner.member == *self.member) {
            let status = store.log_status(log).map_err(|error| {
                Broken::new(
                    Exit::Integrity,
                    chain(&error),
                    "`sundbro verify` shows what is damaged",
                )
            })?;
            if let LogState::Stopped { position, reason } | LogState::Stalled { position, reason } =
                &status.state
            {
                let cure = match reason.as_str() {
                    reason if is_equivocation(reason) => {
                        "two machines sign with its keys, or its database went back: call that member; `sundbro log \
                         evidence` shows what it signed"
                    }
                    _ => "docs/errors.md explains the reason; that member must act",
                };
                let says = format!(
                    "its log {} is followed no further than {position} ({reason})",
                    owner.origin.as_str()
                );
                return Err(Broken::new(Exit::Integrity, says, cure));
            }
            newest = Some(status);
        }
        let Some(status) = newest else { return Ok(()) };
        let (held, seen) = (status.committed_size, status.newest_seen_size);
        match &status.state {
            LogState::Waiting { position, reason } => report.warning(
                format!("its log waits at {position} ({reason})"),
                "a charter or an upgrade is missing here",
            ),
            _ if seen > held => report.warning(
                format!("{} entries are on their way", seen - held),
                "wait; if it stays, look for warnings of replication in the log",
            ),
            _ => report.good(format!("all {held} entries that it showed are here")),
        }
        Ok(())
    }
}

/// The step at which a dial with this cause ended.
fn step_of(cause: DialCause) -> &'static str {
    match cause {
        DialCause::NameNotResolved => "name",
        DialCause::ConnectionRefused | DialCause::ConnectionTimedOut => "tcp",
        DialCause::HandshakeInterrupted | DialCause::ProtocolMismatch => "tls",
        DialCause::PeerCertificateExpired
        | DialCause::PeerCertificateNotYetValid
        | DialCause::PeerCertificateRevoked
        | DialCause::PeerCertificateNotTrusted => "chain",
        DialCause::PeerIsAnotherMember | DialCause::PeerNameMismatch => "san",
        DialCause::OwnCertificateRefused => "own certificate",
    }
}

/// Compares the clocks: any answer carries the peer's, an answer to an empty question too.
async fn clock(channel: Channel, report: &mut Report) -> Result<(), Broken> {
    let mut client = RetrievalServiceClient::new(channel);
    let asked = client.acknowledge_retrieval(AcknowledgeRetrievalRequest::default());
    let date = match timeout(ANSWER_TIMEOUT, asked).await {
        Err(_) => return Err(silent()),
        Ok(Ok(answer)) => answer.metadata().get("date").cloned(),
        Ok(Err(status)) => {
            if let Some(error) = DialError::in_status(&status) {
                return Err(Broken::of_dial(error.cause, &chain(&error.source)));
            }
            status.metadata().get("date").cloned()
        }
    };
    let date = date.and_then(|date| date.to_str().ok().and_then(parse_date));
    let Some(theirs) = date else {
        report.not_looked_at("its answer carries no date");
        return Ok(());
    };
    let apart = theirs.abs_diff(crate::clock::unix_seconds());
    if apart > REQUEST_WINDOW.as_secs() {
        let reason = crate::reason::REQUEST_NOT_FRESH;
        let says = format!(
            "the clocks are {apart} s apart: its owner's side refuses our requests ({reason})"
        );
        return Err(Broken::new(
            Exit::Failed,
            says,
            "set the clock that is wrong, and let NTP keep both",
        ));
    }
    if apart > SKEW_WARNING {
        report.warning(format!("the clocks are {apart} s apart"), "let NTP keep both");
    } else {
        report.good("the clocks agree");
    }
    Ok(())
}

/// An HTTP date (RFC 9110 §5.6.7), in seconds since 1970.
fn parse_date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(parsed.as_second())
}

/// The peer's first frame: it says Hello before it has heard ours. We say nothing, and hang up.
async fn hello(channel: Channel) -> Result<sundbro_proto::federation::v1::Hello, Broken> {
    let (keep_open, frames) = tokio::sync::mpsc::channel::<SynchroniseRequest>(1);
    let mut client = FederationServiceClient::new(channel);
    let first = async {
        let mut stream = client.synchronise(ReceiverStream::new(frames)).await?.into_inner();
        stream.message().await
    };
    let frame = match timeout(ANSWER_TIMEOUT, first).await {
        Err(_) => return Err(silent()),
        Ok(Err(status)) => {
            let says = format!("it refused the stream with {:?}", status.code());
            return Err(Broken::new(Exit::Failed, says, "upgrade the older of the two gateways"));
        }
        Ok(Ok(message)) => message.and_then(|message| message.frame?.kind),
    };
    drop(keep_open);
    match frame {
        Some(Kind::Hello(hello)) => Ok(hello),
        Some(Kind::Problem(problem)) => Err(session_broken(reasons::known(&problem.reason))),
        _ => Err(session_broken(reasons::MALFORMED_FRAME)),
    }
}

fn silent() -> Broken {
    let says = format!("it gave no answer in time ({})", reasons::PEER_SILENT);
    Broken::new(Exit::Unavailable, says, cure_of(reasons::PEER_SILENT))
}

fn session_broken(cause: &str) -> Broken {
    let says = match cause {
        "" => "our gateway has no session with it yet".to_owned(),
        cause => format!("no session with it stands ({cause})"),
    };
    Broken::new(Exit::Failed, says, cure_of(cause))
}

/// The cure of a cause that ends a session, as docs/errors.md has it.
fn cure_of(cause: &str) -> &'static str {
    match cause {
        reasons::MEMBER_NOT_ACTIVE => "ask the federation's stewards",
        reasons::PROTOCOL_MISMATCH => "upgrade the gateway that is behind",
        reasons::OTHER_MEMBER => {
            "correct `member` in the configuration of the gateway that answers"
        }
        reasons::OTHER_FEDERATION => "compare the charters that both were given",
        reasons::PEER_SILENT => "check the network, and the load of the peer's machine",
        "" | reasons::GOING_AWAY | "CLOSED" => "wait a few seconds and ask again",
        _ => "docs/errors.md, section Between gateways",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_date_is_read() {
        assert_eq!(parse_date("Thu, 01 Jan 2026 00:00:00 GMT"), Some(1_767_225_600));
        assert_eq!(parse_date("yesterday"), None);
    }

    #[test]
    fn every_step_of_a_dial_is_a_step_of_the_examination() {
        for cause in [
            DialCause::NameNotResolved,
            DialCause::ProtocolMismatch,
            DialCause::OwnCertificateRefused,
        ] {
            assert!(STEPS.contains(&step_of(cause)));
        }
    }
}
