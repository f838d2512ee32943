//! Crashes: a process that is killed in each of the three windows of an append leaves a store that goes on.
//!
//! A child process runs the append and stops where it was told to; it is then killed as a power cut would do it.
#![cfg(all(unix, feature = "stop-points"))]

mod common;

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::full::fold;
use common::{Member, append, keys, register, says};
use sundbro_store::stop::StopPoint;
use sundbro_store::verify::verify_with;
use sundbro_store::{OwnDraft, RequestKey, Store};

const CHILD: &str = "SUNDBRO_TEST_CRASH_DIR";

fn member() -> Member {
    Member::new("hospital.example", 1)
}

fn draft(n: u8) -> OwnDraft {
    let mut draft = register(&member(), u64::from(n), &says(n, 1));
    draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
    draft
}

/// Not a test of its own: what the child process runs.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = member().open(Path::new(&dir));
    let first = store.log_head(&member().log()).expect("head").size() as u8;
    for n in first..200 {
        append(&store, &member(), vec![draft(n)]);
    }
}

fn killed_at(dir: &Path, point: StopPoint, skip: u32) {
    let mut child: Child = Command::new(std::env::current_exe().expect("this test"))
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, dir)
        .env("SUNDBRO_STOP_AT", point.name())
        // A pipe instead of a file: reading it waits for the child, and ends with it.
        .env("SUNDBRO_STOP_FILE", "/dev/stdout")
        .env("SUNDBRO_STOP_SKIP", skip.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let mut out = BufReader::new(child.stdout.take().expect("pipe")).bytes();
    let mut said = Vec::new();
    while !said.ends_with(point.name().as_bytes()) {
        said.push(out.next().expect("the child ended by itself").expect("read"));
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn a_kill_in_any_window_loses_nothing_accepted_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("store");
    let keys = keys(&[&member()]);
    let log = member().log();
    let mut size = 0;
    for round in 0..5 {
        for (point, durable) in
            [(StopPoint::PayloadLedger, 0), (StopPoint::LedgerGate, 1), (StopPoint::GateSend, 1)]
        {
            killed_at(&dir, point, round);
            let expected = size + u64::from(round) + durable;

            // An offline tool can read what was left behind, and leaves it as it is.
            let report = verify_with(&dir, &keys, None).expect("checked");
            assert!(report.is_sound(), "{point:?}: {:#?}", report.damages);
            let reader = Store::open_read_only(&dir).expect("readable");
            assert_eq!(reader.log_head(&log).expect("head").size(), expected, "{point:?}");
            drop(reader);

            let store = member().open(&dir);
            assert!(store.signing_stop().is_none(), "{point:?}");
            assert_eq!(store.log_head(&log).expect("head").size(), expected);
            // The client asks again for what it got no answer to: the last request before the kill.
            let last = (size + u64::from(round)) as u8;
            let again = append(&store, &member(), vec![draft(last)]);
            let outcome = again.outcomes[0].clone().expect("accepted");
            assert_eq!((outcome.position, outcome.replayed), (u64::from(last), durable == 1));
            fold(&store, &keys);
            size = store.log_head(&log).expect("head").size();
            assert_eq!(store.record_counts(&log).expect("counts"), (size, 0), "each once");
        }
    }
    assert!(verify_with(&dir, &keys, None).expect("checked").is_sound());
}
