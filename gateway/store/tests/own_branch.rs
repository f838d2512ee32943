//! Our own log on two branches, when the charter has said which goes on: signing goes on with ours, or ours is left for the
//! other, and then nothing that was signed is signed again, and nothing that was registered is taken for registered.

mod common;

use common::{Keys, Member, append, blobs, keys, register, replicate, says, try_append, withdraw};
use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::ids::{ContentDigest, RootHash};
use sundbro_store::gate::SigningStop;
use sundbro_store::verify::verify_with;
use sundbro_store::{
    Locator, LocatorChange, LogState, OwnDraft, RequestKey, ResumeError, Settled, Store,
};
use tempfile::TempDir;

/// Where the two histories part.
const PARTING: u64 = 20;
/// What each machine signed.
const OURS: u64 = 26;
const THEIRS: u64 = 90;

fn locator(n: u8, version: u32) -> Locator {
    Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', n],
        record: [n; 16],
        version,
        generation: 0,
        content: ContentDigest::new([n; 32]),
        size: 100,
        fingerprint: vec![n; 12],
        document_id: None,
        position: 0,
        live: true,
    }
}

/// A document of a source, registered by a request.
fn document(writer: &Member, n: u8, version: u32) -> OwnDraft {
    let mut draft = register(writer, u64::from(n) * 100 + u64::from(version), &says(n, version));
    draft.locator = Some(LocatorChange::Register(locator(n, version)));
    draft.request = Some(RequestKey { id: vec![n, version as u8], content: [n; 32] });
    draft
}

fn gone(writer: &Member, n: u8) -> OwnDraft {
    let mut draft = withdraw(writer, u64::from(n) * 100 + 50, n);
    let (adapter, source_key) = ("documents".to_owned(), vec![b'k', n]);
    draft.locator = Some(LocatorChange::Withdraw { adapter, source_key });
    draft
}

/// Two machines of one writer, whose store was copied after 20 entries.
struct World {
    writer: Member,
    keys: Keys,
    ours: Store,
    theirs: Store,
    their_drafts: Vec<OwnDraft>,
    folders: [TempDir; 3],
}

impl World {
    fn new() -> Self {
        let writer = Member::new("hospital.example", 1);
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let shared: Vec<_> = (0..20).map(|n| document(&writer, n, 1)).collect();
        append(&writer.open(folders[0].path()), &writer, shared.clone());
        for file in std::fs::read_dir(folders[0].path()).expect("a folder") {
            let file = file.expect("a file");
            std::fs::copy(file.path(), folders[1].path().join(file.file_name())).expect("copied");
        }
        let (ours, theirs) = (writer.open(folders[0].path()), writer.open(folders[1].path()));
        // A new document twice, one that changed, one that is gone, and one that was there for a moment.
        let written = [
            document(&writer, 30, 1),
            document(&writer, 31, 1),
            document(&writer, 3, 2),
            gone(&writer, 4),
            document(&writer, 32, 1),
            gone(&writer, 32),
        ];
        append(&ours, &writer, written.into());
        let their_drafts: Vec<_> = (100..170).map(|n| document(&writer, n, 1)).collect();
        append(&theirs, &writer, their_drafts.clone());
        let keys = keys(&[&writer]);
        let world = Self { writer, keys, ours, theirs, their_drafts, folders };
        world.fold();
        assert_eq!(world.size(), OURS);
        world
    }

    fn fold(&self) {
        while !self.ours.fold(&self.keys, 1_000).expect("folds").finished {}
    }

    fn size(&self) -> u64 {
        self.ours.log_head(&self.writer.log()).expect("head").size()
    }

    fn branch(&self, of: &Store, size: u64) -> LogBranch {
        let log = self.writer.log();
        let root = sundbro_ledger::merkle::range_hash(&of.nodes(&log).expect("nodes"), 0, size);
        LogBranch { log_id: log, size, root: RootHash::from(root.expect("it is that long")) }
    }

    /// Somebody shows the other history.
    fn diverges(&self) {
        let known_by = "gp.example".to_owned();
        self.ours.stop_signing(SigningStop::OwnLogDiverges { size: PARTING + 1, known_by });
    }

    fn fetch(&self) {
        replicate(&self.theirs, &self.ours, &self.writer, &self.keys);
        self.ours.put_blobs(&blobs(&self.their_drafts)).expect("stored");
        self.fold();
    }

    fn locator(&self, n: u8) -> Option<Locator> {
        self.ours.locator("documents", &[b'k', n]).expect("read")
    }

    fn refuses(&self) {
        let refused = try_append(&self.ours, &self.writer, vec![document(&self.writer, 99, 1)]);
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[test]
fn on_the_branch_that_is_named_signing_goes_on_as_a_later_start() {
    let world = World::new();
    let branch = world.branch(&world.ours, OURS - 2);
    world.diverges();
    world.refuses();
    let before = world.ours.incarnation();
    assert!(!world.ours.follow_branch(&branch, PARTING).expect("looked at"), "it is on it");
    assert_eq!(world.ours.settle(&branch).expect("settled"), Settled::GoesOn);
    assert_eq!(world.ours.signing_stop(), None);
    assert!(world.ours.incarnation() > before);
    append(&world.ours, &world.writer, vec![document(&world.writer, 99, 1)]);
    assert_eq!(world.ours.settle(&branch).expect("looked at"), Settled::Unchanged);
}

#[test]
fn what_the_charter_does_not_settle_stays_stopped() {
    let world = World::new();
    let branch = world.branch(&world.ours, OURS);
    let log = world.writer.log();
    // Evidence that the branch does not settle.
    let parted = LogState::Stopped { position: PARTING, reason: "EQUIVOCATION".to_owned() };
    world.ours.mark_log(&log, &parted).expect("marked");
    let reason = world.ours.signing_stop().map(|stop| stop.reason());
    assert_eq!(reason, Some("OWN_LOG_DIVERGES"), "no key was revoked");
    assert_eq!(world.ours.settle(&branch).expect("looked at"), Settled::Unchanged);
    world.refuses();
    world.ours.follow_again(&log).expect("settled now");
    assert_eq!(world.ours.settle(&branch).expect("settled"), Settled::GoesOn);
    // Another reason than two histories.
    let stop = SigningStop::LaterStart { ours: 1, known: 2, known_by: "gp.example".to_owned() };
    world.ours.stop_signing(stop.clone());
    assert_eq!(world.ours.settle(&branch).expect("looked at"), Settled::Unchanged);
    let other = world.branch(&world.theirs, THEIRS);
    assert!(!world.ours.follow_branch(&other, PARTING).expect("left alone"));
    assert_eq!((world.ours.signing_stop(), world.size()), (Some(stop), OURS));
}

#[test]
fn our_branch_is_left_for_the_one_that_is_named_and_signing_goes_on_after_it() {
    for restarts in [false, true] {
        let mut world = World::new();
        let branch = world.branch(&world.theirs, THEIRS - 10);
        world.diverges();
        assert!(world.ours.follow_branch(&branch, PARTING).expect("left"));
        assert_eq!(world.size(), PARTING);
        let restart = |world: &mut World| {
            if restarts {
                // Nobody may have it open when it is opened.
                world.ours = world.writer.open(world.folders[2].path());
                world.ours = world.writer.open(world.folders[0].path());
            }
        };
        restart(&mut world);
        let behind = world.ours.signing_stop().expect("it is not here yet");
        let told = SigningStop::OwnLogBehind {
            held: PARTING,
            known: THEIRS - 10,
            known_by: "the charter".to_owned(),
        };
        assert_eq!(behind, told);
        assert_eq!(world.ours.settle(&branch).expect("looked at"), Settled::Behind(told));
        world.refuses();
        world.fold();
        let report = verify_with(world.ours.dir(), &world.keys, None).expect("checked");
        assert!(report.is_sound(), "{:#?}", report.damages);
        // No operator can say that what others signed is lost.
        let lost = world.ours.give_up_lost_end();
        assert!(matches!(lost, Err(ResumeError::Stopped(stop)) if stop == behind));

        world.fetch();
        restart(&mut world);
        world.ours.resume_signing().expect("all of it is here");
        assert_eq!(world.ours.signing_stop(), None);
        let appended = append(&world.ours, &world.writer, vec![document(&world.writer, 99, 1)]);
        assert_eq!(appended.head.size(), THEIRS + 1);
        let report = verify_with(world.ours.dir(), &world.keys, None).expect("checked");
        assert!(report.damages.iter().all(|one| !one.to_string().contains("ledger.redb")));
    }
}

#[test]
fn what_only_the_branch_that_was_left_had_registered_is_new_again() {
    let world = World::new();
    world.diverges();
    let branch = world.branch(&world.theirs, THEIRS);
    assert!(world.ours.follow_branch(&branch, PARTING).expect("left"));
    assert_eq!(world.locator(5).expect("below the parting").position, 5);
    for new in [30, 31, 32] {
        assert_eq!(world.locator(new), None, "{new}");
        assert_eq!(world.ours.locator_of(&[new; 16]).expect("read"), None);
    }
    // One that changed is as it was and looks like nothing, so that it is read again; so is one that was withdrawn.
    for old in [3, 4] {
        let now = world.locator(old).expect("registered below the parting");
        assert_eq!((now.version, now.position, now.live), (1, u64::from(old), true));
        assert_eq!((now.generation, now.fingerprint.is_empty()), (0, true));
        assert_eq!(world.ours.locator_of(&[old; 16]).expect("read"), Some(now));
    }
    world.fetch();
    world.ours.resume_signing().expect("all of it is here");
    let again =
        [document(&world.writer, 30, 1), document(&world.writer, 3, 2), gone(&world.writer, 4)];
    let appended = append(&world.ours, &world.writer, again.into());
    let positions: Vec<_> = appended
        .outcomes
        .into_iter()
        .map(|outcome| outcome.expect("taken"))
        .map(|accepted| (accepted.position, accepted.replayed))
        .collect();
    assert_eq!(positions, [(THEIRS, false), (THEIRS + 1, false), (THEIRS + 2, false)]);
}

#[test]
fn no_position_that_was_signed_is_signed_again() {
    let world = World::new();
    world.diverges();
    // Named where it is shorter than what was signed here.
    let branch = world.branch(&world.theirs, PARTING + 2);
    assert!(world.ours.follow_branch(&branch, PARTING).expect("left"));
    let entries = world.theirs.chunk(&world.writer.log(), PARTING, THEIRS).expect("a chunk");
    let checkpoint = world.theirs.checkpoint(&world.writer.log()).expect("read").expect("one");
    let checkpoint = world.writer.checkpoint(&checkpoint.note);
    let head = world.ours.log_head(&world.writer.log()).expect("head");
    let all = entries.check(&head, &checkpoint).expect("covered").verify(&world.keys);
    let mut short = head.clone();
    for entry in &all.entries[..3] {
        short.append(entry).expect("follows");
    }
    world
        .ours
        .append_replica(&world.writer.log(), &all.entries[..3], &checkpoint, &short)
        .expect("taken back");
    assert_eq!(world.size(), PARTING + 3, "the branch is here, and shorter than what was signed");
    assert!(world.ours.resume_signing().is_err());
    assert!(matches!(world.ours.settle(&branch).expect("looked at"), Settled::Behind(_)));
    world.refuses();
}
