//! Metrics of the two listeners: open connections, and when what they rest on ends.

use super::sheet::{Metric, Sheet, number};
use crate::tls::{End, FederationTls, LocalTls};

static CONNECTIONS: Metric = Metric::gauge(
    "sundbro_connections",
    &["listener"],
    "Open connections: federation counts those with other gateways, in and out, local those of our own systems",
);
static ENDS: Metric = Metric::gauge(
    "sundbro_end_timestamp_seconds",
    &["listener", "kind", "name"],
    "When something that a listener rests on ends, in seconds since 1970: a certificate (ours, with its chain), a \
     revocation_list (its nextUpdate), a ca; name is its file, of a CA of the charter 16 digits of its SHA-256",
);

/// All of them.
pub(super) static METRICS: [&Metric; 2] = [&CONNECTIONS, &ENDS];

/// Writes what is known of both listeners.
pub(super) fn write(federation: &FederationTls, local: &LocalTls, sheet: &mut Sheet) {
    let connections = sheet.gauge(&CONNECTIONS);
    connections.put(&["federation"], number(federation.connections().count() as u64));
    connections.put(&["local"], number(local.connections().count() as u64));
    let ends = sheet.gauge(&ENDS);
    for (listener, end) in both(federation, local) {
        let seconds = number(u64::try_from(end.unix_seconds).unwrap_or(0));
        ends.put(&[listener, end.kind.name(), &end.name], seconds);
    }
}

/// What ends, of both listeners; a CA or list that stands in two files ends twice.
pub(super) fn both(
    federation: &FederationTls,
    local: &LocalTls,
) -> impl Iterator<Item = (&'static str, End)> {
    let of = |listener| move |end| (listener, end);
    federation
        .ends()
        .into_iter()
        .map(of("federation"))
        .chain(local.ends().into_iter().map(of("local")))
}
