//! One thread that polls the tasks of all gateways, in an order that the seed gives; time passes when nobody has anything
//! to do.
//!
//! Who is woken is a set, so the order in which tokio wakes does not matter: the dice choose whose turn it is.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use sundbro_store::testing::Dice;
use tokio::time::{Instant, sleep, sleep_until};

/// Whose tasks they are: a process, a connection, or the world.
pub type Owner = u32;

/// Tasks that nobody can hold or end.
pub const WORLD: Owner = 0;

/// Polls without any time passing after which tasks are taken to run in circles.
const MAX_POLLS_AT_ONCE: u32 = 200_000;

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    owner: Owner,
    /// For people.
    name: &'static str,
    work: Work,
}

/// Runs tasks. Clones are the same one.
#[derive(Clone)]
pub struct Executor(Rc<Inner>);

struct Inner {
    tasks: RefCell<BTreeMap<u64, Task>>,
    spawned: RefCell<u64>,
    holds: RefCell<BTreeMap<Owner, u32>>,
    ready: Arc<Ready>,
    dice: RefCell<Dice>,
    polls: RefCell<u64>,
}

#[derive(Default)]
struct Ready {
    woken: Mutex<BTreeSet<u64>>,
    runner: Mutex<Option<Waker>>,
}

struct TaskWaker {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.woken.lock().expect("lock").insert(self.id);
        if let Some(runner) = &*self.ready.runner.lock().expect("lock") {
            runner.wake_by_ref();
        }
    }
}

impl Executor {
    pub fn new(dice: Dice) -> Self {
        Self(Rc::new(Inner {
            tasks: RefCell::default(),
            spawned: RefCell::new(0),
            holds: RefCell::default(),
            ready: Arc::default(),
            dice: RefCell::new(dice),
            polls: RefCell::new(0),
        }))
    }

    pub fn spawn(
        &self,
        owner: Owner,
        name: &'static str,
        work: impl Future<Output = ()> + 'static,
    ) {
        let mut spawned = self.0.spawned.borrow_mut();
        *spawned += 1;
        self.0.tasks.borrow_mut().insert(*spawned, Task { owner, name, work: Box::pin(work) });
        self.0.ready.woken.lock().expect("lock").insert(*spawned);
    }

    /// Drops the tasks of an owner where they stand.
    pub fn end(&self, owner: Owner) {
        // Taken out first: what a task drops may wake others.
        let ended: Vec<_> =
            self.0.tasks.borrow_mut().extract_if(.., |_, task| task.owner == owner).collect();
        drop(ended);
        self.0.holds.borrow_mut().remove(&owner);
    }

    /// The owner stands still until as many releases as holds.
    pub fn hold(&self, owner: Owner) {
        *self.0.holds.borrow_mut().entry(owner).or_default() += 1;
    }

    pub fn release(&self, owner: Owner) {
        let mut holds = self.0.holds.borrow_mut();
        if let Some(held) = holds.get_mut(&owner) {
            *held -= 1;
            if *held == 0 {
                holds.remove(&owner);
            }
        }
    }

    /// The owner stands still for a while.
    pub fn hold_for(&self, owner: Owner, time: Duration) {
        self.hold(owner);
        let this = self.clone();
        self.spawn(WORLD, "hold", async move {
            sleep(time).await;
            this.release(owner);
        });
    }

    /// How many times tasks were polled: the same for the same seed.
    pub fn polls(&self) -> u64 {
        *self.0.polls.borrow()
    }

    /// Lets everybody work for a while; `polled` is told after each turn whose it was.
    pub async fn run_for(&self, time: Duration, mut polled: impl FnMut(Owner)) {
        let mut end = Box::pin(sleep_until(Instant::now() + time));
        let mut at = Instant::now();
        let mut at_once = 0;
        let run = std::future::poll_fn(|context| {
            *self.0.ready.runner.lock().expect("lock") = Some(context.waker().clone());
            if Instant::now() != at {
                (at, at_once) = (Instant::now(), 0);
            }
            while let Some(id) = self.pick() {
                let Some((owner, name)) = self.poll(id) else { continue };
                polled(owner);
                at_once += 1;
                assert!(at_once < MAX_POLLS_AT_ONCE, "{name} of {owner} runs in circles");
            }
            end.as_mut().poll(context)
        });
        tokio::task::unconstrained(run).await;
    }

    fn pick(&self) -> Option<u64> {
        let (tasks, holds) = (self.0.tasks.borrow(), self.0.holds.borrow());
        let mut woken = self.0.ready.woken.lock().expect("lock");
        woken.retain(|id| tasks.contains_key(id));
        let may = |id: &&u64| !holds.contains_key(&tasks[id].owner);
        let count = woken.iter().filter(may).count() as u64;
        if count == 0 {
            return None;
        }
        let turn = self.0.dice.borrow_mut().roll(count) as usize;
        let id = *woken.iter().filter(may).nth(turn)?;
        woken.remove(&id);
        Some(id)
    }

    fn poll(&self, id: u64) -> Option<(Owner, &'static str)> {
        let mut task = self.0.tasks.borrow_mut().remove(&id)?;
        let turn = (task.owner, task.name);
        *self.0.polls.borrow_mut() += 1;
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.0.ready) }));
        if task.work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.tasks.borrow_mut().insert(id, task);
        }
        Some(turn)
    }
}
