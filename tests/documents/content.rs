//! What files hold: encodings, hostile JSON and XML, identifiers, sidecars.

use sha2::{Digest as _, Sha256};

use crate::harness::{SUBJECT_SYSTEM, SUBJECT_VALUE};
use crate::table::{Bench, Outcome};
use Outcome::{Ignored, Quarantined, Registered};

/// A CDA document of the one person, told apart by its id, which follows from `name`.
pub fn cda(name: &str) -> String {
    cda_of(name, SUBJECT_SYSTEM, SUBJECT_VALUE)
}

fn cda_of(name: &str, system: &str, value: &str) -> String {
    let id = hex::encode(&Sha256::digest(name)[..8]);
    let root = system.trim_start_matches("urn:oid:");
    format!(
        "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><id root=\"1.2.208.184\" extension=\"{id}\"/>\
         <code code=\"11525-3\" codeSystem=\"2.16.840.1.113883.6.1\"/><effectiveTime value=\"20260330\"/>\
         <confidentialityCode code=\"N\"/><recordTarget><patientRole>\
         <id root=\"{root}\" extension=\"{value}\"/></patientRole></recordTarget>\
         <component><text>BODY</text></component></ClinicalDocument>"
    )
}

/// A FHIR document Bundle of the one person.
pub fn bundle(id: &str) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"document","identifier":{{"value":"{id}"}},"entry":[{{"resource":
        {{"resourceType":"Composition","status":"final","confidentiality":"N","date":"2026-04-27",
        "type":{{"coding":[{{"system":"http://loinc.org","code":"57059-8"}}]}},
        "subject":{{"identifier":{{"system":"{SUBJECT_SYSTEM}","value":"{SUBJECT_VALUE}"}}}},"title":"BODY"}}}}]}}"#
    )
}

/// A sidecar of the one person.
pub fn sidecar() -> String {
    format!(
        r#"{{"subjects":[{{"system":"{SUBJECT_SYSTEM}","value":"{SUBJECT_VALUE}"}}],
        "media_type":"application/octet-stream","confidentiality":"N","lifecycle":"final"}}"#
    )
}

fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    let bytes = |unit: u16| {
        if big { [(unit >> 8) as u8, unit as u8] } else { [unit as u8, (unit >> 8) as u8] }
    };
    mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

pub fn encodings(bench: &mut Bench) {
    let utf8 = Quarantined("ENCODING_NOT_UTF8");
    bench.put("no bytes", Quarantined("EMPTY"), "a.xml", "");
    bench.put("spaces alone", Quarantined("NO_SIDECAR"), "a.xml", " \n\t ");
    bench.put("a zero byte", Quarantined("NO_SIDECAR"), "a.xml", "\0");
    bench.put("a mark alone", Quarantined("NO_SIDECAR"), "a.xml", "\u{feff}");
    for (kind, text) in [("xml", cda("encoded")), ("json", bundle("encoded"))] {
        let body = |bytes: &[u8]| {
            let at = text.find("BODY").expect("a body");
            [&text.as_bytes()[..at], bytes, &text.as_bytes()[at..]].concat()
        };
        bench.put(&format!("{kind} as it should be"), Registered, "a", &text);
        bench.put(&format!("{kind} behind a mark"), Registered, "a", format!("\u{feff}{text}"));
        bench.put(&format!("{kind} with Danish letters"), Registered, "a", body("æøå".as_bytes()));
        for (name, bytes) in [
            ("a Latin-1 byte", &b"\xe6"[..]),
            ("a surrogate", b"\xed\xa0\x80"),
            ("an overlong slash", b"\xc0\xaf"),
            ("half a letter", b"\xc3\""),
        ] {
            bench.put(&format!("{kind} with {name}"), utf8.clone(), "a", body(bytes));
        }
        for (mark, big) in [(true, false), (true, true), (false, false), (false, true)] {
            let name = format!("{kind} in UTF-16, mark {mark}, big-endian {big}");
            bench.put(&name, utf8.clone(), "a", utf16(&text, mark, big));
        }
    }
    for (encoding, expected) in [
        ("UTF-8", Registered),
        ("utf-8", Registered),
        ("UTF-16", utf8.clone()),
        ("ISO-8859-1", utf8.clone()),
        ("windows-1252", utf8.clone()),
        ("none-such", utf8.clone()),
    ] {
        let text = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>{}", cda(encoding));
        bench.put(&format!("XML in UTF-8 that says {encoding}"), expected, "a.xml", text);
    }
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{}", cda("16"));
    bench.put("UTF-16 that says so", utf8, "a.xml", utf16(&declared, true, false));
}

pub fn hostile(bench: &mut Bench) {
    const DEEP: usize = 100_000;
    let (bad_json, bad_xml) = (Quarantined("BAD_JSON"), Quarantined("BAD_XML"));
    let (dtd, not_one) = (Quarantined("DTD_REFUSED"), Quarantined("NOT_A_DOCUMENT"));
    let text = bundle("hostile");
    bench.put("deep JSON lists", bad_json.clone(), "a", format!("{{\"a\":{}", "[".repeat(DEEP)));
    bench.put("deep JSON objects", bad_json.clone(), "a", "{\"id\":".repeat(DEEP));
    // What is looked at may be 128 deep; what is passed over has no limit, because it takes no memory.
    let closed = |at| format!("{{\"{at}\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP));
    bench.put("deep JSON that ends", bad_json.clone(), "a", closed("id"));
    bench.put("deep JSON that is passed over", not_one.clone(), "a", closed("a"));
    bench.put(
        "a JSON member twice",
        bad_json.clone(),
        "a",
        text.replacen('{', "{\"type\":\"x\",", 1),
    );
    bench.put("JSON and more", bad_json.clone(), "a", format!("{text}{{}}"));
    bench.put("half of a Bundle", bad_json.clone(), "a", &text[..text.len() / 2]);
    bench.put("JSON with a zero byte", bad_json, "a", text.replace("BODY", "\0"));
    bench.put("a JSON list", Quarantined("NO_SIDECAR"), "a", "[1]");
    bench.put("an empty JSON object", not_one.clone(), "a", "{}");
    bench.put("another Bundle", not_one.clone(), "a", text.replace("document", "collection"));
    let values = format!("{{\"entry\":[{}0]}}", "0,".repeat(1_000_001));
    bench.put("a million JSON values", Quarantined("TOO_COMPLEX"), "a", values);

    let xml = cda("hostile");
    let inside = |what: &str| xml.replace("BODY", what);
    let deep = inside(&format!("{}{}", "<a>".repeat(DEEP), "</a>".repeat(DEEP)));
    bench.put("deep XML", Quarantined("TOO_COMPLEX"), "a", deep);
    bench.put("half of a CDA", bad_xml.clone(), "a", &xml[..xml.len() / 2]);
    bench.put("wrongly nested XML", bad_xml.clone(), "a", inside("<a><b></a></b>"));
    bench.put("two roots", bad_xml, "a", format!("{xml}{xml}"));
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let bomb = format!("<!DOCTYPE x [<!ENTITY l0 \"ha\">{laughs}]>{}", inside("&l9;"));
    bench.put("a billion laughs", dtd.clone(), "a", bomb);
    for (name, doctype) in [
        ("a DOCTYPE", "<!DOCTYPE ClinicalDocument>"),
        ("a file as entity", "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>"),
        ("an address as entity", "<!DOCTYPE x [<!ENTITY e SYSTEM \"http://127.0.0.1:9/\">]>"),
        ("a parameter entity", "<!DOCTYPE x [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]>"),
        ("a DTD elsewhere", "<!DOCTYPE x SYSTEM \"http://127.0.0.1:9/x.dtd\">"),
    ] {
        bench.put(name, dtd.clone(), "a", format!("{doctype}{}", inside("&e;")));
    }
    bench.put("an entity that nobody defines", dtd, "a", xml.replace("20260330", "&e;"));
    let include = "<i:include xmlns:i=\"http://www.w3.org/2001/XInclude\" href=\"/etc/passwd\"/>";
    bench.put("an inclusion, which is not followed", Registered, "a", inside(include));
    bench.put(
        "a style sheet, which is not fetched",
        Registered,
        "a",
        format!("<?xml-stylesheet href=\"http://127.0.0.1:9/\"?>{xml}"),
    );
    bench.put("HTML", not_one, "a.html", "<html><body>x</body></html>");
}

pub fn identifiers(bench: &mut Bench) {
    const CPR: &str = "urn:oid:1.2.208.176.1.2";
    let bad = Quarantined("BAD_IDENTIFIER");
    // Else, a published test person, whose number fails mod 11; every other one has letters or no date.
    for (name, system, value, expected) in [
        ("CPR that fails mod 11", CPR, "0201919990", Registered),
        ("CPR with a hyphen", CPR, "020191-9990", Registered),
        ("CPR too short", CPR, "020191999", bad.clone()),
        ("CPR too long", CPR, "02019199900", bad.clone()),
        ("CPR of 31 February", CPR, "3102919990", bad.clone()),
        ("CPR of no month", CPR, "0213919990", bad.clone()),
        ("CPR of day 0", CPR, "0001919990", bad.clone()),
        ("CPR with letters", CPR, "0203951KX4", bad.clone()),
        ("CPR with full-width digits", CPR, "０２０１９１９９９０", bad.clone()),
        ("CPR with a line break", CPR, "020191&#10;9990", bad.clone()),
        ("eCPR in small letters", SUBJECT_SYSTEM, "0203951kx4", Registered),
        ("eCPR with letters elsewhere", SUBJECT_SYSTEM, "02039K1X54", bad.clone()),
        ("eCPR without letters", SUBJECT_SYSTEM, "0203951004", bad.clone()),
        ("eCPR of 31 February", SUBJECT_SYSTEM, "3102951KX4", bad),
        ("eCPR of a birth to come", SUBJECT_SYSTEM, "0101577AB2", Registered),
        ("another system alone", "urn:oid:1.2.3.4", "7", Quarantined("NO_PATIENT_IDENTIFIER")),
        ("an empty number", SUBJECT_SYSTEM, "", Quarantined("NO_PATIENT_IDENTIFIER")),
    ] {
        bench.put(name, expected, "a.xml", cda_of(name, system, value));
    }
    let many: String = (0..17)
        .map(|n| format!("<id root=\"1.2.208.176.1.6.1.1\" extension=\"{:02}03951KX4\"/>", n + 1))
        .collect();
    let seventeen = cda("17").replace("<patientRole>", &format!("<patientRole>{many}"));
    bench.put("seventeen numbers", Quarantined("TOO_MANY_IDENTIFIERS"), "a.xml", seventeen);
    let nobody = cda("nobody").replace("recordTarget", "author");
    bench.put("nobody", Quarantined("NO_PATIENT_IDENTIFIER"), "a.xml", nobody);
    let unnamed = bundle("unnamed").replace("\"identifier\":{\"system\"", "\"x\":{\"system\"");
    bench.put("a Bundle without its patient", Quarantined("SUBJECT_NOT_FOUND"), "a", unnamed);
    let limited = Quarantined("NEEDS_LIMITED_AUDIENCE");
    for (code, expected) in [
        ("R", limited.clone()),
        ("V", limited),
        ("L", Registered),
        ("n", Quarantined("UNKNOWN_CONFIDENTIALITY")),
        ("", Quarantined("UNKNOWN_CONFIDENTIALITY")),
    ] {
        let text = cda(&format!("of {code}")).replace("code=\"N\"", &format!("code=\"{code}\""));
        bench.put(&format!("confidentiality {code:?}"), expected, "a.xml", text);
    }
    let error = bundle("error").replace("\"final\"", "\"entered-in-error\"");
    bench.put("entered in error", Quarantined("ENTERED_IN_ERROR"), "a", error);
    for copy in ["one", "two"] {
        let text = cda("the same id").replace("BODY", copy);
        bench.put(&format!("{copy} of two with one document id"), Registered, "a.xml", text);
    }
}

pub fn sidecars(bench: &mut Bench) {
    let bad = Quarantined("BAD_SIDECAR");
    bench.put("a file that nothing describes", Quarantined("NO_SIDECAR"), "a.pdf", "%PDF");
    bench.put(
        "a sidecar that describes nothing",
        Quarantined("SIDECAR_WITHOUT_FILE"),
        "a.meta.json",
        sidecar(),
    );
    bench.put("a name that is only the ending", Ignored, ".meta.json", sidecar());
    let good = sidecar();
    let huge = format!("{}{good}", " ".repeat(70_000));
    let cases: Vec<(&str, Outcome, Vec<u8>)> = vec![
        ("a sidecar", Registered, good.clone().into()),
        ("a sidecar behind a mark", Registered, format!("\u{feff}{good}").into()),
        ("no bytes as sidecar", bad.clone(), Vec::new()),
        ("an unknown key", bad.clone(), good.replacen('{', "{\"confidentialty\":\"R\",", 1).into()),
        ("a key twice", bad.clone(), good.replacen('{', "{\"lifecycle\":\"final\",", 1).into()),
        (
            "a required key missing",
            bad.clone(),
            good.replace("\"confidentiality\":\"N\",", "").into(),
        ),
        ("a sidecar of 70 kB", bad.clone(), huge.into()),
        ("a deep sidecar", bad.clone(), format!("{{\"subjects\":{}", "[".repeat(60_000)).into()),
        ("a sidecar in Latin-1", bad.clone(), b"{\"subjects\":\"\xe6\"}".to_vec()),
        ("a sidecar in UTF-16", bad.clone(), utf16(&good, true, false)),
        ("half a sidecar", bad.clone(), good.as_bytes()[..good.len() / 2].to_vec()),
        (
            "a restricted sidecar",
            Quarantined("NEEDS_LIMITED_AUDIENCE"),
            good.replace("\"N\"", "\"R\"").into(),
        ),
        (
            "a sidecar of nobody",
            Quarantined("NO_PATIENT_IDENTIFIER"),
            good.replace("1.6.1.1", "9.9").into(),
        ),
        (
            "a sidecar in error",
            Quarantined("ENTERED_IN_ERROR"),
            good.replace("final", "entered-in-error").into(),
        ),
    ];
    for (name, expected, content) in cases {
        let beside = |path: &std::path::Path| {
            std::fs::write(path, format!("%PDF {name}")).expect("written");
            std::fs::write(path.with_extension("pdf.meta.json"), &content).expect("written");
        };
        bench.make(name, expected, "a.pdf", beside);
    }
    // Whatever a described file looks like.
    for (name, expected, content) in [
        ("broken XML with a sidecar", Registered, "<a"),
        ("a DOCTYPE with a sidecar", Registered, "<!DOCTYPE x>"),
        (
            "a restricted CDA with a sidecar",
            Registered,
            "<ClinicalDocument><confidentialityCode code=\"R\"/>",
        ),
        ("no bytes with a sidecar", Quarantined("EMPTY"), ""),
    ] {
        bench.make(name, expected, "a.xml", |path| {
            std::fs::write(path, content).expect("written");
            std::fs::write(path.with_extension("xml.meta.json"), sidecar()).expect("written");
        });
    }
}
