//! What must hold after each event, and what must hold once everything is healed.

use std::path::Path;
use std::rc::Rc;

use sundbro_gateway::replication::{MAX_FRAME_BYTES, OUTBOUND_FRAMES};
use sundbro_ledger::merkle::leaf_hash;
use sundbro_store::LogState;
use sundbro_store::verify::verify_on;

use crate::journal::Journal;
use crate::network::Network;
use crate::process::{FOLDER, Process};

/// Which rule was broken, and how.
pub type Judgement = Result<(), String>;

/// After each event, over the honest gateways that run.
pub fn after_an_event(journal: &Journal, network: &Network, running: &[Rc<Process>]) -> Judgement {
    if let Some(violation) = &journal.violation {
        return Err(violation.clone());
    }
    for process in running.iter().filter(|process| journal.cast.is_honest(process.member)) {
        invariant_nothing_acknowledged_is_lost(journal, process)?;
        invariant_no_honest_log_is_stopped(journal, process, running)?;
    }
    invariant_no_buffer_is_above_its_limit(network)
}

/// What a local system was told is in its gateway's log; after a restore or of a copy, what others held of it.
pub fn invariant_nothing_acknowledged_is_lost(journal: &Journal, process: &Process) -> Judgement {
    let member = process.member;
    if journal.accidents.contains(&member) {
        return Ok(());
    }
    for told in journal.acknowledged.get(&member).into_iter().flatten() {
        let held = process.store.entry(&process.log, told.position);
        // A disk that fails tells nothing.
        let Ok(held) = held else { continue };
        if held.as_deref().map(leaf_hash) != Some(told.leaf) {
            return Err(format!(
                "invariant_nothing_acknowledged_is_lost: {} lost entry {}",
                process.name, told.position
            ));
        }
    }
    Ok(())
}

/// No member's log stops anywhere, unless its own machine was restored or copied and signed where nobody had witnessed.
pub fn invariant_no_honest_log_is_stopped(
    journal: &Journal,
    process: &Process,
    running: &[Rc<Process>],
) -> Judgement {
    let mut logs: Vec<_> = running.iter().map(|other| (other.member, other.log)).collect();
    logs.dedup();
    for (member, log) in logs {
        if !journal.cast.is_honest(member) || journal.twice.contains_key(&member) {
            continue;
        }
        let Ok(status) = process.store.log_status(&log) else { continue };
        if let LogState::Stopped { position, reason } = status.state {
            return Err(format!(
                "invariant_no_honest_log_is_stopped: {} stopped the log of member {member} at {position}: {reason}",
                process.name
            ));
        }
    }
    match process.store.signing_stop() {
        Some(stop) if !stop.is_passing() && !journal.accidents.contains(&process.member) => {
            Err(format!("invariant_no_honest_log_is_stopped: {}: {stop}", process.name))
        }
        _ => Ok(()),
    }
}

/// Frames and what waits of them.
pub fn invariant_no_buffer_is_above_its_limit(network: &Network) -> Judgement {
    let (bytes, frames) = (network.largest_frame.get(), network.longest_line.get());
    if bytes > MAX_FRAME_BYTES || frames > OUTBOUND_FRAMES + 1 {
        return Err(format!(
            "invariant_no_buffer_is_above_its_limit: a frame of {bytes} bytes, {frames} frames on a line"
        ));
    }
    Ok(())
}

/// Everybody holds the same of every log, in the same state, and has the same index.
pub fn invariant_equal_index_roots(running: &[Rc<Process>]) -> Judgement {
    let mut first: Option<(String, String)> = None;
    for process in running {
        let seen = describe(process)?;
        match &first {
            None => first = Some((process.name.to_string(), seen)),
            Some((name, held)) if *held != seen => {
                return Err(format!(
                    "invariant_equal_index_roots: {name} has\n{held}and {} has\n{seen}",
                    process.name
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The logs that a gateway follows, with sizes, roots and states, and its index root.
pub fn describe(process: &Process) -> Result<String, String> {
    use std::fmt::Write as _;
    let error = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", process.name);
    let mut text = String::new();
    for status in process.store.log_states().map_err(|e| error(&e))? {
        let counts = process.store.index_counts(&status.log).map_err(|e| error(&e))?;
        let (size, root, state) = match &status.state {
            // How much of a log that is stopped came here says nothing: what counts ends where it stopped.
            LogState::Stopped { position, .. } => (*position, String::new(), "stopped"),
            LogState::Followed => (status.committed_size, format!("{:?}", status.root), "followed"),
            LogState::Stalled { .. } => (status.committed_size, String::new(), "stalled"),
            LogState::Waiting { .. } => (status.committed_size, String::new(), "waiting"),
        };
        let missing = counts.missing_blobs;
        let _ = writeln!(text, "  {:?} {size} {root} {state} missing {missing}", status.log);
    }
    let roots = process.store.index_roots().map_err(|e| error(&e))?;
    let _ = writeln!(text, "  index {:?} charter {}", roots.index_root, process.charter.version());
    Ok(text)
}

/// Every signature, link, hash and row on the disk of a gateway that was stopped.
pub fn invariant_stores_verify(process: &Process) -> Judgement {
    let history = process.charter.history();
    let disk = process.disk.after_power_cut(sundbro_store::testing::Unsynced::Kept);
    let report = verify_on(disk.shared(), Path::new(FOLDER), &*history, None)
        .map_err(|error| format!("invariant_stores_verify: {}: {error}", process.name))?;
    if report.is_sound() {
        return Ok(());
    }
    Err(format!("invariant_stores_verify: {}: {:?}", process.name, report.damages))
}
