//! Vectors of what an author signs: headers and entries.

use serde_json::{Value, json};
use sundbro_ledger::canonical;
use sundbro_ledger::ids::{Commitment, FederationId, LeafHash, LogId};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::signing::{Purpose, verify_strict};
use sundbro_ledger::transaction::{Audience, Draft, Header, SignedTransaction};
use sundbro_proto::ledger::v1;

use crate::json::{File, fields_of, not_canonical};
use crate::strict::lenient_signatures;
use crate::world::{self, key, seed};

fn first_header() -> Header {
    Header {
        charter_version: 1,
        log_id: LogId::new(seed(0x71)),
        position: 0,
        previous_leaf: LeafHash::NONE,
        key_id: 1,
        incarnation: 1,
        recorded_hour: 0,
        payload_commitment: Commitment::new(seed(0x73)),
        payload_size: 64,
        audience: Audience::Federation,
    }
}

fn later_header() -> Header {
    Header {
        charter_version: 300,
        position: (1 << 62) + 1,
        previous_leaf: LeafHash::new(seed(0x72)),
        key_id: 128,
        incarnation: u32::MAX,
        recorded_hour: 491_000,
        payload_size: 65_536,
        audience: Audience::Limited,
        ..first_header()
    }
}

fn header_fields(header: &Header) -> Value {
    fields_of::<v1::TransactionHeader>("TransactionHeader", &header.to_bytes())
}

pub(crate) fn header() -> File {
    let mut file = File::new("header", 4, "The signed header of a transaction.");
    for (name, header) in [
        ("the first of a log, with default values left out", first_header()),
        ("numbers of several bytes, for named members", later_header()),
    ] {
        let bytes = header.to_bytes();
        assert_eq!(Header::parse(&bytes).as_ref(), Ok(&header));
        let expected = json!({ "bytes": hex::encode(&bytes) });
        file.case(name, json!({ "header": header_fields(&header) }), expected);
    }
    let good = later_header().to_bytes();
    let mut refuse = |name: &str, bytes: &[u8]| {
        assert!(Header::parse(bytes).is_err(), "{name}");
        file.refuse(name, bytes, json!({}));
    };
    for (name, bytes) in not_canonical(&good) {
        refuse(name, &bytes);
    }
    refuse("longer than 512 bytes", &[&good[..], &[0; 400]].concat());
    let wire: v1::TransactionHeader = canonical::decode(&good, 512).expect("canonical");
    type Change = fn(&mut v1::TransactionHeader);
    let changes: [(&str, Change); 8] = [
        ("charter_version 0", |wire| wire.charter_version = 0),
        ("key_id 0", |wire| wire.key_id = 0),
        ("incarnation 0", |wire| wire.incarnation = 0),
        ("payload_size 65,537", |wire| wire.payload_size = 65_537),
        ("no audience", |wire| wire.audience = 0),
        ("audience 3", |wire| wire.audience = 3),
        ("a log_id of 31 bytes", |wire| wire.log_id = wire.log_id.slice(1..)),
        ("no previous_leaf", |wire| wire.previous_leaf.clear()),
    ];
    for (name, change) in changes {
        let mut wire = wire.clone();
        change(&mut wire);
        refuse(name, &canonical::encode(&wire));
    }
    // A default that is written: recorded_hour 0 between the fields that stand around it.
    let first = first_header().to_bytes();
    let at = first.windows(2).position(|two| two == [0x4a, 0x20]).expect("field 9 is there");
    refuse(
        "a default value that is written",
        &[&first[..at], &[0x40, 0x00], &first[at..]].concat(),
    );
    file
}

pub(crate) fn entry() -> File {
    let mut file = File::new("entry", 4, "An entry of a log: a header and its signature.");
    let history = world::history();
    let federation = history.federation_id();
    let log_id = *world::story(&history).head.log_id();
    let mut head = LogHead::new(log_id);
    for (name, incarnation) in [("the first of a log", 1), ("the one that follows it", 2)] {
        let draft = Draft {
            charter_version: 1,
            key_id: 1,
            incarnation,
            recorded_hour: 491_000,
            payload_commitment: Commitment::new(seed(0x73)),
            payload_size: 64,
            audience: Audience::Federation,
        };
        let entry = head.sign_next(draft, &key(0x01), &federation);
        assert_eq!(SignedTransaction::parse(entry.entry_bytes()).as_ref(), Ok(&entry));
        let verified = head.verify(entry.clone(), &history).expect("signed as it must be");
        head.append(&verified).expect("it follows");
        file.case(
            name,
            json!({
                "federation_id": hex::encode(federation.as_bytes()),
                "seed": hex::encode(seed(0x01)),
                "header": header_fields(entry.header()),
            }),
            json!({
                "public_key": hex::encode(key(0x01).public().as_bytes()),
                "entry": hex::encode(entry.entry_bytes()),
                "leaf_hash": hex::encode(entry.leaf().as_bytes()),
            }),
        );
    }
    refused_entries(&mut file, &federation);
    file
}

/// Good headers under signatures that do not count.
fn refused_entries(file: &mut File, federation: &FederationId) {
    let header = first_header().to_bytes();
    let message = Purpose::Transaction.message(federation, &header);
    let mut refuse = |name: &str, public_key: &[u8; 32], signature: &[u8; 64]| {
        assert!(verify_strict(public_key, &message, signature).is_err(), "{name}");
        let entry = [&header[..], signature].concat();
        assert!(SignedTransaction::parse(&entry).is_ok(), "{name}: the signature is what is wrong");
        let context = json!({
            "federation_id": hex::encode(federation.as_bytes()),
            "public_key": hex::encode(public_key),
            "section": 2,
        });
        file.refuse(name, &entry, context);
    };
    for one in lenient_signatures(&seed(0x01), &message) {
        refuse(one.name, &one.public_key, &one.signature);
    }
    let other = FederationId::new(seed(0xf1));
    for (name, purpose, federation) in [
        ("signed for another purpose", Purpose::Request, federation),
        ("signed for another federation", Purpose::Transaction, &other),
        ("signed for no federation", Purpose::Transaction, &FederationId::FOUNDING),
    ] {
        let signature = key(0x01).sign(purpose, federation, &header);
        refuse(name, key(0x01).public().as_bytes(), signature.as_bytes());
    }
}
