//! `sundbro member renew`: new keys for a member whose keys were lost or are due, and the card by which stewards list them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use prost::Message as _;
use sundbro_ledger::card::make_renewal;
use sundbro_ledger::ids::MemberName;
use sundbro_ledger::member::{KeyPurpose, MemberEntry, MemberKey, PublicKey};
use sundbro_ledger::signing::SigningKey;

use super::files::{read_history, write_new};
use super::{CliError, Exit, Output};
use crate::identity::{OwnKeys, file};

/// `sundbro member renew`.
#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The member.
    #[arg(long)]
    name: String,
    /// The charters in force: files, or folders of them.
    #[arg(long, required = true, value_name = "PATH")]
    history: Vec<PathBuf>,
    /// Which keys are new. May be given several times.
    #[arg(long = "key", value_enum, required = true)]
    keys: Vec<Which>,
    /// The keys folder as it is, without the keys that are lost.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The new keys folder; it must be empty or absent. Back it up; never send it.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where the card goes.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Which {
    /// Signs entries.
    Transaction,
    /// Signs sizes and roots of our log.
    Checkpoint,
    /// Signs requests, grants, completions, acknowledgements.
    Service,
    /// Opens subject keys that are sealed to us.
    Sealing,
}

impl Which {
    const fn file(self) -> &'static str {
        match self {
            Self::Transaction => file::TRANSACTION,
            Self::Checkpoint => file::CHECKPOINT,
            Self::Service => file::SERVICE,
            Self::Sealing => file::SEALING,
        }
    }

    const fn purpose(self) -> KeyPurpose {
        match self {
            Self::Transaction => KeyPurpose::Transaction,
            Self::Checkpoint => KeyPurpose::Checkpoint,
            Self::Service => KeyPurpose::Service,
            Self::Sealing => KeyPurpose::Sealing,
        }
    }

    fn public(self, keys: &OwnKeys) -> PublicKey {
        match self {
            Self::Transaction => PublicKey::Ed25519(keys.transaction.public()),
            Self::Checkpoint => PublicKey::Ed25519(keys.checkpoint.public()),
            Self::Service => PublicKey::Ed25519(keys.service.public()),
            Self::Sealing => PublicKey::X25519(keys.sealing_public()),
        }
    }
}

impl Renew {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let usage =
            |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Usage, error);
        let name = MemberName::new(&self.name).map_err(|error| usage(error.into()))?;
        let history = read_history(&self.history, None)?;
        let before = history.current().member(&name).ok_or_else(|| {
            let what = format!("charter version {} does not list {name}", history.in_force());
            CliError::new(Exit::NotFound, what)
        })?;
        let which: BTreeSet<Which> = self.keys.iter().copied().collect();
        let files = which.iter().map(|which| which.file()).collect();
        let keys =
            OwnKeys::renew(&self.from, &self.to, &files).map_err(|error| usage(error.into()))?;
        let entry = with_keys(before, &which, &keys, history.in_force() + 1);
        let signing = [&keys.transaction, &keys.checkpoint, &keys.service].map(SigningKey::clone);
        let card = make_renewal(&entry, before, &history.federation_id(), &signing)
            .map_err(|error| usage(error.into()))?;
        write_new(&self.card, &card.encode_to_vec())?;
        let added: Vec<u32> =
            entry.keys.iter().skip(before.keys.len()).map(|it| it.key_id).collect();
        let numbers: Vec<String> = added.iter().map(ToString::to_string).collect();
        let text = format!(
            "new keys {} of {name} in {}: back the folder up, send it to nobody\n\
             card in {}: give it to the federation's stewards; once they have published it, let the gateway use the new \
             folder, and have them close the old keys",
            numbers.join(", "),
            self.to.display(),
            self.card.display(),
        );
        let json = serde_json::json!({
            "member": name.as_str(), "keys": self.to, "card": self.card, "key_ids": added,
        });
        output.print(&text, &json);
        Ok(())
    }
}

/// The entry with a new key of each kind after the others: a log never goes back to a lower ordinal.
fn with_keys(
    before: &MemberEntry,
    which: &BTreeSet<Which>,
    keys: &OwnKeys,
    charter_version: u64,
) -> MemberEntry {
    let mut entry = before.clone();
    let last = before.keys.iter().map(|key| key.key_id).max().unwrap_or_default();
    let log_epoch = before.log_epochs.iter().map(|epoch| epoch.epoch).max().unwrap_or(1);
    for (key_id, which) in (last + 1..).zip(which) {
        // Positions and sizes of the log, or charter versions.
        let (log_epoch, from) = match which {
            Which::Transaction | Which::Checkpoint => (log_epoch, 0),
            Which::Service | Which::Sealing => (0, charter_version),
        };
        let (purpose, public_key) = (which.purpose(), which.public(keys));
        entry.keys.push(MemberKey { key_id, purpose, public_key, log_epoch, from, to: None });
    }
    entry
}
