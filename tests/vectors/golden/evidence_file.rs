//! Vectors of files of evidence: what each is worth to its reader, and files that break one rule.

use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};
use sundbro_ledger::charter::{Charter, LogBranch};
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::evidence::{Evidence, assemble_evidence, verify_evidence_file};
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::FederationId;
use sundbro_proto::ledger::v1;
use sundbro_proto::ledger::v1::evidence::Contradiction as Wire;

use crate::evidence::{Branch, PARTING, of_checkpoints, of_entries, of_trees};
use crate::healed::{HEADS, healed};
use crate::json::{File, not_canonical};
use crate::receipt::charter_json;
use crate::world::{self, HOSPITAL, key, name, seed};

/// Histories of the hospital's log, and the charter that they are judged by.
struct World {
    history: CharterHistory,
    federation: FederationId,
    one: Branch,
    other: Branch,
    /// As the first one, by a later start of the gateway.
    later: Branch,
}

impl World {
    fn new() -> Self {
        let history = world::history();
        let federation = history.federation_id();
        let branch = |apart| Branch::new(&federation, 2, 6, apart);
        let (one, other, later) = (branch((1, 0x74)), branch((1, 0x75)), branch((2, 0x74)));
        Self { history, federation, one, other, later }
    }

    /// The charter with a version more.
    fn amended(&self, change: impl FnOnce(&mut Draft)) -> CharterHistory {
        let mut draft = Draft::next(&self.history).expect("no fork");
        change(&mut draft);
        let mut proposal = draft.propose().expect("keeps every rule");
        for byte in [0x11, 0x13] {
            proposal.sign(&key(byte)).expect("a steward");
        }
        let mut history = self.history.clone();
        let offered = history.offer(proposal.finish().expect("signed by two of three"));
        assert!(matches!(offered, Ok(Offered::Accepted)), "version 3 follows");
        history
    }

    /// The charter in which the first history goes on.
    fn settled(&self) -> CharterHistory {
        let note = UnverifiedCheckpoint::parse(&self.one.whole_note()).expect("a note");
        let branch = LogBranch { log_id: note.log_id(), size: note.size(), root: *note.root() };
        self.amended(|draft| draft.set_branch(branch))
    }

    /// The charter in which a key of the hospital ends there.
    fn ended(&self, key_id: u32, to: u64) -> CharterHistory {
        self.amended(|draft| draft.close_key(&name(HOSPITAL), key_id, to).expect("it has it"))
    }
}

pub(crate) fn evidence_file() -> File {
    let about = "Files of evidence, put together from the charter, and what they are worth to their reader; and files that \
                 break one rule.";
    let mut file = File::new("evidence_file", 10, about);
    let world = World::new();
    let World { history, one, other, later, .. } = &world;
    let pinned = Some(&world.federation);
    add(&mut file, "two entries", &of_entries(one, other), history, pinned);
    add(&mut file, "two entries of two starts", &of_entries(one, later), history, pinned);
    add(&mut file, "two roots", &of_checkpoints(one, other), history, pinned);
    add(&mut file, "two trees", &of_trees(one, other), history, pinned);
    let by_two = of_entries(&Branch::new(&world.federation, 1, 6, (1, 0x74)), other);
    add(&mut file, "two entries that name two charter versions", &by_two, history, pinned);
    let settled = world.settled();
    add(&mut file, "the stewards named a branch later", &of_trees(one, other), &settled, pinned);
    let above = world.ended(1, PARTING + 1);
    add(&mut file, "a key that ended above", &of_entries(one, other), &above, pinned);
    let forked = |apart| Branch::new(&world.federation, 3, 6, apart);
    let named = of_entries(&forked((1, 0x74)), &forked((1, 0x75)));
    let what = "two entries that name a version which stood twice and was healed";
    add(&mut file, what, &named, &healed(history), pinned);
    add(
        &mut file,
        "for a reader who knows no federation id",
        &of_entries(one, later),
        history,
        None,
    );
    refuse_all(&mut file, &world);
    file
}

fn add(
    file: &mut File,
    what: &str,
    evidence: &Evidence,
    history: &CharterHistory,
    federation: Option<&FederationId>,
) {
    let made = assemble_evidence(history, evidence).expect("it convicts").encode_to_vec();
    let verdict = verify_evidence_file(&made, federation).expect("valid");
    let worth = if verdict.pinned { verdict.verified.kind.code() } else { "UNPINNED" };
    let charters: Vec<Value> =
        history.chain().map(|charter: &Charter| charter_json(&charter.to_wire())).collect();
    file.case(
        what,
        json!({
            "federation_id": federation.map(|id| hex::encode(id.as_bytes())),
            "charters": charters,
            "evidence": hex::encode(evidence.to_bytes()),
        }),
        json!({
            "file": hex::encode(made),
            "verdict": worth,
            "member": verdict.verified.member.as_str(),
        }),
    );
}

/// One thing made wrong in a file of two entries that name charter version 1 and 2.
type Change = fn(&mut v1::EvidenceFile);

const FILE: [(&str, Change); 7] = [
    ("no heads", |file| file.heads.clear()),
    ("heads from version 2", |file| drop(file.heads.remove(0))),
    ("a head signed by too few", |file| file.heads[1].signatures.truncate(1)),
    ("the entry at the version that an entry names left out", |file| drop(file.members.remove(0))),
    ("the newest entry left out", |file| drop(file.members.pop())),
    ("an entry that is not in its version", |file| file.members[1].index = 2),
    ("the members in descending order", |file| file.members.swap(0, 1)),
];

fn refuse_all(file: &mut File, world: &World) {
    let World { history, federation, one, other, .. } = world;
    let mut refuse = |what: &str, known: &FederationId, bytes: &[u8]| {
        assert!(verify_evidence_file(bytes, Some(known)).is_err(), "{what}");
        file.refuse(what, bytes, json!({ "federation_id": hex::encode(known.as_bytes()) }));
    };
    let by_two = of_entries(&Branch::new(federation, 1, 6, (1, 0x74)), other);
    let right = assemble_evidence(history, &by_two).expect("it convicts");
    let bytes = right.encode_to_vec();
    refuse("another federation than the one known", &FederationId::new(seed(0xf1)), &bytes);
    for (what, bytes) in not_canonical(&bytes) {
        refuse(what, federation, &bytes);
    }
    for (what, change) in FILE {
        let mut file = right.clone();
        change(&mut file);
        refuse(what, federation, &file.encode_to_vec());
    }
    let mut with = |what: &str, evidence: Bytes| {
        let file = v1::EvidenceFile { evidence, ..right.clone() };
        refuse(what, federation, &file.encode_to_vec());
    };
    with("no evidence", Bytes::new());
    let (entries, notes) = (of_entries(one, other), of_checkpoints(one, other));
    with("a wrong signature of an entry", misspelled(&entries));
    with("a wrong signature of a note", misspelled(&notes));
    let elsewhere = FederationId::new(seed(0xf1));
    let branch = |apart| Branch::new(&elsewhere, 2, 6, apart);
    with(
        "evidence of a log of nobody",
        of_trees(&branch((1, 0x74)), &branch((1, 0x75))).to_bytes(),
    );
    let branch = |apart| Branch::new(federation, 3, 6, apart);
    let newer = of_entries(&branch((1, 0x74)), &branch((1, 0x75)));
    with("entries that name a version without a head", newer.to_bytes());
    refuse_ended(&mut refuse, world);
    let forked = Branch::new(federation, 3, 6, (1, 0x74));
    let twice = of_entries(&forked, &Branch::new(federation, 3, 6, (1, 0x75)));
    let right = assemble_evidence(&healed(history), &twice).expect("it convicts");
    for (what, change) in HEADS {
        let mut file = right.clone();
        change(&mut file.heads);
        refuse(what, federation, &file.encode_to_vec());
    }
}

/// What a key signed that ended there convicts nobody.
fn refuse_ended(refuse: &mut impl FnMut(&str, &FederationId, &[u8]), world: &World) {
    let World { federation, one, other, .. } = world;
    let (entries, trees) = (of_entries(one, other), of_trees(one, other));
    // An evidence that convicts gives the file its heads and members; then the other one takes its place.
    let below = |history: &CharterHistory, good: &Evidence, ended: &Evidence| {
        let file = assemble_evidence(history, good).expect("it convicts");
        v1::EvidenceFile { evidence: ended.to_bytes(), ..file }.encode_to_vec()
    };
    let shorter = |apart| Branch::new(federation, 2, PARTING + 1, apart);
    let small = of_trees(&shorter((1, 0x74)), &shorter((1, 0x75)));
    let history = world.ended(2, PARTING + 1);
    let bytes = below(&history, &small, &trees);
    refuse("notes of a key that a later version ended below their size", federation, &bytes);
    let history = world.ended(1, PARTING);
    let mut file = assemble_evidence(&history, &trees).expect("notes have a key of their own");
    let two = assemble_evidence(&world.history, &entries).expect("it convicts");
    file.members.splice(0..0, two.members);
    file.evidence = entries.to_bytes();
    let bytes = file.encode_to_vec();
    refuse("entries of a key that a later version ended there", federation, &bytes);
}

/// Evidence of which the second signature does not hold.
fn misspelled(evidence: &Evidence) -> Bytes {
    let mut wire = v1::Evidence::decode(evidence.to_bytes()).expect("a message");
    match wire.contradiction.as_mut().expect("one") {
        Wire::TwoEntries(two) => two.b = spoiled(&two.b),
        Wire::TwoCheckpoints(two) => two.b = spoiled(&two.b),
        Wire::TwoTrees(_) => panic!("of entries or notes"),
    }
    wire.encode_to_vec().into()
}

/// An entry or a note with another byte, a letter, within its signature.
fn spoiled(signed: &Bytes) -> Bytes {
    let mut bytes = signed.to_vec();
    let place = bytes.len() - 40;
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    bytes.into()
}
