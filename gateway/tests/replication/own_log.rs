//! Our own log after an accident: what was lost comes back from the others, and of a gateway and its copy one goes on.

use std::sync::Arc;
use std::time::Duration;

use sundbro_gateway::replication::{NoQuorum, OwnLogState, ReplicationSettings};
use sundbro_proto::federation::v1::StartAnswer;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::tables::StoreFile;
use sundbro_store::verify::verify_dir;
use tokio::task::JoinHandle;

use crate::script::Peer;
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect};

pub const EVERYTHING: [StoreFile; 5] =
    [StoreFile::Ledger, StoreFile::Payloads, StoreFile::Index, StoreFile::Audit, StoreFile::Gate];
const PATIENCE: Duration = Duration::from_secs(60);

pub fn quick(settings: ReplicationSettings) -> ReplicationSettings {
    let (own_log_patience, ask_again) = (Duration::from_millis(50), Duration::from_millis(20));
    ReplicationSettings { own_log_patience, ask_again, ..settings }
}

/// Lets a gateway ask whether it may sign, as a running one does.
pub fn check(gateway: &Gateway) -> JoinHandle<()> {
    let replication = gateway.replication.clone();
    tokio::spawn(async move { replication.check_own_log().await })
}

/// Connects for as long as the test runs, again whenever a side says Hello anew.
pub fn keep_connected(a: &Arc<Gateway>, b: &Arc<Gateway>) {
    let (a, b) = (Arc::clone(a), Arc::clone(b));
    tokio::spawn(async move {
        loop {
            let (ours, theirs) = connect(&a, &b);
            ours.end().await;
            theirs.end().await;
        }
    });
}

pub async fn reaches(gateway: &Gateway, wanted: impl Fn(&OwnLogState) -> bool) -> OwnLogState {
    let mut state = gateway.replication.own_log().state();
    let reached = tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await;
    match reached {
        Ok(reached) => reached.expect("lives").clone(),
        Err(_) => panic!("not in time: {:?}", gateway.replication.own_log().state().borrow()),
    }
}

pub async fn may_sign(gateway: &Gateway) {
    reaches(gateway, |state| matches!(state, OwnLogState::Clear { .. })).await;
}

/// What the publisher asks before each commit.
pub async fn confirm(gateway: &Gateway) -> Result<(), NoQuorum> {
    let electorate = gateway.charter.electorate(&gateway.member);
    gateway.replication.own_log().confirm(&electorate, Duration::from_secs(2)).await
}

/// Two members that hold what the GP published, and the files of the GP from before its last entries.
async fn after_a_loss(
    files: &[StoreFile],
) -> (Federation, Arc<Gateway>, Arc<Gateway>, tempfile::TempDir) {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Arc::new(Gateway::new(&federation, HOSPITAL));
    let lab = Arc::new(Gateway::new(&federation, LAB));
    let (to_hospital, to_lab) = (connect(&gp, &hospital), connect(&gp, &lab));
    gp.publish(300);
    hospital.holds(&gp.log, 300).await;
    let backup = gp.copy(files);
    gp.publish(300);
    hospital.holds(&gp.log, 600).await;
    lab.holds(&gp.log, 600).await;
    if !files.contains(&StoreFile::Gate) {
        // The gate lay on another disk, and was not put back.
        let gate = StoreFile::Gate.name();
        std::fs::copy(gp.folder().join(gate), backup.path().join(gate)).expect("copied");
    }
    for (ours, theirs) in [to_hospital, to_lab] {
        ours.stop.cancel();
        ours.end().await;
        theirs.end().await;
    }
    (federation, hospital, lab, backup)
}

/// What was lost is fetched back, with its payloads; then the log goes on where it ended, as a later start.
async fn comes_back(files: &[StoreFile]) {
    let (federation, hospital, lab, backup) = after_a_loss(files).await;
    let gp = Arc::new(Gateway::at(&federation, GP, backup, quick));
    let before = gp.store.incarnation();
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    keep_connected(&gp, &lab);
    may_sign(&gp).await;
    gp.holds(&gp.log, 600).await;
    confirm(&gp).await.expect("the others agree");
    assert!(gp.store.incarnation() >= before);
    assert!(gp.store.signing_stop().is_none());
    gp.publish(1);
    for other in [&hospital, &lab] {
        other.holds(&gp.log, 601).await;
        let (ours, theirs) = (gp.store.log_status(&gp.log), other.store.log_status(&gp.log));
        assert_eq!(ours.expect("a status").root, theirs.expect("a status").root);
    }
    let incarnation = gp.store.log_head(&gp.log).expect("a head").incarnation();
    assert_eq!(incarnation, gp.store.incarnation(), "the entry says which start signed it");
}

/// The next observation follows those that came back, also after another start.
#[tokio::test]
async fn observations_that_come_back_are_reckoned_in() {
    let federation = Federation::found();
    let [gp, hospital, lab] =
        [GP, HOSPITAL, LAB].map(|member| Arc::new(Gateway::new(&federation, member)));
    for (a, b) in [(&gp, &hospital), (&gp, &lab), (&hospital, &lab)] {
        keep_connected(a, b);
    }
    hospital.publish(1);
    gp.holds(&hospital.log, 1).await;
    assert!(gp.observe());
    let backup = gp.copy(&EVERYTHING);
    lab.publish(1);
    gp.holds(&lab.log, 1).await;
    assert!(gp.observe());
    hospital.holds(&gp.log, 2).await;
    let gp = Arc::new(Gateway::at(&federation, GP, backup, quick));
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    keep_connected(&gp, &lab);
    gp.holds(&gp.log, 2).await;
    may_sign(&gp).await;
    hospital.publish(1);
    gp.holds(&hospital.log, 2).await;
    gp.until(Gateway::observe).await;
    let copy = gp.copy(&EVERYTHING);
    let report = verify_dir(copy.path(), &federation.id(), None).expect("can be checked");
    assert_eq!(report.damages, []);
}

#[tokio::test]
async fn an_old_backup_under_the_newest_gate_comes_back() {
    comes_back(&[StoreFile::Ledger, StoreFile::Payloads, StoreFile::Index, StoreFile::Audit]).await;
}

#[tokio::test]
async fn a_gate_without_a_database_comes_back() {
    comes_back(&[]).await;
}

#[tokio::test]
async fn a_snapshot_with_database_and_gate_comes_back() {
    comes_back(&EVERYTHING).await;
}

#[tokio::test]
async fn payloads_that_are_older_than_the_ledger_come_back() {
    let (federation, hospital, lab, backup) = after_a_loss(&EVERYTHING).await;
    let gp = Arc::new(Gateway::at(&federation, GP, backup, quick));
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    keep_connected(&gp, &lab);
    gp.holds(&gp.log, 600).await;
    assert!(gp.store.missing_blobs(&gp.log, 10).expect("a list").is_empty());
}

#[tokio::test]
async fn a_database_without_its_gate_signs_nothing_until_an_operator_recreates_it() {
    let (federation, hospital, _, backup) = after_a_loss(&EVERYTHING).await;
    std::fs::remove_file(backup.path().join(StoreFile::Gate.name())).expect("removed");
    let gp = Arc::new(Gateway::at(&federation, GP, backup, quick));
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    let stopped = reaches(&gp, |state| matches!(state, OwnLogState::Stopped(_))).await;
    let OwnLogState::Stopped(stop) = stopped else { unreachable!() };
    assert_eq!(stop.reason(), "SIGNING_GATE_MISSING");
    assert_eq!(gp.size(&gp.log), 300, "nothing is appended to a log of which nobody knows enough");
}

#[tokio::test]
async fn a_lost_end_that_nobody_kept_stops_signing_until_an_operator_gives_it_up() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Arc::new(Gateway::new(&federation, HOSPITAL));
    let (ours, theirs) = connect(&gp, &hospital);
    gp.publish(5);
    hospital.holds(&gp.log, 5).await;
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
    let backup = gp.copy(&EVERYTHING);
    gp.publish(2);
    let gate = StoreFile::Gate.name();
    std::fs::copy(gp.folder().join(gate), backup.path().join(gate)).expect("the newest gate");
    let restored = Arc::new(Gateway::at(&federation, GP, backup, quick));
    let _asking = check(&restored);
    keep_connected(&restored, &hospital);
    restored.until(|gp| gp.peers.is_reachable(&hospital.member)).await;
    assert!(matches!(
        reaches(&restored, |state| *state != OwnLogState::Asking).await,
        OwnLogState::Behind(_)
    ));
    restored.replication.own_log().override_quorum(&restored.store).expect("an operator may");
    assert!(restored.store.signing_stop().is_none());
    restored.publish(1);
    hospital.holds(&restored.log, 6).await;
}

#[tokio::test]
async fn of_a_machine_and_its_copy_the_later_start_goes_on() {
    let federation = Federation::found();
    let hospital = Arc::new(Gateway::new(&federation, HOSPITAL));
    let lab = Arc::new(Gateway::new(&federation, LAB));
    let first = Gateway::new(&federation, GP);
    let image = first.copy(&EVERYTHING);
    let first = Arc::new(first);
    let _asking = check(&first);
    keep_connected(&first, &hospital);
    keep_connected(&first, &lab);
    may_sign(&first).await;
    confirm(&first).await.expect("alone so far");
    first.publish(3);
    for other in [&hospital, &lab] {
        other.holds(&first.log, 3).await;
    }
    // The same image starts on another machine, while the first one is idle or stands still.
    let second = Arc::new(Gateway::at(&federation, GP, image, quick));
    let _asks_too = check(&second);
    keep_connected(&second, &hospital);
    keep_connected(&second, &lab);
    may_sign(&second).await;
    second.holds(&second.log, 3).await;
    confirm(&second).await.expect("the later start");
    // The first one finds out before it signs, not after.
    confirm(&first).await.expect_err("a later start is known");
    let stopped = reaches(&first, |state| matches!(state, OwnLogState::Stopped(_))).await;
    let OwnLogState::Stopped(stop) = stopped else { unreachable!() };
    assert_eq!(stop.reason(), "LATER_START");
    assert_eq!(first.store.signing_stop(), Some(stop));
    second.publish(1);
    for other in [&hospital, &lab] {
        other.holds(&second.log, 4).await;
    }
}

#[tokio::test]
async fn what_an_earlier_start_signs_is_not_witnessed_by_who_answered_the_later_one() {
    let federation = Federation::found();
    let hospital = Gateway::new(&federation, HOSPITAL);
    let lab = Gateway::new(&federation, LAB);
    let first = Gateway::new(&federation, GP);
    let _to_lab = connect(&first, &lab);
    let (ours, theirs) = connect(&first, &hospital);
    first.publish(3);
    hospital.holds(&first.log, 3).await;
    lab.holds(&first.log, 3).await;
    let image = first.copy(&EVERYTHING);
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
    // The hospital tells the later start that it knows three entries.
    let second = Gateway::at(&federation, GP, image, quick);
    let asked = connect(&second, &hospital);
    hospital.until(|hospital| hospital.peers.is_reachable(&second.member)).await;
    second.until(|second| second.peers.is_reachable(&hospital.member)).await;
    asked.0.stop.cancel();
    asked.0.end().await;
    asked.1.end().await;
    // The first one, which stood still, signs another entry, and it comes to the hospital by way of the laboratory.
    first.publish(1);
    lab.holds(&first.log, 4).await;
    let _relayed = connect(&lab, &hospital);
    hospital.holds(&first.log, 4).await;
    assert!(hospital.observe());
    let observed = |gateway: &Gateway| {
        let head = hospital.store.observed_head(&hospital.log, &gateway.log).expect("reads");
        head.map(|head| head.size)
    };
    assert_eq!(observed(&first), Some(3), "it told the later start of three");
    // Once the later start holds the entry too, and shows it, it is witnessed.
    let second = Arc::new(second);
    let _asking = check(&second);
    let (_a, _b) = connect(&second, &hospital);
    second.holds(&second.log, 4).await;
    second.publish(1);
    hospital.holds(&second.log, 5).await;
    assert!(hospital.observe());
    assert_eq!(observed(&second), Some(5));
}

/// A peer that answers every question whether we may sign with a later start than ours.
fn lies(mut peer: Peer, later: impl Fn(u32) -> u32 + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut said = 0;
        while let Some(kind) = peer.next().await {
            let Kind::StartQuestion(question) = kind else { continue };
            said += 1;
            let incarnation = later(said);
            let round = question.round;
            let answer = StartAnswer { round, incarnation, is_yours: false, ..Default::default() };
            peer.send(Kind::StartAnswer(answer)).await;
        }
    })
}

#[tokio::test]
async fn a_peer_that_lies_about_a_later_start_neither_stops_us_nor_uses_up_the_numbers() {
    let federation = Federation::found();
    let gp = Arc::new(Gateway::with(&federation, GP, quick));
    let hospital = Arc::new(Gateway::new(&federation, HOSPITAL));
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    let _lies = lies(lab, |_| u32::MAX);
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    may_sign(&gp).await;
    confirm(&gp).await.expect("the hospital answers for us");
    assert_eq!(gp.store.incarnation(), 1);
    gp.publish(1);
    hospital.holds(&gp.log, 1).await;
}

#[tokio::test]
async fn a_peer_that_outbids_us_again_and_again_is_outweighed_by_a_quorum() {
    let federation = Federation::found();
    let gp = Arc::new(Gateway::with(&federation, GP, quick));
    let hospital = Arc::new(Gateway::new(&federation, HOSPITAL));
    let _asking = check(&gp);
    keep_connected(&gp, &hospital);
    // It says Hello again whenever our number rises, and each time knows a higher one.
    let liar = {
        let (federation, gp) = (federation.clone(), Arc::clone(&gp));
        tokio::spawn(async move {
            loop {
                let lab = Peer::greeting(&federation, &gp, LAB).await;
                let store = Arc::clone(&gp.store);
                drop(lies(lab, move |_| store.incarnation()).await);
            }
        })
    };
    may_sign(&gp).await;
    confirm(&gp).await.expect("the hospital answers for us");
    assert!(gp.store.incarnation() <= 5, "it rises four times at the most");
    liar.abort();
}

#[tokio::test]
async fn a_member_that_is_alone_signs_only_when_an_operator_answers_for_it() {
    let federation = Federation::found();
    let gp = Gateway::with(&federation, GP, quick);
    let _asking = check(&gp);
    let refused = confirm(&gp).await.expect_err("nobody is there");
    assert_eq!(refused, NoQuorum { answered: 0, needed: 1 });
    gp.replication.own_log().override_quorum(&gp.store).expect("an operator may");
    confirm(&gp).await.expect("on the record");
}

/// The question that was open found nobody, and took back what the operator had said meanwhile.
#[tokio::test]
async fn an_operator_who_answers_while_a_question_is_open_is_heard() {
    let federation = Federation::found();
    let gp = Gateway::with(&federation, GP, quick);
    let _asking = check(&gp);
    let own_log = gp.replication.own_log();
    let says = async {
        tokio::task::yield_now().await;
        own_log.override_quorum(&gp.store).expect("an operator may");
    };
    let (confirmed, ()) = tokio::join!(confirm(&gp), says);
    confirmed.expect("on the record");
    assert!(matches!(*own_log.state().borrow(), OwnLogState::Clear { .. }));
}

/// Of two questions that are asked at once only the later one may be sent: its answer is one to both.
#[tokio::test]
async fn an_answer_to_a_later_question_is_one_to_an_earlier_one() {
    let federation = Federation::found();
    let (gp, hospital) = (Gateway::new(&federation, GP), Gateway::new(&federation, HOSPITAL));
    let _running = connect(&gp, &hospital);
    gp.until(|gp| gp.peers.view(&hospital.member).is_some_and(|view| view.reachable)).await;
    let (one, other) = tokio::join!(confirm(&gp), confirm(&gp));
    assert_eq!((one, other), (Ok(()), Ok(())));
}

#[tokio::test]
async fn a_quorum_that_is_connected_and_never_answers_is_none() {
    let federation = Federation::found();
    let gp = Gateway::with(&federation, GP, quick);
    let _asking = check(&gp);
    let _hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    let _lab = Peer::greeting(&federation, &gp, LAB).await;
    let refused = confirm(&gp).await.expect_err("nobody answers");
    assert_eq!(refused, NoQuorum { answered: 0, needed: 1 });
    assert_eq!(*gp.replication.own_log().state().borrow(), OwnLogState::Asking);
}
