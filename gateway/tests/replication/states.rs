//! How far an entry of our own log has come, as other members tell it: accepted, replicated, witnessed.

use std::sync::Arc;

use bytes::Bytes;
use sundbro_gateway::own_reach::{OwnReachReader, Reached};
use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{Commitment, LogId, RootHash};
use sundbro_ledger::payload::{ObservedHead, Payload};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Ack, Blob, BlobKey, BlobKind, Head, Payloads, Want, want};
use sundbro_store::OwnDraft;

use crate::script::Peer;
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect, name};

fn reader(gateway: &Gateway) -> OwnReachReader {
    let Gateway { member, store, charter, peers, .. } = gateway;
    OwnReachReader::new(member.clone(), Arc::clone(store), Arc::clone(charter), Arc::clone(peers))
}

/// Of three members, both others are the quorum of witnesses.
#[tokio::test]
async fn an_entry_is_accepted_then_replicated_then_witnessed() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    let lab = Gateway::new(&federation, LAB);
    let reader = reader(&gp);
    gp.publish(3);
    let reached = |position| reader.read().expect("reads").of(position);
    assert_eq!((reached(0), reached(3)), (Some(Reached::Accepted), None));

    let _first = connect(&gp, &hospital);
    gp.until(|_| reached(2) == Some(Reached::Replicated)).await;
    assert!(hospital.observe());
    gp.holds(&hospital.log, 1).await;
    let reach = reader.read().expect("reads");
    assert_eq!((reach.witnessed_by(2), reach.quorum), (1, 2));
    assert_eq!(reached(2), Some(Reached::Replicated), "one of two vouches for it");

    let _second = connect(&gp, &lab);
    lab.holds(&gp.log, 3).await;
    assert!(lab.observe());
    gp.until(|_| reached(2) == Some(Reached::Witnessed)).await;
    // What comes after it begins at the beginning.
    gp.publish(1);
    assert_eq!((reached(2), reached(4)), (Some(Reached::Witnessed), None));
    assert_ne!(reached(3), Some(Reached::Witnessed));
}

// A blob that is on its way would be lost with our disk: the entry alone does not make it replicated.
#[tokio::test]
async fn what_is_acknowledged_is_there_with_its_blobs() {
    let federation = Federation::found();
    let author = Gateway::new(&federation, GP);
    author.publish(3);
    let lab = Gateway::new(&federation, LAB);
    let mut peer = Peer::greeting(&federation, &lab, GP).await;
    peer.show(head_of(&author)).await;
    let mut acked = Vec::new();
    while acked.last() != Some(&1) {
        match peer.next().await.expect("the session lives") {
            Kind::Ack(ack) => {
                assert_eq!(ack.log_id, Bytes::copy_from_slice(author.log.as_bytes()));
                acked.push(ack.durable_size);
            }
            Kind::Want(want) => peer.send(answer(&author, want, 1)).await,
            _ => {}
        }
    }
    assert_eq!(acked, [0, 1], "once after Hello, and of the second no detail came");
}

fn head_of(author: &Gateway) -> Head {
    let checkpoint = author.store.checkpoint(&author.log).expect("reads").expect("there");
    Head { log_id: Bytes::copy_from_slice(author.log.as_bytes()), checkpoint: checkpoint.note }
}

/// What an author answers that keeps the detail at one position to itself.
fn answer(author: &Gateway, want: Want, kept: u64) -> Kind {
    match want.what.expect("something is wanted") {
        want::What::Entries(it) => {
            let chunk = author.store.chunk(&author.log, it.start, it.tree_size).expect("a chunk");
            Kind::Chunk(chunk.to_wire().expect("fits"))
        }
        want::What::Blobs(it) => {
            let keeps = |key: &BlobKey| key.position == kept && key.kind() == BlobKind::Detail;
            let (missing, given): (Vec<_>, Vec<_>) = it.keys.into_iter().partition(keeps);
            let blob = |key: BlobKey| {
                let commitment = Commitment::try_from(&key.commitment[..]).expect("32 bytes");
                let bytes = author.store.blob(&commitment).expect("reads").expect("there");
                Blob { key: Some(key), bytes }
            };
            let blobs = given.into_iter().map(blob).collect();
            Kind::Payloads(Payloads { log_id: it.log_id, blobs, missing })
        }
    }
}

#[tokio::test]
async fn an_ack_of_another_log_and_one_that_falls_end_the_stream() {
    let federation = Federation::found();
    let (own, other) = (federation.log(GP), federation.log(LAB));
    for (log, sizes) in [(other, &[1][..]), (own, &[2, 1])] {
        let gp = Gateway::new(&federation, GP);
        gp.publish(2);
        let mut peer = Peer::greeting(&federation, &gp, HOSPITAL).await;
        for size in sizes {
            peer.send(ack(&log, *size)).await;
        }
        assert_eq!(peer.closing_problem().await.reason, "MALFORMED_FRAME");
    }
}

// Whose database was put back from a backup hears of more than it holds. That is nobody's fault, and no one's copy either.
#[tokio::test]
async fn an_ack_of_more_than_we_hold_counts_for_nothing() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(2);
    let peer = Peer::greeting(&federation, &gp, HOSPITAL).await;
    peer.send(ack(&gp.log, 3)).await;
    gp.until(|gp| gp.peers.view(&name(HOSPITAL)).is_some_and(|view| view.acked_size == 3)).await;
    assert_eq!(reader(&gp).read().expect("reads").replicated_size(), 0);
}

fn ack(log: &LogId, durable_size: u64) -> Kind {
    Kind::Ack(Ack { log_id: Bytes::copy_from_slice(log.as_bytes()), durable_size })
}

#[tokio::test]
async fn who_vouches_for_another_history_of_ours_is_no_witness() {
    let federation = Federation::of(&[GP, HOSPITAL]);
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(2);
    hospital.append(vec![vouching_for(&gp.log, 2)]);
    let _running = connect(&gp, &hospital);
    gp.holds(&hospital.log, 1).await;
    let head = gp.store.observed_head(&hospital.log, &gp.log).expect("reads");
    assert_eq!(head.map(|head| head.size), Some(2), "its observation counts");
    assert_eq!(reader(&gp).read().expect("reads").witnessed_by(0), 0);
    // It saw ours since.
    hospital.holds(&gp.log, 2).await;
    assert!(hospital.observe());
    gp.until(|gp| reader(gp).read().expect("reads").witnessed_size() == 2).await;
}

/// An observation of a tree that its owner never signed.
fn vouching_for(log: &LogId, size: u64) -> OwnDraft {
    let head = ObservedHead { log: *log, size, root: RootHash::new([9; 32]) };
    let payload = Payload::Observed(Heads::new().observe(vec![head]));
    let body = payload.encode().expect("keeps every rule");
    let blob =
        sundbro_ledger::blob::Blob::frame(&[3; 32], &body, Audience::Federation).expect("fits");
    OwnDraft {
        commitment: blob.payload_commitment(),
        payload: blob.bytes().clone(),
        audience: Audience::Federation,
        detail: None,
        locator: None,
        request: None,
    }
}
