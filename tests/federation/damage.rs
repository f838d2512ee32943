//! What a gateway does when its files are older than it was, lost, or not what it wrote.

mod harness;

use std::fs;
use std::path::Path;

use harness::{Federation, Member};
use redb::{Database, TableDefinition};
use sundbro_store::tables::{LOCATED, LOCATORS, Table};

/// Copies the files of a data folder, as a backup does.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// A member writes documents and all see them; the size of its log is returned.
fn publish(federation: &Federation, index: usize, count: usize) -> u64 {
    let documents = federation.members[index].write_documents(count);
    federation.members[index].await_registered(&documents);
    let heads = federation.await_equal();
    heads.logs[&federation.members[index].name].0
}

/// A new document is registered though entries before it were lost here, and all are equal again.
fn comes_back(federation: &Federation, index: usize, lost: u64) {
    let member = &federation.members[index];
    let size = publish(federation, index, 1);
    assert_eq!(size, lost + 1, "what was lost is there, and the new one after it");
    assert!(
        member.has_logged(&["what was missing of our own log came back"]),
        "{}",
        member.last_lines()
    );
    let status = member.try_status().expect("it answers");
    assert_eq!(status.signing_stopped_reason, "");
}

#[test]
fn a_restored_database_gets_back_what_it_lost_before_it_signs() {
    let mut federation = Federation::running(3);
    let member = 1;
    let old_size = publish(&federation, member, 3);
    federation.at(member).stop();
    let folder = federation.members[member].folder.clone();
    let (data, gate) = (folder.join("data"), folder.join("signing.gate"));
    let old = folder.join("old");
    copy(&data, &old);
    fs::copy(&gate, folder.join("old.gate")).expect("a copy");
    federation.at(member).start();
    let size = publish(&federation, member, 4);
    assert_eq!((old_size, size), (3, 7));
    federation.at(member).stop();

    // Only the database is old: the gate knows.
    copy(&old, &data);
    federation.at(member).start();
    comes_back(&federation, member, size);
    federation.at(member).stop();

    // The gate is old too, as after a snapshot: the peers know, also that this start has a number that was used.
    copy(&old, &data);
    fs::copy(folder.join("old.gate"), &gate).expect("a copy");
    federation.at(member).start();
    comes_back(&federation, member, size + 1);
    federation.members.iter().for_each(Member::follows_all);
    federation.finish();
}

/// Empties a table of `ledger.redb`, as if its rows had been lost.
fn empty(data: &Path, table: Table) {
    let database = Database::open(data.join(table.file.name())).expect("nobody has it open");
    let rows: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table.name);
    let write = database.begin_write().expect("one writer");
    {
        let mut rows = write.open_table(rows).expect("the table");
        let before = redb::ReadableTableMetadata::len(&rows).expect("a number");
        assert!(before > 0, "{table:?} was empty already");
        rows.retain(|_, _| false).expect("emptied");
    }
    write.commit().expect("committed");
}

#[test]
fn the_lost_map_of_locators_is_learnt_again_without_doubles() {
    let mut federation = Federation::running(2);
    let member = 0;
    let documents = federation.members[member].write_documents(7);
    federation.members[member].await_registered(&documents);
    // One was withdrawn and came back: its id is the second of its source key.
    documents[1].remove(&federation.members[member].documents());
    let name = federation.members[member].name.clone();
    federation.members[member].await_located("it is withdrawn", |it| it.of(&name) == 6);
    let folder = federation.members[member].folder.clone();
    documents[1].write(&federation.members[member].documents(), &folder.join("scratch"));
    federation.members[member].await_registered(&documents);
    let before = federation.await_equal();
    assert_eq!(before.logs[&name].0, 9);
    let gone = federation.members[member]
        .locate()
        .pointers
        .into_iter()
        .find(|pointer| pointer.digest() == documents[4].digest())
        .expect("registered");
    federation.at(member).stop();

    for table in [LOCATORS, LOCATED] {
        empty(&folder.join("data"), table);
    }
    documents[4].remove(&federation.members[member].documents());

    for _ in 0..2 {
        federation.at(member).start();
        let status = federation.members[member].await_scanned();
        assert_eq!(status.adapters[0].records, 6, "what lies there has its locator again");
        let orphans = ["--json", "orphans", "--client", "operations.toml"];
        let orphans = federation.members[member].sundbro(&orphans).good().json();
        assert_eq!(orphans["records"], serde_json::json!([gone.name]));
        assert_eq!(federation.await_equal().logs, before.logs, "nothing new was signed");
        let located = federation.members[1].locate();
        assert_eq!(located.of(&name), 7, "the orphan stays until the operator confirms");
        // And so it stays over a restart.
        federation.at(member).stop();
    }
    federation.at(member).start();
    // What changes afterwards is a version of the record that it was.
    let first = federation.members[member].documents().join(&documents[0].file);
    let text = fs::read_to_string(&first).expect("a bundle").replace("normal", "raised");
    fs::write(first, text).expect("written");
    let located = federation.members[1].await_located("the new version is seen", |it| {
        it.pointers.iter().any(|pointer| pointer.version == 2)
    });
    assert_eq!(located.of(&name), 7);
    for pointer in located.pointers.iter().filter(|pointer| pointer.name != gone.name) {
        federation.members[1].retrieve(&pointer.name);
    }
    federation.finish();
}

#[test]
fn a_deleted_index_is_derived_again_with_the_same_roots() {
    let mut federation = Federation::running(2);
    publish(&federation, 0, 5);
    publish(&federation, 1, 4);
    let before = federation.await_equal();
    federation.at(1).stop();
    let rebuild = ["--json", "index", "rebuild", "--config", "gateway.toml"];
    let intact = federation.members[1].sundbro(&rebuild).good().json();
    assert_eq!(intact["same_as_before"], true);
    assert_eq!(intact["index_root"], before.index_root.as_str());

    fs::remove_file(federation.members[1].data().join("index.redb")).expect("an index");
    let rebuilt = federation.members[1].sundbro(&rebuild).good().json();
    assert_eq!(rebuilt["index_root"], intact["index_root"]);
    assert_eq!(rebuilt["private_root"], intact["private_root"]);
    assert_eq!(rebuilt["same_as_before"], false, "there was nothing to compare with");

    // Deleted without a word to anybody: the gateway derives it at its start.
    fs::remove_file(federation.members[1].data().join("index.redb")).expect("an index");
    federation.at(1).start();
    assert_eq!(federation.await_equal(), before);
    federation.finish();
}

#[test]
fn a_flipped_byte_in_a_data_folder_is_named() {
    let mut federation = Federation::running(2);
    publish(&federation, 0, 4);
    federation.members.iter_mut().for_each(Member::stop);
    federation.members.iter().for_each(Member::verifies);
    let (owner, member) = (federation.members[0].name.clone(), &federation.members[1]);
    let arguments =
        ["--json", "log", "entry", &owner, "2", "--data", "data", "--federation", &federation.id];
    let entry = member.sundbro(&arguments).good().json();
    let entry = hex::decode(entry["entry"].as_str().expect("hex")).expect("hex");
    let (data, gate) = (member.data(), member.folder.join("signing.gate"));

    let spoilt = member.folder.join("spoilt");
    copy(&data, &spoilt);
    let file = spoilt.join("ledger.redb");
    let mut bytes = fs::read(&file).expect("a ledger");
    // Pages that are in use no more may hold copies: whichever counts is flipped too.
    let copies = bytes.windows(entry.len()).enumerate().filter(|(_, window)| *window == entry);
    let copies: Vec<usize> = copies.map(|(at, _)| at).collect();
    assert!(!copies.is_empty(), "the entry stands in the file");
    copies.iter().for_each(|at| bytes[at + entry.len() / 2] ^= 1);
    fs::write(file, bytes).expect("written");
    let found = member.verify(&spoilt, &gate);
    assert_eq!(found.code, 6, "{found:?}");
    let said = format!("{}{}", found.stdout, found.stderr);
    let names = |line: &&str| line.contains("ledger.redb") && line.contains("position 2");
    assert!(said.lines().any(|line| names(&line)), "{said}");

    // The gate beside the data is a file of the gateway as well.
    copy(&data, &spoilt);
    let mut bytes = fs::read(&gate).expect("a gate");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let spoilt_gate = spoilt.join("signing.gate");
    fs::write(&spoilt_gate, bytes).expect("written");
    assert_eq!(member.verify(&spoilt, &spoilt_gate).code, 6);
    federation.finish();
}
