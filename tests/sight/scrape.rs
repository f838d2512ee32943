//! Asks a gateway's sight listener, and reads the older text format as a scraper does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Member, eventually};

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// 200 and the like.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// What it says.
    pub body: String,
}

/// Where the sight listener of a running member is, as its log says.
pub fn address_of(member: &Member) -> String {
    eventually("the log says where numbers are told", || {
        let log = std::fs::read_to_string(member.folder.join("gateway.log")).ok()?;
        // The last start's.
        log.lines().rev().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(line["sight"].as_str()?.to_owned())
        })
    })
}

/// Asks once. `None`: nobody answers.
pub fn ask(address: &str, method: &str, path: &str, accept: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: sight\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let content_type = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
    });
    Some(Answer { status, content_type: content_type.unwrap_or_default(), body: body.to_owned() })
}

/// One line of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name, with `_bucket` and the like.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

/// A whole scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    /// As it came.
    pub text: String,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// What `# TYPE` lines name, with the type.
    pub types: BTreeMap<String, String>,
}

impl Scrape {
    /// Asks a member for all numbers.
    pub fn of(member: &Member) -> Self {
        let answer = ask(&address_of(member), "GET", "/metrics", "*/*").expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        Self::parse(answer.body)
    }

    /// Reads the text format.
    pub fn parse(text: String) -> Self {
        let typed = |line: &str| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        };
        let types = text.lines().filter_map(typed).collect();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let samples = lines.map(|line| sample(line).unwrap_or_else(|| panic!("{line}"))).collect();
        Self { text, samples, types }
    }

    /// The one number of a name with at least these labels.
    pub fn number(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        let mut found = self.samples.iter().filter(fits);
        let first = found.next()?.value;
        found.next().is_none().then_some(first)
    }

    /// Names of labels under a metric's name, of all its rows; `le` of histograms left out.
    pub fn labels_of(&self, name: &str) -> Option<BTreeSet<String>> {
        let of =
            |sample: &&Sample| [name.to_owned(), format!("{name}_bucket")].contains(&sample.name);
        let mut rows = self.samples.iter().filter(of).peekable();
        rows.peek()?;
        Some(rows.flat_map(|row| row.labels.keys().cloned()).filter(|key| key != "le").collect())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, inside) = match series.split_once('{') {
        Some((name, inside)) => (name, inside.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample { name: name.to_owned(), labels: labels(inside)?, value: value.parse().ok()? })
}

/// `a="b",c="d"`; no value here holds a quotation mark.
fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        labels.insert(name.to_owned(), value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(labels)
}
