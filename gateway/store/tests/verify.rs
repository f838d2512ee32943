//! Verification: a sound store is sound, and no flipped bit of any value goes unnoticed.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::full::{self, Full, full};
use common::{Member, append, blobs, fill, keys, register, replicate, says, withdraw};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle,
};
use sundbro_store::tables::{self, StoreFile};
use sundbro_store::verify::{Report, verify_with};
use sundbro_store::{Store, VerifyError};

type Rows<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

fn verify(dir: &Path, full: &Full) -> Report {
    verify_with(dir, &full.keys, None).expect("can be checked")
}

/// The rows of tables by name.
type Tables = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

/// Every row of every table of a file.
fn rows(path: &Path) -> Tables {
    let database = Database::open(path).expect("open");
    let read = database.begin_read().expect("read");
    let mut all = BTreeMap::new();
    for handle in read.list_tables().expect("tables") {
        let table = read.open_table(Rows::new(handle.name())).expect("table");
        let rows = table.iter().expect("rows").map(|row| {
            let (key, value) = row.expect("row");
            (key.value().to_vec(), value.value().to_vec())
        });
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len() as u64, table.len().expect("len"));
        all.insert(handle.name().to_owned(), rows);
    }
    all
}

/// Rewrites one row with another value, through redb, so that redb itself finds nothing to complain about.
fn rewrite(path: &Path, table: &str, key: &[u8], value: &[u8]) {
    let database = Database::open(path).expect("open");
    let write = database.begin_write().expect("write");
    write.open_table(Rows::new(table)).expect("table").insert(key, value).expect("insert");
    write.commit().expect("commit");
}

/// A cheap sequence that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

#[test]
fn a_store_with_rows_in_every_table_is_sound_and_every_row_was_looked_at() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let report = verify(folder.path(), &full);
    assert!(report.is_sound(), "{:#?}", report.damages);
    assert!(!report.live);
    for table in tables::ALL {
        let rows = report.rows.get(&(table.file, table.name)).copied().unwrap_or(0);
        assert!(rows > 0, "{table:?} has no rows: the flips below would skip it");
    }
    assert_eq!(report.logs.get(&full.other.log()), Some(&90));

    let store = full.owner.open(folder.path());
    append(&store, &full.owner, vec![register(&full.owner, 5000, &says(200, 1))]);
    let report = verify(folder.path(), &full);
    assert!(report.is_sound() && report.live, "beside a gateway: {:#?}", report.damages);
    drop(store);
    let report = verify(folder.path(), &full);
    assert!(report.is_sound(), "not folded yet: {:#?}", report.damages);
}

#[test]
fn an_index_that_grew_with_late_blobs_is_the_one_that_a_fresh_fold_makes() {
    let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&writer, &reader]);
    let folder = tempfile::tempdir().expect("folder");
    let ours = writer.open(folder.path());
    // Each record in turn, its versions mostly in order: gaps that are none, and some that are.
    let mut dice = Dice(0x1a7e_b10b);
    let said =
        |n: u8, dice: &mut Dice| says(n % 5, u32::from(n / 5) + u32::from(dice.roll(6) == 0));
    let drafts = (5..40).map(|n| register(&writer, u64::from(n), &said(n, &mut dice)));
    let drafts: Vec<_> =
        drafts.chain([withdraw(&writer, 90, 3), withdraw(&writer, 91, 9)]).collect();
    append(&ours, &writer, drafts.clone());
    for round in 0..3 {
        let folder = tempfile::tempdir().expect("folder");
        let store = reader.open(folder.path());
        replicate(&ours, &store, &writer, &keys);
        let mut left = blobs(&drafts);
        while left.len() > 10 {
            full::fold(&store, &keys);
            let few = (0..=dice.roll(6)).map(|_| left.swap_remove(dice.roll(left.len())));
            store.put_blobs(&few.collect::<Vec<_>>()).expect("late");
        }
        full::fold(&store, &keys);
        drop(store);
        let report = verify_with(folder.path(), &keys, None).expect("can be checked");
        assert!(report.is_sound(), "round {round}: {:#?}", report.damages);
        let rows = |table| report.rows.get(&(StoreFile::Index, table)).copied().unwrap_or(0);
        assert!(rows("pending") > 0 && rows("records") > 0, "round {round}: {:?}", report.rows);
    }
}

#[test]
fn no_flipped_bit_of_a_value_goes_unnoticed() {
    const FLIPS_PER_TABLE: usize = 32;
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let mut dice = Dice(0x5eed_5eed_5eed);
    let mut counts = BTreeMap::new();
    for file in StoreFile::DATABASES {
        let path = folder.path().join(file.name());
        let all = rows(&path);
        let original = std::fs::read(&path).expect("file");
        for (table, rows) in all.iter().filter(|(_, rows)| !rows.is_empty()) {
            for _ in 0..FLIPS_PER_TABLE {
                let (key, value) = &rows[dice.roll(rows.len())];
                let bit = dice.roll(value.len() * 8);
                let mut flipped = value.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                rewrite(&path, table, key, &flipped);
                let report = verify(folder.path(), &full);
                let named = report
                    .damages
                    .iter()
                    .any(|it| it.file == file && it.table == Some(table.as_str()));
                let key = hex::encode(key);
                assert!(named, "{file}/{table} {key} bit {bit}: {:#?}", report.damages);
                *counts.entry((file, table.clone())).or_insert(0) += 1;
                std::fs::write(&path, &original).expect("put back");
            }
        }
    }
    let total: usize = counts.values().sum();
    for ((file, table), count) in &counts {
        println!("{file} {table}: {count} flips, all named");
        assert!(*count >= 20);
    }
    println!("{total} flips in all");
    assert!(total >= 1000 && verify(folder.path(), &full).is_sound());
}

#[test]
fn an_entry_that_is_damaged_is_named_by_log_and_position_and_only_it() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let path = folder.path().join("ledger.redb");
    let original = std::fs::read(&path).expect("file");
    for (member, position) in
        [(&full.owner, 3u64), (&full.owner, 70), (&full.other, 0), (&full.other, 89)]
    {
        let mut key = member.log().as_bytes()[..8].to_vec();
        key.extend_from_slice(&position.to_be_bytes());
        for table in ["entries", "hashes"] {
            let (key, at) = match table {
                "entries" => (key.clone(), 40),
                _ => {
                    let mut row = key[..8].to_vec();
                    row.push(0);
                    row.extend_from_slice(&(position / 16).to_be_bytes());
                    (row, 1 + (position as usize % 16) * 32)
                }
            };
            let rows = rows(&path);
            let (_, value) = rows[table].iter().find(|(it, _)| *it == key).expect("row");
            let mut value = value.clone();
            value[at] ^= 0x10;
            rewrite(&path, table, &key, &value);
            let report = verify(folder.path(), &full);
            let places: Vec<_> = report
                .damages
                .iter()
                .map(|it| (it.table.unwrap_or(""), it.log, it.position))
                .collect();
            assert_eq!(places, [(table, Some(member.log()), Some(position))]);
            std::fs::write(&path, &original).expect("put back");
        }
    }
}

#[test]
fn rows_that_are_gone_or_that_nobody_wrote_are_found() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    for (file, table) in [
        (StoreFile::Ledger, "entries"),
        (StoreFile::Ledger, "hashes"),
        (StoreFile::Ledger, "logs"),
        (StoreFile::Index, "tags"),
        (StoreFile::Index, "records"),
        (StoreFile::Audit, "entries"),
        (StoreFile::Audit, "by_record"),
    ] {
        let path = folder.path().join(file.name());
        let original = std::fs::read(&path).expect("file");
        let (key, value) = rows(&path)[table].last().expect("row").clone();
        let database = Database::open(&path).expect("open");
        let write = database.begin_write().expect("write");
        write.open_table(Rows::new(table)).expect("table").remove(&key[..]).expect("remove");
        write.commit().expect("commit");
        drop(database);
        let report = verify(folder.path(), &full);
        assert!(report.damages.iter().any(|it| it.file == file), "{file}/{table} removed");
        std::fs::write(&path, &original).expect("put back");
        let mut other = key.clone();
        *other.last_mut().expect("byte") ^= 0x80;
        rewrite(&path, table, &other, &value);
        let report = verify(folder.path(), &full);
        assert!(report.damages.iter().any(|it| it.file == file), "{file}/{table} added");
        std::fs::write(&path, &original).expect("put back");
    }
}

#[test]
fn damage_to_the_pages_themselves_names_the_file_and_panics_nowhere() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let mut dice = Dice(0xfeed_beef);
    for file in StoreFile::DATABASES {
        let path = folder.path().join(file.name());
        let original = std::fs::read(&path).expect("file");
        let mut found = 0;
        for _ in 0..40 {
            let mut bytes = original.clone();
            // Beyond the file's header, in the part that is in use: not only values, also nodes of redb's own trees.
            let at = 4096 + dice.roll(bytes.len() - 4096);
            if bytes[at - at % 64..(at - at % 64 + 64).min(bytes.len())].iter().all(|b| *b == 0) {
                continue;
            }
            bytes[at] ^= 1 << dice.roll(8);
            std::fs::write(&path, &bytes).expect("damage");
            match verify_with(folder.path(), &full.keys, None) {
                Ok(report) => {
                    let others = report.damages.iter().filter(|it| it.file != file).count();
                    assert!(others == 0 || !report.is_sound());
                    found += usize::from(report.damages.iter().any(|it| it.file == file));
                }
                Err(error) => panic!("{file} byte {at}: {error}"),
            }
        }
        // The rest lies in pages that no tree uses any more.
        assert!(found >= 5, "{file}: {found}");
        for len in [0, 100, 4096, original.len() / 2] {
            std::fs::write(&path, &original[..len]).expect("cut");
            let report = verify_with(folder.path(), &full.keys, None);
            let noticed =
                report.is_ok_and(|report| report.damages.iter().any(|it| it.file == file));
            assert!(noticed, "{file} cut to {len}");
        }
        std::fs::write(&path, b"not a database at all, but long enough to be read")
            .expect("replace");
        let report = verify(folder.path(), &full);
        assert!(report.damages.iter().any(|it| it.file == file && it.table.is_none()));
        std::fs::write(&path, &original).expect("put back");
    }
    assert!(verify(folder.path(), &full).is_sound());
}

#[test]
fn the_gate_is_part_of_it() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let gate = folder.path().join("signing.gate");
    let original = std::fs::read(&gate).expect("gate");
    let named = |folder: &Path| {
        verify(folder, &full).damages.iter().filter(|it| it.file == StoreFile::Gate).count()
    };
    let mut flipped = original.clone();
    flipped[60] ^= 1;
    std::fs::write(&gate, &flipped).expect("flip");
    assert_eq!(named(folder.path()), 1);
    std::fs::remove_file(&gate).expect("remove");
    assert_eq!(named(folder.path()), 1);
    let elsewhere = tempfile::tempdir().expect("folder");
    fill(&full.owner.open(elsewhere.path()), &full.owner, 1, 120);
    std::fs::copy(elsewhere.path().join("signing.gate"), &gate).expect("ahead");
    assert_eq!(named(folder.path()), 1);
    std::fs::write(&gate, &original).expect("put back");
    assert_eq!(named(folder.path()), 0);
}

#[test]
fn a_ledger_that_was_lost_is_found_by_the_gate() {
    let (folder, fresh) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
    let member = Member::new("hospital.example", 1);
    let keys = keys(&[&member]);
    fill(&member.open(folder.path()), &member, 1, 7);
    drop(member.open(fresh.path()));
    assert!(verify_with(fresh.path(), &keys, None).expect("checked").is_sound());
    let gate = |folder: &Path| folder.join("signing.gate");
    let problem = || {
        let report = verify_with(fresh.path(), &keys, None).expect("checked");
        let damages = report.damages.iter().filter(|it| it.file == StoreFile::Gate);
        damages.map(|it| it.problem.clone()).collect::<Vec<_>>().join("; ")
    };
    std::fs::copy(gate(folder.path()), gate(fresh.path())).expect("copy");
    assert!(problem().starts_with("7 entries were signed, the ledger holds 0"), "{}", problem());
    assert!(member.open(fresh.path()).signing_stop().is_some(), "as a start says");
    let other = Member::new("other.example", 9);
    drop(other.open(folder.path().join("other").as_path()));
    std::fs::copy(gate(&folder.path().join("other")), gate(fresh.path())).expect("copy");
    assert_eq!(problem(), "it is the gate of another log");
    std::fs::write(gate(fresh.path()), b"").expect("write");
    assert_eq!(problem(), "the signing gate is damaged");
}

#[test]
fn another_federation_or_no_store_at_all_is_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let full = full(folder.path());
    let other = sundbro_ledger::ids::FederationId::new([1; 32]);
    let refused = sundbro_store::verify::verify_dir(folder.path(), &other, None);
    assert!(matches!(refused, Err(VerifyError::OtherFederation { .. })));
    let empty = tempfile::tempdir().expect("folder");
    assert!(matches!(verify_with(empty.path(), &full.keys, None), Err(VerifyError::Open(_))));
    assert_eq!(std::fs::read_dir(empty.path()).expect("read").count(), 0, "nothing is created");
    // The index may be deleted at any time.
    std::fs::remove_file(folder.path().join("index.redb")).expect("remove");
    assert!(verify(folder.path(), &full).is_sound());
}

#[test]
fn a_newer_schema_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().expect("folder");
    let member = Member::new("hospital.example", 1);
    drop(member.open(folder.path()));
    let path = folder.path().join("audit.redb");
    let all = rows(&path);
    let (key, value) = &all["meta"][0];
    // As a newer version would write it, with a checksum that fits.
    let mut newer = value[..value.len() - 8].to_vec();
    newer[4] = 2;
    let mut sum = Vec::new();
    for part in [&b"audit.redb"[..], b"meta", key] {
        sum.extend_from_slice(&(part.len() as u64).to_be_bytes());
        sum.extend_from_slice(part);
    }
    sum.extend_from_slice(&newer);
    newer.extend_from_slice(&sundbro_store::audit::message_digest(&sum)[..8]);
    rewrite(&path, "meta", key, &newer);
    let refused = Store::open(folder.path(), member.options()).err().expect("refused");
    assert!(refused.to_string().contains("schema version 2"), "{refused}");
    assert!(Store::open_read_only(folder.path()).is_err());
}
