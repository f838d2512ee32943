//! Who may take part: protocol, charter, suspension, subject keys.

use std::time::Duration;

use sundbro_gateway::replication::{ReplicationSettings, SessionEnd};
use sundbro_ledger::subject::key_commitment;
use sundbro_proto::federation::v1::Hello;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::LogState;

use crate::script::{Peer, hello};
use crate::support::{
    Federation, GP, Gateway, HOSPITAL, LAB, TRANSACTION, connect, name, subject_key,
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
