//! One log with two histories: what its writer signed on one machine, and on another that began with an older copy.

use bytes::Bytes;
use sundbro_ledger::checkpoint::{
    Checkpoint, UnverifiedCheckpoint, VerifiedCheckpoint, sign_checkpoint,
};
use sundbro_ledger::evidence::{Evidence, TreeLeaf};
use sundbro_ledger::ids::{Commitment, LeafHash};
use sundbro_ledger::log::LogHead;
use sundbro_ledger::merkle::MemoryTree;
use sundbro_ledger::transaction::{Audience, Draft};

use super::{CHECKPOINT, FOUNDERS, Federation, TRANSACTION};

pub const WRITER: &str = FOUNDERS[3];

/// What one machine of the writer holds of its log.
#[derive(Clone)]
pub struct Branch {
    pub federation: Federation,
    pub head: LogHead,
    pub tree: MemoryTree,
    pub entries: Vec<Bytes>,
    pub incarnation: u32,
    pub charter_version: u64,
    pub transaction_key: u32,
    pub checkpoint_key: u32,
}

impl Branch {
    pub fn new(federation: &Federation) -> Self {
        Self {
            federation: federation.clone(),
            head: LogHead::new(federation.log(WRITER)),
            tree: MemoryTree::new(),
            entries: Vec::new(),
            incarnation: 1,
            charter_version: federation.history.in_force(),
            transaction_key: TRANSACTION,
            checkpoint_key: CHECKPOINT,
        }
    }

    /// Signs entries whose payloads these bytes stand for.
    pub fn write(&mut self, payloads: &[u8]) -> &mut Self {
        for payload in payloads {
            let draft = Draft {
                charter_version: self.charter_version,
                key_id: self.transaction_key,
                incarnation: self.incarnation,
                recorded_hour: 490_000,
                payload_commitment: Commitment::new([*payload; 32]),
                payload_size: 64,
                audience: Audience::Federation,
            };
            let key = &self.federation.member(WRITER).keys[&self.transaction_key];
            let signed = self.head.sign_next(draft, key, &self.federation.id());
            self.entries.push(signed.entry_bytes().clone());
            self.tree.append(signed.leaf());
            let verified = self.head.verify(signed, &self.federation.history).expect("valid");
            self.head.append(&verified).expect("it follows");
        }
        self
    }

    pub fn leaf(&self, position: u64) -> LeafHash {
        let place = usize::try_from(position).expect("small");
        sundbro_ledger::merkle::leaf_hash(&self.entries[place])
    }

    pub fn entry(&self, position: usize) -> &Bytes {
        &self.entries[position]
    }

    pub fn checkpoint(&self, size: u64) -> VerifiedCheckpoint {
        let root = self.tree.root_at(size).expect("it was that large");
        let checkpoint = Checkpoint::new(&self.federation.origin(WRITER), size, root);
        let key = &self.federation.member(WRITER).keys[&self.checkpoint_key];
        let note = sign_checkpoint(&checkpoint, key);
        let parsed = UnverifiedCheckpoint::parse(&note).expect("a note");
        parsed.verify(&key.public()).expect("just signed")
    }

    /// What a tree of this branch holds at a position, as evidence shows it.
    pub fn evidence_with(&self, other: &Self, position: u64, sizes: [u64; 2]) -> Evidence {
        let key =
            |branch: &Self| branch.federation.member(WRITER).keys[&branch.checkpoint_key].public();
        let (mine, theirs) = (self.checkpoint(sizes[0]), other.checkpoint(sizes[1]));
        let (my_key, their_key) = (key(self), key(other));
        let proof = |branch: &Self, size| {
            sundbro_ledger::merkle::prove_inclusion(&branch.tree, position, size).expect("in it")
        };
        let one = TreeLeaf {
            checkpoint: &mine,
            key: &my_key,
            leaf: self.leaf(position),
            proof: proof(self, sizes[0]),
        };
        let two = TreeLeaf {
            checkpoint: &theirs,
            key: &their_key,
            leaf: other.leaf(position),
            proof: proof(other, sizes[1]),
        };
        Evidence::of_trees(position, &one, &two).expect("two trees")
    }

    pub fn roots_with(&self, other: &Self, size: u64) -> Evidence {
        let key = self.federation.member(WRITER).keys[&self.checkpoint_key].public();
        let (a, b) = (self.checkpoint(size), other.checkpoint(size));
        Evidence::of_checkpoints((&a, &key), (&b, &key)).expect("two roots")
    }
}

/// Two machines that share the first five entries; the second one was started again.
pub fn parted(federation: &Federation) -> (Branch, Branch) {
    let mut one = Branch::new(federation);
    one.write(b"abcde");
    let mut other = one.clone();
    other.incarnation += 1;
    one.write(b"fgh");
    other.write(b"FGHIJ");
    (one, other)
}
