//! What the owner's side keeps to: nonces are remembered, the map agrees with the register, the key is listed, frames are
//! as long as they may be.

use sundbro_ledger::retrieval::{Acknowledgement, AcknowledgementStatus};
use sundbro_proto::federation::v1 as federation;
use sundbro_store::audit::Nonce;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::super::signer::SignError;
use super::owner::{ask, refused};
use super::*;

/// A clock that is set back must not make a used request good again; what is older than that is not kept for ever.
#[tokio::test]
async fn nonces_are_remembered_for_a_day() {
    let world = World::new();
    let store = world.hospital.store.clone();
    let day_ago = NOW / 1000 - 24 * 3600;
    let once = |nonce: u8, asked: i64| {
        store.audit_append_once(KOMMUNE, &[nonce; 16], asked, &[]).expect("written")
    };
    assert_eq!(once(1, day_ago - 1), Nonce::Fresh);
    assert_eq!(once(2, day_ago), Nonce::Fresh);
    assert_eq!(once(3, day_ago + 1), Nonce::Fresh);
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.owner().run(stop.clone()));
    let forgotten = async {
        while once(1, day_ago - 1) == Nonce::Used {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), forgotten).await.expect("forgotten");
    assert_eq!((once(2, day_ago), once(3, day_ago + 1)), (Nonce::Used, Nonce::Used));
    stop.cancel();
    running.await.expect("ends when it is told to");
}

/// What a test changes in a map.
type Change = fn(&mut Locator);

/// Size and digest of the register are what a requester is promised: a map that points elsewhere is not followed.
#[tokio::test]
async fn a_map_that_does_not_agree_with_the_register_serves_nothing() {
    let changes: [(&str, Change); 5] = [
        ("not live", |it| it.live = false),
        ("an older version", |it| it.version = 0),
        ("a later version", |it| it.version = 2),
        ("another size", |it| it.size += 1),
        ("other content", |it| it.content = ContentDigest::new([9; 32])),
    ];
    for (what, change) in changes {
        let world = World::new();
        let store = &world.hospital.store;
        let mut locator = store.locator_of(&RECORD).expect("read").expect("mapped");
        change(&mut locator);
        store.put_locator(&locator).expect("written");
        let unavailable = (Code::Unavailable, "SOURCE_UNAVAILABLE".to_owned());
        assert_eq!(refused(world.owner(), &ask(&world, |_| {})).await, unavailable, "{what}");
        assert_eq!(world.source.opened.load(Ordering::SeqCst), 0, "{what}");
    }
}

#[test]
fn nothing_is_signed_with_a_key_that_is_not_listed_for_it() {
    let world = World::new();
    let Site { keys, charter, .. } = &world.hospital;
    let federation_id = world.hospital.federation_id();
    let sign = |key: SigningKey| {
        let signer = ServiceSigner::new(name(HOSPITAL), federation_id, key, charter.clone());
        signer.sign(|charter_version, key_id| Acknowledgement {
            completion: sundbro_ledger::ids::MessageDigest::new([1; 32]),
            status: AcknowledgementStatus::Matching,
            charter_version,
            key_id,
        })
    };
    // Our keys for entries and checkpoints, another member's SERVICE key, and nobody's.
    let stranger = SigningKey::from_seed(&[0x77; 32]);
    for key in [keys.key(1), keys.key(2), world.kommune.keys.key(3), stranger] {
        assert!(matches!(sign(key), Err(SignError::NotListed(1))));
    }
    assert_eq!(sign(keys.key(3)).expect("listed").body().key_id, 3);
    assert_eq!(format!("{:?}", world.hospital.signer), "ServiceSigner of hospital.example");
}

/// What a requester takes in one frame is what an owner sends in one.
#[tokio::test]
async fn a_long_record_comes_in_frames_of_256_kib() {
    let world = World::new();
    let request = ask(&world, |_| {}).to_wire();
    let stream = world.owner().retrieve(&name(KOMMUNE), request).await.expect("a stream");
    let data = |part: Result<federation::RetrieveRecordResponse, tonic::Status>| match part
        .expect("no error")
        .part
    {
        Some(federation::retrieve_record_response::Part::Data(data)) => Some(data.len()),
        _ => None,
    };
    // Frames of nothing would never come to an end.
    let parts: Vec<_> = stream.take(10).collect().await;
    let lengths: Vec<_> = parts.into_iter().filter_map(data).collect();
    assert_eq!(lengths, [262_144, 262_144, 600_000 - 2 * 262_144]);
}
