//! A federation as its stewards found it: two offices, one CA, members by their cards, all with the command line.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::binary::{Ended, run};
use super::configuration::{CARE_RECORD, OPERATIONS, configuration};
use super::heads::{Heads, await_equal};
use super::member::Member;
use super::place::Place;
use super::wait::PATIENCE;

/// In this order they are founders; the names sort otherwise, so that who dials whom is not always the same.
const NAMES: [&str; 5] = [
    "hospital-nord.example",
    "laegehuset.example",
    "kommunen.example",
    "laboratoriet.example",
    "hospital-syd.example",
];
const STEWARDS: [&str; 2] = ["regional-board", "municipal-board"];

/// A federation in a temporary folder, which stays when a test fails.
#[derive(Debug)]
pub struct Federation {
    /// Its id.
    pub id: String,
    /// Its members, founders first.
    pub members: Vec<Member>,
    root: PathBuf,
    folder: Option<tempfile::TempDir>,
}

impl Federation {
    /// Two stewards found a federation of `count` members. Nothing runs yet.
    pub fn found(count: usize) -> Self {
        Self::found_at(vec![Place::here(); count])
    }

    /// As [`Federation::found`], each member at a place of its own.
    pub fn found_at(places: Vec<Place>) -> Self {
        let count = places.len();
        let folder = tempfile::Builder::new().prefix("sundbro-test-").tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        let id = String::new();
        let mut federation = Self { id, members: Vec::new(), root, folder: Some(folder) };
        fs::create_dir_all(federation.stewards()).expect("a folder");
        fs::create_dir_all(federation.charters()).expect("a folder");
        for place in places {
            let member = federation.prepare(None, place);
            federation.members.push(member);
        }
        federation.write_first_charter();
        federation.id = federation.steward(&["--json", "charter", "show", &federation.charter(1)])
            ["digest"]
            .as_str()
            .expect("a digest")
            .to_owned();
        for index in 0..count {
            federation.init(index);
        }
        federation
    }

    /// As [`Federation::found`], with every gateway running.
    pub fn running(count: usize) -> Self {
        let mut federation = Self::found(count);
        federation.members.iter_mut().for_each(Member::start);
        federation
    }

    /// A member.
    pub fn at(&mut self, index: usize) -> &mut Member {
        &mut self.members[index]
    }

    /// Waits until all members that run are equal in everything.
    pub fn await_equal(&self) -> Heads {
        self.await_equal_within(PATIENCE)
    }

    /// As [`Federation::await_equal`], within a time that was promised.
    pub fn await_equal_within(&self, within: Duration) -> Heads {
        let up: Vec<&Member> = self.members.iter().filter(|member| member.is_up()).collect();
        await_equal(&up, within)
    }

    /// Stops every gateway and verifies every data folder.
    pub fn finish(mut self) {
        for member in &mut self.members {
            if member.is_up() {
                member.stop();
            }
            member.verifies();
        }
    }

    // ---- what stewards do ------------------------------------------------------------------------------------------

    /// A newcomer's card is taken into the next charter version, which the first member's gateway gets.
    pub fn admit(&mut self) -> usize {
        let id = self.id.clone();
        let newcomer = self.prepare(Some(&id), Place::here());
        let card = newcomer.folder.join("member.card").display().to_string();
        self.members.push(newcomer);
        let authority = self.authority();
        let version = self.propose(&["--add", &card, "--ca", &authority]);
        let charter = self.charter(version);
        self.members[0]
            .sundbro(&["charter", "publish", &charter, "--client", "operations.toml"])
            .good();
        let index = self.members.len() - 1;
        self.init(index);
        index
    }

    /// A member is suspended, which starts a subject epoch; the operator of member `at` publishes it.
    pub fn suspend(&mut self, index: usize, at: usize) -> u64 {
        let name = self.members[index].name.clone();
        self.amend_with_epoch(&["--suspend", &name], at)
    }

    /// The next charter, changed as `charter propose` is told, with a new subject epoch; the operator of member `at`
    /// publishes it.
    pub fn amend_with_epoch(&mut self, changes: &[&str], at: usize) -> u64 {
        let epochs = self.stewards().join("next-subject");
        fs::create_dir_all(&epochs).expect("a folder");
        let number = fs::read_dir(&epochs).expect("keys").count();
        let key = epochs.join(format!("{number}.key")).display().to_string();
        let version = self.propose(&[changes, &["--subject-key", &key]].concat());
        let charter = self.charter(version);
        let publish =
            ["charter", "publish", &charter, "--client", "operations.toml", "--subject-key", &key];
        self.members[at].sundbro(&publish).good();
        version
    }

    /// The next charter, changed as `charter propose` is told; the operator of member `at` publishes it.
    pub fn amend(&mut self, changes: &[&str], at: usize) -> u64 {
        let version = self.propose(changes);
        let charter = self.charter(version);
        let publish = ["charter", "publish", &charter, "--client", "operations.toml"];
        self.members[at].sundbro(&publish).good();
        version
    }

    /// Where the stewards keep their CA, as `certs dev` writes it.
    pub fn pki(&self) -> PathBuf {
        self.stewards().join("pki")
    }

    fn propose(&self, changes: &[&str]) -> u64 {
        let charters = self.charters().display().to_string();
        let proposal = self.stewards().join("next.charter").display().to_string();
        let head = ["charter", "propose", "--history", &charters, "--out", &proposal];
        self.steward(&[&head, changes].concat());
        for office in STEWARDS {
            let key = format!("{office}.pem");
            self.steward(&["charter", "sign", &proposal, "--history", &charters, "--key", &key]);
        }
        let version = fs::read_dir(self.charters()).expect("charters").count() as u64 + 1;
        fs::rename(proposal, self.charter(version)).expect("the charter is kept");
        version
    }

    fn write_first_charter(&self) {
        let out = self.charter(1);
        let mut arguments = vec!["charter".to_owned(), "found".to_owned()];
        for office in STEWARDS {
            let made =
                run(&self.stewards(), &["charter", "steward-key", &format!("{office}.pem")], "");
            let public = made.good().stdout.trim().to_owned();
            arguments.extend(["--steward".to_owned(), format!("{office}={public}")]);
        }
        for member in &self.members {
            let card = member.folder.join("member.card").display().to_string();
            arguments.extend(["--card".to_owned(), card]);
        }
        // The first member holds the subject key first and grants it to the others.
        let key = self.members[0].folder.join("keys/subject-epoch-1.key").display().to_string();
        for (name, value) in
            [("--ca", self.authority()), ("--subject-key", key), ("--out", out.clone())]
        {
            arguments.extend([name.to_owned(), value]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.steward(&arguments);
        for office in STEWARDS {
            self.steward(&["charter", "sign", &out, "--key", &format!("{office}.pem")]);
        }
    }

    // ---- how a member is set up ------------------------------------------------------------------------------------

    /// Folder, certificates, client files, keys and card of the next member.
    fn prepare(&self, federation: Option<&str>, place: Place) -> Member {
        let name = NAMES[self.members.len()].to_owned();
        let folder = self.root.join(&name);
        for inside in ["tls", "documents", "scratch"] {
            fs::create_dir_all(folder.join(inside)).expect("a folder");
        }
        let pki = self.pki();
        let pki_text = pki.display().to_string();
        self.steward(&[
            "certs",
            "dev",
            &pki_text,
            "--member",
            &name,
            "--host",
            "127.0.0.1",
            "--host",
            place.host(),
            "--client",
            CARE_RECORD,
            "--client",
            OPERATIONS,
        ]);
        copy_files(&pki, &folder.join("tls"));
        // The CA's own key stays with the stewards.
        drop(fs::remove_file(folder.join("tls/ca.key")));
        copy_files(&pki.join(&name), &folder.join("tls"));
        let member = Member::new(name, folder, place, (free_port(), free_port()));
        for (file, client) in [("care-record.toml", CARE_RECORD), ("operations.toml", OPERATIONS)] {
            let text = format!(
                "address = \"{}\"\nca = \"tls/ca.pem\"\ncertificate = \"tls/{client}.pem\"\n\
                 key = \"tls/{client}.key\"\n",
                member.local_address
            );
            fs::write(member.folder.join(file), text).expect("a client file");
        }
        let mut arguments = vec![
            "member",
            "init",
            "--name",
            &member.name,
            "--display-name",
            &member.name,
            "--role",
            "hospital",
            "--endpoint",
            &member.federation_address,
            "--keys",
            "keys",
            "--card",
            "member.card",
        ];
        let version = fs::read_dir(self.charters()).expect("charters").count() + 1;
        let version = version.to_string();
        if let Some(federation) = federation {
            arguments.extend(["--federation", federation, "--charter-version", &version]);
        }
        member.sundbro(&arguments).good();
        member
    }

    fn init(&mut self, index: usize) {
        self.members[index].federation = self.id.clone();
        let (member, charters) = (&self.members[index], self.charters().display().to_string());
        fs::write(member.folder.join("gateway.toml"), configuration(member, &self.id))
            .expect("a configuration");
        let arguments = ["init", "--config", "gateway.toml", "--charter", &charters];
        run(&member.folder, &arguments, &format!("{}\n", self.id)).good();
    }

    fn authority(&self) -> String {
        let names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        format!("{}={}", self.pki().join("ca.pem").display(), names.join(","))
    }

    fn steward(&self, arguments: &[&str]) -> serde_json::Value {
        let ended: Ended = run(&self.stewards(), arguments, "");
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.stderr);
        ended.json()
    }

    fn stewards(&self) -> PathBuf {
        self.root.join("stewards")
    }

    fn charters(&self) -> PathBuf {
        self.root.join("charters")
    }

    /// The file of one charter version.
    pub fn charter(&self, version: u64) -> String {
        self.charters().join(format!("{version:04}.charter")).display().to_string()
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for member in &self.members {
                eprintln!("== the end of the log of {}:\n{}", member.name, member.last_lines());
            }
            if let Some(folder) = self.folder.take() {
                eprintln!("== everything is kept in {}", folder.keep().display());
            }
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

/// A port that stays free until a gateway takes it, and over its restarts: below those that the operating system gives
/// to callers and those that the demo takes, and not handed out twice.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + (std::process::id() % 99) as u16 * 100;
    for _ in 0..100 {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {first} on is free");
}
