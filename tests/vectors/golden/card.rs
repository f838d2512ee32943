//! Vectors of what travels beside the charter: member cards, and the grant of a subject key.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use prost::Message as _;
use serde_json::{Value, json};
use sundbro_ledger::card::{make_card, verify_card};
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::subject::{key_commitment, key_grant_info};
use sundbro_proto::ledger::v1;

use crate::json::File;
use crate::world::{
    self, HOSPITAL, KEY_IDS, LABORATORY, MUNICIPALITY, hospital, laboratory, name, seed,
};

pub(crate) fn member_card() -> File {
    let mut file = File::new(
        "member_card",
        7,
        "Member cards: an entry, signed by each of its keys that signs.",
    );
    let federation = world::history().federation_id();
    for (what, entry, federation) in [
        ("of a founder", hospital(), FederationId::FOUNDING),
        ("of one who joins later", laboratory(), federation),
    ] {
        let card = make_card(&entry, &federation, &world::signing_keys(entry.name.as_str()));
        let card = card.expect("all keys are there");
        assert_eq!(verify_card(&card, &federation).as_ref(), Ok(&entry));
        let first = world::first_seed(entry.name.as_str());
        let signers: Vec<Value> = (KEY_IDS.into_iter().take(3).zip(first..))
            .map(|(key_id, byte)| json!({ "key_id": key_id, "seed": hex::encode(seed(byte)) }))
            .collect();
        let signatures = card.signatures.iter().map(|one| hex::encode(&one.signature));
        file.case(
            what,
            json!({
                "entry": hex::encode(&card.entry),
                "federation_id": hex::encode(federation.as_bytes()),
                "signers": signers,
            }),
            json!({
                "signatures": signatures.collect::<Vec<_>>(),
                "card": hex::encode(card.encode_to_vec()),
            }),
        );
    }
    let card = make_card(&laboratory(), &federation, &world::signing_keys(LABORATORY));
    let card = card.expect("all keys are there");
    type Change = fn(&mut v1::MemberCard);
    let changes: [(&str, Change); 5] = [
        ("one key has not signed", |card| drop(card.signatures.remove(1))),
        ("one key signed twice", |card| card.signatures.insert(1, card.signatures[0].clone())),
        ("signatures out of order", |card| card.signatures.reverse()),
        ("a SEALING key that signs", |card| {
            let signature = card.signatures[0].signature.clone();
            card.signatures.push(v1::CardSignature { key_id: 4, signature });
        }),
        ("the signature of another key", |card| {
            card.signatures[1].signature = card.signatures[0].signature.clone();
        }),
    ];
    let mut cards: Vec<(&str, v1::MemberCard)> = changes
        .map(|(name, change)| {
            let mut card = card.clone();
            change(&mut card);
            (name, card)
        })
        .into();
    let founding =
        make_card(&laboratory(), &FederationId::FOUNDING, &world::signing_keys(LABORATORY));
    cards.push(("signed as a founder", founding.expect("all keys are there")));
    for (name, card) in cards {
        assert!(verify_card(&card, &federation).is_err(), "{name}");
        let context = json!({ "federation_id": hex::encode(federation.as_bytes()) });
        file.refuse(name, &card.encode_to_vec(), context);
    }
    file
}

/// Hands out the same byte for ever: what a vector asks of randomness.
struct Fixed(u8);

impl hpke::rand_core::TryRng for Fixed {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_be_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_be_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl hpke::rand_core::TryCryptoRng for Fixed {}

type X25519 = X25519HkdfSha256;

/// enc and ciphertext of a key, sealed to the member with this X25519 private key.
fn seal(secret: &[u8; 32], info: &[u8], key: &[u8], ikm: u8) -> (Vec<u8>, Vec<u8>) {
    let (enc, ciphertext) =
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519>(
            &OpModeS::Base,
            &<X25519 as Kem>::PublicKey::from_bytes(&world::x25519_public(secret))
                .expect("32 bytes"),
            info,
            key,
            &[],
            &mut Fixed(ikm),
        )
        .expect("seals");
    (enc.to_bytes().to_vec(), ciphertext)
}

fn open(secret: &[u8; 32], info: &[u8], grant: &v1::SubjectKeyGrant) -> Option<Vec<u8>> {
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519>(
        &OpModeR::Base,
        &<X25519 as Kem>::PrivateKey::from_bytes(secret).expect("32 bytes"),
        &<X25519 as Kem>::EncappedKey::from_bytes(&grant.enc).ok()?,
        info,
        &grant.ciphertext,
        &[],
    );
    opened.ok()
}

pub(crate) fn key_grant() -> File {
    let about = "The key of a subject epoch, sealed to a member. ephemeral_ikm is what the sender drew: the ephemeral \
                 key pair is DeriveKeyPair(ephemeral_ikm) of RFC 9180 section 7.1.3.";
    let mut file = File::new("key_grant", 8, about);
    let federation = world::history().federation_id();
    for (what, epoch, recipient, ikm) in
        [("to a municipality", 1, MUNICIPALITY, 0x61), ("of the next epoch", 2, HOSPITAL, 0x62)]
    {
        let secret = seed(world::first_seed(recipient) + 3);
        let key = world::subject_key(epoch);
        let info = key_grant_info(&federation, epoch, &name(recipient));
        let (enc, ciphertext) = seal(&secret, &info, key.expose(), ikm);
        let grant = v1::SubjectKeyGrant {
            epoch,
            sealing_key_id: 4,
            enc: enc.into(),
            ciphertext: ciphertext.into(),
        };
        assert_eq!(open(&secret, &info, &grant).as_deref(), Some(&key.expose()[..]));
        file.case(
            what,
            json!({
                "federation_id": hex::encode(federation.as_bytes()),
                "epoch": epoch,
                "recipient": recipient,
                "sealing_key_id": 4,
                "recipient_secret_key": hex::encode(secret),
                "ephemeral_ikm": hex::encode(seed(ikm)),
                "subject_key": hex::encode(key.expose()),
            }),
            json!({
                "recipient_public_key": hex::encode(world::x25519_public(&secret)),
                "info": hex::encode(&info),
                "enc": hex::encode(&grant.enc),
                "ciphertext": hex::encode(&grant.ciphertext),
                "grant": hex::encode(grant.encode_to_vec()),
            }),
        );
    }
    refused_grants(&mut file, &federation);
    file
}

/// Grants of epoch 1 to a municipality that it does not take.
fn refused_grants(file: &mut File, federation: &FederationId) {
    let secret = seed(world::first_seed(MUNICIPALITY) + 3);
    let key = world::subject_key(1);
    let commitment = key_commitment(1, &key);
    let info = |epoch, recipient| key_grant_info(federation, epoch, &name(recipient));
    let right = info(1, MUNICIPALITY);
    let another = world::subject_key(2);
    let founding = key_grant_info(&FederationId::FOUNDING, 1, &name(MUNICIPALITY));
    for (what, info, key, to) in [
        ("a key that the charter does not commit to", right.clone(), &another, &secret),
        ("sealed for another epoch", info(2, MUNICIPALITY), &key, &secret),
        ("sealed for another member", info(1, HOSPITAL), &key, &secret),
        ("sealed for another federation", founding, &key, &secret),
        ("sealed to another key", right.clone(), &key, &seed(0x63)),
    ] {
        let (enc, ciphertext) = seal(to, &info, key.expose(), 0x61);
        let grant = v1::SubjectKeyGrant {
            epoch: 1,
            sealing_key_id: 4,
            enc: enc.into(),
            ciphertext: ciphertext.into(),
        };
        let opened = open(&secret, &right, &grant);
        let bytes = opened.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let opened = bytes.map(sundbro_ledger::subject::SubjectKey::new);
        let taken = opened.is_some_and(|key| key_commitment(1, &key) == commitment);
        assert!(!taken, "{what}");
        let context = json!({
            "federation_id": hex::encode(federation.as_bytes()),
            "recipient": MUNICIPALITY,
            "recipient_secret_key": hex::encode(secret),
            "sealing_key_id": 4,
            "epoch": 1,
            "key_commitment": hex::encode(commitment),
        });
        file.refuse(what, &grant.encode_to_vec(), context);
    }
}
