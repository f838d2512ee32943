//! One rule: a Cedar policy with a name and a sentence, and what we ask of it beyond Cedar's own validation.

use cedar_policy::{ActionConstraint, Policy as CedarPolicy};

use super::error::Problem;
use super::folder::Source;
use super::{BREAK_GLASS_PREFIX, DEFAULT_RULE, MAX_RULE_ID_BYTES, NO_SUCH_RECORD, RULE_FAILED};

pub use cedar_policy::Effect;

/// Longest sentence in bytes.
const MAX_SENTENCE_BYTES: usize = 256;

/// A rule, as people know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `@id`: travels in grants and receipts.
    pub id: String,
    /// `@says`: why it permits or forbids, for people.
    pub sentence: String,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Its file.
    pub file: String,
    /// The line of its `@id`.
    pub line: usize,
}

impl Rule {
    /// Where it stands.
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }

    /// Checks the policy that stands at `ordinal` (from 1) in its file.
    pub(super) fn new(
        policy: &CedarPolicy,
        source: &Source,
        ordinal: usize,
    ) -> Result<Self, Problem> {
        let file = &source.name;
        let nowhere = (file.as_str(), None);
        let Some(id) = policy.annotation("id") else {
            let what = format!("policy {ordinal} of this file has no @id");
            return Err(Problem::new(nowhere, what, "write @id(\"…\") above it"));
        };
        let line = line_of_id(&source.text, id).unwrap_or(1);
        let wrong = |what: String, cure: &str| {
            Problem::new((file, Some(line)), format!("rule {id:?} {what}"), cure)
        };
        check_id(id).map_err(|(what, cure)| wrong(what.to_owned(), cure))?;
        let sentence = policy.annotation("says").unwrap_or_default().trim();
        let fits = sentence.len() <= MAX_SENTENCE_BYTES && !sentence.contains(char::is_control);
        if sentence.is_empty() || !fits {
            let what = format!("has no sentence of 1 to {MAX_SENTENCE_BYTES} bytes in one line");
            return Err(wrong(what, "say in @says(\"…\") what it permits or forbids, for people"));
        }
        check_action(policy, id).map_err(|(what, cure)| wrong(what.to_owned(), cure))?;
        Ok(Self {
            id: id.to_owned(),
            sentence: sentence.to_owned(),
            effect: policy.effect(),
            file: file.clone(),
            line,
        })
    }
}

type Complaint = (&'static str, &'static str);

fn check_id(id: &str) -> Result<(), Complaint> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > MAX_RULE_ID_BYTES || !id.bytes().all(fits) {
        return Err(("has no good id", "an id has 1 to 64 of a-z, 0-9 and hyphen"));
    }
    if [DEFAULT_RULE, RULE_FAILED, NO_SUCH_RECORD].contains(&id) {
        return Err(("has an id that stands for the absence of a rule", "call it something else"));
    }
    Ok(())
}

/// Breaking the glass is permitted by rules of its own, and their ids tell: a grant shows what was done.
fn check_action(policy: &CedarPolicy, id: &str) -> Result<(), Complaint> {
    if policy.effect() == Effect::Forbid {
        return Ok(());
    }
    let ActionConstraint::Eq(action) = policy.action_constraint() else {
        return Err((
            "permits more than one action",
            "write action == Action::\"read\" or action == Action::\"break-glass\" in its head, and two rules for both",
        ));
    };
    let breaks = action.id().unescaped() == "break-glass";
    match (breaks, id.starts_with(BREAK_GLASS_PREFIX)) {
        (true, false) => Err((
            "lets the glass be broken and its id does not tell",
            "begin the id with \"break-glass-\"",
        )),
        (false, true) => Err((
            "has an id of those that let the glass be broken, and does not",
            "begin the id with something else than \"break-glass-\"",
        )),
        _ => Ok(()),
    }
}

/// The line, from 1, of the annotation that gives this id.
fn line_of_id(text: &str, id: &str) -> Option<usize> {
    let wanted = format!("\"{id}\"");
    let gives = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.split_once("@id").is_some_and(|(_, rest)| rest.contains(&wanted))
    };
    text.lines().position(gives).map(|before| before + 1)
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;

    #[test]
    fn an_id_and_a_sentence_may_be_as_long_as_they_may() {
        let check = |id_bytes: usize, sentence_bytes: usize, fits: bool| {
            let (id, says) = ("a".repeat(id_bytes), "s".repeat(sentence_bytes));
            let text = format!(
                "@id({id:?}) @says({says:?})\npermit (principal, action == Action::\"read\", resource);"
            );
            let read = Policy::parse(&[Source { name: "a.cedar".to_owned(), text }]);
            assert_eq!(read.is_ok(), fits, "{id_bytes} and {sentence_bytes} bytes: {read:?}");
        };
        for (bytes, fits) in [(1, true), (MAX_RULE_ID_BYTES, true), (MAX_RULE_ID_BYTES + 1, false)]
        {
            check(bytes, 1, fits);
        }
        for (bytes, fits) in
            [(0, false), (MAX_SENTENCE_BYTES, true), (MAX_SENTENCE_BYTES + 1, false)]
        {
            check(1, bytes, fits);
        }
    }
}
