//! The inputs that a law begins with: what is good, so that a fuzzer need not find signatures by luck, and what is known
//! to be hard on parsers.

use prost::Message as _;
use sundbro_ledger::chunk::make_chunk;
use sundbro_ledger::fold::Heads;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::payload::{ObservedHead, Payload};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{self as wire, Frame, want};
use sundbro_proto::ledger::v1::CharterHead;

use crate::world::{CLINIC, ENTRIES, HOSPITAL, World, world};

/// Deeper than anything that is meant.
const DEPTH: usize = 400;

/// The seeds of a target: what is good or hard, the first of them cut short, and nonsense.
///
/// # Panics
/// When there is no such target.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = good_and_hard(target);
    let cut = seeds[0].len() - 1;
    let cut = seeds[0][..cut].to_vec();
    seeds.extend([cut, vec![0xff; 3]]);
    seeds
}

fn good_and_hard(target: &str) -> Vec<Vec<u8>> {
    let world = world();
    let bytes = |bytes: &[u8]| bytes.to_vec();
    match target {
        "header" => headers(world),
        "blob" => world.blobs.iter().map(|blob| [&[0], &blob.bytes()[..]].concat()).collect(),
        "payload" => world
            .blobs
            .iter()
            .map(|blob| bytes(blob.body()))
            .chain([nested(), observed(world)])
            .collect(),
        "stored" => [0, 3, 256, 300].map(|at: usize| world.heads[at].to_bytes()).into(),
        "note" | "checkpoint" => [1, 256, ENTRIES].map(|at| bytes(&world.checkpoint(at))).into(),
        "chunk" => chunks(world).iter().map(wire::Chunk::encode_to_vec).collect(),
        "proof" => proofs(),
        "head" => heads(world),
        "charter" => charters(world).iter().map(prost::Message::encode_to_vec).collect(),
        "card" => vec![world.card.encode_to_vec()],
        "request" => messages(world),
        "receipt" => world.receipts.iter().map(prost::Message::encode_to_vec).collect(),
        "evidence" => {
            let plain = crate::evidence::samples().iter().map(|one| one.to_bytes().to_vec());
            plain.chain(crate::evidence::files()).collect()
        }
        "frame" => frames(world),
        "cda" => vec![bytes(include_bytes!("../seeds/small.xml")), deep("<a>")],
        "fhir" => vec![bytes(include_bytes!("../seeds/small.json")), deep("{\"a\":["), deep("[")],
        "sidecar" => vec![bytes(include_bytes!("../seeds/small.meta.json")), deep("{\"a\":")],
        "gateway_toml" => {
            vec![bytes(include_bytes!("../seeds/gateway.toml")), deep("a=["), deep("[a.")]
        }
        "policy" => policies(),
        "policy_cases" => {
            let table = include_bytes!("../../../../gateway/policy/cases.toml");
            vec![bytes(table), deep("case=[{a=")]
        }
        "identifier" => identifiers(),
        "name" => texts(world),
        other => panic!("no target is called {other}"),
    }
}

/// The default policies as one file, one of each, and what is hard on a parser of expressions.
fn policies() -> Vec<Vec<u8>> {
    let treatment = include_str!("../../../../gateway/policy/treatment.cedar");
    let glass = include_str!("../../../../gateway/policy/break-glass.cedar");
    let when = |expression: &str| {
        let rule =
            "@id(\"r\") @says(\"s\") permit (principal, action == Action::\"read\", resource)";
        format!("{rule} when {{ {expression} }};")
    };
    let texts = [
        format!("{treatment}{glass}"),
        treatment.to_owned(),
        glass.to_owned(),
        when("resource has class && resource.class.code like \"57*\" && 9223372036854775807 > 1"),
        when("if context.purpose == Purpose::\"TREAT\" then true else !!!false"),
        when(&"(".repeat(DEPTH)),
        when(&"!".repeat(DEPTH)),
        when(&format!("{}1", "1 + ".repeat(DEPTH))),
    ];
    texts.map(String::into_bytes).into()
}

fn deep(opening: &str) -> Vec<u8> {
    opening.repeat(DEPTH).into_bytes()
}

/// Groups in groups, which no message of ours has.
fn nested() -> Vec<u8> {
    vec![0x0b; DEPTH]
}

fn headers(world: &World) -> Vec<Vec<u8>> {
    let entry = &world.entries[2];
    let header = &entry[..entry.len() - 64];
    // A format from the future, and one that is not written as short as it can be.
    let (future, long) = ([&[8, 2][..], &header[2..]], [&[8, 0x81, 0][..], &header[2..]]);
    vec![header.to_vec(), entry.to_vec(), future.concat(), long.concat(), nested()]
}

fn chunks(world: &World) -> Vec<wire::Chunk> {
    let chunk = |start: usize, end: usize, size: u64| {
        let entries = world.entries[start..end].to_vec();
        let start = start as u64;
        let made = make_chunk(world.origin.log_id(), start, size, entries, &world.tree);
        made.expect("a range of the log").to_wire().expect("fits")
    };
    vec![chunk(0, 3, 3), chunk(2, 5, 5), chunk(254, 256, 300), chunk(256, 300, ENTRIES)]
}

fn proofs() -> Vec<Vec<u8>> {
    let claim = |kind: u8, size: u16, a: u16, b: u16, changes: &[u8]| {
        let fixed = [size.to_be_bytes(), a.to_be_bytes(), b.to_be_bytes()].concat();
        [&[kind][..], &fixed, changes].concat()
    };
    vec![
        claim(0, 300, 2, 0, &[]),
        claim(0, 299, 298, 0, &[1, 2, 7]),
        claim(1, 300, 255, 0, &[]),
        claim(1, 0, 0, 0, &[]),
        claim(2, 300, 256, 300, &[]),
        claim(2, 300, 0, 256, &[0, 0, 9]),
        claim(2, 300, 7, 7, &[]),
    ]
}

fn heads(world: &World) -> Vec<Vec<u8>> {
    let heads = world.history.versions().map(|charter| charter.head_bytes().to_vec());
    heads.chain([world.card.entry.to_vec(), nested()]).collect()
}

fn charters(world: &World) -> Vec<sundbro_proto::ledger::v1::Charter> {
    let versions = world.history.versions().chain([&world.third]);
    let mut charters: Vec<_> = versions.map(|charter| charter.to_wire()).collect();
    let mut unsigned = world.third.to_wire();
    unsigned.signatures.clear();
    charters.push(unsigned);
    // It follows another head than ours: neither taken nor anybody's fault.
    let mut other = world.history.current().to_wire();
    let mut head = CharterHead::decode(&other.head[..]).expect("ours");
    head.previous = vec![vec![9; 32].into()];
    other.head = head.encode_to_vec().into();
    charters.push(other);
    charters
}

fn messages(world: &World) -> Vec<Vec<u8>> {
    let signed = world.messages();
    let plain = signed.iter().map(|signed| signed.message.to_vec());
    plain.chain(signed.iter().map(prost::Message::encode_to_vec)).collect()
}

/// The body of an observation of two logs.
fn observed(world: &World) -> Vec<u8> {
    let head = |log, size| ObservedHead { log, size, root: RootHash::new([8; 32]) };
    let mut heads = vec![head(world.origin.log_id(), ENTRIES), head(LogId::new([9; 32]), 1)];
    heads.sort_by_key(|head| head.log);
    Payload::Observed(Heads::new().observe(heads)).encode().expect("keeps every rule")
}

/// One frame of each kind.
fn frames(world: &World) -> Vec<Vec<u8>> {
    let id = world.history.federation_id();
    let log_id = || bytes::Bytes::copy_from_slice(world.origin.log_id().as_bytes());
    let hello = wire::Hello {
        protocol_min: 1,
        protocol_max: 1,
        software: "sundbro/0.1.0".into(),
        member: CLINIC.into(),
        federation_id: bytes::Bytes::copy_from_slice(id.as_bytes()),
        incarnation: 1,
        instance_id: vec![5; 16].into(),
        charter_version: 2,
        subject_epochs: vec![1],
    };
    let head = wire::Head { log_id: log_id(), checkpoint: world.checkpoint(ENTRIES) };
    let hashes = world.tree.prove_consistency(256).expect("in the tree");
    let hashes = sundbro_ledger::merkle::proof_to_wire(&hashes);
    let proof = Some(wire::ConsistencyProof { hashes });
    let blob = world.blobs[0].bytes().clone();
    let commitment = world.blobs[0].payload_commitment().as_bytes().to_vec().into();
    let key = wire::BlobKey { position: 2, kind: 1, commitment };
    let mut tail = chunks(world).swap_remove(0);
    tail.checkpoint = world.checkpoint(3);
    let blobs = wire::WantBlobs { log_id: log_id(), keys: vec![key.clone()] };
    let entries = wire::WantEntries { log_id: log_id(), start: 0, end: 0, tree_size: 3 };
    let given = vec![wire::Blob { key: Some(key.clone()), bytes: blob }];
    let wanted = |what| Kind::Want(wire::Want { what: Some(what) });
    let kinds = [
        Kind::Hello(hello),
        Kind::Heads(wire::Heads { heads: vec![head] }),
        Kind::Consistency(wire::Consistency {
            log_id: log_id(),
            old_size: 256,
            new_size: 300,
            proof,
        }),
        wanted(want::What::Entries(entries)),
        wanted(want::What::Blobs(blobs)),
        Kind::Chunk(tail),
        Kind::Payloads(wire::Payloads { log_id: log_id(), blobs: given, missing: vec![key] }),
        Kind::Charter(wire::CharterFrame { charters: vec![world.third.to_wire()] }),
        Kind::KeyGrant(wire::KeyGrant { grant: Some(world.key_grant.clone()) }),
        Kind::Problem(wire::Problem {
            reason: "BAD_CHUNK".into(),
            message: "use another peer".into(),
            log_id: log_id(),
            closing: true,
        }),
        Kind::StartQuestion(wire::StartQuestion { round: 7 }),
        Kind::StartAnswer(wire::StartAnswer {
            round: 7,
            incarnation: 3,
            is_yours: true,
            checkpoint: world.checkpoint(ENTRIES),
        }),
        Kind::Ack(wire::Ack { log_id: log_id(), durable_size: ENTRIES }),
    ];
    kinds.map(|kind| Frame { kind: Some(kind) }.encode_to_vec()).into()
}

fn identifiers() -> Vec<Vec<u8>> {
    let value = |choice: u8, text: &str| [&[choice], text.as_bytes()].concat();
    let mut seeds: Vec<_> = (0..8).map(|choice| value(choice, "020395-1KX4")).collect();
    seeds.extend([value(0, "0101010AB1"), value(7, "1.2.3.4\nab-12"), value(7, "URN:OID:1.2\nx")]);
    seeds
}

fn texts(world: &World) -> Vec<Vec<u8>> {
    let note = String::from_utf8(world.checkpoint(ENTRIES).to_vec()).expect("text");
    let text = note.split("\n\n").next().unwrap_or_default();
    let record = world.request.body().record.to_string();
    let key = crate::world::key(HOSPITAL, 2).public();
    let verifier = sundbro_ledger::note::NoteVerifier::new(world.origin.as_str(), key);
    [
        HOSPITAL,
        world.origin.as_str(),
        &record,
        "hospital.example:7443",
        "[::ffff:1.2.3.4]:7443",
        "10.0.0.1:1",
        &world.history.federation_id().to_string(),
        &verifier.expect("a key name").vkey(),
        &format!("{text}\n"),
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
