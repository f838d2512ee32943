//! A peer that follows a script, and logs that a test can spoil at one position.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sundbro_gateway::replication::OUTBOUND_FRAMES;
use sundbro_gateway::subject::grant;
use sundbro_ledger::checkpoint::{Checkpoint, sign_checkpoint};
use sundbro_ledger::chunk::{chunk_end, make_chunk};
use sundbro_ledger::ids::{Commitment, LeafHash, LogId, RootHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::{MemoryTree, leaf_hash, proof_to_wire, prove_consistency};
use sundbro_ledger::signing::Purpose;
use sundbro_ledger::subject::SubjectKey;
use sundbro_ledger::transaction::{Audience, Draft, Header};
use sundbro_proto::federation::v1::frame::Kind;
use sundbro_proto::federation::v1::{
    self as wire, Consistency, ConsistencyProof, Frame, Head, Heads, Hello, want,
};
use tokio::sync::mpsc;

use crate::support::{CHECKPOINT, Federation, Gateway, Running, TRANSACTION, key, name, session};

/// What is wrong with the entry at the spoiled position. Everything after it is wrong too, in a real log; here it is
/// only covered by the checkpoint.
#[derive(Clone, Copy, Debug)]
pub enum Spoil {
    Signature,
    Link,
    NotCanonical,
    WrongKey,
    /// It names a charter that nobody has yet: nothing is wrong, but the log waits there.
    LaterCharter,
}

/// A log as its owner signs it, in memory.
pub struct Log {
    pub id: LogId,
    member: String,
    origin: sundbro_ledger::checkpoint::Origin,
    pub entries: Vec<Bytes>,
    tree: MemoryTree,
    /// From which position on it is another history of the same log, by which start of its gateway.
    other_from: Option<(u64, u32)>,
}

impl Log {
    /// Another history of what [`Log::new`] gives: it parts from that at a position.
    pub fn parting(
        federation: &Federation,
        member: &str,
        size: u64,
        other_from: (u64, u32),
    ) -> Self {
        Self::build(federation, member, size, None, Some(other_from))
    }

    pub fn new(
        federation: &Federation,
        member: &str,
        size: u64,
        spoil: Option<(u64, Spoil)>,
    ) -> Self {
        Self::build(federation, member, size, spoil, None)
    }

    fn build(
        federation: &Federation,
        member: &str,
        size: u64,
        spoil: Option<(u64, Spoil)>,
        other_from: Option<(u64, u32)>,
    ) -> Self {
        let mut log = Self {
            id: federation.log(member),
            member: member.to_owned(),
            origin: federation.origin(member),
            entries: Vec::new(),
            tree: MemoryTree::default(),
            other_from,
        };
        let mut head = LogHead::new(log.id);
        for position in 0..size {
            let spoil = spoil.filter(|(at, _)| *at == position).map(|(_, spoil)| spoil);
            let entry = log.sign(federation, &mut head, spoil);
            log.tree.append(leaf_hash(&entry));
            log.entries.push(entry);
        }
        log
    }

    fn sign(&self, federation: &Federation, head: &mut LogHead, spoil: Option<Spoil>) -> Bytes {
        // Payloads are withheld: what is tested here is headers.
        let other = self.other_from.filter(|(at, _)| *at <= head.size());
        let draft = Draft {
            charter_version: 1,
            key_id: TRANSACTION,
            incarnation: other.map_or(1, |(_, incarnation)| incarnation),
            recorded_hour: 1,
            payload_commitment: Commitment::new([3 + u8::from(other.is_some()); 32]),
            payload_size: 512,
            audience: Audience::Limited,
        };
        let signer = key(&self.member, TRANSACTION);
        let good = head.sign_next(draft, &signer, &federation.id());
        let spoiled = match spoil {
            None => good.entry_bytes().clone(),
            Some(Spoil::Signature) => {
                let mut entry = good.entry_bytes().to_vec();
                let last = entry.len() - 40;
                entry[last] ^= 1;
                entry.into()
            }
            Some(Spoil::Link) => {
                let previous_leaf = LeafHash::new([8; 32]);
                let header = Header { previous_leaf, ..good.header().clone() }.to_bytes();
                let signature = signer.sign(Purpose::Transaction, &federation.id(), &header);
                [&header[..], signature.as_bytes()].concat().into()
            }
            Some(Spoil::NotCanonical) => {
                let mut entry = good.header_bytes().to_vec();
                entry.extend_from_slice(&[0xf8, 0x07, 1]);
                entry.extend_from_slice(good.signature().as_bytes());
                entry.into()
            }
            Some(Spoil::WrongKey) => {
                let draft = Draft { key_id: CHECKPOINT, ..draft };
                let signer = key(&self.member, CHECKPOINT);
                head.sign_next(draft, &signer, &federation.id()).entry_bytes().clone()
            }
            Some(Spoil::LaterCharter) => {
                let draft = Draft { charter_version: 99, ..draft };
                head.sign_next(draft, &signer, &federation.id()).entry_bytes().clone()
            }
        };
        let verified = head.verify(good, &federation.history).expect("a good entry");
        head.append(&verified).expect("follows");
        spoiled
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// A head of the log, signed with the CHECKPOINT key.
    pub fn head(&self) -> Head {
        self.head_with(self.tree.root())
    }

    /// A head of the log as it was at a size.
    pub fn head_at(&self, size: u64) -> Head {
        let root = self.tree.root_at(size).expect("a smaller tree");
        self.head_of(&Checkpoint::new(&self.origin, size, root))
    }

    pub fn head_with(&self, root: RootHash) -> Head {
        self.head_of(&Checkpoint::new(&self.origin, self.size(), root))
    }

    fn head_of(&self, checkpoint: &Checkpoint) -> Head {
        Head {
            log_id: Bytes::copy_from_slice(self.id.as_bytes()),
            checkpoint: sign_checkpoint(checkpoint, &key(&self.member, CHECKPOINT)).into(),
        }
    }

    /// A head signed with another key of the owner.
    pub fn head_by(&self, key_id: u32) -> Head {
        let checkpoint = Checkpoint::new(&self.origin, self.size(), self.tree.root());
        Head {
            log_id: Bytes::copy_from_slice(self.id.as_bytes()),
            checkpoint: sign_checkpoint(&checkpoint, &key(&self.member, key_id)).into(),
        }
    }

    pub fn chunk(&self, start: u64, tree_size: u64) -> wire::Chunk {
        let end = chunk_end(start, tree_size);
        let entries = self.entries[start as usize..end as usize].to_vec();
        let chunk = make_chunk(self.id, start, tree_size, entries, &self.tree).expect("a chunk");
        chunk.to_wire().expect("fits")
    }

    pub fn proof(&self, old: u64, new: u64) -> Consistency {
        let proof = prove_consistency(&self.tree, old, new).expect("a proof");
        Consistency {
            log_id: Bytes::copy_from_slice(self.id.as_bytes()),
            old_size: old,
            new_size: new,
            proof: Some(ConsistencyProof { hashes: proof_to_wire(&proof) }),
        }
    }
}

/// Speaks for a peer that answers meanwhile.
#[derive(Clone)]
pub struct Voice(mpsc::Sender<Frame>);

impl Voice {
    pub async fn send(&self, kind: Kind) {
        self.0.send(Frame { kind: Some(kind) }).await.expect("the gateway reads");
    }

    /// Says whether the gateway still reads.
    pub async fn try_send(&self, kind: Kind) -> bool {
        self.0.send(Frame { kind: Some(kind) }).await.is_ok()
    }

    pub async fn show(&self, head: Head) {
        self.send(Kind::Heads(Heads { heads: vec![head] })).await;
    }
}

/// The other end of a session with a real gateway.
pub struct Peer {
    out: mpsc::Sender<Frame>,
    frames: mpsc::Receiver<Frame>,
    pub running: Running,
}

impl Peer {
    /// Opens a stream as `member`, without a word yet.
    pub fn silent(gateway: &Gateway, member: &str) -> Self {
        let (to_gateway, from_peer) = mpsc::channel(OUTBOUND_FRAMES);
        let (to_peer, from_gateway) = mpsc::channel(OUTBOUND_FRAMES);
        let running = session(gateway, member, from_peer, to_peer);
        Self { out: to_gateway, frames: from_gateway, running }
    }

    /// Opens a stream and says Hello.
    pub async fn greeting(federation: &Federation, gateway: &Gateway, member: &str) -> Self {
        let peer = Self::silent(gateway, member);
        peer.send(Kind::Hello(hello(federation, member))).await;
        peer
    }

    pub async fn send(&self, kind: Kind) {
        self.send_frame(Frame { kind: Some(kind) }).await;
    }

    pub async fn send_frame(&self, frame: Frame) {
        self.out.send(frame).await.expect("the gateway reads");
    }

    pub async fn charter(&self, charter: sundbro_proto::ledger::v1::Charter) {
        self.send(Kind::Charter(wire::CharterFrame { charters: vec![charter] })).await;
    }

    pub fn voice(&self) -> Voice {
        Voice(self.out.clone())
    }

    /// Gives a subject key, right or wrong.
    pub async fn grant(&self, federation: &Federation, to: &str, epoch: u32, key: &SubjectKey) {
        let (to, id) = (name(to), federation.id());
        let sealing = federation.history.sealing_key(&to).expect("a SEALING key");
        let public = sealing.public_key.as_bytes();
        let grant = grant::seal(key, &id, epoch, &to, sealing.key_id, public).expect("sealed");
        self.send(Kind::KeyGrant(wire::KeyGrant { grant: Some(grant) })).await;
    }

    /// The next frame. `None`: the gateway ended the stream.
    pub async fn next(&mut self) -> Option<Kind> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.frames.recv());
        next.await.expect("a frame in time").map(|frame| frame.kind.expect("a kind"))
    }

    /// Asks for entries.
    pub async fn want(&self, log: LogId, start: u64, tree_size: u64) {
        self.try_want(log, start, tree_size).await.expect("the gateway reads");
    }

    /// Asks for entries. Fails when the gateway has ended the stream.
    pub async fn try_want(&self, log: LogId, start: u64, tree_size: u64) -> Result<(), ()> {
        let log_id = Bytes::copy_from_slice(log.as_bytes());
        let entries = wire::WantEntries { log_id, start, tree_size, end: 0 };
        let what = Some(want::What::Entries(entries));
        self.out.send(Frame { kind: Some(Kind::Want(wire::Want { what })) }).await.map_err(drop)
    }

    /// Waits until as many frames wait for us as may.
    pub async fn until_full(&self) {
        let full = async {
            while self.frames.len() < OUTBOUND_FRAMES {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), full).await.expect("full in time");
    }

    /// Bytes of the frames that wait for us, taken all at once: the gateway has no time to send more.
    pub fn unread_bytes(&mut self) -> usize {
        std::iter::from_fn(|| self.frames.try_recv().ok()).map(|frame| frame.encoded_len()).sum()
    }

    /// The next chunk that was asked for, whatever else comes before it.
    pub async fn next_chunk(&mut self) -> wire::Chunk {
        self.first(|kind| match kind {
            Kind::Chunk(chunk) if chunk.checkpoint.is_empty() => Some(chunk),
            _ => None,
        })
        .await
    }

    /// The first frame that `wanted` takes.
    pub async fn first<T>(&mut self, wanted: impl Fn(Kind) -> Option<T>) -> T {
        loop {
            let kind = self.next().await.expect("the stream goes on");
            if let Some(found) = wanted(kind) {
                return found;
            }
        }
    }

    /// The Problem with which the gateway ends the stream.
    pub async fn closing_problem(&mut self) -> wire::Problem {
        self.first(|kind| match kind {
            Kind::Problem(problem) if problem.closing => Some(problem),
            _ => None,
        })
        .await
    }

    pub async fn show(&self, head: Head) {
        self.send(Kind::Heads(Heads { heads: vec![head] })).await;
    }

    /// As [`Peer::serve`], and nothing may be asked about `barred`.
    pub async fn serve_but(&mut self, log: &Log, barred: &Log) {
        while let Some(kind) = self.next().await {
            let about_barred = answers(barred, kind.clone()).unwrap_or_default();
            // Blobs are asked for by commitment alone.
            let entries = about_barred.iter().any(|answer| !matches!(answer, Kind::Payloads(_)));
            assert!(!entries, "{kind:?}");
            for answer in answers(log, kind).unwrap_or_default() {
                if self.out.send(Frame { kind: Some(answer) }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Answers everything that is asked about some logs, until the stream ends; `see` is shown each question first.
    pub async fn serve_all(&mut self, logs: &[&Log], mut see: impl FnMut(&Kind)) {
        while let Some(kind) = self.next().await {
            see(&kind);
            let answers = logs.iter().find_map(|log| answers(log, kind.clone()));
            for answer in answers.unwrap_or_default() {
                if self.out.send(Frame { kind: Some(answer) }).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Answers one question about some logs.
    pub async fn answer(&self, logs: &[&Log], question: Kind) {
        let answers = logs.iter().find_map(|log| answers(log, question.clone()));
        for answer in answers.unwrap_or_default() {
            self.send(answer).await;
        }
    }

    /// Answers everything that is asked about a log, until the stream ends. `change` may spoil a chunk.
    pub async fn serve(&mut self, log: &Log, change: impl Fn(wire::Chunk) -> wire::Chunk) {
        while let Some(kind) = self.next().await {
            let Some(answers) = answers(log, kind) else { continue };
            for answer in answers {
                let answer = match answer {
                    Kind::Chunk(chunk) => Kind::Chunk(change(chunk)),
                    other => other,
                };
                if self.out.send(Frame { kind: Some(answer) }).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// What an honest peer that has a log answers; `None` when it is not asked about it.
pub fn answers(log: &Log, kind: Kind) -> Option<Vec<Kind>> {
    match kind {
        Kind::Consistency(ask) if ask.proof.is_none() && ask.log_id == log.id.as_bytes()[..] => {
            Some(vec![Kind::Consistency(log.proof(ask.old_size, ask.new_size))])
        }
        Kind::Want(wire::Want { what: Some(want::What::Entries(ask)) })
            if ask.log_id == log.id.as_bytes()[..] =>
        {
            let mut start = ask.start;
            let mut chunks = Vec::new();
            let end = if ask.end == 0 { ask.tree_size } else { ask.end };
            while start < end {
                chunks.push(Kind::Chunk(log.chunk(start, ask.tree_size)));
                start = chunk_end(start, ask.tree_size);
            }
            Some(chunks)
        }
        Kind::Want(wire::Want { what: Some(want::What::Blobs(ask)) }) => {
            let nothing =
                wire::Payloads { log_id: ask.log_id, blobs: Vec::new(), missing: ask.keys };
            Some(vec![Kind::Payloads(nothing)])
        }
        _ => None,
    }
}

pub fn hello(federation: &Federation, member: &str) -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        software: "script/1".into(),
        member: name(member).to_string(),
        federation_id: Bytes::copy_from_slice(federation.id().as_bytes()),
        incarnation: 1,
        instance_id: vec![5; 16].into(),
        charter_version: federation.history.in_force(),
        subject_epochs: vec![1],
    }
}
