//! Whether our own log may be signed, as far as other members know: asked at every start, and again before every commit.
//!
//! A gateway whose database was put back does not know what it signed after the backup, and one that was copied does not
//! know of its twin; its peers do. So nothing is signed before `recovery_quorum` of them have said that they know no later
//! start of this gateway and nothing of its log that is not here. What is missing here is fetched back first.

mod branch;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sundbro_ledger::checkpoint::VerifiedCheckpoint;
use sundbro_ledger::ids::{LogId, MemberName, RootHash};
use sundbro_ledger::merkle::range_hash;
use sundbro_store::gate::SigningStop;
use sundbro_store::{ResumeError, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use self::branch::ShownByPeers;
use super::quorum::{Answer, Answers, Electorate, NoQuorum, Tally};

/// How often one start may find that its number is taken and take a higher one. A restored gateway needs one; more than
/// a few say that two machines outbid each other.
const MAX_RAISES: u32 = 4;

/// How far above ours a peer's word on our later start may lie to count. More starts than any backup misses; a peer that
/// lies must not use up the numbers, of which there are four thousand million.
const MAX_AHEAD: u32 = 65_536;

/// How long payloads of our own log are waited for that are not here. Longer than fetching them takes; what nobody holds
/// any more must not stop the log for ever.
const PAYLOADS_PATIENCE: Duration = Duration::from_secs(60);

/// Whether our own log may be signed, as far as the peers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnLogState {
    /// Peers are being asked. Nothing is signed until enough of them have answered.
    Asking,
    /// Peers hold entries of our log that are not here: they are being fetched. Nothing is signed.
    Behind(SigningStop),
    /// Enough answered, and nobody who answered knows more than we do.
    Clear {
        /// How many active peers have answered.
        answered: usize,
        /// How many there are.
        asked: usize,
    },
    /// A peer knows something else, or a later start of us. Stays so until a restart, or until the charter names which of
    /// two histories goes on.
    Stopped(SigningStop),
}

#[derive(Debug, Default)]
struct Known {
    answers: Answers,
    shown: ShownByPeers,
    /// Size and root of the branch of our log that the charter named, if it is on that, or will be.
    settled: Option<(u64, RootHash)>,
    /// How often all of this was forgotten, since the charter named a branch.
    forgotten: u64,
    /// When the first question was asked since the start, or since the charter named a branch.
    began: Option<Instant>,
    /// Our log was cleared once since our start: from then on a later start is somebody else's.
    was_clear: bool,
    /// Answers to earlier questions do not count: since then too few peers answered.
    asked_from: u64,
    /// Since when payloads of our own log are missing, as at the first look.
    lacks_payloads_since: Option<Instant>,
    payloads_given_up: bool,
    /// An operator answers for signing without the quorum, until the next start.
    is_overridden: bool,
    raises: u32,
}

/// The check of our own log.
#[derive(Debug)]
pub struct OwnLogCheck {
    log: LogId,
    state: watch::Sender<OwnLogState>,
    rounds: watch::Sender<u64>,
    incarnation: watch::Sender<u32>,
    known: Mutex<Known>,
    /// Held while what is here is compared with what a peer shows: what was read before entries came back must not stop
    /// signing after they did.
    comparing: Mutex<()>,
    answers: watch::Sender<u64>,
}

impl OwnLogCheck {
    /// A check that has asked nobody. What already stops the store stops it too.
    pub fn new(log: LogId, store: &Store) -> Self {
        let state = match store.signing_stop() {
            None => OwnLogState::Asking,
            Some(stop) if stop.is_passing() => OwnLogState::Behind(stop),
            Some(stop) => OwnLogState::Stopped(stop),
        };
        Self {
            log,
            state: watch::Sender::new(state),
            rounds: watch::Sender::new(0),
            incarnation: watch::Sender::new(store.incarnation()),
            known: Mutex::default(),
            comparing: Mutex::default(),
            answers: watch::Sender::new(0),
        }
    }

    /// What is known so far, and every change of it.
    pub fn state(&self) -> watch::Receiver<OwnLogState> {
        self.state.subscribe()
    }

    /// Whether entries of our own log are to be fetched.
    pub(super) fn is_behind(&self) -> bool {
        matches!(*self.state.borrow(), OwnLogState::Behind(_))
    }

    /// The number under which our gateway says Hello. Whoever has said another one says Hello again.
    pub(super) fn incarnation(&self) -> watch::Receiver<u32> {
        self.incarnation.subscribe()
    }

    /// The newest question that every connected peer is to be asked. 0: none yet.
    pub(super) fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// How many of the peers that count have answered since they were last asked.
    pub fn standing(&self, electorate: &Electorate) -> NoQuorum {
        let round = *self.rounds.borrow();
        let known = self.known();
        let answered = known.answers.tally(electorate, known.asked_from..=round).for_us;
        NoQuorum { answered, needed: electorate.needed }
    }

    /// Asks until the log is clear, and again whenever it is not any more. Runs for ever.
    pub(super) async fn run(
        &self,
        store: &Store,
        electorate: impl Fn() -> Electorate,
        patience: Duration,
        again: Duration,
    ) {
        let mut state = self.state.subscribe();
        loop {
            let asking = *state.borrow_and_update() == OwnLogState::Asking;
            if !asking {
                // The sender lives in `self`.
                let _ = state.changed().await;
                continue;
            }
            let mut answers = self.answers.subscribe();
            let round = self.ask();
            let began = *self.known().began.get_or_insert_with(Instant::now);
            let enough = async {
                loop {
                    answers.borrow_and_update();
                    // At the start everybody is waited for a while: whoever knows more than the quorum may be among them.
                    let is_patient = began.elapsed() < patience;
                    if self.judge(store, &electorate(), round, is_patient) {
                        return;
                    }
                    let _ = answers.changed().await;
                }
            };
            let _ = timeout(again, enough).await;
        }
    }

    /// Makes sure that this start is still the newest that enough peers know, by asking them now.
    ///
    /// # Errors
    /// [`NoQuorum`] when too few answered in time: then nothing may be signed, and the peers are asked until they do.
    pub async fn confirm(
        &self,
        electorate: &Electorate,
        patience: Duration,
    ) -> Result<(), NoQuorum> {
        let is_overridden = self.known().is_overridden;
        if electorate.needed == 0 || is_overridden {
            return Ok(());
        }
        let mut answers = self.answers.subscribe();
        let (round, asked_at) = (self.ask(), Instant::now());
        let enough = async {
            loop {
                answers.borrow_and_update();
                // An answer to a later question is an answer to this one: of two that are asked at once only the later
                // one may be sent. Whoever says that there is a later start may lie; enough others who answer for us outweigh it.
                let tally = self.known().answers.tally(electorate, round..=u64::MAX);
                let is_enough = tally.for_us >= electorate.needed;
                if is_enough || !tally.may_suffice {
                    return is_enough;
                }
                // The sender lives in `self`.
                let _ = answers.changed().await;
            }
        };
        // Answers that came while this machine stood still say nothing of now.
        if let Ok(true) = timeout(patience, enough).await
            && asked_at.elapsed() <= patience
        {
            return Ok(());
        }
        let answered = self.known().answers.tally(electorate, round..=u64::MAX).for_us;
        if !self.ask_again() {
            return Ok(());
        }
        Err(NoQuorum { answered, needed: electorate.needed })
    }

    /// A peer has shown a checkpoint of our own log. Blocking.
    pub(super) fn heard(
        &self,
        store: &Store,
        peer: &MemberName,
        known: &VerifiedCheckpoint,
    ) -> Result<(), StoreError> {
        let _comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        // What we hold is read now, after the peer said it: everything that it can honestly know was durable here before
        // it was sent.
        let held = store.log_head(&self.log)?.size();
        if known.size() <= held {
            return self.compare(store, peer, (known.size(), *known.root()));
        }
        self.is_beyond(store, peer, known)
    }

    /// A peer shows more than is here. Blocking; the caller compares alone.
    fn is_beyond(
        &self,
        store: &Store,
        peer: &MemberName,
        known: &VerifiedCheckpoint,
    ) -> Result<(), StoreError> {
        let held = store.log_head(&self.log)?.size();
        let mut all = self.known();
        all.shown.is_beyond(peer, known.size(), *known.root());
        // What it answered may be about another history, which is found out when it is fetched; it is asked again then.
        all.answers.forget(peer);
        drop(all);
        let known_by = peer.to_string();
        self.falls_behind(store, SigningStop::OwnLogBehind { held, known: known.size(), known_by });
        Ok(())
    }

    /// Which knowledge of the peers an answer is held against: read before what it shows is looked at.
    pub(super) fn knowledge(&self) -> u64 {
        self.known().forgotten
    }

    /// A peer has answered a question, after it had shown what it knows of our log. It does not count if that was forgotten
    /// meanwhile.
    pub(super) fn has_answered(&self, peer: &MemberName, answer: Answer, knowledge: u64) {
        let mut known = self.known();
        if known.forgotten == knowledge && known.shown.is_held(peer) {
            known.answers.keep(peer, answer);
        }
        drop(known);
        self.answers.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Entries of our own log came back. Blocking.
    pub(super) fn came_back(&self, store: &Store) -> Result<(), StoreError> {
        let _comparing = self.comparing.lock().unwrap_or_else(PoisonError::into_inner);
        self.compare_reached(store)?;
        self.resume(store)
    }

    /// Goes on without the quorum, and without what nobody gives back. The caller has put it on the record. Blocking.
    ///
    /// # Errors
    /// [`ResumeError::Stopped`] when something else stands against signing, which nobody can override.
    pub fn override_quorum(&self, store: &Store) -> Result<(), ResumeError> {
        if let OwnLogState::Stopped(stop) = &*self.state.borrow() {
            return Err(ResumeError::Stopped(stop.clone()));
        }
        store.give_up_lost_end()?;
        self.incarnation.send_if_modified(|number| differs(number, store.incarnation()));
        let mut known = self.known();
        (known.is_overridden, known.was_clear) = (true, true);
        known.shown.give_up();
        // Under the lock: a question that is open now must not be found unanswered after this.
        self.state.send_replace(OwnLogState::Clear { answered: 0, asked: 0 });
        Ok(())
    }

    /// Asks a new question. Gives its number.
    fn ask(&self) -> u64 {
        self.rounds.send_modify(|round| *round += 1);
        *self.rounds.borrow()
    }

    /// Decides by the answers to a question whether the log is clear. False: more answers are needed.
    fn judge(&self, store: &Store, electorate: &Electorate, round: u64, is_patient: bool) -> bool {
        let known = self.known();
        // An answer that came to an earlier question of this start counts too: it was a promise.
        let Tally { for_us: answered, may_suffice, outbid } =
            known.answers.tally(electorate, known.asked_from..=round);
        let waits = is_patient && known.answers.of(electorate) < electorate.peers.len();
        let may_raise = !known.was_clear && known.raises < MAX_RAISES;
        drop(known);
        if waits {
            return false;
        }
        let ours = store.incarnation();
        let outbid =
            outbid.filter(|(known, _)| (ours..=ours.saturating_add(MAX_AHEAD)).contains(known));
        match outbid {
            // We have signed nothing since our start, so we may be the later one.
            Some((known, peer)) if may_raise => return self.raise(store, known, &peer),
            // So many say so that the rest are too few, whatever they will answer.
            Some((known, peer)) if !may_suffice => {
                let known_by = peer.to_string();
                self.stop(store, SigningStop::LaterStart { ours, known, known_by });
                return true;
            }
            _ => {}
        }
        if answered < electorate.needed || !self.has_payloads(store) {
            return false;
        }
        let asked = electorate.peers.len();
        let clear = self.state.send_if_modified(|state| {
            let asking = *state == OwnLogState::Asking;
            if asking {
                *state = OwnLogState::Clear { answered, asked };
            }
            asking
        });
        if clear {
            self.known().was_clear = true;
        }
        true
    }

    /// Whether the payloads of our own log are here, as far as anybody gives them back: without them an adapter that looks
    /// again finds its records gone, and would register each anew.
    fn has_payloads(&self, store: &Store) -> bool {
        let counted = store.log_head(&self.log).and_then(|head| {
            let counts = store.index_counts(&self.log)?;
            Ok(counts.missing_blobs == 0 && counts.indexed_size == head.size())
        });
        match counted {
            Ok(true) => true,
            Ok(false) => {
                let mut known = self.known();
                let since = *known.lacks_payloads_since.get_or_insert_with(Instant::now);
                let given_up = since.elapsed() > PAYLOADS_PATIENCE;
                if given_up && !std::mem::replace(&mut known.payloads_given_up, true) {
                    tracing::error!(log = ?self.log, "nobody gives back payloads of our own log: it goes on without them");
                }
                given_up
            }
            Err(error) => {
                let error = crate::status::chain(&error);
                tracing::error!(error, "our own log cannot be read");
                false
            }
        }
    }

    /// A peer knows a later start of us, or another one of the same number. Says whether ours is higher now.
    fn raise(&self, store: &Store, known: u32, peer: &MemberName) -> bool {
        let ours = store.incarnation();
        match store.raise_incarnation(known.max(ours)) {
            Ok(raised) => {
                tracing::warn!(ours, known, raised, %peer, "our number of starts was taken: it is raised");
                let mut all = self.known();
                all.raises += 1;
                all.answers.clear();
                drop(all);
                self.incarnation.send_replace(raised);
                true
            }
            Err(error) => {
                let error = crate::status::chain(&error);
                tracing::error!(error, "our number of starts cannot be raised: it is tried again");
                false
            }
        }
    }

    fn falls_behind(&self, store: &Store, stop: SigningStop) {
        // First of all: the store refuses to sign from here on, whoever asks it.
        store.stop_signing(stop.clone());
        self.state.send_if_modified(|state| match state {
            OwnLogState::Stopped(_) => false,
            OwnLogState::Behind(held) if *held == stop => false,
            _ => {
                tracing::error!(log = ?self.log, cure = stop.cure(), "{stop}");
                *state = OwnLogState::Behind(stop);
                true
            }
        });
    }

    fn stop(&self, store: &Store, stop: SigningStop) {
        store.stop_signing(stop.clone());
        self.state.send_if_modified(|state| {
            let first = !matches!(state, OwnLogState::Stopped(_));
            if first {
                tracing::error!(log = ?self.log, cure = stop.cure(), "{stop}");
                *state = OwnLogState::Stopped(stop);
            }
            first
        });
    }

    /// Too few peers answer: they are asked until they do. False: an operator answers for them meanwhile.
    fn ask_again(&self) -> bool {
        let mut known = self.known();
        if known.is_overridden {
            return false;
        }
        known.asked_from = *self.rounds.borrow() + 1;
        self.state.send_if_modified(|state| {
            let clear = matches!(state, OwnLogState::Clear { .. });
            if clear {
                *state = OwnLogState::Asking;
            }
            clear
        });
        true
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn differs(held: &mut u32, now: u32) -> bool {
    std::mem::replace(held, now) != now
}

/// The root of a log at a size that is held.
pub(super) fn root_at(store: &Store, log: &LogId, size: u64) -> Result<RootHash, StoreError> {
    if size == 0 {
        return Ok(sundbro_ledger::merkle::EMPTY_ROOT);
    }
    Ok(range_hash(&store.nodes(log)?, 0, size)?.into())
}
