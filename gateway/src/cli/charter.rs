//! `sundbro charter`: found a federation, propose and sign its next version, show and verify what is there.
//!
//! Everything happens on files that stewards pass on as they like. A running gateway takes a finished version with
//! `publish`, and from it every other gateway.

mod propose;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sundbro_ledger::charter::{Charter as SignedCharter, Environment, LogBranch};
use sundbro_ledger::drafting::{Draft, Proposal};
use sundbro_ledger::history::CharterHistory;
use sundbro_ledger::ids::{CharterDigest, FederationId, MemberName};
use sundbro_ledger::signing::VerifyingKey;
use sundbro_ledger::subject::{SubjectKey, key_commitment};
use sundbro_proto::admin::v1::PublishCharterRequest;
use sundbro_proto::admin::v1::admin_service_client::AdminServiceClient;
use sundbro_proto::ledger::v1;

use self::propose::Propose;
use super::connect::{ClientArgs, block_on, call_failed};
use super::files::{read_forked_history, read_history, read_message, replace, write_new};
use super::{CliError, Exit, Output};
use crate::identity::{
    create_signing_key, random_key, read_hex_key, read_signing_key, write_hex_key,
};
use crate::status::chain;

/// `sundbro charter`.
#[derive(Debug, Args)]
pub(super) struct Charter {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a steward's key, and print its public half for the charter.
    StewardKey {
        /// Where the key goes. It signs charters; keep it offline.
        file: PathBuf,
    },
    /// Propose version 1 of a new federation.
    Found(Found),
    /// Propose the version after the one in force.
    Propose(Propose),
    /// Sign a proposal as a steward. The file is finished when enough have signed.
    Sign(Sign),
    /// Show a charter for people.
    Show {
        /// The charter or proposal.
        file: PathBuf,
    },
    /// Check charters from version 1 on.
    Verify {
        /// Charter files, or folders of them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The federation that it must be, 64 hexadecimal digits.
        #[arg(long, value_name = "ID")]
        federation: Option<String>,
    },
    /// Hand a finished version to the running gateway; it spreads from there.
    Publish {
        #[command(flatten)]
        client: ClientArgs,
        /// The finished charter.
        file: PathBuf,
        /// Key of the subject epoch that this version begins, if it begins one.
        #[arg(long, value_name = "FILE")]
        subject_key: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Found {
    /// A steward, `office=public key in hex`. May be given several times.
    #[arg(long, required = true, value_name = "OFFICE=KEY")]
    steward: Vec<String>,
    /// How many stewards must sign. More than half of them is the default.
    #[arg(long)]
    threshold: Option<u32>,
    /// A member's card. May be given several times.
    #[arg(long, required = true, value_name = "FILE")]
    card: Vec<PathBuf>,
    /// A CA and the members that it may certify, `file=member,member`. May be given several times.
    #[arg(long, required = true, value_name = "FILE=MEMBERS")]
    ca: Vec<String>,
    /// Where the key of subject epoch 1 goes: put it in one member's keys folder.
    #[arg(long, value_name = "FILE")]
    subject_key: PathBuf,
    /// Real people instead of made-up ones. Gateways of this version refuse it.
    #[arg(long)]
    production: bool,
    /// Where the proposal goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Sign {
    /// The proposal; the signature is added to it.
    file: PathBuf,
    /// The charters in force. Left out only for version 1.
    #[arg(long, value_name = "PATH")]
    history: Vec<PathBuf>,
    /// The steward's key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

impl Charter {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::StewardKey { file } => steward_key(&file, output),
            Action::Found(found) => found.run(output),
            Action::Propose(propose) => propose.run(output),
            Action::Sign(sign) => sign.run(output),
            Action::Show { file } => show(&file, output),
            Action::Verify { files, federation } => verify(&files, federation.as_deref(), output),
            Action::Publish { client, file, subject_key } => {
                block_on(publish(client, file, subject_key, output))
            }
        }
    }
}

fn steward_key(file: &Path, output: Output) -> Result<(), CliError> {
    let key = create_signing_key(file).map_err(usage)?;
    let public = hex::encode(key.public().as_bytes());
    let json = serde_json::json!({ "key": file, "public_key": public });
    output.print(&public, &json);
    Ok(())
}

impl Found {
    fn run(self, output: Output) -> Result<(), CliError> {
        let environment = if self.production { Environment::Production } else { Environment::Test };
        let mut draft = Draft::found(environment);
        for steward in &self.steward {
            let wrong = || usage("--steward is office=64 hexadecimal digits of an Ed25519 key");
            let (office, digits) = steward.split_once('=').ok_or_else(wrong)?;
            let mut public = [0; 32];
            hex::decode_to_slice(digits, &mut public).map_err(|_| wrong())?;
            draft.add_steward(office, VerifyingKey::from_bytes(&public).map_err(usage)?);
        }
        if let Some(threshold) = self.threshold {
            draft.set_threshold(threshold);
        }
        for card in &self.card {
            draft.add_member(&read_message(card, "member card")?).map_err(usage)?;
        }
        set_authorities(&mut draft, &self.ca)?;
        let key = new_subject_key()?;
        draft.add_subject_epoch(|epoch| key_commitment(epoch, &key.key));
        let proposal = draft.propose().map_err(usage)?;
        key.write(&self.subject_key)?;
        write_new(&self.out, &proposal.to_wire().encode_to_vec())?;
        print_proposal(&proposal, &self.out, output);
        Ok(())
    }
}

impl Sign {
    fn run(self, output: Output) -> Result<(), CliError> {
        let history = match self.history.is_empty() {
            true => None,
            false => Some(read_forked_history(&self.history, None)?),
        };
        let wire: v1::Charter = read_message(&self.file, "charter proposal")?;
        let mut proposal = Proposal::from_wire(history.as_ref(), &wire).map_err(integrity)?;
        let key = read_signing_key(&self.key).map_err(usage)?;
        note_signature(&self.key, &proposal)?;
        let ordinal = proposal.sign(&key).map_err(usage)?;
        replace(&self.file, &proposal.to_wire().encode_to_vec())?;
        let version = proposal.charter().version();
        let finished = proposal.clone().finish();
        let state = match &finished {
            Ok(charter) if version == 1 => {
                format!("finished; the federation id is {}", federation_id(charter))
            }
            Ok(_) => "finished".to_owned(),
            Err(error) => format!("not finished yet: {}", chain(error)),
        };
        let text = format!("steward {ordinal} signed version {version}: {state}");
        let json = serde_json::json!({
            "steward": ordinal, "version": version, "finished": finished.is_ok(),
            "digest": proposal.charter().digest().to_string(),
        });
        output.print(&text, &json);
        Ok(())
    }
}

/// What stands in a steward's note behind a head that heals a fork.
const HEALS: &str = " heals";

/// A steward's key signs one head per version: what it signed is kept beside it, and another head is refused.
fn note_signature(key: &Path, proposal: &Proposal) -> Result<(), CliError> {
    let note = key.with_extension("signed");
    let text = match std::fs::read_to_string(&note) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(CliError::new(Exit::Failed, error)),
    };
    let (version, digest) = (proposal.charter().version(), proposal.charter().digest());
    let heals = proposal.charter().head().previous.len() > 1;
    for line in text.lines() {
        let Some((before, signed)) = line.split_once(' ') else { continue };
        let healed = signed.strip_suffix(HEALS);
        // A head that follows one of two is followed by nobody: who signed one may still sign what heals the two.
        if before == version.to_string() && (healed.is_some() || !heals) {
            let signed = healed.unwrap_or(signed);
            return match CharterDigest::from_hex(signed) {
                Ok(signed) if signed == digest => Ok(()),
                _ => Err(CliError::new(
                    Exit::Denied,
                    format!(
                        "this key signed another head of version {version} already ({signed}, see {}): two heads of \
                         one version stop the federation",
                        note.display()
                    ),
                )),
            };
        }
    }
    let mark = if heals { HEALS } else { "" };
    replace(&note, format!("{text}{version} {digest}{mark}\n").as_bytes())
}

fn show(file: &Path, output: Output) -> Result<(), CliError> {
    let wire: v1::Charter = read_message(file, "charter")?;
    let charter = SignedCharter::from_wire(&wire).map_err(integrity)?;
    output.print(charter_text(&charter).trim_end(), &charter_json(&charter));
    Ok(())
}

fn verify(files: &[PathBuf], federation: Option<&str>, output: Output) -> Result<(), CliError> {
    let expected = federation.map(FederationId::from_hex).transpose().map_err(usage)?;
    let history = read_history(files, expected.as_ref())?;
    let found = history.federation_id();
    if expected.is_none() {
        let what = format!(
            "the charters are valid among themselves, and so are those of a forged federation: compare the id {found} \
             with the one that you got on another way, and name it with --federation"
        );
        return Err(CliError::new(Exit::Integrity, what).reason(crate::reason::UNPINNED));
    }
    let version = history.current().version();
    let mut text = format!("versions 1 to {version} of federation {found} are valid");
    let healed: Vec<(u64, u64)> =
        history.healed_versions().map(|(version, by)| (version, by.version())).collect();
    for (forked, by) in &healed {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nversion {forked} stood twice and is healed by version {by}");
    }
    let healed =
        healed.iter().map(|(forked, by)| serde_json::json!({ "version": forked, "by": by }));
    let json = serde_json::json!({
        "federation_id": found.to_string(), "version": version,
        "healed": healed.collect::<Vec<_>>(),
    });
    output.print(&text, &json);
    Ok(())
}

async fn publish(
    client: ClientArgs,
    file: PathBuf,
    subject_key: Option<PathBuf>,
    output: Output,
) -> Result<(), CliError> {
    let charter: v1::Charter = read_message(&file, "charter")?;
    let subject_key = match subject_key {
        Some(path) => bytes::Bytes::copy_from_slice(&*read_hex_key(&path).map_err(usage)?),
        None => bytes::Bytes::new(),
    };
    let mut client = AdminServiceClient::new(client.channel()?);
    let request = PublishCharterRequest { charter: Some(charter), subject_key };
    let answer = client.publish_charter(request).await.map_err(|status| call_failed(&status))?;
    let version = answer.into_inner().charter_version;
    let text =
        format!("charter version {version} is in force here and spreads to the other members");
    output.print(&text, &serde_json::json!({ "charter_version": version }));
    Ok(())
}

fn set_authorities(draft: &mut Draft, authorities: &[String]) -> Result<(), CliError> {
    for authority in authorities {
        let wrong = || usage("--ca is file=member,member");
        let (file, names) = authority.split_once('=').ok_or_else(wrong)?;
        let names = names.split(',').map(member).collect::<Result<Vec<_>, _>>()?;
        let certificate = CertificateDer::from_pem_file(file)
            .map_err(|error| usage(format!("{file} is no PEM certificate: {error}")))?;
        draft.set_authority(bytes::Bytes::copy_from_slice(&certificate), names);
    }
    Ok(())
}

/// A key of a subject epoch that does not exist outside this process yet.
struct NewSubjectKey {
    key: SubjectKey,
    bytes: zeroize::Zeroizing<[u8; 32]>,
}

fn new_subject_key() -> Result<NewSubjectKey, CliError> {
    let bytes = random_key().map_err(|error| CliError::new(Exit::Failed, error))?;
    Ok(NewSubjectKey { key: SubjectKey::new(*bytes), bytes })
}

impl NewSubjectKey {
    fn write(&self, path: &Path) -> Result<(), CliError> {
        write_hex_key(path, &self.bytes).map_err(usage)
    }
}

fn print_proposal(proposal: &Proposal, out: &Path, output: Output) {
    let charter = proposal.charter();
    let text = format!(
        "{}proposal in {}: stewards sign it with `sundbro charter sign`",
        charter_text(charter),
        out.display()
    );
    output.print(&text, &charter_json(charter));
}

fn charter_text(charter: &SignedCharter) -> String {
    let head = charter.head();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "version      {}", head.version);
    let _ = writeln!(text, "digest       {}", charter.digest());
    let _ = writeln!(text, "environment  {:?}", head.environment);
    if head.previous.len() > 1 {
        let _ = writeln!(
            text,
            "heals        {} heads of version {}",
            head.previous.len(),
            head.version - 1
        );
        for named in &head.previous {
            let _ = writeln!(text, "  {named}");
        }
    }
    for LogBranch { log_id, size, root } in &head.branches {
        let _ = writeln!(text, "branch       log {log_id} goes on from size {size}, root {root}");
    }
    let signed: Vec<u32> = charter.signatures().iter().map(|one| one.ordinal).collect();
    let _ = writeln!(text, "stewards     {} of {} must sign", head.threshold, head.stewards.len());
    for steward in &head.stewards {
        let mark = if signed.contains(&steward.ordinal) { "signed" } else { "has not signed" };
        let _ = writeln!(text, "  {} {} ({mark})", steward.ordinal, steward.name);
    }
    let _ = writeln!(text, "subjects     epoch {}", head.newest_subject_epoch());
    let _ = writeln!(text, "members");
    for entry in charter.members().values() {
        let _ = writeln!(
            text,
            "  {}  {:?}  {}  {}",
            entry.name,
            entry.state,
            entry.endpoint.as_str(),
            entry.display_name
        );
    }
    text
}

fn charter_json(charter: &SignedCharter) -> serde_json::Value {
    let head = charter.head();
    serde_json::json!({
        "version": head.version,
        "digest": charter.digest().to_string(),
        "environment": format!("{:?}", head.environment).to_uppercase(),
        "previous": head.previous.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "branches": head.branches.iter().map(|branch| serde_json::json!({
            "log_id": branch.log_id.to_string(), "size": branch.size, "root": branch.root.to_string(),
        })).collect::<Vec<_>>(),
        "threshold": head.threshold,
        "stewards": head.stewards.iter().map(|steward| serde_json::json!({
            "ordinal": steward.ordinal, "name": steward.name,
            "signed": charter.signatures().iter().any(|one| one.ordinal == steward.ordinal),
        })).collect::<Vec<_>>(),
        "subject_epoch": head.newest_subject_epoch(),
        "members": charter.members().values().map(|entry| serde_json::json!({
            "name": entry.name.as_str(), "state": format!("{:?}", entry.state).to_uppercase(),
            "endpoint": entry.endpoint.as_str(), "display_name": entry.display_name,
        })).collect::<Vec<_>>(),
    })
}

fn federation_id(first: &SignedCharter) -> FederationId {
    // The digest of version 1 is the federation's name.
    CharterHistory::found(first.clone())
        .map_or(FederationId::FOUNDING, |history| history.federation_id())
}

fn member(name: &str) -> Result<MemberName, CliError> {
    MemberName::new(name).map_err(usage)
}

fn usage(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CliError {
    CliError::new(Exit::Usage, error)
}

fn integrity(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CliError {
    CliError::new(Exit::Integrity, error)
}
