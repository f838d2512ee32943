//! The table: what was put into a folder, what is expected of it, and what the gateway made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::harness::{Member, PATIENCE, holds_within};

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A record has its bytes.
    Registered,
    /// It is in quarantine with this reason.
    Quarantined(&'static str),
    /// Neither.
    Ignored,
}

/// What a gateway says of its folder.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Digests of the live records.
    pub digests: BTreeSet<String>,
    /// Reasons by item.
    pub quarantine: BTreeMap<String, String>,
}

impl Seen {
    /// Asks a member's gateway.
    pub fn of(member: &Member) -> Option<Self> {
        let listed = member.try_list()?;
        let items = member
            .sundbro(&["--json", "quarantine", "list", "--client", "operations.toml"])
            .good()
            .json();
        let text =
            |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
        let items = items["items"].as_array().cloned().unwrap_or_default();
        Some(Self {
            digests: listed.iter().map(|pointer| pointer.digest().to_owned()).collect(),
            quarantine: items
                .iter()
                .map(|it| (text(it, "source_key"), text(it, "reason")))
                .collect(),
        })
    }

    fn of_item(&self, key: &str, digest: Option<&str>) -> String {
        let registered = digest.is_some_and(|digest| self.digests.contains(digest));
        match (registered, self.quarantine.get(key)) {
            (true, None) => "registered".to_owned(),
            (false, Some(reason)) => reason.clone(),
            (false, None) => "ignored".to_owned(),
            (true, Some(reason)) => format!("registered and {reason}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Registered => "registered",
            Self::Quarantined(reason) => reason,
            Self::Ignored => "ignored",
        })
    }
}

struct Cell {
    name: String,
    key: String,
    digest: Option<String>,
    expected: Outcome,
}

/// A folder that is being filled, one folder in it for each cell, with a good document beside each item.
pub struct Bench {
    folder: PathBuf,
    cells: Vec<Cell>,
    goods: usize,
}

impl Bench {
    /// Of an empty folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, cells: Vec::new(), goods: 0 }
    }

    /// A file of this name and content.
    pub fn put(&mut self, name: &str, expected: Outcome, file: &str, content: impl AsRef<[u8]>) {
        let content = content.as_ref();
        self.make(name, expected, file, |path| fs::write(path, content).expect("written"));
    }

    /// Something that `make` puts at a path; what it leaves for the outcome is the item of this name.
    pub fn make(
        &mut self,
        name: &str,
        expected: Outcome,
        file: impl AsRef<OsStr>,
        make: impl FnOnce(&Path),
    ) {
        let (folder, below) = self.cell_folder(name);
        let path = folder.join(file.as_ref());
        make(&path);
        let key = format!("{below}/{}", String::from_utf8_lossy(file.as_ref().as_bytes()));
        self.expect(name, key, &path, expected);
    }

    /// A new folder with a good document in it, and its key.
    pub fn cell_folder(&mut self, name: &str) -> (PathBuf, String) {
        let below = format!("cell-{:03}", self.goods);
        let folder = self.folder.join(&below);
        fs::create_dir(&folder).expect("a folder");
        let good = folder.join("zz-good.xml");
        fs::write(&good, crate::content::cda(&format!("good beside {name}"))).expect("written");
        self.goods += 1;
        let key = format!("{below}/zz-good.xml");
        self.expect(&format!("{name}: what stands beside it"), key, &good, Outcome::Registered);
        (folder, below)
    }

    /// One more expectation of something that stands there.
    pub fn expect(&mut self, name: &str, key: String, path: &Path, expected: Outcome) {
        // Only what is short enough: the digest of a file of holes would take longer than the test.
        let short = fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() < 1 << 20);
        let digest = short.then(|| fs::read(path).ok()).flatten();
        let digest = digest.map(|bytes| hex::encode(Sha256::digest(bytes)));
        self.cells.push(Cell { name: name.to_owned(), key, digest, expected });
    }

    /// A file of which other bytes than its own are served.
    pub fn put_described(
        &mut self,
        name: &str,
        expected: Outcome,
        file: &str,
        content: &str,
        served: &[u8],
    ) {
        self.put(name, expected, file, content);
        let digest = Some(hex::encode(Sha256::digest(served)));
        self.cells.last_mut().expect("just put").digest = digest;
    }

    /// Waits until the gateway says of every cell what is expected; writes down what it said instead where it does not.
    pub fn judge(&self, member: &Member, tally: &mut Tally) {
        let mut seen = Seen::default();
        let differs = |seen: &Seen| {
            let of = |cell: &Cell| seen.of_item(&cell.key, cell.digest.as_deref());
            self.cells.iter().any(|cell| of(cell) != cell.expected.to_string())
        };
        // One gateway reads them all, and some are large.
        holds_within(5 * PATIENCE, || {
            seen = Seen::of(member).unwrap_or_default();
            !differs(&seen)
        });
        for cell in &self.cells {
            let found = seen.of_item(&cell.key, cell.digest.as_deref());
            tally.same(&cell.name, &cell.expected.to_string(), &found);
        }
    }
}

/// How many cells were tried, and which came out otherwise.
#[derive(Debug, Default)]
pub struct Tally {
    tried: usize,
    unexpected: Vec<String>,
}

impl Tally {
    /// One cell.
    pub fn same(
        &mut self,
        name: &str,
        expected: &(impl fmt::Display + ?Sized),
        found: &(impl fmt::Display + ?Sized),
    ) {
        self.tried += 1;
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            self.unexpected.push(format!("{name}: expected {expected}, got {found}"));
        }
    }

    /// One cell that holds or does not.
    pub fn holds(&mut self, name: &str, holds: bool, found: impl fmt::Debug) {
        let found = if holds { "so it is".to_owned() } else { format!("{found:?}") };
        self.same(name, "so it is", &found);
    }

    /// Prints the count; fails if a cell was not as expected.
    pub fn finish(self) {
        self.unexpected.iter().for_each(|line| println!("UNEXPECTED {line}"));
        let wrong = self.unexpected.len();
        println!(
            "CELLS {} tried, {} as expected, {wrong} unexpected",
            self.tried,
            self.tried - wrong
        );
        assert!(self.unexpected.is_empty(), "{}", self.unexpected.join("\n"));
    }
}
