//! The store's half of a repair: what is damaged is dropped and nothing else, others give it back, and then all is as it
//! was; a power cut at any moment of it leaves a store in which it can be done again.

mod common;

use std::path::{Path, PathBuf};

use common::full::fold;
use common::{Keys, Member, append, blobs, keys, register, replicate, says, try_append};
use sundbro_ledger::ids::Commitment;
use sundbro_ledger::merkle::NodeReader;
use sundbro_store::gate::SigningStop;
use sundbro_store::index::IndexRoots;
use sundbro_store::scrub::Finding;
use sundbro_store::tables::StoreFile;
use sundbro_store::testing::{Fault, MemoryDisk, Unsynced};
use sundbro_store::verify::verify_on;
use sundbro_store::{OwnDraft, RepairError, RepairedLog, Store};

fn dir() -> &'static Path {
    Path::new("/store")
}

fn path(file: StoreFile) -> PathBuf {
    dir().join(file.name())
}

/// A reader with a replica of a writer's log of 300 entries, and all its payloads.
struct House {
    disk: MemoryDisk,
    reader: Member,
    writer: Member,
    keys: Keys,
    from: Store,
    sent: Vec<OwnDraft>,
    roots: IndexRoots,
}

fn house() -> House {
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let from = Store::open_on(MemoryDisk::new().shared(), dir(), writer.options()).expect("open");
    let draft = |n: u64| register(&writer, n, &says((n % 250) as u8, 1 + (n / 250) as u32));
    let sent: Vec<_> = (0..300).map(draft).collect();
    append(&from, &writer, sent.clone());
    let disk = MemoryDisk::new();
    let store = Store::open_on(disk.shared(), dir(), reader.options()).expect("open");
    append(&store, &reader, (0..20).map(|n| register(&reader, n.into(), &says(n, 1))).collect());
    replicate(&from, &store, &writer, &keys);
    store.put_blobs(&blobs(&sent)).expect("blobs");
    fold(&store, &keys);
    let roots = store.index_roots().expect("roots");
    drop(store);
    let disk = disk.after_power_cut(Unsynced::Kept);
    House { disk, reader, writer, keys, from, sent, roots }
}

impl House {
    fn open(&self, disk: &MemoryDisk) -> Store {
        Store::open_on(disk.shared(), dir(), self.reader.options()).expect("opens")
    }

    /// Everything that a whole scrub finds.
    fn scrub(&self, store: &Store) -> Vec<Finding> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let step = store.scrub(from.as_ref(), 100, Some(&self.keys)).expect("works");
            found.extend(step.found);
            match step.next {
                Some(next) => from = Some(next),
                None => return found,
            }
        }
    }

    /// A disk on which one bit of these bytes turned over, wherever the file holds them.
    fn damaged(&self, file: StoreFile, bytes: &[u8], bit: usize) -> MemoryDisk {
        let disk = self.disk.after_power_cut(Unsynced::Kept);
        let contents = disk.contents(&path(file)).expect("the file");
        let places = contents.windows(bytes.len()).enumerate().filter(|(_, it)| *it == bytes);
        let places: Vec<_> = places.map(|(at, _)| at).collect();
        assert!(!places.is_empty(), "the bytes are in the file");
        places.iter().for_each(|at| disk.flip(&path(file), (at * 8 + bit) as u64));
        disk
    }

    /// Peers give back what is missing; then all is as it was.
    fn whole_again(&self, disk: &MemoryDisk, store: Store) {
        replicate(&self.from, &store, &self.writer, &self.keys);
        fold(&store, &self.keys);
        let missing = store.missing_blobs(&self.writer.log(), 1000).expect("missing");
        let wanted =
            |it: &sundbro_store::NewBlob| missing.iter().any(|key| key.commitment == it.commitment);
        let given: Vec<_> = blobs(&self.sent).into_iter().filter(wanted).collect();
        store.put_blobs(&given).expect("blobs");
        fold(&store, &self.keys);
        assert_eq!(store.index_roots().expect("roots"), self.roots);
        assert_eq!(self.scrub(&store), []);
        drop(store);
        let report = verify_on(disk.shared(), dir(), &self.keys, None).expect("checked");
        assert!(report.is_sound(), "{:#?}", report.damages);
    }
}

#[test]
fn a_damaged_entry_is_dropped_with_those_after_it_and_fetched_again() {
    let house = house();
    let log = house.writer.log();
    for at in [0, 100, 299] {
        let entry = house.from.entry(&log, at).expect("read").expect("entry");
        let disk = house.damaged(StoreFile::Ledger, &entry, 333);
        let store = house.open(&disk);
        let found = house.scrub(&store);
        let place = |it: &Finding| (it.damage.table, it.damage.log, it.damage.position);
        assert_eq!(
            found.iter().map(place).collect::<Vec<_>>(),
            [(Some("entries"), Some(log), Some(at))]
        );
        let repaired = store.repair_log(&log, &house.keys).expect("repaired");
        assert_eq!(repaired, RepairedLog { kept: at, dropped: 300 - at });
        let progress = store.fold(&house.keys, 1000).expect("fold");
        assert!(progress.retracted, "the index takes back what it folded beyond it");
        assert_eq!(store.index_counts(&log).expect("counts").indexed_size, at);
        house.whole_again(&disk, store);
    }
}

#[test]
fn damaged_hashes_are_made_anew_and_no_entry_is_dropped() {
    let house = house();
    let log = house.writer.log();
    let nodes = house.from.nodes(&log).expect("nodes");
    let hash = |level, index| nodes.node(level, index).expect("node").as_bytes().to_vec();
    for bytes in [[hash(0, 7), hash(0, 8)].concat(), [hash(4, 2), hash(4, 3)].concat()] {
        let disk = house.damaged(StoreFile::Ledger, &bytes, 300);
        let store = house.open(&disk);
        let found = house.scrub(&store);
        assert!(found.iter().all(|it| it.damage.table == Some("hashes")) && !found.is_empty());
        let repaired = store.repair_log(&log, &house.keys).expect("repaired");
        assert_eq!(repaired, RepairedLog { kept: 300, dropped: 0 });
        house.whole_again(&disk, store);
    }
}

#[test]
fn a_damaged_head_is_made_anew() {
    let house = house();
    let head = house.from.log_head(&house.writer.log()).expect("head").to_bytes();
    let disk = house.damaged(StoreFile::Ledger, &head, 100);
    let store = house.open(&disk);
    assert_eq!(house.scrub(&store).len(), 1);
    assert!(store.log_head(&house.writer.log()).is_err());
    let repaired = store.repair_log(&house.writer.log(), &house.keys).expect("repaired");
    assert_eq!(repaired, RepairedLog { kept: 300, dropped: 0 });
    house.whole_again(&disk, store);
}

#[test]
fn nothing_is_dropped_for_entries_that_are_what_was_stored() {
    let house = house();
    let store = house.open(&house.disk);
    let log = house.writer.log();
    // Another charter: nothing that these keys say is about the disk.
    let others = keys(&[&Member::new("hospital.example", 9), &house.reader]);
    let refused = store.repair_log(&log, &others);
    assert!(matches!(refused, Err(RepairError::CannotJudge { position: 0, .. })), "{refused:?}");
    assert_eq!(store.log_head(&log).expect("head").size(), 300);
    house.whole_again(&house.disk, store);
}

#[test]
fn our_own_log_is_repaired_only_while_nothing_is_signed_and_then_waits_for_its_entries() {
    let house = house();
    let log = house.reader.log();
    let sound = house.open(&house.disk.after_power_cut(Unsynced::Kept));
    assert!(matches!(sound.repair_log(&log, &house.keys), Err(RepairError::StillSigning)));
    let entry = sound.entry(&log, 12).expect("read").expect("entry");
    drop(sound);
    let disk = house.damaged(StoreFile::Ledger, &entry, 40);
    let store = house.open(&disk);
    let known_by = "hospital.example".to_owned();
    store.stop_signing(SigningStop::OwnLogBehind { held: 12, known: 20, known_by });
    let repaired = store.repair_log(&log, &house.keys).expect("repaired");
    assert_eq!(repaired, RepairedLog { kept: 12, dropped: 8 });
    assert_eq!(store.log_status(&log).expect("status").committed_size, 12, "no more may be sent");
    drop(store);
    // The gate still knows what was signed, so a start signs nothing.
    let store = house.open(&disk);
    assert_eq!(store.signing_stop().map(|stop| stop.reason()), Some("OWN_LOG_BEHIND"));
    let draft = register(&house.reader, 99, &says(99, 1));
    assert!(try_append(&store, &house.reader, vec![draft]).is_err());
}

fn damaged_blob(house: &House) -> (MemoryDisk, Commitment) {
    let draft = &house.sent[42];
    (house.damaged(StoreFile::Payloads, &draft.payload[..64], 77), draft.commitment)
}

#[test]
fn a_damaged_blob_is_removed_and_asked_for_again() {
    let house = house();
    let (disk, blob) = damaged_blob(&house);
    let store = house.open(&disk);
    let found: Vec<_> = house.scrub(&store).iter().filter_map(|it| it.blob).collect();
    assert_eq!(found, [blob]);
    let sound = house.sent[1].commitment;
    assert_eq!(
        store.forget_damaged_blobs(&[sound, blob]).expect("removed"),
        1,
        "not the sound one"
    );
    fold(&store, &house.keys);
    let missing = store.missing_blobs(&house.writer.log(), 10).expect("missing");
    assert!(missing.iter().any(|it| it.commitment == blob));
    assert!(store.blob(&sound).expect("read").is_some());
    house.whole_again(&disk, store);
}

#[test]
fn a_power_cut_at_any_moment_of_a_repair_leaves_a_store_that_can_be_repaired() {
    let house = house();
    let log = house.writer.log();
    let entry = house.from.entry(&log, 250).expect("read").expect("entry");
    let (blob_disk, blob) = damaged_blob(&house);
    let entry_disk = house.damaged(StoreFile::Ledger, &entry, 333);
    let repair_log = |store: &Store| store.repair_log(&log, &house.keys).is_ok();
    let forget = |store: &Store| store.forget_damaged_blobs(&[blob]).is_ok();
    let repairs: [&dyn Fn(&Store) -> bool; 2] = [&repair_log, &forget];
    for (base, repair) in [&entry_disk, &blob_disk].into_iter().zip(repairs) {
        // Every third operation, and every twelfth with all that follows: those take a second each.
        for step in (0..).step_by(3) {
            let disk = base.after_power_cut(Unsynced::Kept);
            let store = house.open(&disk);
            disk.fail_at(disk.operations() + step, Fault::PowerCut);
            repair(&store);
            drop(store);
            if !disk.has_failed() {
                assert!(step > 10, "{step} operations are too few");
                break;
            }
            for cut in [Unsynced::Lost, Unsynced::Torn(step)] {
                let left = disk.after_power_cut(cut);
                let store = house.open(&left);
                fold(&store, &house.keys);
                let found = house.scrub(&store);
                assert!(found.len() <= 1, "old or new: {found:#?}");
                if step % 12 == 0 {
                    assert!(repair(&store), "again");
                    house.whole_again(&left, store);
                }
            }
        }
    }
}
