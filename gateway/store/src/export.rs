//! Writes a log as C2SP tlog-tiles, so that tools which know nothing of us can check it.
//!
//! The target appears whole or not at all: everything is written and synced beside it and then renamed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use sundbro_ledger::ids::LogId;
use sundbro_ledger::merkle::NodeReader;
use sundbro_ledger::tiles::{BUNDLE_ENTRIES, TILE_HEIGHT, entries_path, tiles_of, write_bundle};

use crate::disk::{Disk, OsDisk, folder_of};
use crate::error::{ExportError, ServeError};
use crate::hashes::StoredNodes;
use crate::logs::{entries_in, log_key};
use crate::store::Store;
use crate::tables::HASHES;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Tree size of the checkpoint.
    pub size: u64,
    /// Files written.
    pub files: u64,
}

/// The folder that is written before it gets its name; gone when the export fails.
struct Draft {
    folder: PathBuf,
    files: u64,
    kept: bool,
}

impl Store {
    /// Writes `checkpoint`, `tile/…` and `tile/entries/…` of a log into a folder that does not exist yet or is empty.
    ///
    /// Exports the newest checkpoint that is wholly here, and the tree that it commits to.
    ///
    /// # Errors
    /// Fails when the target holds something, when there is no checkpoint, and when a disk fails; the target is then
    /// as it was.
    pub fn export_log(&self, log: &LogId, target: &Path) -> Result<Exported, ExportError> {
        refuse_filled(target)?;
        let checkpoint = self.checkpoint(log)?.ok_or(ExportError::NoCheckpoint(*log))?;
        let mut draft = Draft::beside(target)?;
        draft.write("checkpoint", &checkpoint.note)?;
        for tile in tiles_of(checkpoint.size) {
            // One view for each tile: a log of any size is exported without holding old pages.
            let view = self.reaching(log, checkpoint.size)?;
            let nodes = StoredNodes::new(&view, &HASHES, &log_key(log))?;
            let mut bytes = Vec::with_capacity(usize::from(tile.width) * 32);
            let first = tile.index << TILE_HEIGHT;
            for index in first..first + u64::from(tile.width) {
                let hash = nodes.node(tile.level * TILE_HEIGHT, index);
                bytes.extend_from_slice(hash.map_err(ServeError::Store)?.as_bytes());
            }
            draft.write(&tile.path(), &bytes)?;
        }
        for start in (0..checkpoint.size).step_by(BUNDLE_ENTRIES as usize) {
            let end = checkpoint.size.min(start + BUNDLE_ENTRIES);
            let entries = entries_in(&self.reaching(log, end)?, log, start..end)?;
            let bundle = write_bundle(entries.iter().map(|entry| &entry[..]));
            let bundle = bundle.map_err(|error| ExportError::Io {
                path: target.to_owned(),
                source: std::io::Error::other(error),
            })?;
            // A bundle has at most 256 entries; the full one is written as 256 too.
            draft.write(&entries_path(start / BUNDLE_ENTRIES, (end - start) as u16), &bundle)?;
        }
        let files = draft.files;
        draft.keep(target)?;
        Ok(Exported { size: checkpoint.size, files })
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ExportError + '_ {
    |source| ExportError::Io { path: path.to_owned(), source }
}

fn refuse_filled(target: &Path) -> Result<(), ExportError> {
    let mut items = match fs::read_dir(target) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(target)(error)),
    };
    if items.next().is_some() {
        return Err(ExportError::NotEmpty(target.to_owned()));
    }
    Ok(())
}

impl Draft {
    fn beside(target: &Path) -> Result<Self, ExportError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let folder = target.with_file_name(name);
        if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        fs::create_dir(&folder).map_err(io(&folder))?;
        Ok(Self { folder, files: 0, kept: false })
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        let mut file = File::create_new(&path).map_err(io(&path))?;
        file.write_all(bytes).map_err(io(&path))?;
        file.sync_all().map_err(io(&path))?;
        self.files += 1;
        Ok(())
    }

    fn keep(mut self, target: &Path) -> Result<(), ExportError> {
        fs::rename(&self.folder, target).map_err(io(target))?;
        // From here the export is there under its name, whole.
        self.kept = true;
        OsDisk.sync_folder(&folder_of(target)).map_err(io(target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // The error that brought us here is the one to report.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
