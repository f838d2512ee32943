//! Files that others made give a defined result, each of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::{Adapter, Change, MemoryItems, Profile};

#[test]
fn every_sample_is_found_or_says_why_not() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples");
    if !samples.is_dir() {
        println!("SKIPPED: ../shared/samples is not here");
        return;
    }
    let mut settings =
        DocumentsSettings::new("samples", samples, IdentifierSystems::All, Profile::Dk);
    settings.settle = Duration::ZERO;
    let adapter = DocumentsAdapter::new(settings);
    let mut results = BTreeMap::new();
    let mut warnings = BTreeMap::new();
    let report = adapter
        .scan(&MemoryItems::new(), &mut |change| {
            let key = change.source_key().for_operator();
            match change {
                Change::Found(found) => {
                    let class = found.class.clone().map(|class| class.code).unwrap_or_default();
                    let result = format!("{class} subjects {}", found.subjects.len());
                    let codes: Vec<_> = found.warnings.iter().map(|w| w.code()).collect();
                    warnings.insert(key.clone(), codes);
                    results.insert(key, result);
                }
                Change::Quarantined(item) => {
                    let detail = item.message.rsplit(" (").next().unwrap_or_default();
                    results
                        .insert(key, format!("{} {}", item.reason, detail.trim_end_matches(')')));
                }
                Change::Gone { .. } => panic!("nothing was known"),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(report.complete);
    let by_itself = |kind: &str| format!("NOT_A_DOCUMENT a FHIR {kind} by itself");
    let expected: BTreeMap<String, String> = [
        ("cda/ccda-ccd.xml", "34133-9 subjects 1".to_owned()),
        ("cda/cda-original.xml", "11488-4 subjects 1".to_owned()),
        ("cda/example-no-styles.xml", "11488-4 subjects 1".to_owned()),
        ("fhir/bundle.document.json", "18842-5 subjects 2".to_owned()),
        ("fhir/composition-example.json", by_itself("Composition")),
        ("fhir/consent-example.json", by_itself("Consent")),
        ("fhir/device-example.json", by_itself("Device")),
        ("fhir/deviceusestatement-example.json", by_itself("DeviceUseStatement")),
        (
            "fhir/documentreference-example.json",
            "ATTACHMENT_ELSEWHERE the DocumentReference leads out of its folder, which is not followed: put the document's bytes into it, or a file beside it and its name into attachment.url".to_owned(),
        ),
        ("fhir/encounter-example.json", by_itself("Encounter")),
        ("fhir/episodeofcare-example.json", by_itself("EpisodeOfCare")),
        ("fhir/patient-example.json", by_itself("Patient")),
        ("fhir/supplydelivery-example.json", by_itself("SupplyDelivery")),
    ]
    .map(|(name, result)| (name.to_owned(), result))
    .into();
    for (name, result) in &expected {
        assert_eq!(results.get(name), Some(result), "{name}");
    }
    // What else lies there, such as a README, is no document.
    for (name, result) in results.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        assert!(result.starts_with("NO_SIDECAR"), "{name}: {result}");
    }
    assert_eq!(warnings["cda/cda-original.xml"], [""; 0]);
    assert_eq!(warnings["cda/example-no-styles.xml"], ["DUPLICATE_DOCUMENT_ID"]);
    assert_eq!(warnings["fhir/bundle.document.json"], ["NO_CONFIDENTIALITY"]);
}
