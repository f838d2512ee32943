//! What the five gateways live through, with documents of a published test person, before everything is searched.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::harness::{Ended, Federation, Member, PATIENCE, eventually, holds_within, run};
use crate::needles::{IN_CONTENT, MISTYPED};
use crate::scrape::Scrape;

const CPR: &str = "urn:oid:1.2.208.176.1.2";
/// Most that may be fetched from one member's records in one listing.
const MAX: &str = "100";

/// What is left to be searched.
#[derive(Debug)]
pub struct Lived {
    /// Folder of each member, which holds all that its gateway wrote.
    pub folders: Vec<PathBuf>,
    /// What commands printed: a name, and the text.
    pub printed: Vec<(String, String)>,
    /// Keeps the folders.
    _federation: Federation,
}

/// Lives through it.
pub fn live() -> Lived {
    let mut federation = Federation::found(5);
    for member in &federation.members {
        log_everything(member);
        write_documents(member);
    }
    federation.members.iter_mut().for_each(Member::start);
    let mut printed = Vec::new();
    for member in &federation.members {
        member.await_scanned();
    }
    federation.await_equal();
    use_it(&federation.members, &mut printed);
    lose_sources(&mut federation, &mut printed);
    federation.members.iter().for_each(|member| watch(member, &mut printed));
    federation.members.iter_mut().for_each(Member::stop);
    for member in &federation.members {
        look_offline(member, &mut printed);
    }
    let folders = federation.members.iter().map(|member| member.folder.clone()).collect();
    Lived { folders, printed, _federation: federation }
}

fn log_everything(member: &Member) {
    let file = member.folder.join("gateway.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    let text = text.replace("[log]\n", "[log]\nfilter = \"trace\"\n");
    assert!(text.contains("trace"), "the configuration has a table for the log");
    let text = format!("{text}[sight]\nlisten = \"127.0.0.1:0\"\n");
    fs::write(file, text).expect("the configuration is written");
}

// ---- documents -----------------------------------------------------------------------------------------------------

/// Good ones of three formats, one named after a person, and those that end in quarantine.
fn write_documents(member: &Member) {
    let folder = member.documents();
    let put = |file: &str, text: &str| fs::write(folder.join(file), text).expect("a document");
    put("visit.json", &fhir_bundle(&member.name, IN_CONTENT[0]));
    put("scan.xml", &cda(&member.name, IN_CONTENT[0]));
    put("letter.pdf.meta.json", &sidecar(&member.name, IN_CONTENT[0]));
    put("letter.pdf", &format!("%PDF-1.4\n% {} {}\n%%EOF\n", IN_CONTENT[4], member.name));
    put("020191-9990.xml", &cda(&format!("{}, named", member.name), "0201919990"));
    // None of these can be registered; each says so with a reason and not with what it holds.
    put("mistyped.xml", &cda(&format!("{}, mistyped", member.name), MISTYPED[0]));
    put("too-long.json", &fhir_bundle(&format!("{}, long", member.name), MISTYPED[1]));
    put("broken.xml", &cda(&member.name, IN_CONTENT[0])[..900]);
    put("broken.json", &fhir_bundle(&member.name, IN_CONTENT[0])[..900]);
    put("no-document.txt", &IN_CONTENT.join("\n"));
    put("entity.xml", &cda(&member.name, "&e;").replace("<ClinicalDocument", ENTITY));
    let wrong = sidecar(&member.name, IN_CONTENT[0]).replace("\"lifecycle\"", "\"2512489996\"");
    put("unknown-key.pdf.meta.json", &wrong);
    put("unknown-key.pdf", IN_CONTENT[4]);
    // The number where a code, a date, a language and a media type should be.
    for (number, field) in ["11502-2", "2026-03-09", "da-DK", "application/pdf"].iter().enumerate()
    {
        let file = format!("misplaced-{number}.pdf");
        let text = sidecar(&format!("{}{number}", member.name), IN_CONTENT[0]);
        put(&format!("{file}.meta.json"), &text.replace(field, "Berggren 251248-9996"));
        put(&file, IN_CONTENT[4]);
    }
}

const ENTITY: &str = "<!DOCTYPE a [<!ENTITY e \"2512489996\">]><ClinicalDocument";

fn fhir_bundle(of: &str, number: &str) -> String {
    let bundle = json!({
        "resourceType": "Bundle",
        "type": "document",
        "identifier": { "system": "https://example.org/documents", "value": format!("bundle of {of}") },
        "timestamp": "2026-04-27T10:00:00+02:00",
        "entry": [
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": {
                "resourceType": "Composition",
                "status": "final",
                "language": "da-DK",
                "type": { "coding": [{ "system": "http://loinc.org", "code": "57059-8" }] },
                "subject": { "reference": "urn:uuid:00000000-0000-4000-8000-000000000002" },
                "date": "2026-04-27T10:00:00+02:00",
                "author": [{ "reference": "urn:uuid:00000000-0000-4000-8000-000000000003" }],
                "title": IN_CONTENT[4],
                "confidentiality": "N",
                "custodian": { "reference": "urn:uuid:00000000-0000-4000-8000-000000000003" },
                "event": [{ "period": { "start": "2026-04-27", "end": "2026-04-27" } }],
                "section": [{ "title": "visit", "text": { "status": "generated", "div":
                    format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{}</div>", IN_CONTENT[4]) } }],
            } },
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000002", "resource": {
                "resourceType": "Patient",
                "name": [{ "family": IN_CONTENT[3], "given": [IN_CONTENT[2]] }],
                "identifier": [{ "system": CPR, "value": number }],
            } },
            { "fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000003", "resource": {
                "resourceType": "Organization",
                "identifier": [{ "system": "urn:oid:1.2.208.176.1.1", "value": "midwives" }],
            } },
        ],
    });
    format!("{bundle:#}\n")
}

fn cda(of: &str, number: &str) -> String {
    let root = CPR.trim_start_matches("urn:oid:");
    let (given, family, text) = (IN_CONTENT[2], IN_CONTENT[3], IN_CONTENT[4]);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="1.2.208.184" extension="scan of {of}"/>
  <code code="11525-3" codeSystem="2.16.840.1.113883.6.1"/>
  <title>{text}</title>
  <effectiveTime value="20260330100000+0200"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="da-DK"/>
  <recordTarget><patientRole><id root="{root}" extension="{number}"/>
    <patient><name><given>{given}</given><family>{family}</family></name></patient></patientRole></recordTarget>
  <author><time value="20260330100000+0200"/><assignedAuthor>
    <id root="1.2.208.176.1.1" extension="obstetrics"/>
    <representedOrganization><id root="1.2.208.176.1.1" extension="obstetrics"/></representedOrganization>
  </assignedAuthor></author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="1.2.208.176.1.1" extension="obstetrics"/>
  </representedCustodianOrganization></assignedCustodian></custodian>
  <documentationOf><serviceEvent classCode="ACT">
    <effectiveTime><low value="20260330090000+0200"/><high value="20260330100000+0200"/></effectiveTime>
  </serviceEvent></documentationOf>
  <component><structuredBody><component><section>
    <title>scan</title><text>{text}</text>
  </section></component></structuredBody></component>
</ClinicalDocument>
"#
    )
}

fn sidecar(of: &str, number: &str) -> String {
    let unit = json!({ "system": "urn:oid:1.2.208.176.1.1", "value": "biochemistry" });
    let sidecar = json!({
        "document_id": { "system": "https://example.org/documents", "value": format!("letter of {of}") },
        "lifecycle": "final",
        "media_type": "application/pdf",
        "class": { "system": "http://loinc.org", "code": "11502-2" },
        "subjects": [{ "system": CPR, "value": number }],
        "author_unit": unit,
        "custodian": unit,
        "period": { "start": "2026-03-09", "end": "2026-03-09" },
        "confidentiality": "N",
        "language": "da-DK",
    });
    format!("{sidecar:#}\n")
}

// ---- use -----------------------------------------------------------------------------------------------------------

/// Commands as users and operators type them, right and wrong.
fn use_it(members: &[Member], printed: &mut Vec<(String, String)>) {
    let asker = &members[1];
    let mut tell = |name: &str, ended: Ended| {
        printed.push((name.to_owned(), format!("{}\n{}", ended.stdout, ended.stderr)));
        ended
    };
    for number in [IN_CONTENT[0], IN_CONTENT[1], MISTYPED[0], MISTYPED[1], "Berggren"] {
        for (json, system) in [(false, CPR), (true, CPR), (true, "Berggren"), (true, "")] {
            let arguments =
                ["record", "locate", "--client", "care-record.toml", "--system", system];
            let arguments =
                if json { [&["--json"], &arguments[..]].concat() } else { arguments.to_vec() };
            // A system that the caller types is the caller's: only the number is looked for below.
            let ended = run(&asker.folder, &arguments, number);
            let about_the_system = system == "Berggren" && ended.stderr.contains(system);
            if !about_the_system {
                tell("locate", ended);
            }
        }
    }
    let located = locate(asker);
    assert!(located.len() >= 15, "three documents of each of five are located: {located:?}");
    for (record, role) in located.iter().zip(["doctor", "clerk"].into_iter().cycle()) {
        let (ended, _) = asker.get(record, role);
        let expected = if role == "doctor" { 0 } else { 4 };
        assert_eq!(tell("get", ended).code, expected);
    }
    for member in members {
        let operations = ["--client", "operations.toml"];
        let care = ["--client", "care-record.toml", "--max", MAX];
        tell("status", member.sundbro(&[&["--json", "status"], &operations[..]].concat()).good());
        tell(
            "audit",
            member.sundbro(&[&["--json", "audit", "list"], &operations[..]].concat()).good(),
        );
        tell("list", member.sundbro(&[&["--json", "record", "list"], &care[..]].concat()).good());
        let quarantine = [&["--json", "quarantine", "list"], &operations[..]].concat();
        let listed = tell("quarantine", member.sundbro(&quarantine).good()).json();
        let waiting = listed["items"].as_array().map_or(0, Vec::len);
        assert!(waiting >= 7, "{}: what cannot be registered waits: {listed:#}", member.name);
    }
}

fn locate(member: &Member) -> Vec<String> {
    let arguments = ["--json", "record", "locate", "--client", "care-record.toml", "--system", CPR];
    let answer = run(&member.folder, &arguments, IN_CONTENT[0]).good().json();
    let pointers = answer["pointers"].as_array().expect("a list").iter();
    pointers.map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
}

/// Sources that vanish, change and cannot be read: what is said of them is said without their names.
fn lose_sources(federation: &mut Federation, printed: &mut Vec<(String, String)>) {
    let before = records(&federation.members[0]);
    let folder = federation.members[0].documents();
    // A folder where a file was: it can neither be read as a document, nor opened for whoever fetches it.
    let named = folder.join("020191-9990.xml");
    fs::remove_file(&named).expect("it was there");
    fs::create_dir(&named).expect("a folder");
    fs::write(folder.join("visit.json"), fhir_bundle("changed", IN_CONTENT[0])).expect("a change");
    for record in &before {
        let (ended, _) = federation.members[2].get(record, "doctor");
        printed
            .push(("get what vanishes".to_owned(), format!("{}\n{}", ended.stdout, ended.stderr)));
    }
    let all = before.len();
    let withdrawn = || (records(&federation.members[0]).len() < all).then_some(());
    eventually("what vanished is withdrawn", withdrawn);
    // Without its folder a source cannot be read at all.
    let away = folder.with_file_name("0201919990");
    fs::rename(&folder, &away).expect("the folder goes away");
    let said = || federation.members[0].has_logged(&["the source could not be read"]);
    assert!(holds_within(PATIENCE, said), "{}", federation.members[0].last_lines());
    fs::rename(&away, &folder).expect("the folder is back");
    federation.members[3].kill();
    federation.members[3].start();
    federation.await_equal();
}

fn records(member: &Member) -> Vec<String> {
    let listed = member.try_list().unwrap_or_default();
    listed.into_iter().map(|pointer| pointer.name).collect()
}

/// What whoever watches a running gateway is told.
fn watch(member: &Member, printed: &mut Vec<(String, String)>) {
    let numbers = Scrape::of(member);
    assert!(numbers.samples.len() > 50, "{}", numbers.text);
    printed.push(("/metrics".to_owned(), numbers.text));
    // It finds much that is wrong here, and says so by its exit code.
    let doctor = ["doctor", "--config", "gateway.toml", "--client", "operations.toml"];
    for format in [&["--json"][..], &[]] {
        let ended = member.sundbro(&[format, &doctor].concat());
        assert!(ended.stdout.contains("kommunen.example"), "{ended:?}");
        printed.push(("doctor".to_owned(), format!("{}\n{}", ended.stdout, ended.stderr)));
    }
}

/// What the commands say that need no gateway.
fn look_offline(member: &Member, printed: &mut Vec<(String, String)>) {
    let ended = member.verify(&member.data(), &member.folder.join("signing.gate"));
    printed.push(("verify".to_owned(), format!("{}\n{}", ended.stdout, ended.stderr)));
    let federation = federation_of(&member.folder);
    let export =
        ["log", "export", "exported", "--member", &member.name, "--federation", &federation];
    member.sundbro(&export).good();
}

fn federation_of(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join("gateway.toml")).expect("a configuration");
    let line = text.lines().find(|line| line.starts_with("federation_id")).expect("its federation");
    line.split('"').nth(1).expect("quoted").to_owned()
}
