//! A table of cases: what is asked, and what the policy must say. `sundbro policy test` runs an operator's own.

use serde::Deserialize as _;

use super::facts::Facts;
use super::{Decision, Policy};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// `permit`, `deny`, or the id of the rule that decides.
    pub expect: String,
    /// Who asks for what.
    pub facts: Facts,
}

/// Why a text is no table.
#[derive(Debug, thiserror::Error)]
pub enum BadTable {
    /// It is no TOML, or a row is not one.
    #[error("it is no table of cases")]
    Form(#[from] toml::de::Error),
    /// It holds something else, or nothing.
    #[error(
        "a table consists of [[case]], each with `expect` and what `sundbro policy explain` takes, and has one at least"
    )]
    Empty,
    /// A row lacks what it expects.
    #[error("case {0} does not say in `expect` what it expects: permit, deny, or the id of a rule")]
    NoExpectation(usize),
    /// A row's value is not known.
    #[error("case {0} is not one")]
    Fact(usize, #[source] super::facts::BadFact),
}

/// Reads a table.
///
/// # Errors
/// With the first row that is none.
pub fn parse(text: &str) -> Result<Vec<Case>, BadTable> {
    let mut table: toml::Table = text.parse()?;
    let rows = table.remove("case");
    let Some(toml::Value::Array(rows)) = rows.filter(|_| table.is_empty()) else {
        return Err(BadTable::Empty);
    };
    let mut cases = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        let toml::Value::Table(mut row) = row else { return Err(BadTable::Empty) };
        let Some(toml::Value::String(expect)) = row.remove("expect") else {
            return Err(BadTable::NoExpectation(at + 1));
        };
        let facts = Facts::deserialize(toml::Value::Table(row))?;
        facts.judged().map_err(|error| BadTable::Fact(at + 1, error))?;
        cases.push(Case { expect, facts });
    }
    match cases.is_empty() {
        true => Err(BadTable::Empty),
        false => Ok(cases),
    }
}

impl Case {
    /// What the policy decides, and whether the row expects that.
    pub fn run(&self, policy: &Policy) -> (Decision, bool) {
        let (request, resource) = self.facts.judged().expect("looked at when the row was read");
        let decision = policy.decide(&request, &resource);
        let as_expected = match self.expect.as_str() {
            "permit" => decision.permit,
            "deny" => !decision.permit,
            rule => decision.rule == rule,
        };
        (decision, as_expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_no_case_is_named_by_its_number() {
        let good = "[[case]]\nexpect = \"deny\"\nrole = \"doctor\"\npurpose = \"TREAT\"\n";
        assert_eq!(parse(&good.repeat(2)).expect("a table").len(), 2);
        let check = |third: &str, says: &str| {
            let error = parse(&(good.repeat(2) + third)).expect_err(says);
            assert_eq!(error.to_string().split(':').next(), Some(says));
        };
        let silent = good.replace("expect = \"deny\"\n", "");
        check(&silent, "case 3 does not say in `expect` what it expects");
        check(&good.replace("TREAT", "TREET"), "case 3 is not one");
    }
}
