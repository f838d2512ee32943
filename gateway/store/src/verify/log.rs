//! Checks one log, entry by entry: signatures and links, tree hashes, head and checkpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::ids::{FederationId, LeafHash, LogId, RootHash};
use sundbro_ledger::log::{KeyBook, KeyVerdict, LogHead, Refusal, WaitingReason};
use sundbro_ledger::merkle::{EMPTY_ROOT, leaf_hash};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::transaction::{Header, SignedTransaction};

use super::tree::TreeCheck;
use super::{Report, Trust};
use crate::database::{ReadView, prefix_end, walk};
use crate::error::{Damage, StoreError};
use crate::logs::{CheckpointKind, CheckpointRow, checkpoint_in, head_in, log_key};
use crate::row::unversion;
use crate::tables::{CHECKPOINTS, ENTRIES, HASHES, LOGS};

/// What was checked of the log so far.
pub(super) struct OneLog<'a> {
    view: &'a ReadView,
    pub(super) log: LogId,
    trust: Option<&'a dyn Trust>,
    tree: TreeCheck<'a>,
    /// The chain of verified entries, as long as none was damaged.
    chain: Option<LogHead>,
    /// Leaf of the entry before, as far as entry or tree tells.
    previous: Option<LeafHash>,
    verified: u64,
    /// Sizes at which somebody says what the root is.
    roots: BTreeMap<u64, RootHash>,
    damaged: bool,
}

impl<'a> OneLog<'a> {
    pub(super) fn new(view: &'a ReadView, log: LogId, trust: Option<&'a dyn Trust>) -> Self {
        let tree = TreeCheck::new(view, &HASHES, &log_key(&log));
        let chain = trust.map(|_| LogHead::new(log));
        let roots = BTreeMap::from([(0, EMPTY_ROOT)]);
        let previous = Some(LeafHash::NONE);
        Self { view, log, trust, tree, chain, previous, verified: 0, roots, damaged: false }
    }

    pub(super) fn size(&self) -> u64 {
        self.tree.frontier().size()
    }

    pub(super) fn want_root(&mut self, size: u64) {
        self.roots.entry(size).or_insert(EMPTY_ROOT);
    }

    pub(super) fn root_at(&self, size: u64) -> Option<RootHash> {
        self.roots.get(&size).filter(|_| size <= self.size()).copied()
    }

    pub(super) fn check(&mut self, report: &mut Report) -> Result<(), StoreError> {
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
                Ok(row) => checkpoints.extend(row.map(|row| (kind, row))),
                Err(error) => report.stumbled(&CHECKPOINTS, in_log(error, self.log)),
            }
        }
        for (_, row) in &checkpoints {
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
        for (kind, row) in &checkpoints {
            if let Err(problem) = self.checkpoint(*kind, row) {
                let damage = Damage::of_table(&CHECKPOINTS, problem);
                report.found(damage.in_log(self.log));
            }
        }
        // Our own log is looked at before it has an entry; only logs that have some count.
        if self.size() > 0 {
            report.logs.insert(self.log, self.verified);
        }
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
                Ok(leaf) => {
                    self.previous = Some(leaf);
                    leaf
                }
                Err((leaf, problem)) => {
                    self.damaged = true;
                    self.previous = stored;
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
        // Taken, and put back only by a sound entry.
        if let (Some(mut chain), Some(trust)) = (self.chain.take(), self.trust) {
            match chain.verify_entry(entry.clone(), &Then(trust)) {
                Ok(entry) => {
                    chain.append(&entry).map_err(|error| (leaf, error.to_string()))?;
                    self.chain = Some(chain);
                    self.verified += 1;
                    return Ok(leaf);
                }
                // It follows; who may sign it is open until the version that stands twice is healed.
                Err(Refusal::Waiting { reason: WaitingReason::CharterVersion(_), .. }) => {}
                Err(refusal) => return Err((leaf, reason(&refusal))),
            }
        }
        // The chain is broken, or waits: what is left is the hash in the tree, the link to the entry before, and the
        // entry's own signature.
        if stored != Some(leaf) {
            return Err((
                leaf,
                "the entry does not have the leaf hash that the tree has".to_owned(),
            ));
        }
        let Some(trust) = self.trust else { return Ok(leaf) };
        match entry_alone(&self.log, self.size(), self.previous, entry, trust) {
            Ok(signed) => {
                self.verified += u64::from(signed);
                Ok(leaf)
            }
            Err(problem) => Err((leaf, problem)),
        }
    }

    fn checkpoint(&self, kind: CheckpointKind, row: &CheckpointRow) -> Result<(), String> {
        checkpoint_alone(&self.log, row, self.trust)?;
        // What was seen and did not come may be of another history that the author has signed too: its fault, not the
        // disk's.
        let is_ours = kind == CheckpointKind::Committed && !self.damaged;
        if is_ours && self.root_at(row.size).is_some_and(|root| root != row.root) {
            return Err(format!("the entries have another root at size {}", row.size));
        }
        Ok(())
    }
}

/// One entry by itself: canonical, of this place, after the leaf that is known to stand before it, and signed by the key
/// that it names. Whether that key is known.
pub(crate) fn entry_alone(
    log: &LogId,
    at: u64,
    previous: Option<LeafHash>,
    entry: Bytes,
    trust: &dyn Trust,
) -> Result<bool, String> {
    let parsed = SignedTransaction::from_entry(entry).map_err(|error| error.to_string())?;
    let Header { log_id, position, charter_version, key_id, .. } = *parsed.header();
    if log_id != *log || position != at {
        return Err("the entry names another log or position".to_owned());
    }
    if previous.is_some_and(|leaf| leaf != parsed.header().previous_leaf) {
        return Err("the entry does not link to the one before it".to_owned());
    }
    match trust.transaction_key_then(log, charter_version, key_id, position) {
        KeyVerdict::Key(key) => key
            .verify(
                Purpose::Transaction,
                &trust.federation_id(),
                parsed.header_bytes(),
                parsed.signature(),
            )
            .map(|()| true)
            .map_err(|error| error.to_string()),
        KeyVerdict::Waiting => Ok(false),
        KeyVerdict::Invalid(problem) => Err(problem.to_owned()),
    }
}

/// One checkpoint by itself: its row says what its note says, and the note is signed by a key that may sign it.
pub(crate) fn checkpoint_alone(
    log: &LogId,
    row: &CheckpointRow,
    trust: Option<&dyn Trust>,
) -> Result<(), String> {
    let note = UnverifiedCheckpoint::parse_of(log, &row.note).map_err(|error| error.to_string())?;
    if note.size() != row.size || *note.root() != row.root {
        return Err("the note says something else than the row".to_owned());
    }
    match trust.map(|trust| trust.checkpoint_key_then(&note)) {
        Some(KeyVerdict::Key(key)) => {
            note.verify(&key).map(drop).map_err(|error| error.to_string())
        }
        Some(KeyVerdict::Invalid(problem)) => Err(problem.to_owned()),
        // The key may be listed by a version that stands twice; the entries still say what the root is.
        Some(KeyVerdict::Waiting) | None => Ok(()),
    }
}

fn in_log(error: StoreError, log: LogId) -> StoreError {
    match error {
        StoreError::Damaged(damage) => StoreError::damaged(damage.in_log(log)),
        other => other,
    }
}

/// A refusal with the rule that the entry breaks.
fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Invalid { reason, .. } => format!("{refusal}: {reason}"),
        Refusal::Waiting { reason, .. } => format!("{refusal}: {reason}"),
    }
}

/// Keys as they were when the entries were taken: what a later charter ended is void from there on, not damaged.
pub(crate) struct Then<'a>(pub(crate) &'a dyn Trust);

impl KeyBook for Then<'_> {
    fn federation_id(&self) -> FederationId {
        self.0.federation_id()
    }

    fn transaction_key(&self, log: &LogId, version: u64, key_id: u32, at: u64) -> KeyVerdict {
        self.0.transaction_key_then(log, version, key_id, at)
    }
}
