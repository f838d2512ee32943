//! `sundbro log`: lists the logs, tells how far our own has come, exports one for outside tools, shows one entry, and what
//! convicts a log's writer; repairs what a disk damaged.

mod evidence;
mod repair;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::ids::{FederationId, LogId, MemberName};
use sundbro_ledger::note::NoteVerifier;
use sundbro_proto::admin::v1::admin_service_client::AdminServiceClient;
use sundbro_proto::admin::v1::{OverrideQuorumRequest, OverrideReason};
use sundbro_proto::gateway::v1::get_transaction_state_request::Transaction;
use sundbro_proto::gateway::v1::ledger_service_client::LedgerServiceClient;
use sundbro_proto::gateway::v1::{GetTransactionStateRequest, ListLogsRequest};
use sundbro_store::Store;

use super::connect::{ClientArgs, block_on, call_failed};
use super::record::coverage_json;
use super::{CliError, Exit, Output};
use crate::charter_book::CharterBook;

/// `sundbro log`.
#[derive(Debug, Args)]
pub(super) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all logs with what is held of each.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Tell how far a transaction of our own log has come: accepted, replicated, witnessed.
    State {
        /// Position, from 0; the newest one if neither it nor a record is given.
        position: Option<u64>,
        /// The entry that registered the newest version of this record of ours.
        #[arg(long, conflicts_with = "position")]
        record: Option<String>,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Write a log as C2SP checkpoint, tiles and entry bundles, and its key, for tools that know nothing of us.
    Export {
        /// The folder; it must not be there yet, or be empty.
        dir: PathBuf,
        /// Whose log.
        #[arg(long)]
        member: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Sign our own log without the answers of other members, until the next start. On the record.
    ///
    /// Also gives up an end of our log that was lost here and that nobody gives back. Should it turn up later, or another
    /// machine sign with these keys, our log stops at every member: read the runbook for restoring first.
    Override {
        /// Why; the audit log keeps it, with your name as the configuration knows you.
        #[arg(long)]
        reason: Why,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List the evidence that a member signed two histories of its log, and write it to a file.
    Evidence {
        /// Whose log. All of them if it is left out.
        member: Option<String>,
        /// Where the evidence goes that parts the log lowest, with all that an outsider needs to check it.
        #[arg(long, value_name = "FILE", requires = "member")]
        out: Option<PathBuf>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Repair the files of a stopped gateway: look at every row, and drop what is damaged and other members give back.
    ///
    /// Our own log too: its next start signs nothing before what was dropped has come back.
    Repair {
        /// Whose log. Everything if it is left out.
        #[arg(long, value_name = "NAME")]
        member: Option<String>,
        /// Look, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// The configuration.
        #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
        config: PathBuf,
    },
    /// Show one entry.
    Entry {
        /// Whose log.
        member: String,
        /// Position, from 0.
        position: u64,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Why an operator signs without a quorum.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Why {
    /// Other members will not be reached for long, and what is registered here must not wait.
    OthersLost,
    /// No member holds the end of our log that was lost, and it will not come back.
    EndLost,
    /// A rehearsal in a federation for tests.
    Rehearsal,
}

/// Which data folder is read, running gateway or not.
#[derive(Debug, Args)]
pub(super) struct DataArgs {
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(super) data: PathBuf,
    /// The federation, 64 hexadecimal digits.
    #[arg(long, value_name = "ID", env = "SUNDBRO_FEDERATION")]
    pub(super) federation: Option<String>,
}

impl DataArgs {
    /// The federation that was named. Offline trust is pinned: without one, nothing is believed.
    pub(super) fn pinned(&self) -> Result<Option<FederationId>, CliError> {
        self.federation
            .as_deref()
            .map(FederationId::from_hex)
            .transpose()
            .map_err(|error| CliError::new(Exit::Usage, error))
    }

    /// Opens the store to read, and compares the federation.
    fn open(&self) -> Result<(Arc<Store>, FederationId), CliError> {
        let store = Store::open_read_only(&self.data)
            .map_err(|error| CliError::new(Exit::Failed, error))?;
        let found = store.identity().federation_id;
        match self.pinned()? {
            Some(expected) if expected == found => Ok((Arc::new(store), found)),
            Some(expected) => {
                let what =
                    format!("{} is of federation {found}, not {expected}", self.data.display());
                Err(CliError::new(Exit::Integrity, what))
            }
            None => Err(unpinned(&found.to_string())),
        }
    }
}

/// A forged federation verifies by itself: without a pin, nothing found is worth anything.
pub(super) fn unpinned(found: &str) -> CliError {
    let what = format!(
        "found federation {found}; name the one that you trust with --federation: a forged federation verifies by \
         itself"
    );
    CliError::new(Exit::Integrity, what).reason(crate::reason::UNPINNED)
}

impl Log {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::List { client } => block_on(list(client, output)),
            Action::State { position, record, client } => {
                let named = record.map(Transaction::Record);
                block_on(state(named.or(position.map(Transaction::Position)), client, output))
            }
            Action::Export { dir, member, data } => export(&dir, &member, &data, output),
            Action::Override { reason, client } => {
                block_on(override_quorum(reason, client, output))
            }
            Action::Evidence { member, out, data } => {
                evidence::list(member.as_deref(), out.as_deref(), &data, output)
            }
            Action::Repair { member, dry_run, config } => {
                repair::repair(&config, member.as_deref(), dry_run, output)
            }
            Action::Entry { member, position, data } => entry(&member, position, &data, output),
        }
    }
}

async fn list(client: ClientArgs, output: Output) -> Result<(), CliError> {
    let mut client = LedgerServiceClient::new(client.channel()?);
    let mut logs = Vec::new();
    let mut request = ListLogsRequest::default();
    let index_root = loop {
        let answer = client.list_logs(request.clone()).await;
        let answer = answer.map_err(|status| call_failed(&status))?.into_inner();
        logs.extend(answer.logs);
        if answer.next_page_token.is_empty() {
            break answer.index_root;
        }
        request.page_token = answer.next_page_token;
    };
    let mut text = format!("index root {}\n", hex::encode(&index_root));
    for log in &logs {
        let coverage = log.coverage.clone().unwrap_or_default();
        text.push_str(&format!(
            "{}  {} entries  {}\n",
            log.origin,
            coverage.committed_size,
            coverage.state().as_str_name().trim_start_matches("LOG_STATE_").to_lowercase()
        ));
    }
    let covered = sundbro_proto::gateway::v1::Coverage {
        logs: logs.iter().filter_map(|log| log.coverage.clone()).collect(),
        ..Default::default()
    };
    let json = serde_json::json!({
        "index_root": hex::encode(&index_root),
        "origins": logs.iter().map(|log| &log.origin).collect::<Vec<_>>(),
        "logs": coverage_json(&covered)["logs"],
    });
    output.print(text.trim_end(), &json);
    Ok(())
}

async fn state(
    transaction: Option<Transaction>,
    client: ClientArgs,
    output: Output,
) -> Result<(), CliError> {
    let mut client = LedgerServiceClient::new(client.channel()?);
    let answer = client.get_transaction_state(GetTransactionStateRequest { transaction }).await;
    let answer = answer.map_err(|status| call_failed(&status))?.into_inner();
    let state = answer.state().as_str_name().trim_start_matches("TRANSACTION_STATE_");
    let state = state.to_lowercase();
    let text = format!(
        "entry {}: {state}; held by {} others, vouched for by {} ({} make it witnessed)",
        answer.position, answer.replicated_by, answer.witnessed_by, answer.witness_quorum
    );
    let json = serde_json::json!({
        "position": answer.position, "state": state, "replicated_by": answer.replicated_by,
        "witnessed_by": answer.witnessed_by, "witness_quorum": answer.witness_quorum,
    });
    output.print(&text, &json);
    Ok(())
}

fn log_of(member: &str, federation: &FederationId) -> Result<(Origin, LogId), CliError> {
    let member = MemberName::new(member).map_err(|error| CliError::new(Exit::Usage, error))?;
    let origin = Origin::new(&member, federation, 1);
    let log = origin.log_id();
    Ok((origin, log))
}

fn export(
    dir: &std::path::Path,
    member: &str,
    data: &DataArgs,
    output: Output,
) -> Result<(), CliError> {
    let (store, federation) = data.open()?;
    let (origin, log) = log_of(member, &federation)?;
    let exported =
        store.export_log(&log, dir).map_err(|error| CliError::new(Exit::NotFound, error))?;
    let vkey = vkey(&store, &federation, &origin, exported.size)?;
    // Beside the export, not in it: the folder then holds what C2SP names, and nothing else.
    // Appended, not put in place of an ending: folders are named after members, which have dots.
    let mut key_file = dir.as_os_str().to_owned();
    key_file.push(".vkey");
    let key_file = PathBuf::from(key_file);
    super::files::replace(&key_file, format!("{vkey}\n").as_bytes())?;
    let text = format!(
        "{} entries of {} in {}, {} files; verifier key in {}",
        exported.size,
        origin.as_str(),
        dir.display(),
        exported.files,
        key_file.display()
    );
    let json = serde_json::json!({
        "origin": origin.as_str(), "size": exported.size, "files": exported.files, "dir": dir,
        "vkey": vkey,
    });
    output.print(&text, &json);
    Ok(())
}

/// The C2SP verifier key of a log at a size: its checkpoint key, by the charters in the store.
fn vkey(
    store: &Arc<Store>,
    federation: &FederationId,
    origin: &Origin,
    size: u64,
) -> Result<String, CliError> {
    let charter = CharterBook::open(store.clone(), federation)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let history = charter.history();
    let log = origin.log_id();
    let mut keys = history.checkpoint_keys(&log, size);
    let key = keys.next().ok_or_else(|| {
        CliError::new(
            Exit::NotFound,
            "the charter lists no checkpoint key for this size".to_owned(),
        )
    })?;
    NoteVerifier::new(origin.as_str(), *key)
        .map(|verifier| verifier.vkey())
        .map_err(|error| CliError::new(Exit::Failed, error))
}

fn entry(member: &str, position: u64, data: &DataArgs, output: Output) -> Result<(), CliError> {
    let (store, federation) = data.open()?;
    let (origin, log) = log_of(member, &federation)?;
    let entry = store
        .entry(&log, position)
        .map_err(|error| CliError::new(Exit::Failed, error))?
        .ok_or_else(|| {
            let what = format!("{} has no entry {position} here", origin.as_str());
            CliError::new(Exit::NotFound, what).reason(crate::reason::UNKNOWN_ENTRY)
        })?;
    let digits = hex::encode(&entry);
    let leaf = sundbro_ledger::merkle::leaf_hash(&entry);
    let text = format!("leaf   {leaf}\nentry  {digits}");
    let json = serde_json::json!({
        "origin": origin.as_str(), "position": position, "leaf": leaf.to_string(), "entry": digits,
    });
    output.print(&text, &json);
    Ok(())
}

async fn override_quorum(why: Why, client: ClientArgs, output: Output) -> Result<(), CliError> {
    let reason = match why {
        Why::OthersLost => OverrideReason::OthersLost,
        Why::EndLost => OverrideReason::EndLost,
        Why::Rehearsal => OverrideReason::Rehearsal,
    };
    let mut client = AdminServiceClient::new(client.channel()?);
    let answer = client.override_quorum(OverrideQuorumRequest { reason: reason.into() }).await;
    let size = answer.map_err(|status| call_failed(&status))?.into_inner().size;
    let text = format!(
        "our own log is signed from position {size} on without other members' answers, until the gateway's next start; \
         the audit log says who answers for it"
    );
    output.print(&text, &serde_json::json!({ "size": size }));
    Ok(())
}
