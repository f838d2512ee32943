//! Vectors of checkpoints: the notes that we write, those of others that are taken, and those that are not.

use serde_json::json;
use sundbro_ledger::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, sign_checkpoint};
use sundbro_ledger::ids::{FederationId, RootHash};
use sundbro_ledger::merkle::EMPTY_ROOT;
use sundbro_ledger::note::{NoteVerifier, key_hash};
use sundbro_ledger::signing::SigningKey;

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
    notes_of_others(&mut file, &federation);
    file
}

/// A signature line: dash, name, base64.
fn line(name: &str, bytes: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    format!("\u{2014} {name} {}\n", base64::Engine::encode(&base64, bytes))
}

/// The line of a text by a key of ours.
fn signed_line(name: &str, text: &str, key: &SigningKey) -> String {
    let hash = key_hash(name, &key.public()).to_be_bytes();
    line(name, &[&hash[..], key.sign_note_text(text.as_bytes()).as_bytes()].concat())
}

/// Notes with lines that we do not write and that C2SP lets others add: taken, as long as each is well-formed.
fn notes_of_others(file: &mut File, federation: &FederationId) {
    let origin = Origin::new(&name(HOSPITAL), federation, 1);
    let (key, public) = (key(0x02), key(0x02).public());
    let text = Checkpoint::new(&origin, 7, RootHash::new(seed(0x75))).to_text();
    let ours = signed_line(origin.as_str(), &text, &key);
    let witness = line("witness.example/w1", &[&[1; 12][..], &[2; 64]].concat());
    let short = line("witness.example/w1", &[1; 5]);
    let hash = key_hash(origin.as_str(), &public).to_be_bytes();
    let wrong = line(origin.as_str(), &[&hash[..], &[3; 64]].concat());
    let longer = format!("{text}an extension line\n  another one\n");
    let ours_longer = signed_line(origin.as_str(), &longer, &key);
    // Of 69 bytes the last group has one character of padding; its two stray bits must be 0.
    let stray = ours.replace("==\n", "=\n");
    let stray = if stray == ours { ours.replace("=\n", "\n") } else { stray };
    let note = |lines: &[&str]| format!("{text}\n{}", lines.concat());
    let context = json!({ "public_key": hex::encode(public.as_bytes()) });
    let verified = |note: &str| {
        let parsed = UnverifiedCheckpoint::parse(note.as_bytes());
        parsed.and_then(|checkpoint| checkpoint.verify(&public)).is_ok()
    };
    for (what, note) in [
        ("a witness signed it too", note(&[&ours, &witness])),
        ("a witness signed it first", note(&[&witness, &ours])),
        ("one witness stands twice", note(&[&ours, &witness, &witness])),
        ("the shortest signature of somebody else", note(&[&short, &ours])),
        ("64 signatures", note(&[&[&*ours][..], &[&*witness; 63]].concat())),
        ("further lines after the root", format!("{longer}\n{ours_longer}")),
    ] {
        assert!(verified(&note), "{what}");
        file.accept(what, note.as_bytes(), context.clone());
    }
    let empty_line = format!("{text}\nafter an empty line\n");
    for (what, note) in [
        ("our key signs twice", note(&[&ours, &ours])),
        ("our key signs twice, once wrongly", note(&[&ours, &wrong])),
        ("a wrong signature", note(&[&wrong])),
        ("signed by others only", note(&[&witness])),
        ("65 signatures", note(&[&[&*ours][..], &[&*witness; 64]].concat())),
        ("base64 without its padding", note(&[&stray])),
        (
            "a line of somebody else without a signature",
            note(&[&ours, &line("w.example", &[1; 4])]),
        ),
        ("a line of somebody else with a plus in the name", note(&[&ours, &line("w+1", &[1; 68])])),
        ("a line that is no signature", note(&[&ours, "Hello\n"])),
        (
            "an empty line in the text",
            format!("{empty_line}\n{}", signed_line(origin.as_str(), &empty_line, &key)),
        ),
        ("a tab in the text", {
            let text = format!("{text}a\tb\n");
            format!("{text}\n{}", signed_line(origin.as_str(), &text, &key))
        }),
        ("further lines that are not signed", format!("{longer}\n{ours}")),
        ("no newline at the end", note(&[ours.trim_end()])),
    ] {
        assert!(!verified(&note), "{what}");
        file.refuse(what, note.as_bytes(), context.clone());
    }
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
        let note = format!("{text}\n{}", signed_line(origin, &text, &key));
        let verified = UnverifiedCheckpoint::parse(note.as_bytes())
            .and_then(|checkpoint| checkpoint.verify(&public));
        assert!(verified.is_err(), "{what}");
        let context = json!({ "public_key": hex::encode(public.as_bytes()) });
        file.refuse(what, note.as_bytes(), context);
    }
}
