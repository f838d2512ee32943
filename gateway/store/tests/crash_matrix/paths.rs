//! The paths that write, each as steps that are acknowledged one by one.
//!
//! A step may be asked for again when nobody knows whether it was done, as a client or a peer does.

use prost::Message;
use sundbro_ledger::ids::MessageDigest;
use sundbro_proto::ledger::v1;
use sundbro_store::audit::PendingAcknowledgement;
use sundbro_store::tables::StoreFile::{self, Audit, Gate, Index, Ledger, Payloads};
use sundbro_store::{
    AppendReplicaError, EQUIVOCATION, JudgedDrafts, LogState, OutboxLimits, Quarantined, Store,
    Waiting,
};

use crate::common::full::audit as line;
use crate::common::{HOUR, try_append};
use crate::world::{World, locator};

/// Why a step failed, for people.
pub type Done = Result<(), String>;

/// Something that is done to a store.
pub type Act<T> = Box<dyn Fn(&Store, &World) -> T>;

/// One step, and the files that it changes in the order in which they become durable.
pub struct Step {
    pub files: &'static [StoreFile],
    pub act: Act<Done>,
    /// Files that are empty but for their `meta` for a moment.
    pub cleared: Option<StoreFile>,
}

pub struct Path {
    pub name: &'static str,
    /// What is there before it, beside what every store holds.
    pub before: Act<()>,
    pub steps: Vec<Step>,
}

fn path(name: &'static str, steps: Vec<Step>) -> Path {
    Path { name, before: Box::new(|_, _| {}), steps }
}

fn step(files: &'static [StoreFile], act: impl Fn(&Store, &World) -> Done + 'static) -> Step {
    Step { files, act: Box::new(act), cleared: None }
}

fn text<T>(result: Result<T, impl core::error::Error>) -> Done {
    result.map(drop).map_err(|error| error.to_string())
}

pub fn own() -> Path {
    let group = |from: u8, count: u8| {
        step(&[Payloads, Ledger, Gate], move |store, world| {
            let drafts = (from..from + count).map(|n| world.draft(n)).collect();
            let done = try_append(store, &world.owner, drafts).map_err(|it| it.to_string())?;
            // Acknowledged: every draft has the place that it would have had without a fault.
            for (n, outcome) in (from..).zip(done.outcomes) {
                let accepted = outcome.map_err(|refusal| refusal.to_string())?;
                assert_eq!(accepted.position, u64::from(n), "the position of draft {n}");
            }
            Ok(())
        })
    };
    path("append_own", vec![group(10, 2), group(12, 1)])
}

/// Drafts that wait: put into the outbox, signed as another start does it, and one that is dropped.
pub fn outbox() -> Path {
    let put = |from: u8, count: u8| {
        step(&[Payloads, Ledger], move |store, world| {
            let drafts: Vec<_> = (from..from + count).map(|n| world.draft(n)).collect();
            // Asked for again when nobody knows whether it was done: what waits already is put there once.
            let limits = OutboxLimits::DEFAULT;
            text(store.put_outbox(&drafts, 1_700_000_000, &limits))?;
            let waits = store.outbox_status().map_err(|error| error.to_string())?.drafts;
            assert!((u64::from(count)..=3).contains(&waits), "{waits} drafts wait");
            Ok(())
        })
    };
    let drain = |max: usize, size: u64| {
        step(&[Payloads, Ledger, Gate], move |store, world| {
            if world.own_size(store) == size {
                // It was done, and only the gate is behind, which the next entry brings after it.
                let nothing = JudgedDrafts { size, drafts: Vec::new() };
                return text(store.append_waiting(
                    nothing,
                    &world.owner.signer(),
                    HOUR,
                    &world.keys,
                ));
            }
            let waiting = store.waiting(max).map_err(|error| error.to_string())?;
            let whole = |it: Waiting| Some((it.number, it.draft.expect("whole"), it.signed_at));
            let drafts = waiting.drafts.into_iter().filter_map(whole).collect();
            let judged = JudgedDrafts { size: waiting.size, drafts };
            let done = store.append_waiting(judged, &world.owner.signer(), HOUR, &world.keys);
            for outcome in done.map_err(|error| error.to_string())?.outcomes {
                let accepted = outcome.map_err(|refusal| refusal.to_string())?;
                assert!(accepted.position < size, "{} is signed twice", accepted.position);
            }
            Ok(())
        })
    };
    let drop_one = step(&[Payloads, Ledger], |store, _| text(store.drop_waiting(&[3])));
    path("outbox", vec![put(10, 2), put(12, 1), drain(1, 11), drain(9, 13), put(13, 1), drop_one])
}

pub fn replica() -> Path {
    let turn = |n: usize| {
        step(&[Ledger], move |store, world| {
            let turn = &world.turns[n];
            let log = world.other.log();
            match store.append_replica(&log, &turn.entries, &turn.checkpoint, &turn.head) {
                Err(AppendReplicaError::NotNext { committed, .. })
                    if committed == turn.head.size() =>
                {
                    Ok(())
                }
                other => text(other),
            }
        })
    };
    let payloads = step(&[Payloads], |store, world| text(store.put_blobs(&world.turns[1].blobs)));
    path("append_replica, put_blobs", vec![turn(1), payloads, turn(2)])
}

pub fn charters() -> Path {
    let charter = |version: u64| {
        step(&[Ledger], move |store, _| {
            let head = v1::CharterHead { version, ..v1::CharterHead::default() };
            let head = head.encode_to_vec().into();
            text(store.put_charter(&v1::Charter { head, ..v1::Charter::default() }))
        })
    };
    let mark = |state: LogState| {
        step(&[Ledger], move |store, world| text(store.mark_log(&world.other.log(), &state)))
    };
    let seen =
        step(&[Ledger], |store, world| text(store.note_newest_seen(&world.turns[2].checkpoint)));
    let forget = step(&[Ledger], |store, world| {
        text(store.forget_newest_seen(&world.other.log(), |_| false))
    });
    let waits = LogState::Waiting { position: 5, reason: "CHARTER_VERSION".to_owned() };
    let stops = LogState::Stopped { position: 5, reason: EQUIVOCATION.to_owned() };
    let steps = vec![charter(1), mark(waits), seen, charter(2), forget, mark(stops)];
    path("put_charter, mark_log", steps)
}

pub fn audit_entries(store: &Store, size: u64) -> Done {
    // The audit log takes an entry as often as it is told: who knows that it is there does not repeat it.
    if store.audit_head().map_err(|error| error.to_string())?.0 > size {
        return Ok(());
    }
    text(store.audit_append(&[line(30), line(31)]))
}

pub fn audit() -> Path {
    let pending = || PendingAcknowledgement {
        completion: MessageDigest::new([7; 32]),
        owner: "gp.example".to_owned(),
        message: vec![7; 80],
        unix_seconds: 1_700_000_000,
    };
    path(
        "audit, nonces, acknowledgements",
        vec![
            step(&[Audit], |store, _| audit_entries(store, 5)),
            step(&[Audit], |store, _| {
                text(store.audit_append_once("gp.example", &[99; 16], 1_700_000_100, &[line(32)]))
            }),
            step(&[Audit], move |store, _| text(store.queue_acknowledgement(&pending(), &[]))),
            step(&[Audit], |store, _| text(store.forget_nonces(1_700_000_003))),
            step(&[Audit], |store, _| {
                text(store.acknowledgement_done(&MessageDigest::new([7; 32])))
            }),
        ],
    )
}

/// More entries, their blobs late, and two folds.
pub fn fold() -> Path {
    let fold = |max: usize| {
        step(&[Index], move |store, world| {
            if max > 0 {
                return text(store.fold(&world.keys, max));
            }
            while !store.fold(&world.keys, 100).map_err(|error| error.to_string())?.finished {}
            Ok(())
        })
    };
    let late = step(&[Payloads], |store, world| text(store.put_blobs(&world.turns[0].blobs)));
    Path {
        before: Box::new(|store, world| {
            for turn in &world.turns[1..] {
                let log = world.other.log();
                store
                    .append_replica(&log, &turn.entries, &turn.checkpoint, &turn.head)
                    .expect("replica");
            }
            store.put_blobs(&world.turns[1].blobs).expect("blobs");
        }),
        ..path("fold", vec![fold(3), late, fold(100)])
    }
}

pub fn rebuild() -> Path {
    let rebuild = step(&[Index], |store, world| text(store.rebuild_index(&world.keys)));
    path("rebuild_index", vec![Step { cleared: Some(Index), ..rebuild }])
}

pub fn locators() -> Path {
    let item = || Quarantined {
        adapter: "documents".to_owned(),
        source_key: vec![1, 2],
        reason: "NO_PATIENT_IDENTIFIER".to_owned(),
        message: "add one of the configured identifiers".to_owned(),
        unix_seconds: 1_700_000_000,
    };
    path(
        "locators, quarantine",
        vec![
            step(&[Ledger], move |store, _| text(store.quarantine(&item()))),
            step(&[Ledger], |store, _| text(store.put_locator(&locator(100)))),
            step(&[Ledger], |store, _| text(store.release("documents", &[1, 2]))),
        ],
    )
}
