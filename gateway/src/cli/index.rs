//! `sundbro index rebuild`: derives the index anew, and compares its roots.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sundbro_store::Store;

use super::{CliError, Exit, Output};
use crate::charter_book::CharterBook;
use crate::config::Config;

/// `sundbro index`.
#[derive(Debug, Args)]
pub(super) struct Index {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Derive the index of a stopped gateway anew from its logs and payloads.
    Rebuild {
        /// The configuration.
        #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
        config: PathBuf,
    },
}

impl Index {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let Action::Rebuild { config } = self.action;
        let config = Config::load(&config)?;
        let failed =
            |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Failed, error);
        let store = Store::open(&config.data_dir, super::init::open_options(&config))
            .map_err(|error| failed(error.into()))?;
        let store = Arc::new(store);
        let charter = CharterBook::open(store.clone(), &config.federation_id)
            .map_err(|error| CliError::new(Exit::Integrity, error))?;
        let before = store.index_roots().map_err(|error| failed(error.into()))?;
        let after = store.rebuild_index(&charter).map_err(|error| failed(error.into()))?;
        let same = before == after;
        let json = serde_json::json!({
            "index_root": after.index_root.to_string(),
            "private_root": after.private_root.to_string(),
            "index_root_before": before.index_root.to_string(),
            "same_as_before": same,
        });
        let verdict = if same { "as before" } else { "the index before was another one" };
        let text = format!("index root {}, {verdict}", after.index_root);
        output.print(&text, &json);
        Ok(())
    }
}
