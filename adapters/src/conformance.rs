//! The laws of every adapter, as a kit: whoever writes one shows here that a gateway can rely on it.
//!
//! The kit needs a bench that puts items into the local system, changes and removes them, and gives adapters of it. It
//! says which law was broken instead of panicking, so that a tool can show it too.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::adapter::{Adapter, Change, KnownItems, MAX_FRAME_BYTES, OpenError, ScanReport};
use crate::item::{DocumentIdDigest, Fingerprint, FoundDocument, SourceKey};
use crate::memory::MemoryItems;

/// A local system that the kit can change.
pub trait Bench: Send {
    /// A new adapter of the system, as after a restart of the gateway. Items count as written long ago.
    fn adapter(&self) -> Arc<dyn Adapter>;
    /// Puts a good item, or another version of it. Different versions look different.
    fn put(&mut self, item: u32, version: u32);
    /// Puts an item that cannot be registered, for a reason that does not pass.
    fn put_bad(&mut self, item: u32);
    /// Removes an item.
    fn remove(&mut self, item: u32);
}

/// A law that an adapter broke.
#[derive(Debug, thiserror::Error)]
#[error("the adapter breaks a law: {law}; seen: {seen}")]
pub struct Violation {
    /// The law.
    pub law: &'static str,
    /// What was seen instead.
    pub seen: String,
}

/// Runs every law on an empty system.
///
/// # Errors
/// Fails with the first law that does not hold.
pub async fn check(bench: &mut dyn Bench) -> Result<(), Violation> {
    let known = MemoryItems::new();
    every_item_is_found(bench, &known)?;
    a_rescan_says_nothing(bench, &known)?;
    losing_what_is_known_finds_the_same(bench, &known)?;
    a_change_is_a_new_fingerprint_under_the_same_key(bench, &known).await?;
    a_bad_item_stops_nothing(bench, &known)?;
    a_removed_item_is_gone_once(bench, &known).await?;
    a_scan_can_be_ended(bench)?;
    a_scan_that_is_to_stop_says_nothing_more(bench, &known)
}

fn every_item_is_found(bench: &mut dyn Bench, known: &MemoryItems) -> Result<(), Violation> {
    for item in 0..3 {
        bench.put(item, 1);
    }
    let (changes, report) = scan(&*bench.adapter(), known)?;
    hold("every item is found once", found(&changes).len() == 3 && changes.len() == 3, &report)?;
    hold("the report counts what was found", report.found == 3 && report.complete, &report)
}

fn a_rescan_says_nothing(bench: &mut dyn Bench, known: &MemoryItems) -> Result<(), Violation> {
    let adapter = bench.adapter();
    for law in ["a new adapter says nothing of what is known", "a second scan says nothing"] {
        let (changes, report) = scan(&*adapter, known)?;
        hold(law, changes.is_empty() && report.unchanged == 3, &report)?;
    }
    Ok(())
}

fn losing_what_is_known_finds_the_same(
    bench: &mut dyn Bench,
    known: &MemoryItems,
) -> Result<(), Violation> {
    let first = scan(&*bench.adapter(), &MemoryItems::new())?.0;
    let second = scan(&*bench.adapter(), &MemoryItems::new())?.0;
    let (first, second) = (found(&first), found(&second));
    hold("the same source gives the same metadata", first == second, &first.len())?;
    let same = first.iter().all(|(key, f)| known.fingerprint(key) == Some(f.fingerprint));
    hold("fingerprints do not depend on what is known", same, &first.len())
}

async fn a_change_is_a_new_fingerprint_under_the_same_key(
    bench: &mut dyn Bench,
    known: &MemoryItems,
) -> Result<(), Violation> {
    let before = scan(&*bench.adapter(), &MemoryItems::new())?.0;
    let before = found(&before);
    for document in before.values() {
        content_is_what_was_registered(&*bench.adapter(), document).await?;
    }
    bench.put(1, 2);
    let adapter = bench.adapter();
    let mut refused = 0;
    for document in before.values() {
        match adapter.open(&document.source_key, &document.fingerprint).await {
            Ok(_) => {}
            Err(OpenError::Changed { .. }) => refused += 1,
            Err(other) => return broken("a changed item is refused as changed", &other),
        }
    }
    hold("only the changed item is refused", refused == 1, &refused)?;
    let (changes, report) = scan(&*adapter, known)?;
    let after = found(&changes);
    hold("one change is one document", changes.len() == 1 && after.len() == 1, &report)?;
    let renewed = after.iter().all(|(key, document)| {
        before.get(key).is_some_and(|old| {
            old.fingerprint != document.fingerprint && old.content_sha256 != document.content_sha256
        })
    });
    hold("it keeps its key and gets a new fingerprint and digest", renewed, &report)
}

fn a_bad_item_stops_nothing(bench: &mut dyn Bench, known: &MemoryItems) -> Result<(), Violation> {
    bench.put_bad(10);
    bench.put(11, 1);
    let (changes, report) = scan(&*bench.adapter(), known)?;
    hold("what stands beside a bad item is found", found(&changes).len() == 1, &report)?;
    let quarantined: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Quarantined(quarantined) => Some(quarantined),
            _ => None,
        })
        .collect();
    let told = quarantined.len() == 1 && quarantined.iter().all(|q| q.message.contains(": "));
    hold("a bad item is quarantined with a reason and a remedy", told, &report)?;
    let (changes, report) = scan(&*bench.adapter(), known)?;
    hold("a bad item is not told twice", changes.is_empty(), &report)
}

async fn a_removed_item_is_gone_once(
    bench: &mut dyn Bench,
    known: &MemoryItems,
) -> Result<(), Violation> {
    let all = scan(&*bench.adapter(), &MemoryItems::new())?.0;
    let before = found(&all);
    bench.remove(0);
    bench.remove(10);
    let adapter = bench.adapter();
    let mut missing = 0;
    for document in before.values() {
        match adapter.open(&document.source_key, &document.fingerprint).await {
            Ok(_) => {}
            Err(OpenError::Gone) => missing += 1,
            Err(other) => return broken("a removed item is refused as gone", &other),
        }
    }
    hold("only the removed item is refused", missing == 1, &missing)?;
    let (changes, report) = scan(&*adapter, known)?;
    let all_gone = changes.iter().all(|change| matches!(change, Change::Gone { .. }));
    let told = changes.len() == 2 && all_gone && report.gone == 2;
    hold("what is removed is gone, good or bad, and nothing else", told, &report)?;
    let (changes, report) = scan(&*adapter, known)?;
    hold("what is gone is told once", changes.is_empty(), &report)
}

fn a_scan_can_be_ended(bench: &mut dyn Bench) -> Result<(), Violation> {
    let mut told = 0;
    let result = bench.adapter().scan(&MemoryItems::new(), &mut |_| {
        told += 1;
        ControlFlow::Break(())
    });
    let law = "a scan ends when it is told to, and does not call itself complete";
    match result {
        Ok(report) => hold(law, told == 1 && !report.complete, &report),
        Err(error) => broken(law, &error),
    }
}

/// What is known, by a gateway that stops.
struct Stopping<'k>(&'k MemoryItems);

impl KnownItems for Stopping<'_> {
    fn fingerprint(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.0.fingerprint(source_key)
    }

    fn registered(&self, source_key: &SourceKey) -> Option<Fingerprint> {
        self.0.registered(source_key)
    }

    fn is_withheld(&self, folder: &SourceKey) -> bool {
        self.0.is_withheld(folder)
    }

    fn was_emptied(&self) -> bool {
        self.0.was_emptied()
    }

    fn holder_of(&self, document_id: &DocumentIdDigest) -> Option<SourceKey> {
        self.0.holder_of(document_id)
    }

    fn for_each(&self, visit: &mut dyn FnMut(SourceKey, Option<Fingerprint>)) {
        self.0.for_each(visit);
    }

    fn should_stop(&self) -> bool {
        true
    }
}

fn a_scan_that_is_to_stop_says_nothing_more(
    bench: &mut dyn Bench,
    known: &MemoryItems,
) -> Result<(), Violation> {
    bench.put(12, 1);
    bench.remove(1);
    let mut told = 0;
    let result = bench.adapter().scan(&Stopping(known), &mut |_| {
        told += 1;
        ControlFlow::Continue(())
    });
    let law = "a scan whose gateway stops ends before the next item, and calls nothing gone";
    match result {
        Ok(report) => hold(law, told == 0 && !report.complete, &report),
        Err(error) => broken(law, &error),
    }
}

async fn content_is_what_was_registered(
    adapter: &dyn Adapter,
    document: &FoundDocument,
) -> Result<(), Violation> {
    let law = "the content has the registered size and digest, in frames of at most 256 KiB";
    let mut content = match adapter.open(&document.source_key, &document.fingerprint).await {
        Ok(content) => content,
        Err(error) => return broken(law, &error),
    };
    let mut hasher = Sha256::new();
    let mut size = 0;
    while let Some(frame) = content.stream.next().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return broken(law, &error),
        };
        hold(law, (1..=MAX_FRAME_BYTES).contains(&frame.len()), &frame.len())?;
        size += frame.len() as u64;
        hasher.update(&frame);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let same = digest == document.content_sha256
        && size == document.content_size_bytes
        && size == content.size_bytes;
    hold(law, same, &size)
}

fn scan(
    adapter: &dyn Adapter,
    known: &MemoryItems,
) -> Result<(Vec<Change>, ScanReport), Violation> {
    let mut changes = Vec::new();
    let result = adapter.scan(known, &mut |change| {
        changes.push(change);
        ControlFlow::Continue(())
    });
    let report = match result {
        Ok(report) => report,
        Err(error) => return broken("a readable source can be scanned", &error),
    };
    // Twice, because changes come at least once.
    for change in changes.iter().chain(&changes) {
        known.take(change);
    }
    Ok((changes, report))
}

fn found(changes: &[Change]) -> BTreeMap<SourceKey, FoundDocument> {
    let documents = changes.iter().filter_map(|change| match change {
        Change::Found(document) => Some((document.source_key.clone(), (**document).clone())),
        _ => None,
    });
    documents.collect()
}

fn hold(law: &'static str, holds: bool, seen: &dyn Debug) -> Result<(), Violation> {
    if holds { Ok(()) } else { broken(law, seen) }
}

fn broken<T>(law: &'static str, seen: &dyn Debug) -> Result<T, Violation> {
    Err(Violation { law, seen: format!("{seen:?}") })
}
