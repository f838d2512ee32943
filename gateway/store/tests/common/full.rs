//! A store with rows in every table: two logs, late and missing blobs, locators, quarantine, drafts
//! that wait, an audit log.

use std::path::Path;

use prost::Message;
use sundbro_ledger::blob::Blob;
use sundbro_ledger::ids::{ContentDigest, MessageDigest};
use sundbro_ledger::transaction::Audience;
use sundbro_proto::ledger::v1;
use sundbro_store::audit::{AuditRecord, PendingAcknowledgement, message_digest};
use sundbro_store::{
    Locator, LocatorChange, LogState, Observing, OutboxLimits, Quarantined, RequestKey, Start,
    Store,
};

use super::{HOUR, Keys, Member, append, blobs, draft_of_blob, keys, register, replicate, says};

pub struct Full {
    pub owner: Member,
    pub other: Member,
    pub keys: Keys,
}

pub fn fold(store: &Store, keys: &Keys) {
    while !store.fold(keys, 1000).expect("fold").finished {}
}

pub fn audit(n: u8) -> AuditRecord {
    let message = vec![n; 100];
    AuditRecord {
        kind: "REQUEST_RECEIVED".to_owned(),
        unix_millis: 1_700_000_000_000 + i64::from(n),
        record: format!("hospital.example/records/{}", hex::encode([n % 3; 16])),
        peer: "gp.example".to_owned(),
        user: format!("user-{n}"),
        role: "midwife".to_owned(),
        purpose: "TREATMENT".to_owned(),
        message_sha256: message_digest(&message),
        message,
        ..AuditRecord::default()
    }
}

/// Fills a new store in `dir`, and closes it.
pub fn full(dir: &Path) -> Full {
    let (owner, other) = (Member::new("hospital.example", 1), Member::new("gp.example", 2));
    let keys = keys(&[&owner, &other]);
    let store = owner.open(dir);
    own_log(&store, &owner);
    replica(&store, &other, &keys);
    observe(&store, &owner, &keys);
    store
        .answer_for(&other.log(), &Start { incarnation: 3, instance_id: [7; 16] })
        .expect("a promise");
    fold(&store, &keys);
    for n in 0..40 {
        let nonce = [n; 16];
        store.audit_append_once("gp.example", &nonce, 1_700_000_000, &[audit(n)]).expect("audit");
        let pending = PendingAcknowledgement {
            completion: MessageDigest::new([n; 32]),
            owner: "gp.example".to_owned(),
            message: vec![n; 80],
            unix_seconds: 1_700_000_000,
        };
        store.queue_acknowledgement(&pending, &[]).expect("queue");
        let head = v1::CharterHead { version: u64::from(n) + 1, ..v1::CharterHead::default() };
        let head = head.encode_to_vec().into();
        store.put_charter(&v1::Charter { head, ..v1::Charter::default() }).expect("charter");
        let item = Quarantined {
            adapter: "documents".to_owned(),
            source_key: vec![n],
            reason: "NO_PATIENT_IDENTIFIER".to_owned(),
            message: "add one of the configured identifiers".to_owned(),
            unix_seconds: 1_700_000_000,
        };
        store.quarantine(&item).expect("quarantine");
    }
    let waits = (0..9).map(|n| {
        let mut draft = register(&owner, 7000 + u64::from(n), &says(210 + n, 1));
        draft.locator = Some(LocatorChange::Register(locator(210 + n)));
        draft
    });
    let waits: Vec<_> = waits.collect();
    store.put_outbox(&waits, 1_700_000_000, &OutboxLimits::DEFAULT).expect("they wait");
    // Above what is here, so that it changes nothing else.
    for size in 500..503 {
        store.put_evidence(&other.two_roots(size), &keys).expect("evidence");
    }
    let state = LogState::Stopped { position: 90, reason: "BAD_SIGNATURE".to_owned() };
    store.mark_log(&other.log(), &state).expect("mark");
    Full { owner, other, keys }
}

fn locator(n: u8) -> Locator {
    Locator {
        adapter: "documents".to_owned(),
        source_key: vec![b'k', n],
        record: [n; 16],
        version: 1,
        generation: 0,
        content: ContentDigest::new([n; 32]),
        size: 100,
        fingerprint: vec![n; 12],
        document_id: None,
        position: 0,
        live: true,
    }
}

fn own_log(store: &Store, owner: &Member) {
    for group in 0..6u8 {
        let mut drafts = Vec::new();
        for n in group * 10..group * 10 + 10 {
            let mut said = says(n, 1);
            said.subjects = vec![n % 7, n % 7 + 10];
            said.replaces = (n % 2 == 1).then(|| n - 1);
            let mut draft = register(owner, u64::from(n), &said);
            draft.request = Some(RequestKey { id: vec![n], content: [n; 32] });
            draft.locator = Some(LocatorChange::Register(locator(n)));
            drafts.push(draft);
        }
        append(store, owner, drafts);
    }
    let mut odd = Vec::new();
    for n in 0..22u8 {
        let future = [0xa2, 0x06, 0x01, n];
        let future = [&future[..2], &[0x02, 0x08, n]].concat();
        odd.push(draft_of_blob(&Blob::frame(&[n; 32], &future, Audience::Federation).expect("b")));
        odd.push(register(owner, 1000 + u64::from(n), &says(n, 5)));
    }
    append(store, owner, odd);
}

/// Vouches for the other member's log.
fn observe(store: &Store, owner: &Member, keys: &Keys) {
    let mut observing = Observing { owners: keys, limit: &|_| None, salt: &mut || Ok([0x0b; 32]) };
    let observed = store.observe(&mut observing, &owner.signer(), HOUR, keys);
    let observed = observed.expect("observes").appended;
    assert!(observed.is_some(), "the other log is new");
}

/// The other member's log: the payloads of some versions missing, and those of the versions after them here.
fn replica(store: &Store, other: &Member, keys: &Keys) {
    let folder = tempfile::tempdir().expect("folder");
    let from = other.open(folder.path());
    let said = |n: u8| if n < 80 { says(n, 1) } else { says(n - 20, 2) };
    let drafts: Vec<_> = (0..90).map(|n| register(other, u64::from(n), &said(n))).collect();
    append(&from, other, drafts.clone());
    replicate(&from, store, other, keys);
    store.put_blobs(&blobs(&drafts[..30])).expect("blobs");
    fold(store, keys);
    // Payloads without their details.
    let mut half = blobs(&drafts[30..60]);
    half.retain(|blob| blob.kind == sundbro_store::BlobKind::Payload);
    store.put_blobs(&half).expect("blobs");
    store.put_blobs(&blobs(&drafts[80..])).expect("blobs");
}
