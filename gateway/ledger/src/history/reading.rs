//! Reads a charter that somebody offers, cheapest checks first: its head, then its signatures, and only then its members.
//!
//! Admitting a key costs a multiplication on the curve, and a charter of a megabyte lists twenty thousand. So nobody who
//! is no steward can make us admit one: what costs is done only under a head that the stewards of the version before have
//! signed, and for the members that it commits to.

use prost::Message as _;
use sundbro_proto::ledger::v1;

use super::offering::lacks_healers;
use super::slots::{followed, forked_before};
use super::{CharterHistory, OfferError, Offered};
use crate::charter::{
    Charter, CharterError, CharterHead, MAX_CHARTER_LEN, StewardSignature, check_head_succession,
    check_signers, digest_of, signatures_from_wire, verify_signatures,
};
use crate::ids::CharterDigest;

/// What reading an offered charter came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum OfferRead {
    /// Its head says what becomes of it: never that it is accepted. Its members were not read.
    Settled(Offered),
    /// It is signed by those who must sign it: [`CharterHistory::offer`] takes it, or finds what its members break.
    Charter(Box<Charter>),
}

/// Why an offered charter was refused before, or while, its members were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadOfferError {
    /// It is no charter.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// It does not follow, or lacks signatures.
    #[error(transparent)]
    Offer(#[from] OfferError),
}

impl CharterHistory {
    /// Reads a charter from a sender who need not be honest. What [`offer`](Self::offer) makes of the result is what it
    /// makes of [`Charter::from_wire`], with two differences: a head that we hold is judged with the members that we hold,
    /// and with our signatures beside the offered ones.
    ///
    /// ```
    /// # use sundbro_ledger::history::{CharterHistory, OfferRead, Offered, ReadOfferError};
    /// # use sundbro_proto::ledger::v1;
    /// fn take(history: &mut CharterHistory, wire: &v1::Charter) -> Result<Offered, ReadOfferError> {
    ///     match history.read_offer(wire)? {
    ///         OfferRead::Settled(offered) => Ok(offered),
    ///         OfferRead::Charter(charter) => Ok(history.offer(*charter)?),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Fails with the first rule that is broken. Whoever sent it is at fault.
    pub fn read_offer(&self, wire: &v1::Charter) -> Result<OfferRead, ReadOfferError> {
        let len = wire.encoded_len();
        if len > MAX_CHARTER_LEN {
            return Err(CharterError::TooLong { len }.into());
        }
        let signatures = signatures_from_wire(&wire.signatures).ok_or(CharterError::Signatures)?;
        if let Some(held) = self.held(&digest_of(&wire.head)) {
            return self.read_signatures(held, signatures);
        }
        let head = CharterHead::parse(&wire.head).map_err(CharterError::from)?;
        if let Some(settled) = self.settle_by_place(&head, digest_of(&wire.head))? {
            return Ok(OfferRead::Settled(settled));
        }
        match self.check_signed(&head, &wire.head, &signatures) {
            // Some of those who may heal signed it: it is read, and waits for the others.
            Err(error) if lacks_healers(&error).is_some_and(|signed| signed > 0) => {}
            Err(error) if lacks_healers(&error).is_some() => {
                let forked = head.version.saturating_sub(1);
                return Ok(OfferRead::Settled(Offered::Unhealed { forked }));
            }
            checked => checked?,
        }
        let charter = Charter::from_signed_head(head, signatures, wire)?;
        Ok(OfferRead::Charter(Box::new(charter)))
    }

    /// A charter that we hold, followed or as evidence, by the digest of its head. With all signatures that came, so this
    /// is what to keep when an offer was taken.
    pub fn held(&self, digest: &CharterDigest) -> Option<&Charter> {
        self.charters().find(|charter| charter.digest() == *digest)
    }

    /// Only the signatures of a held head can be new.
    fn read_signatures(
        &self,
        held: &Charter,
        mut signatures: Vec<StewardSignature>,
    ) -> Result<OfferRead, ReadOfferError> {
        signatures.retain(|one| !held.signatures().contains(one));
        if signatures.is_empty() {
            return Ok(OfferRead::Settled(Offered::Known));
        }
        self.check_signatures(held.head(), held.head_bytes(), &signatures)?;
        let mut charter = held.clone();
        Ok(match charter.take_signatures(signatures) {
            true => OfferRead::Charter(Box::new(charter)),
            false => OfferRead::Settled(Offered::Known),
        })
    }

    /// Checks that the head follows the version before it and that enough stewards signed it.
    fn check_signed(
        &self,
        head: &CharterHead,
        head_bytes: &[u8],
        signatures: &[StewardSignature],
    ) -> Result<(), OfferError> {
        let wrong = |source| OfferError::Succession { version: head.version, source };
        let before = self.before(head.version);
        let heads = followed(before).map(|one| (one.head(), one.digest()));
        let forked = forked_before(before);
        check_head_succession(heads, &forked, head).map_err(wrong)?;
        self.check_signatures(head, head_bytes, signatures)?;
        let last = followed(before).next_back().map(Charter::head);
        check_signers(last, &forked, head, signatures).map_err(wrong)
    }

    fn check_signatures(
        &self,
        head: &CharterHead,
        head_bytes: &[u8],
        signatures: &[StewardSignature],
    ) -> Result<(), OfferError> {
        let last = followed(self.before(head.version)).next_back().map(Charter::head);
        verify_signatures(last, head, head_bytes, signatures, &self.federation_id)
            .map_err(|source| OfferError::Succession { version: head.version, source })
    }
}
