//! Checks what stands beside the logs: blobs by their commitments, the audit log by its tree, and the index by folding
//! everything anew.

use redb::ReadableTable;
use sundbro_ledger::ids::LeafHash;
use sundbro_ledger::merkle::leaf_hash;

use super::tree::TreeCheck;
use super::{Files, Report, Trust, place};
use crate::audit::{AuditRecord, PendingAcknowledgement, frontier_in};
use crate::blobs::read_blob;
use crate::database::{ALL_KEYS, Db, ReadView, opened, walk};
use crate::error::{Damage, InFile, StoreError};
use crate::index::{Late, bind, fold_all, fold_into};
use crate::observe::check_own;
use crate::row::unversion;
use crate::tables::{
    self, ACKNOWLEDGEMENTS, AUDIT_ENTRIES, AUDIT_HASHES, AUDIT_HEAD, AUDIT_MESSAGES, AUDIT_RECORDS,
    BLOBS, CURSORS, INDEX_META, OWN_OBSERVED, StoreFile, Table,
};

pub(super) fn check_blobs(files: &Files, report: &mut Report) {
    let Some(db) = files.get(StoreFile::Payloads) else { return };
    report.part(&BLOBS, |report| {
        walk(&db.read()?.table(&BLOBS)?, &BLOBS, ALL_KEYS, |key, value| {
            if let Err(problem) = read_blob(key, value) {
                let problem = format!("blob {}: {problem}", hex::encode(&key[..key.len().min(4)]));
                report.found(Damage::of_table(&BLOBS, problem));
            }
            Ok(true)
        })
    });
}

pub(super) fn check_audit(files: &Files, report: &mut Report) {
    let Some(db) = files.get(StoreFile::Audit) else { return };
    let (mut records, mut messages) = (0, 0);
    report.part(&AUDIT_ENTRIES, |report| {
        let view = db.read()?;
        let mut tree = TreeCheck::new(&view, &AUDIT_HASHES, &[]);
        let mut suspects = Vec::new();
        walk(&view.table(&AUDIT_ENTRIES)?, &AUDIT_ENTRIES, ALL_KEYS, |key, value| {
            let position = tree.frontier().size();
            if key != position.to_be_bytes() {
                let damage = Damage::of_table(&AUDIT_ENTRIES, "the entry is not here");
                report.found(damage.at_position(position));
                return Ok(false);
            }
            let leaf = audit_entry(&view, position, value, (&mut records, &mut messages));
            let stored = tree.stored_leaf(position)?;
            if let Err(problem) = &leaf {
                let damage = Damage::of_table(&AUDIT_ENTRIES, problem);
                report.found(damage.at_position(position));
            } else if leaf.as_ref().ok() != stored.as_ref() {
                suspects.push((position, stored));
            }
            tree.append(leaf.ok().or(stored).unwrap_or(LeafHash::NONE))?;
            Ok(true)
        })?;
        let head = frontier_in(&view);
        let entries_are_sound = head.as_ref().is_ok_and(|head| head == tree.frontier());
        let hashes = tree.finish()?;
        if entries_are_sound {
            hashes.into_iter().for_each(|damage| report.found(damage));
        } else if suspects.is_empty() {
            hashes.into_iter().for_each(|damage| report.found(damage));
            if let Ok(head) = head {
                let (says, here) = (head.size(), tree.frontier().size());
                let problem = format!("the head says {says} entries, {here} are here, or others");
                report.found(Damage::of_table(&AUDIT_HEAD, problem));
            }
        } else {
            for (position, _) in suspects {
                let problem = "the entry does not have the leaf hash that the tree has";
                report.found(Damage::of_table(&AUDIT_ENTRIES, problem).at_position(position));
            }
        }
        Ok(())
    });
    for (table, expected) in [(&AUDIT_RECORDS, records), (&AUDIT_MESSAGES, messages)] {
        let there = report.rows.get(&(table.file, table.name)).copied().unwrap_or(0);
        // A message that two entries keep has one row.
        if there > expected && !report.is_damaged(StoreFile::Audit) {
            report.found(Damage::of_table(table, "rows that no entry stands behind"));
        }
    }
    report.part(&ACKNOWLEDGEMENTS, |report| {
        walk(&db.read()?.table(&ACKNOWLEDGEMENTS)?, &ACKNOWLEDGEMENTS, ALL_KEYS, |key, value| {
            if let Ok(body) = opened(&ACKNOWLEDGEMENTS, key, value)
                && let Err(problem) = PendingAcknowledgement::from_row(key, body)
            {
                report.found(Damage::of_table(&ACKNOWLEDGEMENTS, problem));
            }
            Ok(true)
        })
    });
}

/// The leaf of an audit entry, whose rows by record and by message are there.
fn audit_entry(
    view: &ReadView,
    position: u64,
    value: &[u8],
    (records, messages): (&mut u64, &mut u64),
) -> Result<LeafHash, String> {
    let entry = unversion(value).map_err(|problem| problem.to_string())?;
    let record = AuditRecord::from_bytes(entry).map_err(|problem| problem.to_string())?;
    if !record.record.is_empty() {
        *records += 1;
        let key = crate::audit::record_row_key(&record.record, position);
        if !view.get(&AUDIT_RECORDS, &key).is_ok_and(|row| row.is_some()) {
            return Err("the row that finds the entry by its record is not here".to_owned());
        }
    }
    if record.message_sha256 != [0; 32] {
        *messages += 1;
    }
    Ok(leaf_hash(entry))
}

/// Reckons our own observations anew: what the next one is built on must be what everybody else has.
pub(super) fn check_own_observed(files: &Files, report: &mut Report) {
    let (Some(ledger), Some(payloads)) =
        (files.get(StoreFile::Ledger), files.get(StoreFile::Payloads))
    else {
        return;
    };
    // With a damaged source there is nothing to compare with.
    if [StoreFile::Ledger, StoreFile::Payloads].iter().any(|file| report.is_damaged(*file)) {
        return;
    }
    report.part(&OWN_OBSERVED, |report| {
        if let Some(problem) = check_own(ledger, payloads)? {
            report.found(Damage::of_table(&OWN_OBSERVED, problem));
        }
        Ok(())
    });
}

/// Folds everything into a temporary file and compares row by row.
pub(super) fn check_index(files: &Files, trust: Option<&dyn Trust>, report: &mut Report) {
    let (Some(index), Some(ledger), Some(payloads)) =
        (files.get(StoreFile::Index), files.get(StoreFile::Ledger), files.get(StoreFile::Payloads))
    else {
        return;
    };
    let Some(trust) = trust else { return };
    // Beside a running gateway the index is a moment older than the ledger; with a damaged source there is nothing to
    // compare with.
    let ground = [StoreFile::Ledger, StoreFile::Payloads];
    if report.live || ground.iter().any(|file| report.is_damaged(*file)) {
        return;
    }
    report.part(&CURSORS, |report| {
        // A gateway that was killed may not have folded its last entries: the private copy catches up first.
        // One that stands on other payloads is derived anew by the next start, which is no damage.
        if !report.is_damaged(StoreFile::Index) {
            bind(index, payloads)?;
            let late = Late::new();
            while !fold_into(index, ledger, payloads, trust, &late)?.finished {}
        }
        let fresh = Db::temporary(StoreFile::Index).map_err(|error| {
            StoreError::damaged(Damage::of_file(StoreFile::Index, error.to_string()))
        })?;
        fold_all(&fresh, ledger, payloads, trust)?;
        // What the rows stand on follows only folds that changed something, so it may be older than the fresh one's.
        for table in tables::of(StoreFile::Index).filter(|it| it.name != INDEX_META.name) {
            compare(files, table, &index.read()?, &fresh.read()?, report)?;
        }
        Ok(())
    });
}

/// Names every row that is in one and not, or otherwise, in the other.
fn compare(
    files: &Files,
    table: &Table,
    stored: &ReadView,
    fresh: &ReadView,
    report: &mut Report,
) -> Result<(), StoreError> {
    let (stored, fresh) = (stored.table(table)?, fresh.table(table)?);
    let (mut left, mut right) =
        (stored.iter().in_file(table.file)?, fresh.iter().in_file(table.file)?);
    let next = |rows: &mut redb::Range<'_, &'static [u8], &'static [u8]>| {
        rows.next()
            .transpose()
            .in_file(table.file)
            .map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
    };
    let (mut here, mut wanted) = (next(&mut left)?, next(&mut right)?);
    loop {
        let (key, problem) = match (&here, &wanted) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if a == b => (None, ""),
            (Some(a), Some(b)) if a.0 == b.0 => (Some(&a.0), "the row is not what the logs say"),
            (Some(a), Some(b)) if a.0 > b.0 => (Some(&b.0), "a row is missing"),
            (None, Some(b)) => (Some(&b.0), "a row is missing"),
            (Some(a), _) => (Some(&a.0), "a row that no entry stands behind"),
        };
        if let Some(key) = key {
            report.found(place(files, table, key, Damage::of_table(table, problem)));
        }
        let (step_here, step_wanted) = match (&here, &wanted) {
            (Some(a), Some(b)) => (a.0 <= b.0, b.0 <= a.0),
            (here, wanted) => (here.is_some(), wanted.is_some()),
        };
        if step_here {
            here = next(&mut left)?;
        }
        if step_wanted {
            wanted = next(&mut right)?;
        }
    }
}
