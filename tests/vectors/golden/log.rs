//! Vectors of what a log shows: checkpoints, chunks and the proofs about subtrees.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;
use sundbro_ledger::canonical;
use sundbro_ledger::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::chunk::{Chunk, chunk_end, make_chunk};
use sundbro_ledger::ids::{Commitment, FederationId, LogId, NodeHash, RootHash};
use sundbro_ledger::log::{KeyBook, KeyVerdict, LogHead};
use sundbro_ledger::merkle::{
    EMPTY_ROOT, MemoryTree, leaf_hash, prove_inclusion, prove_subtree_consistency, range_hash,
    verify_inclusion, verify_subtree_consistency,
};
use sundbro_ledger::note::{NoteVerifier, key_hash};
use sundbro_ledger::transaction::{Audience, Draft};

use crate::json::File;
use crate::world::{HOSPITAL, key, name, seed};

pub(crate) fn checkpoint() -> File {
    let about = "Checkpoints: the signed note that says how long a log is and what its root is.";
    let mut file = File::new("checkpoint", 3, about);
    let federation = FederationId::new(seed(0xf1));
    let public = key(0x02).public();
    for (what, epoch, size, root) in [
        ("an empty log", 1, 0, EMPTY_ROOT),
        ("a log of a second epoch", 2, 1_234_567, RootHash::new(seed(0x75))),
    ] {
        let origin = Origin::new(&name(HOSPITAL), &federation, epoch);
        let checkpoint = Checkpoint::new(&origin, size, root);
        let note = sign_checkpoint(&checkpoint, &key(0x02));
        let parsed = UnverifiedCheckpoint::parse(&note).expect("a note");
        parsed.verify(&public).expect("signed as it must be");
        let verifier = NoteVerifier::new(origin.as_str(), public).expect("a key name");
        file.case(
            what,
            json!({
                "member": HOSPITAL,
                "federation_id": hex::encode(federation.as_bytes()),
                "epoch": epoch,
                "size": size.to_string(),
                "root": hex::encode(root.as_bytes()),
                "seed": hex::encode(seed(0x02)),
            }),
            json!({
                "origin": origin.as_str(),
                "log_id": hex::encode(origin.log_id().as_bytes()),
                "public_key": hex::encode(public.as_bytes()),
                "key_hash": format!("{:08x}", key_hash(origin.as_str(), &public)),
                "verifier_key": verifier.vkey(),
                "note": String::from_utf8(note).expect("text"),
            }),
        );
    }
    refused_checkpoints(&mut file, &federation);
    file
}

/// Signed all the same: the form alone is what is wrong with them.
fn refused_checkpoints(file: &mut File, federation: &FederationId) {
    let origin = Origin::new(&name(HOSPITAL), federation, 1);
    let (key, public) = (key(0x02), key(0x02).public());
    let root = "dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXU=";
    for (what, origin, rest) in [
        ("a size with a leading zero", origin.as_str(), format!("07\n{root}\n")),
        ("a size above 2^63 - 1", origin.as_str(), format!("9223372036854775808\n{root}\n")),
        (
            "a root of 31 bytes",
            origin.as_str(),
            "7\ndXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dXV1dQ==\n".into(),
        ),
        ("a root of nothing that is not the empty root", origin.as_str(), format!("0\n{root}\n")),
        (
            "an origin like the start of our other signatures",
            "sundbro/v1/log",
            format!("7\n{root}\n"),
        ),
        ("no root", origin.as_str(), "7\n".into()),
    ] {
        let text = format!("{origin}\n{rest}");
        let hash = key_hash(origin, &public).to_be_bytes();
        let signature = key.sign_note_text(text.as_bytes());
        let line = [&hash[..], signature.as_bytes()].concat();
        let line = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, line);
        let note = format!("{text}\n\u{2014} {origin} {line}\n");
        let verified = UnverifiedCheckpoint::parse(note.as_bytes())
            .and_then(|checkpoint| checkpoint.verify(&public));
        assert!(verified.is_err(), "{what}");
        let context = json!({ "public_key": hex::encode(public.as_bytes()) });
        file.refuse(what, note.as_bytes(), context);
    }
}

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
        let decoded: sundbro_proto::federation::v1::Chunk =
            canonical::decode(&wire.encode_to_vec(), 1 << 20).expect("canonical");
        assert_eq!(decoded, wire);
    }
    file
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
    file
}
