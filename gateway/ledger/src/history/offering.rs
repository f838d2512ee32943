//! Takes the charters that are offered, in any order, and ends with the same history in each.
//!
//! What a head is worth depends on the versions before it: a second valid head takes its version out of force, and another
//! signature on one of two heads may show that somebody signed both, and so leave a version that healed them without its
//! majority. Whenever something below changed, what stands above is judged again; and a version that would heal, and lacks
//! signatures, is kept until they come, or the order in which they do would decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::logs::logs_of;
use super::slots::{ForkedVersion, Slot, followed, forked_before};
use super::{CharterHistory, LogOwner, MAX_FORK_HEADS, OfferError, Offered, check, place_of};
use crate::charter::{Charter, CharterHead, SuccessionError, check_signers};
use crate::ids::{CharterDigest, FederationId, LogId};

impl CharterHistory {
    /// Takes a charter of any version, if it is valid.
    ///
    /// # Errors
    /// Fails, with nothing changed, when it is of another federation or breaks a rule. Whoever sent it is at fault.
    pub fn offer(&mut self, charter: Charter) -> Result<Offered, OfferError> {
        if let Some(settled) = self.settle_by_place(charter.head(), charter.digest())? {
            return Ok(settled);
        }
        let place = place_of(charter.version());
        let mut charter = charter;
        let held = self.slots.get(place).is_some_and(|slot| slot.holds(&charter.digest()));
        let logs = match check(&self.slots[..place], &self.federation_id, &charter) {
            // Its signatures were looked at before they were counted.
            Err(error) if held && lacks_healers(&error).is_some() => BTreeMap::new(),
            Err(error) => match lacks_healers(&error) {
                Some(signed) => return self.await_healers(charter, signed),
                None => return Err(error),
            },
            Ok(logs) => logs,
        };
        if let Some(waiting) = self.waiting.remove(&charter.digest()) {
            charter.take_signatures(waiting.into_signatures());
        }
        match self.slots.get_mut(place) {
            None => {
                self.slots.push(Slot::Followed(Arc::new(charter)));
                self.logs = Arc::new(logs);
                Ok(Offered::Accepted)
            }
            Some(Slot::Followed(held)) if held.digest() == charter.digest() => {
                let more = Arc::make_mut(held).take_signatures(charter.into_signatures());
                Ok(if more { Offered::MoreSignatures } else { Offered::Known })
            }
            // From here the version before is in force. Versions above, and a fork among them, follow a head that nobody
            // may follow; whoever heals this fork decides what comes after it.
            Some(Slot::Followed(held)) => {
                let held = Charter::clone(held);
                let heads = BTreeMap::from([(held.digest(), held), (charter.digest(), charter)]);
                self.truncate_to(place)?;
                self.slots.push(Slot::Forked(Arc::new(ForkedVersion { heads })));
                Ok(self.forked_at(place))
            }
            Some(Slot::Forked(fork)) => {
                let fork = Arc::make_mut(fork);
                if let Some(held) = fork.heads.get_mut(&charter.digest()) {
                    if !held.take_signatures(charter.into_signatures()) {
                        return Ok(Offered::Known);
                    }
                    self.judge_again_above(place)?;
                    return Ok(Offered::MoreSignatures);
                }
                fork.heads.insert(charter.digest(), charter);
                self.prune_at(place);
                Ok(self.forked_at(place))
            }
        }
    }

    /// What becomes of a charter for where it stands alone, if that settles it.
    pub(super) fn settle_by_place(
        &self,
        head: &CharterHead,
        digest: CharterDigest,
    ) -> Result<Option<Offered>, OfferError> {
        let version = head.version;
        let next = self.next_version();
        if version > next {
            return Ok(Some(match self.forked_version() {
                Some(forked) => Offered::Unhealed { forked },
                None => Offered::Gap { next },
            }));
        }
        if version == 1 && digest != self.slots[0].charter().map_or(digest, Charter::digest) {
            let found = FederationId::new(*digest.as_bytes());
            return Err(OfferError::OtherFederation { expected: self.federation_id, found });
        }
        let fetch = version.saturating_sub(1);
        Ok(match self.before(version).last() {
            Some(Slot::Followed(last)) if head.previous != [last.digest()] => {
                Some(Offered::OtherBranch { fetch })
            }
            Some(Slot::Forked(_)) if head.previous.len() < 2 => {
                Some(Offered::Unhealed { forked: fetch })
            }
            Some(Slot::Forked(fork)) => {
                let is_here = |named| fork.heads.contains_key(named);
                let all_here = head.previous.iter().all(is_here);
                (!all_here).then_some(Offered::OtherBranch { fetch })
            }
            _ => None,
        })
    }

    /// The versions below one that is at most the next.
    pub(super) fn before(&self, version: u64) -> &[Slot] {
        self.slots.get(..place_of(version)).unwrap_or_default()
    }

    /// Keeps a version that would heal the one before it, and lacks the signatures of those who may. As far as we know who
    /// that is: the sender may know of signatures that we have not seen, so it is not to blame.
    fn await_healers(
        &mut self,
        mut charter: Charter,
        signed: usize,
    ) -> Result<Offered, OfferError> {
        let (version, digest) = (charter.version(), charter.digest());
        let unhealed = Offered::Unhealed { forked: version.saturating_sub(1) };
        // Whoever is no steward makes us keep nothing.
        if signed == 0 {
            return Ok(unhealed);
        }
        if let Some(mut held) = self.waiting.remove(&digest) {
            let more = held.take_signatures(charter.into_signatures());
            if !more {
                self.waiting.insert(digest, held);
                return Ok(Offered::Known);
            }
            charter = held;
            let before = &self.slots[..place_of(version)];
            if check(before, &self.federation_id, &charter).is_ok() {
                return self.offer(charter);
            }
        }
        self.waiting.insert(digest, charter);
        while self.waiting.len() > MAX_FORK_HEADS {
            self.waiting.pop_last();
        }
        Ok(Offered::AwaitsHealers { version })
    }

    fn forked_at(&self, place: usize) -> Offered {
        match self.fork_at(place) {
            Some(evidence) => Offered::Fork(Box::new(evidence)),
            None => Offered::Known,
        }
    }

    fn prune_at(&mut self, place: usize) {
        let above = self.slots.get(place + 1).into_iter().flat_map(Slot::heads);
        let named: Vec<_> = above.flat_map(|one| one.head().previous.iter().copied()).collect();
        if let Some(Slot::Forked(fork)) = self.slots.get_mut(place) {
            Arc::make_mut(fork).prune(&named);
        }
    }

    /// Takes out of force what stands at a place and above it.
    fn truncate_to(&mut self, place: usize) -> Result<(), OfferError> {
        // Found before anything changes. Nothing collides there: that version was checked when it came.
        let logs = match followed(&self.slots[..place]).next_back() {
            Some(last) => logs_of(last, &self.federation_id)?,
            None => BTreeMap::new(),
        };
        self.slots.truncate(place);
        // What waits heals the version just below it, so it goes with that one.
        let below = place as u64 + 1;
        self.waiting.retain(|_, one| one.version() <= below);
        self.logs = Arc::new(logs);
        Ok(())
    }

    /// Judges the versions above one whose heads got signatures: those who are shown to have signed two of them do not
    /// count any more for a version that heals them, neither with it nor against it.
    fn judge_again_above(&mut self, place: usize) -> Result<(), OfferError> {
        let above = place + 1;
        if let Some(slot) = self.slots.get(above) {
            let before = &self.slots[..above];
            let last = followed(before).next_back().map(Charter::head);
            let forked = forked_before(before);
            let signed =
                |one: &Charter| check_signers(last, &forked, one.head(), one.signatures()).is_ok();
            let by_digest = |one: &Charter| (one.digest(), one.clone());
            let (heads, waiting): (BTreeMap<_, _>, BTreeMap<_, _>) =
                slot.heads().map(by_digest).partition(|(_, one)| signed(one));
            if !waiting.is_empty() {
                self.truncate_to(above)?;
                self.slots.extend(Slot::of(heads));
                self.logs = Arc::new(self.logs_in_force()?);
                self.waiting.extend(waiting);
            }
        }
        for charter in core::mem::take(&mut self.waiting).into_values() {
            let _ = self.offer(charter)?;
        }
        Ok(())
    }

    fn logs_in_force(&self) -> Result<BTreeMap<LogId, LogOwner>, OfferError> {
        logs_of(self.current(), &self.federation_id)
    }
}

/// How many of those who may heal signed a version that is right in everything but their number.
pub(super) fn lacks_healers(error: &OfferError) -> Option<usize> {
    match error {
        OfferError::Succession {
            source: SuccessionError::TooFewHealers { signed, .. }, ..
        } => Some(*signed),
        _ => None,
    }
}
