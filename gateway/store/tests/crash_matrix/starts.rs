//! Starts that fail or are cut: the first one, one after a clean end, and one after a crash between ledger and gate.
//!
//! A start writes several files, so "old or new" is said of each: its rows are some that it has on the way of a start
//! without a fault. What counts besides is that the next start goes well, signs on at the right position, and has an
//! incarnation that no start before it had.

use std::collections::BTreeMap;

use sundbro_store::tables::StoreFile;
use sundbro_store::testing::{Fault, MemoryDisk, Operation, Unsynced};
use sundbro_store::verify::verify_on;

use crate::common::try_append;
use crate::rows::{Rows, dir, everything, path};
use crate::runner::{Found, cuts};
use crate::world::World;

/// Every state of each file on the way of a start without a fault, and how many operations that has.
fn clean(world: &World, base: &MemoryDisk) -> (BTreeMap<StoreFile, Vec<Rows>>, u64) {
    let disk = base.after_power_cut(Unsynced::Kept);
    drop(world.open(&disk).expect("opens"));
    let operations = disk.operations();
    let mut states: BTreeMap<StoreFile, Vec<Rows>> = BTreeMap::new();
    for operation in 0..=operations {
        let disk = base.after_power_cut(Unsynced::Kept);
        disk.fail_at(operation, Fault::PowerCut);
        drop(world.open(&disk));
        for (file, rows) in everything(&disk.after_power_cut(Unsynced::Lost)) {
            let states = states.entry(file).or_default();
            if !states.contains(&rows) {
                states.push(rows);
            }
        }
    }
    (states, operations)
}

/// The next start, one entry, and that it is there after a power cut.
fn goes_on(world: &World, disk: &MemoryDisk, size: u64, incarnation: u32) -> Result<(), String> {
    let store = world.open(disk).map_err(|error| format!("does not open: {error}"))?;
    if let Some(stop) = store.signing_stop() {
        return Err(stop.to_string());
    }
    if store.incarnation() <= incarnation {
        return Err(format!("incarnation {} again", store.incarnation()));
    }
    let entry = try_append(&store, &world.owner, vec![world.draft(200)]);
    let entry = entry.map_err(|error| format!("signs no more: {error}"))?;
    if entry.outcomes[0].as_ref().map(|it| it.position) != Ok(size) {
        return Err(format!("the next entry is not at {size}: {:?}", entry.outcomes));
    }
    drop(store);
    let left = disk.after_power_cut(Unsynced::Lost);
    let report = verify_on(left.shared(), dir(), &world.keys, None);
    let report = report.map_err(|error| format!("cannot be verified: {error}"))?;
    if !report.is_sound() {
        return Err(format!("damaged: {:?}", report.damages));
    }
    let store = world.open(&left).map_err(|error| format!("does not open again: {error}"))?;
    let there = store.entry(&world.owner.log(), size).map_err(|error| error.to_string())?;
    there.map(drop).ok_or_else(|| "the entry is gone".to_owned())
}

fn run(name: &str, base: &MemoryDisk, size: u64) {
    let world = World::new();
    let (states, operations) = clean(&world, base);
    let mut found = Found::default();
    for operation in 0..operations {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::PowerCut] {
            let disk = base.after_power_cut(Unsynced::Kept);
            disk.fail_at(operation, fault);
            let opened = world.open(&disk).map(|store| store.incarnation());
            let asked = disk.operation(operation);
            let incarnation = opened.unwrap_or(0);
            let left = match fault {
                Fault::PowerCut => {
                    cuts(operation).into_iter().map(|cut| disk.after_power_cut(cut)).collect()
                }
                _ => vec![disk],
            };
            for (n, disk) in left.into_iter().enumerate() {
                let known = |file, rows: &Rows| states[&file].contains(rows);
                let between =
                    everything(&disk).into_iter().find(|(file, rows)| !known(*file, rows));
                let result = match between {
                    Some((file, _)) => Err(format!("{file} is between")),
                    None => goes_on(&world, &disk, size, incarnation),
                };
                found.look(format!("operation {operation}, {fault:?} {n} {asked:?}"), result);
            }
        }
    }
    found.tell(name, operations);
}

#[test]
fn the_first_start() {
    run("first start", &MemoryDisk::new(), 0);
}

#[test]
fn a_start_after_a_clean_end() {
    run("start", &World::new().used(), 10);
}

#[test]
fn a_start_after_a_crash_between_ledger_and_gate() {
    let world = World::new();
    let base = world.used();
    let append = |disk: &MemoryDisk, fault: Option<u64>| {
        let store = world.open(disk).expect("opens");
        if let Some(at) = fault {
            disk.fail_at(at, Fault::PowerCut);
        }
        let start = disk.operations();
        drop(try_append(&store, &world.owner, vec![world.draft(10)]));
        start
    };
    let disk = base.after_power_cut(Unsynced::Kept);
    let start = append(&disk, None);
    let gate = path(StoreFile::Gate).with_extension("gate.new");
    let is_gate = |at: &u64| disk.operation(*at) == Some((Operation::Create, gate.clone()));
    let at = (start..disk.operations()).find(is_gate).expect("the gate is written");
    let cut = base.after_power_cut(Unsynced::Kept);
    append(&cut, Some(at));
    run("start after a crash", &cut.after_power_cut(Unsynced::Lost), 11);
}
