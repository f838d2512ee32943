//! Gives the key of a subject epoch to another member: sealed to its SEALING key, so that only its gateway reads it.
//!
//! RFC 9180 in base mode; who may have the key is decided before, by the charter. The recipient checks what it opened
//! against the charter's commitment, so a wrong key from a peer is found before a single tag is made with it.

use bytes::Bytes;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as _, X25519HkdfSha256};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use sundbro_ledger::ids::{FederationId, MemberName};
use sundbro_ledger::subject::{SubjectKey, key_commitment, key_grant_info};
use sundbro_proto::ledger::v1::SubjectKeyGrant;
use zeroize::{Zeroize as _, Zeroizing};

type Kem = X25519HkdfSha256;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// Length of a sealed subject key: 32 bytes and the tag of ChaCha20-Poly1305.
pub const CIPHERTEXT_LEN: usize = 48;

/// Our SEALING key: opens what other members seal to us. Wiped when dropped; has no `Debug`.
pub struct SealingKey {
    key_id: u32,
    secret: PrivateKey,
}

impl SealingKey {
    /// From its ordinal in the charter and its 32 secret bytes (X25519).
    pub fn new(key_id: u32, secret: &[u8; 32]) -> Self {
        let secret = PrivateKey::from_bytes(secret).expect("every 32 bytes are an X25519 key");
        Self { key_id, secret }
    }

    /// The same key under the ordinal by which the charter in force lists it.
    pub fn listed_as(&self, key_id: u32) -> Self {
        Self { key_id, secret: self.secret.clone() }
    }

    /// Its ordinal in the charter.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The public key that the charter lists.
    pub fn public(&self) -> [u8; 32] {
        Kem::sk_to_pk(&self.secret).to_bytes().into()
    }
}

/// The public half of an X25519 secret.
pub fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    SealingKey::new(0, secret).public()
}

/// Why a subject key was not sealed to a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the SEALING key {key_id} of {recipient} cannot be sealed to: it has to publish another one"
)]
pub struct SealError {
    /// The member.
    pub recipient: MemberName,
    /// Its key.
    pub key_id: u32,
}

/// Why a key grant was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenGrantError {
    /// It is sealed to a key that is not ours.
    #[error(
        "the key grant for epoch {epoch} is sealed to our key {key_id}, which is not the one we hold"
    )]
    OtherKey {
        /// Subject epoch.
        epoch: u32,
        /// Ordinal that the grant names.
        key_id: u32,
    },
    /// Lengths are wrong, or it does not open: it was made for another federation, epoch or member, or changed.
    #[error("the key grant for epoch {0} does not open: ask another member")]
    DoesNotOpen(u32),
    /// It opened, and the key is not the one that the charter commits to.
    #[error(
        "the key granted for epoch {0} is not the one that the charter commits to: ask another member"
    )]
    OtherCommitment(u32),
}

/// Seals the key of `epoch` to the SEALING key of `recipient`.
///
/// # Errors
/// Fails when `sealing_key` is a point of small order, which a charter should not list.
///
/// # Panics
/// When the operating system gives no random bytes; the gateway draws some at its start.
pub fn seal(
    key: &SubjectKey,
    federation: &FederationId,
    epoch: u32,
    recipient: &MemberName,
    sealing_key_id: u32,
    sealing_key: &[u8; 32],
) -> Result<SubjectKeyGrant, SealError> {
    let refused = |_| SealError { recipient: recipient.clone(), key_id: sealing_key_id };
    let public = PublicKey::from_bytes(sealing_key).map_err(refused)?;
    let info = key_grant_info(federation, epoch, recipient);
    let (enc, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &public,
        &info,
        key.expose(),
        &[],
    )
    .map_err(refused)?;
    Ok(SubjectKeyGrant {
        epoch,
        sealing_key_id,
        enc: Bytes::copy_from_slice(&enc.to_bytes()),
        ciphertext: ciphertext.into(),
    })
}

/// Opens a grant that a peer gave to us, and compares the key with the charter's `commitment` for its epoch.
///
/// # Errors
/// [`OpenGrantError`]; always the peer's fault, except that a rotated key of ours may not be the one it used.
pub fn open(
    grant: &SubjectKeyGrant,
    sealing: &SealingKey,
    federation: &FederationId,
    own: &MemberName,
    commitment: &[u8; 32],
) -> Result<SubjectKey, OpenGrantError> {
    let epoch = grant.epoch;
    if grant.sealing_key_id != sealing.key_id {
        return Err(OpenGrantError::OtherKey { epoch, key_id: grant.sealing_key_id });
    }
    let does_not_open = |_| OpenGrantError::DoesNotOpen(epoch);
    if grant.ciphertext.len() != CIPHERTEXT_LEN {
        return Err(OpenGrantError::DoesNotOpen(epoch));
    }
    let enc = EncappedKey::from_bytes(&grant.enc).map_err(does_not_open)?;
    let info = key_grant_info(federation, epoch, own);
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &sealing.secret,
        &enc,
        &info,
        &grant.ciphertext,
        &[],
    )
    .map_err(does_not_open)?;
    let opened = Zeroizing::new(opened);
    let mut bytes: [u8; 32] =
        opened[..].try_into().map_err(|_| OpenGrantError::DoesNotOpen(epoch))?;
    let key = SubjectKey::new(bytes);
    bytes.zeroize();
    if key_commitment(epoch, &key) != *commitment {
        return Err(OpenGrantError::OtherCommitment(epoch));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEDERATION: FederationId = FederationId::new([9; 32]);

    fn name(text: &str) -> MemberName {
        MemberName::new(text).expect("name")
    }

    fn granted() -> (SubjectKeyGrant, SealingKey, [u8; 32]) {
        let key = SubjectKey::new([7; 32]);
        let sealing = SealingKey::new(5, &[3; 32]);
        let grant =
            seal(&key, &FEDERATION, 2, &name("gp.example"), 5, &sealing.public()).expect("seals");
        let commitment = key_commitment(2, &key);
        (grant, sealing, commitment)
    }

    #[test]
    fn the_recipient_opens_what_was_sealed_to_it() {
        let (grant, sealing, commitment) = granted();
        assert_eq!(grant.ciphertext.len(), CIPHERTEXT_LEN);
        let key = open(&grant, &sealing, &FEDERATION, &name("gp.example"), &commitment);
        assert_eq!(key.map(|key| *key.expose()), Ok([7; 32]));
    }

    #[test]
    fn nothing_opens_under_another_member_federation_epoch_or_key() {
        let (grant, sealing, commitment) = granted();
        let gp = name("gp.example");
        let open = |grant: &_, sealing: &_, federation: &_, own: &_, commitment: &_| {
            open(grant, sealing, federation, own, commitment).map(|_| ()).expect_err("refused")
        };
        let shut = OpenGrantError::DoesNotOpen(2);
        assert_eq!(open(&grant, &sealing, &FEDERATION, &name("lab.example"), &commitment), shut);
        assert_eq!(open(&grant, &sealing, &FederationId::FOUNDING, &gp, &commitment), shut);
        let other = SealingKey::new(5, &[4; 32]);
        assert_eq!(open(&grant, &other, &FEDERATION, &gp, &commitment), shut);
        let renamed = SealingKey::new(6, &[3; 32]);
        assert_eq!(
            open(&grant, &renamed, &FEDERATION, &gp, &commitment),
            OpenGrantError::OtherKey { epoch: 2, key_id: 5 }
        );
        let other_epoch = SubjectKeyGrant { epoch: 3, ..grant.clone() };
        assert_eq!(
            open(&other_epoch, &sealing, &FEDERATION, &gp, &commitment),
            OpenGrantError::DoesNotOpen(3)
        );
        let short = SubjectKeyGrant { enc: grant.enc.slice(1..), ..grant.clone() };
        assert_eq!(open(&short, &sealing, &FEDERATION, &gp, &commitment), shut);
        assert_eq!(
            open(&grant, &sealing, &FEDERATION, &gp, &[0; 32]),
            OpenGrantError::OtherCommitment(2)
        );
    }
}
