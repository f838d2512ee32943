//! `sundbro config`: what is wrong with a configuration, and what it comes to; nothing is started.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{CliError, Output};
use crate::config::{Config, Effective};
use crate::policy::{Policy, PolicyError};

/// `sundbro config`.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
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
    /// Show every value in force.
    Show {
        /// The configuration.
        #[arg(default_value = "gateway.toml", env = "SUNDBRO_CONFIG")]
        file: PathBuf,
        /// Say where each comes from: a line of the file, or the default.
        #[arg(long)]
        origin: bool,
    },
}

impl ConfigCommand {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::Check { file } => check(&file, output),
            Action::Show { file, origin } => show(&file, origin, output),
        }
    }
}

fn check(file: &Path, output: Output) -> Result<(), CliError> {
    let config = Config::load(file)?;
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

fn show(file: &Path, origin: bool, output: Output) -> Result<(), CliError> {
    let values = Config::effective(file)?;
    let from = |value: &Effective| match value.line {
        Some(line) => format!("{}:{line}", file.display()),
        None => "default".to_owned(),
    };
    let row = |value: &Effective| {
        let shown = match &value.value {
            serde_json::Value::Null => "none".to_owned(),
            shown => shown.to_string(),
        };
        let from = if origin { format!("   # {}", from(value)) } else { String::new() };
        format!("{} = {shown}{from}", value.key)
    };
    let rows: Vec<_> = values.iter().map(row).collect();
    let json = serde_json::json!({
        "values": values.iter().map(|value| serde_json::json!({
            "key": value.key, "value": value.value, "origin": from(value),
        })).collect::<Vec<_>>(),
    });
    output.print(&rows.join("\n"), &json);
    Ok(())
}
