//! Checks the ledger: every log, that the signing gate fits our own, and the rows beside the logs.

use std::collections::BTreeSet;
use std::path::Path;

use sundbro_ledger::ids::LogId;

use super::log::OneLog;
use super::{Files, Report, Trust};
use crate::database::{ALL_KEYS, Db, opened, walk};
use crate::error::Damage;
use crate::gate::{ReadGateError, SigningGate};
use crate::left::left_in;
use crate::logs::LogState;
use crate::own::request_row;
use crate::store::Identity;
use crate::tables::{ENTRIES, LEDGER_META, LOG_STATES, REQUESTS, StoreFile};

pub(super) fn check(files: &Files, trust: Option<&dyn Trust>, gate: &Path, report: &mut Report) {
    let Some(db) = files.get(StoreFile::Ledger) else { return };
    // Before the ledger: a gateway that is running writes the ledger first, so what is read here is not ahead of it.
    let gate = SigningGate::read(&*files.disk, gate);
    let mut own = None;
    report.part(&LEDGER_META, |report| {
        let identity = Identity::read(&db.read()?)?;
        if identity.is_none() {
            let problem = "it does not say to whom the store belongs";
            report.found(Damage::of_table(&LEDGER_META, problem));
        }
        own = identity.map(|identity| identity.own_log);
        Ok(())
    });
    let mut entries = 0;
    let mut own_size = 0;
    // Our own log also where the ledger knows nothing of it: the gate may tell of entries that were lost.
    let logs: BTreeSet<LogId> = files.logs.values().copied().chain(own).collect();
    for log in logs {
        let is_own = own == Some(log);
        let gate_size = gate.as_ref().ok().and_then(|gate| gate.as_ref()).map(|gate| gate.size);
        report.part(&ENTRIES, |report| {
            let view = db.read()?;
            let mut one = OneLog::new(&view, log, trust);
            one.want_root(gate_size.filter(|_| is_own).unwrap_or(0));
            one.check(report)?;
            entries += one.size();
            if is_own {
                own_size = one.size();
                let left = match &gate {
                    Ok(Some(gate)) => left_in(&view, gate)?.is_some(),
                    _ => false,
                };
                // A gate on a branch that was left says nothing about the one that is here.
                if !left {
                    check_gate(&gate, &one, report);
                }
            }
            Ok(())
        });
    }
    let there = report.rows.get(&(StoreFile::Ledger, ENTRIES.name)).copied().unwrap_or(0);
    if there > entries && !report.is_damaged(StoreFile::Ledger) {
        let problem = format!("{} entries belong to no log that is listed", there - entries);
        report.found(Damage::of_table(&ENTRIES, problem));
    }
    check_requests(db, own_size, report);
    check_states(db, report);
    super::outbox::check(db, report);
}

fn check_gate(
    gate: &Result<Option<SigningGate>, ReadGateError>,
    own: &OneLog<'_>,
    report: &mut Report,
) {
    let problem = match gate {
        Err(error) => Some(error.to_string()),
        Ok(None) if own.size() > 0 => Some("the signing gate is missing".to_owned()),
        Ok(None) => None,
        Ok(Some(gate)) if gate.log != own.log => Some("it is the gate of another log".to_owned()),
        Ok(Some(gate)) if gate.size > own.size() => Some(format!(
            "{} entries were signed, the ledger holds {}: put back a newer ledger",
            gate.size,
            own.size()
        )),
        Ok(Some(gate)) => (own.root_at(gate.size) != Some(gate.root))
            .then(|| format!("our log has another root at size {} than was signed", gate.size)),
    };
    if let Some(problem) = problem {
        report.found(Damage::of_file(StoreFile::Gate, problem).in_log(own.log));
    }
}

fn check_requests(db: &Db, own_size: u64, report: &mut Report) {
    report.part(&REQUESTS, |report| {
        walk(&db.read()?.table(&REQUESTS)?, &REQUESTS, ALL_KEYS, |key, value| {
            // A value that is not as it was sealed is named by the check of all rows.
            if let Ok(body) = opened(&REQUESTS, key, value)
                && !request_row(body).is_ok_and(|(_, position)| position < own_size)
            {
                report.found(Damage::of_table(&REQUESTS, "a row names no entry of our own log"));
            }
            Ok(true)
        })
    });
}

fn check_states(db: &Db, report: &mut Report) {
    report.part(&LOG_STATES, |report| {
        walk(&db.read()?.table(&LOG_STATES)?, &LOG_STATES, ALL_KEYS, |key, value| {
            if let Ok(body) = opened(&LOG_STATES, key, value)
                && let Err(problem) = LogState::from_body(body)
            {
                report.found(Damage::of_table(&LOG_STATES, problem));
            }
            Ok(true)
        })
    });
}
