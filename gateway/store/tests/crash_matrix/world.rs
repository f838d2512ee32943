//! Two members, a store with rows in it, and what a peer sends: what every path starts from.

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::ContentDigest;
use sundbro_ledger::log::LogHead;
use sundbro_ledger::transaction::VerifiedTransaction;
use sundbro_store::testing::{MemoryDisk, Unsynced};
use sundbro_store::{Locator, LocatorChange, NewBlob, OpenError, OwnDraft, RequestKey, Store};

use crate::common::full::{audit, fold};
use crate::common::{Keys, Member, append, blobs, keys, register, says};
use crate::rows::dir;

/// What a peer sends of its log in one turn.
pub struct Turn {
    pub entries: Vec<VerifiedTransaction>,
    pub checkpoint: VerifiedCheckpoint,
    pub head: LogHead,
    pub blobs: Vec<NewBlob>,
}

pub struct World {
    pub owner: Member,
    pub other: Member,
    pub keys: Keys,
    /// Three turns of the other member's log, five entries each.
    pub turns: Vec<Turn>,
}

/// How many entries one turn holds.
pub const TURN: u8 = 5;

impl World {
    pub fn new() -> Self {
        let (owner, other) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
        let keys = keys(&[&owner, &other]);
        let disk = MemoryDisk::new();
        let store = Store::open_on(disk.shared(), dir(), other.options()).expect("open");
        let mut head = LogHead::new(other.log());
        let mut turns = Vec::new();
        for turn in 0..3 {
            let drafts: Vec<_> = (turn * TURN..(turn + 1) * TURN)
                .map(|n| register(&other, u64::from(n), &says(n, 1)))
                .collect();
            append(&store, &other, drafts.clone());
            let note = store.checkpoint(&other.log()).expect("read").expect("checkpoint").note;
            let checkpoint = other.checkpoint(&note);
            let chunk = store.chunk(&other.log(), head.size(), checkpoint.size()).expect("chunk");
            let verified = chunk.check(&head, &checkpoint).expect("covered").verify(&keys);
            head = verified.head;
            let (entries, blobs) = (verified.entries, blobs(&drafts));
            turns.push(Turn { entries, checkpoint, head: head.clone(), blobs });
        }
        Self { owner, other, keys, turns }
    }

    pub fn open(&self, disk: &MemoryDisk) -> Result<Store, OpenError> {
        Store::open_on(disk.shared(), dir(), self.owner.options())
    }

    /// One draft of ours, with all that one may have.
    pub fn draft(&self, n: u8) -> OwnDraft {
        let mut draft = register(&self.owner, u64::from(n), &says(n, 1));
        draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
        draft.locator = Some(LocatorChange::Register(locator(n)));
        draft
    }

    pub fn own_size(&self, store: &Store) -> u64 {
        store.log_head(&self.owner.log()).expect("head").size()
    }

    /// A store that was in use for a while and closed: ten entries of ours, one turn of the other's.
    pub fn used(&self) -> MemoryDisk {
        let disk = MemoryDisk::new();
        let store = self.open(&disk).expect("open");
        for n in 0..10 {
            append(&store, &self.owner, vec![self.draft(n)]);
        }
        let first = &self.turns[0];
        store
            .append_replica(&self.other.log(), &first.entries, &first.checkpoint, &first.head)
            .expect("replica");
        store.put_blobs(&first.blobs[..4]).expect("blobs");
        fold(&store, &self.keys);
        for n in 0..5 {
            let asked = 1_700_000_000 + i64::from(n);
            store.audit_append_once("gp.example", &[n; 16], asked, &[audit(n)]).expect("audit");
        }
        drop(store);
        disk.after_power_cut(Unsynced::Kept)
    }
}

pub fn locator(n: u8) -> Locator {
    Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', n],
        record: [n; 16],
        version: 1,
        generation: 0,
        content: ContentDigest::new([n; 32]),
        size: 100,
        fingerprint: vec![n; 12],
        document_id: None,
        position: 0,
        live: true,
    }
}
