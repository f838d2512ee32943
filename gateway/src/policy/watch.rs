//! Notices that policies changed: folders are watched, and looked at every minute where nothing is reported.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::PolicyBook;

/// How often the folder is read although nothing was reported: network file systems report nothing.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How long nothing may be reported before the folder is read. Who writes two files in a row means them together, and an
/// editor empties a file before it fills it: a rule that forbids must not be missing in between.
const QUIET: Duration = Duration::from_millis(250);
/// A folder in which something always happens is read all the same.
const LONGEST_UNREST: Duration = Duration::from_secs(5);

/// Watches until `stop`. Run it as a task of its own.
pub async fn watch(book: Arc<PolicyBook>, stop: CancellationToken) {
    let Some(dir) = book.dir().cloned() else { return };
    let (changed, mut changes) = mpsc::channel(1);
    let mut watcher = start(changed);
    follow(watcher.as_mut(), &dir);
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = changes.recv() => settle(&mut changes).await,
            // What is being written is read when it rests, a minute later at most.
            _ = look.tick() => if !holds_still(&book, tokio::time::sleep(QUIET)).await { continue },
        }
        // A folder that was put in the place of another is another one to the operating system.
        follow(watcher.as_mut(), &dir);
        let book = book.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || book.refresh()).await {
            tracing::error!(%error, "reading the policies again failed");
        }
    }
}

/// Whether the folder holds what is in force, or the same before a rest and after it.
async fn holds_still(book: &Arc<PolicyBook>, rest: impl Future<Output = ()>) -> bool {
    let look = || {
        let book = book.clone();
        tokio::task::spawn_blocking(move || book.compare())
    };
    match look().await {
        Ok(Err(there)) => {
            rest.await;
            matches!(look().await, Ok(Err(again)) if again == there)
        }
        _ => true,
    }
}

/// Waits until nothing is reported for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let quiet =
        async { while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {} };
    // Either it is quiet, or we have waited long enough.
    let _ = tokio::time::timeout(LONGEST_UNREST, quiet).await;
}

fn start(changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let notice = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel already holds the news.
            let _ = changed.try_send(());
        }
    };
    notify::recommended_watcher(notice)
        .inspect_err(|error| tracing::warn!(%error, "policies are looked at every minute only"))
        .ok()
}

/// Watches the folder, and the one around it: it may be replaced as a whole.
fn follow(watcher: Option<&mut notify::RecommendedWatcher>, dir: &Path) {
    let Some(watcher) = watcher else { return };
    let around = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    for folder in [dir, around.unwrap_or(Path::new("."))] {
        // A folder that is gone is found again by the one around it, or by looking.
        let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::{Instant, timeout};

    use super::*;

    /// Longer than any machine takes to tell, and shorter than the next look without being told.
    const PATIENCE: Duration = Duration::from_secs(45);

    /// What an editor, a deployment or Kubernetes does: nothing is written in the folder itself.
    #[tokio::test]
    async fn a_file_that_is_moved_in_is_news() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("policy");
        fs::create_dir(&dir).expect("made");
        let elsewhere = tempfile::tempdir().expect("a folder");
        fs::write(elsewhere.path().join("a.cedar"), "// a").expect("written");
        let (changed, mut changes) = mpsc::channel(1);
        let mut watcher = start(changed);
        assert!(watcher.is_some(), "this system can watch");
        follow(watcher.as_mut(), &dir);
        fs::rename(elsewhere.path().join("a.cedar"), dir.join("a.cedar")).expect("moved");
        assert_eq!(timeout(PATIENCE, changes.recv()).await.expect("news"), Some(()));
    }

    #[tokio::test]
    async fn a_folder_that_comes_is_news() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("policy");
        let (changed, mut changes) = mpsc::channel(1);
        let mut watcher = start(changed);
        follow(watcher.as_mut(), &dir);
        fs::create_dir(&dir).expect("made");
        assert_eq!(timeout(PATIENCE, changes.recv()).await.expect("news"), Some(()));
    }

    /// Whoever writes two files in a row means them together.
    #[tokio::test]
    async fn what_changed_is_left_to_rest() {
        let (changed, mut changes) = mpsc::channel(1);
        let begun = Instant::now();
        settle(&mut changes).await;
        assert!(begun.elapsed() >= QUIET, "it was looked at before it rested");
        drop(changed);
    }

    #[tokio::test]
    async fn a_folder_that_rests_is_read_whatever_it_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("policy");
        super::super::defaults::write(&dir).expect("written");
        let book = PolicyBook::open(Some(dir.clone())).expect("valid");
        let nothing = || std::future::ready(());
        assert!(book.compare().is_ok() && holds_still(&book, nothing()).await);
        fs::write(dir.join("z.cedar"), "no rule").expect("written");
        assert!(book.compare().is_err() && holds_still(&book, nothing()).await);
        let written_meanwhile =
            async { fs::write(dir.join("z.cedar"), "no rules").expect("written") };
        assert!(!holds_still(&book, written_meanwhile).await);
        fs::rename(&dir, folder.path().join("away")).expect("moved");
        assert!(book.compare().is_err() && holds_still(&book, nothing()).await);
    }
}
