//! One row held against what guards it, with nothing known but the rows beside it.

use std::collections::BTreeMap;

use bytes::Bytes;
use sundbro_ledger::ids::{Commitment, LeafHash, LogId, NodeHash, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{Frontier, NodeReader, leaf_hash, node_hash, range_hash};

use super::{Finding, log_in};
use crate::audit::frontier_in;
use crate::blobs::read_blob;
use crate::database::{ALL_KEYS, ReadView, opened, walk};
use crate::error::{Damage, StoreError};
use crate::hashes::{LEVEL_STEP, StoredNodes, hash_key, row_hashes};
use crate::index::rows::position_at;
use crate::logs::{CheckpointRow, entry_key, head_in, log_key};
use crate::row::unversion;
use crate::tables::{
    AUDIT_ENTRIES, AUDIT_HASHES, ENTRIES, Guard, HASHES, HASHES_PER_ROW, LOGS, StoreFile, Table,
};
use crate::verify::Trust;
use crate::verify::log::{checkpoint_alone, entry_alone};

/// Checks rows of one table.
pub(super) struct Check<'a> {
    view: &'a ReadView,
    table: &'static Table,
    trust: Option<&'a dyn Trust>,
    /// Heads of the logs in the ledger, by what stands for them in keys. A damaged head is a finding of its own table.
    heads: BTreeMap<[u8; 8], LogHead>,
    /// The audit log, in its file. `None`: its head is damaged, which is a finding of its own table, or this is another
    /// file.
    audit: Option<Frontier>,
    found: &'a mut Vec<Finding>,
}

/// A tree, and where its rows are.
struct Tree<'a> {
    frontier: &'a Frontier,
    hashes: &'static Table,
    prefix: &'a [u8],
    log: Option<LogId>,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        view: &'a ReadView,
        table: &'static Table,
        trust: Option<&'a dyn Trust>,
        found: &'a mut Vec<Finding>,
    ) -> Result<Self, StoreError> {
        let mut heads = BTreeMap::new();
        if table.file == StoreFile::Ledger {
            walk(&view.table(&LOGS)?, &LOGS, ALL_KEYS, |key, _| {
                if let Some(head) = log_in(key).and_then(|log| head_in(view, &log).ok()) {
                    heads.insert(log_key(head.log_id()), head);
                }
                Ok(true)
            })?;
        }
        let is_audit = table.file == StoreFile::Audit;
        let audit = is_audit.then(|| frontier_in(view).ok()).flatten();
        Ok(Self { view, table, trust, heads, audit, found })
    }

    /// Checks one row; `last` is the key of the one before it, empty at the first.
    pub(super) fn row(&mut self, last: &[u8], key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key.len() != self.table.key_len {
            self.found(Damage::of_table(self.table, "a key has another length"));
            return Ok(());
        }
        if self.table.guard == Guard::Sealed {
            return match opened(self.table, key, value) {
                Ok(body) => self.sealed(key, body),
                Err(StoreError::Damaged(damage)) => {
                    let of_log = matches!(self.table.name, "logs" | "log_states" | "checkpoints");
                    let log = log_in(key).filter(|_| of_log);
                    self.found(Damage { log, ..*damage });
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        match (self.table.file, self.table.name) {
            (StoreFile::Payloads, _) => {
                if let Err(problem) = read_blob(key, value) {
                    let name = hex::encode(&key[..4]);
                    let damage = Damage::of_table(self.table, format!("blob {name}: {problem}"));
                    let blob = Commitment::try_from(key).ok();
                    self.found.push(Finding { blob, ..damage.into() });
                }
                Ok(())
            }
            (_, "entries") => self.entry(last, key, value),
            _ => self.hashes(key, value),
        }
    }

    fn found(&mut self, damage: Damage) {
        let finding = Finding::from(damage);
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// A row that is what was written; those of heads and checkpoints name a root.
    fn sealed(&mut self, key: &[u8], body: &[u8]) -> Result<(), StoreError> {
        match (self.table.file, self.table.name) {
            (StoreFile::Ledger, "logs") => self.head(key),
            (StoreFile::Ledger, "checkpoints") => self.checkpoint(key, body),
            (StoreFile::Audit, "head") => self.audit_head(),
            _ => Ok(()),
        }
    }

    fn head(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let head = key.first_chunk().and_then(|log| self.heads.get(log));
        let Some(head) = head else { return Ok(()) };
        let (log, root, size) = (*head.log_id(), head.root(), head.size());
        let here = self.root_at(&HASHES, &log_key(&log), size)?;
        self.compare_root(
            here,
            root,
            Some(log),
            "the head has another root than the stored hashes",
        );
        match size.checked_sub(1) {
            Some(last) => self.want(&ENTRIES, &entry_key(&log, last), Some(log), last),
            None => Ok(()),
        }
    }

    fn checkpoint(&mut self, key: &[u8], body: &[u8]) -> Result<(), StoreError> {
        let Some(log) = log_in(key) else { return Ok(()) };
        let row = match CheckpointRow::from_body(body) {
            Ok(row) => row,
            Err(problem) => {
                self.found(Damage::of_table(self.table, problem).in_log(log));
                return Ok(());
            }
        };
        if let Err(problem) = checkpoint_alone(&log, &row, self.trust) {
            self.found(Damage::of_table(self.table, problem).in_log(log));
        }
        if row.size <= self.heads.get(&log_key(&log)).map_or(0, LogHead::size) {
            let here = self.root_at(&HASHES, &log_key(&log), row.size)?;
            let problem = "the stored hashes have another root at this size";
            self.compare_root(here, row.root, Some(log), problem);
        }
        Ok(())
    }

    fn audit_head(&mut self) -> Result<(), StoreError> {
        let Some(frontier) = &self.audit else { return Ok(()) };
        let (root, size) = (frontier.root(), frontier.size());
        let here = self.root_at(&AUDIT_HASHES, &[], size)?;
        self.compare_root(here, root, None, "the head has another root than the stored hashes");
        match size.checked_sub(1) {
            Some(last) => self.want(&AUDIT_ENTRIES, &last.to_be_bytes(), None, last),
            None => Ok(()),
        }
    }

    /// The root that the stored hashes give; the inner error where one of them is gone or does not read.
    fn root_at(
        &self,
        hashes: &'static Table,
        prefix: &[u8],
        size: u64,
    ) -> Result<Result<RootHash, StoreError>, StoreError> {
        let nodes = StoredNodes::new(self.view, hashes, prefix)?;
        Ok(range_hash(&nodes, 0, size).map(RootHash::from))
    }

    /// The last entry of a log: one that is gone leaves no row to be looked at.
    fn want(
        &mut self,
        table: &Table,
        key: &[u8],
        log: Option<LogId>,
        position: u64,
    ) -> Result<(), StoreError> {
        if self.view.get(table, key)?.is_none() {
            let damage = Damage::of_table(table, "the entry is not here").at_position(position);
            self.found(Damage { log, ..damage });
        }
        Ok(())
    }

    fn compare_root(
        &mut self,
        here: Result<RootHash, StoreError>,
        root: RootHash,
        log: Option<LogId>,
        problem: &str,
    ) {
        let damage = match here {
            Ok(here) if here == root => return,
            Ok(_) => Damage::of_table(self.table, problem),
            // A hash that is gone, or does not read.
            Err(StoreError::Damaged(damage)) => *damage,
            Err(error) => Damage::of_table(self.table, error),
        };
        self.found(Damage { log: damage.log.or(log), ..damage });
    }

    /// An entry: the one that comes here, with the leaf hash that the tree has, signed.
    fn entry(&mut self, last: &[u8], key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let in_audit = self.table.file == StoreFile::Audit;
        let at = if in_audit { 0 } else { 8 };
        let (prefix, position) = (&key[..at], position_at(key, at).unwrap_or(0));
        let head = prefix.first_chunk().and_then(|log| self.heads.get(log)).cloned();
        let log = head.as_ref().map(|head| *head.log_id());
        let place = |damage: Damage, position| match log {
            Some(log) => damage.at(log, position),
            None => damage.at_position(position),
        };
        let next = match position_at(last, at) {
            Some(before) if last[..at] == *prefix => before.saturating_add(1),
            _ => 0,
        };
        if position != next {
            let damage = Damage::of_table(self.table, "the entry is not here");
            self.found(place(damage, next));
        }
        let Some(frontier) = head.as_ref().map(LogHead::frontier).or(self.audit.as_ref()) else {
            if in_audit || log_is_listed(self.view, prefix)? {
                return Ok(());
            }
            let damage = Damage::of_table(self.table, "an entry of no log that is listed");
            self.found(damage);
            return Ok(());
        };
        let hashes = if in_audit { &AUDIT_HASHES } else { &HASHES };
        let tree = Tree { frontier: &frontier.clone(), hashes, prefix, log };
        let problem = self.entry_problem(&tree, position, value)?;
        if let Some((table, problem)) = problem {
            self.found(place(Damage::of_table(table, problem), position));
        }
        Ok(())
    }

    /// What is wrong with an entry, and in which table.
    fn entry_problem(
        &self,
        tree: &Tree<'_>,
        position: u64,
        value: &[u8],
    ) -> Result<Option<(&'static Table, String)>, StoreError> {
        let body = match unversion(value) {
            Ok(body) => body,
            Err(problem) => return Ok(Some((self.table, problem.to_string()))),
        };
        if position >= tree.frontier.size() {
            return Ok(Some((self.table, "an entry beyond the end of its log".to_owned())));
        }
        let nodes = StoredNodes::new(self.view, tree.hashes, tree.prefix)?;
        let stored = nodes.node(0, position).ok();
        if stored != Some(leaf_hash(body).into()) {
            // Entry and hash disagree. What stands above the hash says which of them is wrong.
            let row = position / HASHES_PER_ROW;
            if stored.is_none() || !self.vouched(tree, &nodes, 0, row) {
                return Ok(Some((tree.hashes, "a hash is not that of its entry".to_owned())));
            }
            let problem = "the entry does not have the leaf hash that the tree has";
            return Ok(Some((self.table, problem.to_owned())));
        }
        let (Some(log), Some(trust)) = (tree.log, self.trust) else { return Ok(None) };
        let previous = match position.checked_sub(1) {
            None => Some(LeafHash::NONE),
            // A damaged hash before it says nothing about this entry.
            Some(before) if self.vouched(tree, &nodes, 0, before / HASHES_PER_ROW) => {
                nodes.node(0, before).ok().map(|it| LeafHash::new(*it.as_bytes()))
            }
            Some(_) => None,
        };
        let alone = entry_alone(&log, position, previous, Bytes::copy_from_slice(body), trust);
        Ok(alone.err().map(|problem| (self.table, problem)))
    }

    /// Whether the row of hashes is the one that the hash above it, or the root, was made of.
    fn vouched(&self, tree: &Tree<'_>, nodes: &StoredNodes, level: u8, row: u64) -> bool {
        let width = u64::from(1u8 << LEVEL_STEP);
        if (row + 1) * width > tree.frontier.size() >> level {
            let root = range_hash(nodes, 0, tree.frontier.size());
            return root.is_ok_and(|root| RootHash::from(root) == tree.frontier.root());
        }
        let below = self.row_of(tree, level, row).filter(|hashes| hashes.len() as u64 == width);
        let above = self.row_of(tree, level + LEVEL_STEP, row / HASHES_PER_ROW);
        let above = above.and_then(|it| it.get((row % HASHES_PER_ROW) as usize).copied());
        below.zip(above).is_some_and(|(below, above)| combined(below) == Some(above))
    }

    fn row_of(&self, tree: &Tree<'_>, level: u8, row: u64) -> Option<Vec<NodeHash>> {
        let key = hash_key(tree.prefix, level, row);
        let value = self.view.get(tree.hashes, &key).ok().flatten()?;
        row_hashes(&value).ok()
    }

    /// A row of hashes: as many as there are, and those that the row above was made of.
    fn hashes(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let at = key.len() - 9;
        let (prefix, level) = (&key[..at], key[at]);
        let row = position_at(key, at + 1).unwrap_or(0);
        let head = prefix.first_chunk().and_then(|log| self.heads.get(log)).cloned();
        let log = head.as_ref().map(|head| *head.log_id());
        let frontier = head.as_ref().map(LogHead::frontier).or(self.audit.as_ref()).cloned();
        // A head that is damaged or not there is named where it should be, or with the entries.
        let Some(frontier) = frontier else { return Ok(()) };
        let damage = |problem: String| {
            let first = row.saturating_mul(HASHES_PER_ROW).checked_shl(level.into()).unwrap_or(0);
            let damage = Damage::of_table(self.table, problem).at_position(first);
            Damage { log, ..damage }
        };
        let there = frontier.size().checked_shr(level.into()).unwrap_or(0);
        let there = there.saturating_sub(row.saturating_mul(HASHES_PER_ROW)).min(HASHES_PER_ROW);
        let problem = match row_hashes(value) {
            Err(problem) => Some(problem.to_string()),
            Ok(_) if !level.is_multiple_of(LEVEL_STEP) => Some("no such level".to_owned()),
            Ok(hashes) if hashes.len() as u64 != there => {
                Some(format!("level {level} holds {} hashes here, not {there}", hashes.len()))
            }
            Ok(_) => {
                let tree = Tree { frontier: &frontier, hashes: self.table, prefix, log };
                let nodes = StoredNodes::new(self.view, self.table, prefix)?;
                (!self.vouched(&tree, &nodes, level, row))
                    .then(|| format!("hashes of level {level} are not those of the level above"))
            }
        };
        if let Some(problem) = problem {
            self.found(damage(problem));
        }
        Ok(())
    }
}

/// The hash of a complete row.
fn combined(mut hashes: Vec<NodeHash>) -> Option<NodeHash> {
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.first().copied()
}

/// Whether there is a head of this log, damaged or not.
fn log_is_listed(view: &ReadView, prefix: &[u8]) -> Result<bool, StoreError> {
    let mut listed = false;
    walk(&view.table(&LOGS)?, &LOGS, prefix..ALL_KEYS.end, |key, _| {
        listed = key.starts_with(prefix);
        Ok(false)
    })?;
    Ok(listed)
}
