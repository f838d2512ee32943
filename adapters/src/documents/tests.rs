//! What a pass over a folder says, and what it never says.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::adapter::Change;
use crate::memory::MemoryItems;
use crate::profile::Profile;

#[path = "hold_tests.rs"]
mod hold;
#[path = "pointing_tests.rs"]
mod pointing;
#[path = "rest_tests.rs"]
mod rest;
#[path = "share_tests.rs"]
mod share;

/// A folder, what is known of it, and a clock that stands still.
struct Folder {
    directory: tempfile::TempDir,
    known: MemoryItems,
    now: Arc<AtomicU64>,
    settings: DocumentsSettings,
}

/// 2026-06-01T00:00Z.
const NOW: u64 = 1_780_272_000;
/// So long before it that a file is at rest by any clock.
const LONG_AGO: u64 = NOW - 2 * 86_400;

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(NOW));
        let systems = IdentifierSystems::from_list(&["dk".into()], Profile::Dk).unwrap();
        let mut settings = DocumentsSettings::new("a", directory.path(), systems, Profile::Dk);
        let clock = Arc::clone(&now);
        settings.clock =
            Clock::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst)));
        Self { directory, known: MemoryItems::new(), now, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as though long ago.
    fn put(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.written(name, LONG_AGO);
    }

    fn written(&self, name: &str, seconds: u64) {
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    fn adapter(&self) -> DocumentsAdapter {
        DocumentsAdapter::new(self.settings.clone())
    }

    /// One pass of an adapter: a line for each change, in order of the names.
    fn pass(&self, adapter: &DocumentsAdapter) -> (Vec<String>, ScanReport) {
        let mut lines = Vec::new();
        let report = adapter
            .scan(&self.known, &mut |change| {
                self.known.take(&change);
                lines.push(match &change {
                    Change::Found(found) => {
                        let codes: Vec<_> = found.warnings.iter().map(|w| w.code()).collect();
                        format!("+ {} {}", found.source_key.for_operator(), codes.join(" "))
                    }
                    Change::Gone { source_key } => format!("- {}", source_key.for_operator()),
                    Change::Quarantined(item) => {
                        format!("! {} {}", item.source_key.for_operator(), item.reason)
                    }
                });
                ControlFlow::Continue(())
            })
            .unwrap();
        lines.sort();
        (lines.iter().map(|line| line.trim_end().to_owned()).collect(), report)
    }

    /// What a new adapter says at once and when everything has come to rest.
    fn scan(&self) -> Vec<String> {
        let adapter = self.adapter();
        let mut lines = self.pass(&adapter).0;
        self.now.fetch_add(2, Ordering::SeqCst);
        lines.extend(self.pass(&adapter).0);
        lines
    }
}

fn cda(id: &str) -> String {
    format!(
        "<ClinicalDocument xmlns='urn:hl7-org:v3'><id root='1.2.3' extension='{id}'/>\
         <code code='57059-8' codeSystem='2.16.840.1.113883.6.1'/><effectiveTime value='2026'/>\
         <confidentialityCode code='N'/><recordTarget><patientRole>\
         <id root='1.2.208.176.1.6.1.1' extension='1503901AB2'/></patientRole></recordTarget>\
         </ClinicalDocument>"
    )
}

const SIDECAR: &str = r#"{"subjects":[{"system":"1.2.208.176.1.6.1.1","value":"1503901AB2"}],
    "media_type":"text/plain","confidentiality":"N","lifecycle":"final",
    "document_id":{"system":"urn:x","value":"7"}}"#;

#[test]
fn every_reason_that_a_file_can_give_is_given() {
    let folder = Folder::new();
    folder.put("a.json", "{");
    folder.put("b.xml", "<ClinicalDocument");
    folder.put("c.xml", "<!DOCTYPE x><x/>");
    folder.put("d.json", r#"{"resourceType":"Patient"}"#);
    folder.put("e.xml", &cda("1").replace("1.2.208.176.1.6.1.1", "1.2.3.4"));
    folder.put("f.xml", &cda("1").replace("code='N'", "code='R'"));
    folder.put("g.xml", &cda("1").replace("code='N'", "code='?'"));
    folder.put("h.xml", &cda("1").replace("1503901AB2", "3113901AB2"));
    folder.put("i.pdf", "%PDF-1.7");
    folder.put("j.txt", "");
    folder.put("k.txt", "described badly");
    folder.put("k.txt.meta.json", "{}");
    folder.put("l.txt.meta.json", SIDECAR);
    fs::write(folder.path("m.xml"), b"<?xml version='1.0'?><x>\xe6</x>").unwrap();
    folder.written("m.xml", LONG_AGO);
    folder.put("n.txt", "entered in error");
    folder.put("n.txt.meta.json", &SIDECAR.replace("final", "entered-in-error"));
    folder.put(
        "o.json",
        r#"{"resourceType":"Bundle","type":"document","entry":[
        {"resource":{"resourceType":"Composition","status":"final"}}]}"#,
    );
    assert_eq!(
        folder.scan(),
        [
            "! a.json BAD_JSON",
            "! b.xml BAD_XML",
            "! c.xml DTD_REFUSED",
            "! d.json NOT_A_DOCUMENT",
            "! e.xml NO_PATIENT_IDENTIFIER",
            "! f.xml NEEDS_LIMITED_AUDIENCE",
            "! g.xml UNKNOWN_CONFIDENTIALITY",
            "! h.xml BAD_IDENTIFIER",
            "! i.pdf NO_SIDECAR",
            "! j.txt EMPTY",
            "! k.txt BAD_SIDECAR",
            "! l.txt.meta.json SIDECAR_WITHOUT_FILE",
            "! m.xml ENCODING_NOT_UTF8",
            "! n.txt ENTERED_IN_ERROR",
            "! o.json SUBJECT_NOT_FOUND",
        ]
    );
    assert_eq!(folder.scan(), [""; 0], "nothing is told twice");
}

/// The name of its sidecar would have been longer than a name may be, which made the file unreadable.
#[tokio::test]
async fn a_file_whose_name_is_as_long_as_can_be_is_a_file() {
    let folder = Folder::new();
    let name = format!("{}.xml", "n".repeat(251));
    folder.put(&name, &cda("1"));
    assert_eq!(folder.scan(), [format!("+ {name}")]);
    let key = SourceKey::from_bytes(name);
    let expected = folder.known.fingerprint(&key).unwrap();
    assert!(folder.adapter().open(&key, &expected).await.is_ok());
}

#[test]
fn follows_no_link_and_reads_no_special_file() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.xml"), cda("9")).unwrap();
    folder.put("in/a.xml", &cda("1"));
    symlink(outside.path().join("secret.xml"), folder.path("file-out.xml")).unwrap();
    symlink(outside.path(), folder.path("folder-out")).unwrap();
    symlink("in/a.xml", folder.path("inside.xml")).unwrap();
    symlink(".", folder.path("loop")).unwrap();
    symlink("nowhere", folder.path("broken")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("socket")).unwrap();
    let odd = folder.directory.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.xml"));
    fs::write(odd, cda("2")).unwrap();
    folder.put(&format!("{}x.xml", "d/".repeat(33)), &cda("3"));
    let deepest = "d/".repeat(32);
    assert_eq!(
        folder.scan(),
        [
            "! broken LINK_BROKEN".to_owned(),
            format!("! {deepest}d PATH_TOO_LONG"),
            "! file-out.xml LINK_LEAVES_FOLDER".to_owned(),
            "! folder-out LINK_LEAVES_FOLDER".to_owned(),
            "! odd\u{fffd}.xml NAME_NOT_UTF8".to_owned(),
            "! socket NOT_A_FILE".to_owned(),
            "+ in/a.xml".to_owned(),
        ]
    );
    assert_eq!(folder.scan(), [""; 0]);
}

#[tokio::test]
async fn opens_nothing_behind_a_link_that_was_put_there_later() {
    let folder = Folder::new();
    folder.put("in/a.xml", &cda("1"));
    folder.scan();
    let key = SourceKey::from_bytes("in/a.xml");
    let expected = folder.known.fingerprint(&key).unwrap();
    fs::rename(folder.path("in"), folder.path("moved")).unwrap();
    std::os::unix::fs::symlink(folder.path("moved"), folder.path("in")).unwrap();
    assert!(matches!(folder.adapter().open(&key, &expected).await, Err(OpenError::Gone)));
    for other in ["../in/a.xml", "/etc/passwd", "in/../in/a.xml"] {
        let opened = folder.adapter().open(&SourceKey::from_bytes(other), &expected).await;
        assert!(matches!(opened, Err(OpenError::Gone)), "{other}");
    }
}

#[test]
fn ignores_hidden_and_unfinished_files() {
    let folder = Folder::new();
    for name in [".hidden.xml", ".git/a.xml", "a.xml.part", "b.tmp", "c.xml~"] {
        folder.put(name, &cda("1"));
    }
    assert_eq!(folder.scan(), [""; 0]);
}

#[test]
fn a_rename_is_gone_and_found_without_a_warning() {
    let folder = Folder::new();
    folder.put("a.xml", &cda("1"));
    assert_eq!(folder.scan(), ["+ a.xml"]);
    fs::rename(folder.path("a.xml"), folder.path("b.xml")).unwrap();
    assert_eq!(folder.scan(), ["+ b.xml", "- a.xml"]);
}

#[test]
fn two_files_with_one_document_id_are_both_found_with_a_warning() {
    let folder = Folder::new();
    folder.put("a.xml", &cda("1"));
    folder.put("b.xml", &cda("1"));
    assert_eq!(folder.scan(), ["+ a.xml", "+ b.xml DUPLICATE_DOCUMENT_ID"]);
    // The first two are known by now, also to a new adapter.
    folder.put("c.xml", &cda("1"));
    folder.put("d.xml", &cda("2"));
    assert_eq!(folder.scan(), ["+ c.xml DUPLICATE_DOCUMENT_ID", "+ d.xml"]);
    // A new version of the only holder is no duplicate.
    folder.put("d.xml", &cda("2").replace("2026", "202601"));
    assert_eq!(folder.scan(), ["+ d.xml"]);
}

#[test]
fn a_sidecar_describes_any_file_and_its_change_is_a_new_version() {
    let folder = Folder::new();
    folder.put("scan.pdf", "%PDF-1.7");
    assert_eq!(folder.scan(), ["! scan.pdf NO_SIDECAR"]);
    folder.put("scan.pdf.meta.json", SIDECAR);
    assert_eq!(folder.scan(), ["+ scan.pdf"]);
    folder.put("scan.pdf.meta.json", &SIDECAR.replace("\"N\"", "\"V\" "));
    assert_eq!(folder.scan(), ["! scan.pdf NEEDS_LIMITED_AUDIENCE"]);
    fs::remove_file(folder.path("scan.pdf.meta.json")).unwrap();
    assert_eq!(folder.scan(), ["! scan.pdf NO_SIDECAR"]);
}

#[tokio::test]
async fn a_record_whose_sidecar_changed_is_not_served() {
    let folder = Folder::new();
    folder.put("scan.pdf", "%PDF-1.7");
    folder.put("scan.pdf.meta.json", SIDECAR);
    folder.scan();
    let key = SourceKey::from_bytes("scan.pdf");
    let expected = folder.known.fingerprint(&key).unwrap();
    assert!(folder.adapter().open(&key, &expected).await.is_ok());
    folder.put("scan.pdf.meta.json", &SIDECAR.replace("\"N\"", "\"V\" "));
    let opened = folder.adapter().open(&key, &expected).await;
    assert!(matches!(opened, Err(OpenError::Changed { current }) if current != expected));
}

#[tokio::test]
async fn a_file_that_changes_while_it_streams_ends_with_an_error() {
    use futures_util::StreamExt;
    let folder = Folder::new();
    folder.put("big.bin", &"x".repeat(600_000));
    folder.put("big.bin.meta.json", SIDECAR);
    assert_eq!(folder.scan(), ["+ big.bin"]);
    let key = SourceKey::from_bytes("big.bin");
    let expected = folder.known.fingerprint(&key).unwrap();
    for change in ["x".repeat(10), "x".repeat(700_000), "y".repeat(600_000)] {
        folder.put("big.bin", &"x".repeat(600_000));
        let mut content = folder.adapter().open(&key, &expected).await.unwrap();
        assert!(content.stream.next().await.unwrap().is_ok());
        fs::write(folder.path("big.bin"), &change).unwrap();
        folder.written("big.bin", NOW);
        let rest: Vec<_> = content.stream.collect().await;
        assert!(rest.last().unwrap().is_err(), "{} bytes", change.len());
    }
}

#[test]
fn files_above_the_parse_limit_need_a_sidecar() {
    let mut folder = Folder::new();
    folder.settings.parse_limit_bytes = 1000;
    let padding = " ".repeat(1000);
    folder.put("a.xml", &format!("{}{padding}", cda("1")));
    folder.put("b.json", &format!("{padding}{{"));
    folder.put("c.bin", &format!("{padding}x"));
    assert_eq!(folder.scan(), ["! a.xml TOO_LARGE", "! b.json TOO_LARGE", "! c.bin NO_SIDECAR"]);
    folder.put("a.xml.meta.json", SIDECAR);
    assert_eq!(folder.scan(), ["+ a.xml"]);
}

/// What is known, as a gateway may answer that stops, whose settings changed, or whose store fails.
struct Altered<'k> {
    known: &'k MemoryItems,
    /// Everything is to be read again.
    read_again: bool,
    /// The gateway stops when it was asked so often whether it does.
    stops_after: u64,
    /// How often everything known can be read.
    readable: u64,
    asked: AtomicU64,
    read: AtomicU64,
}

impl<'k> Altered<'k> {
    /// As it is.
    fn new(known: &'k MemoryItems) -> Self {
        let (asked, read) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { known, read_again: false, stops_after: u64::MAX, readable: u64::MAX, asked, read }
    }
}

impl KnownItems for Altered<'_> {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        if self.read_again { None } else { self.known.fingerprint(source_key) }
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.known.registered(source_key)
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        self.known.is_withheld(folder)
    }

    fn was_emptied(&self) -> bool {
        self.known.was_emptied()
    }

    fn holder_of(&self, document_id: &crate::item::DocumentIdDigest) -> Option<SourceKey> {
        self.known.holder_of(document_id)
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        if self.read.fetch_add(1, Ordering::SeqCst) < self.readable {
            self.known.for_each(visit);
        }
    }

    fn should_stop(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) >= self.stops_after
    }
}

/// A file of this size kept a stopped gateway alive, and its database locked, until it was hashed.
#[test]
fn a_scan_ends_in_the_middle_of_a_huge_file_when_it_is_told_to() {
    let folder = Folder::new();
    folder.put("huge.bin", "");
    // A file of holes: reading it through would take hours all the same.
    let file = fs::File::options().write(true).open(folder.path("huge.bin")).unwrap();
    file.set_len(1 << 40).unwrap();
    folder.written("huge.bin", LONG_AGO);
    folder.put("huge.bin.meta.json", SIDECAR);
    let known = Altered { stops_after: 20, ..Altered::new(&folder.known) };
    let report = folder.adapter().scan(&known, &mut |_| panic!("nothing was read")).unwrap();
    assert_eq!((report.found, report.quarantined, report.complete), (0, 0, false));
}

/// Nothing was emitted, so nothing heard that the gateway stops.
#[test]
fn a_scan_that_finds_nothing_new_ends_when_it_is_told_to_and_calls_nothing_gone() {
    let folder = Folder::new();
    for item in 0..30 {
        folder.put(&format!("{item:02}/a.xml"), &cda(&item.to_string()));
    }
    folder.scan();
    fs::remove_file(folder.path("29/a.xml")).unwrap();
    let known = Altered { stops_after: 20, ..Altered::new(&folder.known) };
    let report = folder.adapter().scan(&known, &mut |_| panic!("nothing is new")).unwrap();
    assert!(report.unchanged < 29 && !report.complete && report.gone == 0, "{report:?}");
}

#[test]
fn warnings_name_what_is_odd_about_a_document() {
    let folder = Folder::new();
    folder.put(
        "a.xml",
        "<ClinicalDocument xmlns='urn:hl7-org:v3'><recordTarget><patientRole>\
         <id root='1.2.208.176.1.6.1.3' extension='150390-0ab2'/>\
         </patientRole></recordTarget></ClinicalDocument>",
    );
    assert_eq!(
        folder.scan(),
        ["+ a.xml NO_DATE NO_TYPE NO_CONFIDENTIALITY REGION_UNKNOWN NO_DOCUMENT_ID"]
    );
}
