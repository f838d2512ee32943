//! Vectors of evidence: two statements of one log that exclude each other, and what breaks one rule of it.

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use sundbro_ledger::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::evidence::{Evidence, TreeLeaf};
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, proof_to_wire};
use sundbro_ledger::note::key_hash;
use sundbro_ledger::signing::Purpose;
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::evidence::Contradiction as Wire;

use crate::forge::{CHECKPOINT, TRANSACTION};
use crate::json::{File, not_canonical};
use crate::world::{HOSPITAL, key, name, seed};

/// Where the histories part.
pub(crate) const PARTING: u64 = 3;

/// One history of a log.
pub(crate) struct Branch {
    federation: FederationId,
    origin: Origin,
    pub(crate) entries: Vec<Bytes>,
    tree: MemoryTree,
}

impl Branch {
    /// `size` entries of the hospital's log that name this charter version, those from the parting on with this
    /// incarnation and this payload.
    pub(crate) fn new(
        federation: &FederationId,
        charter_version: u64,
        size: u64,
        (incarnation, payload): (u32, u8),
    ) -> Self {
        Self::of(HOSPITAL, federation, size, |header| {
            header.charter_version = charter_version;
            if header.position >= PARTING {
                header.incarnation = incarnation;
                header.payload_commitment = seed(payload).to_vec().into();
            }
        })
    }

    /// Entries of a member's log that follow one another, but for what is changed.
    fn of(
        member: &str,
        federation: &FederationId,
        size: u64,
        change: impl Fn(&mut v1::TransactionHeader),
    ) -> Self {
        let origin = Origin::new(&name(member), federation, 1);
        let (mut entries, mut tree) = (Vec::new(), MemoryTree::new());
        let mut previous = [0; 32];
        for position in 0..size {
            let mut header = v1::TransactionHeader {
                format: 1,
                charter_version: 2,
                log_id: origin.log_id().as_bytes().to_vec().into(),
                position,
                previous_leaf: previous.to_vec().into(),
                key_id: 1,
                incarnation: 1,
                recorded_hour: 491_000,
                payload_commitment: seed(0x73).to_vec().into(),
                payload_size: 64,
                audience: v1::Audience::Federation.into(),
            };
            change(&mut header);
            let header = header.encode_to_vec();
            let signature = key(TRANSACTION).sign(Purpose::Transaction, federation, &header);
            let entry = Bytes::from([&header[..], signature.as_bytes()].concat());
            previous = *leaf_hash(&entry).as_bytes();
            tree.append(leaf_hash(&entry));
            entries.push(entry);
        }
        Self { federation: *federation, origin, entries, tree }
    }

    pub(crate) fn entry(&self) -> &Bytes {
        &self.entries[usize::try_from(PARTING).expect("small")]
    }

    /// The note of its first entries.
    pub(crate) fn note(&self, size: u64) -> Bytes {
        let root = self.tree.root_at(size).expect("it is that long");
        sign_checkpoint(&Checkpoint::new(&self.origin, size, root), &key(CHECKPOINT)).into()
    }

    /// The note of all of it.
    pub(crate) fn whole_note(&self) -> Bytes {
        self.note(self.tree.size())
    }

    /// What its tree holds at a position.
    pub(crate) fn side(&self, position: u64) -> v1::TreeSide {
        let place = usize::try_from(position).expect("small");
        let proof = self.tree.prove_inclusion(position).expect("it is that long");
        v1::TreeSide {
            checkpoint: self.whole_note(),
            leaf_hash: leaf_hash(&self.entries[place]).as_bytes().to_vec().into(),
            inclusion_proof: proof_to_wire(&proof),
        }
    }
}

/// The three kinds of evidence about two histories of one log.
pub(crate) fn of_entries(one: &Branch, other: &Branch) -> Evidence {
    Evidence::of_entries(one.entry(), other.entry()).expect("they part there")
}

pub(crate) fn of_checkpoints(one: &Branch, other: &Branch) -> Evidence {
    let public = key(CHECKPOINT).public();
    let verified = |note: &[u8]| {
        let checkpoint = UnverifiedCheckpoint::parse(note).expect("a note");
        checkpoint.verify(&public).expect("signed")
    };
    let (one, other) = (verified(&one.whole_note()), verified(&other.whole_note()));
    Evidence::of_checkpoints((&one, &public), (&other, &public)).expect("they differ")
}

pub(crate) fn of_trees(one: &Branch, other: &Branch) -> Evidence {
    let public = key(CHECKPOINT).public();
    let checkpoints = [one, other].map(|branch| {
        let checkpoint = UnverifiedCheckpoint::parse(&branch.whole_note()).expect("a note");
        checkpoint.verify(&public).expect("signed")
    });
    let leaf = |branch: &Branch, place: usize| TreeLeaf {
        checkpoint: &checkpoints[place],
        key: &public,
        leaf: leaf_hash(branch.entry()),
        proof: branch.tree.prove_inclusion(PARTING).expect("it is that long"),
    };
    Evidence::of_trees(PARTING, &leaf(one, 0), &leaf(other, 1)).expect("they differ")
}

pub(crate) fn evidence() -> File {
    let about = "Evidence of equivocation: two statements of the writer of one log that exclude each other, in any order \
                 and as they are made of it.";
    let mut file = File::new("evidence", 10, about);
    let federation = FederationId::new(seed(0xf1));
    let branch = |size, apart| Branch::new(&federation, 2, size, apart);
    let (one, other) = (branch(6, (1, 0x74)), branch(6, (1, 0x75)));
    let (later, longer) = (branch(6, (2, 0x74)), branch(9, (1, 0x75)));
    let entry = |branch: &Branch| json!({ "entry": hex::encode(branch.entry()) });
    add(&mut file, "two entries", [&one, &other].map(entry), &of_entries(&one, &other));
    let two_starts = of_entries(&one, &later);
    add(&mut file, "two entries of two starts", [&later, &one].map(entry), &two_starts);
    let (notes, cosigned) = (note_json(&one.whole_note()), note_json(&cosigned(&other)));
    let made = of_checkpoints(&one, &other);
    add(&mut file, "two roots of one size, one cosigned", [notes, cosigned], &made);
    let trees = |one: &Branch, other: &Branch| [one, other].map(side_json);
    add(&mut file, "two trees of one size", trees(&other, &one), &of_trees(&one, &other));
    let made = of_trees(&one, &longer);
    add(&mut file, "two trees of two sizes", trees(&one, &longer), &made);
    refuse_all(&mut file, &one, &other, &longer);
    file
}

/// A note with a line of a witness.
fn cosigned(branch: &Branch) -> Bytes {
    let base64 = base64::engine::general_purpose::STANDARD;
    let line = base64::Engine::encode(&base64, [&[1; 12][..], &[2; 64]].concat());
    [&branch.whole_note()[..], format!("\u{2014} witness.example/w1 {line}\n").as_bytes()]
        .concat()
        .into()
}

fn note_json(note: &Bytes) -> Value {
    json!({ "note": String::from_utf8(note.to_vec()).expect("text") })
}

fn side_json(branch: &Branch) -> Value {
    let side = branch.side(PARTING);
    let proof: Vec<String> = side.inclusion_proof.iter().map(hex::encode).collect();
    let mut all = note_json(&side.checkpoint);
    all["leaf_hash"] = hex::encode(&side.leaf_hash).into();
    all["inclusion_proof"] = proof.into();
    all
}

fn add(file: &mut File, what: &str, sides: [Value; 2], made: &Evidence) {
    let wire = v1::Evidence::decode(made.to_bytes()).expect("a message");
    let (contradiction, position) = match wire.contradiction.expect("one") {
        Wire::TwoEntries(_) => ("two_entries", None),
        Wire::TwoCheckpoints(_) => ("two_checkpoints", None),
        Wire::TwoTrees(two) => ("two_trees", Some(two.position.to_string())),
    };
    let mut expected = json!({
        "evidence": hex::encode(made.to_bytes()),
        "digest": hex::encode(made.digest().as_bytes()),
        "log_id": hex::encode(made.log().as_bytes()),
        "kind": made.kind().code(),
    });
    if let Some(parting) = made.parting() {
        expected["parting"] = parting.to_string().into();
    }
    let input = json!({ "contradiction": contradiction, "position": position, "sides": sides });
    file.case(what, input, expected);
}

fn encoded(contradiction: Wire) -> Vec<u8> {
    v1::Evidence { format: 1, contradiction: Some(contradiction) }.encode_to_vec()
}

fn entries(a: impl Into<Bytes>, b: impl Into<Bytes>) -> Vec<u8> {
    encoded(Wire::TwoEntries(v1::TwoEntries { a: a.into(), b: b.into() }))
}

fn checkpoints(a: impl Into<Bytes>, b: impl Into<Bytes>) -> Vec<u8> {
    encoded(Wire::TwoCheckpoints(v1::TwoCheckpoints { a: a.into(), b: b.into() }))
}

/// Both sides in ascending order, so that nothing but what is meant is wrong.
fn ascending(a: Bytes, b: Bytes) -> [Bytes; 2] {
    if a <= b { [a, b] } else { [b, a] }
}

fn refuse_all(file: &mut File, one: &Branch, other: &Branch, longer: &Branch) {
    let mut refuse = |what: &str, bytes: &[u8]| {
        assert!(Evidence::parse(bytes).is_err(), "{what}");
        file.refuse(what, bytes, json!({}));
    };
    let whole = of_entries(one, other).to_bytes();
    for (what, bytes) in not_canonical(&whole) {
        refuse(what, &bytes);
    }
    refuse("no contradiction", &[0x08, 0x01]);
    let second = of_checkpoints(one, other).to_bytes();
    refuse("two contradictions", &[&whole[..], &second[2..]].concat());
    refuse_entries(&mut refuse, one, other);
    refuse_checkpoints(&mut refuse, one, other, longer);
    refuse_trees(&mut refuse, one, other);
}

fn refuse_entries(refuse: &mut impl FnMut(&str, &[u8]), one: &Branch, other: &Branch) {
    let [a, b] = ascending(one.entry().clone(), other.entry().clone());
    refuse("two entries, the second one absent", &entries(a.clone(), Bytes::new()));
    refuse("two entries in descending order", &entries(b.clone(), a.clone()));
    refuse("one entry twice", &entries(a.clone(), a.clone()));
    refuse("an entry that is none", &entries(a.clone(), Bytes::from(vec![0xff; 200])));
    let [first, second] = ascending(one.entries[4].clone(), other.entry().clone());
    refuse("entries of two positions", &entries(first, second));
    let elsewhere = Branch::of("vestby.kommune.example", &one.federation, 6, |_| ());
    let [first, second] = ascending(a, elsewhere.entry().clone());
    refuse("entries of two logs", &entries(first, second));
}

fn refuse_checkpoints(
    refuse: &mut impl FnMut(&str, &[u8]),
    one: &Branch,
    other: &Branch,
    longer: &Branch,
) {
    let both = |a: Bytes, b: Bytes| {
        let [a, b] = ascending(a, b);
        checkpoints(a, b)
    };
    let [a, b] = ascending(one.whole_note(), other.whole_note());
    refuse("two notes in descending order", &checkpoints(b.clone(), a.clone()));
    refuse("one note twice", &checkpoints(a.clone(), a.clone()));
    refuse("two notes, one absent", &checkpoints(Bytes::new(), a.clone()));
    refuse("a note that is none", &checkpoints(a, Bytes::from_static(b"\xe2\x80\x94\n")));
    refuse("a note with the line of a witness", &both(one.whole_note(), cosigned(other)));
    refuse("roots of two sizes", &both(one.whole_note(), longer.whole_note()));
    let elsewhere = Branch::of("vestby.kommune.example", &one.federation, 6, |_| ());
    refuse("notes of two logs", &both(one.whole_note(), elsewhere.whole_note()));
    refuse("one root with other lines after it", &both(one.whole_note(), extended(one)));
    refuse("a note signed under another name", &both(one.whole_note(), misnamed(other)));
}

/// The checkpoint of a history with a line after the root, signed.
fn extended(branch: &Branch) -> Bytes {
    let text = format!("{}an extension line\n", text_of(branch));
    signed(branch.origin.as_str(), &text)
}

/// The checkpoint of a history with one signature line, of another name than its origin.
fn misnamed(branch: &Branch) -> Bytes {
    signed("witness.example/w1", &text_of(branch))
}

fn text_of(branch: &Branch) -> String {
    Checkpoint::new(&branch.origin, branch.tree.size(), branch.tree.root()).to_text()
}

fn signed(by: &str, text: &str) -> Bytes {
    let base64 = base64::engine::general_purpose::STANDARD;
    let hash = key_hash(by, &key(CHECKPOINT).public()).to_be_bytes();
    let signature = key(CHECKPOINT).sign_note_text(text.as_bytes());
    let line = [&hash[..], signature.as_bytes()].concat();
    format!("{text}\n\u{2014} {by} {}\n", base64::Engine::encode(&base64, line)).into()
}

/// One thing made wrong in two trees that contradict each other.
type TreesChange = fn(&mut v1::TwoTrees);

const TREES: [(&str, TreesChange); 9] = [
    ("two trees, one absent", |two| two.b = None),
    ("two trees in descending order", |two| core::mem::swap(&mut two.a, &mut two.b)),
    ("one tree twice", |two| two.b.clone_from(&two.a)),
    ("a position that is not in the trees", |two| two.position = 6),
    ("another position", |two| two.position = 2),
    ("a proof that is too short", |two| drop(first(two).inclusion_proof.pop())),
    ("a proof that is too long", |two| first(two).inclusion_proof.push(seed(0x99).to_vec().into())),
    ("65 hashes", |two| first(two).inclusion_proof = vec![seed(0x99).to_vec().into(); 65]),
    ("a leaf hash of 31 bytes", |two| first(two).leaf_hash.truncate(31)),
];

fn first(two: &mut v1::TwoTrees) -> &mut v1::TreeSide {
    two.a.as_mut().expect("a side")
}

fn refuse_trees(refuse: &mut impl FnMut(&str, &[u8]), one: &Branch, other: &Branch) {
    let wire = v1::Evidence::decode(of_trees(one, other).to_bytes()).expect("a message");
    let Some(Wire::TwoTrees(right)) = wire.contradiction else { panic!("two trees") };
    for (what, change) in TREES {
        let mut two = right.clone();
        change(&mut two);
        refuse(what, &encoded(Wire::TwoTrees(two)));
    }
    // Below the parting both trees hold the same.
    let side = |branch: &Branch| Some(branch.side(PARTING - 1));
    let two = v1::TwoTrees { position: PARTING - 1, a: side(one), b: side(other) };
    refuse("trees that agree there", &encoded(Wire::TwoTrees(two)));
    let elsewhere = Branch::of("vestby.kommune.example", &one.federation, 6, |_| ());
    let mut sides = [one.side(PARTING), elsewhere.side(PARTING)];
    sides.sort_by(|a, b| a.leaf_hash.cmp(&b.leaf_hash));
    let [a, b] = sides.map(Some);
    refuse("trees of two logs", &encoded(Wire::TwoTrees(v1::TwoTrees { position: PARTING, a, b })));
}
