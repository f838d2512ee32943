//! `sundbro verify`: checks a data folder, a receipt or evidence, offline, trusting nothing but a federation's id.

mod evidence;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::receipt::{self, VerdictKind};
use sundbro_store::Store;
use sundbro_store::verify::verify_dir;

use super::log::unpinned;
use super::{CliError, Exit, Output};
use crate::status::chain;

/// `sundbro verify`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Verify {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check a receipt: who asked whom for what and why, what was decided, sent and received.
    Receipt {
        /// The receipt.
        file: PathBuf,
        /// The federation that it must be of, 64 hexadecimal digits.
        #[arg(long, value_name = "ID", env = "SUNDBRO_FEDERATION")]
        federation: Option<String>,
    },
    /// Check evidence that a member signed two histories of its log.
    Evidence {
        /// The file of evidence.
        file: PathBuf,
        /// The federation that it must be of, 64 hexadecimal digits.
        #[arg(long, value_name = "ID", env = "SUNDBRO_FEDERATION")]
        federation: Option<String>,
    },
}

#[derive(Debug, Args)]
struct DataArgs {
    /// A gateway's data folder, of a running gateway too.
    #[arg(default_value = "data")]
    dir: PathBuf,
    /// The federation that it must be of, 64 hexadecimal digits.
    #[arg(long, value_name = "ID", env = "SUNDBRO_FEDERATION")]
    federation: Option<String>,
    /// The signing gate, if it does not lie in the folder.
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.what {
            Some(What::Receipt { file, federation }) => {
                let expected = pin(federation.as_deref())?;
                verify_receipt(&file, expected.as_ref(), output)
            }
            Some(What::Evidence { file, federation }) => {
                let expected = pin(federation.as_deref())?;
                evidence::verify(&file, expected.as_ref(), output)
            }
            None => {
                let expected = pin(self.data.federation.as_deref())?;
                verify_data(&self.data.dir, expected.as_ref(), self.data.gate.as_deref(), output)
            }
        }
    }
}

fn pin(id: Option<&str>) -> Result<Option<FederationId>, CliError> {
    id.map(FederationId::from_hex).transpose().map_err(|error| CliError::new(Exit::Usage, error))
}

fn verify_data(
    dir: &Path,
    expected: Option<&FederationId>,
    gate: Option<&Path>,
    output: Output,
) -> Result<(), CliError> {
    let Some(expected) = expected else {
        let store =
            Store::open_read_only(dir).map_err(|error| CliError::new(Exit::Integrity, error))?;
        return Err(unpinned(&store.identity().federation_id.to_string()));
    };
    let report =
        verify_dir(dir, expected, gate).map_err(|error| CliError::new(Exit::Integrity, error))?;
    let damages: Vec<String> = report.damages.iter().map(ToString::to_string).collect();
    let json = serde_json::json!({
        "sound": report.is_sound(), "damages": damages,
    });
    if report.is_sound() {
        let text = format!(
            "{}: everything verifies: {} signatures in {} logs, {} rows{}",
            dir.display(),
            report.logs.values().sum::<u64>(),
            report.logs.len(),
            report.rows.values().sum::<u64>(),
            if report.live {
                "; the gateway runs: page checksums and the index as a whole were not looked at"
            } else {
                ""
            },
        );
        output.print(&text, &json);
        return Ok(());
    }
    output.print(&damages.join("\n"), &json);
    let what = format!("{}: {} damages found", dir.display(), damages.len());
    Err(CliError::new(Exit::Integrity, what))
}

fn verify_receipt(
    file: &Path,
    expected: Option<&FederationId>,
    output: Output,
) -> Result<(), CliError> {
    let bytes = super::files::read(file)?;
    let verdict = receipt::verify_bytes(&bytes, expected).map_err(|error| {
        let what = format!("{} proves nothing: {}", file.display(), chain(&error));
        CliError::new(Exit::Integrity, what)
    })?;
    let kind = verdict.kind();
    let request = &verdict.request;
    let json = serde_json::json!({
        "verdict": kind.code(),
        "federation_id": verdict.federation.to_string(),
        "charter_version": verdict.newest_charter_version,
        "requester": request.requester.as_str(),
        "owner": request.owner.as_str(),
        "record": request.record.to_string(),
        "version": request.record_version,
        "user": request.user,
        "role": request.role,
        "purpose": format!("{:?}", request.purpose),
        "rule": verdict.grant.permission().map(|permission| permission.rule.clone()),
    });
    let text = format!(
        "{}: {} asked {} for {} version {}, as {} for {:?}",
        kind.code(),
        request.requester,
        request.owner,
        request.record,
        request.record_version,
        request.role,
        request.purpose,
    );
    match kind {
        VerdictKind::Complete | VerdictKind::Refused => {
            output.print(&text, &json);
            Ok(())
        }
        VerdictKind::Unpinned => Err(unpinned(&verdict.federation.to_string())),
        VerdictKind::OneSided | VerdictKind::RecordNotShown => {
            output.print(&text, &json);
            let what = match kind {
                VerdictKind::OneSided => "the requester's word is missing",
                _ => {
                    "the record is not shown to be the one registered: the blobs are not in the receipt"
                }
            };
            Err(CliError::new(Exit::Failed, what))
        }
        _ => {
            output.print(&text, &json);
            Err(CliError::new(Exit::Integrity, format!("the verdict is {}", kind.code())))
        }
    }
}
