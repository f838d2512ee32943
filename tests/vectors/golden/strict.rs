//! Signatures that a lenient verifier takes and strict verification (docs/protocol.md §2) refuses, each for one reason.
//!
//! All of them hold by the equation with the cofactor: libraries differ in what they ask beside it, and a member that
//! takes one of these follows another log than its peers.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};
use sundbro_ledger::signing::verify_strict;

/// The order of the group, 2^252 + 27742317777372353535851937790883648493, least significant byte first.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The neutral point as it is written, y = 1, and as it is not, y = 2^255 - 18.
const NEUTRAL: [u8; 32] = with_ends(1, 0, 0);
const NEUTRAL_BEYOND_THE_PRIME: [u8; 32] = with_ends(0xee, 0xff, 0x7f);

const fn with_ends(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = low;
    bytes[31] = high;
    bytes
}

/// A signature of one message that must not count.
pub(crate) struct Lenient {
    pub(crate) name: &'static str,
    pub(crate) public_key: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// All of them for one message. Where the key is an honest one, it is that of `seed`.
pub(crate) fn lenient_signatures(seed: &[u8; 32], message: &[u8]) -> Vec<Lenient> {
    let secret: [u8; 32] = Sha512::digest(seed)[..32].try_into().expect("half of 64 bytes");
    let secret = Scalar::from_bytes_mod_order(clamp_integer(secret));
    let honest = (ED25519_BASEPOINT_POINT * secret).compress().to_bytes();
    let small = EIGHT_TORSION[1].compress().to_bytes();
    let nonce = Scalar::from(5_u8);
    let commitment = |nonce: Scalar| (ED25519_BASEPOINT_POINT * nonce).compress().to_bytes();
    let with_torsion = ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[1];
    let sign = |name, public_key: [u8; 32], secret: Scalar, r: [u8; 32], nonce: Scalar| {
        let s = nonce + challenge(&r, &public_key, message) * secret;
        Lenient { name, public_key, signature: joined(&r, s.as_bytes()) }
    };
    // With this one the equation holds without the cofactor as well.
    let cancelled = (1_u32..).map(Scalar::from).find(|nonce| {
        challenge(&commitment(*nonce), &small, message).as_bytes()[0].is_multiple_of(8)
    });
    let cancelled = cancelled.expect("every eighth does it");
    let mut plus_order = sign("", honest, secret, commitment(nonce), nonce).signature;
    add(&mut plus_order[32..], &GROUP_ORDER);
    let zero = Scalar::ZERO;
    let all = vec![
        Lenient { name: "S plus the group order", public_key: honest, signature: plus_order },
        sign("R of small order", honest, secret, NEUTRAL, zero),
        sign("R in another spelling", honest, secret, NEUTRAL_BEYOND_THE_PRIME, zero),
        sign(
            "holds only with the cofactor",
            honest,
            secret,
            with_torsion.compress().to_bytes(),
            nonce,
        ),
        sign("a public key that is the neutral point", NEUTRAL, zero, commitment(nonce), nonce),
        sign("a public key of order 8", small, zero, commitment(cancelled), cancelled),
        sign(
            "a public key in another spelling",
            NEUTRAL_BEYOND_THE_PRIME,
            zero,
            commitment(nonce),
            nonce,
        ),
    ];
    for Lenient { name, public_key, signature } in &all {
        assert!(holds_with_cofactor(public_key, message, signature), "{name} is just wrong");
        assert!(verify_strict(public_key, message, signature).is_err(), "{name}");
    }
    all
}

fn joined(r: &[u8], s: &[u8]) -> [u8; 64] {
    [r, s].concat().try_into().expect("two halves of 32 bytes")
}

fn challenge(r: &[u8], public_key: &[u8], message: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&Sha512::digest([r, public_key, message].concat()).into())
}

fn add(number: &mut [u8], other: &[u8; 32]) {
    let mut carry = 0;
    for (byte, other) in number.iter_mut().zip(other) {
        let sum = u16::from(*byte) + u16::from(*other) + carry;
        (*byte, carry) = (sum.to_be_bytes()[1], sum >> 8);
    }
}

/// What a lenient verifier asks: 8 S B = 8 R + 8 k A, with every spelling of a point and any S.
fn holds_with_cofactor(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let point = |bytes: &[u8]| -> EdwardsPoint {
        let bytes = CompressedEdwardsY::from_slice(bytes).expect("32 bytes");
        bytes.decompress().expect("a point")
    };
    let (r, s) = signature.split_at(32);
    let k = challenge(r, public_key, message);
    let s = Scalar::from_bytes_mod_order(s.try_into().expect("32 bytes"));
    let difference = ED25519_BASEPOINT_POINT * s - point(r) - point(public_key) * k;
    difference.mul_by_cofactor().is_identity()
}
