//! Every operation of every path that writes, failed before and after its effect, and cut with the power.
//!
//! A path is a list of steps, each of which is acknowledged when it returns. Its clean run says which operations of the
//! disk it takes (writes, lengths, syncs, and each step of the signing gate) and what every row of every file is after
//! each step. Then, for every operation, the path runs anew and that operation goes wrong. What the disk holds then
//! must be old or new, never between:
//!
//! - Within one file the rows are all those of before the step or all those of after it: one transaction. The signing
//!   gate counts as a file with one row.
//! - Across files a step becomes durable in the order payloads, ledger, gate; so where a file is new, the files before it
//!   are. The index and the audit log are written by steps of their own.
//! - What was acknowledged is there: the steps before the one that failed are new, and a step that returned Ok is.
//! - `verify` finds nothing. The store opens, signs on at the position after its last entry, and no entry is another one
//!   than before: nothing is signed twice.
//!
//! After an error without a power cut the same process does the step again and goes on, though redb takes nothing more
//! from a file that failed once: the store opens it anew. Nothing that was acknowledged is missing, also when the power
//! goes after that.
//!
//! `SUNDBRO_TEST_SCALE` multiplies how many seeds tear what was not synced.

#[path = "../common/mod.rs"]
mod common;
mod controls;
mod paths;
mod rows;
mod runner;
mod starts;
mod world;

use runner::run;

#[test]
fn our_own_log() {
    run(&paths::own());
}

#[test]
fn drafts_that_wait() {
    run(&paths::outbox());
}

#[test]
fn a_replica() {
    run(&paths::replica());
}

#[test]
fn charters_and_states_of_logs() {
    run(&paths::charters());
}

#[test]
fn the_audit_log() {
    run(&paths::audit());
}

#[test]
fn the_index() {
    run(&paths::fold());
    run(&paths::rebuild());
}

#[test]
fn locators_and_quarantine() {
    run(&paths::locators());
}
