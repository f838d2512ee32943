//! A member that signed two histories of its log: gateways that hold one or the other find where they part, tell
//! everybody, and go on together when the charter says with which.

use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::evidence::{Contradiction, Evidence};
use sundbro_proto::federation::v1::EvidenceFrame;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_store::LogState;

use crate::script::{Log, Peer, Spoil};
use crate::support::{CHECKPOINT, Federation, GP, Gateway, HOSPITAL, LAB, connect, key};

/// Where the laboratory's two histories part.
const PARTING: u64 = 5;

/// Lets a gateway fetch all of a log from its author.
async fn give(federation: &Federation, gateway: &Gateway, log: &Log) {
    let mut lab = Peer::greeting(federation, gateway, LAB).await;
    lab.show(log.head()).await;
    tokio::select! {
        () = gateway.until(|one| one.size(&log.id) == log.size()) => {}
        () = lab.serve(log, |chunk| chunk) => panic!("nothing is wrong yet"),
    }
}

fn state(gateway: &Gateway, log: &Log) -> LogState {
    gateway.store.log_status(&log.id).expect("a status").state
}

fn stopped(reason: &str) -> LogState {
    LogState::Stopped { position: PARTING, reason: reason.to_owned() }
}

fn evidence(gateway: &Gateway, log: &Log) -> Vec<Evidence> {
    gateway.store.evidence(Some(&log.id)).expect("read")
}

/// The branch that a log is.
fn branch(log: &Log) -> LogBranch {
    let note = UnverifiedCheckpoint::parse(&log.head().checkpoint).expect("a note");
    LogBranch { log_id: log.id, size: note.size(), root: *note.root() }
}

/// GP and hospital, each with one history.
async fn apart(federation: &Federation, one: &Log, other: &Log) -> (Gateway, Gateway) {
    let (gp, hospital) = (Gateway::new(federation, GP), Gateway::new(federation, HOSPITAL));
    give(federation, &gp, one).await;
    give(federation, &hospital, other).await;
    (gp, hospital)
}

#[tokio::test]
async fn two_gateways_find_where_the_histories_part_and_a_third_learns_it() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 13, (PARTING, 2));
    let (gp, hospital) = apart(&federation, &one, &other).await;
    let _running = connect(&gp, &hospital);
    for gateway in [&gp, &hospital] {
        gateway.until(|gateway| state(gateway, &one) == stopped("LOST_TAIL")).await;
    }
    assert_eq!(evidence(&gp, &one), evidence(&hospital, &one));
    let [found] = &evidence(&gp, &one)[..] else { panic!("one contradiction") };
    assert!(matches!(found.contradiction(), Contradiction::Entries(_)));
    // What lies below is kept, and was all that counted.
    let indexed = |gateway: &Gateway| gateway.store.index_counts(&one.id).expect("counts");
    for gateway in [&gp, &hospital] {
        gateway.until(|gateway| indexed(gateway).indexed_size == PARTING).await;
    }

    let lab = Gateway::new(&federation, LAB);
    let _running = connect(&gp, &lab);
    // Whoever signed twice signs no more.
    lab.until(|lab| !evidence(lab, &one).is_empty() && lab.store.signing_stop().is_some()).await;
}

// Their roots convict, and do not tell where: what lies above would keep its effect.
#[tokio::test]
async fn two_histories_of_one_size_are_taken_back_from_where_they_part() {
    for size in [PARTING + 1, 9, 300] {
        let federation = Federation::found();
        let one = Log::new(&federation, LAB, size, None);
        let other = Log::parting(&federation, LAB, size, (PARTING, 2));
        let (gp, hospital) = apart(&federation, &one, &other).await;
        let _running = connect(&gp, &hospital);
        for gateway in [&gp, &hospital] {
            gateway.until(|gateway| state(gateway, &one) == stopped("LOST_TAIL")).await;
            let parted = gateway.store.parted(&one.id, &*gateway.charter).expect("read");
            assert_eq!(parted.and_then(|parted| parted.at), Some(PARTING), "{size}");
            let counts = |gateway: &Gateway| gateway.store.index_counts(&one.id).expect("counts");
            gateway.until(|gateway| counts(gateway).indexed_size == PARTING).await;
        }
    }
}

#[tokio::test]
async fn histories_of_which_one_is_not_valid_part_by_their_trees() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::new(&federation, LAB, 300, Some((PARTING, Spoil::WrongKey)));
    let gp = Gateway::new(&federation, GP);
    give(&federation, &gp, &one).await;
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(other.head()).await;
    tokio::select! {
        () = gp.until(|gp| state(gp, &one) == stopped("EQUIVOCATION")) => {}
        () = lab.serve(&other, |chunk| chunk) => panic!("the member is to blame, not the peer"),
    }
    let [found] = &evidence(&gp, &one)[..] else { panic!("one contradiction") };
    assert!(matches!(found.contradiction(), Contradiction::Trees { position: PARTING, .. }));
}

/// Its root convinces us alone: were we to stop for it, we would stop where nobody else does.
#[tokio::test]
async fn a_shorter_history_stops_a_log_once_somebody_shows_its_entries() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 7, (PARTING, 2));
    let gp = Gateway::new(&federation, GP);
    give(&federation, &gp, &one).await;
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(other.head()).await;
    let shows = |chunk| {
        assert_eq!(state(&gp, &one), LogState::Followed);
        chunk
    };
    tokio::select! {
        () = gp.until(|gp| !evidence(gp, &one).is_empty()) => {}
        () = hospital.serve(&other, shows) => panic!("the peer is not to blame"),
    }
    gp.until(|gp| state(gp, &one) == stopped("LOST_TAIL")).await;
}

#[tokio::test]
async fn a_pushed_entry_that_contradicts_ours_convicts() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 9, (PARTING, 1));
    let gp = Gateway::new(&federation, GP);
    give(&federation, &gp, &one).await;
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    let mut tail = other.chunk(0, 9);
    tail.checkpoint = other.head().checkpoint;
    lab.send(Kind::Chunk(tail)).await;
    gp.until(|gp| state(gp, &one) == stopped("EQUIVOCATION")).await;
}

#[tokio::test]
async fn of_what_comes_late_only_what_lies_below_the_parting_counts() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 13, (PARTING, 2));
    let found = Evidence::of_entries(&one.entries[5], &other.entries[5]).expect("two entries");
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.send(Kind::Evidence(EvidenceFrame { evidence: found.to_bytes() })).await;
    gp.until(|gp| !evidence(gp, &one).is_empty()).await;
    assert_eq!(state(&gp, &one), LogState::Followed, "nothing of it is here yet");
    lab.show(one.head()).await;
    tokio::select! {
        () = gp.until(|gp| state(gp, &one) == stopped("LOST_TAIL")) => {}
        () = lab.serve(&one, |chunk| chunk) => panic!("the peer is not to blame"),
    }
    let counts = || gp.store.index_counts(&one.id).expect("counts");
    gp.until(|_| counts().indexed_size == PARTING).await;
    assert_eq!(gp.size(&one.id), one.size(), "others may need it to get as far");
}

#[tokio::test]
async fn who_was_behind_when_it_heard_of_it_gets_as_far_as_the_others() {
    let federation = Federation::found();
    let beginning = Log::new(&federation, LAB, 3, None);
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 9, (PARTING, 2));
    let (gp, hospital) = apart(&federation, &one, &beginning).await;
    let by = key(LAB, CHECKPOINT).public();
    let signed = |log: &Log| {
        let note = UnverifiedCheckpoint::parse(&log.head().checkpoint).expect("a note");
        note.verify(&by).expect("the laboratory's")
    };
    let found = Evidence::of_checkpoints((&signed(&one), &by), (&signed(&other), &by));
    let found = found.expect("two checkpoints of one size");
    let lab = Peer::greeting(&federation, &hospital, LAB).await;
    lab.send(Kind::Evidence(EvidenceFrame { evidence: found.to_bytes() })).await;
    // Where below that size they part nobody knows, so it stops here though less is held.
    let is_stopped = |gateway: &Gateway| matches!(state(gateway, &one), LogState::Stopped { .. });
    hospital.until(is_stopped).await;
    let _running = connect(&gp, &hospital);
    for gateway in [&gp, &hospital] {
        let counts = || gateway.store.index_counts(&one.id).expect("counts");
        gateway.until(|_| is_stopped(gateway) && counts().indexed_size == one.size()).await;
    }
    let root = |gateway: &Gateway| gateway.store.index_roots().expect("roots").index_root;
    assert_eq!(root(&gp), root(&hospital));
}

#[tokio::test]
async fn gateways_are_equal_again_on_the_branch_that_the_charter_names() {
    let mut federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 13, (PARTING, 2));
    let (gp, hospital) = apart(&federation, &one, &other).await;
    let _running = connect(&gp, &hospital);
    for gateway in [&gp, &hospital] {
        gateway.until(|gateway| state(gateway, &one) == stopped("LOST_TAIL")).await;
    }
    let charter = federation.publish(|draft| draft.set_branch(branch(&other)));
    gp.follow(&charter);
    for gateway in [&gp, &hospital] {
        gateway.holds(&one.id, 13).await;
        gateway.until(|gateway| state(gateway, &one) == LogState::Followed).await;
    }
    let head = |gateway: &Gateway| gateway.store.log_head(&one.id).expect("a head");
    assert_eq!(head(&gp), head(&hospital));
    let root = |gateway: &Gateway| gateway.store.index_roots().expect("roots").index_root;
    assert_eq!(root(&gp), root(&hospital));
}

// It was signed by the member, and proves every entry: what the charter left out is not taken all the same.
#[tokio::test]
async fn a_branch_that_the_charter_left_out_is_never_taken() {
    let mut federation = Federation::found();
    let left_out = Log::new(&federation, LAB, 20, None);
    let named = Log::parting(&federation, LAB, 13, (PARTING, 2));
    federation.publish(|draft| draft.set_branch(branch(&named)));
    let gp = Gateway::new(&federation, GP);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(left_out.head()).await;
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    let serve_both = async {
        let served = lab.first(|kind| crate::script::answers(&left_out, kind)).await;
        for chunk in served {
            lab.send(chunk).await;
        }
        hospital.show(named.head()).await;
        hospital.serve(&named, |chunk| chunk).await;
    };
    tokio::select! {
        () = gp.until(|gp| gp.size(&named.id) == 13) => {}
        () = serve_both => panic!("nobody is to blame"),
    }
    let head = gp.store.log_head(&named.id).expect("a head");
    assert_eq!(head.root(), branch(&named).root);
}

#[tokio::test]
async fn what_was_never_signed_twice_is_the_senders_fault() {
    let federation = Federation::found();
    let one = Log::new(&federation, LAB, 9, None);
    let other = Log::parting(&federation, LAB, 9, (PARTING, 1));
    let good = Evidence::of_entries(&one.entries[5], &other.entries[5]).expect("two entries");
    let forged = {
        let mut bytes = good.to_bytes().to_vec();
        *bytes.last_mut().expect("a signature") ^= 1;
        bytes
    };
    for bad in [forged, good.to_bytes()[1..].to_vec(), Vec::new()] {
        let gp = Gateway::new(&federation, GP);
        let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
        hospital.send(Kind::Evidence(EvidenceFrame { evidence: bad.into() })).await;
        assert_eq!(hospital.closing_problem().await.reason, "BAD_EVIDENCE");
        assert!(evidence(&gp, &one).is_empty());
    }
}
