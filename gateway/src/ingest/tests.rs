//! What stands in our log, our map and the quarantine after a folder changed, and after a restart.

mod outbox;

use std::fs;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::profile::Profile;
use sundbro_adapters::{self as item, KnownItems as _, SourceKey};
use sundbro_ledger::card::make_card;
use sundbro_ledger::charter::Environment;
use sundbro_ledger::checkpoint::Origin;
use sundbro_ledger::drafting::Draft;
use sundbro_ledger::ids::{FederationId, RecordId};
use sundbro_ledger::member::{
    Endpoint, KeyPurpose, LogEpoch, MemberEntry, MemberKey, MemberRole, MemberState, PublicKey,
};
use sundbro_ledger::signing::SigningKey;
use sundbro_ledger::subject::SubjectKey;
use sundbro_store::index::RecordPointer;
use sundbro_store::{Identity, Locator, OpenOptions, OutboxLimits};
use tempfile::TempDir;

use super::*;
use crate::charter_book::CharterBook;
use crate::hub::Hub;
use crate::publisher::{self, PublisherContext};
use crate::replication::{OwnLogCheck, OwnLogState};

const SYSTEM: &str = "http://mrn.example";

/// A hospital whose log, map and quarantine outlive the ingest that fills them, and its folder of documents.
struct Home {
    context: IngestContext,
    charter: Arc<CharterBook>,
    folder: TempDir,
    _disk: TempDir,
}

impl Home {
    fn new() -> Self {
        let disk = tempfile::tempdir().expect("folder");
        let keys = Arc::new(OwnKeys::create(&disk.path().join("keys")).expect("keys"));
        let member = MemberName::new("hospital.example").expect("name");
        let steward = SigningKey::from_seed(&[0x51; 32]);
        let mut draft = Draft::found(Environment::Test);
        draft.add_steward("Region", steward.public());
        let own = [keys.transaction.clone(), keys.checkpoint.clone(), keys.service.clone()];
        let card = make_card(&entry(&member, &own), &FederationId::FOUNDING, &own).expect("card");
        draft.add_member(&card).expect("founder");
        draft.set_authority(vec![0x30; 64].into(), [member.clone()]);
        draft.add_subject_epoch(|_| [1; 32]);
        let mut proposal = draft.propose().expect("proposal");
        proposal.sign(&steward).expect("steward");
        let charter = proposal.finish().expect("version 1");

        let federation_id = FederationId::new(*charter.digest().as_bytes());
        let origin = Origin::new(&member, &federation_id, 1);
        let own_log = origin.log_id();
        let options = OpenOptions {
            identity: Identity { federation_id, own_log },
            gate: None,
            cache_bytes: 4 << 20,
            recreate_gate: false,
        };
        let store = Arc::new(Store::open(&disk.path().join("data"), options).expect("store"));
        store.put_charter(&charter.to_wire()).expect("charter");
        let charter = Arc::new(CharterBook::open(store.clone(), &federation_id).expect("charter"));
        let subjects =
            Arc::new(SubjectKeys::open(&disk.path().join("keys")).expect("subject keys"));
        subjects.insert(1, SubjectKey::new([1; 32])).expect("epoch 1");
        let publisher = publishing(&member, &keys, &store, &charter);
        publisher.follow(&OwnLogState::Clear { answered: 0, asked: 0 });
        let stop = CancellationToken::new();
        let outbox = Outbox::new(store.clone(), OutboxLimits::DEFAULT);
        let context =
            IngestContext { member, own_log, store, keys, subjects, publisher, outbox, stop };
        Self { context, charter, folder: tempfile::tempdir().expect("folder"), _disk: disk }
    }

    /// What a start of the gateway makes: it knows what the store knows.
    async fn start(&self) -> Ingest {
        let systems = IdentifierSystems::All;
        let mut settings =
            DocumentsSettings::new("documents", self.folder.path(), systems, Profile::None);
        settings.settle = Duration::ZERO;
        self.start_with(Arc::new(DocumentsAdapter::new(settings))).await
    }

    async fn start_with(&self, adapter: Arc<dyn Adapter>) -> Ingest {
        let ingest = Ingest {
            context: self.context.clone(),
            handle: IngestHandle::new(adapter.clone()),
            notes: Notes::open(&self.context.store, adapter.clone()),
            adapter,
            poll_interval: Duration::from_secs(3600),
            seen: Arc::default(),
        };
        ingest.remember_what_is_stored().await.expect("read");
        ingest
    }

    /// A file and its sidecar.
    fn put(&self, name: &str, person: &str) {
        let path = self.folder.path().join(name);
        if !path.exists() {
            fs::write(&path, format!("content of {name}")).expect("file");
        }
        let sidecar = serde_json::json!({
            "subjects": [{"system": SYSTEM, "value": person}],
            "media_type": "text/plain", "confidentiality": "N", "lifecycle": "final",
            "document_id": {"system": "urn:x", "value": "17"},
        });
        fs::write(self.folder.path().join(format!("{name}.meta.json")), sidecar.to_string())
            .expect("sidecar");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).expect("file");
        drop(fs::remove_file(self.folder.path().join(format!("{name}.meta.json"))));
    }

    fn locator(&self, name: &str) -> Option<Locator> {
        self.context.store.locator("documents", name.as_bytes()).expect("read")
    }

    fn pointer(&self, name: &str) -> RecordPointer {
        let id = self.locator(name).expect("registered").record;
        let record = RecordId { member: self.context.member.clone(), id };
        self.context.store.record(&record).expect("read").expect("a record")
    }

    /// The reasons in the quarantine.
    fn quarantined(&self) -> Vec<String> {
        let (items, _) = self.context.store.quarantined(&[], 100).expect("read");
        items.into_iter().map(|item| item.reason).collect()
    }
}

/// A publisher that does not append before it is allowed to.
fn publishing(
    member: &MemberName,
    keys: &Arc<OwnKeys>,
    store: &Arc<Store>,
    charter: &Arc<CharterBook>,
) -> PublisherHandle {
    let federation_id = charter.history().federation_id();
    let context = PublisherContext {
        member: member.clone(),
        federation_id,
        origin: Origin::new(member, &federation_id, 1),
        keys: keys.clone(),
        store: store.clone(),
        charter: charter.clone(),
        hub: Arc::new(Hub::new()),
        // A federation of one: nobody is asked.
        own_log: Arc::new(OwnLogCheck::new(store.identity().own_log, store)),
        shown: Arc::default(),
        world: crate::world::World::of_this_machine(),
    };
    publisher::spawn(context, tokio::runtime::Handle::current()).expect("thread").0
}

fn entry(member: &MemberName, own: &[SigningKey; 3]) -> MemberEntry {
    let purposes =
        [(KeyPurpose::Transaction, 1), (KeyPurpose::Checkpoint, 1), (KeyPurpose::Service, 0)];
    let key = |(id, (key, (purpose, log_epoch))): (u32, (&SigningKey, _))| MemberKey {
        key_id: id,
        purpose,
        public_key: PublicKey::Ed25519(key.public()),
        log_epoch,
        from: 0,
        to: None,
    };
    MemberEntry {
        name: member.clone(),
        display_name: "Test hospital".to_owned(),
        identifiers: Vec::new(),
        roles: vec![MemberRole::Hospital],
        state: MemberState::Active,
        endpoint: Endpoint::new("gateway.hospital.example:7443").expect("endpoint"),
        keys: (1..).zip(own.iter().zip(purposes)).map(key).collect(),
        log_epochs: vec![LogEpoch { epoch: 1, end: None }],
    }
}

async fn pass(ingest: &Ingest) -> ScanReport {
    match ingest.pass().await {
        Pass::Done(report) => report,
        Pass::TryAgain | Pass::Failed => panic!("the pass is to be repeated"),
    }
}

/// A sidecar named the wrong person and was corrected after a new subject epoch had begun: only the number of persons
/// was compared, so the wrong one went on finding the record and the right one never did.
#[tokio::test]
async fn a_corrected_person_is_a_new_version_in_whichever_epoch_the_old_one_was_written() {
    let home = Home::new();
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    let before = home.pointer("letter.txt");
    assert_eq!((before.version, before.subjects[0].epoch), (1, 1));

    home.context.subjects.insert(2, SubjectKey::new([2; 32])).expect("epoch 2");
    // The same person under a new key is nothing new.
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    assert_eq!(home.pointer("letter.txt").subjects, before.subjects);

    home.put("letter.txt", "B-2");
    pass(&home.start().await).await;
    let after = home.pointer("letter.txt");
    assert_eq!((after.version, after.subjects[0].epoch), (2, 2));
}

/// With payloads from an older copy the index does not show what our log holds, and a changed file became version 1 again.
#[tokio::test]
async fn a_version_that_the_index_does_not_show_is_not_given_twice() {
    let home = Home::new();
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    let known = Locator { version: 7, ..home.locator("letter.txt").expect("registered") };
    home.context.store.put_locator(&known).expect("written");
    home.put("letter.txt", "B-2");
    pass(&home.start().await).await;
    assert_eq!(home.locator("letter.txt").expect("registered").version, 8);
}

/// Document ids were remembered by the process alone: after a restart a copy went unnoticed.
#[tokio::test]
async fn two_items_with_one_document_id_are_seen_after_a_restart_too() {
    let home = Home::new();
    home.put("a.txt", "A-1");
    pass(&home.start().await).await;
    let ingest = home.start().await;
    let id = home.locator("a.txt").expect("registered").document_id.expect("an id");
    let holder = |ingest: &Ingest| {
        let known = Known {
            store: home.context.store.clone(),
            adapter: ingest.adapter.clone(),
            seen: ingest.seen.clone(),
            notes: ingest.notes.clone(),
            stop: CancellationToken::new(),
        };
        known.holder_of(&id).map(|key| key.for_operator())
    };
    assert_eq!(holder(&ingest).as_deref(), Some("a.txt"));
    // Who is gone holds nothing, and who takes its place does.
    home.remove("a.txt");
    home.put("b.txt", "A-1");
    pass(&ingest).await;
    assert_eq!(holder(&ingest).as_deref(), Some("b.txt"));
    assert_eq!(holder(&home.start().await).as_deref(), Some("b.txt"));
}

/// What was removed while the gateway was down stayed listed in quarantine for ever.
#[tokio::test]
async fn an_item_that_went_while_the_gateway_was_down_leaves_the_quarantine() {
    let home = Home::new();
    fs::write(home.folder.path().join("alone.pdf"), "%PDF").expect("file");
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    assert_eq!(home.quarantined(), ["NO_SIDECAR"]);
    // A passing reason keeps no looks, and the record beside it.
    let ingest = home.start().await;
    let unreadable = item::Quarantined {
        source_key: SourceKey::from_bytes("letter.txt"),
        fingerprint: None,
        reason: item::QuarantineReason::Unreadable,
        message: String::new(),
    };
    assert!(ingest.take(vec![item::Change::Quarantined(unreadable)]).await);
    assert_eq!(home.quarantined().len(), 2);
    assert!(home.locator("letter.txt").expect("registered").live);

    home.remove("alone.pdf");
    home.remove("letter.txt");
    let report = pass(&home.start().await).await;
    assert_eq!((report.gone, home.quarantined().len()), (2, 0));
    assert!(home.pointer("letter.txt").withdrawn);
}

/// An item that became readable again looked as it did before, so it was never read again.
#[tokio::test]
async fn what_could_not_be_read_is_read_in_each_pass_until_it_can() {
    let home = Home::new();
    home.put("letter.txt", "A-1");
    let ingest = home.start().await;
    pass(&ingest).await;
    let unreadable = item::Quarantined {
        source_key: SourceKey::from_bytes("letter.txt"),
        fingerprint: None,
        reason: item::QuarantineReason::ChangedWhileRead,
        message: String::new(),
    };
    assert!(ingest.take(vec![item::Change::Quarantined(unreadable)]).await);
    assert_eq!(pass(&ingest).await.found, 1);
    assert_eq!(home.quarantined(), [""; 0]);
    assert_eq!(pass(&ingest).await.unchanged, 1);
}

/// A gateway that was started again while a share came back file by file withdrew what was not back yet.
#[tokio::test]
async fn a_source_that_was_emptied_is_held_over_a_start() {
    let home = Home::new();
    let name = |item: u32| format!("{item}.txt");
    (0..12).for_each(|item| home.put(&name(item), "A-1"));
    let ingest = home.start().await;
    pass(&ingest).await;
    (0..12).for_each(|item| home.remove(&name(item)));
    assert!(matches!(ingest.pass().await, Pass::Failed));
    (0..8).for_each(|item| home.put(&name(item), "A-1"));
    let ingest = home.start().await;
    let passes = *ingest.handle.passes.borrow();
    assert!(matches!(ingest.pass().await, Pass::Failed), "four are missing still");
    assert!(*ingest.handle.passes.borrow() > passes, "whoever waits for a record waits no longer");
    assert!((0..12).all(|item| home.locator(&name(item)).expect("registered").live));
    (8..12).for_each(|item| home.put(&name(item), "A-1"));
    pass(&ingest).await;
    home.remove(&name(0));
    assert_eq!(pass(&home.start().await).await.gone, 1, "all were back, so one may go");
}

/// The same below a folder of the source, and what is told in each pass is written once.
#[tokio::test]
async fn a_folder_that_was_emptied_is_held_over_a_start() {
    let home = Home::new();
    let ward = home.folder.path().join("ward");
    fs::create_dir(&ward).expect("folder");
    (0..12).for_each(|item| home.put(&format!("ward/{item}.txt"), "A-1"));
    (0..20).for_each(|item| home.put(&format!("{item}.txt"), "A-1"));
    let ingest = home.start().await;
    pass(&ingest).await;
    (0..12).for_each(|item| home.remove(&format!("ward/{item}.txt")));
    assert!(!pass(&ingest).await.complete);
    assert_eq!(home.quarantined(), ["FOLDER_EMPTIED"]);
    let rows = || home.context.store.quarantined(&[], 100).expect("read").0;
    let mut row = rows().remove(0);
    row.unix_seconds = 1;
    home.context.store.quarantine(&row).expect("written");
    pass(&ingest).await;
    assert_eq!(rows()[0].unix_seconds, 1, "its time is that of its first");
    (0..9).for_each(|item| home.put(&format!("ward/{item}.txt"), "A-1"));
    assert_eq!(pass(&home.start().await).await.gone, 0);
    fs::remove_dir_all(&ward).expect("removed");
    assert_eq!(pass(&home.start().await).await.gone, 13, "the folder with them");
}

/// After a change of settings a source that was never quiet was read again in each pass.
#[tokio::test]
async fn what_was_read_after_a_change_of_settings_is_not_read_again() {
    let home = Home::new();
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    let mut settings = DocumentsSettings::new(
        "documents",
        home.folder.path(),
        IdentifierSystems::from_list(&[SYSTEM.to_owned()], Profile::None).expect("a list"),
        Profile::None,
    );
    settings.settle = Duration::from_secs(3600);
    let written = |name: &str, when: std::time::SystemTime| {
        let file = fs::File::options().write(true).open(home.folder.path().join(name));
        file.expect("file").set_modified(when).expect("set");
    };
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7 * 86_400);
    home.put("old.txt", "A-1");
    ["old.txt", "old.txt.meta.json"].into_iter().for_each(|name| written(name, long_ago));
    home.put("new.txt", "A-1");
    let ingest = home.start_with(Arc::new(DocumentsAdapter::new(settings))).await;
    let first = pass(&ingest).await;
    assert_eq!((first.found, first.complete), (1, false), "two of three are still being written");
    let second = pass(&ingest).await;
    assert_eq!((second.found, second.unchanged), (0, 1));
}

/// One value with a line break in it made a detail that is void for ever, and a record that nobody could retrieve.
#[tokio::test]
async fn metadata_that_the_ledger_does_not_take_is_quarantined_and_holds_up_nothing() {
    let home = Home::new();
    home.put("bad.txt", "A-1");
    home.put("good.txt", "A-1");
    let ingest = home.start().await;
    let mut changes = Vec::new();
    ingest
        .adapter
        .scan(&item::MemoryItems::new(), &mut |mut change| {
            if let item::Change::Found(found) = &mut change
                && found.source_key.for_operator() == "bad.txt"
            {
                let (system, code) = ("http://loinc.org".to_owned(), "57059\n8".to_owned());
                found.class = Some(item::Coding { system, code });
            }
            changes.push(change);
            ControlFlow::Continue(())
        })
        .expect("a scan");
    assert!(ingest.take(changes).await, "the pass goes on");
    assert_eq!(home.quarantined(), ["METADATA_REFUSED"]);
    assert!(home.locator("bad.txt").is_none());
    assert!(home.pointer("good.txt").detail.is_some());
}

/// The publisher stopped between quarantine and withdrawal: the item counted as told, and its record stayed published.
#[tokio::test]
async fn a_record_whose_withdrawal_was_not_published_is_withdrawn_in_a_later_pass() {
    let mut home = Home::new();
    home.put("letter.txt", "A-1");
    pass(&home.start().await).await;
    let sidecar = home.folder.path().join("letter.txt.meta.json");
    let restricted = fs::read_to_string(&sidecar).expect("sidecar").replace("\"N\"", "\"R\"");
    fs::write(&sidecar, restricted + "\n").expect("sidecar");

    let IngestContext { member, keys, store, .. } = &home.context;
    let publisher = publishing(member, keys, store, &home.charter);
    home.context.publisher = publisher.clone();
    // No place to wait either.
    let store = home.context.store.clone();
    home.context.outbox = Outbox::new(store, OutboxLimits { drafts: 0, bytes: 0 });
    let ingest = home.start().await;
    assert!(matches!(ingest.pass().await, Pass::TryAgain));
    publisher.follow(&OwnLogState::Clear { answered: 0, asked: 0 });
    pass(&ingest).await;
    assert!(home.pointer("letter.txt").withdrawn);
}

/// A source in which something changes all the time and nothing is new, scanned until somebody says stop.
#[derive(Default)]
struct Restless {
    scans: watch::Sender<u32>,
    endless: bool,
    ended: Arc<Notify>,
}

impl Adapter for Restless {
    fn name(&self) -> &str {
        "restless"
    }

    fn settings_digest(&self) -> [u8; 32] {
        [0; 32]
    }

    fn scan(
        &self,
        known: &dyn item::KnownItems,
        _: item::Emit<'_>,
    ) -> Result<ScanReport, item::ScanError> {
        self.scans.send_modify(|scans| *scans += 1);
        while self.endless && !known.should_stop() {
            std::thread::yield_now();
        }
        self.ended.notify_one();
        Ok(ScanReport { complete: !self.endless, ..ScanReport::default() })
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }

    fn open<'a>(
        &'a self,
        _: &'a SourceKey,
        _: &'a item::Fingerprint,
    ) -> BoxFuture<'a, Result<item::Content, item::OpenError>> {
        std::future::ready(Err(item::OpenError::Gone)).boxed()
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}

/// In a folder that changed all the time one scan began as the other ended.
#[tokio::test]
async fn a_source_that_changes_all_the_time_is_not_scanned_all_the_time() {
    let home = Home::new();
    let source = Arc::new(Restless::default());
    let (handle, task) = spawn(home.context.clone(), source.clone(), Duration::from_secs(3600));
    let mut scans = source.scans.subscribe();
    scans.wait_for(|scans| *scans == 1).await.expect("the first scan");
    let second = tokio::time::timeout(LEAST_PAUSE / 5, scans.changed()).await;
    assert!(second.is_err(), "it rests");
    // Who waits for a record does not wait for the rest of the source.
    handle.look_again_and_wait().await;
    assert!(*scans.borrow() >= 3);
    home.context.stop.cancel();
    task.await.expect("ended");
}

/// A scan without news emitted nothing and so heard of no stop: the process lived on, with its database locked.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_finds_nothing_new_ends_when_the_gateway_stops() {
    let home = Home::new();
    let source = Arc::new(Restless { endless: true, ..Restless::default() });
    let (_handle, task) = spawn(home.context.clone(), source.clone(), Duration::from_secs(3600));
    source.scans.subscribe().wait_for(|scans| *scans == 1).await.expect("the scan");
    home.context.stop.cancel();
    task.await.expect("ended");
    source.ended.notified().await;
}
