//! Log lines: tracing with fixed field names, for people or for programs.
//!
//! ERROR: a human must act. WARN: odd, we went on. INFO: state changed. No personal identifier and no payload byte
//! at any level: types that hold one print nothing of it.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Starts logging to standard error. A second call changes nothing.
pub fn start(settings: &LogSettings) {
    // The configuration was checked; should the filter not parse, the default is better than silence.
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error means that a subscriber is there already.
    let _ = match settings.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
