//! One member of a federation: its folder, its documents, its gateway, and what its command line answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use super::answer::{Coverage, Logs, Pointer, Pointers, Status, TransactionState};
use super::binary::{Ended, run_at};
use super::configuration::observing;
use super::documents::{Document, SUBJECT_SYSTEM, SUBJECT_VALUE};
use super::gateway::{Gateway, StopAt, last_lines};
use super::heads::Heads;
use super::place::Place;
use super::wait::{PATIENCE, eventually, holds_within, hurried};

/// Most records that one `record list` asks for.
const LIST_MAX: &str = "500";

/// What one member's gateway located about the person.
#[derive(Debug, Clone)]
pub struct Located {
    /// Pointers to records that are not withdrawn.
    pub pointers: Vec<Pointer>,
    /// How much was looked at.
    pub coverage: Coverage,
}

impl Located {
    /// Whether the details of all pointers are here: they come after what refers to them.
    pub fn is_whole(&self) -> bool {
        self.pointers.iter().all(|pointer| pointer.detail.is_some())
    }

    /// How many records one member holds.
    pub fn of(&self, custodian: &str) -> usize {
        self.pointers.iter().filter(|pointer| pointer.custodian == custodian).count()
    }
}

/// One organisation.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its folder: configuration, keys, certificates, `documents`, `data`, `signing.gate`.
    pub folder: PathBuf,
    /// Where its gateway listens for members.
    pub federation_address: String,
    /// Where its gateway listens for its own systems.
    pub local_address: String,
    pub(super) federation: String,
    pub(super) place: Place,
    pub(super) gateway: Option<Gateway>,
    numbers: AtomicUsize,
}

impl Member {
    pub(super) fn new(name: String, folder: PathBuf, place: Place, ports: (u16, u16)) -> Self {
        Self {
            name,
            folder,
            federation_address: format!("{}:{}", place.host(), ports.0),
            local_address: format!("127.0.0.1:{}", ports.1),
            federation: String::new(),
            place,
            gateway: None,
            numbers: AtomicUsize::new(0),
        }
    }

    // ---- the process -----------------------------------------------------------------------------------------------

    /// Starts the gateway and waits until it listens.
    pub fn start(&mut self) {
        assert!(self.gateway.is_none(), "{} runs already", self.name);
        self.gateway = Some(self.launch(None));
    }

    /// From its next start on the gateway speaks these versions of the protocol.
    pub fn speaks(&mut self, versions: &str) {
        self.place = self.place.clone().with("SUNDBRO_PROTOCOLS", versions);
    }

    /// Starts a gateway that blocks in a window of the append path; the file that is returned says that it does.
    pub fn start_stopping_at(&mut self, point: &'static str, skip: u32) -> PathBuf {
        assert!(self.gateway.is_none(), "{} runs already", self.name);
        let reached = self.folder.join("stopped-here");
        drop(fs::remove_file(&reached));
        let stop_at = StopAt { point, skip, reached: reached.clone() };
        self.gateway = Some(self.launch(Some(&stop_at)));
        reached
    }

    fn launch(&self, stop_at: Option<&StopAt>) -> Gateway {
        Gateway::start(&self.place, &self.folder, &self.local_address, stop_at)
    }

    /// Lets the gateway finish and end.
    pub fn stop(&mut self) {
        self.gateway.take().expect("a running gateway").stop();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut gateway = self.gateway.take().expect("a running gateway");
        assert!(gateway.is_running(), "{} ended by itself:\n{}", self.name, gateway.last_lines());
        gateway.kill();
    }

    /// Whether it was started and neither stopped nor killed.
    pub fn is_up(&self) -> bool {
        self.gateway.is_some()
    }

    /// The process of its gateway.
    pub fn process(&self) -> u32 {
        self.gateway.as_ref().expect("a running gateway").id()
    }

    /// The end of its log.
    pub fn last_lines(&self) -> String {
        last_lines(&self.folder.join("gateway.log"))
    }

    /// Whether a line of its log holds all of `words`.
    pub fn has_logged(&self, words: &[&str]) -> bool {
        let text = fs::read_to_string(self.folder.join("gateway.log")).unwrap_or_default();
        text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    }

    /// Waits until files of the data folder were written `changes` times; false when they were not within a moment.
    pub fn writes(&self, files: &[&str], changes: u64) -> bool {
        let looks = || -> Vec<Option<SystemTime>> {
            let time = |file: &&str| fs::metadata(self.data().join(file)).ok()?.modified().ok();
            files.iter().map(time).collect()
        };
        let mut before = looks();
        let mut seen = 0;
        hurried(std::time::Duration::from_secs(3), || {
            let now = looks();
            seen += u64::from(now != before);
            before = now;
            seen >= changes
        })
    }

    // ---- its folder ------------------------------------------------------------------------------------------------

    /// Its databases.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its documents lie.
    pub fn documents(&self) -> PathBuf {
        self.folder.join("documents")
    }

    /// Puts a new document into its folder.
    pub fn write_document(&self) -> Document {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let document = Document::numbered(&self.name, number);
        document.write(&self.documents(), &self.folder.join("scratch"));
        document
    }

    /// Puts a new scan of that size into its folder.
    pub fn write_scan(&self, size_bytes: usize) -> Document {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let document = Document::scan(&self.name, number, size_bytes);
        document.write(&self.documents(), &self.folder.join("scratch"));
        document
    }

    /// Puts several new documents into its folder.
    pub fn write_documents(&self, count: usize) -> Vec<Document> {
        (0..count).map(|_| self.write_document()).collect()
    }

    /// Adds lines to its configuration, for the next start.
    pub fn configure(&self, lines: &str) {
        let file = self.folder.join("gateway.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        fs::write(file, format!("{text}\n{lines}\n")).expect("the configuration is written");
    }

    /// From its next start on it vouches for the logs of others as soon as it may.
    pub fn observes(&self) {
        let file = self.folder.join("gateway.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        fs::write(file, observing(&text)).expect("the configuration is written");
    }

    /// How far the newest entry of its own log has come, if it answers.
    pub fn try_newest_state(&self) -> Option<TransactionState> {
        self.ask(&["log", "state"], "care-record.toml", "")
    }

    /// Puts lines before the first table of its configuration, for the next start.
    pub fn configure_first(&self, lines: &str) {
        let file = self.folder.join("gateway.toml");
        let text = fs::read_to_string(&file).expect("a configuration");
        fs::write(file, format!("{lines}\n{text}")).expect("the configuration is written");
    }

    // ---- what it answers -------------------------------------------------------------------------------------------

    /// Runs a command in its folder.
    pub fn sundbro(&self, arguments: &[&str]) -> Ended {
        run_at(&self.place, &self.folder, arguments, "")
    }

    fn ask<T: DeserializeOwned>(&self, arguments: &[&str], client: &str, input: &str) -> Option<T> {
        let arguments = [&["--json"], arguments, &["--client", client]].concat();
        let ended = run_at(&self.place, &self.folder, &arguments, input);
        // 5: it is not there, or not yet. Anything else would be a defect.
        assert!(
            matches!(ended.code, 0 | 5),
            "{}: {arguments:?}: {ended:?}\n{}",
            self.name,
            self.last_lines()
        );
        (ended.code == 0).then(|| {
            serde_json::from_str(&ended.stdout)
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ended.stdout))
        })
    }

    /// What its operator sees.
    pub fn status(&self) -> Status {
        self.try_status().expect("the gateway answers")
    }

    /// What its operator sees, if it answers.
    pub fn try_status(&self) -> Option<Status> {
        self.ask(&["status"], "operations.toml", "")
    }

    /// Its own records, newest first, if it answers.
    pub fn try_list(&self) -> Option<Vec<Pointer>> {
        let arguments = ["record", "list", "--max", LIST_MAX];
        let listed: Option<Pointers> = self.ask(&arguments, "care-record.toml", "");
        listed.map(|it| it.pointers.into_iter().filter(|pointer| !pointer.withdrawn).collect())
    }

    /// Waits until it lists all of `documents` among its own records.
    pub fn await_registered(&self, documents: &[Document]) {
        let mut listed = Vec::new();
        let all = || documents.iter().map(Document::digest);
        let done = holds_within(PATIENCE, || {
            listed = self.try_list().unwrap_or_default();
            all().all(|digest| listed.iter().any(|pointer| pointer.digest() == digest))
        });
        let missing =
            all().filter(|it| !listed.iter().any(|pointer| pointer.digest() == it)).count();
        assert!(done, "{} did not register {missing} documents:\n{}", self.name, self.last_lines());
    }

    /// Who holds what about the person.
    pub fn locate(&self) -> Located {
        self.try_locate().expect("the gateway answers")
    }

    /// Who holds what about the person, if it answers.
    pub fn try_locate(&self) -> Option<Located> {
        let arguments = ["record", "locate", "--system", SUBJECT_SYSTEM];
        let located: Pointers = self.ask(&arguments, "care-record.toml", SUBJECT_VALUE)?;
        let coverage = located.coverage.expect("every answer carries its coverage");
        Some(Located { pointers: located.pointers, coverage })
    }

    /// Waits until what it locates is as a test wants it.
    pub fn await_located(&self, what: &str, wanted: impl Fn(&Located) -> bool) -> Located {
        let mut last = None;
        let done = holds_within(PATIENCE, || {
            last = self.try_locate();
            last.as_ref().is_some_and(&wanted)
        });
        assert!(done, "{}: {what}; it locates {last:#?}\n{}", self.name, self.last_lines());
        last.expect("just located")
    }

    /// Fetches a record; how the command ended, and where the content would be.
    pub fn get(&self, record: &str, role: &str) -> (Ended, PathBuf) {
        static FILES: AtomicUsize = AtomicUsize::new(0);
        let out = format!("scratch/got-{}", FILES.fetch_add(1, Ordering::Relaxed));
        let receipt = format!("{out}.receipt");
        let arguments = [
            "--json",
            "record",
            "get",
            record,
            "--client",
            "care-record.toml",
            "--user",
            "u-4711",
            "--role",
            role,
            "--purpose",
            "TREAT",
            "--out",
            &out,
            "--receipt",
            &receipt,
        ];
        (run_at(&self.place, &self.folder, &arguments, ""), self.folder.join(out))
    }

    /// Fetches a record that must come, with a receipt that proves it.
    pub fn retrieve(&self, record: &str) -> Vec<u8> {
        let (ended, out) = self.get(record, "doctor");
        assert_eq!(ended.code, 0, "{} did not get {record}: {}", self.name, ended.stderr);
        let receipt = format!("{}.receipt", out.display());
        let arguments = ["--json", "verify", "receipt", &receipt, "--federation", &self.federation];
        let verdict = self.sundbro(&arguments).good().json();
        assert_eq!(verdict["verdict"], "COMPLETE");
        fs::read(out).expect("the content")
    }

    /// Heads of all logs and the index root, if it answers.
    pub fn try_heads(&self) -> Option<Heads> {
        let listed: Logs = self.ask(&["log", "list"], "care-record.toml", "")?;
        let head = |log: super::answer::LogCoverage| (log.member, (log.committed_size, log.root));
        let logs = listed.logs.into_iter().map(head).collect();
        Some(Heads { logs, index_root: listed.index_root })
    }

    /// Heads of all logs and the index root.
    pub fn heads(&self) -> Heads {
        self.try_heads().expect("the gateway answers")
    }

    /// Size of one log here.
    pub fn size_of(&self, member: &str) -> u64 {
        self.heads().logs.get(member).map_or(0, |(size, _)| *size)
    }

    /// Every log is followed: nobody's was stopped by anything that happened.
    pub fn follows_all(&self) {
        for log in self.status().coverage.logs {
            let (member, reason) = (&log.member, &log.state_reason);
            assert_eq!(
                log.state, "LOG_STATE_FOLLOWED",
                "at {}: log of {member}: {reason}",
                self.name
            );
        }
    }

    /// Waits until its first scan was taken, so that everything in its folder is registered.
    pub fn await_scanned(&self) -> Status {
        eventually("the folder is read to its end", || {
            self.try_status().filter(|status| status.adapters.iter().all(|adapter| adapter.scanned))
        })
    }

    /// `sundbro verify` of a data folder with a gate.
    pub fn verify(&self, data: &Path, gate: &Path) -> Ended {
        let (data, gate) = (data.display().to_string(), gate.display().to_string());
        self.sundbro(&["verify", &data, "--federation", &self.federation, "--gate", &gate])
    }

    /// `sundbro verify` of its own files, which must be sound.
    pub fn verifies(&self) {
        let ended = self.verify(&self.data(), &self.folder.join("signing.gate"));
        assert_eq!(ended.code, 0, "{}: {}{}", self.name, ended.stdout, ended.stderr);
    }
}
