//! When a file has come to rest, and what is never called gone.

use super::super::pass::EMPTIED_GUARD;
use super::super::walk::Seen;
use super::*;

#[test]
fn waits_until_a_file_has_come_to_rest() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("a.xml", &cda("1"));
    folder.written("a.xml", NOW - 1);
    let (lines, report) = folder.pass(&adapter);
    assert_eq!(lines, [""; 0]);
    assert_eq!((report.unsettled, report.complete), (1, false));
    assert_eq!(report.look_again_in, Some(Duration::from_secs(1)));
    folder.now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["+ a.xml"]);
}

#[test]
fn a_file_server_whose_clock_is_ahead_does_not_hold_files_back() {
    let folder = Folder::new();
    let adapter = folder.adapter();
    folder.put("a.xml", &cda("1"));
    folder.written("a.xml", NOW + 86_400);
    assert_eq!(folder.pass(&adapter).1.unsettled, 1);
    folder.now.fetch_add(2, Ordering::SeqCst);
    assert_eq!(folder.pass(&adapter).0, ["+ a.xml"], "it looked the same for two seconds");
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

#[test]
fn an_empty_folder_withdraws_much_only_when_told_to() {
    let mut folder = Folder::new();
    for item in 0..EMPTIED_GUARD {
        folder.put(&format!("{item}.xml"), &cda(&item.to_string()));
    }
    assert_eq!(folder.scan().len() as u64, EMPTIED_GUARD);
    for item in 0..EMPTIED_GUARD {
        fs::remove_file(folder.path(&format!("{item}.xml"))).unwrap();
    }
    let mut told = 0;
    let result = folder.adapter().scan(&folder.known, &mut |_| {
        told += 1;
        ControlFlow::Continue(())
    });
    assert!(matches!(result, Err(ScanError::Emptied { known: EMPTIED_GUARD, .. })));
    assert_eq!(told, 0);
    folder.settings.allow_emptied = true;
    assert_eq!(folder.scan().len() as u64, EMPTIED_GUARD);
    assert!(folder.known.is_empty());
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
