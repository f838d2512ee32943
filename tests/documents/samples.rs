//! Files that others made, if they lie beside the repository.

use std::fs;
use std::path::Path;

use crate::harness::Federation;
use crate::table::{Bench, Outcome, Tally};

/// What is expected of each; their patients have identifiers of systems of their own.
const EXPECTED: [(&str, Option<&str>); 13] = [
    ("cda/ccda-ccd.xml", None),
    ("cda/cda-original.xml", None),
    ("cda/example-no-styles.xml", None),
    ("fhir/bundle.document.json", None),
    ("fhir/composition-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/consent-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/device-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/deviceusestatement-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/documentreference-example.json", Some("ATTACHMENT_ELSEWHERE")),
    ("fhir/encounter-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/episodeofcare-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/patient-example.json", Some("NOT_A_DOCUMENT")),
    ("fhir/supplydelivery-example.json", Some("NOT_A_DOCUMENT")),
];

pub fn what_others_made(tally: &mut Tally) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples");
    if !samples.is_dir() {
        println!("SKIPPED: ../shared/samples is not here");
        return;
    }
    let mut federation = Federation::found(1);
    let member = federation.at(0);
    let file = member.folder.join("gateway.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    let (before, _) = text.split_once("identifier_systems").expect("the last key");
    fs::write(&file, format!("{before}identifier_systems = [\"*\"]\n")).expect("written");
    let mut bench = Bench::new(member.documents());
    for (name, reason) in EXPECTED {
        let expected = reason.map_or(Outcome::Registered, Outcome::Quarantined);
        let content = fs::read(samples.join(name)).expect("a sample");
        bench.put(
            name,
            expected,
            Path::new(name).file_name().and_then(|it| it.to_str()).expect("text"),
            content,
        );
    }
    member.start();
    bench.judge(member, tally);
    federation.finish();
}
