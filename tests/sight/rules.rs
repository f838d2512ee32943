//! What the rules of `docs/alerts.yml` ask for: selectors of our metrics, each with its labels.

use std::collections::BTreeMap;

/// One selector in an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// The metric.
    pub name: String,
    /// Labels that are compared, each with the values that would fit.
    pub labels: BTreeMap<String, Vec<String>>,
}

/// Every selector of a metric of ours in the `expr:` lines.
pub fn selectors(rules: &str) -> Vec<Selector> {
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let mut found: Vec<_> = expressions.flat_map(of_expression).collect();
    found.sort();
    found.dedup();
    found
}

fn of_expression(expression: &str) -> Vec<Selector> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    expression
        .match_indices("sundbro_")
        .map(|(at, _)| {
            let rest = &expression[at..];
            let end = rest.bytes().position(|byte| !is_name(byte)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let inside = after.strip_prefix('{').and_then(|it| it.split_once('}'));
            let labels = inside.map(|(inside, _)| matchers(inside)).unwrap_or_default();
            Selector { name: name.to_owned(), labels }
        })
        .collect()
}

fn matchers(inside: &str) -> BTreeMap<String, Vec<String>> {
    let one = |matcher: &str| {
        let (name, value) = matcher.trim().split_once('=').expect("a matcher");
        let value = value.trim_start_matches('~').trim_matches('"');
        (name.to_owned(), value.split('|').map(str::to_owned).collect())
    };
    inside.split(',').map(one).collect()
}

/// Names of the alerts.
pub fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}
