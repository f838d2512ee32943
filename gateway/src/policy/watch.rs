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
            _ = look.tick() => if !holds_still(&book).await { continue },
        }
        // A folder that was put in the place of another is another one to the operating system.
        follow(watcher.as_mut(), &dir);
        let book = book.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || book.refresh()).await {
            tracing::error!(%error, "reading the policies again failed");
        }
    }
}

/// Whether the folder holds what is in force, or the same twice in a row.
async fn holds_still(book: &Arc<PolicyBook>) -> bool {
    let look = || {
        let book = book.clone();
        tokio::task::spawn_blocking(move || book.compare())
    };
    match look().await {
        Ok(Err(there)) => {
            tokio::time::sleep(QUIET).await;
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
