//! Reloads TLS material when its files change, and closes connections whose certificate has run out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::TlsError;

/// How often files are looked at and certificates judged again although nothing was reported: network file systems
/// report nothing, and a certificate runs out without any file changing.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Something that can take its files into use again.
pub trait Reload: Send + Sync + 'static {
    /// The files.
    fn files(&self) -> Vec<PathBuf>;

    /// Takes them into use; returns how many connections were closed.
    ///
    /// # Errors
    /// When a file is unusable; what worked before goes on.
    fn reload(&self) -> Result<usize, TlsError>;

    /// Closes connections whose certificate is no longer good; returns how many.
    fn close_expired(&self) -> usize;
}

/// Watches until `stop`. Run it as a task of its own.
///
/// The *folders* are watched, not the files: certbot and Kubernetes replace files by renaming. Where the operating
/// system cannot watch, the files are looked at every minute.
pub async fn watch_files(target: Arc<dyn Reload>, stop: CancellationToken) {
    let (changed, mut changes) = mpsc::channel(1);
    // Kept alive: dropping it ends the watch.
    let _watcher = start(&target.files(), changed);
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = stamps(&target.files());
    loop {
        let reported = tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = changes.recv() => true,
            _ = look.tick() => false,
        };
        let stamps = stamps(&target.files());
        if reported || stamps != seen {
            seen = stamps;
            reload(&target).await;
        } else {
            target.close_expired();
        }
    }
}

async fn reload(target: &Arc<dyn Reload>) {
    let target = target.clone();
    match tokio::task::spawn_blocking(move || target.reload()).await {
        Ok(Ok(closed)) => tracing::info!(closed, "TLS files reloaded"),
        // Often one of two files, replaced a moment before the other: the next report sets it right.
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "TLS files not reloaded: the ones before stay in use");
        }
        Err(error) => tracing::error!(%error, "reloading TLS files failed"),
    }
}

fn start(files: &[PathBuf], changed: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let notice = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel already holds the news.
            let _ = changed.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(notice)
        .inspect_err(|error| tracing::warn!(%error, "TLS files are looked at every minute only"))
        .ok()?;
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, folder = %folder.display(), "folder is looked at every minute only");
        }
    }
    Some(watcher)
}

/// Length and time of change of each file; a missing one has none.
fn stamps(files: &[PathBuf]) -> Vec<Option<(u64, Option<std::time::SystemTime>)>> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.len(), metadata.modified().ok()))
    };
    files.iter().map(stamp).collect()
}
