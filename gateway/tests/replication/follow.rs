//! Gateways that do what they should: everybody ends with everything.

use std::time::Duration;

use sundbro_gateway::replication::ReplicationSettings;

use crate::script::Peer;
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect, connect_counted};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn catches_up_from_nothing_with_payloads_and_details() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(700);
    hospital.publish(3);
    let _running = connect(&gp, &hospital);
    hospital.holds(&gp.log, 700).await;
    gp.holds(&hospital.log, 3).await;
    let ours = gp.store.index_roots().expect("roots");
    let theirs = hospital.store.index_roots().expect("roots");
    assert_eq!(ours.index_root, theirs.index_root, "equal heads, equal index");
    let status = hospital.store.log_status(&gp.log).expect("a status");
    assert_eq!(status.checkpoint.map(|row| row.size), Some(700));
}

#[tokio::test]
async fn goes_on_at_the_committed_size_after_a_broken_connection() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(300);
    let (ours, theirs) = connect(&gp, &hospital);
    hospital.holds(&gp.log, 300).await;
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
    assert!(!hospital.peers.is_reachable(&gp.member));
    gp.publish(300);
    let (_ours, _theirs, sent) = connect_counted(&gp, &hospital);
    hospital.holds(&gp.log, 600).await;
    let chunks = sent.lock().expect("lock")["chunk"];
    assert_eq!(chunks, 2, "300 to 512, and 512 to 600: nothing is sent twice");
}

#[tokio::test]
async fn a_late_joiner_gets_everything_from_one_peer() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    let lab = Gateway::new(&federation, LAB);
    gp.publish(270);
    hospital.publish(5);
    let _first = connect(&gp, &hospital);
    hospital.holds(&gp.log, 270).await;
    // The laboratory never meets the GP.
    let _second = connect(&hospital, &lab);
    lab.holds(&gp.log, 270).await;
    lab.holds(&hospital.log, 5).await;
    let ours = lab.store.index_roots().expect("roots");
    assert_eq!(ours.index_root, hospital.store.index_roots().expect("roots").index_root);
    assert!(lab.peers.view(&hospital.member).expect("known").heads_at.is_some());
    assert!(lab.peers.view(&gp.member).is_none(), "its own gateway was never heard");
}

#[tokio::test]
async fn a_live_tail_is_pushed_without_a_question() {
    let federation = Federation::found();
    // Heads that are only repeated would hide what is pushed.
    let seldom = |settings| ReplicationSettings { heads_interval: HOUR, ..settings };
    let gp = Gateway::with(&federation, GP, seldom);
    let hospital = Gateway::with(&federation, HOSPITAL, seldom);
    gp.publish(2);
    let (_hospitals, _gps, asked) = connect_counted(&hospital, &gp);
    hospital.holds(&gp.log, 2).await;
    gp.until(|gp| gp.peers.view(&hospital.member).is_some_and(|view| view.heads_at.is_some()))
        .await;
    let before = asked.lock().expect("lock")["want_entries"];
    for size in 3..=10 {
        gp.publish(1);
        hospital.holds(&gp.log, size).await;
    }
    let asked = asked.lock().expect("lock").clone();
    assert_eq!(asked["want_entries"], before, "nothing had to be asked for: {asked:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_read_makes_nobody_hold_more() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(256 * 30);
    let mut peer = Peer::greeting(&federation, &gp, HOSPITAL).await;
    peer.want(gp.log, 0, 256 * 30).await;
    // Thirty chunks are wanted and nobody reads: what waits is bounded, and the gateway goes on publishing.
    peer.until_full().await;
    gp.publish(1);
    assert_eq!(gp.size(&gp.log), 256 * 30 + 1);
    // Whoever reads again gets the rest, in order.
    let mut next = 0;
    while next < 256 * 30 {
        let chunk = peer.next_chunk().await;
        assert_eq!(chunk.start, next);
        next += 256;
    }
}
