//! Log lines: tracing with fixed field names, for people or for programs.
//!
//! ERROR: a human must act. WARN: odd, we went on. INFO: state changed. No personal identifier and no payload byte
//! at any level: types that hold one print nothing of it.

use std::io::IsTerminal as _;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::{LogFormat, LogSettings};

/// Starts logging to standard error. A second call changes nothing.
pub fn start(settings: &LogSettings) {
    // The configuration was checked; should the filter not parse, the default is better than silence.
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines =
        fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    // An error means that a subscriber is there already.
    let _ = match settings.format {
        LogFormat::Text => {
            registry().with(filter).with(filter_fn(names_no_files)).with(lines).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            registry().with(filter).with(filter_fn(names_no_files)).with(lines).try_init()
        }
    };
}

/// The watcher of folders tells of every event with the name of its file, and people name files after patients. What
/// goes wrong with watching is logged where it is handled.
fn names_no_files(metadata: &tracing::Metadata<'_>) -> bool {
    !metadata.target().starts_with("notify")
}
