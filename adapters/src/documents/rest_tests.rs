//! When a file has come to rest, and what is never called gone.

use super::super::walk::Seen;
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

/// A program that saves by removing and writing anew made another record of it.
#[test]
fn a_file_that_is_away_for_a_moment_is_not_gone() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("a.xml", &cda("1"));
    assert_eq!(folder.pass(&adapter).0, ["+ a.xml"]);
    fs::rename(folder.path("a.xml"), folder.path(".a")).unwrap();
    let (lines, report) = folder.pass(&adapter);
    assert_eq!((lines.len(), report.unsettled, report.complete), (0, 1, false));
    assert_eq!(report.look_again_in, Some(Duration::from_secs(2)));
    folder.now.fetch_add(1, Ordering::SeqCst);
    fs::rename(folder.path(".a"), folder.path("a.xml")).unwrap();
    assert_eq!(folder.pass(&adapter).0, [""; 0]);
    folder.now.fetch_add(1, Ordering::SeqCst);
    fs::remove_file(folder.path("a.xml")).unwrap();
    assert_eq!(folder.pass(&adapter).1.unsettled, 1, "the time before does not count");
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["- a.xml"]);
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
    let mut folder = Folder::new();
    folder.settings.settle = Duration::ZERO;
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
    let mut folder = Folder::new();
    folder.settings.settle = Duration::ZERO;
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
