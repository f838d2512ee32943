//! Checks the logs: signatures, links, tree hashes, checkpoints, and that the signing gate fits our own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::ids::{LeafHash, LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{EMPTY_ROOT, leaf_hash};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::transaction::SignedTransaction;

use super::tree::TreeCheck;
use super::{Files, Report, Trust};
use crate::database::{ALL_KEYS, Db, ReadView, opened, prefix_end, walk};
use crate::error::{Damage, StoreError};
use crate::gate::{ReadGateError, SigningGate};
use crate::logs::{CheckpointKind, CheckpointRow, LogState, checkpoint_in, head_in, log_key};
use crate::own::request_row;
use crate::row::unversion;
use crate::store::Identity;
use crate::tables::{
    CHECKPOINTS, ENTRIES, HASHES, LEDGER_META, LOG_STATES, LOGS, REQUESTS, StoreFile,
};

pub(super) fn check(files: &Files, trust: Option<&dyn Trust>, gate: &Path, report: &mut Report) {
    let Some(db) = files.get(StoreFile::Ledger) else { return };
    // Before the ledger: a gateway that is running writes the ledger first, so what is read here is not ahead of it.
    let gate = SigningGate::read(gate);
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
                check_gate(&gate, &one, report);
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

/// One log, entry by entry.
struct OneLog<'a> {
    view: &'a ReadView,
    log: LogId,
    trust: Option<&'a dyn Trust>,
    tree: TreeCheck<'a>,
    /// The chain of verified entries, as long as none was damaged.
    chain: Option<LogHead>,
    verified: u64,
    /// Sizes at which somebody says what the root is.
    roots: BTreeMap<u64, RootHash>,
    damaged: bool,
}

impl<'a> OneLog<'a> {
    fn new(view: &'a ReadView, log: LogId, trust: Option<&'a dyn Trust>) -> Self {
        let tree = TreeCheck::new(view, &HASHES, &log_key(&log));
        let chain = trust.map(|_| LogHead::new(log));
        let roots = BTreeMap::from([(0, EMPTY_ROOT)]);
        Self { view, log, trust, tree, chain, verified: 0, roots, damaged: false }
    }

    fn size(&self) -> u64 {
        self.tree.frontier().size()
    }

    fn want_root(&mut self, size: u64) {
        self.roots.entry(size).or_insert(EMPTY_ROOT);
    }

    fn root_at(&self, size: u64) -> Option<RootHash> {
        self.roots.get(&size).filter(|_| size <= self.size()).copied()
    }

    fn check(&mut self, report: &mut Report) -> Result<(), StoreError> {
        let head = match head_in(self.view, &self.log) {
            Ok(head) => Some(head),
            Err(error) => {
                report.stumbled(&LOGS, in_log(error, self.log));
                None
            }
        };
        let mut checkpoints = Vec::new();
        for kind in [CheckpointKind::Committed, CheckpointKind::NewestSeen] {
            match checkpoint_in(self.view, &self.log, kind) {
                Ok(row) => checkpoints.extend(row),
                Err(error) => report.stumbled(&CHECKPOINTS, in_log(error, self.log)),
            }
        }
        for row in &checkpoints {
            self.want_root(row.size);
        }
        self.entries(report)?;
        for damage in self.tree.finish()? {
            self.damaged = true;
            report.found(damage.in_log(self.log));
        }
        if let Some(head) = head
            && !self.damaged
            && head.frontier() != self.tree.frontier()
        {
            let problem =
                format!("the head says {} entries, {} are here", head.size(), self.size());
            report.found(Damage::of_table(&LOGS, problem).in_log(self.log));
        }
        for row in &checkpoints {
            if let Err(problem) = self.checkpoint(row) {
                let damage = Damage::of_table(&CHECKPOINTS, problem);
                report.found(damage.in_log(self.log));
            }
        }
        report.logs.insert(self.log, self.verified);
        Ok(())
    }

    fn entries(&mut self, report: &mut Report) -> Result<(), StoreError> {
        let prefix = log_key(&self.log);
        let end = prefix_end(&prefix);
        let rows = self.view.table(&ENTRIES)?;
        walk(&rows, &ENTRIES, &prefix[..]..&end[..], |key, value| {
            let position = self.size();
            let damage = |problem: String| Damage::of_table(&ENTRIES, problem);
            if key.get(8..) != Some(&position.to_be_bytes()[..]) {
                self.damaged = true;
                let damage = damage("the entry is not here".to_owned());
                report.found(damage.at(self.log, position));
                return Ok(false);
            }
            let stored = self.tree.stored_leaf(position)?;
            let leaf = match self.entry(value, stored) {
                Ok(leaf) => leaf,
                Err((leaf, problem)) => {
                    self.damaged = true;
                    report.found(damage(problem).at(self.log, position));
                    // What the tree says stood here lets the entries after it be checked.
                    stored.unwrap_or(leaf)
                }
            };
            self.tree.append(leaf)?;
            if let Some(root) = self.roots.get_mut(&(position + 1)) {
                *root = self.tree.frontier().root();
            }
            Ok(true)
        })
    }

    /// The leaf of a sound entry; of another one the leaf that it has, and what is wrong.
    fn entry(
        &mut self,
        value: &[u8],
        stored: Option<LeafHash>,
    ) -> Result<LeafHash, (LeafHash, String)> {
        let body = unversion(value).unwrap_or(value);
        let leaf = leaf_hash(body);
        if let Err(problem) = unversion(value) {
            self.chain = None;
            return Err((leaf, problem.to_string()));
        }
        let entry = Bytes::copy_from_slice(body);
        if let (Some(chain), Some(trust)) = (&mut self.chain, self.trust) {
            let verified = chain
                .verify_entry(entry, trust)
                .map_err(|refusal| refusal.to_string())
                .and_then(|entry| chain.append(&entry).map_err(|error| error.to_string()));
            if let Err(problem) = verified {
                self.chain = None;
                return Err((leaf, problem));
            }
            self.verified += 1;
            return Ok(leaf);
        }
        // The chain is broken: what is left is the hash in the tree and the entry's own signature.
        if stored != Some(leaf) {
            return Err((
                leaf,
                "the entry does not have the leaf hash that the tree has".to_owned(),
            ));
        }
        let Some(trust) = self.trust else { return Ok(leaf) };
        match signed(&self.log, entry, trust) {
            Ok(()) => {
                self.verified += 1;
                Ok(leaf)
            }
            Err(problem) => Err((leaf, problem)),
        }
    }

    fn checkpoint(&self, row: &CheckpointRow) -> Result<(), String> {
        let note = UnverifiedCheckpoint::parse_of(&self.log, &row.note)
            .map_err(|error| error.to_string())?;
        if note.size() != row.size || *note.root() != row.root {
            return Err("the note says something else than the row".to_owned());
        }
        if let Some(trust) = self.trust {
            let key = trust.checkpoint_key(&note);
            let key = key.ok_or("no key of the charter may have signed the checkpoint")?;
            note.verify(&key).map_err(|error| error.to_string())?;
        }
        if !self.damaged && self.root_at(row.size).is_some_and(|root| root != row.root) {
            return Err(format!("the entries have another root at size {}", row.size));
        }
        Ok(())
    }
}

fn in_log(error: StoreError, log: LogId) -> StoreError {
    match error {
        StoreError::Damaged(damage) => StoreError::damaged(damage.in_log(log)),
        other => other,
    }
}

/// One entry by itself: canonical, of this log, and signed by the key that it names.
fn signed(log: &LogId, entry: Bytes, trust: &dyn Trust) -> Result<(), String> {
    use sundbro_ledger::log::KeyVerdict;

    let parsed = SignedTransaction::from_entry(entry).map_err(|error| error.to_string())?;
    let header = parsed.header();
    if header.log_id != *log {
        return Err("the entry names another log".to_owned());
    }
    let verdict =
        trust.transaction_key(log, header.charter_version, header.key_id, header.position);
    match verdict {
        KeyVerdict::Key(key) => key
            .verify(
                Purpose::Transaction,
                &trust.federation_id(),
                parsed.header_bytes(),
                parsed.signature(),
            )
            .map_err(|error| error.to_string()),
        KeyVerdict::Waiting => {
            Err("the charter version that the entry names is not here".to_owned())
        }
        KeyVerdict::Invalid(problem) => Err(problem.to_owned()),
    }
}
