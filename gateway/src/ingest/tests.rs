//! What stands in our log, our map and the quarantine after a folder changed, and after a restart.

use std::fs;

use sundbro_adapters::documents::{DocumentsAdapter, DocumentsSettings, IdentifierSystems};
use sundbro_adapters::profile::Profile;
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
use sundbro_store::{Identity, Locator, OpenOptions};
use tempfile::TempDir;

use super::*;
use crate::charter_book::CharterBook;
use crate::hub::Hub;
use crate::publisher::{self, PublisherContext};

const SYSTEM: &str = "http://mrn.example";

/// A hospital whose log, map and quarantine outlive the ingest that fills them, and its folder of documents.
struct Home {
    context: IngestContext,
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
        let (publisher, _) = publisher::spawn(PublisherContext {
            member: member.clone(),
            federation_id,
            origin,
            keys: keys.clone(),
            store: store.clone(),
            charter,
            hub: Arc::new(Hub::new()),
        })
        .expect("thread");
        publisher.allow();
        let stop = CancellationToken::new();
        let context = IngestContext { member, own_log, store, keys, subjects, publisher, stop };
        Self { context, folder: tempfile::tempdir().expect("folder"), _disk: disk }
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
        Ingest {
            context: self.context.clone(),
            handle: IngestHandle::new(adapter.clone()),
            adapter,
            poll_interval: Duration::from_secs(3600),
            seen: Arc::default(),
        }
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
        Pass::TryAgain => panic!("the pass is to be repeated"),
    }
}

/// A sidecar named the wrong person and was corrected after a new subject epoch had begun: only the number of persons
/// was compared, so the wrong one went on finding the record and the right one never did.
#[tokio::test]
async fn a_corrected_person_is_a_new_version_in_whichever_epoch_the_old_one_was_written() {
    let home = Home::new();
    home.put("letter.txt", "anna");
    pass(&home.start().await).await;
    let before = home.pointer("letter.txt");
    assert_eq!((before.version, before.subjects[0].epoch), (1, 1));

    home.context.subjects.insert(2, SubjectKey::new([2; 32])).expect("epoch 2");
    // The same person under a new key is nothing new.
    home.put("letter.txt", "anna");
    pass(&home.start().await).await;
    assert_eq!(home.pointer("letter.txt").subjects, before.subjects);

    home.put("letter.txt", "berta");
    pass(&home.start().await).await;
    let after = home.pointer("letter.txt");
    assert_eq!((after.version, after.subjects[0].epoch), (2, 2));
}
