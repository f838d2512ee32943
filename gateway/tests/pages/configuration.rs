//! `docs/configuration.md` lists every key as the table in the code has it, and the table every key that the file has.

use std::collections::BTreeSet;

use sundbro_gateway::config::{File, KEYS, Key, Value};

use crate::page::{holds_table, read};

#[test]
fn docs_configuration_lists_every_key() {
    let row = |Key { name, meaning, value, power }: &Key| {
        format!("| `{name}` | {meaning} | {value} | {power} |\n")
    };
    let rows: String = KEYS.iter().map(row).collect();
    let head = "| key | meaning | default and range | who can change it can |\n|---|---|---|---|\n";
    holds_table("configuration.md", "# Configuration", &format!("{head}{rows}"));
}

#[test]
fn each_key_says_everything() {
    for Key { name, meaning, value, power } in KEYS {
        assert!(meaning.len() > 15 && meaning.ends_with('.'), "{name}: {meaning}");
        assert!(
            ["forge", "read", "stop"].iter().any(|it| power.starts_with(it)),
            "{name}: {power}"
        );
        assert!(!meaning.contains('|') && !power.contains('|'), "{name}");
        match value {
            Value::Text(text) => assert!(!text.is_empty(), "{name}"),
            Value::Number(number) => {
                assert!((number.least..=number.most).contains(&number.default), "{name}");
                // Units stand last in names, and in words beside them.
                assert_eq!(name.ends_with("_ms"), meaning.contains("milliseconds"), "{name}");
            }
        }
    }
}

/// Every key that the structs have, as the documentation writes it; lists of tables end in `[]`.
fn keys_of(value: &serde_json::Value, prefix: &str, keys: &mut BTreeSet<(String, bool)>) {
    match value {
        // Free keys: members that are dialled elsewhere.
        serde_json::Value::Object(_) if prefix == "dial" => {
            keys.insert(("dial.<member>".to_owned(), true));
        }
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                let path =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                keys_of(value, &path, keys);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            for item in items {
                keys_of(item, &format!("{prefix}[]"), keys);
            }
        }
        value => {
            keys.insert((prefix.to_owned(), !value.is_null()));
        }
    }
}

#[test]
fn every_key_is_in_the_example_and_in_the_table() {
    let file: File = toml::from_str(&read("examples/gateway.toml")).expect("the example");
    let mut found = BTreeSet::new();
    keys_of(&serde_json::to_value(&file).expect("JSON"), "", &mut found);
    let set: BTreeSet<_> =
        found.iter().filter(|(_, set)| *set).map(|(key, _)| key.clone()).collect();
    // A list of tables that one client leaves out stands in another, by its elements' keys.
    let is_table = |key: &String| set.iter().any(|set| set.starts_with(&format!("{key}[]")));
    let all: BTreeSet<_> =
        found.iter().map(|(key, _)| key.clone()).filter(|key| !is_table(key)).collect();
    assert_eq!(all, set, "the example leaves keys out");
    let documented: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
    assert_eq!(documented.len(), KEYS.len(), "a key stands twice in config/keys.rs");
    assert_eq!(documented, all, "config/keys.rs and config/file.rs differ");
}
