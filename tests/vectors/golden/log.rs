//! Vectors of what a log shows: chunks, and the proofs about subtrees.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use sundbro_ledger::canonical;
use sundbro_ledger::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::chunk::{Chunk, chunk_end, make_chunk};
use sundbro_ledger::ids::{Commitment, FederationId, LogId, NodeHash};
use sundbro_ledger::log::{KeyBook, KeyVerdict, LogHead};
use sundbro_ledger::merkle::{
    MemoryTree, leaf_hash, prove_inclusion, prove_subtree_consistency, range_hash,
    verify_inclusion, verify_subtree_consistency,
};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::transaction::{Audience, Draft};
use sundbro_proto::federation::v1 as wire;
use sundbro_proto::ledger::v1;

use crate::json::File;
use crate::world::{HOSPITAL, key, name, seed};

/// One key for every position.
struct OneKey(FederationId);

impl KeyBook for OneKey {
    fn federation_id(&self) -> FederationId {
        self.0
    }

    fn transaction_key(&self, _: &LogId, _: u64, _: u32, _: u64) -> KeyVerdict {
        KeyVerdict::Key(key(0x01).public())
    }
}

/// A log whose entry i commits to i: leaves, entries and the head before each.
struct LongLog {
    entries: Vec<Bytes>,
    heads: Vec<LogHead>,
    origin: Origin,
}

fn long_log(federation: &FederationId, size: u32) -> LongLog {
    use sha2::Digest as _;
    let origin = Origin::new(&name(HOSPITAL), federation, 1);
    let mut head = LogHead::new(origin.log_id());
    let mut log = LongLog { entries: Vec::new(), heads: vec![head.clone()], origin };
    for position in 0..size {
        let commitment = sha2::Sha256::digest(u64::from(position).to_be_bytes());
        let draft = Draft {
            charter_version: 1,
            key_id: 1,
            incarnation: 1,
            recorded_hour: 491_000,
            payload_commitment: Commitment::new(commitment.into()),
            payload_size: 64,
            audience: Audience::Federation,
        };
        let entry = head.sign_next(draft, &key(0x01), federation);
        let entry = head.verify(entry, &OneKey(*federation)).expect("signed as it must be");
        head.append(&entry).expect("it follows");
        log.entries.push(entry.entry_bytes().clone());
        log.heads.push(head.clone());
    }
    log
}

pub(crate) fn chunk() -> File {
    let mut file = File::new(
        "chunk",
        3,
        "Chunks of a log of 600 entries, which the input describes: entry i has position i, the leaf hash of \
         entry i - 1, and the payload commitment SHA-256(i as u64 BE).",
    );
    let federation = FederationId::new(seed(0xf1));
    let log = long_log(&federation, 600);
    for (start, tree_size) in
        [(0_usize, 1_u64), (2, 7), (250, 256), (254, 300), (298, 300), (510, 600), (598, 600)]
    {
        let tree: MemoryTree = log.entries.iter().map(|entry| leaf_hash(entry)).collect();
        let end = chunk_end(start as u64, tree_size);
        let entries = log.entries[start..usize::try_from(end).expect("600")].to_vec();
        let made = make_chunk(*log.heads[0].log_id(), start as u64, tree_size, entries, &tree);
        let wire = made.expect("the range is there").to_wire().expect("short entries");
        let root = tree.root_at(tree_size).expect("the tree is longer");
        let note = sign_checkpoint(&Checkpoint::new(&log.origin, tree_size, root), &key(0x02));
        // It is taken as a peer would take it.
        let checkpoint = UnverifiedCheckpoint::parse(&note).expect("a note");
        let checkpoint = checkpoint.verify(&key(0x02).public()).expect("signed");
        let covered = Chunk::from_wire(&wire)
            .and_then(|chunk| chunk.check(&log.heads[start], &checkpoint))
            .expect("the checkpoint covers it");
        assert_eq!(covered.verify(&OneKey(federation)).refusal, None);
        file.case(
            &format!("from {start} in a tree of {tree_size}"),
            json!({
                "member": HOSPITAL,
                "federation_id": hex::encode(federation.as_bytes()),
                "epoch": 1,
                "transaction_seed": hex::encode(seed(0x01)),
                "checkpoint_seed": hex::encode(seed(0x02)),
                "header": {
                    "format": 1,
                    "charter_version": "1",
                    "key_id": 1,
                    "incarnation": 1,
                    "recorded_hour": 491_000,
                    "payload_size": 64,
                    "audience": "FEDERATION",
                },
                "start": start.to_string(),
                "tree_size": tree_size.to_string(),
            }),
            json!({
                "end": end.to_string(),
                "bundle": hex::encode(&wire.bundle),
                "proof": wire.proof.iter().map(hex::encode).collect::<Vec<_>>(),
                "checkpoint": String::from_utf8(note).expect("text"),
                "chunk": hex::encode(wire.encode_to_vec()),
            }),
        );
        let decoded: wire::Chunk =
            canonical::decode(&wire.encode_to_vec(), 1 << 20).expect("canonical");
        assert_eq!(decoded, wire);
    }
    refused_chunks(&mut file, &federation);
    file
}

/// One thing made wrong in the header at a position, in the chunk, or in who signs.
type HeaderChange = fn(u64, &mut v1::TransactionHeader);
type ChunkChange = fn(&mut wire::Chunk);

/// Three entries that follow one another, but for what is changed.
fn three_entries(federation: &FederationId, change: HeaderChange, by: u8) -> Vec<Bytes> {
    let log_id = Origin::new(&name(HOSPITAL), federation, 1).log_id();
    let mut previous = [0; 32];
    let entries = (0..3_u64).map(|position| {
        let mut header = v1::TransactionHeader {
            format: 1,
            charter_version: 2,
            log_id: log_id.as_bytes().to_vec().into(),
            position,
            previous_leaf: previous.to_vec().into(),
            key_id: 2,
            incarnation: 2,
            recorded_hour: 491_000,
            payload_commitment: seed(0x73).to_vec().into(),
            payload_size: 64,
            audience: v1::Audience::Federation.into(),
        };
        change(position, &mut header);
        let header = header.encode_to_vec();
        let signature = key(by).sign(Purpose::Transaction, federation, &header);
        let entry = Bytes::from([&header[..], signature.as_bytes()].concat());
        previous = *leaf_hash(&entry).as_bytes();
        entry
    });
    entries.collect()
}

/// Chunks from 0 in a tree of 3 whose checkpoint holds: what they carry is covered by it, or is not what was asked for.
fn refused_chunks(file: &mut File, federation: &FederationId) {
    let right: HeaderChange = |_, _| ();
    let whole: ChunkChange = |_| ();
    let refused: [(&str, HeaderChange, u8, ChunkChange); 16] = [
        ("an entry at another position", |at, header| header.position += at / 2, 0x01, whole),
        (
            "an entry of another log",
            |at, header| header.log_id = other_if(at, &header.log_id),
            0x01,
            whole,
        ),
        (
            "an entry after another leaf",
            |at, header| header.previous_leaf = other_if(at, &header.previous_leaf),
            0x01,
            whole,
        ),
        (
            "an entry of a lower charter version",
            |at, header| header.charter_version -= at / 2,
            0x01,
            whole,
        ),
        ("an entry by an older key", |at, header| header.key_id -= u32::from(at == 2), 0x01, whole),
        (
            "an entry of an earlier start",
            |at, header| header.incarnation -= u32::from(at == 2),
            0x01,
            whole,
        ),
        (
            "an entry that breaks a rule by itself",
            |at, header| header.audience += i32::from(at == 2) * 2,
            0x01,
            whole,
        ),
        ("entries signed by another key", right, 0x02, whole),
        ("another log", right, 0x01, |chunk| chunk.log_id = seed(0x99).to_vec().into()),
        ("another tree", right, 0x01, |chunk| chunk.tree_size = 4),
        ("from another position than asked, and past the end", right, 0x01, |chunk| {
            chunk.start = 1
        }),
        ("an entry too few", right, 0x01, |chunk| {
            chunk.bundle.truncate(chunk.bundle.len() / 3 * 2);
        }),
        ("a bundle that ends within an entry", right, 0x01, |chunk| {
            chunk.bundle.truncate(chunk.bundle.len() - 1);
        }),
        ("no bundle", right, 0x01, |chunk| chunk.bundle.clear()),
        ("an entry that the tree does not hold", right, 0x01, |chunk| {
            let mut bundle = chunk.bundle.to_vec();
            *bundle.last_mut().expect("three entries") ^= 1;
            chunk.bundle = bundle.into();
        }),
        ("a hash that the range does not ask for", right, 0x01, |chunk| {
            chunk.proof.push(seed(0x99).to_vec().into());
        }),
    ];
    for (what, header, by, change) in refused {
        let entries = three_entries(federation, header, by);
        let tree: MemoryTree = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let origin = Origin::new(&name(HOSPITAL), federation, 1);
        let note = sign_checkpoint(&Checkpoint::new(&origin, 3, tree.root()), &key(0x02));
        let checkpoint = UnverifiedCheckpoint::parse(&note).expect("a note");
        let checkpoint = checkpoint.verify(&key(0x02).public()).expect("signed");
        let chunk = make_chunk(origin.log_id(), 0, 3, entries, &tree).expect("they are there");
        let mut wire = chunk.to_wire().expect("short entries");
        let judge = |wire: &wire::Chunk| {
            let checked = Chunk::from_wire(wire)
                .and_then(|chunk| chunk.check(&LogHead::new(origin.log_id()), &checkpoint));
            checked.is_ok_and(|covered| covered.verify(&OneKey(*federation)).refusal.is_none())
        };
        change(&mut wire);
        assert!(!judge(&wire), "{what}");
        let context = json!({
            "federation_id": hex::encode(federation.as_bytes()),
            "public_key": hex::encode(key(0x01).public().as_bytes()),
            "checkpoint": String::from_utf8(note).expect("text"),
            "checkpoint_key": hex::encode(key(0x02).public().as_bytes()),
        });
        file.refuse(what, &wire.encode_to_vec(), context);
    }
}

/// At the last position other bytes of the same length.
fn other_if(position: u64, bytes: &Bytes) -> Bytes {
    if position == 2 { vec![0x99; bytes.len()].into() } else { bytes.clone() }
}

pub(crate) fn subtree() -> File {
    let mut file = File::new(
        "subtree",
        3,
        "Proofs in a tree whose entry i is i as u64 BE: inclusion, and subtree consistency of [start, end), which is \
         consistency of two trees when start is 0.",
    );
    for (start, end, size) in [
        (0, 1, 1),
        (0, 3, 7),
        (0, 4, 7),
        (0, 6, 7),
        (0, 8, 13),
        (4, 6, 7),
        (4, 7, 7),
        (6, 7, 7),
        (8, 13, 13),
        (8, 11, 13),
        (8, 13, 14),
        (2, 4, 5),
        (0, 256, 600),
        (512, 600, 600),
    ] {
        let leaves = (0..size).map(|entry: u64| leaf_hash(&entry.to_be_bytes()));
        let leaves: Vec<_> = leaves.collect();
        let tree: MemoryTree = leaves.iter().copied().collect();
        let (root, subtree) = (tree.root(), range_hash(&tree, start, end).expect("in the tree"));
        let proof = prove_subtree_consistency(&tree, start, end, size).expect("a subtree");
        verify_subtree_consistency(start, end, &subtree, size, &root, &proof).expect("verifies");
        let inclusion = prove_inclusion(&tree, start, size).expect("in the tree");
        let leaf = &leaves[usize::try_from(start).expect("600")];
        verify_inclusion(leaf, start, size, &inclusion, &root).expect("verifies");
        let hex_of = |proof: &[NodeHash]| -> Vec<String> {
            proof.iter().map(|hash| hex::encode(hash.as_bytes())).collect()
        };
        file.case(
            &format!("[{start}, {end}) of {size}"),
            json!({ "start": start.to_string(), "end": end.to_string(), "size": size.to_string() }),
            json!({
                "root": hex::encode(root.as_bytes()),
                "subtree_hash": hex::encode(subtree.as_bytes()),
                "subtree_proof": hex_of(&proof),
                "inclusion_proof_of_start": hex_of(&inclusion),
            }),
        );
    }
    refused_proofs(&mut file);
    file
}

/// Proofs that have another length than their range asks for, or no range that has one.
fn refused_proofs(file: &mut File) {
    let tree: MemoryTree = (0..13_u64).map(|entry| leaf_hash(&entry.to_be_bytes())).collect();
    let root = tree.root();
    let proof = prove_subtree_consistency(&tree, 0, 6, 13).expect("a subtree");
    let node = prove_subtree_consistency(&tree, 8, 12, 13).expect("a subtree");
    let hash = node[0];
    let (short, mut long, mut swapped) = (proof[1..].to_vec(), proof.clone(), proof.clone());
    long.push(hash);
    swapped.swap(0, 1);
    let long_node = [&[hash][..], &node].concat();
    for (what, start, end, size, proof) in [
        ("the first hash is missing", 0, 6, 13, short),
        ("the last hash is missing", 0, 6, 13, proof[..proof.len() - 1].to_vec()),
        ("no hash at all", 0, 6, 13, Vec::new()),
        ("a hash too many", 0, 6, 13, long),
        ("a hash that the subtree's own makes needless", 8, 12, 13, long_node),
        ("two hashes swapped", 0, 6, 13, swapped),
        ("a range that is not a subtree", 2, 6, 13, proof.clone()),
        ("a range that is not a subtree, one entry too wide", 8, 17, 13, node.clone()),
        ("a range that ends after the tree", 8, 14, 13, node.clone()),
        ("another range", 8, 11, 13, node),
        ("65 hashes", 0, 6, 13, vec![hash; 65]),
    ] {
        let subtree = range_hash(&tree, start, end.min(13)).expect("in the tree");
        let verified = verify_subtree_consistency(start, end, &subtree, size, &root, &proof);
        assert!(verified.is_err(), "{what}");
        let bytes: Vec<u8> = proof.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let context = json!({
            "start": start.to_string(),
            "end": end.to_string(),
            "size": size.to_string(),
            "subtree_hash": hex::encode(subtree.as_bytes()),
            "root": hex::encode(root.as_bytes()),
        });
        file.refuse(what, &bytes, context);
    }
}
