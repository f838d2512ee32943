//! Laws of C2SP notes and checkpoints.

use sundbro_ledger::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, log_id};
use sundbro_ledger::note::{MAX_NOTE_LEN, MAX_NOTE_SIGNATURES, NoteVerifier, SignedNote};

use crate::Verdict;
use crate::world::{HOSPITAL, key, world};

/// Bytes as a note of anybody.
pub fn note(bytes: &[u8]) -> Verdict {
    let note = SignedNote::parse(bytes);
    if let Ok(note) = &note {
        assert_eq!(note.to_bytes(), bytes, "a note has one form");
        assert!(bytes.len() <= MAX_NOTE_LEN && note.signatures().len() <= MAX_NOTE_SIGNATURES);
        assert!(note.text().ends_with('\n') && !note.signatures().is_empty());
        for signature in note.signatures() {
            // Whoever signed, a key of that name can be written down and read again.
            let verifier = NoteVerifier::new(&signature.name, key(HOSPITAL, 1).public());
            let verifier = verifier.expect("a name in a note is a key name");
            assert_eq!(NoteVerifier::parse_vkey(&verifier.vkey()).as_ref(), Ok(&verifier));
        }
    }
    Verdict::of(&note)
}

/// Bytes as a checkpoint of the hospital's log.
pub fn checkpoint(bytes: &[u8]) -> Verdict {
    let read = UnverifiedCheckpoint::parse(bytes);
    let Ok(checkpoint) = &read else { return Verdict::Refused };
    assert_eq!(checkpoint.note().to_bytes(), bytes, "a checkpoint has one form");
    assert_eq!(checkpoint.log_id(), log_id(checkpoint.origin()));
    let text = Checkpoint::parse_text(checkpoint.note().text()).expect("it was read before");
    assert!(checkpoint.note().text().starts_with(&text.to_text()), "size and root have one form");
    if let Ok(origin) = Origin::parse(checkpoint.origin()) {
        assert_eq!(origin.as_str(), checkpoint.origin());
        assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Ok(&origin));
    }
    only_the_signed_one_verifies(checkpoint);
    Verdict::Taken
}

fn only_the_signed_one_verifies(checkpoint: &UnverifiedCheckpoint) {
    let world = world();
    let Some(key) = world.history.checkpoint_key_of(checkpoint) else { return };
    if let Ok(verified) = checkpoint.verify(&key) {
        let root = world.tree.root_at(verified.size());
        assert_eq!(root.as_ref().ok(), Some(verified.root()), "its owner signed another root");
        assert_eq!(verified.log_id(), world.origin.log_id());
    }
}
