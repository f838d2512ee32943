//! Member cards: a member's own word on its entry, by which it enters a charter or changes there.
//!
//! Each signing key of the entry signs it, so that nobody lists a key that the member does not hold. The card names the
//! federation; the cards of a federation's founders are signed under [`FederationId::FOUNDING`].

use sundbro_proto::ledger::v1;

use crate::canonical::strictly_ascending;
use crate::fields::field;
use crate::ids::FederationId;
use crate::member::{MemberEntry, MemberError};
use crate::signing::{Purpose, Signature, SigningKey, VerifyingKey};

/// Why a card was not made or not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// The entry breaks a rule.
    #[error("the member entry of the card breaks a rule")]
    Entry(#[from] MemberError),
    /// A key of the entry did not sign, or its private half was not given.
    #[error("key {key_id} of the entry has not signed the card: each of its signing keys must")]
    NotSigned {
        /// The key.
        key_id: u32,
    },
    /// A signature by a key that the entry does not list as a signing key.
    #[error("the card is signed with key {key_id}, which its entry does not list as a signing key")]
    UnknownKey {
        /// The key.
        key_id: u32,
    },
    /// A signature does not verify: another federation, another entry, or a wrong key.
    #[error("the signature of key {key_id} is wrong: is the card for this federation?")]
    BadSignature {
        /// The key.
        key_id: u32,
    },
    /// Signatures ascend by key id and none stands twice.
    #[error("the signatures of the card must ascend by key id, none twice")]
    Order,
}

/// Makes a card: the entry, signed with each of its signing keys. The keys are found by their public halves.
///
/// # Errors
/// Fails when the entry breaks a rule, or a signing key of it is not among `keys`.
pub fn make_card(
    entry: &MemberEntry,
    federation: &FederationId,
    keys: &[SigningKey],
) -> Result<v1::MemberCard, CardError> {
    sign(entry, federation, keys, |_, _| false)
}

/// Makes the card by which a member's entry changes: signed with each signing key that is not in `before`, the entry that
/// the charter lists, and with those of the others that are given.
///
/// # Errors
/// Fails when the entry breaks a rule, or a signing key that is new is not among `keys`.
pub fn make_renewal(
    entry: &MemberEntry,
    before: &MemberEntry,
    federation: &FederationId,
    keys: &[SigningKey],
) -> Result<v1::MemberCard, CardError> {
    sign(entry, federation, keys, |key_id, public| is_listed(before, key_id, public))
}

/// Checks a card and gives its entry.
///
/// # Errors
/// Fails when the entry breaks a rule, or not exactly its signing keys signed it for this federation.
pub fn verify_card(
    card: &v1::MemberCard,
    federation: &FederationId,
) -> Result<MemberEntry, CardError> {
    verify(card, federation, |_, _| false)
}

/// Checks the card by which a member's entry changes. A signing key that `before` lists need not have signed: it did when it
/// entered, and it may be lost.
///
/// So nobody lists a key that he does not hold. Whether the card is the member's, only a signature by a key that was listed
/// tells ([`is_signed_as_listed`]); without one, stewards ask the member on another way.
///
/// # Errors
/// Fails when the entry breaks a rule, a signature is wrong, or a signing key that is new has not signed.
pub fn verify_renewal(
    card: &v1::MemberCard,
    before: &MemberEntry,
    federation: &FederationId,
) -> Result<MemberEntry, CardError> {
    verify(card, federation, |key_id, public| is_listed(before, key_id, public))
}

/// Whether a key that `before` lists, and that was not closed, has signed the card. The card has been verified.
pub fn is_signed_as_listed(card: &v1::MemberCard, before: &MemberEntry) -> bool {
    let listed = |key_id: u32| before.key(key_id).is_some_and(|key| key.to.is_none());
    card.signatures.iter().any(|one| listed(one.key_id))
}

/// The entry, signed with each signing key of it that is given; which of them need not be, the caller says.
fn sign(
    entry: &MemberEntry,
    federation: &FederationId,
    keys: &[SigningKey],
    may_be_silent: impl Fn(u32, &VerifyingKey) -> bool,
) -> Result<v1::MemberCard, CardError> {
    entry.validate()?;
    let bytes = entry.to_bytes();
    let mut signatures = Vec::new();
    for (key_id, public) in signing_keys(entry) {
        match keys.iter().find(|key| key.public() == *public) {
            Some(key) => {
                let signature = key.sign(Purpose::MemberCard, federation, &bytes);
                let signature = field(signature.as_bytes());
                signatures.push(v1::CardSignature { key_id, signature });
            }
            None if may_be_silent(key_id, public) => {}
            None => return Err(CardError::NotSigned { key_id }),
        }
    }
    Ok(v1::MemberCard { entry: bytes, signatures })
}

fn is_listed(before: &MemberEntry, key_id: u32, public: &VerifyingKey) -> bool {
    before.key(key_id).and_then(|key| key.verifying_key()) == Some(public)
}

fn verify(
    card: &v1::MemberCard,
    federation: &FederationId,
    may_be_silent: impl Fn(u32, &VerifyingKey) -> bool,
) -> Result<MemberEntry, CardError> {
    let entry = MemberEntry::parse(&card.entry)?;
    if !strictly_ascending(card.signatures.iter().map(|one| one.key_id)) {
        return Err(CardError::Order);
    }
    for v1::CardSignature { key_id, signature } in &card.signatures {
        let key_id = *key_id;
        let key = entry.key(key_id).and_then(|key| key.verifying_key());
        let key = key.ok_or(CardError::UnknownKey { key_id })?;
        let signature = Signature::try_from(&signature[..]);
        let signature = signature.map_err(|_| CardError::BadSignature { key_id })?;
        key.verify(Purpose::MemberCard, federation, &card.entry, &signature)
            .map_err(|_| CardError::BadSignature { key_id })?;
    }
    let signed = |key_id: u32| card.signatures.iter().any(|one| one.key_id == key_id);
    let silent = signing_keys(&entry)
        .find(|(key_id, public)| !signed(*key_id) && !may_be_silent(*key_id, public));
    match silent {
        Some((key_id, _)) => Err(CardError::NotSigned { key_id }),
        None => Ok(entry),
    }
}

fn signing_keys(entry: &MemberEntry) -> impl Iterator<Item = (u32, &VerifyingKey)> {
    entry.keys.iter().filter_map(|key| Some((key.key_id, key.verifying_key()?)))
}
