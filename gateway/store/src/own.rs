//! Appends to our own log: a group of drafts becomes signed entries and one checkpoint, or nothing.
//!
//! The order is what keeps us from signing twice: blobs durable, then entries, hashes, head, checkpoint, locators and
//! request ids durable in one transaction, then the signing gate durable, then the caller may send.

use bytes::Bytes;
use sundbro_ledger::checkpoint::{
    Checkpoint, Origin, UnverifiedCheckpoint, VerifiedCheckpoint, sign_checkpoint,
};
use sundbro_ledger::ids::{Commitment, FederationId, LeafHash};
use sundbro_ledger::log::{KeyBook, LogHead};
use sundbro_ledger::merkle::leaf_hash;
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::transaction::{Audience, Draft, VerifiedTransaction};

use crate::blobs::{BlobKind, NewBlob};
use crate::database::{SealedRows, WriteView, misfit};
use crate::edge;
use crate::error::{AppendOwnError, AppendReplicaError, PutBlobError, StoreError};
use crate::gate::{SigningGate, SigningStop};
use crate::locators::{Applied, Locator, LocatorChange, apply, write_locator};
use crate::logs::{
    CheckpointKind, checkpoint_in, entry_in, head_in, write_checkpoint, write_entries,
};
use crate::row::{Reader, RowProblem, Writer, digest_of};
use crate::stop::{StopPoint, reached};
use crate::store::{OwnLog, Sendable, Store};
use crate::tables::REQUESTS;

/// Most drafts in one append.
pub const MAX_DRAFTS: usize = 4096;

/// Names a request, so that asking again after a crash or a lost answer appends nothing twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The request id, with whatever keeps clients apart before it.
    pub id: Vec<u8>,
    /// Digest of what was asked, without salts: the same id with another digest is refused.
    pub content: [u8; 32],
}

/// One transaction to be, before it has a position.
#[derive(Clone)]
pub struct OwnDraft {
    /// The payload's blob, framed.
    pub payload: Bytes,
    /// Its commitment.
    pub commitment: Commitment,
    /// Who may hold the payload.
    pub audience: Audience,
    /// The detail's blob and its commitment.
    pub detail: Option<(Commitment, Bytes)>,
    /// What changes in the map from sources to records, in the same transaction.
    pub locator: Option<LocatorChange>,
    /// By what this draft is recognised if it comes again.
    pub request: Option<RequestKey>,
}

/// With what our own log is signed.
pub struct OwnSigner<'a> {
    /// The federation under whose id is signed.
    pub federation_id: FederationId,
    /// The origin of our log.
    pub origin: Origin,
    /// Charter version that the entries name.
    pub charter_version: u64,
    /// Ordinal of the TRANSACTION key.
    pub key_id: u32,
    /// The TRANSACTION key.
    pub transaction_key: &'a SigningKey,
    /// The CHECKPOINT key.
    pub checkpoint_key: &'a SigningKey,
}

/// One draft that is now an entry: it survives a crash here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its position.
    pub position: u64,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// Whether it was there already: the same request, or a source content that is registered.
    pub replayed: bool,
}

/// Why one draft of a group became no entry; the others did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftRefusal {
    /// The request id was used for something else.
    #[error("this request id was used before with other content: use a new one")]
    RequestIdReused,
    /// The source item changed its locator since the draft was made.
    #[error("the source item was registered meanwhile: look its locator up and draft again")]
    LocatorMoved,
    /// The blobs are not those that the draft names.
    #[error("a blob of the draft does not have the commitment that the draft names")]
    WrongCommitment,
}

/// What an append did.
#[derive(Debug)]
pub struct OwnAppend {
    /// For each draft, in order.
    pub outcomes: Vec<Result<Accepted, DraftRefusal>>,
    /// The new checkpoint of the log. `None`: nothing was new, the one before covers everything.
    pub checkpoint: Option<VerifiedCheckpoint>,
    /// The head after it.
    pub head: LogHead,
}

/// Where the drafts of one append come from.
pub(crate) trait Drafting {
    /// Makes them, while the transaction is open in which they will be signed.
    fn drafts(&mut self, write: &WriteView) -> Result<Vec<OwnDraft>, AppendOwnError>;

    /// Position of the entry that our log has of a draft already, by its place among them.
    fn signed_at(&self, _: usize) -> Option<u64> {
        None
    }

    /// Writes what goes with their entries, which end our log at `head`, into the same transaction.
    fn written(&mut self, write: &WriteView, head: &LogHead) -> Result<(), StoreError>;

    /// Writes what goes with the drafts whatever became of them, also where nothing is signed. Whether there is anything.
    fn settled(
        &mut self,
        _: &WriteView,
        _: &[Result<Accepted, DraftRefusal>],
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// Drafts that somebody handed over.
struct Given(Vec<OwnDraft>);

impl Drafting for Given {
    fn drafts(&mut self, _: &WriteView) -> Result<Vec<OwnDraft>, AppendOwnError> {
        Ok(core::mem::take(&mut self.0))
    }

    fn written(&mut self, _: &WriteView, _: &LogHead) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What was done with a draft before it gets a position.
pub(crate) enum Step {
    New(Option<Locator>),
    Replayed(u64),
    Refused(DraftRefusal),
}

/// Entries of one group, before they are written, with the blobs that they and their payloads name.
struct Group {
    entries: Vec<VerifiedTransaction>,
    blobs: Vec<NewBlob>,
    head: LogHead,
    outcomes: Vec<Result<Accepted, DraftRefusal>>,
}

impl Store {
    /// Appends drafts to our own log as one group, with one checkpoint. When it returns, everything may be sent.
    ///
    /// A draft whose request id or source content is known becomes no second entry: its outcome names the first.
    ///
    /// # Errors
    /// Fails when signing is stopped, when what we sign does not hold by `keys`, entries or checkpoint, and when the disk
    /// fails; then nothing may be sent.
    pub fn append_own(
        &self,
        drafts: Vec<OwnDraft>,
        signer: &OwnSigner<'_>,
        recorded_hour: u32,
        keys: &dyn KeyBook,
    ) -> Result<OwnAppend, AppendOwnError> {
        if drafts.len() > MAX_DRAFTS {
            return Err(AppendOwnError::TooMany { got: drafts.len(), max: MAX_DRAFTS });
        }
        self.append_made(&mut Given(drafts), signer, recorded_hour, keys)
    }

    /// As [`append_own`](Self::append_own), with drafts that are made of what the transaction sees.
    pub(crate) fn append_made(
        &self,
        drafting: &mut dyn Drafting,
        signer: &OwnSigner<'_>,
        recorded_hour: u32,
        keys: &dyn KeyBook,
    ) -> Result<OwnAppend, AppendOwnError> {
        let mut own = self.own_for_append()?;
        if let Some(stop) = &own.stop {
            return Err(AppendOwnError::Stopped(stop.clone()));
        }
        let write = self.ledger.write()?;
        let old = head_in(&write, &self.identity().own_log)?;
        // Before anything is signed on it.
        let damage = edge::damage(&self.ledger, &old, &own.gate)?;
        refuse_damaged(&mut own, damage)?;
        if own.gate.size < old.size() {
            // The gate could not be written after an append. Until it can, nothing more is signed, and no repeated
            // draft is acknowledged: its entry may not be sent.
            self.advance_gate(&mut own, &old)?;
        }
        let drafts = drafting.drafts(&write)?;
        let signing = Signing { signer, recorded_hour, keys, incarnation: own.gate.incarnation };
        let group = self.sign_group(&write, (drafting, &drafts), &old, &signing)?;
        let settled = drafting.settled(&write, &group.outcomes)?;
        if group.entries.is_empty() {
            if settled {
                write.commit()?;
            }
            return Ok(OwnAppend { outcomes: group.outcomes, checkpoint: None, head: group.head });
        }
        // Before anything is written: a group that is refused is offered again and again. One that is a repetition of
        // what is here needs no room.
        self.want_room()?;
        let checkpoint = sign_head(signer, &group.head, keys)?;
        self.put_group_blobs(&group.blobs)?;
        // From here the blobs survive a crash. Nothing names them yet; a repeated request brings its own.
        reached(StopPoint::PayloadLedger);

        write_entries(&write, &old, &group.entries, &group.head).map_err(own_error)?;
        write_checkpoint(&write, &checkpoint, group.head.size())?;
        drafting.written(&write, &group.head)?;
        write.commit()?;
        // From here the entries survive a crash, and with them all that says which requests they answer.
        reached(StopPoint::LedgerGate);
        let Group { head, entries, .. } = &group;
        let damage = edge::damage_of_written(&self.ledger, head, &own.gate, entries)?;
        // Nothing was sent: what is not there as it was signed stays here, and is signed on by nobody.
        refuse_damaged(&mut own, damage)?;

        self.advance_gate(&mut own, &group.head)?;
        // From here they may be sent: a database that forgets them cannot sign again.
        reached(StopPoint::GateSend);
        let (outcomes, head) = (group.outcomes, group.head);
        Ok(OwnAppend { outcomes, checkpoint: Some(checkpoint), head })
    }

    fn sign_group(
        &self,
        write: &WriteView,
        (drafting, drafts): (&dyn Drafting, &[OwnDraft]),
        old: &LogHead,
        signing: &Signing<'_>,
    ) -> Result<Group, AppendOwnError> {
        let outcomes = Vec::with_capacity(drafts.len());
        let (entries, blobs) = (Vec::new(), Vec::new());
        let mut group = Group { entries, blobs, head: old.clone(), outcomes };
        for (index, draft) in drafts.iter().enumerate() {
            let outcome = match (first_look(write, draft)?, drafting.signed_at(index)) {
                (Step::New(locator), Some(position)) => {
                    if let Some(locator) = locator {
                        write_locator(write, &Locator { position, ..locator })?;
                    }
                    Ok(self.replayed(&group, old, position)?)
                }
                // Its locator tells of a later entry.
                (Step::Refused(DraftRefusal::LocatorMoved), Some(position)) => {
                    Ok(self.replayed(&group, old, position)?)
                }
                (Step::Refused(refusal), _) => Err(refusal),
                (Step::Replayed(position), _) => Ok(self.replayed(&group, old, position)?),
                (Step::New(locator), None) => {
                    let entry = signing.sign(draft, &mut group.head)?;
                    let (position, leaf) = (entry.header().position, entry.leaf());
                    if let Some(locator) = locator {
                        write_locator(write, &Locator { position, ..locator })?;
                    }
                    if let Some(request) = &draft.request {
                        write_request(write, request, position)?;
                    }
                    group.entries.push(entry);
                    group.blobs.extend(draft.blobs());
                    Ok(Accepted { position, leaf, replayed: false })
                }
            };
            group.outcomes.push(outcome);
        }
        Ok(group)
    }

    /// Which drafts become entries is known only once the group was gone through: an earlier draft of the group may make
    /// a later one new. The blobs of a repeated draft have salts of their own and would never be named.
    fn put_group_blobs(&self, blobs: &[NewBlob]) -> Result<(), AppendOwnError> {
        self.put_blobs(blobs).map_err(|error| match error {
            PutBlobError::Store(source) => AppendOwnError::Store(source),
            other => AppendOwnError::OwnEntryInvalid(other.to_string()),
        })
    }

    /// The entry that a repeated draft became: an earlier one, or one of this group.
    fn replayed(
        &self,
        group: &Group,
        old: &LogHead,
        position: u64,
    ) -> Result<Accepted, StoreError> {
        let leaf = match position.checked_sub(old.size()) {
            Some(index) => group.entries.get(index as usize).map(VerifiedTransaction::leaf),
            None => entry_in(&self.ledger.read()?, old.log_id(), position)?
                .map(|entry| leaf_hash(&entry)),
        };
        let leaf = leaf.ok_or_else(|| misfit(&REQUESTS, RowProblem::Fields))?;
        Ok(Accepted { position, leaf, replayed: true })
    }

    pub(crate) fn advance_gate(&self, own: &mut OwnLog, head: &LogHead) -> Result<(), StoreError> {
        let gate = SigningGate { size: head.size(), root: head.root(), ..own.gate };
        gate.write(&*self.disk, &own.gate_path)
            .map_err(|source| StoreError::Gate { path: own.gate_path.clone(), source })?;
        own.gate = gate;
        let view = self.ledger.read()?;
        let checkpoint = checkpoint_in(&view, head.log_id(), CheckpointKind::Committed)?;
        self.set_sendable(Sendable { size: head.size(), root: head.root(), checkpoint });
        Ok(())
    }
}

impl OwnDraft {
    fn blobs_match(&self) -> bool {
        BlobKind::Payload.commit(&self.payload) == self.commitment
            && self.detail.as_ref().is_none_or(|(it, blob)| BlobKind::Detail.commit(blob) == *it)
    }

    pub(crate) fn blobs(&self) -> impl Iterator<Item = NewBlob> {
        let payload = (BlobKind::Payload, self.commitment, self.payload.clone());
        let detail = self.detail.clone().map(|(it, bytes)| (BlobKind::Detail, it, bytes));
        let blob = |(kind, commitment, bytes)| NewBlob { kind, commitment, bytes };
        [Some(payload), detail].into_iter().flatten().map(blob)
    }
}

impl core::fmt::Debug for OwnDraft {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "draft of {:?}", self.commitment)
    }
}

impl core::fmt::Debug for OwnSigner<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "signer of {}", self.origin)
    }
}

struct Signing<'a> {
    signer: &'a OwnSigner<'a>,
    recorded_hour: u32,
    keys: &'a dyn KeyBook,
    incarnation: u32,
}

impl Signing<'_> {
    /// Signs the next entry, and checks it as every replica will, before it counts.
    fn sign(
        &self,
        draft: &OwnDraft,
        head: &mut LogHead,
    ) -> Result<VerifiedTransaction, AppendOwnError> {
        let invalid = |problem: String| AppendOwnError::OwnEntryInvalid(problem);
        let payload_size = u32::try_from(draft.payload.len())
            .map_err(|_| invalid("the payload is longer than a blob may be".to_owned()))?;
        let signed = head.sign_next(
            Draft {
                charter_version: self.signer.charter_version,
                key_id: self.signer.key_id,
                incarnation: self.incarnation,
                recorded_hour: self.recorded_hour,
                payload_commitment: draft.commitment,
                payload_size,
                audience: draft.audience,
            },
            self.signer.transaction_key,
            &self.signer.federation_id,
        );
        let entry =
            head.verify(signed, self.keys).map_err(|refusal| invalid(refusal.to_string()))?;
        head.append(&entry).map_err(|refusal| invalid(refusal.to_string()))?;
        Ok(entry)
    }
}

/// What the durable rows say about a draft.
pub(crate) fn first_look(rows: &impl SealedRows, draft: &OwnDraft) -> Result<Step, StoreError> {
    if !draft.blobs_match() {
        return Ok(Step::Refused(DraftRefusal::WrongCommitment));
    }
    if let Some(request) = &draft.request
        && let Some((content, position)) = request_in(rows, request)?
    {
        return Ok(if content == request.content {
            Step::Replayed(position)
        } else {
            Step::Refused(DraftRefusal::RequestIdReused)
        });
    }
    Ok(match draft.locator.as_ref().map(|change| apply(rows, change)).transpose()? {
        None => Step::New(None),
        Some(Applied::Go(locator)) => Step::New(Some(locator)),
        Some(Applied::Done(position)) => Step::Replayed(position),
        Some(Applied::Refused(refusal)) => Step::Refused(refusal),
    })
}

fn request_in(
    rows: &impl SealedRows,
    request: &RequestKey,
) -> Result<Option<([u8; 32], u64)>, StoreError> {
    let Some(body) = rows.sealed(&REQUESTS, &digest_of(&[&request.id]))? else { return Ok(None) };
    request_row(&body).map(Some).map_err(|problem| misfit(&REQUESTS, problem))
}

pub(crate) fn request_row(body: &[u8]) -> Result<([u8; 32], u64), RowProblem> {
    let mut fields = Reader::new(body);
    let row = (fields.array()?, fields.u64()?);
    fields.end().map(|()| row)
}

fn write_request(write: &WriteView, request: &RequestKey, position: u64) -> Result<(), StoreError> {
    let body = Writer::new().fixed(&request.content).u64(position).done();
    write.put_sealed(&REQUESTS, &digest_of(&[&request.id]), &body)
}

/// Signs the new head, if peers will take it: an entry under a checkpoint that they refuse is accepted by nobody.
fn sign_head(
    signer: &OwnSigner<'_>,
    head: &LogHead,
    keys: &dyn KeyBook,
) -> Result<VerifiedCheckpoint, AppendOwnError> {
    let public = signer.checkpoint_key.public();
    if !keys.checkpoint_key_covers(head.log_id(), head.size(), &public) {
        return Err(AppendOwnError::CheckpointKey { size: head.size() });
    }
    let checkpoint = Checkpoint::new(&signer.origin, head.size(), head.root());
    let note = sign_checkpoint(&checkpoint, signer.checkpoint_key);
    UnverifiedCheckpoint::parse_of(head.log_id(), &note)
        .and_then(|parsed| parsed.verify(&public))
        .map_err(|error| AppendOwnError::OwnEntryInvalid(error.to_string()))
}

/// Signing stops until the next start, which looks again.
fn refuse_damaged(own: &mut OwnLog, damage: Option<SigningStop>) -> Result<(), AppendOwnError> {
    let Some(stop) = damage else { return Ok(()) };
    own.stop.get_or_insert(stop.clone());
    Err(AppendOwnError::Stopped(stop))
}

fn own_error(error: AppendReplicaError) -> AppendOwnError {
    match error {
        AppendReplicaError::Store(source) => AppendOwnError::Store(source),
        other => AppendOwnError::OwnEntryInvalid(other.to_string()),
    }
}
