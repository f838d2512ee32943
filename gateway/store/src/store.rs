//! The store: its four files and its gate, opened together.

use core::sync::atomic::AtomicU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use sundbro_ledger::ids::{FederationId, LogId, RootHash};
use sundbro_ledger::merkle::{EMPTY_ROOT, range_hash};

use crate::blobs::PayloadsMark;
use crate::database::{Db, META_IDENTITY, ReadView, misfit};
use crate::disk::{Disk, OsDisk};
use crate::edge;
use crate::error::{OpenError, StoreError};
use crate::gate::{ReadGateError, SigningGate, SigningStop};
use crate::hashes::StoredNodes;
use crate::index::{Late, bind as bind_index};
use crate::left::compare;
use crate::logs::{
    CheckpointKind, CheckpointRow, LogState, checkpoint_in, head_in, log_key, state_in,
};
use crate::observe::Watch;
use crate::room::Reserve;
use crate::row::{Reader, RowProblem, Writer};
use crate::tables::{HASHES, LEDGER_META, StoreFile};

/// To whom a store belongs; written when it is created, compared ever after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The federation.
    pub federation_id: FederationId,
    /// Our own log.
    pub own_log: LogId,
}

/// How a store is opened for writing.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// To whom it belongs.
    pub identity: Identity,
    /// Where the signing gate lies. `None`: in the store's folder.
    pub gate: Option<PathBuf>,
    /// redb's cache for each of the four files, in bytes. 16 MiB is enough for a gateway.
    pub cache_bytes: usize,
    /// Writes a missing or damaged signing gate anew from the database. For an operator who has made sure that no other
    /// member knows a longer log of ours.
    pub recreate_gate: bool,
}

/// The files of one gateway.
pub struct Store {
    pub(crate) disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Identity,
    pub(crate) ledger: Db,
    pub(crate) payloads: Db,
    pub(crate) index: Db,
    pub(crate) audit: Db,
    own: Mutex<OwnLog>,
    sendable: RwLock<Option<Sendable>>,
    pub(crate) late: Late,
    /// Entries of our log below this size may be those of another start; those above were signed by this one.
    pub(crate) of_others_to: AtomicU64,
    /// What the last observation found; `None`: the next one reads it from the rows.
    watch: Mutex<Option<Watch>>,
    pub(crate) reserve: Reserve,
    beside_gateway: bool,
}

/// What signing needs to know; held for the whole of an append.
pub(crate) struct OwnLog {
    pub(crate) gate_path: PathBuf,
    pub(crate) gate: SigningGate,
    pub(crate) stop: Option<SigningStop>,
}

/// How much of our own log may leave the house: what the signing gate has passed.
///
/// A reader could otherwise send a checkpoint that is durable in the ledger while its gate is still being written.
#[derive(Clone)]
pub(crate) struct Sendable {
    pub(crate) size: u64,
    pub(crate) root: RootHash,
    pub(crate) checkpoint: Option<CheckpointRow>,
}

impl Identity {
    pub(crate) fn read(view: &ReadView) -> Result<Option<Self>, StoreError> {
        let Some(body) = view.get_sealed(&LEDGER_META, META_IDENTITY)? else { return Ok(None) };
        let read = |body| -> Result<Self, RowProblem> {
            let mut fields = Reader::new(body);
            let federation_id = FederationId::new(fields.array()?);
            let own_log = LogId::new(fields.array()?);
            fields.end().map(|()| Self { federation_id, own_log })
        };
        read(&body).map(Some).map_err(|problem| misfit(&LEDGER_META, problem))
    }
}

impl Store {
    /// Opens or creates the store in `dir`, and raises the incarnation, durably.
    ///
    /// # Errors
    /// Fails when a file cannot be used; each error says what to do. A gate that stops signing is no error:
    /// [`Store::signing_stop`] tells.
    pub fn open(dir: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_on(OsDisk::shared(), dir, options)
    }

    /// As [`Store::open`], on a disk of the caller's.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: OpenOptions,
    ) -> Result<Self, OpenError> {
        Self::open_all(disk, dir, options).map_err(|error| error.or_disk_full(dir))
    }

    fn open_all(disk: Arc<dyn Disk>, dir: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        disk.create_folder(dir).map_err(|source| OpenError::Io {
            path: dir.to_owned(),
            cure: "the gateway's user must be able to create it",
            source,
        })?;
        let open = |file| Db::open(&disk, dir, file, options.cache_bytes);
        let ledger = open(StoreFile::Ledger)?;
        bind(&ledger, dir, &options.identity)?;
        let payloads = open(StoreFile::Payloads)?;
        PayloadsMark::create(&payloads)?;
        let index = open(StoreFile::Index)?;
        if bind_index(&index, &payloads)? {
            tracing::warn!(
                "the index stands on other payloads or older rules: it is derived anew, and blobs that are gone are \
                 asked for again"
            );
        }
        let audit = open(StoreFile::Audit)?;
        let gate_path = options.gate.unwrap_or_else(|| dir.join(StoreFile::Gate.name()));
        let own_log = options.identity.own_log;
        let (mut own, sendable) =
            pass_gate(&*disk, &ledger, own_log, gate_path, options.recreate_gate)?;
        if let LogState::Stopped { position, reason } = state_in(&ledger.read()?, &own_log)? {
            own.stop.get_or_insert(SigningStop::of_stopped_log(position, &reason));
        }
        let of_others_to = AtomicU64::new(sendable.size);
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            identity: options.identity,
            ledger,
            payloads,
            index,
            audit,
            own: Mutex::new(own),
            sendable: RwLock::new(Some(sendable)),
            late: Late::new(),
            of_others_to,
            watch: Mutex::new(None),
            reserve: Reserve::default(),
            beside_gateway: false,
        })
    }

    /// Opens the store in `dir` to read, beside a running gateway or after one, crashed or not.
    ///
    /// Nothing changes on disk: what a crash left to repair is repaired in memory. The files stay locked against a
    /// gateway's start until the store is dropped, unless one is running already.
    ///
    /// # Errors
    /// Fails when a file is missing, damaged or newer than this software.
    pub fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        let disk = OsDisk::shared();
        let open = |file| Db::open_offline(&*disk, dir, file).map(|(db, _)| db);
        let (ledger, beside_gateway) = Db::open_offline(&*disk, dir, StoreFile::Ledger)?;
        let identity = Identity::read(&ledger.read()?)?.ok_or_else(|| OpenError::Damaged {
            path: dir.join(StoreFile::Ledger.name()),
            problem: "it does not say to whom it belongs".to_owned(),
        })?;
        let gate_path = dir.join(StoreFile::Gate.name());
        let log = identity.own_log;
        let gate = SigningGate::read(&*disk, &gate_path).ok().flatten();
        let gate = gate.unwrap_or(SigningGate { log, size: 0, root: EMPTY_ROOT, incarnation: 0 });
        let payloads = open(StoreFile::Payloads)?;
        let index = open(StoreFile::Index)?;
        let audit = open(StoreFile::Audit)?;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            identity,
            ledger,
            payloads,
            index,
            audit,
            own: Mutex::new(OwnLog { gate_path, gate, stop: None }),
            sendable: RwLock::new(None),
            late: Late::new(),
            of_others_to: AtomicU64::new(u64::MAX),
            watch: Mutex::new(None),
            reserve: Reserve::default(),
            beside_gateway,
        })
    }

    /// The store's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it was opened to read while a gateway has it open.
    pub fn is_beside_gateway(&self) -> bool {
        self.beside_gateway
    }

    /// Why a gateway that starts with the gate in this file would sign nothing. Changes nothing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stop_at_start(&self, gate: &Path) -> Result<Option<SigningStop>, StoreError> {
        let log = self.identity.own_log;
        // The gate first: a gateway that runs beside us writes it after the ledger.
        let read = SigningGate::read(&*self.disk, gate);
        let head = head_in(&self.ledger.read()?, &log)?;
        match read {
            Err(_) => Ok(Some(SigningStop::GateDamaged(gate.to_owned()))),
            Ok(None) if head.size() > 0 => Ok(Some(SigningStop::GateMissing(gate.to_owned()))),
            Ok(None) => Ok(None),
            Ok(Some(found)) if found.log != log => {
                Ok(Some(SigningStop::GateOfOtherLog(gate.to_owned())))
            }
            Ok(Some(found)) => compare(&self.ledger, &head, &found),
        }
    }

    /// To whom it belongs.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How often the gateway was started, this start included.
    pub fn incarnation(&self) -> u32 {
        self.own().gate.incarnation
    }

    /// Why nothing is signed. `None`: signing goes on.
    pub fn signing_stop(&self) -> Option<SigningStop> {
        self.own().stop.clone()
    }

    /// Stops signing: another member knows a longer or different log of ours, or the charter takes back its key. The
    /// first reason stays, but one that passes gives way to one that does not.
    pub fn stop_signing(&self, stop: SigningStop) {
        let mut own = self.own();
        let stays = own.stop.as_ref().is_some_and(|held| !held.is_passing() || stop.is_passing());
        if !stays {
            own.stop = Some(stop);
        }
    }

    /// Root of our own log at a smaller size: to compare with what another member knows. `None`: it is not that long.
    pub fn own_root_at(&self, size: u64) -> Result<Option<RootHash>, StoreError> {
        let view = self.ledger.read()?;
        let log = &self.identity.own_log;
        if size > head_in(&view, log)?.size() {
            return Ok(None);
        }
        root_at(&view, log, size).map(Some)
    }

    /// A thread that panicked while it held this left the gate as it was; the ledger tells how far we came.
    pub(crate) fn own(&self) -> MutexGuard<'_, OwnLog> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As `own`, for an append: after a panic in one, only a restart puts gate and ledger side by side again.
    pub(crate) fn own_for_append(&self) -> Result<MutexGuard<'_, OwnLog>, StoreError> {
        self.own.lock().map_err(|_| StoreError::Poisoned)
    }

    pub(crate) fn take_watch(&self) -> Option<Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn put_watch(&self, watch: Option<Watch>) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
    }

    /// How much of a log may be shown to others. `None`: all that is here.
    pub(crate) fn sendable(&self, log: &LogId) -> Option<Sendable> {
        if *log != self.identity.own_log {
            return None;
        }
        self.sendable.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_sendable(&self, sendable: Sendable) {
        *self.sendable.write().unwrap_or_else(PoisonError::into_inner) = Some(sendable);
    }
}

pub(crate) fn root_at(view: &ReadView, log: &LogId, size: u64) -> Result<RootHash, StoreError> {
    let nodes = StoredNodes::new(view, &HASHES, &log_key(log))?;
    range_hash(&nodes, 0, size).map(RootHash::from)
}

/// Writes the identity into a new ledger, compares it with an old one.
fn bind(ledger: &Db, dir: &Path, expected: &Identity) -> Result<(), OpenError> {
    let path = dir.join(StoreFile::Ledger.name());
    match Identity::read(&ledger.read()?)? {
        Some(found) if found == *expected => Ok(()),
        Some(found) => Err(OpenError::OtherIdentity {
            path,
            found: format!("federation {}, log {}", found.federation_id, found.own_log),
            expected: format!("federation {}, log {}", expected.federation_id, expected.own_log),
        }),
        None => {
            let write = ledger.write()?;
            let body = Writer::new()
                .fixed(expected.federation_id.as_bytes())
                .fixed(expected.own_log.as_bytes());
            write.put_sealed(&LEDGER_META, META_IDENTITY, &body.done())?;
            write.commit()?;
            Ok(())
        }
    }
}

/// Compares the gate with the ledger, and raises the incarnation.
fn pass_gate(
    disk: &dyn Disk,
    ledger: &Db,
    log: LogId,
    gate_path: PathBuf,
    recreate: bool,
) -> Result<(OwnLog, Sendable), OpenError> {
    let view = ledger.read()?;
    let head = head_in(&view, &log)?;
    let checkpoint = checkpoint_in(&view, &log, CheckpointKind::Committed)?;
    let sendable = Sendable { size: head.size(), root: head.root(), checkpoint };
    let here =
        SigningGate { log, size: head.size(), root: head.root(), incarnation: head.incarnation() };
    let read = match SigningGate::read(disk, &gate_path) {
        Err(ReadGateError::Io(source)) => {
            return Err(OpenError::Io {
                path: gate_path,
                cure: "the gateway's user must be able to read it",
                source,
            });
        }
        Err(ReadGateError::Damaged) if !recreate => {
            Err(SigningStop::GateDamaged(gate_path.clone()))
        }
        Ok(None) if !recreate && head.size() > 0 => {
            Err(SigningStop::GateMissing(gate_path.clone()))
        }
        Ok(None) | Err(ReadGateError::Damaged) => Ok(here),
        Ok(Some(gate)) => Ok(gate),
    };
    drop(view);
    let (gate, stop) = match read {
        // Not written: a gate that is put back must not find another one in its place.
        Err(stop) => {
            let incarnation = here.incarnation.saturating_add(1);
            let own =
                OwnLog { gate_path, gate: SigningGate { incarnation, ..here }, stop: Some(stop) };
            return Ok((own, sendable));
        }
        Ok(gate) if gate.log != log => {
            let stop = SigningStop::GateOfOtherLog(gate_path.clone());
            return Ok((OwnLog { gate_path, gate, stop: Some(stop) }, sendable));
        }
        // A log that contradicts itself is damaged; only of one that does not can it be said that it diverges.
        Ok(gate) => match edge::damage(ledger, &head, &here)? {
            None => (gate, compare(ledger, &head, &gate)?),
            damage => (gate, damage),
        },
    };
    // A stopped log keeps the gate that stopped it, with the new incarnation.
    let kept = if stop.is_some() { gate } else { here };
    let incarnation = gate.incarnation.max(head.incarnation()).saturating_add(1);
    let gate = SigningGate { incarnation, ..kept };
    // From here the incarnation is durable, so no start after this one can use it again.
    gate.write(disk, &gate_path).map_err(|source| OpenError::Io {
        path: gate_path.clone(),
        cure: "the gateway's user must be able to write it and its folder",
        source,
    })?;
    Ok((OwnLog { gate_path, gate, stop }, sendable))
}
