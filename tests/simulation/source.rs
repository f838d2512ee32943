//! A member's local system: it has records, and offers each to its gateway until it is told that it is registered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sundbro_ledger::ids::RecordId;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::founders::{draft, record_id};
use crate::journal::{Acknowledged, Journal};
use crate::process::Process;

/// Most records that are offered at once.
const OFFERED_AT_ONCE: usize = 4;
/// How long it waits after a refusal.
const RETRIES_AFTER: Duration = Duration::from_secs(1);

/// A local system. It outlives its gateway.
pub struct Source {
    /// How many records it has.
    count: watch::Sender<u64>,
}

impl Source {
    pub fn new() -> Self {
        Self { count: watch::Sender::new(0) }
    }

    pub fn add(&self, records: u64) {
        self.count.send_modify(|count| *count += records);
    }

    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }
}

/// Offers every record to one gateway; `offset` tells the records of a second gateway that invents its own.
pub async fn offer(
    process: Rc<Process>,
    source: Rc<Source>,
    journal: Rc<RefCell<Journal>>,
    offset: u64,
) {
    let mut count = source.count.subscribe();
    let mut done = 0;
    loop {
        let wanted = *count.borrow_and_update();
        while done < wanted {
            let mut numbers = Vec::new();
            while done + (numbers.len() as u64) < wanted && numbers.len() < OFFERED_AT_ONCE {
                numbers.push(done + numbers.len() as u64);
            }
            let known = numbers.iter().filter(|number| is_registered(&process, offset + **number));
            let known: Vec<u64> = known.copied().collect();
            let new = numbers.iter().filter(|number| !known.contains(number));
            let drafts: Vec<_> = new.map(|number| draft(&process.name, offset + number)).collect();
            if !drafts.is_empty() {
                let Ok(outcomes) = process.publisher.publish(drafts).await else {
                    sleep(RETRIES_AFTER).await;
                    continue;
                };
                for accepted in outcomes.into_iter().flatten() {
                    let (position, leaf) = (accepted.position, accepted.leaf);
                    let told = Acknowledged { position, leaf };
                    journal.borrow_mut().acknowledge(process.member, told);
                }
            }
            done += numbers.len() as u64;
        }
        if count.changed().await.is_err() {
            return;
        }
    }
}

/// As an adapter sees it after the loss of its locators: by the record id.
pub fn is_registered(process: &Process, number: u64) -> bool {
    let record = RecordId { member: process.name.clone(), id: record_id(&process.name, number) };
    matches!(process.store.record(&record), Ok(Some(_)))
}
