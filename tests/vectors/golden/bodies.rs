//! Vectors of what an author writes beside its log: blobs, bodies, tags and ids.

use serde_json::json;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::canonical;
use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{Commitment, LogId, RootHash};
use sundbro_ledger::object_id::{IdKey, derived_record_id};
use sundbro_ledger::payload::{
    Detail, ObservedHead, Payload, RecordRegistered, RecordVersion, RecordWithdrawn,
};
use sundbro_ledger::subject::{key_commitment, tag_value};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;

use crate::json::{File, fields, fields_of};
use crate::world::{
    self, HOSPITAL, MUNICIPALITY, X_ECPR, X_ECPR_VALUE, detail_message, record, seed,
};

pub(crate) fn blob() -> File {
    let mut file =
        File::new("blob", 5, "Blobs: salt, length, body and zeros; and their commitments.");
    let (federation, limited) = (Audience::Federation, Audience::Limited);
    for (len, audience) in [
        (0, federation),
        (4, federation),
        (28, federation),
        (29, federation),
        (476, limited),
        (477, limited),
    ] {
        let body: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
        let blob = Blob::frame(&seed(0x51), &body, audience).expect("fits");
        assert_eq!(Blob::parse(blob.bytes().clone(), audience).as_ref(), Ok(&blob));
        file.case(
            &format!("a body of {len} bytes for {}", audience_name(audience)),
            json!({
                "salt": hex::encode(seed(0x51)),
                "body": hex::encode(&body),
                "audience": audience_name(audience),
            }),
            json!({
                "blob": hex::encode(blob.bytes()),
                "payload_commitment": hex::encode(blob.payload_commitment().as_bytes()),
                "detail_commitment": hex::encode(blob.detail_commitment().as_bytes()),
            }),
        );
    }
    let good = Blob::frame(&seed(0x51), b"body", federation).expect("fits").bytes().to_vec();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    for (name, bytes, audience) in [
        ("a byte after the body", with(40, 1), federation),
        ("the last byte of the padding", with(63, 1), federation),
        ("a length that leads past the end", with(35, 29), federation),
        ("a length of 2^31", with(32, 0x80), federation),
        ("no room for the length", good[..35].to_vec(), federation),
        ("64 zeros too many", [&good[..], &[0; 64]].concat(), federation),
        ("a length for others", good.clone(), limited),
    ] {
        assert!(Blob::parse(bytes.clone().into(), audience).is_err(), "{name}");
        file.refuse(name, &bytes, json!({ "audience": audience_name(audience) }));
    }
    file
}

fn audience_name(audience: Audience) -> &'static str {
    match audience {
        Audience::Federation => "FEDERATION",
        Audience::Limited => "LIMITED",
    }
}

pub(crate) fn payload() -> File {
    let mut file =
        File::new("payload", 6, "Bodies of payloads, in the blob that a header commits to.");
    let replacing = Payload::Registered(RecordRegistered {
        record: record(0xa2),
        version: 2,
        subjects: vec![world::tag(1), world::tag(2)],
        lifecycle: v1::RecordLifecycle::Amended.into(),
        detail_commitment: Commitment::new(seed(0x74)),
        replaces: Some(RecordVersion { record: record(0xa1), version: 300 }),
    });
    let withdrawn = Payload::Withdrawn(RecordWithdrawn {
        record: record(0xa1),
        reason: v1::WithdrawalReason::SourceRemoved.into(),
    });
    let observed = Payload::Observed(Heads::new().observe(vec![head(1, 600), head(2, 7)]));
    let withdrawal = withdrawn.encode().expect("keeps every rule");
    for (name, payload) in [
        ("a record is registered", world::registration()),
        ("a version that replaces another record", replacing.clone()),
        ("a record is withdrawn", withdrawn),
        ("heads are observed", observed.clone()),
    ] {
        let body = payload.encode().expect("keeps every rule");
        let blob = Blob::frame(&seed(0x51), &body, Audience::Federation).expect("fits");
        file.case(
            name,
            json!({
                "payload": fields_of::<v1::TransactionPayload>("TransactionPayload", &body),
                "salt": hex::encode(seed(0x51)),
            }),
            json!({
                "body": hex::encode(&body),
                "blob": hex::encode(blob.bytes()),
                "commitment": hex::encode(blob.payload_commitment().as_bytes()),
            }),
        );
    }
    let good = replacing.encode().expect("keeps every rule");
    let wire: v1::TransactionPayload = canonical::decode(&good, 65_500).expect("canonical");
    let Some(v1::transaction_payload::Body::RecordRegistered(wire)) = wire.body else {
        panic!("a registration was encoded")
    };
    let mut refuse = |name: &str, bytes: &[u8]| {
        assert!(Payload::parse(bytes).is_err(), "{name}");
        file.refuse(name, bytes, json!({}));
    };
    type Change = fn(&mut v1::RecordRegistered);
    let changes: [(&str, Change); 8] = [
        ("version 0", |wire| wire.version = 0),
        ("no subjects", |wire| wire.subjects.clear()),
        ("subjects out of order", |wire| wire.subjects.reverse()),
        ("a subject twice", |wire| wire.subjects = vec![wire.subjects[0].clone(); 2]),
        ("a subject of scheme 0", |wire| wire.subjects[0].scheme = 0),
        ("no lifecycle", |wire| wire.lifecycle = 0),
        ("a commitment of 31 bytes", |wire| {
            wire.detail_commitment = wire.detail_commitment.slice(1..);
        }),
        ("a record that replaces itself", |wire| {
            wire.replaces = Some(v1::RecordVersion { record: wire.record.clone(), version: 1 });
        }),
    ];
    for (name, change) in changes {
        let mut wire = wire.clone();
        change(&mut wire);
        let body = Some(v1::transaction_payload::Body::RecordRegistered(wire));
        refuse(name, &canonical::encode(&v1::TransactionPayload { body }));
    }
    let said: v1::TransactionPayload =
        canonical::decode(&observed.encode().expect("keeps every rule"), 65_500)
            .expect("canonical");
    let Some(v1::transaction_payload::Body::Observation(observed)) = said.body else {
        panic!("an observation was encoded")
    };
    type Spoil = fn(&mut v1::Observation);
    let spoils: [(&str, Spoil); 8] = [
        ("no changed heads", |wire| wire.changed.clear()),
        ("heads out of order", |wire| wire.changed.reverse()),
        ("a head twice", |wire| wire.changed = vec![wire.changed[0].clone(); 2]),
        ("a head of size 0", |wire| wire.changed[0].size = 0),
        ("a head of size 2^63", |wire| wire.changed[0].size = 1 << 63),
        ("a root of 31 bytes", |wire| {
            wire.changed[0].root = wire.changed[0].root.slice(1..);
        }),
        ("a log id of 31 bytes", |wire| {
            wire.changed[0].log_id = wire.changed[0].log_id.slice(1..);
        }),
        ("a root of all heads of 31 bytes", |wire| wire.heads_root = wire.heads_root.slice(1..)),
    ];
    for (name, spoil) in spoils {
        let mut wire = observed.clone();
        spoil(&mut wire);
        let body = Some(v1::transaction_payload::Body::Observation(wire));
        refuse(name, &canonical::encode(&v1::TransactionPayload { body }));
    }
    refuse("nothing", &[]);
    refuse("the same thing twice", &[&good[..], &good].concat());
    let mut many = wire.clone();
    many.subjects =
        (1..=17).map(|epoch| v1::SubjectTag { epoch, ..wire.subjects[0].clone() }).collect();
    let mut unlisted = wire;
    unlisted.lifecycle = 4;
    let body = |wire| {
        let body = Some(v1::transaction_payload::Body::RecordRegistered(wire));
        canonical::encode(&v1::TransactionPayload { body })
    };
    refuse("17 subjects", &body(many));
    refuse("two kinds", &[&good[..], &withdrawal].concat());
    // Field 99, whatever is in it.
    let unknown = [0x9a, 0x06, 3, 0xff, 0xff, 0xff];
    refuse("a kind that is not known, and something after it", &[&unknown[..], &[0]].concat());
    refuse(
        "a kind that is not known, in a longer tag",
        &[&[0x9a, 0x86, 0][..], &unknown[2..]].concat(),
    );
    refuse("a kind that is not known and no message", &[0x98, 0x06, 3]);
    for (name, bytes) in [
        ("a kind that is not known", unknown.to_vec()),
        ("a lifecycle that is not known", body(unlisted)),
    ] {
        assert!(Payload::parse(&bytes).is_ok(), "{name}");
        file.accept(name, &bytes, json!({}));
    }
    file
}

/// A head of a made-up log.
fn head(log: u8, size: u64) -> ObservedHead {
    ObservedHead { log: LogId::new(seed(log)), size, root: RootHash::new(seed(0x80 | log)) }
}

pub(crate) fn observation() -> File {
    let about = "Observations, what their heads come to, and the body that says so.";
    let mut file = File::new("observation", 6, about);
    let mut heads = Heads::new();
    for (name, changed) in [
        ("the first", vec![head(2, 1)]),
        ("two more logs, one before and one after", vec![head(1, 300), head(3, u64::MAX >> 1)]),
        ("one grew and one was cut", vec![head(1, 200), head(2, 128)]),
    ] {
        let before = heads.clone();
        let observed = heads.observe(changed.clone());
        let body = Payload::Observed(observed.clone()).encode().expect("keeps every rule");
        let to_json = |heads: &mut dyn Iterator<Item = ObservedHead>| {
            let heads = heads.map(|head| fields("ObservedHead", &head.to_wire()));
            heads.collect::<Vec<_>>()
        };
        file.case(
            name,
            json!({
                "before": to_json(&mut before.iter()),
                "changed": to_json(&mut changed.into_iter()),
            }),
            json!({
                "heads_count": observed.heads_count.to_string(),
                "heads_root": hex::encode(observed.heads_root.as_bytes()),
                "body": hex::encode(&body),
            }),
        );
    }
    file
}

pub(crate) fn detail() -> File {
    let mut file = File::new("detail", 6, "Details of records: body, blob and commitment.");
    let named = v1::RecordDetail {
        audience: Some(v1::DetailAudience {
            all: false,
            members: vec![HOSPITAL.to_owned(), MUNICIPALITY.to_owned()],
        }),
        confidentiality: v1::Confidentiality::Restricted.into(),
        period: Some(v1::ClinicalPeriod {
            start_unix_seconds: Some(-86_400),
            end_unix_seconds: Some(0),
        }),
        stability: v1::Stability::OnDemand.into(),
        episodes: vec![v1::ObjectId { member: MUNICIPALITY.to_owned(), id: vec![0xe1; 16].into() }],
        class: None,
        author_unit: None,
        facility: None,
        practice_setting: None,
        language: String::new(),
        ..detail_message()
    };
    for (name, message, audience) in [
        ("for all members", detail_message(), Audience::Federation),
        ("for named members, before 1970, in an episode", named.clone(), Audience::Limited),
    ] {
        let detail = Detail::new(message).expect("keeps every rule");
        let blob = Blob::frame(&seed(0x52), &detail.encode(), audience).expect("fits");
        Detail::read(blob.bytes().clone()).expect("reads back");
        file.case(
            name,
            json!({
                "detail": fields("RecordDetail", detail.message()),
                "salt": hex::encode(seed(0x52)),
            }),
            json!({
                "body": hex::encode(detail.encode()),
                "blob": hex::encode(blob.bytes()),
                "commitment": hex::encode(blob.detail_commitment().as_bytes()),
            }),
        );
    }
    type Change = fn(&mut v1::RecordDetail);
    let changes: [(&str, Change); 14] = [
        ("no audience", |wire| wire.audience = None),
        ("an audience of all and of some", |wire| {
            wire.audience.as_mut().expect("there").all = true;
        }),
        ("an audience that does not ascend", |wire| {
            wire.audience.as_mut().expect("there").members.reverse();
        }),
        ("a media type without a slash", |wire| wire.media_type = "pdf".to_owned()),
        ("a period without an end and a start", |wire| {
            wire.period = Some(v1::ClinicalPeriod::default());
        }),
        ("a period that ends when it starts", |wire| {
            wire.period.as_mut().expect("there").end_unix_seconds = Some(-86_400);
        }),
        ("a period that ends before it starts", |wire| {
            wire.period.as_mut().expect("there").end_unix_seconds = Some(-86_401);
        }),
        ("a media type that is not ASCII", |wire| wire.media_type = "text/blåt".to_owned()),
        ("a media type with nothing after the slash", |wire| wire.media_type = "text/".to_owned()),
        ("a language with an underscore", |wire| wire.language = "da_DK".to_owned()),
        ("257 names", |wire| {
            let names = (0..257).map(|at| format!("m{at:03}.example"));
            wire.audience.as_mut().expect("there").members = names.collect();
        }),
        ("stability 3", |wire| wire.stability = 3),
        ("restricted, and for all", |wire| {
            wire.audience = Some(v1::DetailAudience { all: true, members: Vec::new() });
        }),
        ("a code without a system", |wire| {
            wire.class = Some(v1::Coding { system: String::new(), code: "1".to_owned() });
        }),
    ];
    for (name, change) in changes {
        let mut wire = named.clone();
        change(&mut wire);
        let bytes = canonical::encode(&wire);
        assert!(Detail::parse(&bytes).is_err(), "{name}");
        file.refuse(name, &bytes, json!({}));
    }
    file
}

pub(crate) fn tag() -> File {
    let mut file =
        File::new("tag", 8, "Subject tags and the commitment to the key of their epoch.");
    for (name, epoch, system, value) in [
        ("a replacement CPR number with letters", 1, X_ECPR, X_ECPR_VALUE),
        ("the same in the next epoch", 2, X_ECPR, X_ECPR_VALUE),
        ("the same value of another system", 1, "urn:oid:1.2.208.176.1.6.1.2", X_ECPR_VALUE),
        ("text that is not ASCII", 1, "https://register.example/løbenummer", "Æ-1"),
    ] {
        let key = world::subject_key(epoch);
        file.case(
            name,
            json!({
                "epoch": epoch,
                "key": hex::encode(key.expose()),
                "system": system,
                "value": value,
            }),
            json!({
                "tag": hex::encode(tag_value(&key, system, value).expect("short")),
                "key_commitment": hex::encode(key_commitment(epoch, &key)),
            }),
        );
    }
    file
}

pub(crate) fn object_id() -> File {
    let mut file = File::new("object_id", 6, "Ids of records that an adapter found.");
    for (name, adapter, source_key, generation) in [
        ("a file in a folder", "documents", "2026/graviditet/henvisning.xml", 0),
        ("the same after one withdrawal", "documents", "2026/graviditet/henvisning.xml", 1),
        ("names that run together differently", "documents2", "026/graviditet/henvisning.xml", 0),
    ] {
        let source_key: &[u8] = str::as_bytes(source_key);
        let id = derived_record_id(&IdKey::new(seed(0x41)), adapter, source_key, generation);
        file.case(
            name,
            json!({
                "id_key": hex::encode(seed(0x41)),
                "adapter": adapter,
                "source_key": hex::encode(source_key),
                "generation": generation,
            }),
            json!({ "id": hex::encode(id.expect("short")) }),
        );
    }
    file
}
