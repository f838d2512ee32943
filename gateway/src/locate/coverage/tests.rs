//! What an answer says that it may not have seen.

use sundbro_ledger::ids::{LogId, RootHash};

use super::*;

const MAX_AGE: Duration = Duration::from_secs(60);

fn terms() -> Terms {
    // Far enough from the start of the monotonic clock that ages can be subtracted.
    let now = Instant::now() + Duration::from_secs(3600);
    Terms { max_age: MAX_AGE, now, charter_version: 4 }
}

fn heard(terms: Terms, ago: Duration) -> Peer {
    Peer::Seen(PeerView {
        reachable: true,
        since: terms.now - ago,
        cause: None,
        heads_at: Some(terms.now - ago),
        software: "sundbro/0.1.0".to_owned(),
        incarnation: 1,
        charter_version: 4,
        held_back: false,
        acked_size: 0,
    })
}

fn whole(terms: Terms) -> LogView {
    LogView {
        member: MemberName::new("gp.example").expect("name"),
        epoch: 1,
        active: true,
        status: LogStatus {
            log: LogId::new([1; 32]),
            committed_size: 7,
            root: RootHash::new([2; 32]),
            incarnation: 1,
            state: StoredState::Followed,
            newest_seen_size: 7,
            checkpoint: None,
        },
        counts: IndexCounts { indexed_size: 7, ..IndexCounts::default() },
        peer: heard(terms, MAX_AGE),
    }
}

fn hold_back(log: &mut LogView, _: Terms) {
    if let Peer::Seen(view) = &mut log.peer {
        view.held_back = true;
    }
}

fn all_searched() -> Epochs {
    Epochs { charter: vec![1, 2], held: vec![1, 2], searched: vec![1, 2] }
}

#[test]
fn complete_only_if_nothing_is_lacking() {
    let terms = terms();
    let check = |change: fn(&mut LogView, Terms), expected: Option<Gap>| {
        let mut log = whole(terms);
        change(&mut log, terms);
        let gaps = log.gaps(terms);
        assert_eq!(gaps, expected.clone().into_iter().collect::<Vec<_>>());
        let found = coverage(&[log.clone()], &all_searched(), terms);
        assert_eq!(found.replication_complete, expected.is_none(), "{}", found.summary);
        // A member that does not take part cannot make an answer incomplete; its log is listed all the same.
        log.active = false;
        let found = coverage(&[log], &all_searched(), terms);
        assert!(found.replication_complete && found.logs.len() == 1);
    };
    let reason = || "BAD_LINK".to_owned();
    check(|_, _| {}, None);
    check(|log, _| log.peer = Peer::Ourselves, None);
    check(
        |log, _| log.peer = Peer::OurselvesBehind("OWN_LOG_BEHIND"),
        Some(Gap::OwnLog("OWN_LOG_BEHIND")),
    );
    check(|log, _| log.peer = Peer::NeverTried, Some(Gap::NeverHeard));
    let older = MAX_AGE + Duration::from_millis(1);
    check(
        |log, terms| log.peer = heard(terms, MAX_AGE + Duration::from_millis(1)),
        Some(Gap::Old(older)),
    );
    check(
        |log, _| {
            if let Peer::Seen(view) = &mut log.peer {
                view.heads_at = None;
            }
        },
        Some(Gap::NeverHeard),
    );
    check(|log, _| log.status.newest_seen_size = 9, Some(Gap::Behind(2)));
    // What was held back and has come since lacks no more.
    check(hold_back, None);
    check(|log, _| log.counts.indexed_size = 6, Some(Gap::NotIndexed(1)));
    check(
        |log, _| {
            log.status.state = StoredState::Stopped { position: 7, reason: "BAD_LINK".to_owned() };
        },
        Some(Gap::NotFollowed(reason())),
    );
    check(
        |log, _| {
            log.status.state = StoredState::Stalled { position: 7, reason: "BAD_LINK".to_owned() };
        },
        Some(Gap::NotFollowed(reason())),
    );
    check(
        |log, _| {
            log.status.state = StoredState::Waiting { position: 7, reason: "BAD_LINK".to_owned() };
        },
        Some(Gap::NotFollowed(reason())),
    );
    // What a charter took back is neither indexed nor lacking.
    check(
        |log, _| {
            log.counts.indexed_size = 5;
            log.status.state = StoredState::Stopped { position: 5, reason: "BAD_LINK".to_owned() };
        },
        Some(Gap::NotFollowed(reason())),
    );
    check(|log, _| log.counts.missing_blobs = 3, Some(Gap::Blobs(3)));
    check(|log, _| log.counts.unknown_payloads = 1, Some(Gap::UnknownPayloads(1)));
}

#[test]
fn a_log_that_grew_too_much_says_why_it_lags() {
    let terms = terms();
    let mut log = whole(terms);
    hold_back(&mut log, terms);
    log.status.newest_seen_size = 9;
    assert_eq!(log.gaps(terms), [Gap::Behind(2), Gap::HeldBack]);
    assert_eq!(log.state(), (LogState::Waiting, Some((DAILY_LIMIT, 7))), "metrics say so too");
    let found = coverage(&[log], &all_searched(), terms);
    assert!(!found.replication_complete && found.summary.contains("(DAILY_LIMIT)"));
    let [log] = &found.logs[..] else { panic!("one log") };
    assert_eq!((log.state(), log.state_position), (LogState::Waiting, 7));
    assert_eq!(log.state_reason, "DAILY_LIMIT");
}

#[test]
fn an_unreachable_peer_that_was_heard_in_time_is_still_covered() {
    let terms = terms();
    let mut log = whole(terms);
    if let Peer::Seen(view) = &mut log.peer {
        view.reachable = false;
        view.since = terms.now - Duration::from_secs(5);
        view.cause = Some("CONNECTION_REFUSED");
    }
    let found = coverage(&[log], &all_searched(), terms);
    assert!(found.replication_complete);
    let [log] = &found.logs[..] else { panic!("one log") };
    assert!(!log.reachable);
    assert_eq!(log.unreachable_for.map(|time| time.seconds), Some(5));
    assert_eq!(log.unreachable_cause, "CONNECTION_REFUSED");
    assert_eq!(log.age.map(|age| age.seconds), Some(60));
}

#[test]
fn an_epoch_that_was_not_searched_is_a_gap_whether_or_not_its_key_is_here() {
    let terms = terms();
    let check = |held: &[u32], searched: &[u32], missing: &[u32], complete: bool| {
        let epochs =
            Epochs { charter: vec![1, 2], held: held.to_vec(), searched: searched.to_vec() };
        let found = coverage(&[whole(terms)], &epochs, terms);
        assert_eq!(found.tag_epochs_missing, missing);
        assert_eq!(found.replication_complete, complete);
    };
    check(&[1, 2], &[1, 2], &[], true);
    check(&[1], &[1], &[2], false);
    check(&[1, 2], &[2], &[], false);
    check(&[], &[], &[1, 2], false);
}

#[test]
fn the_sentence_names_some_gaps_and_counts_the_rest() {
    let terms = terms();
    let mut log = whole(terms);
    log.peer = Peer::NeverTried;
    let logs: Vec<_> = (0..5).map(|_| log.clone()).collect();
    let found = coverage(&logs, &all_searched(), terms);
    assert!(found.summary.contains("gp.example: its gateway was not heard"), "{}", found.summary);
    assert!(found.summary.ends_with("; and 2 more."), "{}", found.summary);
    assert!(!found.summary.contains("missing"));
}
