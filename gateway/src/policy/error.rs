//! Why a folder of policies was not taken: file, line, what is wrong, what to write instead.

use std::fmt;
use std::path::PathBuf;

use crate::reason::{self, Reason};

/// Why policies were not taken. The ones before stay in force; without any nothing is permitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The folder is not there.
    #[error(
        "there is no policy folder {0}: `sundbro init` writes the default policies to the one of [policy]"
    )]
    Absent(PathBuf),
    /// The folder or a file in it cannot be read.
    #[error("{0} cannot be read: check that it exists and that the gateway's user may read it")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// What is in it is no policy.
    #[error("the policies in {dir} are not valid:\n{list}", list = lines(problems))]
    Invalid {
        /// The folder.
        dir: PathBuf,
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

impl PolicyError {
    /// The constant that programs match.
    pub fn reason(&self) -> Reason {
        reason::POLICY_INVALID
    }

    /// In one line, for a log and for status.
    pub fn in_one_line(&self) -> String {
        crate::status::chain(self).replace('\n', " ")
    }
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, without its folder. Empty: the folder as a whole.
    pub file: String,
    /// The line, from 1. `None`: the file as a whole.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub cure: String,
}

impl Problem {
    pub(super) fn new(
        (file, line): (&str, Option<usize>),
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, cure } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {what}: {cure}"),
            None if file.is_empty() => write!(f, "{what}: {cure}"),
            None => write!(f, "{file}: {what}: {cure}"),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    lines.join("\n")
}
