//! Where tasks hear that something changed, and what is known about each peer right now.
//!
//! Signals carry no content: whoever hears one reads the store, so a missed signal loses nothing but time, and a slow
//! listener holds up nobody.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sundbro_ledger::ids::MemberName;
use tokio::sync::watch;

/// Counts changes; listeners compare what they saw last.
#[derive(Debug)]
pub struct Hub {
    heads: watch::Sender<u64>,
    blobs: watch::Sender<u64>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub in which nothing has happened yet.
    pub fn new() -> Self {
        Self { heads: watch::Sender::new(0), blobs: watch::Sender::new(0) }
    }

    /// Some log grew, stopped or waits. Called after the index has been folded: who hears it finds both in step.
    pub fn heads_changed(&self) {
        self.heads.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Blobs arrived. Called after the index has been folded.
    pub fn blobs_changed(&self) {
        self.blobs.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears of logs that grew, stopped or wait.
    pub fn watch_heads(&self) -> watch::Receiver<u64> {
        self.heads.subscribe()
    }

    /// Hears of blobs.
    pub fn watch_blobs(&self) -> watch::Receiver<u64> {
        self.blobs.subscribe()
    }
}

/// Why a log waits that grew by more than the charter allows in a day.
pub const DAILY_LIMIT: &str = "DAILY_LIMIT";

/// What is known about one peer's gateway.
#[derive(Debug, Clone)]
pub struct PeerView {
    /// Whether a session with it is open.
    pub reachable: bool,
    /// Since when `reachable` is what it is.
    pub since: Instant,
    /// Why it is not reachable: a constant such as `REFUSED` or `BAD_CHUNK`. `None` while it is, or before the first try.
    pub cause: Option<&'static str>,
    /// When it last told us its heads and that of its own log was found good, or it has none. `None`: never since our
    /// start.
    pub heads_at: Option<Instant>,
    /// What it calls its software. Empty before its first Hello.
    pub software: String,
    /// How often it was started, as it says. 0 before its first Hello.
    pub incarnation: u32,
    /// Newest charter version that it follows, as it says.
    pub charter_version: u64,
    /// Its log grew by more than the charter allows in a day, and the rest of it is not fetched yet.
    pub held_back: bool,
    /// How much of our own log is durable there, as it says. 0 before it said so.
    pub acked_size: u64,
}

impl PeerView {
    fn unknown(now: Instant) -> Self {
        Self {
            reachable: false,
            since: now,
            cause: None,
            heads_at: None,
            software: String::new(),
            incarnation: 0,
            charter_version: 0,
            held_back: false,
            acked_size: 0,
        }
    }
}

#[derive(Debug)]
struct PeerRow {
    view: PeerView,
    sessions: u32,
}

/// What is known about every peer's gateway. In memory only: after a restart nothing is known.
#[derive(Debug)]
pub struct PeerTable {
    rows: Mutex<BTreeMap<MemberName, PeerRow>>,
    changed: watch::Sender<u64>,
}

impl Default for PeerTable {
    fn default() -> Self {
        Self::new()
    }
}

impl PeerTable {
    /// A table that knows nobody.
    pub fn new() -> Self {
        Self { rows: Mutex::default(), changed: watch::Sender::new(0) }
    }

    /// What is known about a peer. `None`: we neither tried nor were called since our start.
    pub fn view(&self, member: &MemberName) -> Option<PeerView> {
        self.rows().get(member).map(|row| row.view.clone())
    }

    /// What is known about everybody.
    pub fn views(&self) -> BTreeMap<MemberName, PeerView> {
        self.rows().iter().map(|(member, row)| (member.clone(), row.view.clone())).collect()
    }

    /// Whether a session with the peer is open.
    pub fn is_reachable(&self, member: &MemberName) -> bool {
        self.rows().get(member).is_some_and(|row| row.view.reachable)
    }

    /// Hears of peers that come and go.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A session's Hello was accepted. The peer is reachable until the returned value, and those of other sessions
    /// with it, are dropped.
    pub fn opened(self: &Arc<Self>, member: &MemberName, hello: PeerHello) -> OpenSession {
        self.change(member, |row| {
            row.sessions += 1;
            if !row.view.reachable {
                row.view.reachable = true;
                row.view.since = Instant::now();
            }
            row.view.cause = None;
            row.view.software = hello.software;
            row.view.charter_version = hello.charter_version;
            row.view.incarnation = row.view.incarnation.max(hello.incarnation);
        });
        OpenSession { table: Arc::clone(self), member: member.clone(), cause: "CLOSED" }
    }

    /// The peer told us its heads, its own log among them, and we found that one good.
    pub fn heads_heard(&self, member: &MemberName) {
        self.change(member, |row| row.view.heads_at = Some(Instant::now()));
    }

    /// Whether the rest of the peer's log waits since it grew too much today. Says whether that is news.
    pub fn held_back(&self, member: &MemberName, held_back: bool) -> bool {
        if self.rows().get(member).is_some_and(|row| row.view.held_back) == held_back {
            return false;
        }
        self.change(member, |row| row.view.held_back = held_back);
        true
    }

    /// The peer says how much of our own log is durable there: what it said before no longer counts.
    pub fn acked(&self, member: &MemberName, size: u64) {
        if self.rows().get(member).is_none_or(|row| row.view.acked_size != size) {
            self.change(member, |row| row.view.acked_size = size);
        }
    }

    /// The peer follows this charter version by now.
    pub fn charter_heard(&self, member: &MemberName, version: u64) {
        self.change(member, |row| {
            row.view.charter_version = row.view.charter_version.max(version);
        });
    }

    /// We tried to reach the peer and could not. Says nothing while another session with it is open.
    pub fn not_reached(&self, member: &MemberName, cause: &'static str) {
        self.change(member, |row| {
            if row.sessions == 0 {
                row.view.cause = Some(cause);
            }
        });
    }

    fn closed(&self, member: &MemberName, cause: &'static str) {
        self.change(member, |row| {
            row.sessions = row.sessions.saturating_sub(1);
            if row.sessions == 0 {
                row.view.reachable = false;
                row.view.since = Instant::now();
                row.view.cause = Some(cause);
            }
        });
    }

    fn change(&self, member: &MemberName, change: impl FnOnce(&mut PeerRow)) {
        let unknown = || PeerRow { view: PeerView::unknown(Instant::now()), sessions: 0 };
        change(self.rows().entry(member.clone()).or_insert_with(unknown));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<MemberName, PeerRow>> {
        // No row is ever left half-written: each change is a few assignments.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a peer says about itself in its Hello.
#[derive(Debug, Clone)]
pub struct PeerHello {
    /// Software and version.
    pub software: String,
    /// How often its gateway was started.
    pub incarnation: u32,
    /// Newest charter version that it follows.
    pub charter_version: u64,
}

/// Keeps a peer reachable in the table for as long as it lives.
#[derive(Debug)]
pub struct OpenSession {
    table: Arc<PeerTable>,
    member: MemberName,
    cause: &'static str,
}

impl OpenSession {
    /// What the table says about the peer once the session is over.
    pub fn ends_because(&mut self, cause: &'static str) {
        self.cause = cause;
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.table.closed(&self.member, self.cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> PeerHello {
        PeerHello { software: "sundbro/0.1.0".into(), incarnation: 3, charter_version: 2 }
    }

    #[test]
    fn a_peer_is_reachable_until_its_last_session_ends() {
        let table = Arc::new(PeerTable::new());
        let gp = MemberName::new("gp.example").expect("name");
        assert!(table.view(&gp).is_none());
        let first = table.opened(&gp, hello());
        let mut second = table.opened(&gp, hello());
        drop(first);
        assert!(table.is_reachable(&gp));
        table.not_reached(&gp, "REFUSED");
        assert_eq!(table.view(&gp).and_then(|view| view.cause), None, "another session is open");
        second.ends_because("BAD_CHUNK");
        drop(second);
        let view = table.view(&gp).expect("known");
        assert!(!view.reachable);
        assert_eq!(view.cause, Some("BAD_CHUNK"));
        assert_eq!(view.incarnation, 3);
    }

    #[test]
    fn signals_reach_who_listens_and_coalesce() {
        let hub = Hub::new();
        let mut heads = hub.watch_heads();
        assert!(!heads.has_changed().expect("hub lives"));
        hub.heads_changed();
        hub.heads_changed();
        assert!(heads.has_changed().expect("hub lives"));
        heads.mark_unchanged();
        hub.blobs_changed();
        assert!(!heads.has_changed().expect("hub lives"));
    }
}
