//! Compares the stored hashes of a tree with those that follow from its leaves.

use std::collections::BTreeMap;

use sundbro_ledger::ids::{LeafHash, NodeHash};
use sundbro_ledger::merkle::{Frontier, Node};

use crate::database::{ReadView, get, walk};
use crate::error::{Damage, StoreError};
use crate::hashes::{LEVEL_STEP, hash_key, row_hashes};
use crate::tables::{HASHES_PER_ROW, Table};

/// Grows a tree leaf by leaf and holds each row of hashes against the stored one as soon as it is full.
pub(super) struct TreeCheck<'a> {
    view: &'a ReadView,
    table: &'static Table,
    prefix: Vec<u8>,
    frontier: Frontier,
    rows: BTreeMap<(u8, u64), Vec<NodeHash>>,
    checked: u64,
    /// First entries of the subtrees whose stored hash is not what follows from the leaves.
    pub(super) wrong: Vec<(u8, u64)>,
}

impl<'a> TreeCheck<'a> {
    pub(super) fn new(view: &'a ReadView, table: &'static Table, prefix: &[u8]) -> Self {
        Self {
            view,
            table,
            prefix: prefix.to_vec(),
            frontier: Frontier::new(),
            rows: BTreeMap::new(),
            checked: 0,
            wrong: Vec::new(),
        }
    }

    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    pub(super) fn append(&mut self, leaf: LeafHash) -> Result<(), StoreError> {
        let rows = &mut self.rows;
        self.frontier.append_with(leaf, &mut |node: Node, hash| {
            if node.level.is_multiple_of(LEVEL_STEP) {
                rows.entry((node.level, node.index / HASHES_PER_ROW)).or_default().push(hash);
            }
        });
        let full: Vec<(u8, u64)> = self
            .rows
            .iter()
            .filter(|(_, hashes)| hashes.len() as u64 == HASHES_PER_ROW)
            .map(|(at, _)| *at)
            .collect();
        full.into_iter().try_for_each(|at| self.compare(at))
    }

    fn compare(&mut self, (level, row): (u8, u64)) -> Result<(), StoreError> {
        let Some(expected) = self.rows.remove(&(level, row)) else { return Ok(()) };
        self.checked += 1;
        let stored = self.stored(level, row)?;
        if stored.as_ref() == Some(&expected) {
            return Ok(());
        }
        let stored = stored.unwrap_or_default();
        let width = expected.len().max(stored.len());
        for offset in 0..width {
            if expected.get(offset) != stored.get(offset) {
                let index = row * HASHES_PER_ROW + offset as u64;
                self.wrong.push((level, index << level));
            }
        }
        Ok(())
    }

    fn stored(&self, level: u8, row: u64) -> Result<Option<Vec<NodeHash>>, StoreError> {
        let key = hash_key(&self.prefix, level, row);
        let value = get(&self.view.table(self.table)?, self.table, &key)?;
        Ok(value.and_then(|value| row_hashes(&value).ok()))
    }

    /// The stored hash of a leaf.
    pub(super) fn stored_leaf(&self, position: u64) -> Result<Option<LeafHash>, StoreError> {
        let row = self.stored(0, position / HASHES_PER_ROW)?;
        let hash = row.and_then(|row| row.get((position % HASHES_PER_ROW) as usize).copied());
        Ok(hash.map(|hash| LeafHash::new(*hash.as_bytes())))
    }

    /// Compares the rows at the right edge, and counts that there are no others.
    pub(super) fn finish(&mut self) -> Result<Vec<Damage>, StoreError> {
        let rest: Vec<(u8, u64)> = self.rows.keys().copied().collect();
        rest.into_iter().try_for_each(|at| self.compare(at))?;
        let mut damages: Vec<Damage> = self
            .wrong
            .iter()
            .map(|(level, position)| {
                let problem = format!("a hash at level {level} does not follow from the entries");
                Damage::of_table(self.table, problem).at_position(*position)
            })
            .collect();
        let mut there = 0u64;
        let end = crate::database::prefix_end(&self.prefix);
        let rows = self.view.table(self.table)?;
        walk(&rows, self.table, &self.prefix[..]..&end[..], |_, _| {
            there += 1;
            Ok(true)
        })?;
        if there > self.checked {
            let problem = format!("{} rows too many", there - self.checked);
            damages.push(Damage::of_table(self.table, problem));
        }
        Ok(damages)
    }
}
