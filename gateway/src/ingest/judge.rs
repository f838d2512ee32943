//! Judges a draft that waited, right before it is signed: whether it still follows from our log, and what follows instead.
//!
//! It was drafted for the record and version that came next then. Meanwhile entries of ours may have come back from other
//! members, of which nobody here knew; a version that our log has is not signed again, and what the draft says becomes the
//! version that comes next now. Tags of an older epoch stay valid, so they are signed as they are: who the person is was
//! not kept.

use sundbro_adapters::SourceKey;
use sundbro_ledger::payload::Payload;
use sundbro_store::{LocatorChange, OwnDraft};

use super::draft::{DraftError, Drafting, Outcome};
use super::facts::{Facts, payload_of};

/// What becomes of a draft that waited.
pub(super) enum Verdict {
    /// It is signed as it is.
    Holds,
    /// What it says is signed in this form.
    Anew(Box<OwnDraft>),
    /// Our log says it already.
    Nothing,
    /// This version of the software does not read it.
    Unreadable,
}

impl Drafting {
    /// Judges a draft by what our log, the index and the map have now.
    pub(super) fn judge(&self, draft: &OwnDraft) -> Result<Verdict, DraftError> {
        match &draft.locator {
            // Nothing here knows more of it than the draft itself.
            None => Ok(Verdict::Holds),
            Some(LocatorChange::Register(locator)) => {
                let key = &locator.source_key;
                let place = self.place(key)?;
                let comes_next = (place.record.id, place.generation)
                    == (locator.record, locator.generation)
                    && self.next_version(&place, key)? == locator.version;
                if comes_next {
                    return Ok(Verdict::Holds);
                }
                let Some(facts) = Facts::of_draft(draft) else { return Ok(Verdict::Unreadable) };
                self.register_facts(&facts, &|tags| tags == facts.subjects).map(verdict)
            }
            Some(LocatorChange::Withdraw { source_key, .. }) => {
                let live = self.located(source_key)?.filter(|locator| locator.live);
                let Some(Payload::Withdrawn(says)) = payload_of(draft) else {
                    return Ok(Verdict::Unreadable);
                };
                if live.is_some_and(|locator| locator.record == says.record.id) {
                    return Ok(Verdict::Holds);
                }
                self.withdraw(&SourceKey::from_bytes(&source_key[..])).map(verdict)
            }
        }
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Draft(draft) => Verdict::Anew(draft),
        Outcome::Nothing => Verdict::Nothing,
    }
}
