//! `sundbro backup`: a copy of a gateway's data from one moment, made while it runs, and what it holds in a manifest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::Args;
use sundbro_store::Store;
use sundbro_store::backup::{BACKED_UP, BackedUp};
use sundbro_store::tables::StoreFile;

use super::manifest::{MANIFEST, Manifest, digest_of};
use super::{CliError, Exit, Output};
use crate::config::Config;

/// Ending of the folder while the copy is not whole.
const UNFINISHED: &str = "unfinished";
/// Folder of the keys inside a copy.
pub(super) const KEYS: &str = "keys";

/// `sundbro backup`.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The folder that is made; it must not be there yet.
    dir: PathBuf,
    /// The configuration.
    #[arg(long, env = "SUNDBRO_CONFIG", default_value = "gateway.toml")]
    config: PathBuf,
    /// Copy the keys too. Whoever holds such a copy can sign for this member: keep it as you keep the keys.
    #[arg(long)]
    with_keys: bool,
}

impl Backup {
    pub(super) fn run(self, output: Output) -> Result<(), CliError> {
        let config = Config::load(&self.config)?;
        if self.dir.exists() {
            let what = format!("{} is there already: choose another name", self.dir.display());
            return Err(CliError::new(Exit::Usage, what));
        }
        let unfinished = with_ending(&self.dir, UNFINISHED);
        // What an interrupted backup left is no copy of anything.
        remove_leftover(&unfinished)?;
        let (facts, manifest) = copy(&config, &unfinished, self.with_keys)?;
        // From here the copy is whole: only then it has the name by which it is found.
        fs::rename(&unfinished, &self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        sync_folder(&parent(&self.dir))?;
        let keys = match self.with_keys {
            true => "the keys are in it: keep it as you keep them",
            false => "the keys are not in it: keep a copy of the keys folder apart",
        };
        let text = format!(
            "{}: {} entries of our own log, {} logs, {} rows, {} bytes; {keys}",
            self.dir.display(),
            facts.size,
            facts.logs,
            facts.rows,
            manifest.files.values().map(|file| file.bytes).sum::<u64>(),
        );
        output.print(&text, &manifest.to_json());
        Ok(())
    }
}

fn copy(config: &Config, to: &Path, with_keys: bool) -> Result<(BackedUp, Manifest), CliError> {
    let data = to.join("data");
    make_folder(&data)?;
    let store = Store::open_read_only(&config.data_dir)
        .map_err(|error| CliError::new(Exit::Failed, error))?;
    let found = store.identity().federation_id;
    if found != config.federation_id {
        let what = format!(
            "{} is of federation {found}, the configuration names {}",
            config.data_dir.display(),
            config.federation_id
        );
        return Err(CliError::new(Exit::Integrity, what));
    }
    let facts = store
        .back_up(&config.gate_file, &data)
        .map_err(|error| CliError::new(Exit::Failed, error))?;
    let mut manifest = Manifest::of(config, &facts);
    for file in BACKED_UP.into_iter().chain([StoreFile::Gate]) {
        let path = data.join(file.name());
        if file != StoreFile::Gate || facts.gate.is_some() {
            manifest.add(&format!("data/{}", file.name()), digest_of(&path)?);
        }
    }
    if with_keys {
        let keys = to.join(KEYS);
        make_folder(&keys)?;
        for path in files_in(&config.keys_dir)? {
            let Some(name) = path.file_name() else { continue };
            let copied = keys.join(name);
            fs::copy(&path, &copied).map_err(|error| unwritable(&copied, &error))?;
            sync(&copied)?;
            manifest.add(&format!("{KEYS}/{}", name.to_string_lossy()), digest_of(&copied)?);
        }
        sync_folder(&keys)?;
    }
    super::files::replace(&to.join(MANIFEST), manifest.to_json().to_string().as_bytes())?;
    sync_folder(&data)?;
    sync_folder(to)?;
    Ok((facts, manifest))
}

/// Removes what an interrupted run left under a name of ours. Anything that stayed would become part of the next one.
pub(super) fn remove_leftover(path: &Path) -> Result<(), CliError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let what = format!("{} cannot be removed: {error}; remove it yourself", path.display());
            Err(CliError::new(Exit::Failed, what))
        }
        _ => Ok(()),
    }
}

/// A folder for its owner alone.
pub(super) fn make_folder(path: &Path) -> Result<(), CliError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| unwritable(path, &error))
}

/// The plain files of a folder, by name.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |error: &std::io::Error| {
        CliError::new(Exit::Failed, format!("{} cannot be read: {error}", folder.display()))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        let path = entry.map_err(|error| unreadable(&error))?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()))
}

/// Makes a file's bytes durable.
pub(super) fn sync(path: &Path) -> Result<(), CliError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| unwritable(path, &error))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), CliError> {
    sync(path)
}

pub(super) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `name.ending` beside `name`.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
