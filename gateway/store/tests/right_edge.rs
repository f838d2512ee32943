//! The end of our own log is read back before it is signed on: one bit that turned over in any row of it stops signing,
//! and nothing leaves the house that contradicts what left before.

mod common;

use common::{Member, append, register, says, try_append};
use sundbro_store::testing::{MemoryDisk, Unsynced};
use sundbro_store::{AppendOwnError, OpenOptions, Store};

const DIR: &str = "/store";

fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new(DIR).join(name)
}

fn member() -> Member {
    Member::new("hospital.example", 1)
}

fn open(disk: &MemoryDisk, cache_bytes: usize) -> Store {
    let options = OpenOptions { cache_bytes, ..member().options() };
    Store::open_on(disk.shared(), DIR.as_ref(), options).expect("opens")
}

/// A closed store of so many entries, one in each group.
fn filled(entries: u8) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let store = open(&disk, 4 << 20);
    for n in 0..entries {
        append(&store, &member(), vec![register(&member(), n.into(), &says(n, 1))]);
    }
    drop(store);
    disk.after_power_cut(Unsynced::Kept)
}

/// Flips one bit of these bytes wherever the file holds them. Pages that are not in use any more may hold them too.
fn flip(disk: &MemoryDisk, file: &str, bytes: &[u8], bit: usize) {
    let contents = disk.contents(&path(file)).expect("the file");
    let places = contents.windows(bytes.len()).enumerate().filter(|(_, it)| *it == bytes);
    let places: Vec<_> = places.map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the bytes are in the file");
    for at in places {
        disk.flip(&path(file), (at * 8 + bit) as u64);
    }
}

fn refused(store: &Store) -> Option<&'static str> {
    let size = store.log_head(&member().log()).expect("head").size();
    let draft = register(&member(), 200, &says(200, 1));
    match try_append(store, &member(), vec![draft]) {
        Err(AppendOwnError::Stopped(stop)) => {
            assert_eq!(store.signing_stop(), Some(stop.clone()));
            assert_eq!(store.log_head(&member().log()).expect("head").size(), size, "not appended");
            assert!(stop.cure().contains("sundbro log repair"));
            Some(stop.reason())
        }
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Bytes of the rows that the end of a log of `size` entries stands on: its last entry, the hash of that, and the first
/// hash above it that the root is made of; and from which byte on a flip counts.
fn edge_rows(disk: &MemoryDisk, size: u64) -> Vec<(&'static str, Vec<u8>, usize)> {
    use sundbro_ledger::merkle::NodeReader;
    let store = open(&disk.after_power_cut(Unsynced::Kept), 4 << 20);
    let log = member().log();
    let nodes = store.nodes(&log).expect("nodes");
    let hash = |level, index| nodes.node(level, index).expect("node").as_bytes().to_vec();
    let leaves = [hash(0, size - 2), hash(0, size - 1)].concat();
    vec![
        ("entry", store.entry(&log, size - 1).expect("read").expect("entry").to_vec(), 0),
        // With what stands before them in their rows: the head holds the same hashes, under a checksum.
        ("leaf", leaves, 32),
        ("subtree", [vec![1], hash(4, 0)].concat(), 1),
    ]
}

#[test]
fn a_flipped_bit_at_the_end_of_our_log_stops_signing_at_the_start() {
    let disk = filled(20);
    for (name, bytes, from) in edge_rows(&disk, 20) {
        for bit in [from * 8, (from + bytes.len()) * 4, bytes.len() * 8 - 1] {
            let damaged = disk.after_power_cut(Unsynced::Kept);
            flip(&damaged, "ledger.redb", &bytes, bit);
            let store = open(&damaged, 4 << 20);
            assert_eq!(refused(&store), Some("OWN_LOG_DAMAGED"), "{name}, bit {bit}");
            drop(store);
            // Put back, it goes on.
            let healed = damaged.after_power_cut(Unsynced::Kept);
            flip_back(&healed, &bytes, bit);
            assert_eq!(refused(&open(&healed, 4 << 20)), None, "{name}, bit {bit}");
        }
    }
    assert_eq!(refused(&open(&disk, 4 << 20)), None);
}

fn flip_back(disk: &MemoryDisk, bytes: &[u8], bit: usize) {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flip(disk, "ledger.redb", &flipped, bit);
}

#[test]
fn a_bit_that_turns_over_while_the_gateway_runs_is_seen_before_the_next_signature() {
    let disk = filled(20);
    for (name, bytes, from) in edge_rows(&disk, 20) {
        let disk = disk.after_power_cut(Unsynced::Kept);
        // Without a cache every read is one of the disk.
        let store = open(&disk, 0);
        flip(&disk, "ledger.redb", &bytes, from * 8 + 77);
        assert_eq!(refused(&store), Some("OWN_LOG_DAMAGED"), "{name}");
        let shown = store.log_status(&member().log()).expect("status");
        assert_eq!((shown.committed_size, shown.checkpoint.map(|it| it.size)), (20, Some(20)));
    }
}
