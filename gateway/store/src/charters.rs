//! Charter versions, as they came.

use prost::Message;
use sha2::{Digest, Sha256};
use sundbro_proto::ledger::v1::{Charter, CharterHead};

use crate::database::{ALL_KEYS, ReadView, misfit, opened, walk};
use crate::error::StoreError;
use crate::row::RowProblem;
use crate::store::Store;
use crate::tables::CHARTERS;

/// version ‖ digest of the head.
fn charter_key(charter: &Charter) -> Result<Vec<u8>, RowProblem> {
    let head = CharterHead::decode(charter.head.as_ref()).map_err(|_| RowProblem::Fields)?;
    let mut key = head.version.to_be_bytes().to_vec();
    key.extend_from_slice(&Sha256::digest(&charter.head));
    Ok(key)
}

pub(crate) fn charters_in(view: &ReadView) -> Result<Vec<Charter>, StoreError> {
    let mut charters = Vec::new();
    walk(&view.table(&CHARTERS)?, &CHARTERS, ALL_KEYS, |key, value| {
        let charter = Charter::decode(opened(&CHARTERS, key, value)?).ok();
        let charter = charter.filter(|charter| charter_key(charter).is_ok_and(|it| it == key));
        charters.push(charter.ok_or_else(|| misfit(&CHARTERS, RowProblem::Fields))?);
        Ok(true)
    })?;
    Ok(charters)
}

impl Store {
    /// Stores a charter that the caller has found valid. Two of one version are both kept: they are evidence.
    ///
    /// # Errors
    /// Fails when the disk does, and when the head cannot be decoded.
    pub fn put_charter(&self, charter: &Charter) -> Result<(), StoreError> {
        let key = charter_key(charter).map_err(|problem| misfit(&CHARTERS, problem))?;
        let write = self.ledger.write()?;
        write.put_sealed(&CHARTERS, &key, &charter.encode_to_vec())?;
        write.commit()
    }

    /// All charters, by version.
    pub fn charters(&self) -> Result<Vec<Charter>, StoreError> {
        charters_in(&self.ledger.read()?)
    }
}
