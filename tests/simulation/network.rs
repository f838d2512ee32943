//! The network: delays, partitions and lines that are dead one way; what a member's dishonest gateway puts on it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use prost::Message as _;
use sundbro_gateway::replication::{MAX_FRAME_BYTES, OUTBOUND_FRAMES};
use sundbro_proto::federation::v1::Frame;
use sundbro_store::testing::Dice;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::executor::{Executor, Owner};
use crate::malice::Malice;
use crate::process::Process;

/// A line that carries nothing for this long is given up, as HTTP/2 keepalive does.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long a side may take to end after the other one has.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Who reaches whom, between members.
pub struct Network {
    dead: RefCell<BTreeSet<(usize, usize)>>,
    changed: watch::Sender<u64>,
    pub dice: RefCell<Dice>,
    /// What one member's gateway does to what it sends. `None`: nobody is dishonest.
    pub malice: Option<RefCell<Malice>>,
    /// The largest frame that was sent, in bytes, and the most frames that waited on one line.
    pub largest_frame: Cell<usize>,
    pub longest_line: Cell<usize>,
}

impl Network {
    pub fn new(dice: Dice, malice: Option<Malice>) -> Self {
        Self {
            dead: RefCell::default(),
            changed: watch::Sender::new(0),
            dice: RefCell::new(dice),
            malice: malice.map(RefCell::new),
            largest_frame: Cell::new(0),
            longest_line: Cell::new(0),
        }
    }

    /// From here on nothing goes along these lines, in the direction given.
    pub fn cut(&self, lines: impl IntoIterator<Item = (usize, usize)>) {
        self.dead.borrow_mut().extend(lines);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Every line carries again.
    pub fn mend(&self) {
        self.dead.borrow_mut().clear();
        self.changed.send_modify(|count| *count += 1);
    }

    fn carries(&self, from: usize, to: usize) -> bool {
        !self.dead.borrow().contains(&(from, to))
    }

    fn connects(&self, a: usize, b: usize) -> bool {
        self.carries(a, b) && self.carries(b, a)
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.borrow_mut().roll(sides)
    }

    /// Most lines are quick; some frames take a while.
    fn latency(&self) -> Duration {
        match self.roll(20) {
            0 => Duration::from_millis(self.roll(800)),
            _ => Duration::from_millis(1 + self.roll(20)),
        }
    }
}

/// Keeps two processes connected for as long as both run. The lines are tasks of `owner`.
pub async fn keep_connected(
    executor: Executor,
    network: Rc<Network>,
    owner: Owner,
    (a, b): (Rc<Process>, Rc<Process>),
) {
    let mut changed = network.changed.subscribe();
    loop {
        changed.mark_unchanged();
        if !network.connects(a.member, b.member) {
            let _ = changed.changed().await;
            continue;
        }
        // Who heals a network sees everybody call at once.
        sleep(Duration::from_millis(network.roll(1_000))).await;
        let (to_b, from_a) = mpsc::channel(OUTBOUND_FRAMES);
        let (to_a, from_b) = mpsc::channel(OUTBOUND_FRAMES);
        let (b_hears, at_b) = mpsc::channel(1);
        let (a_hears, at_a) = mpsc::channel(1);
        let line = |from: &Rc<Process>, to: &Rc<Process>, frames, into| {
            let line = (from.member, to.member);
            executor.spawn(owner, "line", carry(Rc::clone(&network), line, frames, into));
        };
        line(&a, &b, from_a, b_hears);
        line(&b, &a, from_b, a_hears);
        let (a_stop, a_ended) = session(&executor, &a, &b, at_a, to_b);
        let (b_stop, b_ended) = session(&executor, &b, &a, at_b, to_a);
        tokio::select! {
            biased;
            () = a_ended.cancelled() => {}
            () = b_ended.cancelled() => {}
        }
        let both = async {
            a_ended.cancelled().await;
            b_ended.cancelled().await;
        };
        let _ = timeout(END_PATIENCE, both).await;
        a_stop.cancel();
        b_stop.cancel();
    }
}

/// One side of a connection: how to stop it, and what tells that it has ended or was killed.
fn session(
    executor: &Executor,
    own: &Rc<Process>,
    peer: &Rc<Process>,
    inbound: mpsc::Receiver<Result<Frame, Status>>,
    outbound: mpsc::Sender<Frame>,
) -> (CancellationToken, CancellationToken) {
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let guard = ended.clone().drop_guard();
    let (replication, peer, own_stop) = (own.replication.clone(), peer.name.clone(), stop.clone());
    executor.spawn(own.number, "session", async move {
        let inbound = ReceiverStream::new(inbound);
        replication.session(peer, inbound, outbound, own_stop).await;
        drop(guard);
    });
    (stop, ended)
}

/// One direction of a connection.
async fn carry(
    network: Rc<Network>,
    (from, to): (usize, usize),
    mut frames: mpsc::Receiver<Frame>,
    into: mpsc::Sender<Result<Frame, Status>>,
) {
    let mut changed = network.changed.subscribe();
    while let Some(frame) = frames.recv().await {
        network.longest_line.set(network.longest_line.get().max(frames.len() + 1));
        let is_dishonest =
            network.malice.as_ref().is_some_and(|malice| malice.borrow().member == from);
        if !is_dishonest {
            let bytes = frame.encoded_len();
            network.largest_frame.set(network.largest_frame.get().max(bytes));
        }
        sleep(network.latency()).await;
        let carries = async {
            while !network.carries(from, to) {
                let _ = changed.changed().await;
            }
        };
        if timeout(KEEPALIVE, carries).await.is_err() {
            return;
        }
        let sent = match &network.malice {
            Some(malice) if is_dishonest => malice.borrow_mut().instead_of(frame, to),
            _ => vec![frame],
        };
        for frame in sent {
            // What tonic refuses to decode.
            let judged = match frame.encoded_len() {
                len if len > MAX_FRAME_BYTES => Err(Status::out_of_range("the frame is too large")),
                _ => Ok(frame),
            };
            if into.send(judged).await.is_err() {
                return;
            }
        }
    }
}
