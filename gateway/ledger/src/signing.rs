//! Ed25519 keys and signatures, each bound to a purpose and a federation.
//!
//! Strict throughout: canonical encodings, no key or `R` of small order, the equation without cofactor, one signature
//! at a time. So every implementation that follows docs/protocol.md comes to the same verdict on the same bytes.

use core::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::Signer as _;

use crate::ids::FederationId;

/// Length of an Ed25519 public key in bytes.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Length of an Ed25519 signature in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// What a signature is for. Its name stands in the signed bytes, so that no signature counts for another purpose.
///
/// Checkpoints and cosignatures are not here: they are C2SP notes, whose text names its own origin
/// ([`SigningKey::sign_note_text`]). A note begins with a member's name, which holds a dot before any slash, so it
/// never begins with `sundbro/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Over a transaction header, by a TRANSACTION key.
    Transaction,
    /// Over a charter head, by a steward.
    Charter,
    /// Over a member entry, by each of the member's signing keys.
    MemberCard,
    /// Over a retrieval request, by the requester's SERVICE key.
    Request,
    /// Over the grant or refusal of a retrieval, by the owner's SERVICE key.
    Grant,
    /// Over the completion of a retrieval, by the owner's SERVICE key.
    Completion,
    /// Over the acknowledgement of a retrieval, by the requester's SERVICE key.
    Acknowledgement,
}

impl Purpose {
    /// The name that stands in the signed bytes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Charter => "charter",
            Self::MemberCard => "member-card",
            Self::Request => "request",
            Self::Grant => "grant",
            Self::Completion => "completion",
            Self::Acknowledgement => "acknowledgement",
        }
    }

    /// The signed bytes: `"sundbro/v1/<purpose>\n" ‖ federation_id ‖ bytes`.
    pub fn message(self, federation: &FederationId, bytes: &[u8]) -> Vec<u8> {
        let prefix = "sundbro/v1/";
        let parts =
            [prefix.as_bytes(), self.name().as_bytes(), b"\n", federation.as_bytes(), bytes];
        parts.concat()
    }
}

/// Why a public key is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error("the public key is not 32 bytes")]
    Length,
    /// Not the encoding of a curve point.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// A second encoding of a point, which other software may treat as another key.
    #[error("the public key is not in its canonical encoding")]
    NotCanonical,
    /// Signs nearly any message.
    #[error("the public key has small order")]
    SmallOrder,
    /// Has a torsion component, so single and batch verification can disagree.
    #[error("the public key is not in the prime-order group")]
    Torsion,
}

/// A signature that does not hold: wrong key, purpose, federation or bytes, or not in its one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// The 64 bytes of an Ed25519 signature. Says nothing until verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// From its bytes.
    pub const fn new(bytes: [u8; SIGNATURE_LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_LEN] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = SignatureError;

    fn try_from(bytes: &[u8]) -> Result<Self, SignatureError> {
        bytes.try_into().map(Self).map_err(|_| SignatureError)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signature:{}", hex::encode(&self.0[..4]))
    }
}

/// A private key. Zeroised when dropped; `Debug` shows the public half only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From the 32-byte seed of RFC 8032. The caller draws it and zeroises its own copy.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half, admitted by construction: an RFC 8032 key is a multiple of the base point.
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs bytes for one purpose in one federation. Deterministic (RFC 8032): the same input, the same signature.
    pub fn sign(&self, purpose: Purpose, federation: &FederationId, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(&purpose.message(federation, bytes)).to_bytes())
    }

    /// Signs the text of a C2SP note as it is (c2sp.org/signed-note). Never for anything else.
    pub fn sign_note_text(&self, text: &[u8]) -> Signature {
        Signature(self.0.sign(text).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public())
    }
}

/// A public key that may be listed in a charter: canonical, torsion-free, not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Admits a key.
    ///
    /// # Errors
    /// Fails when the bytes are not the one encoding of a point in the prime-order group; [`KeyError`] says why.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyError> {
        let key = canonical_key(bytes)?;
        let point = key.to_edwards();
        if point.is_small_order() {
            return Err(KeyError::SmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(KeyError::Torsion);
        }
        Ok(Self(key))
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// Checks a signature over bytes for one purpose in one federation.
    ///
    /// # Errors
    /// Fails when the signature does not hold strictly.
    pub fn verify(
        &self,
        purpose: Purpose,
        federation: &FederationId,
        bytes: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        self.verify_note_text(&purpose.message(federation, bytes), signature)
    }

    /// Checks the signature over the text of a C2SP note.
    ///
    /// # Errors
    /// Fails when the signature does not hold strictly.
    pub fn verify_note_text(
        &self,
        text: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature.as_bytes());
        self.0.verify_strict(text, &signature).map_err(|_| SignatureError)
    }
}

impl TryFrom<&[u8]> for VerifyingKey {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        Self::from_bytes(bytes.try_into().map_err(|_| KeyError::Length)?)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key:{}", hex::encode(&self.as_bytes()[..4]))
    }
}

/// The verdict on one signature alone, by the strict rules but without the admission of the key.
///
/// For signatures by keys that no charter lists and for conformance tests; everything of ours goes through
/// [`VerifyingKey`], whose admission is stricter.
///
/// # Errors
/// Fails when the key or the signature is not in its canonical encoding, the key or `R` has small order, or the
/// equation does not hold.
pub fn verify_strict(
    key: &[u8; PUBLIC_KEY_LEN],
    message: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), SignatureError> {
    let key = canonical_key(key).map_err(|_| SignatureError)?;
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(message, &signature).map_err(|_| SignatureError)
}

/// The point behind an encoding, if that is the point's only encoding.
fn canonical_key(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<ed25519_dalek::VerifyingKey, KeyError> {
    let point = CompressedEdwardsY(*bytes).decompress().ok_or(KeyError::NotAPoint)?;
    // Decompression takes y ≥ p and a sign bit on x = 0; compression never writes them.
    if point.compress().as_bytes() != bytes {
        return Err(KeyError::NotCanonical);
    }
    ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEDERATION: FederationId = FederationId::new([3; 32]);

    fn admit(hex_key: &str) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::try_from(&hex::decode(hex_key).expect("hex")[..])
    }

    #[test]
    fn a_signature_counts_for_one_key_purpose_federation_and_message() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signature = key.sign(Purpose::Grant, &FEDERATION, b"bytes");
        let verify = |purpose, federation: FederationId, bytes: &[u8]| {
            key.public().verify(purpose, &federation, bytes, &signature)
        };
        assert_eq!(verify(Purpose::Grant, FEDERATION, b"bytes"), Ok(()));
        assert_eq!(verify(Purpose::Request, FEDERATION, b"bytes"), Err(SignatureError));
        assert_eq!(verify(Purpose::Grant, FederationId::FOUNDING, b"bytes"), Err(SignatureError));
        assert_eq!(verify(Purpose::Grant, FEDERATION, b"byte"), Err(SignatureError));
        let other = SigningKey::from_seed(&[2; 32]).public();
        let verdict = other.verify(Purpose::Grant, &FEDERATION, b"bytes", &signature);
        assert_eq!(verdict, Err(SignatureError));
    }

    #[test]
    fn signs_the_named_bytes_and_the_same_every_time() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signature = key.sign(Purpose::MemberCard, &FEDERATION, b"x");
        let message = [&b"sundbro/v1/member-card\n"[..], &[3; 32], b"x"].concat();
        assert_eq!(key.sign_note_text(&message), signature);
        assert_eq!(key.sign(Purpose::MemberCard, &FEDERATION, b"x"), signature);
    }

    #[test]
    fn admits_only_canonical_keys_of_the_prime_order_group() {
        let good = SigningKey::from_seed(&[1; 32]).public();
        assert_eq!(VerifyingKey::from_bytes(good.as_bytes()), Ok(good));
        assert_eq!(VerifyingKey::try_from(&[1; 31][..]), Err(KeyError::Length));
        assert_eq!(admit(&"02".repeat(32)).err(), Some(KeyError::NotAPoint));
        // y = 1 is the neutral point; y = p + 1 and y = 1 with a sign bit are other spellings of it.
        let neutral = format!("01{}", "00".repeat(31));
        assert_eq!(admit(&neutral).err(), Some(KeyError::SmallOrder));
        let past_p = format!("ee{}7f", "ff".repeat(30));
        assert_eq!(admit(&past_p).err(), Some(KeyError::NotCanonical));
        let signed_zero = format!("01{}80", "00".repeat(30));
        assert_eq!(admit(&signed_zero).err(), Some(KeyError::NotCanonical));
        // A good key plus the point of order 2, (0, -1), has a torsion component.
        let order_two = CompressedEdwardsY({
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xec, 0x7f);
            bytes
        });
        let mixed = good.0.to_edwards() + order_two.decompress().expect("point");
        assert_eq!(VerifyingKey::from_bytes(mixed.compress().as_bytes()), Err(KeyError::Torsion));
    }

    #[test]
    fn a_key_of_nobody_is_judged_by_the_strict_rules_too() {
        let key = SigningKey::from_seed(&[1; 32]);
        let public = *key.public().as_bytes();
        let signature = *key.sign_note_text(b"text").as_bytes();
        assert_eq!(verify_strict(&public, b"text", &signature), Ok(()));
        assert_eq!(verify_strict(&public, b"test", &signature), Err(SignatureError));
        // The neutral point as key and as R, and s = 0: the bare equation holds for every text.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert_eq!(verify_strict(&neutral, b"text", &forged), Err(SignatureError));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", SigningKey::from_seed(&[0x5a; 32]));
        assert!(!shown.contains("5a5a") && shown.starts_with("SigningKey(key:"), "{shown}");
        assert_eq!(format!("{:?}", Signature::new([1; 64])), "signature:01010101");
    }
}
