//! Finds what was asked for, and takes as long over what is not there.

use sundbro_ledger::ids::RecordId;
use sundbro_store::index::RecordPointer;
use sundbro_store::{Locator, Store};

use super::ServeError;

/// What we have under the name that was asked for.
pub(super) struct Found {
    /// The newest version, if there ever was the one that was asked for: versions have no gaps.
    pub(super) pointer: Option<RecordPointer>,
    pub(super) locator: Option<Locator>,
}

/// The id of no record: ids are keyed hashes.
const NOWHERE: [u8; 16] = [0; 16];

/// Looks a record up, and another one beside it that is there if the first is not, and is not if the first is: one
/// pointer is read and one is missed, whatever was asked for. The time of an answer must not tell what its bytes hide.
pub(super) fn look_up(store: &Store, record: &RecordId, version: u32) -> Result<Found, ServeError> {
    let read = || {
        // What fails here fails below as well, and is told there.
        let own = store.records_of(&store.identity().own_log, 1, &[]).unwrap_or_default();
        let newest = store.record(record)?;
        let locator = store.locator_of(&record.id)?;
        let known = own.pointers.first().map(|pointer| pointer.record.id);
        let id = if newest.is_some() { NOWHERE } else { known.unwrap_or(NOWHERE) };
        let beside = RecordId { member: record.member.clone(), id };
        // Read for the work alone.
        std::hint::black_box((store.record(&beside)?, store.locator_of(&beside.id)?));
        Ok(Found { pointer: newest.filter(|newest| version <= newest.version), locator })
    };
    read().map_err(ServeError::Store)
}
