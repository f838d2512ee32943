//! Writes key and certificate files so that a reader never sees half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be written: check that the folder exists and is yours")]
pub struct WriteError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Writes a file that only its owner may read (mode 0600 from its first byte), over an older one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(path, bytes, 0o600).map_err(|cause| WriteError { path: path.to_owned(), cause })
}

/// Writes a file that anybody may read, over an older one.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    replace(path, bytes, 0o644).map_err(|cause| WriteError { path: path.to_owned(), cause })
}

/// Writes beside the target and renames: a gateway that watches the folder reads the old file or the new
/// one, and a crash leaves one of them.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    // A leftover of a crash may carry another mode; `create_new` below would refuse it.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create(&beside, mode)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
