//! Tree hashes in rows of sixteen: levels 0, 4, 8, … are stored, the three between follow from one row.
//!
//! Levels 0, 8, 16, … are exactly the hashes of C2SP tiles.

use std::collections::BTreeMap;

use sundbro_ledger::ids::NodeHash;
use sundbro_ledger::merkle::{Node, NodeReader, node_hash};

use crate::database::ReadView;
use crate::error::{Damage, InFile, StoreError};
use crate::row::{RowProblem, unversion, version};
use crate::tables::{HASHES_PER_ROW, Table};

/// Every which level is stored.
pub(crate) const LEVEL_STEP: u8 = 4;

/// prefix ‖ level ‖ row.
pub(crate) fn hash_key(prefix: &[u8], level: u8, row: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 9);
    key.extend_from_slice(prefix);
    key.push(level);
    key.extend_from_slice(&row.to_be_bytes());
    key
}

/// The hashes of one row.
pub(crate) fn row_hashes(value: &[u8]) -> Result<Vec<NodeHash>, RowProblem> {
    let body = unversion(value)?;
    if body.is_empty() || body.len() % 32 != 0 || body.len() > 32 * HASHES_PER_ROW as usize {
        return Err(RowProblem::Fields);
    }
    body.chunks_exact(32).map(|hash| hash.try_into().map_err(|_| RowProblem::Fields)).collect()
}

/// Hashes of one append, gathered and then written row by row.
#[derive(Default)]
pub(crate) struct NewHashes {
    /// (level, row) → offset of the first new hash, and the new ones.
    rows: BTreeMap<(u8, u64), (usize, Vec<u8>)>,
}

impl NewHashes {
    /// Takes a node that an append completed; levels that are not stored are left out.
    pub(crate) fn add(&mut self, node: Node, hash: NodeHash) {
        if !node.level.is_multiple_of(LEVEL_STEP) {
            return;
        }
        let (row, offset) = (node.index / HASHES_PER_ROW, (node.index % HASHES_PER_ROW) as usize);
        let new = self.rows.entry((node.level, row)).or_insert((offset, Vec::new()));
        new.1.extend_from_slice(hash.as_bytes());
    }

    /// Writes them after the hashes that are there.
    pub(crate) fn write(
        self,
        rows: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
        table: &Table,
        prefix: &[u8],
    ) -> Result<(), StoreError> {
        for ((level, row), (offset, new)) in self.rows {
            let key = hash_key(prefix, level, row);
            let mut body = Vec::with_capacity(offset * 32 + new.len());
            if offset > 0 {
                let there = crate::database::get(rows, table, &key)?.unwrap_or_default();
                let there = unversion(&there).map_err(|problem| StoreError::row(table, problem))?;
                body.extend_from_slice(there);
            }
            if body.len() != offset * 32 {
                return Err(StoreError::damaged(Damage::of_table(
                    table,
                    format!("level {level}, row {row} does not hold {offset} hashes"),
                )));
            }
            body.extend_from_slice(&new);
            rows.insert(key.as_slice(), version(&body).as_slice()).in_file(table.file)?;
        }
        Ok(())
    }
}

/// Nodes of one tree, read from one moment of its file.
///
/// Keep it no longer than one proof: a long read makes the file grow.
pub struct StoredNodes {
    rows: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    table: &'static Table,
    prefix: Vec<u8>,
}

impl StoredNodes {
    pub(crate) fn new(
        view: &ReadView,
        table: &'static Table,
        prefix: &[u8],
    ) -> Result<Self, StoreError> {
        Ok(Self { rows: view.table(table)?, table, prefix: prefix.to_vec() })
    }

    fn missing(&self, level: u8, index: u64) -> StoreError {
        let problem = format!("the hash of node {index} at level {level} is not here");
        StoreError::damaged(Damage::of_table(self.table, problem))
    }
}

impl NodeReader for StoredNodes {
    type Error = StoreError;

    fn node(&self, level: u8, index: u64) -> Result<NodeHash, StoreError> {
        let above = level % LEVEL_STEP;
        let stored = level - above;
        let width = 1usize << above;
        let first = index.checked_mul(width as u64).ok_or_else(|| self.missing(level, index))?;
        let key = hash_key(&self.prefix, stored, first / HASHES_PER_ROW);
        let value = crate::database::get(&self.rows, self.table, &key)?
            .ok_or_else(|| self.missing(level, index))?;
        let hashes = row_hashes(&value).map_err(|problem| StoreError::row(self.table, problem))?;
        let from = (first % HASHES_PER_ROW) as usize;
        let mut nodes =
            hashes.get(from..from + width).ok_or_else(|| self.missing(level, index))?.to_vec();
        while nodes.len() > 1 {
            nodes = nodes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        nodes.first().copied().ok_or_else(|| self.missing(level, index))
    }
}
