//! What is wrong, and who pays for it: the sender its session, the log its progress, and nobody else anything.

use bytes::Bytes;
use sundbro_gateway::replication::{OwnLogState, SessionEnd};
use sundbro_ledger::ids::RootHash;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{ConsistencyProof, Frame, Hello, Problem};
use sundbro_store::LogState;

use crate::script::{Log, Peer, Spoil, hello};
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, TRANSACTION, connect};

/// A log whose entry 270 is spoiled stops there at whoever fetches it; the other log goes on.
async fn stops_only_that_log(spoil: Spoil, reason: &str) {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    let log = Log::new(&federation, LAB, 280, Some((270, spoil)));
    let _honest = connect(&gp, &hospital);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    let stopped = gp.until(|gp| {
        let status = gp.store.log_status(&log.id).expect("a status");
        matches!(status.state, LogState::Stopped { .. })
    });
    tokio::select! {
        () = stopped => {}
        () = lab.serve(&log, |chunk| chunk) => panic!("the sender is not to blame"),
    }
    let status = gp.store.log_status(&log.id).expect("a status");
    assert_eq!(status.state, LogState::Stopped { position: 270, reason: reason.to_owned() });
    assert_eq!(status.committed_size, 270, "what was good is kept");
    assert_eq!(status.newest_seen_size, 280);
    assert!(gp.peers.is_reachable(&crate::support::name(LAB)));
    // Only that log: the hospital's goes on.
    hospital.publish(3);
    gp.holds(&hospital.log, 3).await;
}

#[tokio::test]
async fn a_bad_signature_under_a_valid_checkpoint_stops_its_log() {
    stops_only_that_log(Spoil::Signature, "BAD_SIGNATURE").await;
}

#[tokio::test]
async fn a_bad_link_under_a_valid_checkpoint_stops_its_log() {
    stops_only_that_log(Spoil::Link, "BAD_LINK").await;
}

#[tokio::test]
async fn a_header_that_is_not_canonical_under_a_valid_checkpoint_stops_its_log() {
    stops_only_that_log(Spoil::NotCanonical, "NOT_CANONICAL").await;
}

#[tokio::test]
async fn a_wrong_key_under_a_valid_checkpoint_stops_its_log() {
    stops_only_that_log(Spoil::WrongKey, "WRONG_KEY").await;
}

#[tokio::test]
async fn a_relay_that_changes_a_chunk_is_dropped_and_the_log_goes_on() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let log = Log::new(&federation, LAB, 600, None);
    // The hospital relays the laboratory's log, and flips one bit in the second chunk.
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(log.head()).await;
    hospital
        .serve(&log, |mut chunk| {
            if chunk.start == 256 {
                let mut bundle = chunk.bundle.to_vec();
                bundle[100] ^= 1;
                chunk.bundle = Bytes::from(bundle);
            }
            chunk
        })
        .await;
    let end = hospital.running.end().await;
    assert!(matches!(end, SessionEnd::PeerFault { reason: "BAD_CHUNK", .. }), "{end:?}");
    let status = gp.store.log_status(&log.id).expect("a status");
    assert_eq!((status.state, status.committed_size), (LogState::Followed, 256));
    let view = gp.peers.view(&crate::support::name(HOSPITAL)).expect("known");
    assert_eq!(view.cause, Some("BAD_CHUNK"));
    // The laboratory itself has the right bytes.
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == 600) => {}
        () = lab.serve(&log, |chunk| chunk) => panic!("the laboratory did nothing wrong"),
    }
}

#[tokio::test]
async fn a_checkpoint_that_nobody_signed_ends_the_session_and_not_the_log() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let log = Log::new(&federation, LAB, 5, None);
    let mut forged = log.head();
    let mut note = forged.checkpoint.to_vec();
    // A digit of the size: the signature is now over something else.
    let digit = note.iter().position(|byte| *byte == b'5').expect("the size");
    note[digit] = b'6';
    forged.checkpoint = note.into();
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(forged).await;
    let problem = hospital.closing_problem().await;
    assert_eq!(problem.reason, "BAD_CHECKPOINT");
    assert_eq!(problem.log_id, log.id.as_bytes()[..]);
    goes_on(&federation, &gp, &log).await;
}

#[tokio::test]
async fn a_checkpoint_of_another_key_of_its_owner_ends_the_session_and_not_the_log() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let log = Log::new(&federation, LAB, 5, None);
    // The laboratory itself, with the key that signs entries.
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head_by(TRANSACTION)).await;
    let problem = lab.closing_problem().await;
    assert_eq!(problem.reason, "BAD_CHECKPOINT");
    let end = lab.running.end().await;
    assert!(matches!(end, SessionEnd::PeerFault { reason: "BAD_CHECKPOINT", .. }), "{end:?}");
    goes_on(&federation, &gp, &log).await;
}

/// The log is followed, and comes from whoever has it right.
async fn goes_on(federation: &Federation, gp: &Gateway, log: &Log) {
    assert_eq!(gp.store.log_status(&log.id).expect("a status").state, LogState::Followed);
    let mut lab = Peer::greeting(federation, gp, LAB).await;
    lab.show(log.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == log.size()) => {}
        () = lab.serve(log, |chunk| chunk) => panic!("the laboratory does nothing wrong now"),
    }
}

#[tokio::test]
async fn a_second_gateway_of_one_member_is_told_and_nothing_of_its_log_is_taken() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let (own, relayed) =
        (Log::new(&federation, LAB, 5, None), Log::new(&federation, HOSPITAL, 3, None));
    let _first = Peer::greeting(&federation, &gp, LAB).await;
    gp.until(|gp| gp.peers.is_reachable(&crate::support::name(LAB))).await;
    // A copy of the laboratory's machine, started as often: only the instance tells the two apart.
    let mut second = Peer::silent(&gp, LAB);
    let hello = Hello { instance_id: vec![6; 16].into(), ..hello(&federation, LAB) };
    second.send(Kind::Hello(hello)).await;
    let problem = second
        .first(|kind| match kind {
            Kind::Problem(problem) => Some(problem),
            _ => None,
        })
        .await;
    assert_eq!((&*problem.reason, problem.closing), ("OLDER_START", false));
    second.show(own.head()).await;
    second.show(relayed.head()).await;
    // What others signed is taken from it all the same.
    tokio::select! {
        () = gp.until(|gp| gp.size(&relayed.id) == 3) => {}
        () = second.serve_but(&relayed, &own) => panic!("the session goes on"),
    }
    assert_eq!(gp.size(&own.id), 0);
    let view = gp.peers.view(&crate::support::name(LAB)).expect("known");
    assert!(
        view.heads_at.is_none(),
        "nothing was heard of the log from the gateway that writes it"
    );
}

/// Coverage says of a member's log how long ago its own gateway was heard. A head that nobody can judge yet, or that is
/// nobody's any more, is not heard.
#[tokio::test]
async fn a_head_that_was_not_found_good_does_not_count_as_heard() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let (own, relayed) =
        (Log::new(&federation, LAB, 5, None), Log::new(&federation, HOSPITAL, 3, None));
    let mut lab = Peer::silent(&gp, LAB);
    // By a charter that the laboratory says it has, some other key may sign its log.
    let ahead = Hello { charter_version: 2, ..hello(&federation, LAB) };
    lab.send(Kind::Hello(ahead)).await;
    lab.show(own.head_by(TRANSACTION)).await;
    lab.show(relayed.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&relayed.id) == 3) => {}
        () = lab.serve_but(&relayed, &own) => panic!("the session goes on"),
    }
    let heard =
        |gp: &Gateway| gp.peers.view(&crate::support::name(LAB)).and_then(|view| view.heads_at);
    assert!(heard(&gp).is_none());
    lab.show(own.head()).await;
    gp.until(|gp| heard(gp).is_some()).await;
}

#[tokio::test]
async fn two_roots_of_one_size_stop_the_log_as_an_equivocation() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let log = Log::new(&federation, LAB, 5, None);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == 5) => {}
        () = lab.serve(&log, |chunk| chunk) => panic!("nothing is wrong yet"),
    }
    lab.show(log.head_with(RootHash::new([9; 32]))).await;
    gp.until(|gp| {
        let state = gp.store.log_status(&log.id).expect("a status").state;
        matches!(state, LogState::Stopped { reason, .. } if reason == "EQUIVOCATION")
    })
    .await;
    let evidence = gp.store.evidence(Some(&log.id)).expect("read");
    assert_eq!(evidence.iter().map(|one| one.size()).collect::<Vec<_>>(), [Some(5)]);
}

#[tokio::test]
async fn a_tree_that_is_not_proven_to_continue_ours_stalls_the_log() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let short = Log::new(&federation, LAB, 5, None);
    // Another history with the same beginning of the name: it differs from position 3 on.
    let other = Log::new(&federation, LAB, 9, Some((3, Spoil::WrongKey)));
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(short.head()).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&short.id) == 5) => {}
        () = lab.serve(&short, |chunk| chunk) => panic!("nothing is wrong yet"),
    }
    lab.show(other.head()).await;
    let stalled = gp.until(|gp| {
        let state = gp.store.log_status(&short.id).expect("a status").state;
        matches!(state, LogState::Stalled { .. })
    });
    // It shows that its tree is another one, and nothing that would tell where they part.
    let answer_once = async {
        let mut answered = false;
        while let Some(kind) = lab.next().await {
            match kind {
                Kind::Consistency(_) if !answered => {
                    lab.answer(&[&other], kind).await;
                    answered = true;
                }
                Kind::Consistency(_) | Kind::Want(_) => {
                    let log_id = Bytes::copy_from_slice(other.id.as_bytes());
                    let reason = "NOT_HELD".to_owned();
                    lab.send(Kind::Problem(Problem { reason, log_id, ..Problem::default() })).await;
                }
                _ => {}
            }
        }
    };
    tokio::select! {
        () = stalled => {}
        () = answer_once => panic!("who is to blame is not known"),
    }
    assert_eq!(gp.size(&short.id), 5);
}

#[tokio::test]
async fn a_relay_whose_proof_leads_nowhere_is_dropped_and_the_log_is_followed() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let log = Log::new(&federation, LAB, 9, None);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head_at(5)).await;
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == 5) => {}
        () = lab.serve(&log, |chunk| chunk) => panic!("nothing is wrong yet"),
    }
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(log.head()).await;
    let asks = |kind| matches!(kind, Kind::Consistency(_)).then_some(());
    hospital.first(asks).await;
    let mut answer = log.proof(5, 9);
    let mut hashes = answer.proof.take().expect("a proof").hashes;
    hashes[0] = Bytes::from(vec![7; 32]);
    answer.proof = Some(ConsistencyProof { hashes });
    hospital.send(Kind::Consistency(answer)).await;
    assert_eq!(hospital.closing_problem().await.reason, "BAD_PROOF");
    assert_eq!(gp.store.log_status(&log.id).expect("a status").state, LogState::Followed);
}

#[tokio::test]
async fn a_longer_own_log_at_a_peer_stops_signing_until_it_is_fetched() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(2);
    // What the hospital kept: seven entries that the GP signed before its database was put back.
    let lost = Log::new(&federation, GP, 7, None);
    let hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    let mut state = gp.replication.own_log().state();
    hospital.show(lost.head()).await;
    let behind = state.wait_for(|state| matches!(state, OwnLogState::Behind(_))).await;
    let OwnLogState::Behind(stop) = behind.expect("lives").clone() else { unreachable!() };
    assert_eq!(stop.reason(), "OWN_LOG_BEHIND");
    assert!(stop.to_string().contains(HOSPITAL), "{stop}");
    assert_eq!(gp.store.signing_stop(), Some(stop));
}

#[tokio::test]
async fn another_own_log_at_a_peer_stops_signing() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(2);
    let other = Log::new(&federation, GP, 2, None);
    let hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    let mut state = gp.replication.own_log().state();
    hospital.show(other.head()).await;
    state.wait_for(|state| matches!(state, OwnLogState::Stopped(_))).await.expect("lives");
    assert_eq!(gp.store.signing_stop().map(|stop| stop.reason()), Some("OWN_LOG_DIVERGES"));
}

#[tokio::test]
async fn frames_out_of_order_or_unknown_end_the_session_with_the_reason() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let twice = hello(&federation, LAB);
    for (second, reason) in [
        (Frame { kind: Some(Kind::Hello(twice)) }, "MALFORMED_FRAME"),
        (Frame { kind: None }, "UNKNOWN_FRAME"),
    ] {
        let mut lab = Peer::greeting(&federation, &gp, LAB).await;
        lab.send_frame(second).await;
        assert_eq!(lab.closing_problem().await.reason, reason);
    }
}

#[tokio::test]
async fn more_questions_than_one_session_may_have_end_it() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(256 * 20);
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    for _ in 0..200 {
        if lab.try_want(gp.log, 0, 256 * 20).await.is_err() {
            break;
        }
    }
    let end = lab.running.end().await;
    assert!(matches!(end, SessionEnd::PeerFault { reason: "TOO_MANY_REQUESTS", .. }), "{end:?}");
}
