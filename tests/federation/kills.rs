//! SIGKILL at any moment: what a client was told is registered is found and fetched at another member afterwards.

mod harness;

use std::cell::Cell;

use harness::{Dice, Federation, Journal, Member, PATIENCE, eventually, holds_within, scale};
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_store::Store;

/// Kills of each gateway in each phase, at scale 1.
const KILLS: usize = 3;
/// Kills of random gateways in a federation of five, at scale 1.
const RANDOM_KILLS: usize = 100;
/// Kills in each window of the append path, at the least, at scale 1.
const WINDOW_KILLS: usize = 5;
/// The windows between two things that become durable one after the other, and before anything is sent.
const WINDOWS: [&str; 3] = ["payload_ledger", "ledger_gate", "gate_send"];
/// The files that an append or a replicated chunk writes.
const FILES: [&str; 3] = ["payloads.redb", "ledger.redb", "index.redb"];

/// After everything is up again: no loss, no doubles, no log stopped, equal heads, equal index.
fn is_whole(federation: &Federation, journals: &mut [Journal]) {
    for (member, journal) in federation.members.iter().zip(journals.iter_mut()) {
        let all = eventually("everything in the folder is registered", || {
            journal.note(member);
            (journal.len() == journal.written()).then(|| journal.len())
        });
        println!("{}: {all} documents acknowledged", member.name);
    }
    let heads = federation.await_equal();
    assert!(!heads.index_root.is_empty());
    for (index, journal) in journals.iter().enumerate() {
        // Nothing in these tests is changed or withdrawn: each document is one entry, whatever happened around it.
        let (size, _) = heads.logs[&federation.members[index].name];
        assert_eq!(size, journal.written() as u64, "entries of {}", federation.members[index].name);
        let elsewhere = &federation.members[(index + 1) % federation.members.len()];
        journal.is_whole_at(elsewhere);
    }
    federation.members.iter().for_each(Member::follows_all);
}

fn journals(federation: &Federation) -> Vec<Journal> {
    federation.members.iter().map(Journal::of).collect()
}

/// Kills a gateway in the middle of publishing, at a moment that the dice choose.
fn kill_while_publishing(member: &mut Member, journal: &mut Journal, dice: &mut Dice) {
    let before = journal.written();
    let last =
        (0..3 + dice.throw(4)).map(|_| journal.write(member)).last().expect("at least three");
    match dice.throw(4) {
        // Right after the client was told: nobody else may have it yet.
        0 => {
            eventually("the last document is acknowledged", || {
                journal.note(member);
                journal.has(&last).then_some(())
            });
        }
        // Some are acknowledged, more are on their way.
        1 => {
            eventually("some are acknowledged", || (journal.note(member) > before).then_some(()));
            journal.write(member);
            member.writes(&FILES, 1 + dice.throw(3));
        }
        // At one of the commits.
        2 => {
            member.writes(&FILES, 1 + dice.throw(6));
        }
        // Between the file that a client renamed and anything that the gateway did with it.
        _ => {}
    }
    member.kill();
}

#[test]
fn killed_while_it_publishes() {
    let mut federation = Federation::running(3);
    let mut journals = journals(&federation);
    let mut dice = Dice::new(1);
    let mut told_before = 0;
    for round in 0..KILLS * scale() {
        for index in 0..3 {
            // The others publish as well: what is theirs must not suffer.
            let other = (index + 1) % 3;
            journals[other].write(&federation.members[other]);
            kill_while_publishing(federation.at(index), &mut journals[index], &mut dice);
            told_before += journals[index].len();
            federation.at(index).start();
            println!("round {round}: killed {}", federation.members[index].name);
        }
    }
    assert!(told_before > 0, "no kill came after something was acknowledged");
    is_whole(&federation, &mut journals);
    federation.finish();
}

#[test]
fn killed_at_random_in_a_loaded_federation_of_five() {
    let mut federation = Federation::running(5);
    let mut journals = journals(&federation);
    let mut dice = Dice::new(4);
    let kills = RANDOM_KILLS * scale();
    let mut told_before = 0;
    for number in 0..kills {
        let index = dice.throw(5) as usize;
        // Somebody else publishes too, and every now and then everybody.
        let others = if dice.throw(8) == 0 { 4 } else { 1 };
        for other in (1..=others).map(|step| (index + step) % 5).chain([index]) {
            journals[other].write(&federation.members[other]);
        }
        match dice.throw(4) {
            // Right away: between the file that a client renamed and anything that the gateway did with it.
            0 => {}
            1 => told_before += journals[index].note(&federation.members[index]),
            _ => drop(federation.members[index].writes(&FILES, 1 + dice.throw(4))),
        }
        federation.at(index).kill();
        federation.at(index).start();
        if (number + 1) % 25 == 0 {
            println!("{} of {kills} kills", number + 1);
        }
    }
    assert!(told_before > 0, "no kill came after something was acknowledged");
    is_whole(&federation, &mut journals);
    federation.finish();
}

/// How many entries of `other`'s log lie in a folder that no gateway has open.
fn held(folder: &Member, other: &str, federation: &FederationId) -> u64 {
    let store = Store::open_read_only(&folder.data()).expect("what a kill left can be read");
    let log = Origin::new(&MemberName::new(other).expect("a name"), federation, 1).log_id();
    store.log_status(&log).expect("a status").committed_size
}

#[test]
fn killed_while_it_catches_up() {
    let mut federation = Federation::running(3);
    let id = FederationId::from_hex(&federation.id).expect("an id");
    let mut journals = journals(&federation);
    let mut dice = Dice::new(2);
    for index in 0..3 {
        let name = federation.members[index].name.clone();
        let others: Vec<usize> = (0..3).filter(|other| *other != index).collect();
        let behind = Cell::new(0);
        let wanted = KILLS * scale();
        for attempt in 0.. {
            if behind.get() == wanted {
                break;
            }
            assert!(
                attempt < 6 * wanted,
                "{name} caught up before every kill but {}",
                behind.get()
            );
            if federation.members[index].is_up() {
                federation.at(index).kill();
            }
            for &other in &others {
                let documents: Vec<_> =
                    (0..4).map(|_| journals[other].write(&federation.members[other])).collect();
                federation.members[other].await_registered(&documents);
                journals[other].note(&federation.members[other]);
            }
            federation.at(index).start();
            federation.members[index].writes(&FILES, 1 + dice.throw(6));
            federation.at(index).kill();
            let lacks = others.iter().any(|&other| {
                let there = federation.members[other].size_of(&federation.members[other].name);
                held(&federation.members[index], &federation.members[other].name, &id) < there
            });
            behind.set(behind.get() + usize::from(lacks));
        }
        federation.at(index).start();
        println!("{name}: killed {wanted} times before it had caught up");
    }
    is_whole(&federation, &mut journals);
    federation.finish();
}

#[test]
fn killed_in_each_window_of_the_append_path() {
    let mut federation = Federation::running(3);
    let mut journals = journals(&federation);
    let mut dice = Dice::new(3);
    let mut hits = [0; WINDOWS.len()];
    // Every gateway is killed in every window, and in one window right after another.
    let rounds = (WINDOW_KILLS * scale()).div_ceil(3);
    for round in 0..rounds {
        for (index, journal) in journals.iter_mut().enumerate() {
            federation.at(index).kill();
            for (window, point) in WINDOWS.into_iter().enumerate() {
                let reached = federation.at(index).start_stopping_at(point, dice.throw(2) as u32);
                // What a kill left behind is appended first; new documents fill the groups that are let pass.
                let hit = holds_within(PATIENCE, || {
                    if reached.exists() {
                        return true;
                    }
                    journal.note(&federation.members[index]);
                    if journal.len() == journal.written() {
                        journal.write(&federation.members[index]);
                    }
                    false
                });
                assert!(
                    hit,
                    "round {round}: {point} was not reached:\n{}",
                    federation.members[index].last_lines()
                );
                federation.at(index).kill();
                hits[window] += 1;
            }
            federation.at(index).start();
        }
        // Healed in between: what the next round kills has been seen by others.
        if round + 1 < rounds {
            federation.await_equal();
        }
    }
    println!("killed in {WINDOWS:?}: {hits:?} times");
    assert!(hits.iter().all(|&hits| hits >= WINDOW_KILLS), "{WINDOWS:?} were hit {hits:?} times");
    is_whole(&federation, &mut journals);
    federation.finish();
}
