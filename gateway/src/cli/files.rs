//! Files that commands read and write: charters, cards, receipts. Read within limits, written whole or not at all.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use prost::Message;
use sundbro_ledger::charter::Charter;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_ledger::ids::FederationId;
use sundbro_proto::ledger::v1;

use super::{CliError, Exit};

/// Largest charter, card or receipt file in bytes: a charter of 2,000 members is some 2 MB.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Ending of charter files.
const CHARTER_ENDING: &str = "charter";

fn failed(what: String) -> CliError {
    CliError::new(Exit::Failed, what)
}

/// Reads a file within the limit.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let unreadable =
        |error| CliError::new(Exit::Usage, format!("{} cannot be read: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let what = format!("{} is longer than {MAX_FILE_BYTES} bytes", path.display());
        return Err(CliError::new(Exit::Usage, what));
    }
    Ok(bytes)
}

/// Reads one message.
pub(super) fn read_message<M: Message + Default>(path: &Path, what: &str) -> Result<M, CliError> {
    M::decode(&read(path)?[..])
        .map_err(|_| CliError::new(Exit::Integrity, format!("{} is no {what}", path.display())))
}

/// Writes a file that must not be there yet.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    if path.exists() {
        let what = format!("{} exists already: choose another name", path.display());
        return Err(CliError::new(Exit::Usage, what));
    }
    replace(path, bytes)
}

/// Writes a file, in place of one that is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let unwritable = |error| failed(format!("{} cannot be written: {error}", path.display()));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
    file.write_all(bytes).map_err(unwritable)?;
    file.as_file().sync_all().map_err(unwritable)?;
    file.persist(path).map(drop).map_err(|error| unwritable(error.error))
}

/// The charter files that paths mean: a file is itself, a folder is every `*.charter` in it.
fn charter_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path)
            .map_err(|error| failed(format!("{} cannot be read: {error}", path.display())))?;
        for entry in entries.flatten() {
            let file = entry.path();
            if file.extension().is_some_and(|ending| ending == CHARTER_ENDING) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Reads charter versions, and follows them from version 1 as far as they go. All of them must be followed in the end, but
/// what a healed version left behind.
///
/// With `expected`, the federation must be that one.
pub(super) fn read_history(
    paths: &[PathBuf],
    expected: Option<&FederationId>,
) -> Result<CharterHistory, CliError> {
    let history = read_forked_history(paths, expected)?;
    let Some(fork) = history.fork() else { return Ok(history) };
    let what = format!(
        "charter version {} exists twice ({} and {}): nothing follows it until it is healed, see `sundbro charter \
         propose --heal`",
        fork.version,
        fork.a.digest(),
        fork.b.digest()
    );
    Err(CliError::new(Exit::Integrity, what))
}

/// As [`read_history`], where the newest version may stand twice: what a version that heals it is drafted from.
pub(super) fn read_forked_history(
    paths: &[PathBuf],
    expected: Option<&FederationId>,
) -> Result<CharterHistory, CliError> {
    let mut charters = Vec::new();
    for file in charter_files(paths)? {
        let wire: v1::Charter = read_message(&file, "charter")?;
        let charter = Charter::from_wire(&wire).map_err(|error| {
            let what = format!("{} is no valid charter: {}", file.display(), chain(&error));
            CliError::new(Exit::Integrity, what)
        })?;
        charters.push((file, charter));
    }
    charters.sort_by_key(|(_, charter)| charter.version());
    let mut charters = charters.into_iter();
    let Some((file, first)) = charters.next() else {
        let what = "no charter was given: name files, or a folder of *.charter files";
        return Err(CliError::new(Exit::Usage, what));
    };
    let refuse = |file: &Path, error: &dyn std::error::Error| {
        let what = format!("{} is not followed: {}", file.display(), chain(error));
        CliError::new(Exit::Integrity, what)
    };
    let mut history = match expected {
        Some(expected) => CharterHistory::join(expected, first),
        None => CharterHistory::found(first),
    }
    .map_err(|error| refuse(&file, &error))?;
    for (file, charter) in charters {
        match history.offer(charter).map_err(|error| refuse(&file, &error))? {
            // It is a head that nobody follows, or stands on one.
            Offered::Fork(_) | Offered::Unhealed { .. } => {}
            Offered::Accepted | Offered::Known | Offered::MoreSignatures => {}
            Offered::Gap { next } => {
                let what = format!("charter version {next} is missing before {}", file.display());
                return Err(CliError::new(Exit::Usage, what));
            }
            Offered::OtherBranch { fetch } => {
                let what = format!(
                    "{} follows another version {fetch} than the one that was given",
                    file.display()
                );
                return Err(CliError::new(Exit::Integrity, what));
            }
            Offered::AwaitsHealers { .. } => {
                let what = format!(
                    "{} heals a fork and is not signed by enough of those who may: collect the other signatures",
                    file.display()
                );
                return Err(CliError::new(Exit::Integrity, what));
            }
        }
    }
    Ok(history)
}

use crate::status::chain;
