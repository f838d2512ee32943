//! `sundbro init`: takes a charter into a new gateway's data folder, after comparing the federation's id.
//!
//! The id is what everything that the gateway ever verifies hangs on. It must come on another way than the charter: the
//! configuration holds it, and a person types it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::history::refuse_production;
use sundbro_ledger::ids::FederationId;
use sundbro_store::{Identity, OpenOptions, Store};

use super::files::read_history;
use super::{CliError, Exit, Output};
use crate::config::Config;
use crate::identity::OwnKeys;
use crate::policy::{self, PolicyError};

/// `sundbro init`.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
    /// Charter files, or folders of them, from version 1 on.
    #[arg(long, required = true, value_name = "PATH")]
    charter: Vec<PathBuf>,
    /// The federation's id, as you got it from somebody you trust. Without it, it is asked for.
    #[arg(long, value_name = "ID")]
    federation: Option<String>,
}

impl Init {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let config = Config::load(&self.config)?;
        let typed = match self.federation {
            Some(id) => id,
            None => ask()?,
        };
        let typed = FederationId::from_hex(typed.trim())
            .map_err(|error| CliError::new(Exit::Usage, error))?;
        if typed != config.federation_id {
            let what = format!(
                "the id that was given is not the one in {}: find out which of the two is right before you go on",
                config.file.display()
            );
            return Err(CliError::new(Exit::Integrity, what));
        }
        let history = read_history(&self.charter, Some(&typed))?;
        let current = history.current();
        refuse_production(current).map_err(|error| CliError::new(Exit::Denied, error))?;
        if current.member(&config.member).is_none() {
            let what = format!(
                "charter version {} does not list {}: give the member card to the stewards first",
                current.version(),
                config.member
            );
            return Err(CliError::new(Exit::Usage, what));
        }
        let writes_policies = policies_are_absent(&config)?;
        // The keys are looked at now, so that a wrong folder is not found out at the first start.
        OwnKeys::load(&config.keys_dir).map_err(|error| CliError::new(Exit::Usage, error))?;
        let store = Store::open(&config.data_dir, open_options(&config))
            .map_err(|error| CliError::new(Exit::Failed, error))?;
        for charter in history.charters() {
            store
                .put_charter(&charter.to_wire())
                .map_err(|error| CliError::new(Exit::Failed, error))?;
        }
        let mut text = String::new();
        if let Some(dir) = writes_policies {
            policy::defaults::write(dir).map_err(|error| CliError::new(Exit::Failed, error))?;
            text = format!(
                "the default policies are in {}: read them before others may\n",
                dir.display()
            );
        }
        let version = current.version();
        text += &format!(
            "{} is set up in federation {typed}, charter version {version}: start it with `sundbro run`",
            config.member
        );
        let json = serde_json::json!({
            "member": config.member.as_str(), "federation_id": typed.to_string(),
            "charter_version": version, "default_policies": writes_policies,
        });
        output.print(&text, &json);
        Ok(())
    }
}

/// The configured folder of policies if it is not there yet. One that is there must be valid.
fn policies_are_absent(config: &Config) -> Result<Option<&std::path::Path>, CliError> {
    let Some(dir) = config.policy_dir.as_deref() else { return Ok(None) };
    match policy::Policy::load(dir) {
        Ok(_) => Ok(None),
        Err(PolicyError::Absent(_)) => Ok(Some(dir)),
        Err(error) => Err(error.into()),
    }
}

/// How the store of a configuration is opened.
pub(crate) fn open_options(config: &Config) -> OpenOptions {
    OpenOptions {
        identity: Identity {
            federation_id: config.federation_id,
            own_log: Origin::new(&config.member, &config.federation_id, 1).log_id(),
        },
        gate: Some(config.gate_file.clone()),
        cache_bytes: STORE_CACHE_BYTES,
        recreate_gate: false,
    }
}

/// redb's cache for each of the four files. A gateway is not faster with more: the operating system caches too.
const STORE_CACHE_BYTES: usize = 32 * 1024 * 1024;

fn ask() -> Result<String, CliError> {
    let failed = |error| CliError::new(Exit::Usage, error);
    if std::io::stdin().is_terminal() {
        super::put(
            &mut std::io::stdout(),
            "Federation id, as you got it from somebody you trust: ",
        )
        .map_err(failed)?;
    }
    let mut line = String::new();
    // 64 digits and what a person may add around them.
    let mut input = std::io::Read::take(std::io::stdin().lock(), 256);
    input.read_line(&mut line).map_err(failed)?;
    Ok(line)
}
