//! `sundbro restore`: puts a backup back, or proves that it could be put back. Nothing is signed here: a gateway that
//! starts over what was put back asks the other members first, and fetches what the backup lacks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sundbro_store::Store;
use sundbro_store::backup::{BACKED_UP, GatePutBack, put_back_gate};
use sundbro_store::tables::StoreFile;
use sundbro_store::verify::{Report, verify_dir};

use super::backup::{
    make_folder, parent, remove_leftover, sync, sync_folder, unwritable, with_ending,
};
use super::manifest::Manifest;
use super::{CliError, Exit, Output};
use crate::charter_book::CharterBook;
use crate::config::Config;

/// Ending of the data folder while it is not whole.
const UNFINISHED: &str = "restoring";

/// `sundbro restore`.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup.
    dir: PathBuf,
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
    /// Prove the backup in a temporary folder, and leave everything as it is. Works beside a running gateway.
    #[arg(long)]
    drill: bool,
}

impl Restore {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let config = Config::load(&self.config)?;
        let manifest = Manifest::read(&self.dir)?;
        belongs(&manifest, &config)?;
        let data = self.dir.join("data");
        let report = verified(&data, &config)?;
        if self.drill {
            return drill(&data, &config, &manifest, &report, output);
        }
        put_back(&data, &config, &manifest, output)
    }
}

/// The backup must be of this member and this federation.
fn belongs(manifest: &Manifest, config: &Config) -> Result<(), CliError> {
    let (member, federation) = (config.member.to_string(), config.federation_id.to_string());
    if (manifest.member.as_str(), manifest.federation_id.as_str())
        == (member.as_str(), federation.as_str())
    {
        return Ok(());
    }
    let what = format!(
        "the backup is of {} in federation {}, the configuration of {member} in {federation}",
        manifest.member, manifest.federation_id
    );
    Err(CliError::new(Exit::Integrity, what))
}

/// Every signature, link, proof and row of the backup.
fn verified(data: &Path, config: &Config) -> Result<Report, CliError> {
    let report = verify_dir(data, &config.federation_id, None)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    match report.damages.first() {
        None => Ok(report),
        Some(first) => {
            let count = report.damages.len();
            let what = format!(
                "the backup is damaged in {count} places, the first: {first}; use another backup"
            );
            Err(CliError::new(Exit::Integrity, what))
        }
    }
}

fn put_back(
    from: &Path,
    config: &Config,
    manifest: &Manifest,
    output: Output,
) -> Result<(), CliError> {
    let data = &config.data_dir;
    // A folder that cannot be read may hold everything: only one that is not there, or shows nothing, is empty.
    let is_empty = match fs::read_dir(data) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => {
            let what = format!("{} cannot be looked into: {error}", data.display());
            return Err(CliError::new(Exit::Failed, what));
        }
    };
    if !is_empty {
        let what = format!(
            "{} is not empty: move it away first; nothing is overwritten, since it may hold what the backup lacks",
            data.display()
        );
        return Err(CliError::new(Exit::Usage, what));
    }
    let unfinished = with_ending(data, UNFINISHED);
    remove_leftover(&unfinished)?;
    make_folder(&unfinished)?;
    for file in BACKED_UP {
        let to = unfinished.join(file.name());
        fs::copy(from.join(file.name()), &to).map_err(|error| unwritable(&to, &error))?;
        sync(&to)?;
    }
    // Before the data has its name: a gateway that starts in between finds nothing, and not a database without its gate.
    make_folder(&parent(&config.gate_file))?;
    let in_data = parent(&config.gate_file) == *data;
    let gate_file = match in_data {
        true => unfinished.join(config.gate_file.file_name().unwrap_or_default()),
        false => config.gate_file.clone(),
    };
    let gate = put_back_gate(&from.join(StoreFile::Gate.name()), &gate_file)
        .map_err(|error| CliError::new(Exit::Failed, error))?;
    sync_folder(&unfinished)?;
    drop(fs::remove_dir(data));
    fs::rename(&unfinished, data).map_err(|error| unwritable(data, &error))?;
    // From here what was put back survives a crash.
    sync_folder(&parent(data))?;
    let said = match gate {
        GatePutBack::Copied => "the signing gate is that of the backup".to_owned(),
        GatePutBack::KeptNewer { size } => {
            format!("a newer signing gate was kept: {size} entries of our log were signed")
        }
        GatePutBack::Missing => {
            "there is no signing gate: nothing is signed before one is written anew".to_owned()
        }
    };
    let text = format!(
        "{}: {} entries of our own log are back; {said}. Start the gateway: it asks the other members what they hold of \
         our log, fetches what is missing here, and signs only then",
        data.display(),
        manifest.own_log_size,
    );
    let json = serde_json::json!({
        "own_log_size": manifest.own_log_size,
        "gate": match gate {
            GatePutBack::Copied => "COPIED",
            GatePutBack::KeptNewer { .. } => "KEPT_NEWER",
            GatePutBack::Missing => "MISSING",
        },
    });
    output.print(&text, &json);
    Ok(())
}

/// Does all that a restore and the start after it do, up to the first question to another member.
fn drill(
    data: &Path,
    config: &Config,
    manifest: &Manifest,
    report: &Report,
    output: Output,
) -> Result<(), CliError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| CliError::new(Exit::Failed, error);
    let folder = tempfile::Builder::new()
        .prefix("sundbro-drill-")
        .tempdir()
        .map_err(|error| failed(error.into()))?;
    for file in BACKED_UP.into_iter().chain([StoreFile::Gate]) {
        let from = data.join(file.name());
        if from.exists() {
            fs::copy(from, folder.path().join(file.name()))
                .map_err(|error| failed(error.into()))?;
        }
    }
    let mut options = super::open_options(config);
    options.gate = None;
    let store = Store::open(folder.path(), options).map_err(|error| failed(error.into()))?;
    let store = Arc::new(store);
    let charter = CharterBook::open(store.clone(), &config.federation_id)
        .map_err(|error| CliError::new(Exit::Integrity, error))?;
    let roots = store.rebuild_index(&charter).map_err(|error| failed(error.into()))?;
    let counts =
        store.index_counts(&store.identity().own_log).map_err(|error| failed(error.into()))?;
    let electorate = charter.electorate(&config.member);
    let stop = store.signing_stop();
    let age = crate::clock::unix_seconds().saturating_sub(manifest.made_unix_seconds).max(0);
    let signing = match &stop {
        None => format!(
            "it would sign after {} of {} other members have answered",
            electorate.needed,
            electorate.peers.len()
        ),
        Some(stop) => format!("it would sign nothing ({}): {}", stop.reason(), stop.cure()),
    };
    let text = format!(
        "the backup is good: {} signatures in {} logs verify, the index is derived from it (root {}), {} entries of our \
         own log, {} payloads of it missing, made {} ago; {signing}",
        report.logs.values().sum::<u64>(),
        report.logs.len(),
        roots.index_root,
        manifest.own_log_size,
        counts.missing_blobs,
        age_text(age),
    );
    let json = serde_json::json!({
        "good": true,
        "signatures": report.logs.values().sum::<u64>(),
        "index_root": roots.index_root.to_string(),
        "own_log_size": manifest.own_log_size,
        "own_payloads_missing": counts.missing_blobs,
        "age_seconds": age,
        "signing_stopped_reason": stop.as_ref().map(|stop| stop.reason()),
        "answers_needed": electorate.needed,
    });
    output.print(&text, &json);
    Ok(())
}

fn age_text(seconds: i64) -> String {
    match seconds {
        less if less < 120 => format!("{less} s"),
        less if less < 7_200 => format!("{} minutes", less / 60),
        less if less < 172_800 => format!("{} hours", less / 3_600),
        more => format!("{} days", more / 86_400),
    }
}
