//! A start on a disk that is full, from any byte on: it succeeds or says what to do, loses nothing, and the next one, with
//! room, goes on where the last one that succeeded ended.

mod common;

use std::path::Path;

use common::full::{audit, fold};
use common::{Member, append, keys, register, says};
use sundbro_store::testing::{Habits, MemoryDisk, Unsynced};
use sundbro_store::verify::verify_on;
use sundbro_store::{OpenError, Store};

/// How many bytes more are free from one try to the next: less than any page, and than the signing gate.
const STEP: u64 = 97;

fn dir() -> &'static Path {
    Path::new("/store")
}

/// From now on so many bytes more can be written, and no other.
fn leave(disk: &MemoryDisk, free: u64) {
    disk.set_habits(Habits { capacity: Some(disk.used() + free), ..Habits::default() });
}

fn open(disk: &MemoryDisk, owner: &Member) -> Result<Store, OpenError> {
    Store::open_on(disk.shared(), dir(), owner.options())
}

fn says_what_to_do(error: &OpenError, free: u64) {
    assert!(matches!(error, OpenError::DiskFull { .. }), "{free}: {error:?}");
    let told = error.to_string();
    assert!(told.contains("/store") && told.contains("make room"), "{free}: {told}");
}

/// Publishes one entry, which the store must be able to do.
fn go_on(store: &Store, owner: &Member, n: u8) {
    append(store, owner, vec![register(owner, u64::from(n), &says(n, 1))]);
}

#[test]
fn a_first_start_on_a_full_disk_says_what_to_do_and_the_next_one_begins() {
    let owner = Member::new("hospital.example", 1);
    let mut refused = 0;
    let mut free = 0;
    loop {
        let disk = MemoryDisk::new();
        leave(&disk, free);
        let first = open(&disk, &owner);
        let succeeded = first.is_ok();
        if let Err(error) = first {
            says_what_to_do(&error, free);
            refused += 1;
        }
        // The power goes before anybody makes room.
        for unsynced in [Unsynced::Kept, Unsynced::Lost] {
            let disk = disk.after_power_cut(unsynced);
            disk.set_habits(Habits::default());
            let store = open(&disk, &owner).expect("there is room");
            go_on(&store, &owner, 1);
        }
        if succeeded {
            break;
        }
        // A new database takes megabytes: its first bytes and its last are of interest, and some between.
        free += if free < 20_000 { STEP * 10 } else { 64 << 10 };
    }
    assert!(refused > 20, "refused {refused} times");
}

#[test]
fn a_start_on_a_full_disk_says_what_to_do_and_loses_nothing() {
    let owner = Member::new("hospital.example", 1);
    let keys = keys(&[&owner]);
    let left = MemoryDisk::new();
    {
        let store = open(&left, &owner).expect("a first start");
        (0..20).for_each(|n| go_on(&store, &owner, n));
        store.audit_append(&[audit(1)]).expect("audit");
        fold(&store, &keys);
    }
    let killed = {
        let store = open(&left, &owner).expect("a start");
        go_on(&store, &owner, 20);
        left.after_power_cut(Unsynced::Kept)
    };
    for (what, image) in [("stopped", left), ("killed", killed)] {
        let (mut refused, mut free) = (0, 0);
        loop {
            let disk = image.after_power_cut(Unsynced::Kept);
            leave(&disk, free);
            let opened = open(&disk, &owner);
            let succeeded = opened.is_ok();
            match opened {
                Ok(store) => {
                    let here = store.log_head(&owner.log()).expect("it is read").size();
                    assert_eq!(here, 21, "{what}, {free}");
                }
                Err(error) => {
                    says_what_to_do(&error, free);
                    refused += 1;
                }
            }
            disk.set_habits(Habits::default());
            let report = verify_on(disk.shared(), dir(), &keys, None).expect("checked");
            assert!(report.is_sound(), "{what}, {free}: {:#?}", report.damages);
            let store = open(&disk, &owner).expect("there is room");
            assert_eq!(store.signing_stop(), None, "{what}, {free}");
            assert_eq!(store.log_head(&owner.log()).expect("head").size(), 21, "{what}, {free}");
            go_on(&store, &owner, 21);
            if succeeded {
                break;
            }
            free += STEP;
        }
        assert!(refused > 0, "{what}: nothing was refused");
        println!("{what}: refused {refused} times, starts with {free} bytes");
    }
}
