//! A charter version that stands twice, and how gateways that followed one head or the other go on together.

use sundbro_ledger::charter::{Charter, CharterLimits};
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::history::Offered;
use sundbro_ledger::ids::RootHash;
use sundbro_store::LogState;

use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect};

/// Three stewards, one of whom signed both heads of version 2; and what the other two say.
fn forked() -> (Federation, [Charter; 2], Charter) {
    let federation = Federation::governed_by(3, &[GP, HOSPITAL, LAB]);
    let limits =
        |bytes| CharterLimits { written_max_format: 1, written_max_log_bytes_per_day: bytes };
    let (mut one, mut other) = (federation.clone(), federation.clone());
    let a = one.publish_by(&[0, 1], |draft| draft.set_limits(limits(1 << 30)));
    let b = other.publish_by(&[1, 2], |draft| draft.set_limits(limits(1 << 31)));
    let mut history = federation.history.clone();
    for head in [&a, &b] {
        let _ = history.offer(head.clone()).expect("valid");
    }
    let healing = federation.sign(Draft::heal(&history).expect("a fork"), &[0, 2]);
    (federation, [a, b], healing)
}

fn state(gateway: &Gateway, of: &Gateway) -> LogState {
    gateway.store.log_status(&of.log).expect("a status").state
}

fn root(gateway: &Gateway) -> RootHash {
    gateway.store.index_roots().expect("roots").index_root
}

#[tokio::test]
async fn gateways_on_both_sides_of_a_fork_go_on_together_when_it_is_healed() {
    let (federation, [a, b], healing) = forked();
    let gp = Gateway::new(&federation, GP);
    gp.publish(2);
    gp.follow(&a);
    gp.publish(3);
    let hospital = Gateway::new(&federation, HOSPITAL);
    hospital.follow(&b);
    hospital.publish(1);
    let _running = connect(&gp, &hospital);
    let waits = |position| LogState::Waiting { position, reason: "CHARTER_VERSION_MISSING".into() };
    for gateway in [&gp, &hospital] {
        gateway.until(|one| state(one, &gp) == waits(2) && state(one, &hospital) == waits(0)).await;
    }

    let offered = hospital.charter.offer(&healing.to_wire()).expect("a valid charter");
    assert_eq!(offered, Offered::Accepted);
    for gateway in [&gp, &hospital] {
        gateway.until(|one| one.charter.version() == 3).await;
        gateway.holds(&gp.log, 5).await;
        gateway.holds(&hospital.log, 1).await;
        gateway
            .until(|one| [&gp, &hospital].iter().all(|of| state(one, of) == LogState::Followed))
            .await;
    }
    assert_eq!(root(&gp), root(&hospital));
    gp.publish(1);
    hospital.holds(&gp.log, 6).await;

    // Whoever comes later learns all of it at once, and ends alike.
    let lab = Gateway::new(&federation, LAB);
    let _running = connect(&gp, &lab);
    lab.holds(&gp.log, 6).await;
    assert_eq!((lab.charter.version(), lab.charter.history().charters().count()), (3, 4));
}

// Its peer follows one head, and says that it follows version 2: what heals it is given all the same.
#[tokio::test]
async fn a_gateway_that_saw_one_head_only_gets_the_other_and_what_healed_them() {
    let (federation, [a, b], healing) = forked();
    let gp = Gateway::new(&federation, GP);
    gp.follow(&a);
    let mut on_a = Federation::clone(&federation);
    let _ = on_a.history.offer(a.clone()).expect("valid");
    for _ in 0..3 {
        let next = on_a.publish(|draft| draft.set_quorums(1, 2));
        gp.follow(&next);
    }
    assert_eq!(gp.charter.version(), 5);
    let hospital = Gateway::new(&federation, HOSPITAL);
    hospital.follow(&a);
    for (charter, becomes) in [(&b, None), (&healing, Some(Offered::Accepted))] {
        let offered = hospital.charter.offer(&charter.to_wire()).expect("valid");
        assert!(becomes.is_none_or(|becomes| becomes == offered), "{offered:?}");
    }
    let _running = connect(&gp, &hospital);
    gp.until(|gp| gp.charter.version() == 3).await;
    assert_eq!(gp.charter.history().current().digest(), healing.digest());
    assert_eq!(hospital.charter.version(), 3);
}

#[tokio::test]
async fn what_was_healed_is_healed_after_a_restart() {
    let (federation, [a, b], healing) = forked();
    let gp = Gateway::new(&federation, GP);
    for charter in [&a, &b, &healing] {
        let _ = gp.charter.offer(&charter.to_wire()).expect("valid");
    }
    let again =
        sundbro_gateway::charter_book::CharterBook::open(gp.store.clone(), &federation.id());
    assert_eq!(*again.expect("it starts").history(), *gp.charter.history());
}
