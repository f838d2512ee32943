//! Metrics of logs and peers: how much is replicated, whether each log is followed, and whether its gateway is heard.

use std::time::Instant;

use sundbro_ledger::ids::MemberName;
use sundbro_proto::gateway::v1::LogState;
use sundbro_store::{LogState as StoredState, Store, StoreError, is_equivocation};

use super::sheet::{Metric, Sheet, number};
use crate::charter_book::CharterBook;
use crate::hub::PeerTable;
use crate::locate::coverage::{self, LogView};
use crate::tls::FederationTls;

static ENTRIES: Metric = Metric::gauge(
    "sundbro_log_entries",
    &["member", "epoch"],
    "Entries of the log that are stored here, each verified",
);
static INDEXED: Metric = Metric::gauge(
    "sundbro_log_indexed_entries",
    &["member", "epoch"],
    "Entries of the log that are in the index",
);
static LAG: Metric = Metric::gauge(
    "sundbro_log_lag_entries",
    &["member", "epoch"],
    "Entries under the newest checkpoint seen that are not stored here yet",
);
static BLOBS: Metric = Metric::gauge(
    "sundbro_log_missing_blobs",
    &["member", "epoch"],
    "Payloads and details of the log, meant for us, that are not here",
);
static UNKNOWN: Metric = Metric::gauge(
    "sundbro_log_unknown_payloads",
    &["member", "epoch"],
    "Payloads of a kind that this version does not know",
);
static STATE: Metric = Metric::gauge(
    "sundbro_log_state",
    &["member", "epoch", "state"],
    "1 for the state that the log is in: followed, stopped, stalled or waiting",
);
static EQUIVOCATED: Metric = Metric::gauge(
    "sundbro_log_equivocated",
    &["member", "epoch"],
    "1 when the member signed two different things for one position of the log",
);
static REACHABLE: Metric = Metric::gauge(
    "sundbro_peer_reachable",
    &["member"],
    "1 while a session with the member's gateway is open; active members only",
);
static HEARD: Metric = Metric::gauge(
    "sundbro_peer_heads_age_seconds",
    &["member"],
    "Seconds since the member's gateway last told its heads; since our own start when it never did",
);
static CONNECTIONS: Metric = Metric::gauge(
    "sundbro_peer_connections",
    &["member"],
    "Open connections with the member's gateway, in and out",
);
static CHARTER: Metric =
    Metric::gauge("sundbro_charter_version", &[], "Version of the charter that is in force here");
static CHARTER_KNOWN: Metric = Metric::gauge(
    "sundbro_charter_known_version",
    &[],
    "Newest charter version that a peer says it follows, unproved, or our own",
);
static CHARTER_FORKED: Metric = Metric::gauge(
    "sundbro_charter_forked",
    &[],
    "1 while two valid heads of one charter version exist and none is followed",
);
static ACTIVE: Metric =
    Metric::gauge("sundbro_member_active", &[], "1 while the charter lists us as active");

/// All of them.
pub(super) static METRICS: [&Metric; 14] = [
    &ENTRIES,
    &INDEXED,
    &LAG,
    &BLOBS,
    &UNKNOWN,
    &STATE,
    &EQUIVOCATED,
    &REACHABLE,
    &HEARD,
    &CONNECTIONS,
    &CHARTER,
    &CHARTER_KNOWN,
    &CHARTER_FORKED,
    &ACTIVE,
];

const STATES: [&str; 4] = ["followed", "stopped", "stalled", "waiting"];

/// Where the numbers come from.
pub(super) struct Logs<'a> {
    pub(super) member: &'a MemberName,
    pub(super) store: &'a Store,
    pub(super) charter: &'a CharterBook,
    pub(super) peers: &'a PeerTable,
    pub(super) tls: &'a FederationTls,
    pub(super) started: Instant,
}

impl Logs<'_> {
    pub(super) fn write(&self, sheet: &mut Sheet) -> Result<(), StoreError> {
        let history = self.charter.history();
        let views = self.peers.views();
        let logs = coverage::logs(self.store, &history, &views, self.member)?;
        write_logs(&logs, sheet);
        self.write_peers(sheet);
        let ours = history.in_force();
        let known = views.values().map(|view| view.charter_version).max().unwrap_or(0).max(ours);
        sheet.one(&CHARTER, number(ours));
        sheet.one(&CHARTER_KNOWN, number(known));
        sheet.one(&CHARTER_FORKED, f64::from(u8::from(history.forked_version().is_some())));
        sheet.one(&ACTIVE, f64::from(u8::from(self.charter.is_active(self.member))));
        Ok(())
    }

    fn write_peers(&self, sheet: &mut Sheet) {
        let (reachable, heard, connections) =
            (sheet.gauge(&REACHABLE), sheet.gauge(&HEARD), sheet.gauge(&CONNECTIONS));
        let history = self.charter.history();
        let others = history.current().members().values();
        for entry in others.filter(|entry| entry.is_active() && entry.name != *self.member) {
            let view = self.peers.view(&entry.name);
            let name = [entry.name.as_str()];
            let open = view.as_ref().is_some_and(|view| view.reachable);
            let since = view.and_then(|view| view.heads_at).unwrap_or(self.started);
            reachable.put(&name, f64::from(u8::from(open)));
            heard.put(&name, since.elapsed().as_secs_f64());
            let count = self.tls.connections().count_of(&entry.name);
            connections.put(&name, number(count as u64));
        }
    }
}

fn write_logs(logs: &[LogView], sheet: &mut Sheet) {
    let (entries, indexed, lag) = (sheet.gauge(&ENTRIES), sheet.gauge(&INDEXED), sheet.gauge(&LAG));
    let (blobs, unknown) = (sheet.gauge(&BLOBS), sheet.gauge(&UNKNOWN));
    let (states, equivocated) = (sheet.gauge(&STATE), sheet.gauge(&EQUIVOCATED));
    for log in logs {
        let epoch = log.epoch.to_string();
        let labels = [log.member.as_str(), epoch.as_str()];
        let status = &log.status;
        entries.put(&labels, number(status.committed_size));
        indexed.put(&labels, number(log.counts.indexed_size));
        lag.put(&labels, number(status.newest_seen_size.saturating_sub(status.committed_size)));
        blobs.put(&labels, number(log.counts.missing_blobs));
        unknown.put(&labels, number(log.counts.unknown_payloads));
        states.put_state(&labels, &STATES, state_name(log.state().0));
        let twice =
            matches!(&status.state, StoredState::Stopped { reason, .. } if is_equivocation(reason));
        equivocated.put(&labels, f64::from(u8::from(twice)));
    }
}

fn state_name(state: LogState) -> &'static str {
    match state {
        LogState::Stopped => "stopped",
        LogState::Stalled => "stalled",
        LogState::Waiting => "waiting",
        LogState::Followed | LogState::Unspecified => "followed",
    }
}
