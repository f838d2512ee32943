//! Runs a path with each of its operations gone wrong, and looks at what is left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sundbro_store::Store;
use sundbro_store::tables::StoreFile;
use sundbro_store::testing::{Fault, Habits, MemoryDisk, Unsynced};
use sundbro_store::verify::verify_on;

use crate::common::try_append;
use crate::paths::Path;
use crate::rows::{Everything, difference, dir, everything, on_the_way, rows, without_counters};
use crate::world::World;

/// Seeds by which what was not synced is torn, for each operation.
const SEEDS: u64 = 1;

pub fn scale() -> u64 {
    std::env::var("SUNDBRO_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// What is left of what was not synced, in turn.
pub fn cuts(operation: u64) -> Vec<Unsynced> {
    let seeds = SEEDS * scale();
    let torn = (0..seeds).map(|seed| Unsynced::Torn(operation * seeds + seed));
    [Unsynced::Lost, Unsynced::Kept].into_iter().chain(torn).collect()
}

/// A path's clean run.
pub struct Clean<'a> {
    pub path: &'a Path,
    pub world: World,
    /// The store before the path, closed.
    base: MemoryDisk,
    /// Every row before the first step and after each.
    states: Vec<Everything>,
    /// The number of its first operation, and of the first after it and the closing of the store.
    operations: core::ops::Range<u64>,
}

impl<'a> Clean<'a> {
    pub fn new(path: &'a Path) -> Self {
        let world = World::new();
        let used = world.used();
        let store = world.open(&used).expect("open");
        (path.before)(&store, &world);
        drop(store);
        let base = used.after_power_cut(Unsynced::Kept);
        let disk = base.after_power_cut(Unsynced::Kept);
        let store = world.open(&disk).expect("open");
        let mut states = vec![everything(&disk)];
        let start = disk.operations();
        for step in &path.steps {
            (step.act)(&store, &world).expect("without a fault");
            states.push(everything(&disk));
        }
        drop(store);
        let operations = start..disk.operations();
        assert_eq!(&everything(&disk), states.last().expect("a state"), "closing changes nothing");
        Self { path, world, base, states, operations }
    }

    /// Runs the path on a disk where one operation goes wrong. The store, and how many steps were acknowledged.
    fn run(&self, operation: u64, fault: Fault, habits: Habits) -> (MemoryDisk, Store, usize) {
        let disk = self.base.after_power_cut(Unsynced::Kept);
        let store = self.world.open(&disk).expect("open");
        disk.set_habits(habits);
        disk.fail_at(operation, fault);
        let acknowledged = self.go_on(&store, 0);
        (disk, store, acknowledged)
    }

    /// Does the steps from this one on, until one fails.
    fn go_on(&self, store: &Store, from: usize) -> usize {
        let failed = |step: &usize| (self.path.steps[*step].act)(store, &self.world).is_err();
        (from..self.path.steps.len()).find(failed).unwrap_or(self.path.steps.len())
    }

    /// Whether what a disk holds is what may be there after so many acknowledged steps.
    fn old_or_new(&self, found: &Everything, acknowledged: usize) -> Result<(), String> {
        let old = &self.states[acknowledged];
        let Some(step) = self.path.steps.get(acknowledged) else {
            return on_the_way(found, old, old, &[]);
        };
        let new = &self.states[acknowledged + 1];
        let direct = on_the_way(found, old, new, step.files);
        let Some(file) = step.cleared.filter(|_| direct.is_err()) else { return direct };
        let mut cleared = old.clone();
        cleared.get_mut(&file).expect("a file").retain(|(table, _), _| table == "meta");
        on_the_way(found, old, &cleared, &[file]).or(on_the_way(found, &cleared, new, step.files))
    }

    /// What is left after the power was cut: old or new, sound, and a store that goes on.
    fn after_cut(&self, disk: &MemoryDisk, acknowledged: usize) -> Result<(), String> {
        let found = everything(disk);
        self.old_or_new(&found, acknowledged)?;
        self.sound(disk)?;
        let store = self.world.open(disk).map_err(|error| format!("does not open: {error}"))?;
        self.finishes(disk, store, acknowledged, &found)
    }

    fn sound(&self, disk: &MemoryDisk) -> Result<(), String> {
        let report = verify_on(disk.shared(), dir(), &self.world.keys, None);
        let report = report.map_err(|error| format!("cannot be verified: {error}"))?;
        if report.is_sound() { Ok(()) } else { Err(format!("damaged: {:?}", report.damages)) }
    }

    /// An opened store does the rest and one more entry; nothing that was there before is another thing now.
    fn finishes(
        &self,
        disk: &MemoryDisk,
        store: Store,
        acknowledged: usize,
        before: &Everything,
    ) -> Result<(), String> {
        if let Some(stop) = store.signing_stop() {
            return Err(stop.to_string());
        }
        let done = self.go_on(&store, acknowledged);
        if done < self.path.steps.len() {
            return Err(format!("step {done} still fails"));
        }
        let size = self.world.own_size(&store);
        let entry = try_append(&store, &self.world.owner, vec![self.world.draft(200)]);
        let entry = entry.map_err(|error| format!("signs no more: {error}"))?;
        if entry.outcomes[0].as_ref().map(|it| (it.position, it.replayed)) != Ok((size, false)) {
            return Err(format!("the next entry is not at {size}: {:?}", entry.outcomes));
        }
        drop(store);
        let after = rows(disk, StoreFile::Ledger);
        let changed = before[&StoreFile::Ledger]
            .iter()
            .find(|(key, value)| key.0 == "entries" && after.get(*key) != Some(*value));
        changed.map_or(Ok(()), |_| Err("an entry was signed twice".to_owned()))
    }

    /// The same process after an error, a restart without a power cut, and a power cut in the end.
    fn after_error(&self, disk: MemoryDisk, store: Store, done: usize) -> Result<(), String> {
        let found = everything(&disk.after_power_cut(Unsynced::Lost));
        self.old_or_new(&found, done).map_err(|problem| format!("cut then: {problem}"))?;
        // The fault is gone, and whoever asks again is served.
        let done = self.go_on(&store, done);
        if done < self.path.steps.len() {
            return Err(format!("step {done} fails without a fault"));
        }
        drop(store);
        let found = everything(&disk);
        // A step that was done twice has counted its writes twice.
        let (twice, once) = (without_counters(&found), without_counters(&self.states[done]));
        for (file, rows) in &twice {
            if *rows != once[file] {
                return Err(format!("done again: {file}: {}", difference(rows, &once[file])));
            }
        }
        let store = self.world.open(&disk).map_err(|error| format!("does not open: {error}"))?;
        self.finishes(&disk, store, done, &found)?;
        self.sound(&disk)?;
        // All of it was acknowledged, so all of it is there without what was never synced.
        let (kept, lost) = (everything(&disk), everything(&disk.after_power_cut(Unsynced::Lost)));
        for (file, rows) in &kept {
            if *rows != lost[file] {
                return Err(format!("{file} loses what was acknowledged"));
            }
        }
        Ok(())
    }

    /// Every operation, failed before and after its effect. How many cases there were, and what went wrong.
    fn errors(&self) -> Found {
        let mut found = Found::default();
        for operation in self.operations.clone() {
            for fault in [Fault::FailBefore, Fault::FailAfter] {
                let (disk, store, done) = self.run(operation, fault, Habits::default());
                let asked = disk.operation(operation);
                // A fault in the closing happens when the store is dropped.
                let result = self.after_error(disk, store, done);
                found.look(format!("operation {operation}, {fault:?} {asked:?}"), result);
            }
        }
        found
    }

    /// Every operation, cut with the power, on a disk that has these habits besides.
    pub fn power_cuts(&self, habits: Habits) -> Found {
        let mut found = Found::default();
        for operation in self.operations.clone() {
            let (disk, store, done) = self.run(operation, Fault::PowerCut, habits);
            drop(store);
            let asked = disk.operation(operation);
            assert!(disk.has_failed(), "operation {operation} did not come");
            for cut in cuts(operation) {
                let left = disk.after_power_cut(cut);
                left.set_habits(habits);
                // redb panics on pages that a lying disk has forgotten.
                let result = catch_unwind(AssertUnwindSafe(|| self.after_cut(&left, done)));
                let result = result.unwrap_or_else(|_| Err("panicked".to_owned()));
                found.look(format!("operation {operation}, {cut:?} {asked:?}"), result);
            }
        }
        found
    }

    pub fn operations(&self) -> u64 {
        self.operations.end - self.operations.start
    }
}

/// How many cases there were, and what was wrong in which.
#[derive(Default)]
pub struct Found {
    pub cases: u64,
    pub wrong: Vec<String>,
}

impl Found {
    pub fn look(&mut self, case: String, result: Result<(), String>) {
        self.cases += 1;
        self.wrong.extend(result.err().map(|problem| format!("{case}: {problem}")));
    }

    /// Prints the line of a path of which every case was as it must be.
    pub fn tell(&self, name: &str, operations: u64) {
        let few = self.wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n  ");
        let (wrong, cases) = (self.wrong.len(), self.cases);
        assert!(wrong == 0, "{name}: {wrong} of {cases} cases:\n  {few}");
        println!("{name}: {operations} operations, {cases} cases, all old or new");
    }
}

/// Runs the matrix of one path and prints its line.
pub fn run(path: &Path) {
    let clean = Clean::new(path);
    let (errors, mut cuts) = (clean.errors(), clean.power_cuts(Habits::default()));
    cuts.cases += errors.cases;
    cuts.wrong.extend(errors.wrong);
    cuts.tell(path.name, clean.operations());
}
