//! A store whose disk is full, read-only, unreadable, slow, or turns a bit over: it refuses, says so, loses nothing that
//! was acknowledged, and goes on by itself once the disk does.

mod common;

use std::path::Path;
use std::time::Duration;

use common::full::{audit, fold};
use common::{Keys, Member, append, blobs, keys, register, replicate, says, try_append};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use sundbro_store::tables::StoreFile;
use sundbro_store::testing::{Dice, Habits, MemoryDisk, Unsynced};
use sundbro_store::verify::verify_on;
use sundbro_store::{
    AppendOwnError, AppendReplicaError, LogState, OpenOptions, OwnAppend, OwnDraft, PutBlobError,
    RESERVE_BYTES, RequestKey, Room, Store, StoreError,
};

fn dir() -> &'static Path {
    Path::new("/store")
}

struct House {
    disk: MemoryDisk,
    store: Store,
    owner: Member,
    other: Member,
    keys: Keys,
    /// The other member's store, on a disk of its own.
    peer: Store,
    sent: Vec<OwnDraft>,
}

fn house(cache_bytes: usize) -> House {
    let (owner, other) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&owner, &other]);
    let peer = Store::open_on(MemoryDisk::new().shared(), dir(), other.options()).expect("peer");
    let sent: Vec<_> = (0..5).map(|n| register(&other, n.into(), &says(n, 1))).collect();
    append(&peer, &other, sent.clone());
    let disk = MemoryDisk::new();
    let options = OpenOptions { cache_bytes, ..owner.options() };
    let store = Store::open_on(disk.shared(), dir(), options).expect("opens");
    let house = House { disk, store, owner, other, keys, peer, sent };
    for n in 0..5 {
        house.append(n).expect("append");
    }
    house
}

impl House {
    fn append(&self, n: u8) -> Result<OwnAppend, AppendOwnError> {
        let mut draft = register(&self.owner, n.into(), &says(n, 1));
        draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
        try_append(&self.store, &self.owner, vec![draft])
    }

    fn size(&self) -> u64 {
        self.store.log_head(&self.owner.log()).expect("head").size()
    }

    fn sound(&self) {
        for unsynced in [Unsynced::Kept, Unsynced::Lost] {
            let left = self.disk.after_power_cut(unsynced);
            let report = verify_on(left.shared(), dir(), &self.keys, None).expect("checked");
            assert!(report.is_sound(), "{unsynced:?}: {:#?}", report.damages);
        }
    }

    fn bad(&self, habits: Habits) {
        self.disk.set_habits(habits);
    }

    fn well(&self) {
        self.disk.set_habits(Habits::default());
    }
}

fn capacity(bytes: u64) -> Habits {
    Habits { capacity: Some(bytes), ..Habits::default() }
}

#[test]
fn below_the_reserve_nothing_grows_what_must_go_on_does_and_room_is_enough_to_go_on() {
    let house = house(4 << 20);
    let free = RESERVE_BYTES - 1;
    house.bad(capacity(house.disk.used() + free));
    assert_eq!(house.store.room(), Some(Room { free, reserve: RESERVE_BYTES }));
    let is_full = |error: &StoreError| {
        let wanted = StoreError::DiskFull { path: dir().into(), free, reserve: RESERVE_BYTES };
        error.to_string() == wanted.to_string()
    };

    let own = house.append(10);
    assert!(matches!(&own, Err(AppendOwnError::Store(error)) if is_full(error)), "{own:?}");
    let payloads = house.store.put_blobs(&blobs(&house.sent));
    assert!(matches!(&payloads, Err(PutBlobError::Store(error)) if is_full(error)), "{payloads:?}");
    let checkpoint = house.peer.checkpoint(&house.other.log()).expect("read").expect("one");
    let checkpoint = house.other.checkpoint(&checkpoint.note);
    let head = house.store.log_head(&house.other.log()).expect("head");
    let chunk = house.peer.chunk(&house.other.log(), 0, 5).expect("chunk");
    let chunk = chunk.check(&head, &checkpoint).expect("covered").verify(&house.keys);
    let replica =
        house.store.append_replica(&house.other.log(), &chunk.entries, &checkpoint, &chunk.head);
    assert!(
        matches!(&replica, Err(AppendReplicaError::Store(error)) if is_full(error)),
        "{replica:?}"
    );
    // A client that asks again for what is here needs no room.
    assert!(house.append(3).expect("here").outcomes[0].as_ref().expect("accepted").replayed);

    // These use the reserve.
    house.store.audit_append(&[audit(1)]).expect("without it nothing is served");
    let stopped = LogState::Stopped { position: 0, reason: "BAD_SIGNATURE".to_owned() };
    house.store.mark_log(&house.other.log(), &stopped).expect("a log that must not be followed");
    house.store.follow_again(&house.other.log()).expect("or again");
    fold(&house.store, &house.keys);

    house.bad(capacity(house.disk.used() + RESERVE_BYTES));
    assert!(!house.store.room().expect("it says").is_full());
    house.append(10).expect("by itself");
    house.bad(capacity(house.disk.used()));
    house.store.set_reserve(0);
    assert!(!house.store.room().expect("it says").is_full(), "nothing is kept back");
    house.well();
    replicate(&house.peer, &house.store, &house.other, &house.keys);
    house.sound();
}

#[test]
fn a_disk_that_is_full_from_any_byte_on_loses_nothing_and_goes_on_when_it_has_room() {
    for pages in [0, 1, 2, 3, 5, 8, 13, 21, 34] {
        let house = house(4 << 20);
        house.store.set_reserve(0);
        house.bad(capacity(house.disk.used() + pages * 4096));
        let mut acknowledged = 5;
        while acknowledged < 60 && house.append(acknowledged).is_ok() {
            acknowledged += 1;
        }
        assert!(acknowledged < 60, "{pages}: the disk became full");
        assert!(house.append(100).is_err(), "{pages}: it still is");
        house.sound();
        house.well();
        // Whoever got no answer asks again; the place is the one after the last acknowledged.
        let again = house.append(acknowledged).expect("by itself").outcomes.remove(0);
        assert_eq!(again.expect("accepted").position, u64::from(acknowledged));
        assert_eq!(house.size(), u64::from(acknowledged) + 1);
        house.sound();
    }
}

#[test]
fn a_read_only_disk_refuses_writes_and_serves_reads_until_it_is_writable() {
    let house = house(4 << 20);
    house.bad(Habits { read_only: true, ..Habits::default() });
    assert!(house.append(10).is_err());
    assert!(house.store.audit_append(&[audit(1)]).is_err(), "fails closed");
    house.bad(Habits { read_only: false, ..Habits::default() });
    assert_eq!(house.store.entries(&house.owner.log(), 0..10).expect("read").len(), 5);
    house.append(10).expect("by itself");
    house.store.audit_append(&[audit(1)]).expect("by itself");
    house.sound();
}

#[test]
fn a_disk_that_cannot_be_read_for_a_while_costs_no_restart() {
    let house = house(0);
    house.bad(Habits { reads_fail: true, ..Habits::default() });
    let read = house.store.entries(&house.owner.log(), 0..5);
    assert!(matches!(read, Err(StoreError::Database { .. })), "{read:?}");
    let own = house.append(10);
    assert!(matches!(own, Err(AppendOwnError::Store(StoreError::OpenAgain { .. }))), "{own:?}");
    house.well();
    assert_eq!(house.store.entries(&house.owner.log(), 0..5).expect("by itself").len(), 5);
    house.append(10).expect("by itself");
    assert_eq!(house.size(), 6);
    house.sound();
}

#[test]
fn a_slow_disk_is_waited_for() {
    for sync_takes in [Duration::from_millis(10), Duration::from_secs(1)] {
        let house = house(4 << 20);
        house.bad(Habits { sync_takes, ..Habits::default() });
        let before = house.disk.passed();
        for n in 10..20 {
            house.append(n).expect("nothing here has a time-out");
        }
        // Payloads, ledger and gate.
        assert!(house.disk.passed() - before >= sync_takes * 30);
        house.sound();
    }
}

/// Every row, as redb reads it.
fn rows(disk: &MemoryDisk, path: &Path) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let database = disk.database(path).expect("the file").expect("opens");
    let read = database.begin_read().expect("read");
    let mut all = Vec::new();
    for handle in read.list_tables().expect("tables") {
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(handle.name());
        for row in read.open_table(table).expect("table").iter().expect("rows") {
            let (key, value) = row.expect("row");
            all.push((handle.name().to_owned(), key.value().to_vec(), value.value().to_vec()));
        }
    }
    all
}

#[test]
fn a_bit_that_turned_over_anywhere_in_a_file_is_found_or_is_where_nothing_is() {
    let house = house(4 << 20);
    replicate(&house.peer, &house.store, &house.other, &house.keys);
    house.store.put_blobs(&blobs(&house.sent)).expect("blobs");
    fold(&house.store, &house.keys);
    house.store.audit_append(&[audit(1), audit(2)]).expect("audit");
    let House { disk, store, keys, .. } = house;
    drop(store);
    let mut dice = Dice::new(7);
    for file in StoreFile::DATABASES {
        let path = dir().join(file.name());
        let (before, bytes) = (rows(&disk, &path), disk.contents(&path).expect("file"));
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let mut found = 0;
        for _ in 0..100 {
            let flipped = disk.after_power_cut(Unsynced::Kept);
            let at = used[dice.roll(used.len() as u64) as usize] as u64;
            flipped.flip(&path, at * 8 + dice.roll(8));
            let report = verify_on(flipped.shared(), dir(), &keys, None).expect("checked");
            if report.is_sound() {
                assert_eq!(rows(&flipped, &path), before, "{file}, byte {at}");
            } else {
                assert!(report.damages.iter().any(|it| it.file == file), "{file}, byte {at}");
                found += 1;
            }
        }
        assert!(found > 0, "{file}: none of 100 hit anything");
    }
}
