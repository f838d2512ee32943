//! Whole federations on one thread: real ledger, store, publisher and replication over a simulated network, clock and disks.
//!
//! A seed gives everything: who is dishonest, what happens when, whose turn it is, which bytes a power cut leaves. What fails
//! prints its seed and the command that runs it again. `SUNDBRO_TEST_SCALE` multiplies how many seeds are run.

mod executor;
mod federation;
#[path = "../../gateway/tests/support/founders.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod founders;
mod invariants;
mod journal;
mod malice;
mod network;
mod process;
mod source;
mod story;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Seeds of one run of the tests.
const SEEDS: u64 = 200;
/// A seed that takes longer never ends: some task asks itself again and again and lets no other run.
const ENDLESS: Duration = Duration::from_secs(300);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Ends the whole process, and says which seed it was, when a run does not end before this is dropped.
struct Watchdog(#[expect(dead_code, reason = "its end is what is waited for")] Sender<()>);

impl Watchdog {
    fn over(seed: u64) -> Self {
        let (running, ended) = channel::<()>();
        std::thread::spawn(move || {
            if ended.recv_timeout(ENDLESS) == Err(RecvTimeoutError::Timeout) {
                eprintln!(
                    "seed {seed}: it did not end in {ENDLESS:?}: look with a debugger at what runs"
                );
                std::process::exit(101);
            }
        });
        Self(running)
    }
}

/// Runs one seed; a panic in it is a failure too.
fn run(seed: u64) -> Result<story::Told, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let story = federation::Story::default();
    let copy = story.clone();
    let told = std::panic::catch_unwind(AssertUnwindSafe(move || story::run(seed, path, copy)));
    told.unwrap_or_else(|_| Err("it panicked".to_owned())).map_err(|broken| {
        let story = story.borrow().join("\n");
        format!(
            "seed {seed}:\n{story}\n=> {broken}\nRun it again: SUNDBRO_SIMULATION_SEED={seed} cargo test -p sundbro-tests \
             --all-features --test simulation one_seed -- --nocapture"
        )
    })
}

#[test]
fn whatever_happens_nothing_is_lost_or_doubled_and_all_agree_again() {
    let first = number("SUNDBRO_SIMULATION_FIRST").unwrap_or(0);
    let count = SEEDS * number("SUNDBRO_TEST_SCALE").unwrap_or(1).max(1);
    let count = number("SUNDBRO_SIMULATION_SEEDS").unwrap_or(count);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let began = std::time::Instant::now();
    let work = || {
        let (mut sums, mut failures) = ([0_u64; 4], Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return (sums, failures);
            }
            let running = Watchdog::over(seed);
            let ended = run(seed);
            drop(running);
            match ended {
                Ok(told) => {
                    let one = [told.polls, told.signed as u64, told.witnessed as u64, told.malice];
                    sums.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
                }
                Err(failure) => {
                    eprintln!("{failure}");
                    failures.push(seed);
                    if number("SUNDBRO_SIMULATION_UNTIL_FAILURE").is_some() {
                        next.store(first + count, Ordering::Relaxed);
                    }
                }
            }
        }
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let sum = |at: usize| done.iter().map(|(sums, _)| sums[at]).sum::<u64>();
    let failures: Vec<u64> = done.iter().flat_map(|(_, failures)| failures.clone()).collect();
    println!(
        "{count} seeds from {first} in {:?}: {} turns, {} entries of honest members, {} of them witnessed, {} frames \
         withheld, replayed, damaged or lied in; {} failed",
        began.elapsed(),
        sum(0),
        sum(1),
        sum(2),
        sum(3),
        failures.len()
    );
    assert!(failures.is_empty(), "failed: {failures:?}");
}

#[test]
fn a_seed_gives_the_same_run_each_time() {
    for seed in [1, 2, 3] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs the seed that `SUNDBRO_SIMULATION_SEED` names, and tells its story.
#[test]
fn one_seed() {
    let Some(seed) = number("SUNDBRO_SIMULATION_SEED") else { return };
    // RUST_LOG=sundbro_gateway=debug tells what the gateways say.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .without_time()
        .init();
    match run(seed) {
        Ok(told) => println!("{told:#?}"),
        Err(failure) => panic!("{failure}"),
    }
}
