//! Rows that a disk damaged: the gateway that holds them finds them while it runs, and its peers give back what they were.

mod harness;

use std::path::Path;

use harness::{Federation, Heads, Member, eventually};
use redb::{Database, ReadableTable, TableDefinition};
use sundbro_store::tables::{BLOBS, ENTRIES, LOCATORS, Table};

/// The shortest interval that there is, for the next start.
const SCRUBS: &str = "scrub_interval_ms = 60000";

/// Flips one bit of every row that fits; says how many there were.
fn flip(data: &Path, table: Table, mut fits: impl FnMut(&[u8]) -> bool) -> usize {
    let database = Database::open(data.join(table.file.name())).expect("nobody has it open");
    let rows: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table.name);
    let write = database.begin_write().expect("one writer");
    let mut damaged = Vec::new();
    {
        let mut rows = write.open_table(rows).expect("the table");
        for row in rows.iter().expect("rows") {
            let (key, value) = row.expect("a row");
            if fits(value.value()) {
                let mut value = value.value().to_vec();
                let middle = value.len() / 2;
                value[middle] ^= 4;
                damaged.push((key.value().to_vec(), value));
            }
        }
        for (key, value) in &damaged {
            rows.insert(&key[..], &value[..]).expect("written");
        }
    }
    write.commit().expect("committed");
    damaged.len()
}

/// Flips one bit of an entry.
fn flip_entry(federation: &Federation, at: &Member, owner: &str, position: u64) {
    let position = position.to_string();
    let arguments = [
        "--json",
        "log",
        "entry",
        owner,
        &position,
        "--data",
        "data",
        "--federation",
        &federation.id,
    ];
    let entry = at.sundbro(&arguments).good().json();
    let entry = hex::decode(entry["entry"].as_str().expect("hex")).expect("hex");
    let holds = |value: &[u8]| value.windows(entry.len()).any(|window| window == entry);
    assert_eq!(flip(&at.data(), ENTRIES, holds), 1);
}

/// A member writes documents, and all are equal.
fn publish(federation: &Federation, index: usize, count: usize) -> Heads {
    let documents = federation.members[index].write_documents(count);
    federation.members[index].await_registered(&documents);
    federation.await_equal()
}

#[test]
fn what_is_damaged_of_others_comes_back_by_itself() {
    let mut federation = Federation::running(3);
    let before = publish(&federation, 0, 8);
    let owner = federation.members[0].name.clone();
    let (of_entry, of_payload) = (1, 2);
    for index in [of_entry, of_payload] {
        federation.at(index).stop();
        federation.members[index].configure_first(SCRUBS);
    }
    flip_entry(&federation, &federation.members[of_entry], &owner, 5);
    let mut first = true;
    let one = |_: &[u8]| core::mem::take(&mut first);
    assert_eq!(flip(&federation.members[of_payload].data(), BLOBS, one), 1);

    for (index, repaired) in [
        (of_entry, ["a damaged log is fetched again from here", "\"kept\":5"]),
        (of_payload, ["damaged payloads are fetched again", "\"blobs\":1"]),
    ] {
        federation.at(index).start();
        let member = &federation.members[index];
        let scrub = eventually("the store was scrubbed", || member.try_status()?.scrub);
        assert_eq!(scrub.findings, 1, "{}", member.last_lines());
        assert!(member.has_logged(&["a row is damaged", "\"repair\":\"peers\""]));
        assert!(member.has_logged(&repaired), "{}", member.last_lines());
    }
    assert_eq!(federation.await_equal(), before);
    let after = publish(&federation, 0, 1);
    assert_eq!(after.logs[&owner].0, before.logs[&owner].0 + 1);
    federation.members.iter().for_each(Member::follows_all);
    federation.finish();
}

#[test]
fn our_own_damaged_log_comes_back_before_it_is_signed_on() {
    let mut federation = Federation::running(3);
    let index = 0;
    let owner = federation.members[index].name.clone();
    let before = publish(&federation, index, 6);
    assert_eq!(before.logs[&owner].0, 6);
    federation.at(index).stop();
    let member = &federation.members[index];
    let repair = ["--json", "log", "repair", "--config", "gateway.toml"];
    let dry_run = [&repair[..], &["--dry-run"]].concat();
    assert_eq!(member.sundbro(&dry_run).good().json()["findings"], serde_json::json!([]));

    flip_entry(&federation, member, &owner, 3);
    let found = member.sundbro(&dry_run);
    assert_eq!(found.code, 6, "{found:?}");
    let said = found.json();
    assert_eq!(
        (&said["findings"][0]["repair"], &said["findings"][0]["position"]),
        (&"own_log".into(), &3.into())
    );
    // Of another member's log nothing is wrong.
    let other = federation.members[1].name.clone();
    let of_other = [&repair[..], &["--member", &other]].concat();
    assert_eq!(member.sundbro(&of_other).good().json()["findings"], serde_json::json!([]));

    let said = member.sundbro(&repair).good().json();
    let log = &said["repaired"]["logs"][0];
    assert_eq!((&log["kept"], &log["dropped"]), (&3.into(), &3.into()), "{said}");
    assert_eq!(said["remaining"], serde_json::json!([]));
    assert_eq!(member.sundbro(&dry_run).good().json()["findings"], serde_json::json!([]));

    federation.at(index).start();
    assert_eq!(federation.await_equal(), before, "nothing was lost, and nothing signed twice");
    let member = &federation.members[index];
    assert!(member.has_logged(&["what was missing of our own log came back"]));
    let after = publish(&federation, index, 1);
    assert_eq!(after.logs[&owner].0, 7);
    federation.members.iter().for_each(Member::follows_all);
    federation.finish();
}

#[test]
fn what_only_a_backup_holds_is_told() {
    let mut federation = Federation::running(2);
    publish(&federation, 0, 2);
    federation.at(0).stop();
    let member = &federation.members[0];
    assert_eq!(flip(&member.data(), LOCATORS, |_| true), 2);
    let repair = ["--json", "log", "repair", "--config", "gateway.toml"];
    let found = member.sundbro(&repair);
    assert_eq!(found.code, 6, "{found:?}");
    let said = found.json();
    assert_eq!(said["remaining"], said["findings"]);
    // Without their keys, which would tell of sources, they are one finding.
    assert_eq!(said["findings"].as_array().map(Vec::len), Some(1));
    assert_eq!(said["findings"][0]["repair"], "backup");
}
