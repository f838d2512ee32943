//! `sundbro record`: who holds what about a person, and one record fetched with its proof.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sundbro_proto::gateway::v1 as api;
use sundbro_proto::gateway::v1::records_service_client::RecordsServiceClient;
use sundbro_proto::ledger::v1::{BreakGlassReason, Identifier, PurposeOfUse, Receipt};

use super::connect::{ClientArgs, block_on, call_failed};
use super::{CliError, Exit, Output};

/// `sundbro record`.
#[derive(Debug, Args)]
pub(super) struct Record {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List who holds which records about a person, and how much was looked at.
    Locate(Locate),
    /// Fetch one record from its owner, check it, and keep the receipt.
    Get(Get),
    /// List this organisation's own records.
    List {
        #[command(flatten)]
        client: ClientArgs,
        /// At most how many.
        #[arg(long, default_value_t = 50)]
        max: i32,
    },
}

#[derive(Debug, Args)]
struct Locate {
    #[command(flatten)]
    client: ClientArgs,
    /// URI of the identifier system; `urn:oid:1.2.208.176.1.2` is CPR.
    #[arg(long)]
    system: String,
    /// File that holds the identifier, `-` for standard input: an argument would be seen by every process.
    #[arg(long, value_name = "FILE", default_value = "-")]
    identifier_file: PathBuf,
    /// Only records held by this member.
    #[arg(long)]
    custodian: Option<String>,
    /// Show withdrawn records too.
    #[arg(long)]
    withdrawn: bool,
}

#[derive(Debug, Args)]
struct Get {
    #[command(flatten)]
    client: ClientArgs,
    /// `<member>/records/<id>`.
    name: String,
    /// Version; the newest if it is left out.
    #[arg(long, default_value_t = 0)]
    record_version: u32,
    /// Who asks, as your systems name them; never a person's identifier.
    #[arg(long)]
    user: String,
    /// The user's role.
    #[arg(long)]
    role: String,
    /// The user's unit, `system|value`.
    #[arg(long)]
    unit: Option<String>,
    /// Why: TREAT, ETREAT, PATRQT or HOPERAT (HL7 v3 PurposeOfUse).
    #[arg(long, default_value = "TREAT")]
    purpose: String,
    /// Break the glass: `vital-interest` or `others-vital-interest`.
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
    /// Where the content goes. Nothing stands there unless everything was right.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where the receipt goes.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

impl Record {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::Locate(locate) => block_on(locate.run(output)),
            Action::Get(get) => block_on(get.run(output)),
            Action::List { client, max } => block_on(list(client, max, output)),
        }
    }
}

impl Locate {
    async fn run(self, output: Output) -> Result<(), CliError> {
        let value = read_identifier(&self.identifier_file)?;
        let mut client = RecordsServiceClient::new(self.client.channel()?);
        let mut request = api::LocateRecordsRequest {
            subject: Some(api::locate_records_request::Subject::Identifier(
                api::SubjectIdentifier { system: self.system, value },
            )),
            custodian: self.custodian.unwrap_or_default(),
            show_withdrawn: self.withdrawn,
            ..Default::default()
        };
        let mut pointers = Vec::new();
        let coverage = loop {
            let answer = client.locate_records(request.clone()).await;
            let answer = answer.map_err(|status| call_failed(&status))?.into_inner();
            pointers.extend(answer.pointers);
            if answer.next_page_token.is_empty() {
                break answer.coverage.unwrap_or_default();
            }
            request.page_token = answer.next_page_token;
        };
        let text = format!("{}{}", pointer_lines(&pointers), coverage_lines(&coverage));
        let json = serde_json::json!({
            "pointers": pointers.iter().map(pointer_json).collect::<Vec<_>>(),
            "coverage": coverage_json(&coverage),
        });
        output.print(text.trim_end(), &json);
        Ok(())
    }
}

async fn list(client: ClientArgs, max: i32, output: Output) -> Result<(), CliError> {
    let mut client = RecordsServiceClient::new(client.channel()?);
    let request = api::ListRecordsRequest { page_size: max, ..Default::default() };
    let answer = client.list_records(request).await.map_err(|status| call_failed(&status))?;
    let pointers = answer.into_inner().pointers;
    let json = serde_json::json!({
        "pointers": pointers.iter().map(pointer_json).collect::<Vec<_>>(),
    });
    output.print(pointer_lines(&pointers).trim_end(), &json);
    Ok(())
}

impl Get {
    async fn run(self, output: Output) -> Result<(), CliError> {
        let request = self.request()?;
        let mut client = RecordsServiceClient::new(self.client.channel()?);
        let stream = client.retrieve_record(request).await;
        let mut stream = stream.map_err(|status| call_failed(&status))?.into_inner();
        let failed = |error| CliError::new(Exit::Failed, error);
        let mut file = Partial::create(&self.out).map_err(failed)?;
        let mut header = None;
        let mut receipt = None;
        while let Some(part) = stream.message().await.map_err(|status| call_failed(&status))? {
            match part.part {
                Some(api::retrieve_record_response::Part::Header(part)) => header = Some(part),
                Some(api::retrieve_record_response::Part::Data(data)) => {
                    file.write(&data).map_err(failed)?;
                }
                Some(api::retrieve_record_response::Part::Receipt(part)) => receipt = Some(part),
                None => {}
            }
        }
        let (Some(header), Some(receipt)) = (header, receipt) else {
            let what = "the gateway's answer ended without its receipt: nothing was kept";
            return Err(CliError::new(Exit::Integrity, what));
        };
        let (size, digest) = file.digest();
        if size != header.size_bytes || digest[..] != header.sha256[..] {
            let what = "the bytes that came are not those that are registered: nothing was kept";
            return Err(CliError::new(Exit::Integrity, what).reason(crate::reason::DIGEST_MISMATCH));
        }
        if let Some(path) = &self.receipt {
            write_receipt(path, &receipt).map_err(failed)?;
        }
        // The content last: whoever sees the file sees a checked record whose receipt is kept.
        file.keep().map_err(failed)?;
        let sha256 = hex::encode(digest);
        let text = format!("{}: {size} bytes, SHA-256 {sha256}, as registered", self.out.display());
        let json = serde_json::json!({
            "out": self.out, "size_bytes": size, "sha256": sha256,
            "media_type": header.media_type, "receipt": self.receipt,
        });
        output.print(&text, &json);
        Ok(())
    }

    fn request(&self) -> Result<api::RetrieveRecordRequest, CliError> {
        let usage = |what: &str| CliError::new(Exit::Usage, what.to_owned());
        let purpose = crate::config::purpose(&self.purpose)
            .ok_or_else(|| usage("--purpose is TREAT, ETREAT, PATRQT or HOPERAT"))?;
        let unit = match self.unit.as_deref().map(|unit| unit.split_once('|')) {
            None => None,
            Some(Some((system, value))) => {
                Some(Identifier { system: system.to_owned(), value: value.to_owned() })
            }
            Some(None) => return Err(usage("--unit is system|value")),
        };
        let break_glass = match self.break_glass.as_deref() {
            None => BreakGlassReason::Unspecified,
            Some("vital-interest") => BreakGlassReason::VitalInterest,
            Some("others-vital-interest") => BreakGlassReason::OthersVitalInterest,
            Some(_) => {
                return Err(usage("--break-glass is vital-interest or others-vital-interest"));
            }
        };
        if break_glass != BreakGlassReason::Unspecified
            && purpose != PurposeOfUse::EmergencyTreatment
        {
            return Err(usage("--break-glass goes with --purpose ETREAT"));
        }
        let name = match self.name.strip_prefix("members/") {
            Some(_) => self.name.clone(),
            None => format!("members/{}", self.name),
        };
        Ok(api::RetrieveRecordRequest {
            name,
            version: self.record_version,
            user: self.user.clone(),
            role: self.role.clone(),
            unit,
            purpose: purpose.into(),
            break_glass_reason: break_glass.into(),
        })
    }
}

/// An output file that gets its name only when all of it was right.
struct Partial {
    target: PathBuf,
    file: tempfile::NamedTempFile,
    hash: Sha256,
    size: u64,
}

impl Partial {
    fn create(target: &Path) -> std::io::Result<Self> {
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        Ok(Self {
            target: target.to_owned(),
            file: tempfile::NamedTempFile::new_in(folder)?,
            hash: Sha256::new(),
            size: 0,
        })
    }

    fn write(&mut self, data: &[u8]) -> std::io::Result<()> {
        self.hash.update(data);
        self.size += data.len() as u64;
        self.file.write_all(data)
    }

    fn digest(&self) -> (u64, [u8; 32]) {
        (self.size, self.hash.clone().finalize().into())
    }

    fn keep(self) -> std::io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target).map(drop).map_err(|error| error.error)
    }
}

fn write_receipt(path: &Path, receipt: &Receipt) -> std::io::Result<()> {
    let mut file = Partial::create(path)?;
    file.write(&receipt.encode_to_vec())?;
    file.keep()
}

fn read_identifier(file: &Path) -> Result<String, CliError> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(4096).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(4096).read_to_string(&mut text))
    };
    // The system's message may be shown, what was read may not.
    read.map_err(|error| {
        CliError::new(Exit::Usage, format!("the identifier cannot be read: {error}"))
    })?;
    Ok(text.trim().to_owned())
}

fn pointer_lines(pointers: &[api::RecordPointer]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for pointer in pointers {
        let name = pointer.name.strip_prefix("members/").unwrap_or(&pointer.name);
        let class = pointer
            .detail
            .as_ref()
            .and_then(|detail| detail.class.as_ref())
            .map_or("class not known here", |class| class.code.as_str());
        let state = if pointer.withdrawn { ", withdrawn" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}  version {}  {class}{state}", pointer.version);
    }
    text
}

fn pointer_json(pointer: &api::RecordPointer) -> serde_json::Value {
    let detail = pointer.detail.as_ref();
    let entry = pointer.entry.clone().unwrap_or_default();
    serde_json::json!({
        "name": pointer.name,
        "version": pointer.version,
        "custodian": pointer.custodian,
        "withdrawn": pointer.withdrawn,
        "replaced_by": pointer.replaced_by,
        "lifecycle": pointer.lifecycle().as_str_name(),
        "log_id": hex::encode(&entry.log_id),
        "position": entry.position,
        "detail": detail.map(|detail| serde_json::json!({
            "class_system": detail.class.as_ref().map(|class| &class.system),
            "class_code": detail.class.as_ref().map(|class| &class.code),
            "media_type": detail.media_type,
            "content_sha256": hex::encode(&detail.content_sha256),
            "content_size_bytes": detail.content_size_bytes,
            "author_unit": detail.author_unit.as_ref().map(|unit| &unit.value),
        })),
    })
}

/// Coverage for people: one sentence, and a line for each log that lacks something.
pub(super) fn coverage_lines(coverage: &api::Coverage) -> String {
    use std::fmt::Write as _;
    let mut text = format!("coverage: {}\n", coverage.summary);
    for log in &coverage.logs {
        let mut lacks = Vec::new();
        if log.committed_size < log.newest_checkpoint_size {
            let behind = log.newest_checkpoint_size - log.committed_size;
            lacks.push(format!("{behind} entries behind"));
        }
        if !log.reachable && !log.unreachable_cause.is_empty() {
            let since = log.unreachable_for.as_ref().map_or(0, |time| time.seconds);
            lacks.push(format!("not reachable for {since} s ({})", log.unreachable_cause));
        }
        if log.missing_blobs > 0 {
            lacks.push(format!("{} blobs missing", log.missing_blobs));
        }
        if log.state() != api::LogState::Followed {
            lacks.push(format!("{} at {}", log.state_reason, log.state_position));
        }
        if !lacks.is_empty() {
            let _ = writeln!(text, "  {}: {}", log.member, lacks.join(", "));
        }
    }
    text
}

/// Coverage for programs.
pub(super) fn coverage_json(coverage: &api::Coverage) -> serde_json::Value {
    serde_json::json!({
        "replication_complete": coverage.replication_complete,
        "summary": coverage.summary,
        "charter_version": coverage.charter_version,
        "tag_epochs_searched": coverage.tag_epochs_searched,
        "tag_epochs_missing": coverage.tag_epochs_missing,
        "logs": coverage.logs.iter().map(|log| serde_json::json!({
            "member": log.member,
            "committed_size": log.committed_size,
            "indexed_size": log.indexed_size,
            "newest_checkpoint_size": log.newest_checkpoint_size,
            "root": hex::encode(&log.root),
            "age_seconds": log.age.as_ref().map(|age| age.seconds),
            "reachable": log.reachable,
            "unreachable_cause": log.unreachable_cause,
            "missing_blobs": log.missing_blobs,
            "state": log.state().as_str_name(),
            "state_reason": log.state_reason,
            "state_position": log.state_position,
        })).collect::<Vec<_>>(),
    })
}
