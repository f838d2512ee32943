//! What is wrong with a configuration: all of it at once, each with file, key, value and remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// Most problems that are looked for: a file of another kind would otherwise fill the screen.
const MAX_PROBLEMS: usize = 50;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key, `local.clients[1].roles`; empty when the file itself is wrong.
    pub key: String,
    /// Line of the file, from 1, where it is known.
    pub line: Option<usize>,
    /// The value as written, where showing it helps. Never a secret: secrets are paths here.
    pub value: Option<String>,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem with one key.
    pub fn new(key: &str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (what, remedy) = (what.into(), remedy.into());
        Self { key: key.to_owned(), line: None, value: None, what, remedy }
    }

    /// With the value as written.
    #[must_use]
    pub fn value(mut self, value: impl fmt::Display) -> Self {
        self.value = Some(value.to_string());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        write!(f, " {}: {}", self.what, self.remedy)
    }
}

/// Why a configuration was refused. Nothing was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// At least one problem.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{} has {count} {noun}:", self.file.display())?;
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Reads `text` as `T`, collecting every unknown key and every value of a wrong type on the way.
///
/// serde stops at the first error, an operator should not: whatever an error points at is noted, taken out of the
/// parsed table, and the rest is read again.
pub(super) fn read<T: DeserializeOwned + Default>(text: &str, problems: &mut Vec<Problem>) -> T {
    let mut table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let remedy = "write it as TOML; docs/examples/gateway.toml shows every key";
            let mut problem = Problem::new("", error.message(), remedy);
            problem.line = Some(line_of(text, at));
            problems.push(problem);
            return T::default();
        }
    };
    for _ in 0..MAX_PROBLEMS {
        let error = match T::deserialize(Deserializer::from(table.clone())) {
            Ok(read) => return read,
            Err(error) => error,
        };
        let mut problem = Problem::new("", error.message(), remedy_for(error.message()));
        let Some(span) = error.span() else {
            problems.push(problem);
            return T::default();
        };
        problem.line = Some(line_of(text, span.start));
        let mut path = Vec::new();
        let removed = remove_at(table.get_mut(), span.start, &mut path);
        problem.key = path.join(".").replace(".[", "[");
        problems.push(problem);
        if !removed {
            return T::default();
        }
    }
    T::default()
}

fn remedy_for(message: &str) -> &'static str {
    if message.starts_with("unknown field") {
        "remove it or correct its spelling"
    } else {
        "see docs/configuration.md for its type"
    }
}

pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Takes the innermost key out whose name or value spans `at`; `path` becomes its dotted name.
fn remove_at(table: &mut DeTable<'_>, at: usize, path: &mut Vec<String>) -> bool {
    let mut doomed = None;
    for (key, value) in table.iter_mut() {
        let name = key.get_ref().to_string();
        if key.span().contains(&at) {
            path.push(name.clone());
            doomed = Some(name);
            break;
        }
        path.push(name.clone());
        if remove_inside(value, at, path) {
            return true;
        }
        if value.span().contains(&at) || value.span().start == at {
            doomed = Some(name);
            break;
        }
        path.pop();
    }
    doomed.is_some_and(|name| table.remove(name.as_str()).is_some())
}

fn remove_inside(value: &mut Spanned<DeValue<'_>>, at: usize, path: &mut Vec<String>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => remove_at(table, at, path),
        DeValue::Array(items) => {
            for index in 0..items.len() {
                let Some(item) = items.get_mut(index) else { return false };
                path.push(format!("[{index}]"));
                if remove_inside(item, at, path) {
                    return true;
                }
                path.pop();
            }
            false
        }
        _ => false,
    }
}

/// A path as written, from the folder of the configuration file.
pub(super) fn resolve(base: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { base.join(path) }
}
