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

    /// In one line, for operators.
    pub fn in_one_line(&self) -> String {
        crate::status::chain(self).replace('\n', " ")
    }

    /// For a log: where something is wrong, and not what. Cedar quotes the text, in which a rule may name a user.
    pub(super) fn for_a_log(&self) -> String {
        let Self::Invalid { dir, problems } = self else { return self.in_one_line() };
        let places: Vec<String> = problems.iter().map(Problem::place).collect();
        format!(
            "{}: {}: `sundbro policy check` says what is wrong",
            dir.display(),
            places.join(", ")
        )
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

impl Problem {
    fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None if self.file.is_empty() => "the folder".to_owned(),
            None => self.file.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, cure } = self;
        if line.is_some() || !file.is_empty() {
            write!(f, "{}: ", self.place())?;
        }
        write!(f, "{what}: {cure}")
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Source};
    use super::*;

    #[test]
    fn a_log_is_told_where_and_not_what() {
        let text =
            "@id(\"x\") @says(\"s\")\nforbid (principal == User \"kommunen.example|u-4711\");";
        let sources = [Source { name: "staff.cedar".into(), text: text.into() }];
        let problems = Policy::parse(&sources).expect_err("two colons are missing");
        let error = PolicyError::Invalid { dir: "policy".into(), problems };
        assert!(error.in_one_line().contains("u-4711"), "{error}");
        assert_eq!(
            error.for_a_log(),
            "policy: staff.cedar:2: `sundbro policy check` says what is wrong"
        );
    }
    #[test]
    fn a_problem_says_where_it_is() {
        let check = |place: (&str, Option<usize>), shown: &str, logged: &str| {
            let problem = Problem::new(place, "is wrong", "correct it");
            assert_eq!(problem.to_string(), shown);
            let error = PolicyError::Invalid { dir: "policy".into(), problems: vec![problem] };
            assert_eq!(
                error.for_a_log(),
                format!("policy: {logged}: `sundbro policy check` says what is wrong")
            );
        };
        check(("a.cedar", Some(3)), "a.cedar:3: is wrong: correct it", "a.cedar:3");
        check(("a.cedar", None), "a.cedar: is wrong: correct it", "a.cedar");
        check(("", None), "is wrong: correct it", "the folder");
    }
}
