//! `sundbro doctor`: what is wrong here, or on the way to a peer, and what to do about it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sundbro_ledger::ids::MemberName;
use sundbro_proto::admin::v1::admin_service_client::AdminServiceClient;
use sundbro_proto::admin::v1::{GetStatusRequest, GetStatusResponse};

use super::connect::{block_on, call_failed, channel};
use super::{CliError, Exit, Output};
use crate::doctor::{Check, Finding, Ground, Peer, examine, examine_peer};

/// `sundbro doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    where_to_look: Place,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Args)]
struct Place {
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml", global = true)]
    config: PathBuf,
    /// Client file of an operator, to ask the running gateway too.
    #[arg(long, env = "SUNDBRO_CLIENT", value_name = "FILE", global = true)]
    client: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Walk the way to a peer step by step, and stop at the first that is broken.
    Peer {
        /// Its member name.
        name: String,
    },
}

impl Doctor {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        block_on(async {
            let status = self.where_to_look.status().await?;
            let checks = match &self.what {
                None => examine(&self.where_to_look.config, status.as_ref()).await,
                Some(What::Peer { name }) => {
                    let member =
                        MemberName::new(name).map_err(|error| CliError::new(Exit::Usage, error))?;
                    let ground = Ground::lay(&self.where_to_look.config)?;
                    let status = status.as_ref();
                    examine_peer(&Peer { ground: &ground, member: &member, status }).await
                }
            };
            tell(&checks, output)
        })
    }
}

impl Place {
    /// What the running gateway says. `None`: none was named, or none answers. One that answers and refuses us is an
    /// error of the client file.
    async fn status(&self) -> Result<Option<GetStatusResponse>, CliError> {
        let Some(file) = &self.client else { return Ok(None) };
        let mut client = AdminServiceClient::new(channel(file)?);
        match client.get_status(GetStatusRequest {}).await {
            Ok(status) => Ok(Some(status.into_inner())),
            Err(status) if Exit::of_grpc(status.code()) == Exit::Denied => {
                Err(call_failed(&status))
            }
            Err(_) => Ok(None),
        }
    }
}

/// Prints what was found; fails with the first that is broken.
fn tell(checks: &[Check], output: Output) -> Result<(), CliError> {
    let json = serde_json::json!({
        "checks": checks.iter().map(|check| serde_json::json!({
            "category": check.category, "state": check.finding.name(), "says": check.says,
            "cure": check.finding.cure(),
        })).collect::<Vec<_>>(),
    });
    output.print(&text(checks), &json);
    let broken = checks.iter().find_map(|check| match check.finding {
        Finding::Failed { exit, .. } => Some((check, exit)),
        _ => None,
    });
    match broken {
        None => Ok(()),
        Some((check, exit)) => Err(CliError::new(exit, format!("{} is broken", check.category))),
    }
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut category = "";
    for check in checks {
        if check.category != category {
            category = check.category;
            text.push_str(&format!("{category}\n"));
        }
        let mark = match check.finding {
            Finding::Good => "ok",
            Finding::Warning { .. } => "look",
            Finding::Failed { .. } => "FAIL",
            Finding::NotLookedAt => "-",
        };
        text.push_str(&format!("  {mark:<5}{}\n", check.says));
        if let Some(cure) = check.finding.cure() {
            text.push_str(&format!("       -> {cure}\n"));
        }
    }
    let count = |name| checks.iter().filter(|check| check.finding.name() == name).count();
    let (failed, warnings) = (count("failed"), count("warning"));
    text.push_str(&match (failed, warnings) {
        (0, 0) => "everything that was looked at is good".to_owned(),
        (failed, warnings) => format!("{failed} broken, {warnings} to look after"),
    });
    text
}
