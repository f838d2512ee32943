//! `sundbro demo`: a federation of five on this machine, and its story.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Exit, Output};
use crate::demo;

/// `sundbro demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// End after the story, with exit code 0 only if every step held.
    #[arg(long)]
    once: bool,
    /// A folder of real documents for the first hospital; every identifier in them becomes a tag.
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Where the demo's folders go. Without it they are removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Break one step, to show that the demo can fail.
    #[cfg(feature = "sabotage")]
    #[arg(long, value_name = "STEP")]
    sabotage: Option<String>,
}

impl Demo {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let options = demo::Options {
            once: self.once,
            documents: self.documents,
            dir: self.dir,
            #[cfg(feature = "sabotage")]
            sabotage: self.sabotage,
        };
        demo::run(&options, output).map_err(|error| {
            let exit = match error {
                demo::DemoError::Step { .. } => Exit::Integrity,
                demo::DemoError::Begin(_) => Exit::Failed,
            };
            CliError::new(exit, error)
        })
    }
}
