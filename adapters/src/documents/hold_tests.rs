//! What is held: records of which most are missing, or that would go though nobody changed them.

use super::super::gone::GUARDED;
use super::pointing::reference;
use super::*;

/// As many files as are guarded, in a folder of the folder or in none.
pub(super) fn guarded(below: &str) -> Folder {
    let folder = Folder::new();
    for item in 0..GUARDED {
        folder.put(&format!("{below}{item}.xml"), &cda(&format!("{below}{item}")));
    }
    assert_eq!(folder.scan().len() as u64, GUARDED);
    folder
}

pub(super) fn add(folder: &Folder, below: &str, items: core::ops::Range<u64>) {
    for item in items {
        folder.put(&format!("{below}{item}.xml"), &cda(&format!("{below}{item}")));
    }
}

pub(super) fn remove(folder: &Folder, below: &str, items: core::ops::Range<u64>) {
    items.for_each(|item| fs::remove_file(folder.path(&format!("{below}{item}.xml"))).unwrap());
}

/// What one adapter says to be gone once all has come to rest, or how many are left of how many.
pub(super) fn gone_by(folder: &Folder, adapter: &DocumentsAdapter) -> Result<usize, (u64, u64)> {
    let mut told = 0;
    let mut pass = || {
        let result = adapter.scan(&folder.known, &mut |change| {
            told += usize::from(matches!(change, Change::Gone { .. }));
            folder.known.take(&change);
            ControlFlow::Continue(())
        });
        folder.known.end(&result);
        folder.now.fetch_add(2, Ordering::SeqCst);
        (result, told)
    };
    drop(pass());
    match pass() {
        (Ok(_), told) => Ok(told),
        (Err(ScanError::Emptied { known, left, .. }), told) => {
            assert_eq!(told, 0, "nothing may be said to be gone");
            Err((left, known))
        }
        (Err(other), _) => panic!("{other}"),
    }
}

/// As a new adapter says it: a gateway that was started again.
pub(super) fn gone(folder: &Folder) -> Result<usize, (u64, u64)> {
    gone_by(folder, &folder.adapter())
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
    let scanned = adapter.scan(&folder.known, &mut |change| {
        lines.push(change.source_key().for_operator());
        ControlFlow::Continue(())
    });
    assert!(matches!(scanned, Err(ScanError::Emptied { .. })));
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
    // What is there is registered, and counts; what was held stays held.
    assert_eq!(gone(&folder), Err((GUARDED, 2 * GUARDED)));
}

/// What comes back file by file must not free the rest to be withdrawn as soon as half of it is there, nor must a
/// start of the gateway.
#[test]
fn what_is_restored_file_by_file_is_held_until_all_of_it_is_back() {
    let folder = guarded("");
    remove(&folder, "", 0..GUARDED);
    for item in 0..GUARDED {
        assert_eq!(gone(&folder), Err((item, GUARDED)));
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    assert_eq!(gone(&folder), Ok(0));
    // From then on one that is removed is withdrawn again.
    remove(&folder, "", 0..1);
    assert_eq!(gone(&folder), Ok(1));
}

/// The same for one folder in the folder, whose rows in the quarantine are what is remembered.
#[test]
fn what_is_restored_below_a_folder_is_held_until_all_of_it_is_back() {
    let folder = guarded("ward/");
    for item in 0..2 * GUARDED {
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    folder.scan();
    remove(&folder, "ward/", 0..GUARDED);
    // A note in the mount point does not make it the share.
    folder.put("ward/.not-mounted", "");
    folder.put("ward/README.txt", "mount the share here");
    let held = SourceKey::from_bytes("ward");
    for item in 0..GUARDED {
        assert_eq!(gone(&folder), Ok(0), "{item} of {GUARDED} are back");
        assert!(folder.known.is_withheld(&held));
        folder.put(&format!("ward/{item}.xml"), &cda(&format!("ward/{item}")));
    }
    assert_eq!(gone(&folder), Ok(1), "the folder leaves the quarantine");
    assert!(!folder.known.is_withheld(&held));
    remove(&folder, "ward/", 0..1);
    assert_eq!(gone(&folder), Ok(1));
}

/// Of folders in each other, the one is told that has to be mounted.
#[test]
fn the_innermost_folder_that_lost_its_files_is_told() {
    let folder = guarded("ward/a/");
    for item in 0..GUARDED {
        folder.put(&format!("ward/b/{item}.xml"), &cda(&format!("b{item}")));
    }
    for item in 0..2 * GUARDED {
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    folder.scan();
    let adapter = folder.adapter();
    remove(&folder, "ward/a/", 0..GUARDED);
    assert_eq!(folder.pass(&adapter).0, ["! ward/a FOLDER_EMPTIED"]);
    // Now the outer one has lost more than the inner one explains.
    remove(&folder, "ward/b/", 0..1);
    assert_eq!(folder.pass(&adapter).0, ["! ward FOLDER_EMPTIED", "! ward/a FOLDER_EMPTIED"]);
}

/// A slip in `identifier_systems` withdrew everything. That a document is restricted is believed at once.
#[test]
fn a_slip_in_the_settings_withdraws_nothing() {
    let mut folder = guarded("");
    let again = |folder: &Folder| {
        let mut told = Vec::new();
        let known = Altered { read_again: true, ..Altered::new(&folder.known) };
        let scanned = folder.adapter().scan(&known, &mut |change| {
            told.push(change);
            ControlFlow::Continue(())
        });
        (scanned, told)
    };
    folder.settings.identifier_systems =
        IdentifierSystems::from_list(&["1.2.3".into()], Profile::Dk).unwrap();
    // A file that was restored is the same in another inode.
    fs::copy(folder.path("0.xml"), folder.path(".0.xml")).unwrap();
    fs::rename(folder.path(".0.xml"), folder.path("0.xml")).unwrap();
    folder.written("0.xml", LONG_AGO);
    let (scanned, told) = again(&folder);
    assert!(matches!(scanned, Err(ScanError::Emptied { known: GUARDED, left: 0, .. })));
    assert_eq!(told, []);
    folder.settings.allow_emptied = true;
    assert_eq!(again(&folder).1.len() as u64, GUARDED, "the operator means it");
    // Less than half of them, and what changed itself, is judged at once.
    folder.settings.allow_emptied = false;
    for item in 0..2 * GUARDED {
        let other = cda(&format!("other {item}")).replace("1.2.208.176.1.6.1.1", "1.2.3");
        folder.put(&format!("other-{item}.xml"), &other);
    }
    let all = &["1.2.3".into(), "dk".into()];
    folder.settings.identifier_systems = IdentifierSystems::from_list(all, Profile::Dk).unwrap();
    folder.scan();
    folder.settings.identifier_systems =
        IdentifierSystems::from_list(&["1.2.3".into()], Profile::Dk).unwrap();
    let (scanned, told) = again(&folder);
    assert!(scanned.is_ok());
    let refused = |it: &&Change| matches!(it, Change::Quarantined(_));
    assert_eq!(told.iter().filter(refused).count() as u64, GUARDED);
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
    let folder = Folder::new();
    for item in 0..3 {
        folder.put(&format!("scans/{item}.pdf"), &format!("%PDF-1 {item}"));
        folder.put(&format!("{item}.json"), &reference(&format!("scans/{item}.pdf")));
    }
    assert_eq!(folder.scan().len(), 3);
    let registered = |name: &str| folder.known.registered(&SourceKey::from_bytes(name)).is_some();
    fs::rename(folder.path("scans"), folder.path(".away")).unwrap();
    let missing: Vec<_> = (0..3).map(|item| format!("! {item}.json ATTACHMENT_MISSING")).collect();
    assert_eq!(folder.scan(), missing);
    assert_eq!(folder.scan(), [""; 0], "that is told once");
    assert!((0..3).all(|item| registered(&format!("{item}.json"))));
    // What a description says itself counts at once.
    folder.put("1.json", &reference("scans/1.pdf").replace("\"N\"", "\"R\" "));
    assert_eq!(folder.scan(), ["! 1.json NEEDS_LIMITED_AUDIENCE"]);
    assert!(!registered("1.json"));
    folder.put("2.json", &reference("scans/2.pdf").replace("\"N\"", "\"L\" "));
    assert_eq!(folder.scan(), ["! 2.json NO_ATTACHMENT"]);
    // As it was, in another file: it was restored before what it describes.
    fs::copy(folder.path("0.json"), folder.path(".0.json")).unwrap();
    fs::rename(folder.path(".0.json"), folder.path("0.json")).unwrap();
    folder.written("0.json", LONG_AGO);
    assert_eq!(folder.scan(), ["! 0.json ATTACHMENT_MISSING"]);
    assert!(registered("0.json"));
    fs::rename(folder.path(".away"), folder.path("scans")).unwrap();
    assert_eq!(
        folder.scan(),
        ["! 1.json NEEDS_LIMITED_AUDIENCE", "+ 0.json", "+ 2.json DUPLICATE_DOCUMENT_ID"],
        "they leave the quarantine"
    );
    // Whoever wants one withdrawn removes its description.
    fs::remove_file(folder.path("0.json")).unwrap();
    fs::remove_file(folder.path("scans/0.pdf")).unwrap();
    assert_eq!(folder.scan(), ["- 0.json"]);
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
    // With what goes elsewhere it is most of all, but the folder was removed: that is the operator's word.
    remove(&folder, "other/", GUARDED / 2..GUARDED);
    fs::remove_dir(folder.path("ward")).unwrap();
    assert_eq!(gone(&folder), Ok(GUARDED as usize + 1 + GUARDED as usize / 2));
    // Or the operator says so.
    remove(&folder, "other/", 1..GUARDED / 2);
    folder.settings.allow_emptied = true;
    assert_eq!(gone(&folder), Ok(GUARDED as usize / 2 - 1));
}
