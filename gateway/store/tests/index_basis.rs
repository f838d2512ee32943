//! What the index stands on: after the payloads file was lost or put back from a copy, and under other rules of the
//! fold, it is derived anew and says what is missing; after a plain restart it is not.

mod common;

use std::path::Path;

use common::full::fold;
use common::{Keys, Member, append, blobs, keys, register, replicate, says};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use sundbro_store::index::IndexRoots;
use sundbro_store::tables::StoreFile;
use sundbro_store::verify::verify_with;
use sundbro_store::{NewBlob, Store};

const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
const TAGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("tags");

/// A replica of five records, all of whose blobs came, in two writes.
struct Replica {
    folder: tempfile::TempDir,
    writer: Member,
    reader: Member,
    keys: Keys,
    blobs: Vec<NewBlob>,
    /// A copy of the payloads file with the first write alone.
    older: Vec<u8>,
    roots: IndexRoots,
}

impl Replica {
    fn new() -> Self {
        let (folder, ours) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
        let keys = keys(&[&writer, &reader]);
        let from = writer.open(ours.path());
        let drafts: Vec<_> = (1..6).map(|n| register(&writer, n.into(), &says(n, 1))).collect();
        append(&from, &writer, drafts.clone());
        let blobs = blobs(&drafts);
        let store = reader.open(folder.path());
        replicate(&from, &store, &writer, &keys);
        store.put_blobs(&blobs[..4]).expect("the first two records");
        fold(&store, &keys);
        drop(store);
        let older = std::fs::read(folder.path().join("payloads.redb")).expect("copy");
        let store = reader.open(folder.path());
        store.put_blobs(&blobs[4..]).expect("the others");
        fold(&store, &keys);
        let roots = store.index_roots().expect("roots");
        drop(store);
        Self { folder, writer, reader, keys, blobs, older, roots }
    }

    fn path(&self, file: StoreFile) -> std::path::PathBuf {
        self.folder.path().join(file.name())
    }

    fn open(&self) -> Store {
        let store = self.reader.open(self.folder.path());
        fold(&store, &self.keys);
        store
    }

    fn assert_missing(&self, count: u64) {
        let store = self.open();
        let log = self.writer.log();
        assert_eq!(store.index_counts(&log).expect("counts").missing_blobs, count);
        assert_eq!(store.missing_blobs(&log, 100).expect("list").len() as u64, count);
    }

    fn assert_sound(&self) {
        let report = verify_with(self.folder.path(), &self.keys, None).expect("checked");
        assert!(report.is_sound(), "{:#?}", report.damages);
    }

    /// What came is asked for again, comes again, and then all is as it was.
    fn assert_heals(&self) {
        let store = self.open();
        store.put_blobs(&self.blobs).expect("from a peer");
        fold(&store, &self.keys);
        assert_eq!(store.index_roots().expect("roots"), self.roots);
        drop(store);
        self.assert_missing(0);
        self.assert_sound();
    }
}

#[test]
fn a_payloads_file_that_was_lost_leaves_an_index_that_says_so() {
    let replica = Replica::new();
    replica.assert_missing(0);
    std::fs::remove_file(replica.path(StoreFile::Payloads)).expect("lost");
    // Details are asked for once their payloads are here.
    replica.assert_missing(5);
    replica.assert_sound();
    replica.assert_heals();
}

#[test]
fn an_older_copy_of_the_payloads_file_leaves_an_index_that_says_what_it_lacks() {
    let replica = Replica::new();
    std::fs::write(replica.path(StoreFile::Payloads), &replica.older).expect("put back");
    replica.assert_sound();
    replica.assert_missing(3);
    replica.assert_heals();
}

/// Deletes a row of the index, so that one that is derived anew can be told from the old one.
fn delete_a_tag(path: &Path) {
    let database = Database::open(path).expect("open");
    let write = database.begin_write().expect("write");
    let mut tags = write.open_table(TAGS).expect("table");
    tags.pop_first().expect("pop").expect("row");
    drop(tags);
    write.commit().expect("commit");
}

fn tags(path: &Path) -> u64 {
    let database = Database::open(path).expect("open");
    let read = database.begin_read().expect("read");
    read.open_table(TAGS).expect("table").len().expect("len")
}

/// Writes another fold version into the index, as other software would, with a checksum that fits.
fn fold_under_other_rules(path: &Path) {
    let database = Database::open(path).expect("open");
    let write = database.begin_write().expect("write");
    let mut meta = write.open_table(META).expect("table");
    let value = meta.get(&[1][..]).expect("get").expect("row").value().to_vec();
    let mut other = value[..value.len() - 8].to_vec();
    other[4] += 1;
    let mut sum = Vec::new();
    for part in [&b"index.redb"[..], b"meta", &[1]] {
        sum.extend_from_slice(&(part.len() as u64).to_be_bytes());
        sum.extend_from_slice(part);
    }
    sum.extend_from_slice(&other);
    other.extend_from_slice(&sundbro_store::audit::message_digest(&sum)[..8]);
    meta.insert(&[1][..], &other[..]).expect("insert");
    drop(meta);
    write.commit().expect("commit");
}

#[test]
fn rows_that_were_folded_under_other_rules_are_derived_anew_and_no_others() {
    let replica = Replica::new();
    let path = replica.path(StoreFile::Index);
    let all = tags(&path);
    delete_a_tag(&path);
    drop(replica.open());
    assert_eq!(tags(&path), all - 1, "a plain restart derives nothing anew");
    fold_under_other_rules(&path);
    drop(replica.open());
    assert_eq!(tags(&path), all);
    replica.assert_missing(0);
    replica.assert_sound();
}
