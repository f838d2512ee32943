//! What a change of files or charter closes, and what it leaves open.

use std::time::Duration;

use sundbro_gateway::client::{DialError, channel};
use sundbro_gateway::dial_cause::DialCause;
use sundbro_gateway::tls::{Standing, TlsError, watch_files};
use tokio_util::sync::CancellationToken;

use crate::support::{Ca, Leaf, eventually, member, tls};
use crate::world::{CLINIC, HOSPITAL, KOMMUNE, World, call, eventually_served, presented};

#[tokio::test]
async fn revocation_closes_the_revoked_peer_and_nobody_else() {
    let mut list = None;
    let world = World::with_hospital(|ca| {
        list = Some(ca.revoke("ca.crl", &[]));
        let mut files = ca.issue(&Leaf { serial: 9, ..Leaf::of(HOSPITAL) });
        files.crls.extend(list.clone());
        files
    })
    .await;
    let kommune = world.kommune();
    let kommune_channel = channel(kommune.clone(), world.target()).expect("channel");
    let clinic = world.caller(&Leaf { serial: 2, ..Leaf::of(CLINIC) });
    let clinic_channel = channel(clinic.clone(), world.target()).expect("channel");
    call(&kommune_channel).await.expect("served");
    call(&clinic_channel).await.expect("served");

    world.ca.revoke("ca.crl", &[1]);
    assert_eq!(world.hospital.reload().expect("reload"), 1);

    eventually("the revoked connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    // The clinic's connection is the same one still.
    assert_eq!(world.hospital.connections().count_of(&member(CLINIC)), 1);
    assert_eq!(call(&clinic_channel).await.expect("still served"), CLINIC);
    assert_eq!(world.hospital.connections().count_of(&member(CLINIC)), 1);
    // The revoked peer does not come back, and learns why.
    eventually("the peer notices", || kommune.connections().count() == 0).await;
    let status = call(&kommune_channel).await.expect_err("revoked");
    let error = DialError::in_status(&status).expect("a dial error");
    assert_eq!(error.cause, DialCause::OwnCertificateRefused);
}

#[tokio::test]
async fn a_list_that_cannot_be_used_keeps_no_suspended_member_connected() {
    let mut list = None;
    let world = World::with_hospital(|ca| {
        list = Some(ca.revoke("ca.crl", &[7]));
        let mut files = ca.issue(&Leaf { serial: 9, ..Leaf::of(HOSPITAL) });
        files.crls.extend(list.clone());
        files
    })
    .await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    let clinic = channel(world.caller(&Leaf::of(CLINIC)), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    call(&clinic).await.expect("served");
    // It reads as a list, of a version that no verifier takes; and the charter names a CA that is none.
    Ca::spoil_version(&list.expect("a list"));
    world.book.trust_nonsense();
    world.book.set(KOMMUNE, Standing::Suspended);
    assert!(matches!(world.hospital.reload(), Err(TlsError::Trust(_))));
    eventually("the suspended member's connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    assert_eq!(call(&clinic).await.expect("still served"), CLINIC);
    // What the earlier list revokes stays revoked.
    let revoked = world.caller(&Leaf { serial: 7, ..Leaf::of(CLINIC) });
    let revoked = channel(revoked, world.target()).expect("channel");
    call(&revoked).await.expect_err("revoked");
}

#[tokio::test]
async fn a_caller_sees_that_the_server_is_revoked_and_hangs_up() {
    let world = World::new().await;
    let mut files = world.ca.issue(&Leaf { serial: 9, ..Leaf::of(KOMMUNE) });
    files.crls.push(world.ca.revoke("ca.crl", &[]));
    let kommune = tls(KOMMUNE, files, &world.book);
    let channel = channel(kommune.clone(), world.target()).expect("channel");
    call(&channel).await.expect("served");
    world.ca.revoke("ca.crl", &[1]);
    assert_eq!(kommune.reload().expect("reload"), 1);
    eventually("the connection ends", || kommune.connections().count() == 0).await;
    let status = call(&channel).await.expect_err("revoked");
    let error = DialError::in_status(&status).expect("a dial error");
    assert_eq!(error.cause, DialCause::PeerCertificateRevoked);
}

#[tokio::test]
async fn a_change_of_standing_or_trust_closes_that_members_connections() {
    let world = World::new().await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    let clinic = channel(world.caller(&Leaf::of(CLINIC)), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    call(&clinic).await.expect("served");

    world.book.set(KOMMUNE, Standing::Suspended);
    assert_eq!(world.hospital.reload().expect("reload"), 1);
    eventually("the suspended member's connection ends", || {
        world.hospital.connections().count_of(&member(KOMMUNE)) == 0
    })
    .await;
    assert_eq!(call(&clinic).await.expect("still served"), CLINIC);
    // TLS lets it in again: it must learn the charter that suspends it.
    eventually_served(&kommune).await;

    world.book.trust_nobody();
    assert_eq!(world.hospital.reload().expect("reload"), 2);
    eventually("every connection ends", || world.hospital.connections().count() == 0).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_restart_and_closes_nothing() {
    let world = World::new().await;
    let kommune = world.kommune();
    let first = channel(kommune.clone(), world.target()).expect("channel");
    call(&first).await.expect("served");
    let before = presented(&world).await;

    // A half-done renewal: key and certificate do not fit. What was there stays in use.
    std::fs::write(world.folder.path().join(format!("{HOSPITAL}.key")), "").expect("write");
    assert!(matches!(world.hospital.reload(), Err(TlsError::Malformed { .. })));
    assert_eq!(presented(&world).await, before);

    world.ca.issue(&Leaf { serial: 7, ..Leaf::of(HOSPITAL) });
    assert_eq!(world.hospital.reload().expect("reload"), 0);
    assert_ne!(presented(&world).await, before);
    call(&first).await.expect("the old connection goes on");
    assert_eq!(kommune.connections().count(), 1);
}

#[tokio::test]
async fn a_broken_file_does_not_keep_a_suspended_member_connected() {
    let world = World::new().await;
    let kommune = channel(world.kommune(), world.target()).expect("channel");
    call(&kommune).await.expect("served");
    std::fs::write(world.folder.path().join(format!("{HOSPITAL}.pem")), "nonsense").expect("write");
    world.book.set(KOMMUNE, Standing::Left);
    assert!(world.hospital.reload().is_err());
    eventually("the connection ends", || world.hospital.connections().count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_file_is_noticed() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    let mut changes = world.hospital.changes();
    let watching = tokio::spawn(watch_files(world.hospital.clone(), stop.clone()));
    let before = presented(&world).await;
    let noticed = async {
        loop {
            // Again and again, since the watch may not have begun with the first.
            world.ca.issue(&Leaf { serial: 7, ..Leaf::of(HOSPITAL) });
            let soon = tokio::time::timeout(Duration::from_millis(200), changes.changed()).await;
            if soon.is_ok() && presented(&world).await != before {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("noticed");
    stop.cancel();
    watching.await.expect("ends");
}
