//! Shares that come and go in parts, out of sight or one after the other: no order of events withdraws what is held.

use super::super::walk::Seen;
use super::hold::{add, gone, gone_by, guarded, remove};
use super::*;
use crate::reason::QuarantineReason;

const HELD: u64 = 10;

/// What is said to be gone, whether or not the source as a whole is held.
fn withdrawn(folder: &Folder) -> usize {
    gone(folder).unwrap_or(0)
}

/// A pass that cannot see what stands at a name.
fn pass_blind_at(folder: &Folder, adapter: &DocumentsAdapter, at: &str) {
    let root = Root::open(folder.directory.path()).unwrap();
    let path = folder.directory.path().canonicalize().unwrap();
    let mut emit = |change: Change| {
        folder.known.take(&change);
        ControlFlow::Continue(())
    };
    let mut pass = Pass::new(adapter, &root, &folder.known, &mut emit);
    let walked = walk::walk(&root, &path, &|| false, &mut |seen| {
        let key = match &seen {
            Seen::File(candidate) => candidate.key.for_operator(),
            Seen::Folder { key } | Seen::Blind { key } | Seen::Refused { key, .. } => {
                key.for_operator()
            }
        };
        let hidden = at.is_empty() || key == at || key.starts_with(&format!("{at}/"));
        if hidden { ControlFlow::Continue(()) } else { pass.take(seen) }
    });
    assert!(walked.unwrap().is_continue());
    assert!(pass.take(Seen::Blind { key: SourceKey::from_bytes(at) }).is_continue());
    folder.known.end(&pass.finish());
    folder.now.fetch_add(2, Ordering::SeqCst);
}

/// As many below a folder, and twice as many beside it.
fn with_others(below: &str) -> Folder {
    let folder = guarded(below);
    add(&folder, "", 0..2 * HELD);
    folder.scan();
    folder
}

#[test]
fn a_share_that_comes_and_goes_in_parts_is_held() {
    let folder = with_others("ward/a/");
    fs::rename(folder.path("ward/a"), folder.path(".away")).unwrap();
    assert_eq!(withdrawn(&folder), 0);
    fs::create_dir(folder.path("ward/a")).unwrap();
    add(&folder, "ward/a/", 0..1);
    assert_eq!(withdrawn(&folder), 0, "partly back");
    fs::remove_dir_all(folder.path("ward/a")).unwrap();
    assert_eq!(withdrawn(&folder), 0, "it is the share that took the folder away");
}

#[test]
fn a_folder_that_is_held_is_not_removed_by_what_it_stands_in_going_away() {
    // The source, below which a folder is held.
    let folder = guarded("ward/");
    add(&folder, "ward/", 0..40);
    add(&folder, "", 0..9);
    folder.scan();
    remove(&folder, "ward/", 0..22);
    assert_eq!(withdrawn(&folder), 0);
    fs::remove_dir_all(folder.path("ward")).unwrap();
    remove(&folder, "", 0..9);
    assert_eq!(withdrawn(&folder), 0);
    // All but the folder comes back.
    add(&folder, "", 0..9);
    assert_eq!(withdrawn(&folder), 0);

    // The folder that it stands in.
    let folder = guarded("a/b/");
    add(&folder, "a/b/", 0..40);
    add(&folder, "a/", 0..15);
    add(&folder, "", 0..80);
    folder.scan();
    remove(&folder, "a/b/", 0..39);
    assert_eq!(withdrawn(&folder), 0);
    fs::remove_dir_all(folder.path("a/b")).unwrap();
    remove(&folder, "a/", 0..15);
    assert_eq!(withdrawn(&folder), 0);
}

#[test]
fn what_cannot_be_seen_is_not_back() {
    // A folder that is held and cannot be listed for a moment keeps its row.
    let folder = with_others("ward/");
    let adapter = folder.adapter();
    remove(&folder, "ward/", 0..HELD);
    assert_eq!(gone_by(&folder, &adapter), Ok(0));
    add(&folder, "ward/", 0..8);
    pass_blind_at(&folder, &adapter, "ward");
    assert_eq!(gone_by(&folder, &adapter), Ok(0));

    // So does one of which only a part cannot be listed.
    let folder = with_others("ward/s/");
    add(&folder, "ward/t/", 0..HELD);
    add(&folder, "", 0..3 * HELD);
    folder.scan();
    fs::remove_dir_all(folder.path("ward/s")).unwrap();
    fs::remove_dir_all(folder.path("ward/t")).unwrap();
    assert_eq!(withdrawn(&folder), 0);
    add(&folder, "ward/t/", 0..HELD);
    add(&folder, "ward/s/", 0..7);
    let adapter = folder.adapter();
    (0..2).for_each(|_| pass_blind_at(&folder, &adapter, "ward/s"));
    assert_eq!(gone_by(&folder, &adapter), Ok(0));

    // And the source.
    let folder = guarded("");
    remove(&folder, "", 0..HELD);
    assert_eq!(withdrawn(&folder), 0);
    add(&folder, "", 0..8);
    pass_blind_at(&folder, &folder.adapter(), "");
    assert_eq!(gone(&folder), Err((8, HELD)));
}

/// One of ten came back restricted and was withdrawn; nine are fewer than are guarded, and were let go.
#[test]
fn a_hold_does_not_end_because_few_are_left() {
    let folder = guarded("");
    remove(&folder, "", 0..HELD);
    assert_eq!(withdrawn(&folder), 0);
    folder.put("0.xml", &format!("{} ", cda("0").replace("code='N'", "code='R'")));
    assert_eq!(gone(&folder), Err((0, HELD - 1)));
}

/// Passes that were broken off had registered so much that is new that what was known before seemed little.
#[test]
fn what_a_broken_pass_registered_makes_up_for_nothing() {
    let folder = guarded("");
    remove(&folder, "", 0..HELD);
    for item in 0..2 * HELD {
        folder.put(&format!("other-{item:02}.xml"), &cda(&format!("other {item}, and longer")));
    }
    let adapter = folder.adapter();
    let mut told = 0;
    let broken = adapter.scan(&folder.known, &mut |change| {
        folder.known.take(&change);
        told += 1;
        if told == 2 * HELD - 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(!broken.unwrap().complete);
    assert!(gone_by(&folder, &adapter).is_err());
}

#[test]
fn files_that_are_moved_to_another_folder_leave_the_one_they_were_in() {
    let folder = with_others("inbox/");
    fs::create_dir(folder.path("archive")).unwrap();
    for item in 0..HELD {
        let to = folder.path(&format!("archive/{item}.xml"));
        fs::rename(folder.path(&format!("inbox/{item}.xml")), to).unwrap();
    }
    assert_eq!(gone(&folder), Ok(HELD as usize));
    // Also while something else is held.
    remove(&folder, "", 0..2 * HELD - 1);
    assert_eq!(withdrawn(&folder), 0);
    fs::rename(folder.path("archive/0.xml"), folder.path("archive/00.xml")).unwrap();
    let (mut told, adapter) = (Vec::new(), folder.adapter());
    let scanned = adapter.scan(&folder.known, &mut |change| {
        told.push(change.source_key().for_operator());
        ControlFlow::Continue(())
    });
    assert!(scanned.is_err());
    assert_eq!(told, ["archive/00.xml", "archive/0.xml"]);
}

/// Ten scans and the sidecars that describe them.
fn described() -> Folder {
    let folder = Folder::new();
    for item in 0..HELD {
        folder.put(&format!("{item}.pdf"), "%PDF");
        let sidecar = SIDECAR.replace("\"7\"", &format!("\"{item}\""));
        folder.put(&format!("{item}.pdf.meta.json"), &sidecar);
    }
    assert_eq!(folder.scan().len() as u64, HELD);
    folder
}

#[test]
fn sidecars_that_are_missing_together_withdraw_nothing() {
    let folder = described();
    for item in 0..HELD {
        fs::remove_file(folder.path(&format!("{item}.pdf.meta.json"))).unwrap();
    }
    assert_eq!(gone(&folder), Err((0, HELD)));
    // And in a restore a file may come before its sidecar.
    let folder = described();
    for item in 0..HELD {
        fs::remove_file(folder.path(&format!("{item}.pdf.meta.json"))).unwrap();
        fs::remove_file(folder.path(&format!("{item}.pdf"))).unwrap();
    }
    assert_eq!(gone(&folder), Err((0, HELD)));
    folder.put("0.pdf", "%PDF");
    assert_eq!(gone(&folder), Err((0, HELD)));
}

/// A restore that makes the names first, or a server that has not written yet.
#[test]
fn files_that_are_empty_for_a_while_stay_registered() {
    let folder = guarded("");
    (0..HELD).for_each(|item| folder.put(&format!("{item}.xml"), ""));
    let empty: Vec<_> = (0..HELD).map(|item| format!("! {item}.xml EMPTY")).collect();
    assert_eq!(folder.scan(), empty);
    assert!(folder.known.registered(&SourceKey::from_bytes("0.xml")).is_some());
}

/// What is known is read twice, and the store fails the second time.
#[test]
fn a_store_that_fails_withdraws_nothing() {
    let mut folder = with_others("ward/");
    folder.settings.settle = Duration::ZERO;
    remove(&folder, "ward/", 0..HELD);
    let mut told = Vec::new();
    let known = Altered { readable: 1, ..Altered::new(&folder.known) };
    let scanned = folder.adapter().scan(&known, &mut |change| {
        told.push(change);
        ControlFlow::Continue(())
    });
    assert!(!scanned.unwrap().complete);
    let [Change::Quarantined(row)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(row.reason, QuarantineReason::FolderEmptied);
}
