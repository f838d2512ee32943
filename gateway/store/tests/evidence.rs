//! Evidence of a log with two histories: what it takes out of the index, and how a replica goes over to the branch that
//! the charter names.

mod common;

use std::path::Path;

use common::{Keys, Member, Settles, append, blobs, keys, register, replicate, says};
use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::evidence::{Equivocation, Evidence, EvidenceEffect};
use sundbro_ledger::history::Named;
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_ledger::log::Refusal;
use sundbro_store::index::LogOwners;
use sundbro_store::verify::verify_with;
use sundbro_store::{
    LogState, MAX_EVIDENCE_PER_LOG, OwnDraft, Parted, Store, StoreError, is_equivocation,
};
use tempfile::TempDir;

/// Where the two histories part.
const PARTING: u64 = 20;

/// A writer whose store was copied after 20 entries, and both copies went on.
struct World {
    writer: Member,
    reader: Member,
    keys: Keys,
    one: Store,
    other: Store,
    drafts: Vec<OwnDraft>,
    folders: Vec<TempDir>,
}

fn drafts(writer: &Member, numbers: std::ops::Range<u8>) -> Vec<OwnDraft> {
    numbers.map(|n| register(writer, u64::from(n), &says(n, 1))).collect()
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

impl World {
    fn new() -> Self {
        let (writer, reader) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
        let keys = keys(&[&writer, &reader]);
        let folders: Vec<TempDir> =
            (0..2).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let (shared, ours, theirs) =
            (drafts(&writer, 0..20), drafts(&writer, 20..60), drafts(&writer, 100..170));
        append(&writer.open(folders[0].path()), &writer, shared.clone());
        copy(folders[0].path(), folders[1].path());
        let (one, other) = (writer.open(folders[0].path()), writer.open(folders[1].path()));
        append(&one, &writer, ours.clone());
        append(&other, &writer, theirs.clone());
        let drafts = [shared, ours, theirs].concat();
        Self { writer, reader, keys, one, other, drafts, folders }
    }

    /// A replica of one of the two, with every blob, folded.
    fn replica(&mut self, from: impl Fn(&Self) -> &Store) -> Store {
        let folder = tempfile::tempdir().expect("a folder");
        let store = self.reader.open(folder.path());
        self.folders.push(folder);
        replicate(from(self), &store, &self.writer, &self.keys);
        store.put_blobs(&blobs(&self.drafts)).expect("stored");
        fold(&store, &self.keys);
        store
    }

    fn entries(&self, position: u64) -> Evidence {
        let log = self.writer.log();
        let entry = |store: &Store| store.entry(&log, position).expect("read").expect("here");
        Evidence::of_entries(&entry(&self.one), &entry(&self.other)).expect("two entries")
    }

    fn branch(&self, of: &Store, size: u64) -> LogBranch {
        let log = self.writer.log();
        let root = sundbro_ledger::merkle::range_hash(&of.nodes(&log).expect("nodes"), 0, size);
        LogBranch { log_id: log, size, root: RootHash::from(root.expect("it is that long")) }
    }
}

fn fold(store: &Store, owners: &dyn LogOwners) {
    while !store.fold(owners, 1_000).expect("folds").finished {}
}

fn root(store: &Store) -> RootHash {
    store.index_roots().expect("roots").index_root
}

#[test]
fn what_lies_above_the_parting_has_no_effect_whichever_history_came_first() {
    let mut world = World::new();
    let (one, other) = (world.replica(|world| &world.one), world.replica(|world| &world.other));
    assert_ne!(root(&one), root(&other));
    let evidence = world.entries(PARTING);
    for store in [&one, &other] {
        assert!(store.put_evidence(&evidence, &world.keys).expect("kept"));
        assert!(!store.put_evidence(&evidence, &world.keys).expect("kept"), "it is here");
        let parted = store.parted(&world.writer.log(), &world.keys).expect("read").expect("it is");
        // Both copies were started once more.
        assert_eq!(parted.kind, Equivocation::Equivocation);
        assert_eq!((parted.at, parted.below, parted.position()), (Some(PARTING), None, PARTING));
        fold(store, &world.keys);
        assert_eq!(store.index_counts(&world.writer.log()).expect("counts").indexed_size, PARTING);
    }
    assert_eq!(root(&one), root(&other));
    assert_eq!(one.rebuild_index(&world.keys).expect("rebuilt").index_root, root(&other));
    assert_eq!(one.log_head(&world.writer.log()).expect("head").size(), 60, "nothing is deleted");
}

#[test]
fn two_roots_stop_a_log_and_take_nothing_out_of_the_index() {
    let mut world = World::new();
    let one = world.replica(|world| &world.one);
    let before = root(&one);
    let log = world.writer.log();
    let note = |store: &Store| {
        world.writer.checkpoint(&store.checkpoint(&log).expect("read").expect("signed").note)
    };
    let key = world.writer.checkpoint_key();
    let (a, b) = (note(&world.one), note(&world.other));
    assert!(Evidence::of_checkpoints((&a, &key), (&b, &key)).is_err(), "of two sizes");
    append(&world.one, &world.writer, drafts(&world.writer, 200..230));
    let roots = Evidence::of_checkpoints((&note(&world.one), &key), (&b, &key)).expect("two roots");
    assert!(one.put_evidence(&roots, &world.keys).expect("kept"));
    let parted = one.parted(&log, &world.keys).expect("read").expect("it is");
    let expected = Parted { kind: Equivocation::Equivocation, at: None, below: Some(90) };
    assert_eq!((parted, parted.position()), (expected, 90));
    fold(&one, &world.keys);
    assert_eq!(root(&one), before);
}

#[test]
fn of_much_evidence_the_same_sixteen_are_kept_in_any_order() {
    let mut world = World::new();
    let kept = |store: &Store| store.evidence(Some(&world.writer.log())).expect("read");
    let all: Vec<Evidence> = (PARTING..PARTING + 20).map(|at| world.entries(at)).collect();
    let mut held = Vec::new();
    for order in [all.clone(), all.iter().rev().cloned().collect()] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = world.reader.open(folder.path());
        for one in &order {
            let _ = store.put_evidence(one, &world.keys).expect("kept");
        }
        held.push(kept(&store));
        assert!(store.evidence(None).expect("read") == kept(&store));
        let highest = store.put_evidence(&all[19], &world.keys).expect("kept");
        assert!(!highest, "it parts higher than sixteen others");
        world.folders.push(folder);
    }
    assert_eq!(held[0], held[1]);
    assert_eq!(held[0].len(), MAX_EVIDENCE_PER_LOG);
    assert!(held[0].contains(&all[0]) && !held[0].contains(&all[16]));
}

/// A charter by which one piece of evidence still convicts.
struct OnlyOne<'a>(&'a Keys, Evidence);

impl LogOwners for OnlyOne<'_> {
    fn log_owner(&self, log: &LogId) -> Option<(MemberName, u32)> {
        self.0.log_owner(log)
    }

    fn first_refused(
        &self,
        log: &LogId,
        size: u64,
        named_at: &mut dyn FnMut(u64) -> Result<Named, StoreError>,
    ) -> Result<Option<Refusal>, StoreError> {
        self.0.first_refused(log, size, named_at)
    }

    fn effect(&self, evidence: &Evidence) -> EvidenceEffect {
        if *evidence == self.1 { self.0.effect(evidence) } else { EvidenceEffect::None }
    }
}

// A stolen key that was ended filled the room: what convicts still finds place.
#[test]
fn what_does_not_convict_any_more_makes_room() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    let store = world.reader.open(folder.path());
    for at in PARTING..PARTING + 16 {
        assert!(store.put_evidence(&world.entries(at), &world.keys).expect("kept"));
    }
    let late = world.entries(PARTING + 18);
    let owners = OnlyOne(&world.keys, late.clone());
    assert!(store.put_evidence(&late, &owners).expect("kept"));
    assert_eq!(store.evidence(None).expect("read").len(), MAX_EVIDENCE_PER_LOG);
}

#[test]
fn a_replica_of_the_other_history_goes_over_to_the_branch_that_is_named() {
    let mut world = World::new();
    let wrong = world.replica(|world| &world.one);
    let right = world.replica(|world| &world.other);
    let log = world.writer.log();
    let branch = world.branch(&world.other, 50);
    let settled = Settles(&world.keys);
    let evidence = world.entries(PARTING);
    for store in [&wrong, &right] {
        let _ = store.put_evidence(&evidence, &world.keys).expect("kept");
        fold(store, &world.keys);
    }
    assert!(!right.follow_branch(&branch, PARTING).expect("looked at"), "it is on it");
    assert_eq!(right.log_head(&log).expect("head").size(), 90);
    assert!(wrong.follow_branch(&branch, PARTING).expect("dropped"));
    let head = wrong.log_head(&log).expect("head");
    assert_eq!((head.size(), head.root()), (PARTING, world.branch(&world.one, PARTING).root));
    assert!(wrong.checkpoint(&log).expect("read").is_none());
    assert!(!wrong.follow_branch(&branch, PARTING).expect("looked at"), "there is no more to drop");

    // From here it is an ordinary replica that is behind.
    replicate(&world.other, &wrong, &world.writer, &world.keys);
    for store in [&wrong, &right] {
        fold(store, &settled);
        assert_eq!(store.index_counts(&log).expect("counts").indexed_size, 90);
    }
    assert_eq!(root(&wrong), root(&right));
    let dir = wrong.dir().to_owned();
    drop(wrong);
    let report = verify_with(&dir, &world.keys, None).expect("looked at");
    let damages: Vec<_> = report.damages.iter().map(ToString::to_string).collect();
    // The keys of this test let the evidence count, so the index that the settled one left is too long for them.
    assert!(damages.iter().all(|one| !one.contains("ledger.redb")), "{damages:?}");
}

#[test]
fn what_is_dropped_is_dropped_at_any_position() {
    for parting in [0, 1, 15, 16, 17, 19] {
        let mut world = World::new();
        let wrong = world.replica(|world| &world.one);
        let branch = world.branch(&world.other, 90);
        assert!(wrong.follow_branch(&branch, parting).expect("dropped"));
        assert_eq!(wrong.log_head(&world.writer.log()).expect("head").size(), parting);
        replicate(&world.other, &wrong, &world.writer, &world.keys);
        let head = wrong.log_head(&world.writer.log()).expect("head");
        assert_eq!((head.size(), head.root()), (90, branch.root), "{parting}");
        let whole = sundbro_ledger::merkle::range_hash(
            &wrong.nodes(&world.writer.log()).expect("nodes"),
            0,
            90,
        );
        assert_eq!(RootHash::from(whole.expect("all are here")), branch.root, "{parting}");
    }
}

#[test]
fn a_stop_for_evidence_only_moves_down() {
    let mut world = World::new();
    let store = world.replica(|world| &world.one);
    let log = world.writer.log();
    let stop = |position, reason: &str| {
        let state = LogState::Stopped { position, reason: reason.to_owned() };
        store.mark_log(&log, &state).expect("marked")
    };
    assert!(stop(8, "WRONG_KEY") && stop(30, "EQUIVOCATION"), "evidence outlasts a charter");
    assert!(!stop(5, "WRONG_KEY") && !stop(40, "LOST_TAIL") && stop(20, "LOST_TAIL"));
    assert!(is_equivocation("LOST_TAIL") && !is_equivocation("WRONG_KEY"));
}
