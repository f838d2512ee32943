//! A wrong chunk is the sender's fault, a wrong entry in a covered chunk the log's.

use super::*;
use crate::checkpoint::{Checkpoint, Origin, UnverifiedCheckpoint, sign_checkpoint};
use crate::ids::{Commitment, FederationId, MemberName};
use crate::log::KeyVerdict;
use crate::merkle::MemoryTree;
use crate::signing::{Purpose, SigningKey};
use crate::transaction::{Audience, Draft};

const FEDERATION: FederationId = FederationId::new([9; 32]);

struct OneKey;

impl KeyBook for OneKey {
    fn federation_id(&self) -> FederationId {
        FEDERATION
    }

    fn transaction_key(&self, _: &LogId, _: u64, key_id: u32, _: u64) -> KeyVerdict {
        match key_id {
            1 => KeyVerdict::Key(key().public()),
            _ => KeyVerdict::Waiting,
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn origin() -> Origin {
    let member = MemberName::new("gp.example").expect("name");
    Origin::new(&member, &FEDERATION, 1)
}

/// A log of entries that are valid unless `sign` says otherwise.
struct Log {
    entries: Vec<Bytes>,
    heads: Vec<LogHead>,
    tree: MemoryTree,
}

impl Log {
    fn new(size: u32) -> Self {
        let mut head = LogHead::new(origin().log_id());
        let mut log = Self { entries: Vec::new(), heads: Vec::new(), tree: MemoryTree::new() };
        for hour in 0..size {
            log.heads.push(head.clone());
            let entry = head.sign_next(draft(hour), &key(), &FEDERATION);
            let entry = head.verify(entry, &OneKey).expect("valid");
            head.append(&entry).expect("follows");
            log.push(entry.entry_bytes().clone());
        }
        log.heads.push(head);
        log
    }

    /// Whatever the author commits to.
    fn push(&mut self, entry: Bytes) {
        self.tree.append(leaf_hash(&entry));
        self.entries.push(entry);
    }

    fn checkpoint(&self) -> VerifiedCheckpoint {
        self.checkpoint_of(self.tree.size())
    }

    fn checkpoint_of(&self, size: u64) -> VerifiedCheckpoint {
        let root = self.tree.root_at(size).expect("size");
        let note = sign_checkpoint(&Checkpoint::new(&origin(), size, root), &key());
        let parsed = UnverifiedCheckpoint::parse(&note).expect("note");
        parsed.verify(&key().public()).expect("signed")
    }

    fn chunk(&self, start: u64) -> Chunk {
        let tree_size = self.tree.size();
        let entries = self.entries[start as usize..chunk_end(start, tree_size) as usize].to_vec();
        make_chunk(origin().log_id(), start, tree_size, entries, &self.tree).expect("chunk")
    }
}

fn draft(recorded_hour: u32) -> Draft {
    Draft {
        charter_version: 1,
        key_id: 1,
        incarnation: 1,
        recorded_hour,
        payload_commitment: Commitment::new([6; 32]),
        payload_size: 256,
        audience: Audience::Federation,
    }
}

#[test]
fn a_replica_catches_up_chunk_by_chunk_from_any_place() {
    let log = Log::new(600);
    let checkpoint = log.checkpoint();
    for start in [0, 1, 255, 256, 300, 512, 599] {
        let mut head = log.heads[start].clone();
        let mut pulled = 0;
        while head.size() < 600 {
            let wire = log.chunk(head.size()).to_wire().expect("short entries");
            let chunk = Chunk::from_wire(&wire).expect("parses");
            let verified = chunk.check(&head, &checkpoint).expect("covered").verify(&OneKey);
            assert_eq!(verified.refusal, None);
            assert!(verified.entries.len() <= 256);
            pulled += verified.entries.len();
            head = verified.head;
        }
        assert_eq!((start + pulled, head.root()), (600, log.tree.root()));
        assert_eq!(head, log.heads[600]);
    }
}

#[test]
fn refuses_what_was_not_asked_for() {
    let log = Log::new(300);
    let (checkpoint, head) = (log.checkpoint(), &log.heads[10]);
    let check = |change: fn(&mut Chunk)| {
        let mut chunk = log.chunk(10);
        change(&mut chunk);
        chunk.check(head, &checkpoint).expect_err("refused")
    };
    let other = LogId::new([3; 32]);
    assert_eq!(check(|chunk| chunk.log_id = LogId::new([3; 32])), ChunkError::WrongLog(other));
    // Of the log that was asked for, under a checkpoint of another; and under its own, for another.
    let of_another = Chunk { log_id: other, ..log.chunk(0) };
    let wrong_log = Err(ChunkError::WrongLog(other));
    assert_eq!(of_another.check(&LogHead::new(other), &checkpoint), wrong_log);
    let wrong_log = Err(ChunkError::WrongLog(origin().log_id()));
    assert_eq!(log.chunk(0).check(&LogHead::new(other), &checkpoint), wrong_log);
    let start = ChunkError::WrongStart { start: 11, size: 10 };
    assert_eq!(check(|chunk| chunk.start = 11), start);
    let tree = ChunkError::WrongTree { found: 299, expected: 300 };
    assert_eq!(check(|chunk| chunk.tree_size = 299), tree);
    let count = ChunkError::WrongCount { found: 245, expected: 246 };
    assert_eq!(check(|chunk| drop(chunk.entries.pop())), count);
    let none = ChunkError::WrongCount { found: 0, expected: 246 };
    assert_eq!(check(|chunk| chunk.entries.clear()), none);
    // A replica that is up to date has no next chunk.
    let chunk = Chunk { start: 300, entries: Vec::new(), ..log.chunk(10) };
    let nothing = ChunkError::WrongCount { found: 0, expected: 0 };
    assert_eq!(chunk.check(&log.heads[300], &checkpoint), Err(nothing));
}

#[test]
fn refuses_entries_that_the_checkpoint_does_not_cover() {
    let log = Log::new(300);
    let (checkpoint, head) = (log.checkpoint(), &log.heads[10]);
    let check = |change: fn(&mut Chunk)| {
        let mut chunk = log.chunk(10);
        change(&mut chunk);
        chunk.check(head, &checkpoint).expect_err("refused")
    };
    let not_covered = ChunkError::NotCovered(ProofError::RootMismatch);
    assert_eq!(check(|chunk| chunk.entries.swap(3, 4)), not_covered);
    assert_eq!(check(|chunk| chunk.entries[0] = Bytes::new()), not_covered);
    assert_eq!(check(|chunk| chunk.proof[0] = NodeHash::new([0; 32])), not_covered);
    let length = check(|chunk| chunk.proof.clear());
    assert!(matches!(length, ChunkError::NotCovered(ProofError::WrongLength(0))));
    // A replica whose own entries are others than those of the tree takes nothing either.
    let mut branch = LogHead::new(origin().log_id());
    for hour in 100..110 {
        let entry = branch.sign_next(draft(hour), &key(), &FEDERATION);
        let entry = branch.verify(entry, &OneKey).expect("valid");
        branch.append(&entry).expect("follows");
    }
    assert_eq!(log.chunk(10).check(&branch, &checkpoint), Err(not_covered));
}

#[test]
fn keeps_what_is_good_before_the_entry_that_stops_the_log() {
    let mut log = Log::new(5);
    let head = log.heads[5].clone();
    let bad = head.sign_next(draft(0), &SigningKey::from_seed(&[2; 32]), &FEDERATION);
    log.push(bad.entry_bytes().clone());
    log.push(Bytes::from_static(b"after it nothing is looked at"));
    let covered = log.chunk(2).check(&log.heads[2], &log.checkpoint()).expect("covered");
    let verified = covered.verify(&OneKey);
    assert_eq!((verified.entries.len(), &verified.head), (3, &head));
    let refusal = verified.refusal.expect("stopped");
    assert_eq!((refusal.position(), refusal.code()), (5, "BAD_SIGNATURE"));
}

#[test]
fn an_entry_that_is_too_large_stops_its_log_and_not_its_sender() {
    let mut log = Log::new(1);
    log.push(vec![0x09; 65_535].into());
    let wire = log.chunk(1).to_wire().expect("bundle");
    let chunk = Chunk::from_wire(&wire).expect("parses");
    let covered = chunk.check(&log.heads[1], &log.checkpoint()).expect("covered");
    let refusal = covered.verify(&OneKey).refusal.expect("stopped");
    assert_eq!((refusal.position(), refusal.code()), (1, "TOO_LARGE"));
}

#[test]
fn a_log_waits_where_it_cannot_be_judged_yet() {
    let mut log = Log::new(2);
    let head = log.heads[2].clone();
    let entry = head.sign_next(Draft { key_id: 2, ..draft(0) }, &key(), &FEDERATION);
    log.push(entry.entry_bytes().clone());
    let covered = log.chunk(0).check(&log.heads[0], &log.checkpoint()).expect("covered");
    let refusal = covered.verify(&OneKey).refusal.expect("waits");
    assert!(matches!(refusal, Refusal::Waiting { position: 2, .. }), "{refusal:?}");
}

#[test]
fn refuses_frames_that_do_not_parse() {
    let wire = || Log::new(3).chunk(0).to_wire().expect("bundle");
    let refused = |wire: v1::Chunk| Chunk::from_wire(&wire).expect_err("refused");
    let short = Bytes::from_static(&[1; 31]);
    assert_eq!(refused(v1::Chunk { log_id: short.clone(), ..wire() }), ChunkError::LogId);
    let proof = refused(v1::Chunk { proof: vec![short], ..wire() });
    assert_eq!(proof, ChunkError::Proof(ProofError::HashLength(0)));
    let proof = refused(v1::Chunk { proof: vec![Bytes::new(); 65], ..wire() });
    assert_eq!(proof, ChunkError::Proof(ProofError::TooLong(65)));
    let trailing = [&wire().bundle[..], &[0]].concat().into();
    let bundle = refused(v1::Chunk { bundle: trailing, ..wire() });
    assert_eq!(bundle, ChunkError::Bundle(BundleError::Truncated(3)));
    let many = vec![0; 2 * 257].into();
    let bundle = refused(v1::Chunk { bundle: many, ..wire() });
    assert_eq!(bundle, ChunkError::Bundle(BundleError::TooManyEntries(256)));
    let entries = vec![vec![7; MAX_BUNDLE_LEN / 256 - 2]; 256];
    let full = Bytes::from(write_bundle(entries.iter().map(|entry| &entry[..])).expect("short"));
    assert_eq!(full.len(), MAX_BUNDLE_LEN);
    assert!(Chunk::from_wire(&v1::Chunk { bundle: full, ..wire() }).is_ok());
    let long = vec![0; MAX_BUNDLE_LEN + 1].into();
    let bundle = refused(v1::Chunk { bundle: long, ..wire() });
    assert_eq!(bundle, ChunkError::TooLarge(MAX_BUNDLE_LEN + 1));
}

#[test]
fn makes_no_chunk_of_other_entries_than_the_range_has() {
    let log = Log::new(3);
    let make = |start, tree_size, entries: &[Bytes]| {
        make_chunk(origin().log_id(), start, tree_size, entries.to_vec(), &log.tree)
    };
    assert!(matches!(make(0, 3, &log.entries[..2]), Err(MakeChunkError::Entries { .. })));
    assert!(matches!(make(4, 3, &[]), Err(MakeChunkError::Entries { .. })));
    assert!(matches!(make(3, 3, &[]), Err(MakeChunkError::Entries { .. })));
    let beyond = make(0, 300, &vec![Bytes::new(); 256]);
    assert!(matches!(beyond, Err(MakeChunkError::Proof(_))));
    assert!(make(0, 2, &log.entries[..2]).is_ok());
}

#[test]
fn chunks_end_at_multiples_of_256() {
    for (start, tree_size, end) in
        [(0, 10, 10), (0, 256, 256), (0, 257, 256), (255, 300, 256), (256, 300, 300), (7, 3, 3)]
    {
        assert_eq!(chunk_end(start, tree_size), end);
    }
    assert_eq!(chunk_end(u64::MAX, u64::MAX), u64::MAX);
}

#[test]
fn the_signature_purpose_of_an_entry_is_not_that_of_a_checkpoint() {
    let log = Log::new(1);
    let note = log.checkpoint_of(1).note().clone();
    let parsed = UnverifiedCheckpoint::parse(&note).expect("note");
    assert!(parsed.verify(&SigningKey::from_seed(&[2; 32]).public()).is_err());
    let signature = key().sign(Purpose::Transaction, &FEDERATION, &note);
    assert!(key().public().verify_note_text(&note, &signature).is_err());
}
