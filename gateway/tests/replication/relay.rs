//! A relay that spoils what it passes on: it is dropped, the author's log is not stopped, and comes whole from another.

use bytes::Bytes;
use sundbro_gateway::replication::{OUTBOUND_FRAMES, SessionEnd};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame};
use sundbro_store::LogState;
use tokio::sync::mpsc;

use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect, name, session};

/// Entries of the author's log: three bundles, the last one not full.
const ENTRIES: u64 = 600;

/// A change of one bit in a chunk.
type Flip = fn(&mut wire::Chunk);

fn flip(bytes: &mut Bytes, place: usize) {
    let mut flipped = bytes.to_vec();
    flipped[place] ^= 1;
    *bytes = flipped.into();
}

/// Every part of a chunk that the relay can touch.
const FLIPS: [(&str, Flip); 8] = [
    ("the length of the first entry", |chunk| flip(&mut chunk.bundle, 1)),
    ("the header of the first entry", |chunk| flip(&mut chunk.bundle, 40)),
    ("the signature of the last entry", |chunk| {
        let last = chunk.bundle.len() - 1;
        flip(&mut chunk.bundle, last);
    }),
    ("the middle", |chunk| {
        let middle = chunk.bundle.len() / 2;
        flip(&mut chunk.bundle, middle);
    }),
    ("the first hash of the proof", |chunk| flip(&mut chunk.proof[0], 0)),
    ("the last hash of the proof", |chunk| {
        let last = chunk.proof.len() - 1;
        flip(&mut chunk.proof[last], 31);
    }),
    ("where it starts", |chunk| chunk.start ^= 1),
    ("the size of its tree", |chunk| chunk.tree_size ^= 1),
];

/// Lets the GP fetch from the hospital through somebody who flips one bit in each chunk of the laboratory's log.
async fn fetch_spoiled(
    gp: &Gateway,
    hospital: &Gateway,
    author: &Gateway,
    spoil: Flip,
) -> SessionEnd {
    let (to_middle, mut from_hospital) = mpsc::channel::<Frame>(OUTBOUND_FRAMES);
    let (to_gp, from_middle) = mpsc::channel(OUTBOUND_FRAMES);
    let (to_hospital, from_gp) = mpsc::channel(OUTBOUND_FRAMES);
    let gps = session(gp, HOSPITAL, from_middle, to_hospital);
    let hospitals = session(hospital, GP, from_gp, to_middle);
    let log = Bytes::copy_from_slice(author.log.as_bytes());
    let middle = async move {
        while let Some(mut frame) = from_hospital.recv().await {
            match &mut frame.kind {
                Some(Kind::Chunk(chunk)) if chunk.log_id == log => spoil(chunk),
                _ => {}
            }
            if to_gp.send(frame).await.is_err() {
                return;
            }
        }
    };
    let middle = tokio::spawn(middle);
    let end = gps.end().await;
    hospitals.stop.cancel();
    hospitals.end().await;
    middle.await.expect("no panic");
    end
}

#[tokio::test]
async fn a_relay_that_spoils_every_chunk_is_dropped_and_the_log_ends_at_its_authors_head() {
    let federation = Federation::found();
    let (gp, hospital) = (Gateway::new(&federation, GP), Gateway::new(&federation, HOSPITAL));
    let lab = Gateway::new(&federation, LAB);
    lab.publish(ENTRIES);
    // The relay itself has everything, and right.
    let honest = connect(&hospital, &lab);
    hospital.holds(&lab.log, ENTRIES).await;
    for (what, spoil) in FLIPS {
        let end = fetch_spoiled(&gp, &hospital, &lab, spoil).await;
        assert!(
            matches!(end, SessionEnd::PeerFault { reason: "BAD_CHUNK", log: Some(log), .. } if log == lab.log),
            "{what}: {end:?}"
        );
        let status = gp.store.log_status(&lab.log).expect("a status");
        assert_eq!((status.state, status.committed_size), (LogState::Followed, 0), "{what}");
        let view = gp.peers.view(&name(HOSPITAL)).expect("known");
        assert_eq!(view.cause, Some("BAD_CHUNK"), "{what}: the operator sees why");
        assert!(!gp.peers.is_reachable(&name(HOSPITAL)), "{what}");
    }
    // Another peer has the same log: it is taken from there, to the head that its author signed.
    let _author = connect(&gp, &lab);
    gp.holds(&lab.log, ENTRIES).await;
    let signed = |gateway: &Gateway| {
        let status = gateway.store.log_status(&lab.log).expect("a status");
        assert_eq!(status.state, LogState::Followed);
        let checkpoint = status.checkpoint.expect("covered");
        (checkpoint.size, checkpoint.root)
    };
    assert_eq!(signed(&gp), signed(&lab));
    // And the relay, once it passes on what it has, is as good as any.
    let _relay = connect(&gp, &hospital);
    lab.publish(1);
    gp.holds(&lab.log, ENTRIES + 1).await;
    drop(honest);
}
