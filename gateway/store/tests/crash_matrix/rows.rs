//! Every row of every file, as redb reads it from what the disk holds, and whether a store is old, new, or between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use sundbro_store::tables::StoreFile;
use sundbro_store::testing::MemoryDisk;

/// Table and key → value.
pub type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// The rows of each file; none of a file that is not there.
pub type Everything = BTreeMap<StoreFile, Rows>;

pub fn dir() -> &'static Path {
    Path::new("/store")
}

pub fn path(file: StoreFile) -> PathBuf {
    dir().join(file.name())
}

pub fn everything(disk: &MemoryDisk) -> Everything {
    let files = [&StoreFile::DATABASES[..], &[StoreFile::Gate]].concat();
    files.into_iter().map(|file| (file, rows(disk, file))).collect()
}

pub fn rows(disk: &MemoryDisk, file: StoreFile) -> Rows {
    if file == StoreFile::Gate {
        let gate = disk.contents(&path(file));
        return gate.map(|bytes| (("gate".to_owned(), Vec::new()), bytes)).into_iter().collect();
    }
    let Some(database) = disk.database(&path(file)) else { return Rows::new() };
    let database = match database {
        Ok(database) => database,
        // A row that no store ever has: neither old nor new.
        Err(error) => {
            return Rows::from([(
                ("no database".to_owned(), Vec::new()),
                error.to_string().into(),
            )]);
        }
    };
    let read = database.begin_read().expect("read");
    let mut all = Rows::new();
    for handle in read.list_tables().expect("tables") {
        let name = handle.name().to_owned();
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(&name);
        for row in read.open_table(table).expect("table").iter().expect("rows") {
            let (key, value) = row.expect("row");
            let value = without_id(file, &name, key.value(), value.value());
            all.insert((name.clone(), key.value().to_vec()), value);
        }
    }
    all
}

/// A value without the random id of the payloads file, and then without its checksum: another in each run.
fn without_id(file: StoreFile, table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let id = match file {
        StoreFile::Payloads => 1..17,
        StoreFile::Index => 5..21,
        _ => return value.to_vec(),
    };
    if table != "meta" || key != [1] {
        return value.to_vec();
    }
    [&value[..id.start], &value[id.end..value.len() - 8]].concat()
}

/// Without how often payloads were written, and what the index says of that.
pub fn without_counters(everything: &Everything) -> Everything {
    let mut everything = everything.clone();
    for file in [StoreFile::Payloads, StoreFile::Index] {
        everything.get_mut(&file).expect("a file").remove(&("meta".to_owned(), vec![1]));
    }
    everything
}

/// Whether `found` lies on the way from `old` to `new`, where files become new in the order of `order`.
pub fn on_the_way(
    found: &Everything,
    old: &Everything,
    new: &Everything,
    order: &[StoreFile],
) -> Result<(), String> {
    let mut first_old = None;
    for (file, rows) in found {
        if rows != &old[file] && rows != &new[file] {
            let old = difference(rows, &old[file]);
            return Err(format!("{file} is neither old nor new: from old {old}"));
        }
        assert!(old[file] == new[file] || order.contains(file), "{file} is not on this path");
    }
    for file in order.iter().filter(|file| old[file] != new[file]) {
        if found[file] == old[file] {
            first_old.get_or_insert(*file);
        } else if let Some(first) = first_old {
            return Err(format!("{file} is new and {first}, which goes before it, is old"));
        }
    }
    Ok(())
}

/// Which tables differ, in numbers of rows.
pub fn difference(a: &Rows, b: &Rows) -> String {
    let mut tables: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for ((table, key), value) in a {
        if b.get(&(table.clone(), key.clone())) != Some(value) {
            tables.entry(table).or_default().0 += 1;
        }
    }
    for (table, key) in b.keys().filter(|key| !a.contains_key(key)) {
        let _ = key;
        tables.entry(table).or_default().1 += 1;
    }
    format!("{tables:?} rows (changed, gone)")
}
