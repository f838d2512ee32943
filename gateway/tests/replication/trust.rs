//! Who may take part: protocol, charter, suspension, subject keys.

use std::time::Duration;

use prost::Message as _;
use sundbro_gateway::replication::{ReplicationSettings, SessionEnd};
use sundbro_ledger::charter::{CharterHead, CharterLimits};
use sundbro_ledger::history::Offered;
use sundbro_ledger::subject::key_commitment;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Head, Hello};
use sundbro_proto::ledger::v1;
use sundbro_store::LogState;

use crate::script::{Peer, hello};
use crate::support::{
    CHECKPOINT, Federation, GP, Gateway, HOSPITAL, LAB, TRANSACTION, connect, name, subject_key,
};

#[tokio::test]
async fn says_who_must_upgrade_when_no_protocol_is_common() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::silent(&gp, LAB);
    let newer = Hello { protocol_min: 2, protocol_max: 4, ..hello(&federation, LAB) };
    lab.send(Kind::Hello(newer)).await;
    let problem = lab.closing_problem().await;
    assert_eq!(problem.reason, "PROTOCOL_MISMATCH");
    assert!(problem.message.starts_with("gp.example must upgrade"), "{}", problem.message);
    gp.until(|gp| {
        let cause = gp.peers.view(&name(LAB)).and_then(|view| view.cause);
        cause == Some("PROTOCOL_MISMATCH")
    })
    .await;
}

#[tokio::test]
async fn a_peer_without_hello_is_dropped() {
    let federation = Federation::found();
    let quick =
        |settings| ReplicationSettings { hello_timeout: Duration::from_millis(1), ..settings };
    let gp = Gateway::with(&federation, GP, quick);
    let mut lab = Peer::silent(&gp, LAB);
    assert_eq!(lab.closing_problem().await.reason, "PEER_SILENT");
}

#[tokio::test]
async fn hello_of_another_member_than_the_certificate_names_is_refused() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::silent(&gp, LAB);
    lab.send(Kind::Hello(hello(&federation, HOSPITAL))).await;
    assert_eq!(lab.closing_problem().await.reason, "OTHER_MEMBER");
}

#[tokio::test]
async fn a_charter_spreads_to_who_is_behind_at_hello_and_later() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    let second = federation.publish(|draft| draft.set_quorums(1, 2));
    gp.follow(&second);
    let _running = connect(&gp, &hospital);
    hospital.until(|hospital| hospital.charter.version() == 2).await;
    let third = federation.publish(|draft| draft.set_quorums(2, 1));
    hospital.follow(&third);
    gp.until(|gp| gp.charter.version() == 3).await;
    let stored = gp.store.charters().expect("charters");
    assert_eq!(stored.len(), 3, "durable before it is in force");
}

#[tokio::test]
async fn a_suspended_peer_gets_the_charter_and_then_nothing() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let lab = Gateway::new(&federation, LAB);
    gp.publish(1);
    let (ours, theirs) = connect(&gp, &lab);
    lab.holds(&gp.log, 1).await;
    let second = federation.publish(|draft| {
        let commit = |epoch| key_commitment(epoch, &subject_key(epoch));
        draft.suspend(&name(LAB), commit).expect("a member");
    });
    gp.follow(&second);
    let (ours, theirs) = (ours.end().await, theirs.end().await);
    assert!(matches!(ours, SessionEnd::PeerNotActive), "{ours:?}");
    assert_eq!(theirs.cause(), "MEMBER_NOT_ACTIVE");
    lab.until(|lab| lab.charter.version() == 2).await;
    // It may call again, and learns no more than that.
    gp.publish(1);
    let mut again = Peer::greeting(&federation, &gp, LAB).await;
    assert!(matches!(again.next().await, Some(Kind::Hello(_))));
    let Some(Kind::Problem(problem)) = again.next().await else { panic!("a Problem") };
    assert!(problem.closing);
    assert_eq!(problem.reason, "MEMBER_NOT_ACTIVE");
    assert!(again.next().await.is_none());
}

#[tokio::test]
async fn a_suspended_peer_that_missed_the_charter_gets_it_before_the_problem() {
    let mut federation = Federation::found();
    let old = hello(&federation, LAB);
    let second = federation.publish(|draft| {
        draft.suspend(&name(LAB), |epoch| [epoch as u8; 32]).expect("a member");
    });
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::silent(&gp, LAB);
    lab.send(Kind::Hello(old)).await;
    assert!(matches!(lab.next().await, Some(Kind::Hello(_))));
    let Some(Kind::Charter(frame)) = lab.next().await else { panic!("a charter") };
    assert_eq!(frame.charters, [second.to_wire()]);
    assert_eq!(lab.closing_problem().await.reason, "MEMBER_NOT_ACTIVE");
}

#[tokio::test]
async fn a_key_that_is_taken_back_ends_its_log_for_who_had_more_and_for_who_comes_later() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(20);
    let _first = connect(&gp, &hospital);
    hospital.holds(&gp.log, 20).await;
    let second =
        federation.publish(|draft| draft.close_key(&name(GP), TRANSACTION, 12).expect("a key"));
    hospital.follow(&second);
    // It had the charter before it saw an entry.
    let lab = Gateway::new(&federation, LAB);
    let _second = connect(&hospital, &lab);
    let end = LogState::Stopped { position: 12, reason: "WRONG_KEY".to_owned() };
    for gateway in [&gp, &hospital, &lab] {
        gateway
            .until(|gateway| {
                let counts = gateway.store.index_counts(&gp.log).expect("counts");
                let state = gateway.store.log_status(&gp.log).expect("a status").state;
                state == end && counts.indexed_size == 12 && counts.missing_blobs == 0
            })
            .await;
    }
    let [one, other, late] = [&gp, &hospital, &lab].map(|gateway| gateway.size(&gp.log));
    assert_eq!((one, other, late), (20, 20, 12), "what was taken stays, as evidence");
    let roots = [&gp, &hospital, &lab]
        .map(|gateway| gateway.store.index_roots().expect("roots").index_root);
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    assert_eq!(gp.store.signing_stop().map(|stop| stop.reason()), Some("OWN_LOG_REVOKED"));
}

#[tokio::test]
async fn a_checkpoint_key_that_is_taken_back_parts_nobody() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(20);
    let (ours, theirs) = connect(&gp, &hospital);
    hospital.holds(&gp.log, 20).await;
    let old = gp.store.checkpoint(&gp.log).expect("read").expect("a checkpoint");
    let second =
        federation.publish(|draft| draft.close_key(&name(GP), CHECKPOINT, 12).expect("a key"));
    for gateway in [&gp, &hospital] {
        gateway.follow(&second);
        assert_eq!(gateway.store.newest_seen(&gp.log).expect("read"), None);
        assert_eq!(gateway.size(&gp.log), 20, "its entries are as good as before");
    }
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
    // Whoever still shows it is not at fault, and the others hear of each other's news.
    let mut lab = Peer::greeting(&federation, &hospital, LAB).await;
    let log_id = gp.log.as_bytes().to_vec().into();
    lab.show(Head { log_id, checkpoint: old.note }).await;
    let _again = connect(&gp, &hospital);
    hospital.publish(3);
    gp.holds(&hospital.log, 3).await;
    lab.first(|kind| matches!(kind, Kind::Heads(_)).then_some(())).await;
    assert!(hospital.peers.is_reachable(&name(LAB)));
    assert_eq!(hospital.store.newest_seen(&gp.log).expect("read"), None);
}

#[tokio::test]
async fn a_member_whose_checkpoints_may_not_be_shown_is_not_taken_for_one_without_entries() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(20);
    let second =
        federation.publish(|draft| draft.close_key(&name(GP), CHECKPOINT, 12).expect("a key"));
    gp.follow(&second);
    let lab = Gateway::new(&federation, LAB);
    let _running = connect(&gp, &lab);
    lab.publish(1);
    gp.holds(&lab.log, 1).await;
    let view = lab.peers.view(&gp.member).expect("connected");
    assert!(view.reachable && view.heads_at.is_none(), "there may be entries: {view:?}");
}

#[tokio::test]
async fn what_was_signed_with_a_checkpoint_key_that_has_ended_still_stops_a_second_signing() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.publish(20);
    let (ours, theirs) = connect(&gp, &hospital);
    hospital.holds(&gp.log, 20).await;
    ours.stop.cancel();
    ours.end().await;
    theirs.end().await;
    let second =
        federation.publish(|draft| draft.close_key(&name(GP), CHECKPOINT, 12).expect("a key"));
    hospital.follow(&second);
    // Put back from before the first entry: nobody may show it its own log any more but to itself.
    let restored = Gateway::new(&federation, GP);
    let _running = connect(&restored, &hospital);
    restored.until(|gp| gp.store.signing_stop().is_some()).await;
    let stop = restored.store.signing_stop().expect("stopped");
    assert_eq!(stop.reason(), "OWN_LOG_BEHIND");
}

#[tokio::test]
async fn of_a_charter_that_does_not_follow_ours_nothing_is_kept() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let mut other = federation.history.current().to_wire();
    let mut head = v1::CharterHead::decode(&other.head[..]).expect("a head");
    (head.version, head.previous) = (2, vec![vec![9; 32].into()]);
    other.head = head.encode_to_vec().into();
    other.signatures.clear();
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.charter(other.clone()).await;
    let hospital = Gateway::new(&federation, HOSPITAL);
    let _running = connect(&gp, &hospital);
    hospital.publish(1);
    gp.holds(&hospital.log, 1).await;
    let offered =
        gp.charter.offer(&other).expect("no fault is found before the one before is known");
    assert_eq!(offered, Offered::OtherBranch { fetch: 1 });
    assert_eq!(gp.store.charters().expect("charters").len(), 1);
}

#[tokio::test]
async fn a_charter_that_stands_twice_takes_back_what_named_it() {
    let federation = Federation::found();
    let (mut one, mut other) = (federation.clone(), federation.clone());
    let limits =
        |bytes| CharterLimits { written_max_format: 1, written_max_log_bytes_per_day: bytes };
    let a = one.publish(|draft| draft.set_limits(limits(1)));
    let b = other.publish(|draft| {
        draft.set_limits(limits(2));
        draft.close_key(&name(HOSPITAL), TRANSACTION, 1).expect("a key");
    });
    // One gateway appended under one of the two; one learns of both first.
    let gp = Gateway::new(&federation, GP);
    gp.publish(2);
    gp.follow(&a);
    gp.publish(3);
    let hospital = Gateway::new(&federation, HOSPITAL);
    hospital.publish(2);
    hospital.follow(&b);
    let stopped = hospital.store.log_status(&hospital.log).expect("a status").state;
    assert_eq!(stopped, LogState::Stopped { position: 1, reason: "WRONG_KEY".to_owned() });
    // Each says that it follows version 2, and that it is another one shows only when they give it to each other.
    let _running = connect(&gp, &hospital);
    for gateway in [&gp, &hospital] {
        gateway.until(|gateway| gateway.charter.history().forked_version() == Some(2)).await;
    }
    let waits = LogState::Waiting { position: 2, reason: "CHARTER_VERSION_MISSING".to_owned() };
    for gateway in [&gp, &hospital] {
        gateway
            .until(|gateway| {
                let state = |log| gateway.store.log_status(log).expect("a status").state;
                let counts = |log| gateway.store.index_counts(log).expect("counts");
                state(&gp.log) == waits
                    && state(&hospital.log) == LogState::Followed
                    && [&gp.log, &hospital.log].iter().all(|log| {
                        let counts = counts(log);
                        counts.indexed_size == 2 && counts.missing_blobs == 0
                    })
            })
            .await;
    }
    let root = |gateway: &Gateway| gateway.store.index_roots().expect("roots").index_root;
    assert_eq!(root(&gp), root(&hospital));
}

#[tokio::test]
async fn a_charter_that_stands_twice_is_given_once() {
    let federation = Federation::found();
    let (mut one, mut other) = (federation.clone(), federation.clone());
    let a = one.publish(|draft| draft.set_quorums(1, 2));
    let b = other.publish(|draft| draft.set_quorums(2, 1));
    let often =
        |settings| ReplicationSettings { heads_interval: Duration::from_millis(10), ..settings };
    let gp = Gateway::with(&federation, GP, often);
    gp.follow(&a);
    let offered = gp.charter.offer(&b.to_wire()).expect("valid");
    assert!(matches!(offered, Offered::Fork(_)), "{offered:?}");
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    let (mut heads, mut charters) = (0, Vec::new());
    while heads < 5 {
        match lab.next().await.expect("the session goes on") {
            Kind::Heads(_) => heads += 1,
            Kind::Charter(frame) => charters.extend(frame.charters),
            _ => {}
        }
    }
    // The one in force too: a peer of the same version may follow another one.
    let version =
        |charter: &v1::Charter| CharterHead::parse(&charter.head).expect("a head").version;
    let given: Vec<u64> = charters.iter().map(version).collect();
    assert_eq!(given, [2, 2, 1], "each of the two, and not with every heads frame");
    assert_ne!(charters[0], charters[1]);
}

#[tokio::test]
async fn a_reinstated_peer_brings_the_charter_that_lets_it_in() {
    let mut federation = Federation::found();
    federation.publish(|draft| {
        draft.suspend(&name(LAB), |epoch| [epoch as u8; 32]).expect("a member");
    });
    let gp = Gateway::new(&federation, GP);
    federation.publish(|draft| draft.reinstate(&name(LAB)).expect("a member"));
    let lab = Gateway::new(&federation, LAB);
    lab.publish(2);
    let _running = connect(&gp, &lab);
    gp.holds(&lab.log, 2).await;
    assert_eq!(gp.charter.version(), 3);
}

#[tokio::test]
async fn subject_keys_are_given_to_who_lacks_them() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let hospital = Gateway::new(&federation, HOSPITAL);
    gp.subjects.insert(1, subject_key(1)).expect("written");
    let _running = connect(&gp, &hospital);
    hospital.until(|hospital| hospital.subjects.get(1).is_some()).await;
    let key = hospital.subjects.get(1).expect("there");
    assert_eq!(key.expose(), subject_key(1).expose());
    // A new epoch: its key comes once the charter and the key are at the giver.
    let second = federation.publish(|draft| {
        draft.add_subject_epoch(|epoch| key_commitment(epoch, &subject_key(epoch)));
    });
    gp.subjects.insert(2, subject_key(2)).expect("written");
    gp.follow(&second);
    hospital.until(|hospital| hospital.subjects.get(2).is_some()).await;
    assert!(hospital.folder().join("subject-epoch-2.key").exists());
}

/// The key of the epoch that a suspension starts may be here before the charter that says so.
#[tokio::test]
async fn a_suspended_peer_is_not_given_the_key_of_the_new_epoch() {
    // Whether keys are given before the session ends is a matter of chance: it is tried more than once.
    for _ in 0..8 {
        let mut federation = Federation::found();
        let gp = Gateway::new(&federation, GP);
        gp.subjects.insert(2, subject_key(2)).expect("written");
        let mut lab = Peer::greeting(&federation, &gp, LAB).await;
        lab.first(|kind| matches!(kind, Kind::Heads(_)).then_some(())).await;
        let commit = |epoch| key_commitment(epoch, &subject_key(epoch));
        let second = federation.publish(|draft| {
            draft.suspend(&name(LAB), commit).expect("a member");
        });
        gp.follow(&second);
        while let Some(kind) = lab.next().await {
            assert!(!matches!(kind, Kind::KeyGrant(_)), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_subject_key_is_refused_and_its_giver_dropped() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.grant(&federation, GP, 1, &subject_key(9)).await;
    assert_eq!(lab.closing_problem().await.reason, "BAD_KEY_GRANT");
    assert!(gp.subjects.get(1).is_none());
}

#[tokio::test]
async fn a_charter_that_no_steward_signed_ends_the_session() {
    let mut federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let mut second = federation.publish(|draft| draft.set_quorums(1, 2)).to_wire();
    let mut signature = second.signatures[0].signature.to_vec();
    signature[3] ^= 1;
    second.signatures[0].signature = signature.into();
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.charter(second).await;
    assert_eq!(lab.closing_problem().await.reason, "BAD_CHARTER");
    assert_eq!(gp.charter.version(), 1);
}

#[test]
fn docs_errors_lists_every_reason_of_a_problem_in_order() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let page = std::fs::read_to_string(page).expect("docs/errors.md");
    let (_, section) = page.split_once("## Between gateways").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let listed: Vec<_> =
        section.lines().filter_map(|line| line.strip_prefix("- `")?.split('`').next()).collect();
    assert_eq!(listed, sundbro_gateway::replication::reasons::ALL);
}
