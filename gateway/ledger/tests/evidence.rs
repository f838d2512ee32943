//! What evidence convicts whom of, by which charters, and that no stranger can make it.

mod common;

use common::branches::{Branch, WRITER, parted};
use common::{CHECKPOINT, Federation, TRANSACTION, name};
use prost::Message as _;
use sundbro_ledger::canonical::{self, CanonicalError};
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::evidence::{
    Equivocation, Evidence, EvidenceError, EvidenceFileError, MAX_EVIDENCE_LEN, UnprovenError,
    assemble_evidence, verify_evidence_file,
};
use sundbro_ledger::merkle::ProofError;
use sundbro_ledger::note::SignedNote;
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::evidence::Contradiction as Wire;

/// One of each kind, with the position at which the histories part as far as each says.
fn kinds(one: &Branch, other: &Branch) -> [(Evidence, Option<u64>); 3] {
    let entries = Evidence::of_entries(one.entry(5), other.entry(5)).expect("two entries");
    [
        (entries, Some(5)),
        (one.roots_with(other, 8), None),
        (one.evidence_with(other, 5, [7, 10]), Some(5)),
    ]
}

fn wire_of(evidence: &Evidence) -> v1::Evidence {
    v1::Evidence::decode(evidence.to_bytes()).expect("its own bytes")
}

fn parse(wire: &v1::Evidence) -> Result<Evidence, EvidenceError> {
    Evidence::parse(&canonical::encode(wire))
}

/// Closes a key of the writer at a position or size.
fn end_key(federation: &mut Federation, key_id: u32, to: u64) {
    let mut draft = Draft::next(&federation.history).expect("no fork");
    draft.close_key(&name(WRITER), key_id, to).expect("listed");
    federation.publish(draft);
}

#[test]
fn each_kind_convicts_the_writer_and_says_where_the_histories_part() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    for (evidence, parting) in kinds(&one, &other) {
        let verified = evidence.verify(&federation.history).expect("convincing");
        assert_eq!((verified.member, verified.parting), (name(WRITER), parting));
        assert_eq!(
            (verified.log, evidence.log()),
            (federation.log(WRITER), federation.log(WRITER))
        );
        assert_eq!(Evidence::parse(&evidence.to_bytes()), Ok(evidence));
    }
}

#[test]
fn what_two_starts_of_a_gateway_signed_is_a_lost_tail() {
    let federation = Federation::found();
    let (one, mut other) = parted(&federation);
    let kind = |other: &Branch| {
        let evidence = Evidence::of_entries(one.entry(5), other.entry(5)).expect("two entries");
        evidence.verify(&federation.history).expect("convincing").kind
    };
    assert_eq!(kind(&other).code(), "LOST_TAIL");
    other = Branch::new(&federation);
    other.write(b"abcdeFGH");
    assert_eq!(kind(&other).code(), "EQUIVOCATION");
    // A tree does not show in which start it was signed.
    assert_eq!(one.roots_with(&other, 6).kind(), Equivocation::Equivocation);
}

#[test]
fn one_contradiction_has_one_encoding_whoever_saw_which_side_first() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let entries = Evidence::of_entries(other.entry(5), one.entry(5)).expect("two entries");
    let swapped = [entries, other.roots_with(&one, 8), other.evidence_with(&one, 5, [10, 7])];
    assert_eq!(kinds(&one, &other).map(|(evidence, _)| evidence), swapped);
    for (evidence, _) in kinds(&one, &other) {
        let mut wire = wire_of(&evidence);
        match wire.contradiction.as_mut().expect("one") {
            Wire::TwoEntries(two) => core::mem::swap(&mut two.a, &mut two.b),
            Wire::TwoCheckpoints(two) => core::mem::swap(&mut two.a, &mut two.b),
            Wire::TwoTrees(two) => core::mem::swap(&mut two.a, &mut two.b),
        }
        assert_eq!(parse(&wire), Err(EvidenceError::Order));
    }
}

// A witness's line on one side would make other bytes of the same contradiction, and fill every gateway's room for it.
#[test]
fn cosignatures_are_left_out() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let plain = one.roots_with(&other, 8);
    let mut wire = wire_of(&plain);
    let Some(Wire::TwoCheckpoints(two)) = &mut wire.contradiction else { panic!("two roots") };
    let witness = common::key("a witness");
    let note = SignedNote::parse(&two.a).expect("a note");
    let cosigned = SignedNote::sign(note.text(), "witness.example", &witness).expect("a note");
    let line = cosigned.to_string().lines().last().expect("a line").to_owned();
    two.a = [&two.a[..], line.as_bytes(), b"\n"].concat().into();
    let cosigned = UnverifiedCheckpoint::parse(&two.a).expect("a note");
    assert_eq!(parse(&wire), Err(EvidenceError::SignatureLines));
    let key = federation.member(WRITER).keys[&CHECKPOINT].public();
    let cosigned = cosigned.verify(&key).expect("signed by its log");
    let side = |branch: &Branch| branch.checkpoint(8);
    let theirs = if *side(&one).root() == *cosigned.root() { side(&other) } else { side(&one) };
    assert_eq!(Evidence::of_checkpoints((&cosigned, &key), (&theirs, &key)), Ok(plain));
}

#[test]
fn sides_that_do_not_contradict_each_other_are_no_evidence() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let entries =
        |a: &Branch, at, b: &Branch, b_at| Evidence::of_entries(a.entry(at), b.entry(b_at));
    assert_eq!(entries(&one, 4, &other, 4), Err(EvidenceError::Same));
    assert!(matches!(entries(&one, 5, &other, 6), Err(EvidenceError::TwoPlaces { .. })));
    let empty = v1::Evidence { format: 1, contradiction: None };
    assert_eq!(parse(&empty), Err(EvidenceError::NoContradiction));
    let later = v1::Evidence { format: 2, contradiction: None };
    assert_eq!(parse(&later), Err(EvidenceError::Format { format: 2 }));
    let half = v1::TwoTrees { position: 5, ..v1::TwoTrees::default() };
    let half = v1::Evidence { format: 1, contradiction: Some(Wire::TwoTrees(half)) };
    assert_eq!(parse(&half), Err(EvidenceError::NoContradiction));

    // The same position of the same histories, proved by a path of another place.
    let mut wire = wire_of(&one.evidence_with(&other, 5, [7, 10]));
    let Some(Wire::TwoTrees(two)) = &mut wire.contradiction else { panic!("two trees") };
    two.position = 4;
    assert_eq!(parse(&wire), Err(EvidenceError::Proof(ProofError::RootMismatch)));
}

#[test]
fn evidence_of_the_largest_size_is_read_and_no_larger() {
    let at = |len| Evidence::parse(&vec![0xff; len]);
    assert_eq!(at(MAX_EVIDENCE_LEN), Err(CanonicalError::NotProtobuf.into()));
    let too_large = CanonicalError::TooLarge { len: MAX_EVIDENCE_LEN + 1, max: MAX_EVIDENCE_LEN };
    assert_eq!(at(MAX_EVIDENCE_LEN + 1), Err(too_large.into()));
}

#[test]
fn nothing_that_was_changed_on_its_way_convicts() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    for (evidence, _) in kinds(&one, &other) {
        let bytes = evidence.to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let convicts =
                Evidence::parse(&changed).is_ok_and(|it| it.verify(&federation.history).is_ok());
            assert!(!convicts, "byte {at}");
        }
    }
}

#[test]
fn what_another_key_signed_is_forged() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let mut wire = wire_of(&kinds(&one, &other)[0].0);
    let Some(Wire::TwoEntries(two)) = &mut wire.contradiction else { panic!("two entries") };
    let mut forged = two.b.to_vec();
    *forged.last_mut().expect("a signature") ^= 1;
    two.b = forged.into();
    let forged = parse(&wire).expect("well-formed");
    let unproven = forged.verify(&federation.history).expect_err("nobody signed it");
    assert_eq!(unproven, UnprovenError::Signature);
    assert!(unproven.is_forged());
}

// A stolen key that was ended can sign anything from there on: that stops nobody's log. What it signed below its end
// counts, for there it was the writer's word.
#[test]
fn an_ended_key_convicts_below_its_end_only() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let [(entries, _), (roots, _), (trees, _)] = kinds(&one, &other);
    let ended = |key_id, to| {
        let mut federation = federation.clone();
        end_key(&mut federation, key_id, to);
        federation.history
    };
    assert!(entries.verify(&ended(TRANSACTION, 6)).is_ok());
    let unproven = entries.verify(&ended(TRANSACTION, 5)).expect_err("ended at the position");
    assert!(matches!(unproven, UnprovenError::Key(_)) && !unproven.is_forged());
    assert!(roots.verify(&ended(CHECKPOINT, 8)).is_ok());
    assert!(matches!(roots.verify(&ended(CHECKPOINT, 7)), Err(UnprovenError::Key(_))));
    assert!(trees.verify(&ended(CHECKPOINT, 10)).is_ok());
    assert!(matches!(trees.verify(&ended(CHECKPOINT, 9)), Err(UnprovenError::Key(_))));
}

#[test]
fn an_entry_by_a_charter_that_is_not_here_waits_with_its_evidence() {
    let behind = Federation::found();
    let mut federation = behind.clone();
    let next = Draft::next(&federation.history).expect("no fork");
    federation.publish(next);
    let (one, other) = parted(&federation);
    let [(entries, _), ..] = kinds(&one, &other);
    let waits = entries.verify(&behind.history).expect_err("version 2 is not here");
    assert_eq!(waits, UnprovenError::Waiting(2));
    assert!(!waits.is_forged());
    let strangers = Federation::found_by("others").history;
    assert_eq!(entries.verify(&strangers), Err(UnprovenError::UnknownLog(federation.log(WRITER))));
}

#[test]
fn a_file_of_evidence_verifies_from_the_federation_id() {
    let mut federation = Federation::found();
    end_key(&mut federation, TRANSACTION, 900);
    let (one, other) = parted(&federation);
    for (evidence, parting) in kinds(&one, &other) {
        let file = assemble_evidence(&federation.history, &evidence).expect("a file");
        let bytes = file.encode_to_vec();
        let verdict = verify_evidence_file(&bytes, Some(&federation.id())).expect("convincing");
        assert!(verdict.pinned && verdict.newest_charter_version == 2);
        assert_eq!((verdict.verified.parting, &verdict.evidence), (parting, &evidence));
        assert_eq!(verdict.verified, evidence.verify(&federation.history).expect("the same"));
        assert!(!verify_evidence_file(&bytes, None).expect("found").pinned);
        let others = Federation::found_by("others").id();
        let refused = verify_evidence_file(&bytes, Some(&others));
        assert!(matches!(refused, Err(EvidenceFileError::OtherFederation { .. })));
    }
}

#[test]
fn a_file_hides_no_end_of_a_key_that_its_newest_head_knows() {
    let mut federation = Federation::found();
    let (one, other) = parted(&federation);
    let [(entries, _), _, (trees, _)] = kinds(&one, &other);
    let before = federation.history.clone();
    end_key(&mut federation, TRANSACTION, 5);
    end_key(&mut federation, CHECKPOINT, 6);
    for evidence in [&entries, &trees] {
        let unproven = assemble_evidence(&federation.history, evidence);
        assert!(matches!(unproven, Err(EvidenceFileError::Unproven(_))), "{unproven:?}");
        // The newest heads put into an old file, with and without the entry that says so.
        let mut file = assemble_evidence(&before, evidence).expect("it convinced once");
        let newest = v1::EvidenceFile {
            heads: federation
                .history
                .versions()
                .map(|charter| v1::ReceiptHead {
                    head: charter.head_bytes().clone(),
                    signatures: charter.to_wire().signatures,
                })
                .collect(),
            ..file.clone()
        };
        let id = federation.id();
        let refused = verify_evidence_file(&newest.encode_to_vec(), Some(&id));
        assert!(matches!(refused, Err(EvidenceFileError::Book(_))), "{refused:?}");
        file.evidence = Vec::new().into();
        let refused = verify_evidence_file(&file.encode_to_vec(), Some(&id));
        assert!(matches!(refused, Err(EvidenceFileError::Evidence(_))), "{refused:?}");
    }
}

#[test]
fn a_file_that_shows_the_end_of_its_key_convicts_nobody() {
    let mut federation = Federation::found();
    let (one, other) = parted(&federation);
    let [(entries, _), (roots, _), _] = kinds(&one, &other);
    let old = assemble_evidence(&federation.history, &entries).expect("it convinced once");
    end_key(&mut federation, TRANSACTION, 5);
    // Of the other kind, by a key that has not ended: its heads and its newest entry are those that this one needs.
    let mut newest = assemble_evidence(&federation.history, &roots).expect("convincing");
    newest.members.insert(0, old.members[0].clone());
    newest.evidence = entries.to_bytes();
    let refused = verify_evidence_file(&newest.encode_to_vec(), Some(&federation.id()));
    let ended = UnprovenError::Key("a newer charter version ended the key before this");
    assert_eq!(refused.map(|_| ()), Err(EvidenceFileError::Unproven(ended)));
}

#[test]
fn a_file_that_was_changed_proves_nothing() {
    let federation = Federation::found();
    let (one, other) = parted(&federation);
    let file = assemble_evidence(&federation.history, &kinds(&one, &other)[0].0).expect("a file");
    let bytes = file.encode_to_vec();
    let id = federation.id();
    for at in (0..bytes.len()).step_by(13) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(verify_evidence_file(&changed, Some(&id)).is_err(), "byte {at}");
    }
    assert_eq!(verify_evidence_file(&[0xff; 40], None), Err(EvidenceFileError::NotAFile));
    let longer = [&bytes[..], &[0x78, 1]].concat();
    assert_eq!(verify_evidence_file(&longer, Some(&id)), Err(EvidenceFileError::NotCanonical));
}
