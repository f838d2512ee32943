//! What is done about damaged places: dropped here and fetched from peers, derived anew, or told to the operator.

use std::collections::BTreeSet;

use sundbro_ledger::ids::{Commitment, LogId};
use sundbro_store::scrub::{Finding, Repair};
use sundbro_store::verify::Trust;
use sundbro_store::{RepairError, RepairedLog, Store, StoreError};

use crate::charter_book::CharterBook;

/// Who can do something about a damaged place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Other members hold it: it is dropped here and fetched.
    Peers,
    /// It is derived from what is here.
    Index,
    /// It is of our own log: other members hold it, and nothing may be signed while it is dropped.
    OwnLog,
    /// A backup holds it, and nobody else.
    Backup,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Peers, Self::Index, Self::OwnLog, Self::Backup];

    /// What helps against this.
    pub fn of(finding: &Finding, own_log: &LogId) -> Self {
        match (finding.repair, finding.damage.log) {
            (Repair::RebuildIndex, _) => Self::Index,
            (Repair::FromPeers, _) if finding.blob.is_some() => Self::Peers,
            (Repair::FromPeers, Some(log)) if log == *own_log => Self::OwnLog,
            (Repair::FromPeers, Some(_)) => Self::Peers,
            // Of a row that does not say to which log it belongs nobody can be asked for it.
            (Repair::FromPeers, None) | (Repair::FromBackup, _) => Self::Backup,
        }
    }

    /// Its name in metrics, lines and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Index => "index",
            Self::OwnLog => "own_log",
            Self::Backup => "backup",
        }
    }

    /// What happens or is to be done.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Peers => "it is dropped here and fetched from other members; check the disk",
            Self::Index => "the index is derived anew; check the disk",
            Self::OwnLog => {
                "stop the gateway and run `sundbro log repair`: other members give back what it drops"
            }
            Self::Backup => "put back a backup: docs/runbooks/restore.md; check the disk",
        }
    }
}

/// What is to be repaired.
#[derive(Debug, Default)]
pub struct Repairs {
    blobs: Vec<Commitment>,
    logs: BTreeSet<LogId>,
    index: bool,
}

/// What was repaired.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Logs, and what stayed of each.
    pub logs: Vec<(LogId, RepairedLog)>,
    /// Logs that are as they were, and why.
    pub refused: Vec<(LogId, RepairError)>,
    /// How many payloads were dropped.
    pub blobs: u64,
    /// Whether the index was derived anew.
    pub index: bool,
}

impl Repairs {
    /// Nothing is to be done, or nothing can be.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.logs.is_empty() && !self.index
    }

    /// What others hold, or what is derived. With `own_too` our own log as well, of which nothing is signed then.
    pub fn add(&mut self, finding: &Finding, remedy: Remedy, own_too: bool) {
        match remedy {
            Remedy::Index => self.index = true,
            Remedy::Peers => match finding.blob {
                Some(blob) => self.blobs.push(blob),
                None => self.logs.extend(finding.damage.log),
            },
            Remedy::OwnLog if own_too => self.logs.extend(finding.damage.log),
            Remedy::OwnLog | Remedy::Backup => {}
        }
    }

    /// Leaves out logs that were tried already; those that stay count as tried from here on.
    pub fn without_tried(&mut self, tried: &mut BTreeSet<LogId>) {
        self.logs.retain(|log| tried.insert(*log));
    }

    /// Drops what is damaged and lets the index follow. Blocking; reads each of these logs from its first entry.
    ///
    /// # Errors
    /// When the disk fails. What was dropped until then is fetched all the same.
    pub fn carry_out(
        &self,
        store: &Store,
        charter: &CharterBook,
        trust: &dyn Trust,
    ) -> Result<Repaired, StoreError> {
        let mut repaired = Repaired::default();
        for log in &self.logs {
            match store.repair_log(log, trust) {
                Ok(kept) => repaired.logs.push((*log, kept)),
                Err(RepairError::Store(error)) => return Err(error),
                Err(error) => repaired.refused.push((*log, error)),
            }
        }
        repaired.blobs = store.forget_damaged_blobs(&self.blobs)?;
        if self.index {
            store.rebuild_index(charter)?;
            repaired.index = true;
        }
        crate::publisher::fold_all(store, charter)?;
        Ok(repaired)
    }
}
