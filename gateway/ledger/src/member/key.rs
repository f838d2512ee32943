//! One key of a member: what it is for, and where it is valid.

use sundbro_proto::ledger::v1;

use super::MemberError;
use crate::fields::{array, closed_enum, field};
use crate::signing::VerifyingKey;

closed_enum! {
    /// What a key of a member is for.
    KeyPurpose {
        /// Signs transactions.
        Transaction = 1,
        /// Signs checkpoints.
        Checkpoint = 2,
        /// Signs requests, grants, completions and acknowledgements.
        Service = 3,
        /// Cosigns checkpoints of others.
        Witness = 4,
        /// Opens what is sealed to the member (HPKE).
        Sealing = 5,
        /// Offline; speaks for the member when the others are lost.
        Root = 6,
    }
}

/// A public key, admitted: an Ed25519 key is canonical and torsion-free, an X25519 key canonical and not of small order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Signs (RFC 8032). For every purpose but SEALING.
    Ed25519(VerifyingKey),
    /// Receives what is sealed (RFC 7748). For SEALING.
    X25519([u8; 32]),
}

impl PublicKey {
    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        match self {
            Self::Ed25519(key) => key.as_bytes(),
            Self::X25519(bytes) => bytes,
        }
    }
}

/// A key and where it is valid. A listed key stays listed; only its `to` may be set or lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberKey {
    /// From 1, never reused by the member.
    pub key_id: u32,
    /// What it signs or opens.
    pub purpose: KeyPurpose,
    /// The key; its algorithm follows from the purpose.
    pub public_key: PublicKey,
    /// For TRANSACTION and CHECKPOINT: the log epoch, from 1. Otherwise 0.
    pub log_epoch: u32,
    /// Where it starts: a position, a size or a charter version, by purpose.
    pub from: u64,
    /// Where it ends, from 1. `None`: open.
    pub to: Option<u64>,
}

impl MemberKey {
    /// Whether the key is valid at a position (TRANSACTION), a size (CHECKPOINT) or a charter version (others).
    ///
    /// A CHECKPOINT key covers the sizes *above* `from` up to and with `to`, because a checkpoint of size s speaks for
    /// the positions below s: so a TRANSACTION and a CHECKPOINT key that change together carry the same two numbers.
    /// Size 0 belongs to the first key alone; see [`MemberEntry::checkpoint_keys`](super::MemberEntry::checkpoint_keys).
    pub fn covers(&self, at: u64) -> bool {
        match self.purpose {
            KeyPurpose::Checkpoint => self.from < at && self.to.is_none_or(|to| at <= to),
            _ => self.from <= at && self.to.is_none_or(|to| at < to),
        }
    }

    /// Whether the key had started at `at` and only its `to` says that it is not valid there: it was closed or revoked.
    pub fn ended_before(&self, at: u64) -> bool {
        !self.covers(at) && Self { to: None, ..self.clone() }.covers(at)
    }

    /// The Ed25519 key; `None` for SEALING.
    pub fn verifying_key(&self) -> Option<&VerifyingKey> {
        match &self.public_key {
            PublicKey::Ed25519(key) => Some(key),
            PublicKey::X25519(_) => None,
        }
    }

    /// Whether `self` in a later charter version is `earlier`, with nothing changed but `to` set or lowered.
    pub(crate) fn continues(&self, earlier: &Self) -> bool {
        let same = Self { to: None, ..self.clone() } == Self { to: None, ..earlier.clone() };
        let lowered = match (earlier.to, self.to) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(now)) => now <= before,
        };
        same && lowered
    }

    pub(crate) fn from_wire(wire: &v1::MemberKey) -> Result<Self, MemberError> {
        let key_id = wire.key_id;
        let purpose =
            KeyPurpose::from_wire(wire.purpose).ok_or(MemberError::KeyPurpose { key_id })?;
        let bytes: [u8; 32] = array(&wire.public_key).ok_or(MemberError::BadKey { key_id })?;
        let expected = match purpose {
            KeyPurpose::Sealing => v1::KeyAlgorithm::X25519,
            _ => v1::KeyAlgorithm::Ed25519,
        };
        if wire.algorithm != i32::from(expected) {
            return Err(MemberError::KeyAlgorithm { key_id });
        }
        let public_key = match purpose {
            KeyPurpose::Sealing => admit_x25519(bytes),
            _ => VerifyingKey::from_bytes(&bytes).ok().map(PublicKey::Ed25519),
        };
        Ok(Self {
            key_id,
            purpose,
            public_key: public_key.ok_or(MemberError::BadKey { key_id })?,
            log_epoch: wire.log_epoch,
            from: wire.from,
            to: wire.to,
        })
    }

    pub(crate) fn to_wire(&self) -> v1::MemberKey {
        let algorithm = match self.public_key {
            PublicKey::Ed25519(_) => v1::KeyAlgorithm::Ed25519,
            PublicKey::X25519(_) => v1::KeyAlgorithm::X25519,
        };
        v1::MemberKey {
            key_id: self.key_id,
            purpose: self.purpose.to_wire(),
            algorithm: algorithm.into(),
            public_key: field(self.public_key.as_bytes()),
            log_epoch: self.log_epoch,
            from: self.from,
            to: self.to,
        }
    }
}

/// Refuses points of small order, since whatever is sealed to one can be opened by everybody, and other spellings of a
/// point than its own.
fn admit_x25519(bytes: [u8; 32]) -> Option<PublicKey> {
    let shared = curve25519_dalek::MontgomeryPoint(bytes).mul_clamped([1; 32]);
    let admitted = shared.0 != [0; 32] && is_below_the_prime(&bytes);
    admitted.then_some(PublicKey::X25519(bytes))
}

/// Whether a little-endian number is below 2^255 - 19. X25519 masks and reduces what is not, so that one key would have
/// several spellings, and a list without doubles could hold it twice.
fn is_below_the_prime(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_x25519_key_has_one_spelling_and_is_not_of_small_order() {
        // A little-endian number: its lowest byte, the bytes between, its highest byte.
        let key = |low: u8, middle: u8, high: u8| {
            let mut bytes = [middle; 32];
            (bytes[0], bytes[31]) = (low, high);
            bytes
        };
        for (what, bytes, admitted) in [
            ("the base point", key(9, 0, 0), true),
            ("the base point with the top bit set", key(9, 0, 0x80), false),
            ("2^255 - 10: the base point plus the prime", key(0xf6, 0xff, 0x7f), false),
            ("2^255 - 21: the largest that is not minus one", key(0xeb, 0xff, 0x7f), true),
            ("minus one, of small order", key(0xec, 0xff, 0x7f), false),
            ("the prime itself", key(0xed, 0xff, 0x7f), false),
            ("0", key(0, 0, 0), false),
            ("1", key(1, 0, 0), false),
        ] {
            assert_eq!(admit_x25519(bytes).is_some(), admitted, "{what}");
        }
    }
}
