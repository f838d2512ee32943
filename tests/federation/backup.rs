//! A backup of a gateway that runs and is written to, its rehearsal, and what comes of putting it back.

mod harness;

use std::fs;

use harness::{Federation, Journal, Member, eventually};

/// Runs a command of the member's that must end with this code; what it printed.
fn ends(member: &Member, code: i32, arguments: &[&str]) -> String {
    let ended = member.sundbro(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    format!("{}{}", ended.stdout, ended.stderr)
}

#[test]
fn a_backup_under_load_is_proved_put_back_and_goes_on_where_the_log_ended() {
    let mut federation = Federation::running(3);
    let index = 1;
    let mut journal = Journal::of(&federation.members[index]);
    let member = &federation.members[index];
    let documents: Vec<_> = (0..10).map(|_| journal.write(member)).collect();
    member.await_registered(&documents);
    // While more is written: the backup is of one moment all the same.
    let under_load: Vec<_> = (0..20).map(|_| journal.write(member)).collect();
    let said = ends(member, 0, &["backup", "first"]);
    assert!(said.contains("the keys are not in it"), "{said}");
    ends(member, 2, &["backup", "first"]);
    member.await_registered(&under_load);
    journal.note(member);
    let before = federation.await_equal();

    // A rehearsal beside the running gateway changes nothing.
    let member = &federation.members[index];
    let said = ends(member, 0, &["restore", "first", "--drill"]);
    assert!(said.contains("the backup is good"), "{said}");
    assert!(said.contains("it would sign after 1 of 2 other members"), "{said}");
    assert_eq!(federation.await_equal(), before);

    // Nothing is overwritten.
    federation.at(index).kill();
    let member = &federation.members[index];
    let said = ends(member, 2, &["restore", "first"]);
    assert!(said.contains("is not empty"), "{said}");

    // Nor is what cannot be looked into taken for empty.
    let hidden = member.folder.join("hidden");
    fs::rename(member.data(), &hidden).expect("moved");
    fs::write(member.data(), "a file where the folder was").expect("written");
    let said = ends(member, 1, &["restore", "first"]);
    assert!(said.contains("cannot be looked into"), "{said}");
    fs::remove_file(member.data()).expect("removed");
    fs::rename(&hidden, member.data()).expect("moved back");

    // The machine is gone with its disk, but for the keys, which have a backup of their own.
    fs::remove_dir_all(member.data()).expect("removed");
    fs::remove_file(member.folder.join("signing.gate")).expect("removed");
    let said = ends(member, 0, &["restore", "first"]);
    assert!(said.contains("the signing gate is that of the backup"), "{said}");
    federation.at(index).start();
    let own = federation.members[index].name.clone();
    let late = journal.write(&federation.members[index]);
    federation.members[index].await_registered(std::slice::from_ref(&late));
    journal.is_whole_at(&federation.members[0]);
    let after = federation.await_equal();
    assert_eq!(after.logs[&own].0, before.logs[&own].0 + 1, "nothing is registered twice");

    // With a newer gate than that of the backup, what it knows stays known.
    federation.at(index).stop();
    let member = &federation.members[index];
    fs::remove_dir_all(member.data()).expect("removed");
    let said = ends(member, 0, &["restore", "first"]);
    assert!(said.contains("a newer signing gate was kept"), "{said}");
    federation.at(index).start();
    let latest = journal.write(&federation.members[index]);
    federation.members[index].await_registered(std::slice::from_ref(&latest));
    let last = federation.await_equal();
    assert_eq!(last.logs[&own].0, after.logs[&own].0 + 1);
    federation.finish();
}

#[test]
fn a_backup_that_is_damaged_or_of_somebody_else_is_refused() {
    let federation = Federation::running(2);
    let documents = federation.members[0].write_documents(3);
    federation.members[0].await_registered(&documents);
    let member = &federation.members[0];
    ends(member, 0, &["backup", "whole", "--with-keys"]);
    assert!(member.folder.join("whole/keys").read_dir().expect("keys").next().is_some());
    let stranger = &federation.members[1];
    let whole = member.folder.join("whole").display().to_string();
    let said = ends(stranger, 6, &["restore", &whole, "--drill"]);
    assert!(said.contains("the backup is of"), "{said}");

    // One byte of one file, by its digest.
    let ledger = member.folder.join("whole/data/ledger.redb");
    let mut bytes = fs::read(&ledger).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&ledger, &bytes).expect("written");
    let said = ends(member, 6, &["restore", "whole", "--drill"]);
    assert!(said.contains("is not what was backed up"), "{said}");
    // And by what signed and hashed it, if the manifest was changed as well.
    bytes[middle] ^= 1;
    fs::write(&ledger, &bytes).expect("written");
    ends(member, 0, &["restore", "whole", "--drill"]);

    // A manifest that names files elsewhere.
    let manifest = member.folder.join("whole/backup.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    fs::write(&manifest, text.replace("data/audit.redb", "data/../../gateway.toml"))
        .expect("written");
    ends(member, 6, &["restore", "whole", "--drill"]);

    // An interrupted backup has no name, and the next one begins anew.
    fs::create_dir_all(member.folder.join("next.unfinished/data")).expect("a folder");
    ends(member, 0, &["backup", "next"]);
    eventually("it is whole", || (!member.folder.join("next.unfinished").exists()).then_some(()));
    federation.finish();
}
