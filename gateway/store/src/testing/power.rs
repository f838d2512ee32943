//! What a disk in memory holds after the power was cut.

use std::path::{Path, PathBuf};

use super::file::{Change, FileId, Image, MemoryFile};
use super::{MemoryDisk, State};

/// A name that is seen and not durable yet.
#[derive(Clone)]
pub(super) enum NameChange {
    Create { path: PathBuf, id: FileId },
    Rename { from: PathBuf, to: PathBuf, id: FileId },
}

/// What becomes of everything that was not synced when the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// It is gone.
    Lost,
    /// It is all there: the process died and the machine did not.
    Kept,
    /// By this seed each write and each name is gone, there, or, of a write, there up to some byte.
    Torn(u64),
}

/// Numbers that look random and are the same for one seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        // Seeds that lie side by side must not give sequences that do.
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of `sides` numbers from 0.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % sides.max(1)
    }
}

impl NameChange {
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Create { path, .. } | Self::Rename { to: path, .. } => path.parent(),
        }
    }

    fn apply(&self, state: &mut State) {
        match self {
            Self::Create { path, id } => {
                state.durable_names.insert(path.clone(), *id);
            }
            Self::Rename { from, to, id } => {
                // A file that took the name `from` since is another one.
                if state.durable_names.get(from) == Some(id) {
                    state.durable_names.remove(from);
                }
                state.durable_names.insert(to.clone(), *id);
            }
        }
    }
}

impl State {
    pub(super) fn sync_names(&mut self, folder: &Path) {
        let changes = core::mem::take(&mut self.name_changes);
        for change in changes {
            if change.folder() == Some(folder) {
                change.apply(self);
            } else {
                self.name_changes.push(change);
            }
        }
    }
}

impl MemoryDisk {
    /// The disk as it is found after the power was cut now: another one, that works. This one stays as it is.
    pub fn after_power_cut(&self, unsynced: Unsynced) -> Self {
        let mut dice = Dice::new(if let Unsynced::Torn(seed) = unsynced { seed } else { 0 });
        let state = self.state();
        let mut after = State { durable_names: state.durable_names.clone(), ..State::default() };
        for change in &state.name_changes {
            if unsynced == Unsynced::Kept || unsynced != Unsynced::Lost && dice.roll(2) == 0 {
                change.apply(&mut after);
            }
        }
        for (id, file) in &state.files {
            let image = match unsynced {
                Unsynced::Kept => file.seen.clone(),
                Unsynced::Lost => file.durable.clone(),
                Unsynced::Torn(_) => torn(file, &mut dice),
            };
            after.files.insert(*id, MemoryFile::durable(image));
        }
        after.names = after.durable_names.clone();
        let disk = Self::new();
        *disk.state() = after;
        disk
    }
}

/// Each write apart, in the order in which they were made: two writes of one place do not change places on a disk.
fn torn(file: &MemoryFile, dice: &mut Dice) -> Image {
    let mut image = file.durable.clone();
    for (change, _) in &file.changes {
        match (dice.roll(3), change) {
            (0, _) => {}
            (1, Change::Write { offset, data }) => {
                let there = dice.roll(data.len() as u64) as usize;
                image.write(*offset, &data[..there]);
            }
            _ => change.apply(&mut image),
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::disk::Disk;
    use crate::testing::Fault;

    fn path(name: &str) -> PathBuf {
        Path::new("/disk").join(name)
    }

    fn seen(disk: &MemoryDisk, unsynced: Unsynced) -> Option<Vec<u8>> {
        disk.after_power_cut(unsynced).contents(&path("file"))
    }

    #[test]
    fn bytes_are_durable_after_their_sync_and_a_name_after_that_of_its_folder() {
        let disk = MemoryDisk::new();
        let mut file = disk.create(&path("new")).expect("create");
        file.write_all(b"first").expect("write");
        disk.rename(&path("new"), &path("file")).expect("rename");
        assert_eq!(seen(&disk, Unsynced::Kept).as_deref(), Some(&b"first"[..]));
        assert_eq!(seen(&disk, Unsynced::Lost), None);
        disk.sync_folder(Path::new("/disk")).expect("sync");
        assert_eq!(seen(&disk, Unsynced::Lost).as_deref(), Some(&b""[..]), "a name without bytes");
        file.sync().expect("sync");
        assert_eq!(seen(&disk, Unsynced::Lost).as_deref(), Some(&b"first"[..]));
    }

    #[test]
    fn what_a_failed_sync_lost_is_seen_until_the_power_goes_and_not_written_by_the_next_sync() {
        let disk = MemoryDisk::new();
        let file = disk.open(&path("file")).expect("open");
        disk.sync_folder(Path::new("/disk")).expect("sync");
        file.write(0, b"lost").expect("write");
        disk.fail_at(disk.operations(), Fault::FailBefore);
        assert!(file.sync_data().is_err());
        file.write(4, b"kept").expect("write");
        file.sync_data().expect("sync");
        assert_eq!(disk.contents(&path("file")).as_deref(), Some(&b"lostkept"[..]));
        assert_eq!(seen(&disk, Unsynced::Lost).as_deref(), Some(&b"\0\0\0\0kept"[..]));
    }

    #[test]
    fn by_some_seed_a_write_is_lost_by_some_it_is_there_and_by_some_it_is_torn() {
        let disk = MemoryDisk::new();
        let file = disk.open(&path("file")).expect("open");
        disk.sync_folder(Path::new("/disk")).expect("sync");
        file.write(0, &[7; 100]).expect("write");
        let lens: Vec<_> = (0..50)
            .filter_map(|seed| seen(&disk, Unsynced::Torn(seed)).map(|bytes| bytes.len()))
            .collect();
        assert!(lens.contains(&0) && lens.contains(&100), "{lens:?}");
        assert!(lens.iter().any(|len| (1..100).contains(len)), "{lens:?}");
        assert_eq!(seen(&disk, Unsynced::Torn(3)), seen(&disk, Unsynced::Torn(3)));
    }
}
