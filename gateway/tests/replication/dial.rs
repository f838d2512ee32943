//! Who dials whom, when again, and what a gateway asks at its start. The network is a table in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sundbro_gateway::replication::{
    Dial, NotReached, OUTBOUND_FRAMES, OwnLogState, Replication, ReplicationSettings,
};
use sundbro_ledger::ids::MemberName;
use sundbro_proto::federation::v1::Frame;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, name};

/// Who listens where, and every call that was made.
#[derive(Default)]
struct Network {
    listening: Mutex<BTreeMap<MemberName, (Replication, CancellationToken)>>,
    calls: watch::Sender<Vec<(MemberName, MemberName)>>,
    signals: watch::Sender<u64>,
}

impl Network {
    fn listen(&self, gateway: &Gateway) -> CancellationToken {
        let cut = CancellationToken::new();
        let listener = (gateway.replication.clone(), cut.clone());
        self.listening.lock().expect("lock").insert(gateway.member.clone(), listener);
        cut
    }

    /// Runs a gateway's dialler and its check of its own log.
    fn run(self: &Arc<Self>, gateway: &Gateway) {
        let phone = Phone { network: Arc::clone(self), own: gateway.member.clone() };
        let replication = gateway.replication.clone();
        tokio::spawn(async move { replication.run(phone).await });
    }

    async fn until_called(&self, from: &str, to: &str, times: usize) {
        let call = (name(from), name(to));
        let enough = |calls: &Vec<(MemberName, MemberName)>| {
            calls.iter().filter(|one| **one == call).count() >= times
        };
        let mut calls = self.calls.subscribe();
        let called = calls.wait_for(enough);
        tokio::time::timeout(Duration::from_secs(60), called)
            .await
            .expect("in time")
            .expect("the network lives");
    }
}

/// One gateway's way into the network.
struct Phone {
    network: Arc<Network>,
    own: MemberName,
}

type Inbound = std::pin::Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

impl Dial for Phone {
    type Inbound = Inbound;

    async fn dial(
        &self,
        peer: &MemberName,
        outbound: mpsc::Receiver<Frame>,
    ) -> Result<Inbound, NotReached> {
        self.network.calls.send_modify(|calls| calls.push((self.own.clone(), peer.clone())));
        let listener = self.network.listening.lock().expect("lock").get(peer).cloned();
        let refused = || NotReached { cause: "CONNECTION_REFUSED", message: "nobody".into() };
        let (replication, cut) = listener.ok_or_else(refused)?;
        let (answer, answers) = mpsc::channel(OUTBOUND_FRAMES);
        let (own, stop) = (self.own.clone(), cut.child_token());
        tokio::spawn(async move {
            let inbound = ReceiverStream::new(outbound).map(Ok::<_, Status>);
            replication.session(own, inbound, answer, stop).await
        });
        Ok(Box::pin(ReceiverStream::new(answers).map(Ok)))
    }

    fn signals(&self) -> watch::Receiver<u64> {
        self.network.signals.subscribe()
    }
}

fn quick(settings: ReplicationSettings) -> ReplicationSettings {
    ReplicationSettings {
        own_log_patience: Duration::from_millis(300),
        backoff_first: Duration::from_millis(1),
        backoff_cap: Duration::from_millis(20),
        ..settings
    }
}

#[tokio::test]
async fn finds_a_peer_again_after_it_was_gone_and_names_the_cause_meanwhile() {
    let federation = Federation::found();
    let network = Arc::new(Network::default());
    let gp = Gateway::with(&federation, GP, quick);
    let hospital = Gateway::with(&federation, HOSPITAL, quick);
    network.run(&gp);
    gp.until(|gp| {
        let cause = gp.peers.view(&hospital.member).and_then(|view| view.cause);
        cause == Some("CONNECTION_REFUSED")
    })
    .await;
    network.until_called(GP, HOSPITAL, 3).await;
    let cut = network.listen(&hospital);
    gp.publish(3);
    hospital.holds(&gp.log, 3).await;
    cut.cancel();
    hospital.until(|hospital| !hospital.peers.is_reachable(&gp.member)).await;
    gp.publish(3);
    network.listen(&hospital);
    hospital.holds(&gp.log, 6).await;
}

#[tokio::test]
async fn the_second_by_name_waits_to_be_called_but_asks_once_at_its_start() {
    let federation = Federation::found();
    let network = Arc::new(Network::default());
    let patient = |settings| ReplicationSettings {
        dial_patience: Duration::from_secs(3_600),
        ..quick(settings)
    };
    let lab = Gateway::with(&federation, LAB, patient);
    network.run(&lab);
    network.until_called(LAB, GP, 1).await;
    network.until_called(LAB, HOSPITAL, 1).await;
    // Nobody listens, yet there is no second call: that is up to GP and hospital, whose names sort first.
    network.listen(&lab);
    let gp = Gateway::with(&federation, GP, quick);
    network.run(&gp);
    lab.until(|lab| lab.peers.is_reachable(&gp.member)).await;
    let calls = network.calls.borrow().clone();
    assert_eq!(calls.iter().filter(|call| **call == (name(LAB), name(GP))).count(), 1);
}

#[tokio::test]
async fn the_second_by_name_dials_when_it_was_not_reached_for_a_while() {
    let federation = Federation::found();
    let network = Arc::new(Network::default());
    let impatient = |settings| ReplicationSettings {
        dial_patience: Duration::from_millis(5),
        ..quick(settings)
    };
    let lab = Gateway::with(&federation, LAB, impatient);
    network.run(&lab);
    network.until_called(LAB, GP, 3).await;
}

#[tokio::test]
async fn a_gateway_that_reaches_nobody_signs_nothing_however_long_it_waits() {
    let federation = Federation::found();
    let gp = Gateway::with(&federation, GP, quick);
    Arc::new(Network::default()).run(&gp);
    let check = Arc::clone(gp.replication.own_log());
    let electorate = gp.charter.electorate(&gp.member);
    let refused = check.confirm(&electorate, Duration::from_millis(50)).await;
    let refused = refused.expect_err("nobody answers");
    assert_eq!((refused.answered, refused.needed), (0, 1));
    assert_eq!(*check.state().borrow(), OwnLogState::Asking);
}

#[tokio::test]
async fn a_gateway_whose_peers_all_answered_does_not_wait() {
    let federation = Federation::found();
    let network = Arc::new(Network::default());
    let patient =
        |settings| ReplicationSettings { own_log_patience: Duration::from_secs(3_600), ..settings };
    let (hospital, lab) = (Gateway::new(&federation, HOSPITAL), Gateway::new(&federation, LAB));
    network.listen(&hospital);
    network.listen(&lab);
    let gp = Gateway::with(&federation, GP, patient);
    network.run(&gp);
    let mut state = gp.replication.own_log().state();
    let clear = state.wait_for(|state| *state != OwnLogState::Asking).await;
    assert_eq!(*clear.expect("lives"), OwnLogState::Clear { answered: 2, asked: 2 });
}

#[tokio::test]
async fn a_member_that_is_suspended_is_no_longer_dialled() {
    let mut federation = Federation::found();
    let network = Arc::new(Network::default());
    let gp = Gateway::with(&federation, GP, quick);
    let hospital = Gateway::with(&federation, HOSPITAL, quick);
    network.listen(&hospital);
    network.run(&gp);
    gp.until(|gp| gp.peers.is_reachable(&hospital.member)).await;
    let second = federation.publish(|draft| {
        draft.suspend(&name(HOSPITAL), |epoch| [epoch as u8; 32]).expect("a member");
    });
    gp.follow(&second);
    gp.until(|gp| !gp.peers.is_reachable(&hospital.member)).await;
    hospital.until(|hospital| hospital.charter.version() == 2).await;
}
