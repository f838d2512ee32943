//! DocumentReferences whose bytes are a file beside them.

use futures_util::StreamExt as _;

use super::*;

pub(super) fn reference(url: &str) -> String {
    format!(
        r#"{{"resourceType":"DocumentReference","status":"current","docStatus":"final","date":"2026",
        "masterIdentifier":{{"value":"1"}},"type":{{"coding":[{{"system":"urn:x","code":"1"}}]}},
        "securityLabel":[{{"coding":[{{"code":"N","system":"2.16.840.1.113883.5.25"}}]}}],
        "subject":{{"identifier":{{"system":"1.2.208.176.1.6.1.1","value":"1503901AB2"}}}},
        "content":[{{"attachment":{{"contentType":"application/pdf","url":"{url}"}}}}]}}"#
    )
}

async fn served(folder: &Folder, name: &str) -> Result<Vec<u8>, OpenError> {
    let key = SourceKey::from_bytes(name);
    let expected = folder.known.fingerprint(&key).unwrap();
    let content = folder.adapter().open(&key, &expected).await?;
    let frames: Vec<_> = content.stream.collect().await;
    let bytes = frames.into_iter().collect::<Result<Vec<_>, _>>().unwrap().concat();
    assert_eq!(bytes.len() as u64, content.size_bytes);
    Ok(bytes)
}

/// Whatever a described file is, and however it sorts, it is no document of its own.
#[tokio::test]
async fn a_file_that_a_reference_describes_is_the_references_document() {
    for (name, url) in [("a.xml", "a.xml"), ("z.xml", "z.xml"), ("in/a b.xml", "in/a%20b.xml")] {
        let folder = Folder::new();
        folder.put("m.json", &reference(url));
        assert_eq!(folder.scan(), ["! m.json ATTACHMENT_MISSING"]);
        folder.put(name, &cda("1"));
        assert_eq!(folder.scan(), ["+ m.json"], "{name}");
        assert_eq!(folder.scan(), [""; 0], "{name}");
        assert_eq!(served(&folder, "m.json").await.unwrap(), cda("1").as_bytes());
        // Its change is one of the record.
        folder.put(name, &cda("another"));
        assert!(matches!(served(&folder, "m.json").await, Err(OpenError::Changed { .. })));
        assert_eq!(folder.scan(), ["+ m.json"], "{name}");
        assert_eq!(served(&folder, "m.json").await.unwrap(), cda("another").as_bytes());
        // Without its document, and without its description.
        fs::rename(folder.path(name), folder.path("kept.tmp")).unwrap();
        assert_eq!(folder.scan(), ["! m.json ATTACHMENT_MISSING"]);
        fs::rename(folder.path("kept.tmp"), folder.path(name)).unwrap();
        assert_eq!(folder.scan(), ["+ m.json"]);
        fs::remove_file(folder.path("m.json")).unwrap();
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(folder.scan()), [format!("+ {name}"), "- m.json".to_owned()]);
        folder.put("m.json", &reference(url));
        assert_eq!(sorted(folder.scan()), ["+ m.json".to_owned(), format!("- {name}")]);
    }
}

/// A document that came later than its reference was not waited for by the adapter that had seen it missing.
#[test]
fn one_adapter_sees_the_document_come_and_change() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    let rest = || folder.now.fetch_add(2, Ordering::SeqCst);
    folder.put("m.json", &reference("scan.pdf"));
    assert_eq!(folder.pass(&adapter).0, ["! m.json ATTACHMENT_MISSING"]);
    folder.put("scan.pdf", "%PDF-1");
    let (lines, report) = folder.pass(&adapter);
    assert_eq!((lines.len(), report.unsettled), (0, 1), "it may still be written");
    rest();
    assert_eq!(folder.pass(&adapter).0, ["+ m.json"]);
    folder.put("scan.pdf", "%PDF-2, longer");
    folder.pass(&adapter);
    rest();
    assert_eq!(folder.pass(&adapter).0, ["+ m.json"]);
    assert_eq!(folder.pass(&adapter).0, [""; 0]);
}

#[test]
fn a_document_that_is_a_link_or_has_a_sidecar_is_not_the_references() {
    let folder = Folder::new();
    folder.put("a.json", &reference("link.pdf"));
    folder.put("b.json", &reference("scan.pdf"));
    folder.put("c.json", &reference("folder"));
    folder.put("scan.pdf", "%PDF");
    folder.put("scan.pdf.meta.json", SIDECAR);
    folder.put("folder/x.txt.meta.json", SIDECAR);
    // Only a name that ends so is looked at before what it may describe.
    folder.put("d", &reference("other.pdf"));
    std::os::unix::fs::symlink("scan.pdf", folder.path("link.pdf")).unwrap();
    let mut lines = folder.scan();
    lines.sort();
    assert_eq!(
        lines,
        [
            "! a.json ATTACHMENT_MISSING",
            "! b.json ATTACHMENT_DISPUTED",
            "! c.json ATTACHMENT_MISSING",
            "! d ATTACHMENT_ELSEWHERE",
            "! folder/x.txt.meta.json SIDECAR_WITHOUT_FILE",
            "+ scan.pdf",
        ]
    );
}

fn inside(bytes: &str) -> String {
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    reference("x").replace("\"url\":\"x\"", &format!("\"data\":\"{data}\""))
}

/// A reference that says nothing, or less, overrules no label and no patient of the document itself.
#[test]
fn what_a_document_says_of_itself_counts_whoever_describes_it() {
    let restricted = cda("1").replace("code='N'", "code='R'");
    let masked = cda("1").replace("code='N'", "nullFlavor='MSK'");
    let of_another = cda("1").replace("1503901AB2", "1503901AB3");
    let of_nobody_here = cda("1").replace("1.2.208.176.1.6.1.1", "1.2.3.4");
    for (document, expected) in [
        (cda("1"), "+ m.json"),
        (restricted, "! m.json NEEDS_LIMITED_AUDIENCE"),
        (masked, "! m.json UNKNOWN_CONFIDENTIALITY"),
        (of_another, "! m.json ATTACHMENT_DIFFERS"),
        (of_nobody_here, "+ m.json"),
        ("<html><p>a web page</html>".to_owned(), "+ m.json"),
        ("{\"a\": 1}".to_owned(), "+ m.json"),
        (
            format!("{}{}", " ".repeat(5000), cda("1").replace("code='N'", "code='R'")),
            "! m.json NEEDS_LIMITED_AUDIENCE",
        ),
        (cda("1").replace("</ClinicalDocument>", "&nbsp</ClinicalDocument>"), "! m.json BAD_XML"),
        ("{\"resourceType\": \"Bundle\",".to_owned(), "! m.json BAD_JSON"),
        ("<!DOCTYPE x [<!ENTITY e 'f'>]><x>&e;</x>".to_owned(), "! m.json DTD_REFUSED"),
        ("\u{feff}<a".to_owned(), "+ m.json"),
        ("%PDF-1".to_owned(), "+ m.json"),
    ] {
        let beside = Folder::new();
        beside.put("d.xml", &document);
        beside.put("m.json", &reference("d.xml"));
        assert_eq!(beside.scan(), [expected], "beside: {document}");
        let within = Folder::new();
        within.put("m.json", &inside(&document));
        assert_eq!(within.scan(), [expected], "inside: {document}");
    }
    let mut folder = Folder::new();
    folder.settings.parse_limit_bytes = 2_000;
    folder.put("d.xml", &format!("{}{}", cda("1"), " ".repeat(2_000)));
    folder.put("m.json", &reference("d.xml"));
    assert_eq!(folder.scan(), ["! m.json TOO_LARGE"]);
}

/// It may say that the document is restricted, so it is looked for whenever the record is.
#[tokio::test]
async fn a_sidecar_that_comes_later_takes_the_document_out_of_the_references_hands() {
    let folder = Folder::new();
    folder.put("m.json", &reference("scan.pdf"));
    folder.put("scan.pdf", "%PDF-1");
    assert_eq!(folder.scan(), ["+ m.json"]);
    let before = folder.known.fingerprint(&SourceKey::from_bytes("m.json")).unwrap();
    folder.put("scan.pdf.meta.json", &SIDECAR.replace("\"N\"", "\"R\""));
    assert!(matches!(served(&folder, "m.json").await, Err(OpenError::Changed { .. })));
    let mut lines = folder.scan();
    lines.sort();
    assert_eq!(lines, ["! m.json ATTACHMENT_DISPUTED", "! scan.pdf NEEDS_LIMITED_AUDIENCE"]);
    fs::remove_file(folder.path("scan.pdf.meta.json")).unwrap();
    folder.scan();
    assert_eq!(folder.known.fingerprint(&SourceKey::from_bytes("m.json")), Some(before));
}

#[test]
fn a_file_that_is_described_twice_is_nobodys_document() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    // What is told of a file last.
    let told_of = |name: &str| {
        let mut told = None;
        for _ in 0..4 {
            let (lines, _) = folder.pass(&adapter);
            told = lines.into_iter().rfind(|line| line.contains(name)).or(told);
            folder.now.fetch_add(2, Ordering::SeqCst);
        }
        assert_eq!(folder.pass(&adapter).0, [""; 0]);
        told.unwrap_or_default()
    };
    folder.put("scan.pdf", "%PDF-1");
    folder.put("a.json", &reference("scan.pdf"));
    folder.put("b.json", &reference("scan.pdf").replace("\"N\"", "\"R\""));
    assert_eq!(told_of("a.json"), "! a.json ATTACHMENT_DISPUTED");
    fs::remove_file(folder.path("b.json")).unwrap();
    assert_eq!(told_of("a.json"), "+ a.json");
    folder.put("b.json", &reference("scan.pdf"));
    assert_eq!(told_of("b.json"), "! b.json ATTACHMENT_DISPUTED");
}

#[test]
fn a_description_that_is_too_large_describes_nothing() {
    let mut folder = Folder::new();
    folder.settings.parse_limit_bytes = 1000;
    folder.put("m.json", &format!("{}{}", reference("a.xml"), " ".repeat(1000)));
    folder.put("a.xml", &cda("1"));
    assert_eq!(folder.scan(), ["! m.json TOO_LARGE", "+ a.xml"]);
}

/// A description that was written in place described nothing for a moment, and what it describes became a record of its
/// own, and a withdrawn one soon after.
#[test]
fn what_was_described_is_no_document_of_its_own_while_its_description_is_rewritten() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("d.xml", &cda("1"));
    folder.put("m.json", &reference("d.xml"));
    assert_eq!(folder.pass(&adapter).0, ["+ m.json"]);
    let whole = reference("d.xml").replace("final", "amended");
    for round in 1..4 {
        folder.put("m.json", &whole[..whole.len() / 4 * round]);
        assert_eq!(folder.pass(&adapter).0, [""; 0], "{round}");
        folder.now.fetch_add(1, Ordering::SeqCst);
    }
    // As it is saved by a program that removes it first.
    fs::remove_file(folder.path("m.json")).unwrap();
    assert_eq!(folder.pass(&adapter).0, [""; 0]);
    folder.now.fetch_add(1, Ordering::SeqCst);
    folder.put("m.json", &whole);
    assert_eq!(folder.pass(&adapter).0, [""; 0]);
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["+ m.json"]);
    // Without its description it is one of its own, once that has been away for a while.
    fs::remove_file(folder.path("m.json")).unwrap();
    assert_eq!(folder.scan(), ["+ d.xml", "- m.json"]);
}

/// A description that says that a document is restricted is believed whatever is held.
#[test]
fn what_comes_to_be_described_is_no_document_of_its_own_any_more() {
    let folder = Folder::new();
    let registered = |name: &str| folder.known.registered(&SourceKey::from_bytes(name)).is_some();
    for item in 0..10 {
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    assert_eq!(folder.scan().len(), 10);
    let restricted = |item: u32| reference(&format!("{item}.xml")).replace("\"N\"", "\"R\"");
    (0..6).for_each(|item| folder.put(&format!("m{item}.json"), &restricted(item)));
    folder.scan();
    assert!((0..6).all(|item| !registered(&format!("{item}.xml"))), "most, and yet not held");
    assert!(registered("9.xml"));
}

/// A process that was just started does not know what a half written description described.
#[test]
fn what_a_half_written_description_may_describe_waits_for_it() {
    let folder = Folder::new();
    folder.put("d.xml", &cda("1"));
    let whole = reference("d.xml").replace("\"N\"", "\"R\"");
    folder.put("m.json", &whole);
    assert_eq!(folder.scan(), ["! m.json NEEDS_LIMITED_AUDIENCE"]);
    let adapter = folder.adapter();
    for round in 1..4 {
        folder.put("m.json", &whole[..whole.len() / 4 * round]);
        assert_eq!(folder.pass(&adapter).0, [""; 0], "{round}");
        folder.now.fetch_add(1, Ordering::SeqCst);
    }
    folder.put("m.json", &whole.replace("final", "amended"));
    folder.pass(&adapter);
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["! m.json NEEDS_LIMITED_AUDIENCE"]);
}

/// Publication failed, and with the pass what it knew of descriptions was gone.
#[test]
fn a_pass_that_is_broken_off_forgets_no_description() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("d.xml", &cda("1"));
    let whole = reference("d.xml").replace("\"N\"", "\"R\"");
    folder.put("m.json", &whole);
    folder.pass(&adapter);
    folder.put("new.xml", &cda("2"));
    let broken = adapter.scan(&folder.known, &mut |_| ControlFlow::Break(()));
    assert!(!broken.unwrap().complete);
    folder.put("m.json", &whole[..whole.len() / 2]);
    assert_eq!(folder.pass(&adapter).0, ["+ new.xml"]);
}

/// The first of two was read before the second was seen, and so registered for a moment at every start.
#[test]
fn of_two_descriptions_of_one_file_none_is_read_before_the_other() {
    let folder = Folder::new();
    folder.put("d.pdf", "%PDF");
    folder.put("b.json", &reference("d.pdf"));
    folder.put("m.json", &reference("d.pdf").replace("\"N\"", "\"R\""));
    assert_eq!(folder.scan(), ["! b.json ATTACHMENT_DISPUTED", "! m.json ATTACHMENT_DISPUTED"]);
}
