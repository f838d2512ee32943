//! Two signatures of one steward over one head: which of them stays does not hang on which came first.

mod common;

use common::{Federation, key};
use curve25519_dalek::{EdwardsPoint, Scalar};
use sha2::{Digest as _, Sha256, Sha512};
use sundbro_ledger::charter::Charter;
use sundbro_ledger::history::{CharterHistory, Offered};
use sundbro_proto::ledger::v1;

/// The key of the first steward, as [`Federation::found`] makes it.
const STEWARD: &str = "steward Region";

/// A signature as RFC 8032 §5.1.6 makes it, but with a nonce of the signer's choice: it verifies like any other.
fn sign_with_nonce(message: &[u8], nonce: u64) -> [u8; 64] {
    let expanded = Sha512::digest(Sha256::digest(STEWARD));
    let mut secret: [u8; 32] = expanded[..32].try_into().expect("32 bytes");
    secret[0] &= 0xf8;
    secret[31] = secret[31] & 0x7f | 0x40;
    let secret = Scalar::from_bytes_mod_order(secret);
    let r = Scalar::from(nonce);
    let point = EdwardsPoint::mul_base(&r).compress().to_bytes();
    let public = key(STEWARD).public();
    let hash: [u8; 64] = Sha512::digest([&point[..], public.as_bytes(), message].concat()).into();
    let s = r + Scalar::from_bytes_mod_order_wide(&hash) * secret;
    [point, s.to_bytes()].concat().try_into().expect("64 bytes")
}

#[test]
fn of_two_signatures_of_one_steward_the_smaller_stays() {
    let federation = Federation::found();
    let next = federation.next(|next| {
        next.head.limits = Some(v1::CharterLimits { max_format: 1, max_log_bytes_per_day: 7 });
    });
    let wire = next.sign(&federation.id(), &federation.stewards);
    let message = [&b"sundbro/v1/charter\n"[..], federation.id().as_bytes(), &wire.head].concat();
    let signed = |nonce| {
        let mut wire = wire.clone();
        assert_eq!(wire.signatures[0].ordinal, 1);
        wire.signatures[0].signature = sign_with_nonce(&message, nonce).to_vec().into();
        Charter::from_wire(&wire).expect("valid by itself")
    };
    let mut offers: Vec<Charter> = (1..4).map(signed).collect();
    let first = |charter: &Charter| *charter.signatures()[0].signature.as_bytes();
    offers.sort_by_key(first);
    let kept = |order: [usize; 3]| {
        let mut history: CharterHistory = federation.history.clone();
        let answers = order.map(|place| history.offer(offers[place].clone()).expect("valid"));
        (first(history.current()), answers)
    };
    use Offered::{Accepted, Known, MoreSignatures};
    let smallest = first(&offers[0]);
    assert_eq!(kept([0, 1, 2]), (smallest, [Accepted, Known, Known]));
    assert_eq!(kept([2, 1, 0]), (smallest, [Accepted, MoreSignatures, MoreSignatures]));
    assert_eq!(kept([1, 2, 0]), (smallest, [Accepted, Known, MoreSignatures]));
}
