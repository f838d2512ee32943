//! The map from sources to records as it will be once everything that waits is signed.

use std::collections::BTreeMap;

use crate::database::{SealedRows, misfit, opened, prefix_end, walk};
use crate::error::StoreError;
use crate::locators::{Locator, adapter_prefix, source_row_key};
use crate::row::{Reader, RowProblem, Writer};
use crate::store::Store;
use crate::tables::{LOCATORS, OUTBOX_LOCATORS, Table};

/// A locator that waits for the draft with this number.
pub(super) struct AheadRow {
    pub(super) number: u64,
    pub(super) locator: Locator,
}

impl AheadRow {
    pub(super) fn to_body(&self) -> Vec<u8> {
        Writer::new().u64(self.number).fixed(&self.locator.to_body()).done()
    }

    pub(super) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let number = fields.u64()?;
        Ok(Self { number, locator: Locator::from_body(fields.rest())? })
    }

    pub(super) fn in_rows(rows: &impl SealedRows, key: &[u8]) -> Result<Option<Self>, StoreError> {
        let Some(body) = rows.sealed(&OUTBOX_LOCATORS, key)? else { return Ok(None) };
        let row = Self::from_body(&body).map_err(|problem| misfit(&OUTBOX_LOCATORS, problem))?;
        Ok(Some(row))
    }
}

/// Rows in which a locator that waits stands in the place of the one that is registered.
pub(super) struct Ahead<'a, R>(pub(super) &'a R);

impl<R: SealedRows> SealedRows for Ahead<'_, R> {
    fn sealed(&self, table: &Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if table.name == LOCATORS.name
            && let Some(ahead) = AheadRow::in_rows(self.0, key)?
        {
            return Ok(Some(ahead.locator.to_body()));
        }
        self.0.sealed(table, key)
    }
}

impl Store {
    /// As [`Store::locator`], once everything that waits in the outbox is signed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn locator_ahead(&self, adapter: &str, key: &[u8]) -> Result<Option<Locator>, StoreError> {
        crate::locators::locator_in(&Ahead(&self.ledger.read()?), &source_row_key(adapter, key))
    }

    /// As [`Store::locators`], once everything that waits in the outbox is signed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn locators_ahead(
        &self,
        adapter: &str,
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Locator>, StoreError> {
        let prefix = adapter_prefix(adapter);
        let start = after.map_or_else(|| prefix.clone(), |key| source_row_key(adapter, key));
        let end = prefix_end(&prefix);
        let view = self.ledger.read()?;
        // The first `max` of both together are among the first `max` of each.
        let mut merged: BTreeMap<Vec<u8>, Locator> = BTreeMap::new();
        for table in [&LOCATORS, &OUTBOX_LOCATORS] {
            let mut read = 0;
            walk(&view.table(table)?, table, &start[..]..&end[..], |key, value| {
                if after.is_some() && key == start {
                    return Ok(true);
                }
                let body = opened(table, key, value)?;
                let locator = if table.name == LOCATORS.name {
                    Locator::from_body(body)
                } else {
                    AheadRow::from_body(body).map(|row| row.locator)
                };
                merged.insert(key.to_vec(), locator.map_err(|it| misfit(table, it))?);
                read += 1;
                Ok(read < max)
            })?;
        }
        Ok(merged.into_values().take(max).collect())
    }
}
