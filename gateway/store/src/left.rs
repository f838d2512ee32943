//! Our own log when the charter names another branch of it than ours: ours is left, and signing goes on only beyond it.
//!
//! What was signed there stays signed. So a row beside the log says up to where, under the very signing gate that says so
//! too, and no position below is signed again: on the branch that goes on, others have signed it. Until that branch is here
//! and at least as long, our log is behind, as after a loss. What only the branch that was left had registered is forgotten
//! in the same transaction: whoever looks at the source again finds it new.

use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::payload::Payload;
use sundbro_ledger::transaction::SignedTransaction;

use crate::blobs::blob_in;
use crate::branches::{drop_from, is_on};
use crate::database::{
    ALL_KEYS, Db, META_LEFT, ReadView, SealedRows, WriteView, misfit, opened, walk,
};
use crate::error::StoreError;
use crate::gate::{SigningGate, SigningStop};
use crate::index::{clear_index, last_event_below};
use crate::locators::{Locator, forget_locator, write_locator};
use crate::logs::{LogState, entry_in, head_in, state_in};
use crate::own::request_row;
use crate::row::{Reader, RowProblem, Writer};
use crate::store::{OwnLog, Sendable, Store, root_at};
use crate::tables::{BLOBS, LEDGER_META, LOCATORS, OWN_OBSERVED, REQUESTS};

/// Who knows that our log goes on elsewhere.
const KNOWN_BY: &str = "the charter";

/// A branch of our own log that was left for the one that the charter names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    /// What was signed of it: size and root, as in the signing gate.
    signed: (u64, RootHash),
    /// The branch that goes on.
    branch: (u64, RootHash),
}

/// What became of a stop of our own log, by the branch that the charter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is not stopped for another history, or not settled: everything is as it was.
    Unchanged,
    /// The branch is here, and beyond what was signed anywhere: it may be signed again.
    GoesOn,
    /// The branch is being fetched.
    Behind(SigningStop),
}

impl Left {
    fn to_body(self) -> Vec<u8> {
        let Self { signed, branch } = self;
        let fields = Writer::new().u64(signed.0).fixed(signed.1.as_bytes());
        fields.u64(branch.0).fixed(branch.1.as_bytes()).done()
    }

    fn from_body(body: &[u8]) -> Result<Self, RowProblem> {
        let mut fields = Reader::new(body);
        let signed = (fields.u64()?, RootHash::new(fields.array()?));
        let branch = (fields.u64()?, RootHash::new(fields.array()?));
        fields.end().map(|()| Self { signed, branch })
    }

    /// Whether a gate says what was signed on the branch that was left. One that was written since does not.
    pub(crate) fn explains(&self, gate: &SigningGate) -> bool {
        self.signed == (gate.size, gate.root)
    }

    /// The size from which on our log may be signed.
    fn needed(&self) -> u64 {
        self.signed.0.max(self.branch.0)
    }
}

/// What our own log left, if the gate still stands there.
pub(crate) fn left_in(
    rows: &impl SealedRows,
    gate: &SigningGate,
) -> Result<Option<Left>, StoreError> {
    let Some(body) = rows.sealed(&LEDGER_META, META_LEFT)? else { return Ok(None) };
    let left = Left::from_body(&body).map_err(|problem| misfit(&LEDGER_META, problem))?;
    Ok(Some(left).filter(|left| left.explains(gate)))
}

/// Gate ≤ ledger with the same root at the gate's size is normal, and so is a gate on a branch that was left, once the one
/// that goes on is here and longer. Everything else stops signing.
pub(crate) fn compare(
    ledger: &Db,
    head: &LogHead,
    gate: &SigningGate,
) -> Result<Option<SigningStop>, StoreError> {
    let view = ledger.read()?;
    let held = head.size();
    if let Some(left) = left_in(&view, gate)? {
        let is_there =
            held >= left.needed() && root_at(&view, head.log_id(), left.branch.0)? == left.branch.1;
        let stop =
            SigningStop::OwnLogBehind { held, known: left.needed(), known_by: KNOWN_BY.to_owned() };
        return Ok((!is_there).then_some(stop));
    }
    let known_by = "the signing gate".to_owned();
    if gate.size > held {
        return Ok(Some(SigningStop::OwnLogBehind { held, known: gate.size, known_by }));
    }
    let root = root_at(&view, &gate.log, gate.size)?;
    Ok((root != gate.root).then_some(SigningStop::OwnLogDiverges { size: gate.size, known_by }))
}

impl Store {
    /// Leaves our own branch for the one that the charter names: what is here from `parting` on is dropped, with what it had
    /// registered, unless it is the beginning of that branch. Says whether anything was dropped.
    ///
    /// Nothing is done while signing is stopped for a reason that the charter does not settle: then nobody knows that what
    /// is here is what was signed.
    pub(crate) fn leave_own_branch(
        &self,
        branch: &LogBranch,
        parting: u64,
    ) -> Result<bool, StoreError> {
        let log = &branch.log_id;
        let mut own = self.own();
        if !own.stop.as_ref().is_none_or(|stop| stop.is_passing() || stop.may_be_settled()) {
            return Ok(false);
        }
        // The index first, and until the end: a fold between the two would stand on what is gone.
        let index = self.index.begin()?;
        let write = self.ledger.write()?;
        let view = self.ledger.read()?;
        let head = head_in(&view, log)?;
        if parting >= head.size() || is_on(&view, &head, branch)? {
            return Ok(false);
        }
        let Some(signed) = self.signed_here(&view, &mut own, &head)? else { return Ok(false) };
        let kept = drop_from(&write, &view, &head, parting)?;
        let left = Left { signed, branch: (branch.size, branch.root) };
        write.put_sealed(&LEDGER_META, META_LEFT, &left.to_body())?;
        forget_requests(&write, parting)?;
        self.forget_registered(&write, &view, log, parting)?;
        // They were reckoned from what is gone.
        write.clear(&OWN_OBSERVED)?;
        self.put_watch(None);
        clear_index(&index)?;
        // Nothing is signed from before it is gone until the branch that goes on is here.
        let (held, known) = (kept.size(), left.needed());
        let known_by = KNOWN_BY.to_owned();
        own.stop = Some(SigningStop::OwnLogBehind { held, known, known_by });
        // From here the other branch is gone and the row says so; the gate is as it was, and that row explains it.
        write.commit()?;
        index.commit()?;
        self.set_sendable(Sendable { size: kept.size(), root: kept.root(), checkpoint: None });
        Ok(true)
    }

    /// Up to where our log was signed on the branch that is here. `None`: the gate does not lie on it, so nobody knows.
    fn signed_here(
        &self,
        view: &ReadView,
        own: &mut OwnLog,
        head: &LogHead,
    ) -> Result<Option<(u64, RootHash)>, StoreError> {
        // What is dropped may be a part of yet another branch, fetched since: what was signed is still what the gate says.
        if left_in(view, &own.gate)?.is_some() {
            return Ok(Some((own.gate.size, own.gate.root)));
        }
        let lies_on = own.gate.size <= head.size()
            && root_at(view, head.log_id(), own.gate.size)? == own.gate.root;
        if !lies_on {
            return Ok(None);
        }
        if own.gate.size < head.size() {
            // Signed and not sent: signed all the same.
            self.advance_gate(own, head)?;
        }
        Ok(Some((head.size(), head.root())))
    }

    /// Forgets what the branch that is left registered: an item that was new there is new again, and one that was changed or
    /// withdrawn there is what it was before.
    fn forget_registered(
        &self,
        write: &WriteView,
        view: &ReadView,
        log: &LogId,
        parting: u64,
    ) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        walk(&view.table(&LOCATORS)?, &LOCATORS, ALL_KEYS, |key, value| {
            let locator = Locator::from_body(opened(&LOCATORS, key, value)?);
            let locator = locator.map_err(|problem| misfit(&LOCATORS, problem))?;
            gone.extend((locator.position >= parting).then_some(locator));
            Ok(true)
        })?;
        for locator in gone {
            match self.registered_below(view, log, &locator.record, parting)? {
                Some((position, version)) => write_locator(
                    write,
                    &Locator {
                        version,
                        position,
                        generation: locator.generation - u32::from(!locator.live),
                        live: true,
                        // Looks like nothing, so that the source is read again.
                        fingerprint: Vec::new(),
                        ..locator
                    },
                )?,
                None => forget_locator(write, &locator)?,
            }
        }
        Ok(())
    }

    /// Where, and as which version, one of our records was registered last below a position. `None`: it was not, or was
    /// withdrawn there.
    fn registered_below(
        &self,
        view: &ReadView,
        log: &LogId,
        record: &[u8; 16],
        position: u64,
    ) -> Result<Option<(u64, u32)>, StoreError> {
        let Some(last) = last_event_below(&self.index.read()?, log, record, position)? else {
            return Ok(None);
        };
        let entry = entry_in(view, log, last)?;
        let Some(entry) = entry.and_then(|entry| SignedTransaction::from_entry(entry).ok()) else {
            return Ok(None);
        };
        let payloads = self.payloads.read()?;
        let blob = blob_in(&payloads.table(&BLOBS)?, &entry.header().payload_commitment)?;
        match blob.map(|blob| Payload::read(entry.header(), blob)) {
            Some(Ok(Payload::Registered(it))) => Ok(Some((last, it.version))),
            _ => Ok(None),
        }
    }

    /// Whether somebody has shown another history of our log than the one that is here.
    pub fn is_unsure_of_own_log(&self) -> bool {
        self.own().stop.as_ref().is_some_and(SigningStop::may_be_settled)
    }

    /// Lifts a stop for another history of our log, if the charter has said which goes on and it is here; or says that it is
    /// being fetched. What is here lies on it, or was dropped by [`Store::follow_branch`]. Our incarnation rises, as at a
    /// start: the caller asks the other members as at one.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settle(&self, branch: &LogBranch) -> Result<Settled, StoreError> {
        let mut own = self.own();
        let log = branch.log_id;
        self.follow_newest_name(branch, &own.gate)?;
        let head = {
            let view = self.ledger.read()?;
            let head = head_in(&view, &log)?;
            let is_left = left_in(&view, &own.gate)?.is_some();
            let diverges = own.stop.as_ref().is_some_and(SigningStop::may_be_settled);
            let is_stopped = matches!(state_in(&view, &log)?, LogState::Stopped { .. });
            let lies_on = is_left || is_on(&view, &head, branch)?;
            let is_behind = is_left && own.stop.as_ref().is_some_and(SigningStop::is_passing);
            if is_stopped || !lies_on || !(diverges || is_behind) {
                return Ok(Settled::Unchanged);
            }
            head
        };
        match compare(&self.ledger, &head, &own.gate)? {
            None => {
                self.pass(&mut own, &head)?;
                own.stop = None;
                Ok(Settled::GoesOn)
            }
            Some(stop) if stop.is_passing() => {
                own.stop = Some(stop.clone());
                Ok(Settled::Behind(stop))
            }
            Some(_) => Ok(Settled::Unchanged),
        }
    }
}

impl Store {
    /// A later charter may have named the branch again, and further.
    fn follow_newest_name(&self, branch: &LogBranch, gate: &SigningGate) -> Result<(), StoreError> {
        let named = (branch.size, branch.root);
        let left = left_in(&self.ledger.read()?, gate)?;
        let Some(left) = left.filter(|left| left.branch != named) else { return Ok(()) };
        let write = self.ledger.write()?;
        let left = Left { branch: named, ..left };
        write.put_sealed(&LEDGER_META, META_LEFT, &left.to_body())?;
        write.commit()
    }
}

/// Forgets which requests were answered by entries from a position on: asked again, they are new.
fn forget_requests(write: &WriteView, from: u64) -> Result<(), StoreError> {
    let mut gone = Vec::new();
    walk(&write.table(&REQUESTS)?, &REQUESTS, ALL_KEYS, |key, value| {
        let row = request_row(opened(&REQUESTS, key, value)?);
        let (_, position) = row.map_err(|problem| misfit(&REQUESTS, problem))?;
        gone.extend((position >= from).then(|| key.to_vec()));
        Ok(true)
    })?;
    gone.iter().try_for_each(|key| write.remove(&REQUESTS, key).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_and_explains_one_gate() {
        let left =
            Left { signed: (9, RootHash::new([1; 32])), branch: (7, RootHash::new([2; 32])) };
        assert_eq!(Left::from_body(&left.to_body()), Ok(left));
        assert_eq!(left.needed(), 9, "what was signed is not signed again");
        let gate = SigningGate {
            log: LogId::new([3; 32]),
            size: 9,
            root: RootHash::new([1; 32]),
            incarnation: 4,
        };
        assert!(left.explains(&gate));
        assert!(!left.explains(&SigningGate { size: 8, ..gate }));
        assert!(!left.explains(&SigningGate { root: RootHash::new([2; 32]), ..gate }));
    }
}
