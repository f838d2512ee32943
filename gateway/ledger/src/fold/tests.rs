//! Each rule about a record, broken once; and rows that do not depend on what came when.

use super::*;
use crate::blob::Blob;
use crate::payload::RecordVersion;
use Audience::{Federation, Limited};
use sundbro_proto::ledger::v1;

const LOG: LogId = LogId::new([1; 32]);

fn member(name: &str) -> MemberName {
    MemberName::new(name).expect("name")
}

fn record(id: u8) -> RecordId {
    RecordId { member: member("gp.example"), id: [id; 16] }
}

fn foreign() -> RecordId {
    RecordId { member: member("hospital.example"), id: [1; 16] }
}

fn registered(record: RecordId, version: u32) -> RecordRegistered {
    RecordRegistered {
        record,
        version,
        subjects: vec![SubjectTag { scheme: 1, epoch: 1, value: [9; 32] }],
        lifecycle: 2,
        detail_commitment: Commitment::new([version as u8; 32]),
        replaces: None,
    }
}

fn register(version: u32) -> Payload {
    Payload::Registered(registered(record(1), version))
}

fn withdraw(record: RecordId) -> Payload {
    Payload::Withdrawn(RecordWithdrawn { record, reason: 2 })
}

fn header(position: u64, audience: Audience) -> Header {
    Header {
        charter_version: 1,
        log_id: LOG,
        position,
        previous_leaf: LeafHash::NONE,
        key_id: 1,
        incarnation: 1,
        recorded_hour: 0,
        payload_commitment: Commitment::new([0; 32]),
        payload_size: 256,
        audience,
    }
}

/// What the last payload does after those before it, all of them here.
fn effect(said: &[(Audience, Payload)]) -> Effect {
    effect_with(said, false)
}

/// As [`effect`]; `missing_below`: something that everybody may hold came before them all and is not here.
fn effect_with(said: &[(Audience, Payload)], missing_below: bool) -> Effect {
    let mut before = None;
    let mut last = Effect::Pending;
    for (position, (audience, payload)) in (0..).zip(said) {
        let header = header(position, *audience);
        let leaf = LeafHash::new([0; 32]);
        let gp = member("gp.example");
        let after = Record::apply(before, &gp, &header, leaf, payload, missing_below);
        (last, before) = after;
    }
    last
}

fn shared(said: &[Payload]) -> Effect {
    effect(&said.iter().map(|payload| (Federation, payload.clone())).collect::<Vec<_>>())
}

#[test]
fn versions_follow_each_other_from_1() {
    assert_eq!(shared(&[register(1)]), Effect::Registered);
    assert_eq!(shared(&[register(1), register(2), register(3)]), Effect::Registered);
    for gap in [&[register(2)][..], &[register(1), register(3)], &[register(1), register(1)]] {
        assert_eq!(shared(gap), Effect::Void(VoidReason::VersionGap));
    }
    // A void version does not count.
    assert_eq!(shared(&[register(1), register(3), register(2)]), Effect::Registered);
    let last = RecordState { versions: u32::MAX, audience: Federation, withdrawn: false };
    let (gp, first) = (member("gp.example"), register(1));
    let after = judge(&gp, &header(0, Federation), Some(&first), Some(&last), false);
    assert_eq!(after, Effect::Void(VoidReason::VersionGap));
}

#[test]
fn nothing_follows_a_withdrawal() {
    let gone = [register(1), withdraw(record(1))];
    assert_eq!(shared(&gone), Effect::Withdrawn);
    let void = Effect::Void(VoidReason::AfterWithdrawal);
    assert_eq!(shared(&[&gone[..], &[register(2)]].concat()), void);
    assert_eq!(shared(&[&gone[..], &[withdraw(record(1))]].concat()), void);
    assert_eq!(shared(&[&gone[..], &[register(1)]].concat()), void);
}

#[test]
fn only_what_was_registered_is_withdrawn() {
    assert_eq!(shared(&[withdraw(record(1))]), Effect::Void(VoidReason::NotRegistered));
    let void_before = [register(2), withdraw(record(1))];
    assert_eq!(shared(&void_before), Effect::Void(VoidReason::NotRegistered));
}

#[test]
fn a_member_speaks_about_its_own_records_only() {
    let void = Effect::Void(VoidReason::OtherMembersRecord);
    assert_eq!(shared(&[Payload::Registered(registered(foreign(), 1))]), void);
    assert_eq!(shared(&[withdraw(foreign())]), void);
    let replacing = |record| {
        let replaces = Some(RecordVersion { record, version: 1 });
        Payload::Registered(RecordRegistered { replaces, ..registered(self::record(1), 1) })
    };
    let void = Effect::Void(VoidReason::ReplacesOtherMembersRecord);
    assert_eq!(shared(&[replacing(foreign())]), void);
    assert_eq!(shared(&[replacing(record(2))]), Effect::Registered);
}

#[test]
fn all_versions_have_one_audience() {
    let void = Effect::Void(VoidReason::AudienceChanged);
    assert_eq!(effect(&[(Federation, register(1)), (Limited, register(2))]), void);
    assert_eq!(effect(&[(Federation, register(1)), (Limited, withdraw(record(1)))]), void);
    assert_eq!(effect(&[(Limited, register(1)), (Limited, register(2))]), Effect::Registered);
}

#[test]
fn a_limited_payload_changes_nothing_that_all_see() {
    for after in [register(1), register(2), withdraw(record(1))] {
        let with = effect(&[(Limited, register(1)), (Federation, after.clone())]);
        let without = effect(&[(Federation, after)]);
        assert_eq!(with, without);
    }
}

#[test]
fn what_is_not_here_is_pending_and_what_is_not_known_unknown() {
    let gp = member("gp.example");
    assert_eq!(judge(&gp, &header(0, Federation), None, None, false), Effect::Pending);
    assert_eq!(shared(&[Payload::Unknown { kind: 81 }]), Effect::Unknown { kind: 81 });
}

// Version 2 and a withdrawal, whose version 1 had not arrived, were shown as void, as if their author had broken a rule.
#[test]
fn what_a_missing_payload_can_mend_is_pending_and_the_rest_is_void() {
    let check = |said: &[Payload], expected: Effect| {
        let said: Vec<_> = said.iter().map(|payload| (Federation, payload.clone())).collect();
        assert_eq!(effect_with(&said, true), expected, "{said:?}");
    };
    check(&[register(2)], Effect::Pending);
    check(&[register(1), register(3)], Effect::Pending);
    check(&[withdraw(record(1))], Effect::Pending);
    check(&[register(2), withdraw(record(1))], Effect::Pending);
    check(&[register(1), register(2)], Effect::Registered);
    check(&[register(1), withdraw(record(1))], Effect::Withdrawn);
    check(&[Payload::Unknown { kind: 81 }], Effect::Unknown { kind: 81 });
    let after = [register(1), withdraw(record(1)), register(2)];
    check(&after, Effect::Void(VoidReason::AfterWithdrawal));
    check(&[withdraw(foreign())], Effect::Void(VoidReason::OtherMembersRecord));
    let audiences = [(Federation, register(1)), (Limited, register(2))];
    assert_eq!(effect_with(&audiences, true), Effect::Void(VoidReason::AudienceChanged));
}

fn detail(version: u32, audience: v1::DetailAudience, kind: Audience) -> Blob {
    let detail = Detail::new(v1::RecordDetail {
        record: Some(v1::RecordVersion {
            record: Some(v1::ObjectId {
                member: "gp.example".into(),
                id: Bytes::from_static(&[1; 16]),
            }),
            version,
        }),
        audience: Some(audience),
        media_type: "text/plain".into(),
        content_sha256: Bytes::from_static(&[4; 32]),
        stability: 1,
        confidentiality: 1,
        ..Default::default()
    });
    Blob::frame(&[7; 32], &detail.expect("not void").encode(), kind).expect("fits")
}

fn for_all() -> v1::DetailAudience {
    v1::DetailAudience { all: true, members: Vec::new() }
}

fn first_version() -> Record {
    let leaf = LeafHash::new([0; 32]);
    let gp = member("gp.example");
    let (_, record) = Record::apply(None, &gp, &header(5, Federation), leaf, &register(1), false);
    record.expect("registered")
}

#[test]
fn a_detail_describes_the_version_beside_which_it_stands() {
    let record = first_version();
    let blob = |version| detail(version, for_all(), Federation).bytes().clone();
    let read = judge_detail(&record.newest, blob(1)).expect("not void");
    assert_eq!(*read.record(), record.newest);
    let other = judge_detail(&record.newest, blob(2));
    assert_eq!(other, Err(VoidReason::OtherRecordsDetail));
    let broken = judge_detail(&record.newest, Bytes::from_static(&[0; 64]));
    assert_eq!(broken, Err(VoidReason::Field("record")));
}

#[test]
fn a_detail_is_a_shared_row_only_if_all_may_hold_it() {
    let record = first_version();
    let (of, row) = record.detail_row(detail(1, for_all(), Federation).bytes().clone());
    assert_eq!((of, row.value()[0]), (Federation, 1));
    let named = v1::DetailAudience { all: false, members: vec!["gp.example".into()] };
    let (of, row) = record.detail_row(detail(1, named, Limited).bytes().clone());
    assert_eq!((of, row.value()[0]), (Limited, 1));
    let (of, row) = record.detail_row(Bytes::new());
    assert_eq!((of, row.value()), (Federation, &[0, 2][..]));
    let limited = Record { audience: Limited, ..record };
    let (of, _) = limited.detail_row(detail(1, for_all(), Federation).bytes().clone());
    assert_eq!(of, Limited);
}

#[test]
fn rows_have_the_documented_bytes() {
    let rows = Record { withdrawn: Some(2), ..first_version() }.rows();
    let value = [
        &[0, 0, 0, 1][..],
        &[0, 0, 0, 2],
        &[0, 0, 0, 2],
        &[0, 0, 0, 0, 0, 0, 0, 5],
        &[0; 32],
        &[1; 32],
    ];
    let bytes = [&[1, 0, 24][..], &[1; 8], &[1; 16], &value.concat()].concat();
    assert_eq!(rows[0].to_bytes(), bytes);
    let key = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &[9; 32], &[1; 8], &[0, 0, 0, 0, 0, 0, 0, 5]];
    assert_eq!(rows[1].to_bytes(), [&[2, 0, 56][..], &key.concat(), &[1; 16]].concat());
    assert_eq!(rows.len(), 2);

    let position = [0, 0, 0, 0, 0, 0, 0, 5];
    let void = Row::void(&LOG, 5, VoidReason::VersionGap).to_bytes();
    assert_eq!(void, [&[5, 0, 16][..], &[1; 8], &position, &[10]].concat());
    let unknown = Row::unknown(&LOG, 5, 81).to_bytes();
    assert_eq!(unknown, [&[6, 0, 16][..], &[1; 8], &position, &[0, 0, 0, 81]].concat());
    let replaced = RecordVersion { record: record(2), version: 3 };
    let replaced = Row::replaced(&replaced, &LOG, 5, &record(1));
    assert_eq!((replaced.view(), replaced.key().len()), (View::Replaced, 48));
    assert_eq!(replaced.value(), [&[0, 0, 0, 3][..], &[1; 16]].concat());
}

#[test]
fn a_root_takes_rows_in_order_only_and_each_of_them_counts() {
    let rows = first_version().rows();
    let root = |rows: &[&Row]| {
        let mut hasher = RootHasher::new();
        rows.iter().try_for_each(|row| hasher.add(row)).map(|()| hasher.finish())
    };
    let (first, second) = (&rows[0], &rows[1]);
    assert_eq!(root(&[second, first]), Err(RowOrderError));
    assert_eq!(root(&[first, first]), Err(RowOrderError));
    let roots = [root(&[]), root(&[first]), root(&[second]), root(&[first, second])];
    for (place, one) in roots.iter().enumerate() {
        assert!(one.is_ok() && !roots[..place].contains(one), "{place}");
    }
}
