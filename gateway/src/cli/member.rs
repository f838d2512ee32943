//! `sundbro member`: a newcomer's keys, and the card by which stewards take it in.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use prost::Message as _;
use sundbro_ledger::card::make_card;
use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
    RegisterIdentifier,
};
use sundbro_ledger::signing::SigningKey;

use super::files::write_new;
use super::renew::Renew;
use super::{CliError, Exit, Output};
use crate::identity::OwnKeys;

/// `sundbro member`.
#[derive(Debug, Args)]
pub(super) struct Member {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make this member's keys and its card. The card goes to the stewards; the keys go nowhere.
    Init(Init),
    /// Make new keys for this member, in place of lost ones or when they are due, and the card by which they are listed.
    Renew(Renew),
}

#[derive(Debug, Args)]
struct Init {
    /// The organisation's name, a lower-case domain name. It stays for ever; never a unit that tells a diagnosis.
    #[arg(long)]
    name: String,
    /// What people read.
    #[arg(long)]
    display_name: String,
    /// What kind of organisation it is. May be given several times.
    #[arg(long, value_enum, required = true)]
    role: Vec<Role>,
    /// Identifier in a public register, `system|value`. May be given several times.
    #[arg(long, value_name = "SYSTEM|VALUE")]
    identifier: Vec<String>,
    /// Where the gateway will listen for other members, `host:port`.
    #[arg(long)]
    endpoint: String,
    /// The federation that it joins, 64 hexadecimal digits. Left out only by founders: the id does not exist yet.
    #[arg(long, value_name = "ID")]
    federation: Option<String>,
    /// Newest charter version of that federation: from there on the new keys are valid.
    #[arg(long, default_value_t = 1)]
    charter_version: u64,
    /// Folder for the keys. Back it up; never send it.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Where the card goes.
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Role {
    GeneralPractice,
    Hospital,
    Laboratory,
    Municipality,
    Region,
}

impl Member {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::Init(init) => init.run(output),
            Action::Renew(renew) => renew.run(output),
        }
    }
}

impl Init {
    fn run(self, output: Output) -> Result<(), CliError> {
        let federation = match &self.federation {
            Some(id) => FederationId::from_hex(id).map_err(usage)?,
            None => FederationId::FOUNDING,
        };
        // Everything is checked before the first key is written.
        let mut entry = self.entry()?;
        let keys = OwnKeys::create(&self.keys).map_err(usage)?;
        entry.keys = self.listed(&keys);
        let signing = [&keys.transaction, &keys.checkpoint, &keys.service].map(SigningKey::clone);
        let card = make_card(&entry, &federation, &signing).map_err(usage)?;
        write_new(&self.card, &card.encode_to_vec())?;
        let text = format!(
            "keys of {name} in {keys}: back the folder up, send it to nobody\n\
             card in {card}: give it to the federation's stewards",
            name = entry.name,
            keys = self.keys.display(),
            card = self.card.display(),
        );
        let json = serde_json::json!({
            "member": entry.name.as_str(), "keys": self.keys, "card": self.card,
        });
        output.print(&text, &json);
        Ok(())
    }

    fn entry(&self) -> Result<MemberEntry, CliError> {
        let mut identifiers = Vec::new();
        for identifier in &self.identifier {
            let (system, value) = identifier
                .split_once('|')
                .ok_or_else(|| usage("--identifier is system|value".to_owned()))?;
            let (system, value) = (system.to_owned(), value.to_owned());
            identifiers.push(RegisterIdentifier { system, value });
        }
        identifiers.sort();
        let mut roles: Vec<MemberRole> = self.role.iter().map(|role| role.meaning()).collect();
        roles.sort();
        roles.dedup();
        let entry = MemberEntry {
            name: MemberName::new(&self.name).map_err(usage)?,
            display_name: self.display_name.clone(),
            identifiers,
            roles,
            state: MemberState::Active,
            endpoint: Endpoint::new(&self.endpoint).map_err(usage)?,
            keys: Vec::new(),
            log_epochs: vec![LogEpoch { epoch: 1, end: None }],
        };
        entry.validate().map_err(usage)?;
        Ok(entry)
    }

    fn listed(&self, keys: &OwnKeys) -> Vec<MemberKey> {
        let ed25519 = |key: &SigningKey| PublicKey::Ed25519(key.public());
        let of_log = |purpose, public_key, key_id| MemberKey {
            key_id,
            purpose,
            public_key,
            log_epoch: 1,
            from: 0,
            to: None,
        };
        let of_charter = |purpose, public_key, key_id| MemberKey {
            key_id,
            purpose,
            public_key,
            log_epoch: 0,
            from: self.charter_version,
            to: None,
        };
        vec![
            of_log(KeyPurpose::Transaction, ed25519(&keys.transaction), 1),
            of_log(KeyPurpose::Checkpoint, ed25519(&keys.checkpoint), 2),
            of_charter(KeyPurpose::Service, ed25519(&keys.service), 3),
            of_charter(KeyPurpose::Sealing, PublicKey::X25519(keys.sealing_public()), 4),
        ]
    }
}

impl Role {
    fn meaning(self) -> MemberRole {
        match self {
            Self::GeneralPractice => MemberRole::GeneralPractice,
            Self::Hospital => MemberRole::Hospital,
            Self::Laboratory => MemberRole::Laboratory,
            Self::Municipality => MemberRole::Municipality,
            Self::Region => MemberRole::Region,
        }
    }
}

fn usage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CliError {
    CliError::new(Exit::Usage, error)
}
