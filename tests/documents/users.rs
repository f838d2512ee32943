//! A gateway that runs as a user who may not do everything: what it cannot read it says, and what it must not run with
//! it refuses.

use std::fs::{self, File, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::content::{cda, sidecar};
use crate::harness::{Federation, Member, PATIENCE, eventually, holds_within, sundbro};
use crate::table::{Bench, Outcome, Seen, Tally};

/// A user and group that nobody has.
const USER: u32 = 54_321;

/// Whether this test may do everything.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

/// Ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Our own child, by its handle.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// One member whose files belong to somebody who may not do everything.
struct House<'m> {
    member: &'m Member,
    binary: PathBuf,
}

impl<'m> House<'m> {
    fn new(member: &'m Member) -> Self {
        let root = member.folder.parent().expect("a federation").to_owned();
        // Neither the folder of the build nor the temporary one may be open to that user.
        let binary = root.join("sundbro");
        fs::copy(sundbro(), &binary).expect("a copy");
        fs::set_permissions(&root, Permissions::from_mode(0o755)).expect("ours");
        give(&member.folder);
        Self { member, binary }
    }

    fn log(&self) -> PathBuf {
        self.member.folder.join("gateway.log")
    }

    /// Runs the gateway until it listens, or until it ends: then with its code and what it said.
    fn start(&self) -> Result<Process, (i32, String)> {
        drop(fs::remove_file(self.log()));
        let log = File::create(self.log()).expect("a log");
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                let (user, group) = (format!("--reuid={USER}"), format!("--regid={USER}"));
                command.args([&user, &group, "--clear-groups", "--no-new-privs"]).arg(&self.binary);
                command
            }
            false => Command::new(&self.binary),
        };
        let child = command
            .args(["run", "--config", "gateway.toml", "--until-stdin-closes"])
            .current_dir(&self.member.folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        let mut process = Process(child.expect("the binary starts"));
        eventually("it listens or ends", || match process.0.try_wait().expect("our own child") {
            Some(status) => Some(Some(status.code().unwrap_or(-1))),
            None => TcpStream::connect(&self.member.local_address).ok().map(|_| None),
        })
        .map_or(Ok(process), |code| Err((code, fs::read_to_string(self.log()).unwrap_or_default())))
    }
}

/// Hands a folder and all in it to the user.
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(USER), Some(USER)).expect("given away");
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            give(&entry.expect("an entry").path());
        }
    }
}

/// Sets the mode of a path while it lives.
struct Mode(PathBuf, u32);

impl Mode {
    fn set(path: PathBuf, mode: u32) -> Self {
        let before = fs::metadata(&path).expect("there").mode() & 0o7777;
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        Self(path, before)
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        drop(fs::set_permissions(&self.0, Permissions::from_mode(self.1)));
    }
}

pub fn who_may_read_what(tally: &mut Tally) {
    if is_root() && Command::new("setpriv").arg("--version").output().is_err() {
        println!("SKIPPED: setpriv is missing: apt-get install util-linux");
        return;
    }
    let mut federation = Federation::found(1);
    let member = federation.at(0);
    let mut bench = Bench::new(member.documents());
    let closed = what_is_closed(&mut bench);
    let house = House::new(member);
    let running = house.start().unwrap_or_else(|(code, log)| panic!("ended with {code}: {log}"));
    bench.judge(member, tally);
    what_is_closed_later(tally, member);
    drop(running);
    drop(closed);
    what_is_refused(tally, &house);
    federation.finish();
}

/// Files and folders that may not be read; open again when what is returned goes away.
fn what_is_closed(bench: &mut Bench) -> Vec<Mode> {
    let mut closed = Vec::new();
    let unreadable = Outcome::Quarantined("UNREADABLE");
    bench.make("a file that may not be read", unreadable.clone(), "a.xml", |path| {
        fs::write(path, cda("closed")).expect("written");
        closed.push(Mode::set(path.to_owned(), 0));
    });
    bench.make("a sidecar that may not be read", unreadable.clone(), "a.pdf", |path| {
        fs::write(path, "%PDF closed").expect("written");
        let sidecar_path = path.with_extension("pdf.meta.json");
        fs::write(&sidecar_path, sidecar()).expect("written");
        closed.push(Mode::set(sidecar_path, 0));
    });
    for (name, mode, item) in [
        ("a folder that may not be read", 0o000, "in"),
        ("a folder that may be entered but not listed", 0o111, "in"),
        ("a folder that may be listed but not entered", 0o444, "in"),
    ] {
        let (folder, below) = bench.cell_folder(name);
        fs::create_dir(folder.join("in")).expect("a folder");
        fs::write(folder.join("in/a.xml"), cda(name)).expect("written");
        bench.expect(name, format!("{below}/{item}"), &folder.join(item), unreadable.clone());
        closed.push(Mode::set(folder.join("in"), mode));
    }
    closed
}

/// What was registered stays registered while it cannot be read, and is not served.
fn what_is_closed_later(tally: &mut Tally, member: &Member) {
    let before = member.try_list().unwrap_or_default();
    let one = member.documents().join("cell-000/zz-good.xml");
    let (state, name) = (|| Seen::of(member).unwrap_or_default(), "cell-000/zz-good.xml");
    {
        let _closed = Mode::set(member.documents(), 0o000);
        let told = holds_within(PATIENCE, || member.has_logged(&["its folder cannot be read"]));
        tally.holds("a folder that is closed is told", told, member.last_lines());
        tally.same("and withdraws nothing", &before.len(), &state().digests.len());
        let refused = before.iter().all(|it| member.get(&it.name, "doctor").0.code != 0);
        tally.holds("and nothing is served from it", refused, "served");
    }
    {
        let _closed = Mode::set(one.clone(), 0o000);
        // Looked at again because it looks different.
        let file = File::options().write(true).open(&one);
        file.and_then(|it| it.set_modified(std::time::SystemTime::now())).ok();
        let aside = holds_within(PATIENCE, || {
            state().quarantine.get(name).is_some_and(|it| it == "UNREADABLE")
        });
        tally.holds("a registered file that is closed is set aside", aside || !is_root(), state());
        tally.same("and stays registered", &before.len(), &state().digests.len());
    }
    let open = holds_within(PATIENCE, || !state().quarantine.contains_key(name));
    tally.holds(
        "once it is open it is as before",
        open && state().digests.len() == before.len(),
        state(),
    );
    let served = before.iter().all(|it| member.get(&it.name, "doctor").0.code == 0);
    tally.holds("and everything is served", served, "not served");
}

/// What a gateway does not start with.
fn what_is_refused(tally: &mut Tally, house: &House<'_>) {
    let folder = &house.member.folder;
    let keys = fs::read_dir(folder.join("keys")).expect("keys").map(|it| it.expect("a key").path());
    let mut cases: Vec<(PathBuf, u32)> = keys.map(|key| (key, 0o644)).collect();
    cases.sort();
    for (file, mode) in [
        ("tls/federation.key", 0o644),
        ("tls/local.key", 0o604),
        ("tls/federation.key", 0o000),
        ("keys", 0o000),
        ("policy", 0o000),
        ("policy/treatment.cedar", 0o000),
        ("gateway.toml", 0o000),
        ("data", 0o000),
        ("data/ledger.redb", 0o000),
        ("data/ledger.redb", 0o444),
        ("data/payloads.redb", 0o444),
        ("data/index.redb", 0o000),
        // Nothing is served that the audit log does not take.
        ("data/audit.redb", 0o000),
        ("data/audit.redb", 0o444),
        ("signing.gate", 0o000),
    ] {
        cases.push((folder.join(file), mode));
    }
    for (path, mode) in cases {
        let name = path.strip_prefix(folder).expect("inside").display().to_string();
        let _closed = Mode::set(path, mode);
        let ended = house.start();
        let (code, said) = match &ended {
            Ok(_) => (0, fs::read_to_string(house.log()).unwrap_or_default()),
            Err((code, log)) => (*code, log.clone()),
        };
        println!("{name} {mode:o}: {code}: {}", said.lines().last().unwrap_or_default());
        tally.holds(&format!("no start with {name} at mode {mode:o}"), code != 0, &said);
        let names_it = said.contains(name.rsplit('/').next().unwrap_or_default());
        tally.holds(&format!("the refusal names {name} at mode {mode:o}"), names_it, &said);
        tally.holds(
            &format!("no panic with {name} at mode {mode:o}"),
            !said.contains("panicked"),
            &said,
        );
    }
    let again = house.start().map_err(|(_, log)| log);
    tally.holds("with everything as it was it starts", again.is_ok(), again.err());
}
