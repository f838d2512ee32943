//! What takes long, and whom it may hold up: nobody but the log and the peer that it is about.

use std::cell::Cell;
use std::time::Duration;

use sundbro_gateway::replication::{OUTBOUND_FRAMES, ReplicationSettings, SessionEnd};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Frame, Payloads, Want, want};
use sundbro_store::LogState;
use tokio::sync::mpsc;

use crate::script::{Log, Peer, Spoil};
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, kind_name, session};

/// Whether a frame asks for entries of a log.
fn wants_entries(kind: &Kind, log: &Log) -> bool {
    let Kind::Want(Want { what: Some(want::What::Entries(ask)) }) = kind else { return false };
    ask.log_id == log.id.as_bytes()[..]
}

/// A log of `size` entries waits at 270, and waits there still with the next charter. It is tried once with each, while
/// another log of the same peer goes on.
async fn is_tried_once_with_each_charter(size: u64) {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let waiting = Log::new(&federation, LAB, size, Some((270, Spoil::LaterCharter)));
    let other = Log::new(&federation, HOSPITAL, 40, None);
    let waits = LogState::Waiting { position: 270, reason: "CHARTER_VERSION_MISSING".to_owned() };
    let state = |gp: &Gateway| gp.store.log_status(&waiting.id).expect("a status").state;
    let asked = Cell::new(0);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    let voice = lab.voice();
    let story = async {
        voice.show(waiting.head()).await;
        gp.until(|gp| state(gp) == waits).await;
        let next = federation.publish(|draft| draft.set_quorums(1, 2));
        gp.follow(&next);
        // Many rounds, in each of which the log that waits could be asked for again.
        for size in 1..=other.size() {
            voice.show(other.head_at(size)).await;
            gp.until(|gp| gp.size(&other.id) == size).await;
        }
    };
    let logs = [&waiting, &other];
    tokio::select! {
        () = story => {}
        () = lab.serve_all(&logs, |kind| {
            asked.set(asked.get() + usize::from(wants_entries(kind, &waiting)));
        }) => panic!("nobody is to blame"),
    }
    assert_eq!(asked.get(), 2, "once with each charter");
    assert_eq!(state(&gp), waits);
}

#[tokio::test]
async fn a_log_that_waits_at_its_end_is_not_asked_for_all_the_time() {
    is_tried_once_with_each_charter(280).await;
}

#[tokio::test]
async fn a_log_that_waits_in_its_middle_does_not_end_the_session() {
    is_tried_once_with_each_charter(2_000).await;
}

/// An author answers and publishes on one stream: what it pushes while a question about its blobs is open is neither an
/// answer nor a fault.
#[tokio::test]
async fn blobs_that_are_pushed_while_others_are_asked_for_are_taken_too() {
    let federation = Federation::found();
    let (gp, hospital) = (Gateway::new(&federation, GP), Gateway::new(&federation, HOSPITAL));
    gp.publish(3);
    let (to_middle, mut from_gp) = mpsc::channel::<Frame>(OUTBOUND_FRAMES);
    let (to_hospital, from_middle) = mpsc::channel(OUTBOUND_FRAMES);
    let (to_gp, from_hospital) = mpsc::channel(OUTBOUND_FRAMES);
    let _gps = session(&gp, HOSPITAL, from_hospital, to_middle);
    let hospitals = session(&hospital, GP, from_middle, to_gp);
    // The answer comes late: after the blobs of an entry that was published meanwhile.
    let (mut answer, mut published) = (None, false);
    let middle = async {
        while let Some(frame) = from_gp.recv().await {
            let is_payloads = kind_name(&frame) == "payloads";
            if is_payloads && !published {
                (answer, published) = (Some(frame), true);
                gp.publish(1);
                continue;
            }
            to_hospital.send(frame).await.expect("the hospital reads");
            if is_payloads && let Some(late) = answer.take() {
                to_hospital.send(late).await.expect("the hospital has not dropped the GP");
            }
        }
    };
    tokio::select! {
        () = hospital.holds(&gp.log, 4) => {}
        () = middle => panic!("the session goes on: {:?}", hospitals.end().await),
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// A peer that shows another's log, is asked for it, and keeps it.
async fn keeps_a_log(federation: &Federation, gp: &Gateway, log: &Log) -> Peer {
    let mut hospital = Peer::greeting(federation, gp, HOSPITAL).await;
    hospital.show(log.head()).await;
    hospital.first(|kind| wants_entries(&kind, log).then_some(())).await;
    hospital
}

/// Sends frames that answer nothing until the stream ends.
async fn distracts(hospital: &mut Peer, log: &Log) {
    let voice = hospital.voice();
    let log_id = bytes::Bytes::copy_from_slice(log.id.as_bytes());
    let nothing = Payloads { log_id, blobs: Vec::new(), missing: Vec::new() };
    let distract = async {
        let proof = log.proof(1, log.size());
        while voice.try_send(Kind::Consistency(proof.clone())).await
            && voice.try_send(Kind::Payloads(nothing.clone())).await
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(distract, async { while hospital.next().await.is_some() {} });
}

#[tokio::test]
async fn frames_that_answer_nothing_win_a_peer_no_time() {
    let federation = Federation::found();
    let quick =
        |settings| ReplicationSettings { reply_timeout: Duration::from_millis(500), ..settings };
    let gp = Gateway::with(&federation, GP, quick);
    let log = Log::new(&federation, LAB, 600, None);
    let mut hospital = keeps_a_log(&federation, &gp, &log).await;
    let patience = Duration::from_secs(60);
    let distracted = tokio::time::timeout(patience, distracts(&mut hospital, &log)).await;
    distracted.expect("the gateway is not distracted for ever");
    let end = hospital.running.end().await;
    assert!(matches!(end, SessionEnd::PeerFault { reason: "PEER_SILENT", .. }), "{end:?}");
}

#[tokio::test]
async fn the_author_of_a_log_waits_for_nobody_who_shows_it() {
    let federation = Federation::found();
    let patient =
        |settings| ReplicationSettings { reply_timeout: HOUR, slow_reply: HOUR, ..settings };
    let gp = Gateway::with(&federation, GP, patient);
    let log = Log::new(&federation, LAB, 600, None);
    let mut hospital = keeps_a_log(&federation, &gp, &log).await;
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == log.size()) => {}
        () = lab.serve(&log, |chunk| chunk) => panic!("the laboratory does nothing wrong"),
        () = distracts(&mut hospital, &log) => panic!("its time is not over"),
    }
}

#[tokio::test]
async fn a_slow_peer_leaves_the_log_to_another_that_has_it() {
    let federation = Federation::found();
    let patient = |settings| ReplicationSettings {
        reply_timeout: HOUR,
        slow_reply: Duration::from_millis(50),
        ..settings
    };
    let gp = Gateway::with(&federation, GP, patient);
    let log = Log::new(&federation, LAB, 600, None);
    // The laboratory's own gateway is the slow one.
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    lab.first(|kind| wants_entries(&kind, &log).then_some(())).await;
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(log.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == log.size()) => {}
        () = hospital.serve(&log, |chunk| chunk) => panic!("the hospital does nothing wrong"),
        () = distracts(&mut lab, &log) => panic!("its time is not over"),
    }
}
