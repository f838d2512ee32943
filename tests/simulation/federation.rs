//! A simulated federation: its processes, disks, lines and local systems, and what can happen to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use sundbro_store::disk::Disk as _;
use sundbro_store::tables::StoreFile;
use sundbro_store::testing::{Dice, Fault, Forgets, Habits, MemoryDisk, Unsynced};

use crate::executor::{Executor, Owner, WORLD};
use crate::founders;
use crate::invariants::{self, Judgement};
use crate::journal::{Cast, Journal};
use crate::malice::Malice;
use crate::network::{Network, keep_connected};
use crate::process::{self, FOLDER, Process};
use crate::source::{Source, offer};

/// Records of a second gateway of the dishonest member begin here.
const INVENTED: u64 = 1_000_000;

/// What happened so far; whoever runs the story keeps a copy, for it may end in a panic.
pub type Story = Rc<RefCell<Vec<String>>>;

/// A federation in the middle of its story.
pub struct Federation {
    pub executor: Executor,
    pub network: Rc<Network>,
    pub charters: founders::Federation,
    pub cast: Cast,
    pub names: Vec<String>,
    pub running: BTreeMap<Owner, Rc<Process>>,
    pub sources: Vec<Rc<Source>>,
    pub journal: Rc<RefCell<Journal>>,
    pub dice: Dice,
    /// The disk of each member's machine while no process of it runs.
    pub idle: BTreeMap<usize, MemoryDisk>,
    /// Whether the victim's machine may be restored, copied, or lie.
    pub has_accidents: bool,
    /// Copies of the victim's disk, the oldest first.
    pub backups: Vec<MemoryDisk>,
    pub paused: Vec<Owner>,
    /// Whose power goes at some operation that is still to come.
    doomed: RefCell<BTreeMap<Owner, bool>>,
    lines: BTreeMap<(Owner, Owner), Owner>,
    owners: Owner,
    keys_folder: PathBuf,
    began: tokio::time::Instant,
    /// What happened, for people.
    pub story: Story,
}

impl Federation {
    /// Founds it by the dice; every machine is off.
    pub fn found(seed: u64, keys_folder: PathBuf, story: Story) -> Self {
        let mut dice = Dice::new(seed);
        process::salts::begin(seed);
        // Three to seven, few more often than many: what a story takes grows with their square.
        let members = 3 + dice.roll(5).min(dice.roll(5)) as usize;
        let byzantine = (dice.roll(4) > 0).then(|| dice.roll(members as u64) as usize);
        // Of two others no quorum outweighs a dishonest one, so a machine that forgets what it promised is too much then.
        let is_small = members == 3 && byzantine.is_some();
        let mut victim = dice.roll(members as u64) as usize;
        if byzantine == Some(victim) {
            victim = (victim + 1) % members;
        }
        let names: Vec<String> = (0..members).map(|at| format!("m{at}.example")).collect();
        let texts: Vec<&str> = names.iter().map(String::as_str).collect();
        // Every set that answers for a start meets every set that witnessed in one honest member.
        let others = members as u32 - 1;
        let outweighed = u32::from(byzantine.is_some() && !is_small);
        let recovery = if is_small { 1 } else { others / 2 + 1 };
        let witness = others + 1 + outweighed - recovery;
        let charters = founders::Federation::settled(1, &texts, |draft| {
            draft.set_quorums(recovery, witness);
        });
        let witnesses = witness as usize - usize::from(byzantine.is_some());
        let cast = Cast { members, byzantine, victim, witnesses };
        story.borrow_mut().push(format!(
            "{members} members, dishonest {byzantine:?}, victim {victim}, quorums {recovery} and {witness}"
        ));
        let logs = names.iter().map(|name| charters.log(name)).collect();
        let malice = byzantine.map(|member| Malice::new(member, Dice::new(dice.roll(u64::MAX))));
        Self {
            executor: Executor::new(Dice::new(dice.roll(u64::MAX))),
            network: Rc::new(Network::new(Dice::new(dice.roll(u64::MAX)), malice)),
            journal: Rc::new(RefCell::new(Journal::new(cast.clone(), logs))),
            sources: (0..members).map(|_| Rc::new(Source::new())).collect(),
            idle: (0..members).map(|member| (member, MemoryDisk::new())).collect(),
            story,
            charters,
            cast,
            names,
            has_accidents: !is_small,
            running: BTreeMap::new(),
            backups: Vec::new(),
            paused: Vec::new(),
            doomed: RefCell::default(),
            lines: BTreeMap::new(),
            owners: WORLD,
            keys_folder,
            began: tokio::time::Instant::now(),
            dice,
        }
    }

    pub fn tell(&mut self, what: String) {
        let at = self.began.elapsed().as_secs_f32();
        self.story.borrow_mut().push(format!("{at:>7.3} s  {what}"));
    }

    fn owner(&mut self) -> Owner {
        self.owners += 1;
        self.owners
    }

    pub fn processes(&self) -> Vec<Rc<Process>> {
        self.running.values().cloned().collect()
    }

    pub fn honest(&self) -> Vec<Rc<Process>> {
        let mut all = self.processes();
        all.retain(|process| self.cast.is_honest(process.member));
        all
    }

    pub fn of_member(&self, member: usize) -> Vec<Rc<Process>> {
        let mut all = self.processes();
        all.retain(|process| process.member == member);
        all
    }

    /// Starts a gateway of a member on a disk, and connects it with everybody else.
    pub fn start(&mut self, member: usize, disk: MemoryDisk, offset: u64) -> Judgement {
        let number = self.owner();
        let who = (member, self.names[member].as_str());
        let lies = disk.lies();
        let started =
            process::start(&self.executor, &self.charters, &self.keys_folder, who, number, disk);
        let process = match started {
            Ok(process) => process,
            // A disk that lied may hold nothing that can be used: its owner begins with an empty one.
            Err(_) if lies || self.journal.borrow().accidents.contains(&member) => {
                self.executor.end(number);
                self.tell(format!("m{member} begins anew on an empty disk"));
                self.accident(true);
                return self.start(member, MemoryDisk::new(), offset);
            }
            Err(error) => {
                return Err(format!(
                    "invariant_a_store_opens: m{member} does not start: {error:?}"
                ));
            }
        };
        let (source, journal) = (Rc::clone(&self.sources[member]), Rc::clone(&self.journal));
        self.executor.spawn(number, "source", offer(Rc::clone(&process), source, journal, offset));
        self.journal.borrow_mut().look(&process);
        for other in self.processes() {
            if other.member == member {
                continue;
            }
            let line = self.owner();
            let pair = (Rc::clone(&other), Rc::clone(&process));
            let (executor, network) = (self.executor.clone(), Rc::clone(&self.network));
            self.executor.spawn(line, "connection", keep_connected(executor, network, line, pair));
            self.lines.insert((other.number, number), line);
        }
        self.running.insert(number, process);
        Ok(())
    }

    /// Ends a process where it stands. Gives its disk as it was left.
    pub fn end(&mut self, number: Owner, unsynced: Unsynced) -> MemoryDisk {
        let process = self.running.remove(&number).expect("it runs");
        self.journal.borrow_mut().look(&process);
        self.executor.end(number);
        for (_, line) in self.lines.extract_if(.., |(a, b), _| *a == number || *b == number) {
            self.executor.end(line);
        }
        self.paused.retain(|paused| *paused != number);
        self.doomed.borrow_mut().remove(&number);
        self.journal.borrow_mut().forget(number);
        process.disk.after_power_cut(unsynced)
    }

    /// The power of a process's machine goes at the operation that many from now.
    pub fn doom(&self, number: Owner, operations: u64) {
        let disk = &self.running[&number].disk;
        disk.fail_at(disk.operations() + operations, Fault::PowerCut);
        self.doomed.borrow_mut().insert(number, false);
    }

    /// Whose power has gone.
    pub fn dead(&self) -> Vec<Owner> {
        self.doomed.borrow().iter().filter(|(_, is_dead)| **is_dead).map(|(of, _)| *of).collect()
    }

    pub fn is_doomed(&self, number: Owner) -> bool {
        self.doomed.borrow().contains_key(&number)
    }

    /// Lets time pass.
    pub async fn run_for(&self, time: Duration) {
        let polled = |owner: Owner| {
            let Some(process) = self.running.get(&owner) else { return };
            if let Some(is_dead) = self.doomed.borrow_mut().get_mut(&owner)
                && process.disk.has_failed()
                && !*is_dead
            {
                *is_dead = true;
                self.executor.hold(owner);
            }
            if process.heads.borrow().has_changed().unwrap_or(false) {
                process.heads.borrow_mut().mark_unchanged();
                self.journal.borrow_mut().look(process);
            }
            let (before, now) = (*process.disk_time.borrow(), process.disk.passed());
            if now > before {
                *process.disk_time.borrow_mut() = now;
                self.executor.hold_for(owner, now - before);
            }
        };
        self.executor.run_for(time, polled).await;
    }

    /// Judges what is so now.
    pub fn judge(&self) -> Judgement {
        let running = self.processes();
        for process in &running {
            self.journal.borrow_mut().look(process);
        }
        invariants::after_an_event(&self.journal.borrow(), &self.network, &running)
    }

    /// The victim's machine has an accident that takes back what it promised.
    pub fn accident(&self, is_gate_lost: bool) {
        let victim = self.cast.victim;
        for process in self.honest() {
            self.journal.borrow_mut().look(&process);
        }
        let others = self.honest().into_iter().filter(|process| process.member != victim);
        let others: Vec<Owner> = others.map(|process| process.number).collect();
        self.journal.borrow_mut().has_an_accident(victim, is_gate_lost, others.into_iter());
    }

    /// A second gateway of the dishonest member, on a copy of its disk; both sign, whatever the others know.
    pub fn forks(&mut self) -> Judgement {
        let Some(member) = self.cast.byzantine else { return Ok(()) };
        let Some(first) = self.of_member(member).pop() else { return Ok(()) };
        let copy = first.disk.after_power_cut(Unsynced::Kept);
        self.start(member, copy, INVENTED)?;
        for process in self.of_member(member) {
            let _ = process.replication.own_log().override_quorum(&process.store);
        }
        Ok(())
    }
}

/// A backup's disk under the signing gate of another.
pub fn under_gate_of(backup: &MemoryDisk, newest: &MemoryDisk) -> MemoryDisk {
    let gate = Path::new(FOLDER).join(StoreFile::Gate.name());
    let (disk, bytes) = (backup.after_power_cut(Unsynced::Kept), newest.contents(&gate));
    if let Some(bytes) = bytes {
        let mut file = disk.create(&gate).expect("a file");
        file.write_all(&bytes).expect("written");
    }
    disk
}

/// What a disk does wrong.
pub fn lying() -> Habits {
    Habits { forgets: Some(Forgets::Databases), ..Habits::default() }
}
