//! Laws of canonical messages, blobs, entries, chunks and the fold.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use prost::Message as _;
use sundbro_ledger::blob::{BLOB_PREFIX_LEN, Blob, MAX_BLOB_LEN};
use sundbro_ledger::canonical::{decode, encode};
use sundbro_ledger::checkpoint::{
    Checkpoint, Origin, UnverifiedCheckpoint, VerifiedCheckpoint, sign_checkpoint,
};
use sundbro_ledger::chunk::{Chunk, chunk_end, make_chunk};
use sundbro_ledger::fold::{Effect, Heads, MemoryIndex, Record, View};
use sundbro_ledger::ids::{
    Commitment, FederationId, LeafHash, LogId, MemberName, RecordId, RootHash, SubjectTag,
};
use sundbro_ledger::log::{KeyBook, KeyVerdict, LogHead, Refusal};
use sundbro_ledger::merkle::{MemoryTree, leaf_hash};
use sundbro_ledger::payload::{
    Observation, ObservedHead, Payload, RecordRegistered, RecordVersion, RecordWithdrawn,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::transaction::{
    Audience, Draft, Header, MAX_HEADER_LEN, MAX_PAYLOAD_SIZE, SignedTransaction,
};
use sundbro_proto::federation::v1 as wire;
use sundbro_proto::ledger::v1::{RecordDetail, TransactionHeader};

const FEDERATION: FederationId = FederationId::new([9; 32]);

fn member() -> MemberName {
    MemberName::new("gp.example").expect("name")
}

fn origin() -> Origin {
    Origin::new(&member(), &FEDERATION, 1)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// Every key id is the one key.
struct OneKey;

impl KeyBook for OneKey {
    fn federation_id(&self) -> FederationId {
        FEDERATION
    }

    fn transaction_key(&self, _: &LogId, _: u64, _: u32, _: u64) -> KeyVerdict {
        KeyVerdict::Key(key().public())
    }
}

fn audience() -> impl Strategy<Value = Audience> {
    prop_oneof![Just(Audience::Federation), Just(Audience::Limited)]
}

fn header() -> impl Strategy<Value = Header> {
    let place = (1_u64.., any::<[u8; 32]>(), any::<u64>(), any::<[u8; 32]>());
    let rest = (1_u32.., 1_u32.., any::<u32>(), any::<[u8; 32]>(), 0..=MAX_PAYLOAD_SIZE);
    (place, rest, audience()).prop_map(|(place, rest, audience)| Header {
        charter_version: place.0,
        log_id: LogId::new(place.1),
        position: place.2,
        previous_leaf: LeafHash::new(place.3),
        key_id: rest.0,
        incarnation: rest.1,
        recorded_hour: rest.2,
        payload_commitment: Commitment::new(rest.3),
        payload_size: rest.4,
        audience,
    })
}

fn draft() -> impl Strategy<Value = Draft> {
    (any::<u32>(), any::<[u8; 32]>(), 0..=MAX_PAYLOAD_SIZE, audience()).prop_map(
        |(recorded_hour, commitment, payload_size, audience)| Draft {
            charter_version: 1,
            key_id: 1,
            incarnation: 1,
            recorded_hour,
            payload_commitment: Commitment::new(commitment),
            payload_size,
            audience,
        },
    )
}

/// How much charter version, key and incarnation rise before each entry.
fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let rises = (0_u64..3, 0_u32..3, 0_u32..3);
    prop::collection::vec((draft(), rises), 1..40).prop_map(|drafts| {
        let mut last = (1, 1, 1);
        let rising = drafts.into_iter().map(|(draft, rise)| {
            last = (last.0 + rise.0, last.1 + rise.1, last.2 + rise.2);
            let (charter_version, key_id, incarnation) = last;
            Draft { charter_version, key_id, incarnation, ..draft }
        });
        rising.collect()
    })
}

fn flip(bytes: &mut [u8], bit: Index) {
    let bit = bit.index(bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// A log of valid entries, its heads at every size, and its tree.
struct Log {
    entries: Vec<Bytes>,
    heads: Vec<LogHead>,
    tree: MemoryTree,
}

impl Log {
    fn of(drafts: impl IntoIterator<Item = Draft>) -> Self {
        let mut head = LogHead::new(origin().log_id());
        let mut log =
            Self { entries: Vec::new(), heads: vec![head.clone()], tree: MemoryTree::new() };
        for draft in drafts {
            let signed = head.sign_next(draft, &key(), &FEDERATION);
            let entry = head.verify(signed, &OneKey).expect("valid");
            head.append(&entry).expect("follows");
            log.tree.append(entry.leaf());
            log.entries.push(entry.entry_bytes().clone());
            log.heads.push(head.clone());
        }
        log
    }

    fn checkpoint(&self, size: u64) -> VerifiedCheckpoint {
        let root = self.tree.root_at(size).expect("size");
        let note = sign_checkpoint(&Checkpoint::new(&origin(), size, root), &key());
        let parsed = UnverifiedCheckpoint::parse(&note).expect("note");
        parsed.verify(&key().public()).expect("signed")
    }

    fn chunk(&self, start: u64, tree_size: u64) -> Chunk {
        let entries = self.entries[start as usize..chunk_end(start, tree_size) as usize].to_vec();
        make_chunk(origin().log_id(), start, tree_size, entries, &self.tree).expect("chunk")
    }
}

/// One log for all chunk laws: entries are dear in a debug build.
static LONG_LOG: std::sync::LazyLock<Log> = std::sync::LazyLock::new(|| {
    Log::of((0..600).map(|recorded_hour| Draft {
        charter_version: 1,
        key_id: 1,
        incarnation: 1,
        recorded_hour,
        payload_commitment: Commitment::new([1; 32]),
        payload_size: 64,
        audience: Audience::Federation,
    }))
});

fn id(id: u8) -> RecordId {
    RecordId { member: member(), id: [id; 16] }
}

/// What somebody might say about three records, most of it valid.
fn payload() -> impl Strategy<Value = Payload> {
    let registered = (0_u8..3, 1_u32..4, 1_i32..5, prop::option::of(0_u8..3)).prop_map(
        |(record, version, lifecycle, replaces)| {
            let replaces = replaces.filter(|replaced| *replaced != record);
            Payload::Registered(RecordRegistered {
                record: id(record),
                version,
                subjects: vec![SubjectTag { scheme: 1, epoch: version, value: [record; 32] }],
                lifecycle,
                detail_commitment: Commitment::new([version as u8; 32]),
                replaces: replaces.map(|record| RecordVersion { record: id(record), version }),
            })
        },
    );
    let withdrawn = (0_u8..3, 1_i32..4).prop_map(|(record, reason)| {
        Payload::Withdrawn(RecordWithdrawn { record: id(record), reason })
    });
    prop_oneof![6 => registered, 1 => withdrawn]
}

/// As [`payload`], and observations of three logs. [`reckoned`] says what most of them commit to.
fn any_payload() -> impl Strategy<Value = Payload> {
    let head = |(log, size): (u8, u64)| ObservedHead {
        log: LogId::new([log; 32]),
        size,
        root: RootHash::new([size as u8; 32]),
    };
    let heads = prop::collection::btree_map(0_u8..3, 1_u64..9, 1..4);
    // One in four commits to heads that are wrong.
    let observed = (heads, 0_u64..4).prop_map(move |(heads, wrong)| {
        let changed = heads.into_iter().map(head).collect();
        let heads_root = RootHash::new([0; 32]);
        Payload::Observed(Observation { heads_root, heads_count: u64::from(wrong == 0), changed })
    });
    prop_oneof![2 => payload(), 1 => observed]
}

/// Lets each observation commit to the heads after it, but for those that are to be wrong.
fn reckoned(said_all: Vec<(Payload, Audience)>) -> Vec<(Payload, Audience)> {
    let mut heads = Heads::new();
    let reckon = |(payload, audience)| match payload {
        Payload::Observed(it) if it.heads_count == 0 => {
            let mut after = heads.clone();
            let payload = Payload::Observed(after.observe(it.changed));
            if audience == Audience::Federation {
                heads = after;
            }
            (payload, audience)
        }
        other => (other, audience),
    };
    said_all.into_iter().map(reckon).collect()
}

/// The header of the entry at `position` that says this, and its blob.
fn said(position: u64, payload: &Payload, audience: Audience) -> (Header, Bytes) {
    let body = payload.encode().expect("not void");
    let blob = Blob::frame(&[7; 32], &body, audience).expect("fits");
    let header = Header {
        charter_version: 1,
        log_id: origin().log_id(),
        position,
        previous_leaf: LeafHash::NONE,
        key_id: 1,
        incarnation: 1,
        recorded_hour: 0,
        payload_commitment: blob.payload_commitment(),
        payload_size: blob.bytes().len() as u32,
        audience,
    };
    (header, blob.bytes().clone())
}

fn leaf(position: u64) -> LeafHash {
    leaf_hash(&position.to_be_bytes())
}

proptest! {
    // A fixed seed: the same cases on every machine and every day.
    #![proptest_config(ProptestConfig {
        cases: 128,
        rng_seed: RngSeed::Fixed(8032),
        ..ProptestConfig::default()
    })]

    #[test]
    fn headers_read_back_what_they_write(header in header()) {
        prop_assert!(header.to_bytes().len() <= MAX_HEADER_LEN);
        prop_assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
    }

    #[test]
    fn other_bytes_never_mean_the_same_header(header in header(), bit in any::<Index>()) {
        let mut bytes = header.to_bytes();
        flip(&mut bytes, bit);
        if let Ok(other) = Header::parse(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
            prop_assert_ne!(other, header);
        }
    }

    #[test]
    fn whatever_decodes_encodes_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = decode::<TransactionHeader>(&bytes, 512) {
            prop_assert_eq!(encode(&message), &bytes[..]);
        }
        if let Ok(message) = decode::<RecordDetail>(&bytes, 512) {
            prop_assert_eq!(encode(&message), &bytes[..]);
        }
    }

    #[test]
    fn a_message_with_bytes_moved_or_added_is_not_canonical(
        header in header(),
        extra in prop::collection::vec(any::<u8>(), 1..8),
        turn in 1_usize..40,
    ) {
        let bytes = header.to_bytes();
        let added = [&bytes[..], &extra].concat();
        prop_assert!(Header::parse(&added).is_err());
        // The same fields, the format last: protobuf, and no header.
        let turned = [&bytes[2..], &bytes[..2]].concat();
        prop_assert!(TransactionHeader::decode(&turned[..]).is_ok());
        prop_assert!(Header::parse(&turned).is_err());
        let cut = &bytes[..bytes.len() - turn.min(bytes.len())];
        prop_assert!(Header::parse(cut).is_err());
    }

    #[test]
    fn blobs_read_back_what_they_frame(
        salt in any::<[u8; 32]>(),
        body in prop::collection::vec(any::<u8>(), 0..3_000),
        audience in audience(),
    ) {
        let blob = Blob::frame(&salt, &body, audience).expect("fits");
        prop_assert!(blob.bytes().len() <= MAX_BLOB_LEN);
        let parsed = Blob::parse(blob.bytes().clone(), audience).expect("parses");
        prop_assert_eq!(parsed.body(), body);
        prop_assert_eq!(parsed, blob);
    }

    #[test]
    fn padding_takes_one_value_only(
        body in prop::collection::vec(any::<u8>(), 0..300),
        audience in audience(),
        bit in any::<Index>(),
        longer in 1_usize..3,
    ) {
        let blob = Blob::frame(&[7; 32], &body, audience).expect("fits");
        let mut padded = blob.bytes().to_vec();
        padded.resize(padded.len() + longer * 64, 0);
        prop_assert!(Blob::parse(padded.into(), audience).is_err());
        let mut dirty = blob.bytes().to_vec();
        let zeros = BLOB_PREFIX_LEN + body.len();
        if zeros < dirty.len() {
            flip(&mut dirty[zeros..], bit);
            prop_assert!(Blob::parse(dirty.into(), audience).is_err());
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedTransaction::parse(&bytes);
        let _ = Blob::parse_any(bytes.clone().into());
        let _ = Payload::parse(&bytes);
        let _ = sundbro_ledger::payload::Detail::parse(&bytes);
        let _ = LogHead::from_bytes(&bytes);
        let chunk = wire::Chunk { bundle: bytes.into(), ..Default::default() };
        let _ = Chunk::from_wire(&chunk);
    }

    #[test]
    fn payloads_read_back_what_they_write(payload in payload()) {
        prop_assert_eq!(Payload::parse(&payload.encode().expect("not void")), Ok(payload));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        rng_seed: RngSeed::Fixed(8032),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_signed_next_verifies_and_appends(drafts in drafts()) {
        let log = Log::of(drafts);
        let head = log.heads.last().expect("one at least");
        prop_assert_eq!(head.root(), log.tree.root());
        let stored = head.to_bytes();
        prop_assert_eq!(LogHead::from_bytes(&stored), Ok(head.clone()));
    }

    #[test]
    fn an_entry_with_one_bit_flipped_is_refused(drafts in drafts(), at in any::<Index>(), bit in any::<Index>()) {
        let log = Log::of(drafts);
        let at = at.index(log.entries.len());
        let mut entry = log.entries[at].to_vec();
        flip(&mut entry, bit);
        let refusal = log.heads[at].verify_entry(entry.into(), &OneKey);
        prop_assert_eq!(refusal.expect_err("flipped").position(), at as u64);
    }

    #[test]
    fn an_entry_follows_its_own_head_only(drafts in drafts(), at in any::<Index>(), other in any::<Index>()) {
        let log = Log::of(drafts);
        let (at, other) = (at.index(log.entries.len()), other.index(log.entries.len()));
        let verdict = log.heads[other].verify_entry(log.entries[at].clone(), &OneKey);
        prop_assert_eq!(verdict.is_ok(), at == other);
        if let Err(refusal) = verdict {
            let invalid = matches!(refusal, Refusal::Invalid { .. });
            prop_assert!(invalid, "{refusal:?}");
        }
    }

    #[test]
    fn a_chunk_takes_a_replica_on_from_wherever_it_is(start in 0_u64..600, size in 1_u64..=600) {
        let log = &*LONG_LOG;
        prop_assume!(start < size);
        let wire = log.chunk(start, size).to_wire().expect("bundle");
        let chunk = Chunk::from_wire(&wire).expect("parses");
        let head = &log.heads[start as usize];
        let covered = chunk.check(head, &log.checkpoint(size)).expect("covered");
        let verified = covered.verify(&OneKey);
        prop_assert_eq!(verified.refusal, None);
        prop_assert_eq!(&verified.head, &log.heads[chunk_end(start, size) as usize]);
    }

    #[test]
    fn a_corrupt_relay_never_stops_a_log(start in 0_u64..600, size in 1_u64..=600, bit in any::<Index>()) {
        let log = &*LONG_LOG;
        prop_assume!(start < size);
        let honest = log.chunk(start, size).to_wire().expect("bundle");
        let mut frame = encode(&honest);
        flip(&mut frame, bit);
        // Whatever the flip hit: the frame is dropped as the sender's fault, or it says what it said before.
        let Ok(wire) = wire::Chunk::decode(&frame[..]) else { return Ok(()) };
        let Ok(chunk) = Chunk::from_wire(&wire) else { return Ok(()) };
        let said_before = Chunk::from_wire(&honest).as_ref() == Ok(&chunk);
        let checked = chunk.check(&log.heads[start as usize], &log.checkpoint(size));
        prop_assert_eq!(checked.is_ok(), said_before);
    }

    #[test]
    fn rows_do_not_depend_on_what_came_when(
        said_all in prop::collection::vec((any_payload(), audience()), 1..24).prop_map(reckoned),
        order in any::<u64>(),
    ) {
        let entries: Vec<_> = (0..).zip(&said_all)
            .map(|(position, (payload, audience))| said(position, payload, *audience))
            .collect();
        let index = |order: &mut dyn Iterator<Item = usize>| {
            let mut index = MemoryIndex::new();
            for at in order {
                let (header, blob) = &entries[at];
                index.add(&member(), header, leaf(at as u64), blob.clone());
            }
            index
        };
        let in_time = index(&mut (0..entries.len()));
        // Multiplying by an odd number and xor with another turn the order around in a way of their own each.
        let mut shuffled: Vec<usize> = (0..entries.len()).collect();
        shuffled.sort_by_key(|at| (*at as u64 ^ order).wrapping_mul(order | 1));
        let late = index(&mut shuffled.into_iter());
        for audience in [Audience::Federation, Audience::Limited] {
            prop_assert_eq!(late.rows(audience), in_time.rows(audience));
            prop_assert_eq!(late.root(audience), in_time.root(audience));
        }
        // Those who hold no limited payload come to the same shared rows.
        let shared = |at: &usize| entries[*at].0.audience == Audience::Federation;
        let outsider = index(&mut (0..entries.len()).filter(shared));
        prop_assert_eq!(outsider.root(Audience::Federation), in_time.root(Audience::Federation));
    }

    #[test]
    fn what_is_shown_as_void_stays_void_when_more_arrives(
        said_all in prop::collection::vec((any_payload(), audience()), 1..24).prop_map(reckoned),
        here in prop::collection::vec(any::<bool>(), 24),
    ) {
        let (mut whole, mut part) = (MemoryIndex::new(), MemoryIndex::new());
        for ((position, (payload, audience)), here) in (0..).zip(&said_all).zip(here) {
            let (header, blob) = said(position, payload, *audience);
            whole.add(&member(), &header, leaf(position), blob.clone());
            part.add_without_payload(&member(), &header, leaf(position));
            if here {
                part.add(&member(), &header, leaf(position), blob);
            }
        }
        let void = |index: &MemoryIndex| {
            let rows = index.rows(Audience::Federation).into_iter();
            rows.filter(|row| row.view() == View::Void).collect::<Vec<_>>()
        };
        let of_whole = void(&whole);
        prop_assert!(void(&part).iter().all(|row| of_whole.contains(row)));
    }

    #[test]
    fn versions_with_an_effect_have_no_gaps(said_all in prop::collection::vec(payload(), 1..24)) {
        let mut records: [Option<Record>; 3] = [None, None, None];
        let mut versions = [0; 3];
        for (position, payload) in (0..).zip(&said_all) {
            let (header, _) = said(position, payload, Audience::Federation);
            let place = usize::from(payload.record().expect("known").id[0]);
            let before = records[place].take();
            let was_withdrawn = before.as_ref().is_some_and(|record| record.withdrawn.is_some());
            let (effect, after) =
                Record::apply(before.clone(), &member(), &header, leaf(position), payload, false);
            match effect {
                Effect::Registered => {
                    versions[place] += 1;
                    let record = after.as_ref().expect("registered");
                    prop_assert_eq!(record.newest.version, versions[place]);
                    prop_assert!(!was_withdrawn);
                }
                Effect::Withdrawn => prop_assert!(before.is_some() && !was_withdrawn),
                _ => prop_assert_eq!(&after, &before),
            }
            records[place] = after;
        }
    }
}
