//! docs/adapters.md says what the adapter does: its example registers, its tables are complete.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::{
    Adapter, Change, Confidentiality, FoundWarning, Lifecycle, MemoryItems, Profile,
    QuarantineReason,
};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/adapters.md");
    std::fs::read_to_string(path).unwrap()
}

/// The text from one heading to the next.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("\n### {heading}\n")).unwrap();
    rest.split("\n#").next().unwrap()
}

/// The first cell of each row that holds a constant, and the rest of the row.
fn rows(section: &str) -> Vec<(&str, &str)> {
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(code, rest)| (code, rest.trim_end_matches(" |")))
        .collect()
}

#[test]
fn the_table_of_reasons_is_the_enum() {
    let text = document();
    let documented: Vec<(&str, String)> = rows(section(&text, "Why a file is quarantined"))
        .into_iter()
        .map(|(code, advice)| (code, advice.replace('`', "")))
        .collect();
    let implemented: Vec<(&str, String)> = QuarantineReason::ALL
        .iter()
        .map(|reason| (reason.code(), reason.advice().to_owned()))
        .collect();
    assert_eq!(documented, implemented);
    for reason in QuarantineReason::ALL.iter().filter(|reason| reason.is_passing()) {
        assert!(text.contains(&format!("`{reason}`")), "{reason}");
    }
}

#[test]
fn the_table_of_warnings_is_the_enum() {
    let text = document();
    let documented: BTreeSet<_> =
        rows(section(&text, "Warnings")).into_iter().map(|(code, _)| code).collect();
    let implemented: BTreeSet<_> = FoundWarning::ALL.iter().map(|warning| warning.code()).collect();
    assert_eq!(documented, implemented);
}

#[test]
fn the_example_of_a_sidecar_registers_and_says_everything() {
    let text = document();
    let example = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scan.pdf"), "%PDF-1.7").unwrap();
    std::fs::write(folder.path().join("scan.pdf.meta.json"), example).unwrap();
    let systems = IdentifierSystems::from_list(&["dk".into()], Profile::Dk).unwrap();
    let mut settings = DocumentsSettings::new("a", folder.path(), systems, Profile::Dk);
    settings.settle = Duration::ZERO;
    let mut told = Vec::new();
    DocumentsAdapter::new(settings)
        .scan(&MemoryItems::new(), &mut |change| {
            told.push(change);
            ControlFlow::Continue(())
        })
        .unwrap();
    let [Change::Found(found)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(found.warnings, []);
    assert_eq!(found.subjects.len(), 1);
    assert_eq!(found.subjects[0].expose_for_tag(), ("urn:oid:1.2.208.176.1.6.1.1", "1503901AB2"));
    assert_eq!(found.lifecycle, Lifecycle::Final);
    assert_eq!(found.confidentiality, Confidentiality::Normal);
    assert_eq!(found.media_type, "application/pdf");
    assert_eq!(found.content_size_bytes, 8);
    assert!(found.class.is_some() && found.facility.is_some() && found.practice_setting.is_some());
    assert!(found.author_unit.is_some() && found.custodian.is_some());
    assert!(found.period.is_some() && found.language.is_some() && found.document_id.is_some());
}
