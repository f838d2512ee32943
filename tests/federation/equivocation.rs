//! Two machines sign with one member's keys: every member finds out, what convicts is checked offline, and the stewards
//! say which history goes on.

mod harness;

use std::fs;
use std::path::Path;

use harness::{Federation, Member, eventually};

/// One machine was started once more than the other, as one is that a copy was put back on.
const KIND: &str = "LOST_TAIL";
/// Where their histories part.
const PARTING: u64 = 2;

/// A member's folder as it stands, its gateway stopped.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// Puts another folder in a member's place and keeps what stood there.
fn swap(member: &Member, with: &Path) {
    let kept = with.with_extension("kept");
    fs::rename(&member.folder, &kept).expect("moved away");
    fs::rename(with, &member.folder).expect("put in place");
    fs::rename(kept, with).expect("kept");
}

/// Publishes documents while nobody else is there to say what they know of this log.
fn publish_alone(member: &mut Member, count: usize) {
    member.start();
    let stopped = || member.try_status().filter(|it| it.signing_stopped_reason == "NO_QUORUM");
    eventually("it waits for others", stopped);
    let overridden = ["log", "override", "--reason", "rehearsal", "--client", "operations.toml"];
    member.sundbro(&overridden).good();
    let documents = member.write_documents(count);
    member.await_registered(&documents);
    member.stop();
}

/// Lets one other member fetch all that a member's gateway has signed; both have stood still.
fn show(federation: &mut Federation, author: usize, to: usize, size: u64) {
    federation.at(to).start();
    federation.at(author).start();
    let name = &federation.members[author].name;
    let has_all = || {
        let coverage = federation.members[to].try_status()?.coverage;
        let log = coverage.of(name);
        (log.indexed_size == size && log.missing_blobs == 0).then_some(())
    };
    eventually("it has the history", has_all);
}

/// State and its reason of one log at a member.
fn state(member: &Member, log: &str) -> Option<(String, String)> {
    let coverage = member.try_status()?.coverage;
    let log = coverage.of(log);
    Some((log.state.clone(), log.state_reason.clone()))
}

#[test]
fn two_copies_of_one_member_are_found_out_and_the_stewards_say_how_it_goes_on() {
    let mut federation = Federation::running(3);
    let before: Vec<_> = federation.members.iter().flat_map(|it| it.write_documents(2)).collect();
    let author = 0;
    federation.members[author].await_registered(&before[..2]);
    federation.await_equal();
    for index in 0..3 {
        federation.at(index).stop();
    }

    // The folder stands on two machines; both sign, and neither hears of anybody.
    let other = federation.members[author].folder.with_extension("other-machine");
    copy_folder(&federation.members[author].folder, &other);
    publish_alone(federation.at(author), 1);
    swap(&federation.members[author], &other);
    federation.at(author).start();
    federation.at(author).stop();
    publish_alone(federation.at(author), 2);
    // Member 2 sees the history of the first machine, member 1 that of the other, which was started once more.
    swap(&federation.members[author], &other);
    show(&mut federation, author, 2, PARTING + 1);
    federation.at(author).stop();
    federation.at(2).stop();
    swap(&federation.members[author], &other);
    show(&mut federation, author, 1, PARTING + 2);

    // All meet.
    federation.at(2).start();
    let name = federation.members[author].name.clone();
    let wanted = ("LOG_STATE_STOPPED".to_owned(), KIND.to_owned());
    for member in &federation.members[1..] {
        eventually("the log stops", || state(member, &name).filter(|it| *it == wanted));
    }
    let signs = || federation.members[author].try_status().map(|it| it.signing_stopped_reason);
    eventually("whoever signed twice signs no more", || signs().filter(|it| !it.is_empty()));
    for member in &federation.members {
        convicts(&federation, member, &name);
    }
    heal(&mut federation, author);
    federation.finish();
}

/// What a member holds convicts offline, and not when a bit of it is another one.
fn convicts(federation: &Federation, member: &Member, writer: &str) {
    let listed = ["--json", "log", "evidence", writer, "--federation", &federation.id];
    let held = || {
        let said = member.sundbro(&listed).good().json();
        (said["evidence"][0]["counts"] == true).then_some(said)
    };
    let said = eventually("it holds evidence", held);
    assert_eq!(
        (&said["evidence"][0]["kind"], &said["evidence"][0]["position"]),
        (&KIND.into(), &PARTING.into())
    );
    let written = [&listed[1..], &["--out", "held.evidence"]].concat();
    member.sundbro(&written).good();
    let verify = |file: &str, pinned: &[&str]| {
        member.sundbro(&[&["--json", "verify", "evidence", file], pinned].concat())
    };
    let pinned = ["--federation", &*federation.id];
    let verdict = verify("held.evidence", &pinned).good().json();
    assert_eq!((&verdict["verdict"], &verdict["member"]), (&KIND.into(), &writer.into()));
    assert_eq!(verdict["signed"].as_array().map(Vec::len), Some(2), "{verdict}");
    let unpinned = verify("held.evidence", &[]);
    assert_eq!(unpinned.code, 6, "a forged federation verifies by itself");
    assert!(unpinned.stderr.contains("UNPINNED"), "{}", unpinned.stderr);
    let file = member.folder.join("held.evidence");
    let mut bytes = fs::read(&file).expect("a file");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(member.folder.join("forged.evidence"), bytes).expect("written");
    assert_eq!(verify("forged.evidence", &pinned).code, 6, "the last byte is of a signature");
}

/// The stewards name the history that member 1 holds, which is that of the machine that runs: all are equal again, and the
/// writer goes on from there by itself.
fn heal(federation: &mut Federation, author: usize) {
    let name = federation.members[author].name.clone();
    let holder = &federation.members[1];
    let export = ["log", "export", "branch", "--member", &name, "--federation", &federation.id];
    holder.sundbro(&export).good();
    let note = holder.folder.join("branch/checkpoint").display().to_string();
    federation.amend(&["--branch", &note], 2);
    let same = || {
        let mut heads = federation.members.iter().map(|it| it.try_heads());
        let first = heads.next().flatten()?;
        let named = first.logs[&name].0 == PARTING + 2;
        (named && heads.all(|it| it.as_ref() == Some(&first))).then_some(())
    };
    eventually("all hold the branch and have one index", same);
    goes_on(federation, author, PARTING + 2);
}

/// The writer signs by itself after the branch that was named.
fn goes_on(federation: &mut Federation, author: usize, size: u64) {
    let name = federation.members[author].name.clone();
    let signs = || federation.members[author].try_status().map(|it| it.signing_stopped_reason);
    eventually("it signs again", || signs().filter(String::is_empty));
    federation.await_equal();
    federation.members.iter().for_each(Member::follows_all);
    let document = federation.members[author].write_document();
    federation.members[author].await_registered(&[document]);
    assert_eq!(federation.await_equal().logs[&name].0, size + 1);
}

/// As the two machines above; the one that runs is not the one whose history is named. What only it had registered is
/// registered again after that history.
#[test]
fn a_writer_goes_over_to_the_other_history_and_registers_anew_what_only_its_own_had() {
    let mut federation = Federation::running(3);
    let author = 0;
    let before = federation.members[author].write_documents(2);
    federation.members[author].await_registered(&before);
    federation.await_equal();
    for index in 0..3 {
        federation.at(index).stop();
    }
    let other = federation.members[author].folder.with_extension("other-machine");
    copy_folder(&federation.members[author].folder, &other);
    publish_alone(federation.at(author), 1);
    swap(&federation.members[author], &other);
    federation.at(author).start();
    federation.at(author).stop();
    publish_alone(federation.at(author), 2);
    // Member 1 holds the longer history, and the machine that wrote it is gone.
    show(&mut federation, author, 1, PARTING + 2);
    federation.at(author).stop();
    swap(&federation.members[author], &other);
    federation.at(author).start();
    federation.at(2).start();
    let stopped = |it: &str| it == "OWN_LOG_DIVERGES";
    let signs = || federation.members[author].try_status().map(|it| it.signing_stopped_reason);
    eventually("whoever signed twice signs no more", || signs().filter(|it| stopped(it)));

    let name = federation.members[author].name.clone();
    let holder = &federation.members[1];
    let export = ["log", "export", "branch", "--member", &name, "--federation", &federation.id];
    holder.sundbro(&export).good();
    let note = holder.folder.join("branch/checkpoint").display().to_string();
    federation.amend(&["--branch", &note], 1);
    // Two documents of the other machine that this folder does not have, and the one that it has.
    goes_on(&mut federation, author, PARTING + 3);
    let own = federation.members[author].try_list().expect("it lists");
    assert_eq!(own.len(), 2 + 2 + 1 + 1, "what was registered on both histories, and since");
    federation.finish();
}
