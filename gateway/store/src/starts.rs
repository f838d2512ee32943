//! Which start of another member's gateway we answer for: a promise that binds us, so it is durable before it is given.
//!
//! A gateway signs only after enough other members have said that they know no later start of it (DESIGN's *recovery
//! quorum*). Whoever says so takes nothing more from an earlier start, and from no other instance of the same number. So
//! of a machine and its clone only one goes on, whichever of us each of them asks.

use sundbro_ledger::ids::LogId;

use crate::database::{SealedRows, misfit};
use crate::error::StoreError;
use crate::logs::head_in;
use crate::row::{Reader, RowProblem, Writer};
use crate::store::Store;
use crate::tables::STARTS;

/// One start of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// How often the gateway was started, this start included. Its entries say the same.
    pub incarnation: u32,
    /// 16 random bytes, new at every start: tells two machines with one signing gate apart.
    pub instance_id: [u8; 16],
}

/// What is held about a start that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartVerdict {
    /// It is the newest that is known. From here nothing is taken from an earlier one.
    Newest,
    /// A later one is known, or another one of the same number.
    Outdated {
        /// The highest incarnation that is known.
        known: u32,
    },
}

/// The start that we answer for, and how much of its log was here when we took it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartRow {
    pub(crate) start: Start,
    pub(crate) size: u64,
}

impl StartRow {
    pub(crate) fn to_body(self) -> Vec<u8> {
        let Start { incarnation, instance_id } = self.start;
        Writer::new().u32(incarnation).fixed(&instance_id).u64(self.size).done()
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let start = Start { incarnation: fields.u32()?, instance_id: fields.array()? };
        let size = fields.u64()?;
        fields.end().map(|()| Self { start, size })
    }
}

pub(crate) fn start_in(
    rows: &impl SealedRows,
    log: &LogId,
) -> Result<Option<StartRow>, StoreError> {
    let Some(body) = rows.sealed(&STARTS, log.as_bytes())? else { return Ok(None) };
    StartRow::from_body(&body).map(Some).map_err(|problem| misfit(&STARTS, problem))
}

impl Store {
    /// Judges a start of the gateway that writes `log`, and answers for it from here on if none later is known.
    ///
    /// What is told to that start about its log must be read after this: whatever comes later is not witnessed unless
    /// that very start shows it.
    ///
    /// # Errors
    /// When the disk fails; then the start must get no answer.
    pub fn answer_for(&self, log: &LogId, start: &Start) -> Result<StartVerdict, StoreError> {
        let judged = judge(&self.ledger.read()?, log, start)?;
        if judged.is_settled() {
            return Ok(judged.verdict());
        }
        let write = self.ledger.write()?;
        // Another session may have brought another start meanwhile.
        let judged = judge(&write, log, start)?;
        if let Judged::New { size } = judged {
            write.put_sealed(
                &STARTS,
                log.as_bytes(),
                &StartRow { start: *start, size }.to_body(),
            )?;
            // From here the promise survives a crash.
            write.commit()?;
        }
        Ok(judged.verdict())
    }

    /// The start of the gateway that writes `log` for which we answer, and how much of the log was here when we took it
    /// on. `None`: none has called yet.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn answered_for(&self, log: &LogId) -> Result<Option<(Start, u64)>, StoreError> {
        Ok(start_in(&self.ledger.read()?, log)?.map(|row| (row.start, row.size)))
    }
}

enum Judged {
    New { size: u64 },
    Known,
    Outdated { known: u32 },
}

impl Judged {
    fn is_settled(&self) -> bool {
        !matches!(self, Self::New { .. })
    }

    fn verdict(&self) -> StartVerdict {
        match self {
            Self::New { .. } | Self::Known => StartVerdict::Newest,
            Self::Outdated { known } => StartVerdict::Outdated { known: *known },
        }
    }
}

fn judge(rows: &impl SealedRows, log: &LogId, start: &Start) -> Result<Judged, StoreError> {
    let held = start_in(rows, log)?.map(|row| row.start);
    if held == Some(*start) {
        return Ok(Judged::Known);
    }
    let head = head_in(rows, log)?;
    // Its entries tell too: our promise may have gone with a disk of ours, or an entry came by way of others.
    let signed = head.incarnation();
    let known = held.map_or(0, |held| held.incarnation).max(signed);
    let is_later = held.is_none_or(|held| start.incarnation > held.incarnation);
    if is_later && start.incarnation >= signed {
        return Ok(Judged::New { size: head.size() });
    }
    Ok(Judged::Outdated { known })
}
