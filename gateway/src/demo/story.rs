//! The story: ten steps, each of which claims something and checks it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::documents::{SUBJECT_SYSTEM, SUBJECT_VALUE};
use super::layout::{HOSPITAL, LATE, Layout, MUNICIPALITY, ORGANISATIONS};
use super::process::{Ended, Gateway, run, run_with_input, wait_until};
use super::setup::{self, Problem, must};
use super::{DemoError, Options};
use crate::cli::{Exit, Output};

/// How long anything may take that usually takes a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the steps work on.
pub(super) struct Story {
    pub(super) layout: Layout,
    pub(super) real_documents: Option<PathBuf>,
    pub(super) federation: String,
    pub(super) gateways: [Option<Gateway>; 5],
    /// How long to wait before a claim is given up.
    pub(super) patience: Duration,
    say: fn(&str),
}

type Run = fn(&mut Story) -> Result<(), Problem>;

/// The steps in order: name, what it shows, and how.
const STORY: [(&str, &str, Run); 10] = [
    ("found", "Two stewards found a federation of four organisations", Story::found),
    ("start", "Four gateways start and find each other", Story::start),
    (
        "publish",
        "Each publishes pointers to its records; the records stay where they are",
        Story::publish,
    ),
    ("locate", "The municipality's health visitor asks who holds what", Story::locate),
    ("retrieve", "She fetches the hospital's scan, and both sides keep proof", Story::retrieve),
    ("refuse", "Somebody without a reason is refused", Story::refuse),
    ("outage", "Hospital Nord goes down; answers say what they cannot know", Story::outage),
    ("heal", "Hospital Nord is back", Story::heal),
    ("join", "Hospital Syd joins late and catches up", Story::join),
    ("tamper", "One byte is flipped in a copy of a log", Story::tamper),
];

/// The names of all steps.
pub const STEPS: [&str; 10] = [
    STORY[0].0, STORY[1].0, STORY[2].0, STORY[3].0, STORY[4].0, STORY[5].0, STORY[6].0, STORY[7].0,
    STORY[8].0, STORY[9].0,
];

/// Tells the story from beginning to end; without `--once`, stays.
pub(super) fn tell(options: &Options, output: Output) -> Result<(), DemoError> {
    let begin = |error: std::io::Error| DemoError::Begin(error.to_string());
    let (root, temporary) = match &options.dir {
        Some(dir) => (dir.clone(), None),
        None => {
            let folder =
                tempfile::Builder::new().prefix("sundbro-demo-").tempdir().map_err(begin)?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    #[cfg(feature = "sabotage")]
    if let Some(step) = options.sabotage.as_deref().filter(|step| !STEPS.contains(step)) {
        return Err(DemoError::Begin(format!("there is no step {step}; steps are {STEPS:?}")));
    }
    let real_documents = options
        .documents
        .as_ref()
        .map(|folder| folder.canonicalize())
        .transpose()
        .map_err(begin)?;
    let mut story = Story {
        layout: Layout::new(&root).map_err(begin)?,
        real_documents,
        federation: String::new(),
        gateways: [const { None }; 5],
        patience: PATIENCE,
        say: if output.is_json() { |_| {} } else { |line| println!("     {line}") },
    };
    for (number, (step, shows, run)) in STORY.into_iter().enumerate() {
        if !output.is_json() {
            println!("\n{:>2}. {shows}", number + 1);
        }
        #[cfg(feature = "sabotage")]
        super::sabotage::prepare(&mut story, options.sabotage.as_deref(), step);
        let result = run(&mut story);
        if output.is_json() {
            println!("{}", serde_json::json!({ "step": step, "held": result.is_ok() }));
        }
        if let Err(problem) = result {
            // What happened can be looked at: the folder stays.
            let kept = temporary.map_or(root, tempfile::TempDir::keep);
            return Err(DemoError::Step { step, problem, kept });
        }
    }
    if options.once {
        story.gateways.iter_mut().for_each(|gateway| drop(gateway.take()));
        if !output.is_json() {
            println!("\nEvery step held.");
        }
        return Ok(());
    }
    story.stay().map_err(begin)
}

impl Story {
    fn say(&self, line: impl AsRef<str>) {
        (self.say)(line.as_ref());
    }

    /// Runs a command in an organisation's folder.
    pub(super) fn at(&self, who: usize, arguments: &[&str]) -> Result<Ended, Problem> {
        run(&self.layout.folder(who), arguments).map_err(|error| error.to_string())
    }

    /// Asks an organisation's gateway what it knows about the woman.
    pub(super) fn locate_at(&self, who: usize) -> Result<Value, Problem> {
        let arguments = [
            "--json",
            "record",
            "locate",
            "--client",
            "care-record.toml",
            "--system",
            SUBJECT_SYSTEM,
        ];
        let folder = self.layout.folder(who);
        let ended = run_with_input(&folder, &arguments, SUBJECT_VALUE)
            .map_err(|error| error.to_string())?;
        match ended.code {
            0 => Ok(ended.json()),
            code => Err(format!("locate exited {code}: {}", ended.stderr.trim())),
        }
    }

    /// Waits until an organisation sees `count` records of the woman, with coverage complete or not.
    fn await_located(&self, who: usize, count: usize, complete: bool) -> Result<Value, Problem> {
        let mut last = Err("nothing was asked".to_owned());
        let found = wait_until(self.patience, || {
            last = self.locate_at(who);
            last.as_ref().is_ok_and(|answer| {
                pointers(answer).len() == count
                    && answer["coverage"]["replication_complete"] == Value::Bool(complete)
            })
        });
        let answer = last?;
        if found {
            return Ok(answer);
        }
        Err(format!(
            "{} sees {} records (claimed: {count}); coverage says: {}",
            ORGANISATIONS[who].title,
            pointers(&answer).len(),
            text(&answer["coverage"]["summary"]),
        ))
    }

    fn running(&self) -> usize {
        self.gateways.iter().flatten().count()
    }

    pub(super) fn start_one(&mut self, who: usize) -> Result<(), Problem> {
        let gateway =
            Gateway::start(&self.layout.folder(who)).map_err(|error| error.to_string())?;
        self.gateways[who] = Some(gateway);
        let arguments = ["--json", "status", "--client", "operations.toml"];
        let answers = wait_until(self.patience, || {
            self.at(who, &arguments).is_ok_and(|ended| ended.code == 0)
        });
        if answers {
            return Ok(());
        }
        let log = self.layout.folder(who).join("gateway.log");
        let lines = std::fs::read_to_string(&log).unwrap_or_default();
        let last = lines.lines().last().unwrap_or("it said nothing");
        Err(format!("the gateway of {} does not answer: {last}", ORGANISATIONS[who].title))
    }

    fn found(&mut self) -> Result<(), Problem> {
        self.federation = setup::found(&self.layout)?;
        for organisation in &ORGANISATIONS[..LATE] {
            self.say(format!("{:<22} {}", organisation.name, organisation.title));
        }
        self.say(format!("federation id {}", self.federation));
        Ok(())
    }

    fn start(&mut self) -> Result<(), Problem> {
        if let Some(folder) = self.real_documents.clone() {
            let text = self.layout.configuration(HOSPITAL, &self.federation, Some(&folder));
            let file = self.layout.folder(HOSPITAL).join("gateway.toml");
            std::fs::write(file, text).map_err(|error| error.to_string())?;
        }
        for who in 0..LATE {
            self.start_one(who)?;
        }
        for (who, organisation) in ORGANISATIONS[..LATE].iter().enumerate() {
            let all = self.running() - 1;
            let mut seen = 0;
            let met = wait_until(self.patience, || {
                let status = self.at(who, &["--json", "status", "--client", "operations.toml"]);
                seen = status.map_or(0, |ended| reachable(&ended.json()));
                seen == all
            });
            if !met {
                let title = organisation.title;
                return Err(format!("{title} reaches {seen} of {all} other gateways"));
            }
        }
        self.say(
            "each holds an open connection to each: mutual TLS 1.3, certificates name the member",
        );
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Problem> {
        for who in 0..LATE {
            self.await_published(who)?;
        }
        if self.real_documents.is_some() {
            self.show_real_documents()?;
        }
        Ok(())
    }

    /// Waits until the organisation's gateway has registered its own synthetic documents.
    fn await_published(&self, who: usize) -> Result<(), Problem> {
        let organisation = &ORGANISATIONS[who];
        let mut seen = 0;
        let done = wait_until(self.patience, || {
            seen = self.locate_at(who).map_or(0, |answer| {
                let own = |pointer: &&Value| text(&pointer["custodian"]) == organisation.name;
                pointers(&answer).iter().filter(own).count()
            });
            seen == organisation.documents()
        });
        if !done {
            let (title, wanted) = (organisation.title, organisation.documents());
            return Err(format!("{title} registered {seen} of {wanted} documents"));
        }
        for document in organisation.sources.iter().flat_map(|(_, documents)| *documents) {
            self.say(format!(
                "{:<22} week {:>2}  {}",
                organisation.name, document.week, document.title
            ));
        }
        Ok(())
    }

    /// What became of the folder of real documents: registered or quarantined, each with its reason.
    fn show_real_documents(&self) -> Result<(), Problem> {
        let arguments = ["--json", "status", "--client", "operations.toml"];
        let mut status = Value::Null;
        let scanned = wait_until(self.patience, || {
            status = self.at(HOSPITAL, &arguments).map_or(Value::Null, |ended| ended.json());
            adapter(&status, "real")["scanned"] == Value::Bool(true)
        });
        if !scanned {
            return Err("the folder of real documents was not read to its end".to_owned());
        }
        let records = adapter(&status, "real")["records"].as_u64().unwrap_or(0);
        self.say(format!(
            "{:<22} {records} real documents registered",
            ORGANISATIONS[HOSPITAL].name
        ));
        let list = ["--json", "quarantine", "list", "--client", "operations.toml"];
        let items = self.at(HOSPITAL, &list)?.json();
        for item in items["items"].as_array().into_iter().flatten() {
            let (key, reason) = (text(&item["source_key"]), text(&item["reason"]));
            self.say(format!("  not registered: {key}: {reason}"));
        }
        Ok(())
    }

    /// Whether a source of an organisation was read to its end, and holds `records` records.
    #[cfg(feature = "sabotage")]
    pub(super) fn has_scanned(&self, who: usize, source: &str, records: usize) -> bool {
        let status = self.at(who, &["--json", "status", "--client", "operations.toml"]);
        status.is_ok_and(|ended| {
            let status = ended.json();
            let adapter = adapter(&status, source);
            adapter["scanned"] == Value::Bool(true) && adapter["records"] == records
        })
    }

    fn all_documents(&self, members: usize) -> usize {
        ORGANISATIONS[..members].iter().map(super::layout::Organisation::documents).sum()
    }

    fn locate(&mut self) -> Result<(), Problem> {
        let answer = self.await_located(MUNICIPALITY, self.all_documents(LATE), true)?;
        for organisation in &ORGANISATIONS[..LATE] {
            let held = pointers(&answer)
                .iter()
                .filter(|pointer| text(&pointer["custodian"]) == organisation.name)
                .count();
            self.say(format!("{:<22} holds {held} records about her", organisation.name));
        }
        self.say(format!("coverage: {}", text(&answer["coverage"]["summary"])));
        Ok(())
    }

    /// The hospital's first scan, as the municipality sees it.
    pub(super) fn scan_pointer(&self) -> Result<String, Problem> {
        let answer = self.locate_at(MUNICIPALITY)?;
        pointers(&answer)
            .iter()
            .find(|pointer| {
                text(&pointer["custodian"]) == ORGANISATIONS[HOSPITAL].name
                    && text(&pointer["detail"]["class_code"]) == "11525-3"
            })
            .map(|pointer| text(&pointer["name"]).to_owned())
            .ok_or_else(|| "no scan of the hospital is located".to_owned())
    }

    fn get(&self, record: &str, role: &str, out: &str) -> Result<Ended, Problem> {
        let receipt = format!("{out}.receipt");
        self.at(
            MUNICIPALITY,
            &[
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
                out,
                "--receipt",
                &receipt,
            ],
        )
    }

    fn retrieve(&mut self) -> Result<(), Problem> {
        let record = self.scan_pointer()?;
        let got = self.get(&record, "health-visitor", "scan.xml")?;
        if got.code != 0 {
            return Err(format!("the scan was not fetched: {}", got.stderr.trim()));
        }
        let fetched = self.layout.folder(MUNICIPALITY).join("scan.xml");
        let bytes = std::fs::read(&fetched).map_err(|error| error.to_string())?;
        let source = self.layout.documents(HOSPITAL, "documents").join("obstetrics");
        if !holds_file_with(&source, &bytes) {
            return Err("what came is not what lies in the hospital's folder".to_owned());
        }
        self.say(format!("{} bytes, the same as in the hospital's folder", bytes.len()));
        let verified = self.at(
            MUNICIPALITY,
            &["--json", "verify", "receipt", "scan.xml.receipt", "--federation", &self.federation],
        )?;
        if verified.code != 0 || text(&verified.json()["verdict"]) != "COMPLETE" {
            return Err(format!("the receipt does not verify: {}", verified.stderr.trim()));
        }
        self.say("the receipt verifies offline: who asked, why, what was sent, what arrived");
        Ok(())
    }

    fn refuse(&mut self) -> Result<(), Problem> {
        let record = self.scan_pointer()?;
        let got = self.get(&record, "clerk", "not-for-clerks.xml")?;
        if got.code != Exit::Denied as i32 {
            return Err(format!("a clerk's request ended with {} instead of 4", got.code));
        }
        if self.layout.folder(MUNICIPALITY).join("not-for-clerks.xml").exists() {
            return Err("a refused request left a file".to_owned());
        }
        self.say("a clerk gets the same answer as for a record that does not exist (exit code 4)");
        let arguments =
            ["--json", "audit", "list", "--client", "operations.toml", "--record", &record];
        let audit = self.at(HOSPITAL, &arguments)?.json();
        let kinds: Vec<&str> = audit["entries"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| text(&entry["kind"]))
            .collect();
        for kind in ["GRANTED", "REFUSED"] {
            if !kinds.contains(&kind) {
                return Err(format!("the hospital's audit log shows no {kind}"));
            }
        }
        self.say("the hospital's audit log shows both: the permit with its rule, and the refusal");
        Ok(())
    }

    fn outage(&mut self) -> Result<(), Problem> {
        let record = self.scan_pointer()?;
        if let Some(gateway) = self.gateways[HOSPITAL].take() {
            gateway.stop();
        }
        let answer = self.await_located(MUNICIPALITY, self.all_documents(LATE), false)?;
        self.say(format!("all {} pointers are still here", pointers(&answer).len()));
        self.say(format!("coverage: {}", text(&answer["coverage"]["summary"])));
        if !answer["coverage"]["logs"].as_array().into_iter().flatten().any(|log| {
            text(&log["member"]) == ORGANISATIONS[HOSPITAL].name
                && log["reachable"] == Value::Bool(false)
        }) {
            return Err("coverage does not say that the hospital is not reachable".to_owned());
        }
        let got = self.get(&record, "health-visitor", "not-now.xml")?;
        if got.code != Exit::Unavailable as i32 {
            return Err(format!("a fetch from a stopped hospital ended with {}", got.code));
        }
        self.say("a fetch says that the hospital is not reachable (exit code 5)");
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Problem> {
        self.start_one(HOSPITAL)?;
        let answer = self.await_located(MUNICIPALITY, self.all_documents(LATE), true)?;
        self.say(format!("coverage: {}", text(&answer["coverage"]["summary"])));
        let record = self.scan_pointer()?;
        let got = self.get(&record, "health-visitor", "scan-again.xml")?;
        if got.code != 0 {
            return Err(format!("the scan was not fetched again: {}", got.stderr.trim()));
        }
        self.say("the scan can be fetched again");
        Ok(())
    }

    fn join(&mut self) -> Result<(), Problem> {
        setup::admit_late(&self.layout, &self.federation)?;
        self.start_one(LATE)?;
        self.await_published(LATE)?;
        let all = self.all_documents(LATE + 1);
        self.await_located(LATE, all, true)?;
        self.say(format!("Hospital Syd locates all {all} records"));
        let answer = self.await_located(MUNICIPALITY, all, true)?;
        self.say(format!(
            "the municipality sees its record too; {}",
            text(&answer["coverage"]["summary"])
        ));
        // Each vouches for what is new in the others' logs, so for some seconds after the last record all logs still grow.
        let mut roots = Ok(Vec::new());
        let equal = wait_until(self.patience, || {
            roots = self.index_roots();
            roots.as_ref().is_ok_and(|roots| roots.iter().all(|root| *root == roots[0]))
        });
        let roots = roots?;
        if !equal || roots[0].is_empty() {
            return Err(format!("the five indexes differ: {roots:?}"));
        }
        self.say(format!("all five indexes have the same root {}…", &roots[0][..16]));
        Ok(())
    }

    /// The index root of each of the five.
    fn index_roots(&self) -> Result<Vec<String>, Problem> {
        let root = |who| {
            let logs = self.at(who, &["--json", "log", "list", "--client", "care-record.toml"])?;
            Ok(text(&logs.json()["index_root"]).to_owned())
        };
        (0..=LATE).map(root).collect()
    }

    fn tamper(&mut self) -> Result<(), Problem> {
        for gateway in &mut self.gateways {
            drop(gateway.take());
        }
        for who in 0..=LATE {
            self.verify_data(who)?;
        }
        self.say("stopped; every signature, link, proof and row on all five disks verifies");
        let original = self.layout.folder(MUNICIPALITY).join("data");
        let copy = self.layout.root().join("copy-of-the-municipality");
        copy_folder(&original, &copy).map_err(|error| error.to_string())?;
        let member = ORGANISATIONS[HOSPITAL].name;
        let position = 2;
        let entry = self.entry(member, position)?;
        flip_in_file(&copy.join("ledger.redb"), &entry)?;
        let copy_text = copy.display().to_string();
        let gate = self.layout.folder(MUNICIPALITY).join("signing.gate").display().to_string();
        let found = self.at(
            MUNICIPALITY,
            &["verify", &copy_text, "--federation", &self.federation, "--gate", &gate],
        )?;
        if found.code != Exit::Integrity as i32 {
            return Err(format!("verify exited {} for a flipped byte", found.code));
        }
        let names = format!("position {position}");
        let everything = format!("{}{}", found.stdout, found.stderr);
        match everything.lines().find(|line| line.contains(&names)) {
            Some(line) => self.say(line.trim()),
            None => return Err(format!("verify does not name the position: {everything}")),
        }
        Ok(())
    }

    fn verify_data(&self, who: usize) -> Result<(), Problem> {
        let folder = self.layout.folder(who);
        must(
            &folder,
            &["verify", "data", "--federation", &self.federation, "--gate", "signing.gate"],
        )
        .map(drop)
    }

    /// Bytes of one entry, from the municipality's replica on disk.
    fn entry(&self, member: &str, position: u64) -> Result<Vec<u8>, Problem> {
        let position = position.to_string();
        let shown = must(
            &self.layout.folder(MUNICIPALITY),
            &[
                "--json",
                "log",
                "entry",
                member,
                &position,
                "--data",
                "data",
                "--federation",
                &self.federation,
            ],
        )?;
        hex::decode(text(&shown.json()["entry"])).map_err(|_| "the entry is not shown".to_owned())
    }

    /// Starts everything again and tells how to talk to it, until the demo is stopped.
    fn stay(&mut self) -> std::io::Result<()> {
        for who in 0..=LATE {
            self.start_one(who).map_err(std::io::Error::other)?;
        }
        println!("\nFive gateways are running. In another terminal:\n");
        println!("  cd {}", self.layout.folder(MUNICIPALITY).display());
        println!(
            "  echo {SUBJECT_VALUE} | sundbro record locate --client care-record.toml --system {SUBJECT_SYSTEM}"
        );
        println!("  sundbro status --client operations.toml");
        println!("  sundbro log list --client care-record.toml");
        println!(
            "\nDocuments lie in {}/*/documents: add, change or remove some.",
            self.layout.root().display()
        );
        println!("Press Enter to stop.");
        std::io::stdin().read_line(&mut String::new()).map(drop)
    }
}

fn pointers(answer: &Value) -> &[Value] {
    answer["pointers"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn reachable(status: &Value) -> usize {
    let logs = status["coverage"]["logs"].as_array().into_iter().flatten();
    let own = text(&status["member"]);
    logs.filter(|log| log["reachable"] == Value::Bool(true) && text(&log["member"]) != own).count()
}

fn adapter<'a>(status: &'a Value, name: &str) -> &'a Value {
    let found = status["adapters"].as_array().into_iter().flatten();
    found.into_iter().find(|adapter| text(&adapter["name"]) == name).unwrap_or(&Value::Null)
}

fn holds_file_with(folder: &Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.into_iter().any(|file| std::fs::read(file.path()).is_ok_and(|found| found == bytes))
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Flips one bit in the middle of `needle`, in every place where it stands in a file: pages that the database has written
/// anew elsewhere keep their old content, and a byte that nobody reads any more is no damage.
fn flip_in_file(file: &Path, needle: &[u8]) -> Result<(), Problem> {
    let mut bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let standing = bytes.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let places: Vec<usize> = standing.map(|(at, _)| at).collect();
    if places.is_empty() {
        return Err(format!("the entry does not stand in {}", file.display()));
    }
    for at in places {
        bytes[at + needle.len() / 2] ^= 1;
    }
    std::fs::write(file, bytes).map_err(|error| error.to_string())
}
