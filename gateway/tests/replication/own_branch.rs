//! The writer's own gateway, when two machines signed with its keys and the charter has said which history goes on: without
//! a restart it signs again, after its own branch or after the other one.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_gateway::replication::{OwnLogState, ReplicationSettings};
use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::merkle::range_hash;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Head, Heads, StartAnswer};
use sundbro_store::LogState;

use crate::own_log::{EVERYTHING, check, confirm, keep_connected, may_sign, quick, reaches};
use crate::script::{Log, Peer, answers};
use crate::streams::Running;
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect, draft};

/// Where the two histories part, and where each ends.
const PARTING: u64 = 5;
const ONE: u64 = 8;
const OTHER: u64 = 12;

/// A federation in which the GP's machine was copied: the hospital holds what the first machine signed, the laboratory what
/// its copy did, which is gone.
struct World {
    federation: Federation,
    gp: Arc<Gateway>,
    hospital: Arc<Gateway>,
    lab: Arc<Gateway>,
}

async fn end((ours, theirs): (Running, Running)) {
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
}

fn settings(settings: ReplicationSettings) -> ReplicationSettings {
    ReplicationSettings { heads_interval: std::time::Duration::from_millis(500), ..quick(settings) }
}

impl World {
    async fn new() -> Self {
        let federation = Federation::found();
        let gp = Gateway::with(&federation, GP, settings);
        let hospital = Gateway::with(&federation, HOSPITAL, settings);
        let lab = Gateway::with(&federation, LAB, settings);
        let (to_hospital, to_lab) = (connect(&gp, &hospital), connect(&gp, &lab));
        gp.publish(PARTING);
        hospital.holds(&gp.log, PARTING).await;
        lab.holds(&gp.log, PARTING).await;
        end(to_lab).await;
        let image = gp.copy(&EVERYTHING);
        gp.publish(ONE - PARTING);
        hospital.holds(&gp.log, ONE).await;
        end(to_hospital).await;
        let copied = Gateway::at(&federation, GP, image, settings);
        let to_lab = connect(&copied, &lab);
        let drafts = (100 + PARTING..100 + OTHER).map(|number| draft(&copied.member, number));
        copied.append(drafts.collect());
        lab.holds(&gp.log, OTHER).await;
        end(to_lab).await;
        let [gp, hospital, lab] = [gp, hospital, lab].map(Arc::new);
        Self { federation, gp, hospital, lab }
    }

    /// All meet, and everybody finds out.
    async fn meet(&self) {
        for (a, b) in
            [(&self.gp, &self.hospital), (&self.gp, &self.lab), (&self.hospital, &self.lab)]
        {
            keep_connected(a, b);
        }
        reaches(&self.gp, |state| matches!(state, OwnLogState::Stopped(_))).await;
        for gateway in [&self.gp, &self.hospital, &self.lab] {
            gateway
                .until(|gateway| {
                    let state = gateway.store.log_status(&self.gp.log).expect("a status").state;
                    matches!(state, LogState::Stopped { .. })
                })
                .await;
        }
        let stop = self.gp.store.signing_stop().expect("it is stopped");
        assert_eq!(stop.reason(), "OWN_LOG_DIVERGES");
    }

    /// The stewards name the history that a member holds, as far as it goes.
    fn names(&mut self, held_by: &Arc<Gateway>) {
        let log = self.gp.log;
        let size = held_by.size(&log);
        let root = range_hash(&held_by.store.nodes(&log).expect("nodes"), 0, size);
        let branch = LogBranch { log_id: log, size, root: root.expect("a root").into() };
        let charter = self.federation.publish(|draft| draft.set_branch(branch));
        self.hospital.follow(&charter);
    }

    /// The writer signs again, after `size`, and everybody is equal.
    async fn goes_on_after(&self, size: u64) {
        let gp = &self.gp;
        gp.holds(&gp.log, size).await;
        may_sign(gp).await;
        assert_eq!(gp.store.signing_stop(), None);
        confirm(gp).await.expect("the others agree");
        gp.append(vec![draft(&gp.member, 500)]);
        for gateway in [gp, &self.hospital, &self.lab] {
            gateway.holds(&gp.log, size + 1).await;
            let status = gateway.store.log_status(&gp.log).expect("a status");
            assert_eq!(status.root, gp.store.log_head(&gp.log).expect("a head").root());
            assert_eq!(status.state, LogState::Followed);
        }
        let root = |gateway: &Gateway| gateway.store.index_roots().expect("roots").index_root;
        assert_eq!(root(gp), root(&self.hospital));
        assert_eq!(root(gp), root(&self.lab));
    }
}

#[tokio::test]
async fn when_the_charter_names_our_branch_signing_goes_on_without_a_restart() {
    let mut world = World::new().await;
    let _asking = check(&world.gp);
    let before = world.gp.store.incarnation();
    world.meet().await;
    let ours = Arc::clone(&world.gp);
    world.names(&ours);
    world.goes_on_after(ONE).await;
    assert!(world.gp.store.incarnation() > before, "as a later start");
}

#[tokio::test]
async fn when_the_charter_names_the_other_branch_we_go_over_to_it_and_sign_after_it() {
    let mut world = World::new().await;
    let _asking = check(&world.gp);
    world.meet().await;
    let theirs = Arc::clone(&world.lab);
    world.names(&theirs);
    world.goes_on_after(OTHER).await;
    let held = world.gp.store.evidence(Some(&world.gp.log)).expect("read");
    assert_eq!(held.len(), 1, "what convicts is kept");
}

#[tokio::test]
async fn a_branch_that_was_named_before_we_heard_of_another_is_gone_over_to() {
    let mut world = World::new().await;
    let theirs = Arc::clone(&world.lab);
    world.names(&theirs);
    let _asking = check(&world.gp);
    for (a, b) in
        [(&world.gp, &world.hospital), (&world.gp, &world.lab), (&world.hospital, &world.lab)]
    {
        keep_connected(a, b);
    }
    world.goes_on_after(OTHER).await;
}

// It has seen a checkpoint of the other history and no more: once it hears the charter it forgets it.
#[tokio::test]
async fn what_a_peer_only_saw_of_the_history_that_was_left_is_not_waited_for() {
    let federation = Federation::found();
    let gp = Arc::new(Gateway::with(&federation, GP, settings));
    gp.publish(ONE);
    let root = range_hash(&gp.store.nodes(&gp.log).expect("nodes"), 0, ONE).expect("a root");
    let branch = LogBranch { log_id: gp.log, size: ONE, root: root.into() };
    let mut named = federation.clone();
    let charter = named.publish(|draft| draft.set_branch(branch));
    gp.follow(&charter);
    let _asking = check(&gp);
    let other = Log::new(&federation, GP, OTHER, None);
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(other.head()).await;
    reaches(&gp, |state| matches!(state, OwnLogState::Behind(_))).await;
    // Before it is asked what it shows there, it hears the charter and says Hello again.
    drop(lab);
    let hospital = Arc::new(Gateway::with(&federation, HOSPITAL, settings));
    let ours = gp.store.log_status(&gp.log).expect("a status").checkpoint.expect("one is signed");
    let lab = Peer::greeting(&named, &gp, LAB).await;
    keep_connected(&gp, &hospital);
    lab.show(Head { log_id: Bytes::copy_from_slice(gp.log.as_bytes()), checkpoint: ours.note })
        .await;
    may_sign(&gp).await;
    assert_eq!(gp.store.signing_stop(), None);
}

// It may not have heard the charter yet, or lie: whoever witnessed the history that was left helps nobody to sign over it.
#[tokio::test]
async fn who_still_shows_the_history_that_was_left_stops_nothing_and_counts_for_nothing() {
    for left_size in [3, 6, ONE + 4] {
        let mut federation = Federation::found();
        let gp = Arc::new(Gateway::with(&federation, GP, settings));
        let hospital = Arc::new(Gateway::with(&federation, HOSPITAL, settings));
        gp.publish(ONE);
        let root = range_hash(&gp.store.nodes(&gp.log).expect("nodes"), 0, ONE);
        let root = root.expect("a root").into();
        let charter = federation
            .publish(|draft| draft.set_branch(LogBranch { log_id: gp.log, size: ONE, root }));
        gp.follow(&charter);
        hospital.follow(&charter);
        let left = Log::new(&federation, GP, left_size, None);
        let (founded, asks) = (federation.clone(), Arc::clone(&gp));
        let answering = tokio::spawn(async move {
            // As a gateway does, it calls again whenever the other one says Hello anew.
            loop {
                let mut lab = Peer::greeting(&founded, &asks, LAB).await;
                let voice = lab.voice();
                let mut reads =
                    voice.try_send(Kind::Heads(Heads { heads: vec![left.head()] })).await;
                while reads && let Some(kind) = lab.next().await {
                    let said = match kind {
                        Kind::StartQuestion(question) => vec![Kind::StartAnswer(StartAnswer {
                            round: question.round,
                            incarnation: 1,
                            is_yours: true,
                            checkpoint: left.head().checkpoint,
                        })],
                        other => answers(&left, other).unwrap_or_default(),
                    };
                    for kind in said {
                        reads &= voice.try_send(kind).await;
                    }
                }
            }
        });
        let _asking = check(&gp);
        let refused = confirm(&gp).await.expect_err("it is the only one that answers");
        assert_eq!(refused.answered, 0, "{left_size}");
        keep_connected(&gp, &hospital);
        may_sign(&gp).await;
        confirm(&gp).await.expect("the hospital answers");
        assert_eq!(gp.store.signing_stop(), None, "{left_size}");
        gp.publish(1);
        hospital.holds(&gp.log, ONE + 1).await;
        answering.abort();
    }
}
