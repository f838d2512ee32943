//! When a file has come to rest, and what is never called gone.

use super::super::gone::GUARDED;
use super::super::walk::Seen;
use super::pointing::reference;
use super::*;
use crate::reason::QuarantineReason;

/// The clock of a file server was an hour behind, so files looked old while they were being written.
#[test]
fn waits_until_a_file_has_come_to_rest_whatever_the_file_servers_clock_says() {
    for written in [0, NOW - 86_300, NOW - 3600, NOW - 1, NOW, NOW + 86_400] {
        let folder = Folder::new();
        let adapter = folder.adapter();
        folder.put("a.xml", &cda("1"));
        folder.written("a.xml", written);
        let (lines, report) = folder.pass(&adapter);
        if written == 0 {
            assert_eq!(lines, ["+ a.xml"], "long ago by any clock");
            continue;
        }
        assert_eq!(lines, [""; 0], "{written}");
        assert_eq!((report.unsettled, report.complete), (1, false));
        assert_eq!(report.look_again_in, Some(Duration::from_secs(2)));
        folder.now.fetch_add(1, Ordering::SeqCst);
        assert_eq!(folder.pass(&adapter).1.look_again_in, Some(Duration::from_secs(1)));
        folder.now.fetch_add(1, Ordering::SeqCst);
        assert_eq!(folder.pass(&adapter).0, ["+ a.xml"], "{written}");
    }
}

#[test]
fn a_clock_of_ours_that_is_set_back_holds_up_nothing() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("a.xml", &cda("1"));
    folder.written("a.xml", NOW);
    folder.pass(&adapter);
    folder.now.fetch_sub(3600, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).1.unsettled, 1);
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["+ a.xml"]);
}

/// A program that saves by removing and writing anew made the record vanish for good: its sidecar was not there for a
/// moment.
#[test]
fn a_sidecar_that_is_away_for_a_moment_changes_nothing() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("scan.pdf", "%PDF-1.7");
    folder.put("scan.pdf.meta.json", SIDECAR);
    assert_eq!(folder.pass(&adapter).0, ["+ scan.pdf"]);
    fs::remove_file(folder.path("scan.pdf.meta.json")).unwrap();
    assert_eq!(folder.pass(&adapter).1.unsettled, 1);
    folder.put("scan.pdf.meta.json", &SIDECAR.replace("final", "amended"));
    folder.now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).1.unsettled, 1, "it looks different again");
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["+ scan.pdf"]);
    fs::remove_file(folder.path("scan.pdf.meta.json")).unwrap();
    assert_eq!(folder.pass(&adapter).0, [""; 0]);
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["! scan.pdf NO_SIDECAR"]);
}

#[test]
fn a_file_that_keeps_changing_is_waited_for() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    for round in 0..3 {
        folder.put("a.xml", &format!("{}{}", cda("1"), " ".repeat(round)));
        folder.written("a.xml", NOW + 86_400);
        assert_eq!(folder.pass(&adapter).1.unsettled, 1);
        folder.now.fetch_add(2, Ordering::SeqCst);
    }
    assert_eq!(folder.pass(&adapter).0, ["+ a.xml"]);
}

/// As many files as are guarded, in a folder of the folder or in none.
fn guarded(below: &str) -> Folder {
    let folder = Folder::new();
    for item in 0..GUARDED {
        folder.put(&format!("{below}{item}.xml"), &cda(&format!("{below}{item}")));
    }
    assert_eq!(folder.scan().len() as u64, GUARDED);
    folder
}

fn remove(folder: &Folder, below: &str, items: core::ops::Range<u64>) {
    items.for_each(|item| fs::remove_file(folder.path(&format!("{below}{item}.xml"))).unwrap());
}

/// What is said to be gone, or how many are left of how many.
fn gone(folder: &Folder) -> Result<usize, (u64, u64)> {
    let mut told = 0;
    let result = folder.adapter().scan(&folder.known, &mut |change| {
        told += usize::from(matches!(change, Change::Gone { .. }));
        folder.known.take(&change);
        ControlFlow::Continue(())
    });
    match result {
        Ok(_) => Ok(told),
        Err(ScanError::Emptied { known, left, .. }) => {
            assert_eq!(told, 0, "nothing may be said to be gone");
            Err((left, known))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn most_of_a_folder_is_withdrawn_only_when_told_to() {
    for (removed, expected) in [
        (1, Ok(1)),
        (5, Ok(5)),
        (6, Err((4, GUARDED))),
        (9, Err((1, GUARDED))),
        (10, Err((0, GUARDED))),
    ] {
        let mut folder = guarded("");
        remove(&folder, "", 0..removed);
        assert_eq!(gone(&folder), expected, "{removed} removed");
        if expected.is_err() {
            folder.settings.allow_emptied = true;
            assert_eq!(gone(&folder), Ok(removed as usize));
        }
    }
}

/// An unmounted share often shows what lies in the empty folder beneath it.
#[test]
fn a_note_left_in_the_folder_does_not_make_it_the_share() {
    let folder = guarded("");
    remove(&folder, "", 0..GUARDED);
    folder.put("README.txt", "mount the share here");
    assert_eq!(gone(&folder), Err((0, GUARDED)), "the note is none of them");
    // What is new there is registered all the same.
    folder.put("new.xml", &cda("new"));
    let mut lines = Vec::new();
    let adapter = folder.adapter();
    let _ = adapter.scan(&folder.known, &mut |change| {
        lines.push(change.source_key().for_operator());
        ControlFlow::Continue(())
    });
    assert_eq!(lines, ["new.xml"]);
}

/// As many documents of somebody else do not make up for those that were known.
#[test]
fn another_share_in_its_place_is_not_the_share() {
    let folder = guarded("");
    remove(&folder, "", 0..GUARDED);
    for item in 0..GUARDED {
        folder.put(&format!("other-{item}.xml"), &cda(&format!("other {item}, and longer")));
    }
    assert_eq!(gone(&folder), Err((0, GUARDED)));
}

/// What comes back file by file must not free the rest to be withdrawn as soon as half of it is there.
#[test]
fn what_is_restored_file_by_file_is_held_until_all_of_it_is_back() {
    let folder = guarded("");
    let adapter = folder.adapter();
    let is_held = || {
        let scanned = adapter.scan(&folder.known, &mut |change| {
            assert!(!matches!(change, Change::Gone { .. }), "{change:?}");
            folder.known.take(&change);
            ControlFlow::Continue(())
        });
        matches!(scanned, Err(ScanError::Emptied { .. }))
    };
    remove(&folder, "", 0..GUARDED);
    assert!(is_held());
    for item in 0..GUARDED {
        assert!(is_held(), "{item} of {GUARDED} are back");
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    assert!(!is_held());
    // From then on one that is removed is withdrawn again.
    remove(&folder, "", 0..1);
    assert_eq!(folder.pass(&adapter).0, ["- 0.xml"]);
}

/// Below an emptied folder and elsewhere together it is most of all.
#[test]
fn what_an_emptied_folder_lost_counts_with_the_rest() {
    let folder = guarded("ward/");
    for item in 0..GUARDED {
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    folder.scan();
    remove(&folder, "ward/", 0..GUARDED);
    remove(&folder, "", 0..GUARDED / 2);
    assert_eq!(gone(&folder), Err((GUARDED / 2, 2 * GUARDED)));
}

/// The descriptions stand in the folder, what they describe on a share of its own.
#[test]
fn descriptions_whose_share_is_not_mounted_stay_registered() {
    let mut folder = Folder::new();
    for item in 0..GUARDED {
        folder.put(&format!("scans/{item}.pdf"), &format!("%PDF-1 {item}"));
        folder.put(&format!("{item}.json"), &reference(&format!("scans/{item}.pdf")));
    }
    assert_eq!(folder.scan().len() as u64, GUARDED);
    fs::rename(folder.path("scans"), folder.path(".away")).unwrap();
    let adapter = folder.adapter();
    assert_eq!(folder.pass(&adapter).1.unsettled, GUARDED);
    folder.now.fetch_add(2, Ordering::SeqCst);
    let scanned = adapter.scan(&folder.known, &mut |change| panic!("{change:?}"));
    assert!(matches!(scanned, Err(ScanError::Emptied { known: GUARDED, left: 0, .. })));
    fs::rename(folder.path(".away"), folder.path("scans")).unwrap();
    assert_eq!(folder.scan(), [""; 0]);
    // One that is taken away alone is withdrawn, and so are all when the operator says so.
    fs::remove_file(folder.path("scans/0.pdf")).unwrap();
    assert_eq!(folder.scan(), ["! 0.json ATTACHMENT_MISSING"]);
    fs::remove_dir_all(folder.path("scans")).unwrap();
    folder.settings.allow_emptied = true;
    assert_eq!(folder.scan().len() as u64, GUARDED - 1);
}

#[test]
fn a_folder_that_is_renamed_takes_nothing_away() {
    let folder = guarded("ward/");
    fs::rename(folder.path("ward"), folder.path("ward-2")).unwrap();
    assert_eq!(gone(&folder), Ok(GUARDED as usize));
    assert_eq!(folder.known.len() as u64, GUARDED);
}

#[test]
fn below_an_emptied_folder_much_is_withdrawn_only_when_it_is_removed() {
    let mut folder = guarded("ward/");
    for item in 0..=GUARDED {
        folder.put(&format!("other/{item}.xml"), &cda(&format!("other {item}")));
    }
    folder.scan();
    remove(&folder, "ward/", 0..GUARDED);
    let adapter = folder.adapter();
    for _ in 0..2 {
        let (lines, report) = folder.pass(&adapter);
        assert_eq!(lines, ["! ward FOLDER_EMPTIED"]);
        assert!(!report.complete);
    }
    // It is mounted again, and nothing was lost.
    for item in 0..GUARDED {
        folder.put(&format!("ward/{item}.xml"), &cda(&format!("ward/{item}")));
    }
    assert_eq!(gone(&folder), Ok(1), "the folder leaves the quarantine");
    remove(&folder, "ward/", 0..GUARDED);
    assert_eq!(folder.pass(&adapter).0, ["! ward FOLDER_EMPTIED"]);
    fs::remove_dir(folder.path("ward")).unwrap();
    assert_eq!(gone(&folder), Ok(GUARDED as usize + 1));
    // Or the operator says so.
    remove(&folder, "other/", 1..GUARDED);
    folder.settings.allow_emptied = true;
    assert_eq!(gone(&folder), Ok(GUARDED as usize - 1));
}

#[test]
fn a_folder_that_is_not_there_is_an_error_and_withdraws_nothing() {
    let folder = Folder::new();
    folder.put("a.xml", &cda("1"));
    folder.scan();
    let adapter = folder.adapter();
    assert_eq!(adapter.health(), Health::Ready);
    let Folder { directory, known, .. } = folder;
    directory.close().unwrap();
    let result = adapter.scan(&known, &mut |_| panic!("nothing may be said"));
    assert!(matches!(result, Err(ScanError::Unavailable { .. })));
    assert!(matches!(adapter.health(), Health::Unavailable { .. }));
    assert_eq!(known.len(), 1);
}

#[test]
fn nothing_below_a_folder_that_cannot_be_listed_is_called_gone() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    let root = Root::open(folder.directory.path()).unwrap();
    for name in ["shut/a.xml", "shut-not/b.xml", "c.xml"] {
        folder.put(name, &cda(name));
    }
    folder.scan();
    // A test that runs as root can list everything, so the pass is told directly.
    let mut gone = Vec::new();
    let mut emit = |change: Change| {
        if let Change::Gone { source_key } = &change {
            gone.push(source_key.for_operator());
        }
        ControlFlow::Continue(())
    };
    let mut pass = Pass::new(&adapter, &root, &folder.known, &mut emit);
    let blind = Seen::Blind { key: SourceKey::from_bytes("shut") };
    assert!(pass.take(blind).is_continue());
    let report = pass.finish().unwrap();
    assert!(!report.complete);
    gone.sort();
    assert_eq!(gone, ["c.xml", "shut-not/b.xml"]);
}

/// A share that hangs: the name is there, and what stands at it cannot be asked for.
#[test]
fn nothing_below_a_name_that_cannot_be_looked_at_is_called_gone() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    let root = Root::open(folder.directory.path()).unwrap();
    for name in ["share/a.xml", "share/in/b.xml", "c.xml"] {
        folder.put(name, &cda(name));
    }
    folder.scan();
    let mut gone = Vec::new();
    let mut emit = |change: Change| {
        if let Change::Gone { source_key } = &change {
            gone.push(source_key.for_operator());
        }
        ControlFlow::Continue(())
    };
    let mut pass = Pass::new(&adapter, &root, &folder.known, &mut emit);
    let refused = Seen::Refused {
        key: SourceKey::from_bytes("share"),
        fingerprint: None,
        refusal: QuarantineReason::Unreadable.into(),
    };
    assert!(pass.take(refused).is_continue());
    assert!(!pass.finish().unwrap().complete);
    assert_eq!(gone, ["c.xml"]);
}
