//! Five gateways, each in a network namespace of its own, and every fault of the network between them: whoever reaches a
//! quorum goes on publishing, the others wait and say so, coverage tells what is so, and within ten seconds of healing all
//! are equal.

#[path = "../federation/harness/mod.rs"]
mod harness;
mod lan;
mod watch;

use std::sync::Mutex;
use std::time::Duration;

use harness::{Federation, Member};
use lan::{Fault, Lan};

/// Members of a federation.
const MEMBERS: usize = 5;
/// Federations among which the cells are shared out: most of a cell is waiting.
const LANES: usize = 3;

/// Every cell: each way to part five members in two, lines of which one way is dead, lost packets, slow lines.
fn faults() -> Vec<Fault> {
    // The last member is always on the other side: a side and its complement are one split.
    let splits = (1..1_u32 << (MEMBERS - 1)).map(|side| {
        Fault::Split((0..MEMBERS - 1).filter(|index| side & (1 << index) != 0).collect())
    });
    let one_way = [(0, 1), (1, 0), (2, 4), (4, 3)].map(|(from, to)| Fault::OneWay(from, to));
    splits.chain(one_way).chain([Fault::Loss(10), Fault::Loss(30), Fault::Slow]).collect()
}

/// What became of one cell.
type Outcome = (Fault, Result<Duration, String>);

#[test]
fn every_fault_is_told_and_heals() {
    lan::remove_leftovers();
    if let Some(reason) = lan::unavailable() {
        println!("SKIPPED: no network namespaces: {reason}");
        return;
    }
    // For whoever works on one of them.
    let only = std::env::var("SUNDBRO_ONLY").unwrap_or_default();
    let chosen: Vec<Fault> =
        faults().into_iter().filter(|fault| fault.to_string().contains(&only)).collect();
    let count = chosen.len();
    let waiting = Mutex::new(chosen);
    let done: Mutex<Vec<Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| lane(&waiting, &done));
        }
    });
    let done = done.into_inner().expect("no panic");
    report(&done);
    assert_eq!(done.len(), count, "every cell was tried");
}

/// One federation, and cells until none is left.
fn lane(waiting: &Mutex<Vec<Fault>>, done: &Mutex<Vec<Outcome>>) {
    let lan = Lan::new(MEMBERS);
    let mut federation = Federation::found_at((0..MEMBERS).map(|it| lan.place(it)).collect());
    federation.members.iter().for_each(|member| member.configure_first(&watch::configuration()));
    federation.members.iter_mut().for_each(Member::start);
    federation.await_equal();
    loop {
        let Some(fault) = waiting.lock().expect("no panic").pop() else { break };
        let outcome = watch::cell(&federation, &lan, &fault);
        match &outcome {
            Ok(took) => println!("{fault}: equal {took:.1?} after healing"),
            Err(error) => println!("{fault}: {error}"),
        }
        done.lock().expect("no panic").push((fault, outcome));
    }
    federation.finish();
}

fn report(done: &[Outcome]) {
    let took: Vec<_> = done.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).collect();
    println!("equal after healing: {:.1?} at most", took.iter().max());
    let unexpected = done.len() - took.len();
    for (fault, outcome) in done {
        if let Err(error) = outcome {
            println!("UNEXPECTED {fault}: {error}");
        }
    }
    println!("CELLS {} tried, {} as expected, {unexpected} unexpected", done.len(), took.len());
    assert_eq!(unexpected, 0, "see above");
}
