//! Each rule about a value, broken once.

use sundbro_proto::ledger::v1;

use super::*;
use crate::blob::{Blob, BlobError};
use crate::ids::{LeafHash, LogId, MemberName};
use crate::transaction::Audience;

fn record(id: u8) -> RecordId {
    RecordId { member: MemberName::new("gp.example").expect("name"), id: [id; 16] }
}

fn tag(scheme: u32, epoch: u32, value: u8) -> SubjectTag {
    SubjectTag { scheme, epoch, value: [value; 32] }
}

fn registered() -> RecordRegistered {
    RecordRegistered {
        record: record(1),
        version: 2,
        subjects: vec![tag(1, 1, 9), tag(1, 2, 1), tag(2, 1, 1)],
        lifecycle: 2,
        detail_commitment: Commitment::new([3; 32]),
        replaces: Some(RecordVersion { record: record(2), version: 1 }),
    }
}

fn encoded(body: Body) -> Vec<u8> {
    canonical::encode(&v1::TransactionPayload { body: Some(body) })
}

/// What becomes of a registration that was changed on the wire.
fn parsed(change: impl FnOnce(&mut v1::RecordRegistered)) -> Result<Payload, VoidReason> {
    let mut wire = registered_to_wire(&registered());
    change(&mut wire);
    Payload::parse(&encoded(Body::RecordRegistered(wire)))
}

fn void(change: impl FnOnce(&mut v1::RecordRegistered)) -> VoidReason {
    parsed(change).expect_err("void")
}

fn detail() -> v1::RecordDetail {
    let coding = || Some(v1::Coding { system: "http://loinc.org".into(), code: "11488-4".into() });
    v1::RecordDetail {
        record: Some(v1::RecordVersion { record: Some(object_id_to_wire(&record(1))), version: 2 }),
        audience: Some(v1::DetailAudience { all: true, members: Vec::new() }),
        class: coding(),
        media_type: "application/fhir+json; fhirVersion=4.0".into(),
        content_sha256: Bytes::from_static(&[4; 32]),
        content_size_bytes: 10,
        stability: 1,
        period: Some(v1::ClinicalPeriod {
            start_unix_seconds: Some(-5),
            end_unix_seconds: Some(0),
        }),
        author_unit: Some(v1::Identifier { system: "urn:oid:1.2".into(), value: "7".into() }),
        facility: coding(),
        practice_setting: coding(),
        confidentiality: 1,
        language: "da-DK".into(),
        episodes: vec![object_id_to_wire(&record(5)), object_id_to_wire(&record(6))],
    }
}

fn void_detail(change: impl FnOnce(&mut v1::RecordDetail)) -> VoidReason {
    let mut message = detail();
    change(&mut message);
    Detail::parse(&canonical::encode(&message)).expect_err("void")
}

#[test]
fn payloads_read_back_what_they_write() {
    let withdrawn = RecordWithdrawn { record: record(1), reason: 3 };
    for payload in [
        Payload::Registered(registered()),
        Payload::Registered(RecordRegistered { replaces: None, ..registered() }),
        Payload::Withdrawn(withdrawn),
    ] {
        let body = payload.encode().expect("not void");
        assert_eq!(Payload::parse(&body), Ok(payload));
    }
}

#[test]
fn nothing_that_is_void_is_written() {
    let payload = Payload::Registered(RecordRegistered { version: 0, ..registered() });
    assert_eq!(payload.encode(), Err(VoidReason::Field("version is 0")));
    assert_eq!(Payload::Unknown { kind: 3 }.encode(), Err(VoidReason::NotOneKind));
}

#[test]
fn a_body_says_exactly_one_thing() {
    for (what, body) in [
        ("nothing", &[][..]),
        ("no submessage", &[0x08, 1]),
        ("field 0", &[0x02, 0]),
        ("two kinds", &[0x1a, 0, 0x22, 0]),
        ("a length past the end", &[0x1a, 2, 0]),
        ("a length longer than needed", &[0x1a, 0x80, 0]),
        ("a number longer than needed", &[0x9a, 0x00, 0]),
        ("a number of more than 32 bits", &[0x9a, 0x80, 0x80, 0x80, 0x80, 0x01, 0]),
    ] {
        assert_eq!(Payload::parse(body), Err(VoidReason::NotOneKind), "{what}");
    }
}

#[test]
fn a_kind_from_the_future_is_unknown_and_not_void() {
    for (kind, body) in [(3, &[0x1a, 2, 0xff, 0xff][..]), (81, &[0x8a, 0x05, 0])] {
        assert_eq!(Payload::parse(body), Ok(Payload::Unknown { kind }));
    }
    // As long as a body can be, which no rule of a known kind would hold back.
    let filled = |len: usize| {
        let rest = u32::try_from(len - 4).expect("short");
        let varint = [rest as u8 | 0x80, (rest >> 7) as u8 | 0x80, (rest >> 14) as u8];
        Payload::parse(&[&[0x1a][..], &varint, &vec![9; len - 4]].concat())
    };
    assert_eq!(filled(MAX_BODY_LEN), Ok(Payload::Unknown { kind: 3 }));
    for len in [MAX_BODY_LEN + 1, MAX_BODY_LEN + 2] {
        assert_eq!(filled(len), Err(VoidReason::NotCanonical));
    }
}

#[test]
fn a_known_kind_with_an_unknown_or_disordered_field_is_void() {
    let body = encoded(Body::RecordWithdrawn(v1::RecordWithdrawn {
        record: Some(object_id_to_wire(&record(1))),
        reason: 1,
    }));
    assert!(Payload::parse(&body).is_ok());
    let mut longer = [&body[..], &[0x18, 1]].concat();
    longer[1] += 2;
    assert_eq!(Payload::parse(&longer), Err(VoidReason::NotCanonical));
    assert_eq!(Payload::parse(&[0x0a, 1, 0xff]), Err(VoidReason::NotCanonical));
}

#[test]
fn registrations_with_a_wrong_value_are_void() {
    use VoidReason::Field;
    assert_eq!(void(|it| it.record = None), Field("record"));
    assert_eq!(void(|it| it.version = 0), Field("version is 0"));
    assert_eq!(void(|it| it.lifecycle = 0), Field("lifecycle"));
    assert_eq!(void(|it| it.lifecycle = -1), Field("lifecycle"));
    let commitment = Field("detail_commitment is not 32 bytes");
    assert_eq!(void(|it| it.detail_commitment = Bytes::new()), commitment);
    assert_eq!(void(|it| it.replaces.as_mut().expect("one").version = 0), Field("replaces"));
    assert_eq!(void(|it| it.replaces.as_mut().expect("one").record = None), Field("replaces"));
    let itself = |it: &mut v1::RecordRegistered| {
        it.replaces.as_mut().expect("one").record = it.record.clone();
    };
    assert_eq!(void(itself), VoidReason::ReplacesItself);
    for (member, id) in [("example", 16), ("GP.example", 16), ("gp.example", 15), ("", 0)] {
        let id = Bytes::from(vec![1; id]);
        let wire = v1::ObjectId { member: member.into(), id };
        assert_eq!(void(|it| it.record = Some(wire)), Field("record"), "{member}");
    }
}

#[test]
fn subjects_are_1_to_16_and_ascend() {
    let count = VoidReason::Field("subjects are not 1 to 16");
    let order = VoidReason::Field("subjects do not ascend");
    assert_eq!(void(|it| it.subjects.clear()), count);
    let many = |count: u8| -> Vec<v1::SubjectTag> {
        let subjects = (0..count).map(|value| tag(1, 1, value)).collect();
        registered_to_wire(&RecordRegistered { subjects, ..registered() }).subjects
    };
    assert!(parsed(|it| it.subjects = many(16)).is_ok());
    assert_eq!(void(|it| it.subjects = many(17)), count);
    assert_eq!(void(|it| it.subjects.swap(0, 1)), order);
    assert_eq!(void(|it| it.subjects[1] = it.subjects[0].clone()), order);
    let zero = VoidReason::Field("a subject's scheme or epoch is 0");
    assert_eq!(void(|it| it.subjects[0].scheme = 0), zero);
    assert_eq!(void(|it| it.subjects[0].epoch = 0), zero);
    let value = VoidReason::Field("a subject's value is not 32 bytes");
    assert_eq!(void(|it| it.subjects[0].value = Bytes::from_static(&[1; 31])), value);
}

#[test]
fn enums_that_may_grow_keep_a_number_that_we_do_not_know() {
    let payload = parsed(|it| it.lifecycle = 99).expect("not void");
    assert!(matches!(payload, Payload::Registered(it) if it.lifecycle == 99));
    let withdrawn = Payload::Withdrawn(RecordWithdrawn { record: record(1), reason: 99 });
    assert!(withdrawn.encode().is_ok());
    let zero = Payload::Withdrawn(RecordWithdrawn { record: record(1), reason: 0 });
    assert_eq!(zero.encode(), Err(VoidReason::Field("reason")));
}

#[test]
fn a_payload_is_read_from_the_blob_that_its_header_describes() {
    let body = Payload::Registered(registered()).encode().expect("not void");
    let blob = Blob::frame(&[7; 32], &body, Audience::Federation).expect("fits");
    let header = Header {
        charter_version: 1,
        log_id: LogId::new([1; 32]),
        position: 0,
        previous_leaf: LeafHash::NONE,
        key_id: 1,
        incarnation: 1,
        recorded_hour: 0,
        payload_commitment: blob.payload_commitment(),
        payload_size: blob.bytes().len() as u32,
        audience: Audience::Federation,
    };
    let read = Payload::read(&header, blob.bytes().clone());
    assert_eq!(read, Ok(Payload::Registered(registered())));
    let size = Header { payload_size: header.payload_size + 64, ..header.clone() };
    assert_eq!(Payload::read(&size, blob.bytes().clone()), Err(VoidReason::PayloadSize));
    let limited = Header { audience: Audience::Limited, ..header };
    let read = Payload::read(&limited, blob.bytes().clone());
    assert!(matches!(read, Err(VoidReason::Blob(BlobError::PaddedLength { expected: 512, .. }))));
}

#[test]
fn details_read_back_what_they_write() {
    let read = Detail::new(detail()).expect("not void");
    assert_eq!(Detail::parse(&read.encode()), Ok(read.clone()));
    assert_eq!(read.record(), &RecordVersion { record: record(1), version: 2 });
    assert_eq!((read.message(), read.clone().into_message()), (&detail(), detail()));
    assert_eq!(format!("{read:?}"), "detail of record:gp.example/01010101 version 2");
    let least = v1::RecordDetail {
        class: None,
        period: None,
        author_unit: None,
        facility: None,
        practice_setting: None,
        language: String::new(),
        episodes: Vec::new(),
        content_size_bytes: 0,
        ..detail()
    };
    assert!(Detail::new(least).is_ok());
}

#[test]
fn details_with_a_wrong_value_are_void() {
    use VoidReason::Field;
    assert_eq!(void_detail(|it| it.record = None), Field("record"));
    assert_eq!(void_detail(|it| it.content_sha256.truncate(31)).code(), "FIELD_VALUE");
    for (field, reason) in [
        ("class", void_detail(|it| it.class.as_mut().expect("one").code = "x".repeat(65))),
        ("class", void_detail(|it| it.class.as_mut().expect("one").system = "x".repeat(257))),
        ("class", void_detail(|it| it.class.as_mut().expect("one").code.clear())),
        ("facility", void_detail(|it| it.facility = Some(v1::Coding::default()))),
        ("practice_setting", void_detail(|it| it.practice_setting = Some(v1::Coding::default()))),
        ("author_unit", void_detail(|it| it.author_unit = Some(v1::Identifier::default()))),
        ("author_unit", {
            void_detail(|it| it.author_unit.as_mut().expect("one").value = "x".repeat(129))
        }),
        ("media_type", void_detail(|it| it.media_type.clear())),
        ("media_type", void_detail(|it| it.media_type = "json".into())),
        ("media_type", void_detail(|it| it.media_type = "/json".into())),
        ("media_type", void_detail(|it| it.media_type = "text/".into())),
        ("media_type", void_detail(|it| it.media_type = "text/pl\u{e6}n".into())),
        ("media_type", void_detail(|it| it.media_type = "text/a\nb".into())),
        ("media_type", void_detail(|it| it.media_type = format!("text/{}", "x".repeat(123)))),
        ("stability", void_detail(|it| it.stability = 0)),
        ("stability", void_detail(|it| it.stability = 3)),
        ("confidentiality", void_detail(|it| it.confidentiality = 0)),
        ("confidentiality", void_detail(|it| it.confidentiality = 4)),
        ("language", void_detail(|it| it.language = "da_DK".into())),
        ("language", void_detail(|it| it.language = "x".repeat(36))),
    ] {
        assert_eq!(reason, Field(field));
    }
}

#[test]
fn a_period_has_an_end_that_is_after_its_start() {
    let period = |start_unix_seconds, end_unix_seconds| {
        Detail::new(v1::RecordDetail {
            period: Some(v1::ClinicalPeriod { start_unix_seconds, end_unix_seconds }),
            ..detail()
        })
        .is_ok()
    };
    assert!(period(Some(1), None) && period(None, Some(1)) && period(Some(0), Some(1)));
    assert!(!period(None, None) && !period(Some(1), Some(1)) && !period(Some(2), Some(1)));
}

#[test]
fn an_audience_is_all_or_members_in_order() {
    let audience = |all, members: &[&str]| {
        let members = members.iter().map(|&name| name.to_owned()).collect();
        let audience = Some(v1::DetailAudience { all, members });
        Detail::new(v1::RecordDetail { audience, ..detail() }).map(|it| it.audience().kind())
    };
    assert_eq!(audience(true, &[]), Ok(Audience::Federation));
    assert_eq!(audience(false, &["a.example", "b.example"]), Ok(Audience::Limited));
    let many: Vec<String> = (0..258).map(|number| format!("m{number:03}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(audience(false, &many[..256]), Ok(Audience::Limited));
    for count in [257, 258] {
        assert_eq!(audience(false, &many[..count]).expect_err("void").code(), "FIELD_VALUE");
    }
    for wrong in [
        audience(false, &[]),
        audience(true, &["a.example"]),
        audience(false, &["b.example", "a.example"]),
        audience(false, &["a.example", "a.example"]),
        audience(false, &["a"]),
        audience(false, &["a.example"; 257]),
        Detail::new(v1::RecordDetail { audience: None, ..detail() }).map(|_| Audience::Limited),
    ] {
        assert_eq!(wrong.expect_err("void").code(), "FIELD_VALUE");
    }
}

#[test]
fn a_restricted_document_never_has_a_detail_for_all() {
    let members = vec!["a.example".to_owned()];
    for confidentiality in [2, 3] {
        assert_eq!(
            void_detail(|it| it.confidentiality = confidentiality),
            VoidReason::RestrictedForAll
        );
        let audience = Some(v1::DetailAudience { all: false, members: members.clone() });
        let named = v1::RecordDetail { confidentiality, audience, ..detail() };
        assert!(Detail::new(named).is_ok());
    }
}

#[test]
fn episodes_are_at_most_16_and_ascend() {
    let ids = |ids: &[u8]| ids.iter().map(|&id| object_id_to_wire(&record(id))).collect();
    let many: Vec<u8> = (0..17).collect();
    assert_eq!(void_detail(|it| it.episodes = ids(&many)).code(), "FIELD_VALUE");
    assert_eq!(void_detail(|it| it.episodes = ids(&[2, 1])).code(), "FIELD_VALUE");
    assert_eq!(void_detail(|it| it.episodes = ids(&[1, 1])).code(), "FIELD_VALUE");
    assert_eq!(void_detail(|it| it.episodes[0].id = Bytes::new()), VoidReason::Field("episodes"));
    assert!(Detail::new(v1::RecordDetail { episodes: ids(&many[..16]), ..detail() }).is_ok());
}

#[test]
fn a_detail_is_padded_by_the_audience_that_stands_in_it() {
    let all = Detail::new(detail()).expect("not void");
    let framed = |audience| Blob::frame(&[7; 32], &all.encode(), audience).expect("fits");
    let blob = framed(Audience::Federation);
    assert_eq!(Detail::read(blob.bytes().clone()), Ok(all.clone()));
    let limited = framed(Audience::Limited);
    assert!(matches!(Detail::read(limited.bytes().clone()), Err(VoidReason::Blob(_))));
}

#[test]
fn every_reason_has_a_number_and_a_name_of_its_own() {
    use VoidReason::*;
    let all = [
        PayloadSize,
        Blob(BlobError::Padding),
        NotCanonical,
        NotOneKind,
        Field("x"),
        ReplacesItself,
        RestrictedForAll,
        OtherMembersRecord,
        ReplacesOtherMembersRecord,
        VersionGap,
        AudienceChanged,
        AfterWithdrawal,
        NotRegistered,
        OtherRecordsDetail,
    ];
    for (place, reason) in all.into_iter().enumerate() {
        assert_eq!(usize::from(reason.number()), place + 1);
        assert!(all[..place].iter().all(|other| other.code() != reason.code()));
    }
}
