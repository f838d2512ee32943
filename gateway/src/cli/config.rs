//! `sundbro config check`: says everything that is wrong with a configuration, and starts nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, Output};
use crate::policy::{Policy, PolicyError};

/// `sundbro config`.
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the file and the policies, and that the files it names are there and no secret is readable by everybody.
    Check {
        /// The configuration.
        #[arg(default_value = "gateway.toml", env = "SUNDBRO_CONFIG")]
        file: PathBuf,
    },
}

impl Config {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let Action::Check { file } = self.action;
        let config = crate::config::Config::load(&file)?;
        let mut text = format!("{} is valid: {}", config.file.display(), config.member);
        let mut unreadable = Vec::new();
        for source in &config.documents {
            if let Err(error) = std::fs::read_dir(&source.folder) {
                text.push_str(&format!(
                    "\nfolder {} of source {} cannot be read now ({error}): the gateway starts and registers nothing from it",
                    source.folder.display(),
                    source.name,
                ));
                unreadable.push(source.name.clone());
            }
        }
        if let Some(dir) = &config.policy_dir {
            match Policy::load(dir) {
                Ok(_) => {}
                // Between this and the first start lies `sundbro init`.
                Err(PolicyError::Absent(dir)) => text.push_str(&format!(
                    "\n{} is not there yet: `sundbro init` writes the default policies",
                    dir.display()
                )),
                Err(error) => return Err(error.into()),
            }
        }
        let json = serde_json::json!({
            "file": config.file, "member": config.member.as_str(), "valid": true,
            "unreadable_sources": unreadable,
        });
        output.print(&text, &json);
        Ok(())
    }
}
