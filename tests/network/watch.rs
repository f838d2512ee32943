//! What five gateways say of each other while the network between them is at fault, and how soon they are equal again.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::MEMBERS;
use crate::harness::{
    Coverage, Document, Federation, Heads, Located, Member, PATIENCE, holds_within_looking,
};
use crate::lan::{Fault, Lan};

/// What is promised after the cause of a break is gone.
const HEALED_WITHIN: Duration = Duration::from_secs(10);
/// Of four other active members, by the charter's default.
const RECOVERY_QUORUM: usize = 2;
/// How old the knowledge about a peer may be in an answer that claims to be complete.
const COVERAGE_MAX_AGE: Duration = Duration::from_secs(4);
/// How long heads may have been on their way: a connection on which nothing is acknowledged for as long is given up.
const LATE_HEADS: Duration = Duration::from_secs(6);
/// One look at all five takes so long on an idle machine; what is slower than this is slow by that factor.
const LOOK: Duration = Duration::from_millis(700);

/// At the rate of a slow line, a quarter of a minute.
const LARGE_RECORD_BYTES: usize = 1_000_000;

/// How often all are looked at while it counts when something happens.
const OFTEN: Duration = Duration::from_millis(250);
/// How often they are looked at otherwise.
const SELDOM: Duration = Duration::from_secs(1);

/// Lines for every gateway's configuration.
pub fn configuration() -> String {
    format!("coverage_max_age_ms = {}\n", COVERAGE_MAX_AGE.as_millis())
}

/// One fault, from before it to after it: how long it took after healing until all were equal.
pub fn cell(federation: &Federation, lan: &Lan, fault: &Fault) -> Result<Duration, String> {
    let began = Instant::now();
    let before = equal(federation).ok_or("they are not equal before the fault")?;
    let slack = slack(began.elapsed());
    lan.set(fault);
    let waiting = Waiting::default();
    let seen = during(federation, &before, fault, &waiting);
    let met = lan.heal(fault);
    let began = Instant::now();
    let limit = HEALED_WITHIN.mul_f64(slack);
    // What waited for a quorum is published as well.
    for (index, documents) in waiting.into_inner().expect("no panic") {
        published(&federation.members[index], &documents)?;
    }
    let healed = holds_within_looking(limit.max(PATIENCE), OFTEN, || equal(federation).is_some());
    let took = began.elapsed();
    seen?;
    if met == 0 {
        return Err("the fault has met no packet".to_owned());
    }
    if !healed || took > limit {
        return Err(format!("not equal {took:.1?} after healing; slack {slack:.1}"));
    }
    Ok(took)
}

/// Everybody who reaches a quorum publishes, and everybody's coverage tells what is so. What the others wrote.
fn during(
    federation: &Federation,
    before: &Heads,
    fault: &Fault,
    waiting: &Waiting,
) -> Result<(), String> {
    let count = if *fault == Fault::Slow { 25 } else { 2 };
    at_each_numbered(federation, |index, member| {
        let documents = member.write_documents(count);
        if has_quorum(index, fault) {
            return published(member, &documents);
        }
        waiting.lock().expect("no panic").push((index, documents));
        waits(member)
    })?;
    let registered = Instant::now();
    let own: Vec<u64> = federation.members.iter().map(|it| size(it, &it.name)).collect();
    at_each_numbered(federation, |index, member| {
        let is_so =
            |located: &Located| tells_the_truth(federation, index, located, before, &own, fault);
        match fault {
            Fault::Split(_) | Fault::OneWay(..) => becomes(member, is_so),
            Fault::Loss(_) | Fault::Slow => {
                // Whatever claims to be complete by then was computed from heads that cover what is registered.
                let late = COVERAGE_MAX_AGE + LATE_HEADS;
                holds_within_looking(late, SELDOM, || registered.elapsed() > late);
                becomes(member, is_so)
            }
        }
    })?;
    match fault {
        // Who cannot be called is heard of through the others.
        Fault::OneWay(..) => arrives(federation, "what passes through others"),
        Fault::Slow => {
            arrives(federation, "what passes slowly")?;
            comes_whole(federation)
        }
        Fault::Split(_) | Fault::Loss(_) => Ok(()),
    }
}

/// What must be so of an answer of one member while the fault lasts; why it is not.
fn tells_the_truth(
    federation: &Federation,
    index: usize,
    located: &Located,
    before: &Heads,
    own: &[u64],
    fault: &Fault,
) -> Result<(), String> {
    let coverage = &located.coverage;
    let cut_off = |other: usize| fault.parts(index, other);
    let any_cut = (0..own.len()).any(cut_off);
    if any_cut && coverage.replication_complete {
        return Err(format!("it claims to be complete: {}", coverage.summary));
    }
    for (other, member) in federation.members.iter().enumerate() {
        let log = coverage.of(&member.name);
        let reached = matches!(fault, Fault::Split(_) | Fault::OneWay(..));
        if reached && log.reachable == cut_off(other) {
            return Err(format!("of {}: reachable is {}", member.name, log.reachable));
        }
        let leaked = before.logs.get(&member.name).map_or(0, |(size, _)| *size);
        if matches!(fault, Fault::Split(_)) && cut_off(other) && log.committed_size != leaked {
            return Err(format!("{} entries of {} came through", log.committed_size, member.name));
        }
        if (coverage.replication_complete || (reached && !cut_off(other)))
            && log.committed_size < own[other]
        {
            let (here, there) = (log.committed_size, own[other]);
            return Err(format!("{here} of {there} entries of {} are here", member.name));
        }
    }
    if any_cut {
        names_who_is_missed(federation, coverage, cut_off)?;
    }
    Ok(())
}

/// The sentence for people names somebody who is cut off, and nobody who is not.
fn names_who_is_missed(
    federation: &Federation,
    coverage: &Coverage,
    cut_off: impl Fn(usize) -> bool,
) -> Result<(), String> {
    let named = |member: &Member| coverage.summary.contains(&format!("{}: ", member.name));
    let members = || federation.members.iter().enumerate();
    let right = members().any(|(other, member)| cut_off(other) && named(member));
    let wrong = members().find(|(other, member)| !cut_off(*other) && named(member));
    match (right, wrong) {
        (true, None) => Ok(()),
        (_, Some((_, member))) => Err(format!("{} is named: {}", member.name, coverage.summary)),
        (false, None) => Err(format!("nobody is named: {}", coverage.summary)),
    }
}

/// Waits until an answer of the member is as it must be.
fn becomes(member: &Member, is_so: impl Fn(&Located) -> Result<(), String>) -> Result<(), String> {
    let mut last = Err("it does not answer".to_owned());
    let so = holds_within_looking(PATIENCE, SELDOM, || {
        last = member.try_locate().map_or_else(|| last.clone(), |located| is_so(&located));
        last.is_ok()
    });
    if so { Ok(()) } else { last.map_err(|error| format!("at {}: {error}", member.name)) }
}

/// Documents of members that reach no quorum.
type Waiting = Mutex<Vec<(usize, Vec<Document>)>>;

/// Whether a member reaches the two others whose answers it needs to sign, of four.
fn has_quorum(index: usize, fault: &Fault) -> bool {
    let others = (0..MEMBERS).filter(|other| *other != index);
    others.filter(|other| !fault.parts(index, *other)).count() >= RECOVERY_QUORUM
}

/// Waits until the member says that it signs nothing, and why.
fn waits(member: &Member) -> Result<(), String> {
    let says = || {
        let status = member.try_status();
        status.is_some_and(|status| status.signing_stopped_reason == "NO_QUORUM")
    };
    match holds_within_looking(PATIENCE, SELDOM, says) {
        true => Ok(()),
        false => Err(format!("{} signs without a quorum:\n{}", member.name, member.last_lines())),
    }
}

/// Waits until the member's own gateway lists what it wrote.
fn published(member: &Member, documents: &[Document]) -> Result<(), String> {
    let listed = || {
        let listed = member.try_list().unwrap_or_default();
        documents.iter().all(|it| listed.iter().any(|pointer| pointer.digest() == it.digest()))
    };
    match holds_within_looking(PATIENCE, SELDOM, listed) {
        true => Ok(()),
        false => Err(format!("{} stopped publishing:\n{}", member.name, member.last_lines())),
    }
}

/// Waits until everything is everywhere though the fault lasts.
fn arrives(federation: &Federation, what: &str) -> Result<(), String> {
    match holds_within_looking(PATIENCE, OFTEN, || equal(federation).is_some()) {
        true => Ok(()),
        false => Err(format!("{what} does not arrive")),
    }
}

/// Fetches a record that takes its line longer than a connection may stay silent.
fn comes_whole(federation: &Federation) -> Result<(), String> {
    let (owner, asker) = (&federation.members[0], &federation.members[1]);
    let scan = owner.write_scan(LARGE_RECORD_BYTES);
    let mut name = None;
    holds_within_looking(PATIENCE, OFTEN, || {
        let located = asker.try_locate();
        let pointers = located.into_iter().flat_map(|it| it.pointers);
        name = pointers.into_iter().find(|it| it.digest() == scan.digest()).map(|it| it.name);
        name.is_some()
    });
    let name = name.ok_or("what passes slowly is not located")?;
    let (ended, out) = asker.get(&name, "doctor");
    match std::fs::read(out) {
        Ok(content) if content == scan.content && ended.code == 0 => Ok(()),
        _ => Err(format!("a large record does not pass slowly: {}", ended.stderr)),
    }
}

/// What all five hold, if that is the same: heads of all logs, and the root of the index.
pub fn equal(federation: &Federation) -> Option<Heads> {
    let mut heads = std::thread::scope(|scope| {
        let looks: Vec<_> =
            federation.members.iter().map(|it| scope.spawn(|| it.try_heads())).collect();
        looks.into_iter().map(|look| look.join().expect("no panic")).collect::<Option<Vec<_>>>()
    })?;
    let last = heads.pop()?;
    heads.iter().all(|heads| *heads == last).then_some(last)
}

/// How much longer things may take on this machine than on an idle one: its load on each core, or the time of one look.
fn slack(look: Duration) -> f64 {
    let slow = look.as_secs_f64() / LOOK.as_secs_f64();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    (load / cores).max(slow).max(1.0)
}

fn size(member: &Member, of: &str) -> u64 {
    member.try_heads().and_then(|heads| heads.logs.get(of).map(|log| log.0)).unwrap_or_default()
}

/// Looks at all members at once; the first complaint.
fn at_each_numbered(
    federation: &Federation,
    look: impl Fn(usize, &Member) -> Result<(), String> + Sync,
) -> Result<(), String> {
    let look = &look;
    std::thread::scope(|scope| {
        let looks: Vec<_> = federation
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| scope.spawn(move || look(index, member)))
            .collect();
        looks.into_iter().try_for_each(|look| look.join().expect("no panic"))
    })
}
