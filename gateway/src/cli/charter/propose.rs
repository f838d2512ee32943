//! `sundbro charter propose`: the next version of a charter, from the one in force and what shall change.

use std::path::{Path, PathBuf};

use clap::Args;
use prost::Message as _;
use sundbro_ledger::card::is_signed_as_listed;
use sundbro_ledger::charter::LogBranch;
use sundbro_ledger::checkpoint::UnverifiedCheckpoint;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::ids::{LogId, RootHash};
use sundbro_ledger::member::Endpoint;
use sundbro_ledger::subject::key_commitment;

use super::{member, new_subject_key, print_proposal, set_authorities, usage};
use crate::cli::files::{read, read_forked_history, read_history, read_message, write_new};
use crate::cli::{CliError, Output};

#[derive(Debug, Args)]
pub(super) struct Propose {
    /// The charters in force: files, or folders of them.
    #[arg(long, required = true, value_name = "PATH")]
    history: Vec<PathBuf>,
    /// Heal a version that exists twice: name all of its heads. The stewards who signed two of them do not count.
    #[arg(long)]
    heal: bool,
    /// Name the branch of an equivocating log that goes on, `log:size:root` in hexadecimal, or a file with the checkpoint
    /// of that branch.
    #[arg(long, value_name = "LOG:SIZE:ROOT|FILE")]
    branch: Vec<String>,
    /// Add a member by its card.
    #[arg(long, value_name = "FILE")]
    add: Vec<PathBuf>,
    /// Replace a member's entry by a new card of it.
    #[arg(long, value_name = "FILE")]
    replace: Vec<PathBuf>,
    /// Suspend a member. Starts a subject epoch.
    #[arg(long, value_name = "MEMBER")]
    suspend: Vec<String>,
    /// Let a member go for good. Starts a subject epoch.
    #[arg(long, value_name = "MEMBER")]
    let_go: Vec<String>,
    /// Let a suspended member take part again.
    #[arg(long, value_name = "MEMBER")]
    reinstate: Vec<String>,
    /// A CA and the members that it may certify, `file=member,member`; replaces what that CA could certify before.
    #[arg(long, value_name = "FILE=MEMBERS")]
    ca: Vec<String>,
    /// Change where a member's gateway listens for other members, `member=host:port`.
    #[arg(long, value_name = "MEMBER=HOST:PORT")]
    endpoint: Vec<String>,
    /// Revoke or close a key, `member=key id:to`.
    #[arg(long, value_name = "MEMBER=KEY:TO")]
    close_key: Vec<String>,
    /// Where the key of a new subject epoch goes. Needed when somebody is suspended or goes; alone, it renews the epoch.
    #[arg(long, value_name = "FILE")]
    subject_key: Option<PathBuf>,
    /// Where the proposal goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Propose {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let mut draft = match self.heal {
            true => Draft::heal(&read_forked_history(&self.history, None)?),
            false => Draft::next(&read_history(&self.history, None)?),
        }
        .map_err(usage)?;
        for branch in &self.branch {
            draft.set_branch(read_branch(branch)?);
        }
        for card in &self.add {
            draft.add_member(&read_message(card, "member card")?).map_err(usage)?;
        }
        for card in &self.replace {
            let message = read_message(card, "member card")?;
            let before = draft.members().clone();
            let name = draft.replace_member(&message).map_err(usage)?;
            if before.get(&name).is_some_and(|before| !is_signed_as_listed(&message, before)) {
                eprintln!(
                    "warning: no key that the charter lists for {name} signed its card: ask {name} on another way whether \
                     it made it"
                );
            }
        }
        for name in &self.reinstate {
            draft.reinstate(&member(name)?).map_err(usage)?;
        }
        for endpoint in &self.endpoint {
            let wrong = || usage("--endpoint is member=host:port");
            let (name, endpoint) = endpoint.split_once('=').ok_or_else(wrong)?;
            let endpoint = Endpoint::new(endpoint).map_err(usage)?;
            draft.set_endpoint(&member(name)?, endpoint).map_err(usage)?;
        }
        for close in &self.close_key {
            let wrong =
                || usage("--close-key is member=key id:first position or version without it");
            let (name, rest) = close.split_once('=').ok_or_else(wrong)?;
            let (key_id, to) = rest.split_once(':').ok_or_else(wrong)?;
            let key_id = key_id.parse().map_err(|_| wrong())?;
            let to = to.parse().map_err(|_| wrong())?;
            draft.close_key(&member(name)?, key_id, to).map_err(usage)?;
        }
        set_authorities(&mut draft, &self.ca)?;
        let leaves = !self.suspend.is_empty() || !self.let_go.is_empty();
        let key = match &self.subject_key {
            Some(_) => Some(new_subject_key()?),
            None if leaves => {
                let what = "name with --subject-key where the new epoch's key goes: whoever leaves must not learn \
                            new tags";
                return Err(usage(what));
            }
            None => None,
        };
        // One epoch is enough, however many leave at once: the first departure starts it.
        let mut epoch_started = false;
        if let Some(key) = &key {
            for (names, gone) in [(&self.suspend, false), (&self.let_go, true)] {
                for name in names {
                    let name = member(name)?;
                    let commit = |epoch| key_commitment(epoch, &key.key);
                    match (epoch_started, gone) {
                        (false, false) => draft.suspend(&name, commit).map(drop),
                        (false, true) => draft.let_go(&name, commit).map(drop),
                        (true, _) => {
                            let what = "let members leave one version at a time";
                            return Err(usage(what));
                        }
                    }
                    .map_err(usage)?;
                    epoch_started = true;
                }
            }
            if !epoch_started {
                draft.add_subject_epoch(|epoch| key_commitment(epoch, &key.key));
            }
        }
        let proposal = draft.propose().map_err(usage)?;
        if let (Some(key), Some(path)) = (&key, &self.subject_key) {
            key.write(path)?;
        }
        write_new(&self.out, &proposal.to_wire().encode_to_vec())?;
        print_proposal(&proposal, &self.out, output);
        Ok(())
    }
}

/// Reads a branch as it is named, or takes it from a checkpoint of it. Whose log it is and who signed it is not judged here:
/// the stewards who sign the version say so.
fn read_branch(text: &str) -> Result<LogBranch, CliError> {
    let wrong = || usage("--branch is log:size:root in hexadecimal, or a file with a checkpoint");
    if let [log, size, root] = text.split(':').collect::<Vec<_>>()[..] {
        let log_id = LogId::from_hex(log).map_err(usage)?;
        let root = RootHash::from_hex(root).map_err(usage)?;
        return Ok(LogBranch { log_id, size: size.parse().map_err(|_| wrong())?, root });
    }
    let note = UnverifiedCheckpoint::parse(&read(Path::new(text))?).map_err(|_| wrong())?;
    Ok(LogBranch { log_id: note.log_id(), size: note.size(), root: *note.root() })
}
