//! What a peer may write into our log: a line about itself, and not one for every frame that it sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sundbro_proto::federation::v1::Problem;
use sundbro_proto::federation::v1::frame::Kind;

use crate::script::{Log, Peer};
use crate::support::{Federation, GP, Gateway, HOSPITAL, LAB, name, subject_key};

/// Counts what is logged on this thread, by level.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<BTreeMap<tracing::Level, usize>>>);

impl tracing::Subscriber for Logged {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        *self.0.lock().expect("lock").entry(*event.metadata().level()).or_default() += 1;
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_peer_does_not_fill_our_log() {
    let logged = Logged::default();
    let _guard = tracing::subscriber::set_default(logged.clone());
    let federation = Federation::found();
    let gp = Gateway::new(&federation, GP);
    let lab = Peer::greeting(&federation, &gp, LAB).await;
    for _ in 0..40 {
        let reason = "OLDER_START".to_owned();
        lab.send(Kind::Problem(Problem { reason, ..Problem::default() })).await;
        // Sealed to somebody else.
        lab.grant(&federation, HOSPITAL, 1, &subject_key(1)).await;
    }
    lab.show(Log::new(&federation, LAB, 1, None).head()).await;
    gp.until(|gp| gp.peers.view(&name(LAB)).is_some_and(|view| view.heads_at.is_some())).await;
    let logged = logged.0.lock().expect("lock").clone();
    let count = |level| logged.get(&level).copied().unwrap_or_default();
    assert_eq!((count(tracing::Level::ERROR), count(tracing::Level::WARN)), (0, 2), "{logged:?}");
}
