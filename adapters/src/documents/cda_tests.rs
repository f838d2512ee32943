//! What is read from a CDA document, and what is refused.

use proptest::prelude::*;

use super::super::attributes::MAX_ATTRIBUTE_BYTES;
use super::*;

/// The header of a document of a made-up woman with a replacement number; `{}` takes more header elements.
fn document(more: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<?xml-stylesheet href="CDA.xsl"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc">
  <id root="1.2.208.184" extension="d-1"/>
  <code code="57059-8" codeSystem="2.16.840.1.113883.6.1"/>
  <effectiveTime value="20260302101500+0100"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="da-DK"/>
  <recordTarget><patientRole>
    <id root="1.2.208.176.1.6.1.1" extension="1503901AB2"/>
    <id root="6b1f9f40-0000-4000-8000-000000000001"/>
    <id nullFlavor="NI"/>
    <patient><name>Aa &amp; B&#98;</name></patient>
    <providerOrganization><id root="1.2.3" extension="not a patient"/></providerOrganization>
  </patientRole></recordTarget>
  <author><time value="2026"/><assignedAuthor>
    <id root="1.2.3" extension="a person"/>
    <representedOrganization><id root="1.2.208.176.1.1" extension="12345678901"/></representedOrganization>
  </assignedAuthor></author>
  <custodian><assignedCustodian><representedCustodianOrganization>
    <id root="1.2.208.176.1.1" extension="98765432109"/>
  </representedCustodianOrganization></assignedCustodian></custodian>
  {more}
  <component><structuredBody/></component>
</ClinicalDocument>
<!-- the end -->
"#
    )
}

fn read_text(text: &str) -> Result<Metadata, Refusal> {
    read(text, &TimeZone::UTC)
}

fn reason(text: &str) -> QuarantineReason {
    read_text(text).err().unwrap().reason()
}

fn times_of(more: &str) -> (Option<i64>, Option<i64>) {
    let period = read_text(&document(more)).ok().unwrap().period.unwrap();
    (period.start_unix_seconds, period.end_unix_seconds)
}

#[test]
fn reads_everything_a_header_says() {
    let metadata = read_text(&document("")).ok().unwrap();
    assert_eq!(metadata.document_id.unwrap().for_operator(), "urn:oid:1.2.208.184|d-1");
    let class = metadata.class.unwrap();
    assert_eq!((class.system.as_str(), class.code.as_str()), ("http://loinc.org", "57059-8"));
    assert_eq!(metadata.language.as_deref(), Some("da-DK"));
    assert_eq!(metadata.confidentiality, ["N"]);
    assert_eq!(metadata.lifecycle, Some(Lifecycle::Final));
    let patient: Vec<_> =
        metadata.patient.iter().map(|p| (p.system.as_str(), p.value.as_str())).collect();
    assert_eq!(
        patient,
        [
            ("urn:oid:1.2.208.176.1.6.1.1", "1503901AB2"),
            ("urn:ietf:rfc:3986", "urn:uuid:6b1f9f40-0000-4000-8000-000000000001"),
        ]
    );
    assert_eq!(metadata.author_unit.unwrap().value, "12345678901");
    assert_eq!(metadata.custodian.unwrap().value, "98765432109");
    assert_eq!(metadata.warnings, []);
    assert_eq!(metadata.period.unwrap().start_unix_seconds, Some(1_772_442_900));
}

#[test]
fn takes_any_prefix_for_the_namespace() {
    let text = document("")
        .replace("xmlns=", "xmlns:n1=")
        .replace("</", "</n1:")
        .replace('<', "<n1:")
        .replace("<n1:/n1:", "</n1:")
        .replace("<n1:?", "<?")
        .replace("<n1:!", "<!");
    assert_eq!(read_text(&text).ok().unwrap().patient.len(), 2);
}

#[test]
fn does_not_take_elements_of_another_namespace() {
    let text = document("").replace("<id root", "<sdtc:id root");
    let metadata = read_text(&text).ok().unwrap();
    assert!(metadata.patient.is_empty());
    assert_eq!(metadata.document_id, None);
}

#[test]
fn names_xml_that_is_no_cda() {
    for (text, expected) in [
        ("<Bundle xmlns='http://hl7.org/fhir'/>", "root is Bundle"),
        ("<ClinicalDocument/>", "root is ClinicalDocument, not a ClinicalDocument of"),
        ("<x150390-1AB2/>", "root is of another name"),
        ("<html><body></html>", "root is html"),
    ] {
        let refusal = read_text(text).err().unwrap();
        assert_eq!(refusal.reason(), QuarantineReason::NotADocument, "{text}");
        assert!(refusal.to_string().contains(expected), "{refusal}");
    }
}

#[test]
fn refuses_doctype_and_entities() {
    let root = "<ClinicalDocument xmlns=\"urn:hl7-org:v3\">";
    for text in [
        format!(
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{root}</ClinicalDocument>"
        ),
        format!("<!DOCTYPE ClinicalDocument>{root}</ClinicalDocument>"),
        format!("{root}&x;</ClinicalDocument>"),
        format!("{root}<id root=\"&x;\"/></ClinicalDocument>"),
    ] {
        assert_eq!(reason(&text), QuarantineReason::DtdRefused, "{text}");
    }
}

#[test]
fn refuses_xml_that_breaks_off_or_goes_on() {
    let whole = document("");
    let end = whole.rfind("</ClinicalDocument>").unwrap();
    for text in [
        "".to_owned(),
        " ".to_owned(),
        whole[..end].to_owned(),
        whole[..end - 20].to_owned(),
        format!("{whole}<more/>"),
        format!("{whole}text"),
        format!("{whole}&amp;"),
        whole.replace("</author>", "</autor>"),
        whole.replace("code=\"da-DK\"", "code=\"da\" code=\"en\""),
        whole.replace("code=\"da-DK\"", "code=da-DK"),
    ] {
        assert_eq!(reason(&text), QuarantineReason::BadXml, "{text}");
    }
    let refusal = read_text(&whole.replace("</author>", "</autor>")).err().unwrap();
    assert!(refusal.to_string().contains("line 19"), "{refusal}");
}

#[test]
fn refuses_another_declared_encoding() {
    let text = document("").replace("UTF-8", "ISO-8859-1");
    assert_eq!(reason(&text), QuarantineReason::EncodingNotUtf8);
    assert!(read_text(&document("").replace("UTF-8", "utf-8")).is_ok());
}

#[test]
fn refuses_nesting_elements_and_attributes_beyond_the_limits() {
    let deep = "<section>".repeat(MAX_DEPTH);
    assert_eq!(reason(&document(&deep)), QuarantineReason::TooComplex);
    let shallow = MAX_DEPTH - 1;
    let nested = format!("{}{}", "<s>".repeat(shallow), "</s>".repeat(shallow));
    assert!(read_text(&document(&nested)).is_ok());
    let many = "<a/>".repeat(MAX_ELEMENTS as usize);
    assert_eq!(reason(&document(&many)), QuarantineReason::TooComplex);
    let names: String = (0..200).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
    assert_eq!(reason(&document(&format!("<a{names}/>"))), QuarantineReason::TooComplex);
    let wide = format!("<id root='{}'/>", "1".repeat(MAX_ATTRIBUTE_BYTES));
    assert_eq!(reason(&document(&wide)), QuarantineReason::TooComplex);
}

#[test]
fn collects_the_confidentiality_of_sections() {
    let more = "<component><section><confidentialityCode code='R'/></section></component>";
    assert_eq!(read_text(&document(more)).ok().unwrap().confidentiality, ["N", "R"]);
}

/// A masked confidentiality once counted as no confidentiality, and the document was published to everybody.
#[test]
fn a_confidentiality_that_is_masked_or_missing_is_not_taken_as_normal() {
    let read = |attributes: &str| {
        let code = "code=\"N\" codeSystem=\"2.16.840.1.113883.5.25\"";
        read_text(&document("").replace(code, attributes)).ok().unwrap().confidentiality
    };
    for unreadable in [
        "",
        "nullFlavor='MSK'",
        "nullFlavor='UNK' code='N'",
        "code=''",
        "displayName='normal'",
        "code='N' codeSystem='1.2.3'",
    ] {
        assert_eq!(read(unreadable), [""], "{unreadable}");
    }
    assert_eq!(read("code='V' codeSystem='1.2.3'"), ["V"]);
    assert_eq!(read("code='N'"), ["N"]);
    let section =
        "<component><section><confidentialityCode nullFlavor='MSK'/></section></component>";
    assert_eq!(read_text(&document(section)).ok().unwrap().confidentiality, ["N", ""]);
}

#[test]
fn a_code_with_a_line_break_is_left_out() {
    let text = document("").replace("57059-8", "57059&#10;8");
    let metadata = read_text(&text).ok().unwrap();
    assert_eq!(metadata.class, None);
    assert!(metadata.warnings.contains(&FoundWarning::FieldLeftOut));
}

#[test]
fn a_replacement_is_an_amended_document() {
    let lifecycle = |kind: &str| {
        let more = format!("<relatedDocument typeCode='{kind}'/>");
        read_text(&document(&more)).ok().unwrap().lifecycle
    };
    assert_eq!(lifecycle("RPLC"), Some(Lifecycle::Amended));
    assert_eq!(lifecycle("APND"), Some(Lifecycle::Final));
}

#[test]
fn prefers_content_time_to_service_to_encounter_to_date() {
    let service = |template: &str, low: &str, high: &str| {
        format!(
            "<documentationOf><serviceEvent><templateId root='{template}'/><effectiveTime>\
             <low value='{low}'/>{high}</effectiveTime></serviceEvent></documentationOf>"
        )
    };
    let encounter = "<componentOf><encompassingEncounter><effectiveTime value='20260101'/>\
        <location><healthCareFacility><code code='GIM' codeSystem='2.16.840.1.113883.5.10588'/>\
        </healthCareFacility></location></encompassingEncounter></componentOf>";
    const DAY: i64 = 86_400;
    let first = 1_767_225_600; // 2026-01-01T00:00Z
    assert_eq!(times_of(encounter), (Some(first), Some(first + DAY)));
    let visit = service("1.2", "20260103", "<high value='20260104'/>");
    let both = format!("{visit}{encounter}");
    assert_eq!(times_of(&both), (Some(first + 2 * DAY), Some(first + 4 * DAY)));
    let content = service(CONTENT_TIME_TEMPLATE, "20260106", "<high nullFlavor='NA'/>");
    assert_eq!(times_of(&format!("{both}{content}")), (Some(first + 5 * DAY), None));
    let facility = read_text(&document(encounter)).ok().unwrap().facility.unwrap();
    assert_eq!(facility.system, "urn:oid:2.16.840.1.113883.5.10588");
}

#[test]
fn warns_of_what_is_missing_and_goes_on() {
    let text = "<ClinicalDocument xmlns='urn:hl7-org:v3'><effectiveTime value='soon'/>\
        <recordTarget><patientRole><id root='1.2' extension='3'/></patientRole></recordTarget>\
        </ClinicalDocument>";
    let metadata = read_text(text).ok().unwrap();
    assert_eq!(
        metadata.warnings,
        [FoundWarning::BadTime, FoundWarning::NoDate, FoundWarning::NoType]
    );
    assert_eq!(metadata.patient.len(), 1);
}

proptest! {
    #[test]
    fn reading_xml_never_panics(text in "\\PC{0,80}|[<>/&;!\\[\\]?a-c=\"' -]{0,80}") {
        let _ = read_text(&text);
    }

    #[test]
    fn reading_a_mangled_document_never_panics(at in 0usize..4000, with in "\\PC{0,3}") {
        let mut text: Vec<char> = document("").chars().collect();
        let at = at % text.len();
        text.splice(at..at + 1, with.chars());
        let _ = read_text(&text.into_iter().collect::<String>());
    }
}
