//! Vectors of the charter: heads, members and their root.

use bytes::Bytes;
use serde_json::{Value, json};
use sundbro_ledger::canonical;
use sundbro_ledger::charter::{Charter, CharterHead, members_root as root_of};
use sundbro_ledger::history::Offered;
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::member::{LogEnd, LogEpoch, MemberEntry, MemberRole, MemberState};
use sundbro_ledger::merkle::leaf_hash;
use sundbro_proto::ledger::v1;

use crate::json::{File, fields_of, not_canonical};
use crate::world::{self, hospital, laboratory, municipality, seed};

fn case_of_head(file: &mut File, what: &str, charter: &Charter, federation: &FederationId) {
    let head = charter.head_bytes();
    assert_eq!(CharterHead::parse(head).as_ref(), Ok(charter.head()));
    let ordinals = charter.signatures().iter().map(|one| one.ordinal);
    let signers: Vec<Value> = ordinals
        .map(|ordinal| {
            let steward = 0x10 + u8::try_from(ordinal).expect("at most 3");
            json!({ "ordinal": ordinal, "seed": hex::encode(seed(steward)) })
        })
        .collect();
    let signatures = charter.signatures().iter();
    file.case(
        what,
        json!({
            "head": fields_of::<v1::CharterHead>("CharterHead", head),
            "signed_under": hex::encode(federation.as_bytes()),
            "signers": signers,
        }),
        json!({
            "head": hex::encode(head),
            "digest": hex::encode(charter.digest().as_bytes()),
            "signatures": signatures
                .map(|one| hex::encode(one.signature.as_bytes()))
                .collect::<Vec<_>>(),
        }),
    );
}

pub(crate) fn charter_head() -> File {
    let about = "Charter heads, their digests, and the signatures of the stewards. The digest of version 1 is the \
                 federation id.";
    let mut file = File::new("charter_head", 7, about);
    let mut history = world::history();
    let (first, federation) = (world::first_charter(), history.federation_id());
    case_of_head(&mut file, "version 1", &first, &FederationId::FOUNDING);
    case_of_head(&mut file, "version 2, with another steward", history.current(), &federation);
    let third = world::third_charter(&history);
    case_of_head(&mut file, "version 3, signed by two of three", &third, &federation);
    assert!(matches!(history.offer(third), Ok(Offered::Accepted)), "version 3 follows");

    let good = history.at(2).expect("version 2").head_bytes().clone();
    let mut refuse = |name: &str, bytes: &[u8]| {
        assert!(CharterHead::parse(bytes).is_err(), "{name}");
        file.refuse(name, bytes, json!({}));
    };
    for (name, bytes) in not_canonical(&good) {
        refuse(name, &bytes);
    }
    let wire: v1::CharterHead = canonical::decode(&good, 1 << 18).expect("canonical");
    type Change = fn(&mut v1::CharterHead);
    let small_order = |wire: &mut v1::CharterHead| {
        wire.stewards[0].public_key = Bytes::from([&[1][..], &[0; 31]].concat());
    };
    let torsion = |wire: &mut v1::CharterHead| {
        // A sum of the base point and a point of order 8 (as bytes, so that no library has to make one).
        wire.stewards[0].public_key = mixed_order_key();
    };
    let changes: [(&str, Change); 14] = [
        ("version 0", |wire| wire.version = 0),
        ("nothing before version 2", |wire| wire.previous.clear()),
        ("something before version 1", |wire| wire.version = 1),
        ("a digest of 31 bytes", |wire| wire.previous[0] = wire.previous[0].slice(1..)),
        ("environment 3", |wire| wire.environment = 3),
        ("stewards out of order", |wire| wire.stewards.reverse()),
        ("a threshold of no more than half", |wire| wire.threshold = 1),
        ("a threshold of more than all", |wire| wire.threshold = 4),
        ("two stewards with one key", |wire| {
            wire.stewards[1].public_key = wire.stewards[0].public_key.clone();
        }),
        ("an authority with another digest", |wire| {
            wire.authorities[0].certificate_sha256 = Bytes::from(vec![1; 32]);
        }),
        ("a gap in the subject epochs", |wire| wire.subject_epochs[1].epoch = 3),
        ("limits that are there and empty", |wire| {
            wire.limits = Some(v1::CharterLimits::default());
        }),
        ("a steward's key of small order", small_order),
        ("a steward's key with torsion", torsion),
    ];
    for (name, change) in changes {
        let mut wire = wire.clone();
        change(&mut wire);
        refuse(name, &canonical::encode(&wire));
    }
    file
}

/// A key that is canonical, not of small order, and has a part of order 8.
fn mixed_order_key() -> Bytes {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    let point = ED25519_BASEPOINT_POINT + EIGHT_TORSION[1];
    Bytes::copy_from_slice(point.compress().as_bytes())
}

fn many_things() -> MemberEntry {
    let mut entry = hospital();
    entry.roles.push(MemberRole::Region);
    entry.state = MemberState::Suspended;
    entry.identifiers.push(sundbro_ledger::member::RegisterIdentifier {
        system: "urn:oid:1.2.208.176.1.2".to_owned(),
        value: "1".to_owned(),
    });
    let end = LogEnd { size: 1_000, root: sundbro_ledger::ids::RootHash::new(seed(0x76)) };
    entry.log_epochs =
        vec![LogEpoch { epoch: 1, end: Some(end) }, LogEpoch { epoch: 2, end: None }];
    entry.keys[0].to = Some(1_000);
    entry.keys[1].to = Some(1_000);
    entry.keys[2].to = Some(7);
    let mut next = entry.keys[0].clone();
    (next.key_id, next.log_epoch, next.from, next.to) = (9, 2, 0, None);
    next.public_key = laboratory().keys[0].public_key.clone();
    entry.keys.push(next);
    entry
}

pub(crate) fn member_entry() -> File {
    let mut file = File::new("member_entry", 7, "Members as the charter lists them.");
    for (what, entry) in [
        ("a hospital", hospital()),
        ("a municipality", municipality()),
        ("a suspended member with closed keys and two log epochs", many_things()),
    ] {
        let bytes = entry.to_bytes();
        assert_eq!(MemberEntry::parse(&bytes).as_ref(), Ok(&entry));
        file.case(
            what,
            json!({ "entry": fields_of::<v1::MemberEntry>("MemberEntry", &bytes) }),
            json!({
                "entry": hex::encode(&bytes),
                "leaf_hash": hex::encode(leaf_hash(&bytes).as_bytes()),
            }),
        );
    }
    let good = many_things().to_bytes();
    let wire: v1::MemberEntry = canonical::decode(&good, 1 << 16).expect("canonical");
    type Change = fn(&mut v1::MemberEntry);
    let changes: [(&str, Change); 17] = [
        ("a name in upper case", |wire| wire.name = "Hospital.example".to_owned()),
        ("a name without a dot", |wire| wire.name = "hospital".to_owned()),
        ("no display name", |wire| wire.display_name.clear()),
        ("identifiers out of order", |wire| wire.identifiers.reverse()),
        ("roles out of order", |wire| wire.roles.reverse()),
        ("state 4", |wire| wire.state = 4),
        ("an endpoint without a port", |wire| wire.endpoint = "gateway.example".to_owned()),
        ("a port with a leading zero", |wire| wire.endpoint = "gateway.example:0443".to_owned()),
        ("keys out of order", |wire| wire.keys.reverse()),
        ("a key for everything", |wire| wire.keys[0].purpose = 0),
        ("a SERVICE key that is X25519", |wire| wire.keys[2].algorithm = 2),
        ("one public key twice", |wire| {
            wire.keys[1].public_key = wire.keys[0].public_key.clone();
        }),
        ("a SERVICE key with a log epoch", |wire| wire.keys[2].log_epoch = 1),
        ("a range that ends at 0", |wire| wire.keys[0].to = Some(0)),
        ("an epoch without an end before another", |wire| wire.log_epochs[0].end = None),
        ("a SEALING key of small order", |wire| {
            wire.keys[3].public_key = Bytes::from([&[1][..], &[0; 31]].concat());
        }),
        ("a SEALING key with its top bit set", |wire| {
            let mut bytes = wire.keys[3].public_key.to_vec();
            bytes[31] |= 0x80;
            wire.keys[3].public_key = bytes.into();
        }),
    ];
    let mut refused = vec![("one byte short", good[..good.len() - 1].to_vec())];
    refused.push(("an unknown field after the last", [&good[..], &[0xf8, 0x01, 0x01]].concat()));
    let role = good.windows(4).position(|four| four == [0x22, 2, 2, 5]).expect("packed roles");
    let unpacked = [&good[..role], &[0x20, 2, 0x20, 5], &good[role + 4..]].concat();
    refused.push(("roles that are not packed", unpacked));
    refused.extend(changes.map(|(name, change)| {
        let mut wire = wire.clone();
        change(&mut wire);
        (name, canonical::encode(&wire))
    }));
    for (name, bytes) in refused {
        assert!(MemberEntry::parse(&bytes).is_err(), "{name}");
        file.refuse(name, &bytes, json!({}));
    }
    let mut role = wire;
    role.roles.push(6);
    let bytes = canonical::encode(&role);
    assert!(MemberEntry::parse(&bytes).is_ok());
    file.accept("a role that is not known", &bytes, json!({}));
    file
}

pub(crate) fn members_root() -> File {
    let about = "The root that a charter head carries over its member entries.";
    let mut file = File::new("members_root", 7, about);
    let mut entries: Vec<Bytes> =
        [hospital(), municipality(), laboratory()].iter().map(MemberEntry::to_bytes).collect();
    // Bytes of an entry begin with tag, length and name; order of name is what counts.
    entries.sort_by_key(|bytes| MemberEntry::parse(bytes).expect("one of ours").name);
    for count in 0..=entries.len() {
        let (members_count, root) = root_of(&entries[..count]);
        file.case(
            &format!("{count} members"),
            json!({ "entries": entries[..count].iter().map(hex::encode).collect::<Vec<_>>() }),
            json!({
                "members_count": members_count.to_string(),
                "members_root": hex::encode(root.as_bytes()),
            }),
        );
    }
    file
}
