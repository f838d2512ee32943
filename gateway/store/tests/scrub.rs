//! The scrub: a sound store is sound, one flipped bit in any table of any file is found, with what repairs it, and no
//! step looks at more rows than it was told to.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::full::{Full, full};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use sundbro_store::Store;
use sundbro_store::scrub::{Finding, Repair};
use sundbro_store::tables::{self, StoreFile, Table};
use sundbro_store::verify::{Trust, verify_with};

type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// Everything that a whole scrub finds, and how many rows it looked at.
fn scrub(store: &Store, trust: &dyn Trust, max_rows: u64) -> (u64, Vec<Finding>) {
    let (mut rows, mut found, mut from) = (0, Vec::new(), None);
    loop {
        let step = store.scrub(from.as_ref(), max_rows, Some(trust)).expect("the disk works");
        assert!(step.rows <= max_rows.max(1), "{} rows in a step of {max_rows}", step.rows);
        rows += step.rows;
        found.extend(step.found);
        match step.next {
            Some(next) => from = Some(next),
            None => return (rows, found),
        }
    }
}

#[test]
fn a_sound_store_is_sound_and_every_row_is_looked_at_once_whatever_the_steps() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let expected: u64 =
        verify_with(folder.path(), &full.keys, None).expect("checked").rows.values().sum();
    let store = full.owner.open(folder.path());
    for max_rows in [0, 7, 1000] {
        let (rows, found) = scrub(&store, &full.keys, max_rows);
        assert_eq!(found, []);
        assert_eq!(rows, expected + 1, "every row, and the gate");
    }
}

fn all_rows(path: &Path, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let database = Database::open(path).expect("open");
    let read = database.begin_read().expect("read");
    let rows = read.open_table(Rows::new(table)).expect("table");
    let rows = rows.iter().expect("rows").map(|row| {
        let (key, value) = row.expect("row");
        (key.value().to_vec(), value.value().to_vec())
    });
    rows.collect()
}

/// Writes or removes one row through redb, so that redb itself finds nothing to complain about.
fn rewrite(path: &Path, table: &str, key: &[u8], value: Option<&[u8]>) {
    let database = Database::open(path).expect("open");
    let write = database.begin_write().expect("write");
    let mut rows = write.open_table(Rows::new(table)).expect("table");
    match value {
        Some(value) => drop(rows.insert(key, value).expect("insert")),
        None => drop(rows.remove(key).expect("remove")),
    }
    drop(rows);
    write.commit().expect("commit");
}

/// What a scrub finds after this table has another row, or that the store does not open for it.
fn found_after(full: &Full, dir: &Path, table: &Table) -> Result<Vec<Finding>, String> {
    let store = Store::open_read_only(dir).map_err(|error| error.to_string())?;
    let found = scrub(&store, &full.keys, 50).1;
    assert!(found.iter().all(|it| it.damage.file == table.file), "{table:?}: {found:#?}");
    Ok(found)
}

fn repair_of(table: &Table) -> Repair {
    match (table.file, table.name) {
        (StoreFile::Index, _) => Repair::RebuildIndex,
        (_, "blobs" | "logs" | "checkpoints" | "charters" | "evidence") => Repair::FromPeers,
        (StoreFile::Ledger, "entries" | "hashes") => Repair::FromPeers,
        _ => Repair::FromBackup,
    }
}

#[test]
fn one_flipped_bit_in_any_table_of_any_file_is_found_with_what_repairs_it() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let mut at_opening = Vec::new();
    for table in tables::ALL {
        let path = folder.path().join(table.file.name());
        let original = std::fs::read(&path).expect("file");
        let rows = all_rows(&path, table.name);
        let picks = [0, rows.len() / 2, rows.len() - 1];
        for (row, bit) in picks.into_iter().zip([3, 0, 6]) {
            let (key, value) = &rows[row];
            for byte in [0, value.len() / 2, value.len() - 1] {
                let mut flipped = value.clone();
                flipped[byte] ^= 1 << bit;
                rewrite(&path, table.name, key, Some(&flipped));
                match found_after(&full, folder.path(), &table) {
                    Ok(found) => {
                        let named = found.iter().find(|it| it.damage.table == Some(table.name));
                        let named = named.unwrap_or_else(|| {
                            panic!("{table:?} row {row} byte {byte}: {found:#?}")
                        });
                        assert_eq!(named.repair, repair_of(&table), "{table:?}");
                    }
                    Err(_) => at_opening.push(table.name),
                }
                std::fs::write(&path, &original).expect("put back");
            }
        }
    }
    at_opening.dedup();
    assert_eq!(
        at_opening,
        ["meta"],
        "a damaged meta row is found before there is a store to scrub"
    );
}

#[test]
fn an_entry_and_a_hash_that_are_gone_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let mut places = BTreeMap::new();
    for table in [tables::ENTRIES, tables::HASHES, tables::AUDIT_ENTRIES, tables::AUDIT_HASHES] {
        let path = folder.path().join(table.file.name());
        let original = std::fs::read(&path).expect("file");
        let rows = all_rows(&path, table.name);
        for row in [0, rows.len() / 2, rows.len() - 1] {
            rewrite(&path, table.name, &rows[row].0, None);
            let found = found_after(&full, folder.path(), &table).expect("opens");
            assert!(!found.is_empty(), "{table:?} row {row}");
            *places.entry(table.name).or_insert(0) += found.len();
            std::fs::write(&path, &original).expect("put back");
        }
    }
    assert!(places.values().all(|found| *found < 100), "{places:?}");
}

#[test]
fn an_entry_that_fits_its_hashes_and_is_not_signed_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let store = Store::open_read_only(folder.path()).expect("opens");
    let other = common::keys(&[
        &common::Member::new("hospital.example", 9),
        &common::Member::new("gp.example", 8),
    ]);
    let found = scrub(&store, &other, 1000).1;
    assert!(
        found
            .iter()
            .any(|it| it.damage.position == Some(0) && it.damage.log == Some(full.other.log()))
    );
    let no_signatures = store.scrub(None, 1000, None).expect("works");
    assert_eq!(no_signatures.found, []);
}

#[test]
fn a_gate_that_is_not_the_one_that_was_written_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let store = full.owner.open(folder.path());
    let gate = folder.path().join(StoreFile::Gate.name());
    let mut bytes = std::fs::read(&gate).expect("gate");
    bytes[50] ^= 1;
    std::fs::write(&gate, &bytes).expect("flip");
    let found = scrub(&store, &full.keys, 1000).1;
    assert_eq!(found.iter().map(|it| it.damage.file).collect::<Vec<_>>(), [StoreFile::Gate]);
    std::fs::remove_file(&gate).expect("remove");
    assert_eq!(scrub(&store, &full.keys, 1000).1.len(), 1);
}
