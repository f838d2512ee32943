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
