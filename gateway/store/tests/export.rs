//! An export is the log as C2SP tlog-tiles: recomputed here from the files alone.

mod common;

use std::path::Path;

use common::{Member, append, register, says};
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::merkle::{MemoryTree, leaf_hash};
use sundbro_ledger::tiles::{entries_path, read_bundle, tile_path, tiles_of};
use sundbro_store::{ExportError, Store};

fn read(folder: &Path, path: &str) -> Vec<u8> {
    std::fs::read(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads an export back and compares every tile with the tree of its entries.
fn check(folder: &Path, size: u64) {
    let note = UnverifiedCheckpoint::parse(&read(folder, "checkpoint")).expect("checkpoint");
    assert_eq!(note.size(), size);
    let mut tree = MemoryTree::new();
    let mut files = 1;
    for start in (0..size).step_by(256) {
        let width = (size - start).min(256);
        let bundle = read(folder, &entries_path(start / 256, width as u16));
        let entries = read_bundle(&bundle, 256).expect("bundle");
        assert_eq!(entries.len() as u64, width);
        entries.iter().for_each(|entry| tree.append(leaf_hash(entry)));
        files += 1;
    }
    assert_eq!(tree.root(), *note.root());
    for tile in tiles_of(size) {
        let bytes = read(folder, &tile_path(tile.level, tile.index, tile.width));
        assert_eq!(bytes.len(), usize::from(tile.width) * 32);
        for (offset, hash) in (0..).zip(bytes.chunks(32)) {
            let index = (tile.index << 8) + offset;
            let node = sundbro_ledger::merkle::NodeReader::node(&tree, tile.level * 8, index);
            assert_eq!(node.expect("node").as_bytes()[..], *hash, "{tile:?} {offset}");
        }
        files += 1;
    }
    assert_eq!(count(folder), files);
}

fn count(folder: &Path) -> u64 {
    let items = std::fs::read_dir(folder).expect("folder").map(|item| item.expect("item").path());
    items.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

#[test]
fn what_is_exported_is_the_log_as_tiles() {
    let folder = tempfile::tempdir().expect("folder");
    let member = Member::new("hospital.example", 1);
    let store = member.open(&folder.path().join("store"));
    for (from, to) in [(0, 1), (1, 256), (256, 257), (257, 530)] {
        let drafts = (from..to).map(|n| register(&member, n, &says((n % 250) as u8, 1)));
        append(&store, &member, drafts.collect());
        let target = folder.path().join(format!("log-{to}"));
        let exported = store.export_log(&member.log(), &target).expect("export");
        check(&target, to);
        assert_eq!((exported.size, exported.files), (to, count(&target)));
    }
    drop(store);
    let store = Store::open_read_only(&folder.path().join("store")).expect("read");
    let target = folder.path().join("offline");
    std::fs::create_dir(&target).expect("an empty folder will do");
    store.export_log(&member.log(), &target).expect("export");
    check(&target, 530);
}

#[test]
fn a_target_that_holds_something_is_left_alone_and_nothing_half_is_left() {
    let folder = tempfile::tempdir().expect("folder");
    let member = Member::new("hospital.example", 1);
    let store = member.open(&folder.path().join("store"));
    let target = folder.path().join("log");
    let refused = store.export_log(&member.log(), &target);
    assert!(matches!(refused, Err(ExportError::NoCheckpoint(_))));
    append(&store, &member, vec![register(&member, 1, &says(1, 1))]);
    std::fs::create_dir(&target).expect("folder");
    std::fs::write(target.join("mine"), b"x").expect("file");
    let refused = store.export_log(&member.log(), &target);
    assert!(matches!(refused, Err(ExportError::NotEmpty(_))));
    assert_eq!(count(&target), 1);
    let names: Vec<_> = std::fs::read_dir(folder.path()).expect("folder").collect();
    assert_eq!(names.len(), 2, "the store and the folder that was there");
}
