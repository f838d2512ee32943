//! Notes and checkpoints: what is read, and every form that is refused.

use sundbro_ledger::checkpoint::{
    Checkpoint, CheckpointError, Origin, UnverifiedCheckpoint, log_id, sign_checkpoint,
};
use sundbro_ledger::ids::{FederationId, MemberName, RootHash};
use sundbro_ledger::merkle::EMPTY_ROOT;
use sundbro_ledger::note::{MAX_NOTE_LEN, NoteError, NoteVerifier, SignedNote};
use sundbro_ledger::signing::SigningKey;

fn key() -> SigningKey {
    SigningKey::from_seed(&[5; 32])
}

fn origin() -> Origin {
    let member = MemberName::new("hospital.region.example").expect("name");
    Origin::new(&member, &FederationId::new([0xab; 32]), 1)
}

fn root() -> RootHash {
    RootHash::new([0x42; 32])
}

/// A checkpoint of ours at size 7.
fn checkpoint() -> String {
    text_of(sign_checkpoint(&Checkpoint::new(&origin(), 7, root()), &key()))
}

fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

/// A text signed by our key under our origin.
fn signed(text: &str) -> Vec<u8> {
    SignedNote::sign(text, origin().as_str(), &key()).expect("a note").to_bytes()
}

fn check(note: &[u8]) -> Result<u64, CheckpointError> {
    let checkpoint = UnverifiedCheckpoint::parse_of(&origin().log_id(), note)?;
    Ok(checkpoint.verify(&key().public())?.size())
}

fn signature_line(note: &str) -> &str {
    note.lines().last().expect("a signature line")
}

#[test]
fn a_checkpoint_has_three_lines_and_a_signature() {
    let note = checkpoint();
    let lines: Vec<&str> = note.split('\n').collect();
    assert_eq!(lines[0], "hospital.region.example/abababababababab/log/1");
    assert_eq!(lines[1..4], ["7", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=", ""]);
    assert!(lines[4].starts_with("— hospital.region.example/abababababababab/log/1 "));
    assert_eq!(lines[5..], [""]);
    assert_eq!(check(note.as_bytes()), Ok(7));
}

#[test]
fn a_verified_checkpoint_says_what_was_signed() {
    let note = checkpoint();
    let unverified = UnverifiedCheckpoint::parse(note.as_bytes()).expect("checkpoint");
    let verified = unverified.verify_with(|claim| {
        assert_eq!((claim.log_id(), claim.size()), (origin().log_id(), 7));
        claim.names(&key().public()).then(|| key().public())
    });
    let verified = verified.expect("signed");
    assert_eq!((verified.log_id(), verified.size()), (origin().log_id(), 7));
    assert_eq!((verified.root(), &verified.note()[..]), (&root(), note.as_bytes()));
    assert_eq!(verified.origin(), origin().as_str());
    let no_key = CheckpointError::NoKey { log: origin().log_id(), size: 7 };
    assert_eq!(unverified.verify_with(|_| None), Err(no_key));
}

#[test]
fn no_bit_of_a_checkpoint_can_be_changed() {
    let note = checkpoint().into_bytes();
    // Every third: all bytes and all places in a byte, in a third of the time.
    for bit in (0..note.len() * 8).step_by(3) {
        let mut changed = note.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&changed).is_err(), "bit {bit}");
    }
    for cut in 0..note.len() {
        assert!(check(&note[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn refuses_sizes_in_another_form() {
    let root = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
    let with_size = |size: &str| check(&signed(&format!("{}\n{size}\n{root}\n", origin())));
    assert_eq!(with_size("9223372036854775807"), Ok((1 << 63) - 1));
    for size in [
        "07",
        "00",
        "+7",
        "-1",
        " 7",
        "7 ",
        "",
        "0x7",
        "7.0",
        "٧",
        "9223372036854775808",
        "18446744073709551616",
    ] {
        assert_eq!(with_size(size), Err(CheckpointError::Malformed("size")), "{size:?}");
    }
}

#[test]
fn refuses_roots_in_another_form() {
    let with_root = |root: &str| check(&signed(&format!("{}\n7\n{root}\n", origin())));
    assert_eq!(with_root("QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="), Ok(7));
    for root in [
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ=", // stray bits after the last byte
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI",  // no padding
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC",     // 30 bytes
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC", // 33 bytes
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJC", // 36 bytes
        "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk_=", // the alphabet of URLs
        " QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=",
        "",
    ] {
        assert_eq!(with_root(root), Err(CheckpointError::Malformed("root hash")), "{root:?}");
    }
}

#[test]
fn the_empty_log_has_the_empty_root() {
    let empty = |root| check(&sign_checkpoint(&Checkpoint::new(&origin(), 0, root), &key()));
    assert_eq!(empty(EMPTY_ROOT), Ok(0));
    let refused = CheckpointError::Malformed("root hash of the empty log");
    assert_eq!(empty(root()), Err(refused));
}

#[test]
fn extension_lines_are_read_and_ignored_but_never_empty() {
    let text = Checkpoint::new(&origin(), 7, root()).to_text();
    assert_eq!(check(&signed(&format!("{text}extension 1\nextension 2\n"))), Ok(7));
    let refused = Err(CheckpointError::Malformed("extension lines"));
    assert_eq!(check(&signed(&format!("{text}\nextension\n"))), refused);
    assert_eq!(check(&signed(&format!("{text}extension\n\n"))), refused);
    let missing = Err(CheckpointError::Malformed("root hash"));
    assert_eq!(check(&signed(&format!("{}\n7\n", origin()))), missing);
    assert_eq!(check(&signed("\n7\n")), Err(CheckpointError::Malformed("origin")));
}

#[test]
fn refuses_another_log() {
    let member = MemberName::new("hospital.region.example").expect("name");
    let other = Origin::new(&member, &FederationId::new([0xab; 32]), 2);
    let note = sign_checkpoint(&Checkpoint::new(&other, 7, root()), &key());
    let refused = CheckpointError::OtherLog { expected: origin().log_id(), found: other.log_id() };
    assert_eq!(check(&note), Err(refused));
    // The same text, signed by the right key under the name of another log.
    let text = Checkpoint::new(&origin(), 7, root()).to_text();
    let note = SignedNote::sign(&text, other.as_str(), &key()).expect("note").to_bytes();
    let not_signed = NoteError::NotSigned(origin().to_string());
    assert_eq!(check(&note), Err(CheckpointError::Note(not_signed)));
}

#[test]
fn refuses_another_key_and_a_changed_text() {
    let name = origin().to_string();
    let by_other =
        sign_checkpoint(&Checkpoint::new(&origin(), 7, root()), &SigningKey::from_seed(&[6; 32]));
    let refused = NoteError::NotSigned(name.clone());
    assert_eq!(check(&by_other), Err(CheckpointError::Note(refused)));
    let changed = checkpoint().replacen("\n7\n", "\n8\n", 1);
    let refused = NoteError::BadSignature(name);
    assert_eq!(check(changed.as_bytes()), Err(CheckpointError::Note(refused)));
}

#[test]
fn refuses_bytes_that_are_no_text() {
    let note = checkpoint();
    let parse = |bytes: &[u8]| SignedNote::parse(bytes).map(|_| ());
    assert_eq!(parse(note.replace('\n', "\r\n").as_bytes()), Err(NoteError::NotText));
    assert_eq!(parse(note.replacen('7', "\t", 1).as_bytes()), Err(NoteError::NotText));
    assert_eq!(parse(note.replacen('7', "\0", 1).as_bytes()), Err(NoteError::NotText));
    let mut latin_1 = note.clone().into_bytes();
    latin_1[0] = 0xe6;
    assert_eq!(parse(&latin_1), Err(NoteError::NotText));
}

#[test]
fn refuses_notes_that_are_cut_short() {
    let note = checkpoint();
    let parse = |text: &str| SignedNote::parse(text.as_bytes()).map(|_| ());
    let newline = Err(NoteError::Missing("newline at its end"));
    assert_eq!(parse(note.trim_end()), newline);
    let (text, _) = note.split_once("\n\n").expect("blank line");
    assert_eq!(parse(&format!("{text}\n")), Err(NoteError::Missing("blank line")));
    assert_eq!(parse(&format!("{text}\n\n")), Err(NoteError::Missing("signature")));
    assert_eq!(parse(""), newline);
}

#[test]
fn refuses_malformed_signature_lines() {
    let note = checkpoint();
    let line = signature_line(&note);
    for malformed in [
        line.replacen("— ", "- ", 1),
        line.replacen("— ", "—", 1),
        line.replacen("— ", "—  ", 1),
        format!("{line} "),
        format!(" {line}"),
        line.replacen("hospital", "hos+pital", 1),
        line.replacen("hospital", "hos\u{a0}pital", 1),
        line.trim_end_matches('=').to_owned(),
        format!("{line}="),
        "— name AAAAAA==".to_owned(), // a key hash and nothing after it
        "— name AAAA".to_owned(),
        "— name !!!!".to_owned(),
        "— name".to_owned(),
        "anything".to_owned(),
    ] {
        let note = format!("{note}{malformed}\n");
        let parsed = SignedNote::parse(note.as_bytes());
        assert_eq!(parsed, Err(NoteError::SignatureLine(1)), "{malformed:?}");
    }
}

#[test]
fn refuses_two_signatures_by_the_key_even_when_both_are_right() {
    let note = checkpoint();
    let twice = format!("{note}{}\n", signature_line(&note));
    let refused = NoteError::SignedTwice(origin().to_string());
    assert_eq!(check(twice.as_bytes()), Err(CheckpointError::Note(refused)));
}

#[test]
fn other_signatures_are_kept_up_to_64() {
    let mut note = checkpoint();
    for witness in 1..64 {
        note.push_str(&format!("— witness-{witness}.example AAAAAAAA\n"));
    }
    assert_eq!(check(note.as_bytes()), Ok(7));
    assert_eq!(SignedNote::parse(note.as_bytes()).expect("note").to_bytes(), note.as_bytes());
    note.push_str("— witness-64.example AAAAAAAA\n");
    assert_eq!(SignedNote::parse(note.as_bytes()), Err(NoteError::TooManySignatures));
}

#[test]
fn refuses_notes_over_64_kib() {
    let note = text_of(signed(&format!("{}\n", "x".repeat(MAX_NOTE_LEN))));
    assert_eq!(SignedNote::parse(note.as_bytes()), Err(NoteError::TooLong(note.len())));
    let text = "x".repeat(2 * MAX_NOTE_LEN - note.len());
    let longest = signed(&format!("{text}\n"));
    assert_eq!(longest.len(), MAX_NOTE_LEN);
    assert!(SignedNote::parse(&longest).is_ok());
}

#[test]
fn the_text_may_have_blank_lines_of_its_own() {
    let note = SignedNote::parse(&signed("first\n\nlast\n")).expect("note");
    assert_eq!(note.text(), "first\n\nlast\n");
    let verifier = NoteVerifier::new(origin().as_str(), key().public()).expect("name");
    assert_eq!(note.verify(&verifier), Ok(()));
}

#[test]
fn signs_nothing_that_it_would_not_read() {
    let sign = |text, name| SignedNote::sign(text, name, &key());
    assert_eq!(sign("no newline", "name"), Err(NoteError::Missing("newline at its end")));
    assert_eq!(sign("return\r\n", "name"), Err(NoteError::NotText));
    // What other signatures of ours begin with: no note may ever pass for one of them.
    assert_eq!(sign("sundbro/v1/grant\n", "name"), Err(NoteError::Reserved));
    let text = format!("sundbro/v1/grant\n7\n{}", "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n");
    assert_eq!(Checkpoint::parse_text(&text), Err(CheckpointError::Malformed("origin")));
    for name in ["", "two words", "plus+", "line\nbreak", "thin\u{2009}space"] {
        assert_eq!(sign("text\n", name), Err(NoteError::KeyName), "{name:?}");
    }
}

#[test]
fn verifier_keys_have_one_form() {
    let vkey = NoteVerifier::new("log.example/1", key().public()).expect("name").vkey();
    assert_eq!(NoteVerifier::parse_vkey(&vkey).map(|verifier| verifier.vkey()), Ok(vkey.clone()));
    let named = NoteVerifier::parse_vkey(&vkey).map(|verifier| verifier.name().to_owned());
    assert_eq!(named, Ok("log.example/1".to_owned()));
    let (name, rest) = vkey.split_once('+').expect("name");
    let (hash, key) = rest.split_once('+').expect("hash");
    for malformed in [
        format!("other.example/1+{hash}+{key}"),
        format!("{name}+{}+{key}", hash.to_uppercase()),
        format!("{name}+00000000+{key}"),
        format!("{name}+{hash}+{key}="),
        format!("{name}+{hash}+BG{}", &key[2..]), // algorithm 04
        format!("{name}+{hash}+AQ=="),
        format!("{name}+{hash}"),
        format!("+{hash}+{key}"),
        String::new(),
    ] {
        assert_eq!(
            NoteVerifier::parse_vkey(&malformed),
            Err(NoteError::VerifierKey),
            "{malformed}"
        );
    }
}

#[test]
fn origins_have_one_form() {
    let origin = origin();
    assert_eq!(origin.log_id(), log_id(origin.as_str()));
    assert_eq!(Origin::parse(origin.as_str()), Ok(origin.clone()));
    assert_eq!((origin.member().as_str(), origin.epoch()), ("hospital.region.example", 1));
    assert_eq!((origin.to_string(), format!("{origin:?}")), {
        let text = origin.as_str().to_owned();
        (text.clone(), text)
    });
    let later = Origin::new(origin.member(), &FederationId::new([0xab; 32]), 12);
    assert_eq!(Origin::parse(later.as_str()).map(|origin| origin.epoch()), Ok(12));
    assert_eq!(Checkpoint::new(&later, 9, root()).size(), 9);
    assert!(origin.is_of(&FederationId::new([0xab; 32])));
    assert!(!origin.is_of(&FederationId::new([0xac; 32])));
    for malformed in [
        "",
        "hospital.region.example/abababababababab/log/0",
        "hospital.region.example/abababababababab/log/01",
        "hospital.region.example/abababababababab/log/+1",
        "hospital.region.example/abababababababab/log/4294967296",
        "hospital.region.example/ABABABABABABABAB/log/1",
        "hospital.region.example/abababababababa/log/1",
        "hospital.region.example/abababababababab/tree/1",
        "hospital.region.example/abababababababab/log/1/",
        "hospital.region.example/abababababababab/log",
        "Hospital.region.example/abababababababab/log/1",
        "org-a.example/log/1",
    ] {
        assert_eq!(Origin::parse(malformed), Err(CheckpointError::Origin), "{malformed}");
    }
}
