//! Judges evidence by a charter: that the log's own keys signed both sides, each where it may sign.

use super::{Contradiction, Evidence, UnprovenError};
use crate::checkpoint::UnverifiedCheckpoint;
use crate::history::CharterHistory;
use crate::ids::{LogId, MemberName};
use crate::log::KeyVerdict;
use crate::retrieval::{HistoryBook, Judging, SignerBook};
use crate::signing::{Purpose, VerifyingKey};
use crate::transaction::SignedTransaction;

/// How a log came to two histories, as far as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Equivocation {
    /// The writer signed two histories within one start of its gateway, or it does not show.
    Equivocation,
    /// The two entries are of different starts of the writer's gateway: what a database does that was put back from a
    /// copy. It stops the log just the same, and the writer could have made it look like this.
    LostTail,
}

impl Equivocation {
    /// Constant that names it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Equivocation => "EQUIVOCATION",
            Self::LostTail => "LOST_TAIL",
        }
    }
}

/// What evidence does to its log, by one charter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceEffect {
    /// Nothing: it does not convict, or the charter names a branch that settles it.
    None,
    /// Nothing from this position on counts.
    PartsAt(u64),
    /// The histories differ somewhere below this size, and nobody knows where.
    PartsBelow(u64),
}

/// Evidence that convicts the writer of a log, by one charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvidence {
    /// The log.
    pub log: LogId,
    /// Who writes it.
    pub member: MemberName,
    /// How it came to this.
    pub kind: Equivocation,
    /// The first position at which the histories are known to differ. `None`: not known.
    pub parting: Option<u64>,
    /// The keys that signed one side and the other.
    pub keys: [VerifyingKey; 2],
}

impl Evidence {
    /// Judges it by the charters that are followed. To be asked again when they change: see
    /// [the module](crate::evidence).
    ///
    /// # Errors
    /// [`UnprovenError`]; only a wrong signature is the fault of whoever brought it.
    pub fn verify(&self, history: &CharterHistory) -> Result<VerifiedEvidence, UnprovenError> {
        self.verify_by(&mut HistoryBook { history, judging: Judging::Recorded })
    }

    /// What it does to its log, by the charters that are followed.
    pub fn effect(&self, history: &CharterHistory) -> EvidenceEffect {
        let branch = history.branch_of(&self.log());
        let settled = branch.is_some_and(|branch| self.is_settled_at(branch.size));
        // Signatures last: of what is settled none has to be looked at again.
        if settled || self.verify(history).is_err() {
            return EvidenceEffect::None;
        }
        match (self.parting(), self.size()) {
            (Some(position), _) => EvidenceEffect::PartsAt(position),
            (None, Some(size)) => EvidenceEffect::PartsBelow(size),
            (None, None) => EvidenceEffect::None,
        }
    }

    pub(super) fn verify_by(
        &self,
        book: &mut impl SignerBook,
    ) -> Result<VerifiedEvidence, UnprovenError> {
        let log = self.log();
        let member = book.member_of_log(&log).ok_or(UnprovenError::UnknownLog(log))?;
        let keys = match self.contradiction() {
            Contradiction::Entries(two) => [signed_by(&two[0], book)?, signed_by(&two[1], book)?],
            Contradiction::Checkpoints(two) => [noted_by(&two[0], book)?, noted_by(&two[1], book)?],
            Contradiction::Trees { sides, .. } => {
                [noted_by(&sides[0].checkpoint, book)?, noted_by(&sides[1].checkpoint, book)?]
            }
        };
        Ok(VerifiedEvidence { log, member, kind: self.kind(), parting: self.parting(), keys })
    }

    /// How the log came to this, as far as it shows.
    pub fn kind(&self) -> Equivocation {
        match self.contradiction() {
            Contradiction::Entries(two)
                if two[0].header().incarnation != two[1].header().incarnation =>
            {
                Equivocation::LostTail
            }
            _ => Equivocation::Equivocation,
        }
    }
}

fn signed_by(
    entry: &SignedTransaction,
    book: &mut impl SignerBook,
) -> Result<VerifyingKey, UnprovenError> {
    let header = entry.header();
    let (version, key_id) = (header.charter_version, header.key_id);
    let key = match book.transaction_key(&header.log_id, version, key_id, header.position) {
        KeyVerdict::Key(key) => key,
        KeyVerdict::Waiting => return Err(UnprovenError::Waiting(version)),
        KeyVerdict::Invalid(why) => return Err(UnprovenError::Key(why)),
    };
    let federation = book.federation_id();
    key.verify(Purpose::Transaction, &federation, entry.header_bytes(), entry.signature())
        .map_err(|_| UnprovenError::Signature)?;
    Ok(key)
}

fn noted_by(
    checkpoint: &UnverifiedCheckpoint,
    book: &mut impl SignerBook,
) -> Result<VerifyingKey, UnprovenError> {
    let none = UnprovenError::Key("no CHECKPOINT key of the log covers the size");
    let key = book.checkpoint_key(checkpoint).ok_or(none)?;
    checkpoint.verify(&key).map_err(|_| UnprovenError::Signature)?;
    Ok(key)
}
