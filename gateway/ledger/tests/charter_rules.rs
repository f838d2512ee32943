//! Every rule of one charter version, broken once: of the head, of a member entry, of both together.

mod common;

use common::{FOUNDERS, Federation, SEALING, Unsigned, key, name};
use prost::Message as _;
use sundbro_ledger::charter::{Charter, CharterError, CharterHead, HeadError, Quorums};
use sundbro_ledger::member::{MemberEntry, MemberError};
use sundbro_proto::ledger::v1;

const HOSPITAL: &str = FOUNDERS[3];

/// What a change does to a good head.
fn head_after(change: impl FnOnce(&mut v1::CharterHead)) -> Result<CharterHead, HeadError> {
    let federation = Federation::found();
    let bytes = federation.history.current().head_bytes().clone();
    let mut head = v1::CharterHead::decode(bytes).expect("a head");
    change(&mut head);
    CharterHead::parse(&head.encode_to_vec())
}

/// What a change does to a good member entry.
fn entry_after(change: impl FnOnce(&mut v1::MemberEntry)) -> Result<MemberEntry, MemberError> {
    let bytes = common::Member::new(HOSPITAL).entry.to_bytes();
    let mut entry = v1::MemberEntry::decode(bytes).expect("an entry");
    change(&mut entry);
    MemberEntry::parse(&entry.encode_to_vec())
}

fn bytes(len: usize, fill: u8) -> bytes::Bytes {
    vec![fill; len].into()
}

/// A point of small order: as an Ed25519 key it "signs" nearly everything, as an X25519 key it shares one known secret.
fn small_order() -> bytes::Bytes {
    let mut point = vec![0; 32];
    point[0] = 1;
    point.into()
}

#[test]
fn a_head_and_an_entry_read_back_what_they_write() {
    let head = head_after(|_| ()).expect("a good head");
    assert_eq!(CharterHead::parse(&head.to_bytes()), Ok(head.clone()));
    let branch = v1::LogBranch { log_id: bytes(32, 1), size: 7, root: bytes(32, 2) };
    let named = head_after(|head| head.branches = vec![branch]).expect("a good head");
    assert_eq!(CharterHead::parse(&named.to_bytes()), Ok(named.clone()));
    assert_eq!((named.branches.len(), named.branches[0].size), (1, 7));
    let entry = entry_after(|_| ()).expect("a good entry");
    assert_eq!(MemberEntry::parse(&entry.to_bytes()), Ok(entry));
    let federation = Federation::found();
    let wire = federation.history.current().to_wire();
    assert_eq!(Charter::from_wire(&wire).expect("a charter").to_wire(), wire);
}

#[test]
fn refuses_bytes_that_are_not_canonical() {
    let federation = Federation::found();
    let current = federation.history.current();
    let head = common::with_unknown_field(current.head_bytes());
    assert!(matches!(CharterHead::parse(&head), Err(HeadError::Canonical(_))));
    let entry = federation.member(HOSPITAL).entry.to_bytes();
    let entry = common::with_unknown_field(&entry);
    assert!(matches!(MemberEntry::parse(&entry), Err(MemberError::Canonical(_))));
    assert!(matches!(MemberEntry::parse(&[0; 70_000]), Err(MemberError::Canonical(_))));
}

#[test]
fn each_rule_of_a_head_refuses_what_breaks_it() {
    type Change = fn(&mut v1::CharterHead);
    let steward = |ordinal| HeadError::StewardKey { ordinal };
    let cases: Vec<(&str, Change, HeadError)> = vec![
        ("format 2", |h| h.format = 2, HeadError::Format { format: 2 }),
        ("version 0", |h| h.version = 0, HeadError::Version),
        ("version 1 with a previous", |h| h.previous = vec![bytes(32, 1)], HeadError::Previous),
        ("version 2 without one", |h| h.version = 2, HeadError::Previous),
        (
            "previous of 31 bytes",
            |h| (h.version, h.previous) = (2, vec![bytes(31, 1)]),
            HeadError::Previous,
        ),
        (
            "previous heads out of order",
            |h| (h.version, h.previous) = (2, vec![bytes(32, 2), bytes(32, 1)]),
            HeadError::Previous,
        ),
        (
            "the same previous head twice",
            |h| (h.version, h.previous) = (2, vec![bytes(32, 1), bytes(32, 1)]),
            HeadError::Previous,
        ),
        (
            "a branch without a root",
            |h| {
                h.branches =
                    vec![v1::LogBranch { log_id: bytes(32, 1), size: 1, root: bytes(0, 0) }]
            },
            HeadError::Branches,
        ),
        (
            "a branch twice",
            |h| {
                let branch = v1::LogBranch { log_id: bytes(32, 1), size: 1, root: bytes(32, 1) };
                h.branches = vec![branch.clone(), branch];
            },
            HeadError::Branches,
        ),
        ("no environment", |h| h.environment = 0, HeadError::Environment),
        ("another environment", |h| h.environment = 3, HeadError::Environment),
        ("no stewards", |h| h.stewards.clear(), HeadError::Threshold { threshold: 3, stewards: 0 }),
        ("stewards out of order", |h| h.stewards.swap(0, 1), HeadError::StewardOrder),
        ("steward 0", |h| h.stewards[0].ordinal = 0, HeadError::StewardOrder),
        ("an ordinal twice", |h| h.stewards[1].ordinal = 1, HeadError::StewardOrder),
        (
            "65 stewards",
            |h| {
                h.stewards = (1..=65)
                    .map(|ordinal| v1::Steward {
                        ordinal,
                        name: "Office".into(),
                        public_key: bytes::Bytes::copy_from_slice(
                            key(&ordinal.to_string()).public().as_bytes(),
                        ),
                    })
                    .collect();
            },
            HeadError::StewardOrder,
        ),
        (
            "a steward without a name",
            |h| h.stewards[1].name.clear(),
            HeadError::StewardName { ordinal: 2 },
        ),
        (
            "a name that rewrites a terminal",
            |h| h.stewards[1].name = "Region\u{1b}[2J".into(),
            HeadError::StewardName { ordinal: 2 },
        ),
        (
            "a name of 129 bytes",
            |h| h.stewards[1].name = "n".repeat(129),
            HeadError::StewardName { ordinal: 2 },
        ),
        ("a key of 31 bytes", |h| h.stewards[1].public_key = bytes(31, 1), steward(2)),
        ("a key of small order", |h| h.stewards[1].public_key = small_order(), steward(2)),
        ("a key that is no point", |h| h.stewards[1].public_key = bytes(32, 2), steward(2)),
        (
            "one key for two stewards",
            |h| h.stewards[3].public_key = h.stewards[1].public_key.clone(),
            HeadError::SameStewardKeyTwice { ordinal: 4 },
        ),
        (
            "a threshold of 0",
            |h| h.threshold = 0,
            HeadError::Threshold { threshold: 0, stewards: 5 },
        ),
        (
            "half of an even number",
            |h| {
                h.stewards.pop();
                h.threshold = 2;
            },
            HeadError::Threshold { threshold: 2, stewards: 4 },
        ),
        ("less than half", |h| h.threshold = 2, HeadError::Threshold { threshold: 2, stewards: 5 }),
        ("more than all", |h| h.threshold = 6, HeadError::Threshold { threshold: 6, stewards: 5 }),
        (
            "an authority twice",
            |h| h.authorities.push(h.authorities[0].clone()),
            HeadError::AuthorityOrder,
        ),
        (
            "an authority with another digest",
            |h| h.authorities[0].certificate_sha256 = bytes(32, 1),
            HeadError::Authority {
                place: 0,
                problem: "has a digest that is not that of its certificate",
            },
        ),
        (
            "an authority with a short digest",
            |h| h.authorities[0].certificate_sha256 = bytes(8, 1),
            HeadError::Authority { place: 0, problem: "has a digest that is not 32 bytes" },
        ),
        (
            "an authority without a certificate",
            |h| h.authorities[0].certificate.clear(),
            HeadError::Authority {
                place: 0,
                problem: "has no certificate, or one longer than 8,192 bytes",
            },
        ),
        (
            "an authority with a long certificate",
            |h| h.authorities[0].certificate = bytes(8_193, 0x30),
            HeadError::Authority {
                place: 0,
                problem: "has no certificate, or one longer than 8,192 bytes",
            },
        ),
        (
            "certified names out of order",
            |h| h.authorities[0].members.swap(0, 1),
            HeadError::Authority { place: 0, problem: "has member names that do not ascend" },
        ),
        (
            "a certified name that is none",
            |h| h.authorities[0].members[0] = "GP.example".into(),
            HeadError::Authority { place: 0, problem: "may certify a name that is no member name" },
        ),
        ("empty limits", |h| h.limits = Some(v1::CharterLimits::default()), HeadError::EmptyLimits),
        ("epochs from 0", |h| h.subject_epochs[0].epoch = 0, HeadError::SubjectEpochs),
        (
            "a gap in the epochs",
            |h| {
                let third = v1::SubjectEpoch { epoch: 3, ..h.subject_epochs[0].clone() };
                h.subject_epochs.push(third);
            },
            HeadError::SubjectEpochs,
        ),
        (
            "a scheme from the future",
            |h| h.subject_epochs[0].scheme = 2,
            HeadError::SubjectEpoch {
                epoch: 1,
                problem: "has a scheme that this software does not know: upgrade it",
            },
        ),
        (
            "a short commitment",
            |h| h.subject_epochs[0].key_commitment = bytes(16, 1),
            HeadError::SubjectEpoch { epoch: 1, problem: "has a commitment that is not 32 bytes" },
        ),
        ("a short members root", |h| h.members_root = bytes(20, 1), HeadError::MembersRoot),
    ];
    for (what, change, expected) in cases {
        assert_eq!(head_after(change), Err(expected), "{what}");
    }
}

#[test]
fn each_rule_of_a_member_entry_refuses_what_breaks_it() {
    type Change = fn(&mut v1::MemberEntry);
    let cases: Vec<(&str, Change, MemberError)> = vec![
        ("no display name", |e| e.display_name.clear(), MemberError::DisplayName),
        ("a long display name", |e| e.display_name = "n".repeat(201), MemberError::DisplayName),
        ("a line break in it", |e| e.display_name = "a\nb".into(), MemberError::DisplayName),
        (
            "an identifier twice",
            |e| e.identifiers.push(e.identifiers[0].clone()),
            MemberError::Identifiers,
        ),
        (
            "an identifier without a value",
            |e| e.identifiers[0].value.clear(),
            MemberError::Identifiers,
        ),
        (
            "17 identifiers",
            |e| {
                e.identifiers = (b'a'..=b'q')
                    .map(|one| v1::RegisterIdentifier {
                        system: char::from(one).into(),
                        value: "1".into(),
                    })
                    .collect();
            },
            MemberError::Identifiers,
        ),
        ("role 0", |e| e.roles = vec![0], MemberError::Roles),
        ("a negative role", |e| e.roles = vec![-1], MemberError::Roles),
        ("a role twice", |e| e.roles = vec![2, 2], MemberError::Roles),
        ("roles out of order", |e| e.roles = vec![3, 2], MemberError::Roles),
        ("no state", |e| e.state = 0, MemberError::State),
        ("a state from the future", |e| e.state = 4, MemberError::State),
        ("key id 0", |e| e.keys[0].key_id = 0, MemberError::KeyOrder),
        ("a key id twice", |e| e.keys[1].key_id = 1, MemberError::KeyOrder),
        ("keys out of order", |e| e.keys.swap(0, 1), MemberError::KeyOrder),
        ("no purpose", |e| e.keys[0].purpose = 0, MemberError::KeyPurpose { key_id: 1 }),
        (
            "a purpose from the future",
            |e| e.keys[0].purpose = 7,
            MemberError::KeyPurpose { key_id: 1 },
        ),
        ("no algorithm", |e| e.keys[0].algorithm = 0, MemberError::KeyAlgorithm { key_id: 1 }),
        (
            "an X25519 key that signs",
            |e| e.keys[0].algorithm = 2,
            MemberError::KeyAlgorithm { key_id: 1 },
        ),
        (
            "an Ed25519 key that opens",
            |e| e.keys[3].algorithm = 1,
            MemberError::KeyAlgorithm { key_id: 4 },
        ),
        ("a short key", |e| e.keys[0].public_key = bytes(31, 1), MemberError::BadKey { key_id: 1 }),
        (
            "a key of small order",
            |e| e.keys[0].public_key = small_order(),
            MemberError::BadKey { key_id: 1 },
        ),
        (
            "a key that is no point",
            |e| e.keys[0].public_key = bytes(32, 2),
            MemberError::BadKey { key_id: 1 },
        ),
        (
            "a sealing key of small order",
            |e| e.keys[3].public_key = small_order(),
            MemberError::BadKey { key_id: SEALING },
        ),
        (
            "a public key twice",
            |e| e.keys[2].public_key = e.keys[0].public_key.clone(),
            MemberError::SameKeyTwice { key_id: 3 },
        ),
        (
            "a log key of no log",
            |e| e.keys[0].log_epoch = 0,
            MemberError::KeyLogEpoch { key_id: 1 },
        ),
        (
            "a log key of a log to come",
            |e| e.keys[1].log_epoch = 2,
            MemberError::KeyLogEpoch { key_id: 2 },
        ),
        (
            "a service key of a log",
            |e| e.keys[2].log_epoch = 1,
            MemberError::KeyLogEpoch { key_id: 3 },
        ),
        ("a key that ends at 0", |e| e.keys[0].to = Some(0), MemberError::KeyRange { key_id: 1 }),
        ("no log epochs", |e| e.log_epochs.clear(), MemberError::LogEpochs),
        ("log epochs from 2", |e| e.log_epochs[0].epoch = 2, MemberError::LogEpochs),
        (
            "a log epoch after one without an end",
            |e| e.log_epochs.push(v1::LogEpoch { epoch: 2, end: None }),
            MemberError::LogEpochWithoutEnd { epoch: 1 },
        ),
        (
            "an end without a root",
            |e| e.log_epochs[0].end = Some(v1::LogEnd { size: 1, root: bytes(0, 0) }),
            MemberError::LogEnd { epoch: 1 },
        ),
    ];
    for (what, change, expected) in cases {
        assert_eq!(entry_after(change), Err(expected), "{what}");
    }
    assert!(matches!(entry_after(|e| e.name = "Gp.example".into()), Err(MemberError::Name(_))));
    assert!(matches!(entry_after(|e| e.endpoint = "gp".into()), Err(MemberError::Endpoint(_))));
    let full = entry_after(|e| {
        let like = e.keys[2].clone();
        e.keys = (1..=513).map(|key_id| v1::MemberKey { key_id, ..like.clone() }).collect();
    });
    assert_eq!(full, Err(MemberError::TooManyKeys));
}

#[test]
fn roles_from_the_future_are_kept() {
    let entry = entry_after(|e| e.roles = vec![2, 77]).expect("a good entry");
    assert_eq!(MemberEntry::parse(&entry.to_bytes()), Ok(entry));
}

#[test]
fn each_rule_of_one_charter_refuses_what_breaks_it() {
    let federation = Federation::found();
    let refused = |change: fn(&mut Unsigned)| federation.successor(change).expect_err("refused");
    assert!(matches!(
        refused(|next| next.member(HOSPITAL).state = 0),
        CharterError::Member { place: 3, source } if *source == MemberError::State
    ));
    assert_eq!(
        refused(|next| next.head.authorities[0].members.push("zz.example".into())),
        CharterError::UnknownCertifiedMember { name: name("zz.example") }
    );

    let good = federation.history.current().to_wire();
    let after = |change: fn(&mut v1::Charter)| {
        let mut wire = good.clone();
        change(&mut wire);
        Charter::from_wire(&wire).expect_err("refused")
    };
    assert_eq!(after(|wire| wire.members.swap(0, 1)), CharterError::MemberOrder);
    assert_eq!(after(|wire| wire.members.truncate(4)), CharterError::MembersRoot);
    let other = |wire: &mut v1::Charter| {
        let mut entry = v1::MemberEntry::decode(wire.members[0].clone()).expect("an entry");
        entry.endpoint = "elsewhere.example:1".into();
        wire.members[0] = entry.encode_to_vec().into();
    };
    assert_eq!(after(other), CharterError::MembersRoot);
    assert_eq!(after(|wire| wire.signatures.swap(0, 1)), CharterError::Signatures);
    let twice = |wire: &mut v1::Charter| wire.signatures.insert(0, wire.signatures[0].clone());
    assert_eq!(after(twice), CharterError::Signatures);
    assert_eq!(after(|wire| wire.signatures[0].signature = bytes(63, 1)), CharterError::Signatures);
    let many = |wire: &mut v1::Charter| {
        let one = wire.signatures[0].clone();
        wire.signatures =
            (1..=129).map(|ordinal| v1::StewardSignature { ordinal, ..one.clone() }).collect();
    };
    assert_eq!(after(many), CharterError::Signatures);
    assert!(matches!(
        after(|wire| wire.members.push(bytes(1 << 20, 0))),
        CharterError::TooLong { len } if len > 1 << 20
    ));
}

#[test]
fn quorums_lie_between_one_and_the_others_and_meet() {
    let federation = Federation::found();
    for (recovery, witness, valid) in [
        (0, 0, true),
        (1, 4, true),
        (4, 1, true),
        (4, 4, true),
        (2, 3, true),
        (2, 2, false),
        (0, 3, false),
        (3, 0, false),
        (5, 1, false),
        (1, 5, false),
        (u32::MAX, 1, false),
    ] {
        let charter = federation.successor(|next| {
            (next.head.recovery_quorum, next.head.witness_quorum) = (recovery, witness);
        });
        let expected = CharterError::Quorums { recovery, witness, others: 4 };
        match charter {
            Ok(_) => assert!(valid, "{recovery} and {witness} of 4"),
            Err(error) => assert_eq!((error, valid), (expected, false)),
        }
    }
    // Four others: a majority of three witnesses, and two answers meet at least one of them.
    let defaults = federation.history.current().quorums();
    assert_eq!(defaults, Quorums { recovery: 2, witness: 3 });
    let alone = federation.successor(|next| {
        next.members.retain(|name, _| name == HOSPITAL);
        next.head.authorities.clear();
    });
    assert_eq!(alone.expect("valid by itself").quorums(), Quorums { recovery: 0, witness: 0 });
}
