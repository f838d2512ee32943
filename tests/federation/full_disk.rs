//! A gateway whose disk is really full: a first start, a later one, and while it runs. It says so, loses nothing, serves
//! what it may, and goes on when there is room.
//!
//! The disk is a small one in memory that only the processes of this test see, in a mount namespace of their own.

mod harness;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

use harness::{Ended, Federation, Member, eventually, sundbro};

/// Set where the test runs inside its own namespace.
const INSIDE: &str = "SUNDBRO_TEST_IN_OWN_MOUNTS";
/// Twice what the databases of this test take, with what is kept free.
const DISK: &str = "size=64m";
/// What the gateway of this test keeps free.
const KEPT_FREE: u64 = 8 << 20;

/// Runs a test of this program once more, in a mount namespace of its own. Skipped where the machine has none to give.
fn in_own_mounts(test: &str) {
    let unshare = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount"]).arg(program).args(arguments);
        command
    };
    let may = unshare(Path::new("mount"), &["-t", "tmpfs", "none", "/mnt"]).output();
    if !may.is_ok_and(|ended| ended.status.success()) {
        println!("SKIPPED: {test}: this user may not mount in a namespace of its own");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let ended = unshare(&program, &["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("SUNDBRO_BIN", sundbro())
        .status();
    assert!(ended.expect("it runs").success(), "see above");
}

/// A disk of its own for a member's databases and its signing gate, empty.
fn own_disk(member: &Member) {
    let data = member.data();
    fs::remove_dir_all(&data).expect("what `init` wrote");
    fs::create_dir(&data).expect("a folder");
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", DISK, "none"]).arg(&data).status();
    assert!(mounted.expect("mount runs").success());
    let (file, gate) = (member.folder.join("gateway.toml"), member.folder.join("signing.gate"));
    let text = fs::read_to_string(&file).expect("a configuration");
    let text = text.replace("\"signing.gate\"", "\"data/signing.gate\"");
    fs::write(file, text).expect("the configuration is written");
    member.configure(&format!("[store]\nmin_free_bytes = {KEPT_FREE}"));
    // Where `verifies` looks for it.
    fs::remove_file(&gate).expect("what `init` wrote");
    std::os::unix::fs::symlink(data.join("signing.gate"), gate).expect("a link");
}

/// Takes every byte of the disk but so many.
fn fill(member: &Member, but: usize) {
    let path = member.data().join("somebody-elses-file");
    let mut file = File::create(&path).expect("a file");
    let mut taken = 0;
    // Whole pages, then single bytes of what is left.
    for block in [vec![0xaa; 4096], vec![0xaa; 1]] {
        loop {
            match file.write_all(&block) {
                Ok(()) => taken += block.len() as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    file.set_len(taken.saturating_sub(but as u64)).expect("cut");
}

fn make_room(member: &Member) {
    fs::remove_file(member.data().join("somebody-elses-file")).expect("removed");
}

/// It ended by itself, and told its operator what to do.
fn says_what_to_do(ended: &Ended) {
    assert_eq!(ended.code, 1, "{ended:?}");
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert!(told.contains("its disk is full") && told.contains("make room"), "{told}");
}

fn starts(member: &Member) -> Ended {
    member.sundbro(&["run", "--config", "gateway.toml", "--until-stdin-closes"])
}

#[test]
fn a_gateway_whose_disk_is_really_full_says_so_loses_nothing_and_goes_on_with_room() {
    if std::env::var_os(INSIDE).is_none() {
        return in_own_mounts(
            "a_gateway_whose_disk_is_really_full_says_so_loses_nothing_and_goes_on_with_room",
        );
    }
    let mut federation = Federation::found(2);
    federation.at(1).start();
    own_disk(&federation.members[0]);

    // The first start, and what comes before it.
    fill(&federation.members[0], 0);
    let charter = federation.charter(1);
    let id = federation.id.clone();
    let init = ["init", "--config", "gateway.toml", "--charter", &charter, "--federation", &id];
    says_what_to_do(&federation.members[0].sundbro(&init));
    says_what_to_do(&starts(&federation.members[0]));
    make_room(&federation.members[0]);
    federation.members[0].sundbro(&init).good();
    federation.at(0).start();
    let documents = federation.members[0].write_documents(5);
    federation.members[0].await_registered(&documents);
    let before = federation.await_equal();

    // A later start. Whatever it had written, nothing of it is gone.
    federation.at(0).stop();
    fill(&federation.members[0], 0);
    says_what_to_do(&starts(&federation.members[0]));
    make_room(&federation.members[0]);
    federation.members[0].verifies();

    // Less is free than is kept back: it starts, serves, and registers nothing.
    fill(&federation.members[0], (KEPT_FREE / 2) as usize);
    federation.at(0).start();
    let reason = || Some(federation.members[0].try_status()?.signing_stopped_reason);
    eventually("it says why", || reason().filter(|reason| reason == "DISK_FULL"));
    let record = federation.members[0].try_list().expect("it lists")[0].name.clone();
    federation.members[1].retrieve(&record);
    let late = federation.members[0].write_documents(2);
    let waits = ["items wait at their source", "are kept back"];
    eventually("it tried", || federation.members[0].has_logged(&waits).then_some(()));
    assert_eq!(federation.members[0].size_of(&federation.members[0].name), 5);
    assert_eq!(federation.members[1].heads(), before);

    // Not a byte is free: without its audit log nothing is served; what is known is found all the same.
    make_room(&federation.members[0]);
    fill(&federation.members[0], 0);
    assert_ne!(federation.members[1].get(&record, "doctor").0.code, 0, "nobody writes it down");
    assert_eq!(federation.members[0].locate().of(&federation.members[0].name), 5);

    // All of it goes on by itself.
    make_room(&federation.members[0]);
    federation.members[0].await_registered(&late);
    federation.members[1].retrieve(&record);
    federation.await_equal();
    assert_eq!(federation.members[0].status().signing_stopped_reason, "");
    federation.finish();
}
