//! The cells of frames: each with one thing wrong, sent to a gateway over TLS.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;
use sundbro_gateway::subject::grant;
use sundbro_laws::evidence::samples;
use sundbro_laws::world::world;
use sundbro_ledger::chunk::chunk_end;
use sundbro_ledger::ids::Commitment;
use sundbro_ledger::merkle::proof_to_wire;
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::retrieve_record_response::Part;
use sundbro_proto::federation::v1::{
    self as wire, Consistency, Frame, Heads, Hello, Payloads, Problem, SynchroniseResponse, Want,
    WantBlobs, WantEntries, want,
};

use crate::cells::Cells;
use crate::damage::{self, Damage, Damaged};
use crate::decoding::{every_field_was_tried, pool, row};
use crate::line::{Heard, Line, framed};
use crate::script::{Log, answers, hello};
use crate::site::{Outcome, Site};
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, name, subject_key};
use crate::table::FRAMES;

/// When in a conversation a frame is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// As the first one.
    First,
    /// Whenever the sender likes.
    Anytime,
    /// As a question.
    Wanted,
    /// The proof that was asked for.
    Proof,
    /// The entries that were asked for.
    Chunk,
    /// Pushed by the author.
    Tail,
    /// The blobs that were asked for.
    Blobs,
    /// Whenever the sender likes, and what it gives is kept: each time to a gateway that lacks it.
    Kept,
}

/// Entries of the laboratory's log.
const ENTRIES: u64 = 1_000;
/// So many are there before anything goes wrong: more than one bundle, or chunks would need no proof.
const FIRST: u64 = 260;
/// So many more are shown each time. In all fewer than 768 come to be there: until then the proof of a chunk is one hash,
/// so that what can be done to it does not depend on how far the log came.
const STEP: u64 = 2;
/// A frame of 1 MiB and what stands around it.
const MAX_MESSAGE_BYTES: usize = (1 << 20) + 64;

/// Tries every damage on every field of every frame: each group on a gateway of its own, side by side.
pub(crate) async fn run(cells: &mut Cells) {
    let federation = Federation::found();
    let log = Log::new(&federation, LAB, STEP, None);
    let mut groups = vec![
        tokio::spawn(asked(federation.clone())),
        tokio::spawn(blobs(federation.clone())),
        tokio::spawn(async { wrappers() }),
    ];
    for (base, when) in anytime(&federation, &log) {
        groups.push(tokio::spawn(unasked(federation.clone(), framed(base), when)));
    }
    let mut tried = BTreeSet::new();
    for group in groups {
        for (when, damaged, outcome) in group.await.expect("no panic") {
            judge(cells, when, &damaged, &outcome);
            tried.insert(damaged.at);
        }
    }
    // A closing Problem ends the stream, so it is tried by hand.
    tried.insert(("Problem".into(), "closing".into()));
    every_field_was_tried(cells, ("sundbro.federation.v1", FRAMES), &tried);
}

/// What came of one damage, and when the frame was sent.
type Tried = Vec<(When, Damaged, Outcome)>;

async fn unasked(federation: Federation, good: Vec<u8>, when: When) -> Tried {
    let mut found = Tried::new();
    let mut site = Site::new(&federation).await;
    let mut channel = site.connect(LAB);
    for damaged in damages(&good) {
        let mut line = match when {
            When::First => Line::open(&channel).await,
            _ => site.greet(&channel, LAB).await,
        };
        line.message(&damaged.bytes).await;
        let outcome = site.ping(&mut line).await;
        if site.gp.subjects.get(1).is_some() {
            site.close().await;
            site = Site::new(&federation).await;
            channel = site.connect(LAB);
        }
        found.push((when, damaged, outcome));
    }
    site.close().await;
    found
}

/// Damages to a message and what it carries, but not to what the ledger reads by itself.
fn damages(good: &[u8]) -> Vec<Damaged> {
    let kind = pool().get_message_by_name("sundbro.federation.v1.SynchroniseRequest");
    let ours = |damaged: &Damaged| {
        let (message, field) = &damaged.at;
        field.is_empty() || row(FRAMES, message, field).is_some()
    };
    damage::all(&kind.expect("ours"), good).into_iter().filter(ours).collect()
}

fn judge(cells: &mut Cells, when: When, damaged: &Damaged, outcome: &Outcome) {
    let what = format!("{} {:?} {when:?}", damaged.path, damaged.damage);
    cells.cell(&what, &expected(when, damaged), outcome);
}

fn expected(when: When, damaged: &Damaged) -> Outcome {
    let Damaged { at: (message, field), damage, .. } = damaged;
    let said = row(FRAMES, message, field).unwrap_or_default();
    let damage_name = format!("{damage:?}");
    let reason = said.split(' ').find_map(|rule| {
        let (head, damages) = rule.split_once('=')?;
        let (at, reason) = head.split_once(':').unwrap_or(("", head));
        let here = at.is_empty() || at == format!("{when:?}");
        (here && damages.split(',').any(|one| one == damage_name)).then_some(reason)
    });
    match reason {
        Some("GOES_ON") => Outcome::GoesOn,
        Some(reason) => Outcome::ended(reason),
        None if damage.is_no_protobuf() || damaged.bytes.len() > MAX_MESSAGE_BYTES => {
            Outcome::Broken
        }
        None => Outcome::GoesOn,
    }
}

/// A good frame of each kind that needs no question.
fn anytime(federation: &Federation, log: &Log) -> Vec<(Kind, When)> {
    let log_id = Bytes::copy_from_slice(log.id.as_bytes());
    let key = |at: u64| wire::BlobKey { position: at, kind: 1, commitment: vec![3; 32].into() };
    let wanted = |what| Kind::Want(Want { what: Some(what) });
    let entries = WantEntries { log_id: log_id.clone(), start: 1, end: 2, tree_size: 2 };
    let blobs = WantBlobs { log_id: log_id.clone(), keys: vec![key(1), key(2)] };
    let blob = wire::Blob { key: Some(key(1)), bytes: vec![7; 64].into() };
    let pushed = Payloads { log_id: log_id.clone(), blobs: vec![blob], missing: vec![key(2)] };
    let problem = Problem {
        reason: "NOT_HELD".into(),
        message: "not here".into(),
        log_id: log_id.clone(),
        closing: false,
    };
    let question = Consistency { log_id, old_size: 1, new_size: 2, proof: None };
    let charter = federation.history.current().to_wire();
    let gp = name(GP);
    let own = Bytes::copy_from_slice(federation.log(GP).as_bytes());
    let ack = wire::Ack { log_id: own, durable_size: 1 };
    let sealing = federation.history.sealing_key(&gp).expect("listed");
    let public = sealing.public_key.as_bytes();
    let grant = grant::seal(&subject_key(1), &federation.id(), 1, &gp, sealing.key_id, public);
    let checkpoint = Log::new(federation, GP, STEP, None).head_at(STEP).checkpoint;
    let answer = wire::StartAnswer { round: 1, incarnation: 1, is_yours: true, checkpoint };
    vec![
        (Kind::Hello(Hello { subject_epochs: vec![1, 2], ..hello(federation, LAB) }), When::First),
        (Kind::Heads(Heads { heads: vec![log.head_at(STEP), log.head_at(STEP)] }), When::Anytime),
        (Kind::Consistency(question), When::Anytime),
        (wanted(want::What::Entries(entries)), When::Wanted),
        (wanted(want::What::Blobs(blobs)), When::Wanted),
        (Kind::Payloads(pushed), When::Anytime),
        (Kind::Problem(problem.clone()), When::Anytime),
        (Kind::Ack(ack), When::Anytime),
        (Kind::Charter(wire::CharterFrame { charters: vec![charter] }), When::Anytime),
        (Kind::KeyGrant(wire::KeyGrant { grant: Some(grant.expect("sealed")) }), When::Kept),
        (Kind::StartQuestion(wire::StartQuestion { round: 1 }), When::Anytime),
        (Kind::StartAnswer(answer), When::Anytime),
        // Of another federation: whole, and about no log here.
        (Kind::Evidence(wire::EvidenceFrame { evidence: samples()[0].to_bytes() }), When::Anytime),
    ]
}

/// Proofs, chunks and tails of the laboratory's log, which is longer each time, so that there is always something to
/// ask for.
async fn asked(federation: Federation) -> Tried {
    let site = Site::new(&federation).await;
    let log = &Log::new(&federation, LAB, ENTRIES, None);
    let channel = site.connect(LAB);
    let mut line = site.greet(&channel, LAB).await;
    line.send(Kind::Heads(Heads { heads: vec![log.head_at(FIRST)] })).await;
    assert_eq!(
        until_holds(&site, &mut line, log, FIRST).await,
        Outcome::GoesOn,
        "nothing is wrong"
    );
    let mut found = Tried::new();
    for when in [When::Proof, When::Chunk, When::Tail] {
        let mut at = 0;
        let mut again = 0;
        loop {
            site.hang_up(line, LAB).await;
            line = site.greet(&channel, LAB).await;
            let have = site.gp.size(&log.id);
            let good = framed(good_one(log, when, have));
            let Some(damaged) = damages(&good).into_iter().nth(at) else { break };
            let outcome = answered(&site, &mut line, log, (when, have), &damaged, &good).await;
            // A tail is a favour: while what the last session was doing ends, it is left out.
            if when == When::Tail
                && outcome == Outcome::GoesOn
                && again < 3
                && expected(when, &damaged) != outcome
            {
                again += 1;
                continue;
            }
            (at, again) = (at + 1, 0);
            found.push((when, damaged, outcome));
        }
    }
    site.close().await;
    found
}

fn good_one(log: &Log, when: When, have: u64) -> Kind {
    let next = have + STEP;
    match when {
        When::Proof => Kind::Consistency(log.proof(have, next)),
        When::Chunk => Kind::Chunk(log.chunk(have, next)),
        _ => {
            let checkpoint = log.head_at(next).checkpoint;
            Kind::Chunk(wire::Chunk { checkpoint, ..log.chunk(have, next) })
        }
    }
}

/// Sends a damaged one where a good one should come, and looks whether the log comes to its end all the same.
async fn answered(
    site: &Site,
    line: &mut Line,
    log: &Log,
    (when, have): (When, u64),
    damaged: &Damaged,
    good: &[u8],
) -> Outcome {
    let head = Kind::Heads(Heads { heads: vec![log.head_at(have + STEP)] });
    if when == When::Tail {
        line.message(&damaged.bytes).await;
        // Without a checkpoint it is no tail: an answer that nobody waits for.
        if (damaged.at.1 == "checkpoint")
            && matches!(damaged.damage, Damage::Missing | Damage::Default)
        {
            return site.ping(line).await;
        }
    } else {
        line.send(head).await;
        until_asked(line, log, when).await;
        line.message(&damaged.bytes).await;
        // What is left out is waited for; what is taken must not come twice.
        if !damaged.damage.keeps_meaning() {
            line.message(good).await;
        }
    }
    until_holds(site, line, log, have + STEP).await
}

async fn until_holds(site: &Site, line: &mut Line, log: &Log, size: u64) -> Outcome {
    let answer = |kind| answers(log, kind).unwrap_or_default();
    site.outcome(line, Some(log.id), &answer, |gp, _| gp.size(&log.id) >= size).await
}

/// Answers the gateway until it asks for a proof, or for entries.
async fn until_asked(line: &mut Line, log: &Log, when: When) {
    loop {
        let Heard::Frame(kind) = line.next().await else { panic!("the session ended") };
        match &kind {
            Kind::Consistency(ask) if ask.proof.is_none() && when == When::Proof => return,
            Kind::Want(Want { what: Some(want::What::Entries(_)) }) => return,
            _ => {}
        }
        for answer in answers(log, kind).unwrap_or_default() {
            line.send(answer).await;
        }
    }
}

/// Blobs: the hospital publishes a record each time, and gives its blobs when it is asked for them.
async fn blobs(federation: Federation) -> Tried {
    let site = Site::new(&federation).await;
    let hospital = Gateway::new(&federation, HOSPITAL);
    let mut found = Tried::new();
    let channel = site.connect(HOSPITAL);
    let mut at = 0;
    loop {
        hospital.publish(1);
        let mut line = site.greet(&channel, HOSPITAL).await;
        let checkpoint = hospital.store.log_status(&hospital.log).expect("a status").checkpoint;
        let log_id = Bytes::copy_from_slice(hospital.log.as_bytes());
        let head = wire::Head { log_id, checkpoint: checkpoint.expect("published").note };
        line.send(Kind::Heads(Heads { heads: vec![head] })).await;
        let good = loop {
            let Heard::Frame(kind) = line.next().await else { panic!("the session ended") };
            let is_for_blobs =
                matches!(&kind, Kind::Want(Want { what: Some(want::What::Blobs(_)) }));
            let answers = kept_answers(&hospital, kind);
            if is_for_blobs {
                break framed(answers.into_iter().next().expect("an answer"));
            }
            for answer in answers {
                line.send(answer).await;
            }
        };
        let Some(damaged) = damages(&good).into_iter().nth(at) else { break };
        at += 1;
        line.message(&damaged.bytes).await;
        line.message(&good).await;
        let size = hospital.size(&hospital.log);
        let whole = |gp: &Gateway, _: Option<&Kind>| {
            let counts = gp.store.index_counts(&hospital.log).expect("counts");
            counts.indexed_size == size && counts.missing_blobs == 0
        };
        let answer = |kind| kept_answers(&hospital, kind);
        let outcome = site.outcome(&mut line, Some(hospital.log), &answer, whole).await;
        found.push((When::Blobs, damaged, outcome));
        site.hang_up(line, HOSPITAL).await;
    }
    site.close().await;
    found
}

/// What an honest gateway answers from its own store.
fn kept_answers(of: &Gateway, kind: Kind) -> Vec<Kind> {
    match kind {
        Kind::Consistency(Consistency { old_size, new_size, proof: None, log_id }) => {
            let proof = of.store.consistency_proof(&of.log, old_size, new_size).expect("a proof");
            let proof = Some(wire::ConsistencyProof { hashes: proof_to_wire(&proof) });
            vec![Kind::Consistency(Consistency { log_id, old_size, new_size, proof })]
        }
        Kind::Want(Want { what: Some(want::What::Entries(ask)) }) => {
            let starts = std::iter::successors(Some(ask.start), |at| {
                Some(chunk_end(*at, ask.tree_size)).filter(|end| *end < ask.tree_size)
            });
            let chunk = |at| of.store.chunk(&of.log, at, ask.tree_size).expect("a chunk");
            starts.map(|at| Kind::Chunk(chunk(at).to_wire().expect("fits"))).collect()
        }
        Kind::Want(Want { what: Some(want::What::Blobs(WantBlobs { log_id, keys })) }) => {
            let blob = |key: wire::BlobKey| {
                let commitment = Commitment::try_from(&key.commitment[..]).expect("32 bytes");
                let bytes = of.store.blob(&commitment).expect("readable").expect("kept");
                wire::Blob { key: Some(key), bytes }
            };
            let blobs = keys.into_iter().map(blob).collect();
            vec![Kind::Payloads(Payloads { log_id, blobs, missing: Vec::new() })]
        }
        _ => Vec::new(),
    }
}

/// Messages that a gateway gets when it calls, or in a call of its own: read here as it reads them.
fn wrappers() -> Tried {
    let mut found = Tried::new();
    let signed = world().messages();
    let asked = wire::RetrieveRecordRequest { request: Some(signed[0].clone()) };
    let acknowledged =
        wire::AcknowledgeRetrievalRequest { acknowledgement: Some(signed[3].clone()) };
    let part = |part| wire::RetrieveRecordResponse { part: Some(part) }.encode_to_vec();
    let problem =
        Frame { kind: Some(Kind::Problem(Problem { closing: true, ..Problem::default() })) };
    let answered = SynchroniseResponse { frame: Some(problem) };
    let bases: [(&str, Vec<u8>, Reader); 6] = [
        ("RetrieveRecordRequest", asked.encode_to_vec(), |bytes| {
            wire::RetrieveRecordRequest::decode(bytes).map(|read| read.request.is_some())
        }),
        ("AcknowledgeRetrievalRequest", acknowledged.encode_to_vec(), |bytes| {
            wire::AcknowledgeRetrievalRequest::decode(bytes)
                .map(|read| read.acknowledgement.is_some())
        }),
        ("RetrieveRecordResponse", part(Part::Grant(signed[1].clone())), part_of),
        ("RetrieveRecordResponse", part(Part::Data(vec![1; 9].into())), part_of),
        ("RetrieveRecordResponse", part(Part::Completion(signed[2].clone())), part_of),
        ("SynchroniseResponse", answered.encode_to_vec(), |bytes| {
            SynchroniseResponse::decode(bytes)
                .map(|read| read.frame.is_some_and(|frame| frame.kind.is_some()))
        }),
    ];
    for (name, good, read) in bases {
        let kind = pool().get_message_by_name(&format!("sundbro.federation.v1.{name}"));
        for damaged in damage::all(&kind.expect("ours"), &good) {
            if damaged.at.0 != name {
                continue;
            }
            let outcome = match read(&damaged.bytes) {
                Ok(true) => Outcome::GoesOn,
                Ok(false) => Outcome::ended("NOTHING_THERE"),
                Err(_) => Outcome::Broken,
            };
            found.push((When::Anytime, damaged, outcome));
        }
    }
    found
}

/// Whether bytes are protobuf, and say something.
type Reader = fn(&[u8]) -> Result<bool, prost::DecodeError>;

fn part_of(bytes: &[u8]) -> Result<bool, prost::DecodeError> {
    wire::RetrieveRecordResponse::decode(bytes).map(|read| read.part.is_some())
}
