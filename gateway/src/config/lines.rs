//! On which line of the file each key stands.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Lines by dotted key, from 1. Elements of lists are `list[0]`.
#[derive(Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Reads them; a file that does not parse has none.
    pub(super) fn read(text: &str) -> Self {
        let mut lines = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            lines.walk(text, table.get_ref(), "");
        }
        lines
    }

    /// The line of a key that is in the file.
    pub(super) fn of(&self, key: &str) -> Option<usize> {
        self.0.get(key).copied()
    }

    /// The line of a key, or of the table in which it should stand.
    pub(super) fn near(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.of(key) {
                return Some(line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    fn walk(&mut self, text: &str, table: &DeTable<'_>, above: &str) {
        for (name, value) in table {
            let dot = if above.is_empty() { "" } else { "." };
            let key = format!("{above}{dot}{}", name.get_ref());
            self.0.insert(key.clone(), super::problem::line_of(text, name.span().start));
            self.inside(text, value, &key);
        }
    }

    fn inside(&mut self, text: &str, value: &Spanned<DeValue<'_>>, key: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.walk(text, table, key),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    let line = super::problem::line_of(text, item.span().start);
                    self.0.insert(key.clone(), line);
                    self.inside(text, item, &key);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn keys_of_tables_lists_and_inline_tables_have_their_lines() {
    let text = "a = 1\n\n[b]\nc.d = { e = 2 }\n\n[[f]]\ng = 3\n[[f]]\ng = 4\n";
    let lines = Lines::read(text);
    for (key, line) in [("a", 1), ("b.c.d.e", 4), ("f[0].g", 7), ("f[1].g", 9)] {
        assert_eq!(lines.of(key), Some(line), "{key}");
    }
    assert_eq!(lines.of("b.x"), None);
    assert_eq!(lines.near("b.x"), Some(3), "the table in which it should stand");
    assert_eq!(lines.near("x"), None);
}
