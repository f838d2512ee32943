//! A member that writes more than the charter allows in a day slows its own log down, and nobody else's.

use std::time::Duration;

use sundbro_gateway::replication::ReplicationSettings;
use sundbro_ledger::charter::CharterLimits;
use sundbro_ledger::ids::MemberName;

use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, connect};

/// Less than one bundle of entries comes to.
const LIMIT: u64 = 10_000;
/// Four bundles.
const FLOOD: u64 = 1_024;

fn limited(federation: &mut Federation, gateways: &[&Gateway], max_log_bytes_per_day: u64) {
    let limits = CharterLimits {
        written_max_format: 1,
        written_max_log_bytes_per_day: max_log_bytes_per_day,
    };
    let charter = federation.publish(|draft| draft.set_limits(limits));
    gateways.iter().for_each(|gateway| gateway.follow(&charter));
}

fn is_held_back(gateway: &Gateway, member: &MemberName) -> bool {
    gateway.peers.view(member).is_some_and(|view| view.held_back)
}

async fn hears(gateway: &Gateway, member: &MemberName) {
    let heard = |gateway: &Gateway| gateway.peers.view(member)?.heads_at;
    gateway.until(|gateway| heard(gateway).is_some()).await;
}

#[tokio::test]
async fn a_flood_slows_its_own_log_alone_until_there_is_room() {
    let mut federation = Federation::found();
    let hour =
        |settings| ReplicationSettings { growth_period: Duration::from_secs(3_600), ..settings };
    let gp = Gateway::with(&federation, GP, hour);
    let (flooder, lab) = (Gateway::new(&federation, HOSPITAL), Gateway::new(&federation, LAB));
    limited(&mut federation, &[&gp, &flooder, &lab], LIMIT);
    let _running = (connect(&gp, &flooder), connect(&gp, &lab));
    hears(&gp, &flooder.member).await;
    hears(&gp, &lab.member).await;

    flooder.publish(FLOOD);
    gp.until(|gp| is_held_back(gp, &flooder.member)).await;
    let taken = gp.size(&flooder.log);
    assert!(taken < FLOOD, "{taken}");
    // What others write comes at once, tail by tail.
    for size in 1..=5 {
        lab.publish(1);
        gp.holds(&lab.log, size).await;
    }
    assert!(!is_held_back(&gp, &lab.member));
    // Nor does what the flooder goes on pushing come in by another door.
    flooder.publish(1);
    let newest =
        |gp: &Gateway| gp.store.log_status(&flooder.log).expect("a status").newest_seen_size;
    gp.until(|gp| newest(gp) == FLOOD + 1).await;
    assert_eq!(gp.size(&flooder.log), taken, "nothing of it was taken meanwhile");
    assert!(is_held_back(&gp, &flooder.member));

    // Nothing of it was judged: with a wider limit all of it is taken.
    limited(&mut federation, &[&gp, &flooder, &lab], 1 << 30);
    gp.holds(&flooder.log, FLOOD + 1).await;
    gp.until(|gp| !is_held_back(gp, &flooder.member)).await;
}

#[tokio::test]
async fn what_was_held_back_comes_as_the_day_goes_on() {
    let mut federation = Federation::found();
    let short =
        |settings| ReplicationSettings { growth_period: Duration::from_millis(100), ..settings };
    let gp = Gateway::with(&federation, GP, short);
    let flooder = Gateway::new(&federation, HOSPITAL);
    limited(&mut federation, &[&gp, &flooder], LIMIT);
    let _running = connect(&gp, &flooder);
    hears(&gp, &flooder.member).await;
    flooder.publish(FLOOD);
    gp.until(|gp| is_held_back(gp, &flooder.member)).await;
    gp.holds(&flooder.log, FLOOD).await;
}

#[tokio::test]
async fn whoever_joins_late_is_not_held_up_by_what_was_there() {
    let mut federation = Federation::found();
    let (gp, hospital) = (Gateway::new(&federation, GP), Gateway::new(&federation, HOSPITAL));
    limited(&mut federation, &[&gp, &hospital], LIMIT);
    hospital.publish(FLOOD);
    let _running = connect(&gp, &hospital);
    gp.holds(&hospital.log, FLOOD).await;
    assert!(!is_held_back(&gp, &hospital.member));
}
