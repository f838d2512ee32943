//! What a backup says of itself: whose it is, what it holds, and the digest of each of its files.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sundbro_store::backup::BackedUp;

use super::{CliError, Exit};
use crate::config::Config;

/// Its name in a backup.
pub(super) const MANIFEST: &str = "backup.json";
/// Layout of the manifest and of the folders beside it. A newer one is refused.
const FORMAT: u32 = 1;

/// The manifest, as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    format: u32,
    /// Whose gateway.
    pub member: String,
    /// The federation, 64 hexadecimal digits.
    pub federation_id: String,
    /// Which software made it.
    software: String,
    /// When, in seconds since 1970, by this machine's clock.
    pub made_unix_seconds: i64,
    /// How many entries of our own log it holds.
    pub own_log_size: u64,
    /// Root of our own log at that size.
    pub own_log_root: String,
    /// Start of the gateway that ran last, by its signing gate.
    pub incarnation: Option<u32>,
    /// How many logs it holds.
    pub logs: usize,
    /// Its files, by their paths in it.
    pub files: BTreeMap<String, FileFacts>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileFacts {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    pub(super) fn of(config: &Config, facts: &BackedUp) -> Self {
        Self {
            format: FORMAT,
            member: config.member.to_string(),
            federation_id: config.federation_id.to_string(),
            software: concat!("sundbro/", env!("CARGO_PKG_VERSION")).to_owned(),
            made_unix_seconds: crate::clock::unix_seconds(),
            own_log_size: facts.size,
            own_log_root: facts.root.to_string(),
            incarnation: facts.gate.map(|gate| gate.incarnation),
            logs: facts.logs,
            files: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, path: &str, file: FileFacts) {
        self.files.insert(path.to_owned(), file);
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        // It holds numbers, text and maps by text: nothing that JSON cannot say.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Reads the manifest of a backup, and compares every file with it.
    pub(super) fn read(backup: &Path) -> Result<Self, CliError> {
        let path = backup.join(MANIFEST);
        let wrong = |what: String| CliError::new(Exit::Integrity, what);
        let bytes = super::files::read(&path)?;
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("{} is no manifest: {error}", path.display())))?;
        if manifest.format != FORMAT {
            let what = format!(
                "{} is of format {}, this version knows {FORMAT}: use a newer version",
                path.display(),
                manifest.format
            );
            return Err(CliError::new(Exit::Usage, what));
        }
        for (name, facts) in &manifest.files {
            // The manifest may come from anywhere; what it names lies inside the backup.
            let inside = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let path = backup.join(name);
            if !inside || digest_of(&path)? != *facts {
                let what = format!(
                    "{} is not what was backed up: its digest differs; use another backup",
                    path.display()
                );
                return Err(wrong(what));
            }
        }
        Ok(manifest)
    }
}

/// Length and digest of a file, which is read once and not held.
pub(super) fn digest_of(path: &Path) -> Result<FileFacts, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::new(Exit::Failed, format!("{} cannot be read: {error}", path.display()))
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut part = vec![0; 256 * 1024];
    loop {
        match file.read(&mut part).map_err(unreadable)? {
            0 => break,
            read => {
                hash.update(&part[..read]);
                bytes += read as u64;
            }
        }
    }
    Ok(FileFacts { bytes, sha256: hex::encode(hash.finalize()) })
}
