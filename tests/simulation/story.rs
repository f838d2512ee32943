//! What happens in one run: events that the seed chooses, then healing, and what must be so at the end.

use std::path::PathBuf;
use std::time::Duration;

use sundbro_gateway::replication::OwnLogState;
use sundbro_ledger::merkle::leaf_hash;
use sundbro_store::gate::SigningStop;
use sundbro_store::testing::{Habits, Unsynced};

use crate::federation::{Federation, Story, lying, under_gate_of};
use crate::invariants::{
    Judgement, describe, invariant_equal_index_roots, invariant_stores_verify,
};
use crate::source::is_registered;

/// Events in one story.
const EVENTS: u64 = 14;
/// How long everybody may take to agree once all is healed.
const SETTLES_WITHIN: Duration = Duration::from_secs(900);
/// How often it is looked whether they do.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// How long an operator waits for a lost end of the log before giving it up.
const GIVES_UP_AFTER: Duration = Duration::from_secs(120);

/// What one run was.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    pub story: Vec<String>,
    pub polls: u64,
    pub signed: usize,
    pub witnessed: usize,
    pub malice: u64,
    pub end: String,
}

/// Runs the story of a seed.
///
/// # Errors
/// With the invariant that was broken, and how.
pub fn run(seed: u64, keys_folder: PathBuf, story: Story) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut federation = Federation::found(seed, keys_folder, story.clone());
        let judged = tell(&mut federation).await;
        let (signed, witnessed) = federation.journal.borrow().counts();
        let malice = federation.network.malice.as_ref().map_or(0, |malice| malice.borrow().done);
        let end = federation
            .honest()
            .first()
            .map_or_else(String::new, |process| describe(process).unwrap_or_else(|error| error));
        let polls = federation.executor.polls();
        let story = story.borrow().clone();
        judged.map(|()| Told { story, polls, signed, witnessed, malice, end })
    })
}

async fn tell(federation: &mut Federation) -> Judgement {
    begin(federation).await?;
    for _ in 0..EVENTS {
        event(federation)?;
        let pause = Duration::from_millis(50 + federation.dice.roll(4_000));
        federation.run_for(pause).await;
        bury_the_dead(federation)?;
        federation.judge()?;
    }
    heal(federation).await?;
    settle(federation).await?;
    go_on(federation).await?;
    judge_the_end(federation)
}

/// Everybody starts and has something.
async fn begin(federation: &mut Federation) -> Judgement {
    let lies = federation.has_accidents && federation.dice.roll(8) == 0;
    for (member, disk) in std::mem::take(&mut federation.idle) {
        if lies && member == federation.cast.victim {
            disk.set_habits(lying());
            federation.tell(format!("m{member}: the disk lies"));
        }
        let records = 1 + federation.dice.roll(3);
        federation.sources[member].add(records);
        federation.start(member, disk, 0)?;
    }
    let pause = Duration::from_millis(federation.dice.roll(12_000));
    federation.run_for(pause).await;
    federation.judge()
}

/// One thing happens.
fn event(federation: &mut Federation) -> Judgement {
    let member = federation.dice.roll(federation.cast.members as u64) as usize;
    let process = federation.of_member(member).pop();
    match (federation.dice.roll(16), process) {
        (0..=3, _) => {
            let records = 1 + federation.dice.roll(6);
            federation.tell(format!("m{member} has {records} more records"));
            federation.sources[member].add(records);
        }
        (4, Some(process)) => {
            federation.tell(format!("m{member} is killed"));
            let disk = federation.end(process.number, Unsynced::Kept);
            federation.idle.insert(member, disk);
        }
        (5 | 6, Some(process)) if !federation.is_doomed(process.number) => {
            let operations = federation.dice.roll(60);
            federation.tell(format!("m{member}: the power goes after {operations} operations"));
            federation.doom(process.number, operations);
        }
        (7, _) => partition(federation),
        (8, _) => {
            let to = federation.dice.roll(federation.cast.members as u64) as usize;
            federation.tell(format!("the line from m{member} to m{to} is dead"));
            federation.network.cut([(member, to)]);
        }
        (9 | 10, _) => {
            federation.tell("the network is mended".to_owned());
            federation.network.mend();
        }
        (11, Some(process)) => stand_still(federation, process.number),
        (12, Some(process)) => change_disk(federation, &process.disk.clone(), member),
        (13, _) if federation.has_accidents => back_up_or_restore(federation)?,
        (14, _) if federation.has_accidents => copy(federation)?,
        (15, _)
            if federation
                .cast
                .byzantine
                .is_some_and(|byzantine| federation.of_member(byzantine).len() == 1) =>
        {
            federation.tell("the dishonest member forks".to_owned());
            federation.forks()?;
        }
        _ => {}
    }
    // Who was off for a while comes back by chance.
    for (member, disk) in std::mem::take(&mut federation.idle) {
        if federation.dice.roll(3) == 0 {
            federation.tell(format!("m{member} starts"));
            federation.start(member, disk, 0)?;
        } else {
            federation.idle.insert(member, disk);
        }
    }
    Ok(())
}

fn partition(federation: &mut Federation) {
    let members = federation.cast.members;
    let sides: Vec<u64> = (0..members).map(|_| federation.dice.roll(2)).collect();
    federation.tell(format!("the network splits: {sides:?}"));
    let pairs = (0..members).flat_map(|a| (0..members).map(move |b| (a, b)));
    federation.network.cut(pairs.filter(|(a, b)| sides[*a] != sides[*b]));
}

/// A machine stands still, or one that stood still goes on.
fn stand_still(federation: &mut Federation, number: u32) {
    match federation.paused.pop() {
        Some(paused) => {
            federation.tell(format!("m{} goes on", federation.running[&paused].member));
            federation.executor.release(paused);
        }
        None => {
            federation.tell(format!("m{} stands still", federation.running[&number].member));
            federation.executor.hold(number);
            federation.paused.push(number);
        }
    }
}

fn change_disk(
    federation: &mut Federation,
    disk: &sundbro_store::testing::MemoryDisk,
    member: usize,
) {
    let forgets = if disk.lies() { lying().forgets } else { None };
    let habits = match federation.dice.roll(5) {
        0 => Habits { capacity: Some(disk.used()), ..Habits::default() },
        1 => Habits { read_only: true, ..Habits::default() },
        2 => Habits { sync_takes: Duration::from_millis(10), ..Habits::default() },
        3 => Habits { sync_takes: Duration::from_secs(1), ..Habits::default() },
        _ => Habits::default(),
    };
    federation.tell(format!("m{member}: the disk {habits:?}"));
    disk.set_habits(Habits { forgets, ..habits });
}

/// A backup of the victim is made, or its machine goes on from an older one.
fn back_up_or_restore(federation: &mut Federation) -> Judgement {
    let victim = federation.cast.victim;
    let Some(process) = federation.of_member(victim).pop() else { return Ok(()) };
    if federation.backups.is_empty() || federation.dice.roll(2) == 0 {
        federation.tell(format!("m{victim} is backed up"));
        federation.backups.push(process.disk.after_power_cut(Unsynced::Kept));
        return Ok(());
    }
    let which = federation.dice.roll(federation.backups.len() as u64) as usize;
    let keeps_gate = federation.dice.roll(2) == 0;
    federation
        .tell(format!("m{victim} is restored from backup {which}, keeps its gate: {keeps_gate}"));
    federation.accident(!keeps_gate);
    let newest = federation.end(process.number, Unsynced::Kept);
    let backup = &federation.backups[which];
    let disk = match keeps_gate {
        true => under_gate_of(backup, &newest),
        false => backup.after_power_cut(Unsynced::Kept),
    };
    federation.start(victim, disk, 0)
}

/// A copy of the victim's machine is started, beside it or while it stands still.
fn copy(federation: &mut Federation) -> Judgement {
    let victim = federation.cast.victim;
    let all = federation.of_member(victim);
    let [process] = &all[..] else { return Ok(()) };
    federation.accident(true);
    let copy = process.disk.after_power_cut(Unsynced::Kept);
    let stands_still = federation.dice.roll(2) == 0 && !federation.paused.contains(&process.number);
    if stands_still {
        federation.executor.hold(process.number);
        federation.paused.push(process.number);
    }
    federation.tell(format!("m{victim} is copied, stands still: {stands_still}"));
    federation.start(victim, copy, 0)
}

/// Machines whose power went start again on what their disks kept.
fn bury_the_dead(federation: &mut Federation) -> Judgement {
    for number in federation.dead() {
        let member = federation.running[&number].member;
        let torn = Unsynced::Torn(federation.dice.roll(u64::MAX));
        if federation.running[&number].disk.lies() {
            federation.accident(false);
        }
        federation.tell(format!("m{member}: the power was cut"));
        let lies = federation.running[&number].disk.lies();
        let disk = federation.end(number, torn);
        if lies {
            disk.set_habits(lying());
        }
        federation.idle.insert(member, disk);
    }
    Ok(())
}

/// Everything works again, and of each member one gateway goes on.
async fn heal(federation: &mut Federation) -> Judgement {
    federation.tell("everything is healed".to_owned());
    federation.network.mend();
    if let Some(malice) = &federation.network.malice {
        malice.borrow_mut().is_over = true;
    }
    for paused in std::mem::take(&mut federation.paused) {
        federation.executor.release(paused);
    }
    for process in federation.processes() {
        process.disk.set_habits(Habits::default());
        process.disk.fail_at(u64::MAX, sundbro_store::testing::Fault::FailBefore);
    }
    for (member, disk) in std::mem::take(&mut federation.idle) {
        disk.set_habits(Habits::default());
        // A copy of it may run.
        if federation.of_member(member).is_empty() {
            federation.start(member, disk, 0)?;
        }
    }
    federation.run_for(Duration::from_secs(30)).await;
    federation.judge()?;
    for member in 0..federation.cast.members {
        let all = federation.of_member(member);
        if all.len() < 2 {
            continue;
        }
        // The operator ends those that say that a later start is known.
        let goes_on = all.iter().find(|process| process.store.signing_stop().is_none());
        let goes_on = goes_on.or(all.last()).expect("two of them").number;
        for process in all.iter().filter(|process| process.number != goes_on) {
            federation.tell(format!("of two gateways of m{member} one is ended"));
            federation.end(process.number, Unsynced::Kept);
        }
    }
    Ok(())
}

/// Of a machine and its copy the one that is left is started again, as its runbook says.
fn start_again(federation: &mut Federation) -> Judgement {
    for process in federation.honest() {
        if let Some(SigningStop::LaterStart { .. }) = process.store.signing_stop() {
            let is_alone = federation.of_member(process.member).len() == 1;
            if is_alone {
                federation.tell(format!("m{} is started again", process.member));
                let disk = federation.end(process.number, Unsynced::Kept);
                federation.start(process.member, disk, 0)?;
            }
        }
    }
    Ok(())
}

/// Waits until all are equal.
async fn settle(federation: &mut Federation) -> Judgement {
    let mut waited = Duration::ZERO;
    let mut held = String::new();
    loop {
        federation.run_for(LOOKS_EVERY).await;
        start_again(federation)?;
        federation.judge()?;
        waited += LOOKS_EVERY;
        let honest = federation.honest();
        let equal = invariant_equal_index_roots(&honest);
        let now = honest.first().map(|process| describe(process)).transpose()?;
        let is_quiet = now.as_ref().is_some_and(|now| *now == held);
        held = now.unwrap_or_default();
        match equal {
            Ok(()) if is_quiet && everybody_signs(federation).is_ok() => return Ok(()),
            Err(differs) if waited > SETTLES_WITHIN => return Err(differs),
            Ok(()) if waited > SETTLES_WITHIN => {
                return Err(everybody_signs(federation).err().unwrap_or_else(|| {
                    "invariant_a_federation_falls_silent: it goes on for ever".to_owned()
                }));
            }
            _ => {}
        }
        if waited == GIVES_UP_AFTER {
            give_up_lost_ends(federation);
        }
    }
}

/// Nobody has the end of the victim's log any more: its operator says so.
fn give_up_lost_ends(federation: &mut Federation) {
    for process in federation.of_member(federation.cast.victim) {
        let state = process.replication.own_log().state().borrow().clone();
        if let OwnLogState::Behind(stop) = state {
            federation.tell(format!("m{}: the end is given up: {stop}", process.member));
            federation.accident(true);
            let given_up = process.replication.own_log().override_quorum(&process.store);
            if let Err(error) = given_up {
                federation.tell(format!("m{}: {error}", process.member));
            }
        }
    }
}

fn everybody_signs(federation: &Federation) -> Judgement {
    for process in federation.honest() {
        let state = process.replication.own_log().state().borrow().clone();
        let is_clear = matches!(state, OwnLogState::Clear { .. });
        // A machine that was copied may have signed what stops its log; the stewards decide then.
        if !is_clear && !federation.journal.borrow().twice.contains_key(&process.member) {
            return Err(format!("invariant_everybody_signs: {}: {state:?}", process.name));
        }
    }
    every_record_is_registered(federation)
}

fn every_record_is_registered(federation: &Federation) -> Judgement {
    for process in federation.honest() {
        if federation.journal.borrow().twice.contains_key(&process.member) {
            continue;
        }
        for number in 0..federation.sources[process.member].count() {
            if !is_registered(&process, number) {
                return Err(format!(
                    "invariant_every_record_is_registered: {} lacks its record {number}",
                    process.name
                ));
            }
        }
    }
    Ok(())
}

/// Everybody who may sign registers one more record, and everybody has it.
async fn go_on(federation: &mut Federation) -> Judgement {
    for source in &federation.sources {
        source.add(1);
    }
    settle(federation).await
}

/// What was promised is there.
fn judge_the_end(federation: &Federation) -> Judgement {
    federation.judge()?;
    let journal = federation.journal.borrow();
    for process in federation.honest() {
        let member = process.member;
        let entry = |position| process.store.entry(&process.log, position).ok().flatten();
        let until = journal.twice.get(&member).copied().unwrap_or(u64::MAX);
        let kept = journal.kept_by_others.get(&member).copied().unwrap_or(u64::MAX);
        let told = journal.acknowledged.get(&member).into_iter().flatten();
        for told in told.filter(|told| told.position < until.min(kept)) {
            if entry(told.position).map(|entry| leaf_hash(&entry)) != Some(told.leaf) {
                return Err(format!(
                    "invariant_nothing_replicated_is_lost: {} lost entry {}",
                    process.name, told.position
                ));
            }
        }
        let registered = process.store.record_counts(&process.log).map_err(|e| e.to_string())?.0;
        let wanted = federation.sources[member].count();
        if !journal.twice.contains_key(&member) && registered != wanted {
            return Err(format!(
                "invariant_every_record_is_registered_once: {} has {registered} of {wanted}",
                process.name
            ));
        }
        invariant_stores_verify(&process)?;
    }
    Ok(())
}
