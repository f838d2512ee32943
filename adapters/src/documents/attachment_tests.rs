//! Where an attachment stands in a file, and what its bytes are.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn file(content: impl AsRef<[u8]>) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_ref()).unwrap();
    file
}

fn reference(attachment: &str) -> String {
    format!(
        r#"{{"text": {{"data": "no"}}, "content" : [ {{"x": [1], "attachment": {attachment}}} ],
        "resourceType": "DocumentReference", "type": {{"coding": []}},
        "subject": {{"identifier": {{"system": "urn:x", "value": "1"}}}}}}"#
    )
}

fn measured(attachment: &str) -> Result<([u8; 32], u64), QuarantineReason> {
    let text = reference(attachment);
    let read = fhir::read(&text, &TimeZone::UTC).map_err(|refusal| refusal.reason())?;
    let measured = read.attachment.unwrap().measure(&file(&text), &|| false);
    measured.map(Option::unwrap).map_err(|refusal| refusal.reason())
}

fn served(content: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let file = file(content);
    let mut bytes = Vec::new();
    match place(&file).unwrap()? {
        Place::Inside(path) => inside(&file, &path).unwrap().read_to_end(&mut bytes).unwrap(),
        Place::Beside(path) => panic!("{path}"),
    };
    Some(bytes)
}

#[test]
fn the_bytes_are_those_of_the_attachment_however_they_are_written() {
    let expected = b"\xff\xff\xfe?>=".to_vec();
    for data in ["///+Pz49", r"\/\/\/+Pz49", r"//\u002f+Pz49", " / / / +\\r\\n\\tPz49 "] {
        let text = reference(&format!("{{\"title\": \"\\\"data\\\"\", \"data\"  :  \"{data}\" }}"));
        assert_eq!(served(&text).as_ref(), Some(&expected), "{data}");
        assert_eq!(served(format!("\u{feff} \n{text}")).as_ref(), Some(&expected), "{data}");
        let (sha256, size) = measured(&format!("{{\"data\":\"{data}\"}}")).unwrap();
        assert_eq!((size, sha256), (6, Sha256::digest(&expected).into()));
    }
    let alone = reference("{\"data\":\"AA==\"}").replace("[ {", "{").replace("} ]", "}");
    assert_eq!(served(alone), Some(vec![0]), "a content that is no list");
}

#[test]
fn only_what_describes_another_document_is_opened_so() {
    for content in [
        "",
        "%PDF",
        "<x/>",
        "{",
        "[]",
        "{}",
        " {\"resourceType\":\"Patient\"}",
        r#"{"type":"document","resourceType":"Bundle","entry":[{"resource":{"data":"AA=="}}]}"#,
        r#"{"resourceType":"Bundle","type":"document","entry":broken"#,
    ] {
        assert_eq!(served(content), None, "{content}");
    }
    let bundle = r#"{"resourceType":"Bundle","type":"collection","entry":[
        {"fullUrl":"urn:uuid:1","resource":{"resourceType":"Binary","data":"AQ=="}},
        {"fullUrl":"urn:uuid:2","resource":{"resourceType":"Binary","data":"Ag=="}},
        {"resource":{"resourceType":"DocumentReference","content":[{"attachment":{"url":"urn:uuid:2"}}],
        "subject":{"identifier":{"system":"urn:x","value":"1"}}}}]}"#;
    assert_eq!(served(bundle), Some(vec![2]));
}

#[test]
fn size_and_hash_are_compared_when_they_are_there() {
    let with = |more: &str| measured(&format!("{{\"data\":\"JVBERg==\"{more}}}")).map(|it| it.1);
    let differs = Err(QuarantineReason::AttachmentDiffers);
    // Of "%PDF": SHA-1 in base64 and in hex, SHA-256 in base64.
    let (sha1, sha256) = (Sha1::digest(b"%PDF"), Sha256::digest(b"%PDF"));
    let hex: String = sha1.iter().map(|byte| format!("{byte:02X}")).collect();
    for hash in [STANDARD.encode(sha1), hex, STANDARD.encode(sha256)] {
        assert_eq!(with(&format!(",\"size\":4,\"hash\":\"{hash}\"")), Ok(4), "{hash}");
        let other = measured(&format!("{{\"data\":\"JVBERw==\",\"hash\":\"{hash}\"}}"));
        assert_eq!(other.map(|it| it.1), differs, "{hash}");
    }
    assert_eq!(with(",\"size\":5"), differs);
    assert_eq!(with(",\"hash\":\"AAAA\""), differs);
    for data in ["!", "A", "AA=A", "\\u0141A==", "AA==AA==", "\\\"AA=="] {
        let measured = measured(&format!("{{\"data\":\"{data}\"}}")).map(|it| it.1);
        assert_eq!(measured, differs, "{data}");
    }
    for data in ["\"\"", "\" \""] {
        let none = Err(QuarantineReason::NoAttachment);
        assert_eq!(measured(&format!("{{\"data\":{data}}}")).map(|it| it.1), none);
    }
    assert_eq!(measured("{\"data\":7}").map(|it| it.1), differs);
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        let data = STANDARD.encode(&bytes).replace('/', "\\/");
        prop_assert_eq!(served(reference(&format!("{{\"data\":\"{data}\"}}"))), Some(bytes));
    }

    #[test]
    fn reading_never_panics(text in "[\\[\\]{},:\"A-Za-z=/\\\\ ]{0,80}") {
        drop(place(&file(&text)));
        drop(find(&file(&text), &[Step::Member("a"), Step::Element(0)]));
    }
}
