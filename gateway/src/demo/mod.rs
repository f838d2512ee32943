//! `sundbro demo`: five organisations on one machine, and a pregnancy whose records are spread over them.
//!
//! Nothing is faked: five processes of this binary, mutual TLS on loopback, real databases, real folders of synthetic
//! documents. Each step of the story checks what it claims; if one does not hold, the demo says which, and exits 6.

pub mod documents;
mod layout;
mod process;
#[cfg(feature = "sabotage")]
mod sabotage;
mod setup;
mod story;

use std::path::PathBuf;

use crate::cli::Output;

pub use story::STEPS;

/// How the demo is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// End after the story.
    pub once: bool,
    /// Folder of real documents for the first hospital.
    pub documents: Option<PathBuf>,
    /// Where the demo's folders go. `None`: a temporary folder that is removed at the end.
    pub dir: Option<PathBuf>,
    /// Which step to break, to show that the demo can fail.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<String>,
}

/// Why the demo did not go through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A step of the story did not hold.
    #[error("step {step} did not hold: {problem}; everything is kept in {kept}")]
    Step {
        /// The step.
        step: &'static str,
        /// What was claimed and what was found.
        problem: String,
        /// Where configuration, data and log lines are.
        kept: PathBuf,
    },
    /// It could not begin.
    #[error("the demo could not begin: {0}")]
    Begin(String),
}

/// Runs the demo.
///
/// # Errors
/// With the first step that did not hold.
pub fn run(options: &Options, output: Output) -> Result<(), DemoError> {
    story::tell(options, output)
}
