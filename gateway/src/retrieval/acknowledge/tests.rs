//! When the queue is read, whom a round begins with, and how long an owner that did not answer rests.

use sundbro_ledger::ids::MessageDigest;

use super::*;
use crate::hub::PeerHello;
use crate::retrieval::tests::{HOSPITAL, KOMMUNE, Line, World, name};

/// Far enough that no machine is so slow.
const FAR: Duration = Duration::from_secs(1_000);
/// What ends between a thing of these tests and the longest pause.
const SOON: Duration = Duration::from_secs(20);

fn context(world: &World) -> AcknowledgeContext {
    world.acknowledge_context(&world.kommune, &Line::to(world.owner(), KOMMUNE))
}

fn owes(world: &World, number: u16, owner: &str) {
    let mut completion = [0; 32];
    completion[30..].copy_from_slice(&number.to_be_bytes());
    let owed = PendingAcknowledgement {
        completion: MessageDigest::new(completion),
        owner: owner.to_owned(),
        message: Vec::new(),
        unix_seconds: 1,
    };
    world.kommune.store.queue_acknowledgement(&owed, &[]).expect("queued");
}

fn silent_until(try_at: Instant) -> Silent {
    Silent { try_at, pause: LONGEST_PAUSE, was_reachable: false }
}

fn names<'a>(owners: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    owners.into_iter().map(String::as_str).collect()
}

#[test]
fn waking_wakes_also_who_begins_to_wait_afterwards() {
    let acknowledgements = Acknowledgements::new();
    assert!(acknowledgements.0.notified().now_or_never().is_none());
    acknowledgements.clone().wake();
    assert!(acknowledgements.0.notified().now_or_never().is_some());
}

#[tokio::test]
async fn the_queue_is_read_when_there_is_a_reason() {
    let world = World::new();
    let context = context(&world);
    let mut sender = Sender::new(&context);
    assert!(sender.is_due(), "at the start");
    sender.look_again = false;
    assert!(!sender.is_due(), "nothing waits");
    sender.silent.insert(HOSPITAL.to_owned(), silent_until(Instant::now() + FAR));
    assert!(!sender.is_due(), "it is not time yet");

    let hello = PeerHello { software: String::new(), incarnation: 1, charter_version: 1 };
    let session = context.peers.opened(&name(HOSPITAL), hello);
    assert!(sender.is_due(), "it came back");
    assert_eq!(sender.silent[HOSPITAL].pause, FIRST_PAUSE);
    // It is there and does not answer: that it is there is no news any more, nor is it that it goes.
    let rests = |sender: &mut Sender<'_>| {
        sender.silent.get_mut(HOSPITAL).expect("silent").try_at = Instant::now() + FAR;
        !sender.is_due()
    };
    assert!(rests(&mut sender));
    drop(session);
    assert!(rests(&mut sender) && rests(&mut sender));
    sender.silent.get_mut(HOSPITAL).expect("silent").try_at = Instant::now();
    assert!(sender.is_due(), "its time has come");
}

#[tokio::test]
async fn a_queue_that_cannot_be_read_is_left_for_the_longest_pause() {
    let world = World::new();
    let context = context(&world);
    let mut sender = Sender::new(&context);
    sender.look_again = false;
    let now = Instant::now();
    sender.read_later(now);
    assert_eq!(sender.next_try(), now + LONGEST_PAUSE);
    assert!(!sender.is_due());
}

#[tokio::test]
async fn the_next_try_is_of_whoever_can_be_tried() {
    let world = World::new();
    let context = context(&world);
    let mut sender = Sender::new(&context);
    let (begun, soon) = (Instant::now(), Instant::now() + SOON);
    assert!(sender.next_try() >= begun + LONGEST_PAUSE);
    sender.silent.insert("a.example".to_owned(), silent_until(soon));
    assert_eq!(sender.next_try(), soon);
    sender.busy.insert("a.example".to_owned());
    assert!(sender.next_try() >= begun + LONGEST_PAUSE, "it is being tried");
    sender.busy.clear();
    sender.read_again_at = Some(soon - Duration::from_secs(1));
    assert_eq!(Some(sender.next_try()), sender.read_again_at);
    for other in 1..MAX_OWNERS_AT_ONCE {
        sender.busy.insert(format!("b-{other}.example"));
    }
    assert!(!sender.is_full());
    assert_eq!(Some(sender.next_try()), sender.read_again_at);
    sender.busy.insert("b-last.example".to_owned());
    assert!(sender.is_full());
    assert!(sender.next_try() >= begun + LONGEST_PAUSE, "there is no place for it");
}

#[tokio::test]
async fn a_round_begins_with_whoever_is_neither_called_nor_rests() {
    let world = World::new();
    let owners = ["busy.example", "new.example", "ready.example", "rests.example"];
    for (number, owner) in (0..).zip(owners) {
        owes(&world, number, owner);
    }
    let context = context(&world);
    let mut sender = Sender::new(&context);
    let now = Instant::now();
    sender.busy.insert("busy.example".to_owned());
    for (owner, try_at) in
        [("rests.example", now + FAR), ("ready.example", now), ("paid.example", now + FAR)]
    {
        sender.silent.insert(owner.to_owned(), silent_until(try_at));
    }
    // Time goes on before the round does.
    while Instant::now() == now {}
    sender.begin().await;
    assert_eq!(names(&sender.busy), ["busy.example", "new.example", "ready.example"]);
    assert_eq!(sender.running.len(), 2);
    // To whom nothing is owed any more is forgotten.
    assert_eq!(names(sender.silent.keys()), ["ready.example", "rests.example"]);
    assert!(!sender.look_again && sender.read_again_at.is_none());
}

#[tokio::test]
async fn an_owner_rests_twice_as_long_each_time_that_it_does_not_answer() {
    let world = World::new();
    let context = context(&world);
    let mut sender = Sender::new(&context);
    sender.look_again = false;
    let end = |sender: &mut Sender<'_>, answers| {
        sender.busy.insert(HOSPITAL.to_owned());
        let begun = Instant::now();
        sender.ended(Ended { owner: HOSPITAL.to_owned(), answers });
        assert!(!sender.busy.contains(HOSPITAL));
        let silent = sender.silent.get(HOSPITAL)?;
        assert!(silent.try_at >= begun + silent.pause);
        Some(silent.pause.as_millis())
    };
    for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert_eq!(end(&mut sender, false), Some(pause));
        assert!(!sender.look_again, "nobody else waits for its place");
    }
    assert_eq!(end(&mut sender, true), None);
    assert!(sender.look_again, "of its own part there may be more");
    assert_eq!(end(&mut sender, false), Some(500), "it begins anew");

    sender.look_again = false;
    sender.busy.extend((1..MAX_OWNERS_AT_ONCE).map(|other| format!("b-{other}.example")));
    end(&mut sender, false);
    assert!(sender.look_again, "another one may wait for its place");
}

#[tokio::test]
async fn each_owner_gets_a_part_and_no_more_owners_than_there_are_places() {
    let world = World::new();
    for number in 0..300 {
        owes(&world, number, "a.example");
    }
    owes(&world, 300, "b.example");
    owes(&world, 301, "c.example");
    let read = |skipped: &[&str], places| {
        let skipped = skipped.iter().map(ToString::to_string).collect();
        let queue = read_queue(&world.kommune.store, &skipped, places).expect("read");
        assert_eq!(names(&queue.owners), ["a.example", "b.example", "c.example"]);
        let due = queue.due.into_iter().map(|(owner, part)| (owner, part.len()));
        due.collect::<Vec<_>>()
    };
    let (a, b, c) = (("a.example", MAX_PART), ("b.example", 1), ("c.example", 1));
    let check = |found: Vec<(String, usize)>, expected: &[(&str, usize)]| {
        let found: Vec<_> = found.iter().map(|(owner, rows)| (owner.as_str(), *rows)).collect();
        assert_eq!(found, expected);
    };
    check(read(&[], 3), &[a, b, c]);
    check(read(&[], 2), &[a, b]);
    check(read(&["b.example"], 2), &[a, c]);
    check(read(&["a.example", "c.example"], 9), &[b]);
    check(read(&[], 0), &[]);
}

/// An acknowledgement that its owner will never take would otherwise be sent for ever.
#[tokio::test]
async fn what_the_owner_refuses_for_good_leaves_the_queue() {
    let world = World::new();
    owes(&world, 1, HOSPITAL);
    assert!(!send_all(&context(&world)).await);
    assert!(world.kommune.store.pending_acknowledgements(10).expect("read").is_empty());

    let check = |code, leaves: bool| {
        let answered = answered(Err(Status::new(code, "")));
        assert_eq!(matches!(answered, Answered::Refused(_)), leaves, "{code:?}");
        assert_eq!(matches!(answered, Answered::Later(_)), !leaves, "{code:?}");
    };
    for code in [Code::InvalidArgument, Code::NotFound] {
        check(code, true);
    }
    // Of these the acknowledgement is innocent.
    for code in [
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
        Code::ResourceExhausted,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Unimplemented,
        Code::Internal,
        Code::Unknown,
    ] {
        check(code, false);
    }
}
