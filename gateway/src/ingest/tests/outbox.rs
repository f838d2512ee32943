//! What is found while our log may not be signed: kept in order, counted as registered, and signed as it then follows.

use sundbro_ledger::blob::Blob;
use sundbro_ledger::transaction::Audience;
use sundbro_store::{LocatorChange, OwnDraft};

use super::*;
use crate::ingest::draft::{Drafting, MapView, Outcome};
use crate::ingest::outbox::Signer;

impl Home {
    /// From here on nothing is signed until the publisher that this gives is told otherwise.
    fn stop_signing(&mut self) -> PublisherHandle {
        let IngestContext { member, keys, store, .. } = &self.context;
        let publisher = publishing(member, keys, store, &self.charter);
        self.context.publisher = publisher.clone();
        publisher
    }

    /// Signs everything that waits.
    async fn sign(&self, publisher: &PublisherHandle) {
        publisher.follow(&OwnLogState::Clear { answered: 0, asked: 0 });
        let signer = Signer { context: self.context.clone(), charter: self.charter.clone() };
        while signer.round().await.expect("signed") {}
    }

    fn waiting(&self) -> u64 {
        self.context.store.outbox_status().expect("read").drafts
    }

    fn size(&self) -> u64 {
        self.context.store.log_head(&self.context.own_log).expect("head").size()
    }

    /// A document as it is now, drafted by what our log has.
    async fn drafted(&self, ingest: &Ingest, name: &str) -> OwnDraft {
        let IngestContext { member, own_log, store, keys, subjects, .. } = self.context.clone();
        let adapter = ingest.adapter.name().to_owned();
        let map = MapView::Registered;
        let drafting = Drafting { member, own_log, adapter, store, keys, subjects, map };
        let mut drafted = None;
        let mut emit = |change| {
            if let item::Change::Found(found) = change
                && found.source_key.for_operator() == name
                && let Outcome::Draft(draft) = drafting.register(&found).expect("drafted")
            {
                drafted = Some(*draft);
            }
            ControlFlow::Continue(())
        };
        ingest.adapter.scan(&item::MemoryItems::new(), &mut emit).expect("a scan");
        drafted.expect("found")
    }
}

/// A document that was removed while a member was alone was never registered, and nobody could tell that it had been there.
#[tokio::test]
async fn what_changes_and_goes_while_nothing_is_signed_is_signed_in_order_after_a_restart() {
    let mut home = Home::new();
    home.put("old.txt", "A-1");
    pass(&home.start().await).await;
    let publisher = home.stop_signing();
    let ingest = home.start().await;
    home.put("letter.txt", "A-1");
    home.put("gone.txt", "A-1");
    assert_eq!(pass(&ingest).await.found, 2);
    assert_eq!((home.size(), home.waiting()), (1, 2));
    // It counts as registered: nothing is drafted twice, neither by this process nor by the next.
    assert_eq!(pass(&ingest).await.unchanged, 3);
    assert_eq!(pass(&home.start().await).await.unchanged, 3);

    let ingest = home.start().await;
    home.put("letter.txt", "B-2");
    home.remove("gone.txt");
    home.remove("old.txt");
    let report = pass(&ingest).await;
    assert_eq!((report.found, report.gone), (1, 2));
    assert_eq!((home.size(), home.waiting()), (1, 5));
    assert!(home.locator("letter.txt").is_none(), "for readers nothing has changed");
    assert!(home.locator("old.txt").expect("registered").live);

    home.sign(&publisher).await;
    assert_eq!((home.size(), home.waiting()), (6, 0));
    let letter = home.pointer("letter.txt");
    assert_eq!((letter.version, letter.withdrawn), (2, false));
    assert!(home.pointer("gone.txt").withdrawn && home.pointer("old.txt").withdrawn);
    assert_eq!(pass(&home.start().await).await.unchanged, 1);
    assert_eq!(home.size(), 6);
}

/// Compared with the version that is registered, a document that went back to it would have been nothing new.
#[tokio::test]
async fn a_document_that_goes_back_to_what_is_registered_is_compared_with_what_waits() {
    let mut home = Home::new();
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    let publisher = home.stop_signing();
    let ingest = home.start().await;
    home.put("letter.txt", "B-2");
    pass(&ingest).await;
    home.put("letter.txt", "A-1");
    pass(&ingest).await;
    home.remove("letter.txt");
    pass(&ingest).await;
    home.put("letter.txt", "A-1");
    pass(&ingest).await;
    assert_eq!(home.waiting(), 4);
    home.sign(&publisher).await;
    let letter = home.pointer("letter.txt");
    assert_eq!((home.size(), letter.version, letter.withdrawn), (5, 1, false));
    let locator = home.locator("letter.txt").expect("registered");
    assert_eq!((locator.generation, locator.position), (1, 4), "a record of its own");
}

/// What waits goes first, also when it is signed again already.
#[tokio::test]
async fn what_is_found_goes_behind_what_waits() {
    let mut home = Home::new();
    let publisher = home.stop_signing();
    home.put("letter.txt", "A-1");
    let ingest = home.start().await;
    pass(&ingest).await;
    publisher.follow(&OwnLogState::Clear { answered: 0, asked: 0 });
    home.put("letter.txt", "B-2");
    pass(&ingest).await;
    assert_eq!((home.size(), home.waiting()), (0, 2));
    home.sign(&publisher).await;
    assert_eq!((home.size(), home.pointer("letter.txt").version), (2, 2));
    home.put("more.txt", "A-1");
    pass(&ingest).await;
    assert_eq!((home.size(), home.waiting()), (3, 0), "nothing waits, so it is signed at once");
}

/// Entries that came back from other members after a loss: a version that they register is not registered again.
#[tokio::test]
async fn a_draft_that_does_not_follow_any_more_becomes_what_does() {
    let mut home = Home::new();
    let first = home.start().await;
    home.put("same.txt", "A-1");
    home.put("other.txt", "A-1");
    // What our log will turn out to have.
    let mut same = home.drafted(&first, "same.txt").await;
    let mut other = home.drafted(&first, "other.txt").await;
    (same.locator, other.locator) = (None, None);
    let signed = home.context.publisher.clone();

    let publisher = home.stop_signing();
    home.put("other.txt", "B-2");
    pass(&home.start().await).await;
    assert_eq!((home.size(), home.waiting()), (0, 2));
    signed.publish(vec![same, other]).await.expect("signed");

    home.sign(&publisher).await;
    assert_eq!((home.size(), home.waiting()), (3, 0), "one is new");
    assert_eq!((home.pointer("same.txt").version, home.pointer("other.txt").version), (1, 2));
    assert_eq!(pass(&home.start().await).await.unchanged, 2);
    home.remove("same.txt");
    pass(&home.start().await).await;
    assert!(home.pointer("same.txt").withdrawn);
}

/// A draft that cannot be signed holds up nothing, and its source tells it anew.
#[tokio::test]
async fn what_is_refused_leaves_and_its_source_is_looked_at_again() {
    let mut home = Home::new();
    let signed = home.context.publisher.clone();
    let publisher = home.stop_signing();
    let ingest = home.start().await;
    pass(&ingest).await;
    home.put("letter.txt", "A-1");
    let draft = home.drafted(&ingest, "letter.txt").await;
    let Some(LocatorChange::Register(mut locator)) = draft.locator.clone() else { panic!("one") };
    locator.record = [9; 16];
    let blob = Blob::frame(&[1; 32], b"nobody reads this", Audience::Federation).expect("blob");
    let unreadable = OwnDraft {
        payload: blob.bytes().clone(),
        commitment: blob.payload_commitment(),
        detail: None,
        locator: Some(LocatorChange::Register(locator)),
        ..draft
    };
    let limits = OutboxLimits::DEFAULT;
    home.context.store.put_outbox(&[unreadable], 1, &limits).expect("put")[0]
        .as_ref()
        .expect("put");
    home.put("more.txt", "A-1");
    assert_eq!(pass(&ingest).await.unchanged, 1, "it counts as registered while it waits");
    let dropped = home.context.outbox.dropped();
    home.sign(&publisher).await;
    assert_eq!((home.size(), home.waiting()), (1, 0), "what came after it is signed");
    assert!(dropped.has_changed().expect("open"), "the sources are looked at again");
    assert!(home.context.store.blob(&blob.payload_commitment()).expect("read").is_none());
    pass(&ingest).await;
    assert_eq!(home.pointer("letter.txt").version, 1);
    drop(signed);
}

#[tokio::test]
async fn a_full_outbox_lets_things_wait_at_their_source() {
    let mut home = Home::new();
    let publisher = home.stop_signing();
    let limits = OutboxLimits { drafts: 1, ..OutboxLimits::DEFAULT };
    home.context.outbox = Outbox::new(home.context.store.clone(), limits);
    let ingest = home.start().await;
    assert!(home.context.outbox.has_room().await);
    home.put("first.txt", "A-1");
    pass(&ingest).await;
    assert!(!home.context.outbox.has_room().await);
    home.put("second.txt", "A-1");
    assert!(matches!(ingest.pass().await, Pass::TryAgain));
    assert_eq!(home.waiting(), 1);
    home.sign(&publisher).await;
    pass(&ingest).await;
    assert_eq!(home.size(), 2);
}
