//! Observations in the fold of one log: the heads after them, kept as rows, and when one that waited is judged.
//!
//! An observation is judged once, when no payload for everybody is missing below it. So the rows are always those after
//! the last one that was judged, and nothing that comes late takes any of it back.

use sundbro_ledger::fold::Effect;
use sundbro_ledger::payload::{Observation, ObservedHead, Payload};
use sundbro_ledger::transaction::{Audience, Header};

use super::super::super::rows::{heads_in, observed_body, observed_key};
use super::Folding;
use crate::error::StoreError;
use crate::logs::entry_key;
use crate::tables::{OBSERVED, PENDING};

impl Folding<'_> {
    /// Folds an observation. One that came late is judged after those below it that waited too.
    pub(super) fn take_observation(
        &mut self,
        header: &Header,
        it: &Observation,
        late: bool,
    ) -> Result<(), StoreError> {
        let position = header.position;
        let missing_below = late || self.is_missing_below(position);
        self.judged += 1;
        let mut heads = match self.heads.take() {
            Some(heads) => heads,
            None => heads_in(self.write, &self.log)?,
        };
        let effect = heads.judge(header, it, missing_below);
        self.heads = Some(heads);
        match effect {
            Effect::Observed => it.changed.iter().try_for_each(|head| self.put_head(head)),
            Effect::Void(reason) => {
                self.put_void(position, header.audience == Audience::Limited, reason)
            }
            _ => {
                self.cursor.pending += 1;
                self.write.put_sealed(&PENDING, &entry_key(&self.log, position), &[])
            }
        }
    }

    fn put_head(&self, head: &ObservedHead) -> Result<(), StoreError> {
        self.write.put_sealed(&OBSERVED, &observed_key(&self.log, &head.log), &observed_body(head))
    }

    /// Judges an observation that waited, when nothing is missing below it any more.
    pub(super) fn judge_observation_again(&mut self, position: u64) -> Result<(), StoreError> {
        self.remove_pending(position)?;
        let said = self.said(position)?;
        match &said.payload {
            Ok(Payload::Observed(it)) => self.take_observation(&said.header, it, false),
            // Its row says that it is one, and payloads do not change.
            _ => Ok(()),
        }
    }
}
