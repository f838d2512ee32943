//! Laws of charters and cards: what is followed is what the stewards signed, and each message has one encoding.

use prost::Message as _;
use sundbro_ledger::card::verify_card;
use sundbro_ledger::charter::{Charter, CharterHead, MAX_CHARTER_LEN};
use sundbro_ledger::ids::FederationId;
use sundbro_ledger::member::{Endpoint, MemberEntry, PublicKey};
use sundbro_proto::ledger::v1;

use crate::Verdict;
use crate::world::world;

/// Bytes as a charter head, and as a member entry.
pub fn head(bytes: &[u8]) -> Verdict {
    let head = CharterHead::parse(bytes);
    if let Ok(head) = &head {
        assert_eq!(head.to_bytes(), bytes, "a head has one encoding");
        assert_eq!(head.validate(), Ok(()));
    }
    let entry = MemberEntry::parse(bytes);
    if let Ok(entry) = &entry {
        assert_eq!(entry.to_bytes(), bytes, "a member entry has one encoding");
        assert_eq!(Endpoint::new(entry.endpoint.as_str()).as_ref(), Ok(&entry.endpoint));
    }
    Verdict::of(&head).or(Verdict::of(&entry))
}

/// Bytes as a Charter, offered to members who follow version 2.
pub fn charter(bytes: &[u8]) -> Verdict {
    match v1::Charter::decode(bytes) {
        Ok(wire) => charter_message(&wire),
        Err(_) => Verdict::Refused,
    }
}

/// The law of a charter that was read from a message.
pub(crate) fn charter_message(wire: &v1::Charter) -> Verdict {
    let read = Charter::from_wire(wire);
    let Ok(charter) = read else { return Verdict::Refused };
    let again = charter.to_wire();
    assert_eq!(&again, wire, "a charter has one form");
    assert!(again.encoded_len() <= MAX_CHARTER_LEN);
    let world = world();
    let mut history = world.history.clone();
    let mut versions = world.history.versions().chain([&world.third]);
    let signed = versions.any(|version| version.digest() == charter.digest());
    let offered = history.offer(charter);
    // Of a version that has a gap before it, or follows another head than ours, nothing is judged and nothing kept.
    assert!(signed || history == world.history, "the stewards signed no such version: {offered:?}");
    Verdict::Taken
}

/// Bytes as a MemberCard, above all of the federation's newcomer.
pub fn card(bytes: &[u8]) -> Verdict {
    let Ok(card) = v1::MemberCard::decode(bytes) else { return Verdict::Refused };
    let world = world();
    let mut believed = Verdict::Refused;
    for federation in [world.history.federation_id(), FederationId::FOUNDING] {
        if let Ok(entry) = verify_card(&card, &federation) {
            assert_eq!(entry.to_bytes(), card.entry);
            // Anybody makes keys and a card of their own; the newcomer's keys signed one.
            let newcomer = MemberEntry::parse(&world.card.entry).expect("ours");
            if signing(&entry).any(|key| signing(&newcomer).any(|own| own == key)) {
                assert_eq!(card.entry, world.card.entry, "its member signed another entry");
                assert_eq!(card.signatures, world.card.signatures, "a key signs a card once");
                assert_eq!(federation, world.history.federation_id());
            }
            believed = Verdict::Taken;
        }
    }
    believed
}

fn signing(entry: &MemberEntry) -> impl Iterator<Item = &PublicKey> {
    let keys = entry.keys.iter().map(|key| &key.public_key);
    keys.filter(|key| matches!(key, PublicKey::Ed25519(_)))
}
