//! The cells that no descriptor knows of: what is signed by the wrong key, out of place, or never ends.

use bytes::Bytes;
use prost::Message as _;
use sundbro_laws::world::{CLINIC, HOSPITAL as OWNER, key as key_of, world};
use sundbro_ledger::ids::{FederationId, LeafHash, RootHash};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::transaction::{Header, SignedTransaction};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{
    self as wire, Ack, Frame, Head, Heads, Hello, Problem, SynchroniseRequest, Want, WantBlobs,
    want,
};
use sundbro_store::LogState;
use tonic::transport::Channel;

use crate::cells::Cells;
use crate::line::{Line, framed};
use crate::record::varint;
use crate::script::{Log, answers, hello};
use crate::site::{Outcome, Site};
use crate::support::{Federation, Gateway, HOSPITAL, LAB};

/// Everything that is signed for something else, or stands at another place.
pub(crate) fn entries(cells: &mut Cells) {
    let world = world();
    let id = world.history.federation_id();
    let good = SignedTransaction::parse(&world.entries[5]).expect("ours");
    let judge = |header: &Header, by: &str, key_id: u32, purpose, federation: &FederationId| {
        let bytes = header.to_bytes();
        let signature = key_of(by, key_id).sign(purpose, federation, &bytes);
        let entry = [&bytes[..], signature.as_bytes()].concat();
        let verdict = world.heads[5].verify_entry(entry.into(), &world.history);
        verdict.err().map_or("VALID", |refusal| refusal.code())
    };
    let header = good.header().clone();
    let entry = Purpose::Transaction;
    let linked = |previous_leaf| Header { previous_leaf, ..header.clone() };
    for (what, expected, got) in [
        ("as it was signed", "VALID", judge(&header, OWNER, 1, entry, &id)),
        (
            "of another federation",
            "BAD_SIGNATURE",
            judge(&header, OWNER, 1, entry, &FederationId::FOUNDING),
        ),
        ("by another member", "BAD_SIGNATURE", judge(&header, CLINIC, 1, entry, &id)),
        ("by the key for checkpoints", "BAD_SIGNATURE", judge(&header, OWNER, 2, entry, &id)),
        ("signed as a request", "BAD_SIGNATURE", judge(&header, OWNER, 1, Purpose::Request, &id)),
        (
            "naming the key for checkpoints",
            "WRONG_KEY",
            judge(&Header { key_id: 2, ..header.clone() }, OWNER, 2, entry, &id),
        ),
        (
            "one position too far",
            "WRONG_POSITION",
            judge(&Header { position: 6, ..header.clone() }, OWNER, 1, entry, &id),
        ),
        (
            "one position back",
            "WRONG_POSITION",
            judge(&Header { position: 4, ..header.clone() }, OWNER, 1, entry, &id),
        ),
        (
            "after another entry",
            "BAD_LINK",
            judge(&linked(LeafHash::new([8; 32])), OWNER, 1, entry, &id),
        ),
        ("after none", "BAD_LINK", judge(&linked(LeafHash::NONE), OWNER, 1, entry, &id)),
        (
            "of a charter before",
            "CHARTER_DECREASED",
            judge(&Header { charter_version: 1, ..header.clone() }, OWNER, 1, entry, &id),
        ),
        (
            "of a charter to come",
            "CHARTER_VERSION_MISSING",
            judge(&Header { charter_version: 9, ..header.clone() }, OWNER, 1, entry, &id),
        ),
    ] {
        cells.cell(&format!("an entry {what}"), &expected, &got);
    }
}

/// What is sent, byte for byte, by one who has said Hello.
fn streams(federation: &Federation, log: &Log) -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let message = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
        [&[0], &length[..], bytes].concat()
    };
    let frame = |kind| message(&framed(kind));
    let zeros =
        |count: usize| message(&[&[0x0a], &varint(count as u64)[..], &vec![0; count]].concat());
    let unknown = |number: u64| {
        let kind = [varint(number << 3 | 2), vec![1, b'x']].concat();
        message(&[&[0x0a, u8::try_from(kind.len()).expect("short")], &kind[..]].concat())
    };
    let heads = |count| frame(Kind::Heads(Heads { heads: vec![log.head_at(4); count] }));
    let key = wire::BlobKey { position: 0, kind: 1, commitment: vec![3; 32].into() };
    let wanted = |count| {
        let log_id = Bytes::copy_from_slice(log.id.as_bytes());
        let blobs = WantBlobs { log_id, keys: vec![key.clone(); count] };
        frame(Kind::Want(Want { what: Some(want::What::Blobs(blobs)) }))
    };
    let ack = Ack { log_id: Bytes::copy_from_slice(log.id.as_bytes()), durable_size: 1 };
    let closing = Problem { reason: "GOING_AWAY".into(), closing: true, ..Problem::default() };
    let ended = Outcome::ended;
    let empty = SynchroniseRequest { frame: Some(Frame { kind: None }) }.encode_to_vec();
    vec![
        ("a second Hello", frame(Kind::Hello(hello(federation, LAB))), ended("MALFORMED_FRAME")),
        ("a frame of no kind", message(&empty), ended("UNKNOWN_FRAME")),
        ("a Manifest", unknown(10), ended("UNKNOWN_FRAME")),
        ("an Ack of a log that is not ours", frame(Kind::Ack(ack)), ended("MALFORMED_FRAME")),
        ("a Credit", unknown(12), ended("UNKNOWN_FRAME")),
        ("a frame from the future", unknown(16), ended("UNKNOWN_FRAME")),
        ("256 heads", heads(256), Outcome::GoesOn),
        ("257 heads", heads(257), ended("MALFORMED_FRAME")),
        ("256 blobs wanted", wanted(256), Outcome::GoesOn),
        ("257 blobs wanted", wanted(257), ended("MALFORMED_FRAME")),
        ("a closing Problem", frame(Kind::Problem(closing)), Outcome::Broken),
        ("a message of 4 GiB, announced", vec![0, 0xff, 0xff, 0xff, 0xff], Outcome::Broken),
        ("a message of 1 MiB and 65 bytes, announced", vec![0, 0, 0x10, 0, 0x41], Outcome::Broken),
        ("a message of 8 MiB", zeros(8 << 20), Outcome::Broken),
        ("a compressed message that was not agreed", vec![1, 0, 0, 0, 1, 0], Outcome::Broken),
        ("a compression that there is not", vec![7, 0, 0, 0, 0], Outcome::Broken),
    ]
}

/// What was tried, what should become of it, and what did.
type Told = (String, Outcome, Outcome);

/// The site, and an honest hospital whose log must go on whatever the laboratory does.
struct Honest {
    site: Site,
    line: Line,
    log: Log,
    size: u64,
}

impl Honest {
    /// One more entry of the hospital's log is shown, and fetched.
    async fn goes_on(&mut self, what: &str) -> Told {
        self.size += 1;
        let got = goes_on(&self.site, &mut self.line, &self.log, self.size).await;
        (format!("the others, {what}"), Outcome::GoesOn, got)
    }
}

/// Sends each on a stream of its own; whatever becomes of it, the hospital's log goes on.
pub(crate) async fn run(federation: Federation) -> Vec<Told> {
    let log = Log::new(&federation, LAB, 300, None);
    let others = Log::new(&federation, HOSPITAL, 200, None);
    let site = Site::new(&federation).await;
    let (lab, hospital) = (site.connect(LAB), site.connect(HOSPITAL));
    let line = site.greet(&hospital, HOSPITAL).await;
    let mut honest = Honest { site, line, log: others, size: 0 };
    let mut found = Vec::new();
    for (what, bytes, expected) in streams(&federation, &log) {
        let mut line = honest.site.greet(&lab, LAB).await;
        line.raw(bytes).await;
        let got = honest.site.ping(&mut line).await;
        found.push((what.to_owned(), expected, got));
        honest.site.hang_up(line, LAB).await;
        found.push(honest.goes_on(&format!("after {what}")).await);
    }
    found.extend(beginnings(&federation, &honest.site, &lab, &log).await);
    found.extend(never_ending(&mut honest, &lab).await);
    honest.site.close().await;
    found.extend(chunks(&federation, &log).await);
    found
}

/// What is said first, and is no Hello or too long a one.
async fn beginnings(federation: &Federation, site: &Site, lab: &Channel, log: &Log) -> Vec<Told> {
    let early = Kind::Heads(Heads { heads: vec![log.head_at(4)] });
    let many = Hello { subject_epochs: vec![1; 1_025], ..hello(federation, LAB) };
    let malformed = Outcome::ended("MALFORMED_FRAME");
    let mut found = Vec::new();
    for (what, kind, expected) in [
        ("heads before Hello", early, malformed.clone()),
        ("a Problem for Hello", Kind::Problem(Problem::default()), Outcome::Broken),
        ("1,025 subject epochs", Kind::Hello(many), malformed),
    ] {
        let mut line = Line::open(lab).await;
        line.send(kind).await;
        found.push((what.to_owned(), expected, site.ping(&mut line).await));
    }
    found
}

/// One who never ends a message, one who says nothing more, and one who asks and never reads.
async fn never_ending(honest: &mut Honest, lab: &Channel) -> Vec<Told> {
    let mut found = Vec::new();
    let mut slow = honest.site.greet(lab, LAB).await;
    slow.raw(vec![0, 0, 0, 1, 0, 0x0a]).await;
    found.push(honest.goes_on("while a message never ends").await);
    honest.site.hang_up(slow, LAB).await;
    let quiet = honest.site.greet(lab, LAB).await;
    found.push(honest.goes_on("while one says nothing").await);
    honest.site.hang_up(quiet, LAB).await;
    honest.site.gp.publish(256 * 4);
    let mut deaf = honest.site.greet(lab, LAB).await;
    for _ in 0..24 {
        let log_id = Bytes::copy_from_slice(honest.site.gp.log.as_bytes());
        let entries = wire::WantEntries { log_id, start: 0, end: 0, tree_size: 256 * 4 };
        deaf.send(Kind::Want(Want { what: Some(want::What::Entries(entries)) })).await;
    }
    found.push(honest.goes_on("while one does not read").await);
    found
}

async fn goes_on(site: &Site, line: &mut Line, log: &Log, size: u64) -> Outcome {
    line.send(Kind::Heads(Heads { heads: vec![log.head_at(size)] })).await;
    let answer = |kind| answers(log, kind).unwrap_or_default();
    site.outcome(line, Some(log.id), &answer, |gp, _| gp.size(&log.id) >= size).await
}

/// What is sent for a chunk.
type Change = fn(wire::Chunk) -> Vec<wire::Chunk>;

/// Entries in another order, too few, twice; another root: who pays, the sender or the log.
async fn chunks(federation: &Federation, log: &Log) -> Vec<Told> {
    let mut found = Vec::new();
    let bad = Outcome::ended("BAD_CHUNK");
    let swap = |chunk: wire::Chunk| {
        let mut entries = split(&chunk.bundle);
        entries.swap(0, 1);
        vec![with(chunk, entries)]
    };
    let cut = |chunk: wire::Chunk| {
        let mut entries = split(&chunk.bundle);
        entries.pop();
        vec![with(chunk, entries)]
    };
    let one_twice = |chunk: wire::Chunk| {
        let mut entries = split(&chunk.bundle);
        entries[1] = entries[0].clone();
        vec![with(chunk, entries)]
    };
    let halves = |chunk: wire::Chunk| {
        let entries = split(&chunk.bundle);
        vec![with(chunk.clone(), entries[..9].to_vec()), with(chunk, entries[9..].to_vec())]
    };
    let twice = |chunk: wire::Chunk| vec![chunk.clone(), chunk];
    let cells: [(&str, Change); 5] = [
        ("entries in another order", swap),
        ("an entry too few", cut),
        ("an entry twice", one_twice),
        ("half a bundle", halves),
        ("a bundle twice", twice),
    ];
    for (what, change) in cells {
        let site = Site::new(federation).await;
        let mut line = site.greet(&site.connect(LAB), LAB).await;
        line.send(Kind::Heads(Heads { heads: vec![log.head()] })).await;
        let answer = |kind| {
            let answers = answers(log, kind).unwrap_or_default().into_iter();
            let changed = |kind| match kind {
                Kind::Chunk(chunk) => change(chunk).into_iter().map(Kind::Chunk).collect(),
                other => vec![other],
            };
            answers.flat_map(changed).collect()
        };
        let outcome =
            site.outcome(&mut line, Some(log.id), &answer, |gp, _| gp.size(&log.id) == log.size());
        found.push((what.to_owned(), bad.clone(), outcome.await));
        found.push((format!("the log, after {what}"), Outcome::GoesOn, followed(&site.gp, log)));
        site.close().await;
    }
    found.push((
        "another root of one size".into(),
        Outcome::LogHalts("EQUIVOCATION".into()),
        equivocated(federation, log).await,
    ));
    found
}

async fn equivocated(federation: &Federation, log: &Log) -> Outcome {
    let site = Site::new(federation).await;
    let mut line = site.greet(&site.connect(LAB), LAB).await;
    assert_eq!(
        goes_on(&site, &mut line, log, log.size()).await,
        Outcome::GoesOn,
        "nothing is wrong yet"
    );
    let other: Head = log.head_with(RootHash::new([9; 32]));
    line.send(Kind::Heads(Heads { heads: vec![other] })).await;
    let outcome = site.outcome(&mut line, Some(log.id), &|_| Vec::new(), |_, _| false).await;
    site.close().await;
    outcome
}

fn followed(gp: &Gateway, log: &Log) -> Outcome {
    match gp.store.log_status(&log.id).expect("a status").state {
        LogState::Followed => Outcome::GoesOn,
        state => Outcome::LogHalts(format!("{state:?}")),
    }
}

fn split(bundle: &[u8]) -> Vec<Vec<u8>> {
    let entries = sundbro_ledger::tiles::read_bundle(bundle, 256).expect("ours");
    entries.into_iter().map(<[u8]>::to_vec).collect()
}

fn with(chunk: wire::Chunk, entries: Vec<Vec<u8>>) -> wire::Chunk {
    let bundle = sundbro_ledger::tiles::write_bundle(entries.iter().map(|entry| &entry[..]));
    wire::Chunk { bundle: bundle.expect("short").into(), ..chunk }
}
