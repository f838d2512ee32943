//! `sundbro certs`: a throw-away PKI for laptops and demos. A federation in production brings its own CA.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sundbro_certs::{DevCa, Issued, LeafSpec, Serial, Validity};
use sundbro_ledger::ids::MemberName;

use super::{CliError, Exit, Output};

/// Name of the CA that is made.
const CA_NAME: &str = "Sundbro development CA (trust it for nothing real)";
/// How long the CA and its revocation list last.
const CA_DAYS: u32 = 3_650;

/// `sundbro certs`.
#[derive(Debug, Args)]
pub(super) struct Certs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a CA in a folder (or use the one there) and issue a member's certificates: `<member>/federation`,
    /// `<member>/local` and one for each local client.
    Dev {
        /// The folder. Git ignores what is written there.
        folder: PathBuf,
        /// The member.
        #[arg(long)]
        member: MemberName,
        /// DNS names and IP addresses under which its gateway is reached.
        #[arg(long = "host", default_values = ["localhost", "127.0.0.1", "::1"])]
        hosts: Vec<String>,
        /// Local clients, named like hosts: `certificate_san` in `[[local.clients]]`.
        #[arg(long = "client", default_value = "operations.local.example")]
        clients: Vec<String>,
        /// How many days the certificates are good for.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
        days: u32,
    },
    /// Revoke a certificate of such a CA: gateways that read its `crl.pem` close its connections.
    Revoke {
        /// The folder of the CA.
        folder: PathBuf,
        /// The certificate, PEM.
        certificate: PathBuf,
    },
}

impl Certs {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        match self.action {
            Action::Dev { folder, member, hosts, clients, days } => {
                dev(&folder, &member, &hosts, &clients, days, output)
            }
            Action::Revoke { folder, certificate } => revoke(&folder, &certificate, output),
        }
    }
}

fn dev(
    folder: &Path,
    member: &MemberName,
    hosts: &[String],
    clients: &[String],
    days: u32,
    output: Output,
) -> Result<(), CliError> {
    // The name becomes a file name: only what can be a host name gets that far.
    for client in clients {
        MemberName::new(client).map_err(|error| CliError::new(Exit::Usage, error))?;
    }
    let now = Timestamp::now();
    let valid = Validity::days(now, days).map_err(failed)?;
    let home = folder.join(member.as_str());
    let in_folder = |error| CliError::new(Exit::Failed, FolderError(home.clone(), error));
    fs::create_dir_all(&home).map_err(in_folder)?;
    fs::write(folder.join(".gitignore"), "*\n").map_err(in_folder)?;
    let mut ca = if folder.join("ca.key").exists() {
        DevCa::load(folder).map_err(failed)?
    } else {
        DevCa::new(CA_NAME, Validity::days(now, CA_DAYS).map_err(failed)?).map_err(failed)?
    };
    ca.write(folder, Validity::days(now, CA_DAYS).map_err(failed)?).map_err(failed)?;
    let mut written = Vec::new();
    let mut keep = |issued: Issued, stem: &str| {
        let (key, certificate) = issued.write(&home, stem).map_err(failed)?;
        written.extend([certificate, key]);
        Ok::<_, CliError>(())
    };
    keep(ca.issue_gateway(member.as_str(), hosts, valid).map_err(failed)?, "federation")?;
    keep(ca.issue(&LeafSpec::server("local", hosts), valid).map_err(failed)?, "local")?;
    for client in clients {
        keep(ca.issue_client(client, valid).map_err(failed)?, client)?;
    }
    let ca = folder.join("ca.pem");
    let files: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
    let text = format!("CA {}\n{}", ca.display(), files.join("\n"));
    output.print(&text, &serde_json::json!({ "ca": ca, "files": files }));
    Ok(())
}

fn revoke(folder: &Path, certificate: &Path, output: Output) -> Result<(), CliError> {
    let now = Timestamp::now();
    let mut ca = DevCa::load(folder).map_err(failed)?;
    let leaf = CertificateDer::from_pem_file(certificate).map_err(|error| {
        CliError::new(Exit::NotFound, CertificateError(certificate.to_owned(), error))
    })?;
    ca.revoke(&Serial::of(&leaf).map_err(failed)?, now);
    ca.write(folder, Validity::days(now, CA_DAYS).map_err(failed)?).map_err(failed)?;
    let list = folder.join("crl.pem");
    let text = format!("{} is revoked in {}", certificate.display(), list.display());
    output.print(&text, &serde_json::json!({ "revoked": certificate, "crl": list }));
    Ok(())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> CliError {
    CliError::new(Exit::Failed, error)
}

#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be made: choose a folder that you may write to")]
struct FolderError(PathBuf, #[source] std::io::Error);

#[derive(Debug, thiserror::Error)]
#[error("{0} is not a PEM certificate that can be read: name one that `sundbro certs dev` wrote")]
struct CertificateError(PathBuf, #[source] rustls_pki_types::pem::Error);
