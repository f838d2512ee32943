//! Many logs over few streams: everybody gets a turn, nobody is asked twice for the same, and what waits is bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use sundbro_gateway::replication::{MAX_UNREAD_BYTES, ReplicationSettings};
use sundbro_ledger::ids::LogId;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{Want, WantEntries, want};

use crate::script::{Log, Peer};
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB};

/// Members whose own gateways are never met here.
const ABSENT: [&str; 8] = [
    "a-1.example",
    "a-2.example",
    "a-3.example",
    "a-4.example",
    "b-1.example",
    "b-2.example",
    "b-3.example",
    "b-4.example",
];

fn federation() -> Federation {
    Federation::of(&[&[GP, HOSPITAL, LAB], &ABSENT[..]].concat())
}

/// What a frame asks for, if it asks for entries.
fn entries_wanted(kind: &Kind) -> Option<&WantEntries> {
    let Kind::Want(Want { what: Some(want::What::Entries(ask)) }) = kind else { return None };
    Some(ask)
}

/// Short turns, so that a log of some hundred entries is long.
fn short_turns(settings: ReplicationSettings) -> ReplicationSettings {
    ReplicationSettings { turn_bundles: 1, ..settings }
}

/// More long logs than are fetched at once, and a short one that is shown when all of them are under way.
#[tokio::test]
async fn no_number_of_long_logs_keeps_a_short_one_waiting() {
    let federation = federation();
    let gp = Gateway::with(&federation, GP, short_turns);
    let long: Vec<Log> =
        ABSENT[..6].iter().map(|member| Log::new(&federation, member, 1_600, None)).collect();
    let short = Log::new(&federation, ABSENT[7], 10, None);
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    let voice = lab.voice();
    let logs: Vec<&Log> = long.iter().chain([&short]).collect();
    let story = async {
        for log in &long {
            voice.show(log.head()).await;
        }
        gp.until(|gp| long.iter().any(|log| gp.size(&log.id) > 0)).await;
        voice.show(short.head()).await;
        gp.until(|gp| gp.size(&short.id) == short.size()).await;
        let whole = long.iter().filter(|log| gp.size(&log.id) == log.size()).count();
        let taken: u64 = long.iter().map(|log| gp.size(&log.id)).sum();
        println!("{taken} entries of long logs were here when the short one was whole");
        assert_eq!(whole, 0, "the short log waited for long ones to end");
        gp.until(|gp| logs.iter().all(|log| gp.size(&log.id) == log.size())).await;
    };
    tokio::select! {
        () = story => {}
        () = lab.serve_all(&logs, |_| {}) => panic!("the laboratory does nothing wrong"),
    }
}

/// Both peers hold all logs, and neither answers before both were asked.
#[tokio::test]
async fn a_late_joiner_fetches_from_several_peers_at_once() {
    let federation = federation();
    let gp = Gateway::new(&federation, GP);
    let logs: Vec<Log> =
        ABSENT.iter().map(|member| Log::new(&federation, member, 300, None)).collect();
    let mut peers = Vec::new();
    for member in [HOSPITAL, LAB] {
        let peer = Peer::greeting(&federation, &gp, member).await;
        for log in &logs {
            peer.show(log.head()).await;
        }
        peers.push(peer);
    }
    let [hospital, lab] = &mut peers[..] else { panic!("two") };
    let asked: RefCell<BTreeMap<LogId, usize>> = RefCell::default();
    let see = |kind: &Kind| {
        if let Some(ask) = entries_wanted(kind) {
            let log = LogId::try_from(&ask.log_id[..]).expect("a log id");
            *asked.borrow_mut().entry(log).or_default() += 1;
        }
    };
    let first = |kind: Kind| entries_wanted(&kind).is_some().then_some(kind);
    let (one, other) = tokio::join!(hospital.first(first), lab.first(first));
    let all: Vec<&Log> = logs.iter().collect();
    for (peer, question) in [(&*hospital, one), (&*lab, other)] {
        see(&question);
        peer.answer(&all, question).await;
    }
    tokio::select! {
        () = gp.until(|gp| logs.iter().all(|log| gp.size(&log.id) == log.size())) => {}
        () = hospital.serve_all(&all, see) => panic!("the hospital does nothing wrong"),
        () = lab.serve_all(&all, see) => panic!("the laboratory does nothing wrong"),
    }
    assert!(asked.borrow().values().all(|times| *times == 1), "nothing twice: {asked:?}");
}

/// The first chunk of an answer comes, and then no more: the rest is asked for elsewhere, from there on.
#[tokio::test]
async fn what_is_lost_of_an_answer_is_asked_for_elsewhere() {
    let federation = federation();
    let patient = |settings| ReplicationSettings {
        reply_timeout: Duration::from_secs(3_600),
        slow_reply: Duration::from_millis(50),
        ..settings
    };
    let gp = Gateway::with(&federation, GP, patient);
    let log = Log::new(&federation, ABSENT[0], 900, None);
    let mut hospital = Peer::greeting(&federation, &gp, HOSPITAL).await;
    hospital.show(log.head()).await;
    hospital.first(|kind| entries_wanted(&kind).map(drop)).await;
    hospital.send(Kind::Chunk(log.chunk(0, log.size()))).await;
    gp.until(|gp| gp.size(&log.id) == 256).await;
    let mut lab = Peer::greeting(&federation, &gp, LAB).await;
    lab.show(log.head()).await;
    let starts = RefCell::new(Vec::new());
    let see = |kind: &Kind| starts.borrow_mut().extend(entries_wanted(kind).map(|ask| ask.start));
    let logs = [&log];
    tokio::select! {
        () = gp.until(|gp| gp.size(&log.id) == log.size()) => {}
        () = lab.serve_all(&logs, see) => panic!("the laboratory does nothing wrong"),
    }
    assert_eq!(*starts.borrow(), [256], "nothing is fetched twice");
}

/// Nobody reads what was asked for.
#[tokio::test]
async fn a_peer_that_does_not_read_costs_a_bounded_number_of_bytes() {
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    gp.publish(256 * 4);
    let mut peer = Peer::greeting(&federation, &gp, HOSPITAL).await;
    for _ in 0..10 {
        peer.want(gp.log, 0, 256 * 4).await;
    }
    peer.until_full().await;
    let unread = peer.unread_bytes();
    println!("{unread} bytes wait for a peer that does not read");
    assert!(unread > 500_000, "something waits: {unread}");
    assert!(unread <= MAX_UNREAD_BYTES, "{unread}");
}
