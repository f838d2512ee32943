//! A checkpoint that Go's `x/mod/sumdb/note` accepts: its root, key hashes and signature, recomputed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "a test reads its vectors and says when they are not here"
)]

use std::fs;
use std::path::Path;

use sundbro_ledger::checkpoint::{Checkpoint, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::merkle::{Frontier, leaf_hash};
use sundbro_ledger::note::{NoteVerifier, SignedNote};
use sundbro_ledger::signing::SigningKey;

const ORIGIN: &str = "org-a.example/log/1";
const WITNESS: &str = "org-b.example/witness";
const VKEY: &str = "org-a.example/log/1+60c8237e+Af0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY";
const ENTRIES: u64 = 70_000;

fn checkpoint_note() -> Option<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !vectors.is_dir() {
        println!("SKIPPED: ../shared/vectors is not here");
        return None;
    }
    Some(fs::read(vectors.join("c2sp/checkpoint-70000.txt")).expect("vector"))
}

fn log_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

#[test]
fn the_verifier_key_is_that_of_the_vector() {
    let verifier = NoteVerifier::new(ORIGIN, log_key().public()).expect("name");
    assert_eq!(verifier.vkey(), VKEY);
    assert_eq!(NoteVerifier::parse_vkey(VKEY), Ok(verifier));
}

#[test]
fn the_checkpoint_of_70_000_entries_verifies() {
    let Some(note) = checkpoint_note() else { return };
    let verifier = NoteVerifier::parse_vkey(VKEY).expect("vkey");
    let unverified = UnverifiedCheckpoint::parse(&note).expect("checkpoint");
    assert!(unverified.names(verifier.key()));
    let checkpoint = unverified.verify(verifier.key()).expect("signed by the log");
    assert_eq!((checkpoint.origin(), checkpoint.size()), (ORIGIN, ENTRIES));
    assert_eq!(checkpoint.note()[..], note);
    let entry = |place: u64| leaf_hash(format!("signed transaction #{place}").as_bytes());
    let frontier: Frontier = (0..ENTRIES).map(entry).collect();
    assert_eq!(frontier.root(), *checkpoint.root());
}

#[test]
fn the_cosignature_is_kept_and_its_key_hash_read() {
    let Some(bytes) = checkpoint_note() else { return };
    let note = SignedNote::parse(&bytes).expect("note");
    let [log, witness] = note.signatures() else { panic!("two signatures") };
    assert_eq!((&log.name[..], log.key_hash, log.signature.len()), (ORIGIN, 0x60c8_237e, 64));
    // cosignature/v1: eight bytes of time before the Ed25519 signature.
    assert_eq!((&witness.name[..], witness.key_hash), (WITNESS, 0x3404_08e9));
    assert_eq!(witness.signature.len(), 8 + 64);
    assert_eq!(witness.signature[..8], 1_790_000_000_u64.to_be_bytes());
    assert_eq!(note.to_bytes(), bytes);
    // It is of another kind (04), so the same key under the kind of a note's signature finds nothing.
    let as_note_key = NoteVerifier::new(WITNESS, SigningKey::from_seed(&[8; 32]).public());
    assert!(note.verify(&as_note_key.expect("name")).is_err());
}

#[test]
fn our_signature_is_the_same_bytes() {
    let Some(bytes) = checkpoint_note() else { return };
    let note = SignedNote::parse(&bytes).expect("note");
    let checkpoint = Checkpoint::parse_text(note.text()).expect("checkpoint");
    let ours = SignedNote::parse(&sign_checkpoint(&checkpoint, &log_key())).expect("note");
    assert_eq!(ours.text(), note.text());
    assert_eq!(ours.signatures(), &note.signatures()[..1]);
}
