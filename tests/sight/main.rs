//! What a gateway tells whoever watches it: every metric that the pages promise, with the right numbers, and nothing of
//! any person or record; and every metric that an alert needs.

#[path = "../federation/harness/mod.rs"]
mod harness;
mod rules;
mod scrape;

use std::collections::{BTreeMap, BTreeSet};

use harness::{Federation, Member, PATIENCE, SUBJECT_VALUE, eventually, holds_within};
use scrape::{Scrape, address_of, ask};

/// What was looked at, and what was not as it should be.
#[derive(Default)]
struct Cells {
    tried: usize,
    unexpected: Vec<String>,
}

impl Cells {
    fn check(&mut self, good: bool, what: impl FnOnce() -> String) {
        self.tried += 1;
        if !good {
            self.unexpected.push(what());
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        let good = found == expected;
        self.check(good, || format!("{what}: {found:?} instead of {expected:?}"));
    }
}

fn page(path: &str) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    std::fs::read_to_string(format!("{file}{path}")).expect("the page is there")
}

/// Name → kind and labels, as docs/metrics.md has them.
fn promised() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = page("metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `sundbro_"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = format!("sundbro_{}", cells.next().unwrap_or_default().trim_matches('`'));
        let kind = cells.next().unwrap_or_default().to_owned();
        let labels = cells.next().unwrap_or_default().split(", ").filter(|it| *it != "–");
        (name, (kind, labels.map(|label| label.trim_matches('`').to_owned()).collect()))
    })
    .collect()
}

#[test]
fn what_is_told_is_what_the_pages_promise_and_what_happened() {
    let mut federation = Federation::found(3);
    for member in &mut federation.members {
        member.configure("[sight]\nlisten = \"127.0.0.1:0\"");
        member.start();
    }
    let mut cells = Cells::default();
    something_happens(&federation);
    let hospital = &federation.members[0];
    let scrape = settled(hospital);
    leave(&scrape);
    every_promise_is_kept(&scrape, &mut cells);
    every_rule_finds_its_numbers(&scrape, &mut cells);
    nothing_is_told_of_people_and_records(&federation, &mut cells);
    numbers_are_right(&federation, &scrape, &mut cells);
    paths_answer(hospital, &mut cells);
    losses_are_seen(&mut federation, &mut cells);
    federation.finish();
    let (tried, bad) = (cells.tried, cells.unexpected.len());
    println!("{}", cells.unexpected.join("\n"));
    println!("CELLS {tried} tried, {} as expected, {bad} unexpected", tried - bad);
    assert_eq!(bad, 0);
}

/// Records of the first member: fetched, refused, not served, and one set aside.
fn something_happens(federation: &Federation) {
    let [hospital, gp, _] = &federation.members[..] else { panic!("three") };
    let documents = hospital.write_documents(4);
    hospital.await_registered(&documents);
    std::fs::write(hospital.documents().join("nothing.txt"), "nothing").expect("written");
    let at_gp =
        gp.await_located("the records are seen", |it| it.of(&hospital.name) == 4 && it.is_whole());
    drop(gp.retrieve(&at_gp.pointers[0].name));
    assert_eq!(gp.get(&at_gp.pointers[0].name, "clerk").0.code, 4, "refused");
    assert_eq!(hospital.get(&at_gp.pointers[0].name, "clerk").0.code, 4, "refused to ourselves");
    let own = gp.write_document();
    gp.await_registered(&[own]);
    let own = hospital
        .await_located("the other's record is seen", |it| it.of(&gp.name) == 1 && it.is_whole());
    let of_gp = own.pointers.iter().find(|pointer| pointer.custodian == gp.name).expect("seen");
    drop(hospital.retrieve(&of_gp.name));
    // Its source is gone before anybody has looked again: neither served nor fetched.
    let gone = hospital.documents().join(&documents[0].file);
    let digest = documents[0].digest();
    let pointer = at_gp.pointers.iter().find(|it| it.digest() == digest).expect("registered");
    std::fs::remove_file(gone).expect("removed");
    assert_ne!(hospital.get(&pointer.name, "doctor").0.code, 0, "not served");
}

/// The numbers once nothing is on its way.
fn settled(member: &Member) -> Scrape {
    eventually("everything is counted", || {
        let scrape = Scrape::of(member);
        let quarantined = [("reason", "all")];
        let done = scrape.number("sundbro_adapter_quarantined_items", &quarantined) == Some(1.0)
            && scrape.number("sundbro_adapter_records", &[]) == Some(3.0)
            && scrape.number("sundbro_adapter_scanned", &[]) == Some(1.0);
        done.then_some(scrape)
    })
}

/// For promtool, which the part runs.
fn leave(scrape: &Scrape) {
    if let Some(folder) = std::env::var_os("SUNDBRO_SIGHT") {
        let file = std::path::Path::new(&folder).join("metrics.txt");
        std::fs::write(file, &scrape.text).expect("the scrape is left");
    }
}

fn every_promise_is_kept(scrape: &Scrape, cells: &mut Cells) {
    let promised = promised();
    assert!(promised.len() > 20, "docs/metrics.md lists only {}", promised.len());
    for (name, (kind, labels)) in &promised {
        cells.equal(name, scrape.labels_of(name), Some(labels.clone()));
        cells.equal(&format!("type of {name}"), scrape.types.get(name), Some(kind));
    }
    for name in scrape.types.keys() {
        cells.check(promised.contains_key(name), || format!("docs/metrics.md lacks {name}"));
    }
    let base = |name: &str| {
        let cut = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        cut.filter(|cut| promised.contains_key(*cut)).unwrap_or(name).to_owned()
    };
    let loose: BTreeSet<_> = scrape.samples.iter().map(|sample| base(&sample.name)).collect();
    cells.check(loose.iter().all(|it| promised.contains_key(it)), || format!("among {loose:?}"));
}

fn every_rule_finds_its_numbers(scrape: &Scrape, cells: &mut Cells) {
    let text = page("alerts.yml");
    let selectors = rules::selectors(&text);
    assert!(rules::alerts(&text).len() > 15 && selectors.len() > 15, "the rules are read");
    for selector in selectors {
        let rows: Vec<_> =
            scrape.samples.iter().filter(|sample| sample.name == selector.name).collect();
        cells.check(!rows.is_empty(), || format!("an alert needs {}", selector.name));
        for (label, values) in &selector.labels {
            for value in values {
                let found = rows.iter().any(|row| row.labels.get(label) == Some(value));
                cells.check(found, || format!("an alert needs {} {label}={value}", selector.name));
            }
        }
    }
    let tests =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/sight/alerts_test.yml"));
    let tests = tests.expect("the unit tests of the rules");
    for alert in rules::alerts(&text) {
        let fired = format!("labels: 'ALERTS{{alertname=\"{alert}\"");
        cells.check(tests.contains(&fired), || format!("no test fires {alert}"));
    }
}

fn nothing_is_told_of_people_and_records(federation: &Federation, cells: &mut Cells) {
    for member in &federation.members {
        let text = Scrape::of(member).text;
        let bare = member.try_list().unwrap_or_default();
        let mut secrets = vec![SUBJECT_VALUE.to_owned(), "u-4711".to_owned()];
        for pointer in bare {
            secrets.push(pointer.digest().to_owned());
            secrets.extend(pointer.name.rsplit('/').next().map(str::to_owned));
        }
        for secret in secrets {
            cells.check(!text.contains(&secret), || format!("{} tells {secret}", member.name));
        }
    }
}

fn numbers_are_right(federation: &Federation, scrape: &Scrape, cells: &mut Cells) {
    let [hospital, gp, third] = &federation.members[..] else { panic!("three") };
    let mut number = |name: &str, labels: &[(&str, &str)], expected: f64| {
        cells.equal(&format!("{name} {labels:?}"), scrape.number(name, labels), Some(expected));
    };
    // Four registered, one withdrawn.
    number("sundbro_log_entries", &[("member", &hospital.name), ("epoch", "1")], 5.0);
    number("sundbro_log_entries", &[("member", &gp.name)], 1.0);
    number("sundbro_log_entries", &[("member", &third.name)], 0.0);
    number("sundbro_log_lag_entries", &[("member", &gp.name)], 0.0);
    for (state, is) in [("followed", 1.0), ("stopped", 0.0), ("stalled", 0.0), ("waiting", 0.0)] {
        number("sundbro_log_state", &[("member", &gp.name), ("state", state)], is);
    }
    for (state, is) in [("signing", 1.0), ("checking", 0.0), ("stopped", 0.0)] {
        number("sundbro_signing_state", &[("state", state)], is);
    }
    number("sundbro_peer_reachable", &[("member", &gp.name)], 1.0);
    number("sundbro_peer_reachable", &[("member", &third.name)], 1.0);
    number("sundbro_charter_version", &[], 1.0);
    number("sundbro_charter_known_version", &[], 1.0);
    number("sundbro_member_active", &[], 1.0);
    // `sundbro init` was the first.
    number("sundbro_incarnation", &[], 2.0);
    number("sundbro_subject_epochs_missing", &[], 0.0);
    number("sundbro_adapter_healthy", &[("adapter", "documents")], 1.0);
    number("sundbro_adapter_quarantined_items", &[("reason", "NO_SIDECAR")], 1.0);
    number("sundbro_retrievals_served_total", &[("outcome", "completed")], 1.0);
    number("sundbro_retrievals_served_total", &[("outcome", "refused")], 2.0);
    number("sundbro_retrievals_served_total", &[("outcome", "failed")], 1.0);
    number("sundbro_retrievals_fetched_total", &[("outcome", "completed")], 1.0);
    number("sundbro_retrievals_fetched_total", &[("outcome", "refused")], 1.0);
    number("sundbro_retrievals_fetched_total", &[("outcome", "failed")], 1.0);
    for file in ["ledger.redb", "payloads.redb", "index.redb", "audit.redb", "signing.gate"] {
        let path = match file {
            "signing.gate" => hospital.folder.join(file),
            _ => hospital.data().join(file),
        };
        let length = std::fs::metadata(path).expect("a file").len() as f64;
        let told = scrape.number("sundbro_store_file_bytes", &[("file", file)]);
        // A file may have grown since.
        cells.check(told.is_some_and(|told| told > 0.0 && told <= length), || {
            format!("{file}: {told:?} of {length}")
        });
    }
    let ends = scrape.samples.iter().filter(|it| it.name == "sundbro_end_timestamp_seconds");
    let kinds: BTreeSet<_> = ends.map(|it| it.labels["kind"].as_str()).collect();
    cells.equal("what ends", kinds, BTreeSet::from(["certificate", "revocation_list", "ca"]));
}

fn paths_answer(member: &Member, cells: &mut Cells) {
    let address = address_of(member);
    let open = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5";
    for (method, path, accept, status, content_type) in [
        ("GET", "/healthz", "*/*", 200, "text/plain; charset=utf-8"),
        ("GET", "/readyz", "*/*", 200, "text/plain; charset=utf-8"),
        ("GET", "/metrics", "*/*", 200, "text/plain; version=0.0.4; charset=utf-8"),
        (
            "GET",
            "/metrics",
            open,
            200,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
        ("GET", "/", "*/*", 404, ""),
        ("GET", "/../gateway.toml", "*/*", 404, ""),
        ("POST", "/metrics", "*/*", 405, ""),
        ("DELETE", "/healthz", "*/*", 405, ""),
    ] {
        let answer = ask(&address, method, path, accept).expect("an answer");
        let found = (answer.status, answer.content_type.as_str());
        cells.equal(&format!("{method} {path}"), found, (status, content_type));
    }
    let text = ask(&address, "GET", "/metrics", open).expect("an answer").body;
    cells.check(text.ends_with("# EOF\n"), || "OpenMetrics has no end".to_owned());
}

/// A peer that is gone, and our own readiness.
fn losses_are_seen(federation: &mut Federation, cells: &mut Cells) {
    let gone = federation.members[2].name.clone();
    let silent = address_of(&federation.members[2]);
    federation.at(2).stop();
    cells.check(ask(&silent, "GET", "/readyz", "*/*").is_none(), || "still ready".to_owned());
    let member = &federation.members[0];
    let mut seen = Scrape::of(member);
    let is_seen = holds_within(PATIENCE, || {
        seen = Scrape::of(member);
        seen.number("sundbro_peer_reachable", &[("member", &gone)]) == Some(0.0)
    });
    cells.check(is_seen, || format!("{gone} is gone, and reachable"));
    cells.equal(
        "connections",
        seen.number("sundbro_peer_connections", &[("member", &gone)]),
        Some(0.0),
    );
    let older = seen.number("sundbro_peer_heads_age_seconds", &[("member", &gone)]);
    let grows = holds_within(PATIENCE, || {
        let now = Scrape::of(member).number("sundbro_peer_heads_age_seconds", &[("member", &gone)]);
        now > older
    });
    cells.check(grows, || format!("{gone} is silent, and its silence does not grow"));
}
